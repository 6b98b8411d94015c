//! Limits of a session: each is reached for real, told as a person can understand, and outlives what it must. What the kernel
//! can't hold a session to is said.
//!
//! The limits of confined sessions need user namespaces (Linux 6.12 with what `confined` needs); as root they are tried as
//! an ordinary user, too.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, Event, LimitState, Page, ServerFrame, SessionDetail, SessionStatus};
use baton_proto::ids::SessionId;
use baton_proto::limits::Limits;
use baton_proto::spec::{LayerStatus, Profile};
use baton_tests::process::Process;
use baton_tests::websocket::Incoming;
use baton_tests::{Attach, Baton, Setup, ordinary, scenario, session};
use http::Method;
use serde_json::json;

/// A session with these limits.
fn limited(limits: Limits, script: &str) -> CreateTerminal {
    CreateTerminal { limits, ..session::shell_script(script) }
}

/// The same, confined to a directory that has the test's program in it as `program`.
fn confined(baton: &Baton, limits: Limits, script: &str) -> CreateTerminal {
    let project = project(baton);
    let request = limited(limits, script);
    CreateTerminal { sandbox: Some(Profile::Workspace), cwd: Some(project.to_str().unwrap().to_owned()), ..request }
}

fn project(baton: &Baton) -> PathBuf {
    let project = baton.person().join("project");
    fs::create_dir_all(&project).unwrap();
    let program = project.join("program");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_baton-test-program"), program).unwrap();
    }
    project
}

/// Waits for the event of a limit; its `data`.
async fn told(baton: &Baton, session: SessionId, what: &str) -> serde_json::Value {
    let is = |event: &Event| event.data["what"] == what && event.data["state"] == "reached";
    let path = format!("/v1/sessions/{session}/events?type=limit");
    let page: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| page.items.iter().any(is)).await;
    page.items.into_iter().find(is).unwrap().data
}

/// How far a limit of a session holds, and what is said of it.
async fn holds(baton: &Baton, session: SessionId, what: &str) -> (LayerStatus, String) {
    let there = |detail: &SessionDetail| !detail.session.limits.layers.is_empty();
    let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), there).await;
    assert!(detail.session.sandbox.layers.iter().all(|layer| layer.name != what), "no layer of the sandbox");
    let layer = detail.session.limits.layers.into_iter().find(|layer| layer.name == what).unwrap();
    (layer.status, layer.detail.unwrap_or_default())
}

async fn until_reached(client: &mut baton_tests::stream::StreamClient, limit: &str) -> String {
    let is = |frame: &ServerFrame| match frame {
        ServerFrame::Limit { what, state: LimitState::Reached, message, .. } if what == limit => message.clone(),
        _ => None,
    };
    if let Some(message) = client.frames.iter().find_map(is) {
        return message;
    }
    let wanted = |incoming: &Incoming| match incoming {
        Incoming::Frame(frame) => is(frame),
        _ => None,
    };
    client.until("`limit`: reached", wanted).await
}

#[test]
fn memory_and_files_are_refused_beyond_their_limits_and_that_is_told() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let program = env!("CARGO_BIN_EXE_baton-test-program");
        let limits = Limits { memory_bytes: Some(64 << 20), open_files: Some(40), ..Limits::default() };
        let script = format!("echo ready; read go; {program} memory; {program} files; exit 7");
        let id = baton.create(&limited(limits.clone(), &script)).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.until_output("ready").await;
        client.type_text("go\r").await;
        // 64 MiB, of which a little is the program's own.
        client.until_output("MiB, then refused").await;
        let text = String::from_utf8_lossy(&client.output).into_owned();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let at = words.iter().position(|word| *word == "MiB,").unwrap();
        let got: u64 = words[at - 1].parse().unwrap();
        assert!((48..64).contains(&got), "{text}");
        let message = until_reached(&mut client, "memory_bytes").await;
        assert!(message.contains("baton-test-prog") && message.contains("of the 64 MiB"), "{message}");
        let event = told(baton, id, "memory_bytes").await;
        assert_eq!((&event["limit"], &event["message"]), (&json!(64 << 20), &json!(message)));
        // Who comes later is told, too.
        let mut late = baton.attach(id, Attach::named("B")).await;
        assert_eq!(until_reached(&mut late, "memory_bytes").await, message);
        client.type_text("\r").await;
        client.until_output("files, then refused").await;
        let message = until_reached(&mut client, "open_files").await;
        assert!(message.contains("40 of the 40 files"), "{message}");
        let (status, detail) = holds(baton, id, "open_files").await;
        assert_eq!(status, LayerStatus::Enforced, "{detail}");
        let (status, detail) = holds(baton, id, "memory_bytes").await;
        assert!(status == LayerStatus::Partial && detail.contains("each process for itself"), "{detail}");
        // The worker is held to nothing of it, nor is the next one.
        let worker = baton.session(id).await.session.worker_pid.unwrap();
        let of_worker = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        assert!(!of_worker.contains(&(64u64 << 20).to_string()), "{of_worker}");
        client.type_text("\r").await;
        assert_eq!(client.until_exit().await.code, Some(7));
        // Started again it has the same limits.
        let path = format!("/v1/sessions/{id}");
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
        let _: SessionDetail = baton.api().get_until(&path, ended).await;
        let again: SessionDetail = baton.api().post(&format!("{path}/respawn"), &json!({})).await;
        assert_eq!(again.session.limits.memory_bytes, Some(64 << 20));
        let program = again.session.pid.unwrap();
        let held = fs::read_to_string(format!("/proc/{program}/limits")).unwrap();
        let hard = |name: &str| held.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(hard("Max data size").contains(&(64u64 << 20).to_string()), "{held}");
        assert!(hard("Max open files").split_ascii_whitespace().nth(4) == Some("40"), "{held}");
    });
}

#[test]
fn a_session_whose_time_is_over_is_ended_and_says_why() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let limits = Limits { wall_s: Some(2), ..Limits::default() };
        let begun = Instant::now();
        let id = baton.create(&limited(limits, "trap 'echo bye; exit 3' HUP; while :; do sleep 0.1; done")).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        let message = until_reached(&mut client, "wall_s").await;
        assert!(message.contains("wall time limit 2 s is over"), "{message}");
        let exit = client.until_exit().await;
        assert_eq!((exit.code, exit.reason.as_str()), (Some(3), "killed: wall time limit 2 s"));
        // The kernel counts a program's age in hundredths of a second.
        assert!(begun.elapsed() >= Duration::from_millis(1950), "{:?}", begun.elapsed());
        assert_eq!(told(baton, id, "wall_s").await["limit"], json!(2));
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Closed;
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await;
        assert_eq!(detail.session.exit.unwrap().reason, "killed: wall time limit 2 s");
        // One that ends by itself has no such reason.
        let limits = Limits { wall_s: Some(60), ..Limits::default() };
        let id = baton.create(&limited(limits, "echo done")).await;
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await;
        assert_eq!(detail.session.exit.unwrap().reason, "exit");
    });
}

#[test]
fn time_goes_on_when_a_worker_is_succeeded() {
    const WALL: Duration = Duration::from_secs(6);
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let limits = Limits { wall_s: Some(WALL.as_secs()), ..Limits::default() };
        // Stubborn, so that the end is one by SIGKILL after the grace.
        let id = baton.create(&limited(limits, "trap '' HUP; while :; do sleep 0.1; done")).await;
        let begun = Instant::now();
        let worker = baton.session(id).await.session.worker_pid.unwrap();
        let killed_after = Duration::from_secs(4);
        tokio::time::sleep(killed_after).await;
        Process::of(worker).kill().await;
        let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), next).await;
        told(baton, id, "wall_s").await;
        let took = begun.elapsed();
        assert!(took < killed_after + WALL, "its time began anew with the successor: {took:?}");
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Closed;
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await;
        assert_eq!(detail.session.exit.unwrap().reason, "killed: wall time limit 6 s");
    });
}

#[test]
fn a_smaller_share_of_the_processors_is_had_and_said_to_be_no_more_than_that() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let limits = Limits { cpu_weight: Some(25), ..Limits::default() };
        let script = "echo nice $(nice); cat /proc/self/autogroup; echo END 0; read x";
        let id = baton.create(&limited(limits, script)).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.until_output("END 0").await;
        let output = String::from_utf8_lossy(&client.output).into_owned();
        assert!(output.contains("nice 6\r\n"), "{output}");
        if fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").is_ok_and(|text| text.trim() == "1") {
            assert!(output.lines().any(|line| line.starts_with("/autogroup") && line.ends_with("nice 6")), "{output}");
        }
        let (status, detail) = holds(baton, id, "cpu_weight").await;
        assert!(status == LayerStatus::Partial && detail.contains("nice 6"), "{detail}");
        let worker = baton.session(id).await.session.worker_pid.unwrap();
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        let nice = |stat: &str| stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16).unwrap().to_owned();
        assert_eq!(nice(&stat), nice(&fs::read_to_string("/proc/self/stat").unwrap()), "the worker's is as ever");
    });
    ordinary::again("limits::a_smaller_share_of_the_processors_is_had_and_said_to_be_no_more_than_that");
}

#[test]
fn a_confined_sessions_own_files_are_bounded_together() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let limits = Limits { disk_bytes: Some(8 << 20), ..Limits::default() };
        let script = "dd if=/dev/zero of=/tmp/big bs=64k count=1000 2>&1; \
                      echo more > ~/more; echo home $?; echo in-grant > here; echo grant $?; \
                      read go; rm /tmp/big; echo room > ~/more && cat ~/more; read go; exit 7";
        let id = baton.create(&confined(baton, limits, script)).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.until_output("grant ").await;
        client.until_output("\r\n").await;
        let message = until_reached(&mut client, "disk_bytes").await;
        assert!(message.contains("of their 8 MiB"), "{message}");
        let output = String::from_utf8_lossy(&client.output).into_owned();
        assert!(output.contains("No space left") && output.contains("grant 0"), "{output}");
        let (status, detail) = holds(baton, id, "disk_bytes").await;
        assert!(status == LayerStatus::Enforced && detail.contains("memory"), "{detail}");
        // What is given back is there again; and said to be.
        client.type_text("go\r").await;
        client.until_output("room").await;
        let eased = |incoming: &Incoming| match incoming {
            Incoming::Frame(ServerFrame::Limit { what, state: LimitState::Eased, .. }) => Some(what.clone()),
            _ => None,
        };
        assert_eq!(client.until("`limit`: eased", eased).await, "disk_bytes");
        // The confinement is none the less whole.
        let sandbox = baton.session(id).await.session.sandbox;
        assert!(sandbox.layers.len() == 5 && sandbox.missing().next().is_none(), "{sandbox:?}");
        client.type_text("go\r").await;
        assert_eq!(client.until_exit().await.code, Some(7));
    });
    ordinary::again("limits::a_confined_sessions_own_files_are_bounded_together");
}

#[test]
fn processes_are_bounded_where_the_kernel_counts_them_apart() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let limits = Limits { processes: Some(12), ..Limits::default() };
        // A shell that can't fork gives up; the one above it takes its place.
        let script = "( for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 1000 & done; echo all started ); \
                      sleep 1000 & echo so far; read go; exit 7";
        let id = baton.create(&confined(baton, limits.clone(), script)).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.until_output("so far").await;
        let output = String::from_utf8_lossy(&client.output).into_owned();
        let (status, detail) = holds(baton, id, "processes").await;
        if nix::unistd::geteuid().is_root() {
            assert!(output.contains("all started"), "{output}");
            assert!(status == LayerStatus::Absent && detail.contains("root"), "{detail}");
        } else {
            assert!(!output.contains("all started"), "{output}");
            assert_eq!(status, LayerStatus::Enforced, "{detail}");
            let message = until_reached(&mut client, "processes").await;
            assert!(message.contains("12 of its 12 processes"), "{message}");
        }
        client.type_text("go\r").await;
        assert_eq!(client.until_exit().await.code, Some(7));
        // Of a session that is not confined all of the user's would count: it is held to nothing, and says so.
        let id = baton.create(&limited(limits, "read go")).await;
        let (status, detail) = holds(baton, id, "processes").await;
        assert_eq!(status, LayerStatus::Absent, "{detail}");
    });
    ordinary::again("limits::processes_are_bounded_where_the_kernel_counts_them_apart");
}

#[test]
fn what_is_no_limit_is_refused_with_what_there_is() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let create = "/v1/terminal/sessions";
        for (limits, why) in [
            (json!({"memory_bytes": 1}), "from 16777216"),
            (json!({"cpu_weight": 101}), "from 1 to 100"),
            (json!({"wall_s": 0}), "from 1"),
            (json!({"disk_bytes": 1 << 30}), "workspace"),
            (json!({"bogus": 1}), "bogus"),
            (json!({"processes": -1}), "invalid value"),
        ] {
            let body = json!({"command": ["true"], "limits": limits});
            let problem = baton.api().refused(Method::POST, create, &body, ErrorCode::Invalid).await;
            assert!(problem.detail.contains(why), "{body}: {}", problem.detail);
        }
        let new = baton.cli(["new", "-d", "--limit", "fun=1"]).await;
        assert!(new.code == Some(2) && new.stderr.contains("there are memory, processes"), "{new:?}");
        let new = baton
            .cli([
                "new",
                "-d",
                "-n",
                "small",
                "--limit",
                "memory=64MiB",
                "--limit",
                "open-files=40",
                "--limit",
                "time=2h",
            ])
            .await;
        assert_eq!(new.code, Some(0), "{new:?}");
        assert!(new.stderr.contains("Not all of its limits hold as they are. memory_bytes: each process"), "{new:?}");
        let list = baton.cli(["ls", "--json"]).await.ok();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let limits = &list["items"].as_array().unwrap_or_else(|| list.as_array().unwrap())[0]["limits"];
        assert_eq!((&limits["memory_bytes"], &limits["wall_s"]), (&json!(64 << 20), &json!(7200)), "{limits}");
        assert_eq!(limits["layers"].as_array().unwrap().len(), 3, "{limits}");
    });
}
