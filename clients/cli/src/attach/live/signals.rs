//! What this process is told by signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that an attached terminal minds.
pub(super) struct Signals {
    resized: Signal,
    suspend: Signal,
    continued: Signal,
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// What this process was told.
pub(super) enum Told {
    Resized,
    Suspend,
    Continued,
    End(SignalKind),
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            suspend: signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGTSTP as i32))?,
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
            _ = self.suspend.recv() => Told::Suspend,
            _ = self.continued.recv() => Told::Continued,
            _ = self.terminate.recv() => Told::End(SignalKind::terminate()),
            _ = self.hangup.recv() => Told::End(SignalKind::hangup()),
            _ = self.interrupt.recv() => Told::End(SignalKind::interrupt()),
            _ = self.quit.recv() => Told::End(SignalKind::quit()),
        }
    }

    /// Stops this process until it is told to go on, which is then known here already.
    pub(super) async fn stop(&mut self) {
        // The default of SIGTSTP would not stop a terminal's only program.
        if nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).is_ok() {
            self.continued.recv().await;
        }
    }

    /// The next one that means the end.
    pub(super) async fn end(&mut self) {
        while !matches!(self.next().await, Told::End(_)) {}
    }
}
