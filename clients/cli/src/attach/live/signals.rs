//! What this process is told by signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that an attached terminal minds.
pub(super) struct Signals {
    resized: Signal,
    continued: Signal,
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// What this process was told.
pub(super) enum Told {
    Resized,
    Continued,
    End(SignalKind),
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGCONT as i32))?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.resized.recv() => Told::Resized,
            _ = self.continued.recv() => Told::Continued,
            _ = self.terminate.recv() => Told::End(SignalKind::terminate()),
            _ = self.hangup.recv() => Told::End(SignalKind::hangup()),
            _ = self.interrupt.recv() => Told::End(SignalKind::interrupt()),
            _ = self.quit.recv() => Told::End(SignalKind::quit()),
        }
    }

    /// The next one that means the end.
    pub(super) async fn end(&mut self) {
        while !matches!(self.next().await, Told::End(_)) {}
    }
}
