//! `baton ls`: what the bridge knows; `--parked` while Baton is stopped: what runs on without it.

use baton_proto::api::{ParkedSession, Session, SessionStatus};
use baton_proto::spec::Profile;
use baton_proto::v1::Class;

use crate::api::Api;
use crate::args::LsArgs;
use crate::context::Context;
use crate::launcher::is_running;
use crate::names::{label, short};
use crate::report::{Report, clean_line};
use crate::{out, parked, table, time};

/// Most characters of a name, an owner and a command in the table.
const CELL_CHARS: usize = 32;

/// Lists sessions.
pub async fn run(context: &Context, args: &LsArgs) -> Result<u8, Report> {
    if args.parked && !is_running(&context.home)? {
        // To look at what runs on is no reason to start anything.
        return without_baton(args);
    }
    let mut sessions = Api::open(context).await?.sessions().await?;
    sessions.retain(|session| (args.all || session.status.is_living()) && (!args.parked || session.parked));
    sessions.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    if args.json {
        out::json(&sessions)?;
        return Ok(0);
    }
    if sessions.is_empty() {
        out::remark(if args.parked {
            "No session is parked."
        } else {
            "No session is running. Make one with `baton new`."
        });
        return Ok(0);
    }
    let now = time::now();
    let rows: Vec<Vec<String>> = sessions.iter().map(|session| row(session, now)).collect();
    let head = ["NAME", "ID", "STATUS", "SANDBOX", "CONTROL", "CLIENTS", "AGE", "COMMAND"];
    out::bytes(table::layout(&head, &rows).as_bytes())?;
    if sessions.iter().any(|session| session.sandbox.missing().next().is_some()) {
        out::remark("`!`: not all of its confinement holds; `baton ls --json` says what is missing.");
    }
    Ok(0)
}

fn sandbox(session: &Session) -> String {
    let word = match session.sandbox.profile {
        Profile::Host => "-",
        Profile::Workspace => "workspace",
        Profile::Locked => "locked",
    };
    let mark = if session.sandbox.missing().next().is_some() { "!" } else { "" };
    format!("{word}{mark}")
}

fn without_baton(args: &LsArgs) -> Result<u8, Report> {
    let sessions = parked::survey()?.parked;
    if args.json {
        out::json(&sessions)?;
        return Ok(0);
    }
    if sessions.is_empty() {
        out::remark("Baton is not running, and no session runs on without it.");
        return Ok(0);
    }
    let now = time::now();
    let rows: Vec<Vec<String>> = sessions.iter().map(|session| parked_row(session, now)).collect();
    out::bytes(table::layout(&["NAME", "ID", "PID", "WHOSE", "PARKED", "CLOSES", "COMMAND"], &rows).as_bytes())?;
    out::remark("Baton is not running. `baton up` takes them back, `baton down --sessions` ends them.");
    Ok(0)
}

fn parked_row(session: &ParkedSession, now: i64) -> Vec<String> {
    let id = session.id.to_string();
    let title = if session.title.is_empty() { short(&id).to_owned() } else { clean_line(&session.title) };
    let since = session.parked_since.as_deref().map_or_else(|| "-".to_owned(), |since| time::age(since, now));
    let closes = match (&session.closes_at, session.pid) {
        (Some(at), _) => format!("in {}", time::until(at, now)),
        (None, Some(_)) => "never".to_owned(),
        (None, None) => "?".to_owned(),
    };
    vec![
        table::shorten(&title, CELL_CHARS),
        short(&id).to_owned(),
        session.pid.map_or_else(|| "no answer".to_owned(), |pid| pid.to_string()),
        if session.class == Class::Agent { "an agent's" } else { "a person's" }.to_owned(),
        since,
        closes,
        table::shorten(&clean_line(&session.command.join(" ")), 2 * CELL_CHARS),
    ]
}

fn row(session: &Session, now: i64) -> Vec<String> {
    vec![
        table::shorten(&label(session), CELL_CHARS),
        short(&session.id.to_string()).to_owned(),
        status(session),
        sandbox(session),
        table::shorten(&control(session), CELL_CHARS),
        session.client_count.to_string(),
        time::age(&session.created_at, now),
        table::shorten(&clean_line(&session.command.join(" ")), 2 * CELL_CHARS),
    ]
}

fn status(session: &Session) -> String {
    let word = match session.status {
        SessionStatus::Starting => "starting",
        SessionStatus::Running if session.parked => "parked",
        SessionStatus::Running => "running",
        SessionStatus::Exited => "exited",
        SessionStatus::Closed => "closed",
        SessionStatus::Lost => "lost",
        SessionStatus::Failed => "failed",
    };
    match session.exit.as_ref().filter(|_| session.status == SessionStatus::Exited) {
        Some(exit) => match (exit.code, exit.signal) {
            (Some(code), _) => format!("{word} {code}"),
            (None, Some(signal)) => format!("{word} by signal {signal}"),
            (None, None) => word.to_owned(),
        },
        None => word.to_owned(),
    }
}

fn control(session: &Session) -> String {
    match session.lease.as_ref().filter(|_| session.status.is_living()) {
        None => "-".to_owned(),
        Some(lease) => {
            let name = if lease.owner_name.is_empty() { lease.owner.as_str() } else { &lease.owner_name };
            format!("{}{}", clean_line(name), if lease.expired { " (away)" } else { "" })
        }
    }
}
