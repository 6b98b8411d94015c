//! Other names of secrets: a hard link within a grant leads to the same file, and the kernel judges a file by the name it
//! is opened by.
//!
//! Secrets that have one name only, which is nearly always, cost a look at each; only where one has more are the grants
//! searched for it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::places::{Place, Refusal};

/// Most files that are looked at among secrets. Beyond are browsers' caches, not keys.
const SECRETS_MAX: usize = 4096;
/// Most files that are looked at in grants.
const GRANTED_MAX: usize = 500_000;

/// Files below the grants' roots that are another name of a secret.
///
/// # Errors
/// [`Refusal::Links`] when a secret has another name and the grants are too large to be searched for it.
pub fn in_grants<'a>(secrets: &[Place], roots: impl Iterator<Item = &'a Path>) -> Result<Vec<PathBuf>, Refusal> {
    let roots: Vec<&Path> = roots.collect();
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = BTreeSet::new();
    let mut one = PathBuf::new();
    let starts = secrets.iter().map(|secret| secret.path.clone()).collect();
    // What can't be looked at by its owner's own process holds nothing that could be read.
    let _ = walk(starts, SECRETS_MAX, |path, found| {
        if found.is_file() && found.nlink() > 1 {
            wanted.insert((found.dev(), found.ino()));
            path.clone_into(&mut one);
        }
    });
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut links = Vec::new();
    let starts = roots.iter().map(|root| root.to_path_buf()).collect();
    let whole = walk(starts, GRANTED_MAX, |path, found| {
        if found.nlink() > 1 && wanted.contains(&(found.dev(), found.ino())) {
            links.push(path.to_owned());
        }
    });
    if whole { Ok(links) } else { Err(Refusal::Links { secret: one }) }
}

/// Looks at everything below these, links not followed. False: there is more than so much.
fn walk(mut waiting: Vec<PathBuf>, most: usize, mut seen: impl FnMut(&Path, &fs::Metadata)) -> bool {
    let mut count = 0;
    while let Some(path) = waiting.pop() {
        count += 1;
        if count > most {
            return false;
        }
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        seen(&path, &found);
        if found.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()).take(most - count));
        }
    }
    true
}
