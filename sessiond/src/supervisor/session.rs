//! One session as sessiond knows it, and how it is shown.

use std::time::{Duration, Instant};

use baton_proto::spec::{Layer, SessionSpec};
use baton_proto::v1::{ExitRecord, Failed, SessionEntry, Status};
use baton_proto::{ErrorCode, SessionId};

use super::event::{Action, Answer, ConnId};
use super::respawn::Respawning;

/// Reason of an exit record that means "never started".
pub(super) const FAILED_PREFIX: &str = "failed: ";

/// Where a session is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Its worker was asked for.
    Starting,
    /// Its program runs, as far as anybody knows.
    Running,
    /// Ended, with the wall time of it.
    Ended(Status, u64),
}

/// The connection to its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// There is none.
    Down,
    /// The handshake is under way.
    Dialling,
    /// The worker tells of the end.
    Up,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    /// Without environment.
    pub(super) spec: SessionSpec,
    pub(super) state: State,
    pub(super) worker_pid: Option<u32>,
    pub(super) program_pid: Option<u32>,
    /// The launcher has a worker for it.
    pub(super) kept: bool,
    /// A worker was asked for and the launcher has not answered.
    pub(super) asked: bool,
    /// Ended, and to be started again.
    pub(super) respawning: Option<Box<Respawning>>,
    pub(super) link: Link,
    /// When the launcher is asked to keep it (again), and how often it is still asked.
    pub(super) adopt: Option<(Instant, u8)>,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Who waits for the session's worker, and until when.
    pub(super) waiting: Vec<(ConnId, u64, Instant)>,
    /// Who waits for its worker to be replaced, and until when.
    pub(super) replacing: Vec<(ConnId, u64, Instant)>,
    /// How its program was confined.
    pub(super) layers: Vec<Layer>,
}

impl Session {
    pub(super) fn new(mut spec: SessionSpec, state: State) -> Self {
        spec.env = Vec::new();
        Self {
            spec,
            state,
            worker_pid: None,
            program_pid: None,
            kept: false,
            asked: false,
            respawning: None,
            link: Link::Down,
            adopt: None,
            failures: 0,
            retry_at: None,
            waiting: Vec::new(),
            replacing: Vec::new(),
            layers: Vec::new(),
        }
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    /// Whether clients can connect: the worker listens as far as anybody knows.
    pub(super) const fn is_reachable(&self) -> bool {
        match self.state {
            State::Starting => false,
            State::Running => true,
            State::Ended(..) => self.kept && !self.asked && self.respawning.is_none(),
        }
    }

    pub(super) fn entry(&self) -> SessionEntry {
        SessionEntry {
            spec: self.spec.clone(),
            status: match &self.state {
                State::Starting => Status::Starting,
                State::Running => Status::Running,
                State::Ended(status, _) => status.clone(),
            },
            worker_pid: self.worker_pid,
            program_pid: self.program_pid,
            socket: self.is_reachable().then(|| self.spec.session.socket_name()),
            layers: self.layers.clone(),
        }
    }

    /// When to try the worker again: soon at first, then every few seconds.
    pub(super) fn retry(&mut self, now: Instant) {
        let wait = Duration::from_millis(20).saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Down;
        self.retry_at = Some(now + wait.min(Duration::from_secs(5)));
    }
}

pub(super) fn answer_waiting(session: &mut Session, result: &Result<SessionEntry, Failed>, out: &mut Vec<Action>) {
    for (conn, request, _) in session.waiting.drain(..) {
        let answer = match result {
            Ok(entry) => Answer::Session(Box::new(entry.clone())),
            Err(failed) => Answer::Failed(failed.clone()),
        };
        out.push(Action::Answer(conn, request, answer));
    }
}

pub(super) fn status_of(exit: &ExitRecord) -> Status {
    match exit.reason.strip_prefix(FAILED_PREFIX) {
        Some(reason) => Status::Failed { reason: reason.to_owned() },
        None if exit.closed => Status::Closed(exit.clone()),
        None => Status::Exited(exit.clone()),
    }
}

pub(super) fn shown_bytes(spec: &SessionSpec) -> usize {
    let words: usize = spec.command.iter().map(|word| word.len() + 8).sum();
    let grants = spec.grants.iter().flat_map(|grant| std::iter::once(&grant.root).chain(&grant.output_roots));
    let grants: usize = grants.map(|path| path.len() + 16).sum();
    words + grants + spec.cwd.len() + spec.title.len() + spec.boot_id.len()
}

pub(super) fn failed(code: ErrorCode, message: &str) -> Failed {
    Failed { code, message: message.to_owned(), owner: None, oldest: None }
}

pub(super) fn not_found(session: SessionId) -> Failed {
    failed(ErrorCode::NotFound, &format!("there is no session `{session}`"))
}
