//! The environment that sessions start from: what Baton was started with, until it is read anew from the login shell.
//!
//! A bridge that is started again would know only the first, so what was read is kept in a file of the state directory, for
//! this user only, as the specs of sessions are, which have the same in them. It holds as long as Baton is started from the
//! same environment.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, EnvironmentStatus};
use baton_proto::spec::Profile;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::Principal;
use crate::app::App;
use crate::clock;
use crate::config::is_inherited;
use crate::probe;
use crate::problem::{Failure, Outcome};

/// Its name in the state directory.
const FILE: &str = "environment.json";
/// A login shell has so long for its files.
const LIMIT: Duration = Duration::from_secs(20);
/// Most variables, and bytes of them all: what the spec of a session has room for.
const VARIABLES_MAX: usize = 2000;
const BYTES_MAX: usize = 128 << 10;

#[derive(Debug, Clone, Default)]
struct Now {
    variables: Vec<(String, String)>,
    reloaded_us: Option<u64>,
}

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the environment that Baton was started with.
    started_with: String,
    reloaded_us: u64,
    variables: Vec<(String, String)>,
}

/// The environment, shared.
#[derive(Debug)]
pub struct Environment {
    file: PathBuf,
    started_with: Vec<(String, String)>,
    now: RwLock<Now>,
}

impl Environment {
    /// What was read last, if Baton was started from the same as then; else what it was started with, which is `inherited`.
    #[must_use]
    pub fn open(state: &Path, inherited: Vec<(String, String)>) -> Self {
        let file = state.join(FILE);
        let kept = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let now = match kept.filter(|kept| kept.started_with == digest(&inherited)) {
            Some(kept) => Now { variables: kept.variables, reloaded_us: Some(kept.reloaded_us) },
            None => Now { variables: inherited.clone(), reloaded_us: None },
        };
        Self { file, started_with: inherited, now: RwLock::new(now) }
    }

    /// The variables.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).variables.clone()
    }

    /// What may be shown of it.
    #[must_use]
    pub fn status(&self) -> EnvironmentStatus {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = now.variables.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        EnvironmentStatus { reloaded_at: now.reloaded_us.map(clock::rfc3339), names }
    }

    fn take(&self, variables: Vec<(String, String)>) -> std::io::Result<()> {
        let reloaded_us = clock::now_us();
        let kept = Kept { started_with: digest(&self.started_with), reloaded_us, variables: variables.clone() };
        let aside = self.file.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        std::fs::rename(aside, &self.file)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Now { variables, reloaded_us: Some(reloaded_us) };
        Ok(())
    }
}

fn digest(variables: &[(String, String)]) -> String {
    let sorted: BTreeMap<_, _> = variables.iter().map(|(name, value)| (name, value)).collect();
    let mut hash = Sha256::new();
    for (name, value) in sorted {
        hash.update(name);
        hash.update([0]);
        hash.update(value);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the environment of the user's login shell, in a session that is not confined, as a person's own is; sessions that are
/// made from now on start from it.
///
/// # Errors
/// `forbidden` where no session may be unconfined, `invalid_transition` when the shell does not say it, what keeps a session
/// from being started, `disk_full`.
pub async fn reload(app: &Arc<App>, principal: &Principal) -> Outcome<()> {
    if !app.options.config.sandbox.allow_host {
        let detail = "with `sandbox.allow_host = false` no login shell runs unconfined, and a confined one does not see its files";
        return Err(Failure::new(ErrorCode::Forbidden, detail));
    }
    let shell = crate::routes::create::login_shell(&app.environment.started_with);
    let mut mark = [0; 16];
    getrandom::fill(&mut mark).map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))?;
    let mark: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = CreateTerminal {
        command: Some(command(&shell, &mark)),
        title: Some("settings: environment".to_owned()),
        sandbox: Some(Profile::Host),
        ..CreateTerminal::default()
    };
    let answer = probe::ask(app, principal, request, app.environment.started_with.clone(), LIMIT).await?;
    let why = |what: &str| {
        Failure::new(ErrorCode::InvalidTransition, format!("`{shell}` {what}; the environment is as it was"))
    };
    if answer.exit.is_none() {
        return Err(why(&format!(
            "did not come to its prompt within {} s: its start-up files wait for something",
            LIMIT.as_secs()
        )));
    }
    let variables = variables(&answer.output, &mark).ok_or_else(|| why("did not say its environment"))?;
    if !variables.iter().any(|(name, value)| name == "PATH" && !value.is_empty()) {
        return Err(why("has no `PATH`"));
    }
    if variables.len() > VARIABLES_MAX
        || variables.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > BYTES_MAX
    {
        return Err(why("has more in its environment than a session can start with (2000 variables, 128 KiB)"));
    }
    app.environment.take(variables).map_err(|err| {
        let full = matches!(err.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let code = if full { ErrorCode::DiskFull } else { ErrorCode::Internal };
        Failure::new(code, format!("the environment could not be kept, and is as it was: {err}"))
    })?;
    app.events
        .system("settings.changed", serde_json::json!({ "revision": app.settings.now().revision, "changed": ["env"] }));
    Ok(())
}

/// A login shell that says its environment between two marks: its start-up files may write what they like before.
///
/// Interactive where the shell can be, because many set `PATH` in a file that only an interactive one reads.
fn command(shell: &str, mark: &str) -> Vec<String> {
    let name = shell.rsplit('/').next().unwrap_or(shell);
    let interactive = matches!(name, "bash" | "zsh" | "fish" | "sh" | "dash" | "ksh" | "mksh");
    let script = format!("printf %s {mark}; command env -0; printf %s {mark}");
    let mut command = vec![shell.to_owned(), "-l".to_owned()];
    if interactive {
        command.push("-i".to_owned());
    }
    command.extend(["-c".to_owned(), script]);
    command
}

/// What stands between the marks. A terminal ends lines with `\r\n` where `\n` was written.
fn variables(output: &[u8], mark: &str) -> Option<Vec<(String, String)>> {
    let text = String::from_utf8_lossy(output).replace("\r\n", "\n");
    // The last two: a shell that shows what it runs has shown the marks before.
    let (before, _) = text.rsplit_once(mark)?;
    let (_, between) = before.rsplit_once(mark)?;
    let pairs = between.split('\0').filter_map(|pair| pair.split_once('='));
    let ours = ["TERM", "COLORTERM", "PWD"];
    let pairs = pairs.filter(|(name, _)| !name.is_empty() && is_inherited(name) && !ours.contains(name));
    Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_stands_between_the_marks_is_taken() {
        let output = b"Welcome!\r\nprintf %s MM; env; printf %s MM\r\nMMPATH=/bin\0A=x\r\ny=z\0BATON_HOME=/b\0TERM=vt\0PWD=/\0MMbye";
        let expected = vec![pair("PATH", "/bin"), pair("A", "x\ny=z")];
        assert_eq!(variables(output, "MM"), Some(expected));
        assert_eq!(variables(b"MMPATH=/bin", "MM"), None);
        assert_eq!(variables(b"", "MM"), None);
    }

    #[test]
    fn what_was_read_holds_until_baton_is_started_from_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let first = Environment::open(dir.path(), vec![pair("PATH", "/bin")]);
        assert_eq!((first.variables(), first.status().reloaded_at), (vec![pair("PATH", "/bin")], None));
        first.take(vec![pair("PATH", "/usr/bin"), pair("B", "1")]).unwrap();
        let again = Environment::open(dir.path(), vec![pair("PATH", "/bin")]);
        assert_eq!(again.variables(), [pair("PATH", "/usr/bin"), pair("B", "1")]);
        assert_eq!(again.status().names, ["B", "PATH"]);
        assert_eq!(again.status().reloaded_at, first.status().reloaded_at);
        let other = Environment::open(dir.path(), vec![pair("PATH", "/opt/bin")]);
        assert_eq!((other.variables(), other.status().reloaded_at), (vec![pair("PATH", "/opt/bin")], None));
        std::fs::write(dir.path().join(FILE), "torn").unwrap();
        assert_eq!(Environment::open(dir.path(), vec![]).variables(), []);
        use std::os::unix::fs::PermissionsExt as _;
        first.take(vec![]).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
