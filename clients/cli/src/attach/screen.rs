//! A glance at the output as it passes: just enough to know what state the terminal is left in, where a remark may be
//! put, and which sequences ask the terminal for an answer.
//!
//! Sequences are told apart by the parser that the worker's screen uses, and questions by its own list: what the worker takes for one,
//! and answers, this terminal never sees.

use baton_screen::ground::{Event, Ground, UNFINISHED_MAX};
use baton_screen::queries::is_query;
use baton_screen::sequence::{BODY_MAX, PARAMS_MAX};
use baton_screen::{Introducer, Sequence};

/// Longest string that is looked at as a whole. Whether a longer one asks was decided by what is kept of it.
const HELD_STRING_MAX: usize = BODY_MAX + PARAMS_MAX + 64;

/// Longest sequence held back. A longer one that is no string means nothing: the parser skips it ([`UNFINISHED_MAX`]).
const HELD_MAX: usize = 64 << 10;
const _: () = assert!(HELD_MAX as u64 == UNFINISHED_MAX, "what is skipped is not waited for");

/// ENQ: a terminal may be set up to answer it.
const ENQUIRY: u8 = 0x05;

const ESC: u8 = 0x1b;

/// What becomes of a sequence too long to be held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It is not that long.
    Held,
    /// Passed on as it comes.
    Passed,
    /// Kept from the terminal.
    Dropped,
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
    ground: Ground,
    /// The beginning of something unfinished.
    held: Vec<u8>,
    rest: Rest,
    noted: Noted,
}

/// What was noted of the sequences that passed.
#[derive(Debug)]
struct Noted {
    modes: Modes,
    line_start: bool,
    /// Rows of the session's terminal; 0 while they are not known.
    rows: u16,
}

impl Screen {
    /// A terminal nothing was written to.
    pub fn new() -> Self {
        Self {
            ground: Ground::default(),
            held: Vec::new(),
            rest: Rest::Held,
            noted: Noted { modes: Modes::default(), line_start: true, rows: 0 },
        }
    }

    /// The session's terminal has so many rows.
    pub const fn set_rows(&mut self, rows: u16) {
        self.noted.rows = rows;
    }

    /// As new: what was shown is replaced.
    pub fn restart(&mut self) {
        let rows = self.noted.rows;
        *self = Self::new();
        self.noted.rows = rows;
    }

    /// What is turned on.
    pub const fn modes(&self) -> Modes {
        self.noted.modes
    }

    /// Whether the next byte begins something new: only there may anything be written in between.
    pub fn is_ground(&self) -> bool {
        self.ground.is_ground()
    }

    /// Whether the cursor is at the beginning of a line, as far as line ends tell.
    pub const fn is_line_start(&self) -> bool {
        self.noted.line_start
    }

    /// Looks at `bytes` and appends them to `out`, without the queries: the worker answers those, whoever is attached. An
    /// unfinished sequence is kept for the next call, because it may turn out to be one. What means nothing (a sequence that was
    /// cut off, bytes that are no UTF-8) is left out too: next to where a query was, it could come to mean something.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { ground, held, rest, noted } = self;
        let base = held.len();
        held.extend_from_slice(bytes);
        let mut done = 0;
        // Controls met inside a sequence, and where they were told of: at its end, or where something else cut it off.
        let (mut within, mut within_end) = (Vec::new(), 0);
        ground.feed(bytes, &mut |event, end| {
            let mut end = base + end;
            if end != within_end {
                pass(&within, out);
                within.clear();
                within_end = end;
            }
            match event {
                Event::Text(text) => {
                    noted.line_start = false;
                    pass(&within, out);
                    pass(text.as_bytes(), out);
                }
                Event::Control(control) => {
                    noted.line_start = control == b'\n' || (noted.line_start && control == b'\r');
                    if control < 0x80 {
                        within.push(control);
                    } else {
                        within.extend_from_slice(&[0xc2, control]);
                    }
                    // Whether it stands in a sequence is known when that ends, or something else comes.
                    return;
                }
                Event::Sequence(sequence) => {
                    noted.take(sequence);
                    // The escape that ended a string begins something else, which may not be passed on.
                    let cut_off = held[..end].last() == Some(&ESC);
                    end -= usize::from(cut_off);
                    if is_query(sequence) || *rest == Rest::Dropped {
                        pass(&within, out);
                    } else {
                        let raw = held.get(done..end).unwrap_or_default();
                        pass(if *rest == Rest::Held { last(raw, sequence.introducer) } else { raw }, out);
                        if cut_off {
                            out.extend_from_slice(b"\x1b\\");
                        }
                    }
                }
            }
            within.clear();
            *rest = Rest::Held;
            done = end.max(done);
        });
        pass(&within, out);
        held.drain(..done);
        if ground.is_ground() {
            // What is left means nothing.
            held.clear();
            *rest = Rest::Held;
            return;
        }
        if *rest == Rest::Held {
            // What was cut off by what follows means nothing either.
            let unfinished = usize::try_from(ground.unfinished()).unwrap_or(usize::MAX);
            held.drain(..held.len() - unfinished.min(held.len()));
        }
        self.bound(out);
    }

    /// Decides what becomes of a long sequence before its end is there.
    fn bound(&mut self, out: &mut Vec<u8>) {
        if self.rest == Rest::Held {
            self.rest = match string_asks(&self.held) {
                Some(true) => Rest::Dropped,
                Some(false) => Rest::Passed,
                None if self.held.len() > HELD_MAX => Rest::Dropped,
                None => Rest::Held,
            };
        }
        if self.rest == Rest::Held {
            return;
        }
        // The last may begin something of its own.
        let end = self.held.len() - usize::from(self.held.last() == Some(&ESC));
        if self.rest == Rest::Passed {
            pass(&self.held[..end], out);
        }
        self.held.drain(..end);
    }
}

/// Whether a string that has gone on for so long is a question, by the part that counts; `None`: it is no string.
fn string_asks(held: &[u8]) -> Option<bool> {
    let is_string = matches!(held, [ESC, b']' | b'P' | b'_' | b'^' | b'X', ..] | [0xc2, 0x90 | 0x98 | 0x9d..=0x9f, ..]);
    if !is_string || held.len() <= HELD_STRING_MAX {
        return None;
    }
    let mut asks = None;
    let mut ground = Ground::default();
    ground.feed(held, &mut |_, _| ());
    ground.feed(b"\x1b\\", &mut |event, _| {
        if let Event::Sequence(sequence) = event
            && !matches!(sequence.introducer, Introducer::Esc | Introducer::Csi)
        {
            asks = Some(is_query(sequence));
        }
    });
    asks
}

/// The last sequence in bytes that end with one: others that it cut off come before.
fn last(raw: &[u8], introducer: Introducer) -> &[u8] {
    let is_string = !matches!(introducer, Introducer::Esc | Introducer::Csi);
    let inside = raw.strip_suffix(b"\x1b\\").filter(|_| is_string).unwrap_or(raw);
    let begin = (0..inside.len()).rfind(|at| begins_sequence(&inside[*at..]));
    &raw[begin.unwrap_or(0)..]
}

/// By ESC, or by one of the characters that are the same as two.
const fn begins_sequence(bytes: &[u8]) -> bool {
    matches!(bytes, [ESC, ..] | [0xc2, 0x90 | 0x98 | 0x9b | 0x9d..=0x9f, ..])
}

/// ENQ is no sequence, and yet a question.
fn pass(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.split(|byte| *byte == ENQUIRY) {
        out.extend_from_slice(part);
    }
}

impl Noted {
    /// Notes what a sequence does.
    fn take(&mut self, sequence: &Sequence) {
        let first = sequence.number_or(0, 0);
        let (private, intermediates) = (sequence.private.unwrap_or(0), sequence.intermediates.as_slice());
        let modes = &mut self.modes;
        match (sequence.introducer, private, intermediates, sequence.action) {
            (Introducer::Esc, _, b"", b'c') => {
                *modes = Modes::default();
                self.line_start = true;
            }
            (Introducer::Csi, b'?', b"", action @ (b'h' | b'l')) => {
                for number in sequence.numbers().flatten() {
                    private_mode(modes, number, action == b'h');
                }
            }
            (Introducer::Csi, 0, b"", b'r') => {
                let bottom = sequence.number_or(1, 0);
                let whole = first <= 1 && (bottom == 0 || (self.rows > 0 && bottom >= self.rows));
                modes.region = !whole;
            }
            (Introducer::Csi, 0, b"!", b'p') => {
                modes.region = false;
                modes.cursor_shape = false;
            }
            (Introducer::Csi, 0, b" ", b'q') => modes.cursor_shape = first != 0,
            (Introducer::Csi, b'>', b"", b'u') => {
                let level = &mut modes.keyboard[usize::from(modes.alternate)];
                *level = level.saturating_add(1);
            }
            (Introducer::Csi, b'<', b"", b'u') => {
                let level = &mut modes.keyboard[usize::from(modes.alternate)];
                *level = level.saturating_sub(first.max(1));
            }
            (Introducer::Csi, b'=', b"", b'u') => modes.other_keys = first != 0,
            (Introducer::Csi, b'>', b"", b'm') if first == 4 => modes.other_keys = sequence.number_or(1, 0) > 0,
            _ => {}
        }
    }
}

fn private_mode(modes: &mut Modes, number: u16, on: bool) {
    match number {
        47 | 1047 | 1049 => {
            modes.alternate = on;
            // Whoever leaves it has put its margins back, at a size of then that may not be the one of now.
            modes.region &= on;
        }
        6 => modes.region = on,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
            b"a\x1b[?1049hb\x1b[6m\x1b]0;title\x07\x1b(B\xe2\x82\xac\x1bP0;1|17/ab\x1b\\\x1b]10;#fff\x07x\x1b[A";
        for cut in 0..=input.len() {
            assert_eq!(run(input, cut).1, input, "cut at {cut}");
        }
    }

    #[test]
    fn queries_are_swallowed_wherever_a_read_ends() {
        let table: std::collections::BTreeMap<String, Vec<String>> =
            serde_json::from_str(include_str!("../../../../screen/src/queries/vectors.json")).unwrap();
        let questions = table.iter().filter(|(list, _)| *list != "others").flat_map(|(_, texts)| texts);
        for query in questions.map(String::as_bytes).chain([&b"\x05"[..]]) {
            let input = [b"left", query, b"\x1b[1mright"].concat();
            for cut in 0..=input.len() {
                assert_eq!(run(&input, cut).1, b"left\x1b[1mright", "{} cut at {cut}", query.escape_ascii());
            }
        }
        for other in &table["others"] {
            for cut in 0..=other.len() {
                assert_eq!(run(other.as_bytes(), cut).1, other.as_bytes(), "{}", other.escape_debug());
            }
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
            assert!(screen.held.len() <= HELD_STRING_MAX);
        }
        assert_eq!(out, input);
        assert!(screen.is_ground());
    }

    #[test]
    fn however_long_a_question_is_it_is_kept_back_and_nothing_behind_it_is() {
        let names = b"544e;".repeat(20_000);
        for (begin, end, asks) in [
            (&b"\x1bP+q"[..], &b"\x1b\\"[..], true),
            (b"\x1bP+q", b"\x1b[0m", true),
            (b"\x1bP$q", b"\xc2\x9c", true),
            (b"\xc2\x9052+q", b"\xc2\x9c", true),
            (b"\x1b]52;c;?;", b"\x07", true),
            (b"\x1b]52;c;", b"\x07", false),
            (b"\x1b]1337;File=", b"\x1b[0m", false),
            (b"\x1b_Ga=q;", b"\x1b\\", true),
            (b"\x1b_Ga=T;", b"\x1b\\", false),
        ] {
            let input = [b"left", begin, &names, end, b"right"].concat();
            for pieces in [1, 500, 4096, input.len()] {
                let (mut screen, mut out) = (Screen::new(), Vec::new());
                for piece in input.chunks(pieces) {
                    screen.feed(piece, &mut out);
                    assert!(screen.held.len() <= HELD_STRING_MAX);
                }
                let ended = if end == b"\x1b[0m" { end } else { b"" };
                let expected = match (asks, ended) {
                    (true, _) => [b"left", ended, b"right"].concat(),
                    (false, b"") => input.clone(),
                    (false, _) => [b"left", begin, &names, b"\x1b\\", end, b"right"].concat(),
                };
                assert!(out == expected, "{} by {pieces}: {}", begin.escape_ascii(), out.len());
            }
        }
        // A sequence that goes on for ever holds nothing else back.
        let input = [b"left\x1b[", &b"1;".repeat(100_000)[..], b"mright"].concat();
        let (mut screen, mut out) = (Screen::new(), Vec::new());
        for piece in input.chunks(100) {
            screen.feed(piece, &mut out);
            assert!(screen.held.len() <= HELD_MAX + 100);
        }
        assert_eq!(out, b"leftright");
    }

    /// What a terminal makes of output in which anything may be cut off, joined and meant for somebody else.
    #[test]
    fn nothing_that_asks_passes_and_all_that_shows_does() {
        const PARTS: &[&[u8]] = &[
            b"text ",
            b"\r\n",
            b"\xe2\x82\xac",
            b"\xe2",
            b"\xff",
            b"\x05",
            b"\x07",
            b"\x18",
            b"\x1b",
            b"\x1b[",
            b"\x1b]",
            b"\x1bP",
            b"\x1b_",
            b"\x1b\\",
            b"\xc2\x9c",
            b"\xc2\x9b",
            b"c",
            b"6n",
            b"1;2",
            b"?",
            b">",
            b"$",
            b"+q54",
            b"11;?",
            b"4;1;?",
            b"52;c;?",
            b"0;title",
            b"8;;http://x",
            b"Ga=q",
            b"m",
            b"\x1b[1m",
            b"\x1b[3;4H",
            b"\x1b[c",
            b"\x1b[?2026$p",
            b"\x1b]10;?\x07",
            b"!!!p",
        ];
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).unwrap_or(0)
        };
        let size = baton_proto::v1::Dimensions { cols: 40, rows: 10 };
        let view = |bytes: &[u8]| {
            let mut screen = baton_screen::Screen::new(size);
            screen.feed(bytes, &mut Vec::new());
            screen.view(0)
        };
        for round in 0..3000 {
            let input: Vec<u8> = (0..1 + next(30)).flat_map(|_| PARTS[next(PARTS.len())].to_vec()).collect();
            let whole = run(&input, 0);
            let mut pieces = (Screen::new(), Vec::new());
            let mut at = 0;
            while at < input.len() {
                let end = (at + 1 + next(7)).min(input.len());
                pieces.0.feed(&input[at..end], &mut pieces.1);
                at = end;
            }
            let told = input.escape_ascii();
            assert_eq!(whole.1, pieces.1, "round {round}: {told}");
            // An unfinished sequence is still held back.
            let mut out = whole.1;
            let passed = out.clone();
            out.extend_from_slice(&whole.0.held);
            assert!(view(&out) == view(&input), "round {round}: {told} became {}", out.escape_ascii());
            assert!(!passed.contains(&ENQUIRY));
            Ground::default().feed(&passed, &mut |event, _| {
                if let Event::Sequence(sequence) = event {
                    assert!(!is_query(sequence), "round {round}: {told} became {}", passed.escape_ascii());
                }
            });
        }
    }

    #[test]
    fn a_string_ended_by_another_escape_is_what_it_is() {
        for (input, shown) in [
            (&b"a\x1b]11;?\x1b[1mb"[..], &b"a\x1b[1mb"[..]),
            (b"a\x1b]0;t\x1b[1mb", b"a\x1b]0;t\x1b\\\x1b[1mb"),
            (b"a\x1b]0;t\x1b[cb", b"a\x1b]0;t\x1b\\b"),
            (b"a\x1bP+q54\x1b[cb", b"ab"),
            (b"a\x1b]11;?\x1b\x1b[1mb", b"a\x1b[1mb"),
            // Cancelled, it has not been said.
            (b"a\x1b]11;?\x18\x1b[cb", b"ab"),
            // What an escape interrupts comes to nothing, and never joins with what is left.
            (b"a\x1b[1\x1b[cb", b"ab"),
            (b"a\x1b\x1b[c[cb", b"a[cb"),
            (b"a\x1b[1\n\x1b[c;5nb", b"a\n;5nb"),
            (b"a\x1b[\nc\x1b[5\nn\x05b", b"a\n\nb"),
            (b"a\x1b[\x05mb", b"a\x1b[mb"),
            (b"a\xc2\x9bcb\xc2\x85", b"ab\xc2\x85"),
            (b"\xff\xc3\x1b[c\xa9\xff", b""),
        ] {
            for cut in 0..=input.len() {
                let out = run(input, cut).1;
                assert_eq!(out, shown, "{} cut at {cut}: {}", input.escape_ascii(), out.escape_ascii());
            }
        }
    }
}
