//! Health, status and metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::api::{
    Health, LauncherStatus, ProcessConfinement, ProcessStatus, ServerStatus, SessionCounts, SessionStatus,
};
use baton_proto::v1::SupervisorStatus;
use http::{HeaderValue, header};

use super::sessions::shown;
use crate::access::Right;
use crate::app::App;
use crate::clock::rfc3339;
use crate::confine::layers;
use crate::gate::Known;
use crate::problem::Outcome;
use crate::upstream::sessiond::Link;

/// Whether the bridge answers; `degraded` while sessiond does not, or the database fails.
#[utoipa::path(get, path = "/v1/health", tag = "system", security(()), responses((status = 200, body = Health)))]
pub async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    let failing = failing(&app);
    let status = if failing.is_empty() { "ok" } else { "degraded" }.to_owned();
    Json(Health { status, version: env!("CARGO_PKG_VERSION").to_owned(), failing })
}

fn failing(app: &App) -> Vec<String> {
    let parts = [
        ("sessiond", app.sessiond.link() != Link::Up),
        ("database", app.store.is_degraded() || app.events.is_failing()),
    ];
    parts.into_iter().filter(|(_, fails)| *fails).map(|(name, _)| name.to_owned()).collect()
}

/// The processes and the sessions, as the bridge sees them.
#[utoipa::path(get, path = "/v1/status", tag = "system", responses((status = 200, body = ServerStatus)))]
pub async fn status(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Json<ServerStatus>> {
    principal.need(Right::Observe)?;
    principal.need_account()?;
    let supervisor = if app.sessiond.link() == Link::Up { app.sessiond.status().await.ok() } else { None };
    let mut versions = std::collections::BTreeMap::new();
    versions.insert("bridge".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let mut sessions = SessionCounts::default();
    for session in app.catalog.all() {
        if !principal.sees(&session, app.catalog.row(session.id).as_ref()) {
            continue;
        }
        let session = shown(&app, &session);
        sessions.running += u32::from(session.status.is_living());
        sessions.parked += u32::from(session.parked);
        sessions.lost += u32::from(session.status == SessionStatus::Lost);
    }
    if let Some(supervisor) = &supervisor {
        versions.insert("sessiond".to_owned(), supervisor.version.clone());
    }
    Ok(Json(ServerStatus {
        url: app.url.clone(),
        versions,
        bridge: ProcessStatus { pid: std::process::id(), started_at: rfc3339(app.started_us) },
        sessiond: supervisor
            .as_ref()
            .map(|supervisor| ProcessStatus { pid: supervisor.pid, started_at: rfc3339(supervisor.started_us) }),
        launcher: supervisor.as_ref().map(|supervisor| LauncherStatus { pid: supervisor.launcher_pid }),
        sessions,
        failing: failing(&app),
        confinement: confinement(supervisor.as_ref()),
    }))
}

/// The bridge's own layers, then what sessiond says of the others.
fn confinement(supervisor: Option<&SupervisorStatus>) -> Vec<ProcessConfinement> {
    let own = ProcessConfinement { process: "bridge".to_owned(), layers: layers().to_vec() };
    let others = supervisor.into_iter().flat_map(|supervisor| supervisor.confinement.iter().cloned());
    std::iter::once(own).chain(others).collect()
}

/// Counters for Prometheus (text exposition format 0.0.4).
#[utoipa::path(
    get, path = "/metrics", tag = "system",
    responses((status = 200, description = "text", content_type = "text/plain", body = String)),
)]
pub async fn metrics(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    principal.need_account()?;
    let counters = &app.counters;
    let sessions = app.catalog.all();
    let living = sessions.iter().filter(|session| !session.has_ended()).count();
    let clients: usize = sessions.iter().map(|session| session.live().clients.len()).sum();
    let number = |value: usize| value as u64;
    let rows: [(&str, &str, &str, u64); 13] = [
        ("baton_requests_total", "counter", "HTTP requests received", counters.requests.load(Ordering::Relaxed)),
        ("baton_connections", "gauge", "Connections open", number(counters.connections.load(Ordering::Relaxed))),
        (
            "baton_connections_refused_total",
            "counter",
            "Connections refused because there were too many",
            counters.connections_refused.load(Ordering::Relaxed),
        ),
        ("baton_streams", "gauge", "Terminal streams open", number(counters.sockets.load(Ordering::Relaxed))),
        (
            "baton_sent_bytes_total",
            "counter",
            "Output bytes sent to streams",
            counters.sent_bytes.load(Ordering::Relaxed),
        ),
        (
            "baton_output_bytes_total",
            "counter",
            "Output bytes received from workers",
            app.context.output_bytes.load(Ordering::Relaxed),
        ),
        (
            "baton_kept_bytes",
            "gauge",
            "Output bytes kept for clients that lag",
            number(app.context.chunk_bytes.load(Ordering::Relaxed)),
        ),
        (
            "baton_journal_reads_total",
            "counter",
            "Journal ranges read for clients that lag",
            counters.ranges.load(Ordering::Relaxed),
        ),
        (
            "baton_screens_total",
            "counter",
            "Screens sent to clients in place of bytes",
            counters.screens.load(Ordering::Relaxed),
        ),
        ("baton_sessions", "gauge", "Sessions known", number(sessions.len())),
        ("baton_sessions_living", "gauge", "Sessions alive", number(living)),
        ("baton_clients", "gauge", "Clients attached", number(clients)),
        ("baton_sessiond_up", "gauge", "Whether sessiond answers", u64::from(app.sessiond.link() == Link::Up)),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in rows {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    }
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
