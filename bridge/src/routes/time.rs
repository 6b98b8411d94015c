//! Times in queries, and whether the session has anything of them.

use std::time::Duration;

use baton_proto::ErrorCode;

use crate::clock;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};

/// How far another machine's clock may be ahead of this one's.
const SKEW: Duration = Duration::from_secs(5);

/// [`parse`], where a whole millisecond is meant to its end: times are told in whole milliseconds, and what was told at a time
/// is found at it.
///
/// # Errors
/// `invalid`.
pub fn parse_whole(text: &str, name: &str) -> Outcome<u64> {
    let at = parse(text, name)?;
    Ok(if at.is_multiple_of(1000) { at.saturating_add(999) } else { at })
}

/// Microseconds since 1970 of the time in the parameter `name`, in which a `+` that nobody escaped has become a blank.
///
/// # Errors
/// `invalid`.
pub fn parse(text: &str, name: &str) -> Outcome<u64> {
    let bad = || Failure::invalid(format!("`{name}` is a time as RFC 3339 has it: `2026-11-21T14:03:00Z`"));
    let escaped = match text.len().checked_sub("+00:00".len()) {
        Some(sign) if text.is_char_boundary(sign) && text[sign..].starts_with(' ') => {
            format!("{}+{}", &text[..sign], &text[sign + 1..])
        }
        _ => text.to_owned(),
    };
    clock::parse_rfc3339(&escaped).ok_or_else(bad)
}

/// Makes sure that a session has something of a time: it had begun, the time has come, and what was there then is kept.
///
/// # Errors
/// `invalid`; `cursor_trimmed` with the oldest place kept; `sessiond_down`.
pub async fn within(session: &Session, at_us: u64, name: &str) -> Outcome<()> {
    in_life(session.entry().spec.created_us, clock::now_us(), at_us, name)?;
    let located = session.locate(at_us).await?;
    if located.offset == 0 || located.wall_us <= at_us {
        return Ok(());
    }
    let oldest = session.inspect().await?.oldest;
    if located.offset > oldest {
        return Ok(());
    }
    let detail = format!(
        "what was there at `{name}` is no longer kept: the oldest output is of {}; begin at `oldest_cursor`",
        clock::rfc3339(located.wall_us)
    );
    Err(Failure { oldest: Some(session.cursor(oldest)), ..Failure::new(ErrorCode::CursorTrimmed, detail) })
}

fn in_life(began_us: u64, now_us: u64, at_us: u64, name: &str) -> Outcome<()> {
    // It is told in whole milliseconds.
    if at_us < began_us - began_us % 1000 {
        let began = clock::rfc3339(began_us);
        return Err(Failure::invalid(format!("`{name}` lies before the session, which began at {began}")));
    }
    if at_us > now_us.saturating_add(u64::try_from(SKEW.as_micros()).unwrap_or(u64::MAX)) {
        let now = clock::rfc3339(now_us);
        return Err(Failure::invalid(format!("`{name}` lies in the future: here it is {now}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_put_it_into_a_url() {
        let time = |text| parse_whole(text, "at");
        let noon = time("2026-11-21T12:00:00Z").unwrap();
        assert_eq!(time("2026-11-21T14:00:00+02:00").unwrap(), noon);
        assert_eq!(time("2026-11-21T14:00:00 02:00").unwrap(), noon);
        assert_eq!(time("2026-11-21T12:00:00.000Z").unwrap(), noon);
        assert_eq!(clock::rfc3339(noon), "2026-11-21T12:00:00.000Z");
        assert_eq!(time("2026-11-21T12:00:00.000001Z").unwrap(), noon - 998);
        for bad in ["", " ", "noon", "2026-11-21", "ä 02:00", "ä1 02:00", "1234567"] {
            assert_eq!(time(bad).unwrap_err().code, ErrorCode::Invalid, "{bad}");
        }
        assert!(parse("noon", "from").unwrap_err().detail.contains("`from`"));
    }

    #[test]
    fn a_session_has_nothing_of_before_it_or_of_the_future() {
        let began = parse("2026-11-21T12:00:00.000001Z", "at").unwrap();
        let now = began + 60_000_000;
        assert!(in_life(began, now, began, "at").is_ok());
        assert!(in_life(began, now, parse("2026-11-21T12:00:00.000Z", "at").unwrap(), "at").is_ok());
        let detail = in_life(began, now, began - 2, "at").unwrap_err().detail;
        assert!(detail.contains("2026-11-21T12:00:00.000Z"), "{detail}");
        assert!(in_life(began, now, now + 5_000_000, "at").is_ok(), "clocks differ");
        let detail = in_life(began, now, now + 5_000_001, "to").unwrap_err().detail;
        assert!(detail.contains("`to`") && detail.contains("2026-11-21T12:01:00.000Z"), "{detail}");
    }
}
