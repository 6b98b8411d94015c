//! Logins of browsers: a cookie, which browsers send to every port of the host, and a key, which only our page has.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::tokens::hash;
use crate::clock;
use crate::store::logins::LoginRow;

/// How long a login lasts.
pub const LOGIN_TTL_S: u64 = 30 * 86_400;

/// Logins kept; the oldest gives way.
const LOGINS_MAX: usize = 10_000;

/// All logins, by the hash of their cookie.
#[derive(Debug)]
pub struct Logins(RwLock<HashMap<[u8; 32], LoginRow>>);

impl Logins {
    /// Takes the database's rows.
    #[must_use]
    pub fn new(rows: Vec<LoginRow>) -> Self {
        Self(RwLock::new(rows.into_iter().map(|row| (row.cookie_hash, row)).collect()))
    }

    /// The token id behind a cookie and its key; both are needed.
    #[must_use]
    pub fn token_id(&self, cookie: &str, key: &str) -> Option<String> {
        let logins = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let login = logins.get(&hash(cookie)).filter(|login| login.expires_us > clock::now_us())?;
        bool::from(login.key_hash.ct_eq(&hash(key))).then(|| login.token_id.clone())
    }

    /// Adds a login.
    pub fn add(&self, row: LoginRow) {
        let mut logins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= LOGINS_MAX
            && let Some(oldest) = logins.values().min_by_key(|row| row.created_us).map(|row| row.cookie_hash)
        {
            logins.remove(&oldest);
        }
        logins.insert(row.cookie_hash, row);
    }

    /// Ends a login.
    pub fn remove(&self, cookie: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&hash(cookie));
    }

    /// Ends every login made with a token.
    pub fn remove_token(&self, token_id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, row| row.token_id != token_id);
    }
}

/// The cookie's name. Cookies know no ports, so ours carries it: two Batons of one host do not sign each other out.
#[must_use]
pub fn cookie_name(port: u16) -> String {
    format!("baton_{port}")
}

/// A cookie of a request.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_alone_grants_nothing() {
        let row = LoginRow {
            cookie_hash: hash("cookie"),
            key_hash: hash("key"),
            token_id: "owner".to_owned(),
            created_us: 1,
            expires_us: u64::MAX,
        };
        let logins = Logins::new(vec![row.clone()]);
        assert_eq!(logins.token_id("cookie", "key").as_deref(), Some("owner"));
        assert_eq!(logins.token_id("cookie", ""), None);
        assert_eq!(logins.token_id("cookie", "cookie"), None);
        assert_eq!(logins.token_id("other", "key"), None);
        logins.add(LoginRow { expires_us: 1, ..row });
        assert_eq!(logins.token_id("cookie", "key"), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; baton_74=x; baton_7420=y".parse().unwrap());
        assert_eq!(cookie(&headers, "baton_7420"), Some("y"));
        assert_eq!(cookie(&headers, "baton"), None);
    }
}
