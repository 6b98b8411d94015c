//! Errors as the API tells them: one value for HTTP problems (RFC 9457) and for WebSocket `error` frames.
//!
//! A [`Failure`] travels as an extension of an empty response; [`render`] (the outermost layer) makes the problem of it,
//! because only there the request's id is known. Whatever else ends with an error status becomes a problem there too.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{Problem, ServerFrame, Settings};
use baton_proto::ids::{ApprovalId, Cursor, InstanceId};
use baton_proto::v1::{ClientKind, Failed};
use http::{HeaderValue, StatusCode, header};
use uuid::Uuid;

/// Why a request is refused, and what to do about it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Stable code.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub detail: String,
    /// For `lease_held`: who holds it.
    pub owner: Option<Box<(String, ClientKind)>>,
    /// For `cursor_trimmed`: the oldest place kept.
    pub oldest: Option<Cursor>,
    /// For `rate_limited`: seconds to wait.
    pub retry_after_s: Option<u64>,
    /// For `approval_required`: which approval asks.
    pub approval: Option<Box<ApprovalId>>,
    /// For `revision_conflict`: the settings as they are now.
    pub current: Option<Box<Settings>>,
}

/// What a fallible thing of the bridge returns.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure with nothing beside its code and detail.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            owner: None,
            oldest: None,
            retry_after_s: None,
            approval: None,
            current: None,
        }
    }

    /// The request is malformed.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, detail)
    }

    /// There is no such session, or not for this principal: the two must look the same.
    #[must_use]
    pub fn no_session() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such session; `GET /v1/sessions` lists those there are")
    }

    /// sessiond, or a worker behind it, does not answer.
    pub fn down(detail: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(ErrorCode::SessiondDown, detail) }
    }

    /// What a worker or sessiond refused.
    #[must_use]
    pub fn of(failed: Failed, instance: Option<InstanceId>) -> Self {
        let oldest = failed.oldest.zip(instance).map(|(offset, instance)| Cursor { instance, offset });
        Self {
            code: failed.code,
            detail: failed.message,
            owner: failed.owner.map(Box::new),
            oldest,
            retry_after_s: None,
            approval: None,
            current: None,
        }
    }

    /// The failure as a WebSocket frame.
    #[must_use]
    pub fn frame(self) -> ServerFrame {
        let (owner_name, owner_kind) = self.owner.map(|owner| *owner).unzip();
        ServerFrame::Error {
            code: self.code,
            message: self.detail,
            seq: None,
            accepted: None,
            by: None,
            since: None,
            owner_name,
            owner_kind,
            approval_id: self.approval.map(|id| *id),
        }
    }

    /// A person is asked.
    #[must_use]
    pub fn asked(id: ApprovalId) -> Self {
        let detail =
            format!("a person is asked ({id}); it is done once they say yes, and what becomes of it is told as events");
        Self { approval: Some(Box::new(id)), ..Self::new(ErrorCode::ApprovalRequired, detail) }
    }

    fn problem(self, status: StatusCode, request_id: String) -> Problem {
        let (owner_name, owner_kind) = self.owner.map(|owner| *owner).unzip();
        Problem {
            kind: format!("urn:baton:problem:{}", self.code),
            title: self.code.title().to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            request_id,
            owner_name,
            owner_kind,
            oldest_cursor: self.oldest.map(|cursor| cursor.to_string()),
            retry_after_s: self.retry_after_s,
            current: self.current,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// The id of this request, in its extensions.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Outermost layer: gives each request an id and turns every error into a problem that carries it.
pub async fn render(mut request: Request, next: Next) -> Response {
    let id = format!("req_{}", Uuid::now_v7().simple());
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let failure = match response.extensions_mut().remove::<Failure>() {
            Some(failure) => failure,
            None if is_problem(&response) => return with_id(response, &id),
            None => of_status(status),
        };
        if status.is_server_error() {
            tracing::warn!(request_id = id, %method, path, code = %failure.code, "{}", failure.detail);
        }
        let retry_after = failure.retry_after_s;
        let allow = response.headers_mut().remove(header::ALLOW);
        response = (status, Json(failure.problem(status, id.clone()))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"baton\""));
        }
    }
    with_id(response, &id)
}

fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json")
}

fn with_id(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The failure for an error status that some layer below answered with.
fn of_status(status: StatusCode) -> Failure {
    match status {
        StatusCode::NOT_FOUND => {
            Failure::new(ErrorCode::NotFound, "there is nothing at this path; `/v1/openapi.json` lists what there is")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Failure::invalid("this path does not have that method; the `Allow` header names those it has")
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::new(ErrorCode::TooLarge, "the body is larger than the 1 MiB this route takes; send it in parts")
        }
        StatusCode::UPGRADE_REQUIRED => Failure::invalid("this is a WebSocket: connect with `Upgrade: websocket`"),
        status if status.is_client_error() => Failure::invalid(format!("the request is refused with {status}")),
        status => Failure::new(ErrorCode::Internal, format!("the bridge failed with {status}; its log says more")),
    }
}
