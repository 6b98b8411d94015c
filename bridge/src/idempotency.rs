//! `Idempotency-Key`: a mutation that is repeated gets the answer of the first time, for a day and per principal.
//!
//! An answer may hold what was asked for: it is kept sealed. Answers that carry secrets (`/v1/auth/…`) are not kept: those routes ignore the header. Of answers with what a terminal
//! showed (`exec`, `wait`), which may be secret and has no place in the database, only that they were given is kept. Nor is
//! what failed for a reason that passes (429, 5xx): a repeat may do better.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::LengthLimitError;
use sha2::{Digest as _, Sha256};

use crate::access::Principal;
use crate::app::App;
use crate::problem::{Failure, Outcome};
use crate::store::idempotency::{KeptAnswer, NOT_KEPT};

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Largest body of a mutation.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest answer that is kept.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Marks an answer that says where an approval is.
#[derive(Debug, Clone, Copy)]
pub struct Waits;

/// Keys of mutations that are being carried out.
#[derive(Debug, Clone, Default)]
pub struct InProgress(Arc<Mutex<HashSet<(String, String)>>>);

struct Guard {
    keys: InProgress,
    key: (String, String),
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl InProgress {
    fn enter(&self, key: (String, String)) -> Option<Guard> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        entered.then(|| Guard { keys: self.clone(), key })
    }
}

/// Carries a mutation out once.
pub async fn once(app: &App, principal: &Principal, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/v1/auth/") {
        return next.run(request).await;
    }
    match attempt(app, principal, request, next).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn attempt(app: &App, principal: &Principal, request: Request, next: Next) -> Outcome<Response> {
    let key = request.headers().get(HEADER).and_then(|key| key.to_str().ok()).map(str::to_owned);
    let key = key.filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let key = key.ok_or_else(|| Failure::invalid("`Idempotency-Key` must be 1 to 255 visible characters"))?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|err| too_large_or_broken(&err))?;
    let request_hash: [u8; 32] = Sha256::new()
        .chain_update(parts.method.as_str())
        .chain_update([0])
        .chain_update(parts.uri.to_string())
        .chain_update([0])
        .chain_update(&body)
        .finalize()
        .into();
    let request_hash = app.store.digest_of_request(request_hash);
    let busy =
        || Failure::new(ErrorCode::Busy, "the first request with this idempotency key is still being carried out");
    let guard = app.in_progress.enter((principal.id.clone(), key.clone())).ok_or_else(busy)?;
    if let Some(kept) = app.store.kept_answer(principal.id.clone(), key.clone()).await? {
        if kept.request_hash != request_hash {
            let detail = "this `Idempotency-Key` was used for another request; choose a new one";
            return Err(Failure::new(ErrorCode::IdempotencyMismatch, detail));
        }
        if kept.status == NOT_KEPT {
            let detail = "it was done, and the answer held what is shown once and not kept, a secret or a terminal's output: it \
                          is not done again; look at the session, or choose a new key to do it again";
            return Err(Failure::new(ErrorCode::IdempotencyMismatch, detail));
        }
        return Ok(replay(kept));
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let response = keep(app, principal, key, request_hash, response).await;
    drop(guard);
    response
}

fn too_large_or_broken(err: &axum::Error) -> Failure {
    let mut source = std::error::Error::source(err);
    while let Some(inner) = source {
        if inner.is::<LengthLimitError>() {
            return Failure::new(ErrorCode::TooLarge, "the body is larger than the 1 MiB this route takes");
        }
        source = inner.source();
    }
    Failure::invalid("the body broke off")
}

async fn keep(
    app: &App,
    principal: &Principal,
    key: String,
    request_hash: [u8; 32],
    response: Response,
) -> Outcome<Response> {
    let passes = response.status() == StatusCode::TOO_MANY_REQUESTS || response.status().is_server_error();
    // A failure is rendered further out, with an id of its own; a repeat fails anew.
    // What waits for a person is found by its key, as it is then.
    let waits = response.extensions().get::<Waits>().is_some();
    if passes || waits || response.extensions().get::<Failure>().is_some() {
        return Ok(response);
    }
    let secret = response.headers().get(header::CACHE_CONTROL).is_some_and(|value| value == "no-store");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX)
        .await
        .map_err(|_| Failure::new(ErrorCode::Internal, "the answer is too large to be kept for its idempotency key"))?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    // What must not be kept (`Cache-Control: no-store`).
    let answer = if secret && !body.is_empty() {
        KeptAnswer { request_hash, status: NOT_KEPT, content_type: None, body: Vec::new() }
    } else {
        KeptAnswer { request_hash, status: parts.status.as_u16(), content_type, body: body.to_vec() }
    };
    // It happened: an answer that could not be kept is given all the same.
    drop(app.store.keep_answer(principal.id.clone(), key, answer).await);
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(kept: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(kept.body)));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    if let Some(kind) = kept.content_type.and_then(|kind| HeaderValue::from_str(&kind).ok()) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}
