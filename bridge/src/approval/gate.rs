//! The one function that everything which the policy judges goes through.

use std::sync::Arc;

use baton_proto::ErrorCode;
use baton_proto::api::{AgentInput, ApprovalStatus};
use baton_proto::ids::SessionId;
use baton_proto::v1::Class;

use super::context;
use super::decision::denied_by;
use super::gated::Gated;
use super::request::{self, Asked};
use crate::access::Principal;
use crate::app::App;
use crate::audit::{Action, Details, Entry};
use crate::hub::session::Session;
use crate::policy::{self, ActionKind, Outcome as Says};
use crate::problem::{Failure, Outcome};
use crate::store::approvals::ApprovalRow;

/// That something was judged and may be done, once. What types, starts or claims asks for it, so that no route can forget to have it
/// judged.
#[derive(Debug)]
#[must_use]
pub struct Permit(());

impl Permit {
    /// It is about what the caller has already, or made itself.
    pub(crate) const fn of_its_own() -> Self {
        Self(())
    }

    /// A person said yes to exactly this.
    pub(super) const fn approved() -> Self {
        Self(())
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Gate {
    /// It may be done.
    Go(Permit),
    /// A person is asked.
    Asked(Box<ApprovalRow>),
}

/// Judges something.
///
/// # Errors
/// `denied` by the policy, or by a person who was asked before under the same key; `rate_limited` when too many requests wait; what
/// judging and asking fail with: what can't be judged is not done.
pub async fn gate(app: &Arc<App>, principal: &Principal, gated: Gated, key: Option<String>) -> Outcome<Gate> {
    let (policy, strict) = app.inbox.policy();
    let judged = policy::Principal::from(principal);
    let is_agent = principal.class() == Class::Agent;
    if !is_agent && !policy.may_concern(&judged, gated.kind()) {
        return Ok(Gate::Go(Permit(())));
    }
    // A line at the prompt is typed too.
    let types = matches!(gated.kind(), ActionKind::TerminalInput | ActionKind::TerminalExec);
    let held = is_agent && types && gated.session().is_some_and(|id| is_held(app, id));
    if let Some(key) = &key
        && let Some(row) = app.store.approval_by_key(principal.id.clone(), key.clone()).await?
    {
        return again(app, row, &gated);
    }
    let judgement = context::judge(app, &policy, principal, &gated).await?;
    let mut says = judgement.decision.outcome;
    if held || (strict && is_agent) {
        says = says.max(Says::Ask);
    }
    match says {
        Says::Allow => return Ok(Gate::Go(Permit(()))),
        Says::Deny => {
            let action = serde_json::to_value(gated.kind()).unwrap_or_default();
            let details = Details::none()
                .maybe("action", action.as_str())
                .list("rules", &judgement.decision.rule_ids)
                .text("policy", &judgement.decision.revision);
            let mut entry = Entry::new(principal, Action::Decision).details(details);
            entry.subject = gated.session().map(|id| id.to_string());
            app.audit.refused(entry, ErrorCode::Denied).await;
            return Err(denied_by(&judgement.decision));
        }
        Says::Ask => {}
    }
    if matches!(gated, Gated::Exec(_) | Gated::Input(_)) && judgement.epoch.is_none() {
        return Err(crate::routes::input::not_owner());
    }
    if let (Some(session), false) = (gated.session(), held) {
        let what = app.inbox.digest(&gated, judgement.cwd.as_deref(), Some(&judgement.state))?;
        if app.store.is_remembered(session, principal.id.clone(), what).await? {
            // Nobody decided now, and somebody did: without this row it would look as if it had been nobody.
            let action = serde_json::to_value(gated.kind()).unwrap_or_default();
            let details = Details::none().text("status", "remembered").maybe("action", action.as_str());
            let entry = Entry::new(principal, Action::Decision).subject(session.to_string()).details(details);
            app.audit.outcome(entry, &Ok::<(), Failure>(())).await;
            return Ok(Gate::Go(Permit(())));
        }
    }
    let secret = gated.kind() == ActionKind::TerminalInput && reads_password(app, &gated);
    let asked = Asked { principal, gated: &gated, judgement: &judgement, key, supersedes: None, secret, held };
    request::ask(app, &asked).await.map(|row| Gate::Asked(Box::new(row)))
}

/// The same request under the same key finds what became of it.
fn again(app: &App, row: ApprovalRow, gated: &Gated) -> Outcome<Gate> {
    let shown = app.inbox.shown(&row)?;
    if shown.payload.get("secret").is_none() && shown.payload != gated.payload() {
        let detail = "this `Idempotency-Key` was used for another request; choose a new one";
        return Err(Failure::new(ErrorCode::IdempotencyMismatch, detail));
    }
    refused(&row, shown.notes.as_deref()).map_or_else(|| Ok(Gate::Asked(Box::new(row))), Err)
}

/// The refusal that an approval is, if it is one.
#[must_use]
pub fn refused(row: &ApprovalRow, notes: Option<&str>) -> Option<Failure> {
    let notes = notes.map_or_else(String::new, |notes| format!(": {notes}"));
    let by = row.decided_by.as_deref().unwrap_or("a person");
    let (code, detail) = match row.status {
        ApprovalStatus::Denied => (ErrorCode::Denied, format!("{by} said no to {}{notes}", row.id)),
        ApprovalStatus::Expired => {
            (ErrorCode::Denied, format!("nobody decided about {} in time, which is a no", row.id))
        }
        ApprovalStatus::Cancelled => (ErrorCode::Denied, format!("{} was taken back", row.id)),
        ApprovalStatus::Void => {
            let next = row.superseded_by.map_or_else(String::new, |next| format!("; {next} asks again"));
            (ErrorCode::ContextChanged, format!("what {} showed was no longer so, and nothing was done{next}", row.id))
        }
        _ => return None,
    };
    Some(Failure::new(code, detail))
}

/// Whether an agent's input into this session waits for a person.
pub(crate) fn is_held(app: &App, id: SessionId) -> bool {
    app.catalog.row(id).is_some_and(|row| row.agent_input == AgentInput::Held)
}

/// Keystrokes that no rule is about, by a person, or in a session that the kernel holds: what they do can't be read off them, and what
/// can happen is bounded. They wait for nothing.
#[must_use]
pub fn types_freely(app: &App, principal: &Principal, session: &Session) -> Option<Permit> {
    let (policy, strict) = app.inbox.policy();
    if policy.may_concern(&policy::Principal::from(principal), ActionKind::TerminalInput) {
        return None;
    }
    let free = match principal.class() {
        Class::Person => true,
        Class::Agent => {
            !strict && !is_held(app, session.id) && baton_sandbox::profile::is_confined(session.entry().spec.profile)
        }
    };
    free.then_some(Permit(()))
}

/// Whether the terminal reads a line without showing it.
fn reads_password(app: &App, gated: &Gated) -> bool {
    let session = gated.session().and_then(|id| app.catalog.get(id));
    session.is_some_and(|session| {
        let (echo, canonical, _) = session.live().modes;
        canonical && !echo
    })
}
