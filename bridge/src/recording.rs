//! Recordings: any range of a session as an asciicast, written while it is read.
//!
//! ```text
//!   worker ── read_range ──► source ──► records, each once ──► cast ──► lines of JSON ──► client
//!          ── snapshot ────► the screen the recording begins with, unless it begins with the session
//! ```
//!
//! Nothing is kept: a piece of the journal is asked for when the client has taken the piece before it.

pub mod cast;
pub mod hostile;
pub mod source;

use std::sync::Arc;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::Moment;
use baton_proto::frame::{Frame, Kind, OFFSET_MAX, read_body};
use baton_proto::v1::{
    Dimensions, ExitRecord, GapRecord, InputRecord, MarkKind, MarkRecord, ResizeRecord, ScreenAt, ScreenFormat,
    SnapshotRequest,
};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::hub::screens::Drawn;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use cast::{Cast, Facts, Version};
use source::{Next, Source};

/// `TERM` of every session.
const TERM: &str = "xterm-256color";
/// Recordings written at once: each keeps a piece of the journal and its JSON in memory while its client is slow.
static PLACES: Semaphore = Semaphore::const_new(16);
/// How often a followed session is looked at without being told of anything.
const LOOK: Duration = Duration::from_secs(1);

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Where it begins; none = with the oldest screen that can be drawn.
    pub from: Option<Moment>,
    /// Where it ends; none = the newest byte of now.
    pub to: Option<Moment>,
    /// Go on until the program ends; then `to` is none.
    pub follow: bool,
    /// Output before this is not for who asks, as if it were no longer kept; nor is any screen, which would show it, or what was
    /// typed.
    pub floor: Option<u64>,
    /// What was typed is for who asks, too.
    pub typed: bool,
    /// Longer pauses are shortened to this.
    pub idle_max: Option<Duration>,
    /// The version of the format.
    pub version: Version,
}

/// A recording that is being written.
#[derive(Debug)]
pub struct Recorder {
    session: Arc<Session>,
    _place: SemaphorePermit<'static>,
    source: Source,
    scribe: Scribe,
    follow: bool,
    screens: bool,
}

/// What turns records into events.
#[derive(Debug)]
struct Scribe {
    cast: Cast,
    /// Output bytes that were recorded.
    at: u64,
    /// Output from here on is not wanted.
    until: u64,
    size: Dimensions,
    wall_us: u64,
    /// Whether what was typed is told.
    typed: bool,
    over: bool,
}

impl Recorder {
    /// Makes everything ready; nothing that can be refused comes later. `title` is what the session is called.
    ///
    /// # Errors
    /// `cursor_trimmed`; `invalid` for a range that has no beginning or ends before it; `rate_limited`; `sessiond_down`.
    pub async fn begin(session: Arc<Session>, title: String, range: Range) -> Outcome<Self> {
        let place = PLACES.try_acquire().map_err(|_| {
            let failure =
                Failure::new(ErrorCode::RateLimited, "too many recordings are being written; try again later");
            Failure { retry_after_s: Some(5), ..failure }
        })?;
        let mut inspection = session.inspect().await?;
        inspection.oldest = inspection.oldest.max(range.floor.unwrap_or(0));
        let from = match range.from {
            None => inspection.oldest,
            Some(moment) => offset_of(&session, moment, "from").await?,
        };
        let until = match range.to {
            Some(moment) => offset_of(&session, moment, "to").await?,
            None if range.follow => u64::MAX,
            None => inspection.head,
        };
        if from < inspection.oldest {
            let detail = "this part of the output is no longer kept; begin at `oldest_cursor`";
            let failure = Failure::new(ErrorCode::CursorTrimmed, detail);
            return Err(Failure { oldest: Some(session.cursor(inspection.oldest)), ..failure });
        }
        if from > inspection.head || (until != u64::MAX && until > inspection.head) {
            return Err(Failure::invalid("`from` and `to` lie within the output so far"));
        }
        if from > until {
            return Err(Failure::invalid("`to` lies before `from`"));
        }
        let drawn = match range.floor {
            Some(_) => None,
            None => screen_at(&session, from, range.from.is_none()).await?,
        };
        // Without any screen, a range that begins with the journal is what the journal has.
        let begin = drawn.as_ref().map_or(from, |drawn| drawn.offset);
        let size = drawn.as_ref().map_or(inspection.size, |drawn| drawn.size);
        let mut source = Source::new(begin);
        let whole = is_whole(&session, range.follow);
        let first = source.next(&session).await?;
        let first_us = match &first {
            Next::Records(records) => first_wall_us(records, begin),
            _ => None,
        };
        let drawn_us = drawn.as_ref().map(|drawn| drawn.wall_us);
        let spec_us = session.entry().spec.created_us;
        let begin_us = match range.from {
            // What was on the screen then may have stood there for long.
            Some(Moment::Time(time_us)) => first_us.map_or(time_us, |first_us| time_us.min(first_us)),
            _ => first_us.or(drawn_us).unwrap_or(spec_us),
        };
        let command = session.entry().spec.command.join(" ");
        let facts = Facts { size, begin_us, title, command, term: TERM };
        let cast = Cast::new(range.version, range.idle_max, &facts);
        let typed = range.typed && range.floor.is_none();
        let mut scribe = Scribe { cast, at: begin, until, size, wall_us: begin_us, typed, over: false };
        if let Some(drawn) = drawn.filter(|_| begin > 0) {
            scribe.cast.output(begin_us, &drawn.payload());
        }
        let mut recorder =
            Self { session, _place: place, source, scribe, follow: range.follow, screens: range.floor.is_none() };
        recorder.write(first, whole).await?;
        Ok(recorder)
    }

    /// The recording, in pieces.
    pub fn stream(self) -> impl Stream<Item = Outcome<Bytes>> + Send + 'static {
        try_unfold(self, |mut recorder| async move {
            while recorder.scribe.cast.pending() == 0 {
                if recorder.scribe.over {
                    return Ok(None);
                }
                let whole = is_whole(&recorder.session, recorder.follow);
                let written = match recorder.source.next(&recorder.session).await {
                    Ok(next) => recorder.write(next, whole).await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = written {
                    // The client only sees that the body breaks off.
                    tracing::warn!(session = %recorder.session.id, "a recording broke off: {failure}");
                    return Err(failure);
                }
            }
            let piece = Bytes::from(recorder.scribe.cast.take());
            Ok(Some((piece, recorder)))
        })
    }

    /// Writes what comes next; `whole` is what [`is_whole`] said before it was read.
    async fn write(&mut self, next: Next, whole: bool) -> Outcome<()> {
        match next {
            Next::Records(records) => {
                // The place of the scribe while it is away on another thread is never looked at.
                let mut scribe = std::mem::replace(&mut self.scribe, Scribe::away());
                let writing = tokio::task::spawn_blocking(move || {
                    scribe.records(&records);
                    scribe
                });
                let broke = |err| Failure::new(ErrorCode::Internal, format!("the recording broke off: {err}"));
                self.scribe = writing.await.map_err(broke)?;
            }
            Next::Trimmed(behind) => {
                let before = self.scribe.at;
                self.scribe.gap(behind);
                // What follows would be drawn over a screen that is not the right one. One from before the hole is no better.
                let drawn = if self.screens { screen_at(&self.session, behind, true).await? } else { None };
                if let Some(drawn) = drawn.filter(|drawn| drawn.offset > before) {
                    self.scribe.screen(&drawn);
                    if drawn.offset > behind {
                        self.source = Source::new(drawn.offset);
                    }
                }
            }
            Next::Nothing => {
                if whole {
                    self.scribe.finish();
                } else {
                    self.wait().await;
                }
            }
        }
        Ok(())
    }

    /// Waits until there may be more.
    async fn wait(&mut self) {
        if let Ok(mut watching) = self.session.watch().await {
            if watching.subscription.feed.head() <= self.source.at {
                // Who misses a change looks again soon.
                drop(tokio::time::timeout(LOOK, watching.subscription.changed()).await);
            }
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Scribe {
    fn away() -> Self {
        let size = Dimensions { cols: 1, rows: 1 };
        let facts = Facts { size, begin_us: 0, title: String::new(), command: String::new(), term: TERM };
        Self { cast: Cast::new(Version::V3, None, &facts), at: 0, until: 0, size, wall_us: 0, typed: false, over: true }
    }

    fn records(&mut self, records: &[u8]) {
        let mut rest = records;
        while let Ok(Some(frame)) = Frame::parse(rest) {
            rest = &rest[frame.total_bytes()..];
            if self.over {
                return;
            }
            self.record(&frame);
        }
    }

    fn record(&mut self, frame: &Frame<'_>) {
        let Some(kind) = frame.header.known_kind() else { return };
        let (at, wall_us) = (frame.header.at, frame.header.wall_us);
        if at > OFFSET_MAX || !frame.header.is_intact(frame.payload) {
            // The output behind it tells how much is missing.
            return;
        }
        if at > self.until {
            self.gap(self.until);
            return self.finish();
        }
        self.wall_us = self.wall_us.max(wall_us);
        match kind {
            Kind::Output | Kind::Stderr => self.output(at, wall_us, frame.payload),
            Kind::Resize => {
                if let Ok(ResizeRecord { cols, rows }) = read_body(kind, frame.payload) {
                    self.resize(wall_us, Dimensions { cols, rows });
                }
            }
            Kind::InputMark if self.typed => {
                if let Ok(InputRecord { bytes: Some(bytes), .. }) = read_body(kind, frame.payload) {
                    self.cast.input(wall_us, &bytes);
                }
            }
            Kind::Mark => {
                if let Ok(mark) = read_body::<MarkRecord>(kind, frame.payload)
                    && let Some(label) = label(&mark)
                {
                    self.cast.marker(wall_us, &label);
                }
            }
            Kind::Gap => {
                if let Ok(GapRecord { lost }) = read_body(kind, frame.payload) {
                    self.gap(at.saturating_add(lost));
                }
            }
            Kind::Exit => {
                if let Ok(exit) = read_body::<ExitRecord>(kind, frame.payload)
                    && let Some(status) = exit.code.or(exit.signal.map(|signal| 128 + signal))
                {
                    self.cast.exit(wall_us, status);
                }
            }
            _ => {}
        }
    }

    fn output(&mut self, at: u64, wall_us: u64, payload: &[u8]) {
        if at > self.at {
            self.gap(at);
        }
        let from = usize::try_from(self.at - at.min(self.at)).unwrap_or(usize::MAX);
        let room = usize::try_from(self.until.saturating_sub(at)).unwrap_or(usize::MAX);
        let new = payload.get(from..payload.len().min(room)).unwrap_or_default();
        if !new.is_empty() {
            self.cast.output(wall_us, new);
            self.at += new.len() as u64;
        }
        if room < payload.len() {
            self.finish();
        }
    }

    fn resize(&mut self, wall_us: u64, size: Dimensions) {
        if size != self.size {
            self.size = size;
            self.cast.resize(wall_us, size);
        }
    }

    fn gap(&mut self, until: u64) {
        if until > self.at {
            self.cast.gap(self.wall_us, until - self.at);
            self.at = until;
        }
    }

    fn screen(&mut self, drawn: &Drawn) {
        self.gap(drawn.offset);
        self.resize(self.wall_us, drawn.size);
        self.cast.output(self.wall_us, &drawn.payload());
    }

    fn finish(&mut self) {
        self.cast.finish_output(self.wall_us);
        self.over = true;
    }
}

/// Whether a journal that now has nothing more will never have more of what is asked for.
///
/// To be looked at before the journal is read: a program that ends in between has written its last words behind what was
/// read.
fn is_whole(session: &Session, follow: bool) -> bool {
    !follow || session.has_ended()
}

/// What a marker says of a mark, if it is worth one.
fn label(mark: &MarkRecord) -> Option<String> {
    match mark.kind {
        MarkKind::Command | MarkKind::Prompt | MarkKind::Notification if !mark.text.is_empty() => {
            Some(mark.text.clone())
        }
        MarkKind::CommandEnd if !matches!(mark.text.as_str(), "" | "0") => Some(format!("exit {}", mark.text)),
        _ => None,
    }
}

/// When the first output from `begin` on came.
fn first_wall_us(records: &[u8], begin: u64) -> Option<u64> {
    let mut rest = records;
    while let Ok(Some(frame)) = Frame::parse(rest) {
        rest = &rest[frame.total_bytes()..];
        if frame.header.at.saturating_add(u64::from(frame.header.len)) > begin {
            return Some(frame.header.wall_us);
        }
    }
    None
}

async fn offset_of(session: &Session, moment: Moment, name: &str) -> Outcome<u64> {
    match moment {
        Moment::Cursor(cursor) if cursor.instance == session.instance() => Ok(cursor.offset),
        Moment::Cursor(_) => {
            let detail = format!("`{name}` is of an earlier life of the session's program");
            let oldest = Some(session.cursor(session.live().oldest));
            Err(Failure { oldest, ..Failure::new(ErrorCode::CursorTrimmed, detail) })
        }
        Moment::Time(wall_us) => Ok(session.locate(wall_us).await?.offset),
    }
}

/// The screen at an offset; with `or_later`, the oldest that can be drawn if that is later. None where none can.
async fn screen_at(session: &Session, offset: u64, or_later: bool) -> Outcome<Option<Drawn>> {
    let request = |offset| SnapshotRequest { at: ScreenAt::Offset(offset), format: ScreenFormat::Ansi, history: 0 };
    match session.snapshot(request(offset)).await {
        Ok(drawn) => Ok(Some(drawn)),
        Err(Failure { code: ErrorCode::CursorTrimmed, oldest: Some(oldest), .. })
            if or_later && oldest.offset > offset =>
        {
            session.snapshot(request(oldest.offset)).await.map(Some)
        }
        Err(failure) if failure.code == ErrorCode::SessiondDown => Err(failure),
        Err(failure) if or_later => {
            tracing::warn!(session = %session.id, offset, "a recording begins without a screen: {failure}");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
