//! Which refusals each operation of the API's document has: every one that can be answered there and no other, each the same
//! problem. Said once, here, because most of them come from what all requests go through.
//!
//! | status | which operations |
//! | --- | --- |
//! | 400, 403, 429 | all: `Host`, `Origin`, parameters, rates |
//! | 401 | all that need to know who asks |
//! | 404 | those about a thing in the path, or named in the body |
//! | 409, 413, 422 | those that change something, by what is under way, their body, their `Idempotency-Key` |
//! | 410 | those that read output from a place |
//! | 426 | WebSockets |
//! | 500, 503, 507 | those that ask sessiond, a worker, or the database |

use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

const PROBLEM: &str = "Problem";
/// What answers from memory, whatever fails.
const ALONE: &[&str] = &["/v1/health", "/v1/openapi.json", "/v1/auth/me", "/metrics"];

/// Writes them into a document, in the place of what operations say of refusals in general.
pub(super) fn document(document: &mut OpenApi) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM))).build();
    let problem = ResponseBuilder::new()
        .description("a problem (RFC 9457): `code` says which, `detail` what to do")
        .content("application/problem+json", content)
        .build();
    document.components.get_or_insert_default().responses.insert(PROBLEM.to_owned(), RefOr::T(problem));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in super::operations(item) {
            refuse(path, method, operation);
        }
    }
}

fn refuse(path: &str, method: &str, operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    responses.remove("4XX");
    let public = matches!(path, "/v1/health" | "/v1/auth/login");
    let socket = responses.contains_key("101");
    let reads = ["/output", "/search", "/recording.cast", "/snapshot", "/wait"].iter().any(|end| path.ends_with(end));
    let alone = ALONE.contains(&path);
    let statuses = [
        ("400", true),
        ("401", !public || method == "post"),
        ("403", true),
        (
            "404",
            path.contains('{') || path == "/v1/auth/links" || path == "/v1/upgrade" || path == "/v1/terminal/sessions",
        ),
        ("409", method != "get"),
        ("410", reads),
        ("413", method != "get"),
        ("422", method != "get" && !path.starts_with("/v1/auth/")),
        ("426", socket),
        ("429", true),
        ("500", !alone),
        ("503", !alone),
        ("507", !alone && method != "get"),
    ];
    for (status, _) in statuses.into_iter().filter(|(_, has)| *has) {
        let problem = || RefOr::<Response>::Ref(Ref::from_response_name(PROBLEM));
        // What an operation says of one in particular stays.
        responses.entry(status.to_owned()).or_insert_with(problem);
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn every_operation_says_which_refusals_it_has() {
        let text = super::super::openapi().unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!text.contains("4XX"), "said in general is said of nothing in particular");
        let has =
            |path: &str, method: &str, status: &str| !document["paths"][path][method]["responses"][status].is_null();
        let session = "/v1/sessions/{session_id}";
        assert!(["400", "401", "403", "404", "429", "503"].iter().all(|status| has(session, "get", status)));
        assert!(!has(session, "get", "410") && !has(session, "get", "409") && has(session, "patch", "409"));
        let output = "/v1/terminal/sessions/{session_id}/output";
        assert!(has(output, "get", "410"));
        assert_eq!(document["paths"][output]["get"]["responses"]["410"]["description"], "no longer kept");
        assert!(!has("/v1/health", "get", "401") && has("/v1/auth/login", "post", "401"));
        assert!(document["components"]["responses"]["Problem"]["content"]["application/problem+json"].is_object());
    }
}
