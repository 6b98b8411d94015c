//! What runs in the sessions of tests where a shell would be too vague: each word of the command line is one behaviour.
//!
//! | words | what it does |
//! | --- | --- |
//! | `lines RATE FILE` | writes `line 1`, `line 2`, … at RATE a second until FILE exists, then `end N`; exit code 7 |
//! | `paint BYTES` | writes about so many bytes of numbers, each in its place of 80 by 23 cells and its colour |
//! | `paint MIB_S FILE` | the same at so many MiB a second, until FILE exists |
//! | `flood BYTES` | writes so many bytes as fast as the terminal takes them, as numbered lines |
//! | `memory` | takes memory by the MiB until it gets no more, writes `N MiB, then refused`, and keeps it until a line comes |
//! | `files` | opens files until it gets no more, writes `N files, then refused`, and keeps them until a line comes |
//! | `throttled MIB_S SECONDS` | writes numbered lines at about so many MiB a second for so long, then `wrote N bytes` |
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program says what is wrong by panicking")]

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match words[..] {
        ["lines", rate, file] => lines(&mut out, rate.parse().expect("a rate"), Path::new(file)),
        ["paint", bytes] => {
            let bytes: u64 = bytes.parse().expect("bytes");
            paint(&mut out, |written| written < bytes);
        }
        ["paint", rate, file] => {
            let (rate, file, begun) = (rate.parse::<u64>().expect("MiB/s"), Path::new(file), Instant::now());
            paint(&mut out, |written| {
                let due = Duration::from_micros(written * 1_000_000 / (rate * 1024 * 1024));
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                !file.exists()
            });
        }
        ["flood", bytes] => flood(&mut out, bytes.parse().expect("bytes")),
        ["throttled", rate, seconds] => {
            throttled(&mut out, rate.parse().expect("MiB/s"), Duration::from_secs(seconds.parse().expect("seconds")));
        }
        ["memory"] => memory(&mut out),
        ["files"] => files(&mut out),
        _ => panic!("unknown words {words:?}"),
    }
}

/// Never more than a test may cost where nothing is limited.
const MEMORY_MIB_MAX: usize = 1024;

fn memory(out: &mut impl Write) {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(MEMORY_MIB_MAX);
    while kept.len() < MEMORY_MIB_MAX {
        let mut more = Vec::new();
        if more.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        more.resize(1 << 20, 1);
        kept.push(more);
    }
    refused(out, kept.len(), "MiB");
}

fn files(out: &mut impl Write) {
    let opened = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).take(100_000);
    let kept: Vec<_> = opened.collect();
    refused(out, kept.len(), "files");
}

/// Keeps what it has while it waits for a line.
fn refused(out: &mut impl Write, count: usize, what: &str) {
    out.write_all(format!("{count} {what}, then refused\n").as_bytes()).expect("a terminal");
    out.flush().expect("a terminal");
    std::io::stdin().read_line(&mut String::with_capacity(64)).expect("a terminal");
}

fn lines(out: &mut impl Write, rate: u64, until: &Path) {
    let begun = Instant::now();
    let mut written = 0;
    while !until.exists() {
        let due = u64::try_from(begun.elapsed().as_millis()).expect("a short time") * rate / 1000;
        while written < due {
            written += 1;
            out.write_all(format!("line {written}\n").as_bytes()).expect("a terminal");
        }
        out.flush().expect("a terminal");
        std::thread::sleep(Duration::from_millis(1));
    }
    out.write_all(format!("end {written}\n").as_bytes()).expect("a terminal");
    out.flush().expect("a terminal");
    std::process::exit(7);
}

/// The n-th line of a flood: 64 bytes with the line's number, so that a missing or repeated piece shows.
fn numbered(line: u64) -> [u8; 64] {
    let mut bytes = [b'.'; 64];
    bytes[..20].copy_from_slice(format!("{line:020}").as_bytes());
    bytes[63] = b'\n';
    bytes
}

fn flood(out: &mut impl Write, bytes: u64) {
    let mut chunk = Vec::with_capacity(64 * 1024);
    for line in 0..bytes.div_ceil(64) {
        chunk.extend_from_slice(&numbered(line));
        if chunk.len() >= 64 * 1024 {
            out.write_all(&chunk).expect("a terminal");
            chunk.clear();
        }
    }
    out.write_all(&chunk).expect("a terminal");
    out.flush().expect("a terminal");
}

fn paint(out: &mut impl Write, mut goes_on: impl FnMut(u64) -> bool) {
    let (mut number, mut written) = (0u64, 0);
    let mut chunk = Vec::with_capacity(64 * 1024);
    while goes_on(written) {
        chunk.clear();
        while chunk.len() < 60 * 1024 {
            number += 1;
            // Seven places a row, visited in an order that takes all of them.
            let place = number * 37 % 161;
            let (row, col) = (1 + place / 7, 1 + place % 7 * 11);
            chunk.extend_from_slice(format!("\x1b[{row};{col}H\x1b[3{}m{number:010}", number % 8).as_bytes());
        }
        written += chunk.len() as u64;
        out.write_all(&chunk).expect("a terminal");
    }
    out.flush().expect("a terminal");
}

fn throttled(out: &mut impl Write, mib_s: u64, span: Duration) {
    let begun = Instant::now();
    let (mut line, mut written, mut slowest) = (0, 0u64, Duration::ZERO);
    let mut chunk = Vec::with_capacity(64 * 1024);
    while begun.elapsed() < span {
        let due = u64::try_from(begun.elapsed().as_micros()).expect("a short time") * mib_s * 1024 * 1024 / 1_000_000;
        if written >= due {
            std::thread::sleep(Duration::from_micros(500));
            continue;
        }
        chunk.clear();
        for _ in 0..1024 {
            chunk.extend_from_slice(&numbered(line));
            line += 1;
        }
        let before = Instant::now();
        out.write_all(&chunk).expect("a terminal");
        slowest = slowest.max(before.elapsed());
        written += chunk.len() as u64;
    }
    out.write_all(format!("wrote {written} bytes, slowest write {} ms\n", slowest.as_millis()).as_bytes())
        .expect("a terminal");
    out.flush().expect("a terminal");
}
