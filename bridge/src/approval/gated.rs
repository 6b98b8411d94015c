//! What is asked about before it is done.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::api::CreateTerminal;
use baton_proto::ids::{ClientId, Epoch, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Action, ActionKind};
use crate::problem::{Failure, Outcome};

/// Something that the policy judges, whole: what is run after a decision is this and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "action", content = "payload")]
pub enum Gated {
    /// A line at a shell's prompt.
    #[serde(rename = "terminal.exec")]
    Exec(Exec),
    /// Input for a program.
    #[serde(rename = "terminal.input")]
    Input(Input),
    /// The program that a session begins with, and what the session is granted.
    #[serde(rename = "process.spawn")]
    Spawn(Box<CreateTerminal>),
    /// A session that is not confined.
    #[serde(rename = "session.unsandboxed")]
    Unsandboxed(Box<CreateTerminal>),
    /// Control of a session that somebody else made.
    #[serde(rename = "lease.take")]
    LeaseTake(LeaseTake),
}

/// See [`Gated::Exec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// In this session.
    pub session_id: SessionId,
    /// As this client, which has to hold the lease.
    pub client_id: ClientId,
    /// The line.
    pub command: String,
    /// Seconds that its end is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

/// See [`Gated::Input`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// In this session.
    pub session_id: SessionId,
    /// As this client, which has to hold the lease.
    pub client_id: ClientId,
    /// The bytes.
    pub data_b64: String,
    /// The same, to be read: what is no text is escaped. Not what is typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// See [`Gated::LeaseTake`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseTake {
    /// Of this session.
    pub session_id: SessionId,
    /// By this client.
    pub client_id: ClientId,
    /// Even if another agent holds it.
    #[serde(default)]
    pub force: bool,
}

impl Gated {
    /// Its action.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Exec(_) => ActionKind::TerminalExec,
            Self::Input(_) => ActionKind::TerminalInput,
            Self::Spawn(_) => ActionKind::ProcessSpawn,
            Self::Unsandboxed(_) => ActionKind::SessionUnsandboxed,
            Self::LeaseTake(_) => ActionKind::LeaseTake,
        }
    }

    /// The session that it is about, if there is one yet.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Exec(exec) => Some(exec.session_id),
            Self::Input(input) => Some(input.session_id),
            Self::LeaseTake(take) => Some(take.session_id),
            Self::Spawn(_) | Self::Unsandboxed(_) => None,
        }
    }

    /// The client as which it is done.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::Exec(exec) => Some(&exec.client_id),
            Self::Input(input) => Some(&input.client_id),
            Self::LeaseTake(take) => Some(&take.client_id),
            Self::Spawn(_) | Self::Unsandboxed(_) => None,
        }
    }

    /// In a few words, without the payload.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Exec(_) => "run a command",
            Self::Input(_) => "type",
            Self::Spawn(request) if request.command.is_none() => "start a session that is granted more",
            Self::Spawn(_) => "start a program",
            Self::Unsandboxed(_) => "start a session that is not confined",
            Self::LeaseTake(_) => "take control",
        }
    }

    /// What the policy judges: of several the strictest answer counts.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let spawn = |request: &CreateTerminal| request.command.clone().map(|argv| Action::ProcessSpawn { argv });
        match self {
            Self::Exec(exec) => vec![Action::TerminalExec { command: exec.command.clone() }],
            Self::Input(input) => {
                let text = String::from_utf8_lossy(&input.bytes().unwrap_or_default()).into_owned();
                vec![Action::TerminalInput { text }]
            }
            Self::Spawn(request) => spawn(request).into_iter().collect(),
            Self::Unsandboxed(request) => {
                [Some(Action::SessionUnsandboxed {}), spawn(request)].into_iter().flatten().collect()
            }
            Self::LeaseTake(take) => vec![Action::LeaseTake { session: take.session_id.to_string() }],
        }
    }

    fn names_program(&self) -> bool {
        matches!(self, Self::Spawn(request) if request.command.is_some())
    }

    /// Its payload, as it is shown.
    #[must_use]
    pub fn payload(&self) -> Value {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("payload").cloned().unwrap_or_default()
    }

    /// Of an action's name and a payload.
    ///
    /// # Errors
    /// `invalid`, with what does not fit.
    pub fn of(action: &str, payload: Value) -> Outcome<Self> {
        serde_json::from_value(serde_json::json!({ "action": action, "payload": payload }))
            .map_err(|err| Failure::invalid(format!("the payload is none of `{action}`: {err}")))
    }

    /// The same with another payload: what somebody edited it to. Where and as whom it is done stays as it is.
    ///
    /// # Errors
    /// `invalid`.
    pub fn edited(&self, action: &str, payload: Value) -> Outcome<Self> {
        let mut edited = Self::of(action, payload)?;
        if edited.session() != self.session() || edited.client() != self.client() {
            return Err(Failure::invalid("an edit changes what is done, not in which session or as which client"));
        }
        match &mut edited {
            Self::Input(input) => input.shown = Some(shown(&input.bytes()?)),
            Self::Unsandboxed(request) if !is_unconfined(request) => {
                let detail =
                    "a confined session needs no approval: deny this one, and say in the notes to ask for `workspace`";
                return Err(Failure::invalid(detail));
            }
            Self::Spawn(request) if is_unconfined(request) || (request.command.is_none() && self.names_program()) => {
                let detail = "an edit of a confined session's program leaves it confined, and names a program";
                return Err(Failure::invalid(detail));
            }
            _ => {}
        }
        Ok(edited)
    }
}

/// Whether it asks for a session that is not confined.
#[must_use]
pub fn is_unconfined(request: &CreateTerminal) -> bool {
    request.sandbox.is_some_and(|profile| !baton_sandbox::profile::is_confined(profile))
}

impl Input {
    /// Of bytes.
    #[must_use]
    pub fn new(session_id: SessionId, client_id: ClientId, bytes: &[u8]) -> Self {
        Self { session_id, client_id, data_b64: BASE64.encode(bytes), shown: Some(shown(bytes)) }
    }

    /// The bytes.
    ///
    /// # Errors
    /// `invalid`.
    pub fn bytes(&self) -> Outcome<Vec<u8>> {
        let bytes = BASE64.decode(&self.data_b64);
        bytes.map_err(|err| Failure::invalid(format!("`data_b64` is not base64: {err}")))
    }
}

/// Bytes as a person reads them: controls and what is no text escaped, so that nothing is hidden by what it does to a screen.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().flat_map(char::escape_debug));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// What a route or frame is about, if the policy judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It goes through the gate.
    As(ActionKind),
    /// It goes through the gate, as one of these or as both.
    AsEither(ActionKind, ActionKind),
    /// It needs no judgement: why.
    Not(&'static str),
}

use Judged::{As, AsEither, Not};

/// Reading, or what a client says of itself.
const READS: Judged = Not("changes nothing");
/// What the roles decide alone.
const BY_ROLE: Judged = Not("an owner's right; no agent has it");

/// Every route and frame, and what the policy judges of it. A test holds it against the served document and the frames that
/// there are: a new one without a row fails.
pub const TABLE: &[(&str, Judged)] = &[
    ("POST /v1/auth/login", Not("proves who somebody is")),
    ("POST /v1/auth/logout", Not("its own login")),
    ("GET /v1/auth/me", READS),
    ("POST /v1/auth/links", BY_ROLE),
    ("DELETE /v1/auth/links/{id}", BY_ROLE),
    ("POST /v1/auth/tokens", BY_ROLE),
    ("GET /v1/auth/tokens", BY_ROLE),
    ("DELETE /v1/auth/tokens/{id}", BY_ROLE),
    ("GET /v1/audit", READS),
    ("GET /v1/audit/verify", READS),
    ("GET /v1/approvals", READS),
    ("GET /v1/approvals/{id}", READS),
    ("POST /v1/approvals/{id}/decision", Not("a person's decision itself")),
    ("POST /v1/approvals/{id}/cancel", Not("takes back what the caller asked for")),
    ("GET /v1/sessions", READS),
    ("GET /v1/sessions/{session_id}", READS),
    (
        "PATCH /v1/sessions/{session_id}",
        Not("names and bounds of a session that the caller controls; `agent_input` is a person's"),
    ),
    ("DELETE /v1/sessions/{session_id}", Not("an ended session of the caller's own sight")),
    ("GET /v1/sessions/{session_id}/events", READS),
    (
        "POST /v1/sessions/{session_id}/respawn",
        Not("what it runs is judged where it runs; an agent is refused what a person would be asked about"),
    ),
    ("GET /v1/events", READS),
    ("POST /v1/terminal/sessions", AsEither(ActionKind::ProcessSpawn, ActionKind::SessionUnsandboxed)),
    ("GET /v1/terminal/sessions/{session_id}", READS),
    ("POST /v1/terminal/sessions/{session_id}/claim", As(ActionKind::LeaseTake)),
    ("POST /v1/terminal/sessions/{session_id}/release", Not("gives up")),
    ("POST /v1/terminal/sessions/{session_id}/transfer", Not("gives up, to somebody who may have it")),
    ("POST /v1/terminal/sessions/{session_id}/request-control", As(ActionKind::LeaseTake)),
    ("POST /v1/terminal/sessions/{session_id}/deny-control", Not("answers who asked")),
    ("POST /v1/terminal/sessions/{session_id}/detach", Not("gives up")),
    ("POST /v1/terminal/sessions/{session_id}/close", Not("ends a session of the caller's own sight")),
    ("POST /v1/terminal/sessions/{session_id}/input", As(ActionKind::TerminalInput)),
    ("POST /v1/terminal/sessions/{session_id}/resize", Not("a size")),
    (
        "POST /v1/terminal/sessions/{session_id}/signal",
        Not("a signal for what the lease's owner started; `reach` keeps agents to confined sessions"),
    ),
    ("POST /v1/terminal/sessions/{session_id}/exec", As(ActionKind::TerminalExec)),
    ("POST /v1/terminal/sessions/{session_id}/wait", READS),
    ("GET /v1/terminal/sessions/{session_id}/output", READS),
    ("GET /v1/terminal/sessions/{session_id}/search", READS),
    ("GET /v1/terminal/sessions/{session_id}/recording.cast", READS),
    ("GET /v1/terminal/sessions/{session_id}/snapshot", READS),
    ("GET /v1/terminal/streams/{session_id}", Not("its frames are judged one by one")),
    ("POST /v1/upgrade", BY_ROLE),
    ("GET /v1/settings", READS),
    ("PATCH /v1/settings/defaults", BY_ROLE),
    ("POST /v1/settings/env/reload", BY_ROLE),
    ("GET /v1/settings/agents/{agent}/status", BY_ROLE),
    ("PATCH /v1/settings/agents/{agent}/cli-path", BY_ROLE),
    ("GET /v1/settings/sessiond/status", READS),
    ("POST /v1/settings/sessiond/restart", BY_ROLE),
    ("GET /v1/health", READS),
    ("GET /v1/status", READS),
    ("GET /metrics", READS),
    ("GET /v1/openapi.json", READS),
    ("frame hello", READS),
    ("frame input", As(ActionKind::TerminalInput)),
    ("frame ack", READS),
    ("frame heartbeat", READS),
    ("frame facts", READS),
    ("frame viewport", READS),
    ("frame detach", Not("gives up")),
    ("frame resize", Not("a size")),
    ("frame claim", As(ActionKind::LeaseTake)),
    ("frame release", Not("gives up")),
    ("frame transfer", Not("gives up, to somebody who may have it")),
    ("frame request_control", As(ActionKind::LeaseTake)),
    ("frame deny_control", Not("answers who asked")),
];

/// The epoch under which something is typed, if its client holds the lease.
#[must_use]
pub fn own_epoch(session: &crate::hub::session::Session, client: &ClientId) -> Option<Epoch> {
    let lease = session.live().lease?;
    lease.owner.as_ref().filter(|owner| owner.client == *client)?;
    Some(lease.epoch)
}
