//! Two processes beside a session's program: the one that serves it, and a spare that waits for its lock.
//!
//! Killed, the first lets go of it; the second forks the next spare and goes on. They belong to the program and not to its
//! worker, and end with the program. Each worker starts one, which ends at once where there are two.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::frame::Kind;
use baton_proto::spec::SessionSpec;
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{fds, process};

/// Descriptors, as a worker passes them: the pipe for the word that it serves, the session's spec, the program's pidfd.
pub const FD_READY: i32 = 3;
/// See [`FD_READY`].
pub const FD_SPEC: i32 = 4;
/// See [`FD_READY`].
pub const FD_PROGRAM: i32 = 5;

/// What such a process is given.
#[derive(Debug)]
pub struct Given {
    /// Where it says that there is one that serves; `None` = somebody has said so.
    pub ready: Option<OwnedFd>,
    /// The session's spec.
    pub spec: SessionSpec,
    /// The program.
    pub program: OwnedFd,
}

/// The lock of who serves; let go of by the end of the process.
#[derive(Debug)]
pub struct Serving {
    _lock: File,
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

    /// Says that there is one that serves.
    pub fn say_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Nobody may be waiting any more.
            let _ = nix::unistd::write(&ready, &[1]);
        }
    }

    /// Waits until this process is the one that serves in this role, with a spare behind it; `None` = there are two, or the
    /// program has ended. The locks `ROLE` and `ROLE.spare` are in the directory of the program's instance: another instance is
    /// served by others.
    ///
    /// # Errors
    /// What the file system says.
    pub fn take(&mut self, directory: &Path, role: &str) -> anyhow::Result<Option<Serving>> {
        loop {
            let serving = open(directory, role)?;
            let mut elder = true;
            if !try_lock(&serving)? {
                elder = false;
                let spare = open(directory, &format!("{role}.spare"))?;
                // Another serves, which is what was wanted; whoever waits for the word need not wait for this process.
                self.say_ready();
                if !try_lock(&spare)? {
                    return Ok(None);
                }
                serving.lock().context("waiting for the one that serves to end")?;
            }
            if process::has_ended(&self.program)? {
                return Ok(None);
            }
            if !elder {
                tracing::warn!(role, "the one that served is gone; its spare goes on");
            }
            // Only now, with the spare's lock let go of. Each lock is that of an open file, which a fork would share.
            match fork_twin()? {
                Twin::Elder(_) => return Ok(Some(Serving { _lock: serving })),
                Twin::Younger => drop((serving, self.ready.take())),
            }
        }
    }
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
