//! What this terminal is like: asked while the session is already being attached to, so that nobody waits for it, and told
//! when it answers. Programs in the session ask the worker, and it answers what the terminal that has control said.

use std::time::Duration;

use baton_proto::api::TermFacts;
use tokio::time::{Instant, timeout_at};

use super::keys::{Keys, Segment};
use super::terminal::{Input, Output};

/// How long the answers may take. A terminal that is slower, or says nothing, stays unknown: programs get defaults then.
const ANSWER: Duration = Duration::from_secs(2);

/// How long who leaves waits for answers that are still due. What comes later is read by the user's own shell.
const LEAVING: Duration = Duration::from_millis(300);

/// Foreground, background, keyboard protocol, size of a cell; and last what every terminal answers, so that it is known
/// when nothing more comes.
const QUESTIONS: &[u8] = b"\x1b]10;?\x1b\\\x1b]11;?\x1b\\\x1b[?u\x1b[16t\x1b[c";

/// All flags of the keyboard protocol: who answers for it has them all.
const KEYBOARD_FLAGS: u32 = 0b1_1111;

/// A terminal that was asked and has not answered everything.
#[derive(Debug)]
pub struct Asking {
    facts: TermFacts,
    until: Instant,
}

impl Asking {
    /// Asks, if this is a terminal that understands.
    pub fn begin(output: &mut Output) -> Option<Self> {
        if !speaks(std::env::var("TERM").ok().as_deref()) {
            return None;
        }
        output.push(QUESTIONS.to_vec());
        Some(Self { facts: TermFacts::default(), until: Instant::now() + ANSWER })
    }

    /// Takes an answer. What is known once it was the last.
    pub fn hear(&mut self, answer: &[u8]) -> Option<TermFacts> {
        if Instant::now() < self.until {
            note(&mut self.facts, answer);
        }
        self.facts.da1.is_some().then(|| std::mem::take(&mut self.facts))
    }

    /// Takes what is still to come, so that nobody else gets it for something that was typed.
    pub async fn drain(mut self, keys: &mut Keys, input: &mut Input) {
        let until = self.until.min(Instant::now() + LEAVING);
        while let Ok(Some(bytes)) = timeout_at(until, input.next()).await {
            for segment in keys.feed(&bytes) {
                if let Segment::Answer(answer) = segment
                    && self.hear(&answer).is_some()
                {
                    return;
                }
            }
        }
    }
}

/// Whether a terminal of this name reads what it is asked; the others may print it.
fn speaks(term: Option<&str>) -> bool {
    term.is_some_and(|term| !matches!(term, "" | "dumb" | "linux" | "vt52") && !term.starts_with("vt52"))
}

fn note(facts: &mut TermFacts, answer: &[u8]) {
    let Ok(text) = std::str::from_utf8(answer) else { return };
    if let Some(body) = text.strip_prefix("\x1b]") {
        let body = body.trim_end_matches(['\x07', '\\', '\x1b']);
        match body.split_once(';') {
            Some(("10", colour)) => facts.fg = Some(colour.to_owned()),
            Some(("11", colour)) => facts.bg = Some(colour.to_owned()),
            _ => {}
        }
        return;
    }
    let Some(body) = text.strip_prefix("\x1b[") else { return };
    if let Some(params) = body.strip_prefix('?').and_then(|body| body.strip_suffix('c')) {
        facts.da1 = Some(params.to_owned());
    } else if body.starts_with('?') && body.ends_with('u') {
        facts.kitty = Some(KEYBOARD_FLAGS);
    } else if let Some((height, width)) =
        body.strip_prefix("6;").and_then(|body| body.strip_suffix('t')).and_then(|body| body.split_once(';'))
        && let (Ok(width), Ok(height)) = (width.parse(), height.parse())
    {
        facts.cell_px = Some([width, height]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_facts() {
        let mut facts = TermFacts::default();
        for answer in [
            &b"\x1b]10;rgb:dcdc/dcdc/cccc\x1b\\"[..],
            b"\x1b]11;rgb:1e1e/2020/3030\x07",
            b"\x1b[?0u",
            b"\x1b[6;20;9t",
            b"\x1b[?62;22;52c",
            b"\x1b[8;24;80t",
            b"\x1b[>1;10;0c",
            b"\x1b]4;1;rgb:1/2/3\x07",
            b"\xff",
        ] {
            note(&mut facts, answer);
        }
        assert_eq!(facts.fg.as_deref(), Some("rgb:dcdc/dcdc/cccc"));
        assert_eq!(facts.bg.as_deref(), Some("rgb:1e1e/2020/3030"));
        assert_eq!((facts.kitty, facts.cell_px), (Some(31), Some([9, 20])));
        assert_eq!(facts.da1.as_deref(), Some("62;22;52"));
    }

    #[test]
    fn who_may_print_a_question_is_not_asked() {
        assert!(speaks(Some("xterm-256color")) && speaks(Some("tmux")));
        assert!(!speaks(None) && !speaks(Some("dumb")) && !speaks(Some("linux")));
    }
}
