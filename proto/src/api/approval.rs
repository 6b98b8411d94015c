//! Approvals: what waits for a person, and what the person said.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ApprovalId, Epoch, SessionId, WorkspaceId};

/// What kind of answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// Baton is to do something, once.
    Action,
    /// A plan of several actions.
    Plan,
    /// A draft is to be taken over.
    Draft,
    /// A question without an action; its answer is text.
    Question,
}

/// Where an approval is.
///
/// `pending` → `approved` | `denied` | `edited` | `expired` | `cancelled` | `void` | `superseded`; `approved` and `edited` →
/// `executing` | `void` | `failed`; `executing` → `executed` | `failed` | `outcome_unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// Nobody has decided.
    Pending,
    /// A person said yes; it is not done yet.
    Approved,
    /// A person said no.
    Denied,
    /// A person said yes to something else, which is not done yet.
    Edited,
    /// Nobody decided in time, which is a no.
    Expired,
    /// Who asked took it back, or is gone.
    Cancelled,
    /// What was shown is no longer so.
    Void,
    /// An edit raised the risk: another approval asks for it.
    Superseded,
    /// It is being done.
    Executing,
    /// It was done.
    Executed,
    /// It was tried, and failed.
    Failed,
    /// The bridge ended between its beginning and its end.
    OutcomeUnknown,
}

/// How bad it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Hardly.
    Low,
    /// It can be undone.
    Medium,
    /// It may not be undone.
    High,
    /// Others, or the whole machine.
    Critical,
}

/// What kind of thing a decision is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BoundKind {
    /// The working directory, or one that the line goes to.
    Directory,
    /// A program that it starts.
    Program,
    /// A file that it names.
    File,
    /// The names in the environment.
    Environment,
    /// This life of the session, its profile and what it is granted.
    Session,
    /// The program that has the terminal.
    Foreground,
    /// The policy.
    Policy,
}

/// Something that a decision is bound to, as it was when it was asked: two requests with another `state` of the same thing differ in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BoundTo {
    /// What kind of thing.
    pub kind: BoundKind,
    /// Its name: a path as it is looked up; empty where there is one of the kind only.
    pub name: String,
    /// Where the name leads, when that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads_to: Option<String>,
    /// Compares and says nothing else; null: there is no such thing.
    pub state: Option<String>,
}

/// Something that waits for a person, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalRequest {
    /// Its id.
    pub id: ApprovalId,
    /// What kind of answer is asked for.
    pub kind: ApprovalKind,
    /// In a few words; never the payload.
    pub title: String,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// For which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// For which step of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// About which draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_id: Option<String>,
    /// In which workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// `terminal.exec`, `terminal.input`, `session.unsandboxed`, `lease.take` …; none for a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Exactly what would be done. Null once nobody needs it any more and it was secret.
    pub payload: Value,
    /// Why it is asked about.
    pub reason: String,
    /// What it comes to, one line each.
    pub proposed_actions: Vec<String>,
    /// How bad it could be.
    pub risk_level: RiskLevel,
    /// `delete`, `overwrite`, `network`, `connector`, `batch`, `script`, `credential`, `escalation`.
    pub risk_tags: Vec<String>,
    /// The rules that asked.
    pub rule_ids: Vec<String>,
    /// What a decision quotes: SHA-256 of all that the decision is about, hexadecimal.
    pub context_hash: String,
    /// The working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What else a decision is bound to: `context_hash` is of all of this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_to: Vec<BoundTo>,
    /// The lease's epoch when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_epoch: Option<Epoch>,
    /// The approval in whose place this one asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<ApprovalId>,
    /// The approval that asks in the place of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<ApprovalId>,
    /// Who asks: the principal's id.
    pub requested_by: String,
    /// Its name.
    pub requested_by_name: String,
    /// RFC 3339.
    pub created_at: String,
    /// When silence becomes a no, RFC 3339.
    pub expires_at: String,
    /// Where it is.
    pub status: ApprovalStatus,
    /// What the person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What the person made of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_payload: Option<Value>,
    /// What the person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Who decided: the principal's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// The rule that `remember` would add, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember_rule: Option<String>,
    /// What became of it: `{exit_code, cursor_start, cursor_end, …}`, or `{code, detail}` of a failure. Output is in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// Yes, to this instead.
    Edit,
}

/// For how long a yes counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// For this once.
    #[default]
    Once,
    /// For the same again, as long as the task is under way.
    Task,
    /// For the same again in this session, as long as it lives.
    Session,
}

/// `POST /v1/approvals/{id}/decision`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// What the person says.
    pub decision: Decision,
    /// The `context_hash` of what the person was shown.
    pub context_hash: String,
    /// For `edit`: what to do instead. It is judged anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_payload: Option<Value>,
    /// For who asked, at most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// For how long a yes counts; `once` if nothing is said.
    #[serde(default)]
    pub remember: Remember,
}

/// `202`: it waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AwaitingApproval {
    /// Ask `GET /v1/approvals/{id}?wait_s=` for what becomes of it.
    pub approval_id: ApprovalId,
    /// Where it is.
    pub status: ApprovalStatus,
}

macro_rules! words {
    ($type:ident { $($name:ident = $word:literal),* $(,)? }) => {
        impl $type {
            /// Every value there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As JSON has it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// Of its word; `None` for any other.
            #[must_use]
            pub fn of_str(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == word)
            }
        }
    };
}

words!(ApprovalKind { Action = "action", Plan = "plan", Draft = "draft", Question = "question" });
words!(ApprovalStatus {
    Pending = "pending",
    Approved = "approved",
    Denied = "denied",
    Edited = "edited",
    Expired = "expired",
    Cancelled = "cancelled",
    Void = "void",
    Superseded = "superseded",
    Executing = "executing",
    Executed = "executed",
    Failed = "failed",
    OutcomeUnknown = "outcome_unknown",
});
words!(RiskLevel { Low = "low", Medium = "medium", High = "high", Critical = "critical" });
words!(Decision { Approve = "approve", Deny = "deny", Edit = "edit" });

impl ApprovalStatus {
    /// Whether it may become `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use ApprovalStatus::{
            Approved, Cancelled, Denied, Edited, Executed, Executing, Expired, Failed, OutcomeUnknown, Pending,
            Superseded, Void,
        };
        match self {
            Pending => matches!(next, Approved | Denied | Edited | Expired | Cancelled | Void | Superseded),
            Approved | Edited => matches!(next, Executing | Void | Failed),
            Executing => matches!(next, Executed | Failed | OutcomeUnknown),
            Denied | Expired | Cancelled | Void | Superseded | Executed | Failed | OutcomeUnknown => false,
        }
    }

    /// Whether nothing more will become of it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved | Self::Edited | Self::Executing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_json() {
        for status in ApprovalStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(ApprovalStatus::of_str(status.as_str()), Some(*status));
        }
        for risk in RiskLevel::ALL {
            assert_eq!(serde_json::to_value(risk).unwrap(), risk.as_str());
        }
    }

    #[test]
    fn nothing_is_executed_that_was_not_approved_and_nothing_twice() {
        use ApprovalStatus::{Approved, Edited, Executing};
        for from in ApprovalStatus::ALL {
            let executes = from.may_become(Executing);
            assert_eq!(executes, matches!(from, Approved | Edited), "{from:?}");
            assert!(!from.is_final() || ApprovalStatus::ALL.iter().all(|to| !from.may_become(*to)), "{from:?}");
            // No way leads back to where it could be executed again.
            assert!(!Executing.may_become(*from) || from.is_final());
        }
    }
}
