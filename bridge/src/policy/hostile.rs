//! What holds for any bytes at all: one body for the fuzzer and for random tests.

use std::sync::OnceLock;

use super::resolve::ByName;
use super::{Action, Outcome, Policy, Principal, PrincipalKind, example_context, judge_with};

/// Judges a line by the shipped rules.
fn outcome(policy: &Policy, command: String) -> Outcome {
    let principal = Principal { kind: PrincipalKind::Agent, name: "agent".to_owned() };
    judge_with(policy, &principal, &Action::TerminalExec { command }, &example_context(), &ByName).outcome
}

/// Two lines, cut at the first zero: neither stops the engine, and one after the other what each of them is not allowed alone, they are not together.
/// And a policy, which is read or refused.
///
/// # Panics
/// If a promise of this module does not hold: that is what it is for.
pub fn any_bytes(data: &[u8]) {
    static SHIPPED: OnceLock<Option<Policy>> = OnceLock::new();
    let Some(policy) = SHIPPED.get_or_init(|| Policy::shipped().ok()) else { panic!("the shipped policy is refused") };
    let text = String::from_utf8_lossy(data.get(..data.len().min(2 << 10)).unwrap_or_default());
    let (a, b) = text.split_once('\0').unwrap_or((&text, "ls"));
    let each = outcome(policy, a.to_owned()).max(outcome(policy, b.to_owned()));
    let both = outcome(policy, format!("{a}\n{b}"));
    // A line that is not whole by itself becomes another one with what follows it.
    let opens = |word: &str| {
        let words = [
            "if", "then", "else", "elif", "fi", "for", "do", "done", "while", "until", "case", "in", "esac", "time",
            "coproc", "function", "select",
        ];
        words.contains(&word)
    };
    let whole = |line: &str| {
        !line.contains(['\\', '\'', '"', '`', '<', '(', ')', '{', '}', '#', '$', '|', '&', '[', '!', '='])
            && !line.split([' ', '\t', '\n', ';']).any(opens)
    };
    if whole(a) && whole(b) {
        // Together they may be more than is looked at: that is asked about, whatever is in them.
        assert!(both >= each.min(Outcome::Ask), "`{a}` and `{b}`: {both:?}, and {each:?} each by itself");
    }
    let _ = Policy::parse("any", &text);
}
