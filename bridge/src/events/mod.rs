//! The event log: numbered here, kept in the database, and fed live to `WS /v1/events`.
//!
//! **A number is given once, ever.** Within a life of the bridge they have no holes. A life begins after the newest event of
//! the database and not before the clock's microsecond: whatever was told and is in no database any more (the machine stopped
//! hard, an older copy was put in place), its numbers are not given to anything else. So a cursor that the log does not know is
//! known to be one, and is answered by a gap.
//!
//! **What is told is in the database.** A client that comes back after `kill -9` with its last number gets each event after it
//! once. Only while the database fails events are told that may be lost.

mod state;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_proto::api::{Event, Mark, Scope, SessionStatus};
use baton_proto::ids::{ApprovalId, Cursor, SessionId};
use baton_proto::v1::{ClientEntry, ExitRecord, LeaseRecord};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

pub use state::{Entry, text};
use state::{Fresh, Given, State};

use crate::access::whose::Whose;
use crate::clock;
use crate::show;
use crate::store::Store;
use crate::store::events::{EVENTS_MAX, EventPage};

/// The type of an event that stands for others, which nobody will tell: `{"lost": n}`, at most so many, or `null`.
pub const GAP: &str = "gap";

/// Events written in one transaction: less than the ring holds, so that who reads along need not read the database.
const BATCH_MAX: usize = 1024;
/// The log is cut back to its bound each time so many events were added.
const PRUNE_EVERY: u64 = 1000;
/// Clients named in a `clients` event; beyond that they are only counted.
const CLIENTS_NAMED_MAX: usize = 32;
/// Between two tries to write to a database that fails.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// With an event that happens it is tried sooner, but not more often than this, microseconds.
const AGAIN_AT_ONCE_US: u64 = 100_000;

/// Which marks of a session were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Those up to this place.
    Until(Cursor),
    /// None.
    Nothing,
    /// The log does not reach back far enough to say.
    Unknown,
}

/// What there is after a cursor.
#[derive(Debug)]
pub enum After {
    /// These, oldest first; none = nothing yet.
    AtHand(Vec<Arc<Entry>>),
    /// More than is at hand: these from the database, after a gap if there is one.
    Older {
        /// Stands for what is not there any more.
        gap: Option<Arc<Entry>>,
        /// Oldest first.
        events: Vec<Event>,
        /// Where to go on.
        cursor: u64,
    },
}

/// The log.
#[derive(Debug, Clone)]
pub struct EventLog {
    store: Store,
    state: Arc<Mutex<State>>,
    /// Events in the database, as its thread counts them.
    rows: Arc<AtomicU64>,
    changed: Arc<watch::Sender<u64>>,
    failed: Arc<Notify>,
}

impl EventLog {
    /// Goes on after the newest event of the database.
    pub async fn open(store: Store) -> Self {
        let (newest, rows) = store.newest_event().await.unwrap_or((0, 0));
        let first = clock::now_us().max(newest + 1);
        let log = Self {
            store,
            state: Arc::new(Mutex::new(State::new(first))),
            rows: Arc::new(AtomicU64::new(rows)),
            changed: Arc::new(watch::Sender::new(first - 1)),
            failed: Arc::default(),
        };
        tokio::spawn(log.clone().try_again());
        log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, scope: Scope, scope_id: String, kind: &str, data: Value) {
        let fresh = Fresh { scope, scope_id, kind: kind.to_owned(), data, at_us: clock::now_us() };
        let (given, write, newest) = {
            let (mut state, now_us) = (self.state(), fresh.at_us);
            let given = state.give(fresh);
            // What happens may be that the disk has room again: then there is no better moment.
            let write = state.begin_writing() || state.try_again(now_us, AGAIN_AT_ONCE_US);
            (given, write, state.newest())
        };
        if given != Given::Lost && newest.is_multiple_of(PRUNE_EVERY) {
            self.store.prune_leases(EVENTS_MAX);
            self.store.prune_answers();
        }
        if write {
            self.write();
        }
        if given == Given::Told {
            self.changed.send_replace(newest);
        }
    }

    /// Has the database's thread write what waits by then.
    fn write(&self) {
        let (log, then) = (self.clone(), self.clone());
        let begun = self.store.wholly_then(
            move |connection| {
                let batch = log.state().batch(BATCH_MAX, clock::now_us());
                crate::store::events::insert(connection, log.store.seals(), &batch)?;
                let rows = log.rows.load(Ordering::Relaxed) + batch.len() as u64;
                let over = rows.saturating_sub(EVENTS_MAX);
                let cut = if over >= PRUNE_EVERY { crate::store::events::cut(connection, over)? } else { 0 };
                Ok((batch.last().map_or(0, |entry| entry.event.seq), rows - cut))
            },
            move |outcome| {
                if let Some((_, rows)) = outcome {
                    then.rows.store(rows, Ordering::Relaxed);
                }
                then.settle(outcome.map(|(upto, _)| upto));
            },
        );
        if !begun {
            self.settle(None);
        }
    }

    /// What became of a batch.
    fn settle(&self, kept: Option<u64>) {
        let (told, write) = {
            let mut state = self.state();
            match kept {
                Some(upto) => state.kept(upto),
                None => state.failed(),
            }
            (state.told(), state.begin_writing())
        };
        self.changed.send_replace(told);
        if write {
            self.write();
        }
        if kept.is_none() {
            self.failed.notify_one();
        }
    }

    /// Writes again what could not be written. Nothing happens here as long as the database works.
    async fn try_again(self) {
        loop {
            self.failed.notified().await;
            tokio::time::sleep(TRY_AGAIN).await;
            if self.state().try_again(clock::now_us(), 0) {
                self.write();
            }
        }
    }

    /// Whether what happens is told and not in the database: other rows may find their place there all the same.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state().is_failing()
    }

    /// Waits until what has happened is in the database, or that fails.
    pub async fn flush(&self) {
        let mut changed = self.subscribe();
        let newest = self.newest();
        while !self.state().is_settled(newest) && changed.changed().await.is_ok() {}
    }

    /// Something happened to a session.
    pub fn session(&self, id: SessionId, kind: &str, data: Value) {
        self.append(Scope::Session, id.to_string(), kind, data);
    }

    /// A session is gone, for good. Those hear of it who saw it.
    pub fn forgotten(&self, id: SessionId, whose: &Whose<'_>) {
        let mut data = json!({ "status": "forgotten" });
        whose.keep_in(&mut data);
        self.session(id, "status", data);
    }

    /// Something happened to an approval. `data` never holds what is asked for.
    pub fn approval(&self, id: ApprovalId, kind: &str, data: Value) {
        self.append(Scope::Approval, id.to_string(), kind, data);
    }

    /// Something happened to Baton.
    pub fn system(&self, kind: &str, data: Value) {
        self.append(Scope::System, "baton".to_owned(), kind, data);
    }

    /// A lease was announced, at this place of the output.
    pub fn lease(&self, id: SessionId, at: Cursor, record: &LeaseRecord, until_us: u64) {
        self.lease_found(id, at, record);
        let data = serde_json::to_value(show::lease(record, until_us)).unwrap_or_default();
        self.session(id, "lease", json!({ "epoch": record.epoch, "lease": data }));
    }

    /// A lease is what it is: it may have changed while nobody listened.
    pub fn lease_found(&self, id: SessionId, at: Cursor, record: &LeaseRecord) {
        self.store.note_lease(id, at.instance, at.offset, record);
    }

    /// Where it is kept.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// How much there was of a program that ended.
    pub fn note_end(&self, id: SessionId, head: u64, oldest: u64, last_activity_us: u64) {
        self.store.note_end(id, head, oldest, last_activity_us);
    }

    /// A program ended.
    pub fn end(&self, id: SessionId, exit: &ExitRecord) {
        self.session(id, "exit", json!({ "code": exit.code, "signal": exit.signal, "reason": exit.reason }));
    }

    /// A program ended while nobody listened: tells it, and what became of the session, unless that was told before.
    pub async fn end_of_before(&self, id: SessionId, status: SessionStatus, exit: &ExitRecord) {
        match self.store.was_living(id).await {
            Ok(true) => {
                self.end(id, exit);
                self.session(id, "status", json!({ "status": status }));
            }
            Ok(false) => {}
            Err(failure) => tracing::warn!(session = %id, %failure, "whether its end was told is not known"),
        }
    }

    /// A program, or its shell, marked a place of the output.
    pub fn mark(&self, id: SessionId, mark: &Mark) {
        self.session(id, "mark", serde_json::to_value(mark).unwrap_or_default());
    }

    /// Which marks were told of a session that was made then.
    pub async fn told_marks(&self, id: SessionId, created_us: u64) -> Told {
        match self.store.newest_mark(id).await {
            Ok((Some(mark), _)) => {
                serde_json::from_value(mark).map_or(Told::Unknown, |mark: Mark| Told::Until(mark.cursor))
            }
            Ok((None, oldest_us)) if oldest_us <= created_us => Told::Nothing,
            Ok((None, _)) | Err(_) => Told::Unknown,
        }
    }

    /// Who is attached changed.
    pub fn clients(&self, id: SessionId, clients: &[ClientEntry]) {
        let named: Vec<_> = clients.iter().take(CLIENTS_NAMED_MAX).map(show::client).collect();
        self.session(id, "clients", json!({ "count": clients.len(), "clients": named }));
    }

    /// The number of the newest event, told or about to be: what happens from now on has a larger one.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.state().newest()
    }

    /// The number of the newest event that was told. No larger one is a cursor of this log.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.state().told()
    }

    /// Told when there is a new event.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Events after `seq` (0 = all that are kept), no more than `max`.
    pub async fn after(&self, seq: u64, max: usize) -> After {
        let (told, first, at_hand_after) = {
            let state = self.state();
            if let Some(events) = state.after(seq, max) {
                return After::AtHand(events);
            }
            (state.told(), state.first(), state.at_hand_after())
        };
        let page = self.store.events_page(seq, told, u32::try_from(max).unwrap_or(u32::MAX)).await;
        let lost = page.as_ref().map_or(Some(None), |page| lost(seq, first, page));
        let events = page.map_or_else(|_| Vec::new(), |page| page.events);
        // Of what is not in the database there is nothing before what is at hand.
        let cursor = events.last().map_or(at_hand_after, |event| event.seq);
        let before = events.first().map_or(cursor, |event| event.seq - 1);
        After::Older { gap: lost.map(|lost| gap(lost, before)), events, cursor }
    }

    /// The beginning of what is kept after `floor`, for who comes with a cursor that is none of this log's.
    pub async fn anew(&self, floor: u64, max: usize) -> After {
        let (events, cursor) = match self.after(floor, max).await {
            After::Older { events, cursor, .. } => (events, cursor),
            After::AtHand(entries) => {
                let cursor = entries.last().map_or_else(|| self.told().max(floor), |entry| entry.event.seq);
                (entries.iter().map(|entry| entry.event.clone()).collect(), cursor)
            }
        };
        let before = events.first().map_or(cursor, |event| event.seq - 1);
        After::Older { gap: Some(gap(None, before)), events, cursor }
    }
}

/// Whether events after `seq` are not kept any more, and how many.
fn lost(seq: u64, first: u64, page: &EventPage) -> Option<Option<u64>> {
    if seq == 0 {
        return None;
    }
    if seq + 1 >= first {
        // Of this life: numbers have no holes, so what is missing was cut away.
        let missing = page.oldest.saturating_sub(seq + 1);
        return (missing > 0).then_some(Some(missing));
    }
    // What was told by a life before this one is a row, unless it was cut away, lost with the machine, or is of another log.
    (!page.knows_cursor).then_some(None)
}

fn gap(lost: Option<u64>, seq: u64) -> Arc<Entry> {
    Arc::new(Fresh::gap(lost, clock::now_us()).numbered(seq))
}
