//! What answers to queries are made of.

use super::{ScreenEngine, Terminal, view};
use crate::facts::Rgb;
use crate::queries::{Dynamic, State};
use crate::view::{CursorView, Modes, Style};

impl State for Terminal {
    fn size(&self) -> (u16, u16) {
        let size = ScreenEngine::size(self);
        (size.cols, size.rows)
    }

    fn cursor(&self) -> CursorView {
        view::cursor(self)
    }

    fn margins(&self) -> (u16, u16) {
        let screen = self.screen();
        let narrow = |row: usize| u16::try_from(row).unwrap_or(u16::MAX);
        (narrow(screen.top), narrow(screen.bottom))
    }

    fn pen(&self) -> Style {
        self.pen.style()
    }

    fn modes(&self) -> Modes {
        ScreenEngine::modes(self)
    }

    fn reverse_wraparound(&self) -> bool {
        self.reverse_wraparound
    }

    fn synchronised(&self) -> bool {
        self.synchronised
    }

    fn modify_other_keys(&self) -> u8 {
        self.modify_other_keys
    }

    fn palette(&self, index: u8) -> Option<Rgb> {
        self.colours.palette.get(&index).copied()
    }

    fn dynamic(&self, which: Dynamic) -> Option<Rgb> {
        self.colours.special[match which {
            Dynamic::Foreground => 0,
            Dynamic::Background => 1,
            Dynamic::Cursor => 2,
        }]
    }
}
