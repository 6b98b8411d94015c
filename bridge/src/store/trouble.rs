//! Why the database failed, as far as whoever asked can do something about it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use baton_proto::ErrorCode;

use crate::problem::Failure;

/// With less free than this a file system is full, whatever the database says it failed of: beside its own file it needs room
/// for a log and for memory that it shares.
const FREE_BYTES_MIN: u64 = 1 << 20;

/// A failure of the database.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    why: Arc<str>,
    full: bool,
}

impl From<&rusqlite::Error> for Trouble {
    fn from(err: &rusqlite::Error) -> Self {
        let full = err.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        Self { why: err.to_string().into(), full }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Where the database is.
#[derive(Debug, Clone)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn of(database: &Path) -> Self {
        Self(database.parent().unwrap_or(database).to_owned())
    }

    fn is_full(&self) -> bool {
        nix::sys::statvfs::statvfs(&self.0)
            .is_ok_and(|stat| stat.blocks_available().saturating_mul(stat.fragment_size()) < FREE_BYTES_MIN)
    }

    /// What is said to whoever asked: `disk_full` where that is the cause, else `internal`.
    pub(super) fn failure(&self, trouble: &Trouble) -> Failure {
        tracing::error!("the database failed: {trouble}");
        if trouble.full || self.is_full() {
            let detail = "the disk of the bridge's database is full; free some and try again (sessions that run go on)";
            return Failure::new(ErrorCode::DiskFull, detail);
        }
        Failure::new(ErrorCode::Internal, "the bridge's database fails; sessions go on, its log says more")
    }
}
