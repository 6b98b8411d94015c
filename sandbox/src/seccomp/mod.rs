//! Which system calls a process may make: the filters of `sandbox/filters/`, as the kernel takes them.
//!
//! The build makes the programs, so that installing one is a system call on memory that never changes: possible between
//! fork and exec, and too little to fail for want of memory. A filter can't be taken back, and everything that the process
//! forks or executes afterwards has it too.
//!
//! A call whose answer is `report` does not happen; `refused` writes which one it was, so that a filter that is too narrow
//! is found at once and not guessed at.

mod refused;

use nix::errno::Errno;
use nix::libc::{self, sock_filter};

pub use refused::{ENDED, MARK, was_ended};

/// What the kernel is given to look at each system call.
#[derive(Debug)]
pub struct Filter {
    name: &'static str,
    programs: &'static [&'static [sock_filter]],
    /// The calls after which the process ends, by number.
    ends: &'static [i32],
}

/// Who has a filter from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    Calling,
    All,
}

include!(concat!(env!("OUT_DIR"), "/filters.rs"));

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

impl Filter {
    const fn new(name: &'static str, programs: &'static [&'static [sock_filter]], ends: &'static [i32]) -> Self {
        Self { name, programs, ends }
    }

    /// The name of its file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many instructions the kernel runs at most for one call.
    #[must_use]
    pub fn instructions(&self) -> usize {
        self.programs.iter().map(|program| program.len()).sum()
    }

    /// Installs it in the calling thread, which has given up new privileges before, or may administer the system. Makes
    /// async-signal-safe calls only.
    ///
    /// # Errors
    /// What the kernel said: `EACCES` for a thread that may still gain privileges, `EINVAL` and `ENOSYS` for a kernel
    /// without filters.
    pub fn install(&self) -> Result<(), Errno> {
        self.install_in(Threads::Calling)
    }

    /// As [`Filter::install`], in every thread of the process; all or none.
    ///
    /// # Errors
    /// As [`Filter::install`], and `ESRCH` when a thread has a filter of its own.
    pub fn install_everywhere(&self) -> Result<(), Errno> {
        self.install_in(Threads::All)
    }

    /// As [`Filter::install_everywhere`], for a filter of Baton's own processes: a refused call is told on standard error and
    /// fails with `EPERM`, or with `ENOSYS` if this version does not even know it, as on a kernel that is older than the
    /// library that tries it. One whose answer is `end` ends the process with [`ENDED`].
    ///
    /// # Errors
    /// As [`Filter::install_everywhere`].
    pub fn install_and_report(&'static self) -> Result<(), Errno> {
        refused::report(self)?;
        self.install_everywhere()
    }

    fn install_in(&self, threads: Threads) -> Result<(), Errno> {
        for program in self.programs {
            let length = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
            let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
            let flags = if threads == Threads::All { libc::SECCOMP_FILTER_FLAG_TSYNC } else { 0 };
            // SAFETY: the kernel copies `len` instructions from memory that is never freed, and writes nothing there.
            let done =
                unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
            match done {
                0 => {}
                -1 => return Err(Errno::last()),
                // The number of a thread that could not follow.
                _ => return Err(Errno::ESRCH),
            }
        }
        Ok(())
    }
}

/// Whether the kernel has filters, and the answers that ours give.
#[must_use]
pub fn is_available() -> bool {
    [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_TRAP, libc::SECCOMP_RET_ERRNO].iter().all(|answer| {
        // SAFETY: the kernel reads the number and changes nothing.
        0 == unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, std::ptr::from_ref(answer)) }
    })
}

/// The name of a system call of this architecture, if this version knows one of this number.
#[must_use]
pub fn call_name(number: i32) -> Option<&'static str> {
    NAMES.lines().find_map(|line| {
        let (known, name) = line.split_once(' ')?;
        (known.parse() == Ok(number)).then_some(name)
    })
}

/// The number of a system call of this architecture.
#[must_use]
pub fn call_number(name: &str) -> Option<i32> {
    NAMES.lines().find_map(|line| {
        let (number, known) = line.split_once(' ')?;
        (known == name).then(|| number.parse().ok()).flatten()
    })
}
