//! Sessions under `workspace` and `locked`: what must not get out, what must work, and that the confinement is told and kept
//! through the death of any process. As root, what needs it is tried as an ordinary user, too.
//!
//! Needs a kernel with Landlock's sixth interface and user namespaces (Linux 6.12).

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, Created, FolderGrant, SessionDetail, SessionStatus, WaitAnswer};
use baton_proto::ids::SessionId;
use baton_proto::limits::Limits;
use baton_proto::spec::{LayerStatus, Profile};
use baton_tests::process::Process;
use baton_tests::{Attach, Baton, Setup, binaries, ordinary, scenario, session};
use http::Method;
use serde_json::json;

const PROFILES: [Profile; 2] = [Profile::Workspace, Profile::Locked];
/// Runs a test of this module again without privileges, when this process has some.
fn again_as_ordinary_user(test: &str) {
    ordinary::again(&format!("confined::{test}"));
}

fn grant(path: &std::path::Path, rights: &str) -> FolderGrant {
    FolderGrant {
        root_path: path.to_str().unwrap().to_owned(),
        allow_write: rights.contains('w'),
        allow_create: rights.contains('c'),
        allow_delete: rights.contains('d'),
        ..FolderGrant::default()
    }
}

/// What a hostile program works on: a user's home with a key, and other programs of the user.
struct World {
    values: BTreeMap<&'static str, String>,
    project: PathBuf,
    read_only: PathBuf,
    victim: Child,
    _sockets: (UnixListener, UnixListener, TcpListener),
    shared: PathBuf,
}

impl World {
    async fn new(baton: &Baton) -> Self {
        let (home, outside) = (baton.person(), baton.scratch().join("outside"));
        let (project, read_only) = (home.join("project"), home.join("read"));
        for directory in [&home.join(".ssh"), &outside, &project, &read_only] {
            fs::create_dir_all(directory).unwrap();
        }
        let key = home.join(".ssh/id");
        fs::write(&key, "PRIVATE KEY").unwrap();
        fs::write(outside.join("file"), "outside").unwrap();
        fs::write(outside.join("moved"), "outside").unwrap();
        fs::write(read_only.join("file"), "read").unwrap();
        fs::write(project.join("mine"), "mine").unwrap();
        fs::write(baton.scratch().join("temporary"), "temporary").unwrap();
        fs::hard_link(&key, project.join("hard")).unwrap();
        std::os::unix::fs::symlink(&key, project.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("file"), project.join("out")).unwrap();
        fs::copy(binaries::path("baton-hostile-program"), project.join("hostile")).unwrap();
        let shared = PathBuf::from(format!("/dev/shm/baton-test-{}", std::process::id()));
        fs::write(&shared, "shared").unwrap();
        let victim = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let name = format!("baton-test-{}", std::process::id());
        let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path_socket = UnixListener::bind(outside.join("socket")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_address = udp.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut bytes = [0; 16];
            while let Ok((count, from)) = udp.recv_from(&mut bytes) {
                let _ = udp.send_to(&bytes[..count], from);
            }
        });
        let other = baton.script("tty; sleep 1000").await;
        let start = baton.session(other).await.session.oldest_cursor;
        let wait = json!({"until": {"pattern": "/dev/pts/[0-9]+", "cursor": start}});
        let terminal: WaitAnswer = baton.api().post(&format!("/v1/terminal/sessions/{other}/wait"), &wait).await;
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let values = BTreeMap::from([
            ("root", if nix::unistd::geteuid().is_root() { "yes" } else { "no" }.to_owned()),
            ("home", text(home)),
            ("key", text(key)),
            ("project", text(project.clone())),
            ("outside", text(outside.clone())),
            ("outside_file", text(outside.join("file"))),
            ("read_only_file", text(read_only.join("file"))),
            ("token", text(baton.home.token_file())),
            ("install_key", text(baton.home.key_file())),
            ("victim", victim.id().to_string()),
            ("abstract", name),
            ("path_socket", text(outside.join("socket"))),
            ("bridge_socket", text(baton.socket.clone())),
            ("tcp", tcp.local_addr().unwrap().to_string()),
            ("udp", udp_address),
            ("terminal", terminal.text.unwrap()),
            ("shared_memory", text(shared.clone())),
            ("temporary_file", text(baton.scratch().join("temporary"))),
        ]);
        Self { values, project, read_only, victim, _sockets: (abstract_socket, path_socket, tcp), shared }
    }

    /// Runs the hostile program; which attempts got in, and which did not and why.
    async fn attack(&self, baton: &Baton, profile: Profile) -> (Vec<String>, Vec<String>) {
        let set_user = self.project.join("set-user-before");
        fs::write(&set_user, "mine").unwrap();
        fs::set_permissions(&set_user, fs::Permissions::from_mode(0o4700)).unwrap();
        let mut command = vec![self.project.join("hostile").to_str().unwrap().to_owned()];
        command.extend(self.values.iter().map(|(name, value)| format!("{name}={value}")));
        let confined = profile != Profile::Host;
        let id = baton
            .create(&CreateTerminal {
                command: Some(command),
                cwd: Some(self.project.to_str().unwrap().to_owned()),
                cols: Some(400),
                sandbox: Some(profile),
                grants: confined.then(|| vec![grant(&self.project, "rwcd"), grant(&self.read_only, "r")]),
                ..CreateTerminal::default()
            })
            .await;
        let start = baton.session(id).await.session.oldest_cursor;
        let wait = |pattern: &str| json!({"until": {"pattern": pattern, "cursor": start}, "timeout_s": 60.0});
        let path = format!("/v1/terminal/sessions/{id}/wait");
        let port: WaitAnswer = baton.api().post(&path, &wait("port [0-9]+")).await;
        let port: u16 = port.text.unwrap().trim_start_matches("port ").parse().unwrap();
        // A port that nobody bound is reached from outside, or is not.
        let reached = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok();
        let done: WaitAnswer = baton.api().post(&path, &wait("(?m)^done$")).await;
        assert_eq!(done.matched, "pattern", "the hostile program does not come to its end");
        let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
        assert_eq!(output.contains("listen_unbound in"), reached, "{output}");
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for line in output.lines().map(str::trim_end) {
            match line.split_once(' ') {
                Some((name, "in")) => inside.push(name.to_owned()),
                Some((_, why)) if why.starts_with("out ") => outside.push(line.to_owned()),
                // The line that was typed into the terminal shows.
                _ => assert!(line.is_empty() || line == "done" || line.starts_with("port "), "{line}"),
            }
        }
        (inside, outside)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = (self.victim.kill(), self.victim.wait(), fs::remove_file(&self.shared));
    }
}

#[test]
fn no_way_out_and_every_way_is_one_where_nothing_confines() {
    let setup = Setup::plain().env("PLANTED_TOKEN", "planted");
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let world = World::new(baton).await;
        // Otherwise a test that fails to attack would look like one that is defended.
        let (inside, outside) = world.attack(baton, Profile::Host).await;
        // Not everywhere in a kernel; limited by whoever started the tests; or nobody's at all.
        const ELSEWHERE: [&str; 6] =
            ["mptcp", "core_dumps", "make_in_home", "more_descriptors", "root_reads_kernel_log", "snapshot_of_grant"];
        for line in &outside {
            let name = line.split(' ').next().unwrap();
            let only_root = name.starts_with("root_") && !nix::unistd::geteuid().is_root();
            assert!(
                ELSEWHERE.contains(&name) || only_root || switched_off(name, line),
                "unconfined, and did not get in: {line}"
            );
        }
        assert!(!inside.contains(&"more_descriptors".to_owned()), "descriptors of Baton's are open in a session");
        assert!(baton.person().join("made_in_home").exists());
        fs::remove_file(baton.person().join("made_in_home")).unwrap();
        for profile in PROFILES {
            let (inside, outside_again) = world.attack(baton, profile).await;
            assert!(inside.is_empty(), "{profile:?}: got in by {inside:?}");
            // Refused by the filter, not because this terminal is no console, or the kernel has no such thing.
            for call in
                ["io_uring", "type_into_terminal", "paste_into_console", "set_user_by_openat2", "snapshot_of_grant"]
            {
                let line = outside_again.iter().find(|line| line.starts_with(&format!("{call} out "))).unwrap();
                // Programs that would use these go on without when the kernel has none: that is what they are told.
                let fall_back = ["io_uring", "set_user_by_openat2"].contains(&call);
                let refused = line.contains("not permitted") || (fall_back && line.contains("not implemented"));
                assert!(refused || !perl_is_there(), "{profile:?}: {line}");
            }
            let attempts = inside.len() + outside_again.len();
            assert_eq!(
                attempts,
                outside.len() + world_attempts(&outside_again, &outside),
                "{profile:?}: {outside_again:?}"
            );
            assert!(!baton.person().join("made_in_home").exists(), "{profile:?}: HOME is the user's");
            assert_eq!(fs::read_to_string(&world.values["outside_file"]).unwrap(), "outside");
        }
    });
    again_as_ordinary_user("no_way_out_and_every_way_is_one_where_nothing_confines");
}

fn perl_is_there() -> bool {
    Command::new("perl").args(["-e", "1"]).status().is_ok_and(|status| status.success())
}

/// Whether this host keeps it even from programs that nothing confines: TIOCSTI since Linux 6.2 from all but root, io_uring
/// since 6.6, if somebody says so (`dev.tty.legacy_tiocsti`, `kernel.io_uring_disabled`).
fn switched_off(name: &str, line: &str) -> bool {
    let setting = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    match name {
        _ if !perl_is_there() => {
            ["io_uring", "type_into_terminal", "paste_into_console", "set_user_by_openat2", "lease_read_only"]
                .contains(&name)
        }
        // A file system without leases, or a host that has them switched off.
        "lease_read_only" => setting("/proc/sys/fs/leases-enable") == "0" || line.contains("Invalid argument"),
        "io_uring" => {
            line.contains("not implemented")
                || !["", "0"].contains(&setting("/proc/sys/kernel/io_uring_disabled").as_str())
        }
        "type_into_terminal" => setting("/proc/sys/dev/tty/legacy_tiocsti") == "0",
        // A terminal of ours is no console.
        "paste_into_console" => line.contains("Inappropriate ioctl"),
        _ => false,
    }
}

/// How many attempts there are beside those that failed unconfined, too.
fn world_attempts(confined: &[String], unconfined: &[String]) -> usize {
    let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let failed: Vec<String> = unconfined.iter().map(name).collect();
    confined.iter().map(name).filter(|attempt| !failed.contains(attempt)).count()
}

/// Runs a script in a session of its own and returns what it wrote.
async fn run(baton: &Baton, request: &CreateTerminal) -> String {
    let id = baton.create(request).await;
    let start = baton.session(id).await.session.oldest_cursor;
    let wait = json!({"until": {"pattern": "(?m)^END [0-9]+$", "cursor": start}, "timeout_s": 60.0});
    let waited: WaitAnswer = baton.api().post(&format!("/v1/terminal/sessions/{id}/wait"), &wait).await;
    let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
    assert_eq!(waited.matched, "pattern", "{output}");
    output
}

#[test]
fn what_a_developer_expects_works() {
    scenario(Duration::from_secs(180), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        fs::write(baton.person().join(".gitconfig"), "[user]\nname = A\nemail = a@example\n").unwrap();
        // What is installed below another HOME is not this one's; `/opt/tools` is nowhere else.
        let path = BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin:/opt/tools".to_owned())]);
        let programs: [(&str, &str); 9] = [
            ("login", "bash -lc 'echo $PATH' | grep -q :/opt/tools"),
            (
                "npm",
                "mkdir b && echo '{\"name\": \"b\", \"version\": \"1.0.0\"}' > b/package.json && npm init -y >/dev/null && \
                 npm install --offline --no-audit ./b && test -e node_modules/b/package.json && npm exec --offline -c 'node -p 6*7'",
            ),
            (
                "bash",
                "bash -ic 'f() { echo ok-$((6*7)); }; f; diff <(echo a) <(echo a) && echo same' && mktemp >/dev/null",
            ),
            ("zsh", "zsh -ic 'print ok-$((6*7))'"),
            (
                "git",
                "git init -q r && cd r && echo one > f && git add f && git commit -qm first && echo two > f && \
                 git diff --stat | grep -q 'f |' && git commit -qam second && git worktree add -q ../w && git log --oneline | wc -l",
            ),
            (
                "python3",
                "python3 -m venv --without-pip v && v/bin/python -c 'import tempfile, multiprocessing; \
                         tempfile.TemporaryFile(); q = multiprocessing.Queue(); q.put(1); print(q.get())'",
            ),
            ("vim", "vim -es -u NONE -c 'normal ihello' -c wq text && grep -q hello text"),
            (
                "tmux",
                "tmux -L t new -d -s x 'echo in-tmux > t; tmux -L t wait-for -S d; sleep 100' && tmux -L t wait-for d && grep in-tmux t && tmux -L t kill-server",
            ),
            ("script", "script -qc 'tty' /dev/null | grep -q /dev/pts/"),
        ];
        for (program, script) in programs {
            let there = |directory: &&str| std::path::Path::new(directory).join(program).exists();
            if !["/usr/local/bin", "/usr/bin", "/bin"].iter().any(there) {
                continue;
            }
            let directory = project.join(program);
            fs::create_dir_all(&directory).unwrap();
            let request = CreateTerminal {
                sandbox: Some(Profile::Workspace),
                cwd: Some(directory.to_str().unwrap().to_owned()),
                env: path.clone(),
                ..session::shell_script(&format!("( {script} ); echo END $?"))
            };
            let output = run(baton, &request).await;
            assert!(output.contains("END 0"), "{program}: {output}");
        }
        builds_offline(baton, &project).await;
        // Where its own files are bounded, they lie in another file system.
        let request = CreateTerminal {
            sandbox: Some(Profile::Workspace),
            cwd: Some(project.to_str().unwrap().to_owned()),
            env: path.clone(),
            limits: Limits { disk_bytes: Some(64 << 20), ..Limits::default() },
            ..session::shell_script("bash -lc 'echo $PATH' | grep -q :/opt/tools; echo END $?")
        };
        let output = run(baton, &request).await;
        assert!(output.contains("END 0"), "{output}");
        // Its own terminal has a name.
        let request = CreateTerminal {
            sandbox: Some(Profile::Workspace),
            cwd: Some(project.to_str().unwrap().to_owned()),
            ..session::shell_script("tty; echo END $?")
        };
        let output = run(baton, &request).await;
        assert!(output.contains("END 0") || !std::path::Path::new("/dev/console").exists(), "{output}");
    });
    again_as_ordinary_user("what_a_developer_expects_works");
}

/// cargo, where the toolchain that built this may be read by whom the test runs as.
async fn builds_offline(baton: &Baton, project: &std::path::Path) {
    let cargo = fs::canonicalize(env!("CARGO")).unwrap_or_default();
    let Some(toolchain) = cargo.parent().and_then(std::path::Path::parent) else { return };
    if !toolchain.join("lib").is_dir() {
        return println!("not tried: cargo, which this user may not read");
    }
    let directory = project.join("crate");
    fs::create_dir_all(&directory).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", toolchain.join("bin").display());
    let script = "cargo init --quiet --name hello . && cargo build --offline --quiet && ./target/debug/hello";
    let request = CreateTerminal {
        sandbox: Some(Profile::Workspace),
        cwd: Some(directory.to_str().unwrap().to_owned()),
        grants: Some(vec![grant(&directory, "wcd"), grant(toolchain, "")]),
        env: BTreeMap::from([("PATH".to_owned(), path)]),
        ..session::shell_script(&format!("( {script} ); echo END $?"))
    };
    let output = run(baton, &request).await;
    assert!(output.contains("Hello, world!") && output.contains("END 0"), "{output}");
}

async fn confined_shell(baton: &Baton) -> SessionId {
    let project = baton.person().join("project");
    fs::create_dir_all(&project).unwrap();
    let request = CreateTerminal {
        sandbox: Some(Profile::Workspace),
        cwd: Some(project.to_str().unwrap().to_owned()),
        ..session::bash()
    };
    baton.create(&request).await
}

fn assert_whole(detail: &SessionDetail) {
    let sandbox = &detail.session.sandbox;
    let names: Vec<&str> = sandbox.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["mounts", "network", "privileges", "landlock", "seccomp"]);
    assert!(sandbox.layers.iter().all(|layer| layer.status == LayerStatus::Enforced), "{sandbox:?}");
}

#[test]
fn the_report_and_the_confinement_outlive_every_process() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let id = confined_shell(baton).await;
        let path = format!("/v1/sessions/{id}");
        let first = baton.session(id).await;
        assert_whole(&first);
        assert_eq!(first.session.grants.len(), 1);
        assert!(first.session.grants[0].allow_delete, "without grants: the directory, with all rights");
        let program = first.session.pid.unwrap();
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        // The worker looks into the program's own view.
        client.type_text("mkdir -p sub && cd sub && echo at-$((40+2))\r").await;
        client.until_output("at-42").await;
        let inside = |detail: &SessionDetail| detail.cwd.as_ref().is_some_and(|cwd| cwd.ends_with("/project/sub"));
        let _: SessionDetail = baton.api().get_until(&path, inside).await;
        // Killed, the worker is succeeded: the same program, the same report.
        Process::of(first.session.worker_pid.unwrap()).kill().await;
        let next =
            |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| Some(pid) != first.session.worker_pid);
        let detail: SessionDetail = baton.api().get_until(&path, next).await;
        assert_eq!(detail.session.pid, Some(program));
        assert_whole(&detail);
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        let detail: SessionDetail =
            baton.api().get_until(&path, |detail: &SessionDetail| detail.session.pid == Some(program)).await;
        assert_whole(&detail);
        let private = baton.home.sessions_dir().join(id.to_string()).join("private");
        assert!(private.join("home").is_dir());
        // The end is learned, and what was its own is gone.
        let mut client = baton.attach(id, Attach::named("B")).await;
        client.claim(true).await.unwrap();
        client.type_text("mkdir -p ~/a/b && chmod 0 ~/a; echo kept > /tmp/file; exit 7\r").await;
        let exit = client.until_exit().await;
        assert_eq!(exit.code, Some(7));
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
        let detail: SessionDetail = baton.api().get_until(&path, ended).await;
        assert_whole(&detail);
        for _ in 0..500 {
            if !private.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!private.exists(), "its temporary files are still there");
        // Started again it is confined again.
        let again: SessionDetail = baton.api().post(&format!("{path}/respawn"), &json!({})).await;
        assert_ne!(again.session.instance, first.session.instance);
        let reported = |detail: &SessionDetail| !detail.session.sandbox.layers.is_empty();
        let detail: SessionDetail = baton.api().get_until(&path, reported).await;
        assert_whole(&detail);
        let mut client = baton.attach(id, Attach::named("C")).await;
        client.claim(true).await.unwrap();
        client.type_text("cat /etc/shadow; ls /tmp ~/a; echo still-$((1+1))\r").await;
        client.until_output("still-2").await;
        let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
        assert!(!output.contains("root:") && !output.contains("file\r"), "{output}");
    });
}

#[test]
fn what_is_asked_for_is_what_is_given_or_refused_with_a_reason() {
    let setup = Setup::plain().env("BATON_SANDBOX__ALLOW_HOST", "false").env("BATON_SANDBOX__REQUIRE", "true");
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let api = baton.api();
        let create = "/v1/terminal/sessions";
        let ask = |body: serde_json::Value| async move {
            let mut whole = json!({"command": ["sh", "-c", "sleep 1000"]});
            whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            whole
        };
        for host in [json!({}), json!({"sandbox": "host"})] {
            let problem = api.refused(Method::POST, create, &ask(host).await, ErrorCode::Denied).await;
            assert!(problem.detail.contains("sandbox.allow_host"), "{}", problem.detail);
        }
        let hosts = json!({"sandbox": "locked", "allow_hosts": ["example.com"]});
        let problem = api.refused(Method::POST, create, &ask(hosts).await, ErrorCode::Invalid).await;
        assert!(problem.detail.contains("allow_hosts"), "{}", problem.detail);
        let relative = json!({"sandbox": "workspace", "grants": [{"root_path": "project"}]});
        api.refused(Method::POST, create, &ask(relative).await, ErrorCode::Invalid).await;
        // A grant that would undo the profile starts nothing, and says why.
        let ssh = baton.person().join(".ssh");
        fs::create_dir_all(&ssh).unwrap();
        for (root, why) in
            [("/", "whole file system"), ("/etc", "programs of the system"), (ssh.to_str().unwrap(), "secrets")]
        {
            let body = json!({"sandbox": "locked", "cwd": "/usr", "grants": [
                {"root_path": root, "allow_write": true, "allow_create": true, "allow_delete": true}]});
            let created: Created = api.post(create, &ask(body).await).await;
            let failed = |detail: &SessionDetail| detail.session.status == SessionStatus::Failed;
            let detail: SessionDetail = api.get_until(&format!("/v1/sessions/{}", created.session_id), failed).await;
            let failure = detail.session.failure.unwrap();
            assert!(failure.contains(why) && failure.contains("grant a directory below it"), "{failure}");
        }
        // Without grants and directory: nothing of the user's, its own HOME.
        let created: Created = api.post(create, &ask(json!({"sandbox": "locked"})).await).await;
        let detail = baton.session(created.session_id).await;
        assert_whole(&detail);
        assert!(detail.session.grants.is_empty());
        // An agent is confined unless it asks not to be, which it may not.
        let body = json!({"name": "fixer", "role": "agent", "agent_id": "fixer"});
        let token: serde_json::Value = api.post("/v1/auth/tokens", &body).await;
        let agent = baton.nobody().with_token(token["token"].as_str().unwrap());
        agent.refused(Method::POST, create, &ask(json!({"sandbox": "host"})).await, ErrorCode::Denied).await;
        let created: Created = agent.post(create, &ask(json!({})).await).await;
        assert_eq!(baton.session(created.session_id).await.session.sandbox.profile, Profile::Workspace);
    });
}

/// A session that may write beside one of its grants puts a link to something else of the person's in its place.
#[test]
fn a_respawn_means_the_directories_that_were_granted_first() {
    let setup = Setup::plain();
    scenario(Duration::from_secs(60), setup, async |baton: &Baton| {
        let (project, private) = (baton.person().join("project"), baton.person().join("private"));
        fs::create_dir_all(project.join("sub")).unwrap();
        fs::create_dir_all(&private).unwrap();
        fs::write(private.join("diary"), "TOPSECRET").unwrap();
        let script = format!("cat {0}/diary; rmdir sub; ln -s {0} sub; echo END", private.display());
        let request = CreateTerminal {
            command: Some(vec!["sh".to_owned(), "-c".to_owned(), script]),
            cwd: Some(project.to_str().unwrap().to_owned()),
            sandbox: Some(Profile::Workspace),
            grants: Some(vec![grant(&project, "wcd"), grant(&project.join("sub"), "wcd")]),
            ..CreateTerminal::default()
        };
        let id = baton.create(&request).await;
        let path = format!("/v1/sessions/{id}");
        let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
        let _: SessionDetail = baton.api().get_until(&path, ended).await;
        assert!(project.join("sub").is_symlink());
        let failed = |detail: &SessionDetail| detail.session.status == SessionStatus::Failed;
        let _: SessionDetail = baton.api().post(&format!("{path}/respawn"), &json!({})).await;
        let detail: SessionDetail = baton.api().get_until(&path, failed).await;
        let failure = detail.session.failure.unwrap();
        for said in [project.join("sub"), private] {
            assert!(failure.contains(&format!("`{}`", said.display())), "{failure}");
        }
        let output = String::from_utf8_lossy(&baton.output(id).await).into_owned();
        assert!(!output.contains("TOPSECRET"), "{output}");
    });
}

#[test]
fn the_command_line_says_how_a_session_is_confined() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        let project = project.to_str().unwrap();
        let new = baton
            .cli([
                "new",
                "-d",
                "-n",
                "inside",
                "--sandbox",
                "workspace",
                "--grant",
                &format!("{project}:r"),
                "--cwd",
                project,
            ])
            .await;
        assert_eq!(new.code, Some(0), "{new:?}");
        assert!(!new.stderr.contains("Not all"), "{new:?}");
        let plain = baton.cli(["new", "-d", "-n", "outside"]).await.ok();
        assert!(plain.starts_with("ses_"));
        let list = baton.cli(["ls"]).await.ok();
        let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(list.lines().next().unwrap().contains("SANDBOX"), "{list}");
        assert!(row("inside").contains(" workspace "), "{list}");
        assert!(row("outside").contains(" - "), "{list}");
        // Without a sandbox there is nothing to grant.
        let odd = baton.cli(["new", "-d", "--grant", project]).await;
        assert_eq!(odd.code, Some(2), "{odd:?}");
    });
}

#[test]
fn nothing_that_a_confined_program_started_outlives_its_session() {
    scenario(
        Duration::from_secs(120),
        Setup::plain().env("BATON_SESSION__CLOSE_GRACE_S", "1"),
        async |baton: &Baton| {
            let project = baton.person().join("project");
            fs::create_dir_all(&project).unwrap();
            // Every mark of the session left behind, by two forks, a session of its own, an empty environment; deaf to SIGHUP.
            let hidden = "trap '' HUP TERM; setsid env -i /bin/sh -c '(while :; do date +%s%N >beat; sleep 0.05; done) & exit 0' & \
                      while [ ! -s beat ]; do sleep 0.05; done; exit 3";
            let start = async |sandbox: Profile, limits: Limits, script: &str| {
                let _ = fs::remove_file(project.join("beat"));
                let confined = sandbox != Profile::Host;
                baton
                    .create(&CreateTerminal {
                        sandbox: Some(sandbox),
                        cwd: Some(project.to_str().unwrap().to_owned()),
                        grants: confined.then(|| vec![grant(&project, "rwcd")]),
                        limits,
                        ..session::shell_script(script)
                    })
                    .await
            };
            let ended = async |id: SessionId| -> SessionDetail {
                let over = |detail: &SessionDetail| {
                    matches!(detail.session.status, SessionStatus::Exited | SessionStatus::Closed)
                };
                baton.api().get_until(&format!("/v1/sessions/{id}"), over).await
            };
            // What it says is that it exits, and how; not that somebody closed it.
            let id = start(Profile::Workspace, Limits::default(), hidden).await;
            let exit = ended(id).await.session.exit.unwrap();
            assert_eq!((exit.code, exit.reason.as_str()), (Some(3), "exit"));
            still(&project).await;
            // Nor past a limit, or a `close`, or the death of the worker that knew it.
            let limits = Limits { wall_s: Some(2), ..Limits::default() };
            let goes_on = hidden.replace("exit 3", "sleep 1000");
            let id = start(Profile::Workspace, limits, &goes_on).await;
            let exit = ended(id).await.session.exit.unwrap();
            assert_eq!(exit.reason, "killed: wall time limit 2 s");
            still(&project).await;
            let id = start(Profile::Locked, Limits::default(), &hidden.replace("exit 3", "read go; exit 4")).await;
            let mut client = baton.attach(id, Attach::named("A")).await;
            client.claim(false).await.unwrap();
            let worker = baton.session(id).await.session.worker_pid.unwrap();
            Process::of(worker).kill().await;
            let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
            let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), next).await;
            let mut client = baton.attach(id, Attach::named("B")).await;
            client.claim(true).await.unwrap();
            beats(&project).await;
            client.type_text("go\r").await;
            assert_eq!(ended(id).await.session.exit.unwrap().code, Some(4));
            still(&project).await;
            // Whoever starts a daemon where nothing confines it may have meant to.
            let id = start(Profile::Host, Limits::default(), hidden).await;
            assert_eq!(ended(id).await.session.exit.unwrap().code, Some(3));
            beats(&project).await;
            let mut left = beating(&project);
            assert!(!left.is_empty(), "this test would find nothing");
            while !left.is_empty() {
                for pid in left {
                    // What sleeps between two beats may be gone.
                    let _ =
                        nix::sys::signal::kill(baton_tests::process::pid_of(pid), nix::sys::signal::Signal::SIGKILL);
                }
                left = beating(&project);
            }
        },
    );
    again_as_ordinary_user("nothing_that_a_confined_program_started_outlives_its_session");
}

/// Each forks the next and ends: there is always one, and never for long enough to be read about.
const CHAIN: &str = "
import os, time
if os.fork() == 0:
    os.setsid()
    while True:
        if os.fork(): os._exit(0)
        with open('beat', 'w') as beat: beat.write(str(time.time_ns()))
";

/// Its first thread ends, and with that it is shown as dead.
const HEADLESS: &str = "
import ctypes, os, signal, threading, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def go_on():
    while True:
        with open('beat', 'w') as beat: beat.write(str(time.time_ns()))
        time.sleep(0.01)
if BECOME or os.fork() == 0:
    threading.Thread(target=go_on).start()
    ctypes.CDLL(None).pthread_exit(None)
";

#[test]
fn nor_does_what_no_look_finds() {
    if baton_sandbox::landlock::version() < 6 {
        println!("this kernel's Landlock has no scope for signals, and reports say so: not tried");
        return;
    }
    scenario(
        Duration::from_secs(200),
        Setup::plain().env("BATON_SESSION__CLOSE_GRACE_S", "1"),
        async |baton: &Baton| {
            let project = baton.person().join("project");
            fs::create_dir_all(&project).unwrap();
            let ended = async |id: SessionId| -> SessionDetail {
                let over = |detail: &SessionDetail| {
                    matches!(detail.session.status, SessionStatus::Exited | SessionStatus::Closed)
                };
                baton.api().get_until(&format!("/v1/sessions/{id}"), over).await
            };
            let beside = |script: &str| format!("{}; while [ ! -s beat ]; do sleep 0.02; done; ", python(script));
            let scripts = [beside(CHAIN), beside(&HEADLESS.replace("BECOME", "False"))];
            for (script, sandbox) in scripts.iter().zip([Profile::Locked, Profile::Workspace]) {
                let start = async |limits: Limits, last: &str| {
                    let _ = fs::remove_file(project.join("beat"));
                    let request = CreateTerminal {
                        sandbox: Some(sandbox),
                        cwd: Some(project.to_str().unwrap().to_owned()),
                        grants: Some(vec![grant(&project, "rwcd")]),
                        limits,
                        ..session::shell_script(&format!("{script}{last}"))
                    };
                    baton.create(&request).await
                };
                let id = start(Limits::default(), "exit 3").await;
                let exit = ended(id).await.session.exit.unwrap();
                assert_eq!((exit.code, exit.reason.as_str()), (Some(3), "exit"));
                still(&project).await;
                let id = start(Limits { wall_s: Some(2), ..Limits::default() }, "sleep 1000").await;
                assert_eq!(ended(id).await.session.exit.unwrap().reason, "killed: wall time limit 2 s");
                still(&project).await;
                // A successor knows who is to end it.
                let id = start(Limits::default(), "sleep 1000").await;
                beats(&project).await;
                let worker = baton.session(id).await.session.worker_pid.unwrap();
                Process::of(worker).kill().await;
                let next = |detail: &SessionDetail| detail.session.worker_pid.is_some_and(|pid| pid != worker);
                let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), next).await;
                let _ = baton.cli(["close", &id.to_string()]).await.ok();
                let _ = ended(id).await;
                still(&project).await;
            }
            // The program itself, confined or not.
            for sandbox in [Profile::Locked, Profile::Host] {
                let confined = sandbox != Profile::Host;
                let _ = fs::remove_file(project.join("beat"));
                let request = CreateTerminal {
                    sandbox: Some(sandbox),
                    cwd: Some(project.to_str().unwrap().to_owned()),
                    grants: confined.then(|| vec![grant(&project, "rwcd")]),
                    ..session::shell_script(&format!("exec {}", python(&HEADLESS.replace("BECOME", "True"))))
                };
                let id = baton.create(&request).await;
                beats(&project).await;
                let _ = baton.cli(["close", &id.to_string()]).await.ok();
                let _ = ended(id).await;
                still(&project).await;
            }
        },
    );
    again_as_ordinary_user("nor_does_what_no_look_finds");
}

/// As a word of a shell's line.
fn python(script: &str) -> String {
    format!("/usr/bin/python3 -c \"{script}\"")
}

/// Processes that are in this directory.
fn beating(project: &std::path::Path) -> Vec<u32> {
    let project = project.canonicalize().unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == project)).collect()
}

fn beat(project: &std::path::Path) -> String {
    fs::read_to_string(project.join("beat")).unwrap()
}

async fn beats(project: &std::path::Path) {
    // A worker is succeeded sooner than a shell on a busy host writes its first.
    while !project.join("beat").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = beat(project);
    while beat(project) == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nobody writes to `beat` any more, and nobody is there who could.
async fn still(project: &std::path::Path) {
    assert_eq!(beating(project), [0; 0], "left running");
    let before = beat(project);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(beat(project), before);
}
