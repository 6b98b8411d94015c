//! The way into every request: `Host` and `Origin`, who it is, how much they ask.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::KEY_SUBPROTOCOL_PREFIX;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use http::{HeaderMap, Method, header};

use crate::access::Principal;
use crate::access::logins::{cookie, cookie_name};
use crate::access::proxies::Face;
use crate::app::App;
use crate::audit::{Action, Actor, Details, Entry, Verdict};
use crate::idempotency;
use crate::problem::{Failure, Outcome};

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP, from this address.
    Tcp(IpAddr),
    /// Over `bridge.sock`.
    Unix,
}

/// Who is behind the request, if anybody we know.
#[derive(Debug, Clone)]
pub struct Caller(pub Option<Principal>);

/// Extracts a principal; refuses a request without one.
#[derive(Debug, Clone)]
pub struct Known(pub Principal);

fn unauthenticated() -> Failure {
    let detail = "send `Authorization: Bearer <token>` (the owner's token is in the file that `baton status` names), \
                  or sign in and send the cookie and `X-Baton-Key`";
    Failure::new(ErrorCode::Unauthenticated, detail)
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.extensions.get::<Caller>() {
            Some(Caller(Some(principal))) => Ok(Self(principal.clone())),
            _ => Err(unauthenticated()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self(None)))
    }
}

/// What may be had without a token: health, login, the page's own files and `/docs`.
fn is_public(path: &str) -> bool {
    let api = path.starts_with("/v1/") || path == "/v1" || path == "/metrics";
    !api || matches!(path, "/v1/health" | "/v1/auth/login")
}

/// Checks a request and hands it on with its principal.
pub async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    app.counters.requests.fetch_add(1, Ordering::Relaxed);
    let (principal, face) = match check(&app, &request) {
        Ok(checked) => checked,
        Err(failure) => return failure.into_response(),
    };
    request.extensions_mut().insert(Caller(principal.clone()));
    request.extensions_mut().insert(face);
    let mutates = matches!(*request.method(), Method::POST | Method::PATCH | Method::PUT | Method::DELETE);
    let Some(principal) = principal else { return next.run(request).await };
    if mutates && request.headers().contains_key(idempotency::HEADER) {
        return idempotency::once(&app, &principal, request, next).await;
    }
    // What only waits or reads ends with the token it was asked with; what is being carried out is carried out.
    if mutates && !request.uri().path().ends_with("/wait") {
        return next.run(request).await;
    }
    tokio::select! {
        response = next.run(request) => while_good(app, principal, response),
        () = app.until_revoked(&principal) => unauthenticated().into_response(),
    }
}

/// Breaks a body off that is still being written when its reader's token has become worthless.
fn while_good(app: Arc<App>, principal: Principal, response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let revoked = Box::pin(async move { app.until_revoked(&principal).await });
    let pieces = try_unfold((body.into_data_stream(), revoked), |(mut pieces, mut revoked)| async move {
        tokio::select! {
            piece = pieces.next() => Ok(piece.transpose()?.map(|piece| (piece, (pieces, revoked)))),
            () = &mut revoked => Err(axum::Error::new(unauthenticated())),
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

fn check(app: &App, request: &Request) -> Outcome<(Option<Principal>, Face)> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::Unix);
    app.proxies.admit(peer)?;
    app.names.check(request.headers(), request.uri(), peer != Peer::Unix)?;
    let face = app.proxies.face(peer, request.headers());
    let public = is_public(request.uri().path());
    let upgrade =
        request.headers().get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match authenticate(app, request.headers()) {
        // Who is known has a limit of its own: neighbours at one address, or behind one proxy, do not use each other's up.
        Ok(Some(principal)) => {
            match face.address.filter(|_| public) {
                Some(address) => app.by_address.check(address)?,
                None if public => {}
                None => app.by_principal.check(principal.id.clone())?,
            }
            Ok((Some(principal), face))
        }
        outcome => {
            if let Some(address) = face.address {
                app.by_address.check(address)?;
            }
            if outcome.is_err() {
                if shows_token(request.headers()) {
                    bad_token(app, face.address);
                }
                // Guessing is slowed down per address; whoever has the right token is not.
                app.failures.check(face.address)?;
            }
            // A browser sees no status of a refused upgrade: WebSockets are told by their close code.
            if public || (upgrade && request.method() == Method::GET) {
                Ok((None, face))
            } else {
                Err(unauthenticated())
            }
        }
    }
}

/// Whether there is a token in the headers at all. A client that reads the owner's file while it is being made has none yet.
fn shows_token(headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
    value.split(|byte| *byte == b' ').skip(1).any(|part| !part.is_empty())
}

/// Records that somebody came with a token that is none; of a flood how many.
fn bad_token(app: &App, address: Option<IpAddr>) {
    let from = address.map_or_else(|| "bridge.sock".to_owned(), |address| address.to_string());
    app.audit.seldom(&from, |from| {
        let entry = Entry::new(Actor::nobody(), Action::TokenUse).details(Details::none().text("from", from));
        entry.verdict(Verdict::Denied(ErrorCode::Unauthenticated))
    });
}

/// Who the headers prove; an error when they try and fail.
fn authenticate(app: &App, headers: &HeaderMap) -> Outcome<Option<Principal>> {
    let bearer = headers.get(header::AUTHORIZATION);
    if let Some(bearer) = bearer {
        let token = bearer.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        return match token.and_then(|token| app.tokens.principal(token)) {
            Some(principal) => Ok(Some(principal)),
            None => Err(unauthenticated()),
        };
    }
    let Some(key) = login_key(headers) else { return Ok(None) };
    let cookie = cookie(headers, &cookie_name(app.names.port));
    let (token_id, login) = cookie.and_then(|cookie| app.logins.token_id(cookie, key)).ok_or_else(unauthenticated)?;
    let principal = app.principal(&token_id).ok_or_else(unauthenticated)?;
    Ok(Some(Principal { login: Some(login), ..principal }))
}

/// The key of a login: a header, or for WebSockets (which can't set headers) a subprotocol.
fn login_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-baton-key") {
        return key.to_str().ok();
    }
    subprotocols(headers).find_map(|protocol| protocol.strip_prefix(KEY_SUBPROTOCOL_PREFIX))
}

/// The subprotocols a client offers.
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}
