//! The schema's history. Append-only: a step that was ever released never changes; `user_version` counts those applied.

use rusqlite::Connection;

const STEPS: &[&str] = &[
    "
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
",
    "
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, actor_id TEXT NOT NULL, actor_name TEXT NOT NULL,
        actor_kind TEXT NOT NULL, action TEXT NOT NULL, subject TEXT, outcome TEXT NOT NULL, code TEXT,
        details TEXT NOT NULL, prev_hash BLOB NOT NULL, hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_subject ON audit (subject, seq);
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit BEGIN
        SELECT RAISE(ABORT, 'the audit log is append-only');
    END;
    CREATE TABLE audit_head (
        id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL, bytes INTEGER NOT NULL,
        mac BLOB NOT NULL
    ) STRICT;
    CREATE TABLE audit_seals (
        from_seq INTEGER PRIMARY KEY, to_seq INTEGER NOT NULL, prev_hash BLOB NOT NULL, last_hash BLOB NOT NULL,
        count INTEGER NOT NULL, at_us INTEGER NOT NULL, mac BLOB NOT NULL
    ) STRICT;
",
    // Share links, and from where on they show their session.
    "
    ALTER TABLE links ADD COLUMN from_instance TEXT;
    ALTER TABLE links ADD COLUMN from_offset INTEGER;
    ALTER TABLE links ADD COLUMN from_seq INTEGER;
",
    "
    CREATE TABLE approvals (
        id TEXT PRIMARY KEY, session_id TEXT, requested_by TEXT NOT NULL, request_key TEXT, status TEXT NOT NULL,
        context_hash TEXT NOT NULL, run_hash TEXT, created_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,
        body BLOB NOT NULL, decision TEXT, said BLOB, decided_by TEXT, decided_us INTEGER, superseded_by TEXT, result TEXT
    ) STRICT;
    CREATE INDEX approvals_by_status ON approvals (status, id);
    CREATE UNIQUE INDEX approvals_by_key ON approvals (requested_by, request_key) WHERE request_key IS NOT NULL;
    CREATE TABLE remembered (
        session_id TEXT NOT NULL, principal TEXT NOT NULL, what TEXT NOT NULL, approval_id TEXT NOT NULL,
        PRIMARY KEY (session_id, principal, what)
    ) STRICT;
",
    // A wall clock can be set: how long a request waits is counted by the one that can't, too.
    "
    ALTER TABLE approvals ADD COLUMN boot_id TEXT;
    ALTER TABLE approvals ADD COLUMN expires_boot_us INTEGER;
    ALTER TABLE sessions ADD COLUMN surroundings TEXT;
",
    "
    ALTER TABLE leases ADD COLUMN instance TEXT;
    ALTER TABLE leases ADD COLUMN head INTEGER;
    ",
    // What stood in clear: answers that were kept, of which only that they were given stays, and the lines that shells ran.
    "
    UPDATE idempotency SET status = 0, content_type = NULL, body = x'';
    UPDATE events SET data = json_remove(data, '$.text')
        WHERE type = 'mark' AND json_valid(data) AND json_extract(data, '$.kind') = 'command';
    ",
];

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
    // What a step takes away is not left behind in the file.
    connection.pragma_update(None, "secure_delete", applied < STEPS.len())?;
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
