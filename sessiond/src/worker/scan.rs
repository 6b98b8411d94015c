//! The records of a segment, the damaged ones left out.
//!
//! A record counts when its checksum, its segment's number and its instance fit and its offset does not lie before what came
//! so far. What does not count ends a segment that is still written, where nothing but a torn record can stand behind the
//! last whole one. Where more is known to follow ([`Known`]), it is damage, and the next record behind it is searched for: at
//! the twelve bytes that every header of this segment has (its number and the instance), and then by its checksum.
//!
//! ```text
//!   whole │ whole │▒▒▒▒▒ hole ▒▒▒▒▒│ whole │ whole │ stale bytes of an older use, a torn record
//!                 h                at             end
//! ```
//!
//! The hole's output is `at` − `h` bytes; nothing marks it but the jump from one record's offset to the next.
//!
//! A program may write bytes that look like a record. A damaged record is therefore passed over as a whole, as long as its
//! header can be believed; inside of it a record counts only if those that follow it lead out of it. A checksum is no
//! signature: who knows the instance's id *and* whose journal was damaged by somebody else may still forge his own output.

use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, read_body};
use baton_proto::v1::{
    CarriedState, Dimensions, ExitRecord, GapRecord, InputRecord, LeaseRecord, MarkKind, MarkRecord, ResizeRecord,
};
use memchr::memmem::Finder;

use super::segment::{HEAD_BYTES, Head, SEGMENT_BYTES};

pub use baton_proto::frame::OFFSET_MAX;

/// Bytes of file between two entries of a segment's index.
pub const INDEX_BYTES: u32 = 64 << 10;

/// Holes of one segment; what stands behind the last is a hole too. A megabyte of damage in every second sector has as many.
const HOLES_MAX: usize = 2048;

/// Bytes that are checked in vain while a segment is searched; then the rest of it is a hole. Bytes that look like headers
/// without end cost no more than reading four segments.
const VAIN_BYTES_MAX: usize = 4 * SEGMENT_BYTES as usize;

/// Where the number of the segment stands in a header; the instance's tag follows it.
const MARK_AT: usize = 28;

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

/// A part of a segment's file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// The first byte of it.
    pub from: u32,
    /// Here whole records stand again, or the segment ends.
    pub to: u32,
}

/// What is known of a segment from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Nothing of it stands behind so many bytes of its file.
    pub bytes: u32,
    /// All output up to here was written: while records end before it, more is searched for.
    pub enough: u64,
    /// None of its output ends behind this offset.
    pub most: u64,
    /// Only what is searched for is held against [`Self::most`].
    pub lenient: bool,
}

impl Known {
    /// Nothing: whatever stands in the file counts.
    pub const NOTHING: Self = Self { bytes: SEGMENT_BYTES, enough: OFFSET_MAX, most: OFFSET_MAX, lenient: false };

    /// Nothing, and only what follows from the beginning without a hole counts.
    pub const UNBROKEN: Self = Self { enough: 0, ..Self::NOTHING };

    /// Another segment begins at this offset: the one before it ends there.
    #[must_use]
    pub const fn ends_at(offset: u64) -> Self {
        Self { enough: offset, most: offset, ..Self::NOTHING }
    }

    /// So many bytes of its file were written, all of them records.
    #[must_use]
    pub const fn written(bytes: u32) -> Self {
        Self { bytes, ..Self::NOTHING }
    }
}

/// What a scan of a segment's records found.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Place after the last whole record.
    pub end: u32,
    /// Output offset there.
    pub head: u64,
    /// Offset and wall time of the first record, if there is one.
    pub first: Option<(u64, u64)>,
    /// The state there.
    pub state: CarriedState,
    /// A change of the lease may have stood in a hole: none is known from behind it.
    pub lease_unsure: bool,
    /// Records at least [`INDEX_BYTES`] of file apart.
    pub index: Vec<Entry>,
    /// What cannot be read, in order.
    pub holes: Vec<Hole>,
    /// How the program ended, if it has.
    pub exit: Option<ExitRecord>,
    /// Wall time of the last record, 0 if there is none.
    pub last_wall_us: u64,
    /// The highest offset of a mark that the screen made, 0 if there is none.
    pub marked: u64,
}

/// The whole record at the front of these bytes, if one of this segment and instance stands there; `after` is the offset
/// that it may not lie before.
#[must_use]
pub fn intact(bytes: &[u8], number: u32, tag: u64, after: u64) -> Option<(Frame<'_>, Kind)> {
    let frame = Frame::parse(bytes).ok()??;
    let header = frame.header;
    let kind = believable(&header, number, tag, after)?;
    header.is_intact(frame.payload).then_some((frame, kind))
}

/// The kind of a header that could be one of this segment's records.
fn believable(header: &Header, number: u32, tag: u64, after: u64) -> Option<Kind> {
    let ours = header.segment == number && header.tag == tag && header.at >= after && header.at <= OFFSET_MAX;
    header.known_kind().filter(|_| ours && Kind::is_record_number(header.kind))
}

/// Output bytes up to and with a record; what it says of a gap counts.
fn end_of(frame: &Frame<'_>, kind: Kind) -> u64 {
    let bytes = match kind {
        Kind::Output | Kind::Stderr => u64::from(frame.header.len),
        Kind::Gap => read_body::<GapRecord>(kind, frame.payload).map_or(0, |gap| gap.lost),
        _ => 0,
    };
    frame.header.at.saturating_add(bytes).min(OFFSET_MAX)
}

/// Reads a segment, given from its first byte on.
#[must_use]
pub fn scan_bytes(bytes: &[u8], tag: u64, head: &Head, known: Known) -> Scan {
    let mut scan = Scan {
        end: HEAD_BYTES,
        head: head.base,
        first: None,
        state: head.state.clone(),
        lease_unsure: false,
        index: Vec::new(),
        holes: Vec::new(),
        exit: None,
        last_wall_us: 0,
        marked: 0,
    };
    let bytes = &bytes[..bytes.len().min(known.bytes.min(SEGMENT_BYTES) as usize)];
    let mut search = Search::new(bytes, head.number, tag, known);
    let mut place = HEAD_BYTES;
    while let Some(rest) = bytes.get(place as usize..) {
        let found = intact(rest, head.number, tag, scan.head);
        if let Some((frame, kind)) = found.filter(|(frame, kind)| known.lenient || end_of(frame, *kind) <= known.most) {
            scan.take(&frame, kind, place);
            place = scan.end;
            continue;
        }
        if scan.head >= known.enough || scan.holes.len() >= HOLES_MAX {
            break;
        }
        let Some(next) = search.behind(place, scan.head, scan.last_wall_us) else { break };
        scan.holes.push(Hole { from: place, to: next });
        scan.lease_unsure = true;
        place = next;
    }
    scan
}

impl Scan {
    fn take(&mut self, frame: &Frame<'_>, kind: Kind, at: u32) {
        let header = frame.header;
        if self.index.last().is_none_or(|entry| at - entry.at >= INDEX_BYTES) {
            self.index.push(Entry { offset: header.at, at, wall_us: header.wall_us });
        }
        self.first.get_or_insert((header.at, header.wall_us));
        self.last_wall_us = header.wall_us;
        self.head = end_of(frame, kind);
        match kind {
            Kind::Lease => {
                if let Ok(lease) = read_body::<LeaseRecord>(kind, frame.payload) {
                    self.state.lease = lease;
                    self.lease_unsure = false;
                }
            }
            Kind::Resize => {
                if let Ok(ResizeRecord { cols, rows }) = read_body(kind, frame.payload)
                    && (Dimensions { cols, rows }).is_valid()
                {
                    self.state.size = Dimensions { cols, rows };
                    self.state.resized_at = header.at;
                }
            }
            Kind::InputMark => {
                if let Ok(input) = read_body::<InputRecord>(kind, frame.payload) {
                    self.state.set_typed(&input.client, input.stream, input.seq);
                }
            }
            Kind::Mark => {
                if let Ok(mark) = read_body::<MarkRecord>(kind, frame.payload)
                    && mark.kind != MarkKind::InputUncertain
                {
                    self.marked = self.marked.max(mark.offset);
                }
            }
            Kind::Exit => self.exit = read_body(kind, frame.payload).ok(),
            _ => {}
        }
        self.end = at.saturating_add(u32::try_from(frame.total_bytes()).unwrap_or(u32::MAX));
    }
}

/// Looks for records behind damage.
struct Search<'a> {
    bytes: &'a [u8],
    number: u32,
    tag: u64,
    most: u64,
    mark: Finder<'static>,
    vain: usize,
}

impl<'a> Search<'a> {
    fn new(bytes: &'a [u8], number: u32, tag: u64, known: Known) -> Self {
        let mut mark = [0; 12];
        mark[..4].copy_from_slice(&number.to_le_bytes());
        mark[4..].copy_from_slice(&tag.to_le_bytes());
        Self { bytes, number, tag, most: known.most, mark: Finder::new(&mark).into_owned(), vain: 0 }
    }

    /// The place of the next record behind the damage at `place`, before which `head` bytes of output stand; none of an
    /// earlier time than `wall_us`.
    fn behind(&mut self, place: u32, head: u64, wall_us: u64) -> Option<u32> {
        let place = place as usize;
        let claimed = self.claimed(place, head);
        if let Some(end) = claimed
            && self.leads_to(end, head, wall_us).is_some()
        {
            return u32::try_from(end).ok();
        }
        let mut from = place + 1;
        while self.vain < VAIN_BYTES_MAX {
            let at = from + self.mark.find(self.bytes.get(from + MARK_AT..)?)?;
            // Inside of a record whose header is whole, only what leads out of it is believed: its payload is the program's.
            let inside = claimed.filter(|end| at < *end);
            if let Some((end, offset)) = self.leads_to(at, head, wall_us) {
                let leads_out = inside.is_none_or(|claimed| self.leads_out(end, offset, claimed));
                if leads_out {
                    return u32::try_from(at).ok();
                }
            }
            from = at + 1;
        }
        None
    }

    /// Where the record at `place` ends by its own header, if that can be believed.
    fn claimed(&self, place: usize, head: u64) -> Option<usize> {
        let header = Header::parse(self.bytes.get(place..)?).ok()??;
        // Its offset must go on exactly: a header that is damaged itself is worth nothing.
        believable(&header, self.number, self.tag, head).filter(|_| header.at == head)?;
        Some(place + HEADER_BYTES + header.len as usize)
    }

    /// Where the record at `at` ends, in the file and in the output, if a whole one stands there that fits.
    fn leads_to(&mut self, at: usize, head: u64, wall_us: u64) -> Option<(usize, u64)> {
        let rest = self.bytes.get(at..)?;
        let Some((frame, kind)) = intact(rest, self.number, self.tag, head) else {
            let len = Header::parse(rest).ok().flatten().map_or(0, |header| header.len as usize);
            self.vain += HEADER_BYTES + len.min(rest.len());
            return None;
        };
        let end = end_of(&frame, kind);
        (end <= self.most && frame.header.wall_us >= wall_us).then(|| (at + frame.total_bytes(), end))
    }

    /// Whether records lead on from `at` to beyond `claimed`, or to the very end of the output.
    fn leads_out(&mut self, mut at: usize, mut offset: u64, claimed: usize) -> bool {
        let begin = at;
        let mut out = at > claimed || offset == self.most;
        while !out {
            let Some((end, next)) = self.leads_to(at, offset, 0) else { break };
            (at, offset) = (end, next);
            out = at > claimed || offset == self.most;
        }
        if !out {
            self.vain += at - begin;
        }
        out
    }
}
