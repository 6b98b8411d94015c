//! Rate limits: a token bucket for each principal and for each address.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;

use crate::problem::{Failure, Outcome};

/// Buckets remembered; beyond that the full ones are forgotten, which changes nothing for them.
const BUCKETS_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Token buckets by key.
#[derive(Debug)]
pub struct Limiter<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// So many a second on average, so many at once.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second: per_second.max(0.1), burst: burst.max(1.0), buckets: Mutex::default() }
    }

    /// Takes one token, or says how long to wait for it.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            let full = |bucket: &Bucket| self.level(*bucket, now) >= self.burst;
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= BUCKETS_MAX {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.burst, filled: now });
        let level = self.level(*bucket, now);
        *bucket = Bucket { tokens: level, filled: now };
        if level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - level) / self.per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// [`Self::take`] as a failure of the API.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn check(&self, key: K) -> Outcome<()> {
        self.take(key, Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            let detail = format!("more than {:.0} requests a second; wait {seconds} s", self.per_second);
            Failure { retry_after_s: Some(seconds), ..Failure::new(ErrorCode::RateLimited, detail) }
        })
    }

    fn level(&self, bucket: Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_names_the_wait() {
        let limiter = Limiter::new(10.0, 5.0);
        let start = Instant::now();
        for _ in 0..5 {
            assert!(limiter.take("a", start).is_ok());
        }
        let wait = limiter.take("a", start).unwrap_err();
        assert!(wait > Duration::from_millis(90) && wait <= Duration::from_millis(100), "{wait:?}");
        assert!(limiter.take("b", start).is_ok(), "others have their own");
        assert!(limiter.take("a", start + wait).is_ok());
        assert!(limiter.take("a", start + wait).is_err());
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let limiter = Limiter::new(1.0, 1.0);
        let start = Instant::now();
        for key in 0..BUCKETS_MAX {
            assert!(limiter.take(key, start).is_ok());
        }
        assert!(limiter.take(usize::MAX, start).is_err());
        assert!(limiter.take(usize::MAX, start + Duration::from_secs(2)).is_ok());
    }
}
