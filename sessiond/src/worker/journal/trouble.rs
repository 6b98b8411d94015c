//! When the disk takes no records: what is passed through, what is owed, and how it is paid when the disk is back.
//!
//! ```text
//!            a record fails                     nothing is tried but by `mend`
//!  writing ────────────────► failing: output is only counted; what must not be missed is written from the reserve if
//!     ▲                          │    the disk is full, and owed otherwise
//!     └──────── mend ◄───────────┘    room for the reserve, the gap, then what is owed
//! ```
//!
//! Not trying each record is what makes the gap one gap, and what keeps a dying disk, which takes its time for each failure,
//! off the path of output.

use std::io;

use baton_proto::ClientId;
use baton_proto::frame::{HEADER_BYTES, Kind};
use baton_proto::v1::{InputRecord, ResizeRecord, STREAMS_MAX};

use super::disk::is_full;
use super::reserve::RESERVE_BYTES;
use super::{Appended, Journal, Place};
use crate::worker::segment::SEGMENT_BYTES;

/// So much of the reserve may go to input marks: who types a novel on a full disk leaves room for how it ends.
const INPUT_BYTES_MAX: u64 = RESERVE_BYTES / 2;
/// A segment with less room than this is not worth the reserve: it goes to the next.
const ROOM_MIN: u32 = 128 << 10;

/// The disk takes no records.
#[derive(Debug)]
pub struct Failing {
    /// What it said first.
    errno: Option<i32>,
    text: String,
    /// Output from here on is missing.
    from: u64,
    /// Bytes of the reserve that input marks have used.
    input_bytes: u64,
}

impl Failing {
    /// What the file system said.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first output byte that may be missing.
    #[must_use]
    pub const fn from(&self) -> u64 {
        self.from
    }

    fn error(&self) -> io::Error {
        self.errno.map_or_else(|| io::Error::other(self.text.clone()), io::Error::from_raw_os_error)
    }

    fn is_full(&self) -> bool {
        is_full(&self.error())
    }
}

/// Records that could not be written and must be, as they are by then.
#[derive(Debug, Default)]
pub(super) struct Owed {
    lease: bool,
    size: bool,
    exit: bool,
    /// The longest unused first.
    inputs: Vec<(ClientId, u64)>,
}

impl Owed {
    fn is_empty(&self) -> bool {
        !self.lease && !self.size && !self.exit && self.inputs.is_empty()
    }

    pub(super) fn input(&mut self, client: &ClientId, stream: u64) {
        self.inputs.retain(|(other, of)| other != client || *of != stream);
        if self.inputs.len() >= STREAMS_MAX {
            self.inputs.remove(0);
        }
        self.inputs.push((client.clone(), stream));
    }
}

/// The disk takes records again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mended {
    /// Output from here on is missing,
    pub from: u64,
    /// and that many bytes of it.
    pub lost: u64,
    /// Where those at the head were before what was owed,
    pub before: Place,
    /// and where they are now: they have had all of it.
    pub end: Place,
}

/// Records that must not be missed: a successor is wrong without them.
const fn is_vital(kind: Kind) -> bool {
    matches!(kind, Kind::Lease | Kind::Resize | Kind::Exit | Kind::InputMark)
}

impl Journal {
    /// Why nothing can be written, if nothing can.
    #[must_use]
    pub const fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    /// Output that is in no record since the disk began to fail.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether the end of the program is known here and nowhere else.
    #[must_use]
    pub const fn owes_exit(&self) -> bool {
        self.owed.exit
    }

    pub(super) fn fails(&mut self, err: &io::Error) {
        if self.read_only || self.failing.is_some() {
            return;
        }
        let from = self.head.saturating_sub(self.lost);
        self.missing = self.lost;
        self.failing = Some(Failing { errno: err.raw_os_error(), text: err.to_string(), from, input_bytes: 0 });
    }

    pub(super) fn owe(&mut self, kind: Kind) {
        match kind {
            _ if self.read_only => {}
            Kind::Lease => self.owed.lease = true,
            Kind::Resize => self.owed.size = true,
            Kind::Exit => self.owed.exit = true,
            _ => {}
        }
    }

    /// As [`Self::append_record`], before the output is counted.
    pub(super) fn try_append(&mut self, kind: Kind, record: &mut [u8]) -> io::Result<Appended> {
        if let Some(failing) = &self.failing {
            let (full, spent, err) = (failing.is_full(), failing.input_bytes, failing.error());
            if full && is_vital(kind) && (kind != Kind::InputMark || spent < INPUT_BYTES_MAX) {
                return self.append_from_reserve(kind, record);
            }
            self.seal(kind, self.head, record);
            return Err(err);
        }
        match self.append_now(kind, record) {
            Err(err) if is_full(&err) && is_vital(kind) && !self.read_only => {
                self.fails(&err);
                self.append_from_reserve(kind, record)
            }
            Err(err) => {
                self.fails(&err);
                Err(err)
            }
            appended => appended,
        }
    }

    fn append_from_reserve(&mut self, kind: Kind, record: &mut [u8]) -> io::Result<Appended> {
        if self.reserve.give_up(&self.disk) {
            self.take_room();
        }
        let appended = self.append_now(kind, record)?;
        if kind == Kind::InputMark
            && let Some(failing) = self.failing.as_mut()
        {
            failing.input_bytes += record.len() as u64;
        }
        Ok(appended)
    }

    /// What was given up is set aside for the segment at once, before somebody else has it.
    fn take_room(&mut self) {
        if SEGMENT_BYTES.saturating_sub(self.written()) < ROOM_MIN
            && let Err(err) = self.roll_at(self.head - self.lost)
        {
            tracing::warn!(error = %err, "no room for another segment");
        }
        let (at, room) = (self.written(), SEGMENT_BYTES.saturating_sub(self.written()));
        let Some(file) = self.segments.back().and_then(|segment| segment.file.as_ref()) else { return };
        if let Err(err) = self.disk.allocate(file, u64::from(at), RESERVE_BYTES.min(u64::from(room)), false) {
            tracing::debug!(error = %err, "not all of the reserve could be kept for the journal");
        }
    }

    /// Appends a record, and the gap before it if output was lost.
    pub(super) fn append_now(&mut self, kind: Kind, record: &mut [u8]) -> io::Result<Appended> {
        let before = self.end();
        if self.lost > 0
            && let Err(err) = self.write_gap()
        {
            self.seal(kind, self.head, record);
            return Err(err);
        }
        self.write(kind, self.head, record).map(|appended| Appended { before, ..appended })
    }

    /// Keeps room for a full disk, unless it is kept already.
    ///
    /// # Errors
    /// What the file system says; there is none then, and nothing is wrong yet.
    pub fn keep_reserve(&mut self) -> io::Result<()> {
        if self.read_only || self.reserve.is_kept() || self.exit.is_some() {
            return Ok(());
        }
        self.reserve.make(&self.disk)
    }

    /// Tries whether the disk takes records again, and writes what is owed. `None` when nothing was wrong.
    ///
    /// # Errors
    /// What the file system says: it is as before.
    pub fn mend(&mut self) -> io::Result<Option<Mended>> {
        let Some(failing) = &self.failing else { return Ok(None) };
        if failing.is_full() && self.exit.is_none() {
            self.reserve.make(&self.disk)?;
        }
        let (from, before) = (failing.from, self.end());
        self.pay()?;
        self.failing = None;
        let lost = std::mem::take(&mut self.missing);
        Ok(Some(Mended { from, lost, before, end: self.end() }))
    }

    /// Writes what is owed: the gap, and the newest of what must not be missed.
    pub(super) fn pay(&mut self) -> io::Result<()> {
        if self.must_roll {
            self.roll_at(self.head - self.lost)?;
        }
        if self.lost > 0 {
            self.write_gap()?;
        }
        if self.owed.is_empty() {
            return Ok(());
        }
        while let Some((client, stream)) = self.owed.inputs.first().cloned() {
            let (epoch, seq) = (self.state.lease.epoch, self.state.typed(&client, stream));
            let record = InputRecord { client, stream, epoch, seq, len: 0, bytes: None };
            // A position that was forgotten since is nothing that a successor needs.
            if seq > 0 {
                self.write_body(Kind::InputMark, &record)?;
            }
            self.owed.inputs.remove(0);
        }
        if self.owed.size {
            let size = self.state.size;
            self.write_body(Kind::Resize, &ResizeRecord { cols: size.cols, rows: size.rows })?;
            self.state.resized_at = self.head;
            self.owed.size = false;
        }
        if self.owed.lease {
            let lease = self.state.lease.clone();
            self.write_body(Kind::Lease, &lease)?;
            self.owed.lease = false;
        }
        if self.owed.exit
            && let Some(exit) = self.exit.clone()
        {
            let end = self.write_body(Kind::Exit, &exit)?;
            self.owed.exit = false;
            self.seal_end(end)?;
        }
        Ok(())
    }

    fn write_body<T: baton_proto::codec::Encode>(&mut self, kind: Kind, body: &T) -> io::Result<Place> {
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.resize(HEADER_BYTES, 0);
        let written = baton_proto::codec::encode_large(kind, body, &mut record)
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidData, err))
            .and_then(|()| self.write(kind, self.head, &mut record));
        self.scratch = record;
        written.map(|appended| appended.end)
    }
}
