//! Queries, headers and bodies of anybody's making, as far as this crate reads them itself.

use std::net::IpAddr;

use axum::body::Body as HttpBody;
use axum::extract::{FromRequest as _, Query, Request};
use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, ExecRequest, InputRequest, ResizeBody, SessionPatch, SignalBody, WaitRequest};
use baton_proto::frame::DATA_BYTES_MAX;
use baton_proto::ids::{ClientId, Cursor, SessionId};
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::de::DeserializeOwned;

use super::{create, input, output, recording, screen, search, sessions, time, tokens};
use crate::access::origin::Names;
use crate::extract::Body;
use crate::problem::Outcome;
use crate::{clock, gate, keys};

/// Bytes of the longest sequence that a key sends.
const KEY_BYTES_MAX: usize = 16;

/// The bytes are a route, and its query as the server has it behind `?`; the same text is tried as whatever a query or a
/// header may hold.
///
/// # Panics
/// If a promise does not hold: that is what it is for.
pub fn any_query(data: &[u8]) {
    let Some((route, rest)) = data.split_first() else { return };
    if let Ok(text) = std::str::from_utf8(rest) {
        words(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(rest) {
        headers(&value);
    }
    let Ok(uri) = Uri::try_from([b"/?".as_slice(), rest].concat()) else { return };
    match route % 8 {
        0 => {
            if let Some(query) = query::<recording::RecordingQuery>(&uri)
                && let Ok(range) = query.range()
            {
                assert!(!(range.follow && range.to.is_some()));
                assert!(range.idle_max.is_none_or(|most| (1..=1_000_000_000).contains(&most.as_millis())));
            }
        }
        1 => drop(query::<search::SearchQuery>(&uri)),
        2 => drop(query::<output::OutputQuery>(&uri)),
        3 => drop(query::<screen::SnapshotQuery>(&uri)),
        4 => drop(query::<sessions::ListQuery>(&uri)),
        5 => drop(query::<sessions::EventsQuery>(&uri)),
        6 => drop(query::<tokens::ListQuery>(&uri)),
        _ => drop(query::<crate::ws::stream::StreamQuery>(&uri)),
    }
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Option<T> {
    Query::<T>::try_from_uri(uri).ok().map(|Query(query)| query)
}

/// Times, cursors, ids, keys.
fn words(text: &str) {
    match (time::parse(text, "at"), time::parse_whole(text, "at")) {
        (Ok(at), Ok(whole)) => {
            assert!(whole >= at && whole - at < 1000);
            let told = clock::rfc3339(at);
            assert_eq!(clock::parse_rfc3339(&told), Some(at - at % 1000), "{text:?} was told as {told}");
        }
        (Err(one), Err(other)) => assert_eq!((one.code, other.code), (ErrorCode::Invalid, ErrorCode::Invalid)),
        (one, other) => panic!("{text:?}: {one:?}, {other:?}"),
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(session) = text.parse::<SessionId>() {
        assert_eq!(session.to_string().parse(), Ok(session));
    }
    if let Ok(client) = text.parse::<ClientId>() {
        assert_eq!(client.to_string().parse(), Ok(client));
    }
    for application in [false, true] {
        let mut typed = Vec::new();
        match keys::encode(text, application, &mut typed) {
            Ok(()) => assert!((1..=KEY_BYTES_MAX).contains(&typed.len()), "{text:?} types {}", typed.escape_ascii()),
            Err(err) => assert!(typed.is_empty() && err.to_string().len() < 512, "{text:?}"),
        }
    }
    if let Ok(title) = create::check_title(text) {
        is_title(&title);
        assert_eq!(create::check_title(&title).ok(), Some(title));
    }
    is_title(&create::default_title(text));
}

fn is_title(title: &str) {
    assert!(
        !title.is_empty() && title.chars().count() <= 120 && !title.chars().any(baton_proto::hidden::is_hidden),
        "{title:?}"
    );
}

/// `Host`, `Origin`, and the subprotocols of a WebSocket.
fn headers(value: &HeaderValue) {
    let names = Names { port: 7420, allowed: vec!["baton.example".to_owned()] };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value.clone());
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value.clone());
    let (root, host) = (Uri::from_static("/"), value.to_str().unwrap_or_default());
    let allowed = names.check(&headers, &root, true).is_ok();
    if allowed {
        // What passes is a name of loopback with the port, or the configured one: nobody else's name.
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let local = name == "localhost" || name.ends_with(".localhost") || address;
        assert!(local || name == "baton.example", "`{host}` was let in");
    }
    for protocol in gate::subprotocols(&headers) {
        assert!(protocol.len() <= value.len() && !protocol.contains(','));
    }
    // Another page's origin is refused whatever it says of itself, over either way in.
    headers.insert(header::HOST, HeaderValue::from_static("localhost:7420"));
    headers.insert(header::ORIGIN, value.clone());
    if names.check(&headers, &root, false).is_ok() {
        assert!(host.to_ascii_lowercase().contains("://localhost:7420"), "the origin `{host}` was let in");
    }
}

/// The bytes are a route, and the body of a request to it.
///
/// # Panics
/// If a promise does not hold: that is what it is for.
pub fn any_body(data: &[u8]) {
    let Some((route, json)) = data.split_first() else { return };
    match route % 8 {
        0 => {
            if let Some(request) = body::<CreateTerminal>(json) {
                if let Ok((_, size)) = create::initial_size(&request) {
                    assert!(size.is_valid());
                }
                if sessions::check_labels(&request.labels).is_ok() {
                    assert!(request.labels.len() <= 64 && request.labels.keys().all(|key| key.len() <= 256));
                }
                if let Some(program) = request.command.as_ref().and_then(|command| command.first()) {
                    is_title(&create::default_title(program));
                }
            }
        }
        1 => {
            if let Some(request) = body::<InputRequest>(json) {
                for application in [false, true] {
                    if let Ok(bytes) = input::bytes_of(&request, application) {
                        assert!(bytes.len() <= DATA_BYTES_MAX as usize);
                    }
                }
            }
        }
        2 => {
            if let Some(patch) = body::<SessionPatch>(json)
                && let Some(size) = &patch.size
            {
                drop(sessions::policy(size));
            }
        }
        3 => drop(body::<ExecRequest>(json)),
        4 => {
            if let Some(request) = body::<WaitRequest>(json) {
                let _ = crate::wait::is_answerable(&request);
            }
        }
        5 => drop(body::<tokens::TokenRequest>(json)),
        6 => drop(body::<ResizeBody>(json)),
        _ => drop(body::<SignalBody>(json)),
    }
}

/// Reads a body as a route does.
fn body<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(HttpBody::from(json.to_vec())).ok()?;
    // It has no I/O to wait for; the time-out wants a runtime.
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(err) => panic!("no runtime: {err}"),
        };
    }
    let read: Outcome<Body<T>> = RUNTIME.with(|runtime| runtime.block_on(Body::<T>::from_request(request, &())));
    match read {
        Ok(Body(value)) => Some(value),
        Err(failure) => {
            assert!(!failure.detail.is_empty());
            None
        }
    }
}
