//! What could be told without end is told seldom: the same once in a while, and not too much in all.

use std::collections::VecDeque;
use std::time::Duration;

use baton_proto::lease::Monotonic;

/// Things that are told in [`WINDOW`]: about what a person reads.
pub const TOLD_MAX: usize = 10;
/// The same thing is told once in it.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What was told lately.
#[derive(Debug)]
pub struct Seldom<T> {
    told: VecDeque<(Monotonic, T)>,
}

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self { told: VecDeque::new() }
    }
}

impl<T: PartialEq> Seldom<T> {
    /// Whether this may be told now; then it counts as told.
    pub fn may_tell(&mut self, what: T, now: Monotonic) -> bool {
        while self.told.front().is_some_and(|(at, _)| at.after(WINDOW) <= now) {
            self.told.pop_front();
        }
        if self.told.len() >= TOLD_MAX || self.told.iter().any(|(_, known)| *known == what) {
            return false;
        }
        self.told.push_back((now, what));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_a_minute_and_not_too_much_in_all() {
        let mut seldom = Seldom::default();
        let at = |seconds: u64| Monotonic(seconds * 1_000_000_000);
        assert!(seldom.may_tell(0, at(1)));
        assert!(!seldom.may_tell(0, at(2)));
        let told = (1..100).filter(|number| seldom.may_tell(*number, at(3))).count();
        assert_eq!(told, TOLD_MAX - 1);
        assert!(seldom.may_tell(0, at(62)));
        assert!(!seldom.may_tell(0, at(62)));
    }
}
