//! What answers are made of: the terminal's state as it is right before the query.

use crate::facts::Rgb;
use crate::view::{CursorView, Modes, Mouse, MouseEncoding, Style};

/// A colour that is not one of the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dynamic {
    /// OSC 10.
    Foreground,
    /// OSC 11.
    Background,
    /// OSC 12.
    Cursor,
}

/// The terminal's state. Asked for only when there is something to answer, so it may be worked out then.
pub trait State {
    /// Columns and rows.
    fn size(&self) -> (u16, u16);
    /// The cursor.
    fn cursor(&self) -> CursorView;
    /// First and last row of the scroll region, from 0.
    fn margins(&self) -> (u16, u16);
    /// How the next character is drawn.
    fn pen(&self) -> Style;
    /// What is switched on.
    fn modes(&self) -> Modes;
    /// An update is going on that the program wants shown at once (mode 2026).
    fn synchronised(&self) -> bool;
    /// Backspace at the first column goes to the line before (mode 45).
    fn reverse_wraparound(&self) -> bool;
    /// The level of `modifyOtherKeys`.
    fn modify_other_keys(&self) -> u8;
    /// A colour of the palette that the program has set.
    fn palette(&self, index: u8) -> Option<Rgb>;
    /// Another colour that the program has set.
    fn dynamic(&self, which: Dynamic) -> Option<Rgb>;
}

/// Whether a mode of ECMA-48 is set; `None` for those this terminal has not.
pub(super) fn ansi_mode(state: &impl State, mode: u16) -> Option<bool> {
    match mode {
        4 => Some(state.modes().insert),
        20 => Some(state.modes().newline),
        _ => None,
    }
}

/// Whether a private mode is set; `None` for those this terminal has not.
pub(super) fn private_mode(state: &impl State, mode: u16) -> Option<bool> {
    let modes = state.modes();
    Some(match mode {
        1 => modes.application_cursor,
        5 => modes.reverse_video,
        6 => modes.origin,
        7 => modes.autowrap,
        9 => modes.mouse == Mouse::X10,
        12 => state.cursor().blinking,
        25 => state.cursor().visible,
        47 | 1047 | 1049 => modes.alt_screen,
        45 => state.reverse_wraparound(),
        66 => modes.application_keypad,
        1000 => modes.mouse == Mouse::Clicks,
        1002 => modes.mouse == Mouse::Drags,
        1003 => modes.mouse == Mouse::All,
        1004 => modes.focus_reports,
        1005 => modes.mouse_encoding == MouseEncoding::Utf8,
        1006 => modes.mouse_encoding == MouseEncoding::Sgr,
        1007 => modes.alternate_scroll,
        1016 => modes.mouse_encoding == MouseEncoding::SgrPixels,
        2004 => modes.bracketed_paste,
        2026 => state.synchronised(),
        _ => return None,
    })
}
