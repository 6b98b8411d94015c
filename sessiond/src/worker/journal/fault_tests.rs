//! A scripted history on a disk that fails: the n-th thing that is asked of it, for every n, in every way.
//!
//! Whatever fails, once the disk is back the journal reads as one unbroken history: what could be written is exact, the rest is
//! marked, byte for byte; and lease, size and input positions are what they were in memory, also for a successor.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::panic)]

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use baton_proto::frame::{Frame, HEADER_BYTES, Kind, read_body};
use baton_proto::v1::{
    Class, ClientKind, Dimensions, ExitRecord, GapRecord, InputRecord, LeaseOwner, LeaseRecord, MarkKind, MarkRecord,
    ResizeRecord,
};
use baton_proto::{ClientId, Epoch};
use nix::libc::{EIO, EMFILE, ENOSPC, EROFS};

use super::disk::Disk;
use super::faults::{Faults, How, Op, Plan};
use super::reserve::RESERVE;
use super::{Journal, Predecessor};
use crate::worker::journal_tests::{INSTANCE, nothing, pattern};
use crate::worker::segment::SEGMENT_BYTES;

const BYTES_MAX: u64 = 2 * SEGMENT_BYTES as u64;

#[derive(Debug, Clone, Copy)]
enum Step {
    Output(usize),
    Lease,
    Resize,
    Input,
    Mark,
    Reserve,
    Trim,
    Mend,
    /// Output up to this little before the segment is full; nothing of it fails.
    Fill,
    Exit,
}

/// Each kind of record alone, before and behind each other, and as what does not fit into a segment any more; segments that
/// are new and segments that are used again.
fn script() -> Vec<Step> {
    use Step::{Exit, Fill, Input, Lease, Mark, Mend, Output, Reserve, Resize, Trim};
    let some = [Output(700), Lease, Output(1), Resize, Input, Output(5000), Mark, Output(64 << 10), Mend, Input];
    let mut steps = vec![Output(3), Reserve];
    steps.extend(some);
    for last in [Output(64 << 10), Output(40_000), Output(64 << 10)] {
        steps.extend([Fill, last, Lease, Output(64 << 10), Input, Resize, Output(100), Mend]);
    }
    steps.extend([Trim, Fill, Output(64 << 10), Output(64 << 10), Mend, Lease]);
    steps.extend(some);
    steps.push(Exit);
    steps
}

/// The history as it was.
struct Told {
    head: u64,
    /// What could not be written, joined.
    lost: Vec<Range<u64>>,
    epoch: u64,
    size: Dimensions,
    seq: u64,
    /// The output of the step at which it was killed.
    in_flight: u64,
    step: Option<Step>,
}

fn client() -> ClientId {
    "agent:one".parse().unwrap()
}

fn exit() -> ExitRecord {
    ExitRecord { code: Some(7), signal: None, reason: "exit".into(), closed: false }
}

fn lease(epoch: u64) -> LeaseRecord {
    let owner = LeaseOwner { client: client(), name: "x".into(), kind: ClientKind::Cli, class: Class::Person };
    LeaseRecord { epoch: Epoch(epoch), owner: Some(owner), expired: false, expires_in_ms: None }
}

fn begin(dir: &Path, faults: &Arc<Faults>) -> Journal {
    let mut journal = Journal::create(dir, INSTANCE, BYTES_MAX, nothing()).unwrap();
    journal.disk = Disk { faults: Some(Arc::clone(faults)) };
    journal
}

fn put(journal: &mut Journal, told: &mut Told, len: usize) -> bool {
    let mut record = vec![0; HEADER_BYTES];
    record.extend_from_slice(&pattern(told.head, len));
    let written = journal.append_record(Kind::Output, &mut record).is_ok();
    let end = told.head + len as u64;
    if !written {
        match told.lost.last_mut().filter(|last| last.end == told.head) {
            Some(last) => last.end = end,
            None => told.lost.push(told.head..end),
        }
    }
    told.head = end;
    written
}

/// Plays the script. With `kill`, up to the step that was not survived.
fn play(journal: &mut Journal, faults: &Faults, kill: bool) -> Told {
    let size = nothing().size;
    let mut told = Told { head: 0, lost: Vec::new(), epoch: 0, size, seq: 0, in_flight: 0, step: None };
    for step in script() {
        match step {
            Step::Output(len) => {
                let at = told.head;
                put(journal, &mut told, len);
                if kill && faults.has_failed() {
                    told.head = at;
                    told.lost.clear();
                    told.in_flight = len as u64;
                }
            }
            Step::Lease => {
                told.epoch += 1;
                let _ = journal.append_lease(&lease(told.epoch));
            }
            Step::Resize => {
                told.size.cols += 1;
                let _ = journal.append_resize(ResizeRecord { cols: told.size.cols, rows: told.size.rows });
            }
            Step::Input => {
                told.seq += 1;
                let (epoch, seq) = (Epoch(told.epoch), told.seq);
                let record =
                    InputRecord { client: client(), stream: 5, epoch, seq, len: 3, bytes: Some(b"abc".into()) };
                let _ = journal.append_input(&record);
            }
            Step::Mark => {
                let mark = MarkRecord { offset: told.head, kind: MarkKind::Title, text: "t".into() };
                let _ = journal.append(Kind::Mark, &mark);
            }
            Step::Reserve => drop(journal.keep_reserve()),
            Step::Trim => drop(journal.trim(u64::from(SEGMENT_BYTES))),
            Step::Mend => drop(journal.mend()),
            Step::Fill => {
                faults.be_quiet(true);
                let number = journal.end().number;
                while journal.end().number == number && journal.end().at + 70_000 < SEGMENT_BYTES {
                    if !put(journal, &mut told, 64 << 10) {
                        break;
                    }
                }
                faults.be_quiet(false);
            }
            Step::Exit => drop(journal.append_exit(&exit())),
        }
        assert_eq!(journal.head(), if kill && told.in_flight > 0 { told.head + told.in_flight } else { told.head });
        if kill && faults.has_failed() {
            told.step = Some(step);
            break;
        }
    }
    told
}

/// Everything that is kept follows without a break, exactly; the gaps in it.
fn read_all(journal: &mut Journal, what: &str) -> Vec<Range<u64>> {
    let (mut place, mut buffer, mut at) = (journal.place_of(journal.oldest()).unwrap(), Vec::new(), journal.oldest());
    let mut gaps: Vec<Range<u64>> = Vec::new();
    while let Some(next) = journal.read(place, 300_000, &mut buffer).unwrap() {
        let mut rest = buffer.as_slice();
        while let Some(frame) = Frame::parse(rest).unwrap() {
            assert_eq!(frame.header.at, at, "{what}: a record goes on where the one before it ended");
            match frame.header.known_kind().unwrap() {
                Kind::Output => {
                    assert!(frame.payload == pattern(at, frame.payload.len()), "{what}: not what was printed at {at}");
                    at += frame.payload.len() as u64;
                }
                Kind::Gap => {
                    let gap: GapRecord = read_body(Kind::Gap, frame.payload).unwrap();
                    match gaps.last_mut().filter(|last| last.end == at) {
                        Some(last) => last.end += gap.lost,
                        None => gaps.push(at..at + gap.lost),
                    }
                    at += gap.lost;
                }
                _ => {}
            }
            rest = &rest[frame.total_bytes()..];
        }
        place = next;
    }
    assert_eq!(at, journal.head(), "{what}: all of the output is there, or marked as missing");
    gaps
}

fn check(journal: &mut Journal, told: &Told, what: &str) {
    assert_eq!(journal.head(), told.head, "{what}");
    let oldest = journal.oldest();
    let lost: Vec<_> = told.lost.iter().filter(|lost| lost.end > oldest).cloned().collect();
    assert_eq!(read_all(journal, what), lost, "{what}: the gap is as long as what is missing");
    let state = journal.state();
    assert_eq!(state.lease, lease(told.epoch), "{what}");
    assert_eq!(state.size, told.size, "{what}");
    assert_eq!(state.typed(&client(), 5), told.seq, "{what}");
}

fn recover(dir: &Path, told: &Told, faults: Option<Arc<Faults>>) -> Journal {
    let before = Predecessor { appended: told.head, read: told.in_flight, epoch: Some(Epoch(told.epoch)) };
    let mut journal = Journal::empty(dir, INSTANCE, BYTES_MAX, nothing());
    journal.disk = Disk { faults };
    journal.recovered(before).unwrap()
}

fn faults(nth: u64, how: How, torn: usize) -> Arc<Faults> {
    Arc::new(Faults::new(Plan { nth, how, torn }))
}

/// What the script asks of a disk on which nothing fails.
fn asked() -> Vec<(Op, usize)> {
    let dir = tempfile::tempdir().unwrap();
    let faults = faults(0, How::Kill, 0);
    let mut journal = begin(dir.path(), &faults);
    let told = play(&mut journal, &faults, false);
    check(&mut journal, &told, "nothing fails");
    assert!(told.lost.is_empty() && !dir.path().join(RESERVE).exists());
    faults.asked()
}

/// How the n-th thing can fail. Descriptors are needed to open files only, and room not for what takes none. A disk that is broken
/// and one that is read-only are the same to the journal: they take turns.
fn hows(nth: u64, op: Op) -> Vec<How> {
    let other = if nth.is_multiple_of(2) { EIO } else { EROFS };
    let mut hows = vec![How::FromThenOn(ENOSPC), How::Once(other), How::FromThenOn(other)];
    if matches!(op, Op::Create | Op::Write | Op::Allocate) {
        hows.push(How::Once(ENOSPC));
    }
    if matches!(op, Op::Create | Op::Open) {
        hows.extend([How::Once(EMFILE), How::FromThenOn(EMFILE)]);
    }
    hows
}

#[test]
fn whatever_fails_what_could_be_written_is_exact_and_the_rest_is_one_gap() {
    let asked = asked();
    let all = asked.len();
    assert!(all > 60, "{all}");
    for nth in 1..=all as u64 {
        for how in hows(nth, asked[nth as usize - 1].0) {
            let (How::Once(errno) | How::FromThenOn(errno)) = how else { unreachable!() };
            let what = format!("{nth} of {all}, {how:?}");
            let dir = tempfile::tempdir().unwrap();
            let faults = faults(nth, how, (nth as usize * 7919) % 70_000);
            let mut journal = begin(dir.path(), &faults);
            let told = play(&mut journal, &faults, false);
            // The state in memory is right however the disk is.
            assert_eq!(journal.state().lease, lease(told.epoch), "{what}");
            if how == How::FromThenOn(errno) {
                // A successor of a worker that was killed now: what is missing is marked, and nobody has an epoch too many.
                let copy = copy_of(dir.path());
                let mut successor = recover(copy.path(), &told, None);
                assert_eq!(successor.head(), told.head, "{what}");
                read_all(&mut successor, &what);
                let found = successor.state().lease.clone();
                assert!(
                    found == lease(told.epoch) || found.epoch > Epoch(told.epoch) && found.owner.is_none(),
                    "{what}"
                );
                if errno == ENOSPC && nth > 6 {
                    assert_eq!(found, lease(told.epoch), "{what}: that is what the reserve is for");
                    assert_eq!(successor.state().typed(&client(), 5), told.seq, "{what}");
                    assert_eq!(successor.exit(), Some(&exit()), "{what}");
                }
            }
            faults.heal();
            journal.mend().unwrap();
            assert!(journal.failing().is_none() && !journal.owes_exit(), "{what}");
            check(&mut journal, &told, &what);
            drop(journal);
            let mut journal = recover(dir.path(), &told, None);
            check(&mut journal, &told, &what);
            assert_eq!(journal.exit(), Some(&exit()), "{what}");
            drop(journal);
            let mut journal = Journal::open(dir.path(), INSTANCE, BYTES_MAX, nothing()).unwrap();
            check(&mut journal, &told, &what);
        }
    }
}

#[test]
fn killed_at_any_byte_of_any_write_nothing_is_missing() {
    let asked = asked();
    let all = asked.len();
    for nth in 1..=all as u64 {
        // What is no write is done or not.
        let (_, written) = asked[nth as usize - 1];
        let places = [0, 1, 47, 48, 49, 100, 4096, 16_383, 40_000, usize::MAX].into_iter();
        for torn in places.filter(|torn| *torn == 0 || written > 0 && (*torn < written || *torn == usize::MAX)) {
            let what = format!("{nth} of {all}, killed after {torn} bytes");
            let dir = tempfile::tempdir().unwrap();
            let faults = faults(nth, How::Kill, torn);
            let mut journal = begin(dir.path(), &faults);
            let mut told = play(&mut journal, &faults, true);
            drop(journal);
            let mut journal = recover(dir.path(), &told, None);
            let found = journal.head();
            assert!(found == told.head || found == told.head + told.in_flight, "{what}");
            // What the window has, as a successor does.
            let all = told.head + std::mem::take(&mut told.in_flight);
            told.head = found;
            if found < all {
                assert!(put(&mut journal, &mut told, (all - found) as usize), "{what}");
            }
            let state = journal.state().clone();
            match told.step.unwrap() {
                // Its record may be written, or not; nobody but the one who has it may take it for his.
                Step::Lease => {
                    let written = state.lease == lease(told.epoch);
                    assert!(written || state.lease.epoch > Epoch(told.epoch) && state.lease.owner.is_none(), "{what}");
                }
                Step::Resize => told.size = state.size,
                Step::Input => told.seq = state.typed(&client(), 5),
                _ => {}
            }
            assert_eq!(read_all(&mut journal, &what), [], "{what}: nothing is missing");
            journal.append_lease(&lease(state.lease.epoch.0 + 1)).unwrap();
            told.epoch = state.lease.epoch.0 + 1;
            put(&mut journal, &mut told, 9000);
            check(&mut journal, &told, &what);
            drop(journal);
            let mut journal = recover(dir.path(), &told, None);
            check(&mut journal, &told, &what);
        }
    }
}

#[test]
fn a_successor_on_a_disk_that_fails_goes_on_and_marks_it_later() {
    for errno in [ENOSPC, EIO, EMFILE, EROFS] {
        for nth in 1..12 {
            let what = format!("{errno}, {nth}");
            let dir = tempfile::tempdir().unwrap();
            // The predecessor: killed while its disk was full, in the middle of a record.
            let before = faults(70, How::FromThenOn(errno), 30);
            let mut journal = begin(dir.path(), &before);
            let mut told = play(&mut journal, &before, false);
            drop(journal);
            std::fs::remove_file(dir.path().join(super::END)).ok();
            let faults = faults(nth, How::FromThenOn(errno), 10);
            let mut journal = recover(dir.path(), &told, Some(Arc::clone(&faults)));
            assert_eq!(journal.head(), told.head, "{what}");
            put(&mut journal, &mut told, 5000);
            told.epoch = journal.state().lease.epoch.0 + 1;
            let _ = journal.append_lease(&lease(told.epoch));
            faults.heal();
            journal.mend().unwrap();
            put(&mut journal, &mut told, 6000);
            assert_eq!(journal.head(), told.head);
            read_all(&mut journal, &what);
            assert_eq!(journal.state().lease, lease(told.epoch), "{what}");
            drop(journal);
            let mut journal = recover(dir.path(), &told, None);
            assert_eq!(journal.head(), told.head);
            read_all(&mut journal, &what);
            assert_eq!(journal.state().lease, lease(told.epoch), "{what}");
        }
    }
}

// Without a record of it, the epoch after a gap would be the old one again for whoever comes after the successor.
#[test]
fn an_epoch_that_was_raised_stays_raised() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), INSTANCE, BYTES_MAX, nothing()).unwrap();
    journal.append_lease(&lease(3)).unwrap();
    drop(journal);
    let before = |epoch| Predecessor { appended: 0, read: 0, epoch };
    let journal = Journal::recover(dir.path(), INSTANCE, BYTES_MAX, nothing(), before(Some(Epoch(5)))).unwrap();
    assert_eq!((journal.state().lease.epoch, &journal.state().lease.owner), (Epoch(6), &None));
    drop(journal);
    let journal = Journal::recover(dir.path(), INSTANCE, BYTES_MAX, nothing(), before(None)).unwrap();
    assert_eq!(journal.state().lease.epoch, Epoch(6));
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}
