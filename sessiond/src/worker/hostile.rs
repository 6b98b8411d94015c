//! What holds for any journal at all: one body for the fuzzer and for random tests.
//!
//! Bytes that are given at random have no checksums that fit, so these are read as a script: records that are whole but say
//! what they like, bytes of any kind between them, and damage.

pub mod sidecar;
pub mod window;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind};
use baton_proto::v1::{CarriedState, Dimensions, LeaseRecord};
use baton_proto::{Epoch, InstanceId};
use uuid::Uuid;

use super::journal::{Journal, Place, Predecessor, reaches};
use super::screen::reader::Reader;
use super::segment::{self, HEAD_BYTES, Head, Known, OFFSET_MAX, SEGMENT_BYTES, scan_bytes};

const INSTANCE: InstanceId = InstanceId::from_uuid(Uuid::from_u128(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0));
/// Segments of one script.
const SEGMENTS_MAX: u32 = 4;
/// Bytes of one segment in a script.
const BYTES_MAX: usize = 64 << 10;

fn nothing() -> CarriedState {
    CarriedState {
        lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
        size: Dimensions { cols: 80, rows: 24 },
        resized_at: 0,
        streams: Vec::new(),
    }
}

/// The script, read from the front; zeros at its end.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    fn bytes(&mut self, len: usize) -> &[u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A segment's file, and where its output ends if it is believed.
    fn segment(&mut self, number: u32, base: u64) -> (Vec<u8>, u64) {
        let head = Head { number, base, wall_us: u64::from(number), state: nothing() };
        let mut file = segment::head_block(INSTANCE, &head).unwrap_or_default();
        let mut at = base;
        while !self.0.is_empty() && file.len() < BYTES_MAX {
            match self.byte() % 16 {
                0 => break,
                1 => {
                    let len = usize::from(self.byte());
                    file.extend_from_slice(self.bytes(len));
                }
                2 => file.resize(file.len() + 16 * usize::from(self.byte()), 0),
                3 => {
                    let place = usize::try_from(self.word()).unwrap_or(0) % file.len();
                    file[place] ^= self.byte() | 1;
                }
                4 => file.truncate(file.len() - usize::from(self.byte()).min(file.len() - 1)),
                what => {
                    let kind = u16::from(self.byte() % 10);
                    let len = usize::from(self.byte()) * if what == 5 { 16 } else { 1 };
                    let mut payload = self.bytes(len).to_vec();
                    payload.resize(len, b'.');
                    let header = Header {
                        len: u32::try_from(len).unwrap_or(0) + u32::from(what == 6),
                        kind,
                        at: if what == 7 { self.word() } else { at + u64::from(what == 8) },
                        wall_us: if what == 9 { self.word() } else { at },
                        mono_us: 0,
                        segment: number + u32::from(what == 10),
                        tag: INSTANCE.tag() ^ u64::from(what == 11),
                        crc: 0,
                    };
                    file.extend_from_slice(&header.sealed(&payload).to_bytes());
                    file.extend_from_slice(&payload);
                    if kind == Kind::Output.number() {
                        at = at.saturating_add(len as u64);
                    }
                }
            }
        }
        (file, at)
    }
}

/// Makes a journal as the bytes say, in a directory of its own below `dir`, and reads it in every way there is.
///
/// # Errors
/// What the file system says of the files that are made.
///
/// # Panics
/// If a promise of the journal does not hold, or something panics: that is what it is for.
pub fn any_journal(data: &[u8], dir: &Path) -> io::Result<()> {
    let mut script = Script(data);
    let (appended, read) = (script.word() % (OFFSET_MAX / 2), u64::from(script.byte()));
    let jump = script.byte();
    let mut base = 0;
    for number in 1..=SEGMENTS_MAX {
        let (bytes, end) = script.segment(number, base);
        base = if jump.is_multiple_of(5) { end.saturating_add(u64::from(jump)) } else { end };
        scans(&bytes, number, end);
        if jump != 7 || number != 2 {
            fs::write(segment::path(dir, number), bytes)?;
        }
        if script.0.is_empty() {
            break;
        }
    }
    let before = sizes(dir)?;
    let mut journal = Journal::open(dir, INSTANCE, 64 << 20, nothing())?;
    reads(&mut journal, dir);
    assert_eq!(sizes(dir)?, before, "reading changed a file");
    let known = Predecessor { appended, read, epoch: None };
    let mut journal = Journal::recover(dir, INSTANCE, 64 << 20, nothing(), known)?;
    assert!(journal.head() >= appended);
    reads(&mut journal, dir);
    let head = journal.head();
    let mut record = vec![0; HEADER_BYTES];
    record.extend_from_slice(b"goes on");
    let appended = journal.append_record(Kind::Output, &mut record)?;
    assert!(last_output(&mut journal, appended.begin) == Some((head, b"goes on".to_vec())));
    let known = Predecessor { appended: journal.head(), read: 0, epoch: None };
    drop(journal);
    let mut journal = Journal::recover(dir, INSTANCE, 64 << 20, nothing(), known)?;
    assert_eq!(journal.head(), head + 7, "what was appended is found again");
    reads(&mut journal, dir);
    Ok(())
}

fn sizes(dir: &Path) -> io::Result<Vec<(std::ffi::OsString, u64)>> {
    let entries =
        fs::read_dir(dir)?.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.metadata()?.len()))));
    let mut sizes: Vec<_> = entries.collect::<io::Result<_>>()?;
    sizes.sort();
    Ok(sizes)
}

fn last_output(journal: &mut Journal, place: Place) -> Option<(u64, Vec<u8>)> {
    let mut buffer = Vec::new();
    journal.read(place, 1, &mut buffer).ok()??;
    let frame = Frame::parse(&buffer).ok()??;
    Some((frame.header.at, frame.payload.to_vec()))
}

/// A scan's parts fit each other, whatever is known from elsewhere.
fn scans(bytes: &[u8], number: u32, end: u64) {
    let head = Head { number, base: 0, wall_us: 0, state: nothing() };
    for known in [Known::NOTHING, Known::ends_at(end), Known::UNBROKEN, Known::written(SEGMENT_BYTES / 2)] {
        let scan = scan_bytes(bytes, INSTANCE.tag(), &head, known);
        assert!(scan.end >= HEAD_BYTES && scan.end as usize <= bytes.len().max(HEAD_BYTES as usize));
        assert!(scan.head <= OFFSET_MAX && scan.state.size.is_valid());
        let (mut at, mut offset) = (HEAD_BYTES, 0);
        for hole in scan.holes.iter().map(|hole| (hole.from, hole.to)).chain([(scan.end, scan.end)]) {
            assert!(hole.0 >= at && hole.1 >= hole.0 && hole.1 <= scan.end, "{hole:?}");
            while at < hole.0 {
                let rest = bytes.get(at as usize..).unwrap_or_default();
                let Some((frame, _)) = segment::intact(rest, number, INSTANCE.tag(), offset) else {
                    panic!("no record at {at}, which is said to be whole")
                };
                offset = frame.header.at;
                at += u32::try_from(frame.total_bytes()).unwrap_or(u32::MAX);
            }
            assert_eq!(at, hole.0);
            at = hole.1;
        }
        assert!(scan.index.is_sorted_by_key(|entry| (entry.at, entry.offset)));
    }
}

/// Reading ends, goes on all the time, and gives whole records only; by either reader.
fn reads(journal: &mut Journal, dir: &Path) {
    let (mut buffer, mut after) = (Vec::new(), 0);
    let mut place = Place::first_of(journal.first_number());
    while let Ok(Some(next)) = journal.read(place, 1, &mut buffer) {
        assert!(next > place);
        let mut rest = buffer.as_slice();
        while let Ok(Some(frame)) = Frame::parse(rest) {
            assert!(frame.header.is_intact(frame.payload) && frame.header.at >= after);
            after = frame.header.at;
            assert!(reaches(&frame).min(OFFSET_MAX) <= journal.head(), "output behind the head");
            rest = &rest[frame.total_bytes()..];
        }
        place = next;
    }
    for offset in [0, journal.oldest(), journal.head() / 2, journal.head(), u64::MAX] {
        let found = journal.place_of(offset);
        assert!(found.is_ok_and(|found| found <= journal.end() || journal.first_number() == 0));
        assert!(journal.locate(offset).is_ok());
    }
    let (mut reader, end) = (Reader::new(dir, INSTANCE), journal.end());
    let mut place = Place::first_of(journal.first_number());
    while place < end {
        match reader.read(place, end, 1) {
            Ok(Some(batch)) => {
                assert!(batch.next > place);
                assert!(batch.records().all(|record| record.header.is_intact(record.payload)));
                place = batch.next;
            }
            Ok(None) => break,
            Err(_) => place = Place::first_of(place.number + 1),
        }
    }
}

/// [`any_journal`] in a directory that is made for it, and removed.
///
/// # Panics
/// As there; and when the directory cannot be made.
pub fn any_bytes(data: &[u8]) {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("baton-hostile-{}-{number}", std::process::id()));
    let made = fs::create_dir(&dir).and_then(|()| File::open(&dir)).and_then(|_| any_journal(data, &dir));
    let removed = fs::remove_dir_all(&dir);
    assert!(made.is_ok() && removed.is_ok(), "{made:?} {removed:?}");
}
