//! The page, carried inside the binary: an installed Baton needs no Node.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../clients/web/dist"]
struct Page;

/// Where the page is read from, in a build for development: the others carry it.
pub fn directory() -> Option<std::path::PathBuf> {
    cfg!(debug_assertions).then(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/web/dist"))
}

/// Nothing from anywhere else, no inline script, in nobody's frame. Styles are set inline by the terminal emulator.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// What the build puts behind the name of a file's packed twin, where there is one.
const PACKED: &str = ".gz";

/// Whether a file's name carries its content's hash, so that it never changes: the build puts those below `assets/`.
fn is_hashed(path: &str) -> bool {
    path.starts_with("assets/")
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Puts the headers on that every file of ours has.
#[must_use]
pub fn with_headers(mut response: Response, media_type: &'static str, immutable: bool) -> Response {
    let cache = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A file of the page; `/` is the page itself, and nothing else falls back to it.
pub async fn serve(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let path = match request.uri().path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    // The packed twin of a file is no file of the page.
    if path.ends_with(PACKED) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Some(file) = Page::get(path) else { return StatusCode::NOT_FOUND.into_response() };
    let packed = Page::get(&format!("{path}{PACKED}"));
    let has_twin = packed.is_some();
    let packed = packed.filter(|_| takes_gzip(request.headers()));
    let is_packed = packed.is_some();
    let body = match packed.unwrap_or(file).data {
        std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
        std::borrow::Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = with_headers(Response::new(body), media_type(path), is_hashed(path));
    if has_twin {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if is_packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether `Accept-Encoding` names gzip, and not to refuse it (RFC 9110, 12.5.3).
fn takes_gzip(headers: &http::HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok());
        named && weight.is_some_and(|weight: f32| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str) -> Response {
        serve(Request::builder().uri(path).body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn who_takes_gzip_gets_it_and_nobody_else() {
        for (accepted, packed) in [
            ("gzip, deflate, br", true),
            ("br;q=1, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("gzipped", false),
            ("gzip;q=much", false),
        ] {
            let request = Request::builder().uri("/").header(header::ACCEPT_ENCODING, accepted);
            let response = serve(request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), packed, "{accepted}");
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            assert_eq!(body.starts_with(&[0x1f, 0x8b]), packed, "{accepted}");
        }
        assert!(!get("/").await.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(get("/index.html.gz").await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_page_is_served_at_the_root_and_nowhere_else() {
        let page = get("/").await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(page.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        for path in ["/nowhere", "/assets/", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"] {
            assert_eq!(get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
