//! Screens, search and recordings.

use serde::{Deserialize, Serialize};

use crate::ids::Cursor;

/// In which form a screen is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SnapshotFormat {
    /// Terminal bytes: written to any terminal, they make it show the screen.
    #[default]
    Ansi,
    /// Lines of text.
    Text,
    /// A piece of HTML.
    Html,
    /// Cells with attributes, cursor, modes and title.
    Json,
}

/// A place in a session's output: a cursor, or a time (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Output bytes before it.
    Cursor(Cursor),
    /// Microseconds since 1970.
    Time(u64),
}

/// `GET …/search`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchAnswer {
    /// Hits, oldest first.
    pub items: Vec<SearchHit>,
    /// Go on from here with `cursor=`; null when everything kept was searched.
    pub next_cursor: Option<Cursor>,
    /// Bytes of output up to there that could not be searched: they were never kept, or are damaged.
    #[serde(default)]
    pub lost: u64,
}

/// A line in which something was found, as it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SearchHit {
    /// Right behind the line: the screen at this cursor shows it.
    pub cursor: Cursor,
    /// When it was written; RFC 3339.
    pub at: String,
    /// The line, without escape sequences; at most 4 KiB of it, around the hit.
    pub line: String,
    /// Where in `line` the hits are: start and end, in bytes of its UTF-8.
    pub matches: Vec<[u32; 2]>,
    /// Lines before it, oldest first.
    pub before: Vec<String>,
    /// Lines after it.
    pub after: Vec<String>,
}

/// `data` of an event of type `mark`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mark {
    /// `prompt`, `command`, `command_end`, `bell`, `notification`, `title`, `cwd`.
    pub kind: String,
    /// Right behind what made it.
    pub cursor: Cursor,
    /// The command line, notification, title or directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For `command_end`: the exit code, if the shell told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// For `command_end`: how long the command ran, if its beginning is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Marks right before this one that are no events, because there were too many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
}
