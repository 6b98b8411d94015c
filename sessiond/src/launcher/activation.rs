//! The service manager: sockets it listened on before the launcher was there, and what it is told of the launcher.
//!
//! Both are systemd's, and any manager's that speaks the same: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` name
//! descriptors from 3 on (`sd_listen_fds`(3)); datagrams to `NOTIFY_SOCKET` say who serves (`sd_notify`(3)). Without these
//! variables nothing here does anything. Nobody below the launcher sees them.
//!
//! ```text
//! everything listens                      READY=1, MAINPID
//! the launcher was killed                 the spare says MAINPID: it is the launcher now
//! the manager was faster, and starts      the newcomer finds the lock held, says whose MAINPID that is, and ends
//! another launcher meanwhile
//! an orderly end begins                   STOPPING=1
//! ```

use std::env;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};

use anyhow::Context as _;
use baton_sandbox::fds;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, getsockopt, sendmsg, sockopt};
use std::os::fd::AsFd as _;

/// Variables by which a service manager speaks to one process: nobody else may take them for theirs.
pub const VARIABLES: [&str; 6] =
    ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", NOTIFY, "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Where the manager hears what the launcher says.
pub const NOTIFY: &str = "NOTIFY_SOCKET";

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// More sockets than any unit of ours names.
const SOCKETS_MAX: RawFd = 16;
/// How long the manager may take to read what was said last.
const BARRIER_MS: u16 = 2000;

/// The numbers of the descriptors that were passed to this process.
///
/// # Errors
/// When the variables say what cannot be: then the descriptors are somebody else's business too.
pub fn passed() -> anyhow::Result<Vec<RawFd>> {
    let var = |name| env::var(name).ok();
    let count = count(var("LISTEN_PID").as_deref(), var("LISTEN_FDS").as_deref(), std::process::id())?;
    Ok((FIRST..FIRST + count).collect())
}

fn count(pid: Option<&str>, count: Option<&str>, own: u32) -> anyhow::Result<RawFd> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(0) };
    // A parent's, which were inherited by mistake.
    if pid.parse() != Ok(own) {
        return Ok(0);
    }
    let count = count.parse().ok().filter(|count| (0..=SOCKETS_MAX).contains(count));
    count.with_context(|| format!("`LISTEN_FDS` is a number of sockets, at most {SOCKETS_MAX}"))
}

/// The socket for the bridge among those that were passed, and its address.
///
/// # Errors
/// When one of them does not listen for TCP, or there is more than one: nothing is served on a socket that was meant for
/// something else.
pub fn listener(passed: &[RawFd]) -> anyhow::Result<Option<(OwnedFd, SocketAddr)>> {
    let mut found = None;
    for number in passed {
        let socket = fds::inherited(*number).with_context(|| format!("the socket at descriptor {number}"))?;
        let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
        let listener = TcpListener::from(socket);
        match listener.local_addr() {
            Ok(address) if listens && found.is_none() => found = Some((listener.into(), address)),
            _ => anyhow::bail!(
                "the service manager passed a socket that is not wanted (descriptor {number}): the launcher takes one, \
                 which listens for TCP (`ListenStream=127.0.0.1:7420`)"
            ),
        }
    }
    Ok(found)
}

/// Everything listens.
pub fn ready() {
    tell(&format!("READY=1\nMAINPID={}\nSTATUS=serving", std::process::id()));
}

/// This process is the launcher from now on.
pub fn took_over() {
    tell(&format!("MAINPID={}\nSTATUS=serving; took over from the launcher before", std::process::id()));
}

/// The orderly end begins.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=stopping; programs run on");
}

/// Another process is the launcher already: the manager is to watch that one. Returns once it was read, so that this
/// process may end.
pub fn is_served_by(pid: u32) {
    tell(&format!("READY=1\nMAINPID={pid}\nSTATUS=serving"));
    if let Err(err) = barrier() {
        tracing::warn!("the service manager may not have heard who serves: {err}");
    }
}

fn tell(words: &str) {
    match manager() {
        None => {}
        Some(Ok(socket)) => {
            if let Err(err) = socket.send(words.as_bytes()) {
                // It goes on without: the manager finds out by its own means.
                tracing::warn!("the service manager was not told: {err}");
            }
        }
        Some(Err(err)) => tracing::warn!("the service manager cannot be told: {err}"),
    }
}

/// A socket to the manager, if there is one.
fn manager() -> Option<io::Result<UnixDatagram>> {
    let name = env::var_os(NOTIFY).filter(|name| !name.is_empty())?;
    let connected = || {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => UnixAddr::from_abstract_name(name)?,
            [b'/', ..] => UnixAddr::from_pathname(&name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "`NOTIFY_SOCKET` is no socket's name")),
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not stop the launcher.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(socket)
    };
    Some(connected())
}

/// Waits until the manager has read everything sent so far: it closes what comes with `BARRIER=1` then.
fn barrier() -> io::Result<()> {
    let Some(socket) = manager() else { return Ok(()) };
    let socket = socket?;
    let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let passed = [theirs.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&passed)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"BARRIER=1")], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    drop(theirs);
    let mut fds = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, BARRIER_MS)? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_was_passed_to_this_process_counts() {
        assert_eq!(count(Some("7"), Some("2"), 7).unwrap(), 2);
        for (pid, fds) in
            [(None, None), (Some("7"), None), (None, Some("2")), (Some("8"), Some("2")), (Some(""), Some("2"))]
        {
            assert_eq!(count(pid, fds, 7).unwrap(), 0, "{pid:?} {fds:?}");
        }
        for bad in ["", "-1", "17", "2147483647", "x"] {
            assert!(count(Some("7"), Some(bad), 7).is_err(), "{bad:?}");
        }
    }
}
