//! One Baton of a test's own: its directories, its processes, and what is kept of it when the test fails.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use baton_proto::api::ServerStatus;
use baton_proto::hello::InstallKey;
use baton_proto::home::{Home, runtime};
use baton_proto::ids::SessionId;
use baton_sandbox::seccomp::MARK;
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::binaries;
use crate::disk::Disk;
use crate::http::{Api, Place};
use crate::process::{self, Process};

/// What is installed.
const BINARIES: [&str; 3] = ["baton", "baton-bridge", "baton-sessiond"];

/// How long one command line may take that only starts, stops or asks.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// How long processes may take to end after `baton down --sessions` is done.
const ENDING_LIMIT: Duration = Duration::from_secs(10);

/// What differs from a Baton as it comes.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    env: BTreeMap<String, String>,
    installed: bool,
    state_bytes: Option<u64>,
}

impl Setup {
    /// Baton as it comes.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// With binaries in a directory of its own, where a test can put others in their place.
    #[must_use]
    pub const fn installed(mut self) -> Self {
        self.installed = true;
        self
    }

    /// With its state on a file system of its own, of so many bytes. Only in a process that may mount one: see
    /// [`crate::disk::privately`].
    #[must_use]
    pub const fn state_bytes(mut self, bytes: u64) -> Self {
        self.state_bytes = Some(bytes);
        self
    }

    /// With this environment variable, which is how configuration keys are set too.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What a command line said.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// stdout.
    pub stdout: String,
    /// stderr.
    pub stderr: String,
}

impl CliOutput {
    /// The output of a command that must succeed.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "the command failed: {self:?}");
        self.stdout
    }

    /// The output of a command that must succeed, as JSON.
    ///
    /// # Panics
    /// When it did not, or said something else.
    #[must_use]
    pub fn json<T: DeserializeOwned>(self) -> T {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{err} in `{text}`"))
    }
}

/// `baton status --json`, as far as a test needs it.
#[derive(Debug, Clone, serde::Deserialize)]
struct Status {
    url: String,
    socket: PathBuf,
    token_file: PathBuf,
}

/// A running Baton. Dropping it ends it; then nothing that it started may be left.
#[derive(Debug)]
pub struct Baton {
    test: String,
    /// Whether a process of its own is made to do what its filter refuses.
    misbehaves: AtomicBool,
    /// What its state is on, if that is a file system of its own.
    disk: Option<Disk>,
    /// Removed last.
    root: TempDir,
    env: BTreeMap<String, String>,
    /// Where its binaries are, if not beside the test's.
    bin: Option<PathBuf>,
    /// Where it keeps things.
    pub home: Home,
    /// Where the page is.
    pub url: String,
    /// `bridge.sock`.
    pub socket: PathBuf,
    /// The owner's token.
    pub token: String,
}

impl Baton {
    /// Makes the directories and runs `baton up`.
    ///
    /// # Panics
    /// When Baton does not come up.
    #[must_use]
    pub fn start(test: &str, setup: Setup) -> Self {
        // A short path: what is tested here is not the length of socket names.
        let root = tempfile::Builder::new().prefix("bt-").tempdir().expect("a temporary directory");
        let home = root.path().join("b");
        let person = root.path().join("home"); // as `Self::person`
        fs::create_dir_all(&person).expect("a home directory");
        let disk = setup.state_bytes.map(|bytes| Disk::mount(&Home::below(&home).state, bytes));
        let mut env: BTreeMap<String, String> = [
            ("PATH", std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned()).as_str()),
            ("HOME", path_text(&person)),
            ("BATON_HOME", path_text(&home)),
            ("BATON_LISTEN", "127.0.0.1:0"),
            ("SHELL", "/bin/bash"),
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("USER", "tester"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        env.extend(setup.env);
        let bin = setup.installed.then(|| root.path().join("bin"));
        let mut baton = Self {
            test: test.to_owned(),
            misbehaves: AtomicBool::new(false),
            disk,
            root,
            env,
            bin,
            home: Home::below(&home),
            url: String::new(),
            socket: PathBuf::new(),
            token: String::new(),
        };
        if let Some(bin) = &baton.bin {
            fs::create_dir(bin).expect("a directory of binaries");
            for name in BINARIES {
                baton.install(name, &binaries::path(name));
            }
        }
        baton.up();
        baton
    }

    /// Puts a program in the place of one of its binaries, as a package manager does: the running ones keep theirs.
    ///
    /// # Panics
    /// When this Baton is not [`Setup::installed`].
    pub fn install(&self, name: &str, program: &Path) {
        let bin = self.bin.as_ref().expect("an installed Baton");
        let aside = bin.join(format!("{name}.new"));
        // A copy, not a link: another file, as a new version is.
        fs::copy(program, &aside).expect("a copy of the program");
        fs::rename(&aside, bin.join(name)).expect("the program in its place");
    }

    /// Runs `baton up` (again) and learns where it listens now.
    ///
    /// # Panics
    /// When Baton does not come up.
    pub fn up(&mut self) {
        let _ = self.run(["up"], COMMAND_LIMIT).ok();
        let status: Status = self.run(["status", "--json"], COMMAND_LIMIT).json();
        self.token = fs::read_to_string(&status.token_file).expect("the token file").trim().to_owned();
        self.url = status.url.trim_end_matches('/').to_owned();
        self.socket = status.socket;
    }

    /// The file system that its state is on.
    ///
    /// # Panics
    /// When it has none of its own.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a file system of its own")
    }

    /// The loopback address it listens on.
    ///
    /// # Panics
    /// When the URL has none.
    #[must_use]
    pub fn place(&self) -> Place {
        let address = self.url.trim_start_matches("http://");
        Place::Tcp(address.parse().unwrap_or_else(|err| panic!("{err} in the URL `{}`", self.url)))
    }

    /// The API as its owner.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::anonymous(self.place()).with_token(&self.token)
    }

    /// The API as its owner, at another address: after a launcher that was started anew.
    ///
    /// # Panics
    /// When the URL has no address.
    #[must_use]
    pub fn api_at(&self, url: &str) -> Api {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let place = Place::Tcp(address.parse().unwrap_or_else(|err| panic!("{err} in the URL `{url}`")));
        Api::anonymous(place).with_token(&self.token)
    }

    /// The API as nobody.
    #[must_use]
    pub fn nobody(&self) -> Api {
        Api::anonymous(self.place())
    }

    /// The HOME of its sessions and command lines; no file is in it.
    #[must_use]
    pub fn person(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// A directory for a test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.root.path()
    }

    /// Everything that this Baton starts has this text in its environment.
    #[must_use]
    pub fn mark(&self) -> String {
        path_text(self.root.path()).to_owned()
    }

    /// The environment of its command lines.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// `baton` with these arguments, ready to start: this Baton's environment and no other.
    #[must_use]
    pub fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Command {
        let program = self.bin.as_ref().map_or_else(|| binaries::path("baton"), |bin| bin.join("baton"));
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&self.env).current_dir(self.root.path()).stdin(Stdio::null());
        command
    }

    /// Runs `baton` with these arguments to its end.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    pub async fn cli<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> CliOutput {
        self.cli_with_input(args, "").await
    }

    /// Runs `baton` with these arguments and this text as its standard input.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    pub async fn cli_with_input<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I, input: &str) -> CliOutput {
        use tokio::io::AsyncWriteExt as _;
        let command = self.command(args);
        let what = format!("{command:?}");
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("baton starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that does not read its input may be gone before it is written.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("not done after a minute: {what}"))
            .expect("its output");
        CliOutput {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command line without a runtime: before the test's has begun and after it has ended. Its output goes to
    /// files, so that a process that it leaves behind cannot keep a reader waiting.
    fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I, limit: Duration) -> CliOutput {
        let (out, err) = (self.root.path().join("out"), self.root.path().join("err"));
        let mut command = self.command(args);
        command.stdout(fs::File::create(&out).expect("a file")).stderr(fs::File::create(&err).expect("a file"));
        let mut child = command.spawn().expect("baton starts");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("its status") {
                break status.code();
            }
            if begun.elapsed() > limit {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(process::LOOK_EVERY);
        };
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        CliOutput { code: status, stdout: text(&out), stderr: text(&err) }
    }

    /// What the bridge says of Baton's processes.
    pub async fn status(&self) -> ServerStatus {
        self.api().get("/v1/status").await
    }

    /// The bridge's process.
    pub async fn bridge(&self) -> Process {
        let status: ServerStatus = self.api().get_until("/v1/status", |_| true).await;
        Process::of(status.bridge.pid)
    }

    /// sessiond's process.
    ///
    /// # Panics
    /// Never: it waits for a sessiond that answers.
    pub async fn sessiond(&self) -> Process {
        let status: ServerStatus =
            self.api().get_until("/v1/status", |status: &ServerStatus| status.sessiond.is_some()).await;
        Process::of(status.sessiond.expect("waited for it").pid)
    }

    /// The launcher's process.
    ///
    /// # Panics
    /// Never: it waits for a sessiond that answers.
    pub async fn launcher(&self) -> Process {
        let status: ServerStatus =
            self.api().get_until("/v1/status", |status: &ServerStatus| status.launcher.is_some()).await;
        Process::of(status.launcher.expect("waited for it").pid)
    }

    /// `kill -9` of the bridge; done when the next one answers.
    pub async fn kill_bridge(&self) {
        let bridge = self.bridge().await;
        bridge.kill().await;
        let restarted = |status: &ServerStatus| status.bridge.pid != bridge.pid;
        let _: ServerStatus = self.api().get_until("/v1/status", restarted).await;
    }

    /// `kill -9` of sessiond; done when the next one answers the bridge.
    pub async fn kill_sessiond(&self) {
        let sessiond = self.sessiond().await;
        sessiond.kill().await;
        let restarted = |status: &ServerStatus| status.sessiond.as_ref().is_some_and(|now| now.pid != sessiond.pid);
        let _: ServerStatus = self.api().get_until("/v1/status", restarted).await;
    }

    /// The install key, as only a process that may read Baton's state has it.
    ///
    /// # Panics
    /// When the file is not 32 bytes.
    #[must_use]
    pub fn key(&self) -> InstallKey {
        let bytes = fs::read(self.home.key_file()).expect("the key file");
        InstallKey::new(bytes.try_into().expect("32 bytes"))
    }

    /// Path of a session's worker socket.
    #[must_use]
    pub fn worker_socket(&self, session: SessionId) -> PathBuf {
        self.home.runtime.join(runtime::WORKERS_DIR).join(session.socket_name())
    }

    /// Path of sessiond's socket.
    #[must_use]
    pub fn sessiond_socket(&self) -> PathBuf {
        self.home.runtime.join(runtime::SESSIOND_SOCKET)
    }

    /// Where a failed test's logs and a passed one's pictures go: `test-artifacts/<test>` below the workspace.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        artifacts_dir().join(self.test.replace("::", "-"))
    }

    fn keep_logs(&self) {
        let to = self.artifacts();
        let logs = fs::read_dir(self.home.logs_dir()).into_iter().flatten().flatten();
        if fs::create_dir_all(&to).is_ok() {
            for log in logs {
                let _ = fs::copy(log.path(), to.join(log.file_name()));
            }
            eprintln!("the logs of this Baton are in {}", to.display());
        }
    }

    /// Ends everything; what is alive afterwards that should not be.
    fn end(&self) -> Vec<String> {
        let down = self.run(["down", "--sessions"], COMMAND_LIMIT);
        let mut wrong = Vec::new();
        if down.code != Some(0) {
            wrong.push(format!("`baton down --sessions` failed: {down:?}"));
        }
        let begun = Instant::now();
        let mut left = process::with_environment(&self.mark());
        // A worker whose program has ended stays for a while, for those who want to read; nobody will.
        let lingers = |process: &Process| process.command_line().contains("baton-sessiond worker");
        while !left.iter().all(lingers) && begun.elapsed() < ENDING_LIMIT {
            std::thread::sleep(process::LOOK_EVERY);
            left = process::with_environment(&self.mark());
        }
        if left.iter().all(lingers) {
            for worker in std::mem::take(&mut left) {
                worker.signal(Signal::SIGKILL);
            }
        }
        let all = process::with_environment(&self.mark());
        for process in left {
            wrong.push(format!("process {} is left: {}", process.pid, process.command_line()));
            process.signal(Signal::SIGKILL);
        }
        // Nothing writes below the directory any more when it is removed.
        while all.iter().any(Process::is_alive) && begun.elapsed() < 2 * ENDING_LIMIT {
            std::thread::sleep(process::LOOK_EVERY);
        }
        if !self.misbehaves.load(Ordering::Relaxed) {
            wrong.extend(self.refused());
        }
        wrong
    }

    /// One of its processes will be made to do what its filter refuses: that its log says so is no failure then.
    pub fn misbehaves(&self) {
        self.misbehaves.store(true, Ordering::Relaxed);
    }

    /// What Baton's own filters refused its processes: a filter that is too narrow, or a process that does what it must not.
    ///
    /// # Panics
    /// When a log can't be read.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        let mut refused = Vec::new();
        for log in fs::read_dir(self.home.logs_dir()).into_iter().flatten().flatten() {
            // Logs of streams' frames have a directory of their own; no process writes there of itself.
            if log.path().is_dir() {
                continue;
            }
            let text = fs::read(log.path()).expect("a log");
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter(|line| line.contains(MARK));
            refused.extend(lines.map(|line| format!("{}: {line}", log.path().display())));
        }
        refused
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        let wrong = self.end();
        if std::thread::panicking() || !wrong.is_empty() {
            self.keep_logs();
        }
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "{}: after the end:\n{}", self.test, wrong.join("\n"));
        } else if !wrong.is_empty() {
            eprintln!("after the end:\n{}", wrong.join("\n"));
        }
    }
}

/// `test-artifacts` below the workspace.
#[must_use]
pub fn artifacts_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-artifacts")
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}
