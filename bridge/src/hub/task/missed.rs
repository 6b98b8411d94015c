//! Marks that the worker noted while nobody listened: before the first connection, or while the bridge was away. They are in
//! its journal, and are told after the connection is made, each once.
//!
//! Only so much of the journal is looked through, its newest. What was made before that is found there by whoever looks, and is
//! no event.

use std::time::Instant;

use baton_proto::frame::{Frame, Header, Kind, read_body};
use baton_proto::ids::InstanceId;
use baton_proto::v1::{Inspection, MarkRecord, RangeHeader, ReadRange};

use super::Hub;
use crate::events::Told;
use crate::upstream::conn::{Conn, RawFrame, message};

/// Output before the head that is looked through at most.
const BACK_BYTES_MAX: u64 = 1 << 20;
/// Output before the newest mark that was told which is looked through too: where the shell is in its round may have been told
/// before that.
const BACK_BYTES_MIN: u64 = 32 << 10;
/// Bytes of records read at once.
const RANGE_BYTES: u32 = 256 << 10;
/// Answers that are read at most: each goes on by what it holds, and one that does not is the last.
const RANGES_MAX: usize = 64;

/// Marks of the journal, each once.
#[derive(Debug, Default)]
pub(super) struct Missed {
    /// In the journal's order.
    pub(super) marks: Vec<(Header, MarkRecord)>,
}

impl Missed {
    /// Takes records, the first of which may be among those taken before.
    fn take(&mut self, records: &[u8]) {
        let newest = self.marks.last().map(|(header, _)| *header);
        let mut known = newest.is_some_and(|newest| contains(records, newest));
        let mut rest = records;
        while let Ok(Some(frame)) = Frame::parse(rest) {
            rest = &rest[frame.total_bytes()..];
            if known {
                known = Some(frame.header) != newest;
            } else if frame.header.known_kind() == Some(Kind::Mark)
                && frame.header.is_intact(frame.payload)
                && let Ok(mark) = read_body(Kind::Mark, frame.payload)
            {
                self.marks.push((frame.header, mark));
            }
        }
    }
}

fn contains(records: &[u8], wanted: Header) -> bool {
    let mut rest = records;
    while let Ok(Some(frame)) = Frame::parse(rest) {
        if frame.header == wanted {
            return true;
        }
        rest = &rest[frame.total_bytes()..];
    }
    false
}

impl Hub {
    /// Up to where this life's marks were told.
    pub(super) async fn told(&self, instance: InstanceId) -> u64 {
        if let Some((of, offset)) = self.told
            && of == instance
        {
            return offset;
        }
        let (id, created_us) = {
            let entry = self.entry.borrow();
            (entry.spec.session, entry.spec.created_us)
        };
        match self.context.events.told_marks(id, created_us).await {
            Told::Until(cursor) if cursor.instance == instance => cursor.offset,
            Told::Until(_) | Told::Nothing => 0,
            // Silence is better than telling again what may have been told.
            Told::Unknown => u64::MAX,
        }
    }

    /// Reads the marks of the newest part of the journal over a connection that has no link yet. What else comes is put
    /// aside. A journal that cannot be read has none.
    pub(super) async fn read_missed(
        conn: &mut Conn,
        inspection: &Inspection,
        told: u64,
        deadline: Instant,
        early: &mut Vec<RawFrame>,
    ) -> Result<Missed, String> {
        let head = inspection.head;
        let mut missed = Missed::default();
        let mut from = told.min(head).saturating_sub(BACK_BYTES_MIN).max(head.saturating_sub(BACK_BYTES_MAX));
        from = from.max(inspection.oldest);
        for number in 0..RANGES_MAX {
            let id = super::FIRST_ID + number as u64;
            let ask = ReadRange { from, max_bytes: RANGE_BYTES };
            let bytes = message(Kind::ReadRange, id, &ask).map_err(|err| err.to_string())?;
            conn.writer.send(bytes).map_err(|_| "it does not read".to_owned())?;
            let frame = loop {
                let next = tokio::time::timeout_at(deadline.into(), conn.reader.next()).await;
                let frame = next.map_err(|_| "it does not answer")?.map_err(|err| err.to_string())?;
                match frame.header.known_kind() {
                    Some(Kind::Range | Kind::Failed) if frame.header.at == id => break frame,
                    _ => early.push(frame),
                }
            };
            let Some(Kind::Range) = frame.header.known_kind() else { break };
            let Some((range, records)) = RangeHeader::split(frame.payload()) else { break };
            missed.take(records);
            // What stands behind the last output comes only with that.
            let next = range.next.saturating_sub(1);
            if next <= from {
                break;
            }
            from = next;
        }
        Ok(missed)
    }

    /// Tells what was missed, and learns from it where the shell is.
    pub(super) fn tell_missed(&mut self, missed: Missed, told: u64, start: u64) {
        for (header, mark) in missed.marks {
            let Some(link) = self.link.as_mut() else { return };
            if header.at >= start {
                // The worker may send it once more, as news.
                link.known_marks.push(header);
            }
            self.take_mark(&mark, header.wall_us, told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::codec::encode;
    use baton_proto::v1::MarkKind;

    fn record(kind: Kind, at: u64, payload: &[u8]) -> Vec<u8> {
        let header = Header::message(kind, at, u32::try_from(payload.len()).unwrap()).sealed(payload);
        let mut out = header.to_bytes().to_vec();
        out.extend_from_slice(payload);
        out
    }

    fn mark(at: u64, kind: MarkKind) -> Vec<u8> {
        let mut body = Vec::new();
        encode(Kind::Mark, &MarkRecord { offset: at, kind, text: String::new() }, &mut body).unwrap();
        record(Kind::Mark, at, &body)
    }

    #[test]
    fn a_mark_that_two_answers_have_is_taken_once() {
        let output = |at, bytes: &[u8]| record(Kind::Output, at, bytes);
        let first = [output(0, b"ab"), mark(2, MarkKind::Prompt), mark(2, MarkKind::Cwd)].concat();
        let second = [first.clone(), output(2, b"c"), mark(3, MarkKind::Command)].concat();
        let mut missed = Missed::default();
        missed.take(&first);
        missed.take(&second);
        missed.take(&second);
        let kinds: Vec<_> = missed.marks.iter().map(|(_, mark)| mark.kind).collect();
        assert_eq!(kinds, [MarkKind::Prompt, MarkKind::Cwd, MarkKind::Command]);
        missed.take(b"nonsense");
        assert_eq!(missed.marks.len(), 3);
    }
}
