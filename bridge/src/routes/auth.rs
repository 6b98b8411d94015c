//! Logging in and out, and login links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{Link, LinkRequest, LoginAnswer, LoginRequest, Principal, Problem};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::access::Right;
use crate::access::logins::{LOGIN_TTL_S, cookie, cookie_name};
use crate::access::tokens::{hash, mint};
use crate::app::App;
use crate::clock;
use crate::extract::{Body, Id};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::store::links::LinkRow;
use crate::store::logins::LoginRow;

/// How long a login link works, in seconds.
const LINK_TTL_S: u64 = 60;

fn no_randomness(err: std::io::Error) -> Failure {
    Failure::new(ErrorCode::Internal, format!("the kernel gives no randomness: {err}"))
}

/// Signs a browser in with a token or with the code of a login link: sets a cookie and answers its key. Both are needed
/// from then on: the cookie goes by itself, the key into `X-Baton-Key` and the subprotocol `baton.key.<k>`.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "access", request_body = LoginRequest, security(()),
    responses((status = 200, body = LoginAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn login(State(app): State<Arc<App>>, Body(request): Body<LoginRequest>) -> Outcome<Response> {
    let refused = || {
        let detail = "the token or code is not good; a login link works once and for 60 s (`baton open` makes one)";
        Failure::new(ErrorCode::Unauthenticated, detail)
    };
    let principal = match (request.token, request.code) {
        (Some(token), None) => app.tokens.principal(token.trim()),
        (None, Some(code)) => app.store.use_link(hash(code.trim())).await?.and_then(|id| app.tokens.by_id(&id)),
        _ => return Err(Failure::invalid("send exactly one of `token` and `code`")),
    };
    let Some(principal) = principal else {
        app.failures.check(None)?;
        return Err(refused());
    };
    let (cookie, key) = (mint().map_err(no_randomness)?, mint().map_err(no_randomness)?);
    let now = clock::now_us();
    let row = LoginRow {
        cookie_hash: hash(&cookie),
        key_hash: hash(&key),
        token_id: principal.id.clone(),
        created_us: now,
        expires_us: now + LOGIN_TTL_S * 1_000_000,
    };
    app.logins.add(row.clone());
    // Not on disk it lasts as long as the bridge.
    drop(app.store.add_login(row).await);
    let mut response = Json(LoginAnswer { key, principal: principal.shown() }).into_response();
    let name = cookie_name(app.names.port);
    set_cookie(&mut response, &format!("{name}={cookie}; Path=/; Max-Age={LOGIN_TTL_S}; HttpOnly; SameSite=Strict"));
    Ok(response)
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Ends the login that this request's cookie belongs to.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "access",
    responses((status = 204, description = "signed out")),
)]
pub async fn logout(State(app): State<Arc<App>>, _: Known, headers: HeaderMap) -> Outcome<Response> {
    let name = cookie_name(app.names.port);
    if let Some(cookie) = cookie(&headers, &name) {
        app.logins.remove(cookie);
        app.store.remove_login(hash(cookie)).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    Ok(response)
}

/// Who this request comes from.
#[utoipa::path(get, path = "/v1/auth/me", tag = "access", responses((status = 200, body = Principal)))]
pub async fn me(Known(principal): Known) -> Json<Principal> {
    Json(principal.shown())
}

/// Makes a link that signs in as the caller, once, within 60 s. Its code sits in the fragment, which browsers never send.
#[utoipa::path(
    post, path = "/v1/auth/links", tag = "access", request_body = LinkRequest,
    responses((status = 201, body = Link), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn create_link(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Body(request): Body<LinkRequest>,
) -> Outcome<Response> {
    principal.need(Right::Observe)?;
    if let Some(id) = request.session_id {
        app.session(&principal, id).await?;
    }
    let code = mint().map_err(no_randomness)?;
    let expires_us = clock::now_us() + LINK_TTL_S * 1_000_000;
    let id = format!("lnk_{}", Uuid::now_v7().simple());
    app.store
        .add_link(LinkRow {
            id: id.clone(),
            code_hash: hash(&code),
            token_id: principal.id,
            session_id: request.session_id.map(|id| id.to_string()),
            expires_us,
        })
        .await?;
    let session = request.session_id.map(|id| format!("&session={id}")).unwrap_or_default();
    let link = Link { id, url: format!("{}/#code={code}{session}", app.url), expires_at: clock::rfc3339(expires_us) };
    let mut response = (StatusCode::CREATED, Json(link)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Takes a link back.
#[utoipa::path(
    delete, path = "/v1/auth/links/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204, description = "gone"), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn delete_link(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<StatusCode> {
    let whose = (!principal.has(Right::Admin)).then_some(principal.id);
    if app.store.remove_link(id, whose).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::new(ErrorCode::NotFound, "there is no such link"))
    }
}
