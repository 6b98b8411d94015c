//! What the bridge is started with: directories, configuration, environment, sockets.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use baton_proto::config::{Config, ConfigError};
use baton_proto::home::{Home, NoHome};

/// Why the bridge does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no home.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The configuration is refused.
    #[error("the configuration in `{}` is refused; correct it and start again", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// Listening there would show shells to a network.
    #[error(
        "`{listen}` is not a loopback address: set `server.allow_remote = true` and name the reverse proxy in \
         `server.trusted_proxies`, or listen on 127.0.0.1"
    )]
    Remote {
        /// The address.
        listen: SocketAddr,
    },
    /// `sandbox.require` can't be met.
    #[error("{0}")]
    Unconfined(String),
    /// A value of the configuration makes no sense.
    #[error("the configuration is refused: {0}")]
    Refused(String),
    /// A file or socket of ours.
    #[error("{what} failed")]
    Io {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl StartError {
    /// An I/O failure with the words for it.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What the bridge is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Baton's directories.
    pub home: Home,
    /// The configuration.
    pub config: Config,
    /// The environment that sessions start from.
    pub env: Vec<(String, String)>,
}

impl Options {
    /// Reads the environment and the configuration file.
    ///
    /// # Errors
    /// [`StartError`] that says what to correct.
    pub fn from_env() -> Result<Self, StartError> {
        let home = Home::from_env(|name| std::env::var(name).ok())?;
        let path = home.config_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(StartError::io(format!("reading `{}`", path.display()))(err)),
        };
        // A variable that is not UTF-8 can be no key of ours, and JSON could not show it.
        let env: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let config = Config::load(&text, env.iter().cloned()).map_err(|source| StartError::Config { path, source })?;
        Ok(Self { home, config, env })
    }

    /// Refuses an address that would show shells to a network without anybody having asked for it.
    ///
    /// # Errors
    /// [`StartError::Remote`].
    pub fn check_listen(&self, listen: SocketAddr) -> Result<(), StartError> {
        let server = &self.config.server;
        if listen.ip().is_loopback() || (server.allow_remote && !server.trusted_proxies.is_empty()) {
            return Ok(());
        }
        Err(StartError::Remote { listen })
    }

    /// What a session's program inherits: the environment the bridge was started with, without what is Baton's own or
    /// belongs to a terminal that is not the session's.
    #[must_use]
    pub fn session_env(&self) -> Vec<(String, String)> {
        self.env.iter().filter(|(name, _)| is_inherited(name)).cloned().collect()
    }
}

/// Whether a session's program inherits a variable of this name: not what is Baton's own, and not what belongs to a terminal or
/// service that is not the session's.
#[must_use]
pub fn is_inherited(name: &str) -> bool {
    const FOREIGN: &[&str] = &[
        "COLUMNS",
        "LINES",
        "NOTIFY_SOCKET",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
        "MANAGERPID",
        "MANAGERPIDFDID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "FDSTORE",
        "MAINPID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "WINDOW",
        "OLDPWD",
        "SHLVL",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TERMCAP",
        "_",
    ];
    !name.starts_with("BATON_") && !FOREIGN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(server: &str, env: &[(&str, &str)]) -> Options {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = Config::load(server, std::iter::empty()).unwrap();
        Options { home: Home::below(std::path::Path::new("/nowhere")), config, env }
    }

    #[test]
    fn only_loopback_is_listened_on_unasked() {
        let (local, remote) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());
        assert!(options("", &[]).check_listen(local).is_ok());
        assert!(options("", &[]).check_listen(remote).is_err());
        assert!(options("[server]\nallow_remote = true\n", &[]).check_listen(remote).is_err());
        let proxied = "[server]\nallow_remote = true\ntrusted_proxies = [\"10.0.0.1\"]\n";
        assert!(options(proxied, &[]).check_listen(remote).is_ok());
    }

    #[test]
    fn a_session_inherits_nothing_of_batons_own() {
        let options = options("", &[("PATH", "/bin"), ("BATON_HOME", "/x"), ("COLUMNS", "80"), ("EDITOR", "vi")]);
        let names: Vec<_> = options.session_env().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "EDITOR"]);
    }
}
