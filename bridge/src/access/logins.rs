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

/// Which login it is: the hash of its cookie.
pub type LoginId = [u8; 32];

#[derive(Debug)]
struct Login {
    row: LoginRow,
    /// The login link that it was made with, if this bridge made it with one.
    link: Option<String>,
}

/// All logins, by the hash of their cookie.
#[derive(Debug)]
pub struct Logins(RwLock<HashMap<LoginId, Login>>);

impl Logins {
    /// Takes the database's rows.
    #[must_use]
    pub fn new(rows: Vec<LoginRow>) -> Self {
        Self(RwLock::new(rows.into_iter().map(|row| (row.cookie_hash, Login { row, link: None })).collect()))
    }

    /// The token id behind a cookie and its key, and which login that is; both are needed.
    #[must_use]
    pub fn token_id(&self, cookie: &str, key: &str) -> Option<(String, LoginId)> {
        let logins = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let login = logins.get(&hash(cookie)).map(|login| &login.row).filter(|row| row.expires_us > clock::now_us())?;
        bool::from(login.key_hash.ct_eq(&hash(key))).then(|| (login.token_id.clone(), login.cookie_hash))
    }

    /// Until when a login is good, microseconds since 1970; `None` when it is over.
    #[must_use]
    pub fn good_until(&self, login: LoginId) -> Option<u64> {
        let logins = self.0.read().unwrap_or_else(PoisonError::into_inner);
        logins.get(&login).map(|login| login.row.expires_us).filter(|until_us| *until_us > clock::now_us())
    }

    /// Adds a login, made with this login link; whether another had to give way.
    pub fn add(&self, row: LoginRow, link: Option<String>) -> bool {
        let mut logins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let oldest = (logins.len() >= LOGINS_MAX)
            .then(|| logins.values().min_by_key(|login| login.row.created_us).map(|login| login.row.cookie_hash))
            .flatten();
        if let Some(oldest) = oldest {
            logins.remove(&oldest);
        }
        logins.insert(row.cookie_hash, Login { row, link });
        oldest.is_some()
    }

    /// Ends a login.
    pub fn remove(&self, login: LoginId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&login);
    }

    /// Ends the login that was made with this login link; which that was.
    pub fn remove_link(&self, link: &str) -> Option<LoginId> {
        let mut logins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let made = logins.iter().find(|(_, login)| login.link.as_deref() == Some(link)).map(|(id, _)| *id)?;
        logins.remove(&made);
        Some(made)
    }

    /// Ends every login made with a token.
    pub fn remove_token(&self, token_id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, login| login.row.token_id != token_id);
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
        assert_eq!(logins.token_id("cookie", "key"), Some(("owner".to_owned(), hash("cookie"))));
        assert_eq!(logins.good_until(hash("cookie")), Some(u64::MAX));
        assert_eq!(logins.token_id("cookie", ""), None);
        assert_eq!(logins.token_id("cookie", "cookie"), None);
        assert_eq!(logins.token_id("other", "key"), None);
        logins.add(LoginRow { expires_us: 1, ..row.clone() }, None);
        assert_eq!((logins.token_id("cookie", "key"), logins.good_until(hash("cookie"))), (None, None));
        logins.add(row.clone(), None);
        logins.remove(hash("cookie"));
        assert_eq!(logins.good_until(hash("cookie")), None);
        logins.add(row, Some("lnk_1".to_owned()));
        assert_eq!(logins.remove_link("lnk_2"), None);
        assert_eq!(logins.remove_link("lnk_1"), Some(hash("cookie")));
        assert_eq!(logins.good_until(hash("cookie")), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; baton_74=x; baton_7420=y".parse().unwrap());
        assert_eq!(cookie(&headers, "baton_7420"), Some("y"));
        assert_eq!(cookie(&headers, "baton"), None);
    }
}
