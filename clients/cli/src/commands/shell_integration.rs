//! `baton shell-integration`

use crate::args::IntegrationShell;
use crate::integration;
use crate::out;
use crate::report::Report;

/// Prints a script for a shell to evaluate. It does nothing outside of a session.
pub fn run(shell: IntegrationShell) -> Result<u8, Report> {
    let script = match shell {
        IntegrationShell::Bash => integration::BASH,
        IntegrationShell::Zsh => integration::ZSH,
        IntegrationShell::Fish => integration::FISH,
    };
    out::bytes(script.as_bytes())?;
    Ok(0)
}
