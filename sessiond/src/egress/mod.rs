//! `baton-sessiond egress`: the way out for a session that may reach some hosts, and no others.
//!
//! ```text
//!   the program's network                       │  this host's
//!   program ──► 127.0.0.1:3128 (loopback only) ─┼─► this process ──► a host of the list
//! ```
//!
//! The program has a network of its own, in which there is nothing but loopback. The listening socket is made in there, by a
//! child that enters for it, and is held by this process, which is not in there: a socket belongs to the network it was made
//! in, whoever holds it. So nothing of Baton's runs inside, and there is no other way out.
//!
//! There are two of these processes for a session: the one that serves, and a spare that waits for its lock. Killed, the
//! first lets go of it; the second makes a socket of its own at the same port, forks the next spare and goes on. They belong
//! to the program and not to its worker: a worker that dies or is replaced interrupts no download. Each worker starts
//! one, which ends at once where there are two. They end with the program.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`place`] | locks and spare; the socket in the program's network |
//! | [`head`] | what a client asks for, judged: bytes in, a decision out |
//! | [`refused`] | what was refused, on its way to the session's worker |
//! | `relay` | one connection: ask, connect, copy both ways |

pub mod head;
pub mod hostile;
pub mod place;
pub mod refused;
mod relay;

use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::egress::AllowHosts;
use baton_proto::frame::Kind;
use baton_proto::spec::SessionSpec;
use baton_sandbox::fds;
use baton_sandbox::own::Own;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use refused::Teller;

/// Descriptors, as a worker passes them: the pipe for the word that it serves, the session's spec, the program's pidfd.
pub const FD_READY: i32 = 3;
/// See [`FD_READY`].
pub const FD_SPEC: i32 = 4;
/// See [`FD_READY`].
pub const FD_PROGRAM: i32 = 5;

/// Connections of one session at once; two threads each. A browser opens six a host.
const CONNECTIONS_MAX: usize = 128;

/// Serves, or waits to. `directory` is that of the program's instance.
///
/// # Errors
/// What it lacks; a worker that waits for it sees its pipe close without a word.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    let ready = fds::inherited(FD_READY).context("no pipe at descriptor 3")?;
    let spec = fds::inherited(FD_SPEC).context("no session spec at descriptor 4")?;
    let program = fds::inherited(FD_PROGRAM).context("no program at descriptor 5")?;
    let spec: SessionSpec = codec::decode_large(Kind::Spawn, &fds::read_sealed(&spec, SPEC_BYTES_MAX)?)?;
    let allowed = AllowHosts::parse(&spec.allow_hosts).context("the hosts of the session's spec")?;
    let mut ready = Some(ready);
    // Of a signal that closes the session's terminal it is no part; a writer that is gone is an error of the call.
    let Some(_serving) = place::take(directory, &program, &mut ready)? else { return Ok(()) };
    let listener = place::listen(&program).context("listening in the program's network")?;
    let teller = Teller::new(directory);
    if let Some(ready) = ready {
        // Nobody may be waiting any more.
        let _ = nix::unistd::write(&ready, &[1]);
    }
    if allowed.has_names() {
        // What turns names into addresses (nsswitch.conf(5)) loads its parts when they are first asked, and code can't be mapped
        // any more in a moment. No part knows this name (RFC 6761), so each of them is asked.
        let _ = std::net::ToSocketAddrs::to_socket_addrs(&("baton.invalid", 0));
    }
    let _ = Own::egress().confine();
    tracing::info!(session = %spec.session, hosts = spec.allow_hosts.len(), "the session reaches its hosts");
    serve(&listener, &program, &Arc::new((allowed, teller)))
}

fn serve(listener: &TcpListener, program: &OwnedFd, judge: &Arc<(AllowHosts, Teller)>) -> anyhow::Result<()> {
    let active = Arc::new(AtomicUsize::new(0));
    listener.set_nonblocking(true)?;
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
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(err) => {
                // Descriptors or memory run out, or the client left: with others' connections they come back.
                tracing::debug!("a connection could not be accepted: {err}");
                std::thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
        };
        if active.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            active.fetch_sub(1, Ordering::Relaxed);
            relay::full(stream);
            continue;
        }
        let (counted, judge) = (Counted(Arc::clone(&active)), Arc::clone(judge));
        let spawned = relay::thread("egress").spawn(move || {
            relay::serve(stream, &judge.0, &judge.1);
            drop(counted);
        });
        if let Err(err) = spawned {
            tracing::debug!("no thread for a connection: {err}");
        }
    }
}

/// A connection that is counted as long as it lives, whether its thread was made or not.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
