//! Only in a build for tests (feature `taken-over`): a bridge that does what an attacker tells it, as it would once it executes
//! the attacker's bytes.
//!
//! A thread of its own, beside those that serve, waits for a line in `<state>/taken-over.order`, does what it says, and writes
//! what the kernel answered into `<state>/taken-over.answer`: `ok`, or the error. An order that ends the process has no answer.
//!
//! A test can also have it stop where an approval is between two steps (`<state>/taken-over.stop` names the step; whoever got
//! there waits, and `<state>/taken-over.stopped` says which process, for as long as the name stands), and have it believe other clocks
//! (`<state>/taken-over.clocks`: seconds to add to the wall clock, and to the one that nobody sets).

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use baton_proto::home::Home;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock::Clock;

const ORDER: &str = "taken-over.order";
const ANSWER: &str = "taken-over.answer";
const STOP: &str = "taken-over.stop";
const STOPPED: &str = "taken-over.stopped";
const CLOCKS: &str = "taken-over.clocks";
const LOOK_EVERY: Duration = Duration::from_millis(5);

static STATE: OnceLock<PathBuf> = OnceLock::new();

/// What a file in the state directory says, without the white space around it.
fn said(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(STATE.get()?.join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// Writes a file in the state directory in one step.
fn say(name: &str, text: &str) {
    let Some(state) = STATE.get() else { return };
    let aside = state.join(format!("{name}.new"));
    let _ = std::fs::write(&aside, text);
    let _ = std::fs::rename(aside, state.join(name));
}

/// Waits at a step for as long as a test wants it to.
pub async fn reached(step: &str) {
    let stops = || said(STOP).as_deref() == Some(step);
    if stops() {
        say(STOPPED, &std::process::id().to_string());
    }
    while stops() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a clock shows that a test has set.
pub(crate) fn moved(us: u64, clock: Clock) -> u64 {
    let text = said(CLOCKS).unwrap_or_default();
    let mut seconds = text.split_whitespace().map(|word| word.parse::<i64>().unwrap_or(0));
    let by = if clock == Clock::Wall { seconds.next() } else { seconds.nth(1) };
    us.saturating_add_signed(by.unwrap_or(0).saturating_mul(1_000_000))
}

/// Waits for orders for as long as the process lives.
pub fn obey(home: &Home) {
    let state = STATE.get_or_init(|| home.state.clone());
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let Some(order) = said(ORDER) else { continue };
            // Before it is obeyed: an order that ends the process is not for the next one too.
            let _ = std::fs::remove_file(state.join(ORDER));
            let answer = match act(&order) {
                Ok(()) => "ok".to_owned(),
                Err(err) => err.to_string(),
            };
            say(ANSWER, &answer);
        }
    });
}

fn act(order: &str) -> io::Result<()> {
    let (what, with) = order.split_once(' ').unwrap_or((order, ""));
    match what {
        "read" => std::fs::read(with).map(drop),
        "list" => std::fs::read_dir(with).map(drop),
        "write" => std::fs::write(with, "taken over"),
        "append" => std::fs::OpenOptions::new().append(true).open(with).map(drop),
        "make-directory" => std::fs::create_dir(with),
        "symlink" => std::os::unix::fs::symlink("/", with),
        "hard-link" => with.split_once(' ').map_or(Ok(()), |(from, to)| std::fs::hard_link(from, to)),
        "rename" => with.split_once(' ').map_or(Ok(()), |(from, to)| std::fs::rename(from, to)),
        "remove" => std::fs::remove_file(with),
        "tcp" => TcpStream::connect(with).map(drop),
        "listen" => TcpListener::bind(with).map(drop),
        "udp" => UdpSocket::bind(with).map(drop),
        "abstract" => {
            use std::os::linux::net::SocketAddrExt as _;
            UnixStream::connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(with)?).map(drop)
        }
        "signal" => Ok(kill(Pid::from_raw(with.parse().map_err(io::Error::other)?), Signal::SIGCONT)?),
        "trace" => trace(with),
        "exec" => Err(execute(Path::new(with)).into()),
        "spawn" => Command::new(with).spawn().map(drop),
        other => Err(io::Error::other(format!("`{other}` is no order"))),
    }
}

fn trace(pid: &str) -> io::Result<()> {
    std::fs::read(format!("/proc/{pid}/mem")).map(drop)
}

fn execute(program: &Path) -> Errno {
    use std::os::unix::process::CommandExt as _;
    // In this process, without a fork.
    let failed = Command::new(program).exec();
    failed.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
