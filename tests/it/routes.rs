//! The routes of a session that are neither lease nor life: lists, waiting, running a line, events.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{
    CreateTerminal, Created, Event, ExecAnswer, LeaseAnswer, Page, Session, SessionDetail, SessionStatus, WaitAnswer,
};
use baton_proto::ids::{ClientId, SessionId};
use baton_tests::{Api, Attach, Baton, Setup, scenario, session};
use http::Method;
use serde_json::json;

async fn claimed(api: &Api, session: SessionId) -> ClientId {
    let client = session::client_id();
    let _: LeaseAnswer =
        api.post(&format!("/v1/terminal/sessions/{session}/claim"), &json!({"client_id": client})).await;
    client
}

#[test]
fn exec_runs_a_line_in_this_shell_and_says_what_it_did() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let api = baton.api();
        let client = claimed(&api, session).await;
        let path = format!("/v1/terminal/sessions/{session}/exec");
        let exec = async |command: &str| -> ExecAnswer {
            api.post(&path, &json!({"client_id": client, "command": command, "timeout_s": 20})).await
        };
        let answer = exec("echo one; echo two; (exit 3)").await;
        assert_eq!((answer.exit_code, answer.truncated, answer.timed_out), (Some(3), false, false), "{answer:?}");
        assert_eq!(answer.output.replace("\r\n", "\n").trim_end(), "one\ntwo", "{answer:?}");
        // Between the cursors is what it wrote, in the journal too.
        let bytes = baton.output(session).await;
        let range =
            usize::try_from(answer.cursor_start.offset).unwrap()..usize::try_from(answer.cursor_end.offset).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes[range]), answer.output);
        // It is this shell: what it changed stays changed.
        assert_eq!(exec("cd /usr && x='a b'").await.exit_code, Some(0));
        let answer = exec("echo \"$PWD $x\"; echo 'quotes \"and\" $signs'").await;
        assert_eq!(answer.output.replace("\r\n", "\n").trim_end(), "/usr a b\nquotes \"and\" $signs");
        assert_eq!(exec("false").await.exit_code, Some(1));
        assert_eq!(exec("sh -c 'kill -9 $$'").await.exit_code, Some(137));
        assert_eq!(exec("no-such-command-at-all").await.exit_code, Some(127));
        let answer = exec("seq 1 300000").await;
        assert!(answer.truncated && answer.output.len() <= 1024 * 1024, "{} bytes", answer.output.len());
        assert!(answer.output.trim_end().ends_with("300000"), "the newest is kept");
        // A line that goes on: told that the wait ran out, and busy until it is done.
        let body = json!({"client_id": client, "command": "sleep 1000", "timeout_s": 0.5});
        let answer: ExecAnswer = api.post(&path, &body).await;
        assert_eq!((answer.exit_code, answer.timed_out), (None, true));
        api.refused(Method::POST, &path, &json!({"client_id": client, "command": "echo no"}), ErrorCode::Busy).await;
        let signal = json!({"client_id": client, "signal": "INT"});
        api.post_done(&format!("/v1/terminal/sessions/{session}/signal"), &signal).await;
        let wait = json!({"until": {"mark": "prompt"}, "timeout_s": 20});
        let answer: WaitAnswer = api.post(&format!("/v1/terminal/sessions/{session}/wait"), &wait).await;
        assert_eq!(answer.matched, "mark");
        assert_eq!(exec("echo again").await.output.trim_end(), "again");
        for bad in [
            json!({"client_id": client}),
            json!({"client_id": client, "command": "a\u{1b}b"}),
            json!({"client_id": client, "command": "a\rb"}),
            json!({"client_id": client, "command": "x".repeat(3501)}),
            json!({"client_id": client, "command": "x", "timeout_s": -1}),
        ] {
            api.refused(Method::POST, &path, &bad, ErrorCode::Invalid).await;
        }
    });
}

#[test]
fn wait_ends_when_any_condition_holds() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session =
            baton.script("stty -echo; echo begin; while read word; do echo \"word $word\"; done; exit 6").await;
        let api = baton.api();
        let mut client = baton.attach(session, Attach::named("typist")).await;
        client.until_output("begin\r\n").await;
        client.claim(false).await.unwrap();
        let path = format!("/v1/terminal/sessions/{session}/wait");
        let wait = |until: serde_json::Value, timeout_s: f64| {
            let (api, path) = (api.clone(), path.clone());
            tokio::spawn(async move {
                api.post::<WaitAnswer>(&path, &json!({"until": until, "timeout_s": timeout_s})).await
            })
        };
        // From a cursor: what was already written counts. From now: it does not.
        let zero = format!("{}:0", client.ready.cursor.instance);
        let answer = wait(json!({"pattern": "be(gi)n", "cursor": zero}), 20.0).await.unwrap();
        assert_eq!((answer.matched.as_str(), answer.text.as_deref()), ("pattern", Some("begin")));
        let begun = Instant::now();
        let answer = wait(json!({"pattern": "begin"}), 0.5).await.unwrap();
        assert_eq!(answer.matched, "timeout");
        assert!(begun.elapsed() >= Duration::from_millis(450));
        // A pattern that comes in two pieces.
        let waiting = wait(json!({"pattern": "word ab+c", "cursor": zero, "exit": true}), 20.0);
        client.type_text("abb").await;
        client.type_text("bc\n").await;
        let answer = waiting.await.unwrap();
        assert_eq!((answer.matched.as_str(), answer.text.as_deref()), ("pattern", Some("word abbbc")));
        assert_eq!(wait(json!({"idle_ms": 200}), 20.0).await.unwrap().matched, "idle");
        let here = wait(json!({"cursor": client.ready.cursor}), 20.0).await.unwrap();
        assert_eq!(here.matched, "cursor");
        for bad in [
            json!({"until": {}}),
            json!({"until": {"pattern": "("}}),
            json!({"until": {"mark": "nonsense"}}),
            json!({}),
            json!({"until": {"idle_ms": 5}, "timeout_s": 1e12}),
        ] {
            api.refused(Method::POST, &path, &bad, ErrorCode::Invalid).await;
        }
        // Waiting survives the bridge only as a broken request: no answer is better than a wrong one.
        let waiting = wait(json!({"exit": true}), 20.0);
        client.type_text("\u{4}").await;
        let answer = waiting.await.unwrap();
        assert_eq!(answer.matched, "exit");
        assert_eq!(answer.exit.unwrap().code, Some(6));
        // After the end there is nothing to wait for: the answer comes at once.
        assert_eq!(wait(json!({"pattern": "never", "exit": true}), 20.0).await.unwrap().matched, "exit");
    });
}

#[test]
fn lists_are_filtered_and_paged() {
    scenario(Duration::from_secs(40), Setup::plain(), async |baton: &Baton| {
        let api = baton.api();
        let mut made = Vec::new();
        for n in 0..5 {
            let request = CreateTerminal {
                title: Some(format!("number {n}")),
                labels: [("parity".to_owned(), if n % 2 == 0 { "even" } else { "odd" }.to_owned())].into(),
                ..session::shell_script("sleep 1000")
            };
            made.push(baton.create(&request).await);
        }
        api.post_done(&format!("/v1/terminal/sessions/{}/close", made[4]), &json!({})).await;
        let _: SessionDetail = api
            .get_until(&format!("/v1/sessions/{}", made[4]), |detail: &SessionDetail| {
                detail.session.status == SessionStatus::Closed
            })
            .await;
        let list = async |query: &str| {
            let page: Page<Session> = api.get(&format!("/v1/sessions{query}")).await;
            let mut titles: Vec<String> = page.items.into_iter().map(|session| session.title).collect();
            titles.sort();
            titles
        };
        assert_eq!(list("").await.len(), 5);
        assert_eq!(list("?status=running").await.len(), 4);
        assert_eq!(list("?status=closed").await, ["number 4"]);
        assert_eq!(list("?label=parity=odd").await, ["number 1", "number 3"]);
        assert_eq!(list("?kind=browser").await.len(), 0);
        // Page by page each comes once.
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: Page<Session> = api.get(&format!("/v1/sessions?limit=2{from}")).await;
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|session| session.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort();
        made.sort();
        assert_eq!(seen, made);
        for bad in ["?limit=x", "?status=strange", "?cursor=%00", "?kind=strange"] {
            api.refused(Method::GET, &format!("/v1/sessions{bad}"), &(), ErrorCode::Invalid).await;
        }
    });
}

#[test]
fn what_happened_is_remembered_across_a_killed_bridge() {
    scenario(Duration::from_secs(40), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut client = baton.attach(session, Attach::named("A")).await;
        let lease = client.claim(false).await.unwrap();
        client.send(baton_proto::api::ClientFrame::Release).await;
        client.until_epoch(lease.epoch.next()).await;
        let events = async || {
            let page: Page<Event> = baton
                .api()
                .get_until(&format!("/v1/sessions/{session}/events?limit=500"), |page: &Page<Event>| {
                    page.items.iter().filter(|event| event.kind == "lease").count() >= 2
                })
                .await;
            page.items
        };
        let before = events().await;
        assert!(before.windows(2).all(|pair| pair[0].seq < pair[1].seq), "seq rises");
        assert!(before.iter().all(|event| event.scope_id == session.to_string()));
        baton.kill_bridge().await;
        let after = events().await;
        let known: Vec<u64> = before.iter().map(|event| event.seq).collect();
        assert!(known.iter().all(|seq| after.iter().any(|event| event.seq == *seq)), "no event is forgotten");
        let leases = |events: &[Event]| events.iter().filter(|event| event.kind == "lease").count();
        assert_eq!(leases(&before), leases(&after), "and none is told twice");
        let only: Page<Event> = baton.api().get(&format!("/v1/sessions/{session}/events?type=lease&limit=1")).await;
        assert!(only.items.len() == 1 && only.items[0].kind == "lease");
    });
}

#[test]
fn a_mutation_with_a_key_is_done_once() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let api = baton.api().with("idempotency-key", "create-1");
        let request = CreateTerminal { title: Some("once".to_owned()), ..session::bash() };
        let first: Created = api.post("/v1/terminal/sessions", &request).await;
        let again: Created = api.post("/v1/terminal/sessions", &request).await;
        assert_eq!(first.session_id, again.session_id, "the same answer, and no second session");
        let other = CreateTerminal { title: Some("other".to_owned()), ..session::bash() };
        api.refused(Method::POST, "/v1/terminal/sessions", &other, ErrorCode::IdempotencyMismatch).await;
        let list: Page<Session> = baton.api().get("/v1/sessions").await;
        assert_eq!(list.items.len(), 1);
    });
}

#[test]
fn a_session_shows_what_runs_in_it() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let request = CreateTerminal {
            cols: Some(100),
            rows: Some(40),
            cwd: Some("/usr".to_owned()),
            env: [("PS1".to_owned(), "$ ".to_owned()), ("GREETING".to_owned(), "hello from env".to_owned())].into(),
            ..session::bash()
        };
        let session = baton.create(&request).await;
        let mut client = baton.attach(session, Attach::named("A")).await;
        client.until_output("$ ").await;
        client.claim(false).await.unwrap();
        client.type_text("echo \"$GREETING\"; echo \"$TERM\"; stty size\r").await;
        client.until_output("hello from env").await;
        client.until_output("xterm-256color").await;
        client.until_output("40 100").await;
        let path = format!("/v1/sessions/{session}");
        let detail: SessionDetail = baton.api().get_until(&path, |detail: &SessionDetail| detail.modes.at_prompt).await;
        assert_eq!(detail.cwd.as_deref(), Some("/usr"));
        assert_eq!(detail.session.command, ["/bin/bash", "--norc", "--noprofile", "-i"]);
        assert_eq!((detail.session.size.cols, detail.session.size.rows), (100, 40));
        client.type_text("cd /; cat\r").await;
        let reading = |detail: &SessionDetail| detail.foreground.as_ref().is_some_and(|what| what.command == "cat");
        let detail: SessionDetail = baton.api().get_until(&path, reading).await;
        assert_eq!(detail.cwd.as_deref(), Some("/"));
        assert!(!detail.modes.at_prompt && detail.modes.echo && detail.modes.canonical);
        assert!(!detail.session.parked);
        // The terminal route tells the same of the same.
        let same: SessionDetail = baton.api().get(&format!("/v1/terminal/sessions/{session}")).await;
        assert_eq!((same.session.id, same.session.pid), (detail.session.id, detail.session.pid));
    });
}

#[test]
fn what_a_query_asks_for_is_granted_or_refused() {
    scenario(Duration::from_secs(40), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let api = baton.api();
        let detail = async |path: &str| api.refused(Method::GET, path, &(), ErrorCode::Invalid).await.detail;
        let terminal = |rest: &str| format!("/v1/terminal/sessions/{session}/{rest}");
        // Numbers outside of their bounds.
        for (path, name, bounds) in [
            ("/v1/sessions?limit=".to_owned(), "limit", (1, 1000)),
            (format!("/v1/sessions/{session}/events?limit="), "limit", (1, 1000)),
            ("/v1/auth/tokens?limit=".to_owned(), "limit", (1, 1000)),
            (terminal("output?limit="), "limit", (1, 1_048_576)),
            (terminal("search?q=x&limit="), "limit", (1, 1000)),
            (terminal("search?q=x&context="), "context", (0, 50)),
        ] {
            let (least, most): (i64, i64) = bounds;
            for bad in [least - 1, most + 1, 999_999_999] {
                let said = detail(&format!("{path}{bad}")).await;
                let told = said.contains(name) && (said.contains(&most.to_string()) || bad < 0);
                assert!(told, "{path}{bad}: {said}");
            }
            for good in [least, most] {
                let answer = api.call::<()>(Method::GET, &format!("{path}{good}"), None).await;
                assert_eq!(answer.status, 200, "{path}{good}: {answer}");
            }
        }
        // Parameters that there are not, on routes with others and without any; a stream's too.
        for path in [
            "/v1/sessions?limits=3".to_owned(),
            format!("/v1/sessions/{session}/events?limits=3"),
            format!("/v1/sessions/{session}?limits=3"),
            terminal("snapshot?format=text&limits=3"),
            terminal("output?limits=3"),
            terminal("search?q=x&limits=3"),
            terminal("recording.cast?limits=3"),
            format!("/v1/terminal/streams/{session}?limits=3"),
            "/v1/health?limits=3".to_owned(),
            "/v1/auth/me?limits".to_owned(),
        ] {
            let said = detail(&path).await;
            assert!(said.starts_with("`limits` is no parameter of this route"), "{path}: {said}");
        }
        let said = detail("/v1/sessions?Limit=3").await;
        assert!(said.contains("`kind`, `status`, `workspace_id`, `label`, `cursor`, `limit`"), "{said}");
        // Fields that there are not.
        let client = claimed(&api, session).await;
        for (method, path, body) in [
            (Method::POST, terminal("claim"), json!({"client_id": client, "forced": true})),
            (Method::POST, terminal("input"), json!({"client_id": client, "text": "x", "enter": true})),
            (Method::POST, terminal("wait"), json!({"until": {"exit": true, "pattern_": "x"}})),
            (Method::POST, terminal("close"), json!({"why": "x"})),
            (Method::PATCH, format!("/v1/sessions/{session}"), json!({"titel": "x"})),
            (
                Method::PATCH,
                format!("/v1/sessions/{session}"),
                json!({"size": {"policy": "holder", "cols": 80, "rows": 24, "max": 3}}),
            ),
            (Method::POST, "/v1/terminal/sessions".to_owned(), json!({"colums": 80})),
            (Method::POST, "/v1/auth/tokens".to_owned(), json!({"name": "x", "role": "viewer", "scope": []})),
            (Method::POST, "/v1/auth/links".to_owned(), json!({"kind": "login", "ttl": 3})),
        ] {
            let said = api.refused(method, &path, &body, ErrorCode::Invalid).await.detail;
            assert!(said.contains("unknown field"), "{path} {body}: {said}");
        }
        // Lists of tokens have pages like others.
        for name in ["one", "two", "three"] {
            let body = json!({"name": name, "role": "viewer"});
            let _: serde_json::Value = api.post("/v1/auth/tokens", &body).await;
        }
        let mut names = Vec::new();
        let mut path = "/v1/auth/tokens?limit=2".to_owned();
        loop {
            let page: Page<serde_json::Value> = api.get(&path).await;
            assert!(page.items.len() <= 2);
            names.extend(page.items.iter().map(|token| token["name"].as_str().unwrap().to_owned()));
            match page.next_cursor {
                Some(cursor) => path = format!("/v1/auth/tokens?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(names, ["one", "two", "three"]);
    });
}
