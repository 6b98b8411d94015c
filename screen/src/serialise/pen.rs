//! How the pen of a terminal becomes another, in few bytes.

use std::io::Write as _;

use super::paint::Painter;
use crate::engine::{PROTECTED, Pen};
use crate::view::{Colour, Style, Underline};

impl Painter {
    /// What is drawn next is drawn with `pen`.
    pub(super) fn pen(&mut self, pen: &Pen) {
        if self.current == *pen {
            return;
        }
        if self.current.style() != pen.style() {
            let changes = changes(&self.current.style(), &pen.style());
            let anew = anew(&pen.style());
            let shorter = if changes.len() < anew.len() { changes } else { anew };
            let reset = shorter.starts_with('0');
            let _ = write!(self.bytes, "\x1b[{shorter}m");
            if reset {
                // xterm.js ends protection with SGR 0, others don't.
                self.current.attributes &= !PROTECTED;
            }
        }
        self.rest_of_pen(pen);
    }

    /// The same, whatever is known of the terminal's pen.
    pub(super) fn pen_anew(&mut self, pen: &Pen) {
        let _ = write!(self.bytes, "\x1b[{}m", anew(&pen.style()));
        if self.current.attributes & PROTECTED != 0 && pen.attributes & PROTECTED == 0 {
            self.put("\x1b[0\"q");
        }
        self.current.attributes &= !PROTECTED;
        self.rest_of_pen(pen);
    }

    /// Only the background: what erasing leaves.
    pub(super) fn background(&mut self, bg: Colour) {
        let pen = Pen { bg, ..self.current.clone() };
        self.pen(&pen);
    }

    fn rest_of_pen(&mut self, pen: &Pen) {
        if (self.current.attributes ^ pen.attributes) & PROTECTED != 0 {
            self.put(if pen.attributes & PROTECTED != 0 { "\x1b[1\"q" } else { "\x1b[0\"q" });
        }
        if self.current.link() != pen.link() {
            match pen.link() {
                None => self.put("\x1b]8;;\x1b\\"),
                Some(link) => {
                    let id = link.id.as_ref().map(|id| format!("id={id}")).unwrap_or_default();
                    let _ = write!(self.bytes, "\x1b]8;{id};{}\x1b\\", link.uri);
                }
            }
        }
        self.current = pen.clone();
    }
}

impl Style {
    /// The parameters of an SGR sequence that set this style, whatever the pen was: `0;1;38;5;208`.
    #[must_use]
    pub fn sgr(&self) -> String {
        anew(self)
    }
}

/// SGR parameters from nothing.
fn anew(style: &Style) -> String {
    let changes = changes(&Style::default(), style);
    if changes.is_empty() { "0".to_owned() } else { format!("0;{changes}") }
}

/// SGR parameters that differ.
fn changes(from: &Style, to: &Style) -> String {
    let mut all: Vec<String> = Vec::new();
    let intensity_off = (from.bold && !to.bold) || (from.dim && !to.dim);
    if intensity_off {
        all.push("22".to_owned());
    }
    if to.bold && (!from.bold || intensity_off) {
        all.push("1".to_owned());
    }
    if to.dim && (!from.dim || intensity_off) {
        all.push("2".to_owned());
    }
    let mut switch = |from: bool, to: bool, on: &str, off: &str| {
        if from != to {
            all.push(if to { on } else { off }.to_owned());
        }
    };
    switch(from.italic, to.italic, "3", "23");
    switch(from.blink, to.blink, "5", "25");
    switch(from.inverse, to.inverse, "7", "27");
    switch(from.hidden, to.hidden, "8", "28");
    switch(from.strikethrough, to.strikethrough, "9", "29");
    switch(from.overline, to.overline, "53", "55");
    if from.underline != to.underline {
        all.push(
            match to.underline {
                Underline::None => "24",
                Underline::Single => "4",
                Underline::Double => "4:2",
                Underline::Curly => "4:3",
                Underline::Dotted => "4:4",
                Underline::Dashed => "4:5",
            }
            .to_owned(),
        );
    }
    if from.fg != to.fg {
        all.push(colour(to.fg, 30, 90, "38"));
    }
    if from.bg != to.bg {
        all.push(colour(to.bg, 40, 100, "48"));
    }
    if from.underline_colour != to.underline_colour {
        // With colons: who does not know 58 would take the rest for attributes.
        all.push(match to.underline_colour {
            Colour::Default => "59".to_owned(),
            Colour::Indexed(index) => format!("58:5:{index}"),
            Colour::Rgb(red, green, blue) => format!("58:2::{red}:{green}:{blue}"),
        });
    }
    all.join(";")
}

fn colour(colour: Colour, dark: u16, bright: u16, extended: &str) -> String {
    match colour {
        Colour::Default => (dark + 9).to_string(),
        Colour::Indexed(index @ 0..=7) => (dark + u16::from(index)).to_string(),
        Colour::Indexed(index @ 8..=15) => (bright + u16::from(index) - 8).to_string(),
        Colour::Indexed(index) => format!("{extended};5;{index}"),
        Colour::Rgb(red, green, blue) => format!("{extended};2;{red};{green};{blue}"),
    }
}
