//! The journal: the truth about a session, append-only, addressed by output offset, bounded in bytes.
//!
//! A record on disk is a frame on the wire, so a subscriber is sent the file's bytes. Nothing is synced on the output path: the
//! page cache outlives every process of ours, and a host that loses power loses the last moments of a shell that died with it.
//!
//! What is read is checked, record by record; damage is passed over, and the jump between two records' offsets tells how much
//! output was in it. A journal that is only read ([`Journal::open`]) is never written to, whatever is wrong with it.

mod disk;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod faults;
mod read;
mod recover;
mod reserve;
mod trouble;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use baton_proto::InstanceId;
use baton_proto::codec::{self, Encode};
use baton_proto::frame::{HEADER_BYTES, Header, Kind};
use baton_proto::v1::{CarriedState, ExitRecord, GapRecord, InputRecord, LeaseRecord, ResizeRecord};

use super::clock::Clock;
use super::screen::keyframes;
use super::segment::{self, Entry, HEAD_BYTES, Head, Hole, INDEX_BYTES, SEGMENT_BYTES};

pub use read::reaches;
pub use recover::{Predecessor, last_exit};
pub use trouble::{Failing, Mended};

pub use reserve::RESERVE;

use disk::Disk;
use reserve::Reserve;
use trouble::Owed;

/// The file with a copy of the record of the end.
const END: &str = "end";
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
    /// Where those were who had everything before it: there, or before the gap or the end of a segment that it stands behind.
    pub before: Place,
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
    /// Known once scanned, or because it was written here.
    scanned: Option<Scanned>,
    /// Open while it is written or was read lately.
    file: Option<File>,
}

/// What is known of a segment's records.
#[derive(Debug, Default)]
struct Scanned {
    /// Place after the last record.
    end: u32,
    index: Vec<Entry>,
    /// What cannot be read.
    holes: Vec<Hole>,
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
    /// Nothing is written, whoever asks.
    read_only: bool,
    disk: Disk,
    reserve: Reserve,
    /// The disk takes no records.
    failing: Option<Failing>,
    /// Output in no record since it began to fail.
    missing: u64,
    owed: Owed,
    /// Nothing may be written behind the newest segment's end: a next one may stand there already, half made.
    must_roll: bool,
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
            read_only: false,
            disk: Disk::default(),
            reserve: Reserve::of(dir),
            failing: None,
            missing: 0,
            owed: Owed::default(),
            must_roll: false,
            scratch: Vec::new(),
        }
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
        self.segments.back().and_then(|segment| segment.scanned.as_ref()).map_or(HEAD_BYTES, |scanned| scanned.end)
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
        self.append_vital(Kind::Lease, record)
    }

    /// Appends a record that a successor must have: what cannot be written now is written later, as it is by then.
    fn append_vital<T: Encode>(&mut self, kind: Kind, body: &T) -> io::Result<Appended> {
        let appended = self.append(kind, body);
        if appended.is_err() {
            self.owe(kind);
        }
        appended
    }

    /// Appends a resize record.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_resize(&mut self, record: ResizeRecord) -> io::Result<Appended> {
        self.state.size = baton_proto::v1::Dimensions { cols: record.cols, rows: record.rows };
        self.state.resized_at = self.head;
        self.append_vital(Kind::Resize, &record)
    }

    /// Appends an input mark.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_input(&mut self, record: &InputRecord) -> io::Result<Appended> {
        if record.seq != 0 {
            self.state.set_typed(&record.client, record.stream, record.seq);
        }
        let appended = if self.failing.is_some() && record.bytes.is_some() {
            // That it was typed counts; there is no room for what.
            self.append(Kind::InputMark, &InputRecord { bytes: None, ..record.clone() })
        } else {
            self.append(Kind::InputMark, record)
        };
        if appended.is_err() && record.seq != 0 && !self.read_only {
            self.owed.input(&record.client, record.stream);
        }
        appended
    }

    /// Appends the end of the program, and has it on disk before it returns.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_exit(&mut self, record: &ExitRecord) -> io::Result<Appended> {
        self.exit = Some(record.clone());
        let appended = self.append_vital(Kind::Exit, record)?;
        if let Err(err) = self.seal_end(appended.end) {
            tracing::warn!(error = %err, "the end is written and may not be on disk yet");
        }
        Ok(appended)
    }

    /// The record of the end is written, up to here.
    fn seal_end(&mut self, end: Place) -> io::Result<()> {
        self.note_end();
        self.reserve.remove(&self.disk);
        let Some(file) = self.segments.back().and_then(|segment| segment.file.as_ref()) else { return Ok(()) };
        // What an older use of the file left behind the end is gone, so that the end of the file says where the end is.
        self.disk.truncate(file, u64::from(end.at))?;
        self.disk.sync(file)
    }

    /// Keeps a copy of the record of the end: where the output ended is known even if the journal does not tell.
    fn note_end(&self) {
        let path = self.dir.join(END);
        let noted = self.disk.open(&path, true).and_then(|file| {
            self.disk.truncate(&file, 0)?;
            self.disk.write(&file, &self.scratch, 0).map_err(|(_, err)| err)
        });
        if let Err(err) = noted {
            tracing::warn!(error = %err, "the end is noted in the journal only");
        }
    }

    /// Appends output whose header's room stands before it: sealed in place, so that the same bytes go to the subscribers.
    /// Output counts whether or not it could be written; what could not is marked as a gap by the next record that can.
    ///
    /// # Errors
    /// What the file system says.
    pub fn append_record(&mut self, kind: Kind, record: &mut [u8]) -> io::Result<Appended> {
        let written = self.try_append(kind, record);
        self.count(kind, record, written.is_err());
        written
    }

    /// Marks what was lost.
    fn write_gap(&mut self) -> io::Result<()> {
        let lost = std::mem::take(&mut self.lost);
        let mut gap = vec![0; HEADER_BYTES];
        let encoded = codec::encode(Kind::Gap, &GapRecord { lost }, &mut gap);
        let written = match encoded {
            Ok(()) => self.write(Kind::Gap, self.head - lost, &mut gap).map(|_| ()),
            Err(err) => Err(io::Error::new(io::ErrorKind::InvalidData, err)),
        };
        if written.is_err() {
            self.lost = lost;
        }
        written
    }

    fn count(&mut self, kind: Kind, record: &[u8], lost: bool) {
        if matches!(kind, Kind::Output | Kind::Stderr) {
            let len = (record.len() - HEADER_BYTES) as u64;
            self.head += len;
            if lost {
                self.lost += len;
                self.missing += len;
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
        if self.read_only {
            self.seal(kind, at, record);
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let before = self.end();
        let rolls = self.must_roll || self.written().saturating_add(len) > SEGMENT_BYTES;
        let rolled = if rolls { self.roll_at(at) } else { Ok(()) };
        // Sealed even if it cannot be written: those at the head are sent it all the same.
        self.seal(kind, at, record);
        rolled?;
        let begin = self.end();
        let Some(Segment { scanned: Some(Scanned { end, index, .. }), file: Some(file), .. }) =
            self.segments.back_mut()
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err((torn, err)) = self.disk.write(file, record, u64::from(begin.at)) {
            // Nothing of it can be taken for a record behind what is written here next.
            if torn > 0
                && let Err(err) = self.disk.truncate(file, u64::from(begin.at))
            {
                tracing::debug!(error = %err, "a torn record stays until it is written over");
            }
            return Err(err);
        }
        *end += len;
        if index.last().is_none_or(|entry| begin.at - entry.at >= INDEX_BYTES) {
            index.push(Entry { offset: at, at: begin.at, wall_us: self.clock.last_wall_us() });
        }
        Ok(Appended { before, begin, end: Place { at: *end, ..begin } })
    }

    fn roll(&mut self) -> io::Result<()> {
        self.roll_at(self.head)
    }

    fn roll_at(&mut self, base: u64) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |segment| segment.head.number + 1);
        let path = segment::path(&self.dir, number);
        let mut recycled = false;
        if self.segments.len() >= self.segments_max() {
            // Overwritten in place: unlinking under flood cost a tenth of the throughput when it was measured.
            if let Some(retired) = self.segments.front() {
                match self.disk.rename(&segment::path(&self.dir, retired.head.number), &path) {
                    Ok(()) => recycled = true,
                    // Somebody has removed it.
                    Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                    Err(err) => return Err(err),
                }
                keyframes::forget(&self.dir, retired.head.number);
                self.segments.pop_front();
            }
        }
        match self.begin_segment(number, base, recycled) {
            Ok(segment) => {
                if let Some(previous) = self.segments.back_mut() {
                    previous.file = None;
                }
                self.segments.push_back(segment);
                self.must_roll = false;
                Ok(())
            }
            Err(err) => {
                // Its head may be whole. Were records written behind the end of the segment before it, it would hide them.
                self.must_roll = self.disk.remove(&path).is_err();
                Err(err)
            }
        }
    }

    fn begin_segment(&mut self, number: u32, base: u64, recycled: bool) -> io::Result<Segment> {
        let file = self.disk.open(&segment::path(&self.dir, number), true)?;
        if !recycled {
            // A segment of this number that could not be read, and what was computed from it, belong to what is lost.
            self.disk.truncate(&file, 0)?;
            keyframes::forget(&self.dir, number);
        }
        let (wall_us, _) = self.clock.stamp();
        let head = Head { number, base, wall_us, state: self.state.clone() };
        let block = segment::head_block(self.instance, &head)?;
        self.disk.write(&file, &block, 0).map_err(|(_, err)| err)?;
        let scanned = Scanned { end: HEAD_BYTES, ..Scanned::default() };
        Ok(Segment { head, scanned: Some(scanned), file: Some(file) })
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
            let Some(oldest) = self.segments.front().map(|segment| segment.head.number) else { break };
            // One that cannot be removed is still there, and will be tried again.
            self.disk.remove(&segment::path(&self.dir, oldest))?;
            keyframes::forget(&self.dir, oldest);
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Number of the oldest segment kept.
    #[must_use]
    pub fn first_number(&self) -> u32 {
        self.segments.front().map_or(0, |segment| segment.head.number)
    }
}
