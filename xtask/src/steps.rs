//! Runs commands one after the other: says what runs, in words that can be typed, and how long each took.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command in a directory; the environment passes through.
pub fn command(program: impl AsRef<OsStr>, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

/// Cargo itself, the one that started us.
pub fn cargo(arguments: &[&str], directory: &Path) -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments, directory)
}

/// Runs a command to its end; anything but success is an error.
pub fn run(mut command: Command) -> Result<()> {
    let words = words(&command);
    eprintln!("  $ {words}");
    let status = command.status().with_context(|| format!("`{words}` could not be started"))?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and takes what it prints; what it says on stderr is shown.
pub fn output(mut command: Command) -> Result<Vec<u8>> {
    let words = words(&command);
    eprintln!("  $ {words}");
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("`{words}` could not be started"))?;
    if !output.status.success() {
        bail!("`{words}` ended with {}", output.status);
    }
    Ok(output.stdout)
}

/// Whether a program answers to `--version`.
pub fn is_there(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Times of the steps so far.
#[derive(Default)]
pub struct Steps {
    took: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Does a step and notes how long it took.
    pub fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        eprintln!("── {name}");
        let start = Instant::now();
        let done = work().with_context(|| format!("step `{name}` failed"));
        let took = start.elapsed();
        eprintln!("   {name}: {:.1} s", took.as_secs_f64());
        self.took.push((name, took));
        done
    }

    /// Prints a line for each step.
    pub fn summary(&self) {
        let total: Duration = self.took.iter().map(|(_, took)| *took).sum();
        for (name, took) in &self.took {
            eprintln!("   {:>7.1} s  {name}", took.as_secs_f64());
        }
        eprintln!("   {:>7.1} s  in all", total.as_secs_f64());
    }
}
