//! How far an agent reaches: into a session that is confined at least as it is itself, and no other.
//!
//! What an agent types is run by the session's program with the session's rights. Typed into a session that is less confined
//! than the agent, it would be a way out for it, and for whoever talks it into something. So it may watch such a session, if
//! it is shown one; to type, to signal, to resize, to take control or to start it again is a person's.
//!
//! What a session is (its name, labels, size and timeout, whether it ends and is forgotten) is for who made it: an agent that was
//! given a session works in it and leaves it as it is. What is typed is for persons to record and to read: an agent that is shown
//! what a person typed has the person's passwords.
//!
//! | who | confined as | may act in |
//! | --- | --- | --- |
//! | a person | not at all: it could do the same without Baton | every session it sees |
//! | an agent | every session it makes, unless a person approved another | `workspace` and `locked` sessions it sees, and what was approved |
//!
//! An agent sees what it made, and what was made for its id (`Principal::sees`), so the grants and hosts of what it sees
//! are those it was allowed when they were made; `approval::rights` asks about more.

use baton_proto::ErrorCode;
use baton_proto::ids::ClientId;
use baton_proto::spec::Profile;
use baton_proto::v1::Class;
use baton_sandbox::profile;

use super::{Principal, Right};
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::store::sessions::SessionRow;

/// Whether somebody of this class may act in a session of this profile.
#[must_use]
pub const fn reaches(class: Class, profile: Profile) -> bool {
    match class {
        Class::Person => true,
        Class::Agent => profile::is_confined(profile),
    }
}

impl Principal {
    /// The same of a session that is there. One that is not confined, and that this agent made, a person approved
    /// (`session.unsandboxed`).
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_reach_into(&self, session: &Session) -> Outcome<()> {
        let entry = session.entry();
        let made_by = entry.spec.creator.as_ref().and_then(ClientId::agent_id);
        if self.agent_id.is_some() && made_by == self.agent_id.as_deref() {
            return Ok(());
        }
        self.need_reach(entry.spec.profile)
    }

    /// Whether it made this session: for an agent, with any token of its own.
    #[must_use]
    pub fn made(&self, session: &Session, row: Option<&SessionRow>) -> bool {
        let of_agent = session.entry().spec.creator.as_ref().and_then(|creator| creator.agent_id().map(str::to_owned));
        row.is_some_and(|row| row.creator == self.id) || (self.agent_id.is_some() && of_agent == self.agent_id)
    }

    /// Refuses an agent what changes or ends a session that it did not make.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_made(&self, session: &Session, row: Option<&SessionRow>) -> Outcome<()> {
        if self.class() == Class::Person || self.made(session, row) {
            return Ok(());
        }
        let detail = "an agent changes, closes and forgets only sessions that it made: let a person do this";
        Err(Failure::new(ErrorCode::Forbidden, detail))
    }

    /// Refuses an agent that it has typed bytes recorded: they may be a person's.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_record_input(&self) -> Outcome<()> {
        if self.class() == Class::Person {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::Forbidden,
            "whether what is typed is recorded is a person's to say: leave `record_input` out",
        ))
    }

    /// Whether it is shown what was typed: a person who may type too, and no guest.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        self.class() == Class::Person && self.share.is_none() && self.has(Right::Control)
    }

    /// Refuses an agent what it would do in a session that is less confined than itself.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn need_reach(&self, profile: Profile) -> Outcome<()> {
        if reaches(self.class(), profile) {
            return Ok(());
        }
        let detail = "this session is not confined, and an agent is: it may watch it, and let a person do this, or make a \
                      session of its own with `sandbox: \"workspace\"`";
        Err(Failure::new(ErrorCode::Forbidden, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_acts_only_where_it_is_confined() {
        let table = [(Profile::Host, false), (Profile::Workspace, true), (Profile::Locked, true)];
        for (profile, agent) in table {
            assert!(reaches(Class::Person, profile), "{profile:?}");
            assert_eq!(reaches(Class::Agent, profile), agent, "{profile:?}");
        }
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let agent = Principal {
            agent_id: Some("fixer".to_owned()),
            ..Principal::new("tok_1".to_owned(), "fixer".to_owned(), baton_proto::api::PrincipalRole::Agent)
        };
        let failure = agent.need_reach(Profile::Host).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Forbidden);
        assert!(failure.detail.contains("let a person do this") && failure.detail.contains("workspace"));
        assert!(agent.need_reach(Profile::Workspace).is_ok());
    }

    #[test]
    fn what_was_typed_is_for_persons_who_may_type() {
        use baton_proto::api::PrincipalRole::{Agent, Collaborator, Owner, Viewer};
        let who = |role| Principal::new("tok_1".to_owned(), "x".to_owned(), role);
        for (role, reads) in [(Owner, true), (Collaborator, true), (Viewer, false), (Agent, false)] {
            assert_eq!(who(role).reads_input(), reads, "{role:?}");
        }
        let observer = Principal { scopes: Some(vec!["observe".to_owned()]), ..who(Owner) };
        assert!(!observer.reads_input());
        assert!(who(Agent).need_record_input().is_err() && who(Collaborator).need_record_input().is_ok());
    }
}
