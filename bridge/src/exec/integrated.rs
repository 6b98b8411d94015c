//! A command in a shell that marks its prompts and commands (OSC 133): the plain line is typed, and the marks tell where
//! its output is and how it ended.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::ExecAnswer;
use baton_proto::v1::MarkKind;

use super::{OUTPUT_BYTES_MAX, QUIET, Run};
use crate::problem::{Failure, Outcome};
use crate::routes::input::type_bytes;
use crate::tail::{Heard, Tail, read_output};

/// The shell waits for more of the line when it has begun nothing after so long.
const BEGINS_WITHIN: Duration = Duration::from_secs(1);
/// Back at its prompt for so long, a shell that has told no end of the command tells none. Marks are found behind the
/// output, so that this is longer than a flood takes to be looked through.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How the mark begins that the shell makes at a command's end.
const END_MARK: &[u8] = b"\x1b]133;D";

/// How far the command is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Its output begins here.
    began: Option<u64>,
    /// The shell went on to its prompt before anything began, with this status if it told one: the line was no command (a
    /// syntax error), or this is the end of what was there before, and the command is about to begin.
    passed: Option<Option<i32>>,
}

/// How a command ended: its exit code, where its output begins (if it ever began), and the offset behind it.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    exit_code: Option<i32>,
    start: Option<u64>,
    end: u64,
}

impl Progress {
    fn mark(&mut self, kind: MarkKind, offset: u64, text: &str) -> Option<Ended> {
        match (kind, self.began) {
            (MarkKind::Command, None) => *self = Self { began: Some(offset), passed: None },
            (MarkKind::CommandEnd, Some(_)) => {
                return Some(Ended { exit_code: text.parse().ok(), start: self.began, end: offset });
            }
            // The end was not told, and the next round has begun.
            (MarkKind::Prompt, Some(_)) => return Some(Ended { exit_code: None, start: self.began, end: offset }),
            (MarkKind::CommandEnd, None) => self.passed = Some(text.parse().ok()),
            (MarkKind::Prompt, None) => {
                self.passed.get_or_insert(None);
            }
            _ => {}
        }
        None
    }
}

/// Runs the command.
pub(super) async fn run(run: &Run<'_>) -> Outcome<ExecAnswer> {
    let mut tail = Tail::from_now(run.session).await?;
    let from = tail.offset();
    run.type_line(run.command).await?;
    let mut progress = Progress::default();
    let ended = follow(run, &mut tail, from, &mut progress).await?;
    let timed_out = ended.is_none();
    let ended = ended.unwrap_or(Ended { exit_code: None, start: progress.began, end: tail.offset() });
    let start = ended.start.unwrap_or(from).min(ended.end);
    let kept_from = start.max(ended.end.saturating_sub(OUTPUT_BYTES_MAX as u64));
    let (first, mut bytes) = read_output(run.session, kept_from, ended.end).await?;
    let mut end = first + bytes.len() as u64;
    if let Some(at) = end_mark(&bytes) {
        bytes.truncate(at);
        end = first + at as u64;
    }
    Ok(ExecAnswer {
        exit_code: ended.exit_code,
        output: String::from_utf8_lossy(&bytes).into_owned(),
        cursor_start: run.session.cursor(start),
        cursor_end: run.session.cursor(end),
        truncated: first > start,
        timed_out,
    })
}

/// Where the mark begins that ends the output.
fn end_mark(bytes: &[u8]) -> Option<usize> {
    const MARK_BYTES_MAX: usize = 4096;
    let near = bytes.len().saturating_sub(MARK_BYTES_MAX);
    let place = bytes[near..].windows(END_MARK.len()).rposition(|window| window == END_MARK)?;
    Some(near + place)
}

/// Waits for the end. `None`: the time is over.
async fn follow(run: &Run<'_>, tail: &mut Tail<'_>, from: u64, progress: &mut Progress) -> Outcome<Option<Ended>> {
    let mut quiet_since = Instant::now();
    loop {
        match tail.next(run.pause(QUIET).await).await? {
            Heard::Output(..) => quiet_since = Instant::now(),
            Heard::Mark(mark) => {
                quiet_since = Instant::now();
                let record = &mark.record;
                if record.offset > from
                    && let Some(ended) = progress.mark(record.kind, record.offset, &record.text)
                {
                    return Ok(Some(ended));
                }
            }
            Heard::Exit => {
                // `exit 3`: the command ended the shell itself.
                let exit_code = tail.exit().and_then(|exit| exit.code);
                return Ok(Some(Ended { exit_code, start: progress.began, end: tail.offset() }));
            }
            Heard::Time if Instant::now() >= run.deadline => return Ok(None),
            Heard::Time => {
                let patience = if progress.began.is_some() { ENDS_WITHIN } else { BEGINS_WITHIN };
                if quiet_since.elapsed() < patience || !run.session.inspect().await?.at_prompt {
                    continue;
                }
                if progress.began.is_some() || progress.passed.is_some() {
                    let exit_code = progress.passed.flatten();
                    return Ok(Some(Ended { exit_code, start: progress.began, end: tail.offset() }));
                }
                type_bytes(run.session, run.attached, run.epoch, b"\x03").await?;
                // Whoever tries again finds the shell at its prompt.
                let back = Instant::now() + BEGINS_WITHIN;
                loop {
                    match tail.next(back).await? {
                        Heard::Mark(mark) if mark.record.kind == MarkKind::Prompt => break,
                        Heard::Exit | Heard::Time => break,
                        Heard::Mark(_) | Heard::Output(..) => {}
                    }
                }
                let detail = "the shell waits for more: `command` is not a whole command (a quote or a block is open)";
                return Err(Failure::new(ErrorCode::Invalid, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_one_round_are_followed() {
        let mut progress = Progress::default();
        assert_eq!(progress.mark(MarkKind::Bell, 9, ""), None);
        assert_eq!(progress.mark(MarkKind::Command, 10, "ls"), None);
        assert_eq!(progress.mark(MarkKind::Command, 11, "nested"), None);
        let ended = Ended { exit_code: Some(2), start: Some(10), end: 50 };
        assert_eq!(progress.mark(MarkKind::CommandEnd, 50, "2"), Some(ended));

        let mut syntax_error = Progress::default();
        assert_eq!(syntax_error.mark(MarkKind::CommandEnd, 10, "2"), None);
        assert_eq!(syntax_error.mark(MarkKind::Prompt, 12, ""), None);
        assert_eq!(syntax_error, Progress { began: None, passed: Some(Some(2)) });
        // It was the end of what was there before.
        assert_eq!(syntax_error.mark(MarkKind::Command, 20, ""), None);
        assert_eq!(syntax_error, Progress { began: Some(20), passed: None });

        let mut untold = Progress::default();
        untold.mark(MarkKind::Command, 10, "");
        assert_eq!(untold.mark(MarkKind::Prompt, 20, ""), Some(Ended { exit_code: None, start: Some(10), end: 20 }));
    }

    #[test]
    fn the_mark_at_the_end_is_no_output() {
        assert_eq!(end_mark(b"a\r\n\x1b]133;D;0\x1b\\"), Some(3));
        assert_eq!(end_mark(b"\x1b]133;D\x07"), Some(0));
        assert_eq!(end_mark(b"plain"), None);
        let far = [END_MARK, &[b'x'; 5000]].concat();
        assert_eq!(end_mark(&far), None);
    }
}
