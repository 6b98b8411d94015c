//! What is said of a key's use, to who reads the log: each key's first use in a minute, and how many there were besides.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a key is told of at most.
const PAUSE: Duration = Duration::from_secs(60);
/// Keys that are told of on their own; an agent with more has its others told of together.
const KEYS_MAX: usize = 64;
/// Characters of a comment.
const COMMENT_CHARS_MAX: usize = 64;

/// What was said last.
#[derive(Debug)]
pub struct Told {
    session: String,
    keys: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Told {
    /// Of the keys that this session uses.
    #[must_use]
    pub fn new(session: String) -> Self {
        Self { session, keys: Mutex::default() }
    }

    /// A key of this comment was asked to sign.
    pub fn used(&self, comment: &str, signed: bool) {
        let key = comment.chars().take(COMMENT_CHARS_MAX).collect::<String>().escape_debug().to_string();
        if let Some(besides) = self.due(&key, Instant::now()) {
            let session = &self.session;
            tracing::info!(%session, key, signed, besides, "the session asked for a signature of the person's ssh agent");
        }
    }

    /// Whether it is to be told now, and how often it was used without being told.
    fn due(&self, key: &str, now: Instant) -> Option<u64> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if keys.len() < KEYS_MAX || keys.contains_key(key) { key } else { "" };
        if let Some((at, besides)) = keys.get_mut(key)
            && now.saturating_duration_since(*at) < PAUSE
        {
            *besides += 1;
            return None;
        }
        let before = keys.insert(key.to_owned(), (now, 0));
        Some(before.map_or(0, |(_, besides)| besides))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_of_once_a_minute() {
        let (told, begun) = (Told::new(String::new()), Instant::now());
        assert_eq!(told.due("work", begun), Some(0));
        assert_eq!(told.due("work", begun + PAUSE / 2), None);
        assert_eq!(told.due("home", begun + PAUSE / 2), Some(0));
        assert_eq!(told.due("work", begun + PAUSE), Some(1));
        for number in 0..1000 {
            let _ = told.due(&number.to_string(), begun);
        }
        assert!(told.keys.lock().unwrap().len() <= KEYS_MAX + 1);
    }
}
