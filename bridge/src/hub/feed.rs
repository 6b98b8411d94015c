//! What a session's subscribers are fed from: the newest output as shared chunks, and what happened between the bytes.
//!
//! ```text
//!   offset        front                                head
//!   ───────────────┬──────┬─────────┬────────────┬───────►
//!   journal only   │ chunk│  chunk  │   chunk    │          binary message (and JSON text) built once, shared by all
//!                         ▲         ▲
//!                      resize     lease                    controls: numbered, each at its place among the bytes
//! ```
//!
//! A subscriber is a [`Position`]: an offset and the number of the next control. It takes chunks while its offset is
//! kept here; further back it reads the journal ([`Step::Behind`]) and finds the controls here all the same: they are
//! small and kept longer. So whoever lags costs nobody anything, is never disconnected, and sees everything in the order
//! in which the worker said it.
//!
//! Chunks are kept only while a subscriber has not taken them, at most [`SESSION_BYTES_MAX`] of them and
//! [`TOTAL_BYTES_MAX`] over all sessions.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use baton_proto::ids::{Epoch, InstanceId};
use baton_proto::v1::{Dimensions, MarkRecord};
use tokio::sync::watch;

use super::chunk::Chunk;

/// Bytes of chunks a session keeps while somebody lags.
pub const SESSION_BYTES_MAX: usize = 1 << 20;
/// Bytes of chunks all sessions keep together.
pub const TOTAL_BYTES_MAX: usize = 64 << 20;
/// Controls a session keeps. Who is further behind than so many lease changes is told the newest of them.
const CONTROLS_MAX: usize = 4096;
/// Marks a session keeps for whoever waits for one: who waits takes them as they come.
const MARKS_MAX: usize = 256;
/// Chunks nobody needs are looked for each time so many bytes have gathered: the search costs as many steps as there
/// are subscribers.
const SWEEP_BYTES: usize = 64 << 10;

/// What a control is about, where that matters to whoever passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The lease, under this epoch.
    Lease(Epoch),
    /// The terminal's size.
    Size(Dimensions),
    /// What the program has switched on, and the title it has set, perhaps long before.
    Mode,
    /// The end: nothing follows.
    End,
    /// Anything else.
    Other,
}

/// Something that happened at a place of the output.
#[derive(Debug, Clone)]
pub struct Control {
    number: u64,
    offset: u64,
    /// The frame, as every client gets it.
    pub text: Utf8Bytes,
    /// What it is about.
    pub subject: Subject,
}

impl Control {
    /// Output bytes before it.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }
}

/// A mark as the worker told it, for whoever waits for one. Clients learn of marks by events.
#[derive(Debug)]
pub struct Marked {
    number: u64,
    /// When it was noted, microseconds since 1970.
    pub wall_us: u64,
    /// What it says.
    pub record: MarkRecord,
}

/// Why a feed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The worker's connection broke; it, or its successor, can be attached to anew.
    WorkerAway,
    /// The session was forgotten.
    Forgotten,
}

/// Where a subscriber is. Its offset counts what it was given, not what it has read.
#[derive(Debug)]
pub struct Position {
    /// Output bytes before it.
    pub offset: u64,
    control: u64,
    mark: u64,
    clients: u64,
    shared: Arc<AtomicU64>,
}

impl Position {
    /// Moves on, so that what is behind need not be kept.
    pub fn move_to(&mut self, offset: u64) {
        self.offset = offset;
        self.shared.store(offset, Ordering::Relaxed);
    }
}

/// What a subscriber is given next.
#[derive(Debug)]
pub enum Item {
    /// Output.
    Chunk(Arc<Chunk>),
    /// Something between the bytes.
    Control(Control),
    /// Who is attached, as a frame.
    Clients(Utf8Bytes),
}

/// What a subscriber does next.
#[derive(Debug)]
pub enum Step {
    /// Send these.
    Items(Vec<Item>),
    /// Read the journal from the position's offset, up to this one.
    Behind {
        /// Here the chunks begin, or a control stands, or the head is.
        until: u64,
    },
    /// Wait for a change.
    UpToDate,
    /// Nothing more will come.
    Ended(Ended),
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Arc<Chunk>>,
    cost: usize,
    unswept: usize,
    head: u64,
    controls: VecDeque<Control>,
    next_control: u64,
    marks: VecDeque<Arc<Marked>>,
    next_mark: u64,
    clients: Option<(u64, Utf8Bytes)>,
    positions: HashMap<u64, Arc<AtomicU64>>,
    next_position: u64,
    ended: Option<Ended>,
}

/// One session's feed, for as long as one connection to its worker lasts.
#[derive(Debug)]
pub struct Feed {
    /// This life of the program.
    pub instance: InstanceId,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    total: Arc<AtomicUsize>,
}

/// A subscription; dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    /// What it is fed from.
    pub feed: Arc<Feed>,
    /// Where it is.
    pub position: Position,
    key: u64,
    changed: watch::Receiver<()>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.positions.remove(&self.key);
        self.feed.sweep(&mut state);
    }
}

impl Subscription {
    /// Waits until the feed has changed since this was last called.
    pub async fn changed(&mut self) {
        // The sender lives in the feed that this holds.
        drop(self.changed.changed().await);
    }

    /// The controls that stand before `offset`, or at it, and were not given yet; but for the end, which stands behind
    /// whatever comes in the place of the bytes.
    #[must_use]
    pub fn controls_until(&mut self, offset: u64) -> Vec<Control> {
        let feed = Arc::clone(&self.feed);
        feed.controls_until(&mut self.position, offset)
    }

    /// The marks that were not given yet.
    #[must_use]
    pub fn marks(&mut self) -> Vec<Arc<Marked>> {
        let feed = Arc::clone(&self.feed);
        let state = feed.lock();
        let after = state.marks.partition_point(|mark| mark.number < self.position.mark);
        self.position.mark = state.next_mark;
        state.marks.iter().skip(after).map(Arc::clone).collect()
    }

    /// What to do next; items for about `max_bytes` at once.
    pub fn next(&mut self, max_bytes: usize) -> Step {
        self.changed.mark_unchanged();
        let feed = Arc::clone(&self.feed);
        feed.step(&mut self.position, max_bytes)
    }
}

impl Feed {
    /// A feed that begins at the worker's head. `total` counts the bytes of all feeds.
    #[must_use]
    pub fn new(instance: InstanceId, head: u64, total: Arc<AtomicUsize>) -> Arc<Self> {
        let state = Mutex::new(State { head, ..State::default() });
        Arc::new(Self { instance, state, changed: watch::Sender::new(()), total })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes from the feed's head on, controls from now on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut state = self.lock();
        let shared = Arc::new(AtomicU64::new(state.head));
        let key = state.next_position;
        state.next_position += 1;
        state.positions.insert(key, Arc::clone(&shared));
        // Attaching changes presence: what was told before it is old, the news is on its way.
        let clients = state.clients.as_ref().map_or(0, |(version, _)| *version);
        let (control, mark) = (state.next_control, state.next_mark);
        let position = Position { offset: state.head, control, mark, clients, shared };
        Subscription { feed: Arc::clone(self), position, key, changed: self.changed.subscribe() }
    }

    /// Output offset after the newest chunk.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.lock().head
    }

    /// How many subscribe.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.lock().positions.len()
    }

    /// Adds output. Call [`Self::wake`] when the batch is whole.
    pub fn push(&self, chunk: Chunk) {
        let mut state = self.lock();
        state.head = chunk.end();
        if state.positions.is_empty() {
            return;
        }
        let cost = chunk.cost();
        state.cost += cost;
        state.unswept += cost;
        self.total.fetch_add(cost, Ordering::Relaxed);
        state.chunks.push_back(Arc::new(chunk));
        if state.unswept >= SWEEP_BYTES {
            self.sweep(&mut state);
        }
        while state.cost > SESSION_BYTES_MAX || self.total.load(Ordering::Relaxed) > TOTAL_BYTES_MAX {
            if !self.evict(&mut state) {
                break;
            }
        }
    }

    /// The head jumps: bytes the journal does not have either.
    pub fn skip_to(&self, head: u64) {
        let mut state = self.lock();
        while self.evict(&mut state) {}
        state.head = head;
    }

    /// Adds what happened between the bytes.
    pub fn control(&self, text: Utf8Bytes, subject: Subject) {
        let mut state = self.lock();
        let (number, offset) = (state.next_control, state.head);
        state.next_control += 1;
        if state.controls.len() == CONTROLS_MAX {
            state.controls.pop_front();
        }
        state.controls.push_back(Control { number, offset, text, subject });
    }

    /// Adds a mark.
    pub fn mark(&self, record: MarkRecord, wall_us: u64) {
        let mut state = self.lock();
        let number = state.next_mark;
        state.next_mark += 1;
        if state.marks.len() == MARKS_MAX {
            state.marks.pop_front();
        }
        state.marks.push_back(Arc::new(Marked { number, wall_us, record }));
    }

    /// Who is attached now; only the newest is kept.
    pub fn clients(&self, text: Utf8Bytes) {
        let mut state = self.lock();
        let version = state.clients.as_ref().map_or(1, |(version, _)| version + 1);
        state.clients = Some((version, text));
    }

    /// Nothing more will come.
    pub fn end(&self, ended: Ended) {
        self.lock().ended.get_or_insert(ended);
        self.wake();
    }

    /// Why nothing more will come, if so.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.lock().ended
    }

    /// Wakes every subscriber.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    fn evict(&self, state: &mut State) -> bool {
        let Some(chunk) = state.chunks.pop_front() else { return false };
        state.cost -= chunk.cost();
        self.total.fetch_sub(chunk.cost(), Ordering::Relaxed);
        true
    }

    /// Drops the chunks that everybody has.
    fn sweep(&self, state: &mut State) {
        state.unswept = 0;
        // Somebody further back than the chunks reads the journal and needs none of them yet, but will.
        let slowest =
            state.positions.values().map(|position| position.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX);
        while state.chunks.front().is_some_and(|chunk| chunk.end() <= slowest) {
            self.evict(state);
        }
    }

    fn controls_until(&self, position: &mut Position, offset: u64) -> Vec<Control> {
        let state = self.lock();
        let first = state.controls.partition_point(|control| control.number < position.control);
        let before = |control: &&Control| control.offset <= offset && control.subject != Subject::End;
        let controls: Vec<_> = state.controls.iter().skip(first).take_while(before).cloned().collect();
        if let Some(last) = controls.last() {
            position.control = last.number + 1;
        }
        controls
    }

    fn step(&self, position: &mut Position, max_bytes: usize) -> Step {
        let state = self.lock();
        let mut items = Vec::new();
        let mut bytes = 0;
        let first_control = state.controls.front().map_or(state.next_control, |control| control.number);
        position.control = position.control.max(first_control);
        while bytes < max_bytes {
            let index = usize::try_from(position.control - first_control).unwrap_or(usize::MAX);
            let control = state.controls.get(index);
            if let Some(control) = control.filter(|control| control.offset <= position.offset) {
                items.push(Item::Control(control.clone()));
                bytes += control.text.len();
                position.control += 1;
                continue;
            }
            if position.offset >= state.head {
                break;
            }
            let after = state.chunks.partition_point(|chunk| chunk.end() <= position.offset);
            match state.chunks.get(after) {
                Some(chunk) if chunk.start() <= position.offset => {
                    let chunk = chunk.from(position.offset);
                    bytes += chunk.payload().len();
                    position.move_to(chunk.end());
                    items.push(Item::Chunk(chunk));
                }
                kept if items.is_empty() => {
                    let until = kept.map_or(state.head, |chunk| chunk.start());
                    let until = control.map_or(until, |control| until.min(control.offset));
                    return Step::Behind { until };
                }
                _ => break,
            }
        }
        if let Some((version, text)) = state.clients.as_ref().filter(|(version, _)| *version > position.clients) {
            position.clients = *version;
            items.push(Item::Clients(text.clone()));
        }
        match state.ended {
            _ if !items.is_empty() => Step::Items(items),
            Some(ended) => Step::Ended(ended),
            None => Step::UpToDate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn feed() -> Arc<Feed> {
        Feed::new(InstanceId::from_uuid(Uuid::nil()), 0, Arc::default())
    }

    fn texts(step: Step) -> Vec<String> {
        match step {
            Step::Items(items) => items
                .into_iter()
                .map(|item| match item {
                    Item::Chunk(chunk) => String::from_utf8(chunk.payload().to_vec()).unwrap(),
                    Item::Control(control) => format!("<{}>", control.text),
                    Item::Clients(text) => format!("[{text}]"),
                })
                .collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn records_come_in_the_order_the_worker_said_them() {
        let feed = feed();
        let mut early = feed.subscribe();
        feed.control("a".into(), Subject::Other);
        feed.push(Chunk::of_bytes(b"12", 0));
        feed.control("b".into(), Subject::Other);
        feed.push(Chunk::of_bytes(b"34", 2));
        feed.clients("who".into());
        let mut late = feed.subscribe();
        assert_eq!(texts(early.next(usize::MAX)), ["<a>", "12", "<b>", "34", "[who]"]);
        assert!(matches!(late.next(usize::MAX), Step::UpToDate));
        feed.clients("who and late".into());
        assert_eq!(texts(late.next(usize::MAX)), ["[who and late]"]);
        assert_eq!(texts(early.next(1)), ["[who and late]"]);
        assert!(matches!(early.next(1), Step::UpToDate));
        feed.end(Ended::WorkerAway);
        assert!(matches!(early.next(1), Step::Ended(Ended::WorkerAway)));
    }

    #[test]
    fn who_lags_reads_the_journal_up_to_the_next_control_and_costs_a_bounded_amount() {
        let feed = feed();
        let mut slow = feed.subscribe();
        let block = vec![b'x'; 64 << 10];
        let mut start = 0;
        feed.push(Chunk::of_bytes(b"first", start));
        start += 5;
        feed.control("lease".into(), Subject::Lease(Epoch(1)));
        for _ in 0..64 {
            feed.push(Chunk::of_bytes(&block, start));
            start += block.len() as u64;
            assert!(feed.lock().cost <= SESSION_BYTES_MAX);
        }
        // The journal is asked for what is before the control, then the control comes, then the journal again.
        let Step::Behind { until } = slow.next(1) else { panic!("not behind") };
        assert_eq!(until, 5);
        slow.position.move_to(until);
        assert_eq!(texts(slow.next(1)), ["<lease>"]);
        let Step::Behind { until } = slow.next(1) else { panic!("not behind") };
        assert_eq!(until, feed.lock().chunks.front().unwrap().start());
        slow.position.move_to(until);
        let mut got = until;
        while let Step::Items(items) = slow.next(1) {
            for item in items {
                let Item::Chunk(chunk) = item else { panic!("{item:?}") };
                assert_eq!(chunk.start(), got);
                got = chunk.end();
            }
        }
        assert_eq!(got, start);
        drop(slow);
        assert_eq!(feed.total.load(Ordering::Relaxed), 0, "nobody lags, nothing is kept");
    }

    #[test]
    fn what_stands_before_a_screen_is_told_before_it_and_the_end_behind_it() {
        let feed = feed();
        let mut slow = feed.subscribe();
        feed.push(Chunk::of_bytes(b"12", 0));
        feed.control("a".into(), Subject::Other);
        feed.push(Chunk::of_bytes(b"34", 2));
        feed.control("b".into(), Subject::Other);
        feed.push(Chunk::of_bytes(b"56", 4));
        feed.control("c".into(), Subject::Other);
        feed.control("end".into(), Subject::End);
        let said = |controls: Vec<Control>| controls.iter().map(|it| it.text.to_string()).collect::<Vec<_>>();
        assert_eq!(said(slow.controls_until(4)), ["a", "b"]);
        assert_eq!(said(slow.controls_until(4)), [""; 0]);
        slow.position.move_to(5);
        assert_eq!(texts(slow.next(usize::MAX)), ["6", "<c>", "<end>"]);
        let mut late = feed.subscribe();
        assert_eq!(said(late.controls_until(6)), [""; 0], "what was before it is in the state it was told");
        let mut other = feed.subscribe();
        feed.control("d".into(), Subject::Other);
        feed.control("end".into(), Subject::End);
        assert_eq!(said(other.controls_until(u64::MAX)), ["d"]);
        assert_eq!(texts(other.next(usize::MAX)), ["<end>"]);
    }

    #[test]
    fn marks_are_given_once_and_only_the_newest_are_kept() {
        let feed = feed();
        let mut waiting = feed.subscribe();
        let mark = |offset| MarkRecord { offset, kind: baton_proto::v1::MarkKind::Bell, text: String::new() };
        for offset in 0..1000 {
            feed.mark(mark(offset), 7);
        }
        let marks = waiting.marks();
        assert_eq!((marks.len(), marks[0].record.offset), (MARKS_MAX, 1000 - MARKS_MAX as u64));
        assert!(waiting.marks().is_empty());
        feed.mark(mark(5000), 7);
        assert_eq!(waiting.marks().len(), 1);
        assert!(feed.subscribe().marks().is_empty());
    }

    proptest! {
        // However a subscriber's steps fall between the pushes, it gets every byte and every control once, in order.
        #[test]
        fn nothing_is_lost_doubled_or_reordered(script in prop::collection::vec((0u8..4, 1usize..40_000), 1..200)) {
            let feed = feed();
            let mut subscription = feed.subscribe();
            let (mut journal, mut expected, mut got) = (Vec::new(), Vec::new(), Vec::new());
            let mut drain = |got: &mut Vec<u8>, journal: &Vec<u8>, limit: usize, all: bool| loop {
                match subscription.next(limit) {
                    Step::Items(items) => for item in items {
                        match item {
                            Item::Chunk(chunk) => got.extend_from_slice(chunk.payload()),
                            Item::Control(control) => got.extend_from_slice(control.text.as_bytes()),
                            Item::Clients(_) => {}
                        }
                    },
                    Step::Behind { until } => {
                        let from = usize::try_from(subscription.position.offset).unwrap();
                        got.extend_from_slice(&journal[from..usize::try_from(until).unwrap()]);
                        subscription.position.move_to(until);
                    }
                    _ => break,
                }
                if !all { break; }
            };
            for (what, size) in script {
                match what {
                    0 => { feed.control("#".into(), Subject::Other); expected.push(b'#'); }
                    1 => drain(&mut got, &journal, size, false),
                    _ => {
                        let bytes = vec![b'a' + u8::try_from(size % 20).unwrap(); size];
                        feed.push(Chunk::of_bytes(&bytes, journal.len() as u64));
                        journal.extend_from_slice(&bytes);
                        expected.extend_from_slice(&bytes);
                    }
                }
            }
            drain(&mut got, &journal, usize::MAX, true);
            prop_assert!(got == expected);
        }
    }
}
