//! The journal's records in order, each once: what a recording is made of.
//!
//! An answer to `read_range` begins with the output asked for, so that what stands between two pieces of output (a resize,
//! a mark, the end) could fall between two answers. So each question but the first begins one byte early, and what was
//! had before is left out.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, read_body};
use baton_proto::v1::{GapRecord, RangeHeader};
use bytes::BytesMut;

use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};

/// Bytes of records read at once.
const RANGE_BYTES: u32 = 1 << 20;
/// How long a worker's successor may take.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Whole records.
    Records(BytesMut),
    /// What lies between was given up before it was read, or cannot be read; it goes on here.
    Trimmed(u64),
    /// Nothing yet.
    Nothing,
}

/// A place in the journal.
#[derive(Debug)]
pub struct Source {
    /// Output bytes before it.
    pub at: u64,
    begun: bool,
    /// The last record given.
    last: Option<Header>,
}

impl Source {
    /// Begins with the first record that reaches beyond an offset.
    #[must_use]
    pub const fn new(at: u64) -> Self {
        Self { at, begun: false, last: None }
    }

    /// Reads on.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn next(&mut self, session: &Session) -> Outcome<Next> {
        let ask = if self.begun { self.at.saturating_sub(1) } else { self.at };
        let (mut range, mut records) = match read(session, ask).await {
            Ok(answer) => answer,
            Err(failure) => return self.trimmed(failure),
        };
        let known = self.known(&records);
        let _ = records.split_to(known);
        if records.is_empty() && self.begun && range.head > self.at {
            // More stands between two pieces of output than one answer has, and the rest of it is passed over; or what
            // follows cannot be read.
            match read(session, self.at).await {
                Ok(answer) => (range, records) = answer,
                Err(failure) => return self.trimmed(failure),
            }
        }
        if records.is_empty() && range.next > self.at {
            *self = Self::new(range.next);
            return Ok(Next::Trimmed(range.next));
        }
        self.take_note(&records);
        Ok(if records.is_empty() { Next::Nothing } else { Next::Records(records) })
    }

    fn trimmed(&mut self, failure: Failure) -> Outcome<Next> {
        match failure.oldest {
            Some(oldest) if failure.code == ErrorCode::CursorTrimmed && oldest.offset > self.at => {
                *self = Self::new(oldest.offset);
                Ok(Next::Trimmed(oldest.offset))
            }
            // The byte before was trimmed with the segment that ended here: nothing is lost.
            Some(_) if failure.code == ErrorCode::CursorTrimmed && self.begun => {
                *self = Self::new(self.at);
                Ok(Next::Records(BytesMut::new()))
            }
            _ => Err(failure),
        }
    }

    /// Bytes of these records that were given before.
    fn known(&self, records: &[u8]) -> usize {
        let Some(last) = self.last else { return 0 };
        let (mut at, mut behind_last, mut behind_old) = (0, None, 0);
        while let Ok(Some(frame)) = Frame::parse(&records[at..]) {
            let in_front = behind_old == at;
            at += frame.total_bytes();
            if in_front && end_of(&frame) <= self.at {
                behind_old = at;
            }
            if frame.header == last {
                behind_last = Some(at);
            } else if behind_last.is_some() {
                break;
            }
        }
        // A journal that was damaged since may lack it: then only what lies behind is new.
        behind_last.unwrap_or(behind_old)
    }

    fn take_note(&mut self, records: &[u8]) {
        let mut at = 0;
        while let Ok(Some(frame)) = Frame::parse(records.get(at..).unwrap_or_default()) {
            self.at = self.at.max(end_of(&frame));
            self.last = Some(frame.header);
            self.begun = true;
            at += HEADER_BYTES + frame.payload.len();
        }
    }
}

/// Whole journal records from an offset on, about 1 MiB of them; from the worker, or from its successor if it is replaced
/// meanwhile.
///
/// # Errors
/// As [`Session::read_range`].
pub async fn read(session: &Session, from: u64) -> Outcome<(RangeHeader, BytesMut)> {
    let deadline = Instant::now() + REPLACED_WITHIN;
    loop {
        match session.read_range(from, RANGE_BYTES).await {
            Err(failure) if failure.code == ErrorCode::SessiondDown && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}

/// Output bytes up to and with a record; what is marked as lost counts.
fn end_of(frame: &Frame<'_>) -> u64 {
    let bytes = match frame.header.known_kind() {
        Some(Kind::Output | Kind::Stderr) => u64::from(frame.header.len),
        Some(kind @ Kind::Gap) => read_body::<GapRecord>(kind, frame.payload).map_or(0, |gap| gap.lost),
        _ => 0,
    };
    frame.header.at.saturating_add(bytes)
}
