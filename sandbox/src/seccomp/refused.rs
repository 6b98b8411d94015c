//! What a process does when its own filter refuses it a call: it says so once for each call, and goes on with an error.
//!
//! The handler runs wherever the call was made, so it only writes to standard error from memory it has on its stack. That it
//! can be taken away by whoever has taken over the process is no loss: the call did not happen either way.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{Filter, call_name};

/// Stands in each line that tells of a refused call.
pub const MARK: &str = "refused by its filter: system call";

/// What a process exits with that was ended for the call it made: what a shell says of one that SIGSYS killed.
pub const ENDED: i32 = 128 + libc::SIGSYS;

/// Whether a wait status tells of a process that its filter ended: through the handler, or by SIGSYS itself where the signal
/// was blocked, as libraries do while they start a program.
#[must_use]
pub fn was_ended(status: i32) -> bool {
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == ENDED
        || libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS
}

/// Calls up to this number are told once each; those above are told each time.
const KNOWN_MAX: usize = 1024;
/// Which were told, a bit each.
static TOLD: [AtomicU64; KNOWN_MAX / 64] = [const { AtomicU64::new(0) }; KNOWN_MAX / 64];
/// The process's filter.
static FILTER: AtomicPtr<Filter> = AtomicPtr::new(std::ptr::null_mut());

/// `siginfo_t` of a refused call, as far as it is looked at (`asm-generic/siginfo.h`, `_sigsys`).
#[repr(C)]
struct Refused {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    address: *const libc::c_void,
    call: libc::c_int,
    architecture: libc::c_uint,
}

/// `SYS_SECCOMP` of `asm-generic/siginfo.h`: the signal comes from a filter, not from somebody's `kill`.
const FROM_FILTER: libc::c_int = 1;

/// From now on a call that this filter refuses is told on standard error.
///
/// # Errors
/// What the kernel said.
pub(super) fn report(filter: &'static Filter) -> nix::Result<()> {
    FILTER.store(std::ptr::from_ref(filter).cast_mut(), Ordering::Release);
    // Forced upon the thread at the call itself, so that nothing else can be in the middle of handling one.
    let action = SigAction::new(SigHandler::SigAction(refused), SaFlags::SA_ONSTACK, SigSet::empty());
    // SAFETY: the handler makes async-signal-safe calls only, takes no lock, allocates nothing, and keeps `errno`.
    unsafe { sigaction(Signal::SIGSYS, &action) }.map(drop)
}

extern "C" fn refused(_signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a signal's handler its information, which is larger than what is read of it.
    let info = unsafe { &*info.cast::<Refused>() };
    if info.code != FROM_FILTER {
        return;
    }
    let before = Errno::last_raw();
    let name = call_name(info.call);
    // SAFETY: it points to what lives as long as the program, or nowhere.
    let filter = unsafe { FILTER.load(Ordering::Acquire).as_ref() };
    let ends = filter.is_some_and(|filter| filter.ends.contains(&info.call));
    let (answer, said) = match name {
        _ if ends => (libc::EPERM, "the process ends"),
        Some(_) => (libc::EPERM, "answered EPERM"),
        None => (libc::ENOSYS, "answered ENOSYS"),
    };
    if is_first(info.call) {
        tell(filter.map_or("?", Filter::name), info.call, name.unwrap_or("unknown to this version"), said);
    }
    if ends {
        // SAFETY: ends this process without running anything of it.
        unsafe { libc::_exit(ENDED) }
    }
    Errno::set_raw(before);
    // SAFETY: the third argument of a handler with SA_SIGINFO is the interrupted thread's state (sigaction(2)), which is
    // this handler's to change until it returns: the register is where a system call leaves its result.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        #[cfg(target_arch = "x86_64")]
        {
            context.uc_mcontext.gregs[libc::REG_RAX as usize] = i64::from(-answer);
        }
        #[cfg(target_arch = "aarch64")]
        {
            context.uc_mcontext.regs[0] = i64::from(-answer).cast_unsigned();
        }
    }
}

fn is_first(call: libc::c_int) -> bool {
    let Some((word, bit)) = usize::try_from(call).ok().filter(|at| *at < KNOWN_MAX).map(|at| (at / 64, at % 64)) else {
        return true;
    };
    TOLD[word].fetch_or(1 << bit, Ordering::Relaxed) & (1 << bit) == 0
}

fn tell(process: &str, call: libc::c_int, call_name: &str, said: &str) {
    let mut line = Line { bytes: [0; 192], length: 0 };
    let mut digits = [0; 12];
    for part in ["ERROR ", process, ": ", MARK, " ", number(call, &mut digits), " (", call_name, "), ", said, "\n"] {
        line.push(part);
    }
    // SAFETY: writes a live buffer to standard error. What can't be written is lost.
    unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.length) };
}

/// A line without the heap.
struct Line {
    bytes: [u8; 192],
    length: usize,
}

impl Line {
    fn push(&mut self, text: &str) {
        let room = &mut self.bytes[self.length..];
        let count = room.len().min(text.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
    }
}

/// Decimal digits without the heap.
fn number(number: libc::c_int, digits: &mut [u8; 12]) -> &str {
    let mut rest = number.unsigned_abs();
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    std::str::from_utf8(&digits[at..]).unwrap_or("?")
}
