//! Sessions, leases and clients as the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{ClientId, Cursor, Epoch, InstanceId, SessionId, WorkspaceId};
use crate::limits::Limits;
use crate::spec::{Grant, Profile, SessionKind};
pub use crate::spec::{Layer, LayerStatus};
use crate::v1::ClientKind;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Being started.
    Starting,
    /// Alive.
    Running,
    /// Its program ended by itself.
    Exited,
    /// Ended by request or timeout.
    Closed,
    /// The host died; the journal is still there.
    Lost,
    /// Never started.
    Failed,
}

impl SessionStatus {
    /// `starting` or `running`.
    #[must_use]
    pub const fn is_living(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// How the size follows the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SizeMode {
    /// The owner's viewport.
    #[default]
    Holder,
    /// Always the same.
    Fixed,
    /// The owner's viewport, clipped.
    Cap,
}

/// A session's size and its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Size {
    /// How it follows the clients.
    #[serde(default)]
    pub policy: SizeMode,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// For `cap`: most columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cols: Option<u16>,
    /// For `cap`: most rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u16>,
}

/// How a session is confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxReport {
    /// What was asked for.
    pub profile: Profile,
    /// What holds, as the program was started: none for `host`, and for a session that has not come so far.
    pub layers: Vec<Layer>,
}

impl SandboxReport {
    /// The layers that are missing, in whole or in part.
    pub fn missing(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.status != LayerStatus::Enforced)
    }
}

/// What a session may use at most, and how far that holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct LimitsReport {
    /// Bytes of private memory of each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Its share of the processors when they are short; 100 = as everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u64>,
    /// Open files of each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Seconds after the start of its program when it is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<u64>,
    /// Bytes of HOME and temporary files of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// How far each of them holds, as the kernel says of the program that was started; none until it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

impl LimitsReport {
    /// Of what was asked for, and what the worker said of it.
    #[must_use]
    pub fn new(asked: &Limits, layers: Vec<Layer>) -> Self {
        let Limits { memory_bytes, processes, cpu_weight, open_files, wall_s, disk_bytes } = *asked;
        Self { memory_bytes, processes, cpu_weight, open_files, wall_s, disk_bytes, layers }
    }

    /// The limits that do not hold, in whole or in part.
    pub fn missing(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.status != LayerStatus::Enforced)
    }
}

/// A directory tree that a confined session may read and, as far as it says, change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FolderGrant {
    /// The asker's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Absolute path of the directory.
    pub root_path: String,
    /// Change what is in files.
    pub allow_write: bool,
    /// Make files, directories, links, pipes and sockets.
    pub allow_create: bool,
    /// Remove files and directories, and move them away.
    pub allow_delete: bool,
    /// Absolute paths of directories below the root where everything may be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_roots: Vec<String>,
}

impl From<FolderGrant> for Grant {
    fn from(grant: FolderGrant) -> Self {
        Self {
            root: grant.root_path,
            write: grant.allow_write,
            create: grant.allow_create,
            delete: grant.allow_delete,
            output_roots: grant.output_roots,
        }
    }
}

impl From<&Grant> for FolderGrant {
    fn from(grant: &Grant) -> Self {
        Self {
            id: None,
            root_path: grant.root.clone(),
            allow_write: grant.write,
            allow_create: grant.create,
            allow_delete: grant.delete,
            output_roots: grant.output_roots.clone(),
        }
    }
}

/// How a program ended. `code` and `signal` are both null when nobody could learn it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exit {
    /// Exit code.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Why.
    pub reason: String,
}

/// Whether an agent's input goes straight to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentInput {
    /// It does.
    #[default]
    Direct,
    /// A person previews and releases it.
    Held,
}

/// How much of a session is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The newest bytes, up to the journal's bound.
    #[default]
    Bounded,
    /// Everything.
    Full,
    /// Nothing.
    Off,
}

/// One live thing in a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What runs in it.
    pub kind: SessionKind,
    /// Where it is in its life.
    pub status: SessionStatus,
    /// The name people gave it.
    pub title: String,
    /// The program's own title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_title: Option<String>,
    /// Its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// A client's key for create-or-resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<String>,
    /// The agent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_agent_id: Option<String>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How it is confined.
    pub sandbox: SandboxReport,
    /// What it may use besides the system, when it is confined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<FolderGrant>,
    /// What it may use at most.
    #[serde(default)]
    pub limits: LimitsReport,
    /// Its size.
    pub size: Size,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// What a respawn runs instead of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_cmd: Option<Vec<String>>,
    /// Whether an agent's input goes straight to the program.
    pub agent_input: AgentInput,
    /// How much is recorded.
    pub record: Record,
    /// Whether typed bytes are recorded.
    pub record_input: bool,
    /// No sessiond and no client.
    pub parked: bool,
    /// This life of the program.
    pub instance: InstanceId,
    /// Output so far.
    pub cursor: Cursor,
    /// Oldest byte kept.
    pub oldest_cursor: Cursor,
    /// Oldest byte from which a screen can be drawn.
    pub oldest_screen_cursor: Cursor,
    /// The program's process.
    pub pid: Option<u32>,
    /// The worker's process.
    pub worker_pid: Option<u32>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub last_activity_at: String,
    /// Seconds without output, input and client until it closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_s: Option<u64>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Why it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Who has control; also in lists, so that a list need not ask once a session.
    pub lease: Option<Lease>,
    /// How many clients are attached.
    pub client_count: u32,
}

/// Who has control. `null` in its place: nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lease {
    /// The owner's client id.
    pub owner: ClientId,
    /// Its name.
    pub owner_name: String,
    /// Its kind.
    pub owner_kind: ClientKind,
    /// The epoch its input must carry.
    pub epoch: Epoch,
    /// RFC 3339; moves with each sign of life.
    pub expires_at: String,
    /// Claimable by anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Viewport {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// One attached client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Client {
    /// Its id.
    pub client_id: ClientId,
    /// Its kind.
    pub client_kind: ClientKind,
    /// Its name.
    pub name: String,
    /// What it can show.
    pub viewport: Option<Viewport>,
    /// RFC 3339.
    pub attached_at: String,
}

/// What runs in the foreground.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Foreground {
    /// The process group's leader.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// The program's own modes, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "independent modes of a terminal")]
pub struct Modes {
    /// The kernel echoes what is typed.
    pub echo: bool,
    /// The kernel edits lines.
    pub canonical: bool,
    /// The shell waits for a line.
    pub at_prompt: bool,
    /// The alternate screen is shown.
    #[serde(default)]
    pub alt_screen: bool,
    /// What mouse movements the program is told: `x10`, `clicks`, `drags` or `all`; null = none.
    #[serde(default)]
    pub mouse_mode: Option<String>,
    /// Bracketed paste.
    #[serde(default)]
    pub bracketed_paste: bool,
    /// Focus reports.
    #[serde(default)]
    pub focus_reports: bool,
    /// Arrow keys are typed as `ESC O`.
    #[serde(default)]
    pub application_cursor: bool,
    /// Kitty keyboard flags in force.
    #[serde(default)]
    pub kitty_keyboard: u32,
}

/// `GET /v1/sessions/{id}`: the session and what is going on in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// Who is attached.
    pub clients: Vec<Client>,
    /// The program's modes.
    pub modes: Modes,
    /// What runs in the foreground.
    pub foreground: Option<Foreground>,
    /// Its working directory.
    pub cwd: Option<String>,
}

/// A size as it is asked for: what nobody would read is refused. One that is told may have more, from a newer bridge.
pub(super) fn asked_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        policy: SizeMode,
        cols: u16,
        rows: u16,
        max_cols: Option<u16>,
        max_rows: Option<u16>,
    }
    let asked = Option::<Asked>::deserialize(deserializer)?;
    Ok(asked.map(|Asked { policy, cols, rows, max_cols, max_rows }| Size { policy, cols, rows, max_cols, max_rows }))
}

/// `PATCH /v1/sessions/{id}`: what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionPatch {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New labels, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// New idle timeout, seconds; 0 = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_s: Option<u64>,
    /// New size policy.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "asked_size")]
    pub size: Option<Size>,
    /// Whether typed bytes are recorded from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_input: Option<bool>,
    /// Whether an agent's input waits for a person from now on. A person's to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_input: Option<AgentInput>,
    /// The agent that may see this session from now on; empty = none. A person's to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_agent_id: Option<String>,
}

/// What an [`Event`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A session.
    Session,
    /// Something that waits for a person.
    Approval,
    /// Baton itself.
    System,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Rises over all events, and is given once, ever; not every number is one of an event.
    pub seq: u64,
    /// What it is about.
    pub scope: Scope,
    /// Which.
    pub scope_id: String,
    /// `lease`, `clients`, `status`, `resize`, `exit`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339.
    pub at: String,
    /// As the type says.
    pub data: serde_json::Value,
}
