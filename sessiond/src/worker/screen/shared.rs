//! What poll loop and threads tell each other. The loop never waits for a thread; a thread may wait for the loop.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_proto::denied::Denied;
use baton_proto::v1::{Dimensions, MarkKind, ScreenFormat, ScreenHeader, ScreenState};
use baton_proto::{ErrorCode, InstanceId};
use baton_screen::Facts;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::playback::Limit;
use crate::worker::journal::Place;

/// Reports that wait for the loop; a thread with one more waits.
const REPORTS_MAX: usize = 256;

/// Who asked for a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The connection.
    pub conn: u64,
    /// Its request's id.
    pub id: u64,
}

/// A screen that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Who wants it.
    pub ticket: Ticket,
    /// How.
    pub format: ScreenFormat,
    /// Lines above the screen.
    pub history: u32,
    /// Not beyond this.
    pub limit: Limit,
    /// Not before the journal up to here is in it.
    pub end: Place,
    /// Output bytes up to there.
    pub head: u64,
}

/// A screen that was drawn.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// What it is of; the flags of the last part.
    pub header: ScreenHeader,
    /// Its bytes, the same for all who asked for the same.
    pub bytes: Arc<[u8]>,
}

/// Why a screen could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undrawn {
    /// Stable code.
    pub code: ErrorCode,
    /// What to say.
    pub message: String,
    /// The oldest offset whose screen can be drawn.
    pub oldest: Option<u64>,
}

impl Undrawn {
    /// What it would be computed from is gone.
    pub fn trimmed(oldest: u64) -> Self {
        let message = "what this screen would be drawn from is no longer kept";
        Self { code: ErrorCode::CursorTrimmed, message: message.to_owned(), oldest: Some(oldest) }
    }
}

/// What a thread tells the loop.
#[derive(Debug)]
pub enum Report {
    /// A query up to this offset wants this answer typed.
    Reply(u64, Vec<u8>),
    /// A mark, up to this offset.
    Mark(u64, MarkKind, String),
    /// What the program has switched on is something else now.
    State(Box<ScreenState>),
    /// An order is dealt with.
    Drawn(Vec<Ticket>, Result<Drawing, Undrawn>),
    /// The sandbox refused the program something.
    Denied(Vec<Denied>),
}

/// Under the lock.
#[derive(Debug)]
pub struct State {
    /// Number of the oldest segment kept.
    pub first: u32,
    /// The journal is written up to here.
    pub end: Place,
    /// Output bytes up to there.
    pub head: u64,
    /// The terminal's size there.
    pub size: Dimensions,
    /// There is a tap; it looks at this state again before it goes.
    pub tap_runs: bool,
    /// It waits for [`Shared::more`].
    pub tap_waits: bool,
    /// There is a drawer.
    pub drawer_runs: bool,
    /// Screens of the head, for the tap.
    pub heads: VecDeque<Order>,
    /// Other screens, for the drawer.
    pub past: VecDeque<Order>,
    /// Of the lease's owner.
    pub facts: Option<Facts>,
    /// The answer to every query up to here was reported, or given by a predecessor.
    pub answered: u64,
    /// Every mark up to here was reported, or journalled by a predecessor.
    pub marked: u64,
    /// Output broke the engine so often in a row that nothing is computed any more.
    pub broken: bool,
    reports: VecDeque<Report>,
    /// The worker is going.
    stop: bool,
}

/// Between the loop and its threads.
#[derive(Debug)]
pub struct Shared {
    /// Where the journal is.
    pub dir: PathBuf,
    /// Whose it is.
    pub instance: InstanceId,
    /// The name of this host.
    pub host: String,
    /// The session has ended: no file is written or removed.
    pub read_only: bool,
    state: Mutex<State>,
    more: Condvar,
    room: Condvar,
    bell: EventFd,
}

impl Shared {
    /// # Errors
    /// What the kernel says.
    pub fn new(dir: PathBuf, instance: InstanceId, answered: u64, marked: u64, read_only: bool) -> io::Result<Self> {
        let state = State {
            first: 0,
            end: Place { number: 0, at: 0 },
            head: 0,
            size: Dimensions { cols: 80, rows: 24 },
            tap_runs: false,
            tap_waits: false,
            drawer_runs: false,
            heads: VecDeque::new(),
            past: VecDeque::new(),
            facts: None,
            answered,
            marked,
            broken: false,
            reports: VecDeque::new(),
            stop: false,
        };
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (more, room) = (Condvar::new(), Condvar::new());
        Ok(Self { dir, instance, host, read_only, state: Mutex::new(state), more, room, bell })
    }

    /// The state. Nobody does anything slow, or anything that can panic, while he has it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `poll`: readable when there are reports.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// What was reported since.
    pub fn reports(&self) -> VecDeque<Report> {
        let _ = self.bell.read();
        let reports = std::mem::take(&mut self.state().reports);
        self.room.notify_all();
        reports
    }

    /// Tells the loop something by itself: it must not wait for itself.
    pub fn report_own(&self, report: Report) {
        self.state().reports.push_back(report);
        let _ = self.bell.write(1);
    }

    /// Tells the loop. Waits while it has too much to read already; false when the worker is going.
    pub fn report(&self, report: Report) -> bool {
        let mut state = self.state();
        while state.reports.len() >= REPORTS_MAX && !state.stop {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let first = state.reports.is_empty();
        match &report {
            Report::Reply(offset, _) => state.answered = state.answered.max(*offset),
            Report::Mark(offset, ..) => state.marked = state.marked.max(*offset),
            _ => {}
        }
        state.reports.push_back(report);
        let goes_on = !state.stop;
        drop(state);
        if first {
            // It fails only when the counter is full, and then the loop is woken anyway.
            let _ = self.bell.write(1);
        }
        goes_on
    }

    /// Wakes the tap if it waits.
    pub fn wake(&self, state: &State) {
        if state.tap_waits {
            self.more.notify_all();
        }
    }

    /// The tap waits until [`Self::wake`], or for so long.
    pub fn wait<'a>(&self, mut state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        state.tap_waits = true;
        let (mut state, _) = self.more.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
        state.tap_waits = false;
        state
    }

    /// The threads are to end.
    pub fn stop(&self) {
        self.state().stop = true;
        self.more.notify_all();
        self.room.notify_all();
    }
}

impl State {
    /// Whether the worker is going.
    pub const fn stops(&self) -> bool {
        self.stop
    }
}
