//! The event log, bounded in rows.

use baton_proto::api::{Event, Scope};
use baton_proto::ids::SessionId;
use rusqlite::{OptionalExtension as _, Row, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::clock;
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

impl Store {
    /// Appends an event.
    pub fn append_event(&self, event: &Event, at_us: u64) {
        let event = event.clone();
        self.write(move |connection| {
            connection.prepare("INSERT OR REPLACE INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                signed(event.seq),
                scope_text(event.scope),
                event.scope_id,
                event.kind,
                signed(at_us),
                event.data.to_string()
            ])?;
            Ok(())
        });
    }

    /// The newest `seq` there is, 0 when there is none.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_event(&self) -> Outcome<u64> {
        self.read(|connection| {
            connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0).map(unsigned))
        })
        .await
    }

    /// The oldest `seq` kept, 0 when there is none.
    ///
    /// # Errors
    /// `internal`.
    pub async fn oldest_event(&self) -> Outcome<u64> {
        self.read(|connection| {
            connection.query_row("SELECT coalesce(min(seq), 0) FROM events", [], |row| row.get(0).map(unsigned))
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

    /// What the newest mark event of a session says, and since when (microseconds since 1970) every event is kept: 0 when none
    /// was ever given up.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_mark(&self, id: SessionId) -> Outcome<(Option<serde_json::Value>, u64)> {
        self.read(move |connection| {
            let newest = "SELECT data FROM events WHERE scope_id = ?1 AND type = 'mark' ORDER BY seq DESC LIMIT 1";
            let data: Option<String> = connection.query_row(newest, [id.to_string()], |row| row.get(0)).optional()?;
            let oldest = "SELECT seq, at_us FROM events ORDER BY seq LIMIT 1";
            let oldest = connection.query_row(oldest, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            let since_us = oldest.filter(|(seq, _): &(i64, i64)| *seq > 1).map_or(0, |(_, at_us)| unsigned(at_us));
            Ok((data.and_then(|data| serde_json::from_str(&data).ok()), since_us))
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

    /// Keeps the newest events.
    pub fn prune_events(&self) {
        self.write(|connection| {
            connection
                .execute("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?1", [signed(EVENTS_MAX)])?;
            Ok(())
        });
    }
}
