//! What real programs wrote to their terminals (`tests/corpus/`): one file each.
//!
//! A file is one line of JSON, the header, and behind it the bytes as they came from the PTY.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The first line of a recording's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Columns of the terminal.
    pub cols: u16,
    /// Its rows; it kept its size.
    pub rows: u16,
    /// What ran, and its version.
    pub program: String,
}

/// A recording.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The file's name without its ending.
    pub name: String,
    /// What is known of it.
    pub header: Header,
    /// What the program wrote.
    pub bytes: Vec<u8>,
}

/// Where recordings are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// All of them, sorted by name.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn all() -> Vec<Recording> {
    let mut recordings: Vec<Recording> = std::fs::read_dir(directory())
        .expect("the corpus is part of the tree")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rec"))
        .map(|path| read(&path))
        .collect();
    recordings.sort_by(|a, b| a.name.cmp(&b.name));
    recordings
}

fn read(path: &Path) -> Recording {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let file = std::fs::read(path).expect("a readable recording");
    let end = file.iter().position(|byte| *byte == b'\n').unwrap_or_else(|| panic!("`{name}` has no header"));
    let header = serde_json::from_slice(&file[..end]).unwrap_or_else(|err| panic!("the header of `{name}`: {err}"));
    Recording { name, header, bytes: file[end + 1..].to_vec() }
}

/// The file a recording is kept in.
///
/// # Panics
/// Never: a header is JSON.
#[must_use]
pub fn file(header: &Header, bytes: &[u8]) -> Vec<u8> {
    let mut file = serde_json::to_vec(header).expect("a header is JSON");
    file.push(b'\n');
    file.extend_from_slice(bytes);
    file
}
