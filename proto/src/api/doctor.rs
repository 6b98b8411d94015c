//! What Baton's own processes gave up, and what the host has of what Baton uses.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::session::{Layer, LayerStatus};
use crate::spec::Profile;

/// What a process of Baton's can't do any more, as it was achieved.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessConfinement {
    /// `launcher`, `sessiond`, `bridge`, or `workers` for all of them together.
    pub process: String,
    /// A layer each: `privileges`, `core_dumps`, `landlock`, `seccomp`. One that a process has not got at all, such as a
    /// worker's Landlock, is not there.
    pub layers: Vec<Layer>,
}

impl ProcessConfinement {
    /// The layers that are missing, in whole or in part.
    pub fn missing(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.status != LayerStatus::Enforced)
    }
}

/// How one thing that Baton looks at on a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Baton works, with less.
    Lacking,
    /// Something that Baton needs is not there.
    Missing,
}

/// One thing that Baton looks at on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `kernel`, `landlock`, `seccomp`, `user_namespaces`, `cgroups`, `linger`, `open_files`, `terminals`.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub found: String,
    /// What is lost by it, when something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// What to do about it, when there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// What a profile enforces on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileHere {
    /// Which.
    pub profile: Profile,
    /// A layer each; none for `host`.
    pub layers: Vec<Layer>,
}

/// `baton doctor --json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What each profile enforces here.
    pub profiles: Vec<ProfileHere>,
    /// What a process of Baton's that confines itself the most achieves here.
    pub own: Vec<Layer>,
    /// `sandbox.require`
    pub require: bool,
    /// Whether `sandbox.require` can be met here, asked for or not.
    pub can_require: bool,
}
