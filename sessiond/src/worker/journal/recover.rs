//! A journal that somebody else wrote: taken over, to be written on, or opened, to be read.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use baton_proto::frame::{Kind, read_body};
use baton_proto::v1::{CarriedState, ExitRecord};
use baton_proto::{Epoch, InstanceId};

use super::{END, Journal, Scanned, Segment};
use crate::worker::clock::Clock;
use crate::worker::screen::keyframes;
use crate::worker::segment::{self, Known, OFFSET_MAX, Scan};

/// Segments that are looked at: whoever has put a file of another number there does not make us count up to it.
const NUMBERS_MAX: u32 = 1 << 16;
/// How far epochs jump when the newest change of the lease may be lost: nobody who had one before is taken for the owner.
const EPOCHS_SKIPPED: u64 = 1 << 32;

/// The newest segment that could not be read, kept for whoever wants to look at it.
const UNREADABLE: &str = "unreadable";

/// What the worker before had in its read window.
#[derive(Debug, Clone, Copy)]
pub struct Predecessor {
    /// Output up to here was appended, or marked as lost.
    pub appended: u64,
    /// Bytes it had read beyond, which may have been appended too.
    pub read: u64,
    /// The epoch of its lease, if it has told.
    pub epoch: Option<Epoch>,
}

impl Journal {
    /// Goes on with the journal of a worker that was killed. A record it was writing is cut off; what is damaged before is
    /// passed over, and what is missing up to where it was is marked as a gap.
    ///
    /// # Errors
    /// What the file system says. A journal without any readable segment begins anew at `fallback`.
    pub fn recover(
        dir: &Path,
        instance: InstanceId,
        bytes_max: u64,
        fallback: CarriedState,
        before: Predecessor,
    ) -> io::Result<Self> {
        let journal = Self::empty(dir, instance, bytes_max, fallback);
        journal.recovered(before)
    }

    pub(super) fn recovered(self, before: Predecessor) -> io::Result<Self> {
        let mut journal = self;
        let most = before.appended.saturating_add(before.read);
        // Lenient: what the window says may be one record old.
        let unsure = journal.find(Known { enough: before.appended, most, lenient: true, ..Known::NOTHING })?;
        journal.put_aside_behind();
        let lost = before.appended.saturating_sub(journal.head);
        // Before a segment may begin: its head carries the lease.
        journal.settle_lease(unsure || lost > 0, before.epoch);
        // Whatever fails from here on is a disk that can't be written now; the session goes on without.
        if let Err(err) = journal.cut_off_torn() {
            tracing::error!(error = %err, "the journal cannot be written on yet");
            journal.must_roll = true;
            journal.fails(&err);
        }
        if lost > 0 {
            tracing::error!(lost, "the journal's newest records are missing: a gap is marked");
            journal.head = before.appended;
            journal.lost = lost;
            journal.missing = lost;
        }
        // Written down at once: the one after this must not begin where this one began.
        if journal.failing.is_none()
            && let Err(err) = journal.pay()
        {
            tracing::error!(error = %err, "the gap cannot be marked yet");
            journal.fails(&err);
        }
        Ok(journal)
    }

    /// Segments that are newer than the one that is gone on with could not be read. Once that one has grown there is more to
    /// be searched for, and what is left in them would be taken for it: they get another name. One such file is kept at most.
    fn put_aside_behind(&self) {
        let newest = self.segments.back().map_or(0, |segment| segment.head.number);
        for number in list(&self.dir).unwrap_or_default().into_iter().filter(|number| *number > newest) {
            if let Err(err) = fs::rename(segment::path(&self.dir, number), self.dir.join(UNREADABLE)) {
                tracing::warn!(number, error = %err, "a segment that cannot be read is in the way");
            }
        }
    }

    /// Nothing of what the torn record has left can be taken for a record later. A segment in which something had to be searched
    /// for is not written on: what was found there depends on how much was known to be written, and the next to look knows
    /// more. Where the segment behind it begins, everybody looks up to there.
    fn cut_off_torn(&mut self) -> io::Result<()> {
        let Some(Segment { head, scanned: Some(scanned), file }) = self.segments.back_mut() else {
            return self.roll();
        };
        let writable = self.disk.open(&segment::path(&self.dir, head.number), false)?;
        self.disk.truncate(&writable, u64::from(scanned.end))?;
        *file = Some(writable);
        if self.must_roll { self.roll() } else { Ok(()) }
    }

    /// Who had control in the end: as the records have it, unless the newest change of it is not among them.
    fn settle_lease(&mut self, unsure: bool, told: Option<Epoch>) {
        let lease = &mut self.state.lease;
        match told {
            Some(told) if told == lease.epoch => return,
            Some(told) if told > lease.epoch => lease.epoch = Epoch(told.0.saturating_add(1)),
            _ if unsure => lease.epoch.0 = lease.epoch.0.saturating_add(EPOCHS_SKIPPED),
            _ => return,
        }
        lease.owner = None;
        self.owe(Kind::Lease);
    }

    /// Opens the journal of a session that has ended. Nothing is written, and no file is touched but to be read.
    ///
    /// # Errors
    /// What the file system says. That nothing of it can be read is no error: then it is empty.
    pub fn open(dir: &Path, instance: InstanceId, bytes_max: u64, fallback: CarriedState) -> io::Result<Self> {
        let mut journal = Self::empty(dir, instance, bytes_max, fallback);
        journal.read_only = true;
        let noted = noted_end(dir, instance);
        let known = noted.as_ref().map_or(Known::NOTHING, |(end, _)| Known::ends_at(*end));
        journal.find(known)?;
        // Without a note of the end: where a screen was drawn, there was output up to there.
        let drawn = || keyframes::newest(dir, instance.tag()).unwrap_or(0).min(OFFSET_MAX);
        let end = noted.as_ref().map_or_else(drawn, |(end, _)| *end);
        if end > journal.head {
            tracing::warn!(lost = end - journal.head, "the journal ends before its output did");
            journal.head = end;
        }
        journal.exit = journal.exit.take().or(noted.map(|(_, exit)| exit));
        Ok(journal)
    }

    /// Finds the segments, and scans the newest, of which this is `known`. True if a change of the lease may be lost.
    fn find(&mut self, known: Known) -> io::Result<bool> {
        let mut numbers = list(&self.dir)?;
        let newest = numbers.last().copied().unwrap_or(0);
        numbers.retain(|number| newest - number < NUMBERS_MAX);
        let mut behind: Option<u64> = None;
        let mut guessed = None;
        while let Some(number) = numbers.pop() {
            let file = match segment::open_read(&self.dir, number) {
                Ok(file) => file,
                // The file is as good as before; whoever took it for lost would write over it.
                Err(err) if is_for_now(&err) => return Err(err),
                Err(_) => continue,
            };
            let ends_at = behind.map_or(known, Known::ends_at);
            let head = match segment::read_head(&file, self.instance, number) {
                Ok(head) => head,
                Err(err) if !means_damage(&err) => return Err(err),
                Err(err) => {
                    // Its records may be whole all the same.
                    let (tag, size) = (self.instance.tag(), self.state.size);
                    let Some(head) = segment::head_from_records(&file, tag, number, size, ends_at)? else {
                        tracing::warn!(number, error = %err, "a segment cannot be read, or was never begun");
                        continue;
                    };
                    if behind.is_none() {
                        guessed = Some(number);
                    }
                    head
                }
            };
            if behind.is_some_and(|behind| head.base > behind) {
                tracing::warn!(number, "a segment begins behind the one after it and is left out");
                continue;
            }
            behind = Some(head.base);
            self.segments.push_front(Segment { head, scanned: None, file: None });
        }
        self.take_newest(known, guessed.is_some())
    }

    fn take_newest(&mut self, known: Known, guessed: bool) -> io::Result<bool> {
        let tag = self.instance.tag();
        if guessed && let Some(before) = self.segments.len().checked_sub(2).and_then(|at| self.segments.get(at)) {
            // What its head had carried is what the segment before it ends with.
            let file = segment::open_read(&self.dir, before.head.number)?;
            let state = segment::scan(&file, tag, &before.head, Known::NOTHING)?.state;
            if let Some(newest) = self.segments.back_mut() {
                newest.head.state = state;
            }
        }
        let Some(newest) = self.segments.back_mut() else { return Ok(true) };
        let file = segment::open_read(&self.dir, newest.head.number)?;
        let scan = segment::scan(&file, tag, &newest.head, known)?;
        let Scan { end, head, state, lease_unsure, index, holes, exit, last_wall_us, marked, .. } = scan;
        if !holes.is_empty() {
            tracing::warn!(number = newest.head.number, holes = holes.len(), "a segment is damaged");
        }
        self.must_roll = guessed || !holes.is_empty();
        newest.scanned = Some(Scanned { end, index, holes });
        newest.file = Some(file);
        self.head = head;
        self.clock = Clock::after(last_wall_us.max(newest.head.wall_us));
        self.state = state;
        self.exit = exit;
        self.marked = marked;
        Ok(lease_unsure || guessed)
    }
}

/// Whether this is about the bytes of a file, and not about reading it.
fn means_damage(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || err.raw_os_error() == Some(nix::libc::EIO)
}

/// Whether the file may well be opened a moment later.
fn is_for_now(err: &io::Error) -> bool {
    use nix::libc::{EINTR, EMFILE, ENFILE, ENOMEM};
    matches!(err.raw_os_error(), Some(EMFILE | ENFILE | ENOMEM | EINTR))
}

/// The numbers of the segments in a directory, in order; none when there is no directory.
fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
        if let Some(number) = entry?.file_name().to_str().and_then(segment::number_of) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The end as it was noted beside the segments: output bytes before it, and how.
fn noted_end(dir: &Path, instance: InstanceId) -> Option<(u64, ExitRecord)> {
    let file = segment::open_regular(&dir.join(END)).ok()?;
    let mut bytes = Vec::new();
    file.take(u64::from(Kind::Exit.payload_bytes_max()) + 64).read_to_end(&mut bytes).ok()?;
    let frame = baton_proto::frame::Frame::parse(&bytes).ok()??;
    let ours = frame.header.tag == instance.tag() && frame.header.known_kind() == Some(Kind::Exit);
    let sound = ours && frame.header.at <= OFFSET_MAX && frame.header.is_intact(frame.payload);
    sound.then(|| read_body(Kind::Exit, frame.payload).ok()).flatten().map(|exit| (frame.header.at, exit))
}

/// How an instance ended, read without touching anything: `None` while no end is recorded.
///
/// # Errors
/// What the file system says.
pub fn last_exit(dir: &Path, instance: InstanceId) -> io::Result<Option<ExitRecord>> {
    if let Some((_, exit)) = noted_end(dir, instance) {
        return Ok(Some(exit));
    }
    for number in list(dir)?.into_iter().rev() {
        let Ok(file) = segment::open_read(dir, number) else { continue };
        if let Ok(head) = segment::read_head(&file, instance, number) {
            // Only what follows without a hole counts: a session is not taken for ended by what may be left of anything.
            return Ok(segment::scan(&file, instance.tag(), &head, Known::UNBROKEN)?.exit);
        }
    }
    Ok(None)
}
