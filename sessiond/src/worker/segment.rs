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
//! left of an older use is never read as new.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use baton_proto::frame::{Frame, Kind, read_body};
use baton_proto::v1::{
    CarriedState, Dimensions, ExitRecord, GapRecord, InputRecord, LeaseRecord, MarkKind, MarkRecord, ResizeRecord,
};
use baton_proto::{InstanceId, codec};

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

/// Opens a segment's file, made if it is not there.
///
/// # Errors
/// What the file system says.
pub fn open(dir: &Path, number: u32, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path(dir, number))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Writes the head block over whatever the file held.
///
/// # Errors
/// What the file system says.
pub fn write_head(file: &File, instance: InstanceId, head: &Head) -> io::Result<()> {
    let mut block = vec![0; STATE_AT];
    codec::encode(Kind::Lease, &head.state, &mut block).map_err(|err| invalid(&err.to_string()))?;
    let state_len = block.len() - STATE_AT;
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
    file.write_all_at(&block, 0)
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
    let state = codec::decode(Kind::Lease, &block[STATE_AT..STATE_AT + state_len]);
    let word64 = |at: usize| block[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let state = state.map_err(|err| invalid(&err.to_string()))?;
    Ok(Head { number, base: word64(32), wall_us: word64(40), state })
}

/// What a scan of a segment's records found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Place after the last whole record.
    pub end: u32,
    /// Output offset there.
    pub head: u64,
    /// The state there.
    pub state: CarriedState,
    /// Records at least [`INDEX_BYTES`] of file apart.
    pub index: Vec<Entry>,
    /// How the program ended, if it has.
    pub exit: Option<ExitRecord>,
    /// Wall time of the last record, 0 if there is none.
    pub last_wall_us: u64,
    /// The highest offset of a mark that the screen made, 0 if there is none.
    pub marked: u64,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Output bytes before it.
    pub offset: u64,
    /// Bytes of file before it.
    pub at: u32,
    /// When it was made, in microseconds since 1970.
    pub wall_us: u64,
}

/// Bytes of file between two entries of a segment's index.
pub const INDEX_BYTES: u32 = 64 << 10;

/// Reads a segment from its first record to the last whole one: a record counts when its checksum, segment number and
/// instance fit. Whatever stands behind it was never finished, or is left of an older use of the file.
///
/// # Errors
/// What the file system says.
pub fn scan(file: &File, tag: u64, head: &Head) -> io::Result<Scan> {
    let mut bytes = vec![0; SEGMENT_BYTES as usize];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    let mut scan = Scan {
        end: HEAD_BYTES,
        head: head.base,
        state: head.state.clone(),
        index: Vec::new(),
        exit: None,
        last_wall_us: 0,
        marked: 0,
    };
    while let Some(rest) = bytes[..len].get(scan.end as usize..) {
        let Ok(Some(frame)) = Frame::parse(rest) else { break };
        let header = frame.header;
        let fits = header.segment == head.number && header.tag == tag && header.at >= scan.head;
        let (Some(kind), true) = (header.known_kind(), fits && Kind::is_record_number(header.kind)) else { break };
        if !header.is_intact(frame.payload) {
            break;
        }
        if scan.index.last().is_none_or(|entry| scan.end - entry.at >= INDEX_BYTES) {
            scan.index.push(Entry { offset: header.at, at: scan.end, wall_us: header.wall_us });
        }
        scan.head = header.at;
        scan.last_wall_us = header.wall_us;
        match kind {
            Kind::Output | Kind::Stderr => scan.head += u64::from(header.len),
            Kind::Gap => scan.head += read_body::<GapRecord>(kind, frame.payload).map_or(0, |gap| gap.lost),
            Kind::Lease => scan.state.lease = read_body::<LeaseRecord>(kind, frame.payload).unwrap_or(scan.state.lease),
            Kind::Resize => {
                if let Ok(ResizeRecord { cols, rows }) = read_body(kind, frame.payload) {
                    scan.state.size = Dimensions { cols, rows };
                    scan.state.resized_at = header.at;
                }
            }
            Kind::InputMark => {
                if let Ok(input) = read_body::<InputRecord>(kind, frame.payload) {
                    scan.state.set_typed(&input.client, input.stream, input.seq);
                }
            }
            Kind::Mark => {
                if let Ok(mark) = read_body::<MarkRecord>(kind, frame.payload)
                    && mark.kind != MarkKind::InputUncertain
                {
                    scan.marked = scan.marked.max(mark.offset);
                }
            }
            Kind::Exit => scan.exit = read_body(kind, frame.payload).ok(),
            _ => {}
        }
        scan.end += u32::try_from(frame.total_bytes()).unwrap_or(u32::MAX - scan.end);
    }
    Ok(scan)
}
