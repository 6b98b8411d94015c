//! What a confined program finds at a path: the steps to its view ([`view`]), followed on paper instead of by the kernel.
//!
//! Nothing is mounted. Each path of the view leads to a path of this host, or to what covers it; symbolic links are
//! followed within the view, as the program would.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use crate::view::{self, Step};

/// Symbolic links that the kernel follows on one path (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The terminal of whatever asks for it.
const TERMINAL: &str = "/dev/tty";

/// What lies behind a path of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// A path of this host.
    Host(PathBuf),
    /// An empty directory that covers what is there, and everything below it.
    Empty,
    /// Nothing that has content, in the place of a file.
    Null,
    /// The session's own terminals.
    Terminals,
}

/// What is found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A file, a pipe or a socket.
    File,
    /// A device.
    Device,
    /// A symbolic link and where it leads.
    Link(PathBuf),
    /// This process may not look.
    Closed,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name itself: its parent is resolved, a link at its end is not.
    pub name: PathBuf,
    /// Where it leads, without links; the last name of it may be missing. `None` when a directory on the way is, or links
    /// lead in circles.
    pub leads: Option<PathBuf>,
    /// The same when something is there.
    pub target: Option<PathBuf>,
}

/// One mount of the view.
#[derive(Debug)]
struct Mounted {
    at: PathBuf,
    behind: Behind,
    read_only: bool,
    /// Devices do not work in it.
    tame: bool,
}

/// A program's view.
#[derive(Debug)]
pub struct View {
    mounts: Vec<Mounted>,
    /// Directories and files that are made to put something back at.
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    /// Where the program starts, for `/proc/self/cwd`.
    cwd: PathBuf,
}

impl View {
    /// Follows these steps; without any the view is the host's.
    #[must_use]
    pub fn of(steps: &[Step], cwd: &Path) -> Self {
        let host = Mounted { at: "/".into(), behind: Behind::Host("/".into()), read_only: false, tame: false };
        let mut view =
            Self { mounts: vec![host], directories: BTreeSet::new(), files: BTreeSet::new(), cwd: cwd.to_owned() };
        let mut copies: Vec<(usize, &Path, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Copy { path, slot, read_only } => copies.push((*slot, path, *read_only)),
                // It lies in a place that a program does not see; what is copied from there, it does.
                Step::Bounded { .. } => {}
                Step::ReadOnly => view.mounts.iter_mut().for_each(|mount| mount.read_only = true),
                Step::Empty(path) | Step::Bare(path) => view.mount(path, Behind::Empty, true, false),
                Step::Seal(_) => {}
                Step::Pin(path) => {
                    let over = view.over(path);
                    let (read_only, tame) = (over.read_only, over.tame);
                    let behind = view.behind(path);
                    // What is mounted below is mounted below it again.
                    view.mounts.push(Mounted { at: path.clone(), behind, read_only, tame });
                }
                Step::Null(path) => view.mount(path, Behind::Null, false, false),
                Step::Terminals(path) => view.mount(path, Behind::Terminals, false, false),
                Step::MakeDirectory(path) => drop(view.directories.insert(path.clone())),
                Step::MakeFile(path) | Step::Write { path, .. } => drop(view.files.insert(path.clone())),
                Step::Put { slot, path, .. } => {
                    if let Some((_, from, read_only)) = copies.iter().find(|copy| copy.0 == *slot) {
                        // The one device that is put anywhere is a terminal, and works.
                        let tame = !from.starts_with(view::TERMINALS);
                        view.mount(path, Behind::Host((*from).to_owned()), *read_only, tame);
                    }
                }
            }
        }
        view
    }

    fn mount(&mut self, at: &Path, behind: Behind, read_only: bool, tame: bool) {
        // What is mounted below is covered with the rest.
        self.mounts.retain(|mount| mount.at == Path::new("/") || !mount.at.starts_with(at));
        self.mounts.push(Mounted { at: at.to_owned(), behind, read_only, tame });
    }

    fn over(&self, path: &Path) -> &Mounted {
        let over = self.mounts.iter().filter(|mount| path.starts_with(&mount.at));
        // The first of them is the root, over everything.
        over.max_by_key(|mount| mount.at.as_os_str().len()).unwrap_or(&self.mounts[0])
    }

    /// What lies behind a path without links.
    #[must_use]
    pub fn behind(&self, path: &Path) -> Behind {
        let mount = self.over(path);
        match (&mount.behind, path.strip_prefix(&mount.at)) {
            (Behind::Host(from), Ok(rest)) if rest.as_os_str().is_empty() => Behind::Host(from.clone()),
            (Behind::Host(from), Ok(rest)) => Behind::Host(from.join(rest)),
            (other, _) => other.clone(),
        }
    }

    /// Whether what is there can't be changed in any way.
    #[must_use]
    pub fn is_read_only(&self, path: &Path) -> bool {
        self.over(path).read_only
    }

    /// Whether devices there do not work.
    #[must_use]
    pub fn is_tame(&self, path: &Path) -> bool {
        self.over(path).tame
    }

    /// Whether something is mounted exactly there, so that the name stays.
    #[must_use]
    pub fn hangs_on(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.at == path)
    }

    /// What is found at a path without links in its parents.
    #[must_use]
    pub fn look(&self, path: &Path) -> Found {
        let at_mount = self.over(path).at == path;
        match self.behind(path) {
            Behind::Empty | Behind::Terminals if at_mount => Found::Directory,
            Behind::Null if at_mount => Found::File,
            Behind::Terminals if path.file_name().is_some_and(|name| name == "ptmx") => Found::Device,
            Behind::Empty if self.directories.contains(path) => Found::Directory,
            Behind::Empty if self.files.contains(path) => Found::File,
            Behind::Empty | Behind::Null | Behind::Terminals => Found::Nothing,
            Behind::Host(path_here) => match fs::symlink_metadata(&path_here) {
                Ok(found) => {
                    let kind = found.file_type();
                    if kind.is_symlink() {
                        fs::read_link(&path_here).map_or(Found::Closed, Found::Link)
                    } else if kind.is_dir() {
                        Found::Directory
                    } else if kind.is_char_device() || kind.is_block_device() {
                        Found::Device
                    } else {
                        Found::File
                    }
                }
                // Made when the session starts.
                Err(_) if self.directories.contains(path) || at_mount => Found::Directory,
                Err(_) if self.files.contains(path) => Found::File,
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => Found::Closed,
                Err(_) => Found::Nothing,
            },
        }
    }

    /// Follows a path, which is absolute.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> Resolved {
        let name = match (path.parent(), path.file_name()) {
            (Some(parent), Some(last)) => self.walk(parent).map(|parent| parent.join(last)),
            // `..` at the end, or the root.
            _ => self.walk(path),
        };
        match name {
            Some(name) => {
                let leads = self.walk(&name);
                let target = leads.clone().filter(|target| self.look(target) != Found::Nothing);
                Resolved { name, leads, target }
            }
            None => Resolved { name: path.to_owned(), leads: None, target: None },
        }
    }

    /// Where the program's terminal is by another name: `/dev/tty`, which is its own whoever asks. The view puts it at
    /// [`view::CONSOLE`], too, if there is something to put it on.
    fn own_terminal(&self, path: &Path) -> Option<PathBuf> {
        let is_put = path == Path::new(view::CONSOLE) && self.hangs_on(Path::new(view::TERMINALS)) && path.exists();
        is_put.then(|| TERMINAL.into())
    }

    /// `None` when a directory on the way is not there or is none, or links lead in circles. The last name may be missing.
    fn walk(&self, path: &Path) -> Option<PathBuf> {
        let mut waiting: VecDeque<PathBuf> = names(path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = waiting.pop_front() {
            if name == Path::new("..") {
                at.pop();
                continue;
            }
            if self.look(&at) != Found::Directory {
                return None;
            }
            let next = at.join(&name);
            let target = match own_link(&next, &self.cwd).or_else(|| self.own_terminal(&next)) {
                Some(target) => target,
                None => match self.look(&next) {
                    Found::Link(target) => target,
                    _ => {
                        at = next;
                        continue;
                    }
                },
            };
            links += 1;
            if links > LINKS_MAX {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for name in names(&target).into_iter().rev() {
                waiting.push_front(name);
            }
        }
        Some(at)
    }
}

fn names(path: &Path) -> VecDeque<PathBuf> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

/// Links below `/proc/self`, which lead elsewhere for the program than for the process that asks here.
fn own_link(path: &Path, cwd: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix("/proc").ok()?;
    match rest.to_str()? {
        // Not followed: what is below is the program's own.
        "self" | "thread-self" => Some(PathBuf::from("/proc").join(std::process::id().to_string())),
        rest => {
            let of_self = rest.strip_prefix(&format!("{}/", std::process::id()))?;
            match of_self {
                "root" => Some("/".into()),
                "cwd" => Some(cwd.to_owned()),
                // What a session begins with; this process has others.
                "fd/0" | "fd/1" | "fd/2" => Some(TERMINAL.into()),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn links_are_followed_within_the_view() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("baton-seen-{}", std::process::id()));
        let own = dir.join("own");
        fs::create_dir_all(dir.join("home/project")).unwrap();
        fs::create_dir_all(&own).unwrap();
        fs::write(dir.join("home/key"), "").unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
        link("../key", "home/project/out");
        link("loop", "home/project/loop");
        link("/proc/self/root/usr", "home/project/root");
        let (home, project) = (dir.join("home"), dir.join("home/project"));
        let steps = [
            Step::Copy { path: own.clone(), slot: 0, read_only: false },
            Step::Copy { path: project.clone(), slot: 1, read_only: false },
            Step::ReadOnly,
            Step::Put { slot: 0, path: home.clone(), optional: false },
            Step::MakeDirectory(project.clone()),
            Step::Put { slot: 1, path: project.clone(), optional: false },
        ];
        let (host, view) = (View::of(&[], &project), View::of(&steps, &project));
        // The same link leads to the key, and to nothing.
        assert_eq!(host.resolve(&project.join("out")).target, Some(home.join("key")));
        assert_eq!(view.resolve(&project.join("out")).target, None);
        assert_eq!(view.resolve(&project.join("out")).name, project.join("out"));
        assert_eq!(view.resolve(&project.join("loop")).target, None);
        assert_eq!(view.resolve(&project.join("root")).target, Some("/usr".into()));
        assert_eq!(view.resolve(Path::new("/proc/self/cwd")).target, Some(project.clone()));
        // What this process has open is none of the program's business.
        for name in ["/dev/stdin", "/proc/self/fd/2", "/proc/thread-self/fd/1"] {
            assert_eq!(view.resolve(Path::new(name)).target, Some("/dev/tty".into()), "{name}");
        }
        assert_eq!(view.behind(&home.join("key")), Behind::Host(own.join("key")));
        assert_eq!(view.behind(&project.join("x")), Behind::Host(project.join("x")));
        assert!(view.is_read_only(Path::new("/usr")) && !view.is_read_only(&project) && view.hangs_on(&project));
        // Made when the session starts, and there for whoever asks before.
        assert_eq!(view.look(&project), Found::Directory);
        fs::remove_dir_all(&dir).unwrap();
    }
}
