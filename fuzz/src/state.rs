//! What one process leaves for the next: a session's spec, and what a segment carries of the past.

use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::frame::Kind;
use baton_proto::spec::SessionSpec;
use baton_proto::v1::CarriedState;
use bincode::{Decode, Encode};

/// The bytes are a spec, and the state in a segment's head.
pub fn run(bytes: &[u8]) {
    if let Ok(spec) = codec::decode_large::<SessionSpec>(Kind::Spawn, bytes) {
        let held = spec.command.iter().map(String::len).sum::<usize>()
            + spec.env.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        assert!(held <= SPEC_BYTES_MAX && held <= bytes.len(), "a spec of {} bytes holds {held}", bytes.len());
        same(&spec, bytes);
    }
    if let Ok(state) = codec::decode::<CarriedState>(Kind::Lease, bytes) {
        assert!(state.streams.len() <= bytes.len());
        same(&state, bytes);
    }
}

/// What was read is written so that it is read as the same, in no more bytes than the limit.
fn same<T: Encode + Decode<()> + PartialEq + std::fmt::Debug>(value: &T, bytes: &[u8]) {
    let mut again = Vec::new();
    assert_eq!(codec::encode_large(Kind::Spawn, value, &mut again), Ok(()), "of {} bytes", bytes.len());
    assert_eq!(codec::decode_large::<T>(Kind::Spawn, &again).as_ref(), Ok(value));
}
