//! Why a program was not started: what failed, why, and what to do about it.

use std::path::PathBuf;

use nix::errno::Errno;

/// Where, on the way from fork to exec, the child gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum Step {
    /// Setting signals back to their defaults.
    Signals = 1,
    /// Becoming leader of a new session.
    NewSession = 2,
    /// Putting descriptors at their numbers.
    Descriptors = 3,
    /// Making the terminal the controlling one.
    ControllingTerminal = 4,
    /// Asking for a signal at the parent's death.
    ParentDeathSignal = 5,
    /// Giving up new privileges.
    NoNewPrivileges = 6,
    /// Setting the descriptor limit.
    DescriptorLimit = 7,
    /// Entering the working directory.
    WorkingDirectory = 8,
    /// Closing what was not to be inherited.
    Close = 9,
    /// Executing the program.
    Exec = 10,
    /// Leaving the host's namespaces.
    Namespaces = 11,
    /// Making its view of the file system.
    Mounts = 12,
    /// Hiding what must not be seen in what was granted.
    Hiding = 13,
    /// Setting limits.
    Limits = 14,
    /// Dropping capabilities.
    Capabilities = 15,
    /// Entering the Landlock domain.
    Landlock = 16,
    /// Installing the filter of system calls.
    Filter = 17,
    /// Having every layer, where that is required.
    Required = 18,
    /// Finding closed what must be closed.
    Probe = 19,
    /// Finding again what was granted.
    Moved = 20,
    /// Leaving somebody behind who ends what it starts.
    Sweeper = 21,
}

impl Step {
    /// The step with this number, as the child reported it.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Signals,
            2 => Self::NewSession,
            3 => Self::Descriptors,
            4 => Self::ControllingTerminal,
            5 => Self::ParentDeathSignal,
            6 => Self::NoNewPrivileges,
            7 => Self::DescriptorLimit,
            8 => Self::WorkingDirectory,
            9 => Self::Close,
            10 => Self::Exec,
            11 => Self::Namespaces,
            12 => Self::Mounts,
            13 => Self::Hiding,
            14 => Self::Limits,
            15 => Self::Capabilities,
            16 => Self::Landlock,
            17 => Self::Filter,
            18 => Self::Required,
            19 => Self::Probe,
            20 => Self::Moved,
            21 => Self::Sweeper,
            _ => return None,
        })
    }
}

impl Step {
    /// Whether it belongs to the confinement.
    #[must_use]
    pub const fn confines(self) -> bool {
        matches!(
            self,
            Self::Namespaces
                | Self::Mounts
                | Self::Hiding
                | Self::Limits
                | Self::Capabilities
                | Self::Landlock
                | Self::Filter
                | Self::Required
                | Self::Probe
                | Self::Moved
                | Self::Sweeper
        )
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signals => "resetting signals",
            Self::NewSession => "starting a new session",
            Self::Descriptors => "passing descriptors",
            Self::ControllingTerminal => "taking the terminal",
            Self::ParentDeathSignal => "binding its life to its parent",
            Self::NoNewPrivileges => "giving up privileges",
            Self::DescriptorLimit => "setting the descriptor limit",
            Self::WorkingDirectory => "entering its working directory",
            Self::Close => "closing inherited descriptors",
            Self::Exec => "being executed",
            Self::Namespaces => "leaving the host's namespaces",
            Self::Mounts => "making its view of the file system",
            Self::Hiding => "hiding the secrets in what was granted",
            Self::Limits => "setting its limits",
            Self::Capabilities => "dropping capabilities",
            Self::Landlock => "entering its Landlock domain",
            Self::Filter => "installing its filter of system calls",
            Self::Required => "enforcing every layer, as `sandbox.require` demands,",
            Self::Probe => "finding closed what must be closed",
            Self::Moved => "finding again what was granted, which something moves or swaps,",
            Self::Sweeper => "leaving somebody behind who ends what it starts",
        })
    }
}

/// Why a program was not started. `source` says what the kernel said, [`ExecError::hint`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// A fork copies one thread: locks that others hold would stay locked in the child for ever.
    #[error("a process with {threads} threads must not fork")]
    Threads {
        /// How many run.
        threads: usize,
    },
    /// A path, argument or variable that the kernel can't be told.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// What it is.
        what: &'static str,
    },
    /// The same number was asked for twice, or one that is none.
    #[error("descriptor {number} can't be passed: the number is taken or negative")]
    Number {
        /// The number.
        number: i32,
    },
    /// No such program in `PATH`.
    #[error("`{}` was not found in the program's `PATH`", program.display())]
    NotFound {
        /// What was looked for.
        program: PathBuf,
    },
    /// The parent could not prepare.
    #[error("preparing a new process failed at {what}")]
    Prepare {
        /// At what.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The child ran and could not become the program.
    #[error("`{}` could not be started{}", program.display(), match step {
        // The program itself is what is wrong: the source says how.
        Step::Exec => String::new(),
        step => format!(": {step} failed"),
    })]
    Child {
        /// What was to run.
        program: PathBuf,
        /// Where it failed.
        step: Step,
        /// What the kernel said.
        source: Errno,
    },
    /// The child ran and could not be confined; the program was not started.
    #[error("`{}` was not started: {step} failed{}", program.display(), place.as_ref().map(|place| format!(" at `{place}`")).unwrap_or_default())]
    Confinement {
        /// What was to run.
        program: PathBuf,
        /// Where it failed.
        step: Step,
        /// Which path that was about.
        place: Option<String>,
        /// Which layers were missing, where all were required.
        missing: Vec<String>,
        /// What the kernel said.
        source: Errno,
    },
    /// The child was killed before it became the program.
    #[error("the process that was to become `{}` died first", program.display())]
    Died {
        /// What was to run.
        program: PathBuf,
    },
}

impl ExecError {
    /// The error number behind it, where the kernel named one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::NotFound { .. } => Some(Errno::ENOENT),
            Self::Prepare { source, .. } | Self::Child { source, .. } | Self::Confinement { source, .. } => {
                Some(*source)
            }
            _ => None,
        }
    }

    /// The exit code a shell would give: 127 for what is not there, 126 for what is there and can't run.
    #[must_use]
    pub const fn shell_code(&self) -> i32 {
        match self {
            Self::NotFound { .. } | Self::Child { step: Step::Exec, source: Errno::ENOENT | Errno::ENOTDIR, .. } => 127,
            _ => 126,
        }
    }

    /// What a person can do about it, where there is something.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some("install it, name it by its path, or correct `PATH`"),
            Self::Child { step: Step::WorkingDirectory, .. } => {
                Some("choose a working directory that exists and may be entered")
            }
            Self::Child { step: Step::Exec, source, .. } => match source {
                Errno::ENOENT => Some("check the path; for a script, check the interpreter in its first line"),
                Errno::EACCES => {
                    Some("make the file executable, and check that its file system is not mounted `noexec`")
                }
                Errno::ENOEXEC => Some("the file is no program: a script needs a first line such as `#!/bin/sh`"),
                Errno::E2BIG => Some("pass fewer or shorter arguments and variables"),
                _ => None,
            },
            Self::Confinement { step: Step::Hiding, .. } => Some(
                "a grant holds secrets, and they can only be hidden where user namespaces are allowed: grant a directory \
                 without them, or allow user namespaces (`sysctl user.max_user_namespaces`, \
                 `kernel.apparmor_restrict_unprivileged_userns`)",
            ),
            Self::Confinement { step: Step::Required, .. } => Some(
                "allow user namespaces, and use a kernel with Landlock (6.12 or newer); or set `sandbox.require = false`, \
                 and the session says what is missing",
            ),
            Self::Confinement { step: Step::Moved, .. } => Some(
                "start it again; if it is refused again, a program that may write to the directory above swaps it for another or \
                 for a link: close the session that does, or grant a directory that none may write to",
            ),
            Self::Child { step: Step::Close, source: Errno::ENOSYS, .. } => {
                Some("Baton needs Linux 5.9 or newer (`close_range`)")
            }
            Self::Prepare { source: Errno::EAGAIN, .. } => {
                Some("raise the limit of processes (`ulimit -u`, or `pids.max` of the cgroup)")
            }
            Self::Prepare { source: Errno::EMFILE | Errno::ENFILE, .. } => {
                Some("raise the limit of open files (`ulimit -n`)")
            }
            _ => None,
        }
    }
}
