//! The settings: what the configuration file says of sessions and agents, and how the parts are.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// `GET /v1/settings`, and the answer to every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// What is taken where nobody says otherwise.
    pub defaults: SettingsDefaults,
    /// How the parts are.
    pub operational: Operational,
    /// The state of the configuration file that this is of: what a change has to name.
    pub revision: String,
    /// Why the file as it is now is not in force; what was in force before it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// `[defaults]` of the configuration file, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingsDefaults {
    /// Seconds without output, input and client until a person's terminal closes; 0 = never.
    pub terminal_idle_timeout: u64,
    /// The agent that is meant where none is named.
    pub agent: Option<String>,
    /// Whether the heads of frames on terminals' streams are logged, a file a session: when, whose, which kind and how large,
    /// never what is in them.
    pub terminal_protocol_log: bool,
    /// Whether the page shows cursor, credit, epoch and latency over a terminal.
    pub terminal_debug_overlay: bool,
}

/// How the parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Operational {
    /// Agents' programs, by name: those of the configuration, and those known that are in `PATH`.
    pub agents: BTreeMap<String, AgentProgram>,
    /// The environment that sessions start from.
    pub env: EnvironmentStatus,
    /// sessiond.
    pub sessiond: SessiondStatus,
}

/// An agent's program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentProgram {
    /// Where it is; none when it is not found.
    pub path: Option<String>,
    /// What it answered to `--version`, its first line; none before it was asked.
    pub version: Option<String>,
    /// How it is.
    pub status: AgentProgramStatus,
    /// Why it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How an agent's program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentProgramStatus {
    /// It is there; whether it runs was not asked.
    Found,
    /// It runs, in a confined session.
    Ready,
    /// It is not there.
    NotFound,
    /// It is there, and may not be executed.
    NotExecutable,
    /// It does not run.
    Failed,
}

/// The environment that sessions start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentStatus {
    /// When it was read from the login shell last; none = as Baton was started.
    pub reloaded_at: Option<String>,
    /// The variables' names. What they say may be secret.
    pub names: Vec<String>,
}

/// How sessiond is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessiondStatus {
    /// Whether it answers.
    pub status: SessiondState,
    /// Its process.
    pub pid: Option<u32>,
    /// Its version.
    pub version: Option<String>,
    /// When it started.
    pub started_at: Option<String>,
}

/// Whether sessiond answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessiondState {
    /// It does.
    Up,
    /// It does not; its launcher starts it again.
    Down,
}

/// `POST /v1/settings/sessiond/restart`: on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Restarting {
    /// The process that ends; `GET /v1/settings/sessiond/status` tells of the next one.
    pub pid: Option<u32>,
}

/// `PATCH /v1/settings/defaults`: what is named changes; `null` takes it out of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DefaultsPatch {
    /// The revision that the changes are meant for.
    pub expected_revision: String,
    /// Seconds; 0 = never. At most ten years.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub terminal_idle_timeout: Option<Option<u64>>,
    /// An agent's name.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub agent: Option<Option<String>>,
    /// Log the heads of frames on terminals' streams, those that are open too.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub terminal_protocol_log: Option<Option<bool>>,
    /// Show cursor, credit, epoch and latency over a terminal in the page.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub terminal_debug_overlay: Option<Option<bool>>,
}

/// `PATCH /v1/settings/agents/{agent}/cli-path`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CliPathPatch {
    /// The revision that the change is meant for.
    pub expected_revision: String,
    /// Where the program is, an absolute path; `null` = what its name means in `PATH`.
    #[serde(deserialize_with = "Option::deserialize")]
    pub path: Option<String>,
}

/// `null` is something else than nothing.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_something_else_than_nothing() {
        let read = |text: &str| serde_json::from_str::<DefaultsPatch>(text).unwrap();
        let named = read(r#"{"expected_revision": "a", "agent": null, "terminal_idle_timeout": 5}"#);
        assert_eq!((named.agent, named.terminal_idle_timeout), (Some(None), Some(Some(5))));
        assert_eq!((named.terminal_protocol_log, named.terminal_debug_overlay), (None, None));
        assert_eq!(read(r#"{"expected_revision": "a"}"#).agent, None);
        assert!(serde_json::from_str::<DefaultsPatch>(r#"{"agent": null}"#).is_err());
        assert!(serde_json::from_str::<DefaultsPatch>(r#"{"expected_revision": "a", "server": {}}"#).is_err());
    }
}
