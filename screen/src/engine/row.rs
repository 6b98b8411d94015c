//! One line of the grid.

use super::cell::{Cell, Pen};

/// One line. Cells are held up to the last one that differs from the rest, so that what is blank costs neither memory nor time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    cells: Vec<Cell>,
    /// What all cells beyond `cells` are.
    rest: Cell,
    columns: usize,
    /// It goes on where the line above ended: a margin, not the program, put it here.
    pub continues: bool,
}

impl Row {
    pub(crate) fn new(columns: usize, fill: &Cell) -> Self {
        Self { cells: Vec::new(), rest: fill.clone(), columns, continues: false }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// A cell; what is beyond the last column is as the rest of the line.
    pub(crate) fn cell(&self, column: usize) -> &Cell {
        self.cells.get(column).unwrap_or(&self.rest)
    }

    /// All cells.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Cell> + ExactSizeIterator {
        (0..self.columns).map(|column| self.cell(column))
    }

    pub(crate) fn width(&self, column: usize) -> u8 {
        self.cell(column).width
    }

    /// The cells of `start..end`, to be written.
    pub(crate) fn cells_mut(&mut self, start: usize, end: usize) -> &mut [Cell] {
        let end = end.min(self.columns);
        if self.cells.len() < end {
            self.cells.resize(end, self.rest.clone());
        }
        &mut self.cells[start.min(end)..end]
    }

    /// Writes ASCII characters from `start` on; there is room for them.
    pub(crate) fn write_ascii(&mut self, start: usize, text: &[u8], pen: &Pen) {
        if self.cells.len() < start {
            self.cells.resize(start, self.rest.clone());
        }
        let over = text.len().min(self.cells.len() - start);
        let cell = |&byte: &u8| Cell::new(char::from(byte), 1, pen);
        for (cell_there, byte) in self.cells[start..start + over].iter_mut().zip(text) {
            *cell_there = cell(byte);
        }
        self.cells.extend(text[over..].iter().map(cell));
    }

    pub(crate) fn cell_mut(&mut self, column: usize) -> Option<&mut Cell> {
        self.cells_mut(column, column + 1).first_mut()
    }

    pub(crate) fn set(&mut self, column: usize, cell: Cell) {
        if let Some(place) = self.cell_mut(column) {
            *place = cell;
        }
    }

    /// Everything is as `fill`.
    pub(crate) fn fill(&mut self, fill: &Cell) {
        self.cells.clear();
        self.rest = fill.clone();
    }

    /// Replaces the cells of `start..end`, and what is left of wide characters cut at its ends.
    pub(crate) fn replace(&mut self, start: usize, end: usize, fill: &Cell) {
        let end = end.min(self.columns);
        if start >= end {
            return;
        }
        if start > 0 && self.width(start - 1) == 2 {
            self.set(start - 1, fill.clone());
        }
        if end < self.columns && self.width(end - 1) == 2 {
            self.set(end, fill.clone());
        }
        if end == self.columns {
            if self.rest != *fill {
                // What is left of `start` must not change with the rest.
                self.cells_mut(start, start);
                self.rest = fill.clone();
            }
            self.cells.truncate(start);
        } else {
            self.cells_mut(start, end).fill(fill.clone());
        }
    }

    /// The same, sparing what is protected (DECSED, DECSEL).
    pub(crate) fn replace_unprotected(&mut self, start: usize, end: usize, fill: &Cell) {
        for cell in self.cells_mut(start, end) {
            if !cell.is_protected() {
                *cell = fill.clone();
            }
        }
        // Halves are protected together or not at all, unless the ends cut one.
        for column in start.saturating_sub(1)..(end + 1).min(self.columns) {
            self.mend_at(column, fill);
            if self.width(column) == 2 && !(column + 1 < self.columns && self.cell(column + 1).is_second_half()) {
                self.set(column, fill.clone());
            }
        }
    }

    /// Moves what is at `column` and right of it to the right.
    pub(crate) fn insert(&mut self, column: usize, count: usize, fill: &Cell) {
        if column >= self.columns {
            return;
        }
        if column > 0 && self.width(column - 1) == 2 {
            self.set(column - 1, fill.clone());
        }
        let count = count.min(self.columns - column);
        let cells = self.cells_mut(column, self.columns);
        cells.rotate_right(count);
        cells[..count].fill(fill.clone());
        if self.width(self.columns - 1) == 2 {
            self.set(self.columns - 1, fill.clone());
        }
        self.mend_at(column + count, fill);
    }

    /// Moves what is right of `count` cells at `column` to the left.
    pub(crate) fn delete(&mut self, column: usize, count: usize, fill: &Cell) {
        if column >= self.columns {
            return;
        }
        let count = count.min(self.columns - column);
        let cells = self.cells_mut(column, self.columns);
        cells.rotate_left(count);
        let left = cells.len() - count;
        cells[left..].fill(fill.clone());
        if column > 0 && self.width(column - 1) == 2 {
            self.set(column - 1, fill.clone());
        }
        self.mend_at(column, fill);
    }

    /// A second half without its first is nothing.
    pub(crate) fn mend_at(&mut self, column: usize, fill: &Cell) {
        if column < self.columns && self.cell(column).is_second_half() && (column == 0 || self.width(column - 1) != 2) {
            self.set(column, fill.clone());
        }
    }

    /// As many columns as asked for; a wide character cut in two is no more.
    pub(crate) fn resize(&mut self, columns: usize) {
        if columns > self.columns && self.rest != Cell::default() {
            self.cells_mut(self.columns, self.columns);
            self.rest = Cell::default();
        }
        self.cells.truncate(columns);
        self.columns = columns;
        if self.width(columns - 1) == 2 {
            let blank = self.cell(columns - 1).pen().emptied();
            self.set(columns - 1, blank);
        }
    }

    /// Columns up to the last one that was written to.
    pub(crate) fn written(&self) -> usize {
        if self.rest.has_content() && self.cells.len() < self.columns {
            return self.columns;
        }
        self.cells.iter().rposition(|cell| cell.has_content() || cell.is_second_half()).map_or(0, |last| last + 1)
    }

    /// Columns up to the last one that differs from a line nothing was ever written to.
    pub(crate) fn seen(&self) -> usize {
        let blank = Cell::default();
        self.iter().rposition(|cell| *cell != blank).map_or(0, |last| last + 1)
    }
}
