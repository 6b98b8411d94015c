//! The journal against a plain byte string: whatever is appended, trimmed, cut off and recovered, what is read is the truth.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Kind, read_body};
use baton_proto::v1::{CarriedState, Dimensions, ExitRecord, GapRecord, InputRecord, LeaseRecord, ResizeRecord};
use baton_proto::{ClientId, Epoch, InstanceId};
use proptest::prelude::*;
use uuid::Uuid;

use super::journal::{Journal, Predecessor, ReadError, last_exit};
use super::segment::SEGMENT_BYTES;

pub(super) const INSTANCE: InstanceId =
    InstanceId::from_uuid(Uuid::from_u128(0x1234_5678_9abc_def0_1111_2222_3333_4444));

pub(super) fn nothing() -> CarriedState {
    CarriedState {
        lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
        size: Dimensions { cols: 80, rows: 24 },
        resized_at: 0,
        streams: Vec::new(),
    }
}

fn client(n: u8) -> ClientId {
    format!("agent:{n}").parse().unwrap()
}

pub(super) fn output(journal: &mut Journal, bytes: &[u8]) {
    let mut record = vec![0; HEADER_BYTES];
    record.extend_from_slice(bytes);
    journal.append_record(Kind::Output, &mut record).unwrap();
}

/// Every output byte from `from` on, with the offsets checked; gaps are left out.
fn read_from(journal: &mut Journal, from: u64) -> Vec<u8> {
    let mut place = journal.place_of(from).unwrap();
    let (mut bytes, mut buffer, mut expected) = (Vec::new(), Vec::new(), None);
    while let Some(next) = journal.read(place, 100_000, &mut buffer).unwrap() {
        let mut rest = buffer.as_slice();
        while let Some(frame) = Frame::parse(rest).unwrap() {
            assert!(frame.header.is_intact(frame.payload));
            assert_eq!(frame.header.tag, INSTANCE.tag());
            match frame.header.known_kind().unwrap() {
                Kind::Output => {
                    let at = expected.unwrap_or(frame.header.at);
                    assert_eq!(frame.header.at, at, "records follow each other");
                    let skip = from.saturating_sub(at).min(frame.payload.len() as u64) as usize;
                    bytes.extend_from_slice(&frame.payload[skip..]);
                    expected = Some(at + frame.payload.len() as u64);
                }
                Kind::Gap => {
                    let gap: GapRecord = read_body(Kind::Gap, frame.payload).unwrap();
                    expected = Some(frame.header.at + gap.lost);
                }
                _ => {}
            }
            rest = &rest[frame.total_bytes()..];
        }
        place = next;
    }
    bytes
}

/// Bytes that look like anything, headers included, and differ from place to place.
pub(super) fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..).take(len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_offset_kept_can_be_read_from_and_older_ones_are_said_to_be_gone(
        lens in proptest::collection::vec(1..DATA_BYTES_MAX as usize, 300..500),
        asked in proptest::collection::vec(any::<proptest::sample::Index>(), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), INSTANCE, 2 * u64::from(SEGMENT_BYTES), nothing()).unwrap();
        let mut head = 0;
        let first = journal.end();
        for len in lens {
            output(&mut journal, &pattern(head, len));
            head += len as u64;
        }
        let oldest = journal.oldest();
        prop_assert!(journal.bytes() <= 2 * u64::from(SEGMENT_BYTES));
        if oldest > 0 {
            let gone = matches!(journal.read(first, 1, &mut Vec::new()), Err(ReadError::Trimmed));
            prop_assert!(gone);
        }
        for index in asked {
            let from = oldest + index.index((head - oldest) as usize + 1) as u64;
            prop_assert_eq!(read_from(&mut journal, from), pattern(from, (head - from) as usize));
        }
    }
}

#[test]
fn the_past_is_carried_into_new_segments_and_through_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), INSTANCE, 2 * u64::from(SEGMENT_BYTES), nothing()).unwrap();
    let lease = LeaseRecord { epoch: Epoch(9), owner: None, expired: false, expires_in_ms: None };
    journal.append_lease(&lease).unwrap();
    journal.append_resize(ResizeRecord { cols: 120, rows: 40 }).unwrap();
    for n in 0..200 {
        let record =
            InputRecord { client: client(n), stream: 1, epoch: Epoch(9), seq: u64::from(n) + 1, len: 1, bytes: None };
        journal.append_input(&record).unwrap();
    }
    for _ in 0..200 {
        let bytes = pattern(journal.head(), 60_000);
        output(&mut journal, &bytes);
    }
    assert!(journal.oldest() > 0, "the records themselves are gone");
    let before = Predecessor { appended: journal.head(), read: 0, epoch: None };
    drop(journal);
    let mut journal = Journal::recover(dir.path(), INSTANCE, 2 * u64::from(SEGMENT_BYTES), nothing(), before).unwrap();
    assert_eq!(journal.state().lease, lease);
    assert_eq!(journal.state().size, Dimensions { cols: 120, rows: 40 });
    assert_eq!(journal.state().typed(&client(199), 1), 200);
    assert_eq!(journal.state().typed(&client(0), 1), 0, "the longest unused are forgotten");
    assert_eq!(last_exit(dir.path(), INSTANCE).unwrap(), None);
    let exit = ExitRecord { code: Some(3), signal: None, reason: "exit".into(), closed: false };
    journal.append_exit(&exit).unwrap();
    drop(journal);
    assert_eq!(last_exit(dir.path(), INSTANCE).unwrap(), Some(exit));
}

#[test]
fn another_instances_bytes_are_not_read_as_ours() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), INSTANCE, 64 << 20, nothing()).unwrap();
    output(&mut journal, b"old");
    drop(journal);
    let other = InstanceId::from_uuid(Uuid::from_u128(1));
    let before = Predecessor { appended: 0, read: 0, epoch: None };
    assert_eq!(Journal::open(dir.path(), other, 64 << 20, nothing()).unwrap().head(), 0);
    assert_eq!(Journal::recover(dir.path(), other, 64 << 20, nothing(), before).unwrap().head(), 0);
}
