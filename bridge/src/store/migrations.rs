//! The schema's history. Append-only: a step that was ever released never changes; `user_version` counts those applied.

use rusqlite::Connection;

const STEPS: &[&str] = &["
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, labels TEXT NOT NULL, terminal_id TEXT, workspace_id TEXT,
        creator TEXT NOT NULL, owner_agent_id TEXT, resume_cmd TEXT, agent_input TEXT NOT NULL, record TEXT NOT NULL,
        idle_timeout_s INTEGER, record_input INTEGER NOT NULL, created_us INTEGER NOT NULL,
        head INTEGER NOT NULL DEFAULT 0, oldest INTEGER NOT NULL DEFAULT 0, last_activity_us INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE clients (
        client_id TEXT PRIMARY KEY, principal TEXT NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE leases (
        id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, epoch INTEGER NOT NULL, owner TEXT, owner_name TEXT,
        owner_kind TEXT, expired INTEGER NOT NULL, at_us INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX leases_by_session ON leases (session_id, id);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY, scope TEXT NOT NULL, scope_id TEXT NOT NULL, type TEXT NOT NULL,
        at_us INTEGER NOT NULL, data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_scope ON events (scope_id, seq);
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, agent_id TEXT, scopes TEXT, workspace_ids TEXT,
        hash BLOB NOT NULL UNIQUE, created_us INTEGER NOT NULL, expires_us INTEGER
    ) STRICT;
    CREATE TABLE logins (
        cookie_hash BLOB PRIMARY KEY, key_hash BLOB NOT NULL, token_id TEXT NOT NULL,
        created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE links (
        id TEXT PRIMARY KEY, code_hash BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, token_id TEXT NOT NULL,
        session_id TEXT, expires_us INTEGER NOT NULL, used_us INTEGER
    ) STRICT;
    CREATE TABLE idempotency (
        principal TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, status INTEGER NOT NULL,
        content_type TEXT, body BLOB NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY (principal, key)
    ) STRICT;
"];

/// Brings a database to the newest schema.
///
/// # Errors
/// What SQLite said; a database of a newer Baton is refused.
pub fn apply(connection: &mut Connection) -> rusqlite::Result<()> {
    let applied: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let applied = usize::try_from(applied).unwrap_or(usize::MAX);
    if applied > STEPS.len() {
        let why = format!("the database is of a newer Baton (schema {applied}, this one knows {})", STEPS.len());
        return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
    }
    for (number, step) in STEPS.iter().enumerate().skip(applied) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_apply_once_and_a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection).unwrap();
        apply(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 1000).unwrap();
        assert!(apply(&mut connection).is_err());
    }
}
