//! `baton`: the command line. It uses the public API over the bridge's Unix socket and nothing else; starting and
//! stopping Baton ([`start`], `down`) is all it does besides.
#![forbid(unsafe_code)]

mod api;
mod args;
mod attach;
mod commands;
mod connect;
mod context;
mod host;
mod integration;
mod interrupt;
mod launcher;
mod limits;
mod moment;
mod names;
mod out;
mod parked;
mod refusals;
mod report;
mod start;
mod table;
mod time;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use context::Context;
use report::Report;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.command) {
        Ok(code) => ExitCode::from(code),
        Err(report) => {
            report.show();
            ExitCode::from(report.exit_code())
        }
    }
}

fn run(command: Command) -> Result<u8, Report> {
    match command {
        Command::Launch(launch) => return start::become_launcher(&launch),
        Command::Completions { shell } => return commands::completions::run(shell),
        Command::ShellIntegration { shell } => return commands::shell_integration::run(shell),
        _ => {}
    }
    let context = Context::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Report::failed("Baton cannot start its event loop").why(err))?;
    let result = runtime.block_on(commands::dispatch(&context, command));
    // A thread that still waits for the terminal must not keep the command from ending.
    runtime.shutdown_background();
    result
}
