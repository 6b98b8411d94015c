//! `kill -9` of any one process of ours, on the real binary: the program keeps its pid and its exit code.
//!
//! No bridge is needed: where there is none, the launcher goes on trying to start it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baton_proto::codec::Encode;
use baton_proto::frame::{HEADER_BYTES, Header, Kind, read_body, write_message};
use baton_proto::hello::{Hello, InstallKey, Proof, Role, Welcome};
use baton_proto::home::{Home, runtime};
use baton_proto::spec::{Profile, SessionKind, SessionSpec};
use baton_proto::v1::{
    AskStatus, Class, Dimensions, Failed, ForgetSession, ListSessions, OpenSession, SessionEntry, Sessions, SizePolicy,
    Status, SupervisorStatus,
};
use baton_proto::{ErrorCode, InstanceId, SessionId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_baton-sessiond");

/// Nothing here takes more than a fraction of this on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < give_up, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// A home of its own, and a launcher in it.
struct Bench {
    dir: tempfile::TempDir,
    home: Home,
}

impl Bench {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self { home: Home::below(dir.path()), dir };
        bench.launch();
        bench
    }

    fn launch(&self) {
        let (mut ready, theirs) = std::io::pipe().unwrap();
        // `--ready-fd` is to be a number above the standard three: a shell moves it there.
        let mut launcher = Command::new("sh");
        launcher
            .arg("-c")
            .arg(format!("exec setsid {BINARY} launcher --listen 127.0.0.1:0 --ready-fd 3 3>&1 >/dev/null"));
        launcher.env("BATON_HOME", self.dir.path()).stdin(Stdio::null()).stdout(theirs);
        fs::create_dir_all(self.home.logs_dir()).unwrap();
        launcher.stderr(
            fs::File::options().create(true).append(true).open(self.home.logs_dir().join("launcher.log")).unwrap(),
        );
        let mut child = launcher.spawn().unwrap();
        drop(launcher);
        let mut byte = [0];
        ready.read_exact(&mut byte).unwrap_or_else(|err| panic!("no launcher ({err}): {}", self.log("launcher")));
        // Reaped here when it dies, so that it is seen to be dead.
        std::thread::spawn(move || child.wait());
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.home.logs_dir().join(format!("{name}.log"))).unwrap_or_default()
    }

    fn launcher(&self) -> u32 {
        let text = fs::read_to_string(self.home.runtime.join(runtime::LAUNCHER_FILE)).unwrap_or_default();
        let digits = text.split_once("\"pid\":").map_or("", |(_, rest)| rest);
        digits.split(',').next().and_then(|pid| pid.parse().ok()).unwrap_or(0)
    }

    fn spare(&self) -> u32 {
        self.named("baton-spare")
    }

    /// The one living process of this home that calls itself so.
    fn named(&self, name: &str) -> u32 {
        let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        until(name, || self.processes().into_iter().find(|pid| is_alive(*pid) && comm(pid).trim_end() == name))
    }

    /// Every process that runs our binary in this home.
    fn processes(&self) -> Vec<u32> {
        let own = format!("BATON_HOME={}", self.dir.path().display());
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = |pid: &u32| {
            let binary = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(BINARY));
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            binary && environment.split(|byte| *byte == 0).any(|pair| pair == own.as_bytes())
        };
        pids.filter(ours).collect()
    }

    fn key(&self) -> InstallKey {
        InstallKey::new(fs::read(self.home.key_file()).unwrap().try_into().unwrap())
    }

    fn client(&self) -> Client {
        until("sessiond", || Client::connect(&self.home.runtime.join(runtime::SESSIOND_SOCKET), &self.key()).ok())
    }

    fn entry(&self, session: SessionId) -> SessionEntry {
        self.client().list().into_iter().find(|entry| entry.spec.session == session).unwrap()
    }

    fn until_entry(&self, session: SessionId, what: &str, is: impl Fn(&SessionEntry) -> bool) -> SessionEntry {
        until(what, || Some(self.entry(session)).filter(|entry| is(entry)))
    }

    /// Kills the launcher and waits for its spare to announce itself.
    fn kill_launcher(&self) {
        let dead = self.launcher();
        let spare = self.spare();
        signal(dead, Signal::SIGKILL);
        until("a take-over", || Some(self.launcher()).filter(|pid| *pid == spare));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What is killed may have had something started in the meantime.
        for _ in 0..3 {
            for pid in self.processes() {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            for name in ["launcher", "sessiond", "workers"] {
                eprintln!("--- {name}\n{}", self.log(name));
            }
        }
    }
}

/// A client of sessiond.
struct Client(UnixStream);

impl Client {
    fn connect(path: &PathBuf, key: &InstallKey) -> Result<Self, String> {
        let stream = UnixStream::connect(path).map_err(|err| err.to_string())?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self(stream);
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            role: Role::Cli,
            nonce: [5; 32],
            capabilities: vec![],
            build: "test".to_owned(),
        };
        client.send(Kind::Hello, 0, &hello)?;
        let welcome: Welcome = client.receive(Kind::Welcome)?;
        let proof = key.dialler_proof(&hello, welcome.version, &welcome.nonce);
        client.send(Kind::Proof, 0, &Proof { proof })?;
        let baton_proto::hello::Accepted {} = client.receive(Kind::Accepted)?;
        Ok(client)
    }

    fn send<T: Encode>(&mut self, kind: Kind, at: u64, body: &T) -> Result<(), String> {
        let mut bytes = Vec::new();
        write_message(kind, at, body, &mut bytes).unwrap();
        self.0.write_all(&bytes).map_err(|err| err.to_string())
    }

    fn frame(&mut self) -> Result<(Header, Vec<u8>), String> {
        let mut bytes = [0; HEADER_BYTES];
        self.0.read_exact(&mut bytes).map_err(|err| err.to_string())?;
        let header = Header::parse(&bytes).unwrap().unwrap();
        let mut payload = vec![0; header.len as usize];
        self.0.read_exact(&mut payload).map_err(|err| err.to_string())?;
        Ok((header, payload))
    }

    /// The next frame that is no event; it must be of this kind.
    fn receive<T: baton_proto::codec::Decode<()>>(&mut self, kind: Kind) -> Result<T, String> {
        loop {
            let (header, payload) = self.frame()?;
            if header.known_kind() == Some(Kind::SessionChanged) {
                continue;
            }
            if header.known_kind() != Some(kind) {
                let failed = read_body::<Failed>(Kind::Failed, &payload).map(|failed| failed.message);
                return Err(failed.unwrap_or_else(|_| format!("{header:?}")));
            }
            return Ok(read_body(kind, &payload).unwrap());
        }
    }

    fn list(&mut self) -> Vec<SessionEntry> {
        self.send(Kind::ListSessions, 1, &ListSessions {}).unwrap();
        let mut all = Vec::new();
        loop {
            let part: Sessions = self.receive(Kind::Sessions).unwrap();
            all.extend(part.sessions);
            if part.last {
                return all;
            }
        }
    }

    fn status(&mut self) -> SupervisorStatus {
        self.send(Kind::AskStatus, 2, &AskStatus {}).unwrap();
        self.receive(Kind::Status).unwrap()
    }

    fn spawn(&mut self, script: &str) -> SessionEntry {
        let spec = SessionSpec {
            session: SessionId::from_uuid(uuid::Uuid::now_v7()),
            instance: InstanceId::from_uuid(uuid::Uuid::nil()),
            kind: SessionKind::Terminal,
            command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            login: false,
            cwd: "/".to_owned(),
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            size: Dimensions { cols: 80, rows: 24 },
            policy: SizePolicy::Holder,
            profile: Profile::Host,
            title: "test".to_owned(),
            creator: None,
            class: Class::Person,
            idle_timeout_s: 0,
            lease_ttl_ms: 15_000,
            close_grace_ms: 1000,
            journal_bytes: 8 << 20,
            record_input: false,
            created_us: 0,
            boot_id: String::new(),
            parked_ttl_s: 0,
            grants: Vec::new(),
            sandbox_required: false,
            limits: baton_proto::limits::Limits::default(),
            allow_hosts: Vec::new(),
            ssh_agent: None,
        };
        self.send(Kind::Spawn, 3, &spec).unwrap();
        self.receive(Kind::Session).unwrap()
    }
}

/// A script that ends with 7 once this file is there.
fn waits_for(stop: &Path) -> String {
    format!("until [ -e '{}' ]; do sleep 0.02; done; exit 7", stop.display())
}

fn exit_code(status: &Status) -> Option<i32> {
    match status {
        Status::Exited(exit) => exit.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_runs_ends_serves_its_journal_and_is_forgotten() {
    let bench = Bench::start();
    let mut client = bench.client();
    let entry = client.spawn("exit 5");
    let session = entry.spec.session;
    let ended = bench.until_entry(session, "the end", |entry| matches!(entry.status, Status::Exited(_)));
    assert_eq!(exit_code(&ended.status), Some(5));
    // Killed, the worker that served the journal is replaced only on request.
    if let Some(worker) = ended.worker_pid {
        signal(worker, Signal::SIGKILL);
    }
    bench.until_entry(session, "its worker's end", |entry| entry.socket.is_none());
    client.send(Kind::OpenSession, 4, &OpenSession { session }).unwrap();
    let opened: SessionEntry = client.receive(Kind::Session).unwrap();
    let socket = bench.home.runtime.join(runtime::WORKERS_DIR).join(opened.socket.unwrap());
    Client::connect(&socket, &bench.key()).unwrap();
    client.send(Kind::ForgetSession, 5, &ForgetSession { session }).unwrap();
    assert_eq!(client.frame().unwrap().0.known_kind(), Some(Kind::Done));
    assert!(client.list().is_empty());
    assert!(fs::read_dir(bench.home.sessions_dir()).unwrap().next().is_none());
    // What never starts says why.
    let entry = client.spawn("exit 5");
    assert_ne!(entry.spec.instance.uuid(), uuid::Uuid::nil());
    let missing = SessionSpec {
        session: SessionId::from_uuid(uuid::Uuid::now_v7()),
        command: vec!["no such".to_owned()],
        ..entry.spec
    };
    client.send(Kind::Spawn, 6, &missing).unwrap();
    let failed: SessionEntry = client.receive(Kind::Session).unwrap();
    assert!(matches!(&failed.status, Status::Failed { reason } if reason.contains("no such")), "{:?}", failed.status);
}

#[test]
fn sessiond_dies_and_adopts_what_lives() {
    let bench = Bench::start();
    let running = bench.client().spawn("sleep 600");
    let ended = bench.client().spawn("exit 3");
    bench.until_entry(ended.spec.session, "the end", |entry| matches!(entry.status, Status::Exited(_)));
    let mut before = bench.client().status();
    for _ in 0..3 {
        signal(before.pid, Signal::SIGKILL);
        let after = until("another sessiond", || {
            Some(bench.client().status()).filter(|now| now.generation > before.generation)
        });
        assert_ne!(after.pid, before.pid);
        before = after;
        let entry = bench.until_entry(running.spec.session, "adoption", |entry| entry.socket.is_some());
        assert_eq!(
            (entry.status, entry.program_pid, entry.worker_pid),
            (Status::Running, running.program_pid, running.worker_pid)
        );
        assert_eq!(exit_code(&bench.entry(ended.spec.session).status), Some(3));
    }
}

#[test]
fn a_worker_dies_and_its_successor_has_the_program_and_its_exit_code() {
    let bench = Bench::start();
    let stop = bench.dir.path().join("stop");
    let started = bench.client().spawn(&waits_for(&stop));
    let (session, program) = (started.spec.session, started.program_pid.unwrap());
    let mut worker = started.worker_pid.unwrap();
    for _ in 0..4 {
        signal(worker, Signal::SIGKILL);
        let now = bench.until_entry(session, "a successor", |entry| entry.worker_pid.is_some_and(|pid| pid != worker));
        assert_eq!((now.status, now.program_pid), (Status::Running, Some(program)));
        worker = now.worker_pid.unwrap();
    }
    assert!(is_alive(program));
    fs::write(&stop, "").unwrap();
    let ended = bench.until_entry(session, "the end", |entry| matches!(entry.status, Status::Exited(_)));
    assert_eq!(exit_code(&ended.status), Some(7));
}

#[test]
fn the_launcher_dies_and_nobody_notices() {
    let bench = Bench::start();
    let stop = bench.dir.path().join("stop");
    let started = bench.client().spawn(&waits_for(&stop));
    let (session, program) = (started.spec.session, started.program_pid.unwrap());
    let mut client = bench.client();
    let sessiond = client.status().pid;
    for _ in 0..3 {
        bench.kill_launcher();
        // The same sessiond, on the same connection; and the new launcher serves it.
        assert_eq!(client.status().pid, sessiond);
        assert_eq!(client.status().launcher_pid, bench.launcher());
        assert_eq!(client.spawn("sleep 600").status, Status::Running);
    }
    // What another launcher forked is healed as well, twice: by who took it over and by who forked its successor.
    let mut worker = bench.entry(session).worker_pid.unwrap();
    for _ in 0..2 {
        signal(worker, Signal::SIGKILL);
        let now = bench.until_entry(session, "a successor", |entry| entry.worker_pid.is_some_and(|pid| pid != worker));
        assert_eq!((now.status, now.program_pid), (Status::Running, Some(program)));
        worker = now.worker_pid.unwrap();
    }
    signal(sessiond, Signal::SIGKILL);
    until("another sessiond", || Some(bench.client().status()).filter(|now| now.pid != sessiond));
    fs::write(&stop, "").unwrap();
    let ended = bench.until_entry(session, "the end", |entry| matches!(entry.status, Status::Exited(_)));
    assert_eq!(exit_code(&ended.status), Some(7));
}

#[test]
fn a_spare_that_dies_or_hangs_is_replaced() {
    let bench = Bench::start();
    let first = bench.spare();
    signal(first, Signal::SIGKILL);
    let second = until("another spare", || Some(bench.spare()).filter(|pid| *pid != first));
    let started = bench.client().spawn("sleep 600");
    assert_ne!(bench.launcher(), second);
    bench.kill_launcher();
    assert_eq!(bench.launcher(), second);
    let worker = started.worker_pid.unwrap();
    signal(worker, Signal::SIGKILL);
    bench.until_entry(started.spec.session, "a successor", |entry| entry.worker_pid.is_some_and(|pid| pid != worker));
    // A stopped one costs the launcher a moment at most, once its socket is full.
    let third = bench.spare();
    signal(third, Signal::SIGSTOP);
    let mut client = bench.client();
    for _ in 0..100 {
        assert_eq!(client.spawn("exit 0").spec.title, "test");
    }
    let fourth = until("another spare", || Some(bench.spare()).filter(|pid| *pid != third));
    assert!(is_alive(fourth) && !is_alive(third));
}

#[test]
fn launcher_and_spare_die_and_the_next_launcher_adopts() {
    let bench = Bench::start();
    let started = bench.client().spawn("sleep 600");
    let (sessiond, launcher, spare) = (bench.client().status().pid, bench.launcher(), bench.spare());
    // Stopped first, so that neither sees the other die.
    signal(launcher, Signal::SIGSTOP);
    signal(spare, Signal::SIGKILL);
    signal(launcher, Signal::SIGKILL);
    until("sessiond's end", || (!is_alive(sessiond)).then_some(()));
    assert!(is_alive(started.program_pid.unwrap()));
    bench.launch();
    let entry = bench.until_entry(started.spec.session, "adoption", |entry| entry.worker_pid.is_some());
    assert_eq!((entry.program_pid, entry.worker_pid), (started.program_pid, started.worker_pid));
}

#[test]
fn one_launcher_a_home_and_an_orderly_stop_leaves_sessions_alone() {
    let bench = Bench::start();
    let second = Command::new(BINARY)
        .args(["launcher", "--listen", "127.0.0.1:0"])
        .env("BATON_HOME", bench.dir.path())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already runs"));
    let started = bench.client().spawn("sleep 600");
    let (sessiond, launcher, spare) = (bench.client().status().pid, bench.launcher(), bench.spare());
    signal(launcher, Signal::SIGTERM);
    until("the end", || [sessiond, launcher, spare].iter().all(|pid| !is_alive(*pid)).then_some(()));
    assert!(is_alive(started.program_pid.unwrap()) && is_alive(started.worker_pid.unwrap()));
    assert!(!bench.home.runtime.join(runtime::LAUNCHER_FILE).exists());
    bench.launch();
    let entry = bench.until_entry(started.spec.session, "adoption", |entry| entry.worker_pid.is_some());
    assert_eq!((entry.status, entry.program_pid), (Status::Running, started.program_pid));
}

#[test]
fn what_a_session_needs_outlives_an_orderly_stop() {
    let bench = Bench::start();
    let stop = bench.dir.path().join("stop");
    let started = bench.client().spawn(&waits_for(&stop));
    let (session, program) = (started.spec.session, started.program_pid.unwrap());
    let mut worker = started.worker_pid.unwrap();
    for _ in 0..3 {
        let launcher = bench.launcher();
        signal(launcher, Signal::SIGTERM);
        until("the end", || (!is_alive(launcher)).then_some(()));
        let keeper = bench.named("baton-keeper");
        // Killed while nobody but the keeper is there.
        signal(worker, Signal::SIGKILL);
        let successors =
            || bench.processes().into_iter().find(|pid| is_alive(*pid) && *pid != keeper && *pid != worker);
        let successor = until("a successor", successors);
        bench.launch();
        until("the keeper's end", || (!is_alive(keeper)).then_some(()));
        let now = bench.until_entry(session, "adoption", |entry| entry.worker_pid == Some(successor));
        assert_eq!((now.status, now.program_pid), (Status::Running, Some(program)));
        // And killed again under the new launcher.
        signal(successor, Signal::SIGKILL);
        let now =
            bench.until_entry(session, "a successor", |entry| entry.worker_pid.is_some_and(|pid| pid != successor));
        assert_eq!((now.status, now.program_pid), (Status::Running, Some(program)));
        worker = now.worker_pid.unwrap();
    }
    fs::write(&stop, "").unwrap();
    let ended = bench.until_entry(session, "the end", |entry| matches!(entry.status, Status::Exited(_)));
    assert_eq!(exit_code(&ended.status), Some(7));
    // With nothing left to keep there is no keeper.
    let launcher = bench.launcher();
    signal(launcher, Signal::SIGTERM);
    until("the end", || (!is_alive(launcher)).then_some(()));
    until("nobody but ended workers", || {
        let comm = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        (!bench.processes().iter().any(|pid| comm(pid).starts_with("baton-keeper"))).then_some(())
    });
}

#[test]
fn a_keeper_gives_nothing_to_who_has_no_key_and_ends_when_told() {
    let bench = Bench::start();
    let started = bench.client().spawn("sleep 600");
    let launcher = bench.launcher();
    signal(launcher, Signal::SIGTERM);
    until("the end", || (!is_alive(launcher)).then_some(()));
    let keeper = bench.named("baton-keeper");
    // One that hangs up, one that says nothing, one that answers wrongly.
    for answers in [None, Some(false), Some(true)] {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::SeqPacket,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        );
        let socket = socket.unwrap();
        let address =
            nix::sys::socket::UnixAddr::new(&bench.home.state.join(baton_proto::home::state::KEEPER_SOCKET)).unwrap();
        nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address).unwrap();
        let Some(answers) = answers else { continue };
        baton_sandbox::fds::send(&socket, &[1; 32], &[]).unwrap();
        let mut bytes = [0; 64];
        assert_eq!(baton_sandbox::fds::receive(&socket, &mut bytes).unwrap().0, 64);
        if answers {
            baton_sandbox::fds::send(&socket, &[2; 32], &[]).unwrap();
        }
        // The end, and no descriptor with it.
        let end = baton_sandbox::fds::receive(&socket, &mut bytes);
        assert!(matches!(&end, Ok((0, handles)) if handles.is_empty()), "{end:?}");
    }
    until("a line about it", || bench.log("launcher").contains("without the install key").then_some(()));
    assert!(is_alive(keeper));
    signal(keeper, Signal::SIGTERM);
    until("the keeper's end", || (!is_alive(keeper)).then_some(()));
    assert!(is_alive(started.program_pid.unwrap()) && is_alive(started.worker_pid.unwrap()));
    bench.launch();
    bench.until_entry(started.spec.session, "adoption", |entry| entry.worker_pid == started.worker_pid);
}

/// `BATON_TEST_SEED` repeats a storm as far as its choices go; the kernel's are its own.
#[test]
fn a_storm_of_kills_loses_no_program() {
    let bench = Bench::start();
    let seed = std::env::var("BATON_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("BATON_TEST_SEED={random}");
    let mut below = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap() % bound
    };
    let started: Vec<SessionEntry> = (0..6).map(|_| bench.client().spawn("sleep 600")).collect();
    for _ in 0..60 {
        let comm = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let alive: Vec<u32> = bench.processes().into_iter().filter(|pid| is_alive(*pid)).collect();
        let victim = alive[below(alive.len())];
        // Of launcher and spare one at a time: that both die at once is another test. What a launcher forks is called after it
        // until it is another program, so that two of that name are no pair.
        let may_die = match comm(victim).trim_end() {
            "baton-launcher" => alive.iter().any(|pid| comm(*pid).trim_end() == "baton-spare"),
            "baton-spare" => is_alive(bench.launcher()),
            _ => true,
        };
        if may_die {
            let _ = kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL);
            // A launcher that is only about to die must not be asked to stop.
            until("its death", || (!is_alive(victim)).then_some(()));
        }
        if below(12) == 0 {
            let launcher = until("a launcher", || Some(bench.launcher()).filter(|pid| is_alive(*pid)));
            signal(launcher, Signal::SIGTERM);
            until("the end", || (!is_alive(launcher)).then_some(()));
            bench.launch();
        }
        std::thread::sleep(Duration::from_millis(below(40) as u64));
    }
    for one in &started {
        assert!(is_alive(one.program_pid.unwrap()), "a program died");
    }
    until("peace", || {
        let now = bench.client().list();
        let is_well = |one: &&SessionEntry| {
            one.status == Status::Running
                && one.worker_pid.is_some_and(is_alive)
                && started
                    .iter()
                    .any(|then| then.spec.session == one.spec.session && then.program_pid == one.program_pid)
        };
        (now.iter().filter(is_well).count() == started.len()).then_some(())
    });
    // One worker each, and nobody left over.
    until("order", || {
        let all = bench.processes();
        let workers = all.iter().filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_alive(**pid) && arguments.split(|byte| *byte == 0).nth(1) == Some(b"worker")
        });
        (workers.count() == started.len() && all.iter().filter(|pid| is_alive(**pid)).count() == started.len() + 3)
            .then_some(())
    });
}

#[test]
fn who_has_no_key_learns_nothing_and_disturbs_nobody() {
    let bench = Bench::start();
    let path = bench.home.runtime.join(runtime::SESSIOND_SOCKET);
    let mut client = bench.client();
    let refused = Client::connect(&path, &InstallKey::new([0; 32])).err().unwrap();
    assert!(refused.contains("proof"), "{refused}");
    // More strangers than are let into the handshake at once: each is told or let go, and who belongs here is served.
    let strangers: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert!(client.list().is_empty());
    let mut told = Vec::new();
    let last = strangers.last().unwrap();
    last.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader: &UnixStream = last;
    reader.read_to_end(&mut told).unwrap();
    let text = String::from_utf8_lossy(&told).into_owned();
    assert!(text.contains("too many connections"), "{text}");
    drop(strangers);
    until("room", || Client::connect(&path, &bench.key()).ok());
    let session = SessionId::from_uuid(uuid::Uuid::now_v7());
    client.send(Kind::OpenSession, 4, &OpenSession { session }).unwrap();
    let (header, payload) = client.frame().unwrap();
    assert_eq!((header.known_kind(), header.at), (Some(Kind::Failed), 4));
    assert_eq!(read_body::<Failed>(Kind::Failed, &payload).unwrap().code, ErrorCode::NotFound);
}
