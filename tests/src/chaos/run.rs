//! A run: sessions and clients, a storm, calm, the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use baton_proto::api::SnapshotChoice;
use baton_proto::ids::SessionId;
use nix::sys::signal::Signal;
use serde_json::json;

use super::brief;
use super::client::{Client, Content, Role};
use super::desk::{self, Marks};
use super::echoed::{Answers, Records};
use super::family::Family;
use super::guard;
use super::killer::{self, HEALTHY_WITHIN};
use super::ledger::Ledger;
use super::numbered::NumberedCheck;
use super::report::Report;
use super::screens;
use super::world::{Phase, Shared, World};
use crate::attach::{Attach, Protocol};
use crate::baton::{Baton, Setup, artifacts_dir};
use crate::binaries;
use crate::process;
use crate::seed::Seed;

/// How long clients may take to come to rest once no more faults fall.
const CALM_LIMIT: Duration = Duration::from_secs(60);
/// How long programs, and those who follow them, may take to end.
const END_LIMIT: Duration = Duration::from_secs(90);
/// How long anything of Baton's may be there after `baton down --sessions`: a worker whose program has ended waits ten
/// seconds for somebody who wants to read.
const GONE_WITHIN: Duration = Duration::from_secs(25);

/// Of Baton's own disk: room for the journals of every session, and for as much again.
const DISK_BYTES: u64 = 1 << 30;

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// All choices come from it.
    pub seed: u64,
    /// How long faults fall.
    pub span: Duration,
    /// How many sessions live from beginning to end.
    pub sessions: u64,
    /// Baton's state is on a disk of its own, which is filled now and then. Only in a process that may mount one.
    pub disk: bool,
    /// Where the logs of the run go.
    pub artifacts: PathBuf,
}

impl Options {
    /// As it is without options.
    #[must_use]
    pub fn new(seed: u64, span: Duration) -> Self {
        Self { seed, span, sessions: 8, disk: true, artifacts: artifacts_dir().join(format!("chaos-{seed}")) }
    }
}

/// The command of a session that runs the self-checking program with these words.
#[must_use]
pub fn program(words: &[String]) -> Vec<String> {
    let path = binaries::path("baton-chaos-program");
    std::iter::once(path.to_string_lossy().into_owned()).chain(words.iter().cloned()).collect()
}

/// Has the session of a `request` confined and limited: it reads the self-checking program, and writes beside its stop file.
/// With `hosts` it has a way out, too.
pub fn confine(world: &World, request: &mut serde_json::Value, hosts: bool) {
    let path = binaries::path("baton-chaos-program");
    let grant = |root: &std::path::Path, write: bool| json!({"root_path": root, "allow_write": write, "allow_create": write, "allow_delete": false});
    let programs = path.parent().unwrap_or(&path);
    request["sandbox"] = json!("workspace");
    request["cwd"] = json!(world.baton.scratch());
    request["grants"] = json!([grant(programs, false), grant(world.baton.scratch(), true)]);
    request["limits"] = json!({
        "memory_bytes": 1_u64 << 30, "processes": 64, "cpu_weight": 80, "open_files": 64, "wall_s": 86400, "disk_bytes": 16 << 20,
    });
    world.ledger.count("sessions confined", 1);
    if hosts {
        request["allow_hosts"] = json!(["baton.invalid"]);
        world.ledger.count("sessions with a way out", 1);
    }
}

/// A session that lives through the whole run.
struct Long {
    id: SessionId,
    name: String,
    shared: Arc<Shared>,
}

/// Runs it.
///
/// # Panics
/// When there is no Baton to run it with.
#[must_use]
pub fn run(options: &Options) -> Report {
    let _ = std::fs::remove_dir_all(&options.artifacts);
    std::fs::create_dir_all(&options.artifacts).expect("a directory for the logs");
    println!("seed {}, logs in {}", options.seed, options.artifacts.display());
    let ledger = Ledger::new(&options.artifacts.join("chaos.log"));
    // The port stays the same from one launcher to the next.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let setup = Setup::plain().env("BATON_LISTEN", &format!("127.0.0.1:{port}"));
    let baton = Baton::start("chaos", if options.disk { setup.state_bytes(DISK_BYTES) } else { setup });
    let mark = baton.mark();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let world = World::new(baton, ledger, options.disk);
    runtime.block_on(whole(&world, options));
    let mut report = Report {
        seed: options.seed,
        sessions: options.sessions,
        totals: world.ledger.totals(),
        artifacts: options.artifacts.clone(),
    };
    if !report.totals.violations.is_empty() {
        keep(&world, &options.artifacts);
    }
    // Whoever still hangs on to the world has been told of.
    runtime.shutdown_timeout(Duration::from_secs(2));
    for process in process::with_environment(&mark) {
        process.signal(Signal::SIGCONT);
    }
    // What the harness finds at Baton's end must not hide the report.
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(world))).is_err() {
        report.totals.violations.push("the end: something was left".to_owned());
    }
    report
}

async fn whole(world: &Arc<World>, options: &Options) {
    let seed = Seed::new(options.seed);
    let mut tasks = Vec::new();
    let mut longs = Vec::new();
    for n in 0..options.sessions {
        match long_session(world, n, &seed.fork(100 + n), &mut tasks).await {
            Some(long) => longs.push(long),
            None => world.ledger.violation("start", &format!("session {n} could not be made before any fault fell")),
        }
    }
    let guarding = world.spawn("guard".to_owned(), guard::guard(Arc::clone(world)));
    let mut briefs = Vec::new();
    for n in 0..options.sessions.div_ceil(4) {
        briefs.push(world.spawn(format!("brief-{n}"), brief::run(Arc::clone(world), n, seed.fork(500 + n))));
    }
    killer::kill(Arc::clone(world), seed.fork(1), Instant::now() + options.span).await;

    world.phase.send_replace(Phase::Calm);
    world.disarm();
    world.ledger.note("calm");
    let calm = Instant::now();
    // What was stopped goes on within four seconds by itself.
    if let Err(text) = killer::healthy(world, HEALTHY_WITHIN).await {
        world.ledger.violation("recovery", &text);
    }
    while calm.elapsed() < CALM_LIMIT && longs.iter().any(|long| long.shared.typed().unanswered() > 0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.ledger.took("all input answered after the last fault", calm.elapsed());
    for brief in briefs {
        if tokio::time::timeout(Duration::from_secs(200), brief).await.is_err() {
            world.ledger.violation("brief", "does not come to its end");
        }
    }
    guard::programs(world);

    for long in &longs {
        world.ending(long.id);
    }
    world.phase.send_replace(Phase::End);
    for long in &longs {
        if long.name.starts_with("shell") {
            let path = format!("/v1/terminal/sessions/{}/close", long.id);
            if world
                .call(http::Method::POST, &path, Some(&json!({"reason": "the end"})))
                .await
                .is_none_or(|it| it.status >= 300)
            {
                world.ledger.violation(&long.name, "cannot be closed although no fault has fallen for long");
            }
        } else if let Err(err) = std::fs::write(world.stop_file(&long.name), "") {
            world.ledger.violation("harness", &format!("cannot stop {}: {err}", long.name));
        }
    }
    let ending = Instant::now();
    for (name, task) in tasks {
        let left = END_LIMIT.saturating_sub(ending.elapsed());
        if tokio::time::timeout(left, task).await.is_err() {
            world.ledger.violation(&name, "is not told of the end of its program");
        }
    }
    let _ = guarding.await;
    for long in &longs {
        let deaths = world.sessions().get(&long.id).map_or(0, |watched| watched.deaths);
        let mut typed = long.shared.typed();
        if long.shared.is_torn() {
            // What the program said of its input is not whole. It has kept what it read.
            match std::fs::read(world.stop_file(&long.name).with_extension("read")) {
                Ok(bytes) => {
                    typed.forget_what_was_read();
                    for text in Records::default().feed(&bytes).into_iter().filter_map(|piece| typed.read(piece).err())
                    {
                        world.ledger.violation(&long.name, &text);
                    }
                }
                Err(err) => world.ledger.note(&format!("{}: what it read: {err}", long.name)),
            }
        }
        for text in typed.settle(deaths, long.shared.epochs()) {
            world.ledger.violation(&long.name, &text);
        }
        let shell = long.shared.shell();
        for lost in shell.answered.difference(&shell.come).filter(|_| !long.shared.is_torn()) {
            world.ledger.violation(&long.name, &format!("the answer {lost} was on a screen and is not in the output"));
        }
        world.ledger.count("inputs acknowledged", typed.acknowledged);
        world.ledger.count("inputs refused and told", typed.refused);
        world.ledger.count("inputs told uncertain", typed.uncertain);
        world.ledger.count("inputs read by the program", typed.read);
        world.ledger.count("epochs", long.shared.epochs());
    }
    gone(world).await;
}

/// Makes the n-th session and everybody who looks at it.
async fn long_session(
    world: &Arc<World>,
    n: u64,
    seed: &Seed,
    tasks: &mut Vec<(String, tokio::task::JoinHandle<()>)>,
) -> Option<Long> {
    let shared = Arc::new(Shared::default());
    let mut seed = seed.clone();
    let code = i32::try_from(seed.within(0..100)).unwrap_or(0);
    let output = seed.number() >> 1;
    // Whatever the number of sessions, the first ones have every kind.
    let (kind, pace) = match n % 8 {
        0 => ("flood", "flood:16777216:2500000"),
        1 => ("echo", "0"),
        // Its terminal is full most of the time: so many writes are cut in two by a killed worker.
        4 => ("drowsy", "1500"),
        2 => ("burst", "flood:1048576:600000"),
        3 => ("steady", "steady:300"),
        6 => ("shell", ""),
        5 => ("flood", "flood:6000000:1500000"),
        _ => ("slow", "steady:15"),
    };
    let name = format!("{kind}-{n}");
    let stop = world.stop_file(&name).to_string_lossy().into_owned();
    let mut request = match kind {
        "echo" | "drowsy" => {
            let words = ["echo", pace, &stop, &code.to_string()].map(str::to_owned);
            json!({"title": name, "command": program(&words)})
        }
        "shell" => json!({
            "title": name,
            "command": ["/bin/bash", "--norc", "--noprofile", "-i"],
            "env": {"PS1": "$ ", "HISTFILE": "/dev/null"},
        }),
        _ => {
            let words = ["numbered", &output.to_string(), pace, "0", &stop, &code.to_string()].map(str::to_owned);
            json!({"title": name, "command": program(&words)})
        }
    };
    let hosts = matches!(n % 8, 1 | 5);
    if hosts {
        confine(world, &mut request, hosts);
    }
    let id = brief::create(world, &request).await?;
    world.watch(&world.ask(id, Duration::from_secs(30)).await?);
    if let Some(watched) = world.sessions().get_mut(&id) {
        watched.hosts = hosts;
    }
    world.ledger.count("sessions", 1);
    let mut enter = |who: &str, protocol: Protocol, typist: Option<u64>, judge: bool, slow: Duration| {
        let name = format!("{name} {who}");
        let mut snapshot = SnapshotChoice::Never;
        let content = match kind {
            _ if who == "viewer" => {
                snapshot = SnapshotChoice::Auto;
                Content::Viewer
            }
            "echo" | "drowsy" => Content::Echo { answers: Answers::default(), records: Records::default(), judge },
            "shell" => Content::Shell(Marks::default()),
            _ => Content::Numbered(NumberedCheck::new(output)),
        };
        let attach = Attach { protocol, snapshot, ..Attach::default() };
        let role = Role {
            name: name.clone(),
            attach,
            content,
            typist,
            slow,
            code: (kind != "shell").then_some(code),
            brief: false,
            seed: seed.fork(seed.clone().number()),
        };
        seed.number();
        let client = Client::new(world, id, &shared, role);
        tasks.push((name.clone(), world.spawn(name, client.run())));
    };
    enter("binary observer", Protocol::Binary, None, true, Duration::ZERO);
    if kind == "echo" || kind == "drowsy" {
        enter("json typist", Protocol::Json, Some(1), false, Duration::ZERO);
        enter("binary typist", Protocol::Binary, Some(2), false, Duration::ZERO);
        enter("third typist", Protocol::Binary, Some(3), false, Duration::ZERO);
    } else {
        enter("json observer", Protocol::Json, None, false, Duration::ZERO);
        if kind != "flood" {
            enter("slow observer", Protocol::Binary, None, false, Duration::from_millis(40));
        }
    }
    enter("viewer", Protocol::Json, None, false, Duration::from_millis(80));
    let mut seed = seed.fork(7);
    if kind == "shell" {
        let work = desk::sit(Arc::clone(world), name.clone(), Arc::clone(&shared), seed.fork(1));
        tasks.push((format!("{name} desk"), world.spawn(format!("{name} desk"), work)));
    }
    if kind != "flood" {
        let who = format!("{name} screens");
        let work = screens::look(Arc::clone(world), id, who.clone(), seed.fork(seed.clone().number()));
        seed.number();
        tasks.push((who.clone(), world.spawn(who, work)));
    }
    Some(Long { id, name, shared })
}

/// `baton down --sessions`, and nothing is left.
async fn gone(world: &Arc<World>) {
    world.fragile.store(true, Ordering::SeqCst);
    let down = world.baton.cli(["down", "--sessions"]).await;
    if down.code != Some(0) {
        world.ledger.violation("the end", &format!("`baton down --sessions`: {down:?}"));
    }
    let begun = Instant::now();
    let mark = world.baton.mark();
    loop {
        let left = process::with_environment(&mark);
        let sockets = listening(&mark);
        if left.is_empty() && sockets.is_empty() {
            world.ledger.took("nothing left after `baton down --sessions`", begun.elapsed());
            return;
        }
        if begun.elapsed() > GONE_WITHIN {
            for process in left {
                world
                    .ledger
                    .violation("the end", &format!("process {} is left: {}", process.pid, process.command_line()));
            }
            for socket in sockets {
                world.ledger.violation("the end", &format!("somebody listens at {socket}"));
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Unix sockets below this directory that somebody has open.
fn listening(mark: &str) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|path| path.contains(mark))
        .map(str::to_owned)
        .collect()
}

/// What is needed to look into it: Baton's logs and the journals, while they are there.
fn keep(world: &World, to: &std::path::Path) {
    let logs = std::fs::read_dir(world.baton.home.logs_dir()).into_iter().flatten().flatten();
    for log in logs {
        let _ = std::fs::copy(log.path(), to.join(log.file_name()));
    }
    let family = Family::find(&world.baton.mark());
    world.ledger.note(&format!("at the end: {family:?}"));
}
