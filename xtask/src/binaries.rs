//! The three binaries.

use std::path::PathBuf;

use anyhow::Result;

use crate::project::Project;
use crate::steps::{cargo, run};
use crate::web;

/// How cargo builds.
#[derive(Clone, Copy)]
pub enum Profile {
    /// For tests.
    Dev,
    /// For use.
    Release,
}

/// Builds the page, then the binaries that carry it.
pub fn build(project: &Project, profile: Profile) -> Result<()> {
    web::build_if_stale(project)?;
    compile(project, profile)
}

/// Builds the binaries alone.
pub fn compile(project: &Project, profile: Profile) -> Result<()> {
    let arguments: &[&str] = match profile {
        // The whole workspace, as the tests are built: another selection would unify features differently and
        // compile half of the dependencies a second time.
        Profile::Dev => &["build", "--locked", "--workspace", "--bins"],
        Profile::Release => {
            &["build", "--locked", "--release", "-p", "baton-cli", "-p", "baton-sessiond", "-p", "baton-bridge"]
        }
    };
    run(cargo(arguments, project.root()))?;
    match profile {
        // What no other build has: a bridge that an attacker has taken over.
        Profile::Dev => run(cargo(
            &[
                "build",
                "--locked",
                "--workspace",
                "--features",
                "baton-bridge/taken-over",
                "--bin",
                "baton-bridge-taken-over",
            ],
            project.root(),
        )),
        Profile::Release => Ok(()),
    }
}

/// Builds one binary for development, with the features it has among the others.
pub fn compile_one(project: &Project, name: &str) -> Result<()> {
    run(cargo(&["build", "--locked", "--workspace", "--bin", name], project.root()))
}

/// Where a binary is once it is built.
pub fn path(project: &Project, profile: Profile, name: &str) -> PathBuf {
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    project.target().join(directory).join(name)
}
