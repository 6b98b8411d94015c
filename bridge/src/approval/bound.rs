//! What a decision is bound to, thing by thing: two hashes say that something is another, these say what.

use std::collections::BTreeMap;

use baton_proto::api::{BoundKind, BoundTo};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::audit::chain::hex;
use crate::policy::{FileState, Target};

/// Of a state only this much is told: it is compared with one other, and nothing is decided by it.
const STATE_BYTES: usize = 8;
/// What makes a session this one, of [`super::context`]'s identity of a place.
const SESSION: [&str; 4] = ["session", "instance", "profile", "grants"];

/// Each thing once, in an order that does not change.
pub(super) fn bound_to(targets: &[Target], identity: &Value, revision: &str) -> Vec<BoundTo> {
    let mut things = Vec::new();
    let mut of_files = BTreeMap::new();
    for target in targets {
        let cwd = target.cwd.path.clone().unwrap_or_default();
        let directory = std::iter::once((cwd, BoundKind::Directory, &target.cwd));
        let programs = target.programs.iter().map(|(name, state)| (name.clone(), BoundKind::Program, state));
        let files = target.files.iter().map(|(name, state)| (name.clone(), BoundKind::File, state));
        for (name, kind, state) in directory.chain(programs).chain(files) {
            // A file that is run is told as the program.
            of_files.entry(name).or_insert((kind, state));
        }
    }
    for (name, (kind, state)) in of_files {
        let leads_to = state.path.clone().filter(|path| *path != name);
        let is_there = *state != FileState { path: None, inode: None, sha256: None };
        let state = is_there.then(|| digest(serde_json::to_vec(state)));
        things.push(BoundTo { kind, name, leads_to, state });
    }
    let names: Vec<_> = targets.iter().map(|target| &target.env).collect();
    let mut add = |kind, state| things.push(BoundTo { kind, name: String::new(), leads_to: None, state: Some(state) });
    add(BoundKind::Environment, digest(serde_json::to_vec(&names)));
    if identity.get("session").is_some() {
        add(BoundKind::Session, digest(serde_json::to_vec(&SESSION.map(|key| identity.get(key)))));
        add(BoundKind::Foreground, digest(serde_json::to_vec(&identity.get("foreground"))));
    }
    add(BoundKind::Policy, digest(Ok(revision.as_bytes().to_vec())));
    things
}

fn digest(written: serde_json::Result<Vec<u8>>) -> String {
    hex(&Sha256::digest(written.unwrap_or_default())[..STATE_BYTES])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::policy::{self, Action, example_context};

    fn told(folder: &Path, line: &str, identity: &Value) -> Vec<BoundTo> {
        let context = policy::Context { cwd: folder.to_owned(), ..example_context() };
        let target = policy::target(&Action::TerminalExec { command: line.to_owned() }, &context);
        bound_to(&[target], identity, "r1")
    }

    fn differing(before: &[BoundTo], after: &[BoundTo]) -> Vec<(BoundKind, String)> {
        let other = |thing: &&BoundTo| !before.contains(thing);
        after.iter().filter(other).map(|thing| (thing.kind, thing.name.clone())).collect()
    }

    #[test]
    fn what_is_another_is_told_by_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        let script = folder.join("deploy.sh");
        std::fs::write(&script, "echo harmless\n").unwrap();
        let here = json!({"session": "ses_1", "instance": 1, "foreground": 7});
        let before = told(&folder, "sh deploy.sh", &here);
        assert_eq!(before, told(&folder, "sh deploy.sh", &here));
        let named = |kind| before.iter().filter(move |thing| thing.kind == kind).map(|thing| thing.name.clone());
        assert!(named(BoundKind::Program).any(|name| name.ends_with("/sh")), "{before:?}");
        let script_name = script.to_str().unwrap().to_owned();
        assert_eq!(named(BoundKind::File).collect::<Vec<_>>(), std::slice::from_ref(&script_name));

        std::fs::write(&script, "echo harmful, and longer\n").unwrap();
        let after = told(&folder, "sh deploy.sh", &here);
        assert_eq!(differing(&before, &after), [(BoundKind::File, script_name)]);
        let elsewhere = json!({"session": "ses_1", "instance": 2, "foreground": 8});
        let moved = told(&folder, "sh deploy.sh", &elsewhere);
        let none = String::new();
        assert_eq!(differing(&after, &moved), [(BoundKind::Session, none.clone()), (BoundKind::Foreground, none)]);
    }

    #[test]
    fn a_link_is_told_with_where_it_leads() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().canonicalize().unwrap();
        std::fs::write(folder.join("a"), "a").unwrap();
        std::os::unix::fs::symlink("a", folder.join("link")).unwrap();
        let told = told(&folder, "cat link", &json!({}));
        let link = told.iter().find(|thing| thing.name.ends_with("/link")).unwrap();
        assert_eq!(link.leads_to.as_deref(), folder.join("a").to_str());
        // No session is there yet.
        assert!(!told.iter().any(|thing| matches!(thing.kind, BoundKind::Session | BoundKind::Foreground)));
    }
}
