//! A glance at the output as it passes: just enough to know what state the terminal is left in, where a remark may be
//! put, and which sequences ask the terminal for an answer.

use super::queries::{is_control_query, is_text_query};

/// Longest sequence looked at. A longer one (a picture, a clipboard) is passed on as it comes; should it ask something, the
/// answer is dropped.
const HELD_BYTES_MAX: usize = 4 << 10;

/// What became of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// Within a UTF-8 character: so many bytes are due.
    Character(u8),
    Escape,
    /// ESC and intermediate bytes, such as a choice of character set.
    Intermediate,
    Control,
    /// OSC, DCS, APC, PM, SOS: until ST (or BEL, for OSC).
    Text,
    TextEscape,
}

/// What programs turned on and this terminal must get rid of at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mode of the terminal, and they are independent")]
pub struct Modes {
    /// The alternate screen is shown.
    pub alternate: bool,
    /// A scroll region or origin mode is set.
    pub region: bool,
    /// Keyboard protocol levels pushed on the main and on the alternate screen.
    pub keyboard: [u16; 2],
    /// Keyboard protocol flags set without pushing, or `modifyOtherKeys`.
    pub other_keys: bool,
    /// The cursor has another shape.
    pub cursor_shape: bool,
}

impl Modes {
    /// Whether keys may come as sequences that the plain terminal does not send.
    pub const fn extended_keys(&self) -> bool {
        self.keyboard[self.alternate as usize] > 0 || self.other_keys
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Screen {
    state: State,
    held: Vec<u8>,
    /// How much of `held` was passed on already.
    passed: usize,
    /// It was too long to be kept whole.
    cut: bool,
    modes: Modes,
    line_start: bool,
    /// Rows of the session's terminal; 0 while they are not known.
    rows: u16,
}

impl Screen {
    /// A terminal nothing was written to.
    pub fn new() -> Self {
        Self {
            state: State::Ground,
            held: Vec::new(),
            passed: 0,
            cut: false,
            modes: Modes::default(),
            line_start: true,
            rows: 0,
        }
    }

    /// The session's terminal has so many rows.
    pub const fn set_rows(&mut self, rows: u16) {
        self.rows = rows;
    }

    /// As new: what was shown is replaced.
    pub fn restart(&mut self) {
        *self = Self { rows: self.rows, ..Self::new() };
    }

    /// What is turned on.
    pub const fn modes(&self) -> Modes {
        self.modes
    }

    /// Whether the next byte begins something new: only there may anything be written in between.
    pub const fn is_ground(&self) -> bool {
        matches!(self.state, State::Ground)
    }

    /// Whether the cursor is at the beginning of a line, as far as line ends tell.
    pub const fn is_line_start(&self) -> bool {
        self.line_start
    }

    /// Looks at `bytes` and appends them to `out`, without the queries: the worker answers those, whoever is attached. An
    /// unfinished sequence is kept for the next call, because it may turn out to be one.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut plain = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(self.state, State::Ground | State::Character(_)) && byte != 0x1b {
                if byte == ENQUIRY {
                    out.extend_from_slice(&bytes[plain..at]);
                    plain = at + 1;
                }
                self.plain(byte);
                continue;
            }
            if self.held.is_empty() {
                out.extend_from_slice(&bytes[plain..at]);
            }
            self.sequence(byte, out);
            plain = at + 1;
        }
        out.extend_from_slice(&bytes[plain..]);
    }

    fn plain(&mut self, byte: u8) {
        self.line_start = byte == b'\n' || (self.line_start && byte == b'\r');
        self.state = match (self.state, byte) {
            (State::Character(due), 0x80..=0xbf) if due > 1 => State::Character(due - 1),
            (_, 0xc2..=0xdf) => State::Character(1),
            (_, 0xe0..=0xef) => State::Character(2),
            (_, 0xf0..=0xf4) => State::Character(3),
            _ => State::Ground,
        };
    }

    fn sequence(&mut self, byte: u8, out: &mut Vec<u8>) {
        // A new escape ends whatever went before, and CAN and SUB cancel it.
        if byte == 0x1b && self.state != State::Text {
            self.end(false, out);
            self.held.push(byte);
            self.state = State::Escape;
            return;
        }
        self.held.push(byte);
        match (self.state, byte) {
            (_, 0x18 | 0x1a) => self.end(false, out),
            (State::Escape, b'[') => self.state = State::Control,
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => self.state = State::Text,
            (State::Escape, 0x20..=0x2f) => self.state = State::Intermediate,
            (State::Escape, _) => {
                if byte == b'c' {
                    self.modes = Modes::default();
                    self.line_start = true;
                }
                self.end(byte == b'Z', out);
            }
            (State::Intermediate, 0x20..=0x2f) => {}
            (State::Intermediate, _) => self.end(false, out),
            (State::Control, 0x40..=0x7e) => {
                let query = !self.cut && self.control();
                self.end(query, out);
            }
            (State::Text, 0x07) => {
                let query = !self.cut && is_text_query(&self.held);
                self.end(query, out);
            }
            (State::Text, 0x1b) => self.state = State::TextEscape,
            (State::TextEscape, b'\\') => {
                let query = !self.cut && is_text_query(&self.held);
                self.end(query, out);
            }
            (State::TextEscape, _) => {
                // No ST: the escape ended the text and begins something of its own.
                let escape_passed = self.passed + 1 >= self.held.len();
                self.held.truncate(self.held.len() - 2);
                self.passed = self.passed.min(self.held.len());
                self.end(false, out);
                self.held.push(0x1b);
                self.passed = usize::from(escape_passed);
                self.state = State::Escape;
                self.sequence(byte, out);
                return;
            }
            _ => {}
        }
        if self.held.len() > HELD_BYTES_MAX {
            self.pass_on(out);
            self.held.truncate(2);
            self.passed = self.held.len();
            self.cut = true;
        }
    }

    fn end(&mut self, swallow: bool, out: &mut Vec<u8>) {
        // Of a query that is half on its way the rest must follow.
        if !swallow || self.passed > 0 {
            self.pass_on(out);
        }
        self.held.clear();
        self.passed = 0;
        self.cut = false;
        self.state = State::Ground;
    }

    fn pass_on(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.held[self.passed..]);
        self.passed = self.held.len();
    }

    /// Notes what a whole `CSI` sequence does; true: it asks the terminal for an answer.
    fn control(&mut self) -> bool {
        let body = self.held[2..].to_vec();
        let Some((&last, rest)) = body.split_last() else { return false };
        let (prefix, rest) = match rest.split_first() {
            Some((&prefix @ (b'?' | b'>' | b'=' | b'<'), rest)) => (prefix, rest),
            _ => (0, rest),
        };
        let digits = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':')).unwrap_or(rest.len());
        let (params, intermediate) = rest.split_at(digits);
        let numbers: Vec<u16> = params
            .split(|byte| *byte == b';')
            .map(|number| std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
            .collect();
        let first = numbers.first().copied().unwrap_or(0);
        match (prefix, intermediate, last) {
            (b'?', b"", b'h' | b'l') => self.private_modes(&numbers, last == b'h'),
            (0, b"", b'r') => {
                let bottom = numbers.get(1).copied().unwrap_or(0);
                let whole = first <= 1 && (bottom == 0 || (self.rows > 0 && bottom >= self.rows));
                self.modes.region = !whole;
            }
            (0, b"!", b'p') => {
                self.modes.region = false;
                self.modes.cursor_shape = false;
            }
            (0, b" ", b'q') => self.modes.cursor_shape = first != 0,
            (b'>', b"", b'u') => {
                let level = &mut self.modes.keyboard[usize::from(self.modes.alternate)];
                *level = level.saturating_add(1);
            }
            (b'<', b"", b'u') => {
                let level = &mut self.modes.keyboard[usize::from(self.modes.alternate)];
                *level = level.saturating_sub(first.max(1));
            }
            (b'=', b"", b'u') => self.modes.other_keys = first != 0,
            (b'>', b"", b'm') if first == 4 => self.modes.other_keys = numbers.get(1).is_some_and(|&level| level > 0),
            _ => {}
        }
        is_control_query(prefix, first, intermediate, last)
    }

    fn private_modes(&mut self, numbers: &[u16], on: bool) {
        for number in numbers {
            match number {
                47 | 1047 | 1049 => {
                    self.modes.alternate = on;
                    // Whoever leaves it has put its margins back, at a size of then that may not be the one of now.
                    self.modes.region &= on;
                }
                6 => self.modes.region = on,
                _ => {}
            }
        }
    }
}

/// ENQ: a terminal may be set up to answer it.
const ENQUIRY: u8 = 0x05;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8], cut: usize) -> (Screen, Vec<u8>) {
        let mut screen = Screen::new();
        let mut out = Vec::new();
        let (before, after) = input.split_at(cut);
        screen.feed(before, &mut out);
        screen.feed(after, &mut out);
        (screen, out)
    }

    #[test]
    fn everything_but_queries_passes_unchanged() {
        let input =
            b"a\x1b[?1049hb\x1b[6m\x1b]0;title\x07\x1b(B\xe2\x82\xac\x1bP0;1|17/ab\x1b\\\x1b]10;#fff\x07x\x1b\x1b[A";
        for cut in 0..=input.len() {
            assert_eq!(run(input, cut).1, input, "cut at {cut}");
        }
    }

    #[test]
    fn queries_are_swallowed_wherever_a_read_ends() {
        let queries: [&[u8]; 21] = [
            b"\x1b[6n",
            b"\x1b[c",
            b"\x1b[>c",
            b"\x1b[=0c",
            b"\x1b[?u",
            b"\x1b[?2026$p",
            b"\x1b[14t",
            b"\x1b]11;?\x07",
            b"\x1b]4;1;?\x1b\\",
            b"\x1bP$qm\x1b\\",
            b"\x1bP+q544e\x1b\\",
            b"\x1bZ",
            b"\x05",
            b"\x1b[>0q",
            b"\x1b[?4m",
            b"\x1b[\"v",
            b"\x1b[0#|",
            b"\x1b[1;2*y",
            b"\x1b[1$w",
            b"\x1b[&u",
            b"\x1b[?1;1S",
        ];
        for query in queries {
            let input = [b"left", query, b"\x1b[1mright"].concat();
            for cut in 0..=input.len() {
                assert_eq!(run(&input, cut).1, b"left\x1b[1mright", "{query:?} cut at {cut}");
            }
        }
        for kept in [
            &b"\x1b[22;0t"[..],
            b"\x1b[8;24;80t",
            b"\x1b[u",
            b"\x1b[3S",
            b"\x1b[>4;2m",
            b"\x1b[1$r",
            b"\x1b]0;what?\x07",
            b"\x1b[1;5r",
            b"\x1b[2 q",
            b"\x1b[>1u",
            b"\x1b[4:3m",
        ] {
            assert_eq!(run(kept, 1).1, kept);
        }
    }

    #[test]
    fn the_alternate_screen_is_known_wherever_a_read_ends() {
        for (input, expected) in [
            (&b"x\x1b[?1049h"[..], true),
            (b"\x1b[?1049hvim\x1b[?1049l", false),
            (b"\x1b[?25;1047h", true),
            (b"\x1b[?1049h\x1bc", false),
            (b"\x1b]0;\x1b[?1049h\x07", true),
            (b"\x1b]0;[?1049h\x07", false),
        ] {
            for cut in 0..=input.len() {
                assert_eq!(run(input, cut).0.modes().alternate, expected, "{input:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn margins_around_everything_are_none() {
        let region = |input: &[u8]| {
            let mut screen = Screen::new();
            screen.set_rows(24);
            screen.feed(input, &mut Vec::new());
            screen.modes().region
        };
        assert!(region(b"\x1b[1;23r") && region(b"\x1b[2;24r") && region(b"\x1b[?6h"));
        assert!(!region(b"\x1b[1;24r") && !region(b"\x1b[r") && !region(b"\x1b[1;5r\x1b[;r"));
        assert!(!region(b"\x1b[?1049h\x1b[1;50r\x1b[?1049l"));
    }

    #[test]
    fn keyboard_levels_are_counted_per_screen() {
        let (screen, _) = run(b"\x1b[>1u\x1b[?1049h\x1b[>1u\x1b[>3u\x1b[<u", 3);
        assert_eq!(screen.modes().keyboard, [1, 1]);
        assert!(screen.modes().extended_keys());
        assert!(!run(b"\x1b[>4;2m\x1b[>4m", 4).0.modes().extended_keys());
    }

    #[test]
    fn remarks_fit_only_between_characters_and_sequences() {
        for (input, ground) in [
            (&b"abc"[..], true),
            (b"a\xe2\x82", false),
            (b"a\xe2\x82\xac", true),
            (b"\x1b[3", false),
            (b"\x1b]0;t", false),
        ] {
            assert_eq!(run(input, 0).0.is_ground(), ground, "{input:?}");
        }
        assert!(run(b"exit\r\n", 0).0.is_line_start());
        assert!(!run(b"\r\n$ ", 0).0.is_line_start());
    }

    #[test]
    fn a_picture_is_not_kept() {
        let input = [b"\x1bPq", &vec![b'#'; 100_000][..], b"\x1b\\x"].concat();
        let mut screen = Screen::new();
        let mut out = Vec::new();
        for piece in input.chunks(777) {
            screen.feed(piece, &mut out);
            assert!(screen.held.len() <= HELD_BYTES_MAX + 1);
        }
        assert_eq!(out, input);
        assert!(screen.is_ground());
    }
}
