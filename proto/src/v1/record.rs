//! Bodies of journal records. `Output` and `Stderr` have none: their payload is the program's bytes.

use bincode::{Decode, Encode};

use super::worker::Dimensions;
use crate::ids::{ClientId, Epoch};

/// Somebody typed: who, under which epoch, how much. The bytes only when the session records input.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct InputRecord {
    /// Who.
    pub client: ClientId,
    /// The client's input stream (a random number of its choice).
    pub stream: u64,
    /// The epoch it was typed under.
    pub epoch: Epoch,
    /// The highest `seq` the kernel has taken; 0 for input without one.
    pub seq: u64,
    /// Bytes typed.
    pub len: u32,
    /// The bytes, when asked for; never while the terminal asks for a password.
    pub bytes: Option<Vec<u8>>,
}

/// The terminal has a new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ResizeRecord {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What kind of thing a client is; decides how it is shown and, with [`Class`], what it may force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// A browser tab.
    Web,
    /// The desktop window.
    Desktop,
    /// The command line.
    Cli,
    /// An agent.
    Agent,
    /// An MCP server.
    Mcp,
}

/// Person or agent: an agent never forces a person's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person, or a script of one.
    Person,
    /// An agent.
    Agent,
}

/// Who holds the lease, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LeaseOwner {
    /// Its client id.
    pub client: ClientId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ClientKind,
    /// Person or agent.
    pub class: Class,
}

/// The lease as it is from here on. Journalled, so that a successor has owner and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LeaseRecord {
    /// The epoch; rises with each change of owner.
    pub epoch: Epoch,
    /// The owner, if any.
    pub owner: Option<LeaseOwner>,
    /// Nothing was heard of the owner for the lease's lifetime: whoever claims gets it.
    pub expired: bool,
    /// Milliseconds until the lease expires, counted from this record; `None` while the connection that carries it lives.
    pub expires_in_ms: Option<u64>,
}

/// What a [`MarkRecord`] marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum MarkKind {
    /// The shell shows a prompt.
    Prompt,
    /// A command starts.
    Command,
    /// A command ended; the text is its exit code.
    CommandEnd,
    /// The bell rang.
    Bell,
    /// A notification; the text is what it says.
    Notification,
    /// The program's title.
    Title,
    /// The working directory.
    Cwd,
    /// A write was in flight when a worker died; the text is `client stream seq`.
    InputUncertain,
}

/// Something worth finding again happened here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MarkRecord {
    /// Output bytes up to and with what made it: the record itself may stand later in the journal.
    pub offset: u64,
    /// What.
    pub kind: MarkKind,
    /// Its text, at most 4 KiB.
    pub text: String,
}

/// The program ended. `code` and `signal` are both `None` when nobody could learn the status; it is never guessed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ExitRecord {
    /// Exit code.
    pub code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Why: `exit`, `signal`, the reason given to `close`, `idle_timeout`, `parked`, `status_unknown`.
    pub reason: String,
    /// Whether somebody asked for the end (`closed`) or the program ended by itself (`exited`).
    pub closed: bool,
}

/// Output passed through that the journal could not keep. The next record begins `lost` bytes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct GapRecord {
    /// Bytes that are not in the journal.
    pub lost: u64,
}

/// Input streams a journal remembers; the one unused for longest is forgotten.
pub const STREAMS_MAX: usize = 128;

/// Up to where an input stream was typed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StreamPosition {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub stream: u64,
    /// Highest `seq` typed (or uncertain, and never to be retried).
    pub seq: u64,
}

/// What must be known of the past to go on: carried in the head of each journal segment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CarriedState {
    /// The lease.
    pub lease: LeaseRecord,
    /// The terminal's size.
    pub size: Dimensions,
    /// Output bytes before the last change of size.
    pub resized_at: u64,
    /// Input streams, the longest unused first.
    pub streams: Vec<StreamPosition>,
}

impl CarriedState {
    /// The highest `seq` typed of a stream.
    #[must_use]
    pub fn typed(&self, client: &ClientId, stream: u64) -> u64 {
        self.streams.iter().find(|it| it.stream == stream && it.client == *client).map_or(0, |it| it.seq)
    }

    /// A stream was typed up to `seq`.
    pub fn set_typed(&mut self, client: &ClientId, stream: u64, seq: u64) {
        let mut position = match self.streams.iter().position(|it| it.stream == stream && it.client == *client) {
            Some(at) => self.streams.remove(at),
            None => StreamPosition { client: client.clone(), stream, seq: 0 },
        };
        position.seq = position.seq.max(seq);
        if self.streams.len() >= STREAMS_MAX {
            self.streams.remove(0);
        }
        self.streams.push(position);
    }
}
