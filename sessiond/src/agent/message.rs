//! Messages of the ssh agent's protocol, as far as the relay knows them: bytes in, what they are out. Pure.
//!
//! | asked | the relay | may be answered by |
//! | --- | --- | --- |
//! | 11, list the keys | passes it on | 12, the public keys and their comments |
//! | 13, sign | passes it on, for a key that the agent lists | 14, a signature |
//! | anything else: add, remove, lock, smartcards, extensions | answers 5, which is a failure | – |
//!
//! Numbers and layouts are those of the protocol's draft (draft-ietf-sshm-ssh-agent). Both sides are taken for hostile: the one
//! that asks is a confined program, and what listens at the person's path may be no agent at all.

/// Most bytes of a message, behind its length; that of OpenSSH.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Most keys of an agent that are looked at; that of OpenSSH.
pub const KEYS_MAX: usize = 2048;

/// Bytes of a message's length.
pub const LENGTH_BYTES: usize = 4;

/// `SSH_AGENTC_REQUEST_IDENTITIES`, as a whole message.
pub const LIST: [u8; 5] = [0, 0, 0, 1, REQUEST_IDENTITIES];

/// `SSH_AGENT_FAILURE`, as a whole message.
pub const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Which keys there are.
    List,
    /// A signature.
    Sign {
        /// The public key whose other half is to sign.
        key: &'a [u8],
    },
    /// Nothing that is passed on.
    Refused,
}

/// A key that an agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its public half.
    pub key: Vec<u8>,
    /// What the person calls it; anything.
    pub comment: String,
}

/// How long the message is that begins like this; `None` = there is none of that length.
#[must_use]
pub fn length(bytes: [u8; LENGTH_BYTES]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(bytes)).ok()?;
    (1..=MESSAGE_BYTES_MAX).contains(&length).then_some(length)
}

/// Reads a client's message, without its length.
#[must_use]
pub fn request(body: &[u8]) -> Request<'_> {
    match body.split_first() {
        Some((&REQUEST_IDENTITIES, [])) => Request::List,
        Some((&SIGN_REQUEST, rest)) => sign(rest).map_or(Request::Refused, |key| Request::Sign { key }),
        _ => Request::Refused,
    }
}

/// Key, data and flags, and nothing behind them.
fn sign(mut rest: &[u8]) -> Option<&[u8]> {
    let key = string(&mut rest)?;
    string(&mut rest)?;
    number(&mut rest)?;
    (rest.is_empty() && !key.is_empty()).then_some(key)
}

/// Reads an agent's answer to [`LIST`], without its length; `None` = it is none.
#[must_use]
pub fn identities(body: &[u8]) -> Option<Vec<Identity>> {
    let (&IDENTITIES_ANSWER, mut rest) = body.split_first()? else { return None };
    let count = usize::try_from(number(&mut rest)?).ok().filter(|count| *count <= KEYS_MAX)?;
    let mut identities = Vec::new();
    for _ in 0..count {
        let key = string(&mut rest)?.to_vec();
        let comment = String::from_utf8_lossy(string(&mut rest)?).into_owned();
        identities.push(Identity { key, comment });
    }
    rest.is_empty().then_some(identities)
}

/// Whether an agent's message, without its length, is a signature.
#[must_use]
pub fn is_signature(body: &[u8]) -> bool {
    let Some((&SIGN_RESPONSE, mut rest)) = body.split_first() else { return false };
    string(&mut rest).is_some() && rest.is_empty()
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_be_bytes(*bytes))
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::hostile::any_bytes;
    use super::*;

    fn strings(kind: u8, strings: &[&[u8]], end: &[u8]) -> Vec<u8> {
        let mut body = vec![kind];
        for string in strings {
            body.extend_from_slice(&u32::try_from(string.len()).unwrap().to_be_bytes());
            body.extend_from_slice(string);
        }
        body.extend_from_slice(end);
        body
    }

    #[test]
    fn what_is_passed_on_is_a_list_and_a_signature() {
        assert_eq!(request(&LIST[LENGTH_BYTES..]), Request::List);
        let sign = strings(SIGN_REQUEST, &[b"key", b"data"], &[0, 0, 0, 4]);
        assert_eq!(request(&sign), Request::Sign { key: b"key" });
        // One byte less or more is no such message.
        for end in 0..sign.len() {
            assert_eq!(request(&sign[..end]), Request::Refused, "{end}");
        }
        assert_eq!(request(&[&sign[..], b"x"].concat()), Request::Refused);
        assert_eq!(request(&[REQUEST_IDENTITIES, 0]), Request::Refused);
        assert_eq!(request(&strings(SIGN_REQUEST, &[b"", b"data"], &[0; 4])), Request::Refused);
    }

    #[test]
    fn every_other_message_is_refused() {
        for kind in (0..=u8::MAX).filter(|kind| ![REQUEST_IDENTITIES, SIGN_REQUEST].contains(kind)) {
            assert_eq!(request(&[kind]), Request::Refused, "{kind}");
            assert_eq!(request(&strings(kind, &[b"key", b"data"], &[0; 4])), Request::Refused, "{kind}");
        }
    }

    #[test]
    fn an_agents_answers_are_read() {
        let listed = strings(IDENTITIES_ANSWER, &[], &[0, 0, 0, 0]);
        assert_eq!(identities(&listed), Some(Vec::new()));
        let mut listed = vec![IDENTITIES_ANSWER, 0, 0, 0, 2];
        listed.extend_from_slice(&strings(0, &[b"one", b"work", b"two", b"\xff"], &[])[1..]);
        let found = identities(&listed).unwrap();
        assert_eq!((found[0].key.as_slice(), found[0].comment.as_str()), (&b"one"[..], "work"));
        assert_eq!((found[1].key.as_slice(), found[1].comment.as_str()), (&b"two"[..], "\u{fffd}"));
        assert_eq!(identities(&listed[..listed.len() - 1]), None);
        assert_eq!(identities(&[&listed[..], b"x"].concat()), None);
        assert_eq!(identities(&[IDENTITIES_ANSWER, 0xff, 0xff, 0xff, 0xff]), None);
        assert!(is_signature(&strings(SIGN_RESPONSE, &[b"signature"], &[])));
        assert!(!is_signature(&strings(SIGN_RESPONSE, &[b"signature"], b"x")) && !is_signature(&FAILURE[4..]));
    }

    #[test]
    fn a_length_is_bounded() {
        let max = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
        for (bytes, expected) in [(0, None), (1, Some(1)), (max, Some(MESSAGE_BYTES_MAX)), (max + 1, None)] {
            assert_eq!(length(u32::to_be_bytes(bytes)), expected, "{bytes}");
        }
        // What a web server says first.
        assert_eq!(length(*b"HTTP"), None);
    }

    proptest! {
        #[test]
        fn bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            any_bytes(&bytes);
        }

        #[test]
        fn messages_are_read(
            kind in prop::sample::select(vec![5, 11, 12, 13, 14, 17, 27]),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            end in prop::collection::vec(any::<u8>(), 0..6),
            count in 0..4_u8,
        ) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            any_bytes(&strings(kind, &parts, &end));
            let mut listed = vec![kind, 0, 0, 0, count];
            listed.extend_from_slice(&strings(0, &parts, &end)[1..]);
            any_bytes(&listed);
        }
    }
}
