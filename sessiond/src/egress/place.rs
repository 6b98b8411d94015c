//! The socket in the program's network.

use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::Context as _;
use baton_proto::egress::PROXY_PORT;
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{fds, process};
use nix::sched::{CloneFlags, setns};

use crate::worker::pid_of;

/// How long the socket is tried to be handed out.
const HAND_WITHIN: Duration = Duration::from_secs(4);

/// Makes the listening socket in the program's network.
///
/// # Errors
/// The program is gone, or has no network of its own; or what the kernel says.
pub fn listen(program: &OwnedFd) -> anyhow::Result<TcpListener> {
    let pid = pid_of(program).context("the program is gone")?;
    let namespace = |whose: &str, kind: &str| {
        std::fs::metadata(format!("/proc/{whose}/ns/{kind}")).map(|it| it.ino()).context("looking at namespaces")
    };
    let whose = pid.to_string();
    anyhow::ensure!(namespace(&whose, "net")? != namespace("self", "net")?, "the program has no network of its own");
    let own_users = namespace(&whose, "user")? != namespace("self", "user")?;
    let (ours, theirs) = fds::seqpacket_pair()?;
    // A process that has entered a network of another owner's can't come back: a child enters, and hands the socket out.
    match fork_twin()? {
        Twin::Younger => {
            let code = match enter_and_listen(program, own_users, &theirs) {
                Ok(()) => 0,
                Err(err) => {
                    tracing::error!("no socket in the program's network: {err:#}");
                    1
                }
            };
            std::process::exit(code);
        }
        Twin::Elder(child) => {
            drop(theirs);
            let received = receive(&ours);
            process::reap(&child.pidfd);
            Ok(TcpListener::from(received?))
        }
    }
}

fn enter_and_listen(program: &OwnedFd, own_users: bool, out: &OwnedFd) -> anyhow::Result<()> {
    let users = if own_users { CloneFlags::CLONE_NEWUSER } else { CloneFlags::empty() };
    setns(program.as_fd(), users | CloneFlags::CLONE_NEWNET).context("entering")?;
    let listener = TcpListener::bind(("127.0.0.1", PROXY_PORT)).context("binding")?;
    fds::send_patiently(out, &[1], &[listener.as_fd()], HAND_WITHIN).context("handing it out")?;
    Ok(())
}

fn receive(from: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let (_, mut received) = fds::receive(from, &mut [0])?;
    received.pop().context("no socket came")
}
