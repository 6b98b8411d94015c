//! The one way to stdout. A reader that went away (`| head`) ends the command quietly.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::Report;

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Report> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(refused)
}

/// Writes a line.
pub fn line(text: &str) -> Result<(), Report> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a value as JSON, for people and programs.
pub fn json(value: &impl Serialize) -> Result<(), Report> {
    let text = serde_json::to_string_pretty(value).map_err(|err| Report::failed("the answer is not JSON").why(err))?;
    line(&text)
}

/// Writes a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<(), Report> {
    let text = serde_json::to_string(value).map_err(|err| Report::failed("the answer is not JSON").why(err))?;
    line(&text)
}

/// Writes a remark to stderr: it is for a person and never part of the result.
pub fn remark(text: &str) {
    // Nobody is left to be told when stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn refused(err: io::Error) -> Report {
    match err.kind() {
        io::ErrorKind::BrokenPipe => Report::reader_gone(),
        _ => Report::failed("the output cannot be written").why(err),
    }
}
