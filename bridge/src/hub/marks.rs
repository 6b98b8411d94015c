//! What a shell with integration tells between the bytes: where the prompt is, where a command began and how it ended.

use std::time::Instant;

use baton_proto::api::Mark;
use baton_proto::ids::{Cursor, InstanceId};
use baton_proto::v1::{MarkKind, MarkRecord};

/// Events of marks a session may make at once, and a second after that. A program that makes more has them in its journal,
/// and in nobody's log.
const EVENTS_BURST: f64 = 200.0;
const EVENTS_PER_S: f64 = 20.0;

/// Where the shell is in its round of prompt, command, end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Round {
    /// No mark was seen: there may be no integration, or it was not heard yet.
    #[default]
    Unknown,
    /// It shows its prompt.
    Prompt,
    /// It runs a command. A shell below this one, or one on another machine, makes no difference to that.
    Command,
}

/// The round, followed over the marks of one connection to the worker.
#[derive(Debug)]
pub struct Rounds {
    /// Where it is.
    pub round: Round,
    began_us: Option<u64>,
    tokens: f64,
    counted: Instant,
    /// Marks that were told to nobody since the last that was.
    pub left_out: u64,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { round: Round::Unknown, began_us: None, tokens: EVENTS_BURST, counted: Instant::now(), left_out: 0 }
    }
}

impl Rounds {
    /// Takes a mark; what its event says.
    pub fn take(&mut self, record: &MarkRecord, wall_us: u64, instance: InstanceId) -> Option<Mark> {
        let mut duration_ms = None;
        match record.kind {
            MarkKind::Prompt => (self.round, self.began_us) = (Round::Prompt, None),
            MarkKind::Command => (self.round, self.began_us) = (Round::Command, Some(wall_us)),
            MarkKind::CommandEnd => {
                duration_ms = self.began_us.take().map(|began| wall_us.saturating_sub(began) / 1000);
            }
            _ => {}
        }
        let kind = name(record.kind)?;
        let exit_code = (record.kind == MarkKind::CommandEnd).then(|| record.text.parse().ok()).flatten();
        let text = Some(record.text.clone()).filter(|text| !text.is_empty() && record.kind != MarkKind::CommandEnd);
        let cursor = Cursor { instance, offset: record.offset };
        Some(Mark { kind: kind.to_owned(), cursor, text, exit_code, duration_ms, left_out: None })
    }

    /// Whether one more event may be made now.
    pub fn may_tell(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(std::mem::replace(&mut self.counted, now));
        self.tokens = (self.tokens + since.as_secs_f64() * EVENTS_PER_S).min(EVENTS_BURST);
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

/// How the API spells a kind of mark; `None` for what is no event of its own.
#[must_use]
pub const fn name(kind: MarkKind) -> Option<&'static str> {
    match kind {
        MarkKind::Prompt => Some("prompt"),
        MarkKind::Command => Some("command"),
        MarkKind::CommandEnd => Some("command_end"),
        MarkKind::Bell => Some("bell"),
        MarkKind::Notification => Some("notification"),
        MarkKind::Title => Some("title"),
        MarkKind::Cwd => Some("cwd"),
        MarkKind::InputUncertain => None,
    }
}

/// The kind of mark that the API spells so.
#[must_use]
pub fn kind(text: &str) -> Option<MarkKind> {
    use MarkKind::{Bell, Command, CommandEnd, Cwd, Notification, Prompt, Title};
    [Prompt, Command, CommandEnd, Bell, Notification, Title, Cwd].into_iter().find(|kind| name(*kind) == Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use uuid::Uuid;

    fn mark(kind: MarkKind, text: &str) -> MarkRecord {
        MarkRecord { offset: 9, kind, text: text.to_owned() }
    }

    #[test]
    fn a_round_of_the_shell_is_followed() {
        let (mut rounds, instance) = (Rounds::default(), InstanceId::from_uuid(Uuid::nil()));
        let mut take = |kind, text, at_ms: u64| rounds.take(&mark(kind, text), at_ms * 1000, instance).unwrap();
        assert_eq!(take(MarkKind::CommandEnd, "0", 1).duration_ms, None, "its beginning was not seen");
        assert_eq!(take(MarkKind::Prompt, "", 2).text, None);
        assert_eq!(take(MarkKind::Command, "make", 10).text.as_deref(), Some("make"));
        let end = take(MarkKind::CommandEnd, "2", 1510);
        assert_eq!((end.kind.as_str(), end.exit_code, end.duration_ms), ("command_end", Some(2), Some(1500)));
        assert_eq!((end.text, end.cursor.offset), (None, 9));
        assert_eq!(take(MarkKind::CommandEnd, "", 1600).exit_code, None);
        assert_eq!(rounds.round, Round::Command);
        rounds.take(&mark(MarkKind::Prompt, ""), 0, instance);
        assert_eq!(rounds.round, Round::Prompt);
        assert!(rounds.take(&mark(MarkKind::InputUncertain, "x"), 0, instance).is_none());
    }

    #[test]
    fn a_program_that_makes_marks_without_end_fills_no_log() {
        let mut rounds = Rounds::default();
        let begin = rounds.counted;
        let told =
            (0..100_000u32).filter(|n| rounds.may_tell(begin + Duration::from_micros(u64::from(*n) * 100))).count();
        assert!((390..=410).contains(&told), "{told} in ten seconds");
    }

    #[test]
    fn kinds_are_spelled_one_way() {
        for text in ["prompt", "command", "command_end", "bell", "notification", "title", "cwd"] {
            assert_eq!(kind(text).and_then(name), Some(text));
        }
        assert_eq!(kind("Prompt"), None);
    }
}
