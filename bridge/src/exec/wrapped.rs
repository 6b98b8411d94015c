//! A command whose beginning and end the typed line itself marks, for any shell.
//!
//! The line prints an invisible mark (an operating system command that no terminal knows) before and after the command,
//! the second with the exit code. What the shell echoes of the line holds the marks' *spelling*, never the marks, so
//! neither echo, prompts nor line wrapping matter:
//!
//! ```text
//!  printf '\033]7717;B;NONCE\033\134'; eval 'COMMAND'; printf '\033]7717;E;NONCE;%s\033\134' "$?"
//! ```
//!
//! A leading blank keeps it out of the history of shells that are asked to.

use std::time::Instant;

use baton_proto::api::ExecAnswer;
use uuid::Uuid;

use super::{OUTPUT_BYTES_MAX, QUIET, Run};
use crate::problem::Outcome;
use crate::tail::{Heard, Tail};

/// Which quoting a shell speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    Posix,
    Fish,
}

impl Shell {
    /// By the name of what runs in the foreground.
    fn of(command: &str) -> Self {
        let program = command.split_whitespace().next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default().trim_start_matches('-');
        if name == "fish" { Self::Fish } else { Self::Posix }
    }

    fn line(self, command: &str, nonce: &str) -> String {
        let (quoted, status) = match self {
            Self::Posix => (command.replace('\'', r"'\''"), r#""$?""#),
            Self::Fish => (command.replace('\\', r"\\").replace('\'', r"\'"), "$status"),
        };
        format!(
            r" printf '\033]7717;B;{nonce}\033\134'; eval '{quoted}'; printf '\033]7717;E;{nonce};%s\033\134' {status}"
        )
    }
}

/// Finds the marks in the output and keeps what is between them.
#[derive(Debug)]
struct Marks {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// Output not yet decided about: before the first mark its possible beginning, then everything since.
    kept: Vec<u8>,
    /// Offset of `kept`'s first byte.
    at: u64,
    begun: bool,
    begun_at: u64,
    searched: usize,
    truncated: bool,
}

/// What was between the marks.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    exit_code: Option<i32>,
    start: u64,
    end: u64,
}

impl Marks {
    fn new(nonce: &str, at: u64) -> Self {
        Self {
            begin: format!("\x1b]7717;B;{nonce}\x1b\\").into_bytes(),
            end: format!("\x1b]7717;E;{nonce};").into_bytes(),
            kept: Vec::new(),
            at,
            begun: false,
            begun_at: at,
            searched: 0,
            truncated: false,
        }
    }

    /// Takes output; something once the second mark was in it.
    fn feed(&mut self, at: u64, bytes: &[u8]) -> Option<Found> {
        if at != self.at + self.kept.len() as u64 {
            // Bytes in between are nowhere: what was kept does not continue here.
            self.truncated |= self.begun;
            self.kept.clear();
            self.searched = 0;
            self.at = at;
        }
        self.kept.extend_from_slice(bytes);
        if !self.begun {
            match find(&self.kept, &self.begin, 0) {
                Some(place) => {
                    self.forget(place + self.begin.len());
                    self.begun = true;
                    self.begun_at = self.at;
                }
                None => {
                    self.forget(self.kept.len().saturating_sub(self.begin.len() - 1));
                    return None;
                }
            }
        }
        let from = self.searched.saturating_sub(self.end.len() + 16);
        if let Some(place) = find(&self.kept, &self.end, from) {
            let code = &self.kept[place + self.end.len()..];
            if let Some(length) = code.iter().position(|byte| *byte == 0x1b) {
                let exit_code = std::str::from_utf8(&code[..length]).ok().and_then(|code| code.trim().parse().ok());
                let end = self.at + place as u64;
                self.kept.truncate(place);
                return Some(Found { exit_code, start: self.begun_at, end });
            }
            self.searched = place;
            return None;
        }
        self.searched = self.kept.len();
        if self.kept.len() > 2 * OUTPUT_BYTES_MAX {
            self.forget(self.kept.len() - OUTPUT_BYTES_MAX);
            self.truncated = true;
        }
        None
    }

    fn forget(&mut self, bytes: usize) {
        self.kept.drain(..bytes);
        self.at += bytes as u64;
        self.searched = self.searched.saturating_sub(bytes);
    }

    /// The newest of the output, and whether older output is left out.
    fn output(&self) -> (String, bool) {
        if !self.begun {
            return (String::new(), false);
        }
        let skip = self.kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        (String::from_utf8_lossy(&self.kept[skip..]).into_owned(), self.truncated || skip > 0)
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = haystack.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|place| from + place)
}

/// Runs the command. `foreground`: the command line of the shell.
pub(super) async fn run(run: &Run<'_>, foreground: &str) -> Outcome<ExecAnswer> {
    // A tab would ask for completion.
    let command = run.command.replace('\t', " ");
    // Long enough that output cannot hold it by chance, short enough that the typed line stays readable.
    let nonce = Uuid::new_v4().simple().to_string()[..12].to_owned();
    let mut tail = Tail::from_now(run.session).await?;
    let mut marks = Marks::new(&nonce, tail.offset());
    run.type_line(&Shell::of(foreground).line(&command, &nonce)).await?;
    let found = follow(run, &mut tail, &mut marks).await?;
    let (output, truncated) = marks.output();
    let ended = found.is_some();
    let found = found.unwrap_or(Found { exit_code: None, start: marks.begun_at, end: tail.offset() });
    Ok(ExecAnswer {
        exit_code: found.exit_code,
        output,
        cursor_start: run.session.cursor(found.start),
        cursor_end: run.session.cursor(found.end),
        truncated,
        timed_out: !ended,
    })
}

/// Waits for the second mark. `None`: the time is over.
async fn follow(run: &Run<'_>, tail: &mut Tail<'_>, marks: &mut Marks) -> Outcome<Option<Found>> {
    loop {
        match tail.next(run.pause(QUIET).await).await? {
            Heard::Mark(_) => {}
            Heard::Output(at, bytes) => {
                if let Some(found) = marks.feed(at, &bytes) {
                    return Ok(Some(found));
                }
            }
            Heard::Exit => {
                let code = tail.exit().and_then(|exit| exit.code);
                // `exit 3`: the command ended the shell itself.
                return Ok(Some(Found { exit_code: code, start: marks.begun_at, end: tail.offset() }));
            }
            Heard::Time if Instant::now() >= run.deadline => return Ok(None),
            Heard::Time => {
                // Back at the prompt without the second mark: interrupted, or a syntax error that ended the line. The
                // exit code is not known and not guessed.
                if marks.begun && run.session.inspect().await?.at_prompt && run.session.live().head == tail.offset() {
                    return Ok(Some(Found { exit_code: None, start: marks.begun_at, end: tail.offset() }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "$ printf '\\033]7717;B;n1\\033\\134'; eval 'ls'\r\n\x1b[?2004l\x1b]7717;B;n1\x1b\\a\r\nb\r\n\x1b]7717;E;n1;3\x1b\\$ ";

    fn expected() -> (Found, String) {
        let start = STREAM.find("a\r\nb").unwrap() as u64;
        (Found { exit_code: Some(3), start: start + 7, end: start + 7 + 6 }, "a\r\nb\r\n".to_owned())
    }

    proptest! {
        // However the stream is cut, the marks are found, and the echo of their spelling is not taken for them.
        #[test]
        fn output_between_the_marks_is_found(cuts in prop::collection::vec(0..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut marks = Marks::new("n1", 7);
            let mut found = None;
            for pair in cuts.windows(2) {
                if found.is_none() {
                    found = marks.feed(7 + pair[0] as u64, &STREAM.as_bytes()[pair[0]..pair[1]]);
                }
            }
            let (wanted, output) = expected();
            prop_assert_eq!(found, Some(wanted));
            prop_assert_eq!(marks.output(), (output, false));
        }
    }

    #[test]
    fn the_newest_output_is_kept_and_the_rest_said_to_be_missing() {
        let mut marks = Marks::new("n", 0);
        assert_eq!(marks.feed(0, b"\x1b]7717;B;n\x1b\\"), None);
        let mut at = 12;
        for _ in 0..40 {
            assert_eq!(marks.feed(at, &[b'x'; 100_000]), None);
            at += 100_000;
        }
        assert!(marks.kept.len() <= 2 * OUTPUT_BYTES_MAX + 100_000);
        let found = marks.feed(at, b"end\x1b]7717;E;n;0\x1b\\").unwrap();
        assert_eq!((found.exit_code, found.start, found.end), (Some(0), 12, at + 3));
        let (output, truncated) = marks.output();
        assert!(truncated && output.ends_with("xend") && output.len() == OUTPUT_BYTES_MAX);
    }

    #[test]
    fn commands_are_quoted_for_their_shell() {
        let line = Shell::of("-bash").line("echo 'a b' \\n", "N");
        assert!(line.starts_with(' ') && line.contains(r"eval 'echo '\''a b'\'' \n'") && line.ends_with(r#""$?""#));
        let line = Shell::of("/usr/bin/fish -l").line("echo 'a' \\n", "N");
        assert!(line.contains(r"eval 'echo \'a\' \\n'") && line.ends_with("$status"));
    }
}
