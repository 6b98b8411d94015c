//! A request for approval: made, bounded, kept and told of; and each change of its state, by compare-and-set.

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalKind, ApprovalRequest, ApprovalStatus};
use baton_proto::ids::ApprovalId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::context::Judgement;
use super::gated::Gated;
use super::inbox::{Inbox, lock, risk_level};
use super::reached;
use super::waiting::own_deadline;
use crate::access::Principal;
use crate::app::App;
use crate::audit::{Action, Actor, Details, Entry, Verdict};
use crate::clock;
use crate::problem::{Failure, Outcome};
use crate::store::approvals::{self, ApprovalRow, Change};

/// How many requests of one principal wait at once.
pub const PENDING_MAX: u32 = 64;
/// Bytes of a payload.
const PAYLOAD_BYTES_MAX: usize = 128 << 10;

/// What a new request is made of.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Principal,
    pub(super) gated: &'a Gated,
    pub(super) judgement: &'a Judgement,
    pub(super) key: Option<String>,
    pub(super) supersedes: Option<ApprovalId>,
    /// It is not to be written down.
    pub(super) secret: bool,
    /// Why a person is asked, beside the policy.
    pub(super) held: bool,
}

/// Refuses what nobody can read before deciding about it.
pub(super) fn check_size(payload: &Value) -> Outcome<()> {
    if payload.to_string().len() > PAYLOAD_BYTES_MAX {
        return Err(Failure::new(ErrorCode::TooLarge, "a person can't read more than 128 KiB: ask for it in parts"));
    }
    Ok(())
}

/// A new request, not yet kept.
pub(super) fn request(inbox: &Inbox, asked: &Asked<'_>) -> Outcome<ApprovalRow> {
    let Asked { principal, gated, judgement, .. } = asked;
    let id = ApprovalId::from_uuid(Uuid::now_v7());
    let created_us = clock::now_us();
    let ttl_us = u64::try_from(inbox.ttl.as_micros()).unwrap_or(u64::MAX);
    let expires_us = created_us.saturating_add(ttl_us);
    let payload = gated.payload();
    check_size(&payload)?;
    let payload = if asked.secret {
        json!({ "secret": true, "digest": inbox.digest(gated, None, None)?, "bytes": payload.to_string().len() })
    } else {
        payload
    };
    let decision = &judgement.decision;
    let mut proposed: Vec<String> = decision.reasons.iter().map(|reason| reason.why.clone()).collect();
    let reason = if asked.held {
        "this session's input by agents is held until a person releases it".to_owned()
    } else {
        proposed.first().cloned().unwrap_or_else(|| "the policy asks".to_owned())
    };
    if asked.secret {
        proposed.clear();
    }
    let body = ApprovalRequest {
        id,
        kind: ApprovalKind::Action,
        title: gated.title().to_owned(),
        session_id: gated.session(),
        task_id: None,
        step_id: None,
        draft_id: None,
        workspace_id: None,
        action: serde_json::to_value(gated.kind()).ok().and_then(|kind| kind.as_str().map(str::to_owned)),
        payload,
        reason,
        proposed_actions: proposed,
        risk_level: risk_level(decision.risk_level),
        risk_tags: decision.risk_tags.iter().map(|tag| tag.name().to_owned()).collect(),
        rule_ids: decision.rule_ids.clone(),
        context_hash: judgement.hash.clone(),
        cwd: judgement.cwd.clone(),
        bound_to: judgement.bound_to.clone(),
        lease_epoch: judgement.epoch,
        supersedes: asked.supersedes,
        superseded_by: None,
        requested_by: principal.id.clone(),
        requested_by_name: principal.name.clone(),
        created_at: clock::rfc3339(created_us),
        expires_at: clock::rfc3339(expires_us),
        status: ApprovalStatus::Pending,
        decision: None,
        edited_payload: None,
        notes: None,
        decided_by: None,
        decided_at: None,
        remember_rule: gated.session().map(|session| {
            format!(
                "allow exactly this, from this directory, by `{}` in session {session} for as long as it lives",
                principal.name
            )
        }),
        result: None,
    };
    let row = ApprovalRow {
        id,
        session: gated.session(),
        requested_by: principal.id.clone(),
        key: asked.key.clone(),
        status: ApprovalStatus::Pending,
        context_hash: judgement.hash.clone(),
        run_hash: None,
        created_us,
        expires_us,
        boot_id: Some(clock::boot_id().to_owned()),
        expires_boot_us: Some(clock::boot_us().saturating_add(ttl_us)),
        body: inbox.sealed(id, &body)?,
        decision: None,
        said: None,
        decided_by: None,
        decided_us: None,
        superseded_by: None,
        result: None,
    };
    if asked.secret {
        lock(&inbox.secrets).insert(id, (*gated).clone());
    }
    Ok(row)
}

fn entry(
    actor: impl Into<Actor>,
    row: &ApprovalRow,
    status: ApprovalStatus,
    action: &str,
    remember: Option<&str>,
) -> Entry {
    let details = Details::none()
        .text("status", status.as_str())
        .text("action", action)
        .text("context_hash", &row.context_hash)
        .text("requested_by", &row.requested_by)
        .maybe("remember", remember)
        .maybe("session", row.session.map(|id| id.to_string()));
    let verdict = match status {
        ApprovalStatus::Denied | ApprovalStatus::Expired | ApprovalStatus::Void => Verdict::Denied(ErrorCode::Denied),
        _ => Verdict::Allowed,
    };
    Entry::new(actor, Action::Decision).subject(row.id.to_string()).verdict(verdict).details(details)
}

/// What `entry` calls the action of a row that can't be opened.
fn action_of(app: &App, row: &ApprovalRow) -> String {
    app.inbox.shown(row).ok().and_then(|shown| shown.action).unwrap_or_default()
}

pub(super) fn tell(app: &App, row: &ApprovalRow, status: ApprovalStatus, by: Option<&str>) {
    let kind = match status {
        ApprovalStatus::Pending => "approval.requested",
        ApprovalStatus::Executing
        | ApprovalStatus::Executed
        | ApprovalStatus::Failed
        | ApprovalStatus::OutcomeUnknown => "approval.executed",
        _ => "approval.resolved",
    };
    let shown = app.inbox.shown(row).ok();
    // Never the payload: events are kept in clear.
    let data = json!({
        "approval_id": row.id, "status": status, "session_id": row.session, "requested_by": row.requested_by,
        "action": shown.as_ref().and_then(|shown| shown.action.clone()),
        "risk_level": shown.as_ref().map(|shown| shown.risk_level), "decided_by": by,
    });
    app.events.approval(row.id, kind, data);
    app.inbox.announce();
}

/// Keeps a request and tells of it.
///
/// # Errors
/// `rate_limited` when too many wait; `disk_full`, `internal`.
pub(super) async fn ask(app: &App, asked: &Asked<'_>) -> Outcome<ApprovalRow> {
    if app.store.pending_approvals(asked.principal.id.clone()).await? >= PENDING_MAX {
        let detail =
            format!("{PENDING_MAX} requests of yours wait for a person already: wait for them, or take some back");
        return Err(Failure { retry_after_s: Some(5), ..Failure::new(ErrorCode::RateLimited, detail) });
    }
    let row = request(&app.inbox, asked)?;
    let kept = row.clone();
    let entry = entry(asked.principal, &row, ApprovalStatus::Pending, &action_of(app, &row), None);
    reached("asking").await;
    app.audit.with(entry, move |connection| approvals::add(connection, &kept)).await?;
    reached("asked").await;
    has_until(app, &row);
    tell(app, &row, ApprovalStatus::Pending, None);
    Ok(row)
}

/// Changes a state by compare-and-set; the new row, or `None` when it was another state already. With `successor`, that request
/// is kept in the same transaction.
pub(super) async fn become_(
    app: &App,
    actor: impl Into<Actor>,
    row: &ApprovalRow,
    to: ApprovalStatus,
    mut change: Change,
    successor: Option<ApprovalRow>,
) -> Outcome<Option<ApprovalRow>> {
    // A failure may name what was asked for.
    change.result = change.result.map(|result| app.inbox.sealed_result(row.id, &result)).transpose()?;
    let actor = actor.into();
    let by = actor.name.clone();
    let entry = entry(actor, row, to, &action_of(app, row), change.remember.as_ref().map(|_| "session"));
    let (id, from, next) = (row.id, row.status, successor.clone());
    let changed = app
        .audit
        .with_if(entry, move |connection| {
            let changed = approvals::change(connection, id, from, to, &change)?;
            if let (true, Some(next)) = (changed, &next) {
                approvals::add(connection, next)?;
            }
            Ok(changed)
        })
        .await?;
    if !changed {
        return Ok(None);
    }
    if to != ApprovalStatus::Executing {
        lock(&app.inbox.deadlines).remove(&id);
    }
    if to.is_final() {
        lock(&app.inbox.secrets).remove(&id);
    }
    let row = app.store.approval(id).await?.ok_or_else(no_approval)?;
    tell(app, &row, to, Some(&by));
    if let Some(next) = successor {
        has_until(app, &next);
        tell(app, &next, ApprovalStatus::Pending, None);
    }
    Ok(Some(row))
}

/// Remembers that a request waits, and until when.
pub(super) fn has_until(app: &App, row: &ApprovalRow) {
    // A wall clock that was set back gives nobody more time than there was.
    let left = row.expires_us.saturating_sub(clock::now_us()).min(row.expires_us.saturating_sub(row.created_us));
    let deadline = own_deadline(row).unwrap_or_else(|| clock::boot_us().saturating_add(left));
    lock(&app.inbox.deadlines).insert(row.id, deadline);
}

pub(super) fn no_approval() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such approval; `GET /v1/approvals` lists those there are")
}
