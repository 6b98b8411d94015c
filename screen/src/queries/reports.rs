//! Answers that are control sequences of numbers.

use super::state::{State, ansi_mode, private_mode};
use super::{Answer, DA1, colours};
use crate::facts::Facts;

/// Longest primary device attributes taken from a client. The most talkative terminals need about forty.
const DA1_BYTES_MAX: usize = 64;

/// DA1. What a client said is passed on only if it is numbers: it becomes typing.
pub(super) fn primary(facts: &Facts, answer: &mut Answer) {
    let told = facts.da1.as_deref().filter(|told| {
        (1..=DA1_BYTES_MAX).contains(&told.len()) && told.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')
    });
    answer.push(&format!("\x1b[?{}c", told.unwrap_or(DA1)));
}

/// DSR: what ctlseqs tells of a terminal without printer, user-defined keys and locator.
pub(super) fn status(private: bool, number: u16, facts: &Facts, state: &impl State, answer: &mut Answer) {
    match (private, number) {
        (false, 5) => answer.push("\x1b[0n"),
        (false, 6) => cursor("", state, answer),
        (true, 6) => cursor("?", state, answer),
        (true, 15) => answer.push("\x1b[?13n"),
        (true, 25) => answer.push("\x1b[?21n"),
        (true, 26) => answer.push("\x1b[?27;1;0;0n"),
        (true, 53 | 55) => answer.push("\x1b[?50n"),
        (true, 56) => answer.push("\x1b[?57;0n"),
        (true, 62) => answer.push("\x1b[0*{"),
        (true, 63) => answer.push("\x1bP0!~0000\x1b\\"),
        (true, 75) => answer.push("\x1b[?70n"),
        (true, 85) => answer.push("\x1b[?83n"),
        (true, 996) => answer.push(if colours::is_dark(facts, state) { "\x1b[?997;1n" } else { "\x1b[?997;2n" }),
        _ => {}
    }
}

fn cursor(private: &str, state: &impl State, answer: &mut Answer) {
    let cursor = state.cursor();
    // In origin mode rows are counted from the region's first one.
    let top = if state.modes().origin { state.margins().0 } else { 0 };
    let row = u32::from(cursor.row.saturating_sub(top)) + 1;
    let col = u32::from(cursor.col) + 1;
    answer.push(&format!("\x1b[{private}{row};{col}R"));
}

/// DECRPM.
pub(super) fn mode(private: bool, mode: u16, state: &impl State, answer: &mut Answer) {
    let (marker, set) = if private { ("?", private_mode(state, mode)) } else { ("", ansi_mode(state, mode)) };
    let value = match set {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    };
    answer.push(&format!("\x1b[{marker}{mode};{value}$y"));
}

/// Flags the holder's terminal has not are not in force, whatever the program asked for: its keys do not come that way.
pub(super) fn keyboard(facts: &Facts, state: &impl State, answer: &mut Answer) {
    let flags = u32::from(state.modes().kitty_keyboard) & facts.kitty.unwrap_or(0);
    answer.push(&format!("\x1b[?{flags}u"));
}

/// DECREPTPARM: no parity, eight bits, 38400 baud both ways, as every emulator says.
pub(super) fn parameters(number: u16, answer: &mut Answer) {
    if number <= 1 {
        answer.push(&format!("\x1b[{};1;1;128;128;1;0x", number + 2));
    }
}

/// XTWINOPS. Pixels are told only when they are known: a picture drawn for another size would be wrong.
pub(super) fn window(operation: u16, facts: &Facts, state: &impl State, answer: &mut Answer) {
    let (cols, rows) = state.size();
    let cell = facts.cell_px.filter(|&(width, height)| width > 0 && height > 0);
    let pixels = cell.map(|(width, height)| (u32::from(height) * u32::from(rows), u32::from(width) * u32::from(cols)));
    let sized = match (operation, pixels, cell) {
        (14, Some((height, width)), _) => Some((4, height, width)),
        (15, Some((height, width)), _) => Some((5, height, width)),
        (16, _, Some((width, height))) => Some((6, u32::from(height), u32::from(width))),
        (18, ..) => Some((8, u32::from(rows), u32::from(cols))),
        (19, ..) => Some((9, u32::from(rows), u32::from(cols))),
        _ => None,
    };
    match (operation, sized) {
        (_, Some((code, height, width))) => answer.push(&format!("\x1b[{code};{height};{width}t")),
        (11, _) => answer.push("\x1b[1t"),
        (13, _) => answer.push("\x1b[3;0;0t"),
        (20, _) => answer.push("\x1b]L\x1b\\"),
        (21, _) => answer.push("\x1b]l\x1b\\"),
        _ => {}
    }
}
