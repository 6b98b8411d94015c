//! Logging in and out, and links: those that sign in, and those that share a session.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use baton_proto::ErrorCode;
use baton_proto::api::{Link, LinkKind, LinkRequest, LoginAnswer, LoginRequest, Principal, Problem, ShareFrom};
use baton_proto::ids::Cursor;
use baton_proto::v1::Class;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::access::logins::{LOGIN_TTL_S, cookie_name};
use crate::access::proxies::{Face, TAILSCALE_PREFIX, base_url};
use crate::access::shares::Boundary;
use crate::access::tokens::{hash, mint};
use crate::access::{self, Right};
use crate::app::App;
use crate::audit::{Action, Actor, Details, Entry};
use crate::clock;
use crate::extract::{Body, Id, bounded};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::store;
use crate::store::links::LinkRow;
use crate::store::logins::LoginRow;

/// How long a login link works, in seconds.
const LINK_TTL_S: u64 = 60;
/// How long a share link works if nothing is said, and at most, in seconds.
const SHARE_TTL_S: u64 = 86_400;
const SHARE_TTL_MAX_S: u64 = 30 * 86_400;
/// Share links of one token at a time.
const SHARES_MAX: usize = 1000;

fn no_randomness(err: std::io::Error) -> Failure {
    Failure::new(ErrorCode::Internal, format!("the kernel gives no randomness: {err}"))
}

/// Signs a browser in with a token or with the code of a link: sets a cookie and answers its key. Both are needed
/// from then on: the cookie goes by itself, the key into `X-Baton-Key` and the subprotocol `baton.key.<k>`.
///
/// With neither it signs in whom `tailscale serve` names, where `server.tailscale` says so.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "access", request_body = LoginRequest, security(()),
    responses((status = 200, body = LoginAnswer), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn login(
    State(app): State<Arc<App>>,
    Extension(face): Extension<Face>,
    Body(request): Body<LoginRequest>,
) -> Outcome<Response> {
    let refused = || {
        let detail = "the token or code is not good; a login link works once and for 60 s (`baton open` makes one), a share \
                      link until it expires or is taken back";
        Failure::new(ErrorCode::Unauthenticated, detail)
    };
    let by = match (&request.token, &request.code) {
        (Some(_), _) => "token",
        (None, Some(_)) => "code",
        (None, None) => "tailscale",
    };
    let entry = |actor: Actor| Entry::new(actor, Action::Login).details(Details::none().text("by", by));
    let mut link = None;
    let principal = match (request.token, request.code, face.tailscale) {
        (Some(token), None, _) => app.tokens.principal(token.trim()),
        (None, Some(code), _) => {
            let code = hash(code.trim());
            let id = match app.shares.by_code(code) {
                Some(id) => Some(id),
                None => app.store.use_link(code).await?.map(|(by, token_id)| {
                    link = Some(by);
                    token_id
                }),
            };
            id.and_then(|id| app.principal(&id))
        }
        (None, None, Some(login)) => app.principal(&format!("{TAILSCALE_PREFIX}{login}")),
        _ => return Err(Failure::invalid("send exactly one of `token` and `code`")),
    };
    let Some(principal) = principal else {
        app.failures.check(face.address)?;
        app.audit.refused(entry(Actor::nobody()), ErrorCode::Unauthenticated).await;
        return Err(refused());
    };
    let (cookie, key) = (mint().map_err(no_randomness)?, mint().map_err(no_randomness)?);
    let now = clock::now_us();
    let expires_us = (now + LOGIN_TTL_S * 1_000_000).min(principal.expires_us.unwrap_or(u64::MAX));
    let row = LoginRow {
        cookie_hash: hash(&cookie),
        key_hash: hash(&key),
        token_id: principal.id.clone(),
        created_us: now,
        expires_us,
    };
    // Nobody signs in without a record of it.
    let kept = row.clone();
    let entry = entry(Actor::from(&principal));
    app.audit.with(entry, move |connection| store::logins::add(connection, &kept)).await?;
    if app.logins.add(row, link) {
        app.revoked.send_replace(());
    }
    let mut response = Json(LoginAnswer { key, principal: principal.shown() }).into_response();
    let name = cookie_name(app.names.port);
    let ttl_s = expires_us.saturating_sub(now).div_ceil(1_000_000);
    let secure = if face.https { "; Secure" } else { "" };
    set_cookie(&mut response, &format!("{name}={cookie}; Path=/; Max-Age={ttl_s}; HttpOnly; SameSite=Strict{secure}"));
    Ok(response)
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Ends the login that this request came with, and what was opened with it: sockets, waits, recordings.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "access",
    responses((status = 204, description = "signed out")),
)]
pub async fn logout(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Response> {
    let name = cookie_name(app.names.port);
    // A cookie without its key says nothing of who sends it: nobody is signed out by it.
    if let Some(login) = principal.login {
        app.logins.remove(login);
        app.revoked.send_replace(());
        let entry = Entry::new(&principal, Action::Logout);
        app.audit.with(entry, move |connection| store::logins::remove(connection, login)).await?;
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

/// Makes a link. `login` signs in as the caller, once, within 60 s. `share` shows one session and nothing else to whoever
/// has it, until it expires, is taken back, or the token it was made with is gone. Its code sits in the fragment, which
/// browsers never send.
#[utoipa::path(
    post, path = "/v1/auth/links", tag = "access", request_body = LinkRequest,
    responses((status = 201, body = Link), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn create_link(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    face: Option<Extension<Face>>,
    headers: HeaderMap,
    Body(request): Body<LinkRequest>,
) -> Outcome<Response> {
    let made = make_link(&app, &principal, &request).await;
    let (row, code) = match made {
        Ok(made) => made,
        Err(failure) => {
            app.audit.refused(Entry::new(&principal, Action::LinkCreate), failure.code).await;
            return Err(failure);
        }
    };
    let session_id = row.session_id.map(|id| id.to_string());
    let (kind, name) = match row.kind {
        LinkKind::Login => ("login", "code"),
        LinkKind::Share => ("share", "share"),
    };
    let details = Details::none()
        .text("kind", kind)
        .maybe("session_id", session_id.as_deref())
        .maybe("from", row.from.map(|from| Cursor { instance: from.instance, offset: from.offset }.to_string()));
    let entry = Entry::new(&principal, Action::LinkCreate).subject(&row.id).details(details);
    let kept = row.clone();
    app.audit.with(entry, move |connection| store::links::add(connection, &kept)).await?;
    let session = session_id.map(|id| format!("&session={id}")).unwrap_or_default();
    let base = base_url(face.as_deref(), &headers, &app.url);
    let link = Link {
        id: row.id.clone(),
        url: format!("{base}/#{name}={code}{session}"),
        expires_at: clock::rfc3339(row.expires_us),
    };
    if row.kind == LinkKind::Share {
        app.shares.add(row);
    }
    let mut response = (StatusCode::CREATED, Json(link)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The link that is asked for, if the caller may have it, and its code.
async fn make_link(app: &App, principal: &access::Principal, request: &LinkRequest) -> Outcome<(LinkRow, String)> {
    principal.need_account()?;
    principal.need(Right::Observe)?;
    let mut from = None;
    let ttl_s = match request.kind {
        LinkKind::Login => {
            if request.from.is_some() || request.ttl_s.is_some() {
                return Err(Failure::invalid("`from` and `ttl_s` are for share links"));
            }
            if let Some(id) = request.session_id {
                app.session(principal, id).await?;
            }
            LINK_TTL_S
        }
        LinkKind::Share => {
            // To show a session to others is more than to see it.
            principal.need(Right::Control)?;
            if principal.class() == Class::Agent {
                return Err(Failure::new(ErrorCode::Forbidden, "an agent shares nothing: let a person make the link"));
            }
            let id = request.session_id.ok_or_else(|| Failure::invalid("`session_id` says which session is shared"))?;
            let session = app.session(principal, id).await?;
            if app.shares.count_of(&principal.id) >= SHARES_MAX {
                let detail = "there are 1000 share links of this token; take some back, or let them expire";
                return Err(Failure::new(ErrorCode::Busy, detail));
            }
            if request.from != Some(ShareFrom::Start) {
                let (instance, seq) = (session.instance(), app.events.newest());
                from = Some(Boundary { instance, offset: session.inspect().await?.head, seq });
            }
            bounded("ttl_s", request.ttl_s, 1..=SHARE_TTL_MAX_S)?.unwrap_or(SHARE_TTL_S)
        }
    };
    let now = clock::now_us();
    let expires_us = (now + ttl_s * 1_000_000).min(principal.expires_us.unwrap_or(u64::MAX));
    let code = mint().map_err(no_randomness)?;
    let row = LinkRow {
        id: format!("lnk_{}", Uuid::now_v7().simple()),
        code_hash: hash(&code),
        kind: request.kind,
        token_id: principal.id.clone(),
        session_id: request.session_id,
        from,
        expires_us,
    };
    Ok((row, code))
}

/// Takes a link back. Whoever came by it is signed out and cut off: by a share link at any time, by a login link while it is kept, a
/// minute or until the bridge is started again.
#[utoipa::path(
    delete, path = "/v1/auth/links/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204, description = "gone"), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn delete_link(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
) -> Outcome<StatusCode> {
    principal.need_account()?;
    let entry = Entry::new(&principal, Action::LinkDelete).subject(&id);
    let whose = (!principal.has(Right::Admin)).then(|| principal.id.clone());
    // First in memory, so that it is of no use from here on, whatever the disk does.
    if app.shares.principal(&id).is_some_and(|(_, maker)| whose.as_ref().is_none_or(|whose| *whose == maker)) {
        app.shares.remove(&id);
        app.logins.remove_token(&id);
        app.revoked.send_replace(());
    }
    if app.store.remove_link(id.clone(), whose).await? {
        if let Some(login) = app.logins.remove_link(&id) {
            app.revoked.send_replace(());
            app.store.call(move |connection| store::logins::remove(connection, login)).await?;
        }
        app.audit.note(entry).await;
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Failure::new(ErrorCode::NotFound, "there is no such link"))
    }
}
