//! Access tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{Page, PrincipalRole, Problem};
use baton_proto::hidden::is_hidden;
use baton_proto::ids::ClientId;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::sessions::page_limit;
use crate::access::tokens::{OWNER_ID, hash, mint};
use crate::access::{Principal, Right, SCOPES};
use crate::app::App;
use crate::approval::decision;
use crate::audit::{Action, Details, Entry};
use crate::clock;
use crate::extract::{Body, Filter, Id};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::store;
use crate::store::tokens::TokenRow;

/// `POST /v1/auth/tokens`
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// For the role `agent`: which. Its client id is `agent:<agent_id>`.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Narrows the role: some of `observe`, `control`, `approve`, `files`, `git`, `admin`.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Narrows what it sees to these workspaces and what it makes.
    #[serde(default)]
    pub workspace_ids: Option<Vec<String>>,
    /// Until when it is good, RFC 3339.
    #[serde(default)]
    pub expires_at: Option<String>,
}

/// The query of `GET /v1/auth/tokens`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Where the page begins.
    cursor: Option<String>,
    /// How many, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
}

/// An access token, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// For agents: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Narrows the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Narrows what it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ids: Option<Vec<String>>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A new token; `token` is shown this once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NewToken {
    /// The secret.
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub shown: Token,
}

fn shown(row: &TokenRow) -> Token {
    Token {
        id: row.id.clone(),
        name: row.name.clone(),
        role: row.role,
        agent_id: row.agent_id.clone(),
        scopes: row.scopes.clone(),
        workspace_ids: row.workspace_ids.clone(),
        created_at: clock::rfc3339(row.created_us),
        expires_at: row.expires_us.map(clock::rfc3339),
    }
}

/// Refuses a token that would be worth more than the one it is made with.
fn within(maker: &Principal, scopes: Option<&[String]>, expires_us: Option<u64>) -> Outcome<()> {
    let forbidden = |detail: &str| Err(Failure::new(ErrorCode::Forbidden, detail));
    if let Some(own) = &maker.scopes
        && !scopes.is_some_and(|scopes| scopes.iter().all(|scope| own.contains(scope)))
    {
        return forbidden("a token with `scopes` makes only tokens with some of the same");
    }
    if let Some(until) = maker.expires_us
        && expires_us.is_none_or(|expires| expires > until)
    {
        return forbidden("a token that expires makes only tokens that expire no later: say `expires_at`");
    }
    Ok(())
}

/// Makes an access token. It is shown once and kept as a hash.
#[utoipa::path(
    post, path = "/v1/auth/tokens", tag = "access", request_body = TokenRequest,
    responses((status = 201, body = NewToken), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Body(request): Body<TokenRequest>,
) -> Outcome<Response> {
    if let Err(failure) = principal.need(Right::Admin) {
        app.audit.refused(Entry::new(&principal, Action::TokenCreate), failure.code).await;
        return Err(failure);
    }
    let name = request.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(is_hidden) {
        return Err(Failure::invalid("`name` has 1 to 64 visible characters"));
    }
    match (&request.role, &request.agent_id) {
        (PrincipalRole::Agent, Some(agent)) => {
            let client: Result<ClientId, _> = format!("agent:{agent}").parse();
            client.map_err(|err| Failure::invalid(format!("`agent_id`: {err}")))?;
        }
        (PrincipalRole::Agent, None) => return Err(Failure::invalid("the role `agent` needs an `agent_id`")),
        (_, Some(_)) => return Err(Failure::invalid("only the role `agent` has an `agent_id`")),
        (_, None) => {}
    }
    if let Some(unknown) = request.scopes.iter().flatten().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(Failure::invalid(format!("`{unknown}` is no scope; there are {}", SCOPES.join(", "))));
    }
    let expires_us = match &request.expires_at {
        Some(text) => Some(
            clock::parse_rfc3339(text)
                .filter(|at| *at > clock::now_us())
                .ok_or_else(|| Failure::invalid("`expires_at` is an RFC 3339 time in the future"))?,
        ),
        None => None,
    };
    if let Err(failure) = within(&principal, request.scopes.as_deref(), expires_us) {
        app.audit.refused(Entry::new(&principal, Action::TokenCreate), failure.code).await;
        return Err(failure);
    }
    let token =
        mint().map_err(|err| Failure::new(ErrorCode::Internal, format!("the kernel gives no randomness: {err}")))?;
    let row = TokenRow {
        id: format!("tok_{}", Uuid::now_v7().simple()),
        name,
        role: request.role,
        agent_id: request.agent_id,
        scopes: request.scopes,
        workspace_ids: request.workspace_ids,
        hash: hash(&token),
        created_us: clock::now_us(),
        expires_us,
    };
    let role = serde_json::to_value(row.role).unwrap_or_default();
    let details = Details::none()
        .text("name", &row.name)
        .maybe("role", role.as_str())
        .maybe("agent_id", row.agent_id.as_deref())
        .maybe("expires_at", row.expires_us.map(clock::rfc3339));
    let entry = Entry::new(&principal, Action::TokenCreate).subject(&row.id).details(details);
    let kept = row.clone();
    app.audit.with(entry, move |connection| store::tokens::add(connection, &kept)).await?;
    app.tokens.add(row.clone());
    let mut response = (StatusCode::CREATED, Json(NewToken { token, shown: shown(&row) })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Every access token but the owner's, which is a file; oldest first.
#[utoipa::path(
    get, path = "/v1/auth/tokens", tag = "access", params(ListQuery),
    responses((status = 200, body = Page<Token>), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Filter(query): Filter<ListQuery>,
) -> Outcome<Json<Page<Token>>> {
    if let Err(failure) = principal.need(Right::Admin) {
        app.audit.refused(Entry::new(&principal, Action::TokenList), failure.code).await;
        return Err(failure);
    }
    let limit = page_limit(query.limit)?;
    let mut rows = app.tokens.all();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let after = query.cursor.unwrap_or_default();
    let mut items: Vec<Token> = rows.iter().filter(|row| row.id > after).take(limit + 1).map(shown).collect();
    let next_cursor = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|token| token.id.clone())
    });
    Ok(Json(Page { items, next_cursor: next_cursor.flatten() }))
}

/// Removes a token, its logins and its sockets.
#[utoipa::path(
    delete, path = "/v1/auth/tokens/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204, description = "gone"), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub async fn delete(State(app): State<Arc<App>>, Known(principal): Known, Id(id): Id<String>) -> Outcome<StatusCode> {
    if let Err(failure) = principal.need(Right::Admin) {
        app.audit.refused(Entry::new(&principal, Action::TokenDelete).subject(&id), failure.code).await;
        return Err(failure);
    }
    if id == OWNER_ID {
        return Err(Failure::invalid(
            "the owner's token is a file: remove that and restart the bridge to have a new one",
        ));
    }
    // First in memory, so that it is of no use from here on, whatever the disk does.
    let known = app.tokens.remove(&id);
    app.logins.remove_token(&id);
    for share in app.shares.remove_token(&id) {
        app.logins.remove_token(&share);
    }
    app.revoked.send_replace(());
    if !known {
        // What the memory did not have, an earlier failure of the disk may have left there.
        app.store.call(move |connection| store::tokens::remove(connection, &id)).await?;
        return Err(Failure::new(ErrorCode::NotFound, "there is no such token"));
    }
    let entry = Entry::new(&principal, Action::TokenDelete).subject(&id);
    let asker = id.clone();
    app.audit.with(entry, move |connection| store::tokens::remove(connection, &id)).await?;
    // Nobody decides about what nobody asks for any more.
    decision::cancel_of(&app, &principal, &asker).await;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_worth_no_more_than_its_maker() {
        let maker = |scopes: Option<&[&str]>, expires_us| Principal {
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            expires_us,
            ..Principal::new("tok_1".to_owned(), "Ada".to_owned(), PrincipalRole::Owner)
        };
        let some = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        assert!(within(&maker(None, None), None, None).is_ok());
        let narrowed = maker(Some(&["admin", "observe"]), None);
        assert!(within(&narrowed, Some(&some(&["observe"])), None).is_ok());
        assert!(within(&narrowed, None, None).is_err() && within(&narrowed, Some(&some(&["control"])), None).is_err());
        let short = maker(None, Some(1000));
        assert!(within(&short, None, Some(1000)).is_ok());
        assert!(within(&short, None, None).is_err() && within(&short, None, Some(1001)).is_err());
    }
}
