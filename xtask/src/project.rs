//! Where things are in the repository.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The repository, and where cargo puts what it builds.
pub struct Project {
    root: PathBuf,
    target: PathBuf,
}

impl Project {
    /// Finds the repository this command was started in.
    pub fn find() -> Result<Self> {
        // Set by `cargo run`; asked for at run time, so that a moved clone needs no rebuild.
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().context("xtask has no parent directory")?.to_owned();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |given| root.join(given));
        Ok(Self { root, target })
    }

    /// The repository's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The page's sources.
    pub fn web(&self) -> PathBuf {
        self.root.join("clients/web")
    }

    /// The API's description as the page is built against it.
    pub fn openapi_file(&self) -> PathBuf {
        self.web().join("openapi.json")
    }

    /// Where cargo builds.
    pub fn target(&self) -> &Path {
        &self.target
    }
}
