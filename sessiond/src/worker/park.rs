//! A session handed from one worker to the next by plan, between two records.
//!
//! The next worker shows first that it can read what it was given (spec, read window, journal), says so and waits. The one
//! before it then types to its end what it has begun, reads nothing more, tells where the output stands, and leaves. What
//! was read is in the journal by then, what was not is still in the terminal. The next one goes when the launcher has seen
//! its predecessor's death, and does what a successor always does.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op};
use baton_proto::lease::Monotonic;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::CarriedState;
use baton_sandbox::fds;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Worker;
use super::ending::Life;
use super::journal::Journal;
use super::start::LOCK;
use super::window::{WINDOW_BYTES, Window};

/// How long a worker that has parked may take to end.
const GONE_WITHIN: Duration = Duration::from_secs(1);
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
        let (count, handles) = match fds::receive(keeper, &mut bytes) {
            // It died with a message of ours unread.
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => (0, Vec::new()),
            received => received?,
        };
        if count == 0 {
            // Launcher and spare died together. Either the worker before this one had left by then, and nobody else has the
            // session; or it goes on, as it does when nobody keeps it.
            wait_for_its_end(dir)?;
            tracing::warn!(session = %spec.session, "nobody says so, but the worker before this one has left: it goes on");
            return Ok(listener);
        }
        match LaunchMessage::from_bytes(&bytes[..count]).map(|message| message.op) {
            Some(Op::Go) => return Ok(listener),
            Some(Op::Listen) => listener = handles.into_iter().next(),
            _ => {}
        }
    }
}

/// Waits until the instance's lock is free: its holder is dead then.
fn wait_for_its_end(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(LOCK);
    let begun = Instant::now();
    loop {
        let file = File::open(&path).with_context(|| format!("opening `{}`", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return Ok(()),
            Err((_, Errno::EWOULDBLOCK)) if begun.elapsed() < GONE_WITHIN => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err((_, err)) => {
                anyhow::bail!("launcher and spare are gone, and the worker before this one goes on ({err})")
            }
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
                self.stay();
            }
            Parking::Draining(_) | Parking::Finishing(_) => {}
        }
    }

    fn leave(&mut self, now: Monotonic) {
        self.flush(now);
        let head = i64::try_from(self.journal.head()).unwrap_or(i64::MAX);
        let message = LaunchMessage { arg: head, ..LaunchMessage::new(Op::Parked, self.spec.session) };
        let told = self.keeper.as_ref().map(|keeper| fds::send(keeper, &message.to_bytes(), &[]));
        match told {
            Some(Ok(_)) => {
                self.parking = Parking::Parked;
                tracing::info!(session = %self.spec.session, head, "parked for the next worker");
            }
            // Nobody would let the next one go on.
            Some(Err(err)) => {
                tracing::warn!(error = %err, "the launcher could not be told; this worker goes on");
                self.stay();
            }
            None => self.stay(),
        }
    }

    /// It goes on after all.
    pub(super) fn stay(&mut self) {
        self.parking = Parking::No;
        self.typing.begin_nothing(false);
    }
}
