//! Output as lines of text: what was shown, in the order in which it was written.
//!
//! No screen is kept, so this is fast and knows no size: escape sequences go, and what the cursor does within a line is
//! followed (backspace, tab, movements, characters inserted and deleted). A line ends
//!
//! - at a line feed;
//! - at a carriage return with text behind it: what that overwrites was shown, and is a line of its own (`10%`, `20%`, …);
//! - where the cursor leaves it or the screen is erased: each piece that a full-screen program paints is a line;
//! - at [`LINE_BYTES_MAX`], and at a hole in the output.
//!
//! A soft-wrapped line is one line: where the terminal wrapped is not in the bytes. Bytes that are no UTF-8 read as
//! U+FFFD. Eight-bit controls are those that UTF-8 can spell (U+0080–U+009F), as in every UTF-8 terminal. Of a control
//! within a sequence only the line feed is kept, until the sequence ends.
//!
//! Each line says from where a fresh [`Stripper`] would make the same lines after it, so that a search can go on there.

pub mod hostile;
mod line;
mod sequence;
#[cfg(test)]
mod tests;

use line::Growing;
use sequence::Csi;

/// Bytes of the longest line; what is longer is cut into lines. One that is written over with wider characters may grow
/// to four times as much.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes without controls that are looked at together: whatever interrupts them costs no more than looking at so many.
const RUN_BYTES_MAX: usize = 4 << 10;

const BEL: u8 = 0x07;
const BS: u8 = 0x08;
const TAB: u8 = 0x09;
const CR: u8 = 0x0d;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it says.
    pub text: &'a str,
    /// Output offset right behind what changed it last: the screen there shows it.
    pub end: u64,
    /// Output offset from which a fresh [`Stripper`] makes the lines that follow.
    pub next: u64,
}

/// Between which bytes the stripper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// Behind `ESC`; true: behind an intermediate byte too.
    Escape(bool),
    Csi(Csi),
    /// In a string, which ends at ST, and at BEL if it is an OSC; `c2`: the last byte was the first of U+009C.
    String {
        bel: bool,
        c2: bool,
    },
}

/// Makes lines of output; however that is cut into pieces, the lines are the same.
#[derive(Debug, Default)]
pub struct Stripper {
    /// Output bytes before what comes next.
    at: u64,
    state: State,
    /// Where the sequence begins that is being read.
    sequence_at: u64,
    /// A line feed came within it.
    fed: bool,
    /// The beginning of a character whose rest is yet to come.
    carry: [u8; 4],
    carried: usize,
    line: Growing,
    /// The column in which the line begins.
    base: usize,
    /// Offset behind what changed the line last.
    end: u64,
    /// The cursor returned to the line's beginning: the offset behind that.
    returned: Option<u64>,
    /// What a repetition repeats.
    last: Option<char>,
}

impl Stripper {
    /// Begins at an output offset.
    #[must_use]
    pub fn new(at: u64) -> Self {
        Self { at, end: at, ..Self::default() }
    }

    /// The output offset behind everything that was fed.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The line that has not ended, as it is shown now.
    #[must_use]
    pub fn unfinished(&self) -> &str {
        self.line.shown()
    }

    /// Takes output; `sink` gets each line that ends in it.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(Line<'_>)) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            used += match self.state {
                State::Ground => self.ground(rest, sink),
                State::String { bel, c2 } => self.string(rest, bel, c2, sink),
                State::Escape(_) | State::Csi(_) => {
                    self.at += 1;
                    self.within(rest[0], sink);
                    1
                }
            };
        }
    }

    /// Output up to this offset is nowhere: the line ends, and so does whatever was half read.
    pub fn skip_to(&mut self, offset: u64, sink: &mut impl FnMut(Line<'_>)) {
        self.replace_carry(sink);
        self.at = offset.max(self.at);
        self.end_line(self.at, sink);
        self.state = State::Ground;
        self.fed = false;
    }

    /// Nothing follows: the line that has not ended is a line all the same.
    pub fn finish(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        self.skip_to(self.at, sink);
    }

    fn emit(&mut self, next: u64, sink: &mut impl FnMut(Line<'_>)) {
        sink(Line { text: self.line.shown(), end: self.end, next });
        self.begin_line();
    }

    fn begin_line(&mut self) {
        self.line.clear();
        self.base = 0;
        self.returned = None;
        self.last = None;
    }

    /// Ends the line if something of it can be seen. If the cursor had returned, the next one began there.
    fn end_line(&mut self, next: u64, sink: &mut impl FnMut(Line<'_>)) {
        if self.line.is_blank() {
            self.begin_line();
        } else {
            self.emit(self.returned.unwrap_or(next), sink);
        }
    }

    fn line_feed(&mut self, bytes: u64, sink: &mut impl FnMut(Line<'_>)) {
        if self.line.is_empty() {
            self.end = self.at - bytes;
        }
        self.emit(self.at, sink);
    }

    fn carriage_return(&mut self) {
        if self.line.is_empty() {
            self.begin_line();
        } else {
            self.returned.get_or_insert(self.at);
            self.last = None;
        }
    }

    /// The cursor is about to write: over the line, if it had returned.
    fn settle_return(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        if self.returned.is_some() {
            self.end_line(self.at, sink);
        }
    }

    /// Text, or one control. How many bytes were used.
    fn ground(&mut self, bytes: &[u8], sink: &mut impl FnMut(Line<'_>)) -> usize {
        if self.carried > 0 {
            return self.complete_carry(bytes[0], sink);
        }
        let looked_at = &bytes[..bytes.len().min(RUN_BYTES_MAX)];
        let (text, rest) = bytes.split_at(plain_len(looked_at));
        if text.is_empty() {
            if let Some((csi, action, len)) = Csi::whole(bytes) {
                self.sequence_at = self.at;
                self.at += len as u64;
                // Most change only how text looks.
                if action != b'm' {
                    self.perform(action, csi, sink);
                }
                return len;
            }
            self.at += 1;
            self.control(bytes[0], sink);
            return 1;
        }
        // Most lines of a log are whole in one piece: nothing of them is copied.
        if self.line.is_empty()
            && let Some(feed) = line_feed(rest)
            && let Some(text) = plain_text(text)
        {
            self.end = self.at + text.len() as u64;
            self.at = self.end + feed as u64;
            sink(Line { text, end: self.end, next: self.at });
            self.begin_line();
            return text.len() + feed;
        }
        self.run(text, rest.is_empty() || text.len() == RUN_BYTES_MAX, sink)
    }

    /// Bytes among which no control is spelled in one; `open`: what a character at their end lacks may still come.
    fn run(&mut self, bytes: &[u8], open: bool, sink: &mut impl FnMut(Line<'_>)) -> usize {
        if let Some(text) = plain_text(bytes) {
            self.write(text, sink);
            return bytes.len();
        }
        let control = wide_control(bytes);
        let text = &bytes[..control.unwrap_or(bytes.len())];
        let mut used = 0;
        for chunk in text.utf8_chunks() {
            self.write(chunk.valid(), sink);
            used += chunk.valid().len() + chunk.invalid().len();
            let invalid = chunk.invalid();
            self.at += invalid.len() as u64;
            if open && control.is_none() && used == text.len() && is_beginning(invalid) {
                self.carry[..invalid.len()].copy_from_slice(invalid);
                self.carried = invalid.len();
            } else if !invalid.is_empty() {
                self.write_char(char::REPLACEMENT_CHARACTER, invalid.len(), sink);
            }
        }
        if let Some(&number) = control.and_then(|at| bytes.get(at + 1)) {
            self.at += 2;
            self.wide_control(number, sink);
            used += 2;
        }
        used
    }

    /// Writes characters whose bytes come next.
    fn write(&mut self, text: &str, sink: &mut impl FnMut(Line<'_>)) {
        let Some(last) = text.chars().next_back() else { return };
        self.settle_return(sink);
        let mut rest = self.line.write_over(text);
        self.at += (text.len() - rest.len()) as u64;
        while !rest.is_empty() {
            let mut fits = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(rest.len());
            while !rest.is_char_boundary(fits) {
                fits -= 1;
            }
            self.line.append(&rest[..fits]);
            self.at += fits as u64;
            rest = &rest[fits..];
            if !rest.is_empty() {
                self.end = if fits > 0 { self.at } else { self.end };
                self.emit(self.at, sink);
            }
        }
        self.end = self.at;
        self.last = Some(last);
    }

    /// Writes a character that was spelled in the last `bytes` bytes.
    fn write_char(&mut self, char: char, bytes: usize, sink: &mut impl FnMut(Line<'_>)) {
        let at = self.at;
        self.at -= bytes as u64;
        self.write(char.encode_utf8(&mut [0; 4]), sink);
        self.at = at;
        self.end = at;
    }

    fn complete_carry(&mut self, byte: u8, sink: &mut impl FnMut(Line<'_>)) -> usize {
        if let Some(room) = self.carry.get_mut(self.carried) {
            *room = byte;
            match std::str::from_utf8(&self.carry[..=self.carried]) {
                Ok(text) => {
                    let (char, bytes) = (text.chars().next(), self.carried + 1);
                    self.carried = 0;
                    self.at += 1;
                    match char {
                        Some(control @ '\u{80}'..='\u{9f}') => self.wide_control(control as u8, sink),
                        Some(char) => self.write_char(char, bytes, sink),
                        None => {}
                    }
                    return 1;
                }
                Err(err) if err.error_len().is_none() => {
                    self.carried += 1;
                    self.at += 1;
                    return 1;
                }
                Err(_) => {}
            }
        }
        self.replace_carry(sink);
        0
    }

    fn replace_carry(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        let bytes = std::mem::take(&mut self.carried);
        if bytes > 0 {
            self.write_char(char::REPLACEMENT_CHARACTER, bytes, sink);
        }
    }

    /// A control of one byte, which is counted.
    fn control(&mut self, byte: u8, sink: &mut impl FnMut(Line<'_>)) {
        match byte {
            b'\n' | 0x0b | 0x0c => self.line_feed(1, sink),
            CR => self.carriage_return(),
            BS if self.returned.is_none() => {
                self.line.back(1);
                self.end = self.at;
            }
            TAB => self.tabs(1, sink),
            ESC => self.begin_sequence(State::Escape(false), 1),
            _ => {}
        }
    }

    /// A control U+0080–U+009F, whose two bytes are counted.
    fn wide_control(&mut self, number: u8, sink: &mut impl FnMut(Line<'_>)) {
        match number {
            0x84 | 0x85 => self.line_feed(2, sink),
            0x8d => self.end_line(self.at, sink),
            0x90 | 0x98 | 0x9e | 0x9f => self.begin_sequence(State::String { bel: false, c2: false }, 2),
            0x9b => self.begin_sequence(State::Csi(Csi::default()), 2),
            0x9d => self.begin_sequence(State::String { bel: true, c2: false }, 2),
            _ => {}
        }
    }
}

/// How many bytes from the first on are neither below 0x20 nor 0x7f.
fn plain_len(bytes: &[u8]) -> usize {
    const LANES: usize = 32;
    const ONES: u64 = u64::MAX / 0xff;
    let is_control = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
    let mut plain = 0;
    // Without a way out in its middle, the inner loop becomes vector instructions.
    for lanes in bytes.chunks_exact(LANES) {
        if lanes.iter().fold(false, |any, byte| any | is_control(byte)) {
            break;
        }
        plain += LANES;
    }
    let mut rest = &bytes[plain..];
    // Eight at a time: a byte that a subtraction borrows for has its top bit set, and the lowest of them is never one that
    // a lower one borrowed from.
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let eight = u64::from_le_bytes(*eight);
        let below = eight.wrapping_sub(ONES * 0x20) & !eight;
        let rubbed = eight ^ (ONES * 0x7f);
        let delete = rubbed.wrapping_sub(ONES) & !rubbed;
        let found = (below | delete) & (ONES * 0x80);
        if found != 0 {
            return plain + found.trailing_zeros() as usize / 8;
        }
        plain += 8;
        rest = behind;
    }
    plain + rest.iter().position(is_control).unwrap_or(rest.len())
}

/// The bytes as text, if they are UTF-8 without controls.
fn plain_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (bytes.is_ascii() || wide_control(bytes).is_none()).then_some(text)
}

/// Where a control U+0080–U+009F is spelled. Its first byte is never within another character.
fn wide_control(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xc2, bytes).find(|at| matches!(bytes.get(at + 1), Some(0x80..=0x9f)))
}

/// Whether these bytes are the beginning of a character and nothing else.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|err| err.valid_up_to() == 0 && err.error_len().is_none())
}

/// Bytes of the line feed that these begin with, with the carriage return before it.
fn line_feed(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [CR, b'\n', ..] => Some(2),
        _ => None,
    }
}
