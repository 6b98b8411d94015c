//! What a client is told on its stream: `ready`, then bytes, and between the bytes what happened there.
//!
//! At any moment one message is on its way to the socket and nothing else is held for it: what comes next is looked up
//! when the socket has taken that one. A client that stops reading costs its socket's buffer and that message.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use baton_proto::ErrorCode;
use baton_proto::api::ServerFrame;
use baton_proto::ids::{Cursor, Epoch, InstanceId};
use baton_proto::v1::{Dimensions, ExitRecord};
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;

use super::credit::{Account, Credit};
use super::screen::{BEHIND_BYTES_MAX, Beginning, SCREEN_INTERVAL};
use super::{close_message, message, replay};
use crate::app::App;
use crate::hub::chunk::{Chunk, data_json};
use crate::hub::feed::{Control, Ended, Item, Step, Subject, Subscription};
use crate::hub::presence::{End, Presence};
use crate::hub::session::Session;
use crate::problem::Failure;
use crate::protocol_log::{Tape, Way};
use crate::show;

/// Bytes sent between two looks at the inbox.
const BATCH_BYTES: usize = 64 << 10;
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

/// The socket's end, when its feed has ended.
pub(super) fn over(ended: Ended) -> Stop {
    Stop::end(match ended {
        Ended::WorkerAway => End { frame: None, code: 1012, reason: "the worker is being replaced" },
        Ended::Forgotten => {
            let frame = Failure::new(ErrorCode::NotFound, "the session was forgotten").frame();
            End { frame: Some(frame), code: 4004, reason: "not_found" }
        }
    })
}

/// The socket's way out, and what notes the frames that it takes.
pub(super) struct Outgoing<'a> {
    sink: SplitSink<WebSocket, Message>,
    tape: &'a Tape,
}

impl<'a> Outgoing<'a> {
    pub(super) const fn new(sink: SplitSink<WebSocket, Message>, tape: &'a Tape) -> Self {
        Self { sink, tape }
    }

    /// Hands a message to the socket's buffer.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), axum::Error> {
        let head = self.tape.head(&message, Way::Out);
        self.sink.feed(message).await?;
        self.tape.note(head, Way::Out);
        Ok(())
    }

    /// Waits until the socket has what it was handed.
    pub(super) async fn flush(&mut self) -> Result<(), axum::Error> {
        self.sink.flush().await
    }

    /// Both.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), axum::Error> {
        self.feed(message).await?;
        self.flush().await
    }
}

pub(super) struct Writer<'a> {
    pub(super) app: &'a App,
    pub(super) session: &'a Arc<Session>,
    pub(super) presence: &'a Presence,
    pub(super) subscription: Subscription,
    pub(super) sink: Outgoing<'a>,
    pub(super) binary: bool,
    pub(super) instance: InstanceId,
    /// Where the client was attached: what is before that is history.
    pub(super) history_end: u64,
    /// The size then, and since which offset it was that.
    pub(super) size: Dimensions,
    pub(super) resized_at: u64,
    /// The size that was told last from the journal, or with a screen of before then.
    pub(super) replayed_size: Option<Dimensions>,
    /// The size the client was told last.
    pub(super) told_size: Dimensions,
    /// The end that lies in the history.
    pub(super) exit: Option<ExitRecord>,
    /// Whether it takes a screen in place of bytes.
    pub(super) takes_screens: bool,
    /// When it was given one last.
    pub(super) screen_at: Option<Instant>,
    pub(super) credit: Arc<Credit>,
    pub(super) account: Account,
    /// The epoch of the lease it was told last.
    pub(super) epoch: Epoch,
    /// Answers to its own renewals that must not overtake what they follow.
    pub(super) renewed: Option<(Epoch, ServerFrame)>,
    /// The program's title may be from before what the client may see. One that it sets now is in its output.
    pub(super) hides_title: bool,
    /// Output bytes up to here were sent.
    pub(super) sent: u64,
    /// Whether `ready` was sent.
    pub(super) begun: bool,
    /// Whether the first `data` was sent, before which nothing but `ready` is.
    pub(super) fed: bool,
}

impl Writer<'_> {
    pub(super) async fn run(&mut self, beginning: Beginning) {
        if let Err(Stop::End(end)) = self.feed(beginning).await {
            let End { frame, code, reason } = *end;
            let closing = async {
                if let Some(frame) = frame {
                    self.sink.send(message(&frame)).await?;
                }
                self.sink.send(close_message(code, reason)).await
            };
            // Its peer may be gone; whoever waits for this bounds it.
            drop(closing.await);
        }
    }

    async fn feed(&mut self, beginning: Beginning) -> Result<(), Stop> {
        self.begin(beginning).await?;
        loop {
            self.mail().await?;
            if self.sent >= self.history_end {
                self.history_is_over().await?;
            }
            let acked = self.credit.acked();
            let credit = self.account.credit(acked, self.sent);
            let behind = self.subscription.feed.head().saturating_sub(self.sent);
            if credit == 0 {
                self.wait_for_credit(behind).await?;
                continue;
            }
            self.account.settle();
            if self.takes_screens && behind > BEHIND_BYTES_MAX && self.catch_up().await? {
                continue;
            }
            let limit = BATCH_BYTES.min(usize::try_from(credit).unwrap_or(BATCH_BYTES));
            match self.subscription.next(limit) {
                Step::Items(items) => self.items(items).await?,
                Step::Behind { until } => {
                    let until = if self.sent < self.history_end { until.min(self.history_end) } else { until };
                    replay::one_range(self, until, limit).await?;
                }
                Step::Ended(ended) => return Err(over(ended)),
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

    /// Only an acknowledgement helps, or the end: both come by the inbox. Who takes no screens waits for ever.
    async fn wait_for_credit(&mut self, behind: u64) -> Result<(), Stop> {
        let deadline = self.account.deadline();
        tokio::select! {
            () = self.presence.mailed() => {}
            () = tokio::time::sleep_until(deadline.into()), if self.takes_screens => {
                if behind == 0 || !self.resync().await? {
                    // What comes next is worth sending.
                    self.account.moved(self.sent, self.credit.acked());
                }
            }
        }
        Ok(())
    }

    /// One that is too far behind gets the screen in place of the bytes; who can't keep up with screens either gets them
    /// from time to time. `false`: there is no newer one than what the client has, so that bytes are all that helps.
    async fn catch_up(&mut self) -> Result<bool, Stop> {
        match self.screen_at.map(|at| at + SCREEN_INTERVAL).filter(|due| *due > Instant::now()) {
            Some(due) => {
                tokio::select! {
                    () = self.presence.mailed() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                }
                Ok(true)
            }
            None => self.resync().await,
        }
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
            self.sink.send(message(&frame)).await?;
        }
        Ok(())
    }

    /// `data` follows `ready`, if need be without bytes.
    pub(super) async fn first_data(&mut self) -> Result<(), Stop> {
        if self.fed {
            return Ok(());
        }
        self.fed = true;
        let empty = Chunk::of_bytes(&[], self.sent);
        let message = self.data(&empty);
        self.sink.send(message).await?;
        Ok(())
    }

    pub(super) async fn mail(&mut self) -> Result<(), Stop> {
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
                    self.control(control).await?;
                    continue;
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

    pub(super) async fn control(&mut self, control: Control) -> Result<(), Stop> {
        let text =
            if control.subject == Subject::Mode && self.hides_title { untitled(&control.text) } else { control.text };
        self.sink.feed(Message::Text(text)).await?;
        match control.subject {
            Subject::Lease(epoch) => {
                self.epoch = epoch;
                self.renewal().await?;
            }
            Subject::Size(size) => self.told_size = size,
            Subject::Mode | Subject::End | Subject::Other => {}
        }
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
        self.sink.send(message).await?;
        self.move_to(end);
        Ok(())
    }

    pub(super) async fn send_resize(&mut self, size: Dimensions) -> Result<(), Stop> {
        self.first_data().await?;
        let cursor = Cursor { instance: self.instance, offset: self.sent };
        self.sink.send(message(&ServerFrame::Resize { cols: size.cols, rows: size.rows, cursor })).await?;
        self.told_size = size;
        Ok(())
    }

    /// Moves the client forward and says so: the journal does not have the bytes. Who takes screens gets one, since what
    /// follows continues nothing.
    pub(super) async fn skip_to(&mut self, offset: u64) -> Result<(), Stop> {
        let skipped = offset.saturating_sub(self.sent);
        if skipped == 0 {
            return Ok(());
        }
        self.first_data().await?;
        let message_text = format!("{skipped} bytes skipped; what follows continues at {offset}");
        self.sink.send(message(&Failure::new(ErrorCode::CursorTrimmed, message_text).frame())).await?;
        self.move_to(offset);
        if self.takes_screens {
            self.resync().await?;
        }
        Ok(())
    }

    pub(super) fn move_to(&mut self, offset: u64) {
        self.sent = offset;
        self.subscription.position.move_to(offset);
    }
}

/// A `mode` frame without its title.
fn untitled(text: &str) -> Utf8Bytes {
    match serde_json::from_str(text) {
        Ok(ServerFrame::Mode { alt_screen, mouse_mode, bracketed_paste, title: _ }) => {
            show::text(&ServerFrame::Mode { alt_screen, mouse_mode, bracketed_paste, title: None })
        }
        _ => unreachable!("it is one of ours"),
    }
}
