//! One file of a journal: a head block, then records.
//!
//! ```text
//! offset size
//!      0    8 magic "BATONSG1"
//!      8   16 instance
//!     24    4 number of the segment, rises by one
//!     28    4 bytes of state
//!     32    8 output offset at the beginning
//!     40    8 wall µs of its making
//!     48    4 CRC-32 of the bytes 0..48 and the state
//!     52   12 0
//!     64      state: lease, size, input streams as of the beginning (bincode)
//!  16384      records
//! ```
//!
//! The state makes recovery bounded: whoever has the newest segment has owner, epoch, size and input positions, however long
//! ago they were set. Retired files are renamed and overwritten; each record carries its segment's number, so that what is
//! left of an older use is never read as new. How the records are read, damaged ones too: [`super::scan`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use baton_proto::frame::Kind;
use baton_proto::v1::{CarriedState, Dimensions, LeaseRecord};
use baton_proto::{Epoch, InstanceId, codec};

pub use super::scan::{Entry, Hole, INDEX_BYTES, Known, OFFSET_MAX, Scan, intact, scan_bytes};

/// Bytes of a segment, head block included.
pub const SEGMENT_BYTES: u32 = 4 << 20;
/// Bytes before the first record.
pub const HEAD_BYTES: u32 = 16 << 10;
const MAGIC: [u8; 8] = *b"BATONSG1";
const STATE_AT: usize = 64;

/// A segment's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u32,
    /// Output offset at its beginning.
    pub base: u64,
    /// When it was made, in microseconds since 1970.
    pub wall_us: u64,
    /// The past.
    pub state: CarriedState,
}

/// The file of a segment.
#[must_use]
pub fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// The number in a segment's file name.
#[must_use]
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Opens the file of a segment for reading: nothing that is done with it changes anything.
///
/// # Errors
/// What the file system says.
pub fn open_read(dir: &Path, number: u32) -> io::Result<File> {
    open_regular(&path(dir, number))
}

/// Opens a regular file for reading. Whatever else stands in its place (a directory, a FIFO that nobody writes to) is no part
/// of a journal, and nobody waits for it.
///
/// # Errors
/// What the file system says; `NotFound` when it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// The head block.
///
/// # Errors
/// `InvalidData` when the state is too large for it.
pub fn head_block(instance: InstanceId, head: &Head) -> io::Result<Vec<u8>> {
    let mut block = vec![0; STATE_AT];
    codec::encode(Kind::Lease, &head.state, &mut block).map_err(|err| invalid(&err.to_string()))?;
    let state_len = block.len() - STATE_AT;
    if block.len() > HEAD_BYTES as usize {
        return Err(invalid("state too large"));
    }
    // A block with room to spare is a whole one: stale records of an older use must not begin inside it.
    block.resize(HEAD_BYTES as usize, 0);
    block[0..8].copy_from_slice(&MAGIC);
    block[8..24].copy_from_slice(instance.uuid().as_bytes());
    block[24..28].copy_from_slice(&head.number.to_le_bytes());
    block[28..32].copy_from_slice(&u32::try_from(state_len).map_err(|_| invalid("state too large"))?.to_le_bytes());
    block[32..40].copy_from_slice(&head.base.to_le_bytes());
    block[40..48].copy_from_slice(&head.wall_us.to_le_bytes());
    let crc = checksum(&block, state_len);
    block[48..52].copy_from_slice(&crc.to_le_bytes());
    Ok(block)
}

fn checksum(block: &[u8], state_len: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..48]);
    hasher.update(&block[STATE_AT..STATE_AT + state_len]);
    hasher.finalize()
}

fn word32(block: &[u8], at: usize) -> u32 {
    block[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Reads a segment's head block.
///
/// # Errors
/// `InvalidData` when it is not the head of this instance's segment `number`; what the file system says.
pub fn read_head(file: &File, instance: InstanceId, number: u32) -> io::Result<Head> {
    let mut block = vec![0; HEAD_BYTES as usize];
    file.read_exact_at(&mut block, 0)?;
    let state_len = word32(&block, 28) as usize;
    if block[0..8] != MAGIC || block[8..24] != *instance.uuid().as_bytes() || word32(&block, 24) != number {
        return Err(invalid("not the head of this segment"));
    }
    if state_len > block.len() - STATE_AT || word32(&block, 48) != checksum(&block, state_len) {
        return Err(invalid("the head of a segment is damaged"));
    }
    let state: Result<CarriedState, _> = codec::decode(Kind::Lease, &block[STATE_AT..STATE_AT + state_len]);
    let word64 = |at: usize| block[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let state = state.map_err(|err| invalid(&err.to_string()))?;
    let base = word64(32);
    if base > OFFSET_MAX || !state.size.is_valid() {
        return Err(invalid("the head of a segment says what cannot be"));
    }
    Ok(Head { number, base, wall_us: word64(40), state })
}

/// What the head of a segment would say, as far as its records tell: it is damaged. `None` when it has no record.
///
/// # Errors
/// What the file system says.
pub fn head_from_records(
    file: &File,
    tag: u64,
    number: u32,
    size: Dimensions,
    known: Known,
) -> io::Result<Option<Head>> {
    let lease = LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None };
    let state = CarriedState { lease, size, resized_at: 0, streams: Vec::new() };
    let unknown = Head { number, base: 0, wall_us: 0, state };
    let scan = scan(file, tag, &unknown, known)?;
    Ok(scan.first.map(|(base, wall_us)| Head { base, wall_us, ..unknown }))
}

/// Reads a segment from its first record to the last whole one, as [`scan_bytes`] does.
///
/// # Errors
/// What the file system says.
pub fn scan(file: &File, tag: u64, head: &Head, known: Known) -> io::Result<Scan> {
    let mut bytes = vec![0; known.bytes.min(SEGMENT_BYTES) as usize];
    let len = read_some(file, &mut bytes, 0)?;
    Ok(scan_bytes(&bytes[..len], tag, head, known))
}

/// Reads until the buffer is full or the file ends. What a disk can't read is zeros: no record has that many.
///
/// # Errors
/// What the file system says.
pub fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    // A dying disk takes its time for each: after a few, the rest is not asked for.
    const UNREADABLE_MAX: usize = 8;
    const STEP: usize = 64 << 10;
    let (mut len, mut unreadable) = (0, 0);
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], at + len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) if err.raw_os_error() == Some(nix::libc::EIO) && unreadable < UNREADABLE_MAX => {
                unreadable += 1;
                let next = (len + STEP).min(buffer.len());
                buffer[len..next].fill(0);
                len = next;
            }
            Err(err) if err.raw_os_error() == Some(nix::libc::EIO) => break,
            Err(err) => return Err(err),
        }
    }
    Ok(len)
}
