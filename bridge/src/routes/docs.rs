//! `/v1/openapi.json`, and `/docs`, which shows it without asking anybody else for anything.

use std::sync::OnceLock;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use crate::assets;
use crate::extract::Id;
use crate::gate::Known;
use crate::problem::Outcome;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const STYLE: &str = include_str!("docs.css");

fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| super::openapi().unwrap_or_default())
}

fn json() -> Response {
    let mut response = document().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// This API, generated from the code.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value)),
)]
pub async fn openapi_json(_: Known) -> Response {
    json()
}

/// The same for `/docs`, which needs no token: it holds nothing that the source does not.
pub async fn public_openapi_json() -> Response {
    json()
}

/// The page.
pub async fn page() -> Response {
    assets::with_headers(PAGE.into_response(), "text/html; charset=utf-8", false)
}

/// Its script and style.
pub async fn file(Id(file): Id<String>) -> Outcome<Response> {
    match file.as_str() {
        "docs.js" => Ok(assets::with_headers(SCRIPT.into_response(), "text/javascript; charset=utf-8", false)),
        "docs.css" => Ok(assets::with_headers(STYLE.into_response(), "text/css; charset=utf-8", false)),
        _ => Ok(http::StatusCode::NOT_FOUND.into_response()),
    }
}
