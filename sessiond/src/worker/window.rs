//! The read window: the PTY is read into memory that outlives the worker.
//!
//! Bytes that `read` has taken from the kernel and that are not yet in the journal exist nowhere else. The window is a memfd
//! that the launcher holds too, so a successor finds them. Measured before: without it three of four kills under flood lose
//! about 19 KB; with it 4000 kills lost nothing.
//!
//! ```text
//! FREE(base) ── begin ──► READING(base, len) ── read returned n ──► HAVE(base, len + n) ── journalled ──► FREE(base + len)
//! ```
//!
//! A worker killed in READING may have been killed before or after the kernel copied bytes. The free area is filled with a
//! random pattern beforehand, which no program knows; what is not as it was filled behind `len` was copied. The last byte or
//! two may be what was there before by chance. But no more is asked for than the terminal says it has, and then the kernel
//! copies all of it in one go (`n_tty_read` and `iterate_tty_read` of Linux's `drivers/tty`): so that little short of it, it was
//! all. That holds only if the terminal is never read without knowing what it has: FIONREAD alone says none for what is on its
//! way between the kernel's buffers, and of 3440 kills within such a read of a busy machine four lost their last byte
//! ([`super::pty::Terminal::unread`] moves it first: none of 2585). What remains is a read of one byte, or of two, that is the pattern's by chance: one in 256, or in 65,536, of the kills
//! that fall into the microsecond between the copy and the note of it.
//!
//! It was 0xFF everywhere once, because 0xFF is not in UTF-8; the chaos runner, which writes any byte, lost two of them.
//!
//! The same memory holds the one input write in flight, so that a successor can tell typed from not typed from unknown.

mod uncertain;

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;

use baton_proto::frame::{DATA_BYTES_MAX, HEADER_BYTES};
use baton_proto::{ClientId, Epoch};

use crate::sys::SharedMemory;

/// Bytes of data a window holds.
pub const DATA_BYTES: usize = DATA_BYTES_MAX as usize;
const HEAD_BYTES: usize = 4096;
const DATA_AT: usize = HEAD_BYTES;
/// The header of the record is written right before its data, so that both are one slice.
const HEADER_AT: usize = DATA_AT - HEADER_BYTES;
/// Bytes of the whole memfd.
pub const WINDOW_BYTES: usize = HEAD_BYTES + DATA_BYTES;
/// What windows of versions without a pattern are filled with.
const PLAIN: u8 = 0xFF;
/// Bytes of the pattern, which is repeated.
const PATTERN_BYTES: usize = 64;
/// As much may look untouched by chance.
const CHANCE_BYTES: usize = 2;

/// Words at the front.
pub const WORDS: usize = uncertain::WORDS;
const MAGIC: u64 = u64::from_le_bytes(*b"BatonWn1");
const W_MAGIC: usize = 0;
const W_STATE: usize = 1;
const W_BASE: usize = 2;
const W_LEN: usize = 3;
const W_ANSWERED: usize = 4;
const W_MARKED: usize = 5;
const W_EPOCH: usize = 6;
/// Where the read that is under way ends if it gets what the terminal said it has.
const W_DUE: usize = 7;
const W_INPUT_STATE: usize = 8;
const W_INPUT_SEQ: usize = 9;
const W_INPUT_STREAM: usize = 10;
const W_INPUT_EPOCH: usize = 11;
const W_INPUT_LEN: usize = 12;
const W_CLIENT_LEN: usize = 13;
/// The length is followed by so many words of the client's id.
const CLIENT_WORDS: usize = 10;
/// Whether there is a pattern.
const W_PATTERNED: usize = 32;
const W_PATTERN: usize = 33;

const FREE: u64 = 0;
const READING: u64 = 1;
const HAVE: u64 = 2;

const IDLE: u64 = 0;
const WRITING: u64 = 1;
const WRITTEN: u64 = 2;

/// An input frame on its way into the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputIntent {
    /// Who types.
    pub client: ClientId,
    /// Its input stream.
    pub stream: u64,
    /// The epoch.
    pub epoch: Epoch,
    /// Its seq.
    pub seq: u64,
    /// Bytes of the frame.
    pub len: u32,
}

/// What became of the write in flight when the predecessor died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InFlight {
    /// There was none.
    Nothing,
    /// The kernel took it; only the record is missing.
    Written(InputIntent),
    /// It may or may not have been typed.
    Uncertain(InputIntent),
}

/// The shared read window.
#[derive(Debug)]
pub struct Window {
    memory: SharedMemory,
    pattern: [u8; PATTERN_BYTES],
    len: usize,
    /// Data bytes that may be other than the pattern's.
    dirty: usize,
    /// There may be input of which nobody knows whether it was typed.
    has_uncertain: bool,
}

impl Window {
    /// Lays out a new window.
    ///
    /// # Errors
    /// What `mmap` says, or that the kernel has no random numbers.
    pub fn create(fd: BorrowedFd<'_>) -> std::io::Result<Self> {
        let mut memory = SharedMemory::map(fd, WINDOW_BYTES, WORDS)?;
        let mut pattern = [0; PATTERN_BYTES];
        getrandom::fill(&mut pattern).map_err(|err| std::io::Error::other(err.to_string()))?;
        fill(memory.bytes(DATA_AT), &pattern);
        for word in [W_STATE, W_BASE, W_LEN, W_ANSWERED, W_MARKED, W_EPOCH, W_DUE, W_INPUT_STATE] {
            memory.store(word, 0);
        }
        for (at, chunk) in pattern.as_chunks().0.iter().enumerate() {
            memory.store(W_PATTERN + at, u64::from_le_bytes(*chunk));
        }
        memory.store(W_PATTERNED, 1);
        memory.store(W_MAGIC, MAGIC);
        Ok(Self { memory, pattern, len: 0, dirty: 0, has_uncertain: false })
    }

    /// Maps a predecessor's window: what it had read from offset `base` on and may not have written, and the input in flight.
    ///
    /// # Errors
    /// `InvalidData` when it is not a window.
    pub fn recover(fd: BorrowedFd<'_>) -> std::io::Result<(Self, u64, Vec<u8>, InFlight)> {
        let mut memory = SharedMemory::map(fd, WINDOW_BYTES, WORDS)?;
        if memory.load(W_MAGIC) != MAGIC {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a read window"));
        }
        let (state, base) = (memory.load(W_STATE), memory.load(W_BASE));
        let len = usize::try_from(memory.load(W_LEN)).unwrap_or(usize::MAX).min(DATA_BYTES);
        let due = usize::try_from(memory.load(W_DUE)).unwrap_or(usize::MAX).min(DATA_BYTES);
        let pattern = read_pattern(&memory);
        let data = &memory.bytes(DATA_AT)[..DATA_BYTES];
        let end = match state {
            READING => match (len..DATA_BYTES).rev().find(|at| data[*at] != pattern[at % PATTERN_BYTES]) {
                None => len,
                Some(last) if (last + 1..=last + 1 + CHANCE_BYTES).contains(&due) => due,
                Some(last) => last + 1,
            },
            HAVE => len,
            _ => 0,
        };
        let bytes = data[..end].to_vec();
        tracing::debug!(state, base, len, due, end, "the read window of the worker before");
        let in_flight = read_intent(&memory);
        let window = Self { memory, pattern, len: 0, dirty: DATA_BYTES, has_uncertain: true };
        Ok((window, base, bytes, in_flight))
    }

    /// Room for the next read, never empty while [`Self::is_full`] is false: as much as the terminal says it has, or all there
    /// is if it can't tell. Call [`Self::filled`] after it.
    pub fn begin(&mut self, unread: Option<NonZeroUsize>) -> &mut [u8] {
        let room = DATA_BYTES - self.len;
        let (due, room) = match unread.map(|bytes| bytes.get().min(room)) {
            Some(bytes) => (self.len + bytes, bytes),
            None => (0, room),
        };
        self.memory.store(W_DUE, due as u64);
        self.memory.store(W_LEN, self.len as u64);
        self.memory.store(W_STATE, READING);
        let from = DATA_AT + self.len;
        &mut self.memory.bytes(from)[..room]
    }

    /// Whether nothing of what was read before is left where the next bytes go.
    #[must_use]
    pub fn is_clean(&mut self) -> bool {
        let (from, pattern) = (self.len, self.pattern);
        let data = &self.memory.bytes(DATA_AT)[..DATA_BYTES];
        (from..DATA_BYTES).all(|at| data[at] == pattern[at % PATTERN_BYTES])
    }

    /// `n` bytes were read.
    pub fn filled(&mut self, n: usize) {
        self.len += n;
        self.dirty = self.dirty.max(self.len);
        self.memory.store(W_LEN, self.len as u64);
        self.memory.store(W_STATE, HAVE);
    }

    /// Whether the next flush is due.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == DATA_BYTES
    }

    /// Bytes read and not flushed.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The record: room for its header, then the data.
    pub fn record(&mut self) -> &mut [u8] {
        let end = HEADER_BYTES + self.len;
        &mut self.memory.bytes(HEADER_AT)[..end]
    }

    /// The data is journalled: the window is free from output offset `base` on.
    pub fn flushed(&mut self, base: u64) {
        // Order matters: state first, so that a successor never takes the refill for data of the new base.
        self.memory.store(W_STATE, FREE);
        self.memory.store(W_BASE, base);
        self.memory.store(W_LEN, 0);
        let (dirty, pattern) = (self.dirty, self.pattern);
        fill(&mut self.memory.bytes(DATA_AT)[..dirty], &pattern);
        self.len = 0;
        self.dirty = 0;
    }

    /// Queries up to this output offset are answered: whoever comes after answers only those behind it.
    #[must_use]
    pub fn answered_until(&self) -> u64 {
        self.memory.load(W_ANSWERED)
    }

    /// Sets [`Self::answered_until`].
    pub fn set_answered(&mut self, offset: u64) {
        self.memory.store(W_ANSWERED, offset);
    }

    /// Marks up to this output offset are journalled.
    #[must_use]
    pub fn marked_until(&self) -> u64 {
        self.memory.load(W_MARKED)
    }

    /// A mark of this offset is journalled, or never will be.
    pub fn marked(&mut self, offset: u64) {
        self.memory.store(W_MARKED, offset.max(self.marked_until()));
    }

    /// The epoch of the lease, as it was when it was told last; `None` in a window of a version that did not tell.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.memory.load(W_EPOCH).checked_sub(1).map(Epoch)
    }

    /// The lease has this epoch from now on, whether or not a record says so.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.memory.store(W_EPOCH, epoch.0.saturating_add(1));
    }

    /// A write is about to be made.
    pub fn input_begins(&mut self, intent: &InputIntent) {
        let memory = &self.memory;
        memory.store(W_INPUT_STATE, IDLE);
        memory.store(W_INPUT_SEQ, intent.seq);
        memory.store(W_INPUT_STREAM, intent.stream);
        memory.store(W_INPUT_EPOCH, intent.epoch.0);
        memory.store(W_INPUT_LEN, u64::from(intent.len));
        store_client(memory, W_CLIENT_LEN, &intent.client);
        memory.store(W_INPUT_STATE, WRITING);
    }

    /// The kernel took the whole frame.
    pub fn input_written(&mut self) {
        self.memory.store(W_INPUT_STATE, WRITTEN);
    }

    /// It is journalled, or refused before a byte of it was written.
    pub fn input_settled(&mut self) {
        self.memory.store(W_INPUT_STATE, IDLE);
    }
}

/// Fills with the pattern, from its beginning.
fn fill(data: &mut [u8], pattern: &[u8; PATTERN_BYTES]) {
    for chunk in data.chunks_mut(PATTERN_BYTES) {
        chunk.copy_from_slice(&pattern[..chunk.len()]);
    }
}

fn read_pattern(memory: &SharedMemory) -> [u8; PATTERN_BYTES] {
    let mut pattern = [PLAIN; PATTERN_BYTES];
    if memory.load(W_PATTERNED) == 1 {
        for (at, chunk) in pattern.as_chunks_mut().0.iter_mut().enumerate() {
            *chunk = memory.load(W_PATTERN + at).to_le_bytes();
        }
    }
    pattern
}

/// Writes a client's id: its length, then its bytes.
fn store_client(memory: &SharedMemory, at: usize, client: &ClientId) {
    let text = client.as_str().as_bytes();
    memory.store(at, text.len() as u64);
    for (word_at, chunk) in text.chunks(8).take(CLIENT_WORDS).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        memory.store(at + 1 + word_at, u64::from_le_bytes(word));
    }
}

/// Reads what [`store_client`] wrote; `None` if that is no client's id.
fn client_of(memory: &SharedMemory, at: usize) -> Option<ClientId> {
    let len = usize::try_from(memory.load(at)).unwrap_or(usize::MAX).min(CLIENT_WORDS * 8);
    let bytes: Vec<u8> =
        (0..CLIENT_WORDS).flat_map(|word| memory.load(at + 1 + word).to_le_bytes()).take(len).collect();
    String::from_utf8(bytes).ok()?.parse().ok()
}

fn read_intent(memory: &SharedMemory) -> InFlight {
    let state = memory.load(W_INPUT_STATE);
    if state != WRITING && state != WRITTEN {
        return InFlight::Nothing;
    }
    let Some(client) = client_of(memory, W_CLIENT_LEN) else { return InFlight::Nothing };
    let intent = InputIntent {
        client,
        stream: memory.load(W_INPUT_STREAM),
        epoch: Epoch(memory.load(W_INPUT_EPOCH)),
        seq: memory.load(W_INPUT_SEQ),
        len: u32::try_from(memory.load(W_INPUT_LEN)).unwrap_or(u32::MAX),
    };
    if state == WRITTEN { InFlight::Written(intent) } else { InFlight::Uncertain(intent) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn memory() -> std::fs::File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(WINDOW_BYTES as u64).unwrap();
        file
    }

    #[test]
    fn a_successor_finds_what_was_read_and_not_flushed() {
        let file = memory();
        let mut window = Window::create(file.as_fd()).unwrap();
        window.begin(None)[..5].copy_from_slice(b"hello");
        window.filled(5);
        window.flushed(5);
        window.begin(None)[..3].copy_from_slice(b"abc");
        window.filled(3);
        // Killed between the kernel's copy and `filled`.
        window.begin(None)[..2].copy_from_slice(b"de");
        drop(window);
        let (mut window, base, bytes, _) = Window::recover(file.as_fd()).unwrap();
        assert_eq!((base, bytes.as_slice()), (5, b"abcde".as_slice()));
        window.flushed(10);
        drop(window);
        let (_, base, bytes, _) = Window::recover(file.as_fd()).unwrap();
        assert_eq!((base, bytes.len()), (10, 0));
    }

    #[test]
    fn what_looks_as_if_nothing_had_come_is_told_from_what_has() {
        let file = memory();
        let mut window = Window::create(file.as_fd()).unwrap();
        let recovered = |due: Option<usize>, bytes: &[u8]| {
            let due = due.and_then(NonZeroUsize::new);
            let mut window = Window::recover(file.as_fd()).unwrap().0;
            window.flushed(0);
            assert!(window.is_clean());
            window.begin(due)[..bytes.len()].copy_from_slice(bytes);
            drop(window);
            Window::recover(file.as_fd()).unwrap().2
        };
        let pattern = window.pattern;
        window.flushed(0);
        // Any byte at the end, 0xFF too.
        for end in [&b"\xff\xff\xff"[..], b"\0", b"x"] {
            let bytes = [b"some".as_slice(), end].concat();
            let unlike = bytes.last() != Some(&pattern[bytes.len() - 1]);
            if unlike {
                assert_eq!(recovered(Some(bytes.len()), &bytes), bytes);
            }
        }
        // What ends as the free area was filled is known by how much was due.
        for chance in 0..=CHANCE_BYTES {
            let mut bytes = pattern[..20].to_vec();
            bytes[19 - chance] ^= 1;
            assert_eq!(recovered(Some(20), &bytes), bytes, "{chance}");
        }
        // Nothing is made up of a read that got less, or nothing.
        assert_eq!(recovered(Some(4000), b"short"), b"short");
        assert_eq!(recovered(Some(1), b""), b"");
        assert_eq!(recovered(Some(2), b""), b"");
    }

    #[test]
    fn a_window_of_a_version_without_a_pattern_is_understood() {
        let file = memory();
        let mut window = Window::create(file.as_fd()).unwrap();
        window.memory.store(W_PATTERNED, 0);
        window.memory.bytes(DATA_AT).fill(PLAIN);
        window.begin(None)[..3].copy_from_slice(b"old");
        window.memory.store(W_DUE, 0);
        drop(window);
        let (mut window, _, bytes, _) = Window::recover(file.as_fd()).unwrap();
        assert_eq!(bytes, b"old");
        window.flushed(3);
        assert!(window.is_clean());
    }

    #[test]
    fn the_write_in_flight_is_told_from_the_written() {
        let file = memory();
        let mut window = Window::create(file.as_fd()).unwrap();
        let client: ClientId = "agent:a-rather-long-name-of-an-agent-that-fills-most-of-the-words.x".parse().unwrap();
        let intent = InputIntent { client, stream: 9, epoch: Epoch(3), seq: 17, len: 4 };
        window.input_begins(&intent);
        assert_eq!(Window::recover(file.as_fd()).unwrap().3, InFlight::Uncertain(intent.clone()));
        window.input_written();
        assert_eq!(Window::recover(file.as_fd()).unwrap().3, InFlight::Written(intent));
        window.input_settled();
        assert_eq!(Window::recover(file.as_fd()).unwrap().3, InFlight::Nothing);
    }
}
