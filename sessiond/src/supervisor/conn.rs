//! One client of sessiond: the handshake, then requests.
//!
//! Until the client has proved that it holds the install key it can make sessiond buffer no more than a handshake's
//! frame, and it learns nothing but who answers.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::frame::{Kind, read_body};
use baton_proto::hello::{Accepted, HANDSHAKE_TIMEOUT_S, Hello, InstallKey, Nonce, Proof, Role, Welcome, Who};
use baton_proto::v1::{AskStatus, EditSettings, Failed, ForgetSession, ListSessions, OpenSession, Respawn, Upgrade};
use baton_proto::{InstanceId, ProtoError, SessionId};

use super::event::Request;
use super::pipe::{Pipe, PipeError};
use super::respawn::Change;

/// What sessiond says of itself in a handshake.
#[derive(Debug)]
pub struct Identity {
    /// The install key.
    pub key: InstallKey,
    /// This process.
    pub pid: u32,
}

/// A refusal, with its words for the peer.
#[derive(Debug, thiserror::Error)]
pub enum ConnError {
    /// The stream is over.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// The peer is told why and let go.
    #[error("refused: {0}")]
    Refused(&'static str),
}

impl From<ProtoError> for ConnError {
    fn from(err: ProtoError) -> Self {
        Self::Pipe(PipeError::Proto(err))
    }
}

#[derive(Debug)]
enum Phase {
    Hello,
    Proof { hello: Box<Hello>, version: u16, nonce: Nonce },
    Open,
}

/// One client.
#[derive(Debug)]
pub struct Conn {
    /// Its stream.
    pub pipe: Pipe,
    phase: Phase,
    deadline: Instant,
    /// A list under way: the request's id and the last session sent.
    pub listing: Option<(u64, Option<SessionId>)>,
}

impl Conn {
    /// A client that has just connected.
    #[must_use]
    pub fn new(pipe: Pipe, now: Instant) -> Self {
        let deadline = now + Duration::from_secs(HANDSHAKE_TIMEOUT_S);
        Self { pipe, phase: Phase::Hello, deadline, listing: None }
    }

    /// Whether it has proved itself.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// When its handshake is too late.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_open()).then_some(self.deadline)
    }

    /// The next request that has arrived whole, with its id. Carries the handshake on as well.
    ///
    /// # Errors
    /// [`ConnError`]: the connection is to be closed.
    pub fn next_request(&mut self, identity: &Identity) -> Result<Option<(u64, Request)>, ConnError> {
        loop {
            if !self.is_open() {
                if !self.shake(identity)? {
                    return Ok(None);
                }
                continue;
            }
            let Some((header, payload)) = self.pipe.next_frame()? else { return Ok(None) };
            let out_of_order = |expected| ProtoError::OutOfOrder { kind: header.kind, expected };
            // What a newer client may ask and this sessiond does not know is ignored, as the protocol says.
            let Some(kind) = header.known_kind() else { continue };
            let request = match kind {
                Kind::Spawn => Request::Spawn(Box::new(read_body(kind, &payload)?)),
                Kind::ListSessions => {
                    let ListSessions {} = read_body(kind, &payload)?;
                    Request::List
                }
                Kind::OpenSession => Request::Open(read_body::<OpenSession>(kind, &payload)?.session),
                Kind::ForgetSession => Request::Forget(read_body::<ForgetSession>(kind, &payload)?.session),
                Kind::Upgrade => Request::Upgrade(read_body::<Upgrade>(kind, &payload)?.what),
                Kind::Respawn => {
                    let asked = read_body::<Respawn>(kind, &payload)?;
                    // sessiond fills the rest in; see `Supervisor::complete`.
                    let instance = InstanceId::from_uuid(uuid::Uuid::nil());
                    Request::Respawn(Box::new(Change { asked, instance, boot_id: String::new(), worker_lives: true }))
                }
                Kind::EditSettings => Request::Settings(Box::new(read_body::<EditSettings>(kind, &payload)?)),
                Kind::AskStatus => {
                    let AskStatus {} = read_body(kind, &payload)?;
                    Request::Status
                }
                _ => return Err(out_of_order("a request to sessiond").into()),
            };
            if header.at == 0 {
                return Err(out_of_order("a request with an id").into());
            }
            return Ok(Some((header.at, request)));
        }
    }

    /// One step of the handshake; false until its frame is whole.
    fn shake(&mut self, identity: &Identity) -> Result<bool, ConnError> {
        let (expected, words) = match self.phase {
            Phase::Hello => (Kind::Hello, "`Hello`"),
            _ => (Kind::Proof, "`Proof`"),
        };
        // By the header alone: what is not a handshake's frame is not worth a megabyte of buffer.
        let Some(header) = self.pipe.next_header()? else { return Ok(false) };
        if header.known_kind() != Some(expected) {
            return Err(ProtoError::OutOfOrder { kind: header.kind, expected: words }.into());
        }
        let Some((_, payload)) = self.pipe.next_frame()? else { return Ok(false) };
        match std::mem::replace(&mut self.phase, Phase::Hello) {
            Phase::Hello => {
                let hello: Hello = read_body(Kind::Hello, &payload)?;
                if matches!(hello.role, Role::Supervisor { .. }) {
                    return Err(ConnError::Refused("there is one sessiond, and it is this process"));
                }
                let Ok(version) = hello.shared_version() else {
                    return Err(ConnError::Refused("no protocol version in common; update the older of the two"));
                };
                let nonce = fresh_nonce()?;
                let welcome = Welcome {
                    version,
                    who: Who::Supervisor,
                    pid: identity.pid,
                    nonce,
                    proof: identity.key.listener_proof(&hello, version, &nonce),
                    capabilities: Vec::new(),
                    build: env!("CARGO_PKG_VERSION").to_owned(),
                };
                self.pipe.send(Kind::Welcome, 0, &welcome)?;
                self.phase = Phase::Proof { hello: Box::new(hello), version, nonce };
            }
            Phase::Proof { hello, version, nonce } => {
                let proof: Proof = read_body(Kind::Proof, &payload)?;
                if !identity.key.believes_dialler(&hello, version, &nonce, &proof) {
                    return Err(ConnError::Refused("the proof of the install key is wrong"));
                }
                self.pipe.send(Kind::Accepted, 0, &Accepted {})?;
                self.phase = Phase::Open;
            }
            Phase::Open => self.phase = Phase::Open,
        }
        Ok(true)
    }

    /// Tells the peer why it is let go, as far as its socket takes it at once.
    pub fn refuse(&mut self, why: &ConnError) {
        let message = match why {
            ConnError::Pipe(PipeError::Proto(err)) => err.to_string(),
            ConnError::Refused(words) => (*words).to_owned(),
            ConnError::Pipe(_) => return,
        };
        let failed = Failed { code: ErrorCode::Refused, message, owner: None, oldest: None };
        // It is let go either way.
        let _ = self.pipe.send(Kind::Refused, 0, &failed);
    }
}

/// A random number, used once.
///
/// # Errors
/// When the kernel gives none: nobody is believed then.
pub fn fresh_nonce() -> Result<Nonce, PipeError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|err| std::io::Error::other(err.to_string()))?;
    Ok(nonce)
}
