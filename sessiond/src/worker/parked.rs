//! Parked: neither sessiond nor a client is there. An agent's session does not wait for them for ever, a person's does.
//!
//! Counted here, because nobody else is left to count, and only by a deadline of the loop's `poll`: a parked session wakes for its
//! end and for nothing else. A successor of a killed worker counts from its own start.

use std::time::Duration;

use baton_proto::hello::Role;
use baton_proto::lease::Monotonic;
use baton_proto::v1::Class;

use super::Worker;
use super::clock::wall_us;
use super::ending::Life;

/// Reaches every reader of the exit record.
pub(super) const REASON: &str = "parked";

impl Worker {
    /// Since when the session is parked, if it is.
    pub(super) fn parked_since(&self) -> Option<Monotonic> {
        let held = self.conns.values().any(|conn| matches!(conn.role(), Some(Role::Supervisor { .. })));
        let parked = matches!(self.life, Life::Running) && self.attached.is_empty() && !held;
        parked.then(|| self.last_supervisor.max(self.last_client))
    }

    /// The same as wall time, in microseconds since 1970.
    pub(super) fn parked_since_us(&self, now: Monotonic) -> Option<u64> {
        let parked_us = u64::try_from(now.since(self.parked_since()?).as_micros()).unwrap_or(u64::MAX);
        Some(wall_us().saturating_sub(parked_us))
    }

    /// When it ends if it stays parked.
    pub(super) fn parked_deadline(&self) -> Option<Monotonic> {
        let ends = self.spec.class == Class::Agent && self.spec.parked_ttl_s > 0;
        ends.then_some(())?;
        Some(self.parked_since()?.after(Duration::from_secs(self.spec.parked_ttl_s)))
    }

    pub(super) fn parked_tick(&mut self, now: Monotonic) {
        if self.parked_deadline().is_some_and(|deadline| deadline <= now) {
            let grace = Duration::from_millis(u64::from(self.spec.close_grace_ms));
            self.close(REASON, grace, now);
        }
    }
}
