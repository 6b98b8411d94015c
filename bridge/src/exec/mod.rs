//! `exec`: types one command at the shell's prompt and cuts its output out of the stream.
//!
//! A shell with integration marks its commands itself (`integrated`); for any other the line is wrapped so that it marks
//! its own beginning and end (`wrapped`).

pub mod hostile;
mod integrated;
mod prompt;
mod said;
mod shell;
mod wrapped;

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ExecAnswer, ExecRequest};
use baton_proto::ids::Epoch;
use baton_proto::v1::ExitRecord;

use crate::app::App;
use crate::approval::gate::Permit;
use crate::hub::session::{RestAttachment, Session};
use crate::problem::{Failure, Outcome};
use crate::routes::input::type_bytes;
use crate::show;
use crate::tail::timeout;
use prompt::Prompt;
use shell::Shell;

/// Longest command, in bytes: with its quotes it must fit into the 4095 bytes a terminal's line may have.
const COMMAND_BYTES_MAX: usize = 3500;
/// Bytes of output that are answered, the newest.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// The shell is looked at when nothing has come for so long; later each time that it is not at its prompt, up to
/// [`QUIET_MAX`].
const QUIET: Duration = Duration::from_millis(100);
const QUIET_MAX: Duration = Duration::from_millis(500);

/// How long a line waits for the one before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// A command on its way.
struct Run<'a> {
    session: &'a Session,
    attached: &'a RestAttachment,
    epoch: Epoch,
    command: &'a str,
    prompt: &'a Prompt,
    deadline: Instant,
    /// A sign of life is due so often.
    alive: Duration,
    permit: &'a Permit,
}

/// How a command ended, as far as anybody knows.
#[derive(Debug, Default, PartialEq, Eq)]
struct End {
    exit_code: Option<i32>,
    /// The shell ended with it.
    exit: Option<ExitRecord>,
    timed_out: bool,
}

impl End {
    fn code(exit_code: Option<i32>) -> Self {
        Self { exit_code, ..Self::default() }
    }

    fn timed_out() -> Self {
        Self { timed_out: true, ..Self::default() }
    }

    /// The command ended the shell itself, as `exit 3` does. A signal is told as shells tell it.
    fn session(exit: Option<ExitRecord>) -> Self {
        let code = exit.as_ref().and_then(|exit| exit.code.or_else(|| exit.signal.map(|signal| 128 + signal)));
        Self { exit_code: code, exit, timed_out: false }
    }
}

/// A part of the output.
#[derive(Debug)]
struct Part {
    start: u64,
    bytes: Vec<u8>,
    /// Bytes of the shell's own marks that were taken out.
    marks: usize,
    truncated: bool,
}

impl Run<'_> {
    /// Types a line at the prompt. Ctrl-U first: behind something half-typed the line would be a different one, and its end
    /// would never be seen. It rings the bell on an empty line, so that there is a space for it to take.
    async fn type_line(&self, line: &str) -> Outcome<()> {
        // What the shell's editor would act upon is pasted.
        let typed = if line.contains(['\n', '\t']) {
            format!(" \x15\x1b[200~{line}\x1b[201~\r")
        } else {
            format!(" \x15{line}\r")
        };
        type_bytes(self.session, self.attached, self.epoch, typed.as_bytes(), self.permit).await
    }

    /// Until when to wait for what comes next. Whoever waits here is alive, and keeps its lease.
    async fn pause(&self, quiet: Duration) -> Instant {
        if self.attached.presence.heard() {
            self.session.heard(self.attached.attachment).await;
        }
        (Instant::now() + quiet.min(self.alive)).min(self.deadline)
    }

    /// Whether the command put another program in the shell's place, now that there is a prompt of which no mark tells.
    fn is_replaced(&self, foreground: &str) -> bool {
        self.command.split_whitespace().next() == Some("exec") || foreground != self.prompt.foreground
    }

    fn answer(&self, end: End, part: &Part) -> ExecAnswer {
        ExecAnswer {
            exit_code: end.exit_code,
            output: String::from_utf8_lossy(&part.bytes).into_owned(),
            cursor_start: self.session.cursor(part.start),
            cursor_end: self.session.cursor(part.start + (part.bytes.len() + part.marks) as u64),
            truncated: part.truncated,
            timed_out: end.timed_out,
            exit: end.exit.as_ref().map(show::exit),
        }
    }
}

/// The line as it is typed, if it can be. What can't be typed is not judged either.
///
/// # Errors
/// `invalid`.
pub fn check(request: &ExecRequest) -> Outcome<String> {
    let command = request.command.replace("\r\n", "\n");
    let command = command.trim_end_matches(['\r', '\n']);
    if command.len() > COMMAND_BYTES_MAX {
        return Err(Failure::invalid("`command` has at most 3500 bytes"));
    }
    if command.chars().any(|char| char.is_control() && !matches!(char, '\t' | '\n')) {
        return Err(Failure::invalid(
            "`command` has no control characters but tabs and line ends: type others with `input`",
        ));
    }
    timeout(request.timeout_s)?;
    Ok(command.to_owned())
}

/// Runs a command in the session's shell, once it was judged.
///
/// # Errors
/// `busy` when the shell does not wait for a line; `invalid`; what typing may fail with.
pub async fn run(
    app: &App,
    session: &Session,
    attached: &RestAttachment,
    epoch: Epoch,
    request: &ExecRequest,
    permit: Permit,
) -> Outcome<ExecAnswer> {
    let permit = &permit;
    let command = check(request)?;
    let command = command.as_str();
    let deadline = Instant::now() + timeout(request.timeout_s)?;
    // Two lines at one prompt would be each other's output.
    let _turn = tokio::time::timeout(TURN_TIMEOUT.min(deadline - Instant::now()), session.exec_turn())
        .await
        .map_err(|_| Failure::new(ErrorCode::Busy, "another `exec` is under way in this session; wait for its end"))?;
    let prompt = prompt::wait(session, attached).await?;
    let alive = (app.context.lease_ttl / 3).max(Duration::from_millis(50));
    let run = Run { session, attached, epoch, command, prompt: &prompt, deadline, alive, permit };
    if command.trim().is_empty() {
        // Nothing is what runs, and what it writes.
        let part = Part { start: prompt.head, bytes: Vec::new(), marks: 0, truncated: false };
        return Ok(run.answer(End::code(Some(0)), &part));
    }
    // fish leaves tabs out of what is pasted.
    let pasted = prompt.paste && !(prompt.shell == Shell::Fish && command.contains('\t'));
    let typable = !command.contains(['\n', '\t']) || pasted;
    if typable && prompt::is_marked(session, prompt.head).await? {
        return integrated::run(&run).await;
    }
    wrapped::run(&run).await
}
