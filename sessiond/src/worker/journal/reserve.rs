//! Room that is kept for a full disk: for how the program ended, who has control, which size it is, and up to where was typed.
//! Output has none of it.
//!
//! It is a file of its own, whose blocks the file system has set aside. When one of those records finds no room, the file is cut
//! off and as much is set aside for the journal's segment in the same breath; what little of that somebody else may take in
//! between is why it is not cut to the bone. It is made again as soon as there is twice as much: a disk that has a moment's
//! room for one write is still full.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// Bytes kept.
pub const RESERVE_BYTES: u64 = 1 << 20;
/// The file's name in an instance's directory.
pub const RESERVE: &str = "reserve";

/// The room that is kept.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    /// The blocks are there.
    kept: bool,
}

impl Reserve {
    /// None yet; what a predecessor has kept is there for this one.
    pub fn of(dir: &Path) -> Self {
        let path = dir.join(RESERVE);
        let kept = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() >= RESERVE_BYTES);
        Self { path, kept }
    }

    /// Whether there is room to give up.
    pub const fn is_kept(&self) -> bool {
        self.kept
    }

    /// Keeps room if there is twice as much. A file system that cannot set room aside keeps none, which is no failure.
    ///
    /// # Errors
    /// What the file system says: it is full.
    pub fn make(&mut self, disk: &Disk) -> io::Result<()> {
        let file = disk.open(&self.path, true)?;
        let made = disk.allocate(&file, 0, 2 * RESERVE_BYTES, true);
        let kept = made.is_ok().then_some(RESERVE_BYTES).or(self.kept.then_some(RESERVE_BYTES)).unwrap_or(0);
        // Also what was set aside before it failed.
        let cut = disk.truncate(&file, kept);
        match made {
            Ok(true) => {
                self.kept = true;
                cut
            }
            Ok(false) => {
                // A file of zeros that takes no room keeps none.
                self.kept = false;
                disk.remove(&self.path)
            }
            Err(err) => Err(err),
        }
    }

    /// Gives the room back. False when none was kept.
    pub fn give_up(&mut self, disk: &Disk) -> bool {
        let kept = std::mem::take(&mut self.kept);
        kept && disk.open(&self.path, false).and_then(|file| disk.truncate(&file, 0)).is_ok()
    }

    /// Nothing will be written any more.
    pub fn remove(&mut self, disk: &Disk) {
        self.kept = false;
        if let Err(err) = disk.remove(&self.path) {
            tracing::warn!(error = %err, "room kept for a full disk cannot be given back");
        }
    }
}
