//! The resume ladder: what a client that attaches is given first. Pure, so that every case can be told.
//!
//! ```text
//!   the cursor's bytes are here, no resize since, near ──► exact bytes
//!   else                                               ──► the screen, then exact bytes from where it stands
//!   bytes the client asked for are gone                ──► said as a gap, then the same
//! ```

use baton_proto::api::{ResumeMode, SnapshotChoice};
use baton_proto::ids::Cursor;
use baton_proto::v1::Attached;

/// How far back a client still gets the bytes themselves: beyond, drawing the screen is less to send and to parse.
pub const EXACT_BYTES_MAX: u64 = 256 << 10;

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Bytes from this offset on.
    Bytes(u64),
    /// The screen.
    Screen,
}

/// Where a client begins, and how that continues what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// What it gets.
    pub first: First,
    /// What that is called.
    pub mode: ResumeMode,
    /// For `gap`: bytes from its cursor on that are no longer kept.
    pub lost: Option<u64>,
    /// Its cursor was of another life of the program.
    pub restarted: bool,
}

/// Chooses the start.
///
/// * `never`: every byte kept, from the cursor (none, or one of another life: from the oldest).
/// * `auto`: the bytes from the cursor (none: from the beginning), if they are all kept, no more than
///   [`EXACT_BYTES_MAX`], and the size has not changed since; else the screen.
/// * `always`: the screen.
///
/// A client that named a place whose bytes are gone is told how many (`gap`), whatever comes instead of them.
#[must_use]
pub fn choose_start(choice: SnapshotChoice, cursor: Option<Cursor>, attached: &Attached) -> Start {
    let (oldest, head) = (attached.oldest, attached.head);
    let restarted = cursor.is_some_and(|cursor| cursor.instance != attached.instance);
    let named = cursor.filter(|_| !restarted).map(|cursor| cursor.offset);
    let wanted = named.unwrap_or(0);
    let never = choice == SnapshotChoice::Never;
    if wanted > head {
        // A place that this life has not reached can't be gone on from.
        let (first, mode) =
            if never { (First::Bytes(head), ResumeMode::Gap) } else { (First::Screen, ResumeMode::Snapshot) };
        return Start { first, mode, lost: never.then_some(0), restarted };
    }
    let lost = oldest.saturating_sub(wanted);
    let exact = lost == 0
        && match choice {
            SnapshotChoice::Never => true,
            SnapshotChoice::Always => false,
            SnapshotChoice::Auto => attached.resized_at <= wanted && head - wanted <= EXACT_BYTES_MAX,
        };
    let first = if exact || never { First::Bytes(wanted.max(oldest)) } else { First::Screen };
    let mode = match first {
        _ if lost > 0 && (never || named.is_some()) => ResumeMode::Gap,
        First::Bytes(_) => ResumeMode::Exact,
        First::Screen => ResumeMode::Snapshot,
    };
    Start { first, mode, lost: (mode == ResumeMode::Gap).then_some(lost), restarted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SnapshotChoice::{Always, Auto, Never};
    use baton_proto::ids::{Epoch, InstanceId};
    use baton_proto::v1::{Attachment, Dimensions, LeaseRecord, SizePolicy};
    use uuid::Uuid;

    const MIB: u64 = 1 << 20;
    const SCREEN: (First, ResumeMode, Option<u64>) = (First::Screen, ResumeMode::Snapshot, None);

    fn instance(number: u128) -> InstanceId {
        InstanceId::from_uuid(Uuid::from_u128(number))
    }

    fn attached(oldest: u64, resized_at: u64, head: u64) -> Attached {
        Attached {
            attachment: Attachment(1),
            instance: instance(1),
            lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
            head,
            oldest,
            size: Dimensions { cols: 80, rows: 24 },
            resized_at,
            policy: SizePolicy::Holder,
            input_seq: 0,
            exit: None,
        }
    }

    fn exact(offset: u64) -> (First, ResumeMode, Option<u64>) {
        (First::Bytes(offset), ResumeMode::Exact, None)
    }

    /// `journal`: the oldest byte, the last resize, the head.
    fn check(
        choice: SnapshotChoice,
        cursor: Option<u64>,
        journal: (u64, u64, u64),
        (first, mode, lost): (First, ResumeMode, Option<u64>),
    ) {
        let cursor = cursor.map(|offset| Cursor { instance: instance(1), offset });
        let start = choose_start(choice, cursor, &attached(journal.0, journal.1, journal.2));
        assert_eq!(start, Start { first, mode, lost, restarted: false }, "{choice:?} {cursor:?} of {journal:?}");
    }

    #[test]
    fn auto_gives_the_bytes_where_they_continue_what_the_client_has() {
        check(Auto, Some(5 * MIB), (0, 0, 5 * MIB + EXACT_BYTES_MAX), exact(5 * MIB));
        check(Auto, Some(5 * MIB), (5 * MIB, 5 * MIB, 5 * MIB + 1), exact(5 * MIB));
        check(Auto, None, (0, 0, 100), exact(0));
        check(Auto, Some(0), (0, 0, 0), exact(0));
    }

    #[test]
    fn auto_gives_the_screen_where_they_do_not() {
        check(Auto, Some(5 * MIB), (0, 0, 5 * MIB + EXACT_BYTES_MAX + 1), SCREEN);
        check(Auto, Some(100), (0, 101, 200), SCREEN);
        check(Auto, None, (0, 1, 200), SCREEN);
        check(Auto, None, (0, 0, 6 * MIB), SCREEN);
        check(Auto, None, (1, 0, 100), SCREEN);
        check(Auto, Some(101), (0, 0, 100), SCREEN);
    }

    #[test]
    fn what_was_asked_for_and_is_gone_is_counted() {
        check(Auto, Some(4), (10, 0, 100), (First::Screen, ResumeMode::Gap, Some(6)));
        check(Always, Some(4), (10, 0, 100), (First::Screen, ResumeMode::Gap, Some(6)));
        check(Never, Some(5), (9, 0, 60 * MIB), (First::Bytes(9), ResumeMode::Gap, Some(4)));
        check(Never, None, (7, 0, 60 * MIB), (First::Bytes(7), ResumeMode::Gap, Some(7)));
    }

    #[test]
    fn always_and_never_are_what_they_say() {
        check(Always, Some(100), (0, 0, 100), SCREEN);
        check(Always, None, (0, 0, 0), SCREEN);
        check(Never, Some(5), (0, 50, 60 * MIB), exact(5));
        check(Never, None, (0, 9, 60 * MIB), exact(0));
        check(Never, Some(11), (0, 0, 10), (First::Bytes(10), ResumeMode::Gap, Some(0)));
    }

    #[test]
    fn a_cursor_of_another_life_begins_this_one() {
        let old = Some(Cursor { instance: instance(2), offset: 50 });
        for (choice, journal, first, mode, lost) in [
            (Never, (0, 0, 9), First::Bytes(0), ResumeMode::Exact, None),
            (Auto, (0, 0, 9), First::Bytes(0), ResumeMode::Exact, None),
            (Auto, (0, 0, 9 * MIB), First::Screen, ResumeMode::Snapshot, None),
            (Auto, (3, 0, 9), First::Screen, ResumeMode::Snapshot, None),
            (Never, (3, 0, 9), First::Bytes(3), ResumeMode::Gap, Some(3)),
        ] {
            let start = choose_start(choice, old, &attached(journal.0, journal.1, journal.2));
            assert_eq!(start, Start { first, mode, lost, restarted: true }, "{choice:?} {journal:?}");
        }
    }
}
