//! Build and test steps that cargo alone does not know: `cargo xtask <command>`.
//!
//! Order matters, because the page is built into the bridge and its types are generated from the bridge's API:
//!
//! ```text
//! openapi.json (committed) ─► api.gen.ts (committed) ─► dist/ ─► bridge ─► openapi.json again, compared
//! ```

mod bench;
mod binaries;
mod chaos;
mod deb;
mod freshness;
mod fuzz;
mod openapi;
mod project;
mod schemathesis;
mod steps;
mod suite;
mod tidy;
mod up;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

use binaries::Profile;
use project::Project;

const USAGE: &str = "usage: cargo xtask <command>

  up [-- options]    build everything for release, start Baton and a session, print the URL
  test               all checks and tests
  build [--release]  the page, then the three binaries
  web                the page alone, if its sources are newer
  bench [part]       figures beside the installed peers: attach, past, confined, events, page (release build; none: all)
  fuzz [target…]     fuzz targets, each for `--minutes N` (1), `--jobs N` at a time (1); needs a nightly compiler
  deb [--debug]      the Debian package, unpacked and tried; needs cargo-deb
  chaos [options]    everything killed, stopped and cut off, and every byte checked: --seed N --minutes M --sessions S
  schemathesis       random requests against the API's document: --seed N; needs python3 with venv
  openapi            write clients/web/openapi.json and the page's types from the bridge
  tidy               checks of the tree: layers, documented dependencies, links, forgotten tests";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let project = Project::find()?;
    match words {
        ["up", options @ ..] => up::run(&project, options.strip_prefix(&["--"]).unwrap_or(options)),
        ["test"] => suite::run(&project),
        ["build"] => binaries::build(&project, Profile::Dev),
        ["build", "--release"] => binaries::build(&project, Profile::Release),
        ["web"] => web::build_if_stale(&project),
        ["bench", parts @ ..] => bench::run_parts(&project, parts),
        ["fuzz", words @ ..] => fuzz::run(&project, words),
        ["deb", words @ ..] => deb::run(&project, words),
        ["chaos", options @ ..] => chaos::run_with(&project, options.strip_prefix(&["--"]).unwrap_or(options)),
        ["schemathesis", words @ ..] => schemathesis::run_with(&project, words),
        ["openapi"] => openapi::write(&project),
        ["tidy"] => tidy::run(&project),
        _ => bail!("{USAGE}"),
    }
}
