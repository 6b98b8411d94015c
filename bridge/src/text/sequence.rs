//! Escape sequences: those that move the cursor or erase have their effect on the line, the others vanish.

use super::line::COLUMNS_MAX;
use super::{BEL, CAN, ESC, LINE_BYTES_MAX, Line, SUB, State, Stripper};

/// A control sequence as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Csi {
    private: bool,
    /// It has parts that none of the sequences that matter has.
    foreign: bool,
    number: Option<u16>,
    first: Option<u16>,
    second: Option<u16>,
    count: u16,
    /// One of the modes that swap the screen is among the parameters.
    swaps: bool,
}

impl Csi {
    /// The sequence that these bytes begin with, its final byte and its length, if it is whole, short and has nothing but
    /// numbers: as most are. Every other goes byte by byte.
    pub(super) fn whole(bytes: &[u8]) -> Option<(Self, u8, usize)> {
        const LOOKED_AT: usize = 64;
        let body = bytes.strip_prefix(b"\x1b[")?;
        let mut csi = Self::default();
        for (at, &byte) in body.iter().take(LOOKED_AT).enumerate() {
            match byte {
                b'0'..=b'9' => csi.digit(byte),
                b';' => csi.end_parameter(),
                b':' => csi.foreign = true,
                b'@'..=b'~' => {
                    csi.end_parameter();
                    return Some((csi, byte, at + 3));
                }
                _ => return None,
            }
        }
        None
    }

    fn digit(&mut self, digit: u8) {
        let number = self.number.unwrap_or(0);
        self.number = Some(number.saturating_mul(10).saturating_add(u16::from(digit - b'0')));
    }

    fn end_parameter(&mut self) {
        let number = self.number.take();
        self.swaps |= matches!(number, Some(47 | 1047 | 1049));
        match self.count {
            0 => self.first = number,
            1 => self.second = number,
            _ => {}
        }
        self.count = self.count.saturating_add(1);
    }

    /// The first parameter as a count: 1 if it is missing or 0.
    fn columns(&self) -> usize {
        columns(self.first)
    }
}

fn columns(number: Option<u16>) -> usize {
    usize::from(number.unwrap_or(1).max(1)).min(COLUMNS_MAX)
}

impl Stripper {
    /// A sequence begins, of which so many bytes are counted.
    pub(super) fn begin_sequence(&mut self, state: State, bytes: u64) {
        self.sequence_at = self.at - bytes;
        self.state = state;
    }

    fn end_sequence(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        self.state = State::Ground;
        if std::mem::take(&mut self.fed) {
            self.line_feed(0, sink);
        }
    }

    /// An `ESC`, which is counted, ends the sequence and begins another.
    fn next_sequence(&mut self, sink: &mut impl FnMut(Line<'_>)) {
        self.at -= 1;
        self.end_sequence(sink);
        self.at += 1;
        self.begin_sequence(State::Escape(false), 1);
    }

    /// A byte of an escape or control sequence, which is counted.
    pub(super) fn within(&mut self, byte: u8, sink: &mut impl FnMut(Line<'_>)) {
        match (byte, self.state) {
            (CAN | SUB, _) => self.end_sequence(sink),
            (ESC, _) => self.next_sequence(sink),
            (b'\n' | 0x0b | 0x0c, _) => self.fed = true,
            (0x00..=0x1f | 0x7f.., _) => {}
            (_, State::Escape(intermediate)) => self.escape(byte, intermediate, sink),
            (_, State::Csi(csi)) => self.csi(byte, csi, sink),
            (_, State::Ground | State::String { .. }) => {}
        }
    }

    fn escape(&mut self, byte: u8, intermediate: bool, sink: &mut impl FnMut(Line<'_>)) {
        self.state = match byte {
            0x20..=0x2f => State::Escape(true),
            b'[' if !intermediate => State::Csi(Csi::default()),
            b']' if !intermediate => State::String { bel: true, c2: false },
            b'P' | b'X' | b'^' | b'_' if !intermediate => State::String { bel: false, c2: false },
            _ => {
                match byte {
                    b'D' | b'E' if !intermediate => self.fed = true,
                    // Reverse index, restored cursor, reset.
                    b'M' | b'8' | b'c' if !intermediate => self.end_line(self.sequence_at, sink),
                    _ => {}
                }
                return self.end_sequence(sink);
            }
        };
    }

    fn csi(&mut self, byte: u8, mut csi: Csi, sink: &mut impl FnMut(Line<'_>)) {
        match byte {
            b'0'..=b'9' => csi.digit(byte),
            b';' => csi.end_parameter(),
            b'?' => csi.private = true,
            0x20..=0x3f => csi.foreign = true,
            _ => {
                csi.end_parameter();
                self.perform(byte, csi, sink);
                return self.end_sequence(sink);
            }
        }
        self.state = State::Csi(csi);
    }

    /// A control sequence is whole.
    pub(super) fn perform(&mut self, action: u8, csi: Csi, sink: &mut impl FnMut(Line<'_>)) {
        match (csi.foreign, csi.private) {
            (true, _) => {}
            (false, true) if csi.swaps && matches!(action, b'h' | b'l') => self.end_line(self.sequence_at, sink),
            (false, true) => {}
            (false, false) => self.act(action, csi, sink),
        }
    }

    fn act(&mut self, action: u8, csi: Csi, sink: &mut impl FnMut(Line<'_>)) {
        let at_home = self.returned.is_some();
        match (action, csi.first.unwrap_or(0)) {
            (b'C' | b'a', _) => self.forward(csi.columns(), sink),
            (b'I', _) => self.tabs(csi.columns(), sink),
            (b'G' | b'`', _) => self.go_to_column(csi.columns() - 1, sink),
            (b'b', _) => self.repeat(csi.columns(), sink),
            (b'D' | b'j', _) if !at_home => self.change(|line| line.back(csi.columns())),
            (b'P', _) if !at_home => self.change(|line| line.delete(csi.columns())),
            (b'X', _) if !at_home => self.change(|line| line.blank(csi.columns())),
            (b'@', _) if !at_home && self.line.len() + csi.columns() <= LINE_BYTES_MAX => {
                self.change(|line| line.insert(csi.columns()));
            }
            (b'J' | b'K', 0) if !at_home => self.change(super::line::Growing::erase_rest),
            (b'J' | b'K', 0 | 1) => {}
            // Addressed, moved to another row, erased, scrolled, restored.
            (b'H' | b'f', _) => {
                self.end_line(self.sequence_at, sink);
                self.base = columns(csi.second) - 1;
            }
            (
                b'A' | b'B' | b'E' | b'F' | b'J' | b'K' | b'L' | b'M' | b'S' | b'T' | b'd' | b'e' | b'k' | b'r' | b'u',
                _,
            ) => {
                self.end_line(self.sequence_at, sink);
            }
            _ => {}
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut super::line::Growing)) {
        if !self.line.is_empty() {
            change(&mut self.line);
            self.end = self.at;
        }
    }

    /// The cursor goes right, over blanks where there is nothing yet, at most to the last column there may be.
    fn forward(&mut self, columns: usize, sink: &mut impl FnMut(Line<'_>)) {
        self.settle_return(sink);
        let room = COLUMNS_MAX.saturating_sub(self.base + self.line.column());
        self.line.forward(columns, room);
        self.end = self.at;
    }

    fn go_to_column(&mut self, column: usize, sink: &mut impl FnMut(Line<'_>)) {
        if column == 0 {
            return self.carriage_return();
        }
        self.settle_return(sink);
        if column < self.base {
            self.end_line(self.sequence_at, sink);
        }
        self.line.go_to_column(column - self.base);
        self.end = self.at;
    }

    pub(super) fn tabs(&mut self, count: usize, sink: &mut impl FnMut(Line<'_>)) {
        self.settle_return(sink);
        let column = self.base + self.line.column();
        self.forward(8 * count - column % 8, sink);
    }

    fn repeat(&mut self, count: usize, sink: &mut impl FnMut(Line<'_>)) {
        let Some(last) = self.last else { return };
        if self.line.len() + count * last.len_utf8() > LINE_BYTES_MAX {
            return self.end_line(self.at, sink);
        }
        let text: String = std::iter::repeat_n(last, count).collect();
        let rest = self.line.write_over(&text);
        self.line.append(rest);
        self.end = self.at;
    }

    /// Bytes of a string. How many were used.
    pub(super) fn string(&mut self, bytes: &[u8], bel: bool, c2: bool, sink: &mut impl FnMut(Line<'_>)) -> usize {
        let mut before = if c2 { 0xc2 } else { 0 };
        let end = bytes.iter().position(|&byte| {
            let ends = match byte {
                ESC | CAN | SUB => true,
                BEL => bel,
                0x9c => before == 0xc2,
                _ => false,
            };
            before = byte;
            ends
        });
        let Some(end) = end else {
            self.at += bytes.len() as u64;
            self.state = State::String { bel, c2: before == 0xc2 };
            return bytes.len();
        };
        self.at += end as u64 + 1;
        if bytes[end] == ESC {
            self.next_sequence(sink);
        } else {
            self.end_sequence(sink);
        }
        end + 1
    }
}
