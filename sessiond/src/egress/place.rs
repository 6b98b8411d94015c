//! Who serves, who is the spare, and the socket in the program's network.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use baton_proto::egress::PROXY_PORT;
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{fds, process};
use nix::sched::{CloneFlags, setns};

use crate::worker::pid_of;

/// Locked by who serves. In the directory of the program's instance: another instance has another network.
const SERVING: &str = "egress";
/// Locked by who waits for that.
const SPARE: &str = "egress.spare";

/// The lock of who serves; let go of by the end of the process.
#[derive(Debug)]
pub struct Serving {
    _lock: File,
}

fn open(directory: &Path, name: &str) -> anyhow::Result<File> {
    let path = directory.join(name);
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

/// Waits until this process is the one that serves, with a spare behind it; `None` = there are two, or the program has ended.
///
/// # Errors
/// What the file system says.
pub fn take(directory: &Path, program: &OwnedFd, ready: &mut Option<OwnedFd>) -> anyhow::Result<Option<Serving>> {
    loop {
        let serving = open(directory, SERVING)?;
        let mut elder = true;
        if !try_lock(&serving)? {
            elder = false;
            let spare = open(directory, SPARE)?;
            // Another serves, which is what was wanted; whoever waits for the word need not wait for this process.
            if let Some(ready) = ready.take() {
                let _ = nix::unistd::write(&ready, &[1]);
            }
            if !try_lock(&spare)? {
                return Ok(None);
            }
            serving.lock().context("waiting for the one that serves to end")?;
        }
        if process::has_ended(program)? {
            return Ok(None);
        }
        if !elder {
            tracing::warn!("the one that served is gone; its spare goes on");
        }
        // Only now, with the spare's lock let go of. Each lock is that of an open file, which a fork would share.
        match fork_twin()? {
            Twin::Elder(_) => return Ok(Some(Serving { _lock: serving })),
            Twin::Younger => drop((serving, ready.take())),
        }
    }
}

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
    fds::send(out, &[1], &[listener.as_fd()]).context("handing it out")?;
    Ok(())
}

fn receive(from: &OwnedFd) -> anyhow::Result<OwnedFd> {
    let (_, mut received) = fds::receive(from, &mut [0])?;
    received.pop().context("no socket came")
}
