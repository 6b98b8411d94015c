//! One WebSocket to a session: frames in, frames out. A broken one is opened anew by whoever owns it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use baton_proto::api::{BINARY_SUBPROTOCOL, ClientFrame, Problem, ServerFrame, binary};
use baton_proto::{ClientId, Epoch, ErrorCode, SessionId};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use interprocess::local_socket::tokio::Stream as Socket;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::api::Api;
use crate::connect::{connect, means_not_running};
use crate::report::{Exit, Report};

/// Largest message taken: a screen with its scrollback.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What the bridge sends.
#[derive(Debug)]
pub enum Incoming {
    /// Output, and the offset after it.
    Data(Bytes, u64),
    /// A screen, and the offset it is at.
    Snapshot(Bytes, u64),
    /// Anything else.
    Frame(Box<ServerFrame>),
}

/// Why there is no stream.
#[derive(Debug)]
pub enum Broken {
    /// It may work again by itself.
    Lost {
        /// Nothing listens at all.
        not_running: bool,
    },
    /// It will not.
    Refused(Report),
    /// A newer connection has this client id.
    Replaced,
    /// Somebody let this client leave.
    SentAway,
}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    incoming: SplitStream<WebSocketStream<Socket>>,
    // Unbounded, and yet small: input is bounded by its window, and everything else is sent at human pace. A sender that
    // waited here could wait for a bridge that waits for us to read.
    outgoing: mpsc::UnboundedSender<Message>,
    sender: tokio::task::JoinHandle<()>,
}

impl Stream {
    /// Connects and says hello.
    pub async fn open(api: &Api, session: SessionId, client: &ClientId, hello: &ClientFrame) -> Result<Self, Broken> {
        let socket = connect(api.home()).await.map_err(|err| Broken::Lost { not_running: means_not_running(&err) })?;
        let uri = format!("ws://localhost/v1/terminal/streams/{session}?client_id={}", client.as_str());
        let unusable =
            |err: &dyn std::fmt::Display| Broken::Refused(Report::failed("the stream cannot be asked for").why(err));
        let mut request = uri.into_client_request().map_err(|err| unusable(&err))?;
        let headers = request.headers_mut();
        headers
            .insert(header::AUTHORIZATION, HeaderValue::from_str(&api.authorization()).map_err(|err| unusable(&err))?);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BINARY_SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            // The default buffer is zeroed before each read.
            .read_buffer_size(16 << 10);
        let (socket, _) = client_async_with_config(request, socket, Some(config)).await.map_err(handshake_failed)?;
        let (mut sink, incoming) = socket.split();
        let (outgoing, mut queue) = mpsc::unbounded_channel();
        let sender = tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                // A broken connection is noticed by who reads it.
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        let stream = Self { incoming, outgoing, sender };
        stream.send(hello);
        Ok(stream)
    }

    /// Sends a frame; if the connection is broken, [`Self::next`] says so.
    pub fn send(&self, frame: &ClientFrame) {
        if let Ok(text) = serde_json::to_string(frame) {
            let _ = self.outgoing.send(Message::text(text));
        }
    }

    /// Sends input.
    pub fn send_input(&self, seq: u64, epoch: Epoch, bytes: &[u8]) {
        let mut message = BytesMut::with_capacity(binary::INPUT_HEADER_BYTES + bytes.len());
        message.extend_from_slice(&[binary::INPUT]);
        message.extend_from_slice(&seq.to_be_bytes());
        message.extend_from_slice(&epoch.0.to_be_bytes());
        message.extend_from_slice(bytes);
        let _ = self.outgoing.send(Message::Binary(message.freeze()));
    }

    /// The next thing the bridge says. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Result<Incoming, Broken> {
        loop {
            match self.incoming.next().await {
                Some(Ok(Message::Binary(bytes))) => return binary_frame(bytes),
                Some(Ok(Message::Text(text))) => {
                    // A frame of a later version is none of ours.
                    let Ok(frame) = serde_json::from_str::<ServerFrame>(&text) else { continue };
                    return text_frame(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) =
                        frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(closed(code, &reason));
                }
                Some(Ok(_)) => {}
                Some(Err(WsError::Capacity(err))) => {
                    return Err(Broken::Refused(Report::failed("the bridge sent too much at once").why(err)));
                }
                Some(Err(_)) | None => return Err(Broken::Lost { not_running: false }),
            }
        }
    }

    /// Closes it in order: everything sent goes out first. The bridge has until `limit` to take it.
    pub async fn close(self, limit: std::time::Duration) {
        let Self { mut incoming, outgoing, sender } = self;
        drop(outgoing);
        let both = async {
            let _ = sender.await;
            while let Some(Ok(_)) = incoming.next().await {}
        };
        // It is closed by the end of this process at the latest.
        let _ = tokio::time::timeout(limit, both).await;
    }
}

fn binary_frame(mut bytes: Bytes) -> Result<Incoming, Broken> {
    let broken = || {
        Broken::Refused(
            Report::failed("the bridge sent a frame that makes no sense")
                .hint("command and bridge may be of different versions"),
        )
    };
    if bytes.len() < binary::DATA_HEADER_BYTES {
        return Err(broken());
    }
    let kind = bytes.get_u8();
    let offset = bytes.get_u64();
    match kind {
        binary::DATA | binary::STDERR => Ok(Incoming::Data(bytes, offset)),
        binary::SNAPSHOT => Ok(Incoming::Snapshot(bytes, offset)),
        _ => Err(broken()),
    }
}

/// A bridge may answer in text what it could in binary.
fn text_frame(frame: ServerFrame) -> Result<Incoming, Broken> {
    let decode = |text: &str| {
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(|err| Broken::Refused(Report::failed("the bridge sent output that is not base64").why(err)))
    };
    match frame {
        ServerFrame::Data { data_b64, cursor } => Ok(Incoming::Data(decode(&data_b64)?, cursor.offset)),
        ServerFrame::Snapshot { data_b64, cursor, .. } => Ok(Incoming::Snapshot(decode(&data_b64)?, cursor.offset)),
        other => Ok(Incoming::Frame(Box::new(other))),
    }
}

fn closed(code: u16, reason: &str) -> Broken {
    let refused = |exit: Exit, what: &str| {
        let report = Report::new(exit, what);
        Broken::Refused(if reason.is_empty() { report } else { report.why(reason) })
    };
    match code {
        4000 => refused(Exit::Failed, "the bridge did not understand this command"),
        4001 => refused(Exit::Denied, "the token is no longer good"),
        4003 => refused(Exit::Denied, "this session is not yours to see"),
        4004 => refused(Exit::NotFound, "the session is gone"),
        4009 => Broken::Replaced,
        1000 => Broken::SentAway,
        _ => Broken::Lost { not_running: false },
    }
}

fn handshake_failed(err: WsError) -> Broken {
    let WsError::Http(response) = err else { return Broken::Lost { not_running: false } };
    let status = response.status();
    let what = "the session cannot be attached to";
    match response.body().as_ref().and_then(|body| serde_json::from_slice::<Problem>(body).ok()) {
        // Busy, or not whole yet: it comes right by itself.
        Some(problem) if matches!(problem.code, ErrorCode::SessiondDown | ErrorCode::RateLimited) => {
            Broken::Lost { not_running: false }
        }
        Some(problem) => Broken::Refused(Report::problem(what, &problem)),
        None if status.is_server_error() => Broken::Lost { not_running: false },
        None => Broken::Refused(Report::failed(what).why(format!("the bridge answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_frames_are_read() {
        let frame = [&[0u8][..], &7u64.to_be_bytes(), b"output"].concat();
        assert!(matches!(binary_frame(Bytes::from(frame)), Ok(Incoming::Data(bytes, 7)) if bytes == "output"));
        for bad in [&b""[..], &[0; 8], &[9; 20]] {
            assert!(matches!(binary_frame(Bytes::copy_from_slice(bad)), Err(Broken::Refused(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_close_says_whether_to_come_again() {
        assert!(matches!(closed(4009, ""), Broken::Replaced));
        assert!(matches!(closed(4004, "x"), Broken::Refused(_)));
        assert!(matches!(closed(1012, ""), Broken::Lost { .. }));
    }
}
