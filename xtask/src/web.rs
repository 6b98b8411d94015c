//! The page: npm packages, generated types, checks, bundle.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::freshness::{newest, written};
use crate::project::Project;
use crate::steps::{command, run};

/// What the bundle is made of.
const SOURCES: [&str; 6] = ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];

/// Bundles the page into `dist/`, which the bridge's build takes in, unless it is newer than everything it is made of.
pub fn build_if_stale(project: &Project) -> Result<()> {
    let web = project.web();
    let mut sources = Vec::new();
    for source in SOURCES.map(|source| web.join(source)).iter().filter(|path| path.exists()) {
        sources.push(newest(source)?);
    }
    let built = written(&web.join("dist/index.html"));
    if built.is_some_and(|built| sources.iter().all(|source| *source <= built)) {
        eprintln!("  the page is up to date");
        return Ok(());
    }
    install_if_stale(project)?;
    npm(&project.web(), &["run", "build"])
}

/// Installs the page's packages unless they are there.
pub fn install_if_stale(project: &Project) -> Result<()> {
    install_locked(&project.web())
}

/// Installs the packages of the terminal that the tests compare screens with, unless they are there.
pub fn install_oracle_if_stale(project: &Project) -> Result<()> {
    install_locked(&project.root().join("tests/oracle"))
}

fn install_locked(directory: &Path) -> Result<()> {
    // npm writes this file last.
    let installed = written(&directory.join("node_modules/.package-lock.json"));
    let lock = directory.join("package-lock.json");
    let locked = written(&lock).with_context(|| format!("{} is not there", lock.display()))?;
    if installed.is_some_and(|installed| installed >= locked) {
        eprintln!("  npm packages are up to date");
        return Ok(());
    }
    npm(directory, &["ci", "--no-audit", "--no-fund"])
}

/// Compiles types and runs the page's own tests.
pub fn check(project: &Project) -> Result<()> {
    npm(&project.web(), &["run", "check"])?;
    npm(&project.web(), &["test"])
}

/// Drives the page against the binaries of the development build.
pub fn end_to_end(project: &Project) -> Result<()> {
    npm(&project.web(), &["run", "e2e"])
}

/// The committed types must be what the committed API description gives.
pub fn check_generated_types(project: &Project) -> Result<()> {
    npm(&project.web(), &["run", "--silent", "gen", "--", "--check"])
        .context("clients/web/src/api/api.gen.ts is not what openapi.json gives: run `cargo xtask openapi`")
}

/// Writes the types from the API description.
pub fn generate_types(project: &Project) -> Result<()> {
    npm(&project.web(), &["run", "--silent", "gen"])
}

fn npm(directory: &Path, arguments: &[&str]) -> Result<()> {
    run(command("npm", arguments, directory)).context("page and tests need Node 20.19 or newer with npm")
}
