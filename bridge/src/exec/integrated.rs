//! A command in a shell that marks its prompts and commands (OSC 133): the plain line is typed, and the marks tell where
//! its output is and how it ended.
//!
//! A line that runs nothing is marked by nothing but the next prompt. Whether that was a comment or a line that the shell
//! could not read, only its words tell.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::ExecAnswer;
use baton_proto::v1::MarkKind;

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
    /// The newest end that was told. Any program can write a mark: it counts once the shell is at its prompt again.
    ended: Option<Ended>,
    /// So was the prompt behind it.
    prompted: bool,
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
    /// It was run for all that is known, up to here: the shell marks nothing.
    Untold(u64),
    /// The session has ended.
    Exit,
    /// The time is over.
    Late,
}

impl Progress {
    fn mark(&mut self, kind: MarkKind, offset: u64, text: &str) {
        match (kind, self.began) {
            (MarkKind::Command, None) => *self = Self { began: Some(offset), ..Self::default() },
            (MarkKind::CommandEnd, Some(start)) => {
                self.ended = Some(Ended { exit_code: text.parse().ok(), start, end: offset });
            }
            (MarkKind::Prompt, Some(start)) => {
                // The end was not told, and the next round has begun.
                self.ended.get_or_insert(Ended { exit_code: None, start, end: offset });
                self.prompted = true;
            }
            (MarkKind::CommandEnd, None) => self.told = text.parse().ok(),
            (MarkKind::Prompt, None) => {
                self.passed.get_or_insert(offset);
            }
            _ => {}
        }
    }
}

/// Runs the command.
pub(super) async fn run(run: &Run<'_>) -> Outcome<ExecAnswer> {
    let mut tail = Tail::from_now(run.session).await?;
    let from = tail.offset();
    run.type_line(run.command).await?;
    let mut progress = Progress::default();
    let became = follow(run, &mut tail, from, &mut progress).await?;
    let (end, mut part) = match became {
        Became::Ended(Ended { exit_code, start, end }) => {
            let mut part = newest(run, start, end).await?;
            part.bytes.truncate(said::end_of_command(&part.bytes, run.prompt.shell, cols(run)));
            (End::code(if keeps_status(run) { Some(0) } else { exit_code }), part)
        }
        Became::Nothing(until) => nothing(run, from, until, progress.told).await?,
        Became::Back { replaced } => {
            let start = begin(run, from, tail.offset(), &progress).await?;
            let mut part = newest(run, start, tail.offset()).await?;
            part.bytes.truncate(said::whole_lines(&part.bytes));
            (End::code(replaced.then_some(0)), part)
        }
        Became::Untold(until) => {
            let start = begin(run, from, until, &progress).await?;
            let mut part = newest(run, start, until).await?;
            part.bytes.truncate(said::whole_lines(&part.bytes));
            (End::code(None), part)
        }
        Became::Exit => {
            let start = begin(run, from, tail.offset(), &progress).await?;
            let mut part = newest(run, start, tail.offset()).await?;
            let end = said::end_of_command(&part.bytes, run.prompt.shell, cols(run));
            part.bytes.truncate(said::before_farewell(&part.bytes[..end], run.prompt.shell));
            (End::session(tail.exit()), part)
        }
        Became::Late => (End::timed_out(), newest(run, progress.began.unwrap_or(tail.offset()), tail.offset()).await?),
    };
    part.marks = said::take_marks(&mut part.bytes);
    Ok(run.answer(end, &part))
}

/// fish tells of comments and of what runs in the background too, with the status of what was there before.
fn keeps_status(run: &Run<'_>) -> bool {
    let comment = run.command.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    run.prompt.shell == Shell::Fish && (comment || run.command.trim_end().ends_with('&'))
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
    Ok(Part { start: first + skip as u64, bytes, marks: 0, truncated: first > start })
}

/// What is to be said of a line that ran nothing.
async fn nothing(run: &Run<'_>, from: u64, until: u64, told: Option<i32>) -> Outcome<(End, Part)> {
    let (first, bytes) = read_output(run.session, from, until.min(from + LINE_BYTES_MAX)).await?;
    let nothing = Part { start: until, bytes: Vec::new(), marks: 0, truncated: false };
    let Some(place) = said::complaint(&bytes, run.prompt.shell, &run.prompt.foreground, cols(run)) else {
        // The status a shell tells is that of the command before.
        return Ok((End::code(Some(0)), nothing));
    };
    let code = told.filter(|code| *code != 0).unwrap_or(run.prompt.shell.syntax_error());
    let part = Part { start: first + place.start as u64, bytes: bytes[place].to_vec(), marks: 0, truncated: false };
    Ok((End::code(Some(code)), part))
}

/// Where the output begins, also of a command whose beginning was not told: nothing follows the end of a shell, and what is no
/// integration tells nothing.
async fn begin(run: &Run<'_>, from: u64, until: u64, progress: &Progress) -> Outcome<u64> {
    if let Some(start) = progress.began {
        return Ok(start);
    }
    let (first, bytes) = read_output(run.session, from, until.min(from + LINE_BYTES_MAX)).await?;
    let place = said::behind_begin_mark(&bytes).or_else(|| said::behind_echo(&bytes));
    Ok(first + place.unwrap_or(bytes.len()) as u64)
}

/// Waits for the end.
async fn follow(run: &Run<'_>, tail: &mut Tail<'_>, from: u64, progress: &mut Progress) -> Outcome<Became> {
    let mut quiet_since = Instant::now();
    let mut quiet = QUIET;
    let mut looked: Option<Instant> = None;
    loop {
        // The end and the prompt were told. Whoever told it: it is over when the shell waits for a line, whatever else is
        // written meanwhile.
        if progress.prompted && looked.is_none_or(|at| at.elapsed() >= prompt::PROMPT_INTERVAL) {
            looked = Some(Instant::now());
            if prompt::is_shown(run.session).await? {
                if hear_marks(tail, from, progress).await? {
                    return Ok(Became::Exit);
                }
                if let Some(ended) = progress.ended.take() {
                    return Ok(Became::Ended(ended));
                }
            }
        }
        let pause = if progress.prompted { prompt::PROMPT_INTERVAL } else { quiet };
        match tail.next(run.pause(pause).await).await? {
            Heard::Output(..) => (quiet_since, quiet) = (Instant::now(), QUIET),
            Heard::Mark(mark) => {
                (quiet_since, quiet) = (Instant::now(), QUIET);
                let record = &mark.record;
                if record.offset > from {
                    progress.mark(record.kind, record.offset, &record.text);
                }
            }
            Heard::Exit => return Ok(Became::Exit),
            Heard::Time if Instant::now() >= run.deadline => return Ok(Became::Late),
            Heard::Time if quiet_since.elapsed() < QUIET || progress.prompted => {}
            Heard::Time => {
                let Some(foreground) = prompt::is_back(run.session, tail.offset()).await? else {
                    quiet = (quiet * 2).min(QUIET_MAX);
                    continue;
                };
                // Every mark there is has come by now.
                if hear_marks(tail, from, progress).await? {
                    return Ok(Became::Exit);
                }
                if let Some(ended) = progress.ended.take() {
                    return Ok(Became::Ended(ended));
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

/// Takes the marks that wait. True when the session has ended.
async fn hear_marks(tail: &mut Tail<'_>, from: u64, progress: &mut Progress) -> Outcome<bool> {
    loop {
        match tail.next(Instant::now()).await? {
            Heard::Mark(mark) if mark.record.offset > from => {
                progress.mark(mark.record.kind, mark.record.offset, &mark.record.text);
            }
            Heard::Mark(_) | Heard::Output(..) => {}
            Heard::Exit => return Ok(true),
            Heard::Time => return Ok(false),
        }
    }
}

/// The shell neither runs the line nor goes on to a prompt: it is taken back. fish says at once what is wrong with a line, and
/// keeps it to be mended; any other wants more of it.
async fn give_up(run: &Run<'_>, tail: &mut Tail<'_>, from: u64) -> Outcome<Became> {
    let until = tail.offset();
    type_bytes(run.session, run.attached, run.epoch, b"\x03", run.permit).await?;
    // Whoever tries again finds the shell at its prompt.
    let back = Instant::now() + BEGINS_WITHIN;
    loop {
        match tail.next(back).await? {
            Heard::Mark(mark) if mark.record.kind == MarkKind::Prompt => break,
            Heard::Exit => return Ok(Became::Exit),
            // A shell that marks its prompts would have marked this one. What marked the last was something else, and the line
            // was run for all that is known.
            Heard::Time => return Ok(Became::Untold(until)),
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

    fn after(marks: &[(MarkKind, u64, &str)]) -> Progress {
        let mut progress = Progress::default();
        for (kind, offset, text) in marks {
            progress.mark(*kind, *offset, text);
        }
        progress
    }

    #[test]
    fn the_marks_of_one_round_are_followed() {
        use MarkKind::{Bell, Command, CommandEnd, Prompt};
        let told = after(&[(Bell, 9, ""), (Command, 10, "ls"), (Command, 11, "nested"), (CommandEnd, 50, "2")]);
        assert_eq!(told.ended, Some(Ended { exit_code: Some(2), start: 10, end: 50 }));
        assert!(!told.prompted, "it is over with the prompt");

        let syntax_error = after(&[(CommandEnd, 10, "2"), (Prompt, 12, "")]);
        assert_eq!(syntax_error, Progress { told: Some(2), passed: Some(12), ..Progress::default() });
        // It was the end of what was there before.
        let begun = after(&[(CommandEnd, 10, "2"), (Prompt, 12, ""), (Command, 20, "")]);
        assert_eq!(begun, Progress { began: Some(20), ..Progress::default() });

        let untold = after(&[(Command, 10, ""), (Prompt, 20, "")]);
        assert_eq!((untold.ended, untold.prompted), (Some(Ended { exit_code: None, start: 10, end: 20 }), true));
    }

    #[test]
    fn the_last_end_counts_whatever_a_program_wrote_before() {
        use MarkKind::{Command, CommandEnd, Prompt};
        let forged = after(&[(Command, 10, ""), (CommandEnd, 20, "0"), (Prompt, 30, ""), (CommandEnd, 40, "7")]);
        assert_eq!(forged.ended, Some(Ended { exit_code: Some(7), start: 10, end: 40 }));
    }
}
