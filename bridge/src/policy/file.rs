//! The policy in its file: read, and read again when it has changed. A bad new one leaves the old in force.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::rules::{FILE_BYTES_MAX, Policy, PolicyError};

/// How old a look at the file may be. Judging is rarer, and a look is one system call: no watcher is needed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a file has to have been left alone: a file that is written anew is empty for a moment, or not there, and
/// rules that are gone for a moment are gone.
const SETTLED_AFTER: Duration = Duration::from_millis(300);

/// Its name, beside `config.toml`.
pub const NAME: &str = "policy.toml";

/// What tells one state of the file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    changed: (i64, i64),
    len: u64,
    inode: u64,
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The same as before.
    None,
    /// Somebody may still be writing it: the same as before, until the next look.
    Unsettled,
    /// A new policy is in force.
    Reloaded,
    /// The new one is refused, and the one before stays.
    Refused(PolicyError),
}

/// A change that somebody has to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noticed {
    /// The revision in force.
    pub revision: String,
    /// Why the file as it is now is not the one in force.
    pub refused: Option<String>,
}

/// The policy in force, and where it comes from.
#[derive(Debug)]
pub struct LivePolicy {
    path: PathBuf,
    policy: Arc<Policy>,
    stamp: Option<Stamp>,
    looked: Instant,
}

impl LivePolicy {
    /// Reads the file; one that is not there is an empty one.
    ///
    /// # Errors
    /// [`PolicyError`]: a bridge does not start with a policy that nobody meant.
    pub fn open(path: &Path) -> Result<Self, PolicyError> {
        let stamp = stamp(path);
        let policy = Arc::new(load(path)?);
        Ok(Self { path: path.to_owned(), policy, stamp, looked: Instant::now() })
    }

    /// The shipped policy, until what is in the file can be read.
    ///
    /// # Errors
    /// [`PolicyError`], were the shipped one wrong; a test says that it isn't.
    pub fn shipped(path: &Path) -> Result<Self, PolicyError> {
        let stamp = stamp(path);
        Ok(Self { path: path.to_owned(), policy: Arc::new(Policy::shipped()?), stamp, looked: Instant::now() })
    }

    /// The policy in force; looks at the file if the last look is half a second old.
    pub fn current(&mut self, now: Instant) -> (Arc<Policy>, Change) {
        if now.saturating_duration_since(self.looked) < LOOK_EVERY {
            return (Arc::clone(&self.policy), Change::None);
        }
        let change = self.look(now);
        (Arc::clone(&self.policy), change)
    }

    /// The policy in force, without a look at the file.
    #[must_use]
    pub fn in_force(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Looks at the file now.
    pub fn look(&mut self, now: Instant) -> Change {
        self.looked = now;
        let stamp = stamp(&self.path);
        if stamp == self.stamp {
            return Change::None;
        }
        if !is_settled(&self.path, stamp.as_ref()) {
            return Change::Unsettled;
        }
        // Taken before the file is read: what is written in between is seen by the next look.
        self.stamp = stamp;
        match load(&self.path) {
            Ok(policy) if policy.revision == self.policy.revision => Change::None,
            Ok(policy) => {
                tracing::info!(revision = policy.revision, "the policy in `{}` is in force", self.path.display());
                self.policy = Arc::new(policy);
                Change::Reloaded
            }
            Err(err) => {
                tracing::warn!("the policy is refused, and the one before it stays in force: {err}");
                Change::Refused(err)
            }
        }
    }
}

/// Whether nobody is at it; where there is no file, its directory tells. A time to come is a clock that was set back.
fn is_settled(path: &Path, stamp: Option<&Stamp>) -> bool {
    let directory = || fs::metadata(path.parent()?).ok()?.modified().ok();
    let modified = stamp.map_or_else(directory, |it| it.modified);
    modified.is_none_or(|it| SystemTime::now().duration_since(it).map_or(true, |age| age >= SETTLED_AFTER))
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: meta.modified().ok(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        len: meta.len(),
        inode: meta.ino(),
    })
}

/// Reads and checks a policy; none is the shipped one.
///
/// # Errors
/// [`PolicyError`].
pub fn load(path: &Path) -> Result<Policy, PolicyError> {
    let file = path.display().to_string();
    let refuse = |what: String| PolicyError { file: file.clone(), line: 1, what };
    let mut text = String::new();
    match fs::File::open(path) {
        Ok(opened) => opened
            .take(FILE_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|err| refuse(format!("it can't be read: {err}")))?,
        Err(err) if err.kind() == io::ErrorKind::NotFound => 0,
        Err(err) => return Err(refuse(format!("it can't be read: {err}"))),
    };
    Policy::parse(&file, &text)
}
