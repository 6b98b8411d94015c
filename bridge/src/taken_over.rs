//! Only in a build for tests (feature `taken-over`): a bridge that does what an attacker tells it, as it would once it executes
//! the attacker's bytes.
//!
//! A thread of its own, beside those that serve, waits for a line in `<state>/taken-over.order`, does what it says, and writes
//! what the kernel answered into `<state>/taken-over.answer`: `ok`, or the error. An order that ends the process has no answer.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use baton_proto::home::Home;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ORDER: &str = "taken-over.order";
const ANSWER: &str = "taken-over.answer";
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits for orders for as long as the process lives.
pub fn obey(home: &Home) {
    let state = home.state.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let Ok(order) = std::fs::read_to_string(state.join(ORDER)) else { continue };
            // Before it is obeyed: an order that ends the process is not for the next one too.
            let _ = std::fs::remove_file(state.join(ORDER));
            let answer = match act(order.trim_end()) {
                Ok(()) => "ok".to_owned(),
                Err(err) => err.to_string(),
            };
            let aside = state.join(format!("{ANSWER}.new"));
            let _ = std::fs::write(&aside, answer);
            let _ = std::fs::rename(aside, state.join(ANSWER));
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
