//! Secrets are where they belong and nowhere else: everything that Baton keeps is looked through for them, in clear and in the
//! usual encodings, after all of them were used, rightly and wrongly, with every log as talkative as it gets.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use baton_proto::api::{ExecAnswer, LeaseAnswer, Link, LoginAnswer};
use baton_tests::websocket::{find, open_raw};
use baton_tests::witness::read_below;
use baton_tests::{Attach, Baton, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::{Value, json};

/// A secret, in every form it is looked for.
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
    /// The file that it may be in.
    home: Option<PathBuf>,
}

impl Canary {
    fn new(name: &'static str, secret: &[u8], home: Option<PathBuf>) -> Self {
        let mut forms = vec![secret.to_vec()];
        let mut encode = |bytes: &[u8]| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            forms.push(hex.to_uppercase().into_bytes());
            forms.push(hex.into_bytes());
            // The last characters depend on what follows.
            for encoded in [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
                let encoded = encoded.trim_end_matches('=');
                forms.push(encoded.as_bytes()[..encoded.len() - 2].to_vec());
            }
        };
        encode(secret);
        if let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret) {
            encode(&bytes);
            forms.push(bytes);
        }
        Self { name, forms, home }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| find(bytes, form).is_some())
    }
}

#[test]
fn a_canary_is_found_in_each_of_its_forms() {
    let canary = Canary::new("test", b"AAECAwQFBgcICQoLDA0ODw", None);
    let raw: Vec<u8> = (0..16).collect();
    for form in [
        b"x AAECAwQFBgcICQoLDA0ODw y".to_vec(),
        raw.clone(),
        b"000102030405060708090a0b0c0d0e0f".to_vec(),
        b"000102030405060708090A0B0C0D0E0F".to_vec(),
        STANDARD.encode("AAECAwQFBgcICQoLDA0ODw").into_bytes(),
    ] {
        assert!(canary.is_in(&form));
    }
    assert!(!canary.is_in(b"nothing of it"));
}

#[test]
fn no_secret_is_in_a_log_an_event_a_journal_or_the_database() {
    let setup = Setup::plain().env("BATON_LOG", "trace");
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        let owner = baton.api();
        let nobody = baton.nobody();
        let mut canaries = vec![
            Canary::new("owner's token", baton.token.as_bytes(), Some(baton.home.token_file())),
            Canary::new("install key", &std::fs::read(baton.home.key_file()).unwrap(), Some(baton.home.key_file())),
        ];
        let made: Value = owner.post("/v1/auth/tokens", &json!({"name": "friend", "role": "collaborator"})).await;
        let token = made["token"].as_str().unwrap().to_owned();
        canaries.push(Canary::new("token", token.as_bytes(), None));
        let friend = nobody.with_token(&token);

        // Links of both kinds: one is used, the other not yet.
        let session = baton.shell().await;
        for kind in ["login", "share"] {
            for used in [true, false] {
                let link: Link = owner.post("/v1/auth/links", &json!({"kind": kind, "session_id": session})).await;
                let name = if kind == "login" { "code=" } else { "share=" };
                let code = link.url.split(name).nth(1).unwrap().split('&').next().unwrap().to_owned();
                canaries.push(Canary::new("code of a link", code.as_bytes(), None));
                if !used {
                    continue;
                }
                let answer = nobody.call(Method::POST, "/v1/auth/login", Some(&json!({"code": code}))).await;
                assert_eq!(answer.status, 200, "{answer}");
                let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
                let login: LoginAnswer = answer.json();
                canaries.push(Canary::new("cookie", cookie.split_once('=').unwrap().1.as_bytes(), None));
                canaries.push(Canary::new("key of a login", login.key.as_bytes(), None));
                let page = nobody.with("cookie", &cookie);
                let key = format!("baton.key.{}", login.key);
                let _socket = open_raw(&page, "/v1/events", &[&key]).await.expect("the page is let in");
                page.with("x-baton-key", &login.key).call::<()>(Method::GET, "/v1/sessions", None).await;
                // Wrong in every place where somebody might put it.
                for secret in [&code, &login.key] {
                    for (method, path) in [
                        (Method::GET, format!("/v1/auth/me?token={secret}")),
                        (Method::GET, format!("/v1/sessions/{secret}")),
                        (Method::GET, format!("/v1/sessions?cursor={secret}")),
                        (Method::DELETE, format!("/v1/auth/links/{secret}")),
                        (Method::DELETE, format!("/v1/auth/tokens/{secret}")),
                        (Method::DELETE, format!("/v1/sessions/{secret}")),
                        (Method::POST, format!("/v1/terminal/sessions/{secret}/close")),
                        (Method::GET, format!("/{secret}")),
                    ] {
                        owner.call::<()>(method, &path, None).await;
                    }
                }
                owner
                    .with("idempotency-key", "once")
                    .call(Method::POST, "/v1/auth/links", Some(&json!({"kind": "login"})))
                    .await;
            }
        }
        for wrong in [format!("{token}x"), format!("x{token}")] {
            nobody.with_token(&wrong).call::<()>(Method::GET, "/v1/sessions", None).await;
            nobody.call(Method::POST, "/v1/auth/login", Some(&json!({"token": wrong}))).await;
        }

        // A password, typed where the terminal does not show it, in a session that records what is typed.
        let password = "correct-horse-battery-staple-4711";
        canaries.push(Canary::new("password", password.as_bytes(), None));
        let request = json!({
            "command": ["/bin/sh", "-c", "stty -echo; echo ask; read -r word; stty echo; echo thanks; exec sleep 1000"],
            "record_input": true,
        });
        let asking: baton_proto::api::Created = friend.post("/v1/terminal/sessions", &request).await;
        let mut typist = StreamClient::open(&friend, asking.session_id, Attach::named("typist")).await.unwrap();
        typist.until_output("ask\r\n").await;
        typist.claim(false).await.unwrap();
        typist.type_text(&format!("{password}\n")).await;
        typist.until_output("thanks\r\n").await;

        // What a terminal shows is in its journal, and has no place in the database, under a key neither.
        let shown = "shown-8-on-the-terminal-only";
        let client = session::client_id();
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let _: LeaseAnswer = owner.post(&at("claim"), &json!({"client_id": client})).await;
        let body = json!({"client_id": client, "command": "echo shown-$((4+4))-on-the-terminal-only", "timeout_s": 20});
        let once = owner.with("idempotency-key", "exec-1");
        let answer: ExecAnswer = once.post(&at("exec"), &body).await;
        assert!(answer.output.contains(shown), "{answer:?}");
        let again = once.call(Method::POST, &at("exec"), Some(&body)).await;
        assert_eq!(again.status, 422, "done once, and not told twice: {again}");
        let wait = json!({"until": {"pattern": "shown-[0-9]-on-the-terminal-only", "cursor": answer.cursor_start}, "timeout_s": 20});
        let waited: Value = owner.with("idempotency-key", "wait-1").post(&at("wait"), &wait).await;
        assert!(waited["text"].as_str().unwrap().contains(shown), "{waited}");

        // A line that a shell tells of, and arguments; told to who may see the session, and in no row in clear.
        let typed = "typed-at-a-prompt-0815";
        let baton_program = baton_tests::binaries::path("baton");
        let integrate = format!("eval \"$('{}' shell-integration bash)\"", baton_program.display());
        for line in [integrate, format!(": {typed}")] {
            let body = json!({"client_id": client, "command": line, "timeout_s": 20});
            let answer: ExecAnswer = owner.post(&at("exec"), &body).await;
            assert_eq!(answer.exit_code, Some(0), "{answer:?}");
        }
        let marks = format!("/v1/sessions/{session}/events?type=mark&limit=1000");
        let _: Value = owner.get_until(&marks, |page: &Value| page.to_string().contains(typed)).await;
        let request = json!({"command": ["/bin/cat"], "resume_cmd": ["echo", typed]});
        let made_one: baton_proto::api::Created =
            owner.with("idempotency-key", "create-1").post("/v1/terminal/sessions", &request).await;
        let patch = owner.with("idempotency-key", "patch-1");
        let patched: Value =
            patch.patch(&format!("/v1/sessions/{}", made_one.session_id), &json!({"title": "mine"})).await;
        assert!(patched.to_string().contains(typed), "{patched}");

        // A revoked one and one that is signed out leave nothing either; then everything that waits is written.
        let path = format!("/v1/auth/tokens/{}", made["id"].as_str().unwrap());
        assert_eq!(owner.call::<()>(Method::DELETE, &path, None).await.status, 204);
        baton.kill_bridge().await;
        let exported = owner.call::<()>(Method::GET, "/v1/audit?format=jsonl", None).await;
        let mut events = Vec::new();
        for id in [session, asking.session_id] {
            let page = owner.call::<()>(Method::GET, &format!("/v1/sessions/{id}/events?limit=1000"), None).await;
            events.extend_from_slice(&page.body);
        }
        let files = read_below(&baton.scratch().join("b"));
        let names: Vec<_> = files.iter().map(|(file, _)| file).collect();
        assert!(files.len() >= 8, "{names:?}");
        assert!(names.iter().any(|file| file.to_string_lossy().contains("sqlite")), "{names:?}");
        let terminal = Canary::new("what a terminal showed", shown.as_bytes(), None);
        let line = Canary::new("what a shell ran", typed.as_bytes(), None);
        let mut looked = 0;
        for (file, bytes) in &files {
            looked += bytes.len();
            for canary in canaries.iter().filter(|canary| canary.home.as_ref() != Some(file)) {
                assert!(!canary.is_in(bytes), "the {} is in {}", canary.name, file.display());
            }
            let name = file.to_string_lossy();
            if name.contains("sqlite") || name.ends_with(".log") {
                assert!(!terminal.is_in(bytes), "{} is in {name}", terminal.name);
                assert!(!line.is_in(bytes), "{} is in {name}", line.name);
            }
        }
        for (what, bytes) in [("the audit log", exported.body.as_ref()), ("an event", &events)] {
            for canary in canaries.iter().chain([&terminal]) {
                assert!(!canary.is_in(bytes), "the {} is in {what}", canary.name);
            }
        }
        // The test finds what is there.
        for canary in &canaries[..2] {
            assert!(canary.is_in(&std::fs::read(canary.home.as_ref().unwrap()).unwrap()), "{}", canary.name);
        }
        assert!(files.iter().any(|(_, bytes)| terminal.is_in(bytes)), "its journal has it");
        println!("{} files of {looked} bytes, {} secrets", files.len(), canaries.len());
    });
}
