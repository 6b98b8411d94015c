//! A policy: rules with examples, as TOML.

use std::collections::HashSet;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::action::{ActionKind, Context, Grant, Outcome, Principal, PrincipalKind, Risk, RiskTag};
use super::glob::Glob;

/// A larger file is refused.
pub const FILE_BYTES_MAX: usize = 256 << 10;
/// Rules of a file, the shipped ones not counted.
pub const RULES_MAX: usize = 512;
/// Bytes of a pattern: each is compared with each word.
const PATTERN_BYTES_MAX: usize = 256;
/// Patterns of one list.
const LIST_MAX: usize = 192;
/// Examples of one rule.
const EXAMPLES_MAX: usize = 64;
/// The shipped rules.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Why a policy is refused.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {what}")]
pub struct PolicyError {
    /// Which file, or `defaults`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

/// One text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Kinds {
    One(ActionKind),
    Several(Vec<ActionKind>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    rule: Vec<toml::Spanned<RuleText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    action: Kinds,
    #[serde(default, rename = "match")]
    matches: MatchText,
    principal: Option<Named>,
    workspace: Option<String>,
    decision: Outcome,
    risk: Risk,
    #[serde(default)]
    tags: Vec<RiskTag>,
    reason: String,
    #[serde(default)]
    examples: Examples,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchText {
    program: Option<Texts>,
    prefix: Option<Texts>,
    any_arg: Option<Texts>,
    has_args: Option<Texts>,
    verb: Option<Texts>,
    verb_not: Option<Texts>,
    other_options: Option<Texts>,
    cwd: Option<Texts>,
    path: Option<Texts>,
    outside_grants: Option<bool>,
    host: Option<Texts>,
    private_host: Option<bool>,
    scheme: Option<Texts>,
    feature: Option<Texts>,
    remote: Option<Texts>,
    branch: Option<Texts>,
    name: Option<Texts>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    kind: Option<PrincipalKind>,
    name: Option<String>,
}

/// What a rule has to match, and what it must not: command lines, paths, URLs, whatever its action is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// These match.
    #[serde(default, rename = "match")]
    pub matching: Vec<String>,
    /// These do not.
    #[serde(default)]
    pub not_match: Vec<String>,
}

/// What a rule asks of an effect; what is absent is not asked.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "named as in the file; docs/policy.md has a line for each")]
pub struct Match {
    pub program: Option<Vec<Glob>>,
    pub prefix: Option<Vec<Glob>>,
    pub any_arg: Option<Vec<Glob>>,
    pub has_args: Option<Vec<Glob>>,
    pub verb: Option<Vec<Glob>>,
    pub verb_not: Option<Vec<Glob>>,
    pub other_options: Option<Vec<Glob>>,
    pub cwd: Option<Vec<Glob>>,
    pub path: Option<Vec<Glob>>,
    pub outside_grants: Option<bool>,
    pub host: Option<Vec<Glob>>,
    pub private_host: Option<bool>,
    pub scheme: Option<Vec<String>>,
    pub feature: Option<Vec<String>>,
    pub remote: Option<Vec<Glob>>,
    pub branch: Option<Vec<Glob>>,
    pub name: Option<Vec<Glob>>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique.
    pub id: String,
    /// Of what actions.
    pub actions: Vec<ActionKind>,
    /// What it asks.
    pub matches: Match,
    /// Whose kind.
    pub principal_kind: Option<PrincipalKind>,
    /// Whose name.
    pub principal_name: Option<String>,
    /// In which workspace.
    pub workspace: Option<String>,
    /// What it says.
    pub decision: Outcome,
    /// How bad it could be.
    pub risk: Risk,
    /// What is at risk.
    pub tags: Vec<RiskTag>,
    /// In words.
    pub reason: String,
    /// Checked when it is loaded.
    pub examples: Examples,
}

impl Rule {
    /// Whether it is about this principal, in this workspace. Persons are judged only by rules that name them.
    #[must_use]
    pub fn concerns(&self, principal: &Principal, context: &Context) -> bool {
        self.names(principal) && self.workspace.as_ref().is_none_or(|it| Some(it) == context.workspace.as_ref())
    }

    /// Whether it could be about something that this principal does.
    #[must_use]
    pub fn names(&self, principal: &Principal) -> bool {
        let named = self.principal_name.as_ref().is_none_or(|it| *it == principal.name);
        let kind = self.principal_kind.is_none_or(|it| it == principal.kind);
        let addressed = principal.kind == PrincipalKind::Agent
            || self.principal_kind == Some(PrincipalKind::Person)
            || self.principal_name.is_some();
        named && kind && addressed
    }
}

/// All rules that count.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Their order means nothing.
    pub rules: Vec<Rule>,
    /// SHA-256 of what they were made of, in hexadecimal.
    pub revision: String,
}

impl Policy {
    /// The shipped rules alone.
    ///
    /// # Errors
    /// [`PolicyError`], were the shipped file wrong; a test says that it isn't.
    pub fn shipped() -> Result<Self, PolicyError> {
        Self::parse("policy.toml", "")
    }

    /// Whether a rule could be about something that this principal does. A person is judged only by rules that name them.
    #[must_use]
    pub fn may_concern(&self, principal: &Principal, kind: ActionKind) -> bool {
        self.rules.iter().any(|rule| rule.actions.contains(&kind) && rule.names(principal))
    }

    /// The shipped rules, but for those that the file is `without`, and the file's own. Every example is tried.
    ///
    /// # Errors
    /// [`PolicyError`] with the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let refuse = |line, what: String| PolicyError { file: file.to_owned(), line, what };
        if text.len() > FILE_BYTES_MAX {
            return Err(refuse(1, format!("{} bytes, more than {FILE_BYTES_MAX}", text.len())));
        }
        let (mut shipped, _) = rules("defaults", DEFAULTS)?;
        let (own, without) = rules(file, text)?;
        if own.len() > RULES_MAX {
            return Err(refuse(1, format!("{} rules, more than {RULES_MAX}", own.len())));
        }
        for id in &without {
            if !shipped.iter().any(|rule| rule.id == *id) {
                let line = text.lines().position(|it| it.contains(id.as_str())).unwrap_or(0) + 1;
                return Err(refuse(line, format!("`without` names `{id}`, and no shipped rule is called so")));
            }
        }
        shipped.retain(|rule| !without.contains(&rule.id));
        shipped.extend(own);
        let mut ids = HashSet::new();
        for rule in &shipped {
            if !ids.insert(rule.id.as_str()) {
                let needle = format!("\"{}\"", rule.id);
                let line = text.lines().position(|it| it.contains(&needle)).unwrap_or(0) + 1;
                return Err(refuse(line, format!("a second rule `{}`: ids are unique, the shipped ones too", rule.id)));
            }
        }
        let mut hash = Sha256::new();
        for part in [DEFAULTS, text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Ok(Self { rules: shipped, revision: hex(&hash.finalize()) })
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// Where examples happen: in a project of somebody's, confined to it.
#[must_use]
pub fn example_context() -> Context {
    Context {
        workspace: None,
        cwd: "/work/project".into(),
        home: "/home/person".into(),
        persons_home: None,
        search: vec!["/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()],
        env: Vec::new(),
        sandboxed: true,
        grants: vec![Grant { root: "/work/project".into(), write: true }, Grant { root: "/tmp".into(), write: true }],
    }
}

fn rules(file: &str, text: &str) -> Result<(Vec<Rule>, Vec<String>), PolicyError> {
    let at = |offset: usize| text.bytes().take(offset).filter(|it| *it == b'\n').count() + 1;
    let parsed: File = toml::from_str(text).map_err(|err| PolicyError {
        file: file.to_owned(),
        line: at(err.span().map_or(0, |span| span.start)),
        what: err.message().to_owned(),
    })?;
    let mut rules = Vec::new();
    for spanned in parsed.rule {
        let span = spanned.span();
        let line = at(span.start);
        let refuse = |line, what: String| PolicyError { file: file.to_owned(), line, what };
        let rule = rule(spanned.into_inner()).map_err(|what| refuse(line, what))?;
        for (examples, wanted) in [(&rule.examples.matching, true), (&rule.examples.not_match, false)] {
            for example in examples {
                if super::judge::example_matches(&rule, example) != wanted {
                    // The line that holds it, if it stands there as it is.
                    let body = text.get(span.start..).unwrap_or_default();
                    let below = body.lines().position(|it| it.contains(example.as_str())).unwrap_or(0);
                    let does = if wanted { "does not match" } else { "matches" };
                    return Err(refuse(line + below, format!("rule `{}` {does} its example `{example}`", rule.id)));
                }
            }
        }
        rules.push(rule);
    }
    Ok((rules, parsed.without))
}

fn rule(text: RuleText) -> Result<Rule, String> {
    let id = text.id;
    if id.is_empty()
        || id.len() > 64
        || !id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    {
        return Err(format!("`{id}` is no id: small letters, digits and `-`, 64 at most"));
    }
    // Each is judged: what it costs to load a file is bounded as the file is.
    if text.examples.matching.len() + text.examples.not_match.len() > EXAMPLES_MAX {
        return Err(format!("rule `{id}` has more than {EXAMPLES_MAX} examples"));
    }
    let actions = match text.action {
        Kinds::One(it) => vec![it],
        Kinds::Several(it) if !it.is_empty() => it,
        Kinds::Several(_) => return Err(format!("rule `{id}` is about no action")),
    };
    let argument: fn(&str) -> Glob = Glob::of_argument;
    let path: fn(&str) -> Glob = Glob::of_path;
    let m = text.matches;
    let matches = Match {
        program: globs(&id, m.program, argument)?,
        prefix: globs(&id, m.prefix, argument)?,
        any_arg: globs(&id, m.any_arg, argument)?,
        has_args: globs(&id, m.has_args, argument)?,
        verb: globs(&id, m.verb, argument)?,
        verb_not: globs(&id, m.verb_not, argument)?,
        other_options: globs(&id, m.other_options, argument)?,
        cwd: globs(&id, m.cwd, path)?,
        path: globs(&id, m.path, path)?,
        outside_grants: m.outside_grants,
        host: globs(&id, m.host, argument)?,
        private_host: m.private_host,
        scheme: m.scheme.map(list),
        feature: m.feature.map(list),
        remote: globs(&id, m.remote, argument)?,
        branch: globs(&id, m.branch, argument)?,
        name: globs(&id, m.name, argument)?,
    };
    let (principal_kind, principal_name) = text.principal.map_or((None, None), |it| (it.kind, it.name));
    Ok(Rule {
        id,
        actions,
        matches,
        principal_kind,
        principal_name,
        workspace: text.workspace,
        decision: text.decision,
        risk: text.risk,
        tags: text.tags,
        reason: text.reason,
        examples: text.examples,
    })
}

fn list(texts: Texts) -> Vec<String> {
    match texts {
        Texts::One(it) => vec![it],
        Texts::Several(it) => it,
    }
}

fn globs(id: &str, texts: Option<Texts>, make: fn(&str) -> Glob) -> Result<Option<Vec<Glob>>, String> {
    let Some(texts) = texts.map(list) else { return Ok(None) };
    if texts.is_empty() || texts.len() > LIST_MAX {
        return Err(format!("rule `{id}` has a list of {} patterns: between 1 and {LIST_MAX}", texts.len()));
    }
    if let Some(long) = texts.iter().find(|it| it.len() > PATTERN_BYTES_MAX) {
        return Err(format!("rule `{id}` has a pattern of {} bytes, more than {PATTERN_BYTES_MAX}", long.len()));
    }
    // A directory's pattern is the directory's too.
    let mut all = Vec::new();
    for text in &texts {
        all.push(make(text));
        if let Some(directory) = text.strip_suffix("/**")
            && !directory.is_empty()
        {
            all.push(make(directory));
        }
    }
    Ok(Some(all))
}
