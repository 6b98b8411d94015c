//! Searching a session's output, as it was shown, through everything the journal keeps.
//!
//! ```text
//!   worker ── read_range, 1 MiB ──► records ──► stripper ──► lines ──► pattern ──► hits
//!             (the next one is on its way            on a thread for blocking work
//!              while this one is searched)
//! ```
//!
//! A search is bounded in CPU time and in the size of its answer; then `next_cursor` says where to go on. Two run at once, a
//! few more wait, the rest is refused: searching never takes more than two cores from those who type.

pub mod hostile;
mod searcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::SearchAnswer;
use baton_proto::ids::Cursor;
use regex::{Regex, RegexBuilder};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::recording::source;
use searcher::{Searcher, Wanted};

/// Most lines around a hit.
pub const CONTEXT_MAX: usize = 50;
/// Most hits of one answer.
pub const LIMIT_MAX: usize = 1000;
/// Hits of one answer when nothing is said.
pub const LIMIT_DEFAULT: usize = 100;
/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Bytes a compiled pattern may have. The time a line takes grows with it.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// Bytes its automaton may have.
const AUTOMATON_BYTES_MAX: usize = 2 << 20;
/// Output before the first place searched that is read too: its lines are context.
const LEAD_BYTES: u64 = 64 << 10;
/// CPU time of one request.
const CPU_MAX: Duration = Duration::from_secs(10);
/// Searches at once.
static PLACES: Semaphore = Semaphore::const_new(2);
/// Searches waiting for a place.
static WAITING: AtomicUsize = AtomicUsize::new(0);
const WAITING_MAX: usize = 16;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Query {
    /// Found in a line.
    pub pattern: Regex,
    /// Lines before and after each hit, at most [`CONTEXT_MAX`].
    pub context: usize,
    /// Most hits, from 1 to [`LIMIT_MAX`].
    pub limit: usize,
    /// Where to begin; none = the oldest line kept.
    pub cursor: Option<Cursor>,
    /// Output before this is not for who asks, as if it were no longer kept.
    pub floor: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The answer.
    pub answer: SearchAnswer,
    /// Where the first line begins that was not searched, or had not ended: a search from here finds what is new.
    pub resume: Cursor,
}

/// Compiles what is searched for: a text, or with `is_regex` a regular expression.
///
/// # Errors
/// `invalid` when it is empty, too long, no regular expression, or one that could take too long.
pub fn pattern(text: &str, is_regex: bool, ignore_case: bool) -> Outcome<Regex> {
    if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
        return Err(Failure::invalid(format!("`q` is a text of 1 to {PATTERN_BYTES_MAX} bytes")));
    }
    if !is_regex && text.chars().any(char::is_control) {
        return Err(Failure::invalid("`q` is looked for within a line: it has no control characters"));
    }
    let escaped = if is_regex { text.to_owned() } else { regex::escape(text) };
    RegexBuilder::new(&escaped)
        .case_insensitive(ignore_case)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .build()
        .map_err(|err| match err {
            regex::Error::CompiledTooBig(_) => Failure::invalid("`q` repeats too much: make it simpler"),
            err => Failure::invalid(format!("`q` is no regular expression: {err}")),
        })
}

/// Tells the thread that searches when nobody waits for it any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn place() -> Outcome<SemaphorePermit<'static>> {
    if let Ok(place) = PLACES.try_acquire() {
        return Ok(place);
    }
    let waiting = WAITING.fetch_add(1, Ordering::Relaxed);
    let _waiting = Waiting;
    if waiting < WAITING_MAX
        && let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, PLACES.acquire()).await
    {
        return Ok(place);
    }
    let failure = Failure::new(ErrorCode::RateLimited, "too many searches are under way; try again in a moment");
    Err(Failure { retry_after_s: Some(2), ..failure })
}

/// Searches what is kept up to the head of now, oldest line first.
///
/// # Errors
/// `cursor_trimmed` when the cursor's place is no longer kept, `invalid` when it was never reached; `rate_limited`;
/// `sessiond_down`.
pub async fn run(session: &Session, query: Query) -> Outcome<Found> {
    let inspection = session.inspect().await?;
    let (oldest, head) = (inspection.oldest.max(query.floor), inspection.head);
    let from = match query.cursor {
        Some(cursor) if cursor.instance != session.instance() => {
            return Err(trimmed(session, oldest, "this cursor is of an earlier life of the session's program"));
        }
        Some(cursor) if cursor.offset < oldest => {
            let detail = "this part of the output is no longer kept; begin at `oldest_cursor`";
            return Err(trimmed(session, oldest, detail));
        }
        Some(cursor) if cursor.offset > head => {
            return Err(Failure::invalid("`cursor` lies beyond the output so far"));
        }
        Some(cursor) => cursor.offset,
        None => oldest,
    };
    let _place = place().await?;
    let cancel = Cancel(Arc::default());
    let wanted = Wanted { pattern: query.pattern, context: query.context, limit: query.limit, from };
    let mut at = from.saturating_sub(LEAD_BYTES).max(oldest);
    let mut searcher = Searcher::new(at, wanted, session.instance(), Arc::clone(&cancel.0));
    let mut read = source::read(session, at).await;
    let (searcher, whole) = loop {
        let (range, records) = match read {
            Ok(answer) => answer,
            // Trimmed while it was searched: what is lost is lost, the search goes on behind it.
            Err(Failure { code: ErrorCode::CursorTrimmed, oldest: Some(oldest), .. }) if oldest.offset > at => {
                at = oldest.offset;
                searcher.skip_to(at);
                read = source::read(session, at).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let next = range.next;
        let more = next > at && next < head;
        at = next;
        let searching = tokio::task::spawn_blocking(move || {
            searcher.feed(&records, CPU_MAX);
            searcher.reach(next);
            searcher
        });
        let (searched, following) =
            tokio::join!(searching, async { if more { Some(source::read(session, next).await) } else { None } });
        searcher = searched.map_err(|err| Failure::new(ErrorCode::Internal, format!("the search broke off: {err}")))?;
        if searcher.is_over() {
            break (searcher, false);
        }
        match following {
            Some(following) => read = following,
            None => break (searcher, true),
        }
    };
    let (resume, lost) = (searcher.resume(), searcher.lost());
    let (items, next_cursor) = if whole { searcher.finish() } else { searcher.stop() };
    Ok(Found { answer: SearchAnswer { items, next_cursor, lost }, resume })
}

fn trimmed(session: &Session, oldest: u64, detail: &str) -> Failure {
    Failure { oldest: Some(session.cursor(oldest)), ..Failure::new(ErrorCode::CursorTrimmed, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked() {
        assert!(pattern("a.b", false, false).unwrap().is_match("xa.by"));
        assert!(!pattern("a.b", false, false).unwrap().is_match("axb"));
        assert!(pattern("^Ü+$", true, true).unwrap().is_match("üÜü"));
        for (bad, is_regex) in [("", false), ("a\nb", false), ("(", true), (r"(\w{100}){100}{100}", true)] {
            assert_eq!(pattern(bad, is_regex, false).unwrap_err().code, ErrorCode::Invalid, "{bad}");
        }
        assert!(pattern(&"x".repeat(PATTERN_BYTES_MAX + 1), false, false).is_err());
        assert!(pattern(&"x".repeat(PATTERN_BYTES_MAX), false, true).is_ok());
    }

    // The classic that takes backtracking engines for ever.
    #[test]
    fn a_pattern_takes_linear_time() {
        let nested = pattern(r"(a+)+(a|aa)*$", true, false).unwrap();
        let line = "a".repeat(60_000) + "b";
        let begun = std::time::Instant::now();
        assert!(!nested.is_match(&line));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
