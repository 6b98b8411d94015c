//! Controls and sequences: which does what.

use super::Terminal;
use super::charset::Charset;
use super::params::Params;
use crate::sequence::{Introducer, Sequence};

impl Terminal {
    /// One control of C0 or C1.
    pub(crate) fn control(&mut self, control: u8) {
        match control {
            0x08 => self.backspace(),
            0x09 => {
                let screen = self.screen_mut();
                if screen.x < screen.columns {
                    screen.x = screen.next_tab(screen.x);
                }
            }
            0x0a..=0x0c => self.line_feed(),
            0x0d => self.screen_mut().x = 0,
            0x0e => self.shift = 1,
            0x0f => self.shift = 0,
            0x84 => self.index(),
            0x85 => {
                self.screen_mut().x = 0;
                self.index();
            }
            0x88 => self.set_tab(),
            _ => {}
        }
    }

    /// One complete sequence.
    pub(crate) fn sequence(&mut self, sequence: &Sequence) {
        match sequence.introducer {
            Introducer::Esc => self.escape(sequence),
            Introducer::Csi => self.csi(sequence, &Params::of(sequence)),
            Introducer::Osc => self.osc(sequence),
            Introducer::Dcs | Introducer::Sos | Introducer::Pm | Introducer::Apc => {}
        }
    }

    fn escape(&mut self, sequence: &Sequence) {
        match (sequence.intermediates.as_slice(), sequence.action) {
            ([], b'7') => self.save_cursor(),
            ([], b'8') => self.restore_cursor(),
            ([], b'D') => self.index(),
            ([], b'E') => {
                self.screen_mut().x = 0;
                self.index();
            }
            ([], b'H') => self.set_tab(),
            ([], b'M') => self.reverse_index(),
            ([], b'=') => self.modes.application_keypad = true,
            ([], b'>') => self.modes.application_keypad = false,
            ([], b'c') => self.reset(),
            ([], b'n' | b'}') => self.shift = 2,
            ([], b'o' | b'|') => self.shift = 3,
            ([], b'~') => self.shift = 1,
            (b"#", b'8') => self.fill_with_e(),
            (b"%", b'@' | b'G') => {
                self.shift = 0;
                self.charsets[0] = Charset::default();
            }
            ([set], action) => {
                let set = match set {
                    b'(' => 0,
                    b')' | b'-' => 1,
                    b'*' | b'.' => 2,
                    b'+' => 3,
                    _ => return,
                };
                if let Some(charset) = Charset::designated(action) {
                    self.charsets[set] = charset;
                }
            }
            _ => {}
        }
    }

    fn csi(&mut self, sequence: &Sequence, params: &Params) {
        let action = sequence.action;
        match (sequence.private, sequence.intermediates.as_slice(), action) {
            (None, [], b'X' | b'@' | b'P') => self.edit_line(action, params.count(0)),
            (None, [], b'L' | b'M') => self.edit_rows(action, params.count(0)),
            (None, [], b'S' | b'T') => self.scroll_region(action, params.count(0)),
            (None, b" ", b'@' | b'A') => self.shift_columns(action, false, params),
            (None, b"'", b'}' | b'~') => self.shift_columns(action, true, params),
            (None, [], b'J') => self.erase_display(params.get(0), false),
            (Some(b'?'), [], b'J') => self.erase_display(params.get(0), true),
            (None, [], b'K') => self.erase_line(params.get(0), false),
            (Some(b'?'), [], b'K') => self.erase_line(params.get(0), true),
            (None, [], b'b') => self.repeat(params.count(0)),
            (None, [], b'g') => match params.get(0) {
                0 => {
                    let screen = self.screen_mut();
                    let x = screen.x;
                    if let Some(tab) = screen.tabs.get_mut(x) {
                        *tab = false;
                    }
                }
                3 => self.screen_mut().tabs.fill(false),
                _ => {}
            },
            (None, [], b'm') => self.pen.select(params),
            (Some(b'>'), [], b'm') => match params.get(0) {
                0 if sequence.params.is_empty() => self.modify_other_keys = 0,
                4 => self.modify_other_keys = u8::try_from(params.get(1).min(3)).unwrap_or_default(),
                _ => {}
            },
            (None, [], b'h') => self.set_modes(params, true),
            (None, [], b'l') => self.set_modes(params, false),
            (Some(b'?'), [], b'h') => self.set_private_modes(params, true),
            (Some(b'?'), [], b'l') => self.set_private_modes(params, false),
            (None, b"!", b'p') => self.soft_reset(),
            (None, b" ", b'q') => self.set_cursor_style(params),
            (None, b"\"", b'q') => match params.get(0) {
                1 => self.pen.attributes |= super::PROTECTED,
                0 | 2 => self.pen.attributes &= !super::PROTECTED,
                _ => {}
            },
            (None, [], b'r') => self.set_region(params),
            (None, [], b's') => self.save_cursor(),
            (None, [], b'u') => self.restore_cursor(),
            (None, [], b't') => self.window(params),
            (Some(private), [], b'u') => self.keyboard(private, params),
            (None, [], _) => self.move_cursor(action, params),
            _ => {}
        }
    }

    fn move_cursor(&mut self, action: u8, params: &Params) {
        let origin = self.modes.origin;
        let count = params.count(0);
        let screen = self.screen_mut();
        if let b'A' | b'B' | b'C' | b'D' | b'E' | b'F' | b'a' | b'e' = action {
            screen.restrict(origin);
        }
        let (x, y) = (screen.x, screen.y);
        // In origin mode `go` counts from the region's first row, and `y` from the screen's: such moves also go down by the rows
        // above the region. Other terminals don't; xterm.js does.
        match action {
            // Moving up or down stops at the region's edge, if it begins inside of it.
            b'A' | b'F' => {
                let least = if y >= screen.top { screen.top } else { 0 };
                let y = y.saturating_sub(count).max(least);
                screen.go(if action == b'F' { 0 } else { x }, y, origin);
            }
            b'B' | b'E' => {
                let most = if y <= screen.bottom { screen.bottom } else { screen.rows - 1 };
                let y = y.saturating_add(count).min(most);
                screen.go(if action == b'E' { 0 } else { x }, y, origin);
            }
            b'C' | b'a' => screen.go(x.saturating_add(count), y, origin),
            b'D' => screen.go(x.saturating_sub(count), y, origin),
            b'e' => screen.go(x, y.saturating_add(count), origin),
            b'G' | b'`' => screen.go(count - 1, y, origin),
            b'd' => screen.go(x, count - 1, origin),
            b'H' | b'f' => screen.go(params.count(1) - 1, count - 1, origin),
            b'I' | b'Z' if screen.x < screen.columns => {
                for _ in 0..count.min(screen.columns) {
                    screen.x = if action == b'I' { screen.next_tab(screen.x) } else { screen.previous_tab(screen.x) };
                }
            }
            _ => {}
        }
    }

    fn line_feed(&mut self) {
        let fill = self.pen.erased();
        let newline = self.modes.newline;
        let screen = self.screen_mut();
        if newline {
            screen.x = 0;
        }
        // At the screen's last row outside of the region nothing moves, and the row stays what it was.
        let at_end = screen.y + 1 >= screen.rows && screen.y != screen.bottom;
        if !screen.advance_row(&fill, false) && !at_end {
            screen.cursor_row().continues = false;
        }
        if screen.x >= screen.columns {
            screen.x = screen.columns - 1;
        }
    }

    fn index(&mut self) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict(origin);
        screen.advance_row(&fill, false);
        screen.restrict(origin);
    }

    fn reverse_index(&mut self) {
        let fill = self.pen.erased();
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        screen.restrict(origin);
        if screen.y == screen.top {
            let top = screen.top;
            screen.insert_rows(top, 1, &fill);
        } else {
            screen.y = screen.y.saturating_sub(1);
            screen.restrict(origin);
        }
    }

    fn backspace(&mut self) {
        let origin = self.modes.origin;
        let reverse = self.reverse_wraparound;
        let screen = self.screen_mut();
        if reverse {
            screen.restrict_row(origin);
        } else {
            screen.restrict(origin);
        }
        if screen.x > 0 {
            screen.x -= 1;
        } else if reverse && screen.y > screen.top && screen.y <= screen.bottom && screen.row(screen.y).continues {
            screen.cursor_row().continues = false;
            screen.y -= 1;
            screen.x = screen.columns - 1;
            let (row, x) = (screen.row(screen.y), screen.x);
            // A wide character that did not fit left the last column empty.
            if row.width(x) > 0 && !row.cell(x).has_content() {
                screen.x -= 1;
            }
        }
        screen.restrict(origin);
    }

    fn set_tab(&mut self) {
        let screen = self.screen_mut();
        let x = screen.x;
        if let Some(tab) = screen.tabs.get_mut(x) {
            *tab = true;
        }
    }
}
