//! Rules become programs for the kernel. One program has one answer besides its default, so a filter with several answers
//! is several programs; of those that disagree on a call, the kernel takes the strictest answer.

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use syscalls::{aarch64, x86_64};

use super::rules::{Answer, Condition, Rules, Test};

/// What there are filters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    Aarch64,
}

/// Calls of the x32 interface are the 64-bit ones with this bit, except for those of [`X32_OWN`].
const X32_BIT: i64 = 0x4000_0000;
/// Calls that have a number of their own under x32 (`arch/x86/entry/syscalls/syscall_64.tbl`).
const X32_OWN: [(&str, i64); 36] = [
    ("rt_sigaction", 512),
    ("rt_sigreturn", 513),
    ("ioctl", 514),
    ("readv", 515),
    ("writev", 516),
    ("recvfrom", 517),
    ("sendmsg", 518),
    ("recvmsg", 519),
    ("execve", 520),
    ("ptrace", 521),
    ("rt_sigpending", 522),
    ("rt_sigtimedwait", 523),
    ("rt_sigqueueinfo", 524),
    ("sigaltstack", 525),
    ("timer_create", 526),
    ("mq_notify", 527),
    ("kexec_load", 528),
    ("waitid", 529),
    ("set_robust_list", 530),
    ("get_robust_list", 531),
    ("vmsplice", 532),
    ("move_pages", 533),
    ("preadv", 534),
    ("pwritev", 535),
    ("rt_tgsigqueueinfo", 536),
    ("recvmmsg", 537),
    ("sendmmsg", 538),
    ("process_vm_readv", 539),
    ("process_vm_writev", 540),
    ("setsockopt", 541),
    ("getsockopt", 542),
    ("io_setup", 543),
    ("io_submit", 544),
    ("execveat", 545),
    ("preadv2", 546),
    ("pwritev2", 547),
];

impl Architecture {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The one Rust calls so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    fn number(self, call: &str) -> Option<i64> {
        match self {
            Self::X86_64 => call.parse::<x86_64::Sysno>().ok().map(|it| it.id().into()),
            Self::Aarch64 => call.parse::<aarch64::Sysno>().ok().map(|it| it.id().into()),
        }
    }

    /// Every call by number and name.
    pub fn calls(self) -> Vec<(i32, &'static str)> {
        match self {
            Self::X86_64 => (0..1024).filter_map(x86_64::Sysno::new).map(|it| (it.id(), it.name())).collect(),
            Self::Aarch64 => (0..1024).filter_map(aarch64::Sysno::new).map(|it| (it.id(), it.name())).collect(),
        }
    }

    /// All numbers under which the kernel takes the call. None where the architecture has not got it, an error where none has.
    fn numbers(self, call: &str, default: Answer) -> Result<Vec<i64>, String> {
        let Some(number) = self.number(call) else {
            let known = Self::ALL.iter().any(|other| other.number(call).is_some());
            return if known { Ok(Vec::new()) } else { Err(format!("there is no call `{call}`")) };
        };
        let mut numbers = vec![number];
        // What is not allowed by name is stopped by the default where that is not to allow.
        if self == Self::X86_64 && default == Answer::Allow {
            let own = X32_OWN.iter().find(|(name, _)| *name == call).map_or(number, |(_, own)| *own);
            numbers.push(own | X32_BIT);
            // Some kernels take these without the bit as well.
            numbers.extend((own != number).then_some(own));
        }
        Ok(numbers)
    }

    const fn target(self) -> TargetArch {
        match self {
            Self::X86_64 => TargetArch::x86_64,
            Self::Aarch64 => TargetArch::aarch64,
        }
    }
}

/// The programs of a filter, in the order they are installed in: the default's own comes last, since it may refuse to
/// install any more.
///
/// # Errors
/// What is wrong with the rules.
pub fn compile(rules: &Rules, architecture: Architecture) -> Result<Vec<BpfProgram>, String> {
    let mut programs = Vec::new();
    let answers: BTreeSet<Answer> = rules.rules.iter().map(|rule| rule.answer).collect();
    for answer in answers.iter().filter(|answer| **answer != rules.default && **answer != Answer::Allow) {
        let chains = chains(rules, architecture, |it| it == *answer)?;
        programs.push(assemble(chains, Answer::Allow, *answer, architecture)?);
    }
    if rules.default != Answer::Allow {
        // What has an answer of its own got it above, and passes here, lest the default be stricter.
        let chains = chains(rules, architecture, |it| it != rules.default)?;
        programs.push(assemble(chains, rules.default, Answer::Allow, architecture)?);
    }
    Ok(programs)
}

/// The calls after which the process ends, by number.
///
/// # Errors
/// What is wrong with the rules.
pub fn ends(rules: &Rules, architecture: Architecture) -> Result<BTreeSet<i64>, String> {
    let mut numbers = BTreeSet::new();
    for rule in rules.rules.iter().filter(|rule| rule.answer == Answer::End) {
        for call in &rule.calls {
            numbers.extend(architecture.numbers(call, rules.default)?);
        }
    }
    Ok(numbers)
}

type Chains = BTreeMap<i64, Vec<SeccompRule>>;

fn chains(rules: &Rules, architecture: Architecture, takes: impl Fn(Answer) -> bool) -> Result<Chains, String> {
    let mut chains = Chains::new();
    let mut always = BTreeSet::new();
    for rule in rules.rules.iter().filter(|rule| takes(rule.answer)) {
        for call in &rule.calls {
            for number in architecture.numbers(call, rules.default)? {
                if rule.when.is_empty() {
                    always.insert(number);
                }
                for all in alternatives(&rule.when)? {
                    let rule = SeccompRule::new(all).map_err(|err| format!("`{call}`: {err}"))?;
                    chains.entry(number).or_default().push(rule);
                }
            }
        }
    }
    for number in always {
        // An empty chain holds whatever the arguments are.
        chains.insert(number, Vec::new());
    }
    Ok(chains)
}

/// Conditions that must all hold, as alternatives of which one must: each test of several values is several ways to hold.
fn alternatives(conditions: &[Condition]) -> Result<Vec<Vec<SeccompCondition>>, String> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<Vec<SeccompCondition>> = vec![Vec::new()];
    for Condition { argument, test } in conditions {
        let look = |op, value: u32| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, op, value.into()).map_err(|err| err.to_string())
        };
        let bits = |value: u32| u64::from(value);
        let ways: Vec<Vec<SeccompCondition>> = match test {
            Test::Is(values) => {
                values.iter().map(|it| Ok(vec![look(SeccompCmpOp::Eq, *it)?])).collect::<Result<_, String>>()?
            }
            Test::Has(values) => values
                .iter()
                .map(|it| Ok(vec![look(SeccompCmpOp::MaskedEq(bits(*it)), *it)?]))
                .collect::<Result<_, String>>()?,
            Test::Masked(mask, values) => values
                .iter()
                .map(|it| Ok(vec![look(SeccompCmpOp::MaskedEq(bits(*mask)), *it)?]))
                .collect::<Result<_, String>>()?,
            Test::Not(values) => {
                vec![values.iter().map(|it| look(SeccompCmpOp::Ne, *it)).collect::<Result<_, String>>()?]
            }
            Test::Lacks(values) => {
                vec![
                    values
                        .iter()
                        .map(|it| look(SeccompCmpOp::MaskedEq(bits(*it)), 0))
                        .collect::<Result<_, String>>()?,
                ]
            }
        };
        all = all
            .iter()
            .flat_map(|so_far| ways.iter().map(move |way| so_far.iter().chain(way).cloned().collect()))
            .collect();
    }
    Ok(all)
}

fn assemble(chains: Chains, other: Answer, answer: Answer, architecture: Architecture) -> Result<BpfProgram, String> {
    let filter = SeccompFilter::new(chains, action(other), action(answer), architecture.target());
    filter.and_then(TryInto::try_into).map_err(|err| err.to_string())
}

const fn action(answer: Answer) -> SeccompAction {
    match answer {
        Answer::Allow => SeccompAction::Allow,
        Answer::Errno(number) => SeccompAction::Errno(number),
        Answer::Report | Answer::End => SeccompAction::Trap,
    }
}
