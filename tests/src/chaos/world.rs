//! What everybody in a run shares: the Baton, the book, the sessions, in which phase the run is, and the named points.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::api::SessionDetail;
use baton_proto::ids::{ClientId, Epoch, SessionId};
use http::Method;
use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};

use super::ledger::Ledger;
use super::typed::Typed;
use crate::baton::Baton;
use crate::http::Api;
use crate::process::Process;

/// A journal that had no room is written again within this time after there is some.
const MENDED_WITHIN: Duration = Duration::from_secs(5);

/// How exactly it is known when which output was written.
const HEARD_EVERY: Duration = Duration::from_millis(50);

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Faults fall.
    Storm,
    /// No more faults; nothing new is typed, everybody comes to rest.
    Calm,
    /// The programs were told to stop.
    End,
}

/// A moment that a killer can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Input was sent and is not acknowledged.
    InputSent,
    /// A claim was sent and is not answered.
    Claiming,
    /// A claim was answered.
    Claimed,
    /// A session was asked for.
    Creating,
    /// A session was told to close.
    Closing,
    /// A screen was asked for.
    Snapshot,
    /// A connection was opened, and says hello.
    Attaching,
}

/// Every point.
pub const POINTS: [Point; 7] = [
    Point::InputSent,
    Point::Claiming,
    Point::Claimed,
    Point::Creating,
    Point::Closing,
    Point::Snapshot,
    Point::Attaching,
];

/// Whom a point kills.
#[derive(Debug, Clone)]
pub enum Victim {
    /// This process.
    One(&'static str, Process),
    /// The worker of the session at hand.
    ItsWorker,
}

/// What the killer tells a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Drop the connection without a word.
    Drop,
    /// Send half of a frame and reset the connection.
    Half,
    /// Claim.
    Claim(bool),
    /// Release.
    Release,
    /// Transfer to another.
    Transfer,
    /// Ask for control.
    Request,
    /// Leave in order.
    Detach,
    /// Another window size.
    Resize(u16, u16),
}

/// A session that the run watches over.
#[derive(Debug)]
pub struct Watched {
    /// Which.
    pub id: SessionId,
    /// Its name.
    pub name: String,
    /// Its program.
    pub program: Process,
    /// Its worker as it was seen last.
    pub worker: Option<Process>,
    /// How often its worker was killed.
    pub deaths: u64,
    /// Its program may end now.
    pub ending: bool,
    /// It has a way out, which three processes are for.
    pub hosts: bool,
}

/// Everything shared.
#[derive(Debug)]
pub struct World {
    /// The Baton.
    pub baton: Baton,
    /// The API as its owner.
    pub api: Api,
    /// The book.
    pub ledger: Ledger,
    /// The phase.
    pub phase: watch::Sender<Phase>,
    /// What is watched over.
    pub sessions: Mutex<BTreeMap<SessionId, Watched>>,
    /// Nothing must be killed that the way back from another fault needs.
    pub fragile: AtomicBool,
    /// The state is on a disk that can be filled.
    pub disk: bool,
    fills: Mutex<Vec<(Instant, Option<Instant>)>>,
    armed: Mutex<Option<(Point, Victim)>>,
    clients: Mutex<Vec<(String, mpsc::UnboundedSender<Order>)>>,
}

impl World {
    /// A world around a running Baton.
    #[must_use]
    pub fn new(baton: Baton, ledger: Ledger, disk: bool) -> Arc<Self> {
        let api = baton.api();
        Arc::new(Self {
            baton,
            api,
            ledger,
            phase: watch::Sender::new(Phase::Storm),
            sessions: Mutex::default(),
            fragile: AtomicBool::new(false),
            disk,
            fills: Mutex::default(),
            armed: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// The phase right now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Runs `work` by itself. A panic in it is a rule of the harness that was broken.
    pub fn spawn(
        self: &Arc<Self>,
        name: String,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let world = Arc::clone(self);
        let task = tokio::spawn(work);
        tokio::spawn(async move {
            if let Err(err) = task.await
                && let Ok(panic) = err.try_into_panic()
            {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("a panic without words");
                world.ledger.violation(&name, text);
            }
        })
    }

    /// Watched sessions, whatever somebody's panic left.
    pub fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Watched>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over a session from now on.
    ///
    /// # Panics
    /// When its program is not there.
    pub fn watch(&self, detail: &SessionDetail) {
        let session = &detail.session;
        let Some(program) = session.pid.and_then(Process::find) else {
            // Its program may have ended already; its follower judges how.
            return;
        };
        let watched = Watched {
            id: session.id,
            name: session.title.clone(),
            program,
            worker: session.worker_pid.and_then(Process::find),
            deaths: 0,
            ending: false,
            hosts: false,
        };
        self.sessions().insert(session.id, watched);
    }

    /// Its program may end now.
    pub fn ending(&self, session: SessionId) {
        if let Some(watched) = self.sessions().get_mut(&session) {
            watched.ending = true;
        }
    }

    /// A session as the API shows it, asked for until it is answered; `None` when nobody has by the deadline.
    pub async fn ask(&self, session: SessionId, limit: Duration) -> Option<SessionDetail> {
        let path = format!("/v1/sessions/{session}");
        let limit = tokio::time::Instant::now() + limit;
        while tokio::time::Instant::now() < limit {
            if let Some(answer) = self.call(Method::GET, &path, None).await
                && answer.status == 200
            {
                return Some(answer.json());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// One request; `None` when the connection broke or nothing was said in time.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<crate::http::Answer> {
        self.call_with(&self.api, method, path, body).await
    }

    /// One request by this caller.
    pub async fn call_with(
        &self,
        api: &Api,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<crate::http::Answer> {
        let asked = Instant::now();
        let bytes = body.map(|body| body.to_string().into_bytes());
        let answer = tokio::time::timeout(Duration::from_secs(15), api.send(method.clone(), path, bytes)).await;
        let answer = answer.ok()?.ok()?;
        let no_room = answer.status == 507 && self.was_full_between(Some(asked), Instant::now());
        if answer.status >= 500 && answer.status != 503 && !no_room {
            self.ledger.violation("the API", &format!("{method} {path}: {answer}"));
        }
        Some(answer)
    }

    /// The disk is full from now on.
    ///
    /// # Panics
    /// When the state is on no disk of its own.
    pub fn fill(&self) {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), None));
        self.baton.disk().fill();
    }

    /// It has room again.
    ///
    /// # Panics
    /// When it was not full.
    pub fn free(&self) {
        self.baton.disk().free();
        if let Some((_, end)) = self.fills.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Whether the disk was full at any time between, or a journal may still have been waiting for room.
    #[must_use]
    pub fn was_full_between(&self, since: Option<Instant>, until: Instant) -> bool {
        let fills = self.fills.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |end: Option<Instant>| end.zip(since).is_some_and(|(end, since)| end + MENDED_WITHIN < since);
        fills.iter().any(|(begin, end)| *begin <= until && !over(*end))
    }

    /// The next time somebody reaches this point, this happens.
    pub fn arm(&self, point: Point, victim: Victim) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((point, victim));
    }

    /// Whether it still has to happen.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// No longer; whether it still was.
    pub fn disarm(&self) -> bool {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Somebody is at a named point of this session.
    pub fn reached(&self, point: Point, session: Option<SessionId>) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.as_ref().is_none_or(|(at, _)| *at != point) {
            return;
        }
        let Some((_, victim)) = armed.take() else { return };
        drop(armed);
        match victim {
            Victim::One(..) if self.fragile.load(Ordering::SeqCst) => {}
            Victim::One(name, process) => {
                process.signal(Signal::SIGKILL);
                self.ledger.fault("kill at a named point", &format!("{name} {} at {point:?}", process.pid));
            }
            Victim::ItsWorker => {
                if let Some(session) = session {
                    let _ = self.kill_worker(session, "kill at a named point", &format!("at {point:?}"));
                }
            }
        }
    }

    /// `kill -9` of a session's worker; false when it is not known or dead.
    pub fn kill_worker(&self, session: SessionId, kind: &'static str, detail: &str) -> bool {
        let mut sessions = self.sessions();
        let Some(watched) = sessions.get_mut(&session) else { return false };
        if self.fragile.load(Ordering::SeqCst) {
            return false;
        }
        let Some(worker) = watched.worker.take().filter(Process::is_alive) else { return false };
        watched.deaths += 1;
        worker.signal(Signal::SIGKILL);
        let text = format!("worker {} of {} {detail}", worker.pid, watched.name);
        drop(sessions);
        self.ledger.fault(kind, &text);
        true
    }

    /// Whether each session whose program lives has a living worker, as far as was seen.
    #[must_use]
    pub fn has_every_worker(&self) -> bool {
        let has = |watched: &Watched| watched.worker.as_ref().is_some_and(Process::is_alive);
        self.sessions().values().all(|watched| has(watched) || !watched.program.is_alive())
    }

    /// A client that takes orders.
    #[must_use]
    pub fn enlist(&self, name: &str) -> mpsc::UnboundedReceiver<Order> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), sender));
        receiver
    }

    /// Gives an order to the n-th client that is still there; who that is.
    pub fn order(&self, n: u64, order: Order) -> Option<String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|(_, sender)| !sender.is_closed());
        let at = usize::try_from(n % (clients.len() as u64).max(1)).ok()?;
        let (name, sender) = clients.get(at)?;
        sender.send(order).ok().map(|()| name.clone())
    }

    /// A file whose existence ends a program.
    #[must_use]
    pub fn stop_file(&self, name: &str) -> PathBuf {
        self.baton.scratch().join(format!("stop-{name}"))
    }
}

/// What is known of one session's lease and input, by all its clients together.
#[derive(Debug, Default)]
pub struct Shared {
    /// Who owned each epoch, as the first who was told of it was told.
    owners: Mutex<BTreeMap<Epoch, Option<ClientId>>>,
    /// What was typed.
    typed: Mutex<Typed>,
    shell: Mutex<Shell>,
    /// Length and checksum of the whole output, as the first had it who had all of it.
    whole: Mutex<Option<(u64, u32)>>,
    torn: AtomicBool,
    /// How far somebody had heard, and when.
    heard: Mutex<Vec<(u64, Instant)>>,
}

/// What is known of a shell's answers.
#[derive(Debug, Default)]
pub struct Shell {
    /// Those that its command line saw.
    pub answered: BTreeSet<u64>,
    /// Those that a client saw who gets every byte.
    pub come: BTreeSet<u64>,
}

impl Shared {
    /// Somebody has heard everything up to this offset, or was told that it is nowhere.
    pub fn heard(&self, offset: u64) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if heard.last().is_none_or(|(last, at)| offset > *last && now - *at > HEARD_EVERY) {
            heard.push((offset, now));
        }
    }

    /// In which time the output between two offsets was written: between when nobody had heard beyond the first, and when somebody
    /// had beyond the second.
    #[must_use]
    pub fn written_in(&self, from: u64, to: u64) -> (Option<Instant>, Instant) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = heard.iter().rev().find(|(offset, _)| *offset <= from).map(|(_, at)| *at);
        let end = heard.iter().find(|(offset, _)| *offset >= to).map(|(_, at)| *at);
        (begin, end.unwrap_or_else(Instant::now))
    }

    /// A full disk cost somebody a part of the output.
    pub fn tear(&self) {
        self.torn.store(true, Ordering::SeqCst);
    }

    /// Whether it did.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.torn.load(Ordering::SeqCst)
    }

    /// Somebody was told of an epoch.
    ///
    /// # Errors
    /// When somebody else was told otherwise.
    pub fn told(&self, epoch: Epoch, owner: Option<&ClientId>) -> Result<(), String> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let known = owners.entry(epoch).or_insert_with(|| owner.cloned());
        if known.as_ref() == owner {
            return Ok(());
        }
        Err(format!("epoch {epoch} is {known:?}'s for one client and {owner:?}'s for another"))
    }

    /// How many epochs there were.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Somebody has the whole output, of this length and checksum.
    ///
    /// # Errors
    /// When somebody else had another.
    pub fn whole(&self, length: u64, crc: u32) -> Result<(), String> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        match *whole.get_or_insert((length, crc)) {
            known if known == (length, crc) => Ok(()),
            (known, its) => Err(format!("{length} bytes with checksum {crc:08x}; another has {known} with {its:08x}")),
        }
    }

    /// What is known of its shell.
    pub fn shell(&self) -> std::sync::MutexGuard<'_, Shell> {
        self.shell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was typed.
    pub fn typed(&self) -> std::sync::MutexGuard<'_, Typed> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
