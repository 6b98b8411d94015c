//! Requests as the API's document allows them, and as it does not, against a real Baton: no answer may be a failure of the
//! server, have a status that the document does not name, or another shape than it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::binaries::{self, Profile};
use crate::freshness::written;
use crate::project::Project;
use crate::steps::{self, command};

/// How long it looks for something, in seconds; examples and edges of every operation come first.
const SECONDS: &str = "100";
/// Sessions to ask about: the last one is closed on the way.
const SESSIONS: usize = 3;

/// Runs it; `--seed N` repeats a run.
pub fn run_with(project: &Project, words: &[&str]) -> Result<()> {
    let seed = match words {
        [] => UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_secs().to_string(),
        ["--seed", seed] => (*seed).to_owned(),
        _ => bail!("usage: cargo xtask schemathesis [--seed N]"),
    };
    binaries::build(project, Profile::Dev)?;
    run(project, &seed)
}

/// Runs it with binaries that are built, and a seed of now.
pub fn check(project: &Project) -> Result<()> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().to_string();
    run(project, &seed)
}

fn run(project: &Project, seed: &str) -> Result<()> {
    let program = install(project)?;
    eprintln!("  seed {seed}: `cargo xtask schemathesis --seed {seed}` does the same again");
    let root = std::env::temp_dir().join(format!("baton-schemathesis-{}", std::process::id()));
    fs::create_dir_all(root.join("home")).with_context(|| format!("making `{}`", root.display()))?;
    let done = against(project, &program, &root, seed);
    let ended = steps::run(baton(project, &root, &["down", "--sessions"]));
    let _ = fs::remove_dir_all(&root);
    done.and(ended)
}

fn against(project: &Project, program: &Path, root: &Path, seed: &str) -> Result<()> {
    steps::run(baton(project, root, &["up"]))?;
    let mut sessions = Vec::new();
    for number in 0..SESSIONS {
        let name = format!("tried-{number}");
        steps::run(baton(project, root, &["new", "-d", "--name", &name, "--", "/bin/sh"]))?;
    }
    let listed = String::from_utf8(steps::output(baton(project, root, &["ls", "--json"]))?)?;
    for part in listed.split('"').filter(|part| is_session(part)) {
        if !sessions.contains(&part) {
            sessions.push(part);
        }
    }
    let status = String::from_utf8(steps::output(baton(project, root, &["status", "--json"]))?)?;
    let url = field(&status, "url").context("`baton status` names no URL")?;
    let token_file = field(&status, "token_file").context("`baton status` names no token file")?;
    let token = fs::read_to_string(token_file).context("the token file")?;
    let here = directory(project);
    let mut schemathesis = command(program, &["--config-file"], root);
    schemathesis
        .arg(here.join("schemathesis.toml"))
        .args(["run", &format!("{}/v1/openapi.json", url.trim_end_matches('/'))])
        .args(["--seed", seed, "--max-time", SECONDS, "--max-examples", "60", "--phases", "examples,coverage,fuzzing"])
        .args(["--continue-on-failure", "--warnings", "off", "--no-color", "--suppress-health-check", "all"])
        .args(["--generation-database", ":memory:"])
        .env("BATON_TEST_TOKEN", token.trim())
        .env("BATON_TEST_HOOKS", here.join("hooks.py"))
        .env("SCHEMATHESIS_HOOKS", here.join("hooks.py"))
        .env("BATON_TEST_SESSIONS", sessions.join(","))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    steps::run(schemathesis)
}

fn is_session(text: &str) -> bool {
    text.strip_prefix("ses_").is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A text of a flat JSON object that Baton wrote.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let after = json.split_once(&format!("\"{name}\""))?.1;
    after.split('"').nth(1)
}

fn directory(project: &Project) -> PathBuf {
    project.root().join("tests/schemathesis")
}

/// `baton` with a home of its own, a port of its own and nothing of the caller's Baton.
fn baton(project: &Project, root: &Path, arguments: &[&str]) -> Command {
    let mut baton = command(binaries::path(project, Profile::Dev, "baton"), arguments, root);
    baton
        .env("BATON_HOME", root.join("b"))
        .env("HOME", root.join("home"))
        .env("BATON_LISTEN", "127.0.0.1:0")
        .env("BATON_SERVER__RATE_LIMIT", "100000");
    baton
}

/// Installs it below the target directory, by the versions and hashes that are written down; where it is.
fn install(project: &Project) -> Result<PathBuf> {
    let requirements = directory(project).join("requirements.txt");
    let environment = project.target().join("schemathesis");
    let program = environment.join("bin/schemathesis");
    let stamp = environment.join("installed");
    if written(&stamp).zip(written(&requirements)).is_some_and(|(done, asked)| done >= asked) && program.exists() {
        return Ok(program);
    }
    let root = project.root();
    let at = environment.to_str().context("the target directory's name is no UTF-8")?;
    steps::run(command("python3", &["-m", "venv", "--clear", at], root)).context("`python3` with `venv` is needed")?;
    let mut pip = command(environment.join("bin/pip"), &["install", "--quiet", "--disable-pip-version-check"], root);
    pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement"]).arg(&requirements);
    steps::run(pip)?;
    fs::write(&stamp, "")?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_baton_says_is_read() {
        let status = "{\n  \"url\": \"http://127.0.0.1:7\",\n  \"token_file\": \"/x/token\"\n}";
        assert_eq!(field(status, "url"), Some("http://127.0.0.1:7"));
        assert_eq!(field(status, "token_file"), Some("/x/token"));
        assert_eq!(field(status, "nothing"), None);
        assert!(is_session("ses_0123456789abcdef0123456789abcdef") && !is_session("ses_1") && !is_session("tok_1"));
    }
}
