//! The host: its clock, its boot, its processes by number and start time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
#[must_use]
pub fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The kernel's id of this boot; empty where `/proc` does not tell, so that it equals itself.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started, in clock ticks since boot: with its number, an identity that a recycled number lacks.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name (field 2) may hold spaces and parentheses; fields are counted behind its last one. Start time is field 22.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_process_has_one_start() {
        let own = super::start_ticks(std::process::id()).unwrap();
        assert_eq!(super::start_ticks(std::process::id()), Some(own));
        assert!(own > 0);
        assert_eq!(super::start_ticks(u32::MAX), None);
    }
}
