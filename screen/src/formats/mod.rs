//! A screen in the forms people and programs read. The form terminals read is [`crate::Screen::snapshot`]'s.
//!
//! | form | for | what it keeps |
//! | --- | --- | --- |
//! | [`text`] | eyes, `grep`, agents | what is seen, without how |
//! | [`html`] | pages, mails, notes | what is seen and how |
//! | [`json`] | programs | every cell with its attributes, the cursor, modes, title, directory |
//!
//! All that stands on a screen was written by some program, and programs write what strangers sent them. So no form lets it be
//! anything but text: no control characters in `text`, no markup in `html`.

pub mod html;
pub mod json;
pub mod text;

use crate::view::{Cell, Colour, Style, Underline};

/// What a cell shows: never nothing, never a character that would do something, and blank where it is hidden (SGR 8).
fn shown(cell: &Cell) -> &str {
    let blank = cell.style.hidden || cell.text.is_empty() || cell.text.contains(char::is_control);
    if blank { BLANK } else { &cell.text }
}

const BLANK: &str = " ";

/// Whether a character changes the order in which those around it are shown. A terminal's columns have one order, so it does
/// nothing there; in a page or a list it would let text look like another.
pub(crate) const fn reorders(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a cell looks like one that nothing was written to.
fn is_blank(cell: &Cell) -> bool {
    cell.link.is_none() && (cell.width == 0 || shown(cell) == BLANK) && is_invisible(cell.style)
}

/// Whether a blank of this style looks like a place nothing was written to: colour and slant of letters that are not there
/// do not show.
fn is_invisible(style: Style) -> bool {
    style.bg == Colour::Default
        && style.underline == Underline::None
        && !style.inverse
        && !style.strikethrough
        && !style.overline
}

/// How many cells there are up to the last that shows something.
fn seen_columns(cells: &[Cell]) -> usize {
    cells.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1)
}

#[cfg(test)]
pub(crate) mod samples;
