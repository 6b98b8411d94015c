//! The state as terminal bytes: fed to any terminal of the same size, in whatever state that one is, they make it show the same
//! and take the following bytes the same way.
//!
//! The order matters, and is:
//!
//! 1. what ends anything half-said and switches off anything a client may have on (no RIS: it would take the client's scrollback);
//! 2. colours, titles, the directory;
//! 3. the main screen: lines above it, its lines, tab stops, scroll region, and last its saved cursor, because `1049h` saves it;
//! 4. the alternate screen in the same way, if it is shown;
//! 5. modes, then the pen, then the cursor, since several of these move the cursor or end what a cursor's place means.
//!
//! Synchronised output is never switched on, images and what is selected are not state of ours.

mod paint;
mod pen;

use std::io::Write as _;

use self::paint::Painter;
use crate::engine::{Buffer, Charset, Pen, Saved, Terminal, default_tabs};
use crate::view::{Mouse, MouseEncoding, Shape};

/// What a client has to be freed of, whatever it did before.
const PROLOGUE: &[u8] = concat!(
    // Ends a sequence or string cut in two, and a synchronised update.
    "\x18\x1b\\\x1b[?2026l",
    // To the main screen; both of them and all that DECSTR resets, for terminals that don't know DECSTR.
    "\x1b[!p\x1b[?1049l\x1b[!p\x1b[0m\x1b[0\"q\x1b]8;;\x1b\\\x1b[r\x1b[4;20l",
    "\x1b[?1;5;6;9;45;66;1000;1002;1003;1004;1005;1006;1007;1015;1016;2004l\x1b[?7;25h",
    "\x1b>\x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b[0 q\x1b[<99u\x1b[>4m",
    // Its colours, not ours.
    "\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\",
)
.as_bytes();

/// Terminal bytes of a state, with up to `history` lines above the screen.
pub(crate) fn ansi(terminal: &Terminal, history: usize) -> Vec<u8> {
    let mut out = Painter::new(PROLOGUE);
    colours(&mut out, terminal);
    titles(&mut out, terminal);
    let main = &terminal.main;
    if !terminal.modes.alt_screen && terminal.alt.saved != Saved::default() {
        // The other screen's saved cursor outlives its being left.
        out.put("\x1b[?47h");
        saved(&mut out, terminal, &terminal.alt.saved);
        out.put("\x1b7\x1b[?47l");
        plain(&mut out, terminal);
    }
    screen(&mut out, main, history, terminal);
    saved(&mut out, terminal, &main.saved);
    if terminal.modes.alt_screen {
        // Saves the cursor as it enters. Keyboard modes are stacked for each screen.
        keyboard(&mut out, main);
        out.put("\x1b[?1049h\x1b[<99u");
        plain(&mut out, terminal);
        screen(&mut out, &terminal.alt, 0, terminal);
        saved(&mut out, terminal, &terminal.alt.saved);
    }
    out.put("\x1b7");
    plain(&mut out, terminal);
    keyboard(&mut out, terminal.screen());
    cursor_and_modes(&mut out, terminal);
    out.finish()
}

fn colours(out: &mut Painter, terminal: &Terminal) {
    for (index, colour) in terminal.colours.special.iter().enumerate() {
        if let Some((red, green, blue)) = colour {
            let _ = write!(out.bytes, "\x1b]{};rgb:{red:02x}/{green:02x}/{blue:02x}\x1b\\", 10 + index);
        }
    }
    for (index, (red, green, blue)) in &terminal.colours.palette {
        let _ = write!(out.bytes, "\x1b]4;{index};rgb:{red:02x}/{green:02x}/{blue:02x}\x1b\\");
    }
}

fn titles(out: &mut Painter, terminal: &Terminal) {
    for title in &terminal.titles {
        let _ = write!(out.bytes, "\x1b]2;{title}\x1b\\\x1b[22;2t");
    }
    let _ = write!(out.bytes, "\x1b]2;{}\x1b\\", terminal.title.as_deref().unwrap_or_default());
    let _ = write!(out.bytes, "\x1b]7;{}\x1b\\", terminal.cwd.as_deref().unwrap_or_default());
}

/// One screen, from blank: its lines, its tab stops, its region.
fn screen(out: &mut Painter, buffer: &Buffer, history: usize, terminal: &Terminal) {
    out.put("\x1b[H\x1b[2J");
    out.lines(buffer, history);
    out.pen(&Pen::default());
    if buffer.tabs != default_tabs(buffer.columns) || std::ptr::eq(buffer, &terminal.main) {
        out.put("\x1b[3g");
        for (column, _) in buffer.tabs.iter().enumerate().filter(|(_, tab)| **tab) {
            let _ = write!(out.bytes, "\x1b[{}G\x1bH", column + 1);
        }
    }
    if (buffer.top, buffer.bottom) == (0, buffer.rows - 1) {
        out.put("\x1b[r");
    } else {
        let _ = write!(out.bytes, "\x1b[{};{}r", buffer.top + 1, buffer.bottom + 1);
    }
}

/// Puts cursor, pen and character set where DECSC, or `1049h`, will find them.
fn saved(out: &mut Painter, terminal: &Terminal, saved: &Saved) {
    let _ = write!(out.bytes, "\x1b[{};{}H", saved.y + 1, saved.x + 1);
    if saved.charset != Charset::default() {
        shift(out, terminal.shift);
        designate(out, terminal.shift, saved.charset);
    }
    out.pen(&saved.pen);
}

/// Back from what a saved cursor needed.
fn plain(out: &mut Painter, terminal: &Terminal) {
    out.pen(&Pen::default());
    designate(out, terminal.shift, Charset::default());
    shift(out, 0);
}

fn designate(out: &mut Painter, set: usize, charset: Charset) {
    out.bytes.extend_from_slice(&[0x1b, b"()*+"[set & 3], charset.action()]);
}

fn shift(out: &mut Painter, set: usize) {
    out.put(["\x0f", "\x0e", "\x1bn", "\x1bo"][set & 3]);
}

fn keyboard(out: &mut Painter, buffer: &Buffer) {
    for flags in &buffer.keyboard {
        let _ = write!(out.bytes, "\x1b[>{flags}u");
    }
}

fn cursor_and_modes(out: &mut Painter, terminal: &Terminal) {
    let (screen, modes) = (terminal.screen(), &terminal.modes);
    if modes.origin {
        // Goes home, and from now on rows count from the region's first.
        out.put("\x1b[?6h");
    }
    let from = if modes.origin { screen.top } else { 0 };
    let row = screen.y.saturating_sub(from) + 1;
    let behind_last = screen.x >= screen.columns;
    if terminal.preceding == 0 && behind_last {
        // Only printing brings the cursor behind the last column.
        let last = screen.columns - 1;
        let column = if screen.row(screen.y).width(last) == 0 { last - 1 } else { last };
        let _ = write!(out.bytes, "\x1b[{row};{}H", column + 1);
        out.cell(screen.row(screen.y).cell(column));
    } else if terminal.preceding == 0 {
        let _ = write!(out.bytes, "\x1b[{row};{}H", screen.x + 1);
    }
    for (set, charset) in terminal.charsets.iter().enumerate().filter(|(_, set)| **set != Charset::default()) {
        designate(out, set, *charset);
    }
    if terminal.shift != 0 {
        shift(out, terminal.shift);
    }
    let mut on = Vec::new();
    let mut switch = |mode: u16, is_on: bool| {
        if is_on {
            on.push(mode.to_string());
        }
    };
    switch(1, modes.application_cursor);
    switch(5, modes.reverse_video);
    switch(12, terminal.cursor_style.own_blinks == Some(true));
    switch(45, terminal.reverse_wraparound);
    switch(66, modes.application_keypad);
    switch(9, modes.mouse == Mouse::X10);
    switch(1000, modes.mouse == Mouse::Clicks);
    switch(1002, modes.mouse == Mouse::Drags);
    switch(1003, modes.mouse == Mouse::All);
    switch(1004, modes.focus_reports);
    switch(1006, terminal.mouse_encoding_beneath == MouseEncoding::Sgr);
    switch(1016, terminal.mouse_encoding_beneath == MouseEncoding::SgrPixels);
    // The last one counts.
    switch(1005, modes.mouse_encoding == MouseEncoding::Utf8);
    switch(1007, modes.alternate_scroll);
    switch(2004, modes.bracketed_paste);
    if !on.is_empty() {
        let _ = write!(out.bytes, "\x1b[?{}h", on.join(";"));
    }
    if modes.application_keypad {
        out.put("\x1b=");
    }
    let off: Vec<&str> = [
        (!modes.autowrap, "7"),
        (terminal.cursor_style.own_blinks == Some(false), "12"),
        (terminal.cursor_hidden, "25"),
    ]
    .into_iter()
    .filter_map(|(off, mode)| off.then_some(mode))
    .collect();
    if !off.is_empty() {
        let _ = write!(out.bytes, "\x1b[?{}l", off.join(";"));
    }
    if terminal.modify_other_keys != 0 {
        let _ = write!(out.bytes, "\x1b[>4;{}m", terminal.modify_other_keys);
    }
    if modes.insert {
        out.put("\x1b[4h");
    }
    if modes.newline {
        out.put("\x1b[20h");
    }
    let steady = match terminal.cursor_style.shape {
        Shape::Default => 8,
        Shape::Block => 2,
        Shape::Underline => 4,
        Shape::Bar => 6,
    };
    if let Some(blinking) = terminal.cursor_style.blinking {
        let _ = write!(out.bytes, "\x1b[{} q", steady - u8::from(blinking));
    }
    // Said even if it says nothing new: what follows must not join what was printed last.
    out.pen_anew(&terminal.pen);
    if terminal.preceding > 0 {
        // REP and combining characters refer to what was printed last, so it is printed last, in the very modes it was.
        let column = screen.x.saturating_sub(usize::from(terminal.preceding));
        let _ = write!(out.bytes, "\x1b[{row};{}H", column + 1);
        if modes.insert {
            let _ = write!(out.bytes, "\x1b[{}P", terminal.preceding);
        }
        out.put(terminal.preceding_raw.encode_utf8(&mut [0; 4]));
        out.put(screen.row(screen.y).cell(column).joined());
    }
}
