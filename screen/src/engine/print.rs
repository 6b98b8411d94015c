//! Characters: where they go, and what they do to their neighbours.

use super::Terminal;
use super::cell::Cell;
use crate::width;

impl Terminal {
    /// Shows characters, none of which is a control.
    pub(crate) fn text(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let ascii = rest.bytes().position(|byte| byte >= 0x80).unwrap_or(rest.len());
            if ascii > 0 && self.charset().is_ascii() && !self.modes.insert {
                self.ascii(&rest.as_bytes()[..ascii]);
                rest = &rest[ascii..];
                continue;
            }
            let end = if ascii > 0 { ascii } else { rest.bytes().position(|byte| byte < 0x80).unwrap_or(rest.len()) };
            let (run, following) = rest.split_at(end);
            self.cut_at_cursor();
            for character in run.chars() {
                self.character(character);
            }
            self.mend_at_cursor();
            rest = following;
        }
    }

    /// Printable ASCII that nothing maps or shifts: whole stretches of a line at once.
    fn ascii(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.cut_at_cursor();
        let pen = self.pen.clone();
        let mut rest = bytes;
        while !rest.is_empty() {
            let screen = self.screen();
            if screen.x >= screen.columns {
                if self.modes.autowrap {
                    self.wrap();
                } else {
                    // Each takes the last column in turn; the last one stays.
                    self.stay_in_last_column();
                    rest = &rest[rest.len() - 1..];
                }
            }
            let screen = self.screen_mut();
            let (x, count) = (screen.x, rest.len().min(screen.columns - screen.x));
            screen.cursor_row().write_ascii(x, &rest[..count], &pen);
            screen.x += count;
            rest = &rest[count..];
        }
        self.preceding = 1;
        self.preceding_raw = char::from(last);
        self.mend_at_cursor();
    }

    /// Any character, in any mode.
    pub(crate) fn character(&mut self, raw: char) {
        if raw == '\u{feff}' {
            return;
        }
        let character = self.charset().map(raw);
        let columns = width::columns(character);
        if columns == 0 && self.screen().x > 0 {
            self.join(character);
            return;
        }
        if columns == 0 {
            // At a line's beginning there is nothing to join but a blank; what has no width shifts nothing.
            let insert = std::mem::take(&mut self.modes.insert);
            self.character(' ');
            self.modes.insert = insert;
            self.join(character);
            // Nothing was printed that could be repeated.
            self.preceding = 0;
            return;
        }
        let screen = self.screen();
        if screen.x + usize::from(columns) > screen.columns {
            if self.modes.autowrap {
                self.blank_rest();
                self.wrap();
            } else {
                self.stay_in_last_column();
                if columns == 2 {
                    self.preceding = 0;
                    return;
                }
            }
        }
        let pen = self.pen.clone();
        let insert = self.modes.insert;
        let screen = self.screen_mut();
        let x = screen.x;
        let row = screen.cursor_row();
        if insert {
            row.insert(x, usize::from(columns), &pen.emptied());
        }
        row.set(x, Cell::new(character, columns, &pen));
        if columns == 2 {
            row.set(x + 1, Cell::new('\0', 0, &pen));
        }
        screen.x += usize::from(columns);
        self.preceding = columns;
        self.preceding_raw = raw;
    }

    /// A combining character belongs to the cell before the cursor, whatever came between.
    fn join(&mut self, character: char) {
        let screen = self.screen_mut();
        let x = screen.x;
        let row = screen.cursor_row();
        let back = if x > 0 && row.width(x - 1) == 0 { 2 } else { 1 };
        if let Some(cell) = x.checked_sub(back).and_then(|column| row.cell_mut(column)) {
            if !cell.has_content() {
                cell.character = ' ';
            }
            cell.join(character);
        }
    }

    /// Without autowrap the last column is written again and again.
    fn stay_in_last_column(&mut self) {
        let screen = self.screen_mut();
        screen.x = screen.columns - 1;
        self.cut_at_cursor();
    }

    /// What a wide character that does not fit leaves of the line.
    fn blank_rest(&mut self) {
        let blank = self.pen.emptied();
        let screen = self.screen_mut();
        let (x, columns) = (screen.x, screen.columns);
        screen.cursor_row().cells_mut(x, columns).fill(blank);
    }

    /// The line goes on in the next one.
    fn wrap(&mut self) {
        let fill = self.pen.erased();
        let screen = self.screen_mut();
        screen.x = 0;
        if !screen.advance_row(&fill, true) {
            screen.cursor_row().continues = true;
        }
    }

    /// The cursor is on the second half of a wide character: the first half is lost.
    fn cut_at_cursor(&mut self) {
        let x = self.screen().x;
        if x > 0 && self.screen().row(self.screen().y).width(x - 1) == 2 {
            let blank = self.pen.emptied();
            self.screen_mut().cursor_row().set(x - 1, blank);
        }
    }

    /// What was written ended on the first half of a wide character: the second half is lost.
    fn mend_at_cursor(&mut self) {
        let blank = self.pen.emptied();
        let screen = self.screen_mut();
        let x = screen.x;
        screen.cursor_row().mend_at(x, &blank);
    }

    /// REP. A count beyond a screenful repeats what would be seen anyway.
    pub(crate) fn repeat(&mut self, count: usize) {
        if self.preceding == 0 {
            return;
        }
        let screen = self.screen();
        let Some(column) = screen.x.checked_sub(usize::from(self.preceding)) else { return };
        let cell = screen.row(screen.y).cell(column);
        let mut text = String::new();
        if cell.has_content() {
            cell.push_text(&mut text);
        }
        // Whole lines of them are left out, so that the last one ends where it would.
        let in_a_line = (screen.columns / usize::from(self.preceding)).max(1);
        let screenful = in_a_line * (2 * screen.rows + 1 + screen.history_max.min(screen.rows));
        let count = if count > screenful { screenful + (count - screenful) % in_a_line } else { count };
        if let ([byte @ 0x20..0x7f], true, false) = (text.as_bytes(), self.charset().is_ascii(), self.modes.insert) {
            self.ascii(&vec![*byte; count]);
            return;
        }
        let characters: Vec<char> = text.chars().collect();
        self.cut_at_cursor();
        for _ in 0..count {
            for &character in &characters {
                self.character(character);
            }
        }
        self.mend_at_cursor();
    }
}
