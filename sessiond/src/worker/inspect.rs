//! How things are, asked now: read from the kernel, remembered nowhere.

use baton_proto::lease::Monotonic;
use baton_proto::v1::Inspection;

use super::clock::wall_us;
use super::pty::{Terminal as _, Unread};
use super::{Worker, processes};

impl Worker {
    pub(super) fn inspect(&mut self, now: Monotonic) -> Inspection {
        let foreground = self.terminal.as_ref().and_then(|terminal| terminal.foreground());
        let (echo, canonical) = self.terminal.as_ref().map_or((false, false), |terminal| terminal.echo_and_canonical());
        let program_pid = self.program.as_ref().map_or(0, |program| program.pid);
        let idle_us = u64::try_from(now.since(self.last_activity).as_micros()).unwrap_or(u64::MAX);
        Inspection {
            program_pid,
            worker_pid: std::process::id(),
            instance: self.spec.instance,
            lease: self.lease.record(now),
            clients: self.clients().clients,
            head: self.journal.head(),
            oldest: self.journal.oldest(),
            oldest_screen: self.screens.oldest(&self.journal),
            journal_bytes: self.journal.bytes(),
            size: self.journal.state().size,
            policy: self.policy,
            foreground: foreground.and_then(|pid| Some((pid, processes::command_line(pid)?))),
            cwd: foreground.or(Some(program_pid).filter(|pid| *pid != 0)).and_then(processes::cwd),
            echo,
            canonical,
            at_prompt: program_pid != 0
                && self.typing.queued_bytes() == 0
                && !self.terminal.as_ref().is_some_and(|terminal| matches!(terminal.unread(), Unread::Bytes(_)))
                && processes::waits_for_line(program_pid, foreground, canonical),
            screen: self.screens.state().clone(),
            input_queued: self.typing.queued_bytes() as u64,
            last_activity_us: wall_us().saturating_sub(idle_us),
            exit: self.exit.clone(),
            parked_since_us: self.parked_since_us(now),
            layers: self.layers.clone(),
        }
    }
}
