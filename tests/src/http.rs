//! The public API over TCP and over `bridge.sock`: one connection a request, so that a bridge that was killed in between
//! costs the requests that were in it and no others.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_proto::ErrorCode;
use baton_proto::api::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A byte stream to the bridge.
pub trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug {
    /// From now on closing it resets the connection instead of ending it in order, where there is such a thing.
    fn reset_when_closed(&self) {}
}

impl Socket for TcpStream {
    fn reset_when_closed(&self) {
        // One that is broken already is as good.
        let _ = self.set_zero_linger();
    }
}

impl Socket for UnixStream {}

impl Socket for tokio_rustls::client::TlsStream<TcpStream> {}

/// A TLS server of a test's own: where it is, what it is called, and the one certificate it is believed with.
#[derive(Clone)]
pub struct Tls {
    address: SocketAddr,
    name: String,
    connector: tokio_rustls::TlsConnector,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

impl Tls {
    /// One whose certificate is in this PEM file.
    ///
    /// # Panics
    /// When that is no certificate.
    #[must_use]
    pub fn new(address: SocketAddr, name: &str, certificate: &std::path::Path) -> Self {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("to believe it");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, name: name.to_owned(), connector: std::sync::Arc::new(config).into() }
    }
}

/// Where the bridge listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// The loopback address.
    Tcp(SocketAddr),
    /// `bridge.sock`.
    Unix(PathBuf),
    /// From this address of ours to that one.
    From(std::net::IpAddr, SocketAddr),
    /// A reverse proxy in front of it.
    Tls(Tls),
}

impl Place {
    /// A connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> std::io::Result<Box<dyn Socket>> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::From(own, address) => {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(*own, 0))?;
                Box::new(socket.connect(*address).await?)
            }
            Self::Tls(Tls { address, name, connector }) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let name = name.clone().try_into().map_err(std::io::Error::other)?;
                Box::new(connector.connect(name, stream).await?)
            }
        })
    }

    /// What a well-behaved client puts into `Host`.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(address) | Self::From(_, address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tls(tls) => format!("{}:{}", tls.name, tls.address.port()),
        }
    }
}

/// One caller of the API: where it connects and what it sends to be believed.
#[derive(Debug, Clone)]
pub struct Api {
    /// Where.
    pub place: Place,
    /// Headers of every request, `host` among them.
    pub headers: HeaderMap,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err} in the answer {self}"))
    }

    /// The body as a problem whose fields agree with the status line and with each other.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem: Problem = self.json();
        let media = self.header("content-type").unwrap_or_default();
        assert!(media.starts_with("application/problem+json"), "a problem with content type `{media}`: {self}");
        assert_eq!(problem.status, self.status, "{self}");
        assert_eq!(problem.status, problem.code.status(), "{self}");
        assert_eq!(problem.kind, format!("urn:baton:problem:{}", problem.code), "{self}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty() && !problem.request_id.is_empty(), "{self}");
        problem
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{}: {}", self.status, body.chars().take(2000).collect::<String>())
    }
}

impl Api {
    /// A caller that has nothing to show.
    #[must_use]
    pub fn anonymous(place: Place) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::HOST, HeaderValue::from_str(&place.host()).expect("a host"));
        Self { place, headers }
    }

    /// The same caller with one header more, or another value of it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        with.headers.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        with
    }

    /// The same caller with this bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Sends a request with these body bytes.
    ///
    /// # Errors
    /// When the connection breaks before the answer is whole.
    pub async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer> {
        let socket = self.place.connect().await.context("connect")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if body.is_some() && !self.headers.contains_key(http::header::CONTENT_TYPE) {
            request = request.header(http::header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Sends a request with a JSON body, or none.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn call<B: Serialize>(&self, method: Method, path: &str, body: Option<&B>) -> Answer {
        let bytes = body.map(|body| serde_json::to_vec(body).expect("JSON"));
        self.send(method.clone(), path, bytes).await.unwrap_or_else(|err| panic!("{method} {path}: {err:#}"))
    }

    /// `GET`, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.call::<()>(Method::GET, path, None).await;
        assert!(answer.status < 300, "GET {path}: {answer}");
        answer.json()
    }

    /// `POST`, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        let answer = self.call(Method::POST, path, Some(body)).await;
        assert!(answer.status < 300, "POST {path}: {answer}");
        answer.json()
    }

    /// `POST`, which must succeed; the answer's body does not matter.
    ///
    /// # Panics
    /// When it does not.
    pub async fn post_done(&self, path: &str, body: &impl Serialize) {
        let answer = self.call(Method::POST, path, Some(body)).await;
        assert!(answer.status < 300, "POST {path}: {answer}");
    }

    /// `PATCH`, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        let answer = self.call(Method::PATCH, path, Some(body)).await;
        assert!(answer.status < 300, "PATCH {path}: {answer}");
        answer.json()
    }

    /// A request that must be refused with this code.
    ///
    /// # Panics
    /// When it is not.
    pub async fn refused(&self, method: Method, path: &str, body: &impl Serialize, code: ErrorCode) -> Problem {
        let said = serde_json::to_string(body).expect("JSON");
        let body = if method == Method::GET { None } else { Some(body) };
        let answer = self.call(method.clone(), path, body).await;
        assert!(answer.status >= 400, "{method} {path} with {said} should be refused with `{code}`: {answer}");
        let problem = answer.problem();
        assert_eq!(problem.code, code, "{method} {path} with {said}: {answer}");
        problem
    }

    /// `GET` again and again until the answer is as wanted: for what another process does in its own time, with
    /// a bridge that may be dead at the moment. The test's deadline bounds it.
    pub async fn get_until<T: DeserializeOwned>(&self, path: &str, wanted: impl Fn(&T) -> bool) -> T {
        loop {
            if let Ok(answer) = self.send(Method::GET, path, None).await
                && answer.status < 300
                && let Ok(value) = serde_json::from_slice(&answer.body)
                && wanted(&value)
            {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
