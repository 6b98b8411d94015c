//! The judgement: every rule against every effect; the strictest wins.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::action::{Action, ActionKind, Context, Judgement, Outcome, Principal, PrincipalKind, Reason, Risk, RiskTag};
use super::effect::{Effect, effects};
use super::glob::Glob;
use super::resolve::{ByFiles, ByName, Resolve};
use super::rules::{Match, Policy, Rule, example_context};
use super::shell::Arg;

/// Reasons of a decision; a line with more is long enough to be looked at.
const REASONS_MAX: usize = 64;

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    /// It can't be told: enough to ask, not enough to allow or to deny.
    Perhaps,
    Yes,
}

/// Decides about `action`, with the programs of this host.
#[must_use]
pub fn judge(policy: &Policy, principal: &Principal, action: &Action, context: &Context) -> Judgement {
    judge_with(policy, principal, action, context, &ByFiles)
}

/// The same, with programs and links as `resolve` knows them.
#[must_use]
pub fn judge_with(
    policy: &Policy,
    principal: &Principal,
    action: &Action,
    context: &Context,
    resolve: &dyn Resolve,
) -> Judgement {
    let mut rules: Vec<&Rule> = policy.rules.iter().filter(|rule| rule.concerns(principal, context)).collect();
    if principal.kind == PrincipalKind::Person {
        // A line that is not understood may hide what a rule about its person forbids; without one it hides nothing.
        let kind = action.kind();
        rules.retain(|it| {
            it.actions.contains(&kind) || (is_command(kind) && it.actions.contains(&ActionKind::FileWrite))
        });
    }
    let mut judgement = Judgement::nothing(policy);
    if principal.kind == PrincipalKind::Person && rules.is_empty() {
        add(&mut judgement, Outcome::Allow, "unmatched", "no rule names this person".to_owned());
        return judgement;
    }
    for effect in effects(action, context, resolve) {
        let mut matched = false;
        judgement.risk_tags.extend(effect.kind.and_then(ActionKind::tag));
        for rule in &rules {
            let holds = matches(rule, &effect, context);
            let outcome = match (rule.decision, holds) {
                (_, Holds::No) | (Outcome::Allow, Holds::Perhaps) => continue,
                // A rule that allows what was not understood would have to know what it is.
                (Outcome::Allow, Holds::Yes) if effect.doubt => continue,
                (Outcome::Deny, Holds::Perhaps) => Outcome::Ask,
                (outcome, _) => outcome,
            };
            matched = true;
            let perhaps = if holds == Holds::Perhaps { "perhaps " } else { "" };
            judgement.risk_level = judgement.risk_level.max(rule.risk);
            judgement.risk_tags.extend(&rule.tags);
            judgement.rule_ids.push(rule.id.clone());
            add(&mut judgement, outcome, &rule.id, format!("{}: {perhaps}{}", effect.text, rule.reason));
        }
        if effect.doubt {
            judgement.risk_level = judgement.risk_level.max(Risk::Medium);
            judgement.not_understood.extend(effect.features.iter().map(|it| (*it).to_owned()));
            judgement.risk_tags.push(if effect.features.contains(&"url") { RiskTag::Network } else { RiskTag::Script });
            let feature = effect.features.first().copied().unwrap_or("unparsable");
            add(&mut judgement, Outcome::Ask, "not-understood", format!("{feature}: {}", effect.text));
        } else if !matched {
            if effect.kind == Some(ActionKind::AgentPermission) {
                let risk = if is_right(&effect) { Risk::High } else { Risk::Medium };
                judgement.risk_level = judgement.risk_level.max(risk);
                judgement.risk_tags.push(RiskTag::Escalation);
            }
            let (outcome, why) = unmatched(&effect, principal, context);
            add(&mut judgement, outcome, "unmatched", format!("{}: {why}", effect.text));
        }
    }
    judgement.not_understood.sort();
    judgement.not_understood.dedup();
    judgement.risk_tags.sort();
    judgement.risk_tags.dedup();
    judgement.rule_ids.sort();
    judgement.rule_ids.dedup();
    judgement.reasons.sort_by_key(|it| Reverse(it.outcome));
    judgement.reasons.truncate(REASONS_MAX);
    judgement
}

fn add(judgement: &mut Judgement, outcome: Outcome, rule: &str, why: String) {
    judgement.outcome = judgement.outcome.max(outcome);
    let reason = Reason { outcome, rule: rule.to_owned(), why };
    if !judgement.reasons.contains(&reason) {
        judgement.reasons.push(reason);
    }
}

/// What no rule is about: allowed where the kernel holds it to its grants.
fn unmatched(effect: &Effect, principal: &Principal, context: &Context) -> (Outcome, &'static str) {
    if principal.kind == PrincipalKind::Person {
        return (Outcome::Allow, "no rule names this person");
    }
    if !context.sandboxed {
        return (Outcome::Ask, "no rule is about it, and the session is not confined");
    }
    if is_right(effect) {
        return (Outcome::Ask, "no rule is about it, and this agent was not granted it in a session that lives");
    }
    if effect.kind == Some(ActionKind::AgentPermission) {
        return (Outcome::Ask, "no rule is about it, and the agent's own harness asks");
    }
    let is_file =
        matches!(effect.kind, Some(ActionKind::FileWrite | ActionKind::FileDelete | ActionKind::FileOverwrite));
    if is_file && outside(&effect.paths, context) > Holds::No {
        return (Outcome::Ask, "no rule is about it, and it is not certainly within the session's grants");
    }
    if effect.cwds.iter().any(|cwd| !is_granted(cwd, context, false)) {
        return (Outcome::Ask, "no rule is about it, and it may happen outside of the session's grants");
    }
    (Outcome::Allow, "no rule is about it; it is confined to the session's grants")
}

/// `folder.change PATH`, `folder.read PATH`, `network HOST`, or a harness's tool.
fn permission(example: &str) -> Action {
    let (tool, of) = example.split_once(' ').unwrap_or((example, ""));
    let of = Some(of.to_owned()).filter(|of| !of.is_empty());
    match tool {
        "folder.change" | "folder.read" => Action::AgentPermission { tool: tool.to_owned(), path: of, host: None },
        "network" => Action::AgentPermission { tool: tool.to_owned(), path: None, host: of },
        _ => Action::AgentPermission { tool: example.to_owned(), path: None, host: None },
    }
}

/// Whether it is a right that an agent wants to have, and not something that it does.
fn is_right(effect: &Effect) -> bool {
    effect.kind == Some(ActionKind::AgentPermission) && (!effect.paths.is_empty() || effect.host.is_some())
}

/// Whether a rule matches one of its examples.
pub(super) fn example_matches(rule: &Rule, example: &str) -> bool {
    let context = example_context();
    let text = example.to_owned();
    let halves = || {
        let (a, b) = example.split_once(' ').unwrap_or((example, ""));
        (a.to_owned(), b.to_owned())
    };
    rule.actions.iter().any(|kind| {
        let action = match kind {
            ActionKind::TerminalExec => Action::TerminalExec { command: text.clone() },
            ActionKind::ProcessSpawn => Action::ProcessSpawn { argv: example.split(' ').map(str::to_owned).collect() },
            ActionKind::TerminalInput => Action::TerminalInput { text: text.clone() },
            ActionKind::BrowserNavigate => Action::BrowserNavigate { url: text.clone() },
            ActionKind::BrowserExecuteScript => {
                Action::BrowserExecuteScript { url: text.clone(), script: String::new() }
            }
            ActionKind::BrowserInput => {
                let (url, element) = halves();
                Action::BrowserInput { url, element }
            }
            ActionKind::FileWrite => Action::FileWrite { path: text.clone() },
            ActionKind::FileDelete => Action::FileDelete { path: text.clone() },
            ActionKind::FileOverwrite => Action::FileOverwrite { path: text.clone() },
            ActionKind::GitCommitAndPush | ActionKind::GitCreatePr => {
                let ((remote, branch), path) = (halves(), ".".to_owned());
                if *kind == ActionKind::GitCreatePr {
                    Action::GitCreatePr { path, remote, branch }
                } else {
                    Action::GitCommitAndPush { path, remote, branch }
                }
            }
            ActionKind::ConnectorCall => {
                let (connector, method) = example.split_once('.').unwrap_or((example, ""));
                Action::ConnectorCall { connector: connector.to_owned(), method: method.to_owned() }
            }
            ActionKind::SessionUnsandboxed => Action::SessionUnsandboxed {},
            ActionKind::LeaseTake => Action::LeaseTake { session: text.clone() },
            ActionKind::AgentPermission => permission(&text),
        };
        let all = effects(&action, &context, &ByName);
        all.iter().any(|effect| matches(rule, effect, &context) > Holds::No)
    })
}

fn matches(rule: &Rule, effect: &Effect, context: &Context) -> Holds {
    if !effect.kind.is_some_and(|kind| rule.actions.contains(&kind)) {
        return Holds::No;
    }
    let m = &rule.matches;
    let mut all = vec![certain(m.cwd.as_ref().map(|it| in_directories(it, effect, rule.decision, context)))];
    if let Some(features) = &m.feature {
        all.push(yes(effect.features.iter().any(|it| features.iter().any(|named| named == it))));
    } else if effect.doubt && effect.kind.is_some_and(is_command) && !is_blank(m) {
        // It is not known what this is: what it is about can't be asked of it.
        return Holds::No;
    }
    if let Some(programs) = &m.program {
        all.push(yes(effect.names.iter().any(|name| any(programs, &Glob::literal(name)))));
    }
    if let Some(prefix) = &m.prefix {
        all.push(begins(prefix, &effect.args));
    }
    if let Some(patterns) = &m.any_arg {
        all.push(some(patterns, &effect.args));
    }
    if let Some(verbs) = &m.verb {
        all.push(effect.verb.as_ref().map_or(Holds::No, |it| one(verbs, it)));
    }
    if let Some(known) = &m.verb_not {
        all.push(effect.verb.as_ref().map_or(Holds::No, |it| opposite(one(known, it))));
    }
    if let Some(known) = &m.other_options {
        let other = |arg: &Arg| match arg.text() {
            Some(it) => yes(it.starts_with('-') && it != "-" && !any(known, &arg.glob)),
            None if arg.glob.split().0.is_empty() || arg.glob.split().0.starts_with('-') => Holds::Perhaps,
            None => Holds::No,
        };
        all.push(
            effect
                .args
                .iter()
                .take_while(|it| it.text().as_deref() != Some("--"))
                .map(other)
                .max()
                .unwrap_or(Holds::No),
        );
    }
    for pattern in m.has_args.iter().flatten() {
        all.push(some(std::slice::from_ref(pattern), &effect.args));
    }
    if let Some(patterns) = &m.path {
        all.push(
            effect.paths.iter().map(|path| of_path(patterns, path, rule.decision, context)).max().unwrap_or(Holds::No),
        );
    }
    if let Some(wanted) = m.outside_grants {
        let holds = outside(&effect.paths, context);
        all.push(if wanted { holds } else { opposite(holds) });
    }
    if let Some(hosts) = &m.host {
        all.push(yes(effect.host.as_ref().is_some_and(|it| any(hosts, &Glob::literal(it)))));
    }
    if let Some(wanted) = m.private_host {
        all.push(yes(effect.host.as_ref().is_some_and(|it| is_private(it) == wanted)));
    }
    if let Some(schemes) = &m.scheme {
        all.push(yes(effect.scheme.as_ref().is_some_and(|it| schemes.contains(it))));
    }
    for (patterns, value) in [(&m.remote, &effect.remote), (&m.branch, &effect.branch), (&m.name, &effect.name)] {
        if let Some(patterns) = patterns {
            all.push(yes(value.as_ref().is_some_and(|it| any(patterns, &Glob::literal(it)))));
        }
    }
    all.into_iter().min().unwrap_or(Holds::Yes)
}

const fn is_command(kind: ActionKind) -> bool {
    matches!(kind, ActionKind::TerminalExec | ActionKind::ProcessSpawn)
}

/// Whether a rule asks nothing but where it happens.
const fn is_blank(m: &Match) -> bool {
    m.program.is_none()
        && m.prefix.is_none()
        && m.any_arg.is_none()
        && m.has_args.is_none()
        && m.verb.is_none()
        && m.verb_not.is_none()
        && m.other_options.is_none()
        && m.path.is_none()
        && m.outside_grants.is_none()
        && m.host.is_none()
        && m.private_host.is_none()
        && m.scheme.is_none()
        && m.remote.is_none()
        && m.branch.is_none()
        && m.name.is_none()
}

const fn yes(it: bool) -> Holds {
    if it { Holds::Yes } else { Holds::No }
}

const fn opposite(it: Holds) -> Holds {
    match it {
        Holds::No => Holds::Yes,
        Holds::Perhaps => Holds::Perhaps,
        Holds::Yes => Holds::No,
    }
}

fn certain(it: Option<bool>) -> Holds {
    yes(it.unwrap_or(true))
}

fn any(patterns: &[Glob], it: &Glob) -> bool {
    patterns.iter().any(|pattern| pattern.meets(it))
}

/// A rule that allows wants every directory that the line may be in; the others want one.
fn in_directories(patterns: &[Glob], effect: &Effect, decision: Outcome, context: &Context) -> bool {
    let here = |cwd: &String| of_path(patterns, &Glob::literal(cwd), decision, context) == Holds::Yes;
    if decision == Outcome::Allow { effect.cwds.iter().all(here) } else { effect.cwds.iter().any(here) }
}

fn one(patterns: &[Glob], arg: &Arg) -> Holds {
    if !any(patterns, &arg.glob) {
        // It may become several words, and each is then only a part of what is known.
        let open = arg.many && arg.glob == Arg::unknown().glob;
        return if open { Holds::Perhaps } else { Holds::No };
    }
    if arg.text().is_some() { Holds::Yes } else { Holds::Perhaps }
}

fn some(patterns: &[Glob], args: &[Arg]) -> Holds {
    args.iter().map(|arg| one(patterns, arg)).max().unwrap_or(Holds::No)
}

fn begins(prefix: &[Glob], args: &[Arg]) -> Holds {
    let mut holds = Holds::Yes;
    for (place, pattern) in prefix.iter().enumerate() {
        let Some(arg) = args.get(place) else { return Holds::No };
        holds = holds.min(one(std::slice::from_ref(pattern), arg));
        if arg.many {
            return holds.min(Holds::Perhaps);
        }
    }
    holds
}

/// Whether a path is below one of these.
fn of_path(patterns: &[Glob], path: &Glob, decision: Outcome, context: &Context) -> Holds {
    let own = Some(&context.home).filter(|_| decision != Outcome::Allow || context.persons_home.is_none());
    let homes = || own.into_iter().chain(&context.persons_home);
    let at_home = |it: &Glob| homes().any(|home| it.at_home(&home.to_string_lossy()).is_some_and(|it| it.meets(path)));
    let meets = patterns.iter().any(|it| it.meets(path) || at_home(it));
    match meets {
        false => Holds::No,
        true if path.text().is_some() => Holds::Yes,
        true => Holds::Perhaps,
    }
}

/// Whether one of these paths is outside of what may be written.
fn outside(paths: &[Glob], context: &Context) -> Holds {
    paths
        .iter()
        .map(|path| {
            let (head, rest) = path.split();
            if rest == Glob::default() {
                return yes(!is_granted(&head, context, true) && !is_harmless(&head));
            }
            // Behind a granted directory's slash a name is a name; anything at all may lead out again.
            let directory = head.rsplit_once('/').map_or("", |it| it.0);
            let inside = is_granted(directory, context, true) && !path.meets_up();
            if inside { Holds::No } else { Holds::Perhaps }
        })
        .max()
        .unwrap_or(Holds::No)
}

fn is_granted(path: &str, context: &Context, write: bool) -> bool {
    let inside = |root: &std::path::Path| std::path::Path::new(path).starts_with(root);
    context.grants.iter().any(|it| (it.write || !write) && inside(&it.root))
}

/// What is written there is nowhere else afterwards.
fn is_harmless(path: &str) -> bool {
    matches!(path, "/dev/null" | "/dev/stdout" | "/dev/stderr" | "/dev/tty" | "/dev/full" | "/dev/zero")
}

/// Whether a host is this one, or of a network that not everybody reaches.
fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>().map(|it| it.to_canonical()) {
        Ok(IpAddr::V4(it)) => {
            let shared = it.octets()[0] == 100 && it.octets()[1] & 0xc0 == 64;
            it.is_loopback()
                || it.is_private()
                || it.is_link_local()
                || it.is_unspecified()
                || it.is_broadcast()
                || shared
                || it.octets()[0] == 0
        }
        Ok(IpAddr::V6(it)) => {
            it.is_loopback() || it.is_unspecified() || it.is_unique_local() || it.is_unicast_link_local()
        }
        Err(_) => {
            !host.contains('.')
                || [".localhost", ".local", ".internal", ".lan", ".home.arpa"].iter().any(|it| host.ends_with(it))
        }
    }
}
