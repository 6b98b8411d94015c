//! What becomes of a request: a person's decision, void because something changed, taken back.

use std::sync::Arc;

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalStatus, Decision, DecisionRequest, ExecRequest, Remember};
use baton_proto::ids::ApprovalId;
use baton_proto::v1::Class;

use super::context::{self, Judgement};
use super::gated::{Exec, Gated};
use super::inbox::{Said, lock, risk_level};
use super::reached;
use super::request::{Asked, become_, check_size, no_approval, request as asking};
use super::run;
use super::waiting::{expire, find, is_overdue};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::Actor;
use crate::clock;
use crate::exec;
use crate::policy::{self};
use crate::problem::{Failure, Outcome};
use crate::routes::{create, input};
use crate::store::approvals::{ApprovalRow, Change};

/// Characters of a note.
const NOTES_CHARS_MAX: usize = 1000;

/// Why a request that is no longer pending can't be decided.
fn decided(row: &ApprovalRow) -> Failure {
    let by = row.decided_by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let at = row.decided_us.map_or_else(String::new, |at| format!(" at {}", clock::rfc3339(at)));
    Failure::new(ErrorCode::AlreadyDecided, format!("this approval is `{}`{by}{at}", row.status.as_str()))
}

/// A person's decision.
///
/// # Errors
/// `forbidden` for who may not decide; `already_decided`; `context_changed`: then the approval is void, and another may ask in its
/// place; `denied` for an edit that the policy forbids; `disk_full`, `internal`: then it was not decided.
pub async fn decide(
    app: &Arc<App>,
    principal: &Principal,
    id: ApprovalId,
    request: DecisionRequest,
) -> Outcome<ApprovalRow> {
    principal.need(Right::Approve)?;
    if principal.class() == Class::Agent {
        return Err(Failure::new(ErrorCode::Forbidden, "an agent never decides: a person does"));
    }
    let row = find(app, principal, id).await?;
    if row.status != ApprovalStatus::Pending {
        return Err(decided(&row));
    }
    if is_overdue(app, &row) {
        expire(app, &row).await?;
        return Err(decided(&app.store.approval(id).await?.ok_or_else(no_approval)?));
    }
    if request.context_hash != row.context_hash {
        return Err(Failure::new(
            ErrorCode::ContextChanged,
            "`context_hash` is not that of this approval: look at it again and decide about what it shows",
        ));
    }
    let notes = request.notes.filter(|notes| !notes.trim().is_empty());
    if notes.as_ref().is_some_and(|notes| notes.chars().count() > NOTES_CHARS_MAX) {
        return Err(Failure::invalid("`notes` have at most 1000 characters"));
    }
    if request.decision != Decision::Edit && request.edited_payload.is_some() {
        return Err(Failure::invalid("`edited_payload` goes with `edit`"));
    }
    if request.remember == Remember::Task {
        return Err(Failure::invalid("this approval belongs to no task: `remember` is `once` or `session`"));
    }
    let said = Said { edited_payload: None, notes };
    let mut change = Change {
        decision: Some(request.decision),
        decided_by: Some(principal.name.clone()),
        decided_us: Some(clock::now_us()),
        ..Change::default()
    };
    if request.decision == Decision::Deny {
        change.said = Some(app.inbox.sealed(id, &said)?);
        reached("deciding").await;
        let denied = become_(app, principal, &row, ApprovalStatus::Denied, change, None).await?;
        reached("decided").await;
        return lost_or(app, id, denied).await;
    }
    if app.store.is_memory_only() {
        let detail =
            "a yes has to be on disk before anything is done, and the database can't be used: `baton doctor` says why";
        return Err(Failure::new(ErrorCode::Internal, detail));
    }
    let Some(gated) = app.inbox.gated(&row)? else {
        become_(app, Actor::baton(), &row, ApprovalStatus::Void, Change::default(), None).await?;
        let detail =
            "it was input for a password prompt, which is never written down, and the bridge that knew it is gone";
        return Err(Failure::new(ErrorCode::ContextChanged, detail));
    };
    let Some(asker) = app.principal(&row.requested_by) else {
        become_(app, Actor::baton(), &row, ApprovalStatus::Cancelled, Change::default(), None).await?;
        return Err(Failure::new(
            ErrorCode::ContextChanged,
            "whoever asked may do nothing here any more: the token, or the name that a proxy said, is gone",
        ));
    };
    let (policy, _) = app.inbox.policy();
    let judgement = match context::judge(app, &policy, &asker, &gated).await {
        Ok(judgement) if judgement.hash == row.context_hash => judgement,
        Ok(judgement) => return Err(void(app, &row, &asker, &gated, Some(&judgement)).await?),
        Err(failure) if matches!(failure.code, ErrorCode::NotFound | ErrorCode::SessionEnded) => {
            return Err(void(app, &row, &asker, &gated, None).await?);
        }
        Err(failure) => return Err(failure),
    };
    let (status, hash) = if request.decision == Decision::Edit {
        let payload = request.edited_payload.ok_or_else(|| Failure::invalid("`edit` needs `edited_payload`"))?;
        let shown = app.inbox.shown(&row)?;
        let edited = gated.edited(shown.action.as_deref().unwrap_or_default(), payload)?;
        check_edit(app, &asker, &edited)?;
        let judged = context::judge(app, &policy, &asker, &edited).await?;
        if judged.decision.outcome == policy::Outcome::Deny {
            return Err(denied_by(&judged.decision));
        }
        if risk_level(judged.decision.risk_level) > shown.risk_level {
            let asked = Asked {
                principal: &asker,
                gated: &edited,
                judgement: &judged,
                key: None,
                supersedes: Some(id),
                secret: false,
                held: false,
            };
            let successor = asking(&app.inbox, &asked)?;
            change.superseded_by = Some(successor.id);
            change.said =
                Some(app.inbox.sealed(id, &Said { edited_payload: Some(edited.payload()), notes: said.notes })?);
            let superseded = become_(app, principal, &row, ApprovalStatus::Superseded, change, Some(successor)).await?;
            return lost_or(app, id, superseded).await;
        }
        change.said = Some(app.inbox.sealed(id, &Said { edited_payload: Some(edited.payload()), notes: said.notes })?);
        (ApprovalStatus::Edited, judged.hash)
    } else {
        change.said = Some(app.inbox.sealed(id, &said)?);
        if let (Remember::Session, Some(session)) = (request.remember, row.session) {
            let what = app.inbox.digest(&gated, judgement.cwd.as_deref(), Some(&judgement.state))?;
            change.remember = Some((session, row.requested_by.clone(), what));
        }
        (ApprovalStatus::Approved, judgement.hash)
    };
    change.run_hash = Some(hash);
    reached("deciding").await;
    let decided = become_(app, principal, &row, status, change, None).await?;
    let decided = lost_or(app, id, decided).await?;
    reached("decided").await;
    tokio::spawn(run::carry_out(Arc::clone(app), id));
    Ok(decided)
}

/// Checks what a person edited as its route would check the request: what can't be done is refused to that person, and the request
/// goes on waiting.
fn check_edit(app: &App, asker: &Principal, edited: &Gated) -> Outcome<()> {
    check_size(&edited.payload())?;
    let nothing = || Failure::invalid("nothing is left of it: deny it instead");
    match edited {
        Gated::Exec(Exec { client_id, command, timeout_s, .. }) => {
            let (client_id, command) = (client_id.clone(), command.clone());
            let request = ExecRequest { client_id, command, epoch: None, timeout_s: *timeout_s };
            if exec::check(&request)?.trim().is_empty() { Err(nothing()) } else { Ok(()) }
        }
        Gated::Input(input) => {
            let bytes = input.bytes()?;
            input::check_bytes(&bytes)?;
            if bytes.is_empty() { Err(nothing()) } else { Ok(()) }
        }
        Gated::Spawn(request) | Gated::Unsandboxed(request) => create::check(app, asker, request),
        Gated::LeaseTake(_) => Ok(()),
    }
}

/// What the policy forbids, and by which rule.
pub(super) fn denied_by(decision: &policy::Judgement) -> Failure {
    let why = decision.reasons.first().map_or("the policy", |reason| reason.why.as_str());
    let rules = decision.rule_ids.join("`, `");
    Failure::new(ErrorCode::Denied, format!("{why} (rule `{rules}`; `baton policy explain` says more)"))
}

/// The decided row, or who was faster.
pub(super) async fn lost_or(app: &App, id: ApprovalId, decided_row: Option<ApprovalRow>) -> Outcome<ApprovalRow> {
    match decided_row {
        Some(row) => Ok(row),
        None => Err(decided(&app.store.approval(id).await?.ok_or_else(no_approval)?)),
    }
}

/// Voids an approval because what it shows is no longer so, and asks again if it still can be asked for.
pub(super) async fn void(
    app: &App,
    row: &ApprovalRow,
    asker: &Principal,
    gated: &Gated,
    now: Option<&Judgement>,
) -> Outcome<Failure> {
    let held = app.inbox.shown(row).is_ok_and(|shown| shown.reason.starts_with("this session's input"));
    let needs_lease = matches!(gated, Gated::Exec(_) | Gated::Input(_));
    let again = now.filter(|now| {
        let asks = held || now.decision.outcome == policy::Outcome::Ask;
        asks && (!needs_lease || now.epoch.is_some())
    });
    let secret = lock(&app.inbox.secrets).contains_key(&row.id);
    let successor = match again {
        Some(judgement) => {
            let asked = Asked { principal: asker, gated, judgement, key: None, supersedes: Some(row.id), secret, held };
            Some(asking(&app.inbox, &asked)?)
        }
        None => None,
    };
    let change = Change { superseded_by: successor.as_ref().map(|next| next.id), ..Change::default() };
    let next = successor.as_ref().map(|next| next.id);
    become_(app, Actor::baton(), row, ApprovalStatus::Void, change, successor).await?;
    let again = next.map_or_else(
        || "it can't be asked again as things are".to_owned(),
        |next| format!("{next} asks again, as things are now"),
    );
    Ok(Failure::new(
        ErrorCode::ContextChanged,
        format!("what was shown is no longer so: nothing was done, and {again}"),
    ))
}

/// Takes back what the caller asked for.
///
/// # Errors
/// `forbidden`, `already_decided`.
pub async fn cancel(app: &App, principal: &Principal, id: ApprovalId) -> Outcome<ApprovalRow> {
    let row = find(app, principal, id).await?;
    if row.requested_by != principal.id {
        return Err(Failure::new(ErrorCode::Forbidden, "who asked may take it back; a person denies it"));
    }
    if row.status != ApprovalStatus::Pending {
        return Err(decided(&row));
    }
    let cancelled = become_(app, principal, &row, ApprovalStatus::Cancelled, Change::default(), None).await?;
    lost_or(app, id, cancelled).await
}

/// Takes back all that a principal asked for whose token was removed. What can't be taken back now, because the disk fails, is by
/// [`super::waiting::tend`].
pub async fn cancel_of(app: &App, remover: &Principal, asker: &str) {
    let waiting = app.store.pending_approvals_of(asker.to_owned()).await.unwrap_or_default();
    for row in waiting {
        let cancelled = become_(app, remover, &row, ApprovalStatus::Cancelled, Change::default(), None).await;
        if let Err(failure) = cancelled {
            tracing::warn!(approval = %row.id, "it could not be taken back with its token: {failure}");
        }
    }
}
