//! Tokens other than the owner's: what each role may, and what belongs to whom.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Created, LeaseAnswer, Page, Session, SessionDetail};
use baton_proto::v1::ClientKind;
use baton_tests::{Api, Attach, Baton, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::{Value, json};

/// A token as the owner makes it; its id and a caller that shows it.
async fn token(baton: &Baton, request: Value) -> (String, Api) {
    let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
    let secret = made["token"].as_str().expect("the secret, this once");
    (made["id"].as_str().expect("an id").to_owned(), baton.nobody().with_token(secret))
}

#[test]
fn a_viewer_only_watches() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let (_, viewer) = token(baton, json!({"name": "watcher", "role": "viewer"})).await;
        let list: Page<Session> = viewer.get("/v1/sessions").await;
        assert_eq!(list.items.len(), 1);
        let client = session::client_id();
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        for (method, path, body) in [
            (Method::POST, "/v1/terminal/sessions".to_owned(), json!({})),
            (Method::POST, at("claim"), json!({"client_id": client})),
            (Method::POST, at("input"), json!({"client_id": client, "text": "x"})),
            (Method::POST, at("signal"), json!({"client_id": client, "signal": "INT"})),
            (Method::POST, at("exec"), json!({"client_id": client, "command": "true"})),
            (Method::POST, at("request-control"), json!({"client_id": client})),
            (Method::POST, at("close"), json!({})),
            (Method::PATCH, format!("/v1/sessions/{session}"), json!({"title": "mine"})),
            (Method::DELETE, format!("/v1/sessions/{session}"), json!({})),
            (Method::POST, "/v1/auth/tokens".to_owned(), json!({"name": "more", "role": "owner"})),
            (Method::GET, "/v1/auth/tokens".to_owned(), json!({})),
        ] {
            viewer.refused(method, &path, &body, ErrorCode::Forbidden).await;
        }
        let mut stream = StreamClient::open(&viewer, session, Attach::named("watcher")).await.unwrap();
        stream.until_output("$ ").await;
        stream.send(ClientFrame::Claim { force: true }).await;
        assert_eq!(stream.until_error().await.code, ErrorCode::Forbidden);
        stream.send(ClientFrame::RequestControl).await;
        assert_eq!(stream.until_error().await.code, ErrorCode::Forbidden);
        stream.input(b"echo no\r", stream.epoch, 1).await;
        let refused = stream.until_error().await.code;
        assert!(matches!(refused, ErrorCode::Forbidden | ErrorCode::NotOwner), "{refused}");
        // Nor may anybody make an owner of a viewer.
        let mut owner = baton.attach(session, Attach::named("owner")).await;
        owner.claim(false).await.unwrap();
        owner.send(ClientFrame::Transfer { to_client_id: stream.id.clone() }).await;
        let refused = owner.until_error().await.code;
        assert!(matches!(refused, ErrorCode::Forbidden | ErrorCode::ClientNotAttached), "{refused}");
    });
}

#[test]
fn an_agent_sees_its_own_and_never_forces_a_person() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let (_, agent) = token(baton, json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let (_, other) = token(baton, json!({"name": "other", "role": "agent", "agent_id": "other"})).await;
        let persons = baton.shell().await;
        let made: Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        let list: Page<Session> = agent.get("/v1/sessions").await;
        assert_eq!(
            list.items.iter().map(|session| session.id).collect::<Vec<_>>(),
            [made.session_id],
            "an agent sees what it made"
        );
        for stranger in [&agent, &other] {
            stranger.refused(Method::GET, &format!("/v1/sessions/{persons}"), &(), ErrorCode::NotFound).await;
        }
        other.refused(Method::GET, &format!("/v1/sessions/{}", made.session_id), &(), ErrorCode::NotFound).await;
        // It speaks under its own id and no other.
        let claim = format!("/v1/terminal/sessions/{}/claim", made.session_id);
        agent.refused(Method::POST, &claim, &json!({"client_id": "agent:other"}), ErrorCode::ClientIdTaken).await;
        let lease: LeaseAnswer = agent.post(&claim, &json!({"client_id": "agent:fixer"})).await;
        let mut person = baton.attach(made.session_id, Attach::named("Pia")).await;
        assert_eq!(person.ready.epoch, lease.epoch);
        let detail: SessionDetail = baton.session(made.session_id).await;
        assert_eq!(detail.session.lease.unwrap().owner_kind, ClientKind::Agent);
        // A person takes from an agent as of right; an agent never forces a person's.
        let taken = person.claim(false).await.unwrap();
        assert_eq!(taken.epoch, lease.epoch.next());
        for force in [false, true] {
            let body = json!({"client_id": "agent:fixer", "force": force});
            agent.refused(Method::POST, &claim, &body, ErrorCode::LeaseHeld).await;
        }
        person.send(ClientFrame::Release).await;
        person.until_epoch(taken.epoch.next()).await;
        let _: LeaseAnswer = agent.post(&claim, &json!({"client_id": "agent:fixer"})).await;
        agent
            .refused(Method::POST, "/v1/auth/tokens", &json!({"name": "x", "role": "owner"}), ErrorCode::Forbidden)
            .await;
    });
}

#[test]
fn a_client_id_belongs_to_who_used_it_first() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let (_, friend) = token(baton, json!({"name": "friend", "role": "collaborator"})).await;
        let mut mine = baton.attach(session, Attach::named("mine")).await;
        let held = mine.claim(false).await.unwrap();
        let claim = format!("/v1/terminal/sessions/{session}/claim");
        let body = json!({"client_id": mine.id});
        friend.refused(Method::POST, &claim, &body, ErrorCode::ClientIdTaken).await;
        let stolen = StreamClient::open(&friend, session, Attach::named("thief").client(&mine.id)).await;
        let said = format!("{:#}", stolen.expect_err("the id is somebody else's"));
        assert!(said.contains("client_id_taken"), "{said}");
        for verb in ["release", "detach", "input"] {
            let body =
                if verb == "input" { json!({"client_id": mine.id, "text": "echo stolen\r"}) } else { body.clone() };
            friend
                .refused(
                    Method::POST,
                    &format!("/v1/terminal/sessions/{session}/{verb}"),
                    &body,
                    ErrorCode::ClientIdTaken,
                )
                .await;
        }
        // The one attached has noticed nothing.
        mine.input(b"echo still-$((1+1))-mine\r", held.epoch, 1).await;
        mine.until_output("still-2-mine").await;
        assert!(!String::from_utf8_lossy(&mine.output).contains("stolen"));
        // It stays so when the bridge was killed.
        baton.kill_bridge().await;
        friend.refused(Method::POST, &claim, &body, ErrorCode::ClientIdTaken).await;
        // Under an id of its own the friend is welcome.
        let mut theirs = StreamClient::open(&friend, session, Attach::named("friend")).await.unwrap();
        theirs.claim(true).await.unwrap();
    });
}

#[test]
fn a_token_ends_when_it_is_deleted_or_its_time_is_up() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let (id, friend) = token(baton, json!({"name": "friend", "role": "collaborator"})).await;
        let mut stream = StreamClient::open(&friend, session, Attach::named("friend")).await.unwrap();
        stream.until_output("$ ").await;
        let listed: Value = baton.api().get("/v1/auth/tokens").await;
        assert!(listed.to_string().contains(&id) && !listed.to_string().contains("\"token\""), "shown once: {listed}");
        let answer = baton.api().call::<()>(Method::DELETE, &format!("/v1/auth/tokens/{id}"), None).await;
        assert!(answer.status < 300, "{answer}");
        friend.refused(Method::GET, "/v1/sessions", &(), ErrorCode::Unauthenticated).await;
        assert_eq!(stream.until_closed().await.0, Some(4001), "what it opened is closed");
        let past = json!({"name": "late", "role": "viewer", "expires_at": "2020-01-01T00:00:00.000Z"});
        let answer = baton.api().call(Method::POST, "/v1/auth/tokens", Some(&past)).await;
        if answer.status < 300 {
            let made: Value = answer.json();
            let late = baton.nobody().with_token(made["token"].as_str().unwrap());
            late.refused(Method::GET, "/v1/sessions", &(), ErrorCode::Unauthenticated).await;
        } else {
            assert_eq!(answer.problem().code, ErrorCode::Invalid, "{answer}");
        }
        // Nothing of a token's secret is kept but its hash.
        let (_, viewer) = token(baton, json!({"name": "viewer", "role": "viewer"})).await;
        let secret = viewer.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        for (file, bytes) in baton_tests::witness::read_below(&baton.home.state) {
            assert!(
                baton_tests::websocket::find(&bytes, secret.as_bytes()).is_none(),
                "the secret is in `{}`",
                file.display()
            );
        }
    });
}

#[test]
fn an_agent_acts_in_no_session_that_is_less_confined_than_itself() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (id, agent) = token(baton, json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let session = baton.shell().await;
        // A person's session that the agent is shown: as if it had made it before agents' sessions were confined.
        let shown = rusqlite::Connection::open(baton.home.database_file()).unwrap();
        shown.busy_timeout(Duration::from_secs(5)).unwrap();
        let saved = loop {
            // The row is written behind the answer.
            let saved =
                shown.execute("UPDATE sessions SET creator = ?1 WHERE id = ?2", (&id, session.to_string())).unwrap();
            if saved > 0 {
                break saved;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(saved, 1);
        drop(shown);
        baton.kill_bridge().await;
        let list: Page<Session> = agent.get("/v1/sessions").await;
        assert_eq!(list.items.iter().map(|it| it.id).collect::<Vec<_>>(), [session], "it sees it");
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let own = "agent:fixer";
        for (path, body) in [
            (at("claim"), json!({"client_id": own})),
            (at("request-control"), json!({"client_id": own})),
            (at("input"), json!({"client_id": own, "text": "touch out\n"})),
            (at("exec"), json!({"client_id": own, "command": "touch out"})),
            (at("signal"), json!({"client_id": own, "signal": "INT"})),
            (at("resize"), json!({"client_id": own, "cols": 90, "rows": 20})),
            (at("transfer"), json!({"client_id": own, "to_client_id": own})),
        ] {
            let problem = agent.refused(Method::POST, &path, &body, ErrorCode::Forbidden).await;
            assert!(
                problem.detail.contains("not confined") && problem.detail.contains("let a person"),
                "{path}: {problem:?}"
            );
        }
        // Over the WebSocket the same; it may watch.
        let as_agent = Attach { client_id: own.parse().unwrap(), ..Attach::named("fixer") };
        let mut stream = StreamClient::open(&agent, session, as_agent).await.unwrap();
        stream.until_output("$ ").await;
        for frame in [
            ClientFrame::Claim { force: false },
            ClientFrame::RequestControl,
            ClientFrame::Resize { cols: 90, rows: 20 },
            ClientFrame::Transfer { to_client_id: own.parse().unwrap() },
        ] {
            let what = format!("{frame:?}");
            stream.send(frame).await;
            assert_eq!(stream.until_error().await.code, ErrorCode::Forbidden, "{what}");
        }
        stream.input(b"touch out\r", stream.epoch, 1).await;
        assert_eq!(stream.until_error().await.code, ErrorCode::Forbidden);
        // Nor does a person give it what it may not have.
        let mut person = baton.attach(session, Attach::named("person")).await;
        person.claim(false).await.unwrap();
        person.send(ClientFrame::Transfer { to_client_id: own.parse().unwrap() }).await;
        assert_eq!(person.until_error().await.code, ErrorCode::Forbidden);
        person.type_text("ls; echo listed-$((1+1))\r").await;
        person.until_output("listed-2").await;
        let output = String::from_utf8_lossy(&baton.output(session).await).into_owned();
        assert!(!output.contains("touch"), "{output}");
        // In a session of its own it does all of it.
        let made: Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        let own_claim = format!("/v1/terminal/sessions/{}/claim", made.session_id);
        let _: LeaseAnswer = agent.post(&own_claim, &json!({"client_id": own})).await;
        // Ended, it is not the agent's to start again.
        person.type_text("exit\r").await;
        person.until_exit().await;
        let respawn = format!("/v1/sessions/{session}/respawn");
        agent.refused(Method::POST, &respawn, &json!({}), ErrorCode::Forbidden).await;
    });
}
