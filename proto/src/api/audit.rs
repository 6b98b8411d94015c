//! The audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditActor {
    /// The principal's id; `baton` for what nobody asked for, `nobody` for who did not prove to be anybody.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role; `client` for who controls a session; `baton`; `nobody`.
    pub kind: String,
}

/// A row of the audit log. What its hash is made of is in `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRow {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The same in microseconds since 1970, as it is hashed.
    pub at_us: u64,
    /// Who.
    pub actor: AuditActor,
    /// What: `login`, `session.create` …
    pub action: String,
    /// To what: the id of a session, token or link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// The code of a refusal or failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What else is worth knowing. Never a secret, never what was typed or printed.
    pub details: Value,
    /// The hash of the row before, hexadecimal.
    pub prev_hash: String,
    /// SHA-256 of all of the above, hexadecimal.
    pub hash: String,
}

/// The first row with which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditBroken {
    /// Its number.
    pub seq: u64,
    /// `hash_mismatch`, `missing_seq`, `prev_mismatch`, `head_mismatch`, `seal_mismatch`, `unreadable` or `not_as_expected`.
    pub why: String,
    /// The same for a person.
    pub detail: String,
}

/// `GET /v1/audit/verify`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditVerification {
    /// Whether the whole chain holds.
    pub ok: bool,
    /// Rows that were checked; of a broken chain those before the broken one.
    pub rows: u64,
    /// Rows of before that are no longer kept, for which a signed seal stands.
    pub sealed: u64,
    /// Rows that could not be written and are told of in no row yet.
    pub lost: u64,
    /// The end of the chain as `SEQ:HASH`, to be written down elsewhere and given as `expect` later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// With `expect`: whether that row could be compared. One that is sealed no longer can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<bool>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<AuditBroken>,
}
