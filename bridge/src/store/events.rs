//! The event log, bounded in rows.

use std::sync::Arc;

use baton_proto::api::{Event, Mark, Scope, Viewport};
use baton_proto::ids::SessionId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::clock;
use crate::events::Entry;
use crate::problem::Outcome;

/// Events kept.
pub const EVENTS_MAX: u64 = 100_000;

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    let scope = match row.get::<_, String>(1)?.as_str() {
        "session" => Scope::Session,
        "approval" => Scope::Approval,
        _ => Scope::System,
    };
    Ok(Event {
        seq: unsigned(row.get(0)?),
        scope,
        scope_id: row.get(2)?,
        kind: row.get(3)?,
        at: clock::rfc3339(unsigned(row.get(4)?)),
        data: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
    })
}

const fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Session => "session",
        Scope::Approval => "approval",
        Scope::System => "system",
    }
}

/// Adds events.
///
/// # Errors
/// What SQLite said.
pub fn insert(connection: &Connection, entries: &[Arc<Entry>]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for Entry { event, at_us, .. } in entries.iter().map(Arc::as_ref) {
        statement.execute(params![
            signed(event.seq),
            scope_text(event.scope),
            event.scope_id,
            event.kind,
            signed(*at_us),
            event.data.to_string()
        ])?;
    }
    Ok(())
}

/// Gives up the oldest; how many.
///
/// # Errors
/// What SQLite said.
pub fn cut(connection: &Connection, count: u64) -> rusqlite::Result<u64> {
    // By rows, not by numbers: those have holes between the lives of bridges.
    let oldest = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?1)";
    connection.prepare(oldest)?.execute([signed(count)]).map(|cut| cut as u64)
}

/// Events from the database, and what tells whether some before them are missing.
#[derive(Debug)]
pub struct EventPage {
    /// Whether the event with the cursor's number is there.
    pub knows_cursor: bool,
    /// The oldest event there is; 0 when there is none.
    pub oldest: u64,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// What a session told of itself, or what changed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A mark.
    Mark {
        /// What it says.
        mark: Mark,
        /// When it was told, microseconds since 1970.
        at_us: u64,
    },
    /// A new size.
    Resize {
        /// Which.
        size: Viewport,
        /// When, microseconds since 1970.
        at_us: u64,
    },
}

fn happening(row: &Row<'_>) -> rusqlite::Result<Option<Happening>> {
    let at_us = unsigned(row.get(1)?);
    let data: String = row.get(2)?;
    Ok(match row.get::<_, String>(0)?.as_str() {
        "mark" => serde_json::from_str(&data).ok().map(|mark| Happening::Mark { mark, at_us }),
        "resize" => serde_json::from_str(&data).ok().map(|size| Happening::Resize { size, at_us }),
        _ => None,
    })
}

/// Happenings that are looked through at most, the newest.
const HAPPENINGS_MAX: u32 = 5000;
/// Marks are told a moment after what stands around them.
const LATE_US: u64 = 5_000_000;

impl Store {
    /// The newest `seq` there is, 0 when there is none; and how many events.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_event(&self) -> Outcome<(u64, u64)> {
        self.read(|connection| {
            let newest = "SELECT coalesce(max(seq), 0), count(*) FROM events";
            connection.query_row(newest, [], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
        })
        .await
    }

    /// Events after `seq` up to another, oldest first.
    ///
    /// # Errors
    /// `internal`.
    pub async fn events_page(&self, seq: u64, upto: u64, limit: u32) -> Outcome<EventPage> {
        self.read(move |connection| {
            let exists = "SELECT 1 FROM events WHERE seq = ?1";
            let oldest = "SELECT coalesce(min(seq), 0) FROM events";
            let page = "SELECT seq, scope, scope_id, type, at_us, data FROM events
                        WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
            Ok(EventPage {
                knows_cursor: connection.prepare(exists)?.exists([signed(seq)])?,
                oldest: connection.prepare(oldest)?.query_row([], |row| row.get(0).map(unsigned))?,
                events: connection
                    .prepare(page)?
                    .query_map(params![signed(seq), signed(upto), limit], read)?
                    .collect::<rusqlite::Result<_>>()?,
            })
        })
        .await
    }

    /// Events after `seq`, oldest first; of one scope or of all, of one type or of all.
    ///
    /// # Errors
    /// `internal`.
    pub async fn events_after(
        &self,
        seq: u64,
        scope_id: Option<String>,
        kind: Option<String>,
        limit: u32,
    ) -> Outcome<Vec<Event>> {
        self.read(move |connection| {
            connection
                .prepare(
                    "SELECT seq, scope, scope_id, type, at_us, data FROM events
                     WHERE seq > ?1 AND (?2 IS NULL OR scope_id = ?2) AND (?3 IS NULL OR type = ?3)
                     ORDER BY seq LIMIT ?4",
                )?
                .query_map(params![signed(seq), scope_id, kind, limit], read)?
                .collect()
        })
        .await
    }

    /// What the newest mark event of a session says, and since when (microseconds since 1970) every event is kept: 0 when there
    /// never was one. The first is that a bridge started, before there is any session.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_mark(&self, id: SessionId) -> Outcome<(Option<serde_json::Value>, u64)> {
        self.read(move |connection| {
            let newest = "SELECT data FROM events WHERE scope_id = ?1 AND type = 'mark' ORDER BY seq DESC LIMIT 1";
            let data: Option<String> = connection.query_row(newest, [id.to_string()], |row| row.get(0)).optional()?;
            let oldest = "SELECT at_us FROM events ORDER BY seq LIMIT 1";
            let since_us: Option<i64> = connection.query_row(oldest, [], |row| row.get(0)).optional()?;
            Ok((data.and_then(|data| serde_json::from_str(&data).ok()), since_us.map_or(0, unsigned)))
        })
        .await
    }

    /// A session's marks and sizes since this time (microseconds since 1970), oldest first; before them the newest of each kind
    /// from before.
    ///
    /// # Errors
    /// `internal`.
    pub async fn happenings(&self, id: SessionId, since_us: u64) -> Outcome<Vec<Happening>> {
        self.read(move |connection| {
            let id = id.to_string();
            let since = signed(since_us.saturating_sub(LATE_US));
            let mut found = Vec::new();
            for (kind, marks) in [
                ("resize", "[]"),
                ("mark", r#"["cwd"]"#),
                ("mark", r#"["title"]"#),
                ("mark", r#"["command", "command_end", "prompt"]"#),
            ] {
                let newest = "SELECT type, at_us, data FROM events WHERE scope_id = ?1 AND type = ?2 AND at_us < ?3
                              AND (?2 = 'resize' OR json_extract(data, '$.kind') IN (SELECT value FROM json_each(?4)))
                              ORDER BY seq DESC LIMIT 1";
                let row = connection.query_row(newest, params![id, kind, since, marks], happening).optional()?;
                found.extend(row.flatten());
            }
            let later = "SELECT type, at_us, data FROM events WHERE scope_id = ?1 AND type IN ('mark', 'resize')
                         AND at_us >= ?2 ORDER BY seq DESC LIMIT ?3";
            let mut statement = connection.prepare(later)?;
            let rows = statement.query_map(params![id, since, HAPPENINGS_MAX], happening)?;
            let mut rows: Vec<Option<Happening>> = rows.collect::<rusqlite::Result<_>>()?;
            rows.reverse();
            found.extend(rows.into_iter().flatten());
            Ok(found)
        })
        .await
    }

    /// The directory that a session's shell told last, as far as the log reaches back.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_directory(&self, id: SessionId) -> Outcome<Option<String>> {
        self.read(move |connection| {
            let newest = "SELECT json_extract(data, '$.text') FROM events WHERE scope_id = ?1 AND type = 'mark'
                          AND json_extract(data, '$.kind') = 'cwd' ORDER BY seq DESC LIMIT 1";
            let text: Option<Option<String>> =
                connection.query_row(newest, [id.to_string()], |row| row.get(0)).optional()?;
            Ok(text.flatten())
        })
        .await
    }
}
