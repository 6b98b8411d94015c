//! Queries have the parameters that the API's document names, and no others: a parameter that nobody reads would be a wish
//! that is silently not granted.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::Method;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use crate::problem::Failure;

/// The parameters of every route: by path, then by method.
#[derive(Debug, Clone)]
pub struct Known(Arc<HashMap<String, HashMap<Method, Vec<String>>>>);

impl Known {
    /// Those of a document.
    #[must_use]
    pub fn of(document: &OpenApi) -> Self {
        let route = |(path, item): (&String, &PathItem)| (path.clone(), operations(item).collect());
        Self(Arc::new(document.paths.paths.iter().map(route).collect()))
    }

    fn refusal(&self, path: &str, method: &Method, names: impl Iterator<Item = String>) -> Option<Failure> {
        let known = self.0.get(path)?.get(method)?;
        let mut names = names;
        let unknown = names.find(|name| !known.contains(name))?;
        let has = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
        // Somebody else's text, told back in part.
        let unknown: String = unknown.chars().take(64).collect();
        Some(Failure::invalid(format!("`{unknown}` is no parameter of this route, which has {has}")))
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (Method, Vec<String>)> {
    let operations = [
        (Method::GET, item.get.as_ref()),
        (Method::POST, item.post.as_ref()),
        (Method::PUT, item.put.as_ref()),
        (Method::PATCH, item.patch.as_ref()),
        (Method::DELETE, item.delete.as_ref()),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, names(operation?))))
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let query = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        // Nothing of ours is told elsewhere in the document.
        RefOr::T(_) | RefOr::Ref(_) => None,
    };
    parameters.filter_map(query).collect()
}

/// Refuses a query with an unknown parameter.
pub async fn check(State(known): State<Known>, request: Request, next: Next) -> Response {
    if request.uri().query().is_some_and(|query| !query.is_empty())
        && let Some(path) = request.extensions().get::<MatchedPath>()
        && let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
    {
        // What answers GET answers HEAD.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let names = query.into_iter().map(|(name, _)| name);
        if let Some(failure) = known.refusal(path.as_str(), method, names) {
            return failure.into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::ErrorCode;

    #[test]
    fn a_parameter_that_the_document_does_not_name_is_refused() {
        let (_, document) = super::super::api().split_for_parts();
        let known = Known::of(&document);
        let refusal = |path: &str, method: &Method, query: &str| {
            let names = query.split('&').filter(|name| !name.is_empty()).map(str::to_owned);
            known.refusal(path, method, names).map(|failure| (failure.code, failure.detail))
        };
        assert_eq!(refusal("/v1/sessions", &Method::GET, "kind&status&label&cursor&limit&workspace_id"), None);
        let (code, detail) = refusal("/v1/sessions", &Method::GET, "kind&limits").unwrap();
        assert_eq!(code, ErrorCode::Invalid);
        assert!(detail.starts_with("`limits` is no parameter") && detail.contains("`limit`"), "{detail}");
        let snapshot = "/v1/terminal/sessions/{session_id}/snapshot";
        assert_eq!(refusal(snapshot, &Method::GET, "format&cursor&at&scrollback"), None);
        let (_, detail) = refusal("/v1/health", &Method::GET, &"x".repeat(9000)).unwrap();
        assert!(detail.ends_with("which has none") && detail.len() < 200, "{detail}");
        assert_eq!(refusal("/nowhere", &Method::GET, "x"), None, "that is the fallback's affair");
        assert_eq!(known.0.len(), document.paths.paths.len());
    }
}
