//! A run of output, built once and shared by every client that is fed it.

use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::api::binary;
use baton_proto::frame::HEADER_BYTES;
use baton_proto::ids::{Cursor, InstanceId};
use bytes::{BufMut as _, Bytes, BytesMut};

/// What a chunk costs beside its bytes: the record's header that stays in front of it in memory, and its own fields.
const CHUNK_OVERHEAD: usize = 160;

/// A run of output, as every client that is fed live gets it.
#[derive(Debug)]
pub struct Chunk {
    start: u64,
    end: u64,
    binary: Bytes,
    json: OnceLock<Utf8Bytes>,
}

impl Chunk {
    /// Makes a chunk of a record: the WebSocket message's header is written over the end of the record's, so that the
    /// payload stays where the kernel put it.
    #[must_use]
    pub fn of_record(mut record: BytesMut, start: u64) -> Self {
        let payload_bytes = record.len().saturating_sub(HEADER_BYTES) as u64;
        let end = start + payload_bytes;
        let mut message = record.split_off(HEADER_BYTES - binary::DATA_HEADER_BYTES);
        message[..binary::DATA_HEADER_BYTES].copy_from_slice(&data_header(end));
        Self { start, end, binary: message.freeze(), json: OnceLock::new() }
    }

    /// Makes a chunk of bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8], start: u64) -> Self {
        let end = start + bytes.len() as u64;
        let mut message = BytesMut::with_capacity(binary::DATA_HEADER_BYTES + bytes.len());
        message.put_slice(&data_header(end));
        message.put_slice(bytes);
        Self { start, end, binary: message.freeze(), json: OnceLock::new() }
    }

    /// Output offset of its first byte.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Output offset after its last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The bytes alone.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.binary[binary::DATA_HEADER_BYTES..]
    }

    /// The binary message.
    #[must_use]
    pub fn binary(&self) -> Bytes {
        self.binary.clone()
    }

    /// The JSON message; encoded by the first who asks, shared by the others.
    pub fn json(&self, instance: InstanceId) -> Utf8Bytes {
        self.json.get_or_init(|| data_json(self.payload(), Cursor { instance, offset: self.end })).clone()
    }

    /// What is left of it from this offset on.
    #[must_use]
    pub fn from(self: &Arc<Self>, offset: u64) -> Arc<Self> {
        match usize::try_from(offset.saturating_sub(self.start)) {
            Ok(0) => Arc::clone(self),
            Ok(skip) => Arc::new(Self::of_bytes(self.payload().get(skip..).unwrap_or_default(), offset)),
            Err(_) => Arc::new(Self::of_bytes(&[], offset)),
        }
    }

    /// What it costs in memory, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.binary.len() + CHUNK_OVERHEAD
    }
}

/// The nine bytes before the payload of a binary data message.
#[must_use]
pub fn data_header(end: u64) -> [u8; binary::DATA_HEADER_BYTES] {
    let mut header = [binary::DATA; binary::DATA_HEADER_BYTES];
    header[1..].copy_from_slice(&end.to_be_bytes());
    header
}

/// The JSON form of a data message. Nothing in it needs escaping, so it is put together by hand.
#[must_use]
pub fn data_json(payload: &[u8], cursor: Cursor) -> Utf8Bytes {
    let mut text = String::with_capacity(payload.len() / 3 * 4 + 128);
    text.push_str(r#"{"type":"data","data_b64":""#);
    BASE64.encode_string(payload, &mut text);
    text.push_str(r#"","cursor":""#);
    text.push_str(&cursor.to_string());
    text.push_str("\"}");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_message_is_built_over_the_records_header() {
        let mut record = BytesMut::zeroed(HEADER_BYTES);
        record.extend_from_slice(b"hello");
        let at = record.as_ptr() as usize + HEADER_BYTES;
        let chunk = Chunk::of_record(record, 7);
        assert_eq!(chunk.payload(), b"hello");
        assert_eq!(chunk.payload().as_ptr() as usize, at, "the payload was moved");
        assert_eq!(&chunk.binary()[..], b"\0\0\0\0\0\0\0\0\x0chello");
        let json: serde_json::Value = serde_json::from_str(&chunk.json(InstanceId::from_uuid(Uuid::nil()))).unwrap();
        assert_eq!(json["data_b64"], "aGVsbG8=");
        assert!(json["cursor"].as_str().unwrap().ends_with(":12"));
    }
}
