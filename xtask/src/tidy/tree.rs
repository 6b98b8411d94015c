//! The repository's text files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Directories that are built or fetched, by name.
const SKIPPED: [&str; 5] = [".git", "node_modules", "dist", "test-artifacts", "corpus"];
/// Files whose text is looked at.
const READ: [&str; 7] = ["rs", "ts", "tsx", "toml", "json", "md", "lock"];

/// Every path below the root (`/` between names), and the text of those that are checked.
#[derive(Debug, Default)]
pub struct Tree {
    /// Files and directories.
    pub paths: BTreeSet<String>,
    /// Texts by path.
    pub texts: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the tree.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_directory(root, "")?;
        Ok(tree)
    }

    fn read_directory(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(directory).with_context(|| format!("cannot list `{}`", directory.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) || name.starts_with("target") {
                continue;
            }
            let (path, at) = (format!("{prefix}{name}"), entry.path());
            self.paths.insert(path.clone());
            if entry.file_type()?.is_dir() {
                self.read_directory(&at, &format!("{path}/"))?;
            } else if READ.iter().any(|extension| at.extension().is_some_and(|found| found == *extension)) {
                // Not there any more, or not text: nothing that these checks could judge.
                let Ok(text) = fs::read_to_string(&at) else { continue };
                self.texts.insert(path, text);
            }
        }
        Ok(())
    }

    /// Texts whose path has this extension.
    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.rsplit_once('.').is_some_and(|(_, found)| found == extension))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of these files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let texts: BTreeMap<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { paths: texts.keys().cloned().collect(), texts }
    }
}
