//! Other names of secrets: a hard link within a grant leads to the same file, and the kernel judges a file by the name it
//! is opened by. And secrets that are links themselves, as those who keep their configuration in a repository have them: what
//! they lead to is the secret, wherever it is.
//!
//! Secrets that have one name only, which is nearly always, cost a look at each; only where one has more are the grants
//! searched for it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::places::{Place, Refusal};

/// Most files that are looked at in one secret, and in all of those together that are not told of.
const SECRET_MAX: usize = 4096;
/// Most files that are looked at in all secrets.
const SECRETS_MAX: usize = 65_536;
/// Most links that are followed one after the other.
const TURNS_MAX: usize = 8;
/// Most files that are looked at in grants.
const GRANTED_MAX: usize = 500_000;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files and directories below the grants' roots that are another name of a secret, or what a link among secrets leads to.
    pub places: Vec<Place>,
    /// Where links among secrets lead, and nothing is now.
    pub missing: Vec<PathBuf>,
    /// Secrets in which there is more than was looked at.
    pub unsearched: Vec<PathBuf>,
}

/// Looks for them. `large` = secrets that usually are (browsers' caches, Baton's journals): they come last, their first files
/// only, and nothing is told of the rest. `spared` = what is not hidden whatever link leads to it.
///
/// # Errors
/// [`Refusal::Links`] when a secret has another name and the grants are too large to be searched for it.
pub fn in_grants<'a>(
    secrets: &[Place],
    large: &BTreeSet<PathBuf>,
    roots: impl Iterator<Item = &'a Path>,
    spared: impl Fn(&Path) -> bool,
) -> Result<Found, Refusal> {
    let roots: Vec<&Path> = roots.collect();
    let mut all = Found::default();
    if roots.is_empty() {
        return Ok(all);
    }
    let mut wanted = BTreeSet::new();
    let mut one = PathBuf::new();
    let mut starts: Vec<PathBuf> = secrets.iter().map(|secret| secret.path.clone()).collect();
    let (mut left, mut left_large) = (SECRETS_MAX, SECRET_MAX);
    // Links lead to directories with links; so many turns are more than anybody makes on purpose.
    for _ in 0..TURNS_MAX {
        let mut targets = Vec::new();
        starts.sort_by_key(|path| large.contains(path));
        for start in std::mem::take(&mut starts) {
            let is_large = large.contains(&start);
            let most = if is_large { left_large } else { left.min(SECRET_MAX) };
            // What can't be looked at by its owner's own process holds nothing that could be read.
            let looked = walk(&start, most, |path, found| {
                if found.is_file() && found.nlink() > 1 {
                    wanted.insert((found.dev(), found.ino()));
                    path.clone_into(&mut one);
                } else if found.is_symlink() {
                    targets.push(path.to_owned());
                }
            });
            match (is_large, looked) {
                (true, looked) => left_large -= looked.unwrap_or(left_large),
                (false, Some(looked)) => left -= looked,
                (false, None) => {
                    left -= most;
                    all.unsearched.push(start);
                }
            }
        }
        for link in targets {
            let Ok(path) = link.canonicalize() else {
                all.missing.extend(leads_to(&link));
                continue;
            };
            let hidden = |hidden: &Place| path.starts_with(&hidden.path);
            // A directory that was granted by name, or one above it, is shown: the link says less than the person did.
            let granted = roots.iter().any(|root| path.starts_with(root) && path != *root);
            if granted && !spared(&path) && !secrets.iter().any(hidden) && !all.places.iter().any(hidden) {
                starts.push(path.clone());
                all.places.push(Place { directory: path.is_dir(), path });
            }
        }
        if starts.is_empty() {
            break;
        }
    }
    // What some links lead to was not looked at.
    all.unsearched.append(&mut starts);
    if wanted.is_empty() {
        return Ok(all);
    }
    let mut left = GRANTED_MAX;
    for root in roots {
        let places = &mut all.places;
        let looked = walk(root, left, |path, found| {
            if found.nlink() > 1 && wanted.contains(&(found.dev(), found.ino())) {
                places.push(Place { path: path.to_owned(), directory: false });
            }
        });
        left -= looked.ok_or(Refusal::Links { secret: one.clone() })?;
    }
    Ok(all)
}

/// Where a link leads at whose end nothing is: what is put there is what is found through it.
#[must_use]
pub fn leads_to(link: &Path) -> Option<PathBuf> {
    let mut path = link.to_owned();
    for _ in 0..TURNS_MAX {
        let Ok(next) = fs::read_link(&path) else { break };
        path = canonical_above(&path.parent()?.join(next))?;
    }
    (path != link && fs::symlink_metadata(&path).is_err()).then_some(path)
}

/// The path as far as it is there without links, and the rest of it, which may go up again.
fn canonical_above(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().skip(1).find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, mut found) = there?;
    for part in path.strip_prefix(above).ok()? {
        if part == ".." {
            found.pop();
        } else {
            found.push(part);
        }
    }
    Some(found)
}

/// Looks at everything below this, links not followed, what is nearest first. How much that was; `None`: there is more than
/// so much.
fn walk(start: &Path, most: usize, mut seen: impl FnMut(&Path, &fs::Metadata)) -> Option<usize> {
    let mut waiting = VecDeque::from([start.to_owned()]);
    let mut count = 0;
    while let Some(path) = waiting.pop_front() {
        if count == most {
            return None;
        }
        count += 1;
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        seen(&path, &found);
        if found.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            // One more than is looked at, to know that there is one.
            waiting.extend(entries.map(|entry| entry.path()).take((most - count + 1).saturating_sub(waiting.len())));
        }
    }
    Some(count)
}
