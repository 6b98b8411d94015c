//! Fuzzing without another tool: `cargo xtask fuzz [TARGET…] [--minutes N] [--jobs N]`.
//!
//! Builds the targets of `fuzz/` with a nightly compiler, coverage counters and the address sanitizer, runs each for so
//! long over a copy of its corpus, keeps the smallest inputs that found new ways, and prints a table. An input that fails
//! is kept too, so that the tests fail until it is mended.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::project::Project;
use crate::steps;

/// What the compiler puts in, so that libFuzzer sees where an input leads; the address sanitizer; checks that a release
/// build leaves out.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing -Cdebug-assertions \
    -Coverflow-checks -Ccodegen-units=1";
/// Inputs that a run found and that are kept in the repository: so many of a target, the smallest first.
const KEPT_MAX: usize = 16;
/// Bytes of the largest of them.
const KEPT_BYTES_MAX: u64 = 2048;
/// The longest input that is tried.
const INPUT_BYTES_MAX: &str = "-max_len=4096";
/// An input that takes longer, in seconds, is a finding.
const INPUT_SECONDS_MAX: &str = "-timeout=20";
/// SQLite is one file that names some tables twice, which is no mistake.
const SANITIZER: (&str, &str) = ("ASAN_OPTIONS", "detect_odr_violation=0");
/// Memory of a run, in MiB; more is a finding.
const MEMORY_MIB_MAX: &str = "-rss_limit_mb=2048";

struct Options {
    targets: Vec<String>,
    time: Duration,
    jobs: usize,
}

/// A target that runs.
struct Run {
    target: String,
    child: Child,
    directory: PathBuf,
    begun: Instant,
    /// Seconds of processor time when it was looked at last.
    cpu: f64,
}

/// What came of it.
struct Figures {
    target: String,
    runs: u64,
    seconds: f64,
    cpu: f64,
    found: usize,
    kept: usize,
    findings: Vec<String>,
}

/// Builds and runs.
///
/// # Errors
/// When a target cannot be built or run, or an input fails.
pub fn run(project: &Project, words: &[&str]) -> Result<()> {
    let fuzz = project.root().join("fuzz");
    let options = options(&fuzz, words)?;
    let binaries = build(project, &fuzz, &options.targets)?;
    let mut waiting = options.targets.iter().rev().cloned().collect::<Vec<_>>();
    let (mut running, mut figures): (Vec<Run>, Vec<Figures>) = (Vec::new(), Vec::new());
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < options.jobs
            && let Some(target) = waiting.pop()
        {
            eprintln!("  {target}: begins");
            running.push(start(&fuzz, &binaries, project.target(), target, options.time)?);
        }
        thread::sleep(Duration::from_millis(500));
        let mut still = Vec::new();
        for mut run in running {
            if run.child.try_wait()?.is_none() {
                run.cpu = cpu_seconds(run.child.id()).unwrap_or(run.cpu);
                still.push(run);
                continue;
            }
            let done = finish(&fuzz, &binaries, run)?;
            eprintln!("  {}: {} runs, {} findings", done.target, done.runs, done.findings.len());
            figures.push(done);
        }
        running = still;
    }
    let at = |figures: &Figures| options.targets.iter().position(|target| *target == figures.target);
    figures.sort_by_key(at);
    let table = table(&figures);
    eprintln!("{table}");
    fs::write(project.target().join("fuzz/figures.md"), &table).context("the table could not be written")?;
    let findings: Vec<&String> = figures.iter().flat_map(|figures| &figures.findings).collect();
    ensure!(findings.is_empty(), "inputs that fail, now in the corpus: {findings:?}");
    Ok(())
}

fn options(fuzz: &Path, words: &[&str]) -> Result<Options> {
    let known = targets(fuzz)?;
    let mut options = Options { targets: Vec::new(), time: Duration::from_secs(60), jobs: 1 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let number = |value: Option<&&str>| -> Result<f64> {
            let value = value.with_context(|| format!("`{word}` wants a number"))?;
            let number: f64 = value.parse().with_context(|| format!("`{value}` is no number"))?;
            ensure!((0.01..=10_000.0).contains(&number), "`{word}` is from 0.01 to 10000");
            Ok(number)
        };
        match *word {
            "--minutes" => options.time = Duration::from_secs_f64((number(words.next())? * 60.0).max(1.0)),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
            "--jobs" => options.jobs = number(words.next())?.max(1.0) as usize,
            target if known.iter().any(|known| known == target) => options.targets.push(target.to_owned()),
            other => bail!("`{other}` is no target; there are {}", known.join(", ")),
        }
    }
    if options.targets.is_empty() {
        options.targets = known;
    }
    Ok(options)
}

/// The targets: a file of `fuzz_targets/` each.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets")).context("there is no fuzz/fuzz_targets")? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("rs"))
            && let Some(name) = path.file_stem().and_then(OsStr::to_str)
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds them; where they are.
fn build(project: &Project, fuzz: &Path, targets: &[String]) -> Result<PathBuf> {
    // Flags given for a named target are not those of build scripts and macros.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = project.target().join("fuzz");
    // Not the cargo that runs this: a pinned one does not know `+nightly`.
    let arguments = ["+nightly", "build", "--release", "--locked", "--target", &triple];
    let mut command = steps::command("cargo", &arguments, fuzz);
    command.args(targets.iter().flat_map(|target| ["--bin", target]));
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &target).env_remove("RUSTUP_TOOLCHAIN");
    steps::run(command).context("a nightly compiler is needed: `rustup toolchain install nightly`")?;
    Ok(target.join(triple).join("release"))
}

fn start(fuzz: &Path, binaries: &Path, target_dir: &Path, target: String, time: Duration) -> Result<Run> {
    let directory = target_dir.join("fuzz/run").join(&target);
    // What an earlier run left is of no use to this one's figures.
    let _ = fs::remove_dir_all(&directory);
    let (corpus, findings) = (directory.join("corpus"), directory.join("findings"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let log = File::create(directory.join("log"))?;
    // Journals and keyframes are files; these need not reach a disk.
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let child = Command::new(binaries.join(&target))
        .arg(&corpus)
        .arg(fuzz.join("corpus").join(&target))
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args([INPUT_BYTES_MAX, INPUT_SECONDS_MAX, MEMORY_MIB_MAX, "-print_final_stats=1"])
        .env("TMPDIR", scratch)
        .env(SANITIZER.0, SANITIZER.1)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("`{target}` could not be started"))?;
    Ok(Run { target, child, directory, begun: Instant::now(), cpu: 0.0 })
}

fn finish(fuzz: &Path, binaries: &Path, mut run: Run) -> Result<Figures> {
    let status = run.child.wait()?;
    let seconds = run.begun.elapsed().as_secs_f64();
    let log = fs::read(run.directory.join("log"))?;
    let log = String::from_utf8_lossy(&log);
    let home = fuzz.join("corpus").join(&run.target);
    fs::create_dir_all(&home)?;
    let mut findings = Vec::new();
    for entry in fs::read_dir(run.directory.join("findings"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kept = home.join(format!("finding_{}", name.get(..24).unwrap_or(&name)));
        fs::copy(entry.path(), &kept)?;
        findings.push(format!("{}/{name}", run.target));
    }
    ensure!(status.success() || !findings.is_empty(), "`{}` ended with {status}: {log}", run.target);
    let found = fs::read_dir(run.directory.join("corpus"))?.count();
    let kept = if findings.is_empty() { keep(binaries, &run, &home)? } else { 0 };
    Ok(Figures { runs: runs(&log), target: run.target, seconds, cpu: run.cpu, found, kept, findings })
}

/// Processor time of a living process: user's and system's, in hundredths of a second, are the 12th and 13th field behind
/// its name (proc(5)).
fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let ticks = rest.split_ascii_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok());
    ticks.sum::<Option<u32>>().map(|ticks| f64::from(ticks) / 100.0)
}

/// The number of inputs tried, as libFuzzer tells it at the end, or with its last line before a failure.
fn runs(log: &str) -> u64 {
    let told = log.lines().filter_map(|line| match line.strip_prefix("stat::number_of_executed_units:") {
        Some(rest) => rest.trim().parse().ok(),
        None => line.strip_prefix('#')?.split_ascii_whitespace().next()?.parse().ok(),
    });
    told.max().unwrap_or(0)
}

/// Minimises what was found to inputs that each reach something new, and keeps the smallest of them.
fn keep(binaries: &Path, run: &Run, home: &Path) -> Result<usize> {
    let merged = run.directory.join("merged");
    fs::create_dir_all(&merged)?;
    let mut merge = Command::new(binaries.join(&run.target));
    merge.arg("-merge=1").arg(&merged).arg(home).arg(run.directory.join("corpus")).arg(INPUT_BYTES_MAX);
    merge
        .env(SANITIZER.0, SANITIZER.1)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(run.directory.join("merge.log"))?);
    ensure!(merge.status()?.success(), "the corpus of `{}` could not be minimised", run.target);
    let sizes = |directory: &Path| -> Result<Vec<(u64, PathBuf)>> {
        let entries = fs::read_dir(directory)?;
        let mut sizes = entries
            .map(|entry| entry.and_then(|entry| Ok((entry.metadata()?.len(), entry.path()))))
            .collect::<std::io::Result<Vec<_>>>()?;
        sizes.sort();
        Ok(sizes)
    };
    // Those that a run brought are known by their name; the others were written by hand, or were findings.
    let there = sizes(home)?;
    let brought = there.iter().filter(|(_, path)| name(path).is_some_and(|name| name.starts_with("new_"))).count();
    let known: Vec<Vec<u8>> = there.iter().map(|(_, path)| fs::read(path)).collect::<std::io::Result<_>>()?;
    let mut kept = 0;
    for (size, path) in sizes(&merged)? {
        if brought + kept >= KEPT_MAX || size > KEPT_BYTES_MAX {
            break;
        }
        let bytes = fs::read(&path)?;
        if !known.contains(&bytes) {
            let hash = name(&path).unwrap_or_default();
            fs::write(home.join(format!("new_{}", hash.get(..12).unwrap_or(hash))), bytes)?;
            kept += 1;
        }
    }
    Ok(kept)
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn table(figures: &[Figures]) -> String {
    let mut out = String::from(
        "| target | runs | seconds | of the processor | runs a processor second | new corpus entries (kept) | findings |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for Figures { target, runs, seconds, cpu, found, kept, findings } in figures {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = *runs as f64 / cpu.max(0.1);
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "| `{target}` | {runs} | {seconds:.0} | {cpu:.0} | {rate:.0} | {found} ({kept}) | {} |",
            findings.len()
        );
    }
    out
}
