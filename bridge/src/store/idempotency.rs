//! Answers to mutations by `Idempotency-Key`, for a day.

use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::sessions::signed;
use crate::clock;
use crate::problem::Outcome;

/// How long an answer is kept.
const KEPT_US: u64 = 24 * 3600 * 1_000_000;

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of what was asked.
    pub request_hash: [u8; 32],
    /// HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Store {
    /// The answer that was given under this key.
    ///
    /// # Errors
    /// `internal`.
    pub async fn kept_answer(&self, principal: String, key: String) -> Outcome<Option<KeptAnswer>> {
        self.read(move |connection| {
            let since = signed(clock::now_us().saturating_sub(KEPT_US));
            connection
                .prepare(
                    "SELECT request_hash, status, content_type, body FROM idempotency
                     WHERE principal = ?1 AND key = ?2 AND at_us >= ?3",
                )?
                .query_row(params![principal, key, since], |row| {
                    Ok(KeptAnswer {
                        request_hash: row.get(0)?,
                        status: row.get(1)?,
                        content_type: row.get(2)?,
                        body: row.get(3)?,
                    })
                })
                .optional()
        })
        .await
    }

    /// Keeps an answer, and waits for it: a repeat after a crash must find it.
    ///
    /// # Errors
    /// `internal`.
    pub async fn keep_answer(&self, principal: String, key: String, answer: KeptAnswer) -> Outcome<()> {
        self.call(move |connection| {
            connection.prepare("INSERT OR REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
                params![
                    principal,
                    key,
                    answer.request_hash,
                    answer.status,
                    answer.content_type,
                    answer.body,
                    signed(clock::now_us())
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets what is older than a day.
    pub fn prune_answers(&self) {
        self.write(|connection| {
            let before = signed(clock::now_us().saturating_sub(KEPT_US));
            connection.execute("DELETE FROM idempotency WHERE at_us < ?1", [before])?;
            Ok(())
        });
    }
}
