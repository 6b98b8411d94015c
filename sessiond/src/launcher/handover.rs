//! What sessions need outlives an orderly stop too.
//!
//! `baton down` ends sessiond, bridge and launcher and leaves sessions alone; but somebody has to hold their handles
//! until the next `baton up`, or a worker killed after it would take its program along. So a launcher that stops while
//! programs run leaves a keeper behind: a copy of itself without listening sockets, lock and services, which goes on
//! restarting workers and gives everything to the next launcher. That launcher may be a newer version.
//!
//! ```text
//! launcher                          keeper (<state>/keeper.sock, messages kept whole)
//!   nonce                      ──►
//!                              ◄──  nonce, proof
//!   proof                      ──►
//!                              ◄──  one note for each session, its handles beside it; then an empty one
//!   taken                      ──►
//!                              ◄──  gone, and exits
//! ```
//!
//! Exactly one of them keeps the sessions afterwards. A launcher that is not told `gone` looks again: a keeper that
//! still listens has everything and gives it anew, one that does not is dead, and what it gave is all there is.
//!
//! A worker whose launcher and spare died in the same moment is its own keeper ([`crate::worker`] `orphan`): it listens in
//! its session's directory, and gives the one session to the launcher whose sessiond has found it.
//!
//! Both prove that they hold the install key, as on every local socket, in the name of a sessiond of generation 0,
//! which never exists: no other conversation yields these proofs.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use baton_proto::SessionId;
use baton_proto::hello::{Hello, InstallKey, Nonce, Proof, Role, Welcome, Who};
use baton_proto::home::{Home, state::KEEPER_SOCKET, through};
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::core::{Core, Kept};
use super::spare::{self, Note};

/// Version of this conversation; a keeper and a launcher of different ones leave each other alone.
const VERSION: u16 = 1;

/// How long either waits for the other's next message. The keeper does nothing else meanwhile, so a stranger that
/// connects and says nothing must not hold it up.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the launcher says when it has everything.
const TAKEN: [u8; 1] = [1];

/// What the keeper says when it lets go of everything.
const GONE: [u8; 1] = [2];

/// How often a launcher looks again.
const ATTEMPTS: usize = 5;

/// A note and the handles beside it.
type Received = ([u8; spare::BYTES], Vec<OwnedFd>);

/// Where a keeper may listen. The runtime directory may vanish at logout, while the keeper waits; it serves where the
/// state directory is on a file system without sockets.
fn places(home: &Home) -> [&Path; 2] {
    [&home.state, &home.runtime]
}

/// Listens for the next launcher.
///
/// # Errors
/// What the kernel said.
pub fn offer(home: &Home) -> io::Result<UnixListener> {
    let [first, second] = places(home);
    offer_in(first).or_else(|_| offer_in(second))
}

/// Listens in this directory.
///
/// # Errors
/// What the kernel said.
pub fn offer_in(directory: &Path) -> io::Result<UnixListener> {
    let directory = fds::open_dir(directory)?;
    let path = through(directory.as_raw_fd(), KEEPER_SOCKET);
    match std::fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(&path)?)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    listen(&listener, Backlog::new(8)?)?;
    Ok(listener.into())
}

/// The offer's end.
pub fn withdraw(home: &Home) {
    for directory in places(home) {
        // It is in one of them, and gone already if the next launcher cleaned up first.
        let _ = std::fs::remove_file(directory.join(KEEPER_SOCKET));
    }
}

/// Gives everything to whoever connects and proves to be a launcher of this install.
///
/// # Errors
/// Why it was not taken; it is all still here then.
pub fn give(listener: &UnixListener, key: &InstallKey, core: &Core<OwnedFd>) -> io::Result<()> {
    give_sessions(listener, key, core.sessions().iter())
}

/// As [`give`], of these sessions.
///
/// # Errors
/// As [`give`].
pub fn give_sessions<'a>(
    listener: &UnixListener,
    key: &InstallKey,
    sessions: impl Iterator<Item = (&'a SessionId, &'a Kept<OwnedFd>)>,
) -> io::Result<()> {
    let (socket, _) = listener.accept()?;
    let socket = OwnedFd::from(socket);
    if getsockopt(&socket, sockopt::PeerCredentials)?.uid() != nix::unistd::getuid().as_raw() {
        return Err(refused("another user's process"));
    }
    be_impatient(&socket)?;
    let theirs: Nonce = message(&socket)?;
    let (hello, ours) = (hello(theirs), nonce()?);
    let mut answer = [0; 64];
    answer[..32].copy_from_slice(&ours);
    answer[32..].copy_from_slice(&key.listener_proof(&hello, VERSION, &ours));
    fds::send(&socket, &answer, &[])?;
    let proof = Proof { proof: message(&socket)? };
    if !key.believes_dialler(&hello, VERSION, &ours, &proof) {
        return Err(refused("a process without the install key"));
    }
    for (session, kept) in sessions {
        let (bytes, handles) = spare::encode_session(*session, Some(kept));
        fds::send(&socket, &bytes, &handles)?;
    }
    fds::send(&socket, &Note::default().to_bytes(), &[])?;
    if message(&socket)? != TAKEN {
        return Err(refused("a launcher that did not take everything"));
    }
    // It has everything, whether it hears this or not.
    let _ = fds::send(&socket, &GONE, &[]);
    Ok(())
}

/// Takes everything from a keeper, if there is one. Returns how many sessions that are.
///
/// # Errors
/// What went wrong; nothing is taken then.
pub fn take(home: &Home, key: &InstallKey, core: &mut Core<OwnedFd>) -> io::Result<usize> {
    let mut taken = Vec::new();
    for _ in 0..ATTEMPTS {
        let Some(socket) = find(home)? else { break };
        taken = ask(&socket, key)?;
        // A failure to say so is an answer that does not come.
        let _ = fds::send(&socket, &TAKEN, &[]);
        if message(&socket).is_ok_and(|said| said == GONE) {
            break;
        }
    }
    let count = taken.len();
    for (bytes, handles) in taken {
        spare::apply(&bytes, handles, core);
    }
    Ok(count)
}

/// Takes the session of a worker that keeps itself, which listens in this directory.
///
/// # Errors
/// Why there is nothing to be taken; the worker still has it then.
pub fn take_orphan(directory: &Path, key: &InstallKey, session: SessionId) -> io::Result<Kept<OwnedFd>> {
    let socket = find_in(directory)?.ok_or(io::ErrorKind::NotFound)?;
    let notes = ask(&socket, key)?;
    fds::send(&socket, &TAKEN, &[])?;
    if message(&socket)? != GONE {
        return Err(refused("a worker that keeps what it gave"));
    }
    match notes.into_iter().filter_map(|(bytes, handles)| spare::decode_session(&bytes, handles)).next() {
        Some((given, Some(kept))) if given == session => Ok(kept),
        _ => Err(refused("a worker of something else")),
    }
}

/// The keeper, if one listens.
fn find(home: &Home) -> io::Result<Option<OwnedFd>> {
    for directory in places(home) {
        if let Some(socket) = find_in(directory)? {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

fn find_in(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let directory = fds::open_dir(directory)?;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(&through(directory.as_raw_fd(), KEEPER_SOCKET))?) {
        Ok(()) => {
            be_impatient(&socket)?;
            Ok(Some(socket))
        }
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// The conversation up to the empty note.
fn ask(socket: &OwnedFd, key: &InstallKey) -> io::Result<Vec<Received>> {
    let ours = nonce()?;
    let hello = hello(ours);
    fds::send(socket, &ours, &[])?;
    let answer: [u8; 64] = message(socket)?;
    let (mut nonce, mut proof) = ([0; 32], [0; 32]);
    nonce.copy_from_slice(&answer[..32]);
    proof.copy_from_slice(&answer[32..]);
    let welcome = Welcome {
        version: VERSION,
        who: Who::Supervisor,
        pid: 0,
        nonce,
        proof,
        capabilities: Vec::new(),
        build: String::new(),
    };
    if !key.believes_listener(&hello, &welcome) {
        return Err(refused("a keeper without the install key"));
    }
    fds::send(socket, &key.dialler_proof(&hello, VERSION, &nonce), &[])?;
    let mut notes = Vec::new();
    loop {
        let mut bytes = [0; spare::BYTES];
        let (count, handles) = fds::receive(socket, &mut bytes)?;
        if count != spare::BYTES {
            return Err(refused("a keeper that did not give everything"));
        }
        if bytes == Note::default().to_bytes() {
            return Ok(notes);
        }
        notes.push((bytes, handles));
    }
}

/// What both proofs speak about.
fn hello(nonce: Nonce) -> Hello {
    Hello {
        version_min: VERSION,
        version_max: VERSION,
        role: Role::Supervisor { generation: 0 },
        nonce,
        capabilities: Vec::new(),
        build: String::new(),
    }
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|err| io::Error::other(err.to_string()))?;
    Ok(nonce)
}

fn message<const BYTES: usize>(socket: &OwnedFd) -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    match fds::receive(socket, &mut bytes)? {
        (count, _) if count == BYTES => Ok(bytes),
        _ => Err(refused("a peer that speaks otherwise")),
    }
}

fn be_impatient(socket: &OwnedFd) -> io::Result<()> {
    let patience = TimeVal::new(0, i64::try_from(PATIENCE.as_micros()).unwrap_or(500_000));
    setsockopt(socket, sockopt::ReceiveTimeout, &patience)?;
    setsockopt(socket, sockopt::SendTimeout, &patience)?;
    Ok(())
}

fn refused(who: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, who.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::setup::directories;
    use super::*;

    fn file() -> OwnedFd {
        tempfile::tempfile().unwrap().into()
    }

    fn full() -> Core<OwnedFd> {
        let mut core = Core::new(100);
        for number in 0..40 {
            let mut kept = Kept::new(file(), false);
            (kept.listener, kept.window, kept.master) = (Some(file()), Some(file()), Some(file()));
            core.restore_session(SessionId::from_uuid(uuid::Uuid::from_u128(number)), Some(kept));
        }
        core
    }

    fn wait_for(listener: &UnixListener) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(listener), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(10_000u16)).unwrap();
    }

    #[test]
    fn one_gives_and_the_other_has_everything() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        directories(&home).unwrap();
        let key = InstallKey::new([4; 32]);
        let mut next = Core::new(100);
        // Nobody listens, then a dead one's socket is left.
        assert_eq!(take(&home, &key, &mut next).unwrap(), 0);
        drop(offer(&home).unwrap());
        assert_eq!(take(&home, &key, &mut next).unwrap(), 0);
        let (listener, given) = (offer(&home).unwrap(), key.clone());
        let keeper = std::thread::spawn(move || {
            wait_for(&listener);
            give(&listener, &given, &full())
        });
        assert_eq!(take(&home, &key, &mut next).unwrap(), 40);
        keeper.join().unwrap().unwrap();
        assert!(next.sessions().values().all(|kept| kept.master.is_some() && kept.program.is_none()));
    }

    #[test]
    fn a_wrong_key_on_either_side_gives_and_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        directories(&home).unwrap();
        let listener = offer(&home).unwrap();
        let keeper = std::thread::spawn(move || {
            wait_for(&listener);
            give(&listener, &InstallKey::new([4; 32]), &full())
        });
        let mut next = Core::new(100);
        assert!(take(&home, &InstallKey::new([5; 32]), &mut next).is_err());
        assert!(keeper.join().unwrap().is_err());
        assert!(next.sessions().is_empty());
    }

    #[test]
    fn a_keeper_that_gave_up_gives_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path());
        directories(&home).unwrap();
        let key = InstallKey::new([4; 32]);
        let (listener, given) = (offer(&home).unwrap(), key.clone());
        let keeper = std::thread::spawn(move || {
            // One launcher hears everything and dies before it says so.
            wait_for(&listener);
            let first = give(&listener, &given, &full()).is_err();
            wait_for(&listener);
            (first, give(&listener, &given, &full()).is_ok())
        });
        let socket = find(&home).unwrap().unwrap();
        assert_eq!(ask(&socket, &key).unwrap().len(), 40);
        drop(socket);
        let mut next = Core::new(100);
        assert_eq!(take(&home, &key, &mut next).unwrap(), 40);
        assert_eq!(keeper.join().unwrap(), (true, true));
    }
}
