//! Screens on a stream: the first one, and those in place of bytes that a client is too slow for.
//!
//! ```text
//!   bytes … │ what happened up to S │ the screen at S │ bytes from S on …
//!           └ resize, lease, modes … each once, in order; at last the screen's own size, if it was another
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::ws::Message;
use baton_proto::api::SnapshotChoice;
use baton_proto::ids::Cursor;
use baton_proto::v1::{Attached, Dimensions};

use super::message;
use super::start::{First, choose_start};
use super::stream::ready;
use super::writer::{Stop, Writer, over};
use crate::hub::feed::{Control, Subject};
use crate::hub::screens::Drawn;

/// How far a client that takes screens may fall behind: beyond it gets one. It is what the feed keeps as well.
pub(super) const BEHIND_BYTES_MAX: u64 = 1 << 20;
/// A client that can't keep up gets a screen at most this often.
pub(super) const SCREEN_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of a screen on a stream: as base64 it must fit into a socket's write buffer. A hundred lines of three hundred cells,
/// each with colours of its own, twice, have less; for a larger one the bytes come instead.
const STREAM_SCREEN_BYTES_MAX: usize = 4 << 20;
/// How long the first screen may take; then the bytes come instead.
const FIRST_SCREEN_TIMEOUT: Duration = Duration::from_secs(8);

/// How a client begins.
pub(super) struct Beginning {
    pub(super) choice: SnapshotChoice,
    pub(super) cursor: Option<Cursor>,
    pub(super) attached: Attached,
}

/// A size that is newer than the screen's, though it changed at the very place where the screen stands: the worker drew
/// it before. A size that the screen has and the feed has not heard of yet is newer, and comes by itself.
fn late_size(controls: &[Control], drawn: (u64, Dimensions), before: Dimensions) -> Option<Dimensions> {
    let (offset, size) = drawn;
    let sizes = |wanted: fn(u64, u64) -> bool| {
        controls.iter().filter_map(move |control| match control.subject {
            Subject::Size(size) if wanted(control.offset(), offset) => Some(size),
            _ => None,
        })
    };
    let before = sizes(|at, offset| at < offset).last().unwrap_or(before);
    let older = before == size || sizes(|at, offset| at == offset).any(|it| it == size);
    sizes(|at, offset| at == offset).last().filter(|newest| *newest != size && older)
}

impl Writer<'_> {
    /// `ready`, and what it announces.
    pub(super) async fn begin(&mut self, beginning: Beginning) -> Result<(), Stop> {
        let Beginning { choice, cursor, mut attached } = beginning;
        let mut start = choose_start(choice, cursor, &attached);
        let mut drawn = None;
        if start.first == First::Screen {
            let drawing = tokio::time::timeout(FIRST_SCREEN_TIMEOUT, self.screen(attached.resized_at));
            drawn = drawing.await.unwrap_or(Ok(None))?;
            if drawn.is_none() {
                start = choose_start(SnapshotChoice::Never, cursor, &attached);
                self.takes_screens = false;
            }
        }
        let size = drawn.as_ref().map_or(attached.size, |drawn| drawn.size);
        attached.head = attached.head.max(drawn.as_ref().map_or(0, |drawn| drawn.offset));
        self.sink.send(message(&ready(self.session, &attached, &start, size))).await?;
        self.begun = true;
        self.told_size = size;
        match (start.first, drawn) {
            (First::Bytes(offset), _) => self.move_to(offset),
            (First::Screen, None) => {}
            (First::Screen, Some(drawn)) => {
                let controls = self.subscription.controls_until(drawn.offset);
                let late = late_size(&controls, (drawn.offset, drawn.size), self.size);
                self.send_screen(&drawn).await?;
                // `ready` came before these, and nothing may come between it and the screen. Their sizes are the screen's.
                for control in controls {
                    if !matches!(control.subject, Subject::Size(_)) {
                        self.control(control).await?;
                    }
                }
                if let Some(size) = late {
                    self.send_resize(size).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives the client the newest screen in place of what it has not got yet; whether there was a newer one.
    pub(super) async fn resync(&mut self) -> Result<bool, Stop> {
        // Also when there is none: it is not asked for again at once.
        self.screen_at = Some(Instant::now());
        let drawn = match self.screen(self.sent + 1).await? {
            Some(drawn) if drawn.offset > self.sent => drawn,
            Some(_) => return Ok(false),
            None => {
                // Every byte, then, as long as it takes.
                self.takes_screens = false;
                return Ok(false);
            }
        };
        let before = self.told_size;
        let controls = self.subscription.controls_until(drawn.offset);
        let late = late_size(&controls, (drawn.offset, drawn.size), before);
        self.first_data().await?;
        for control in controls {
            self.control(control).await?;
        }
        self.move_to(drawn.offset);
        if self.told_size != drawn.size {
            self.send_resize(drawn.size).await?;
        }
        self.send_screen(&drawn).await?;
        if let Some(size) = late {
            self.send_resize(size).await?;
        }
        Ok(true)
    }

    /// The newest screen; `None` when it can't be drawn. What the client is to be told meanwhile is told.
    async fn screen(&mut self, at_least: u64) -> Result<Option<Arc<Drawn>>, Stop> {
        let session = Arc::clone(self.session);
        let drawing = session.newest_screen(at_least);
        tokio::pin!(drawing);
        let drawn = loop {
            tokio::select! {
                drawn = &mut drawing => break drawn,
                () = self.presence.mailed() => {
                    if self.begun {
                        self.mail().await?;
                    } else if let Some(end) = self.presence.ended() {
                        return Err(Stop::end(end));
                    }
                }
            }
        };
        let drawn = match drawn {
            Ok(drawn) if drawn.payload().len() <= STREAM_SCREEN_BYTES_MAX => drawn,
            Ok(drawn) => {
                let bytes = drawn.payload().len();
                tracing::warn!(session = %self.session.id, bytes, "the screen is too large for a stream, bytes come instead");
                return Ok(None);
            }
            Err(failure) => {
                if let Some(ended) = self.subscription.feed.ended() {
                    return Err(over(ended));
                }
                tracing::warn!(session = %self.session.id, "the screen can't be drawn, bytes come instead: {failure}");
                return Ok(None);
            }
        };
        // It may have overtaken the bytes before it, and what happened between them.
        while self.subscription.feed.head() < drawn.offset {
            if let Some(ended) = self.subscription.feed.ended() {
                return Err(over(ended));
            }
            self.subscription.changed().await;
        }
        Ok(Some(drawn))
    }

    async fn send_screen(&mut self, drawn: &Drawn) -> Result<(), Stop> {
        let message = if self.binary { Message::Binary(drawn.binary()) } else { Message::Text(drawn.json()) };
        self.fed = true;
        self.app.counters.screens.fetch_add(1, Ordering::Relaxed);
        self.app.counters.sent_bytes.fetch_add(drawn.payload().len() as u64, Ordering::Relaxed);
        self.sink.send(message).await?;
        self.move_to(drawn.offset);
        self.told_size = drawn.size;
        // One from before the size that the client was attached at: that is told at its place, or at the history's end.
        self.replayed_size = (drawn.offset <= self.resized_at).then_some(drawn.size);
        self.account.moved(drawn.offset, self.credit.acked());
        self.screen_at = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::chunk::Chunk;
    use crate::hub::feed::Feed;
    use baton_proto::ids::InstanceId;
    use uuid::Uuid;

    const A: Dimensions = Dimensions { cols: 80, rows: 24 };
    const B: Dimensions = Dimensions { cols: 100, rows: 30 };
    const C: Dimensions = Dimensions { cols: 40, rows: 12 };

    /// Sizes of before 10 bytes, and at them; the screen there has `size`.
    fn check(before: &[Dimensions], at: &[Dimensions], size: Dimensions, expected: Option<Dimensions>) {
        let feed = Feed::new(InstanceId::from_uuid(Uuid::nil()), 0, Arc::default());
        let mut subscription = feed.subscribe();
        feed.control("x".into(), Subject::Other);
        for size in before {
            feed.control("resize".into(), Subject::Size(*size));
        }
        feed.push(Chunk::of_bytes(b"0123456789", 0));
        for size in at {
            feed.control("resize".into(), Subject::Size(*size));
        }
        let controls = subscription.controls_until(10);
        assert_eq!(controls.len(), 1 + before.len() + at.len());
        assert_eq!(late_size(&controls, (10, size), A), expected, "{before:?} {at:?} {size:?}");
    }

    #[test]
    fn a_size_that_changed_where_the_screen_stands_is_told_if_the_screen_is_of_before() {
        check(&[], &[], A, None);
        check(&[B], &[], B, None);
        check(&[], &[], B, None);
        check(&[], &[B], A, Some(B));
        check(&[], &[B], B, None);
        check(&[B], &[C], B, Some(C));
        check(&[B], &[C], C, None);
        check(&[], &[B, C], B, Some(C));
        check(&[], &[B], C, None);
    }
}
