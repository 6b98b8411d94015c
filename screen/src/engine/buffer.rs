//! One of the two screens: its lines, those above it, the cursor, and what belongs to it alone.

use std::collections::VecDeque;

use super::cell::{Cell, Pen};
use super::charset::Charset;
use super::row::Row;

/// What DECSC keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Saved {
    pub x: usize,
    pub y: usize,
    /// Without the link, which belongs to no position.
    pub pen: Pen,
    pub charset: Charset,
}

/// Keyboard modes a program may stack, per screen. The kitty terminal keeps as many.
pub(crate) const KEYBOARD_STACK_MAX: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Buffer {
    /// The lines above the screen, oldest first, and then the screen's.
    pub lines: VecDeque<Row>,
    pub columns: usize,
    pub rows: usize,
    /// Lines kept above the screen.
    pub history_max: usize,
    /// Up to `columns`: there, the next character wraps.
    pub x: usize,
    pub y: usize,
    /// First and last row of the scroll region.
    pub top: usize,
    pub bottom: usize,
    pub saved: Saved,
    pub tabs: Vec<bool>,
    /// Kitty keyboard flags, the ones in force last.
    pub keyboard: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new(columns: usize, rows: usize, history_max: usize, fill: &Cell) -> Self {
        let mut buffer = Self {
            lines: VecDeque::new(),
            columns,
            rows,
            history_max,
            x: 0,
            y: 0,
            top: 0,
            bottom: rows - 1,
            saved: Saved::default(),
            tabs: default_tabs(columns),
            keyboard: Vec::new(),
        };
        buffer.lines.resize_with(rows, || Row::new(columns, fill));
        buffer
    }

    /// Lines above the screen.
    pub(crate) fn history(&self) -> usize {
        self.lines.len() - self.rows
    }

    pub(crate) fn row(&self, y: usize) -> &Row {
        &self.lines[self.history() + y]
    }

    pub(crate) fn row_mut(&mut self, y: usize) -> &mut Row {
        let history = self.history();
        &mut self.lines[history + y]
    }

    pub(crate) fn cursor_row(&mut self) -> &mut Row {
        self.row_mut(self.y)
    }

    /// The cursor leaves the place behind the last column, and in origin mode stays in the region.
    pub(crate) fn restrict(&mut self, origin: bool) {
        self.x = self.x.min(self.columns - 1);
        self.restrict_row(origin);
    }

    /// The same, but the place behind the last column is allowed.
    pub(crate) fn restrict_row(&mut self, origin: bool) {
        self.y = if origin { self.y.clamp(self.top, self.bottom) } else { self.y.min(self.rows - 1) };
    }

    /// CUP and its like; in origin mode rows count from the region's first.
    pub(crate) fn go(&mut self, x: usize, y: usize, origin: bool) {
        self.x = x;
        self.y = if origin { self.top.saturating_add(y) } else { y };
        self.restrict(origin);
    }

    /// The cursor moves to the next line, scrolling at the region's end. Says whether it scrolled.
    pub(crate) fn advance_row(&mut self, fill: &Cell, continues: bool) -> bool {
        self.y += 1;
        if self.y == self.bottom + 1 {
            self.y -= 1;
            self.scroll(fill, continues);
            return true;
        }
        self.y = self.y.min(self.rows - 1);
        false
    }

    /// The region moves up by one line; if it begins at the first row, that line goes above the screen.
    pub(crate) fn scroll(&mut self, fill: &Cell, continues: bool) {
        let history = self.history();
        let (top, bottom) = (history + self.top, history + self.bottom);
        let keep = self.top == 0 && self.history_max > 0;
        let mut row = if keep {
            if history >= self.history_max { self.lines.pop_front() } else { Some(Row::default()) }
        } else {
            self.lines.remove(top)
        }
        .unwrap_or_default();
        if row.columns() == self.columns {
            row.fill(fill);
        } else {
            row = Row::new(self.columns, fill);
        }
        row.continues = continues;
        // Where the last row of the region was, counted without the line that is gone.
        let place = if keep && history < self.history_max { bottom + 1 } else { bottom };
        self.lines.insert(place, row);
    }

    /// Lines `y..=bottom` of the screen move up by `count`; blank ones come in below (DL, SU).
    pub(crate) fn delete_rows(&mut self, y: usize, count: usize, fill: &Cell) {
        let (first, last) = (self.history() + y, self.history() + self.bottom);
        let count = count.min(last + 1 - first);
        for line in first..last + 1 - count {
            self.lines.swap(line, line + count);
        }
        self.blank_lines(last + 1 - count, last + 1, fill);
    }

    /// Lines `y..=bottom` of the screen move down by `count`; blank ones come in above (IL, SD).
    pub(crate) fn insert_rows(&mut self, y: usize, count: usize, fill: &Cell) {
        let (first, last) = (self.history() + y, self.history() + self.bottom);
        let count = count.min(last + 1 - first);
        for line in (first + count..=last).rev() {
            self.lines.swap(line, line - count);
        }
        self.blank_lines(first, first + count, fill);
    }

    fn blank_lines(&mut self, start: usize, end: usize, fill: &Cell) {
        for row in self.lines.range_mut(start..end) {
            row.fill(fill);
            row.continues = false;
        }
    }

    /// Everything of a line is erased, and it continues no other.
    pub(crate) fn reset_row(&mut self, y: usize, fill: &Cell, spare_protected: bool) {
        let row = self.row_mut(y);
        if spare_protected {
            let columns = row.columns();
            row.replace_unprotected(0, columns, fill);
        } else {
            row.fill(fill);
        }
        row.continues = false;
    }

    pub(crate) fn next_tab(&self, x: usize) -> usize {
        let next = (x + 1..self.columns).find(|&column| self.tabs.get(column).copied().unwrap_or(false));
        next.unwrap_or(self.columns - 1)
    }

    pub(crate) fn previous_tab(&self, x: usize) -> usize {
        (0..x).rev().find(|&column| self.tabs.get(column).copied().unwrap_or(false)).unwrap_or(0)
    }

    /// Lines above the screen are forgotten.
    pub(crate) fn clear_history(&mut self) {
        let history = self.history();
        self.lines.drain(..history);
    }
}

/// A stop in every eighth column.
pub(crate) fn default_tabs(columns: usize) -> Vec<bool> {
    (0..columns).map(|column| column % 8 == 0).collect()
}
