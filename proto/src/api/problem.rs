//! Errors as RFC 9457 problems.

use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;

/// What went wrong (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:baton:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every occurrence of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub detail: String,
    /// Quote this when asking for help; the log has it.
    pub request_id: String,
    /// For `lease_held`: who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_name: Option<String>,
    /// For `lease_held`: what kind of client that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_kind: Option<crate::v1::ClientKind>,
    /// For `cursor_trimmed`: the oldest cursor kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_cursor: Option<String>,
    /// For `rate_limited`: seconds to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// For `revision_conflict`: the settings as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Box<super::Settings>>,
}
