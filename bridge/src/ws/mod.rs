//! WebSockets: terminal streams and the event stream.
//!
//! A socket is two loops that never wait for each other: what the client says is heard while a write to it is stuck, so
//! a stopped reader keeps its lease by its heartbeats and holds up nobody.

mod credit;
pub mod events;
mod facts;
pub mod hostile;
mod reader;
mod replay;
mod screen;
mod start;
pub mod stream;
mod writer;

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use baton_proto::ErrorCode;
use baton_proto::api::{BINARY_SUBPROTOCOL, KEY_SUBPROTOCOL_PREFIX, ServerFrame};
use futures_util::StreamExt as _;
use http::HeaderMap;

use crate::gate::subprotocols;
use crate::hub::presence::End;
use crate::problem::Failure;
use crate::show;

pub(crate) use reader::input_frame;
pub use stream::terminal_stream;

/// Largest message of a client.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How long a close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Sockets on one session.
const SOCKETS_MAX: usize = 10_000;

/// Bounds the buffers of a socket (the library's read buffer is 128 KiB, zeroed at each read) and picks its subprotocol.
/// The write buffer's bound is over the largest message: a screen.
fn configure(upgrade: WebSocketUpgrade, headers: &HeaderMap) -> (WebSocketUpgrade, bool) {
    let mut upgrade = upgrade
        .read_buffer_size(4 << 10)
        .write_buffer_size(8 << 10)
        .max_write_buffer_size(8 << 20)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX);
    let binary = subprotocols(headers).any(|protocol| protocol == BINARY_SUBPROTOCOL);
    // A browser fails a connection whose server picks none of the subprotocols it offered.
    let picked = if binary {
        Some(BINARY_SUBPROTOCOL)
    } else {
        subprotocols(headers).find(|protocol| protocol.starts_with(KEY_SUBPROTOCOL_PREFIX))
    };
    if let Some(protocol) = picked.and_then(|protocol| protocol.parse().ok()) {
        upgrade.set_selected_protocol(protocol);
    }
    (upgrade, binary)
}

/// Upgrades with the bounds of ours.
fn upgraded<F, Fut>(upgrade: WebSocketUpgrade, headers: &HeaderMap, converse: F) -> Response
where
    F: FnOnce(WebSocket, bool) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (upgrade, binary) = configure(upgrade, headers);
    upgrade.on_upgrade(move |socket| converse(socket, binary))
}

/// The WebSocket close code that goes with an error.
#[must_use]
pub const fn close_code(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::Unauthenticated => 4001,
        ErrorCode::Forbidden | ErrorCode::ClientIdTaken | ErrorCode::Denied => 4003,
        ErrorCode::NotFound => 4004,
        ErrorCode::Replaced => 4009,
        // RFC 6455's registry: 1013 is "try again later", 1011 "internal error".
        ErrorCode::SessiondDown | ErrorCode::RateLimited => 1013,
        ErrorCode::Internal => 1011,
        _ => 4000,
    }
}

/// The end that goes with an error.
fn end_of(failure: Failure) -> End {
    let (code, reason) = (close_code(failure.code), failure.code.as_str());
    End { frame: Some(failure.frame()), code, reason }
}

fn close_message(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))
}

/// Says why and closes; a peer that does not listen is left alone after a moment.
async fn refuse(mut socket: WebSocket, failure: Failure) {
    let End { frame, code, reason } = end_of(failure);
    let closing = async {
        if let Some(frame) = frame {
            socket.send(Message::Text(show::text(&frame))).await?;
        }
        socket.send(close_message(code, reason)).await?;
        // What the peer had sent meanwhile is read, so that the kernel does not answer it by a reset.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    drop(tokio::time::timeout(CLOSE_TIMEOUT, closing).await);
}

/// A message of a frame.
fn message(frame: &ServerFrame) -> Message {
    Message::Text(show::text(frame))
}

/// Reads what is left until the peer closes too.
async fn drain(stream: &mut futures_util::stream::SplitStream<WebSocket>) {
    let closing = async { while let Some(Ok(_)) = stream.next().await {} };
    drop(tokio::time::timeout(CLOSE_TIMEOUT, closing).await);
}
