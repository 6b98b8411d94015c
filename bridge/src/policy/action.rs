//! What is judged: closed sets of values, never sentences.

use std::cmp::Reverse;
use std::path::PathBuf;

use baton_proto::v1::Class;
use serde::{Deserialize, Serialize};

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", deny_unknown_fields)]
pub enum Action {
    /// A command line for a session's shell.
    #[serde(rename = "terminal.exec")]
    TerminalExec {
        /// As the shell gets it.
        command: String,
    },
    /// Bytes typed into a terminal: what they do depends on what reads them.
    #[serde(rename = "terminal.input")]
    TerminalInput {
        /// What is typed.
        text: String,
    },
    /// A program with its arguments, started without a shell.
    #[serde(rename = "process.spawn")]
    ProcessSpawn {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// A page is opened.
    #[serde(rename = "browser.navigate")]
    BrowserNavigate {
        /// Absolute.
        url: String,
    },
    /// A script runs in a page.
    #[serde(rename = "browser.execute_script")]
    BrowserExecuteScript {
        /// The page's.
        url: String,
        /// The whole script.
        script: String,
    },
    /// A click, a key, a form.
    #[serde(rename = "browser.input")]
    BrowserInput {
        /// The page's.
        url: String,
        /// The element's accessible name.
        element: String,
    },
    /// A file is written or made.
    #[serde(rename = "file.write")]
    FileWrite {
        /// Relative to the working directory, or absolute.
        path: String,
    },
    /// A file or directory is deleted.
    #[serde(rename = "file.delete")]
    FileDelete {
        /// As above.
        path: String,
    },
    /// What a file held is gone.
    #[serde(rename = "file.overwrite")]
    FileOverwrite {
        /// As above.
        path: String,
    },
    /// A commit, sent to where others see it.
    #[serde(rename = "git.commit_and_push")]
    GitCommitAndPush {
        /// The working tree.
        path: String,
        /// The remote's name or URL.
        remote: String,
        /// The branch there.
        branch: String,
    },
    /// A pull request.
    #[serde(rename = "git.create_pr")]
    GitCreatePr {
        /// The working tree.
        path: String,
        /// The remote's name or URL.
        remote: String,
        /// The branch it is to be merged into.
        branch: String,
    },
    /// A call of something outside.
    #[serde(rename = "connector.call")]
    ConnectorCall {
        /// Which.
        connector: String,
        /// What of it.
        method: String,
    },
    /// A session that is not confined.
    #[serde(rename = "session.unsandboxed")]
    SessionUnsandboxed {},
    /// An agent claims in a session that it did not create.
    #[serde(rename = "lease.take")]
    LeaseTake {
        /// The session's id.
        session: String,
    },
    /// What an agent's own harness asks leave for; or a right that an agent's new session is to have and the agent has not.
    #[serde(rename = "agent.permission")]
    AgentPermission {
        /// The harness's name for it; or `folder.read`, `folder.change`, `network`.
        tool: String,
        /// The folder, absolute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// The host, a name or a pattern of names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
}

/// The names of actions, as rules say them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the action of the same name says it")]
pub enum ActionKind {
    #[serde(rename = "terminal.exec")]
    TerminalExec,
    #[serde(rename = "terminal.input")]
    TerminalInput,
    #[serde(rename = "process.spawn")]
    ProcessSpawn,
    #[serde(rename = "browser.navigate")]
    BrowserNavigate,
    #[serde(rename = "browser.execute_script")]
    BrowserExecuteScript,
    #[serde(rename = "browser.input")]
    BrowserInput,
    #[serde(rename = "file.write")]
    FileWrite,
    #[serde(rename = "file.delete")]
    FileDelete,
    #[serde(rename = "file.overwrite")]
    FileOverwrite,
    #[serde(rename = "git.commit_and_push")]
    GitCommitAndPush,
    #[serde(rename = "git.create_pr")]
    GitCreatePr,
    #[serde(rename = "connector.call")]
    ConnectorCall,
    #[serde(rename = "session.unsandboxed")]
    SessionUnsandboxed,
    #[serde(rename = "lease.take")]
    LeaseTake,
    #[serde(rename = "agent.permission")]
    AgentPermission,
}

/// What kind of principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A human: judged only by rules that name them.
    Person,
    /// A program that acts by itself.
    Agent,
}

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Which kind.
    pub kind: PrincipalKind,
    /// The token's name.
    pub name: String,
}

impl From<&crate::access::Principal> for Principal {
    fn from(of: &crate::access::Principal) -> Self {
        let kind = match of.class() {
            Class::Agent => PrincipalKind::Agent,
            Class::Person => PrincipalKind::Person,
        };
        Self { kind, name: of.name.clone() }
    }
}

/// A folder that the session may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Absolute, its links followed.
    pub root: PathBuf,
    /// Whether it may be changed.
    pub write: bool,
}

/// Where it would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The workspace's id, if any.
    pub workspace: Option<String>,
    /// The working directory, absolute: of a terminal's shell, what the kernel says of it, not what it says of itself.
    pub cwd: PathBuf,
    /// What `~` is in the session, absolute.
    pub home: PathBuf,
    /// The home of the person who wrote the rules, if that is another: a session's maker chooses its HOME, and what a rule forbids or
    /// asks about in `~` is meant there too, what it allows only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persons_home: Option<PathBuf>,
    /// The session's `PATH`, in order.
    pub search: Vec<PathBuf>,
    /// The names of its environment's variables, sorted; never their values.
    pub env: Vec<String>,
    /// Whether the kernel confines the session to its grants.
    pub sandboxed: bool,
    /// The session's grants.
    pub grants: Vec<Grant>,
}

/// What is to happen; later ones are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// At once.
    Allow,
    /// A person decides.
    Ask,
    /// Not at all.
    Deny,
}

/// How bad it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their order is their meaning")]
pub enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

/// What is at risk: the closed list of `ApprovalRequest.risk_tags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskTag {
    /// Something is gone.
    Delete,
    /// What something held is gone.
    Overwrite,
    /// Another machine hears of it, or is heard.
    Network,
    /// Something outside is called in a person's name.
    Connector,
    /// Many at once.
    Batch,
    /// A program runs that nobody has looked at.
    Script,
    /// What proves who somebody is.
    Credential,
    /// More rights than before, or the same for longer.
    Escalation,
}

impl RiskTag {
    /// As JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Overwrite => "overwrite",
            Self::Network => "network",
            Self::Connector => "connector",
            Self::Batch => "batch",
            Self::Script => "script",
            Self::Credential => "credential",
            Self::Escalation => "escalation",
        }
    }
}

/// One thing that led to the decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What it says by itself.
    pub outcome: Outcome,
    /// The rule that matched, or `not-understood`, or `unmatched`.
    pub rule: String,
    /// In words.
    pub why: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The strictest of all reasons.
    pub outcome: Outcome,
    /// The highest of all rules that matched.
    pub risk_level: Risk,
    /// Of all rules that matched, sorted.
    pub risk_tags: Vec<RiskTag>,
    /// The rules that matched, sorted.
    pub rule_ids: Vec<String>,
    /// Why, each once, the strictest first.
    pub reasons: Vec<Reason>,
    /// What of the action was not understood, by the names that `docs/policy.md` lists.
    pub not_understood: Vec<String>,
    /// Of the policy that judged.
    pub revision: String,
}

impl Judgement {
    /// Of nothing: that may be done.
    #[must_use]
    pub fn nothing(policy: &super::Policy) -> Self {
        Self {
            outcome: Outcome::Allow,
            risk_level: Risk::Low,
            risk_tags: Vec::new(),
            rule_ids: Vec::new(),
            reasons: Vec::new(),
            not_understood: Vec::new(),
            revision: policy.revision.clone(),
        }
    }

    /// Both, of something that is two actions at once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        fn joined<T: Ord>(mine: &mut Vec<T>, others: Vec<T>) {
            mine.extend(others);
            mine.sort();
            mine.dedup();
        }
        self.outcome = self.outcome.max(other.outcome);
        self.risk_level = self.risk_level.max(other.risk_level);
        joined(&mut self.risk_tags, other.risk_tags);
        joined(&mut self.rule_ids, other.rule_ids);
        joined(&mut self.not_understood, other.not_understood);
        self.reasons.extend(other.reasons);
        self.reasons.sort_by_key(|it| Reverse(it.outcome));
        self
    }
}

impl Action {
    /// Which one: what rules name.
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::TerminalExec { .. } => ActionKind::TerminalExec,
            Self::TerminalInput { .. } => ActionKind::TerminalInput,
            Self::ProcessSpawn { .. } => ActionKind::ProcessSpawn,
            Self::BrowserNavigate { .. } => ActionKind::BrowserNavigate,
            Self::BrowserExecuteScript { .. } => ActionKind::BrowserExecuteScript,
            Self::BrowserInput { .. } => ActionKind::BrowserInput,
            Self::FileWrite { .. } => ActionKind::FileWrite,
            Self::FileDelete { .. } => ActionKind::FileDelete,
            Self::FileOverwrite { .. } => ActionKind::FileOverwrite,
            Self::GitCommitAndPush { .. } => ActionKind::GitCommitAndPush,
            Self::GitCreatePr { .. } => ActionKind::GitCreatePr,
            Self::ConnectorCall { .. } => ActionKind::ConnectorCall,
            Self::SessionUnsandboxed {} => ActionKind::SessionUnsandboxed,
            Self::LeaseTake { .. } => ActionKind::LeaseTake,
            Self::AgentPermission { .. } => ActionKind::AgentPermission,
        }
    }
}

impl ActionKind {
    /// What is at risk by its nature, whatever rules say.
    #[must_use]
    pub const fn tag(self) -> Option<RiskTag> {
        match self {
            Self::FileDelete => Some(RiskTag::Delete),
            Self::FileOverwrite => Some(RiskTag::Overwrite),
            Self::BrowserNavigate | Self::GitCommitAndPush | Self::GitCreatePr => Some(RiskTag::Network),
            Self::BrowserExecuteScript => Some(RiskTag::Script),
            Self::ConnectorCall => Some(RiskTag::Connector),
            Self::SessionUnsandboxed | Self::LeaseTake => Some(RiskTag::Escalation),
            Self::TerminalExec
            | Self::TerminalInput
            | Self::ProcessSpawn
            | Self::BrowserInput
            | Self::FileWrite
            | Self::AgentPermission => None,
        }
    }
}

impl Judgement {
    /// The reasons for its outcome in one line, for a title or a log.
    #[must_use]
    pub fn why(&self) -> String {
        let of = self.reasons.iter().filter(|it| it.outcome == self.outcome);
        of.map(|it| it.why.as_str()).collect::<Vec<_>>().join("; ")
    }
}

impl Outcome {
    /// As JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl Risk {
    /// As JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
