//! What Baton's own processes can't do: said truly, and tried by a bridge that an attacker has taken over.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CheckStatus, Created, Doctor, LayerStatus, ServerStatus, SessionDetail, SessionStatus};
use baton_proto::frame::Kind;
use baton_proto::hello::Role;
use baton_proto::ids::SessionId;
use baton_proto::spec::Profile;
use baton_proto::v1::{Failed, ListSessions, Sessions};
use baton_tests::peer::Peer;
use baton_tests::process::{self, Process};
use baton_tests::{Baton, Setup, binaries, scenario};

/// A field of `/proc/<pid>/status`.
fn field(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no `{name}` of {pid}")).trim().to_owned()
}

/// The line of `/proc/<pid>/limits` about core dumps.
fn core_limit(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line.split_whitespace().skip(4).take(2).map(str::to_owned).collect()
}

/// What is said of a process, by layer.
fn layers(status: &ServerStatus, process: &str) -> BTreeMap<String, LayerStatus> {
    let said = status.confinement.iter().find(|one| one.process == process);
    let said = said.unwrap_or_else(|| panic!("nothing is said of {process}: {:?}", status.confinement));
    said.layers.iter().map(|layer| (layer.name.clone(), layer.status)).collect()
}

#[test]
fn what_each_process_gave_up_is_told_and_true() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = baton.shell().await;
        let detail = baton.session(session).await.session;
        let (program, worker) = (detail.pid.unwrap(), detail.worker_pid.unwrap());
        // The worker confines itself after its program runs, which is when the session is told to be there.
        let all = |status: &ServerStatus| {
            status.confinement.len() == 4
                && layers(status, "workers").values().all(|status| *status == LayerStatus::Enforced)
        };
        let status: ServerStatus = baton.api().get_until("/v1/status", all).await;
        for (process, pid) in [("bridge", status.bridge.pid), ("sessiond", status.sessiond.as_ref().unwrap().pid)] {
            let said = layers(&status, process);
            for layer in ["privileges", "core_dumps", "landlock", "seccomp"] {
                assert_eq!(said[layer], LayerStatus::Enforced, "{process}: {layer}");
            }
            assert_eq!(
                (field(pid, "NoNewPrivs"), field(pid, "Seccomp")),
                ("1".to_owned(), "2".to_owned()),
                "{process}"
            );
            assert_eq!(core_limit(pid), ["1", "1"], "{process}");
        }
        assert_eq!((field(worker, "NoNewPrivs"), field(worker, "Seccomp")), ("1".to_owned(), "2".to_owned()));
        assert_eq!(core_limit(worker), ["1", "1"]);
        // The program and the root of the tree have nothing of it: `sudo` works, dumps are as they were.
        let launcher = status.launcher.as_ref().unwrap().pid;
        assert_eq!(layers(&status, "launcher").values().collect::<Vec<_>>(), [&LayerStatus::Absent; 2]);
        for pid in [program, launcher] {
            assert_eq!((field(pid, "NoNewPrivs"), field(pid, "Seccomp")), ("0".to_owned(), "0".to_owned()));
            assert_eq!(core_limit(pid), core_limit(std::process::id()));
        }
        let shown = baton.cli(["status"]).await.ok();
        for line in ["confined  bridge", "seccomp", "launcher  not: what it starts may become root"] {
            assert!(shown.contains(line), "`{line}` in {shown}");
        }
        // Whoever comes after them is as confined as they were.
        baton.kill_bridge().await;
        baton.kill_sessiond().await;
        Process::of(worker).kill().await;
        let next = |status: &ServerStatus| status.sessiond.is_some() && all(status);
        let status: ServerStatus = baton.api().get_until("/v1/status", next).await;
        assert_eq!(layers(&status, "bridge")["landlock"], LayerStatus::Enforced);
        assert_eq!(field(status.bridge.pid, "Seccomp"), "2");
    });
}

/// Orders for a bridge that is taken over, one at a time.
struct Attacker<'a>(&'a Baton);

impl Attacker<'_> {
    /// Gives an order; the answer, or none if that ended the bridge.
    async fn order(&self, order: &str) -> Option<String> {
        let state = &self.0.home.state;
        let (bridge, answer) = (self.0.bridge().await, state.join("taken-over.answer"));
        let _ = fs::remove_file(&answer);
        fs::write(state.join("order.new"), order).unwrap();
        fs::rename(state.join("order.new"), state.join("taken-over.order")).unwrap();
        loop {
            if let Ok(text) = fs::read_to_string(&answer) {
                return Some(text);
            }
            if !bridge.is_alive() {
                return None;
            }
            tokio::time::sleep(process::LOOK_EVERY).await;
        }
    }

    async fn is_refused(&self, order: &str) {
        let answer = self.order(order).await;
        let refused =
            answer.as_deref().is_some_and(|it| it.contains("ermission denied") || it.contains("not permitted"));
        assert!(refused, "`{order}`: {answer:?}");
    }

    async fn works(&self, order: &str) {
        assert_eq!(self.order(order).await.as_deref(), Some("ok"), "`{order}`");
    }
}

#[test]
fn a_bridge_that_is_taken_over_can_do_nothing_of_its_own() {
    scenario(Duration::from_secs(90), Setup::plain().installed(), async |baton: &Baton| {
        let session = baton.shell().await;
        let program = Process::of(baton.session(session).await.session.pid.unwrap());
        let (outside, ssh) = (baton.scratch().join("outside"), baton.person().join(".ssh"));
        for directory in [&outside, &ssh] {
            fs::create_dir(directory).unwrap();
        }
        let key = ssh.join("id_ed25519");
        fs::write(&key, "secret").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();

        baton.misbehaves();
        baton.install("baton-bridge", &binaries::path("baton-bridge-taken-over"));
        baton.kill_bridge().await;
        let attacker = Attacker(baton);
        // It is taken over, and its own files are its own.
        attacker.works(&format!("read {}", baton.home.token_file().display())).await;
        attacker.works(&format!("write {}", baton.home.state.join("note").display())).await;
        attacker.works(&format!("list {}", baton.home.runtime.display())).await;

        let (outside, key) = (outside.display(), key.display());
        let state = baton.home.state.display();
        for order in [
            format!("read {key}"),
            format!("list {}", ssh.display()),
            "read /etc/passwd".to_owned(),
            "read /proc/self/environ".to_owned(),
            "list /".to_owned(),
            format!("write {outside}/file"),
            format!("append {key}"),
            format!("write {}", baton.home.config_file().display()),
            format!("write {}", baton.home.policy_file().display()),
            format!("make-directory {outside}/directory"),
            format!("remove {key}"),
            format!("rename {state}/note {outside}/note"),
            format!("hard-link {key} {state}/key"),
            format!("symlink {outside}/link"),
            format!("symlink {state}/link"),
            format!("write {}", baton.home.runtime.join("../../home/.profile").display()),
            format!("tcp {port}"),
            "listen 127.0.0.1:0".to_owned(),
            "udp 127.0.0.1:0".to_owned(),
            format!("signal {}", program.pid),
            format!("signal {}", std::process::id()),
            format!("trace {}", program.pid),
            format!("trace {}", baton.sessiond().await.pid),
        ] {
            attacker.is_refused(&order).await;
        }
        let name = format!("{}-abstract", std::process::id());
        let address =
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
        let _abstract = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        attacker.is_refused(&format!("abstract {name}")).await;
        assert_eq!(fs::read_to_string(ssh.join("id_ed25519")).unwrap(), "secret");
        assert_eq!(fs::read_dir(baton.scratch().join("outside")).unwrap().count(), 0);

        // What only an attacker does ends the process, and Baton's logs say so.
        for order in ["exec /bin/true", "spawn /bin/true"] {
            let before = baton.bridge().await;
            assert_eq!(attacker.order(order).await, None, "`{order}` ends the bridge");
            let _: ServerStatus =
                baton.api().get_until("/v1/status", |status: &ServerStatus| status.bridge.pid != before.pid).await;
        }
        let told = |line: &String| line.contains("(execve)") && line.contains("the process ends");
        assert!(baton.refused().iter().any(told), "{:?}", baton.refused());
        let log = fs::read_to_string(baton.home.logs_dir().join("launcher.log")).unwrap();
        assert_eq!(log.matches("its filter ended it").count(), 2, "the launcher tells how it ended: {log}");
        assert!(program.is_alive());
        assert_eq!(baton.session(session).await.session.pid, Some(program.pid));
    });
}

#[test]
fn where_unconfined_sessions_are_forbidden_neither_who_speaks_for_the_bridge_nor_sessiond_gets_one() {
    // The port stays the same from one launcher to the next.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::plain().env("BATON_LISTEN", &port.to_string());
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let before = baton.shell().await;
        let allow = |allow: bool| {
            fs::create_dir_all(&baton.home.config).unwrap();
            fs::write(baton.home.config_file(), format!("[sandbox]\nallow_host = {allow}\n")).unwrap();
        };
        allow(false);
        let _ = baton.cli(["down"]).await.ok();
        let _ = baton.cli(["up"]).await.ok();
        assert!(baton.session(before).await.session.pid.is_some(), "what runs goes on");

        // With the key, as a bridge that was taken over has it.
        let mut bridge = Peer::connect(&baton.sessiond_socket()).await.unwrap();
        bridge.handshake(&baton.key(), Role::Bridge).await.unwrap();
        let list: Sessions = bridge.ask(Kind::ListSessions, &ListSessions {}, Kind::Sessions).await;
        let mut spec = list.sessions.into_iter().find(|entry| entry.spec.session == before).unwrap().spec;
        assert_eq!(spec.profile, Profile::Host);
        spec.session = SessionId::from_uuid(uuid::Uuid::now_v7());
        let refused: Failed = bridge.ask(Kind::Spawn, &spec, Kind::Failed).await;
        assert!(refused.code == ErrorCode::Denied && refused.message.contains("sandbox.allow_host"), "{refused:?}");

        // A sessiond and a bridge that would allow it: the launcher was told before them, and is asked last.
        allow(true);
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        let body = serde_json::json!({"command": ["sh", "-c", "sleep 1000"]});
        let created: Created = baton.api().post("/v1/terminal/sessions", &body).await;
        let failed = |detail: &SessionDetail| detail.session.status == SessionStatus::Failed;
        let detail: SessionDetail =
            baton.api().get_until(&format!("/v1/sessions/{}", created.session_id), failed).await;
        let failure = detail.session.failure.unwrap();
        assert!(failure.contains("the launcher refuses"), "{failure}");
        assert_eq!(detail.session.pid, None);
        let confined = serde_json::json!({"command": ["sh", "-c", "sleep 1000"], "sandbox": "workspace"});
        let created: Created = baton.api().post("/v1/terminal/sessions", &confined).await;
        assert_eq!(baton.session(created.session_id).await.session.status, SessionStatus::Running);
    });
}

/// `baton` with these arguments on a kernel that lacks something.
fn on_a_kernel_without(without: &str, baton: &Baton, arguments: &[&str], extra: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binaries::path("baton-old-kernel"));
    command.arg(without).arg(binaries::path("baton")).args(arguments);
    command.env_clear().envs(baton.env()).envs(extra.iter().copied()).current_dir(baton.scratch());
    command.output().unwrap()
}

const REQUIRED: &[(&str, &str)] = &[("BATON_SANDBOX__REQUIRE", "true")];

#[test]
fn a_kernel_that_can_not_is_told_and_refused_only_if_asked_for() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        for (without, layer) in [("landlock", "landlock"), ("seccomp", "seccomp")] {
            let _ = baton.cli(["down", "--sessions"]).await.ok();
            let up = on_a_kernel_without(without, baton, &["up"], &[]);
            assert!(up.status.success(), "{up:?}");
            let status: serde_json::Value = baton.cli(["status", "--json"]).await.json();
            let bridge =
                status["confinement"].as_array().unwrap().iter().find(|one| one["process"] == "bridge").unwrap();
            for one in bridge["layers"].as_array().unwrap() {
                let expected = if one["name"] == layer { "absent" } else { "enforced" };
                assert_eq!(one["status"], expected, "without {without}: {one}");
            }
            let shown = baton.cli(["status"]).await.ok();
            assert!(shown.contains(&format!("no {layer}")) && shown.contains(&format!("{layer}: ")), "{shown}");
            let said = baton.cli(["new", "-d", "--", "/bin/true"]).await.ok();
            assert!(said.starts_with("ses_"), "sessions work as before: {said}");

            let _ = baton.cli(["down", "--sessions"]).await.ok();
            let refused = on_a_kernel_without(without, baton, &["up"], REQUIRED);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success(), "without {without}: {said}");
            for words in ["sandbox.require", layer, "baton doctor"] {
                assert!(said.contains(words), "`{words}` in {said}");
            }
        }
        // And here, where everything is there, it starts.
        let _ = baton.cli(["down", "--sessions"]).await;
        let up = on_a_kernel_without("nothing", baton, &["up"], REQUIRED);
        assert!(up.status.success(), "{up:?}");
    });
}

#[test]
fn the_doctor_finds_what_is_missing_and_how_to_get_it() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let examined = |without: &str, extra: &[(&str, &str)]| {
            let output = on_a_kernel_without(without, baton, &["doctor", "--json"], extra);
            let doctor: Doctor =
                serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {output:?}"));
            (doctor, output.status.code())
        };
        let (healthy, code) = examined("nothing", REQUIRED);
        assert!(healthy.require && healthy.can_require && code == Some(0), "{healthy:?}");
        let abi = healthy.own.iter().find(|layer| layer.name == "landlock").unwrap().abi;
        assert!(abi.is_some_and(|abi| abi >= 6), "{abi:?}");
        for check in &healthy.checks {
            assert!(check.status == CheckStatus::Ok || check.cure.is_some(), "{check:?}");
        }
        for (without, check, lost) in [
            ("landlock", "landlock", "landlock"),
            ("seccomp", "seccomp", "seccomp"),
            ("namespaces", "user_namespaces", "network"),
        ] {
            // Root makes the others without a user namespace.
            if without == "namespaces" && nix::unistd::geteuid().is_root() {
                continue;
            }
            let (doctor, code) = examined(without, &[]);
            assert_eq!((doctor.can_require, code), (false, Some(0)), "without {without}");
            let found = doctor.checks.iter().find(|one| one.name == check).unwrap();
            assert!(found.status == CheckStatus::Lacking && found.cure.is_some(), "{found:?}");
            for here in doctor.profiles.iter().filter(|here| here.profile != Profile::Host) {
                let layer = here.layers.iter().find(|layer| layer.name == lost).unwrap();
                assert_eq!(layer.status, LayerStatus::Absent, "{here:?}");
            }
            let (_, code) = examined(without, REQUIRED);
            assert_eq!(code, Some(1), "without {without}, required");
        }
        let told = on_a_kernel_without("landlock", baton, &["doctor"], REQUIRED);
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        for words in ["lacking  landlock", "cure: ", "no landlock", "Baton does not start here"] {
            assert!(said.contains(words), "`{words}` in {said}");
        }
    });
}

/// Files that another user may execute and write to, below a directory of that user's.
fn given_to(uid: u32, directory: &Path) {
    fs::create_dir(directory).unwrap();
    for name in ["baton", "baton-bridge", "baton-sessiond"] {
        fs::copy(binaries::path(name), directory.join(name)).unwrap();
    }
    fs::create_dir(directory.join("home")).unwrap();
    for path in [directory, &directory.join("home")] {
        std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
    }
}

#[test]
fn an_ordinary_user_has_the_same_and_its_programs_may_still_become_root() {
    const NOBODY: u32 = 65534;
    let uid = if nix::unistd::geteuid().is_root() { NOBODY } else { nix::unistd::geteuid().as_raw() };
    let root = tempfile::Builder::new().prefix("bt-").tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = root.path().join("own");
    given_to(uid, &own);
    let baton = |arguments: &[&str]| {
        let mut command = Command::new(own.join("baton"));
        command.args(arguments).env_clear().current_dir(&own).env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/bash");
        command.env("HOME", own.join("home")).env("BATON_HOME", own.join("b")).env("BATON_LISTEN", "127.0.0.1:0");
        if fs::metadata("/proc/self").unwrap().uid() != uid {
            command.uid(uid).gid(uid);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    baton(&["up"]);
    baton(&["new", "-d", "--name", "work", "--", "/bin/sh"]);
    let sessions: Vec<baton_proto::api::Session> = serde_json::from_str(&baton(&["ls", "--json"])).unwrap();
    let (program, worker) = (sessions[0].pid.unwrap(), sessions[0].worker_pid.unwrap());
    assert_eq!(field(program, "Uid").split_whitespace().next(), Some(uid.to_string().as_str()));
    assert_eq!((field(program, "NoNewPrivs"), field(program, "Seccomp")), ("0".to_owned(), "0".to_owned()));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while field(worker, "Seccomp") != "2" {
        assert!(std::time::Instant::now() < deadline, "the worker does not confine itself");
        std::thread::sleep(process::LOOK_EVERY);
    }
    let status: serde_json::Value = serde_json::from_str(&baton(&["status", "--json"])).unwrap();
    for process in status["confinement"].as_array().unwrap().iter().filter(|one| one["process"] != "launcher") {
        for layer in process["layers"].as_array().unwrap() {
            assert_eq!(layer["status"], "enforced", "{process}");
        }
    }
    // Its worker is killed, and the next one takes the terminal over.
    nix::sys::signal::kill(process::pid_of(worker), nix::sys::signal::Signal::SIGKILL).unwrap();
    baton(&["wait", "work", "--idle", "100"]);
    assert_eq!(baton(&["exec", "work", "--claim", "--", "echo it goes on"]).trim(), "it goes on");
    baton(&["down", "--sessions"]);
    for log in fs::read_dir(own.join("b/state/logs")).unwrap().flatten() {
        let text = fs::read_to_string(log.path()).unwrap();
        assert!(!text.contains(baton_sandbox::seccomp::MARK), "{}: {text}", log.path().display());
    }
}

#[test]
fn hosts_are_allowed_only_where_a_session_has_a_network_of_its_own() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        let project = project.to_str().unwrap();
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        let up = on_a_kernel_without("network", baton, &["up"], &[]);
        assert!(up.status.success(), "{up:?}");
        let new = ["new", "-d", "--sandbox", "workspace", "--cwd", project];
        let asked = |title: &str, more: &[&str], command: &[&str]| {
            [&new[..], &["--name", title], more, &["--"], command].concat().into_iter().map(str::to_owned).collect()
        };
        let sleep = ["/bin/sleep", "1000"];
        let with: Vec<String> = asked("with", &["--allow-host", "example.org"], &sleep);
        let without: Vec<String> = asked("without", &[], &sleep);
        let refused = baton.cli(with.iter().map(String::as_str)).await;
        let _ = baton.cli(without.iter().map(String::as_str)).await.ok();
        let sessions: Vec<baton_proto::api::Session> = baton.cli(["ls", "-a", "--json"]).await.json();
        let named = |title: &str| sessions.iter().find(|it| it.title == title).unwrap();
        // It is not started, rather than started with a way to every host.
        let exit = named("with").exit.as_ref().unwrap();
        for words in ["no network of its own", "baton doctor", "without `allow_hosts` it starts"] {
            assert!(exit.reason.contains(words), "`{words}` in {exit:?}; {refused:?}");
        }
        assert_eq!(named("with").pid, None);
        // And that is so: what it lacks is told, and a person may choose it.
        let network = named("without").sandbox.layers.iter().find(|layer| layer.name == "network").unwrap();
        assert_ne!(network.status, LayerStatus::Enforced, "{network:?}");
        assert!(named("without").exit.is_none() && named("without").pid.is_some());
    });
}
