//! What comes from the terminal, told apart: keys a person pressed, what the terminal reports of its own accord (focus and
//! mouse), and what it answers. Only keys may take control, and answers are nobody's: the worker answers programs.
//!
//! Terminals speak in escape sequences that a read may cut anywhere, so this is a state machine over bytes. It keeps
//! every byte: what it holds back comes out complete, or by [`Keys::flush`] when nothing follows (the Escape key).

/// Longest sequence held back. A longer one is passed on as it comes.
const HELD_BYTES_MAX: usize = 256;

/// What one read contained, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A person typed or pasted this.
    Keys(Vec<u8>),
    /// The terminal reports what a person did with mouse or focus, or that a key was let go.
    Report(Vec<u8>),
    /// The terminal answers a query.
    Answer(Vec<u8>),
    /// The detach key.
    Detach,
}

/// The key that leaves an attached session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKey {
    /// What a terminal sends for it.
    byte: u8,
    /// The key without `Ctrl`, as the newer keyboard protocols number it.
    plain: u32,
    name: String,
}

impl DetachKey {
    /// Reads `Ctrl-` and a letter or one of `\ ] ^ _ @ [`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no detach key: give `Ctrl-` and a letter or one of \\ ] ^ _ @ [");
        let (control, key) = text.split_at_checked(5).ok_or_else(refused)?;
        if !control.eq_ignore_ascii_case("ctrl-") && !control.eq_ignore_ascii_case("ctrl+") {
            return Err(refused());
        }
        let mut chars = key.chars();
        match (chars.next(), chars.next()) {
            (Some(key), None) if key.is_ascii_alphabetic() || "\\]^_@[".contains(key) => {
                let byte = (key.to_ascii_uppercase() as u8) & 0x1f;
                let plain = u32::from(key.to_ascii_lowercase());
                Ok(Self { byte, plain, name: format!("Ctrl-{}", key.to_ascii_uppercase()) })
            }
            _ => Err(refused()),
        }
    }

    /// How it is shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the Escape key, which begins every sequence.
    const fn is_escape(&self) -> bool {
        self.byte == 0x1b
    }

    /// `CSI code ; modifiers u` (kitty) or `CSI 27 ; modifiers ; code ~` (xterm).
    fn matches(&self, sequence: &[u8]) -> bool {
        let Some((last, params)) = sequence.get(2..).and_then(|rest| rest.split_last()) else { return false };
        let fields: Vec<Vec<Option<u32>>> = params
            .split(|byte| *byte == b';')
            .map(|field| {
                field.split(|byte| *byte == b':').map(|number| std::str::from_utf8(number).ok()?.parse().ok()).collect()
            })
            .collect();
        let number = |field: usize, sub: usize| fields.get(field).and_then(|field| field.get(sub).copied().flatten());
        let (codes, modifiers, kind) = match last {
            b'u' => ([number(0, 0), number(0, 1)], number(1, 0), number(1, 1)),
            b'~' if number(0, 0) == Some(27) => ([number(2, 0), None], number(1, 0), None),
            _ => return false,
        };
        const SHIFT: u32 = 1;
        const CONTROL: u32 = 4;
        const LOCKS: u32 = 64 | 128;
        const RELEASE: u32 = 3;
        let held = modifiers.unwrap_or(1).saturating_sub(1) & !LOCKS;
        // On many keyboards a symbol is itself typed with shift.
        let shift_belongs = !(u32::from(b'a')..=u32::from(b'z')).contains(&self.plain);
        let control = held == CONTROL || (shift_belongs && held == CONTROL | SHIFT);
        control && kind != Some(RELEASE) && codes.contains(&Some(self.plain))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O: one more byte.
    Single,
    /// After ESC [.
    Control,
    /// So many raw bytes of an old mouse report are due.
    Mouse(u8),
    /// In an answer that ends with ST or BEL (OSC, DCS, APC, PM, SOS).
    Text,
    /// After ESC in such an answer.
    TextEscape,
    /// In a paste; so many bytes of its end are matched.
    Paste(usize),
}

const PASTE_BEGIN: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// The state machine.
#[derive(Debug)]
pub struct Keys {
    detach: DetachKey,
    state: State,
    /// The sequence so far.
    held: Vec<u8>,
    /// How much of it was passed on already.
    passed: usize,
    out: Vec<Segment>,
}

impl Keys {
    /// At the beginning of input.
    pub const fn new(detach: DetachKey) -> Self {
        Self { detach, state: State::Ground, held: Vec::new(), passed: 0, out: Vec::new() }
    }

    /// The key that detaches.
    pub const fn detach_key(&self) -> &DetachKey {
        &self.detach
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Segment> {
        for &byte in bytes {
            self.step(byte);
        }
        std::mem::take(&mut self.out)
    }

    /// Whether something is held back: it waits for more, or for [`Self::flush`].
    pub const fn is_holding(&self) -> bool {
        self.held.len() > self.passed
    }

    /// Whether a sequence has begun and not ended.
    pub const fn is_within_sequence(&self) -> bool {
        !self.held.is_empty()
    }

    /// Passes on what is held back, without losing the place in its sequence.
    pub fn pass_on(&mut self) -> Vec<Segment> {
        if self.is_holding() && !self.detach.is_escape() {
            let rest = self.held[self.passed..].to_vec();
            self.passed = self.held.len();
            self.push_keys(&rest);
        }
        std::mem::take(&mut self.out)
    }

    /// Nothing followed for a while: what is held back is what was pressed.
    pub fn flush(&mut self) -> Vec<Segment> {
        if !matches!(self.state, State::Paste(_)) {
            if self.held == [0x1b] && self.detach.is_escape() {
                self.held.clear();
                self.out.push(Segment::Detach);
            }
            self.end(Kind::Keys);
        }
        std::mem::take(&mut self.out)
    }

    fn step(&mut self, byte: u8) {
        match self.state {
            State::Ground => self.ground(byte),
            State::Paste(matched) => self.paste(byte, matched),
            State::Escape => {
                self.held.push(byte);
                match byte {
                    b'[' => self.state = State::Control,
                    b'O' => self.state = State::Single,
                    b']' | b'P' | b'_' | b'^' | b'X' => self.state = State::Text,
                    0x1b => {
                        // The first was the Escape key; the second may begin something.
                        self.held.pop();
                        self.end(Kind::Keys);
                        self.begin();
                    }
                    _ if byte == self.detach.byte => {
                        self.held.pop();
                        self.end(Kind::Keys);
                        self.out.push(Segment::Detach);
                    }
                    _ => self.end(Kind::Keys),
                }
            }
            State::Single => self.interruptible(byte, |keys| keys.end(Kind::Keys)),
            State::Control => self.interruptible(byte, |keys| {
                if (0x40..=0x7e).contains(&byte) && keys.held.len() > 2 {
                    keys.control();
                }
            }),
            State::Mouse(left) => {
                self.held.push(byte);
                match left {
                    0 | 1 => self.end(Kind::Report),
                    _ => self.state = State::Mouse(left - 1),
                }
            }
            State::Text => match byte {
                0x07 => {
                    self.held.push(byte);
                    self.end(Kind::Answer);
                }
                0x1b => {
                    self.held.push(byte);
                    self.state = State::TextEscape;
                }
                _ => self.interruptible(byte, |_| {}),
            },
            State::TextEscape => {
                if byte == b'\\' {
                    self.held.push(byte);
                    self.end(Kind::Answer);
                } else {
                    self.held.pop();
                    self.end(Kind::Keys);
                    self.begin();
                    self.step(byte);
                }
            }
        }
        if self.held.len() > HELD_BYTES_MAX {
            self.out_grown();
        }
    }

    fn ground(&mut self, byte: u8) {
        if byte == 0x1b {
            self.begin();
        } else if byte == self.detach.byte {
            self.out.push(Segment::Detach);
        } else {
            self.push_keys(&[byte]);
        }
    }

    /// Control characters never occur within a sequence: they end it, and the detach key works everywhere.
    fn interruptible(&mut self, byte: u8, then: impl FnOnce(&mut Self)) {
        if byte < 0x20 {
            self.end(Kind::Keys);
            self.ground(byte);
        } else {
            self.held.push(byte);
            then(self);
        }
    }

    fn paste(&mut self, byte: u8, matched: usize) {
        self.push_keys(&[byte]);
        let matched = if byte == PASTE_END[matched] { matched + 1 } else { usize::from(byte == PASTE_END[0]) };
        self.state = if matched == PASTE_END.len() { State::Ground } else { State::Paste(matched) };
    }

    fn begin(&mut self) {
        self.held.push(0x1b);
        self.state = State::Escape;
    }

    fn control(&mut self) {
        if self.held == PASTE_BEGIN {
            self.end(Kind::Keys);
            self.state = State::Paste(0);
        } else if self.detach.matches(&self.held) && self.passed == 0 {
            self.held.clear();
            self.state = State::Ground;
            self.out.push(Segment::Detach);
        } else if self.held == b"\x1b[M" {
            self.state = State::Mouse(3);
        } else {
            let kind = kind_of(&self.held);
            self.end(kind);
        }
    }

    fn end(&mut self, kind: Kind) {
        let rest = self.held.split_off(self.passed.min(self.held.len()));
        self.held.clear();
        self.passed = 0;
        self.state = State::Ground;
        if rest.is_empty() {
            return;
        }
        match kind {
            Kind::Keys => self.push_keys(&rest),
            Kind::Report => self.out.push(Segment::Report(rest)),
            Kind::Answer => self.out.push(Segment::Answer(rest)),
        }
    }

    /// A sequence longer than any key's: the terminal is telling something at length.
    fn out_grown(&mut self) {
        let rest = self.held.split_off(self.passed);
        if !rest.is_empty() {
            self.out.push(Segment::Answer(rest));
        }
        self.held.truncate(2);
        self.passed = self.held.len();
    }

    fn push_keys(&mut self, bytes: &[u8]) {
        match self.out.last_mut() {
            Some(Segment::Keys(keys)) => keys.extend_from_slice(bytes),
            _ => self.out.push(Segment::Keys(bytes.to_vec())),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Keys,
    Report,
    Answer,
}

/// What a whole `CSI` sequence is.
fn kind_of(sequence: &[u8]) -> Kind {
    let Some((&last, params)) = sequence.get(2..).and_then(|rest| rest.split_last()) else { return Kind::Keys };
    let private = params.first().is_some_and(|byte| matches!(byte, b'?' | b'>' | b'=' | b'<'));
    match last {
        // Device attributes, status, window, modes, parameters.
        b'c' | b'n' | b't' | b'y' | b'x' => Kind::Answer,
        // Cursor position; without parameters it is a key, and `1;modifiers` is F3.
        b'R' if params.is_empty() || is_f3(params) => Kind::Keys,
        b'R' => Kind::Answer,
        // Focus gained and lost.
        b'I' | b'O' if params.is_empty() => Kind::Report,
        // Mouse.
        b'M' | b'm' => Kind::Report,
        // Keyboard protocol flags, graphics limits.
        b'u' | b'S' if private => Kind::Answer,
        // The release of a key whose press may have been elsewhere.
        b'u' | b'~' | b'A'..=b'H' | b'P' | b'Q' if is_release(params) => Kind::Report,
        _ => Kind::Keys,
    }
}

/// `1;modifiers`, from shift alone to all four: as a cursor position it would be the first row's beginning.
fn is_f3(params: &[u8]) -> bool {
    let modifiers = params.strip_prefix(b"1;").and_then(|rest| std::str::from_utf8(rest).ok()?.parse::<u8>().ok());
    modifiers.is_some_and(|modifiers| (2..=16).contains(&modifiers))
}

/// `…;modifiers:3`: the key was let go.
fn is_release(params: &[u8]) -> bool {
    params
        .split(|byte| *byte == b';')
        .nth(1)
        .is_some_and(|field| field.split(|byte| *byte == b':').nth(1) == Some(b"3"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keys() -> Keys {
        Keys::new(DetachKey::parse("Ctrl-\\").unwrap())
    }

    /// Neighbours of one kind as one, so that the result does not depend on where reads were cut.
    fn joined(segments: Vec<Segment>) -> Vec<Segment> {
        let mut out: Vec<Segment> = Vec::new();
        for segment in segments {
            match (out.last_mut(), segment) {
                (Some(Segment::Keys(a)), Segment::Keys(b)) | (Some(Segment::Report(a)), Segment::Report(b)) => {
                    a.extend(b)
                }
                (_, segment) => out.push(segment),
            }
        }
        out
    }

    fn check(input: &[u8], expected: &[Segment]) {
        let mut whole = keys();
        let mut all = whole.feed(input);
        all.extend(whole.flush());
        assert_eq!(joined(all), expected, "whole {:?}", String::from_utf8_lossy(input));
        for cut in 0..=input.len() {
            let mut cut_keys = keys();
            let mut all = cut_keys.feed(&input[..cut]);
            all.extend(cut_keys.feed(&input[cut..]));
            all.extend(cut_keys.flush());
            assert_eq!(joined(all), expected, "cut at {cut} {:?}", String::from_utf8_lossy(input));
        }
    }

    fn typed(text: &[u8]) -> Segment {
        Segment::Keys(text.to_vec())
    }

    fn told(text: &[u8]) -> Segment {
        Segment::Report(text.to_vec())
    }

    #[test]
    fn keys_are_keys() {
        for key in [
            &b"ls\r"[..],
            b"\x1b",
            b"\x1b\x1b",
            b"\x1b[A",
            b"\x1bOP",
            b"\x1b[15;2~",
            b"\x1b[1;5C",
            b"\x1bx",
            b"\x1b[97;5u",
            b"\x03",
            "ü€".as_bytes(),
            b"\x1b]",
            b"\x1b[",
            b"\x1b[R",
            b"\x1b[1;5R",
        ] {
            check(key, &[typed(key)]);
        }
    }

    #[test]
    fn what_the_terminal_says_is_no_key() {
        for answer in [
            &b"\x1b[?64;1;2c"[..],
            b"\x1b[>0;276;0c",
            b"\x1b[24;80R",
            b"\x1b[1;80R",
            b"\x1b[0n",
            b"\x1b[?997;1n",
            b"\x1b[8;24;80t",
            b"\x1b[?2026;2$y",
            b"\x1b[?1u",
            b"\x1b]11;rgb:0000/0000/0000\x1b\\",
            b"\x1b]11;rgb:0000/0000/0000\x07",
            b"\x1bP1$r0m\x1b\\",
            b"\x1bP>|xterm(388)\x1b\\",
            b"\x1b_Gi=1;OK\x1b\\",
        ] {
            check(answer, &[Segment::Answer(answer.to_vec())]);
        }
        for report in [&b"\x1b[I"[..], b"\x1b[O", b"\x1b[M !!", b"\x1b[<0;10;10M", b"\x1b[<0;10;10m", b"\x1b[97;1:3u"] {
            check(report, &[told(report)]);
        }
        check(b"a\x1b[Ib", &[typed(b"a"), told(b"\x1b[I"), typed(b"b")]);
    }

    #[test]
    fn the_detach_key_is_seen_in_every_spelling() {
        for spelling in
            [&b"\x1c"[..], b"\x1b[92;5u", b"\x1b[92;5:1u", b"\x1b[92;133u", b"\x1b[27;5;92~", b"\x1b[92:124;5u"]
        {
            check(spelling, &[Segment::Detach]);
            let text = [b"x", spelling, b"y"].concat();
            check(&text, &[typed(b"x"), Segment::Detach, typed(b"y")]);
        }
        for other in [&b"\x1b[92;5:3u"[..], b"\x1b[92;3u", b"\x1b[93;5u", b"\x1b[92u"] {
            let mut keys = keys();
            assert!(!keys.feed(other).contains(&Segment::Detach), "{other:?}");
        }
        check(b"\x1b]unfinished\x1c", &[typed(b"\x1b]unfinished"), Segment::Detach]);
    }

    #[test]
    fn a_paste_is_typed_whatever_is_in_it() {
        let paste = b"\x1b[200~a\x1c\x1b[?1c\x1b[201\x1b[201~";
        check(paste, &[typed(paste)]);
        check(&[&paste[..], b"\x1c"].concat(), &[typed(paste), Segment::Detach]);
    }

    #[test]
    fn what_was_passed_on_is_not_said_twice() {
        let mut keys = keys();
        assert!(keys.feed(b"\x1b").is_empty());
        assert!(keys.is_holding());
        assert_eq!(keys.pass_on(), [typed(b"\x1b")]);
        assert!(!keys.is_holding() && keys.is_within_sequence());
        assert_eq!(keys.feed(b"[20"), []);
        assert_eq!(keys.pass_on(), [typed(b"[20")]);
        assert_eq!(keys.feed(b"0~\x1c"), [typed(b"0~\x1c")]);
    }

    #[test]
    fn an_endless_answer_is_not_kept() {
        let mut keys = keys();
        let mut told = 0;
        for segment in keys.feed(&[b"\x1b]52;c;", &vec![b'A'; 100_000][..], b"\x07x"].concat()) {
            match segment {
                Segment::Answer(bytes) => told += bytes.len(),
                Segment::Keys(bytes) => assert_eq!(bytes, b"x"),
                Segment::Report(_) | Segment::Detach => panic!("neither was in it"),
            }
        }
        assert_eq!(told, 100_008);
    }

    #[test]
    fn detach_keys_are_read() {
        assert_eq!(DetachKey::parse("ctrl-a").unwrap().byte, 1);
        assert_eq!(DetachKey::parse("Ctrl+]").unwrap().byte, 0x1d);
        assert_eq!(DetachKey::parse("Ctrl-\\").unwrap().name(), "Ctrl-\\");
        for bad in ["", "Ctrl-", "x", "Alt-x", "Ctrl-ab", "Ctrl-ü", "Ctrl-1", "ctrlü"] {
            assert!(DetachKey::parse(bad).is_err(), "{bad}");
        }
        let mut keys = Keys::new(DetachKey::parse("Ctrl-[").unwrap());
        assert_eq!(keys.feed(b"\x1b[A"), [Segment::Keys(b"\x1b[A".to_vec())]);
        assert_eq!(keys.feed(b"\x1b"), []);
        assert_eq!(keys.flush(), [Segment::Detach]);
    }
}
