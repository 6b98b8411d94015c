//! Where a stream of terminal bytes may be cut: a state machine over bytes that hands out text, controls and whole sequences.
//!
//! ```text
//!             ┌────────────► text                    a boundary lies behind every one of these; between a sequence's first byte
//!   bytes ──► ground ──────► control                 and its last there is none. Controls met inside a sequence are
//!             │  ▲ └──────► sequence (when complete) handed out together with it, right before it: until then nothing of the
//!             ▼  │                                   sequence has happened.
//!             escape, csi, dcs, strings
//! ```
//!
//! The states are those of Paul Williams' DEC parser over code points, with the same reactions to what is malformed as xterm.js
//! has, because that is what people look at: C1 controls count in their two-byte UTF-8 form, bytes that are not UTF-8 are nothing,
//! a character that does not belong into a sequence ends it. For well-formed streams `vte` agrees; a test says so.

mod states;

use crate::sequence::{Introducer, PARAMS_MAX, Sequence};

/// Bytes an unfinished sequence may have before the boundary stops waiting for its end.
///
/// From then on it can only be skipped to its end, and where that is remembered costs nothing: see [`Ground::reopening`].
pub const UNFINISHED_MAX: u64 = 64 * 1024;

/// What the bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Characters to show; no controls among them.
    Text(&'a str),
    /// A C0 control, or one of C1 that stands alone (as U+0080–U+009F).
    Control(u8),
    /// A complete sequence.
    Sequence(&'a Sequence),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    EscapeIntermediate,
    CsiEntry,
    CsiParam,
    CsiIntermediate,
    CsiIgnore,
    Osc,
    DcsEntry,
    DcsParam,
    DcsIntermediate,
    DcsIgnore,
    DcsBody,
    /// SOS, PM, APC.
    Body,
    /// An ESC in a string: its end if `\` follows, else the beginning of something new.
    StringEscape,
}

/// The machine. Its memory is bounded by [`UNFINISHED_MAX`], whatever it is fed.
#[derive(Debug, Default)]
pub struct Ground {
    state: State,
    sequence: Sequence,
    /// Intermediates beyond the second: the sequence will not be handed out.
    unknown: bool,
    /// Controls met inside the unfinished sequence.
    held: Vec<u8>,
    /// Bytes of an unfinished character.
    partial: [u8; 4],
    partial_len: usize,
    /// Bytes since the last boundary.
    unfinished: u64,
    /// The sequence is too long to wait for: every byte of it is a boundary.
    skipping: bool,
}

impl Ground {
    /// Bytes taken since the last boundary.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        if self.skipping { 0 } else { self.unfinished }
    }

    /// Whether plain text may be handed to the engine past this machine.
    #[must_use]
    pub fn is_ground(&self) -> bool {
        self.state == State::Ground && self.partial_len == 0
    }

    /// Bytes that bring a parser from ground to where this one is, when the boundary lies inside of a string that is skipped.
    #[must_use]
    pub fn reopening(&self) -> &'static [u8] {
        if !self.skipping {
            return b"";
        }
        match (self.state, self.sequence.introducer) {
            (State::Ground, _) => b"",
            // An identifier that is no number: the string is swallowed.
            (State::Osc, _) => b"\x1b]x",
            (State::Body, Introducer::Sos) => b"\x1bX",
            (State::Body, Introducer::Pm) => b"\x1b^",
            (State::Body, _) => b"\x1b_",
            (State::StringEscape, Introducer::Osc) => b"\x1b]x\x1b",
            (State::StringEscape, Introducer::Sos) => b"\x1bX\x1b",
            (State::StringEscape, Introducer::Pm) => b"\x1b^\x1b",
            (State::StringEscape, Introducer::Apc) => b"\x1b_\x1b",
            (State::StringEscape, _) => b"\x1bP~\x1b",
            (State::DcsIgnore | State::DcsBody | State::DcsEntry | State::DcsParam | State::DcsIntermediate, _) => {
                b"\x1bP~"
            }
            // A second private marker: ignored up to its final byte.
            _ => b"\x1b[<<",
        }
    }

    /// Whatever is unfinished is forgotten; the next byte is read from ground.
    pub fn reset(&mut self) {
        self.state = State::Ground;
        self.held.clear();
        self.partial_len = 0;
        self.unfinished = 0;
        self.skipping = false;
    }

    /// What was read so far is the beginning of a string that a snapshot reopened: the boundary is here.
    pub fn skip(&mut self) {
        if self.state != State::Ground {
            self.begin_skipping(&mut |_, _| ());
        }
    }

    /// Reads on. `take` gets each event and the number of bytes of `bytes` up to its end.
    pub fn feed(&mut self, bytes: &[u8], take: &mut impl FnMut(Event<'_>, usize)) {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Ground && self.partial_len == 0 {
                at = self.feed_ground(bytes, at, take);
            } else {
                at = self.feed_one(bytes, at, take);
            }
        }
        if self.state == State::Ground && self.partial_len == 0 {
            self.unfinished = 0;
            self.skipping = false;
        }
    }

    /// A run of text, or one control, or an ESC.
    fn feed_ground(&mut self, bytes: &[u8], start: usize, take: &mut impl FnMut(Event<'_>, usize)) -> usize {
        self.unfinished = 0;
        self.skipping = false;
        let rest = &bytes[start..];
        let end = text_end(rest);
        if end == 0 {
            let byte = rest[0];
            if byte == 0x1b
                && let Some(length) = self.whole_csi(rest)
            {
                take(Event::Sequence(&self.sequence), start + length);
                return start + length;
            }
            self.unfinished = 1;
            if byte < 0x80 {
                self.ascii(byte, start + 1, take);
            } else {
                self.partial[0] = byte;
                self.partial_len = 1;
            }
            return start + 1;
        }
        let (valid, error) = match std::str::from_utf8(&rest[..end]) {
            Ok(text) => (text, None),
            Err(error) => (std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(), Some(error)),
        };
        let told = start + valid.len();
        if !valid.is_empty() {
            take(Event::Text(valid), told);
        }
        match error.map(|error| error.error_len()) {
            None => told,
            // Not UTF-8: nothing.
            Some(Some(length)) => told + length,
            Some(None) if end < rest.len() => start + end,
            Some(None) => {
                let tail = &rest[valid.len()..];
                self.partial[..tail.len()].copy_from_slice(tail);
                self.partial_len = tail.len();
                self.unfinished = tail.len() as u64;
                start + end
            }
        }
    }

    /// The usual sequence, all of it at hand and nothing strange in it: what the states would come to, without going through them.
    fn whole_csi(&mut self, bytes: &[u8]) -> Option<usize> {
        let body = bytes.strip_prefix(b"\x1b[")?;
        let private = body.first().copied().filter(|byte| matches!(byte, 0x3c..0x40));
        let params = &body[usize::from(private.is_some())..];
        let count = params.iter().take(PARAMS_MAX).position(|byte| !matches!(byte, 0x30..0x3c))?;
        let (params, rest) = params.split_at(count);
        let intermediates = rest.iter().take(2).take_while(|byte| matches!(byte, 0x20..0x30)).count();
        let action = rest.get(intermediates).copied().filter(|byte| matches!(byte, 0x40..0x7f))?;
        self.enter(State::Ground);
        self.sequence.introducer = Introducer::Csi;
        self.sequence.private = private;
        self.sequence.params.extend_from_slice(params);
        self.sequence.intermediates.extend_from_slice(&rest[..intermediates]);
        self.sequence.action = action;
        Some(bytes.len() - rest.len() + intermediates + 1)
    }

    /// One byte, in a sequence or in an unfinished character.
    fn feed_one(&mut self, bytes: &[u8], at: usize, take: &mut impl FnMut(Event<'_>, usize)) -> usize {
        let byte = bytes[at];
        if self.partial_len > 0 {
            return self.feed_partial(bytes, at, take);
        }
        if self.state == State::StringEscape && byte >= 0x80 {
            self.end_at_escape(at, take);
        }
        self.unfinished += 1;
        if self.state == State::Body || self.state == State::Osc || self.state == State::DcsBody {
            // Strings can be long: take what is plainly part of them at once.
            let run = bytes[at..].iter().position(|&byte| !(0x20..0x7f).contains(&byte)).unwrap_or(bytes.len() - at);
            if run > 0 {
                self.unfinished += run as u64 - 1;
                self.put(&bytes[at..at + run]);
                self.bound(at + run, take);
                return at + run;
            }
        }
        if byte < 0x80 {
            self.ascii(byte, at + 1, take);
        } else if (0xc2..0xf5).contains(&byte) {
            self.partial[0] = byte;
            self.partial_len = 1;
        }
        self.bound(at + 1, take);
        at + 1
    }

    /// Goes on with a character whose first bytes came before.
    fn feed_partial(&mut self, bytes: &[u8], at: usize, take: &mut impl FnMut(Event<'_>, usize)) -> usize {
        let byte = bytes[at];
        let mut candidate = self.partial;
        candidate[self.partial_len] = byte;
        let length = self.partial_len + 1;
        match std::str::from_utf8(&candidate[..length]) {
            Ok(text) => {
                self.unfinished += 1;
                self.partial_len = 0;
                let character = text.chars().next().unwrap_or_default();
                self.beyond_ascii(character, &candidate[..length], at + 1, take);
                self.bound(at + 1, take);
                at + 1
            }
            Err(error) if error.error_len().is_none() => {
                self.unfinished += 1;
                self.partial = candidate;
                self.partial_len = length;
                at + 1
            }
            Err(_) => {
                // The beginning was nothing; this byte is looked at again.
                self.partial_len = 0;
                at
            }
        }
    }

    fn bound(&mut self, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        if self.state != State::Ground && !self.skipping && self.unfinished > UNFINISHED_MAX {
            self.begin_skipping(&mut |event, _| take(event, end));
        }
    }

    fn begin_skipping(&mut self, take: &mut impl FnMut(Event<'_>, usize)) {
        self.skipping = true;
        self.release(0, take);
        self.held.shrink_to(1024);
        self.sequence.truncated = true;
        match self.state {
            State::Ground | State::Osc | State::Body | State::DcsBody | State::StringEscape => {}
            State::DcsEntry | State::DcsParam | State::DcsIntermediate | State::DcsIgnore => {
                self.state = State::DcsIgnore;
            }
            _ => self.state = State::CsiIgnore,
        }
    }
}

/// Where text ends: at a control, at DEL, or before a C1 control (U+0080–U+009F begin with 0xC2 and have a second byte below 0xA0).
fn text_end(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|&byte| byte < 0x20 || byte == 0x7f).unwrap_or(bytes.len());
    let mut from = 0;
    while let Some(found) = memchr::memchr(0xc2, &bytes[from..end]) {
        let at = from + found;
        match bytes.get(at + 1) {
            Some(0x80..0xa0) => return at,
            _ => from = at + 1,
        }
    }
    end
}
