//! What Baton's own processes give up once they have what they need, and how far the kernel let them.
//!
//! | process | privileges | core dumps | Landlock | system calls |
//! | --- | --- | --- | --- | --- |
//! | bridge | none gained | off | its state and runtime directories, nothing else; no TCP, no signals to others | `filters/bridge.toml` |
//! | sessiond | none gained | off | as the bridge, the configuration, and reading `/proc` | `filters/sessiond.toml` |
//! | worker | none gained | off | none: its domain could neither signal its program nor read its directory | `filters/worker.toml` |
//! | egress | none gained; root is given up | off | reads what turns names into addresses, writes nothing; connects by TCP, binds nothing | `filters/egress.toml` |
//! | agent | none gained | off | reads and writes nothing; connects to sockets in the directory of the person's ssh agent, not by TCP | `filters/agent.toml` |
//! | launcher | – | – | – | none: whatever it gave up, every session that is not confined would have given up |
//!
//! A worker confines itself only after its program was started, which therefore has nothing of it. Landlock comes before
//! the filter, which does not allow it any more.

use std::path::{Path, PathBuf};

use baton_proto::api::{Layer, LayerStatus};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

use crate::seccomp::{self, Filter};

/// Newest version of Landlock that is known here.
const NEWEST: ABI = ABI::V9;
/// From this version on every right that Baton's own processes are to lose is known to the kernel, but the one below.
const WHOLE: i32 = 6;
/// The user and group that own nothing (`nobody`; what the kernel shows for ids that it can't map).
const NOBODY: u32 = 65534;
/// What turns names into addresses (resolv.conf(5), hosts(5), nsswitch.conf(5)), and where the first of them may lead. Whole
/// directories: these files are replaced when the network changes, and a rule for a file is for the one that was there.
const NAMES: [&str; 5] = ["/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman"];
/// Where a network's addresses of name servers are.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// From this version on sockets with a path are covered.
const SOCKETS: i32 = 9;

/// Which paths a process keeps, and for what.
#[derive(Debug, Default, Clone)]
pub struct Paths {
    /// Everything but executing and making devices, sockets and links.
    pub write: Vec<PathBuf>,
    /// Reading.
    pub read: Vec<PathBuf>,
    /// Connecting to sockets in these directories.
    pub connect: Vec<PathBuf>,
}

/// A process of Baton's that confines itself.
#[derive(Debug, Clone)]
pub struct Own {
    filter: &'static Filter,
    /// `None` = no Landlock.
    paths: Option<Paths>,
    /// Whether it connects by TCP.
    connects: bool,
    /// Whether it stops being root.
    leaves_root: bool,
}

impl Own {
    /// The bridge: its state and its runtime directory.
    #[must_use]
    pub fn bridge(paths: Paths) -> Self {
        Self { filter: &seccomp::BRIDGE, paths: Some(paths), connects: false, leaves_root: false }
    }

    /// sessiond: as the bridge, the configuration, which it changes for it, and `/proc`, by which it knows workers from strangers.
    #[must_use]
    pub fn sessiond(mut paths: Paths) -> Self {
        paths.read.push("/proc".into());
        Self { filter: &seccomp::SESSIOND, paths: Some(paths), connects: false, leaves_root: false }
    }

    /// A worker whose program runs.
    #[must_use]
    pub const fn worker() -> Self {
        Self { filter: &seccomp::WORKER, paths: None, connects: false, leaves_root: false }
    }

    /// The way out of a session: what a C library reads to turn a name into an address. It lies in `/etc`, of which root
    /// could read all: so root is not what it stays.
    #[must_use]
    pub fn egress() -> Self {
        let mut read = NAMES.map(PathBuf::from).to_vec();
        // Wherever else it leads, as it is now.
        read.extend(std::fs::canonicalize(RESOLV_CONF));
        let paths = Paths { read, ..Paths::default() };
        Self { filter: &seccomp::EGRESS, paths: Some(paths), connects: true, leaves_root: true }
    }

    /// The relay to the person's ssh agent. Directories and not the socket: an agent that is started again makes another.
    #[must_use]
    pub fn agent(connect: Vec<PathBuf>) -> Self {
        let paths = Paths { connect, ..Paths::default() };
        Self { filter: &seccomp::AGENT, paths: Some(paths), connects: false, leaves_root: false }
    }

    /// Gives up everything but what is named, for good, and tells what the kernel enforces. Nothing here is an error: a
    /// kernel that can't is reported.
    ///
    /// Of a process with several threads Landlock binds only the calling one, so it is called before there are more.
    #[must_use]
    pub fn confine(self) -> Vec<Layer> {
        let mut layers = vec![privileges(), core_dumps()];
        if self.leaves_root && geteuid().is_root() {
            layers.push(outcome("user", become_nobody()));
        }
        if let Some(paths) = &self.paths {
            layers.push(files(paths, self.connects));
        }
        layers.push(system_calls(self.filter));
        for layer in layers.iter().filter(|layer| layer.status != LayerStatus::Enforced) {
            tracing::warn!(
                layer = layer.name,
                "{}: {}",
                if layer.status == LayerStatus::Absent { "not enforced" } else { "enforced in part" },
                layer.detail.as_deref().unwrap_or_default()
            );
        }
        layers
    }
}

/// The first layer that keeps a host from meeting `sandbox.require`.
#[must_use]
pub fn lacking(layers: &[Layer]) -> Option<&Layer> {
    layers.iter().find(|layer| layer.status != LayerStatus::Enforced)
}

/// Why a process does not start on a host that can't meet `sandbox.require`, and what to do.
#[must_use]
pub fn required(lacking: &Layer) -> String {
    let detail = lacking.detail.as_deref().unwrap_or("no reason is known");
    format!(
        "`sandbox.require` is set and `{}` can't be enforced here ({detail}): `baton doctor` says what to do, or set it to false",
        lacking.name
    )
}

/// What `/proc` shows of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// It gains no privileges by exec.
    pub no_new_privs: bool,
    /// Its system calls are filtered.
    pub filtered: bool,
}

/// Looks at a process; `None` when there is none.
#[must_use]
pub fn seen(pid: u32) -> Option<Seen> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Seen { no_new_privs: field("NoNewPrivs:") == Some("1"), filtered: field("Seccomp:") == Some("2") })
}

fn layer(name: &str, status: LayerStatus, abi: Option<i32>, detail: impl Into<Option<String>>) -> Layer {
    Layer { name: name.to_owned(), status, abi: abi.and_then(|abi| u32::try_from(abi).ok()), detail: detail.into() }
}

fn outcome(name: &str, done: Result<(), Errno>) -> Layer {
    match done {
        Ok(()) => layer(name, LayerStatus::Enforced, None, None),
        Err(err) => layer(name, LayerStatus::Absent, None, err.desc().to_owned()),
    }
}

fn privileges() -> Layer {
    outcome("privileges", crate::process::set_no_new_privs())
}

/// Gives up root for good. What is open stays open; root may still signal it.
fn become_nobody() -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)
}

/// Keys and tokens are in memory, and dumps are kept for long and sent to others.
fn core_dumps() -> Layer {
    // Not 0: a dump that goes to a program, as systemd's does, is stopped by the limit 1 alone (core(5)).
    outcome("core_dumps", setrlimit(Resource::RLIMIT_CORE, 1, 1))
}

fn system_calls(filter: &'static Filter) -> Layer {
    match filter.install_and_report() {
        Ok(()) => layer("seccomp", LayerStatus::Enforced, None, None),
        Err(err) => layer("seccomp", LayerStatus::Absent, None, format!("this kernel takes no filter: {}", err.desc())),
    }
}

fn files(paths: &Paths, connects: bool) -> Layer {
    match restrict(paths, connects) {
        Ok((RulesetStatus::NotEnforced, _)) => {
            let why = "this kernel has no Landlock, or it is switched off: see `lsm=` of the kernel's command line";
            layer("landlock", LayerStatus::Absent, None, why.to_owned())
        }
        Ok((_, abi)) if abi < WHOLE => {
            let missing = match abi {
                ..4 => "network and signals are not covered before Landlock 4 and 6 (Linux 6.7 and 6.12)",
                _ => "signals are not covered before Landlock 6 (Linux 6.12)",
            };
            layer("landlock", LayerStatus::Partial, Some(abi), missing.to_owned())
        }
        Ok((_, abi)) => {
            let detail = (abi < SOCKETS).then(|| format!("sockets with a path are covered from Landlock {SOCKETS} on"));
            layer("landlock", LayerStatus::Enforced, Some(abi), detail)
        }
        Err(err) => layer("landlock", LayerStatus::Absent, None, err.to_string()),
    }
}

fn restrict(paths: &Paths, connects: bool) -> Result<(RulesetStatus, i32), RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
        | AccessFs::ResolveUnix;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(if connects { AccessNet::BindTcp.into() } else { AccessNet::from_all(NEWEST) })?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let connect = AccessFs::ResolveUnix.into();
    for (list, rights) in [(&paths.write, write), (&paths.read, read), (&paths.connect, connect)] {
        for path in list {
            if let Some(rule) = rule(path, rights) {
                rules = rules.add_rule(rule)?;
            }
        }
    }
    let status = rules.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        _ => 0,
    };
    Ok((status.ruleset, abi))
}

/// `None` for what is not there: it stays out of reach.
fn rule(path: &Path, rights: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let of_a_file = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let opened =
        PathFd::new(path).inspect_err(|err| tracing::debug!("no rule for `{}`: {err}", path.display())).ok()?;
    Some(PathBeneath::new(opened, if path.is_dir() { rights } else { rights & of_a_file }))
}
