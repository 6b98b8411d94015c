//! A screen as data: what every format is written from, and what tests compare.

use serde::Serialize;

/// A colour of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// The terminal's own foreground, background or underline colour.
    #[default]
    Default,
    /// One of the 256 of the palette; the first sixteen are the terminal's own.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a cell is underlined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Underline {
    /// Not.
    #[default]
    None,
    /// By one line.
    Single,
    /// By two.
    Double,
    /// By a wave.
    Curly,
    /// By dots.
    Dotted,
    /// By dashes.
    Dashed,
}

/// How characters are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent attributes of a terminal's cell")]
pub struct Style {
    /// Foreground.
    pub fg: Colour,
    /// Background.
    pub bg: Colour,
    /// Of the underline.
    pub underline_colour: Colour,
    /// How it is underlined.
    pub underline: Underline,
    /// SGR 1.
    pub bold: bool,
    /// SGR 2.
    pub dim: bool,
    /// SGR 3.
    pub italic: bool,
    /// SGR 5.
    pub blink: bool,
    /// SGR 7.
    pub inverse: bool,
    /// SGR 8.
    pub hidden: bool,
    /// SGR 9.
    pub strikethrough: bool,
    /// SGR 53.
    pub overline: bool,
}

/// A link of OSC 8.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Link {
    /// The `id=` the program gave, if it gave one.
    pub id: Option<String>,
    /// Where it leads.
    pub uri: String,
}

/// One place of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The character and the combining ones behind it. Empty in the second half of a wide one.
    pub text: String,
    /// Columns: 1, 2, or 0 for the second half of a wide one.
    pub width: u8,
    /// How it is drawn.
    pub style: Style,
    /// Where it leads; an index into [`Screenful::links`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<usize>,
}

/// One line of the grid, as wide as the screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its cells.
    pub cells: Vec<Cell>,
    /// The text goes on in the next line: the program did not end it, the margin did.
    pub wrapped: bool,
}

/// The cursor's shape (DECSCUSR).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The terminal's own.
    #[default]
    Default,
    /// A block.
    Block,
    /// A line below.
    Underline,
    /// A line before.
    Bar,
}

/// Where the next character goes, and how the place looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CursorView {
    /// From 0.
    pub row: u16,
    /// From 0; the last column also when the next character wraps.
    pub col: u16,
    /// The next character goes to the next line.
    pub wrap_pending: bool,
    /// DECTCEM.
    pub visible: bool,
    /// Its shape.
    pub shape: Shape,
    /// Whether it blinks, as far as the program said.
    pub blinking: bool,
}

/// What mouse movements a program is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mouse {
    /// None.
    #[default]
    None,
    /// Mode 9: presses.
    X10,
    /// Mode 1000: presses and releases.
    Clicks,
    /// Mode 1002: and drags.
    Drags,
    /// Mode 1003: and every movement.
    All,
}

/// How mouse reports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MouseEncoding {
    /// Three bytes.
    #[default]
    Default,
    /// Mode 1005.
    Utf8,
    /// Mode 1006.
    Sgr,
    /// Mode 1016: SGR in pixels.
    SgrPixels,
}

/// What the program has switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent modes of a terminal")]
pub struct Modes {
    /// The alternate screen is shown.
    pub alt_screen: bool,
    /// Mouse reports.
    pub mouse: Mouse,
    /// Their form.
    pub mouse_encoding: MouseEncoding,
    /// Mode 1004.
    pub focus_reports: bool,
    /// Mode 2004.
    pub bracketed_paste: bool,
    /// DECCKM.
    pub application_cursor: bool,
    /// DECNKM.
    pub application_keypad: bool,
    /// DECOM.
    pub origin: bool,
    /// DECAWM.
    pub autowrap: bool,
    /// IRM.
    pub insert: bool,
    /// LNM: a line feed also returns.
    pub newline: bool,
    /// DECSCNM.
    pub reverse_video: bool,
    /// Mode 1007: the wheel types arrows on the alternate screen.
    pub alternate_scroll: bool,
    /// Kitty keyboard flags in force.
    pub kitty_keyboard: u8,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            alt_screen: false,
            mouse: Mouse::None,
            mouse_encoding: MouseEncoding::Default,
            focus_reports: false,
            bracketed_paste: false,
            application_cursor: false,
            application_keypad: false,
            origin: false,
            autowrap: true,
            insert: false,
            newline: false,
            reverse_video: false,
            alternate_scroll: false,
            kitty_keyboard: 0,
        }
    }
}

/// All that is seen, and what decides how the next bytes are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Screenful {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// Lines above the screen, oldest first; as many as were asked for and are there.
    pub history: Vec<Line>,
    /// The screen's lines.
    pub lines: Vec<Line>,
    /// What [`Cell::link`] counts in.
    pub links: Vec<Link>,
    /// The cursor.
    pub cursor: CursorView,
    /// The modes.
    pub modes: Modes,
    /// The program's title, if it set one.
    pub title: Option<String>,
    /// The directory the program told (OSC 7), as it told it.
    pub cwd: Option<String>,
}
