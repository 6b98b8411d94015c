//! SGR: how the next characters are drawn.

use super::cell::{BLINK, BOLD, DIM, HIDDEN, INVERSE, ITALIC, OVERLINE, Pen, STRIKE};
use super::params::Params;
use crate::view::Colour;

impl Pen {
    /// Applies one SGR sequence.
    pub(crate) fn select(&mut self, params: &Params) {
        let mut index = 0;
        while index < params.len() {
            let value = params.get(index);
            match value {
                0 => self.reset_style(),
                1 => self.attributes |= BOLD,
                2 => self.attributes |= DIM,
                3 => self.attributes |= ITALIC,
                4 => {
                    let style = params.parts(index).first().copied().unwrap_or(1);
                    self.set_underline(u16::try_from(style).ok().filter(|&style| style <= 5).unwrap_or(1));
                }
                5 => self.attributes |= BLINK,
                7 => self.attributes |= INVERSE,
                8 => self.attributes |= HIDDEN,
                9 => self.attributes |= STRIKE,
                21 => self.set_underline(2),
                22 => self.attributes &= !(BOLD | DIM),
                23 => self.attributes &= !ITALIC,
                24 => self.set_underline(0),
                25 => self.attributes &= !BLINK,
                27 => self.attributes &= !INVERSE,
                28 => self.attributes &= !HIDDEN,
                29 => self.attributes &= !STRIKE,
                30..=37 => self.fg = indexed(value - 30),
                39 => self.fg = Colour::Default,
                40..=47 => self.bg = indexed(value - 40),
                49 => self.bg = Colour::Default,
                53 => self.attributes |= OVERLINE,
                55 => self.attributes &= !OVERLINE,
                59 => self.set_extra(Colour::Default, self.link().cloned()),
                90..=97 => self.fg = indexed(value - 90 + 8),
                100..=107 => self.bg = indexed(value - 100 + 8),
                38 | 48 | 58 => {
                    let (colour, used) = extended(params, index);
                    index += used;
                    match (value, colour) {
                        (38, Some(colour)) => self.fg = colour,
                        (48, Some(colour)) => self.bg = colour,
                        (_, Some(colour)) => self.set_extra(colour, self.link().cloned()),
                        (_, None) => {}
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }

    /// SGR 0. Links and protection are not SGR's.
    fn reset_style(&mut self) {
        let link = self.link().cloned();
        self.fg = Colour::Default;
        self.bg = Colour::Default;
        // DECSCA shares the background's word with SGR in xterm.js: SGR 0 takes both.
        self.attributes = 0;
        self.set_extra(Colour::Default, link);
    }
}

fn indexed(index: u16) -> Colour {
    Colour::Indexed(u8::try_from(index & 0xff).unwrap_or_default())
}

/// The colour of `38;5;n`, `38;2;r;g;b`, and of their forms with colons, with and without a colour space; and how many further
/// parameters it took.
fn extended(params: &Params, at: usize) -> (Option<Colour>, usize) {
    // Kind, colour space, then three components.
    let mut fields = [0i32, 0, -1, 0, 0, 0];
    let mut space = 0;
    let mut advance = 0;
    loop {
        fields[advance + space] = i32::from(params.get(at + advance));
        let parts = params.parts(at + advance);
        if !parts.is_empty() {
            for (index, &part) in parts.iter().enumerate() {
                if fields[1] == 5 {
                    space = 1;
                }
                if let Some(field) = fields.get_mut(advance + index + 1 + space) {
                    *field = part;
                } else {
                    break;
                }
                if index + 1 + advance + 1 + space >= fields.len() {
                    break;
                }
            }
            break;
        }
        if (fields[1] == 5 && advance + space >= 2) || (fields[1] == 2 && advance + space >= 5) {
            break;
        }
        if fields[1] != 0 {
            space = 1;
        }
        advance += 1;
        if at + advance >= params.len() || advance + space >= fields.len() {
            break;
        }
    }
    let component = |index: usize| u8::try_from(fields[index].max(0) & 0xff).unwrap_or_default();
    let colour = match fields[1] {
        2 => Some(Colour::Rgb(component(3), component(4), component(5))),
        5 => Some(Colour::Indexed(component(3))),
        _ => None,
    };
    (colour, advance)
}
