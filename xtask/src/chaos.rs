//! The chaos runner: everything at once, and a killer.

use anyhow::Result;

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{command, run};

/// Builds everything for development and runs it with these options.
pub fn run_with(project: &Project, options: &[&str]) -> Result<()> {
    binaries::build(project, Profile::Dev)?;
    run(command(binaries::path(project, Profile::Dev, "baton-chaos"), options, project.root()))
}
