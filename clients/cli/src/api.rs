//! The public API as the command line uses it: HTTP over the bridge's Unix socket, with the owner's token.

use std::fs;
use std::time::Duration;

use baton_proto::api::{
    ClientRequest, Health, Link, LinkKind, LinkRequest, Page, Problem, ServerStatus, Session, SessionDetail, ShareFrom,
};
use baton_proto::home::Home;
use baton_proto::{ClientId, Cursor, SessionId};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::connect::{connect, means_not_running};
use crate::context::Context;
use crate::report::{Exit, Report};
use crate::start;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How long an ordinary request may take. The bridge may be restarting meanwhile.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long something long may take to begin: a screen of the past may have to be drawn first.
const DOWNLOAD_BEGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a request that changes nothing is repeated when the bridge goes away under it.
const RETRY_TIME: Duration = Duration::from_secs(10);

/// An answer with a good status.
#[derive(Debug)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The public API.
#[derive(Debug, Clone)]
pub struct Api {
    home: Home,
    token: String,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why there is no answer, before it is put into words.
#[derive(Debug)]
enum Trouble {
    /// Nothing listens.
    NotRunning(std::io::Error),
    /// The request cannot have been read.
    Unsent(String),
    /// The request may have been carried out.
    Unanswered(String),
    /// It took too long.
    TimedOut,
}

impl Api {
    /// The API of a running Baton, which is started if it is not.
    pub async fn open(context: &Context) -> Result<Self, Report> {
        match connect(&context.home).await {
            Ok(_) if context.home.token_file().exists() => {}
            // It does not run, or the very first bridge is about to write the token, or either was deleted.
            _ => drop(start::start(context, None).await?),
        }
        Self::of_running(context)
    }

    /// The API of a Baton that runs already.
    pub fn of_running(context: &Context) -> Result<Self, Report> {
        let path = context.home.token_file();
        let token = fs::read_to_string(&path).map_err(|err| {
            Report::new(Exit::Denied, format!("the token `{}` cannot be read", path.display()))
                .why(err)
                .hint("the bridge writes it when it starts; its log is in `logs/bridge.log` beside it")
        })?;
        Ok(Self { home: context.home.clone(), token: token.trim().to_owned() })
    }

    /// Where the bridge's socket is.
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// The value of `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// `GET`
    pub async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, Report> {
        decode(what, &self.get_raw(what, path).await?.body)
    }

    /// `GET` of something that may take its time.
    pub async fn get_within<T: DeserializeOwned>(&self, what: &str, path: &str, limit: Duration) -> Result<T, Report> {
        decode(what, &self.repeat(what, &Method::GET, path, None, limit).await?.body)
    }

    /// `GET`, the body as it is. Repeated while the bridge restarts.
    pub async fn get_raw(&self, what: &str, path: &str) -> Result<Answer, Report> {
        self.repeat(what, &Method::GET, path, None, REQUEST_TIMEOUT).await
    }

    /// `GET` of something that may be long: `piece` gets it as it comes. Never repeated.
    pub async fn download(
        &self,
        what: &str,
        path: &str,
        mut piece: impl FnMut(&[u8]) -> Result<(), Report>,
    ) -> Result<(), Report> {
        let begun = timeout(DOWNLOAD_BEGIN_TIMEOUT, self.begin(&Method::GET, path, None, None)).await;
        let (response, driver) = match begun.unwrap_or(Err(Trouble::TimedOut)) {
            Ok(begun) => begun,
            Err(trouble) => return self.judge(what, Err(trouble)).map(|_| ()),
        };
        let (parts, mut body) = response.into_parts();
        if !parts.status.is_success() {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map(|body| body.to_bytes());
            let answer = Answer { headers: parts.headers, body: body.unwrap_or_default() };
            return self.judge(what, Ok((parts.status, answer))).map(|_| ());
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|err| {
                Report::new(Exit::Unreachable, what)
                    .why(format!("it broke off before its end ({err})"))
                    .hint("try again")
            })?;
            if let Some(bytes) = frame.data_ref() {
                piece(bytes)?;
            }
        }
        driver.abort();
        Ok(())
    }

    /// A `POST` that only asks (`wait`): repeated while the bridge restarts, answered within `limit`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, Report> {
        let body = encode(body)?;
        decode(what, &self.repeat(what, &Method::POST, path, Some(body), limit).await?.body)
    }

    /// `POST`, answered within `limit`. Never repeated once the bridge may have read it.
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, Report> {
        decode(what, &self.change(what, &Method::POST, path, body, limit).await?.body)
    }

    /// `POST`
    pub async fn post<T: DeserializeOwned>(&self, what: &str, path: &str, body: &impl Serialize) -> Result<T, Report> {
        self.post_within(what, path, body, REQUEST_TIMEOUT).await
    }

    /// `POST` whose answer says nothing.
    pub async fn post_unit(&self, what: &str, path: &str, body: &impl Serialize) -> Result<(), Report> {
        self.change(what, &Method::POST, path, body, REQUEST_TIMEOUT).await.map(|_| ())
    }

    /// `PATCH`
    pub async fn patch(&self, what: &str, path: &str, body: &impl Serialize) -> Result<(), Report> {
        self.change(what, &Method::PATCH, path, body, REQUEST_TIMEOUT).await.map(|_| ())
    }

    /// `PATCH` whose answer says what it is then.
    pub async fn patch_for<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Report> {
        decode(what, &self.change(what, &Method::PATCH, path, body, REQUEST_TIMEOUT).await?.body)
    }

    /// `DELETE`
    pub async fn delete(&self, what: &str, path: &str) -> Result<(), Report> {
        self.change(what, &Method::DELETE, path, &serde_json::json!({}), REQUEST_TIMEOUT).await.map(|_| ())
    }

    /// Every session this principal may see, of every status.
    pub async fn sessions(&self) -> Result<Vec<Session>, Report> {
        let mut sessions = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/sessions?limit=500{cursor}");
            let page: Page<Session> = self.get("the sessions cannot be listed", &path).await?;
            sessions.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={}", query_value(&next)),
                None => return Ok(sessions),
            }
        }
    }

    /// One session with what is going on in it.
    pub async fn session(&self, id: SessionId) -> Result<SessionDetail, Report> {
        self.get("the session cannot be shown", &format!("/v1/sessions/{id}")).await
    }

    /// The state of Baton's processes.
    pub async fn status(&self) -> Result<ServerStatus, Report> {
        self.get("the status cannot be had", "/v1/status").await
    }

    /// Lets a client leave; its lease is released.
    pub async fn detach(&self, id: SessionId, client: &ClientId) -> Result<(), Report> {
        let body = ClientRequest { client_id: client.clone() };
        self.post_unit("the client cannot be detached", &terminal(id, "detach"), &body).await
    }

    /// A link that signs a browser in, once.
    pub async fn login_link(&self, session_id: Option<SessionId>) -> Result<Link, Report> {
        let body = LinkRequest { kind: LinkKind::Login, session_id, from: None, ttl_s: None };
        self.post("no login link can be made", "/v1/auth/links", &body).await
    }

    /// A link by which whoever has it watches a session.
    pub async fn share_link(&self, session: SessionId, from: ShareFrom, ttl_s: Option<u64>) -> Result<Link, Report> {
        let body = LinkRequest { kind: LinkKind::Share, session_id: Some(session), from: Some(from), ttl_s };
        self.post("the session cannot be shared", "/v1/auth/links", &body)
            .await
            .map_err(|report| report.in_words(&[("ttl_s", "--ttl")]))
    }

    /// A page of raw output from `cursor`, or from the oldest byte kept; the cursor after it, and how many bytes are missing
    /// before it.
    pub async fn output(
        &self,
        id: SessionId,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<(Bytes, Cursor, u64), Report> {
        let from = cursor.map(|cursor| format!("cursor={cursor}&")).unwrap_or_default();
        let path = format!("{}?{from}limit={limit}", terminal(id, "output"));
        let answer = self.get_raw("the output cannot be read", &path).await?;
        let next =
            answer.headers.get("baton-cursor").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let next = next.ok_or_else(|| {
            Report::failed("the output cannot be read").why("the bridge's answer has no `Baton-Cursor`")
        })?;
        let lost = answer.header("baton-lost").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((answer.body, next, lost))
    }

    async fn change(
        &self,
        what: &str,
        method: &Method,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<Answer, Report> {
        let body = encode(body)?;
        // What was never read may be sent again; what was read may have been done.
        let key = Uuid::new_v4().to_string();
        let deadline = Instant::now() + RETRY_TIME;
        loop {
            match self.once(method, path, Some(&body), Some(&key), limit).await {
                Err(Trouble::Unsent(_)) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
                other => return self.judge(what, other),
            }
        }
    }

    async fn repeat(
        &self,
        what: &str,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<Answer, Report> {
        let mut deadline = None;
        loop {
            match self.once(method, path, body.as_ref(), None, limit).await {
                Err(Trouble::Unsent(_) | Trouble::Unanswered(_))
                    if Instant::now() < *deadline.get_or_insert_with(|| Instant::now() + RETRY_TIME) =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                other => return self.judge(what, other),
            }
        }
    }

    fn judge(&self, what: &str, result: Result<(StatusCode, Answer), Trouble>) -> Result<Answer, Report> {
        let unreachable = |why: String| Report::new(Exit::Unreachable, what).why(why);
        match result {
            Ok((status, answer)) if status.is_success() => Ok(answer),
            Ok((status, answer)) => Err(match serde_json::from_slice::<Problem>(&answer.body) {
                Ok(problem) => Report::problem(what, &problem),
                Err(_) => Report::failed(what).why(format!("the bridge answered {status} and nothing that says why")),
            }),
            Err(Trouble::NotRunning(err)) => {
                Err(unreachable(format!("Baton does not run ({err})")).hint("start it with `baton up`"))
            }
            Err(Trouble::Unsent(why)) => Err(unreachable(why).hint("see `baton status`")),
            Err(Trouble::Unanswered(why)) => {
                Err(unreachable(format!("the bridge went away before it answered ({why})"))
                    .hint("whether it was done is not known: look before you try again"))
            }
            Err(Trouble::TimedOut) => Err(unreachable("the bridge does not answer in time".to_owned()).hint(format!(
                "see `baton status`; its log is `{}`",
                self.home.logs_dir().join("bridge.log").display()
            ))),
        }
    }

    /// Sends a request; the answer as far as its headers, and the task that carries the rest.
    async fn begin(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Bytes>,
        key: Option<&str>,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), Trouble> {
        let stream = connect(&self.home).await.map_err(|err| {
            if means_not_running(&err) { Trouble::NotRunning(err) } else { Trouble::Unsent(err.to_string()) }
        })?;
        let unanswered = |err: &dyn std::fmt::Display| Trouble::Unanswered(err.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|err| unanswered(&err))?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, self.authorization())
            .header(header::USER_AGENT, concat!("baton-cli/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request
            .body(Full::new(body.cloned().unwrap_or_default()))
            .map_err(|err| Trouble::Unsent(err.to_string()))?;
        let response = sender.send_request(request).await.map_err(|err| unanswered(&err))?;
        Ok((response, driver))
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Bytes>,
        key: Option<&str>,
        limit: Duration,
    ) -> Result<(StatusCode, Answer), Trouble> {
        let exchange = async {
            let (response, driver) = self.begin(method, path, body, key).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|err| Trouble::Unanswered(err.to_string()))?.to_bytes();
            driver.abort();
            Ok((parts.status, Answer { headers: parts.headers, body }))
        };
        timeout(limit, exchange).await.unwrap_or(Err(Trouble::TimedOut))
    }
}

/// `GET /v1/health`, which needs no token.
pub async fn health(home: &Home, limit: Duration) -> Option<Health> {
    let api = Api { home: home.clone(), token: String::new() };
    let (status, answer) = api.once(&Method::GET, "/v1/health", None, None, limit).await.ok()?;
    if status.is_success() { serde_json::from_slice(&answer.body).ok() } else { None }
}

/// Path of a terminal route.
pub fn terminal(id: SessionId, verb: &str) -> String {
    format!("/v1/terminal/sessions/{id}/{verb}")
}

/// A value for a query string, percent-encoded where it must be.
pub fn query_value(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn encode(body: &impl Serialize) -> Result<Bytes, Report> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|err| Report::failed("the request cannot be written as JSON").why(err))
}

/// The value that a body is.
pub fn decode<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Report> {
    serde_json::from_slice(body).map_err(|err| {
        Report::failed(what)
            .why(format!("the bridge's answer is not understood: {err}"))
            .hint("command and bridge may be of different versions; see `baton status`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(query_value("a b&c=ü:1"), "a%20b%26c%3D%C3%BC:1");
    }
}
