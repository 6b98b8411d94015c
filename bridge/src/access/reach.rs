//! How far an agent reaches: into a session that is confined at least as it is itself, and no other.
//!
//! What an agent types is run by the session's program with the session's rights. Typed into a session that is less confined
//! than the agent, it would be a way out for it, and for whoever talks it into something. So it may watch such a session, if
//! it is shown one, and close it; to type, to signal, to resize, to take control or to start it again is a person's.
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

use super::Principal;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};

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
}
