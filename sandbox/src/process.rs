//! Processes by pidfd: a number can be recycled, a pidfd can't.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// How many threads this process has.
///
/// # Errors
/// When `/proc` can't be read.
pub fn thread_count() -> Result<usize, Errno> {
    let failed = |err: io::Error| err.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    Ok(std::fs::read_dir("/proc/self/task").map_err(failed)?.count())
}

/// From now on neither this process nor what it starts gains privileges by exec.
///
/// # Errors
/// What the kernel said.
pub fn set_no_new_privs() -> nix::Result<()> {
    nix::sys::prctl::set_no_new_privs()
}

/// Orphans below this process become its children, so that it can reap them.
///
/// # Errors
/// What the kernel said.
pub fn set_child_subreaper() -> nix::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// Asks for this signal when the parent dies; `None` takes it back. A parent that died before is not noticed.
///
/// # Errors
/// What the kernel said.
pub fn set_parent_death_signal(signal: Option<Signal>) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(signal)
}

/// A pidfd of this process, close-on-exec. It becomes readable when the process ends.
///
/// # Errors
/// `ESRCH` when there is none, or what else the kernel said.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel opened it for this call a moment ago; nobody else knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process behind a pidfd.
///
/// # Errors
/// `ESRCH` when it has ended and was reaped, or what else the kernel said.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: Signal) -> nix::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: numbers and a null pointer, which means the signal's own information as `kill` would give it.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal as libc::c_int, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    Errno::result(sent).map(drop)
}

/// Whether the process behind a pidfd has ended (reaped or not).
///
/// # Errors
/// What `poll` said.
pub fn has_ended(pidfd: impl AsFd) -> nix::Result<bool> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).map(|ready| ready > 0)
}

/// The status of a child that has ended, and the end of it in the process table; `None` while it runs.
///
/// # Errors
/// `ECHILD` when it is not this process's child (any more).
pub fn try_reap(pidfd: impl AsFd) -> nix::Result<Option<ExitStatus>> {
    let ended = wait_id(libc::P_PIDFD, pidfd.as_fd().as_raw_fd(), libc::WNOHANG)?;
    Ok(ended.map(|(_, status)| status))
}

/// Waits for a child that is certain to end. One that is somebody else's is left to them.
pub fn reap(pidfd: impl AsFd) {
    // Any other answer than a status means that there is nothing to reap.
    let _ = wait_id(libc::P_PIDFD, pidfd.as_fd().as_raw_fd(), 0);
}

/// Any one child that has ended; it stays to be reaped. `None` when none has, or there are no children.
///
/// # Errors
/// What the kernel said.
pub fn ended_child() -> nix::Result<Option<Pid>> {
    match wait_id(libc::P_ALL, 0, libc::WNOHANG | libc::WNOWAIT) {
        Ok(ended) => Ok(ended.map(|(pid, _)| pid)),
        Err(Errno::ECHILD) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Reaps a child by its number, which is its own until then.
pub fn reap_pid(pid: Pid) {
    // As in `reap`.
    let _ = wait_id(libc::P_PID, pid.as_raw(), libc::WNOHANG);
}

/// `waitid` itself: nix's own refuses the status of a process that a real-time signal ended, after reaping it.
fn wait_id(kind: libc::idtype_t, id: i32, flags: libc::c_int) -> nix::Result<Option<(Pid, ExitStatus)>> {
    let id = libc::id_t::try_from(id).map_err(|_| Errno::EINVAL)?;
    // SAFETY: all-zero is a valid `siginfo_t`, and what `waitid` leaves when no child has ended.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the structure lives through the call.
        match Errno::result(unsafe { libc::waitid(kind, id, &raw mut info, libc::WEXITED | flags) }) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(err) => return Err(err),
        }
    }
    // SAFETY: `waitid` fills these fields for SIGCHLD; where no child has ended they are the zeroes from above.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let raw = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Ok(Some((Pid::from_raw(pid), ExitStatus::from_raw(raw))))
}

/// `struct pidfd_info` of `linux/pidfd.h`, as far as its first version goes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// The status of a process that ended and is not this one's to reap: from its place in the process table while nobody
/// has reaped it, then from what the kernel keeps for its pidfd (Linux 6.15). `None` when it can't be known, or not yet.
#[must_use]
pub fn exit_status_after_reap(pidfd: impl AsFd) -> Option<ExitStatus> {
    // In between somebody may reap it: asked first, the kernel did not know yet; asked last, it does.
    zombie_status(pidfd.as_fd()).or_else(|| kept_status(pidfd.as_fd()))
}

/// The last field of `/proc/<pid>/stat`, shown to the owner of the process. The number is its own for as long as the
/// pidfd says so: it is compared again after the look.
fn zombie_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    let number = || {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse::<i32>().ok().filter(|pid| *pid > 0)
    };
    let pid = number()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; fields are counted behind its last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if fields.next()? != "Z" || number()? != pid {
        return None;
    }
    fields.nth(48)?.parse().ok().map(ExitStatus::from_raw)
}

fn kept_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xFF, 11, struct pidfd_info)
    const PIDFD_GET_INFO: libc::c_ulong = 3 << 30 | (size_of::<PidfdInfo>() as libc::c_ulong) << 16 | 0xff << 8 | 11;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the structure has the layout and the size that the request's number names, and lives through the call.
    let asked = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (asked == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::from_raw(info.exit_code))
}
