//! The end of the log, kept beside the database too: who can write the database and has no key can take rows out of it, all of them,
//! or put an older copy in its place. What was signed as the end once is then missing, and a file says so.
//!
//! The file holds the newest row's number, time and hash, signed. It is written behind the database, a second later at most, and
//! never before the database is on disk: it may be behind the log, and is never ahead of it. The running bridge knows the newest row
//! itself. A head that is signed as one *beside a file* is one of a log that has such a file; any other is of a Baton of before.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use tokio::sync::Notify;

use super::chain::{GENESIS, Hash, Keys, Why, hex};

/// What the file begins with.
const FORMAT: &str = "baton-audit-head-1";

/// A row that is known to have been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its number; 0 = there was none yet.
    pub seq: u64,
    /// When it was made, microseconds since 1970.
    pub at_us: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Known {
    /// A log without rows.
    pub const NONE: Self = Self { seq: 0, at_us: 0, hash: GENESIS };
}

/// What the file was at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// There are no files here: what is in memory is all that is known.
    Without,
    /// There is none.
    Missing,
    /// It is none of this installation, or was changed.
    Foreign,
    /// It is there, up to this number.
    Upto(u64),
}

#[derive(Debug)]
struct State {
    file: File,
    known: Option<Known>,
    /// Where a log without a file begins to have one.
    adopted: Option<Known>,
    broken: bool,
}

/// How a new head is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// As one beside a file.
    Beside,
    /// As one without a file.
    Alone,
    /// Not: what is missing or changed before it would no longer show.
    Not,
}

/// What is known of the log beside the database.
#[derive(Debug)]
pub struct Anchor {
    place: Option<Place>,
    state: Mutex<State>,
    due: Notify,
}

#[derive(Debug)]
struct Place {
    file: PathBuf,
    /// The database's log of changes: what is committed is there, or in the database already.
    changes: PathBuf,
}

fn signed(keys: &Keys, known: &Known) -> String {
    let Known { seq, at_us, hash } = known;
    format!("{FORMAT} {seq} {at_us} {} {}\n", hex(hash), hex(&keys.of_known(*seq, *at_us, hash)))
}

fn parsed(keys: &Keys, text: &str) -> Option<Known> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let seq = words.next()?.parse().ok()?;
    let at_us = words.next()?.parse().ok()?;
    let digits = words.next()?.as_bytes();
    let mut hash = GENESIS;
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let known = Known { seq, at_us, hash };
    // The whole text: what is signed has one form.
    keys.is_text(text, &signed(keys, &known)).then_some(known)
}

impl Anchor {
    /// One that knows what it is told, and has no file.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { place: None, state: Mutex::new(State::with(File::Without, None)), due: Notify::new() }
    }

    /// With this file, beside this database.
    #[must_use]
    pub fn open(file: PathBuf, database: &Path, keys: &Keys) -> Self {
        let (found, known) = match fs::read_to_string(&file) {
            Ok(text) => match parsed(keys, &text) {
                Some(known) => (File::Upto(known.seq), Some(known)),
                None => (File::Foreign, None),
            },
            Err(err) if err.kind() == io::ErrorKind::NotFound => (File::Missing, None),
            Err(err) => {
                tracing::error!("the head of the audit log, `{}`, can't be read: {err}", file.display());
                (File::Foreign, None)
            }
        };
        let mut changes = database.as_os_str().to_owned();
        changes.push("-wal");
        let place = Some(Place { file, changes: changes.into() });
        Self { place, state: Mutex::new(State::with(found, known)), due: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest row that is known to have been there.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        self.state().known
    }

    /// What is wrong with the file beside a log whose head is this: `beside` if it was signed as one with a file.
    #[must_use]
    pub fn lacks(&self, is_empty: bool, beside: bool) -> Option<Why> {
        match self.state().file {
            File::Foreign => Some(Why::HeadFileMismatch),
            File::Missing if beside && !is_empty => Some(Why::HeadFileMissing),
            _ => None,
        }
    }

    /// How a head may be signed that follows `head` in a log that holds what is known, or not.
    pub(crate) fn signing(&self, keys: &Keys, head: Known, beside: bool, holds: bool) -> Signing {
        let is_empty = head == Known::NONE;
        if !holds || self.lacks(is_empty, beside).is_some() {
            self.state().broken = true;
        }
        let (file, broken, adopted) = {
            let mut state = self.state();
            // Before anything of this process is in the log.
            let adopted = *state.adopted.get_or_insert(head);
            (state.file, state.broken, adopted)
        };
        match file {
            _ if broken => Signing::Not,
            File::Upto(_) => Signing::Beside,
            File::Missing => match self.write(keys, adopted) {
                Ok(()) => Signing::Beside,
                Err(err) => {
                    tracing::warn!("the head of the audit log can't be written beside the database: {err}");
                    Signing::Alone
                }
            },
            File::Without | File::Foreign => Signing::Alone,
        }
    }

    /// The head that is there is not ours: nothing that follows it is known to be the log.
    pub(crate) fn breaks(&self) -> Signing {
        self.state().broken = true;
        Signing::Not
    }

    /// These rows are committed, up to this one, and follow what was known.
    pub(crate) fn committed(&self, known: Known) {
        let mut state = self.state();
        if !state.broken && state.known.is_none_or(|before| before.seq <= known.seq) {
            state.known = Some(known);
            drop(state);
            self.due.notify_one();
        }
    }

    /// Resolves when the file is behind.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Writes what is known. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// What the kernel said; it is tried again with what is committed next.
    pub fn keep(&self, keys: &Keys) -> io::Result<()> {
        let known = {
            let state = self.state();
            let File::Upto(written) = state.file else { return Ok(()) };
            // Of a log that was found to be broken: what was known before.
            match state.known.filter(|known| known.seq > written) {
                Some(known) => known,
                None => return Ok(()),
            }
        };
        self.write(keys, known).inspect_err(|_| self.due.notify_one())
    }

    fn write(&self, keys: &Keys, known: Known) -> io::Result<()> {
        let Some(Place { file, changes }) = &self.place else { return Ok(()) };
        match fs::File::open(changes).and_then(|changes| changes.sync_data()) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        let temporary = file.with_extension(format!("head.{}.tmp", std::process::id()));
        let whole = || {
            let mut out =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            out.write_all(signed(keys, &known).as_bytes())?;
            out.sync_data()?;
            fs::rename(&temporary, file)?;
            file.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
        };
        whole().inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        self.state().file = File::Upto(known.seq);
        Ok(())
    }
}

impl State {
    const fn with(file: File, known: Option<Known>) -> Self {
        Self { file, known, adopted: None, broken: false }
    }
}
