//! Requests to sessiond, its answers and its events. `Spawn` carries a [`crate::spec::SessionSpec`].

use bincode::{Decode, Encode};

use crate::api::ProcessConfinement;
use crate::ids::SessionId;
use crate::spec::{Layer, SessionSpec};

use super::record::ExitRecord;

/// Where a session is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Status {
    /// The worker was asked for and has not answered.
    Starting,
    /// The program runs.
    Running,
    /// The program ended by itself.
    Exited(ExitRecord),
    /// Somebody asked for the end, or a timeout did.
    Closed(ExitRecord),
    /// The host died; the journal is still there.
    Lost,
    /// It never started.
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

/// One session as sessiond knows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SessionEntry {
    /// What it was started with (environment left out).
    pub spec: SessionSpec,
    /// Where it is.
    pub status: Status,
    /// The worker's process, while there is one.
    pub worker_pid: Option<u32>,
    /// The program's process, while it runs.
    pub program_pid: Option<u32>,
    /// Name of the worker's socket below the runtime directory, while there is a worker.
    pub socket: Option<String>,
    /// How its program was confined; empty for `host`, and until the program runs.
    pub layers: Vec<Layer>,
}

/// List every session. Answer: one or more [`Sessions`]; afterwards changes come as events.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ListSessions {}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sessions {
    /// Some sessions.
    pub sessions: Vec<SessionEntry>,
    /// Whether the list ends here.
    pub last: bool,
}

/// Have a worker for this session, also an ended one (it serves the journal). Answer: [`SessionEntry`]; `Failed` with `not_found`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OpenSession {
    /// Which.
    pub session: SessionId,
}

/// Forget an ended session and remove its journals. Answer: `Done`; `Failed` with `not_found` or `session_running`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ForgetSession {
    /// Which.
    pub session: SessionId,
}

/// Which process is to be replaced by one of the installed version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Upgradable {
    /// The launcher and its spare.
    Launcher,
    /// sessiond itself.
    Supervisor,
    /// The bridge.
    Bridge,
    /// The worker of a session whose program runs.
    Worker(SessionId),
}

/// Replace a process by one of the installed version. Answer for a worker: [`SessionEntry`] once the next one serves,
/// `Failed` with `busy` or `invalid_transition` while the one before goes on. For the others: `Done`, and it is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Upgrade {
    /// Which.
    pub what: Upgradable,
}

/// Start a lost or exited session again: same id, same environment, a new instance. Answer: [`SessionEntry`]; `Failed` with
/// `not_found`, `session_running`, or `invalid_transition` for one that was closed or never started.
///
/// What is left out is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Respawn {
    /// Which.
    pub session: SessionId,
    /// Program and arguments; not a login shell then.
    pub command: Option<Vec<String>>,
    /// Directory it starts in; absolute.
    pub cwd: Option<String>,
    /// Seconds without output, input and client until it closes; 0 = never. It may have changed while the session lived.
    pub idle_timeout_s: Option<u64>,
    /// Whether typed bytes are kept; as above.
    pub record_input: Option<bool>,
}

/// How is sessiond. Answer: [`SupervisorStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AskStatus {}

/// How sessiond is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SupervisorStatus {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The launcher's process.
    pub launcher_pid: u32,
    /// When it started, microseconds since 1970.
    pub started_us: u64,
    /// Counted under its lock.
    pub generation: u64,
    /// Sessions that run.
    pub running: u32,
    /// Sessions whose worker does not answer sessiond.
    pub parked: u32,
    /// Sessions of a host that died.
    pub lost: u32,
    /// What sessiond, the launcher and the workers can't do any more.
    pub confinement: Vec<ProcessConfinement>,
}
