//! Screens of the past, drawn on a thread that lives as long as somebody waits for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use baton_proto::ErrorCode;
use baton_proto::v1::{MouseMode, ScreenFormat, ScreenHeader, ScreenState};
use baton_screen::formats::text::TextOptions;
use baton_screen::formats::{html, json, text};
use baton_screen::marks::directory;
use baton_screen::view::Mouse;

use super::keyframes;
use super::playback::{Limit, Playback};
use super::reader::Reader;
use super::shared::{Drawing, Order, Report, Shared, Undrawn};
use super::tap::CHUNK_BYTES;
use crate::sys::give_back;
use crate::worker::journal::{Place, ReadError};

/// Most bytes of one answer: a hostile grid of 2000 by 2000 cells, each of another colour, has more.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Most cells of an answer in which each has a line of its own.
const CELLS_MAX: usize = 1 << 20;
/// Bytes of output that are gone through for lines above the screen, tried one after another until they hold enough.
const HISTORY_WINDOWS: [u64; 3] = [1 << 20, 4 << 20, 16 << 20];
/// How often a search for the oldest segment is begun again when that is retired meanwhile.
const ATTEMPTS: usize = 8;
const TITLE_BYTES_MAX: usize = 4096;

/// Starts the thread.
///
/// # Errors
/// What the kernel says.
pub fn spawn(shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("baton-drawer".to_owned()).stack_size(1 << 20).spawn(move || run(&shared))?;
    Ok(())
}

fn run(shared: &Shared) {
    let mut reader = Reader::new(&shared.dir, shared.instance);
    loop {
        let (order, tickets) = {
            let mut state = shared.state();
            let Some(order) = state.past.pop_front().filter(|_| !state.stops()) else {
                state.drawer_runs = false;
                break;
            };
            let same = |it: &Order| Order { ticket: order.ticket, ..*it } == order;
            let mut tickets = vec![order.ticket];
            tickets.extend(state.past.iter().filter(|it| same(it)).map(|it| it.ticket));
            state.past.retain(|it| !same(it));
            (order, tickets)
        };
        let drawn = catch_unwind(AssertUnwindSafe(|| draw(&mut reader, shared, &order)));
        let drawn = drawn.unwrap_or_else(|_| {
            tracing::error!("the screen's engine failed on a screen of the past");
            Err(super::tap::broken())
        });
        shared.report(Report::Drawn(tickets, drawn));
    }
    drop(reader);
    give_back();
}

fn draw(reader: &mut Reader, shared: &Shared, order: &Order) -> Result<Drawing, Undrawn> {
    let asked = order.limit.offset;
    if asked != u64::MAX {
        let oldest = oldest_screen(reader, shared).map_err(|err| undrawn(&err, None))?;
        if asked < oldest {
            return Err(undrawn(&ReadError::Trimmed, Some(oldest)));
        }
    }
    let drawn = play(reader, shared, order);
    drawn.map_err(|err| {
        let oldest = oldest_screen(reader, shared).ok();
        undrawn(&err, oldest)
    })?
}

fn undrawn(err: &ReadError, oldest: Option<u64>) -> Undrawn {
    match err {
        ReadError::Trimmed => Undrawn { oldest, ..Undrawn::trimmed(0) },
        ReadError::Io(err) => {
            Undrawn { code: ErrorCode::Internal, message: format!("the journal cannot be read: {err}"), oldest: None }
        }
    }
}

fn play(reader: &mut Reader, shared: &Shared, order: &Order) -> Result<Result<Drawing, Undrawn>, ReadError> {
    let mut playback = open_at(reader, shared, order.end, order.limit, 0)?;
    let mut start = playback.screen.offset();
    go(reader, shared, &mut playback, order)?;
    let lines = usize::try_from(order.history).unwrap_or(usize::MAX);
    let lines = lines.min(CELLS_MAX / usize::from(playback.screen.size().cols).max(1));
    for window in HISTORY_WINDOWS {
        if playback.screen.history() >= lines {
            break;
        }
        // From further back: the same screen, and more of what scrolled off its top.
        let from = Limit { offset: playback.screen.boundary().saturating_sub(window), ..order.limit };
        playback = open_at(reader, shared, order.end, from, lines)?;
        let same = std::mem::replace(&mut start, playback.screen.offset()) == start && window != HISTORY_WINDOWS[0];
        go(reader, shared, &mut playback, order)?;
        if same || start == 0 {
            break;
        }
    }
    Ok(finish(&playback, order.format, lines))
}

/// Goes on to the limit, or to the end.
fn go(reader: &mut Reader, shared: &Shared, playback: &mut Playback, order: &Order) -> Result<(), ReadError> {
    let Order { end, limit, head, .. } = *order;
    let mut seen = Vec::new();
    loop {
        let batch = match reader.read(playback.place, end, CHUNK_BYTES) {
            Ok(Some(batch)) => batch,
            Ok(None) => break,
            Err(ReadError::Trimmed) if playback.place.number >= shared.state().first => {
                // Not overtaken: a segment is not there. On with the next one, if that does not begin too late.
                let next = reader.first_head(playback.place.number + 1, end.number)?;
                let Some(next) = next.filter(|next| next.base < limit.offset) else { break };
                playback.jump(&next);
                continue;
            }
            Err(err) => return Err(err),
        };
        if playback.take(batch, limit, &mut seen) {
            return Ok(());
        }
        // Whatever was asked in the past was answered then, or never will be.
        seen.clear();
    }
    playback.lost_until(limit.offset.min(head));
    Ok(())
}

/// The screen at the newest keyframe within the limit; at the oldest byte kept if there is none.
///
/// # Errors
/// What the file system says.
pub fn open_at(
    reader: &mut Reader,
    shared: &Shared,
    end: Place,
    limit: Limit,
    history: usize,
) -> Result<Playback, ReadError> {
    let tag = shared.instance.tag();
    for _ in 0..ATTEMPTS {
        let first = shared.state().first;
        let newest = match reader.segment_of(first, end.number, limit.offset) {
            Ok(head) => head.number,
            Err(ReadError::Trimmed) => continue,
            Err(err) => return Err(err),
        };
        for number in (first..=newest).rev() {
            let entries = keyframes::entries(&shared.dir, tag, number);
            let fits = |it: &&keyframes::Entry| fits(&it.keyframe, limit) && it.keyframe.place <= end;
            for entry in entries.iter().rev().filter(fits) {
                if stands(reader, entry, end)
                    && let Some(bytes) = keyframes::load(&shared.dir, entry)
                {
                    return Ok(Playback::restore(&entry.keyframe, &bytes, history));
                }
            }
        }
        match reader.segment_of(first, end.number, 0) {
            Ok(head) => {
                let mut playback = Playback::begin(&head, history);
                playback.approximate |= reader.is_guessed(&head);
                return Ok(playback);
            }
            Err(ReadError::Trimmed) => {}
            Err(err) => return Err(err),
        }
    }
    Err(ReadError::Trimmed)
}

/// Whether a keyframe has nothing in it that is beyond the limit. Besides output that may be changes of size.
pub const fn fits(keyframe: &keyframes::Keyframe, limit: Limit) -> bool {
    let before_all = limit.offset == u64::MAX && limit.wall_us == u64::MAX;
    // Of two records at one offset the later may have come after the time asked for.
    let before = keyframe.offset < limit.offset || (keyframe.offset == limit.offset && limit.wall_us == u64::MAX);
    before_all || (before && keyframe.resizes_seen == 0)
}

/// Whether the journal goes on where a keyframe says.
fn stands(reader: &mut Reader, entry: &keyframes::Entry, end: Place) -> bool {
    match reader.read(entry.keyframe.place, end, 0) {
        Ok(Some(batch)) => batch.records().next().is_some_and(|record| record.header.at <= entry.keyframe.offset),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The oldest offset whose screen can be drawn. Without any keyframe that is the oldest byte: what can be seen of the rest is
/// better than nothing, and marked as approximate.
///
/// # Errors
/// What the file system says.
pub fn oldest_screen(reader: &mut Reader, shared: &Shared) -> Result<u64, ReadError> {
    for _ in 0..ATTEMPTS {
        let (first, end) = {
            let state = shared.state();
            (state.first, state.end)
        };
        let base = match reader.segment_of(first, end.number, 0) {
            Ok(head) => head.base,
            Err(ReadError::Trimmed) => continue,
            Err(err) => return Err(err),
        };
        if base == 0 {
            return Ok(0);
        }
        let tag = shared.instance.tag();
        let found = (first..=end.number).find_map(|number| {
            let entries = keyframes::entries(&shared.dir, tag, number);
            entries.first().map(|entry| entry.keyframe.offset)
        });
        return Ok(found.unwrap_or(base));
    }
    Err(ReadError::Trimmed)
}

/// Writes a screen down.
pub fn finish(playback: &Playback, format: ScreenFormat, history: usize) -> Result<Drawing, Undrawn> {
    let screen = &playback.screen;
    let size = screen.size();
    let cells = usize::from(size.cols) * usize::from(size.rows);
    let bytes = match format {
        ScreenFormat::Ansi => screen.snapshot(history),
        _ if cells > CELLS_MAX => return Err(too_large()),
        ScreenFormat::Text => text::text(&screen.view(history), TextOptions { join_wrapped: false }).into_bytes(),
        ScreenFormat::Html => html::html(&screen.view(history)).into_bytes(),
        ScreenFormat::Json => json::json(&screen.view(history)).map_err(|err| Undrawn {
            code: ErrorCode::Internal,
            message: format!("the screen cannot be written as JSON: {err}"),
            oldest: None,
        })?,
    };
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(too_large());
    }
    let header = ScreenHeader {
        offset: screen.boundary(),
        wall_us: playback.wall_us,
        cols: size.cols,
        rows: size.rows,
        last: true,
        approximate: playback.approximate,
    };
    Ok(Drawing { header, bytes: bytes.into() })
}

fn too_large() -> Undrawn {
    Undrawn {
        code: ErrorCode::TooLarge,
        message: "the screen is too large to be written in this form: ask for fewer lines, or for another form"
            .to_owned(),
        oldest: None,
    }
}

/// What the program has switched on; `host` is ours, directories of others mean nothing here.
pub fn state_of(playback: &Playback, host: &str) -> ScreenState {
    let modes = playback.screen.modes();
    ScreenState {
        offset: playback.screen.boundary(),
        alt_screen: modes.alt_screen,
        mouse: match modes.mouse {
            Mouse::None => MouseMode::None,
            Mouse::X10 => MouseMode::X10,
            Mouse::Clicks => MouseMode::Clicks,
            Mouse::Drags => MouseMode::Drags,
            Mouse::All => MouseMode::All,
        },
        focus_reports: modes.focus_reports,
        bracketed_paste: modes.bracketed_paste,
        application_cursor: modes.application_cursor,
        kitty_keyboard: u32::from(modes.kitty_keyboard),
        title: playback.screen.title().map(clipped),
        cwd: playback.screen.cwd().and_then(|told| directory(told.as_bytes(), host)).as_deref().map(clipped),
    }
}

/// At most as much text as a record may have.
pub fn clipped(text: &str) -> String {
    let mut end = text.len().min(TITLE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
