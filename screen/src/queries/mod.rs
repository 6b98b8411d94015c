//! Questions programs ask the terminal, and the answers.
//!
//! The worker answers, always and alone: attached or not, with however many clients. So clients must not let their own terminal
//! see a question, and [`is_query`] is the definition of one: **whatever it recognises a client swallows, and nothing else**.
//! That holds also for questions about what this terminal has not. They stay without an answer here, as a terminal without
//! the feature leaves them; the client's terminal may have it, and must not speak up.
//!
//! | question | answer |
//! | --- | --- |
//! | `CSI c`, `ESC Z` (DA1) | `CSI ? … c`: as the holder's terminal says, else [`DA1`] |
//! | `CSI > c` (DA2) | `CSI > 1 ; `[`FIRMWARE`]` ; 0 c` |
//! | `CSI = c` (DA3) | `DCS ! \| 00000000 ST` |
//! | `CSI > q` (XTVERSION) | `DCS > \| Baton(`version`) ST` |
//! | `CSI 5 n` (DSR) | `CSI 0 n` |
//! | `CSI 6 n` (CPR), `CSI ? 6 n` (DECXCPR) | `CSI row ; col R`, `CSI ? row ; col R`; within the region in origin mode |
//! | `CSI ? 15 n`, `25`, `26`, `53`, `55`, `56`, `62`, `63`, `75`, `85` | no printer, keys locked, a plain keyboard, no locator, no macros, no checksum, no errors, no sessions |
//! | `CSI ? 996 n` (colour scheme) | `CSI ? 997 ; 1 n` on a dark background, `2` on a light one |
//! | `CSI … $ p`, `CSI ? … $ p` (DECRQM) | `CSI … ; 1 $ y` set, `2` reset, `0` not a mode of this terminal |
//! | `CSI ? u` (kitty keyboard) | `CSI ? flags u`: those in force that the holder's terminal has |
//! | `CSI ? 4 m` (XTQMODKEYS) | `CSI > 4 ; level m` |
//! | `CSI x` (DECREQTPARM) | `CSI 2 ; 1 ; 1 ; 128 ; 128 ; 1 ; 0 x` |
//! | `CSI 11 t`, `13`, `14`, `15`, `16`, `18`, `19` (XTWINOPS) | shown, at 0;0, pixels (if the holder's terminal told a cell's), rows and columns |
//! | `CSI 20 t`, `21` (titles) | an empty title: what a program wrote must not come back as typing |
//! | `CSI ? … S` (XTSMGRAPHICS) | `CSI ? … ; 3 ; 0 S`: failure |
//! | `CSI " v` (DECRQDE) | `CSI rows ; cols ; 1 ; 1 ; 1 " w` |
//! | `CSI # \|` … (XTREPORTSGR) | `CSI … m` |
//! | `OSC 4 ; n ; ?`, `OSC 10 ; ?`, `11`, `12` | `OSC … ; rgb:rrrr/gggg/bbbb`, ended as the question was |
//! | `DCS $ q … ST` (DECRQSS) | `DCS 1 $ r … ST` for `m`, `r`, `SP q`, `" p`, `" q`, `t`, `$ \|`, `* \|`; else `DCS 0 $ r ST` |
//! | `DCS + q … ST` (XTGETTCAP) | for each name `DCS 1 + r name = value ST`, or `DCS 0 + r name ST` |
//! | ENQ (a control character, no sequence: clients swallow it by themselves) | – |
//! | `CSI * y` (DECRQCRA), `CSI $ w` (DECRQPSR), `CSI $ u` (DECRQTSR), `CSI & u` (DECRQUPSS), `CSI ' \|` (DECRQLP), `CSI # S` (XTTITLEPOS), `CSI ? … g` (XTQFMTKEYS), `CSI > SP q` (kitty cursors) | – |
//! | other numbers of `CSI n`, `CSI ? n`, `CSI c`, `CSI > c`, `CSI = c`, `CSI ? m` | – |
//! | `OSC 3 ; ?…`, `5`, `13`–`19` with a `?`, `21 ; …=?`, `22 ; ?…`, `50 ; ?…`, `52 ; … ; ?` (the clipboard is nobody's to read), `60`, `61`, `99` with `p=?` or `p=alive`, `701 ; ?`, `702 ; ?`, `1337 ; Report…`, `RequestUpload…`, `Capabilities`, `5522 ; type=read…` | – |
//! | `APC G … a=q … ST` (kitty graphics), `DCS + Q … ST` (XTGETXRES) | – |
//!
//! An answer is made of the state right before its question. None repeats what a program chose other than as digits, and none
//! has a line end, so none types a command; none is longer than [`ANSWER_BYTES_MAX`].

pub mod colours;
mod reports;
mod state;
mod strings;
#[cfg(test)]
mod tests;

pub use state::{Dynamic, State};

use crate::facts::Facts;
use crate::sequence::{Introducer, Sequence};

/// Most bytes of one answer. Questions in one sequence whose answers do not fit any more stay without one.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// The primary device attributes of a terminal nobody described: a VT220 (62) with ANSI colours (22), and nothing it has not.
pub const DA1: &str = "62;22";

/// The firmware version in the secondary device attributes. Vim takes a number below 2500 for an xterm's patch level and above
/// 20000 for none, and knows 4000 to 4009 as kitty; with this one it uses SGR mouse reports and asks for no features.
pub const FIRMWARE: u16 = 10_000;

/// A question, recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Query {
    /// DA1, or DECID.
    PrimaryAttributes,
    /// DA2.
    SecondaryAttributes,
    /// DA3.
    TertiaryAttributes,
    /// XTVERSION.
    Version,
    /// DSR.
    Status { private: bool },
    /// DECRQM.
    Mode { private: bool },
    /// Kitty keyboard flags.
    Keyboard,
    /// XTQMODKEYS.
    ModifyKeys,
    /// DECREQTPARM.
    Parameters,
    /// XTWINOPS.
    Window,
    /// XTSMGRAPHICS.
    Graphics,
    /// DECRQDE.
    Extent,
    /// XTREPORTSGR.
    Pen,
    /// OSC 4.
    Palette,
    /// OSC 10 to 12, by its number.
    Dynamic(u16),
    /// DECRQSS.
    Setting,
    /// XTGETTCAP.
    Capabilities,
    /// About something this terminal has not, or does not tell.
    Unanswered,
}

/// Whether a sequence asks the terminal for an answer. Clients swallow these and no others.
#[must_use]
pub fn is_query(sequence: &Sequence) -> bool {
    recognise(sequence).is_some()
}

/// The answer to a sequence, to be typed into the program; `None` if it is no question, or one that stays without.
#[must_use]
pub fn answer(sequence: &Sequence, facts: &Facts, state: &impl State) -> Option<Vec<u8>> {
    let mut answer = Answer::default();
    match recognise(sequence)? {
        Query::PrimaryAttributes => reports::primary(facts, &mut answer),
        Query::SecondaryAttributes => answer.push(&format!("\x1b[>1;{FIRMWARE};0c")),
        Query::TertiaryAttributes => answer.push("\x1bP!|00000000\x1b\\"),
        Query::Version => answer.push(concat!("\x1bP>|Baton(", env!("CARGO_PKG_VERSION"), ")\x1b\\")),
        Query::Status { private } => reports::status(private, sequence.number_or(0, 0), facts, state, &mut answer),
        Query::Mode { private } => reports::mode(private, sequence.number_or(0, 0), state, &mut answer),
        Query::Keyboard => reports::keyboard(facts, state, &mut answer),
        Query::ModifyKeys => answer.push(&format!("\x1b[>4;{}m", state.modify_other_keys())),
        Query::Parameters => reports::parameters(sequence.number_or(0, 0), &mut answer),
        Query::Window => reports::window(sequence.number_or(0, 0), facts, state, &mut answer),
        Query::Graphics => answer.push(&format!("\x1b[?{};3;0S", sequence.number_or(0, 0))),
        Query::Extent => {
            let (cols, rows) = state.size();
            answer.push(&format!("\x1b[{rows};{cols};1;1;1\"w"));
        }
        Query::Pen => answer.push(&format!("\x1b[{}m", strings::sgr(state.pen()))),
        Query::Palette => colours::palette(sequence, state, &mut answer),
        Query::Dynamic(first) => colours::dynamics(first, sequence, facts, state, &mut answer),
        Query::Setting => strings::setting(sequence, state, &mut answer),
        Query::Capabilities => strings::capabilities(sequence, &mut answer),
        Query::Unanswered => {}
    }
    (!answer.0.is_empty()).then_some(answer.0)
}

/// An answer in the making.
#[derive(Debug, Default)]
struct Answer(Vec<u8>);

impl Answer {
    /// Appends one report, as a whole or not at all.
    fn push(&mut self, report: &str) {
        if self.0.len() + report.len() <= ANSWER_BYTES_MAX {
            self.0.extend_from_slice(report.as_bytes());
        }
    }
}

fn recognise(sequence: &Sequence) -> Option<Query> {
    match sequence.introducer {
        Introducer::Esc => {
            (sequence.intermediates.is_empty() && sequence.action == b'Z').then_some(Query::PrimaryAttributes)
        }
        Introducer::Csi => control(sequence),
        Introducer::Osc => command(sequence),
        Introducer::Dcs => match (sequence.private, sequence.intermediates.as_slice(), sequence.action) {
            (None, b"$", b'q') => Some(Query::Setting),
            (None, b"+", b'q') => Some(Query::Capabilities),
            (None, b"+", b'Q') => Some(Query::Unanswered),
            _ => None,
        },
        Introducer::Apc => is_graphics_query(&sequence.body).then_some(Query::Unanswered),
        Introducer::Sos | Introducer::Pm => None,
    }
}

fn control(sequence: &Sequence) -> Option<Query> {
    let first = sequence.number_or(0, 0);
    // Attributes and version are asked for with no parameter or 0; other numbers are other questions, if any.
    let plain = |query| if first == 0 { query } else { Query::Unanswered };
    Some(match (sequence.private.unwrap_or(0), sequence.intermediates.as_slice(), sequence.action) {
        (0, b"", b'c') => plain(Query::PrimaryAttributes),
        (b'>', b"", b'c') => plain(Query::SecondaryAttributes),
        (b'=', b"", b'c') => plain(Query::TertiaryAttributes),
        (b'>', b"", b'q') => plain(Query::Version),
        (0, b"", b'n') => Query::Status { private: false },
        (b'?', b"", b'n') => Query::Status { private: true },
        (0, b"$", b'p') => Query::Mode { private: false },
        (b'?', b"$", b'p') => Query::Mode { private: true },
        (b'?', b"", b'u') => Query::Keyboard,
        (b'?', b"", b'm') if first == 4 => Query::ModifyKeys,
        (0, b"", b'x') => Query::Parameters,
        (0, b"", b't') if matches!(first, 11 | 13 | 14 | 15 | 16 | 18 | 19 | 20 | 21) => Query::Window,
        (b'?', b"", b'S') => Query::Graphics,
        (0, b"\"", b'v') => Query::Extent,
        (0, b"#", b'|') => Query::Pen,
        (b'?', b"", b'm' | b'g')
        | (0, b"*", b'y')
        | (0, b"$", b'w' | b'u')
        | (0, b"&", b'u')
        | (0, b"'", b'|')
        | (0, b"#", b'S') => Query::Unanswered,
        (b'>', b" ", b'q') if matches!(first, 0 | 100 | 101) => Query::Unanswered,
        _ => return None,
    })
}

fn command(sequence: &Sequence) -> Option<Query> {
    let (command, rest) = sequence.command()?;
    let mut fields = rest.split(|&byte| byte == b';');
    match command {
        // Pairs of a number and a colour: only a `?` in a colour's place asks.
        4 | 5 => {
            let asks = fields.skip(1).step_by(2).any(|field| field == b"?");
            asks.then_some(if command == 4 { Query::Palette } else { Query::Unanswered })
        }
        10..=12 => fields.any(|field| field == b"?").then_some(Query::Dynamic(command)),
        13..=19 => fields.any(|field| field == b"?").then_some(Query::Unanswered),
        _ => {
            let asks = match command {
                3 | 22 | 50 | 701 | 702 => rest.starts_with(b"?"),
                21 => fields.any(|field| field.ends_with(b"=?")),
                52 => fields.nth(1) == Some(b"?"),
                60 | 61 => true,
                99 => {
                    let mut keys = fields.next().unwrap_or_default().split(|&byte| byte == b':');
                    keys.any(|key| matches!(key, b"p=?" | b"p=alive"))
                }
                1337 => [&b"Report"[..], b"RequestUpload", b"Capabilities"].iter().any(|word| rest.starts_with(word)),
                5522 => fields.next().unwrap_or_default().split(|&byte| byte == b':').any(|key| key == b"type=read"),
                _ => false,
            };
            asks.then_some(Query::Unanswered)
        }
    }
}

/// `G`, then keys and values up to a semicolon; the action `q` asks whether a picture could be shown.
fn is_graphics_query(body: &[u8]) -> bool {
    let Some(control) = body.strip_prefix(b"G").and_then(|rest| rest.split(|&byte| byte == b';').next()) else {
        return false;
    };
    control.split(|&byte| byte == b',').any(|key| key == b"a=q")
}
