//! Login links: a code that works once.

use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::sessions::signed;
use crate::clock;
use crate::problem::Outcome;

/// A link's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Its id.
    pub id: String,
    /// SHA-256 of the code.
    pub code_hash: [u8; 32],
    /// The token whose principal made it, and whom it signs in.
    pub token_id: String,
    /// The session to open.
    pub session_id: Option<String>,
    /// Until when it is good.
    pub expires_us: u64,
}

impl Store {
    /// Adds a login link.
    ///
    /// # Errors
    /// `internal`.
    pub async fn add_link(&self, link: LinkRow) -> Outcome<()> {
        self.call(move |connection| {
            connection.execute("DELETE FROM links WHERE expires_us < ?1", [signed(clock::now_us())])?;
            connection.execute(
                "INSERT INTO links VALUES (?1, ?2, 'login', ?3, ?4, ?5, NULL)",
                params![link.id, link.code_hash, link.token_id, link.session_id, signed(link.expires_us)],
            )?;
            Ok(())
        })
        .await
    }

    /// Uses a code up; the id of the token it signs in, if the code is good.
    ///
    /// # Errors
    /// `internal`.
    pub async fn use_link(&self, code_hash: [u8; 32]) -> Outcome<Option<String>> {
        self.call(move |connection| {
            let now = signed(clock::now_us());
            connection
                .query_row(
                    "UPDATE links SET used_us = ?2 WHERE code_hash = ?1 AND used_us IS NULL AND expires_us > ?2
                     RETURNING token_id",
                    params![code_hash, now],
                    |row| row.get(0),
                )
                .optional()
        })
        .await
    }

    /// Removes a link that this token (or, with `None`, anybody's) made; whether there was one.
    ///
    /// # Errors
    /// `internal`.
    pub async fn remove_link(&self, id: String, token_id: Option<String>) -> Outcome<bool> {
        self.call(move |connection| {
            let removed = connection
                .execute("DELETE FROM links WHERE id = ?1 AND (?2 IS NULL OR token_id = ?2)", params![id, token_id])?;
            Ok(removed > 0)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_code_works_once_and_in_time() {
        let store = Store::open(&tempfile::tempdir().unwrap().keep().join("db"));
        let link = |id: &str, byte, expires_us| LinkRow {
            id: id.to_owned(),
            code_hash: [byte; 32],
            token_id: "owner".to_owned(),
            session_id: None,
            expires_us,
        };
        store.add_link(link("a", 1, clock::now_us() + 60_000_000)).await.unwrap();
        store.add_link(link("b", 2, clock::now_us() - 1)).await.unwrap();
        assert_eq!(store.use_link([1; 32]).await.unwrap().as_deref(), Some("owner"));
        assert_eq!(store.use_link([1; 32]).await.unwrap(), None);
        assert_eq!(store.use_link([2; 32]).await.unwrap(), None);
        assert!(!store.remove_link("a".to_owned(), Some("other".to_owned())).await.unwrap());
        assert!(store.remove_link("a".to_owned(), None).await.unwrap());
    }
}
