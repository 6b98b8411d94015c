//! Searching a session's output.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::api::{Problem, SearchAnswer};
use baton_proto::ids::{Cursor, SessionId};
use http::{HeaderValue, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::session_id;
use crate::access::Right;
use crate::app::App;
use crate::extract::{Filter, Id, bounded};
use crate::gate::Known;
use crate::problem::Outcome;
use crate::search::{CONTEXT_MAX, LIMIT_DEFAULT, LIMIT_MAX, Query, pattern, run};

/// Whether letters of another case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// They differ.
    #[default]
    Sensitive,
    /// They are the same.
    Ignore,
}

/// The query of `…/search`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// What is looked for within a line: a text, or with `regex=true` a regular expression; at most 1024 bytes.
    q: String,
    /// `q` is a regular expression (of Rust's `regex` crate).
    #[serde(default)]
    regex: bool,
    /// Whether case matters; it does if nothing is said.
    #[serde(default)]
    #[param(inline)]
    case: Case,
    /// Lines before and after each hit, at most 50; none if nothing is said.
    context: Option<usize>,
    /// Where to begin: `next_cursor` of the page before, or any cursor; none = the oldest line kept.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Most hits, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
}

/// Lines in which something is found, as they were shown, oldest first, through everything that is kept of a living or an
/// ended session's output. A page ends at `limit` hits, at 4 MiB of text or after 10 s of CPU time; `next_cursor` goes on.
#[utoipa::path(
    get, path = "/v1/terminal/sessions/{session_id}/search", tag = "terminal",
    params(("session_id" = SessionId, Path), SearchQuery),
    responses(
        (status = 200, body = SearchAnswer, headers(
            ("Baton-Cursor" = String, description = "where the first line begins that had not ended: search from here for what is new"),
        )),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "no longer kept"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "too many searches"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn search(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<SearchQuery>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    let query = Query {
        pattern: pattern(&query.q, query.regex, query.case == Case::Ignore)?,
        context: bounded("context", query.context, 0..=CONTEXT_MAX)?.unwrap_or(0),
        limit: bounded("limit", query.limit, 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
        cursor: query.cursor,
        floor: principal.floor(&session).unwrap_or(0),
    };
    let found = run(&session, query).await?;
    let mut response = Json(found.answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(cursor) = HeaderValue::from_str(&found.resume.to_string()) {
        headers.insert("baton-cursor", cursor);
    }
    Ok(response)
}
