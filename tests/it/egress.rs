//! Sessions that may reach some hosts: those and no others, whichever process of Baton's is killed.
//!
//! The servers listen on loopback addresses of the host, which the session's own loopback is not; to be reached they have to
//! be listed, as anything that is not of the internet. Needs user namespaces.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, Event, Page, ServerFrame, SessionDetail};
use baton_proto::ids::SessionId;
use baton_proto::spec::Profile;
use baton_tests::own_network::again_in_own_network;
use baton_tests::process::Process;
use baton_tests::websocket::Incoming;
use baton_tests::{Attach, Baton, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::json;

/// A web server of the host's that says what it was asked.
fn server(address: &str) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let bound = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).replace("\r\n", "|");
                let body = format!("served {head}\n");
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    bound
}

/// A shell in a session, and where it leaves what it was told.
struct Inside {
    id: SessionId,
    project: PathBuf,
    client: StreamClient,
    asked: u32,
}

impl Inside {
    async fn new(baton: &Baton, allow_hosts: Vec<String>) -> Self {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        let id = baton
            .create(&CreateTerminal {
                sandbox: Some(Profile::Workspace),
                cwd: Some(project.to_str().unwrap().to_owned()),
                allow_hosts,
                ..session::bash()
            })
            .await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        let mut inside = Self { id, project, client, asked: 0 };
        // A request as it is written, to the proxy.
        inside.run("by_hand() { exec 3<>/dev/tcp/127.0.0.1/3128 && printf \"$1\" >&3 && cat <&3; exec 3>&-; }").await;
        inside
    }

    /// Runs a line; what it wrote.
    async fn run(&mut self, line: &str) -> String {
        self.asked += 1;
        let number = self.asked;
        let typed = format!("{{ {line}; }} > out-{number} 2>&1; echo asked-$(({number}+1000))\r");
        self.client.type_text(&typed).await;
        self.client.until_output(&format!("asked-{}", number + 1000)).await;
        fs::read_to_string(self.project.join(format!("out-{number}"))).unwrap()
    }

    async fn get(&mut self, target: &str) -> String {
        self.run(&format!("by_hand 'GET {target} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'")).await
    }
}

/// The processes that are the session's way out.
fn ways_out(id: SessionId) -> Vec<Process> {
    let of_session = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("egress\0") && line.contains(&id.to_string())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid| of_session(*pid)).filter_map(Process::find).collect()
}

/// Waits until there are so many.
async fn are(id: SessionId, count: usize) -> Vec<Process> {
    loop {
        let found = ways_out(id);
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_session_reaches_its_hosts_and_no_others() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (listed, unlisted) = (server("127.0.0.2"), server("127.0.0.2"));
        let home = server("127.0.0.1");
        let mut inside = Inside::new(baton, vec![listed.to_string(), "localhost".to_owned()]).await;
        // As programs do it that know of proxies by their environment.
        let told = inside.run(&format!("curl -sS http://{listed}/by-curl")).await;
        assert!(told.contains("served GET /by-curl HTTP/1.1|Host: 127.0.0.2"), "{told}");
        let python = format!(
            "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{listed}/by-python\").read().decode())'"
        );
        if inside.run("python3 --version").await.starts_with("Python 3") {
            let told = inside.run(&python).await;
            assert!(told.contains("served GET /by-python"), "{told}");
        }
        // A tunnel, with what is said at once behind it.
        let tunnel = format!("by_hand 'CONNECT {listed} HTTP/1.1\\r\\n\\r\\nGET /tunnelled HTTP/1.0\\r\\n\\r\\n'");
        let told = inside.run(&tunnel).await;
        assert!(told.starts_with("HTTP/1.1 200") && told.contains("served GET /tunnelled"), "{told}");
        // The host that was judged is the one that is named.
        let told = inside.get(&format!("http://{listed}/")).await;
        assert!(told.contains(&format!("Host: {listed}|")) && !told.contains("Host: x|"), "{told}");
        // No other port, no other host.
        for refused in [unlisted.to_string(), format!("127.0.0.3:{}", listed.port()), "example.org".to_owned()] {
            let told = inside.get(&format!("http://{refused}/")).await;
            assert!(told.starts_with("HTTP/1.1 403") && told.contains("--allow-host"), "{refused}: {told}");
        }
        let told = inside.run(&format!("curl -sS -o /dev/null https://{unlisted}/ || echo curl-$?")).await;
        assert!(told.contains("403") && told.contains("curl-56"), "{told}");
        // A name that is allowed and leads home is not.
        let told = inside.get(&format!("http://localhost:{}/", home.port())).await;
        assert!(told.starts_with("HTTP/1.1 403") && told.contains("leads to"), "{told}");
        let told = inside.run("by_hand '\\x05\\x01\\x00\\r\\n\\r\\n'").await;
        assert!(told.starts_with("HTTP/1.1 400"), "{told}");
        // Past the proxy there is nothing: neither the host's loopback nor a network, by TCP or by UDP.
        for direct in [format!("tcp/{}/{}", listed.ip(), listed.port()), format!("tcp/127.0.0.1/{}", home.port())] {
            let told = inside.run(&format!("echo x > /dev/{direct} && echo got-out")).await;
            assert!(told.contains("refused") && !told.contains("got-out"), "{told}");
        }
        for direct in ["tcp/192.0.2.1/80", "udp/192.0.2.1/53"] {
            let told = inside.run(&format!("echo x > /dev/{direct} && echo got-out")).await;
            assert!(told.contains("unreachable") && !told.contains("got-out"), "{told}");
        }
        let told = inside.run("getent ahosts example.org || echo none-$?").await;
        assert!(told.contains("none-2"), "{told}");
        // Nothing of Baton's is in there with it.
        let told = inside.run("ls -l /proc/self/fd | wc -l; cat /proc/net/tcp | wc -l").await;
        assert!(!told.is_empty(), "{told}");
    });
    baton_tests::ordinary::again("egress::a_session_reaches_its_hosts_and_no_others");
}

#[test]
fn whichever_process_is_killed_the_session_reaches_its_hosts() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let listed = server("127.0.0.2");
        let url = format!("http://{listed}/");
        let mut inside = Inside::new(baton, vec![listed.to_string()]).await;
        let id = inside.id;
        let network =
            baton.session(id).await.session.sandbox.layers.into_iter().find(|it| it.name == "network").unwrap();
        assert!(network.detail.is_some_and(|detail| detail.contains(&listed.to_string())), "it is told");
        let path = format!("/v1/sessions/{id}");
        let three = are(id, 3).await;
        assert!(inside.get(&url).await.contains("served GET /"));
        // Who serves has given up everything else; who tends and the spare have not.
        let seen: Vec<_> = three.iter().filter_map(|it| baton_sandbox::own::seen(it.pid)).collect();
        assert!(seen.iter().all(|it| it.no_new_privs) && seen.iter().filter(|it| it.filtered).count() == 1, "{seen:?}");
        for it in three.iter().filter(|it| baton_sandbox::own::seen(it.pid).is_some_and(|seen| seen.filtered)) {
            let status = fs::read_to_string(format!("/proc/{}/status", it.pid)).unwrap();
            for ids in status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:")) {
                assert!(!ids.split_whitespace().any(|id| id == "0"), "root is given up: {ids}");
            }
        }
        // A connection outlives the worker.
        let open = format!("exec 5<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT {listed} HTTP/1.1\\r\\n\\r\\n' >&5");
        inside.run(&open).await;
        let worker = baton.session(id).await.session.worker_pid.unwrap();
        Process::of(worker).kill().await;
        let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
        let _: SessionDetail = baton.api().get_until(&path, next).await;
        inside.client = baton.attach(id, Attach::named("B")).await;
        inside.client.claim(true).await.unwrap();
        let told = inside.run("printf 'GET /kept HTTP/1.0\\r\\n\\r\\n' >&5; cat <&5; exec 5>&-").await;
        assert!(told.contains("200 Connection") && told.contains("served GET /kept"), "{told}");
        assert!(inside.get(&url).await.contains("served GET /"));
        // Nor does it miss who tends: the server takes no more, and keeps what it has.
        inside.run(&open).await;
        let three = are(id, 3).await;
        let tender = three.iter().find(|one| three.iter().any(|it| it.parent() == Some(one.pid))).unwrap();
        tender.kill().await;
        are(id, 4).await;
        let told = inside.run("printf 'GET /kept HTTP/1.0\\r\\n\\r\\n' >&5; cat <&5; exec 5>&-").await;
        assert!(told.contains("200 Connection") && told.contains("served GET /kept"), "{told}");
        // Whichever of the three, again and again; nobody is refused meanwhile.
        for round in 0..12 {
            let three = are(id, 3).await;
            three[round % 3].kill().await;
            let told = inside.get(&url).await;
            assert!(told.contains("served GET /"), "{round}: {told}");
        }
        are(id, 3).await;
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        inside.client = baton.attach(id, Attach::named("D")).await;
        inside.client.claim(true).await.unwrap();
        assert!(inside.get(&url).await.contains("served GET /"));
        // With the program they end.
        inside.client.type_text("exit\r").await;
        inside.client.until_exit().await;
        are(id, 0).await;
    });
}

#[test]
fn the_hosts_loopback_is_reached_as_the_refusal_advises() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (home, other) = (server("127.0.0.1"), server("127.0.0.1"));
        let mut inside = Inside::new(baton, vec![home.to_string()]).await;
        // Programs that look for a proxy in their environment do not pass it by.
        let told = inside.run(&format!("curl -sS http://{home}/by-curl")).await;
        assert!(told.contains("served GET /by-curl"), "{told}");
        let told = inside.run(&format!("curl -sS http://{other}/")).await;
        assert!(told.contains(&format!("--allow-host {other}`")), "{told}");
        let told = inside.run("echo $NO_PROXY $no_proxy").await;
        assert_eq!(told.trim_end(), "localhost,::1 localhost,::1");
    });
}

/// An address that is as public as any, where this test is alone with it.
const OWN_ADDRESSES: [&str; 3] = ["45.67.89.10", "45.67.89.11", "45.67.90.5"];

/// Runs this test once more where the loopback interface has addresses of the internet and `/etc/hosts` leads to them.
fn again_with_public_addresses(test: &str) -> bool {
    let hosts = std::env::temp_dir().join(format!("baton-test-hosts-{}", std::process::id()));
    fs::write(&hosts, "127.0.0.1 localhost\n45.67.89.10 first.test\n45.67.89.11 second.test\n45.67.90.5 routed.test\n")
        .unwrap();
    // The second is further one of the same network; the third is none of an interface's.
    let script = "ip link set lo up && ip address add 45.67.89.10/24 dev lo && ip address add 45.67.89.11/24 dev lo && \
                  ip route add local 45.67.90.0/24 dev lo && mount --bind \"$1\" /etc/hosts";
    let inside = again_in_own_network(test, script, &[hosts.as_os_str()]);
    let _ = fs::remove_file(&hosts);
    inside
}

#[test]
fn an_address_of_this_host_is_home_however_public_it_is() {
    if !again_with_public_addresses("egress::an_address_of_this_host_is_home_however_public_it_is") {
        return;
    }
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let servers = OWN_ADDRESSES.map(server);
        let names = ["first.test", "second.test", "routed.test"];
        let listed = server(OWN_ADDRESSES[1]);
        let mut allowed: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        allowed.push(listed.to_string());
        let mut inside = Inside::new(baton, allowed).await;
        for (name, server) in names.into_iter().zip(servers) {
            let told = inside.get(&format!("http://{name}:{}/", server.port())).await;
            let advice = format!("--allow-host {server}`");
            assert!(told.starts_with("HTTP/1.1 403") && told.contains(&advice), "{name}: {told}");
        }
        // What is listed itself is reached, by its name, too.
        for way in [listed.to_string(), format!("second.test:{}", listed.port())] {
            let told = inside.get(&format!("http://{way}/")).await;
            assert!(told.contains("served GET /"), "{way}: {told}");
        }
    });
}

#[test]
fn what_is_no_host_is_refused_when_a_session_is_made() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let create = "/v1/terminal/sessions";
        let ask = |profile: &str, host: &str| json!({"command": ["true"], "cwd": "/usr", "sandbox": profile, "grants": [], "allow_hosts": [host]});
        for (profile, host) in [
            ("workspace", "http://example.org"),
            ("workspace", "*"),
            ("workspace", "example.org:0"),
            ("locked", "example.org"),
            ("host", "example.org"),
        ] {
            let body = ask(profile, host);
            let problem = baton.api().refused(Method::POST, create, &body, ErrorCode::Invalid).await;
            assert!(!problem.detail.is_empty(), "{profile} {host}");
        }
        let new = baton.cli(["new", "-d", "--sandbox", "workspace", "--allow-host", "a/b", "--cwd", "/usr"]).await;
        assert!(new.code != Some(0) && new.stderr.contains("`a/b` is no host"), "{new:?}");
        let scheme = ["new", "-d", "--sandbox", "workspace", "--allow-host", "http://x.org", "--cwd", "/usr"];
        let new = baton.cli(scheme).await;
        assert!(new.code != Some(0) && new.stderr.contains("it has a scheme; drop that"), "{new:?}");
    });
}

/// The `denied` events of a session once there are so many, as `HOST:PORT` and what a person is told.
async fn told(baton: &Baton, id: SessionId, count: usize) -> Vec<(String, String)> {
    let path = format!("/v1/sessions/{id}/events?type=denied");
    let page: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| page.items.len() >= count).await;
    let text = |event: &Event, field: &str| event.data[field].as_str().unwrap().to_owned();
    assert!(page.items.iter().all(|event| event.data["act"] == "reach"), "{:?}", page.items);
    page.items.iter().map(|event| (text(event, "path"), text(event, "message"))).collect()
}

#[test]
fn a_host_that_is_refused_is_told_like_a_file_and_not_too_often() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let listed = server("127.0.0.2");
        let home = server("127.0.0.1");
        let mut inside = Inside::new(baton, vec![listed.to_string(), "localhost".to_owned()]).await;
        let id = inside.id;
        inside.get("http://example.org:8080/").await;
        let (host, message) = told(baton, id, 1).await.remove(0);
        assert_eq!(host, "example.org:8080");
        let begin = "the sandbox refused reaching `example.org:8080`: ";
        assert!(message.starts_with(begin) && message.contains("`baton new --allow-host example.org`"), "{message}");
        // The program reads the same.
        assert!(inside.get("http://example.org:8080/").await.contains(&message), "{message}");
        // A name that is allowed and leads home.
        inside.get(&format!("http://localhost:{}/", home.port())).await;
        let (host, message) = told(baton, id, 2).await.remove(1);
        assert_eq!(host, format!("localhost:{}", home.port()));
        assert!(message.contains("leads to") && message.contains("--allow-host"), "{message}");
        // The next worker hears it, too, from the proxy that was there before it.
        let worker = baton.session(id).await.session.worker_pid.unwrap();
        Process::of(worker).kill().await;
        let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), next).await;
        inside.client = baton.attach(id, Attach::named("B")).await;
        inside.client.claim(true).await.unwrap();
        inside.get("http://second.test/").await;
        assert_eq!(told(baton, id, 3).await[2].0, "second.test:80");
        // A flood is told in part, and what is allowed is reached all the while.
        inside.run("for n in $(seq 60); do by_hand \"GET http://host-$n.test/ HTTP/1.1\\r\\n\\r\\n\"; done").await;
        assert!(inside.get(&format!("http://{listed}/")).await.contains("served GET /"));
        let told = told(baton, id, 4).await;
        assert!(told.len() <= 3 + 10 && told[3..].iter().all(|(host, _)| host.starts_with("host-")), "{told:?}");
    });
}

#[test]
fn a_program_that_ends_with_a_refusal_leaves_it_told() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        let script = "read go; exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT last.test:443 HTTP/1.1\\r\\n\\r\\n' >&3; read answer <&3";
        let id = baton
            .create(&CreateTerminal {
                sandbox: Some(Profile::Workspace),
                cwd: Some(project.to_str().unwrap().to_owned()),
                allow_hosts: vec!["example.org".to_owned()],
                ..session::command(["/bin/bash", "-c", script])
            })
            .await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("go\r").await;
        let denied = |incoming: &Incoming| match incoming {
            Incoming::Frame(ServerFrame::Denied { path, .. }) => Some(path.clone()),
            Incoming::Frame(ServerFrame::Exit { .. }) => Some("the end".to_owned()),
            _ => None,
        };
        assert_eq!(client.until("`denied`, before the end", denied).await, "last.test:443");
        assert_eq!(client.until_exit().await.code, Some(0));
    });
}
