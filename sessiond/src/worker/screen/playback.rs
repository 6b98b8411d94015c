//! A screen that goes through the journal: fed its records in order, it always knows from which record on it could be computed
//! again.

use baton_proto::frame::Kind;
use baton_proto::v1::{Dimensions, GapRecord, ResizeRecord};
use baton_screen::{Screen, Seen};

use super::keyframes::Keyframe;
use super::reader::{Batch, Record};
use crate::worker::journal::Place;
use crate::worker::segment::Head;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Not beyond so many bytes of output.
    pub offset: u64,
    /// Nothing that came later, in microseconds since 1970.
    pub wall_us: u64,
}

impl Limit {
    /// As far as the records go.
    pub const NONE: Self = Self { offset: u64::MAX, wall_us: u64::MAX };
}

/// A record of output that is in the screen.
#[derive(Debug, Clone, Copy)]
struct Fed {
    /// Output bytes up to its end.
    until: u64,
    wall_us: u64,
    begin: Place,
}

/// The record to go on with from the screen's boundary.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    offset: u64,
    place: Place,
    resizes_seen: u16,
}

/// A screen and its place in the journal.
#[derive(Debug)]
pub struct Playback {
    /// The screen.
    pub screen: Screen,
    /// The next record.
    pub place: Place,
    /// When the newest output before the boundary came, in microseconds since 1970.
    pub wall_us: u64,
    /// Output that was never seen lies before, and the program has not drawn everything anew since.
    pub approximate: bool,
    anchor: Anchor,
    /// Changes of size ahead that a keyframe has seen already.
    resizes_ahead: u16,
    joined: Vec<u8>,
    fed: Vec<Fed>,
}

impl Playback {
    /// At the beginning of a segment, with nothing known of what was before it.
    #[must_use]
    pub fn begin(head: &Head, history: usize) -> Self {
        let screen = Screen::with_history(head.state.size, history);
        let mut playback = Self::at(screen, Place::first_of(head.number), head.base, head.base > 0);
        playback.screen.start_at(head.base);
        playback.anchor.offset = head.base;
        playback.wall_us = head.wall_us;
        playback
    }

    /// From a keyframe on.
    #[must_use]
    pub fn restore(keyframe: &Keyframe, bytes: &[u8], history: usize) -> Self {
        let screen = Screen::restore(keyframe.size, history, keyframe.offset, bytes);
        let mut playback = Self::at(screen, keyframe.place, keyframe.offset, keyframe.approximate);
        playback.anchor.resizes_seen = keyframe.resizes_seen;
        playback.resizes_ahead = keyframe.resizes_seen;
        playback.wall_us = keyframe.wall_us;
        playback
    }

    /// An empty screen in the middle of the journal.
    #[must_use]
    pub fn anew(size: Dimensions, place: Place, offset: u64) -> Self {
        let mut playback = Self::at(Screen::new(size), place, offset, true);
        playback.screen.start_at(offset);
        playback
    }

    fn at(screen: Screen, place: Place, offset: u64, approximate: bool) -> Self {
        Self {
            screen,
            place,
            wall_us: 0,
            approximate,
            anchor: Anchor { offset, place, resizes_seen: 0 },
            resizes_ahead: 0,
            joined: Vec::new(),
            fed: Vec::new(),
        }
    }

    /// The keyframe that this screen would make now.
    #[must_use]
    pub fn keyframe(&self) -> Keyframe {
        Keyframe {
            offset: self.screen.boundary(),
            place: self.anchor.place,
            resizes_seen: self.anchor.resizes_seen,
            size: self.screen.size(),
            wall_us: self.wall_us,
            approximate: self.approximate,
        }
    }

    /// Nothing is held back: the screen is as it is right before the next record.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.anchor.place == self.place && self.anchor.resizes_seen == 0
    }

    /// Goes on at the beginning of another segment: everything before it is gone, or cannot be read.
    pub fn jump(&mut self, head: &Head) {
        self.place = Place::first_of(head.number);
        if head.base > self.screen.offset() {
            self.gap(head.base, self.place);
        } else {
            self.anchor = Anchor { offset: self.screen.boundary(), place: self.place, resizes_seen: 0 };
        }
        if self.screen.size() != head.state.size {
            self.screen.resize(head.state.size);
        }
    }

    /// Output up to here was written, and cannot be read.
    pub fn lost_until(&mut self, offset: u64) {
        if offset > self.screen.offset() {
            self.gap(offset, self.place);
        }
    }

    /// The next segment begins where the last record ended.
    pub fn turn_to(&mut self, place: Place) {
        if self.is_even() {
            self.anchor.place = place;
        }
        self.place = place;
    }

    /// Takes a batch of records in; `seen` gets what happened in them, with the wall time of each. True when the limit is
    /// reached: `place` is then not to be relied on.
    pub fn take(&mut self, batch: Batch<'_>, limit: Limit, seen: &mut Vec<(Seen, u64)>) -> bool {
        self.turn_to(batch.begin);
        for record in batch.records() {
            if !self.record(&record, limit, seen) {
                self.flush(seen);
                return true;
            }
        }
        self.flush(seen);
        false
    }

    /// False when the record, or a part of it, is beyond the limit.
    fn record(&mut self, record: &Record<'_>, limit: Limit, seen: &mut Vec<(Seen, u64)>) -> bool {
        let header = record.header;
        match record.kind {
            Kind::Output | Kind::Stderr => {
                let expected = self.fed.last().map_or(self.screen.offset(), |fed| fed.until);
                if header.at >= limit.offset || header.wall_us > limit.wall_us {
                    if header.at > expected && limit.offset != u64::MAX {
                        // What lies between is missing, and some of it was asked for.
                        self.flush(seen);
                        self.lost_until(limit.offset.min(header.at));
                    }
                    return false;
                }
                if header.at > expected {
                    self.flush(seen);
                    self.gap(header.at, record.begin);
                }
                let end = (header.at + u64::from(header.len)).min(limit.offset);
                let from = usize::try_from(expected.saturating_sub(header.at)).unwrap_or(usize::MAX);
                let until = usize::try_from(end - header.at).unwrap_or(usize::MAX);
                let bytes = record.payload.get(from..until).unwrap_or_default();
                self.place = record.end;
                if !bytes.is_empty() {
                    self.joined.extend_from_slice(bytes);
                    self.fed.push(Fed { until: end, wall_us: header.wall_us, begin: record.begin });
                } else if self.fed.is_empty() && self.screen.boundary() == self.screen.offset() {
                    // The record that a keyframe was made in the middle, or at the end, of.
                    self.anchor.place = record.end;
                }
                if header.at + u64::from(header.len) > limit.offset {
                    return false;
                }
            }
            Kind::Resize => {
                if header.at > limit.offset || header.wall_us > limit.wall_us {
                    return false;
                }
                self.flush(seen);
                self.place = record.end;
                self.resize(record);
            }
            Kind::Gap => {
                if header.at >= limit.offset || header.wall_us > limit.wall_us {
                    return false;
                }
                self.flush(seen);
                self.place = record.end;
                let lost = baton_proto::frame::read_body::<GapRecord>(record.kind, record.payload);
                let until = header.at.saturating_add(lost.map_or(0, |gap| gap.lost)).min(limit.offset);
                if until > self.screen.offset() {
                    self.gap(until, record.end);
                }
            }
            _ => {
                let even = self.fed.is_empty() && self.is_even();
                self.place = record.end;
                if even {
                    self.anchor.place = record.end;
                }
            }
        }
        true
    }

    fn resize(&mut self, record: &Record<'_>) {
        let body = baton_proto::frame::read_body::<ResizeRecord>(record.kind, record.payload);
        let size = body.map(|body| Dimensions { cols: body.cols, rows: body.rows });
        let held_back = self.screen.boundary() < self.screen.offset();
        if self.resizes_ahead > 0 {
            self.resizes_ahead -= 1;
            if !held_back {
                self.anchor = Anchor { place: record.end, resizes_seen: self.resizes_ahead, ..self.anchor };
            }
            return;
        }
        match size {
            Ok(size) if size.is_valid() => self.screen.resize(size),
            _ => {}
        }
        if held_back {
            self.anchor.resizes_seen = self.anchor.resizes_seen.saturating_add(1);
        } else {
            self.anchor = Anchor { place: record.end, resizes_seen: 0, offset: self.screen.boundary() };
        }
    }

    fn gap(&mut self, until: u64, place: Place) {
        self.screen.gap(until);
        self.approximate = true;
        self.resizes_ahead = 0;
        self.anchor = Anchor { offset: self.screen.boundary(), place, resizes_seen: 0 };
    }

    /// Feeds what was joined.
    fn flush(&mut self, seen: &mut Vec<(Seen, u64)>) {
        if self.fed.is_empty() {
            return;
        }
        let mut found = Vec::new();
        #[cfg(test)]
        assert!(!self.joined.starts_with(super::tests::BREAKS), "as a test asked for");
        self.screen.feed(&self.joined, &mut found);
        let fed = &self.fed;
        let record_of = |offset: u64| fed[fed.partition_point(|it| it.until < offset).min(fed.len() - 1)];
        seen.extend(found.into_iter().map(|seen| {
            let wall_us = record_of(seen.offset).wall_us;
            (seen, wall_us)
        }));
        let boundary = self.screen.boundary();
        if boundary > self.anchor.offset {
            self.wall_us = record_of(boundary).wall_us;
        }
        if boundary == self.screen.offset() {
            self.anchor = Anchor { offset: boundary, place: self.place, resizes_seen: self.resizes_ahead };
        } else if boundary > self.anchor.offset {
            let begin = fed[fed.partition_point(|it| it.until <= boundary).min(fed.len() - 1)].begin;
            self.anchor = Anchor { offset: boundary, place: begin, resizes_seen: self.resizes_ahead };
        }
        if self.approximate && draws_anew(&self.joined) && !self.screen.modes().alt_screen {
            self.approximate = false;
        }
        self.joined.clear();
        self.fed.clear();
    }
}

/// Whether the bytes clear the whole screen (ED 2) or reset the terminal (RIS).
fn draws_anew(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == 0x1b) {
        rest = &rest[at + 1..];
        if rest.starts_with(b"[2J") || rest.starts_with(b"c") {
            return true;
        }
    }
    false
}
