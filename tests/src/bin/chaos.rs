//! `baton-chaos --seed N --minutes M [--sessions S] [--no-disk]`: runs Baton, its clients and a killer; ends with 1 when a rule was broken.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its table is what it is for")]

use std::process::ExitCode;
use std::time::Duration;

use baton_tests::chaos::{self, Options};
use baton_tests::disk::{Private, again_privately};

const USAGE: &str = "usage: baton-chaos [--seed N] [--minutes M] [--sessions S] [--no-disk]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(mut options) = parse(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if options.disk {
        match again_privately(&words) {
            Private::Here => {}
            Private::Was(status) => {
                return status
                    .code()
                    .and_then(|code| u8::try_from(code).ok())
                    .map_or(ExitCode::FAILURE, ExitCode::from);
            }
            Private::Impossible(why) => {
                eprintln!("no disk is filled: none can be mounted here: {why}");
                options.disk = false;
            }
        }
    }
    let report = chaos::run(&options);
    let markdown = options.artifacts.join("table.md");
    if let Err(err) = std::fs::write(&markdown, report.markdown()) {
        eprintln!("the table could not be written to {}: {err}", markdown.display());
    }
    println!("{}", report.text());
    println!("as markdown: {}", markdown.display());
    if report.totals.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(words: &[String]) -> Option<Options> {
    let mut options = Options::new(0, Duration::from_secs(300));
    let mut seed = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => seed = Some(words.next()?.parse().ok()?),
            "--minutes" => {
                let minutes: f64 = words.next()?.parse().ok()?;
                options.span = Duration::try_from_secs_f64(minutes * 60.0).ok()?;
            }
            "--no-disk" => options.disk = false,
            "--sessions" => options.sessions = words.next()?.parse().ok().filter(|count| *count > 0)?,
            _ => return None,
        }
    }
    let seed = seed.or_else(|| getrandom::u64().ok().map(|seed| seed >> 32))?;
    let made = Options::new(seed, options.span);
    Some(Options { sessions: options.sessions, disk: options.disk, ..made })
}
