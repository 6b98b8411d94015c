//! A session handed from one worker to the next by plan, between two records.
//!
//! The next worker shows first that it can read what it was given (spec, read window, journal), says so and waits. The one
//! before it then types to its end what it has begun, reads nothing more, tells where the output stands, and leaves. What
//! was read is in the journal by then, what was not is still in the terminal. The next one goes when the launcher has seen
//! its predecessor's death, and does what a successor always does.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op};
use baton_proto::lease::Monotonic;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::CarriedState;
use baton_sandbox::fds;

use super::Worker;
use super::ending::Life;
use super::journal::Journal;
use super::window::{WINDOW_BYTES, Window};

/// How long a worker types what was sent to it before; a program that reads has it all by then.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How long it tries to come to the end of the frame it has begun. Both together are less than the launcher waits, so
/// that both know who goes on.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// The next worker's wait. Returns the listener, if the one that was passed was bound anew meanwhile.
///
/// # Errors
/// What it could not read, or that nobody will let it go on: the worker before it does then.
pub(super) fn stand_by(
    keeper: &OwnedFd,
    spec: &SessionSpec,
    dir: &Path,
    window: &OwnedFd,
    state: CarriedState,
) -> anyhow::Result<Option<OwnedFd>> {
    fds::check_shared_memfd(window, WINDOW_BYTES).context("the read window")?;
    Window::recover(window.as_fd()).context("the read window")?;
    // Its records are read as far as they have to be understood; it is written to by another.
    Journal::open(dir, spec.instance, spec.journal_bytes, state).context("reading the journal")?;
    fds::send(keeper, &LaunchMessage::new(Op::Standby, spec.session).to_bytes(), &[])?;
    let mut listener = None;
    loop {
        let mut bytes = [0; LAUNCH_BYTES];
        let (count, handles) = fds::receive(keeper, &mut bytes)?;
        anyhow::ensure!(count > 0, "the launcher is gone, and the worker before this one goes on");
        match LaunchMessage::from_bytes(&bytes[..count]).map(|message| message.op) {
            Some(Op::Go) => return Ok(listener),
            Some(Op::Listen) => listener = handles.into_iter().next(),
            _ => {}
        }
    }
}

/// How far a worker is on its way to leave its session to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parking {
    /// Nobody asked.
    No,
    /// It types what was sent to it, until then.
    Draining(Monotonic),
    /// It types what it has begun, until then. The rest is not acknowledged, and its sender repeats it.
    Finishing(Monotonic),
    /// It reads and writes nothing more.
    Parked,
}

impl Worker {
    /// The next worker stands by.
    pub(super) fn park(&mut self, now: Monotonic) {
        // One that ends is followed by nobody.
        if matches!(self.life, Life::Running) && self.terminal.is_some() && self.parking == Parking::No {
            self.parking = Parking::Draining(now.after(DRAIN_WITHIN));
            self.park_if_whole(now);
        }
    }

    /// When [`Self::park_if_whole`] has something to do at the latest.
    pub(super) const fn parking_deadline(&self) -> Option<Monotonic> {
        match self.parking {
            Parking::Draining(until) | Parking::Finishing(until) => Some(until),
            Parking::No | Parking::Parked => None,
        }
    }

    /// Leaves if nothing is half done, and goes on if that takes too long: a program that does not read its input.
    pub(super) fn park_if_whole(&mut self, now: Monotonic) {
        let running = matches!(self.life, Life::Running);
        match self.parking {
            Parking::No | Parking::Parked => {}
            Parking::Draining(_) if running && self.typing.is_empty() => self.leave(now),
            Parking::Finishing(_) if running && self.typing.is_between_frames() => self.leave(now),
            Parking::Draining(until) if running && until <= now => {
                self.parking = Parking::Finishing(now.after(FINISH_WITHIN));
                self.typing.begin_nothing(true);
                self.park_if_whole(now);
            }
            Parking::Draining(until) | Parking::Finishing(until) if until <= now || !running => {
                tracing::warn!(session = %self.spec.session, "what was begun to be typed is not read; this worker goes on");
                self.parking = Parking::No;
                self.typing.begin_nothing(false);
            }
            Parking::Draining(_) | Parking::Finishing(_) => {}
        }
    }

    fn leave(&mut self, now: Monotonic) {
        self.parking = Parking::Parked;
        self.flush(now);
        tracing::info!(session = %self.spec.session, head = self.journal.head(), "parked for the next worker");
        let head = i64::try_from(self.journal.head()).unwrap_or(i64::MAX);
        let message = LaunchMessage { arg: head, ..LaunchMessage::new(Op::Parked, self.spec.session) };
        if let Some(keeper) = &self.keeper
            && let Err(err) = fds::send(keeper, &message.to_bytes(), &[])
        {
            tracing::warn!(error = %err, "the launcher could not be told");
        }
    }
}
