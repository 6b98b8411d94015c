//! Sessions that may use the person's ssh agent: they list and sign with a real one, and do nothing else with it, whichever
//! process of Baton's is killed.
//!
//! Needs `ssh-agent`, `ssh-add`, `ssh-keygen` and `git`, and user namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, Explained, LayerStatus, SessionDetail};
use baton_proto::ids::SessionId;
use baton_proto::limits::Limits;
use baton_proto::spec::Profile;
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Setup, StreamClient, ordinary, scenario, session};
use http::Method;
use serde_json::{Value, json};

/// The person's agent, with a key that nobody else has.
struct Agent {
    directory: tempfile::TempDir,
    running: Child,
}

impl Agent {
    /// `None` where there is no such program.
    fn start() -> Option<Self> {
        let there = |name: &str| Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
        if ["ssh-agent", "ssh-add", "ssh-keygen", "git"].iter().any(|name| !there(name).status.success()) {
            println!("openssh-client or git is not installed: not tried");
            return None;
        }
        let directory = tempfile::Builder::new().prefix("agent").tempdir().unwrap();
        let key = directory.path().join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "person", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let running = Self::run(directory.path());
        let agent = Self { directory, running };
        agent.add();
        Some(agent)
    }

    fn run(directory: &Path) -> Child {
        let socket = directory.join("socket");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let running = command.spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        running
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// `ssh-add` outside.
    fn ask(&self, arguments: &[&str]) -> Output {
        Command::new("ssh-add")
            .args(arguments)
            .env("SSH_AUTH_SOCK", self.socket())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn add(&self) {
        // It listens a moment after its socket is there.
        while !self.ask(&[self.key().to_str().unwrap()]).status.success() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn keys(&self) -> String {
        String::from_utf8(self.ask(&["-L"]).stdout).unwrap()
    }

    fn stop(&mut self) {
        self.running.kill().unwrap();
        self.running.wait().unwrap();
    }

    fn restart(&mut self) {
        self.stop();
        let _ = fs::remove_file(self.socket());
        self.running = Self::run(self.directory.path());
        self.add();
    }

    /// As Baton is started where it is.
    fn setup(&self) -> Setup {
        Setup::plain().env("SSH_AUTH_SOCK", self.socket().to_str().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = (self.running.kill(), self.running.wait());
    }
}

/// A shell in a session, and where it leaves what it was told.
struct Inside {
    id: SessionId,
    project: PathBuf,
    client: StreamClient,
    asked: u32,
}

impl Inside {
    async fn new(baton: &Baton, agent: &Agent, request: CreateTerminal) -> Self {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        fs::copy(agent.key().with_extension("pub"), project.join("person.pub")).unwrap();
        let id = baton
            .create(&CreateTerminal {
                sandbox: Some(Profile::Workspace),
                cwd: Some(project.to_str().unwrap().to_owned()),
                ..request
            })
            .await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        Self { id, project, client, asked: 0 }
    }

    /// Runs a line; what it wrote, and how it ended.
    async fn run(&mut self, line: &str) -> String {
        self.asked += 1;
        let number = self.asked;
        let typed = format!(
            "{{ {line}; }} > out-{number} 2>&1; echo ended-$? >> out-{number}; echo asked-$(({number}+1000))\r"
        );
        self.client.type_text(&typed).await;
        self.client.until_output(&format!("asked-{}", number + 1000)).await;
        fs::read_to_string(self.project.join(format!("out-{number}"))).unwrap()
    }

    async fn attach_again(&mut self, baton: &Baton) {
        self.client = baton.attach(self.id, Attach::named("again")).await;
        self.client.claim(true).await.unwrap();
    }

    async fn kill_worker(&mut self, baton: &Baton) {
        let worker = baton.session(self.id).await.session.worker_pid.unwrap();
        Process::of(worker).kill().await;
        let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{}", self.id), next).await;
        self.attach_again(baton).await;
    }
}

/// Verifies outside what was signed inside.
fn is_signed(agent: &Agent, file: &Path) -> bool {
    let public = fs::read_to_string(agent.key().with_extension("pub")).unwrap();
    let allowed = agent.directory.path().join("allowed");
    fs::write(&allowed, format!("me {public}")).unwrap();
    let signature = PathBuf::from(format!("{}.sig", file.display()));
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-I", "me", "-n", "file", "-f"]).arg(&allowed).arg("-s").arg(signature);
    verify.stdin(fs::File::open(file).unwrap()).output().unwrap().status.success()
}

fn relays(id: SessionId) -> Vec<Process> {
    let of_session = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("\0agent\0") && line.contains(&id.to_string())
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid| of_session(*pid)).filter_map(Process::find).collect()
}

/// Waits until there are so many.
async fn are(id: SessionId, count: usize) -> Vec<Process> {
    loop {
        let found = relays(id);
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_session_lists_and_signs_and_nothing_else() {
    let Some(agent) = Agent::start() else { return };
    let setup = agent.setup();
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let mut inside = Inside::new(baton, &agent, CreateTerminal { ssh_agent: true, ..session::bash() }).await;
        let keys = agent.keys();
        assert_eq!(inside.run("ssh-add -L").await, format!("{keys}ended-0\n"));
        let told = inside.run("echo hello > text; ssh-keygen -Y sign -n file -f person.pub text").await;
        assert!(told.ends_with("ended-0\n") && is_signed(&agent, &inside.project.join("text")), "{told}");
        fs::write(inside.project.join("text"), "other").unwrap();
        assert!(!is_signed(&agent, &inside.project.join("text")), "a signature is of one text");
        // The person's git signs as it does outside.
        let configured = "git init -q repo && cd repo && git config user.name me && git config user.email me@host.test && \
                          git config gpg.format ssh && git config user.signingkey ../person.pub";
        let told = inside.run(&format!("({configured} && git commit -q --allow-empty -S -m signed)")).await;
        assert!(told.ends_with("ended-0\n"), "{told}");
        let verified = Command::new("git")
            .args(["-c", &format!("gpg.ssh.allowedSignersFile={}/allowed", agent.directory.path().display())])
            .args(["-c", "safe.directory=*", "verify-commit", "HEAD"])
            .env("HOME", baton.person())
            .current_dir(inside.project.join("repo"))
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
        // Everything else is refused here, and nothing of it has come to the agent.
        inside.run("ssh-keygen -q -t ed25519 -N '' -C other -f other; printf '#!/bin/sh\\necho pass\\n' > ask; chmod +x ask").await;
        inside.run("export SSH_ASKPASS=$PWD/ask SSH_ASKPASS_REQUIRE=force").await;
        for refused in [
            "ssh-add -D",
            "ssh-add -d person.pub",
            "ssh-add other",
            "ssh-add -x",
            "ssh-add -X",
            "ssh-add -s /usr/lib/none.so",
        ] {
            let told = inside.run(refused).await;
            assert!(!told.ends_with("ended-0\n"), "{refused}: {told}");
            assert_eq!(agent.keys(), keys, "{refused}");
        }
        // The key itself and the agent's own socket are where they are for nobody here; what leads to it stays.
        let own = agent.directory.path().display();
        for closed in [
            format!("cat {own}/key"),
            format!("ls {own}"),
            format!("SSH_AUTH_SOCK={own}/socket ssh-add -l"),
            "rm -rf /tmp/baton-ssh-agent".to_owned(),
            "rm -f $SSH_AUTH_SOCK".to_owned(),
            "mv /tmp/baton-ssh-agent /tmp/x".to_owned(),
            "touch /tmp/baton-ssh-agent/x".to_owned(),
            "chmod 777 $SSH_AUTH_SOCK".to_owned(),
        ] {
            let told = inside.run(&closed).await;
            assert!(!told.ends_with("ended-0\n"), "{closed}: {told}");
        }
        assert_eq!(inside.run("ssh-add -L").await, format!("{keys}ended-0\n"));
        // It is told what it has.
        let detail = baton.session(inside.id).await;
        let layer = detail.session.sandbox.layers.into_iter().find(|it| it.name == "ssh-agent").expect("a line for it");
        assert!(layer.status == LayerStatus::Enforced && layer.detail.is_some_and(|it| it.contains("sign")));
        let explained = baton
            .cli(["sandbox", "explain", "--json", "--session", &inside.id.to_string(), "/tmp/baton-ssh-agent/x"])
            .await;
        let explained: Explained = serde_json::from_str(&explained.ok()).unwrap();
        assert!(!explained.create.allowed, "{explained:?}");
        // With its own places in memory it is the same.
        let limits = Limits { disk_bytes: Some(8 << 20), ..Limits::default() };
        let mut small = Inside::new(baton, &agent, CreateTerminal { ssh_agent: true, limits, ..session::bash() }).await;
        assert_eq!(small.run("ssh-add -L").await, format!("{keys}ended-0\n"));
    });
    ordinary::again("ssh_agent::a_session_lists_and_signs_and_nothing_else");
}

#[test]
fn whichever_process_is_killed_the_session_signs() {
    let Some(mut agent) = Agent::start() else { return };
    let setup = agent.setup();
    scenario(Duration::from_secs(180), setup, async |baton: &Baton| {
        let mut inside = Inside::new(baton, &agent, CreateTerminal { ssh_agent: true, ..session::bash() }).await;
        let listed = "until ssh-add -l; do sleep 0.01; done";
        let pair = are(inside.id, 2).await;
        assert!(inside.run("ssh-add -l").await.contains("person"));
        // Who serves has given up everything else; the spare has not yet.
        let seen: Vec<_> = pair.iter().filter_map(|it| baton_sandbox::own::seen(it.pid)).collect();
        assert!(seen.iter().all(|it| it.no_new_privs) && seen.iter().filter(|it| it.filtered).count() == 1, "{seen:?}");
        baton.kill_sessiond().await;
        assert!(inside.run("ssh-add -l").await.contains("person"), "sessiond was killed");
        inside.kill_worker(baton).await;
        assert!(inside.run("ssh-add -l").await.contains("person"), "the worker was killed");
        for round in 0..6 {
            let pair = are(inside.id, 2).await;
            pair[round % 2].kill().await;
            assert!(inside.run(listed).await.contains("person"), "{round}");
            if relays(inside.id).len() < 2 {
                // It was the spare, or the spare serves before it has one: the next worker sees to it.
                inside.kill_worker(baton).await;
            }
        }
        baton.kill_bridge().await;
        inside.attach_again(baton).await;
        // Without an agent there is an answer, and with the next one keys.
        agent.stop();
        let told = inside.run("ssh-add -l").await;
        assert!(!told.ends_with("ended-0\n") && !told.contains("person"), "{told}");
        agent.restart();
        assert!(inside.run("ssh-add -l").await.contains("person"), "another agent at the same path");
        inside.client.type_text("exit\r").await;
        inside.client.until_exit().await;
        are(inside.id, 0).await;
        // Another life of the program has another pair.
        let _ = baton.cli(["respawn", "--yes", &inside.id.to_string()]).await.ok();
        inside.attach_again(baton).await;
        assert!(inside.run("ssh-add -l").await.contains("person"), "respawned");
        are(inside.id, 2).await;
    });
}

#[test]
fn an_agent_is_lent_only_to_who_asks_and_may() {
    let Some(agent) = Agent::start() else { return };
    let setup = agent.setup();
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let mut inside = Inside::new(baton, &agent, session::bash()).await;
        let told = inside.run("echo [$SSH_AUTH_SOCK]; ls -A /tmp; ssh-add -l").await;
        assert!(told.starts_with("[]\n") && !told.contains("baton-ssh-agent") && !told.contains("person"), "{told}");
        assert!(relays(inside.id).is_empty());
        let detail = baton.session(inside.id).await;
        assert!(!detail.session.sandbox.layers.iter().any(|it| it.name == "ssh-agent"));
        let create = "/v1/terminal/sessions";
        let ask = |profile: &str, socket: &str| {
            json!({"command": ["true"], "cwd": "/usr", "sandbox": profile, "grants": if profile == "host" { Value::Null } else { json!([]) },
                   "ssh_agent": true, "env": {"SSH_AUTH_SOCK": socket}})
        };
        let socket = agent.socket().to_str().unwrap().to_owned();
        let long = format!("/{}", "x".repeat(107));
        for (profile, socket, why) in [
            ("locked", socket.as_str(), "`locked`"),
            ("host", &socket, "not confined"),
            ("workspace", "socket", "absolute path"),
            ("workspace", &long, "absolute path"),
            ("workspace", "/usr", "no socket"),
            ("workspace", "/nowhere/socket", "start one"),
            ("workspace", "", "SSH_AUTH_SOCK"),
        ] {
            let problem = baton.api().refused(Method::POST, create, &ask(profile, socket), ErrorCode::Invalid).await;
            assert!(problem.detail.contains(why), "{profile} {socket}: {}", problem.detail);
        }
        let body = json!({"name": "fixer", "role": "agent", "agent_id": "fixer"});
        let token: Value = baton.api().post("/v1/auth/tokens", &body).await;
        let fixer = baton.nobody().with_token(token["token"].as_str().unwrap());
        let problem = fixer.refused(Method::POST, create, &ask("workspace", &socket), ErrorCode::Denied).await;
        assert!(problem.detail.contains("let a person start"), "{}", problem.detail);
        // On the command line.
        let cwd = inside.project.to_str().unwrap();
        let new = [
            "new",
            "-d",
            "--sandbox",
            "workspace",
            "--ssh-agent",
            "--cwd",
            cwd,
            "--",
            "sh",
            "-c",
            "ssh-add -L > listed; echo $? >> listed",
        ];
        let id = baton.cli(new).await.ok();
        let ended = |it: &SessionDetail| it.session.exit.is_some();
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{}", id.trim()), ended).await;
        assert_eq!(fs::read_to_string(inside.project.join("listed")).unwrap(), format!("{}0\n", agent.keys()));
    });
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let new = baton.cli(["new", "-d", "--sandbox", "workspace", "--ssh-agent", "--cwd", "/usr"]).await;
        assert!(
            new.code != Some(0) && new.stderr.contains("SSH_AUTH_SOCK") && new.stderr.contains("ssh-add"),
            "{new:?}"
        );
    });
}
