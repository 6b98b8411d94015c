//! Who has control: `claim`, `release`, `transfer`, `request-control`; and `detach`, which gives it up too.

use baton_proto::api::{ClaimRequest, ClientRequest, LeaseAnswer, Session, TransferRequest};
use baton_proto::v1::ClientKind;
use baton_proto::{ClientId, ErrorCode};

use crate::api::{Api, terminal};
use crate::args::{ClaimArgs, DetachArgs, TransferArgs};
use crate::context::Context;
use crate::names::{self, label};
use crate::out;
use crate::report::{Exit, Report, clean_line};

/// Takes control for the scripted commands.
pub async fn claim(context: &Context, args: &ClaimArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let answer = claim_as(&api, &session, &context.scripted_client()?, args.force).await?;
    if args.json {
        out::json(&answer)?;
    }
    Ok(0)
}

/// Claims for `client`; a refusal says who has control and what to do.
pub async fn claim_as(api: &Api, session: &Session, client: &ClientId, force: bool) -> Result<LeaseAnswer, Report> {
    let name = label(session);
    let body = ClaimRequest { client_id: client.clone(), force };
    api.post(&format!("control of `{name}` cannot be claimed"), &terminal(session.id, "claim"), &body).await.map_err(
        |report| match report.code() {
            Some(ErrorCode::LeaseHeld) => report
                .hint(format!("ask with `baton request-control {name}`, or take it with `baton claim --force {name}`")),
            _ => report,
        },
    )
}

/// A command that types needs control: adds what to do to its refusal.
pub fn explain(report: Report, name: &str) -> Report {
    match report.code() {
        Some(ErrorCode::NotOwner | ErrorCode::LeaseLost) => {
            report.hint(format!("claim control with `baton claim {name}` first, or let the command do it with --claim"))
        }
        Some(ErrorCode::LeaseHeld) => report.hint(format!("take control with `baton claim --force {name}`")),
        _ => report,
    }
}

/// Gives control up.
pub async fn release(context: &Context, name: Option<&str>) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, name).await?;
    release_as(&api, &session, &context.scripted_client()?).await.map_err(|report| match report.code() {
        Some(ErrorCode::NotOwner | ErrorCode::LeaseLost | ErrorCode::ClientNotAttached) => report.hint(
            "only control taken with `baton claim` can be released here; an attached terminal releases it by detaching",
        ),
        _ => report,
    })?;
    Ok(0)
}

/// Releases what `client` holds.
pub async fn release_as(api: &Api, session: &Session, client: &ClientId) -> Result<(), Report> {
    let body = ClientRequest { client_id: client.clone() };
    api.post_unit(
        &format!("control of `{}` cannot be released", label(session)),
        &terminal(session.id, "release"),
        &body,
    )
    .await
}

/// Gives control to another attached client.
pub async fn transfer(context: &Context, args: &TransferArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session(&api, &args.name).await?;
    let name = label(&session);
    let detail = api.session(session.id).await?;
    let to = names::client(&detail.clients, &args.to)?;
    let ours = context.scripted_client()?;
    // Control is often held by an attached terminal of the same person, where a command cannot be typed without
    // typing it into the session: its owner speaks for it here. The bridge refuses it for anybody else.
    let giver = detail.session.lease.as_ref().map_or(&ours, |lease| &lease.owner);
    if detail.session.lease.as_ref().is_some_and(|lease| lease.owner == to.client_id) {
        out::remark(&format!("{} has control already.", clean_line(&to.name)));
        return Ok(0);
    }
    let body = TransferRequest { client_id: giver.clone(), to_client_id: to.client_id.clone() };
    api.post_unit(&format!("control of `{name}` cannot be given away"), &terminal(session.id, "transfer"), &body)
        .await
        .map_err(|report| match report.code() {
            Some(ErrorCode::NotOwner | ErrorCode::LeaseLost | ErrorCode::ClientIdTaken) => report
                .hint(format!("only who has control can give it; take it first with `baton claim --force {name}`")),
            _ => report,
        })?;
    Ok(0)
}

/// Asks for control.
pub async fn request_control(context: &Context, name: Option<&str>) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, name).await?;
    let body = ClientRequest { client_id: context.scripted_client()? };
    let what = format!("control of `{}` cannot be asked for", label(&session));
    api.post_unit(&what, &terminal(session.id, "request-control"), &body).await?;
    Ok(0)
}

/// Lets an attached client leave.
pub async fn detach(context: &Context, args: &DetachArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let detail = api.session(session.id).await?;
    let ours = context.scripted_client()?;
    let client = match &args.client {
        Some(wanted) => names::client(&detail.clients, wanted)?,
        None => {
            let terminals: Vec<_> = detail
                .clients
                .iter()
                .filter(|one| one.client_kind == ClientKind::Cli && one.client_id != ours)
                .collect();
            let scripted = detail.clients.iter().find(|one| one.client_id == ours);
            match (terminals.as_slice(), scripted) {
                ([only], _) => only,
                ([], Some(scripted)) => scripted,
                ([], None) => {
                    return Err(Report::new(
                        Exit::NotFound,
                        format!("no terminal is attached to `{}`", label(&session)),
                    )
                    .hint("name another client with --client; `baton attach` inside it is left with its detach key"));
                }
                (several, _) => {
                    let list: Vec<String> =
                        several.iter().map(|one| format!("{}  {}", one.client_id, clean_line(&one.name))).collect();
                    return Err(Report::usage(format!(
                        "{} terminals are attached to `{}`",
                        several.len(),
                        label(&session)
                    ))
                    .why(list.join("\n"))
                    .hint("say which with --client"));
                }
            }
        }
    };
    api.detach(session.id, &client.client_id).await?;
    Ok(0)
}
