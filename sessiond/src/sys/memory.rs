//! Memory that outlives the process: a mapped file, its front as words, the rest as bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

/// A shared mapping of fixed length. The words at its front are read and written atomically and in program order with
/// everything around them; the bytes behind belong to one process at a time, which its user sees to.
#[derive(Debug)]
pub struct SharedMemory {
    map: MmapRaw,
    len: usize,
    words: usize,
}

impl SharedMemory {
    /// Maps the first `len` bytes of a memory file, the first `words * 8` of them as words.
    ///
    /// # Errors
    /// `InvalidData` when the file is shorter (touching a page beyond its end would be SIGBUS), else what `mmap` says.
    pub fn map(fd: BorrowedFd<'_>, len: usize, words: usize) -> io::Result<Self> {
        let has = usize::try_from(nix::sys::stat::fstat(fd.as_fd())?.st_size).unwrap_or(usize::MAX);
        if has < len || words * size_of::<AtomicU64>() > len {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a memory file of {has} bytes, not of {len}"),
            ));
        }
        let map = MmapOptions::new().len(len).map_raw(fd.as_raw_fd())?;
        Ok(Self { map, len, words })
    }

    /// Reads a word.
    ///
    /// # Panics
    /// When there is no such word.
    #[must_use]
    pub fn load(&self, word: usize) -> u64 {
        let value = self.word(word).load(Ordering::SeqCst);
        fence(Ordering::SeqCst);
        value
    }

    /// Writes a word: after everything that was written before it, before everything that is written after it.
    ///
    /// # Panics
    /// When there is no such word.
    pub fn store(&self, word: usize, value: u64) {
        fence(Ordering::SeqCst);
        self.word(word).store(value, Ordering::SeqCst);
        // A store alone lets later plain writes move before it; a successor must see them in this order.
        fence(Ordering::SeqCst);
    }

    /// The bytes from `at` on.
    ///
    /// # Panics
    /// When `at` lies in the words or beyond the end.
    pub fn bytes(&mut self, at: usize) -> &mut [u8] {
        assert!(at >= self.words * size_of::<AtomicU64>() && at <= self.len, "byte {at} is not behind the words");
        // SAFETY: the range is inside the mapping and disjoint from the words, the only part that is reached through
        // a shared reference; `&mut self` makes it the only slice of this process. Another process writes here only
        // after this one died (one reader of a terminal at a time).
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(at), self.len - at)
        }
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        assert!(word < self.words, "word {word} is not one of {}", self.words);
        // SAFETY: inside the mapping (checked above and in `map`), which starts at a page and is thus aligned, and
        // reached as nothing but an atomic.
        #[allow(unsafe_code)]
        unsafe {
            AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(word))
        }
    }
}

/// Memory that was freed goes back to the system. An allocator keeps it otherwise: for a thread that comes again in an hour, say.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: the call has no preconditions; it takes the allocator's own locks.
        #[allow(unsafe_code)]
        unsafe {
            nix::libc::malloc_trim(0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn two_mappings_are_one_memory_and_a_short_file_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert!(SharedMemory::map(file.as_fd(), 4097, 8).is_err());
        let mut one = SharedMemory::map(file.as_fd(), 4096, 8).unwrap();
        let mut other = SharedMemory::map(file.as_fd(), 4096, 8).unwrap();
        one.store(7, 99);
        one.bytes(64)[..3].copy_from_slice(b"abc");
        assert_eq!((other.load(7), &other.bytes(64)[..3]), (99, b"abc".as_slice()));
    }
}
