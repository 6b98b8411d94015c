//! A confined program's start, on both sides of the fork: prepared by [`Jail::prepare`], followed by the child.
//!
//! ```text
//!  namespaces ─► mounts ─► core dumps, no_new_privs, capabilities ─► Landlock ─► seccomp ─► probe ─► exec
//! ```
//!
//! The order is the only one that works: after Landlock nobody mounts, after seccomp nobody makes namespaces. What is
//! achieved the child says layer by layer; where namespaces can't be had it goes on with narrower Landlock rules and says
//! so, and where anything else fails, or a secret would be seen, the program is never started.
//!
//! The last step is a look from inside: a file that must be closed to the program is opened. If that works, the
//! confinement does not, whatever each call answered.

use std::ffi::{CStr, CString};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use baton_proto::spec::LayerStatus;
use nix::errno::Errno;
use nix::libc;

use crate::error::Step;
use crate::held::{Granted, Identity};
use crate::landlock::{self, Beside};
use crate::places::{Places, Refusal, Request, StartFile};
use crate::report::{Context, Fact, Kind};
use crate::seccomp;
use crate::view::{self, Step as Mount};
use crate::{grant, profile, sys};

/// Capabilities that root keeps over its own and others' files, and nothing else: `chown`, `dac_override`, `fowner`,
/// `kill` (which Landlock's scope narrows), `setgid`, `setuid`, `net_bind_service` (capability.h). Without `fsetid` a set-uid
/// program that it writes to is none any more.
const CAPABILITIES: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10;

/// `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`: with both, namespaces are made without one for users.
const MAY_UNSHARE: u64 = 1 << 21 | 1 << 12;

/// A prepared confinement.
#[derive(Debug)]
pub struct Jail {
    /// As root: no user namespace is needed.
    privileged: bool,
    uid_map: String,
    gid_map: String,
    mounts: Vec<Prepared>,
    /// What its grants turned out to be.
    granted: Vec<Granted>,
    /// The directory it starts in, where that is a granted one.
    starts_in: Option<Identity>,
    copies: Vec<RawFd>,
    /// The ruleset where namespaces hold, and the one where they do not.
    with: Option<OwnedFd>,
    without: Option<OwnedFd>,
    /// Their numbers in the child.
    rulesets: [Option<RawFd>; 2],
    /// What is there only once it is mounted, and the rights on it.
    mounted: Vec<(CString, u64)>,
    /// How much may be written to what is of its own, for `mount`.
    own_bytes: CString,
    /// It has entered a user namespace of its own.
    own_users: bool,
    required: bool,
    /// Without a view of its own the program would see a secret in what was granted.
    must_hide: bool,
    nothing_changes: bool,
    /// Every path of the file that must be closed.
    probes: Vec<CString>,
    /// What the child's failure was about.
    failed_at: u16,
    context: Context,
}

/// A step, and what the kernel is told.
#[derive(Debug)]
struct Prepared {
    step: Mount,
    path: CString,
    /// Which file has to be there.
    is: Option<Identity>,
}

impl Jail {
    /// Prepares a session's confinement: resolves its grants, makes the directories of its own and the Landlock rulesets.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn prepare(request: &Request) -> Result<Self, Refusal> {
        private_directories(&request.private, &request.start_files)?;
        let places = Places::resolve(request)?;
        let version = landlock::version();
        let ruleset = |beside| landlock::ruleset(&landlock::rules(&places, beside), &places.roots, beside, version);
        let mut mounts = Vec::new();
        let private = request.private.canonicalize().unwrap_or_else(|_| request.private.clone());
        let own =
            request.private_bytes.map(|bytes| view::bounded(&private, bytes, &request.start_files)).unwrap_or_default();
        for step in own.into_iter().chain(view::steps(&places)) {
            let path = cstring(step.place())?;
            // Below a cover of its own there is another file to put it on, which was made for that.
            let covered = matches!(step, Mount::Put { .. }) && places.is_covered(step.place());
            let is = places.roots.identity(step.place()).filter(|_| !covered);
            mounts.push(Prepared { step, path, is });
        }
        let granted = granted(request, &places);
        let copies = mounts.iter().filter(|it| matches!(it.step, Mount::Copy { .. })).count();
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        Ok(Self {
            privileged: uid.is_root() && effective_capabilities() & MAY_UNSHARE == MAY_UNSHARE,
            uid_map: format!("{uid} {uid} 1\n"),
            gid_map: format!("{gid} {gid} 1\n"),
            copies: vec![-1; copies],
            context: Context {
                landlock: version,
                places: mounts.iter().map(|it| it.step.place().display().to_string()).collect(),
                unguarded: unguarded(&places),
                remarks: remarks(&granted, &places),
            },
            mounts,
            with: ruleset(Beside::Namespaces)?,
            without: ruleset(Beside::Nothing)?,
            rulesets: [None, None],
            mounted: mounted(&places, request, version)?,
            own_bytes: size_option(request.private_bytes),
            own_users: false,
            required: request.required,
            must_hide: places.shows_secrets(),
            nothing_changes: !places.grants.iter().any(|it| grant::changes(it) || !it.output_roots.is_empty()),
            granted,
            starts_in: places.starts_in,
            probes: places.keys.iter().map(|path| cstring(path)).collect::<Result<_, _>>()?,
            failed_at: Fact::NOWHERE,
        })
    }

    /// What its grants turned out to be: each root and output root, as they were judged.
    #[must_use]
    pub fn granted(&self) -> &[Granted] {
        &self.granted
    }

    /// What the report is read with.
    pub(crate) fn context(&self) -> Context {
        self.context.clone()
    }

    /// Descriptors that the child needs until it is confined.
    pub(crate) fn descriptors(&mut self) -> [&mut Option<RawFd>; 2] {
        self.rulesets = [self.with.as_ref().map(|fd| fd.as_raw_fd()), self.without.as_ref().map(|fd| fd.as_raw_fd())];
        let [with, without] = &mut self.rulesets;
        [with, without]
    }

    /// Whether its processes are counted apart from the user's others.
    pub(crate) const fn own_users(&self) -> bool {
        self.own_users
    }

    /// Which step of a list the child failed at.
    pub(crate) const fn failed_at(&self) -> u16 {
        self.failed_at
    }

    /// Confines the calling process, which is the child between fork and exec. Allocates nothing and takes no lock.
    pub(crate) fn enter(&mut self, report: RawFd) -> Result<(), (Step, Errno)> {
        // A secret's place that could not be hidden is no kernel's fault, and still less than all of it.
        let mut whole = self.context.unguarded.is_none();
        let mut say = |kind, status, errno: Errno, at| {
            whole &= status == LayerStatus::Enforced;
            let errno = u16::try_from(errno as i32).unwrap_or(0);
            tell(report, Fact { kind, status, errno, at });
        };
        let unshared = self.namespaces()?;
        match unshared {
            Ok(()) => {
                self.own_users = !self.privileged;
                self.mount(&mut say)?;
                say(Kind::Network, LayerStatus::Enforced, Errno::UnknownErrno, Fact::NOWHERE);
            }
            Err(errno) if self.must_hide => return Err((Step::Hiding, errno)),
            Err(errno) => {
                say(Kind::Mounts, LayerStatus::Absent, errno, Fact::NOWHERE);
                let tcp = self.context.landlock >= 4;
                say(Kind::Network, if tcp { LayerStatus::Partial } else { LayerStatus::Absent }, errno, Fact::NOWHERE);
            }
        }
        sys::no_core_dumps().map_err(|errno| (Step::Limits, errno))?;
        sys::no_new_privileges().map_err(|errno| (Step::NoNewPrivileges, errno))?;
        sys::keep_capabilities(CAPABILITIES).map_err(|errno| (Step::Capabilities, errno))?;
        say(Kind::Privileges, LayerStatus::Enforced, Errno::UnknownErrno, Fact::NOWHERE);
        let [with, without] = self.rulesets;
        match if unshared.is_ok() { with } else { without } {
            None => say(Kind::Landlock, LayerStatus::Absent, Errno::UnknownErrno, Fact::NOWHERE),
            Some(ruleset) => {
                if unshared.is_ok() {
                    self.allow_mounted(ruleset)?;
                }
                sys::landlock_restrict(ruleset).map_err(|errno| (Step::Landlock, errno))?;
                // Less than the newest interface that matters is for whoever reads the report to name.
                let status = if landlock::missing(self.context.landlock).is_none() {
                    LayerStatus::Enforced
                } else {
                    LayerStatus::Partial
                };
                say(Kind::Landlock, status, Errno::UnknownErrno, Fact::NOWHERE);
            }
        }
        match self.filter(unshared.is_ok()) {
            Ok(()) => say(Kind::Seccomp, LayerStatus::Enforced, Errno::UnknownErrno, Fact::NOWHERE),
            Err(errno @ (Errno::ENOSYS | Errno::EINVAL)) => {
                say(Kind::Seccomp, LayerStatus::Absent, errno, Fact::NOWHERE);
            }
            Err(errno) => return Err((Step::Filter, errno)),
        }
        if self.required && !whole {
            return Err((Step::Required, Errno::ENOSYS));
        }
        // Where neither a view nor Landlock could be had, it is readable, and the report says so.
        let closed = unshared.is_ok() || self.context.landlock > 0;
        if closed && self.probes.iter().any(|probe| sys::is_readable(probe)) {
            return Err((Step::Probe, Errno::EEXIST));
        }
        Ok(())
    }

    /// Leaves the host's namespaces. The inner error: they can't be had, and nothing has changed.
    fn namespaces(&self) -> Result<Result<(), Errno>, (Step, Errno)> {
        let flags = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
        let user = if self.privileged { 0 } else { libc::CLONE_NEWUSER };
        if let Err(errno) = sys::unshare(flags | user) {
            return Ok(Err(errno));
        }
        let failed = |errno| (Step::Namespaces, errno);
        if !self.privileged {
            // Without this an ordinary user may map no group (user_namespaces(7)).
            sys::write_file(c"/proc/self/setgroups", b"deny").map_err(failed)?;
            sys::write_file(c"/proc/self/gid_map", self.gid_map.as_bytes()).map_err(failed)?;
            sys::write_file(c"/proc/self/uid_map", self.uid_map.as_bytes()).map_err(failed)?;
        }
        sys::loopback_up().map_err(failed)?;
        Ok(Ok(()))
    }

    fn mount(&mut self, say: &mut impl FnMut(Kind, LayerStatus, Errno, u16)) -> Result<(), (Step, Errno)> {
        sys::private_mounts().map_err(|errno| (Step::Mounts, errno))?;
        for (at, Prepared { step, path, is }) in self.mounts.iter().enumerate() {
            let at = u16::try_from(at).unwrap_or(Fact::NOWHERE);
            let followed = match step {
                Mount::Copy { slot, read_only, .. } => found(path, *is, sys::copy_tree).and_then(|tree| {
                    if let Some(copy) = self.copies.get_mut(*slot) {
                        *copy = tree;
                    }
                    // A terminal is a device, and the one thing that is copied to be one.
                    if is_terminal(path) {
                        return Ok(());
                    }
                    match sys::tame_tree(tree, *read_only) {
                        Err(Errno::ENOSYS) => Ok(()),
                        tamed => tamed,
                    }
                }),
                Mount::ReadOnly => match sys::all_read_only() {
                    // Linux 5.12. What is left then is what Landlock stops.
                    Err(Errno::ENOSYS) => {
                        say(Kind::Mounts, LayerStatus::Partial, Errno::ENOSYS, at);
                        Ok(())
                    }
                    done => done,
                },
                Mount::Bounded { .. } => sys::bounded(path, &self.own_bytes),
                Mount::Empty(_) => sys::empty(path),
                Mount::Bare(_) => sys::bare(path),
                Mount::Seal(_) => sys::seal(path),
                // A copy of it, with what is mounted below, over it.
                Mount::Pin(_) => found(path, None, |place| {
                    let tree = sys::copy_tree(place)?;
                    let put = sys::put_tree(tree, place);
                    sys::close(tree);
                    put
                }),
                Mount::Null(_) => sys::nothing(path),
                Mount::Terminals(_) => sys::terminals(path),
                Mount::MakeDirectory(_) => sys::make_directory(path),
                Mount::MakeFile(_) => sys::make_file(path),
                Mount::Write { text, .. } => sys::write_new_file(path, text.as_bytes()),
                Mount::Put { slot, optional, .. } => {
                    let tree = self.copies.get(*slot).copied().unwrap_or(-1);
                    match found(path, *is, |at| sys::put_tree(tree, at)) {
                        Err(_) if *optional => Ok(()),
                        put => put,
                    }
                }
            };
            if let Err(errno) = followed {
                self.failed_at = at;
                let moved =
                    is.is_some() && matches!(errno, Errno::ESTALE | Errno::ELOOP | Errno::ENOENT | Errno::ENOTDIR);
                return Err((if moved { Step::Moved } else { Step::Mounts }, errno));
            }
        }
        for copy in &mut self.copies {
            if *copy >= 0 {
                sys::close(*copy);
                *copy = -1;
            }
        }
        say(Kind::Mounts, LayerStatus::Enforced, Errno::UnknownErrno, Fact::NOWHERE);
        Ok(())
    }

    /// Whether the process is where it was to start.
    pub(crate) fn has_started_in(&self) -> bool {
        // Not that the view had more to show elsewhere: a program is to begin where it was told to.
        self.starts_in.is_none_or(|is| same(libc::AT_FDCWD, is))
    }

    /// Its own terminals, and what takes a bounded number of bytes, exist only since it mounted them.
    fn allow_mounted(&self, ruleset: RawFd) -> Result<(), (Step, Errno)> {
        let failed = |errno| (Step::Landlock, errno);
        for (path, rights) in &self.mounted {
            let directory = sys::open_path(path).map_err(failed)?;
            let added = sys::landlock_add(ruleset, directory, *rights);
            sys::close(directory);
            added.map_err(failed)?;
        }
        Ok(())
    }

    fn filter(&self, namespaces: bool) -> Result<(), Errno> {
        if !namespaces {
            seccomp::OFFLINE.install()?;
            if self.nothing_changes {
                seccomp::READONLY.install()?;
            }
        }
        seccomp::SESSION.install()
    }
}

/// Opens a place, no link followed, for as long as something is done with it; `ESTALE` when it is not the file it was.
fn found<T>(path: &CStr, is: Option<Identity>, act: impl FnOnce(RawFd) -> Result<T, Errno>) -> Result<T, Errno> {
    let place = sys::open_exact(path)?;
    let done = if is.is_none_or(|is| same(place, is)) { act(place) } else { Err(Errno::ESTALE) };
    sys::close(place);
    done
}

fn same(place: RawFd, is: Identity) -> bool {
    sys::identity(place) == Ok((is.device, is.inode))
}

/// One line of the report. A parent that is gone reads nothing.
fn tell(report: RawFd, fact: Fact) {
    let bytes = fact.to_bytes();
    // SAFETY: writes a live buffer to a descriptor that this process owns.
    unsafe { libc::write(report, bytes.as_ptr().cast(), bytes.len()) };
}

fn is_terminal(path: &CString) -> bool {
    path.as_bytes().starts_with(b"/dev/pts/")
}

/// Makes what the program finds in the place of HOME and of the directories of temporary files.
fn private_directories(private: &Path, start_files: &[StartFile]) -> Result<(), Refusal> {
    let failed = |source| Refusal::Prepare { what: format!("`{}`", private.display()), source };
    let names = profile::TEMPORARY.iter().map(|(_, name)| *name).chain([profile::PRIVATE_HOME]);
    for name in names {
        DirBuilder::new().recursive(true).mode(0o700).create(private.join(name)).map_err(failed)?;
    }
    let home = private.join(profile::PRIVATE_HOME);
    start_files.iter().try_for_each(|file| std::fs::write(home.join(file.name), &file.text)).map_err(failed)
}

/// Directories that the rulesets can't name before they are mounted.
fn mounted(places: &Places, request: &Request, version: u32) -> Result<Vec<(CString, u64)>, Refusal> {
    let terminals = landlock::bits(grant::READ | grant::DEVICE, version);
    let mut mounted = vec![(cstring(Path::new(view::TERMINALS))?, terminals)];
    if request.private_bytes.is_some() {
        for cover in places.covers.iter().filter(|cover| cover.by.is_some()) {
            let rights = landlock::own_rights(places, &cover.path, Beside::Namespaces);
            mounted.push((cstring(&cover.path)?, landlock::bits(rights, version)));
        }
    }
    Ok(mounted)
}

fn granted(request: &Request, places: &Places) -> Vec<Granted> {
    let asked = request.grants.iter().flat_map(|grant| std::iter::once(&grant.root).chain(&grant.output_roots));
    let found = places.grants.iter().flat_map(|grant| std::iter::once(&grant.root).chain(&grant.output_roots));
    let one = |(asked, path): (&String, &String)| {
        let identity = places.roots.identity(Path::new(path))?;
        Some(Granted { asked: asked.clone(), path: path.clone(), identity })
    };
    asked.zip(found).filter_map(one).collect()
}

/// What a person may not expect and leaves nothing open: grants that were named by way of a link, and tools that are none.
fn remarks(granted: &[Granted], places: &Places) -> Option<String> {
    let other = |it: &&Granted| Path::new(&it.asked).components().ne(Path::new(&it.path).components());
    let linked = granted.iter().filter(other);
    let linked = linked.map(|it| format!("`{}`, which is granted, is `{}` by way of a link", it.asked, it.path));
    let said: Vec<String> = linked.chain(places.left_out()).take(NAMED_MAX).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Most places that are named; a list of hundreds is not read by anybody.
const NAMED_MAX: usize = 128;

/// What is not hidden, for a person; `None` = nothing.
fn unguarded(places: &Places) -> Option<String> {
    let mut said = Vec::new();
    let named: Vec<String> =
        places.unguarded.iter().take(NAMED_MAX).map(|path| format!("`{}`", path.display())).collect();
    if !named.is_empty() {
        let more = places.unguarded.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = "a secret that is made or replaced while the session runs is not hidden";
        said.push(format!("{what}: {}{more}", named.join(", ")));
    }
    said.extend(places.open.iter().take(NAMED_MAX).cloned());
    (!said.is_empty()).then(|| said.join("; "))
}

/// The options of a file system in memory that holds so many bytes. A file takes memory of the kernel's, too: for each
/// block there may be one, and some more.
fn size_option(bytes: Option<u64>) -> CString {
    const BLOCK: u64 = 4096;
    const FILES_MIN: u64 = 1024;
    let bytes = bytes.unwrap_or(0);
    let options = format!("size={bytes},nr_inodes={},mode=0700", bytes / BLOCK + FILES_MIN);
    CString::new(options).unwrap_or_default()
}

fn effective_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()).unwrap_or(0)
}

fn cstring(path: &Path) -> Result<CString, Refusal> {
    let nul = |_| Refusal::Prepare {
        what: "a path".to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "it contains a NUL byte"),
    };
    CString::new(path.as_os_str().as_bytes()).map_err(nul)
}
