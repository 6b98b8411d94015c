//! Where a client's bytes begin: pure, so that every case can be told.

use baton_proto::api::{ResumeMode, SnapshotChoice};
use baton_proto::ids::{Cursor, InstanceId};

/// How far back a client that asks for no exact bytes is still given all of them.
pub const EXACT_BYTES_MAX: u64 = 1 << 20;
/// How much of the newest output a client gets that was away for longer, or comes for the first time.
pub const RECENT_BYTES: u64 = 256 << 10;

/// Where a client begins, and how that continues what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// First output byte it is given.
    pub offset: u64,
    /// How.
    pub mode: ResumeMode,
    /// For `gap`: bytes before that which it asked for and does not get.
    pub lost: Option<u64>,
    /// Its cursor was of another life of the program.
    pub restarted: bool,
}

/// Chooses the start.
///
/// * `never`: every byte kept, from the cursor (none, or one of another life: from the oldest).
/// * `auto` and `always`: from the cursor when that is near; else the newest [`RECENT_BYTES`], and `lost` says what is
///   left out. (With screens, which a later version has, a snapshot comes in its place.)
#[must_use]
pub fn choose_start(
    choice: SnapshotChoice,
    cursor: Option<Cursor>,
    instance: InstanceId,
    oldest: u64,
    head: u64,
) -> Start {
    let restarted = cursor.is_some_and(|cursor| cursor.instance != instance);
    // A place that this life has not reached can't be gone on from; nor can one of another life.
    let wanted = match cursor {
        Some(cursor) if !restarted && cursor.offset <= head => cursor.offset,
        Some(cursor) if !restarted => {
            return Start { offset: head, mode: ResumeMode::Gap, lost: Some(0), restarted: cursor.offset < head };
        }
        _ => 0,
    };
    let exact = choice == SnapshotChoice::Never
        || restarted
        || (cursor.is_some() && head - wanted <= EXACT_BYTES_MAX)
        || head - wanted <= RECENT_BYTES;
    let offset = if exact { wanted.max(oldest) } else { head.saturating_sub(RECENT_BYTES).max(oldest) };
    match offset - wanted {
        0 => Start { offset, mode: ResumeMode::Exact, lost: None, restarted },
        lost => Start { offset, mode: ResumeMode::Gap, lost: Some(lost), restarted },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const MIB: u64 = 1 << 20;

    fn check(choice: SnapshotChoice, cursor: Option<u64>, oldest: u64, head: u64, offset: u64, lost: Option<u64>) {
        let instance = InstanceId::from_uuid(Uuid::from_u128(1));
        let cursor = cursor.map(|offset| Cursor { instance, offset });
        let start = choose_start(choice, cursor, instance, oldest, head);
        let mode = if lost.is_some() { ResumeMode::Gap } else { ResumeMode::Exact };
        assert_eq!(start, Start { offset, mode, lost, restarted: false }, "{cursor:?} of {oldest}..{head}");
    }

    #[test]
    fn never_gives_every_retained_byte() {
        check(SnapshotChoice::Never, Some(5), 0, 60 * MIB, 5, None);
        check(SnapshotChoice::Never, Some(5), 9, 60 * MIB, 9, Some(4));
        check(SnapshotChoice::Never, None, 0, 60 * MIB, 0, None);
        check(SnapshotChoice::Never, None, 7, 60 * MIB, 7, Some(7));
    }

    #[test]
    fn auto_gives_what_is_near_and_says_what_is_left_out() {
        check(SnapshotChoice::Auto, Some(5 * MIB), 0, 6 * MIB, 5 * MIB, None);
        check(
            SnapshotChoice::Auto,
            Some(5 * MIB - 1),
            0,
            6 * MIB,
            6 * MIB - RECENT_BYTES,
            Some(MIB + 1 - RECENT_BYTES),
        );
        check(SnapshotChoice::Auto, None, 0, 100, 0, None);
        check(SnapshotChoice::Auto, None, 0, 6 * MIB, 6 * MIB - RECENT_BYTES, Some(6 * MIB - RECENT_BYTES));
        check(SnapshotChoice::Auto, Some(0), 10, 100, 10, Some(10));
        check(SnapshotChoice::Always, Some(100), 10, 100, 100, None);
    }

    #[test]
    fn a_cursor_of_another_life_or_of_the_future_is_told() {
        let (old, new) = (InstanceId::from_uuid(Uuid::from_u128(1)), InstanceId::from_uuid(Uuid::from_u128(2)));
        let start = choose_start(SnapshotChoice::Never, Some(Cursor { instance: old, offset: 50 }), new, 0, 9);
        assert_eq!(start, Start { offset: 0, mode: ResumeMode::Exact, lost: None, restarted: true });
        check(SnapshotChoice::Never, Some(11), 0, 10, 10, Some(0));
    }
}
