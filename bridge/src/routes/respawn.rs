//! `POST /v1/sessions/{session_id}/respawn`: a session that ended by itself, or with its host, begins a new life.
//!
//! Nothing does this by itself: it runs a command.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_proto::ErrorCode;
use baton_proto::api::{Problem, SessionDetail, SessionStatus};
use baton_proto::ids::SessionId;
use baton_proto::v1::{Respawn, ScreenAt, ScreenFormat, SnapshotRequest};

use super::session_id;
use super::sessions::{detail_of, row_of};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::approval::context::may_start_again;
use crate::audit::{Action, Entry};
use crate::extract::Id;
use crate::gate::Known;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::store::sessions::SessionRow;

/// Starts a `lost` or `exited` session again: the same id, name and directory, a new instance. It runs `resume_cmd` if the session
/// has one, else its command, with the environment it was made with, in the directory its shell told last if that still exists,
/// else in the one it was made in. Cursors of before are answered by `cursor_trimmed`; streams begin again with `restarted`.
#[utoipa::path(
    post, path = "/v1/sessions/{session_id}/respawn", tag = "sessions", params(("session_id" = SessionId, Path)),
    responses(
        (status = 200, body = SessionDetail, description = "it runs"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn respawn(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<Json<SessionDetail>> {
    let begun = begin_again(&app, &principal, &id).await;
    app.audit.outcome(Entry::new(&principal, Action::SessionRespawn).subject(&id), &begun).await;
    begun?;
    detail_of(&app, &principal, &id).await.map(Json)
}

async fn begin_again(app: &App, principal: &Principal, id: &str) -> Outcome<()> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    principal.need_reach(session.entry().spec.profile)?;
    session.ended_for_sessiond().await;
    may_begin_again(&session)?;
    // Before anything is started: nobody else may be living under its name.
    let mut row = row_of(app, &session);
    let _title = app.catalog.reserve_title(row.workspace_id, &row.title, Some(session.id))?;
    let cwd = directory(app, &session).await?;
    let argv = row.resume_cmd.clone().unwrap_or_else(|| session.entry().spec.command.clone());
    may_start_again(app, principal, &session, argv, &cwd).await?;
    let _one_at_a_time = app.creating.lock().await;
    let class = session.entry().spec.class;
    let of_class = |other: &Session, _: &SessionRow| other.entry().spec.class == class;
    if let Some(terminal_id) = &row.terminal_id
        && app
            .catalog
            .by_terminal_id(row.workspace_id, terminal_id, of_class)
            .is_some_and(|other| other.id != session.id)
    {
        // A newer session took it over when this one had ended.
        row.terminal_id = None;
    }
    // What was noted of the last life's end. First, so that nobody takes it for the new one's.
    (row.head, row.oldest) = (0, 0);
    app.catalog.set_row(row.clone());
    drop(app.store.save_session(row.clone()).await);
    let request = Respawn {
        session: session.id,
        command: row.resume_cmd,
        cwd: Some(cwd),
        idle_timeout_s: row.idle_timeout_s,
        record_input: Some(row.record_input),
    };
    app.sessiond.respawn(&request).await.map(drop)
}

fn may_begin_again(session: &Session) -> Outcome<()> {
    let how = match show::status_now(&session.entry(), session.live().exit.as_ref()) {
        SessionStatus::Lost | SessionStatus::Exited => return Ok(()),
        SessionStatus::Starting | SessionStatus::Running => {
            return Err(Failure::new(ErrorCode::SessionRunning, "the session runs; there is nothing to start again"));
        }
        SessionStatus::Closed => "was closed",
        SessionStatus::Failed => "never started",
    };
    let detail =
        format!("the session {how}: only one that exited by itself or was lost is started again; create a new one");
    Err(Failure::new(ErrorCode::InvalidTransition, detail))
}

/// What the journal says of the directory, or, if it is too long ago for the newest screen, the event log.
async fn read(app: &App, session: &Session) -> Option<String> {
    // Once the worker has drawn the last screen it has told what it found in the output before it.
    let last = SnapshotRequest { at: ScreenAt::Head, format: ScreenFormat::Json, history: 0 };
    if let Err(failure) = session.snapshot(last).await {
        tracing::debug!(session = %session.id, "the last screen: {failure}");
    }
    let shown = session.inspect().await.ok().and_then(|inspection| inspection.screen.cwd);
    match shown {
        Some(told) => Some(told),
        None => app.store.newest_directory(session.id).await.ok().flatten(),
    }
}

/// Where the session was: what its shell told last, if that is still there, else where it was made.
async fn directory(app: &App, session: &Session) -> Outcome<String> {
    let told = match session.live().screen.cwd {
        Some(told) => Some(told),
        None => read(app, session).await,
    };
    if let Some(told) = told.filter(|told| told.starts_with('/') && !told.contains('\0') && Path::new(told).is_dir()) {
        return Ok(told);
    }
    let first = session.entry().spec.cwd.clone();
    if Path::new(&first).is_dir() {
        return Ok(first);
    }
    Err(Failure::invalid(format!("the session's directory `{first}` is gone; make it again, or create a new session")))
}
