//! Erasing and moving of what is shown: ED, EL, ECH, ICH, DCH, IL, DL, SU, SD and their rarer relatives.

use super::Terminal;
use super::cell::Cell;
use super::params::Params;

impl Terminal {
    /// ED, DECSED.
    pub(crate) fn erase_display(&mut self, which: u16, spare_protected: bool) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict_row(origin);
        let (x, y, columns, rows) = (screen.x, screen.y, screen.columns, screen.rows);
        match which {
            0 => {
                erase(screen, y, x, columns, x == 0, spare_protected, &fill);
                for row in y + 1..rows {
                    screen.reset_row(row, &fill, spare_protected);
                }
            }
            1 => {
                erase(screen, y, 0, x + 1, true, spare_protected, &fill);
                if x + 1 >= columns && y + 1 < rows {
                    screen.row_mut(y + 1).continues = false;
                }
                for row in 0..y {
                    screen.reset_row(row, &fill, spare_protected);
                }
            }
            2 => {
                for row in 0..rows {
                    screen.reset_row(row, &fill, spare_protected);
                }
            }
            3 => screen.clear_history(),
            _ => {}
        }
    }

    /// EL, DECSEL.
    pub(crate) fn erase_line(&mut self, which: u16, spare_protected: bool) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict_row(origin);
        let (x, y, columns) = (screen.x, screen.y, screen.columns);
        match which {
            0 => erase(screen, y, x, columns, x == 0, spare_protected, &fill),
            1 => erase(screen, y, 0, x + 1, false, spare_protected, &fill),
            2 => erase(screen, y, 0, columns, true, spare_protected, &fill),
            _ => {}
        }
    }

    /// ECH, ICH, DCH.
    pub(crate) fn edit_line(&mut self, action: u8, count: usize) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict(origin);
        let x = screen.x;
        let row = screen.cursor_row();
        match action {
            b'X' => row.replace(x, x + count, &fill),
            b'@' => row.insert(x, count, &fill),
            _ => row.delete(x, count, &fill),
        }
    }

    /// IL, DL: only inside of the scroll region.
    pub(crate) fn edit_rows(&mut self, action: u8, count: usize) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict(origin);
        let y = screen.y;
        if y < screen.top || y > screen.bottom {
            return;
        }
        if action == b'L' {
            screen.insert_rows(y, count, &fill);
        } else {
            screen.delete_rows(y, count, &fill);
        }
        screen.x = 0;
    }

    /// SU, SD. What leaves the region this way does not go above the screen.
    pub(crate) fn scroll_region(&mut self, action: u8, count: usize) {
        let fill = self.pen.erased();
        let screen = self.screen_mut();
        let top = screen.top;
        if action == b'S' {
            screen.delete_rows(top, count, &fill);
        } else {
            screen.insert_rows(top, count, &Cell::default());
        }
    }

    /// SL, SR, DECIC, DECDC: every line of the region, if the cursor is in it.
    pub(crate) fn shift_columns(&mut self, action: u8, at_cursor: bool, params: &Params) {
        let fill = self.pen.erased();
        let count = params.count(0);
        let screen = self.screen_mut();
        if screen.y < screen.top || screen.y > screen.bottom {
            return;
        }
        // Behind the last column counts as the first, for xterm.js.
        let x = if at_cursor { screen.x % screen.columns } else { 0 };
        for y in screen.top..=screen.bottom {
            let row = screen.row_mut(y);
            if action == b'@' || action == b'~' {
                row.delete(x, count, &fill);
            } else {
                row.insert(x, count, &fill);
            }
            row.continues = false;
        }
    }

    /// DECALN.
    pub(crate) fn fill_with_e(&mut self) {
        let mut pen = self.pen.clone();
        // Colours and attributes, but neither the link nor how lines are drawn.
        pen.extra = None;
        pen.set_underline(pen.underline().min(1));
        let cell = Cell::new('E', 1, &pen);
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.go(0, 0, origin);
        // In origin mode the pattern begins where the cursor is.
        for y in screen.y..screen.rows {
            screen.reset_row(y, &cell, false);
        }
    }
}

fn erase(
    screen: &mut super::Buffer,
    y: usize,
    start: usize,
    end: usize,
    ends_continuation: bool,
    spare_protected: bool,
    fill: &Cell,
) {
    let row = screen.row_mut(y);
    if spare_protected {
        row.replace_unprotected(start, end, fill);
    } else {
        row.replace(start, end, fill);
    }
    if ends_continuation {
        row.continues = false;
    }
}
