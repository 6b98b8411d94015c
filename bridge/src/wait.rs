//! `wait`: until any of several things has happened in a session.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{WaitAnswer, WaitRequest, WaitUntil};
use baton_proto::v1::MarkKind;
use regex::{Regex, RegexBuilder};

use crate::hub::marks;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::tail::{Heard, Tail, timeout};
use crate::text::{Line, Stripper};

/// Bytes a compiled pattern may have.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Output kept for a match that goes over a border.
const OVERLAP_BYTES: usize = 64 << 10;
/// Lines that are looked at together at most.
const LINES_BYTES_MAX: usize = 4 << 20;
/// How often the prompt is looked for while nothing is written.
const PROMPT_INTERVAL: Duration = Duration::from_millis(200);
/// After output the prompt is looked for once it has been quiet for so long.
const PROMPT_QUIET: Duration = Duration::from_millis(30);

/// Looks for a pattern in the text of a stream: lines as they are shown, without escape sequences, each ended by `\n`.
#[derive(Debug)]
struct Matcher {
    pattern: Regex,
    stripper: Stripper,
    /// The newest lines that have ended.
    lines: String,
}

impl Matcher {
    fn new(pattern: &str) -> Outcome<Self> {
        let pattern = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .multi_line(true)
            .build()
            .map_err(|err| Failure::invalid(format!("`pattern`: {err}")))?;
        Ok(Self { pattern, stripper: Stripper::default(), lines: String::new() })
    }

    /// Begins at this offset.
    fn begin_at(&mut self, offset: u64) {
        self.stripper = Stripper::new(offset);
    }

    /// Takes output; what matched, once something does.
    fn feed(&mut self, at: u64, bytes: &[u8]) -> Option<String> {
        let Self { pattern, stripper, lines } = self;
        let mut found = None;
        let mut sink = |line: Line<'_>| {
            lines.push_str(line.text);
            lines.push('\n');
            // A few bytes of output can repeat a character thousands of times.
            if lines.len() >= LINES_BYTES_MAX {
                found = found.take().or_else(|| look(pattern, lines));
                keep_newest(lines);
            }
        };
        if at > stripper.at() {
            stripper.skip_to(at, &mut sink);
        }
        stripper.feed(bytes, &mut sink);
        if found.is_some() {
            return found;
        }
        let ended = lines.len();
        lines.push_str(stripper.unfinished());
        let found = look(pattern, lines);
        lines.truncate(ended);
        keep_newest(lines);
        found
    }
}

fn look(pattern: &Regex, lines: &str) -> Option<String> {
    pattern.find(lines).map(|found| found.as_str().to_owned())
}

fn keep_newest(lines: &mut String) {
    let mut over = lines.len().saturating_sub(OVERLAP_BYTES);
    while !lines.is_char_boundary(over) {
        over += 1;
    }
    lines.drain(..over);
}

/// Conditions, checked.
struct Conditions {
    matcher: Option<Matcher>,
    exit: bool,
    idle: Option<Duration>,
    reach: Option<u64>,
    mark: Option<MarkKind>,
}

impl Conditions {
    fn new(until: &WaitUntil, reach: Option<u64>) -> Outcome<Self> {
        let matcher = until.pattern.as_deref().map(Matcher::new).transpose()?;
        let unknown = || {
            let kinds = "`prompt`, `command`, `command_end`, `bell`, `notification`, `title` or `cwd`";
            Failure::invalid(format!("`mark` is {kinds}"))
        };
        let mark = until.mark.as_deref().map(|mark| marks::kind(mark).ok_or_else(unknown)).transpose()?;
        let conditions = Self {
            reach: reach.filter(|_| matcher.is_none()),
            matcher,
            exit: until.exit == Some(true),
            idle: until.idle_ms.map(Duration::from_millis),
            mark,
        };
        let any = conditions.matcher.is_some()
            || conditions.exit
            || conditions.idle.is_some()
            || conditions.reach.is_some()
            || conditions.mark.is_some();
        if any { Ok(conditions) } else { Err(Failure::invalid("`until` needs at least one condition")) }
    }
}

/// Whether the conditions of a request are ones that can be waited for.
#[must_use]
pub(crate) fn is_answerable(request: &WaitRequest) -> bool {
    Conditions::new(&request.until, None).is_ok()
}

/// Waits.
///
/// # Errors
/// `invalid`; `cursor_trimmed` when `cursor` is no longer kept; `sessiond_down`.
pub async fn run(session: &Session, request: &WaitRequest) -> Outcome<WaitAnswer> {
    let until = &request.until;
    if until.cursor.is_some_and(|cursor| cursor.instance != session.instance()) {
        return Err(Failure::invalid("`cursor` is of another life of the session's program"));
    }
    let offset = until.cursor.map(|cursor| cursor.offset);
    let mut conditions = Conditions::new(until, offset)?;
    let deadline = Instant::now() + timeout(request.timeout_s)?;
    let mut tail = match offset.filter(|_| conditions.matcher.is_some()) {
        Some(offset) => {
            let tail = Tail::from_now(session).await?;
            let oldest = session.inspect().await?.oldest;
            if offset < oldest {
                let detail = "this part of the output is no longer kept; begin at `oldest_cursor`";
                let failure = Failure::new(ErrorCode::CursorTrimmed, detail);
                return Err(Failure { oldest: Some(session.cursor(oldest)), ..failure });
            }
            let offset = offset.min(tail.offset());
            drop(tail);
            Tail::from_offset(session, offset).await?
        }
        None => Tail::from_now(session).await?,
    };
    if let Some(matcher) = conditions.matcher.as_mut() {
        matcher.begin_at(tail.offset());
    }
    // A mark of output that was there already may be told only now.
    let begin = offset.unwrap_or_else(|| tail.offset());
    // A shell without integration makes no marks; that it waits for a line can be seen all the same.
    let prompt = conditions.mark == Some(MarkKind::Prompt);
    let mut quiet_since = Instant::now();
    let mut look_at = Instant::now();
    loop {
        if conditions.reach.is_some_and(|reach| session.live().head >= reach) {
            return Ok(answer(session, "cursor", None));
        }
        let now = Instant::now();
        if conditions.idle.is_some_and(|idle| now >= quiet_since + idle) {
            return Ok(answer(session, "idle", None));
        }
        if prompt && now >= look_at {
            let seen = session.inspect().await?;
            // The prompt itself may be on its way here: nobody is told of it before it can be seen.
            let is_here = session.live().head >= seen.head;
            if seen.at_prompt && is_here {
                return Ok(answer(session, "mark", None));
            }
            look_at = Instant::now() + if is_here { PROMPT_INTERVAL } else { PROMPT_QUIET };
        }
        if now >= deadline {
            return Ok(answer(session, "timeout", None));
        }
        let idle_at = conditions.idle.map(|idle| quiet_since + idle);
        let prompt_at = prompt.then_some(look_at);
        let wake = [Some(deadline), idle_at, prompt_at].into_iter().flatten().min().unwrap_or(deadline);
        match tail.next(wake).await? {
            Heard::Mark(mark) => {
                if conditions.mark == Some(mark.record.kind) && mark.record.offset > begin {
                    let text = Some(mark.record.text.clone()).filter(|text| !text.is_empty());
                    return Ok(answer(session, "mark", text));
                }
            }
            Heard::Output(at, bytes) => {
                quiet_since = Instant::now();
                look_at = look_at.min(quiet_since + PROMPT_QUIET);
                if let Some(text) = conditions.matcher.as_mut().and_then(|matcher| matcher.feed(at, &bytes)) {
                    return Ok(answer(session, "pattern", Some(text)));
                }
            }
            // Nothing else can happen any more: an end that nobody asked for is an answer too.
            Heard::Exit if !conditions.exit && conditions.idle.is_some() => {
                tokio::time::sleep_until(wake.into()).await;
            }
            Heard::Exit => return Ok(answer(session, "exit", None)),
            Heard::Time => {}
        }
    }
}

fn answer(session: &Session, matched: &str, text: Option<String>) -> WaitAnswer {
    let live = session.live();
    WaitAnswer {
        matched: matched.to_owned(),
        cursor: session.cursor(live.head),
        text,
        exit: live.exit.as_ref().filter(|_| matched == "exit").map(show::exit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds pieces one after the other; what matched, and in which piece.
    fn matches(pattern: &str, pieces: &[&[u8]]) -> Option<(usize, String)> {
        let mut matcher = Matcher::new(pattern).unwrap();
        let mut at = 7;
        matcher.begin_at(at);
        pieces.iter().enumerate().find_map(|(number, piece)| {
            let found = matcher.feed(at, piece);
            at += piece.len() as u64;
            found.map(|found| (number, found))
        })
    }

    #[test]
    fn a_pattern_is_found_over_borders() {
        let pieces: [&[u8]; 3] = [b"not yet\r\nready on ", b"port 80", b"80\r\n"];
        assert_eq!(matches("ready on port [0-9]{4}", &pieces), Some((2, "ready on port 8080".to_owned())));
        assert_eq!(matches("^ready on port [0-9]{4}$", &pieces), Some((2, "ready on port 8080".to_owned())));
        assert_eq!(matches("yet\\nready", &pieces), Some((0, "yet\nready".to_owned())));
    }

    #[test]
    fn what_is_matched_is_what_is_shown() {
        let coloured: [&[u8]; 2] = [b"\x1b[1mtests: \x1b[32", b"mpassed\x1b[0m in 3 s"];
        assert_eq!(matches("tests: passed in", &coloured), Some((1, "tests: passed in".to_owned())));
        assert_eq!(matches("32", &coloured), None, "a colour is no text");
        assert_eq!(matches("title", &[b"\x1b]0;title\x07$ "]), None);
        assert_eq!(matches(r"\$ $", &[b"done\r\n\x1b[?2004h$ "]), Some((0, "$ ".to_owned())), "a prompt has no end");
    }

    #[test]
    fn the_window_is_bounded_and_so_is_the_pattern() {
        let mut matcher = Matcher::new("needle").unwrap();
        let block = [b"ten bytes\n".repeat(5000)].concat();
        for number in 0..20 {
            assert_eq!(matcher.feed(number * 50_000, &block), None);
            assert!(matcher.lines.len() <= OVERLAP_BYTES);
        }
        assert!(Matcher::new("(").is_err());
        assert!(Matcher::new(r"(\w{100}){100}{100}").is_err());
    }

    #[test]
    fn a_wait_needs_a_condition() {
        assert!(Conditions::new(&WaitUntil::default(), None).is_err());
        assert!(Conditions::new(&WaitUntil::default(), Some(3)).is_ok());
        let mark = |mark: &str| WaitUntil { mark: Some(mark.to_owned()), ..WaitUntil::default() };
        assert_eq!(Conditions::new(&mark("bell"), None).unwrap().mark, Some(MarkKind::Bell));
        assert!(Conditions::new(&mark("lunch"), None).is_err());
    }
}
