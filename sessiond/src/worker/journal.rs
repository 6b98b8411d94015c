//! The journal: the truth about a session, append-only, addressed by output offset, bounded in bytes.
//!
//! A record on disk is a frame on the wire, so a subscriber is sent the file's bytes. Nothing is synced on the output path: the
//! page cache outlives every process of ours, and a host that loses power loses the last moments of a shell that died with it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use baton_proto::InstanceId;
use baton_proto::codec::{self, Encode};
use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Header, Kind};
use baton_proto::v1::{CarriedState, ExitRecord, GapRecord, InputRecord, LeaseRecord, ResizeRecord};

use super::clock::Clock;
use super::screen::keyframes;
use super::segment::{self, Entry, HEAD_BYTES, Head, INDEX_BYTES, SEGMENT_BYTES};

/// Fewest segments a journal keeps: one is written while another is read.
const SEGMENTS_MIN: usize = 2;

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the segment.
    pub number: u32,
    /// Bytes before it in the segment's file.
    pub at: u32,
}

impl Place {
    /// The first record of a segment.
    #[must_use]
    pub const fn first_of(number: u32) -> Self {
        Self { number, at: HEAD_BYTES }
    }

    /// So many bytes back in the same segment.
    #[must_use]
    pub fn back(self, bytes: usize) -> Self {
        Self { at: self.at.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX)), ..self }
    }
}

impl Place {
    /// Bytes between an earlier place of the same segment and this one; all there are if that is in an earlier segment.
    #[must_use]
    pub fn bytes_since(self, earlier: Self) -> usize {
        if self.number == earlier.number { self.at.saturating_sub(earlier.at) as usize } else { usize::MAX }
    }
}

/// A record that was appended.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Where it begins.
    pub begin: Place,
    /// Where the next one begins.
    pub end: Place,
}

/// Why a place cannot be read from.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The segment was given up since.
    #[error("this part of the journal is no longer kept")]
    Trimmed,
    /// The file system failed.
    #[error("the journal cannot be read")]
    Io(#[from] io::Error),
}

#[derive(Debug)]
struct Segment {
    head: Head,
    /// Known once scanned: place after the last record, and the index.
    scanned: Option<(u32, Vec<Entry>)>,
    /// Open while it is written or was read lately.
    file: Option<File>,
}

/// One instance's journal.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    instance: InstanceId,
    /// Oldest first; the last is written to.
    segments: VecDeque<Segment>,
    bytes_max: u64,
    head: u64,
    clock: Clock,
    /// Output passed through since the last record that could be written.
    lost: u64,
    /// What the next segment's head carries.
    state: CarriedState,
    exit: Option<ExitRecord>,
    /// As [`segment::Scan::marked`], of the newest segment when it was recovered.
    marked: u64,
    /// Memory for one record; reused.
    scratch: Vec<u8>,
}

impl Journal {
    /// Begins a journal in `dir` (made, 0700).
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(dir: &Path, instance: InstanceId, bytes_max: u64, state: CarriedState) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut journal = Self::empty(dir, instance, bytes_max, state);
        journal.roll()?;
        Ok(journal)
    }

    fn empty(dir: &Path, instance: InstanceId, bytes_max: u64, state: CarriedState) -> Self {
        Self {
            dir: dir.to_owned(),
            instance,
            segments: VecDeque::new(),
            bytes_max,
            head: 0,
            clock: Clock::default(),
            lost: 0,
            state,
            exit: None,
            marked: 0,
            scratch: Vec::new(),
        }
    }

    /// Goes on with a journal another worker wrote: up to its last whole record.
    ///
    /// # Errors
    /// What the file system says. A journal without any readable segment begins anew at `fallback`.
    pub fn recover(dir: &Path, instance: InstanceId, bytes_max: u64, fallback: CarriedState) -> io::Result<Self> {
        let mut journal = Self::empty(dir, instance, bytes_max, fallback);
        let mut numbers = list(dir)?;
        let mut newest: Option<Segment> = None;
        let mut segments = VecDeque::new();
        while let Some(number) = numbers.pop() {
            let file = segment::open(dir, number, false)?;
            match segment::read_head(&file, instance, number) {
                Ok(head) if newest.is_none() => {
                    let scan = segment::scan(&file, instance.tag(), &head)?;
                    // An all-zero header ends the records for good: what stands behind could otherwise line up again.
                    if scan.end + u32::try_from(HEADER_BYTES).unwrap_or(0) <= SEGMENT_BYTES {
                        file.write_all_at(&[0; HEADER_BYTES], u64::from(scan.end))?;
                    }
                    journal.head = scan.head;
                    journal.clock = Clock::after(scan.last_wall_us);
                    journal.state = scan.state;
                    journal.exit = scan.exit;
                    journal.marked = scan.marked;
                    newest = Some(Segment { head, scanned: Some((scan.end, scan.index)), file: Some(file) });
                }
                Ok(head) => segments.push_front(Segment { head, scanned: None, file: None }),
                // Renamed for reuse, its head not yet written: it holds nothing.
                Err(err) if newest.is_none() => {
                    tracing::warn!(number, error = %err, "a segment was never begun and is dropped");
                    fs::remove_file(segment::path(dir, number))?;
                }
                Err(err) => {
                    tracing::warn!(number, error = %err, "a damaged segment and those before it are left out");
                    break;
                }
            }
        }
        segments.extend(newest);
        journal.segments = segments;
        if journal.segments.is_empty() {
            journal.roll()?;
        }
        Ok(journal)
    }

    /// Output bytes so far.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Oldest output byte kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.segments.front().map_or(self.head, |segment| segment.head.base)
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let full = self.segments.len().saturating_sub(1) as u64 * u64::from(SEGMENT_BYTES);
        full + u64::from(self.written())
    }

    /// Lease, size and input positions as the records have them.
    #[must_use]
    pub const fn state(&self) -> &CarriedState {
        &self.state
    }

    /// How the program ended, if that is recorded.
    #[must_use]
    pub const fn exit(&self) -> Option<&ExitRecord> {
        self.exit.as_ref()
    }

    /// Up to which offset a predecessor's marks are in the newest segment; 0 if none is there.
    #[must_use]
    pub const fn marked(&self) -> u64 {
        self.marked
    }

    /// The place the next record goes to.
    #[must_use]
    pub fn end(&self) -> Place {
        let number = self.segments.back().map_or(0, |segment| segment.head.number);
        Place { number, at: self.written() }
    }

    fn written(&self) -> u32 {
        self.segments.back().and_then(|segment| segment.scanned.as_ref()).map_or(HEAD_BYTES, |(end, _)| *end)
    }

    /// Appends a record with a body.
    ///
    /// # Errors
    /// What the file system says; the record's effect on [`Self::state`] holds all the same.
    pub fn append<T: Encode>(&mut self, kind: Kind, body: &T) -> io::Result<Appended> {
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.resize(HEADER_BYTES, 0);
        let encoded = codec::encode_large(kind, body, &mut record);
        let appended = match encoded {
            Ok(()) => self.append_record(kind, &mut record),
            Err(err) => {
                record.clear();
                Err(io::Error::new(io::ErrorKind::InvalidData, err))
            }
        };
        self.scratch = record;
        appended
    }

    /// The bytes of the record appended last by [`Self::append`], for those who are at the head.
    #[must_use]
    pub fn last_record(&self) -> &[u8] {
        &self.scratch
    }

    /// Appends a lease record.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_lease(&mut self, record: &LeaseRecord) -> io::Result<Appended> {
        self.state.lease = record.clone();
        self.append(Kind::Lease, record)
    }

    /// Appends a resize record.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_resize(&mut self, record: ResizeRecord) -> io::Result<Appended> {
        self.state.size = baton_proto::v1::Dimensions { cols: record.cols, rows: record.rows };
        self.state.resized_at = self.head;
        self.append(Kind::Resize, &record)
    }

    /// Appends an input mark.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_input(&mut self, record: &InputRecord) -> io::Result<Appended> {
        if record.seq != 0 {
            self.state.set_typed(&record.client, record.stream, record.seq);
        }
        self.append(Kind::InputMark, record)
    }

    /// Input that may or may not have been typed counts as typed: it is never retried.
    pub fn settle_uncertain(&mut self, client: &baton_proto::ClientId, stream: u64, seq: u64) {
        self.state.set_typed(client, stream, seq);
    }

    /// Appends the end of the program, and has it on disk before it returns.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_exit(&mut self, record: &ExitRecord) -> io::Result<Appended> {
        self.exit = Some(record.clone());
        let appended = self.append(Kind::Exit, record)?;
        if let Some(file) = self.segments.back().and_then(|segment| segment.file.as_ref()) {
            file.sync_data()?;
        }
        Ok(appended)
    }

    /// Appends output whose header's room stands before it: sealed in place, so that the same bytes go to the subscribers.
    /// Output counts whether or not it could be written; what could not is marked as a gap by the next record that can.
    ///
    /// # Errors
    /// What the file system says.
    pub fn append_record(&mut self, kind: Kind, record: &mut [u8]) -> io::Result<Appended> {
        if self.lost > 0 && kind != Kind::Gap {
            let lost = std::mem::take(&mut self.lost);
            let mut gap = vec![0; HEADER_BYTES];
            codec::encode(Kind::Gap, &GapRecord { lost }, &mut gap)
                .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))?;
            if let Err(err) = self.write(Kind::Gap, self.head - lost, &mut gap) {
                self.lost = lost;
                self.seal(kind, self.head, record);
                self.count(kind, record, true);
                return Err(err);
            }
        }
        let written = self.write(kind, self.head, record);
        self.count(kind, record, written.is_err());
        written
    }

    fn count(&mut self, kind: Kind, record: &[u8], lost: bool) {
        if matches!(kind, Kind::Output | Kind::Stderr) {
            let len = (record.len() - HEADER_BYTES) as u64;
            self.head += len;
            if lost {
                self.lost += len;
            }
        }
    }

    fn seal(&mut self, kind: Kind, at: u64, record: &mut [u8]) {
        let (wall_us, mono_us) = self.clock.stamp();
        let (head, payload) = record.split_at_mut(HEADER_BYTES);
        let header = Header {
            // The callers' records are bounded by a frame's limits, far below 4 GiB.
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            kind: kind.number(),
            at,
            wall_us,
            mono_us,
            segment: self.segments.back().map_or(0, |segment| segment.head.number),
            tag: self.instance.tag(),
            crc: 0,
        };
        head.copy_from_slice(&header.sealed(payload).to_bytes());
    }

    fn write(&mut self, kind: Kind, at: u64, record: &mut [u8]) -> io::Result<Appended> {
        let len = u32::try_from(record.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let rolled = if self.written().saturating_add(len) > SEGMENT_BYTES { self.roll_at(at) } else { Ok(()) };
        // Sealed even if it cannot be written: those at the head are sent it all the same.
        self.seal(kind, at, record);
        rolled?;
        let begin = self.end();
        let Some(Segment { scanned: Some((end, index)), file: Some(file), .. }) = self.segments.back_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.write_all_at(record, u64::from(begin.at))?;
        *end += len;
        if index.last().is_none_or(|entry| begin.at - entry.at >= INDEX_BYTES) {
            index.push(Entry { offset: at, at: begin.at, wall_us: self.clock.last_wall_us() });
        }
        Ok(Appended { begin, end: Place { at: *end, ..begin } })
    }

    fn roll(&mut self) -> io::Result<()> {
        self.roll_at(self.head)
    }

    fn roll_at(&mut self, base: u64) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |segment| segment.head.number + 1);
        if self.segments.len() >= self.segments_max() {
            // Overwritten in place: unlinking under flood cost a tenth of the throughput when it was measured.
            if let Some(retired) = self.segments.front() {
                fs::rename(segment::path(&self.dir, retired.head.number), segment::path(&self.dir, number))?;
                keyframes::forget(&self.dir, retired.head.number);
                self.segments.pop_front();
            }
        }
        let file = segment::open(&self.dir, number, true)?;
        let (wall_us, _) = self.clock.stamp();
        let head = Head { number, base, wall_us, state: self.state.clone() };
        segment::write_head(&file, self.instance, &head)?;
        if let Some(previous) = self.segments.back_mut() {
            previous.file = None;
        }
        self.segments.push_back(Segment { head, scanned: Some((HEAD_BYTES, Vec::new())), file: Some(file) });
        Ok(())
    }

    fn segments_max(&self) -> usize {
        usize::try_from(self.bytes_max / u64::from(SEGMENT_BYTES)).unwrap_or(usize::MAX).max(SEGMENTS_MIN)
    }

    /// Keeps at most so many bytes from now on; the oldest segments go.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trim(&mut self, bytes_max: u64) -> io::Result<()> {
        self.bytes_max = bytes_max;
        while self.segments.len() > self.segments_max() {
            let Some(oldest) = self.segments.pop_front() else { break };
            keyframes::forget(&self.dir, oldest.head.number);
            fs::remove_file(segment::path(&self.dir, oldest.head.number))?;
        }
        Ok(())
    }

    /// Number of the oldest segment kept.
    #[must_use]
    pub fn first_number(&self) -> u32 {
        self.segments.front().map_or(0, |segment| segment.head.number)
    }

    /// The offset before which all output stands that had come by `wall_us`, and when the record there came: the newest time
    /// known if none has come since, the oldest offset kept if the time is before it. At most one segment is read for it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn locate(&mut self, wall_us: u64) -> Result<(u64, u64), ReadError> {
        let at = self.segments.partition_point(|segment| segment.head.wall_us <= wall_us).saturating_sub(1);
        self.ensure_scanned(at)?;
        let Some(Segment { head, scanned: Some((_, index)), .. }) = self.segments.get(at) else {
            return Ok((self.head, self.clock.last_wall_us()));
        };
        let entry = index.partition_point(|entry| entry.wall_us <= wall_us).saturating_sub(1);
        let mut place = Place { number: head.number, at: index.get(entry).map_or(HEAD_BYTES, |entry| entry.at) };
        let mut buffer = Vec::new();
        while let Some(next) = self.read(place, 256 << 10, &mut buffer)? {
            let mut rest = buffer.as_slice();
            while let Ok(Some(frame)) = Frame::parse(rest) {
                let output = matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr));
                if output && frame.header.wall_us > wall_us {
                    return Ok((frame.header.at, frame.header.wall_us));
                }
                rest = &rest[frame.total_bytes()..];
            }
            place = next;
        }
        Ok((self.head, self.clock.last_wall_us()))
    }

    /// The place of the first record that reaches beyond `offset`; the end if none does yet, the oldest if that is later.
    ///
    /// # Errors
    /// What the file system says.
    pub fn place_of(&mut self, offset: u64) -> Result<Place, ReadError> {
        if offset >= self.head {
            return Ok(self.end());
        }
        let at = self.segments.iter().rposition(|segment| segment.head.base <= offset).unwrap_or(0);
        self.ensure_scanned(at)?;
        let Some(segment) = self.segments.get(at) else { return Ok(self.end()) };
        let number = segment.head.number;
        let mut place = match &segment.scanned {
            Some((_, index)) => {
                let entry = index.partition_point(|entry| entry.offset <= offset).saturating_sub(1);
                Place { number, at: index.get(entry).map_or(HEAD_BYTES, |entry| entry.at) }
            }
            None => Place { number, at: HEAD_BYTES },
        };
        // From the index entry on, record by record.
        let mut buffer = Vec::new();
        loop {
            let Some(next) = self.read(place, 256 << 10, &mut buffer)? else { return Ok(place) };
            let mut rest = buffer.as_slice();
            let mut at = place.at;
            while let Ok(Some(frame)) = Frame::parse(rest) {
                let output = matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr));
                if frame.header.at > offset || (output && frame.header.at + u64::from(frame.header.len) > offset) {
                    return Ok(Place { at, ..place });
                }
                at += u32::try_from(frame.total_bytes()).unwrap_or(0);
                rest = &rest[frame.total_bytes()..];
            }
            place = next;
        }
    }

    /// Reads whole records from `place` on into `buffer` (cleared), about `bytes_max` of them but at least one, all of one
    /// segment. Returns the place after them, `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when the segment is gone.
    pub fn read(&mut self, place: Place, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<Option<Place>, ReadError> {
        buffer.clear();
        let mut place = place;
        loop {
            let first = self.segments.front().map_or(0, |segment| segment.head.number);
            let at = place.number.checked_sub(first).ok_or(ReadError::Trimmed)? as usize;
            if at >= self.segments.len() {
                return Ok(None);
            }
            self.ensure_scanned(at)?;
            let is_last = at + 1 == self.segments.len();
            let Some(Segment { scanned: Some((end, _)), file: Some(file), .. }) = self.segments.get(at) else {
                return Err(ReadError::Io(io::ErrorKind::NotFound.into()));
            };
            if place.at < *end {
                let wanted = bytes_max.clamp(HEADER_BYTES + DATA_BYTES_MAX as usize, SEGMENT_BYTES as usize);
                let len = ((*end - place.at) as usize).min(wanted);
                buffer.resize(len, 0);
                file.read_exact_at(buffer, u64::from(place.at))?;
                let whole = whole_records(buffer);
                if whole == 0 {
                    // A single record larger than asked for: input marks with their bytes.
                    let total = Header::parse(buffer)
                        .ok()
                        .flatten()
                        .map(|header| HEADER_BYTES + header.len as usize)
                        .filter(|total| *total <= (*end - place.at) as usize)
                        .ok_or_else(|| ReadError::Io(io::ErrorKind::InvalidData.into()))?;
                    buffer.resize(total, 0);
                    file.read_exact_at(buffer, u64::from(place.at))?;
                    return Ok(Some(Place { at: place.at + u32::try_from(total).unwrap_or(0), ..place }));
                }
                buffer.truncate(whole);
                return Ok(Some(Place { at: place.at + u32::try_from(whole).unwrap_or(0), ..place }));
            }
            if is_last {
                return Ok(None);
            }
            place = Place { number: place.number + 1, at: HEAD_BYTES };
        }
    }

    fn ensure_scanned(&mut self, at: usize) -> Result<(), ReadError> {
        let last = self.segments.len().saturating_sub(1);
        // At most one old segment stays open: readers go through them one after another.
        for (other, segment) in self.segments.iter_mut().enumerate() {
            if other != at && other != last {
                segment.file = None;
            }
        }
        let Some(segment) = self.segments.get_mut(at) else { return Err(ReadError::Trimmed) };
        if segment.file.is_none() {
            segment.file = Some(segment::open(&self.dir, segment.head.number, false)?);
        }
        if let (None, Some(file)) = (&segment.scanned, &segment.file) {
            let scan = segment::scan(file, self.instance.tag(), &segment.head)?;
            segment.scanned = Some((scan.end, scan.index));
        }
        Ok(())
    }
}

fn whole_records(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Ok(Some(frame)) = Frame::parse(&bytes[whole..]) {
        whole += frame.total_bytes();
    }
    whole
}

fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Some(number) = entry?.file_name().to_str().and_then(segment::number_of) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// How an instance ended and how far its output went, read without touching anything: `None` while no end is recorded.
///
/// # Errors
/// What the file system says.
pub fn last_exit(dir: &Path, instance: InstanceId) -> io::Result<Option<ExitRecord>> {
    for number in list(dir)?.into_iter().rev() {
        let file = File::open(segment::path(dir, number))?;
        if let Ok(head) = segment::read_head(&file, instance, number) {
            return Ok(segment::scan(&file, instance.tag(), &head)?.exit);
        }
    }
    Ok(None)
}
