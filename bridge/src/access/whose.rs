//! Whose a session is: all that decides who sees it.
//!
//! It is kept with the event that says that a session was forgotten, because nothing else knows it by then, and those who saw the
//! session are to hear that it is gone. Nobody is told it: it names principals.

use std::borrow::Cow;

use baton_proto::api::Event;
use baton_proto::ids::{ClientId, SessionId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::Principal;
use crate::store::sessions::SessionRow;

/// Where an event's `data` has it.
const FIELD: &str = "whose";

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose<'a> {
    /// The principal that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    creator: Option<Cow<'a, str>>,
    /// Its workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_id: Option<WorkspaceId>,
    /// The agent that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_agent: Option<Cow<'a, str>>,
    /// The agent it was given to.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_to: Option<Cow<'a, str>>,
}

impl<'a> Whose<'a> {
    /// By what sessiond says made it, and what people said about it.
    #[must_use]
    pub fn new(made_by: Option<&'a ClientId>, row: Option<&'a SessionRow>) -> Self {
        Self {
            creator: row.map(|row| Cow::Borrowed(row.creator.as_str())),
            workspace_id: row.and_then(|row| row.workspace_id),
            of_agent: made_by.and_then(ClientId::agent_id).map(Cow::Borrowed),
            given_to: row.and_then(|row| row.owner_agent_id.as_deref()).map(Cow::Borrowed),
        }
    }

    /// What is kept with an event.
    #[must_use]
    pub fn of(event: &Event) -> Option<Whose<'static>> {
        Whose::deserialize(event.data.get(FIELD)?).ok()
    }

    /// Keeps it with an event.
    pub fn keep_in(&self, data: &mut serde_json::Value) {
        if let (Some(data), Ok(whose)) = (data.as_object_mut(), serde_json::to_value(self)) {
            data.insert(FIELD.to_owned(), whose);
        }
    }

    /// Takes it out of an event that somebody is told.
    pub fn hide(event: &mut Event) {
        if let Some(data) = event.data.as_object_mut() {
            data.remove(FIELD);
        }
    }

    /// Whether an event has something to hide.
    #[must_use]
    pub fn is_in(event: &Event) -> bool {
        event.data.get(FIELD).is_some()
    }
}

impl Principal {
    /// Whether it may see a session that is somebody's: an agent what it made, a narrowed person its workspaces and what it made, a share
    /// link's holder the one that is shared, any other person everything.
    #[must_use]
    pub fn sees_one_of(&self, session: SessionId, whose: &Whose<'_>) -> bool {
        if let Some(share) = self.share {
            return share.session == session;
        }
        let made = whose.creator.as_deref() == Some(self.id.as_str());
        if self.role == baton_proto::api::PrincipalRole::Agent {
            let agents = [whose.of_agent.as_deref(), whose.given_to.as_deref()];
            return made || (self.agent_id.is_some() && agents.contains(&self.agent_id.as_deref()));
        }
        match &self.workspace_ids {
            None => true,
            Some(ids) => made || whose.workspace_id.is_some_and(|workspace| ids.contains(&workspace.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::shares::Share;
    use baton_proto::api::{PrincipalRole, Scope};
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn who_saw_a_session_is_known_by_its_last_event() {
        let (session, other) = (SessionId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)));
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(3));
        let whose = Whose {
            creator: Some("tok_1".into()),
            workspace_id: Some(workspace),
            of_agent: Some("fixer".into()),
            given_to: Some("helper".into()),
        };
        let mut data = json!({"status": "forgotten"});
        whose.keep_in(&mut data);
        let mut event = Event {
            seq: 1,
            scope: Scope::Session,
            scope_id: session.to_string(),
            kind: "status".to_owned(),
            at: String::new(),
            data,
        };
        assert_eq!(Whose::of(&event).as_ref(), Some(&whose));

        let who = |id: &str, role| Principal::new(id.to_owned(), id.to_owned(), role);
        let agent = |name: &str| Principal { agent_id: Some(name.to_owned()), ..who("tok_9", PrincipalRole::Agent) };
        let narrowed = |ids: &[String]| Principal {
            workspace_ids: Some(ids.to_vec()),
            ..who("tok_9", PrincipalRole::Collaborator)
        };
        let guest =
            |session| Principal { share: Some(Share { session, from: None }), ..who("lnk_1", PrincipalRole::Viewer) };
        for (principal, sees) in [
            (who("tok_9", PrincipalRole::Viewer), true),
            (who("tok_1", PrincipalRole::Agent), true),
            (who("tok_9", PrincipalRole::Agent), false),
            (agent("fixer"), true),
            (agent("helper"), true),
            (agent("other"), false),
            (narrowed(&[workspace.to_string()]), true),
            (narrowed(&["wsp_other".to_owned()]), false),
            (guest(session), true),
            (guest(other), false),
        ] {
            assert_eq!(principal.sees_one_of(session, &whose), sees, "{principal:?}");
        }

        // It is for nobody's eyes.
        assert!(Whose::is_in(&event));
        Whose::hide(&mut event);
        assert!(!Whose::is_in(&event));
        assert_eq!(event.data, json!({"status": "forgotten"}));
    }
}
