//! The spare: a copy of the launcher, made by fork, that waits for it to die.
//!
//! It needs no message to begin with, because fork gives it every descriptor and the whole [`Core`]; from then on each
//! change is told to it before it takes effect. At the end of the conversation it is the launcher: it owns the same
//! channels, so that workers and sessiond notice nothing but a pause, and what the dead one had read but not acted on
//! is still in them (messages are peeked, acted on, then taken). What it did not fork it watches by pidfd; whose status
//! it can't reap it asks the kernel for.
//!
//! The launcher dies → the spare takes over and forks the next. The spare dies → the launcher forks the next. Both die
//! at once → sessiond and bridge see their life lines close and exit; workers live on, and the next launcher's sessiond
//! adopts them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use baton_proto::SessionId;
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{Child, fds, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::core::{Changed, Core, Kept, Program, Running, Service};

/// The launcher's view of its spare. Dropped, it kills it: a copy that missed a change must never take over.
#[derive(Debug)]
pub struct Spare {
    /// The process.
    pub child: Child,
    socket: OwnedFd,
}

impl Drop for Spare {
    fn drop(&mut self) {
        // It is this process's unreaped child: the signal reaches it or a zombie.
        let _ = process::pidfd_send_signal(&self.child.pidfd, Signal::SIGKILL);
        process::reap(&self.child.pidfd);
    }
}

/// What fork returned.
pub enum Forked {
    /// Here is the launcher.
    Launcher(Spare),
    /// Here is the spare, and its end of the conversation.
    Spare(OwnedFd),
}

/// Makes a spare of this process.
///
/// # Errors
/// What failed.
pub fn fork() -> anyhow::Result<Forked> {
    let (ours, theirs) = fds::seqpacket_pair()?;
    fds::set_nonblocking(&ours)?;
    Ok(match fork_twin()? {
        Twin::Elder(child) => Forked::Launcher(Spare { child, socket: ours }),
        Twin::Younger => Forked::Spare(theirs),
    })
}

impl Spare {
    /// Tells what changed.
    ///
    /// # Errors
    /// When it does not listen (any more); it is of no use then.
    pub fn tell(&self, changed: Changed, core: &Core<OwnedFd>) -> io::Result<()> {
        let (bytes, handles) = match changed {
            Changed::Session(session) => encode_session(session, core.sessions().get(&session)),
            Changed::Service(service) => encode_service(service, core.service(service)),
        };
        self.send(&bytes, &handles)
    }

    /// Tells what was bound and locked anew.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub fn tell_places(&self, handles: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send(&Note { what: PLACES, present: true, ..Note::default() }.to_bytes(), handles)
    }

    fn send(&self, bytes: &[u8; BYTES], handles: &[BorrowedFd<'_>]) -> io::Result<()> {
        match fds::send(&self.socket, bytes, handles) {
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                // It reads at once whenever it runs at all: a moment is generous.
                let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, 100u8)?;
                fds::send(&self.socket, bytes, handles).map(drop)
            }
            other => other.map(drop),
        }
    }
}

/// The spare's life until the launcher's death: keeps its copy of the state as it is `told`.
pub fn wait(socket: &OwnedFd, mut told: impl FnMut(&[u8; BYTES], Vec<OwnedFd>)) {
    loop {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        // An error here is EINTR, or ENOMEM that will pass.
        let _ = poll(&mut fds, PollTimeout::NONE);
        let mut bytes = [0; BYTES];
        match fds::receive(socket, &mut bytes) {
            Ok((0, _)) => return,
            Ok((count, handles)) if count == BYTES => told(&bytes, handles),
            // The launcher and its fork speak the same bytes; anything else is memory gone bad, and better not kept.
            Ok(_) => std::process::abort(),
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return,
            Err(_) => std::process::abort(),
        }
    }
}

/// Whether a note is of [`Spare::tell_places`]; others are for [`apply`].
pub(super) const fn is_places(bytes: &[u8; BYTES]) -> bool {
    bytes[0] == PLACES
}

/// Bytes of a note.
pub(super) const BYTES: usize = 48;
const SESSION: u8 = 1;
const SERVICE: u8 = 2;
const PLACES: u8 = 3;

const REPLAY: u8 = 1;
const DONE: u8 = 2;
const ANNOUNCED: u8 = 4;
const EXITED: u8 = 8;

/// A message's fixed fields, for the spare and for the next launcher ([`super::handover`]); which handles follow is a bit each, in order.
#[derive(Default)]
pub(super) struct Note {
    what: u8,
    /// Whether the thing is there at all.
    present: bool,
    flags: u8,
    handles: u8,
    service: u8,
    pid: u32,
    program: u32,
    exit: i64,
    session: [u8; 16],
}

impl Note {
    pub(super) fn to_bytes(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..5].copy_from_slice(&[self.what, u8::from(self.present), self.flags, self.handles, self.service]);
        out[8..12].copy_from_slice(&self.pid.to_le_bytes());
        out[12..16].copy_from_slice(&self.program.to_le_bytes());
        out[16..24].copy_from_slice(&self.exit.to_le_bytes());
        out[24..40].copy_from_slice(&self.session);
        out
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut session = [0; 16];
        session.copy_from_slice(&bytes[24..40]);
        let mut exit = [0; 8];
        exit.copy_from_slice(&bytes[16..24]);
        Self {
            what: bytes[0],
            present: bytes[1] != 0,
            flags: bytes[2],
            handles: bytes[3],
            service: bytes[4],
            pid: number(8),
            program: number(12),
            exit: i64::from_le_bytes(exit),
            session,
        }
    }
}

/// Picks the handles that are there and the bits that say which.
fn pack<'a>(all: &[Option<&'a OwnedFd>]) -> (u8, Vec<BorrowedFd<'a>>) {
    let bits = all.iter().enumerate().fold(0, |bits, (at, handle)| bits | u8::from(handle.is_some()) << at);
    (bits, all.iter().copied().flatten().map(AsFd::as_fd).collect())
}

pub(super) fn encode_session(session: SessionId, kept: Option<&Kept<OwnedFd>>) -> ([u8; BYTES], Vec<BorrowedFd<'_>>) {
    let mut note = Note { what: SESSION, session: *session.uuid().as_bytes(), ..Note::default() };
    let Some(kept) = kept else { return (note.to_bytes(), Vec::new()) };
    let (worker, program) = (kept.worker.as_ref(), kept.program.as_ref());
    let (bits, handles) = pack(&[
        Some(&kept.spec),
        kept.listener.as_ref(),
        kept.window.as_ref(),
        kept.master.as_ref(),
        program.map(|program| &program.pidfd),
        worker.map(|worker| &worker.pidfd),
        worker.and_then(|worker| worker.channel.as_ref()),
    ]);
    note.present = true;
    note.handles = bits;
    note.pid = worker.map_or(0, |worker| worker.pid);
    note.program = program.map_or(0, |program| program.pid);
    let exit = program.and_then(|program| program.exit);
    note.exit = exit.unwrap_or_default();
    for (flag, set) in [(REPLAY, kept.replay), (DONE, kept.done), (ANNOUNCED, kept.announced), (EXITED, exit.is_some())]
    {
        note.flags |= if set { flag } else { 0 };
    }
    (note.to_bytes(), handles)
}

pub(super) fn encode_service(
    service: Service,
    running: Option<&Running<OwnedFd>>,
) -> ([u8; BYTES], Vec<BorrowedFd<'_>>) {
    let number = Service::ALL.iter().position(|other| *other == service).unwrap_or_default();
    let mut note = Note { what: SERVICE, service: u8::try_from(number).unwrap_or_default(), ..Note::default() };
    let Some(running) = running else { return (note.to_bytes(), Vec::new()) };
    let (bits, handles) = pack(&[Some(&running.pidfd), running.channel.as_ref()]);
    (note.present, note.handles, note.pid) = (true, bits, running.pid);
    (note.to_bytes(), handles)
}

/// Does to this copy what the note says.
pub(super) fn apply(bytes: &[u8; BYTES], handles: Vec<OwnedFd>, core: &mut Core<OwnedFd>) {
    let note = Note::from_bytes(bytes);
    let mut handles = handles.into_iter();
    let mut next = |bit: u8| if note.handles & 1 << bit != 0 { handles.next() } else { None };
    if note.what == SERVICE {
        let Some(service) = Service::ALL.get(usize::from(note.service)) else { return };
        let running = next(0).map(|pidfd| Running { pid: note.pid, pidfd, channel: next(1) });
        return core.restore_service(*service, running);
    }
    let session = SessionId::from_uuid(uuid::Uuid::from_bytes(note.session));
    let Some(spec) = next(0).filter(|_| note.present) else { return core.restore_session(session, None) };
    let mut kept = Kept::new(spec, note.flags & REPLAY != 0);
    kept.done = note.flags & DONE != 0;
    kept.announced = note.flags & ANNOUNCED != 0;
    (kept.listener, kept.window, kept.master) = (next(1), next(2), next(3));
    let exit = (note.flags & EXITED != 0).then_some(note.exit);
    kept.program = next(4).map(|pidfd| Program { pid: note.program, pidfd, exit });
    kept.worker = next(5).map(|pidfd| Running { pid: note.pid, pidfd, channel: next(6) });
    core.restore_session(session, Some(kept));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::fd::AsRawFd;

    use nix::sys::stat::fstat;

    use super::*;

    fn file() -> OwnedFd {
        tempfile::tempfile().unwrap().into()
    }

    fn inode(fd: &OwnedFd) -> u64 {
        fstat(fd).unwrap().st_ino
    }

    // Through a real socket: what the spare restores is what the launcher had, handle by handle.
    #[test]
    fn a_kept_session_arrives_whole_and_a_forgotten_one_leaves() {
        let session = SessionId::from_uuid(uuid::Uuid::from_u128(9));
        let mut kept = Kept::new(file(), false);
        kept.announced = true;
        (kept.listener, kept.master) = (Some(file()), Some(file()));
        kept.program = Some(Program { pid: 41, pidfd: file(), exit: Some(0x700) });
        kept.worker = Some(Running { pid: 40, pidfd: file(), channel: Some(file()) });
        let (ours, theirs) = fds::seqpacket_pair().unwrap();
        let send = |kept: Option<&Kept<OwnedFd>>| {
            let (bytes, handles) = encode_session(session, kept);
            fds::send(&ours, &bytes, &handles).unwrap();
            let mut bytes = [0; BYTES];
            let (_, handles) = fds::receive(&theirs, &mut bytes).unwrap();
            (bytes, handles)
        };
        let mut core = Core::new(10);
        let (bytes, handles) = send(Some(&kept));
        apply(&bytes, handles, &mut core);
        let copy = &core.sessions()[&session];
        assert_eq!((copy.announced, copy.done, copy.replay, copy.window.is_none()), (true, false, false, true));
        assert_ne!(copy.spec.as_raw_fd(), kept.spec.as_raw_fd());
        assert_eq!(inode(&copy.spec), inode(&kept.spec));
        assert_eq!(inode(copy.listener.as_ref().unwrap()), inode(kept.listener.as_ref().unwrap()));
        assert_eq!(inode(copy.master.as_ref().unwrap()), inode(kept.master.as_ref().unwrap()));
        let (was, is) = (kept.program.as_ref().unwrap(), copy.program.as_ref().unwrap());
        assert_eq!((is.pid, is.exit, inode(&is.pidfd)), (was.pid, was.exit, inode(&was.pidfd)));
        let (was, is) = (kept.worker.as_ref().unwrap(), copy.worker.as_ref().unwrap());
        assert_eq!(inode(is.channel.as_ref().unwrap()), inode(was.channel.as_ref().unwrap()));
        assert_eq!((is.pid, inode(&is.pidfd)), (was.pid, inode(&was.pidfd)));
        let (bytes, handles) = send(None);
        apply(&bytes, handles, &mut core);
        assert!(core.sessions().is_empty());
    }

    #[test]
    fn services_arrive_too() {
        let running = Running { pid: 7, pidfd: file(), channel: None };
        let (bytes, _) = encode_service(Service::Bridge, Some(&running));
        let mut core = Core::new(10);
        let pidfd = running.pidfd.try_clone().unwrap();
        apply(&bytes, vec![pidfd], &mut core);
        assert_eq!(core.service(Service::Bridge).unwrap().pid, 7);
        let (bytes, _) = encode_service(Service::Bridge, None);
        apply(&bytes, Vec::new(), &mut core);
        assert!(core.service(Service::Bridge).is_none());
    }
}
