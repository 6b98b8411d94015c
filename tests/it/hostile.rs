//! Bytes that should not be: a clear error each, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{BINARY_SUBPROTOCOL, ClientFrame, ServerFrame, binary};
use baton_proto::frame::{HEADER_BYTES, Header, Kind};
use baton_proto::hello::Role;
use baton_proto::ids::{Epoch, SessionId};
use baton_proto::v1::{self, Failed};
use baton_tests::peer::Peer;
use baton_tests::websocket::{RawStream, UpgradeRefused, find, next_of, open_raw, stream_path, text};
use baton_tests::{Attach, Baton, Incoming, Seed, Setup, scenario, session};
use futures_util::SinkExt as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// Somebody who goes on working while others misbehave: each line typed comes back before the next is.
struct Neighbour {
    rounds: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Neighbour {
    async fn start(baton: &Baton) -> Self {
        let session = baton.script("stty -echo; echo ready; exec cat").await;
        let mut client = baton.attach(session, Attach::named("neighbour").binary()).await;
        client.until_output("ready\r\n").await;
        client.claim(false).await.unwrap();
        let rounds = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&rounds);
        let task = tokio::spawn(async move {
            loop {
                let line = format!("round {}", count.load(Ordering::Relaxed));
                client.type_text(&format!("{line}\n")).await;
                client.until_output(&format!("{line}\r\n")).await;
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { rounds, task }
    }

    /// Waits for some more rounds: what happened in between has not stopped it.
    async fn still_works(&self) {
        let wanted = self.rounds.load(Ordering::Relaxed) + 3;
        while self.rounds.load(Ordering::Relaxed) < wanted {
            assert!(!self.task.is_finished(), "the neighbour was disturbed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What a connection is told before it is closed: the error's code and the close code.
async fn told(socket: &mut RawStream) -> (Option<ErrorCode>, Option<u16>) {
    let mut code = None;
    loop {
        match tokio::time::timeout(Duration::from_secs(15), next_of(socket)).await.expect("told in time") {
            Incoming::Frame(ServerFrame::Error { code: told, message, .. }) => {
                assert!(!message.is_empty());
                code = Some(told);
            }
            Incoming::Closed { code: close, .. } => return (code, close),
            _ => {}
        }
    }
}

/// A stream past its `ready`, without the harness's own checks.
async fn greeted(baton: &Baton, session: SessionId, protocols: &[&str]) -> RawStream {
    let client = session::client_id();
    let mut socket = open_raw(&baton.api(), &stream_path(session, &client), protocols).await.unwrap();
    socket.send(text(&Attach::named("hostile").client(&client).hello())).await.unwrap();
    let first = next_of(&mut socket).await;
    assert!(matches!(first, Incoming::Frame(ServerFrame::Ready { .. })), "{first:?}");
    socket
}

#[test]
fn a_stream_begins_with_hello_or_ends() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let neighbour = Neighbour::start(baton).await;
        let session = baton.shell().await;
        let client = session::client_id();
        let path = stream_path(session, &client);
        let other = Attach::named("x").hello();
        let firsts = [
            ("another frame", text(&ClientFrame::Heartbeat), ErrorCode::HelloRequired),
            ("no JSON", Message::text("hello"), ErrorCode::Invalid),
            ("no object", Message::text("[]"), ErrorCode::Invalid),
            ("an unknown type", Message::text(r#"{"type":"hullo"}"#), ErrorCode::Invalid),
            ("no client id", Message::text(r#"{"type":"hello"}"#), ErrorCode::Invalid),
            ("another client id than the URL's", text(&other), ErrorCode::Invalid),
            ("bytes", Message::binary(vec![2; 40]), ErrorCode::HelloRequired),
            (
                "a cursor that is none",
                Message::text(json!({"type": "hello", "client_id": client, "resume_cursor": "x:y"}).to_string()),
                ErrorCode::Invalid,
            ),
        ];
        for (what, message, expected) in firsts {
            let mut socket = open_raw(&baton.api(), &path, &[]).await.unwrap();
            socket.send(message).await.unwrap();
            let (code, close) = told(&mut socket).await;
            assert!(code == Some(expected) || code == Some(ErrorCode::HelloRequired), "{what}: {code:?}");
            assert_eq!(close, Some(4000), "{what}");
        }
        // And nothing at all, for five seconds.
        let mut socket = open_raw(&baton.api(), &path, &[]).await.unwrap();
        let begun = std::time::Instant::now();
        assert_eq!(told(&mut socket).await, (Some(ErrorCode::HelloRequired), Some(4000)));
        assert!(begun.elapsed() >= Duration::from_secs(4), "closed after {:?}", begun.elapsed());
        neighbour.still_works().await;
    });
}

#[test]
fn a_stream_s_bad_frames_are_answered_and_harm_nobody() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let neighbour = Neighbour::start(baton).await;
        let session = baton.shell().await;
        let client = session::client_id();
        let input = |seq: u64, epoch: u64, bytes: &[u8]| {
            let mut message = vec![binary::INPUT];
            message.extend_from_slice(&seq.to_be_bytes());
            message.extend_from_slice(&epoch.to_be_bytes());
            message.extend_from_slice(bytes);
            Message::binary(message)
        };
        let cases: Vec<(&str, Message)> = vec![
            ("no JSON", Message::text("{")),
            ("an unknown type", Message::text(r#"{"type":"conquer"}"#)),
            ("a frame of the server's", Message::text(r#"{"type":"pong"}"#)),
            ("a second hello", text(&Attach::named("again").client(&client).hello())),
            ("input that is no base64", Message::text(r#"{"type":"input","data_b64":"%%","epoch":1}"#)),
            ("an epoch that is no number", Message::text(r#"{"type":"input","data_b64":"eA==","epoch":"x"}"#)),
            ("a size of nothing", text(&ClientFrame::Viewport { cols: 0, rows: 0 })),
            ("a size beyond any screen", text(&ClientFrame::Viewport { cols: 65535, rows: 65535 })),
            ("binary input too short for its header", Message::binary(vec![binary::INPUT, 0, 0])),
            ("a binary kind that nobody knows", Message::binary(vec![200; 64])),
            ("an empty binary message", Message::binary(Vec::new())),
            ("binary output from a client", Message::binary(vec![binary::DATA; 32])),
            ("an epoch from the future", input(1, u64::MAX, b"x")),
            ("deep JSON", Message::text("[".repeat(60_000))),
        ];
        for (what, message) in cases {
            let mut socket = greeted(baton, session, &[BINARY_SUBPROTOCOL]).await;
            socket.send(message).await.unwrap();
            // Told what is wrong; the connection may stay.
            let code = loop {
                match tokio::time::timeout(Duration::from_secs(15), next_of(&mut socket)).await.expect("told in time") {
                    Incoming::Frame(ServerFrame::Error { code, message, .. }) => {
                        assert!(!message.is_empty());
                        break code;
                    }
                    Incoming::Closed { code, reason } => panic!("{what}: closed without an error, {code:?} {reason}"),
                    _ => {}
                }
            };
            assert!(
                matches!(code, ErrorCode::Invalid | ErrorCode::NotOwner | ErrorCode::LeaseLost),
                "{what}: `{code}`"
            );
        }
        // More than any frame may have.
        for len in [4 << 20, 64 << 20] {
            let mut socket = greeted(baton, session, &[]).await;
            // The bridge may close before it is all sent.
            let _ = socket.send(Message::text("x".repeat(len))).await;
            let (code, _) = told(&mut socket).await;
            assert!(matches!(code, None | Some(ErrorCode::TooLarge | ErrorCode::Invalid)), "{code:?}");
        }
        neighbour.still_works().await;
        assert!(baton.session(session).await.session.lease.is_none());
    });
}

#[test]
fn a_stream_that_cannot_be_is_refused_with_its_reason() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let client = session::client_id();
        let no_session = stream_path(SessionId::from_uuid(uuid::Uuid::now_v7()), &client);
        let cases = [
            (no_session, 404, 4004),
            (format!("/v1/terminal/streams/ses_nonsense?client_id={client}"), 404, 4004),
            (format!("/v1/terminal/streams/{session}?client_id=bob"), 400, 4000),
            (format!("/v1/terminal/streams/{session}"), 400, 4000),
            (format!("/v1/terminal/streams/{session}?client_id={client}&cursor=x"), 400, 4000),
        ];
        for (path, status, close) in cases {
            match open_raw(&baton.api(), &path, &[]).await {
                Err(err) => {
                    let refused = err.downcast::<UpgradeRefused>().expect("an answer");
                    assert!(refused.status == status || (status == 400 && refused.status == 404), "{path}: {refused}");
                    let problem: baton_proto::api::Problem = serde_json::from_slice(&refused.body).expect("a problem");
                    assert!(!problem.detail.is_empty());
                }
                Ok(mut socket) => {
                    socket.send(text(&Attach::named("x").client(&client).hello())).await.unwrap();
                    assert_eq!(told(&mut socket).await.1, Some(close), "{path}");
                }
            }
        }
        // A cursor of another life of the program is no error: the client is told to begin anew.
        let foreign = baton_proto::ids::Cursor {
            instance: baton_proto::ids::InstanceId::from_uuid(uuid::Uuid::now_v7()),
            offset: 5,
        };
        let socket = open_raw(&baton.api(), &stream_path(session, &client), &[]).await;
        let mut socket = socket.unwrap();
        socket.send(text(&Attach::named("x").client(&client).resume(foreign).hello())).await.unwrap();
        match next_of(&mut socket).await {
            Incoming::Frame(ServerFrame::Ready { restarted, .. }) => assert_eq!(restarted, Some(true)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn bad_requests_have_good_answers() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let neighbour = Neighbour::start(baton).await;
        let session = baton.shell().await;
        let api = baton.api();
        let claim = format!("/v1/terminal/sessions/{session}/claim");
        for body in [&b""[..], b"{", b"null", b"\xff\xfe", b"{\"client_id\":5}", "[".repeat(100_000).as_bytes()] {
            let answer = api.send(http::Method::POST, &claim, Some(body.to_vec())).await.unwrap();
            assert_eq!(answer.problem().code, ErrorCode::Invalid, "{answer}");
        }
        let answer = api.send(http::Method::POST, &claim, Some(vec![b' '; 32 << 20])).await;
        if let Ok(answer) = answer {
            assert_eq!(answer.problem().code, ErrorCode::TooLarge, "{answer}");
        }
        let answer = api
            .with("content-type", "text/plain")
            .call(http::Method::POST, &claim, Some(&json!({"client_id": session::client_id()})))
            .await;
        assert_eq!(answer.problem().code, ErrorCode::Invalid, "a form of another page cannot send JSON: {answer}");
        for (method, path) in [
            (http::Method::GET, "/v1/nothing".to_owned()),
            (http::Method::GET, "/v1/sessions/ses_00000000000000000000000000000000".to_owned()),
            (http::Method::POST, "/v1/terminal/sessions/ses_00000000000000000000000000000000/close".to_owned()),
        ] {
            api.refused(method, &path, &json!({}), ErrorCode::NotFound).await;
        }
        let output = format!("/v1/terminal/sessions/{session}/output");
        for query in ["?cursor=x", "?cursor=ins_1:5", "?limit=-1", "?limit=x"] {
            api.refused(http::Method::GET, &format!("{output}{query}"), &(), ErrorCode::Invalid).await;
        }
        let answer = api.call::<()>(http::Method::PUT, &claim, None).await;
        assert_eq!(answer.status, 405, "{answer}");
        // Bytes that are no HTTP at all.
        for garbage in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET\r\n\r\n",
            &[b'A'; 100_000],
            b"GET / HTTP/9.9\r\n\r\n",
        ] {
            let mut socket = baton.place().connect().await.unwrap();
            let _ = socket.write_all(garbage).await;
            let mut said = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut said))
                .await
                .expect("answered or closed");
            assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&said));
        }
        neighbour.still_works().await;
    });
}

#[test]
fn bad_frames_on_local_sockets_close_one_connection() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let neighbour = Neighbour::start(baton).await;
        let session = baton.shell().await;
        let mut watcher = baton.attach(session, Attach::named("watcher")).await;
        let pid = baton.session(session).await.session.pid;
        let mut seed = Seed::from_env();
        let header = |kind: u16, len: u32| Header { kind, len, at: 1, ..Header::default() }.to_bytes().to_vec();
        let reserved = {
            let mut bytes = header(Kind::Inspect.number(), 0);
            bytes[46] = 1;
            bytes
        };
        let mut cases: Vec<(String, Vec<u8>)> = vec![
            ("a record of an unknown kind".into(), header(31, 4)),
            ("four gibibytes announced".into(), header(Kind::Attach.number(), u32::MAX)),
            ("a little more than allowed".into(), header(Kind::Inspect.number(), 64 * 1024 + 1)),
            ("input beyond its bound".into(), header(Kind::Input.number(), 10 << 20)),
            ("a reserved byte".into(), reserved),
            ("a body that is none".into(), [header(Kind::Claim.number(), 3), vec![0xFF; 3]].concat()),
            ("a body with bytes behind it".into(), [header(Kind::Inspect.number(), 8), vec![0; 8]].concat()),
            ("input shorter than its header".into(), [header(Kind::Input.number(), 5), vec![0; 5]].concat()),
            ("the handshake again".into(), header(Kind::Accepted.number(), 0)),
            ("an answer instead of a request".into(), header(Kind::Done.number(), 0)),
            ("output from a client".into(), [header(Kind::Output.number(), 5), b"hello".to_vec()].concat()),
            ("text".into(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n                      ".to_vec()),
        ];
        for n in 0..40 {
            let len = usize::try_from(seed.within(1..400)).unwrap();
            cases.push((format!("noise {n}"), seed.bytes(len)));
        }
        for socket in [baton.worker_socket(session), baton.sessiond_socket()] {
            for (what, bytes) in &cases {
                // Before the handshake.
                let mut peer = Peer::connect(&socket).await.unwrap();
                peer.send_raw(bytes).await.unwrap();
                if bytes.len() >= HEADER_BYTES {
                    let said = peer.until_closed().await.unwrap_or_else(|err| panic!("{what}: {err:#}"));
                    assert!(said.iter().all(|message| message.kind() == Some(Kind::Refused)), "{what}: {said:?}");
                }
                // After it.
                let mut peer = Peer::connect(&socket).await.unwrap();
                peer.handshake(&baton.key(), Role::Cli).await.unwrap();
                let _ = peer.send_raw(bytes).await;
                // Then one honest request: answered if what came before it was only refused or ignored; else the
                // connection is closed. Nothing hangs.
                let _ = peer.send(Kind::Inspect, 99, &v1::Inspect {}).await;
                let _ = peer.send(Kind::AskStatus, 100, &v1::AskStatus {}).await;
                if bytes.len() >= HEADER_BYTES {
                    let first = tokio::time::timeout(Duration::from_secs(10), peer.next()).await;
                    assert!(first.is_ok(), "{what}: neither an answer nor a close");
                }
            }
        }
        // Unknown control messages are ignored: a newer peer may speak to an older one.
        let mut peer = baton.worker_peer(session).await;
        peer.send_raw(&[header(500, 4), vec![1; 4]].concat()).await.unwrap();
        let inspection: v1::Inspection = peer.ask(Kind::Inspect, &v1::Inspect {}, Kind::Inspection).await;
        assert_eq!(Some(inspection.program_pid), pid);
        // Requests that make no sense here: refused one by one, on a connection that stays.
        let nobody = v1::Attachment(u64::MAX);
        let claim = v1::Claim { attachment: nobody, force: true, if_epoch: None, request: 0 };
        let refused: Failed = peer.ask(Kind::Claim, &claim, Kind::Failed).await;
        assert_eq!(refused.code, ErrorCode::ClientNotAttached);
        let signal = v1::SignalRequest { attachment: nobody, epoch: Some(Epoch(1)), signal: 9 };
        let _: Failed = peer.ask(Kind::Signal, &signal, Kind::Failed).await;
        let range = v1::ReadRange { from: u64::MAX, max_bytes: u32::MAX };
        let answer = peer.request(Kind::ReadRange, &range).await.unwrap();
        assert!(matches!(answer.kind(), Some(Kind::Range | Kind::Failed)));

        // The one whose worker it was, everybody's neighbour, and both processes are where they were.
        watcher.claim(false).await.unwrap();
        watcher.type_text("echo undisturbed-$((1+1))\r").await;
        watcher.until_output("undisturbed-2").await;
        assert_eq!(baton.session(session).await.session.pid, pid);
        neighbour.still_works().await;
    });
}

/// Ten thousand, or as many at once as this machine's limit on descriptors lets one process have.
#[test]
fn ten_thousand_connections_are_each_told_what_is_wrong() {
    const CONNECTIONS: usize = 10_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    // The bound on requests would be an answer too; what is asked here is whether each gets its own.
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "1000000");
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let neighbour = Neighbour::start(baton).await;
        let session = baton.shell().await;
        let bridge = baton.bridge().await;
        let before = bridge.pss_bytes();
        let at_once = usize::try_from(hard).unwrap_or(CONNECTIONS).saturating_sub(500).min(CONNECTIONS);
        let host = baton.place().host();
        let path = stream_path(session, &session::client_id());
        // What is sent, and the word that the answer must have.
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let requests: Vec<(String, &str)> = vec![
            (format!("GET /v1/sessions HTTP/1.1\r\nHost: {host}\r\n\r\n"), "unauthenticated"),
            (format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n\r\n"), "unauthenticated"),
            ("GET /v1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "forbidden"),
            (format!("GET /v1/health HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n\r\n"), "forbidden"),
            ("NONSENSE\r\n\r\n".to_owned(), "HTTP/1.1 400"),
            (
                format!(
                    "POST /v1/auth/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
                ),
                "invalid",
            ),
        ];
        let requests = Arc::new(requests);
        // All are open before the first one speaks.
        let begun = std::time::Instant::now();
        let opening = (0..at_once).map(|n| {
            let place = baton.place();
            tokio::spawn(async move { place.connect().await.unwrap_or_else(|err| panic!("connection {n}: {err}")) })
        });
        let opening: Vec<_> = opening.collect();
        let mut open = Vec::with_capacity(at_once);
        for connection in opening {
            open.push(connection.await.unwrap());
        }
        println!("{} connections at once, open after {:?}", open.len(), begun.elapsed());
        neighbour.still_works().await;
        // The word, or all that was said instead.
        let speak = |n: usize, mut socket: Box<dyn baton_tests::http::Socket>| {
            let requests = Arc::clone(&requests);
            async move {
                let (request, expected) = &requests[n % requests.len()];
                let _ = socket.write_all(request.as_bytes()).await;
                let mut said = Vec::new();
                while find(&said, expected.as_bytes()).is_none() {
                    if said.len() > 64 * 1024 || !matches!(socket.read_buf(&mut said).await, Ok(1..)) {
                        return (String::from_utf8_lossy(&said).into_owned(), false);
                    }
                }
                ((*expected).to_owned(), true)
            }
        };
        let speaking: Vec<_> = open.into_iter().enumerate().map(|(n, socket)| tokio::spawn(speak(n, socket))).collect();
        let mut told = std::collections::BTreeMap::<String, u32>::new();
        let mut wrong = 0;
        let mut count = |(said, right): (String, bool)| {
            wrong += u32::from(!right);
            *told.entry(said).or_default() += 1;
        };
        for speaker in speaking {
            count(speaker.await.unwrap());
        }
        // The rest, where not all could be open at once.
        for n in at_once..CONNECTIONS {
            count(speak(n, baton.place().connect().await.unwrap()).await);
        }
        println!("{told:?}; the bridge grew by {} KiB", bridge.pss_bytes().saturating_sub(before) / 1024);
        assert_eq!(wrong, 0, "{told:?}");
        neighbour.still_works().await;
        assert!(bridge.is_alive());
    });
}
