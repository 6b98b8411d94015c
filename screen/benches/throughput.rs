//! How fast bytes become a screen, in MiB for each second of one core: `cargo bench -p baton-screen`.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::time::{Duration, Instant};

use baton_proto::v1::Dimensions;
use baton_screen::Screen;

const SIZE: Dimensions = Dimensions { cols: 120, rows: 40 };
const BYTES: usize = 32 * 1024 * 1024;
/// As the worker reads the journal.
const PIECE: usize = 64 * 1024;
const RUNS: usize = 5;
/// The kernel counts in ticks of some milliseconds.
const SNAPSHOTS: u32 = 2000;

fn log() -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0.. {
        if out.len() >= BYTES {
            break;
        }
        out.extend_from_slice(
            format!(
                "2026-03-14T15:09:26.{number:06} INFO worker[{}]: request {number} took {} us\r\n",
                number % 7,
                number % 997
            )
            .as_bytes(),
        );
    }
    out
}

fn coloured() -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0.. {
        if out.len() >= BYTES {
            break;
        }
        out.extend_from_slice(
            format!("\x1b[32m+\x1b[0m \x1b[1;34mlet\x1b[0m value_{number} = \x1b[33m{number}\x1b[0m; \x1b[2m// no {number}\x1b[0m\r\n")
                .as_bytes(),
        );
    }
    out
}

fn tui() -> Vec<u8> {
    let mut out = Vec::new();
    for frame in 0usize.. {
        if out.len() >= BYTES {
            break;
        }
        out.extend_from_slice(b"\x1b[?2026h");
        for row in 1..=40 {
            out.extend_from_slice(
                format!(
                    "\x1b[{row};1H\x1b[38;2;{};120;200m{row:>3}\x1b[0m \x1b[48;5;{}mprocess {frame:<40}\x1b[0m\x1b[K",
                    frame % 256,
                    row + frame % 16
                )
                .as_bytes(),
            );
        }
        out.extend_from_slice(b"\x1b[?2026l");
    }
    out
}

fn cjk() -> Vec<u8> {
    "日本語の端末は二桁の文字を表示する。🎉 한국어도 마찬가지\r\n".repeat(BYTES / 80).into_bytes()
}

/// Time this thread had a core, which does not depend on what else the machine does; the clock's where the kernel does not tell.
fn busy(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn measure(name: &str, bytes: &[u8]) {
    let began = Instant::now();
    let mib = bytes.len() as f64 / (1024.0 * 1024.0);
    let best = |feed: &dyn Fn(&mut Screen, &[u8])| {
        (0..RUNS)
            .map(|_| {
                let mut screen = Screen::new(SIZE);
                let start = busy(began);
                for piece in bytes.chunks(PIECE) {
                    feed(&mut screen, piece);
                }
                mib / (busy(began) - start).as_secs_f64()
            })
            .fold(0.0, f64::max)
    };
    let skipping = best(&|screen, piece| screen.feed(piece, &mut Vec::new()));
    let plain = best(&|screen, piece| screen.feed_plainly(piece, &mut Vec::new()));
    let mut screen = Screen::new(SIZE);
    screen.feed(bytes, &mut Vec::new());
    let start = busy(began);
    let mut snapshot = Vec::new();
    for _ in 0..SNAPSHOTS {
        snapshot = screen.snapshot(0);
    }
    let elapsed = (busy(began) - start) / SNAPSHOTS;
    println!(
        "{name:<10} {skipping:>8.0} MiB/s, {plain:>6.0} without skipping; snapshot {:>6} bytes in {elapsed:?}",
        snapshot.len()
    );
}

fn main() {
    measure("log", &log());
    measure("coloured", &coloured());
    measure("tui", &tui());
    measure("cjk", &cjk());
}
