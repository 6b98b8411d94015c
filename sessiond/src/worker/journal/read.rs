//! Reading a journal: by place, by offset, by time. Everything that is handed out was checked on the way.

use std::io;

use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Header, Kind, read_body};
use baton_proto::v1::GapRecord;

use super::{Journal, Place, ReadError, Scanned, Segment};
use crate::worker::segment::{self, HEAD_BYTES, Hole, Known, SEGMENT_BYTES};

/// Times a read looks at a segment anew because it is not what it was.
const LOOKS_MAX: usize = 2;

impl Journal {
    /// The offset before which all output stands that had come by `wall_us`, and when the record there came: the newest time
    /// known if none has come since, the oldest offset kept if the time is before it. At most one segment is read for it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn locate(&mut self, wall_us: u64) -> Result<(u64, u64), ReadError> {
        let at = self.segments.partition_point(|segment| segment.head.wall_us <= wall_us).saturating_sub(1);
        let Some(number) = self.segments.get(at).map(|segment| segment.head.number) else {
            return Ok((self.head, self.clock.last_wall_us()));
        };
        self.ensure_scanned(at)?;
        let entry = self.entry(at, |entry| entry.wall_us <= wall_us);
        let mut place = Place { number, at: entry };
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
        let Some(number) = self.segments.get(at).map(|segment| segment.head.number) else { return Ok(self.end()) };
        self.ensure_scanned(at)?;
        let mut place = Place { number, at: self.entry(at, |entry| entry.offset <= offset) };
        // From the index entry on, record by record.
        let mut buffer = Vec::new();
        loop {
            let Some(next) = self.read(place, 256 << 10, &mut buffer)? else { return Ok(self.end()) };
            let mut rest = buffer.as_slice();
            // What was read may begin further on, behind a hole or in the next segment.
            let mut begin = next.back(buffer.len());
            while let Ok(Some(frame)) = Frame::parse(rest) {
                if frame.header.at > offset || reaches(&frame) > offset {
                    return Ok(begin);
                }
                begin.at += u32::try_from(frame.total_bytes()).unwrap_or(0);
                rest = &rest[frame.total_bytes()..];
            }
            place = next;
        }
    }

    /// Reads whole records from `place` on into `buffer` (cleared), about `bytes_max` of them but at least one, which stand
    /// one behind another in one segment. Returns the place after them, `None` at the end. What is damaged is passed over.
    ///
    /// # Errors
    /// [`ReadError::Trimmed`] when the segment is gone.
    pub fn read(&mut self, place: Place, bytes_max: usize, buffer: &mut Vec<u8>) -> Result<Option<Place>, ReadError> {
        buffer.clear();
        let mut place = place;
        let mut looks = 0;
        loop {
            if place.number < self.first_number() {
                return Err(ReadError::Trimmed);
            }
            // Numbers may be missing: then it goes on in the next there is.
            let at = self.segments.partition_point(|segment| segment.head.number < place.number);
            let Some(number) = self.segments.get(at).map(|segment| segment.head.number) else { return Ok(None) };
            if number > place.number {
                place = Place::first_of(number);
            }
            self.ensure_scanned(at)?;
            let Some(Segment { scanned: Some(Scanned { end, holes, .. }), file, .. }) = self.segments.get(at) else {
                return Err(ReadError::Io(io::ErrorKind::NotFound.into()));
            };
            let hole = holes.partition_point(|hole| hole.to <= place.at);
            let hole = holes.get(hole);
            if let Some(hole) = hole.filter(|hole| hole.from <= place.at) {
                place.at = hole.to;
                continue;
            }
            if place.at < *end {
                let room = (hole.map_or(*end, |hole| hole.from) - place.at) as usize;
                let Some(file) = file else { return Err(ReadError::Io(io::ErrorKind::NotFound.into())) };
                let wanted = bytes_max.clamp(HEADER_BYTES + DATA_BYTES_MAX as usize, SEGMENT_BYTES as usize).min(room);
                buffer.resize(wanted, 0);
                let len = segment::read_some(file, buffer, u64::from(place.at))?;
                let mut whole = whole_records(&buffer[..len], number, self.instance.tag());
                let single = Header::parse(buffer).ok().flatten().map(|header| HEADER_BYTES + header.len as usize);
                if whole == 0
                    && let Some(total) = single.filter(|total| *total > wanted && *total <= room)
                {
                    // A single record larger than asked for: input marks with their bytes.
                    buffer.resize(total, 0);
                    let len = segment::read_some(file, buffer, u64::from(place.at))?;
                    whole = whole_records(&buffer[..len], number, self.instance.tag());
                }
                if whole > 0 {
                    buffer.truncate(whole);
                    return Ok(Some(Place { at: place.at + u32::try_from(whole).unwrap_or(0), ..place }));
                }
                buffer.clear();
                self.look_again(at, place, looks)?;
                looks += 1;
                continue;
            }
            if at + 1 == self.segments.len() {
                return Ok(None);
            }
            place = Place { number: number + 1, at: HEAD_BYTES };
        }
    }

    /// The file is not what it was when its records were found, or written: they are searched for again.
    fn look_again(&mut self, at: usize, place: Place, looks: usize) -> Result<(), ReadError> {
        let tag = self.instance.tag();
        let Some(Segment { head, scanned: Some(scanned), file: Some(file) }) = self.segments.get_mut(at) else {
            return Ok(());
        };
        let end = scanned.end;
        if looks >= LOOKS_MAX {
            // It reads otherwise each time: what is left of it counts as damaged.
            scanned.holes.retain(|hole| hole.to <= place.at);
            scanned.holes.push(Hole { from: place.at, to: end });
            return Ok(());
        }
        let scan = segment::scan(file, tag, head, Known::written(end))?;
        tracing::warn!(number = head.number, at = place.at, holes = scan.holes.len(), "a segment has been damaged");
        scanned.holes = scan.holes;
        if scan.end < end {
            scanned.holes.push(Hole { from: scan.end, to: end });
        }
        Ok(())
    }

    /// Where to begin to look in a segment's file: at the last entry of its index for which this holds.
    fn entry(&self, at: usize, before: impl Fn(&segment::Entry) -> bool) -> u32 {
        let index = self.segments.get(at).and_then(|segment| segment.scanned.as_ref()).map(|scanned| &scanned.index);
        let found = index.and_then(|index| index.get(index.partition_point(before).saturating_sub(1)));
        found.map_or(HEAD_BYTES, |entry| entry.at)
    }

    fn ensure_scanned(&mut self, at: usize) -> Result<(), ReadError> {
        let last = self.segments.len().saturating_sub(1);
        // At most one old segment stays open: readers go through them one after another.
        for (other, segment) in self.segments.iter_mut().enumerate() {
            if other != at && other != last {
                segment.file = None;
            }
        }
        let ends_at = self.segments.get(at + 1).map_or(Known::NOTHING, |behind| Known::ends_at(behind.head.base));
        let Some(segment) = self.segments.get_mut(at) else { return Err(ReadError::Trimmed) };
        if segment.file.is_none() {
            segment.file = match segment::open_read(&self.dir, segment.head.number) {
                Ok(file) => Some(file),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    // Somebody has removed it: what was in it is missing.
                    segment.scanned = Some(Scanned { end: HEAD_BYTES, ..Scanned::default() });
                    return Ok(());
                }
                Err(err) => return Err(err.into()),
            };
        }
        if let (None, Some(file)) = (&segment.scanned, &segment.file) {
            let scan = segment::scan(file, self.instance.tag(), &segment.head, ends_at)?;
            if !scan.holes.is_empty() || (at < last && scan.head < ends_at.enough) {
                tracing::warn!(number = segment.head.number, holes = scan.holes.len(), "a segment is damaged");
            }
            segment.scanned = Some(Scanned { end: scan.end, index: scan.index, holes: scan.holes });
        }
        Ok(())
    }
}

/// Output bytes up to and with a record; what is marked as lost counts.
#[must_use]
pub fn reaches(frame: &Frame<'_>) -> u64 {
    let bytes = match frame.header.known_kind() {
        Some(Kind::Output | Kind::Stderr) => u64::from(frame.header.len),
        Some(kind @ Kind::Gap) => read_body::<GapRecord>(kind, frame.payload).map_or(0, |gap| gap.lost),
        _ => 0,
    };
    frame.header.at.saturating_add(bytes)
}

/// Bytes of the whole records at the front.
fn whole_records(bytes: &[u8], number: u32, tag: u64) -> usize {
    let (mut whole, mut after) = (0, 0);
    while let Some((frame, _)) = segment::intact(&bytes[whole..], number, tag, after) {
        after = frame.header.at;
        whole += frame.total_bytes();
    }
    whole
}
