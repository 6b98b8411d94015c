//! A place in a session's output as people name it: a cursor, a time, or how long ago.

use std::str::FromStr;
use std::time::Duration;

use baton_proto::Cursor;
use baton_proto::api::Session;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::api::{Api, terminal};
use crate::names::label;
use crate::report::{Exit, Report};

/// What every option that takes one says when it is spelled otherwise.
const SPELLINGS: &str =
    "a cursor (ins_…:1234), a time (2026-01-31T14:03:00Z, 14:03, 2026-01-31 14:03), or how long ago (-5m, 1h30m ago)";

/// A place in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A place, as Baton names it.
    Cursor(Cursor),
    /// A time.
    Time(Timestamp),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, &Zoned::now())
    }
}

fn parse(text: &str, now: &Zoned) -> Result<Moment, String> {
    let text = text.trim();
    if let Ok(cursor) = text.parse() {
        return Ok(Moment::Cursor(cursor));
    }
    let ago = text.strip_prefix('-').or_else(|| text.strip_suffix("ago").map(str::trim_end));
    if let Some(span) = ago.and_then(span) {
        let time = now.timestamp().checked_sub(span).map_err(|_| format!("this is {SPELLINGS}"))?;
        return Ok(Moment::Time(time));
    }
    clock(text, now).map(Moment::Time).ok_or_else(|| format!("this is {SPELLINGS}"))
}

/// `5m`, `1h30m`, `90 s`.
fn span(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let behind = rest[digits..].trim_start();
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &behind[..letters] {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = behind[letters..].trim_start();
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// A time with its offset from UTC; without one it is local; without a date it is the latest such time that has passed.
fn clock(text: &str, now: &Zoned) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = |at: DateTime| at.to_zoned(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp());
    if text.len() > "14:03:00.000000000".len() || text.contains('-') {
        return local(text.parse().ok()?);
    }
    let time: Time = text.parse().ok().filter(|_| text.contains(':'))?;
    let today = local(now.date().to_datetime(time))?;
    if today <= now.timestamp() {
        return Some(today);
    }
    local(now.date().checked_sub(1.day()).ok()?.to_datetime(time))
}

impl Moment {
    /// The value of a query's parameter that takes a cursor or a time.
    pub fn value(self) -> String {
        match self {
            Self::Cursor(cursor) => cursor.to_string(),
            Self::Time(time) => rfc3339(time),
        }
    }

    /// The parameter of a query that has one of its own for times: `cursor=…` or `at=…`.
    pub fn parameter(self) -> String {
        let name = if matches!(self, Self::Cursor(_)) { "cursor" } else { "at" };
        format!("{name}={}", self.value())
    }

    /// Refuses a cursor that is none of this life of the session: it names a place in other output.
    pub fn known(self, session: &Session) -> Result<Self, Report> {
        match self {
            Self::Cursor(cursor) if cursor.instance != session.instance => {
                let name = label(session);
                Err(Report::new(Exit::NotFound, format!("`{cursor}` is no place in the output of `{name}`"))
                    .why(format!(
                        "it is of another session, or of a life before this one, which is `{}`",
                        session.instance
                    ))
                    .hint("`--json` of `baton send`, `log`, `search` and `exec` tells cursors of this life"))
            }
            _ => Ok(self),
        }
    }

    /// For a beginning: `None` for all there is, when the session began after it.
    pub fn begins(self, session: &Session) -> Result<Option<Self>, Report> {
        let before = |time| session.created_at.parse::<Timestamp>().is_ok_and(|created| time < created);
        Ok(match self.known(session)? {
            Self::Time(time) if before(time) => None,
            moment => Some(moment),
        })
    }

    /// Whether it is a time that has not come yet.
    pub fn is_future(self) -> bool {
        matches!(self, Self::Time(time) if time > Timestamp::now())
    }

    /// Where what has come since begins, as a cursor: all output that had come by a time is before it. `None` for all there is.
    pub async fn since(self, api: &Api, session: &Session) -> Result<Option<Cursor>, Report> {
        match self.begins(session)? {
            None => Ok(None),
            Some(Self::Cursor(cursor)) => Ok(Some(cursor)),
            Some(Self::Time(_)) => {
                let what = "the place in the output cannot be found";
                let path = format!("{}?{}&limit=1", terminal(session.id, "output"), self.parameter());
                let answer = api.get_raw(what, &path).await?;
                let after: Option<Cursor> = answer.header("baton-cursor").and_then(|text| text.parse().ok());
                let after =
                    after.ok_or_else(|| Report::failed(what).why("the bridge's answer has no `Baton-Cursor`"))?;
                Ok(Some(Cursor { offset: after.offset.saturating_sub(answer.body.len() as u64), ..after }))
            }
        }
    }
}

fn rfc3339(time: Timestamp) -> String {
    // Whole microseconds are what the journal has.
    format!("{:.6}", time)
}

/// A time of an answer as a person here reads it: `2026-01-31 14:03:00`.
pub fn local(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let now: Zoned = "2026-11-21T12:00:00+01:00[+01:00]".parse().unwrap();
        let time = match parse(text, &now) {
            Ok(Moment::Time(time)) => Some(rfc3339(time)),
            Ok(Moment::Cursor(cursor)) => Some(cursor.to_string()),
            Err(_) => None,
        };
        assert_eq!(time.as_deref(), expected, "{text}");
    }

    #[test]
    fn places_are_read_as_people_spell_them() {
        let cursor = "ins_00000000000000000000000000000007:12";
        check(cursor, Some(cursor));
        check("2026-11-21T10:00:00Z", Some("2026-11-21T10:00:00.000000Z"));
        check("2026-11-21T10:00:00.25+02:00", Some("2026-11-21T08:00:00.250000Z"));
        check("2026-11-20 10:00", Some("2026-11-20T09:00:00.000000Z"));
        check("2026-11-20T10:00:30", Some("2026-11-20T09:00:30.000000Z"));
        check("11:59", Some("2026-11-21T10:59:00.000000Z"));
        check("11:59:30", Some("2026-11-21T10:59:30.000000Z"));
        // Later than now: yesterday's.
        check("12:01", Some("2026-11-20T11:01:00.000000Z"));
        check("-5m", Some("2026-11-21T10:55:00.000000Z"));
        check("1h30m ago", Some("2026-11-21T09:30:00.000000Z"));
        check("90 seconds ago", Some("2026-11-21T10:58:30.000000Z"));
        check("-1d2h", Some("2026-11-20T09:00:00.000000Z"));
        for bad in
            ["", "-", "ago", "noon", "5", "5m", "-5", "-5x", "25:00", "2026-13-01", "-99999999999999999999s", "1:2:3:4"]
        {
            check(bad, None);
        }
    }
}
