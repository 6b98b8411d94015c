//! A session's file, bounded: `<session>.log`, and the one before it as `<session>.1.log`.
//!
//! A file is opened for what there is to write and closed again: it may be deleted or moved at any time, and no session keeps a
//! descriptor.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use baton_proto::ids::{ClientId, SessionId};

use super::head::{Head, Way};
use crate::clock::rfc3339;

/// Bytes of a file. The one before it is kept, so that a session has at most twice as many.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// A line, and how many frames it stands for.
#[derive(Debug)]
pub(super) struct Line {
    text: String,
    frames: u64,
}

impl Line {
    /// A frame's.
    pub(super) fn of_frame(at_us: u64, client: &ClientId, way: Way, head: &Head) -> Self {
        Self { text: format!("{} {} {} {head}\n", rfc3339(at_us), client.as_str(), way.as_str()), frames: 1 }
    }

    /// In the place of so many frames.
    pub(super) fn of_dropped(at_us: u64, frames: u64) -> Self {
        Self { text: format!("{} - - dropped frames={frames}\n", rfc3339(at_us)), frames }
    }
}

/// What was not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) frames: u64,
    pub(super) source: io::Error,
}

/// The directory.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The newer file, and the older one.
    fn paths(&self, session: SessionId) -> [PathBuf; 2] {
        ["log", "1.log"].map(|end| self.directory.join(format!("{session}.{end}")))
    }

    /// Appends lines; each is written whole or not at all.
    pub(super) fn append(&self, session: SessionId, lines: &[Line]) -> Result<(), Unwritten> {
        let mut rest = lines;
        while !rest.is_empty() {
            let taken = self.append_some(session, rest).map_err(|source| Unwritten {
                frames: rest.iter().fold(0, |sum, line| sum.saturating_add(line.frames)),
                source,
            })?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Appends as many lines as there is room for, and begins another file where there is none. How many it were.
    fn append_some(&self, session: SessionId, lines: &[Line]) -> io::Result<usize> {
        let [newer, older] = self.paths(session);
        let mut file = self.open(&newer)?;
        let len = file.metadata()?.len();
        let (mut text, mut taken) = (String::new(), 0);
        for line in lines {
            // A line is much shorter than a file.
            if len + (text.len() + line.text.len()) as u64 > FILE_BYTES_MAX {
                break;
            }
            text.push_str(&line.text);
            taken += 1;
        }
        if taken == 0 {
            std::fs::rename(&newer, &older)?;
            return Ok(0);
        }
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // Half a line is worse than none; what can't be cut off stays.
            let _ = file.set_len(len);
        })?;
        Ok(taken)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        match options.open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
                options.open(path)
            }
            opened => opened,
        }
    }

    /// Removes what there is of a session.
    pub(super) fn remove(&self, session: SessionId) {
        for path in self.paths(session) {
            remove(&path);
        }
    }

    /// Removes what there is of all other sessions.
    pub(super) fn keep(&self, sessions: &HashSet<SessionId>) {
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let session = name.to_str().and_then(|name| name.split_once('.')).and_then(|(id, _)| id.parse().ok());
            // What is not named like ours is not ours.
            if session.is_some_and(|session| !sessions.contains(&session)) {
                remove(&entry.path());
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(err) = std::fs::remove_file(path)
        && err.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("`{}` can't be removed: {err}", path.display());
    }
}
