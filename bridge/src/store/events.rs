//! The event log, bounded in rows.
//!
//! What marks say (the line that a shell runs, a title, a directory) may hold what was asked for, and stands in no row in clear: in
//! the place of `text` is `sealed`. Without the install key such a mark is one without a text.

use std::sync::Arc;

use baton_proto::api::{Event, Mark, Scope, Viewport};
use baton_proto::ids::SessionId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::Store;
use super::sessions::{signed, unsigned};
use crate::approval::sealed::Seals;
use crate::clock;
use crate::events::Entry;
use crate::problem::Outcome;

/// Events kept.
pub const EVENTS_MAX: u64 = 100_000;

/// The field in the place of a mark's `text`.
const SEALED: &str = "sealed";
/// What has texts that are sealed.
const MARK: &str = "mark";

fn name(seq: u64) -> String {
    format!("event {seq}")
}

/// The data of an event as its row has it.
fn kept(event: &Event, seals: Option<&Seals>) -> String {
    if event.kind != MARK || event.data.get("text").is_none_or(Value::is_null) {
        return event.data.to_string();
    }
    let mut data = event.data.clone();
    if let Some(fields) = data.as_object_mut() {
        let text = fields.remove("text");
        let text = text.as_ref().and_then(Value::as_str);
        let sealed = text.zip(seals).and_then(|(text, seals)| seals.seal_text(&name(event.seq), text).ok());
        fields.extend(sealed.map(|sealed| (SEALED.to_owned(), sealed.into())));
    }
    data.to_string()
}

/// The data of an event of this number and type, as it was told.
fn told(seq: u64, kind: &str, data: &str, seals: Option<&Seals>) -> Value {
    let mut data: Value = serde_json::from_str(data).unwrap_or_default();
    if let Some(fields) = data.as_object_mut().filter(|_| kind == MARK)
        && let Some(sealed) = fields.remove(SEALED)
    {
        let text = sealed.as_str().zip(seals).and_then(|(sealed, seals)| seals.open_text(&name(seq), sealed));
        fields.extend(text.map(|text| ("text".to_owned(), text.into())));
    }
    data
}

fn read(row: &Row<'_>, seals: Option<&Seals>) -> rusqlite::Result<Event> {
    let seq = unsigned(row.get(0)?);
    let kind: String = row.get(3)?;
    let scope = match row.get::<_, String>(1)?.as_str() {
        "session" => Scope::Session,
        "approval" => Scope::Approval,
        _ => Scope::System,
    };
    Ok(Event {
        seq,
        scope,
        scope_id: row.get(2)?,
        data: told(seq, &kind, &row.get::<_, String>(5)?, seals),
        kind,
        at: clock::rfc3339(unsigned(row.get(4)?)),
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
pub fn insert(connection: &Connection, seals: Option<&Seals>, entries: &[Arc<Entry>]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for Entry { event, at_us, .. } in entries.iter().map(Arc::as_ref) {
        statement.execute(params![
            signed(event.seq),
            scope_text(event.scope),
            event.scope_id,
            event.kind,
            signed(*at_us),
            kept(event, seals)
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

fn happening(row: &Row<'_>, seals: Option<&Seals>) -> rusqlite::Result<Option<Happening>> {
    let at_us = unsigned(row.get(1)?);
    let kind: String = row.get(0)?;
    let data = told(unsigned(row.get(3)?), &kind, &row.get::<_, String>(2)?, seals);
    Ok(match kind.as_str() {
        MARK => serde_json::from_value(data).ok().map(|mark| Happening::Mark { mark, at_us }),
        "resize" => serde_json::from_value(data).ok().map(|size| Happening::Resize { size, at_us }),
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
        let seals = self.seals().cloned();
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
                    .query_map(params![signed(seq), signed(upto), limit], |row| read(row, seals.as_ref()))?
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
        let seals = self.seals().cloned();
        self.read(move |connection| {
            connection
                .prepare(
                    "SELECT seq, scope, scope_id, type, at_us, data FROM events
                     WHERE seq > ?1 AND (?2 IS NULL OR scope_id = ?2) AND (?3 IS NULL OR type = ?3)
                     ORDER BY seq LIMIT ?4",
                )?
                .query_map(params![signed(seq), scope_id, kind, limit], |row| read(row, seals.as_ref()))?
                .collect()
        })
        .await
    }

    /// What the newest mark event of a session says, and since when (microseconds since 1970) every event is kept: 0 when there
    /// never was one. The first is that a bridge started, before there is any session.
    ///
    /// # Errors
    /// `internal`.
    pub async fn newest_mark(&self, id: SessionId) -> Outcome<(Option<Value>, u64)> {
        let seals = self.seals().cloned();
        self.read(move |connection| {
            let newest = "SELECT seq, data FROM events WHERE scope_id = ?1 AND type = 'mark' ORDER BY seq DESC LIMIT 1";
            let data = connection.query_row(newest, [id.to_string()], |row| {
                Ok(told(unsigned(row.get(0)?), MARK, &row.get::<_, String>(1)?, seals.as_ref()))
            });
            let data = data.optional()?;
            let oldest = "SELECT at_us FROM events ORDER BY seq LIMIT 1";
            let since_us: Option<i64> = connection.query_row(oldest, [], |row| row.get(0)).optional()?;
            Ok((data, since_us.map_or(0, unsigned)))
        })
        .await
    }

    /// Whether the newest that is kept of a session's life says that it lives.
    ///
    /// # Errors
    /// `internal`.
    pub async fn was_living(&self, id: SessionId) -> Outcome<bool> {
        self.read(move |connection| {
            let newest =
                "SELECT type = 'status' AND json_extract(data, '$.status') IN ('starting', 'running') FROM events
                          WHERE scope_id = ?1 AND type IN ('status', 'exit') ORDER BY seq DESC LIMIT 1";
            Ok(connection.query_row(newest, [id.to_string()], |row| row.get(0)).optional()?.unwrap_or(false))
        })
        .await
    }

    /// A session's marks and sizes since this time (microseconds since 1970), oldest first; before them the newest of each kind
    /// from before.
    ///
    /// # Errors
    /// `internal`.
    pub async fn happenings(&self, id: SessionId, since_us: u64) -> Outcome<Vec<Happening>> {
        let seals = self.seals().cloned();
        self.read(move |connection| {
            let id = id.to_string();
            let happening = |row: &Row<'_>| happening(row, seals.as_ref());
            let since = signed(since_us.saturating_sub(LATE_US));
            let mut found = Vec::new();
            for (kind, marks) in [
                ("resize", "[]"),
                ("mark", r#"["cwd"]"#),
                ("mark", r#"["title"]"#),
                ("mark", r#"["command", "command_end", "prompt"]"#),
            ] {
                let newest =
                    "SELECT type, at_us, data, seq FROM events WHERE scope_id = ?1 AND type = ?2 AND at_us < ?3
                              AND (?2 = 'resize' OR json_extract(data, '$.kind') IN (SELECT value FROM json_each(?4)))
                              ORDER BY seq DESC LIMIT 1";
                let row = connection.query_row(newest, params![id, kind, since, marks], happening).optional()?;
                found.extend(row.flatten());
            }
            let later = "SELECT type, at_us, data, seq FROM events WHERE scope_id = ?1 AND type IN ('mark', 'resize')
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
        let seals = self.seals().cloned();
        self.read(move |connection| {
            let newest = "SELECT seq, data FROM events WHERE scope_id = ?1 AND type = 'mark'
                          AND json_extract(data, '$.kind') = 'cwd' ORDER BY seq DESC LIMIT 1";
            let data = connection.query_row(newest, [id.to_string()], |row| {
                Ok(told(unsigned(row.get(0)?), MARK, &row.get::<_, String>(1)?, seals.as_ref()))
            });
            Ok(data.optional()?.and_then(|data| data.get("text")?.as_str().map(str::to_owned)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EventLog;

    #[tokio::test]
    async fn what_a_mark_says_is_read_with_the_key_and_by_nobody_else() {
        let path = tempfile::tempdir().unwrap().keep().join("db");
        let id = SessionId::from_uuid(uuid::Uuid::from_u128(7));
        let open = |key: u8| Store::open(&path).sealing(Some(Seals::of(&[key; 32])));
        let cursor = baton_proto::ids::Cursor {
            instance: baton_proto::ids::InstanceId::from_uuid(uuid::Uuid::from_u128(1)),
            offset: 5,
        };
        let store = open(7);
        let log = EventLog::open(store.clone()).await;
        for (kind, text) in [("command", "echo hunter2"), ("cwd", "/srv/hunter2"), ("title", "hunter2")] {
            log.session(id, MARK, serde_json::json!({ "kind": kind, "cursor": cursor, "text": text }));
        }
        // As a Baton of before left it.
        let old = format!(r#"{{"kind":"notification","cursor":"{cursor}","text":"old"}}"#);
        log.flush().await;
        let insert = move |connection: &Connection| {
            let sql = "INSERT INTO events SELECT max(seq) + 1, 'session', ?1, 'mark', 1, ?2 FROM events";
            connection.execute(sql, params![id.to_string(), old])
        };
        store.call(insert).await.unwrap();
        let texts = async |store: &Store| -> Vec<Option<String>> {
            let events = store.events_after(0, None, None, 9).await.unwrap();
            assert_eq!(store.events_page(0, u64::MAX, 9).await.unwrap().events, events);
            assert!(events.iter().all(|event| event.data.get(SEALED).is_none()), "{events:?}");
            events.iter().map(|event| event.data.get("text")?.as_str().map(str::to_owned)).collect()
        };
        let said = ["echo hunter2", "/srv/hunter2", "hunter2", "old"].map(|text| Some(text.to_owned()));
        assert_eq!(texts(&store).await, said);
        assert_eq!(store.newest_directory(id).await.unwrap().as_deref(), Some("/srv/hunter2"));
        assert_eq!(store.happenings(id, 0).await.unwrap().len(), 4);
        assert!(matches!(&store.happenings(id, 0).await.unwrap()[0],
            Happening::Mark { mark, .. } if mark.text.as_deref() == Some("echo hunter2")));
        let clear = "SELECT count(*) FROM events WHERE instr(data, 'hunter2') > 0";
        let clear: i64 = store.call(|connection| connection.query_row(clear, [], |row| row.get(0))).await.unwrap();
        assert_eq!(clear, 0);
        for other in [open(8), Store::open(&path)] {
            assert_eq!(texts(&other).await, [None, None, None, Some("old".to_owned())], "without the key");
            assert_eq!(other.newest_directory(id).await.unwrap(), None);
            assert_eq!(other.happenings(id, 0).await.unwrap().len(), 4);
        }
    }
}
