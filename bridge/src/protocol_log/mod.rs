//! Heads of the frames on terminals' streams: a file a session, while `defaults.terminal_protocol_log` is set.
//!
//! ```text
//!   stream ─► queue, bounded ─► one thread ─► logs/protocol/<session>.log
//!             what does not fit is counted, and the count is written in its place
//! ```
//!
//! A stream never waits for the disk. What is kept of a frame is a [`Head`], which has no room for what was typed, printed
//! or said. While the switch is off a frame costs one look at it.

mod file;
mod head;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Message;
use baton_proto::ids::{ClientId, InstanceId, SessionId};
use tokio::sync::oneshot;

use crate::clock;
use file::{Files, Line};
pub use head::{Head, Way};

/// Lines that may wait for the disk: about a megabyte.
const LINES_MAX: usize = 8192;

/// Whose frames they are.
#[derive(Debug)]
struct Source {
    session: SessionId,
    client: ClientId,
    /// Set before the log is told to forget the session: nothing may be written behind that.
    forgotten: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Noted {
    source: Arc<Source>,
    at_us: u64,
    way: Way,
    head: Head,
}

#[derive(Debug)]
enum Entry {
    Noted(Noted),
    /// Remove this session's files.
    Forget(SessionId),
    /// Remove all other sessions' files.
    Keep(HashSet<SessionId>),
    /// Say so when everything before this is written, or given up.
    Flush(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// How many of them are frames.
    frames: usize,
    /// Frames that found the queue full since it was emptied last: they belong behind what is in it.
    dropped: HashMap<SessionId, u64>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    frames_max: usize,
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, entry: Entry) {
        let mut queue = self.queue();
        if !queue.closed {
            queue.entries.push_back(entry);
            drop(queue);
            self.filled.notify_one();
        }
    }

    fn note(&self, noted: Noted) {
        let mut queue = self.queue();
        // Looked at under the lock: the order to forget is queued behind this, or was given before it.
        if queue.closed || noted.source.forgotten.load(Ordering::Acquire) {
            return;
        }
        if queue.frames < self.frames_max {
            queue.frames += 1;
            queue.entries.push_back(Entry::Noted(noted));
        } else {
            *queue.dropped.entry(noted.source.session).or_default() += 1;
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Waits for something to do; `None` once there will be nothing more.
    fn take(&self) -> Option<(VecDeque<Entry>, HashMap<SessionId, u64>)> {
        let mut queue = self.queue();
        while queue.entries.is_empty() && queue.dropped.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.frames = 0;
        Some((std::mem::take(&mut queue.entries), std::mem::take(&mut queue.dropped)))
    }
}

/// The log.
#[derive(Debug)]
pub struct ProtocolLog {
    on: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl ProtocolLog {
    /// A log in this directory, which is made when there is something to write; `on` may change at any time.
    #[must_use]
    pub fn open(directory: PathBuf, on: Arc<AtomicBool>) -> Self {
        let (log, writer) = Self::with_room(directory, on, LINES_MAX);
        let thread = std::thread::Builder::new().name("protocol-log".to_owned());
        if let Err(err) = thread.spawn(move || writer.run()) {
            tracing::warn!("frames will not be logged, a thread for it can't be started: {err}");
            log.shared.queue().closed = true;
        }
        log
    }

    fn with_room(directory: PathBuf, on: Arc<AtomicBool>, frames_max: usize) -> (Self, Writer) {
        let shared = Arc::new(Shared { frames_max, queue: Mutex::default(), filled: Condvar::new() });
        let writer = Writer { shared: Arc::clone(&shared), files: Files::new(directory), unwritten: HashMap::new() };
        (Self { on, shared }, writer)
    }

    /// What one stream notes its frames with.
    #[must_use]
    pub fn tape(&self, session: SessionId, forgotten: Arc<AtomicBool>, client: ClientId, instance: InstanceId) -> Tape {
        let source = Arc::new(Source { session, client, forgotten });
        Tape { on: Arc::clone(&self.on), shared: Arc::clone(&self.shared), source, instance }
    }

    /// Removes what was logged of a session. Its `forgotten` is set before.
    pub fn forget(&self, session: SessionId) {
        self.shared.order(Entry::Forget(session));
    }

    /// Removes what was logged of all other sessions: they were forgotten while nobody listened.
    pub fn keep(&self, sessions: HashSet<SessionId>) {
        self.shared.order(Entry::Keep(sessions));
    }

    /// Waits until what was noted is written, or given up.
    pub async fn flush(&self) {
        let (tell, told) = oneshot::channel();
        self.shared.order(Entry::Flush(tell));
        // A log without a thread has nothing to write.
        drop(told.await);
    }
}

impl Drop for ProtocolLog {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.filled.notify_one();
    }
}

/// Notes the frames of one stream.
#[derive(Debug)]
pub struct Tape {
    on: Arc<AtomicBool>,
    shared: Arc<Shared>,
    source: Arc<Source>,
    instance: InstanceId,
}

impl Tape {
    /// The head of a message, if it is to be noted.
    #[must_use]
    pub fn head(&self, message: &Message, way: Way) -> Option<Head> {
        self.on.load(Ordering::Relaxed).then(|| Head::of(message, way, self.instance))
    }

    /// Notes a frame.
    pub fn note(&self, head: Option<Head>, way: Way) {
        if let Some(head) = head {
            self.shared.note(Noted { source: Arc::clone(&self.source), at_us: clock::now_us(), way, head });
        }
    }

    /// Notes the client's `hello`, which was read before the stream began.
    pub fn hello(&self, message_bytes: usize, cursor: Option<baton_proto::ids::Cursor>) {
        if self.on.load(Ordering::Relaxed) {
            self.note(Some(Head { cursor, ..Head::named("hello", message_bytes) }), Way::In);
        }
    }
}

/// The thread that has the disk.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    files: Files,
    /// Frames that the disk did not take, until a line that says so is written.
    unwritten: HashMap<SessionId, u64>,
}

impl Writer {
    fn run(mut self) {
        while let Some((entries, dropped)) = self.shared.take() {
            self.write(entries, dropped);
        }
    }

    fn write(&mut self, entries: VecDeque<Entry>, mut dropped: HashMap<SessionId, u64>) {
        let mut lines: HashMap<SessionId, Vec<Line>> = HashMap::new();
        let mut told = Vec::new();
        for entry in entries {
            match entry {
                Entry::Noted(Noted { source, at_us, way, head }) => {
                    lines.entry(source.session).or_default().push(Line::of_frame(at_us, &source.client, way, &head));
                }
                Entry::Forget(session) => {
                    lines.remove(&session);
                    dropped.remove(&session);
                    self.unwritten.remove(&session);
                    self.files.remove(session);
                }
                Entry::Keep(sessions) => {
                    lines.retain(|session, _| sessions.contains(session));
                    dropped.retain(|session, _| sessions.contains(session));
                    self.unwritten.retain(|session, _| sessions.contains(session));
                    self.files.keep(&sessions);
                }
                Entry::Flush(tell) => told.push(tell),
            }
        }
        for (session, frames) in dropped {
            lines.entry(session).or_default().push(Line::of_dropped(clock::now_us(), frames));
        }
        for (session, mut lines) in lines {
            let unwritten = self.unwritten.remove(&session);
            if let Some(frames) = unwritten {
                lines.insert(0, Line::of_dropped(clock::now_us(), frames));
            }
            if let Err(file::Unwritten { frames, source }) = self.files.append(session, &lines) {
                self.unwritten.insert(session, frames);
                // Said once: the next line may be a millisecond away.
                if unwritten.is_none() {
                    tracing::warn!(%session, "frames can't be logged, they are counted until they can: {source}");
                }
            }
        }
        for tell in told {
            // Whoever asked may not wait any more.
            let _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests;
