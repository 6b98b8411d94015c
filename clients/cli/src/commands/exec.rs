//! `baton exec`: a line run in the session's own shell, with its exit code as ours.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{AwaitingApproval, ExecAnswer, ExecRequest};

use crate::api::{Api, terminal};
use crate::args::ExecArgs;
use crate::commands::input::Typist;
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::refusals::Refusals;
use crate::report::{Exit, Report};

/// Longest wait the API takes, in seconds.
const WAIT_MAX_S: f64 = 3600.0;

/// What the bridge may take beyond the wait itself.
const SLACK: Duration = Duration::from_secs(30);

/// What became of the line.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Answer {
    /// It was run.
    Done(ExecAnswer),
    /// A rule that names this person asks a person.
    Asked(AwaitingApproval),
}

/// Runs a line and passes output and exit code on.
pub async fn run(context: &Context, args: &ExecArgs) -> Result<u8, Report> {
    if !(0.0..=WAIT_MAX_S).contains(&args.timeout) {
        return Err(
            Report::usage(format!("a timeout of {} s is not possible", args.timeout)).hint("give 0 to 3600 seconds")
        );
    }
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let typist = Typist { api: &api, session: &session, client: context.scripted_client()? };
    let name = label(&session);
    typist
        .with_control(args.claim, async {
            let body = ExecRequest {
                client_id: typist.client.clone(),
                command: args.line.join(" "),
                epoch: None,
                timeout_s: Some(args.timeout),
            };
            let refusals = Refusals::from_now(&api, &session).await;
            let limit = Duration::from_secs_f64(args.timeout) + SLACK;
            let what = format!("the line cannot be run in `{name}`");
            let answer: Answer = api
                .post_within(&what, &terminal(session.id, "exec"), &body, limit)
                .await
                .map_err(|report| match report.code() {
                    Some(ErrorCode::Busy) => {
                        report.hint(format!("wait for its prompt with `baton wait {name} --prompt`"))
                    }
                    _ => report,
                })?;
            let answer = match answer {
                Answer::Done(answer) => answer,
                Answer::Asked(AwaitingApproval { approval_id, .. }) => {
                    return Err(Report::new(Exit::Denied, "the line was not run: a person has to approve it")
                        .why(format!("a rule of the policy asks ({approval_id})"))
                        .hint(format!("`baton approvals show {approval_id}` shows it, `baton approvals approve {approval_id}` has it run")));
                }
            };
            if args.json {
                out::json(&answer)?;
            } else {
                if answer.truncated {
                    out::remark("baton: the output was long; only its end follows (`baton log` has the rest)");
                }
                out::bytes(answer.output.as_bytes())?;
                if answer.exit.is_some() {
                    out::remark("baton: the session ended with it");
                }
            }
            refusals.tell(&answer).await;
            match answer.exit_code {
                Some(code) => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
                None if args.json => Ok(if answer.timed_out { Exit::Timeout } else { Exit::Failed } as u8),
                None if !answer.timed_out => Err(Report::failed("the line's exit code is not known")
                    .why("the shell is back at its prompt and has not told it: the line was interrupted")),
                None => Err(Report::new(Exit::Timeout, format!("the line did not end within {} s", args.timeout))
                    .why("it still runs")
                    .hint(format!("watch it with `baton attach -r {name}`"))),
            }
        })
        .await
}
