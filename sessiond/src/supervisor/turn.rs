//! sessiond's loop: wait, read, let [`Core`](super::step::Core) decide, do. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use baton_proto::SessionId;
use baton_proto::frame::Kind;
use baton_proto::hello::HANDSHAKES_MAX;
use baton_proto::home::{runtime, through};
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op, Start};
use baton_proto::spec::SessionSpec;
use baton_proto::v1::{Sessions, SupervisorStatus};
use baton_proto::{ErrorCode, InstanceId};
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::Supervisor;
use super::conn::{Conn, ConnError};
use super::event::{Action, Answer, ConnId, Event, Request};
use super::link::{Link, LinkError, News};
use super::pipe::{OUTGOING_MAX, Pipe, PipeError};
use super::registry::Bytes;
use super::respawn::Change;
use crate::settings;
use crate::sys::exhausted;
use crate::sys::host;

/// Clients at once, those in the handshake included.
const CONNS_MAX: usize = 256;

/// Requests for workers that may wait for the launcher.
const FOR_LAUNCHER_MAX: usize = 1024;

/// How long a request for a worker is tried that the kernel does not take. Less than
/// [`ANSWER_WITHIN`](super::step::ANSWER_WITHIN): who asked is told.
const ASK_WITHIN: Duration = Duration::from_secs(8);

/// Clients accepted before the others get their turn.
const ACCEPTS_A_TURN: usize = 32;

/// The next part of a list is made when this much or less of the last ones is unread.
const LIST_AHEAD: usize = OUTGOING_MAX / 4;

/// A message on its way to the launcher.
#[derive(Debug)]
pub(super) struct Asked {
    message: LaunchMessage,
    /// What the worker is to run.
    spec: Option<OwnedFd>,
    /// What can't be sent by then is given up.
    until: Instant,
}

fn not_passed(err: &io::Error) -> String {
    let hint = "a program of this user's sends descriptors to itself and does not take them; `baton ls` shows which sessions run";
    format!("the launcher could not be asked for a worker for {ASK_WITHIN:?}: {err}; {hint}")
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Launcher,
    Listener,
    Conn(ConnId),
    Link(SessionId),
}

impl Supervisor {
    /// Serves until the launcher is gone.
    pub(super) fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            for (source, events) in self.wait() {
                let now = Instant::now();
                match source {
                    Source::Launcher => {
                        if !self.read_launcher(now)? {
                            tracing::info!("the launcher is gone; sessiond follows");
                            return Ok(());
                        }
                    }
                    Source::Listener => self.accept(now),
                    Source::Conn(conn) => self.serve_conn(conn, events, now),
                    Source::Link(session) => self.serve_link(session, events, now),
                }
            }
            self.flush_launcher(Instant::now());
            self.deadlines(Instant::now());
        }
    }

    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let interest = |writes: bool| if writes { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut sources = vec![Source::Launcher];
        let writes = !self.for_launcher.is_empty() && self.launcher_again.is_none();
        let mut fds = vec![PollFd::new(self.launcher.as_fd(), interest(writes))];
        if self.accept_again.is_none() {
            sources.push(Source::Listener);
            fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        for (id, conn) in &self.conns {
            sources.push(Source::Conn(*id));
            fds.push(PollFd::new(conn.pipe.as_fd(), interest(conn.pipe.waiting() > 0)));
        }
        for (session, link) in &self.links {
            sources.push(Source::Link(*session));
            fds.push(PollFd::new(link.pipe.as_fd(), interest(link.pipe.waiting() > 0)));
        }
        let timeout = self.deadline().map_or(PollTimeout::NONE, |deadline| {
            // Rounded up, or the loop would spin through the deadline's last millisecond.
            let wait = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(err) => exhausted::poll_failed(&err),
        }
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        sources.into_iter().zip(events).filter(|(_, events)| !events.is_empty()).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        let conns = self.conns.values().filter_map(Conn::deadline);
        let links = self.links.values().filter_map(Link::deadline);
        conns.chain(links).chain(self.core.deadline()).chain(self.accept_again).chain(self.launcher_again).min()
    }

    fn deadlines(&mut self, now: Instant) {
        self.accept_again = self.accept_again.filter(|again| *again > now);
        let late: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.deadline().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for conn in late {
            self.close(conn, &ConnError::Refused("the handshake took too long"), now);
        }
        let late: Vec<SessionId> = self
            .links
            .iter()
            .filter(|(_, link)| link.deadline().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for session in late {
            self.drop_link(session, &LinkError::Late, now);
        }
        if self.core.deadline().is_some_and(|at| at <= now) {
            self.feed(Event::DeadlinePassed, now);
        }
    }

    /// False when the launcher (and its spare) are gone.
    fn read_launcher(&mut self, now: Instant) -> anyhow::Result<bool> {
        loop {
            let mut bytes = [0; LAUNCH_BYTES];
            match fds::receive(&self.launcher, &mut bytes) {
                Ok((0, _)) => return Ok(false),
                Ok((count, _)) => match LaunchMessage::from_bytes(&bytes[..count]) {
                    Some(message) => self.feed(Event::Launcher(message), now),
                    None => tracing::warn!("the launcher sent a message that is none"),
                },
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(err) => return Err(err.into()),
            }
        }
    }

    fn flush_launcher(&mut self, now: Instant) {
        if self.launcher_again.is_some_and(|again| again > now) {
            return;
        }
        self.launcher_again = None;
        while let Some(Asked { message, spec, until }) = self.for_launcher.front() {
            let handles: Vec<_> = spec.iter().map(AsFd::as_fd).collect();
            match fds::send(&self.launcher, &message.to_bytes(), &handles) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) if fds::may_pass(&err) && now < *until => {
                    exhausted::say("asking for a worker", &err);
                    self.launcher_again = Some(now + exhausted::PAUSE);
                    return;
                }
                Err(err) if fds::may_pass(&err) => {
                    let session = message.session;
                    let asked = self.for_launcher.pop_front().is_some_and(|asked| asked.message.op == Op::SpawnWorker);
                    let why = not_passed(&err);
                    tracing::error!(%session, "{why}");
                    if asked {
                        self.feed(Event::SpawnFailed(session, why), now);
                    }
                }
                // Sent, or the launcher is gone, which the next read tells.
                _ => drop(self.for_launcher.pop_front()),
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_A_TURN {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) if err.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(err) => {
                    // It stays queued, and the listener readable.
                    exhausted::say("accept", &err);
                    self.accept_again = Some(now + exhausted::PAUSE);
                    return;
                }
            };
            let own = nix::unistd::getuid().as_raw();
            match getsockopt(&stream, PeerCredentials) {
                Ok(peer) if peer.uid() == own => {}
                Ok(peer) => {
                    tracing::warn!(uid = peer.uid(), pid = peer.pid(), "another user's process was turned away");
                    continue;
                }
                Err(_) => continue,
            }
            let Ok(pipe) = Pipe::new(stream) else { continue };
            let mut conn = Conn::new(pipe, now);
            let shaking = self.conns.values().filter(|conn| !conn.is_open()).count();
            if shaking >= HANDSHAKES_MAX || self.conns.len() >= CONNS_MAX {
                conn.refuse(&ConnError::Refused("too many connections; try again"));
                continue;
            }
            self.conns.insert(ConnId(self.next_conn), conn);
            self.next_conn += 1;
        }
    }

    fn serve_conn(&mut self, id: ConnId, events: PollFlags, now: Instant) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let readable = events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR);
        // What arrived before the end is still served.
        let end = conn.pipe.flush().and_then(|()| if readable { conn.pipe.fill() } else { Ok(()) });
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            match conn.next_request(&self.identity) {
                Ok(Some((request_id, request))) => {
                    let request = self.complete(request);
                    let wall_us = host::wall_us();
                    self.feed(Event::Request { conn: id, id: request_id, request, wall_us }, now);
                }
                Ok(None) => break,
                Err(err) => return self.close(id, &err, now),
            }
        }
        if let Err(err) = end {
            return self.close(id, &err.into(), now);
        }
        self.continue_list(id, now);
    }

    /// What sessiond adds to a spec: ids, origin and whether there is room are facts of this host, not of the asker.
    fn complete(&self, request: Request) -> Request {
        match request {
            Request::Spawn(spec) => match self.registry.no_room() {
                Some(why) => {
                    tracing::error!(session = %spec.session, "{}", why.message);
                    Request::NoRoom(why)
                }
                None => Request::Spawn(Box::new(SessionSpec {
                    instance: InstanceId::from_uuid(uuid::Uuid::now_v7()),
                    boot_id: self.boot_id.clone(),
                    ..*spec
                })),
            },
            Request::Respawn(change) => Request::Respawn(Box::new(Change {
                instance: InstanceId::from_uuid(uuid::Uuid::now_v7()),
                boot_id: self.boot_id.clone(),
                worker_lives: self.registry.worker_lives(change.asked.session),
                ..*change
            })),
            other => other,
        }
    }

    fn close(&mut self, id: ConnId, why: &ConnError, now: Instant) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        conn.refuse(why);
        match why {
            ConnError::Pipe(PipeError::Closed) => tracing::debug!(conn = id.0, "client gone"),
            why => tracing::info!(conn = id.0, "client let go: {why}"),
        }
        self.feed(Event::ConnClosed(id), now);
    }

    fn serve_link(&mut self, session: SessionId, events: PollFlags, now: Instant) {
        let Some(link) = self.links.get_mut(&session) else { return };
        let readable = events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR);
        let end = link.pipe.flush().and_then(|()| if readable { link.pipe.fill() } else { Ok(()) });
        loop {
            // What it tells may end the link.
            let Some(link) = self.links.get_mut(&session) else { return };
            match link.next_news(&self.identity.key) {
                Ok(Some(News::Inspected(inspection))) => self.feed(Event::Inspected(session, inspection), now),
                Ok(Some(News::Exit(exit))) => {
                    tracing::info!(%session, code = exit.code, signal = exit.signal, reason = exit.reason, "session ended");
                    self.feed(Event::Exit(session, exit, host::wall_us()), now);
                }
                Ok(None) => break,
                Err(err) => return self.drop_link(session, &err, now),
            }
        }
        if let Err(err) = end {
            self.drop_link(session, &err.into(), now);
        }
    }

    fn drop_link(&mut self, session: SessionId, why: &LinkError, now: Instant) {
        if self.links.remove(&session).is_some() {
            tracing::info!(%session, "no link to the worker: {why}");
            self.feed(Event::Unreached(session), now);
        }
    }

    fn dial(&mut self, session: SessionId, now: Instant) {
        let Some(instance) = self.core.instance(session) else { return };
        match Link::dial(&self.workers, session, instance, self.generation, now) {
            Ok(link) => drop(self.links.insert(session, link)),
            Err(LinkError::Absent) => {
                self.unlink_if_dead(session);
                self.feed(Event::Absent(session), now);
            }
            Err(err) => {
                tracing::debug!(%session, "the worker can't be reached: {err}");
                self.feed(Event::Unreached(session), now);
            }
        }
    }

    /// Removes a socket that nobody listens on, if the worker that made it is known to be dead.
    fn unlink_if_dead(&self, session: SessionId) {
        use std::os::fd::AsRawFd;
        if !self.registry.worker_lives(session) {
            // Not there at all is the usual case.
            let _ = std::fs::remove_file(through(self.workers.as_raw_fd(), &session.socket_name()));
        }
    }

    /// Sockets of workers that the registry does not know: told of, left alone.
    pub(super) fn warn_of_strangers(&self) {
        let known: BTreeSet<String> = self.core.ids().map(SessionId::socket_name).collect();
        let names = std::fs::read_dir(self.home.runtime.join(runtime::WORKERS_DIR)).into_iter().flatten().flatten();
        for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
            if !known.contains(&name) {
                tracing::warn!(socket = name, "a worker's socket without a session on disk; it is left alone");
            }
        }
    }

    /// Decides and acts.
    pub(super) fn feed(&mut self, event: Event, now: Instant) {
        for action in self.core.step(event, now) {
            self.act(action, now);
        }
    }

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Answer(conn, id, answer) => self.answer(conn, id, answer, now),
            Action::Tell(conn, entry) => {
                self.send(conn, now, |pipe| pipe.send(Kind::SessionChanged, 0, &*entry));
            }
            Action::Store(spec) => {
                let session = spec.session;
                tracing::info!(%session, "session is started");
                if let Err(err) = self.registry.store(&spec) {
                    tracing::error!(%session, "its spec could not be written down: {err}");
                    return self.feed(Event::NotStored(session, self.registry.not_stored(&err)), now);
                }
                if let Err(why) = self.ask_launcher(session, Start::of(spec.profile)) {
                    tracing::error!(%session, "{why}");
                    self.feed(Event::SpawnFailed(session, why), now);
                }
            }
            Action::Replay(session) => {
                if let Err(why) = self.ask_launcher(session, Start::Replay) {
                    tracing::error!(%session, "{why}");
                    self.feed(Event::SpawnFailed(session, why), now);
                }
            }
            Action::Replace(part) => {
                let nobody = SessionId::from_uuid(uuid::Uuid::nil());
                self.tell_launcher(LaunchMessage { arg: part.number(), ..LaunchMessage::new(Op::Replace, nobody) });
            }
            Action::Adopt(session) => self.tell_launcher(LaunchMessage::new(Op::Adopt, session)),
            Action::ReplaceWorker(session) => self.tell_launcher(LaunchMessage::new(Op::Replace, session)),
            Action::Retire(session) => self.tell_launcher(LaunchMessage::new(Op::Retire, session)),
            Action::Rewrite(change) => {
                let session = change.asked.session;
                let rewritten = self.registry.rewrite(session, |spec| change.applied(spec));
                tracing::info!(%session, instance = %change.instance, written = rewritten.is_ok(), "session is started again");
                let rewritten = rewritten.map(Box::new).map_err(|err| err.to_string());
                self.feed(Event::Rewritten(session, rewritten), now);
            }
            Action::Start(session, profile) => {
                if let Err(why) = self.ask_launcher(session, Start::of(profile)) {
                    tracing::error!(%session, "{why}");
                    self.feed(Event::SpawnFailed(session, why), now);
                }
            }
            Action::Dial(session) => self.dial(session, now),
            Action::HangUp(session) => drop(self.links.remove(&session)),
            Action::NoteWorker(session, pid) => {
                if let Err(err) = self.registry.store_worker(session, pid) {
                    tracing::warn!(%session, "the worker could not be noted: {err}");
                }
            }
            Action::NoteEnd(session, exit) => {
                let Some(instance) = self.core.instance(session) else { return };
                if let Err(err) = self.registry.store_end(session, instance, &exit) {
                    tracing::warn!(%session, "the end could not be noted; the journal has it: {err}");
                }
            }
            Action::AskJournal(session) => {
                let instance = self.core.instance(session);
                let exit = instance.and_then(|instance| self.registry.journal_end(session, instance));
                if exit.is_none() && self.registry.worker_lives(session) {
                    // Only the way to it is gone: nobody is declared lost who lives.
                    tracing::warn!(%session, "no socket leads to the worker, and it lives");
                    return self.feed(Event::Unreached(session), now);
                }
                tracing::info!(%session, ended = exit.is_some(), "no worker; the journal was asked");
                self.feed(Event::Remains(session, exit, host::wall_us()), now);
            }
            Action::Forget(session, conn, id) => {
                let result = self.registry.remove(session).map_err(|err| err.to_string());
                tracing::info!(%session, forgotten = result.is_ok(), "session is to be forgotten");
                self.feed(Event::Forgotten(session, conn, id, result), now);
            }
            Action::EditSettings(conn, id, edit) => {
                let done = settings::edit::edit(&self.home, &edit, &settings::environment());
                match &done {
                    Ok(()) => tracing::info!(changes = edit.changes.len(), "the configuration file was changed"),
                    Err(failed) => tracing::info!("the configuration file was not changed: {}", failed.message),
                }
                self.answer(conn, id, done.map_or_else(Answer::Failed, |()| Answer::Done), now);
            }
            Action::Measure => {
                let bytes =
                    |session| Some((session, self.registry.journal_bytes(session, self.core.instance(session)?)));
                let bytes: BTreeMap<SessionId, Bytes> = self.core.ids().filter_map(bytes).collect();
                self.feed(Event::Measured(bytes), now);
            }
            Action::Trim(session, max_bytes) => {
                let trimmed = self.links.get_mut(&session).map(|link| link.trim(max_bytes));
                if let Some(Err(err)) = trimmed {
                    self.drop_link(session, &err, now);
                }
            }
            Action::DropEarlier(session) => {
                tracing::info!(%session, "the journals of all sessions are too large together; those of this one's earlier lives are removed");
                if let Some(instance) = self.core.instance(session)
                    && let Err(err) = self.registry.drop_others(session, &[instance])
                {
                    tracing::warn!(%session, "they could not be removed: {err}");
                }
            }
            Action::DropJournals(session) => {
                tracing::info!(%session, "the journals of all sessions are too large together; this ended one's is removed");
                if let Err(err) = self.registry.drop_journals(session) {
                    tracing::warn!(%session, "it could not be removed: {err}");
                }
            }
        }
    }

    /// What the launcher does not hear it does not answer: whoever waits for it waits until the deadline.
    pub(super) fn tell_launcher(&mut self, message: LaunchMessage) {
        if let Err(why) = self.queue_for_launcher(message, None) {
            tracing::error!(op = ?message.op, "{why}");
        }
    }

    fn ask_launcher(&mut self, session: SessionId, start: Start) -> Result<(), String> {
        let spec = self.registry.spec_bytes(session).and_then(|bytes| fds::sealed_memfd(c"baton-spec", &bytes));
        let spec = spec.map_err(|err| format!("its spec could not be passed on: {err}"))?;
        self.queue_for_launcher(
            LaunchMessage { arg: start.number(), ..LaunchMessage::new(Op::SpawnWorker, session) },
            Some(spec),
        )
    }

    fn queue_for_launcher(&mut self, message: LaunchMessage, spec: Option<OwnedFd>) -> Result<(), String> {
        if self.for_launcher.len() >= FOR_LAUNCHER_MAX {
            return Err("the launcher does not answer".to_owned());
        }
        let now = Instant::now();
        self.for_launcher.push_back(Asked { message, spec, until: now + ASK_WITHIN });
        self.flush_launcher(now);
        Ok(())
    }

    fn answer(&mut self, conn: ConnId, id: u64, answer: Answer, now: Instant) {
        match answer {
            Answer::Session(entry) => self.send(conn, now, |pipe| pipe.send(Kind::Session, id, &*entry)),
            Answer::Done => self.send(conn, now, |pipe| pipe.send_empty(Kind::Done, id)),
            Answer::Failed(failed) => self.send(conn, now, |pipe| pipe.send(Kind::Failed, id, &failed)),
            Answer::List => {
                let Some(known) = self.conns.get_mut(&conn) else { return };
                if known.listing.is_some() {
                    let why = "a list is under way already".to_owned();
                    let busy =
                        baton_proto::v1::Failed { code: ErrorCode::Busy, message: why, owner: None, oldest: None };
                    return self.send(conn, now, |pipe| pipe.send(Kind::Failed, id, &busy));
                }
                known.listing = Some((id, None));
                self.continue_list(conn, now);
            }
            Answer::Status(counts) => {
                let status = SupervisorStatus {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: self.identity.pid,
                    launcher_pid: self.launcher_pid(),
                    started_us: self.started_us,
                    generation: self.generation,
                    running: counts.running,
                    parked: counts.parked,
                    lost: counts.lost,
                    confinement: self.confinement(),
                };
                self.send(conn, now, |pipe| pipe.send(Kind::Status, id, &status));
            }
        }
    }

    /// Sends more of a list, as far as the client reads it.
    fn continue_list(&mut self, conn: ConnId, now: Instant) {
        loop {
            let Some(known) = self.conns.get_mut(&conn).filter(|conn| conn.pipe.waiting() <= LIST_AHEAD) else {
                return;
            };
            let Some((id, after)) = known.listing else { return };
            let (sessions, last) = self.core.list_part(after);
            known.listing = last.map(|last| (id, Some(last)));
            let part = Sessions { sessions, last: last.is_none() };
            self.send(conn, now, |pipe| pipe.send(Kind::Sessions, id, &part));
        }
    }

    fn send(&mut self, conn: ConnId, now: Instant, send: impl FnOnce(&mut Pipe) -> Result<(), PipeError>) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        if let Err(err) = send(&mut known.pipe) {
            self.close(conn, &err.into(), now);
        }
    }

    /// The launcher as it announces itself: a spare that took over is not this process's parent.
    pub(super) fn launcher_pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.home.runtime.join(runtime::LAUNCHER_FILE)).unwrap_or_default();
        let digits = text.split_once("\"pid\":").map(|(_, rest)| rest.trim_start());
        let end = digits.and_then(|rest| rest.find(|c: char| !c.is_ascii_digit()));
        digits
            .zip(end)
            .and_then(|(rest, end)| rest[..end].parse().ok())
            .unwrap_or_else(|| nix::unistd::getppid().as_raw().cast_unsigned())
    }
}
