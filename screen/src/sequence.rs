//! One complete escape sequence, as it was written: what the engine acts upon, and what queries and marks are recognised in.

/// Parameter bytes kept of one sequence. 32 parameters, the most any terminal takes, fit with room.
pub const PARAMS_MAX: usize = 1024;

/// Bytes kept of one string (OSC, DCS, SOS, PM, APC). Longer strings are skipped, see [`Sequence::truncated`].
pub const BODY_MAX: usize = 4096;

/// What a sequence began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Introducer {
    /// `ESC`, and no more: `ESC 7`, `ESC ( 0`.
    #[default]
    Esc,
    /// `ESC [`.
    Csi,
    /// `ESC ]`: a string ended by BEL or ST.
    Osc,
    /// `ESC P`: parameters, a final byte and then a string ended by ST.
    Dcs,
    /// `ESC X`.
    Sos,
    /// `ESC ^`.
    Pm,
    /// `ESC _`.
    Apc,
}

/// How a string ended. An answer to a query in a string ends the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminator {
    /// By `ESC \`, by U+009C, or by another sequence's `ESC`. Also for sequences that are no string.
    #[default]
    St,
    /// By BEL (OSC only).
    Bel,
}

/// One complete escape sequence. Its parts are the bytes themselves; nothing is interpreted yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    /// What it began with.
    pub introducer: Introducer,
    /// The private marker (`<`, `=`, `>` or `?`) of CSI and DCS.
    pub private: Option<u8>,
    /// The parameter bytes of CSI and DCS without the marker: digits, `;` and `:`, at most [`PARAMS_MAX`].
    pub params: Vec<u8>,
    /// The intermediate bytes (0x20–0x2F), at most two; a sequence with more is not handed out.
    pub intermediates: Vec<u8>,
    /// The final byte of ESC, CSI and DCS; 0 for the others.
    pub action: u8,
    /// The string of OSC, DCS, SOS, PM and APC, at most [`BODY_MAX`] bytes.
    pub body: Vec<u8>,
    /// How the string ended.
    pub terminator: Terminator,
    /// The string, or the parameters, were longer than what is kept.
    pub truncated: bool,
}

impl Sequence {
    /// Whether this is the CSI sequence with this marker (0 for none), these intermediates and this final byte.
    #[must_use]
    pub fn is_csi(&self, private: u8, intermediates: &[u8], action: u8) -> bool {
        self.introducer == Introducer::Csi
            && self.action == action
            && self.private.unwrap_or(0) == private
            && self.intermediates == intermediates
    }

    /// The parameters as numbers, colon-separated parts dropped; an empty one is `None`. At most 32.
    pub fn numbers(&self) -> impl Iterator<Item = Option<u16>> + '_ {
        let count = if self.params.is_empty() { 0 } else { usize::MAX };
        self.params
            .split(|&byte| byte == b';')
            .take(count.min(32))
            .map(|part| number(part.split(|&byte| byte == b':').next().unwrap_or_default()))
    }

    /// The `index`th parameter; `default` if it is missing, empty or zero.
    #[must_use]
    pub fn number_or(&self, index: usize, default: u16) -> u16 {
        self.numbers().nth(index).flatten().filter(|&number| number != 0).unwrap_or(default)
    }

    /// The string's first field as a number and what follows its `;`: `(8, "id=1;http://…")` of `8;id=1;http://…`.
    #[must_use]
    pub fn command(&self) -> Option<(u16, &[u8])> {
        let end = memchr::memchr(b';', &self.body).unwrap_or(self.body.len());
        let rest = self.body.get(end + 1..).unwrap_or_default();
        number(&self.body[..end]).map(|command| (command, rest))
    }

    /// Forgets everything but the buffers.
    pub(crate) fn clear(&mut self) {
        self.introducer = Introducer::Esc;
        self.private = None;
        self.params.clear();
        self.intermediates.clear();
        self.action = 0;
        self.body.clear();
        self.terminator = Terminator::St;
        self.truncated = false;
    }
}

/// A decimal number; none if there is no digit, or something else.
pub(crate) fn number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u32 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = (value * 10 + u32::from(digit - b'0')).min(u32::from(u16::MAX));
    }
    u16::try_from(value).ok()
}
