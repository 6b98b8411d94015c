//! Leases by REST, and the end of a session. Each verb has its twin on the stream.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{
    AwaitingApproval, ClaimRequest, ClientRequest, CloseRequest, DenyRequest, LeaseAnswer, Problem, TransferRequest,
};
use baton_proto::frame::Kind;
use baton_proto::ids::{ClientId, SessionId};
use baton_proto::v1::{Claim, Class, Close, DenyControl, LeaseRecord, Release, RequestControl, Transfer};
use http::StatusCode;

use super::approvals::{WaitQuery, awaiting};
use super::session_id;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::approval::gate::{Gate, Permit, gate};
use crate::approval::gated::{Gated, LeaseTake, own_epoch};
use crate::audit::{Action, Entry};
use crate::extract::{Body, Filter, Id, IdempotencyKey, MaybeBody};
use crate::gate::Known;
use crate::hub::presence::End;
use crate::hub::session::{RestAttachment, Session, until_us};
use crate::problem::{Failure, Outcome};
use crate::{handback, show};

/// Characters of a close's reason.
const REASON_CHARS_MAX: usize = 200;
/// How often a claim is tried while the worker is being replaced.
const CLAIM_TRIES: usize = 3;

/// A session that the caller may control, and its client's attachment there.
pub(super) async fn controlled(
    app: &App,
    principal: &Principal,
    id: &str,
    client: &ClientId,
    join: bool,
) -> Outcome<(Arc<Session>, RestAttachment)> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    app.bind(principal, client).await?;
    if session.has_ended() {
        return Err(Failure::new(ErrorCode::SessionEnded, "the session has ended: nobody can have control any more"));
    }
    let attached = session.rest(principal.identity(client.clone(), None, None), join).await?;
    Ok((session, attached))
}

/// The same, to act in the session: what is done there must not be more than the caller may itself.
pub(super) async fn acting(
    app: &App,
    principal: &Principal,
    id: &str,
    client: &ClientId,
    join: bool,
) -> Outcome<(Arc<Session>, RestAttachment)> {
    principal.need(Right::Control)?;
    // Before it is attached: who may not act gets no attachment by trying.
    principal.need_reach_into(&*app.session(principal, session_id(id)?).await?)?;
    controlled(app, principal, id, client, join).await
}

/// The lease as an answer; the caller's own sign of life counts.
pub(super) fn answer(app: &App, session: &Session, attached: &RestAttachment, record: &LeaseRecord) -> LeaseAnswer {
    let own = record.owner.as_ref().is_some_and(|owner| owner.client == attached.presence.identity.client);
    let until = if own && record.expires_in_ms.is_none() {
        until_us(attached.presence.last_heard(), app.context.lease_ttl)
    } else {
        session.lease_until_us()
    };
    show::lease_answer(record, until)
}

/// Takes control. The client is attached until its lease ends.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/claim", tag = "control",
    params(("session_id" = SessionId, Path), WaitQuery), request_body = ClaimRequest,
    responses(
        (status = 200, body = LeaseAnswer),
        (status = 202, body = AwaitingApproval, description = "a person is asked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn claim(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<WaitQuery>,
    key: IdempotencyKey,
    Body(request): Body<ClaimRequest>,
) -> Outcome<Response> {
    let permit = match taking(&app, &principal, &id, &request.client_id, request.force, key.0).await? {
        Gate::Go(permit) => permit,
        Gate::Asked(row) => return awaiting(&app, &principal, &row, &query).await,
    };
    let claimed = claim_now(&app, &principal, &id, &request.client_id, request.force, &permit).await?;
    Ok(Json(claimed).into_response())
}

/// Judges a claim: an agent that takes control of what it did not make asks for it.
pub(super) async fn taking(
    app: &Arc<App>,
    principal: &Principal,
    id: &str,
    client: &ClientId,
    force: bool,
    key: Option<String>,
) -> Outcome<Gate> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    principal.need_reach_into(&session)?;
    app.bind(principal, client).await?;
    let gated = LeaseTake { session_id: session.id, client_id: client.clone(), force };
    take(app, principal, &session, gated, key).await
}

/// The same for a client whose session and id were looked at.
pub(crate) async fn take(
    app: &Arc<App>,
    principal: &Principal,
    session: &Session,
    gated: LeaseTake,
    key: Option<String>,
) -> Outcome<Gate> {
    let entry = session.entry();
    let made_by = entry.spec.creator.as_ref().and_then(ClientId::agent_id);
    if principal.agent_id.is_some() && made_by == principal.agent_id.as_deref() {
        return Ok(Gate::Go(Permit::of_its_own()));
    }
    // To claim what one holds is a sign of life.
    if own_epoch(session, &gated.client_id).is_some() {
        return Ok(Gate::Go(Permit::of_its_own()));
    }
    gate(app, principal, Gated::LeaseTake(gated), key).await
}

/// Claims what was judged.
pub(crate) async fn claim_now(
    app: &App,
    principal: &Principal,
    id: &str,
    client: &ClientId,
    force: bool,
    _permit: &Permit,
) -> Outcome<LeaseAnswer> {
    // The worker repeats its answer for a repeated number, so that a claim whose answer was lost is not made twice.
    let number = u64::from_le_bytes(uuid::Uuid::new_v4().into_bytes()[..8].try_into().unwrap_or([1; 8])) | 1;
    let mut tries = 0;
    loop {
        tries += 1;
        let (session, attached) = acting(app, principal, id, client, true).await?;
        let claim = Claim { attachment: attached.attachment, force, if_epoch: None, request: number };
        match session.lease_call(Kind::Claim, &claim).await {
            Ok(record) => {
                if app.session(principal, session.id).await.is_err() {
                    // It was taken back while it was claimed.
                    session.detach(attached.attachment, true).await;
                    return Err(Failure::no_session());
                }
                let mut answer = answer(app, &session, &attached, &record);
                let identity = &attached.presence.identity;
                if identity.class == Class::Agent && answer.lease_owner.as_ref() == Some(client) {
                    let report = handback::report(&app.context.events, &session, client, record.epoch);
                    // Control is its own all the same.
                    answer.handback = report
                        .await
                        .unwrap_or_else(|failure| {
                            tracing::warn!(session = %session.id, "an agent is not told what happened: {failure}");
                            None
                        })
                        .map(Box::new);
                }
                return Ok(answer);
            }
            Err(failure) if failure.code == ErrorCode::SessiondDown && tries < CLAIM_TRIES => {}
            Err(failure) => {
                if attached.fresh {
                    session.detach(attached.attachment, false).await;
                }
                return Err(failure);
            }
        }
    }
}

/// Gives control up.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/release", tag = "control", params(("session_id" = SessionId, Path)),
    request_body = ClientRequest,
    responses((status = 200, body = LeaseAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn release(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<ClientRequest>,
) -> Outcome<Json<LeaseAnswer>> {
    let (session, attached) = controlled(&app, &principal, &id, &request.client_id, false).await?;
    let record = session.lease_call(Kind::Release, &Release { attachment: attached.attachment }).await?;
    Ok(Json(answer(&app, &session, &attached, &record)))
}

/// Gives control to somebody attached.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/transfer", tag = "control", params(("session_id" = SessionId, Path)),
    request_body = TransferRequest,
    responses((status = 200, body = LeaseAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn transfer(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<TransferRequest>,
) -> Outcome<Json<LeaseAnswer>> {
    let (session, attached) = acting(&app, &principal, &id, &request.client_id, false).await?;
    app.may_be_given_control(&session, &request.to_client_id)?;
    let transfer = Transfer { attachment: attached.attachment, to: request.to_client_id };
    let record = session.lease_call(Kind::Transfer, &transfer).await?;
    Ok(Json(answer(&app, &session, &attached, &record)))
}

/// Asks for control: a standing claim for 60 s, carried out when control becomes free. The answer is the lease now.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/request-control", tag = "control",
    params(("session_id" = SessionId, Path), WaitQuery), request_body = ClientRequest,
    responses(
        (status = 200, body = LeaseAnswer),
        (status = 202, body = AwaitingApproval, description = "a person is asked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn request_control(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<WaitQuery>,
    key: IdempotencyKey,
    Body(request): Body<ClientRequest>,
) -> Outcome<Response> {
    if let Gate::Asked(row) = taking(&app, &principal, &id, &request.client_id, false, key.0).await? {
        return awaiting(&app, &principal, &row, &query).await;
    }
    let (session, attached) = acting(&app, &principal, &id, &request.client_id, true).await?;
    let asked = RequestControl { attachment: attached.attachment };
    let record = session.lease_call(Kind::RequestControl, &asked).await?;
    Ok(Json(answer(&app, &session, &attached, &record)).into_response())
}

/// The owner says no to `to_client_id`, who asked.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/deny-control", tag = "control",
    params(("session_id" = SessionId, Path)), request_body = DenyRequest,
    responses((status = 204, description = "told"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn deny_control(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<DenyRequest>,
) -> Outcome<StatusCode> {
    let (session, attached) = controlled(&app, &principal, &id, &request.client_id, false).await?;
    let deny = DenyControl { attachment: attached.attachment, client: request.to_client_id };
    session.call(Kind::DenyControl, &deny, Kind::Done).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Detaches a client, which gives its control up. Its socket, if it has one, is closed.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/detach", tag = "control", params(("session_id" = SessionId, Path)),
    request_body = ClientRequest,
    responses((status = 204, description = "detached"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn detach(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<ClientRequest>,
) -> Outcome<StatusCode> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    app.bind(&principal, &request.client_id).await?;
    let attached = session.rest(principal.identity(request.client_id, None, None), false).await?;
    session.detach(attached.attachment, true).await;
    attached.presence.end(End { frame: None, code: 1000, reason: "detached" });
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the session: SIGHUP, grace, SIGKILL to everything it started. The reason reaches every client. An agent ends only what it
/// made.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/close", tag = "control", params(("session_id" = SessionId, Path)),
    request_body = CloseRequest,
    responses((status = 202, description = "under way"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn close(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    MaybeBody(request): MaybeBody<CloseRequest>,
) -> Outcome<StatusCode> {
    let closed = close_session(&app, &principal, &id, request.reason).await;
    app.audit.outcome(Entry::new(&principal, Action::SessionClose).subject(&id), &closed).await;
    closed
}

async fn close_session(app: &App, principal: &Principal, id: &str, reason: Option<String>) -> Outcome<StatusCode> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    principal.need_made(&session, app.catalog.row(session.id).as_ref())?;
    if session.has_ended() {
        return Err(Failure::new(ErrorCode::SessionEnded, "the session has ended already"));
    }
    let reason = reason.unwrap_or_default();
    let reason: String = reason.chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect();
    let reason = if reason.trim().is_empty() { format!("closed by {}", principal.name) } else { reason };
    let grace_ms = u32::try_from(app.options.config.session.close_grace_s.saturating_mul(1000)).unwrap_or(u32::MAX);
    session.call(Kind::Close, &Close { reason, grace_ms }, Kind::Done).await?;
    Ok(StatusCode::ACCEPTED)
}
