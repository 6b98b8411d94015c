//! Who sees a request and waits for what becomes of it; and the time it has.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::api::ApprovalStatus;
use baton_proto::ids::ApprovalId;
use baton_proto::v1::Class;
use serde_json::json;

use super::inbox::lock;
use super::request::{become_, has_until, no_approval};
use super::run;
use crate::access::Principal;
use crate::app::App;
use crate::audit::Actor;
use crate::clock;
use crate::problem::Outcome;
use crate::store::approvals::{ApprovalRow, Change};

/// Between two looks at what has expired.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Approvals that a look considers.
const LOOK_MAX: u32 = 1000;

/// Whether a principal may see an approval: who asked for it, and who sees the session that it is about.
#[must_use]
pub fn sees(app: &App, principal: &Principal, row: &ApprovalRow) -> bool {
    if principal.share.is_some() {
        return false;
    }
    if principal.id == row.requested_by {
        return true;
    }
    if principal.class() == Class::Agent {
        return false;
    }
    match row.session {
        Some(id) => match app.catalog.get(id) {
            Some(session) => principal.sees(&session, app.catalog.row(id).as_ref()),
            None => principal.workspace_ids.is_none(),
        },
        None => principal.workspace_ids.is_none(),
    }
}

/// An approval that a principal may see.
///
/// # Errors
/// `not_found`.
pub async fn find(app: &App, principal: &Principal, id: ApprovalId) -> Outcome<ApprovalRow> {
    let row = app.store.approval(id).await?.ok_or_else(no_approval)?;
    if sees(app, principal, &row) { Ok(row) } else { Err(no_approval()) }
}

/// An approval once nothing more becomes of it, or as it is when the time is up.
///
/// # Errors
/// `not_found`.
pub async fn wait(app: &App, principal: &Principal, id: ApprovalId, timeout: Duration) -> Outcome<ApprovalRow> {
    let deadline = tokio::time::Instant::now() + timeout;
    let mut changed = app.inbox.subscribe();
    let mut stopping = app.stopping.clone();
    loop {
        changed.mark_unchanged();
        let row = find(app, principal, id).await?;
        if row.status.is_final() || timeout.is_zero() {
            return Ok(row);
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return find(app, principal, id).await,
            () = crate::serve::stopped(&mut stopping) => return Ok(row),
        }
    }
}

/// Whether its time is over: by the wall clock, or by the one that nobody sets, whichever says so first.
pub(super) fn is_overdue(app: &App, row: &ApprovalRow) -> bool {
    if clock::now_us() >= row.expires_us {
        return true;
    }
    if let Some(deadline) = own_deadline(row) {
        return clock::boot_us() >= deadline;
    }
    // The machine was started anew since. How long ago it was asked is known by the wall clock alone; by one that says it was
    // not asked yet, nothing is known.
    let in_this_life = lock(&app.inbox.deadlines).get(&row.id).copied();
    clock::now_us() < row.created_us || in_this_life.is_some_and(|deadline| clock::boot_us() >= deadline)
}

/// When its time is over by the clock that nobody sets, if it was asked during this start of the machine.
pub(super) fn own_deadline(row: &ApprovalRow) -> Option<u64> {
    let id = clock::boot_id();
    row.expires_boot_us.filter(|_| !id.is_empty() && row.boot_id.as_deref() == Some(id))
}

pub(super) async fn expire(app: &App, row: &ApprovalRow) -> Outcome<()> {
    become_(app, Actor::baton(), row, ApprovalStatus::Expired, Change::default(), None).await.map(drop)
}

/// Settles what an earlier bridge left, before this one does anything that could be taken for it.
pub async fn settle(app: &App) {
    // What was being done when a bridge died may have been done: nobody knows.
    for row in app.store.approvals(Some(ApprovalStatus::Executing), None, LOOK_MAX).await.unwrap_or_default() {
        let result = json!({ "code": "outcome_unknown", "detail": "the bridge ended while it was being done; look before you ask again" });
        let change = Change { result: Some(result.to_string()), ..Change::default() };
        if let Err(failure) = become_(app, Actor::baton(), &row, ApprovalStatus::OutcomeUnknown, change, None).await {
            tracing::warn!(approval = %row.id, "its unknown outcome could not be written down: {failure}");
        }
    }
    for row in app.store.approvals(Some(ApprovalStatus::Pending), None, LOOK_MAX).await.unwrap_or_default() {
        has_until(app, &row);
    }
}

/// Goes on with what was approved and not begun, and lets requests expire, until the bridge stops.
pub async fn tend(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    for status in [ApprovalStatus::Approved, ApprovalStatus::Edited] {
        for row in app.store.approvals(Some(status), None, LOOK_MAX).await.unwrap_or_default() {
            tokio::spawn(run::carry_out(Arc::clone(&app), row.id));
        }
    }
    app.store.prune_approvals(clock::now_us());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = crate::serve::stopped(&mut stopping) => return,
        }
        if lock(&app.inbox.deadlines).is_empty() {
            continue;
        }
        for row in app.store.approvals(Some(ApprovalStatus::Pending), None, LOOK_MAX).await.unwrap_or_default() {
            let ended = if is_overdue(&app, &row) {
                expire(&app, &row).await
            } else if app.principal(&row.requested_by).is_none() {
                // Its token expired, or was removed while it was being asked.
                become_(&app, Actor::baton(), &row, ApprovalStatus::Cancelled, Change::default(), None).await.map(drop)
            } else {
                continue;
            };
            if let Err(failure) = ended {
                tracing::warn!(approval = %row.id, "it could not be ended: {failure}");
            }
        }
    }
}
