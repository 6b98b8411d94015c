//! A session's worker: one process, one program, one terminal, one journal.
//!
//! ```text
//!            ┌──────────── one poll loop, one thread ────────────┐
//!  program ◄─┤ typing (queue) ◄── frames ◄── connections ◄─ bridge, sessiond
//!     │      │                                                   │
//!     └─────►│ read window ──► journal ──► subscribers ──────────┤──► records
//!            └───────────────────────────────────────────────────┘
//! ```
//!
//! The worker is the only authority for terminal, size, lease and cursor. It never waits for a reader, never grows without
//! bound, never dies with sessiond or bridge, and an idle one is never woken. Killed, it is succeeded: the launcher holds the
//! terminal, the read window, the listener and the program's pidfd, and starts a worker that goes on at the exact byte.

mod attach;
mod clock;
mod confine;
mod conn;
#[cfg(test)]
mod damage_tests;
mod denials;
mod ending;
mod granted;
pub mod hostile;
mod inspect;
pub mod journal;
#[cfg(test)]
mod journal_tests;
mod limits;
mod orphan;
mod outside;
mod park;
mod parked;
mod processes;
mod pty;
mod scan;
mod screen;
mod segment;
mod serve;
mod size;
mod start;
mod trouble;
mod typing;
mod window;

pub(crate) use self::clock::now as monotonic;
pub(crate) use self::confine::user_home;
pub(crate) use self::processes::pid_of;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use baton_proto::frame::{Frame, Header, Kind};
use baton_proto::hello::{HANDSHAKES_MAX, Role};
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op};
use baton_proto::lease::{LeaseMachine, Monotonic};
use baton_proto::spec::{Layer, Profile, SessionSpec};
use baton_proto::v1::{Attachment, ClientEntry, Dimensions, ExitRecord, RANGE_HEADER_BYTES, SizePolicy};
use baton_sandbox::sweeper::Sweeper;
use nix::fcntl::Flock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use conn::{Conn, Identity};
use ending::Life;
use journal::{Appended, Journal};
use park::Parking;
use pty::{Pty, Terminal as _, Unread};
use screen::Screens;
use typing::Typing;
use window::Window;

use crate::sys::exhausted;

/// Connections that have proved themselves; one more is refused.
const CONNS_MAX: usize = 32;
/// How long an ended session's worker serves its journal after the last reader is gone.
const LINGER: Duration = Duration::from_secs(10);
/// The same while the end could not be written down.
const LINGER_OWING: Duration = Duration::from_secs(3600);
/// How often a terminal that nobody has open is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
#[expect(clippy::cast_possible_truncation, reason = "24")]
const RANGE_HEADER_LEN: u32 = RANGE_HEADER_BYTES as u32;

/// How a worker begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A new session: open the terminal, start the program, under this profile and no other.
    Fresh(Profile),
    /// The worker before this one died: go on.
    TakeOver,
    /// The worker before this one leaves: stand by until it has, then go on.
    Succeed,
    /// The session has ended: serve its journal.
    Replay,
}

/// The program and what is known of its end.
#[derive(Debug)]
struct Program {
    pid: u32,
    pidfd: OwnedFd,
    status: Option<ExitStatus>,
    /// Gone, and the launcher is still to tell how.
    status_due: Option<Monotonic>,
    ended: bool,
}

/// A client that is attached through one of the connections.
#[derive(Debug)]
struct AttachedClient {
    conn: u64,
    input_stream: u64,
    entry: ClientEntry,
    /// What it told of its terminal.
    facts: Option<baton_screen::Facts>,
}

/// The whole state of a worker.
#[derive(Debug)]
struct Worker {
    spec: SessionSpec,
    identity: Identity,
    /// The spec as it came, and the memory of the read window: for whoever keeps them.
    spec_fd: OwnedFd,
    memory: Option<OwnedFd>,
    /// The session's.
    directory: PathBuf,
    /// How its program was confined, and how far its limits hold.
    layers: Vec<Layer>,
    limits: limits::Watch,
    denials: denials::Watch,
    /// Removes what a confined program leaves behind.
    cleaner: Option<std::thread::JoinHandle<()>>,
    /// `None` while there is no launcher.
    keeper: Option<OwnedFd>,
    /// Where the next launcher is waited for, meanwhile.
    offer: Option<UnixListener>,
    listener: UnixListener,
    window: Window,
    journal: Journal,
    screens: Screens,
    /// There are no descriptors for more connections: those who wait are not looked at before then.
    accept_again: Option<Monotonic>,
    /// `None` once the program has ended.
    terminal: Option<Pty>,
    /// Nobody has the terminal open: not polled before then, because a hung-up terminal is always ready.
    hung_up_until: Option<Monotonic>,
    /// What was told of the journal, and when it is looked at again.
    journal_watch: trouble::Watch,
    program: Option<Program>,
    /// Who ends what the confined program has started, once that is to end.
    sweeper: Option<Sweeper>,
    /// The confined program's own ([`processes::own_view`]): who is in it belongs to the session.
    view: Option<processes::View>,
    /// SIGCHLD: orphans of the session come to this process, a subreaper, and must not stay as zombies.
    children: SignalFd,
    life: Life,
    exit: Option<ExitRecord>,
    lease: LeaseMachine,
    lease_since_us: u64,
    policy: SizePolicy,
    idle_timeout: Option<Duration>,
    record_input: bool,
    typing: Typing,
    parking: Parking,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    attached: HashMap<Attachment, AttachedClient>,
    next_attachment: u64,
    presence_changed: bool,
    viewports: VecDeque<(baton_proto::ClientId, Dimensions)>,
    generation_seen: u64,
    last_activity: Monotonic,
    last_client: Monotonic,
    /// When a sessiond was there last.
    last_supervisor: Monotonic,
    /// Since when nobody but sessiond is connected; only counts once the session has ended.
    alone_since: Monotonic,
    scratch: Vec<u8>,
    /// Held for as long as this process lives: one reader of a terminal.
    _lock: Flock<std::fs::File>,
}

/// What `poll` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Keeper,
    NextLauncher,
    Listener,
    Terminal,
    Program,
    Children,
    Sweeper,
    Screen,
    Refused,
    Time,
    Conn(u64),
}

/// Runs a worker until its session is over and nobody reads it any more.
///
/// # Errors
/// What kept it from starting.
pub fn run(mode: Mode) -> anyhow::Result<()> {
    let mut worker = start::start(mode)?;
    // What is looked at later is known before the filter refuses the question.
    let _ = baton_sandbox::landlock::version();
    // The program runs and has nothing of this: a filter is inherited by what is started afterwards.
    let _ = baton_sandbox::own::Own::worker().confine();
    loop {
        let now = clock::now();
        worker.tick(now);
        if worker.is_over(now) || worker.parking == Parking::Parked {
            worker.clean_up();
            return Ok(());
        }
        worker.turn(now);
    }
}

impl Worker {
    /// Waits for something to happen and deals with it.
    fn turn(&mut self, now: Monotonic) {
        // After the subscribers were sent what came: whatever the screen costs, it costs them nothing.
        self.screens.publish(&self.journal);
        let ready = self.wait(now);
        let now = clock::now();
        // Connections first: a keystroke never waits behind a flood.
        for (source, flags) in &ready {
            if let Source::Conn(id) = source
                && flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
            {
                self.read_conn(*id, now);
            }
        }
        for (source, flags) in &ready {
            match source {
                Source::Conn(_) => {}
                Source::Keeper => self.read_keeper(now),
                Source::NextLauncher => self.give_itself(),
                Source::Listener => self.accept(now),
                Source::Program => self.program_gone(now),
                Source::Children => self.reap_children(),
                Source::Sweeper => self.sweeper_ended(now),
                Source::Screen => self.screen_reports(now),
                Source::Refused => self.hear_refused(now),
                Source::Time => self.time_is_over(now),
                Source::Terminal => {
                    if flags.contains(PollFlags::POLLOUT) {
                        self.type_queued(now);
                    }
                    if flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
                        && !self.read_terminal(now)
                        && flags.contains(PollFlags::POLLHUP)
                    {
                        // The program may end, which its pidfd tells, or open its terminal again.
                        self.hung_up_until = Some(now.after(LOOK_AGAIN));
                    }
                }
            }
        }
        self.tell_presence();
        self.tell_journal(now);
        self.flush(now);
    }

    fn wait(&self, now: Monotonic) -> Vec<(Source, PollFlags)> {
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(self.conns.len() + 6);
        if self.accept_again.is_none() {
            sources.push((Source::Listener, self.listener.as_fd(), PollFlags::POLLIN));
        }
        sources.push((Source::Children, self.children.as_fd(), PollFlags::POLLIN));
        if let Some(sweeper) = &self.sweeper {
            sources.push((Source::Sweeper, sweeper.as_fd(), PollFlags::POLLIN));
        }
        sources.push((Source::Screen, self.screens.bell(), PollFlags::POLLIN));
        if let Some(refused) = self.denials.refused_hosts() {
            sources.push((Source::Refused, refused, PollFlags::POLLIN));
        }
        if let Some(timer) = self.limits.timer() {
            sources.push((Source::Time, timer, PollFlags::POLLIN));
        }
        if let Some(keeper) = &self.keeper {
            sources.push((Source::Keeper, keeper.as_fd(), PollFlags::POLLIN));
        }
        if let Some(offer) = &self.offer {
            sources.push((Source::NextLauncher, offer.as_fd(), PollFlags::POLLIN));
        }
        if let Some(terminal) = self.terminal.as_ref().filter(|_| self.hung_up_until.is_none()) {
            let write = if self.typing.wants_write() { PollFlags::POLLOUT } else { PollFlags::empty() };
            sources.push((Source::Terminal, terminal.as_fd(), PollFlags::POLLIN | write));
        }
        if let Some(program) = self.program.as_ref().filter(|program| !program.ended && program.status_due.is_none()) {
            sources.push((Source::Program, program.pidfd.as_fd(), PollFlags::POLLIN));
        }
        let end = self.journal.end();
        for (id, conn) in &self.conns {
            let write = if conn.wants_write(end) { PollFlags::POLLOUT } else { PollFlags::empty() };
            sources.push((Source::Conn(*id), conn.as_fd(), PollFlags::POLLIN | write));
        }
        let mut fds: Vec<PollFd<'_>> = sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        let timeout = self.deadline().map_or(PollTimeout::NONE, |deadline| {
            // Rounded up: waking a moment early would only mean going round once more.
            let millis = deadline.since(now).as_millis() + 1;
            PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(err) => exhausted::poll_failed(&err),
        }
        let ready = fds.iter().zip(&sources).filter_map(|(fd, (source, _, _))| {
            fd.revents().filter(|flags| !flags.is_empty()).map(|flags| (*source, flags))
        });
        ready.collect()
    }

    fn deadline(&self) -> Option<Monotonic> {
        let handshakes = self.conns.values().filter_map(Conn::deadline);
        let linger = self.lingers().then(|| self.alone_since.after(self.linger()));
        let idle = self.idle_deadline();
        handshakes
            .chain(self.lease.deadline())
            .chain(self.ending_deadline())
            .chain(linger)
            .chain(idle)
            .chain(self.parked_deadline())
            .chain(self.hung_up_until)
            .chain(self.parking_deadline())
            .chain(self.journal_watch.deadline())
            .chain(self.limits.deadline())
            .chain(self.accept_again)
            .min()
    }

    fn idle_deadline(&self) -> Option<Monotonic> {
        let timeout = self.idle_timeout?;
        let idle = matches!(self.life, Life::Running) && self.attached.is_empty();
        idle.then(|| self.last_activity.max(self.last_client).after(timeout))
    }

    fn lingers(&self) -> bool {
        matches!(self.life, Life::Ended)
            && !self.conns.values().any(|conn| matches!(conn.role(), Some(Role::Bridge | Role::Cli)))
    }

    fn is_over(&self, now: Monotonic) -> bool {
        self.lingers() && self.alone_since.after(self.linger()) <= now
    }

    /// Without a launcher there is no bridge to come back.
    const fn linger(&self) -> Duration {
        match self.keeper {
            // Nobody else can tell how it ended.
            Some(_) if self.journal.owes_exit() => LINGER_OWING,
            Some(_) => LINGER,
            None => Duration::ZERO,
        }
    }

    /// What is due by now.
    fn tick(&mut self, now: Monotonic) {
        if self.lease.deadline().is_some_and(|deadline| deadline <= now) {
            let effects = self.lease.tick(now);
            self.apply(effects, now);
        }
        if self.ending_deadline().is_some_and(|deadline| deadline <= now) {
            self.ending_tick(now);
        }
        if self.hung_up_until.is_some_and(|until| until <= now) {
            self.hung_up_until = None;
        }
        if self.accept_again.is_some_and(|again| again <= now) {
            self.accept_again = None;
        }
        if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            let grace = Duration::from_millis(u64::from(self.spec.close_grace_ms));
            self.close("idle_timeout", grace, now);
        }
        self.park_if_whole(now);
        self.parked_tick(now);
        self.look_at_journal(now);
        self.look_at_limits(now);
        for conn in self.conns.values_mut() {
            if conn.deadline().is_some_and(|deadline| deadline <= now) {
                conn.refuse("the handshake took too long".to_owned());
                conn.kill();
            }
        }
        self.flush(now);
    }

    fn flush(&mut self, now: Monotonic) {
        for conn in self.conns.values_mut() {
            conn.flush(&mut self.journal, &mut self.scratch);
        }
        if self.scratch.capacity() > 512 << 10 {
            self.scratch = Vec::new();
        }
        let dead: Vec<u64> = self.conns.iter().filter(|(_, conn)| conn.is_dead()).map(|(id, _)| *id).collect();
        for id in dead {
            self.drop_conn(id, now);
        }
    }

    fn drop_conn(&mut self, id: u64, now: Monotonic) {
        let conn = self.conns.remove(&id);
        if conn.is_some_and(|conn| matches!(conn.role(), Some(Role::Supervisor { .. }))) {
            self.last_supervisor = now;
        }
        let gone: Vec<(Attachment, baton_proto::ClientId)> = self
            .attached
            .iter()
            .filter(|(_, attached)| attached.conn == id)
            .map(|(attachment, attached)| (*attachment, attached.entry.client.clone()))
            .collect();
        for (attachment, client) in gone {
            self.drop_attachment(attachment, &client, false, now);
        }
        self.alone_since = now;
    }

    fn accept(&mut self, now: Monotonic) {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) => {
                    // It stays queued, and the listener readable.
                    exhausted::say("accept", &err);
                    self.accept_again = Some(now.after(exhausted::PAUSE));
                    return;
                }
            };
            let ours = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials)
                .is_ok_and(|peer| peer.uid() == nix::unistd::Uid::current().as_raw());
            let proved = self.conns.values().filter(|conn| conn.role().is_some()).count();
            let full = self.conns.len() - proved >= HANDSHAKES_MAX || proved >= CONNS_MAX;
            let Ok(mut conn) = Conn::new(stream, now) else { continue };
            if !ours {
                conn.refuse("another user's session".to_owned());
            } else if full {
                conn.refuse("too many connections: try again".to_owned());
            } else {
                self.next_conn += 1;
                self.conns.insert(self.next_conn, conn);
            }
        }
    }

    fn read_conn(&mut self, id: u64, now: Monotonic) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.fill();
        let input = conn.take_input();
        let mut used = 0;
        loop {
            // Who has not proved itself gets no room for anything but the handshake.
            let stranger = self.conns.get(&id).is_none_or(|conn| conn.role().is_none());
            if stranger && let Ok(Some(header)) = Header::parse(&input[used..]) {
                let handshake = matches!(header.known_kind(), Some(Kind::Hello | Kind::Proof));
                if !handshake && let Some(conn) = self.conns.get_mut(&id) {
                    conn.refuse(format!("a frame of kind {} came before the handshake was over", header.kind));
                    break;
                }
            }
            match Frame::parse(&input[used..]) {
                Ok(Some(frame)) => {
                    used += frame.total_bytes();
                    self.frame(id, &frame, now);
                    if self.conns.get(&id).is_none_or(Conn::is_dead) {
                        break;
                    }
                }
                Ok(None) => break,
                Err(err) => {
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.refuse(err.to_string());
                    }
                    used = input.len();
                    break;
                }
            }
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.put_back(input, used);
        }
    }

    fn frame(&mut self, id: u64, frame: &Frame<'_>, now: Monotonic) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if let Some(role) = conn.role() {
            self.request(id, role, frame, now);
            return;
        }
        if let Some(role) = conn.handshake(frame, &self.identity, self.generation_seen) {
            tracing::debug!(?role, "a peer has proved itself");
            if let Role::Supervisor { generation } = role {
                self.generation_seen = generation;
                // The newest sessiond is the only one.
                for (other, conn) in &mut self.conns {
                    if *other != id && matches!(conn.role(), Some(Role::Supervisor { .. })) {
                        conn.kill();
                    }
                }
            }
        }
    }

    /// Reads the terminal until it is empty or the window is full, and sends what came. False when nothing came.
    fn read_terminal(&mut self, now: Monotonic) -> bool {
        let Some(terminal) = self.terminal.as_ref() else { return false };
        while !self.window.is_full() {
            let unread = match terminal.unread() {
                Unread::Nothing => break,
                Unread::Bytes(bytes) => Some(bytes),
                Unread::Unknown => None,
            };
            let room = self.window.begin(unread);
            match terminal.read(room) {
                Ok(Some(n)) if n > 0 => self.window.filled(n),
                Ok(_) => {
                    self.window.filled(0);
                    break;
                }
                Err(err) => {
                    tracing::error!(error = %err, "the terminal cannot be read");
                    self.window.filled(0);
                    break;
                }
            }
        }
        if self.window.len() == 0 {
            return false;
        }
        self.last_activity = now;
        self.limits.stir(&self.spec, now);
        self.screens.stir();
        let record = self.window.record();
        let appended = self.journal.append_record(Kind::Output, record);
        let placed = appended.ok().map(|appended| (appended.before, appended.end));
        let end = self.journal.end();
        for conn in self.conns.values_mut() {
            conn.deliver(Kind::Output, record, placed, end);
        }
        self.window.flushed(self.journal.head());
        true
    }

    /// Sends the record appended last to those who are at the head.
    fn deliver_last(&mut self, kind: Kind, appended: io::Result<Appended>) {
        let placed = appended.ok().map(|appended| (appended.before, appended.end));
        let end = self.journal.end();
        for conn in self.conns.values_mut() {
            conn.deliver(kind, self.journal.last_record(), placed, end);
        }
    }

    fn read_keeper(&mut self, now: Monotonic) {
        let Some(keeper) = &self.keeper else { return };
        let mut bytes = [0; LAUNCH_BYTES];
        match baton_sandbox::fds::receive(keeper, &mut bytes) {
            Ok((0, _)) => {
                tracing::warn!("launcher and spare are gone");
                self.lose_keeper();
            }
            Ok((n, fds)) => match LaunchMessage::from_bytes(&bytes[..n]) {
                Some(LaunchMessage { op: Op::ProgramExited, arg, .. }) => {
                    self.program_reaped(i32::try_from(arg).unwrap_or(0), now);
                }
                Some(LaunchMessage { op: Op::Listen, .. }) => self.listen_on(fds, now),
                Some(LaunchMessage { op: Op::Park, .. }) => self.park(now),
                _ => {}
            },
            Err(err) if matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(err) => {
                tracing::warn!(error = %err, "the launcher's channel failed");
                self.lose_keeper();
            }
        }
    }

    /// The socket's file was gone: from now on clients come through another one.
    fn listen_on(&mut self, fds: Vec<OwnedFd>, now: Monotonic) {
        let Some(listener) = fds.into_iter().next().map(UnixListener::from) else { return };
        if let Err(err) = listener.set_nonblocking(true) {
            tracing::error!(error = %err, "a new socket can't be used");
            return;
        }
        // Who waits at the old one found it while it could be found.
        self.accept(now);
        self.listener = listener;
    }

    fn tell_launcher(&mut self, op: Op, pid: u32) {
        if let Err(err) = self.hand_launcher(op, pid, &[], Duration::ZERO) {
            tracing::warn!(error = %err, ?op, "the launcher could not be told");
        }
    }

    /// Gives the launcher what it is to keep.
    fn hand_launcher(&self, op: Op, pid: u32, fds: &[BorrowedFd<'_>], within: Duration) -> io::Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let message = LaunchMessage { pid, ..LaunchMessage::new(op, self.spec.session) };
        baton_sandbox::fds::send_patiently(keeper, &message.to_bytes(), fds, within).map(drop)
    }
}
