//! What serves a session's program from outside, and who sees to it that there is always one.
//!
//! ```text
//!   tender ──┬─► server   takes connections, confined, as long as its tender lives
//!            └─► spare    waits for the tender's lock; then it is the tender
//! ```
//!
//! The tender made the socket, and both of its children have it too: whoever of the three is killed, new connections find an
//! open socket and wait a moment at worst. What a killed server had is cut; one whose tender is gone takes no more, and
//! ends with the last that it has. The three belong to the program and not to its worker, and end with the program. Each worker
//! starts one, which ends at once where somebody tends already.
//!
//! | lock, in the directory of the program's instance | held by |
//! | --- | --- |
//! | `ROLE` | the tender |
//! | `ROLE.spare` | the spare |
//! | `ROLE.server` | servers, together: one whose tender is gone may last a moment longer than that |

use std::fs::{File, OpenOptions, TryLockError};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::frame::Kind;
use baton_proto::spec::SessionSpec;
use baton_sandbox::exec::{Child, Twin, fork_twin};
use baton_sandbox::{fds, process};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Descriptors, as a worker passes them: the pipe for the word that it serves, the session's spec, the program's pidfd.
pub const FD_READY: i32 = 3;
/// See [`FD_READY`].
pub const FD_SPEC: i32 = 4;
/// See [`FD_READY`].
pub const FD_PROGRAM: i32 = 5;

/// A child that lived for less than this has its successor only after it: what ends it may go on to.
const LIVED: Duration = Duration::from_secs(1);

/// What such a process is given.
#[derive(Debug)]
pub struct Given {
    /// Where it says that there is a socket; `None` = somebody has said so.
    pub ready: Option<OwnedFd>,
    /// The session's spec.
    pub spec: SessionSpec,
    /// The program.
    pub program: OwnedFd,
}

impl Given {
    /// Takes the descriptors that a worker passed.
    ///
    /// # Errors
    /// What is missing.
    pub fn inherited() -> anyhow::Result<Self> {
        let ready = fds::inherited(FD_READY).context("no pipe at descriptor 3")?;
        let spec = fds::inherited(FD_SPEC).context("no session spec at descriptor 4")?;
        let program = fds::inherited(FD_PROGRAM).context("no program at descriptor 5")?;
        let spec = codec::decode_large(Kind::Spawn, &fds::read_sealed(&spec, SPEC_BYTES_MAX)?)?;
        Ok(Self { ready: Some(ready), spec, program })
    }

    fn say_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Nobody may be waiting any more.
            let _ = nix::unistd::write(&ready, &[1]);
        }
    }
}

/// The connections that a server has, each on threads of its own.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    open: Arc<()>,
    held: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

/// A connection that is counted as long as this lives, whether it has its threads or not.
#[derive(Debug)]
pub struct Connection {
    _open: Arc<()>,
    _held: mpsc::Sender<()>,
}

impl Connections {
    /// None yet, and never more than `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (held, ended) = mpsc::channel();
        Self { most, open: Arc::new(()), held, ended }
    }

    /// One more; `None` = it is one too many.
    #[must_use]
    pub fn one_more(&self) -> Option<Connection> {
        let open = Arc::clone(&self.open);
        (Arc::strong_count(&open) <= self.most + 1).then(|| Connection { _open: open, _held: self.held.clone() })
    }

    /// Waits for the last.
    fn end(self) {
        drop(self.held);
        // Nothing is ever sent: this is the end of the last sender.
        let _ = self.ended.recv();
    }
}

/// What a server has to end with.
#[derive(Debug)]
pub struct Until<'a> {
    program: &'a OwnedFd,
    /// Closed at the other end by the end of the tender.
    tether: OwnedFd,
}

impl Until<'_> {
    /// Waits until this descriptor can be read; false = no more connections.
    ///
    /// # Errors
    /// What `poll` said.
    pub fn readable(&self, fd: impl std::os::fd::AsFd) -> nix::Result<bool> {
        loop {
            let mut waiting = [
                PollFd::new(fd.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.program.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.tether.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(err) => return Err(err),
                Ok(_) => return Ok(!waiting[1..].iter().any(|it| it.any().unwrap_or(true))),
            }
        }
    }
}

/// What this process is after a fork.
enum Part {
    Server(OwnedFd),
    Spare,
    /// The tender of a program that has ended.
    Over,
}

/// Has `serve` run in a process of its own, with the socket that `listen` made, as long as the program runs; its connections may
/// go on after it. Returns in each of the processes when it is to end.
///
/// # Errors
/// What the file system says, or `listen` or `serve`; a worker that waits for the word sees its pipe close.
pub fn tend<L>(
    mut given: Given,
    directory: &Path,
    role: &str,
    listen: impl Fn(&Given) -> anyhow::Result<L>,
    serve: impl Fn(&Given, &L, &Until<'_>) -> anyhow::Result<Connections>,
) -> anyhow::Result<()> {
    let Some(mut lock) = first(&mut given, directory, role)? else { return Ok(()) };
    if process::has_ended(&given.program)? {
        return Ok(());
    }
    let listener = listen(&given)?;
    given.say_ready();
    loop {
        match tended(&given.program, role) {
            Part::Over => return Ok(()),
            Part::Server(tether) => {
                drop(lock);
                let server = open(directory, role, ".server")?;
                server.lock_shared().context("the server's lock")?;
                let connections = serve(&given, &listener, &Until { program: &given.program, tether })?;
                // Whoever has to make the socket anew finds nobody on it.
                drop((listener, server));
                connections.end();
                return Ok(());
            }
            Part::Spare => {
                // For a moment a new one may look whether there is a spare.
                let spare = open(directory, role, ".spare")?;
                spare.lock().context("the spare's lock")?;
                drop(lock);
                lock = open(directory, role, "")?;
                lock.lock().context("waiting for the tender to end")?;
                if process::has_ended(&given.program)? {
                    return Ok(());
                }
                tracing::warn!(role, "the tender is gone; its spare goes on");
            }
        }
    }
}

/// The tender's lock, if there is neither a tender nor a spare.
fn first(given: &mut Given, directory: &Path, role: &str) -> anyhow::Result<Option<File>> {
    let (spare, lock) = (open(directory, role, ".spare")?, open(directory, role, "")?);
    // In this order: a spare lets go of its own lock once it has the tender's.
    if !try_lock(&spare)? || !try_lock(&lock)? {
        given.say_ready();
        return Ok(None);
    }
    // A server without a tender is about to end, and its socket with it.
    open(directory, role, ".server")?.lock().context("waiting for servers to end")?;
    Ok(Some(lock))
}

/// A child and when it was made.
struct Kept {
    child: Child,
    since: Instant,
}

/// Sees to a server and a spare. Returns in them, and when the program has ended.
fn tended(program: &OwnedFd, role: &str) -> Part {
    // The tether's end is held by nobody else: what a spare has of it goes with its return.
    let (mut server, mut spare): (Option<(Kept, OwnedFd)>, Option<Kept>) = (None, None);
    let mut not_before = Instant::now();
    loop {
        if Instant::now() >= not_before {
            not_before = Instant::now();
            if server.is_none() {
                match beget() {
                    Ok((Twin::Younger, ours, _)) => return Part::Server(ours),
                    Ok((Twin::Elder(child), _, theirs)) => {
                        server = Some((Kept { child, since: Instant::now() }, theirs));
                    }
                    Err(err) => {
                        tracing::warn!(role, "no process for a server: {err:#}");
                        not_before += LIVED;
                    }
                }
            }
            if spare.is_none() {
                match fork_twin() {
                    Ok(Twin::Younger) => return Part::Spare,
                    Ok(Twin::Elder(child)) => spare = Some(Kept { child, since: Instant::now() }),
                    Err(err) => {
                        tracing::warn!(role, "no process for a spare: {err:#}");
                        not_before += LIVED;
                    }
                }
            }
        }
        let children = [server.as_ref().map(|(kept, _)| kept), spare.as_ref()];
        let missing = children.iter().any(Option::is_none);
        let mut waiting = vec![PollFd::new(program.as_fd(), PollFlags::POLLIN)];
        waiting.extend(children.into_iter().flatten().map(|it| PollFd::new(it.child.pidfd.as_fd(), PollFlags::POLLIN)));
        let pause = missing.then(|| not_before.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let timeout = pause.map_or(PollTimeout::NONE, |it| PollTimeout::try_from(it).unwrap_or(PollTimeout::MAX));
        match poll(&mut waiting, timeout) {
            Err(Errno::EINTR) => continue,
            Err(err) => {
                tracing::error!(role, "waiting: {err}");
                return Part::Over;
            }
            Ok(_) => {}
        }
        if waiting[0].any().unwrap_or(true) {
            return Part::Over;
        }
        let gone = |kept: &Kept| process::try_reap(&kept.child.pidfd) != Ok(None);
        let after = |since: Instant| if since.elapsed() < LIVED { since + LIVED } else { since };
        if let Some((kept, _)) = server.take_if(|(kept, _)| gone(kept)) {
            tracing::warn!(role, "the server is gone; there will be another");
            not_before = not_before.max(after(kept.since));
        }
        if let Some(kept) = spare.take_if(|kept| gone(kept)) {
            tracing::warn!(role, "the spare is gone; there will be another");
            not_before = not_before.max(after(kept.since));
        }
    }
}

/// A fork, and a pipe: the younger's end of it is closed by the end of the elder.
fn beget() -> anyhow::Result<(Twin, OwnedFd, OwnedFd)> {
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((fork_twin()?, ours, theirs))
}

fn open(directory: &Path, role: &str, which: &str) -> anyhow::Result<File> {
    let path = directory.join(format!("{role}{which}"));
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    file.with_context(|| format!("opening `{}`", path.display()))
}

fn try_lock(file: &File) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(err)) => Err(err).context("locking"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_not_counted_for_ever_and_the_last_is_waited_for() {
        let connections = Connections::new(2);
        let two = [connections.one_more().unwrap(), connections.one_more().unwrap()];
        assert!(connections.one_more().is_none() && connections.one_more().is_none());
        let [one, other] = two;
        drop(one);
        assert!(connections.one_more().is_some());
        let (over, is_over) = mpsc::channel();
        let waiting = std::thread::spawn(move || {
            connections.end();
            over.send(()).unwrap();
        });
        assert!(is_over.recv_timeout(Duration::from_millis(50)).is_err(), "one is open");
        drop(other);
        is_over.recv().unwrap();
        waiting.join().unwrap();
    }
}
