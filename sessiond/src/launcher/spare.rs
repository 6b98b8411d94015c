//! The spare: a copy of the launcher, made by fork, that waits for it to die.
//!
//! It needs no message to begin with, because fork gives it every descriptor and the whole [`Core`]; from then on each
//! change is told to it before it takes effect. At the end of the conversation it is the launcher: it owns the same
//! channels, so that workers and sessiond notice nothing but a pause, and what the dead one had read but not acted on
//! is still in them (messages are peeked, acted on, then taken). What it did not fork it watches by pidfd; whose status
//! it can't reap it asks the kernel for.
//!
//! When the launcher is to be of another version, the spare is not a fork but the installed program: an heir. It is told
//! everything as a message, says when it has all of it, is given the word, and takes over from a launcher that leaves as
//! a spare takes over from one that dies. Without the word it takes nothing: there must be one successor.
//!
//! The launcher dies → the spare takes over and forks the next. The spare dies → the launcher forks the next. Both die
//! at once → sessiond and bridge see their life lines close and exit; workers live on, and the next launcher's sessiond
//! adopts them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use baton_proto::SessionId;
use baton_proto::launch::Start;
use baton_proto::spec::Profile;
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::{Child, fds, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::children::Nursery;
use super::core::{Changed, Core, HEALTHY_WITHIN, Kept, Next, Phase, Program, Running, Service};

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

/// Starts the installed launcher and tells it everything.
///
/// # Errors
/// What failed; nothing is changed then.
pub fn start_heir(nursery: &Nursery, places: &[BorrowedFd<'_>], core: &Core<OwnedFd>) -> anyhow::Result<Spare> {
    let (ours, theirs) = fds::seqpacket_pair()?;
    let (child, gate) = nursery.heir(theirs)?;
    let heir = Spare { child, socket: ours };
    gate.release()?;
    fds::set_nonblocking(&heir.socket)?;
    heir.send(&Note { what: HEIR, present: true, flags: HEIR_VERSION, ..Note::default() }.to_bytes(), places)?;
    for service in Service::ALL {
        heir.tell(Changed::Service(service), core)?;
    }
    for session in core.sessions().keys() {
        heir.tell(Changed::Session(*session), core)?;
    }
    heir.send(&Note { what: WHOLE, ..Note::default() }.to_bytes(), &[])?;
    Ok(heir)
}

impl Spare {
    /// Readable when an heir answers or is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether an heir has said that it has everything.
    ///
    /// # Errors
    /// That it is gone, or says something else.
    pub fn has_everything(&self) -> io::Result<bool> {
        let mut bytes = [0; BYTES];
        match fds::receive(&self.socket, &mut bytes) {
            Ok((count, _)) if count == BYTES && bytes[0] == WHOLE => Ok(true),
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Gives an heir the word: from now on it takes over when this process ends.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn appoint(&self) -> io::Result<()> {
        self.send(&Note { what: HEIR, flags: HEIR_VERSION, ..Note::default() }.to_bytes(), &[])
    }

    /// Lets go of it without killing it.
    pub fn leave_alone(self) {
        std::mem::forget(self);
    }

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

/// What the heir's first message says, its descriptors beside it; an heir that does not know this version of the notes
/// takes nothing.
///
/// # Errors
/// What came instead.
pub fn first_word(socket: &OwnedFd) -> io::Result<Vec<OwnedFd>> {
    let mut bytes = [0; BYTES];
    match fds::receive(socket, &mut bytes)? {
        (count, handles) if count == BYTES && bytes[0] == HEIR && bytes[2] == HEIR_VERSION => Ok(handles),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a launcher that speaks another version of the notes")),
    }
}

/// Whether this note is the last of the beginning: then everything has come. Says so to the launcher.
///
/// # Errors
/// When the launcher does not listen.
pub fn answer_whole(socket: &OwnedFd, bytes: &[u8; BYTES]) -> io::Result<bool> {
    if bytes[0] != WHOLE {
        return Ok(false);
    }
    fds::send(socket, bytes, &[]).map(|_| true)
}

/// Whether this note gives the heir the word.
pub const fn is_word(bytes: &[u8; BYTES]) -> bool {
    bytes[0] == HEIR
}

/// Whether a note is of [`Spare::tell_places`]; others are for [`apply`].
pub(super) const fn is_places(bytes: &[u8; BYTES]) -> bool {
    bytes[0] == PLACES
}

/// Version of the notes as a launcher of another version reads them.
const HEIR_VERSION: u8 = 1;

/// Bytes of a note.
pub(super) const BYTES: usize = 48;
const SESSION: u8 = 1;
const SERVICE: u8 = 2;
const PLACES: u8 = 3;

const HEIR: u8 = 4;
const WHOLE: u8 = 5;

const REPLAY: u8 = 1;
const DONE: u8 = 2;
const ANNOUNCED: u8 = 4;
const EXITED: u8 = 8;
const SERVES: u8 = 16;
const OWN: u8 = 32;
const PARKED: u8 = 64;
const TRIAL: u8 = 128;

/// A message's fixed fields, for the spare and for the next launcher ([`super::handover`]); which handles follow is a bit each, in order.
#[derive(Default)]
pub(super) struct Note {
    what: u8,
    /// Whether the thing is there at all.
    present: bool,
    flags: u8,
    handles: u16,
    service: u8,
    /// How far the worker that is to follow is; 0 if there is none.
    phase: u8,
    pid: u32,
    program: u32,
    exit: i64,
    session: [u8; 16],
    /// The process of the worker that is to follow.
    next: u32,
}

impl Note {
    pub(super) fn to_bytes(&self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        let [few, more] = self.handles.to_le_bytes();
        out[..7].copy_from_slice(&[self.what, u8::from(self.present), self.flags, few, self.service, more, self.phase]);
        out[8..12].copy_from_slice(&self.pid.to_le_bytes());
        out[12..16].copy_from_slice(&self.program.to_le_bytes());
        out[16..24].copy_from_slice(&self.exit.to_le_bytes());
        out[24..40].copy_from_slice(&self.session);
        out[40..44].copy_from_slice(&self.next.to_le_bytes());
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
            handles: u16::from_le_bytes([bytes[3], bytes[5]]),
            service: bytes[4],
            phase: bytes[6],
            pid: number(8),
            program: number(12),
            exit: i64::from_le_bytes(exit),
            session,
            next: number(40),
        }
    }
}

/// Picks the handles that are there and the bits that say which.
fn pack<'a>(all: &[Option<&'a OwnedFd>]) -> (u16, Vec<BorrowedFd<'a>>) {
    let bits = all.iter().enumerate().fold(0, |bits, (at, handle)| bits | u16::from(handle.is_some()) << at);
    (bits, all.iter().copied().flatten().map(AsFd::as_fd).collect())
}

pub(super) fn encode_session(session: SessionId, kept: Option<&Kept<OwnedFd>>) -> ([u8; BYTES], Vec<BorrowedFd<'_>>) {
    let mut note = Note { what: SESSION, session: *session.uuid().as_bytes(), ..Note::default() };
    let Some(kept) = kept else { return (note.to_bytes(), Vec::new()) };
    let (worker, program) = (kept.worker.as_ref(), kept.program.as_ref());
    // One that was given up is nobody's any more.
    let next = kept.next.as_ref().filter(|next| next.phase != Phase::Ending);
    let (bits, handles) = pack(&[
        Some(&kept.spec),
        kept.listener.as_ref(),
        kept.window.as_ref(),
        kept.master.as_ref(),
        program.map(|program| &program.pidfd),
        worker.map(|worker| &worker.pidfd),
        worker.and_then(|worker| worker.channel.as_ref()),
        next.map(|next| &next.running.pidfd),
        next.and_then(|next| next.running.channel.as_ref()),
    ]);
    note.present = true;
    note.next = next.map_or(0, |next| next.running.pid);
    note.phase = next.map_or(0, |next| if next.phase == Phase::Starting { 1 } else { 2 });
    note.handles = bits;
    note.pid = worker.map_or(0, |worker| worker.pid);
    note.program = program.map_or(0, |program| program.pid);
    let exit = program.and_then(|program| program.exit);
    note.exit = exit.unwrap_or_default();
    let flags = [
        (REPLAY, kept.replay),
        (DONE, kept.done),
        (ANNOUNCED, kept.announced),
        (EXITED, exit.is_some()),
        (SERVES, kept.serves),
        (OWN, kept.own),
        (PARKED, kept.parked),
        (TRIAL, kept.trial),
    ];
    // A session's note has no service, and its profile's place there.
    note.service = u8::try_from(Start::of(kept.profile).number()).unwrap_or_default();
    note.flags = flags.into_iter().filter(|(_, set)| *set).fold(0, |flags, (flag, _)| flags | flag);
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
    if let Some((session, kept)) = decode_session(bytes, handles.collect()) {
        core.restore_session(session, kept);
    }
}

/// What the note says of a session, if it does.
pub(super) fn decode_session(bytes: &[u8; BYTES], handles: Vec<OwnedFd>) -> Option<(SessionId, Option<Kept<OwnedFd>>)> {
    let note = Note::from_bytes(bytes);
    if note.what != SESSION {
        return None;
    }
    let mut handles = handles.into_iter();
    let mut next = |bit: u8| if note.handles & 1 << bit != 0 { handles.next() } else { None };
    let session = SessionId::from_uuid(uuid::Uuid::from_bytes(note.session));
    let Some(spec) = next(0).filter(|_| note.present) else { return Some((session, None)) };
    let mut kept = Kept::new(spec, note.flags & REPLAY != 0);
    kept.profile = match Start::from_number(note.service.into()) {
        Some(Start::Workspace) => Profile::Workspace,
        Some(Start::Locked) => Profile::Locked,
        _ => Profile::Host,
    };
    kept.done = note.flags & DONE != 0;
    kept.announced = note.flags & ANNOUNCED != 0;
    (kept.serves, kept.own) = (note.flags & SERVES != 0, note.flags & OWN != 0);
    (kept.parked, kept.trial) = (note.flags & PARKED != 0, note.flags & TRIAL != 0);
    (kept.listener, kept.window, kept.master) = (next(1), next(2), next(3));
    let exit = (note.flags & EXITED != 0).then_some(note.exit);
    kept.program = next(4).map(|pidfd| Program { pid: note.program, pidfd, exit });
    kept.worker = next(5).map(|pidfd| Running { pid: note.pid, pidfd, channel: next(6) });
    let phase = if note.phase == 1 { Phase::Starting } else { Phase::Standing };
    let now = Instant::now();
    let follows = next(7).map(|pidfd| Next {
        running: Running { pid: note.next, pidfd, channel: next(8) },
        phase,
        by: now + HEALTHY_WITHIN,
    });
    kept.restore_next(follows, now);
    Some((session, Some(kept)))
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
        kept.profile = Profile::Locked;
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
        assert_eq!(copy.profile, Profile::Locked);
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
