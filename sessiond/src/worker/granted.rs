//! What a session's grants were when it was first started: a respawn means the same directories. The spec has paths, and a
//! session that may write beside one can put a link in its place.
//!
//! The record lies in the session's directory, which no confined session is shown. A session that was made by a version
//! without it gets one at its next start.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use baton_proto::spec::SessionSpec;
use baton_sandbox::held::{Granted, Identity};
use serde::{Deserialize, Serialize};

use crate::supervisor::registry;

/// The record's name.
const NAME: &str = "granted.json";
/// Bytes of a record. Every grant may have a root of 4096, and output roots.
const BYTES_MAX: u64 = 16 << 20;

/// The record.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// When it was written: devices are numbered anew by each boot.
    boot_id: String,
    roots: Vec<Root>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Root {
    asked: String,
    path: String,
    device: u64,
    inode: u64,
}

/// Why a session is not started again.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// Another directory is at a grant's path.
    #[error("the granted directory `{asked}` is another one than when the session was first started: {}", if was == is {
        format!("what was at `{was}` is not there any more")
    } else {
        format!("it was `{was}` and is `{is}`")
    })]
    Other {
        /// As it was asked for.
        asked: String,
        /// Where it was.
        was: String,
        /// Where it would be now.
        is: String,
    },
    /// The record can't be read or written.
    #[error("what the session was granted could not be looked up in `{}`", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Changed {
    /// What a person can do about it.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Other { .. } => Some(
                "if you moved or replaced it, make a new session with that grant; if you did not, a program did that may write \
                 to the directory above",
            ),
            Self::Record { .. } => None,
        }
    }
}

/// Holds a session's grants to what they were, and keeps what is not known yet.
///
/// # Errors
/// [`Changed`]: the program must not be started.
pub fn same_as_ever(session: &Path, spec: &SessionSpec, granted: &[Granted]) -> Result<(), Changed> {
    let path = session.join(NAME);
    let failed = |source| Changed::Record { path: path.clone(), source };
    let mut record = read(&path).map_err(failed)?;
    let known = record.roots.len();
    for now in granted {
        let Identity { device, inode } = now.identity;
        let Some(was) = record.roots.iter().find(|was| was.asked == now.asked) else {
            record.roots.push(Root { asked: now.asked.clone(), path: now.path.clone(), device, inode });
            continue;
        };
        let same_device = was.device == device || record.boot_id != spec.boot_id;
        if was.path != now.path || was.inode != inode || !same_device {
            return Err(Changed::Other { asked: now.asked.clone(), was: was.path.clone(), is: now.path.clone() });
        }
    }
    let booted = record.boot_id != spec.boot_id;
    if booted {
        record.boot_id.clone_from(&spec.boot_id);
        for root in &mut record.roots {
            if let Some(now) = granted.iter().find(|now| now.asked == root.asked) {
                root.device = now.identity.device;
            }
        }
    }
    if record.roots.is_empty() || (record.roots.len() == known && !booted) {
        return Ok(());
    }
    let bytes = serde_json::to_vec(&record).map_err(|err| failed(err.into()))?;
    registry::write_beside(session, NAME, &bytes).map_err(failed)
}

fn read(path: &Path) -> io::Result<Record> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(err) => return Err(err),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    // What a power cut left; waiting for the disk would cost every start more than it is worth.
    if bytes.is_empty() {
        return Ok(Record::default());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::registry::tests::spec;

    fn granted(asked: &str, path: &str, device: u64, inode: u64) -> Granted {
        Granted { asked: asked.to_owned(), path: path.to_owned(), identity: Identity { device, inode } }
    }

    #[test]
    fn a_grant_stays_the_directory_that_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let spec = |boot: &str| SessionSpec { boot_id: boot.to_owned(), ..spec() };
        let check = |boot: &str, granted: &[Granted]| same_as_ever(scratch.path(), &spec(boot), granted);
        check("one", &[]).unwrap();
        assert!(!scratch.path().join(NAME).exists());
        let first = [granted("/p/link", "/p/real", 1, 10), granted("/p/sub", "/p/sub", 1, 11)];
        check("one", &first).unwrap();
        check("one", &first).unwrap();
        for other in [
            granted("/p/sub", "/private", 1, 12),
            granted("/p/sub", "/p/sub", 1, 12),
            granted("/p/sub", "/p/sub", 2, 11),
            granted("/p/sub", "/private", 1, 11),
        ] {
            let err = check("one", &[first[0].clone(), other]).unwrap_err();
            assert!(err.to_string().contains("`/p/sub`") && err.hint().is_some(), "{err}");
        }
        // Devices have other numbers after a boot; inodes and paths stay, and from then on the new number holds.
        check("two", &[granted("/p/sub", "/p/sub", 7, 11)]).unwrap();
        assert!(check("two", &[granted("/p/sub", "/p/sub", 1, 11)]).is_err());
        assert!(check("three", &[granted("/p/sub", "/p/sub", 1, 12)]).is_err());
        // A grant that was not known joins the others.
        check("two", &[granted("/new", "/new", 7, 1)]).unwrap();
        assert!(check("two", &[granted("/new", "/new", 7, 2)]).is_err());
        std::fs::write(scratch.path().join(NAME), "garbage").unwrap();
        assert!(matches!(check("two", &first), Err(Changed::Record { .. })));
    }
}
