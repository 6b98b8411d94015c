//! `wait`: until any of several things has happened in a session.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{WaitAnswer, WaitRequest, WaitUntil};
use regex::bytes::{Regex, RegexBuilder};

use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::tail::{Heard, Tail, timeout};

/// Bytes a compiled pattern may have.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Output kept for a match that goes over a border.
const OVERLAP_BYTES: usize = 64 << 10;
/// How often the prompt is looked for while nothing is written.
const PROMPT_INTERVAL: Duration = Duration::from_millis(200);
/// After output the prompt is looked for once it has been quiet for so long.
const PROMPT_QUIET: Duration = Duration::from_millis(30);

/// Looks for a pattern in a stream.
#[derive(Debug)]
struct Matcher {
    pattern: Regex,
    window: Vec<u8>,
}

impl Matcher {
    fn new(pattern: &str) -> Outcome<Self> {
        let pattern = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .multi_line(true)
            .build()
            .map_err(|err| Failure::invalid(format!("`pattern`: {err}")))?;
        Ok(Self { pattern, window: Vec::new() })
    }

    /// Takes output; what matched, once something does.
    fn feed(&mut self, bytes: &[u8]) -> Option<String> {
        self.window.extend_from_slice(bytes);
        if let Some(found) = self.pattern.find(&self.window) {
            return Some(String::from_utf8_lossy(found.as_bytes()).into_owned());
        }
        let over = self.window.len().saturating_sub(OVERLAP_BYTES);
        self.window.drain(..over);
        None
    }
}

/// Conditions, checked.
struct Conditions {
    matcher: Option<Matcher>,
    exit: bool,
    idle: Option<Duration>,
    reach: Option<u64>,
    prompt: bool,
}

impl Conditions {
    fn new(until: &WaitUntil, reach: Option<u64>) -> Outcome<Self> {
        let matcher = until.pattern.as_deref().map(Matcher::new).transpose()?;
        let prompt = match until.mark.as_deref() {
            None => false,
            Some("prompt") => true,
            Some(_) => return Err(Failure::invalid("`mark` is `prompt`")),
        };
        let conditions = Self {
            reach: reach.filter(|_| matcher.is_none()),
            matcher,
            exit: until.exit == Some(true),
            idle: until.idle_ms.map(Duration::from_millis),
            prompt,
        };
        let any = conditions.matcher.is_some()
            || conditions.exit
            || conditions.idle.is_some()
            || conditions.reach.is_some()
            || conditions.prompt;
        if any { Ok(conditions) } else { Err(Failure::invalid("`until` needs at least one condition")) }
    }
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
        if conditions.prompt && now >= look_at {
            if session.inspect().await?.at_prompt {
                return Ok(answer(session, "mark", None));
            }
            look_at = Instant::now() + PROMPT_INTERVAL;
        }
        if now >= deadline {
            return Ok(answer(session, "timeout", None));
        }
        let idle_at = conditions.idle.map(|idle| quiet_since + idle);
        let prompt_at = conditions.prompt.then_some(look_at);
        let wake = [Some(deadline), idle_at, prompt_at].into_iter().flatten().min().unwrap_or(deadline);
        match tail.next(wake).await? {
            Heard::Output(_, bytes) => {
                quiet_since = Instant::now();
                look_at = look_at.min(quiet_since + PROMPT_QUIET);
                if let Some(text) = conditions.matcher.as_mut().and_then(|matcher| matcher.feed(&bytes)) {
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

    #[test]
    fn a_pattern_is_found_over_borders() {
        let mut matcher = Matcher::new("ready on port [0-9]{4}").unwrap();
        assert_eq!(matcher.feed(b"not yet\r\nready on "), None);
        assert_eq!(matcher.feed(b"port 80"), None);
        assert_eq!(matcher.feed(b"80\r\n").as_deref(), Some("ready on port 8080"));
    }

    #[test]
    fn the_window_is_bounded_and_so_is_the_pattern() {
        let mut matcher = Matcher::new("needle").unwrap();
        for _ in 0..20 {
            assert_eq!(matcher.feed(&[b'.'; 50_000]), None);
            assert!(matcher.window.len() <= OVERLAP_BYTES);
        }
        assert!(Matcher::new("(").is_err());
        assert!(Matcher::new(r"(\w{100}){100}{100}").is_err());
    }

    #[test]
    fn a_wait_needs_a_condition() {
        assert!(Conditions::new(&WaitUntil::default(), None).is_err());
        assert!(Conditions::new(&WaitUntil::default(), Some(3)).is_ok());
        assert!(Conditions::new(&WaitUntil { mark: Some("bell".to_owned()), ..WaitUntil::default() }, None).is_err());
    }
}
