//! Figures, from release binaries.

use anyhow::Result;

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{cargo, run};

/// Builds everything for release and runs the benchmark.
pub fn run_parts(project: &Project, parts: &[&str]) -> Result<()> {
    binaries::build(project, Profile::Release)?;
    let mut command = cargo(&["run", "--quiet", "--locked", "--release", "-p", "baton-benches", "--"], project.root());
    command.args(parts);
    run(command)
}
