//! `baton completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::out;
use crate::report::Report;

/// Prints a completion script.
pub fn run(shell: Shell) -> Result<u8, Report> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "baton", &mut script);
    out::bytes(&script)?;
    Ok(0)
}
