//! What an agent may do with a session that a person gave it, and that it is over when the person takes it back; and that signing out ends
//! what was opened with the login.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{
    ClientFrame, CreateTerminal, Created, Event, Link, LoginAnswer, Page, Session, SessionDetail, SessionStatus,
};
use baton_proto::ids::{ClientId, SessionId};
use baton_proto::spec::Profile;
use baton_tests::events::Events;
use baton_tests::websocket::{RawStream, open_raw};
use baton_tests::{Api, Attach, Baton, Setup, StreamClient, scenario, session};
use futures_util::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// A lease that is given up is free long before it would have expired.
const AT_ONCE: Duration = Duration::from_secs(8);

async fn token(baton: &Baton, request: Value) -> Api {
    let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
    baton.nobody().with_token(made["token"].as_str().unwrap())
}

async fn agent(baton: &Baton, id: &str) -> Api {
    token(baton, json!({"name": id, "role": "agent", "agent_id": id})).await
}

fn client(id: &str) -> ClientId {
    format!("agent:{id}").parse().unwrap()
}

async fn give(baton: &Baton, session: SessionId, agent: &str) {
    let _: SessionDetail =
        baton.api().patch(&format!("/v1/sessions/{session}"), &json!({"owner_agent_id": agent})).await;
}

async fn sign_in(baton: &Baton) -> Api {
    signed_in(baton, json!({"token": baton.token})).await
}

/// Signs in as the page does, with cookie and key.
async fn signed_in(baton: &Baton, with: Value) -> Api {
    let answer = baton.nobody().call(Method::POST, "/v1/auth/login", Some(&with)).await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let login: LoginAnswer = answer.json();
    baton.nobody().with("cookie", &cookie).with("x-baton-key", &login.key)
}

/// A person's session that is confined, so that an agent may work in it.
async fn workshop(baton: &Baton) -> SessionId {
    let folder = baton.scratch().join("workshop");
    std::fs::create_dir_all(&folder).unwrap();
    let mut request = session::bash();
    request.sandbox = Some(Profile::Workspace);
    request.cwd = Some(folder.to_str().unwrap().to_owned());
    baton.create(&request).await
}

/// What a recording has of this kind.
async fn recorded(api: &Api, session: SessionId, code: &str) -> String {
    let path = format!("/v1/terminal/sessions/{session}/recording.cast");
    let answer = api.call::<()>(Method::GET, &path, None).await;
    assert_eq!(answer.status, 200, "{answer}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event[1] == code).map(|event| event[2].as_str().unwrap().to_owned()).collect()
}

/// With which code a stream of events is closed, whatever it tells before.
async fn closed(socket: &mut RawStream) -> Option<u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            None | Some(Err(_)) => return None,
        }
    }
}

/// Waits for the lease to be free; how long that took.
async fn until_free(baton: &Baton, session: SessionId) -> Duration {
    let began = Instant::now();
    let free = |detail: &SessionDetail| detail.session.lease.is_none();
    let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), free).await;
    began.elapsed()
}

#[test]
fn an_agent_leaves_what_it_was_given_as_it_is() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let agent = agent(baton, "m").await;
        for persons in [baton.shell().await, workshop(baton).await] {
            give(baton, persons, "m").await;
            let path = format!("/v1/sessions/{persons}");
            let before: SessionDetail = agent.get(&path).await;
            for body in [
                json!({"record_input": true}),
                json!({"record_input": false}),
                json!({"title": "mine"}),
                json!({"labels": {"whose": "mine"}}),
                json!({"idle_timeout_s": 1}),
                json!({"size": {"policy": "fixed", "cols": 20, "rows": 5}}),
                json!({"agent_input": "direct"}),
                json!({"owner_agent_id": "m"}),
            ] {
                let problem = agent.refused(Method::PATCH, &path, &body, ErrorCode::Forbidden).await;
                assert!(problem.detail.contains("person"), "{problem:?}");
            }
            let close = format!("/v1/terminal/sessions/{persons}/close");
            agent.refused(Method::POST, &close, &json!({}), ErrorCode::Forbidden).await;
            let after: SessionDetail = baton.session(persons).await;
            assert_eq!(after.session.status, SessionStatus::Running);
            let kept = |of: &SessionDetail| {
                let of = &of.session;
                (of.title.clone(), of.labels.clone(), of.idle_timeout_s, of.record_input, of.size.cols)
            };
            assert_eq!(kept(&after), kept(&before));
            // Nor does it forget what the person left.
            baton.api().post_done(&close, &json!({})).await;
            let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Closed;
            let _: SessionDetail = baton.api().get_until(&path, ended).await;
            agent.refused(Method::DELETE, &path, &json!({}), ErrorCode::Forbidden).await;
            let _: SessionDetail = baton.api().get(&path).await;
        }
        // What it made is its own, but for what is typed there: that may be a person's.
        let made: Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        let path = format!("/v1/sessions/{}", made.session_id);
        let body = json!({"title": "its-own", "labels": {"a": "b"}, "idle_timeout_s": 600});
        let detail: SessionDetail = agent.patch(&path, &body).await;
        assert_eq!(detail.session.title, "its-own");
        agent.refused(Method::PATCH, &path, &json!({"record_input": true}), ErrorCode::Forbidden).await;
        let recording = CreateTerminal { record_input: Some(true), ..session::bash() };
        agent.refused(Method::POST, "/v1/terminal/sessions", &recording, ErrorCode::Forbidden).await;
        assert!(!baton.session(made.session_id).await.session.record_input);
        agent.post_done(&format!("/v1/terminal/sessions/{}/close", made.session_id), &json!({})).await;
    });
}

#[test]
fn what_a_person_typed_is_read_by_persons_who_may_type() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.create(&CreateTerminal { record_input: Some(true), ..session::bash() }).await;
        give(baton, session, "m").await;
        let mut person = baton.attach(session, Attach::named("person")).await;
        person.claim(false).await.unwrap();
        person.type_text("echo typed-$((1+1))\r").await;
        person.until_output("typed-2").await;
        let share = super::share::link(&baton.api(), session, "start").await;
        let friend = token(baton, json!({"name": "friend", "role": "collaborator"})).await;
        for (reads, api) in [
            (true, baton.api()),
            (true, friend),
            (false, agent(baton, "m").await),
            (false, token(baton, json!({"name": "viewer", "role": "viewer"})).await),
            (false, token(baton, json!({"name": "observer", "role": "owner", "scopes": ["observe"]})).await),
            (false, super::share::enter(&baton.nobody(), &share).await),
        ] {
            let typed = if reads { "echo typed-$((1+1))\r" } else { "" };
            assert_eq!(recorded(&api, session, "i").await, typed, "{:?}", api.headers);
            assert!(recorded(&api, session, "o").await.contains("typed-2"));
        }
    });
}

#[test]
fn a_session_that_is_taken_back_is_out_of_the_agents_sight_and_hands_at_once() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let agent = agent(baton, "m").await;
        let own: Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        let session = workshop(baton).await;
        give(baton, session, "m").await;
        let mut person = baton.attach(session, Attach::named("person")).await;
        let mut stream = StreamClient::open(&agent, session, Attach::named("m").client(&client("m"))).await.unwrap();
        person.claim(false).await.unwrap();
        person.send(ClientFrame::Transfer { to_client_id: client("m") }).await;
        stream.until_epoch(person.epoch.next()).await;
        assert_eq!(stream.owner, Some(client("m")));
        stream.input(b"echo agents-$((1+1))\r", stream.epoch, 1).await;
        stream.until_output("agents-2").await;
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let following = tokio::spawn({
            let (api, path) = (agent.clone(), at("recording.cast?follow=true"));
            async move { api.send(Method::GET, &path, None).await }
        });
        let waiting = tokio::spawn({
            let (api, path) = (agent.clone(), at("wait"));
            let body = json!({"until": {"pattern": "never-said"}, "timeout_s": 60});
            async move { api.call(Method::POST, &path, Some(&body)).await }
        });
        let mut events = Events::open(&agent, None).await.unwrap();
        // What it hears of now, it hears of.
        let rename = async |id: SessionId, title: &str| {
            let _: SessionDetail = baton.api().patch(&format!("/v1/sessions/{id}"), &json!({"title": title})).await;
        };
        rename(session, "given").await;
        let renamed = |id: SessionId, title: &'static str| {
            move |event: &Event| event.scope_id == id.to_string() && event.data["title"] == title
        };
        events.until(renamed(session, "given")).await;

        give(baton, session, "").await;
        assert_eq!(stream.until_closed().await.0, Some(4003));
        let took = until_free(baton, session).await;
        assert!(took < AT_ONCE, "{took:?}");
        assert_eq!(waiting.await.unwrap().problem().code, ErrorCode::NotFound);
        assert!(following.await.unwrap().is_err(), "it breaks off");
        agent.refused(Method::GET, &format!("/v1/sessions/{session}"), &(), ErrorCode::NotFound).await;
        rename(session, "taken").await;
        rename(own.session_id, "its-own").await;
        let heard = events.until(renamed(own.session_id, "its-own")).await;
        assert!(heard.iter().all(|event| event.scope_id != session.to_string()), "{heard:?}");
        // The person notices nothing, but that control is free.
        person.claim(false).await.unwrap();
        person.type_text("echo persons-$((1+1))\r").await;
        person.until_output("persons-2").await;

        // Control that waits for its holder to come back is taken back too.
        give(baton, session, "m").await;
        let stream = StreamClient::open(&agent, session, Attach::named("m").client(&client("m"))).await.unwrap();
        person.send(ClientFrame::Transfer { to_client_id: client("m") }).await;
        person.until_epoch(person.epoch.next()).await;
        stream.drop_socket();
        give(baton, session, "other").await;
        let took = until_free(baton, session).await;
        assert!(took < AT_ONCE, "{took:?}");
        // What it made stays its own, whomever else it is given to.
        give(baton, own.session_id, "other").await;
        let list: Page<Session> = agent.get("/v1/sessions").await;
        assert_eq!(list.items.iter().map(|session| session.id).collect::<Vec<_>>(), [own.session_id]);
    });
}

#[test]
fn signing_out_ends_what_was_opened_with_the_login() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let (page, other) = (sign_in(baton).await, sign_in(baton).await);
        let mut stream = StreamClient::open(&page, session, Attach::named("page")).await.unwrap();
        stream.claim(false).await.unwrap();
        let mut events = open_raw(&page, "/v1/events", &[]).await.unwrap();
        let mut stays = StreamClient::open(&other, session, Attach::named("other")).await.unwrap();
        // A cookie without its key signs nobody out, whoever sends it.
        let cookie = page.headers["cookie"].to_str().unwrap();
        baton.api().with("cookie", cookie).post_done("/v1/auth/logout", &json!({})).await;
        stream.type_text("echo still-$((1+1))\r").await;
        stream.until_output("still-2").await;

        page.post_done("/v1/auth/logout", &json!({})).await;
        assert_eq!(stream.until_closed().await.0, Some(4001));
        assert_eq!(closed(&mut events).await, Some(4001));
        let took = until_free(baton, session).await;
        assert!(took < AT_ONCE, "{took:?}");
        // A login link that is taken back takes its login with it.
        let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login"})).await;
        let code = link.url.split("#code=").nth(1).unwrap().to_owned();
        let by_link = signed_in(baton, json!({"code": code})).await;
        let mut guest = StreamClient::open(&by_link, session, Attach::named("by link")).await.unwrap();
        let answer = baton.api().call::<()>(Method::DELETE, &format!("/v1/auth/links/{}", link.id), None).await;
        assert_eq!(answer.status, 204, "{answer}");
        assert_eq!(guest.until_closed().await.0, Some(4001));
        by_link.refused(Method::GET, "/v1/auth/me", &(), ErrorCode::Unauthenticated).await;
        // Another login of the same person is another.
        stays.claim(false).await.unwrap();
        stays.type_text("echo stays-$((1+1))\r").await;
        stays.until_output("stays-2").await;
    });
}

#[test]
fn a_login_that_is_over_ends_what_was_opened_with_it() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let page = sign_in(baton).await;
        let database = rusqlite::Connection::open(baton.home.database_file()).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        let until =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() + Duration::from_secs(10);
        let until_us = i64::try_from(until.as_micros()).unwrap();
        assert_eq!(database.execute("UPDATE logins SET expires_us = ?1", [until_us]).unwrap(), 1);
        drop(database);
        baton.kill_bridge().await;
        let mut stream = StreamClient::open(&page, session, Attach::named("page")).await.unwrap();
        let mut events = open_raw(&page, "/v1/events", &[]).await.unwrap();
        assert_eq!(stream.until_closed().await.0, Some(4001));
        assert_eq!(closed(&mut events).await, Some(4001));
        page.refused(Method::GET, "/v1/auth/me", &(), ErrorCode::Unauthenticated).await;
    });
}
