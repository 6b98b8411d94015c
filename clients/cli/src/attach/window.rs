//! What was typed and is not yet known to have reached the program: bounded, ordered, sent again after a broken
//! connection under the same numbers, so that the worker types nothing twice.

use std::collections::VecDeque;

/// Most bytes that are sent and not acknowledged.
const WINDOW_BYTES: usize = 64 << 10;

/// Most bytes kept; beyond, the terminal is not read. It is read further than the window reaches, so that the detach key
/// is seen behind a paste that the program does not take.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes of one frame.
const FRAME_BYTES: usize = 8 << 10;

#[derive(Debug)]
struct Sent {
    seq: u64,
    bytes: Vec<u8>,
}

/// The window.
#[derive(Debug, Default)]
pub struct Window {
    /// Numbered, in order, not acknowledged.
    numbered: VecDeque<Sent>,
    /// How many of them are on their way.
    on_the_way: usize,
    /// Not numbered yet.
    waiting: VecDeque<u8>,
    /// The highest number given. None is given twice: of a frame that is refused the beginning may have been typed, and then
    /// the worker takes its number for typed.
    last_seq: u64,
    /// The highest number that was refused for want of control, or told to be uncertain.
    answered: u64,
    numbered_bytes: usize,
    /// The program does not read: nothing is sent until something is acknowledged or [`Self::retry`] is called.
    blocked: bool,
}

impl Window {
    /// Whether more may be typed.
    pub fn has_room(&self) -> bool {
        self.len() < KEPT_BYTES
    }

    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.numbered_bytes + self.waiting.len()
    }

    /// Takes what was typed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// The next frame to send.
    pub fn next(&mut self) -> Option<(u64, &[u8])> {
        if self.blocked {
            return None;
        }
        if self.on_the_way == self.numbered.len() {
            let room = WINDOW_BYTES.saturating_sub(self.numbered_bytes);
            let bytes: Vec<u8> = self.waiting.drain(..self.waiting.len().min(FRAME_BYTES).min(room)).collect();
            if bytes.is_empty() {
                return None;
            }
            self.last_seq += 1;
            self.numbered_bytes += bytes.len();
            self.numbered.push_back(Sent { seq: self.last_seq, bytes });
        }
        let sent = &self.numbered[self.on_the_way];
        self.on_the_way += 1;
        Some((sent.seq, &sent.bytes))
    }

    /// Everything up to `seq` was typed.
    pub fn acknowledge(&mut self, seq: u64) {
        while self.numbered.front().is_some_and(|sent| sent.seq <= seq) {
            if let Some(sent) = self.numbered.pop_front() {
                self.numbered_bytes -= sent.bytes.len();
                self.on_the_way = self.on_the_way.saturating_sub(1);
            }
        }
        self.blocked = false;
    }

    /// Whether `seq` was typed is not known: it counts as typed. True when that is news; it is told at each attach.
    pub fn uncertain(&mut self, seq: u64) -> bool {
        self.acknowledge(seq);
        let news = seq > self.answered;
        self.answered = self.answered.max(seq);
        news
    }

    /// The worker's queue was full at `seq`; `accepted` is the highest it took. What follows a refused frame is refused
    /// too, so only the first refusal says something new.
    pub fn refused_full(&mut self, seq: u64, accepted: u64) {
        if self.is_first_after(accepted, seq) {
            self.on_the_way = self.numbered.iter().take_while(|sent| sent.seq <= accepted).count();
            self.blocked = true;
        }
    }

    /// The program may read by now.
    pub const fn retry(&mut self) {
        self.blocked = false;
    }

    /// Control is gone: what was refused is dropped, with all that follows. Returns how many bytes that were.
    pub fn refused_owner(&mut self, seq: u64, accepted: u64) -> usize {
        let is_first = self.is_first_after(accepted, seq);
        self.answered = self.answered.max(seq);
        if !is_first {
            return 0;
        }
        let before = self.len();
        self.waiting.clear();
        self.cut_after(accepted);
        before - self.len()
    }

    /// What is not numbered is dropped; the rest is answered by acknowledgement or refusal. Returns the bytes dropped.
    pub fn drop_waiting(&mut self) -> usize {
        let dropped = self.waiting.len();
        self.waiting.clear();
        dropped
    }

    /// A new connection; the worker has typed everything up to `typed`. With control still ours the rest is sent again,
    /// else it is dropped. Returns the bytes dropped.
    pub fn reconnected(&mut self, typed: u64, still_ours: bool) -> usize {
        self.acknowledge(typed);
        self.on_the_way = 0;
        if still_ours {
            return 0;
        }
        let dropped = self.len();
        self.waiting.clear();
        self.cut_after(typed);
        dropped
    }

    /// Another life of the program: numbers begin anew. Returns the bytes dropped.
    pub fn restarted(&mut self) -> usize {
        let dropped = self.len();
        *self = Self::default();
        dropped
    }

    /// Of several refusals in a row the first says it all.
    fn is_first_after(&self, accepted: u64, seq: u64) -> bool {
        self.numbered.iter().find(|sent| sent.seq > accepted).is_some_and(|sent| sent.seq == seq)
    }

    fn cut_after(&mut self, seq: u64) {
        while self.numbered.back().is_some_and(|sent| sent.seq > seq) {
            if let Some(sent) = self.numbered.pop_back() {
                self.numbered_bytes -= sent.bytes.len();
            }
        }
        self.on_the_way = self.on_the_way.min(self.numbered.len());
        self.blocked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends all there is; what a worker would receive.
    fn send(window: &mut Window) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| window.next().map(|(seq, bytes)| (seq, bytes.to_vec()))).collect()
    }

    #[test]
    fn frames_are_numbered_and_bounded() {
        let mut window = Window::default();
        window.push(&[7; 20_000]);
        let sent = send(&mut window);
        assert_eq!(
            sent.iter().map(|(seq, bytes)| (*seq, bytes.len())).collect::<Vec<_>>(),
            [(1, 8192), (2, 8192), (3, 3616)]
        );
        window.push(&[7; 60_000]);
        let sent = send(&mut window);
        assert_eq!(sent.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), WINDOW_BYTES - 20_000);
        window.acknowledge(1);
        assert_eq!(send(&mut window), [(sent.len() as u64 + 4, vec![7; 8192])]);
        assert!(window.has_room());
        window.push(&vec![7; KEPT_BYTES]);
        assert!(!window.has_room());
    }

    #[test]
    fn after_a_broken_connection_the_rest_comes_again_under_its_numbers() {
        let mut window = Window::default();
        for text in [b"a", b"b", b"c"] {
            window.push(text);
            send(&mut window);
        }
        window.push(b"d");
        assert_eq!(window.reconnected(2, true), 0);
        assert_eq!(send(&mut window), [(3, b"c".to_vec()), (4, b"d".to_vec())]);
        assert_eq!(window.reconnected(3, false), 1);
        window.push(b"e");
        assert_eq!(send(&mut window), [(5, b"e".to_vec())]);
    }

    #[test]
    fn a_full_queue_is_met_again_from_the_refused_frame() {
        let mut window = Window::default();
        for text in [b"a", b"b", b"c"] {
            window.push(text);
            send(&mut window);
        }
        window.refused_full(2, 1);
        window.refused_full(3, 1);
        assert_eq!(send(&mut window), []);
        window.acknowledge(1);
        assert_eq!(send(&mut window), [(2, b"b".to_vec()), (3, b"c".to_vec())]);
        // A refusal of the first sending that comes late changes nothing.
        window.refused_full(3, 1);
        assert!(!window.blocked);
    }

    #[test]
    fn lost_control_drops_what_was_not_typed_and_no_number_comes_twice() {
        let mut window = Window::default();
        for text in [b"a", b"b", b"c"] {
            window.push(text);
            send(&mut window);
        }
        window.push(b"dd");
        assert_eq!(window.refused_owner(2, 1), 4);
        window.push(b"e");
        assert_eq!(send(&mut window), [(4, b"e".to_vec())]);
        assert_eq!(window.refused_owner(3, 1), 0, "of what was dropped before");
        assert_eq!(window.refused_owner(4, 1), 1);
        window.push(b"f");
        assert_eq!(send(&mut window), [(5, b"f".to_vec())]);
        window.acknowledge(5);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn what_is_not_known_is_news_once() {
        let mut window = Window::default();
        window.push(b"a");
        send(&mut window);
        assert!(window.uncertain(1));
        assert!(!window.uncertain(1), "told again at the next attach");
        window.push(b"b");
        send(&mut window);
        window.refused_owner(2, 1);
        assert!(!window.uncertain(2), "it was refused, and that was told");
        window.restarted();
        window.push(b"c");
        send(&mut window);
        assert!(window.uncertain(1));
    }
}
