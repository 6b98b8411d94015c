//! Baton behind what stands in front of it: a reverse proxy with TLS and a password, as `docs/operations.md` has it word for
//! word, and a stand-in for `tailscale serve`. Headers that others forge are worth nothing.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::{AuditRow, Link, LoginAnswer, Page as ListPage, PrincipalRole, ServerFrame};
use baton_proto::ids::SessionId;
use baton_tests::browser::Page;
use baton_tests::http::{Place, Tls};
use baton_tests::own_network::again_in_own_network;
use baton_tests::websocket::{next_of, open_raw, stream_path, text, turned_away};
use baton_tests::{Api, Attach, Baton, Incoming, Setup, scenario, session};
use futures_util::SinkExt as _;
use http::Method;
use serde_json::{Value, json};

const NAME: &str = "baton.example.org";
const TAILNET_NAME: &str = "machine.tailnet-name.ts.net";
const LOGIN: &str = "/v1/auth/login";
const ME: &str = "/v1/auth/me";

/// The block of `docs/operations.md` in this language that has this text in it.
fn recipe(language: &str, about: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let opening = format!("```{language}\n");
    let mut blocks = docs.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(about)).expect("docs/operations.md has the recipe").to_owned()
}

/// The section `[server]` of a recipe, as environment variables.
fn configured(about: &str) -> Setup {
    let table: toml::Table = recipe("toml", about).parse().expect("the recipe is TOML");
    let server = table["server"].as_table().expect("[server]").clone();
    server.into_iter().fold(Setup::plain(), |setup, (key, value)| {
        let value = match value {
            toml::Value::Table(table) => {
                let pairs: Vec<String> = table
                    .iter()
                    .map(|(key, value)| format!("{key:?} = {}", serde_json::to_string(value).unwrap()))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }
            // Texts and lists of them are the same in both.
            other => serde_json::to_string(&other).unwrap(),
        };
        setup.env(&format!("BATON_SERVER__{}", key.to_uppercase()), &value)
    })
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// nginx with a server of a test's own. Ended when dropped.
struct Nginx(Child);

impl Nginx {
    fn start(directory: &Path, server: &str, port: u16) -> Self {
        let at = |name: &str| directory.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};\n", at(what)))
            .concat();
        let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
        let config = format!(
            "{user}daemon off;\nmaster_process off;\npid {};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{server}\n}}\n",
            at("nginx.pid")
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(directory.join("nginx.log")).unwrap();
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let child = Command::new(program.expect("this test needs Debian's package `nginx-light`"))
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nginx starts");
        let mut nginx = Self(child);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = nginx.0.try_wait().unwrap() {
                panic!("nginx ended with {status}: {}", std::fs::read_to_string(directory.join("nginx.log")).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("this test needs Debian's package `openssl`");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A certificate for a name, signed with its own key.
fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &subject,
        "-addext",
        &names,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-out",
        certificate.to_str().unwrap(),
        "-keyout",
        key.to_str().unwrap(),
    ]);
    (certificate, key)
}

/// Signs in; who that is, the `Set-Cookie`, and a caller with cookie and key.
async fn sign_in(door: &Api, credential: Value) -> (LoginAnswer, String, Api) {
    let answer = door.call(Method::POST, LOGIN, Some(&credential)).await;
    assert_eq!(answer.status, 200, "{answer}");
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    let login: LoginAnswer = answer.json();
    let page = door.with("cookie", cookie.split(';').next().unwrap()).with("x-baton-key", &login.key);
    (login, cookie, page)
}

/// Opens the stream as the page does, with the key as a subprotocol, and has the shell answer.
async fn types(page: &Api, key: &str, session: SessionId) {
    let client = session::client_id();
    let mut page = page.clone();
    page.headers.remove("x-baton-key");
    let protocol = format!("baton.key.{key}");
    let mut socket = open_raw(&page, &stream_path(session, &client), &[&protocol]).await.expect("the page is let in");
    socket.send(text(&Attach::named("page").client(&client).hello())).await.unwrap();
    let Incoming::Frame(ServerFrame::Ready { .. }) = next_of(&mut socket).await else { panic!("no `ready`") };
    socket.send(text(&baton_proto::api::ClientFrame::Claim { force: true })).await.unwrap();
    let epoch = loop {
        match next_of(&mut socket).await {
            Incoming::Frame(ServerFrame::Lease { owner: Some(owner), epoch, .. }) if owner == client => break epoch,
            Incoming::Closed { code, reason } => panic!("closed: {code:?} {reason}"),
            _ => {}
        }
    };
    let data_b64 = BASE64.encode("echo through-$((40+2))\r");
    socket.send(text(&baton_proto::api::ClientFrame::Input { data_b64, epoch, seq: Some(1) })).await.unwrap();
    let mut output = Vec::new();
    while baton_tests::websocket::find(&output, b"through-42").is_none() {
        match next_of(&mut socket).await {
            Incoming::Data { bytes, .. } => output.extend(bytes),
            Incoming::Closed { code, reason } => panic!("closed: {code:?} {reason}"),
            _ => {}
        }
    }
}

/// Makes a share link there, and uses it there.
async fn shares(page: &Api, door: &Api, base: &str, session: SessionId) {
    let link: Link =
        page.post("/v1/auth/links", &json!({"kind": "share", "session_id": session, "from": "start"})).await;
    assert!(link.url.starts_with(&format!("{base}/#share=")), "{}", link.url);
    let (login, _, guest) = sign_in(door, json!({"code": super::share::code(&link)})).await;
    assert_eq!(login.principal.role, PrincipalRole::Viewer);
    let output = guest.call::<()>(Method::GET, &format!("/v1/terminal/sessions/{session}/output"), None).await;
    assert!(baton_tests::websocket::find(&output.body, b"through-42").is_some(), "{output}");
    guest.refused(Method::GET, "/v1/status", &(), ErrorCode::Forbidden).await;
}

#[test]
fn behind_a_proxy_with_tls_and_a_password() {
    scenario(Duration::from_secs(60), configured("trusted_proxies"), async |baton: &Baton| {
        let session = baton.shell().await;
        let directory = baton.scratch().join("nginx");
        std::fs::create_dir(&directory).unwrap();
        let (certificate, key) = certificate(&directory, NAME);
        let users = directory.join("users");
        std::fs::write(&users, format!("ada:{}", openssl(&["passwd", "-apr1", "open sesame"]))).unwrap();
        let port = free_port();
        let server = recipe("nginx", "server_name")
            .replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"))
            .replace("http://127.0.0.1:7420", &baton.url)
            .replace("/etc/ssl/baton.example.org.pem", certificate.to_str().unwrap())
            .replace("/etc/ssl/baton.example.org.key", key.to_str().unwrap())
            .replace("/etc/nginx/baton.htpasswd", users.to_str().unwrap());
        let _nginx = Nginx::start(&directory, &server, port);
        let base = format!("https://{NAME}:{port}");
        let outside =
            Api::anonymous(Place::Tls(Tls::new(SocketAddr::from(([127, 0, 0, 1], port)), NAME, &certificate)));
        let outside = outside.with("origin", &base);

        // The proxy's door, with Baton's token too.
        for stranger in [outside.clone(), outside.with_token(&baton.token)] {
            let answer = stranger.call::<()>(Method::GET, ME, None).await;
            assert_eq!(answer.status, 401, "{answer}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"), "{answer}");
        }
        let door = outside.with("authorization", &format!("Basic {}", BASE64.encode("ada:open sesame")));
        let page = door.call::<()>(Method::GET, "/", None).await;
        assert!(page.status == 200 && page.header("content-type").unwrap().starts_with("text/html"), "{page}");
        // Baton's own.
        door.refused(Method::GET, "/v1/sessions", &(), ErrorCode::Unauthenticated).await;
        let (login, cookie, page) = sign_in(&door, json!({"token": baton.token})).await;
        assert!(cookie.contains("; Secure"), "{cookie}");
        assert_eq!(page.get::<Value>(ME).await["role"], "owner");
        types(&page, &login.key, session).await;
        shares(&page, &door, &base, session).await;

        // Another page, and a name that nobody gave it.
        let evil = page.with("origin", "https://evil.example");
        evil.refused(Method::GET, ME, &(), ErrorCode::Forbidden).await;
        assert_eq!(turned_away(&evil, &stream_path(session, &session::client_id()), &[]).await, 4003);
        page.with("host", "evil.example").refused(Method::GET, ME, &(), ErrorCode::Forbidden).await;
        // Who is behind the proxy can't say to be somebody of the tailnet.
        let forged = door.with("tailscale-user-login", "ada@example.com").with("x-forwarded-for", "100.101.102.103");
        forged.refused(Method::POST, LOGIN, &json!({}), ErrorCode::Invalid).await;
        // Without the proxy the cookie is as before.
        let (_, cookie, _) = sign_in(&baton.nobody(), json!({"token": baton.token})).await;
        assert!(!cookie.contains("Secure"), "{cookie}");
    });
}

/// What `tailscale serve` does for the login `ada@example.com`: it sets these headers, whatever the client sent.
fn tailscale(baton: &Baton, login: &str, listen: &str) -> String {
    format!(
        "map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         server {{ listen {listen}; location / {{ proxy_pass {}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade; proxy_buffering off;\n\
         proxy_set_header X-Forwarded-For 100.101.102.103; proxy_set_header X-Forwarded-Proto https;\n\
         proxy_set_header Tailscale-User-Login \"{login}\"; proxy_set_header Tailscale-User-Name \"Ada\"; }} }}",
        baton.url
    )
}

#[test]
fn behind_tailscale_serve_a_listed_name_signs_in() {
    scenario(Duration::from_secs(60), configured("server.tailscale"), async |baton: &Baton| {
        let session = baton.shell().await;
        let mut running = Vec::new();
        let mut serve = |login: &str| {
            let port = free_port();
            let directory = baton.scratch().join(format!("nginx-{port}"));
            std::fs::create_dir(&directory).unwrap();
            running.push(Nginx::start(&directory, &tailscale(baton, login, &format!("127.0.0.1:{port}")), port));
            // The client says what it likes; it is not what arrives.
            Api::anonymous(Place::Tcp(SocketAddr::from(([127, 0, 0, 1], port))))
                .with("host", TAILNET_NAME)
                .with("origin", &format!("https://{TAILNET_NAME}"))
                .with("tailscale-user-login", "ada@example.com")
        };
        let ada = serve("ada@example.com");
        // The name alone is no login: browsers would send it for every page.
        ada.refused(Method::GET, "/v1/sessions", &(), ErrorCode::Unauthenticated).await;
        let (login, cookie, page) = sign_in(&ada, json!({})).await;
        assert_eq!((login.principal.role, login.principal.name.as_str()), (PrincipalRole::Owner, "ada@example.com"));
        assert!(cookie.contains("; Secure"), "{cookie}");
        types(&page, &login.key, session).await;
        shares(&page, &ada, &format!("https://{TAILNET_NAME}"), session).await;
        ada.with("origin", "https://evil.example").refused(Method::POST, LOGIN, &json!({}), ErrorCode::Forbidden).await;

        let eve = serve("eve@example.com");
        eve.refused(Method::POST, LOGIN, &json!({}), ErrorCode::Invalid).await;
        let (login, _, _) = sign_in(&eve, json!({"token": baton.token})).await;
        assert_eq!(login.principal.id, "owner", "a token is as good there as elsewhere");

        // A Baton that was not told of anybody takes nobody's word.
        drop(running);
    });
}

/// Everybody who has signed in so far, oldest first: how, and the name.
async fn logins(baton: &Baton) -> Vec<(String, String)> {
    let page: ListPage<AuditRow> = baton.api().get("/v1/audit?action=login&limit=1000").await;
    let mut rows = page.items;
    rows.sort_by_key(|row| row.seq);
    rows.into_iter().map(|row| (row.details["by"].as_str().unwrap().to_owned(), row.actor.name)).collect()
}

#[test]
fn the_page_signs_in_whom_tailscale_serve_names() {
    scenario(Duration::from_secs(120), configured("server.tailscale"), async |baton: &Baton| {
        let session = baton.shell().await;
        let directory = baton.scratch().join("certificate");
        std::fs::create_dir(&directory).unwrap();
        let (certificate, key) = certificate(&directory, TAILNET_NAME);
        let mut running = Vec::new();
        let mut serve = |login: &str| {
            let port = free_port();
            let directory = baton.scratch().join(format!("nginx-{port}"));
            std::fs::create_dir(&directory).unwrap();
            let (certificate, key) = (certificate.display(), key.display());
            let listen = format!("127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key}");
            running.push(Nginx::start(&directory, &tailscale(baton, login, &listen), port));
            format!("--host-resolver-rules=MAP {TAILNET_NAME} 127.0.0.1:{port}")
        };
        let open = async |resolve: String, fragment: &str| {
            let url = format!("https://{TAILNET_NAME}/{fragment}");
            Page::open_with(&url, &[&resolve, "--ignore-certificate-errors"]).await
        };
        let said = async |page: &Page| page.run("return document.querySelector('.message')?.textContent ?? ''").await;
        let by_name = ("tailscale".to_owned(), "ada@example.com".to_owned());

        // She opens the page and is in, at the session that the address names.
        let page = open(serve("ada@example.com"), &format!("#session={session}")).await;
        page.until_state("connection-state", "live").await;
        page.element("terminal").await;
        page.until_rows("the prompt", |rows| rows.iter().any(|row| row.starts_with('$'))).await;
        assert!(!page.has("login-token").await);
        assert_eq!(logins(baton).await, std::slice::from_ref(&by_name));
        // Opened again it goes by the login that it has.
        page.web().refresh().await.unwrap();
        page.until_state("connection-state", "live").await;
        assert_eq!(logins(baton).await.len(), 1);
        // A key of a login that is no more is no reason to ask.
        page.run("localStorage.setItem('baton.key', 'of a login that is no more')").await.unwrap();
        page.web().refresh().await.unwrap();
        page.until_state("connection-state", "live").await;
        assert_eq!(logins(baton).await, [by_name.clone(), by_name.clone()]);
        // Whoever signs out is out, until the page is opened anew.
        page.click("settings-menu").await;
        page.run(
            "[...document.querySelectorAll('button')].find(({textContent}) => textContent === 'Sign out').click()",
        )
        .await
        .unwrap();
        page.element("login-token").await;
        assert_eq!(said(&page).await.unwrap(), "");
        assert_eq!(logins(baton).await.len(), 2);
        page.web().refresh().await.unwrap();
        page.until_state("connection-state", "live").await;
        assert_eq!(logins(baton).await.len(), 3);
        page.close().await;

        // Who is not listed is asked for a token, and nothing is said to have failed.
        let page = open(serve("eve@example.com"), "").await;
        page.element("login-token").await;
        assert_eq!(said(&page).await.unwrap(), "");
        assert_eq!(logins(baton).await.len(), 3, "nor is it an attempt on record");
        page.element("login-token").await.send_keys(&baton.token).await.unwrap();
        page.click("login-submit").await;
        page.until_state("connection-state", "live").await;
        page.close().await;
        drop(running);
    });
}

#[test]
fn a_name_that_nobody_configured_is_ignored() {
    let setup = Setup::plain().env("BATON_SERVER__TRUSTED_PROXIES", "[\"127.0.0.1\"]");
    scenario(Duration::from_secs(30), setup, async |baton: &Baton| {
        let forged =
            baton.nobody().with("tailscale-user-login", "ada@example.com").with("x-forwarded-for", "100.101.102.103");
        forged.refused(Method::POST, LOGIN, &json!({}), ErrorCode::Invalid).await;
        forged.refused(Method::GET, ME, &(), ErrorCode::Unauthenticated).await;
    });
}

/// Addresses of this test's own network.
const HOST: &str = "10.77.0.1";
const PROXY: [u8; 4] = [10, 77, 0, 2];
const STRANGER: [u8; 4] = [10, 77, 0, 3];

/// Runs this test once more where the loopback interface has these addresses.
fn again_with_addresses(test: &str) -> bool {
    let script = "ip link set lo up && for last in 1 2 3; do ip address add 10.77.0.$last/24 dev lo; done";
    again_in_own_network(test, script, &[])
}

#[test]
fn an_address_that_is_not_loopback_is_for_its_proxy_alone() {
    if !again_with_addresses("proxied::an_address_that_is_not_loopback_is_for_its_proxy_alone") {
        return;
    }
    let setup = Setup::plain()
        .env("BATON_LISTEN", &format!("{HOST}:0"))
        .env("BATON_SERVER__ALLOW_REMOTE", "true")
        .env("BATON_SERVER__TRUSTED_PROXIES", "[\"10.77.0.2\"]")
        .env("BATON_SERVER__ALLOWED_HOSTS", "[\"10.77.0.1\"]")
        .env("BATON_SERVER__TAILSCALE", "{\"ada@example.com\" = \"owner\"}");
    scenario(Duration::from_secs(30), setup, async |baton: &Baton| {
        let Place::Tcp(address) = baton.place() else { panic!("it listens on TCP") };
        let from = |own: [u8; 4]| Api::anonymous(Place::From(own.into(), address));
        // Not even health, and not with the token.
        for path in ["/v1/health", ME, "/"] {
            from(STRANGER).with_token(&baton.token).refused(Method::GET, path, &(), ErrorCode::Forbidden).await;
        }
        assert_eq!(from(PROXY).with_token(&baton.token).get::<Value>(ME).await["role"], "owner");
        // Nobody's word from outside, and not the proxy's either.
        for own in [PROXY, STRANGER] {
            let forged =
                from(own).with("tailscale-user-login", "ada@example.com").with("x-forwarded-for", "100.101.102.103");
            let answer = forged.call(Method::POST, LOGIN, Some(&json!({}))).await;
            assert!(matches!(answer.problem().code, ErrorCode::Invalid | ErrorCode::Forbidden), "{answer}");
        }
        let cookie = async |api: Api| {
            let answer = api.call(Method::POST, LOGIN, Some(&json!({"token": baton.token}))).await;
            answer.header("set-cookie").unwrap_or_default().to_owned()
        };
        assert!(cookie(from(PROXY).with("x-forwarded-proto", "https")).await.contains("; Secure"));
    });
}

#[test]
fn an_open_bind_is_refused() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        for (settings, told) in [
            (vec![], "allow_remote"),
            (vec![("BATON_SERVER__ALLOW_REMOTE", "true")], "trusted_proxies"),
            (vec![("BATON_SERVER__TRUSTED_PROXIES", "[\"10.0.0.1\"]")], "allow_remote"),
        ] {
            let mut command = baton.command(["up"]);
            command
                .env("BATON_HOME", baton.scratch().join("other"))
                .env("BATON_LISTEN", "0.0.0.0:0")
                .envs(settings.clone());
            let output = tokio::process::Command::from(command).output().await.unwrap();
            assert_ne!(output.status.code(), Some(0), "{settings:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(told), "{settings:?}: {said}");
        }
    });
}
