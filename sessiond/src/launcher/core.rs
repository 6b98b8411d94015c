//! What the launcher decides. No I/O, no clock: events in, actions out, so that any history replays from a seed.
//!
//! A session here is what must outlive its worker:
//!
//! ```text
//!            SpawnWorker            Keep, Program                  Done
//! (unknown) ────────────► starting ──────────────► kept ─────────────────► done ──worker exits──► (forgotten)
//!                            │ worker dies           │ worker dies
//!                            ▼                       ▼
//!                       (forgotten), WorkerGone   a successor takes the handles over; again and again,
//!                                                 with growing pauses, for as long as the session is not done
//! ```
//!
//! A worker that is replaced is followed by one that stands by already: see `replace`.
//!
//! Handles are of any type `H`, so that tests count numbers instead of descriptors.

mod replace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use baton_proto::SessionId;
use baton_proto::launch::{LaunchMessage, NotReplaced, Op, Start};
use baton_proto::spec::Profile;
use nix::sys::signal::Signal;

use super::backoff::{Backoff, Rule};
pub use replace::{Next, Phase};

/// How long sessiond and bridge have to end before they are killed.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long one that takes another's place by plan has to serve: the new version is given up then.
pub const HEALTHY_WITHIN: Duration = Duration::from_secs(5);

/// How long any other has to serve, on a machine that is busy: one that hangs is given up then as one that ends is.
pub const SERVES_WITHIN: Duration = Duration::from_secs(20);

/// `arg` of a message about a status that nobody could learn.
pub const STATUS_UNKNOWN: i64 = -1;

/// `arg` of [`Op::WorkerGone`] as the answer to [`Op::Retire`] for a session that has no worker.
pub const RETIRED: i64 = -2;
/// How long the worker that serves the old journal may take to be gone: a SIGKILL and the launcher's next turn.
pub const RETIRE_WITHIN: Duration = Duration::from_secs(5);

/// `arg` of [`Op::WorkerGone`]: unconfined programs are forbidden here, and one was asked for.
pub const FORBIDDEN: i64 = -3;

/// A process the launcher restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// sessiond.
    Supervisor,
    /// The bridge.
    Bridge,
}

impl Service {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Supervisor, Self::Bridge];

    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "sessiond",
            Self::Bridge => "bridge",
        }
    }
}

/// How a worker begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It starts the program.
    Fresh,
    /// It takes the kept handles over.
    TakeOver,
    /// It serves the journal of an ended session.
    Replay,
    /// It stands by until the one before it leaves, then takes the kept handles over.
    Succeed,
}

/// A process whose end the launcher must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The worker of this session.
    Worker(SessionId),
    /// The one that is to follow it.
    Successor(SessionId),
    /// The program of this session, orphaned by its worker's death.
    Program(SessionId),
    /// sessiond or bridge.
    Service(Service),
}

/// A process and the handle that names it for ever.
#[derive(Debug)]
pub struct Running<H> {
    /// Its number.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: H,
    /// The launcher's end of its channel; the bridge has none.
    pub channel: Option<H>,
}

/// The program of a session.
#[derive(Debug)]
pub struct Program<H> {
    /// Its number.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: H,
    /// Its wait status, once the launcher reaped it.
    pub exit: Option<i64>,
}

/// What outlives a worker.
#[derive(Debug)]
pub struct Kept<H> {
    /// The spec, as sessiond sealed it.
    pub spec: H,
    /// Started to serve a journal: nothing to take over.
    pub replay: bool,
    /// How far its program is to be confined, as it was asked for; the worker holds the spec to it.
    pub profile: Profile,
    /// The program is gone: nothing is kept any more.
    pub done: bool,
    /// sessiond was told of it.
    pub announced: bool,
    /// The worker's listening socket.
    pub listener: Option<H>,
    /// The read window.
    pub window: Option<H>,
    /// The PTY master.
    pub master: Option<H>,
    /// The program, once there is one.
    pub program: Option<Program<H>>,
    /// The worker, while one lives.
    pub worker: Option<Running<H>>,
    /// The one that is to follow it, while it is being replaced.
    pub next: Option<Next<H>>,
    /// The worker has said that it serves.
    pub serves: bool,
    /// Workers are started from the launcher's own program: the installed one did not get as far as serving.
    pub own: bool,
    /// The worker has said that it reads nothing more.
    pub parked: bool,
    /// The worker follows another by plan and has not served yet.
    pub trial: bool,
    /// Until when the worker is killed as soon as it says that the program is gone: sessiond, which heard of that from the
    /// worker itself, may ask for it before the launcher has read the same news.
    retire_until: Option<Instant>,
    /// Until when a worker that takes a program over has to.
    serve_by: Option<Instant>,
    /// Taken over from a dead launcher before a word of the worker was heard: the fork may not have got past its gate,
    /// so its end is not yet the session's.
    unsure: bool,
    backoff: Backoff,
    start_at: Option<Instant>,
}

impl<H> Kept<H> {
    /// A session nothing is known of but its spec.
    pub fn new(spec: H, replay: bool) -> Self {
        Self {
            spec,
            replay,
            profile: Profile::Host,
            done: false,
            announced: false,
            listener: None,
            window: None,
            master: None,
            program: None,
            worker: None,
            next: None,
            serves: false,
            own: false,
            parked: false,
            trial: false,
            retire_until: None,
            serve_by: None,
            unsure: false,
            backoff: Backoff::default(),
            start_at: None,
        }
    }

    /// Whether its worker has a program to take over, and is not of the version that is known to work.
    const fn may_hang(&self) -> bool {
        self.program.is_some() && !self.done && !self.own
    }

    /// Whether the worker has said anything yet.
    const fn heard(&self) -> bool {
        self.done || self.listener.is_some() || self.program.is_some()
    }
}

#[derive(Debug)]
struct Restarted<H> {
    running: Option<Running<H>>,
    backoff: Backoff,
    start_at: Option<Instant>,
    /// Asked to end, so that the next one gets new sockets or is a new version: when it is killed instead.
    replace_by: Option<Instant>,
    /// It has said that it serves.
    ready: bool,
    /// Until when it has to.
    ready_by: Option<Instant>,
    /// It is started from the program that served last: the installed one did not get as far.
    fallback: bool,
}

impl<H> Restarted<H> {
    fn new(running: Option<Running<H>>) -> Self {
        Self {
            running,
            backoff: Backoff::default(),
            start_at: None,
            replace_by: None,
            // Of one that was taken over nothing else is known.
            ready: true,
            ready_by: None,
            fallback: false,
        }
    }
}

/// Everything that can change the launcher's state.
#[derive(Debug)]
pub enum Event<H> {
    /// The launcher is ready to start things.
    Begin,
    /// A message of sessiond.
    FromSessiond(LaunchMessage, Vec<H>),
    /// A message of the bridge.
    FromBridge(LaunchMessage),
    /// A message of a session's worker.
    FromWorker(SessionId, LaunchMessage, Vec<H>),
    /// A message of the one that is to follow it.
    FromSuccessor(SessionId, LaunchMessage),
    /// A worker was forked.
    WorkerForked(SessionId, Running<H>),
    /// A worker could not be forked.
    WorkerNotForked(SessionId),
    /// A worker that is to follow another was forked.
    SuccessorForked(SessionId, Running<H>),
    /// It could not be.
    SuccessorNotForked(SessionId),
    /// A service was forked.
    ServiceForked(Service, Running<H>),
    /// A service could not be forked.
    ServiceNotForked(Service),
    /// A process ended, with this wait status if anybody knows it.
    Ended(Process, Option<i64>),
    /// The worker's socket was bound anew: this is its listener now.
    Rebound(SessionId, H),
    /// A worker without a launcher gave what is to be kept of its session.
    Adopted(SessionId, Box<Kept<H>>),
    /// A service is to be replaced, by one with new sockets or of a new version.
    Replace(Service),
    /// Somebody asked for an orderly end.
    Stop,
    /// A deadline of [`Core::deadline`] may have passed.
    DeadlinePassed,
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker; [`Event::WorkerForked`] or [`Event::WorkerNotForked`] answers.
    ForkWorker(SessionId, Mode),
    /// Fork a worker that is to follow another; [`Event::SuccessorForked`] or [`Event::SuccessorNotForked`] answers.
    ForkSuccessor(SessionId),
    /// Start the installed launcher, to take this one's place once it stands by.
    ForkHeir,
    /// This service serves: what it was started from is to be kept for a successor that does not.
    Proved(Service),
    /// Fork a service; [`Event::ServiceForked`] or [`Event::ServiceNotForked`] answers.
    ForkService(Service),
    /// Send to sessiond, if there is one.
    TellSessiond(LaunchMessage),
    /// Send to the session's worker.
    TellWorker(SessionId, LaunchMessage),
    /// Signal a service.
    Signal(Service, Signal),
    /// End this process.
    Kill(Process),
    /// Ask the session's worker for what is to be kept; [`Event::Adopted`] answers.
    Adopt(SessionId),
    /// Nothing is left to wait for.
    Exit,
}

/// What changed, for the spare's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// This session: present with new content, or gone.
    Session(SessionId),
    /// This service.
    Service(Service),
}

/// The launcher's state.
#[derive(Debug)]
pub struct Core<H> {
    sessions: BTreeMap<SessionId, Kept<H>>,
    services: BTreeMap<Service, Restarted<H>>,
    stopping: Option<Instant>,
    killed: bool,
    sessions_max: usize,
    /// No program runs unconfined.
    host_forbidden: bool,
    changed: BTreeSet<Changed>,
}

impl<H> Core<H> {
    /// A launcher without sessions that will keep at most so many.
    #[must_use]
    pub fn new(sessions_max: usize) -> Self {
        Self {
            sessions: BTreeMap::new(),
            services: Service::ALL.into_iter().map(|service| (service, Restarted::new(None))).collect(),
            stopping: None,
            killed: false,
            sessions_max,
            host_forbidden: false,
            changed: BTreeSet::new(),
        }
    }

    /// From now on no unconfined program is started, whoever asks: what runs is left alone.
    pub const fn forbid_host(&mut self) {
        self.host_forbidden = true;
    }

    /// Everything kept.
    #[must_use]
    pub const fn sessions(&self) -> &BTreeMap<SessionId, Kept<H>> {
        &self.sessions
    }

    /// A running service.
    #[must_use]
    pub fn service(&self, service: Service) -> Option<&Running<H>> {
        self.services.get(&service)?.running.as_ref()
    }

    /// Which process this number names, if it matters.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<(Process, &H)> {
        for (service, state) in &self.services {
            if let Some(running) = state.running.as_ref().filter(|running| running.pid == pid) {
                return Some((Process::Service(*service), &running.pidfd));
            }
        }
        self.sessions.iter().find_map(|(session, kept)| {
            if let Some(worker) = kept.worker.as_ref().filter(|worker| worker.pid == pid) {
                return Some((Process::Worker(*session), &worker.pidfd));
            }
            if let Some(next) = kept.next.as_ref().filter(|next| next.running.pid == pid) {
                return Some((Process::Successor(*session), &next.running.pidfd));
            }
            let program = kept.program.as_ref().filter(|program| program.pid == pid && program.exit.is_none())?;
            Some((Process::Program(*session), &program.pidfd))
        })
    }

    /// The handle of a process.
    #[must_use]
    pub fn pidfd(&self, process: Process) -> Option<&H> {
        match process {
            Process::Service(service) => self.service(service).map(|running| &running.pidfd),
            Process::Worker(session) => Some(&self.sessions.get(&session)?.worker.as_ref()?.pidfd),
            Process::Successor(session) => Some(&self.sessions.get(&session)?.next.as_ref()?.running.pidfd),
            Process::Program(session) => Some(&self.sessions.get(&session)?.program.as_ref()?.pidfd),
        }
    }

    /// Whether a service is to be started from the program that served last.
    #[must_use]
    pub fn falls_back(&self, service: Service) -> bool {
        self.services.get(&service).is_some_and(|state| state.fallback)
    }

    /// Whether a program would die with its worker if nobody kept its handles.
    #[must_use]
    pub fn keeps_programs(&self) -> bool {
        self.sessions.values().any(|kept| kept.program.is_some() && !kept.done)
    }

    /// When [`Event::DeadlinePassed`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let sessions = self.sessions.values().flat_map(|kept| [kept.start_at, kept.serve_by, kept.next_by()]).flatten();
        let services = self.services.values().filter_map(|service| service.start_at);
        let replaced = self.services.values().flat_map(|service| [service.replace_by, service.ready_by]).flatten();
        let stop = self.stopping.filter(|_| !self.killed);
        sessions.chain(services).chain(replaced).chain(stop).min()
    }

    /// What changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Changed> {
        std::mem::take(&mut self.changed)
    }

    /// Decides.
    pub fn step(&mut self, event: Event<H>, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Begin => self.begin(now, &mut actions),
            Event::FromSessiond(message, fds) => self.hear_sessiond(message, fds, now, &mut actions),
            Event::FromBridge(message) => self.hear_bridge(message, &mut actions),
            Event::FromWorker(session, message, fds) => self.hear_worker(session, message, fds, now, &mut actions),
            Event::FromSuccessor(session, message) => self.hear_successor(session, message, now, &mut actions),
            Event::SuccessorForked(session, running) => self.successor_forked(session, running, now),
            Event::SuccessorNotForked(session) | Event::Ended(Process::Successor(session), _) => {
                self.successor_ended(session, &mut actions);
            }
            Event::WorkerForked(session, running) => self.worker_forked(session, running, now, &mut actions),
            Event::WorkerNotForked(session) => self.worker_ended(session, None, now, &mut actions),
            Event::ServiceForked(service, running) => self.service_forked(service, running, now, &mut actions),
            Event::ServiceNotForked(service) | Event::Ended(Process::Service(service), _) => {
                self.service_ended(service, now, &mut actions);
            }
            Event::Ended(Process::Worker(session), status) => self.worker_ended(session, status, now, &mut actions),
            Event::Ended(Process::Program(session), status) => self.program_ended(session, status, &mut actions),
            Event::Rebound(session, listener) => self.rebound(session, listener),
            Event::Adopted(session, kept) => self.adopted(session, *kept, &mut actions),
            Event::Replace(service) => self.replace(service, now, &mut actions),
            Event::Stop => self.stop(now, &mut actions),
            Event::DeadlinePassed => self.deadline_passed(now, &mut actions),
        }
        actions
    }

    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for (service, state) in &mut self.services {
            if state.running.is_none() {
                state.start_at = None;
                actions.push(Action::ForkService(*service));
            }
        }
        // Taken over from a launcher that died between a worker's death and its successor's start.
        let orphaned: Vec<SessionId> =
            self.sessions.iter().filter(|(_, kept)| kept.worker.is_none()).map(|(session, _)| *session).collect();
        for session in orphaned {
            self.worker_ended(session, None, now, actions);
        }
    }

    fn hear_sessiond(&mut self, message: LaunchMessage, fds: Vec<H>, now: Instant, actions: &mut Vec<Action>) {
        let session = message.session;
        match message.op {
            Op::SpawnWorker => {
                let mut fds = fds.into_iter();
                let (Some(spec), None) = (fds.next(), fds.next()) else {
                    return actions.push(gone(session, STATUS_UNKNOWN));
                };
                if let Some(kept) = self.sessions.get(&session) {
                    // Asked twice: by a sessiond that started anew, or read twice around a launcher's death.
                    // Between two workers there is nothing to say yet.
                    if kept.announced && kept.worker.is_some() {
                        actions.push(started(session, kept));
                    }
                    return;
                }
                if self.sessions.len() >= self.sessions_max || self.stopping.is_some() {
                    return actions.push(gone(session, STATUS_UNKNOWN));
                }
                let profile = match Start::from_number(message.arg) {
                    Some(Start::Replay) => None,
                    Some(Start::Workspace) => Some(Profile::Workspace),
                    Some(Start::Locked) => Some(Profile::Locked),
                    Some(Start::Host) if self.host_forbidden => return actions.push(gone(session, FORBIDDEN)),
                    Some(Start::Host) => Some(Profile::Host),
                    // Of a version that knows more than this one.
                    None => return actions.push(gone(session, STATUS_UNKNOWN)),
                };
                let replay = profile.is_none();
                let profile = profile.unwrap_or(Profile::Host);
                self.sessions.insert(session, Kept { profile, ..Kept::new(spec, replay) });
                self.changed.insert(Changed::Session(session));
                actions.push(Action::ForkWorker(session, if replay { Mode::Replay } else { Mode::Fresh }));
            }
            Op::Retire => match self.sessions.get_mut(&session) {
                None => actions.push(gone(session, RETIRED)),
                Some(kept) if kept.done || kept.replay => actions.push(Action::Kill(Process::Worker(session))),
                // A program runs: its worker is not anybody's to end, unless its word that it has ended is on its way.
                Some(kept) => kept.retire_until = Some(now + RETIRE_WITHIN),
            },
            Op::Stop => self.stop(now, actions),
            Op::Ready => self.is_ready(Service::Supervisor, actions),
            Op::Replace => self.hear_replace(&message, now, actions),
            Op::Adopt => match self.sessions.get(&session) {
                // Asked by a sessiond that has not heard of it yet.
                Some(kept) if kept.announced && kept.worker.is_some() => actions.push(started(session, kept)),
                Some(_) => {}
                None if self.sessions.len() >= self.sessions_max || self.stopping.is_some() => {}
                None => actions.push(Action::Adopt(session)),
            },
            // Nothing else is sessiond's to say.
            _ => {}
        }
    }

    fn hear_worker(
        &mut self,
        session: SessionId,
        message: LaunchMessage,
        fds: Vec<H>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        let mut fds = fds.into_iter();
        match message.op {
            Op::Keep if !kept.done => {
                // A replay worker has a listener and nothing else to keep.
                kept.listener = fds.next();
                kept.window = fds.next();
                kept.master = fds.next();
            }
            Op::Program if !kept.done => {
                let Some(pidfd) = fds.next() else { return };
                let same = kept.program.as_ref().is_some_and(|program| program.pid == message.pid);
                if !same {
                    kept.program = Some(Program { pid: message.pid, pidfd, exit: None });
                }
                (kept.announced, kept.serves, kept.serve_by) = (true, true, None);
                actions.push(started(session, kept));
            }
            Op::Taken => {
                (kept.serves, kept.serve_by) = (true, None);
                if std::mem::take(&mut kept.trial) {
                    actions.push(started(session, kept));
                }
            }
            Op::Parked if !kept.done => kept.parked = true,
            Op::Done => {
                kept.done = true;
                kept.serve_by = kept.serve_by.filter(|_| kept.trial);
                kept.give_successor_up(session, NotReplaced::Busy, actions);
                (kept.listener, kept.window, kept.master, kept.program) = (None, None, None, None);
                if !kept.announced {
                    kept.announced = true;
                    actions.push(started(session, kept));
                }
                actions.push(Action::TellWorker(session, LaunchMessage::new(Op::Drained, session)));
                if kept.retire_until.take_if(|until| now <= *until).is_some() {
                    actions.push(Action::Kill(Process::Worker(session)));
                }
            }
            _ => return,
        }
        self.changed.insert(Changed::Session(session));
    }

    fn worker_forked(&mut self, session: SessionId, running: Running<H>, now: Instant, actions: &mut Vec<Action>) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        kept.worker = Some(running);
        (kept.serves, kept.parked) = (false, false);
        kept.serve_by = kept.may_hang().then(|| now + SERVES_WITHIN);
        kept.backoff.started(now);
        self.changed.insert(Changed::Session(session));
        if kept.announced {
            actions.push(started(session, kept));
        }
        // What the one before it may not have lived to read.
        if let Some(Program { pid, exit: Some(status), .. }) = &kept.program {
            actions.push(Action::TellWorker(session, exited(session, *pid, *status)));
        }
    }

    fn worker_ended(&mut self, session: SessionId, status: Option<i64>, now: Instant, actions: &mut Vec<Action>) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        kept.worker = None;
        self.changed.insert(Changed::Session(session));
        if kept.promote(session, now, actions) {
            return;
        }
        kept.learn_from_end(session, actions);
        if std::mem::take(&mut kept.unsure) && !kept.heard() {
            let mode = if kept.replay { Mode::Replay } else { Mode::Fresh };
            return actions.push(Action::ForkWorker(session, mode));
        }
        if kept.done || kept.replay || kept.program.is_none() {
            self.sessions.remove(&session);
            return actions.push(gone(session, status.unwrap_or(STATUS_UNKNOWN)));
        }
        let at = kept.backoff.died(&Rule::WORKER, now);
        if at <= now {
            actions.push(Action::ForkWorker(session, Mode::TakeOver));
        } else {
            kept.start_at = Some(at);
        }
    }

    fn program_ended(&mut self, session: SessionId, status: Option<i64>, actions: &mut Vec<Action>) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        let (Some(program), Some(status)) = (&mut kept.program, status) else { return };
        program.exit = Some(status);
        self.changed.insert(Changed::Session(session));
        if kept.worker.is_some() {
            actions.push(Action::TellWorker(session, exited(session, program.pid, status)));
        }
    }

    fn service_forked(&mut self, service: Service, running: Running<H>, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.services.get_mut(&service) else { return };
        state.running = Some(running);
        (state.start_at, state.replace_by, state.ready) = (None, None, false);
        // One that takes another's place by plan has been given its time; what is known to work has all that it needs.
        if !state.fallback {
            state.ready_by.get_or_insert(now + SERVES_WITHIN);
        }
        state.backoff.started(now);
        self.changed.insert(Changed::Service(service));
        if service == Service::Supervisor {
            // A new sessiond adopts by these; the sockets it scans are its fallback.
            let announced = self.sessions.iter().filter(|(_, kept)| kept.announced && kept.worker.is_some());
            actions.extend(announced.map(|(session, kept)| started(*session, kept)));
        }
    }

    fn service_ended(&mut self, service: Service, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.services.get_mut(&service) else { return };
        state.running = None;
        self.changed.insert(Changed::Service(service));
        if self.stopping.is_some() {
            return self.exit_when_stopped(actions);
        }
        if state.replace_by.take().is_some() {
            // As it was asked to: no death to count.
            (state.fallback, state.ready_by) = (false, Some(now + HEALTHY_WITHIN));
            return actions.push(Action::ForkService(service));
        }
        // One that never served may be of a version that can't: the next is of the one that could, and so on in turn.
        state.fallback = !state.ready && !state.fallback;
        state.ready_by = None;
        let at = state.backoff.died(&Rule::SERVICE, now);
        if at <= now {
            actions.push(Action::ForkService(service));
        } else {
            state.start_at = Some(at);
        }
    }

    fn adopted(&mut self, session: SessionId, kept: Kept<H>, actions: &mut Vec<Action>) {
        actions.push(started(session, &kept));
        self.sessions.insert(session, kept);
        self.changed.insert(Changed::Session(session));
    }

    fn rebound(&mut self, session: SessionId, listener: H) {
        // Nobody succeeds the worker of a session that is done.
        if let Some(kept) = self.sessions.get_mut(&session).filter(|kept| !kept.done) {
            kept.listener = Some(listener);
            self.changed.insert(Changed::Session(session));
        }
    }

    fn replace(&mut self, service: Service, now: Instant, actions: &mut Vec<Action>) {
        let Some(state) = self.services.get_mut(&service) else { return };
        // One that does not run is started with whatever sockets there are then.
        if self.stopping.is_none() && state.running.is_some() && state.replace_by.is_none() {
            state.replace_by = Some(now + STOP_GRACE);
            actions.push(Action::Signal(service, Signal::SIGTERM));
        }
    }

    fn stop(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now + STOP_GRACE);
        for (service, state) in &mut self.services {
            (state.start_at, state.replace_by, state.ready_by) = (None, None, None);
            if state.running.is_some() {
                actions.push(Action::Signal(*service, Signal::SIGTERM));
            }
        }
        self.exit_when_stopped(actions);
    }

    fn exit_when_stopped(&self, actions: &mut Vec<Action>) {
        if self.services.values().all(|state| state.running.is_none()) {
            actions.push(Action::Exit);
        }
    }

    fn deadline_passed(&mut self, now: Instant, actions: &mut Vec<Action>) {
        // A bridge says that it serves once it has found sessiond, and is not to blame for one that is not there.
        let found = self.services.get(&Service::Supervisor).is_some_and(|state| state.ready);
        for (service, state) in &mut self.services {
            if state.start_at.take_if(|at| *at <= now).is_some() {
                actions.push(Action::ForkService(*service));
            }
            if let Some(at) = state.replace_by.as_mut().filter(|at| **at <= now) {
                // Dead, it is replaced; until that is noticed the deadline stays.
                *at = now + STOP_GRACE;
                actions.push(Action::Signal(*service, Signal::SIGKILL));
            }
            if let Some(at) = state.ready_by.as_mut().filter(|at| **at <= now && *service == Service::Bridge && !found)
            {
                *at = now + SERVES_WITHIN;
            }
            if state.ready_by.take_if(|at| *at <= now).is_some() && state.running.is_some() {
                actions.push(Action::Signal(*service, Signal::SIGKILL));
            }
        }
        for (session, kept) in &mut self.sessions {
            kept.late(*session, now, actions);
            if kept.start_at.take_if(|at| *at <= now).is_some() {
                actions.push(Action::ForkWorker(*session, Mode::TakeOver));
            }
        }
        if self.stopping.is_some_and(|deadline| deadline <= now) && !self.killed {
            self.killed = true;
            let running = self.services.iter().filter(|(_, state)| state.running.is_some());
            actions.extend(running.map(|(service, _)| Action::Signal(*service, Signal::SIGKILL)));
        }
    }

    /// Puts a session as the dead launcher had it; for the spare's copy.
    pub fn restore_session(&mut self, session: SessionId, kept: Option<Kept<H>>) {
        match kept {
            Some(kept) => self.sessions.insert(session, Kept { unsure: !kept.heard(), ..kept }),
            None => self.sessions.remove(&session),
        };
    }

    /// Puts a service as the dead launcher had it; for the spare's copy.
    pub fn restore_service(&mut self, service: Service, running: Option<Running<H>>) {
        self.services.insert(service, Restarted::new(running));
    }
}

fn started<H>(session: SessionId, kept: &Kept<H>) -> Action {
    Action::TellSessiond(LaunchMessage {
        op: Op::WorkerStarted,
        session,
        pid: kept.worker.as_ref().map_or(0, |worker| worker.pid),
        arg: kept.program.as_ref().map_or(0, |program| i64::from(program.pid)),
    })
}

fn gone(session: SessionId, status: i64) -> Action {
    Action::TellSessiond(LaunchMessage { op: Op::WorkerGone, session, pid: 0, arg: status })
}

fn exited(session: SessionId, pid: u32, status: i64) -> LaunchMessage {
    LaunchMessage { op: Op::ProgramExited, session, pid, arg: status }
}
