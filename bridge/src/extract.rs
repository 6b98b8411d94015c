//! What handlers take from a request: axum's extractors with failures of ours, so that every refusal is a problem.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use baton_proto::ErrorCode;
use serde::de::DeserializeOwned;

use crate::problem::{Failure, Outcome};

/// How long a body may take: whoever sends it a byte a minute holds a connection and gets nothing for it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // An object, and nothing else: serde would take `[]` for a struct whose fields all have defaults.
        type Object = serde_json::Map<String, serde_json::Value>;
        let read = tokio::time::timeout(BODY_TIMEOUT, axum::Json::<Object>::from_request(request, state)).await;
        match read.map_err(|_| Failure::invalid("the body did not come within 30 s"))? {
            Ok(axum::Json(body)) => serde_json::from_value(body.into())
                .map(Self)
                .map_err(|err| Failure::invalid(format!("the body does not fit: {err}"))),
            Err(JsonRejection::BytesRejection(_)) => {
                Err(Failure::new(ErrorCode::TooLarge, "the body is larger than 1 MiB, or it broke off"))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Failure::invalid("the body must be JSON: send `Content-Type: application/json`"))
            }
            Err(rejection) => Err(Failure::invalid(format!("the body does not fit: {}", rejection.body_text()))),
        }
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct MaybeBody<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let empty = request.headers().get(http::header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && !request.headers().contains_key(http::header::TRANSFER_ENCODING);
        if empty {
            return Ok(Self(T::default()));
        }
        Body::<T>::from_request(request, state).await.map(|Body(body)| Self(body))
    }
}

/// A part of the path.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Path::<T>::from_request_parts(parts, state).await.map(|Path(id)| Self(id)).map_err(
            |rejection: PathRejection| {
                // An id that is none names nothing: the same answer as for one that is unknown.
                Failure::new(ErrorCode::NotFound, format!("there is no such thing: {}", rejection.body_text()))
            },
        )
    }
}

/// The request's `Idempotency-Key`, if it has one; what it may be was looked at on the way in.
#[derive(Debug)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let key = parts.headers.get(crate::idempotency::HEADER).and_then(|key| key.to_str().ok());
        Ok(Self(key.map(str::to_owned)))
    }
}

/// The query.
#[derive(Debug)]
pub struct Filter<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Filter<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Query::<T>::from_request_parts(parts, state).await.map(|Query(query)| Self(query)).map_err(
            |rejection: QueryRejection| Failure::invalid(format!("the query does not fit: {}", rejection.body_text())),
        )
    }
}

/// A number of a query within its bounds. What lies outside of them is refused, not moved to the next one that would do: the
/// caller would take the answer for what it asked.
///
/// # Errors
/// `invalid`, which names the parameter and its bounds.
pub fn bounded<N: PartialOrd + Display>(name: &str, given: Option<N>, bounds: RangeInclusive<N>) -> Outcome<Option<N>> {
    match given {
        Some(number) if !bounds.contains(&number) => {
            let (least, most) = bounds.into_inner();
            Err(Failure::invalid(format!("`{name}` is from {least} to {most}, not {number}")))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_outside_of_its_bounds_is_refused() {
        assert_eq!(bounded("limit", None, 1..=10).unwrap(), None);
        assert_eq!(bounded("limit", Some(10), 1..=10).unwrap(), Some(10));
        for bad in [0, 11] {
            let failure = bounded("limit", Some(bad), 1..=10).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Invalid);
            assert_eq!(failure.detail, format!("`limit` is from 1 to 10, not {bad}"));
        }
    }
}
