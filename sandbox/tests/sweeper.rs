//! What a program starts does not outlive it, whatever it does to be missed; and nobody else is reached.
//! One thread, one test after the other: forking is refused anywhere else. Needs `python3`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod asked;

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use baton_sandbox::sweeper::{Plan, Sweeper};
use baton_sandbox::{Child, Launch, landlock, process};

/// A test and its name.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a chain of forks is ended, and nobody else", chains_of_forks),
    ("a process without its first thread is ended", without_a_first_thread),
    ("without a word it goes to work a while after the program has ended", without_a_word),
    ("the program can do nothing to it", untouchable),
];

/// A chain: each forks the next and ends, so that there is always one and never long enough to be read about.
const CHAIN: &str = "
import os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
if os.fork() == 0:
    os.setsid()
    while True:
        if os.fork(): os._exit(0)
        os.write(out, b'.')
";

/// A process whose first thread has ended: it is shown as one that is dead.
const HEADLESS: &str = "
import ctypes, os, sys, threading, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def beat():
    while True:
        os.write(out, b'.')
        time.sleep(0.001)
if os.fork() == 0:
    os.setsid()
    threading.Thread(target=beat).start()
    ctypes.CDLL(None).pthread_exit(None)
";

fn start(script: &str, out: &Path, after: Duration) -> (Child, Sweeper) {
    let name = format!("sw{}", std::process::id());
    let mut launch = Launch::new("/usr/bin/env");
    launch.args = ["python3", "-c", script, out.to_str().unwrap(), &name].map(Into::into).to_vec();
    launch.env = vec![("PATH".into(), std::env::var_os("PATH").unwrap())];
    launch.new_session = true;
    launch.sweeper = Plan::prepare(&name, after).unwrap();
    let (child, mut gate) = launch.spawn_gated().unwrap();
    let sweeper = gate.sweeper().unwrap().unwrap();
    gate.release().unwrap();
    assert_eq!(Sweeper::find(&name).map(|found| found.pid()), Some(sweeper.pid()), "a successor finds it");
    (child, sweeper)
}

fn scratch() -> PathBuf {
    let scratch = std::env::temp_dir().join(format!("baton-sweeper-{}", std::process::id()));
    fs::create_dir(&scratch).unwrap();
    scratch
}

fn grows(out: &Path) -> bool {
    let size = || fs::metadata(out).map_or(0, |it| it.len());
    let (before, begun) = (size(), Instant::now());
    while begun.elapsed() < Duration::from_millis(400) {
        if size() > before {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}

fn until_ended(pidfd: impl AsFd) {
    while !process::has_ended(&pidfd).unwrap() {
        sleep(Duration::from_millis(2));
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(filter) = asked::wanted(&args) else { return };
    if landlock::version() < 6 {
        println!("this kernel's Landlock has no scope for signals: not tried");
        return;
    }
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        test();
        println!("test {name} ... ok");
    }
}

fn nothing_outlives(script: &str) {
    let scratch = scratch();
    let mut bystander = Command::new("sleep").arg("100").spawn().unwrap();
    for round in 0..10 {
        let out = scratch.join(round.to_string());
        let (child, sweeper) = start(script, &out, Duration::from_secs(600));
        process::reap(&child.pidfd);
        while !grows(&out) {}
        assert!(!sweeper.has_ended(), "it waits for the word");
        sweeper.sweep();
        until_ended(&sweeper);
        process::reap(&sweeper);
        assert!(!grows(&out), "round {round}: something outlived it");
    }
    assert!(bystander.try_wait().unwrap().is_none(), "nobody else is reached");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    fs::remove_dir_all(scratch).unwrap();
}

fn chains_of_forks() {
    nothing_outlives(CHAIN);
}

fn without_a_first_thread() {
    nothing_outlives(HEADLESS);
}

fn without_a_word() {
    let scratch = scratch();
    let out = scratch.join("alone");
    let (child, sweeper) = start(CHAIN, &out, Duration::from_millis(300));
    until_ended(&child.pidfd);
    until_ended(&sweeper);
    process::reap(&child.pidfd);
    process::reap(&sweeper);
    assert!(!grows(&out));
    fs::remove_dir_all(scratch).unwrap();
}

fn untouchable() {
    const ATTACK: &str = "
import os, signal, sys
out = open(sys.argv[1], 'w')
sweeper = int(sys.argv[2])
for s in (signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1):
    try: os.kill(sweeper, s); out.write('signalled ')
    except PermissionError: out.write('refused ')
for file in ('mem', 'environ'):
    try: out.write('read ' if os.read(os.open(f'/proc/{sweeper}/{file}', os.O_RDONLY), 1) else 'empty ')
    except OSError: out.write('refused ')
";
    let scratch = scratch();
    let out = scratch.join("said");
    // As a session's: the program's own domain lies within the sweeper's.
    let script = format!("{NESTED}{FIND}{ATTACK}");
    let (child, sweeper) = start(&script, &out, Duration::from_secs(600));
    process::reap(&child.pidfd);
    let said = fs::read_to_string(&out).unwrap();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["refused"; 5], "{said}");
    assert!(!sweeper.has_ended());
    sweeper.sweep();
    until_ended(&sweeper);
    process::reap(&sweeper);
    fs::remove_dir_all(scratch).unwrap();
}

/// The sweeper by its name: its number is not known before the program is.
const FIND: &str = "
import os, sys
def name(pid):
    try: return open(f'/proc/{pid}/comm').read().strip()
    except OSError: return ''
sys.argv.append([pid for pid in os.listdir('/proc') if pid.isdigit() and name(pid) == sys.argv[2]][0])
sys.argv.pop(2)
";

/// Enters a domain with a scope for signals (landlock(7)); the numbers of the calls are the same on every architecture. Then it has
/// no capabilities, as a session has none over other processes (capset(2)).
const NESTED: &str = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
attr = (ctypes.c_uint64 * 3)(0, 0, 2)
ruleset = libc.syscall(444, attr, 24, 0)
assert ruleset >= 0 and libc.syscall(446, ruleset, 0) == 0
assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
";
