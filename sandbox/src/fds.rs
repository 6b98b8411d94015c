//! Descriptors on their way between processes. Everything made or received here is close-on-exec.

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::sys::stat::{Mode, fstat};

/// Most descriptors beside one message.
pub const FDS_MAX: usize = 10;

/// A connected pair of sockets that keep messages whole.
///
/// # Errors
/// What the kernel said.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends bytes and descriptors as one message; the descriptors stay the caller's as well.
///
/// # Errors
/// `InvalidInput` for more than [`FDS_MAX`] descriptors, or for descriptors without a byte to carry them; else what
/// the kernel said. A peer that is gone is `BrokenPipe`, never a signal.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > FDS_MAX || bytes.is_empty() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[][..] } else { &rights[..] };
    loop {
        let sent =
            sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None);
        match sent {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Whether the kernel lacks something just now that others may give back. Above all descriptors that are in flight: those of all
/// of a user's processes are counted together, and whoever sends any is held to its own limit of open files (unix(7)). Any of them
/// can fill that count, with what it sends to itself and never receives.
#[must_use]
pub fn may_pass(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ETOOMANYREFS | libc::ENOMEM | libc::ENOBUFS))
}

/// As [`send`] on a blocking socket, and tried again for so long while [`may_pass`] says that it makes sense.
///
/// # Errors
/// As [`send`], and what there was no room for all the time.
pub fn send_patiently(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>], within: Duration) -> io::Result<usize> {
    let until = Instant::now() + within;
    loop {
        match send(&socket, bytes, fds) {
            Err(err) if may_pass(&err) && Instant::now() < until => std::thread::sleep(AGAIN),
            other => return other,
        }
    }
}

/// Between two tries of [`send_patiently`].
const AGAIN: Duration = Duration::from_millis(100);

/// Receives one message into `bytes`, and the descriptors beside it. `Ok((0, []))` is the end of the conversation.
///
/// # Errors
/// `InvalidData` when the message was larger than `bytes` or carried more than [`FDS_MAX`] descriptors (whatever
/// arrived is closed again); else what the kernel said.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket.as_fd(), bytes, 0)
}

/// As [`receive`], and the message stays in the socket: whoever acts on it before [`receive`] takes it away can die in
/// between, and the next holder of the socket finds it again. The descriptors are copies.
///
/// # Errors
/// As [`receive`].
pub fn peek(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket.as_fd(), bytes, libc::MSG_PEEK)
}

fn receive_with(socket: BorrowedFd<'_>, bytes: &mut [u8], flags: libc::c_int) -> io::Result<(usize, Vec<OwnedFd>)> {
    #[repr(C, align(8))]
    struct Control([u8; CONTROL_BYTES]);
    #[expect(clippy::cast_possible_truncation, reason = "32")]
    const RIGHTS_BYTES: u32 = (FDS_MAX * size_of::<RawFd>()) as u32;
    // SAFETY: CMSG_SPACE computes with its argument only.
    const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(RIGHTS_BYTES) } as usize;

    let mut control = Control([0; CONTROL_BYTES]);
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    let count = loop {
        // SAFETY: every pointer in the header points to a live buffer of the length beside it.
        let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags | libc::MSG_CMSG_CLOEXEC) };
        match usize::try_from(count) {
            Ok(count) => break count,
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    };
    // The descriptors are taken before the flags are judged: those of a truncated message are open all the same.
    let mut fds = Vec::new();
    // SAFETY: the CMSG macros walk the control buffer that the kernel filled, within the length it wrote; each number
    // read was installed in this process by this very call, so that nobody else owns it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(entry) = header.as_ref() {
            if entry.cmsg_level == libc::SOL_SOCKET && entry.cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                #[allow(clippy::unnecessary_cast)] // `cmsg_len` has another type under musl
                let space = entry.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for at in 0..space / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message larger than its channel allows"));
    }
    Ok((count, fds))
}

/// A memory file with these bytes that nobody can change any more: not its length, not its content, not its seals.
///
/// # Errors
/// What the kernel said.
pub fn sealed_memfd(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut written = 0;
    while written < bytes.len() {
        match nix::sys::uio::pwrite(&fd, &bytes[written..], offset(written)?) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(count) => written += count,
            Err(Errno::EINTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
    fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALED))?;
    Ok(fd)
}

const SEALED: SealFlag =
    SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE);

/// Reads a memory file whole, after making sure that it is sealed (what is read can't change under the reader) and
/// not larger than `bytes_max`.
///
/// # Errors
/// `InvalidData` when it is not sealed or too large, else what the kernel said.
pub fn read_sealed(fd: impl AsFd, bytes_max: usize) -> io::Result<Vec<u8>> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if !seals(&fd)?.contains(SEALED) {
        return Err(invalid("the memory file is not sealed".to_owned()));
    }
    let len = usize::try_from(fstat(&fd)?.st_size).unwrap_or(usize::MAX);
    if len > bytes_max {
        return Err(invalid(format!("the memory file has {len} bytes, more than the {bytes_max} allowed")));
    }
    let mut bytes = vec![0; len];
    let mut have = 0;
    while have < len {
        match nix::sys::uio::pread(&fd, &mut bytes[have..], offset(have)?) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(count) => have += count,
            Err(Errno::EINTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(bytes)
}

/// A zeroed memory file of fixed length, to be mapped by several processes. Its length is sealed, so that no peer can
/// make a mapped page vanish under another (which would be SIGBUS).
///
/// # Errors
/// What the kernel said.
pub fn shared_memfd(name: &CStr, len: usize) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    nix::unistd::ftruncate(&fd, offset(len)?)?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(FIXED_LENGTH | SealFlag::F_SEAL_SEAL))?;
    Ok(fd)
}

const FIXED_LENGTH: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

/// Makes sure that this is a memory file of [`shared_memfd`] with this length, before anybody maps it.
///
/// # Errors
/// `InvalidData` when it is not, else what the kernel said.
pub fn check_shared_memfd(fd: impl AsFd, len: usize) -> io::Result<()> {
    let has = usize::try_from(fstat(&fd)?.st_size).unwrap_or(usize::MAX);
    if has != len || !seals(&fd)?.contains(FIXED_LENGTH) {
        let why = format!("a shared memory file of {has} bytes, not one of a fixed {len}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(())
}

fn seals(fd: impl AsFd) -> io::Result<SealFlag> {
    match fcntl(fd, FcntlArg::F_GET_SEALS) {
        Ok(bits) => Ok(SealFlag::from_bits_truncate(bits)),
        // Not a memory file at all.
        Err(Errno::EINVAL) => Ok(SealFlag::empty()),
        Err(err) => Err(err.into()),
    }
}

fn offset(at: usize) -> io::Result<libc::off_t> {
    libc::off_t::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// An open directory to reach names through ([`baton_proto::home::through`]); nothing can be read from it itself.
///
/// # Errors
/// What the kernel said.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Closes whatever was inherited above stderr, those of `keep` excepted: a process that outlives whoever started it must not hold
/// their files open for weeks. The first thing a program does: nothing of its own may have a descriptor yet.
///
/// # Errors
/// What the kernel said.
pub fn close_inherited(keep: &[RawFd]) -> io::Result<()> {
    let mut first: RawFd = 3;
    let close = |first: RawFd, last: RawFd| {
        if first > last {
            return Ok(());
        }
        crate::exec::close_range(first, last).map_err(|(_, errno)| io::Error::from(errno))
    };
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|keep| *keep >= first).collect();
    keep.sort_unstable();
    for keep in keep {
        close(first, keep - 1)?;
        first = keep.saturating_add(1);
    }
    close(first, RawFd::MAX)
}

/// Takes a descriptor that came through exec under an agreed number, and makes it close-on-exec.
///
/// # Errors
/// `NotFound` when nothing is open there, or something that did not come through exec: everything this workspace
/// opens itself is close-on-exec, so a descriptor with that flag has another owner already. Taking a number twice
/// fails for the same reason.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let missing = |why: &str| io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} {why}"));
    if number <= 2 {
        return Err(missing("is standard input or output"));
    }
    // SAFETY: F_GETFD looks at the descriptor table only; a number that is not open is an error, not a hazard.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags == -1 {
        return Err(missing("was not passed to this process"));
    }
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(missing("was opened by this process and has an owner"));
    }
    // SAFETY: the descriptor is open, and without FD_CLOEXEC it came through exec: no value in this process owns it
    // yet. The next line makes a second call fail.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// Reads and writes on it return at once. The flag belongs to the open description: every copy has it.
///
/// # Errors
/// What the kernel said.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};

    use super::*;

    fn inode(fd: &OwnedFd) -> u64 {
        fstat(fd).unwrap().st_ino
    }

    #[test]
    fn descriptors_travel_with_their_message_and_close_on_exec() {
        let (ours, theirs) = seqpacket_pair().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        send(&ours, b"one", &[read.as_fd(), write.as_fd()]).unwrap();
        send(&ours, b"two", &[]).unwrap();
        let mut bytes = [0; 16];
        // A look leaves the message where it is.
        let (count, seen) = peek(&theirs, &mut bytes).unwrap();
        assert_eq!((&bytes[..count], seen.len()), (b"one".as_slice(), 2));
        let (count, got) = receive(&theirs, &mut bytes).unwrap();
        assert_eq!((&bytes[..count], got.len()), (b"one".as_slice(), 2));
        assert_eq!((inode(&got[0]), inode(&got[1])), (inode(&read), inode(&write)));
        for fd in &got {
            let flags = FdFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFD).unwrap());
            assert!(flags.contains(FdFlag::FD_CLOEXEC));
        }
        let (count, got) = receive(&theirs, &mut bytes).unwrap();
        assert_eq!((&bytes[..count], got.len()), (b"two".as_slice(), 0));
        drop(ours);
        assert_eq!(receive(&theirs, &mut bytes).unwrap().0, 0);
        assert_eq!(send(&theirs, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn too_much_is_refused_and_nothing_of_it_stays_open() {
        let (ours, theirs) = seqpacket_pair().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        let many: Vec<BorrowedFd<'_>> = vec![write.as_fd(); FDS_MAX + 1];
        assert_eq!(send(&ours, b"x", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&ours, b"", &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        // A peer that is not bound by `send`.
        let numbers = vec![write.as_raw_fd(); FDS_MAX + 4];
        let rights = [ControlMessage::ScmRights(&numbers)];
        let raw = ours.as_raw_fd();
        sendmsg::<()>(raw, &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
        assert_eq!(receive(&theirs, &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        send(&ours, b"longer than that", &[write.as_fd()]).unwrap();
        assert_eq!(receive(&theirs, &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // With every copy closed again, closing the last writer is the end of the pipe.
        drop(write);
        assert_eq!(std::fs::File::from(read).read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_sealed_file_says_the_same_for_ever() {
        let fd = sealed_memfd(c"test", b"the spec").unwrap();
        assert_eq!(read_sealed(&fd, 8).unwrap(), b"the spec");
        assert_eq!(read_sealed(&fd, 7).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut file = std::fs::File::from(fd);
        assert!(file.write(b"other").is_err());
        assert!(file.set_len(0).is_err() && file.set_len(100).is_err());
        // One that could still change is not read at all.
        let open = memfd_create(c"open", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert_eq!(read_sealed(&open, 8).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (pipe, _write) = nix::unistd::pipe().unwrap();
        assert_eq!(read_sealed(&pipe, 8).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_shared_file_keeps_its_length() {
        let fd = shared_memfd(c"window", 4096).unwrap();
        check_shared_memfd(&fd, 4096).unwrap();
        assert!(check_shared_memfd(&fd, 8192).is_err());
        assert!(check_shared_memfd(sealed_memfd(c"other", b"x").unwrap(), 4096).is_err());
        let file = std::fs::File::from(fd);
        assert!(file.set_len(0).is_err() && file.set_len(8192).is_err());
        nix::sys::uio::pwrite(&file, b"written", 0).unwrap();
    }

    #[test]
    fn what_was_not_inherited_is_not_taken() {
        assert!(inherited(1).is_err());
        assert!(inherited(1 << 20).is_err());
        let own = open_dir(Path::new("/")).unwrap();
        let err = inherited(own.as_raw_fd()).unwrap_err();
        assert!(err.to_string().contains("has an owner"), "{err}");
    }
}
