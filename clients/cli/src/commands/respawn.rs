//! `baton respawn`: a session that ended by itself, or with its host, begins a new life. It runs a command, so it asks first.

use std::io::{self, BufRead, IsTerminal, Write};

use baton_proto::api::{Session, SessionDetail, SessionStatus};

use crate::api::Api;
use crate::args::RespawnArgs;
use crate::context::Context;
use crate::out;
use crate::report::{Report, clean_line};
use crate::{names, table};

/// Most characters of the command in the question.
const COMMAND_CHARS: usize = 200;

/// Starts a session again.
pub async fn run(context: &Context, args: &RespawnArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let name = names::label(&session);
    // What can't be started again is said by Baton, not asked for first.
    if !args.yes && matches!(session.status, SessionStatus::Lost | SessionStatus::Exited) && !confirmed(&session)? {
        out::remark("Nothing was started.");
        return Ok(1);
    }
    let what = format!("`{name}` cannot be started again");
    let started: SessionDetail = api.post(&what, &format!("/v1/sessions/{}/respawn", session.id), &()).await?;
    if args.json {
        out::json(&started)?;
    } else {
        out::line(&format!(
            "`{name}` runs again; `baton attach {}` attaches to it.",
            names::short(&session.id.to_string())
        ))?;
    }
    Ok(0)
}

fn confirmed(session: &Session) -> Result<bool, Report> {
    let name = names::label(session);
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Report::usage(
            "`baton respawn` asks before it starts anything, and there is no terminal to ask on",
        )
        .hint(format!("`baton respawn --yes {name}` starts it without asking")));
    }
    let command = session.resume_cmd.as_ref().unwrap_or(&session.command);
    let command = table::shorten(&clean_line(&command.join(" ")), COMMAND_CHARS);
    let how = if session.status == SessionStatus::Lost { "was lost with its host" } else { "has ended" };
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "`{name}` {how}. Run `{command}` in it again? [y/N] ").and_then(|()| stderr.flush());
    asked.map_err(|err| Report::failed("the question could not be asked").why(err))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|err| Report::failed("the answer could not be read").why(err))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
