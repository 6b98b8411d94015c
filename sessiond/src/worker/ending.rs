//! How a session ends: by itself, by request, by idling. Its exit status is kept, and it leaves nothing behind when asked to go.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use baton_proto::frame::Kind;
use baton_proto::ids::SessionId;
use baton_proto::launch::Op;
use baton_proto::lease::Monotonic;
use baton_proto::v1::ExitRecord;
use baton_sandbox::profile;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::Worker;
use super::processes;

/// How often the rest of a closing session is looked for. Only while closing: an idle worker never wakes.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the launcher may take to tell the status of a program it reaped.
const STATUS_WAIT: Duration = Duration::from_secs(2);
/// Looks at a session that is to be killed, one behind the other, until nothing is found.
const KILL_ROUNDS: usize = 8;
/// How long processes may take to vanish after SIGKILL before the session ends without them (one in uninterruptible sleep).
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How far a session is on its way out.
#[derive(Debug)]
pub enum Life {
    /// The program runs.
    Running,
    /// Somebody asked for the end, or a confined program has ended and left something behind.
    Closing {
        /// Why; reaches every client. `None` = the program has ended by itself.
        reason: Option<String>,
        /// When SIGKILL is due.
        kill_at: Monotonic,
        /// When to look again.
        look_at: Monotonic,
        /// What was found and may still live: pid and start time.
        known: BTreeMap<u32, u64>,
    },
    /// The program is gone; nothing of it is left to read.
    Ended,
}

/// The name of a session's sweeper.
pub(super) fn sweeper_name(session: SessionId) -> String {
    let id = session.to_string();
    // The last digits of an id are random.
    format!("sw-{}", id.get(id.len().saturating_sub(12)..).unwrap_or_default())
}

impl Worker {
    /// Whether there is a program to type to.
    pub(super) const fn is_running(&self) -> bool {
        !matches!(self.life, Life::Ended)
    }

    /// SIGHUP to everything the session started (and SIGCONT, so that the stopped hear it), SIGKILL after the grace.
    pub(super) fn close(&mut self, reason: &str, grace: Duration, now: Monotonic) {
        match &mut self.life {
            Life::Ended => {}
            // Asked again: the first reason stands, the shorter grace counts.
            Life::Closing { kill_at, .. } => *kill_at = (*kill_at).min(now.after(grace)),
            Life::Running => {
                tracing::info!(session = %self.spec.session, reason, "closing");
                let known = self.session_processes();
                processes::signal_all(&known, Signal::SIGHUP);
                processes::signal_all(&known, Signal::SIGCONT);
                self.life = Life::Closing {
                    reason: Some(reason.to_owned()),
                    kill_at: now.after(grace),
                    look_at: now.after(LOOK_AGAIN),
                    known,
                };
            }
        }
    }

    fn session_processes(&self) -> BTreeMap<u32, u64> {
        let mark = self.spec.session.to_string();
        let mut found =
            processes::of_session(self.program.as_ref().map(|program| program.pid), std::process::id(), &mark);
        found.extend(self.view.iter().flat_map(processes::of_view));
        if let Some(sweeper) = &self.sweeper {
            found.remove(&sweeper.pid());
        }
        found
    }

    /// What is left of a session that is on its way out.
    fn rest(&self) -> BTreeMap<u32, u64> {
        if !matches!(self.life, Life::Running | Life::Closing { reason: None, .. }) {
            return self.session_processes();
        }
        match &self.view {
            Some(view) => processes::of_view(view),
            None => {
                // Who serves its ways out is Baton's, and ends with the program by itself.
                let mut found = self.session_processes();
                found.retain(|pid, _| !processes::is_ours(*pid));
                found
            }
        }
    }

    /// A confined program has ended: nothing that it started goes on, where no limit of the session holds any more. Whether
    /// there was anything. What a program that is not confined leaves behind it may have meant to.
    fn ends_what_is_left(&mut self, now: Monotonic) -> bool {
        if !matches!(self.life, Life::Running) || !profile::is_confined(self.spec.profile) {
            return false;
        }
        let known = self.rest();
        if known.is_empty() {
            return false;
        }
        tracing::info!(session = %self.spec.session, processes = known.len(), "the program has ended; what it left is ended, too");
        processes::signal_all(&known, Signal::SIGHUP);
        processes::signal_all(&known, Signal::SIGCONT);
        let grace = Duration::from_millis(u64::from(self.spec.close_grace_ms));
        self.life = Life::Closing { reason: None, kill_at: now.after(grace), look_at: now.after(LOOK_AGAIN), known };
        true
    }

    /// The next moment at which [`Self::ending_tick`] has something to do.
    pub(super) fn ending_deadline(&self) -> Option<Monotonic> {
        let closing = match &self.life {
            Life::Closing { look_at, .. } => Some(*look_at),
            _ => None,
        };
        let status = self.program.as_ref().and_then(|program| program.status_due);
        closing.into_iter().chain(status).min()
    }

    /// Time has passed.
    pub(super) fn ending_tick(&mut self, now: Monotonic) {
        if let Some(program) = self.program.as_mut()
            && program.status_due.is_some_and(|due| due <= now)
        {
            // Nobody could tell: said so, never guessed.
            program.status_due = None;
            program.ended = true;
        }
        if let Life::Closing { kill_at, look_at, .. } = &mut self.life {
            if *look_at > now {
                return;
            }
            *look_at = now.after(LOOK_AGAIN);
            if *kill_at <= now && kill_at.after(KILL_WAIT) > now {
                if let Some(sweeper) = &self.sweeper {
                    sweeper.sweep();
                }
                // Again each time: what forks between the look and the signal is found by the next look. And at once, since who
                // forks all the time has as little time for it as can be.
                let mut found = BTreeMap::new();
                for _ in 0..KILL_ROUNDS {
                    found = self.rest();
                    if found.is_empty() {
                        break;
                    }
                    processes::signal_all(&found, Signal::SIGKILL);
                }
                if let Life::Closing { known, .. } = &mut self.life {
                    *known = found;
                }
            }
        }
        self.end_if_over(now);
    }

    /// Takes the status of every child that ended. Only the program's matters.
    pub(super) fn reap_children(&mut self) {
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
        loop {
            let (pid, raw) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, (code & 0xff) << 8),
                Ok(WaitStatus::Signaled(pid, signal, core)) => (pid, signal as i32 | if core { 0x80 } else { 0 }),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                // A real-time signal has no name in nix; the child is reaped all the same.
                Ok(_) | Err(_) => continue,
            };
            if let Some(program) = self.program.as_mut()
                && i32::try_from(program.pid) == Ok(pid.as_raw())
            {
                program.status = Some(ExitStatus::from_raw(raw));
            }
        }
    }

    /// The program's pidfd says that it is gone.
    pub(super) fn program_gone(&mut self, now: Monotonic) {
        let Some(program) = self.program.as_mut().filter(|program| !program.ended) else { return };
        let reaped = baton_sandbox::process::try_reap(&program.pidfd).ok().flatten();
        if let Some(status) = reaped.or_else(|| baton_sandbox::process::exit_status_after_reap(&program.pidfd)) {
            program.status = Some(status);
            program.ended = true;
        } else if program.status.is_some() {
            program.ended = true;
        } else if program.status_due.is_none() {
            // A predecessor's child: the launcher is its parent now and tells.
            program.status_due = Some(now.after(STATUS_WAIT));
        }
        self.end_if_over(now);
    }

    /// The launcher reaped the program.
    pub(super) fn program_reaped(&mut self, raw_status: i32, now: Monotonic) {
        if let Some(program) = self.program.as_mut() {
            program.status = Some(ExitStatus::from_raw(raw_status));
            program.status_due = None;
            program.ended = true;
        }
        self.end_if_over(now);
    }

    fn end_if_over(&mut self, now: Monotonic) {
        if matches!(self.life, Life::Ended) || self.program.as_ref().is_some_and(|program| !program.ended) {
            return;
        }
        if self.ends_what_is_left(now) {
            return;
        }
        if let Life::Closing { kill_at, known, .. } = &mut self.life {
            let hopeless = kill_at.after(KILL_WAIT) <= now;
            known.retain(|pid, started| processes::lives(*pid, *started));
            if !known.is_empty() && !hopeless {
                return;
            }
            // All of the system is looked at only when what was known is gone: a thousand sessions may be closing at once.
            let rest = self.rest();
            if !rest.is_empty() && !hopeless {
                processes::signal_all(&rest, Signal::SIGHUP);
                if let Life::Closing { known, .. } = &mut self.life {
                    *known = rest;
                }
                return;
            }
        }
        if !self.is_swept(now) {
            return;
        }
        // The kernel hangs the terminal up when its session leader exits: what is still to read ends in EIO.
        while self.terminal.is_some() && self.read_terminal(now) {}
        // Nobody is in it any more: its mounts go with it.
        self.view = None;
        let record = self.exit_record();
        self.finish(&record);
    }

    /// Whether what no look finds is ended, too; if not, it is about to be.
    fn is_swept(&mut self, now: Monotonic) -> bool {
        let Some(sweeper) = &self.sweeper else { return true };
        if let Life::Closing { kill_at, .. } = &self.life
            && kill_at.after(KILL_WAIT) <= now
        {
            return true;
        }
        sweeper.sweep();
        if matches!(self.life, Life::Running) {
            let (look_at, known) = (now.after(LOOK_AGAIN), BTreeMap::new());
            self.life = Life::Closing { reason: None, kill_at: now, look_at, known };
        }
        false
    }

    /// It has done its work, or was killed by somebody.
    pub(super) fn sweeper_ended(&mut self, now: Monotonic) {
        self.sweeper = None;
        if matches!(self.life, Life::Closing { .. }) {
            self.end_if_over(now);
        } else {
            tracing::warn!(session = %self.spec.session, "who ends what the session leaves behind is gone; it is looked for instead");
        }
    }

    fn exit_record(&self) -> ExitRecord {
        let status = self.program.as_ref().and_then(|program| program.status);
        let (code, signal) = (status.and_then(|status| status.code()), status.and_then(|status| status.signal()));
        match &self.life {
            Life::Closing { reason: Some(reason), .. } => {
                ExitRecord { code, signal, reason: reason.clone(), closed: true }
            }
            _ => {
                let reason = match (code, signal) {
                    (None, None) => "status_unknown",
                    (_, Some(_)) => "signal",
                    _ => "exit",
                };
                ExitRecord { code, signal, reason: reason.to_owned(), closed: false }
            }
        }
    }

    /// Writes the end down, tells everybody, and gives the terminal and its duplicates up.
    pub(super) fn finish(&mut self, record: &ExitRecord) {
        tracing::info!(session = %self.spec.session, code = ?record.code, signal = ?record.signal, reason = %record.reason, "ended");
        self.program_ended(record);
        let appended = self.journal.append_exit(record);
        self.deliver_last(Kind::Exit, appended);
        self.exit = Some(record.clone());
        self.life = Life::Ended;
        self.terminal = None;
        self.program = None;
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.sweep();
        }
        self.tell_launcher(Op::Done, 0);
        self.remove_private();
    }
}
