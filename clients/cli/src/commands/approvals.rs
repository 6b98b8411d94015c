//! `baton approvals`: what waits for a person, shown exactly as it would be done, and the person's word.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::process::Command;
use std::time::Duration;

use baton_proto::api::{ApprovalRequest, ApprovalStatus, Decision, DecisionRequest, Page, Remember, RiskLevel};
use serde_json::Value;

use crate::api::Api;
use crate::args::{ApprovalArgs, ApprovalDecisionArgs, ApprovalsCommand, ApprovalsListArgs};
use crate::context::Context;
use crate::moment;
use crate::names::short;
use crate::report::{Exit, Report, clean_line, exact_line};
use crate::{out, table};

/// Characters of a line of the list.
const WHAT_CHARS_MAX: usize = 100;
/// Between two looks of `watch`.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest payload that is edited.
const EDIT_BYTES_MAX: u64 = 1 << 20;

/// Lists, shows and decides.
pub async fn run(context: &Context, command: Option<ApprovalsCommand>, list: ApprovalsListArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    match command {
        None => ls(&api, &list).await,
        Some(ApprovalsCommand::List(args)) => ls(&api, &args).await,
        Some(ApprovalsCommand::Show(args)) => show(&api, &args).await,
        Some(ApprovalsCommand::Approve(args)) => decide(&api, Decision::Approve, args, None).await,
        Some(ApprovalsCommand::Deny(args)) => decide(&api, Decision::Deny, args, None).await,
        Some(ApprovalsCommand::Edit(args)) => edit(&api, args).await,
        Some(ApprovalsCommand::Watch { json }) => watch(&api, json).await,
    }
}

async fn page(api: &Api, status: Option<ApprovalStatus>, limit: usize) -> Result<Vec<ApprovalRequest>, Report> {
    let status = status.map_or_else(String::new, |status| format!("&status={}", status.as_str()));
    let page: Page<ApprovalRequest> =
        api.get("the approvals cannot be listed", &format!("/v1/approvals?limit={limit}{status}")).await?;
    Ok(page.items)
}

async fn ls(api: &Api, args: &ApprovalsListArgs) -> Result<u8, Report> {
    let status = (!args.all).then_some(ApprovalStatus::Pending);
    let approvals = page(api, status, args.limit).await?;
    if args.json {
        out::json(&approvals)?;
        return Ok(0);
    }
    if approvals.is_empty() {
        out::remark(if args.all { "baton: nothing was ever asked" } else { "baton: nothing waits for you" });
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = approvals.iter().map(row).collect();
    out::bytes(table::layout(&["ID", "WHO", "RISK", "STATUS", "UNTIL", "WHAT"], &rows).as_bytes())?;
    Ok(0)
}

fn row(approval: &ApprovalRequest) -> Vec<String> {
    vec![
        short(&approval.id.to_string()).to_owned(),
        clean_line(&approval.requested_by_name),
        approval.risk_level.as_str().to_owned(),
        approval.status.as_str().to_owned(),
        moment::local(&approval.expires_at),
        table::cut(&essence(approval), WHAT_CHARS_MAX),
    ]
}

/// What would be done, in a line that a terminal only shows.
fn essence(approval: &ApprovalRequest) -> String {
    let text = |name: &str| approval.payload.get(name).and_then(Value::as_str);
    // What is shown of input is escaped already, and so is a list of arguments.
    let line = match (text("command"), text("shown"), approval.payload.get("command")) {
        (Some(line), ..) => Some(exact_line(line)),
        (None, Some(shown), _) => Some(clean_line(shown)),
        (None, None, Some(arguments)) if arguments.is_array() => Some(clean_line(&arguments.to_string())),
        _ => None,
    };
    let title = clean_line(&approval.title);
    line.map_or_else(|| title.clone(), |line| format!("{title}: {line}"))
}

/// An approval by its id, or the beginning of one.
async fn find(api: &Api, wanted: &str) -> Result<ApprovalRequest, Report> {
    let what = format!("there is no approval `{}`", clean_line(wanted));
    if wanted.parse::<baton_proto::ids::ApprovalId>().is_ok() {
        return api.get(&what, &format!("/v1/approvals/{wanted}")).await;
    }
    let all = page(api, None, 1000).await?;
    let bare = wanted.strip_prefix("apr_").unwrap_or(wanted);
    let is_meant = |approval: &&ApprovalRequest| {
        let id = approval.id.to_string();
        !bare.is_empty() && (id.trim_start_matches("apr_").starts_with(bare) || short(&id) == bare)
    };
    let found: Vec<&ApprovalRequest> = all.iter().filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Report::new(Exit::NotFound, what).hint("`baton approvals list --all` names those there are")),
        several => Err(Report::new(
            Exit::NotFound,
            format!("`{}` could be any of {} approvals", clean_line(wanted), several.len()),
        )
        .hint("give more of the id")),
    }
}

async fn show(api: &Api, args: &ApprovalArgs) -> Result<u8, Report> {
    let approval = find(api, &args.id).await?;
    if args.json {
        out::json(&approval)?;
    } else {
        out::bytes(shown(&approval).as_bytes())?;
    }
    Ok(0)
}

fn fact(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name:<12}{value}\n"));
}

/// All of it; the payload line by line as it is, but for what a terminal would act upon.
fn shown(approval: &ApprovalRequest) -> String {
    let mut text = String::new();
    fact(&mut text, "id", &approval.id.to_string());
    fact(&mut text, "status", approval.status.as_str());
    fact(&mut text, "asks", &clean_line(&approval.requested_by_name));
    fact(&mut text, "to", &clean_line(&approval.title));
    if let Some(session) = approval.session_id {
        fact(&mut text, "session", &session.to_string());
    }
    if let Some(cwd) = &approval.cwd {
        fact(&mut text, "directory", &exact_line(cwd));
    }
    let tags =
        if approval.risk_tags.is_empty() { String::new() } else { format!(" ({})", approval.risk_tags.join(", ")) };
    fact(&mut text, "risk", &format!("{}{}", approval.risk_level.as_str(), clean_line(&tags)));
    fact(&mut text, "why", &clean_line(&approval.reason));
    for also in approval.proposed_actions.iter().skip(1) {
        fact(&mut text, "", &clean_line(also));
    }
    fact(&mut text, "rules", &clean_line(&approval.rule_ids.join(", ")));
    fact(&mut text, "asked", &moment::local(&approval.created_at));
    fact(&mut text, "until", &moment::local(&approval.expires_at));
    if let Some(by) = &approval.decided_by {
        fact(&mut text, "decided by", &clean_line(by));
    }
    if let Some(notes) = &approval.notes {
        fact(&mut text, "notes", &clean_line(notes));
    }
    if let Some(rule) = &approval.remember_rule {
        fact(&mut text, "--remember", &clean_line(rule));
    }
    text.push_str("\npayload\n");
    payload(&mut text, &approval.payload);
    if let Some(edited) = &approval.edited_payload {
        text.push_str("\nedited to\n");
        payload(&mut text, edited);
    }
    if let Some(result) = &approval.result {
        text.push_str("\nresult\n");
        payload(&mut text, result);
    }
    text
}

fn payload(text: &mut String, value: &Value) {
    let Some(fields) = value.as_object() else {
        text.push_str(&format!("  {}\n", clean_line(&value.to_string())));
        return;
    };
    for (name, value) in fields {
        let name = clean_line(name);
        match value.as_str() {
            // As text it was escaped where it was made.
            Some(value) if name == "shown" => text.push_str(&format!("  {name:<11} {}\n", clean_line(value))),
            Some(value) => {
                // A carriage return before a line's end is one.
                for (at, line) in value.split('\n').enumerate() {
                    let name = if at == 0 { name.as_str() } else { "" };
                    text.push_str(&format!("  {name:<11} {}\n", exact_line(line)));
                }
            }
            None => text.push_str(&format!("  {name:<11} {}\n", clean_line(&value.to_string()))),
        }
    }
}

async fn decide(
    api: &Api,
    decision: Decision,
    args: ApprovalDecisionArgs,
    edited: Option<(ApprovalRequest, Value)>,
) -> Result<u8, Report> {
    let (approval, edited_payload) = match edited {
        Some((approval, payload)) => (approval, Some(payload)),
        None => (find(api, &args.id).await?, None),
    };
    // Who types a whole id has read it somewhere; who decides at a terminal sees once more what it is about.
    if !args.yes && edited_payload.is_none() && decision == Decision::Approve && std::io::stdin().is_terminal() {
        out::bytes(shown(&approval).as_bytes())?;
        eprint!("\nApprove this? [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Report::failed("nothing was decided"));
        }
    }
    let body = DecisionRequest {
        decision,
        context_hash: approval.context_hash.clone(),
        edited_payload,
        notes: args.notes,
        remember: if args.remember { Remember::Session } else { Remember::Once },
    };
    let what = format!("approval {} cannot be decided so", short(&approval.id.to_string()));
    let decided: ApprovalRequest = api.post(&what, &format!("/v1/approvals/{}/decision", approval.id), &body).await?;
    if let Some(next) = decided.superseded_by {
        out::line(&format!("{}: {} asks in its place, because it is riskier", decided.status.as_str(), next))?;
        return Ok(0);
    }
    let ended: ApprovalRequest = if decided.status.is_final() || args.no_wait {
        decided
    } else {
        api.get(&what, &format!("/v1/approvals/{}?wait_s=20", decided.id)).await?
    };
    if args.json {
        out::json(&ended)?;
    } else {
        out::line(&outcome(&ended))?;
    }
    Ok(u8::from(matches!(ended.status, ApprovalStatus::Failed | ApprovalStatus::OutcomeUnknown | ApprovalStatus::Void)))
}

fn outcome(approval: &ApprovalRequest) -> String {
    let result = approval.result.as_ref();
    let text = |name: &str| result.and_then(|result| result.get(name)).map(|value| clean_line(&value.to_string()));
    match (text("exit_code"), text("detail")) {
        (_, Some(detail)) => format!("{}: {detail}", approval.status.as_str()),
        (Some(code), None) => format!("{}, exit code {code}", approval.status.as_str()),
        (None, None) => approval.status.as_str().to_owned(),
    }
}

/// Lets a person change the payload in an editor.
async fn edit(api: &Api, args: ApprovalDecisionArgs) -> Result<u8, Report> {
    let approval = find(api, &args.id).await?;
    let failed = |what: &str, err: &dyn std::fmt::Display| Report::failed(what.to_owned()).why(err.to_string());
    let text = serde_json::to_string_pretty(&approval.payload).unwrap_or_default();
    let mut file = tempfile::Builder::new()
        .prefix("baton-approval-")
        .suffix(".json")
        .tempfile()
        .map_err(|err| failed("there is no file to edit", &err))?;
    file.write_all(text.as_bytes()).map_err(|err| failed("there is no file to edit", &err))?;
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // As git and others do: the variable may hold arguments.
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg(&editor)
        .arg(file.path())
        .status()
        .map_err(|err| failed("the editor cannot be started", &err))?;
    if !status.success() {
        return Err(Report::failed("nothing was decided").why(format!("`{}` ended with {status}", clean_line(&editor))));
    }
    let size = std::fs::metadata(file.path()).map_or(0, |meta| meta.len());
    if size > EDIT_BYTES_MAX {
        return Err(Report::failed("nothing was decided").why("what was edited is larger than 1 MiB"));
    }
    let edited = std::fs::read_to_string(file.path()).map_err(|err| failed("what was edited cannot be read", &err))?;
    let edited: Value = serde_json::from_str(&edited).map_err(|err| failed("what was edited is no JSON", &err))?;
    if edited == approval.payload {
        return Err(Report::failed("nothing was decided")
            .why("it was left as it is")
            .hint("`baton approvals approve` approves it so"));
    }
    decide(api, Decision::Edit, args, Some((approval, edited))).await
}

/// Tells of each request as it comes, until stopped.
async fn watch(api: &Api, json: bool) -> Result<u8, Report> {
    let mut told = HashSet::new();
    loop {
        let mut pending = page(api, Some(ApprovalStatus::Pending), 1000).await?;
        pending.reverse();
        for approval in pending {
            if !told.insert(approval.id) {
                continue;
            }
            if json {
                out::json_line(&approval)?;
            } else {
                let loud = if approval.risk_level >= RiskLevel::High { "!" } else { " " };
                let id = approval.id.to_string();
                out::line(&format!(
                    "{loud} {}  {}  {}  {}",
                    short(&id),
                    approval.risk_level.as_str(),
                    clean_line(&approval.requested_by_name),
                    essence(&approval)
                ))?;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
