//! Directories that vanish under a running Baton are made anew: logind removes `/run/user/<uid>` at a user's last
//! logout, cleaners remove what looks old, people remove what they do not know.
//!
//! A listening socket lives on without its file, and nobody new finds it. So each socket whose file is gone is bound
//! again: sessiond and bridge are replaced by successors with the new ones, which they take as they take a crash; a
//! worker is handed its new listener, and the launcher keeps it for the worker's successor. Nothing of a session is
//! touched.
//!
//! With the state directory go journals, history and tokens. The key is written again, without which nobody could speak
//! to the workers any more, and the specs of the sessions that live, which the next sessiond reads; sessiond and bridge are
//! replaced, since they may only write into the directory they knew, and the bridge makes a new token.
//!
//! Three things bring the launcher to look: an event of the runtime directory (no wake-up without one), SIGHUP (sent by a
//! command line that finds the lock held and the sockets or the key gone), and the start of a service.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use baton_proto::SessionId;
use baton_proto::codec::SPEC_BYTES_MAX;
use baton_proto::home::{Home, runtime};
use baton_proto::launch::{LaunchMessage, Op};
use baton_sandbox::fds;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::children::LAUNCHER_LOG;
use super::core::{Event, Kept, Service};
use super::turn::Watch;
use super::{Launcher, announced, setup};
use crate::supervisor::registry::Registry;

/// From the first sign to the look: who removes a directory is done with it by then, and is not met half-way. Short, as
/// with the state directory gone too nothing tells of this launcher meanwhile.
const SETTLE: Duration = Duration::from_millis(100);

/// What could not be made again is tried again after it: a disk has room again, somebody has logged in.
const TROUBLED: Duration = Duration::from_secs(2);

/// Tells that something was removed from the runtime directory, or the directory itself.
#[derive(Debug, Default)]
pub(super) struct Sentinel {
    /// Shared with the spare: a watch that the launcher adds is the spare's too.
    inotify: Option<Inotify>,
    look_at: Option<Instant>,
    /// The last failure, told once.
    trouble: Option<String>,
}

impl Sentinel {
    /// Watches; a system without room for that is as good, SIGHUP remains.
    pub(super) fn new(home: &Home) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .inspect_err(|err| tracing::info!("the runtime directory is not watched: {err}"))
            .ok();
        let sentinel = Self { inotify, ..Self::default() };
        sentinel.watch(home);
        sentinel
    }

    /// Watches the directory that has the name now.
    fn watch(&self, home: &Home) {
        let removed = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM;
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        if let Some(inotify) = &self.inotify
            && let Err(err) = inotify.add_watch(&home.runtime, removed | gone | AddWatchFlags::IN_ONLYDIR)
        {
            tracing::info!("the runtime directory is not watched: {err}");
        }
    }

    /// Readable when something happened.
    pub(super) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Something happened: what it is shows a look.
    pub(super) fn heard(&mut self, now: Instant) {
        while self.inotify.as_ref().is_some_and(|inotify| inotify.read_events().is_ok()) {}
        self.look_again(now);
    }

    fn look_again(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + SETTLE);
    }

    /// When to look.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Nothing is to be mended any more.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }
}

impl Launcher {
    /// Has what is missing looked for again in a while.
    pub(super) fn look_again(&mut self) {
        self.sentinel.look_at = Some(Instant::now() + TROUBLED);
    }

    /// Looks whether every socket has its file, and binds again those that have not.
    pub(super) fn mend(&mut self, watch: &mut Watch) {
        // A keeper has no sockets, and its next launcher mends.
        if self.sockets.is_none() {
            return;
        }
        self.sentinel.look_at = None;
        let trouble = match self.try_to_mend(watch) {
            Ok(()) => None,
            Err(err) => Some(format!("{err:#}")),
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.sentinel.trouble.as_ref() != Some(trouble)) {
            tracing::error!("what is gone can't be made again: {trouble}");
        }
        if trouble.is_some() {
            self.sentinel.look_at = Some(Instant::now() + TROUBLED);
        }
        self.sentinel.trouble = trouble;
    }

    fn try_to_mend(&mut self, watch: &mut Watch) -> anyhow::Result<()> {
        setup::directories(&self.home)?;
        let mut anew = false;
        if let Some(locks) = &mut self.locks {
            anew |= locks.mend(&self.home)?;
        }
        let mut replaced = Vec::new();
        let lost_state = !self.home.key_file().exists();
        if lost_state {
            reopen_log(&self.home);
            tracing::warn!("the state directory was deleted; it is made anew, journals and history are lost");
            // Both may only write into the directory that they knew.
            replaced.extend([Service::Bridge, Service::Supervisor]);
        }
        self.sentinel.watch(&self.home);
        self.restore_specs();
        let bound = self.bind_again(&mut replaced);
        anew |= !replaced.is_empty();
        for service in replaced {
            self.feed(Event::Replace(service), watch);
        }
        // What tells that nothing is missing comes last: whoever takes over before that does all this again.
        if anew {
            self.tell_places();
        }
        if lost_state {
            setup::write_install_key(&self.home, &self.key)?;
        }
        bound?;
        if let Some(sockets) = self.sockets.as_ref().filter(|_| !announced::is_complete(&self.home)) {
            announced::announce(&self.home, sockets.listen).context("could not write `launcher.json`")?;
        }
        self.workers_bind_again(watch)
    }

    fn tell_places(&mut self) {
        let (Some(spare), Some(sockets), Some(locks)) = (&self.spare, &self.sockets, &self.locks) else { return };
        if let Err(err) = spare.tell_places(&setup::places(sockets, locks)) {
            tracing::warn!("the spare does not follow ({err}); another takes its place");
            self.spare = None;
        }
    }

    /// Lets the next sessiond find the sessions that live, whoever deleted their files.
    fn restore_specs(&self) {
        let registry = Registry::new(self.home.sessions_dir());
        // One that is done may have been forgotten on purpose.
        let living = self.core.sessions().iter().filter(|(_, kept)| !kept.done && !kept.replay);
        for (session, kept) in living.filter(|(session, _)| !registry.has(**session)) {
            let spec = fds::read_sealed(&kept.spec, SPEC_BYTES_MAX);
            match spec.and_then(|spec| registry.restore(*session, &spec)) {
                Ok(()) => tracing::warn!(%session, "its spec was deleted and is written again"),
                Err(err) => tracing::error!(%session, "its spec was deleted and can't be written again: {err}"),
            }
        }
    }

    /// Binds the services' sockets whose files are gone, and notes whom that concerns.
    fn bind_again(&mut self, replaced: &mut Vec<Service>) -> anyhow::Result<()> {
        let runtime = &self.home.runtime;
        let Some(sockets) = &mut self.sockets else { return Ok(()) };
        let workers = setup::workers_dir(&self.home)?;
        let found = sockets.supervisor.is_found(runtime, runtime::SESSIOND_SOCKET);
        if !found {
            sockets.supervisor = setup::bind_unix(runtime, runtime::SESSIOND_SOCKET)?;
            tracing::warn!("`{}` was gone and is bound again", runtime::SESSIOND_SOCKET);
        }
        if !found || sockets.workers != workers {
            sockets.workers = workers;
            if !replaced.contains(&Service::Supervisor) {
                replaced.push(Service::Supervisor);
            }
        }
        if !sockets.bridge.is_found(runtime, runtime::BRIDGE_SOCKET) {
            sockets.bridge = setup::bind_unix(runtime, runtime::BRIDGE_SOCKET)?;
            tracing::warn!("`{}` was gone and is bound again", runtime::BRIDGE_SOCKET);
            if !replaced.contains(&Service::Bridge) {
                replaced.push(Service::Bridge);
            }
        }
        Ok(())
    }

    fn workers_bind_again(&mut self, watch: &mut Watch) -> anyhow::Result<()> {
        let is_there = |session: SessionId| {
            std::fs::symlink_metadata(setup::worker_socket(&self.home, session))
                .is_ok_and(|found| found.file_type().is_socket())
        };
        let missing = self.core.sessions().iter().filter(|(session, _)| !is_there(**session));
        let (known, starting): (Vec<_>, Vec<_>) =
            missing.map(|(session, kept)| (*session, can_be_handed(kept))).partition(|(_, known)| *known);
        if !starting.is_empty() {
            // It is about to bind, in the new directory or still in the old one.
            self.sentinel.look_again(Instant::now());
        }
        let directory = self.home.runtime.join(runtime::WORKERS_DIR);
        for (session, _) in known {
            // Under another name until the spare knows of it: what has its name is not bound again.
            let aside = format!("{}.new", session.socket_name());
            let listener = setup::bind_unix(&directory, &aside)?.listener;
            let copy = listener.try_clone().context("no descriptor is left")?;
            fds::set_nonblocking(&listener)?;
            self.feed(Event::Rebound(session, copy), watch);
            std::fs::rename(directory.join(aside), setup::worker_socket(&self.home, session))
                .context("a worker's new socket can't be put in place")?;
            tracing::info!(%session, "its socket is bound again");
            self.hand(session, &listener);
        }
        Ok(())
    }

    /// Hands every worker the listener that is kept for its successor: one that has it already loses nothing.
    pub(super) fn hand_listeners(&self) {
        for (session, kept) in self.core.sessions() {
            if let Some(listener) = &kept.listener {
                self.hand(*session, listener);
            }
        }
    }

    fn hand(&self, session: SessionId, listener: &OwnedFd) {
        let Some(kept) = self.core.sessions().get(&session) else { return };
        let message = LaunchMessage::new(Op::Listen, session).to_bytes();
        let workers = kept.worker.iter().chain(kept.next.iter().map(|next| &next.running));
        for channel in workers.filter_map(|worker| worker.channel.as_ref()) {
            if let Err(err) = fds::send(channel, &message, &[listener.as_fd()]) {
                // It is gone, and its successor starts with this listener.
                tracing::info!(%session, "the worker was not told of its new socket: {err}");
            }
        }
    }
}

/// The log was deleted with its directory: what is said from now on goes into a new one.
fn reopen_log(home: &Home) {
    let path = home.logs_dir().join(LAUNCHER_LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    if let Err(err) = log.and_then(|log| Ok(nix::unistd::dup2_stderr(log)?)) {
        tracing::warn!("could not open `{}`: {err}", path.display());
    }
}

/// Whether the worker has said what it listens on: before that it may have to start anew, and binds for itself. One of
/// an ended session serves its journal while it lives.
const fn can_be_handed(kept: &Kept<OwnedFd>) -> bool {
    kept.listener.is_some() || (kept.done && kept.worker.is_some())
}
