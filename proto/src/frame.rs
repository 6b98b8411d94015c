//! The header that every frame on a local socket and every record of a journal begins with.
//!
//! A journal record *is* a frame: a subscriber is sent the bytes of the journal as they are, and replay copies nothing.
//! All fields are little endian.
//!
//! ```text
//! offset size field
//!      0    4 len         bytes of payload behind the header
//!      4    2 kind        what the payload is; numbers are never reused
//!      6    2 flags       0
//!      8    8 at          records: output bytes before this one; messages: the request's id, 0 for an event
//!     16    8 wall_us     records: microseconds since 1970, clamped so that it never decreases
//!     24    4 mono_us     records: microseconds since the record before, saturating
//!     28    4 segment     records: number of the journal segment they were written to
//!     32    8 tag         records: low half of the instance id
//!     40    4 crc         records: CRC-32 (IEEE 802.3) of the bytes 0..40 and the payload; messages: 0
//!     44    4 reserved    0
//! ```

use crate::error::ProtoError;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 48;

/// Most bytes of output or input in one frame: one read window.
pub const DATA_BYTES_MAX: u32 = 64 * 1024;

/// Most bytes of journal records in one answer to `read_range`.
pub const RANGE_BYTES_MAX: u32 = 1024 * 1024;

/// No output is as long: an offset above it is of no record of ours. Leaves room for sums that cannot overflow.
pub const OFFSET_MAX: u64 = 1 << 62;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $max:expr;)*) => {
        /// The number of a frame's kind. Below 32 records, from 32 handshake, from 64 requests to a worker,
        /// from 128 its answers and events, from 192 requests to sessiond, from 224 its answers and events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// Every kind of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The kind with this number, if this version knows it.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Most bytes a payload of this kind may have.
            #[must_use]
            pub const fn payload_bytes_max(self) -> u32 {
                match self { $(Self::$name => $max),* }
            }
        }
    };
}

const CONTROL: u32 = narrow(crate::codec::CONTROL_BYTES_MAX);
const SPEC: u32 = narrow(crate::codec::SPEC_BYTES_MAX);
const INPUT: u32 = DATA_BYTES_MAX + narrow(crate::v1::INPUT_HEADER_BYTES);

/// A constant size as the header has it.
const fn narrow(bytes: usize) -> u32 {
    assert!(bytes <= RANGE_BYTES_MAX as usize);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above, when compiled")]
    {
        bytes as u32
    }
}

kinds! {
    /// Record: bytes the program wrote.
    Output = 1, DATA_BYTES_MAX;
    /// Record: bytes the program wrote to stderr (pipes only).
    Stderr = 2, DATA_BYTES_MAX;
    /// Record: somebody typed ([`crate::v1::InputRecord`]).
    InputMark = 3, DATA_BYTES_MAX + CONTROL;
    /// Record: the size changed ([`crate::v1::ResizeRecord`]).
    Resize = 4, CONTROL;
    /// Record: the lease changed ([`crate::v1::LeaseRecord`]).
    Lease = 5, CONTROL;
    /// Record: a mark ([`crate::v1::MarkRecord`]).
    Mark = 6, CONTROL;
    /// Record: the program ended ([`crate::v1::ExitRecord`]); nothing follows.
    Exit = 7, CONTROL;
    /// Record: output that could not be kept ([`crate::v1::GapRecord`]).
    Gap = 8, CONTROL;

    /// Handshake: [`crate::hello::Hello`].
    Hello = 32, 1024;
    /// Handshake: [`crate::hello::Welcome`].
    Welcome = 33, 1024;
    /// Handshake: [`crate::hello::Proof`].
    Proof = 34, 1024;
    /// Handshake: [`crate::hello::Accepted`].
    Accepted = 35, 1024;
    /// Handshake: [`crate::v1::Failed`], then the connection closes.
    Refused = 36, CONTROL;

    /// To a worker: [`crate::v1::Attach`].
    Attach = 64, CONTROL;
    /// To a worker: [`crate::v1::Detach`].
    Detach = 65, CONTROL;
    /// To a worker: [`crate::v1::InputHeader`] and the bytes to type.
    Input = 66, INPUT;
    /// To a worker: [`crate::v1::Viewport`].
    Viewport = 67, CONTROL;
    /// To a worker: [`crate::v1::ResizeRequest`].
    ResizeRequest = 68, CONTROL;
    /// To a worker: [`crate::v1::Claim`].
    Claim = 69, CONTROL;
    /// To a worker: [`crate::v1::Release`].
    Release = 70, CONTROL;
    /// To a worker: [`crate::v1::Transfer`].
    Transfer = 71, CONTROL;
    /// To a worker: [`crate::v1::RequestControl`].
    RequestControl = 72, CONTROL;
    /// To a worker: [`crate::v1::DenyControl`].
    DenyControl = 73, CONTROL;
    /// To a worker: [`crate::v1::Liveness`].
    Liveness = 74, CONTROL;
    /// To a worker: [`crate::v1::SnapshotRequest`].
    Snapshot = 76, CONTROL;
    /// To a worker: [`crate::v1::ReadRange`].
    ReadRange = 77, CONTROL;
    /// To a worker: a condition to wait for (reserved; not sent by this version).
    Wait = 78, CONTROL;
    /// To a worker: [`crate::v1::SignalRequest`].
    Signal = 79, CONTROL;
    /// To a worker: [`crate::v1::Close`].
    Close = 80, CONTROL;
    /// To a worker: [`crate::v1::Trim`].
    Trim = 81, CONTROL;
    /// To a worker: [`crate::v1::Inspect`].
    Inspect = 82, CONTROL;
    /// To a worker: hand over to a successor (reserved for upgrades; not sent by this version).
    Park = 83, CONTROL;
    /// To a worker: [`crate::v1::Subscribe`].
    Subscribe = 84, CONTROL;
    /// To a worker: [`crate::v1::Configure`].
    Configure = 85, CONTROL;
    /// To a worker: [`crate::v1::Locate`].
    Locate = 86, CONTROL;
    /// To a worker: [`crate::v1::TerminalFacts`].
    Facts = 87, CONTROL;

    /// From a worker or sessiond: done, with no body.
    Done = 128, 0;
    /// From a worker or sessiond: [`crate::v1::Failed`].
    Failed = 129, CONTROL;
    /// From a worker: [`crate::v1::Attached`].
    Attached = 130, CONTROL;
    /// From a worker: [`crate::v1::RangeHeader`], then whole journal records.
    Range = 131, RANGE_BYTES_MAX + 2 * (DATA_BYTES_MAX + CONTROL);
    /// From a worker: [`crate::v1::Inspection`].
    Inspection = 132, CONTROL;
    /// From a worker: [`crate::v1::LeaseRecord`] as the answer to a claim, release or transfer.
    LeaseState = 133, CONTROL;
    /// From a worker: [`crate::v1::Subscribed`].
    Subscribed = 134, CONTROL;
    /// From a worker: [`crate::v1::Clients`].
    Clients = 135, SPEC;
    /// From a worker: [`crate::v1::InputAck`].
    InputAck = 136, CONTROL;
    /// From a worker: [`crate::v1::InputRefused`].
    InputRefused = 137, CONTROL;
    /// From a worker: [`crate::v1::ControlRequested`].
    ControlRequested = 138, CONTROL;
    /// From a worker: [`crate::v1::ControlDenied`].
    ControlDenied = 139, CONTROL;
    /// From a worker: [`crate::v1::Replaced`].
    Replaced = 140, CONTROL;
    /// From a worker: [`crate::v1::InputUncertain`].
    InputUncertain = 141, CONTROL;
    /// From a worker: [`crate::v1::ScreenHeader`], then a part of a screen.
    Screen = 142, RANGE_BYTES_MAX + narrow(crate::v1::SCREEN_HEADER_BYTES);
    /// From a worker: [`crate::v1::Located`].
    Located = 143, CONTROL;
    /// From a worker: [`crate::v1::ScreenState`].
    ScreenState = 144, CONTROL;
    /// From a worker: [`crate::v1::JournalState`].
    JournalState = 145, CONTROL;
    /// From a worker: [`crate::limits::LimitReached`].
    LimitReached = 146, CONTROL;
    /// From a worker: [`crate::denied::Denied`].
    Denied = 147, CONTROL;

    /// To sessiond: [`crate::spec::SessionSpec`].
    Spawn = 192, SPEC;
    /// To sessiond: [`crate::v1::ListSessions`].
    ListSessions = 193, CONTROL;
    /// To sessiond: [`crate::v1::OpenSession`].
    OpenSession = 194, CONTROL;
    /// To sessiond: [`crate::v1::ForgetSession`].
    ForgetSession = 195, CONTROL;
    /// To sessiond: [`crate::v1::AskStatus`].
    AskStatus = 196, CONTROL;
    /// To sessiond: [`crate::v1::Respawn`].
    Respawn = 197, SPEC;
    /// To sessiond: [`crate::v1::Upgrade`].
    Upgrade = 198, CONTROL;
    /// To sessiond: [`crate::v1::EditSettings`].
    EditSettings = 199, CONTROL;
    /// From sessiond: [`crate::v1::SessionEntry`], the answer to `Spawn`, `OpenSession` and `Respawn`.
    Session = 224, SPEC;
    /// From sessiond: [`crate::v1::Sessions`]; `last` ends the answer.
    Sessions = 225, SPEC;
    /// From sessiond: [`crate::v1::SupervisorStatus`].
    Status = 226, CONTROL;
    /// From sessiond, unasked: [`crate::v1::SessionEntry`] of a session whose status changed.
    SessionChanged = 227, SPEC;
}

impl Kind {
    /// The stable number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether a frame of this number is a record (data), so that an unknown one ends the connection.
    #[must_use]
    pub const fn is_record_number(number: u16) -> bool {
        number < 32
    }
}

/// The fields of a header. `crc`, `tag`, `segment` and the times are set for records only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Bytes of payload.
    pub len: u32,
    /// The kind's number; it may be one this version does not know.
    pub kind: u16,
    /// Records: output bytes before this one. Messages: the request's id, 0 for an event.
    pub at: u64,
    /// Microseconds since 1970.
    pub wall_us: u64,
    /// Microseconds since the record before.
    pub mono_us: u32,
    /// Number of the journal segment.
    pub segment: u32,
    /// Low half of the instance id.
    pub tag: u64,
    /// CRC-32 of the header's first 40 bytes and the payload.
    pub crc: u32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Header {
    /// The header of a message.
    #[must_use]
    pub fn message(kind: Kind, at: u64, len: u32) -> Self {
        Self { len, kind: kind.number(), at, ..Self::default() }
    }

    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&self.len.to_le_bytes());
        out[4..6].copy_from_slice(&self.kind.to_le_bytes());
        out[8..16].copy_from_slice(&self.at.to_le_bytes());
        out[16..24].copy_from_slice(&self.wall_us.to_le_bytes());
        out[24..28].copy_from_slice(&self.mono_us.to_le_bytes());
        out[28..32].copy_from_slice(&self.segment.to_le_bytes());
        out[32..40].copy_from_slice(&self.tag.to_le_bytes());
        out[40..44].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    /// Sets `crc` for this payload.
    #[must_use]
    pub fn sealed(mut self, payload: &[u8]) -> Self {
        self.crc = self.checksum(payload);
        self
    }

    /// Whether `crc` fits the header and this payload.
    #[must_use]
    pub fn is_intact(&self, payload: &[u8]) -> bool {
        self.crc == self.checksum(payload)
    }

    fn checksum(&self, payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.to_bytes()[..40]);
        hasher.update(payload);
        hasher.finalize()
    }

    /// Reads a header from the front of `bytes`; `None` while they are fewer than [`HEADER_BYTES`].
    ///
    /// The size is checked here, before anybody allocates: a kind this version does not know may carry what a
    /// control message may, and is skipped; an unknown *record* is refused.
    ///
    /// # Errors
    /// [`ProtoError::TooLarge`], [`ProtoError::UnknownKind`], [`ProtoError::Reserved`].
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProtoError> {
        if bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        let header = Self {
            len: u32::from_le_bytes(array(bytes, 0)),
            kind: u16::from_le_bytes(array(bytes, 4)),
            at: u64::from_le_bytes(array(bytes, 8)),
            wall_us: u64::from_le_bytes(array(bytes, 16)),
            mono_us: u32::from_le_bytes(array(bytes, 24)),
            segment: u32::from_le_bytes(array(bytes, 28)),
            tag: u64::from_le_bytes(array(bytes, 32)),
            crc: u32::from_le_bytes(array(bytes, 40)),
        };
        let max = match Kind::from_number(header.kind) {
            Some(kind) => kind.payload_bytes_max(),
            None if Kind::is_record_number(header.kind) => {
                return Err(ProtoError::UnknownKind { kind: header.kind });
            }
            None => CONTROL,
        };
        if header.len > max {
            return Err(ProtoError::TooLarge { kind: header.kind, len: header.len, max });
        }
        if bytes[6..8] != [0, 0] || bytes[44..48] != [0; 4] {
            return Err(ProtoError::Reserved { kind: header.kind });
        }
        Ok(Some(header))
    }

    /// The kind, if this version knows it.
    #[must_use]
    pub const fn known_kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }
}

/// A whole frame at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, `header.len` bytes.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the front of `bytes`; `None` means "need more", which is a normal answer.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, ProtoError> {
        let Some(header) = Header::parse(bytes)? else { return Ok(None) };
        let end = HEADER_BYTES + header.len as usize;
        Ok(bytes.get(HEADER_BYTES..end).map(|payload| Self { header, payload }))
    }

    /// Bytes of header and payload together.
    #[must_use]
    pub const fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

/// Appends a message with this body to `out`.
///
/// # Errors
/// [`ProtoError::Body`] when the body is larger than its kind may be.
pub fn write_message<T: bincode::Encode>(kind: Kind, at: u64, body: &T, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let written = if kind.payload_bytes_max() > CONTROL {
        crate::codec::encode_large(kind, body, out)
    } else {
        crate::codec::encode(kind, body, out)
    };
    if let Err(err) = written {
        out.truncate(start);
        return Err(err);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the codec's limit is far below 4 GiB")]
    let len = (out.len() - start - HEADER_BYTES) as u32;
    out[start..start + HEADER_BYTES].copy_from_slice(&Header::message(kind, at, len).to_bytes());
    Ok(())
}

/// Appends a message without body.
pub fn write_empty(kind: Kind, at: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&Header::message(kind, at, 0).to_bytes());
}

/// Reads a message body that belongs to this frame.
///
/// # Errors
/// [`ProtoError::Body`] when the bytes are not this message.
pub fn read_body<T: bincode::Decode<()>>(kind: Kind, payload: &[u8]) -> Result<T, ProtoError> {
    if kind.payload_bytes_max() > CONTROL {
        crate::codec::decode_large(kind, payload)
    } else {
        crate::codec::decode(kind, payload)
    }
}
