//! `baton policy test` and `explain`: who judges knows how, and `baton-bridge policy` has the smallest part in it.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::args::{PolicyCommand, PolicyExplainArgs};
use crate::out;
use crate::report::{Exit, Report, clean};
use crate::start::sibling;

/// Runs one of the family. Its exit code is the answer's: 0 allowed or in order, 5 denied, 7 a person is asked.
pub fn run(command: PolicyCommand) -> Result<u8, Report> {
    match command {
        PolicyCommand::Test { file, json } => {
            let json = json.then(|| "--json".into());
            ask("the policy is refused", ["test".into()].into_iter().chain(json).chain(file.map(OsString::from)))
        }
        PolicyCommand::Explain(args) => ask("it can't be explained", explain(args).into_iter()),
    }
}

fn explain(args: PolicyExplainArgs) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["explain".into()];
    all.extend(args.json.then(|| "--json".into()));
    all.extend(args.unsandboxed.then(|| "--unsandboxed".into()));
    let valued = [
        ("--as", args.name.map(OsString::from)),
        ("--workspace", args.workspace.map(OsString::from)),
        ("--policy", args.policy.map(OsString::from)),
        ("--cwd", args.cwd.map(OsString::from)),
        ("--action", args.action.map(OsString::from)),
    ];
    for (option, value) in valued {
        if let Some(value) = value {
            all.extend([option.into(), value]);
        }
    }
    if !args.line.is_empty() {
        all.push("--".into());
        all.extend(args.line.into_iter().map(OsString::from));
    }
    all
}

fn ask(what: &str, arguments: impl Iterator<Item = OsString>) -> Result<u8, Report> {
    let mut command = Command::new(sibling("baton-bridge")?);
    command.arg("policy").args(arguments).env("BATON_LOG", "error").stdin(Stdio::null());
    let output = command.output().map_err(|err| Report::failed(what).why(err))?;
    // What it names comes from whoever wrote the file, or the line.
    let said = clean(&String::from_utf8_lossy(&output.stdout));
    if !said.trim().is_empty() {
        out::line(said.trim_end())?;
    }
    let why = clean(&String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(2) => Err(Report::new(Exit::Usage, what).why(why.trim())),
        code => answer(code).ok_or_else(|| Report::failed(what).why(why.trim())),
    }
}

/// The exit code that is an answer; with any other it was refused, or broke.
fn answer(code: Option<i32>) -> Option<u8> {
    [0, Exit::Denied as u8, Exit::Asked as u8].into_iter().find(|known| code == Some(i32::from(*known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_promised_is_passed_on() {
        for code in [0, 5, 7] {
            assert_eq!(answer(Some(code)), u8::try_from(code).ok());
        }
        // Refused; a panic; a code of nobody's; a signal.
        for code in [Some(1), Some(101), Some(3), Some(256), None] {
            assert_eq!(answer(code), None, "{code:?}");
        }
    }
}
