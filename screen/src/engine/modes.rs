//! Modes, resets, the saved cursor, the scroll region, the keyboard stack.

use super::Terminal;
use super::buffer::{Buffer, KEYBOARD_STACK_MAX, Saved};
use super::cell::Pen;
use super::charset::Charset;
use super::params::Params;
use super::{CursorStyle, TITLES_MAX};
use crate::view::{Modes, Mouse, MouseEncoding, Shape};

impl Terminal {
    /// SM, RM.
    pub(crate) fn set_modes(&mut self, params: &Params, on: bool) {
        for mode in params.iter() {
            match mode {
                4 => self.modes.insert = on,
                20 => self.modes.newline = on,
                _ => {}
            }
        }
    }

    /// DECSET, DECRST.
    pub(crate) fn set_private_modes(&mut self, params: &Params, on: bool) {
        for mode in params.iter() {
            self.set_private_mode(mode, on);
        }
    }

    fn set_private_mode(&mut self, mode: u16, on: bool) {
        match mode {
            1 => self.modes.application_cursor = on,
            2 if on => self.charsets = [Charset::default(); 4],
            5 => self.modes.reverse_video = on,
            6 => {
                self.modes.origin = on;
                self.screen_mut().go(0, 0, on);
            }
            7 => self.modes.autowrap = on,
            9 => self.modes.mouse = if on { Mouse::X10 } else { Mouse::None },
            12 => self.cursor_style.own_blinks = Some(on),
            25 => self.cursor_hidden = !on,
            45 => self.reverse_wraparound = on,
            66 => self.modes.application_keypad = on,
            1000 => self.modes.mouse = if on { Mouse::Clicks } else { Mouse::None },
            1002 => self.modes.mouse = if on { Mouse::Drags } else { Mouse::None },
            1003 => self.modes.mouse = if on { Mouse::All } else { Mouse::None },
            1004 => self.modes.focus_reports = on,
            1005 if on => self.modes.mouse_encoding = MouseEncoding::Utf8,
            1005 => self.modes.mouse_encoding = self.mouse_encoding_beneath,
            1006 => self.set_encoding(MouseEncoding::Sgr, on),
            1007 => self.modes.alternate_scroll = on,
            1016 => self.set_encoding(MouseEncoding::SgrPixels, on),
            2004 => self.modes.bracketed_paste = on,
            2026 => self.synchronised = on,
            1048 if on => self.save_cursor(),
            1048 => self.restore_cursor(),
            47 | 1047 | 1049 if on => {
                if mode == 1049 {
                    self.save_cursor();
                }
                self.enter_alt();
            }
            47 | 1047 | 1049 => {
                self.leave_alt();
                if mode == 1049 {
                    self.restore_cursor();
                }
            }
            _ => {}
        }
    }

    fn set_encoding(&mut self, encoding: MouseEncoding, on: bool) {
        self.mouse_encoding_beneath = if on { encoding } else { MouseEncoding::Default };
        self.modes.mouse_encoding = self.mouse_encoding_beneath;
    }

    fn enter_alt(&mut self) {
        if self.modes.alt_screen {
            return;
        }
        // Nothing of the alternate screen outlives its being left, but for its saved cursor.
        let saved = std::mem::take(&mut self.alt.saved);
        self.alt = Buffer::new(self.main.columns, self.main.rows, 0, &self.pen.erased());
        self.alt.saved = saved;
        (self.alt.x, self.alt.y) = (self.main.x, self.main.y);
        (self.main.x, self.main.y) = (self.main.saved.x, self.main.saved.y);
        self.modes.alt_screen = true;
    }

    fn leave_alt(&mut self) {
        if !self.modes.alt_screen {
            return;
        }
        (self.main.x, self.main.y) = (self.alt.x, self.alt.y);
        let saved = std::mem::take(&mut self.alt.saved);
        self.alt = Buffer::new(self.main.columns, self.main.rows, 0, &super::Cell::default());
        self.alt.saved = saved;
        self.modes.alt_screen = false;
    }

    /// DECSC.
    pub(crate) fn save_cursor(&mut self) {
        let mut pen = self.pen.clone();
        pen.set_extra(pen.underline_colour(), None);
        let charset = self.charset();
        let screen = self.screen_mut();
        screen.saved = Saved { x: screen.x.min(screen.columns - 1), y: screen.y, pen, charset };
    }

    /// DECRC.
    pub(crate) fn restore_cursor(&mut self) {
        let origin = self.modes.origin;
        let link = self.pen.link().cloned();
        let screen = self.screen_mut();
        let saved = screen.saved.clone();
        (screen.x, screen.y) = (saved.x, saved.y);
        screen.restrict(origin);
        self.charsets[self.shift] = saved.charset;
        self.pen = saved.pen;
        self.pen.set_extra(self.pen.underline_colour(), link);
    }

    /// DECSTBM.
    pub(crate) fn set_region(&mut self, params: &Params) {
        let origin = self.modes.origin;
        let screen = self.screen_mut();
        let top = params.count(0);
        let bottom = match usize::from(params.get(1)) {
            0 => screen.rows,
            bottom => bottom.min(screen.rows),
        };
        if bottom > top {
            (screen.top, screen.bottom) = (top - 1, bottom - 1);
            screen.go(0, 0, origin);
        }
    }

    /// DECSCUSR.
    pub(crate) fn set_cursor_style(&mut self, params: &Params) {
        let style = params.get(0);
        let shape = match style {
            0 => Shape::Default,
            1 | 2 => Shape::Block,
            3 | 4 => Shape::Underline,
            5 | 6 => Shape::Bar,
            _ => self.cursor_style.shape,
        };
        let blinking = (style != 0).then_some(style % 2 == 1);
        self.cursor_style = CursorStyle { shape, blinking, ..self.cursor_style };
    }

    /// The window operations that are state: the title stack.
    pub(crate) fn window(&mut self, params: &Params) {
        let title = matches!(params.get(1), 0 | 2);
        match params.get(0) {
            22 if title => {
                if self.titles.len() == TITLES_MAX {
                    self.titles.remove(0);
                }
                self.titles.push(self.title.clone().unwrap_or_default());
            }
            23 if title => {
                if let Some(title) = self.titles.pop() {
                    self.title = Some(title).filter(|title| !title.is_empty());
                }
            }
            _ => {}
        }
    }

    /// The kitty keyboard protocol's stack: `CSI > flags u`, `CSI < count u`, `CSI = flags ; how u`.
    pub(crate) fn keyboard(&mut self, private: u8, params: &Params) {
        let flags = u8::try_from(params.get(0) & 0x1f).unwrap_or_default();
        let stack = &mut self.screen_mut().keyboard;
        match private {
            b'>' => {
                if stack.len() == KEYBOARD_STACK_MAX {
                    stack.remove(0);
                }
                stack.push(flags);
            }
            b'<' => stack.truncate(stack.len().saturating_sub(params.count(0))),
            b'=' => {
                let now = stack.last().copied().unwrap_or(0);
                let flags = match params.get(1) {
                    0 | 1 => flags,
                    2 => now | flags,
                    3 => now & !flags,
                    _ => return,
                };
                match stack.last_mut() {
                    Some(top) => *top = flags,
                    None if flags != 0 => stack.push(flags),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// DECSTR.
    pub(crate) fn soft_reset(&mut self) {
        self.cursor_hidden = false;
        self.pen = Pen::default();
        self.charsets = [Charset::default(); 4];
        self.shift = 0;
        self.reset_modes();
        let screen = self.screen_mut();
        (screen.top, screen.bottom) = (0, screen.rows - 1);
        screen.saved = Saved::default();
    }

    fn reset_modes(&mut self) {
        self.cursor_style.shape = Shape::Default;
        self.cursor_style.blinking = None;
        self.reverse_wraparound = false;
        self.synchronised = false;
        self.modify_other_keys = 0;
        // Mouse reports outlive a reset, and what xterm.js does not know of is left alone.
        self.modes = Modes {
            alt_screen: self.modes.alt_screen,
            mouse: self.modes.mouse,
            mouse_encoding: self.modes.mouse_encoding,
            newline: self.modes.newline,
            reverse_video: self.modes.reverse_video,
            alternate_scroll: self.modes.alternate_scroll,
            ..Modes::default()
        };
    }

    /// RIS. The title, the colours, the directory and the cursor's visibility stay.
    pub(crate) fn reset(&mut self) {
        let (columns, rows, history) = (self.main.columns, self.main.rows, self.main.history_max);
        let blank = super::Cell::default();
        self.main = Buffer::new(columns, rows, history, &blank);
        self.alt = Buffer::new(columns, rows, 0, &blank);
        self.pen = Pen::default();
        self.charsets = [Charset::default(); 4];
        self.shift = 0;
        self.reset_modes();
        self.mouse_encoding_beneath = MouseEncoding::Default;
        self.modes = Modes { newline: self.modes.newline, ..Modes::default() };
    }
}
