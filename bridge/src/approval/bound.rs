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
