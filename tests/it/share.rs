//! Share links: one session, watched and nothing else, from where they say, until they end.

use std::time::Duration;

use base64::Engine as _;
use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Event, Link, LoginAnswer, Page as ListPage, SnapshotChoice};
use baton_proto::ids::{Cursor, SessionId};
use baton_tests::browser::Page;
use baton_tests::websocket::{find, open_raw, turned_away};
use baton_tests::{Api, Attach, Baton, Setup, StreamClient, scenario, session};
use futures_util::StreamExt as _;
use http::Method;
use serde_json::{Value, json};

/// The code of a link that was made for a session.
pub(crate) async fn link(api: &Api, session: SessionId, from: &str) -> String {
    code(&made(api, session, from, 600).await)
}

async fn made(api: &Api, session: SessionId, from: &str, ttl_s: u64) -> Link {
    let body = json!({"kind": "share", "session_id": session, "from": from, "ttl_s": ttl_s});
    api.post("/v1/auth/links", &body).await
}

pub(crate) fn code(link: &Link) -> String {
    let (page, fragment) = link.url.split_once('#').expect("the code is in the fragment, which browsers never send");
    assert!(!page.contains('?'), "{page}");
    fragment.split('&').find_map(|part| part.strip_prefix("share=")).expect("a code").to_owned()
}

/// Signs in with a code as the page does, with cookie and key.
pub(crate) async fn enter(nobody: &Api, code: &str) -> Api {
    let answer = nobody.call(Method::POST, "/v1/auth/login", Some(&json!({"code": code}))).await;
    assert_eq!(answer.status, 200, "{answer}");
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let login: LoginAnswer = answer.json();
    nobody.with("cookie", &cookie).with("x-baton-key", &login.key)
}

const BEFORE: &str = "before-2-the-link";
const AFTER: &str = "after-4-the-link";

/// Names its terminal, and says [`AFTER`].
const SAY: &str = "printf '\\033]2;now\\007'; echo after-$((2+2))-the-link\n";

/// A program that has printed [`BEFORE`] and does what it is told, and its typist. What it has printed is in no command line.
async fn shell(baton: &Baton) -> (SessionId, StreamClient) {
    let script =
        "stty -echo; x=bef; printf '\\a'; echo ${x}ore-$((1+1))-the-link; while read -r line; do eval \"$line\"; done";
    let session = baton.script(script).await;
    let mut typist = baton.attach(session, Attach::named("typist")).await;
    typist.claim(false).await.unwrap();
    typist.until_output(&format!("{BEFORE}\r\n")).await;
    (session, typist)
}

/// Tells it to say [`AFTER`].
async fn say(typist: &mut StreamClient) {
    typist.type_text(SAY).await;
    typist.until_output(&format!("{AFTER}\r\n")).await;
}

/// Whether some text, or its base64 at any place in a stream, is in an answer.
fn holds(body: &[u8], text: &str) -> bool {
    let encoded = (0..3).map(|shift| {
        let padded = [&b"   "[..shift], text.as_bytes()].concat();
        let whole = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&padded);
        whole[(shift * 4).div_ceil(3)..whole.len() - 2].to_owned()
    });
    find(body, text.as_bytes()).is_some() || encoded.into_iter().any(|part| find(body, part.as_bytes()).is_some())
}

#[test]
fn nothing_of_before_the_link_is_read_on_any_route() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton).await;
        let began = baton.session(session).await.session.created_at;
        // The mark is told a moment after the output that made it.
        let events = format!("/v1/sessions/{session}/events?limit=1000");
        let marked = |page: &ListPage<Event>| page.items.iter().any(|event| event.kind == "mark");
        let _: ListPage<Event> = baton.api().get_until(&events, marked).await;
        let guest = enter(&baton.nobody(), &link(&baton.api(), session, "here").await).await;
        let floor = typist.cursor();
        say(&mut typist).await;
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let zero = Cursor { offset: 0, ..floor };
        let near = Cursor { offset: floor.offset - 1, ..floor };

        // What is given has what came after, and nothing of before.
        for path in
            [at("output"), at("search?q=the-link&context=50"), at("recording.cast"), at("recording.cast?version=2")]
        {
            let answer = guest.call::<()>(Method::GET, &path, None).await;
            assert_eq!(answer.status, 200, "{path}: {answer}");
            assert!(holds(&answer.body, AFTER), "{path}: {answer}");
            assert!(!holds(&answer.body, BEFORE) && !holds(&answer.body, "before-"), "{path}: {answer}");
        }
        // The same routes show it to who may see all: the test looks for the right thing.
        for path in [at("output"), at("search?q=the-link"), at("recording.cast"), at("snapshot?format=text")] {
            let answer = baton.api().call::<()>(Method::GET, &path, None).await;
            assert!(holds(&answer.body, BEFORE), "{path}: {answer}");
        }
        // What asks for before is refused, and told where to begin.
        for path in [
            at(&format!("output?cursor={zero}")),
            at(&format!("output?cursor={near}")),
            at(&format!("output?at={began}")),
            at(&format!("search?q=the-link&cursor={zero}")),
            at(&format!("search?q=the-link&cursor={near}")),
            at(&format!("recording.cast?from={zero}")),
            at(&format!("recording.cast?from={near}")),
            at(&format!("recording.cast?from={began}")),
            at(&format!("recording.cast?from={began}&follow=true")),
        ] {
            let problem = guest.refused(Method::GET, &path, &(), ErrorCode::CursorTrimmed).await;
            assert_eq!(problem.oldest_cursor, Some(floor.to_string()), "{path}");
        }
        for cursor in [zero, near] {
            let body = json!({"until": {"pattern": "the-link", "cursor": cursor}, "timeout_s": 5});
            guest.refused(Method::POST, &at("wait"), &body, ErrorCode::CursorTrimmed).await;
        }
        for query in ["", "?format=text", "?format=json", "?format=html", "?scrollback=1000"]
            .into_iter()
            .map(str::to_owned)
            .chain([format!("?cursor={zero}"), format!("?at={began}"), format!("?cursor={floor}")])
        {
            guest.refused(Method::GET, &at(&format!("snapshot{query}")), &(), ErrorCode::Forbidden).await;
        }
        // The session seems to begin there.
        let shown: Value = guest.get(&format!("/v1/sessions/{session}")).await;
        assert_eq!(shown["oldest_cursor"], json!(floor));
        assert_eq!(shown["oldest_screen_cursor"], json!(floor));

        // Events: none of before, from the list and from the feed, whatever cursor is said.
        let page: ListPage<Event> = guest.get_until(&format!("{events}&cursor=0"), marked).await;
        let all: ListPage<Event> = baton.api().get(&events).await;
        let marks = |page: &ListPage<Event>| page.items.iter().filter(|event| event.kind == "mark").count();
        assert_eq!((marks(&all), marks(&page)), (2, 1));
        let said = serde_json::to_string(&page.items).unwrap();
        assert!(!said.contains("before-"), "{said}");
        let first = page.items[0].seq;
        let mut feed = open_raw(&guest, "/v1/events?cursor=0&output=1", &[]).await.unwrap();
        let event: Value = serde_json::from_str(feed.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
        assert!(event["seq"].as_u64().unwrap() >= first, "{event}");

        // The stream: every byte since, and no screen, whatever is asked for.
        for (snapshot, resume) in [
            (SnapshotChoice::Never, None),
            (SnapshotChoice::Never, Some(zero)),
            (SnapshotChoice::Auto, Some(near)),
            (SnapshotChoice::Always, None),
            (SnapshotChoice::Auto, None),
        ] {
            let attach = Attach { snapshot, resume, ..Attach::named("guest") };
            let mut client = StreamClient::open(&guest, session, attach).await.unwrap();
            client.until_output(AFTER).await;
            assert!(!holds(&client.output, BEFORE), "{snapshot:?} {resume:?}: {}", client.story());
            assert!(client.screens.is_empty(), "{snapshot:?} {resume:?}");
            client.send(ClientFrame::Claim { force: true }).await;
            assert_eq!(client.until_error().await.code, ErrorCode::Forbidden);
        }
        // It stays so in the next bridge.
        baton.kill_bridge().await;
        let answer = guest.call::<()>(Method::GET, &at("output"), None).await;
        assert!(answer.status == 200 && !holds(&answer.body, BEFORE) && holds(&answer.body, AFTER), "{answer}");
    });
}

#[test]
fn a_link_from_the_start_shows_all_of_its_session_and_nothing_else() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (session, _typist) = shell(baton).await;
        let code = link(&baton.api(), session, "start").await;
        let (guest, again) = (enter(&baton.nobody(), &code).await, enter(&baton.nobody(), &code).await);
        for guest in [&guest, &again] {
            for verb in ["output", "search?q=the-link", "recording.cast", "snapshot?format=text"] {
                let path = format!("/v1/terminal/sessions/{session}/{verb}");
                let answer = guest.call::<()>(Method::GET, &path, None).await;
                assert!(answer.status == 200 && holds(&answer.body, BEFORE), "{path}: {answer}");
            }
        }
        let other = baton.shell().await;
        guest.refused(Method::GET, &format!("/v1/sessions/{other}"), &(), ErrorCode::NotFound).await;
        // It makes nothing, not even another link.
        for kind in ["login", "share"] {
            let body = json!({"kind": kind, "session_id": session});
            guest.refused(Method::POST, "/v1/auth/links", &body, ErrorCode::Forbidden).await;
        }
    });
}

#[test]
fn when_a_link_ends_whoever_came_by_it_is_cut_off() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (session, _typist) = shell(baton).await;
        let owner = baton.api();
        let token: Value = owner.post("/v1/auth/tokens", &json!({"name": "friend", "role": "collaborator"})).await;
        let friend = baton.nobody().with_token(token["token"].as_str().unwrap());
        for how in ["deleted", "its token is deleted", "expired"] {
            let link = match how {
                "expired" => made(&owner, session, "here", 3).await,
                "deleted" => made(&owner, session, "here", 600).await,
                _ => made(&friend, session, "here", 600).await,
            };
            let code = code(&link);
            let guest = enter(&baton.nobody(), &code).await;
            let mut stream = StreamClient::open(&guest, session, Attach::named("guest")).await.unwrap();
            let mut feed = open_raw(&guest, "/v1/events", &[]).await.unwrap();
            let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
            // Begun, and still under way when the link ends.
            let (waiting, recording) = (guest.clone(), guest.clone());
            let body = json!({"until": {"pattern": "never"}, "timeout_s": 60});
            let path = at("wait");
            let waiting = tokio::spawn(async move { waiting.call(Method::POST, &path, Some(&body)).await });
            let path = at("recording.cast?follow=true");
            let recording = tokio::spawn(async move { recording.send(Method::GET, &path, None).await });
            match how {
                "expired" => {}
                "deleted" => {
                    let path = format!("/v1/auth/links/{}", link.id);
                    assert_eq!(owner.call::<()>(Method::DELETE, &path, None).await.status, 204);
                }
                _ => {
                    let path = format!("/v1/auth/tokens/{}", token["id"].as_str().unwrap());
                    assert_eq!(owner.call::<()>(Method::DELETE, &path, None).await.status, 204);
                }
            }
            assert_eq!(stream.until_closed().await.0, Some(4001), "{how}");
            while let Some(Ok(message)) = feed.next().await {
                if let tokio_tungstenite::tungstenite::Message::Close(close) = message {
                    assert_eq!(u16::from(close.unwrap().code), 4001, "{how}");
                }
            }
            assert_eq!(waiting.await.unwrap().problem().code, ErrorCode::Unauthenticated, "{how}");
            if let Ok(answer) = recording.await.unwrap() {
                assert_eq!(answer.status, 401, "{how}: a recording that goes on breaks off: {answer}");
            }
            guest.refused(Method::GET, "/v1/auth/me", &(), ErrorCode::Unauthenticated).await;
            assert_eq!(turned_away(&guest, "/v1/events", &[]).await, 4001, "{how}");
            let body = json!({"code": code});
            baton.nobody().refused(Method::POST, "/v1/auth/login", &body, ErrorCode::Unauthenticated).await;
            // Nor does it come back with the next bridge.
            if how == "deleted" {
                baton.kill_bridge().await;
                baton.nobody().refused(Method::POST, "/v1/auth/login", &body, ErrorCode::Unauthenticated).await;
            }
        }
    });
}

#[test]
fn a_share_is_a_persons_to_make_of_what_it_controls() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let token = async |body: Value| {
            let made: Value = baton.api().post("/v1/auth/tokens", &body).await;
            baton.nobody().with_token(made["token"].as_str().unwrap())
        };
        let body = json!({"kind": "share", "session_id": session});
        let viewer = token(json!({"name": "viewer", "role": "viewer"})).await;
        viewer.refused(Method::POST, "/v1/auth/links", &body, ErrorCode::Forbidden).await;
        let agent = token(json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let own: baton_proto::api::Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        for id in [session, own.session_id] {
            let body = json!({"kind": "share", "session_id": id});
            agent.refused(Method::POST, "/v1/auth/links", &body, ErrorCode::Forbidden).await;
        }
        for bad in [
            json!({"kind": "share"}),
            json!({"kind": "share", "session_id": session, "ttl_s": 0}),
            json!({"kind": "share", "session_id": session, "ttl_s": 2_592_001}),
            json!({"kind": "share", "session_id": session, "from": "yesterday"}),
            json!({"kind": "login", "from": "start"}),
            json!({"kind": "login", "ttl_s": 5}),
        ] {
            baton.api().refused(Method::POST, "/v1/auth/links", &bad, ErrorCode::Invalid).await;
        }
        // A link's code is not in the database as it is, nor does it outlive the token it was made with.
        let short = json!({"name": "short", "role": "collaborator", "expires_at": "2999-01-01T00:00:00.000Z"});
        let link = made(&token(short).await, session, "here", 2_592_000).await;
        assert!(link.expires_at.as_str() < "2999-01-01");
        baton.api().refused(Method::DELETE, "/v1/auth/links/lnk_none", &(), ErrorCode::NotFound).await;
    });
}

#[test]
fn the_command_line_makes_links_and_takes_them_back() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton).await;
        let name = baton.session(session).await.session.title;
        let made = baton.cli(["share", &name, "--json"]).await.json::<Link>();
        let floor = typist.cursor();
        let guest = enter(&baton.nobody(), &code(&made)).await;
        let mut watching = StreamClient::open(&guest, session, Attach::named("guest")).await.unwrap();
        say(&mut typist).await;
        watching.until_output(AFTER).await;
        assert!(!holds(&watching.output, BEFORE), "from here on, if nothing is said: {}", watching.story());
        for frame in [ClientFrame::Claim { force: false }, ClientFrame::Claim { force: true }] {
            watching.send(frame).await;
            assert_eq!(watching.until_error().await.code, ErrorCode::Forbidden, "it watches and nothing else");
        }
        let before = Cursor { offset: floor.offset - 1, ..floor };
        let path = format!("/v1/terminal/sessions/{session}/output?cursor={before}");
        guest.refused(Method::GET, &path, &(), ErrorCode::CursorTrimmed).await;

        // For people: the link is what is printed, and the rest is said beside it.
        let said = baton.cli(["share", &name, "--from", "start", "--ttl", "1h30m"]).await;
        assert_eq!((said.code, said.stdout.lines().count()), (Some(0), 1), "{said:?}");
        let url = said.stdout.trim().to_owned();
        let id = said.stderr.rsplit("baton share --revoke ").next().unwrap().trim().to_owned();
        let all = Link { id: id.clone(), url, expires_at: String::new() };
        let second = enter(&baton.nobody(), &code(&all)).await;
        let path = format!("/v1/terminal/sessions/{session}/output");
        let answer = second.call::<()>(Method::GET, &path, None).await;
        assert!(holds(&answer.body, BEFORE) && holds(&answer.body, AFTER), "{answer}");

        // It ends when it is taken back, that one and no other.
        let revoked = baton.cli(["share", "--revoke", &made.id]).await;
        assert_eq!((revoked.code, revoked.stdout.as_str()), (Some(0), ""), "{revoked:?}");
        assert_eq!(watching.until_closed().await.0, Some(4001));
        let body = json!({"code": code(&made)});
        baton.nobody().refused(Method::POST, "/v1/auth/login", &body, ErrorCode::Unauthenticated).await;
        assert_eq!(second.call::<()>(Method::GET, &path, None).await.status, 200);
        let _ = baton.cli(["share", "--revoke", &id]).await.ok();
        assert_eq!(second.call::<()>(Method::GET, &path, None).await.status, 401);

        // Whoever has lost an id finds it in the audit log, as the refusal says.
        let cases: [(&[&str], i32, &str); 5] = [
            (&["share", "--revoke", &id], 3, "baton audit --action link.create --json"),
            (&["share", "--revoke", "lnk/../.."], 3, ""),
            (&["share", "nobody"], 3, "nobody"),
            (&["share", &name, "--ttl", "31d"], 2, "--ttl"),
            (&["share", &name, "--ttl", "0"], 2, "--ttl"),
        ];
        for (args, exit, word) in cases {
            let output = baton.cli(args).await;
            assert_eq!((output.code, output.stdout.as_str()), (Some(exit), ""), "{args:?}: {output:?}");
            assert!(output.stderr.contains(word), "`{word}` in {output:?}");
        }
        let log = baton.cli(["audit", "--action", "link.create", "--json"]).await.ok();
        assert!(log.contains(&id) && log.contains(&made.id), "{log}");
    });
}

#[test]
fn the_page_opens_a_share_link_to_watch() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (session, mut typist) = shell(baton).await;
        let link = made(&baton.api(), session, "start", 600).await;
        let page = Page::open(&link.url).await;
        page.until_state("connection-state", "live").await;
        page.until_rows("what was there", |rows| rows.iter().any(|row| row == BEFORE)).await;
        typist.type_text(SAY).await;
        page.until_rows("what comes", |rows| rows.iter().any(|row| row == AFTER)).await;
        // Neither the code nor a way to type.
        let address = page.run("return location.href").await.unwrap();
        assert!(!address.as_str().unwrap().contains(&code(&link)), "{address}");
        assert!(!page.has("claim").await, "who has a share link can't ask for control");
        page.screenshot("share").await;
        let path = format!("/v1/auth/links/{}", link.id);
        assert_eq!(baton.api().call::<()>(Method::DELETE, &path, None).await.status, 204);
        page.element("login-token").await;
        page.close().await;
    });
}
