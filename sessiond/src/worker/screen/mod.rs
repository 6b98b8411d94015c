//! The screen: what the program shows, computed from the journal, on the side.
//!
//! ```text
//!  poll loop ──► journal (files) ──────────► reader ──► playback ──► tap ──► keyframes (files)
//!     │  ▲                                                           │
//!     │  └── answers to queries, marks, modes, screens ◄─────────────┘
//!     └───── "written up to here", "this screen, please" ──► tap (the head), drawer (the past)
//! ```
//!
//! | what fails | what it costs |
//! | --- | --- |
//! | the engine (a panic) | the screen begins anew behind the bytes that did it, flagged as approximate; the third time in a row nothing is drawn any more |
//! | the tap is too slow | it lags, bounded by the journal; what was recycled before it was read is a gap, flagged |
//! | the disk is full | what could not be written is not seen: a gap, and a query in it stays without an answer |
//! | a keyframe is damaged, or of another engine | it is passed over, and more of the journal gone through |
//! | the journal is damaged | what is whole is gone through, what is missing between is a gap, flagged |
//! | no thread can be started | screens are refused until one can; the session goes on |
//! | the worker is killed | its successor goes on from the newest keyframe; an answer that was being typed is not typed again |
//!
//! Flagged means: until the program resets the terminal, or clears the whole primary screen.
//!
//! No byte waits for it. The tap lives while there is output and two seconds longer; the drawer while a screen of the past is
//! wanted. A session at rest has neither, and nothing of them in memory.

mod draw;
pub mod keyframes;
mod marks;
mod playback;
pub mod reader;
mod serve;
mod shared;
mod tap;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use baton_proto::v1::{ScreenState, TerminalFacts};
use baton_proto::{ErrorCode, InstanceId};
use baton_screen::Facts;

pub use shared::{Drawing, Report, Shared};
use shared::{Order, Undrawn};

use super::journal::{Journal, Place};

/// Screens that are wanted and not yet drawn; one more is refused.
const ORDERS_MAX: usize = 16;

/// The loop's side of the screen.
#[derive(Debug)]
pub struct Screens {
    shared: Arc<Shared>,
    /// What was told last.
    state: ScreenState,
    /// Orders not yet dealt with.
    orders: usize,
    /// The screen may have changed since the tap was told of the journal's end.
    stirred: bool,
    published: Option<(Place, u32)>,
    /// The oldest segment, when it was looked at, and the oldest screen then.
    oldest: Option<(u32, u64)>,
    /// Told already that no thread could be started.
    unstartable: bool,
}

impl Screens {
    /// For the journal in `dir`. Queries up to `answered` and marks up to `marked` were dealt with by a predecessor. With
    /// `read_only` nothing is kept.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(dir: &Path, instance: InstanceId, answered: u64, marked: u64, read_only: bool) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared::new(dir.to_owned(), instance, answered, marked, read_only)?),
            state: ScreenState::default(),
            orders: 0,
            stirred: false,
            published: None,
            oldest: None,
            unstartable: false,
        })
    }

    /// For another thread of the worker's that has something to tell.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// For `poll`: readable when a thread has something to tell.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell()
    }

    /// What the program has switched on, as far as it is known.
    #[must_use]
    pub const fn state(&self) -> &ScreenState {
        &self.state
    }

    /// Output came, or the size changed.
    pub const fn stir(&mut self) {
        self.stirred = true;
    }

    /// The tap is told how far the journal is written, and started if there is something for it. Once a turn, after the
    /// subscribers were sent what came.
    pub fn publish(&mut self, journal: &Journal) {
        let now = (journal.end(), journal.first_number());
        if self.published == Some(now) && !self.stirred {
            return;
        }
        self.published = Some(now);
        let stirred = std::mem::take(&mut self.stirred);
        let mut state = self.shared.state();
        (state.end, state.first) = now;
        state.head = journal.head();
        state.size = journal.state().size;
        if !stirred || state.broken {
            return;
        }
        if state.tap_runs {
            self.shared.wake(&state);
        } else {
            state.tap_runs = true;
            drop(state);
            self.start_tap();
        }
    }

    fn start_tap(&mut self) {
        match tap::spawn(&self.shared) {
            Ok(()) => self.unstartable = false,
            Err(err) => {
                let mut state = self.shared.state();
                state.tap_runs = false;
                let orders: Vec<Order> = state.heads.drain(..).collect();
                drop(state);
                self.not_started(&err, &orders);
            }
        }
    }

    fn not_started(&mut self, err: &io::Error, orders: &[Order]) {
        if !std::mem::replace(&mut self.unstartable, true) {
            tracing::error!(error = %err, "no thread for the screen: queries stay without an answer until there is one");
        }
        let why = Undrawn {
            code: ErrorCode::Internal,
            message: format!("the screen cannot be drawn now: {err}"),
            oldest: None,
        };
        self.shared.report_own(Report::Drawn(orders.iter().map(|order| order.ticket).collect(), Err(why)));
    }

    /// Takes an order; what was published last is in the screen.
    ///
    /// # Errors
    /// Too many are waiting, or nothing can be computed.
    fn order(&mut self, order: Order) -> Result<(), Undrawn> {
        if self.orders >= ORDERS_MAX {
            return Err(Undrawn {
                code: ErrorCode::Busy,
                message: format!("{ORDERS_MAX} screens are being drawn already: try again"),
                oldest: None,
            });
        }
        let mut state = self.shared.state();
        let of_head = order.history == 0 && order.limit == playback::Limit::NONE;
        if of_head {
            if state.broken {
                return Err(tap::broken());
            }
            self.orders += 1;
            state.heads.push_back(order);
            if std::mem::replace(&mut state.tap_runs, true) {
                self.shared.wake(&state);
                return Ok(());
            }
            drop(state);
            self.start_tap();
        } else {
            self.orders += 1;
            state.past.push_back(order);
            if std::mem::replace(&mut state.drawer_runs, true) {
                return Ok(());
            }
            drop(state);
            if let Err(err) = draw::spawn(&self.shared) {
                let mut state = self.shared.state();
                state.drawer_runs = false;
                let orders: Vec<Order> = state.past.drain(..).collect();
                drop(state);
                self.not_started(&err, &orders);
            }
        }
        Ok(())
    }

    /// What the threads have told since.
    fn reports(&mut self) -> VecDeque<Report> {
        let reports = self.shared.reports();
        for report in &reports {
            match report {
                Report::Drawn(tickets, _) => self.orders = self.orders.saturating_sub(tickets.len()),
                Report::State(_) | Report::Reply(..) | Report::Mark(..) | Report::Denied(_) => {}
            }
        }
        reports
    }

    /// Queries are answered for this terminal from now on.
    fn set_facts(&mut self, facts: Facts) {
        let mut state = self.shared.state();
        state.facts = Some(facts);
        self.shared.wake(&state);
    }

    /// The oldest offset whose screen can be drawn.
    pub fn oldest(&mut self, journal: &Journal) -> u64 {
        let (first, base) = (journal.first_number(), journal.oldest());
        if base == 0 {
            return 0;
        }
        if let Some((_, offset)) = self.oldest.filter(|(number, _)| *number == first) {
            return offset;
        }
        let tag = self.shared.instance.tag();
        let found = (first..=journal.end().number).find_map(|number| {
            let entries = keyframes::entries(&self.shared.dir, tag, number);
            entries.first().map(|entry| entry.keyframe.offset)
        });
        if let Some(offset) = found {
            self.oldest = Some((first, offset));
        }
        found.unwrap_or(base)
    }
}

impl Drop for Screens {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What a client told of its terminal, as the screen wants it; `None` when it is no terminal's.
fn facts_of(facts: &TerminalFacts) -> Option<Facts> {
    const DA1_CHARS_MAX: usize = 64;
    let rgb = |colour: [u8; 3]| (colour[0], colour[1], colour[2]);
    let da1_fits = facts.da1.as_ref().is_none_or(|da1| {
        da1.len() <= DA1_CHARS_MAX && !da1.is_empty() && da1.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
    });
    da1_fits.then(|| Facts {
        foreground: facts.fg.map(rgb),
        background: facts.bg.map(rgb),
        cursor: None,
        cell_px: facts.cell_px,
        kitty: facts.kitty,
        da1: facts.da1.clone(),
    })
}
