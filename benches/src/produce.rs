//! What runs in the sessions of [`crate::events`]: a program that marks its output as shells do, on time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// Seconds of the steady part.
pub const SECONDS: u32 = 15;
/// Marks a second in the steady part: what the bridge makes events of for as long as a session likes.
pub const PER_SECOND: u32 = 20;
/// Writes a second.
const WRITES: u32 = 4;
/// Marks at once, afterwards: less than the bridge makes events of in a burst.
pub const BURST: u32 = 150;

/// Waits for the first gate, marks steadily, waits for the second, marks as fast as it can, and stays.
pub fn run(gates: [&Path; 2], index: u32, of: u32) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut number = 0;
    pass(gates[0])?;
    // Spread over the time between two writes, as independent programs are.
    let apart = Duration::from_secs(1) / WRITES;
    let begun = Instant::now() + apart * index / of;
    for write in 0..SECONDS * WRITES {
        std::thread::sleep((begun + apart * write).saturating_duration_since(Instant::now()));
        marks(&mut out, &mut number, PER_SECOND / WRITES)?;
    }
    pass(gates[1])?;
    marks(&mut out, &mut number, BURST)?;
    loop {
        std::thread::park();
    }
}

/// A FIFO: its opening waits for who opens it for writing, its end for who closes it.
fn pass(gate: &Path) -> Result<()> {
    File::open(gate)?.read_to_end(&mut Vec::new()).map(drop).context("a gate")
}

/// So many commands that a shell says it runs: number and time.
fn marks(out: &mut impl std::io::Write, number: &mut u32, count: u32) -> Result<()> {
    let mut text = String::new();
    for _ in 0..count {
        *number += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        text += &format!("\x1b]133;C;cmdline_url={number}%20{now}\x07");
    }
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
