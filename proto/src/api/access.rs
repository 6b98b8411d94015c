//! Who is asking: logins, tokens, principals.

use serde::{Deserialize, Serialize};

use super::doctor::ProcessConfinement;

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PrincipalRole {
    /// Everything.
    Owner,
    /// Observe, control, approve, files, git.
    Collaborator,
    /// Observe, control, files, git; never approve or admin.
    Agent,
    /// Observe.
    Viewer,
}

/// `POST /v1/auth/login`: exactly one of the two; neither, where a proxy that is configured says who it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// A bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The code of a login link, which works once, or of a share link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Principal {
    /// Stable id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: PrincipalRole,
}

/// Signed in. The cookie alone grants nothing; the key goes into `X-Baton-Key` and `baton.key.<k>`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginAnswer {
    /// The per-login key; keep it in `localStorage`, which is bound to the port as the cookie is not.
    pub key: String,
    /// Who that is.
    pub principal: Principal,
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// Signs in once, within 60 s.
    Login,
    /// Shows one session to whoever has it, and nothing else, until it expires or is deleted.
    Share,
}

/// From where on a shared session is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShareFrom {
    /// Everything that is kept.
    Start,
    /// What comes after the link was made.
    Here,
}

/// `POST /v1/auth/links`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// What for.
    pub kind: LinkKind,
    /// Login: open this session after signing in. Share: the session that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<crate::ids::SessionId>,
    /// Share: from where on; `here` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ShareFrom>,
    /// Share: seconds that it is good for, from 1 to 2592000 (30 days); 86400 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A link. Its code sits in the fragment, which browsers never send.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    /// Its id.
    pub id: String,
    /// Open this.
    pub url: String,
    /// Until then, RFC 3339.
    pub expires_at: String,
}

/// `GET /v1/health`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`, or `degraded` while sessiond does not answer.
    pub status: String,
    /// The bridge's version.
    pub version: String,
    /// What keeps it from being `ok`: `sessiond` (it does not answer), `database` (history is kept in memory only).
    #[serde(default)]
    pub failing: Vec<String>,
}

/// `GET /v1/status` (needs observe): what `baton status` shows of the bridge's view.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerStatus {
    /// Where the page is.
    pub url: String,
    /// Versions by process name.
    pub versions: std::collections::BTreeMap<String, String>,
    /// The bridge.
    pub bridge: ProcessStatus,
    /// sessiond, while it answers.
    pub sessiond: Option<ProcessStatus>,
    /// The launcher's process, while sessiond answers.
    pub launcher: Option<LauncherStatus>,
    /// How many sessions.
    pub sessions: SessionCounts,
    /// As [`Health::failing`].
    #[serde(default)]
    pub failing: Vec<String>,
    /// What Baton's own processes can't do any more, as it was achieved; sessiond, launcher and workers while sessiond
    /// answers.
    #[serde(default)]
    pub confinement: Vec<ProcessConfinement>,
}

/// One process of Baton's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessStatus {
    /// Its pid.
    pub pid: u32,
    /// Since when, RFC 3339.
    pub started_at: String,
}

/// The launcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LauncherStatus {
    /// Its pid.
    pub pid: u32,
}

/// How many sessions are in which state.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionCounts {
    /// Running.
    pub running: u32,
    /// Running without sessiond and client.
    pub parked: u32,
    /// Of a host that died.
    pub lost: u32,
}
