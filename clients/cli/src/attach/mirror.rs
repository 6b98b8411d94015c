//! The session's screen as this client computes it, from the very bytes the worker computes its own from.
//!
//! A terminal shows a session truly as long as it has the session's size and every byte reaches it. When the size changes, terminals
//! differ in what they do with margins, wrapped lines and the cursor; this one does what the worker's does. So the terminal is
//! brought into the state of this one whenever the two may have parted, and painted from it while their sizes differ.

use std::fmt;

use baton_proto::api::Viewport;
use baton_proto::v1::{Dimensions, MarkKind};
use baton_screen::view::Screenful;
use baton_screen::{Screen, What};

/// Longest side of a session; a larger one is none of Baton's making.
const SIDE_MAX: u16 = 2000;

/// The screen.
pub struct Mirror {
    screen: Screen,
    /// The beginning of something unfinished: the screen is at the place before it.
    tail: Vec<u8>,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mirror").field("screen", &self.screen).finish_non_exhaustive()
    }
}

impl Mirror {
    /// A screen nothing was written to.
    pub fn new(size: Viewport) -> Self {
        Self { screen: Screen::new(dimensions(size)), tail: Vec::new() }
    }

    /// The screen that these bytes draw; the stream goes on behind it.
    pub fn restore(size: Viewport, snapshot: &[u8]) -> Self {
        Self { screen: Screen::restore(dimensions(size), 0, 0, snapshot), tail: Vec::new() }
    }

    /// Goes on with the stream. Whether a bell rang.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        let mut seen = Vec::new();
        self.screen.feed(bytes, &mut seen);
        // At most 64 KiB: what is longer is skipped, and the boundary with it.
        let unfinished = self.screen.offset() - self.screen.boundary();
        let unfinished = usize::try_from(unfinished).unwrap_or(usize::MAX);
        if unfinished <= bytes.len() {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - unfinished..]);
        } else {
            self.tail.extend_from_slice(bytes);
        }
        seen.iter().any(|seen| matches!(&seen.what, What::Mark(MarkKind::Bell, _)))
    }

    /// Output is missing here.
    pub fn gap(&mut self) {
        self.screen.gap(0);
        self.tail.clear();
    }

    /// Another size at this place of the stream; whether it is another.
    pub fn resize(&mut self, size: Viewport) -> bool {
        let changes = self.size() != size;
        self.screen.resize(dimensions(size));
        changes
    }

    /// Columns and rows.
    pub fn size(&self) -> Viewport {
        let Dimensions { cols, rows } = self.screen.size();
        Viewport { cols, rows }
    }

    /// All that is seen.
    pub fn view(&self) -> Screenful {
        self.screen.view(0)
    }

    /// Bytes that bring a terminal of this size, in whatever state, into this state; the stream goes on behind them.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.screen.snapshot(0);
        bytes.extend_from_slice(&self.tail);
        bytes
    }
}

fn dimensions(size: Viewport) -> Dimensions {
    Dimensions { cols: size.cols.clamp(1, SIDE_MAX), rows: size.rows.clamp(1, SIDE_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Viewport = Viewport { cols: 20, rows: 5 };

    #[test]
    fn a_terminal_joins_wherever_a_read_ends() {
        let output =
            b"one\r\n\x1b[31mt\xe2\x82\xacwo\x1b]0;title\x07\x1b[2;4r\x1b[4;1Hthree\r\nfour\x1b[?1049h\x1b[Hx\x1b[?7l";
        let mut whole = Screen::new(dimensions(SIZE));
        whole.feed(output, &mut Vec::new());
        for cut in 0..=output.len() {
            let mut mirror = Mirror::new(SIZE);
            for byte in &output[..cut] {
                mirror.feed(&[*byte]);
            }
            let mut joined = Screen::new(dimensions(SIZE));
            joined.feed(b"\x1b[2;3rleft over\x1b[?1h", &mut Vec::new());
            joined.feed(&mirror.bytes(), &mut Vec::new());
            joined.feed(&output[cut..], &mut Vec::new());
            assert_eq!(joined.view(0), whole.view(0), "joined at {cut}");
        }
    }

    #[test]
    fn a_bell_is_heard_and_a_size_is_clamped() {
        let mut mirror = Mirror::new(Viewport { cols: 0, rows: u16::MAX });
        assert_eq!(mirror.size(), Viewport { cols: 2, rows: 2000 });
        assert!(mirror.feed(b"a\x07b") && !mirror.feed(b"\x1b]0;t\x07"));
    }
}
