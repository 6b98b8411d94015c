//! Input of which nobody knows whether it was typed, remembered until its client knows: it may take the client, and
//! another worker or two, to hear of it.
//!
//! | word | of an entry |
//! | --- | --- |
//! | 0 | `seq`, 0 = there is none; written last |
//! | 1 | input stream |
//! | 2 | bytes of the client's id |
//! | 3–12 | the client's id |

use baton_proto::ClientId;
use baton_proto::v1::InputUncertain;

use super::{CLIENT_WORDS, Window, client_of, store_client};

/// Entries; the oldest gives way.
const ENTRIES: usize = 8;
const ENTRY_WORDS: usize = 3 + CLIENT_WORDS;
/// The first word: which entry was written last.
const W_NEWEST: usize = 64;
const W_ENTRIES: usize = 65;
/// Words there are with these.
pub(super) const WORDS: usize = W_ENTRIES + ENTRIES * ENTRY_WORDS;

impl Window {
    /// Whether this was typed is not known, until a later frame of the same client and stream is.
    pub fn set_uncertain(&mut self, uncertain: &InputUncertain) {
        let same = (0..ENTRIES).find(|entry| {
            self.uncertain_at(*entry).is_some_and(|it| it.client == uncertain.client && it.stream == uncertain.stream)
        });
        let empty = || (0..ENTRIES).find(|entry| self.memory.load(W_ENTRIES + entry * ENTRY_WORDS) == 0);
        let newest = usize::try_from(self.memory.load(W_NEWEST)).unwrap_or(0) % ENTRIES;
        let entry = same.or_else(empty).unwrap_or((newest + 1) % ENTRIES);
        let at = W_ENTRIES + entry * ENTRY_WORDS;
        self.memory.store(at, 0);
        self.memory.store(at + 1, uncertain.stream);
        store_client(&self.memory, at + 2, &uncertain.client);
        self.memory.store(W_NEWEST, entry as u64);
        self.memory.store(at, uncertain.seq);
        self.has_uncertain = true;
    }

    /// What is not known of a client's stream.
    #[must_use]
    pub fn uncertain(&self, client: &ClientId, stream: u64) -> Option<InputUncertain> {
        if !self.has_uncertain {
            return None;
        }
        let entries = (0..ENTRIES).filter_map(|entry| self.uncertain_at(entry));
        entries.into_iter().find(|it| it.client == *client && it.stream == stream)
    }

    /// The client has gone on to this frame: it has heard what was to be told.
    pub fn settle_uncertain(&mut self, client: &ClientId, stream: u64, seq: u64) {
        if !self.has_uncertain {
            return;
        }
        self.has_uncertain = false;
        for entry in 0..ENTRIES {
            match self.uncertain_at(entry) {
                Some(it) if it.client == *client && it.stream == stream && it.seq < seq => {
                    self.memory.store(W_ENTRIES + entry * ENTRY_WORDS, 0);
                }
                Some(_) => self.has_uncertain = true,
                None => {}
            }
        }
    }

    fn uncertain_at(&self, entry: usize) -> Option<InputUncertain> {
        let at = W_ENTRIES + entry * ENTRY_WORDS;
        let seq = self.memory.load(at);
        let client = client_of(&self.memory, at + 2).filter(|_| seq != 0)?;
        Some(InputUncertain { client, stream: self.memory.load(at + 1), seq })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::worker::window::WINDOW_BYTES;

    fn told(name: &str, stream: u64, seq: u64) -> InputUncertain {
        InputUncertain { client: name.parse().unwrap(), stream, seq }
    }

    #[test]
    fn it_is_known_to_every_successor_until_the_client_goes_on() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(WINDOW_BYTES as u64).unwrap();
        let mut window = Window::create(file.as_fd()).unwrap();
        let (one, other) = (told("agent:one", 7, 12), told("agent:other", 7, 3));
        window.set_uncertain(&one);
        window.set_uncertain(&other);
        for _ in 0..3 {
            drop(window);
            window = Window::recover(file.as_fd()).unwrap().0;
            assert_eq!(window.uncertain(&one.client, 7).as_ref(), Some(&one));
            assert_eq!(window.uncertain(&other.client, 7).as_ref(), Some(&other));
            assert_eq!(window.uncertain(&one.client, 8), None);
            // A repeat of the same frame changes nothing.
            window.settle_uncertain(&one.client, 7, 12);
        }
        window.set_uncertain(&told("agent:one", 7, 14));
        assert_eq!(window.uncertain(&one.client, 7).unwrap().seq, 14);
        window.settle_uncertain(&one.client, 7, 15);
        let window = Window::recover(file.as_fd()).unwrap().0;
        assert_eq!(window.uncertain(&one.client, 7), None);
        assert_eq!(window.uncertain(&other.client, 7), Some(other));
    }

    #[test]
    fn the_oldest_gives_way() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(WINDOW_BYTES as u64).unwrap();
        let mut window = Window::create(file.as_fd()).unwrap();
        let all: Vec<_> = (1..=ENTRIES as u64 + 3).map(|n| told("agent:same", n, n)).collect();
        all.iter().for_each(|it| window.set_uncertain(it));
        let known: Vec<bool> = all.iter().map(|it| window.uncertain(&it.client, it.stream).is_some()).collect();
        assert_eq!(known, [&[false; 3][..], &[true; ENTRIES][..]].concat());
    }
}
