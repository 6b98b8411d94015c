//! Tokens: the owner's in a file, the others as rows. Only hashes are kept; a token is 32 random bytes, which need no
//! slow hash.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use baton_proto::api::PrincipalRole;
use sha2::{Digest as _, Sha256};

use super::Principal;
use crate::clock;
use crate::store::tokens::TokenRow;

/// Id of the principal behind the owner's token file.
pub const OWNER_ID: &str = "owner";

/// Random bytes of a token, code, cookie or key.
const SECRET_BYTES: usize = 32;

/// A new secret as URL-safe text.
///
/// # Errors
/// The kernel has no randomness to give.
pub fn mint() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret. Looking a hash up in a map is safe: who can't invert the hash can't steer the comparison.
#[must_use]
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Reads the owner's token; makes it at the first start.
///
/// # Errors
/// The file can't be made or read.
pub fn owner_token(path: &Path) -> io::Result<String> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let token = mint()?;
            file.write_all(token.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            Ok(token)
        }
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
            let mut text = String::new();
            OpenOptions::new().read(true).open(path)?.take(4096).read_to_string(&mut text)?;
            let token = text.trim();
            if token.len() < 32 {
                let why = format!("`{}` does not hold a token; remove it to have a new one made", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(token.to_owned())
        }
        Err(err) => Err(err),
    }
}

/// All tokens that are good, by hash.
#[derive(Debug)]
pub struct Tokens {
    owner_hash: [u8; 32],
    owner_name: String,
    rows: RwLock<HashMap<[u8; 32], TokenRow>>,
}

impl Tokens {
    /// Takes the owner's token and the rows of the others.
    #[must_use]
    pub fn new(owner_token: &str, owner_name: String, rows: Vec<TokenRow>) -> Self {
        let rows = rows.into_iter().map(|row| (row.hash, row)).collect();
        Self { owner_hash: hash(owner_token), owner_name, rows: RwLock::new(rows) }
    }

    /// Whose token this is.
    #[must_use]
    pub fn principal(&self, token: &str) -> Option<Principal> {
        let hash = hash(token);
        if hash == self.owner_hash {
            return Some(self.owner());
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.get(&hash).filter(|row| is_good(row)).map(of_row)
    }

    /// The principal of a token id, while the token is good.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<Principal> {
        if id == OWNER_ID {
            return Some(self.owner());
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.values().find(|row| row.id == id && is_good(row)).map(of_row)
    }

    /// Adds a token.
    pub fn add(&self, row: TokenRow) {
        self.rows.write().unwrap_or_else(PoisonError::into_inner).insert(row.hash, row);
    }

    /// Removes a token; whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        let before = rows.len();
        rows.retain(|_, row| row.id != id);
        rows.len() < before
    }

    /// Every token but the owner's, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<TokenRow> {
        let mut all: Vec<_> = self.rows.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|row| row.created_us);
        all
    }

    fn owner(&self) -> Principal {
        Principal::new(OWNER_ID.to_owned(), self.owner_name.clone(), PrincipalRole::Owner)
    }
}

fn is_good(row: &TokenRow) -> bool {
    row.expires_us.is_none_or(|expires| expires > clock::now_us())
}

fn of_row(row: &TokenRow) -> Principal {
    Principal {
        id: row.id.clone(),
        name: row.name.clone(),
        role: row.role,
        agent_id: row.agent_id.clone(),
        scopes: row.scopes.clone(),
        workspace_ids: row.workspace_ids.clone(),
        share: None,
        expires_us: row.expires_us,
        login: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_owners_token_is_made_once_and_for_its_eyes_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = owner_token(&path).unwrap();
        assert_eq!(token.len(), 43);
        assert_eq!(owner_token(&path).unwrap(), token);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(owner_token(&path).is_err());
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_removed() {
        let row = |id: &str, secret: &str, expires_us| TokenRow {
            id: id.to_owned(),
            name: id.to_owned(),
            role: PrincipalRole::Viewer,
            agent_id: None,
            scopes: None,
            workspace_ids: None,
            hash: hash(secret),
            created_us: 1,
            expires_us,
        };
        let tokens = Tokens::new("secret", "Ada".to_owned(), vec![row("a", "one", None), row("b", "two", Some(1))]);
        assert_eq!(tokens.principal("secret").unwrap().id, OWNER_ID);
        assert_eq!(tokens.principal("one").unwrap().id, "a");
        assert_eq!(tokens.principal("two"), None);
        assert_eq!(tokens.principal(""), None);
        assert!(tokens.remove("a") && !tokens.remove("a"));
        assert_eq!(tokens.principal("one"), None);
        assert_eq!(tokens.by_id("a"), None);
    }
}
