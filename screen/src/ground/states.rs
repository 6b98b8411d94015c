//! The states: what a byte, or a character beyond ASCII, does in each of them.

use super::{Event, Ground, State};
use crate::sequence::{BODY_MAX, Introducer, PARAMS_MAX, Terminator};

impl Ground {
    /// A byte below 0x80 in any state.
    pub(super) fn ascii(&mut self, byte: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        if self.state == State::StringEscape {
            self.after_string_escape(byte, end, take);
            return;
        }
        match byte {
            0x1b if matches!(self.state, State::Osc | State::DcsBody | State::Body) => self.state = State::StringEscape,
            0x1b => {
                if !self.held.is_empty() {
                    // What held them up is void.
                    self.release(end - 1, take);
                }
                self.enter(State::Escape);
                self.unfinished = 1;
                self.skipping = false;
            }
            // A string that is cancelled has not been said; the control itself does nothing.
            0x18 | 0x1a => {
                self.release(end, take);
                if !matches!(self.state, State::Osc | State::DcsBody) {
                    take(Event::Control(byte), end);
                }
                self.return_to_ground();
            }
            0x00..0x20 => self.control(byte, end, take),
            0x20..0x7f => self.graphic(byte, end, take),
            _ => {
                if self.state == State::Osc {
                    self.put(&[byte]);
                }
            }
        }
    }

    fn after_string_escape(&mut self, byte: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        if byte == b'\\' {
            self.sequence.terminator = Terminator::St;
            self.dispatch(end, take);
        } else {
            self.end_at_escape(end - 1, take);
            self.unfinished += 1;
            self.ascii(byte, end, take);
        }
    }

    /// The string ended with an ESC that began something else: the boundary is before that.
    pub(super) fn end_at_escape(&mut self, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        self.sequence.terminator = Terminator::St;
        self.dispatch(end, take);
        self.enter(State::Escape);
        self.unfinished = 1;
    }

    fn control(&mut self, byte: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        match self.state {
            State::Ground => take(Event::Control(byte), end),
            State::Escape
            | State::EscapeIntermediate
            | State::CsiEntry
            | State::CsiParam
            | State::CsiIntermediate
            | State::CsiIgnore => {
                if self.skipping {
                    take(Event::Control(byte), end);
                } else {
                    self.held.push(byte);
                }
            }
            State::Osc if byte == 0x07 => {
                self.sequence.terminator = Terminator::Bel;
                self.dispatch(end, take);
            }
            State::DcsBody => self.put(&[byte]),
            _ => {}
        }
    }

    /// 0x20–0x7e.
    fn graphic(&mut self, byte: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        match (self.state, byte) {
            (State::Ground, _) => {
                let text = [byte];
                take(Event::Text(std::str::from_utf8(&text).unwrap_or_default()), end);
            }
            (State::Escape | State::EscapeIntermediate, 0x20..0x30) => {
                self.collect(byte);
                self.state = State::EscapeIntermediate;
            }
            (State::Escape, b'[') => self.state_of(State::CsiEntry, Introducer::Csi),
            (State::Escape, b']') => self.state_of(State::Osc, Introducer::Osc),
            (State::Escape, b'P') => self.state_of(State::DcsEntry, Introducer::Dcs),
            (State::Escape, b'X') => self.state_of(State::Body, Introducer::Sos),
            (State::Escape, b'^') => self.state_of(State::Body, Introducer::Pm),
            (State::Escape, b'_') => self.state_of(State::Body, Introducer::Apc),
            (State::Escape | State::EscapeIntermediate, _) => self.finish(byte, end, take),

            (State::CsiEntry, 0x3c..0x40) => {
                self.sequence.private = Some(byte);
                self.state = State::CsiParam;
            }
            (State::CsiEntry | State::CsiParam, 0x30..0x3c) => {
                self.parameter(byte);
                self.state = State::CsiParam;
            }
            (State::CsiEntry | State::CsiParam | State::CsiIntermediate, 0x20..0x30) => {
                self.collect(byte);
                self.state = State::CsiIntermediate;
            }
            (State::CsiParam | State::CsiIntermediate, 0x30..0x40) => self.state = State::CsiIgnore,
            (State::CsiIgnore, 0x20..0x40) => {}
            (State::CsiIgnore, _) => {
                self.release(end, take);
                self.return_to_ground();
            }
            (State::CsiEntry | State::CsiParam | State::CsiIntermediate, _) => self.finish(byte, end, take),

            (State::DcsEntry, 0x3c..0x40) => {
                self.sequence.private = Some(byte);
                self.state = State::DcsParam;
            }
            (State::DcsEntry | State::DcsParam, 0x30..0x3c) => {
                self.parameter(byte);
                self.state = State::DcsParam;
            }
            (State::DcsEntry | State::DcsParam | State::DcsIntermediate, 0x20..0x30) => {
                self.collect(byte);
                self.state = State::DcsIntermediate;
            }
            (State::DcsParam | State::DcsIntermediate, 0x30..0x40) => self.state = State::DcsIgnore,
            (State::DcsEntry | State::DcsParam | State::DcsIntermediate, _) => {
                self.sequence.action = byte;
                self.state = State::DcsBody;
            }
            (State::Osc | State::DcsBody | State::Body, _) => self.put(&[byte]),
            (State::DcsIgnore | State::StringEscape, _) => {}
        }
    }

    /// A character beyond ASCII that came in pieces, or anywhere outside of ground.
    pub(super) fn beyond_ascii(
        &mut self,
        character: char,
        encoded: &[u8],
        end: usize,
        take: &mut impl FnMut(Event<'_>, usize),
    ) {
        let code = u32::from(character);
        if character == '\u{feff}' {
            // A byte order mark is no character.
            return;
        }
        if code < 0xa0 {
            self.c1(u8::try_from(code).unwrap_or_default(), end, take);
            return;
        }
        match self.state {
            State::Ground => take(Event::Text(character.encode_utf8(&mut [0; 4])), end),
            State::Osc | State::DcsBody => self.put(encoded),
            State::CsiIgnore | State::DcsIgnore => {}
            // Malformed: the sequence ends here, and the character with it.
            _ => {
                self.release(end, take);
                self.return_to_ground();
            }
        }
    }

    /// U+0080–U+009F. They end whatever was going on.
    fn c1(&mut self, code: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        let string = matches!(self.state, State::Osc | State::DcsBody | State::Body);
        if code == 0x9c && string {
            self.sequence.terminator = Terminator::St;
            self.dispatch(end, take);
            return;
        }
        self.release(end, take);
        let (state, introducer) = match code {
            0x90 => (State::DcsEntry, Introducer::Dcs),
            0x98 => (State::Body, Introducer::Sos),
            0x9b => (State::CsiEntry, Introducer::Csi),
            0x9d => (State::Osc, Introducer::Osc),
            0x9e => (State::Body, Introducer::Pm),
            0x9f => (State::Body, Introducer::Apc),
            0x9c => {
                self.return_to_ground();
                return;
            }
            _ => {
                self.return_to_ground();
                take(Event::Control(code), end);
                return;
            }
        };
        self.enter(state);
        self.sequence.introducer = introducer;
        // Two bytes introduced it.
        self.unfinished = 2;
        self.skipping = false;
    }

    pub(super) fn enter(&mut self, state: State) {
        self.sequence.clear();
        self.unknown = false;
        self.state = state;
    }

    fn state_of(&mut self, state: State, introducer: Introducer) {
        self.state = state;
        self.sequence.introducer = introducer;
    }

    fn return_to_ground(&mut self) {
        self.state = State::Ground;
        self.unfinished = 0;
        self.skipping = false;
    }

    fn collect(&mut self, byte: u8) {
        if self.sequence.intermediates.len() < 2 {
            self.sequence.intermediates.push(byte);
        } else {
            self.unknown = true;
        }
    }

    fn parameter(&mut self, byte: u8) {
        if self.sequence.params.len() < PARAMS_MAX {
            self.sequence.params.push(byte);
        } else {
            self.sequence.truncated = true;
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        let room = BODY_MAX - self.sequence.body.len();
        self.sequence.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.sequence.truncated |= bytes.len() > room;
    }

    fn finish(&mut self, action: u8, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        self.sequence.action = action;
        self.dispatch(end, take);
    }

    fn dispatch(&mut self, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        self.release(end, take);
        if !self.unknown {
            take(Event::Sequence(&self.sequence), end);
        }
        self.return_to_ground();
    }

    /// The held controls happen now.
    pub(super) fn release(&mut self, end: usize, take: &mut impl FnMut(Event<'_>, usize)) {
        for &byte in &self.held {
            take(Event::Control(byte), end);
        }
        self.held.clear();
    }
}
