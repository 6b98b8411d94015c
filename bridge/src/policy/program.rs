//! `baton-bridge policy`: what `baton policy` runs. It needs no bridge that runs, and no file that is in force.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::action::{Action, Context, Grant, Judgement, Outcome, Principal, PrincipalKind};
use super::rules::{Policy, PolicyError};
use super::{file, judge};

/// Allowed; a policy that is in order.
pub const ALLOWED: u8 = 0;
/// A policy that is refused, or that can't be read.
pub const REFUSED: u8 = 1;
/// Wrong arguments.
pub const USAGE: u8 = 2;
/// Denied.
pub const DENIED: u8 = 5;
/// A person is to be asked.
pub const ASKED: u8 = 7;

const USAGE_TEXT: &str = "usage: baton policy test [--json] [FILE] | baton policy explain [--policy FILE] [--cwd DIRECTORY] \
                          [--json] [--unsandboxed] [--as NAME] [--workspace ID] (--action JSON | -- COMMAND LINE)";

/// Why there is no answer.
#[derive(Debug)]
enum Stop {
    Usage(String),
    Refused(PolicyError),
    Io(io::Error),
}

impl From<PolicyError> for Stop {
    fn from(err: PolicyError) -> Self {
        Self::Refused(err)
    }
}

impl From<io::Error> for Stop {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

/// Runs the command; `policy_file` is the one in force. Returns the exit code; errors go to stderr.
#[must_use]
pub fn run(arguments: &[String], policy_file: &Path) -> u8 {
    let done = match arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("test", rest)) => test(rest, policy_file),
        Some(("explain", rest)) => explain(rest, policy_file),
        _ => Err(Stop::Usage(USAGE_TEXT.to_owned())),
    };
    let (code, what) = match done {
        Ok(code) => return code,
        Err(Stop::Usage(what)) => (USAGE, what),
        Err(Stop::Refused(err)) => (REFUSED, err.to_string()),
        Err(Stop::Io(err)) => (REFUSED, err.to_string()),
    };
    // Nobody is left to be told if stderr is closed.
    let _ = writeln!(io::stderr(), "{what}");
    code
}

fn test(arguments: &[String], in_force: &Path) -> Result<u8, Stop> {
    let (mut json, mut path) = (false, None);
    for argument in arguments {
        match argument.as_str() {
            "--json" => json = true,
            _ if path.is_none() => path = Some(PathBuf::from(argument)),
            _ => return Err(Stop::Usage(USAGE_TEXT.to_owned())),
        }
    }
    let policy = load(path.as_deref(), in_force);
    if json {
        let answer = match &policy {
            Ok(it) => json!({"ok": true, "rules": it.rules.len(), "examples": examples(it), "revision": it.revision}),
            Err(err) => json!({"ok": false, "file": err.file, "line": err.line, "what": err.what}),
        };
        writeln!(io::stdout(), "{answer:#}")?;
    }
    let policy = policy?;
    if !json {
        let (rules, examples) = (policy.rules.len(), examples(&policy));
        writeln!(io::stdout(), "{rules} rules, {examples} examples hold; revision {}", policy.revision)?;
    }
    Ok(ALLOWED)
}

fn examples(policy: &Policy) -> usize {
    policy.rules.iter().map(|it| it.examples.matching.len() + it.examples.not_match.len()).sum()
}

/// A file that is named has to be there; the one in force need not be.
fn load(named: Option<&Path>, in_force: &Path) -> Result<Policy, PolicyError> {
    let path = named.unwrap_or(in_force);
    if named.is_some() && !path.exists() {
        let file = path.display().to_string();
        return Err(PolicyError { file, line: 1, what: "there is no such file".to_owned() });
    }
    file::load(path)
}

fn explain(arguments: &[String], in_force: &Path) -> Result<u8, Stop> {
    let (mut json, mut sandboxed, mut name, mut workspace) = (false, true, "agent".to_owned(), None);
    let (mut action, mut path, mut cwd) = (None, None, PathBuf::from("."));
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| Stop::Usage(format!("`{argument}` wants a value")));
        match argument.as_str() {
            "--json" => json = true,
            "--unsandboxed" => sandboxed = false,
            "--as" => name = value()?,
            "--workspace" => workspace = Some(value()?),
            "--policy" => path = Some(PathBuf::from(value()?)),
            "--cwd" => cwd = PathBuf::from(value()?),
            "--action" => {
                let text = value()?;
                let parsed = serde_json::from_str(&text);
                action = Some(parsed.map_err(|err| Stop::Usage(format!("`{text}` is no action: {err}")))?);
            }
            "--" => action = Some(Action::TerminalExec { command: line(&rest.by_ref().collect::<Vec<_>>()) }),
            other => return Err(Stop::Usage(format!("`{other}`: a command line comes after `--`"))),
        }
    }
    let nothing = || Stop::Usage("nothing to explain: give a command line after `--`, or `--action JSON`".to_owned());
    let action = action.ok_or_else(nothing)?;
    let cwd = cwd.canonicalize().map_err(|err| Stop::Usage(format!("`{}`: {err}", cwd.display())))?;
    let home = std::env::var_os("HOME").map_or_else(|| "/".into(), PathBuf::from);
    let mut grants = vec![Grant { root: cwd.clone(), write: true }];
    // A confined session has a temporary directory of its own; who works in the common one grants no more than their part.
    let temporary = Path::new("/tmp");
    if !cwd.starts_with(temporary) && !home.starts_with(temporary) {
        grants.push(Grant { root: temporary.to_owned(), write: true });
    }
    let context = Context {
        workspace,
        home,
        persons_home: None,
        search: std::env::var_os("PATH").map(|it| std::env::split_paths(&it).collect()).unwrap_or_default(),
        env: Vec::new(),
        sandboxed,
        grants,
        cwd,
    };
    let policy = load(path.as_deref(), in_force)?;
    let judgement = judge(&policy, &Principal { kind: PrincipalKind::Agent, name }, &action, &context);
    if json {
        let answer = serde_json::to_string_pretty(&judgement).map_err(io::Error::from)?;
        writeln!(io::stdout(), "{answer}")?;
    } else {
        writeln!(io::stdout(), "{}", described(&judgement))?;
    }
    Ok(match judgement.outcome {
        Outcome::Allow => ALLOWED,
        Outcome::Ask => ASKED,
        Outcome::Deny => DENIED,
    })
}

/// One word is a line as it stands; several are what a shell made of one, and get their quotes back.
fn line(words: &[&String]) -> String {
    if let [one] = words {
        return (*one).clone();
    }
    let quoted = words.iter().map(|word| {
        let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_./,:+%@=".contains(&it);
        if !word.is_empty() && word.bytes().all(plain) {
            (*word).clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// A judgement, for people.
#[must_use]
pub fn described(judgement: &Judgement) -> String {
    let mut text = format!("{}  (risk {}", judgement.outcome.name(), judgement.risk_level.name());
    if !judgement.risk_tags.is_empty() {
        text.push_str(": ");
        text.push_str(&judgement.risk_tags.iter().map(|it| it.name()).collect::<Vec<_>>().join(", "));
    }
    text.push(')');
    for reason in &judgement.reasons {
        let why: String = reason.why.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        text.extend(["\n  ", reason.outcome.name(), "  ", &reason.rule, ": ", &why]);
    }
    text
}
