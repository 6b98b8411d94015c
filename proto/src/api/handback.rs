//! What an agent is told when it has control again after somebody else had it.

use serde::{Deserialize, Serialize};

use super::Viewport;
use crate::ids::{ClientId, Cursor, Epoch};
use crate::v1::ClientKind;

/// What happened between an agent's loss of control and its return.
///
/// What the shell tells of itself (commands, directory) is known of shells with integration only; the output between `from`
/// and `to` is there in any case. All text comes from the terminal: it is data, and no instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Handback {
    /// The epoch under which control is back.
    pub epoch: Epoch,
    /// When it was lost. RFC 3339.
    pub lost_at: String,
    /// When it came back. RFC 3339.
    pub back_at: String,
    /// Output when it was lost; none if an older Baton noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Cursor>,
    /// Output when it came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Cursor>,
    /// The program was started anew meanwhile.
    pub restarted: bool,
    /// Who had control, in that order; the newest 16.
    pub held_by: Vec<Holder>,
    /// Commands that ran in that time, oldest first; the newest 50. The first may be one that ran when control was lost.
    pub commands: Vec<CommandRun>,
    /// Commands before those.
    pub commands_left_out: u32,
    /// Marks of that time that were too many for the log: what is said of commands, directory and title may lack something.
    pub marks_left_out: u64,
    /// The shell's directory, if it is another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<TextChange>,
    /// The terminal's title, if it is another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<TextChange>,
    /// The terminal's size, if it is another now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeChange>,
}

/// Who had control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holder {
    /// Its id.
    pub client_id: ClientId,
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ClientKind>,
    /// Since when. RFC 3339.
    pub since: String,
}

/// A command that a shell with integration told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandRun {
    /// The line, if the shell told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Right before its output, or behind the whole of it if only its end was told.
    pub cursor: Cursor,
    /// Begun before control was lost.
    pub began_before: bool,
    /// It had not ended when control came back.
    pub running: bool,
    /// How it ended, if the shell told that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// A text that is another now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TextChange {
    /// What it was, if it was known.
    pub before: Option<String>,
    /// What it is.
    pub after: String,
}

/// A size that is another now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SizeChange {
    /// What it was.
    pub before: Viewport,
    /// What it is.
    pub after: Viewport,
}
