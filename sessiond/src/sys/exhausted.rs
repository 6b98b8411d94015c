//! What to do when the kernel has no descriptors or no memory for us just now: wait a moment, and say so now and then. Trying
//! again at once would burn a core, and a line for each try would fill the disk.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two tries.
pub const PAUSE: Duration = Duration::from_millis(100);
/// Between two lines of the log, in microseconds.
const SAY_EVERY_US: u64 = 60_000_000;

static SAID_US: AtomicU64 = AtomicU64::new(0);

/// Says that something failed and is tried again, at most once a minute.
pub fn say(what: &str, err: &dyn Display) {
    let now = super::host::wall_us();
    let said = SAID_US.load(Ordering::Relaxed);
    if said == 0 || now.abs_diff(said) >= SAY_EVERY_US {
        SAID_US.store(now, Ordering::Relaxed);
        tracing::error!("{what} failed, and is tried again every {PAUSE:?}: {err}");
    }
}

/// `poll` failed for another reason than a signal: no memory, or more descriptors than a lowered limit allows. Waits a moment;
/// nothing can be heard meanwhile.
pub fn poll_failed(err: &dyn Display) {
    say("poll", err);
    std::thread::sleep(PAUSE);
}
