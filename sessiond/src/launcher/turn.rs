//! The launcher's loop: wait, read, let [`Core`](super::core::Core) decide, do. Nothing is decided here.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::Context;
use baton_proto::SessionId;
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage};
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{fds, process, seccomp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;

use super::children::Born;
use super::core::{Action, Event, Mode, Process, Service};
use super::heir::give_heir_up;
use super::spare::Spare;
use super::{Launcher, activation, announced, handover, setup, spare};

/// Messages sessiond may leave unread. One that reads none of thousands hangs: it is killed, and its successor asks anew.
const OUTBOX_MAX: usize = 8192;

/// Messages read from one channel before the others get their turn.
const MESSAGES_A_TURN: usize = 64;

/// Messages for sessiond, in order.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<LaunchMessage>);

/// What can wake the launcher.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Channel(Channel),
    Foreign(u32),
    NextLauncher,
    RuntimeDir,
    Heir,
}

/// A channel that messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Channel {
    Service(Service),
    Worker(SessionId),
    Successor(SessionId),
}

/// What this launcher knows and its successor finds out for itself.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Processes that a dead launcher forked: not this one's to reap.
    foreign: BTreeSet<u32>,
    /// Whose channel has ended while the process lives: not worth polling.
    silent: BTreeSet<u32>,
    /// The installed launcher, on its way to take this one's place, and until when it has to have everything.
    pub(super) heir: Option<(Spare, Instant)>,
    pub(super) exit: bool,
    /// The heir is the launcher now.
    pub(super) succeeded: bool,
}

impl Launcher {
    /// Starts everything and serves until the end.
    pub(super) fn run(mut self, ready: Option<OwnedFd>) -> anyhow::Result<()> {
        name_process(c"baton-launcher");
        // What a keeper gave was forked by others.
        let mut watch = self.watch_all();
        // While the keeper kept, the sockets of its workers may have vanished.
        self.mend(&mut watch);
        self.feed(Event::Begin, &mut watch);
        if let Some(ready) = ready {
            // Whoever asked may be gone by now; that is no reason to stop.
            let _ = nix::unistd::write(&ready, b"1");
        }
        activation::ready();
        self.serve(watch)
    }

    pub(super) fn serve(mut self, mut watch: Watch) -> anyhow::Result<()> {
        self.fork_spare(&mut watch);
        while !watch.exit {
            self.turn(&mut watch);
        }
        if watch.succeeded {
            // It holds everything, locks and sockets too.
            return Ok(());
        }
        // The spare first, so that it does not take over from a launcher that ends in order.
        self.spare = None;
        // Nobody is to connect to sockets that nobody will serve, and the next launcher's announcement is not this
        // one's to remove: both go while the lock is held.
        self.sockets = None;
        self.sentinel.rest();
        announced::withdraw(&self.home);
        if self.core.keeps_programs() {
            self.leave_keeper();
        }
        if self.keeper.is_some() {
            self.keep();
        } else {
            tracing::info!("launcher stops; sessions run on");
            if let Some(locks) = self.locks.take() {
                locks.release();
            }
        }
        Ok(())
    }

    /// Leaves a copy behind that keeps the sessions' handles. In the copy, `keeper` is set afterwards.
    fn leave_keeper(&mut self) {
        // It listens before the lock is free, so that the next launcher finds it.
        let offer = match handover::offer(&self.home) {
            Ok(offer) => offer,
            Err(err) => return tracing::error!("no keeper for the sessions: {err}"),
        };
        match fork_twin() {
            Ok(Twin::Younger) => self.keeper = Some(offer),
            Ok(Twin::Elder(child)) => tracing::info!(pid = child.pid.as_raw(), "a keeper stays for the sessions"),
            Err(err) => {
                handover::withdraw(&self.home);
                tracing::error!("no keeper for the sessions: {err}");
            }
        }
    }

    /// The keeper's life: restarts workers as ever, until the next launcher takes everything or nothing is left.
    fn keep(&mut self) {
        name_process(c"baton-keeper");
        // The copy of the locks as well: a keeper is in nobody's way.
        self.locks = None;
        if let Err(err) = process::set_child_subreaper() {
            tracing::error!("could not become the reaper of orphans: {err}");
        }
        let mut watch = self.watch_all();
        while self.core.keeps_programs() && !watch.exit {
            self.turn(&mut watch);
        }
        handover::withdraw(&self.home);
    }

    /// As if somebody else had forked everything that runs: watched by pidfd, not reaped.
    fn watch_all(&self) -> Watch {
        let services = Service::ALL.iter().filter_map(|service| self.core.service(*service));
        let sessions = self.core.sessions().values();
        let workers = sessions.clone().filter_map(|kept| kept.worker.as_ref());
        let successors = sessions.filter_map(|kept| Some(&kept.next.as_ref()?.running));
        let foreign = services.chain(workers).chain(successors).map(|running| running.pid).collect();
        Watch { foreign, ..Watch::default() }
    }

    fn turn(&mut self, watch: &mut Watch) {
        for source in self.wait(watch) {
            match source {
                Source::Signals => self.signals(watch),
                Source::Channel(channel) => self.read(channel, MESSAGES_A_TURN, watch),
                Source::Foreign(pid) => self.foreign_ended(pid, watch),
                Source::NextLauncher => self.hand_over(watch),
                Source::RuntimeDir => self.sentinel.heard(Instant::now()),
                Source::Heir => self.hear_heir(watch),
            }
            if watch.exit {
                // What else is ready is the next launcher's to read.
                return;
            }
        }
        self.flush_sessiond();
        if self.sentinel.is_due(Instant::now()) {
            self.mend(watch);
        }
        if self.core.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.feed(Event::DeadlinePassed, watch);
        }
        if watch.heir.as_ref().is_some_and(|(_, by)| *by <= Instant::now()) {
            give_heir_up(watch, "it does not say that it has everything");
        }
        if self.spare.is_none() && self.keeper.is_none() && !watch.exit {
            self.fork_spare(watch);
        }
    }

    fn hand_over(&mut self, watch: &mut Watch) {
        let Some(keeper) = &self.keeper else { return };
        match handover::give(keeper, &self.key, &self.core) {
            Ok(()) => {
                tracing::info!(sessions = self.core.sessions().len(), "the next launcher took everything over");
                watch.exit = true;
            }
            Err(err) => tracing::warn!("the sessions' handles were asked for and not given: {err}"),
        }
    }

    fn wait(&self, watch: &Watch) -> Vec<Source> {
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(keeper) = &self.keeper {
            sources.push(Source::NextLauncher);
            fds.push(PollFd::new(keeper.as_fd(), PollFlags::POLLIN));
        }
        if let Some(events) = self.sentinel.events() {
            sources.push(Source::RuntimeDir);
            fds.push(PollFd::new(events, PollFlags::POLLIN));
        }
        if let Some((heir, _)) = &watch.heir {
            sources.push(Source::Heir);
            fds.push(PollFd::new(heir.as_fd(), PollFlags::POLLIN));
        }
        let services =
            Service::ALL.iter().filter_map(|service| Some((Channel::Service(*service), self.core.service(*service)?)));
        let sessions = self.core.sessions().iter();
        let workers = sessions.clone().filter_map(|(id, kept)| Some((Channel::Worker(*id), kept.worker.as_ref()?)));
        let successors =
            sessions.filter_map(|(id, kept)| Some((Channel::Successor(*id), &kept.next.as_ref()?.running)));
        for (channel, running) in services.chain(workers).chain(successors) {
            if let Some(fd) = running.channel.as_ref().filter(|_| !watch.silent.contains(&running.pid)) {
                let waits = channel == Channel::Service(Service::Supervisor) && !self.for_sessiond.0.is_empty();
                let interest = if waits { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
                sources.push(Source::Channel(channel));
                fds.push(PollFd::new(fd.as_fd(), interest));
            }
            if watch.foreign.contains(&running.pid) {
                sources.push(Source::Foreign(running.pid));
                fds.push(PollFd::new(running.pidfd.as_fd(), PollFlags::POLLIN));
            }
        }
        let heir = watch.heir.as_ref().map(|(_, by)| *by);
        let deadline = self.core.deadline().into_iter().chain(self.sentinel.deadline()).chain(heir).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up, or the loop would spin through the deadline's last millisecond.
            let wait = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(err) => crate::sys::exhausted::poll_failed(&err),
        }
        let input = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let ready = fds.iter().map(|fd| fd.revents().is_some_and(|events| events.intersects(input)));
        sources.into_iter().zip(ready).filter_map(|(source, ready)| ready.then_some(source)).collect()
    }

    fn signals(&mut self, watch: &mut Watch) {
        let (mut reap, mut mend) = (false, false);
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGCHLD) => reap = true,
                // Somebody found the lock held and the sockets gone.
                Some(Signal::SIGHUP) => mend = true,
                Some(Signal::SIGTERM | Signal::SIGINT) => {
                    tracing::info!(from = signal.ssi_pid, "asked to stop");
                    if self.keeper.is_none() {
                        activation::stopping();
                    }
                    watch.exit |= self.keeper.is_some();
                    self.feed(Event::Stop, watch);
                }
                _ => {}
            }
        }
        if reap {
            self.reap(watch);
        }
        if mend {
            self.mend(watch);
        }
    }

    /// Takes every child that has ended. Which process a number names is certain only while it is unreaped, and for a
    /// known process by its pidfd.
    fn reap(&mut self, watch: &mut Watch) {
        loop {
            let pid = match process::ended_child() {
                Ok(Some(pid)) => pid,
                Ok(None) => return,
                Err(err) => return tracing::error!("waitid: {err}"),
            };
            let number = pid.as_raw().cast_unsigned();
            if let Some((known, pidfd)) = self.core.process(number)
                && let Ok(Some(status)) = process::try_reap(pidfd)
            {
                self.ended(known, number, Some(i64::from(status.into_raw())), watch);
                continue;
            }
            if watch.heir.as_ref().is_some_and(|(heir, _)| heir.child.pid == pid) {
                give_heir_up(watch, "it ended");
            }
            if self.spare.as_ref().is_some_and(|spare| spare.child.pid == pid) {
                tracing::warn!(pid = number, "the spare died; another takes its place");
                self.spare = None;
            }
            // An orphan of some session, whose status nobody waits for.
            process::reap_pid(pid);
        }
    }

    fn foreign_ended(&mut self, pid: u32, watch: &mut Watch) {
        let Some((known, pidfd)) = self.core.process(pid) else { return };
        let status = process::exit_status_after_reap(pidfd).map(|status| i64::from(status.into_raw()));
        self.ended(known, pid, status, watch);
    }

    fn ended(&mut self, known: Process, pid: u32, status: Option<i64>, watch: &mut Watch) {
        // What it sent before it died counts.
        match known {
            Process::Worker(session) => self.read(Channel::Worker(session), usize::MAX, watch),
            Process::Successor(session) => self.read(Channel::Successor(session), usize::MAX, watch),
            Process::Service(service) => self.read(Channel::Service(service), usize::MAX, watch),
            Process::Program(_) => {}
        }
        watch.foreign.remove(&pid);
        watch.silent.remove(&pid);
        match known {
            Process::Worker(session) => tracing::info!(%session, pid, status, "worker ended"),
            Process::Successor(session) => tracing::warn!(%session, pid, status, "the worker's successor ended"),
            Process::Program(session) => tracing::info!(%session, pid, status, "program ended, orphaned by its worker"),
            Process::Service(service) => {
                let filtered = status.and_then(|status| i32::try_from(status).ok()).is_some_and(seccomp::was_ended);
                let why =
                    if filtered { ": its filter ended it for a system call that only an attacker makes" } else { "" };
                tracing::warn!(pid, status, "{} ended{why}", service.name());
            }
        }
        self.feed(Event::Ended(known, status), watch);
    }

    /// Reads messages: looks at each, acts on it, then takes it away. A launcher that dies in between leaves it to the
    /// spare, and every message may be acted on twice.
    fn read(&mut self, channel: Channel, most: usize, watch: &mut Watch) {
        for _ in 0..most {
            let running = match channel {
                Channel::Service(service) => self.core.service(service),
                Channel::Worker(session) => self.core.sessions().get(&session).and_then(|kept| kept.worker.as_ref()),
                Channel::Successor(session) => {
                    self.core.sessions().get(&session).and_then(|kept| kept.next.as_ref()).map(|next| &next.running)
                }
            };
            let Some((pid, Some(fd))) = running.map(|running| (running.pid, running.channel.as_ref())) else { return };
            let mut bytes = [0; LAUNCH_BYTES];
            let (count, handles) = match fds::peek(fd, &mut bytes) {
                Ok((0, _)) => {
                    watch.silent.insert(pid);
                    return;
                }
                Ok(received) => received,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!(pid, "an oversized message was dropped");
                    take(fd);
                    continue;
                }
                Err(err) => {
                    tracing::warn!(pid, "a channel failed: {err}");
                    watch.silent.insert(pid);
                    return;
                }
            };
            // A copy to take the message by: acting on it may replace the process and its channel.
            let Ok(again) = fd.try_clone() else { return };
            match LaunchMessage::from_bytes(&bytes[..count]) {
                Some(message) => {
                    let event = match channel {
                        Channel::Service(Service::Supervisor) => Event::FromSessiond(message, handles),
                        Channel::Service(Service::Bridge) => Event::FromBridge(message),
                        Channel::Worker(session) => Event::FromWorker(session, message, handles),
                        Channel::Successor(session) => Event::FromSuccessor(session, message),
                    };
                    self.feed(event, watch);
                }
                None => tracing::warn!(pid, "a message that is none was dropped"),
            }
            take(&again);
        }
    }

    /// Decides, tells the spare, acts.
    pub(super) fn feed(&mut self, event: Event<OwnedFd>, watch: &mut Watch) {
        let actions = self.core.step(event, Instant::now());
        self.tell_spare(watch);
        for action in actions {
            self.act(action, watch);
        }
    }

    fn act(&mut self, action: Action, watch: &mut Watch) {
        match action {
            Action::ForkWorker(session, mode) => {
                let Some(kept) = self.core.sessions().get(&session) else { return };
                match self.nursery.worker(kept, mode) {
                    Ok(born) => {
                        tracing::info!(%session, pid = born.running.pid, ?mode, "worker starts");
                        self.feed(Event::WorkerForked(session, born.running), watch);
                        if let Err(err) = born.gate.release() {
                            tracing::error!(%session, "{:#}", anyhow::Error::from(err));
                        }
                    }
                    Err(err) => {
                        tracing::error!(%session, "no worker could be started: {err:#}");
                        self.feed(Event::WorkerNotForked(session), watch);
                    }
                }
            }
            Action::ForkService(service) => match self.start_service(service, watch) {
                Ok(born) => {
                    if service == Service::Supervisor {
                        self.for_sessiond.0.clear();
                    }
                    tracing::info!(pid = born.running.pid, "{} starts", service.name());
                    self.feed(Event::ServiceForked(service, born.running), watch);
                    if let Err(err) = born.gate.release() {
                        let hint = err.hint().unwrap_or_default();
                        tracing::error!(hint, "{:#}", anyhow::Error::from(err));
                    }
                }
                Err(err) => {
                    tracing::error!("{} could not be started: {err:#}", service.name());
                    self.feed(Event::ServiceNotForked(service), watch);
                }
            },
            Action::ForkSuccessor(session) => {
                let Some(kept) = self.core.sessions().get(&session) else { return };
                match self.nursery.worker(kept, Mode::Succeed) {
                    Ok(born) => {
                        tracing::info!(%session, pid = born.running.pid, "a worker starts that is to follow");
                        self.feed(Event::SuccessorForked(session, born.running), watch);
                        if let Err(err) = born.gate.release() {
                            tracing::error!(%session, "{:#}", anyhow::Error::from(err));
                        }
                    }
                    Err(err) => {
                        tracing::error!(%session, "no worker could be started to follow: {err:#}");
                        self.feed(Event::SuccessorNotForked(session), watch);
                    }
                }
            }
            Action::ForkHeir => self.start_heir(watch),
            Action::Adopt(session) => self.adopt(session, watch),
            Action::Proved(service) => {
                if let Some(running) = self.core.service(service) {
                    self.nursery.keep_proved(service, running.pid);
                }
            }
            Action::Kill(known) => {
                if let Some(pidfd) = self.core.pidfd(known) {
                    // One that has just ended is what was wanted.
                    let _ = process::pidfd_send_signal(pidfd, Signal::SIGKILL);
                }
            }
            Action::TellSessiond(message) => self.tell_sessiond(message),
            Action::TellWorker(session, message) => {
                let worker = self.core.sessions().get(&session).and_then(|kept| kept.worker.as_ref());
                let Some(channel) = worker.and_then(|worker| worker.channel.as_ref()) else { return };
                // A worker is told a handful of things in its life, far fewer than a channel holds: a failure means
                // that it is gone, and its successor is told again.
                if let Err(err) = fds::send(channel, &message.to_bytes(), &[]) {
                    tracing::info!(%session, op = ?message.op, "the worker was not told: {err}");
                }
            }
            Action::Signal(service, signal) => {
                if let Some(running) = self.core.service(service) {
                    // One that has just ended is what was wanted.
                    let _ = process::pidfd_send_signal(&running.pidfd, signal);
                }
            }
            Action::Exit => watch.exit = true,
        }
    }

    fn start_service(&mut self, service: Service, watch: &mut Watch) -> anyhow::Result<Born> {
        // Without its directories it would die at once.
        self.mend(watch);
        let sockets = self.sockets.as_ref().context("a keeper starts no services")?;
        self.nursery.service(service, sockets, self.core.falls_back(service))
    }

    /// Takes the handles of a worker that has lost launcher and spare; this process is neither its parent nor known to it.
    fn adopt(&mut self, session: SessionId, watch: &mut Watch) {
        let directory = self.home.sessions_dir().join(session.to_string());
        match handover::take_orphan(&directory, &self.key, session) {
            Ok(kept) => {
                tracing::info!(%session, "a worker that had no launcher is kept again");
                watch.foreign.extend(kept.worker.as_ref().map(|worker| worker.pid));
                self.feed(Event::Adopted(session, Box::new(kept)), watch);
            }
            // sessiond asks again.
            Err(err) => tracing::info!(%session, "a worker without a launcher has not given its handles: {err}"),
        }
    }

    fn tell_sessiond(&mut self, message: LaunchMessage) {
        // With no sessiond there is nobody to tell: the next one is told the state as it is then.
        let Some(running) = self.core.service(Service::Supervisor) else { return };
        if self.for_sessiond.0.len() >= OUTBOX_MAX {
            tracing::error!(pid = running.pid, "sessiond reads nothing; it is killed");
            let _ = process::pidfd_send_signal(&running.pidfd, Signal::SIGKILL);
            return;
        }
        self.for_sessiond.0.push_back(message);
        self.flush_sessiond();
    }

    fn flush_sessiond(&mut self) {
        let Some(channel) = self.core.service(Service::Supervisor).and_then(|it| it.channel.as_ref()) else { return };
        while let Some(message) = self.for_sessiond.0.front() {
            match fds::send(channel, &message.to_bytes(), &[]) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                // Sent, or sessiond is gone and its successor asks anew.
                _ => drop(self.for_sessiond.0.pop_front()),
            }
        }
    }

    fn tell_spare(&mut self, watch: &mut Watch) {
        let changed = self.core.take_changed();
        let tell = |who: &Spare| changed.iter().try_for_each(|changed| who.tell(*changed, &self.core));
        if let Some(Err(err)) = watch.heir.as_ref().map(|(heir, _)| tell(heir)) {
            give_heir_up(watch, &err.to_string());
        }
        if let Some(spare) = &self.spare
            && let Err(err) = tell(spare)
        {
            tracing::warn!(
                pid = spare.child.pid.as_raw(),
                "the spare does not follow ({err}); another takes its place"
            );
            self.spare = None;
        }
    }

    /// Makes a spare. In the spare itself this returns only to the launcher it has become by then.
    fn fork_spare(&mut self, watch: &mut Watch) {
        match spare::fork() {
            Ok(spare::Forked::Launcher(spare)) => {
                tracing::debug!(pid = spare.child.pid.as_raw(), "spare waits");
                self.spare = Some(spare);
            }
            Ok(spare::Forked::Spare(socket)) => self.stand_by(&socket, watch),
            // The launcher alone serves as well; the next turn tries again.
            Err(err) => tracing::warn!("no spare: {err:#}"),
        }
    }

    /// The spare's life; when it returns, this process is the launcher.
    fn stand_by(&mut self, socket: &OwnedFd, watch: &mut Watch) {
        name_process(c"baton-spare");
        let Self { home, core, sockets, locks, .. } = self;
        spare::wait(socket, |bytes, handles| match (sockets.as_mut(), locks.as_mut()) {
            (Some(sockets), Some(locks)) if spare::is_places(bytes) => {
                setup::take_places(home, handles, sockets, locks)
            }
            _ => spare::apply(bytes, handles, core),
        });
        self.take_over(watch);
    }

    /// The launcher is gone: this process is.
    pub(super) fn take_over(&mut self, watch: &mut Watch) {
        name_process(c"baton-launcher");
        // Signals that reached the spare were not meant for a launcher.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        *watch = self.watch_all();
        self.for_sessiond.0.clear();
        tracing::warn!(
            pid = std::process::id(),
            sessions = self.core.sessions().len(),
            "the launcher is gone; this process takes over"
        );
        if let Err(err) = process::set_child_subreaper() {
            tracing::error!("could not become the reaper of orphans: {err}");
        }
        if let Some(bridge) = self.core.service(Service::Bridge) {
            self.nursery.keep_proved(Service::Bridge, bridge.pid);
        }
        self.mend(watch);
        // The dead one may have bound sockets anew and not said so.
        self.hand_listeners();
        if let Some(sockets) = &self.sockets
            && let Err(err) = announced::announce(&self.home, sockets.listen)
        {
            tracing::error!("could not write `launcher.json`, which names another launcher until it can be: {err}");
            self.look_again();
        }
        self.feed(Event::Begin, watch);
        activation::took_over();
    }
}

/// Tells launcher and spare apart for `ps` and `top`; their command lines are the same.
pub(super) fn name_process(name: &CStr) {
    // Cosmetic: no reason to stop.
    let _ = nix::sys::prctl::set_name(name);
}

/// Takes a message away that was acted on; its descriptors are copies of those kept.
fn take(channel: &OwnedFd) {
    let mut bytes = [0; LAUNCH_BYTES];
    // It is there: this process looked at it, and nobody else reads. An oversized one is taken with an error.
    let _ = fds::receive(channel, &mut bytes);
}
