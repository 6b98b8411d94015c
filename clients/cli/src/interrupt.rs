//! Being told to end, for commands that have something to put right before they do.

use tokio::signal::unix::{SignalKind, signal};

/// How this process was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// By the person in front of it, with Ctrl-C.
    Interrupt,
    /// By somebody else.
    Terminate,
    /// By a terminal that went away.
    HangUp,
}

impl Told {
    /// What the process ends with: 128 and the signal's number, as shells have it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::HangUp => 129,
        }
    }
}

/// Returns when this process is told to end. From its first poll on such a signal ends nothing by itself.
pub async fn told() -> Told {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Told::Interrupt,
        _ = terminate.recv() => Told::Terminate,
        _ = hang_up.recv() => Told::HangUp,
    }
}
