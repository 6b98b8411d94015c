//! Other names of secrets: a hard link within a grant leads to the same file, and the kernel judges a file by the name it
//! is opened by. And secrets that are links themselves, as those who keep their configuration in a repository have them: what
//! they lead to is the secret, wherever it is.
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
/// Most links that are followed one after the other.
const TURNS_MAX: usize = 8;
/// Most files that are looked at in grants.
const GRANTED_MAX: usize = 500_000;

/// Files and directories below the grants' roots that are another name of a secret, or what a link among secrets leads to.
///
/// # Errors
/// [`Refusal::Links`] when a secret has another name and the grants are too large to be searched for it.
pub fn in_grants<'a>(secrets: &[Place], roots: impl Iterator<Item = &'a Path>) -> Result<Vec<Place>, Refusal> {
    let roots: Vec<&Path> = roots.collect();
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = BTreeSet::new();
    let mut one = PathBuf::new();
    let mut places: Vec<Place> = Vec::new();
    let mut starts: Vec<PathBuf> = secrets.iter().map(|secret| secret.path.clone()).collect();
    // Links lead to directories with links; so many turns are more than anybody makes on purpose.
    for _ in 0..TURNS_MAX {
        let mut targets = Vec::new();
        // What can't be looked at by its owner's own process holds nothing that could be read.
        let _ = walk(std::mem::take(&mut starts), SECRETS_MAX, |path, found| {
            if found.is_file() && found.nlink() > 1 {
                wanted.insert((found.dev(), found.ino()));
                path.clone_into(&mut one);
            } else if found.is_symlink() {
                targets.extend(path.canonicalize());
            }
        });
        for path in targets {
            let hidden = |hidden: &Place| path.starts_with(&hidden.path);
            // A directory that was granted by name, or one above it, is shown: the link says less than the person did.
            let granted = roots.iter().any(|root| path.starts_with(root) && path != *root);
            if granted && !secrets.iter().any(hidden) && !places.iter().any(hidden) {
                starts.push(path.clone());
                places.push(Place { directory: path.is_dir(), path });
            }
        }
        if starts.is_empty() {
            break;
        }
    }
    if wanted.is_empty() {
        return Ok(places);
    }
    let starts = roots.iter().map(|root| root.to_path_buf()).collect();
    let whole = walk(starts, GRANTED_MAX, |path, found| {
        if found.nlink() > 1 && wanted.contains(&(found.dev(), found.ino())) {
            places.push(Place { path: path.to_owned(), directory: false });
        }
    });
    if whole { Ok(places) } else { Err(Refusal::Links { secret: one }) }
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
