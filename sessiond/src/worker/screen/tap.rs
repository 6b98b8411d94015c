//! The tap: a thread that follows the output from behind, and ends when there is none.
//!
//! It reads the journal's files itself, so nothing it does or fails to do reaches the path of output. It answers queries, finds
//! marks, tells modes, draws the screen of the head, and leaves keyframes behind.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::v1::{Dimensions, MarkKind, ScreenState};
use baton_screen::{Facts, Seen, What};

use super::draw::{self, finish};
use super::keyframes::{self, Writer};
use super::marks::Marks;
use super::playback::{Limit, Playback};
use super::reader::{Batch, Reader};
use super::shared::{Order, Report, Shared, Ticket, Undrawn};
use crate::sys::give_back;
use crate::worker::journal::{Place, ReadError};

/// How long after the last output the engine is kept.
pub const PARK_AFTER: Duration = Duration::from_secs(2);
/// Bytes of journal read and fed at once.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Output between two keyframes; with one chunk more it is at most 1 MiB.
const KEYFRAME_BYTES: u64 = 768 << 10;
/// After so many panics in a row nothing is computed any more.
const PANICS_MAX: u32 = 3;
/// How long a title may wait for a newer one.
const SETTLE_AFTER: Duration = Duration::from_millis(100);
/// The engine goes no deeper than a few frames; the default of 2 MiB would only be address space.
const STACK_BYTES: usize = 1 << 20;

/// Starts the thread.
///
/// # Errors
/// What the kernel says.
pub fn spawn(shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("baton-screen".to_owned()).stack_size(STACK_BYTES).spawn(move || run(&shared))?;
    Ok(())
}

/// What is answered once output has broken the engine too often.
pub fn broken() -> Undrawn {
    let message = "the program's output breaks the screen's engine: the screen cannot be drawn, its bytes can be read";
    Undrawn { code: ErrorCode::Internal, message: message.to_owned(), oldest: None }
}

/// What is to be done if the engine breaks now.
#[derive(Debug, Default)]
struct Risk {
    /// Where to go on.
    behind: Option<Behind>,
    /// Whose screens were being drawn.
    serving: Vec<Ticket>,
    /// It took output since the last time.
    fed: bool,
}

/// Behind what is being fed.
#[derive(Debug, Clone, Copy)]
struct Behind {
    place: Place,
    offset: u64,
    size: Dimensions,
}

fn run(shared: &Shared) {
    let mut panics = 0;
    let mut resume = None;
    loop {
        let mut risk = Risk::default();
        if catch_unwind(AssertUnwindSafe(|| follow(shared, resume.take(), &mut risk))).is_ok() {
            give_back();
            return;
        }
        // In a row: with no output in between that it could take.
        panics = if risk.fed { 1 } else { panics + 1 };
        resume = risk.behind;
        tracing::error!(panics, "the screen's engine failed; the session goes on, its screen begins anew");
        let mut tickets = risk.serving;
        let given_up = panics >= PANICS_MAX;
        if given_up {
            let mut state = shared.state();
            state.broken = true;
            state.tap_runs = false;
            tickets.extend(state.heads.drain(..).map(|order| order.ticket));
        }
        if !tickets.is_empty() {
            shared.report(Report::Drawn(tickets, Err(broken())));
        }
        if given_up {
            return;
        }
    }
}

/// What is to be done next.
enum Task {
    Serve(Vec<Order>),
    Facts(Facts),
    Feed(Place),
    /// Output up to here was written, and cannot be read.
    Lost(u64),
    Settle,
    Park,
    Stop,
}

struct Tap<'a> {
    shared: &'a Shared,
    writer: Writer,
    marks: Marks,
    facts: Option<Facts>,
    told: Option<ScreenState>,
    /// Answers and marks up to here were given before.
    answered: u64,
    marked: u64,
    /// The offset of the newest keyframe that stays, and its segment.
    keyframe: Option<(u64, u32)>,
    /// What the newest keyframe is of.
    kept: Option<(u64, Place)>,
    /// Told already; not to be told with each keyframe.
    unwritable: bool,
    busy_until: Instant,
}

fn follow(shared: &Shared, resume: Option<Behind>, risk: &mut Risk) {
    let mut reader = Reader::new(&shared.dir, shared.instance);
    let state = shared.state();
    let (first, end) = (state.first, state.end);
    risk.behind = Some(Behind { place: end, offset: state.head, size: state.size });
    let mut tap = Tap {
        shared,
        writer: match shared.read_only {
            true => Writer::to_nowhere(&shared.dir, shared.instance.tag()),
            false => Writer::new(&shared.dir, shared.instance.tag()),
        },
        marks: Marks::default(),
        facts: None,
        told: None,
        answered: state.answered,
        marked: state.marked,
        keyframe: None,
        kept: None,
        unwritable: false,
        busy_until: Instant::now() + PARK_AFTER,
    };
    drop(state);
    if !shared.read_only {
        keyframes::forget_others(&shared.dir, first, end.number);
    }
    let mut playback = match resume {
        Some(Behind { place, offset, size }) => Playback::anew(size, place, offset),
        None => draw::open_at(&mut reader, shared, end, Limit::NONE, 0).unwrap_or_else(|err| {
            tracing::error!(error = %err, "the journal cannot be read back: the screen begins anew");
            let state = shared.state();
            Playback::anew(state.size, state.end, state.head)
        }),
    };
    playback.screen.set_host(&shared.host);
    tap.enter(playback.place.number);
    tap.tell_state(&playback);
    loop {
        match tap.next_task(&playback) {
            Task::Stop => return,
            Task::Facts(facts) => playback.screen.set_facts(facts),
            Task::Serve(orders) => tap.serve(&playback, &orders, risk),
            Task::Settle => tap.settle(),
            Task::Lost(offset) => playback.lost_until(offset),
            Task::Feed(end) => tap.feed(&mut reader, &mut playback, end, risk),
            Task::Park => {
                tap.settle();
                tap.keep(&playback, true);
                let mut state = shared.state();
                if playback.place >= state.end && state.heads.is_empty() {
                    state.tap_runs = false;
                    return;
                }
            }
        }
    }
}

impl Tap<'_> {
    fn next_task(&mut self, playback: &Playback) -> Task {
        let mut state = self.shared.state();
        let mut waited = false;
        loop {
            if state.stops() {
                return Task::Stop;
            }
            if state.facts != self.facts {
                self.facts.clone_from(&state.facts);
                if let Some(facts) = &self.facts {
                    return Task::Facts(facts.clone());
                }
            }
            if playback.place >= state.end && state.head > playback.screen.offset() {
                return Task::Lost(state.head);
            }
            if state.heads.iter().any(|order| order.end <= playback.place) {
                let (due, later): (VecDeque<Order>, VecDeque<Order>) =
                    state.heads.drain(..).partition(|order| order.end <= playback.place);
                state.heads = later;
                return Task::Serve(due.into());
            }
            if playback.place < state.end {
                return Task::Feed(state.end);
            }
            let now = Instant::now();
            if self.marks.holds() && waited {
                return Task::Settle;
            }
            if now >= self.busy_until {
                return Task::Park;
            }
            let rest = self.busy_until - now;
            let limit = if self.marks.holds() { rest.min(SETTLE_AFTER) } else { rest };
            state = self.shared.wait(state, limit);
            waited = true;
        }
    }

    fn feed(&mut self, reader: &mut Reader, playback: &mut Playback, end: Place, risk: &mut Risk) {
        self.busy_until = Instant::now() + PARK_AFTER;
        match reader.read(playback.place, end, CHUNK_BYTES) {
            Ok(Some(batch)) => {
                if batch.begin.number != playback.place.number {
                    playback.turn_to(batch.begin);
                    self.enter(batch.begin.number);
                    self.keep_if_due(playback);
                }
                risk.behind = Some(behind(batch, playback));
                let mut seen = Vec::new();
                playback.take(batch, Limit::NONE, &mut seen);
                risk.fed = true;
                self.tell(playback, seen);
                self.keep_if_due(playback);
            }
            Ok(None) => playback.turn_to(end),
            Err(ReadError::Trimmed) => {
                // Overtaken; or somebody has removed a file, and there is none to go on in.
                let first = self.shared.state().first.max(playback.place.number + 1);
                if let Ok(Some(head)) = reader.first_head(first, end.number) {
                    tracing::warn!("a part of the journal was gone before its screen was computed");
                    playback.jump(&head);
                    self.tell_state(playback);
                } else {
                    self.begin_anew(playback, &ReadError::Trimmed);
                }
            }
            Err(err) => self.begin_anew(playback, &err),
        }
    }

    /// What was to be read next is not there: goes on with what comes from now on.
    fn begin_anew(&mut self, playback: &mut Playback, err: &ReadError) {
        tracing::error!(error = %err, "the journal cannot be read back: the screen begins anew");
        let state = self.shared.state();
        let (size, place, head) = (state.size, state.end, state.head);
        drop(state);
        *playback = Playback::anew(size, place, head);
        playback.screen.set_host(&self.shared.host);
        self.facts = None;
        self.tell_state(playback);
    }

    /// Tells the loop what happened in the output.
    fn tell(&mut self, playback: &Playback, seen: Vec<(Seen, u64)>) {
        let mut marks = Vec::new();
        let mut changed = false;
        for (Seen { offset, what }, wall_us) in seen {
            match what {
                What::Reply(bytes) => {
                    if offset > self.answered {
                        self.shared.report(Report::Reply(offset, bytes));
                    }
                }
                What::Mark(kind, text) => {
                    changed |= matches!(kind, MarkKind::Title | MarkKind::Cwd);
                    self.marks.push((offset, kind, text), wall_us, &mut marks);
                }
                What::Modes => changed = true,
            }
        }
        self.tell_marks(marks);
        if changed {
            self.tell_state(playback);
        }
    }

    fn tell_marks(&self, marks: Vec<super::marks::Mark>) {
        for (offset, kind, text) in marks {
            if offset > self.marked {
                self.shared.report(Report::Mark(offset, kind, text));
            }
        }
    }

    /// The title that waited for a newer one is the newest.
    fn settle(&mut self) {
        let mut marks = Vec::new();
        self.marks.settle(&mut marks);
        self.tell_marks(marks);
    }

    fn tell_state(&mut self, playback: &Playback) {
        let state = draw::state_of(playback, &self.shared.host);
        let same = self.told.as_ref().is_some_and(|told| *told == ScreenState { offset: told.offset, ..state.clone() });
        if !same {
            self.told = Some(state.clone());
            self.shared.report(Report::State(Box::new(state)));
        }
    }

    fn serve(&mut self, playback: &Playback, orders: &[Order], risk: &mut Risk) {
        self.busy_until = Instant::now() + PARK_AFTER;
        risk.serving = orders.iter().map(|order| order.ticket).collect();
        let mut rest: Vec<Order> = orders.to_vec();
        while let Some(format) = rest.first().map(|order| order.format) {
            let (same, others): (Vec<Order>, Vec<Order>) = rest.into_iter().partition(|it| it.format == format);
            rest = others;
            let tickets = same.iter().map(|order| order.ticket).collect();
            self.shared.report(Report::Drawn(tickets, finish(playback, format, 0)));
            risk.serving = rest.iter().map(|order| order.ticket).collect();
        }
    }

    /// Another segment's keyframes are the newest now.
    fn enter(&mut self, number: u32) {
        match self.writer.fixed(number) {
            Ok(fixed) => self.keyframe = fixed.map(|offset| (offset, number)),
            Err(err) => self.not_kept(&err),
        }
    }

    fn keep_if_due(&mut self, playback: &Playback) {
        let next = playback.keyframe();
        let due = self.keyframe.is_none_or(|(offset, number)| {
            number != next.place.number || next.offset.saturating_sub(offset) >= KEYFRAME_BYTES
        });
        if due {
            self.keep(playback, false);
        }
    }

    /// Writes a keyframe.
    fn keep(&mut self, playback: &Playback, loose: bool) {
        let keyframe = playback.keyframe();
        let what = (keyframe.offset, keyframe.place);
        if self.kept == Some(what) {
            return;
        }
        let screen = playback.screen.snapshot(0);
        match self.writer.put(&keyframe, &screen, loose) {
            Ok(kept) => {
                self.unwritable = false;
                if kept && loose {
                    self.kept = Some(what);
                } else if !loose {
                    // Also one that was too large: the next is tried after as many bytes again.
                    self.kept = Some(what);
                    self.keyframe = Some((keyframe.offset, keyframe.place.number));
                }
            }
            Err(err) => {
                if !loose {
                    // Tried again after as many bytes: drawing a screen for nothing with each chunk is not free.
                    self.keyframe = Some((keyframe.offset, keyframe.place.number));
                }
                self.not_kept(&err);
            }
        }
    }

    fn not_kept(&mut self, err: &std::io::Error) {
        if !std::mem::replace(&mut self.unwritable, true) {
            tracing::warn!(error = %err, "keyframes cannot be written: screens of the past take longer to draw");
        }
    }
}

/// Where a batch ends.
fn behind(batch: Batch<'_>, playback: &Playback) -> Behind {
    let mut behind = Behind { place: batch.next, offset: playback.screen.offset(), size: playback.screen.size() };
    for record in batch.records() {
        match record.kind {
            baton_proto::frame::Kind::Output | baton_proto::frame::Kind::Stderr => {
                behind.offset = behind.offset.max(record.header.at + u64::from(record.header.len));
            }
            baton_proto::frame::Kind::Resize => {
                if let Ok(baton_proto::v1::ResizeRecord { cols, rows }) =
                    baton_proto::frame::read_body(record.kind, record.payload)
                {
                    behind.size = Dimensions { cols, rows };
                }
            }
            _ => {}
        }
    }
    behind
}
