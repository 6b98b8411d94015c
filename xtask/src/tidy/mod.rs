//! Checks of the tree itself: what reviews forget, machines remember.

mod documents;
mod layers;
mod locks;
mod manifest;
mod sources;
mod tree;

use anyhow::{Result, bail};

use crate::project::Project;

/// What a check found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// These fail the check.
    pub errors: Vec<String>,
    /// These are said.
    pub warnings: Vec<String>,
}

/// Runs every check and prints all findings.
pub fn run(project: &Project) -> Result<()> {
    let tree = tree::Tree::read(project.root())?;
    let mut findings = Findings::default();
    sources::check(&tree, &mut findings);
    layers::check(&tree, &mut findings);
    locks::check(&tree, &mut findings);
    documents::check(&tree, &mut findings);
    for warning in &findings.warnings {
        eprintln!("  warning: {warning}");
    }
    for error in &findings.errors {
        eprintln!("  error: {error}");
    }
    match findings.errors.len() {
        0 => Ok(()),
        count => bail!("{count} findings in the tree"),
    }
}
