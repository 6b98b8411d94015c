//! Landlock: which files a program may use, and that it signals and reaches nobody outside.
//!
//! The ruleset is made before the fork, by the `landlock` crate, for the newest interface that the running kernel has;
//! between fork and exec there are only two system calls left (`jail`). What Landlock does not stop is stopped elsewhere:
//! `chmod` by read-only mounts, UDP and the rest of the network by a network namespace, sockets of others by covering
//! the directories they are in.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, Scope,
};

use crate::grant;
use crate::held::Roots;
use crate::places::{Places, Refusal};
use crate::profile;
use crate::sys;

/// Rights on a file or on everything below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub path: PathBuf,
    /// What may be done.
    pub rights: BitFlags<AccessFs>,
    /// Whether it is a directory.
    pub directory: bool,
}

/// Which of the other layers hold: where they do not, the rules have to be narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The program has a view and a network of its own.
    Namespaces,
    /// It has the host's.
    Nothing,
}

/// The interface's version that the running kernel has; 0 = none. Asked once: whoever confines itself may not ask later.
#[must_use]
pub fn version() -> u32 {
    static VERSION: OnceLock<u32> = OnceLock::new();
    *VERSION.get_or_init(sys::landlock_version)
}

/// The rules of a session.
#[must_use]
pub fn rules(places: &Places, beside: Beside) -> Vec<Rule> {
    let rule = |path: &Path, rights, directory| Rule { path: path.to_owned(), rights, directory };
    let parts = places.parts.as_ref();
    let whole = places.system.iter().filter(|place| parts.is_none_or(|(path, _)| *path != place.path));
    let read = whole.chain(parts.iter().flat_map(|(_, parts)| parts));
    let mut rules: Vec<Rule> = read.map(|place| rule(&place.path, grant::READ, place.directory)).collect();
    // Names may be seen: a shell that completes them looks through the directory.
    rules.extend(parts.map(|(path, _)| rule(path, grant::LIST, true)));
    rules.extend(profile::LISTED.iter().map(|path| rule(Path::new(path), grant::LIST, true)));
    let devices = places.devices.iter().chain(&places.terminal);
    rules.extend(devices.map(|device| rule(device, grant::DEVICE, false)));
    for granted in &places.grants {
        rules.push(rule(Path::new(&granted.root), grant::rights(granted), true));
        rules.extend(granted.output_roots.iter().map(|output| rule(Path::new(output), grant::WHOLE, true)));
    }
    for tool in &places.tools {
        // Where nothing can be hidden in it, a directory that holds a secret is not shown.
        let safe = !places.secrets.iter().any(|secret| secret.path.starts_with(&tool.path));
        if safe || beside == Beside::Namespaces {
            rules.push(rule(&tool.path, grant::READ, tool.directory));
        }
    }
    if let Some(agent) = places.ssh_agent.as_ref().filter(|_| beside == Beside::Namespaces) {
        rules.push(rule(&agent.path, grant::CONNECT, true));
    }
    for cover in &places.covers {
        if let Some(own) = &cover.by {
            rules.push(rule(own, own_rights(places, &cover.path, beside), true));
        }
    }
    rules
}

/// Rights on what a program finds of its own in the place of this directory.
#[must_use]
pub fn own_rights(places: &Places, covered: &Path, beside: Beside) -> BitFlags<AccessFs> {
    // A rule holds for everything below, what is put back there included: a grant that lacks a right would have it from
    // here.
    let whole = beside == Beside::Nothing || !places.has_partial_grant_below(covered);
    if whole { grant::WHOLE } else { grant::READ }
}

/// Makes the ruleset for a kernel with this version of the interface; `None` when it has none.
///
/// # Errors
/// [`Refusal::Prepare`].
pub fn ruleset(rules: &[Rule], roots: &Roots, beside: Beside, version: u32) -> Result<Option<OwnedFd>, Refusal> {
    let abi = ABI::from(i32::try_from(version).unwrap_or(i32::MAX));
    if abi == ABI::Unsupported {
        return Ok(None);
    }
    let failed = |err: landlock::RulesetError| Refusal::Prepare {
        what: "the Landlock ruleset".to_owned(),
        source: io::Error::other(err.to_string()),
    };
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(abi)).map_err(failed)?;
    if beside == Beside::Nothing && !AccessNet::from_all(abi).is_empty() {
        // No rule follows: no port is bound or connected to. In a network of its own it is free to.
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(failed)?;
    }
    if !Scope::from_all(abi).is_empty() {
        ruleset = ruleset.scope(Scope::from_all(abi)).map_err(failed)?;
    }
    let mut created = ruleset.create().map_err(failed)?;
    for rule in rules {
        created = add(created, rule, roots, abi).map_err(failed)?;
    }
    Ok(created.into())
}

fn add(
    created: RulesetCreated,
    rule: &Rule,
    roots: &Roots,
    abi: ABI,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let rights = grant::known(rule.rights, abi, rule.directory);
    if rights.is_empty() {
        return Ok(created);
    }
    if let Some(held) = roots.get(&rule.path) {
        return created.add_rule(PathBeneath::new(held, rights));
    }
    // What vanished since it was looked at needs no rule.
    let Ok(path) = PathFd::new(&rule.path) else { return Ok(created) };
    created.add_rule(PathBeneath::new(path, rights))
}

/// Rights as the system call takes them, for a directory that is there only after the fork.
#[must_use]
pub fn bits(rights: BitFlags<AccessFs>, version: u32) -> u64 {
    grant::known(rights, ABI::from(i32::try_from(version).unwrap_or(i32::MAX)), true).bits()
}

/// What this version of the interface can't enforce, for a person; `None` when nothing of it matters.
#[must_use]
pub const fn missing(version: u32) -> Option<&'static str> {
    match version {
        0 => Some("this kernel has no Landlock, or it is not enabled (`lsm=` on its command line)"),
        1 | 2 => Some(
            "files can be truncated, devices controlled, processes outside signalled, and what forks without rest may outlive its session",
        ),
        3 | 4 => Some(
            "devices can be controlled, processes outside signalled, and what forks without rest may outlive its session",
        ),
        5 => Some(
            "processes outside can be signalled, abstract sockets reached where the network is the host's, and what forks without rest may outlive its session",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::spec::Grant;

    use super::*;
    use crate::places::{Cover, Place};

    fn places() -> Places {
        Places {
            system: vec![Place { path: "/usr".into(), directory: true }],
            tools: vec![Place { path: "/home/u/.cargo".into(), directory: true }],
            grants: vec![Grant { write: true, ..Grant { root: "/home/u/p".to_owned(), ..Grant::default() } }],
            covers: vec![
                Cover { path: "/home/u".into(), by: Some("/s/home".into()) },
                Cover { path: "/tmp".into(), by: Some("/s/tmp".into()) },
                Cover { path: "/run".into(), by: None },
            ],
            secrets: vec![Place { path: "/home/u/.cargo/credentials".into(), directory: false }],
            ..Places::default()
        }
    }

    fn rights_of(rules: &[Rule], path: &str) -> Option<BitFlags<AccessFs>> {
        rules.iter().find(|rule| rule.path == Path::new(path)).map(|rule| rule.rights)
    }

    #[test]
    fn a_right_that_was_not_granted_does_not_come_from_above() {
        let rules = rules(&places(), Beside::Namespaces);
        assert_eq!(rights_of(&rules, "/home/u/p"), Some(grant::rights(&places().grants[0])));
        // The private HOME is above the grant, which lacks a right; the temporary directory is not.
        assert_eq!(rights_of(&rules, "/s/home"), Some(grant::READ));
        assert_eq!(rights_of(&rules, "/s/tmp"), Some(grant::WHOLE));
        assert_eq!(rights_of(&rules, "/run"), None);
    }

    #[test]
    fn a_directory_with_a_secret_is_shown_only_where_the_secret_can_be_hidden() {
        assert_eq!(rights_of(&rules(&places(), Beside::Namespaces), "/home/u/.cargo"), Some(grant::READ));
        assert_eq!(rights_of(&rules(&places(), Beside::Nothing), "/home/u/.cargo"), None);
    }

    #[test]
    fn the_running_kernel_takes_the_rules() {
        // Needs nothing of the kernel: without Landlock there is no ruleset.
        let version = version();
        for beside in [Beside::Namespaces, Beside::Nothing] {
            let made = ruleset(&rules(&places(), beside), &Roots::default(), beside, version).unwrap();
            assert_eq!(made.is_some(), version > 0, "{beside:?}");
        }
        assert!(ruleset(&[], &Roots::default(), Beside::Nothing, 0).unwrap().is_none());
    }
}
