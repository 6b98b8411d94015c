//! A command in a shell that marks its prompts and commands (OSC 133): the plain line is typed, and the marks tell where
//! its output is and how it ended.
//!
//! A line that runs nothing is marked by nothing but the next prompt. Whether that was a comment or a line that the shell
//! could not read, only its words tell.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::ExecAnswer;
use baton_proto::v1::{ExitRecord, MarkKind};

use super::shell::Shell;
use super::{End, OUTPUT_BYTES_MAX, Part, QUIET, QUIET_MAX, Run, prompt, said};
use crate::problem::{Failure, Outcome};
use crate::routes::input::type_bytes;
use crate::tail::{Heard, Tail, read_output};

/// The shell waits for more of the line when it has begun nothing after so long.
const BEGINS_WITHIN: Duration = Duration::from_secs(1);
/// Back at its prompt for so long, a shell that has told no end of the command tells none.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// What the echo of a line and what the shell says about it have at most.
const LINE_BYTES_MAX: u64 = 256 << 10;

/// How far the command is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Its output begins here.
    began: Option<u64>,
    /// The status that the shell told before anything began.
    told: Option<i32>,
    /// The prompt that the shell went on to before anything began. The line ran nothing; or this is the end of what was there
    /// before, and the command is about to begin.
    passed: Option<u64>,
}

/// How a command ended: its exit code, where its output begins, and the offset behind it.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    exit_code: Option<i32>,
    start: u64,
    end: u64,
}

/// What became of the line.
#[derive(Debug)]
enum Became {
    /// The command's end was told.
    Ended(Ended),
    /// The shell has a prompt, and nothing of the line was run.
    Nothing(u64),
    /// It was run, and there is a prompt of which no mark tells.
    Back { replaced: bool },
    /// The session has ended.
    Exit,
    /// The time is over.
    Late,
}

impl Progress {
    fn mark(&mut self, kind: MarkKind, offset: u64, text: &str) -> Option<Ended> {
        match (kind, self.began) {
            (MarkKind::Command, None) => *self = Self { began: Some(offset), ..Self::default() },
            (MarkKind::CommandEnd, Some(start)) => {
                return Some(Ended { exit_code: text.parse().ok(), start, end: offset });
            }
            // The end was not told, and the next round has begun.
            (MarkKind::Prompt, Some(start)) => return Some(Ended { exit_code: None, start, end: offset }),
            (MarkKind::CommandEnd, None) => self.told = text.parse().ok(),
            (MarkKind::Prompt, None) => {
                self.passed.get_or_insert(offset);
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
    let became = follow(run, &mut tail, from, &mut progress).await?;
    let (end, part) = match became {
        Became::Ended(Ended { exit_code, start, end }) => {
            let mut part = newest(run, start, end).await?;
            part.bytes.truncate(said::end_of_command(&part.bytes, run.prompt.shell, cols(run)));
            let code = if keeps_status(run) { Some(0) } else { exit_code };
            let exit = if may_end_the_shell(run) { last_words(&mut tail).await? } else { None };
            (End { exit_code: code, exit, timed_out: false }, part)
        }
        Became::Nothing(until) => nothing(run, from, until, progress.told).await?,
        Became::Back { replaced } => {
            let mut part = newest(run, progress.began.unwrap_or(from), tail.offset()).await?;
            part.bytes.truncate(said::whole_lines(&part.bytes));
            (End::code(replaced.then_some(0)), part)
        }
        Became::Exit => {
            let start = match progress.began {
                Some(start) => start,
                None => beginning(run, from, tail.offset()).await?,
            };
            let mut part = newest(run, start, tail.offset()).await?;
            let end = said::end_of_command(&part.bytes, run.prompt.shell, cols(run));
            part.bytes.truncate(said::before_farewell(&part.bytes[..end], run.prompt.shell));
            (End::session(tail.exit()), part)
        }
        Became::Late => (End::timed_out(), newest(run, progress.began.unwrap_or(tail.offset()), tail.offset()).await?),
    };
    Ok(run.answer(end, &part))
}

/// fish tells of comments and of what runs in the background too, with the status of what was there before.
fn keeps_status(run: &Run<'_>) -> bool {
    let comment = run.command.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    run.prompt.shell == Shell::Fish && (comment || run.command.trim_end().ends_with('&'))
}

/// fish tells of the end of `exit` before its own.
fn may_end_the_shell(run: &Run<'_>) -> bool {
    let mut words = run.command.split(|char: char| !char.is_alphanumeric());
    words.any(|word| matches!(word, "exit" | "exec" | "logout"))
}

/// How the session ended, if it has no other prompt.
async fn last_words(tail: &mut Tail<'_>) -> Outcome<Option<ExitRecord>> {
    let until = Instant::now() + BEGINS_WITHIN;
    loop {
        match tail.next(until).await? {
            Heard::Mark(mark) if mark.record.kind == MarkKind::Prompt => return Ok(None),
            Heard::Mark(_) | Heard::Output(..) => {}
            Heard::Exit => return Ok(tail.exit()),
            Heard::Time => return Ok(None),
        }
    }
}

fn cols(run: &Run<'_>) -> usize {
    run.session.live().size.map_or(0, |size| usize::from(size.cols))
}

/// The newest output between two places, without what the shell writes before the command does.
async fn newest(run: &Run<'_>, start: u64, end: u64) -> Outcome<Part> {
    let start = start.min(end);
    let kept_from = start.max(end.saturating_sub(OUTPUT_BYTES_MAX as u64));
    let (first, mut bytes) = read_output(run.session, kept_from, end).await?;
    let skip = if first == start { said::start_of_command(&bytes, run.prompt.shell) } else { 0 };
    bytes.drain(..skip);
    Ok(Part { start: first + skip as u64, bytes, truncated: first > start })
}

/// What is to be said of a line that ran nothing.
async fn nothing(run: &Run<'_>, from: u64, until: u64, told: Option<i32>) -> Outcome<(End, Part)> {
    let (first, bytes) = read_output(run.session, from, until.min(from + LINE_BYTES_MAX)).await?;
    let nothing = Part { start: until, bytes: Vec::new(), truncated: false };
    let Some(place) = said::complaint(&bytes, run.prompt.shell, &run.prompt.foreground, cols(run)) else {
        // The status a shell tells is that of the command before.
        return Ok((End::code(Some(0)), nothing));
    };
    let code = told.filter(|code| *code != 0).unwrap_or(run.prompt.shell.syntax_error());
    let part = Part { start: first + place.start as u64, bytes: bytes[place].to_vec(), truncated: false };
    Ok((End::code(Some(code)), part))
}

/// Where the output begins of a command whose beginning the worker was not able to tell any more: nothing follows the end.
async fn beginning(run: &Run<'_>, from: u64, until: u64) -> Outcome<u64> {
    let (first, bytes) = read_output(run.session, from, until.min(from + LINE_BYTES_MAX)).await?;
    let place = said::behind_begin_mark(&bytes).or_else(|| said::behind_echo(&bytes));
    Ok(first + place.unwrap_or(bytes.len()) as u64)
}

/// Waits for the end.
async fn follow(run: &Run<'_>, tail: &mut Tail<'_>, from: u64, progress: &mut Progress) -> Outcome<Became> {
    let mut quiet_since = Instant::now();
    let mut quiet = QUIET;
    loop {
        match tail.next(run.pause(quiet).await).await? {
            Heard::Output(..) => (quiet_since, quiet) = (Instant::now(), QUIET),
            Heard::Mark(mark) => {
                (quiet_since, quiet) = (Instant::now(), QUIET);
                let record = &mark.record;
                if record.offset > from
                    && let Some(ended) = progress.mark(record.kind, record.offset, &record.text)
                {
                    return Ok(Became::Ended(ended));
                }
            }
            Heard::Exit => return Ok(Became::Exit),
            Heard::Time if Instant::now() >= run.deadline => return Ok(Became::Late),
            Heard::Time if quiet_since.elapsed() < QUIET => {}
            Heard::Time => {
                let Some(foreground) = prompt::is_back(run.session, tail.offset()).await? else {
                    quiet = (quiet * 2).min(QUIET_MAX);
                    continue;
                };
                // Every mark there is has come by now.
                if let Some(heard) = next_mark(tail, from, progress).await? {
                    return Ok(heard);
                }
                if let (None, Some(prompt)) = (progress.began, progress.passed) {
                    return Ok(Became::Nothing(prompt));
                }
                let replaced = progress.began.is_some() && run.is_replaced(&foreground);
                let patience = if progress.began.is_some() { ENDS_WITHIN } else { BEGINS_WITHIN };
                if !replaced && quiet_since.elapsed() < patience {
                    quiet = (quiet * 2).min(QUIET_MAX);
                    continue;
                }
                if progress.began.is_some() {
                    return Ok(Became::Back { replaced });
                }
                return give_up(run, tail, from).await;
            }
        }
    }
}

/// Takes the marks that wait.
async fn next_mark(tail: &mut Tail<'_>, from: u64, progress: &mut Progress) -> Outcome<Option<Became>> {
    loop {
        match tail.next(Instant::now()).await? {
            Heard::Mark(mark) if mark.record.offset > from => {
                let record = &mark.record;
                if let Some(ended) = progress.mark(record.kind, record.offset, &record.text) {
                    return Ok(Some(Became::Ended(ended)));
                }
            }
            Heard::Mark(_) | Heard::Output(..) => {}
            Heard::Exit => return Ok(Some(Became::Exit)),
            Heard::Time => return Ok(None),
        }
    }
}

/// The shell neither runs the line nor goes on to a prompt: it is taken back. fish says at once what is wrong with a line, and
/// keeps it to be mended; any other wants more of it.
async fn give_up(run: &Run<'_>, tail: &mut Tail<'_>, from: u64) -> Outcome<Became> {
    let until = tail.offset();
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
    let (_, bytes) = read_output(run.session, from, until.min(from + LINE_BYTES_MAX)).await?;
    if said::complaint(&bytes, run.prompt.shell, &run.prompt.foreground, cols(run)).is_some() {
        return Ok(Became::Nothing(until));
    }
    let detail = "the shell waits for more: `command` is not whole (a quote, a block or a here-document is open)";
    Err(Failure::new(ErrorCode::Invalid, detail))
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
        let ended = Ended { exit_code: Some(2), start: 10, end: 50 };
        assert_eq!(progress.mark(MarkKind::CommandEnd, 50, "2"), Some(ended));

        let mut syntax_error = Progress::default();
        assert_eq!(syntax_error.mark(MarkKind::CommandEnd, 10, "2"), None);
        assert_eq!(syntax_error.mark(MarkKind::Prompt, 12, ""), None);
        assert_eq!(syntax_error, Progress { began: None, told: Some(2), passed: Some(12) });
        // It was the end of what was there before.
        assert_eq!(syntax_error.mark(MarkKind::Command, 20, ""), None);
        assert_eq!(syntax_error, Progress { began: Some(20), told: None, passed: None });

        let mut untold = Progress::default();
        untold.mark(MarkKind::Command, 10, "");
        assert_eq!(untold.mark(MarkKind::Prompt, 20, ""), Some(Ended { exit_code: None, start: 10, end: 20 }));
    }
}
