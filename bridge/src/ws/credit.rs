//! What a client that acknowledges may be sent: bytes its terminal has parsed, and a little more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use baton_proto::ids::{Cursor, InstanceId};

/// Bytes a client that acknowledges may have unacknowledged.
const CREDIT_BYTES: u64 = 512 << 10;
/// How long a client that takes screens may owe acknowledgements before it is given the screen, and credit anew. It
/// doubles each time nothing was acknowledged in between: a frozen tab must not be fed without bound.
const OWING: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// What a client has parsed, as it says.
#[derive(Debug)]
pub(super) struct Credit {
    instance: InstanceId,
    acking: AtomicBool,
    acked: AtomicU64,
}

impl Credit {
    pub(super) const fn new(instance: InstanceId) -> Self {
        Self { instance, acking: AtomicBool::new(false), acked: AtomicU64::new(0) }
    }

    /// Notes an `ack`. One of another life of the program says nothing.
    pub(super) fn ack(&self, cursor: Cursor) {
        if cursor.instance == self.instance {
            self.acked.fetch_max(cursor.offset, Ordering::Relaxed);
            self.acking.store(true, Ordering::Relaxed);
        }
    }

    /// How far it has acknowledged; `None` for one that never does.
    pub(super) fn acked(&self) -> Option<u64> {
        self.acking.load(Ordering::Relaxed).then(|| self.acked.load(Ordering::Relaxed))
    }
}

/// The account of a client that acknowledges.
#[derive(Debug)]
pub(super) struct Account {
    /// Credit is counted from here when less was acknowledged: where the client was moved to last.
    base: u64,
    /// What was acknowledged when it was moved.
    acked: u64,
    patience: Duration,
    /// Since when it owes.
    owing: Option<Instant>,
}

impl Account {
    pub(super) const fn new() -> Self {
        Self { base: 0, acked: 0, patience: *OWING.start(), owing: None }
    }

    /// Bytes that may be sent now to one that was sent `sent`. Whoever acknowledges more than that has acknowledged all.
    pub(super) fn credit(&self, acked: Option<u64>, sent: u64) -> u64 {
        let Some(acked) = acked else { return u64::MAX };
        acked.max(self.base).min(sent).saturating_add(CREDIT_BYTES).saturating_sub(sent)
    }

    /// Until when one without credit may owe.
    pub(super) fn deadline(&mut self) -> Instant {
        *self.owing.get_or_insert_with(Instant::now) + self.patience
    }

    /// It owes nothing.
    pub(super) const fn settle(&mut self) {
        self.owing = None;
    }

    /// It was moved.
    pub(super) fn moved(&mut self, to: u64, acked: Option<u64>) {
        let acked = acked.unwrap_or(0);
        if acked > self.acked {
            self.patience = *OWING.start();
        } else if self.owing.is_some() {
            self.patience = (self.patience * 2).min(*OWING.end());
        }
        self.base = to;
        self.owing = None;
        self.acked = acked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_what_was_acknowledged_and_a_little_more() {
        let mut account = Account::new();
        assert_eq!(account.credit(None, 1 << 40), u64::MAX, "who never acknowledges is bounded by its socket");
        assert_eq!(account.credit(Some(100), 100), CREDIT_BYTES);
        assert_eq!(account.credit(Some(100), 100 + CREDIT_BYTES), 0);
        assert_eq!(account.credit(Some(u64::MAX), 5), CREDIT_BYTES);
        account.moved(1 << 30, Some(100));
        assert_eq!(account.credit(Some(100), 1 << 30), CREDIT_BYTES, "it is given credit anew");
    }

    #[test]
    fn who_stays_silent_is_moved_ever_less_often() {
        let mut account = Account::new();
        account.moved(1, Some(1));
        assert_eq!(account.patience, Duration::from_secs(1));
        account.moved(2, Some(1));
        assert_eq!(account.patience, Duration::from_secs(1), "it owed nothing");
        for _ in 0..10 {
            account.deadline();
            account.moved(1, Some(1));
        }
        assert_eq!(account.patience, Duration::from_secs(60));
        account.deadline();
        account.moved(1, Some(2));
        assert_eq!(account.patience, Duration::from_secs(1));
    }
}
