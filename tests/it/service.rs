//! Below a service manager: inherited sockets, what the manager is told, and what nobody else may see of it. And the units
//! of the package, as far as they can be read without one.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use baton_tests::baton::{Baton, Setup};
use baton_tests::binaries;
use baton_tests::process::Process;
use baton_tests::scenario::scenario;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How long the launcher may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service manager: its notification socket and the port it opened before.
struct Manager {
    notify: UnixDatagram,
    path: PathBuf,
    port: u16,
    listener: OwnedFd,
}

impl Manager {
    fn new(baton: &Baton) -> Self {
        let path = baton.scratch().join("notify");
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { notify, path, port: listener.local_addr().unwrap().port(), listener: listener.into() }
    }

    /// Starts a launcher as systemd does: the port at descriptor 3, in the environment what that is.
    fn start(&self, baton: &Baton) -> Child {
        // The shell learns the number of the process before it becomes the launcher.
        let script = r#"LISTEN_PID=$$; LISTEN_FDS=1; LISTEN_FDNAMES=http; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES
            exec "$0" launcher --listen 127.0.0.1:1 3<&0 0</dev/null"#;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).arg(binaries::path("baton-sessiond")).env_clear().envs(baton.env());
        command.env("NOTIFY_SOCKET", &self.path).stdin(Stdio::from(self.listener.try_clone().unwrap()));
        command.stdout(Stdio::null()).stderr(fs::File::create(baton.scratch().join("launcher.err")).unwrap());
        command.spawn().unwrap()
    }

    /// The next thing said that has this line in it; its value.
    fn hear(&self, name: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            let Ok(count) = self.notify.recv(&mut buffer) else { break };
            let said = std::str::from_utf8(&buffer[..count]).unwrap();
            if let Some(value) = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')) {
                return value.to_owned();
            }
        }
        panic!("the launcher did not say {name}")
    }
}

/// What `/proc` shows of a process's environment.
fn environment(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

const SECRETIVE: [&str; 4] = ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

#[test]
fn a_service_manager_hands_its_port_over_and_hears_who_serves() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton| {
        assert_eq!(baton.cli(["down", "--sessions"]).await.code, Some(0));
        let manager = Manager::new(baton);
        let mut launcher = manager.start(baton);
        assert_eq!(manager.hear("READY"), "1");

        // Ready means that it can be used: the port that was handed over, and the command line's socket.
        let api = baton.api_at(&format!("http://127.0.0.1:{}", manager.port));
        let status: Value = baton.cli(["status", "--json"]).await.json();
        assert!(status["url"].as_str().unwrap().contains(&manager.port.to_string()), "{status}");
        let made: Value = api.post("/v1/terminal/sessions", &json!({ "command": ["sleep", "1000"] })).await;
        let path = format!("/v1/sessions/{}", made["session_id"].as_str().unwrap());
        let detail: Value = api.get(&path).await;
        let program = Process::of(u32::try_from(detail["pid"].as_u64().unwrap()).unwrap());

        // The manager's variables are for the launcher alone.
        for process in baton_tests::process::with_environment(&baton.mark()) {
            let command = process.command_line();
            if !command.contains("launcher") {
                let seen = environment(process.pid);
                for name in SECRETIVE {
                    assert!(!seen.contains(name), "`{command}` sees {name}");
                }
            }
        }
        assert!(!environment(program.pid).is_empty());

        // Killed, the spare says that it is the main process now; what was handed over goes on.
        let first = launcher.id();
        Process::of(first).signal(Signal::SIGKILL);
        launcher.wait().unwrap();
        let spare: u32 = manager.hear("MAINPID").parse().unwrap();
        assert_ne!(spare, first);
        let spare = Process::of(spare);
        assert!(program.is_alive());
        let _: Value = api.get(&path).await;

        // A manager that was faster starts another: it names the one that serves, and leaves it alone.
        let mut second = manager.start(baton);
        let named: u32 = manager.hear("MAINPID").parse().unwrap();
        assert_eq!(named, spare.pid);
        // What came with `BARRIER=1` is closed as it is read here: it waits for no more.
        let mut buffer = [0; 64];
        let count = manager.notify.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"BARRIER=1");
        assert_eq!(second.wait().unwrap().code(), Some(75));
        assert!(spare.is_alive());

        // Asked to stop: said, done, and the program goes on.
        spare.signal(Signal::SIGTERM);
        assert_eq!(manager.hear("STOPPING"), "1");
        spare.gone().await;
        assert!(program.is_alive(), "stopping the service ended a program");

        // The next start takes everything over, at the same port.
        let mut third = manager.start(baton);
        assert_eq!(manager.hear("READY"), "1");
        let detail: Value = api.get_until(&path, |detail: &Value| detail["pid"].is_u64()).await;
        assert_eq!(detail["pid"].as_u64(), Some(u64::from(program.pid)));
        assert_eq!(baton.cli(["down", "--sessions"]).await.code, Some(0));
        third.wait().unwrap();
        assert!(!program.is_alive());
    });
}

/// The unit files of the package.
fn unit(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dist/systemd").join(name);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// `Key=value` lines by section.
fn settings(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => name.clone_into(&mut section),
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("`{line}` is no setting"));
                assert!(!section.is_empty(), "`{line}` is in no section");
                settings.push((section.clone(), key.to_owned(), value.to_owned()));
            }
        }
    }
    settings
}

fn value<'a>(settings: &'a [(String, String, String)], section: &str, key: &str) -> &'a str {
    let mut found = settings.iter().filter(|(in_section, name, _)| in_section == section && name == key);
    let value = found.next().unwrap_or_else(|| panic!("[{section}] has no {key}"));
    assert!(found.next().is_none(), "[{section}] has more than one {key}");
    &value.2
}

#[test]
fn the_units_leave_shells_alone() {
    let service = settings(&unit("baton.service"));
    assert_eq!(value(&service, "Service", "Type"), "notify");
    assert_eq!(value(&service, "Service", "KillMode"), "process", "a restart must not end shells");
    assert_eq!(value(&service, "Service", "NotifyAccess"), "all", "the spare speaks too");
    assert_eq!(value(&service, "Service", "OOMPolicy"), "continue");
    assert_eq!(value(&service, "Service", "RestartPreventExitStatus"), "75");
    assert!(
        value(&service, "Service", "ExecStart").starts_with("/usr/bin/baton-sessiond launcher --listen 127.0.0.1:")
    );
    // Whatever confines the unit confines every shell of its user.
    let confining = [
        "Protect",
        "Private",
        "Restrict",
        "NoNewPrivileges",
        "SystemCall",
        "ReadOnly",
        "Inaccessible",
        "Capability",
        "DynamicUser",
        "RootDirectory",
        "MemoryDenyWriteExecute",
        "LockPersonality",
        "IPAddress",
        "MemoryMax",
    ];
    for (_, key, _) in &service {
        assert!(!confining.iter().any(|start| key.starts_with(start)), "{key} would hold for the shells");
    }
    let socket = settings(&unit("baton.socket"));
    assert_eq!(value(&socket, "Socket", "ListenStream"), "127.0.0.1:7420", "loopback, and nothing else");
    let listen = value(&service, "Service", "ExecStart").rsplit(' ').next().unwrap();
    assert_eq!(value(&socket, "Socket", "ListenStream"), listen, "the socket and the service name one port");
}

#[test]
fn systemd_understands_the_units() {
    let there = Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        // Not on every machine; what matters most is checked by the test before this one.
        eprintln!("systemd-analyze is not installed: not verified");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for name in ["baton.service", "baton.socket"] {
        // The binary and the manual page are not installed here.
        let installed = binaries::path("baton-sessiond");
        let text = unit(name).replace("/usr/bin/baton-sessiond", installed.to_str().unwrap());
        let text = text.replace("man:baton(1) ", "");
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        files.push(path);
    }
    let mut verify = Command::new("systemd-analyze");
    let output = verify.args(["--user", "verify"]).args(&files).env("XDG_RUNTIME_DIR", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
