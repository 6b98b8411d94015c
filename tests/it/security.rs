//! Who is let in, and who is not.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, KEY_SUBPROTOCOL_PREFIX, Link, LoginAnswer, PrincipalRole, ServerFrame};
use baton_proto::frame::{Header, Kind};
use baton_proto::hello::{InstallKey, Proof, Role};
use baton_proto::ids::ClientId;
use baton_proto::v1::Failed;
use baton_tests::http::Place;
use baton_tests::peer::Peer;
use baton_tests::websocket::{open_raw, stream_path, turned_away};
use baton_tests::{Api, Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use futures_util::SinkExt as _;
use http::Method;
use serde_json::json;

const ME: &str = "/v1/auth/me";

/// Signs in as the page does; the cookie's `name=value` and the key.
async fn sign_in(baton: &Baton) -> (String, String) {
    let answer = baton.nobody().call(Method::POST, "/v1/auth/login", Some(&json!({"token": baton.token}))).await;
    assert_eq!(answer.status, 200, "{answer}");
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    for attribute in ["httponly", "samesite=strict", "path=/"] {
        assert!(cookie.to_lowercase().contains(attribute), "`{attribute}` in `{cookie}`");
    }
    let login: LoginAnswer = answer.json();
    assert_eq!(login.principal.role, PrincipalRole::Owner);
    assert!(!cookie.contains(&login.key), "the key is not in the cookie");
    (cookie.split(';').next().unwrap().to_owned(), login.key)
}

#[test]
fn a_cookie_from_another_port_of_this_host_is_worth_nothing() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let (cookie, key) = sign_in(baton).await;
        let nobody = baton.nobody();
        let with_cookie = nobody.with("cookie", &cookie);
        let page = with_cookie.with("x-baton-key", &key);
        assert_eq!(page.call::<()>(Method::GET, ME, None).await.status, 200);

        // What a browser sends for a page on another port: our cookie, since cookies ignore ports, and no key.
        with_cookie.refused(Method::GET, "/v1/sessions", &(), ErrorCode::Unauthenticated).await;
        with_cookie.refused(Method::POST, "/v1/terminal/sessions", &json!({}), ErrorCode::Unauthenticated).await;
        with_cookie.with("x-baton-key", "guessed").refused(Method::GET, ME, &(), ErrorCode::Unauthenticated).await;
        nobody.with("x-baton-key", &key).refused(Method::GET, ME, &(), ErrorCode::Unauthenticated).await;
        let path = stream_path(session, &session::client_id());
        assert_eq!(turned_away(&with_cookie, &path, &[]).await, 4001);
        let other_key = format!("{KEY_SUBPROTOCOL_PREFIX}guessed");
        assert_eq!(turned_away(&with_cookie, &path, &[&other_key]).await, 4001);

        // And where it says where it comes from, not even with the key; nor with a token.
        for origin in ["http://127.0.0.1:3000", "http://localhost:3000", "https://evil.example", "null"] {
            page.with("origin", origin).refused(Method::GET, ME, &(), ErrorCode::Forbidden).await;
            page.with("origin", origin)
                .refused(Method::POST, "/v1/terminal/sessions", &json!({}), ErrorCode::Forbidden)
                .await;
            baton.api().with("origin", origin).refused(Method::GET, ME, &(), ErrorCode::Forbidden).await;
            let right_key = format!("{KEY_SUBPROTOCOL_PREFIX}{key}");
            assert_eq!(turned_away(&with_cookie.with("origin", origin), &path, &[&right_key]).await, 4003);
        }

        // The page itself: its own origin, its key as a subprotocol.
        let own = with_cookie.with("origin", &baton.url);
        let right_key = format!("{KEY_SUBPROTOCOL_PREFIX}{key}");
        let client = session::client_id();
        let mut socket =
            open_raw(&own, &stream_path(session, &client), &[&right_key]).await.expect("the page is let in");
        socket.send(baton_tests::websocket::text(&Attach::named("page").client(&client).hello())).await.unwrap();
        let first = baton_tests::websocket::next_of(&mut socket).await;
        assert!(matches!(first, Incoming::Frame(ServerFrame::Ready { .. })), "{first:?}");

        // Signed out, the pair is worth nothing.
        assert!(page.call::<()>(Method::POST, "/v1/auth/logout", None).await.status < 300);
        page.refused(Method::GET, ME, &(), ErrorCode::Unauthenticated).await;
    });
}

#[test]
fn a_name_that_is_rebound_to_loopback_is_refused() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let port = baton.url.rsplit(':').next().unwrap();
        for host in
            ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")]
        {
            for api in [baton.api(), baton.nobody()] {
                for path in [ME, "/v1/health", "/"] {
                    let answer = api.with("host", &host).call::<()>(Method::GET, path, None).await;
                    assert_eq!(answer.status, 403, "{path} for the host `{host}`: {answer}");
                }
            }
        }
        for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
            assert_eq!(baton.api().with("host", &host).call::<()>(Method::GET, ME, None).await.status, 200, "{host}");
        }
    });
}

#[test]
fn a_token_is_needed_for_everything_but_the_door() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let places = [baton.place(), Place::Unix(baton.socket.clone())];
        for place in places {
            let nobody = Api::anonymous(place.clone());
            assert_eq!(nobody.call::<()>(Method::GET, "/v1/health", None).await.status, 200);
            let page = nobody.call::<()>(Method::GET, "/", None).await;
            assert!(page.status == 200 && page.header("content-type").unwrap().starts_with("text/html"), "{page}");
            let policy = page.header("content-security-policy").expect("the page has a content security policy");
            assert!(!policy.contains("unsafe-eval") && policy.contains("default-src"), "{policy}");
            for api in [nobody.clone(), nobody.with_token("wrong"), nobody.with("authorization", "Basic eDp5")] {
                for (method, path) in [
                    (Method::GET, "/v1/sessions".to_owned()),
                    (Method::GET, "/v1/status".to_owned()),
                    (Method::GET, ME.to_owned()),
                    (Method::GET, "/v1/openapi.json".to_owned()),
                    (Method::GET, format!("/v1/sessions/{session}")),
                    (Method::GET, format!("/v1/terminal/sessions/{session}/output")),
                    (Method::POST, format!("/v1/terminal/sessions/{session}/close")),
                    (Method::POST, "/v1/terminal/sessions".to_owned()),
                    (Method::POST, "/v1/auth/links".to_owned()),
                    (Method::DELETE, format!("/v1/sessions/{session}")),
                ] {
                    api.refused(method, &path, &json!({}), ErrorCode::Unauthenticated).await;
                }
                assert_eq!(turned_away(&api, &stream_path(session, &session::client_id()), &[]).await, 4001);
            }
            assert_eq!(nobody.with_token(&baton.token).call::<()>(Method::GET, ME, None).await.status, 200);
            // A token in a query is in logs and histories: it is not looked at.
            nobody.refused(Method::GET, &format!("{ME}?token={}", baton.token), &(), ErrorCode::Unauthenticated).await;
        }
        assert_eq!(baton.session(session).await.session.status, baton_proto::api::SessionStatus::Running);
        for wrong in [json!({"token": "wrong"}), json!({"code": "wrong"})] {
            baton.nobody().refused(Method::POST, "/v1/auth/login", &wrong, ErrorCode::Unauthenticated).await;
        }
        for bad in [json!({}), json!({"token": baton.token, "code": "x"}), json!({"token": 5})] {
            baton.nobody().refused(Method::POST, "/v1/auth/login", &bad, ErrorCode::Invalid).await;
        }
    });
}

#[test]
fn a_login_link_works_once() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login"})).await;
        let (url, fragment) = link.url.split_once('#').expect("the code is in the fragment, which browsers never send");
        assert!(url.starts_with(&baton.url), "{}", link.url);
        let code = fragment.split('&').find_map(|part| part.strip_prefix("code=")).expect("a code");
        let nobody = baton.nobody();
        let login: LoginAnswer = nobody.post("/v1/auth/login", &json!({"code": code})).await;
        assert!(!login.key.is_empty());
        nobody.refused(Method::POST, "/v1/auth/login", &json!({"code": code}), ErrorCode::Unauthenticated).await;
        // One that was made for a session names it, and one that was deleted is none.
        let session = baton.shell().await;
        let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login", "session_id": session})).await;
        assert!(link.url.contains(&session.to_string()), "{}", link.url);
        let answer = baton.api().call::<()>(Method::DELETE, &format!("/v1/auth/links/{}", link.id), None).await;
        assert!(answer.status < 300, "{answer}");
        let code = link.url.split("code=").nth(1).unwrap().split('&').next().unwrap();
        nobody.refused(Method::POST, "/v1/auth/login", &json!({"code": code}), ErrorCode::Unauthenticated).await;
    });
}

#[test]
fn a_newer_connection_with_the_same_client_id_takes_the_olders_place() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut older = baton.attach(session, Attach::named("older")).await;
        let held = older.claim(false).await.unwrap();
        let mut newer = baton.attach(session, Attach::named("newer").client(&older.id).binary()).await;
        assert_eq!((newer.ready.owner.as_ref(), newer.ready.epoch), (Some(&older.id), held.epoch), "the lease is kept");
        assert_eq!(older.until_error().await.code, ErrorCode::Replaced);
        assert_eq!(older.until_closed().await.0, Some(4009));
        newer.type_text("echo taken-$((1+1))\r").await;
        newer.until_output("taken-2").await;
        assert_eq!(baton.session(session).await.clients.len(), 1);
        // An agent's id is for that agent's token only.
        let agent: ClientId = "agent:fixer".parse().unwrap();
        let taken = StreamClient::open(&baton.api(), session, Attach::named("not an agent").client(&agent)).await;
        match taken {
            Ok(_) => panic!("a person's token speaks for an agent"),
            Err(err) => assert!(format!("{err:#}").contains("client_id_taken"), "{err:#}"),
        }
        let body = json!({"client_id": "agent:fixer"});
        baton
            .api()
            .refused(Method::POST, &format!("/v1/terminal/sessions/{session}/claim"), &body, ErrorCode::ClientIdTaken)
            .await;
    });
}

/// Sockets that want the install key.
async fn local_sockets(baton: &Baton) -> Vec<PathBuf> {
    let session = baton.shell().await;
    vec![baton.worker_socket(session), baton.sessiond_socket()]
}

#[test]
fn the_same_uid_without_the_key_gets_nowhere() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let sockets = local_sockets(baton).await;
        let key = baton.key();
        for socket in &sockets {
            // A key of one's own: the listener's proof does not fit it, and the listener does not believe ours.
            let wrong = InstallKey::new([7; 32]);
            let mut peer = Peer::connect(socket).await.unwrap();
            let hello = Peer::hello(Role::Bridge);
            let welcome = peer.greet(&hello).await.unwrap();
            assert!(key.believes_listener(&hello, &welcome) && !wrong.believes_listener(&hello, &welcome));
            let proof = wrong.dialler_proof(&hello, welcome.version, &welcome.nonce);
            peer.send(Kind::Proof, 0, &Proof { proof }).await.unwrap();
            let said = peer.until_closed().await.unwrap();
            assert_eq!(said.len(), 1, "{}: {said:?}", socket.display());
            assert_eq!(said[0].kind(), Some(Kind::Refused));
            assert!(!said[0].body::<Failed>().message.is_empty());

            // The listener's proof sent back, and a proof for another role.
            for reflected in [true, false] {
                let mut peer = Peer::connect(socket).await.unwrap();
                let hello = Peer::hello(Role::Bridge);
                let welcome = peer.greet(&hello).await.unwrap();
                let grown =
                    baton_proto::hello::Hello { role: Role::Supervisor { generation: u64::MAX }, ..hello.clone() };
                let proof =
                    if reflected { welcome.proof } else { key.dialler_proof(&grown, welcome.version, &welcome.nonce) };
                peer.send(Kind::Proof, 0, &Proof { proof }).await.unwrap();
                let said = peer.until_closed().await.unwrap();
                assert!(said.iter().all(|message| message.kind() == Some(Kind::Refused)), "{said:?}");
            }

            // A request instead of a proof, and one instead of a hello.
            let mut peer = Peer::connect(socket).await.unwrap();
            peer.greet(&Peer::hello(Role::Bridge)).await.unwrap();
            peer.send(Kind::Inspect, 1, &baton_proto::v1::Inspect {}).await.unwrap();
            let said = peer.until_closed().await.unwrap();
            assert!(said.iter().all(|message| message.kind() == Some(Kind::Refused)), "{said:?}");
            let mut peer = Peer::connect(socket).await.unwrap();
            peer.send(Kind::ListSessions, 1, &baton_proto::v1::ListSessions {}).await.unwrap();
            let said = peer.until_closed().await.unwrap();
            assert!(said.iter().all(|message| message.kind() == Some(Kind::Refused)), "{said:?}");

            // No version in common.
            let mut peer = Peer::connect(socket).await.unwrap();
            let future = baton_proto::hello::Hello { version_min: 900, version_max: 901, ..Peer::hello(Role::Bridge) };
            let refused = peer.greet(&future).await.unwrap_err();
            assert!(format!("{refused:#}").contains("Refused"), "{refused:#}");

            // With the key it is let in.
            Peer::connect(socket).await.unwrap().handshake(&key, Role::Bridge).await.expect("the key opens");
        }
    });
}

#[test]
fn who_says_nothing_is_shown_out() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let sockets = local_sockets(baton).await;
        let begun = Instant::now();
        let mut silent = Vec::new();
        for socket in &sockets {
            silent.push(Peer::connect(socket).await.unwrap());
            let mut half = Peer::connect(socket).await.unwrap();
            half.send_raw(&Header::message(Kind::Hello, 0, 100).to_bytes()).await.unwrap();
            silent.push(half);
            let mut greeted = Peer::connect(socket).await.unwrap();
            greeted.greet(&Peer::hello(Role::Bridge)).await.unwrap();
            silent.push(greeted);
        }
        for mut peer in silent {
            let said = peer.until_closed().await.unwrap();
            assert!(said.iter().all(|message| message.kind() == Some(Kind::Refused)), "{said:?}");
        }
        let after = begun.elapsed();
        assert!(after >= Duration::from_secs(4) && after < Duration::from_secs(15), "closed after {after:?}");
    });
}

#[test]
fn nobody_else_can_read_what_is_baton_s() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut client = baton.attach(session, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("umask; env\r").await;
        client.until_output("BATON").await;
        let mut looked_at = 0;
        let mut directories = vec![baton.home.state.clone(), baton.home.runtime.clone()];
        for directory in &directories {
            assert_eq!(
                std::fs::metadata(directory).unwrap().permissions().mode() & 0o777,
                0o700,
                "{}",
                directory.display()
            );
        }
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap().flatten() {
                // What has gone since is no longer there to be read.
                let Ok(metadata) = entry.metadata() else { continue };
                let (kind, mode) = (metadata.file_type(), metadata.permissions().mode() & 0o777);
                let expected = if kind.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode, expected, "{} has the mode {mode:o}", entry.path().display());
                if kind.is_dir() {
                    directories.push(entry.path());
                }
                looked_at += u32::from(kind.is_file() || kind.is_socket());
            }
        }
        assert!(looked_at >= 8, "{looked_at} files and sockets");
        // No secret in what a session's programs can see of their own environment, nor on any command line.
        let key = std::fs::read(baton.home.key_file()).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for process in baton_tests::process::with_environment(&baton.mark()) {
            let line = process.command_line();
            let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            for secret in [baton.token.as_str(), hex.as_str()] {
                assert!(!line.contains(secret), "a secret on the command line `{line}`");
                assert!(
                    !String::from_utf8_lossy(&environment).contains(secret),
                    "a secret in the environment of `{line}`"
                );
            }
        }
        // Descriptors that a session's program has beyond its terminal: none.
        let shell = baton.session(session).await.session.pid.unwrap();
        for entry in std::fs::read_dir(format!("/proc/{shell}/fd")).unwrap().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            let own = target.starts_with("/dev/pts/") || target.starts_with("/dev/tty");
            assert!(own, "the shell has the descriptor {:?} on `{target}`", entry.file_name());
        }
        client.send(ClientFrame::Detach).await;
        client.until_closed().await;
    });
}

#[test]
fn the_bind_address_is_loopback_unless_said_otherwise() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let home = baton.scratch().join("other");
        let mut command = baton.command(["up"]);
        command.env("BATON_HOME", &home).env("BATON_LISTEN", "0.0.0.0:0");
        let output = tokio::process::Command::from(command).output().await.unwrap();
        assert_ne!(output.status.code(), Some(0), "an address that is not loopback needs `server.allow_remote`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("allow_remote"), "the message says what to do: {said}");
    });
}
