//! Lines as bytes: text, erased stretches, and line ends that are told from wraps.

use std::io::Write as _;

use crate::engine::{Buffer, Cell, Pen, Row};
use crate::view::Colour;
use crate::width;

/// Bytes so far, and what the terminal that reads them draws with.
pub(super) struct Painter {
    pub(super) bytes: Vec<u8>,
    pub(super) current: Pen,
}

impl Painter {
    pub(super) fn new(prologue: &[u8]) -> Self {
        Self { bytes: prologue.to_vec(), current: Pen::default() }
    }

    pub(super) fn put(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The lines of a screen, and up to `history` above it. The cursor is at home, everything is blank.
    ///
    /// A line that goes on in the next is written to its very end, and the next one's first character makes the terminal wrap:
    /// that is how a terminal learns that the two are one.
    pub(super) fn lines(&mut self, buffer: &Buffer, history: usize) {
        let first = buffer.history() - history.min(buffer.history());
        if buffer.lines[first].continues {
            self.first_continues(buffer.columns, buffer.rows);
        }
        for index in first..buffer.lines.len() {
            let row = &buffer.lines[index];
            let before = (index > first).then(|| &buffer.lines[index - 1]);
            let next = buffer.lines.get(index + 1).filter(|next| next.continues);
            let from = match before {
                Some(before) if row.continues => {
                    let scrolls = index - first >= buffer.rows;
                    self.wrapped_start(before, row, buffer.rows > 1, scrolls)
                }
                Some(_) => {
                    // A line that scrolls in has the pen's background.
                    self.background(Colour::Default);
                    self.put("\r\n");
                    0
                }
                None => 0,
            };
            self.line(row, from, next);
        }
    }

    /// Makes the topmost line one that goes on from a line above which is no longer there: from a line that then goes.
    fn first_continues(&mut self, columns: usize, rows: usize) {
        self.background(Colour::Default);
        self.bytes.resize(self.bytes.len() + columns + 1, b' ');
        self.put(if rows > 1 { "\x1b[H\x1b[M\x1b[X" } else { "\r\x1b[X" });
    }

    /// The first cell of a line that goes on: the terminal has the cursor behind the last column of the line before, or on it,
    /// if a wide character is to find no room there. Returns the column to go on at.
    fn wrapped_start(&mut self, before: &Row, row: &Row, is_before_shown: bool, scrolls: bool) -> usize {
        let last = before.columns() - 1;
        let (end, start) = (before.cell(last), row.cell(0));
        let natural = leaves(end, start);
        let blank = !start.has_content();
        if blank {
            self.background(start.bg);
            self.put(" ");
        } else {
            self.cell(start);
        }
        if scrolls && self.current.bg != Colour::Default && usize::from(start.width) <= last {
            // The line came with the pen's background.
            self.background(Colour::Default);
            self.put("\x1b[K");
        }
        if !end.has_content() && end.width != 0 && !natural && is_before_shown {
            // A blank stands there for the sake of wrapping.
            let _ = write!(self.bytes, "\x1b[A\x1b[{}G", last + 1);
            self.background(end.bg);
            self.put("\x1b[X\x1b[B\r");
            if blank {
                self.background(start.bg);
                self.put("\x1b[X");
                return 0;
            }
            if usize::from(start.width) > last {
                // No moving gets behind the last column.
                self.cell(start);
            } else {
                let _ = write!(self.bytes, "\x1b[{}C", start.width);
            }
        } else if blank {
            self.background(start.bg);
            self.put("\r\x1b[X");
            return 0;
        }
        usize::from(start.width)
    }

    /// The cells of one line from `from`, where the cursor is.
    fn line(&mut self, row: &Row, from: usize, next: Option<&Row>) {
        let columns = row.columns();
        let last = columns - 1;
        // A wide character that finds no room at the end wraps by itself.
        let natural = next.is_some_and(|next| leaves(row.cell(last), next.cell(0)));
        // Up to where something has to be said.
        let end = if natural {
            last
        } else if next.is_some() {
            columns
        } else {
            row.seen().max(from)
        };
        let mut column = from;
        // Columns passed that the cursor was not yet moved over.
        let mut behind = 0;
        while column < end {
            let cell = row.cell(column);
            let must_print = column == last && next.is_some();
            if !cell.has_content() && cell.width == 1 && !must_print {
                let stop = if next.is_some() { end.min(last) } else { end };
                let run = (column..stop).take_while(|&at| *row.cell(at) == *cell).count().max(1);
                if cell.bg != Colour::Default {
                    self.pass(&mut behind);
                    self.background(cell.bg);
                    let _ = write!(self.bytes, "\x1b[{run}X");
                }
                behind += run;
                column += run;
                continue;
            }
            self.pass(&mut behind);
            if cell.has_content() {
                self.cell(cell);
            } else {
                self.pen(&Pen { bg: cell.bg, ..Pen::default() });
                self.put(" ");
            }
            column += usize::from(cell.width.max(1));
            if column < end && cell.has_content() && !is_undisputed(cell) {
                let _ = write!(self.bytes, "\x1b[{}G", column + 1);
            }
        }
        if natural {
            // The last column is where the wide character must be tried.
            self.pass(&mut behind);
        }
    }

    fn pass(&mut self, behind: &mut usize) {
        match *behind {
            0 => {}
            1 => self.put("\x1b[C"),
            count => {
                let _ = write!(self.bytes, "\x1b[{count}C");
            }
        }
        *behind = 0;
    }

    /// A cell that was written to.
    pub(super) fn cell(&mut self, cell: &Cell) {
        self.pen(&cell.pen());
        self.put(if cell.has_content() { cell.character } else { ' ' }.encode_utf8(&mut [0; 4]));
        self.put(cell.joined());
    }
}

/// Whether a wide character that wraps, for want of room, leaves just this.
fn leaves(end: &Cell, start: &Cell) -> bool {
    start.width == 2 && *end == start.pen().emptied() && !end.has_content()
}

fn is_undisputed(cell: &Cell) -> bool {
    cell.joined().is_empty() && width::is_undisputed(cell.character.encode_utf8(&mut [0; 4]))
}
