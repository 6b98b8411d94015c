//! The screen: asking a worker for it, and what a worker tells of it unasked.

use bincode::{Decode, Encode};

use super::worker::Attachment;

/// Which screen is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ScreenAt {
    /// The newest.
    Head,
    /// As it was after so many bytes of output.
    Offset(u64),
    /// As it was at this time, in microseconds since 1970.
    Time(u64),
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum ScreenFormat {
    /// Terminal bytes: written to any terminal, they make it show the screen.
    Ansi,
    /// Lines of text.
    Text,
    /// A piece of HTML.
    Html,
    /// Cells with attributes, cursor, modes and title.
    Json,
}

/// Draw the screen. Answer: one or more `Screen` frames with this id, which may come after answers to later requests;
/// `Failed` with `cursor_trimmed` (and the oldest offset that can be drawn) or `invalid` (an offset not reached yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotRequest {
    /// Which.
    pub at: ScreenAt,
    /// How.
    pub format: ScreenFormat,
    /// Lines above the screen, at most [`Self::HISTORY_MAX`]; those no longer kept are left out.
    pub history: u32,
}

impl SnapshotRequest {
    /// Most lines of history in one answer.
    pub const HISTORY_MAX: u32 = 10_000;
}

/// Bytes of a [`ScreenHeader`] on the wire.
pub const SCREEN_HEADER_BYTES: usize = 24;

/// The fixed front of a `Screen` frame, little endian: offset, wall time, columns, rows, flags. A part of the screen's bytes
/// follows, at most [`crate::frame::RANGE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenHeader {
    /// The screen is as it was after so many bytes: the last place at or before the one asked where no sequence is half
    /// written. The stream goes on from here.
    pub offset: u64,
    /// When these bytes came, in microseconds since 1970.
    pub wall_us: u64,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// No part follows.
    pub last: bool,
    /// Output that was never kept lies before it: the screen is as good as what is left of the journal.
    pub approximate: bool,
}

impl ScreenHeader {
    /// The header as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; SCREEN_HEADER_BYTES] {
        let mut out = [0; SCREEN_HEADER_BYTES];
        out[0..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..16].copy_from_slice(&self.wall_us.to_le_bytes());
        out[16..18].copy_from_slice(&self.cols.to_le_bytes());
        out[18..20].copy_from_slice(&self.rows.to_le_bytes());
        let flags = u32::from(self.last) | u32::from(self.approximate) << 1;
        out[20..24].copy_from_slice(&flags.to_le_bytes());
        out
    }

    /// Splits a payload into header and bytes; `None` when it is too short. Flags of a newer version are ignored.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (offset, rest) = payload.split_first_chunk::<8>()?;
        let (wall_us, rest) = rest.split_first_chunk::<8>()?;
        let (cols, rest) = rest.split_first_chunk::<2>()?;
        let (rows, rest) = rest.split_first_chunk::<2>()?;
        let (flags, bytes) = rest.split_first_chunk::<4>()?;
        let flags = u32::from_le_bytes(*flags);
        let header = Self {
            offset: u64::from_le_bytes(*offset),
            wall_us: u64::from_le_bytes(*wall_us),
            cols: u16::from_le_bytes(*cols),
            rows: u16::from_le_bytes(*rows),
            last: flags & 1 != 0,
            approximate: flags & 2 != 0,
        };
        Some((header, bytes))
    }
}

/// Find the place in the output at a time. Answer: [`Located`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Locate {
    /// Microseconds since 1970.
    pub wall_us: u64,
}

/// All output that had come by that time is before `offset`; the oldest kept when the time is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Located {
    /// Output bytes before the place.
    pub offset: u64,
    /// When the record at this place came, or the newest one, in microseconds since 1970.
    pub wall_us: u64,
}

/// What a client's own terminal is like; queries are answered from what the lease's owner said last. Answer: `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TerminalFacts {
    /// Whose.
    pub attachment: Attachment,
    /// Foreground: red, green, blue.
    pub fg: Option<[u8; 3]>,
    /// Background.
    pub bg: Option<[u8; 3]>,
    /// Kitty keyboard flags it has.
    pub kitty: Option<u32>,
    /// Its answer to DA1, without introducer and final byte: `62;22`; digits and semicolons, at most 64.
    pub da1: Option<String>,
    /// Width and height of a cell in pixels.
    pub cell_px: Option<(u16, u16)>,
}

/// What mouse movements the program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
pub enum MouseMode {
    /// None.
    #[default]
    None,
    /// Mode 9: presses.
    X10,
    /// Mode 1000: presses and releases.
    Clicks,
    /// Mode 1002: and drags.
    Drags,
    /// Mode 1003: every movement.
    All,
}

/// What the program has switched on. Sent to subscribed connections at the beginning and when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[expect(clippy::struct_excessive_bools, reason = "independent modes of a terminal")]
pub struct ScreenState {
    /// As of so many bytes of output.
    pub offset: u64,
    /// The alternate screen is shown.
    pub alt_screen: bool,
    /// Mouse reports.
    pub mouse: MouseMode,
    /// Focus reports.
    pub focus_reports: bool,
    /// Bracketed paste.
    pub bracketed_paste: bool,
    /// Arrow keys are typed as `ESC O`.
    pub application_cursor: bool,
    /// Kitty keyboard flags in force.
    pub kitty_keyboard: u32,
    /// The program's title, at most 4 KiB.
    pub title: Option<String>,
    /// The directory the program told (OSC 7), at most 4 KiB.
    pub cwd: Option<String>,
}
