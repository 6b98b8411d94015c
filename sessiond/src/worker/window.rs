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
//! A worker killed in READING may have been killed before or after the kernel copied bytes. The free area is filled with 0xFF
//! beforehand; what is not 0xFF behind `len` was copied. 0xFF never occurs in UTF-8; of a binary stream that ends in 0xFF
//! just then, the trailing 0xFF bytes would be lost, and nothing else.
//!
//! The same memory holds the one input write in flight, so that a successor can tell typed from not typed from unknown.

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
const FILL: u8 = 0xFF;

const WORDS: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"BatonWn1");
const W_MAGIC: usize = 0;
const W_STATE: usize = 1;
const W_BASE: usize = 2;
const W_LEN: usize = 3;
const W_ANSWERED: usize = 4;
const W_MARKED: usize = 5;
const W_EPOCH: usize = 6;
const W_INPUT_STATE: usize = 8;
const W_INPUT_SEQ: usize = 9;
const W_INPUT_STREAM: usize = 10;
const W_INPUT_EPOCH: usize = 11;
const W_INPUT_LEN: usize = 12;
const W_CLIENT_LEN: usize = 13;
const W_CLIENT: usize = 14;
const CLIENT_WORDS: usize = 10;

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
    len: usize,
    /// Data bytes that may be other than [`FILL`].
    dirty: usize,
}

impl Window {
    /// Lays out a new window.
    ///
    /// # Errors
    /// What `mmap` says.
    pub fn create(fd: BorrowedFd<'_>) -> std::io::Result<Self> {
        let mut memory = SharedMemory::map(fd, WINDOW_BYTES, WORDS)?;
        memory.bytes(DATA_AT).fill(FILL);
        for word in [W_STATE, W_BASE, W_LEN, W_ANSWERED, W_MARKED, W_EPOCH, W_INPUT_STATE] {
            memory.store(word, 0);
        }
        memory.store(W_MAGIC, MAGIC);
        Ok(Self { memory, len: 0, dirty: 0 })
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
        let data = &memory.bytes(DATA_AT)[..DATA_BYTES];
        let end = match state {
            READING => data.iter().rposition(|byte| *byte != FILL).map_or(len, |last| len.max(last + 1)),
            HAVE => len,
            _ => 0,
        };
        let bytes = data[..end].to_vec();
        let in_flight = read_intent(&memory);
        Ok((Self { memory, len: 0, dirty: DATA_BYTES }, base, bytes, in_flight))
    }

    /// Room for the next read, never empty while [`Self::is_full`] is false. Call [`Self::filled`] after it.
    pub fn begin(&mut self) -> &mut [u8] {
        self.memory.store(W_LEN, self.len as u64);
        self.memory.store(W_STATE, READING);
        let from = DATA_AT + self.len;
        &mut self.memory.bytes(from)[..DATA_BYTES - self.len]
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
        let dirty = self.dirty;
        self.memory.bytes(DATA_AT)[..dirty].fill(FILL);
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
        let text = intent.client.as_str().as_bytes();
        memory.store(W_CLIENT_LEN, text.len() as u64);
        for (at, chunk) in text.chunks(8).take(CLIENT_WORDS).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            memory.store(W_CLIENT + at, u64::from_le_bytes(word));
        }
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

fn read_intent(memory: &SharedMemory) -> InFlight {
    let state = memory.load(W_INPUT_STATE);
    if state != WRITING && state != WRITTEN {
        return InFlight::Nothing;
    }
    let len = usize::try_from(memory.load(W_CLIENT_LEN)).unwrap_or(usize::MAX).min(CLIENT_WORDS * 8);
    let bytes: Vec<u8> = (0..CLIENT_WORDS).flat_map(|at| memory.load(W_CLIENT + at).to_le_bytes()).take(len).collect();
    let Some(client) = String::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) else {
        return InFlight::Nothing;
    };
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
        window.begin()[..5].copy_from_slice(b"hello");
        window.filled(5);
        window.flushed(5);
        window.begin()[..3].copy_from_slice(b"abc");
        window.filled(3);
        // Killed between the kernel's copy and `filled`.
        window.begin()[..2].copy_from_slice(b"de");
        drop(window);
        let (mut window, base, bytes, _) = Window::recover(file.as_fd()).unwrap();
        assert_eq!((base, bytes.as_slice()), (5, b"abcde".as_slice()));
        window.flushed(10);
        drop(window);
        let (_, base, bytes, _) = Window::recover(file.as_fd()).unwrap();
        assert_eq!((base, bytes.len()), (10, 0));
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
