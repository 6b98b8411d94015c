//! What one place of the grid holds.

use std::sync::Arc;

use crate::view::{Colour, Link, Style, Underline};

/// Characters beyond the first that one cell keeps. The longest emoji in use has ten; what is piled on top of that is dropped, or a
/// hostile program could make a cell as large as it likes.
pub(crate) const JOINED_MAX: usize = 16;

/// Attributes that are a bit. The underline's style takes the three bits of [`UNDERLINE`].
pub(crate) const BOLD: u16 = 1;
pub(crate) const DIM: u16 = 1 << 1;
pub(crate) const ITALIC: u16 = 1 << 2;
pub(crate) const BLINK: u16 = 1 << 3;
pub(crate) const INVERSE: u16 = 1 << 4;
pub(crate) const HIDDEN: u16 = 1 << 5;
pub(crate) const STRIKE: u16 = 1 << 6;
pub(crate) const OVERLINE: u16 = 1 << 7;
/// DECSCA: selective erase spares it.
pub(crate) const PROTECTED: u16 = 1 << 8;
pub(crate) const UNDERLINE: u16 = 7 << UNDERLINE_SHIFT;
pub(crate) const UNDERLINE_SHIFT: u16 = 9;

/// What few cells have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extra {
    /// Characters that joined the first.
    pub joined: String,
    pub underline_colour: Colour,
    pub link: Option<Arc<Link>>,
}

/// What the next character is drawn with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pen {
    pub fg: Colour,
    pub bg: Colour,
    pub attributes: u16,
    /// Never with joined characters; none when it would say nothing.
    pub extra: Option<Arc<Extra>>,
}

impl Pen {
    /// What erasing leaves: the background and nothing else.
    pub(crate) fn erased(&self) -> Cell {
        Cell { bg: self.bg, ..Cell::default() }
    }

    /// An emptied cell that keeps the pen. With nothing to see but a background it is as good as never written.
    pub(crate) fn emptied(&self) -> Cell {
        let plain = self.fg == Colour::Default && self.attributes == 0 && self.extra.is_none();
        if plain { self.erased() } else { Cell::new(' ', 1, self) }
    }

    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.extra.as_ref()?.link.as_ref()
    }

    pub(crate) fn underline_colour(&self) -> Colour {
        self.extra.as_ref().map_or(Colour::Default, |extra| extra.underline_colour)
    }

    /// Replaces the link and the underline's colour.
    pub(crate) fn set_extra(&mut self, underline_colour: Colour, link: Option<Arc<Link>>) {
        self.extra = (underline_colour != Colour::Default || link.is_some())
            .then(|| Arc::new(Extra { joined: String::new(), underline_colour, link }));
    }

    pub(crate) fn underline(&self) -> u16 {
        (self.attributes & UNDERLINE) >> UNDERLINE_SHIFT
    }

    pub(crate) fn set_underline(&mut self, style: u16) {
        self.attributes = (self.attributes & !UNDERLINE) | (style.min(5) << UNDERLINE_SHIFT);
    }

    pub(crate) fn style(&self) -> Style {
        let has = |attribute| self.attributes & attribute != 0;
        Style {
            fg: self.fg,
            bg: self.bg,
            underline_colour: self.underline_colour(),
            underline: match self.underline() {
                0 => Underline::None,
                1 => Underline::Single,
                2 => Underline::Double,
                3 => Underline::Curly,
                4 => Underline::Dotted,
                _ => Underline::Dashed,
            },
            bold: has(BOLD),
            dim: has(DIM),
            italic: has(ITALIC),
            blink: has(BLINK),
            inverse: has(INVERSE),
            hidden: has(HIDDEN),
            strikethrough: has(STRIKE),
            overline: has(OVERLINE),
        }
    }
}

/// One place of the grid: 24 bytes, and more only for what few have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The first character; NUL where nothing was written, and in the second half of a wide one.
    pub character: char,
    pub fg: Colour,
    pub bg: Colour,
    pub attributes: u16,
    /// 1, 2, or 0 in the second half of a wide one.
    pub width: u8,
    pub extra: Option<Arc<Extra>>,
}

impl Default for Cell {
    fn default() -> Self {
        Self { character: '\0', fg: Colour::Default, bg: Colour::Default, attributes: 0, width: 1, extra: None }
    }
}

impl Cell {
    pub(crate) fn new(character: char, width: u8, pen: &Pen) -> Self {
        Self { character, fg: pen.fg, bg: pen.bg, attributes: pen.attributes, width, extra: pen.extra.clone() }
    }

    /// Something was written here.
    pub(crate) fn has_content(&self) -> bool {
        self.character != '\0'
    }

    /// The second half of a wide character.
    pub(crate) fn is_second_half(&self) -> bool {
        self.width == 0
    }

    pub(crate) fn is_protected(&self) -> bool {
        self.attributes & PROTECTED != 0
    }

    pub(crate) fn joined(&self) -> &str {
        self.extra.as_ref().map_or("", |extra| extra.joined.as_str())
    }

    /// The characters; a blank for a place nothing was written to.
    pub(crate) fn push_text(&self, text: &mut String) {
        if self.is_second_half() {
            return;
        }
        text.push(if self.has_content() { self.character } else { ' ' });
        text.push_str(self.joined());
    }

    /// A character joins the ones already here.
    pub(crate) fn join(&mut self, character: char) {
        let extra = Arc::make_mut(self.extra.get_or_insert_default());
        if extra.joined.chars().count() < JOINED_MAX {
            extra.joined.push(character);
        }
    }

    /// What it was drawn with.
    pub(crate) fn pen(&self) -> Pen {
        let mut pen = Pen { fg: self.fg, bg: self.bg, attributes: self.attributes, extra: None };
        if let Some(extra) = &self.extra {
            if extra.joined.is_empty() {
                pen.extra = Some(Arc::clone(extra));
            } else {
                pen.set_extra(extra.underline_colour, extra.link.clone());
            }
        }
        pen
    }
}
