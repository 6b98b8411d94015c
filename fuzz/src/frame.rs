//! A stream of frames, read as a connection reads it: header first, then as many bytes as it announces.

use baton_proto::frame::{Frame, HEADER_BYTES, Header, Kind, RANGE_BYTES_MAX};

/// More than any kind may carry.
const PAYLOAD_BYTES_MAX: u32 = 2 * RANGE_BYTES_MAX;

/// Reads frames from the front until the bytes end or are refused.
pub fn run(mut bytes: &[u8]) {
    loop {
        let Ok(header) = Header::parse(bytes) else {
            assert!(Frame::parse(bytes).is_err(), "the frame took what the header refuses");
            return;
        };
        let Some(header) = header else {
            assert!(bytes.len() < HEADER_BYTES);
            return;
        };
        assert!(header.len <= PAYLOAD_BYTES_MAX, "{} bytes would be allocated", header.len);
        if let Some(kind) = header.known_kind() {
            assert!(header.len <= kind.payload_bytes_max());
        } else {
            assert!(!Kind::is_record_number(header.kind), "an unknown record was let through");
        }
        // The header is one spelling of its fields.
        assert_eq!(header.to_bytes(), bytes[..HEADER_BYTES]);
        let Ok(frame) = Frame::parse(bytes) else { unreachable!("the header was taken") };
        let Some(frame) = frame else {
            assert!(bytes.len() < HEADER_BYTES + header.len as usize);
            return;
        };
        assert_eq!(frame.payload.len(), header.len as usize);
        let sealed = header.sealed(frame.payload);
        assert!(sealed.is_intact(frame.payload));
        bytes = &bytes[frame.total_bytes()..];
    }
}
