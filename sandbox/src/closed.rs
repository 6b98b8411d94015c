//! What only root reads in a directory of the system, for sessions of root: a confined program of root's is root to the
//! kernel, and permissions stop it nowhere.
//!
//! What everybody may read is shown, each by itself; what nobody else may read is not, nor what is put beside it later.
//! Hiding such a file by a mount does not last: whoever changes a password renames a new file over the old one, and the mount
//! goes with that.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::places::Place;

/// Most files that are looked at; beyond, nothing is shown.
const FILES_MAX: usize = 20_000;
/// Deepest directory below the first.
const DEPTH_MAX: usize = 32;

/// What there is of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// What is read in it: files, and directories with all that is in them.
    pub open: Vec<Place>,
    /// What is not.
    pub closed: Vec<Place>,
    /// Whether there was more than is looked at.
    pub cut: bool,
    count: usize,
}

/// Looks at a directory that everybody may read; these are closed whatever their permissions.
#[must_use]
pub fn look(directory: &Path, secrets: &BTreeSet<&Path>) -> Opened {
    let mut opened = Opened::default();
    match opened.below(directory, secrets, 0) {
        Some(open) => opened.open = open,
        None => opened.open = vec![Place { path: directory.to_owned(), directory: true }],
    }
    opened
}

impl Opened {
    /// What is open in a directory; `None` = all of it, and whatever is put there.
    fn below(&mut self, directory: &Path, secrets: &BTreeSet<&Path>, depth: usize) -> Option<Vec<Place>> {
        let (mut open, mut whole) = (Vec::new(), true);
        if depth == DEPTH_MAX {
            self.cut = true;
            return Some(open);
        }
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            self.count += 1;
            if self.count > FILES_MAX {
                self.cut = true;
                return Some(open);
            }
            // What a link leads to is asked by itself.
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                continue;
            }
            let path = entry.path();
            let Ok(found) = entry.metadata() else {
                whole = false;
                continue;
            };
            let directory = found.is_dir();
            let others = if directory { 0o001 } else { 0o004 };
            if found.mode() & others == 0 || secrets.contains(path.as_path()) {
                whole = false;
                self.closed.push(Place { path, directory });
                continue;
            }
            match directory.then(|| self.below(&path, secrets, depth + 1)).flatten() {
                Some(below) => {
                    whole = false;
                    open.extend(below);
                }
                None => open.push(Place { path, directory }),
            }
        }
        (!whole).then_some(open)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_everybody_reads_is_open_and_nothing_beside_what_they_do_not() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("baton-closed-{}", std::process::id()));
        for directory in ["plain/deep", "mixed/plain", "shut"] {
            fs::create_dir_all(dir.join(directory)).unwrap();
        }
        for (file, mode) in [
            ("plain/deep/file", 0o644),
            ("mixed/key", 0o600),
            ("mixed/group", 0o640),
            ("mixed/plain/file", 0o644),
            ("shut/file", 0o644),
            ("named", 0o644),
        ] {
            fs::write(dir.join(file), "").unwrap();
            fs::set_permissions(dir.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(dir.join("shut"), fs::Permissions::from_mode(0o700)).unwrap();
        for open in ["plain", "plain/deep", "mixed", "mixed/plain"] {
            fs::set_permissions(dir.join(open), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let named = dir.join("named");
        let found = look(&dir, &BTreeSet::from([named.as_path()]));
        let names = |places: &[Place]| {
            let mut names: Vec<_> =
                places.iter().map(|it| it.path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&found.open), ["mixed/plain", "plain"]);
        assert_eq!(names(&found.closed), ["mixed/group", "mixed/key", "named", "shut"]);
        // Nothing closed: whatever is put there later is open, too.
        assert_eq!(names(&look(&dir.join("plain"), &BTreeSet::new()).open), ["plain"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
