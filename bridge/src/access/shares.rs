//! Share links: one session, watched and nothing else, by whoever has the link, until it expires or is deleted.
//!
//! A share link's code signs in as often as it is used, as a principal of the link's own. It is worth no more than who made
//! it: with the token that made it the link ends.
//!
//! `from: here` hides what was before the link was made, on every route that reads: what lies before is answered as what is
//! no longer kept is (`cursor_trimmed`, with the place to begin at). No screen is drawn for such a link, because a screen shows what
//! was printed before; its stream is every byte since.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use baton_proto::ErrorCode;
use baton_proto::api::{self, PrincipalRole};
use baton_proto::ids::{Cursor, InstanceId, SessionId};

use super::Principal;
use crate::clock;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::store::links::LinkRow;

/// What the holder of a link sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Of which session.
    pub session: SessionId,
    /// From where on; none = all that is kept.
    pub from: Option<Boundary>,
}

/// The moment a link was made, in the session's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boundary {
    /// Which life of the program it was.
    pub instance: InstanceId,
    /// Output bytes until then.
    pub offset: u64,
    /// The newest event then.
    pub seq: u64,
}

impl Principal {
    /// The first byte of the session's present life that it may see, where that is not the first that is kept.
    #[must_use]
    pub fn floor(&self, session: &Session) -> Option<u64> {
        let from = self.share.and_then(|share| share.from)?;
        // All of a later life came after the link.
        (from.instance == session.instance()).then_some(from.offset)
    }

    /// The newest event that it may not see; 0 if it may see all.
    #[must_use]
    pub fn events_floor(&self) -> u64 {
        self.share.and_then(|share| share.from).map_or(0, |from| from.seq)
    }

    /// Refuses a place before the first that it may see.
    ///
    /// # Errors
    /// `cursor_trimmed` with the place to begin at.
    pub fn need_from(&self, session: &Session, offset: u64) -> Outcome<()> {
        match self.floor(session) {
            Some(floor) if offset < floor => Err(before(session.cursor(floor))),
            _ => Ok(()),
        }
    }

    /// Shows the session as one that begins where the caller's view of it begins. What people noted on it, and how it is started
    /// again, is for no guest.
    pub fn hide_before(&self, session: &Session, shown: &mut api::Session) {
        if self.share.is_some() {
            shown.labels.clear();
            shown.resume_cmd = None;
        }
        if self.floor(session).is_some() {
            // The program may have set it before.
            shown.terminal_title = None;
        }
        if let Some(floor) = self.floor(session) {
            let floor = session.cursor(floor);
            for oldest in [&mut shown.oldest_cursor, &mut shown.oldest_screen_cursor] {
                if oldest.instance != floor.instance || oldest.offset < floor.offset {
                    *oldest = floor;
                }
            }
        }
    }

    /// Refuses screens to who may see only what came since.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_screens(&self) -> Outcome<()> {
        if self.share.is_some_and(|share| share.from.is_some()) {
            let detail = "this link shows what came after it was made, and a screen shows what was there before: read the \
                          stream or `output`";
            return Err(Failure::new(ErrorCode::Forbidden, detail));
        }
        Ok(())
    }

    /// Refuses the holder of a share link what is not about its session.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_account(&self) -> Outcome<()> {
        if self.share.is_none() {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::Forbidden, "a share link shows one session and nothing else"))
    }
}

fn before(oldest: Cursor) -> Failure {
    let detail = "this link shows what came after it was made; begin at `oldest_cursor`";
    Failure { oldest: Some(oldest), ..Failure::new(ErrorCode::CursorTrimmed, detail) }
}

/// All share links, by id.
#[derive(Debug)]
pub struct Shares(RwLock<HashMap<String, LinkRow>>);

impl Shares {
    /// Takes the database's rows.
    #[must_use]
    pub fn new(rows: Vec<LinkRow>) -> Self {
        Self(RwLock::new(rows.into_iter().map(|row| (row.id.clone(), row)).collect()))
    }

    /// Adds a link.
    pub fn add(&self, row: LinkRow) {
        let now = clock::now_us();
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|_, row| row.expires_us > now);
        rows.insert(row.id.clone(), row);
    }

    /// How many there are that were made with this token.
    #[must_use]
    pub fn count_of(&self, token_id: &str) -> usize {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.values().filter(|row| row.token_id == token_id).count()
    }

    /// Removes a link.
    pub fn remove(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Removes every link made with a token; their ids.
    pub fn remove_token(&self, token_id: &str) -> Vec<String> {
        let mut removed = Vec::new();
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|id, row| {
            let keep = row.token_id != token_id;
            if !keep {
                removed.push(id.clone());
            }
            keep
        });
        removed
    }

    /// The id of the link with this code, if it is good.
    #[must_use]
    pub fn by_code(&self, code_hash: [u8; 32]) -> Option<String> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let row = rows.values().find(|row| row.code_hash == code_hash)?;
        (row.expires_us > clock::now_us()).then(|| row.id.clone())
    }

    /// A link's principal while it is good, and the token that must be good too.
    #[must_use]
    pub fn principal(&self, id: &str) -> Option<(Principal, String)> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(id).filter(|row| row.expires_us > clock::now_us())?;
        let session = row.session_id?;
        let mut principal = Principal::new(row.id.clone(), "share link".to_owned(), PrincipalRole::Viewer);
        principal.share = Some(Share { session, from: row.from });
        principal.expires_us = Some(row.expires_us);
        Some((principal, row.token_id.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Right;
    use baton_proto::api::LinkKind;
    use uuid::Uuid;

    fn row(id: &str, byte: u8, expires_us: u64) -> LinkRow {
        LinkRow {
            id: id.to_owned(),
            code_hash: [byte; 32],
            kind: LinkKind::Share,
            token_id: "tok_1".to_owned(),
            session_id: Some(SessionId::from_uuid(Uuid::from_u128(7))),
            from: Some(Boundary { instance: InstanceId::from_uuid(Uuid::from_u128(1)), offset: 10, seq: 3 }),
            expires_us,
        }
    }

    #[test]
    fn a_link_is_good_until_it_expires_or_is_removed() {
        let later = clock::now_us() + 60_000_000;
        let shares = Shares::new(vec![row("a", 1, later), row("b", 2, 1)]);
        assert_eq!(shares.by_code([1; 32]).as_deref(), Some("a"));
        assert_eq!(shares.by_code([1; 32]).as_deref(), Some("a"), "as often as it is used");
        assert_eq!(shares.by_code([2; 32]), None);
        assert!(shares.principal("b").is_none());
        let (principal, token) = shares.principal("a").unwrap();
        assert_eq!((token.as_str(), principal.expires_us), ("tok_1", Some(later)));
        assert!(principal.has(Right::Observe) && !principal.has(Right::Control) && !principal.has(Right::Admin));
        assert_eq!(principal.events_floor(), 3);
        assert!(principal.need_screens().is_err() && principal.need_account().is_err());
        assert_eq!(shares.count_of("tok_1"), 2);
        shares.add(row("c", 3, later));
        assert_eq!(shares.count_of("tok_1"), 2, "one that has expired is forgotten");
        shares.remove("c");
        assert_eq!(shares.remove_token("tok_1"), ["a"]);
        assert!(shares.principal("a").is_none() && shares.by_code([1; 32]).is_none());
    }
}
