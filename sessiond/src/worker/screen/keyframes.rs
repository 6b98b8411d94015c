//! Keyframes: screens as they were, kept beside the journal, so that any screen since is a short way off.
//!
//! One file for each segment, `kf-<number>`, gone with it. A file holds entries one after another, appended while the program
//! runs; only the last may be replaced, if it was made because output had stopped and more came soon.
//!
//! ```text
//! offset size
//!      0    8 magic "BATONKF1"
//!      8    4 version of the engine that made it
//!     12    4 bytes of screen
//!     16    8 low half of the instance id
//!     24    4 number of the segment
//!     28    4 place of the record to go on with, in the segment's file
//!     32    8 output offset
//!     40    8 wall µs of the newest output in it
//!     48    2 columns
//!     50    2 rows
//!     52    2 changes of size behind that record which the screen has seen already
//!     54    2 flags: 1 = may be replaced, 2 = approximate
//!     56    4 CRC-32 of the bytes 0..56
//!     60    4 CRC-32 of the screen
//!     64      the screen: terminal bytes
//! ```
//!
//! Nothing depends on a keyframe being there: what is damaged, torn, or of another engine is passed over, and the screen is
//! computed from further back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use baton_proto::v1::Dimensions;
use baton_screen::ENGINE_VERSION;

use crate::worker::journal::Place;
use crate::worker::segment::SEGMENT_BYTES;

/// Most bytes of one screen; a larger one (a hostile grid) is not kept.
pub const SCREEN_BYTES_MAX: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"BATONKF1";
const HEAD_BYTES: usize = 64;
/// More entries than a segment's bytes need; what stands behind them was not written by us.
const ENTRIES_MAX: usize = 64;
const LOOSE: u16 = 1;
const APPROXIMATE: u16 = 2;

/// What is known of a screen besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyframe {
    /// Output bytes before it.
    pub offset: u64,
    /// The record to go on with; of it, what lies before `offset` is in the screen already.
    pub place: Place,
    /// So many changes of size from there on are in the screen already.
    pub resizes_seen: u16,
    /// Its size.
    pub size: Dimensions,
    /// When the newest output in it came, in microseconds since 1970.
    pub wall_us: u64,
    /// Output that was never seen lies before it.
    pub approximate: bool,
}

/// A keyframe in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The keyframe.
    pub keyframe: Keyframe,
    /// The next one takes its place.
    pub loose: bool,
    at: u64,
    len: u32,
    crc: u32,
}

impl Entry {
    const fn end(&self) -> u64 {
        self.at + HEAD_BYTES as u64 + self.len as u64
    }
}

/// The file of a segment's keyframes.
#[must_use]
pub fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("kf-{number:08}"))
}

fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("kf-")?;
    (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The segment is gone, and its keyframes with it. That there are none is no failure.
pub fn forget(dir: &Path, number: u32) {
    match fs::remove_file(path(dir, number)) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(number, error = %err, "keyframes of a segment that is gone cannot be removed");
        }
        _ => {}
    }
}

/// The offset of the newest keyframe there is, of whatever segment.
#[must_use]
pub fn newest(dir: &Path, tag: u64) -> Option<u64> {
    let names = fs::read_dir(dir).ok()?.flatten();
    let mut numbers: Vec<u32> = names.filter_map(|entry| entry.file_name().to_str().and_then(number_of)).collect();
    numbers.sort_unstable();
    numbers.into_iter().rev().find_map(|number| entries(dir, tag, number).last().map(|entry| entry.keyframe.offset))
}

/// Removes the files of segments that are none of `first..=last`: a worker that was killed could not.
pub fn forget_others(dir: &Path, first: u32, last: u32) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for number in entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(number_of)) {
        if number < first || number > last {
            forget(dir, number);
        }
    }
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at + 4)) << 32 | u64::from(word32(bytes, at))
}

fn word16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn parse(head: &[u8; HEAD_BYTES], at: u64, tag: u64, number: u32) -> Option<(u32, Entry)> {
    let sound = head[0..8] == MAGIC && crc32fast::hash(&head[..56]) == word32(head, 56);
    let len = word32(head, 12);
    if !sound || len as usize > SCREEN_BYTES_MAX || word64(head, 16) != tag || word32(head, 24) != number {
        return None;
    }
    let size = Dimensions { cols: word16(head, 48), rows: word16(head, 50) };
    let place = Place { number, at: word32(head, 28) };
    if !size.is_valid() || place < Place::first_of(number) || place.at > SEGMENT_BYTES {
        return None;
    }
    let flags = word16(head, 54);
    let keyframe = Keyframe {
        offset: word64(head, 32),
        place,
        resizes_seen: word16(head, 52),
        size,
        wall_us: word64(head, 40),
        approximate: flags & APPROXIMATE != 0,
    };
    Some((word32(head, 8), Entry { keyframe, loose: flags & LOOSE != 0, at, len, crc: word32(head, 60) }))
}

/// The keyframes of one segment, oldest first, and the place behind the last sound entry, of whatever engine. Reading ends at
/// the first entry whose head is not sound: nothing says how long that one is.
fn scan(file: &File, tag: u64, number: u32) -> (Vec<Entry>, u64) {
    let (mut entries, mut at): (Vec<Entry>, u64) = (Vec::new(), 0);
    for _ in 0..ENTRIES_MAX {
        let mut head = [0; HEAD_BYTES];
        if file.read_exact_at(&mut head, at).is_err() {
            break;
        }
        let Some((engine, entry)) = parse(&head, at, tag, number) else { break };
        if file.metadata().is_ok_and(|meta| meta.len() < entry.end()) {
            break;
        }
        at = entry.end();
        let ordered = entries.last().is_none_or(|last| last.keyframe.offset <= entry.keyframe.offset);
        if engine == ENGINE_VERSION && ordered {
            entries.push(entry);
        }
    }
    (entries, at)
}

/// The keyframes of a segment, oldest first. A file that is not there, or not readable, has none.
#[must_use]
pub fn entries(dir: &Path, tag: u64, number: u32) -> Vec<Entry> {
    crate::worker::segment::open_regular(&path(dir, number)).map(|file| scan(&file, tag, number).0).unwrap_or_default()
}

/// The screen of an entry; `None` when it is damaged, or replaced since.
#[must_use]
pub fn load(dir: &Path, entry: &Entry) -> Option<Vec<u8>> {
    let file = crate::worker::segment::open_regular(&path(dir, entry.keyframe.place.number)).ok()?;
    let mut bytes = vec![0; entry.len as usize];
    file.read_exact_at(&mut bytes, entry.at + HEAD_BYTES as u64).ok()?;
    (crc32fast::hash(&bytes) == entry.crc).then_some(bytes)
}

/// Writes keyframes, one segment after another.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    tag: u64,
    open: Option<Open>,
    read_only: bool,
}

#[derive(Debug)]
struct Open {
    number: u32,
    file: File,
    entries: usize,
    /// Where the next one goes.
    end: u64,
    /// The newest offset of an entry that stays.
    fixed: Option<u64>,
}

impl Writer {
    /// A writer of keyframes in `dir`.
    #[must_use]
    pub fn new(dir: &Path, tag: u64) -> Self {
        Self { dir: dir.to_owned(), tag, open: None, read_only: false }
    }

    /// A writer that writes nothing and makes no file: of a session that has ended, what was kept stays as it is.
    #[must_use]
    pub fn to_nowhere(dir: &Path, tag: u64) -> Self {
        Self { read_only: true, ..Self::new(dir, tag) }
    }

    /// The newest offset in a segment's file of a keyframe that stays.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fixed(&mut self, number: u32) -> io::Result<Option<u64>> {
        if self.read_only {
            let entries = entries(&self.dir, self.tag, number);
            return Ok(entries.iter().rfind(|entry| !entry.loose).map(|entry| entry.keyframe.offset));
        }
        Ok(self.open(number)?.fixed)
    }

    /// Appends a screen; a `loose` one is replaced by the next. False when it is too large to be kept, or there are too many.
    ///
    /// # Errors
    /// What the file system says.
    pub fn put(&mut self, keyframe: &Keyframe, screen: &[u8], loose: bool) -> io::Result<bool> {
        let tag = self.tag;
        if self.read_only {
            return Ok(false);
        }
        let open = self.open(keyframe.place.number)?;
        let Ok(len) = u32::try_from(screen.len()) else { return Ok(false) };
        if screen.len() > SCREEN_BYTES_MAX || open.entries + 1 >= ENTRIES_MAX {
            return Ok(false);
        }
        let flags = if loose { LOOSE } else { 0 } | if keyframe.approximate { APPROXIMATE } else { 0 };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + screen.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&ENGINE_VERSION.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&keyframe.place.number.to_le_bytes());
        bytes.extend_from_slice(&keyframe.place.at.to_le_bytes());
        bytes.extend_from_slice(&keyframe.offset.to_le_bytes());
        bytes.extend_from_slice(&keyframe.wall_us.to_le_bytes());
        bytes.extend_from_slice(&keyframe.size.cols.to_le_bytes());
        bytes.extend_from_slice(&keyframe.size.rows.to_le_bytes());
        bytes.extend_from_slice(&keyframe.resizes_seen.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(screen).to_le_bytes());
        bytes.extend_from_slice(screen);
        // What stood here would otherwise go on behind a shorter one. Killed between the two: one keyframe less.
        let written = open.file.set_len(open.end).and_then(|()| open.file.write_all_at(&bytes, open.end));
        if let Err(err) = written {
            // Half a screen is none, and takes room from the journal.
            let _ = open.file.set_len(open.end);
            self.open = None;
            return Err(err);
        }
        if !loose {
            open.end += bytes.len() as u64;
            open.entries += 1;
            open.fixed = Some(keyframe.offset);
        }
        Ok(true)
    }

    fn open(&mut self, number: u32) -> io::Result<&mut Open> {
        let open = match self.open.take().filter(|open| open.number == number) {
            Some(open) => open,
            None => {
                let path = path(&self.dir, number);
                let file =
                    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
                let (entries, behind) = scan(&file, self.tag, number);
                let fixed = entries.iter().rfind(|entry| !entry.loose).map(|entry| entry.keyframe.offset);
                let end = entries.last().filter(|entry| entry.loose).map_or(behind, |entry| entry.at);
                Open { number, entries: entries.len(), end, fixed, file }
            }
        };
        Ok(self.open.insert(open))
    }
}
