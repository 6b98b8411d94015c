//! Sessions of any kind: list, detail, what people may change, events, forget.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use baton_proto::ErrorCode;
use baton_proto::api::{
    Event, Page, Problem, Session as ApiSession, SessionDetail, SessionPatch, SessionStatus, Size, SizeMode,
};
use baton_proto::frame::Kind;
use baton_proto::ids::{ClientId, SessionId, WorkspaceId};
use baton_proto::spec::SessionKind;
use baton_proto::v1::{Class, Configure, Dimensions, SizePolicy};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::create::check_title;
use super::session_id;
use crate::access::whose::Whose;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::{Action, Details, Entry};
use crate::extract::{Body, Filter, Id, bounded};
use crate::gate::Known;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::store::sessions::SessionRow;
use crate::upstream::sessiond::Link;

/// Things in a page when nobody says otherwise, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1000;
/// Labels of a session.
const LABELS_MAX: usize = 64;
/// Bytes of a label's key or value.
const LABEL_BYTES_MAX: usize = 256;

/// The query of `GET /v1/sessions`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only of this kind.
    kind: Option<SessionKind>,
    /// Only of this status.
    status: Option<SessionStatus>,
    /// Only of this workspace.
    #[param(value_type = Option<String>)]
    workspace_id: Option<WorkspaceId>,
    /// Only with this label: `key` or `key=value`.
    label: Option<String>,
    /// Where the page begins.
    cursor: Option<String>,
    /// How many, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
}

/// How many things a page has.
///
/// # Errors
/// `invalid`.
pub(super) fn page_limit(limit: Option<usize>) -> Outcome<usize> {
    Ok(bounded("limit", limit, 1..=PAGE_MAX)?.unwrap_or(PAGE_DEFAULT))
}

pub(super) fn shown(app: &App, session: &Session) -> ApiSession {
    let row = app.catalog.row(session.id);
    show::session(session, row.as_ref(), app.sessiond.link() == Link::Up)
}

/// Every session the caller may see, oldest first.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "sessions", params(ListQuery),
    responses((status = 200, body = Page<ApiSession>), (status = 503, body = Problem, content_type = "application/problem+json")),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Filter(query): Filter<ListQuery>,
) -> Outcome<Json<Page<ApiSession>>> {
    principal.need(Right::Observe)?;
    app.sessiond.listed().await?;
    let after = match query.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
        Some(cursor) => Some(cursor.parse::<SessionId>().map_err(|_| Failure::invalid("`cursor` is not one of ours"))?),
        None => None,
    };
    let limit = page_limit(query.limit)?;
    let visible = |session: &Arc<Session>| principal.sees(session, app.catalog.row(session.id).as_ref());
    let mut items: Vec<ApiSession> = Vec::new();
    let mut next_cursor = None;
    for session in app.catalog.all() {
        if after.is_some_and(|after| session.id <= after) || !visible(&session) {
            continue;
        }
        let mut item = shown(&app, &session);
        principal.hide_before(&session, &mut item);
        let fits = query.kind.is_none_or(|kind| kind == item.kind)
            && query.status.is_none_or(|status| status == item.status)
            && query.workspace_id.is_none_or(|id| Some(id) == item.workspace_id)
            && query.label.as_deref().is_none_or(|label| has_label(&item, label));
        if !fits {
            continue;
        }
        if items.len() == limit {
            next_cursor = items.last().map(|last| last.id.to_string());
            break;
        }
        items.push(item);
    }
    Ok(Json(Page { items, next_cursor }))
}

fn has_label(session: &ApiSession, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => session.labels.get(key).is_some_and(|has| has == value),
        None => session.labels.contains_key(label),
    }
}

pub(super) async fn detail_of(app: &App, principal: &Principal, id: &str) -> Outcome<SessionDetail> {
    principal.need(Right::Observe)?;
    let session = app.session(principal, session_id(id)?).await?;
    // An ended session's worker is not woken to be asked what is known. What was known of the living one may be old.
    let live = session.live();
    let kept = || !live.known && app.catalog.row(session.id).is_some_and(|row| row.head > 0);
    let inspection = if session.has_ended() && (live.settled || kept()) {
        None
    } else {
        session.inspect().await.map_err(|failure| tracing::debug!("inspect: {failure}")).ok()
    };
    let mut detail = show::detail(shown(app, &session), &session.live(), inspection.as_ref());
    principal.hide_before(&session, &mut detail.session);
    Ok(detail)
}

/// A session and what is going on in it.
#[utoipa::path(
    get, path = "/v1/sessions/{session_id}", tag = "sessions", params(("session_id" = SessionId, Path)),
    responses((status = 200, body = SessionDetail), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn detail(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<Json<SessionDetail>> {
    detail_of(&app, &principal, &id).await.map(Json)
}

/// As `GET /v1/sessions/{session_id}`.
#[utoipa::path(
    get, path = "/v1/terminal/sessions/{session_id}", tag = "terminal", params(("session_id" = SessionId, Path)),
    responses((status = 200, body = SessionDetail), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn terminal_detail(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<Json<SessionDetail>> {
    detail_of(&app, &principal, &id).await.map(Json)
}

/// The row of a session, made up from what sessiond knows when the database has none.
pub(super) fn row_of(app: &App, session: &Session) -> SessionRow {
    app.catalog.row(session.id).unwrap_or_else(|| {
        let entry = session.entry();
        SessionRow {
            id: session.id,
            title: entry.spec.title.clone(),
            labels: std::collections::BTreeMap::new(),
            terminal_id: None,
            workspace_id: None,
            creator: entry.spec.creator.as_ref().map_or_else(String::new, ToString::to_string),
            owner_agent_id: entry.spec.creator.as_ref().and_then(|creator| creator.agent_id().map(str::to_owned)),
            resume_cmd: None,
            agent_input: baton_proto::api::AgentInput::default(),
            record: baton_proto::api::Record::default(),
            idle_timeout_s: Some(entry.spec.idle_timeout_s),
            record_input: entry.spec.record_input,
            created_us: entry.spec.created_us,
            head: 0,
            oldest: 0,
            last_activity_us: 0,
            surroundings: None,
        }
    })
}

/// Checks labels as people give them.
pub(super) fn check_labels(labels: &std::collections::BTreeMap<String, String>) -> Outcome<()> {
    let fits = |text: &str| text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control);
    let good = labels.len() <= LABELS_MAX
        && labels.iter().all(|(key, value)| !key.is_empty() && !key.contains('=') && fits(key) && fits(value));
    if good {
        return Ok(());
    }
    Err(Failure::invalid(
        "labels: at most 64, keys without `=`, keys and values of at most 256 bytes without control characters",
    ))
}

/// A size policy of the API as the worker wants it.
pub(super) fn policy(size: &Size) -> Outcome<SizePolicy> {
    Ok(match (size.policy, size.max_cols, size.max_rows) {
        (SizeMode::Holder, _, _) => SizePolicy::Holder,
        (SizeMode::Fixed, _, _) => SizePolicy::Fixed,
        (SizeMode::Cap, Some(cols), Some(rows)) if (Dimensions { cols, rows }).is_valid() => {
            SizePolicy::Cap { max_cols: cols, max_rows: rows }
        }
        (SizeMode::Cap, _, _) => {
            return Err(Failure::invalid("the size policy `cap` needs `max_cols` and `max_rows`, from 1 to 2000"));
        }
    })
}

/// Changes what may change while a session lives; what is left out stays.
///
/// Of a session that it did not make an agent changes nothing, and never `agent_input`, `owner_agent_id` or `record_input`.
#[utoipa::path(
    patch, path = "/v1/sessions/{session_id}", tag = "sessions", params(("session_id" = SessionId, Path)),
    request_body = SessionPatch,
    responses((status = 200, body = SessionDetail), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn patch(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(patch): Body<SessionPatch>,
) -> Outcome<Json<SessionDetail>> {
    let changes = guarded(&patch);
    let changed = change(&app, &principal, &id, patch).await;
    let forbidden = changed.as_ref().is_err_and(|failure| failure.code == ErrorCode::Forbidden);
    if changes.is_some() || forbidden {
        let entry = Entry::new(&principal, Action::SessionChange).subject(&id);
        app.audit.outcome(entry.details(changes.unwrap_or_default()), &changed).await;
    }
    changed?;
    detail_of(&app, &principal, &id).await.map(Json)
}

fn is_agent_id(agent: &str) -> bool {
    format!("agent:{agent}").parse::<ClientId>().is_ok()
}

/// What a change says of who may do what in a session, and of what is kept of it, if it says something.
fn guarded(patch: &SessionPatch) -> Option<Details> {
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    // What is none may be anything, a secret too.
    let is_id = |agent: &&String| agent.is_empty() || is_agent_id(agent);
    let agent_input = patch.agent_input.and_then(|held| serde_json::to_value(held).ok()).and_then(word);
    let mut details = Details::none()
        .maybe("agent_input", agent_input)
        .maybe("owner_agent_id", patch.owner_agent_id.as_ref().filter(is_id));
    if let Some(record_input) = patch.record_input {
        details = details.flag("record_input", record_input);
    }
    if let Some(idle_timeout_s) = patch.idle_timeout_s {
        details = details.number("idle_timeout_s", idle_timeout_s);
    }
    (details != Details::none()).then_some(details)
}

async fn change(app: &App, principal: &Principal, id: &str, patch: SessionPatch) -> Outcome<()> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    principal.need_made(&session, app.catalog.row(session.id).as_ref())?;
    if patch.record_input.is_some() {
        principal.need_record_input()?;
    }
    let mut row = row_of(app, &session);
    let given_to = row.owner_agent_id.clone();
    let mut reserved = None;
    if patch.agent_input.is_some() || patch.owner_agent_id.is_some() {
        if principal.class() == Class::Agent {
            let detail = "`agent_input` and `owner_agent_id` say what an agent may: they are a person's to set";
            return Err(Failure::new(ErrorCode::Forbidden, detail));
        }
        row.agent_input = patch.agent_input.unwrap_or(row.agent_input);
        if let Some(agent) = patch.owner_agent_id {
            if !agent.is_empty() && !is_agent_id(&agent) {
                return Err(Failure::invalid(format!("`{}` is no agent's id", agent.escape_debug())));
            }
            row.owner_agent_id = Some(agent).filter(|agent| !agent.is_empty());
        }
    }
    if let Some(title) = &patch.title {
        let title = check_title(title)?;
        reserved = Some(app.catalog.reserve_title(row.workspace_id, &title, Some(session.id))?);
        row.title = title;
    }
    if let Some(labels) = patch.labels {
        check_labels(&labels)?;
        row.labels = labels;
    }
    let size = match &patch.size {
        Some(size) => {
            let dimensions = Dimensions { cols: size.cols, rows: size.rows };
            if !dimensions.is_valid() {
                return Err(Failure::invalid("`cols` and `rows` are from 1 to 2000"));
            }
            Some((policy(size)?, Some(dimensions)))
        }
        None => None,
    };
    if size.is_some() || patch.idle_timeout_s.is_some() || patch.record_input.is_some() {
        if session.has_ended() {
            return Err(Failure::new(
                ErrorCode::SessionEnded,
                "an ended session keeps only its title and labels changeable",
            ));
        }
        let configure =
            Configure { policy: size, idle_timeout_s: patch.idle_timeout_s, record_input: patch.record_input };
        session.call(Kind::Configure, &configure, Kind::Done).await?;
        row.idle_timeout_s = patch.idle_timeout_s.or(row.idle_timeout_s);
        row.record_input = patch.record_input.unwrap_or(row.record_input);
    }
    app.catalog.set_row(row.clone());
    drop(reserved);
    // What it made itself an agent keeps.
    let made_by = session.entry().spec.creator.as_ref().and_then(|creator| creator.agent_id().map(str::to_owned));
    if let Some(agent) =
        given_to.filter(|agent| row.owner_agent_id.as_ref() != Some(agent) && made_by.as_ref() != Some(agent))
    {
        app.take_back(&session, &agent).await;
    }
    // The change holds; a database that fails is said by `/v1/health`.
    let title = row.title.clone();
    drop(app.store.save_session(row).await);
    app.events.session(session.id, "status", serde_json::json!({ "changed": true, "title": title }));
    Ok(())
}

/// The query of a session's events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Events after this `seq`.
    cursor: Option<u64>,
    /// How many, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
    /// Only of this type.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    kind: Option<String>,
}

/// What happened to a session, oldest first.
#[utoipa::path(
    get, path = "/v1/sessions/{session_id}/events", tag = "sessions",
    params(("session_id" = SessionId, Path), EventsQuery),
    responses((status = 200, body = Page<Event>), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn events(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<EventsQuery>,
) -> Outcome<Json<Page<Event>>> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    let limit = page_limit(query.limit)?;
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut items = app
        .store
        .events_after(
            query.cursor.unwrap_or(0).max(principal.events_floor()),
            Some(session.id.to_string()),
            query.kind,
            asked,
        )
        .await?;
    let next_cursor = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|event| event.seq.to_string())
    });
    items.iter_mut().for_each(Whose::hide);
    Ok(Json(Page { items, next_cursor: next_cursor.flatten() }))
}

/// Forgets an ended session and its journal. Whoever saw it is told by an event `status` with `{"status": "forgotten"}`.
#[utoipa::path(
    delete, path = "/v1/sessions/{session_id}", tag = "sessions", params(("session_id" = SessionId, Path)),
    responses((status = 204, description = "gone"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn forget(State(app): State<Arc<App>>, Known(principal): Known, Id(id): Id<String>) -> Outcome<StatusCode> {
    let forgotten = forget_session(&app, &principal, &id).await;
    app.audit.outcome(Entry::new(&principal, Action::SessionForget).subject(&id), &forgotten).await;
    forgotten
}

async fn forget_session(app: &App, principal: &Principal, id: &str) -> Outcome<StatusCode> {
    principal.need(Right::Control)?;
    let session = app.session(principal, session_id(id)?).await?;
    principal.need_made(&session, app.catalog.row(session.id).as_ref())?;
    session.ended_for_sessiond().await;
    app.sessiond.forget(session.id).await?;
    app.catalog.remove(session.id);
    app.store.forget_session(session.id);
    Ok(StatusCode::NO_CONTENT)
}
