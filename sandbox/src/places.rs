//! Where a confined program's rules apply on this host: the profile's data and the session's grants, held against the
//! file system as it is now. Names are resolved once, here; what is refused is refused with what to do instead.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use baton_proto::spec::{GRANTS_MAX, Grant, OUTPUT_ROOTS_MAX, Profile};
use nix::libc;

use crate::grant;
use crate::held::{Identity, Roots};
use crate::profile;
use crate::secrets::{self, Around, Secrets};
use crate::tools::Tools;

/// What a session asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which profile; never `host`.
    pub profile: Profile,
    /// What it may use besides the system.
    pub grants: Vec<Grant>,
    /// The user's HOME, if there is one.
    pub home: Option<PathBuf>,
    /// A directory of the session's own, which lives as long as it: temporary files and its HOME.
    pub private: PathBuf,
    /// Baton's own directories; hidden like any secret.
    pub hidden: Vec<PathBuf>,
    /// A file that must turn out to be closed to the program before it is started.
    pub probe: PathBuf,
    /// The device of its terminal, if it has one.
    pub terminal: Option<PathBuf>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Whether it is not to be started unless every layer is enforced.
    pub required: bool,
    /// Bytes that what is of its own may take; `None` = as the file system has it.
    pub private_bytes: Option<u64>,
    /// What lies in its HOME when it begins.
    pub start_files: Vec<StartFile>,
    /// Directory with the socket of its ssh agent's relay, if it has one; it is shown at [`profile::SSH_AGENT`].
    pub ssh_agent: Option<PathBuf>,
}

/// A file in a HOME that is otherwise empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFile {
    /// Its name, below HOME.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
}

/// Why a session can't be confined as it asks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A grant's root is no directory here.
    #[error("the granted directory `{path}` can't be used")]
    NoDirectory {
        /// As it was named.
        path: String,
        /// What the file system says.
        source: io::Error,
    },
    /// A grant that would undo the profile.
    #[error("`{}` can't be granted: {why}", path.display())]
    Never {
        /// What it resolves to.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// An output root outside of its grant.
    #[error("the output root `{}` does not lie below the granted `{}`", output.display(), root.display())]
    OutputElsewhere {
        /// What it resolves to.
        output: PathBuf,
        /// The grant's root.
        root: PathBuf,
    },
    /// More than a session may have.
    #[error("a session has at most {GRANTS_MAX} grants, and a grant {OUTPUT_ROOTS_MAX} output roots")]
    TooMany,
    /// It would start where it may not look.
    #[error("the working directory `{}` is neither granted nor the session's own", path.display())]
    Directory {
        /// What it resolves to.
        path: PathBuf,
    },
    /// A secret has another name, and whether that is in a grant can't be told.
    #[error("`{}` has another name somewhere, and the grants are too large to be searched for it", secret.display())]
    Links {
        /// The secret.
        secret: PathBuf,
    },
    /// A grant that is not found where it was a moment ago.
    #[error("the granted directory `{}` is moved or swapped for another while it is looked at", path.display())]
    Moved {
        /// What it resolved to.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// Something of the preparation failed.
    #[error("preparing the confinement failed at {what}")]
    Prepare {
        /// At what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Refusal {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoDirectory { .. } => Some("grant a directory that exists, by its absolute path"),
            Self::Never { .. } => Some("grant a directory below it that holds the work and nothing else"),
            Self::OutputElsewhere { .. } => Some("grant that directory for itself"),
            Self::TooMany => Some("grant a directory above several of them"),
            Self::Directory { .. } => Some("grant it, or start the session in a granted directory"),
            Self::Links { .. } => {
                Some("grant smaller directories, or make the secret a file of its own (copy it, remove the other)")
            }
            Self::Moved { .. } => Some(
                "start it again; if it is refused again, a program that may write to the directory above swaps it: close the \
                 session that does, or grant a directory that none may write to",
            ),
            Self::Prepare { .. } => None,
        }
    }
}

/// A file or directory that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Without symbolic links.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub directory: bool,
}

/// A directory that the program finds another in the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// Which.
    pub path: PathBuf,
    /// What it finds: a directory of the session's own, or nothing at all.
    pub by: Option<PathBuf>,
}

/// A directory of this host that a program finds at another place, and can't change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Here.
    pub path: PathBuf,
    /// There.
    pub at: PathBuf,
}

/// Everything a program's view of the file system is made of. Paths are without symbolic links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// What it reads and executes.
    pub system: Vec<Place>,
    /// Devices it uses.
    pub devices: Vec<PathBuf>,
    /// What it reads below HOME.
    pub tools: Vec<Place>,
    /// What it would read below HOME, if it were there: links to something else are in its place.
    pub elsewhere: Vec<PathBuf>,
    /// Its grants; roots and output roots are resolved.
    pub grants: Vec<Grant>,
    /// What is covered, parents first.
    pub covers: Vec<Cover>,
    /// What it must not see; also what other rules hide already.
    pub secrets: Vec<Place>,
    /// Secrets' places that hold nothing now.
    pub usual: Vec<PathBuf>,
    /// Secrets and those places below a grant: what is put there while the session runs, or in the place of what is hidden
    /// there, would be seen. Of a file that is renamed over another a mount on the other does not outlast it.
    pub unguarded: Vec<PathBuf>,
    /// Of a directory of the system of which not everything is read: which, and what is.
    pub parts: Option<(PathBuf, Vec<Place>)>,
    /// What else is not hidden, a sentence each.
    pub open: Vec<String>,
    /// All paths of the file that must turn out to be closed.
    pub keys: Vec<PathBuf>,
    /// Its terminal's device.
    pub terminal: Option<PathBuf>,
    /// The directory of its ssh agent's socket.
    pub ssh_agent: Option<Shown>,
    /// The grants' roots, output roots and tools, as they were judged.
    pub roots: Roots,
    /// The directory it starts in, where that is a granted one.
    pub starts_in: Option<Identity>,
}

impl Places {
    /// Resolves a request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn resolve(request: &Request) -> Result<Self, Refusal> {
        let system: Vec<Place> = profile::SYSTEM.iter().filter_map(|path| place(Path::new(path))).collect();
        let home = request.home.as_deref().and_then(|home| home.canonicalize().ok()).filter(|home| {
            // An account whose HOME is the system's has nothing of its own to hide.
            home.is_absolute() && !system.iter().any(|place| place.path.starts_with(home)) && home.parent().is_some()
        });
        let private = request
            .private
            .canonicalize()
            .map_err(|source| Refusal::Prepare { what: "the session's private directory".to_owned(), source })?;
        let own: Vec<PathBuf> = request.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let mut roots = Roots::default();
        let grants = resolve_grants(&request.grants, &system, &mut roots)?;
        let around = Around { system: &system, home: home.as_deref(), grants: &grants, cwd: &request.cwd, own: &own };
        let secrets = Secrets::find(&around)?;
        refuse_secrets(&grants, &secrets.places)?;
        let granted_home = home.as_ref().is_some_and(|home| grants.iter().any(|grant| home.starts_with(&grant.root)));
        let mut covers = covers(&private);
        if let Some(home) = home.as_ref().filter(|_| !granted_home) {
            covers.push(Cover { path: home.clone(), by: Some(private.join(profile::PRIVATE_HOME)) });
        }
        covers.extend(unread(&system, &covers, &grants));
        covers.sort_by(|a, b| a.path.cmp(&b.path));
        covers.dedup_by(|a, b| a.path == b.path);
        let Tools { shown: tools, elsewhere } =
            Tools::find(request.profile, home.as_deref(), &grants, &secrets, &mut roots);
        let Secrets { places: secrets, usual, lasting, open, parts, .. } = secrets;
        let granted = |path: &&PathBuf| grants.iter().any(|grant| path.starts_with(&grant.root));
        // Baton's own directories stay what they are while a session runs.
        let replaced = secrets.iter().map(|secret| &secret.path).filter(|path| !lasting.contains(*path));
        let unguarded = usual.iter().chain(replaced).filter(granted).cloned().collect();
        let ssh_agent = request.ssh_agent.as_deref().map(shown_agent).transpose()?;
        let mut places = Self {
            system,
            devices: profile::DEVICES.iter().map(PathBuf::from).filter(|path| is_device(path)).collect(),
            tools,
            elsewhere,
            grants,
            covers,
            secrets,
            usual,
            unguarded,
            parts,
            open,
            keys: secrets::all_paths(&request.probe)
                .map_err(|source| Refusal::Prepare { what: "reading what is mounted".to_owned(), source })?,
            terminal: request.terminal.clone().filter(|path| is_device(path)),
            ssh_agent,
            roots,
            starts_in: None,
        };
        places.starts_in = places.check_directory(&request.cwd)?;
        Ok(places)
    }

    /// Which tools are left out, a sentence each.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        self.elsewhere.iter().map(|tool| {
            format!("`{}` is, or lies behind, a link to what is no tool, so it is not shown", tool.display())
        })
    }

    /// Whether a secret lies where a grant or a tool's directory would show it.
    #[must_use]
    pub fn shows_secrets(&self) -> bool {
        let shown = |path: &Path| {
            self.grants.iter().any(|grant| path.starts_with(&grant.root))
                || self.tools.iter().any(|tool| path.starts_with(&tool.path))
        };
        self.secrets.iter().any(|secret| shown(&secret.path))
    }

    /// Whether a grant below this directory has some rights and not all: what lies above it must not have more.
    #[must_use]
    pub fn has_partial_grant_below(&self, path: &Path) -> bool {
        self.grants.iter().any(|it| Path::new(&it.root).starts_with(path) && grant::changes(it) && !grant::is_whole(it))
    }

    /// Whether a cover lies over this place.
    #[must_use]
    pub fn is_covered(&self, path: &Path) -> bool {
        self.covers.iter().any(|cover| path.starts_with(&cover.path))
    }

    /// Which directory it starts in, where that is a granted one.
    fn check_directory(&self, cwd: &Path) -> Result<Option<Identity>, Refusal> {
        let resolved = cwd.canonicalize().unwrap_or_else(|_| cwd.to_owned());
        let granted = self.grants.iter().any(|grant| resolved.starts_with(&grant.root));
        let readable = self.system.iter().chain(&self.tools).any(|place| resolved.starts_with(&place.path));
        let own = self.covers.iter().any(|cover| cover.by.is_some() && cover.path == resolved);
        let secret = self.secrets.iter().any(|secret| resolved.starts_with(&secret.path));
        match (granted && !secret, granted || readable || own) {
            (true, _) => {
                let mut found = Roots::default();
                let path = found.hold(&resolved).map_err(|source| Refusal::Moved { path: resolved, source })?;
                Ok(found.identity(&path))
            }
            (_, true) => Ok(None),
            _ => Err(Refusal::Directory { path: resolved }),
        }
    }
}

fn shown_agent(directory: &Path) -> Result<Shown, Refusal> {
    let failed = |source| Refusal::Prepare { what: "the directory of the ssh agent's socket".to_owned(), source };
    let path = directory.canonicalize().map_err(failed)?;
    let at = Path::new(profile::SSH_AGENT);
    // The mount is made where the directory above it is; that may be a link.
    let (above, name) = (at.parent().unwrap_or(at), at.file_name().unwrap_or_default());
    Ok(Shown { path, at: above.canonicalize().map_err(failed)?.join(name) })
}

pub(crate) fn place(path: &Path) -> Option<Place> {
    let path = path.canonicalize().ok()?;
    let directory = path.is_dir();
    Some(Place { path, directory })
}

fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

fn covers(private: &Path) -> Vec<Cover> {
    let directory = |path: &str| Path::new(path).canonicalize().ok().filter(|path| path.is_dir());
    let temporary = profile::TEMPORARY.iter().filter_map(|(path, name)| {
        // Of a private one only where it was made: a missing name would cover nothing.
        directory(path).map(|path| Cover { path, by: Some(private.join(name)) })
    });
    let sockets = profile::SOCKETS.iter().filter_map(|path| Some(Cover { path: directory(path)?, by: None }));
    temporary.chain(sockets).collect()
}

/// Directories in which nothing is read: whatever is in them, sockets above all, is not there.
fn unread(system: &[Place], covers: &[Cover], grants: &[Grant]) -> Vec<Cover> {
    let entries = profile::COVERED_IN.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
    // A link leads to where the same is asked; of what is in `/var` each by itself.
    let directories =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    let stays = |path: &Path| {
        profile::COVERED_IN.iter().chain(profile::OF_THE_KERNEL).any(|stays| Path::new(stays) == path)
            || system.iter().any(|place| path.starts_with(&place.path))
            || grants.iter().any(|grant| path.starts_with(&grant.root))
            || covers.iter().any(|cover| path.starts_with(&cover.path))
    };
    directories.filter(|path| !stays(path)).map(|path| Cover { path, by: None }).collect()
}

fn resolve_grants(asked: &[Grant], system: &[Place], roots: &mut Roots) -> Result<Vec<Grant>, Refusal> {
    if asked.len() > GRANTS_MAX || asked.iter().any(|grant| grant.output_roots.len() > OUTPUT_ROOTS_MAX) {
        return Err(Refusal::TooMany);
    }
    asked.iter().map(|grant| resolve_grant(grant, system, roots)).collect()
}

fn resolve_grant(asked: &Grant, system: &[Place], roots: &mut Roots) -> Result<Grant, Refusal> {
    let root = directory(&asked.root, roots)?;
    let never = |path: &Path, why| Err(Refusal::Never { path: path.to_owned(), why });
    let mut outputs = Vec::with_capacity(asked.output_roots.len());
    for output in &asked.output_roots {
        let output = directory(output, roots)?;
        if !output.starts_with(&root) {
            return Err(Refusal::OutputElsewhere { output, root });
        }
        outputs.push(output);
    }
    for path in std::iter::once(&root).chain(&outputs) {
        if path.parent().is_none() {
            return never(path, "it is the whole file system");
        }
        if profile::NEVER_GRANTED.iter().any(|never| path.starts_with(never) || Path::new(never).starts_with(path)) {
            return never(path, "devices, processes and sockets of the system are nobody's to grant");
        }
        if profile::TEMPORARY.iter().any(|(temporary, _)| Path::new(temporary).starts_with(path)) {
            return never(path, "everybody's temporary files are in it; the session has its own");
        }
    }
    let changed = if grant::changes(asked) { std::slice::from_ref(&root) } else { &[] };
    for path in changed.iter().chain(&outputs) {
        if system.iter().any(|place| place.path.starts_with(path)) {
            return never(path, "programs of the system are in it, and a session that changes those is not confined");
        }
    }
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| Refusal::NoDirectory {
            path: path.to_string_lossy().into_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8"),
        })
    };
    Ok(Grant {
        root: text(root)?,
        output_roots: outputs.into_iter().map(text).collect::<Result<_, _>>()?,
        ..asked.clone()
    })
}

/// A grant that lies in a secret shows nothing else.
fn refuse_secrets(grants: &[Grant], secrets: &[Place]) -> Result<(), Refusal> {
    let paths = grants.iter().flat_map(|grant| std::iter::once(&grant.root).chain(&grant.output_roots));
    let is_secret = |path: &&String| secrets.iter().any(|secret| Path::new(path).starts_with(&secret.path));
    match paths.into_iter().find(is_secret) {
        Some(path) => {
            Err(Refusal::Never { path: path.into(), why: "it holds secrets, which no confined session reads" })
        }
        None => Ok(()),
    }
}

/// Where it is, held from here on: what is judged, mounted and put into rules is this one directory.
fn directory(path: &str, roots: &mut Roots) -> Result<PathBuf, Refusal> {
    let refused = |source| Refusal::NoDirectory { path: path.to_owned(), source };
    if !path.starts_with('/') {
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, "it is not an absolute path")));
    }
    let resolved = Path::new(path).canonicalize().map_err(refused)?;
    if !resolved.is_dir() {
        return Err(refused(io::ErrorKind::NotADirectory.into()));
    }
    roots.hold(&resolved).map_err(|source| match source.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Refusal::Prepare { what: "opening what is granted".to_owned(), source },
        _ => Refusal::Moved { path: resolved, source },
    })
}
