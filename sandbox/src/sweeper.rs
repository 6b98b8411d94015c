//! Who ends everything that a confined program has started, when it is over: also what no look at `/proc` finds, such as
//! processes that fork and end faster than anybody reads, and those whose first thread has ended.
//!
//! `kill(-1, SIGKILL)` reaches every process that the caller may signal, in one go: the kernel walks its list while nothing
//! can be added to it, and whoever has the signal forks no more (`kill_something_info`, `copy_process` of Linux's
//! `kernel/`). From a Landlock domain with a scope for signals it reaches that domain and what is nested in it, and nobody
//! else. So the program's confinement begins with such a domain; in it a process stays behind, the sweeper, and only then
//! come the program's own domain and the rest. The program can neither signal nor trace the sweeper, whose domain lies
//! around its own.
//!
//! ```text
//!  worker ── fork ──► domain A ── clone ──► sweeper, in A: waits for the word, or for the program's end
//!                        └──────────────► namespaces, mounts, domain B in A, filter ──► program, in B
//! ```
//!
//! Killed, it is missed by nobody: what is left is looked for in `/proc`, as where the kernel's Landlock has no such scope.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use landlock::{Ruleset, RulesetAttr as _, Scope};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::Step;
use crate::{landlock as versions, process, seccomp, sys};

/// The first version of Landlock with a scope for signals (Linux 6.12).
const SCOPED: u32 = 6;
/// Bytes of a process's name, its end included (prctl(2)).
const NAME_BYTES: usize = 16;
/// The word.
const WORD: Signal = Signal::SIGUSR1;

/// A sweeper that is to be.
#[derive(Debug)]
pub struct Plan {
    domain: OwnedFd,
    name: CString,
    after: Duration,
}

impl Plan {
    /// A sweeper under this name, of which the last 15 bytes count. It goes to work by itself so long after the program's end:
    /// nobody may be left to give it the word. `None` where the kernel has nothing that would bind it to the session.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn prepare(name: &str, after: Duration) -> io::Result<Option<Self>> {
        if versions::version() < SCOPED {
            return Ok(None);
        }
        let created = Ruleset::default().scope(Scope::Signal).and_then(Ruleset::create).map_err(io::Error::other)?;
        let Some(domain) = Option::<OwnedFd>::from(created) else { return Ok(None) };
        let name = CString::new(short(name)).map_err(io::Error::other)?;
        Ok(Some(Self { domain, name, after }))
    }

    /// Its number, to be kept open.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.domain.as_raw_fd()
    }

    /// Enters the domain, `domain` being where its descriptor is now, and leaves the sweeper in it. Returns its number. Called
    /// between fork and exec: allocates nothing and takes no lock.
    pub(crate) fn enter(&self, domain: RawFd) -> Result<libc::pid_t, (Step, Errno)> {
        let failed = |errno| (Step::Sweeper, errno);
        sys::no_new_privileges().map_err(failed)?;
        sys::landlock_restrict(domain).map_err(failed)?;
        sys::close(domain);
        let program = sys::pidfd_of_self().map_err(failed)?;
        // A child of the worker and not of the program, which would wait for it.
        let sweeper = sys::clone_sibling().map_err(failed)?;
        if sweeper == 0 {
            self.stay(program)
        }
        sys::close(program);
        Ok(sweeper)
    }

    /// The sweeper's life.
    fn stay(&self, program: RawFd) -> ! {
        // Not of the session's terminal, whose signals are for the program; nor in anybody's way who unmounts.
        let apart = sys::leave_session(&self.name);
        let closed =
            crate::exec::close_range(0, program - 1).and_then(|()| crate::exec::close_range(program + 1, RawFd::MAX));
        let word = sys::signal_descriptor(WORD as libc::c_int);
        // The worker is outside the domain, and of the same user. If it can be signalled, so can everybody.
        let bound = sys::may_not_signal_parent();
        let (Ok(()), Ok(()), Ok(word), true) = (apart, closed, word, bound) else { sys::end(1) };
        // A kernel without filters is reported for the session; this one does no more without.
        let _ = seccomp::SWEEPER.install();
        loop {
            let [given, over] = sys::wait_for([word, program], -1);
            if over && !given {
                let _ = sys::wait_for([word, -1], i32::try_from(self.after.as_millis()).unwrap_or(i32::MAX));
            }
            if given || over {
                sys::kill_all();
                sys::end(0)
            }
        }
    }
}

/// The sweeper of a session, as its worker sees it.
#[derive(Debug)]
pub struct Sweeper {
    pid: u32,
    pidfd: OwnedFd,
}

impl Sweeper {
    /// A child of this process that is not reaped yet.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn of_child(pid: u32) -> nix::Result<Self> {
        let raw = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
        Ok(Self { pid, pidfd: process::pidfd_open(Pid::from_raw(raw))? })
    }

    /// Another's that was left under this name; `None` when there is none any more. Only who has this process's own view of the
    /// file system counts: a program could call itself so, but it can't leave the view it was put into.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let own = fs::read_link("/proc/self/ns/mnt").ok()?;
        let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is = |pid: u32| {
            let its = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|its| its.trim_end() == short(name));
            its && fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|view| view == own)
        };
        // Looked at again behind the descriptor, which stays with the process it was opened for.
        pids.filter(|pid| is(*pid)).find_map(|pid| Self::of_child(pid).ok().filter(|found| is(found.pid)))
    }

    /// Its number.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives the word: everything in the session's domain is killed, then the sweeper ends. Twice is as once.
    pub fn sweep(&self) {
        if let Err(err) = process::pidfd_send_signal(&self.pidfd, WORD) {
            tracing::debug!(error = %err, "the sweeper has ended");
        }
    }

    /// Whether it has done its work, or can't any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        process::has_ended(&self.pidfd).unwrap_or(true)
    }
}

impl AsFd for Sweeper {
    /// Readable once it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn short(name: &str) -> &str {
    name.get(name.len().saturating_sub(NAME_BYTES - 1)..).unwrap_or_default()
}
