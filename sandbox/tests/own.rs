//! What each kind of Baton's own processes can still do after it has confined itself, and what that costs.
//!
//! `cargo test -p baton-sandbox --test own cost` prints figures. The test runs itself again: what is given up does not come back.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod asked;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use baton_proto::api::LayerStatus;
use baton_sandbox::own::{self, Own, Paths};
use baton_sandbox::seccomp::{self, MARK};
use nix::libc;

const KINDS: [&str; 5] = ["bridge", "sessiond", "worker", "egress", "agent"];

fn own(kind: &str, write: PathBuf) -> Own {
    let paths = Paths { write: vec![write], ..Paths::default() };
    match kind {
        "bridge" => Own::bridge(paths),
        "sessiond" => Own::sessiond(paths),
        "agent" => Own::agent(paths.write),
        "egress" => Own::egress(),
        _ => Own::worker(),
    }
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["as", kind, directory, what] => attempt(kind, Path::new(directory), what),
        ["time", kind, directory] => time(kind, Path::new(directory)),
        _ => {
            let Some(wanted) = asked::wanted(&given) else { return };
            let tests: [(&str, fn()); 5] = [
                ("layers are told and hold", layers_hold),
                ("the way out finds names and no secrets", names_and_no_secrets),
                ("what is refused is named, and the process goes on", refused_and_named),
                ("what only an attacker does ends the process", ended),
                ("cost", cost),
            ];
            for (name, test) in tests.iter().filter(|(name, _)| name.contains(&wanted)) {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

fn attempt(kind: &str, directory: &Path, what: &str) {
    let outside = directory.join("outside");
    // As the process does it.
    let names = |name: &str| std::net::ToSocketAddrs::to_socket_addrs(&(name, 80)).map(drop);
    if what == "name" {
        let _ = names("baton.invalid");
    }
    let layers = own(kind, directory.join("inside")).confine();
    let said = |result: std::io::Result<()>| match result {
        Ok(()) => println!("ok"),
        Err(err) => println!("{}", err.raw_os_error().unwrap_or(-1)),
    };
    match what {
        "layers" => {
            let words = layers.iter().map(|layer| format!("{}={:?}", layer.name, layer.status));
            println!("{} {}", own::lacking(&layers).is_none(), words.collect::<Vec<_>>().join(" "));
        }
        "inside" => said(fs::write(directory.join("inside/file"), "x")),
        "outside" => said(fs::write(outside.join("file"), "x")),
        "read" => said(fs::read(outside.join("kept")).map(drop)),
        "tcp" => said(std::net::TcpStream::connect("127.0.0.1:9").map(drop)),
        "name" => said(names("localhost")),
        "again_root" => said(nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).map_err(Into::into)),
        path if path.starts_with('/') => said(fs::read(path).map(drop)),
        "thread" => said(std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().unwrap())),
        "spawn" => said(Command::new("/bin/true").status().map(drop)),
        "handler" => {
            // SAFETY: ignoring a signal runs no code.
            let before = unsafe { libc::signal(libc::SIGSYS, libc::SIG_IGN) };
            println!("{}", before == libc::SIG_ERR);
        }
        "code" => {
            // SAFETY: new memory that nothing else refers to.
            let mapped = unsafe {
                let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_EXEC, anonymous, -1, 0)
            };
            println!("{}", mapped == libc::MAP_FAILED);
        }
        call => {
            let number = seccomp::call_number(call).unwrap();
            // SAFETY: no pointer is given, and the call is one that is refused.
            let result = unsafe { libc::syscall(number.into(), 0, 0, 0, 0, 0, 0) };
            println!("{}", if result == -1 { nix::errno::Errno::last_raw() } else { 0 });
        }
    }
}

fn again(words: &[&str]) -> Output {
    Command::new(std::env::current_exe().unwrap()).args(words).output().unwrap()
}

/// A directory with one that is the process's and one that is not.
fn scratch() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("baton-own-{}", std::process::id()));
    for name in ["inside", "outside"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    fs::write(directory.join("outside/kept"), "x").unwrap();
    directory
}

fn said(kind: &str, what: &str) -> String {
    let directory = scratch();
    let output = again(&["as", kind, directory.to_str().unwrap(), what]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Needs a kernel with everything, as the suite does; what is told on others is tried end to end.
fn layers_hold() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "egress") {
        let landlock = if kind == "worker" { "" } else { " landlock=Enforced" };
        let expected = format!("true privileges=Enforced core_dumps=Enforced{landlock} seccomp=Enforced");
        assert_eq!(said(kind, "layers"), expected, "{kind}: {:?}", LayerStatus::Enforced);
        let denied = libc::EACCES.to_string();
        let files = if kind == "worker" { "ok" } else { denied.as_str() };
        assert_eq!(
            (said(kind, "inside").as_str(), said(kind, "outside").as_str(), said(kind, "read").as_str()),
            (if kind == "agent" { files } else { "ok" }, files, files),
            "{kind}"
        );
        assert_eq!(said(kind, "tcp"), libc::EPERM.to_string(), "{kind}: no socket for it");
        assert_eq!(said(kind, "thread"), "ok", "{kind}");
    }
    fs::remove_dir_all(scratch()).unwrap();
}

/// As root, which could read everything else in `/etc`; and as somebody else, as far as that goes.
fn names_and_no_secrets() {
    let denied = libc::EACCES.to_string();
    let root = nix::unistd::geteuid().is_root();
    let user = if root { " user=Enforced" } else { "" };
    let expected = format!("true privileges=Enforced core_dumps=Enforced{user} landlock=Enforced seccomp=Enforced");
    assert_eq!(said("egress", "layers"), expected);
    assert!(fs::read_to_string("/etc/hosts").unwrap().contains("localhost"), "the test looks this name up");
    for found in ["name", "/etc/hosts", "thread"] {
        assert_eq!(said("egress", found), "ok", "{found}");
    }
    for closed in
        ["inside", "outside", "read", "/etc/shadow", "/usr/bin/env", "/lib/ld-linux.so.2", "/proc/self/environ"]
    {
        let is_there = !closed.starts_with('/') || Path::new(closed).exists();
        assert!(!is_there || said("egress", closed) == denied, "{closed}: {}", said("egress", closed));
    }
    // A connection that nobody takes is one that was tried.
    assert_eq!(said("egress", "tcp"), libc::ECONNREFUSED.to_string());
    assert_eq!(said("egress", "again_root"), libc::EPERM.to_string());
    fs::remove_dir_all(scratch()).unwrap();
}

fn refused_and_named() {
    let directory = scratch();
    for kind in KINDS {
        for call in ["mount", "io_uring_setup", "keyctl", "bpf", "setns", "init_module"] {
            let output = again(&["as", kind, directory.to_str().unwrap(), call]);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), libc::EPERM.to_string(), "{kind}: {call}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let number = seccomp::call_number(call).unwrap();
            assert_eq!(told.trim_end(), format!("ERROR {kind}: {MARK} {number} ({call}), answered EPERM"));
        }
    }
    fs::remove_dir_all(directory).unwrap();
}

fn ended() {
    let directory = scratch();
    for kind in KINDS {
        for (what, call) in [("spawn", "clone"), ("code", "mmap"), ("execveat", "execveat"), ("ptrace", "ptrace")] {
            let output = again(&["as", kind, directory.to_str().unwrap(), what]);
            assert!(seccomp::was_ended(output.status.into_raw()), "{kind}: {what}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            // To start a program the library blocks every signal: then nobody is left to tell.
            let silent = what == "spawn" && output.status.signal() == Some(libc::SIGSYS);
            assert!(silent || told.contains(&format!("({call}), the process ends")), "{kind}: {told}");
        }
        // The handler that ends it stays where it is.
        assert_eq!(said(kind, "handler"), "true", "{kind}");
    }
    fs::remove_dir_all(directory).unwrap();
}

/// Prints how long it takes to confine oneself, and how long a call that does nothing takes before and after.
fn time(kind: &str, directory: &Path) {
    let call = || {
        const ROUNDS: u32 = 200_000;
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            // SAFETY: no memory is involved. Past the library, which remembers the answer of some.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }
        begun.elapsed() / ROUNDS
    };
    let without = call();
    let begun = Instant::now();
    let _ = own(kind, directory.join("inside")).confine();
    let confined = begun.elapsed();
    println!("{} {} {}", confined.as_nanos(), without.as_nanos(), call().as_nanos());
}

fn cost() {
    let directory = scratch();
    for kind in KINDS {
        let mut rows: Vec<[u64; 3]> = (0..21)
            .map(|_| {
                let output = again(&["time", kind, directory.to_str().unwrap()]);
                let text = String::from_utf8(output.stdout).unwrap();
                let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
                std::array::from_fn(|_| numbers.next().unwrap())
            })
            .collect();
        let mut median = |at: usize| {
            rows.sort_by_key(|row| row[at]);
            Duration::from_nanos(rows[rows.len() / 2][at])
        };
        let (confined, without, with) = (median(0), median(1), median(2));
        println!("{kind}: to confine itself {confined:?}; a call {without:?} before, {with:?} after");
    }
    fs::remove_dir_all(directory).unwrap();
}
