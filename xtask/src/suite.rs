//! Every check and every test, cheapest first; the first failure ends it.

use anyhow::Result;

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{self, Steps, cargo};
use crate::{openapi, schemathesis, tidy, web};

/// Runs everything.
pub fn run(project: &Project) -> Result<()> {
    let mut times = Steps::default();
    let done = all(project, &mut times);
    times.summary();
    done
}

fn all(project: &Project, times: &mut Steps) -> Result<()> {
    let cargo_step = |arguments: &[&str]| steps::run(cargo(arguments, project.root()));

    times.step("format", || cargo_step(&["fmt", "--all", "--check"]))?;
    times.step("tidy", || tidy::run(project))?;
    times.step("web packages", || web::install_if_stale(project))?;
    times.step("oracle packages", || web::install_oracle_if_stale(project))?;
    times.step("web types", || web::check_generated_types(project))?;
    times.step("web tests", || web::check(project))?;
    // Before anything that compiles the bridge.
    times.step("web bundle", || web::build_if_stale(project))?;
    times.step("clippy", || {
        cargo_step(&["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    })?;
    times.step("documentation", || {
        let mut rustdoc = cargo(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"], project.root());
        rustdoc.env("RUSTDOCFLAGS", "--deny rustdoc::broken_intra_doc_links");
        steps::run(rustdoc)
    })?;
    times.step("binaries", || binaries::compile(project, Profile::Dev))?;
    times.step("api description", || openapi::check(project))?;
    times.step("tests", || {
        if steps::is_there(cargo(&["nextest", "--version"], project.root())) {
            cargo_step(&["nextest", "run", "--locked", "--workspace"])
        } else {
            eprintln!("  cargo-nextest is not installed: `cargo test` instead (slower, one process a test binary)");
            cargo_step(&["test", "--locked", "--workspace", "--lib", "--bins", "--tests"])
        }
    })?;
    times.step("page in Chromium", || web::end_to_end(project))?;
    times.step("requests by the document", || schemathesis::check(project))?;
    times.step("documentation tests", || cargo_step(&["test", "--locked", "--workspace", "--doc"]))
}
