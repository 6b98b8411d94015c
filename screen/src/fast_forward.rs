//! Text nobody will ever see need not be shown.
//!
//! Of a flood of plain lines only the last screenful is seen. Where only characters, line ends, tabs and SGR follow each other, the
//! lines before can be skipped, on these conditions, none of which may be weakened (fewer line ends have been tried: wrong):
//!
//! - the parser is in ground; the scroll region is the whole screen; no origin, insert or newline mode; autowrap is on;
//! - no line that leaves the screen is kept;
//! - it is skipped to right behind a CR LF: there the column is known to be the first;
//! - at least `2 × rows + 1` line ends follow: after the first `rows` of them the cursor is in the last row, wherever it was, and
//!   what was on the screen then is gone after as many again;
//! - the SGR sequences skipped are acted upon, because they say how the rest is drawn.
//!
//! Sizes, snapshots and queries are barriers by themselves: a run is looked for in one piece of the stream only, and a query is no
//! SGR.

use crate::sequence::PARAMS_MAX;

/// Where a run may be skipped to, and the SGR sequences in what is skipped.
pub(crate) struct Skip<'a> {
    skipped: &'a [u8],
    /// Bytes of the whole run.
    pub run: usize,
}

impl<'a> Skip<'a> {
    /// Looks for a run at the beginning of `bytes` whose first part need not be shown on `rows` rows. The run's length even if there
    /// is nothing to skip.
    pub(crate) fn find(bytes: &'a [u8], rows: usize) -> Self {
        let run = run(bytes);
        let following = 2 * rows + 1;
        let end = memchr::memrchr_iter(b'\n', &bytes[..run])
            .skip(following)
            .find(|&at| at > 0 && bytes[at - 1] == b'\r')
            .map_or(0, |at| at + 1);
        Self { skipped: &bytes[..end], run }
    }

    /// Bytes to be skipped.
    pub(crate) fn length(&self) -> usize {
        self.skipped.len()
    }

    /// The SGR sequences among them, from the last one that resets everything on.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = &'a [u8]> {
        let from = memchr::memrchr_iter(0x1b, self.skipped).find(|&at| resets(&self.skipped[at..])).unwrap_or(0);
        let skipped = &self.skipped[from..];
        memchr::memchr_iter(0x1b, skipped).map(move |at| {
            let length = sgr(&skipped[at..]).unwrap_or_default();
            &skipped[at..at + length]
        })
    }
}

/// Bytes up to the first that is more than text, a line end, a tab or SGR.
fn run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match CLASS[usize::from(byte)] {
            Class::Plain => at += 1,
            Class::Escape => match sgr(&bytes[at..]) {
                Some(length) => at += length,
                None => return at,
            },
            // U+0080–U+009F, or a character cut off.
            Class::Lead if bytes.get(at + 1).is_none_or(|&next| next < 0xa0) => return at,
            Class::Lead => at += 2,
            Class::Other => return at,
        }
    }
    at
}

/// Whether this SGR sequence makes what came before it not matter.
fn resets(sgr: &[u8]) -> bool {
    matches!(sgr, [0x1b, b'[', b'm', ..] | [0x1b, b'[', b'0', b'm' | b';', ..])
}

/// The length of the SGR sequence that `bytes` begin with.
fn sgr(bytes: &[u8]) -> Option<usize> {
    let params = bytes.strip_prefix(b"\x1b[")?;
    let length = params.iter().take(PARAMS_MAX).position(|byte| !matches!(byte, b'0'..=b';'))?;
    (params[length] == b'm').then_some(length + 3)
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Escape,
    /// 0xC2: the first byte of C1 controls, and of others.
    Lead,
    Other,
}

const CLASS: [Class; 256] = {
    let mut class = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 0x20 {
        class[byte] = Class::Other;
        byte += 1;
    }
    class[b'\t' as usize] = Class::Plain;
    class[b'\n' as usize] = Class::Plain;
    class[b'\r' as usize] = Class::Plain;
    class[0x1b] = Class::Escape;
    class[0x7f] = Class::Other;
    class[0xc2] = Class::Lead;
    class
};
