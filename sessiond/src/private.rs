//! A confined session's own directory: its HOME and its temporary files. Gone with the session, whatever a program left
//! in it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Its name below the session's directory.
pub const NAME: &str = "private";

/// Where it is.
#[must_use]
pub fn of_session(session: &Path) -> PathBuf {
    session.join(NAME)
}

/// How often a removal begins anew that met somebody else's: a session's worker and who forgets the session may both be at
/// it, and each step of one can be a surprise to the other. Enough for two; who still writes to it makes it end in an error.
const TRIES: u32 = 1000;

/// Removes a directory and everything in it. What is in it is a program's, and programs can be hostile: directories without
/// any rights, trees deeper than the descriptors or the stack would reach, links to elsewhere. So each directory found is
/// moved up beside the first and emptied from there: never more than two are open, and no link is followed.
///
/// # Errors
/// What the file system says; one that is not there is no error.
pub fn remove(directory: &Path) -> io::Result<()> {
    for _ in 1..TRIES {
        match attempt(directory) {
            Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
            done => return done,
        }
    }
    attempt(directory)
}

fn attempt(directory: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = match nix::fcntl::open(parent, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened?,
    };
    let top = match open(&parent, name) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened?,
    };
    let mut waiting: BTreeSet<OsString> = BTreeSet::new();
    let mut number = 0u64;
    empty(&top, &top, &mut waiting, &mut number)?;
    while let Some(next) = waiting.pop_first() {
        let directory = open(&top, &next)?;
        empty(&directory, &top, &mut waiting, &mut number)?;
        drop(directory);
        unlinkat(&top, next.as_os_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(unlinkat(&parent, name, UnlinkatFlags::RemoveDir)?)
}

/// Opens a directory for this user, whatever its mode is.
fn open(parent: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::EACCES) => {}
        opened => return opened,
    }
    // By descriptor: a link that takes its place meanwhile changes nothing elsewhere.
    let place = openat(parent, name, flags | OFlag::O_PATH, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", place.as_fd().as_raw_fd());
    fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
    openat(parent, name, flags, Mode::empty())
}

/// Removes the files of a directory, and moves the directories in it to the top, under names of their own.
fn empty(directory: &OwnedFd, top: &OwnedFd, waiting: &mut BTreeSet<OsString>, number: &mut u64) -> nix::Result<()> {
    let copy = openat(directory, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut entries = Dir::from_fd(copy)?;
    for entry in entries.iter() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        if name == "." || name == ".." || waiting.contains(&name) {
            continue;
        }
        let kind = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => {
                let found = fstatat(directory, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
                found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR
            }
        };
        if !kind {
            unlinkat(directory, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            continue;
        }
        // To move a directory to another is to change it, which it has to allow.
        drop(open(directory, &name)?);
        loop {
            *number += 1;
            let beside = OsString::from(format!("\u{1}{number}"));
            let free = fstatat(top, beside.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) == Err(Errno::ENOENT);
            if free {
                renameat(directory, name.as_os_str(), top, beside.as_os_str())?;
                waiting.insert(beside);
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_hostile_tree_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, private) = (dir.path().join("outside"), dir.path().join("private"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "kept").unwrap();
        fs::create_dir_all(private.join("tmp/closed/inner")).unwrap();
        fs::write(private.join("tmp/closed/inner/file"), "x").unwrap();
        symlink(&outside, private.join("tmp/link")).unwrap();
        symlink(&outside, private.join("tmp/closed/\u{1}1")).unwrap();
        fs::create_dir(private.join("\u{1}2")).unwrap();
        fs::set_permissions(private.join("tmp/closed/inner"), fs::Permissions::from_mode(0o0)).unwrap();
        fs::set_permissions(private.join("tmp/closed"), fs::Permissions::from_mode(0o0)).unwrap();
        // Deeper than a path may be long, and than descriptors are open.
        let mut deep =
            open(&nix::fcntl::open(&private, OFlag::O_DIRECTORY, Mode::empty()).unwrap(), OsStr::new("tmp")).unwrap();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&deep, "d", Mode::S_IRWXU).unwrap();
            deep = open(&deep, OsStr::new("d")).unwrap();
        }
        remove(&private).unwrap();
        assert!(!private.exists());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
        // Gone already is as good.
        remove(&private).unwrap();
        remove(&dir.path().join("never/was")).unwrap();
    }

    #[test]
    fn two_who_remove_it_at_once_are_not_in_each_others_way() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let private = dir.path().join("private");
            for number in 0..200 {
                let inner = private.join(format!("tmp/{}/{number}", number % 10));
                fs::create_dir_all(&inner).unwrap();
                fs::write(inner.join("file"), "x").unwrap();
            }
            let begin = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                let both = [(); 2].map(|()| {
                    scope.spawn(|| {
                        begin.wait();
                        remove(&private)
                    })
                });
                both.into_iter().for_each(|one| one.join().unwrap().unwrap());
            });
            assert!(!private.exists());
        }
    }
}
