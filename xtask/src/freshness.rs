//! Which of two files is newer.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// When a file was last written; `None` when it is not there.
pub fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// When the newest file of a file or tree was written.
pub fn newest(path: &Path) -> Result<SystemTime> {
    let data = fs::metadata(path).with_context(|| format!("`{}` is not there", path.display()))?;
    // A directory's own time tells of files that were removed.
    let mut newest = data.modified()?;
    if data.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}
