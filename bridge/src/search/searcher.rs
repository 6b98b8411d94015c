//! The search itself: journal records in, hits with their neighbourhood out. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_proto::api::SearchHit;
use baton_proto::frame::{Frame, Kind, OFFSET_MAX};
use baton_proto::ids::{Cursor, InstanceId};
use regex::Regex;

use crate::clock::rfc3339;
use crate::text::{Line, Stripper};

/// Most bytes of a hit's line, and of a line around it.
pub const LINE_BYTES_MAX: usize = 4 << 10;
/// Of a longer line, so many bytes before the first hit are shown.
const LEAD_BYTES: usize = 512;
/// Places named in one line.
const MATCHES_MAX: usize = 100;
/// Text in one answer; the page ends when there is more.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The clock is looked at each time so much text was searched.
const LOOK_BYTES: usize = 64 << 10;

/// What is searched for, and how much of it is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Found in a line.
    pub pattern: Regex,
    /// Lines before and after each hit.
    pub context: usize,
    /// Most hits.
    pub limit: usize,
    /// Only lines that end behind this offset count; those before it are context.
    pub from: u64,
}

/// How far a search came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It goes on.
    Searching,
    /// There are hits enough; only lines behind them are still wanted.
    Full,
    /// Nothing more is looked at.
    Over,
}

/// A search under way.
#[derive(Debug)]
pub struct Searcher {
    stripper: Stripper,
    finder: Finder,
    cpu: Duration,
    lost: u64,
}

#[derive(Debug)]
struct Finder {
    wanted: Wanted,
    instance: InstanceId,
    /// The newest lines, at most `wanted.context`.
    before: VecDeque<String>,
    /// Hits that still want lines behind them: the number of the first, and how many lines each of them has.
    open: VecDeque<usize>,
    first_open: usize,
    items: Vec<SearchHit>,
    answer_bytes: usize,
    progress: Progress,
    /// Where the next page begins.
    next: u64,
    /// When the record came that is read now.
    wall_us: u64,
    deadline: Instant,
    unlooked: usize,
    cancelled: Arc<AtomicBool>,
}

impl Searcher {
    /// Begins at an offset, for lines from `wanted.from` on. It ends early once `cancelled` is set.
    #[must_use]
    pub fn new(at: u64, wanted: Wanted, instance: InstanceId, cancelled: Arc<AtomicBool>) -> Self {
        let next = wanted.from;
        let finder = Finder {
            wanted,
            instance,
            before: VecDeque::new(),
            open: VecDeque::new(),
            first_open: 0,
            items: Vec::new(),
            answer_bytes: 0,
            progress: Progress::Searching,
            next,
            wall_us: 0,
            deadline: Instant::now(),
            unlooked: 0,
            cancelled,
        };
        Self { stripper: Stripper::new(at), finder, cpu: Duration::ZERO, lost: 0 }
    }

    /// Whether nothing more is looked at.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.finder.progress == Progress::Over
    }

    /// Searches whole journal records; `budget` bounds the time all calls may take together.
    pub fn feed(&mut self, records: &[u8], budget: Duration) {
        let begun = Instant::now();
        self.finder.deadline = begun + budget.saturating_sub(self.cpu);
        let mut rest = records;
        // What is no record is a hole: the next answer begins behind it.
        while let Ok(Some(frame)) = Frame::parse(rest) {
            rest = &rest[frame.total_bytes()..];
            if self.is_over() {
                break;
            }
            let is_output = matches!(frame.header.known_kind(), Some(Kind::Output | Kind::Stderr));
            if is_output && frame.header.at <= OFFSET_MAX && frame.header.is_intact(frame.payload) {
                self.output(frame.header.at, frame.header.wall_us, frame.payload);
            }
        }
        self.cpu += begun.elapsed();
    }

    fn output(&mut self, at: u64, wall_us: u64, payload: &[u8]) {
        if at > self.stripper.at() {
            self.skip_to(at);
        }
        let known = usize::try_from(self.stripper.at() - at).unwrap_or(usize::MAX);
        let mut new = payload.get(known..).unwrap_or_default();
        self.finder.wall_us = wall_us;
        // Lines begin where the search does: a cursor of an earlier page lies between two. What was read before is context.
        let until_from = self.finder.wanted.from.saturating_sub(self.stripper.at());
        if let Some((lead, searched)) =
            usize::try_from(until_from).ok().filter(|until| *until > 0).and_then(|until| new.split_at_checked(until))
        {
            self.stripper.feed(lead, &mut |line| self.finder.line(line));
            self.stripper.finish(&mut |line| self.finder.line(line));
            new = searched;
        }
        self.stripper.feed(new, &mut |line| self.finder.line(line));
    }

    /// Output up to this offset is nowhere.
    pub fn skip_to(&mut self, offset: u64) {
        let from = self.stripper.at().max(self.finder.wanted.from);
        self.stripper.skip_to(offset, &mut |line| self.finder.line(line));
        if self.finder.progress == Progress::Searching {
            self.finder.next = self.finder.next.max(offset);
        }
        // Otherwise the next page comes by here.
        if self.finder.next >= offset {
            self.lost += offset.saturating_sub(from);
        }
    }

    /// Everything up to this offset was fed: what of it was not, is nowhere.
    pub fn reach(&mut self, offset: u64) {
        if !self.is_over() && offset > self.stripper.at() {
            self.skip_to(offset);
        }
    }

    /// Bytes of output that could not be searched, up to where the next page begins.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Behind the last line that was searched and has ended.
    #[must_use]
    pub fn resume(&self) -> Cursor {
        Cursor { instance: self.finder.instance, offset: self.finder.next }
    }

    /// Nothing follows: the hits, and where the next page begins if the search stopped before the end.
    #[must_use]
    pub fn finish(mut self) -> (Vec<SearchHit>, Option<Cursor>) {
        self.stripper.finish(&mut |line| self.finder.line(line));
        let Finder { items, progress, next, instance, .. } = self.finder;
        let next = (progress != Progress::Searching).then_some(Cursor { instance, offset: next });
        (items, next)
    }

    /// Stops where it is.
    #[must_use]
    pub fn stop(self) -> (Vec<SearchHit>, Option<Cursor>) {
        let Finder { items, next, instance, .. } = self.finder;
        (items, Some(Cursor { instance, offset: next }))
    }
}

impl Finder {
    fn line(&mut self, line: Line<'_>) {
        if self.progress == Progress::Over {
            return;
        }
        self.surround(line.text);
        if self.progress == Progress::Searching && line.next > self.wanted.from {
            self.find(line);
            self.next = line.next;
            self.look_at_clock(line.text.len());
        }
        if self.progress == Progress::Full && self.open.is_empty() {
            self.progress = Progress::Over;
        }
        self.remember(line.text);
    }

    fn find(&mut self, line: Line<'_>) {
        let mut matches = self.wanted.pattern.find_iter(line.text);
        let Some(first) = matches.next() else { return };
        let begin = if line.text.len() > LINE_BYTES_MAX { first.start().saturating_sub(LEAD_BYTES) } else { 0 };
        let begin = boundary(line.text, begin);
        let shown = clipped(&line.text[begin..]);
        let place = |at: usize| u32::try_from(at.saturating_sub(begin).min(shown.len())).unwrap_or(u32::MAX);
        let places = std::iter::once(first)
            .chain(matches)
            .take_while(|found| found.start() <= begin + shown.len())
            .map(|found| [place(found.start()), place(found.end())])
            .filter(|[from, to]| from < to)
            .take(MATCHES_MAX)
            .collect();
        let before: Vec<String> = self.before.iter().cloned().collect();
        self.answer_bytes += shown.len() + before.iter().map(String::len).sum::<usize>();
        self.items.push(SearchHit {
            cursor: Cursor { instance: self.instance, offset: line.end },
            at: rfc3339(self.wall_us),
            line: shown.to_owned(),
            matches: places,
            before,
            after: Vec::new(),
        });
        if self.wanted.context > 0 {
            if self.open.is_empty() {
                self.first_open = self.items.len() - 1;
            }
            self.open.push_back(0);
        }
        if self.items.len() >= self.wanted.limit || self.answer_bytes >= ANSWER_BYTES_MAX {
            self.progress = Progress::Full;
        }
    }

    /// The line stands behind the hits that still want some.
    fn surround(&mut self, text: &str) {
        if self.open.is_empty() {
            return;
        }
        let shown = clipped(text);
        for (at, lines) in self.open.iter_mut().enumerate() {
            if let Some(hit) = self.items.get_mut(self.first_open + at) {
                hit.after.push(shown.to_owned());
                self.answer_bytes += shown.len();
            }
            *lines += 1;
        }
        while self.open.front().is_some_and(|lines| *lines >= self.wanted.context) {
            self.open.pop_front();
            self.first_open += 1;
        }
    }

    fn remember(&mut self, text: &str) {
        if self.wanted.context == 0 {
            return;
        }
        // Memory of the line that leaves is used again.
        let mut line = match self.before.len() >= self.wanted.context {
            true => self.before.pop_front().unwrap_or_default(),
            false => String::new(),
        };
        line.clear();
        line.push_str(clipped(text));
        self.before.push_back(line);
    }

    fn look_at_clock(&mut self, searched: usize) {
        // A line costs something even when it is empty.
        self.unlooked += searched + 64;
        if self.unlooked >= LOOK_BYTES {
            self.unlooked = 0;
            if self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline {
                self.progress = Progress::Over;
            }
        }
    }
}

/// What is shown of a line.
fn clipped(text: &str) -> &str {
    &text[..boundary(text, LINE_BYTES_MAX)]
}

/// The last place at or before this one at which a character begins.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::frame::Header;
    use proptest::prelude::*;
    use uuid::Uuid;

    const PLENTY: Duration = Duration::from_secs(600);

    fn wanted(pattern: &str, context: usize, limit: usize, from: u64) -> Wanted {
        Wanted { pattern: Regex::new(pattern).unwrap(), context, limit, from }
    }

    fn searcher(at: u64, wanted: Wanted) -> Searcher {
        Searcher::new(at, wanted, InstanceId::from_uuid(Uuid::nil()), Arc::default())
    }

    /// Records of these bytes, cut at the places; each is a second younger than the one before.
    fn records(at: u64, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
        cuts.extend((0..bytes.len()).step_by(60_000));
        cuts.sort_unstable();
        for (number, pair) in cuts.windows(2).enumerate().filter(|(_, pair)| pair[0] < pair[1]) {
            let payload = &bytes[pair[0]..pair[1]];
            let len = u32::try_from(payload.len()).unwrap();
            let header = Header {
                wall_us: number as u64 * 1_000_000,
                ..Header::message(Kind::Output, at + pair[0] as u64, len)
            };
            out.extend(header.sealed(payload).to_bytes());
            out.extend(payload);
        }
        out
    }

    fn search(bytes: &[u8], wanted: Wanted) -> (Vec<SearchHit>, Option<Cursor>) {
        let mut searcher = searcher(0, wanted);
        searcher.feed(&records(0, bytes, &[]), PLENTY);
        searcher.finish()
    }

    #[test]
    fn a_hit_has_its_place_its_neighbours_and_the_time() {
        let text = b"one\r\ntwo\r\n\x1b[31mthr\x1b[0mee three\r\nfour\r\nfive";
        let mut searcher = searcher(0, wanted("three", 2, 9, 0));
        searcher.feed(&records(0, text, &[20, 12]), PLENTY);
        let (items, next) = searcher.finish();
        assert_eq!((items.len(), next), (1, None));
        let hit = &items[0];
        assert_eq!((hit.line.as_str(), hit.cursor.offset), ("three three", 30));
        assert_eq!(hit.matches, [[0, 5], [6, 11]]);
        assert_eq!((hit.before.join(","), hit.after.join(",")), ("one,two".to_owned(), "four,five".to_owned()));
        assert_eq!(hit.at, "1970-01-01T00:00:02.000Z");
    }

    #[test]
    fn long_lines_are_shown_around_the_hit() {
        let line = format!("{}ä needle{}needle", "ü".repeat(9000), "x".repeat(9000));
        let (items, _) = search(line.as_bytes(), wanted("needle", 0, 9, 0));
        let hit = &items[0];
        assert!(hit.line.len() <= LINE_BYTES_MAX && hit.line.contains("ä needle"), "{}", hit.line.len());
        let [from, to] = hit.matches[0];
        assert_eq!((&hit.line[from as usize..to as usize], hit.matches.len()), ("needle", 1));
    }

    #[test]
    fn a_hole_and_a_damaged_record_end_the_line() {
        let mut journal = records(0, b"nee", &[]);
        journal.extend(records(3, b"dle\r\n", &[]));
        let damaged_at = journal.len() - 3;
        journal.extend(records(100, b"dle needle\r\n", &[]));
        let mut whole = searcher(0, wanted("needle", 1, 9, 0));
        whole.feed(&journal, PLENTY);
        assert_eq!(whole.finish().0.len(), 2);
        journal[damaged_at] ^= 1;
        let mut damaged = searcher(0, wanted("needle", 1, 9, 0));
        damaged.feed(&journal, PLENTY);
        let (items, _) = damaged.finish();
        assert_eq!((items.len(), items[0].line.as_str(), items[0].before[0].as_str()), (1, "dle needle", "nee"));
        let mut nonsense = searcher(0, wanted("x", 0, 9, 0));
        nonsense.feed(&[0xff; 300], PLENTY);
        assert_eq!(nonsense.finish(), (vec![], None));
    }

    #[test]
    fn a_page_is_bounded_in_bytes_and_in_time() {
        let line = format!("needle{}\r\n", "x".repeat(4000));
        let text = line.repeat(1000);
        let (items, next) = search(text.as_bytes(), wanted("needle", 50, 1000, 0));
        assert!(items.len() < 100 && next.is_some(), "{}", items.len());
        assert!(items.iter().all(|hit| hit.after.len() == 50));
        let mut late = searcher(0, wanted("absent", 0, 9, 0));
        late.feed(&records(0, text.as_bytes(), &[60_000]), Duration::ZERO);
        assert!(late.is_over());
        let (items, next) = late.stop();
        assert!(items.is_empty() && next.is_some_and(|next| next.offset > 0 && next.offset < text.len() as u64));
    }

    #[test]
    fn who_cancels_is_not_searched_for() {
        let cancelled = Arc::new(AtomicBool::new(true));
        let mut searcher = Searcher::new(0, wanted("x", 0, 9, 0), InstanceId::from_uuid(Uuid::nil()), cancelled);
        searcher.feed(&records(0, &b"x".repeat(200_000), &[]), PLENTY);
        searcher.feed(&records(200_000, &b"\n".repeat(10_000), &[]), PLENTY);
        assert!(searcher.is_over());
    }

    proptest! {
        // Page after page is the same as all at once, context included, wherever the records and the pages are cut.
        #[test]
        fn pages_are_the_whole(
            lines in prop::collection::vec("[ab]{0,3}(\r\n|\r|\x1b\\[31m|\x1b\\[2J|\x1b\\[5;9H)", 1..30),
            cuts in prop::collection::vec(any::<usize>(), 0..8), limit in 1usize..4, context in 0usize..3,
        ) {
            let text = lines.concat().into_bytes();
            let journal = records(0, &text, &cuts);
            let mut all = searcher(0, wanted("a", context, 1000, 0));
            all.feed(&journal, PLENTY);
            let (all, none) = all.finish();
            prop_assert_eq!(none, None);
            let (mut paged, mut from) = (Vec::new(), 0);
            loop {
                let mut page = searcher(0, wanted("a", context, limit, from));
                page.feed(&journal, PLENTY);
                let (items, next) = page.finish();
                prop_assert!(items.len() <= limit);
                paged.extend(items);
                match next {
                    Some(next) => { prop_assert!(next.offset > from); from = next.offset; }
                    None => break,
                }
            }
            prop_assert_eq!(paged, all);
        }
    }
}
