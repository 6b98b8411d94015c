//! Sessions that nobody supervises: they run on, are seen, come to their end in order, and leave nothing.

use std::time::{Duration, Instant};

use baton_proto::api::{
    ApprovalRequest, AwaitingApproval, CreateTerminal, Created, ParkedSession, SessionDetail, SessionStatus, Survey,
    UpgradePart, UpgradeRequest,
};
use baton_proto::home::{runtime, state};
use baton_proto::ids::SessionId;
use baton_proto::v1::Class;
use baton_tests::http::{Api, Place};
use baton_tests::process::{self, Process};
use baton_tests::{Attach, Baton, Seed, Setup, StreamClient, binaries, scenario, session};
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;

/// The API through `bridge.sock`: the port is another one after each start.
fn api(baton: &Baton) -> Api {
    Api::anonymous(Place::Unix(baton.socket.clone())).with_token(&baton.token)
}

/// Makes a session for an agent. If its program is asked about, a person says yes.
async fn agents(baton: &Baton, request: &CreateTerminal) -> SessionId {
    let body = json!({"name": "fixer", "role": "agent", "agent_id": "fixer"});
    let made: serde_json::Value = api(baton).post("/v1/auth/tokens", &body).await;
    let agent = Api::anonymous(Place::Unix(baton.socket.clone())).with_token(made["token"].as_str().unwrap());
    let answer = agent.call(Method::POST, "/v1/terminal/sessions", Some(request)).await;
    if answer.status != 202 {
        return answer.json::<Created>().session_id;
    }
    let waits: AwaitingApproval = answer.json();
    let path = format!("/v1/approvals/{}", waits.approval_id);
    let asked: ApprovalRequest = api(baton).get(&path).await;
    let yes = json!({"decision": "approve", "context_hash": asked.context_hash});
    let _: ApprovalRequest = api(baton).post(&format!("{path}/decision"), &yes).await;
    let end: ApprovalRequest = agent.get(&format!("{path}?wait_s=30")).await;
    end.result.expect("it was started")["session_id"].as_str().expect("an id").parse().expect("an id")
}

fn named(title: &str) -> CreateTerminal {
    CreateTerminal { title: Some(title.to_owned()), ..session::command(["sleep", "1000"]) }
}

async fn until(baton: &Baton, session: SessionId, wanted: impl Fn(&SessionDetail) -> bool) -> SessionDetail {
    api(baton).get_until(&format!("/v1/sessions/{session}"), wanted).await
}

async fn program(baton: &Baton, session: SessionId) -> Process {
    let detail = until(baton, session, |detail| detail.session.pid.is_some()).await;
    Process::of(detail.session.pid.unwrap())
}

/// Whatever this Baton started that has this in its command line; itself or a fork.
fn ours(baton: &Baton, words: &str) -> Vec<Process> {
    let all = process::with_environment(&baton.mark());
    all.into_iter().filter(|process| process.command_line().contains(words)).collect()
}

/// The launcher and its spare at once: nobody is left that would start anything.
async fn kill_launchers(baton: &Baton) {
    let launchers = ours(baton, "baton-sessiond launcher");
    assert_eq!(launchers.len(), 2, "a launcher and its spare");
    // Stopped first, so that the one does not notice the other's end.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for launcher in &launchers {
            launcher.signal(signal);
        }
    }
    for launcher in launchers {
        launcher.gone().await;
    }
    for rest in ["baton-sessiond supervisor", "baton-bridge"] {
        for process in ours(baton, rest) {
            process.gone().await;
        }
    }
}

/// No process of ours, no socket that anybody left, no keeper.
async fn nothing_is_left(baton: &Baton) {
    // Whoever ends just now is given a moment; an ended session's worker does not stay without a launcher.
    let begun = Instant::now();
    loop {
        let left = process::with_environment(&baton.mark());
        if left.is_empty() {
            break;
        }
        let words: Vec<String> = left.iter().map(Process::command_line).collect();
        assert!(begun.elapsed() < Duration::from_secs(10), "left: {words:?}");
        tokio::time::sleep(process::LOOK_EVERY).await;
    }
    let workers = std::fs::read_dir(baton.home.runtime.join(runtime::WORKERS_DIR)).unwrap();
    let sockets: Vec<_> = workers.map(|entry| entry.unwrap().file_name()).collect();
    assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
    for socket in [runtime::BRIDGE_SOCKET, runtime::SESSIOND_SOCKET, state::KEEPER_SOCKET] {
        assert!(!baton.home.runtime.join(socket).exists(), "`{socket}` is left");
    }
    assert!(!baton.home.state.join(state::KEEPER_SOCKET).exists(), "the keeper's socket is left");
}

#[test]
fn what_runs_on_without_baton_is_listed_and_ended_without_starting_it_for_a_look() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mine = baton.create(&CreateTerminal { cwd: Some("/".to_owned()), ..named("mine") }).await;
        let theirs = agents(baton, &named("theirs")).await;
        let gone = baton.script("exit 0").await;
        until(baton, gone, |detail| detail.session.status == SessionStatus::Exited).await;
        let programs = [program(baton, mine).await, program(baton, theirs).await];
        let none = baton.cli(["ls", "--parked"]).await;
        assert!(none.stderr.contains("No session is parked"), "{none:?}");
        let said = baton.cli(["down"]).await.ok();
        assert!(said.contains("2 sessions live on") && said.contains("baton ls --parked"), "{said}");

        let listed: Vec<ParkedSession> = baton.cli(["ls", "--parked", "--json"]).await.json();
        let shown = |session: &ParkedSession| (session.id, session.title.clone(), session.class, session.pid);
        assert_eq!(
            listed.iter().map(shown).collect::<Vec<_>>(),
            [
                (mine, "mine".to_owned(), Class::Person, Some(programs[0].pid)),
                (theirs, "theirs".to_owned(), Class::Agent, Some(programs[1].pid)),
            ]
        );
        assert_eq!((listed[0].cwd.as_deref(), &listed[0].closes_at), (Some("/"), &None));
        assert!(listed.iter().all(|session| session.parked_since.is_some()));
        assert!(listed[1].closes_at > listed[1].parked_since, "{:?}", listed[1]);
        let table = baton.cli(["ls", "--parked"]).await;
        assert!(table.stdout.contains("never") && table.stdout.contains("in 23h"), "{table:?}");
        assert!(table.stderr.contains("baton up") && table.stderr.contains("baton down --sessions"), "{table:?}");
        let status = baton.cli(["status", "--json"]).await.json::<serde_json::Value>();
        assert_eq!(status["sessions"], json!({"running": 0, "parked": 2, "lost": 0}));
        assert!(baton.cli(["status"]).await.ok().contains("2 run on: `baton ls --parked` shows them"));
        assert!(ours(baton, "baton-bridge").is_empty(), "looking starts nothing");

        // A worker that is stopped does not hold the others up.
        let workers = ours(baton, "baton-sessiond worker");
        let worker = workers.iter().find(|worker| Some(worker.pid) == listed[0].worker_pid).unwrap();
        worker.signal(Signal::SIGSTOP);
        let listed: Vec<ParkedSession> = baton.cli(["ls", "--parked", "--json"]).await.json();
        assert_eq!(listed.iter().map(|session| session.pid).collect::<Vec<_>>(), [None, Some(programs[1].pid)]);
        worker.signal(Signal::SIGCONT);

        let said = baton.cli(["down", "--sessions"]).await.ok();
        assert!(said.contains("2 sessions closed"), "{said}");
        for program in programs {
            program.gone().await;
        }
        nothing_is_left(baton).await;
        let none = baton.cli(["ls", "--parked"]).await;
        assert!(none.stderr.contains("no session runs on"), "{none:?}");
        assert!(ours(baton, "baton-").is_empty());
    });
}

#[test]
fn an_agents_parked_session_closes_in_order_and_says_why_and_a_persons_lives_on() {
    let setup = Setup::plain().env("BATON_SESSION__PARKED_TTL_S", "5").env("BATON_SESSION__CLOSE_GRACE_S", "5");
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let cleaned = baton.scratch().join("cleaned");
        let script =
            format!("trap 'echo > {}; exit 0' HUP; echo ready; while :; do sleep 0.1; done", cleaned.display());
        // An agent's program is confined: it may write in the directory that it begins in.
        let cwd = baton.scratch().to_str().map(str::to_owned);
        let title = Some("theirs".to_owned());
        let theirs = agents(baton, &CreateTerminal { title, cwd, ..session::shell_script(&script) }).await;
        let mine = baton.create(&named("mine")).await;
        let (theirs_program, mine_program) = (program(baton, theirs).await, program(baton, mine).await);
        until(baton, theirs, |detail| detail.session.cursor.offset > 0).await;
        // Held by sessiond it is not parked, however long nobody looks.
        tokio::time::sleep(Duration::from_millis(5500)).await;
        // One sessiond follows the other sooner than that, and it begins anew.
        baton.kill_sessiond().await;
        assert!(theirs_program.is_alive());
        let held = Instant::now();
        let _ = baton.cli(["down"]).await.ok();
        theirs_program.gone().await;
        assert!(held.elapsed() >= Duration::from_secs(5), "closed after {:?} already", held.elapsed());
        assert!(cleaned.exists(), "who wants to clean up is told by SIGHUP first");
        let listed: Vec<ParkedSession> = baton.cli(["ls", "--parked", "--json"]).await.json();
        assert_eq!(listed.iter().map(|session| session.id).collect::<Vec<_>>(), [mine]);
        let _ = baton.cli(["up"]).await.ok();
        let closed = until(baton, theirs, |detail| detail.session.status == SessionStatus::Closed).await.session;
        assert_eq!(closed.exit.unwrap().reason, "parked");
        assert_eq!(program(baton, mine).await, mine_program, "a person's lives on");
    });
}

#[test]
fn when_launcher_and_spare_die_while_a_worker_is_replaced_the_session_lives() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let id = baton_session(baton).await;
        let shell = program(baton, id).await;
        let offer = baton.home.sessions_dir().join(id.to_string()).join("keeper.sock");
        for round in 0..24 {
            let api = api(baton);
            let request = UpgradeRequest { part: UpgradePart::Worker, session_id: Some(id) };
            let asked = api.call(Method::POST, "/v1/upgrade", Some(&request));
            let wait = seed.millis(0..14);
            let before = until(baton, id, |detail| detail.session.worker_pid.is_some()).await.session.worker_pid;
            let before = Process::of(before.unwrap());
            let killed = async {
                // At any moment, or in the one in which the worker before has left and the next does not know it yet.
                let parked = Instant::now() + Duration::from_secs(1);
                if round % 3 == 0 {
                    tokio::time::sleep(wait).await;
                } else {
                    let left = move || while before.is_alive() && Instant::now() < parked {};
                    tokio::task::spawn_blocking(left).await.unwrap();
                }
                // With what they are about to start, which has no name of its own yet.
                for _ in 0..2 {
                    for process in ours(baton, "baton-sessiond launcher") {
                        process.kill().await;
                    }
                }
            };
            // Whatever is answered, if anything is.
            let _ = tokio::join!(tokio::time::timeout(Duration::from_secs(1), asked), killed);
            let _ = baton.cli(["up"]).await.ok();
            assert!(shell.is_alive(), "round {round}, killed after {wait:?}");
            let running = |detail: &SessionDetail| {
                let worker = detail.session.worker_pid.and_then(Process::find);
                detail.session.pid.is_some() && worker.is_some_and(|worker| worker.is_alive())
            };
            let detail = until(baton, id, running).await;
            assert!(shell.is_alive(), "round {round}, killed after {wait:?}");
            assert_eq!(detail.session.pid, Some(shell.pid), "round {round}, killed after {wait:?}");
            while offer.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let mut client = StreamClient::open(&api(baton), id, Attach::named("A")).await.unwrap();
        client.claim(true).await.unwrap();
        client.type_text("echo works-$((1+1))\r").await;
        client.until_output("works-2\r\n").await;
    });
}

#[test]
fn when_launcher_and_spare_die_together_sessions_work_on_and_the_next_baton_has_them() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let request = CreateTerminal { title: Some("work".to_owned()), ..session::bash() };
        let id = baton.create(&request).await;
        let shell = program(baton, id).await;
        kill_launchers(baton).await;
        assert!(shell.is_alive());
        let listed: Vec<ParkedSession> = baton.cli(["ls", "--parked", "--json"]).await.json();
        assert_eq!(listed.iter().map(|one| (one.id, one.pid)).collect::<Vec<_>>(), [(id, Some(shell.pid))]);
        // Taken back, twice, and used.
        for round in 0..2 {
            let _ = baton.cli(["up"]).await.ok();
            let running = |detail: &SessionDetail| detail.session.pid.is_some() && detail.session.worker_pid.is_some();
            let detail = until(baton, id, running).await;
            assert_eq!((detail.session.status, detail.session.pid), (SessionStatus::Running, Some(shell.pid)));
            let mut client = StreamClient::open(&api(baton), id, Attach::named("A")).await.unwrap();
            client.claim(true).await.unwrap();
            client.type_text(&format!("echo round-{round}-$((1+1))\r")).await;
            client.until_output(&format!("round-{round}-2\r\n")).await;
            drop(client);
            // The new launcher has asked for the handles by now, or is about to: from then on the worker itself may be killed.
            let offer = baton.home.sessions_dir().join(id.to_string()).join("keeper.sock");
            while offer.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let worker = detail.session.worker_pid.unwrap();
            Process::of(worker).kill().await;
            until(baton, id, |detail| detail.session.worker_pid.is_some_and(|pid| pid != worker)).await;
            assert!(shell.is_alive(), "round {round}");
            let mut client = StreamClient::open(&api(baton), id, Attach::named("A")).await.unwrap();
            client.claim(true).await.unwrap();
            client.type_text(&format!("echo again-{round}-$((1+1))\r")).await;
            client.until_output(&format!("again-{round}-2\r\n")).await;
            drop(client);
            if round == 0 {
                kill_launchers(baton).await;
            }
        }
        // A new session of the same Baton has everything, the kill of its worker included.
        let fresh = baton_session(baton).await;
        let worker =
            until(baton, fresh, |detail| detail.session.worker_pid.is_some()).await.session.worker_pid.unwrap();
        Process::of(worker).kill().await;
        until(baton, fresh, |detail| detail.session.worker_pid.is_some_and(|pid| pid != worker)).await;
        // Killed once more, so that what is closed has no launcher at all.
        kill_launchers(baton).await;
        let said = baton.cli(["down", "--sessions"]).await.ok();
        assert!(said.contains("2 sessions closed"), "{said}");
        shell.gone().await;
        nothing_is_left(baton).await;
    });
}

#[test]
fn up_in_the_moment_in_which_launcher_and_spare_are_killed_starts_another() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let id = baton_session(baton).await;
        let shell = program(baton, id).await;
        for round in 0..8 {
            let mut launchers = ours(baton, "baton-sessiond launcher");
            while launchers.len() != 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                launchers = ours(baton, "baton-sessiond launcher");
            }
            // Bridge and sessiond still answer: they notice it a moment later.
            for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
                launchers.iter().for_each(|launcher| launcher.signal(signal));
            }
            let _ = baton.cli(["up"]).await.ok();
            let living = ours(baton, "baton-sessiond launcher");
            let another = living.iter().any(|one| one.is_alive() && !launchers.contains(one));
            assert!(another, "round {round}: `baton up` is content with what is dead");
            let works = |detail: &SessionDetail| detail.session.status == SessionStatus::Running;
            assert_eq!(until(baton, id, works).await.session.pid, Some(shell.pid), "round {round}");
        }
    });
}

async fn baton_session(baton: &Baton) -> SessionId {
    let created: Created = api(baton).post("/v1/terminal/sessions", &session::bash()).await;
    created.session_id
}

/// Open descriptors of a process, and how many it may have.
fn descriptors(process: &Process) -> (usize, u64) {
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.pid)).map_or(0, Iterator::count);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid)).unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    (open, line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or_default())
}

/// A thousand quiet sessions: `cargo nextest run -p baton-tests -E 'test(=parked::a_thousand_sessions)' --run-ignored all
/// --no-capture` prints the figures.
#[test]
#[ignore = "takes a minute or two, and a thousand processes twice"]
fn a_thousand_sessions() {
    const SESSIONS: usize = 1000;
    scenario(Duration::from_secs(540), Setup::plain(), async |baton: &Baton| {
        let api = api(baton);
        let begun = Instant::now();
        let mut ids = Vec::new();
        while ids.len() < SESSIONS {
            let request = session::command(["/bin/sleep", "100000"]);
            let answer = api.call(Method::POST, "/v1/terminal/sessions", Some(&request)).await;
            if answer.status == 429 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            assert_eq!(answer.status, 201, "{} are there: {answer}", ids.len());
            ids.push(answer.json::<Created>().session_id);
        }
        println!("{SESSIONS} sessions made in {:?}", begun.elapsed());
        let count = async |what: &str| {
            let begun = Instant::now();
            let wanted = |status: &baton_proto::api::ServerStatus| {
                status.sessions.running as usize == SESSIONS && status.sessiond.is_some()
            };
            let status: baton_proto::api::ServerStatus = api.get_until("/v1/status", wanted).await;
            // Each answers, and not only its supervisor.
            for id in &ids {
                let path = format!("/v1/sessions/{id}");
                let pid = |detail: &SessionDetail| detail.session.pid.is_some() && detail.session.worker_pid.is_some();
                let _: SessionDetail = api.get_until(&path, pid).await;
            }
            println!("{what}: all answer after {:?}", begun.elapsed());
            status
        };
        let status = count("made").await;
        let launcher = Process::of(status.launcher.unwrap().pid);
        let sessiond = Process::of(status.sessiond.unwrap().pid);
        let bridge = Process::of(status.bridge.pid);
        for (name, process) in [("launcher", &launcher), ("sessiond", &sessiond), ("bridge", &bridge)] {
            let (open, limit) = descriptors(process);
            println!("{name}: {open} descriptors of {limit}, {} KiB", process.pss_bytes() / 1024);
            assert!((open as u64) < limit, "{name}: {open} of {limit}");
        }
        let workers = ours(baton, "baton-sessiond worker");
        let most = workers.iter().map(|worker| descriptors(worker).0).max().unwrap();
        println!("{} workers, at most {most} descriptors each", workers.len());
        for (name, process) in [("sessiond", sessiond), ("bridge", bridge), ("launcher", launcher)] {
            process.kill().await;
            count(&format!("{name} killed")).await;
        }
        let begun = Instant::now();
        let survey = std::process::Command::new(binaries::path("baton-sessiond"))
            .arg("sessions")
            .env_clear()
            .envs(baton.env())
            .output()
            .unwrap();
        let survey: Survey = serde_json::from_slice(&survey.stdout).unwrap();
        assert_eq!(survey.parked.len(), SESSIONS);
        println!("all found from the disk in {:?}", begun.elapsed());
        let begun = Instant::now();
        for id in &ids {
            loop {
                let path = format!("/v1/terminal/sessions/{id}/close");
                let answer = api.call(Method::POST, &path, Some(&json!({}))).await;
                if answer.status != 429 {
                    assert_eq!(answer.status, 202, "{answer}");
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        let none = |status: &baton_proto::api::ServerStatus| status.sessions.running == 0;
        let _: baton_proto::api::ServerStatus = api.get_until("/v1/status", none).await;
        println!("all closed in {:?}", begun.elapsed());
    });
}
