//! Following a session's output without being a client: for `wait` and `exec`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::frame::{Frame, Kind};
use baton_proto::v1::ExitRecord;

use crate::hub::feed::{Item, Marked, Step, Subject, Subscription};
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};

/// Bytes looked at in one step.
const STEP_BYTES: usize = 64 << 10;
/// Bytes of records read from the journal at once.
const RANGE_BYTES: u32 = 256 << 10;
/// How long to wait for a journal that does not have yet what the feed has seen.
const NOT_YET: Duration = Duration::from_millis(10);

/// What came.
#[derive(Debug)]
pub enum Heard {
    /// Output from this offset on.
    Output(u64, Vec<u8>),
    /// A mark, which may lie before output that was heard already.
    Mark(Arc<Marked>),
    /// The program has ended; nothing follows.
    Exit,
    /// The time is over.
    Time,
}

/// A place in the output that moves on as it is read.
#[derive(Debug)]
pub struct Tail<'a> {
    session: &'a Session,
    subscription: Subscription,
    ready: VecDeque<Heard>,
    ended: bool,
}

impl<'a> Tail<'a> {
    /// From the newest byte on.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn from_now(session: &'a Session) -> Outcome<Self> {
        let watching = session.watch().await?;
        Ok(Self {
            session,
            subscription: watching.subscription,
            ready: VecDeque::new(),
            ended: watching.exit.is_some(),
        })
    }

    /// From an offset on.
    ///
    /// # Errors
    /// `sessiond_down`.
    pub async fn from_offset(session: &'a Session, offset: u64) -> Outcome<Self> {
        let mut tail = Self::from_now(session).await?;
        tail.subscription.position.move_to(offset);
        Ok(tail)
    }

    /// Where it is.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.subscription.position.offset
    }

    /// What comes next, at the latest at `deadline`.
    ///
    /// # Errors
    /// `sessiond_down` when the worker stays away.
    pub async fn next(&mut self, deadline: Instant) -> Outcome<Heard> {
        loop {
            if let Some(heard) = self.ready.pop_front() {
                return Ok(heard);
            }
            self.ready.extend(self.subscription.marks().into_iter().map(Heard::Mark));
            if !self.ready.is_empty() {
                continue;
            }
            match self.subscription.next(STEP_BYTES) {
                Step::Items(items) => self.take(items),
                Step::Behind { until } => self.read(until).await?,
                Step::Ended(_) => self.again().await?,
                Step::UpToDate if self.ended => return Ok(Heard::Exit),
                Step::UpToDate => {
                    let changed = tokio::time::timeout_at(deadline.into(), self.subscription.changed()).await;
                    if changed.is_err() {
                        return Ok(Heard::Time);
                    }
                }
            }
            if Instant::now() >= deadline && self.ready.is_empty() {
                return Ok(Heard::Time);
            }
        }
    }

    fn take(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Chunk(chunk) => self.ready.push_back(Heard::Output(chunk.start(), chunk.payload().to_vec())),
                Item::Control(control) if control.subject == Subject::End => self.ended = true,
                Item::Control(_) | Item::Clients(_) => {}
            }
        }
    }

    async fn read(&mut self, until: u64) -> Outcome<()> {
        let from = self.subscription.position.offset;
        let (range, records) = match self.session.read_range(from, RANGE_BYTES).await {
            Ok(answer) => answer,
            Err(failure) if failure.code == ErrorCode::CursorTrimmed => {
                let oldest = failure.oldest.map_or(until, |oldest| oldest.offset);
                self.subscription.position.move_to(oldest.clamp(from, until));
                return if oldest > from { Ok(()) } else { Err(failure) };
            }
            Err(failure) if failure.code == ErrorCode::SessiondDown => return self.again().await,
            Err(failure) => return Err(failure),
        };
        let (start, bytes) = output_of(&records, from, until);
        let end = start + bytes.len() as u64;
        if !bytes.is_empty() {
            self.ready.push_back(Heard::Output(start, bytes));
            self.subscription.position.move_to(end);
        } else if range.next.max(range.oldest) > from {
            self.subscription.position.move_to(range.next.max(range.oldest).min(until));
        } else {
            tokio::time::sleep(NOT_YET).await;
        }
        Ok(())
    }

    /// The worker was replaced: goes on at the same place over its successor.
    async fn again(&mut self) -> Outcome<()> {
        let offset = self.subscription.position.offset;
        let watching = self.session.watch().await?;
        self.ended = watching.exit.is_some();
        self.subscription = watching.subscription;
        self.subscription.position.move_to(offset);
        Ok(())
    }

    /// How the program ended, once it has.
    #[must_use]
    pub fn exit(&self) -> Option<ExitRecord> {
        self.session.live().exit
    }
}

/// The output in whole journal records, between two offsets, up to the first hole; and where it begins.
#[must_use]
pub fn output_of(records: &[u8], from: u64, until: u64) -> (u64, Vec<u8>) {
    let (mut start, mut bytes) = (from, Vec::new());
    let mut rest = records;
    while let Ok(Some(frame)) = Frame::parse(rest) {
        rest = &rest[frame.total_bytes()..];
        if !matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr)) {
            continue;
        }
        let place = start + bytes.len() as u64;
        let at = frame.header.at;
        if place >= until || at >= until {
            break;
        }
        if at > place {
            if !bytes.is_empty() {
                break;
            }
            start = at;
        }
        let place = start + bytes.len() as u64;
        let skip = usize::try_from(place - at.min(place)).unwrap_or(usize::MAX);
        let room = usize::try_from(until - place).unwrap_or(usize::MAX);
        let new = frame.payload.get(skip..).unwrap_or_default();
        bytes.extend_from_slice(&new[..new.len().min(room)]);
    }
    (start, bytes)
}

/// The output between two offsets, read from the journal, from the first byte that is kept up to the first hole; and where
/// it begins. The caller bounds the range.
///
/// # Errors
/// `sessiond_down`.
pub async fn read_output(session: &Session, from: u64, until: u64) -> Outcome<(u64, Vec<u8>)> {
    let (mut start, mut bytes) = (from, Vec::new());
    loop {
        let place = start + bytes.len() as u64;
        if place >= until {
            return Ok((start, bytes));
        }
        let (range, records) = match session.read_range(place, RANGE_BYTES).await {
            Ok(answer) => answer,
            Err(failure) if failure.code == ErrorCode::CursorTrimmed && bytes.is_empty() => {
                match failure.oldest.map(|oldest| oldest.offset).filter(|oldest| *oldest > place) {
                    Some(oldest) => start = oldest.min(until),
                    None => return Err(failure),
                }
                continue;
            }
            Err(failure) if failure.code == ErrorCode::CursorTrimmed => return Ok((start, bytes)),
            Err(failure) => return Err(failure),
        };
        let (first, new) = output_of(&records, place, until);
        if first > place && !bytes.is_empty() {
            return Ok((start, bytes));
        }
        if new.is_empty() {
            // Not kept, or not there: what lies behind is looked at, if anything does.
            if bytes.is_empty() && range.next > place {
                start = range.next.min(until);
                continue;
            }
            return Ok((start, bytes));
        }
        if bytes.is_empty() {
            start = first;
        }
        bytes.extend(new);
    }
}

/// A time-out in seconds as the API takes it: 60 when not given, at most an hour.
///
/// # Errors
/// `invalid`.
pub fn timeout(seconds: Option<f64>) -> Outcome<Duration> {
    const DEFAULT_S: f64 = 60.0;
    const MAX_S: f64 = 3600.0;
    let seconds = seconds.unwrap_or(DEFAULT_S);
    if seconds.is_finite() && (0.0..=MAX_S).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Failure::invalid("`timeout_s` is from 0 to 3600"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::frame::Header;

    fn record(kind: Kind, at: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Header::message(kind, at, u32::try_from(payload.len()).unwrap()).to_bytes().to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn output_is_cut_to_the_range_and_stops_at_a_hole() {
        let mut records = record(Kind::Output, 0, b"0123");
        records.extend(record(Kind::Lease, 4, b"x"));
        records.extend(record(Kind::Output, 4, b"45"));
        records.extend(record(Kind::Output, 8, b"89"));
        assert_eq!(output_of(&records, 2, 100), (2, b"2345".to_vec()));
        assert_eq!(output_of(&records, 1, 5), (1, b"1234".to_vec()));
        assert_eq!(output_of(&records, 6, 100), (8, b"89".to_vec()));
        assert_eq!(output_of(&records, 6, 7), (6, vec![]));
        assert_eq!(output_of(b"nonsense", 0, 9), (0, vec![]));
    }

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(timeout(None).unwrap(), Duration::from_secs(60));
        assert_eq!(timeout(Some(0.5)).unwrap(), Duration::from_millis(500));
        for bad in [-1.0, 3601.0, f64::NAN, f64::INFINITY] {
            assert!(timeout(Some(bad)).is_err());
        }
    }
}
