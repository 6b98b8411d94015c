//! What runs while Baton does not: read from the disk and the workers' sockets by `baton-sessiond sessions`, which the command
//! line runs. No route answers with it.

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;
use crate::v1::Class;

/// Sessions without sessiond.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Survey {
    /// Those that run, oldest first.
    pub parked: Vec<ParkedSession>,
    /// How many ended with their host.
    pub lost: u32,
}

/// A session that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParkedSession {
    /// Its id.
    pub id: SessionId,
    /// The name it was made with.
    pub title: String,
    /// Whose it is: an agent's ends by itself in time, a person's does not.
    pub class: Class,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Where the program is.
    pub cwd: Option<String>,
    /// The program's pid; `null` while the worker does not answer.
    pub pid: Option<u32>,
    /// The worker's pid, likewise.
    pub worker_pid: Option<u32>,
    /// When it was made.
    pub created_at: String,
    /// Since when there is neither sessiond nor a client.
    pub parked_since: Option<String>,
    /// When it closes if that stays so; `null`: never.
    pub closes_at: Option<String>,
}
