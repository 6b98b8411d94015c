//! Recordings of sessions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::api::{Moment, Problem};
use baton_proto::ids::SessionId;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderValue, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{session_id, time};
use crate::access::Right;
use crate::app::App;
use crate::extract::{Filter, Id};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::recording::cast::Version;
use crate::recording::{Range, Recorder};

/// Longest file name, in characters, without its ending.
const FILE_NAME_MAX: usize = 64;

/// The query of `…/recording.cast`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordingQuery {
    /// Version of the format: 3 if nothing is said, or 2.
    version: Option<u8>,
    /// Where it begins: a cursor, or a time (RFC 3339). None = with the oldest output kept.
    from: Option<String>,
    /// Where it ends: a cursor, or a time. None = the newest output of now.
    to: Option<String>,
    /// Go on until the program ends.
    #[serde(default)]
    follow: bool,
    /// Shorten pauses to so many seconds.
    idle_max_s: Option<f64>,
}

/// A cursor, or a time.
fn moment(text: &str, name: &str) -> Outcome<Moment> {
    if let Ok(cursor) = text.parse() {
        return Ok(Moment::Cursor(cursor));
    }
    let bad =
        |_| Failure::invalid(format!("`{name}` is a cursor, or a time as RFC 3339 has it: `2026-11-21T14:03:00Z`"));
    time::parse(text, name).map(Moment::Time).map_err(bad)
}

impl RecordingQuery {
    pub(super) fn range(&self) -> Outcome<Range> {
        let version = match self.version {
            None | Some(3) => Version::V3,
            Some(2) => Version::V2,
            Some(_) => return Err(Failure::invalid("`version` is 3 or 2")),
        };
        if self.follow && self.to.is_some() {
            return Err(Failure::invalid("send `to` or `follow`, not both"));
        }
        let idle_max = match self.idle_max_s {
            None => None,
            Some(seconds) if (0.001..=1e6).contains(&seconds) => Some(Duration::from_secs_f64(seconds)),
            Some(_) => return Err(Failure::invalid("`idle_max_s` is from 0.001 to 1000000")),
        };
        Ok(Range {
            from: self.from.as_deref().map(|text| moment(text, "from")).transpose()?,
            to: self.to.as_deref().map(|text| moment(text, "to")).transpose()?,
            follow: self.follow,
            floor: None,
            typed: false,
            idle_max,
            version,
        })
    }
}

/// A recording (asciicast) of any range of a living or an ended session.
///
/// Unless it begins with the session, its first event draws the screen that was there. Resizes, marks (commands, failed
/// exits, notifications), typed bytes if the session records them, and in version 3 the exit status are events of their
/// own; a marker tells how many bytes are missing where output was not kept. Typed bytes are for persons who may type:
/// agents, viewers and share links get the recording without them.
#[utoipa::path(
    get, path = "/v1/terminal/sessions/{session_id}/recording.cast", tag = "terminal",
    params(("session_id" = SessionId, Path), RecordingQuery),
    responses(
        (status = 200, description = "the recording", content_type = "application/x-asciicast", body = String),
        (status = 410, body = Problem, content_type = "application/problem+json", description = "no longer kept"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "too many recordings"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn recording(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<RecordingQuery>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    let session = app.session(&principal, session_id(&id)?).await?;
    let mut range = query.range()?;
    range.floor = principal.floor(&session);
    range.typed = principal.reads_input();
    for (name, moment) in [("from", range.from), ("to", range.to)] {
        if let Some(Moment::Time(at_us)) = moment {
            time::within(&session, at_us, name).await?;
        }
    }
    let title = app.catalog.title(&session);
    let name = file_name(&title, session.id);
    let recorder = Recorder::begin(Arc::clone(&session), title, range).await?;
    let out_of_sight = async move { app.until_unseen(&principal, &session).await };
    let mut response = Body::from_stream(until(recorder.stream(), out_of_sight)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-asciicast"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.cast\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Breaks off when who asked may no longer see it.
fn until<S, F>(pieces: S, out_of_sight: F) -> impl Stream<Item = Outcome<Bytes>> + Send + 'static
where
    S: Stream<Item = Outcome<Bytes>> + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    try_unfold((Box::pin(pieces), Box::pin(out_of_sight)), |(mut pieces, mut out_of_sight)| async move {
        tokio::select! {
            biased;
            () = &mut out_of_sight => Err(Failure::no_session()),
            piece = pieces.next() => Ok(piece.transpose()?.map(|piece| (piece, (pieces, out_of_sight)))),
        }
    })
}

/// A name that is one on every system: letters, digits, `-`, `_` and dots inside.
fn file_name(title: &str, id: SessionId) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.') { char } else { '-' };
    let name: String = title.chars().map(plain).take(FILE_NAME_MAX).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { id.to_string() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_file_name_is_safe_whatever_the_title() {
        let id = SessionId::from_uuid(Uuid::nil());
        for (title, name) in [
            ("work", "work"),
            ("../../etc/passwd", "etc-passwd"),
            ("a \"b\"\r\nX: y", "a--b---X--y"),
            (".bashrc", "bashrc"),
            ("grün", "gr-n"),
        ] {
            assert_eq!(file_name(title, id), name);
        }
        assert_eq!(file_name("…", id), id.to_string());
        assert_eq!(file_name(&"x".repeat(500), id).len(), FILE_NAME_MAX);
    }

    #[test]
    fn places_are_cursors_or_times() {
        let cursor = "ins_00000000000000000000000000000007:12";
        assert!(matches!(moment(cursor, "from"), Ok(Moment::Cursor(cursor)) if cursor.offset == 12));
        let noon = time::parse("2026-11-21T12:00:00Z", "from").unwrap();
        for text in ["2026-11-21T12:00:00Z", "2026-11-21T13:00:00+01:00", "2026-11-21T13:00:00 01:00"] {
            assert_eq!(moment(text, "from").unwrap(), Moment::Time(noon), "{text}");
        }
        assert!(moment("noon", "from").unwrap_err().detail.contains("`from`"));
    }
}
