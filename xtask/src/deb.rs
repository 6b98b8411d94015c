//! The Debian package.

use anyhow::Result;

use crate::project::Project;

/// Builds it.
pub fn run(_project: &Project) -> Result<()> {
    anyhow::bail!("not yet")
}
