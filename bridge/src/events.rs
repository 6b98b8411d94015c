//! The event log: numbered here, kept in the database, and fed live to `WS /v1/events`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_proto::api::{Event, Mark, Scope};
use baton_proto::ids::{ApprovalId, Cursor, SessionId};
use baton_proto::v1::{ClientEntry, ExitRecord, LeaseRecord};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::show;
use crate::store::Store;

/// Events kept in memory; whoever is further behind reads the database.
const RECENT_MAX: usize = 4096;
/// The log is cut back to its bound each time so many events were added.
const PRUNE_EVERY: u64 = 1000;
/// Clients named in a `clients` event; beyond that they are only counted.
const CLIENTS_NAMED_MAX: usize = 32;

#[derive(Debug)]
struct Recent {
    next_seq: u64,
    events: VecDeque<Arc<Event>>,
}

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

/// The log.
#[derive(Debug, Clone)]
pub struct EventLog {
    store: Store,
    recent: Arc<Mutex<Recent>>,
    changed: Arc<watch::Sender<u64>>,
}

impl EventLog {
    /// Goes on after the newest event of the database.
    pub async fn open(store: Store) -> Self {
        let newest = store.newest_event().await.unwrap_or(0);
        let recent = Arc::new(Mutex::new(Recent { next_seq: newest + 1, events: VecDeque::new() }));
        Self { store, recent, changed: Arc::new(watch::Sender::new(newest)) }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, scope: Scope, scope_id: String, kind: &str, data: Value) {
        let at_us = clock::now_us();
        let mut recent = self.recent();
        let event =
            Event { seq: recent.next_seq, scope, scope_id, kind: kind.to_owned(), at: clock::rfc3339(at_us), data };
        recent.next_seq += 1;
        if recent.events.len() == RECENT_MAX {
            recent.events.pop_front();
        }
        self.store.append_event(&event, at_us);
        if event.seq.is_multiple_of(PRUNE_EVERY) {
            self.store.prune_events();
            self.store.prune_leases(crate::store::events::EVENTS_MAX);
            self.store.prune_answers();
        }
        let seq = event.seq;
        recent.events.push_back(Arc::new(event));
        drop(recent);
        self.changed.send_replace(seq);
    }

    /// Something happened to a session.
    pub fn session(&self, id: SessionId, kind: &str, data: Value) {
        self.append(Scope::Session, id.to_string(), kind, data);
    }

    /// Something happened to an approval. `data` never holds what is asked for.
    pub fn approval(&self, id: ApprovalId, kind: &str, data: Value) {
        self.append(Scope::Approval, id.to_string(), kind, data);
    }

    /// Something happened to Baton.
    pub fn system(&self, kind: &str, data: Value) {
        self.append(Scope::System, "baton".to_owned(), kind, data);
    }

    /// A lease was announced.
    pub fn lease(&self, id: SessionId, record: &LeaseRecord, until_us: u64) {
        self.store.note_lease(id, record);
        let data = serde_json::to_value(show::lease(record, until_us)).unwrap_or_default();
        self.session(id, "lease", json!({ "epoch": record.epoch, "lease": data }));
    }

    /// A program ended.
    pub fn exit(&self, id: SessionId, exit: &ExitRecord, head: u64, oldest: u64, last_activity_us: u64) {
        self.store.note_end(id, head, oldest, last_activity_us);
        self.session(id, "exit", json!({ "code": exit.code, "signal": exit.signal, "reason": exit.reason }));
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

    /// Events after `seq` that are still in memory; `None` when some after it no longer are.
    #[must_use]
    pub fn recent_after(&self, seq: u64) -> Option<Vec<Arc<Event>>> {
        let recent = self.recent();
        let first = recent.events.front().map_or(recent.next_seq, |event| event.seq);
        if seq + 1 < first {
            return None;
        }
        Some(recent.events.iter().filter(|event| event.seq > seq).map(Arc::clone).collect())
    }

    /// The newest event's number.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.recent().next_seq - 1
    }

    /// Told when there is a new event.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
