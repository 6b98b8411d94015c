//! The launcher: root of the process tree, single-threaded, too small to fail.
//!
//! It starts sessiond, the bridge and workers, restarts them, owns the listening sockets (so that connects queue while
//! one restarts) and keeps for each session what a successor of its worker needs. It parses nothing but
//! [`baton_proto::launch`] and holds no policy. [`self::core`] decides, this module waits and does, `spare` takes
//! over when the launcher itself dies, `handover` brings what is kept over an orderly stop, `mend` makes the runtime
//! directory anew when it vanishes. `kill -9` of sessiond, bridge, a worker or the launcher is the normal case here.
//!
//! Absent on purpose: threads, async, anything that reads what a session writes, and configuration, but for whether
//! programs may run unconfined (`sandbox.allow_host`), which is held here against everybody who asks.

pub mod activation;
pub mod announced;
pub mod backoff;
pub mod children;
pub mod core;
#[cfg(test)]
mod core_tests;
pub mod handover;
mod heir;
pub mod hostile;
mod mend;
#[cfg(test)]
mod replace_tests;
pub mod setup;
mod spare;
mod turn;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::Context;
use baton_proto::hello::InstallKey;
use baton_proto::home::Home;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use self::children::Nursery;
use self::core::Core;
use self::mend::Sentinel;
pub use self::setup::LockHeld;
use self::setup::{Locks, Sockets};

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `HOST:PORT` of the bridge; port 0 = any.
    pub listen: String,
    /// Descriptor that gets one byte once everything listens.
    pub ready: Option<i32>,
}

/// What the launcher that is to be followed says to the installed one on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeirOptions {
    /// The soft limit of open files that programs are to have.
    pub nofile: u64,
}

impl HeirOptions {
    /// Reads the arguments behind `launcher --heir`.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn parse(args: &[&str]) -> Result<Self, OptionsError> {
        match args {
            ["--nofile", limit] if limit.parse::<u64>().is_ok() => Ok(Self { nofile: limit.parse().unwrap_or(1024) }),
            other => Err(OptionsError::Unknown(other.join(" "))),
        }
    }
}

/// A command line that says something else.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Nothing to listen on.
    #[error("the launcher needs `--listen HOST:PORT`")]
    NoListen,
    /// Not an option, or its value is missing or wrong.
    #[error("`{0}` is not an option of the launcher, or has no fitting value")]
    Unknown(String),
}

impl Options {
    /// Reads the arguments behind `launcher`.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn parse(args: &[&str]) -> Result<Self, OptionsError> {
        let (mut listen, mut ready) = (None, None);
        for pair in args.chunks(2) {
            match pair {
                ["--listen", value] => listen = Some((*value).to_owned()),
                ["--ready-fd", value] if value.parse::<i32>().is_ok() => ready = value.parse().ok(),
                other => return Err(OptionsError::Unknown(other.join(" "))),
            }
        }
        Ok(Self { listen: listen.ok_or(OptionsError::NoListen)?, ready })
    }
}

/// Everything a launcher is made of; the spare inherits it by fork.
struct Launcher {
    home: Home,
    /// Gone once the launcher has become a keeper.
    sockets: Option<Sockets>,
    key: InstallKey,
    nursery: Nursery,
    core: Core<OwnedFd>,
    signals: SignalFd,
    /// Messages that sessiond's channel had no room for.
    for_sessiond: turn::Outbox,
    spare: Option<spare::Spare>,
    /// Where the next launcher asks, while this is a keeper.
    keeper: Option<UnixListener>,
    /// Held as long as any copy of them is open: by the launcher and its spare.
    locks: Option<Locks>,
    sentinel: Sentinel,
}

/// Runs until somebody asks it to stop.
///
/// # Errors
/// What could not be set up; once it runs, nothing that happens to others is an error of the launcher.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let passed = activation::passed()?;
    let keep: Vec<_> = passed.iter().copied().chain(options.ready).collect();
    baton_sandbox::fds::close_inherited(&keep).context("closing inherited descriptors")?;
    let listener = activation::listener(&passed)?;
    let ready = options.ready.map(baton_sandbox::fds::inherited).transpose().context("`--ready-fd`")?;
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    setup::directories(&home)?;
    let locks = setup::lock(&home).inspect_err(|err| {
        if let Some(LockHeld { pid: Some(pid), .. }) = err.downcast_ref() {
            activation::is_served_by(*pid);
        }
    })?;
    let key = setup::install_key(&home)?;
    let sockets = setup::bind(&home, &options.listen, listener)?;
    baton_sandbox::process::set_child_subreaper().context("could not become the reaper of orphans")?;
    let nursery = Nursery::new(&home, None)?;
    let signals = watch_signals()?;
    announced::announce(&home, sockets.listen).context("could not write `launcher.json`")?;
    tracing::info!(listen = %sockets.listen, pid = std::process::id(), "launcher runs");

    let mut core = new_core(&home, &nursery);
    match handover::take(&home, &key, &mut core) {
        Ok(0) => {}
        Ok(sessions) => tracing::info!(sessions, "took over what was kept of the last launcher's sessions"),
        Err(err) => tracing::error!("what was kept of the last launcher's sessions could not be taken over: {err}"),
    }
    let for_sessiond = turn::Outbox::default();
    let sentinel = Sentinel::new(&home);
    let (sockets, locks) = (Some(sockets), Some(locks));
    let (spare, keeper) = (None, None);
    let launcher =
        Launcher { home, sockets, key, nursery, core, signals, for_sessiond, spare, keeper, locks, sentinel };
    launcher.run(ready)
}

/// Takes over from a launcher that leaves, as its spare would, with everything it holds at descriptor 3.
///
/// # Errors
/// What it could not take; the other goes on then.
pub fn inherit(options: HeirOptions) -> anyhow::Result<()> {
    const CHANNEL: i32 = 3;
    baton_sandbox::fds::close_inherited(&[CHANNEL]).context("closing inherited descriptors")?;
    let socket = baton_sandbox::fds::inherited(CHANNEL).context("an heir is started by a launcher")?;
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let (sockets, locks) = setup::inherit_places(&home, spare::first_word(&socket)?)?;
    let key = setup::install_key(&home)?;
    let nursery = Nursery::new(&home, Some(options.nofile))?;
    let signals = watch_signals()?;
    let sentinel = Sentinel::new(&home);
    let launcher = Launcher {
        core: new_core(&home, &nursery),
        sockets: Some(sockets),
        locks: Some(locks),
        for_sessiond: turn::Outbox::default(),
        spare: None,
        keeper: None,
        home,
        key,
        nursery,
        signals,
        sentinel,
    };
    launcher.inherit(&socket)
}

/// The one thing that is configured here: it holds against sessiond and bridge, too.
fn new_core(home: &Home, nursery: &Nursery) -> Core<OwnedFd> {
    let mut core = Core::new(nursery.sessions_max());
    if !crate::settings::load(home).sandbox.allow_host {
        core.forbid_host();
    }
    core
}

/// Signals as readable events; blocked here, set back in every child.
fn watch_signals() -> anyhow::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block().context("could not block signals")?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("could not watch signals")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn options() {
        let parsed = Options::parse(&["--listen", "127.0.0.1:0", "--ready-fd", "7"]).unwrap();
        assert_eq!(parsed, Options { listen: "127.0.0.1:0".to_owned(), ready: Some(7) });
        assert_eq!(Options::parse(&[]), Err(OptionsError::NoListen));
        for bad in [&["--listen"][..], &["--ready-fd", "x"], &["--bogus", "1"]] {
            assert!(matches!(Options::parse(bad), Err(OptionsError::Unknown(_))), "{bad:?}");
        }
    }
}
