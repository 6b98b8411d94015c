//! Bodies of control messages: bincode 2 (`legacy` layout: fixed integers, little endian) with a limit.
//!
//! Only this module names bincode's configuration. The limit matters: without one, a hostile length makes the
//! decoder allocate before it looks, and the process aborts. Payload bytes never pass through here.

use bincode::config;
pub use bincode::{Decode, Encode};

use crate::error::ProtoError;
use crate::frame::Kind;

/// Most bytes the body of a control message may have.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Most bytes a session spec may have (arguments and environment of a program; Linux allows 128 KiB an argument).
pub const SPEC_BYTES_MAX: usize = 1024 * 1024;

/// Appends the body to `out`.
///
/// # Errors
/// [`ProtoError::Body`] when the message is larger than a peer would accept.
pub fn encode<T: Encode>(kind: Kind, message: &T, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    encode_with::<T, CONTROL_BYTES_MAX>(kind, message, out)
}

/// Reads a body; every byte must belong to it.
///
/// # Errors
/// [`ProtoError::Body`] when the bytes are too few, too many, too large, or not this message.
pub fn decode<T: Decode<()>>(kind: Kind, bytes: &[u8]) -> Result<T, ProtoError> {
    decode_with::<T, CONTROL_BYTES_MAX>(kind, bytes)
}

/// [`encode`] for the few messages that may be as large as a session spec.
///
/// # Errors
/// As [`encode`].
pub fn encode_large<T: Encode>(kind: Kind, message: &T, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    encode_with::<T, SPEC_BYTES_MAX>(kind, message, out)
}

/// [`decode`] for the few messages that may be as large as a session spec.
///
/// # Errors
/// As [`decode`].
pub fn decode_large<T: Decode<()>>(kind: Kind, bytes: &[u8]) -> Result<T, ProtoError> {
    decode_with::<T, SPEC_BYTES_MAX>(kind, bytes)
}

fn encode_with<T: Encode, const LIMIT: usize>(kind: Kind, message: &T, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let before = out.len();
    let failed = |why: String| ProtoError::Body { kind: kind.number(), why };
    bincode::encode_into_std_write(message, out, config::legacy()).map_err(|err| failed(err.to_string()))?;
    let written = out.len() - before;
    if written > LIMIT {
        out.truncate(before);
        return Err(failed(format!("{written} bytes are more than the {LIMIT} a peer accepts")));
    }
    Ok(())
}

fn decode_with<T: Decode<()>, const LIMIT: usize>(kind: Kind, bytes: &[u8]) -> Result<T, ProtoError> {
    let failed = |why: String| ProtoError::Body { kind: kind.number(), why };
    let (message, used) = bincode::decode_from_slice(bytes, config::legacy().with_limit::<LIMIT>())
        .map_err(|err| failed(err.to_string()))?;
    if used != bytes.len() {
        return Err(failed(format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(message)
}
