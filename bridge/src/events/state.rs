//! Which events there are and where each is: given a number, kept in the database, told. No I/O, and the clock is an argument.
//!
//! ```text
//! give ──► queue ──kept──► ring ──► consumers          what is told is in the database
//!            └────failed──► ring, and stays queued      while that fails: told, and tried again
//! ```
//!
//! Both are bounded, in events and in bytes. What finds the queue full is not told either, as long as the database works: it
//! is counted, and an event `gap` with `{"lost": n}` takes its place. With a database that fails it is told and counted.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use baton_proto::api::{Event, Scope};
use serde_json::json;

use super::GAP;
use crate::access::whose::Whose;
use crate::clock;

/// Most that waits for the database. It takes some ten thousand events a second: a disk may stall for half a second of those.
const QUEUE: Bound = Bound { events: 8192, bytes: 8 << 20 };
/// Most that is kept at hand for who is a little behind; who is further behind reads the database.
const RING: Bound = Bound { events: 4096, bytes: 4 << 20 };

#[derive(Debug, Clone, Copy)]
struct Bound {
    events: usize,
    /// Of text.
    bytes: usize,
}

/// An event, and its JSON, which all who hear of it share.
#[derive(Debug)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// When: microseconds since 1970.
    pub at_us: u64,
    /// The message that tells of it.
    pub text: Utf8Bytes,
}

/// The message that tells of an event.
#[must_use]
pub fn text(event: &Event) -> Utf8Bytes {
    if Whose::is_in(event) {
        let mut told = event.clone();
        Whose::hide(&mut told);
        return text(&told);
    }
    serde_json::to_string(event).unwrap_or_else(|_| unreachable!("events have string keys only")).into()
}

/// An event that has no number yet.
#[derive(Debug)]
pub struct Fresh {
    pub scope: Scope,
    pub scope_id: String,
    pub kind: String,
    pub data: serde_json::Value,
    /// When it happened: microseconds since 1970.
    pub at_us: u64,
}

impl Fresh {
    /// So many events were lost; `None` = nobody knows how many.
    pub fn gap(lost: Option<u64>, at_us: u64) -> Self {
        let (scope, scope_id) = (Scope::System, "baton".to_owned());
        Self { scope, scope_id, kind: GAP.to_owned(), data: json!({ "lost": lost }), at_us }
    }

    /// With its number.
    pub fn numbered(self, seq: u64) -> Entry {
        let Self { scope, scope_id, kind, data, at_us } = self;
        let event = Event { seq, scope, scope_id, kind, at: clock::rfc3339(at_us), data };
        Entry { text: text(&event), event, at_us }
    }
}

/// What became of an event that was given to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// It waits for the database, and is told then.
    Waits,
    /// It was told, since the database fails.
    Told,
    /// It was counted, and nothing else.
    Lost,
}

/// A queue that knows how much text it holds.
#[derive(Debug, Default)]
struct Bounded {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl Bounded {
    fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.text.len();
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Arc<Entry>> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.text.len();
        Some(entry)
    }

    fn is_full(&self, bound: Bound) -> bool {
        self.entries.len() >= bound.events || self.bytes >= bound.bytes
    }

    /// Where those after `seq` begin.
    fn after(&self, seq: u64) -> usize {
        self.entries.partition_point(|entry| entry.event.seq <= seq)
    }
}

/// The log of one life of the bridge.
#[derive(Debug)]
pub struct State {
    /// The first number of this life; from here on numbers have no holes.
    first: u64,
    next: u64,
    /// The newest that was told.
    told: u64,
    /// Given and not in the database, by number.
    queue: Bounded,
    /// Told, the newest of them.
    ring: Bounded,
    /// The newest that left the ring.
    left: u64,
    /// Events that are in no database, and of which no event `gap` tells yet.
    lost: u64,
    /// The database took the last batch not.
    failing: bool,
    /// A batch is being written, or soon will be.
    writing: bool,
    /// It is being written just now.
    in_flight: bool,
    /// When it was tried again last: microseconds since 1970.
    tried_us: u64,
}

impl State {
    /// A log whose next event has this number.
    pub fn new(first: u64) -> Self {
        Self {
            first,
            next: first,
            told: first - 1,
            queue: Bounded::default(),
            ring: Bounded::default(),
            left: first - 1,
            lost: 0,
            failing: false,
            writing: false,
            in_flight: false,
            tried_us: 0,
        }
    }

    /// The first number of this life.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The newest event that there is, told or not.
    pub const fn newest(&self) -> u64 {
        self.next - 1
    }

    /// The newest event that was told.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// Whoever has heard of this one, or of a later one, finds the rest by [`State::after`].
    pub const fn at_hand_after(&self) -> u64 {
        self.left
    }

    /// Takes an event.
    pub fn give(&mut self, fresh: Fresh) -> Given {
        let full = self.queue.is_full(QUEUE);
        if full {
            self.lost += 1;
        }
        if full && !self.failing {
            return Given::Lost;
        }
        let entry = self.number(fresh);
        if !full {
            self.queue.push(Arc::clone(&entry));
        }
        if self.failing {
            // All before it were told when the database failed, or since.
            self.tell(entry);
            return Given::Told;
        }
        Given::Waits
    }

    fn number(&mut self, fresh: Fresh) -> Arc<Entry> {
        let entry = fresh.numbered(self.next);
        self.next += 1;
        Arc::new(entry)
    }

    fn tell(&mut self, entry: Arc<Entry>) {
        self.told = entry.event.seq;
        self.ring.push(entry);
        while self.ring.entries.len() > 1
            && (self.ring.entries.len() > RING.events || self.ring.bytes > RING.bytes)
            && let Some(gone) = self.ring.pop()
        {
            self.left = gone.event.seq;
        }
    }

    /// Whether the caller is to have a batch written: there is something, and nobody else does it.
    pub fn begin_writing(&mut self) -> bool {
        let begin = !self.writing && (self.lost > 0 || !self.queue.entries.is_empty());
        self.writing |= begin;
        self.in_flight |= begin;
        begin
    }

    /// What is to be written now, oldest first; with it what is to be said of events that were lost, once there is a
    /// database that takes it.
    pub fn batch(&mut self, max: usize, at_us: u64) -> Vec<Arc<Entry>> {
        if self.lost > 0 && !self.failing {
            let lost = std::mem::take(&mut self.lost);
            let gap = self.number(Fresh::gap(Some(lost), at_us));
            self.queue.push(gap);
        }
        self.queue.entries.iter().take(max).map(Arc::clone).collect()
    }

    /// A batch, up to this one, is in the database.
    pub fn kept(&mut self, upto: u64) {
        (self.failing, self.writing, self.in_flight) = (false, false, false);
        while self.queue.entries.front().is_some_and(|entry| entry.event.seq <= upto)
            && let Some(entry) = self.queue.pop()
        {
            if entry.event.seq > self.told {
                self.tell(entry);
            }
        }
    }

    /// A batch is not in the database. It is told all the same, and tried again: [`State::try_again`].
    pub fn failed(&mut self) {
        (self.failing, self.in_flight) = (true, false);
        for at in self.queue.after(self.told)..self.queue.entries.len() {
            let entry = Arc::clone(&self.queue.entries[at]);
            self.tell(entry);
        }
    }

    /// Whether the database took the last batch not.
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Whether the caller is to try again after a failure: nobody does just now, nor did so shortly before.
    pub fn try_again(&mut self, now_us: u64, pause_us: u64) -> bool {
        let again = self.failing && self.writing && !self.in_flight && now_us.saturating_sub(self.tried_us) >= pause_us;
        if again {
            (self.in_flight, self.tried_us) = (true, now_us);
        }
        again
    }

    /// Whether all that was given up to this one is told, or never will be before the database recovers.
    pub const fn is_settled(&self, upto: u64) -> bool {
        self.told >= upto || self.failing
    }

    /// Told events after `seq`, oldest first and no more than `max`; `None` when some of them have left the ring.
    pub fn after(&self, seq: u64, max: usize) -> Option<Vec<Arc<Entry>>> {
        if seq < self.left {
            return None;
        }
        Some(self.ring.entries.iter().skip(self.ring.after(seq)).take(max).map(Arc::clone).collect())
    }
}
