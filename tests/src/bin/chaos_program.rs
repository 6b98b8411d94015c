//! What runs in the sessions of the chaos runner: programs whose output and input can be checked to the byte.
//!
//! | words | what it does |
//! | --- | --- |
//! | `numbered SEED PACE LINES STOP CODE` | writes numbered lines (as many, or 0 = until STOP exists), then ends with CODE |
//! | `echo NAP STOP CODE` | says what it reads, until STOP exists, then ends with CODE |
//!
//! PACE is `flood:BURST:RATE` (bursts of so many bytes at full speed, on average RATE bytes a second) or `steady:RATE` (lines a
//! second). NAP is for how many milliseconds `echo` stops reading after each 16 KiB, so that what is typed waits in a terminal that
//! is full; 0 for never. Before it ends a program writes the number of bytes it has written into `STOP.total`; `echo` keeps what it reads in `STOP.read`. The terminal is raw: what is
//! written is what comes out.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program says what is wrong by panicking")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baton_tests::chaos::echoed::Echo;
use baton_tests::chaos::numbered::write_line;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// How often it looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let stdin = std::io::stdin();
    let mut settings = tcgetattr(stdin.as_fd()).expect("a terminal");
    cfmakeraw(&mut settings);
    tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &settings).expect("a terminal");
    let (stop, code, written) = match words[..] {
        ["numbered", seed, pace, lines, stop, code] => {
            let stop = PathBuf::from(stop);
            let (seed, lines) = (seed.parse().expect("a seed"), lines.parse().expect("lines"));
            let written = numbered(seed, pace, if lines == 0 { u64::MAX } else { lines }, &stop);
            (stop, code, written)
        }
        ["echo", nap, stop, code] => {
            let stop = PathBuf::from(stop);
            let written = echo(Duration::from_millis(nap.parse().expect("milliseconds")), &stop);
            (stop, code, written)
        }
        _ => panic!("unknown words {words:?}"),
    };
    std::fs::write(stop.with_extension("total"), written.to_string()).expect("a file");
    std::process::exit(code.parse().expect("an exit code"));
}

fn numbered(seed: u64, pace: &str, lines: u64, stop: &Path) -> u64 {
    let words: Vec<&str> = pace.split(':').collect();
    // Bytes of a burst, and how long the first n bytes, or lines, take.
    let (burst, rate, of_bytes) = match words[..] {
        ["flood", burst, rate] => (burst.parse().expect("bytes"), rate.parse::<u64>().expect("bytes a second"), true),
        ["steady", rate] => (1, rate.parse::<u64>().expect("lines a second"), false),
        _ => panic!("unknown pace `{pace}`"),
    };
    let mut out = unbuffered(std::io::stdout());
    let (mut number, mut written, begun) = (0, 0u64, Instant::now());
    let mut chunk = Vec::with_capacity(80 * 1024);
    while number < lines && !stop.exists() {
        let mut left: u64 = burst;
        while left > 0 && number < lines {
            chunk.clear();
            while chunk.len() < 64 * 1024 && (chunk.len() as u64) < left && number < lines {
                number += 1;
                write_line(seed, number, &mut chunk);
            }
            out.write_all(&chunk).expect("a terminal");
            written += chunk.len() as u64;
            left = left.saturating_sub(chunk.len() as u64);
        }
        let due = Duration::from_micros((if of_bytes { written } else { number }) * 1_000_000 / rate);
        while begun.elapsed() < due && !stop.exists() {
            std::thread::sleep((due - begun.elapsed().min(due)).min(LOOK_EVERY));
        }
    }
    written
}

/// After so many bytes `echo` takes its nap.
const NAP_AFTER_BYTES: usize = 16 * 1024;

fn echo(nap: Duration, stop: &Path) -> u64 {
    let (mut input, mut out) = (unbuffered(std::io::stdin()), unbuffered(std::io::stdout()));
    let mut kept = File::create(stop.with_extension("read")).expect("a file");
    let (mut echo, mut answer, mut written) = (Echo::default(), Vec::new(), 0);
    let mut piece = [0; 4096];
    let (mut read, mut awake_for) = (0, 0);
    loop {
        awake_for += read;
        if awake_for >= NAP_AFTER_BYTES {
            awake_for = 0;
            std::thread::sleep(nap);
        }
        // The first is a greeting: from now on what is typed is taken as it is.
        answer.clear();
        echo.answer(&piece[..read], &mut answer);
        kept.write_all(&piece[..read]).expect("a file");
        out.write_all(&answer).expect("a terminal");
        written += answer.len() as u64;
        loop {
            let mut polled = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
            let look = PollTimeout::try_from(LOOK_EVERY).expect("a short time");
            if poll(&mut polled, look).expect("poll") > 0 {
                break;
            }
            if stop.exists() {
                return written;
            }
        }
        read = input.read(&mut piece).expect("a terminal");
        assert!(read > 0, "the terminal was hung up");
    }
}

/// One write is one call, and nothing that was read waits where `poll` does not see it.
fn unbuffered(stream: impl AsFd) -> File {
    File::from(stream.as_fd().try_clone_to_owned().expect("a descriptor"))
}
