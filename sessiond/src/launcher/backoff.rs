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
    /// sessiond and bridge. People wait for them: a build that dies at once costs a start every two seconds, no more.
    pub const SERVICE: Self = Self {
        free: 5,
        first: Duration::from_millis(50),
        longest: Duration::from_secs(2),
        healthy: Duration::from_secs(2),
    };

    /// Workers. A shell that floods waits for its output to be read (its terminal holds 14 KiB), so that the bound is short
    /// here too; one that a poisoned journal kills over and over must still not eat the machine. Never given up while
    /// the program lives.
    pub const WORKER: Self = Self {
        free: 20,
        first: Duration::from_millis(50),
        longest: Duration::from_secs(2),
        healthy: Duration::from_secs(2),
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
            (0..13).map(|_| backoff.died(&Rule::SERVICE, start).duration_since(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.started(start);
        let later = start + Rule::SERVICE.healthy;
        assert_eq!(backoff.died(&Rule::SERVICE, later), later);
        for _ in 0..100 {
            let _ = backoff.died(&Rule::WORKER, start);
        }
        assert_eq!(backoff.died(&Rule::WORKER, start), start + Rule::WORKER.longest);
    }
}
