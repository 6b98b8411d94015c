//! Agents' programs: where they are, and whether they run.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{AgentProgram, AgentProgramStatus, CreateTerminal};
use baton_proto::config::{AgentName, Config};
use baton_proto::spec::Profile;

use crate::access::Principal;
use crate::app::App;
use crate::probe;
use crate::problem::{Failure, Outcome};
use crate::text::{Line, Stripper};

/// Agents that people have without having said so; of others the configuration names the path.
const KNOWN: [&str; 6] = ["aider", "claude", "codex", "gemini", "goose", "opencode"];
/// A program has so long to say its version; one that is written in a script starts an interpreter.
const LIMIT: Duration = Duration::from_secs(20);
/// Characters of a version that are shown.
const VERSION_CHARS_MAX: usize = 120;

/// What an end's reason begins with when the program was never started.
const NOT_STARTED: &str = "failed: ";

/// Tells one state of a program's file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: String,
    modified: (i64, i64),
    inode: (u64, u64),
    len: u64,
}

#[derive(Debug, Clone)]
struct Asked {
    stamp: Stamp,
    version: Option<String>,
    detail: Option<String>,
}

/// What was found out of agents' programs.
#[derive(Debug, Default)]
pub struct Agents {
    asked: Mutex<HashMap<String, Asked>>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A program, or why there is none.
enum Found {
    At(String, Stamp),
    NotThere(Option<String>),
    NotExecutable(String),
}

impl Agents {
    /// All of them, with what is known.
    #[must_use]
    pub fn all(&self, config: &Config, variables: &[(String, String)]) -> BTreeMap<String, AgentProgram> {
        let mut all = BTreeMap::new();
        for name in KNOWN {
            let known = config.agents.keys().any(|agent| agent.as_str() == name);
            if let (false, Found::At(path, stamp)) = (known, in_path(name, variables)) {
                all.insert(name.to_owned(), self.known(name, path, &stamp));
            }
        }
        for name in config.agents.keys() {
            all.insert(name.to_string(), self.shown(name.as_str(), find(name.as_str(), config, variables)));
        }
        all
    }

    fn shown(&self, name: &str, found: Found) -> AgentProgram {
        let without = |path, status| AgentProgram { path, version: None, status, detail: None };
        match found {
            Found::At(path, stamp) => self.known(name, path, &stamp),
            Found::NotThere(path) => without(path, AgentProgramStatus::NotFound),
            Found::NotExecutable(path) => without(Some(path), AgentProgramStatus::NotExecutable),
        }
    }

    fn known(&self, name: &str, path: String, stamp: &Stamp) -> AgentProgram {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let (status, version, detail) = match asked.filter(|asked| asked.stamp == *stamp) {
            None => (AgentProgramStatus::Found, None, None),
            Some(Asked { version: Some(version), .. }) => (AgentProgramStatus::Ready, Some(version), None),
            Some(Asked { detail, .. }) => (AgentProgramStatus::Failed, None, detail),
        };
        AgentProgram { path: Some(path), version, status, detail }
    }
}

/// How an agent's program is. It is asked for its version, once for each state of its file, in a session that is confined as
/// agents are.
///
/// # Errors
/// `not_found` for a name that nobody configured and `PATH` does not have; what keeps a session from being started.
pub async fn status(app: &Arc<App>, principal: &Principal, name: &AgentName) -> Outcome<AgentProgram> {
    let agents = &app.agents;
    let _turn = agents.turn.lock().await;
    let (config, variables) = (app.settings.now(), app.environment.variables());
    let configured = config.config.agents.contains_key(name);
    let found = find(name.as_str(), &config.config, &variables);
    let (path, stamp) = match found {
        Found::NotThere(None) if !configured => return Err(unknown(name)),
        Found::At(path, stamp) => (path, stamp),
        other => return Ok(agents.shown(name.as_str(), other)),
    };
    let known = agents.known(name.as_str(), path.clone(), &stamp);
    // One that failed may do so no longer: what it lacked may be there now.
    if known.status == AgentProgramStatus::Ready {
        return Ok(known);
    }
    let request = CreateTerminal {
        command: Some(vec![path.clone(), "--version".to_owned()]),
        title: Some(format!("settings: {name}")),
        sandbox: Some(Profile::Workspace),
        // It says what it is: nothing of its person's is needed for that.
        grants: Some(Vec::new()),
        ..CreateTerminal::default()
    };
    let answer = probe::ask(app, principal, request, variables, LIMIT).await?;
    let said = first_line(&answer.output);
    let (version, detail) = match answer.exit {
        Some(exit) if exit.code == Some(0) && !said.is_empty() => (Some(said), None),
        Some(exit) if exit.code == Some(0) => (None, Some("it answers nothing to `--version`".to_owned())),
        Some(exit) if exit.reason.starts_with(NOT_STARTED) => (None, Some(exit.reason)),
        Some(exit) => {
            let how = exit.code.map_or_else(|| "it was killed".to_owned(), |code| format!("it ended with {code}"));
            (None, Some(format!("in a confined session {how}: {said}")))
        }
        None => (None, Some(format!("it did not answer to `--version` within {} s", LIMIT.as_secs()))),
    };
    let asked = Asked { stamp: stamp.clone(), version, detail };
    agents.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), asked);
    Ok(agents.known(name.as_str(), path, &stamp))
}

fn unknown(name: &AgentName) -> Failure {
    let detail = format!(
        "there is no agent `{name}`: it is not in `PATH`, and no path was set (`baton settings agent {name} --path PATH`)"
    );
    Failure::new(ErrorCode::NotFound, detail)
}

fn find(name: &str, config: &Config, variables: &[(String, String)]) -> Found {
    let configured = config.agents.iter().find(|(agent, _)| agent.as_str() == name);
    match configured.and_then(|(_, agent)| agent.path.as_ref()) {
        Some(path) => at(path.as_str()),
        None => in_path(name, variables),
    }
}

fn in_path(name: &str, variables: &[(String, String)]) -> Found {
    let path = variables.iter().find(|(key, _)| key == "PATH").map_or("", |(_, path)| path.as_str());
    let found = path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| at(&format!("{dir}/{name}")));
    found.into_iter().find(|found| matches!(found, Found::At(..))).unwrap_or(Found::NotThere(None))
}

fn at(path: &str) -> Found {
    let Ok(meta) = std::fs::metadata(Path::new(path)) else { return Found::NotThere(Some(path.to_owned())) };
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Found::NotExecutable(path.to_owned());
    }
    let stamp = Stamp {
        path: path.to_owned(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        inode: (meta.dev(), meta.ino()),
        len: meta.len(),
    };
    Found::At(path.to_owned(), stamp)
}

/// The first line with something in it, as text.
fn first_line(output: &[u8]) -> String {
    let mut first = String::new();
    let mut sink = |line: Line<'_>| {
        if first.is_empty() {
            line.text.trim().clone_into(&mut first);
        }
    };
    let mut stripper = Stripper::new(0);
    stripper.feed(output, &mut sink);
    stripper.finish(&mut sink);
    first.chars().filter(|char| !char.is_control()).take(VERSION_CHARS_MAX).collect()
}
