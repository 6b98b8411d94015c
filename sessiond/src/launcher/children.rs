//! How the launcher's children are started: which program, which descriptors under which numbers, which log.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use baton_proto::home::Home;
use baton_proto::spec::Profile;
use baton_sandbox::exec::duplicate;
use baton_sandbox::{Child, Gate, Launch, fds};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::activation::{NOTIFY, VARIABLES};
use super::core::{Kept, Mode, Running, Service};
use super::setup::Sockets;

/// Variable that tells a worker the descriptor limit its program is to have; the worker removes it.
pub const NOFILE_SOFT: &str = "BATON_NOFILE_SOFT";

/// The program of launcher, sessiond and workers.
const SESSIOND: &str = "baton-sessiond";
/// The program of the bridge.
const BRIDGE: &str = "baton-bridge";
/// Where whoever starts a launcher lets it write.
pub(super) const LAUNCHER_LOG: &str = "launcher.log";

/// What every child is started with.
#[derive(Debug)]
pub struct Nursery {
    programs: PathBuf,
    logs: PathBuf,
    nofile_soft: u64,
    /// The program of the bridge that served last: an installed one that does not serve falls back to it.
    proved_bridge: Option<OwnedFd>,
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
    /// Prepares; raises the soft limit of open files to the hard one. `nofile_soft` is the one sessions are to have, if
    /// it was raised before.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn new(home: &Home, nofile_soft: Option<u64>) -> anyhow::Result<Self> {
        let programs = std::env::current_exe().context("could not find the running program's path")?;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("could not read the limit of open files")?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("could not raise the limit of open files")?;
        Ok(Self {
            // Resolved once: after an upgrade replaced the file, its siblings are the new version.
            programs: programs.parent().map(Path::to_owned).unwrap_or_default(),
            logs: home.logs_dir(),
            nofile_soft: nofile_soft.unwrap_or(soft),
            proved_bridge: None,
        })
    }

    /// How many sessions' handles fit under the descriptor limit: seven each, and a few hundred for the launcher.
    #[must_use]
    pub fn sessions_max(&self) -> usize {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        usize::try_from(hard.saturating_sub(256) / 7).unwrap_or(usize::MAX)
    }

    /// Keeps the program that this process runs, which serves.
    pub fn keep_proved(&mut self, service: Service, pid: u32) {
        if service == Service::Bridge {
            // Of a process that is gone by now there is another that served.
            match File::open(format!("/proc/{pid}/exe")) {
                Ok(program) => self.proved_bridge = Some(program.into()),
                Err(err) => tracing::debug!(pid, "the program of the bridge is not kept: {err}"),
            }
        }
    }

    /// The installed program, or the one that is known to work. For all but the bridge that is this process's own, however
    /// its file was replaced or removed since it started.
    fn program(&self, name: &str, fall_back: bool) -> PathBuf {
        match (fall_back, name, &self.proved_bridge) {
            // Seen from the child, whose own descriptors are closed by then.
            (true, BRIDGE, Some(program)) => format!("/proc/{}/fd/{}", std::process::id(), program.as_raw_fd()).into(),
            (true, SESSIOND, _) => "/proc/self/exe".into(),
            _ => self.programs.join(name),
        }
    }

    /// Starts sessiond or the bridge, up to its gate; from the program that worked if this `falls_back`.
    ///
    /// # Errors
    /// What failed.
    pub fn service(&self, service: Service, sockets: &Sockets, falls_back: bool) -> anyhow::Result<Born> {
        match service {
            Service::Supervisor => {
                let (ours, theirs) = fds::seqpacket_pair().context("could not make a channel")?;
                fds::set_nonblocking(&ours)?;
                let passed = vec![(theirs, 3), (duplicate(&sockets.supervisor.listener)?, 4)];
                self.start(self.program(SESSIOND, falls_back), &["supervisor"], passed, "sessiond.log", Some(ours))
            }
            Service::Bridge => {
                // Its end tells the bridge that launcher and spare are both gone.
                let (ours, theirs) = fds::seqpacket_pair().context("could not make a channel")?;
                fds::set_nonblocking(&ours)?;
                let passed =
                    vec![(duplicate(&sockets.tcp)?, 3), (duplicate(&sockets.bridge.listener)?, 4), (theirs, 5)];
                self.start(self.program(BRIDGE, falls_back), &[], passed, "bridge.log", Some(ours))
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
            Mode::Fresh => match kept.profile {
                Profile::Host => &["worker", "--profile", "host"],
                Profile::Workspace => &["worker", "--profile", "workspace"],
                Profile::Locked => &["worker", "--profile", "locked"],
            },
            Mode::Replay => &["worker", "--replay"],
            Mode::TakeOver | Mode::Succeed => {
                let program = kept.program.as_ref().map(|program| &program.pidfd);
                let handles = [kept.listener.as_ref(), kept.window.as_ref(), kept.master.as_ref(), program];
                for (handle, number) in handles.into_iter().zip(5..) {
                    if let Some(handle) = handle {
                        passed.push((duplicate(handle.as_fd())?, number));
                    }
                }
                if mode == Mode::TakeOver { &["worker", "--take-over"] } else { &["worker", "--succeed"] }
            }
        };
        let program = self.program(SESSIOND, kept.own && mode != Mode::Succeed);
        self.start(program, args, passed, "workers.log", Some(ours))
    }

    /// Starts the installed launcher, up to its gate; it will read at descriptor 3 what it is to take over.
    ///
    /// # Errors
    /// What failed.
    pub fn heir(&self, channel: OwnedFd) -> anyhow::Result<(Child, Gate)> {
        let nofile = self.nofile_soft.to_string();
        let args = ["launcher", "--heir", "--nofile", &nofile];
        // A launcher must not be held back by `no_new_privs`, which its workers would inherit.
        let mut launch = self.launch(self.programs.join(SESSIOND), &args, vec![(channel, 3)], LAUNCHER_LOG, false);
        // It speaks to the service manager as this one does; what was listened on is handed over otherwise.
        launch.env.extend(std::env::var_os(NOTIFY).map(|socket| (NOTIFY.into(), socket)));
        Ok(launch.spawn_gated()?)
    }

    fn start(
        &self,
        program: PathBuf,
        args: &[&str],
        passed: Vec<(OwnedFd, i32)>,
        log: &str,
        channel: Option<OwnedFd>,
    ) -> anyhow::Result<Born> {
        // Workers keep the way to `sudo` open for a person's shell; sessiond and bridge need no more than they have.
        let confined = args.first() != Some(&"worker");
        let (Child { pid, pidfd }, gate) = self.launch(program, args, passed, log, confined).spawn_gated()?;
        let pid = u32::try_from(pid.as_raw()).context("a process without a number")?;
        Ok(Born { running: Running { pid, pidfd, channel }, gate })
    }

    fn launch(
        &self,
        program: PathBuf,
        args: &[&str],
        mut passed: Vec<(OwnedFd, i32)>,
        log: &str,
        no_new_privs: bool,
    ) -> Launch {
        let path = self.logs.join(log);
        match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(log) => passed.push((log.into(), 2)),
            // A shell without a log is better than none.
            Err(err) => tracing::warn!("could not open `{}`: {err}", path.display()),
        }
        let mut launch = Launch::new(program);
        launch.args = args.iter().map(OsString::from).collect();
        let ours = |name: &OsStr| name == NOFILE_SOFT || VARIABLES.iter().any(|variable| name == *variable);
        launch.env = std::env::vars_os().filter(|(name, _)| !ours(name)).collect();
        if args.first() == Some(&"worker") {
            launch.env.push((NOFILE_SOFT.into(), self.nofile_soft.to_string().into()));
        }
        launch.no_new_privs = no_new_privs;
        launch.cwd = Some("/".into());
        launch.fds = passed;
        launch
    }
}
