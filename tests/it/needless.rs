//! Rules of Baton's own filters that nobody needs any more: what is allowed is compared with what strace saw each kind of
//! process do, once it was confined, while Baton was used in many ways.
//!
//! A call that is allowed and was never made is to go from its file, or into its rule's `seldom`, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_proto::api::{CreateTerminal, ServerStatus, SessionDetail};
use baton_proto::spec::Profile;
use baton_tests::process::Process;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Setup, binaries, scenario, session};
use nix::sys::signal::Signal;

/// The kinds of process that have a filter, by their argument.
const KINDS: [&str; 4] = ["bridge", "sessiond", "worker", "egress"];

/// The calls that each kind made after it had its filter.
type Made = BTreeMap<&'static str, BTreeSet<String>>;

/// What is known of a thread while the trace is read.
#[derive(Default, Clone)]
struct Thread {
    kind: Option<&'static str>,
    confined: bool,
    /// The last call it began makes a thread, not a process.
    makes_thread: bool,
}

/// Reads what `strace -f` wrote: `PID call(arguments…) = result`, in two parts where something came between.
fn read_trace(text: &str) -> Made {
    let mut threads: BTreeMap<u32, Thread> = BTreeMap::new();
    let mut made = Made::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let (Ok(pid), rest) = (pid.parse::<u32>(), rest.trim_start()) else { continue };
        let thread = threads.entry(pid).or_default();
        let resumed = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(' '));
        let call = resumed.map_or_else(|| rest.split('(').next().unwrap_or_default(), |(call, _)| call);
        if !call.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_') {
            continue;
        }
        if call == "execve" && resumed.is_none() {
            *thread = Thread { kind: kind_of(rest), ..Thread::default() };
            continue;
        }
        if resumed.is_none() {
            if let Some(kind) = thread.kind.filter(|_| thread.confined) {
                made.entry(kind).or_default().insert(call.to_owned());
            }
            if call == "seccomp" && rest.contains("SECCOMP_SET_MODE_FILTER") {
                thread.confined = true;
            }
            thread.makes_thread = rest.contains("CLONE_THREAD");
        }
        // Who serves a way out is forked from who tends it.
        if call.starts_with("clone")
            && (thread.makes_thread || thread.kind == Some("egress"))
            && let Some(child) = rest.rsplit_once(" = ").and_then(|(_, result)| result.trim().parse::<u32>().ok())
        {
            let (parent, before) = (thread.clone(), threads.get(&child).cloned().unwrap_or_default());
            threads.insert(child, Thread { confined: parent.confined || before.confined, ..parent });
        }
    }
    // Threads that were there before the filter have it too: those of a kind count together.
    made
}

fn kind_of(execve: &str) -> Option<&'static str> {
    if execve.contains("baton-bridge\"") {
        Some("bridge")
    } else if execve.contains("[\"") && execve.contains("baton-sessiond") {
        let is = |argument: &str| execve.contains(&format!(", \"{argument}\""));
        let roles = [("supervisor", "sessiond"), ("worker", "worker"), ("egress", "egress")];
        roles.into_iter().find_map(|(argument, kind)| is(argument).then_some(kind))
    } else {
        None
    }
}

/// Calls that a file allows and expects to be met; those of the files it includes not among them.
fn allowed(name: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/filters").join(name).with_extension("toml");
    let file: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let rules = file["rule"].as_array().unwrap().iter().filter(|rule| rule["answer"].as_str() == Some("allow"));
    let calls = rules.filter_map(|rule| rule.get("calls")).flat_map(|calls| calls.as_array().unwrap());
    calls.map(|call| call.as_str().unwrap().to_owned()).collect()
}

/// A launcher under strace, and the end of it.
struct Traced {
    strace: std::process::Child,
    into: std::path::PathBuf,
}

impl Traced {
    fn start(baton: &Baton) -> Self {
        let into = baton.scratch().join("trace");
        let mut command = Command::new("strace");
        // No arguments of a call that are long, and no signals; every thread in one file.
        command.args(["-f", "-qq", "-s", "64", "-e", "signal=none", "-o"]).arg(&into);
        // Where it listened before: what the test knows of this Baton stays true.
        command.arg(binaries::path("baton-sessiond")).args([
            "launcher",
            "--listen",
            baton.url.trim_start_matches("http://"),
        ]);
        command.env_clear().envs(baton.env()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { strace: command.spawn().unwrap(), into }
    }

    fn made(mut self) -> Made {
        self.strace.wait().unwrap();
        read_trace(&String::from_utf8_lossy(&fs::read(&self.into).unwrap()))
    }
}

/// A session that asks its way out for what is allowed, by name and by address, and for what is not.
async fn reach_hosts(baton: &Baton) {
    let project = baton.person().join("project");
    fs::create_dir_all(&project).unwrap();
    let server = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let listed = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in server.incoming().flatten() {
            let _ = (stream.read(&mut [0; 512]), stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nserved"));
        }
    });
    let ask = "ask() { exec 3<>/dev/tcp/127.0.0.1/3128; printf \"GET http://$1/ HTTP/1.1\\r\\n\\r\\n\" >&3; cat <&3; exec 3>&-; }";
    let script = format!("{ask}; ask {listed}; ask nowhere.test; ask localhost; ask refused.test; echo all-$((1+1))");
    let request = CreateTerminal {
        sandbox: Some(Profile::Workspace),
        cwd: Some(project.to_str().unwrap().to_owned()),
        allow_hosts: vec![listed, "nowhere.test".to_owned(), "localhost".to_owned()],
        ..session::command(["/bin/bash", "-c", &script])
    };
    let id = baton.create(&request).await;
    let path = format!("/v1/sessions/{id}");
    let _: SessionDetail = baton.api().get_until(&path, |it: &SessionDetail| it.session.exit.is_some()).await;
    let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
    assert!(output.contains("served") && output.contains("403") && output.contains("all-2"), "{output}");
}

/// Baton as people use it, and as it fares.
async fn use_it(baton: &Baton) {
    let api = baton.api();
    let session = baton.shell().await;
    drop(baton.attach(session, Attach::named("test")).await);
    let mut desk = Terminal::baton(baton, &["attach", "-r", &session.to_string()], (80, 24));
    desk.until("$ ").await;
    let name = session.to_string();
    for arguments in [
        ["exec", name.as_str(), "--claim", "--", "seq 100; printf '\\033[31mred\\033[0m\\n'"].as_slice(),
        &["search", "red"],
        &["snapshot", &name],
        &["export", &name],
        &["log", &name],
        &["signal", "--claim", &name, "INT"],
        &["upgrade"],
        &["ls"],
    ] {
        let done = baton.cli(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    }
    let detail: SessionDetail =
        api.get_until(&format!("/v1/sessions/{session}"), |it: &SessionDetail| it.session.worker_pid.is_some()).await;
    Process::of(detail.session.worker_pid.unwrap()).kill().await;
    let flood = baton.script("head -c 9000000 /dev/zero | tr '\\0' 'x' | fold -w 100; sleep 0.2").await;
    let ended = |it: &SessionDetail| it.session.exit.is_some();
    let _: SessionDetail = api.get_until(&format!("/v1/sessions/{flood}"), ended).await;
    reach_hosts(baton).await;
    baton.kill_bridge().await;
    baton.kill_sessiond().await;
    let status: ServerStatus = api.get_until("/v1/status", |it: &ServerStatus| it.launcher.is_some()).await;
    Process::of(status.launcher.unwrap().pid).signal(Signal::SIGHUP);
    let _ = baton.cli(["respawn", &flood.to_string()]).await;
    let _ = baton.cli(["close", &name]).await;
    let _ = baton.create(&session::bash()).await;
}

#[test]
fn no_rule_of_batons_own_filters_is_needless() {
    let there = Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("strace is not installed: not tried");
        return;
    }
    scenario(Duration::from_secs(240), Setup::plain(), async |baton: &Baton| {
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        let traced = Traced::start(baton);
        while !baton.cli(["status", "--json"]).await.stdout.contains("\"sessiond\": {") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        use_it(baton).await;
        // Everything ends, so that strace does.
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        let made = tokio::task::spawn_blocking(move || traced.made()).await.unwrap();

        let of = |kind: &str| made.get(kind).cloned().unwrap_or_default();
        let mut needless = Vec::new();
        let everybody: BTreeSet<String> = KINDS.into_iter().flat_map(of).collect();
        for kind in KINDS {
            assert!(of(kind).len() > 10, "{kind} was seen at work: {:?}", of(kind));
            needless.extend(allowed(kind).difference(&of(kind)).map(|call| format!("{kind}.toml: {call}")));
        }
        needless.extend(allowed("process").difference(&everybody).map(|call| format!("process.toml: {call}")));
        assert!(needless.is_empty(), "allowed and never used: {needless:#?}");
    });
}

#[test]
fn a_trace_is_read_as_it_is_written() {
    let trace = "\
10 execve(\"/x/baton-sessiond\", [\"/x/baton-sessiond\", \"worker\"], 0x7ff /* 20 vars */) = 0
10 open(\"/before\", O_RDONLY) = 3
10 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = 11
11 chdir(\"/\") = 0
10 seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, {len=7, filter=0x5}) = 0
10 read(3, <unfinished ...>
11 execve(\"/bin/sh\", [\"sh\"], 0x7ff /* 1 var */) = 0
11 getpid() = 11
10 <... read resumed>\"x\", 1) = 1
10 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD <unfinished ...>
10 <... clone resumed>, tls=0x1) = 12
12 futex(0x1, FUTEX_WAIT, 1, NULL) = 0
13 execve(\"/x/baton-bridge\", [\"/x/baton-bridge\"], 0x7ff /* 20 vars */) = 0
13 accept4(3, NULL, NULL, 0) = 4
";
    let made = read_trace(trace);
    let worker: Vec<&str> = made["worker"].iter().map(String::as_str).collect();
    assert_eq!(worker, ["clone", "futex", "read"]);
    assert!(!made.contains_key("bridge"), "it has no filter yet");
}
