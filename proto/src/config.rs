//! The configuration file as a value: TOML, every key also as `BATON_SECTION__KEY` in the environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::api::PrincipalRole;

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not TOML, or a key is unknown or of the wrong type.
    #[error("the configuration file is not valid: {0}")]
    File(String),
    /// An environment variable names no key, or its value does not fit.
    #[error("`{name}` does not fit: {why}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Everything that can be configured, with its default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The bridge's face to the network.
    pub server: Server,
    /// Session bounds.
    pub session: Session,
    /// Confinement.
    pub sandbox: Sandbox,
    /// The command line.
    pub cli: Cli,
    /// What waits for a person.
    pub approval: Approval,
    /// What is kept of what happened.
    pub logs: Logs,
    /// What new sessions get when nobody says otherwise.
    pub defaults: Defaults,
    /// Agents' programs, by name.
    pub agents: BTreeMap<AgentName, Agent>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// `HOST:PORT`; port 0 = any.
    pub listen: String,
    /// Allow an address that is not loopback.
    pub allow_remote: bool,
    /// Further names that a request's `Host` and `Origin` may have.
    pub allowed_hosts: Vec<String>,
    /// Reverse proxies (addresses, or networks such as `10.0.0.0/8`): the only ones that may connect to an address that is not
    /// loopback, and whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<String>,
    /// Who may sign in by `Tailscale-User-Login`, which `tailscale serve` sets, and as what. Empty: the header is ignored.
    pub tailscale: BTreeMap<String, PrincipalRole>,
    /// Requests a second and principal, keystrokes of a lease owner not counted.
    pub rate_limit: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7420".to_owned(),
            allow_remote: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            tailscale: BTreeMap::new(),
            rate_limit: 500,
        }
    }
}

/// `[session]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Bytes of journal a session keeps.
    pub journal_bytes: u64,
    /// Bytes of journal all sessions keep together.
    pub journal_total_bytes: u64,
    /// Seconds a lease outlives its owner's last sign of life.
    pub lease_ttl_s: u64,
    /// Seconds an agent's session lives without sessiond and client.
    pub parked_ttl_s: u64,
    /// Seconds between SIGHUP and SIGKILL.
    pub close_grace_s: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            journal_bytes: 64 << 20,
            journal_total_bytes: 4 << 30,
            lease_ttl_s: 15,
            parked_ttl_s: 86_400,
            close_grace_s: 5,
        }
    }
}

/// `[sandbox]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// Whether sessions may run unconfined.
    pub allow_host: bool,
    /// Whether a confined session is refused where the kernel can't enforce every layer of its profile.
    pub require: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { allow_host: true, require: false }
    }
}

/// `[cli]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cli {
    /// The key that leaves `baton attach`: `Ctrl-` and a letter or one of `\ ] ^ _ @ [`.
    pub detach_key: String,
}

impl Default for Cli {
    fn default() -> Self {
        Self { detach_key: "Ctrl-\\".to_owned() }
    }
}

/// `[approval]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// Seconds after which silence is a no.
    pub ttl_s: u64,
}

impl Default for Approval {
    fn default() -> Self {
        Self { ttl_s: 900 }
    }
}

/// `[logs]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Days that rows of the audit log are kept; older ones are sealed.
    pub retention_days: u64,
    /// Bytes of them that are kept, about.
    pub max_bytes: u64,
}

impl Default for Logs {
    fn default() -> Self {
        // A row has about 500 bytes: a hundred thousand of them.
        Self { retention_days: 30, max_bytes: 64 << 20 }
    }
}

/// `[defaults]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Seconds without output, input and client until a person's terminal closes; 0 = never.
    pub terminal_idle_timeout: u64,
    /// The agent that is meant where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Whether the heads of frames on terminals' streams are logged, a file a session.
    pub terminal_protocol_log: bool,
    /// Whether the page shows cursor, credit, epoch and latency over a terminal.
    pub terminal_debug_overlay: bool,
}

/// `[agents.<name>]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Its program: an absolute path. None = what its name means in `PATH`.
    pub path: Option<ProgramPath>,
}

/// An agent's name: 1 to 32 of `a-z`, `0-9`, `-`, `_`, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

impl AgentName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AgentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AgentName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let of_a_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let begins = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if begins && name.len() <= 32 && name.bytes().all(of_a_name) {
            return Ok(Self(name));
        }
        Err("an agent's name has 1 to 32 of a-z, 0-9, `-` and `_`, a letter first")
    }
}

impl From<AgentName> for String {
    fn from(name: AgentName) -> Self {
        name.0
    }
}

/// Where a program is: an absolute path without `.`, `..` and control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProgramPath(String);

impl ProgramPath {
    /// Bytes of a path (`PATH_MAX` without its NUL).
    const BYTES_MAX: usize = 4095;

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProgramPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        let plain = !path.split('/').any(|part| matches!(part, "." | "..")) && !path.chars().any(char::is_control);
        if path.len() > 1 && path.starts_with('/') && path.len() <= Self::BYTES_MAX && plain {
            return Ok(Self(path));
        }
        Err("a program's path is absolute, without `.`, `..` and control characters, and has at most 4095 bytes")
    }
}

impl From<ProgramPath> for String {
    fn from(path: ProgramPath) -> Self {
        path.0
    }
}

/// Tells one state of the configuration file from another: the first 16 hexadecimal digits of its SHA-256; no file is an
/// empty one. What the environment says is not in it.
#[must_use]
pub fn revision(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Config {
    /// Reads a file's text (empty = no file) and lays `BATON_SECTION__KEY` variables over it;
    /// `BATON_LISTEN` is short for `BATON_SERVER__LISTEN`.
    ///
    /// # Errors
    /// [`ConfigError`] that names the key or variable.
    pub fn load(text: &str, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let file = |err: toml::de::Error| ConfigError::File(err.to_string().trim_end().to_owned());
        // The file alone first, so that its mistakes are not blamed on a variable; and from its text, which shows where.
        let _: Self = toml::from_str(text).map_err(file)?;
        let mut table: Table = text.parse().map_err(file)?;
        for (name, value) in env {
            let Some(path) = name.strip_prefix("BATON_") else { continue };
            let path = if path == "LISTEN" { "SERVER__LISTEN" } else { path };
            let Some((section, key)) = path.rsplit_once("__") else { continue };
            let refused = |why: String| ConfigError::Variable { name: name.clone(), why };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            // A value is TOML where it can be (`true`, `7`, `["a"]`), else it is text.
            let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
            let parsed = parsed.unwrap_or_else(|| Value::String(value.clone()));
            insert(&mut table, &section, &key, parsed).map_err(refused)?;
            if let Err(first) = Self::from_table(table.clone()) {
                // A number or `true` may be meant as text.
                insert(&mut table, &section, &key, Value::String(value)).map_err(refused)?;
                Self::from_table(table.clone()).map_err(|_| refused(first))?;
            }
        }
        Self::from_table(table).map_err(ConfigError::File)
    }

    fn from_table(table: Table) -> Result<Self, String> {
        Value::Table(table).try_into().map_err(|err: toml::de::Error| err.message().to_owned())
    }
}

/// Puts a value into a section; `a__b` is the section `[a.b]`.
fn insert(table: &mut Table, section: &str, key: &str, value: Value) -> Result<(), String> {
    let mut keys = table;
    for part in section.split("__") {
        let entry = keys.entry(part).or_insert_with(|| Value::Table(Table::new()));
        keys = entry.as_table_mut().ok_or_else(|| format!("`{part}` is not a section"))?;
    }
    keys.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(text, env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_lies_over_the_file_and_the_file_over_the_defaults() {
        let config =
            load("[session]\nlease_ttl_s = 3\n", &[("BATON_LISTEN", "127.0.0.1:0"), ("PATH", "/bin")]).unwrap();
        assert_eq!(config.session.lease_ttl_s, 3);
        assert_eq!(config.session.close_grace_s, 5);
        assert_eq!(config.server.listen, "127.0.0.1:0");
        let config = load("", &[("BATON_SERVER__ALLOWED_HOSTS", "[\"a.example\"]"), ("BATON_HOME", "/x")]).unwrap();
        assert_eq!(config.server.allowed_hosts, ["a.example"]);
    }

    #[test]
    fn an_agent_has_a_name_and_an_absolute_path() {
        let config =
            load("[agents.claude]\npath = \"/usr/bin/claude\"\n", &[("BATON_AGENTS__CODEX__PATH", "/opt/codex")]);
        let config = config.unwrap();
        let paths: Vec<_> = config.agents.values().map(|agent| agent.path.as_ref().unwrap().as_str()).collect();
        assert_eq!(paths, ["/usr/bin/claude", "/opt/codex"]);
        for bad in ["[agents.Claude]", "[agents.\"a b\"]", "[agents.\"\"]", "[agents.a]\nbogus = 1"] {
            assert!(load(bad, &[]).is_err(), "{bad}");
        }
        for bad in ["claude", "/", "/a/../b", "/a\\nb", ""] {
            assert!(load(&format!("[agents.a]\npath = \"{bad}\"\n"), &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_text_has_a_revision() {
        assert_eq!(revision(""), "e3b0c44298fc1c14");
        assert_ne!(revision("a = 1\n"), revision("a = 1"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(load("nonsense", &[]).is_err());
        assert!(load("[server]\nlisten = 5\n", &[]).unwrap_err().to_string().contains("listen = 5"));
        assert!(load("[server]\nbogus = 1\n", &[]).unwrap_err().to_string().contains("bogus"));
        let err = load("", &[("BATON_SESSION__LEASE_TTL_S", "soon")]).unwrap_err();
        assert!(err.to_string().contains("BATON_SESSION__LEASE_TTL_S"), "{err}");
    }
}
