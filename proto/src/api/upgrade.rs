//! Replacing Baton's processes by the installed version.

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// One of Baton's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UpgradePart {
    /// The launcher and its spare.
    Launcher,
    /// sessiond.
    Sessiond,
    /// The bridge.
    Bridge,
    /// The worker of `session_id`.
    Worker,
}

/// `POST /v1/upgrade`: which process is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// Which.
    pub part: UpgradePart,
    /// Whose worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// The answer to [`UpgradeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Upgrading {
    /// The process that serves now, where the answer waits for it: of a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_pid: Option<u32>,
}
