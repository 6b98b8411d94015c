//! Having a process replaced by one of the installed version. The launcher does it; here is who asked, and what they hear.

use std::time::{Duration, Instant};

use baton_proto::launch::{LaunchMessage, NotReplaced, Op, Part};
use baton_proto::v1::Upgradable;
use baton_proto::{ErrorCode, SessionId};

use super::Supervisor;
use super::event::{Action, Answer, ConnId};
use super::session::{State, failed, not_found};
use super::step::Core;

/// How long whoever asked for a worker waits. The launcher gives up sooner, and says so.
const REPLACED_WITHIN: Duration = Duration::from_secs(14);

impl Core {
    /// An answer that can be given at once.
    pub(super) fn upgrade(
        &mut self,
        what: Upgradable,
        conn: ConnId,
        request: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Option<Answer> {
        let part = match what {
            Upgradable::Launcher => Part::Launcher,
            Upgradable::Supervisor => Part::Supervisor,
            Upgradable::Bridge => Part::Bridge,
            Upgradable::Worker(id) => return self.upgrade_worker(id, conn, request, now, out),
        };
        // Answered first: of sessiond nothing is heard afterwards.
        out.push(Action::Answer(conn, request, Answer::Done));
        out.push(Action::Replace(part));
        None
    }

    fn upgrade_worker(
        &mut self,
        id: SessionId,
        conn: ConnId,
        request: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Option<Answer> {
        let Some(session) = self.sessions.get_mut(&id) else { return Some(Answer::Failed(not_found(id))) };
        if session.has_ended() {
            let why = "the session has ended; its worker leaves by itself";
            return Some(Answer::Failed(failed(ErrorCode::SessionEnded, why)));
        }
        if session.state != State::Running || !session.kept {
            let why = "the session's worker can't be replaced now: it starts, or no launcher keeps its terminal";
            return Some(Answer::Failed(failed(ErrorCode::Busy, why)));
        }
        session.replacing.push((conn, request, now + REPLACED_WITHIN));
        out.push(Action::ReplaceWorker(id));
        None
    }

    /// The launcher told of the session's worker, which it does when another serves.
    pub(super) fn replaced(&mut self, id: SessionId, out: &mut Vec<Action>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let entry = session.entry();
        for (conn, request, _) in session.replacing.drain(..) {
            out.push(Action::Answer(conn, request, Answer::Session(Box::new(entry.clone()))));
        }
    }

    pub(super) fn not_replaced(&mut self, id: SessionId, why: Option<NotReplaced>, out: &mut Vec<Action>) {
        let (code, why) = match why {
            Some(NotReplaced::Busy) => (ErrorCode::Busy, "the session ends, or its worker is being replaced already"),
            Some(NotReplaced::NotStarted) => (
                ErrorCode::InvalidTransition,
                "the installed version did not get ready; the worker that runs goes on. `logs/workers.log` says why",
            ),
            Some(NotReplaced::NotParked) => (
                ErrorCode::Busy,
                "the program has not read all of an input for seconds; the worker that runs goes on. Try again later",
            ),
            Some(NotReplaced::RolledBack) => (
                ErrorCode::InvalidTransition,
                "the installed version took over and did not serve; a worker of the version before did, and nothing is \
                 lost. `logs/workers.log` says why",
            ),
            None => (ErrorCode::Internal, "the worker was not replaced"),
        };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for (conn, request, _) in session.replacing.drain(..) {
            out.push(Action::Answer(conn, request, Answer::Failed(failed(code, why))));
        }
    }

    /// The launcher that was asked may be gone, and the one after it knows nothing of it.
    pub(super) fn replacing_is_late(&mut self, now: Instant, out: &mut Vec<Action>) {
        for session in self.sessions.values_mut() {
            for (conn, request, _) in session.replacing.extract_if(.., |(_, _, until)| *until <= now) {
                let why = "the launcher has not said what became of it; `baton upgrade` shows what runs";
                out.push(Action::Answer(conn, request, Answer::Failed(failed(ErrorCode::Busy, why))));
            }
        }
    }
}

impl Supervisor {
    /// Tells the launcher that this version serves.
    pub(super) fn is_ready(&mut self) {
        self.tell_launcher(LaunchMessage::new(Op::Ready, SessionId::from_uuid(uuid::Uuid::nil())));
    }
}
