//! A disk that fails, for tests: the n-th thing that is asked of it, once or from then on, or everything after a kill.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io;
use std::sync::Mutex;

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A file is made.
    Create,
    /// A file is opened that is there.
    Open,
    /// Bytes are written.
    Write,
    /// A file is cut off.
    Truncate,
    /// Space is set aside.
    Allocate,
    /// A file gets another name.
    Rename,
    /// A file is removed.
    Remove,
    /// What was written is to be on disk.
    Sync,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With this error, this once.
    Once(i32),
    /// With this error from then on, until [`Faults::heal`].
    FromThenOn(i32),
    /// The process is killed: nothing is done any more.
    Kill,
}

/// A plan of what fails.
#[derive(Debug)]
pub struct Plan {
    /// The number of what fails, from 1; 0: nothing does.
    pub nth: u64,
    /// How.
    pub how: How,
    /// So many bytes of a write that fails are written all the same.
    pub torn: usize,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    asked: u64,
    /// What was asked, and for a write of how many bytes.
    log: Vec<(Op, usize)>,
    quiet: bool,
    failing: bool,
    /// Bytes there is room for on a full disk: what was given back.
    room: u64,
}

/// The faults of a disk.
#[derive(Debug)]
pub struct Faults(Mutex<State>);

const KILLED: i32 = nix::libc::ECANCELED;

impl Faults {
    /// A disk that fails so.
    pub fn new(plan: Plan) -> Self {
        Self(Mutex::new(State { plan, asked: 0, log: Vec::new(), quiet: false, failing: false, room: 0 }))
    }

    /// From now on everything succeeds.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        state.plan.nth = 0;
        state.failing = false;
    }

    /// While this is so, nothing is counted and nothing begins to fail.
    pub fn be_quiet(&self, quiet: bool) {
        self.0.lock().unwrap().quiet = quiet;
    }

    /// What was asked of it, and for a write of how many bytes.
    pub fn asked(&self) -> Vec<(Op, usize)> {
        self.0.lock().unwrap().log.clone()
    }

    /// Whether what was to fail has.
    pub fn has_failed(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.plan.nth > 0 && state.asked >= state.plan.nth
    }

    /// Whether it is one of those that fail now.
    pub fn ask(&self, op: Op) -> io::Result<()> {
        self.0.lock().unwrap().ask(op, 0, 0)
    }

    pub fn write(&self, file: &File, len: usize, at: u64) -> (usize, Option<io::Error>) {
        let mut state = self.0.lock().unwrap();
        // What is written over takes no room.
        let old = file.metadata().map_or(0, |meta| meta.len());
        let more = (at + len as u64).saturating_sub(old.max(at));
        match state.ask(Op::Write, len, more) {
            Ok(()) => (len, None),
            Err(err) => (state.plan.torn.min(len), Some(err)),
        }
    }

    pub fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.ask(Op::Truncate, 0, 0)?;
        state.room += file.metadata().map_or(0, |meta| meta.len().saturating_sub(len));
        Ok(())
    }

    pub fn allocate(&self, file: &File, len: u64, grow: bool) -> io::Result<()> {
        let old = file.metadata().map_or(0, |meta| meta.len());
        let mut state = self.0.lock().unwrap();
        // Kept for whoever writes there; what it is for is counted then.
        let more = if grow { len.saturating_sub(old) } else { 0 };
        state.ask(Op::Allocate, 0, more)
    }
}

impl State {
    /// `bytes` is the room it takes.
    fn ask(&mut self, op: Op, written: usize, bytes: u64) -> io::Result<()> {
        if !self.quiet {
            self.asked += 1;
            self.log.push((op, written));
        }
        let now = !self.quiet && self.asked == self.plan.nth;
        self.failing |= now;
        if !self.failing {
            return Ok(());
        }
        let errno = match self.plan.how {
            How::Kill => KILLED,
            How::Once(errno) => {
                self.failing = false;
                errno
            }
            How::FromThenOn(errno) => errno,
        };
        let hurts = match errno {
            nix::libc::ENOSPC => match op {
                Op::Create => true,
                Op::Write | Op::Allocate => bytes > self.room || (now && bytes > 0),
                _ => false,
            },
            nix::libc::EMFILE => matches!(op, Op::Create | Op::Open),
            _ => true,
        };
        if hurts {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if errno == nix::libc::ENOSPC && op == Op::Write {
            self.room -= bytes.min(self.room);
        }
        Ok(())
    }
}
