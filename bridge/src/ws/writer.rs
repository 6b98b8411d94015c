//! What a client is told on its stream: `ready`, then bytes, and between the bytes what happened there.
//!
//! At any moment one message is on its way to the socket and nothing else is held for it: what comes next is looked up
//! when the socket has taken that one. A client that stops reading costs its socket's buffer and that message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use baton_proto::ErrorCode;
use baton_proto::api::ServerFrame;
use baton_proto::ids::{Cursor, Epoch, InstanceId};
use baton_proto::v1::{Dimensions, ExitRecord};
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;

use super::start::RECENT_BYTES;
use super::{close_message, message, replay, send};
use crate::app::App;
use crate::hub::feed::{Chunk, Ended, Item, Step, Subscription, data_json};
use crate::hub::presence::{End, Presence};
use crate::hub::session::Session;
use crate::problem::Failure;

/// Bytes sent between two looks at the inbox.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes a client that acknowledges may have unacknowledged.
const CREDIT_BYTES: u64 = 512 << 10;
/// How far a client that acknowledges and takes screens may fall behind before it is moved to the newest bytes.
const BEHIND_BYTES_MAX: u64 = 4 << 20;
/// How long such a client may owe acknowledgements before it is moved to the newest bytes and given credit anew. It
/// doubles each time nothing was acknowledged in between: a frozen tab must not be fed without bound.
const OWING: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// What a client has parsed, as it says.
#[derive(Debug)]
pub(super) struct Credit {
    instance: InstanceId,
    acking: AtomicBool,
    acked: AtomicU64,
}

impl Credit {
    pub(super) const fn new(instance: InstanceId) -> Self {
        Self { instance, acking: AtomicBool::new(false), acked: AtomicU64::new(0) }
    }

    /// Notes an `ack`. One of another life of the program says nothing.
    pub(super) fn ack(&self, cursor: Cursor) {
        if cursor.instance == self.instance {
            self.acked.fetch_max(cursor.offset, Ordering::Relaxed);
            self.acking.store(true, Ordering::Relaxed);
        }
    }

    /// How far it has acknowledged; `None` for one that never does.
    fn acked(&self) -> Option<u64> {
        self.acking.load(Ordering::Relaxed).then(|| self.acked.load(Ordering::Relaxed))
    }
}

/// The account of a client that acknowledges.
#[derive(Debug)]
pub(super) struct Account {
    /// Credit is counted from here when less was acknowledged: where the client was moved to last.
    base: u64,
    /// What was acknowledged when it was moved.
    acked: u64,
    patience: Duration,
    /// Since when it owes.
    owing: Option<Instant>,
}

impl Account {
    pub(super) const fn new() -> Self {
        Self { base: 0, acked: 0, patience: *OWING.start(), owing: None }
    }

    /// Bytes that may be sent now to one that was sent `sent`. Whoever acknowledges more than that has acknowledged all.
    fn credit(&self, acked: Option<u64>, sent: u64) -> u64 {
        let Some(acked) = acked else { return u64::MAX };
        acked.max(self.base).min(sent).saturating_add(CREDIT_BYTES).saturating_sub(sent)
    }

    /// Whether one that is `behind` bytes back is to be moved at once: it acknowledges, only too slowly.
    fn is_too_slow(&self, acked: Option<u64>, behind: u64) -> bool {
        behind > BEHIND_BYTES_MAX && acked.is_some_and(|acked| acked > self.acked)
    }

    /// Until when one without credit may owe.
    fn deadline(&mut self) -> Instant {
        *self.owing.get_or_insert_with(Instant::now) + self.patience
    }

    /// It was moved.
    fn moved(&mut self, to: u64, acked: Option<u64>) {
        let acked = acked.unwrap_or(0);
        self.patience = if acked > self.acked { *OWING.start() } else { (self.patience * 2).min(*OWING.end()) };
        self.base = to;
        self.owing = None;
        self.acked = acked;
    }
}

/// Why the writer stops.
pub(super) enum Stop {
    /// The socket is gone.
    Gone,
    /// It is to be closed so.
    End(Box<End>),
}

impl Stop {
    pub(super) fn end(end: End) -> Self {
        Self::End(Box::new(end))
    }
}

impl From<axum::Error> for Stop {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

pub(super) struct Writer<'a> {
    pub(super) app: &'a App,
    pub(super) session: &'a Arc<Session>,
    pub(super) presence: &'a Presence,
    pub(super) subscription: Subscription,
    pub(super) sink: SplitSink<WebSocket, Message>,
    pub(super) binary: bool,
    pub(super) instance: InstanceId,
    /// Where the client was attached: what is before that is history.
    pub(super) history_end: u64,
    /// The terminal's size there.
    pub(super) size: Dimensions,
    /// The size the client was told last while it was given history.
    pub(super) replayed_size: Option<Dimensions>,
    /// How the program had ended by then.
    pub(super) exit: Option<ExitRecord>,
    /// Whether it may be moved forward when it falls behind.
    pub(super) skips: bool,
    pub(super) credit: Arc<Credit>,
    pub(super) account: Account,
    /// The epoch of the lease it was told last.
    pub(super) epoch: Epoch,
    /// Answers to its own renewals that must not overtake what they follow.
    pub(super) renewed: Option<(Epoch, ServerFrame)>,
    /// Output bytes up to here were sent.
    pub(super) sent: u64,
    /// Whether the first `data` was sent, before which nothing but `ready` is.
    pub(super) fed: bool,
}

impl Writer<'_> {
    pub(super) async fn run(&mut self, ready: ServerFrame) {
        if let Err(Stop::End(end)) = self.feed(ready).await {
            let End { frame, code, reason } = *end;
            let closing = async {
                if let Some(frame) = frame {
                    send(&mut self.sink, message(&frame)).await?;
                }
                send(&mut self.sink, close_message(code, reason)).await
            };
            // Its peer may be gone; whoever waits for this bounds it.
            drop(closing.await);
        }
    }

    async fn feed(&mut self, ready: ServerFrame) -> Result<(), Stop> {
        send(&mut self.sink, message(&ready)).await?;
        loop {
            self.mail().await?;
            let offset = self.subscription.position.offset;
            if self.sent >= self.history_end {
                self.history_is_over().await?;
            }
            let head = self.subscription.feed.head();
            let acked = self.credit.acked();
            if self.skips && self.account.is_too_slow(acked, head.saturating_sub(offset)) {
                self.catch_up(head, acked).await?;
                continue;
            }
            let credit = self.account.credit(acked, offset);
            if credit == 0 {
                // Only an acknowledgement helps, or the end: both come by the inbox. Who takes no jumps waits for ever.
                let deadline = self.account.deadline();
                tokio::select! {
                    () = self.presence.mailed() => {}
                    () = tokio::time::sleep_until(deadline.into()), if self.skips => {
                        self.catch_up(self.subscription.feed.head(), acked).await?;
                    }
                }
                continue;
            }
            self.account.owing = None;
            let limit = BATCH_BYTES.min(usize::try_from(credit).unwrap_or(BATCH_BYTES));
            match self.subscription.next(limit) {
                Step::Items(items) => self.items(items).await?,
                Step::Behind { until } => {
                    let until = if offset < self.history_end { until.min(self.history_end) } else { until };
                    replay::one_range(self, until, limit).await?;
                }
                Step::Ended(Ended::WorkerAway) => {
                    return Err(Stop::end(End { frame: None, code: 1012, reason: "the worker is being replaced" }));
                }
                Step::Ended(Ended::Forgotten) => {
                    let frame = Failure::new(ErrorCode::NotFound, "the session was forgotten").frame();
                    return Err(Stop::end(End { frame: Some(frame), code: 4004, reason: "not_found" }));
                }
                Step::UpToDate => {
                    self.first_data().await?;
                    tokio::select! {
                        () = self.subscription.changed() => {}
                        () = self.presence.mailed() => {}
                    }
                }
            }
        }
    }

    /// Moves a client that owes acknowledgements to the newest bytes and gives it credit anew.
    async fn catch_up(&mut self, head: u64, acked: Option<u64>) -> Result<(), Stop> {
        self.skip_to(self.sent.max(head.saturating_sub(RECENT_BYTES))).await?;
        self.account.moved(self.sent, acked);
        Ok(())
    }

    /// Whether a lease frame for this client alone is due: not before all that it was announced, never after a newer.
    async fn renewal(&mut self) -> Result<(), Stop> {
        match self.renewed.take() {
            Some((epoch, frame)) if epoch == self.epoch => {
                self.first_data().await?;
                self.sink.feed(message(&frame)).await?;
            }
            Some((epoch, frame)) if epoch > self.epoch => self.renewed = Some((epoch, frame)),
            _ => {}
        }
        Ok(())
    }

    /// The client has what it asked of the past: it is told an end that lies there.
    async fn history_is_over(&mut self) -> Result<(), Stop> {
        // Reached once; nothing is history after it.
        self.history_end = u64::MAX;
        self.first_data().await?;
        if self.replayed_size.take().is_some_and(|size| size != self.size) {
            self.send_resize(self.size).await?;
        }
        if let Some(exit) = self.exit.take() {
            let frame = ServerFrame::Exit { code: exit.code, signal: exit.signal, reason: exit.reason };
            send(&mut self.sink, message(&frame)).await?;
        }
        Ok(())
    }

    /// `data` follows `ready`, if need be without bytes.
    async fn first_data(&mut self) -> Result<(), Stop> {
        if self.fed {
            return Ok(());
        }
        self.fed = true;
        let empty = Chunk::of_bytes(&[], self.sent);
        let message = self.data(&empty);
        send(&mut self.sink, message).await?;
        Ok(())
    }

    async fn mail(&mut self) -> Result<(), Stop> {
        let mail = self.presence.mail();
        if mail.acked.is_some() || !mail.frames.is_empty() {
            self.first_data().await?;
        }
        for frame in mail.frames {
            if let ServerFrame::Lease { epoch, .. } = &frame {
                self.renewed = Some((*epoch, frame));
                self.renewal().await?;
            } else {
                self.sink.feed(message(&frame)).await?;
            }
        }
        if let Some(seq) = mail.acked {
            self.sink.feed(message(&ServerFrame::InputAck { seq })).await?;
        }
        if let Some(end) = mail.end {
            return Err(Stop::end(end));
        }
        self.sink.flush().await?;
        Ok(())
    }

    async fn items(&mut self, items: Vec<Item>) -> Result<(), Stop> {
        for item in items {
            let message = match item {
                Item::Chunk(chunk) => {
                    if chunk.start() >= self.history_end {
                        self.history_is_over().await?;
                    }
                    self.fed = true;
                    self.sent = chunk.end();
                    self.app.counters.sent_bytes.fetch_add(chunk.payload().len() as u64, Ordering::Relaxed);
                    self.data(&chunk)
                }
                Item::Control(control) => {
                    if self.sent >= self.history_end {
                        self.history_is_over().await?;
                    }
                    self.first_data().await?;
                    if let Some(epoch) = control.epoch {
                        self.epoch = epoch;
                        self.sink.feed(Message::Text(control.text)).await?;
                        self.renewal().await?;
                        continue;
                    }
                    Message::Text(control.text)
                }
                Item::Clients(text) => {
                    self.first_data().await?;
                    Message::Text(text)
                }
            };
            self.sink.feed(message).await?;
        }
        self.sink.flush().await?;
        Ok(())
    }

    fn data(&self, chunk: &Chunk) -> Message {
        if self.binary { Message::Binary(chunk.binary()) } else { Message::Text(chunk.json(self.instance)) }
    }

    /// Bytes of the journal, which nobody else is sent.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let start = self.sent;
        let end = start + bytes.len() as u64;
        let message = if self.binary {
            Message::Binary(Chunk::of_bytes(bytes, start).binary())
        } else {
            Message::Text(data_json(bytes, Cursor { instance: self.instance, offset: end }))
        };
        self.fed = true;
        self.app.counters.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        send(&mut self.sink, message).await?;
        self.move_to(end);
        Ok(())
    }

    pub(super) async fn send_resize(&mut self, size: Dimensions) -> Result<(), Stop> {
        self.first_data().await?;
        let cursor = Cursor { instance: self.instance, offset: self.sent };
        send(&mut self.sink, message(&ServerFrame::Resize { cols: size.cols, rows: size.rows, cursor })).await?;
        Ok(())
    }

    /// Moves the client forward and says so: the journal does not have the bytes, or the client can't keep up.
    pub(super) async fn skip_to(&mut self, offset: u64) -> Result<(), Stop> {
        let skipped = offset.saturating_sub(self.sent);
        if skipped == 0 {
            return Ok(());
        }
        self.first_data().await?;
        let message_text = format!("{skipped} bytes skipped; what follows continues at {offset}");
        send(&mut self.sink, message(&Failure::new(ErrorCode::CursorTrimmed, message_text).frame())).await?;
        self.move_to(offset);
        Ok(())
    }

    fn move_to(&mut self, offset: u64) {
        self.sent = offset;
        self.subscription.position.move_to(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_what_was_acknowledged_and_a_little_more() {
        let mut account = Account::new();
        assert_eq!(account.credit(None, 1 << 40), u64::MAX, "who never acknowledges is bounded by its socket");
        assert_eq!(account.credit(Some(100), 100), CREDIT_BYTES);
        assert_eq!(account.credit(Some(100), 100 + CREDIT_BYTES), 0);
        assert_eq!(account.credit(Some(u64::MAX), 5), CREDIT_BYTES);
        assert!(account.is_too_slow(Some(1), BEHIND_BYTES_MAX + 1) && !account.is_too_slow(Some(1), BEHIND_BYTES_MAX));
        account.moved(1 << 30, Some(100));
        assert_eq!(account.credit(Some(100), 1 << 30), CREDIT_BYTES, "it is given credit anew");
        assert!(!account.is_too_slow(Some(100), u64::MAX), "not again before it has said a word");
    }

    #[test]
    fn who_stays_silent_is_moved_ever_less_often() {
        let mut account = Account::new();
        account.moved(1, Some(1));
        assert_eq!(account.patience, Duration::from_secs(1));
        for _ in 0..10 {
            account.moved(1, Some(1));
        }
        assert_eq!(account.patience, Duration::from_secs(60));
        account.moved(1, Some(2));
        assert_eq!(account.patience, Duration::from_secs(1));
    }
}
