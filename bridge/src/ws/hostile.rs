//! Messages of a WebSocket client of anybody's making.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::api::ClientFrame;
use baton_proto::frame::{Frame, Kind};
use baton_proto::v1::{Attachment, INPUT_HEADER_BYTES, InputHeader};

use super::facts;
use super::reader::{binary_input, input_frame};

/// The first byte says whether the rest is a text message or a binary one.
///
/// # Panics
/// If a promise does not hold: that is what it is for.
pub fn any_bytes(data: &[u8]) {
    let Some((kind, message)) = data.split_first() else { return };
    if kind & 1 == 0 {
        if let Ok((seq, epoch, payload)) = binary_input(message) {
            assert_eq!(message[0], baton_proto::api::binary::INPUT);
            assert_eq!(payload.len() + 17, message.len());
            types(InputHeader { attachment: Attachment(7), epoch, seq }, payload);
        }
        return;
    }
    let Ok(frame) = serde_json::from_slice::<ClientFrame>(message) else { return };
    match frame {
        ClientFrame::Facts { term } | ClientFrame::Hello { term: Some(term), .. } => {
            let told = facts::checked(Attachment(7), &term);
            assert!(told.da1.is_none_or(|da1| da1.len() <= 64 && !da1.contains(char::is_control)));
            assert!(told.cell_px.is_none_or(|(width, height)| width > 0 && height > 0));
        }
        ClientFrame::Input { data_b64, epoch, seq } => {
            if let Ok(bytes) = BASE64.decode(data_b64) {
                types(InputHeader { attachment: Attachment(7), epoch, seq: seq.unwrap_or(0) }, &bytes);
            }
        }
        _ => {}
    }
}

/// The worker reads what was meant.
fn types(header: InputHeader, bytes: &[u8]) {
    if bytes.len() > baton_proto::frame::DATA_BYTES_MAX as usize {
        return;
    }
    let whole = input_frame(header, bytes);
    let Ok(Some(frame)) = Frame::parse(&whole) else { panic!("the worker does not take it") };
    assert_eq!(frame.header.known_kind(), Some(Kind::Input));
    assert_eq!(frame.payload.len(), INPUT_HEADER_BYTES + bytes.len());
    assert!(InputHeader::split(frame.payload).is_some_and(|(read, typed)| read == header && typed == bytes));
}
