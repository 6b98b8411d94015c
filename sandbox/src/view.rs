//! What a confined program sees of the file system, as a list of steps that its process takes before it becomes the
//! program. The list is made before the fork from resolved paths; the process only follows it (`jail`).
//!
//! ```text
//!  copy what stays ─► everything read-only ─► cover HOME, /tmp, /run … ─► put back what stays ─► hide the secrets in it
//! ```
//!
//! So nothing outside of writable grants changes in any way, `chmod` included, whatever Landlock has to say; and what
//! is covered is not there at all: no names, no sockets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::grant;
use crate::places::{Cover, Place, Places, StartFile};
use crate::profile;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Keep a copy of the tree at this path, mounts below it included, under a number.
    Copy {
        /// Which.
        path: PathBuf,
        /// The number; from 0, each once.
        slot: usize,
        /// Nothing in the copy is to be changed.
        read_only: bool,
    },
    /// An empty directory in memory covers this one; what is written below it takes so many bytes at most.
    Bounded {
        /// Which.
        path: PathBuf,
        /// How many.
        bytes: u64,
    },
    /// Everything that is mounted becomes read-only.
    ReadOnly,
    /// An empty directory that nobody can write to covers this one.
    Empty(PathBuf),
    /// The same, in which something is put back before nobody can write to it any more: [`Step::Seal`].
    Bare(PathBuf),
    /// Nobody can write to this one any more; what is put back in it is as it was.
    Seal(PathBuf),
    /// The directory at this path hangs there, mounted on itself: its name stays.
    Pin(PathBuf),
    /// Nothing that has content is in the place of this file.
    Null(PathBuf),
    /// Terminals of the session's own.
    Terminals(PathBuf),
    /// Make a directory to put something back at; it may be there.
    MakeDirectory(PathBuf),
    /// Make a file to put something back at; it may be there.
    MakeFile(PathBuf),
    /// Write a file that a program finds when it begins.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Put a copy where it belongs.
    Put {
        /// Its number.
        slot: usize,
        /// Where.
        path: PathBuf,
        /// The program does without it.
        optional: bool,
    },
}

impl Step {
    /// What it is about, for a message.
    #[must_use]
    pub fn place(&self) -> &Path {
        match self {
            Self::Copy { path, .. }
            | Self::Bounded { path, .. }
            | Self::Empty(path)
            | Self::Bare(path)
            | Self::Seal(path)
            | Self::Pin(path)
            | Self::Null(path)
            | Self::Terminals(path)
            | Self::MakeDirectory(path)
            | Self::MakeFile(path)
            | Self::Write { path, .. }
            | Self::Put { path, .. } => path,
            Self::ReadOnly => Path::new("/"),
        }
    }
}

/// What stays although something above it is covered or becomes read-only.
struct Kept<'a> {
    path: &'a Path,
    directory: bool,
    read_only: bool,
}

/// Where terminals are.
pub const TERMINALS: &str = "/dev/pts";
/// There a program finds the terminal that it was started with.
pub const CONSOLE: &str = "/dev/console";

/// The steps, before all others, to directories of its own that take so many bytes at most.
#[must_use]
pub fn bounded(private: &Path, bytes: u64, start_files: &[StartFile]) -> Vec<Step> {
    let mut steps = vec![Step::Bounded { path: private.to_owned(), bytes }];
    let names = profile::TEMPORARY.iter().map(|(_, name)| *name).chain([profile::PRIVATE_HOME]);
    steps.extend(names.map(|name| Step::MakeDirectory(private.join(name))));
    let home = private.join(profile::PRIVATE_HOME);
    steps.extend(start_files.iter().map(|it| Step::Write { path: home.join(it.name), text: it.text.clone() }));
    steps
}

/// The steps to a session's view.
#[must_use]
pub fn steps(places: &Places) -> Vec<Step> {
    let mut kept = kept(places);
    kept.sort_by(|a, b| a.path.cmp(b.path));
    let (mut steps, mut puts, mut slots) = (Vec::new(), Vec::new(), 0..);
    let mut copy = |path: &Path, read_only: bool, steps: &mut Vec<Step>| {
        let slot = slots.next().unwrap_or(usize::MAX);
        steps.push(Step::Copy { path: path.to_owned(), slot, read_only });
        slot
    };
    let agent = places.ssh_agent.iter().map(|agent| agent.at.as_path());
    let put_back: Vec<&Path> = kept.iter().map(|kept| kept.path).chain(agent).collect();
    let is_filled = |cover: &Cover| {
        let covers = places.covers.iter().map(|cover| cover.path.as_path());
        covers.chain(put_back.iter().copied()).any(|path| path != cover.path && path.starts_with(&cover.path))
    };
    let mut seals = Vec::new();
    for cover in &places.covers {
        puts.push(match &cover.by {
            Some(own) => {
                let slot = copy(own, false, &mut steps);
                (cover.path.clone(), None, Step::Put { slot, path: cover.path.clone(), optional: false })
            }
            None if is_filled(cover) => {
                seals.push(Step::Seal(cover.path.clone()));
                (cover.path.clone(), None, Step::Bare(cover.path.clone()))
            }
            None => (cover.path.clone(), None, Step::Empty(cover.path.clone())),
        });
    }
    for kept in &kept {
        let slot = copy(kept.path, kept.read_only, &mut steps);
        let put = Step::Put { slot, path: kept.path.to_owned(), optional: false };
        puts.push((kept.path.to_owned(), Some(kept.directory), put));
    }
    if let Some(agent) = &places.ssh_agent {
        // Read-only: what listens there is not the program's to remove. A connection to a socket writes to nothing.
        let slot = copy(&agent.path, true, &mut steps);
        puts.push((agent.at.clone(), Some(true), Step::Put { slot, path: agent.at.clone(), optional: false }));
    }
    let console = places.terminal.as_ref().map(|terminal| copy(terminal, false, &mut steps));
    steps.push(Step::ReadOnly);
    // Parents first; a cover before what is put back at the same place.
    puts.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.is_some().cmp(&b.1.is_some())));
    let mut made = BTreeSet::new();
    for (path, kind, put) in puts {
        let above = places.covers.iter().filter(|cover| path != cover.path && path.starts_with(&cover.path));
        // In the deepest cover above it there is nothing yet to put it on.
        if let Some(cover) = above.max_by_key(|cover| cover.path.as_os_str().len()) {
            steps.extend(mount_point(&cover.path, &path, kind.unwrap_or(true), &mut made));
        }
        steps.push(put);
    }
    steps.push(Step::Terminals(PathBuf::from(TERMINALS)));
    if let Some(slot) = console {
        steps.push(Step::Put { slot, path: PathBuf::from(CONSOLE), optional: true });
    }
    steps.extend(pinned(places, &kept).into_iter().map(Step::Pin));
    steps.extend(hidden(places, &kept));
    // What is put back last is there before.
    steps.extend(seals);
    steps
}

fn kept(places: &Places) -> Vec<Kept<'_>> {
    let covered = |path: &Path| places.covers.iter().any(|cover| path.starts_with(&cover.path));
    let mut kept = Vec::new();
    for granted in &places.grants {
        let root = Path::new(&granted.root);
        let changes = grant::changes(granted);
        // What is only read and not covered is there as it is.
        if changes || covered(root) {
            kept.push(Kept { path: root, directory: true, read_only: !changes });
        }
        if !changes {
            let outputs = granted.output_roots.iter();
            kept.extend(outputs.map(|path| Kept { path: Path::new(path), directory: true, read_only: false }));
        }
    }
    let system = places.system.iter().filter(|place| covered(&place.path));
    kept.extend(system.map(|place| Kept { path: &place.path, directory: place.directory, read_only: true }));
    let tools = places.tools.iter().filter(|tool| covered(&tool.path));
    kept.extend(tools.map(|tool| Kept { path: &tool.path, directory: tool.directory, read_only: true }));
    // Rights add up: what may be changed from above is not put back read-only below, and nothing twice.
    let writable: Vec<PathBuf> = kept.iter().filter(|it| !it.read_only).map(|it| it.path.to_owned()).collect();
    let mut seen = BTreeSet::new();
    kept.retain(|it| {
        let within_writable = writable.iter().any(|above| it.path.starts_with(above) && it.path != above);
        let again = it.read_only && writable.iter().any(|path| it.path == path);
        !within_writable && !again && seen.insert(it.path.to_owned())
    });
    kept
}

/// Directories from a cover down to what is put back below it.
fn mount_point(cover: &Path, path: &Path, directory: bool, made: &mut BTreeSet<PathBuf>) -> Vec<Step> {
    let mut steps = Vec::new();
    let below: Vec<&Path> = path.ancestors().take_while(|above| *above != cover).collect();
    for (at, above) in below.iter().rev().enumerate() {
        if !made.insert((*above).to_owned()) {
            continue;
        }
        let last = at + 1 == below.len();
        steps.push(if last && !directory {
            Step::MakeFile((*above).to_owned())
        } else {
            Step::MakeDirectory((*above).to_owned())
        });
    }
    steps
}

/// Directories above secrets, and above where secrets may be put, which could be renamed with what is in them: the next
/// session would find the secret where nobody looks for one. What something is mounted on keeps its name.
fn pinned(places: &Places, kept: &[Kept<'_>]) -> BTreeSet<PathBuf> {
    let secrets = places.secrets.iter().map(|secret| &secret.path).chain(&places.unguarded);
    let hidden = |path: &Path| places.secrets.iter().any(|secret| path.starts_with(&secret.path));
    let mut pinned = BTreeSet::new();
    for secret in secrets {
        let above = kept.iter().filter(|kept| !kept.read_only && secret.starts_with(kept.path));
        // Whatever is deepest was put last.
        let Some(root) = above.max_by_key(|kept| kept.path.as_os_str().len()) else { continue };
        let between = secret.ancestors().skip(1).take_while(|path| *path != root.path);
        // A usual place of secrets may lie behind a link; what is mounted is what that leads to.
        let between = between.filter_map(|path| path.canonicalize().ok()).filter(|path| path.is_dir() && !hidden(path));
        pinned.extend(between.filter(|path| path != root.path && path.starts_with(root.path)));
    }
    pinned
}

/// Secrets that would still be seen.
fn hidden(places: &Places, kept: &[Kept<'_>]) -> Vec<Step> {
    let seen = |secret: &&Place| {
        let length = |path: &Path| secret.path.starts_with(path).then_some(path.as_os_str().len());
        let cover = places.covers.iter().filter_map(|cover| length(&cover.path)).max();
        let shown = kept.iter().filter_map(|kept| length(kept.path)).max();
        // Whatever is deeper was put over the other; where nothing is above it, it is where it always was.
        cover <= shown
    };
    let mut secrets: Vec<&Place> = places.secrets.iter().filter(seen).collect();
    secrets.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hidden: Vec<Step> = Vec::new();
    for secret in secrets {
        // Below one that is hidden already there is nothing to hide it on.
        if hidden.iter().any(|step| secret.path.starts_with(step.place())) {
            continue;
        }
        hidden.push(if secret.directory { Step::Empty(secret.path.clone()) } else { Step::Null(secret.path.clone()) });
    }
    hidden
}

#[cfg(test)]
mod tests {
    use baton_proto::spec::Grant;

    use super::*;

    fn directory(path: &str) -> Place {
        Place { path: path.into(), directory: true }
    }

    fn file(path: &str) -> Place {
        Place { path: path.into(), directory: false }
    }

    fn cover(path: &str, by: Option<&str>) -> Cover {
        Cover { path: path.into(), by: by.map(PathBuf::from) }
    }

    fn written(steps: &[Step]) -> Vec<String> {
        let line = |step: &Step| match step {
            Step::Copy { path, slot, read_only } => {
                format!("copy {slot} {}{}", path.display(), if *read_only { " ro" } else { "" })
            }
            Step::Bounded { path, bytes } => format!("bounded {} {bytes}", path.display()),
            Step::ReadOnly => "read-only".to_owned(),
            Step::Empty(path) => format!("empty {}", path.display()),
            Step::Bare(path) => format!("bare {}", path.display()),
            Step::Seal(path) => format!("seal {}", path.display()),
            Step::Pin(path) => format!("pin {}", path.display()),
            Step::Null(path) => format!("null {}", path.display()),
            Step::Terminals(_) => "terminals".to_owned(),
            Step::MakeDirectory(path) => format!("mkdir {}", path.display()),
            Step::MakeFile(path) => format!("touch {}", path.display()),
            Step::Write { path, .. } => format!("write {}", path.display()),
            Step::Put { slot, path, optional } => {
                format!("put {slot} {}{}", path.display(), if *optional { " ?" } else { "" })
            }
        };
        steps.iter().map(line).collect()
    }

    #[test]
    fn a_project_in_home_is_put_back_over_the_private_home() {
        let places = Places {
            grants: vec![Grant::whole("/home/u/work/p".to_owned())],
            tools: vec![directory("/home/u/.cargo"), file("/home/u/.gitconfig")],
            covers: vec![cover("/home/u", Some("/s/home")), cover("/run", None), cover("/tmp", Some("/s/tmp"))],
            secrets: vec![
                directory("/home/u/.ssh"),
                file("/home/u/.cargo/credentials.toml"),
                directory("/home/u/work/p/state"),
                file("/home/u/work/p/state/key"),
                file("/etc/shadow"),
            ],
            terminal: Some("/dev/pts/7".into()),
            ..Places::default()
        };
        assert_eq!(
            written(&steps(&places)),
            [
                "copy 0 /s/home",
                "copy 1 /s/tmp",
                "copy 2 /home/u/.cargo ro",
                "copy 3 /home/u/.gitconfig ro",
                "copy 4 /home/u/work/p",
                "copy 5 /dev/pts/7",
                "read-only",
                "put 0 /home/u",
                "mkdir /home/u/.cargo",
                "put 2 /home/u/.cargo",
                "touch /home/u/.gitconfig",
                "put 3 /home/u/.gitconfig",
                "mkdir /home/u/work",
                "mkdir /home/u/work/p",
                "put 4 /home/u/work/p",
                "empty /run",
                "put 1 /tmp",
                "terminals",
                "put 5 /dev/console ?",
                // `.ssh` is covered with the rest of HOME; the key lies below what is hidden with its directory.
                "null /etc/shadow",
                "null /home/u/.cargo/credentials.toml",
                "empty /home/u/work/p/state",
            ]
        );
    }

    #[test]
    fn the_socket_of_the_agent_lies_in_a_directory_that_does_not_change() {
        let places = Places {
            covers: vec![cover("/tmp", Some("/s/tmp"))],
            secrets: vec![directory("/s")],
            ssh_agent: Some(crate::places::Shown { path: "/s/agent".into(), at: "/tmp/agent".into() }),
            ..Places::default()
        };
        assert_eq!(
            written(&steps(&places))[..6],
            ["copy 0 /s/tmp", "copy 1 /s/agent ro", "read-only", "put 0 /tmp", "mkdir /tmp/agent", "put 1 /tmp/agent"]
        );
    }

    #[test]
    fn what_is_only_read_stays_where_it_is_unless_it_is_covered() {
        let read = |root: &str, outputs: &[&str]| Grant {
            root: root.to_owned(),
            output_roots: outputs.iter().map(|path| (*path).to_owned()).collect(),
            ..Grant::default()
        };
        let places = Places {
            grants: vec![read("/srv/data", &["/srv/data/out"]), read("/tmp/seen", &[])],
            covers: vec![cover("/tmp", Some("/s/tmp"))],
            ..Places::default()
        };
        assert_eq!(
            written(&steps(&places)),
            [
                "copy 0 /s/tmp",
                "copy 1 /srv/data/out",
                "copy 2 /tmp/seen ro",
                "read-only",
                "put 1 /srv/data/out",
                "put 0 /tmp",
                "mkdir /tmp/seen",
                "put 2 /tmp/seen",
                "terminals",
            ]
        );
    }

    #[test]
    fn a_granted_home_shows_no_secret() {
        let places = Places {
            grants: vec![
                Grant::whole("/home/u".to_owned()),
                Grant { root: "/home/u/docs".to_owned(), ..Grant::default() },
            ],
            secrets: vec![directory("/home/u/.ssh"), file("/home/u/.netrc")],
            ..Places::default()
        };
        // Rights add up: what is below a writable grant is writable.
        let steps = written(&steps(&places));
        assert_eq!(steps[..3], ["copy 0 /home/u", "read-only", "put 0 /home/u"]);
        assert_eq!(steps[4..], ["null /home/u/.netrc", "empty /home/u/.ssh"]);
    }

    #[test]
    fn a_home_below_a_covered_directory_is_covered_within_it() {
        let places = Places {
            grants: vec![Grant::whole("/tmp/x/home/p".to_owned())],
            covers: vec![cover("/tmp", Some("/s/tmp")), cover("/tmp/x/home", Some("/s/home"))],
            secrets: vec![directory("/tmp/x/home/.ssh"), directory("/tmp/x/b/state")],
            ..Places::default()
        };
        let steps = written(&steps(&places));
        assert_eq!(
            steps[4..],
            [
                "put 0 /tmp",
                "mkdir /tmp/x",
                "mkdir /tmp/x/home",
                "put 1 /tmp/x/home",
                "mkdir /tmp/x/home/p",
                "put 2 /tmp/x/home/p",
                "terminals"
            ]
        );
    }
}
