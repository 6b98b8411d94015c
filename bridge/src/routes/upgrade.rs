//! `POST /v1/upgrade`: one process of Baton's is replaced by one of the installed version.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_proto::api::{Problem, UpgradePart, UpgradeRequest, Upgrading};
use baton_proto::v1::Upgradable;
use http::StatusCode;

use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::{Action, Details, Entry};
use crate::extract::Body;
use crate::gate::Known;
use crate::problem::{Failure, Outcome};

/// Replaces one process by one of the installed version, if that serves; else the one before goes on.
#[utoipa::path(
    post, path = "/v1/upgrade", tag = "system", request_body = UpgradeRequest,
    responses(
        (status = 200, body = Upgrading, description = "the next worker serves"),
        (status = 202, body = Upgrading, description = "on its way: `/v1/status` shows who serves"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn upgrade(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Body(request): Body<UpgradeRequest>,
) -> Outcome<(StatusCode, Json<Upgrading>)> {
    let details = serde_json::to_value(request.part).unwrap_or_default();
    let details = Details::none().maybe("part", details.as_str());
    let mut entry = Entry::new(&principal, Action::Upgrade).details(details);
    entry.subject = request.session_id.map(|id| id.to_string());
    let replaced = replace(&app, &principal, request).await;
    app.audit.outcome(entry, &replaced).await;
    replaced
}

async fn replace(app: &App, principal: &Principal, request: UpgradeRequest) -> Outcome<(StatusCode, Json<Upgrading>)> {
    principal.need(Right::Admin)?;
    let what = match (request.part, request.session_id) {
        (UpgradePart::Worker, Some(session)) => {
            let entry = app.sessiond.upgrade_worker(session).await?;
            return Ok((StatusCode::OK, Json(Upgrading { worker_pid: entry.worker_pid })));
        }
        (UpgradePart::Worker, None) => return Err(Failure::invalid("`session_id` says whose worker is meant")),
        (_, Some(_)) => return Err(Failure::invalid("`session_id` is for `part: \"worker\"` only")),
        (UpgradePart::Launcher, None) => Upgradable::Launcher,
        (UpgradePart::Sessiond, None) => Upgradable::Supervisor,
        (UpgradePart::Bridge, None) => Upgradable::Bridge,
    };
    app.sessiond.upgrade(what).await?;
    Ok((StatusCode::ACCEPTED, Json(Upgrading { worker_pid: None })))
}
