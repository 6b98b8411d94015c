//! Where Baton keeps things: pure functions of the environment. Nothing here touches a disk.

use std::path::{Path, PathBuf};

/// Baton's directories.
///
/// `BATON_HOME` puts all three below one; else `$XDG_CONFIG_HOME/baton`, `$XDG_STATE_HOME/baton` and
/// `$XDG_RUNTIME_DIR/baton`, with the defaults of the XDG Base Directory Specification 0.8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Configuration and policy.
    pub config: PathBuf,
    /// Database, journals, tokens, logs.
    pub state: PathBuf,
    /// Sockets; gone after a reboot, and on some systems at logout, while Baton runs.
    pub runtime: PathBuf,
}

/// Why there is no home.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHome {
    /// The environment names no directory.
    #[error("neither BATON_HOME nor HOME is set to an absolute path: Baton does not know where to keep its state")]
    Nowhere,
    /// Whoever asked for a place of its own must not be given the usual one.
    #[error(
        "BATON_HOME is `{0}`, which is not absolute: it would be another directory in each place; write it from `/` on"
    )]
    Relative(String),
}

impl Home {
    /// Finds the directories from environment variables.
    ///
    /// # Errors
    /// [`NoHome`] when the environment names no absolute directory.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Self, NoHome> {
        let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = var("BATON_HOME").filter(|home| !home.is_empty()) {
            let absolute = Path::new(&home).is_absolute();
            return if absolute { Ok(Self::below(Path::new(&home))) } else { Err(NoHome::Relative(home)) };
        }
        let home = absolute("HOME");
        let below_home = |tail: &str| home.as_ref().map(|home| home.join(tail)).ok_or(NoHome::Nowhere);
        let state = match absolute("XDG_STATE_HOME") {
            Some(path) => path.join("baton"),
            None => below_home(".local/state/baton")?,
        };
        let config = match absolute("XDG_CONFIG_HOME") {
            Some(path) => path.join("baton"),
            None => below_home(".config/baton")?,
        };
        // Without a runtime directory (no login session) the sockets live beside the state.
        let runtime = absolute("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |path| path.join("baton"));
        Ok(Self { config, state, runtime })
    }

    /// All three below one directory.
    #[must_use]
    pub fn below(home: &Path) -> Self {
        Self { config: home.join("config"), state: home.join("state"), runtime: home.join("run") }
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The policy, beside the configuration file.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        self.config.join("policy.toml")
    }

    /// The install key, 32 bytes, 0600.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.state.join("install.key")
    }

    /// The owner's bearer token, 0600.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.state.join("token")
    }

    /// The bridge's database.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.state.join("baton.sqlite3")
    }

    /// Where the audit log ends, beside the database.
    #[must_use]
    pub fn audit_head_file(&self) -> PathBuf {
        self.state.join("audit.head")
    }

    /// One directory a session, below it one an instance.
    #[must_use]
    pub fn sessions_dir(&self) -> PathBuf {
        self.state.join("sessions")
    }

    /// Logs of launcher, sessiond, bridge and workers.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Heads of the frames on terminals' streams, a file a session; there once `defaults.terminal_protocol_log` was set.
    #[must_use]
    pub fn protocol_logs_dir(&self) -> PathBuf {
        self.logs_dir().join("protocol")
    }
}

/// Names below [`Home::state`].
pub mod state {
    /// Locked by the launcher while it lives: two would write one database. Here, because the runtime directory may
    /// vanish under a running Baton.
    pub const LOCK: &str = "state.lock";
    /// Written by the launcher once it listens: `{"pid", "listen", "runtime"}`.
    pub const LAUNCHER_FILE: &str = "launcher.json";
    /// Locked by a `baton up` while it starts Baton.
    pub const UP_LOCK: &str = "up.lock";
    /// The socket of what a stopped launcher left behind.
    pub const KEEPER_SOCKET: &str = "keeper.sock";
}

/// Names below [`Home::runtime`].
pub mod runtime {
    /// The bridge's socket: the public API.
    pub const BRIDGE_SOCKET: &str = "bridge.sock";
    /// sessiond's control socket.
    pub const SESSIOND_SOCKET: &str = "sessiond.sock";
    /// Directory of the workers' sockets.
    pub const WORKERS_DIR: &str = "w";
    /// Locked by the launcher too: it tells that Baton runs when the state directory was deleted under it.
    pub const LAUNCHER_LOCK: &str = "launcher.lock";
    /// As [`super::state::LAUNCHER_FILE`], for the same reason.
    pub const LAUNCHER_FILE: &str = super::state::LAUNCHER_FILE;
    /// Written by the bridge once it serves: `{"pid", "url", "started_at", "version"}`.
    pub const BRIDGE_FILE: &str = "bridge.json";
}

/// A path to `name` through an open directory: a Unix socket path holds 108 bytes, a state directory may be longer.
#[must_use]
pub fn through(directory_fd: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{directory_fd}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variable_moves_everything_and_xdg_is_followed_without_it() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let all = Home::from_env(env(&[("BATON_HOME", "/b"), ("HOME", "/h"), ("XDG_STATE_HOME", "/s")])).unwrap();
        assert_eq!(all, Home::below(Path::new("/b")));
        let xdg = Home::from_env(env(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("XDG_STATE_HOME", "relative"),
            ("BATON_HOME", ""),
        ]))
        .unwrap();
        assert_eq!(xdg.config, Path::new("/h/.config/baton"));
        assert_eq!(xdg.state, Path::new("/h/.local/state/baton"));
        assert_eq!(xdg.runtime, Path::new("/r/baton"));
        assert_eq!(Home::from_env(env(&[("HOME", "/h")])).unwrap().runtime, Path::new("/h/.local/state/baton/run"));
        assert_eq!(Home::from_env(|_| None), Err(NoHome::Nowhere));
        let relative = |name: &str| {
            (name == "BATON_HOME").then(|| "x/y".to_owned()).or_else(|| (name == "HOME").then(|| "/h".to_owned()))
        };
        assert_eq!(Home::from_env(relative), Err(NoHome::Relative("x/y".to_owned())));
    }
}
