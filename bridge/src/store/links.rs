//! Links: a login link's code works once, a share link's until the link expires or is removed.

use baton_proto::api::LinkKind;
use baton_proto::ids::SessionId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::access::shares::Boundary;
use crate::clock;
use crate::problem::Outcome;

/// A link's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Its id.
    pub id: String,
    /// SHA-256 of the code.
    pub code_hash: [u8; 32],
    /// What for.
    pub kind: LinkKind,
    /// The token whose principal made it, and whom a login link signs in.
    pub token_id: String,
    /// The session to open, or that is shared.
    pub session_id: Option<SessionId>,
    /// A share link's: from where on; none = all that is kept.
    pub from: Option<Boundary>,
    /// Until when it is good.
    pub expires_us: u64,
}

impl Store {
    /// Every share link that has not expired.
    ///
    /// # Errors
    /// `internal`.
    pub async fn shares(&self) -> Outcome<Vec<LinkRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT * FROM links WHERE kind = 'share' AND expires_us > ?1")?;
            let rows = statement.query_map([signed(clock::now_us())], read)?;
            rows.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Uses a login link's code up; its id and that of the token it signs in, if the code is good.
    ///
    /// # Errors
    /// `internal`.
    pub async fn use_link(&self, code_hash: [u8; 32]) -> Outcome<Option<(String, String)>> {
        self.call(move |connection| {
            let now = signed(clock::now_us());
            connection
                .query_row(
                    "UPDATE links SET used_us = ?2 WHERE code_hash = ?1 AND kind = 'login' AND used_us IS NULL AND expires_us > ?2
                     RETURNING id, token_id",
                    params![code_hash, now],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
        })
        .await
    }

    /// Removes a link that this token (or, with `None`, anybody's) made, and the logins by it; whether there was one.
    ///
    /// # Errors
    /// `internal`.
    pub async fn remove_link(&self, id: String, token_id: Option<String>) -> Outcome<bool> {
        self.call(move |connection| {
            let removed = connection
                .execute("DELETE FROM links WHERE id = ?1 AND (?2 IS NULL OR token_id = ?2)", params![id, token_id])?;
            if removed > 0 {
                connection.execute("DELETE FROM logins WHERE token_id = ?1", [id])?;
            }
            Ok(removed > 0)
        })
        .await
    }
}

/// A share link, if the row is one that makes sense.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<LinkRow>> {
    let session: Option<String> = row.get("session_id")?;
    let Some(session_id) = session.and_then(|id| id.parse().ok()) else { return Ok(None) };
    let from = match row.get::<_, Option<String>>("from_instance")? {
        Some(instance) => {
            let Ok(instance) = instance.parse() else { return Ok(None) };
            let (offset, seq) = (unsigned(row.get("from_offset")?), unsigned(row.get("from_seq")?));
            Some(Boundary { instance, offset, seq })
        }
        None => None,
    };
    Ok(Some(LinkRow {
        id: row.get("id")?,
        code_hash: row.get("code_hash")?,
        kind: LinkKind::Share,
        token_id: row.get("token_id")?,
        session_id: Some(session_id),
        from,
        expires_us: unsigned(row.get("expires_us")?),
    }))
}

/// Adds a link.
///
/// # Errors
/// What SQLite said.
pub fn add(connection: &Connection, link: &LinkRow) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM links WHERE expires_us < ?1", [signed(clock::now_us())])?;
    connection.execute(
        "INSERT INTO links (id, code_hash, kind, token_id, session_id, expires_us, from_instance, from_offset, from_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            link.id,
            link.code_hash,
            match link.kind {
                LinkKind::Login => "login",
                LinkKind::Share => "share",
            },
            link.token_id,
            link.session_id.map(|id| id.to_string()),
            signed(link.expires_us),
            link.from.map(|from| from.instance.to_string()),
            link.from.map(|from| signed(from.offset)),
            link.from.map(|from| signed(from.seq)),
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::ids::InstanceId;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_code_works_once_and_in_time() {
        let store = Store::open(&tempfile::tempdir().unwrap().keep().join("db"));
        let link = |id: &str, byte, expires_us| LinkRow {
            id: id.to_owned(),
            code_hash: [byte; 32],
            kind: LinkKind::Login,
            token_id: "owner".to_owned(),
            session_id: None,
            from: None,
            expires_us,
        };
        let (one, late) = (link("a", 1, clock::now_us() + 60_000_000), link("b", 2, clock::now_us() - 1));
        store.call(move |connection| add(connection, &one)).await.unwrap();
        store.call(move |connection| add(connection, &late)).await.unwrap();
        assert_eq!(store.use_link([1; 32]).await.unwrap(), Some(("a".to_owned(), "owner".to_owned())));
        assert_eq!(store.use_link([1; 32]).await.unwrap(), None);
        assert_eq!(store.use_link([2; 32]).await.unwrap(), None);
        assert!(!store.remove_link("a".to_owned(), Some("other".to_owned())).await.unwrap());
        assert!(store.remove_link("a".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_share_link_is_there_after_a_restart_and_its_code_is_no_login() {
        let path = tempfile::tempdir().unwrap().keep().join("db");
        let from = Boundary { instance: InstanceId::from_uuid(Uuid::from_u128(1)), offset: 9, seq: 4 };
        let link = |id: &str, byte, from, expires_us| LinkRow {
            id: id.to_owned(),
            code_hash: [byte; 32],
            kind: LinkKind::Share,
            token_id: "owner".to_owned(),
            session_id: Some(SessionId::from_uuid(Uuid::from_u128(7))),
            from,
            expires_us,
        };
        let later = clock::now_us() + 60_000_000;
        let rows =
            [link("a", 1, Some(from), later), link("b", 2, None, later), link("c", 3, None, later - 120_000_000)];
        let store = Store::open(&path);
        for row in rows.clone() {
            store.call(move |connection| add(connection, &row)).await.unwrap();
        }
        assert_eq!(store.use_link([1; 32]).await.unwrap(), None);
        assert_eq!(Store::open(&path).shares().await.unwrap(), rows[..2]);
    }
}
