//! What an action is about, as it is now. An approval is of what its screen showed: taken again before it is carried
//! out, another target is another action.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::action::{Action, ActionKind, Context};
use super::effect::effects;
use super::resolve::{ByFiles, find};
use super::rules::hex;

/// Files of one action; more are not looked at, and [`Target::complete`] says so.
pub const FILES_MAX: usize = 64;
/// A larger file is known by its inode and times alone.
pub const HASHED_BYTES_MAX: u64 = 16 << 20;

/// The state that an approval is bound to, beside the action itself. Its fields are in a fixed order and its lists are
/// sorted, so that the same state is the same JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The working directory: another one of the same name is another one.
    pub cwd: FileState,
    /// Names of environment variables, sorted; never values.
    pub env: Vec<String>,
    /// Each program that the action starts, by the word that names it.
    pub programs: BTreeMap<String, FileState>,
    /// Each file that it names and that is there; of `file.…` actions the file whether it is there or not.
    pub files: BTreeMap<String, FileState>,
    /// Whether all of them are here.
    pub complete: bool,
}

/// A file, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileState {
    /// Where the name led once links were followed; `None` where nothing is.
    pub path: Option<String>,
    /// Which file it is, and when it last changed.
    pub inode: Option<Inode>,
    /// SHA-256 of what a regular file of at most [`HASHED_BYTES_MAX`] holds, in hexadecimal.
    pub sha256: Option<String>,
}

/// Which file: its change time is the kernel's, and no program can set it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as stat(2) has them; times in nanoseconds")]
pub struct Inode {
    pub dev: u64,
    pub ino: u64,
    pub bytes: u64,
    pub mode: u32,
    pub mtime_ns: i128,
    pub ctime_ns: i128,
}

/// Looks at what `action` is about. It reads files: not for a thread that others wait for.
#[must_use]
pub fn target(action: &Action, context: &Context) -> Target {
    let (mut programs, mut files, mut complete) = (BTreeMap::new(), BTreeMap::new(), true);
    let is_file = matches!(action.kind(), ActionKind::FileWrite | ActionKind::FileDelete | ActionKind::FileOverwrite);
    for effect in effects(action, context, &ByFiles) {
        for cwd in &effect.cwds {
            let Some(word) = &effect.word else { break };
            match find(word, cwd, context) {
                // The same word may be another program elsewhere.
                Some(path) => drop(programs.insert(path.to_string_lossy().into_owned(), state(&path))),
                None => drop(programs.insert(word.clone(), FileState::NONE)),
            }
        }
        for path in effect.paths.iter().filter_map(super::glob::Glob::text) {
            if files.contains_key(&path) {
                continue;
            }
            let found = state(Path::new(&path));
            if found != FileState::NONE || is_file {
                complete &= files.len() < FILES_MAX;
                if complete {
                    files.insert(path, found);
                }
            }
        }
    }
    let mut env = context.env.clone();
    env.sort();
    env.dedup();
    Target { cwd: state(&context.cwd), env, programs, files, complete }
}

impl FileState {
    const NONE: Self = Self { path: None, inode: None, sha256: None };
}

fn state(path: &Path) -> FileState {
    // Opened once: what is hashed is what was looked at. `O_NONBLOCK`, for a FIFO would wait.
    let Ok(real) = path.canonicalize() else { return leading_nowhere(path) };
    let opened =
        fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW).open(&real);
    let meta = opened.as_ref().ok().and_then(|it| it.metadata().ok()).or_else(|| fs::symlink_metadata(&real).ok());
    let Some(meta) = meta else { return FileState::NONE };
    let sha256 = opened.ok().filter(|_| meta.is_file() && meta.len() <= HASHED_BYTES_MAX).and_then(|it| hash(&it).ok());
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    // A directory's times change with what is made in it, a device's and a pipe's with their use: which one it is, is what counts.
    let is_file = meta.is_file();
    let inode = Inode {
        dev: meta.dev(),
        ino: meta.ino(),
        bytes: if is_file { meta.len() } else { 0 },
        mode: meta.mode(),
        mtime_ns: if is_file { nanoseconds(meta.mtime(), meta.mtime_nsec()) } else { 0 },
        ctime_ns: if is_file { nanoseconds(meta.ctime(), meta.ctime_nsec()) } else { 0 },
    };
    FileState { path: Some(real.to_string_lossy().into_owned()), inode: Some(inode), sha256 }
}

/// A link to what is not there leads to what whoever writes to it makes; anything else is not there.
fn leading_nowhere(path: &Path) -> FileState {
    let to = fs::read_link(path).ok();
    FileState { path: to.map(|to| to.to_string_lossy().into_owned()), ..FileState::NONE }
}

fn hash(file: &File) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    let mut file = file.take(HASHED_BYTES_MAX);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::{Mode, utimes};
    use nix::sys::time::TimeVal;

    use super::*;

    #[test]
    fn a_pipe_that_is_used_is_the_same_pipe_and_a_file_that_is_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        nix::unistd::mkfifo(&pipe, Mode::S_IRUSR).unwrap();
        fs::write(&file, "").unwrap();
        let before = (state(&pipe), state(&file));
        let then = TimeVal::new(1, 0);
        utimes(&pipe, &then, &then).unwrap();
        utimes(&file, &then, &then).unwrap();
        assert_eq!(state(&pipe), before.0);
        assert_ne!(state(&file), before.1);
    }
}
