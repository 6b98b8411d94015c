//! sessiond, the supervisor: which sessions there are. It never touches their bytes and never starts a process itself.
//!
//! One thread, one loop: [`step`] decides, this module waits and does. Killed at any moment it loses nothing: sessions
//! are in the `registry`, workers live on their own and are found again by their sockets and by what the launcher
//! tells the next sessiond.
//!
//! Absent on purpose: exec, signals to anybody's program, any dependence on the bridge.

mod admission;
mod confinement;
mod conn;
#[cfg(test)]
mod conn_tests;
pub mod event;
mod link;
mod pipe;
pub mod registry;
pub mod respawn;
#[cfg(test)]
mod respawn_tests;
mod session;
pub mod step;
#[cfg(test)]
mod step_tests;
mod turn;
mod upgrade;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use baton_proto::SessionId;
use baton_proto::api::Layer;
use baton_proto::hello::InstallKey;
use baton_proto::home::{Home, runtime};
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use self::conn::{Conn, Identity};
use self::event::{ConnId, Event};
use self::link::Link;
use self::registry::{Durable, Registry};
use self::step::{Core, Limits};
use self::turn::Asked;
use crate::sys::host;

/// How long a sessiond waits for the one before it to notice its end.
const PREDECESSOR_WAIT: Duration = Duration::from_secs(5);

/// Everything sessiond is made of.
struct Supervisor {
    home: Home,
    core: Core,
    registry: Registry,
    identity: Identity,
    boot_id: String,
    generation: u64,
    started_us: u64,
    launcher: OwnedFd,
    /// Requests for workers that the launcher's channel had no room for.
    for_launcher: VecDeque<Asked>,
    /// The kernel takes none of them just now: the next try.
    launcher_again: Option<Instant>,
    listener: UnixListener,
    /// There are no descriptors for more connections: those who wait are not looked at before then.
    accept_again: Option<Instant>,
    /// Directory of the workers' sockets.
    workers: OwnedFd,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    links: BTreeMap<SessionId, Link>,
    /// What this process gave up.
    layers: Vec<Layer>,
    /// Held while this sessiond lives: one generation at a time.
    _lock: Flock<File>,
}

/// Runs sessiond until the launcher is gone.
///
/// # Errors
/// What could not be set up; once it runs, only the launcher's end ends it.
pub fn run() -> anyhow::Result<()> {
    let launcher = fds::inherited(3).context("sessiond is started by the launcher")?;
    fds::set_nonblocking(&launcher)?;
    let listener = UnixListener::from(fds::inherited(4).context("sessiond is started by the launcher")?);
    listener.set_nonblocking(true)?;
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let lock = lock(&home.state)?;
    let generation = next_generation(&home.state)?;
    let key = std::fs::read(home.key_file()).context("could not read the install key")?;
    let key = <[u8; InstallKey::BYTES]>::try_from(key)
        .map_err(|_| anyhow::anyhow!("the install key has the wrong length"))?;
    let workers = home.runtime.join(runtime::WORKERS_DIR);
    let workers = fds::open_dir(&workers).with_context(|| format!("could not open `{}`", workers.display()))?;
    let registry = Registry::new(home.sessions_dir());
    let config = crate::settings::load(&home);
    let mut supervisor = Supervisor {
        core: Core::new(Limits {
            journal_total_bytes: config.session.journal_total_bytes,
            allow_host: config.sandbox.allow_host,
            require: config.sandbox.require,
        }),
        registry,
        identity: Identity { key: InstallKey::new(key), pid: std::process::id() },
        boot_id: host::boot_id(),
        generation,
        started_us: host::wall_us(),
        launcher,
        for_launcher: VecDeque::new(),
        launcher_again: None,
        listener,
        accept_again: None,
        workers,
        conns: BTreeMap::new(),
        next_conn: 1,
        links: BTreeMap::new(),
        layers: Vec::new(),
        home,
        _lock: lock,
    };
    // What the sessions' files and other processes say comes after this.
    supervisor.layers = confinement::confine(&supervisor.home, config.sandbox.require)?;
    let found = supervisor.registry.scan().context("could not read the sessions on disk")?;
    tracing::info!(generation, sessions = found.len(), pid = std::process::id(), "sessiond runs");
    for one in found {
        let session = one.spec.session;
        supervisor.feed(Event::Found(Box::new(one.spec), one.end), Instant::now());
        supervisor.feed(Event::Confined(session, one.layers), Instant::now());
    }
    supervisor.warn_of_strangers();
    supervisor.is_ready();
    supervisor.serve()
}

/// One sessiond at a time. The one before may need a moment to notice that its launcher is gone.
fn lock(state: &Path) -> anyhow::Result<Flock<File>> {
    let path = state.join("sessiond.lock");
    let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let mut file = open().with_context(|| format!("could not open `{}`", path.display()))?;
    let give_up = Instant::now() + PREDECESSOR_WAIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) if Instant::now() < give_up => file = back,
            Err((_, Errno::EWOULDBLOCK)) => anyhow::bail!("another sessiond runs for `{}`", state.display()),
            Err((_, err)) => return Err(err).with_context(|| format!("could not lock `{}`", path.display())),
        }
        // A lock file tells nobody when it is free, and a blocking wait would have no end.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Counts this start. Workers refuse a lower count than they have seen. Where it can't be written down (a full disk) the clock is
/// what the next one is above of all the same.
fn next_generation(state: &Path) -> anyhow::Result<u64> {
    let path = state.join("generation");
    let last = match std::fs::read_to_string(&path) {
        // A count that a power cut tore must not keep sessiond down: the clock is above any count of starts.
        Ok(text) => text.trim().parse::<u64>().unwrap_or_else(|_| host::wall_us()),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => 0,
        Err(err) => return Err(err).with_context(|| format!("could not read `{}`", path.display())),
    };
    let generation = last.saturating_add(1).max(host::wall_us());
    let text = format!("{generation}\n");
    if let Err(err) = registry::replace(state, "generation", text.as_bytes(), Durable::Yes) {
        tracing::error!("this start could not be counted: {err}");
    }
    Ok(generation)
}

/// The configuration; one that is not valid must not keep sessions from being found.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_start_counts_higher_even_after_a_torn_count() {
        let dir = tempfile::tempdir().unwrap();
        let first = next_generation(dir.path()).unwrap();
        assert!(first > 1 << 40);
        let second = next_generation(dir.path()).unwrap();
        assert!(second > first);
        std::fs::write(dir.path().join("generation"), "").unwrap();
        let third = next_generation(dir.path()).unwrap();
        assert!(third > second);
        // A clock that was set back.
        std::fs::write(dir.path().join("generation"), format!("{}\n", u64::MAX - 5)).unwrap();
        assert_eq!(next_generation(dir.path()).unwrap(), u64::MAX - 4);
        // Nothing can be written: what is in the name's place is no file that another could replace.
        std::fs::remove_file(dir.path().join("generation")).unwrap();
        std::fs::create_dir(dir.path().join("generation.new")).unwrap();
        let unwritten = next_generation(dir.path()).unwrap();
        assert!(unwritten > third && next_generation(dir.path()).unwrap() > unwritten);
    }
}
