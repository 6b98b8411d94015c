//! Directories that were looked at once and are used by that look: a path that is resolved twice can lead to two places,
//! because whoever may write to the directory above can swap one for a link in between.
//!
//! ```text
//!  path ─► canonical ─► opened, no link followed ─► where the kernel says it is ─► judged
//!                            └─► Landlock's rules ─► the same file in the view, by device and inode
//! ```
//!
//! A descriptor of this mount namespace can't be copied from within another (open_tree(2)), so the child opens the path
//! again and compares: what is not the same file is not mounted, and the program not started.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;

/// Which file it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// What a grant's root or output root turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// As it was asked for.
    pub asked: String,
    /// Without symbolic links.
    pub path: String,
    /// Which directory that is.
    pub identity: Identity,
}

/// A file or directory, open only to be named.
#[derive(Debug, Clone)]
struct Held {
    file: Arc<File>,
    identity: Identity,
}

/// What was opened, by the path it was judged by.
#[derive(Debug, Clone, Default)]
pub struct Roots(BTreeMap<PathBuf, Held>);

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        let identities = |roots: &Self| roots.0.iter().map(|(path, held)| (path.clone(), held.identity)).collect();
        let (own, others): (Vec<_>, Vec<_>) = (identities(self), identities(other));
        own == others
    }
}

impl Eq for Roots {}

impl Roots {
    /// Opens what is at a path, and keeps it; the path must be canonical. Its path as the kernel has it, for a judgement.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Other`] when it is not where its path led a moment ago.
    pub fn hold(&mut self, path: &Path) -> io::Result<PathBuf> {
        if self.0.contains_key(path) {
            return Ok(path.to_owned());
        }
        // A link that was put on the way is followed, and found out by where that leads.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
        let is_at = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if is_at != path {
            return Err(io::Error::other("it is not where its path led a moment ago: something moves it"));
        }
        let found = file.metadata()?;
        if found.file_type().is_symlink() {
            return Err(io::Error::other("it has become a link: something swaps it"));
        }
        let identity = Identity { device: found.dev(), inode: found.ino() };
        self.0.insert(is_at.clone(), Held { file: Arc::new(file), identity });
        Ok(is_at)
    }

    /// What was opened at this path.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<BorrowedFd<'_>> {
        self.0.get(path).map(|held| held.file.as_fd())
    }

    /// Which file that is.
    #[must_use]
    pub fn identity(&self, path: &Path) -> Option<Identity> {
        self.0.get(path).map(|held| held.identity)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn a_link_is_never_held_and_what_is_held_stays() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("baton-held-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/sub")).unwrap();
        fs::create_dir_all(dir.join("b/sub")).unwrap();
        std::os::unix::fs::symlink(dir.join("b"), dir.join("link")).unwrap();
        let mut roots = Roots::default();
        assert_eq!(roots.hold(&dir.join("a/sub")).unwrap(), dir.join("a/sub"));
        assert!(roots.hold(&dir.join("link")).is_err() && roots.hold(&dir.join("link/sub")).is_err());
        let before = fs::metadata(dir.join("a/sub")).unwrap().ino();
        // Another directory at the same path is not the one that was looked at.
        fs::rename(dir.join("a"), dir.join("c")).unwrap();
        fs::rename(dir.join("b"), dir.join("a")).unwrap();
        assert_eq!(roots.identity(&dir.join("a/sub")).unwrap().inode, before);
        assert!(roots.get(&dir.join("a/sub")).is_some() && roots.get(&dir.join("c")).is_none());
        fs::remove_dir_all(&dir).unwrap();
    }
}
