//! What the launcher makes before it starts anybody: the lock, the install key, directories and listening sockets.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Context;
use baton_proto::hello::InstallKey;
use baton_proto::home::{Home, runtime, through};
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Another launcher runs for the same home.
#[derive(Debug, thiserror::Error)]
#[error("a launcher already runs for `{}`", runtime.display())]
pub struct LockHeld {
    runtime: std::path::PathBuf,
}

/// The sockets that outlive sessiond and bridge, so that connects queue while one restarts.
#[derive(Debug)]
pub struct Sockets {
    /// The bridge's face to the network.
    pub tcp: OwnedFd,
    /// Its actual address.
    pub listen: SocketAddr,
    /// `bridge.sock`.
    pub bridge: OwnedFd,
    /// `sessiond.sock`.
    pub supervisor: OwnedFd,
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

/// Takes the lock that makes this launcher the only one of its home. It is held by the open file: the spare inherits
/// it by fork and so holds it on.
///
/// # Errors
/// [`LockHeld`], or what the kernel said.
pub fn lock(home: &Home) -> anyhow::Result<Flock<File>> {
    let path = home.runtime.join(runtime::LAUNCHER_LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("could not open `{}`", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(LockHeld { runtime: home.runtime.clone() }.into()),
        Err((_, err)) => Err(err).with_context(|| format!("could not lock `{}`", path.display())),
    }
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
            "`{}` has {} bytes, not the {} of an install key; remove it while Baton is down, and a new one is made",
            path.display(),
            found.len(),
            InstallKey::BYTES
        ),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err).with_context(|| format!("could not look at `{}`", path.display())),
    }
    let mut key = [0u8; InstallKey::BYTES];
    getrandom::fill(&mut key).context("the kernel gave no random bytes")?;
    // Whole or not at all: written aside, then linked into place, which fails if somebody else was first.
    let aside = path.with_extension(format!("new.{}", std::process::id()));
    let written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::hard_link(&aside, &path)
    });
    let removed = std::fs::remove_file(&aside);
    written.and(removed).with_context(|| format!("could not make `{}`", path.display()))
}

/// Binds the listening sockets. The lock is held, so that a socket file found here is a dead launcher's.
///
/// # Errors
/// What the kernel said.
pub fn bind(home: &Home, listen: &str) -> anyhow::Result<Sockets> {
    let tcp = TcpListener::bind(listen).with_context(|| {
        format!("could not listen on `{listen}`; if something else uses the port, choose another with BATON_LISTEN")
    })?;
    let address = tcp.local_addr().context("could not learn the address")?;
    let directory =
        fds::open_dir(&home.runtime).with_context(|| format!("could not open `{}`", home.runtime.display()))?;
    Ok(Sockets {
        tcp: tcp.into(),
        listen: address,
        bridge: bind_unix(&directory, runtime::BRIDGE_SOCKET)?,
        supervisor: bind_unix(&directory, runtime::SESSIOND_SOCKET)?,
    })
}

fn bind_unix(directory: &OwnedFd, name: &str) -> anyhow::Result<OwnedFd> {
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
    Ok(listener.into())
}

/// Tells who runs here: `launcher.json`, replaced as a whole.
///
/// # Errors
/// What the kernel said.
pub fn announce(home: &Home, listen: SocketAddr) -> io::Result<()> {
    // A number and a socket address: nothing in them needs escaping.
    let text = format!("{{\"pid\":{},\"listen\":\"{listen}\"}}\n", std::process::id());
    let path = home.runtime.join(runtime::LAUNCHER_FILE);
    let aside = path.with_extension("json.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&aside, &path)
}

/// The announcement's end.
pub fn withdraw(home: &Home) {
    // Whoever reads a stale one finds no such process.
    let _ = std::fs::remove_file(home.runtime.join(runtime::LAUNCHER_FILE));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_launcher_a_home_and_one_key_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        private_dir(&home.runtime).unwrap();
        private_dir(&home.state).unwrap();
        let held = lock(&home).unwrap();
        assert!(lock(&home).unwrap_err().downcast_ref::<LockHeld>().is_some());
        drop(held);
        lock(&home).unwrap();

        install_key(&home).unwrap();
        let key = std::fs::read(home.key_file()).unwrap();
        assert_eq!(std::fs::metadata(home.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
        install_key(&home).unwrap();
        assert_eq!(std::fs::read(home.key_file()).unwrap(), key);
        std::fs::write(home.key_file(), b"short").unwrap();
        assert!(install_key(&home).unwrap_err().to_string().contains("5 bytes"));
    }

    #[test]
    fn sockets_are_bound_anew_over_dead_ones_however_long_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(&dir.path().join("d".repeat(120)));
        private_dir(&home.runtime).unwrap();
        drop(bind(&home, "127.0.0.1:0").unwrap());
        let sockets = bind(&home, "127.0.0.1:0").unwrap();
        assert_ne!(sockets.listen.port(), 0);
        announce(&home, sockets.listen).unwrap();
        let text = std::fs::read_to_string(home.runtime.join(runtime::LAUNCHER_FILE)).unwrap();
        assert!(text.contains(&sockets.listen.to_string()), "{text}");
    }
}
