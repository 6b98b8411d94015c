//! The screen: now, at a place of the output, or at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{Problem, SnapshotFormat};
use baton_proto::ids::{Cursor, SessionId};
use baton_proto::v1::{ScreenAt, ScreenFormat, SnapshotRequest};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{session_id, time};
use crate::access::Right;
use crate::app::App;
use crate::clock;
use crate::extract::{Filter, Id};
use crate::gate::Known;
use crate::hub::screens::Drawn;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};

const CURSOR: HeaderName = HeaderName::from_static("baton-cursor");
const COLS: HeaderName = HeaderName::from_static("baton-cols");
const ROWS: HeaderName = HeaderName::from_static("baton-rows");
const AT: HeaderName = HeaderName::from_static("baton-at");
const APPROXIMATE: HeaderName = HeaderName::from_static("baton-approximate");

/// A screen as a document of its own runs nothing and fetches nothing; its colours are style attributes.
const HTML_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
);

/// The query of `…/snapshot`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SnapshotQuery {
    /// In which form: `ansi` (terminal bytes, when not given), `text`, `html` or `json`.
    #[serde(default)]
    #[param(inline)]
    format: SnapshotFormat,
    /// As it was at this place of the output; with neither this nor `at`: as it is now.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// As it was at this time (RFC 3339) in the session's life; after the program's end it is the last screen.
    at: Option<String>,
    /// Lines above the screen that come first, at most 10,000; those no longer kept are left out.
    scrollback: Option<u32>,
}

impl SnapshotQuery {
    fn request(&self, session: &Session) -> Outcome<SnapshotRequest> {
        let at = match (self.cursor, self.at.as_deref()) {
            (Some(_), Some(_)) => return Err(Failure::invalid("send `cursor` or `at`, not both")),
            (Some(cursor), None) if cursor.instance != session.instance() => {
                let detail = "this cursor is of an earlier life of the session's program";
                let oldest = Some(session.cursor(session.live().oldest_screen));
                return Err(Failure { oldest, ..Failure::new(ErrorCode::CursorTrimmed, detail) });
            }
            (Some(cursor), None) => ScreenAt::Offset(cursor.offset),
            (None, Some(text)) => ScreenAt::Time(time::parse_whole(text, "at")?),
            (None, None) => ScreenAt::Head,
        };
        let history = self.scrollback.unwrap_or(0);
        if history > SnapshotRequest::HISTORY_MAX {
            return Err(Failure::invalid("`scrollback` is at most 10000 lines"));
        }
        let format = match self.format {
            SnapshotFormat::Ansi => ScreenFormat::Ansi,
            SnapshotFormat::Text => ScreenFormat::Text,
            SnapshotFormat::Html => ScreenFormat::Html,
            SnapshotFormat::Json => ScreenFormat::Json,
        };
        Ok(SnapshotRequest { at, format, history })
    }
}

/// The screen as it is, as it was at a cursor, or at a time; of an ended session too. The body is the screen's bytes.
///
/// The screen is that of the last place, at or before the one asked for, where no escape sequence or character is half
/// written: `Baton-Cursor` names it, and the stream goes on from there.
#[utoipa::path(
    get, path = "/v1/terminal/sessions/{session_id}/snapshot", tag = "terminal",
    params(("session_id" = SessionId, Path), SnapshotQuery),
    responses(
        (status = 200, description = "the screen", headers(
            ("Baton-Cursor" = String, description = "it is the screen at this place; the stream goes on from here"),
            ("Baton-Cols" = u16, description = "the terminal's columns there"),
            ("Baton-Rows" = u16, description = "the terminal's rows there"),
            ("Baton-At" = String, description = "when the output before it came, RFC 3339"),
            ("Baton-Approximate" = Option<bool>, description = "`true`: output before it was never kept, so that it is as good as what is left"),
        ), content(
            (Vec<u8> = "application/octet-stream"),
            (String = "text/plain"),
            (String = "text/html"),
            (serde_json::Value = "application/json"),
        )),
        (status = 410, body = Problem, content_type = "application/problem+json",
         description = "`cursor_trimmed`: no screen can be drawn there any more; `oldest_cursor` is the oldest that can"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn snapshot(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<SnapshotQuery>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    principal.need_screens()?;
    let request = query.request(&session)?;
    if let ScreenAt::Time(at_us) = request.at {
        time::within(&session, at_us, "at").await?;
    }
    let drawn = session.snapshot(request).await?;
    let mut response = drawn.payload().into_response();
    let headers = response.headers_mut();
    describe(headers, &session, &drawn);
    let kind = match query.format {
        SnapshotFormat::Ansi => HeaderValue::from_static("application/octet-stream"),
        SnapshotFormat::Text => HeaderValue::from_static("text/plain; charset=utf-8"),
        SnapshotFormat::Html => HeaderValue::from_static("text/html; charset=utf-8"),
        SnapshotFormat::Json => HeaderValue::from_static("application/json"),
    };
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_SECURITY_POLICY, HTML_POLICY);
    Ok(response)
}

fn describe(headers: &mut HeaderMap, session: &Session, drawn: &Drawn) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(COLS, HeaderValue::from(drawn.size.cols));
    headers.insert(ROWS, HeaderValue::from(drawn.size.rows));
    let texts = [(CURSOR, session.cursor(drawn.offset).to_string()), (AT, clock::rfc3339(drawn.wall_us))];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    if drawn.approximate {
        headers.insert(APPROXIMATE, HeaderValue::from_static("true"));
    }
}
