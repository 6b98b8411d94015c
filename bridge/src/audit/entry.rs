//! What a row of the audit log says.

use std::collections::BTreeMap;

use baton_proto::ErrorCode;
use baton_proto::ids::SessionId;
use serde_json::Value;

use crate::access::Principal;
use crate::clock;
use crate::problem::Failure;

/// Characters of a text in a row. What is longer is cut, and ends in `…`.
const TEXT_CHARS_MAX: usize = 256;
/// Bytes of all details of a row. What is larger is left out, and its size is told.
const DETAILS_BYTES_MAX: usize = 4096;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What was done. A closed list: a row of another kind can't be written.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in a row.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

actions! {
    /// A browser signed in, or tried to.
    Login = "login";
    /// A browser signed out.
    Logout = "logout";
    /// An access token was made.
    TokenCreate = "token.create";
    /// An access token was revoked.
    TokenDelete = "token.delete";
    /// Somebody asked for the list of access tokens, and may not have it.
    TokenList = "token.list";
    /// Somebody came with a bearer token that is none.
    TokenUse = "token.use";
    /// A link was made.
    LinkCreate = "link.create";
    /// A link was taken back.
    LinkDelete = "link.delete";
    /// Somebody asked for a session.
    SessionCreate = "session.create";
    /// A session's program runs.
    SessionStart = "session.start";
    /// A session's program ended, or its host did.
    SessionEnd = "session.end";
    /// Somebody asked for the end of a session.
    SessionClose = "session.close";
    /// Somebody started a session again.
    SessionRespawn = "session.respawn";
    /// Somebody removed a session and its journal.
    SessionForget = "session.forget";
    /// Somebody changed to whom a session is given, when an agent's input is held, what is recorded of input, or when it closes.
    SessionChange = "session.change";
    /// Control of a session moved, was given up, or ran out.
    LeaseChange = "lease.change";
    /// A line was run at a shell's prompt.
    Exec = "exec";
    /// The program in the foreground was signalled.
    Signal = "signal";
    /// A process of Baton's was replaced.
    Upgrade = "upgrade";
    /// The policy changed.
    PolicyChange = "policy.change";
    /// A setting changed.
    SettingsChange = "settings.change";
    /// The policy, or a person, allowed or denied something.
    Decision = "decision";
    /// Somebody read the audit log, exported it or had it checked.
    AuditRead = "audit.read";
    /// Rows that could not be written: the disk was full, or the database failed. `lost` says how many.
    Gap = "gap";
}

/// Whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was allowed, and done.
    Allowed,
    /// It was refused: whoever asked may not.
    Denied(ErrorCode),
    /// It was allowed, and could not be done.
    Failed(ErrorCode),
}

impl Verdict {
    /// Of an outcome.
    #[must_use]
    pub const fn of<T>(outcome: &Result<T, Failure>) -> Self {
        match outcome {
            Ok(_) => Self::Allowed,
            Err(failure) => Self::of_code(failure.code),
        }
    }

    const fn of_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::Denied | ErrorCode::ClientIdTaken => {
                Self::Denied(code)
            }
            code => Self::Failed(code),
        }
    }

    /// Its name in a row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
        }
    }

    /// The code of the refusal.
    #[must_use]
    pub const fn code(self) -> Option<ErrorCode> {
        match self {
            Self::Allowed => None,
            Self::Denied(code) | Self::Failed(code) => Some(code),
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The id of the principal; `baton` for what nobody asked for, `nobody` for who did not prove to be anybody.
    pub id: String,
    /// The principal's name.
    pub name: String,
    /// `owner`, `collaborator`, `agent` or `viewer`; `client` for who is known by its client id alone; `baton`; `nobody`.
    pub kind: String,
}

impl Actor {
    /// The kind of who is known by its client id alone.
    pub const CLIENT: &str = "client";

    /// Baton itself.
    #[must_use]
    pub fn baton() -> Self {
        Self { id: "baton".to_owned(), name: "Baton".to_owned(), kind: "baton".to_owned() }
    }

    /// Who did not prove to be anybody.
    #[must_use]
    pub fn nobody() -> Self {
        Self { id: "nobody".to_owned(), name: String::new(), kind: "nobody".to_owned() }
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        let kind = serde_json::to_value(principal.role).ok().and_then(|role| role.as_str().map(str::to_owned));
        Self { id: cut(&principal.id), name: cut(&principal.name), kind: kind.unwrap_or_default() }
    }
}

/// Whether a text has the form of Baton's ids: three letters, `_`, and hexadecimal digits.
fn is_id(text: &str) -> bool {
    let hexadecimal = |text: &str| {
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    text.split_once('_').is_some_and(|(kind, number)| {
        kind.len() == 3 && kind.bytes().all(|byte| byte.is_ascii_lowercase()) && hexadecimal(number)
    })
}

/// At most so many characters, and no control characters: rows are shown on terminals.
fn cut(text: &str) -> String {
    let mut chars = text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char });
    let mut text: String = chars.by_ref().take(TEXT_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

/// Small facts about what was done: texts, whole numbers, yes or no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details(BTreeMap<&'static str, Value>);

impl Details {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// With a text.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: impl AsRef<str>) -> Self {
        self.0.insert(name, cut(text.as_ref()).into());
        self
    }

    /// With a text, if there is one.
    #[must_use]
    pub fn maybe(self, name: &'static str, text: Option<impl AsRef<str>>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// With a number. Numbers that a double can't hold become text, as RFC 8785 wants it.
    #[must_use]
    pub fn number(mut self, name: &'static str, number: u64) -> Self {
        let exact = number < 1 << 53;
        self.0.insert(name, if exact { number.into() } else { number.to_string().into() });
        self
    }

    /// With yes or no.
    #[must_use]
    pub fn flag(mut self, name: &'static str, flag: bool) -> Self {
        self.0.insert(name, flag.into());
        self
    }

    /// With a list of texts.
    #[must_use]
    pub fn list(mut self, name: &'static str, texts: &[String]) -> Self {
        self.0.insert(name, texts.iter().map(|text| Value::from(cut(text))).collect());
        self
    }

    /// As canonical JSON (RFC 8785: keys sorted, no spaces). The keys are ours and ASCII, so that the order of their bytes is
    /// that of their UTF-16.
    #[must_use]
    pub fn canonical(&self) -> String {
        let text = self.render();
        if text.len() <= DETAILS_BYTES_MAX {
            return text;
        }
        format!("{{\"too_large\":{}}}", text.len())
    }

    fn render(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    }
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, microseconds since 1970.
    pub at_us: u64,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// To what: the id of a session, token or link.
    pub subject: Option<String>,
    /// Whether it was done.
    pub verdict: Verdict,
    /// What else is worth knowing.
    pub details: Details,
}

impl Entry {
    /// Something that somebody did, now.
    #[must_use]
    pub fn new(actor: impl Into<Actor>, action: Action) -> Self {
        Self {
            at_us: clock::now_us(),
            actor: actor.into(),
            action,
            subject: None,
            verdict: Verdict::Allowed,
            details: Details::none(),
        }
    }

    /// To a session.
    #[must_use]
    pub fn session(self, id: SessionId) -> Self {
        self.subject(id.to_string())
    }

    /// To something with this id. What is no id is left out: a path is whatever somebody wrote there, a secret perhaps.
    #[must_use]
    pub fn subject(self, id: impl AsRef<str>) -> Self {
        let id = id.as_ref();
        Self { subject: is_id(id).then(|| cut(id)), ..self }
    }

    /// With what became of it.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// With details.
    #[must_use]
    pub fn details(self, details: Details) -> Self {
        Self { details, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_canonical_and_bounded() {
        let details = Details::none().text("z", "a\"\u{1b}[2J").number("a", 7).flag("m", true).number("n", u64::MAX);
        assert_eq!(
            details.canonical(),
            "{\"a\":7,\"m\":true,\"n\":\"18446744073709551615\",\"z\":\"a\\\"\u{fffd}[2J\"}"
        );
        let long = Details::none().text("t", "x".repeat(10_000)).canonical();
        assert_eq!(long.len(), "{\"t\":\"\"}".len() + 256 + '…'.len_utf8());
        let list = Details::none().list("l", &vec!["y".repeat(200); 1000]).canonical();
        assert!(list.starts_with("{\"too_large\":"), "{list}");
    }

    #[test]
    fn actions_have_names_of_their_own() {
        let names: std::collections::HashSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
    }
}
