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
    match output.status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(2) => Err(Report::new(Exit::Usage, what).why(why.trim())),
        Some(code) if code != 1 => Ok(code),
        _ => Err(Report::failed(what).why(why.trim())),
    }
}
