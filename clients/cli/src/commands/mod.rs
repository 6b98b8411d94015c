//! A file per command, or per family of commands.

mod approvals;
mod audit;
pub mod completions;
mod doctor;
mod down;
mod exec;
mod export;
mod input;
mod lease;
mod log;
mod ls;
mod new;
mod open;
mod policy;
mod respawn;
mod sandbox;
mod search;
mod session;
mod settings;
mod share;
pub mod shell_integration;
mod snapshot;
mod status;
mod token;
mod up;
mod upgrade;
mod wait;

use crate::args::Command;
use crate::attach;
use crate::context::Context;
use crate::report::Report;

/// Runs a command; its value is the exit code.
pub async fn dispatch(context: &Context, command: Command) -> Result<u8, Report> {
    match command {
        Command::Up(args) => up::run(context, &args).await,
        Command::Down(args) => down::run(context, &args).await,
        Command::Status(args) => status::run(context, args.json).await,
        Command::Doctor(args) => doctor::run(args.json),
        Command::Upgrade(args) => upgrade::run(context, &args).await,
        Command::New(args) => new::run(context, args).await,
        Command::Ls(args) => ls::run(context, &args).await,
        Command::Attach(args) => attach::run(context, &args).await,
        Command::Detach(args) => lease::detach(context, &args).await,
        Command::Open(args) => open::run(context, &args).await,
        Command::Claim(args) => lease::claim(context, &args).await,
        Command::Release(args) => lease::release(context, args.name.as_deref()).await,
        Command::Transfer(args) => lease::transfer(context, &args).await,
        Command::RequestControl(args) => lease::request_control(context, args.name.as_deref()).await,
        Command::Close(args) => session::close(context, &args).await,
        Command::Rename(args) => session::rename(context, &args).await,
        Command::Respawn(args) => respawn::run(context, &args).await,
        Command::Signal(args) => input::signal(context, &args).await,
        Command::Send(args) => input::send(context, args).await,
        Command::Exec(args) => exec::run(context, &args).await,
        Command::Wait(args) => wait::run(context, &args).await,
        Command::Log(args) => log::run(context, &args).await,
        Command::Snapshot(args) => snapshot::run(context, &args).await,
        Command::Search(args) => search::run(context, &args).await,
        Command::Export(args) => export::run(context, &args).await,
        Command::Sandbox(command) => sandbox::run(context, command).await,
        Command::Policy(command) => policy::run(command),
        Command::Share(args) => share::run(context, &args).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Approvals { command, list } => approvals::run(context, command, list).await,
        Command::Settings { command, show } => settings::run(context, command, show).await,
        Command::Audit { command, list } => audit::run(context, command, list).await,
        Command::Completions { shell } => completions::run(shell),
        Command::ShellIntegration { shell } => shell_integration::run(shell),
        Command::Launch(args) => crate::start::become_launcher(&args),
    }
}
