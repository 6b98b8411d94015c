//! What holds for any bytes that come to the relay, from a session or from what listens in the place of an agent: one body for
//! the fuzzer and for random tests.

use super::message::{KEYS_MAX, LIST, Request, identities, is_signature, request};

/// The bytes are a message without its length.
///
/// # Panics
/// When a promise does not hold.
pub fn any_bytes(bytes: &[u8]) {
    match request(bytes) {
        // There is one message that lists.
        Request::List => assert_eq!(bytes, &LIST[4..]),
        Request::Sign { key } => {
            assert_eq!(bytes.first(), Some(&13));
            // Type, two lengths, flags; the key is where it says.
            assert!(!key.is_empty() && key.len() + 13 <= bytes.len());
            assert_eq!(&bytes[5..5 + key.len()], key);
            // Nothing else passes as one by what stands before or behind it.
            assert_eq!(request(&bytes[..bytes.len() - 1]), Request::Refused);
            assert_eq!(request(&[bytes, &[0]].concat()), Request::Refused);
        }
        Request::Refused => {}
    }
    if let Some(found) = identities(bytes) {
        let size: usize = found.iter().map(|it| it.key.len() + 8).sum();
        assert!(found.len() <= KEYS_MAX && size <= bytes.len());
        assert!(identities(&bytes[..bytes.len() - 1]).is_none());
    }
    if is_signature(bytes) {
        assert!(bytes.first() == Some(&14) && !is_signature(&bytes[..bytes.len() - 1]));
    }
    // A message is one thing at most.
    let asked = request(bytes) != Request::Refused;
    assert!(u8::from(asked) + u8::from(identities(bytes).is_some()) + u8::from(is_signature(bytes)) <= 1);
}
