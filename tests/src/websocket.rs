//! A WebSocket of the bridge's as it is: opened, or not; one message at a time, whichever protocol brought it.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::api::{ClientFrame, ServerFrame, binary};
use baton_proto::ids::{ClientId, SessionId};
use futures_util::StreamExt as _;
use http::Request;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::http::{Api, Socket};
use crate::stream::MESSAGE_LIMIT;

/// One message from the bridge, whichever protocol brought it.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// Output.
    Data {
        /// The bytes.
        bytes: Vec<u8>,
        /// Offset after them.
        end: u64,
    },
    /// A screen.
    Screen {
        /// Terminal bytes that draw it.
        bytes: Vec<u8>,
        /// Where it is the screen.
        end: u64,
        /// Columns and rows, where the frame says them (in binary `ready` or `resize` has).
        size: Option<(u16, u16)>,
    },
    /// Anything else.
    Frame(ServerFrame),
    /// The bridge closed the connection, or it broke (no code).
    Closed {
        /// The close code.
        code: Option<u16>,
        /// The close reason.
        reason: String,
    },
}

/// A WebSocket as it is, for tests that misbehave.
pub type RawStream = WebSocketStream<Box<dyn Socket>>;

/// Why the bridge did not open a WebSocket: its answer to the upgrade.
#[derive(Debug)]
pub struct UpgradeRefused {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl std::fmt::Display for UpgradeRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the upgrade was answered {}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl std::error::Error for UpgradeRefused {}

/// Opens a WebSocket and sends nothing on it.
///
/// # Errors
/// [`UpgradeRefused`], or what broke.
pub async fn open_raw(api: &Api, path: &str, protocols: &[&str]) -> Result<RawStream> {
    let socket = api.place.connect().await.context("connect")?;
    let mut request = Request::builder()
        .method("GET")
        .uri(format!("ws://{}{path}", api.place.host()))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key());
    for (name, value) in &api.headers {
        request = request.header(name, value);
    }
    if !protocols.is_empty() {
        request = request.header("sec-websocket-protocol", protocols.join(", "));
    }
    match tokio_tungstenite::client_async(request.body(())?, socket).await {
        Ok((stream, _)) => Ok(stream),
        Err(tungstenite::Error::Http(response)) => {
            let status = response.status().as_u16();
            Err(UpgradeRefused { status, body: response.into_body().unwrap_or_default() }.into())
        }
        Err(err) => Err(err.into()),
    }
}

/// With which close code somebody is turned away who tries to open this: by the answer to the upgrade, or (which is all
/// that a page can see) by an `error` frame and a close right after it.
///
/// # Panics
/// When nobody is turned away, or nothing is said.
pub async fn turned_away(api: &Api, path: &str, protocols: &[&str]) -> u16 {
    let mut socket = match open_raw(api, path, protocols).await {
        Ok(socket) => socket,
        Err(err) => {
            let refused = err.downcast::<UpgradeRefused>().expect("an answer to the upgrade");
            let problem: baton_proto::api::Problem = serde_json::from_slice(&refused.body).expect("a problem");
            assert_eq!(problem.status, refused.status);
            return 4000 + refused.status % 100;
        }
    };
    let first = tokio::time::timeout(MESSAGE_LIMIT, next_of(&mut socket)).await.expect("told at once");
    let Incoming::Frame(ServerFrame::Error { message, .. }) = first else { panic!("let in: {first:?}") };
    assert!(!message.is_empty());
    match tokio::time::timeout(MESSAGE_LIMIT, next_of(&mut socket)).await.expect("closed at once") {
        Incoming::Closed { code: Some(code), .. } => code,
        other => panic!("told, and not closed: {other:?}"),
    }
}

/// Path of a session's stream.
#[must_use]
pub fn stream_path(session: SessionId, client: &ClientId) -> String {
    format!("/v1/terminal/streams/{session}?client_id={client}")
}

/// A frame as the text message that carries it.
#[must_use]
pub fn text(frame: &ClientFrame) -> Message {
    Message::text(serde_json::to_string(frame).expect("JSON"))
}

/// The next message of a WebSocket.
///
/// # Panics
/// When it is none that the contract knows.
pub async fn next_of(socket: &mut RawStream) -> Incoming {
    loop {
        let message = match socket.next().await {
            Some(Ok(message)) => message,
            None | Some(Err(_)) => return Incoming::Closed { code: None, reason: "the connection broke".to_owned() },
        };
        match message {
            Message::Text(text) => {
                let frame: ServerFrame = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"));
                let decode = |data_b64: &str| BASE64.decode(data_b64).expect("base64");
                return match frame {
                    ServerFrame::Data { data_b64, cursor } => {
                        Incoming::Data { bytes: decode(&data_b64), end: cursor.offset }
                    }
                    ServerFrame::Snapshot { data_b64, cursor, cols, rows } => {
                        Incoming::Screen { bytes: decode(&data_b64), end: cursor.offset, size: Some((cols, rows)) }
                    }
                    other => Incoming::Frame(other),
                };
            }
            Message::Binary(message) => {
                let (head, bytes) = message.split_at_checked(binary::DATA_HEADER_BYTES).expect("a whole binary header");
                let end = u64::from_be_bytes(head[1..].try_into().expect("eight bytes"));
                return match head[0] {
                    binary::DATA => Incoming::Data { bytes: bytes.to_vec(), end },
                    binary::SNAPSHOT => Incoming::Screen { bytes: bytes.to_vec(), end, size: None },
                    kind => panic!("a binary message of the unknown kind {kind}"),
                };
            }
            Message::Close(close) => {
                return Incoming::Closed {
                    code: close.as_ref().map(|close| close.code.into()),
                    reason: close.map(|close| close.reason.to_string()).unwrap_or_default(),
                };
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Where `needle` begins in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
