//! Colours: asked for, and answered in the X Window System's spelling, as xterm does.

use std::fmt::Write as _;

use super::Answer;
use super::state::{Dynamic, State};
use crate::facts::{Facts, Rgb};
use crate::sequence::{Sequence, Terminator, number};

/// The foreground while nobody told another: that of Baton's own page in the dark.
pub const FOREGROUND: Rgb = (0xdf, 0xe4, 0xea);
/// The background while nobody told another.
pub const BACKGROUND: Rgb = (0x0d, 0x10, 0x14);

/// The first sixteen of the palette while the program has set no others: those of Baton's own page in the dark.
const SIXTEEN: [Rgb; 16] = [
    (0x2a, 0x31, 0x3a),
    (0xf0, 0x85, 0x7f),
    (0x7c, 0xc9, 0x8f),
    (0xe2, 0xbd, 0x72),
    (0x77, 0xae, 0xf5),
    (0xc9, 0x9b, 0xea),
    (0x6f, 0xc7, 0xcf),
    (0xcf, 0xd6, 0xde),
    (0x7d, 0x88, 0x94),
    (0xff, 0x9f, 0x99),
    (0x9b, 0xe0, 0xab),
    (0xf3, 0xd3, 0x91),
    (0x9c, 0xc6, 0xff),
    (0xdc, 0xb9, 0xf5),
    (0x95, 0xdd, 0xe3),
    (0xf6, 0xf8, 0xfa),
];

/// A colour of the palette as every terminal has it: a cube of six steps each of red, green and blue behind the sixteen, then
/// 24 greys (xterm's 256colres.h). The sixteen differ from terminal to terminal.
#[must_use]
pub fn fixed(index: u8) -> Rgb {
    let step = |number: u8| if number == 0 { 0 } else { 55 + 40 * number };
    match index {
        0..16 => SIXTEEN[usize::from(index)],
        16..232 => {
            let at = index - 16;
            (step(at / 36), step(at / 6 % 6), step(at % 6))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
    }
}

/// A colour in force: the program's, else the terminal's that shows it, else the plain one.
fn dynamic(which: Dynamic, facts: &Facts, state: &impl State) -> Rgb {
    let told = match which {
        Dynamic::Foreground => facts.foreground,
        Dynamic::Background => facts.background,
        Dynamic::Cursor => facts.cursor,
    };
    state.dynamic(which).or(told).unwrap_or_else(|| match which {
        Dynamic::Foreground => FOREGROUND,
        Dynamic::Background => BACKGROUND,
        // A cursor without a colour of its own has that of text.
        Dynamic::Cursor => dynamic(Dynamic::Foreground, facts, state),
    })
}

/// Whether the background is dark: the weights are those of ITU-R BT.601 for brightness.
pub(super) fn is_dark(facts: &Facts, state: &impl State) -> bool {
    let (red, green, blue) = dynamic(Dynamic::Background, facts, state);
    299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) < 1000 * 128
}

/// The fields of a string that came whole: of one that was cut, the last did not.
fn whole_fields(sequence: &Sequence) -> impl Iterator<Item = &[u8]> {
    let fields = sequence.body.split(|&byte| byte == b';');
    let count = fields.clone().count() - usize::from(sequence.truncated);
    fields.take(count)
}

/// `OSC 4 ; number ; ? ; number ; ? …`: each pair is a question of its own and has an answer of its own.
pub(super) fn palette(sequence: &Sequence, state: &impl State, answer: &mut Answer) {
    let mut fields = whole_fields(sequence).skip(1);
    while let (Some(index), Some(wanted)) = (fields.next(), fields.next()) {
        let index = number(index).and_then(|index| u8::try_from(index).ok());
        if let (Some(index), b"?") = (index, wanted) {
            let colour = state.palette(index).unwrap_or_else(|| fixed(index));
            report(&format!("4;{index}"), colour, sequence.terminator, answer);
        }
    }
}

/// `OSC 10 ; ?`: further fields are about the next numbers.
pub(super) fn dynamics(first: u16, sequence: &Sequence, facts: &Facts, state: &impl State, answer: &mut Answer) {
    for (command, wanted) in (first..=12).zip(whole_fields(sequence).skip(1)) {
        let which = match command {
            10 => Dynamic::Foreground,
            11 => Dynamic::Background,
            _ => Dynamic::Cursor,
        };
        if wanted == b"?" {
            report(&command.to_string(), dynamic(which, facts, state), sequence.terminator, answer);
        }
    }
}

fn report(what: &str, (red, green, blue): Rgb, terminator: Terminator, answer: &mut Answer) {
    let mut text = format!("\x1b]{what};rgb:");
    // xterm tells 16 bits of each; eight are told by saying them twice.
    let _ = write!(text, "{red:02x}{red:02x}/{green:02x}{green:02x}/{blue:02x}{blue:02x}");
    text.push_str(match terminator {
        Terminator::Bel => "\x07",
        Terminator::St => "\x1b\\",
    });
    answer.push(&text);
}
