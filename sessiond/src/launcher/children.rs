//! How the launcher's children are started: which program, which descriptors under which numbers, which log.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use baton_proto::home::Home;
use baton_sandbox::exec::duplicate;
use baton_sandbox::{Child, Gate, Launch, fds};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::activation::VARIABLES;
use super::core::{Kept, Mode, Running, Service};
use super::setup::Sockets;

/// Variable that tells a worker the descriptor limit its program is to have; the worker removes it.
pub const NOFILE_SOFT: &str = "BATON_NOFILE_SOFT";

/// What every child is started with.
#[derive(Debug)]
pub struct Nursery {
    programs: PathBuf,
    logs: PathBuf,
    nofile_soft: u64,
    /// Whose closing tells the bridge that launcher and spare are both gone: read end, write end.
    life_line: (OwnedFd, OwnedFd),
}

/// A child that waits at its gate.
#[derive(Debug)]
pub struct Born {
    /// What the launcher keeps of it.
    pub running: Running<OwnedFd>,
    /// Lets it go on.
    pub gate: Gate,
}

impl Nursery {
    /// Prepares; raises the soft limit of open files to the hard one.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new(home: &Home) -> anyhow::Result<Self> {
        let programs = std::env::current_exe().context("could not find the running program's path")?;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("could not read the limit of open files")?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("could not raise the limit of open files")?;
        let life_line = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("could not make a pipe")?;
        Ok(Self {
            // Resolved once: after an upgrade replaced the file, its siblings are the new version.
            programs: programs.parent().map(Path::to_owned).unwrap_or_default(),
            logs: home.logs_dir(),
            nofile_soft: soft,
            life_line,
        })
    }

    /// How many sessions' handles fit under the descriptor limit: seven each, and a few hundred for the launcher.
    #[must_use]
    pub fn sessions_max(&self) -> usize {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        usize::try_from(hard.saturating_sub(256) / 7).unwrap_or(usize::MAX)
    }

    /// Starts sessiond or the bridge, up to its gate.
    ///
    /// # Errors
    /// What failed.
    pub fn service(&self, service: Service, sockets: &Sockets) -> anyhow::Result<Born> {
        match service {
            Service::Supervisor => {
                let (ours, theirs) = fds::seqpacket_pair().context("could not make a channel")?;
                fds::set_nonblocking(&ours)?;
                let passed = vec![(theirs, 3), (duplicate(&sockets.supervisor.listener)?, 4)];
                self.start("baton-sessiond", &["supervisor"], passed, "sessiond.log", Some(ours))
            }
            Service::Bridge => {
                let passed = vec![
                    (duplicate(&sockets.tcp)?, 3),
                    (duplicate(&sockets.bridge.listener)?, 4),
                    (duplicate(&self.life_line.0)?, 5),
                ];
                self.start("baton-bridge", &[], passed, "bridge.log", None)
            }
        }
    }

    /// Starts a worker, up to its gate.
    ///
    /// # Errors
    /// What failed.
    pub fn worker(&self, kept: &Kept<OwnedFd>, mode: Mode) -> anyhow::Result<Born> {
        let (ours, theirs) = fds::seqpacket_pair().context("could not make a channel")?;
        fds::set_nonblocking(&ours)?;
        let mut passed = vec![(theirs, 3), (duplicate(&kept.spec)?, 4)];
        let args: &[&str] = match mode {
            Mode::Fresh => &["worker"],
            Mode::Replay => &["worker", "--replay"],
            Mode::TakeOver => {
                let program = kept.program.as_ref().map(|program| &program.pidfd);
                let handles = [kept.listener.as_ref(), kept.window.as_ref(), kept.master.as_ref(), program];
                for (handle, number) in handles.into_iter().zip(5..) {
                    if let Some(handle) = handle {
                        passed.push((duplicate(handle.as_fd())?, number));
                    }
                }
                &["worker", "--take-over"]
            }
        };
        self.start("baton-sessiond", args, passed, "workers.log", Some(ours))
    }

    fn start(
        &self,
        program: &str,
        args: &[&str],
        mut passed: Vec<(OwnedFd, i32)>,
        log: &str,
        channel: Option<OwnedFd>,
    ) -> anyhow::Result<Born> {
        let path = self.logs.join(log);
        match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(log) => passed.push((log.into(), 2)),
            // A shell without a log is better than none.
            Err(err) => tracing::warn!("could not open `{}`: {err}", path.display()),
        }
        let mut launch = Launch::new(self.programs.join(program));
        launch.args = args.iter().map(OsString::from).collect();
        let ours = |name: &OsStr| name == NOFILE_SOFT || VARIABLES.iter().any(|variable| name == *variable);
        launch.env = std::env::vars_os().filter(|(name, _)| !ours(name)).collect();
        if args.first() == Some(&"worker") {
            launch.env.push((NOFILE_SOFT.into(), self.nofile_soft.to_string().into()));
        }
        // Workers keep the way to `sudo` open for a person's shell; sessiond and bridge need no more than they have.
        launch.no_new_privs = args.first() != Some(&"worker");
        launch.cwd = Some("/".into());
        launch.fds = passed;
        let (Child { pid, pidfd }, gate) = launch.spawn_gated()?;
        let pid = u32::try_from(pid.as_raw()).context("a process without a number")?;
        Ok(Born { running: Running { pid, pidfd, channel }, gate })
    }
}
