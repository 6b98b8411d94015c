//! `baton-sessiond explain`: what a program confined like this may do with a path, as JSON for `baton sandbox explain`. Starts
//! nothing and leaves nothing.

use std::fs::DirBuilder;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use baton_proto::api::{Explain, Explained};
use baton_proto::home::Home;
use baton_proto::spec::Grant;
use baton_sandbox::landlock::Beside;
use baton_sandbox::verdict::Evaluator;
use baton_sandbox::{Refusal, Request};

use crate::agent;
use crate::doctor;
use crate::private;
use crate::worker::user_home;

/// Bytes of a question. Every grant may have a root of 4096, and output roots.
const QUESTION_BYTES_MAX: u64 = 4 << 20;

/// Answers the question on the standard input.
///
/// # Errors
/// A question that is none, a session that would not be started, or nobody who reads the answer.
pub fn run() -> anyhow::Result<()> {
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let mut question = Vec::new();
    io::stdin().take(QUESTION_BYTES_MAX).read_to_end(&mut question).context("reading the question")?;
    let question: Explain = serde_json::from_slice(&question).context("the question is not what this version asks")?;
    let mut out = serde_json::to_vec(&explain(&home, question)?)?;
    out.push(b'\n');
    io::stdout().write_all(&out).context("nobody reads the answer")
}

fn explain(home: &Home, question: Explain) -> anyhow::Result<Explained> {
    let beside = if doctor::namespaces().is_ok() { Beside::Namespaces } else { Beside::Nothing };
    let private = match question.session_id {
        Some(session) => private::of_session(&home.sessions_dir().join(session.to_string())),
        None => PathBuf::new(),
    };
    // A session that has none any more, or is not there yet, finds its own places empty.
    let runs = private.is_dir();
    let (private, _stand_in) = if runs {
        (private, None)
    } else {
        let stand_in = StandIn::new().context("making a directory in the place of the session's own")?;
        (stand_in.0.clone(), Some(stand_in))
    };
    let request = Request {
        profile: question.profile,
        grants: question.grants.into_iter().map(Grant::from).collect(),
        home: user_home(),
        private,
        hidden: vec![home.state.clone(), home.runtime.clone(), home.config.clone()],
        probe: home.key_file(),
        terminal: None,
        cwd: PathBuf::from(question.cwd),
        required: false,
        private_bytes: None,
        start_files: Vec::new(),
        ssh_agent: question.session_id.and_then(|session| {
            // The one that lives, if any: a relay's directory goes with its program.
            let instances = std::fs::read_dir(home.sessions_dir().join(session.to_string())).ok()?;
            instances.flatten().map(|instance| agent::directory(&instance.path())).find(|directory| directory.is_dir())
        }),
    };
    // Made when the session began, and anew by each respawn.
    let begun = request.private.metadata().and_then(|found| found.created().or_else(|_| found.modified())).ok();
    match Evaluator::since(&request, beside, begun.filter(|_| runs)) {
        Ok(evaluator) => Ok(evaluator.explain(Path::new(&question.path))),
        Err(refusal) => Err(refused(refusal)),
    }
}

fn refused(refusal: Refusal) -> anyhow::Error {
    let mut why = format!("such a session would not be started: {refusal}");
    if let Some(source) = std::error::Error::source(&refusal) {
        why = format!("{why}: {source}");
    }
    refusal.hint().map_or_else(|| anyhow::anyhow!("{why}"), |hint| anyhow::anyhow!("{why}; {hint}"))
}

/// An empty directory, for as long as the question is answered.
struct StandIn(PathBuf);

impl StandIn {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("baton-explain-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Empty, and this process's own.
        let _ = std::fs::remove_dir(&self.0);
    }
}
