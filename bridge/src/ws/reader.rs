//! What a client says on its stream.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::{Message, WebSocket};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, ServerFrame, binary};
use baton_proto::frame::{DATA_BYTES_MAX, HEADER_BYTES, Header, Kind};
use baton_proto::ids::{ClientId, Epoch};
use baton_proto::v1::{
    Claim, DenyControl, Dimensions, INPUT_HEADER_BYTES, InputHeader, LeaseRecord, Release, RequestControl,
    ResizeRequest, Transfer, Viewport,
};
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;

use super::credit::Credit;
use super::stream::{Number, bad_size};
use super::{close_code, end_of, facts};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::approval::gate::{Gate, gate, types_freely};
use crate::approval::gated::{Gated, Input, LeaseTake};
use crate::hub::presence::{End, Presence};
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::protocol_log::{Tape, Way};
use crate::routes::control::take;
use crate::show;
use crate::upstream::conn::{NotSent, Writer};

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It is attached still; its socket is to end.
    Ending,
    /// It said `detach`.
    Detached,
    /// Its socket is gone.
    Gone,
}

pub(super) struct Reader<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) principal: &'a Principal,
    pub(super) session: &'a Arc<Session>,
    pub(super) presence: &'a Presence,
    pub(super) attachment: Number,
    pub(super) to_worker: Writer,
    pub(super) credit: &'a Credit,
    pub(super) tape: &'a Tape,
    /// The input frame that found the way to the worker full. The worker never heard of it, so that keeping what is behind
    /// it back is done here: typed first, those would make its repetition look like one.
    pub(super) held_back: Mutex<Option<(Epoch, u64)>>,
}

/// An input frame for the worker, whole.
pub(crate) fn input_frame(header: InputHeader, bytes: &[u8]) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "input was bounded to 64 KiB before")]
    let len = (INPUT_HEADER_BYTES + bytes.len()) as u32;
    let mut out = Vec::with_capacity(HEADER_BYTES + INPUT_HEADER_BYTES + bytes.len());
    out.extend_from_slice(&Header::message(Kind::Input, 0, len).to_bytes());
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(bytes);
    out
}

/// What a binary message types: its seq, its epoch, the bytes.
pub(super) fn binary_input(bytes: &[u8]) -> Outcome<(u64, Epoch, &[u8])> {
    let (Some(&binary::INPUT), Some((seq, rest))) =
        (bytes.first(), bytes.get(1..).and_then(|rest| rest.split_first_chunk::<8>()))
    else {
        return Err(Failure::invalid("a client's binary messages are of kind 2: input"));
    };
    let Some((epoch, payload)) = rest.split_first_chunk::<8>() else {
        return Err(Failure::invalid("binary input has 17 bytes before the payload: kind, seq, epoch"));
    };
    Ok((u64::from_be_bytes(*seq), Epoch(u64::from_be_bytes(*epoch)), payload))
}

impl Reader<'_> {
    pub(super) async fn run(self, stream: &mut SplitStream<WebSocket>) -> Left {
        while let Some(message) = stream.next().await {
            let message = match message {
                Ok(message) => message,
                Err(err) => {
                    // Too large, not UTF-8, not masked …: the library can't go on, but it can still say so.
                    let failure = Failure::invalid(format!("the message can't be read: {err}"));
                    self.presence.end(end_of(failure));
                    return Left::Ending;
                }
            };
            if self.presence.ended().is_some_and(|end| end.bars()) {
                return Left::Ending;
            }
            if self.presence.heard() {
                self.session.heard(self.attachment).await;
            }
            self.tape.note(self.tape.head(&message, Way::In), Way::In);
            let outcome = match message {
                Message::Text(text) => self.text(&text).await,
                Message::Binary(bytes) => self.binary(&bytes).await,
                Message::Ping(_) | Message::Pong(_) => Ok(None),
                Message::Close(_) => return Left::Gone,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(left)) => return left,
                Err(failure) => {
                    self.presence.end(end_of(failure));
                    return Left::Ending;
                }
            }
        }
        Left::Gone
    }

    /// An error of this function ends the connection; what is only refused is told.
    async fn text(&self, text: &str) -> Outcome<Option<Left>> {
        let frame: ClientFrame =
            serde_json::from_str(text).map_err(|err| Failure::invalid(format!("the frame does not fit: {err}")))?;
        let told = match frame {
            ClientFrame::Hello { .. } => return Err(Failure::invalid("`hello` comes once, and first")),
            ClientFrame::Input { data_b64, epoch, seq } => {
                let bytes = BASE64
                    .decode(data_b64)
                    .map_err(|err| Failure::invalid(format!("`data_b64` is not base64: {err}")))?;
                self.judged_input(&bytes, epoch, seq.unwrap_or(0)).await;
                Ok(())
            }
            ClientFrame::Ack { cursor } => {
                self.credit.ack(cursor);
                self.presence.nudge();
                Ok(())
            }
            ClientFrame::Heartbeat => {
                self.pong();
                Ok(())
            }
            // They answer the program's questions once the client has control, which it can't get.
            ClientFrame::Facts { .. } if !self.principal.has(Right::Control) => Ok(()),
            ClientFrame::Facts { term } => self.done(Kind::Facts, &facts::checked(self.attachment, &term)).await,
            ClientFrame::Viewport { cols, rows } => self.viewport(Dimensions { cols, rows }).await,
            ClientFrame::Detach => {
                self.session.detach(self.attachment, true).await;
                self.presence.end(End { frame: None, code: 1000, reason: "detached" });
                return Ok(Some(Left::Detached));
            }
            ClientFrame::Resize { cols, rows } => self.resize(Dimensions { cols, rows }).await,
            ClientFrame::Claim { force } => self.claim(force).await,
            ClientFrame::Release => self.lease(Kind::Release, &Release { attachment: self.attachment }).await.map(drop),
            ClientFrame::Transfer { to_client_id: to } => match self.may_give(&to) {
                Err(failure) => Err(failure),
                Ok(()) => self.lease(Kind::Transfer, &Transfer { attachment: self.attachment, to }).await.map(drop),
            },
            ClientFrame::RequestControl => match self.taken(false).await {
                Err(failure) => Err(failure),
                Ok(()) => {
                    self.lease(Kind::RequestControl, &RequestControl { attachment: self.attachment }).await.map(drop)
                }
            },
            ClientFrame::DenyControl { client_id: client } => match self.principal.need(Right::Control) {
                Err(failure) => Err(failure),
                Ok(()) => self.done(Kind::DenyControl, &DenyControl { attachment: self.attachment, client }).await,
            },
        };
        if let Err(failure) = told {
            self.tell(failure)?;
        }
        Ok(None)
    }

    /// Tells the client what was refused; what means that the session is gone ends the connection.
    fn tell(&self, failure: Failure) -> Outcome<()> {
        if close_code(failure.code) == 4004 {
            return Err(failure);
        }
        self.presence.tell(failure.frame());
        Ok(())
    }

    async fn binary(&self, bytes: &[u8]) -> Outcome<Option<Left>> {
        let (seq, epoch, payload) = binary_input(bytes)?;
        self.judged_input(payload, epoch, seq).await;
        Ok(None)
    }

    /// Types what may be typed. Most of it waits for nothing: nobody is asked about a person's keystrokes unless a rule names that
    /// person.
    async fn judged_input(&self, bytes: &[u8], epoch: Epoch, seq: u64) {
        let may =
            self.principal.has(Right::Control) && self.reaches().is_ok() && bytes.len() <= DATA_BYTES_MAX as usize;
        if may && types_freely(self.app, self.principal, self.session).is_none() {
            let gated = Input::new(self.session.id, self.presence.identity.client.clone(), bytes);
            let refused = match gate(self.app, self.principal, Gated::Input(gated), None).await {
                Ok(Gate::Go(_permit)) => return self.input(bytes, epoch, seq),
                Ok(Gate::Asked(row)) => Failure::asked(row.id),
                Err(failure) => failure,
            };
            let mut frame = refused.frame();
            if let ServerFrame::Error { seq: told, .. } = &mut frame {
                *told = Some(seq);
            }
            return self.presence.tell(frame);
        }
        self.input(bytes, epoch, seq);
    }

    fn input(&self, bytes: &[u8], epoch: Epoch, seq: u64) {
        let refused = |code, message: &str| {
            self.presence.tell(ServerFrame::Error {
                code,
                message: message.to_owned(),
                seq: Some(seq),
                accepted: None,
                by: None,
                since: None,
                owner_name: None,
                owner_kind: None,
                approval_id: None,
            });
        };
        if !self.principal.has(Right::Control) {
            return refused(ErrorCode::Forbidden, "this login may only watch");
        }
        if let Err(failure) = self.reaches() {
            return refused(failure.code, &failure.detail);
        }
        if bytes.len() > DATA_BYTES_MAX as usize {
            return refused(
                ErrorCode::TooLarge,
                "an input frame carries at most 64 KiB: send it in parts, each with its own seq",
            );
        }
        const FULL: &str = "the session's worker does not read: send it again later";
        let mut held_back = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        if held_back.is_some_and(|(under, first)| under == epoch && seq > first) {
            return refused(ErrorCode::InputFull, FULL);
        }
        *held_back = None;
        let frame = input_frame(InputHeader { attachment: self.attachment, epoch, seq }, bytes);
        match self.to_worker.send(frame) {
            Ok(()) => {}
            Err(NotSent::Full) => {
                *held_back = (seq != 0).then_some((epoch, seq));
                refused(ErrorCode::InputFull, FULL);
            }
            // The feed ends as well, and with it this socket; the client sends it again after it came back.
            Err(NotSent::Gone) => {}
        }
    }

    fn pong(&self) {
        let client = &self.presence.identity.client;
        let owner =
            self.session.live().lease.and_then(|lease| lease.owner).is_some_and(|owner| owner.client == *client);
        let ttl = self.app.context.lease_ttl;
        let until = crate::hub::session::until_us(self.presence.last_heard(), ttl);
        self.presence.tell(ServerFrame::Pong { expires_at: owner.then(|| crate::clock::rfc3339(until)) });
    }

    async fn viewport(&self, size: Dimensions) -> Outcome<()> {
        if !size.is_valid() {
            return Err(bad_size());
        }
        self.done(Kind::Viewport, &Viewport { attachment: self.attachment, size }).await
    }

    async fn resize(&self, size: Dimensions) -> Outcome<()> {
        self.principal.need(Right::Control)?;
        self.reaches()?;
        if !size.is_valid() {
            return Err(bad_size());
        }
        self.done(Kind::ResizeRequest, &ResizeRequest { attachment: self.attachment, size }).await
    }

    /// Judges a claim of a session that somebody else made.
    async fn taken(&self, force: bool) -> Outcome<()> {
        self.principal.need(Right::Control)?;
        self.reaches()?;
        let client_id = self.presence.identity.client.clone();
        let gated = LeaseTake { session_id: self.session.id, client_id, force };
        match take(self.app, self.principal, self.session, gated, None).await? {
            Gate::Go(_permit) => Ok(()),
            Gate::Asked(row) => Err(Failure::asked(row.id)),
        }
    }

    async fn claim(&self, force: bool) -> Outcome<()> {
        self.taken(force).await?;
        let before = self.session.live().lease.map(|lease| lease.epoch);
        let claim = Claim { attachment: self.attachment, force, if_epoch: None, request: 0 };
        let record = self.lease(Kind::Claim, &claim).await?;
        // A change is announced to all; a renewal is for its owner alone.
        if before == Some(record.epoch) {
            let until = crate::hub::session::until_us(self.presence.last_heard(), self.app.context.lease_ttl);
            self.presence.tell(show::lease_frame(&record, until));
        }
        Ok(())
    }

    async fn lease<Q: bincode::Encode + Sync>(&self, kind: Kind, body: &Q) -> Outcome<LeaseRecord> {
        self.principal.need(Right::Control)?;
        // To give up what it has is nobody's risk.
        if kind != Kind::Release {
            self.reaches()?;
        }
        self.session.lease_call(kind, body).await
    }

    /// First whether it may at all: who may not learns nothing of others.
    fn may_give(&self, to: &ClientId) -> Outcome<()> {
        self.principal.need(Right::Control)?;
        self.app.may_be_given_control(self.session, to)
    }

    /// Whether the client may act in this session at all.
    fn reaches(&self) -> Outcome<()> {
        self.principal.need_reach_into(self.session)
    }

    async fn done<Q: bincode::Encode + Sync>(&self, kind: Kind, body: &Q) -> Outcome<()> {
        self.session.call(kind, body, Kind::Done).await.map(drop)
    }
}
