//! The journal's files as a thread of their own reads them: read-only, with handles of its own, while the poll loop writes.
//!
//! What stands before the published end is written and stays, until its segment is retired: then the file is renamed and
//! overwritten under the reader's hands. Every record carries its segment's number, its instance and a checksum, so a reader
//! sees that; it is told [`ReadError::Trimmed`] and goes on at the oldest segment that is still kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use baton_proto::InstanceId;
use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Header, Kind};

use crate::worker::journal::{Place, ReadError};
use crate::worker::segment::{self, Head, SEGMENT_BYTES};

/// Least bytes read at once: the largest record there is (an input mark with its bytes) fits.
const READ_BYTES_MIN: usize = HEADER_BYTES + 3 * DATA_BYTES_MAX as usize;

/// Reads one instance's journal.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    instance: InstanceId,
    /// The segment read last.
    open: Option<(u32, File)>,
    buffer: Vec<u8>,
}

/// Records of one segment, whole and checked.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    /// Where the first begins.
    pub begin: Place,
    /// Where the next one begins.
    pub next: Place,
}

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its header.
    pub header: Header,
    /// What it is.
    pub kind: Kind,
    /// Its payload.
    pub payload: &'a [u8],
    /// Where it begins.
    pub begin: Place,
    /// Where the next one begins.
    pub end: Place,
}

impl<'a> Batch<'a> {
    /// Its records, in order.
    pub fn records(self) -> impl Iterator<Item = Record<'a>> {
        let (mut rest, mut begin) = (self.bytes, self.begin);
        std::iter::from_fn(move || {
            let frame = Frame::parse(rest).ok().flatten()?;
            let kind = frame.header.known_kind()?;
            let end = Place { at: begin.at + u32::try_from(frame.total_bytes()).ok()?, ..begin };
            rest = &rest[frame.total_bytes()..];
            let record = Record { header: frame.header, kind, payload: frame.payload, begin, end };
            begin = end;
            Some(record)
        })
    }
}

impl Reader {
    /// A reader of the journal in `dir`.
    #[must_use]
    pub fn new(dir: &Path, instance: InstanceId) -> Self {
        Self { dir: dir.to_owned(), instance, open: None, buffer: Vec::new() }
    }

    /// Reads records from `place` on, none of them at or behind `end`, about `bytes_max` bytes of them but at least one.
    /// `None`: there is none before `end`.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when the segment was retired; `InvalidData` when what was published is not there.
    pub fn read(&mut self, place: Place, end: Place, bytes_max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        let mut place = place;
        let whole = loop {
            if place >= end {
                return Ok(None);
            }
            let whole = self.fill(place, end, bytes_max)?;
            if whole > 0 {
                break whole;
            }
            // The end of an older segment; or the file has become another since; or it is damaged.
            self.head(place.number)?;
            if place.number >= end.number {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a journal record is damaged").into());
            }
            place = Place::first_of(place.number + 1);
        };
        let next = Place { at: place.at + u32::try_from(whole).unwrap_or(u32::MAX), ..place };
        Ok(Some(Batch { bytes: &self.buffer[..whole], begin: place, next }))
    }

    /// Fills the buffer from `place` on; how many of its bytes are whole records of this segment.
    fn fill(&mut self, place: Place, end: Place, bytes_max: usize) -> Result<usize, ReadError> {
        let until = if place.number == end.number { end.at } else { SEGMENT_BYTES };
        let wanted = (until.saturating_sub(place.at) as usize).min(bytes_max.max(READ_BYTES_MIN));
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(wanted, 0);
        let read = self.file(place.number).and_then(|file| Ok(read_some(file, &mut buffer, u64::from(place.at))?));
        self.buffer = buffer;
        let len = read?;
        let (mut whole, mut at) = (0, 0);
        while let Ok(Some(frame)) = Frame::parse(&self.buffer[whole..len]) {
            let header = frame.header;
            let known = header.known_kind().is_some() && Kind::is_record_number(header.kind);
            let ours = header.segment == place.number && header.tag == self.instance.tag() && header.at >= at;
            if !known || !ours || !header.is_intact(frame.payload) {
                break;
            }
            at = header.at;
            whole += frame.total_bytes();
        }
        Ok(whole)
    }

    /// The head of a segment.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when there is no such segment (any more), whatever its file holds instead.
    pub fn head(&mut self, number: u32) -> Result<Head, ReadError> {
        let instance = self.instance;
        let head = segment::read_head(self.file(number)?, instance, number);
        head.map_err(|err| {
            self.open = None;
            match err.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ReadError::Trimmed,
                _ => ReadError::Io(err),
            }
        })
    }

    /// The newest of the segments `first..=last` that begins at or before `offset`; the oldest there is if none does.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when none of them is there.
    pub fn segment_of(&mut self, first: u32, last: u32, offset: u64) -> Result<Head, ReadError> {
        let (mut low, mut high, mut found) = (first, last, None);
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.head(middle) {
                Ok(head) if head.base <= offset => {
                    found = Some(head);
                    low = middle + 1;
                }
                Ok(head) => {
                    found = found.or_else(|| (middle == first).then_some(head));
                    let Some(below) = middle.checked_sub(1) else { break };
                    high = below;
                }
                // Retired since the numbers were told: those behind it are still there.
                Err(ReadError::Trimmed) => low = middle + 1,
                Err(err) => return Err(err),
            }
        }
        match found {
            Some(head) => Ok(head),
            None if low <= last => self.head(low),
            None => Err(ReadError::Trimmed),
        }
    }

    fn file(&mut self, number: u32) -> Result<&File, ReadError> {
        let file = match self.open.take() {
            Some((open, file)) if open == number => file,
            _ => File::open(segment::path(&self.dir, number)).map_err(|err| match err.kind() {
                io::ErrorKind::NotFound => ReadError::Trimmed,
                _ => ReadError::Io(err),
            })?,
        };
        Ok(&self.open.insert((number, file)).1)
    }
}

/// Reads until the buffer is full or the file ends.
fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], at + len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(len)
}
