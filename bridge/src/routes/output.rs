//! Reading and waiting: raw output from a cursor, and the end of a wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{Problem, WaitAnswer, WaitRequest};
use baton_proto::ids::{Cursor, SessionId};
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::input::unkept;
use super::{session_id, time};
use crate::access::Right;
use crate::app::App;
use crate::extract::{Body, Filter, Id, bounded};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::tail::output_of;
use crate::wait;

/// Most bytes of one answer.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Bytes of records read from the journal at once.
const RANGE_BYTES: u32 = 256 << 10;

const CURSOR: HeaderName = HeaderName::from_static("baton-cursor");
const LOST: HeaderName = HeaderName::from_static("baton-lost");

/// Waits until any of the conditions holds.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/wait", tag = "terminal", params(("session_id" = SessionId, Path)),
    request_body = WaitRequest,
    responses((status = 200, body = WaitAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn wait(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<WaitRequest>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    if let Some(cursor) = request.until.cursor.filter(|cursor| cursor.instance == session.instance()) {
        principal.need_from(&session, cursor.offset)?;
    }
    tokio::select! {
        () = app.until_unseen(&principal, &session) => Err(Failure::no_session()),
        answer = wait::run(&session, &request) => answer.map(|answer| unkept(Json(answer))),
    }
}

/// The query of `…/output`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// Where to begin; none = the oldest byte kept.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// Begin with what came after this time (RFC 3339) instead.
    at: Option<String>,
    /// Most bytes, from 1 to 1048576, which it is if nothing is said.
    limit: Option<usize>,
}

/// Raw output from a cursor on. `Baton-Cursor` names the place after it; `Baton-Lost` how many bytes between the cursor
/// asked for and the first byte answered are missing: they were never kept, or are damaged. The bytes of an answer follow each
/// other; where more is missing, the answer ends, and the next one says how much.
#[utoipa::path(
    get, path = "/v1/terminal/sessions/{session_id}/output", tag = "terminal",
    params(("session_id" = SessionId, Path), OutputQuery),
    responses(
        (status = 200, description = "the bytes", content_type = "application/octet-stream", body = Vec<u8>,
         headers(
            ("Baton-Cursor" = String, description = "the place after these bytes"),
            ("Baton-Lost" = Option<u64>, description = "bytes missing before them"),
         )),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "no longer kept"),
    ),
)]
pub async fn output(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<OutputQuery>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    let limit = bounded("limit", query.limit, 1..=OUTPUT_BYTES_MAX)?.unwrap_or(OUTPUT_BYTES_MAX);
    let from = match query.cursor {
        Some(_) if query.at.is_some() => return Err(Failure::invalid("send `cursor` or `at`, not both")),
        Some(cursor) if cursor.instance != session.instance() => {
            let failure =
                Failure::new(ErrorCode::CursorTrimmed, "this cursor is of an earlier life of the session's program");
            return Err(Failure { oldest: Some(session.cursor(session.live().oldest)), ..failure });
        }
        Some(cursor) => cursor.offset,
        None => match &query.at {
            Some(text) => session.locate(time::parse_whole(text, "at")?).await?.offset,
            None => session.inspect().await?.oldest.max(principal.floor(&session).unwrap_or(0)),
        },
    };
    principal.need_from(&session, from)?;
    let (mut place, mut lost, mut bytes) = (from, 0, Vec::new());
    while bytes.len() < limit {
        let (range, records) = match session.read_range(place, RANGE_BYTES).await {
            Ok(answer) => answer,
            // Trimmed while it was read: what was read is the answer.
            Err(failure) if failure.code == ErrorCode::CursorTrimmed && !bytes.is_empty() => break,
            Err(failure) => return Err(failure),
        };
        if place > range.head {
            return Err(Failure::invalid("`cursor` lies beyond the output so far"));
        }
        let (start, mut new) = output_of(&records, place, u64::MAX);
        // Whatever lies before what there is, is nowhere. It is told before what follows it, never in between.
        let missing = if new.is_empty() { range.next } else { start }.saturating_sub(place);
        if missing > 0 {
            if !bytes.is_empty() {
                break;
            }
            lost += missing;
            place += missing;
        }
        if new.is_empty() {
            if missing > 0 {
                continue;
            }
            break;
        }
        new.truncate(limit - bytes.len());
        place = start + new.len() as u64;
        bytes.extend(new);
    }
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(cursor) = HeaderValue::from_str(&session.cursor(place).to_string()) {
        headers.insert(CURSOR, cursor);
    }
    if lost > 0 {
        headers.insert(LOST, HeaderValue::from(lost));
    }
    Ok(response)
}
