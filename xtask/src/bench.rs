//! Figures, from release binaries.

use anyhow::Result;

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{cargo, command, run};
use crate::web;

/// The part that drives the page, and is no Rust.
const PAGE: &str = "page";

/// Builds everything for release and runs the benchmark.
pub fn run_parts(project: &Project, parts: &[&str]) -> Result<()> {
    binaries::build(project, Profile::Release)?;
    let others: Vec<&str> = parts.iter().copied().filter(|part| *part != PAGE).collect();
    if parts.is_empty() || !others.is_empty() {
        let mut command =
            cargo(&["run", "--quiet", "--locked", "--release", "-p", "baton-benches", "--"], project.root());
        command.args(others);
        run(command)?;
    }
    if parts.is_empty() || parts.contains(&PAGE) {
        web::install_if_stale(project)?;
        run(command("node", &["benches/page/main.mjs"], project.root()))?;
    }
    Ok(())
}
