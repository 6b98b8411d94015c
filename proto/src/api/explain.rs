//! What `baton sandbox explain` answers: what a confined program may do with a path, and why.

use serde::{Deserialize, Serialize};

use super::session::FolderGrant;
use crate::spec::Profile;

/// What is asked of `baton-sessiond explain`, on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The profile of the program.
    pub profile: Profile,
    /// What it is granted.
    #[serde(default)]
    pub grants: Vec<FolderGrant>,
    /// Absolute path of the directory it starts in.
    pub cwd: String,
    /// Which path is asked about; a relative one begins at `cwd`.
    pub path: String,
    /// The session whose own HOME and temporary files are meant; `None` = a new one, in which they are empty.
    #[serde(default)]
    pub session_id: Option<crate::SessionId>,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decides {
    /// A grant gives it, or none does.
    Grant,
    /// What the profile gives to all its programs.
    Profile,
    /// The session's own HOME, temporary directory or terminals.
    Own,
    /// A secret, which nobody is shown.
    Secret,
    /// The session finds something else in its place.
    Covered,
    /// Nothing there changes: it is mounted read-only, or the view of the session hangs on it.
    Mount,
    /// It belongs to other processes, or to the kernel.
    Kernel,
    /// The permissions of the file, as for anybody.
    Permissions,
    /// Nothing is there.
    Absent,
    /// The program is not confined.
    Unconfined,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it may.
    pub allowed: bool,
    /// What decides.
    pub by: Decides,
    /// Why, and what to do where something can be done.
    pub why: String,
}

/// `baton sandbox explain --json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The path that was asked about.
    pub path: String,
    /// What it leads to in the program's view, without symbolic links; absent when it leads nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// The profile.
    pub profile: Profile,
    /// Read it; of a directory: list it.
    pub read: Verdict,
    /// Change what is in it; of a directory: in the files of it.
    pub write: Verdict,
    /// Make a file of this name; of a directory: make files in it.
    pub create: Verdict,
    /// Remove it; of a symbolic link: the link.
    pub delete: Verdict,
    /// What this host can't enforce, when that makes a difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}
