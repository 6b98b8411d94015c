//! A session lives until its program ends, somebody closes it, or nothing at all happens in it for as long as it said.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{
    ClientFrame, CreateTerminal, Created, Event, Page, ServerFrame, SessionDetail, SessionStatus, WaitAnswer,
};
use baton_proto::ids::SessionId;
use baton_tests::process::Process;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Incoming, Setup, scenario, session};
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;

async fn until_ended(baton: &Baton, session: SessionId) -> SessionDetail {
    baton
        .api()
        .get_until(&format!("/v1/sessions/{session}"), |detail: &SessionDetail| !detail.session.status.is_living())
        .await
}

/// A process that is stopped now and then, and goes on in the end.
struct Stopped(Process);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

/// A bridge that gets little time reads a session's first answer, its output and its end together.
#[test]
fn an_end_that_comes_with_the_first_answer_is_noticed() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let bridge = Stopped(baton.bridge().await);
        let starved = async {
            loop {
                bridge.0.signal(Signal::SIGSTOP);
                tokio::time::sleep(Duration::from_millis(25)).await;
                bridge.0.signal(Signal::SIGCONT);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let ended = std::cell::RefCell::new(Vec::new());
        let lane = async |lane: u32| {
            for round in 0..20 {
                let script = format!("sleep 0.0{}; echo done; exit 7", (lane + 4 * round) % 5);
                let session = baton.script(&script).await;
                let body = json!({"until": {"exit": true}, "timeout_s": 10});
                let path = format!("/v1/terminal/sessions/{session}/wait");
                let answer: WaitAnswer = baton.api().post(&path, &body).await;
                assert_eq!((answer.matched.as_str(), answer.cursor.offset), ("exit", 6), "{script}: {answer:?}");
                assert_eq!(answer.exit.and_then(|exit| exit.code), Some(7));
                // Told once, whoever told it first; and some end before their worker could be reached.
                let path = format!("/v1/sessions/{session}/events?type=exit");
                let _: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| !page.items.is_empty()).await;
                ended.borrow_mut().push(path);
            }
        };
        tokio::select! {
            () = starved => {}
            _ = async { tokio::join!(lane(0), lane(1), lane(2), lane(3)) } => {}
        }
        drop(bridge);
        for path in ended.into_inner() {
            assert_eq!(baton.api().get::<Page<Event>>(&path).await.items.len(), 1, "{path}");
        }
    });
}

/// Who follows the events hears of every end, also of one that came while there was no bridge to tell it.
#[test]
fn an_end_while_there_is_no_bridge_is_told_by_the_next_one_once() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let go = baton.scratch().join("go");
        let script = format!("until [ -e {} ]; do sleep 0.02; done; exit 3", go.display());
        let session = baton.script(&script).await;
        let living: SessionDetail = baton.session(session).await;
        let worker = Process::of(living.session.worker_pid.expect("it runs"));
        let path = format!("/v1/sessions/{session}/events?type=status");
        let _: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| !page.items.is_empty()).await;

        // Nobody starts another bridge meanwhile.
        let launcher = Stopped(baton.launcher().await);
        launcher.0.signal(Signal::SIGSTOP);
        baton.bridge().await.kill().await;
        std::fs::write(&go, "").unwrap();
        worker.gone().await;
        drop(launcher);

        let path = format!("/v1/sessions/{session}/events?type=exit");
        let told: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| !page.items.is_empty()).await;
        assert_eq!(told.items[0].data["code"], 3, "{told:?}");
        for _ in 0..2 {
            baton.kill_bridge().await;
            assert_eq!(baton.session(session).await.session.status, SessionStatus::Exited);
            let path = format!("/v1/sessions/{session}/events?limit=100");
            let all: Page<Event> = baton.api().get(&path).await;
            let of = |kind: &str| all.items.iter().filter(|event| event.kind == kind).count();
            assert_eq!((of("exit"), of("mark")), (1, 0), "{all:?}");
            let last = all.items.iter().rfind(|event| event.kind == "status").unwrap();
            assert_eq!(last.data["status"], "exited", "{all:?}");
        }
    });
}

#[test]
fn the_shell_stays_when_everybody_leaves() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut a = baton.attach(session, Attach::named("A")).await;
        let mut b = baton.attach(session, Attach::named("B").binary()).await;
        let held = a.claim(false).await.unwrap();
        a.type_text("cd /; x=kept\r").await;
        b.until_output("x=kept").await;
        // One says goodbye, the other just goes; goodbye gives the lease up.
        a.send(ClientFrame::Detach).await;
        a.until_closed().await;
        b.until_epoch(held.epoch.next()).await;
        assert_eq!(b.leases().last().unwrap().owner, None);
        b.drop_socket();
        let alone = |detail: &SessionDetail| detail.clients.is_empty();
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), alone).await;
        assert_eq!(detail.session.status, SessionStatus::Running);
        let mut c = baton.attach(session, Attach::named("C")).await;
        c.claim(false).await.unwrap();
        c.type_text("echo $x-in-$PWD\r").await;
        c.until_output("kept-in-/").await;
    });
}

#[test]
fn a_session_closes_when_idle_and_only_then() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let idle = |script: &str| CreateTerminal { idle_timeout_s: Some(2), ..session::shell_script(script) };
        let begun = Instant::now();
        let quiet = baton.create(&idle("sleep 1000")).await;
        // Output keeps it open: ten lines in five seconds, then silence.
        let talking =
            baton.create(&idle("for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.5; done; sleep 1000")).await;
        // A client keeps it open that does nothing at all.
        let watched = baton.create(&idle("sleep 1000")).await;
        let mut client = baton.attach(watched, Attach::named("silent")).await;
        // Input keeps it open: typed by a client that is gone again each time.
        let typed = baton.create(&idle("stty -echo; sleep 1000")).await;

        let typing = async {
            for _ in 0..5 {
                let mut client = baton.attach(typed, Attach::default()).await;
                client.claim(false).await.unwrap();
                client.input(b"x", client.epoch, 1).await;
                client.until_acked(1).await;
                client.send(ClientFrame::Detach).await;
                client.until_closed().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(baton.session(typed).await.session.status, SessionStatus::Running, "input keeps it open");
            Instant::now()
        };
        let (quiet, talking, typed_at) = tokio::join!(
            async { (until_ended(baton, quiet).await, begun.elapsed()) },
            async { (until_ended(baton, talking).await, begun.elapsed()) },
            typing,
        );
        for (name, (detail, after), at_least) in [("quiet", quiet, 2.0), ("talking", talking, 6.5)] {
            assert_eq!(detail.session.status, SessionStatus::Closed, "{name}");
            assert_eq!(detail.session.exit.unwrap().reason, "idle_timeout", "{name}");
            assert!(after.as_secs_f64() >= at_least, "{name} was closed after {after:?} already");
        }
        until_ended(baton, typed).await;
        assert!(
            typed_at.elapsed() >= Duration::from_millis(900),
            "two seconds after the last client, which was one second ago"
        );
        // All the while the watched one lived; now its client goes.
        assert_eq!(baton.session(watched).await.session.status, SessionStatus::Running, "a client keeps it open");
        client.send(ClientFrame::Detach).await;
        client.until_closed().await;
        let alone = Instant::now();
        let detail = until_ended(baton, watched).await;
        assert_eq!(detail.session.exit.unwrap().reason, "idle_timeout");
        assert!(alone.elapsed() >= Duration::from_millis(1900), "closed {:?} after its client left", alone.elapsed());
    });
}

#[test]
fn close_tells_everybody_why() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { title: Some("work".to_owned()), ..session::bash() }).await;
        let mut a = baton.attach(session, Attach::named("A")).await;
        let mut b = baton.attach(session, Attach::named("B").binary()).await;
        let mut desk = Terminal::baton(baton, &["attach", "-r", "work"], (80, 24));
        desk.until("$ ").await;
        baton
            .api()
            .post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({"reason": "done for today"}))
            .await;
        for client in [&mut a, &mut b] {
            let exit = client.until_exit().await;
            assert_eq!(exit.reason, "done for today");
        }
        desk.until("done for today").await;
        desk.exit_code().await;
        let detail = until_ended(baton, session).await;
        assert_eq!(detail.session.status, SessionStatus::Closed);
        assert_eq!(detail.session.exit.unwrap().reason, "done for today");
        // Who comes later is told too.
        let mut late = baton.attach(session, Attach::named("late")).await;
        assert_eq!(late.until_exit().await.reason, "done for today");
    });
}

#[test]
fn close_leaves_nothing_behind() {
    let setup = Setup::plain().env("BATON_SESSION__CLOSE_GRACE_S", "1");
    scenario(Duration::from_secs(40), setup, async |baton: &Baton| {
        let scratch = baton.scratch().join("pids");
        std::fs::create_dir(&scratch).unwrap();
        let dir = scratch.display();
        let script = format!(
            r#"
            cd {dir}
            trap 'echo cleaned > cleaned; exit 0' HUP
            sh -c 'echo $$ > child; exec sleep 1000' &
            nohup sh -c 'echo $$ > nohup; exec sleep 1000' >/dev/null 2>&1 &
            setsid sh -c 'echo $$ > setsid; exec sleep 1000' &
            setsid sh -c 'trap "" HUP TERM INT; echo $$ > deaf; while :; do sleep 1; done' &
            ( setsid sh -c '( sh -c "echo \$\$ > daemon; exec sleep 1000" </dev/null >/dev/null 2>&1 & )' & )
            while [ $(ls | wc -l) -lt 5 ]; do sleep 0.05; done
            echo all-are-there
            while :; do sleep 0.1; done
            "#
        );
        let session = baton.script(&script).await;
        let mut client = baton.attach(session, Attach::named("A")).await;
        client.until_output("all-are-there").await;
        let family: Vec<(String, Process)> = ["child", "nohup", "setsid", "deaf", "daemon"]
            .into_iter()
            .map(|name| {
                let pid = std::fs::read_to_string(scratch.join(name)).unwrap().trim().parse().unwrap();
                (name.to_owned(), Process::of(pid))
            })
            .collect();
        let shell = Process::of(baton.session(session).await.session.pid.unwrap());
        // A neighbour that nobody asked to end.
        let neighbour = baton.shell().await;
        let other = Process::of(baton.session(neighbour).await.session.pid.unwrap());
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({"reason": "over"})).await;
        assert_eq!(client.until_exit().await.reason, "over");
        shell.gone().await;
        for (name, process) in family {
            let limit = tokio::time::timeout(Duration::from_secs(10), process.gone()).await;
            assert!(limit.is_ok(), "`{name}` ({}) outlived the session", process.command_line());
        }
        assert!(scratch.join("cleaned").exists(), "who wants to clean up is told by SIGHUP first");
        assert!(other.is_alive(), "nobody else's programs end");
        assert_eq!(baton.session(neighbour).await.session.status, SessionStatus::Running);
    });
}

#[test]
fn exit_codes_and_signals_are_kept_and_an_ended_session_can_be_read() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let cases = [
            ("echo words; exit 3", Some(3), None),
            ("echo words; exit 0", Some(0), None),
            ("echo words; kill -TERM $$", None, Some(15)),
            ("echo words; kill -KILL $$", None, Some(9)),
        ];
        for (script, code, signal) in cases {
            let session = baton.script(script).await;
            let detail = until_ended(baton, session).await.session;
            assert_eq!(detail.status, SessionStatus::Exited, "{script}");
            let exit = detail.exit.unwrap();
            assert_eq!((exit.code, exit.signal), (code, signal), "{script}");
            assert_eq!(baton.output(session).await, b"words\r\n", "{script}");
            let mut client = baton.attach(session, Attach::named("reader")).await;
            client.until_output("words\r\n").await;
            let told = client.until_exit().await;
            assert_eq!((told.code, told.signal), (code, signal), "{script}");
            // An ended session takes no input, and can be forgotten.
            let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
            let body = json!({"client_id": client.id, "text": "x"});
            let answer = baton.api().call(Method::POST, &at("input"), Some(&body)).await;
            assert!(matches!(answer.problem().code, ErrorCode::SessionEnded | ErrorCode::NotOwner), "{answer}");
            drop(client);
            let answer = baton.api().call::<()>(Method::DELETE, &format!("/v1/sessions/{session}"), None).await;
            assert!(answer.status < 300, "{answer}");
            baton.api().refused(Method::GET, &format!("/v1/sessions/{session}"), &(), ErrorCode::NotFound).await;
        }
        let living = baton.shell().await;
        baton.api().refused(Method::DELETE, &format!("/v1/sessions/{living}"), &(), ErrorCode::SessionRunning).await;
    });
}

#[test]
fn what_cannot_start_says_why() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let cases = [
            session::command(["/no/such/program"]),
            CreateTerminal { cwd: Some("/no/such/directory".to_owned()), ..session::command(["/bin/true"]) },
        ];
        for request in cases {
            let answer = baton.api().call(Method::POST, "/v1/terminal/sessions", Some(&request)).await;
            // Either it is refused at once, or the session says that and why it failed.
            if answer.status >= 400 {
                assert_eq!(answer.problem().code, ErrorCode::Invalid, "{answer}");
                continue;
            }
            let created: Created = answer.json();
            let detail = until_ended(baton, created.session_id).await.session;
            assert_eq!(detail.status, SessionStatus::Failed, "{detail:?}");
            assert!(detail.failure.is_some_and(|why| why.contains("/no/such")), "the reason names what is missing");
        }
        for bad in [
            json!({"command": []}),
            json!({"cols": 0, "rows": 5}),
            json!({"nonsense": 1}),
            json!({"cwd": "relative"}),
            json!([]),
        ] {
            baton.api().refused(Method::POST, "/v1/terminal/sessions", &bad, ErrorCode::Invalid).await;
        }
    });
}

#[test]
fn a_name_is_one_living_sessions() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let named = |title: &str| CreateTerminal { title: Some(title.to_owned()), ..session::bash() };
        let api = baton.api();
        let first = baton.create(&named("alpha")).await;
        let second = baton.create(&named("beta")).await;
        api.refused(Method::POST, "/v1/terminal/sessions", &named("alpha"), ErrorCode::NameTaken).await;
        api.refused(Method::PATCH, &format!("/v1/sessions/{second}"), &json!({"title": "alpha"}), ErrorCode::NameTaken)
            .await;
        let renamed: SessionDetail =
            api.patch(&format!("/v1/sessions/{second}"), &json!({"title": "gamma", "labels": {"k": "v"}})).await;
        assert_eq!((renamed.session.title.as_str(), renamed.session.labels["k"].as_str()), ("gamma", "v"));
        // The names are where they were after both who keep them were killed.
        baton.kill_bridge().await;
        baton.kill_sessiond().await;
        let detail: SessionDetail = api.get_until(&format!("/v1/sessions/{second}"), |_| true).await;
        assert_eq!((detail.session.title.as_str(), detail.session.labels["k"].as_str()), ("gamma", "v"));
        api.refused(Method::POST, "/v1/terminal/sessions", &named("gamma"), ErrorCode::NameTaken).await;
        // A name that nobody living has is free.
        api.post_done(&format!("/v1/terminal/sessions/{first}/close"), &json!({})).await;
        until_ended(baton, first).await;
        baton.create(&named("alpha")).await;
    });
}

#[test]
fn a_terminal_id_finds_its_session_again() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let request = CreateTerminal { terminal_id: Some("editor-1".to_owned()), ..session::bash() };
        let api = baton.api();
        let first: Created = api.post("/v1/terminal/sessions", &request).await;
        assert!(first.created);
        // Even asked for by many at once.
        let many =
            futures_util::future::join_all((0..8).map(|_| api.post::<Created>("/v1/terminal/sessions", &request)))
                .await;
        for again in many {
            assert_eq!((again.created, again.session_id), (false, first.session_id));
        }
        let mut client = baton.attach(first.session_id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("exit 4\r").await;
        assert_eq!(client.until_exit().await.code, Some(4));
        until_ended(baton, first.session_id).await;
        let next: Created = api.post("/v1/terminal/sessions", &request).await;
        assert!(next.created, "a new one takes the id of one that has ended over");
        assert_ne!(next.session_id, first.session_id);
        let without: Created = api.post("/v1/terminal/sessions", &session::bash()).await;
        let other: Created = api.post("/v1/terminal/sessions", &session::bash()).await;
        assert_ne!(without.session_id, other.session_id, "without one it is always created");
    });
}

#[test]
fn the_worker_of_an_ended_session_leaves_by_itself_and_comes_back_for_readers() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.script("echo last words; exit 8").await;
        let path = format!("/v1/sessions/{session}");
        let over = |detail: &SessionDetail| !detail.session.status.is_living() && detail.session.worker_pid.is_none();
        let detail: SessionDetail = baton.api().get_until(&path, over).await;
        assert_eq!(detail.session.exit.unwrap().code, Some(8));
        assert_eq!(baton.output(session).await, b"last words\r\n");
        let mut reader = baton.attach(session, Attach::named("reader")).await;
        assert_eq!(reader.until_exit().await.code, Some(8));
    });
}

#[test]
fn everybody_knows_who_is_there() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut a = baton.attach(session, Attach::named("Ada").viewport(100, 30)).await;
        let names = |incoming: &Incoming| match incoming {
            Incoming::Frame(ServerFrame::Clients { clients }) => {
                let mut names: Vec<String> = clients.iter().map(|client| client.name.clone()).collect();
                names.sort();
                Some(names)
            }
            _ => None,
        };
        let b = baton.attach(session, Attach::named("Bob")).await;
        a.until("both", |incoming| names(incoming).filter(|names| *names == ["Ada", "Bob"])).await;
        let detail = baton.session(session).await;
        let ada = detail.clients.iter().find(|client| client.name == "Ada").unwrap();
        assert_eq!(ada.viewport.map(|viewport| (viewport.cols, viewport.rows)), Some((100, 30)));
        assert_eq!(detail.session.client_count, 2);
        b.drop_socket();
        a.until("Ada alone", |incoming| names(incoming).filter(|names| *names == ["Ada"])).await;
    });
}
