//! A command whose beginning and end the typed line itself marks, for any shell.
//!
//! The line prints an invisible mark (an operating system command that no terminal knows) before and after the command,
//! the second with the exit code; [`super::shell`] writes it. What the shell echoes of the line holds the marks' *spelling*,
//! never the marks, so neither echo, prompts nor line wrapping matter.

use std::time::{Duration, Instant};

use baton_proto::api::ExecAnswer;
use uuid::Uuid;

use super::shell::Shell;
use super::{End, OUTPUT_BYTES_MAX, Part, QUIET, QUIET_MAX, Run, prompt, said};
use crate::problem::{Failure, Outcome};
use crate::tail::{Heard, Tail};

/// Back at its prompt for so long, the shell has given the line up: where it shows its prompt as it did before, and where that
/// might be a command that reads keys.
const SURE_AFTER: Duration = Duration::from_millis(500);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

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
            begin: format!("\x1b]7717;{nonce}\x07").into_bytes(),
            end: format!("\x1b]7717;{nonce};").into_bytes(),
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
            if let Some(length) = code.iter().position(|byte| *byte == 7) {
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

    /// The newest of the output between the marks.
    fn output(mut self) -> Part {
        if !self.begun {
            return Part { start: self.at + self.kept.len() as u64, bytes: Vec::new(), marks: 0, truncated: false };
        }
        let skip = self.kept.len().saturating_sub(OUTPUT_BYTES_MAX);
        self.forget(skip);
        Part { start: self.at, bytes: self.kept, marks: 0, truncated: self.truncated || skip > 0 }
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = haystack.get(from..)?;
    rest.windows(needle.len()).position(|window| window == needle).map(|place| from + place)
}

/// What became of the line.
#[derive(Debug)]
enum Became {
    Ended(Found),
    /// The shell is back at its prompt without the second mark.
    Back {
        replaced: bool,
    },
    Exit,
    Late,
}

/// Runs the command.
pub(super) async fn run(run: &Run<'_>) -> Outcome<ExecAnswer> {
    let shell = run.prompt.shell;
    let plain;
    let command = if shell == Shell::Plain {
        // A tab would ask for completion.
        plain = run.command.replace('\t', " ");
        plain.as_str()
    } else {
        run.command
    };
    // Long enough that output cannot hold it by chance, short enough that the typed line stays readable.
    let nonce = Uuid::new_v4().simple().to_string()[..8].to_owned();
    let line = shell.line(command, &nonce, run.prompt.end).ok_or_else(|| {
        Failure::invalid(
            "this shell can't be given the command as one line: join lines with `;`, or put it into a file",
        )
    })?;
    let mut tail = Tail::from_now(run.session).await?;
    let mut marks = Marks::new(&nonce, tail.offset());
    run.type_line(&line).await?;
    let became = follow(run, &mut tail, &mut marks).await?;
    let mut part = marks.output();
    let end = match became {
        Became::Ended(found) => End::code(found.exit_code),
        Became::Back { replaced } => {
            part.bytes.truncate(said::whole_lines(&part.bytes));
            End::code(replaced.then_some(0))
        }
        Became::Exit => {
            part.bytes.truncate(said::before_farewell(&part.bytes, shell));
            End::session(tail.exit())
        }
        Became::Late => End::timed_out(),
    };
    Ok(run.answer(end, &part))
}

/// Waits for the second mark.
async fn follow(run: &Run<'_>, tail: &mut Tail<'_>, marks: &mut Marks) -> Outcome<Became> {
    let mut quiet_since = Instant::now();
    let mut quiet = QUIET;
    loop {
        match tail.next(run.pause(quiet).await).await? {
            Heard::Mark(_) => {}
            Heard::Output(at, bytes) => {
                (quiet_since, quiet) = (Instant::now(), QUIET);
                if let Some(found) = marks.feed(at, &bytes) {
                    return Ok(Became::Ended(found));
                }
            }
            Heard::Exit => return Ok(Became::Exit),
            Heard::Time if Instant::now() >= run.deadline => return Ok(Became::Late),
            Heard::Time if !marks.begun || quiet_since.elapsed() < QUIET => {}
            Heard::Time => {
                // Back at the prompt without the second mark: another program in the shell's place, or the line was
                // interrupted. The exit code is not known then and not guessed.
                quiet = (quiet * 2).min(QUIET_MAX);
                let Some(foreground) = prompt::is_back(run.session, tail.offset()).await? else { continue };
                let replaced = run.is_replaced(&foreground);
                let same = run.prompt.paste && run.session.live().screen.bracketed_paste;
                let patience = if replaced || same { SURE_AFTER } else { GIVEN_UP_AFTER };
                if quiet_since.elapsed() >= patience {
                    return Ok(Became::Back { replaced });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str =
        "$ printf '\\e]7717;n1\\a';eval ' ls'\r\n\x1b[?2004l\x1b]7717;n1\x07a\r\nb\r\n\x1b]7717;n1;3\x07$ ";

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
            prop_assert_eq!(found.as_ref(), Some(&wanted));
            let part = marks.output();
            prop_assert_eq!((part.start, part.bytes, part.truncated), (wanted.start, output.into_bytes(), false));
        }
    }

    #[test]
    fn the_newest_output_is_kept_and_the_rest_said_to_be_missing() {
        let mut marks = Marks::new("n", 0);
        assert_eq!(marks.feed(0, b"\x1b]7717;n\x07"), None);
        let mut at = 9;
        for _ in 0..40 {
            assert_eq!(marks.feed(at, &[b'x'; 100_000]), None);
            at += 100_000;
        }
        assert!(marks.kept.len() <= 2 * OUTPUT_BYTES_MAX + 100_000);
        let found = marks.feed(at, b"end\x1b]7717;n;0\x07").unwrap();
        assert_eq!((found.exit_code, found.start, found.end), (Some(0), 9, at + 3));
        let part = marks.output();
        assert!(part.truncated && part.bytes.ends_with(b"xend") && part.bytes.len() == OUTPUT_BYTES_MAX);
        assert_eq!(part.start + OUTPUT_BYTES_MAX as u64, at + 3);
    }
}
