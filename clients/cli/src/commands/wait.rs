//! `baton wait`

use std::io::{self, IsTerminal};
use std::time::Duration;

use baton_proto::api::{WaitAnswer, WaitRequest, WaitUntil};
use tokio::time::Instant;

use crate::api::{Api, terminal};
use crate::args::WaitArgs;
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::report::{Exit, Report, clean};

/// Seconds in one request. A longer wait is several; the pattern is always looked for from the same place.
const PIECE_S: f64 = 600.0;

/// What the bridge may take beyond the wait itself.
const SLACK: Duration = Duration::from_secs(30);

/// Waits until something happens.
pub async fn run(context: &Context, args: &WaitArgs) -> Result<u8, Report> {
    if args.timeout.is_some_and(|timeout| !timeout.is_finite() || timeout < 0.0) {
        return Err(Report::usage("a timeout is a number of seconds"));
    }
    let started = Instant::now();
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    // A fixed beginning: nothing is missed between two requests, nor while the bridge restarts.
    let from = match args.since {
        Some(since) => since.since(&api, &session).await?.unwrap_or(session.oldest_cursor),
        None => session.cursor,
    };
    let until = WaitUntil {
        pattern: args.pattern.clone(),
        exit: args.exit.then_some(true),
        idle_ms: args.idle,
        cursor: args.pattern.is_some().then_some(from),
        mark: args.prompt.then(|| "prompt".to_owned()),
    };
    let what = format!("`{}` cannot be waited for", label(&session));
    loop {
        let left = args.timeout.map(|timeout| (timeout - started.elapsed().as_secs_f64()).max(0.0));
        let piece = left.unwrap_or(PIECE_S).min(PIECE_S);
        let body = WaitRequest { until: until.clone(), timeout_s: Some(piece) };
        let limit = Duration::from_secs_f64(piece) + SLACK;
        let answer: WaitAnswer =
            api.ask(&what, &terminal(session.id, "wait"), &body, limit).await.map_err(|report| {
                report.in_words(&[("cursor", "--since"), ("pattern", "--pattern"), ("timeout_s", "--timeout")])
            })?;
        let timed_out = answer.matched == "timeout";
        if timed_out && left.is_none_or(|left| left > piece) {
            continue;
        }
        // The end of the program ends every wait; unless it was waited for, what was waited for never came.
        let ended = answer.matched == "exit" && !args.exit;
        if args.json {
            out::json(&answer)?;
            return Ok(match (timed_out, ended) {
                (true, _) => Exit::Timeout as u8,
                (_, true) => Exit::Failed as u8,
                _ => 0,
            });
        }
        if ended {
            return Err(Report::failed(format!("`{}` ended, and nothing of it had happened", label(&session)))
                .hint(format!("see what it wrote with `baton log {}`", label(&session))));
        }
        if timed_out {
            return Err(Report::new(Exit::Timeout, format!("nothing of it happened in `{}` in time", label(&session))));
        }
        if let Some(text) = &answer.text {
            // A program gets what matched; a terminal must not obey it.
            let shown = if io::stdout().is_terminal() { clean(&text.replace('\r', "")) } else { text.clone() };
            out::line(&shown)?;
        }
        return Ok(0);
    }
}
