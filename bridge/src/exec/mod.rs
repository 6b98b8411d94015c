//! `exec`: types one line at the shell's prompt and cuts its output out of the stream.
//!
//! A shell with integration marks its commands itself ([`integrated`]); for any other the line is wrapped so that it marks
//! its own beginning and end ([`wrapped`]).

mod integrated;
mod wrapped;

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ExecAnswer, ExecRequest};
use baton_proto::ids::Epoch;
use baton_proto::v1::Inspection;

use crate::app::App;
use crate::hub::marks::Round;
use crate::hub::session::{RestAttachment, Session};
use crate::problem::{Failure, Outcome};
use crate::routes::input::type_bytes;
use crate::tail::timeout;

/// How long a fresh shell may take to show its prompt.
const PROMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the prompt is looked for.
const PROMPT_INTERVAL: Duration = Duration::from_millis(40);
/// Output is quiet for so long before the prompt is looked for instead of the second mark.
const QUIET: Duration = Duration::from_millis(500);
/// Longest command, in bytes: with its quotes it must fit into the 4095 bytes a terminal's line may have.
const COMMAND_BYTES_MAX: usize = 3500;
/// Bytes of output that are answered, the newest.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// A command on its way.
struct Run<'a> {
    session: &'a Session,
    attached: &'a RestAttachment,
    epoch: Epoch,
    command: &'a str,
    deadline: Instant,
    /// A sign of life is due so often.
    alive: Duration,
}

impl Run<'_> {
    /// Types a line at the prompt. Ctrl-U first: behind something half-typed the line would be a different one, and its end
    /// would never be seen. It rings the bell on an empty line, so that there is a space for it to take.
    async fn type_line(&self, line: &str) -> Outcome<()> {
        type_bytes(self.session, self.attached, self.epoch, format!(" \x15{line}\r").as_bytes()).await
    }

    /// Until when to wait for what comes next. Whoever waits here is alive, and keeps its lease.
    async fn pause(&self, quiet: Duration) -> Instant {
        if self.attached.presence.heard() {
            self.session.heard(self.attached.attachment).await;
        }
        (Instant::now() + quiet.min(self.alive)).min(self.deadline)
    }
}

/// Runs a command in the session's shell.
///
/// # Errors
/// `busy` when the shell does not wait for a line; `invalid`; what typing may fail with.
pub async fn run(
    app: &App,
    session: &Session,
    attached: &RestAttachment,
    epoch: Epoch,
    request: &ExecRequest,
) -> Outcome<ExecAnswer> {
    let command = request.command.trim_end_matches(['\r', '\n']);
    if command.trim().is_empty() || command.len() > COMMAND_BYTES_MAX {
        return Err(Failure::invalid("`command` is one line of 1 to 3500 bytes"));
    }
    if command.chars().any(|char| char.is_control() && char != '\t') {
        let detail = "`command` is one line without control characters: join lines with `;`, or type them with `input`";
        return Err(Failure::invalid(detail));
    }
    let deadline = Instant::now() + timeout(request.timeout_s)?;
    let inspection = at_prompt(session, attached).await?;
    let alive = (app.context.lease_ttl / 3).max(Duration::from_millis(50));
    let run = Run { session, attached, epoch, command, deadline, alive };
    if session.live().round == Round::Prompt {
        return integrated::run(&run).await;
    }
    wrapped::run(&run, inspection.foreground.as_ref().map_or("", |(_, command)| command.as_str())).await
}

async fn at_prompt(session: &Session, attached: &RestAttachment) -> Outcome<Inspection> {
    let deadline = Instant::now() + PROMPT_TIMEOUT;
    loop {
        let inspection = session.inspect().await?;
        let owner = inspection.lease.owner.as_ref();
        if owner.is_none_or(|owner| owner.client != attached.presence.identity.client) {
            return Err(Failure::new(ErrorCode::NotOwner, "this client does not have control: `claim` it first"));
        }
        if inspection.at_prompt && inspection.input_queued == 0 {
            return Ok(inspection);
        }
        if Instant::now() >= deadline {
            let detail = match &inspection.foreground {
                Some((_, command)) => {
                    format!("`{command}` runs in the foreground, or a line is half typed; wait for the prompt")
                }
                None => "the shell does not wait for a line".to_owned(),
            };
            return Err(Failure::new(ErrorCode::Busy, detail));
        }
        tokio::time::sleep(PROMPT_INTERVAL).await;
    }
}
