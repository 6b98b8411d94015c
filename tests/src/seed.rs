//! Random numbers that can be had again: printed when a test begins, taken from `BATON_SEED` when it is set.

use std::ops::Range;
use std::time::Duration;

/// A generator (SplitMix64) whose whole state is one number.
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// Takes `BATON_SEED`, else a fresh one, and prints it.
    ///
    /// # Panics
    /// When `BATON_SEED` is not a number.
    #[must_use]
    pub fn from_env() -> Self {
        let seed = match std::env::var("BATON_SEED") {
            Ok(text) => text.parse().expect("BATON_SEED is a number"),
            Err(_) => getrandom::u64().expect("the kernel has random numbers"),
        };
        println!("BATON_SEED={seed}");
        Self(seed)
    }

    /// The generator of this number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for the n-th actor, so that the order in which actors run changes nobody's numbers.
    #[must_use]
    pub fn fork(&self, n: u64) -> Self {
        let mut forked = Self(self.0 ^ n.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        forked.number();
        forked
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// A span of milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.within(0..items.len() as u64)).expect("an index");
        &items[at]
    }

    /// So many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}
