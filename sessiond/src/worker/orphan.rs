//! A worker whose launcher and spare died in the same moment keeps its session itself, until the next launcher takes it.
//!
//! What a launcher holds for a successor exists in the worker as well: terminal, read window, listener, spec, the program's
//! pidfd. Without somebody else who holds it, the worker's own death would be the program's. So it listens, in its session's
//! directory, for a launcher that proves to be of this install, gives it copies of everything, and is one of its workers
//! from then on.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;
use baton_proto::home::state::KEEPER_SOCKET;
use baton_sandbox::{fds, process};

use super::Worker;
use super::ending::Life;
use super::pty::Terminal as _;
use crate::launcher::core::{Kept, Program, Running};
use crate::launcher::handover;

impl Worker {
    /// Nobody holds the session's handles any more but this process.
    pub(super) fn lose_keeper(&mut self) {
        self.keeper = None;
        // Who stands by to be the next one is told by nobody to go on.
        self.stay();
        if matches!(self.life, Life::Ended) || self.terminal.is_none() {
            return;
        }
        match handover::offer_in(&self.directory) {
            Ok(offer) => self.offer = Some(offer),
            // A session whose directory was deleted lives on without.
            Err(err) => tracing::error!(error = %err, "nobody will succeed this worker: it can't wait for a launcher"),
        }
    }

    /// Somebody has connected who may be the next launcher.
    pub(super) fn give_itself(&mut self) {
        let Some(offer) = self.offer.take() else { return };
        match self.give_to(&offer) {
            Ok(Some(channel)) => {
                tracing::info!(session = %self.spec.session, "a launcher keeps this session again");
                self.keeper = Some(channel);
                self.withdraw();
            }
            Ok(None) => self.withdraw(),
            Err(err) => {
                tracing::warn!("the session's handles were asked for and not given: {err:#}");
                self.offer = Some(offer);
            }
        }
    }

    /// The channel to the launcher that took them; `None` when there is nothing to be kept any more.
    fn give_to(&self, offer: &std::os::unix::net::UnixListener) -> anyhow::Result<Option<OwnedFd>> {
        let (Some(terminal), Some(memory), Some(program)) = (&self.terminal, &self.memory, &self.program) else {
            return Ok(None);
        };
        let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().context("no descriptor is left");
        let (ours, theirs) = fds::seqpacket_pair().context("could not make a channel")?;
        fds::set_nonblocking(&ours)?;
        fds::set_nonblocking(&theirs)?;
        let own = nix::unistd::getpid();
        let mut kept = Kept::new(copy(self.spec_fd.as_fd())?, false);
        kept.listener = Some(copy(self.listener.as_fd())?);
        kept.window = Some(copy(memory.as_fd())?);
        kept.master = Some(copy(terminal.as_fd())?);
        kept.program = Some(Program { pid: program.pid, pidfd: copy(program.pidfd.as_fd())?, exit: None });
        let pidfd = process::pidfd_open(own).context("could not open a handle of this process")?;
        kept.worker = Some(Running { pid: own.as_raw().cast_unsigned(), pidfd, channel: Some(theirs) });
        (kept.announced, kept.serves) = (true, true);
        handover::give_sessions(offer, &self.identity.key, std::iter::once((&self.spec.session, &kept)))?;
        Ok(Some(ours))
    }

    fn withdraw(&mut self) {
        self.offer = None;
        // Somebody may have removed it with its directory.
        let _ = std::fs::remove_file(self.directory.join(KEEPER_SOCKET));
    }
}
