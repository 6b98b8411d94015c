//! Another size.
//!
//! Rows come and go at the bottom as long as there is something below the cursor, then at the top. When the width changes, lines of
//! the main screen that a margin had cut are joined and cut anew, except for the one the cursor is in: a shell draws that one
//! itself. The alternate screen is cut off or padded; whoever shows something there draws it again.

use super::Terminal;
use super::buffer::Buffer;
use super::cell::Cell;
use super::row::Row;

impl Terminal {
    /// Both screens get another size.
    pub(crate) fn resize_to(&mut self, columns: usize, rows: usize) {
        if (columns, rows) == (self.main.columns, self.main.rows) {
            return;
        }
        self.preceding = 0;
        self.main.resize(columns, rows, true);
        self.alt.resize(columns, rows, false);
        if self.modes.alt_screen {
            // A hidden screen has no other cursor than the one that will be restored.
            (self.main.saved.x, self.main.saved.y) = (self.main.x, self.main.y);
        }
        // The cursor is no longer behind the last column, wherever that is now.
        self.settle();
    }
}

impl Buffer {
    fn resize(&mut self, columns: usize, rows: usize, reflow: bool) {
        self.resize_rows(rows);
        self.x = self.x.min(columns - 1);
        self.saved.x = self.saved.x.min(columns - 1);
        if columns != self.columns && reflow {
            self.reflow(columns);
        } else {
            for row in &mut self.lines {
                row.resize(columns);
            }
        }
        self.columns = columns;
        self.resize_tabs(columns);
        self.saved.y = self.saved.y.min(rows - 1);
        (self.top, self.bottom) = (0, rows - 1);
        let surplus = self.history().saturating_sub(self.history_max);
        self.lines.drain(..surplus);
    }

    fn resize_rows(&mut self, rows: usize) {
        while self.rows < rows {
            self.lines.push_back(Row::new(self.columns, &Cell::default()));
            self.rows += 1;
        }
        while self.rows > rows {
            if self.y + 1 < self.rows {
                self.lines.pop_back();
            } else {
                self.y -= 1;
                self.saved.y = self.saved.y.saturating_sub(1);
            }
            self.rows -= 1;
        }
    }

    /// Joins what a margin cut, and cuts it at the new one. The screen and what is above it are not joined: a screen must be the
    /// same whether the lines above it are kept or not.
    fn reflow(&mut self, columns: usize) {
        let mut old: Vec<Row> = self.lines.drain(..).collect();
        let mut on_screen = old.split_off(old.len() - self.rows);
        let (mut above, _) = rewrapped(&mut old, columns, None, &[]);
        let (mut new, places) = rewrapped(&mut on_screen, columns, Some(self.y), &[self.y, self.saved.y]);
        let (mut cursor, mut saved) = (places[0], places[1]);
        // What no longer fits goes below, as long as that is below the cursor and so of no use to a shell; then above.
        while new.len() > self.rows && new.len() - 1 > cursor {
            new.pop();
        }
        let surplus = new.len().saturating_sub(self.rows);
        above.extend(new.drain(..surplus));
        cursor -= surplus;
        saved = saved.saturating_sub(surplus);
        new.resize_with(self.rows, || Row::new(columns, &Cell::default()));
        self.lines = above.into_iter().chain(new).collect();
        (self.y, self.saved.y) = (cursor, saved);
    }

    /// Stops beyond the last one follow it in every eighth column.
    fn resize_tabs(&mut self, columns: usize) {
        self.tabs.truncate(columns);
        let had = self.tabs.len();
        let last = self.tabs.iter().rposition(|&tab| tab).unwrap_or(0);
        self.tabs.extend((had..columns).map(|column| (column - last) % 8 == 0));
    }
}

/// Lines at another width, but for the ones that belong together with line `keep`; and where the lines `of` are among them.
fn rewrapped(old: &mut [Row], columns: usize, keep: Option<usize>, of: &[usize]) -> (Vec<Row>, Vec<usize>) {
    let mut new: Vec<Row> = Vec::with_capacity(old.len());
    let mut places = of.to_vec();
    let mut start = 0;
    while start < old.len() {
        let length = 1 + old[start + 1..].iter().take_while(|row| row.continues).count();
        let lines = start..start + length;
        let (at, group) = (new.len(), &mut old[lines.clone()]);
        if keep.is_some_and(|keep| lines.contains(&keep)) || (length == 1 && group[0].written() <= columns) {
            new.extend(group.iter_mut().map(|row| {
                row.resize(columns);
                std::mem::take(row)
            }));
        } else {
            rewrap(group, columns, &mut new);
        }
        for (place, line) in places.iter_mut().zip(of).filter(|(_, line)| lines.contains(line)) {
            *place = at + (line - start).min(new.len() - at - 1);
        }
        start += length;
    }
    (new, places)
}

/// Cuts the cells of lines that are one at another width.
fn rewrap(group: &[Row], columns: usize, new: &mut Vec<Row>) {
    let mut row = Row::new(columns, &Cell::default());
    row.continues = group[0].continues;
    let mut column = 0;
    for (index, line) in group.iter().enumerate() {
        for at in 0..line_end(line, group.get(index + 1)) {
            let cell = line.cell(at);
            if column + usize::from(cell.width.max(1)) > columns {
                new.push(std::mem::replace(&mut row, Row::new(columns, &Cell::default())));
                row.continues = true;
                column = 0;
            }
            row.set(column, cell.clone());
            column += 1;
        }
    }
    new.push(row);
}

/// Where a line's text ends: at its last column if it goes on, but for the one a wide character found no room in.
fn line_end(line: &Row, next: Option<&Row>) -> usize {
    let Some(next) = next else { return line.written() };
    let last = line.columns() - 1;
    let left_free = !line.cell(last).has_content() && line.width(last) == 1 && next.width(0) == 2;
    if left_free { last } else { line.columns() }
}
