//! The settings that change while Baton runs: `[defaults]` and `[agents]` of the configuration file, as they are in force.
//!
//! The file is the truth. The bridge reads it and never writes it: a change goes to sessiond, which changes those sections and
//! no other, and the bridge reads what came of it. What is changed by hand is seen by [`watch`]. A file that is not valid
//! leaves in force what was before it.

pub mod agents;
pub mod environment;
pub mod watch;

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton_proto::config::{self, Config, Defaults};
use baton_proto::home::Home;
use baton_proto::v1::{EditSettings, SettingChange};
use serde_json::json;

use crate::app::App;
use crate::events::EventLog;
use crate::problem::{Failure, Outcome};

/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The revision of a file that can't be read.
const UNREADABLE: &str = "unreadable";

/// What is in force.
#[derive(Debug)]
pub struct InForce {
    /// The file with the environment over it. Only `defaults` and `agents` are taken from here: the rest holds from the start of
    /// a process on.
    pub config: Config,
    /// The file's state, as it was read last.
    pub revision: String,
    /// Why that state is not the one in force.
    pub refused: Option<String>,
}

/// The settings, shared.
#[derive(Debug)]
pub struct Settings {
    path: PathBuf,
    env: Vec<(String, String)>,
    now: Mutex<Arc<InForce>>,
    /// `defaults.terminal_protocol_log`, for who asks with each frame.
    protocol_log: Arc<AtomicBool>,
    /// One change at a time, and none is read before whoever asked for it was told.
    turn: tokio::sync::Mutex<()>,
}

/// What a look at the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// What was there before.
    Same,
    /// Another state.
    Changed {
        /// Which settings are others now: `defaults.terminal_idle_timeout`.
        keys: Vec<String>,
        /// Why it is not in force.
        refused: Option<String>,
    },
}

impl Settings {
    /// As they were when the bridge read its configuration.
    #[must_use]
    pub fn open(home: &Home, started: &Config, env: &[(String, String)]) -> Self {
        let mut env = env.to_vec();
        env.retain(|(name, _)| name.starts_with("BATON_"));
        let now = InForce { config: started.clone(), revision: String::new(), refused: None };
        let settings = Self {
            path: home.config_file(),
            env,
            protocol_log: Arc::new(AtomicBool::new(started.defaults.terminal_protocol_log)),
            now: Mutex::new(Arc::new(now)),
            turn: tokio::sync::Mutex::new(()),
        };
        settings.look();
        settings
    }

    fn lock(&self) -> MutexGuard<'_, Arc<InForce>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force.
    #[must_use]
    pub fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.lock())
    }

    /// `[defaults]`, in force.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        self.now().config.defaults.clone()
    }

    /// Whether streams' frames are logged: what it says changes with the setting.
    #[must_use]
    pub fn protocol_log(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.protocol_log)
    }

    /// Whether the environment decides a key, so that a change of the file would change nothing.
    #[must_use]
    pub fn is_from_environment(&self, section: &str, key: &str) -> Option<String> {
        let name = format!("BATON_{}__{}", section.replace('.', "__"), key).to_uppercase();
        self.env.iter().any(|(known, _)| *known == name).then_some(name)
    }

    /// Reads the file and takes what it says, if that is valid.
    pub fn look(&self) -> Look {
        let read = self.read();
        let mut now = self.lock();
        let (text, revision) = match read {
            Ok(text) => {
                let revision = config::revision(&text);
                (Ok(text), revision)
            }
            Err(err) => (Err(format!("it can't be read: {err}{}", self.hint())), UNREADABLE.to_owned()),
        };
        if revision == now.revision {
            return Look::Same;
        }
        let loaded = text.and_then(|text| {
            let env = self.env.iter().cloned();
            Config::load(&text, env).map_err(|err| err.to_string())
        });
        let (config, refused) = match loaded {
            Ok(config) => (config, None),
            Err(why) => (now.config.clone(), Some(why)),
        };
        let keys = differences(&now.config, &config);
        self.protocol_log.store(config.defaults.terminal_protocol_log, Ordering::Relaxed);
        *now = Arc::new(InForce { config, revision, refused: refused.clone() });
        Look::Changed { keys, refused }
    }

    /// What the bridge may read after its start lies in the directory of the configuration itself.
    fn hint(&self) -> &'static str {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.is_symlink()) {
            "; it is a link, and what it leads to is read at the start of Baton only"
        } else {
            ""
        }
    }

    fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        match std::fs::File::open(&self.path) {
            Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(text),
            Err(err) => return Err(err),
        };
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it has more than a mebibyte"));
        }
        Ok(text)
    }

    /// Reads the file, and tells everybody if it is another.
    pub fn look_and_tell(&self, events: &EventLog) -> Look {
        let found = self.look();
        if let Look::Changed { keys, refused } = &found {
            match refused {
                Some(why) => tracing::warn!("`{}` is not valid; what was in force holds: {why}", self.path.display()),
                None => tracing::info!(changed = keys.join(" "), "the configuration file changed"),
            }
            events.system(
                "settings.changed",
                json!({ "revision": self.now().revision, "changed": keys, "refused": refused }),
            );
        }
        found
    }
}

/// Which of the settings that change while Baton runs are others.
fn differences(before: &Config, after: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let pairs = |config: &Config| serde_json::to_value(&config.defaults).unwrap_or_default();
    let (old, new) = (pairs(before), pairs(after));
    let names = [&old, &new].into_iter().filter_map(|value| value.as_object()).flat_map(|object| object.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    keys.extend(
        names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(|name| format!("defaults.{name}")),
    );
    let agents: std::collections::BTreeSet<_> = before.agents.keys().chain(after.agents.keys()).collect();
    let changed = agents.into_iter().filter(|name| before.agents.get(*name) != after.agents.get(*name));
    keys.extend(changed.map(|name| format!("agents.{name}.path")));
    keys
}

/// Has sessiond change the file, and takes what came of it.
///
/// # Errors
/// `revision_conflict`, `invalid`, `path_refused`, `disk_full`, `sessiond_down`; then nothing was changed, but for an answer that
/// was lost on the way.
pub async fn change(app: &App, expected_revision: String, changes: Vec<SettingChange>) -> Outcome<()> {
    // Before the queue: who waits for a sessiond that is away waits with all others and not behind them.
    app.sessiond.reachable().await?;
    let _turn = app.settings.turn.lock().await;
    app.settings.look_and_tell(&app.events);
    if app.settings.now().revision != expected_revision {
        return Err(conflict());
    }
    let done = app.sessiond.edit_settings(&EditSettings { expected_revision, changes }).await;
    app.settings.look_and_tell(&app.events);
    done
}

fn conflict() -> Failure {
    Failure::new(
        baton_proto::ErrorCode::RevisionConflict,
        "the configuration file has changed meanwhile: look at the settings again and repeat the change",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &std::path::Path, env: &[(&str, &str)]) -> (Home, Settings) {
        let home = Home::below(dir);
        std::fs::create_dir_all(&home.config).unwrap();
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let started = Config::load("", env.iter().cloned()).unwrap();
        let settings = Settings::open(&home, &started, &env);
        (home, settings)
    }

    #[test]
    fn a_change_is_seen_once_and_a_mistake_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (home, settings) = open(dir.path(), &[]);
        assert_eq!(settings.look(), Look::Same);
        let write = |text: &str| std::fs::write(home.config_file(), text).unwrap();
        write("[defaults]\nterminal_idle_timeout = 7\n[agents.claude]\npath = \"/c\"\n");
        let keys = vec!["defaults.terminal_idle_timeout".to_owned(), "agents.claude.path".to_owned()];
        assert_eq!(settings.look(), Look::Changed { keys: keys.clone(), refused: None });
        assert_eq!(settings.look(), Look::Same);
        assert_eq!(settings.defaults().terminal_idle_timeout, 7);
        write("[defaults]\nterminal_idle_timeout = \"soon\"\n");
        let Look::Changed { keys: none, refused: Some(why) } = settings.look() else { panic!("not seen") };
        assert!(none.is_empty() && why.contains("terminal_idle_timeout"), "{none:?} {why}");
        assert_eq!(settings.defaults().terminal_idle_timeout, 7);
        assert_eq!(settings.now().refused.as_deref(), Some(why.as_str()));
        // A comment is another state and no other settings.
        write("[defaults]\nterminal_idle_timeout = 7 # s\n[agents.claude]\npath = \"/c\"\n");
        assert_eq!(settings.look(), Look::Changed { keys: vec![], refused: None });
        std::fs::remove_file(home.config_file()).unwrap();
        assert_eq!(settings.look(), Look::Changed { keys, refused: None });
    }

    #[test]
    fn what_the_environment_decides_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let env =
            [("BATON_DEFAULTS__TERMINAL_IDLE_TIMEOUT", "9"), ("BATON_AGENTS__CODEX__PATH", "/x"), ("SECRET", "x")];
        let (_, settings) = open(dir.path(), &env);
        assert_eq!(settings.defaults().terminal_idle_timeout, 9);
        let name = settings.is_from_environment("defaults", "terminal_idle_timeout");
        assert_eq!(name.as_deref(), Some("BATON_DEFAULTS__TERMINAL_IDLE_TIMEOUT"));
        assert!(settings.is_from_environment("agents.codex", "path").is_some());
        assert!(settings.is_from_environment("defaults", "agent").is_none());
    }
}
