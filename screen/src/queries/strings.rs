//! Answers to questions that are asked in a string: DECRQSS and XTGETTCAP.

use std::fmt::Write as _;

use super::Answer;
use super::state::State;
use crate::sequence::Sequence;
use crate::view::{Colour, Shape, Style, Underline};

/// Longest name of a capability that is looked up; the longest answered is `colors`, others are only said to be unknown.
const NAME_BYTES_MAX: usize = 64;

/// What XTGETTCAP is told: name, and value if it is no flag. All of it is so whatever client shows the screen; `TERM` is the
/// one a session starts with.
const CAPABILITIES: [(&str, Option<&str>); 12] = [
    ("TN", Some("xterm-256color")),
    ("name", Some("xterm-256color")),
    ("Co", Some("256")),
    ("colors", Some("256")),
    ("RGB", Some("8/8/8")),
    ("Tc", None),
    ("Su", None),
    ("Smulx", Some("\x1b[4:%p1%dm")),
    ("Setulc", Some("\x1b[58:2::%p1%{65536}%/%d:%p1%{256}%/%{255}%&%d:%p1%{255}%&%d%;m")),
    ("Ss", Some("\x1b[%p1%d q")),
    ("Se", Some("\x1b[2 q")),
    ("indn", Some("\x1b[%p1%dS")),
];

/// DECRQSS.
pub(super) fn setting(sequence: &Sequence, state: &impl State, answer: &mut Answer) {
    let (cols, rows) = state.size();
    let value = match sequence.body.as_slice() {
        b"m" => format!("{}m", sgr(state.pen())),
        b"r" => {
            let (top, bottom) = state.margins();
            format!("{};{}r", u32::from(top) + 1, u32::from(bottom) + 1)
        }
        b" q" => format!("{} q", shape(state)),
        b"\"p" => "62;1\"p".to_owned(),
        b"\"q" => "0\"q".to_owned(),
        b"t" => format!("{rows}t"),
        b"$|" => format!("{cols}$|"),
        b"*|" => format!("{rows}*|"),
        _ => {
            answer.push("\x1bP0$r\x1b\\");
            return;
        }
    };
    answer.push(&format!("\x1bP1$r{value}\x1b\\"));
}

/// DECSCUSR's number. Zero is the terminal's own shape, whichever that is: setting what was told changes nothing.
fn shape(state: &impl State) -> u8 {
    let cursor = state.cursor();
    let blinking = match cursor.shape {
        Shape::Default => return 0,
        Shape::Block => 1,
        Shape::Underline => 3,
        Shape::Bar => 5,
    };
    if cursor.blinking { blinking } else { blinking + 1 }
}

/// A style as the parameters that set it from scratch, spelled as xterm spells them.
pub(super) fn sgr(style: Style) -> String {
    let mut out = String::from("0");
    let flags = [
        (style.bold, "1"),
        (style.dim, "2"),
        (style.italic, "3"),
        (style.blink, "5"),
        (style.inverse, "7"),
        (style.hidden, "8"),
        (style.strikethrough, "9"),
    ];
    for (_, number) in flags.iter().filter(|(on, _)| *on) {
        let _ = write!(out, ";{number}");
    }
    match style.underline {
        Underline::None => {}
        Underline::Single => out.push_str(";4"),
        Underline::Double => out.push_str(";21"),
        Underline::Curly => out.push_str(";4:3"),
        Underline::Dotted => out.push_str(";4:4"),
        Underline::Dashed => out.push_str(";4:5"),
    }
    if style.overline {
        out.push_str(";53");
    }
    colour(&mut out, style.fg, 30);
    colour(&mut out, style.bg, 40);
    match style.underline_colour {
        Colour::Default => {}
        Colour::Indexed(index) => _ = write!(out, ";58:5:{index}"),
        Colour::Rgb(red, green, blue) => _ = write!(out, ";58:2::{red}:{green}:{blue}"),
    }
    out
}

/// `base` is the number of the palette's first colour; eight further is that of the long form.
fn colour(out: &mut String, colour: Colour, base: u16) {
    match colour {
        Colour::Default => {}
        Colour::Indexed(index @ 0..8) => _ = write!(out, ";{}", base + u16::from(index)),
        Colour::Indexed(index @ 8..16) => _ = write!(out, ";{}", base + 60 + u16::from(index) - 8),
        Colour::Indexed(index) => _ = write!(out, ";{}:5:{index}", base + 8),
        Colour::Rgb(red, green, blue) => _ = write!(out, ";{}:2::{red}:{green}:{blue}", base + 8),
    }
}

/// XTGETTCAP. A report for each name: one unknown name says nothing about those behind it.
pub(super) fn capabilities(sequence: &Sequence, answer: &mut Answer) {
    let names = sequence.body.split(|&byte| byte == b';');
    // Of a string that was cut the last name did not come whole.
    let count = names.clone().count() - usize::from(sequence.truncated);
    for hex in names.take(count) {
        let Some(name) = unhex(hex) else {
            answer.push("\x1bP0+r\x1b\\");
            continue;
        };
        let known = CAPABILITIES.iter().find(|(known, _)| known.as_bytes() == name);
        let mut report = String::from(if known.is_some() { "\x1bP1+r" } else { "\x1bP0+r" });
        push_hex(&mut report, &name);
        if let Some((_, Some(value))) = known {
            report.push('=');
            push_hex(&mut report, value.as_bytes());
        }
        report.push_str("\x1b\\");
        answer.push(&report);
    }
}

fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    if hex.is_empty() || hex.len() > 2 * NAME_BYTES_MAX || !hex.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hex.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
}
