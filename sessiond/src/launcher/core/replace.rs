//! Replacing what runs by what is installed, one process at a time, each so that a version which does not work is given
//! up and the one that did goes on.
//!
//! ```text
//!  worker        serving ────────────────────────── Park ─► parks at a record's end, leaves
//!  next worker      forked ─ Standby: "I can read this" ┘         └ its pidfd says so ─ Go ─► takes over ─ Taken
//!                      │ ends, or 5 s pass                                                  │ ends, or 5 s pass
//!                      ▼                                                                    ▼
//!              the worker never stopped                        a worker of the launcher's own version takes over
//! ```
//!
//! It is the path of a crash but for two things: the next one has shown beforehand that it can read everything, and the
//! one before stops between two records. At no time may two read the terminal: the next one goes only when the death of
//! the one before is certain.
//!
//! sessiond and the bridge are ended and started again as ever. One that does not say within 5 s that it serves is killed,
//! and the program that served before is started again. The launcher goes last, so that what it falls back to for workers
//! and sessiond, its own program, is the version that worked.

use std::time::Instant;

use baton_proto::SessionId;
use baton_proto::launch::{LaunchMessage, NotReplaced, Op, Part};

use super::{Action, Changed, Core, HEALTHY_WITHIN, Kept, Process, Running, Service, exited};

/// How far the one that is to follow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has not said anything.
    Starting,
    /// It stands by, and the one before it was asked to park.
    Standing,
    /// It was given up and is killed.
    Ending,
}

/// The worker that is to follow another.
#[derive(Debug)]
pub struct Next<H> {
    /// The process.
    pub running: Running<H>,
    /// How far it is.
    pub phase: Phase,
    /// Until when this phase may last.
    pub by: Instant,
}

impl<H> Core<H> {
    pub(super) fn hear_replace(&mut self, message: &LaunchMessage, now: Instant, actions: &mut Vec<Action>) {
        if self.stopping.is_some() {
            return;
        }
        if !message.session.uuid().is_nil() {
            return self.replace_worker(message.session, actions);
        }
        match Part::from_number(message.arg) {
            Some(Part::Launcher) => actions.push(Action::ForkHeir),
            Some(Part::Supervisor) => self.replace(Service::Supervisor, now, actions),
            Some(Part::Bridge) => self.replace(Service::Bridge, now, actions),
            None => {}
        }
    }

    fn replace_worker(&mut self, session: SessionId, actions: &mut Vec<Action>) {
        let fits = |kept: &&Kept<H>| kept.can_be_handed_over();
        match self.sessions.get(&session).filter(fits) {
            Some(_) => actions.push(Action::ForkSuccessor(session)),
            None => actions.push(not_replaced(session, NotReplaced::Busy)),
        }
    }

    pub(super) fn successor_forked(&mut self, session: SessionId, running: Running<H>, now: Instant) {
        // Nothing can have happened since it was asked for: forking is a part of the same turn.
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        kept.next = Some(Next { running, phase: Phase::Starting, by: now + HEALTHY_WITHIN });
        self.changed.insert(Changed::Session(session));
    }

    /// It is gone, or never was.
    pub(super) fn successor_ended(&mut self, session: SessionId, actions: &mut Vec<Action>) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        let phase = kept.next.take().map(|next| next.phase);
        if phase != Some(Phase::Ending) {
            actions.push(not_replaced(session, NotReplaced::NotStarted));
        }
        // One that was asked to park already leaves, and is followed as if it had been killed.
        self.changed.insert(Changed::Session(session));
    }

    pub(super) fn hear_successor(
        &mut self,
        session: SessionId,
        message: LaunchMessage,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(kept) = self.sessions.get_mut(&session) else { return };
        let Some(next) = kept.next.as_mut().filter(|next| next.phase == Phase::Starting) else { return };
        if message.op == Op::Standby {
            (next.phase, next.by) = (Phase::Standing, now + HEALTHY_WITHIN);
            self.changed.insert(Changed::Session(session));
            actions.push(Action::TellWorker(session, LaunchMessage::new(Op::Park, session)));
        }
    }

    pub(super) fn hear_bridge(&mut self, message: LaunchMessage, actions: &mut Vec<Action>) {
        if message.op == Op::Ready {
            self.is_ready(Service::Bridge, actions);
        }
    }

    pub(super) fn is_ready(&mut self, service: Service, actions: &mut Vec<Action>) {
        if let Some(state) = self.services.get_mut(&service) {
            (state.ready, state.ready_by) = (true, None);
            actions.push(Action::Proved(service));
        }
    }
}

impl<H> Kept<H> {
    /// Whether there is somebody to follow, and nobody does yet.
    const fn can_be_handed_over(&self) -> bool {
        let whole = self.listener.is_some() && self.window.is_some() && self.master.is_some();
        whole && self.program.is_some() && self.worker.is_some() && !self.done && !self.replay && self.next.is_none()
    }

    /// When [`Self::late`] has something to do about the one that is to follow.
    pub(super) fn next_by(&self) -> Option<Instant> {
        self.next.as_ref().filter(|next| next.phase != Phase::Ending).map(|next| next.by)
    }

    /// Lets the one that is to follow go.
    pub(super) fn give_successor_up(&mut self, session: SessionId, why: NotReplaced, actions: &mut Vec<Action>) {
        if let Some(next) = self.next.as_mut().filter(|next| next.phase != Phase::Ending) {
            next.phase = Phase::Ending;
            actions.push(Action::Kill(Process::Successor(session)));
            actions.push(not_replaced(session, why));
        }
    }

    /// The worker has ended: whoever stands by takes its place. False when nobody does.
    pub(super) fn promote(&mut self, session: SessionId, now: Instant, actions: &mut Vec<Action>) -> bool {
        let stands_by = |next: &mut Next<H>| next.phase == Phase::Standing;
        if self.done || self.program.is_none() {
            self.give_successor_up(session, NotReplaced::Busy, actions);
            return false;
        }
        let Some(next) = self.next.take_if(stands_by) else {
            self.give_successor_up(session, NotReplaced::NotStarted, actions);
            return false;
        };
        self.worker = Some(next.running);
        (self.serves, self.parked, self.trial, self.own) = (false, false, true, false);
        self.serve_by = Some(now + HEALTHY_WITHIN);
        self.backoff.started(now);
        actions.push(Action::TellWorker(session, LaunchMessage::new(Op::Go, session)));
        if let Some((pid, status)) = self.program.as_ref().and_then(|program| Some((program.pid, program.exit?))) {
            actions.push(Action::TellWorker(session, exited(session, pid, status)));
        }
        true
    }

    /// A worker that ended before it served may be of a version that can't: the next is of the launcher's own, and so on
    /// in turn.
    pub(super) fn learn_from_end(&mut self, session: SessionId, actions: &mut Vec<Action>) {
        self.own = !self.serves && !self.own;
        self.serve_by = None;
        if std::mem::take(&mut self.trial) {
            actions.push(not_replaced(session, NotReplaced::RolledBack));
        }
    }

    /// Time has passed.
    pub(super) fn late(&mut self, session: SessionId, now: Instant, actions: &mut Vec<Action>) {
        if self.serve_by.take_if(|at| *at <= now).is_some() {
            actions.push(Action::Kill(Process::Worker(session)));
        }
        let Some(next) = self.next.as_mut().filter(|next| next.by <= now) else { return };
        match next.phase {
            Phase::Starting => self.give_successor_up(session, NotReplaced::NotStarted, actions),
            // It reads nothing more, by its own word: better gone than in the way.
            Phase::Standing if self.parked => {
                next.by = now + HEALTHY_WITHIN;
                actions.push(Action::Kill(Process::Worker(session)));
            }
            Phase::Standing => self.give_successor_up(session, NotReplaced::NotParked, actions),
            Phase::Ending => {}
        }
    }

    /// As a dead launcher had it; for the spare's copy.
    pub fn restore_next(&mut self, next: Option<Next<H>>, now: Instant) {
        self.next = next;
        let late = self.worker.is_some() && self.may_hang() && !self.serves;
        self.serve_by = if self.trial { Some(now + HEALTHY_WITHIN) } else { late.then(|| now + super::SERVES_WITHIN) };
    }
}

fn not_replaced(session: SessionId, why: NotReplaced) -> Action {
    let message = LaunchMessage { arg: why.number(), ..LaunchMessage::new(Op::NotReplaced, session) };
    Action::TellSessiond(message)
}
