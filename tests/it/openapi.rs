//! The contract as the code says it.

use std::time::Duration;

use baton_tests::{Baton, Setup, binaries, scenario};
use serde_json::Value;

#[test]
fn the_document_is_served_as_it_is_printed_and_names_every_route() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let served: Value = baton.api().get("/v1/openapi.json").await;
        let printed = std::process::Command::new(binaries::path("baton-bridge")).arg("openapi").output().unwrap();
        assert!(printed.status.success());
        let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
        assert_eq!(served, printed);
        assert!(served["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", served["openapi"]);
        let one = "/v1/sessions/{session_id}";
        let terminal = "/v1/terminal/sessions/{session_id}";
        let at = |base: &str, verb: &str| format!("{base}/{verb}");
        let routes = [
            ("get", "/v1/health".to_owned()),
            ("get", "/v1/status".to_owned()),
            ("post", "/v1/auth/login".to_owned()),
            ("post", "/v1/auth/logout".to_owned()),
            ("get", "/v1/auth/me".to_owned()),
            ("post", "/v1/auth/links".to_owned()),
            ("get", "/v1/openapi.json".to_owned()),
            ("get", "/v1/sessions".to_owned()),
            ("get", one.to_owned()),
            ("patch", one.to_owned()),
            ("delete", one.to_owned()),
            ("get", at(one, "events")),
            ("post", "/v1/terminal/sessions".to_owned()),
            ("get", terminal.to_owned()),
            ("post", at(terminal, "claim")),
            ("post", at(terminal, "release")),
            ("post", at(terminal, "transfer")),
            ("post", at(terminal, "request-control")),
            ("post", at(terminal, "deny-control")),
            ("post", at(terminal, "detach")),
            ("post", at(terminal, "close")),
            ("post", at(terminal, "input")),
            ("post", at(terminal, "resize")),
            ("post", at(terminal, "signal")),
            ("post", at(terminal, "exec")),
            ("post", at(terminal, "wait")),
            ("get", at(terminal, "output")),
            ("get", "/v1/terminal/streams/{session_id}".to_owned()),
        ];
        // Parameters may have any name.
        let shape = |path: &str| {
            let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        let paths = served["paths"].as_object().unwrap();
        for (path, operation) in paths.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().values().filter(|value| value.is_object()).map(move |operation| (path, operation))
        }) {
            let mut named: Vec<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = operation["parameters"].as_array();
            let in_path = parameters.into_iter().flatten().filter(|it| it["in"] == "path");
            let mut told: Vec<&str> = in_path.map(|it| it["name"].as_str().unwrap()).collect();
            named.sort_unstable();
            told.sort_unstable();
            assert_eq!(named, told, "{path}: {}", operation["operationId"]);
        }
        let missing: Vec<String> = routes
            .iter()
            .filter(|(method, path)| {
                !paths.iter().any(|(known, item)| shape(known) == shape(path) && item.get(*method).is_some())
            })
            .map(|(method, path)| format!("{method} {path}"))
            .collect();
        assert!(missing.is_empty(), "not in the document: {missing:?}");
        // What the page's types are made of is there too: the stream's frames and the problem.
        let schemas = served["components"]["schemas"].as_object().unwrap();
        for name in ["ClientFrame", "ServerFrame", "Problem", "Session", "ErrorCode"] {
            assert!(schemas.contains_key(name), "the schema `{name}` is missing");
        }
        // No operation without words, and each says what its errors are.
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object()) {
                let summary = operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or_default();
                assert!(!summary.is_empty(), "{method} {path} says nothing of itself");
            }
        }
    });
}
