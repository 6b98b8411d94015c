//! What sessions need outlives an orderly stop too.
//!
//! `baton down` ends sessiond, bridge and launcher and leaves sessions alone; but somebody has to hold their handles
//! until the next `baton up`, or a worker killed after it would take its program along. So a launcher that stops while
//! programs run leaves a keeper behind: a copy of itself without listening sockets, lock and services, which goes on
//! restarting workers and gives everything to the next launcher. That launcher may be a newer version.
//!
//! ```text
//! launcher                          keeper (<runtime>/keeper.sock, messages kept whole)
//!   nonce                      ──►
//!                              ◄──  nonce, proof
//!   proof                      ──►
//!                              ◄──  one note for each session, its handles beside it; then an empty one
//!   taken                      ──►  exits
//! ```
//!
//! Both prove that they hold the install key, as on every local socket, in the name of a sessiond of generation 0,
//! which never exists: no other conversation yields these proofs.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use baton_proto::hello::{Hello, InstallKey, Nonce, Proof, Role, VERSION_MAX, VERSION_MIN, Welcome, Who};
use baton_proto::home::{Home, through};
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use super::core::Core;
use super::spare::{self, Note};

/// The keeper's socket below the runtime directory.
const KEEPER_SOCKET: &str = "keeper.sock";

/// Version of this conversation; a keeper and a launcher of different ones leave each other alone.
const VERSION: u16 = 1;

/// How long either waits for the other's next message. The keeper does nothing else meanwhile, so a stranger that
/// connects and says nothing must not hold it up.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the launcher says when it has everything.
const TAKEN: [u8; 1] = [1];

/// Listens for the next launcher.
///
/// # Errors
/// What the kernel said.
pub fn offer(home: &Home) -> io::Result<UnixListener> {
    let directory = fds::open_dir(&home.runtime)?;
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
    // Gone already if the next launcher cleaned up first.
    let _ = std::fs::remove_file(home.runtime.join(KEEPER_SOCKET));
}

/// Gives everything to whoever connects and proves to be a launcher of this install.
///
/// # Errors
/// Why it was not taken; it is all still here then.
pub fn give(listener: &UnixListener, key: &InstallKey, core: &Core<OwnedFd>) -> io::Result<()> {
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
    for (session, kept) in core.sessions() {
        let (bytes, handles) = spare::encode_session(*session, Some(kept));
        fds::send(&socket, &bytes, &handles)?;
    }
    fds::send(&socket, &Note::default().to_bytes(), &[])?;
    if message::<1>(&socket)? == TAKEN { Ok(()) } else { Err(refused("a launcher that did not take everything")) }
}

/// Takes everything from a keeper, if there is one. Returns how many sessions that are.
///
/// # Errors
/// What went wrong; nothing is taken then.
pub fn take(home: &Home, key: &InstallKey, core: &mut Core<OwnedFd>) -> io::Result<usize> {
    let directory = fds::open_dir(&home.runtime)?;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(&through(directory.as_raw_fd(), KEEPER_SOCKET))?) {
        Ok(()) => {}
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(0),
        Err(err) => return Err(err.into()),
    }
    be_impatient(&socket)?;
    let ours = nonce()?;
    let hello = hello(ours);
    fds::send(&socket, &ours, &[])?;
    let answer: [u8; 64] = message(&socket)?;
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
    fds::send(&socket, &key.dialler_proof(&hello, VERSION, &nonce), &[])?;
    let mut notes = Vec::new();
    loop {
        let mut bytes = [0; spare::BYTES];
        let (count, handles) = fds::receive(&socket, &mut bytes)?;
        if count != spare::BYTES {
            return Err(refused("a keeper that did not give everything"));
        }
        if bytes == Note::default().to_bytes() {
            break;
        }
        notes.push((bytes, handles));
    }
    // From here on the keeper is gone, or will be.
    fds::send(&socket, &TAKEN, &[])?;
    let count = notes.len();
    for (bytes, handles) in notes {
        spare::apply(&bytes, handles, core);
    }
    Ok(count)
}

/// What both proofs speak about.
fn hello(nonce: Nonce) -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
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
