//! Requests to a worker, its answers and its events. One connection carries many clients (the bridge's), each under the
//! `attachment` number that the connection got when it attached them.

use bincode::{Decode, Encode};

use crate::error::ErrorCode;
use crate::ids::{ClientId, Epoch, InstanceId};
use crate::spec::Layer;

use super::record::{Class, ClientKind, ExitRecord, LeaseRecord};
use super::screen::ScreenState;

/// Number of an attached client on one connection. Unique in the worker, never reused by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Attachment(pub u64);

/// Columns and rows; both from 1 to [`Viewport::SIDE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Dimensions {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Dimensions {
    /// Whether a terminal can have this size.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.cols >= 1 && self.rows >= 1 && self.cols <= Viewport::SIDE_MAX && self.rows <= Viewport::SIDE_MAX
    }
}

/// How the session's size follows its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum SizePolicy {
    /// The owner's viewport.
    Holder,
    /// Always the same.
    Fixed,
    /// The owner's viewport, clipped.
    Cap {
        /// Most columns.
        max_cols: u16,
        /// Most rows.
        max_rows: u16,
    },
}

/// Attach a client. Answer: [`Attached`]. The same client id attached anew replaces the older ([`Replaced`]) and keeps the lease.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attach {
    /// Who.
    pub client: ClientId,
    /// What kind of client.
    pub kind: ClientKind,
    /// Person or agent, as the bridge knows it from the principal.
    pub class: Class,
    /// Name to show, at most 64 characters.
    pub name: String,
    /// What it can show, if it said.
    pub viewport: Option<Dimensions>,
    /// Its input stream, for `input_seq`; 0 if it has none.
    pub input_stream: u64,
}

/// The client is attached; the state as of this answer. Records sent later on this connection continue it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attached {
    /// The client's number on this connection.
    pub attachment: Attachment,
    /// This life of the program.
    pub instance: InstanceId,
    /// The lease.
    pub lease: LeaseRecord,
    /// Output bytes so far.
    pub head: u64,
    /// Oldest byte the journal keeps.
    pub oldest: u64,
    /// The terminal's size.
    pub size: Dimensions,
    /// Output bytes before the last change of size: a client from before it must not be sent plain bytes.
    pub resized_at: u64,
    /// How it follows the clients.
    pub policy: SizePolicy,
    /// Highest `seq` of the client's input stream that was typed.
    pub input_seq: u64,
    /// How the program ended, if it has.
    pub exit: Option<ExitRecord>,
}

/// Detach a client; a lease it held is released. Answer: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Detach {
    /// Which.
    pub attachment: Attachment,
    /// False: its connection dropped; presence ends now, its lease at expiry.
    pub release: bool,
}

/// Bytes of an [`InputHeader`] on the wire.
pub const INPUT_HEADER_BYTES: usize = 24;

/// The fixed front of an `Input` frame, little endian: attachment, epoch, seq. The bytes to type follow, untouched.
/// No answer is due; [`InputAck`] or [`InputRefused`] come as events when `seq` is not 0, refusals always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputHeader {
    /// Who types.
    pub attachment: Attachment,
    /// The epoch it was typed under.
    pub epoch: Epoch,
    /// Rises from 1 in its input stream; 0 = no acknowledgement.
    pub seq: u64,
}

impl InputHeader {
    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; INPUT_HEADER_BYTES] {
        let mut out = [0; INPUT_HEADER_BYTES];
        out[0..8].copy_from_slice(&self.attachment.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.epoch.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.to_le_bytes());
        out
    }

    /// Splits a payload into header and the bytes to type; `None` when it is too short.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (attachment, rest) = payload.split_first_chunk::<8>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (seq, bytes) = rest.split_first_chunk::<8>()?;
        let header = Self {
            attachment: Attachment(u64::from_le_bytes(*attachment)),
            epoch: Epoch(u64::from_le_bytes(*epoch)),
            seq: u64::from_le_bytes(*seq),
        };
        Some((header, bytes))
    }
}

/// The kernel took everything up to this `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InputAck {
    /// Whose.
    pub attachment: Attachment,
    /// Highest `seq` typed.
    pub seq: u64,
}

/// An input frame was refused; nothing of it was typed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InputRefused {
    /// Whose.
    pub attachment: Attachment,
    /// Its `seq`.
    pub seq: u64,
    /// Highest `seq` of the stream that was or will be typed.
    pub accepted: u64,
    /// `not_owner`, `lease_lost`, `input_full` or `session_ended`.
    pub code: ErrorCode,
    /// For `lease_lost`: who has it now.
    pub by: Option<String>,
    /// For `lease_lost`: since when, in microseconds since 1970.
    pub since_us: Option<u64>,
}

/// One write was in flight when the worker before this one was killed: whether it was typed is not known.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InputUncertain {
    /// Whose.
    pub client: ClientId,
    /// Of which input stream.
    pub stream: u64,
    /// Its `seq`.
    pub seq: u64,
}

/// What a client can show. Answer: `Done`. The size changes only if the client is the owner and the policy follows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Viewport {
    /// Whose.
    pub attachment: Attachment,
    /// How much.
    pub size: Dimensions,
}

impl Viewport {
    /// Most columns or rows of a terminal.
    pub const SIDE_MAX: u16 = 2000;
}

/// The owner sets the size. Answer: `Done`; `Failed` with `not_owner` or `size_fixed`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ResizeRequest {
    /// Who asks.
    pub attachment: Attachment,
    /// The new size.
    pub size: Dimensions,
}

/// Take the lease. Answer: `LeaseState`; `Failed` with `lease_held`. Repeating a request id repeats its answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// Who claims.
    pub attachment: Attachment,
    /// Even if somebody holds it, where the rules let it.
    pub force: bool,
    /// Only if the epoch is still this one.
    pub if_epoch: Option<Epoch>,
    /// Chosen by the client's side; 0 = none.
    pub request: u64,
}

/// Give the lease up. Answer: `LeaseState`; `Failed` with `not_owner`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    /// Who.
    pub attachment: Attachment,
}

/// Give the lease to somebody attached. Answer: `LeaseState`; `Failed` with `not_owner` or `client_not_attached`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Transfer {
    /// Who gives.
    pub attachment: Attachment,
    /// Who gets.
    pub to: ClientId,
}

/// A standing claim, carried out when the lease becomes free. Answer: `LeaseState` (of now).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RequestControl {
    /// Who asks.
    pub attachment: Attachment,
}

/// The owner says no. Answer: `Done`; `Failed` with `not_owner` or `client_not_attached`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DenyControl {
    /// Who says no.
    pub attachment: Attachment,
    /// To whom.
    pub client: ClientId,
}

/// Heartbeats end in the bridge; it tells only when a client falls silent or is heard again. Answer: `LeaseState`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Liveness {
    /// Which client.
    pub attachment: Attachment,
    /// False: nothing was heard for the lease's lifetime. True: it is back.
    pub alive: bool,
}

/// To the owner's connection: somebody asks for control.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ControlRequested {
    /// The owner, who is to be told.
    pub owner: ClientId,
    /// Who asks.
    pub client: ClientId,
    /// Its name.
    pub name: String,
}

/// To the asker's connection: the owner said no, or 60 s have passed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ControlDenied {
    /// Who asked.
    pub client: ClientId,
    /// Name of who said no; `None` when time ran out.
    pub by: Option<String>,
}

/// To the older connection of a client id: a newer took its place. The attachment is gone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Replaced {
    /// The older.
    pub attachment: Attachment,
}

/// One attached client, as presence shows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ClientEntry {
    /// Who.
    pub client: ClientId,
    /// What kind.
    pub kind: ClientKind,
    /// Its name.
    pub name: String,
    /// What it can show.
    pub viewport: Option<Dimensions>,
    /// Since when, in microseconds since 1970.
    pub attached_us: u64,
}

/// Who is attached now. Sent to every subscribed connection when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Clients {
    /// Everybody, by client id.
    pub clients: Vec<ClientEntry>,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum From {
    /// At the next record.
    Head,
    /// At the first record that reaches beyond this offset.
    Offset(u64),
}

/// Be sent every record from here on, and presence. Answer: [`Subscribed`]. Asking again moves the place.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Subscribe {
    /// Where to begin.
    pub from: From,
    /// Leave `Output` and `Stderr` out (sessiond wants to know of the end, not of the bytes).
    pub without_output: bool,
}

/// The first record sent begins at or before `start` and reaches beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Subscribed {
    /// Output offset of the subscription's beginning.
    pub start: u64,
    /// Bytes asked for that are no longer kept.
    pub lost: u64,
}

/// Whole records that overlap the range. Answer: `Range`; `Failed` with `cursor_trimmed`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReadRange {
    /// First output byte wanted.
    pub from: u64,
    /// About how many bytes of records, at most [`crate::frame::RANGE_BYTES_MAX`].
    pub max_bytes: u32,
}

/// Bytes of a [`RangeHeader`] on the wire.
pub const RANGE_HEADER_BYTES: usize = 24;

/// The fixed front of a `Range` frame, little endian. Whole records follow; the first may begin before `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeHeader {
    /// Output offset after the last record of this answer. Equal to `from`: nothing beyond is there yet; beyond it without a
    /// record: the output up to here is lost.
    pub next: u64,
    /// Output bytes so far.
    pub head: u64,
    /// Oldest byte kept.
    pub oldest: u64,
}

impl RangeHeader {
    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RANGE_HEADER_BYTES] {
        let mut out = [0; RANGE_HEADER_BYTES];
        out[0..8].copy_from_slice(&self.next.to_le_bytes());
        out[8..16].copy_from_slice(&self.head.to_le_bytes());
        out[16..24].copy_from_slice(&self.oldest.to_le_bytes());
        out
    }

    /// Splits a payload into header and records; `None` when it is too short.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (next, rest) = payload.split_first_chunk::<8>()?;
        let (head, rest) = rest.split_first_chunk::<8>()?;
        let (oldest, records) = rest.split_first_chunk::<8>()?;
        let header = Self {
            next: u64::from_le_bytes(*next),
            head: u64::from_le_bytes(*head),
            oldest: u64::from_le_bytes(*oldest),
        };
        Some((header, records))
    }
}

/// Signal the foreground process group. Answer: `Done`; `Failed` with `not_owner`, `lease_lost` or `session_ended`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignalRequest {
    /// Who asks.
    pub attachment: Attachment,
    /// The epoch it holds; `None` = whatever is current, if it is the owner.
    pub epoch: Option<Epoch>,
    /// Number of the signal.
    pub signal: i32,
}

/// End the session: SIGHUP, grace, SIGKILL to everything it started. Answer: `Done`, at once.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Close {
    /// Reaches every client.
    pub reason: String,
    /// Milliseconds between SIGHUP and SIGKILL.
    pub grace_ms: u32,
}

/// Keep at most so many bytes of journal. Answer: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Trim {
    /// Bytes on disk.
    pub max_bytes: u64,
}

/// Tell how things are. Answer: [`Inspection`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inspect {}

/// How things are.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inspection {
    /// The program's process.
    pub program_pid: u32,
    /// The worker's process.
    pub worker_pid: u32,
    /// This life.
    pub instance: InstanceId,
    /// The lease.
    pub lease: LeaseRecord,
    /// Who is attached.
    pub clients: Vec<ClientEntry>,
    /// Output bytes so far.
    pub head: u64,
    /// Oldest byte kept.
    pub oldest: u64,
    /// Oldest offset whose screen can be drawn.
    pub oldest_screen: u64,
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
    /// The terminal's size.
    pub size: Dimensions,
    /// How it follows the clients.
    pub policy: SizePolicy,
    /// Foreground process group leader and its command line, if there is one.
    pub foreground: Option<(u32, String)>,
    /// Working directory of the foreground process.
    pub cwd: Option<String>,
    /// The terminal echoes (ECHO) and edits lines (ICANON).
    pub echo: bool,
    /// The terminal edits lines itself (ICANON).
    pub canonical: bool,
    /// The shell itself is in the foreground and waits for a line.
    pub at_prompt: bool,
    /// What the program has switched on, as of the newest screen computed.
    pub screen: ScreenState,
    /// Bytes of input not yet taken by the kernel.
    pub input_queued: u64,
    /// Last output or input, in microseconds since 1970.
    pub last_activity_us: u64,
    /// How the program ended, if it has.
    pub exit: Option<ExitRecord>,
    /// Since when there is neither sessiond nor a client, in microseconds since 1970; `None` while there is one.
    pub parked_since_us: Option<u64>,
    /// How the program was confined when it was started; empty for `host`.
    pub layers: Vec<Layer>,
}

/// To every subscriber: the journal takes no records any more, or takes them again. Told once each, and to whoever subscribes
/// meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JournalState {
    /// What the file system says, at most [`JournalState::ERROR_CHARS_MAX`] characters; `None`: it can be written again.
    pub error: Option<String>,
    /// The first output byte that is missing, if one is.
    pub from: u64,
    /// Output bytes in no record since then; still rising while there is an error.
    pub lost: u64,
}

impl JournalState {
    /// Most characters of an error.
    pub const ERROR_CHARS_MAX: usize = 200;
}

/// Change what may change while a session lives; `None` leaves a thing as it is. Answer: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Configure {
    /// How the size follows the clients, and the size itself for `Fixed`.
    pub policy: Option<(SizePolicy, Option<Dimensions>)>,
    /// Seconds without output, input and client until it closes; 0 = never.
    pub idle_timeout_s: Option<u64>,
    /// Whether typed bytes are kept.
    pub record_input: Option<bool>,
}

/// A request failed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Failed {
    /// Stable code.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub message: String,
    /// For `lease_held`: name and kind of the owner.
    pub owner: Option<(String, ClientKind)>,
    /// For `cursor_trimmed`: the oldest offset kept.
    pub oldest: Option<u64>,
}
