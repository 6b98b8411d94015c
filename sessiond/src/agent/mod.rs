//! `baton-sessiond agent`: lets a confined session use the keys of the person's ssh agent, and do nothing else with it.
//!
//! ```text
//!   the program's view                       │  this host's
//!   SSH_AUTH_SOCK=/tmp/baton-ssh-agent/socket ┼─► this process ──► the person's agent
//!                                             │   lists, signs
//! ```
//!
//! The socket lies in a directory of the session's instance, which the program finds at a place of its own, read-only. So it is
//! made anew from outside at any time, and never by way of anything the program could have changed. A private key does not come
//! this way: the protocol has no message for it.
//!
//! The agent is connected to for each connection of the session: one that is started again at the same path is found. As for
//! the way out of a session there are two of these processes (`pair`): the one that serves, and a spare.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`message`] | the protocol, as far as it is known here: bytes in, what they are out |
//! | `relay` | one connection: read, judge, pass on, judge the answer |
//! | `told` | what is said of it |

pub mod hostile;
pub mod message;
mod relay;
mod told;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use baton_proto::home;
use baton_sandbox::own::Own;
use baton_sandbox::{fds, profile};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::pair::Given;
use told::Told;

/// Its name as an argument and as a lock.
pub const ROLE: &str = "agent";

/// Its socket's directory, below that of the instance.
const DIRECTORY: &str = "agent.socket";

/// Connections of one session at once; a thread each.
const CONNECTIONS_MAX: usize = 32;

/// A thread's stack: messages live on the heap.
const STACK_BYTES: usize = 256 << 10;

/// Where the socket of an instance lies.
#[must_use]
pub fn directory(instance: &Path) -> PathBuf {
    instance.join(DIRECTORY)
}

/// Makes the directory of an instance's socket; it may be there.
///
/// # Errors
/// What the file system says.
pub fn make_directory(instance: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory(instance))
}

/// Serves, or waits to. `instance` is the directory of the program's instance.
///
/// # Errors
/// What it lacks; a worker that waits for it sees its pipe close without a word.
pub fn run(instance: &Path) -> anyhow::Result<()> {
    let mut given = Given::inherited()?;
    let agent = given.spec.ssh_agent.clone().map(PathBuf::from).context("the session has no ssh agent")?;
    let Some(_serving) = given.take(instance, ROLE)? else { return Ok(()) };
    let listener = listen(&directory(instance)).context("listening for the session")?;
    given.say_ready();
    let _ = Own::agent(around(&agent)).confine();
    tracing::info!(session = %given.spec.session, agent = %agent.display(), "the session may use the person's ssh agent");
    serve(&listener, &given.program, &agent, &Arc::new(Told::new(given.spec.session.to_string())))
}

/// The directories in which the agent's socket is to be found, now and when it is made again: of a link, both.
fn around(agent: &Path) -> Vec<PathBuf> {
    let resolved = agent.canonicalize().ok();
    let parents = [Some(agent), resolved.as_deref()].into_iter().flatten().filter_map(Path::parent);
    parents.map(Path::to_owned).collect()
}

/// Makes the socket, in the place of the one of who served before. Who serves holds the lock.
fn listen(directory: &Path) -> anyhow::Result<UnixListener> {
    const NEXT: &str = "next";
    let next = directory.join(NEXT);
    match fs::remove_file(&next) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            return Err(err).context("removing one that was half made");
        }
        _ => {}
    }
    // The path may be longer than an address has room for.
    let opened = fds::open_dir(directory)?;
    let listener = UnixListener::bind(home::through(opened.as_raw_fd(), NEXT)).context("binding")?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600))?;
    fs::rename(&next, directory.join(profile::SSH_AGENT_SOCKET)).context("putting it in its place")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn serve(listener: &UnixListener, program: &OwnedFd, agent: &Path, told: &Arc<Told>) -> anyhow::Result<()> {
    let active = Arc::new(AtomicUsize::new(0));
    loop {
        let mut waiting =
            [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(program.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            other => other.context("waiting for connections")?,
        };
        if waiting[1].any().unwrap_or(true) {
            return Ok(());
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => continue,
            Err(err) => {
                // Descriptors or memory run out, or the client left: with others' connections they come back.
                tracing::debug!("a connection could not be accepted: {err}");
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        // One too many is closed: the protocol has no word for it before a question.
        let Some(counted) = Counted::one_of(&active, CONNECTIONS_MAX) else { continue };
        let (agent, told) = (agent.to_owned(), Arc::clone(told));
        let thread = std::thread::Builder::new().name(ROLE.to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            relay::serve(&stream, &agent, &told);
            drop((stream, counted));
        });
        if let Err(err) = spawned {
            tracing::debug!("no thread for a connection: {err}");
        }
    }
}

/// A connection that is counted as long as it lives, whether its thread was made or not.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_of(active: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let counted = Self(Arc::clone(active));
        (active.fetch_add(1, Ordering::Relaxed) < most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_too_many_is_not_counted_for_ever() {
        let active = Arc::new(AtomicUsize::new(0));
        let two = [Counted::one_of(&active, 2).unwrap(), Counted::one_of(&active, 2).unwrap()];
        assert!(Counted::one_of(&active, 2).is_none());
        drop(two);
        assert!(Counted::one_of(&active, 2).is_some());
    }

    #[test]
    fn a_socket_takes_the_place_of_the_one_before() {
        let instance = tempfile::tempdir().unwrap();
        make_directory(instance.path()).unwrap();
        let directory = directory(instance.path());
        fs::write(directory.join("next"), "half").unwrap();
        let path = directory.join(profile::SSH_AGENT_SOCKET);
        for _ in 0..2 {
            let listener = listen(&directory).unwrap();
            let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
            assert!(listener.accept().is_ok());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
