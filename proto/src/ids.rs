//! Identifiers, epochs and cursors. Each is a type of its own, so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        // The text came from outside: quote no more of it than a person can read.
        Self { text: text.chars().take(64).collect(), expected }
    }
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The letters before the number.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID (version 7 when minted by Baton, so that ids sort by creation).
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID without its prefix.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == 32)
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::new(text, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Encode for $name {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
                self.0.as_bytes().encode(encoder)
            }
        }

        impl<C> Decode<C> for $name {
            fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
                Ok(Self(Uuid::from_bytes(<[u8; 16]>::decode(decoder)?)))
            }
        }

        impl<'de, C> bincode::BorrowDecode<'de, C> for $name {
            fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                <Self as Decode<C>>::decode(decoder)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                String::schema()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

prefixed_id!(
    /// One session, for as long as it is known: `ses_` and a UUIDv7.
    SessionId,
    "ses_",
    "a session id (`ses_` and 32 hexadecimal digits)"
);
prefixed_id!(
    /// A directory tree people and agents work in: `wsp_` and a UUIDv7.
    WorkspaceId,
    "wsp_",
    "a workspace id (`wsp_` and 32 hexadecimal digits)"
);
prefixed_id!(
    /// Something that waits for a person, or did: `apr_` and a UUIDv7.
    ApprovalId,
    "apr_",
    "an approval id (`apr_` and 32 hexadecimal digits)"
);
prefixed_id!(
    /// One life of a session's program: minted anew at each respawn, so that "restarted" and "ended" differ.
    InstanceId,
    "ins_",
    "an instance id (`ins_` and 32 hexadecimal digits)"
);

impl SessionId {
    /// The eight characters that name this session's socket below `w/`.
    ///
    /// Forty of the UUID's random bits in the lower-case base 32 of RFC 4648. The name is short because
    /// a Unix socket path holds 108 bytes; sessiond refuses a second session with the same eight.
    #[must_use]
    pub fn socket_name(self) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let bytes = self.0.as_bytes();
        let bits = bytes[11..16].iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(|place| char::from(ALPHABET[(bits >> (place * 5) & 31) as usize])).collect()
    }
}

impl InstanceId {
    /// The half of the id that every journal record carries, so that stale bytes of another life are not read as new.
    #[must_use]
    pub fn tag(self) -> u64 {
        self.0.as_u64_pair().1
    }
}

/// Who a window, tab, CLI or agent says it is: a UUID it chose, or `agent:<agent_id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Encode)]
pub struct ClientId(String);

impl ClientId {
    /// Longest agent id accepted after `agent:`, in bytes.
    pub const AGENT_ID_BYTES_MAX: usize = 64;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The agent this id belongs to, for `agent:<agent_id>`.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        self.0.strip_prefix("agent:")
    }
}

impl From<Uuid> for ClientId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.hyphenated().to_string())
    }
}

impl FromStr for ClientId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        const EXPECTED: &str = "a client id (a UUID, or `agent:` and an agent id)";
        if let Some(agent) = text.strip_prefix("agent:") {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !agent.is_empty() && agent.len() <= Self::AGENT_ID_BYTES_MAX && agent.chars().all(plain) {
                return Ok(Self(text.to_owned()));
            }
            return Err(IdError::new(text, EXPECTED));
        }
        // Kept in one spelling: two spellings of a UUID are one client.
        Uuid::try_parse(text).map(Self::from).map_err(|_| IdError::new(text, EXPECTED))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<C> Decode<C> for ClientId {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        let text = String::decode(decoder)?;
        text.parse().map_err(|_| bincode::error::DecodeError::Other("not a client id"))
    }
}

impl<'de, C> bincode::BorrowDecode<'de, C> for ClientId {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ClientId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ClientId {}

/// Counts the owners a session's lease has had. Rises with each change of owner, never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Encode, Decode, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a session's output: so many bytes of this instance came before it. Written `<instance>:<offset>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Cursor {
    /// Which life of the program.
    pub instance: InstanceId,
    /// Output bytes before this place.
    pub offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.instance, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (instance, offset) = text.split_once(':')?;
            // `u64::from_str` takes a leading `+`; a cursor has one spelling.
            if offset.is_empty() || !offset.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            Some(Self { instance: instance.parse().ok()?, offset: offset.parse().ok()? })
        };
        parse().ok_or_else(|| IdError::new(text, "a cursor (`<instance>:<offset>`, as Baton gave it)"))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Cursor {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Cursor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_refuse_each_other() {
        let session = SessionId::from_uuid(Uuid::from_u128(0x0192_f00d));
        assert_eq!(session.to_string().parse::<SessionId>().unwrap(), session);
        assert!(session.to_string().parse::<WorkspaceId>().is_err());
        assert_eq!(session.socket_name().len(), 8);
        let cursor = Cursor { instance: InstanceId::from_uuid(Uuid::from_u128(7)), offset: u64::MAX };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for bad in [
            "",
            ":",
            "ins_1:2",
            "x:1",
            "ins_00000000000000000000000000000007:+1",
            "ins_00000000000000000000000000000007:18446744073709551616",
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_id_is_a_uuid_or_an_agent() {
        let upper: ClientId = "0192F00D-0000-7000-8000-000000000001".parse().unwrap();
        let lower: ClientId = "0192f00d-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(upper, lower);
        assert_eq!("agent:fixer-2".parse::<ClientId>().unwrap().agent_id(), Some("fixer-2"));
        for bad in ["", "agent:", "agent:a b", "bob", "agent:../../x"] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
    }
}
