//! What sessiond decides. No I/O, no clock: events in, actions out.
//!
//! ```text
//!            Spawn            Inspected                 Exit record
//!  (unknown) ─────► Starting ───────────► Running ─────────────────────► Ended(exited | closed | failed)
//!                                         ▲    │ nobody listens            │ OpenSession: a worker serves the journal
//!                      found on disk ─────┘    ▼                           ▼
//!                                    ask the journal ──► Ended, or lost   (same state, with a socket)
//! ```
//!
//! An ended session may be started again (`respawn`): Ended ─► Starting, under a new instance.
//!
//! A worker that does not answer is *unknown*: asked again for as long as its socket is there, never killed, never
//! declared dead. Only a socket that nobody listens on ends that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use baton_proto::launch::{LaunchMessage, NotReplaced, Op};
use baton_proto::spec::{Layer, SessionSpec};
use baton_proto::v1::{ExitRecord, Failed, Inspection, SessionEntry, Status};
use baton_proto::{ErrorCode, SessionId};

use super::event::{Action, Answer, ConnId, Counts, Event, Request};
use super::registry::Bytes;
use super::session::{FAILED_PREFIX, Link, Session, State, answer_waiting, failed, not_found, shown_bytes, status_of};
use crate::launcher::core::FORBIDDEN;

/// How long somebody who asked for a session waits for its worker.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often and after which pause the launcher is asked to keep a worker that has none.
const ADOPT_TRIES: u8 = 6;
const ADOPT_AGAIN: Duration = Duration::from_secs(1);

/// A list is cut into parts of about this size.
const PART_BYTES: usize = 128 << 10;

/// How long after a session came or went the journals are measured: many at once are one measurement.
const MEASURE_AFTER: Duration = Duration::from_secs(1);

/// What the configuration allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes all journals together may have.
    pub journal_total_bytes: u64,
    /// Whether sessions may run unconfined.
    pub allow_host: bool,
    /// Whether a confined session is started only where every layer is enforced.
    pub require: bool,
}

/// sessiond's state.
#[derive(Debug)]
pub struct Core {
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) names: BTreeMap<String, SessionId>,
    listeners: BTreeSet<ConnId>,
    measure_at: Option<Instant>,
    pub(super) limits: Limits,
}

impl Core {
    /// No sessions yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { sessions: BTreeMap::new(), names: BTreeMap::new(), listeners: BTreeSet::new(), measure_at: None, limits }
    }

    /// Which life of the program a session has.
    #[must_use]
    pub fn instance(&self, session: SessionId) -> Option<baton_proto::InstanceId> {
        self.sessions.get(&session).map(|session| session.spec.instance)
    }

    /// Every session's id.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// The process of every worker that is known.
    pub fn worker_pids(&self) -> impl Iterator<Item = u32> {
        self.sessions.values().filter_map(|session| session.worker_pid)
    }

    /// A part of the list: what comes after this session, and the last one in it; `None` when the list ends here.
    #[must_use]
    pub fn list_part(&self, after: Option<SessionId>) -> (Vec<SessionEntry>, Option<SessionId>) {
        let (mut part, mut bytes) = (Vec::new(), 0);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (id, session) in self.sessions.range((from, Bound::Unbounded)) {
            part.push(session.entry());
            bytes += shown_bytes(&session.spec) + 512;
            if bytes >= PART_BYTES {
                return (part, Some(*id));
            }
        }
        (part, None)
    }

    /// When [`Event::DeadlinePassed`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let adoptions = self.sessions.values().filter_map(|session| session.adopt.map(|(at, _)| at));
        let retries = self.sessions.values().filter_map(|session| session.retry_at).chain(adoptions);
        let waiting =
            |session: &Session| session.waiting.iter().chain(&session.replacing).map(|(.., until)| *until).min();
        let answers = self.sessions.values().filter_map(waiting);
        let retiring = self.sessions.values().filter_map(|session| session.respawning.as_ref().map(|it| it.until));
        retries.chain(retiring).chain(answers).chain(self.measure_at).min()
    }

    /// Decides.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Found(spec, end) => self.found(*spec, end, now, &mut out),
            Event::Request { conn, id, request, wall_us } => self.request(conn, id, request, wall_us, now, &mut out),
            Event::ConnClosed(conn) => {
                self.listeners.remove(&conn);
                for session in self.sessions.values_mut() {
                    session.waiting.retain(|(waiting, ..)| *waiting != conn);
                    session.replacing.retain(|(waiting, ..)| *waiting != conn);
                }
            }
            Event::Launcher(message) => self.launcher(message, now, &mut out),
            Event::NotStored(session, why) => self.not_stored(session, why, &mut out),
            Event::SpawnFailed(session, why) => self.spawn_failed(session, &why, now, &mut out),
            Event::Confined(session, layers) => self.confined(session, layers, &mut out),
            Event::Inspected(session, inspection) => self.inspected(session, &inspection, now, &mut out),
            Event::Exit(session, exit, wall_us) => self.ended(session, exit, wall_us, now, &mut out),
            Event::Absent(session) => self.absent(session, now, &mut out),
            Event::Unreached(session) => self.unreached(session, now),
            Event::Remains(session, exit, wall_us) => self.remains(session, exit, wall_us, now, &mut out),
            Event::Forgotten(session, conn, id, result) => self.forgotten(session, conn, id, result, &mut out),
            Event::Rewritten(session, result) => self.rewritten(session, result.map(|spec| *spec), &mut out),
            Event::Measured(bytes) => self.measured(&bytes, &mut out),
            Event::DeadlinePassed => self.deadline_passed(now, &mut out),
        }
        out
    }

    fn found(&mut self, spec: SessionSpec, end: Option<(ExitRecord, u64)>, now: Instant, out: &mut Vec<Action>) {
        let id = spec.session;
        self.names.insert(id.socket_name(), id);
        let state = match end {
            Some((exit, at)) => State::Ended(status_of(&exit), at),
            // As far as anybody knows; a socket that nobody listens on would end that.
            None => {
                out.push(Action::Dial(id));
                State::Running
            }
        };
        let mut session = Session::new(spec, state);
        if !session.has_ended() {
            session.link = Link::Dialling;
        }
        self.sessions.insert(id, session);
        self.measure_at.get_or_insert(now + MEASURE_AFTER);
    }

    fn request(&mut self, conn: ConnId, id: u64, request: Request, wall_us: u64, now: Instant, out: &mut Vec<Action>) {
        let answer = match request {
            Request::Spawn(spec) => match self.refusal(&spec) {
                Some(failed) => Answer::Failed(failed),
                None => return self.spawn(conn, id, *spec, wall_us, now, out),
            },
            Request::NoRoom(why) => Answer::Failed(why),
            Request::List => {
                self.listeners.insert(conn);
                Answer::List
            }
            Request::Open(session) => match self.open(session, conn, id, now, out) {
                Some(answer) => answer,
                None => return,
            },
            Request::Forget(session) => match self.sessions.get(&session) {
                None => Answer::Failed(not_found(session)),
                Some(known) if !known.has_ended() => {
                    Answer::Failed(failed(ErrorCode::SessionRunning, "the session has not ended; close it first"))
                }
                Some(known) if known.respawning.is_some() => {
                    Answer::Failed(failed(ErrorCode::SessionRunning, "the session is being started again just now"))
                }
                Some(_) => return out.push(Action::Forget(session, conn, id)),
            },
            Request::Upgrade(what) => match self.upgrade(what, conn, id, now, out) {
                Some(answer) => answer,
                None => return,
            },
            Request::Respawn(change) => match self.respawn(conn, id, *change, now, out) {
                Some(failed) => Answer::Failed(failed),
                None => return,
            },
            Request::Settings(edit) => return out.push(Action::EditSettings(conn, id, edit)),
            Request::Status => Answer::Status(self.counts()),
        };
        out.push(Action::Answer(conn, id, answer));
    }

    fn spawn(&mut self, conn: ConnId, id: u64, spec: SessionSpec, wall_us: u64, now: Instant, out: &mut Vec<Action>) {
        let mut spec = SessionSpec { created_us: wall_us, sandbox_required: self.limits.require, ..spec };
        // Not the asker's to say; what is inherited from an outer session would name the wrong one.
        spec.env.retain(|(name, _)| name != SESSION_VARIABLE);
        spec.env.push((SESSION_VARIABLE.to_owned(), spec.session.to_string()));
        let mut session = Session::new(spec.clone(), State::Starting);
        session.asked = true;
        session.waiting.push((conn, id, now + ANSWER_WITHIN));
        self.names.insert(spec.session.socket_name(), spec.session);
        self.tell(&session, out);
        self.sessions.insert(spec.session, session);
        self.measure_at.get_or_insert(now + MEASURE_AFTER);
        out.push(Action::Store(Box::new(spec)));
    }

    fn open(
        &mut self,
        id: SessionId,
        conn: ConnId,
        request: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Option<Answer> {
        let Some(session) = self.sessions.get_mut(&id) else { return Some(Answer::Failed(not_found(id))) };
        if session.is_reachable() && (session.has_ended() || session.link == Link::Up) {
            return Some(Answer::Session(Box::new(session.entry())));
        }
        session.waiting.push((conn, request, now + ANSWER_WITHIN));
        if session.has_ended() && !session.asked && session.respawning.is_none() && session.link == Link::Down {
            // A worker that the launcher does not know may still be there: of a launcher that is gone.
            session.link = Link::Dialling;
            session.retry_at = None;
            out.push(Action::Dial(id));
        }
        None
    }

    fn launcher(&mut self, message: LaunchMessage, now: Instant, out: &mut Vec<Action>) {
        if matches!(message.op, Op::WorkerStarted | Op::WorkerGone)
            && self.retiring(&message, message.op == Op::WorkerGone, out)
        {
            return;
        }
        let Some(session) = self.sessions.get_mut(&message.session) else { return };
        let id = message.session;
        match message.op {
            Op::NotReplaced => self.not_replaced(id, NotReplaced::from_number(message.arg), out),
            Op::WorkerStarted => {
                (session.kept, session.asked, session.adopt) = (true, false, None);
                let before = (session.worker_pid, session.program_pid);
                session.worker_pid = (message.pid != 0).then_some(message.pid);
                if let Some(pid) = session.worker_pid {
                    out.push(Action::NoteWorker(id, pid));
                }
                let program = u32::try_from(message.arg).ok().filter(|pid| *pid != 0);
                match &session.state {
                    State::Ended(Status::Lost, _) if program.is_some() => session.state = State::Starting,
                    State::Ended(..) => {
                        // It serves the journal: who waits can connect.
                        self.tell_of(id, out);
                        return self.answer_of(id, out);
                    }
                    State::Starting | State::Running => {}
                }
                session.program_pid = program.or(session.program_pid);
                let changed = before != (session.worker_pid, session.program_pid);
                if session.link == Link::Down {
                    (session.link, session.retry_at) = (Link::Dialling, None);
                    out.push(Action::Dial(id));
                }
                if changed {
                    self.tell_of(id, out);
                }
                self.replaced(id, out);
            }
            Op::WorkerGone => {
                let asked = std::mem::take(&mut session.asked);
                (session.kept, session.worker_pid) = (false, None);
                match &session.state {
                    State::Starting if asked && message.arg == FORBIDDEN => {
                        let why = "the launcher refuses sessions that are not confined (`sandbox.allow_host = false` when \
                                   Baton was started)";
                        self.spawn_failed(id, why, now, out);
                    }
                    State::Starting if asked => {
                        let why = "its worker did not start; `workers.log` and `launcher.log` say why";
                        self.spawn_failed(id, why, now, out);
                    }
                    State::Starting | State::Running => out.push(Action::AskJournal(id)),
                    State::Ended(..) => {
                        let why = failed(
                            ErrorCode::Internal,
                            "no worker could serve the journal; `workers.log` and `launcher.log` say why",
                        );
                        if asked {
                            answer_waiting(session, &Err(why), out);
                        }
                        self.tell_of(id, out);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is on no disk is no session: whoever asked for it is told why, and nothing of it is left.
    fn not_stored(&mut self, id: SessionId, why: Failed, out: &mut Vec<Action>) {
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.names.remove(&id.socket_name());
        // Told before the answer: whoever hears of it only from here hears that it is over, and who asked forgets it last.
        session.state = State::Ended(Status::Failed { reason: why.message.clone() }, session.spec.created_us);
        self.tell(&session, out);
        answer_waiting(&mut session, &Err(why), out);
    }

    fn spawn_failed(&mut self, id: SessionId, why: &str, now: Instant, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.asked = false;
        if session.has_ended() {
            answer_waiting(session, &Err(failed(ErrorCode::Internal, why)), out);
            return;
        }
        let exit = ExitRecord { code: None, signal: None, reason: format!("{FAILED_PREFIX}{why}"), closed: false };
        let at = session.spec.created_us;
        self.ended(id, exit, at, now, out);
    }

    /// How the program was confined: said by its worker, or found on disk.
    fn confined(&mut self, id: SessionId, layers: Vec<Layer>, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !layers.is_empty() && session.layers != layers {
            session.layers = layers;
            self.tell_of(id, out);
        }
    }

    fn inspected(&mut self, id: SessionId, inspection: &Inspection, now: Instant, out: &mut Vec<Action>) {
        self.confined(id, inspection.layers.clone(), out);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        (session.link, session.failures, session.retry_at) = (Link::Up, 0, None);
        let changed = session.worker_pid.replace(inspection.worker_pid) != Some(inspection.worker_pid);
        if let Some(exit) = &inspection.exit {
            if session.has_ended() {
                // Found by asking: a worker of a launcher that is gone still serves the journal.
                let entry = SessionEntry { socket: Some(session.spec.session.socket_name()), ..session.entry() };
                answer_waiting(session, &Ok(entry), out);
                session.link = Link::Down;
                return out.push(Action::HangUp(id));
            }
            let at = inspection.last_activity_us;
            return self.ended(id, exit.clone(), at, now, out);
        }
        let program = (inspection.program_pid != 0).then_some(inspection.program_pid);
        let changed = changed || session.state != State::Running || session.program_pid != program;
        session.state = State::Running;
        session.program_pid = program;
        out.push(Action::NoteWorker(id, inspection.worker_pid));
        // The launcher tells of what it keeps; of one whose launcher is dead, spare and all, it knows nothing.
        session.adopt = (!session.kept).then_some((now, ADOPT_TRIES));
        if changed {
            self.tell_of(id, out);
        }
        self.answer_of(id, out);
        self.adopt_orphans(now, out);
    }

    fn ended(&mut self, id: SessionId, exit: ExitRecord, wall_us: u64, now: Instant, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if matches!(&session.state, State::Ended(status, _) if *status != Status::Lost) {
            return;
        }
        session.state = State::Ended(status_of(&exit), wall_us);
        (session.program_pid, session.retry_at) = (None, None);
        if session.link != Link::Down {
            session.link = Link::Down;
            out.push(Action::HangUp(id));
        }
        out.push(Action::NoteEnd(id, exit));
        self.tell_of(id, out);
        self.answer_of(id, out);
        self.measure_at.get_or_insert(now + MEASURE_AFTER);
    }

    fn absent(&mut self, id: SessionId, now: Instant, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.link = Link::Down;
        match &session.state {
            // The launcher has a worker, or will: it knows better than a socket that is being bound.
            _ if session.kept || session.asked => session.retry(now),
            State::Starting | State::Running => out.push(Action::AskJournal(id)),
            State::Ended(..) if session.waiting.is_empty() => {}
            State::Ended(..) => {
                session.asked = true;
                out.push(Action::Replay(id));
            }
        }
    }

    fn unreached(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.has_ended() && session.waiting.is_empty() {
            session.link = Link::Down;
        } else {
            session.retry(now);
        }
    }

    fn remains(&mut self, id: SessionId, exit: Option<ExitRecord>, wall_us: u64, now: Instant, out: &mut Vec<Action>) {
        if let Some(exit) = exit {
            return self.ended(id, exit, wall_us, now, out);
        }
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.has_ended()) else { return };
        session.state = State::Ended(Status::Lost, session.spec.created_us);
        (session.worker_pid, session.program_pid, session.retry_at) = (None, None, None);
        if session.waiting.is_empty() {
            return self.tell_of(id, out);
        }
        // Who asked for the session before it was known to be lost gets what remains: its journal.
        session.link = Link::Dialling;
        out.push(Action::Dial(id));
        self.tell_of(id, out);
    }

    fn forgotten(
        &mut self,
        id: SessionId,
        conn: ConnId,
        request: u64,
        result: Result<(), String>,
        out: &mut Vec<Action>,
    ) {
        let answer = match result {
            Ok(()) => {
                if let Some(mut session) = self.sessions.remove(&id) {
                    self.names.remove(&id.socket_name());
                    answer_waiting(&mut session, &Err(not_found(id)), out);
                    if session.link != Link::Down {
                        out.push(Action::HangUp(id));
                    }
                }
                Answer::Done
            }
            Err(why) => {
                Answer::Failed(failed(ErrorCode::Internal, &format!("the journal could not be removed: {why}")))
            }
        };
        out.push(Action::Answer(conn, request, answer));
    }

    /// Too much journal on disk: earlier instances go first, then ended sessions give theirs up, the longest ended first; then the
    /// living ones share.
    fn measured(&self, bytes: &BTreeMap<SessionId, Bytes>, out: &mut Vec<Action>) {
        let mut total: u64 = bytes.values().map(|bytes| bytes.current + bytes.earlier).sum();
        for (id, bytes) in bytes {
            if total <= self.limits.journal_total_bytes {
                return;
            }
            // What nobody can read any more but by hand.
            if bytes.earlier > 0 {
                total -= bytes.earlier;
                out.push(Action::DropEarlier(*id));
            }
        }
        let size = |id: &SessionId| bytes.get(id).map(|bytes| bytes.current).unwrap_or_default();
        let mut ended: Vec<(u64, SessionId)> = Vec::new();
        for (id, session) in &self.sessions {
            // One that serves its journal just now goes on to; its turn comes.
            if let State::Ended(_, at) = session.state
                && !session.kept
                && !session.asked
                && session.respawning.is_none()
            {
                ended.push((at, *id));
            }
        }
        ended.sort_unstable();
        for (_, id) in ended {
            if total <= self.limits.journal_total_bytes {
                return;
            }
            if size(&id) > 0 {
                total -= size(&id);
                out.push(Action::DropJournals(id));
            }
        }
        if total <= self.limits.journal_total_bytes {
            return;
        }
        let living: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.link == Link::Up).map(|(id, _)| *id).collect();
        let share = self.limits.journal_total_bytes / living.len().max(1) as u64;
        out.extend(living.into_iter().filter(|id| size(id) > share).map(|id| Action::Trim(id, share)));
    }

    fn deadline_passed(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (id, session) in &mut self.sessions {
            Self::retire_late(session, now, out);
            if session.retry_at.take_if(|at| *at <= now).is_some() {
                session.link = Link::Dialling;
                out.push(Action::Dial(*id));
            }
            let entry = session.waiting.iter().any(|(_, _, until)| *until <= now).then(|| session.entry());
            if let Some(entry) = entry {
                for (conn, request, _) in session.waiting.extract_if(.., |(_, _, until)| *until <= now) {
                    out.push(Action::Answer(conn, request, Answer::Session(Box::new(entry.clone()))));
                }
            }
        }
        self.replacing_is_late(now, out);
        self.adopt_orphans(now, out);
        if self.measure_at.take_if(|at| *at <= now).is_some() {
            out.push(Action::Measure);
        }
    }

    /// Has the launcher ask workers for what it is to keep, a few times: one may not have noticed yet that its own is dead.
    fn adopt_orphans(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (id, session) in &mut self.sessions {
            let Some((_, tries)) = session.adopt.take_if(|(at, _)| *at <= now) else { continue };
            if session.link == Link::Up && !session.kept && !session.has_ended() {
                out.push(Action::Adopt(*id));
                session.adopt = (tries > 1).then_some((now + ADOPT_AGAIN, tries - 1));
            }
        }
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for session in self.sessions.values() {
            match &session.state {
                State::Ended(Status::Lost, _) => counts.lost += 1,
                State::Ended(..) => {}
                State::Running if session.link == Link::Up => counts.running += 1,
                State::Starting | State::Running => counts.parked += 1,
            }
        }
        counts
    }

    pub(super) fn tell_of(&self, id: SessionId, out: &mut Vec<Action>) {
        if let Some(session) = self.sessions.get(&id) {
            self.tell(session, out);
        }
    }

    /// Answers whoever waits for this session; after [`Core::tell_of`], so that an answer is no news to its listener.
    fn answer_of(&mut self, id: SessionId, out: &mut Vec<Action>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let entry = session.entry();
            answer_waiting(session, &Ok(entry), out);
        }
    }

    fn tell(&self, session: &Session, out: &mut Vec<Action>) {
        out.extend(self.listeners.iter().map(|conn| Action::Tell(*conn, Box::new(session.entry()))));
    }
}

/// Names a program's session to the program.
pub const SESSION_VARIABLE: &str = "BATON_SESSION";
