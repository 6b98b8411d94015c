//! Approvals: what waits for a person, and the person's word.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalRequest, ApprovalStatus, AwaitingApproval, DecisionRequest, Page, Problem};
use baton_proto::ids::ApprovalId;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::sessions::page_limit;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::approval::gate::refused;
use crate::approval::{decision, waiting};
use crate::audit::{Action, Details, Entry};
use crate::extract::{Body, Filter, Id, bounded};
use crate::gate::Known;
use crate::idempotency::Waits;
use crate::problem::{Failure, Outcome};
use crate::store::approvals::ApprovalRow;

/// Longest wait of a request, in seconds.
const WAIT_MAX_S: u64 = 3600;
/// Rows that are read at once, of which the caller may see only some.
const ROWS: u32 = 500;

/// The query of what may wait for a person.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Seconds that a person's decision and its result are waited for, at most 3600; 0 if nothing is said.
    wait_s: Option<u64>,
}

impl WaitQuery {
    fn timeout(&self) -> Outcome<Duration> {
        Ok(Duration::from_secs(bounded("wait_s", self.wait_s, 0..=WAIT_MAX_S)?.unwrap_or(0)))
    }
}

/// The query of `GET /v1/approvals`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only of this status.
    status: Option<ApprovalStatus>,
    /// Where the page begins.
    cursor: Option<String>,
    /// How many, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
}

/// The answer to a request that a person is asked about: waits as long as the caller wants.
pub(crate) async fn awaiting(
    app: &Arc<App>,
    principal: &Principal,
    row: &ApprovalRow,
    query: &WaitQuery,
) -> Outcome<Response> {
    let row = waiting::wait(app, principal, row.id, query.timeout()?).await?;
    let notes = app.inbox.shown(&row)?.notes;
    if let Some(failure) = refused(&row, notes.as_deref()) {
        return Err(failure);
    }
    let answer = Json(AwaitingApproval { approval_id: row.id, status: row.status });
    let mut response = (StatusCode::ACCEPTED, answer).into_response();
    response.extensions_mut().insert(Waits);
    Ok(response)
}

fn approval_id(id: &str) -> Outcome<ApprovalId> {
    let missing = "there is no such approval; `GET /v1/approvals` lists those there are";
    id.parse().map_err(|_| Failure::new(ErrorCode::NotFound, missing))
}

/// What waits for a person, or did, newest first: what the caller asked for, and what it may decide about.
#[utoipa::path(
    get, path = "/v1/approvals", tag = "approvals", params(ListQuery),
    responses((status = 200, body = Page<ApprovalRequest>), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Filter(query): Filter<ListQuery>,
) -> Outcome<Json<Page<ApprovalRequest>>> {
    principal.need_account()?;
    principal.need(Right::Observe)?;
    let limit = page_limit(query.limit)?;
    let mut before = match query.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
        Some(cursor) => Some(cursor.parse().map_err(|_| Failure::invalid("`cursor` is not one of ours"))?),
        None => None,
    };
    let mut items = Vec::new();
    let next_cursor = loop {
        let rows = app.store.approvals(query.status, before, ROWS).await?;
        let is_last = rows.len() < ROWS as usize;
        before = rows.last().map(|row| row.id);
        let visible = rows.iter().filter(|row| waiting::sees(&app, &principal, row));
        // A row that can't be opened is told of by its own route.
        items.extend(visible.filter_map(|row| app.inbox.shown(row).ok()));
        if items.len() > limit {
            items.truncate(limit);
            break items.last().map(|last: &ApprovalRequest| last.id.to_string());
        }
        if is_last {
            break None;
        }
    };
    Ok(Json(Page { items, next_cursor }))
}

/// An approval; waits for what becomes of it as long as the caller wants.
#[utoipa::path(
    get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = ApprovalId, Path), WaitQuery),
    responses((status = 200, body = ApprovalRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn detail(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<WaitQuery>,
) -> Outcome<Json<ApprovalRequest>> {
    principal.need_account()?;
    principal.need(Right::Observe)?;
    let row = waiting::wait(&app, &principal, approval_id(&id)?, query.timeout()?).await?;
    app.inbox.shown(&row).map(Json)
}

/// A person decides about exactly what was shown. The first decision counts.
#[utoipa::path(
    post, path = "/v1/approvals/{id}/decision", tag = "approvals", params(("id" = ApprovalId, Path)),
    request_body = DecisionRequest,
    responses((status = 200, body = ApprovalRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn decide(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<DecisionRequest>,
) -> Outcome<Json<ApprovalRequest>> {
    let entry = Entry::new(&principal, Action::Decision).subject(&id);
    let decided = decide_kept(&app, principal, &id, request).await;
    // A decision has a row of its own; an attempt of who may not decide has this.
    if let Err(failure) = decided.as_ref()
        && failure.code == ErrorCode::Forbidden
    {
        app.audit.refused(entry.details(Details::none().text("status", "refused")), failure.code).await;
    }
    app.inbox.shown(&decided?).map(Json)
}

/// Decides, whatever becomes of who asked.
async fn decide_kept(app: &Arc<App>, principal: Principal, id: &str, request: DecisionRequest) -> Outcome<ApprovalRow> {
    principal.need_account()?;
    let id = approval_id(id)?;
    // Whoever decides may hang up: what was begun is gone on with.
    let deciding = {
        let app = Arc::clone(app);
        tokio::spawn(async move { decision::decide(&app, &principal, id, request).await })
    };
    deciding.await.map_err(|err| Failure::new(ErrorCode::Internal, format!("deciding failed: {err}")))?
}

/// Takes back what the caller asked for.
#[utoipa::path(
    post, path = "/v1/approvals/{id}/cancel", tag = "approvals", params(("id" = ApprovalId, Path)),
    responses((status = 200, body = ApprovalRequest), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<Json<ApprovalRequest>> {
    principal.need_account()?;
    principal.need(Right::Observe)?;
    let row = decision::cancel(&app, &principal, approval_id(&id)?).await?;
    app.inbox.shown(&row).map(Json)
}
