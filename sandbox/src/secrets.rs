//! Where secrets are on this host: the profile's names below each home that a session may look into, what they are called
//! elsewhere, and which of them can't be hidden.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use baton_proto::spec::Grant;
use nix::unistd::{AccessFlags, eaccess, geteuid};

use crate::aliases::Mounts;
use crate::closed;
use crate::links;
use crate::places::{Place, Refusal, place};
use crate::profile;

/// Most homes that are looked into besides the user's own. Where a host has more, that is told.
const HOMES_MAX: usize = 256;

/// What is known of a session before its secrets are.
#[derive(Debug)]
pub struct Around<'a> {
    /// What it reads and executes.
    pub system: &'a [Place],
    /// The user's HOME.
    pub home: Option<&'a Path>,
    /// Its grants, resolved.
    pub grants: &'a [Grant],
    /// Where it starts.
    pub cwd: &'a Path,
    /// Baton's own directories.
    pub own: &'a [PathBuf],
}

/// What there is.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Those that are there, by every path that is known; to be hidden.
    pub places: Vec<Place>,
    /// Where there may be some later.
    pub usual: Vec<PathBuf>,
    /// All names of the profile's, whether something is there or not.
    pub named: Vec<PathBuf>,
    /// Of [`Secrets::places`], those that stay what they are while a session runs.
    pub lasting: BTreeSet<PathBuf>,
    /// What is not hidden and why, a sentence each.
    pub open: Vec<String>,
    /// For root: the directory of which only these are read.
    pub parts: Option<(PathBuf, Vec<Place>)>,
}

impl Secrets {
    /// Finds them.
    ///
    /// # Errors
    /// [`Refusal`]: what is mounted can't be read, or other names can't be searched for.
    pub fn find(around: &Around<'_>) -> Result<Self, Refusal> {
        let failed =
            |source| Refusal::Prepare { what: "reading what is mounted (`/proc/self/mountinfo`)".to_owned(), source };
        let mounts = Mounts::now().map_err(failed)?;
        let mut found = Self::default();
        let mut large: BTreeSet<PathBuf> = around.own.iter().cloned().collect();
        found.lasting.extend(around.own.iter().cloned());
        found.places.extend(around.own.iter().filter_map(|path| place(path)));
        for path in profile::SYSTEM_SECRETS.iter().map(PathBuf::from) {
            found.add(path.clone(), place(&path));
        }
        if geteuid().is_root() {
            found.close(around);
        }
        let homes = found.homes(around);
        for home in &homes {
            for secret in profile::HOME_SECRETS {
                let path = home.join(secret);
                let there = place(&path);
                if let Some(there) = &there
                    && there.path != path
                    && is_needed(&there.path, around, &homes)
                {
                    found.spare(&path, there);
                    found.named.push(path);
                    continue;
                }
                if let Some(there) = there.as_ref().filter(|_| profile::is_large(secret)) {
                    large.insert(there.path.clone());
                }
                found.add(path, there);
            }
        }
        found.add_aliases(&mounts, &mut large);
        let roots = around.grants.iter().map(|grant| Path::new(&grant.root));
        let others = links::in_grants(&found.places, &large, roots, |path| is_needed(path, around, &homes))?;
        found.places.extend(others.places);
        found.usual.extend(others.missing);
        let unsearched = others.unsearched.iter().map(|path| {
            format!("`{}` holds too many files to be searched for other names of its secrets", path.display())
        });
        found.open.extend(unsearched);
        Ok(found)
    }

    fn add(&mut self, path: PathBuf, there: Option<Place>) {
        match there {
            Some(there) => self.places.push(there),
            None => {
                // A link that leads to nothing yet: who writes through it writes there.
                self.usual.extend(links::leads_to(&path));
                self.usual.push(path.clone());
            }
        }
        self.named.push(path);
    }

    /// A link where a secret would be, to something else that a session does not do without: it hides nothing, and says so.
    fn spare(&mut self, path: &Path, leads: &Place) {
        // Who has `~/.netrc` lead to `/dev/null` has no secret there.
        let is_device = fs::metadata(&leads.path).is_ok_and(|found| found.file_type().is_char_device());
        if !is_device {
            let why = "which sessions need: what it leads to is not hidden";
            self.open.push(format!("`{}` is a link to `{}`, {why}", path.display(), leads.path.display()));
        }
    }

    /// What only root reads, and nobody was granted, is a secret of the system's, too.
    fn close(&mut self, around: &Around<'_>) {
        let Some(directory) = around.system.iter().find(|it| it.path == Path::new(profile::CLOSED_IN)) else { return };
        let secrets = self.places.iter().map(|secret| secret.path.as_path()).collect();
        let opened = closed::look(&directory.path, &secrets);
        // Who grants a directory for itself means what is in it.
        let granted = |path: &Path| {
            let mut roots = around.grants.iter().map(|grant| Path::new(&grant.root));
            roots.any(|root| root != directory.path && (path.starts_with(root) || root.starts_with(path)))
        };
        let known: Vec<PathBuf> = self.places.iter().map(|secret| secret.path.clone()).collect();
        self.places.extend(opened.closed.into_iter().filter(|it| !known.contains(&it.path) && !granted(&it.path)));
        if opened.cut {
            let why = "holds more files than are looked at: the rest is not shown";
            self.open.push(format!("`{}` {why}", directory.path.display()));
        }
        self.parts = Some((directory.path.clone(), opened.open));
    }

    /// The user's HOME; others' that a grant shows; and a grant that is one, by what lies in it.
    fn homes(&mut self, around: &Around<'_>) -> Vec<PathBuf> {
        let mut homes: Vec<PathBuf> = around.home.iter().map(|home| home.to_path_buf()).collect();
        let roots = || around.grants.iter().map(|grant| PathBuf::from(&grant.root));
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let users = users.lines().filter_map(|line| line.split(':').nth(5)).filter(|home| home.starts_with('/'));
        let granted = |home: &PathBuf| home.parent().is_some() && roots().any(|root| home.starts_with(root));
        let mut others: BTreeSet<PathBuf> =
            users.filter_map(|home| Path::new(home).canonicalize().ok()).filter(granted).collect();
        let is_home = |root: &PathBuf| profile::SIGNS_OF_HOME.iter().any(|sign| root.join(sign).exists());
        others.extend(roots().filter(is_home));
        // What this user may not look into shows its programs nothing.
        others.retain(|home| !homes.contains(home) && eaccess(home, AccessFlags::X_OK).is_ok());
        if others.len() > HOMES_MAX {
            self.open
                .push(format!("the grants hold the homes of {} users, and {HOMES_MAX} are looked into", others.len()));
        }
        homes.extend(others.into_iter().take(HOMES_MAX));
        homes
    }

    /// The same by other paths: what is mounted elsewhere, too.
    fn add_aliases(&mut self, mounts: &Mounts, large: &mut BTreeSet<PathBuf>) {
        let mut more = Vec::new();
        for secret in &self.places {
            for path in mounts.others(&secret.path) {
                for set in [&mut *large, &mut self.lasting] {
                    if set.contains(&secret.path) {
                        set.insert(path.clone());
                    }
                }
                more.push(Place { directory: path.is_dir(), path });
            }
        }
        self.places.append(&mut more);
        let missing: Vec<PathBuf> = self.usual.iter().flat_map(|path| mounts.others(path)).collect();
        self.usual.extend(missing);
    }
}

/// All paths of one file that may be read by no session.
///
/// # Errors
/// What is mounted can't be read.
pub fn all_paths(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut paths = Mounts::now()?.others(&path);
    paths.insert(0, path);
    Ok(paths)
}

/// Whether a session can't be without what is there: it would not start, or be refused for a reason that nobody finds.
fn is_needed(path: &Path, around: &Around<'_>, homes: &[PathBuf]) -> bool {
    let is_above = |it: &Path| it.starts_with(path);
    let system = around.system.iter().map(|place| place.path.as_path());
    let system = system.chain(profile::OF_THE_KERNEL.iter().map(Path::new));
    let tools = || around.home.iter().flat_map(|home| profile::HOME_TOOLS.iter().map(|tool| home.join(tool)));
    let granted = || {
        around.grants.iter().flat_map(|grant| std::iter::once(&grant.root).chain(&grant.output_roots)).map(Path::new)
    };
    system.into_iter().any(|it| is_above(it) || path.starts_with(it))
        || homes.iter().any(|it| is_above(it))
        || granted().any(is_above)
        || tools().any(|it| is_above(&it))
        || profile::TEMPORARY.iter().any(|(it, _)| is_above(Path::new(it)))
        || is_above(&around.cwd.canonicalize().unwrap_or_else(|_| around.cwd.to_owned()))
}
