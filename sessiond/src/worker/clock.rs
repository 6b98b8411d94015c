//! The two clocks a worker reads: wall time for records (clamped, so that it never decreases) and monotonic time for leases.

use baton_proto::lease::Monotonic;
use nix::time::{ClockId, clock_gettime};

pub use crate::sys::host::wall_us;

/// Stamps records.
#[derive(Debug, Default)]
pub struct Clock {
    last_wall_us: u64,
    last_record: Monotonic,
}

impl Clock {
    /// A clock that goes on after the last record of a predecessor.
    #[must_use]
    pub fn after(last_wall_us: u64) -> Self {
        Self { last_wall_us, last_record: now() }
    }

    /// Wall time of the newest record, in microseconds since 1970; 0 if there was none.
    #[must_use]
    pub const fn last_wall_us(&self) -> u64 {
        self.last_wall_us
    }

    /// Wall time of a record made now in microseconds since 1970, and microseconds since the record before.
    pub fn stamp(&mut self) -> (u64, u32) {
        let now = now();
        self.last_wall_us = self.last_wall_us.max(wall_us());
        let delta = u32::try_from(now.since(self.last_record).as_micros()).unwrap_or(u32::MAX);
        self.last_record = now;
        (self.last_wall_us, delta)
    }
}

/// CLOCK_MONOTONIC.
#[must_use]
pub fn now() -> Monotonic {
    // The clock exists on every Linux; zero would only make leases run out late.
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return Monotonic(0) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec()).unwrap_or(0), u64::try_from(time.tv_nsec()).unwrap_or(0));
    Monotonic(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
