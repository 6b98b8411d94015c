//! A filter as a person writes it: rules over system calls, with the answer each gets and the reason.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::constants;

/// A file of `filters/`, with what it includes.
#[derive(Debug)]
pub struct Rules {
    /// For every call that no rule names.
    pub default: Answer,
    /// In the order of the files; an included file's come first.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// The calls by name.
    pub calls: Vec<String>,
    /// All must hold; none = always.
    pub when: Vec<Condition>,
    /// What the call gets then.
    pub answer: Answer,
}

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It happens.
    Allow,
    /// It does not happen and fails with this number.
    Errno(u32),
    /// It does not happen, and the process tells its log of it.
    Report,
    /// It does not happen, and the process tells its log of it and ends.
    End,
}

/// A look at one argument, at its lower 32 bits: no call that has a condition reads more of it.
#[derive(Debug)]
pub struct Condition {
    /// Which one, from 0.
    pub argument: u8,
    /// How it is looked at.
    pub test: Test,
}

/// How an argument is looked at.
#[derive(Debug)]
pub enum Test {
    /// It is one of these.
    Is(Vec<u32>),
    /// It is none of these.
    Not(Vec<u32>),
    /// One of these bits is set.
    Has(Vec<u32>),
    /// None of these bits is set.
    Lacks(Vec<u32>),
    /// Its bits under the mask are one of these values.
    Masked(u32, Vec<u32>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Those that `tests/it/needless.rs` meets.
    #[serde(default)]
    calls: Vec<String>,
    /// Further ones, and why that test does not meet them.
    #[serde(default)]
    seldom: Vec<String>,
    seldom_reason: Option<String>,
    #[serde(default)]
    when: Vec<WrittenCondition>,
    answer: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCondition {
    argument: u8,
    is: Option<Vec<Value>>,
    not: Option<Vec<Value>>,
    has: Option<Vec<Value>>,
    lacks: Option<Vec<Value>>,
    mask: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u32),
    Name(String),
}

/// Reads `<name>.toml` of a directory and what it includes.
///
/// # Errors
/// What is wrong and in which file.
pub fn read(directory: &Path, name: &str) -> Result<Rules, String> {
    let mut rules = Vec::new();
    let default = add(directory, name, &mut rules)?;
    let default = default.ok_or_else(|| format!("filters/{name}.toml: no `default`"))?;
    let mut seen = BTreeSet::new();
    for rule in rules.iter().filter(|rule| rule.when.is_empty()) {
        for call in &rule.calls {
            if !seen.insert(call) {
                return Err(format!("filters/{name}.toml: `{call}` is named twice without a condition"));
            }
        }
    }
    Ok(Rules { default, rules })
}

fn add(directory: &Path, name: &str, rules: &mut Vec<Rule>) -> Result<Option<Answer>, String> {
    let wrong = |what: String| format!("filters/{name}.toml: {what}");
    let text =
        std::fs::read_to_string(directory.join(name).with_extension("toml")).map_err(|err| wrong(err.to_string()))?;
    let file: File = toml::from_str(&text).map_err(|err| wrong(err.to_string()))?;
    for included in &file.include {
        add(directory, included, rules)?;
    }
    for written in file.rule {
        let of =
            format!("the rule of `{}`", written.calls.first().or(written.seldom.first()).map_or("", String::as_str));
        let calls: Vec<String> = written.calls.into_iter().chain(written.seldom.iter().cloned()).collect();
        if written.reason.trim().len() < 8 || calls.is_empty() {
            return Err(wrong(format!("{of} needs calls and a reason")));
        }
        if written.seldom.is_empty() != written.seldom_reason.is_none() {
            return Err(wrong(format!("{of}: calls that are seldom need a reason")));
        }
        let answer =
            answer(&written.answer).ok_or_else(|| wrong(format!("{of}: `{}` is no answer", written.answer)))?;
        let when = written.when.into_iter().map(condition).collect::<Option<Vec<_>>>();
        let when =
            when.ok_or_else(|| wrong(format!("{of}: a condition has one known test, and names that are known")))?;
        rules.push(Rule { calls, when, answer });
    }
    let default = file.default.map(|text| answer(&text).ok_or_else(|| wrong(format!("`{text}` is no answer"))));
    default.transpose()
}

fn answer(text: &str) -> Option<Answer> {
    match text {
        "allow" => Some(Answer::Allow),
        "report" => Some(Answer::Report),
        "end" => Some(Answer::End),
        name => constants::errno(name).map(Answer::Errno),
    }
}

fn condition(written: WrittenCondition) -> Option<Condition> {
    let numbers = |values: Vec<Value>| values.iter().map(value).collect::<Option<Vec<u32>>>();
    let WrittenCondition { argument, is, not, has, lacks, mask } = written;
    let test = match (is, not, has, lacks, mask) {
        (Some(is), None, None, None, None) => Test::Is(numbers(is)?),
        (Some(is), None, None, None, Some(mask)) => Test::Masked(value(&mask)?, numbers(is)?),
        (None, Some(not), None, None, None) => Test::Not(numbers(not)?),
        (None, None, Some(has), None, None) => Test::Has(numbers(has)?),
        (None, None, None, Some(lacks), None) => Test::Lacks(numbers(lacks)?),
        _ => return None,
    };
    Some(Condition { argument, test })
}

fn value(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Name(name) => constants::number(name),
    }
}
