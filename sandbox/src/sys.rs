//! System calls that confine, as the kernel has them: numbers in, an error number out. All are made between fork and exec,
//! so none allocates, locks or keeps anything.

use std::ffi::CStr;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// `struct open_how` of `linux/openat2.h`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// `struct landlock_path_beneath_attr` of `linux/landlock.h`.
#[repr(C, packed)]
struct PathBeneath {
    rights: u64,
    parent: i32,
}

const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;
const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const RESOLVE_NO_SYMLINKS: u64 = 4;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;

fn done(result: libc::c_long) -> Result<(), Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// The version of the Landlock interface; 0 = there is none.
pub(crate) fn landlock_version() -> u32 {
    // SAFETY: with this flag the kernel takes a null pointer and changes nothing (landlock_create_ruleset(2)).
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Adds a rule for everything below an open directory.
pub(crate) fn landlock_add(ruleset: RawFd, directory: RawFd, rights: u64) -> Result<(), Errno> {
    let rule = PathBeneath { rights, parent: directory };
    // SAFETY: the structure has the kernel's layout and lives through the call.
    done(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &raw const rule, 0u32)
    })
}

/// Confines the calling thread by a ruleset.
pub(crate) fn landlock_restrict(ruleset: RawFd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    done(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0u32) })
}

/// Leaves namespaces for new ones.
pub(crate) fn unshare(flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: numbers only.
    done(unsafe { libc::unshare(flags) }.into())
}

/// Writes a whole short file of the kernel's.
pub(crate) fn write_file(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated path and a buffer of the length that is said; the descriptor is this call's own.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd == -1 {
            return Err(Errno::last());
        }
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        let failed = Errno::last();
        libc::close(fd);
        if written == -1 { Err(failed) } else { Ok(()) }
    }
}

/// Switches the loopback interface on, which a new network has switched off.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid `ifreq`; the kernel reads and writes one such structure, and the descriptor is this
    // call's own.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if fd == -1 {
            return Err(Errno::last());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        #[expect(clippy::cast_possible_truncation, reason = "two of the low bits")]
        let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        request.ifr_ifru.ifru_flags = flags;
        let set = libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw mut request);
        let failed = Errno::last();
        libc::close(fd);
        if set == -1 { Err(failed) } else { Ok(()) }
    }
}

/// No mount that is made from here on is seen elsewhere, nor one of elsewhere here.
pub(crate) fn private_mounts() -> Result<(), Errno> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: NUL-terminated strings; source, type and data are not looked at for a change of propagation (mount(2)).
    done(unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) }.into())
}

/// A copy of the tree at an open place, mounts below it included, that is not attached anywhere yet.
pub(crate) fn copy_tree(from: RawFd) -> Result<RawFd, Errno> {
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | (libc::O_CLOEXEC | libc::AT_EMPTY_PATH).cast_unsigned();
    // SAFETY: a NUL-terminated string and numbers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, from, c"".as_ptr(), flags) };
    if fd == -1 { Err(Errno::last()) } else { RawFd::try_from(fd).map_err(|_| Errno::EBADF) }
}

/// Attaches a copied tree to an open place.
pub(crate) fn put_tree(tree: RawFd, at: RawFd) -> Result<(), Errno> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: NUL-terminated strings and numbers.
    done(unsafe { libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), at, c"".as_ptr(), flags) })
}

fn set_mounts(fd: RawFd, path: &CStr, attributes: u64) -> Result<(), Errno> {
    let attr = MountAttr { set: attributes, ..MountAttr::default() };
    let flags = AT_RECURSIVE | libc::AT_EMPTY_PATH.cast_unsigned();
    // SAFETY: a NUL-terminated string, and a structure of the kernel's layout and of the size that is said.
    done(unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, path.as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    })
}

/// Makes a copied tree such that no device or set-user-id bit in it works; and nothing in it changes, if it is only read.
pub(crate) fn tame_tree(tree: RawFd, read_only: bool) -> Result<(), Errno> {
    let read_only = if read_only { MOUNT_ATTR_RDONLY } else { 0 };
    set_mounts(tree, c"", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | read_only)
}

/// Makes everything that is mounted read-only.
pub(crate) fn all_read_only() -> Result<(), Errno> {
    set_mounts(libc::AT_FDCWD, c"/", MOUNT_ATTR_RDONLY)
}

/// Covers a directory by an empty one that nobody can write to.
pub(crate) fn empty(path: &CStr) -> Result<(), Errno> {
    tmpfs(path, libc::MS_RDONLY | libc::MS_NOEXEC, c"size=4k,nr_inodes=2,mode=0555")
}

/// Covers a directory by an empty one in which directories and files are made to put something back at.
pub(crate) fn bare(path: &CStr) -> Result<(), Errno> {
    tmpfs(path, libc::MS_NOEXEC, c"size=4m,nr_inodes=16384,mode=0755")
}

fn tmpfs(path: &CStr, flags: libc::c_ulong, options: &CStr) -> Result<(), Errno> {
    let flags = flags | libc::MS_NOSUID | libc::MS_NODEV;
    // SAFETY: NUL-terminated strings.
    let mounted =
        unsafe { libc::mount(c"none".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast()) };
    done(mounted.into())
}

/// Makes what is mounted at this path read-only, and nothing that is mounted below it.
pub(crate) fn seal(path: &CStr) -> Result<(), Errno> {
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: NUL-terminated strings; source, type and data are not looked at.
    let sealed = unsafe { libc::mount(c"none".as_ptr(), path.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    done(sealed.into())
}

/// Covers a directory by an empty one in memory, of which this says how large it may become.
pub(crate) fn bounded(path: &CStr, options: &CStr) -> Result<(), Errno> {
    tmpfs(path, 0, options)
}

/// Covers a file by one without content.
pub(crate) fn nothing(path: &CStr) -> Result<(), Errno> {
    let null = c"/dev/null".as_ptr();
    // SAFETY: NUL-terminated strings; type and data are not looked at.
    done(unsafe { libc::mount(null, path.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null()) }.into())
}

/// Mounts a directory of terminals that has none yet. It never has more than 256: all of the host has one number of them
/// (`kernel.pty.max`), and whoever takes them all keeps everybody from a new session.
pub(crate) fn terminals(path: &CStr) -> Result<(), Errno> {
    let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
    let options = c"newinstance,ptmxmode=0666,mode=0620,max=256";
    // SAFETY: NUL-terminated strings.
    let mounted =
        unsafe { libc::mount(c"none".as_ptr(), path.as_ptr(), c"devpts".as_ptr(), flags, options.as_ptr().cast()) };
    done(mounted.into())
}

/// Makes a directory; one that is there is as good.
pub(crate) fn make_directory(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated string.
    match done(unsafe { libc::mkdir(path.as_ptr(), 0o700) }.into()) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

/// Makes an empty file; one that is there is as good.
pub(crate) fn make_file(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated string; the descriptor is this call's own.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let fd = libc::open(path.as_ptr(), flags, 0o600);
        if fd == -1 {
            return if Errno::last() == Errno::EEXIST { Ok(()) } else { Err(Errno::last()) };
        }
        libc::close(fd);
    }
    Ok(())
}

/// Writes a new file.
pub(crate) fn write_new_file(path: &CStr, mut bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: a NUL-terminated string; the descriptor is this call's own, and what is written is alive meanwhile.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let fd = libc::open(path.as_ptr(), flags, 0o600);
        if fd == -1 {
            return Err(Errno::last());
        }
        while !bytes.is_empty() {
            let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            let Ok(written) = usize::try_from(written) else {
                let errno = Errno::last();
                libc::close(fd);
                return Err(errno);
            };
            bytes = bytes.get(written..).unwrap_or_default();
        }
        libc::close(fd);
    }
    Ok(())
}

/// Opens a place only to name it, where nothing on the way to it is a link, nor it itself.
pub(crate) fn open_exact(path: &CStr) -> Result<RawFd, Errno> {
    let flags = libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let how = OpenHow { flags: u64::from(flags.cast_unsigned()), mode: 0, resolve: RESOLVE_NO_SYMLINKS };
    // SAFETY: a NUL-terminated string, and a structure of the kernel's layout and of the size that is said.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), &raw const how, size_of::<OpenHow>())
    };
    if fd != -1 {
        return RawFd::try_from(fd).map_err(|_| Errno::EBADF);
    }
    match Errno::last() {
        // Before Linux 5.6, or where a filter does not know the call: who asks compares what was opened.
        Errno::ENOSYS | Errno::EPERM => {}
        errno => return Err(errno),
    }
    // SAFETY: a NUL-terminated string.
    let fd = unsafe { libc::open(path.as_ptr(), flags) };
    if fd == -1 { Err(Errno::last()) } else { Ok(fd) }
}

/// Device and inode of an open place.
pub(crate) fn identity(fd: RawFd) -> Result<(u64, u64), Errno> {
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the structure is the library's own; it is read only after the call has filled it.
    let found = unsafe {
        done(libc::fstatat(fd, c"".as_ptr(), found.as_mut_ptr(), libc::AT_EMPTY_PATH).into())?;
        found.assume_init()
    };
    Ok((found.st_dev, found.st_ino))
}

/// Opens a directory only to name it.
pub(crate) fn open_path(path: &CStr) -> Result<RawFd, Errno> {
    // SAFETY: a NUL-terminated string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd == -1 { Err(Errno::last()) } else { Ok(fd) }
}

/// Whether a file can be opened for reading.
pub(crate) fn is_readable(path: &CStr) -> bool {
    // SAFETY: a NUL-terminated string; the descriptor is this call's own.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK);
        if fd != -1 {
            libc::close(fd);
        }
        fd != -1
    }
}

/// Closes what is this process's own.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: numbers only; nobody else owns it.
    unsafe { libc::close(fd) };
}

/// From now on exec gives nobody more rights.
pub(crate) fn no_new_privileges() -> Result<(), Errno> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) }.into())
}

/// Drops every capability that is not among these bits, for this process and whatever it executes.
pub(crate) fn keep_capabilities(kept: u64) -> Result<(), Errno> {
    /// `struct __user_cap_header_struct` and `__user_cap_data_struct` of `linux/capability.h`, version 3.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION: u32 = 0x2008_0522;
    let mut header = Header { version: VERSION, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: PR_CAPBSET_READ and PR_CAPBSET_DROP take numbers; a capability that the kernel does not know is `EINVAL`.
    unsafe {
        for capability in (0..64u64).filter(|capability| kept & (1 << capability) == 0) {
            if libc::prctl(libc::PR_CAPBSET_READ, capability as libc::c_ulong, 0, 0, 0) != 1 {
                continue;
            }
            // Without the right to, there is nothing to drop: no exec gives what `no_new_privs` forbids.
            if libc::prctl(libc::PR_CAPBSET_DROP, capability as libc::c_ulong, 0, 0, 0) == -1
                && Errno::last() != Errno::EPERM
            {
                return Err(Errno::last());
            }
        }
        // Fails on kernels without ambient capabilities, which have nothing to clear.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0, 0, 0);
    }
    // SAFETY: structures of the version that the header names, which live through both calls.
    unsafe {
        done(libc::syscall(libc::SYS_capget, &raw mut header, &raw mut data))?;
        for (data, kept) in data.iter_mut().zip([kept & 0xffff_ffff, kept >> 32]) {
            #[expect(clippy::cast_possible_truncation, reason = "32 bits each, see above")]
            let kept = kept as u32;
            data.permitted &= kept;
            data.effective &= kept;
            data.inheritable = 0;
        }
        done(libc::syscall(libc::SYS_capset, &raw mut header, &raw const data))
    }
}

/// No file and no helper program gets the memory of one that crashed. One byte is not enough for a file, and what the
/// kernel takes for "to no helper either" (core(5)).
pub(crate) fn no_core_dumps() -> Result<(), Errno> {
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: the structure lives through the call.
    done(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }.into())
}

/// A descriptor of the calling process, close-on-exec.
pub(crate) fn pidfd_of_self() -> Result<RawFd, Errno> {
    // SAFETY: numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    if fd == -1 { Err(Errno::last()) } else { RawFd::try_from(fd).map_err(|_| Errno::EBADF) }
}

/// Forks; the new process is the child of the caller's parent. 0 in the new one.
pub(crate) fn clone_sibling() -> Result<libc::pid_t, Errno> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: as `fork`: no memory is shared and no stack given, so the new process goes on with a copy of this one's. Its
    // caller has one thread, and makes async-signal-safe calls only from here on. All arguments but the flags are null,
    // in whatever order the architecture has them.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    if pid == -1 { Err(Errno::last()) } else { libc::pid_t::try_from(pid).map_err(|_| Errno::EINVAL) }
}

/// Leads a session of its own, without a terminal, in the root directory, under a name, with every signal blocked.
pub(crate) fn leave_session(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the set is filled before it is read, the strings end with NUL and outlive the calls.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        if libc::setsid() == -1 || libc::chdir(c"/".as_ptr()) == -1 {
            return Err(Errno::last());
        }
        done(libc::prctl(libc::PR_SET_NAME, name.as_ptr()).into())
    }
}

/// A descriptor that is readable once this signal has come, which is blocked.
pub(crate) fn signal_descriptor(signal: libc::c_int) -> Result<RawFd, Errno> {
    // SAFETY: the set is emptied before it is read.
    let fd = unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd == -1 { Err(Errno::last()) } else { Ok(fd) }
}

/// Whether there is a parent and the kernel refuses to signal it.
pub(crate) fn may_not_signal_parent() -> bool {
    // SAFETY: numbers only; signal 0 is none.
    unsafe {
        let parent = libc::getppid();
        parent > 1 && libc::kill(parent, 0) == -1 && Errno::last() == Errno::EPERM
    }
}

/// Waits until one of them can be read, or so many milliseconds (-1 = without end). -1 is no descriptor.
pub(crate) fn wait_for(fds: [RawFd; 2], timeout: libc::c_int) -> [bool; 2] {
    let mut polled = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: as many structures as are said.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), 2, timeout) };
    polled.map(|polled| ready > 0 && polled.revents != 0)
}

/// Kills every process that the caller may signal.
pub(crate) fn kill_all() {
    // SAFETY: numbers only. Whom it reaches: `sweeper`.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Ends the process, running nothing of anybody's.
pub(crate) fn end(code: libc::c_int) -> ! {
    // SAFETY: numbers only.
    unsafe { libc::_exit(code) }
}
