//! An approved action is done once, as it was shown.
//!
//! ```text
//!   approved ─► is all as it was? ─► executing (on disk) ─► the action ─► executed | failed
//!                     └─ no ─► void, asked again
//! ```
//!
//! A bridge that dies before `executing` is on disk has done nothing, and the next goes on; one that dies after it may have, and
//! says so (`outcome_unknown`). Nothing leads back.

use std::sync::Arc;

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalStatus, ExecRequest};
use baton_proto::ids::{ApprovalId, Epoch};
use serde_json::{Value, json};

use super::context;
use super::decision::void;
use super::gate::Permit;
use super::gated::{Exec, Gated, Input, LeaseTake};
use super::reached;
use super::request::become_;
use crate::access::Principal;
use crate::app::App;
use crate::audit::Actor;
use crate::exec;
use crate::problem::{Failure, Outcome};
use crate::routes::{control, create, input};
use crate::store::approvals::Change;

/// Does what was approved, if it still is what was shown.
pub(super) async fn carry_out(app: Arc<App>, id: ApprovalId) {
    if let Err(failure) = attempt(&app, id).await {
        tracing::warn!(approval = %id, "an approved action was not carried out: {failure}");
    }
}

async fn attempt(app: &Arc<App>, id: ApprovalId) -> Outcome<()> {
    // After a restart the sessions are not known at once.
    let mut stopping = app.stopping.clone();
    while app.sessiond.listed().await.is_err() {
        if *stopping.borrow_and_update() {
            return Ok(());
        }
    }
    let Some(row) = app.store.approval(id).await? else { return Ok(()) };
    if !matches!(row.status, ApprovalStatus::Approved | ApprovalStatus::Edited) {
        return Ok(());
    }
    let failed = |failure: &Failure| Change {
        result: Some(json!({ "code": failure.code, "detail": failure.detail }).to_string()),
        ..Change::default()
    };
    let fails = async |failure: Failure| {
        become_(app, Actor::baton(), &row, ApprovalStatus::Failed, failed(&failure), None).await.map(drop)
    };
    let Some(gated) = app.inbox.gated(&row)? else {
        let detail =
            "it was input for a password prompt, which is never written down, and the bridge that knew it is gone";
        return fails(Failure::new(ErrorCode::ContextChanged, detail)).await;
    };
    let Some(asker) = app.principal(&row.requested_by) else {
        return fails(Failure::new(
            ErrorCode::Unauthenticated,
            "whoever asked may do nothing here any more: the token, or the name that a proxy said, is gone",
        ))
        .await;
    };
    let (policy, _) = app.inbox.policy();
    let judged = match context::judge(app, &policy, &asker, &gated).await {
        Ok(now) if row.run_hash.as_deref() == Some(now.hash.as_str()) => now,
        Ok(now) => return void(app, &row, &asker, &gated, Some(&now)).await.map(drop),
        Err(failure) => return fails(failure).await,
    };
    reached("judged").await;
    let executing = become_(app, Actor::baton(), &row, ApprovalStatus::Executing, Change::default(), None).await?;
    // Somebody else does it.
    let Some(row) = executing else { return Ok(()) };
    reached("executing").await;
    let done = perform(app, &asker, gated, judged.epoch, Permit::approved()).await;
    reached("performed").await;
    let (status, change) = match &done {
        Ok(result) => (ApprovalStatus::Executed, Change { result: Some(result.to_string()), ..Change::default() }),
        Err(failure) => (ApprovalStatus::Failed, failed(failure)),
    };
    become_(app, Actor::baton(), &row, status, change, None).await?;
    reached("written").await;
    Ok(())
}

/// Does it, under the lease's epoch that it was judged under: control that went to somebody and came back is another.
async fn perform(
    app: &Arc<App>,
    asker: &Principal,
    gated: Gated,
    judged: Option<Epoch>,
    permit: Permit,
) -> Outcome<Value> {
    match gated {
        Gated::Exec(Exec { session_id, client_id, command, timeout_s }) => {
            let (session, attached) = input::owning(app, asker, &session_id.to_string(), &client_id).await?;
            let request = ExecRequest { client_id, command, epoch: None, timeout_s };
            let epoch = judged.ok_or_else(input::not_owner)?;
            app.audit.exec(asker, session.id, &request.command).await;
            let answer = exec::run(app, &session, &attached, epoch, &request, permit).await?;
            // What it wrote is in the journal, between the cursors, and nowhere else.
            Ok(json!({
                "exit_code": answer.exit_code, "cursor_start": answer.cursor_start, "cursor_end": answer.cursor_end,
                "truncated": answer.truncated, "timed_out": answer.timed_out,
            }))
        }
        Gated::Input(typed) => {
            let bytes = typed.bytes()?;
            let Input { session_id, client_id, .. } = typed;
            let (session, attached) = input::owning(app, asker, &session_id.to_string(), &client_id).await?;
            let epoch = judged.ok_or_else(input::not_owner)?;
            input::type_bytes(&session, &attached, epoch, &bytes, &permit).await?;
            Ok(json!({ "accepted": bytes.len() }))
        }
        Gated::Spawn(request) | Gated::Unsandboxed(request) => {
            let session = create::start_approved(app, asker, *request, permit).await?;
            Ok(json!({ "session_id": session.id }))
        }
        Gated::LeaseTake(LeaseTake { session_id, client_id, force }) => {
            let lease = control::claim_now(app, asker, &session_id.to_string(), &client_id, force, &permit).await?;
            Ok(serde_json::to_value(lease).unwrap_or_default())
        }
    }
}
