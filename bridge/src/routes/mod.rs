//! HTTP: one file per resource. Handlers are thin: who may, then a session or the store is asked, then it is shown.

pub mod approvals;
pub mod audit;
pub mod auth;
pub(crate) mod confine;
pub mod control;
pub mod create;
pub mod docs;
pub mod hostile;
pub mod input;
pub mod output;
mod problems;
pub mod query;
pub mod recording;
pub mod respawn;
pub mod screen;
pub mod search;
pub mod sessions;
pub mod settings;
pub mod system;
pub mod time;
pub mod tokens;
pub mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use baton_proto::api;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::Failure;
use crate::{assets, gate, problem, ws};

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Baton",
        description = "Live sessions — shells, browsers, agents — passed between people, tabs, scripts and agents. \
                       Errors are RFC 9457 problems (`application/problem+json`, schema `Problem`). Mutations take \
                       `Idempotency-Key`. Times are RFC 3339 UTC; ids and cursors are opaque."
    ),
    components(schemas(api::Problem, api::ClientFrame, api::ServerFrame, api::Event)),
    modifiers(&Security),
    security(("token" = []), ("login" = [], "login_key" = []))
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKeyValue::with_description("baton_<port>", "the cookie of a login; grants nothing alone");
        components.add_security_scheme("login", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let key = ApiKeyValue::with_description("X-Baton-Key", "the key of the same login");
        components.add_security_scheme("login_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(auth::create_link))
        .routes(routes!(auth::delete_link))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::delete))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::detail))
        .routes(routes!(approvals::decide))
        .routes(routes!(approvals::cancel))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::detail, sessions::patch, sessions::forget))
        .routes(routes!(sessions::events))
        .routes(routes!(respawn::respawn))
        .routes(routes!(ws::events::event_stream))
        .routes(routes!(create::create))
        .routes(routes!(sessions::terminal_detail))
        .routes(routes!(control::claim))
        .routes(routes!(control::release))
        .routes(routes!(control::transfer))
        .routes(routes!(control::request_control))
        .routes(routes!(control::deny_control))
        .routes(routes!(control::detach))
        .routes(routes!(control::close))
        .routes(routes!(input::input))
        .routes(routes!(input::resize))
        .routes(routes!(input::signal))
        .routes(routes!(input::exec))
        .routes(routes!(output::wait))
        .routes(routes!(output::output))
        .routes(routes!(search::search))
        .routes(routes!(recording::recording))
        .routes(routes!(screen::snapshot))
        .routes(routes!(ws::stream::terminal_stream))
        .routes(routes!(upgrade::upgrade))
        .routes(routes!(settings::settings))
        .routes(routes!(settings::patch_defaults))
        .routes(routes!(settings::reload_environment))
        .routes(routes!(settings::agent_status))
        .routes(routes!(settings::patch_cli_path))
        .routes(routes!(settings::sessiond_status))
        .routes(routes!(settings::restart_sessiond))
        .routes(routes!(system::health))
        .routes(routes!(system::status))
        .routes(routes!(system::metrics))
        .routes(routes!(docs::openapi_json))
}

/// The API's document, as JSON.
///
/// # Errors
/// Never for a document of ours.
pub fn openapi() -> Result<String, serde_json::Error> {
    let (_, mut document) = api().split_for_parts();
    problems::document(&mut document);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
        }
    }
    serde_json::to_string_pretty(&document)
}

/// The operations of a path, with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let operations = [
        ("get", item.get.as_mut()),
        ("post", item.post.as_mut()),
        ("put", item.put.as_mut()),
        ("patch", item.patch.as_mut()),
        ("delete", item.delete.as_mut()),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

/// An id from method and path: handlers of two resources may have the same name, operations may not.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(['/', '-', '.', '{', '}', '_']).filter(|word| !word.is_empty() && *word != "v1");
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

/// Every route, behind the gate.
pub fn router(app: &Arc<App>) -> Router {
    let (api, document) = api().split_for_parts();
    api.route_layer(from_fn_with_state(query::Known::of(&document), query::check))
        .route("/docs", axum::routing::get(docs::page))
        .route("/docs/openapi.json", axum::routing::get(docs::public_openapi_json))
        .route("/docs/{file}", axum::routing::get(docs::file))
        .fallback(assets::serve)
        .method_not_allowed_fallback(|| async { http::StatusCode::METHOD_NOT_ALLOWED })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(app), gate::admit))
        .layer(from_fn(problem::render))
        .with_state(Arc::clone(app))
}

/// Parses a session id of a path: one that is none names nothing.
///
/// # Errors
/// `not_found`.
fn session_id(text: &str) -> crate::problem::Outcome<baton_proto::ids::SessionId> {
    text.parse().map_err(|_| Failure::no_session())
}
