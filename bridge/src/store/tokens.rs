//! Access tokens, as hashes. The owner's token is a file, not a row.

use baton_proto::api::PrincipalRole;
use rusqlite::{Connection, Row, params};

use super::Store;
use super::sessions::{signed, unsigned};
use crate::problem::Outcome;

/// A token's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id; the principal's too.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
    /// For agents: which.
    pub agent_id: Option<String>,
    /// Narrows the role.
    pub scopes: Option<Vec<String>>,
    /// Narrows what it sees.
    pub workspace_ids: Option<Vec<String>>,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_us: u64,
    /// Until when it is good.
    pub expires_us: Option<u64>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<TokenRow>> {
    let list = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    let Ok(role) = serde_json::from_value(row.get::<_, String>("role")?.into()) else { return Ok(None) };
    Ok(Some(TokenRow {
        id: row.get("id")?,
        name: row.get("name")?,
        role,
        agent_id: row.get("agent_id")?,
        scopes: list(row.get("scopes")?),
        workspace_ids: list(row.get("workspace_ids")?),
        hash: row.get("hash")?,
        created_us: unsigned(row.get("created_us")?),
        expires_us: row.get::<_, Option<i64>>("expires_us")?.map(unsigned),
    }))
}

impl Store {
    /// Every token.
    ///
    /// # Errors
    /// `internal`.
    pub async fn tokens(&self) -> Outcome<Vec<TokenRow>> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT * FROM tokens ORDER BY created_us")?;
            statement.query_map([], read)?.filter_map(Result::transpose).collect()
        })
        .await
    }
}

/// Adds a token.
///
/// # Errors
/// What SQLite said.
pub fn add(connection: &Connection, token: &TokenRow) -> rusqlite::Result<()> {
    let list = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| serde_json::to_string(list).ok());
    let role = serde_json::to_value(token.role).ok().and_then(|role| role.as_str().map(str::to_owned));
    connection.execute(
        "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            token.id,
            token.name,
            role,
            token.agent_id,
            list(&token.scopes),
            list(&token.workspace_ids),
            token.hash,
            signed(token.created_us),
            token.expires_us.map(signed)
        ],
    )?;
    Ok(())
}

/// Removes a token and the logins and links made with it.
///
/// # Errors
/// What SQLite said.
pub fn remove(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM tokens WHERE id = ?1", [id])?;
    connection.execute("DELETE FROM logins WHERE token_id = ?1", [id])?;
    connection.execute("DELETE FROM logins WHERE token_id IN (SELECT id FROM links WHERE token_id = ?1)", [id])?;
    connection.execute("DELETE FROM links WHERE token_id = ?1", [id])?;
    Ok(())
}
