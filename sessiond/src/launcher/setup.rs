//! What the launcher makes before it starts anybody: locks, the install key, directories and listening sockets.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use baton_proto::SessionId;
use baton_proto::hello::InstallKey;
use baton_proto::home::{Home, runtime, state, through};
use baton_sandbox::fds;
use nix::sys::stat::{FileStat, fstat, lstat};

use super::announced::withdraw;

/// Another launcher runs for the same home.
#[derive(Debug, thiserror::Error)]
#[error("a launcher already runs for `{}`{}", home.display(), match pid {
    Some(pid) => format!(": process {pid}"),
    None => String::new(),
})]
pub struct LockHeld {
    home: PathBuf,
    pub(super) pid: Option<u32>,
}

/// A killed launcher's pipes close some time before its locks do: its inotify handle goes in between, for which the kernel waits
/// until nobody looks at it any more (tens of milliseconds were seen).
const DYING: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What makes a launcher the only one. Held by the open files, which spare and launcher share: closing one's copy must
/// not unlock the other's, so these are files and no guards.
#[derive(Debug)]
pub struct Locks {
    /// In the state directory: the one that decides.
    state: File,
    /// In the runtime directory: tells of the launcher when the state directory was deleted under it.
    runtime: File,
}

/// Which file a name meant once: another file may have the name by now, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl FileId {
    /// No file has it.
    const NONE: Self = Self(0, 0);

    const fn of(stat: &FileStat) -> Self {
        Self(stat.st_dev, stat.st_ino)
    }

    /// The file that has this name now.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        lstat(path).ok().map(|stat| Self::of(&stat))
    }
}

/// A listening socket and the file that leads to it.
#[derive(Debug)]
pub struct Bound {
    /// The socket; it lives on without its file, but nobody new finds it.
    pub listener: OwnedFd,
    file: FileId,
}

/// The sockets that outlive sessiond and bridge, so that connects queue while one restarts.
#[derive(Debug)]
pub struct Sockets {
    /// The bridge's face to the network.
    pub tcp: OwnedFd,
    /// Its actual address.
    pub listen: SocketAddr,
    /// `bridge.sock`.
    pub bridge: Bound,
    /// `sessiond.sock`.
    pub supervisor: Bound,
    /// The directory of the workers' sockets, which sessiond holds open.
    pub workers: FileId,
}

/// What the launcher bound and locked anew, for its spare.
#[must_use]
pub fn places<'a>(sockets: &'a Sockets, locks: &'a Locks) -> [BorrowedFd<'a>; 5] {
    [
        sockets.bridge.listener.as_fd(),
        sockets.supervisor.listener.as_fd(),
        locks.state.as_fd(),
        locks.runtime.as_fd(),
        sockets.tcp.as_fd(),
    ]
}

/// What another launcher bound and locked, in the order of [`places`].
///
/// # Errors
/// Descriptors that are something else.
pub fn inherit_places(home: &Home, handles: Vec<OwnedFd>) -> anyhow::Result<(Sockets, Locks)> {
    let [bridge, supervisor, state, runtime, tcp] = <[OwnedFd; 5]>::try_from(handles)
        .map_err(|handles| anyhow::anyhow!("{} descriptors came, not 5", handles.len()))?;
    let tcp = TcpListener::from(tcp);
    let listen = tcp.local_addr().context("the listener has no address")?;
    let bound = |listener, name| Bound { listener, file: FileId::at(&home.runtime.join(name)).unwrap_or(FileId::NONE) };
    let sockets = Sockets {
        tcp: tcp.into(),
        listen,
        bridge: bound(bridge, runtime::BRIDGE_SOCKET),
        supervisor: bound(supervisor, runtime::SESSIOND_SOCKET),
        workers: workers_dir(home).unwrap_or(FileId::NONE),
    };
    Ok((sockets, Locks { state: state.into(), runtime: runtime.into() }))
}

/// Takes [`places`] in the spare. What does not fit is left: a launcher that finds a socket's file to be another's binds
/// it anew.
pub fn take_places(home: &Home, handles: Vec<OwnedFd>, sockets: &mut Sockets, locks: &mut Locks) {
    if let Ok((there, held)) = inherit_places(home, handles) {
        (*sockets, *locks) = (there, held);
    }
}

/// Makes a directory and its parents, for this user only.
///
/// # Errors
/// What the kernel said; a directory that belongs to somebody else or is open to others is refused.
pub fn private_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("could not make `{}`", path.display()))?;
    let found = std::fs::metadata(path).with_context(|| format!("could not look at `{}`", path.display()))?;
    if found.uid() != nix::unistd::geteuid().as_raw() {
        anyhow::bail!("`{}` belongs to another user; choose another place with BATON_HOME", path.display());
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("could not make `{}` private", path.display()))?;
    }
    Ok(())
}

/// Makes the directories that are missing.
///
/// # Errors
/// As [`private_dir`].
pub fn directories(home: &Home) -> anyhow::Result<()> {
    let workers = home.runtime.join(runtime::WORKERS_DIR);
    for dir in [&home.state, &home.logs_dir(), &home.sessions_dir(), &home.runtime, &workers] {
        private_dir(dir)?;
    }
    Ok(())
}

/// Takes the locks that make this launcher the only one of its home.
///
/// # Errors
/// [`LockHeld`], or what the kernel said.
pub fn lock(home: &Home) -> anyhow::Result<Locks> {
    let locks = Locks { state: take(home, &state_lock(home))?, runtime: take(home, &runtime_lock(home))? };
    // What a killed launcher said of itself: with the lock held it would be believed.
    withdraw(home);
    Ok(locks)
}

impl Locks {
    /// Gives both up at once, whoever has a copy: without it they would be held until the last copy is closed, by a keeper that
    /// has just been forked perhaps, and a launcher that starts meanwhile would be told that another one runs.
    pub fn release(self) {
        for lock in [self.runtime, self.state] {
            if let Err(err) = lock.unlock() {
                tracing::debug!("a lock is given up by its end only: {err}");
            }
        }
    }

    /// Takes those again whose file is gone. Returns whether there were any.
    ///
    /// # Errors
    /// As [`lock`].
    pub fn mend(&mut self, home: &Home) -> anyhow::Result<bool> {
        let mut mended = false;
        for (lock, path) in [(&mut self.state, state_lock(home)), (&mut self.runtime, runtime_lock(home))] {
            let held = fstat(&*lock).map(|stat| FileId::of(&stat)).context("could not look at the lock")?;
            if FileId::at(&path) != Some(held) {
                *lock = take(home, &path)?;
                mended = true;
            }
        }
        Ok(mended)
    }
}

fn state_lock(home: &Home) -> PathBuf {
    home.state.join(state::LOCK)
}

fn runtime_lock(home: &Home) -> PathBuf {
    home.runtime.join(runtime::LAUNCHER_LOCK)
}

fn take(home: &Home, path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("could not open `{}`", path.display()))?;
    let patience = Instant::now() + DYING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                let pid = super::announced::pid(home);
                if !pid.is_some_and(is_dying) || Instant::now() >= patience {
                    return Err(LockHeld { home: home.state.clone(), pid }.into());
                }
                // There is no event for it: nobody is told when a lock is given up.
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(TryLockError::Error(err)) => {
                return Err(err).with_context(|| format!("could not lock `{}`", path.display()));
            }
        }
    }
}

/// Whether the process has ended or is about to: killed, and the kernel still closes what it had open.
fn is_dying(pid: u32) -> bool {
    /// `PF_EXITING` of Linux's `include/linux/sched.h`.
    const EXITING: u32 = 0x4;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // Behind the name, which may hold anything, stand state, four ids, the foreground group and the flags (proc(5)).
    let Some((_, rest)) = stat.rsplit_once(')') else { return true };
    rest.split_ascii_whitespace().nth(6).and_then(|flags| flags.parse::<u32>().ok()).is_none_or(|it| it & EXITING != 0)
}

/// Makes the install key if there is none, and reads it.
///
/// # Errors
/// What the kernel said, or a key file that is none.
pub fn install_key(home: &Home) -> anyhow::Result<InstallKey> {
    make_install_key(home)?;
    let key = std::fs::read(home.key_file()).context("could not read the install key")?;
    let key =
        <[u8; InstallKey::BYTES]>::try_from(key).map_err(|_| anyhow::anyhow!("the install key changed its length"))?;
    Ok(InstallKey::new(key))
}

fn make_install_key(home: &Home) -> anyhow::Result<()> {
    let path = home.key_file();
    match std::fs::metadata(&path) {
        Ok(found) if found.len() == InstallKey::BYTES as u64 => return Ok(()),
        Ok(found) => anyhow::bail!(
            "`{}` has {} bytes, not the {} of an install key; put the right one back if you have it. Without it the sessions \
             that run can't be reached any more: once the file is removed `baton up` makes a new key, for new sessions",
            path.display(),
            found.len(),
            InstallKey::BYTES
        ),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err).with_context(|| format!("could not look at `{}`", path.display())),
    }
    let mut key = [0u8; InstallKey::BYTES];
    getrandom::fill(&mut key).context("the kernel gave no random bytes")?;
    write_install_key(home, &InstallKey::new(key))
}

/// Writes the key into its file, which must not be there: the one that every living worker has, once its file is gone.
///
/// # Errors
/// What the kernel said.
pub fn write_install_key(home: &Home, key: &InstallKey) -> anyhow::Result<()> {
    let path = home.key_file();
    // Whole or not at all: written aside, then linked into place, which fails if somebody else was first.
    let aside = path.with_extension(format!("new.{}", std::process::id()));
    let written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside).and_then(|mut file| {
        file.write_all(key.bytes())?;
        file.sync_all()?;
        std::fs::hard_link(&aside, &path)
    });
    let removed = std::fs::remove_file(&aside);
    written.and(removed).with_context(|| format!("could not make `{}`", path.display()))
}

/// Binds the listening sockets, the bridge's only if it was not `given`. The locks are held, so that a socket file found
/// here is a dead launcher's.
///
/// # Errors
/// What the kernel said.
pub fn bind(home: &Home, listen: &str, given: Option<(OwnedFd, SocketAddr)>) -> anyhow::Result<Sockets> {
    let (tcp, listen) = match given {
        Some(given) => given,
        None => {
            let tcp = TcpListener::bind(listen).with_context(|| {
                format!(
                    "could not listen on `{listen}`; if something else uses the port, choose another with BATON_LISTEN"
                )
            })?;
            let address = tcp.local_addr().context("could not learn the address")?;
            (tcp.into(), address)
        }
    };
    Ok(Sockets {
        tcp,
        listen,
        bridge: bind_unix(&home.runtime, runtime::BRIDGE_SOCKET)?,
        supervisor: bind_unix(&home.runtime, runtime::SESSIOND_SOCKET)?,
        workers: workers_dir(home)?,
    })
}

/// Which directory the workers' sockets are in.
///
/// # Errors
/// That there is none.
pub fn workers_dir(home: &Home) -> anyhow::Result<FileId> {
    FileId::at(&home.runtime.join(runtime::WORKERS_DIR)).context("the directory of the workers' sockets is gone")
}

/// Binds a socket of this name in a directory, in place of whatever has the name.
///
/// # Errors
/// What the kernel said.
pub fn bind_unix(directory: &Path, name: &str) -> anyhow::Result<Bound> {
    let directory = fds::open_dir(directory).with_context(|| format!("could not open `{}`", directory.display()))?;
    // Through the directory's descriptor: its path may be longer than a socket address holds.
    let path = through(directory.as_raw_fd(), name);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err).with_context(|| format!("could not remove the dead socket `{name}`")),
    }
    let listener = UnixListener::bind(&path).with_context(|| format!("could not bind `{name}`"))?;
    // The directory is 0700 already; the mode keeps the socket private if somebody opens the directory up.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("could not make `{name}` private"))?;
    let file = FileId::at(&path).with_context(|| format!("`{name}` was removed at once"))?;
    Ok(Bound { listener: listener.into(), file })
}

impl Bound {
    /// Whether the socket's file is still where it was.
    #[must_use]
    pub fn is_found(&self, directory: &Path, name: &str) -> bool {
        FileId::at(&directory.join(name)) == Some(self.file)
    }
}

/// Where a session's worker listens.
#[must_use]
pub fn worker_socket(home: &Home, session: SessionId) -> PathBuf {
    home.runtime.join(runtime::WORKERS_DIR).join(session.socket_name())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::announced::announce;
    use super::*;

    #[test]
    fn one_launcher_a_home_and_one_key_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        private_dir(&home.runtime).unwrap();
        private_dir(&home.state).unwrap();
        let mut held = lock(&home).unwrap();
        announce(&home, "127.0.0.1:7".parse().unwrap()).unwrap();
        let refused = |home: &Home| lock(home).unwrap_err();
        assert!(refused(&home).downcast_ref::<LockHeld>().is_some());
        assert!(refused(&home).to_string().contains(&format!("process {}", std::process::id())));
        // Without its runtime directory, and without its state directory, it is still the only one.
        std::fs::remove_dir_all(&home.runtime).unwrap();
        private_dir(&home.runtime).unwrap();
        assert!(refused(&home).downcast_ref::<LockHeld>().is_some());
        held.mend(&home).unwrap();
        announce(&home, "127.0.0.1:7".parse().unwrap()).unwrap();
        std::fs::remove_dir_all(&home.state).unwrap();
        private_dir(&home.state).unwrap();
        assert!(refused(&home).to_string().contains(&format!("process {}", std::process::id())));
        drop(held);
        lock(&home).unwrap();

        install_key(&home).unwrap();
        let key = std::fs::read(home.key_file()).unwrap();
        assert_eq!(std::fs::metadata(home.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
        let known = install_key(&home).unwrap();
        assert_eq!(std::fs::read(home.key_file()).unwrap(), key);
        assert!(write_install_key(&home, &known).is_err(), "there is one");
        std::fs::remove_file(home.key_file()).unwrap();
        write_install_key(&home, &known).unwrap();
        assert_eq!(std::fs::read(home.key_file()).unwrap(), key, "the same one");
        std::fs::write(home.key_file(), b"short").unwrap();
        assert!(install_key(&home).unwrap_err().to_string().contains("5 bytes"));
    }

    #[test]
    fn sockets_are_bound_anew_over_dead_ones_however_long_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(&dir.path().join("d".repeat(120)));
        private_dir(&home.runtime).unwrap();
        private_dir(&home.runtime.join(runtime::WORKERS_DIR)).unwrap();
        let dead = bind(&home, "127.0.0.1:0", None).unwrap();
        let sockets = bind(&home, "127.0.0.1:0", None).unwrap();
        assert_ne!(sockets.listen.port(), 0);
        assert!(sockets.bridge.is_found(&home.runtime, runtime::BRIDGE_SOCKET));
        assert!(!dead.bridge.is_found(&home.runtime, runtime::BRIDGE_SOCKET), "another file has its name");
        std::fs::remove_dir_all(&home.runtime).unwrap();
        assert!(!sockets.bridge.is_found(&home.runtime, runtime::BRIDGE_SOCKET));
    }
}
