//! A frame's head: its kind, its sizes, and the numbers in it. Never what it carries.

use std::fmt;

use axum::extract::ws::Message;
use baton_proto::api::binary;
use baton_proto::ids::{Cursor, Epoch, InstanceId};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    In,
    /// To the client.
    Out,
}

impl Way {
    /// As the log has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// What `type` may say. Anything else is text of the client's.
const KINDS: [&str; 28] = [
    "hello",
    "input",
    "resize",
    "viewport",
    "facts",
    "ack",
    "claim",
    "release",
    "transfer",
    "request_control",
    "deny_control",
    "heartbeat",
    "detach",
    "ready",
    "snapshot",
    "data",
    "input_ack",
    "lease",
    "handback",
    "clients",
    "control_requested",
    "control_denied",
    "mode",
    "limit",
    "denied",
    "exit",
    "error",
    "pong",
];
/// A frame that is none of these.
const OTHER: &str = "other";
/// A message that is no frame.
const INVALID: &str = "invalid";

/// The head. Numbers and words of ours: there is no place in it for text of a client or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its `type`, or which binary message it is.
    pub kind: &'static str,
    /// Bytes of the message.
    pub message_bytes: usize,
    /// Bytes of the output or input in it.
    pub data_bytes: Option<usize>,
    /// Its cursor.
    pub cursor: Option<Cursor>,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// Its `seq`; of `ready` the highest that was typed.
    pub seq: Option<u64>,
}

/// What is read of a frame in JSON.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Known,
    data_b64: Option<DataBytes>,
    cursor: Option<Cursor>,
    epoch: Option<Epoch>,
    seq: Option<u64>,
    input_seq: Option<u64>,
}

/// A kind, which is a word of ours whatever was written.
#[derive(Debug)]
struct Known(&'static str);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Known;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a frame's type")
            }
            fn visit_str<E>(self, text: &str) -> Result<Known, E> {
                Ok(Known(KINDS.into_iter().find(|kind| *kind == text).unwrap_or(OTHER)))
            }
        }
        from.deserialize_str(Text)
    }
}

/// How many bytes a base64 text stands for; the text itself is let go.
#[derive(Debug)]
struct DataBytes(usize);

impl<'de> Deserialize<'de> for DataBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Length;
        impl Visitor<'_> for Length {
            type Value = DataBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E>(self, text: &str) -> Result<DataBytes, E> {
                Ok(DataBytes(text.trim_end_matches('=').len() * 3 / 4))
            }
        }
        from.deserialize_str(Length)
    }
}

impl Head {
    /// A head that says nothing but its kind and its size.
    #[must_use]
    pub const fn named(kind: &'static str, message_bytes: usize) -> Self {
        Self { kind, message_bytes, data_bytes: None, cursor: None, epoch: None, seq: None }
    }

    /// The head of a message. Binary ones have an offset for a cursor: its instance is the stream's.
    #[must_use]
    pub fn of(message: &Message, way: Way, instance: InstanceId) -> Self {
        match message {
            Message::Text(text) => Self::of_text(text),
            Message::Binary(bytes) => {
                Self::of_binary(bytes, way, instance).unwrap_or_else(|| Self::named(INVALID, bytes.len()))
            }
            Message::Ping(bytes) => Self::named("ws_ping", bytes.len()),
            Message::Pong(bytes) => Self::named("ws_pong", bytes.len()),
            // A code, and a reason that is text.
            Message::Close(frame) => Self::named("ws_close", frame.as_ref().map_or(0, |frame| 2 + frame.reason.len())),
        }
    }

    fn of_text(text: &str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields>(text) else { return Self::named(INVALID, text.len()) };
        Self {
            kind: fields.kind.0,
            message_bytes: text.len(),
            data_bytes: fields.data_b64.map(|DataBytes(bytes)| bytes),
            cursor: fields.cursor,
            epoch: fields.epoch.map(|Epoch(epoch)| epoch),
            seq: fields.seq.or(fields.input_seq),
        }
    }

    fn of_binary(bytes: &[u8], way: Way, instance: InstanceId) -> Option<Self> {
        let kind = match (way, *bytes.first()?) {
            (Way::Out, binary::DATA) => "data",
            (Way::Out, binary::SNAPSHOT) => "snapshot",
            (Way::Out, binary::STDERR) => "stderr",
            (Way::In, binary::INPUT) => "input",
            _ => return None,
        };
        let number = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let head = Self::named(kind, bytes.len());
        Some(match way {
            Way::Out => Self {
                data_bytes: bytes.len().checked_sub(binary::DATA_HEADER_BYTES),
                cursor: Some(Cursor { instance, offset: number(1)? }),
                ..head
            },
            Way::In => Self {
                data_bytes: bytes.len().checked_sub(binary::INPUT_HEADER_BYTES),
                seq: Some(number(1)?),
                epoch: Some(number(9)?),
                ..head
            },
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} message_bytes={}", self.kind, self.message_bytes)?;
        if let Some(bytes) = self.data_bytes {
            write!(f, " data_bytes={bytes}")?;
        }
        if let Some(cursor) = self.cursor {
            write!(f, " cursor={cursor}")?;
        }
        if let Some(epoch) = self.epoch {
            write!(f, " epoch={epoch}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " seq={seq}")?;
        }
        Ok(())
    }
}
