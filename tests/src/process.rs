//! Other processes, as `/proc` shows them.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long `/proc` is left alone between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a busy machine may take to stop a process.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// A process, told from a later one with the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    started: u64,
}

impl Process {
    /// The process with this number, if it lives (a zombie is dead).
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, started })
    }

    /// The process with this number.
    ///
    /// # Panics
    /// When it does not live.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self::find(pid).unwrap_or_else(|| panic!("process {pid} does not live"))
    }

    /// Whether it lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid) == Some(*self)
    }

    /// Sends a signal; nothing happens when it is dead already. `SIGSTOP` is waited for: until the one thread that takes it has run,
    /// the others go on.
    ///
    /// # Panics
    /// It does not stop.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() && kill(pid_of(self.pid), signal).is_ok() && signal == Signal::SIGSTOP {
            let give_up = Instant::now() + STOPPED_WITHIN;
            while self.is_alive() && !self.is_stopped() {
                assert!(Instant::now() < give_up, "{self:?} does not stop");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Whether none of its threads runs.
    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let mut stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        stats.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X'])))
    }

    /// `kill -9`, and waits until it is dead.
    pub async fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.gone().await;
    }

    /// Waits until it is dead; the test's deadline bounds it.
    pub async fn gone(&self) {
        while self.is_alive() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The number of its parent.
    #[must_use]
    pub fn parent(&self) -> Option<u32> {
        fields(self.pid)?.1.get(1)?.parse().ok()
    }

    /// Proportional memory (PSS) in bytes.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn pss_bytes(&self) -> u64 {
        let rollup =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).expect("smaps_rollup of a living process");
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("a Pss line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB");
        kib * 1024
    }

    /// Its command line, for messages.
    #[must_use]
    pub fn command_line(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
    }
}

/// The kernel's number of a process as `nix` wants it.
#[must_use]
pub fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("process numbers fit"))
}

/// Every living process whose environment names this text: what a Baton started, whoever its parent is now.
#[must_use]
pub fn with_environment(text: &str) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(text.len()).any(|window| window == text.as_bytes())
        })
        .filter_map(Process::find)
        .collect()
}

/// State and start time.
fn stat(pid: u32) -> Option<(char, u64)> {
    let (state, rest) = fields(pid)?;
    Some((state, rest.get(19)?.parse().ok()?))
}

/// The fields of `/proc/<pid>/stat` from the third (the state) on. The second may hold spaces and parentheses.
fn fields(pid: u32) -> Option<(char, Vec<String>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    Some((fields.first()?.chars().next()?, fields))
}
