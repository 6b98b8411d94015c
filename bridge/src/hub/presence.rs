//! One attached client, as its socket (or its REST calls) and the hub share it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::ServerFrame;
use baton_proto::ids::ClientId;
use baton_proto::v1::{Class, ClientKind, InputRefused};
use tokio::sync::Notify;

use crate::problem::Failure;

/// Frames for one client that may wait for its socket. Acknowledgements are not among them: of those the newest counts.
const FRAMES_MAX: usize = 256;

/// Who a client says it is, and what the bridge knows about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id, bound to its principal.
    pub client: ClientId,
    /// What kind it says it is.
    pub kind: ClientKind,
    /// Person or agent, from its principal.
    pub class: Class,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Default)]
struct Inbox {
    acked: Option<u64>,
    frames: VecDeque<ServerFrame>,
    refusals: u64,
    last_refusal: Option<InputRefused>,
    end: Option<End>,
}

/// How a socket is to end.
#[derive(Debug, Clone)]
pub struct End {
    /// Said before.
    pub frame: Option<ServerFrame>,
    /// WebSocket close code.
    pub code: u16,
    /// The close frame's words.
    pub reason: &'static str,
}

impl End {
    /// Its principal is no longer good.
    #[must_use]
    pub const fn signed_out() -> Self {
        Self { frame: None, code: 4001, reason: "signed out, or the token was removed" }
    }

    /// Its principal may no longer see the session.
    #[must_use]
    pub const fn out_of_sight() -> Self {
        Self { frame: None, code: 4003, reason: "the session was taken back" }
    }

    /// Whether whom it ends may have control no longer: what it holds is given up, and what it says now is not heard.
    #[must_use]
    pub const fn bars(&self) -> bool {
        matches!(self.code, 4001 | 4003)
    }
}

/// What a client's socket takes out of its inbox.
#[derive(Debug, Default)]
pub struct Mail {
    /// The highest input `seq` the kernel took, if it rose.
    pub acked: Option<u64>,
    /// Frames meant for this client alone.
    pub frames: Vec<ServerFrame>,
    /// The socket is to end.
    pub end: Option<End>,
}

/// One attachment's state outside the worker.
#[derive(Debug)]
pub struct Presence {
    /// Who.
    pub identity: Identity,
    /// The input stream it declared.
    pub input_stream: u64,
    /// Attached by REST calls; there is no socket.
    pub rest: bool,
    began: Instant,
    heard_ms: AtomicU64,
    silent: AtomicBool,
    inbox: Mutex<Inbox>,
    wake: Notify,
    cut: Notify,
}

impl Presence {
    /// A presence, heard of now.
    #[must_use]
    pub fn new(identity: Identity, input_stream: u64, rest: bool) -> Self {
        Self {
            identity,
            input_stream,
            rest,
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            inbox: Mutex::default(),
            wake: Notify::new(),
            cut: Notify::new(),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sign of life. Returns whether the hub took it for silent, and is to be told.
    pub fn heard(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now, Ordering::Relaxed);
        self.silent.load(Ordering::Relaxed)
    }

    /// When it was last heard.
    #[must_use]
    pub fn last_heard(&self) -> Instant {
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    /// Whether the worker was told that nothing is heard of it.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Notes what the worker was told.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// A frame for this client alone. When its socket takes none for long, the oldest are dropped: they answer what the
    /// client asked, and it asked more than it reads.
    pub fn tell(&self, frame: ServerFrame) {
        let mut inbox = self.inbox();
        if inbox.frames.len() == FRAMES_MAX {
            inbox.frames.pop_front();
        }
        inbox.frames.push_back(frame);
        drop(inbox);
        self.wake.notify_one();
    }

    /// The kernel took its input up to here.
    pub fn acked(&self, seq: u64) {
        let mut inbox = self.inbox();
        inbox.acked = Some(inbox.acked.unwrap_or(0).max(seq));
        drop(inbox);
        self.wake.notify_one();
    }

    /// Its input was refused.
    pub fn refused(&self, refusal: InputRefused) {
        let mut inbox = self.inbox();
        inbox.refusals += 1;
        inbox.last_refusal = Some(refusal);
    }

    /// How often its input was refused so far.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.inbox().refusals
    }

    /// The newest refusal, if there were more than `before`.
    #[must_use]
    pub fn refusal_after(&self, before: u64) -> Option<InputRefused> {
        let inbox = self.inbox();
        inbox.last_refusal.clone().filter(|_| inbox.refusals > before)
    }

    /// Ends its socket; the first to say so is heard.
    pub fn end(&self, end: End) {
        self.inbox().end.get_or_insert(end);
        self.wake.notify_one();
        self.cut.notify_one();
    }

    /// A newer connection took its place.
    pub fn replaced(&self) {
        let message = "a newer connection with this client id took this one's place";
        let frame = Failure::new(ErrorCode::Replaced, message).frame();
        self.end(End { frame: Some(frame), code: 4009, reason: "replaced" });
    }

    /// Waits until the socket is to end: it may be stuck in a write that its peer never takes.
    pub async fn ending(&self) {
        self.cut.notified().await;
    }

    /// How its socket is to end, if it is.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.inbox().end.clone()
    }

    /// Takes what waits.
    #[must_use]
    pub fn mail(&self) -> Mail {
        let mut inbox = self.inbox();
        Mail { acked: inbox.acked.take(), frames: inbox.frames.drain(..).collect(), end: inbox.end.clone() }
    }

    /// Waits for mail.
    pub async fn mailed(&self) {
        self.wake.notified().await;
    }

    /// Wakes the socket without mail (its credit or its epoch changed).
    pub fn nudge(&self) {
        self.wake.notify_one();
    }
}
