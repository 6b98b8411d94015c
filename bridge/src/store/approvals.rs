//! Approvals: each a row, whose state changes by compare-and-set and in the same transaction as its row of the audit log.

use baton_proto::api::{ApprovalStatus, Decision};
use baton_proto::ids::{ApprovalId, SessionId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::problem::Outcome;

/// Days that an approval is kept after it was asked for.
const KEPT_DAYS: u64 = 30;

/// A row, as it is kept. What was asked for, what it was edited to and the notes are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// In which session.
    pub session: Option<SessionId>,
    /// The id of the principal that asks.
    pub requested_by: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Where it is.
    pub status: ApprovalStatus,
    /// What a decision quotes.
    pub context_hash: String,
    /// What has to be so when it is run.
    pub run_hash: Option<String>,
    /// When it was asked, microseconds since 1970.
    pub created_us: u64,
    /// When silence becomes a no.
    pub expires_us: u64,
    /// During which start of the machine it was asked; `None` of one that an older Baton kept.
    pub boot_id: Option<String>,
    /// When silence becomes a no by the clock that nobody sets, microseconds since that start.
    pub expires_boot_us: Option<u64>,
    /// The request as it was made, sealed JSON.
    pub body: Vec<u8>,
    /// What a person said.
    pub decision: Option<Decision>,
    /// Edited payload and notes, sealed JSON.
    pub said: Option<Vec<u8>>,
    /// Who decided: name.
    pub decided_by: Option<String>,
    /// When.
    pub decided_us: Option<u64>,
    /// Which approval asks in its place.
    pub superseded_by: Option<ApprovalId>,
    /// What became of it, sealed JSON without output.
    pub result: Option<String>,
}

/// What changes with a state. `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What has to be so when it is run.
    pub run_hash: Option<String>,
    /// What a person said.
    pub decision: Option<Decision>,
    /// Sealed JSON.
    pub said: Option<Vec<u8>>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_us: Option<u64>,
    /// Which approval asks in its place.
    pub superseded_by: Option<ApprovalId>,
    /// What became of it.
    pub result: Option<String>,
    /// What is remembered for this session: `(session, principal, what)`.
    pub remember: Option<(SessionId, String, String)>,
}

const COLUMNS: &str = "id, session_id, requested_by, request_key, status, context_hash, run_hash, created_us, expires_us, body, \
                       decision, said, decided_by, decided_us, superseded_by, result, boot_id, expires_boot_us";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<ApprovalRow>> {
    let word = |at: usize| row.get::<_, Option<String>>(at);
    // A row that nobody of ours wrote is none.
    let (Some(id), Some(status)) =
        (word(0)?.and_then(|id| id.parse().ok()), word(4)?.and_then(|status| ApprovalStatus::of_str(&status)))
    else {
        return Ok(None);
    };
    Ok(Some(ApprovalRow {
        id,
        session: word(1)?.and_then(|id| id.parse().ok()),
        requested_by: row.get(2)?,
        key: row.get(3)?,
        status,
        context_hash: row.get(5)?,
        run_hash: row.get(6)?,
        created_us: unsigned(row.get(7)?),
        expires_us: unsigned(row.get(8)?),
        body: row.get(9)?,
        decision: word(10)?.and_then(|word| Decision::of_str(&word)),
        said: row.get(11)?,
        decided_by: row.get(12)?,
        decided_us: row.get::<_, Option<i64>>(13)?.map(unsigned),
        superseded_by: word(14)?.and_then(|id| id.parse().ok()),
        result: row.get(15)?,
        boot_id: word(16)?,
        expires_boot_us: row.get::<_, Option<i64>>(17)?.map(unsigned),
    }))
}

/// Adds a row.
///
/// # Errors
/// What SQLite said.
pub fn add(connection: &Connection, row: &ApprovalRow) -> rusqlite::Result<()> {
    connection
        .prepare(&format!(
            "INSERT INTO approvals ({COLUMNS}) VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        ))?
        .execute(params![
            row.id.to_string(),
            row.session.map(|id| id.to_string()),
            row.requested_by,
            row.key,
            row.status.as_str(),
            row.context_hash,
            row.run_hash,
            signed(row.created_us),
            signed(row.expires_us),
            row.body,
            row.decision.map(Decision::as_str),
            row.said,
            row.decided_by,
            row.decided_us.map(signed),
            row.superseded_by.map(|id| id.to_string()),
            row.result,
            row.boot_id,
            row.expires_boot_us.map(signed)
        ])?;
    Ok(())
}

/// Changes a state if it is the expected one; whether it was.
///
/// # Errors
/// What SQLite said.
pub fn change(
    connection: &Connection,
    id: ApprovalId,
    from: ApprovalStatus,
    to: ApprovalStatus,
    change: &Change,
) -> rusqlite::Result<bool> {
    debug_assert!(from.may_become(to), "{from:?} does not become {to:?}");
    let changed = connection
        .prepare(
            "UPDATE approvals SET status = ?3, run_hash = coalesce(?4, run_hash), decision = coalesce(?5, decision),
                 said = coalesce(?6, said), decided_by = coalesce(?7, decided_by), decided_us = coalesce(?8, decided_us),
                 superseded_by = coalesce(?9, superseded_by), result = coalesce(?10, result)
             WHERE id = ?1 AND status = ?2",
        )?
        .execute(params![
            id.to_string(),
            from.as_str(),
            to.as_str(),
            change.run_hash,
            change.decision.map(Decision::as_str),
            change.said,
            change.decided_by,
            change.decided_us.map(signed),
            change.superseded_by.map(|id| id.to_string()),
            change.result
        ])?;
    if let (1, Some((session, principal, what))) = (changed, &change.remember) {
        connection.prepare("INSERT OR IGNORE INTO remembered VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            session.to_string(),
            principal,
            what,
            id.to_string()
        ])?;
    }
    Ok(changed == 1)
}

impl Store {
    /// One approval.
    ///
    /// # Errors
    /// `internal`.
    pub async fn approval(&self, id: ApprovalId) -> Outcome<Option<ApprovalRow>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1");
            Ok(connection.prepare(&sql)?.query_row([id.to_string()], read).optional()?.flatten())
        })
        .await
    }

    /// The approval that a principal asked for under a key.
    ///
    /// # Errors
    /// `internal`.
    pub async fn approval_by_key(&self, principal: String, key: String) -> Outcome<Option<ApprovalRow>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM approvals WHERE requested_by = ?1 AND request_key = ?2");
            Ok(connection.prepare(&sql)?.query_row([principal, key], read).optional()?.flatten())
        })
        .await
    }

    /// Approvals, newest first: of a state if one is given, older than `before` if one is given.
    ///
    /// # Errors
    /// `internal`.
    pub async fn approvals(
        &self,
        status: Option<ApprovalStatus>,
        before: Option<ApprovalId>,
        limit: u32,
    ) -> Outcome<Vec<ApprovalRow>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM approvals
                 WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
            );
            let status = status.map(ApprovalStatus::as_str);
            let before = before.map(|id| id.to_string());
            connection
                .prepare(&sql)?
                .query_map(params![status, before, limit], read)?
                .filter_map(Result::transpose)
                .collect()
        })
        .await
    }

    /// How many of a principal's wait for a decision.
    ///
    /// # Errors
    /// `internal`.
    pub async fn pending_approvals(&self, principal: String) -> Outcome<u32> {
        self.read(move |connection| {
            connection
                .prepare("SELECT count(*) FROM approvals WHERE requested_by = ?1 AND status = 'pending'")?
                .query_row([principal], |row| row.get(0))
        })
        .await
    }

    /// A principal's that wait for a decision.
    ///
    /// # Errors
    /// `internal`.
    pub async fn pending_approvals_of(&self, principal: String) -> Outcome<Vec<ApprovalRow>> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM approvals WHERE requested_by = ?1 AND status = 'pending'");
            connection.prepare(&sql)?.query_map([principal], read)?.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Whether a person said yes to this for as long as the session lives.
    ///
    /// # Errors
    /// `internal`.
    pub async fn is_remembered(&self, session: SessionId, principal: String, what: String) -> Outcome<bool> {
        self.read(move |connection| {
            connection
                .prepare("SELECT 1 FROM remembered WHERE session_id = ?1 AND principal = ?2 AND what = ?3")?
                .exists(params![session.to_string(), principal, what])
        })
        .await
    }

    /// Forgets approvals that are old and of which nothing more will become, and what was remembered for sessions that are gone.
    pub fn prune_approvals(&self, now_us: u64) {
        let before = signed(now_us.saturating_sub(KEPT_DAYS * 86_400_000_000));
        self.write(move |connection| {
            connection.execute(
                "DELETE FROM approvals WHERE created_us < ?1
                 AND status NOT IN ('pending', 'approved', 'edited', 'executing')",
                [before],
            )?;
            connection.execute("DELETE FROM remembered WHERE session_id NOT IN (SELECT id FROM sessions)", [])?;
            Ok(())
        });
    }
}
