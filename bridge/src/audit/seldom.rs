//! What may happen too often for a row each: the first is recorded at once, those of the minute behind it by one row with their number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::entry::Entry;

/// For how long what happens is counted before it is told.
pub const COUNTED_FOR: Duration = Duration::from_secs(60);
/// Keys that are counted for themselves; what comes beyond counts as [`OTHERS`], so that nobody fills the log by coming from everywhere.
const KEYS_MAX: usize = 64;
/// The key of what is counted together.
pub const OTHERS: &str = "others";

#[derive(Debug)]
struct Counted {
    until: Instant,
    /// The newest, which the number is told with.
    newest: Entry,
    times: u64,
}

/// What was told not long ago, by what it is counted under.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<HashMap<String, Counted>>);

impl Seldom {
    /// Takes note of something that happened under a key: `make` says it of the key that it is counted under. The row, if it is one to
    /// write now.
    pub fn note(&self, key: &str, now: Instant, make: impl FnOnce(&str) -> Entry) -> Option<Entry> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if all.len() < KEYS_MAX || all.contains_key(key) { key } else { OTHERS };
        let entry = make(key);
        if let Some(counted) = all.get_mut(key) {
            counted.times += 1;
            counted.newest = entry;
            return None;
        }
        all.insert(key.to_owned(), Counted { until: now + COUNTED_FOR, newest: entry.clone(), times: 0 });
        Some(entry)
    }

    /// Rows that tell what happened until now, of what was counted for long enough.
    pub fn due(&self, now: Instant) -> Vec<Entry> {
        let mut rows = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, counted| {
            if now < counted.until {
                return true;
            }
            if counted.times == 0 {
                return false;
            }
            let Entry { details, .. } = counted.newest.clone();
            rows.push(counted.newest.clone().details(details.number("times", counted.times)));
            counted.until = now + COUNTED_FOR;
            counted.times = 0;
            true
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Details};

    fn entry(key: &str) -> Entry {
        Entry::new(Actor::nobody(), Action::TokenUse).details(Details::none().text("from", key))
    }

    #[test]
    fn the_first_is_a_row_and_a_minute_of_more_is_another() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert!(seldom.note("a", start, entry).is_some());
        for _ in 0..1000 {
            assert!(seldom.note("a", start + COUNTED_FOR / 2, entry).is_none());
        }
        assert!(seldom.note("b", start, entry).is_some(), "others are told for themselves");
        assert!(seldom.due(start + COUNTED_FOR / 2).is_empty());
        let told = seldom.due(start + COUNTED_FOR);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].details.canonical(), "{\"from\":\"a\",\"times\":1000}");
        assert!(seldom.note("a", start + COUNTED_FOR, entry).is_none(), "its next minute has begun");
        assert_eq!(seldom.due(start + COUNTED_FOR * 2).len(), 1);
        assert!(seldom.due(start + COUNTED_FOR * 3).is_empty());
        assert!(seldom.note("a", start + COUNTED_FOR * 3, entry).is_some());
    }

    #[test]
    fn whoever_comes_from_everywhere_is_told_of_as_one() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let rows = (0..10_000).filter_map(|from| seldom.note(&from.to_string(), start, entry)).count();
        assert_eq!(rows, KEYS_MAX + 1);
        let told = seldom.due(start + COUNTED_FOR);
        assert_eq!(told.len(), 1);
        assert!(told[0].details.canonical().contains(OTHERS), "{told:?}");
    }
}
