//! Answers to mutations by `Idempotency-Key`, for a day. They may hold what was asked for, and are sealed.

use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::sessions::signed;
use crate::clock;
use crate::problem::Outcome;

/// How long an answer is kept.
const KEPT_US: u64 = 24 * 3600 * 1_000_000;

/// The status of an answer of which only that it was given is kept.
pub const NOT_KEPT: u16 = 0;

fn name(principal: &str, key: &str) -> String {
    format!("idempotency {principal}\0{key}")
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of what was asked; in the database a keyed digest of it, since what can be guessed could be tried out on the other.
    pub request_hash: [u8; 32],
    /// HTTP status; [`NOT_KEPT`] when only that there was an answer is known.
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
        let seals = self.seals().cloned();
        let name = name(&principal, &key);
        let kept = self.read(move |connection| {
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
        });
        Ok(kept.await?.map(|kept: KeptAnswer| {
            let opened = seals.and_then(|seals| seals.open(&name, &kept.body));
            match opened {
                Some(body) => KeptAnswer { body, ..kept },
                // Nothing of it, or sealed by another installation.
                None => KeptAnswer { status: NOT_KEPT, content_type: None, body: Vec::new(), ..kept },
            }
        }))
    }

    /// What is kept in the place of the hash of what was asked.
    #[must_use]
    pub fn digest_of_request(&self, hash: [u8; 32]) -> [u8; 32] {
        self.seals().map_or(hash, |seals| seals.keyed(&hash))
    }

    /// Keeps an answer, and waits for it: a repeat after a crash must find it.
    ///
    /// # Errors
    /// `internal`.
    pub async fn keep_answer(&self, principal: String, key: String, answer: KeptAnswer) -> Outcome<()> {
        let sealed = self.seals().and_then(|seals| seals.seal(&name(&principal, &key), &answer.body).ok());
        let answer = match sealed {
            Some(body) => KeptAnswer { body, ..answer },
            None => KeptAnswer { status: NOT_KEPT, content_type: None, body: Vec::new(), ..answer },
        };
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
