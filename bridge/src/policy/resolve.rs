//! Which program a word is: a name means nothing until it has been looked up.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::action::Context;

/// Where the system keeps its programs; a name in a rule means the one that is here.
pub const SYSTEM_DIRS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Directories above a path that are looked for: a path of 4096 bytes, the most that Linux takes, has no more.
const ANCESTORS_MAX: usize = 2048;

/// Links to what is not there, one behind the other: Linux follows no more.
const LINKS_MAX: usize = 40;

/// What a command word turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// One of the system's; all names it has there.
    System(Vec<String>),
    /// One of somebody's own.
    Local(PathBuf),
    /// One that stands before the system's program of the same name.
    Shadowed(PathBuf),
    /// There is none.
    Missing,
}

/// What is at a path, its last link not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, or something else.
    Other,
}

/// Looks programs and paths up.
pub trait Resolve {
    /// Which program `word` starts in `cwd`.
    fn program(&self, word: &str, cwd: &str, context: &Context) -> Program;
    /// Where a path leads once its links are followed; `None` when nothing is known.
    fn real(&self, path: &str) -> Option<String>;
    /// What is at a path; `None` when nothing is known, or nothing is there.
    fn kind(&self, path: &str) -> Option<Kind>;
}

/// By names alone, for examples in a policy and tests: each bare word is the system's, and so is what has a path in a
/// system directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByName;

impl Resolve for ByName {
    fn program(&self, word: &str, cwd: &str, _: &Context) -> Program {
        match word.rsplit_once('/') {
            None => Program::System(vec![word.to_owned()]),
            Some((dir, name)) if SYSTEM_DIRS.contains(&dir) => Program::System(vec![name.to_owned()]),
            Some(_) => Program::Local(Path::new(cwd).join(word)),
        }
    }

    fn real(&self, _: &str) -> Option<String> {
        None
    }

    fn kind(&self, _: &str) -> Option<Kind> {
        None
    }
}

/// By the file system of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByFiles;

impl Resolve for ByFiles {
    fn program(&self, word: &str, cwd: &str, context: &Context) -> Program {
        let Some(found) = find(word, cwd, context) else { return Program::Missing };
        if word.contains('/') {
            return of_path(&found, &[]);
        }
        let is_other = || SYSTEM_DIRS.iter().any(|dir| is_program(&Path::new(dir).join(word)));
        match of_path(&found, &[word]) {
            // Installed by its person (`~/.cargo/bin`, shims), where the session can't put another in its place.
            Program::Local(path) if is_kept(&found, context) && is_kept(&path, context) => {
                Program::System(vec![word.to_owned()])
            }
            // A name that the system has too, and another file.
            Program::Local(path) if is_other() => Program::Shadowed(path),
            other => other,
        }
    }

    fn real(&self, path: &str) -> Option<String> {
        // There it says who asks, and that is not who runs it.
        let own =
            ["/proc/self", "/proc/thread-self", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty"];
        if own.iter().any(|it| Path::new(path).starts_with(it)) {
            return None;
        }
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS_MAX {
            // What is not there yet is below something that is.
            let (real, rest) = path
                .ancestors()
                .take(ANCESTORS_MAX)
                .find_map(|above| Some((above.canonicalize().ok()?, path.strip_prefix(above).ok()?.to_owned())))?;
            let mut names = rest.components();
            // Joined with nothing it would end with a slash, and be another name.
            let Some(first) = names.next() else { return Some(real.to_string_lossy().into_owned()) };
            // A link to what is not there yet leads there all the same: who writes to it makes it.
            match fs::read_link(real.join(first)) {
                Ok(to) if names.as_path().as_os_str().is_empty() => path = real.join(to),
                Ok(to) => path = real.join(to).join(names.as_path()),
                Err(_) => return Some(real.join(rest).to_string_lossy().into_owned()),
            }
        }
        None
    }

    fn kind(&self, path: &str) -> Option<Kind> {
        let kind = fs::symlink_metadata(path).ok()?.file_type();
        Some(match kind {
            it if it.is_file() => Kind::File,
            it if it.is_dir() => Kind::Directory,
            _ => Kind::Other,
        })
    }
}

/// The file that `word` starts in `cwd`, its links not followed.
#[must_use]
pub fn find(word: &str, cwd: &str, context: &Context) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(Path::new(cwd).join(word)).filter(|it| is_program(it));
    }
    context.search.iter().map(|dir| Path::new(cwd).join(dir).join(word)).find(|path| is_program(path))
}

/// Whether the session can't change it.
fn is_kept(path: &Path, context: &Context) -> bool {
    context.sandboxed && !context.grants.iter().any(|it| it.write && path.starts_with(&it.root))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// The program at a path, under all names by which a rule may know it: links are followed, and a hard link elsewhere is
/// the same file as the one in a system directory.
fn of_path(path: &Path, also: &[&str]) -> Program {
    let (Ok(real), Ok(meta)) = (path.canonicalize(), fs::metadata(path)) else { return Program::Missing };
    if !is_program(&real) {
        return Program::Missing;
    }
    let is_system = |it: &Path| it.parent().is_some_and(|dir| SYSTEM_DIRS.iter().any(|known| Path::new(known) == dir));
    let name = |it: &Path| it.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    // `/usr/bin/awk` leads to `mawk`, `/bin/sh` to `dash`: links that the system itself made, wherever they end.
    if is_system(path) || is_system(&real) {
        let mut names: Vec<String> = [path, &real].into_iter().filter_map(name).collect();
        // Where the system made `ls` a name of busybox, it is `ls`; somebody's own link to it may be anything.
        if is_system(path) && names.len() == 2 {
            let is_box = |it: &String| matches!(it.as_str(), "busybox" | "toybox" | "coreutils");
            names.truncate(if names.last().is_some_and(is_box) { 1 } else { 2 });
        }
        names.extend(also.iter().map(|it| (*it).to_owned()));
        names.sort();
        names.dedup();
        return Program::System(names);
    }
    if meta.nlink() > 1 {
        let same =
            SYSTEM_DIRS.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten().filter_map(|entry| {
                let its = entry.metadata().ok()?;
                (its.dev() == meta.dev() && its.ino() == meta.ino()).then(|| name(&entry.path())).flatten()
            });
        let names: Vec<String> = same.collect();
        if !names.is_empty() {
            return Program::System(names);
        }
    }
    Program::Local(real)
}
