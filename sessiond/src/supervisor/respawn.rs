//! Starting an ended session again: same id, a new instance.
//!
//! ```text
//!   Ended(exited | lost) ──Respawn──► its worker, if one serves the journal, is retired ──WorkerGone──► spec rewritten ──► Starting
//! ```
//!
//! The new spec is the moment of no return: one rename. Before it, whatever dies, the session is the one that ended; after
//! it, the new one. The end that was noted belongs to the old instance and is not read for the new one.

use std::time::Instant;

use baton_proto::launch::LaunchMessage;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::{Failed, Respawn, Status};
use baton_proto::{ErrorCode, InstanceId, SessionId};

use super::event::{Action, ConnId};
use super::session::{Link, Session, State, answer_waiting, failed, not_found};
use super::step::{ANSWER_WITHIN, Core};
use crate::launcher::core::{RETIRE_WITHIN, RETIRED};

/// What changes with a new instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was asked.
    pub asked: Respawn,
    /// The new instance.
    pub instance: InstanceId,
    /// Kernel boot id of this host.
    pub boot_id: String,
    /// Whether the worker that was last known for the session still lives.
    pub worker_lives: bool,
}

impl Change {
    /// The spec of the new instance.
    #[must_use]
    pub fn applied(&self, mut spec: SessionSpec) -> SessionSpec {
        let asked = &self.asked;
        (spec.instance, spec.boot_id) = (self.instance, self.boot_id.clone());
        if let Some(command) = &asked.command {
            (spec.command, spec.login) = (command.clone(), false);
        }
        if let Some(cwd) = &asked.cwd {
            spec.cwd.clone_from(cwd);
            // A shell believes `PWD` where it fits, and shows that.
            for (_, value) in spec.env.iter_mut().filter(|(name, _)| name == "PWD") {
                value.clone_from(cwd);
            }
        }
        spec.idle_timeout_s = asked.idle_timeout_s.unwrap_or(spec.idle_timeout_s);
        spec.record_input = asked.record_input.unwrap_or(spec.record_input);
        spec
    }
}

/// A respawn whose old worker is still to go, or whose spec is being written.
#[derive(Debug)]
pub(super) struct Respawning {
    change: Change,
    /// When it is given up.
    pub(super) until: Instant,
}

impl Core {
    /// Begins; `None` when the answer comes later.
    pub(super) fn respawn(
        &mut self,
        conn: ConnId,
        request: u64,
        change: Change,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Option<Failed> {
        let id = change.asked.session;
        let Some(session) = self.sessions.get(&id) else { return Some(not_found(id)) };
        if let Some(refusal) = refusal(session, &change) {
            return Some(refusal);
        }
        if let Some(unfit) = self.unfit(&change.applied(session.spec.clone())) {
            return Some(unfit);
        }
        let session = self.sessions.get_mut(&id)?;
        session.waiting.push((conn, request, now + ANSWER_WITHIN));
        session.respawning = Some(Box::new(Respawning { change, until: now + RETIRE_WITHIN }));
        session.retry_at = None;
        if session.kept || session.asked {
            out.push(Action::Retire(id));
        } else {
            self.rewrite(id, out);
        }
        None
    }

    /// What the launcher says while a respawn waits for it; false when it is about something else.
    pub(super) fn retiring(&mut self, message: &LaunchMessage, gone: bool, out: &mut Vec<Action>) -> bool {
        let id = message.session;
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        if gone && message.arg == RETIRED && !session.has_ended() {
            // The answer to a request that another word of the launcher had settled before.
            return true;
        }
        if session.respawning.is_none() {
            return false;
        }
        if gone {
            (session.kept, session.asked, session.worker_pid) = (false, false, None);
            self.rewrite(id, out);
            return true;
        }
        if message.arg > 0 {
            // Believed to be lost, and alive: there is nothing to start.
            session.respawning = None;
            let why = failed(ErrorCode::SessionRunning, "the session turned out to be running");
            answer_waiting(session, &Err(why), out);
            return false;
        }
        // The worker that was asked for to serve the journal; it is on the way out.
        (session.kept, session.asked) = (true, false);
        true
    }

    fn rewrite(&mut self, id: SessionId, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.link != Link::Down {
            session.link = Link::Down;
            out.push(Action::HangUp(id));
        }
        if let Some(respawning) = &session.respawning {
            out.push(Action::Rewrite(Box::new(respawning.change.clone())));
        }
    }

    /// The new spec is written down, or is not.
    pub(super) fn rewritten(&mut self, id: SessionId, result: Result<SessionSpec, String>, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.respawning = None;
        match result {
            Ok(spec) => {
                session.spec = SessionSpec { env: Vec::new(), ..spec };
                session.state = State::Starting;
                session.asked = true;
                session.failures = 0;
                session.layers = Vec::new();
                (session.worker_pid, session.program_pid, session.retry_at) = (None, None, None);
                let profile = session.spec.profile;
                self.tell_of(id, out);
                out.push(Action::Start(id, profile));
            }
            Err(why) => {
                let why = format!("the session stays ended, its new life could not be written down: {why}");
                answer_waiting(session, &Err(failed(ErrorCode::Internal, &why)), out);
            }
        }
    }

    /// Gives up a respawn whose old worker does not go.
    pub(super) fn retire_late(session: &mut Session, now: Instant, out: &mut Vec<Action>) {
        if session.respawning.take_if(|respawning| respawning.until <= now).is_some() {
            let why = "the worker that serves the ended session's journal does not go; try again, and if it stays so: \
                       `baton down`, then `baton up`";
            answer_waiting(session, &Err(failed(ErrorCode::Internal, why)), out);
        }
    }
}

/// Why this session can't be started again, if it can't.
fn refusal(session: &Session, change: &Change) -> Option<Failed> {
    let running = |why: &str| Some(failed(ErrorCode::SessionRunning, why));
    match &session.state {
        State::Starting | State::Running => running("the session runs; there is nothing to start again"),
        _ if session.respawning.is_some() => running("the session is being started again just now"),
        State::Ended(Status::Lost, _) if change.worker_lives && !session.kept => running(
            "the session's worker still lives, though it can't be reached; `baton up` after `baton down` finds it",
        ),
        State::Ended(Status::Lost | Status::Exited(_), _) => None,
        State::Ended(status, _) => {
            let how = if matches!(status, Status::Closed(_)) { "was closed" } else { "never started" };
            let why = format!(
                "the session {how}: only one that exited by itself or was lost is started again. Create a new one"
            );
            Some(failed(ErrorCode::InvalidTransition, &why))
        }
    }
}
