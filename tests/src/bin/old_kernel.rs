//! `baton-old-kernel WITHOUT[,WITHOUT…] PROGRAM [ARGUMENT…]`: runs a program on a kernel that lacks something, as far as the
//! program can tell: a filter answers what such a kernel answers. `landlock` and `seccomp` are known, `namespaces`, those of
//! users, which are refused as some distributions do, and `network`, a namespace that containers refuse to root, too.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a test's own program")]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(without), Some(program)) = (words.next(), words.next()) else {
        eprintln!("usage: baton-old-kernel WITHOUT[,WITHOUT…] PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let without: Vec<&str> = without.split(',').collect();
    let always = Vec::new;
    let mut absent = BTreeMap::new();
    if without.contains(&"landlock") {
        absent.insert(libc::SYS_landlock_create_ruleset, always());
        absent.insert(libc::SYS_landlock_restrict_self, always());
    }
    for (name, flag) in [("namespaces", libc::CLONE_NEWUSER), ("network", libc::CLONE_NEWNET)] {
        if !without.contains(&name) {
            continue;
        }
        let flag = u64::from(flag.cast_unsigned());
        let mut refused = BTreeMap::new();
        refused.insert(libc::SYS_unshare, vec![has(0, flag)]);
        refused.insert(libc::SYS_clone, vec![has(0, flag)]);
        refuse(refused, libc::EPERM);
        absent.insert(libc::SYS_clone3, always());
    }
    if without.contains(&"seccomp") {
        // Last: nothing can be installed after it.
        absent.insert(libc::SYS_seccomp, always());
    }
    refuse(absent, libc::ENOSYS);
    let failed = Command::new(&program).args(words).exec();
    eprintln!("{program}: {failed}");
    ExitCode::FAILURE
}

fn has(argument: u8, bits: u64) -> SeccompRule {
    let look = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits);
    SeccompRule::new(vec![look.expect("an argument")]).expect("a rule")
}

fn refuse(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) {
    if calls.is_empty() {
        return;
    }
    let architecture = std::env::consts::ARCH.try_into().expect("a known architecture");
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, architecture).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    apply_filter(&program).expect("this kernel has filters");
}
