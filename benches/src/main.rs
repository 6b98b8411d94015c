//! Figures, measured side by side with the peers that are installed: `cargo xtask bench [part]`.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`attach`] | from nothing to a full screen, after many lines of output |
//! | [`confined`] | what confinement costs: start, keystroke, many programs |
//! | [`events`], [`produce`] | ten thousand events a second, to clients that read and one that does not; the program that makes them |
//! | [`past`] | the screen at random places of a full journal, and a search through it |
//! | [`baton`] | a Baton of the benchmark's own |
//! | [`http`] | its API |
//! | [`pty`] | a command under a terminal, as a person waits for it |
//! | [`peer`] | tmux and the others |
//! | [`figures`] | medians and tables |
//!
//! Nothing in here is asserted: a busy machine is no defect. Rounds are interleaved, so that what else the machine does meets all.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table on stdout is what this is for")]

mod attach;
mod baton;
mod confined;
mod events;
mod figures;
mod http;
mod past;
mod peer;
mod produce;
mod pty;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask bench [attach|past|confined|events]   (none: all)";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parts: &[&str] = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => &["attach", "past", "confined", "events"],
        ["attach"] => &["attach"],
        ["past"] => &["past"],
        ["confined"] => &["confined"],
        ["events"] => &["events"],
        // What its own sessions run.
        ["produce", steady, burst, index, of] => {
            return produce::run([steady.as_ref(), burst.as_ref()], index.parse()?, of.parse()?);
        }
        _ => bail!("{USAGE}"),
    };
    let baton = baton::Baton::start()?;
    let mut report = serde_json::Map::new();
    for part in parts {
        let table = match *part {
            "attach" => attach::run(&baton)?,
            "confined" => confined::run(&baton)?,
            "events" => events::run(&baton)?,
            _ => past::run(&baton)?,
        };
        println!("{table}");
        report.insert((*part).to_owned(), table.json());
    }
    drop(baton);
    let path = std::path::Path::new("target/bench.json");
    std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    println!("the same as JSON: {}", path.display());
    Ok(())
}
