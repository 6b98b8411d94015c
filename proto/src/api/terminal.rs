//! Requests and answers of the terminal routes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, Cursor, Epoch, SessionId, WorkspaceId};
use crate::limits::Limits;
use crate::spec::Profile;

use super::handback::Handback;
use super::session::{AgentInput, Exit, FolderGrant, Record, SessionStatus, Size, asked_size};

/// `POST /v1/terminal/sessions`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CreateTerminal {
    /// A client's key for create-or-resume, within the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<String>,
    /// Its workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// Program and arguments; none = the login shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Working directory; none = the workspace's root or HOME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Laid over the environment Baton was started with.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Free labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Columns at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cols: Option<u16>,
    /// Rows at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u16>,
    /// Size policy.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "asked_size")]
    pub size: Option<Size>,
    /// How far it is confined; none = `host` for a person, `workspace` for an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Profile>,
    /// What it may use besides the system, when it is confined; none = `cwd`, with all rights, where one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<FolderGrant>>,
    /// Hosts it may reach over the network under `workspace`, through a proxy: `NAME`, `*.NAME` or an address, `:PORT` behind it for
    /// that port only; at most 64. None = no network but its own loopback.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Whether it may use the keys of the person's ssh agent under `workspace`: list them and sign with them, for as long as it runs.
    /// The agent is the one that `SSH_AUTH_SOCK` of `env` names, or else of the environment Baton was started with. A person's to ask.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ssh_agent: bool,
    /// What it may use at most; none = as much as the host gives.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Seconds without output, input and client until it closes; 0 = never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_s: Option<u64>,
    /// What a respawn runs instead of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_cmd: Option<Vec<String>>,
    /// How much is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Whether typed bytes are recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_input: Option<bool>,
    /// Whether an agent's input goes straight to the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_input: Option<AgentInput>,
}

/// The session is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Created {
    /// Its id.
    pub session_id: SessionId,
    /// Path of its WebSocket.
    pub stream_url: String,
    /// From here the whole output can be had.
    pub replay_cursor: Cursor,
    /// False: it was there already (`terminal_id`).
    pub created: bool,
    /// Where it is in its life.
    pub status: SessionStatus,
}

/// `POST …/claim`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Who claims.
    pub client_id: ClientId,
    /// Even if somebody holds it, where the rules let it.
    #[serde(default)]
    pub force: bool,
}

/// Control is yours (or, after release and transfer, somebody's).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// Who has it now.
    pub lease_owner: Option<ClientId>,
    /// RFC 3339; null when nobody has it.
    pub lease_expires_at: Option<String>,
    /// The epoch input must carry.
    pub epoch: Epoch,
    /// To an agent that has control again after somebody else had it: what happened meanwhile. The same at each claim under
    /// this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handback: Option<Box<Handback>>,
}

/// `POST …/release`, `…/request-control`, `…/detach`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientRequest {
    /// Who.
    pub client_id: ClientId,
}

/// `POST …/transfer`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// Who gives.
    pub client_id: ClientId,
    /// Who gets.
    pub to_client_id: ClientId,
}

/// `POST …/deny-control`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DenyRequest {
    /// The owner.
    pub client_id: ClientId,
    /// Who asked.
    pub to_client_id: ClientId,
}

/// `POST …/close`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CloseRequest {
    /// Reaches every client.
    pub reason: Option<String>,
}

/// `POST …/input`: exactly one of `data_b64`, `text`, `keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InputRequest {
    /// Who types; needs the lease.
    pub client_id: ClientId,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_b64: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// W3C key names with `Ctrl+`, `Alt+`, `Shift+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// The epoch it is typed under; none = the current one, if the client owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// `POST …/resize`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResizeBody {
    /// Who; needs the lease.
    pub client_id: ClientId,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// `POST …/signal`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// Who; needs the lease.
    pub client_id: ClientId,
    /// `INT`, `TERM`, `HUP`, `QUIT`, `KILL`, `TSTP`, `CONT`, `USR1`, `USR2`, `WINCH`.
    pub signal: String,
    /// The epoch it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

/// `POST …/exec`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Who; needs the lease.
    pub client_id: ClientId,
    /// What to run in this shell: a line, or several that are one command to it. Nothing, or a comment, is a success.
    pub command: String,
    /// The epoch it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Seconds to wait, at most 3600; 60 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

/// What a command did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecAnswer {
    /// Its exit code, 128 and the signal's number if one ended the session; null when the wait timed out, or when the shell is
    /// back at its prompt without having told it (the line was interrupted).
    pub exit_code: Option<i32>,
    /// What it wrote (at most 1 MiB, the newest), as text.
    pub output: String,
    /// Where its output begins.
    pub cursor_start: Cursor,
    /// Where it ends.
    pub cursor_end: Cursor,
    /// Whether older output is left out.
    pub truncated: bool,
    /// The wait ran out; the command still runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed_out: bool,
    /// The session ended with it, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// `POST …/wait`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    /// Until any of these.
    pub until: WaitUntil,
    /// Seconds to wait, at most 3600; 60 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

/// Conditions; any one ends the wait.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WaitUntil {
    /// A regular expression over the output from `cursor` (or from now) as text: lines as shown, without escape sequences, each
    /// ended by `\n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The program ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<bool>,
    /// No output for so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// With `pattern`: where to begin. Alone: output has reached this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// A mark: `prompt` (also seen without shell integration), `command`, `command_end`, `bell`, `notification`, `title`, `cwd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// What ended a wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitAnswer {
    /// `pattern`, `exit`, `idle`, `cursor`, `mark` or `timeout`.
    pub matched: String,
    /// Output so far.
    pub cursor: Cursor,
    /// For `pattern`: what matched; for `mark`: its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For `exit`: how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}
