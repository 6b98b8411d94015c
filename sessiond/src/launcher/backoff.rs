//! How soon something that died is started again.

use std::time::{Duration, Instant};

/// A rule: the first few restarts are free, then each waits twice as long as the one before, up to a bound.
/// Living long enough earns the free ones back.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Deaths that are answered at once.
    pub free: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A life of this length is a healthy one.
    pub healthy: Duration,
}

impl Rule {
    /// sessiond and bridge.
    pub const SERVICE: Self = Self {
        free: 1,
        first: Duration::from_millis(100),
        longest: Duration::from_secs(5),
        healthy: Duration::from_secs(10),
    };

    /// Workers: a shell waits for its output to be read, so more restarts are free; but one that a poisoned journal
    /// kills over and over must not eat the machine. Never given up while the program lives.
    pub const WORKER: Self = Self {
        free: 5,
        first: Duration::from_millis(200),
        longest: Duration::from_secs(30),
        healthy: Duration::from_secs(10),
    };
}

/// Counts the deaths of one thing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    started: Option<Instant>,
    deaths: u32,
}

impl Backoff {
    /// It was started.
    pub fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// It died, or could not be started: when to start it again.
    #[must_use]
    pub fn died(&mut self, rule: &Rule, now: Instant) -> Instant {
        if self.started.take().is_some_and(|started| now.duration_since(started) >= rule.healthy) {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        match self.deaths.checked_sub(rule.free + 1) {
            None => now,
            Some(doublings) => now + rule.first.saturating_mul(1 << doublings.min(20)).min(rule.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_restarts_then_doubling_then_the_bound_and_health_forgives() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let waits: Vec<u128> =
            (0..9).map(|_| backoff.died(&Rule::SERVICE, start).duration_since(start).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.started(start);
        let later = start + Duration::from_secs(10);
        assert_eq!(backoff.died(&Rule::SERVICE, later), later);
        for _ in 0..100 {
            let _ = backoff.died(&Rule::WORKER, start);
        }
        assert_eq!(backoff.died(&Rule::WORKER, start), start + Duration::from_secs(30));
    }
}
