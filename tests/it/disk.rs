//! A disk that is full or takes no writes, descriptors and memory that have run out: the session goes on, what is missing is
//! marked and told, and everything recovers when the fault goes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{
    CreateTerminal, Event, Health, LimitState, Page, ServerFrame, ServerStatus, Session, SessionDetail, SessionStatus,
};
use baton_proto::ids::{Cursor, SessionId};
use baton_tests::chaos::family::Family;
use baton_tests::disk::privately;
use baton_tests::process::Process;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use serde_json::json;

/// Of the state's file system.
const DISK_BYTES: u64 = 16 << 20;
/// Rounds of a flood.
const ROUNDS: u64 = 200;
/// Lines of a round.
const LINES: u64 = 2000;

/// A flood of some megabytes that takes about two seconds, and what it writes.
fn flood() -> (String, Vec<u8>) {
    let script = format!(
        "n=0; while [ $n -lt {ROUNDS} ]; do seq $((n*{LINES})) $((n*{LINES}+{LINES}-1)); n=$((n+1)); sleep 0.005; done"
    );
    let mut text = Vec::new();
    for number in 0..ROUNDS * LINES {
        text.extend_from_slice(format!("{number}\r\n").as_bytes());
    }
    (script, text)
}

fn on_small_disk(test: &str, seconds: u64, body: impl AsyncFnOnce(&Baton)) {
    privately(test, || {
        scenario(Duration::from_secs(seconds), Setup::plain().state_bytes(DISK_BYTES), body);
    });
}

/// The directory of a session's journal.
async fn instance_dir(baton: &Baton, session: SessionId) -> PathBuf {
    let instance = baton.session(session).await.session.instance;
    baton.home.sessions_dir().join(session.to_string()).join(instance.to_string())
}

/// Waits until room is kept for a full disk, and that it is.
async fn reserve(baton: &Baton, session: SessionId) -> PathBuf {
    let path = instance_dir(baton, session).await.join("reserve");
    while fs::metadata(&path).map_or(0, |meta| meta.blocks() * 512) != 1 << 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    path
}

fn limit_of(incoming: &Incoming) -> Option<(LimitState, Option<u64>)> {
    match incoming {
        Incoming::Frame(ServerFrame::Limit { what, state, lost, .. }) if what == "journal" => Some((*state, *lost)),
        _ => None,
    }
}

async fn until_failing(client: &mut StreamClient) {
    let said = client.frames.iter().find_map(|frame| limit_of(&Incoming::Frame(frame.clone())));
    if said.is_none() {
        client.until("`limit`", |incoming| limit_of(incoming).filter(|(state, _)| *state == LimitState::Failing)).await;
    }
}

async fn until_recovered(client: &mut StreamClient) -> u64 {
    client
        .until("`limit`: recovered", |incoming| {
            limit_of(incoming).filter(|(state, _)| *state == LimitState::Recovered).map(|(_, lost)| lost.unwrap_or(0))
        })
        .await
}

/// Everything that is kept, by somebody who has nothing: bytes with their offsets, and how many of them are missing.
async fn replay(baton: &Baton, session: SessionId, to: u64) -> (Vec<u8>, Vec<(u64, u64)>) {
    // A bridge that has heard none of it live has it from the journal alone.
    baton.kill_bridge().await;
    let instance = baton.session(session).await.session.instance;
    let from = Cursor { instance, offset: 0 };
    let mut client = baton.attach(session, Attach::named("late").binary().resume(from)).await;
    let mut gaps = Vec::new();
    while client.offset < to {
        let (at, skipped) = (client.offset, client.skipped);
        client.until("more", |incoming| matches!(incoming, Incoming::Data { .. }).then_some(())).await;
        if client.skipped > skipped {
            gaps.push((at, client.skipped - skipped));
        }
    }
    (client.output, gaps)
}

/// The epochs of the leases that the history has.
async fn epochs(baton: &Baton, session: SessionId) -> Vec<u64> {
    let page: Page<Event> = baton.api().get(&format!("/v1/sessions/{session}/events?type=lease")).await;
    page.items.iter().filter_map(|event| event.data["epoch"].as_u64()).collect()
}

/// That a session is refused, and that nothing is left of it.
async fn none_can_be_made(baton: &Baton, code: ErrorCode, why: &str) {
    let before = fs::read_dir(baton.home.sessions_dir()).unwrap().count();
    let request = CreateTerminal { title: Some("refused".into()), ..session::shell_script("true") };
    let answer = baton.api().call(http::Method::POST, "/v1/terminal/sessions", Some(&request)).await;
    let problem = answer.problem();
    assert!(problem.code == code && problem.detail.contains(why), "{answer}");
    let list: Page<Session> = baton.api().get("/v1/sessions").await;
    assert!(list.items.iter().all(|session| session.title != "refused"), "{:?}", list.items);
    assert_eq!(fs::read_dir(baton.home.sessions_dir()).unwrap().count(), before);
}

#[test]
fn without_room_no_session_is_made_and_the_problem_says_why() {
    on_small_disk("disk::without_room_no_session_is_made_and_the_problem_says_why", 90, async |baton: &Baton| {
        baton.disk().fill();
        none_can_be_made(baton, ErrorCode::DiskFull, "1024; free some").await;
        baton.disk().free();
        let session = baton.shell().await;
        // There is room, and it cannot be used.
        baton.disk().read_only();
        none_can_be_made(baton, ErrorCode::Internal, "Read-only file system").await;
        baton.disk().writable();
        let mut client = baton.attach(session, Attach::named("first")).await;
        client.until_output("$ ").await;
        let next = baton.create(&CreateTerminal { title: Some("refused".into()), ..session::bash() }).await;
        let mut client = baton.attach(next, Attach::named("next")).await;
        client.until_output("$ ").await;
    });
}

#[test]
fn a_database_without_room_is_told_holds_nobody_up_and_recovers_by_itself() {
    let name = "disk::a_database_without_room_is_told_holds_nobody_up_and_recovers_by_itself";
    on_small_disk(name, 90, async |baton: &Baton| {
        let session = baton.shell().await;
        let mut owner = baton.attach(session, Attach::named("owner").input_stream(1)).await;
        owner.until_output("$ ").await;
        owner.claim(false).await.unwrap();
        reserve(baton, session).await;
        baton.disk().fill();
        // What the history cannot be told of happens all the same, to those who are new as well.
        let mut clients = vec![owner];
        for round in 1..=8 {
            let mut client = baton.attach(session, Attach::named("another").input_stream(1)).await;
            let lease = client.claim(true).await.unwrap();
            client.input(format!("echo typed-$(({round}+100))\n").as_bytes(), lease.epoch, 1).await;
            client.until_acked(1).await;
            client.until_output(&format!("typed-{}\r\n", round + 100)).await;
            clients.push(client);
        }
        let fails = |health: &Health| health.status == "degraded" && health.failing.contains(&"database".to_owned());
        let _: Health = baton.nobody().get_until("/v1/health", fails).await;
        // What has to be kept before it may be answered is refused, with the cause. A small thing may find room for long.
        let refused = loop {
            let token = json!({"role": "viewer", "name": "x".repeat(60)});
            let answer = baton.api().call(http::Method::POST, "/v1/auth/tokens", Some(&token)).await;
            if answer.status != 201 {
                break answer;
            }
        };
        assert_eq!(refused.problem().code, ErrorCode::DiskFull, "{refused}");
        baton.disk().free();
        let _: Health = baton.nobody().get_until("/v1/health", |health: &Health| health.status == "ok").await;
        let lease = clients[0].claim(true).await.unwrap();
        // It has passed through the database's one thread; another bridge knows it from the disk alone.
        assert!(epochs(baton, session).await.contains(&lease.epoch.0));
        baton.kill_bridge().await;
        let kept = epochs(baton, session).await;
        assert!(kept.contains(&1) && kept.contains(&lease.epoch.0), "{lease:?}: {kept:?}");
    });
}

#[test]
fn a_full_disk_under_a_flood_costs_the_journal_a_gap_and_nobody_else_anything() {
    on_small_disk(
        "disk::a_full_disk_under_a_flood_costs_the_journal_a_gap_and_nobody_else_anything",
        180,
        async |baton: &Baton| {
            let (script, text) = flood();
            let all = [b"ready\r\n".as_slice(), &text, b"flooded\r\n"].concat();
            let script = format!("stty -echo; echo ready; read go; {script}; echo flooded; cat");
            let session = baton.script(&script).await;
            let mut owner = baton.attach(session, Attach::named("owner").binary().input_stream(1)).await;
            owner.until_output("ready\r\n").await;
            owner.claim(false).await.unwrap();
            let reserve = reserve(baton, session).await;
            // Room for about a third of it.
            baton.disk().fill_but(1 << 20);
            owner.input(b"go\n", owner.epoch, 1).await;
            owner.until_acked(1).await;
            owner.until_output("flooded\r\n").await;
            assert!(owner.output == all, "the client has every byte, live: {} of {}", owner.output.len(), all.len());
            until_failing(&mut owner).await;
            // Control, typing and size go on, and are written down.
            let mut other =
                baton.attach(session, Attach::named("other").binary().input_stream(9).resume(owner.cursor())).await;
            until_failing(&mut other).await;
            let lease = other.claim(true).await.unwrap();
            other.input(b"typed on a full disk\n", lease.epoch, 1).await;
            other.until_acked(1).await;
            other.until_output("typed on a full disk\r\n").await;
            assert!(fs::metadata(&reserve).unwrap().len() < 1 << 20, "the reserve is what it was written with");
            baton.disk().free();
            let lost = until_recovered(&mut other).await;
            assert!(lost > 0, "{lost}");
            // The history is on the same disk: what it could not take is written once the database is tried again.
            let path = format!("/v1/sessions/{session}/events?type=limit");
            let recovered = |event: &Event| event.data["state"] == "recovered";
            let told = |page: &Page<Event>| page.items.last().is_some_and(recovered);
            let limits: Page<Event> = baton.api().get_until(&path, told).await;
            assert!(limits.items.last().unwrap().data["lost"] == lost, "{limits:?}");
            other.input(b"afterwards\n", lease.epoch, 2).await;
            other.until_output("afterwards\r\n").await;
            let end = other.offset;
            let whole = [all.as_slice(), b"typed on a full disk\r\nafterwards\r\n"].concat();
            assert_eq!(end, whole.len() as u64);
            let (kept, gaps) = replay(baton, session, end).await;
            let missing: u64 = gaps.iter().map(|(_, len)| len).sum();
            assert_eq!(missing, lost, "the gap is told with its exact length: {gaps:?}");
            let mut expected = Vec::new();
            let mut at = 0;
            for (from, len) in &gaps {
                expected.extend_from_slice(&whole[at..usize::try_from(*from).unwrap()]);
                at = usize::try_from(from + len).unwrap();
            }
            expected.extend_from_slice(&whole[at..]);
            assert!(kept == expected, "what is kept is exact: {} of {}", kept.len(), expected.len());
            println!("{} bytes, {lost} of them missing, in {} gaps", whole.len(), gaps.len());
            assert_eq!(fs::metadata(&reserve).unwrap().len(), 1 << 20, "and room is kept again");
        },
    );
}

#[test]
fn on_a_full_disk_whoever_is_killed_is_followed_and_found_again() {
    let name = "disk::on_a_full_disk_whoever_is_killed_is_followed_and_found_again";
    on_small_disk(name, 120, async |baton: &Baton| {
        let session = baton.shell().await;
        let shell = baton.session(session).await.session.pid;
        baton.disk().fill();
        // What the bridge tells others cannot be written either.
        let told = baton.home.runtime.join("bridge.json");
        fs::remove_file(&told).unwrap();
        fs::create_dir(&told).unwrap();
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        let launcher = Family::find(&baton.mark()).launcher.unwrap();
        launcher.kill().await;
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        assert_eq!(baton.session(session).await.session.pid, shell);
        fs::remove_dir(&told).unwrap();
        baton.disk().free();
        // Each tells where it is as soon as that can be written.
        let bridge = format!("\"pid\":{}", baton.bridge().await.pid);
        while !fs::read_to_string(&told).is_ok_and(|text| text.contains(&bridge)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let serves = Family::find(&baton.mark()).launcher.unwrap();
        assert_ne!(serves.pid, launcher.pid);
        let named = format!("\"pid\":{}", serves.pid);
        while !fs::read_to_string(baton.home.state.join("launcher.json")).is_ok_and(|text| text.contains(&named)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for word in ["down", "up"] {
            let _ = baton.cli([word]).await.ok();
        }
    });
}

#[test]
fn on_a_full_disk_a_worker_is_succeeded_and_an_end_is_kept() {
    on_small_disk("disk::on_a_full_disk_a_worker_is_succeeded_and_an_end_is_kept", 120, async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("work".into()), ..session::bash() }).await;
        let mut owner = baton.attach(session, Attach::named("owner").input_stream(1)).await;
        owner.until_output("$ ").await;
        let first = owner.claim(false).await.unwrap();
        let reserve = reserve(baton, session).await;
        let shell = baton.session(session).await.session.pid.unwrap();
        baton.disk().fill();
        let mut seq = 0;
        let epoch = first.epoch;
        for round in 0..4 {
            // Enough that the last block of the journal is full, too.
            seq += 1;
            owner.input(format!("seq 1 3000; echo round-{round}-$$\n").as_bytes(), epoch, seq).await;
            owner.until_acked(seq).await;
            owner.until_output(&format!("round-{round}-{shell}\r\n")).await;
            until_failing(&mut owner).await;
            let offset = owner.offset;
            let path = format!("/v1/sessions/{session}");
            let worker = Process::of(baton.session(session).await.session.worker_pid.unwrap());
            worker.kill().await;
            let succeeded = |it: &SessionDetail| it.session.worker_pid.is_some_and(|pid| pid != worker.pid);
            let _: SessionDetail = baton.api().get_until(&path, succeeded).await;
            let cursor = Cursor { instance: owner.ready.cursor.instance, offset };
            let id = owner.id.clone();
            owner.until_closed().await;
            let back = Attach::named("owner").client(&id).input_stream(1).resume(cursor);
            owner = baton.attach(session, back).await;
            assert_eq!(owner.ready.input_seq, seq, "what was typed is known");
            assert_eq!(owner.ready.epoch, epoch, "and who has control");
            assert_eq!(owner.ready.owner, Some(id));
            assert!(owner.ready.cursor.offset >= offset);
        }
        assert_eq!(baton.session(session).await.session.pid, Some(shell));
        owner.input(b"exit 7\n", epoch, seq + 1).await;
        let exit = owner.until_exit().await;
        assert_eq!((exit.code, exit.signal), (Some(7), None));
        // Nobody who knows it is left: the journal does.
        let worker = baton.session(session).await.session.worker_pid.map(Process::of);
        if let Some(worker) = worker {
            worker.kill().await;
        }
        baton.kill_sessiond().await;
        let detail = baton.session(session).await.session;
        assert_eq!(detail.status, SessionStatus::Exited);
        assert_eq!(detail.exit.map(|exit| (exit.code, exit.signal)), Some((Some(7), None)));
        assert!(!reserve.exists(), "nothing is kept for a session that has ended");
        baton.disk().free();
        let _: Health = baton.nobody().get_until("/v1/health", |health: &Health| health.status == "ok").await;
        let session = baton.shell().await;
        let mut client = baton.attach(session, Attach::named("next")).await;
        client.until_output("$ ").await;
    });
}

#[test]
fn on_a_read_only_disk_a_worker_is_succeeded_and_goes_on() {
    on_small_disk("disk::on_a_read_only_disk_a_worker_is_succeeded_and_goes_on", 120, async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("work".into()), ..session::bash() }).await;
        let mut owner = baton.attach(session, Attach::named("owner").input_stream(1)).await;
        owner.until_output("$ ").await;
        owner.claim(false).await.unwrap();
        let shell = baton.session(session).await.session.pid.unwrap();
        baton.disk().read_only();
        let path = format!("/v1/sessions/{session}");
        let worker = Process::of(baton.session(session).await.session.worker_pid.unwrap());
        let cursor = owner.cursor();
        worker.kill().await;
        let succeeded = |it: &SessionDetail| it.session.worker_pid.is_some_and(|pid| pid != worker.pid);
        let _: SessionDetail = baton.api().get_until(&path, succeeded).await;
        let id = owner.id.clone();
        owner.until_closed().await;
        let mut owner = baton.attach(session, Attach::named("owner").client(&id).input_stream(1).resume(cursor)).await;
        until_failing(&mut owner).await;
        owner.input(b"echo ro-$$\n", owner.ready.epoch, 1).await;
        owner.until_acked(1).await;
        owner.until_output(&format!("ro-{shell}\r\n")).await;
        baton.disk().writable();
        let lost = until_recovered(&mut owner).await;
        assert!(lost > 0);
        owner.input(b"echo rw-$$\n", owner.epoch, 2).await;
        owner.until_output(&format!("rw-{shell}\r\n")).await;
        let (_, gaps) = replay(baton, session, owner.offset).await;
        assert_eq!(gaps.iter().map(|(_, len)| len).sum::<u64>(), lost);
    });
}

#[test]
fn a_person_is_told_when_the_journal_fails_and_when_it_is_back() {
    on_small_disk("disk::a_person_is_told_when_the_journal_fails_and_when_it_is_back", 90, async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("work".into()), ..session::bash() }).await;
        let mut desk = Terminal::baton(baton, &["attach", "work"], (120, 24));
        desk.until("$ ").await;
        reserve(baton, session).await;
        baton.disk().fill();
        desk.type_text("seq 1 3000\r");
        desk.until("cannot be written").await;
        baton.disk().free();
        desk.until("can be written again").await;
        desk.type_text("\x1c");
        assert_eq!(desk.exit_code().await, 0);
    });
}

/// Soft limit of a running process, from outside.
fn limit(process: &Process, what: &str, soft: &str) {
    let output = Command::new("prlimit")
        .args(["--pid", &process.pid.to_string(), &format!("--{what}={soft}:")])
        .output()
        .expect("prlimit of util-linux");
    assert!(output.status.success(), "{output:?}");
}

/// Clock ticks that it has used.
fn ticks(process: &Process) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_nobody_spins_and_everything_goes_on_when_there_are_some() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("work".into()), ..session::bash() }).await;
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.until_output("$ ").await;
        owner.claim(false).await.unwrap();
        let detail = baton.session(session).await.session;
        let shell = detail.pid.unwrap();
        let everybody = [
            ("worker", Process::of(detail.worker_pid.unwrap())),
            ("sessiond", baton.sessiond().await),
            ("bridge", baton.bridge().await),
            ("launcher", baton.launcher().await),
        ];
        for (_, process) in &everybody {
            let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap().flatten();
            let highest = open.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max().unwrap();
            limit(process, "nofile", &(highest + 1).to_string());
        }
        // Each finds somebody at its door and cannot let them in; the first few take what is free below its limit.
        let mut waiting = Vec::new();
        for _ in 0..20 {
            waiting.push(tokio::net::UnixStream::connect(baton.worker_socket(session)).await.unwrap());
            waiting.push(tokio::net::UnixStream::connect(baton.sessiond_socket()).await.unwrap());
            waiting.push(tokio::net::UnixStream::connect(&baton.socket).await.unwrap());
        }
        let before: Vec<u64> = everybody.iter().map(|(_, process)| ticks(process)).collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        for ((name, process), before) in everybody.iter().zip(before) {
            let used = ticks(process) - before;
            println!("{name}: {used} ticks in two seconds without descriptors");
            assert!(used < 40, "{name} has used {used} of 200 ticks: it spins");
        }
        // Who is attached does not notice.
        owner.type_text("echo still-$$\n").await;
        owner.until_output(&format!("still-{shell}\r\n")).await;
        // With a limit below what is open already, `poll` itself is refused.
        for (_, process) in &everybody {
            limit(process, "nofile", "1");
        }
        let before: Vec<u64> = everybody.iter().map(|(_, process)| ticks(process)).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for ((name, process), before) in everybody.iter().zip(before) {
            let used = ticks(process) - before;
            assert!(used < 40, "{name} has used {used} of 100 ticks: it spins");
        }
        for (_, process) in &everybody {
            limit(process, "nofile", "1024");
        }
        drop(waiting);
        let mut again = baton.attach(session, Attach::named("again")).await;
        again.until_output(&format!("still-{shell}\r\n")).await;
        let next = baton.shell().await;
        let mut client = baton.attach(next, Attach::named("next")).await;
        client.until_output("$ ").await;
        for (name, process) in &everybody {
            assert!(process.is_alive(), "{name} has survived it");
        }
        let detail: SessionDetail = baton.session(session).await;
        assert_eq!(detail.session.pid, Some(shell));
    });
}

#[test]
fn a_worker_without_memory_is_succeeded() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (script, text) = flood();
        let script = format!("stty -echo; echo ready; read go; {script}; echo flooded; cat");
        let session = baton.script(&script).await;
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.until_output("ready\r\n").await;
        owner.claim(false).await.unwrap();
        owner.type_text("go\n").await;
        owner.until_offset(500_000).await;
        let detail = baton.session(session).await.session;
        let shell = detail.pid.unwrap();
        let worker = Process::of(detail.worker_pid.unwrap());
        limit(&worker, "as", "1");
        // Somebody who has nothing wants all of it: that cannot be had without memory.
        let from = Cursor { instance: detail.instance, offset: 0 };
        let api = baton.api();
        let asked = StreamClient::open(&api, session, Attach::named("greedy").resume(from));
        let _ = tokio::time::timeout(Duration::from_secs(5), asked).await;
        worker.gone().await;
        let path = format!("/v1/sessions/{session}");
        let succeeded = |it: &SessionDetail| it.session.worker_pid.is_some_and(|pid| pid != worker.pid);
        let next: SessionDetail = baton.api().get_until(&path, succeeded).await;
        assert_eq!(next.session.pid, Some(shell));
        let mut late = baton.attach(session, Attach::named("late").resume(from)).await;
        late.until_output("flooded\r\n").await;
        let all = [b"ready\r\n".as_slice(), &text, b"flooded\r\n"].concat();
        assert!(late.output == all, "no byte is missing: {} of {}", late.output.len(), all.len());
    });
}

/// What a disk that is full does to a log: the line is refused, and that is all that happens.
#[test]
fn logs_that_take_no_line_stop_nobody() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let logs = ["launcher", "sessiond", "workers", "bridge"];
        let logs = logs.map(|name| baton.home.logs_dir().join(name).with_extension("log"));
        for path in &logs {
            if path.exists() {
                fs::rename(path, path.with_extension("before")).unwrap();
            }
            std::os::unix::fs::symlink("/dev/full", path).unwrap();
        }
        // Their successors open what is there now.
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        let session = baton.create(&session::command(["/bin/sh"])).await;
        let shell = baton.session(session).await.session.pid;
        let path = format!("/v1/sessions/{session}");
        for round in 0..3 {
            let mut client = baton.attach(session, Attach::named("typist")).await;
            let _ = client.claim(true).await.unwrap();
            client.type_text(&format!("echo $((40 + {round})) round\r")).await;
            client.until_output(&format!("{} round\r\n", 40 + round)).await;
            // Each of them says in its log that one is gone and another has come.
            let worker = Process::of(baton.session(session).await.session.worker_pid.unwrap());
            worker.kill().await;
            let _: SessionDetail = baton
                .api()
                .get_until(&path, |detail: &SessionDetail| {
                    detail.session.worker_pid.is_some_and(|pid| pid != worker.pid)
                })
                .await;
            baton.kill_sessiond().await;
            if round == 1 {
                baton.kill_bridge().await;
                let launcher = baton.launcher().await;
                launcher.kill().await;
                let follows =
                    |status: &ServerStatus| status.launcher.as_ref().is_some_and(|now| now.pid != launcher.pid);
                let _: ServerStatus = baton.api().get_until("/v1/status", follows).await;
            }
            let now = baton.session(session).await.session;
            assert_eq!((now.pid, now.status), (shell, SessionStatus::Running), "round {round}");
        }
        // Who reads the logs of a test reads them to their end, and `/dev/full` has none.
        logs.iter().for_each(|path| fs::remove_file(path).unwrap());
    });
}
