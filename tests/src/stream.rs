//! One attached client, in either protocol, with every rule checked that holds for each message: `ready` is first, then
//! comes data or a screen, data goes on where the bytes before ended, epochs never fall.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::{BINARY_SUBPROTOCOL, ClientFrame, ResumeMode, ServerFrame, binary};
use baton_proto::ids::{ClientId, Cursor, Epoch, SessionId};
use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use baton_screen::formats::text::{self, TextOptions};
use futures_util::SinkExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::attach::{Attach, Protocol};
use crate::http::Api;
use crate::websocket::{Incoming, RawStream, find, next_of, open_raw, stream_path, text};

/// How long a single awaited message may take.
pub const MESSAGE_LIMIT: Duration = Duration::from_secs(20);

/// The state in `ready`.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Who has control.
    pub owner: Option<ClientId>,
    /// The epoch.
    pub epoch: Epoch,
    /// Output so far.
    pub cursor: Cursor,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Highest `seq` typed.
    pub input_seq: u64,
    /// How the bytes continue.
    pub mode: ResumeMode,
    /// Bytes no longer kept.
    pub lost: Option<u64>,
    /// The cursor it came with was of an earlier life of the program.
    pub restarted: bool,
}

/// A lease as a frame told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Who.
    pub owner: Option<ClientId>,
    /// Which epoch.
    pub epoch: Epoch,
    /// Claimable by anybody.
    pub expired: bool,
}

/// An `error` frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSeen {
    /// Stable code.
    pub code: ErrorCode,
    /// What it says.
    pub message: String,
    /// The refused input's `seq`.
    pub seq: Option<u64>,
    /// Highest `seq` typed.
    pub accepted: Option<u64>,
    /// For `lease_lost`: who has it.
    pub by: Option<String>,
    /// For `lease_held`: the owner's name.
    pub owner_name: Option<String>,
}

/// An attached client.
#[derive(Debug)]
pub struct StreamClient {
    socket: RawStream,
    protocol: Protocol,
    /// Who it is.
    pub id: ClientId,
    /// The first frame.
    pub ready: Ready,
    /// Bytes received.
    pub output: Vec<u8>,
    /// Offset after them.
    pub offset: u64,
    /// The newest epoch heard of.
    pub epoch: Epoch,
    /// Who owns the lease, as it was told last.
    pub owner: Option<ClientId>,
    /// Everything that was neither data nor a screen, in order, `ready` left out.
    pub frames: Vec<ServerFrame>,
    /// Bytes that it was told it does not get, because they are nowhere.
    pub skipped: u64,
    /// Columns and rows, as it was told last.
    pub size: (u16, u16),
    /// Where the screens stand that it got.
    pub screens: Vec<u64>,
    /// What its terminal shows, if it has one.
    pub screen: Option<Screen>,
    seen: usize,
    /// Such a jump was announced and is due.
    skip_told: bool,
    /// Nothing but `ready` has come, and there is output that this client has not got.
    replay_due: bool,
}

impl StreamClient {
    /// Opens the WebSocket, sends `hello` and waits for `ready`.
    ///
    /// # Errors
    /// When the connection breaks or is refused before `ready`.
    pub async fn open(api: &Api, session: SessionId, attach: Attach) -> Result<Self> {
        let protocols: &[&str] = if attach.protocol == Protocol::Binary { &[BINARY_SUBPROTOCOL] } else { &[] };
        let mut socket = open_raw(api, &stream_path(session, &attach.client_id), protocols).await?;
        socket.send(text(&attach.hello())).await?;
        let first = tokio::time::timeout(MESSAGE_LIMIT, next_of(&mut socket)).await.context("no `ready`")?;
        if let Incoming::Frame(ServerFrame::Error { code, message, .. }) = &first {
            bail!("`{code}` instead of `ready`: {message}");
        }
        let Incoming::Frame(ServerFrame::Ready {
            session_id,
            lease_owner,
            epoch,
            cursor,
            cols,
            rows,
            input_seq,
            mode,
            lost,
            restarted,
            instance,
            ..
        }) = first
        else {
            bail!("the first frame is not `ready`: {first:?}");
        };
        assert_eq!(session_id, session);
        assert_eq!(instance, cursor.instance);
        let restarted = restarted == Some(true);
        let ready = Ready { owner: lease_owner, epoch, cursor, size: (cols, rows), input_seq, mode, lost, restarted };
        // Where the bytes begin: the cursor asked for, moved on by what is lost.
        let from = attach.resume.filter(|resume| resume.instance == instance).map_or(0, |resume| resume.offset);
        let offset = from + lost.unwrap_or(0);
        Ok(Self {
            socket,
            protocol: attach.protocol,
            id: attach.client_id,
            replay_due: ready.cursor.offset > offset,
            owner: ready.owner.clone(),
            ready,
            output: Vec::new(),
            offset,
            epoch,
            frames: Vec::new(),
            skipped: 0,
            size: (cols, rows),
            screens: Vec::new(),
            screen: attach.shown.then(|| screen((cols, rows), offset)),
            seen: 0,
            skip_told: false,
        })
    }

    /// The cursor to come back with.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { instance: self.ready.cursor.instance, offset: self.offset }
    }

    /// Sends a frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send(&mut self, frame: ClientFrame) {
        self.socket.send(text(&frame)).await.expect("an open stream");
    }

    /// Sends a frame if the connection is still there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn try_send(&mut self, frame: ClientFrame) -> Result<()> {
        Ok(self.socket.send(text(&frame)).await?)
    }

    /// Types under the newest epoch heard of.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn type_text(&mut self, typed: &str) {
        self.input(typed.as_bytes(), self.epoch, 0).await;
    }

    /// Types under an epoch, with a `seq`.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn input(&mut self, bytes: &[u8], epoch: Epoch, seq: u64) {
        self.try_input(bytes, epoch, seq).await.expect("an open stream");
    }

    /// Types if the connection is still there.
    ///
    /// # Errors
    /// When it is not.
    pub async fn try_input(&mut self, bytes: &[u8], epoch: Epoch, seq: u64) -> Result<()> {
        let message = match self.protocol {
            Protocol::Json => {
                text(&ClientFrame::Input { data_b64: BASE64.encode(bytes), epoch, seq: (seq != 0).then_some(seq) })
            }
            Protocol::Binary => {
                let mut message = vec![binary::INPUT];
                message.extend_from_slice(&seq.to_be_bytes());
                message.extend_from_slice(&epoch.0.to_be_bytes());
                message.extend_from_slice(bytes);
                Message::binary(message)
            }
        };
        Ok(self.socket.send(message).await?)
    }

    /// The next message, with what holds for every message checked.
    ///
    /// # Panics
    /// When it breaks a rule.
    pub async fn next(&mut self) -> Incoming {
        let incoming = next_of(&mut self.socket).await;
        if std::mem::take(&mut self.replay_due) {
            let first = matches!(incoming, Incoming::Data { .. } | Incoming::Screen { .. } | Incoming::Closed { .. });
            assert!(first, "`ready` is followed by data or a screen when there is output: {incoming:?}");
        }
        match &incoming {
            Incoming::Data { bytes, end } => {
                let begin = *end - bytes.len() as u64;
                if std::mem::take(&mut self.skip_told) {
                    assert!(begin >= self.offset, "{begin} after a skip from {}", self.offset);
                    self.skipped += begin - self.offset;
                } else {
                    assert_eq!(begin, self.offset, "data goes on where the bytes before ended");
                }
                self.output.extend_from_slice(bytes);
                self.offset = *end;
                if let Some(screen) = &mut self.screen {
                    screen.feed(bytes, &mut Vec::new());
                }
            }
            Incoming::Screen { bytes, end, size } => {
                if !std::mem::take(&mut self.skip_told) && !self.screens.is_empty() {
                    assert!(*end > self.offset, "a screen at {end} for one that has {}", self.offset);
                }
                assert!(size.is_none_or(|size| size == self.size), "{size:?} after {:?} was told", self.size);
                self.offset = *end;
                self.screens.push(*end);
                if self.screen.is_some() {
                    self.screen = Some(Screen::restore(dimensions(self.size), 0, *end, bytes));
                }
            }
            Incoming::Frame(frame) => {
                if let ServerFrame::Lease { owner, epoch, .. } = frame {
                    assert!(*epoch >= self.epoch, "epochs only rise: {epoch:?} after {:?}", self.epoch);
                    self.epoch = *epoch;
                    self.owner.clone_from(owner);
                }
                if let ServerFrame::Error { code: ErrorCode::CursorTrimmed, .. } = frame {
                    self.skip_told = true;
                }
                if let ServerFrame::Resize { cols, rows, .. } = frame {
                    self.size = (*cols, *rows);
                    if let Some(screen) = &mut self.screen {
                        screen.resize(dimensions(self.size));
                    }
                }
                self.frames.push(frame.clone());
            }
            Incoming::Closed { .. } => {}
        }
        incoming
    }

    /// Messages until one is what is waited for.
    ///
    /// # Panics
    /// When the connection ends first or nothing fitting comes in time.
    pub async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&Incoming) -> Option<T>) -> T {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            let Ok(incoming) = tokio::time::timeout_at(limit, self.next()).await else {
                panic!("{} waited for {what} in vain; {}", self.id, self.story());
            };
            if let Some(found) = wanted(&incoming) {
                return found;
            }
            if let Incoming::Closed { code, reason } = incoming {
                panic!("{} waited for {what} and was closed with {code:?} `{reason}`; {}", self.id, self.story());
            }
        }
    }

    /// What it has seen lately, for messages.
    #[must_use]
    pub fn story(&self) -> String {
        let frames = &self.frames[self.frames.len().saturating_sub(8)..];
        let tail = &self.output[self.output.len().saturating_sub(400)..];
        format!("last frames {frames:?}, last output {:?}", String::from_utf8_lossy(tail))
    }

    /// Waits until this text comes in the output that nobody has waited for yet.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_output(&mut self, needle: &str) {
        let what = format!("the output {needle:?}");
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        // Each byte is looked at once: a flood is many messages.
        let mut from = self.seen;
        loop {
            if let Some(at) = find(&self.output[from..], needle.as_bytes()) {
                self.seen = from + at + needle.len();
                return;
            }
            from = from.max((self.output.len() + 1).saturating_sub(needle.len()));
            let Ok(incoming) = tokio::time::timeout_at(limit, self.next()).await else {
                panic!("{} waited for {what} in vain; {}", self.id, self.story());
            };
            if let Incoming::Closed { code, reason } = incoming {
                panic!("{} waited for {what} and was closed with {code:?} `{reason}`; {}", self.id, self.story());
            }
        }
    }

    /// Receives until the output so far ends at or after this offset.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_offset(&mut self, offset: u64) {
        while self.offset < offset {
            self.until("more output", |incoming| {
                matches!(incoming, Incoming::Data { .. } | Incoming::Screen { .. }).then_some(())
            })
            .await;
        }
    }

    /// Receives until its terminal shows this text in one of its rows.
    ///
    /// # Panics
    /// When it does not come, or the client shows nothing.
    pub async fn until_shown(&mut self, text: &str) {
        while !self.rows().iter().any(|row| row.contains(text)) {
            self.until(&format!("{text:?} on the screen"), |incoming| {
                matches!(incoming, Incoming::Data { .. } | Incoming::Screen { .. }).then_some(())
            })
            .await;
        }
    }

    /// The rows its terminal shows.
    ///
    /// # Panics
    /// When it shows nothing.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        let view = self.screen.as_ref().expect("a client with a terminal").view(0);
        text::text(&view, TextOptions::default()).lines().map(str::to_owned).collect()
    }

    /// Waits for the `lease` frame of this epoch (or of a later one).
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_epoch(&mut self, epoch: Epoch) {
        if self.epoch < epoch {
            self.until("a lease frame", |incoming| lease_of(incoming).filter(|lease| lease.epoch >= epoch).map(|_| ()))
                .await;
        }
    }

    /// Waits for a `lease` frame.
    ///
    /// # Panics
    /// When none comes.
    pub async fn until_lease(&mut self) -> LeaseSeen {
        self.until("a lease frame", lease_of).await
    }

    /// Waits for an `error` frame.
    ///
    /// # Panics
    /// When none comes.
    pub async fn until_error(&mut self) -> ErrorSeen {
        self.until("an error frame", error_of).await
    }

    /// Waits for the acknowledgement of this `seq`.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_acked(&mut self, wanted: u64) {
        self.until("an input_ack", |incoming| match incoming {
            Incoming::Frame(ServerFrame::InputAck { seq }) if *seq >= wanted => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_exit(&mut self) -> baton_proto::api::Exit {
        self.until("the exit frame", |incoming| match incoming {
            Incoming::Frame(ServerFrame::Exit { code, signal, reason }) => {
                Some(baton_proto::api::Exit { code: *code, signal: *signal, reason: reason.clone() })
            }
            _ => None,
        })
        .await
    }

    /// Waits until the bridge closes the connection; the code and reason.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_closed(&mut self) -> (Option<u16>, String) {
        self.until("the close", |incoming| match incoming {
            Incoming::Closed { code, reason } => Some((*code, reason.clone())),
            _ => None,
        })
        .await
    }

    /// Claims, and waits for the answer: the lease, or the refusal.
    ///
    /// # Errors
    /// The `error` frame.
    pub async fn claim(&mut self, force: bool) -> Result<LeaseSeen, ErrorSeen> {
        self.send(ClientFrame::Claim { force }).await;
        let me = self.id.clone();
        self.until("the answer to a claim", |incoming| {
            lease_of(incoming)
                .filter(|lease| lease.owner.as_ref() == Some(&me))
                .map(Ok)
                .or_else(|| error_of(incoming).map(Err))
        })
        .await
    }

    /// Everything that said whose lease it is, in order.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseSeen> {
        self.frames.iter().filter_map(|frame| lease_of(&Incoming::Frame(frame.clone()))).collect()
    }

    /// Sends the first half of an input frame and resets the connection, as a client whose network went in the middle of it.
    pub async fn break_off(mut self, bytes: &[u8], epoch: Epoch, seq: u64) {
        let frame = ClientFrame::Input { data_b64: BASE64.encode(bytes), epoch, seq: Some(seq) };
        let payload = serde_json::to_string(&frame).expect("JSON");
        // A masked text message (the mask is zero) with its length in two bytes.
        let mut message = vec![0x81, 0x80 | 126];
        message.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&payload.as_bytes()[..payload.len() / 2]);
        let socket = self.socket.get_mut();
        if socket.write_all(&message).await.is_ok() && socket.flush().await.is_ok() {
            socket.reset_when_closed();
        }
    }

    /// Leaves without a word, as a client that crashes.
    pub fn drop_socket(self) {
        drop(self);
    }
}

fn dimensions((cols, rows): (u16, u16)) -> Dimensions {
    Dimensions { cols, rows }
}

/// An empty screen whose stream begins at `offset`.
fn screen(size: (u16, u16), offset: u64) -> Screen {
    let mut screen = Screen::new(dimensions(size));
    screen.start_at(offset);
    screen
}

fn lease_of(incoming: &Incoming) -> Option<LeaseSeen> {
    match incoming {
        Incoming::Frame(ServerFrame::Lease { owner, epoch, expired, .. }) => {
            Some(LeaseSeen { owner: owner.clone(), epoch: *epoch, expired: expired.unwrap_or(false) })
        }
        _ => None,
    }
}

fn error_of(incoming: &Incoming) -> Option<ErrorSeen> {
    match incoming {
        Incoming::Frame(ServerFrame::Error { code, message, seq, accepted, by, owner_name, .. }) => Some(ErrorSeen {
            code: *code,
            message: message.clone(),
            seq: *seq,
            accepted: *accepted,
            by: by.clone(),
            owner_name: owner_name.clone(),
        }),
        _ => None,
    }
}
