//! What the worker does about a journal that takes no records: it tells everybody, and tries again now and then.

use std::time::Duration;

use baton_proto::frame::Kind;
use baton_proto::lease::Monotonic;
use baton_proto::v1::JournalState;

use super::Worker;
use super::journal::Mended;

/// Between two tries. Until the first that succeeds, output passes through unwritten: short enough to lose little of what could
/// be kept, long enough to cost nothing.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// When room is kept for a full disk: a session that is gone before needs none, and its first moments are busy enough.
const RESERVE_AFTER: Duration = Duration::from_secs(2);

/// What was told of the journal, and when it is looked at again.
#[derive(Debug)]
pub struct Watch {
    told: bool,
    try_at: Option<Monotonic>,
    reserve_at: Option<Monotonic>,
}

impl Watch {
    /// Of a journal that is about to be used.
    #[must_use]
    pub fn new(read_only: bool, now: Monotonic) -> Self {
        Self { told: false, try_at: None, reserve_at: (!read_only).then(|| now.after(RESERVE_AFTER)) }
    }

    /// The next moment at which there is something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        self.try_at.into_iter().chain(self.reserve_at).min()
    }
}

impl Worker {
    /// What is due by now: room for bad times, or another try.
    pub(super) fn look_at_journal(&mut self, now: Monotonic) {
        if self.journal_watch.reserve_at.is_some_and(|at| at <= now) {
            self.journal_watch.reserve_at = None;
            if let Err(err) = self.journal.keep_reserve() {
                tracing::warn!(error = %err, "no room is kept for a full disk");
            }
        }
        if self.journal_watch.try_at.is_some_and(|at| at <= now) {
            self.journal_watch.try_at = Some(now.after(TRY_AGAIN));
            match self.journal.mend() {
                Ok(Some(mended)) => self.mended(mended),
                Ok(None) => self.journal_watch.try_at = None,
                Err(err) => tracing::debug!(error = %err, "the journal cannot be written yet"),
            }
        }
        self.tell_journal(now);
    }

    fn mended(&mut self, mended: Mended) {
        let Mended { from, lost, before, end } = mended;
        tracing::info!(from, lost, "the journal can be written again");
        for conn in self.conns.values_mut() {
            conn.skip(before, end);
        }
        self.screens.stir();
        if std::mem::take(&mut self.journal_watch.told) {
            self.broadcast_journal(&JournalState { error: None, from, lost });
        }
        self.journal_watch.try_at = None;
    }

    /// Tells once that records cannot be written. The session goes on.
    pub(super) fn tell_journal(&mut self, now: Monotonic) {
        if self.journal_watch.told {
            return;
        }
        let Some(state) = self.journal_state() else { return };
        tracing::error!(error = ?state.error, "the journal cannot be written: output passes through, the gap will be marked");
        self.journal_watch.told = true;
        self.journal_watch.try_at = Some(now.after(TRY_AGAIN));
        self.broadcast_journal(&state);
    }

    /// How the journal fails, if it does.
    pub(super) fn journal_state(&self) -> Option<JournalState> {
        let failing = self.journal.failing()?;
        let error = Some(failing.text().chars().take(JournalState::ERROR_CHARS_MAX).collect());
        Some(JournalState { error, from: failing.from(), lost: self.journal.missing() })
    }

    fn broadcast_journal(&mut self, state: &JournalState) {
        let end = self.journal.end();
        for conn in self.conns.values_mut().filter(|conn| conn.is_subscribed()) {
            conn.send_fenced(end, Kind::JournalState, 0, state);
        }
    }
}
