//! The API's description: written by the bridge, committed, and what the page's types are generated from.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{command, output};
use crate::web;

/// Writes the description and the types generated from it.
pub fn write(project: &Project) -> Result<()> {
    // The bridge does not compile without a page; the page as committed will do.
    web::build_if_stale(project)?;
    binaries::compile_one(project, "baton-bridge")?;
    fs::write(project.openapi_file(), describe(project)?)?;
    web::install_if_stale(project)?;
    web::generate_types(project)
}

/// The committed description must be the one that the bridge gives now.
pub fn check(project: &Project) -> Result<()> {
    let kept = fs::read(project.openapi_file()).context("clients/web/openapi.json is not there")?;
    ensure!(
        describe(project)? == kept,
        "clients/web/openapi.json is not what the bridge serves: run `cargo xtask openapi` and commit the change"
    );
    Ok(())
}

fn describe(project: &Project) -> Result<Vec<u8>> {
    output(command(binaries::path(project, Profile::Dev, "baton-bridge"), &["openapi"], project.root()))
}
