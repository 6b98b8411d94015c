//! What a confined program may do with a path, and why: answered from what confines it, and nothing else.
//!
//! ```text
//!  Request ─► Places ─┬─► view::steps     ─► the kernel's mounts      or  seen::View
//!                     └─► landlock::rules ─► the kernel's ruleset     or  the table asked here
//! ```
//!
//! What is asked here is what `jail` hands to the kernel, so the two differ only where this file reads it otherwise than
//! the kernel does; `tests/verdicts.rs` tries each answer in a confined process.
//!
//! An answer is about now: a file that is made, linked or granted later may get another.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baton_proto::api::{Decides, Explained, Verdict};
use baton_proto::spec::Profile;
use landlock::{AccessFs, BitFlags};
use nix::unistd::{AccessFlags, eaccess};

use crate::landlock::{self as rules, Beside, Rule};
use crate::places::{Place, Places, Refusal, Request};
use crate::seen::{Behind, Found, View};
use crate::{profile, view};

/// Of other processes only who may trace them reads this, and a confined program traces nobody outside (proc(5)).
const OF_ITS_PROCESS: &[&str] = &[
    "auxv",
    "cwd",
    "environ",
    "exe",
    "fdinfo",
    "io",
    "map_files",
    "maps",
    "mem",
    "numa_maps",
    "pagemap",
    "personality",
    "root",
    "smaps",
    "smaps_rollup",
    "stack",
    "syscall",
    "timerslack_ns",
];

/// Files of the kernel's that take a privilege which no confined program has.
const OF_THE_KERNEL: &[&str] =
    &["/proc/kcore", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup"];

/// Longest name of a file (`NAME_MAX` of `linux/limits.h`).
const NAME_BYTES_MAX: usize = 255;

/// Answers for one program.
#[derive(Debug)]
pub struct Evaluator {
    profile: Profile,
    places: Places,
    view: View,
    /// `None` = no Landlock: nothing is refused by it.
    rules: Option<Vec<Rule>>,
    cwd: PathBuf,
    /// The user's, resolved; `None` = it is not known.
    home: Option<PathBuf>,
    remarks: Vec<String>,
}

/// What is asked about, and in which words it is answered.
#[derive(Clone, Copy)]
enum What {
    Read,
    Write,
    Create,
    Delete,
}

impl What {
    const fn done(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "changed",
            Self::Create => "made",
            Self::Delete => "removed",
        }
    }

    /// As `--grant DIR:…` has it.
    const fn letter(self) -> char {
        match self {
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Create => 'c',
            Self::Delete => 'd',
        }
    }
}

/// Whether it may be another than the one that was there at that time. Of a directory the contents change all the time, so
/// there its birth counts; a file that is renamed has changed.
fn is_newer(secret: &Place, begun: SystemTime) -> bool {
    let Ok(found) = fs::symlink_metadata(&secret.path) else { return true };
    let seconds = Duration::from_secs(u64::try_from(found.ctime()).unwrap_or(0));
    let nanoseconds = Duration::from_nanos(u64::try_from(found.ctime_nsec()).unwrap_or(0));
    let changed = SystemTime::UNIX_EPOCH + seconds + nanoseconds;
    let at = if found.is_dir() { found.created().unwrap_or(changed) } else { changed };
    at >= begun
}

/// What is written to a FIFO goes to whoever reads it, and changes no file system: read-only mounts let it pass.
fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// As a word of a shell's command line, for who copies it there; `None` for what a terminal would take for more than text, or a
/// shell could.
fn quoted(word: &str) -> Option<String> {
    if word.chars().any(|char| char.is_control() || char == '\u{fffd}') {
        return None;
    }
    let plain = |char: char| char.is_alphanumeric() || "/._-+=:,@%".contains(char);
    Some(if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) })
}

fn yes(by: Decides, why: impl Into<String>) -> Verdict {
    Verdict { allowed: true, by, why: why.into() }
}

fn no(by: Decides, why: impl Into<String>) -> Verdict {
    Verdict { allowed: false, by, why: why.into() }
}

impl Evaluator {
    /// For a program that is confined like this. `beside` = which layers this host has; the private directory has to be
    /// there.
    ///
    /// # Errors
    /// [`Refusal`]: it would not be started.
    pub fn new(request: &Request, beside: Beside) -> Result<Self, Refusal> {
        Self::since(request, beside, None)
    }

    /// For one that runs since then: secrets in its grants that were made or replaced later are not hidden from it.
    ///
    /// # Errors
    /// As [`Evaluator::new`].
    pub fn since(request: &Request, beside: Beside, begun: Option<SystemTime>) -> Result<Self, Refusal> {
        if !profile::is_confined(request.profile) {
            return Ok(Self::unconfined(&request.cwd));
        }
        let mut places = Places::resolve(request)?;
        let mut remarks = Vec::new();
        if let Some(begun) = begun {
            let unguarded = &places.unguarded;
            places.secrets.retain(|secret| {
                let replaced = unguarded.contains(&secret.path) && is_newer(secret, begun);
                if replaced {
                    let why = "is a secret and was made or changed since the session began: what hid it may be gone";
                    remarks.push(format!("`{}` {why}", secret.path.display()));
                }
                !replaced
            });
        }
        let steps = match beside {
            Beside::Namespaces => view::steps(&places),
            Beside::Nothing => {
                remarks.push("this host gives sessions no view of their own: `baton doctor` says why".to_owned());
                Vec::new()
            }
        };
        let version = rules::version();
        remarks.extend(rules::missing(version).map(|missing| format!("Landlock is not whole here: {missing}")));
        remarks.extend(places.unguarded.iter().map(|path| {
            format!(
                "what is put at `{}` while a session runs is not hidden from it: it is a place of secrets, and granted",
                path.display()
            )
        }));
        remarks.extend(places.open.iter().cloned());
        remarks.extend(places.left_out());
        Ok(Self {
            profile: request.profile,
            view: View::of(&steps, &request.cwd),
            rules: (version > 0).then(|| rules::rules(&places, beside)),
            places,
            cwd: request.cwd.clone(),
            home: request.home.as_ref().map(|home| home.canonicalize().unwrap_or_else(|_| home.clone())),
            remarks,
        })
    }

    fn unconfined(cwd: &Path) -> Self {
        Self {
            profile: Profile::Host,
            places: Places::default(),
            view: View::of(&[], cwd),
            rules: None,
            cwd: cwd.to_owned(),
            home: None,
            remarks: Vec::new(),
        }
    }

    /// What the program may do with this path; a relative one begins where the program does.
    #[must_use]
    pub fn explain(&self, path: &Path) -> Explained {
        let asked = self.cwd.join(path);
        let resolved = self.view.resolve(&asked);
        let name = &resolved.name;
        // What is made through a link is made where it leads; what is removed is the link.
        let target = resolved.target.as_deref();
        Explained {
            path: path.display().to_string(),
            resolved: target.map(|target| target.display().to_string()),
            profile: self.profile,
            read: self.content(name, target, What::Read),
            write: self.content(name, target, What::Write),
            create: match &resolved.leads {
                Some(leads) => self.create(leads),
                None => no(Decides::Absent, "a directory on the way is missing, or links lead in circles"),
            },
            delete: self.delete(name),
            remarks: self.remarks.clone(),
        }
    }

    fn content(&self, name: &Path, target: Option<&Path>, what: What) -> Verdict {
        let Some(path) = target else { return self.absent(name, what) };
        let found = self.view.look(path);
        if let Some(refused) = self.hidden(path, what).or_else(|| self.of_others(path, found == Found::Device)) {
            return refused;
        }
        let right = match (what, &found) {
            (What::Write, _) => AccessFs::WriteFile,
            (_, Found::Directory) => AccessFs::ReadDir,
            _ => AccessFs::ReadFile,
        };
        let given = match self.given(path, right, what) {
            Ok(given) => given,
            Err(refused) => return refused,
        };
        // A device is written to wherever it is; a directory's own permissions say nothing of the files in it.
        if matches!(what, What::Write) && found != Found::Device && !is_fifo(path) {
            if let Some(refused) = self.unchanging(path, what) {
                return refused;
            }
            if found == Found::Directory {
                return given;
            }
        }
        let flags = if matches!(what, What::Write) { AccessFlags::W_OK } else { AccessFlags::R_OK };
        self.permitted(path, flags, given)
    }

    fn create(&self, path: &Path) -> Verdict {
        // Of a directory that is there: in it.
        let directory = match self.view.look(path) {
            Found::Directory => path,
            _ if path.file_name().is_some_and(|name| name.len() > NAME_BYTES_MAX) => {
                return no(Decides::Kernel, format!("a name has {NAME_BYTES_MAX} bytes at most"));
            }
            _ => path.parent().unwrap_or(path),
        };
        self.change(directory, AccessFs::MakeReg, What::Create)
    }

    fn delete(&self, name: &Path) -> Verdict {
        let found = self.view.look(name);
        if found == Found::Nothing {
            return self.absent(name, What::Delete);
        }
        if let Some(refused) = self.hidden(name, What::Delete) {
            return refused;
        }
        let Some(parent) = name.parent() else { return no(Decides::Mount, "it is the whole file system") };
        if self.profile != Profile::Host && self.view.hangs_on(name) {
            return no(Decides::Mount, "the session's view of the file system hangs on it");
        }
        let right = if found == Found::Directory { AccessFs::RemoveDir } else { AccessFs::RemoveFile };
        self.change(parent, right, What::Delete)
    }

    /// Changes which names are in a directory.
    fn change(&self, directory: &Path, right: AccessFs, what: What) -> Verdict {
        if self.view.look(directory) != Found::Directory {
            return no(Decides::Absent, format!("there is no directory `{}`", directory.display()));
        }
        if let Some(refused) = self.hidden(directory, what) {
            return refused;
        }
        let given = match self.given(directory, right, what) {
            Ok(given) => given,
            Err(refused) => return refused,
        };
        if let Some(refused) = self.unchanging(directory, what) {
            return refused;
        }
        self.permitted(directory, AccessFlags::W_OK | AccessFlags::X_OK, given)
    }

    /// Nothing is there; or nothing that the program would find.
    fn absent(&self, name: &Path, what: What) -> Verdict {
        if let Some(refused) = self.hidden(name, what) {
            return refused;
        }
        let here = self.view.behind(name) == Behind::Host(name.to_owned());
        if !here && name.symlink_metadata().is_ok() {
            let why = "the session finds a directory of its own in the place of the one this is in";
            return no(Decides::Covered, format!("{why}; {}", self.cure(name, what)));
        }
        if name.is_symlink() {
            return no(Decides::Absent, "it is a link to what the session does not find");
        }
        no(Decides::Absent, format!("nothing is there{}", self.would_be_secret(name)))
    }

    /// What becomes of a file that is put where secrets usually are, and nothing is now.
    fn would_be_secret(&self, name: &Path) -> &'static str {
        let below = |places: &[PathBuf]| places.iter().any(|place| name.starts_with(place));
        if below(&self.places.unguarded) {
            "; it is a usual place of secrets: what is put there is hidden from sessions that begin later, but not from one that \
             runs then, since the directory it is in is granted"
        } else if below(&self.places.usual) {
            "; it is a usual place of secrets: no confined session is shown what is put there, whatever is granted"
        } else {
            ""
        }
    }

    /// A secret, or a directory that is covered by an empty one.
    fn hidden(&self, path: &Path, what: What) -> Option<Verdict> {
        let secret = self.places.secrets.iter().any(|secret| path.starts_with(&secret.path));
        match self.view.behind(path) {
            _ if secret && self.places.unguarded.iter().any(|place| path.starts_with(place)) => Some(no(
                Decides::Secret,
                "it is a secret, and hidden as it is when a session begins; one that is made or replaced while a session runs \
                 which is granted a directory above it is seen by that session",
            )),
            _ if secret => {
                let why = "it is a secret: no confined session is shown it, whatever is granted";
                Some(no(Decides::Secret, why))
            }
            Behind::Empty | Behind::Null if self.is_of_sockets(path) => {
                let why = "the session finds nothing there: other programs have their sockets in it";
                Some(no(Decides::Covered, why))
            }
            // What is not there for anybody is told as that.
            Behind::Empty | Behind::Null if path.symlink_metadata().is_ok() => {
                let why = "the session finds nothing there: it is neither granted nor among what the profile gives";
                Some(no(Decides::Covered, format!("{why}; {}", self.cure(path, what))))
            }
            Behind::Terminals if matches!(what, What::Create | What::Delete) => {
                Some(no(Decides::Own, "the kernel makes and removes terminals there"))
            }
            _ => None,
        }
    }

    fn is_of_sockets(&self, path: &Path) -> bool {
        profile::SOCKETS.iter().any(|sockets| path.starts_with(sockets))
    }

    /// What is neither the program's nor anybody's to grant.
    fn of_others(&self, path: &Path, device: bool) -> Option<Verdict> {
        if self.profile == Profile::Host {
            return None;
        }
        if device && self.view.is_tame(path) {
            return Some(no(Decides::Mount, "devices do not work in what is granted"));
        }
        if OF_THE_KERNEL.iter().any(|file| path == Path::new(file)) {
            return Some(no(Decides::Kernel, "it takes a privilege which no confined session has"));
        }
        let rest = path.strip_prefix("/proc").ok()?;
        let mut names = rest.iter().filter_map(|name| name.to_str());
        let pid: u32 = names.next()?.parse().ok()?;
        let file = names.by_ref().find(|name| *name != "task" && name.parse::<u32>().is_err())?;
        // This process stands for the program, which may ask about itself.
        let own = pid == std::process::id();
        // Which descriptors and namespaces there are is listed; what they are is not.
        let closed = OF_ITS_PROCESS.contains(&file) || (matches!(file, "fd" | "ns") && names.next().is_some());
        (!own && closed).then(|| {
            no(Decides::Kernel, "it is another process's: its memory, environment and descriptors stay closed")
        })
    }

    /// Which rule gives a right at a path: of all rules above it, in the view, one has to.
    fn given(&self, path: &Path, right: AccessFs, what: What) -> Result<Verdict, Verdict> {
        let Some(rules) = &self.rules else {
            return Ok(if self.profile == Profile::Host {
                yes(Decides::Unconfined, "the session is not confined: it may what you may")
            } else {
                yes(Decides::Profile, "this kernel has no Landlock, and nothing else refuses it")
            });
        };
        if self.view.behind(path) == Behind::Terminals {
            return Ok(yes(Decides::Own, "the session's own terminals are there"));
        }
        let above = path.ancestors().filter_map(|above| match self.view.behind(above) {
            Behind::Host(here) => Some(here),
            _ => None,
        });
        let on = |here: PathBuf| rules.iter().filter(move |rule| rule.path == here);
        match above.flat_map(on).find(|rule| rule.rights.contains(BitFlags::from(right))) {
            Some(rule) => Ok(self.by(rule)),
            None => Err(self.lacks(path, what)),
        }
    }

    fn by(&self, rule: &Rule) -> Verdict {
        let path = rule.path.as_path();
        let granted = |grant: &baton_proto::spec::Grant| {
            Path::new(&grant.root) == path || grant.output_roots.iter().any(|output| Path::new(output) == path)
        };
        if self.places.grants.iter().any(granted) {
            return yes(Decides::Grant, format!("`{}` is granted", path.display()));
        }
        if self.places.covers.iter().any(|cover| cover.by.as_deref() == Some(path)) {
            return yes(Decides::Own, "it is the session's own, and gone with it");
        }
        let name = match self.profile {
            Profile::Host => "host",
            Profile::Workspace => "workspace",
            Profile::Locked => "locked",
        };
        yes(Decides::Profile, format!("every session under `{name}` may: `{}` is among what it gives", path.display()))
    }

    fn lacks(&self, path: &Path, what: What) -> Verdict {
        let granted = self.places.grants.iter().find(|grant| path.starts_with(&grant.root));
        if let Some(granted) = granted {
            let why = format!("`{}` is granted, but nothing in it is to be {}", granted.root, what.done());
            return no(Decides::Grant, format!("{why}; {}", self.cure(Path::new(&granted.root), what)));
        }
        if self.places.covers.iter().any(|cover| cover.by.is_some() && path.starts_with(&cover.path)) {
            let why = "a grant below it has some rights and not all, so what is above it is only read; grant that one with all";
            return no(Decides::Own, why);
        }
        let why = "it is neither granted nor among what the profile gives";
        no(Decides::Grant, format!("{why}; {}", self.cure(path, what)))
    }

    fn unchanging(&self, path: &Path, what: What) -> Option<Verdict> {
        if !self.view.is_read_only(path) {
            return None;
        }
        // A grant that changes nothing is mounted so, whatever it lies in.
        if self.places.grants.iter().any(|grant| path.starts_with(&grant.root)) {
            return Some(self.lacks(path, what));
        }
        Some(no(Decides::Mount, "it is mounted read-only in the session's view"))
    }

    /// What anybody needs.
    fn permitted(&self, path: &Path, flags: AccessFlags, given: Verdict) -> Verdict {
        let Behind::Host(here) = self.view.behind(path) else { return given };
        match eaccess(&here, flags) {
            Ok(()) => given,
            // Made when the session starts, for it alone.
            Err(nix::errno::Errno::ENOENT) => given,
            Err(err) => no(Decides::Permissions, format!("its permissions do not let this user: {}", err.desc())),
        }
    }

    /// What a person can do, where something can be done.
    fn cure(&self, path: &Path, what: What) -> String {
        if profile::NEVER_GRANTED.iter().any(|never| path.starts_with(never)) {
            return "nothing there can be granted".to_owned();
        }
        let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        if self.places.system.iter().any(|place| directory.starts_with(&place.path)) || directory.parent().is_none() {
            return "programs of the system are there, and no grant changes those".to_owned();
        }
        // Whoever wrote the path may have written it to be told this.
        if self.home.as_ref().is_some_and(|home| home.starts_with(directory)) {
            return "HOME is nothing to grant for that, nor what is above it: put what is needed into a directory of its own".to_owned();
        }
        let letter = what.letter();
        let rights = if letter == 'r' { "r".to_owned() } else { format!("r{letter}") };
        match quoted(&format!("{}:{rights}", directory.display())) {
            Some(grant) => format!("grant it with `--grant {grant}`"),
            None => "the directory that it is in can be granted".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_is_one_word_of_a_command_line() {
        for (word, expected) in [
            ("/home/u/p:rw", Some("/home/u/p:rw")),
            ("/h/a; touch pwned:r", Some("'/h/a; touch pwned:r'")),
            ("/h/$(id)`id`:r", Some("'/h/$(id)`id`:r'")),
            ("/h/it's:r", Some(r"'/h/it'\''s:r'")),
            ("/h/~ *?[a]{b}#!&|<>\"\\:r", Some("'/h/~ *?[a]{b}#!&|<>\"\\:r'")),
            ("/h/\u{1b}[2J:r", None),
            ("/h/a\nb:r", None),
        ] {
            assert_eq!(quoted(word).as_deref(), expected, "{word:?}");
        }
    }

    #[test]
    fn nobody_is_advised_to_grant_home_or_what_is_above_it() {
        let evaluator =
            Evaluator { home: Some("/home/u".into()), ..Evaluator::unconfined(Path::new("/home/u/project")) };
        for path in ["/home/u/.bashrc", "/home/u", "/home/x", "/home"] {
            assert!(!evaluator.cure(Path::new(path), What::Read).contains("--grant"), "{path}");
        }
        let cure = evaluator.cure(Path::new("/home/u/a; touch pwned/file"), What::Write);
        assert_eq!(cure, "grant it with `--grant '/home/u/a; touch pwned:rw'`");
    }
}
