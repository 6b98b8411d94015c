//! Stable error codes, and what can be wrong with bytes from a socket.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Why bytes from a peer were refused. The connection that sent them is closed; no other notices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoError {
    /// The header announces more than this kind of frame may carry.
    #[error("a frame of kind {kind} announces {len} bytes, more than the {max} it may carry")]
    TooLarge {
        /// The frame's number.
        kind: u16,
        /// What the header announces, in bytes.
        len: u32,
        /// What the kind may carry, in bytes.
        max: u32,
    },
    /// A data frame of a kind this version does not know: nothing after it can be trusted.
    #[error("a data frame of the unknown kind {kind}")]
    UnknownKind {
        /// The frame's number.
        kind: u16,
    },
    /// A reserved field is not zero.
    #[error("a frame of kind {kind} has a reserved field that is not zero")]
    Reserved {
        /// The frame's number.
        kind: u16,
    },
    /// The body is not a message of its kind.
    #[error("a frame of kind {kind} has a body that is not its message: {why}")]
    Body {
        /// The frame's number.
        kind: u16,
        /// What the decoder said.
        why: String,
    },
    /// A message that does not belong at this place of the conversation.
    #[error("a frame of kind {kind} is out of order: {expected} was due")]
    OutOfOrder {
        /// The frame's number.
        kind: u16,
        /// What was due.
        expected: &'static str,
    },
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:tt, $text:literal, $status:literal, $title:literal;)*) => {
        /// The stable codes of errors: one list for local sockets, HTTP problems and WebSocket `error` frames.
        ///
        /// Numbers (local sockets) and texts (public API) are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $number,)*
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The code as the public API spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The HTTP status the code travels with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// A few words for a person, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

error_codes! {
    /// The request is malformed.
    Invalid = 1, "invalid", 400, "The request is not valid";
    /// No token, or not one of ours.
    Unauthenticated = 2, "unauthenticated", 401, "Not signed in";
    /// The principal may not do this.
    Forbidden = 3, "forbidden", 403, "Not allowed";
    /// A policy or a person said no.
    Denied = 4, "denied", 403, "Denied";
    /// Another principal used this client id first.
    ClientIdTaken = 5, "client_id_taken", 403, "This client id belongs to somebody else";
    /// There is no such thing, or not for this principal.
    NotFound = 6, "not_found", 404, "Not found";
    /// The client is not attached to the session.
    ClientNotAttached = 7, "client_not_attached", 404, "This client is not attached";
    /// Somebody else holds the lease.
    LeaseHeld = 8, "lease_held", 409, "Somebody else has control";
    /// The sender does not hold the lease.
    NotOwner = 9, "not_owner", 409, "You do not have control";
    /// The sender held the lease and lost it.
    LeaseLost = 10, "lease_lost", 409, "Control has moved on";
    /// A living session has this title already.
    NameTaken = 11, "name_taken", 409, "The name is taken";
    /// The settings changed in between.
    RevisionConflict = 12, "revision_conflict", 409, "Somebody changed it first";
    /// What an approval showed is no longer so.
    ContextChanged = 13, "context_changed", 409, "The context has changed";
    /// A decision was made already.
    AlreadyDecided = 14, "already_decided", 409, "Already decided";
    /// The session is still running.
    SessionRunning = 15, "session_running", 409, "The session is running";
    /// The session has ended.
    SessionEnded = 16, "session_ended", 409, "The session has ended";
    /// The shell is not at a prompt, or the thing is in use.
    Busy = 17, "busy", 409, "Busy";
    /// A turn is already under way.
    TurnInProgress = 18, "turn_in_progress", 409, "A turn is in progress";
    /// The session's size is fixed.
    SizeFixed = 19, "size_fixed", 409, "The size is fixed";
    /// The state machine has no such step.
    InvalidTransition = 20, "invalid_transition", 409, "Not possible in this state";
    /// The journal no longer keeps this cursor.
    CursorTrimmed = 21, "cursor_trimmed", 410, "This part of the journal is no longer kept";
    /// The file changed in between.
    EtagMismatch = 22, "etag_mismatch", 412, "Somebody changed it first";
    /// More bytes than allowed.
    TooLarge = 23, "too_large", 413, "Too large";
    /// The path leaves the workspace.
    PathRefused = 24, "path_refused", 422, "The path is refused";
    /// The idempotency key was used with another body.
    IdempotencyMismatch = 25, "idempotency_mismatch", 422, "The idempotency key was used for something else";
    /// Too many requests.
    RateLimited = 26, "rate_limited", 429, "Too many requests";
    /// The program does not read its input; the queue is full.
    InputFull = 27, "input_full", 429, "The program does not read its input";
    /// sessiond does not answer.
    SessiondDown = 28, "sessiond_down", 503, "sessiond does not answer";
    /// The first WebSocket message was not `hello`, or it did not come in time.
    HelloRequired = 29, "hello_required", 400, "hello must come first";
    /// A newer connection with the same client id took this one's place.
    Replaced = 30, "replaced", 409, "A newer connection took this one's place";
    /// A write was in flight when the worker died; it may or may not have been typed.
    InputUncertain = 31, "input_uncertain", 409, "Whether the last input was typed is not known";
    /// Something of ours failed.
    Internal = 32, "internal", 500, "Baton failed";
    /// The peer is not who it must be, or speaks no version we know.
    Refused = 33, "refused", 403, "Refused";
    /// There is no room on the disk for what was asked.
    DiskFull = 34, "disk_full", 507, "The disk is full";
    /// A person has to approve it first; which approval asks is beside the code.
    ApprovalRequired = 35, "approval_required", 409, "A person has to approve it";
}

// By hand: the derived codec would send a code's place in the list instead of its number.
impl Encode for ErrorCode {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        (*self as u32).encode(encoder)
    }
}

impl<C> Decode<C> for ErrorCode {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        // A newer peer may know more codes; the text beside the code still says what happened.
        Ok(Self::from_number(u32::decode(decoder)?).unwrap_or(Self::Internal))
    }
}

impl<'de, C> bincode::BorrowDecode<'de, C> for ErrorCode {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
