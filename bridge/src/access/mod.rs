//! Who is asking and what they may do: the one place that says so.
//!
//! | carried by | proves |
//! | --- | --- |
//! | `Authorization: Bearer <token>` | the token's principal |
//! | cookie **and** `X-Baton-Key`, or cookie and the subprotocol `baton.key.<k>` | the login's principal |
//! | cookie alone | nothing: browsers send it to every port of 127.0.0.1 |
//! | query, uid of the peer | nothing |
//! | `Tailscale-User-Login` | only to `POST /v1/auth/login`, and only where [`proxies`] believes it |

pub mod logins;
pub mod origin;
pub mod proxies;
pub mod rate;
pub mod reach;
pub mod shares;
pub mod tokens;
pub mod whose;

use baton_proto::ErrorCode;
use baton_proto::api::{self, PrincipalRole};
use baton_proto::ids::ClientId;
use baton_proto::v1::{Class, ClientKind};

use self::logins::LoginId;
use self::shares::Share;
use self::whose::Whose;
use crate::hub::presence::Identity;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::store::sessions::SessionRow;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Right {
    /// See sessions and their output.
    Observe,
    /// Create, type, hold leases.
    Control,
    /// Decide what agents ask for.
    Approve,
    /// Tokens, settings.
    Admin,
}

impl Right {
    /// Its name in a token's `scopes`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Control => "control",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

/// Names a token's `scopes` may have. Those without a route yet narrow nothing that exists.
pub const SCOPES: &[&str] = &["observe", "control", "approve", "files", "git", "admin"];

/// Who is behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its token's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: PrincipalRole,
    /// For agents: which.
    pub agent_id: Option<String>,
    /// Narrows the role.
    pub scopes: Option<Vec<String>>,
    /// Narrows what it sees.
    pub workspace_ids: Option<Vec<String>>,
    /// For the holder of a share link: what that shows.
    pub share: Option<Share>,
    /// Until when it is good, microseconds since 1970.
    pub expires_us: Option<u64>,
    /// The login that this request came with, if it came with one: its end is the end of what was opened with it.
    pub login: Option<LoginId>,
}

impl Principal {
    /// One that nothing narrows.
    #[must_use]
    pub const fn new(id: String, name: String, role: PrincipalRole) -> Self {
        Self {
            id,
            name,
            role,
            agent_id: None,
            scopes: None,
            workspace_ids: None,
            share: None,
            expires_us: None,
            login: None,
        }
    }

    /// Whether it may do such things at all.
    #[must_use]
    pub fn has(&self, right: Right) -> bool {
        let by_role = match self.role {
            // What needs this is about all of Baton: a token of some workspaces could make itself one of all.
            PrincipalRole::Owner => right != Right::Admin || self.workspace_ids.is_none(),
            PrincipalRole::Collaborator => right != Right::Admin,
            // An agent never decides, whatever its token says.
            PrincipalRole::Agent => matches!(right, Right::Observe | Right::Control),
            PrincipalRole::Viewer => right == Right::Observe,
        };
        by_role && self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope == right.as_str()))
    }

    /// Refuses who may not do such things.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need(&self, right: Right) -> Outcome<()> {
        if self.has(right) {
            return Ok(());
        }
        let detail = format!("`{}` may not do this: it needs the right `{}`", self.name, right.as_str());
        Err(Failure::new(ErrorCode::Forbidden, detail))
    }

    /// Whether it may see this session.
    #[must_use]
    pub fn sees(&self, session: &Session, row: Option<&SessionRow>) -> bool {
        self.sees_one_of(session.id, &Whose::new(session.entry().spec.creator.as_ref(), row))
    }

    /// Person or agent.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self.role {
            PrincipalRole::Agent => Class::Agent,
            _ => Class::Person,
        }
    }

    /// Whether it may use this client id at all: `agent:<id>` is that agent's alone, and its only one.
    ///
    /// # Errors
    /// `client_id_taken`.
    pub fn may_be(&self, client: &ClientId) -> Outcome<()> {
        let theirs = match self.role {
            PrincipalRole::Agent => self.agent_id.is_some() && client.agent_id() == self.agent_id.as_deref(),
            _ => client.agent_id().is_none(),
        };
        if theirs {
            return Ok(());
        }
        let detail = match &self.agent_id {
            Some(agent) => format!("an agent's client id is `agent:{agent}`"),
            None => "this client id belongs to an agent; choose a random UUID".to_owned(),
        };
        Err(Failure::new(ErrorCode::ClientIdTaken, detail))
    }

    /// How it is shown as a client. An agent's kind is not its own to say.
    #[must_use]
    pub fn identity(&self, client: ClientId, kind: Option<ClientKind>, name: Option<&str>) -> Identity {
        const NAME_CHARS_MAX: usize = 64;
        let kind = match (self.class(), kind) {
            (Class::Agent, Some(ClientKind::Mcp)) => ClientKind::Mcp,
            (Class::Agent, _) => ClientKind::Agent,
            (Class::Person, Some(ClientKind::Agent) | None) => ClientKind::Cli,
            (Class::Person, Some(kind)) => kind,
        };
        let name: String =
            name.unwrap_or_default().chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect();
        let name = if name.trim().is_empty() { self.name.clone() } else { name };
        Identity { client, kind, class: self.class(), name }
    }

    /// As the API shows it.
    #[must_use]
    pub fn shown(&self) -> api::Principal {
        api::Principal { id: self.id.clone(), name: self.name.clone(), role: self.role }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: PrincipalRole) -> Principal {
        Principal {
            agent_id: (role == PrincipalRole::Agent).then(|| "fixer".to_owned()),
            ..Principal::new("tok_1".to_owned(), "Ada".to_owned(), role)
        }
    }

    #[test]
    fn roles_hold() {
        use PrincipalRole::{Agent, Collaborator, Owner, Viewer};
        let table = [
            (Owner, [true, true, true, true]),
            (Collaborator, [true, true, true, false]),
            (Agent, [true, true, false, false]),
            (Viewer, [true, false, false, false]),
        ];
        for (role, expected) in table {
            let who = principal(role);
            assert_eq!(
                [Right::Observe, Right::Control, Right::Approve, Right::Admin].map(|right| who.has(right)),
                expected,
                "{role:?}"
            );
        }
        let narrowed = Principal { scopes: Some(vec!["observe".to_owned()]), ..principal(Owner) };
        assert!(narrowed.has(Right::Observe) && !narrowed.has(Right::Admin));
        let limited = Principal { workspace_ids: Some(Vec::new()), ..principal(Owner) };
        assert!(
            limited.has(Right::Control) && !limited.has(Right::Admin),
            "it could make itself one of all workspaces"
        );
    }

    #[test]
    fn agents_are_themselves_and_nobody_else_is() {
        let (person, agent) = (principal(PrincipalRole::Collaborator), principal(PrincipalRole::Agent));
        let (fixer, other, uuid) =
            ("agent:fixer".parse().unwrap(), "agent:other".parse().unwrap(), ClientId::from(uuid::Uuid::from_u128(1)));
        assert!(agent.may_be(&fixer).is_ok() && agent.may_be(&other).is_err() && agent.may_be(&uuid).is_err());
        assert!(person.may_be(&uuid).is_ok() && person.may_be(&fixer).is_err());
        assert_eq!(agent.identity(fixer, Some(ClientKind::Web), None).kind, ClientKind::Agent);
        let shown = person.identity(uuid, Some(ClientKind::Web), Some("A\u{1b}[2Jb"));
        assert_eq!((shown.kind, shown.name.as_str()), (ClientKind::Web, "A[2Jb"));
    }
}
