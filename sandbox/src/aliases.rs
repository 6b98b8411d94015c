//! Other paths to the same file by way of mounts: what a bind mount shows elsewhere is the same directory, and no look at a
//! path says so.
//!
//! ```text
//!  path ─► the mounts it may lie on ─► its path within that file system ─► every mount that shows that ─► same inode?
//! ```
//!
//! The kernel's list names the device and the part of its file system that each mount shows. What one file system shows of
//! another (overlayfs, FUSE) has a device and inodes of its own, and is not found.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// One mount, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// Major and minor number of its file system.
    device: String,
    /// Which part of that it shows.
    root: PathBuf,
    /// Where.
    at: PathBuf,
}

/// All that is mounted.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// As it is now, in the namespace of this process.
    ///
    /// # Errors
    /// What the system says.
    pub fn now() -> io::Result<Self> {
        Ok(Self::parse(&fs::read("/proc/self/mountinfo")?))
    }

    /// Reads what proc_pid_mountinfo(5) describes; a line that is none is left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ').skip(2);
            let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
            let (root, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
            (root.is_absolute() && at.is_absolute()).then_some(Mount { device, root, at })
        };
        Self(text.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Other paths of what is at a canonical path, and of what is below it and mounted elsewhere. Of one where nothing is, the
    /// paths at which it would be, too.
    #[must_use]
    pub fn others(&self, path: &Path) -> Vec<PathBuf> {
        let Some(there) = path.ancestors().find(|above| fs::symlink_metadata(above).is_ok()) else { return Vec::new() };
        let Ok(missing) = path.strip_prefix(there) else { return Vec::new() };
        let mut others = Vec::new();
        // Which of the mounts above it is on top is not asked: what is not the same file is none of its other paths.
        for (on, within) in self.0.iter().filter_map(|on| Some((on, there.strip_prefix(&on.at).ok()?))) {
            let inside = joined(&on.root, within);
            for mount in self.0.iter().filter(|mount| mount.device == on.device) {
                let (other, same_as) = if let Ok(rest) = inside.strip_prefix(&mount.root) {
                    (joined(&mount.at, rest), there.to_owned())
                } else if let Ok(rest) = mount.root.strip_prefix(&inside).map(|rest| joined(there, rest))
                    && missing.as_os_str().is_empty()
                {
                    (mount.at.clone(), rest)
                } else {
                    continue;
                };
                if other != same_as && is_same(&other, &same_as) {
                    others.push(joined(&other, missing));
                }
            }
        }
        others.sort();
        others.dedup();
        others
    }
}

/// Joined with nothing, a path is what it was.
fn joined(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::symlink_metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Space, tab, newline and backslash are three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        if let (b'\\', Some(digits)) = (first, after.get(..3))
            && let Some(byte) = std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_are_read_and_what_is_none_is_left_out() {
        let text = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            40 22 254:0 /data/a\\040b /mnt/c\\011d rw shared:1 - ext4 /dev/vda rw\n\
            41 22 0:5 net:[4026531992] /run/ns rw - nsfs nsfs rw\n\nnonsense\n1 2 3:4 /only-root";
        let mounts = Mounts::parse(text).0;
        let read: Vec<_> = mounts.iter().map(|it| (it.device.as_str(), it.root.to_str(), it.at.to_str())).collect();
        assert_eq!(read, [("254:0", Some("/"), Some("/")), ("254:0", Some("/data/a b"), Some("/mnt/c\td"))]);
        assert_eq!(unescaped(b"a\\04"), Path::new("a\\04"));
        assert_eq!(unescaped(b"\\999\\"), Path::new("\\999\\"));
    }

    #[test]
    fn what_only_seems_to_be_the_same_is_none() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("baton-aliases-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::create_dir_all(dir.join("c/b")).unwrap();
        // The list says that `c` shows `a`; the file system says otherwise.
        let at = dir.display();
        let text = format!("1 0 9:9 /x {at}/a rw - ext4 d rw\n2 0 9:9 /x {at}/c rw - ext4 d rw\n");
        assert_eq!(Mounts::parse(text.as_bytes()).others(&dir.join("a/b")), Vec::<PathBuf>::new());
        fs::remove_dir_all(dir.join("c")).unwrap();
        std::os::unix::fs::symlink(dir.join("a"), dir.join("c")).unwrap();
        // A link's own identity is not what it leads to; what is below it is the same.
        assert_eq!(Mounts::parse(text.as_bytes()).others(&dir.join("a/b")), [dir.join("c/b")]);
        assert_eq!(Mounts::parse(text.as_bytes()).others(&dir.join("a/b/later/file")), [dir.join("c/b/later/file")]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
