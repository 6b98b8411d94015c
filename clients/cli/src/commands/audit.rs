//! `baton audit`: who did what, and whether the record of it holds.

use baton_proto::api::{AuditRow, AuditVerification, Page};

use crate::api::{Api, query_value};
use crate::args::{AuditCommand, AuditListArgs, AuditWhich};
use crate::context::Context;
use crate::moment::{self, Moment};
use crate::names::{self, short};
use crate::report::{Report, clean_line};
use crate::{out, table};

/// Rows asked for at once.
const PAGE: usize = 500;

/// Lists, exports and checks the audit log.
pub async fn run(context: &Context, command: Option<AuditCommand>, list: AuditListArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    match command {
        None => ls(&api, list).await,
        Some(AuditCommand::Ls(args)) => ls(&api, args).await,
        Some(AuditCommand::Export(which)) => {
            let what = "the audit log cannot be exported";
            let path = format!("/v1/audit?format=jsonl{}", asked(&api, &which).await?);
            api.download(what, &path, out::bytes).await?;
            Ok(0)
        }
        Some(AuditCommand::Verify { expect, json }) => verify(&api, expect.as_deref(), json).await,
    }
}

/// The parameters for what is asked for.
async fn asked(api: &Api, which: &AuditWhich) -> Result<String, Report> {
    let mut asked = String::new();
    if let Some(name) = &which.session {
        // A session that was forgotten has its rows still, by its whole id.
        let id = match name.parse::<baton_proto::SessionId>() {
            Ok(id) => id,
            Err(_) => names::session(api, name).await?.id,
        };
        asked.push_str(&format!("&session_id={id}"));
    }
    for (name, value) in [("actor", &which.actor), ("action", &which.action)] {
        if let Some(value) = value {
            asked.push_str(&format!("&{name}={}", query_value(value)));
        }
    }
    for (name, time) in [("since", which.since), ("until", which.until)] {
        match time {
            Some(Moment::Time(_)) => {
                let value = time.map(Moment::value).unwrap_or_default();
                asked.push_str(&format!("&{name}={}", query_value(&value)));
            }
            Some(Moment::Cursor(_)) => {
                return Err(Report::usage(format!("--{name} takes a time here, such as -1h or 2026-01-31T14:03:00Z")));
            }
            None => {}
        }
    }
    Ok(asked)
}

/// The newest rows, oldest of them first.
async fn ls(api: &Api, args: AuditListArgs) -> Result<u8, Report> {
    let asked = asked(api, &args.which).await?;
    let mut rows: Vec<AuditRow> = Vec::new();
    let mut cursor = String::new();
    while rows.len() < args.limit {
        let limit = PAGE.min(args.limit - rows.len());
        let path = format!("/v1/audit?order=newest&limit={limit}{asked}{cursor}");
        let page: Page<AuditRow> = api.get("the audit log cannot be read", &path).await?;
        rows.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={}", query_value(&next)),
            None => break,
        }
    }
    rows.reverse();
    if args.json {
        out::json(&rows)?;
    } else if !rows.is_empty() {
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        out::bytes(table::layout(&["SEQ", "AT", "WHO", "ACTION", "OUTCOME", "SUBJECT", "DETAILS"], &rows).as_bytes())?;
    }
    Ok(0)
}

fn row(row: &AuditRow) -> Vec<String> {
    let who = if row.actor.name.is_empty() { &row.actor.id } else { &row.actor.name };
    let outcome = row.code.as_ref().map_or_else(|| row.outcome.clone(), |code| format!("{} {code}", row.outcome));
    let fact = |(name, value): (&String, &serde_json::Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={text}")
    };
    let details = match row.details.as_object() {
        Some(details) => details.iter().map(fact).collect::<Vec<_>>().join(" "),
        None => row.details.to_string(),
    };
    vec![
        row.seq.to_string(),
        moment::local(&row.at),
        clean_line(who),
        clean_line(&row.action),
        clean_line(&outcome),
        clean_line(row.subject.as_deref().map_or("", short)),
        table::shorten(&clean_line(&details), 100),
    ]
}

async fn verify(api: &Api, expect: Option<&str>, json: bool) -> Result<u8, Report> {
    let expect = expect.map(|expect| format!("?expect={}", query_value(expect))).unwrap_or_default();
    let what = "the audit log cannot be checked";
    let found: AuditVerification = api
        .get(what, &format!("/v1/audit/verify{expect}"))
        .await
        .map_err(|report| report.in_words(&[("expect", "--expect")]))?;
    if json {
        out::json(&found)?;
        return Ok(u8::from(!found.ok));
    }
    if let Some(broken) = &found.broken {
        return Err(Report::failed(format!("the audit log is broken at row {}", broken.seq))
            .why(format!("{} ({})", clean_line(&broken.detail), clean_line(&broken.why)))
            .hint("`baton audit export` writes what is there; what to do about it is in docs/operations.md"));
    }
    let sealed = if found.sealed > 0 { format!(", behind a seal for {} older", found.sealed) } else { String::new() };
    out::line(&format!("ok: {} rows{sealed}", found.rows))?;
    if let Some(head) = &found.head {
        out::line(&format!("head {}", clean_line(head)))?;
    }
    if found.lost > 0 {
        out::remark(&format!("baton: {} rows could not be written yet; `baton status` says why", found.lost));
    }
    if found.compared == Some(false) {
        out::remark("baton: the row to compare with is sealed: only that the chain holds is known");
    }
    Ok(0)
}
