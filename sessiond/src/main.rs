//! `baton-sessiond`: launcher, supervisor or worker, as the first argument says.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use baton_proto::spec::Profile;
use baton_sessiond::{agent, doctor, egress, explain, launcher, supervisor, survey, sys, worker};

const USAGE: &str = "usage: baton-sessiond launcher --listen HOST:PORT [--ready-fd N]
       baton-sessiond supervisor | worker [--profile NAME | --take-over | --succeed | --replay]   (started by the launcher)
       baton-sessiond egress | agent DIRECTORY   (started by a worker)
       baton-sessiond sessions   (what runs without the others, as JSON)
       baton-sessiond doctor   (what this host has of what Baton uses, as JSON)
       baton-sessiond explain   (what a confined program may do with a path: the question on stdin, both as JSON)
       baton-sessiond --version";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    sys::log::start();
    let result = match args.as_slice() {
        ["launcher", "--heir", options @ ..] => match launcher::HeirOptions::parse(options) {
            Ok(options) => launcher::inherit(options),
            Err(why) => return usage(&why.to_string()),
        },
        ["launcher", options @ ..] => match launcher::Options::parse(options) {
            Ok(options) => launcher::run(&options),
            Err(why) => return usage(&why.to_string()),
        },
        ["egress", directory] => egress::run(std::path::Path::new(directory)),
        ["agent", directory] => agent::run(std::path::Path::new(directory)),
        ["supervisor"] => supervisor::run(),
        ["sessions"] => survey::run(),
        ["doctor"] => doctor::run(),
        ["explain"] => explain::run(),
        ["worker", "--profile", "host"] => worker::run(worker::Mode::Fresh(Profile::Host)),
        ["worker", "--profile", "workspace"] => worker::run(worker::Mode::Fresh(Profile::Workspace)),
        ["worker", "--profile", "locked"] => worker::run(worker::Mode::Fresh(Profile::Locked)),
        ["worker", "--take-over"] => worker::run(worker::Mode::TakeOver),
        ["worker", "--succeed"] => worker::run(worker::Mode::Succeed),
        ["worker", "--replay"] => worker::run(worker::Mode::Replay),
        ["--version"] => {
            #[expect(clippy::print_stdout, reason = "the answer to `--version`; no session exists here")]
            {
                println!("baton-sessiond {}", env!("CARGO_PKG_VERSION"));
            }
            Ok(())
        }
        _ => return usage("no such role"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!("{err:#}");
            let held = err.downcast_ref::<launcher::LockHeld>().is_some();
            // EX_TEMPFAIL: another launcher runs, which is what the caller wanted in the first place.
            ExitCode::from(if held { 75 } else { 1 })
        }
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("baton-sessiond: {why}\n{USAGE}");
    ExitCode::from(2)
}
