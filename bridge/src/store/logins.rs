//! Logins of browsers: a cookie and a key, both as hashes.

use rusqlite::{Connection, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::clock;
use crate::problem::Outcome;

/// A login's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// SHA-256 of the cookie.
    pub cookie_hash: [u8; 32],
    /// SHA-256 of the key.
    pub key_hash: [u8; 32],
    /// The token it was made with.
    pub token_id: String,
    /// When it was made.
    pub created_us: u64,
    /// Until when it is good.
    pub expires_us: u64,
}

impl Store {
    /// Every login that has not expired.
    ///
    /// # Errors
    /// `internal`.
    pub async fn logins(&self) -> Outcome<Vec<LoginRow>> {
        self.call(|connection| {
            connection.execute("DELETE FROM logins WHERE expires_us < ?1", [signed(clock::now_us())])?;
            let mut statement = connection.prepare("SELECT * FROM logins")?;
            let rows = statement.query_map([], |row| {
                Ok(LoginRow {
                    cookie_hash: row.get(0)?,
                    key_hash: row.get(1)?,
                    token_id: row.get(2)?,
                    created_us: unsigned(row.get(3)?),
                    expires_us: unsigned(row.get(4)?),
                })
            })?;
            rows.collect()
        })
        .await
    }
}

/// Adds a login.
///
/// # Errors
/// What SQLite said.
pub fn add(connection: &Connection, login: &LoginRow) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO logins VALUES (?1, ?2, ?3, ?4, ?5)",
        params![login.cookie_hash, login.key_hash, login.token_id, signed(login.created_us), signed(login.expires_us)],
    )?;
    Ok(())
}

/// Removes a login.
///
/// # Errors
/// What SQLite said.
pub fn remove(connection: &Connection, cookie_hash: [u8; 32]) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM logins WHERE cookie_hash = ?1", [cookie_hash])?;
    Ok(())
}
