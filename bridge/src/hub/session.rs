//! One session as the rest of the bridge sees it: what is known, and requests to its hub.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::frame::Kind;
use baton_proto::home::Home;
use baton_proto::ids::{ClientId, Cursor, InstanceId, SessionId};
use baton_proto::v1::{
    Attached, Attachment, ClientEntry, Dimensions, ExitRecord, Failed, Inspect, Inspection, LeaseRecord, Locate,
    Located, RangeHeader, ReadRange, SessionEntry, SizePolicy, SnapshotRequest, Status,
};
use bytes::BytesMut;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::feed::Subscription;
use super::marks::Round;
use super::presence::{Identity, Presence};
use super::screens::{Drawn, Newest, SCREENS_AT_ONCE};
use super::task;
use crate::audit::Audit;
use crate::events::EventLog;
use crate::problem::{Failure, Outcome};
use crate::protocol_log::{ProtocolLog, Tape};
use crate::upstream::conn::{RawFrame, Writer, message};
use crate::upstream::sessiond::Sessiond;

/// Requests that may wait for a hub.
const COMMANDS_MAX: usize = 1024;
/// How long a worker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What all hubs share.
#[derive(Debug)]
pub struct HubContext {
    /// Baton's directories.
    pub home: Arc<Home>,
    /// Set once the control connection is started.
    pub sessiond: OnceLock<Sessiond>,
    /// Where events go.
    pub events: EventLog,
    /// Where it is recorded who had control.
    pub audit: Audit,
    /// Where the heads of streams' frames go.
    pub protocol_log: ProtocolLog,
    /// How long a lease outlives its owner's last sign of life.
    pub lease_ttl: Duration,
    /// Bytes of chunks in all feeds.
    pub chunk_bytes: Arc<AtomicUsize>,
    /// Bytes of output received from workers.
    pub output_bytes: std::sync::atomic::AtomicU64,
}

/// The newest known state of a session. The worker owns all of it; this is what it last said.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The lease, and until when it was carried or counted when this was noted.
    pub lease: Option<LeaseRecord>,
    /// When the lease would end if nothing more is heard, microseconds since 1970, unless `carrier` knows better.
    pub lease_until_us: u64,
    /// The attachment of ours that carries the lease.
    pub carrier: Option<Arc<Presence>>,
    /// Output bytes so far.
    pub head: u64,
    /// Oldest byte kept.
    pub oldest: u64,
    /// The terminal's size.
    pub size: Option<Dimensions>,
    /// How it follows the clients.
    pub policy: Option<SizePolicy>,
    /// Who is attached.
    pub clients: Arc<Vec<ClientEntry>>,
    /// Echo, canonical, at a prompt.
    pub modes: (bool, bool, bool),
    /// An inspection of the ended session is among what is known: nothing of it changes any more by itself.
    pub settled: bool,
    /// Oldest offset whose screen can be drawn.
    pub oldest_screen: u64,
    /// What the program has switched on.
    pub screen: baton_proto::v1::ScreenState,
    /// What the file system says while the journal takes no records.
    pub journal_error: Option<String>,
    /// The limits of its own that the session has reached; at most one of each.
    pub limits_reached: Vec<baton_proto::limits::LimitReached>,
    /// Where the shell is in its round, if it tells.
    pub round: Round,
    /// Marks since the newest one that is an event, which were too many for the log.
    pub marks_left_out: u64,
    /// Last output or input, microseconds since 1970.
    pub last_activity_us: u64,
    /// How the program ended.
    pub exit: Option<ExitRecord>,
    /// Whether the worker was ever heard, so that the numbers above mean something.
    pub known: bool,
}

/// A client is attached.
#[derive(Debug)]
pub struct Attaching {
    /// What the worker said.
    pub attached: Attached,
    /// The client's feed, from the place where that was said.
    pub subscription: Subscription,
    /// Writes input to the worker without another hop.
    pub writer: Writer,
}

/// A REST client is attached (or was already, perhaps by its socket).
#[derive(Debug, Clone)]
pub struct RestAttachment {
    /// Its number.
    pub attachment: Attachment,
    /// Its state.
    pub presence: Arc<Presence>,
    /// Writes input to the worker.
    pub writer: Writer,
    /// Attached by this call.
    pub fresh: bool,
}

/// The output from here on.
#[derive(Debug)]
pub struct Watching {
    /// The feed, from now on.
    pub subscription: Subscription,
    /// How the program ended, if it has.
    pub exit: Option<ExitRecord>,
}

/// What a hub is asked.
#[derive(Debug)]
pub enum Command {
    /// Attach a socket.
    Attach {
        /// Its state.
        presence: Arc<Presence>,
        /// What it can show.
        viewport: Option<Dimensions>,
        /// The answer.
        reply: oneshot::Sender<Outcome<Attaching>>,
    },
    /// A socket is gone, or wants to go.
    Detach {
        /// Which.
        attachment: Attachment,
        /// Give the lease up.
        release: bool,
        /// Told when it is done.
        reply: Option<oneshot::Sender<Outcome<()>>>,
    },
    /// Ask the worker.
    Call {
        /// The whole message; its id is filled in by the hub.
        message: Vec<u8>,
        /// The answer, whatever its kind.
        reply: oneshot::Sender<Outcome<RawFrame>>,
    },
    /// Draw a screen.
    Draw {
        /// Which.
        request: SnapshotRequest,
        /// The answer.
        reply: oneshot::Sender<Outcome<Drawn>>,
    },
    /// Watch the output without being a client.
    Watch {
        /// The answer.
        reply: oneshot::Sender<Outcome<Watching>>,
    },
    /// Have this client attached, by REST if need be.
    Rest {
        /// Who.
        identity: Identity,
        /// Attach it if it is neither attached nor the lease's owner.
        join: bool,
        /// The answer.
        reply: oneshot::Sender<Outcome<RestAttachment>>,
    },
    /// A client that was silent is heard again.
    Heard {
        /// Which.
        attachment: Attachment,
    },
    /// The session is forgotten.
    Forget,
    /// The session has begun a new life, which another hub follows.
    Supersede,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    entry: watch::Sender<Arc<SessionEntry>>,
    live: Mutex<Live>,
    commands: mpsc::Sender<Command>,
    lease_ttl: Duration,
    pub(super) newest: Newest,
    pub(super) drawing: Semaphore,
    exec: tokio::sync::Mutex<()>,
    forgotten: Arc<AtomicBool>,
    /// Sockets on it.
    pub sockets: AtomicUsize,
}

const fn has_ended(status: &Status) -> bool {
    !matches!(status, Status::Starting | Status::Running)
}

impl Session {
    /// Takes note of a session and starts its hub. Of one that is `news` the end is told, also if it is over already.
    #[must_use]
    pub fn start(entry: SessionEntry, news: bool, context: &Arc<HubContext>) -> Arc<Self> {
        // What ends before anybody looks at it again was alive all the same.
        let end_due = news || !has_ended(&entry.status);
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let live = Live { last_activity_us: entry.spec.created_us, ..Live::default() };
        let session = Arc::new(Self {
            id: entry.spec.session,
            entry: watch::Sender::new(Arc::new(entry)),
            live: Mutex::new(live),
            commands,
            lease_ttl: context.lease_ttl,
            newest: Newest::default(),
            drawing: Semaphore::new(SCREENS_AT_ONCE),
            exec: tokio::sync::Mutex::default(),
            forgotten: Arc::default(),
            sockets: AtomicUsize::new(0),
        });
        tokio::spawn(task::run(
            Arc::downgrade(&session),
            session.entry.subscribe(),
            end_due,
            queue,
            Arc::clone(context),
        ));
        session
    }

    /// Waits for the turn to type a command at the shell's prompt and to watch what becomes of it.
    pub async fn exec_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.exec.lock().await
    }

    /// What sessiond last said.
    #[must_use]
    pub fn entry(&self) -> Arc<SessionEntry> {
        Arc::clone(&self.entry.borrow())
    }

    /// sessiond said something new.
    pub fn set_entry(&self, entry: SessionEntry) {
        self.entry.send_replace(Arc::new(entry));
    }

    /// What the worker last said.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live_mut().clone()
    }

    /// Notes what the worker said.
    pub(super) fn live_mut(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills in what an ended session's worker would say, as far as it was kept.
    pub fn remember(&self, head: u64, oldest: u64, last_activity_us: u64) {
        let mut live = self.live_mut();
        if !live.known {
            live.head = live.head.max(head);
            live.oldest = live.oldest.max(oldest);
            live.last_activity_us = live.last_activity_us.max(last_activity_us);
        }
    }

    /// This life of the program.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.entry.borrow().spec.instance
    }

    /// A place in this life's output.
    #[must_use]
    pub fn cursor(&self, offset: u64) -> Cursor {
        Cursor { instance: self.instance(), offset }
    }

    /// Whether the program has ended, or never began. The worker may say so before sessiond does.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        has_ended(&self.entry.borrow().status) || self.live_mut().exit.is_some()
    }

    /// Waits for sessiond to know of an end that the worker has told already: what is asked of it next is about an
    /// ended session.
    pub async fn ended_for_sessiond(&self) {
        if self.has_ended() {
            let mut entry = self.entry.subscribe();
            let heard = entry.wait_for(|entry| has_ended(&entry.status));
            // Late, it says itself that the session runs.
            let _ = tokio::time::timeout(ANSWER_TIMEOUT, heard).await;
        }
    }

    /// Attaches a socket.
    ///
    /// # Errors
    /// What the worker refused; `sessiond_down` when there is none to ask.
    pub async fn attach(&self, presence: Arc<Presence>, viewport: Option<Dimensions>) -> Outcome<Attaching> {
        self.ask(|reply| Command::Attach { presence, viewport, reply }).await
    }

    /// Detaches. Without `release` nobody waits for it.
    pub async fn detach(&self, attachment: Attachment, release: bool) {
        if release {
            let command = |reply| Command::Detach { attachment, release, reply: Some(reply) };
            if let Err(failure) = self.ask(command).await {
                tracing::debug!(session = %self.id, "detach: {failure}");
            }
        } else {
            // Only a hub that has ended does not take it.
            drop(self.commands.send(Command::Detach { attachment, release, reply: None }).await);
        }
    }

    /// Has a client attached that speaks REST. Without `join` only one that is attached, or holds the lease.
    ///
    /// # Errors
    /// `client_not_attached`; as [`Self::attach`].
    pub async fn rest(&self, identity: Identity, join: bool) -> Outcome<RestAttachment> {
        self.ask(|reply| Command::Rest { identity, join, reply }).await
    }

    /// Watches the output.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn watch(&self) -> Outcome<Watching> {
        self.ask(|reply| Command::Watch { reply }).await
    }

    /// Ends the hub: the session is forgotten.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
        // A hub whose queue is full ends when the last who asks it is gone.
        drop(self.commands.try_send(Command::Forget));
    }

    /// What a stream of this client notes its frames with.
    #[must_use]
    pub fn tape(&self, log: &ProtocolLog, client: ClientId, instance: InstanceId) -> Tape {
        log.tape(self.id, Arc::clone(&self.forgotten), client, instance)
    }

    /// Ends the hub: another one follows the session's new life. Its clients connect again.
    pub fn supersede(&self) {
        drop(self.commands.try_send(Command::Supersede));
    }

    /// A silent client is heard again.
    pub async fn heard(&self, attachment: Attachment) {
        drop(self.commands.send(Command::Heard { attachment }).await);
    }

    /// Asks the worker; the answer must be of this kind.
    ///
    /// # Errors
    /// What the worker refused; `sessiond_down`.
    pub async fn call<Q: bincode::Encode>(&self, kind: Kind, body: &Q, answer: Kind) -> Outcome<RawFrame> {
        let message = message(kind, 0, body).map_err(|err| Failure::invalid(err.to_string()))?;
        let frame = self.ask(|reply| Command::Call { message, reply }).await?;
        match frame.header.known_kind() {
            Some(known) if known == answer => Ok(frame),
            Some(Kind::Failed) => Err(match frame.body::<Failed>(Kind::Failed) {
                Ok(failed) => Failure::of(failed, Some(self.instance())),
                Err(err) => Failure::new(ErrorCode::Internal, err.to_string()),
            }),
            other => {
                tracing::error!(session = %self.id, asked = ?kind, due = ?answer, got = ?other, "an answer to something else");
                Err(Failure::new(ErrorCode::Internal, "the worker gave an answer to something else"))
            }
        }
    }

    /// [`Self::call`] whose answer is the lease.
    ///
    /// # Errors
    /// As there.
    pub async fn lease_call<Q: bincode::Encode>(&self, kind: Kind, body: &Q) -> Outcome<LeaseRecord> {
        let frame = self.call(kind, body, Kind::LeaseState).await?;
        frame.body(Kind::LeaseState).map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))
    }

    /// How things are, asked now.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn inspect(&self) -> Outcome<Inspection> {
        let frame = self.call(Kind::Inspect, &Inspect {}, Kind::Inspection).await?;
        let inspection: Inspection =
            frame.body(Kind::Inspection).map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))?;
        Ok(inspection)
    }

    /// Whole journal records from an offset on.
    ///
    /// # Errors
    /// `cursor_trimmed`; as [`Self::call`].
    pub async fn read_range(&self, from: u64, max_bytes: u32) -> Outcome<(RangeHeader, BytesMut)> {
        let frame = self.call(Kind::ReadRange, &ReadRange { from, max_bytes }, Kind::Range).await?;
        let Some((range, records)) = RangeHeader::split(frame.payload()) else {
            return Err(Failure::new(ErrorCode::Internal, "the worker's answer is too short"));
        };
        let at = frame.bytes.len() - records.len();
        let mut bytes = frame.bytes;
        Ok((range, bytes.split_off(at)))
    }

    /// The place in the output at a time: all that had come by then is before it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn locate(&self, wall_us: u64) -> Outcome<Located> {
        let frame = self.call(Kind::Locate, &Locate { wall_us }, Kind::Located).await?;
        frame.body(Kind::Located).map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))
    }

    /// Hands a command to the hub.
    ///
    /// # Errors
    /// `not_found` when the hub has ended.
    pub(super) async fn command(&self, command: Command) -> Outcome<()> {
        self.commands.send(command).await.map_err(|_| Failure::no_session())
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Outcome<T>>) -> Command) -> Outcome<T> {
        let (reply, replied) = oneshot::channel();
        let gone = || Failure::no_session();
        let asked = async {
            self.command(command(reply)).await?;
            replied.await.unwrap_or_else(|_| Err(gone()))
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::down("the session's worker has not answered in time; try again")),
        }
    }

    /// When the lease ends if nothing more is heard of its owner, as it was last noted.
    #[must_use]
    pub fn lease_until_us(&self) -> u64 {
        let live = self.live_mut();
        let expired = live.lease.as_ref().is_some_and(|lease| lease.expired);
        match live.carrier.as_ref().filter(|_| !expired) {
            Some(carrier) => until_us(carrier.last_heard(), self.lease_ttl),
            None => live.lease_until_us,
        }
    }

    /// Counts a socket; `None` when there are too many.
    #[must_use]
    pub fn count_socket(self: &Arc<Self>, max: usize) -> Option<SocketCount> {
        let before = self.sockets.fetch_add(1, Ordering::Relaxed);
        let counted = SocketCount(Arc::clone(self));
        (before < max).then_some(counted)
    }
}

/// One socket, counted while this lives.
#[derive(Debug)]
pub struct SocketCount(Arc<Session>);

impl Drop for SocketCount {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Milliseconds as microseconds of wall time from now on.
#[must_use]
pub fn until_us(from: Instant, span: Duration) -> u64 {
    let left = (from + span).saturating_duration_since(Instant::now());
    crate::clock::now_us() + u64::try_from(left.as_micros()).unwrap_or(u64::MAX)
}
