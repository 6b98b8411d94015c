//! WebSocket frames of `/v1/terminal/streams/{session_id}`; JSON text. With the subprotocol `baton.v1.binary` the hot
//! ones are binary: see [`binary`].

use serde::{Deserialize, Serialize};

use crate::denied::Act;
use crate::error::ErrorCode;
use crate::ids::{ApprovalId, ClientId, Cursor, Epoch, InstanceId, SessionId};
use crate::v1::ClientKind;

use super::handback::Handback;
use super::session::{Client, Modes, SessionStatus, Size};

/// The subprotocol for binary hot frames.
pub const BINARY_SUBPROTOCOL: &str = "baton.v1.binary";

/// The subprotocol prefix that carries a login's key.
pub const KEY_SUBPROTOCOL_PREFIX: &str = "baton.key.";

/// Hot frames as binary messages.
pub mod binary {
    /// Output: kind, 8 bytes big-endian offset after these bytes, bytes.
    pub const DATA: u8 = 0;
    /// A screen: as `DATA`.
    pub const SNAPSHOT: u8 = 1;
    /// Input: kind, 8 bytes big-endian seq, 8 bytes big-endian epoch, bytes.
    pub const INPUT: u8 = 2;
    /// stderr of a process session: as `DATA`.
    pub const STDERR: u8 = 4;
    /// Bytes before the payload of `DATA`, `SNAPSHOT` and `STDERR`.
    pub const DATA_HEADER_BYTES: usize = 9;
    /// Bytes before the payload of `INPUT`.
    pub const INPUT_HEADER_BYTES: usize = 17;
}

/// Whether a client wants a screen instead of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotChoice {
    /// Exact bytes where that is small, else a screen.
    #[default]
    Auto,
    /// Always a screen first.
    Always,
    /// Every retained byte.
    Never,
}

/// What a client's own terminal is like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct TermFacts {
    /// Foreground colour.
    pub fg: Option<String>,
    /// Background colour.
    pub bg: Option<String>,
    /// Kitty keyboard protocol flags it has.
    pub kitty: Option<u32>,
    /// Its answer to DA1.
    pub da1: Option<String>,
    /// Cell size in pixels, width and height.
    pub cell_px: Option<[u16; 2]>,
}

/// client → server
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// First, within 5 s.
    Hello {
        /// Must equal the URL's.
        client_id: ClientId,
        /// Go on from here; beats the URL's `cursor`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_cursor: Option<Cursor>,
        /// What kind of client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_kind: Option<ClientKind>,
        /// Name to show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Columns it can show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cols: Option<u16>,
        /// Rows it can show.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u16>,
        /// A random number; `seq` counts within it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_stream: Option<u64>,
        /// Its own terminal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<TermFacts>,
        /// Whether it wants a screen instead of bytes.
        #[serde(default)]
        snapshot: SnapshotChoice,
    },
    /// Type this.
    Input {
        /// Bytes.
        data_b64: String,
        /// The epoch it was typed under.
        epoch: Epoch,
        /// Rises from 1; 0 or none = no acknowledgement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// Set the size; the owner only.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// What this client can show.
    Viewport {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Its own terminal has changed since `hello` (another colour scheme, another font): what it is like now, all of it.
    Facts {
        /// Its own terminal.
        term: TermFacts,
    },
    /// Its terminal has parsed up to here.
    Ack {
        /// Where.
        cursor: Cursor,
    },
    /// Take control.
    Claim {
        /// Even if somebody has it, where the rules let it.
        #[serde(default)]
        force: bool,
    },
    /// Give control up.
    Release,
    /// Give control to somebody.
    Transfer {
        /// To whom.
        to_client_id: ClientId,
    },
    /// Ask for control.
    RequestControl,
    /// The owner says no.
    DenyControl {
        /// To whom.
        client_id: ClientId,
    },
    /// A sign of life.
    Heartbeat,
    /// Leave; gives control up.
    Detach,
}

/// How the bytes after `ready` continue what the client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ResumeMode {
    /// Every byte from the cursor.
    Exact,
    /// A screen instead of retained bytes.
    Snapshot,
    /// `lost` bytes are no longer kept.
    Gap,
}

/// How something that keeps a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LimitState {
    /// It does not work now.
    Failing,
    /// It works again.
    Recovered,
    /// All of a session's limit is used.
    Reached,
    /// There is room again.
    Eased,
}

/// server → client
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// First: the state. `snapshot` or `data` follows.
    Ready {
        /// Which session.
        session_id: SessionId,
        /// Which life of the program.
        instance: InstanceId,
        /// Who has control.
        lease_owner: Option<ClientId>,
        /// That client's name.
        owner_name: Option<String>,
        /// That client's kind.
        owner_kind: Option<ClientKind>,
        /// The epoch.
        epoch: Epoch,
        /// RFC 3339.
        lease_expires_at: Option<String>,
        /// Output so far: replay is over when `data` reaches it.
        cursor: Cursor,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
        /// Size policy.
        size: Size,
        /// The program's modes.
        modes: Modes,
        /// Where the session is in its life.
        status: SessionStatus,
        /// Highest `seq` typed of this input stream.
        input_seq: u64,
        /// How the bytes continue.
        mode: ResumeMode,
        /// For `gap`: bytes that are no longer kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
        /// The program was started anew since the client's cursor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restarted: Option<bool>,
    },
    /// The screen at `cursor`.
    Snapshot {
        /// Terminal bytes.
        data_b64: String,
        /// Where.
        cursor: Cursor,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// Output.
    Data {
        /// Bytes.
        data_b64: String,
        /// After these bytes.
        cursor: Cursor,
    },
    /// The kernel took everything up to `seq`.
    InputAck {
        /// Highest typed.
        seq: u64,
    },
    /// Control changed (to all), or was renewed (to its owner).
    Lease {
        /// Who has it.
        owner: Option<ClientId>,
        /// The epoch.
        epoch: Epoch,
        /// RFC 3339.
        expires_at: Option<String>,
        /// The owner's name.
        owner_name: Option<String>,
        /// The owner's kind.
        owner_kind: Option<ClientKind>,
        /// Claimable by anybody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expired: Option<bool>,
    },
    /// To an agent that has control again after somebody else had it, and to one that attaches while that holds: what
    /// happened meanwhile. Comes after the `lease` frame, when everything up to there is known.
    Handback(Box<Handback>),
    /// Who is attached.
    Clients {
        /// Everybody.
        clients: Vec<Client>,
    },
    /// To the owner: somebody asks for control.
    ControlRequested {
        /// Who.
        client_id: ClientId,
        /// Its name.
        name: String,
    },
    /// To who asked: no.
    ControlDenied {
        /// Who said so; null when time ran out.
        by: Option<String>,
    },
    /// The program's modes changed.
    Mode {
        /// Alternate screen.
        alt_screen: bool,
        /// Mouse reporting.
        mouse_mode: Option<String>,
        /// Bracketed paste.
        bracketed_paste: bool,
        /// The program's title.
        title: Option<String>,
    },
    /// The size changed, at this place of the output.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
        /// Where.
        cursor: Cursor,
    },
    /// Something that keeps the session fails, or is back; or it has reached one of its limits. The session goes on, unless
    /// `message` says otherwise.
    Limit {
        /// What: `journal`, of which output is missing from here on until it is back; or the limit's name (`memory_bytes` …).
        what: String,
        /// `failing` and `recovered` of the journal, `reached` and `eased` of a limit.
        state: LimitState,
        /// What the system said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// For `recovered`: bytes of output that were not kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
        /// For `reached` and `eased`: the limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        /// For `reached`: what was seen and what follows, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The sandbox refused the program something. Told once a minute for the same, and not more than ten in all.
    Denied {
        /// What was tried.
        act: Act,
        /// With what: a path, or `HOST:PORT`.
        path: String,
        /// Why it is refused and what to do, for a person.
        message: String,
    },
    /// The program ended.
    Exit {
        /// Exit code.
        code: Option<i32>,
        /// Signal.
        signal: Option<i32>,
        /// Why.
        reason: String,
    },
    /// Something is wrong.
    Error {
        /// Stable code.
        code: ErrorCode,
        /// What happened and what to do.
        message: String,
        /// The refused input's `seq`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// Highest `seq` typed or to be typed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accepted: Option<u64>,
        /// For `lease_lost`: who has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// For `lease_lost`: since when, RFC 3339.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
        /// For `lease_held`: the owner's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner_name: Option<String>,
        /// For `lease_held`: the owner's kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner_kind: Option<ClientKind>,
        /// For `approval_required`: which approval asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval_id: Option<ApprovalId>,
    },
    /// Answer to a heartbeat.
    Pong {
        /// For the owner: when its lease would expire.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    },
}
