//! What a worker is told when it starts: plain data, written by sessiond into a sealed memfd and beside the journal.

use bincode::{Decode, Encode};

use crate::ids::{ClientId, InstanceId, SessionId};
use crate::limits::Limits;
use crate::v1::{Class, Dimensions, SizePolicy};

/// What runs in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A program on a PTY.
    Terminal,
    /// A browser.
    Browser,
    /// Files of a workspace.
    File,
    /// A program on pipes.
    Process,
}

/// How far a session is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Not confined; `sudo` works.
    Host,
    /// System read-only, writes in grants only.
    Workspace,
    /// No network, reads grants and the system only.
    Locked,
}

/// Most grants of a session.
pub const GRANTS_MAX: usize = 64;

/// Most output roots of a grant.
pub const OUTPUT_ROOTS_MAX: usize = 16;

/// Most bytes of a path in a grant: what the kernel takes.
pub const GRANT_PATH_BYTES_MAX: usize = 4095;

/// Most bytes of the path of a socket: what the kernel takes, without the zero at its end (unix(7)).
pub const AGENT_SOCKET_BYTES_MAX: usize = 107;

/// A directory tree that a confined program may read and, as far as it says, change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Absolute path of the directory.
    pub root: String,
    /// Change what is in files.
    pub write: bool,
    /// Make files, directories, links, pipes and sockets.
    pub create: bool,
    /// Remove files and directories, and move them away.
    pub delete: bool,
    /// Absolute paths of directories below the root where everything may be done.
    pub output_roots: Vec<String>,
}

impl Grant {
    /// A directory with all rights.
    #[must_use]
    pub const fn whole(root: String) -> Self {
        Self { root, write: true, create: true, delete: true, output_roots: Vec::new() }
    }
}

/// How far one layer of confinement is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LayerStatus {
    /// Whole.
    Enforced,
    /// In part.
    Partial,
    /// Not at all.
    Absent,
}

/// One layer of confinement, as it was achieved.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Layer {
    /// Its name: `mounts`, `network`, `privileges`, `landlock`, `seccomp`; a limit's is that of the limit.
    pub name: String,
    /// How far it is enforced.
    pub status: LayerStatus,
    /// The kernel interface's version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<u32>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Everything a worker needs to know. Bounded by [`crate::codec::SPEC_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SessionSpec {
    /// The session.
    pub session: SessionId,
    /// This life of its program; sessiond mints it.
    pub instance: InstanceId,
    /// What runs.
    pub kind: SessionKind,
    /// The program and its arguments; never empty. The first is looked up in `PATH` of `env`.
    pub command: Vec<String>,
    /// Run as a login shell (`argv[0]` begins with `-`).
    pub login: bool,
    /// Absolute working directory.
    pub cwd: String,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Size at the start.
    pub size: Dimensions,
    /// How it follows the clients.
    pub policy: SizePolicy,
    /// How far it is confined.
    pub profile: Profile,
    /// Name people gave it when it was made (renames are the bridge's).
    pub title: String,
    /// Client or principal that made it.
    pub creator: Option<ClientId>,
    /// Whether a person's or an agent's: decides idle and parked timeouts.
    pub class: Class,
    /// Seconds without output, input and client until it closes; 0 = never.
    pub idle_timeout_s: u64,
    /// Milliseconds a lease outlives its owner's last sign of life.
    pub lease_ttl_ms: u64,
    /// Milliseconds between SIGHUP and SIGKILL when nobody says otherwise.
    pub close_grace_ms: u32,
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
    /// Whether typed bytes are kept.
    pub record_input: bool,
    /// When it was made, microseconds since 1970.
    pub created_us: u64,
    /// Kernel boot id of the host this instance was started on.
    pub boot_id: String,
    /// Seconds an agent's session lives without sessiond and client; a person's lives on. 0 = for ever.
    pub parked_ttl_s: u64,
    /// What a confined program may use besides the system; at most [`GRANTS_MAX`]. Nothing for `host`.
    pub grants: Vec<Grant>,
    /// Not to be started unless every layer of its profile is enforced.
    pub sandbox_required: bool,
    /// What it may use at most.
    pub limits: Limits,
    /// Hosts that it may reach, as [`crate::egress::AllowHosts`] reads them; none = no network but its own loopback.
    pub allow_hosts: Vec<String>,
    /// Absolute path of the socket of the person's ssh agent, whose keys a `workspace` session may use through Baton's relay; at
    /// most [`AGENT_SOCKET_BYTES_MAX`]. None = it has no agent.
    pub ssh_agent: Option<String>,
}
