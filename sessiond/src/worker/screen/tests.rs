//! Reader and sidecar over files that are written, retired, torn and forged.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_proto::frame::{DATA_BYTES_MAX, HEADER_BYTES, Kind};
use baton_proto::v1::{CarriedState, Dimensions, InputRecord, LeaseRecord, ResizeRecord, ScreenFormat};
use baton_proto::{Epoch, ErrorCode, InstanceId};
use baton_screen::Screen;
use proptest::prelude::*;
use uuid::Uuid;

use super::keyframes::{self, Keyframe, SCREEN_BYTES_MAX, Writer};
use super::playback::{Limit, Playback};
use super::reader::Reader;
use super::shared::{Drawing, Order, Report, Shared, Ticket, Undrawn};
use super::tap;
use crate::worker::journal::{Journal, Place, Predecessor, ReadError};
use crate::worker::segment::{self, SEGMENT_BYTES};

pub(super) const INSTANCE: InstanceId =
    InstanceId::from_uuid(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
/// Low half of [`INSTANCE`].
const TAG: u64 = 0x0011_2233_4455_6677;

pub(super) fn journal(dir: &Path, segments: u64) -> Journal {
    let state = CarriedState {
        lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
        size: Dimensions { cols: 80, rows: 24 },
        resized_at: 0,
        streams: Vec::new(),
    };
    Journal::create(dir, INSTANCE, segments * u64::from(SEGMENT_BYTES), state).unwrap()
}

pub(super) fn output(journal: &mut Journal, bytes: &[u8]) {
    for chunk in bytes.chunks(DATA_BYTES_MAX as usize) {
        let mut record = vec![0; HEADER_BYTES];
        record.extend_from_slice(chunk);
        journal.append_record(Kind::Output, &mut record).unwrap();
    }
}

fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..).take(len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Every output byte from a place on, as offset and bytes of each run without a gap.
fn runs(reader: &mut Reader, mut place: Place, end: Place, step: usize) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    while let Some(batch) = reader.read(place, end, step)? {
        assert!(batch.begin >= place && batch.next > batch.begin, "it goes on");
        let mut at = batch.begin;
        for record in batch.records() {
            assert_eq!(record.begin, at, "records stand one behind another");
            at = record.end;
            if record.kind == Kind::Output {
                match runs.last_mut() {
                    Some((from, bytes)) if *from + bytes.len() as u64 == record.header.at => {
                        bytes.extend_from_slice(record.payload);
                    }
                    _ => runs.push((record.header.at, record.payload.to_vec())),
                }
            }
        }
        assert_eq!(at, batch.next);
        place = batch.next;
    }
    Ok(runs)
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    if file.read_at(&mut byte, at).unwrap() == 1 {
        file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
    }
}

fn keyframe(number: u32, offset: u64) -> Keyframe {
    Keyframe {
        offset,
        place: Place { number, at: segment::HEAD_BYTES + 100 },
        resizes_seen: 3,
        size: Dimensions { cols: 132, rows: 43 },
        wall_us: 77,
        approximate: true,
    }
}

#[test]
fn a_reader_reads_what_the_loop_wrote_over_segments_and_record_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 16);
    let mut reader = Reader::new(dir.path(), INSTANCE);
    let (mut written, mut first) = (Vec::new(), None);
    for n in 0..400_usize {
        let bytes = pattern(written.len() as u64, 1 + n * 7919 % DATA_BYTES_MAX as usize);
        output(&mut journal, &bytes);
        written.extend_from_slice(&bytes);
        if n % 5 == 0 {
            journal.append_resize(ResizeRecord { cols: 10 + n as u16, rows: 5 }).unwrap();
        }
        if n % 7 == 0 {
            // The largest record there is.
            let record = InputRecord {
                client: "agent:a".parse().unwrap(),
                stream: 1,
                epoch: Epoch(1),
                seq: n as u64 + 1,
                len: DATA_BYTES_MAX,
                bytes: Some(vec![b'x'; DATA_BYTES_MAX as usize]),
            };
            journal.append_input(&record).unwrap();
        }
        first.get_or_insert(journal.first_number());
    }
    let end = journal.end();
    assert!(end.number > 3, "several segments");
    for step in [0, 100_000, 1 << 20] {
        let runs = runs(&mut reader, Place::first_of(1), end, step).unwrap();
        assert_eq!(runs.len(), 1, "no gap");
        assert!(runs[0] == (0, written.clone()));
    }
    // Nothing at or behind the end that was told.
    let cut = runs(&mut reader, Place::first_of(1), Place::first_of(2), 1 << 20).unwrap();
    assert!(cut[0].1.len() < written.len() && written.starts_with(&cut[0].1));
    for offset in [0, 1, 5_000_000, 9_999_999, journal.head()] {
        let head = reader.segment_of(1, end.number, offset).unwrap();
        assert!(head.base <= offset);
        assert!(reader.head(head.number + 1).map_or(true, |next| next.base > offset), "the newest that does");
    }
}

#[test]
fn a_reader_that_is_overtaken_is_told_and_never_given_newer_bytes_as_older() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 2);
    let mut reader = Reader::new(dir.path(), INSTANCE);
    output(&mut journal, &pattern(0, 100_000));
    let first = runs(&mut reader, Place::first_of(1), journal.end(), 0).unwrap();
    assert_eq!(first[0].1, pattern(0, 100_000));
    // The reader has segment 1 open. It is renamed and written over, a little further each time.
    let mut head = 100_000;
    let mut told = 0;
    while journal.end().number < 5 {
        let bytes = pattern(head, 50_000);
        output(&mut journal, &bytes);
        head += 50_000;
        match reader.read(Place::first_of(1), journal.end(), 0) {
            Ok(Some(batch)) => {
                for record in batch.records() {
                    assert!(record.payload == pattern(record.header.at, record.payload.len()));
                }
                assert_eq!(told, 0, "once gone, gone");
            }
            Err(ReadError::Trimmed) => told += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(told > 0 && journal.first_number() > 1);
    let kept = runs(&mut reader, Place::first_of(journal.first_number()), journal.end(), 1 << 20).unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].1 == pattern(journal.oldest(), (journal.head() - journal.oldest()) as usize));
    let oldest = reader.segment_of(1, journal.end().number, 0).unwrap();
    assert_eq!((oldest.number, oldest.base), (journal.first_number(), journal.oldest()));
}

#[test]
fn a_keyframe_comes_back_and_only_the_loose_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(dir.path(), TAG);
    assert_eq!(writer.fixed(4).unwrap(), None);
    assert!(writer.put(&keyframe(4, 10), b"ten", false).unwrap());
    assert!(writer.put(&keyframe(4, 20), b"twenty, which is longer", true).unwrap());
    let entries = keyframes::entries(dir.path(), TAG, 4);
    assert_eq!(entries.iter().map(|entry| entry.keyframe).collect::<Vec<_>>(), [keyframe(4, 10), keyframe(4, 20)]);
    assert!(!entries[0].loose && entries[1].loose);
    assert!(writer.put(&keyframe(4, 30), b"thirty", true).unwrap());
    // A successor goes on the same way.
    let mut writer = Writer::new(dir.path(), TAG);
    assert_eq!(writer.fixed(4).unwrap(), Some(10));
    assert!(writer.put(&keyframe(4, 40), b"forty", false).unwrap());
    assert!(!writer.put(&keyframe(4, 50), &vec![0; SCREEN_BYTES_MAX + 1], false).unwrap(), "too large to be kept");
    assert!(writer.put(&keyframe(4, 60), &vec![7; SCREEN_BYTES_MAX], false).unwrap());
    let entries = keyframes::entries(dir.path(), TAG, 4);
    assert_eq!(entries.iter().map(|entry| entry.keyframe.offset).collect::<Vec<_>>(), [10, 40, 60]);
    let screens: Vec<_> = entries.iter().map(|entry| keyframes::load(dir.path(), entry).unwrap()).collect();
    assert_eq!((screens[0].as_slice(), screens[1].as_slice()), (b"ten".as_slice(), b"forty".as_slice()));
    assert_eq!(screens[2].len(), SCREEN_BYTES_MAX);
    assert!(keyframes::entries(dir.path(), TAG + 1, 4).is_empty(), "another instance's");
    assert!(keyframes::entries(dir.path(), TAG, 5).is_empty());
    fs::rename(keyframes::path(dir.path(), 4), keyframes::path(dir.path(), 5)).unwrap();
    assert!(keyframes::entries(dir.path(), TAG, 5).is_empty(), "another segment's");
}

#[test]
fn keyframes_go_with_their_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 3);
    let mut writer = Writer::new(dir.path(), TAG);
    let there = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut numbers: Vec<u32> = names.filter_map(|name| name.strip_prefix("kf-")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    };
    while journal.end().number < 6 {
        let bytes = pattern(journal.head(), 60_000);
        output(&mut journal, &bytes);
        writer.put(&keyframe(journal.end().number, journal.head()), b"screen", true).unwrap();
    }
    assert_eq!(there(), [4, 5, 6]);
    journal.trim(0).unwrap();
    assert_eq!(there(), [5, 6]);
    for stale in [1, 9] {
        fs::write(keyframes::path(dir.path(), stale), b"left by a killed worker").unwrap();
    }
    keyframes::forget_others(dir.path(), journal.first_number(), journal.end().number);
    assert_eq!(there(), [5, 6]);
}

#[test]
fn a_place_in_time_is_found_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = journal(dir.path(), 16);
    let mut came = Vec::new();
    for n in 0..3000 {
        let before = journal.head();
        output(&mut journal, &pattern(before, 5000));
        let mut reader = Vec::new();
        let place = journal.place_of(before).unwrap();
        journal.read(place, 0, &mut reader).unwrap();
        if n % 300 == 0 {
            let frame = baton_proto::frame::Frame::parse(&reader).unwrap().unwrap();
            came.push((frame.header.at, frame.header.wall_us));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    assert!(journal.end().number > 3);
    assert_eq!(journal.locate(0).unwrap().0, 0, "before everything: the oldest there is");
    for (offset, wall_us) in &came {
        let (found, when) = journal.locate(wall_us - 1).unwrap();
        assert!(found <= *offset && when >= *wall_us - 1, "what had not come is behind {found}");
        let (found, when) = journal.locate(*wall_us).unwrap();
        assert!(found > *offset && when > *wall_us, "what had come is before {found}");
    }
    let (found, when) = journal.locate(u64::MAX).unwrap();
    assert_eq!(found, journal.head());
    assert!(when >= came.last().unwrap().1);
    // The same after a restart.
    let expected: Vec<_> = came.iter().map(|(_, wall_us)| journal.locate(*wall_us).unwrap()).collect();
    let (state, before) = (journal.state().clone(), Predecessor { appended: journal.head(), read: 0, epoch: None });
    drop(journal);
    let mut journal = Journal::recover(dir.path(), INSTANCE, 64 << 20, state, before).unwrap();
    let again: Vec<_> = came.iter().map(|(_, wall_us)| journal.locate(*wall_us).unwrap()).collect();
    assert_eq!(again, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happened to the files, what is read was written, and reading ends.
    #[test]
    fn a_damaged_journal_is_read_as_far_as_it_goes(
        sizes in proptest::collection::vec(1_usize..60_000, 20..200),
        damage in proptest::collection::vec((1_u32..4, 0_u64..u64::from(SEGMENT_BYTES)), 0..6),
        cut in proptest::option::of((1_u32..4, 0_u64..u64::from(SEGMENT_BYTES))),
        step in 0_usize..500_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path(), 16);
        for size in sizes {
            let from = journal.head();
            output(&mut journal, &pattern(from, size));
        }
        let end = journal.end();
        for (number, at) in damage.into_iter().filter(|(number, _)| *number <= end.number) {
            flip(&segment::path(dir.path(), number), at);
        }
        if let Some((number, len)) = cut.filter(|(number, _)| *number <= end.number) {
            OpenOptions::new().write(true).open(segment::path(dir.path(), number)).unwrap().set_len(len).unwrap();
        }
        let mut reader = Reader::new(dir.path(), INSTANCE);
        let mut place = Place::first_of(1);
        while place < end {
            match reader.read(place, end, step) {
                Ok(Some(batch)) => {
                    for record in batch.records().filter(|record| record.kind == Kind::Output) {
                        prop_assert!(record.payload == pattern(record.header.at, record.payload.len()));
                    }
                    prop_assert!(batch.next > place);
                    place = batch.next;
                }
                Ok(None) | Err(_) => place = Place::first_of(place.number + 1),
            }
        }
    }

    /// Damaged, cut, and appended to: each screen that is read is one that was written, under its own name.
    #[test]
    fn damaged_keyframes_are_passed_over(
        lens in proptest::collection::vec(0_usize..3000, 1..12),
        damage in proptest::collection::vec(0_u64..40_000, 0..4),
        cut in proptest::option::of(0_u64..40_000),
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = keyframes::path(dir.path(), 2);
        let mut writer = Writer::new(dir.path(), TAG);
        for (n, len) in lens.iter().enumerate() {
            writer.put(&keyframe(2, n as u64 * 1000), &pattern(n as u64, *len), n % 3 == 2).unwrap();
        }
        for at in damage {
            flip(&path, at);
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let len = file.metadata().unwrap().len();
        if let Some(cut) = cut {
            file.set_len(cut.min(len)).unwrap();
        }
        let len = file.metadata().unwrap().len();
        file.write_all_at(&garbage, len).unwrap();
        let check = || {
            for entry in keyframes::entries(dir.path(), TAG, 2) {
                let n = entry.keyframe.offset / 1000;
                if entry.keyframe.offset < 1_000_000 {
                    prop_assert_eq!(entry.keyframe, keyframe(2, n * 1000));
                    if let Some(bytes) = keyframes::load(dir.path(), &entry) {
                        prop_assert!(bytes == pattern(n, lens[n as usize]));
                    }
                }
            }
            Ok(())
        };
        check()?;
        // A successor appends behind what is sound, and that is found.
        let mut writer = Writer::new(dir.path(), TAG);
        prop_assert!(writer.put(&keyframe(2, 1_000_000), b"new", false).unwrap());
        let entries = keyframes::entries(dir.path(), TAG, 2);
        prop_assert_eq!(entries.last().unwrap().keyframe.offset, 1_000_000);
        prop_assert_eq!(keyframes::load(dir.path(), entries.last().unwrap()).unwrap(), b"new");
        check()?;
    }
}

/// Output that breaks the engine, in tests.
pub(super) const BREAKS: &[u8] = b"this breaks the engine";

/// The threads over a journal, without a worker.
struct Bench {
    dir: tempfile::TempDir,
    journal: Journal,
    shared: Arc<Shared>,
    next: u64,
}

impl Bench {
    fn new(segments: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), segments);
        let shared = Arc::new(Shared::new(dir.path().to_owned(), INSTANCE, 0, 0, false).unwrap());
        Self { dir, journal, shared, next: 0 }
    }

    fn publish(&self) {
        let mut state = self.shared.state();
        (state.first, state.end) = (self.journal.first_number(), self.journal.end());
        (state.head, state.size) = (self.journal.head(), self.journal.state().size);
        if state.broken || std::mem::replace(&mut state.tap_runs, true) {
            self.shared.wake(&state);
            return;
        }
        drop(state);
        tap::spawn(&self.shared).unwrap();
    }

    fn write(&mut self, bytes: &[u8]) {
        output(&mut self.journal, bytes);
        self.publish();
    }

    fn until<T>(&self, mut found: impl FnMut(Report) -> Option<T>) -> T {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < give_up, "nothing was told");
            for report in self.shared.reports() {
                if let Some(found) = found(report) {
                    return found;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn head(&mut self) -> Result<Drawing, Undrawn> {
        self.next += 1;
        let ticket = Ticket { conn: 0, id: self.next };
        let (format, end) = (ScreenFormat::Ansi, self.journal.end());
        let order = Order { ticket, format, history: 0, limit: Limit::NONE, end, head: self.journal.head() };
        self.shared.state().heads.push_back(order);
        self.publish();
        if self.shared.state().broken {
            self.shared.state().heads.clear();
            return Err(tap::broken());
        }
        self.until(|report| match report {
            Report::Drawn(tickets, drawn) if tickets.contains(&ticket) => Some(drawn),
            _ => None,
        })
    }

    fn parked(&self) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while self.shared.state().tap_runs {
            assert!(Instant::now() < give_up, "it runs on");
            self.shared.reports();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn fed(size: Dimensions, bytes: &[u8]) -> Screen {
    let mut screen = Screen::new(size);
    screen.feed(bytes, &mut Vec::new());
    screen
}

const SIZE: Dimensions = Dimensions { cols: 80, rows: 24 };

#[test]
fn output_that_breaks_the_engine_costs_the_screen_and_is_told_at_the_third_time() {
    let mut bench = Bench::new(8);
    bench.write(b"before");
    assert!(!bench.head().unwrap().header.approximate);
    bench.write(BREAKS);
    assert!(bench.head().unwrap().header.approximate);
    bench.write(b"after");
    let drawing = bench.head().unwrap();
    assert_eq!(drawing.header.offset, bench.journal.head());
    assert!(drawing.header.approximate, "what was before is not known");
    assert_eq!(drawing.bytes.as_ref(), fed(SIZE, b"after").snapshot(0));
    bench.write(b"\x1b[2Janew");
    assert!(!bench.head().unwrap().header.approximate, "the program has drawn all of it");
    for _ in 0..3 {
        assert!(!bench.shared.state().broken);
        // One record after another, each read by itself.
        bench.write(BREAKS);
        let journal_end = bench.journal.end();
        let _ = bench.head().map(|drawing| assert!(drawing.header.approximate));
        assert_eq!(bench.journal.end(), journal_end);
    }
    let refused = bench.head().unwrap_err();
    assert_eq!(refused.code, ErrorCode::Internal);
    assert!(refused.message.contains("cannot be drawn"), "{}", refused.message);
}

#[test]
fn a_tap_that_is_overtaken_goes_on_at_the_oldest_byte() {
    let mut bench = Bench::new(2);
    // The tap is told of nothing while three journals' worth of output goes by.
    let mut written = Vec::new();
    while bench.journal.end().number < 7 {
        let line = format!("line {} of them\r\n", written.len());
        written.extend_from_slice(line.repeat(3000).as_bytes());
        let from = usize::try_from(bench.journal.head()).unwrap();
        output(&mut bench.journal, &written[from..]);
    }
    let drawing = bench.head().unwrap();
    assert_eq!(drawing.header.offset, written.len() as u64);
    assert!(drawing.header.approximate);
    let from = usize::try_from(bench.journal.oldest()).unwrap();
    assert_eq!(drawing.bytes.as_ref(), fed(SIZE, &written[from..]).snapshot(0));
    // A file that somebody removed is no reason to spin, or to give up.
    bench.parked();
    fs::remove_file(segment::path(bench.dir.path(), bench.journal.end().number)).unwrap();
    keyframes::forget(bench.dir.path(), bench.journal.end().number);
    assert!(bench.head().unwrap().header.approximate);
}

#[test]
fn keyframes_are_at_most_a_mebibyte_apart_in_every_segment_and_at_the_end() {
    let mut bench = Bench::new(16);
    let line = b"\x1b[32mok\x1b[0m a line of a log, as they come in thousands, with a number at its end: 123456\r\n";
    while bench.journal.end().number < 4 {
        bench.write(&line.repeat(700));
        if bench.journal.head().is_multiple_of(3) {
            bench.head().unwrap();
        }
    }
    let expected = bench.head().unwrap();
    bench.parked();
    let mut offsets = Vec::new();
    for number in 1..=4 {
        let entries = keyframes::entries(bench.dir.path(), TAG, number);
        let base = Reader::new(bench.dir.path(), INSTANCE).head(number).unwrap().base;
        let first = entries.first().unwrap().keyframe.offset;
        assert!(first >= base && first - base <= 1 << 20, "segment {number}: {first} for {base}");
        assert!(number == 1 || first == base, "at its beginning, where nothing is half written");
        offsets.extend(entries.iter().map(|entry| entry.keyframe.offset));
    }
    assert!(offsets.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 1 << 20), "{offsets:?}");
    assert_eq!(offsets.last(), Some(&bench.journal.head()), "the head's, when output had stopped");
    // Started again it is the same screen; drawn from the keyframe, and from nothing.
    assert_eq!(bench.head().unwrap().bytes, expected.bytes);
    bench.parked();
    for number in 1..=4 {
        keyframes::forget(bench.dir.path(), number);
    }
    assert_eq!(bench.head().unwrap().bytes, expected.bytes);
}

#[test]
fn answers_and_marks_of_a_predecessor_are_not_given_again() {
    let mut bench = Bench::new(8);
    let first = b"\x1b[c\x1b]133;A\x07";
    bench.write(first);
    bench.write(b"\x1b[6n\x1b]133;C\x07");
    let mut told = Vec::new();
    let all = |told: &mut Vec<(u64, bool)>, report| {
        match report {
            Report::Reply(offset, _) => told.push((offset, true)),
            Report::Mark(offset, ..) => told.push((offset, false)),
            _ => {}
        }
        (told.len() == 4).then_some(())
    };
    bench.until(|report| all(&mut told, report));
    told.sort_unstable();
    assert_eq!(told, [(3, true), (11, false), (15, true), (23, false)]);
    bench.parked();
    for number in 1..=2 {
        keyframes::forget(bench.dir.path(), number);
    }
    // A successor: the first answer was typed, the first mark journalled.
    bench.shared = Arc::new(Shared::new(bench.dir.path().to_owned(), INSTANCE, 3, 11, false).unwrap());
    bench.write(b"\x1b[5n\x1b]133;D;1\x07");
    let mut told = Vec::new();
    bench.until(|report| all(&mut told, report));
    told.sort_unstable();
    assert_eq!(told, [(15, true), (23, false), (27, true), (37, false)]);
}

/// One thing that happens to a journal.
#[derive(Debug, Clone)]
enum Step {
    Output(Vec<u8>),
    Resize(u16, u16),
    Keyframe,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Cut anywhere: within sequences, characters and strings.
    let text = "text \x1b[1;31mred\x1b[0m 中文 e\u{301}\r\n\x1b]2;a title\x07\x1b[?1049h\x1b[5;9Hthere\x1b[?1049l\x1b[2;7r\x1b[7;1H\n\n";
    let pieces = (0..text.len(), 1..40_usize).prop_map(move |(from, len)| {
        Step::Output(text.as_bytes().iter().copied().cycle().skip(from).take(len).collect())
    });
    let sizes = (2..100_u16, 1..30_u16).prop_map(|(cols, rows)| Step::Resize(cols, rows));
    proptest::collection::vec(prop_oneof![6 => pieces, 2 => sizes, 2 => Just(Step::Keyframe)], 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A keyframe made anywhere, even in the middle of a sequence with changes of size behind its beginning, and the records
    /// behind it give the same screen as all records.
    #[test]
    fn a_keyframe_and_the_rest_is_the_whole(steps in steps(), cut in 0..3000_u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path(), 4);
        let mut reader = Reader::new(dir.path(), INSTANCE);
        let mut writer = Writer::new(dir.path(), TAG);
        let mut playback = Playback::begin(&reader.head(1).unwrap(), 0);
        let mut seen = Vec::new();
        for step in &steps {
            match step {
                Step::Output(bytes) => output(&mut journal, bytes),
                Step::Resize(cols, rows) => {
                    journal.append_resize(ResizeRecord { cols: *cols, rows: *rows }).unwrap();
                }
                Step::Keyframe => {
                    while let Some(batch) = reader.read(playback.place, journal.end(), 0).unwrap() {
                        prop_assert!(!playback.take(batch, Limit::NONE, &mut seen));
                    }
                    writer.put(&playback.keyframe(), &playback.screen.snapshot(0), false).unwrap();
                }
            }
        }
        let run = |playback: &mut Playback, reader: &mut Reader, limit: Limit| {
            while let Some(batch) = reader.read(playback.place, journal.end(), 0).unwrap() {
                if playback.take(batch, limit, &mut Vec::new()) {
                    break;
                }
            }
        };
        let mut whole = Playback::begin(&reader.head(1).unwrap(), 0);
        run(&mut whole, &mut reader, Limit::NONE);
        let limit = Limit { offset: cut.min(journal.head()), ..Limit::NONE };
        let mut part = Playback::begin(&reader.head(1).unwrap(), 0);
        run(&mut part, &mut reader, limit);
        prop_assert_eq!(part.screen.offset(), limit.offset);
        for entry in keyframes::entries(dir.path(), TAG, 1) {
            let bytes = keyframes::load(dir.path(), &entry).unwrap();
            let mut restored = Playback::restore(&entry.keyframe, &bytes, 0);
            // Another keyframe, made by one that was restored, is as good.
            let again = restored.keyframe();
            prop_assert_eq!(again, entry.keyframe);
            run(&mut restored, &mut reader, Limit::NONE);
            prop_assert_eq!(restored.screen.boundary(), whole.screen.boundary());
            prop_assert_eq!(restored.screen.size(), whole.screen.size());
            let (left, right) = (restored.screen.snapshot(0), whole.screen.snapshot(0));
            prop_assert!(left == right, "from {:?}\n{}\n{}", entry.keyframe, left.escape_ascii(), right.escape_ascii());
            if super::draw::fits(&entry.keyframe, limit) {
                let mut restored = Playback::restore(&entry.keyframe, &bytes, 0);
                run(&mut restored, &mut reader, limit);
                prop_assert_eq!(restored.screen.snapshot(0), part.screen.snapshot(0));
            }
        }
    }
}
