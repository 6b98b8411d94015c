//! `baton search`: lines of a session's output, as grep shows them.

use std::io::{self, IsTerminal};
use std::ops::Range;

use baton_proto::api::{SearchAnswer, SearchHit};
use baton_proto::{Cursor, SessionId};

use crate::api::{Answer, Api, query_value, terminal};
use crate::args::SearchArgs;
use crate::context::Context;
use crate::moment;
use crate::names;
use crate::out;
use crate::report::{Report, clean_line};

/// Hits asked for at once.
const PAGE: usize = 500;
/// Hits printed as JSON when nothing is said.
const JSON_LIMIT: usize = 1000;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The text, or the regular expression.
    pub text: String,
    /// It is a regular expression.
    pub regex: bool,
    /// Case does not matter.
    pub ignore_case: bool,
    /// Lines around each hit.
    pub context: usize,
}

impl Pattern {
    /// One page of hits.
    pub async fn page(&self, api: &Api, id: SessionId, cursor: Option<Cursor>, limit: usize) -> Result<Page, Report> {
        let mut path = format!("{}?q={}&limit={limit}", terminal(id, "search"), query_value(&self.text));
        path.push_str(&format!("&context={}&regex={}", self.context, self.regex));
        if self.ignore_case {
            path.push_str("&case=ignore");
        }
        if let Some(cursor) = cursor {
            path.push_str(&format!("&cursor={cursor}"));
        }
        let what = "the output cannot be searched";
        let words = [("q", "PATTERN"), ("cursor", "--since"), ("context", "--context"), ("limit", "--limit")];
        let answer: Answer = api.get_raw(what, &path).await.map_err(|report| report.in_words(&words))?;
        let resume = answer.header("baton-cursor").and_then(|text| text.parse().ok());
        let answer: SearchAnswer = crate::api::decode(what, &answer.body)?;
        Ok(Page { answer, resume })
    }
}

/// A page of hits.
#[derive(Debug)]
pub struct Page {
    /// The hits.
    pub answer: SearchAnswer,
    /// Where the first line begins that had not ended.
    pub resume: Option<Cursor>,
}

/// Searches.
pub async fn run(context: &Context, args: &SearchArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name()).await?;
    let pattern = Pattern {
        text: args.pattern().to_owned(),
        regex: args.regex,
        ignore_case: args.ignore_case,
        context: args.context.unwrap_or(0),
    };
    let mut cursor = match args.since {
        Some(since) => since.since(&api, &session).await?,
        None => None,
    };
    let limit = args.limit.unwrap_or(if args.json { JSON_LIMIT } else { usize::MAX });
    let mut printer = Printer::new(pattern.context > 0);
    let mut all = SearchAnswer { items: Vec::new(), next_cursor: None, lost: 0 };
    let mut found = 0;
    loop {
        let page = pattern.page(&api, session.id, cursor, PAGE.min(limit - found)).await?.answer;
        found += page.items.len();
        all.next_cursor = page.next_cursor;
        all.lost += page.lost;
        if args.json {
            all.items.extend(page.items);
        } else {
            for hit in &page.items {
                printer.print(hit)?;
            }
        }
        match page.next_cursor {
            Some(next) if found < limit => cursor = Some(next),
            _ => break,
        }
    }
    if all.lost > 0 {
        out::remark(&format!("baton: {}", missing(all.lost)));
    }
    if args.json {
        out::json(&all)?;
    } else if all.next_cursor.is_some() {
        let lines = if found == 1 { "line" } else { "lines" };
        out::remark(&format!("baton: {found} {lines} shown; there may be more (--limit)"));
    }
    Ok(u8::from(found == 0))
}

/// What is said of output that is not there.
pub fn missing(bytes: u64) -> String {
    format!("{bytes} bytes of output are missing: they were never kept, or are damaged")
}

/// Prints hits.
#[derive(Debug)]
pub struct Printer {
    colours: bool,
    context: bool,
    begun: bool,
}

impl Printer {
    /// For stdout; with `context`, lines around the hits come too.
    pub fn new(context: bool) -> Self {
        Self { colours: io::stdout().is_terminal(), context, begun: false }
    }

    /// Prints a hit.
    pub fn print(&mut self, hit: &SearchHit) -> Result<(), Report> {
        let mut text = String::new();
        if self.context && std::mem::replace(&mut self.begun, true) {
            text.push_str("--\n");
        }
        let time = moment::local(&hit.at);
        let (dim, plain) = if self.colours { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        for line in &hit.before {
            text.push_str(&format!("{dim}{time}-{plain} {}\n", clean_line(line)));
        }
        text.push_str(&format!("{dim}{time}:{plain} {}\n", self.marked(hit)));
        for line in &hit.after {
            text.push_str(&format!("{dim}{time}-{plain} {}\n", clean_line(line)));
        }
        out::bytes(text.as_bytes())
    }

    fn marked(&self, hit: &SearchHit) -> String {
        if !self.colours {
            return clean_line(&hit.line);
        }
        let (mut text, mut at) = (String::new(), 0);
        for &[from, to] in &hit.matches {
            let place: Range<usize> = from as usize..to as usize;
            // What does not fit is of another version of the bridge: it is shown without marks.
            let (Some(before), Some(found)) = (hit.line.get(at..place.start), hit.line.get(place.clone())) else {
                break;
            };
            text.push_str(&format!("{}\x1b[1;31m{}\x1b[0m", clean_line(before), clean_line(found)));
            at = place.end;
        }
        text.push_str(&clean_line(hit.line.get(at..).unwrap_or_default()));
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn matches_are_marked_and_the_line_is_clean() {
        let hit = SearchHit {
            cursor: "ins_00000000000000000000000000000007:12".parse().unwrap(),
            at: "2026-11-21T12:00:00.000Z".to_owned(),
            line: "ä err\u{9b}or x error".to_owned(),
            matches: vec![[3, 10], [13, 18]],
            before: vec![],
            after: vec![],
        };
        let printer = |colours| Printer { colours, context: false, begun: false };
        assert_eq!(printer(false).marked(&hit), "ä err\\u{9b}or x error");
        assert_eq!(printer(true).marked(&hit), "ä \x1b[1;31merr\\u{9b}or\x1b[0m x \x1b[1;31merror\x1b[0m");
        let wrong = SearchHit { matches: vec![[1, 90]], ..hit };
        assert_eq!(printer(true).marked(&wrong), "ä err\\u{9b}or x error");
    }
}
