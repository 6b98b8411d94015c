//! The journal's files as a thread of their own reads them: read-only, with handles of its own, while the poll loop writes.
//!
//! What stands before the published end is written and stays, until its segment is retired: then the file is renamed and
//! overwritten under the reader's hands. Every record carries its segment's number, its instance and a checksum, so a reader
//! sees that; it is told [`ReadError::Trimmed`] and goes on at the oldest segment that is still kept. What is damaged is passed
//! over: the next batch begins behind it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use baton_proto::InstanceId;
use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Header, Kind};
use baton_proto::v1::Dimensions;

use crate::worker::journal::{Place, ReadError, reaches};
use crate::worker::segment::{self, Head, Hole, Known, SEGMENT_BYTES};

/// Least bytes read at once: the largest record there is (an input mark with its bytes) fits.
const READ_BYTES_MIN: usize = HEADER_BYTES + 3 * DATA_BYTES_MAX as usize;

/// Reads one instance's journal.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    instance: InstanceId,
    /// The segment read last.
    open: Option<(u32, File)>,
    /// The segment that was found damaged last, how far it was looked at, and what is damaged.
    holes: Option<(Place, Vec<Hole>)>,
    /// What the records of a segment with a damaged head say.
    guessed: Option<Head>,
    /// Where the last batch ended, and the output before that.
    read: (Place, u64),
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
        let read = (Place { number: 0, at: 0 }, 0);
        Self { dir: dir.to_owned(), instance, open: None, holes: None, guessed: None, read, buffer: Vec::new() }
    }

    /// Reads records from `place` on, none of them at or behind `end`, about `bytes_max` bytes of them but at least one; those
    /// behind damage if there is some. `None`: there is none before `end`.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when the segment was retired, or is not there.
    pub fn read(&mut self, place: Place, end: Place, bytes_max: usize) -> Result<Option<Batch<'_>>, ReadError> {
        let mut place = place;
        let whole = loop {
            if place >= end {
                return Ok(None);
            }
            let (whole, reached) = self.fill(place, end, bytes_max)?;
            if whole > 0 {
                let next = Place { at: place.at + u32::try_from(whole).unwrap_or(u32::MAX), ..place };
                self.read = (next, reached);
                break whole;
            }
            // The end of an older segment; or the file has become another since; or it is damaged.
            let head = self.head(place.number)?;
            place = self.behind(place, end, &head)?.unwrap_or(Place::first_of(place.number + 1));
        };
        Ok(Some(Batch { bytes: &self.buffer[..whole], begin: place, next: self.read.0 }))
    }

    /// Fills the buffer from `place` on; how many of its bytes are whole records of this segment, and how far they reach.
    fn fill(&mut self, place: Place, end: Place, bytes_max: usize) -> Result<(usize, u64), ReadError> {
        let until = if place.number == end.number { end.at } else { SEGMENT_BYTES };
        let wanted = (until.saturating_sub(place.at) as usize).min(bytes_max.max(READ_BYTES_MIN));
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(wanted, 0);
        let file = self.file(place.number);
        let read = file.and_then(|file| Ok(segment::read_some(file, &mut buffer, u64::from(place.at))?));
        self.buffer = buffer;
        let len = read?;
        let (mut whole, mut reached) = (0, 0);
        while let Some((frame, _)) =
            segment::intact(&self.buffer[whole..len], place.number, self.instance.tag(), reached)
        {
            reached = reaches(&frame);
            whole += frame.total_bytes();
        }
        Ok((whole, reached))
    }

    /// Where whole records stand again in this segment, if any do behind `place`, where none does.
    fn behind(&mut self, place: Place, end: Place, head: &Head) -> Result<Option<Place>, ReadError> {
        let number = place.number;
        let known = if number == end.number {
            Known::written(end.at)
        } else {
            let next = (number + 1..=end.number).find_map(|number| self.head(number).ok()).map(|head| head.base);
            if self.read.0 == place && next == Some(self.read.1) {
                // All of its output was read.
                return Ok(None);
            }
            next.map_or(Known::NOTHING, Known::ends_at)
        };
        let seen = Place { number, at: known.bytes };
        if self.holes.as_ref().is_none_or(|(looked, _)| *looked != seen) {
            let tag = self.instance.tag();
            let scan = segment::scan(self.file(number)?, tag, head, known)?;
            self.holes = Some((seen, scan.holes));
        }
        let holes = self.holes.as_ref().map_or(&[][..], |(_, holes)| holes);
        let hole = holes.get(holes.partition_point(|hole| hole.to <= place.at));
        Ok(hole.filter(|hole| hole.from <= place.at).map(|hole| Place { at: hole.to, ..place }))
    }

    /// The head of a segment; where it is damaged, what its records say of it ([`Self::is_guessed`]).
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when there is no such segment (any more), whatever its file holds instead.
    pub fn head(&mut self, number: u32) -> Result<Head, ReadError> {
        let instance = self.instance;
        let err = match segment::read_head(self.file(number)?, instance, number) {
            Ok(head) => return Ok(head),
            Err(err) => err,
        };
        // Its file may have been given to another segment meanwhile.
        self.open = None;
        if !matches!(err.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
            return Err(err.into());
        }
        if let Some(head) = self.guessed.clone().filter(|head| head.number == number) {
            self.file(number)?;
            return Ok(head);
        }
        let size = Dimensions { cols: 80, rows: 24 };
        let file = self.file(number)?;
        let head = segment::head_from_records(file, instance.tag(), number, size, Known::NOTHING)?;
        self.guessed.clone_from(&head);
        head.ok_or(ReadError::Trimmed)
    }

    /// Whether the head of this segment is damaged: the size in it is not known.
    #[must_use]
    pub fn is_guessed(&self, head: &Head) -> bool {
        self.guessed.as_ref() == Some(head)
    }

    /// The newest of the segments `first..=last` that begins at or before `offset`; the oldest there is if none does.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when none of them is there.
    pub fn segment_of(&mut self, first: u32, last: u32, offset: u64) -> Result<Head, ReadError> {
        let (mut low, mut high, mut found) = (first, last, None);
        while low <= high {
            let middle = low + (high - low) / 2;
            // Retired since the numbers were told, or damaged: those behind it may be there.
            let Some(head) = self.first_head(middle, high)? else {
                let Some(below) = middle.checked_sub(1) else { break };
                high = below;
                continue;
            };
            if head.base <= offset {
                low = head.number + 1;
                found = Some(head);
            } else {
                let Some(below) = middle.checked_sub(1) else { break };
                high = below;
            }
        }
        match found {
            Some(head) => Ok(head),
            None => self.first_head(first, last)?.ok_or(ReadError::Trimmed),
        }
    }

    /// The head of the oldest of the segments `first..=last` that has one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn first_head(&mut self, first: u32, last: u32) -> Result<Option<Head>, ReadError> {
        for number in first..=last {
            match self.head(number) {
                Ok(head) => return Ok(Some(head)),
                Err(ReadError::Trimmed) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(None)
    }

    fn file(&mut self, number: u32) -> Result<&File, ReadError> {
        let file = match self.open.take() {
            Some((open, file)) if open == number => file,
            _ => segment::open_regular(&segment::path(&self.dir, number)).map_err(|err| match err.kind() {
                io::ErrorKind::NotFound => ReadError::Trimmed,
                _ => ReadError::Io(err),
            })?,
        };
        Ok(&self.open.insert((number, file)).1)
    }
}
