//! Fuzzing without another tool: `cargo xtask fuzz [TARGET…] [--minutes N] [--jobs N]`.
//!
//! Builds the targets of `fuzz/` with a nightly compiler, coverage counters and the address sanitizer, runs each for so
//! long over a copy of its corpus, keeps the inputs that found new ways, smallest ones first, and prints a table. What
//! fails is copied to `fuzz/corpus/TARGET/`, so that the tests fail until it is mended.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::project::Project;
use crate::steps;

/// What the compiler puts into the code, so that libFuzzer sees where an input leads; and the address sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing -Cdebug-assertions \
    -Coverflow-checks -Ccodegen-units=1";
/// Flags are for the code under test, not for build scripts: cargo tells the two apart only when a target is named.
const TRIPLE: &str = concat!(env_arch!(), "-unknown-linux-gnu");
/// Inputs that a run found and that are kept in the repository, for each target: the smallest.
const KEPT_MAX: usize = 24;
/// Bytes of the largest of those.
const KEPT_BYTES_MAX: u64 = 4096;
/// How long a single input may take before it is a finding, in seconds.
const INPUT_SECONDS: &str = "-timeout=20";
