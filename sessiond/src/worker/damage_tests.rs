//! Damaged journals against a list of what was written: what is whole is read, what is not is a gap of the right size, and a
//! journal that is only read stays as it is.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use baton_proto::Epoch;
use baton_proto::frame::{DATA_BYTES_MAX, Frame, HEADER_BYTES, Header, Kind};
use baton_proto::v1::{CarriedState, ExitRecord, GapRecord, LeaseRecord, ResizeRecord};
use proptest::prelude::*;

use super::journal::{Journal, Predecessor, last_exit, reaches};
use super::journal_tests::{INSTANCE, nothing, output, pattern};
use super::screen::reader::Reader;
use super::segment::{self, HEAD_BYTES, Known, SEGMENT_BYTES, scan_bytes};

/// A record that was written.
#[derive(Debug, Clone)]
struct Written {
    number: u32,
    file: Range<u64>,
    output: Range<u64>,
}

/// A journal with output of these sizes and other records in between, and where everything is.
fn written(dir: &Path, lens: &[usize], exit: bool) -> (u64, Vec<Written>) {
    let mut journal = Journal::create(dir, INSTANCE, 1 << 30, nothing()).unwrap();
    let mut all = Vec::new();
    for (n, len) in lens.iter().enumerate() {
        let from = journal.head();
        let mut record = vec![0; HEADER_BYTES];
        record.extend_from_slice(&pattern(from, *len));
        let at = journal.append_record(Kind::Output, &mut record).unwrap();
        let file = u64::from(at.begin.at)..u64::from(at.end.at);
        all.push(Written { number: at.begin.number, file, output: from..journal.head() });
        if n % 9 == 4 {
            let lease = LeaseRecord { epoch: Epoch(n as u64), owner: None, expired: false, expires_in_ms: None };
            journal.append_lease(&lease).unwrap();
        }
    }
    if exit {
        journal.append_exit(&end()).unwrap();
    }
    (journal.head(), all)
}

fn end() -> ExitRecord {
    ExitRecord { code: Some(3), signal: None, reason: "exit".into(), closed: false }
}

/// Something that happens to a file. Places are parts of 1,000,000 of it.
#[derive(Debug, Clone)]
enum Harm {
    Flip(u32),
    Zeros(u32),
    Cut(u32),
    Empty,
    Gone,
    Garbage(u8),
}

/// Does it; which bytes of the file are not what they were.
fn harm(dir: &Path, number: u32, harm: &Harm) -> Option<Range<u64>> {
    let path = segment::path(dir, number);
    let Ok(file) = OpenOptions::new().write(true).read(true).open(&path) else { return None };
    let len = file.metadata().unwrap().len();
    let at = |part: u32| len * u64::from(part) / 1_000_000;
    match harm {
        Harm::Flip(part) => {
            let mut byte = [0];
            let at = at(*part);
            if file.read_at(&mut byte, at).unwrap() == 0 {
                return None;
            }
            file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
            Some(at..at + 1)
        }
        Harm::Zeros(part) => {
            let at = at(*part).min(len.saturating_sub(4096));
            file.write_all_at(&[0; 4096], at).unwrap();
            Some(at..at + 4096)
        }
        Harm::Cut(part) => {
            file.set_len(at(*part)).unwrap();
            Some(at(*part)..u64::MAX)
        }
        Harm::Empty => {
            file.set_len(0).unwrap();
            Some(0..u64::MAX)
        }
        Harm::Gone => {
            fs::remove_file(path).unwrap();
            Some(0..u64::MAX)
        }
        Harm::Garbage(seed) => {
            let garbage: Vec<u8> = (0..9000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect();
            file.write_all_at(&garbage, len).unwrap();
            Some(len..u64::MAX)
        }
    }
}

fn harms() -> impl Strategy<Value = Harm> {
    let part = 0_u32..1_000_000;
    prop_oneof![
        4 => part.clone().prop_map(Harm::Flip),
        2 => part.clone().prop_map(Harm::Zeros),
        2 => part.prop_map(Harm::Cut),
        1 => Just(Harm::Empty),
        1 => Just(Harm::Gone),
        1 => any::<u8>().prop_map(Harm::Garbage),
    ]
}

/// What is read from the oldest byte on: the output of each record, and how many bytes are said to be missing.
fn read_all(journal: &mut Journal) -> (Vec<Range<u64>>, u64) {
    let (mut runs, mut lost, mut expected) = (Vec::new(), 0, journal.oldest());
    let mut place = journal.place_of(expected).unwrap();
    let mut buffer = Vec::new();
    while let Some(next) = journal.read(place, 100_000, &mut buffer).unwrap() {
        assert!(next > place, "it goes on");
        let mut rest = buffer.as_slice();
        while let Some(frame) = Frame::parse(rest).unwrap() {
            let header = frame.header;
            if header.known_kind() == Some(Kind::Output) {
                assert!(frame.payload == pattern(header.at, frame.payload.len()), "what is read was written");
                assert!(header.at >= expected);
                lost += header.at - expected;
                expected = reaches(&frame);
                runs.push(header.at..expected);
            } else if header.known_kind() == Some(Kind::Gap) {
                lost += reaches(&frame) - expected;
                expected = reaches(&frame);
            }
            rest = &rest[frame.total_bytes()..];
        }
        place = next;
    }
    (runs, lost + journal.head() - expected)
}

/// Everything whole is there, and the rest is counted.
fn check(journal: &mut Journal, all: &[Written], harmed: &BTreeMap<u32, Vec<Range<u64>>>, head: u64, new: u64) {
    let (runs, lost) = read_all(journal);
    let oldest = journal.oldest();
    assert_eq!(journal.head(), head + new, "where the output ended is known");
    let read: u64 = runs.iter().map(|run| run.end - run.start).sum();
    assert_eq!(read + lost, head + new - oldest, "what is missing is counted");
    let is_harmed = |record: &Written| {
        harmed.get(&record.number).is_some_and(|harmed| {
            harmed.iter().any(|harm| harm.start < record.file.end && record.file.start < harm.end)
        })
    };
    for record in all.iter().filter(|record| !is_harmed(record) && record.output.start < record.output.end) {
        assert!(runs.contains(&record.output), "{record:?} is whole and was not read; harmed: {harmed:?}");
    }
}

fn stat(dir: &Path) -> BTreeMap<String, (u64, i64, i64, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, (meta.len(), meta.mtime(), meta.mtime_nsec(), fs::read(entry.path()).unwrap()))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_its_files_an_ended_session_is_read_around_it(
        lens in proptest::collection::vec(0..DATA_BYTES_MAX as usize, 1..330),
        harmed in proptest::collection::vec((any::<prop::sample::Index>(), harms()), 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (head, all) = written(dir.path(), &lens, true);
        let last = all.last().unwrap().number;
        let mut changed: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        for (which, what) in harmed {
            let number = 1 + which.index(last as usize) as u32;
            changed.entry(number).or_default().extend(harm(dir.path(), number, &what));
        }
        let before = stat(dir.path());
        let mut journal = Journal::open(dir.path(), INSTANCE, 64 << 20, nothing()).unwrap();
        check(&mut journal, &all, &changed, head, 0);
        prop_assert_eq!(journal.exit(), Some(&end()));
        prop_assert_eq!(last_exit(dir.path(), INSTANCE).unwrap(), Some(end()));
        for at in 0..8 {
            let offset = journal.oldest() + (head - journal.oldest()) * at / 7;
            journal.place_of(offset).unwrap();
            journal.locate(at * 1_000_000).unwrap();
        }
        // What tries to write is refused.
        let size = ResizeRecord { cols: 1, rows: 1 };
        prop_assert!(journal.append_resize(size).is_err());
        check(&mut journal, &all, &changed, head, 0);
        prop_assert_eq!(stat(dir.path()), before, "nothing was touched");
    }

    #[test]
    fn a_successor_keeps_what_is_whole_and_goes_on_at_the_right_offset(
        lens in proptest::collection::vec(0..DATA_BYTES_MAX as usize, 1..330),
        harmed in proptest::collection::vec((any::<prop::sample::Index>(), harms()), 0..4),
        torn in proptest::option::of((1..DATA_BYTES_MAX as usize, 0_u64..60_000)),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (head, mut all) = written(dir.path(), &lens, false);
        let mut last = all.last().unwrap().number;
        let mut read = 0;
        if let Some((len, kept)) = torn {
            // Killed while it wrote: the bytes are in its window as well.
            let (grown, more) = written_again(dir.path(), &lens, len);
            prop_assert_eq!(grown - len as u64, head);
            let file = OpenOptions::new().write(true).open(segment::path(dir.path(), more.number)).unwrap();
            file.set_len((more.file.start + kept).min(more.file.end)).unwrap();
            if more.file.start + kept >= more.file.end {
                all.push(more.clone());
            }
            last = more.number;
            read = len as u64;
        }
        let mut changed: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        for (which, what) in harmed {
            let number = 1 + which.index(last as usize) as u32;
            changed.entry(number).or_default().extend(harm(dir.path(), number, &what));
        }
        let before = Predecessor { appended: head, read, epoch: None };
        let mut journal = Journal::recover(dir.path(), INSTANCE, 1 << 30, nothing(), before).unwrap();
        let found = journal.head();
        prop_assert!(found == head || found == head + read, "{} {} {}", found, head, read);
        let rest = pattern(found, (head + read - found) as usize);
        output(&mut journal, &rest);
        check(&mut journal, &all, &changed, head, read);
        output(&mut journal, &pattern(head + read, 7000));
        check(&mut journal, &all, &changed, head, read + 7000);
        // And again, by the next one and by whoever reads it in the end.
        let before = Predecessor { appended: journal.head(), read: 0, epoch: None };
        drop(journal);
        let mut journal = Journal::recover(dir.path(), INSTANCE, 1 << 30, nothing(), before).unwrap();
        check(&mut journal, &all, &changed, head, read + 7000);
        journal.append_exit(&end()).unwrap();
        drop(journal);
        let mut journal = Journal::open(dir.path(), INSTANCE, 1 << 30, nothing()).unwrap();
        check(&mut journal, &all, &changed, head, read + 7000);
    }

    /// The thread that draws sees the same as the loop.
    #[test]
    fn the_screens_reader_reads_around_damage_too(
        lens in proptest::collection::vec(1..DATA_BYTES_MAX as usize, 100..260),
        harmed in proptest::collection::vec((any::<prop::sample::Index>(), 20_000_u32..1_000_000, any::<bool>()), 1..5),
        step in 0_usize..300_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_, all) = written(dir.path(), &lens, true);
        let last = all.last().unwrap().number;
        for (which, part, zeros) in harmed {
            let what = if zeros { Harm::Zeros(part) } else { Harm::Flip(part) };
            harm(dir.path(), 1 + which.index(last as usize) as u32, &what);
        }
        let mut journal = Journal::open(dir.path(), INSTANCE, 64 << 20, nothing()).unwrap();
        let (runs, _) = read_all(&mut journal);
        let (mut reader, end) = (Reader::new(dir.path(), INSTANCE), journal.end());
        let (mut place, mut drawn) = (super::journal::Place::first_of(1), Vec::new());
        while let Some(batch) = reader.read(place, end, step).unwrap() {
            for record in batch.records().filter(|record| record.kind == Kind::Output) {
                drawn.push(record.header.at..record.header.at + u64::from(record.header.len));
            }
            prop_assert!(batch.next > place);
            place = batch.next;
        }
        prop_assert_eq!(drawn, runs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // The fuzz target's body: scripts of bytes of any kind, and of those that make more records than anything else.
    #[test]
    fn any_journal_is_read_and_gone_on_with(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..2000),
            proptest::collection::vec(prop_oneof![Just(1_u8), 5_u8..16, 0_u8..40], 0..2000),
        ],
    ) {
        super::hostile::any_bytes(&bytes);
    }
}

/// The journal of [`written`] once more, with one record of output behind it.
fn written_again(dir: &Path, lens: &[usize], more: usize) -> (u64, Written) {
    fs::remove_dir_all(dir).unwrap();
    let lens: Vec<usize> = lens.iter().copied().chain([more]).collect();
    let (head, all) = written(dir, &lens, false);
    (head, all.last().unwrap().clone())
}

fn sealed(kind: Kind, number: u32, at: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        len: payload.len() as u32,
        kind: kind.number(),
        at,
        wall_us: 1 << 60,
        mono_us: 0,
        segment: number,
        tag: INSTANCE.tag(),
        crc: 0,
    };
    let mut record = header.sealed(payload).to_bytes().to_vec();
    record.extend_from_slice(payload);
    record
}

// A program that knows its instance writes what looks like records: the end of the session, somebody else's lease.
#[test]
fn what_a_program_writes_is_never_taken_for_a_record() {
    let lease = CarriedState { lease: LeaseRecord { epoch: Epoch(7), ..nothing().lease }, ..nothing() };
    let forged = |number: u32, at: u64| {
        let mut forged = b"....".to_vec();
        for _ in 0..40 {
            let mut body = vec![0; HEADER_BYTES];
            baton_proto::codec::encode_large(Kind::Exit, &end(), &mut body).unwrap();
            forged.extend(sealed(Kind::Exit, number, at, &body[HEADER_BYTES..]));
            forged.extend(sealed(Kind::Output, number, at, b"forged"));
        }
        forged.extend_from_slice(b"....");
        forged
    };
    for torn in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), INSTANCE, 1 << 30, lease.clone()).unwrap();
        output(&mut journal, b"honest");
        let mut record = vec![0; HEADER_BYTES];
        record.extend(forged(1, 6));
        let at = journal.append_record(Kind::Output, &mut record).unwrap();
        let (before, path) = (journal.head(), segment::path(dir.path(), 1));
        let len = if torn { at.end.at - 10 } else { at.end.at };
        if !torn {
            output(&mut journal, b"behind");
        }
        let head = journal.head();
        drop(journal);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        if torn {
            file.set_len(u64::from(len)).unwrap();
        } else {
            // A byte of the payload in front of everything forged.
            file.write_all_at(b"!", u64::from(at.begin.at) + HEADER_BYTES as u64).unwrap();
        }
        let known = Predecessor { appended: head, read: 0, epoch: None };
        let mut journal = Journal::recover(dir.path(), INSTANCE, 1 << 30, nothing(), known).unwrap();
        assert_eq!((journal.exit(), journal.head()), (None, head));
        let mut bytes = Vec::new();
        let mut place = journal.place_of(0).unwrap();
        let mut buffer = Vec::new();
        while let Some(next) = journal.read(place, 1, &mut buffer).unwrap() {
            bytes.extend_from_slice(&buffer);
            place = next;
        }
        let frames = |mut rest: &[u8]| {
            let mut frames = Vec::new();
            while let Some(frame) = Frame::parse(rest).unwrap() {
                frames.push((frame.header.known_kind().unwrap(), frame.payload.to_vec()));
                rest = &rest[frame.total_bytes()..];
            }
            frames
        };
        let frames = frames(&bytes);
        assert_eq!(frames[0], (Kind::Output, b"honest".to_vec()));
        // The third is the lease that is nobody's: the next successor is to know of it too.
        assert_eq!((frames.len(), frames.last().map(|(kind, _)| *kind)), (3, Some(Kind::Lease)), "{frames:?}");
        if torn {
            let gap: GapRecord = baton_proto::frame::read_body(Kind::Gap, &frames[1].1).unwrap();
            assert_eq!(gap.lost, before - 6);
        } else {
            assert_eq!(frames[1], (Kind::Output, b"behind".to_vec()));
        }
        assert!(journal.state().lease.epoch > Epoch(7), "a lease that may be older than it looks is nobody's");
    }
}

// Left of an older use of the file, behind the records of the newer: it is not even looked at.
#[test]
fn what_an_older_use_of_the_file_has_left_is_not_searched_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), INSTANCE, 2 * u64::from(SEGMENT_BYTES), nothing()).unwrap();
    // Records of the segment that this file will be.
    while journal.end().number < 2 {
        let mut bytes = Vec::new();
        while bytes.len() < 60_000 {
            bytes.extend(sealed(Kind::Output, 3, 9_000_000, b"forged"));
            bytes.extend_from_slice(b"??");
        }
        output(&mut journal, &bytes);
    }
    while journal.end().number < 3 {
        let bytes = pattern(journal.head(), 60_000);
        output(&mut journal, &bytes);
    }
    assert!(fs::metadata(segment::path(dir.path(), 3)).unwrap().len() > 4_000_000, "the file was used before");
    let head = journal.head();
    drop(journal);
    assert_eq!(last_exit(dir.path(), INSTANCE).unwrap(), None);
    let before = Predecessor { appended: head, read: 0, epoch: None };
    let mut journal = Journal::recover(dir.path(), INSTANCE, 64 << 20, nothing(), before).unwrap();
    assert_eq!(journal.head(), head);
    let (mut place, mut buffer, mut read) = (journal.place_of(0).unwrap(), Vec::new(), journal.oldest());
    while let Some(next) = journal.read(place, 1, &mut buffer).unwrap() {
        let mut rest = buffer.as_slice();
        while let Some(frame) = Frame::parse(rest).unwrap() {
            assert_eq!(frame.header.at, read, "nothing forged, nothing missing");
            read = reaches(&frame);
            rest = &rest[frame.total_bytes()..];
        }
        place = next;
    }
    assert_eq!(read, head);
    assert!(fs::metadata(segment::path(dir.path(), 3)).unwrap().len() < 100_000, "and is gone for good");
}

#[test]
fn a_living_journal_that_is_damaged_under_its_worker_is_read_around_the_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), INSTANCE, 1 << 30, nothing()).unwrap();
    for _ in 0..300 {
        let bytes = pattern(journal.head(), 40_000);
        output(&mut journal, &bytes);
    }
    assert!(journal.end().number > 2);
    assert_eq!(read_all(&mut journal).1, 0);
    for (number, what, lost) in [
        (1, Harm::Flip(500_000), 40_000),
        (2, Harm::Gone, 0), // open, and known by its handle
        (3, Harm::Flip(500_000), 40_000),
        (3, Harm::Cut(100_000), 0),
    ] {
        let before = read_all(&mut journal).1;
        harm(dir.path(), number, &what);
        let after = read_all(&mut journal).1;
        assert!(after >= before + lost, "{number} {what:?}: {before} {after}");
        let more = pattern(journal.head(), 5);
        output(&mut journal, &more);
        let (runs, _) = read_all(&mut journal);
        assert_eq!(runs.last().unwrap().end, journal.head(), "what comes is kept");
    }
    journal.trim(0).unwrap();
    while journal.end().number < 7 {
        let bytes = pattern(journal.head(), 60_000);
        output(&mut journal, &bytes);
    }
    let oldest = journal.oldest();
    assert_eq!(read_all(&mut journal).1, 0, "from {oldest}");
}

// A segment full of what looks like headers, each of a large record: as long as reading it a few times over, no longer.
#[test]
fn bytes_that_look_like_headers_without_end_are_searched_in_bounded_time() {
    let mut bytes = vec![0; SEGMENT_BYTES as usize];
    let mut header = sealed(Kind::Output, 1, 5, &vec![0; DATA_BYTES_MAX as usize]);
    header.truncate(HEADER_BYTES);
    header[40] ^= 1;
    for place in bytes[HEAD_BYTES as usize..].chunks_exact_mut(HEADER_BYTES) {
        place.copy_from_slice(&header);
    }
    let head = segment::Head { number: 1, base: 0, wall_us: 0, state: nothing() };
    let begun = std::time::Instant::now();
    let scan = scan_bytes(&bytes, INSTANCE.tag(), &head, Known::NOTHING);
    assert_eq!((scan.end, scan.head), (HEAD_BYTES, 0));
    // Checking each would take 5 GB of checksums.
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_directory_that_is_not_there_and_one_with_nonsense_are_empty_journals() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    let mut journal = Journal::open(&none, INSTANCE, 64 << 20, nothing()).unwrap();
    assert_eq!((journal.head(), journal.oldest(), journal.locate(5).unwrap().0), (0, 0, 0));
    assert!(!none.exists(), "and none is made");
    for name in ["00000001.seg", "99999999.seg", "00000000.seg", "end", "kf-00000007", "lock"] {
        fs::write(dir.path().join(name), pattern(3, 20_000)).unwrap();
    }
    let before = stat(dir.path());
    let mut journal = Journal::open(dir.path(), INSTANCE, 64 << 20, nothing()).unwrap();
    assert_eq!((journal.head(), read_all(&mut journal).0.len()), (0, 0));
    assert!(matches!(journal.read(super::journal::Place::first_of(1), 1, &mut Vec::new()), Ok(None)));
    assert_eq!(stat(dir.path()), before);
    assert!(!matches!(last_exit(dir.path(), INSTANCE), Err(ref err) if err.kind() != std::io::ErrorKind::NotFound));
}
