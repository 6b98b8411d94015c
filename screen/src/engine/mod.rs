//! The terminal: what text, controls and sequences do to two screens.
//!
//! It follows xterm.js where terminals differ, because that is what people look at, down to the order in which a line wraps and
//! what an erased cell keeps. It answers no queries, has no clock and never buffers: the same events give the same state.
//!
//! What it does differently, and why:
//!
//! | here | xterm.js |
//! | --- | --- |
//! | DECRC brings back a row of the screen, the underline's style and the character set | the row moves up with the text; the style is lost; the set lasts until the next shift |
//! | a combining character over a blank is one over a space | over nothing, which no bytes write in the last column |
//! | without autowrap, writing over the second half of a wide character takes the first | keeps it |
//! | erasing under a cursor behind the last column leaves a space | leaves nothing, which looks the same |
//! | a narrower alternate screen loses what is cut off | shows it again when it grows; programs draw anew |
//! | lines that went above the screen stay there when it grows | come back; then the screen would depend on how many are kept |
//! | a line that is cut at the screen's top stays cut there | is joined with what is above |
//! | a cell keeps 16 combining characters; strings up to 4 KiB are acted upon; links are bounded in bytes | unbounded, or 10 MB |
//!
//! What it has not: images (sixel, kitty, iTerm), 132 columns (DECCOLM), double-size lines, left and right margins, bidirectional
//! text, clusters of more than one character that is wide by itself (each counts, as in xterm and most terminals).

mod answers;
mod buffer;
mod cell;
mod charset;
mod control;
mod erase;
mod modes;
mod osc;
mod params;
mod print;
mod resize;
mod row;
mod sgr;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_proto::v1::Dimensions;

pub(crate) use self::buffer::{Buffer, Saved, default_tabs};
pub(crate) use self::cell::{Cell, PROTECTED, Pen};
pub(crate) use self::charset::Charset;
pub(crate) use self::row::Row;
use crate::facts::Rgb;
use crate::ground::Event;
use crate::view::{Link, Modes, MouseEncoding, Screenful};

/// What computes a screen. Small on purpose: everything else is written over it.
pub trait ScreenEngine {
    /// Acts upon what the parser found.
    fn apply(&mut self, event: Event<'_>);
    /// Changes the size; the program learns of it by SIGWINCH and draws again.
    fn resize(&mut self, size: Dimensions);
    /// Columns and rows.
    fn size(&self) -> Dimensions;
    /// What the program switched on.
    fn modes(&self) -> Modes;
    /// The program's title.
    fn title(&self) -> Option<&str>;
    /// The directory the program told.
    fn cwd(&self) -> Option<&str>;
    /// All that is seen, with up to so many lines above the screen.
    fn view(&self, history: usize) -> Screenful;
    /// Terminal bytes that bring any terminal into this state, with up to so many lines above the screen.
    fn snapshot(&self, history: usize) -> Vec<u8>;
}

/// Titles a program may stack; xterm.js keeps as many.
const TITLES_MAX: usize = 10;

/// Columns a screen has at least: a wide character needs two.
const COLUMNS_MIN: u16 = 2;

/// Colours a program changed: OSC 4, and 10–12 for the foreground, the background and the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Colours {
    pub palette: BTreeMap<u8, Rgb>,
    pub special: [Option<Rgb>; 3],
}

/// The cursor's look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CursorStyle {
    /// DECSCUSR.
    pub shape: crate::view::Shape,
    /// DECSCUSR, which in xterm.js says so without a shape, too, by numbers beyond the shapes'.
    pub blinking: Option<bool>,
    /// Mode 12: whether it blinks if DECSCUSR does not say. As long as no program says, that is the terminal's own matter; nothing
    /// brings it back.
    pub own_blinks: Option<bool>,
}

impl CursorStyle {
    /// Whether it blinks, as far as programs said.
    pub(crate) fn blinks(&self) -> bool {
        self.blinking.or(self.own_blinks).unwrap_or(false)
    }
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub main: Buffer,
    /// Shown while [`Modes::alt_screen`]; otherwise only its saved cursor means anything.
    pub alt: Buffer,
    pub pen: Pen,
    pub modes: Modes,
    /// The encoding of mouse reports but for mode 1005, which xterm.js does not know: there it hides no other.
    pub mouse_encoding_beneath: MouseEncoding,
    /// Mode 45.
    pub reverse_wraparound: bool,
    /// Mode 2026. Those who ask are told; nothing is held back for it, and no snapshot has it.
    pub synchronised: bool,
    /// The level of xterm's `modifyOtherKeys`.
    pub modify_other_keys: u8,
    pub cursor_hidden: bool,
    pub cursor_style: CursorStyle,
    pub charsets: [Charset; 4],
    /// Which of them is in use (SI, SO, LS2, LS3).
    pub shift: usize,
    pub title: Option<String>,
    pub titles: Vec<String>,
    pub cwd: Option<String>,
    pub colours: Colours,
    links: osc::Links,
    /// Width of the character just printed, if nothing else happened since: what REP repeats, and combining characters join.
    pub preceding: u8,
    /// Its first character before a character set mapped it.
    pub preceding_raw: char,
}

impl Terminal {
    pub(crate) fn new(size: Dimensions, history: usize) -> Self {
        let (columns, rows) = (usize::from(size.cols.max(COLUMNS_MIN)), usize::from(size.rows.max(1)));
        Self {
            main: Buffer::new(columns, rows, history, &Cell::default()),
            alt: Buffer::new(columns, rows, 0, &Cell::default()),
            pen: Pen::default(),
            modes: Modes::default(),
            mouse_encoding_beneath: MouseEncoding::Default,
            reverse_wraparound: false,
            synchronised: false,
            modify_other_keys: 0,
            cursor_hidden: false,
            cursor_style: CursorStyle::default(),
            charsets: [Charset::default(); 4],
            shift: 0,
            title: None,
            titles: Vec::new(),
            cwd: None,
            colours: Colours::default(),
            links: osc::Links::default(),
            preceding: 0,
            preceding_raw: '\0',
        }
    }

    /// The screen shown.
    pub(crate) fn screen(&self) -> &Buffer {
        if self.modes.alt_screen { &self.alt } else { &self.main }
    }

    pub(crate) fn screen_mut(&mut self) -> &mut Buffer {
        if self.modes.alt_screen { &mut self.alt } else { &mut self.main }
    }

    pub(crate) fn charset(&self) -> Charset {
        self.charsets[self.shift]
    }

    /// A link as it is shared by all cells that have it.
    fn link(&mut self, link: Link) -> Option<Arc<Link>> {
        self.links.share(link)
    }

    /// After a control or a sequence.
    fn settle(&mut self) {
        self.preceding = 0;
        let screen = self.screen_mut();
        if screen.x < screen.columns {
            return;
        }
        // Only printing brings the cursor behind the last column, so a snapshot has to print there: whatever was erased under the
        // cursor is a blank, which looks the same.
        let (last, y) = (screen.columns - 1, screen.y);
        let cell = screen.row(y).cell(last);
        if !cell.has_content() && !cell.is_second_half() {
            let blank = Cell { character: ' ', ..cell.clone() };
            screen.row_mut(y).set(last, blank);
        }
    }

    /// Whether lines may be skipped: nothing is on that makes a line end more than a line end.
    pub(crate) fn is_plain(&self) -> bool {
        let screen = self.screen();
        screen.top == 0
            && screen.bottom == screen.rows - 1
            && screen.history_max == 0
            && self.modes.autowrap
            && !self.modes.insert
            && !self.modes.origin
            && !self.modes.newline
    }
}

impl ScreenEngine for Terminal {
    fn apply(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.text(text),
            Event::Control(control) => {
                self.control(control);
                self.settle();
            }
            Event::Sequence(sequence) => {
                self.sequence(sequence);
                self.settle();
            }
        }
    }

    fn resize(&mut self, size: Dimensions) {
        self.resize_to(usize::from(size.cols.max(COLUMNS_MIN)), usize::from(size.rows.max(1)));
    }

    fn size(&self) -> Dimensions {
        let side = |side: usize| u16::try_from(side).unwrap_or(u16::MAX);
        Dimensions { cols: side(self.main.columns), rows: side(self.main.rows) }
    }

    fn modes(&self) -> Modes {
        Modes { kitty_keyboard: self.screen().keyboard.last().copied().unwrap_or(0), ..self.modes.clone() }
    }

    fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    fn view(&self, history: usize) -> Screenful {
        view::of(self, history)
    }

    fn snapshot(&self, history: usize) -> Vec<u8> {
        crate::serialise::ansi(self, history)
    }
}
