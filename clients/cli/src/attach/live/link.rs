//! The connection of an attached terminal, in whatever state it is.

use std::future::Future;
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use super::super::stream::{Broken, Incoming, Stream};

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Stream, Broken>>>>;

/// The connection, in whatever state.
pub(super) enum Link {
    Up(Box<Stream>),
    Opening(Opening),
    Waiting(Instant),
}

/// What the connection has to say.
pub(super) enum LinkEvent {
    Said(Result<Incoming, Broken>),
    Opened(Result<Stream, Broken>),
    TryAgain,
}

impl Link {
    /// What happens next. Cancelling it loses nothing.
    pub(super) async fn event(&mut self) -> LinkEvent {
        match self {
            Self::Up(stream) => LinkEvent::Said(stream.next().await),
            Self::Opening(opening) => LinkEvent::Opened(opening.await),
            Self::Waiting(until) => {
                sleep_until(*until).await;
                LinkEvent::TryAgain
            }
        }
    }
}
