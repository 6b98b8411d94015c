//! What a started program finds, and what the caller learns when there is none. One thread, one test after the other:
//! forking is refused anywhere else. Every test needs Linux 5.11 (`close_range`, pidfds) and `/bin/sh`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod asked;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use baton_sandbox::exec::{Twin, duplicate, fork_twin};
use baton_sandbox::{ExecError, Launch, Step, process};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;

/// A test and its name.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a program gets what was named and nothing else", named_and_nothing_else),
    ("descriptors may swap their numbers", descriptors_may_swap),
    ("a failed exec says which errno and what to do", failed_exec),
    ("the program is looked up in its own PATH", looked_up_in_its_own_path),
    ("a missing working directory is named", missing_directory),
    ("a gate holds the program until it is released", gate_holds),
    ("a dropped gate ends the child", dropped_gate),
    ("a released gate reports a failed exec", released_gate_reports),
    ("a program on a terminal owns it", controlling_terminal),
    ("signals are as a program expects them", signals_reset),
    ("limits and privileges are set in the child only", limits_and_privileges),
    ("a bad list of descriptors is refused", bad_descriptors),
    ("a status is known even to who is not the parent", status_of_a_stranger),
    ("an RT signal is a status like any other", real_time_signal),
    ("orphans come to the subreaper", orphans),
    ("threads refuse to fork", threads_refuse),
];

fn main() {
    // `cargo test <filter>` reaches here as an argument.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(filter) = asked::wanted(&args) else { return };
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        test();
        println!("test {name} ... ok");
    }
}

fn sh(script: &str) -> Launch {
    let mut launch = Launch::new("/bin/sh");
    launch.args = vec!["-c".into(), script.into()];
    launch.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    launch
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

/// Runs a script and returns what it wrote to descriptor 1 and its exit code.
fn output(mut launch: Launch) -> (String, Option<i32>) {
    let (read, write) = pipe();
    launch.fds.push((write, 1));
    let child = launch.spawn().unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (text, wait(&child.pidfd).code())
}

fn wait(pidfd: &OwnedFd) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !process::has_ended(pidfd).unwrap() {
        assert!(Instant::now() < deadline, "the child does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    process::try_reap(pidfd).unwrap().unwrap()
}

fn named_and_nothing_else() {
    // Open on purpose and inheritable: what must not leak is not protected by its flag here.
    let (leak, _other) = pipe();
    nix::fcntl::fcntl(&leak, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let (named, _write) = pipe();
    let mut launch = sh("ls -1 /proc/$$/fd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; pwd; echo \"$0 $1\"");
    launch.args.extend(["zero".into(), "one".into()]);
    launch.env.push(("ONLY".into(), "this one".into()));
    launch.cwd = Some("/usr".into());
    launch.fds.push((named, 7));
    let (text, code) = output(launch);
    assert_eq!(text, "0\n1\n2\n7\nPATH=/usr/bin:/bin\nONLY=this one\n/usr\nzero one\n");
    assert_eq!(code, Some(0));
}

fn descriptors_may_swap() {
    let (a_read, a_write) = pipe();
    let (b_read, b_write) = pipe();
    File::from(a_write).write_all(b"a").unwrap();
    File::from(b_write).write_all(b"b").unwrap();
    // Each target is the number the other has here.
    let (a, b) = (a_read.as_raw_fd(), b_read.as_raw_fd());
    let mut launch = sh(&format!("cat /proc/self/fd/{b} /proc/self/fd/{a}"));
    launch.fds = vec![(a_read, b), (b_read, a)];
    assert_eq!(output(launch).0, "ab");
}

fn failed_exec() {
    let file = std::env::temp_dir().join(format!("baton-exec-{}", std::process::id()));
    std::fs::write(&file, "no program\n").unwrap();
    let try_it = |mode| {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        Launch::new(&file).spawn().unwrap_err()
    };
    let err = try_it(0o700);
    assert!(matches!(err, ExecError::Child { step: Step::Exec, source: Errno::ENOEXEC, .. }), "{err:?}");
    assert_eq!((err.shell_code(), err.errno()), (126, Some(Errno::ENOEXEC)));
    assert!(err.hint().unwrap().contains("#!"), "{err}");
    let err = try_it(0o600);
    assert_eq!((err.shell_code(), err.errno()), (126, Some(Errno::EACCES)));
    std::fs::write(&file, "#!/nonexistent/interpreter\n").unwrap();
    let err = try_it(0o700);
    assert_eq!((err.shell_code(), err.errno()), (127, Some(Errno::ENOENT)));
    std::fs::remove_file(&file).unwrap();
    let err = Launch::new(&file).spawn().unwrap_err();
    assert_eq!(err.errno(), Some(Errno::ENOENT));
    assert!(err.to_string().contains(&file.display().to_string()), "{err}");
    // Nothing is left to reap.
    assert_eq!(process::ended_child(), Ok(None));
}

fn looked_up_in_its_own_path() {
    let mut launch = sh("");
    launch.program = "sh".into();
    launch.args = vec!["-c".into(), "exit 5".into()];
    assert_eq!(wait(&launch.spawn().unwrap().pidfd).code(), Some(5));
    let mut launch = sh("");
    launch.program = "sh".into();
    launch.env = vec![("PATH".into(), "/nonexistent:/etc".into())];
    let err = launch.spawn().unwrap_err();
    assert!(matches!(err, ExecError::NotFound { .. }), "{err:?}");
    assert_eq!(err.shell_code(), 127);
    // There, but not executable: a shell says 126.
    let mut launch = sh("");
    launch.program = "passwd".into();
    launch.env = vec![("PATH".into(), "/etc".into())];
    assert_eq!(launch.spawn().unwrap_err().shell_code(), 126);
}

fn missing_directory() {
    let mut launch = sh("exit 0");
    launch.cwd = Some("/nonexistent/directory".into());
    let err = launch.spawn().unwrap_err();
    assert!(matches!(err, ExecError::Child { step: Step::WorkingDirectory, source: Errno::ENOENT, .. }), "{err:?}");
    assert!(err.hint().is_some());
}

fn gate_holds() {
    let (read, write) = pipe();
    let mut launch = sh("echo ran");
    launch.fds.push((write, 1));
    let (child, gate) = launch.spawn_gated().unwrap();
    assert!(!process::has_ended(&child.pidfd).unwrap());
    gate.release().unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "ran\n");
    assert_eq!(wait(&child.pidfd).code(), Some(0));
}

fn dropped_gate() {
    let (child, gate) = sh("exit 0").spawn_gated().unwrap();
    drop(gate);
    assert_eq!(wait(&child.pidfd).code(), Some(127));
}

fn released_gate_reports() {
    let (child, gate) = Launch::new("/nonexistent/program").spawn_gated().unwrap();
    let err = gate.release().unwrap_err();
    assert_eq!(err.errno(), Some(Errno::ENOENT));
    assert_eq!(wait(&child.pidfd).code(), Some(127));
    let (child, gate) = sh("exit 0").spawn_gated().unwrap();
    process::pidfd_send_signal(&child.pidfd, Signal::SIGKILL).unwrap();
    wait(&child.pidfd);
    assert!(matches!(gate.release().unwrap_err(), ExecError::Died { .. }));
}

fn controlling_terminal() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut launch =
        sh("tty </dev/tty >/dev/null && [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo mine >/dev/tty; cat >/dev/null");
    launch.controlling_tty = Some(pty.slave);
    let child = launch.spawn().unwrap();
    let mut master = File::from(pty.master);
    let mut text = [0; 64];
    let count = master.read(&mut text).unwrap();
    assert_eq!(&text[..count], b"mine\r\n");
    // It leads its session, in the terminal's foreground.
    assert_eq!(nix::unistd::getsid(Some(child.pid)), Ok(child.pid));
    assert_eq!(nix::unistd::tcgetpgrp(&master), Ok(child.pid));
    // The terminal's end is the session's: SIGHUP.
    drop(master);
    assert_eq!(wait(&child.pidfd).signal(), Some(Signal::SIGHUP as i32));
}

fn signals_reset() {
    // SIGPIPE is ignored in every Rust program; SIGUSR1 is blocked here.
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(Signal::SIGUSR1);
    set.thread_block().unwrap();
    let (text, _) = output(sh("grep -e ^SigBlk -e ^SigIgn /proc/self/status"));
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    // This process keeps its own mask.
    assert!(nix::sys::signal::SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR1));
    set.thread_unblock().unwrap();
}

fn limits_and_privileges() {
    let before = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let mut launch = sh("ulimit -Sn; grep ^NoNewPrivs /proc/self/status");
    launch.rlimit_nofile = Some(77);
    launch.no_new_privs = true;
    assert_eq!(output(launch).0, "77\nNoNewPrivs:\t1\n");
    assert_eq!(nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap(), before);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(own.contains("NoNewPrivs:\t0"), "{own}");
}

fn bad_descriptors() {
    let (read, write) = pipe();
    let mut launch = sh("exit 0");
    launch.fds = vec![(duplicate(&read).unwrap(), 5), (write, 5)];
    assert!(matches!(launch.spawn().unwrap_err(), ExecError::Number { number: 5 }));
    let mut launch = sh("exit 0");
    launch.fds = vec![(read, -1)];
    assert!(matches!(launch.spawn().unwrap_err(), ExecError::Number { number: -1 }));
    let mut launch = sh("exit 0");
    launch.args.push("a\0b".into());
    assert!(matches!(launch.spawn().unwrap_err(), ExecError::Nul { .. }));
}

fn status_of_a_stranger() {
    let child = sh("exit 9").spawn().unwrap();
    assert_eq!(
        process::exit_status_after_reap(&child.pidfd).filter(|_| !process::has_ended(&child.pidfd).unwrap()),
        None
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while !process::has_ended(&child.pidfd).unwrap() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    // As anybody sees it before it is reaped; the parent's right to the status is not used.
    assert_eq!(process::exit_status_after_reap(&child.pidfd).and_then(|status| status.code()), Some(9));
    process::reap(&child.pidfd);
    // Afterwards only newer kernels know; none of them tells something else.
    assert!(matches!(process::exit_status_after_reap(&child.pidfd).map(|status| status.code()), None | Some(Some(9))));
    assert_eq!(process::try_reap(&child.pidfd), Err(Errno::ECHILD));
}

fn real_time_signal() {
    let child = sh("kill -s RTMIN+3 $$; sleep 10").spawn().unwrap();
    let signal = wait(&child.pidfd).signal();
    assert!(signal.is_some_and(|signal| signal > 34), "{signal:?}");
}

fn orphans() {
    process::set_child_subreaper().unwrap();
    // The script ends at once; what it left behind ends later, as this process's child.
    let child = sh("(sleep 0.05; exit 3) & exit 0").spawn().unwrap();
    assert_eq!(wait(&child.pidfd).code(), Some(0));
    let deadline = Instant::now() + Duration::from_secs(10);
    let orphan = loop {
        if let Some(pid) = process::ended_child().unwrap() {
            break pid;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    };
    let pidfd = process::pidfd_open(orphan).unwrap();
    assert_eq!(process::try_reap(&pidfd).unwrap().unwrap().code(), Some(3));
    assert_eq!(process::ended_child(), Ok(None));
}

fn threads_refuse() {
    let (read, write) = pipe();
    let thread = std::thread::spawn(move || File::from(read).read_to_end(&mut Vec::new()));
    assert!(matches!(sh("exit 0").spawn().unwrap_err(), ExecError::Threads { threads: 2 }));
    assert!(matches!(fork_twin().unwrap_err(), ExecError::Threads { threads: 2 }));
    drop(write);
    thread.join().unwrap().unwrap();
    // The kernel lists a joined thread for a moment longer.
    let deadline = Instant::now() + Duration::from_secs(10);
    while process::thread_count().unwrap() > 1 {
        assert!(Instant::now() < deadline);
    }
    match fork_twin().unwrap() {
        Twin::Younger => std::process::exit(4),
        Twin::Elder(child) => assert_eq!(wait(&child.pidfd).code(), Some(4)),
    }
}
