//! Each rule of the filters for programs against a call that breaks it, and programs that must not notice.
//!
//! The test runs itself again: a filter can't be taken back, so each attempt has a process of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_possible_truncation)]

mod asked;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use baton_sandbox::process::set_no_new_privs;
use baton_sandbox::seccomp::{self, Filter};
use nix::errno::Errno;
use nix::libc;

/// Filter, call, arguments, the answer.
type Attempt = (&'static str, &'static str, [u64; 6], Errno);

const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;
const NEW_NET: u64 = libc::CLONE_NEWNET as u64;
const CHILD: u64 = libc::SIGCHLD as u64;
const SET_USER: u64 = 0o4755;
const SET_GROUP: u64 = 0o2755;
const CREATE: u64 = libc::O_CREAT as u64;
/// Without the flag that says it is about a directory, which `O_TMPFILE` contains.
const TEMPORARY: u64 = 0o20_000_000;
const FAST_OPEN: u64 = 0x2000_0000;
/// High halves that the kernel ignores must not lead past a rule.
const HIGH: u64 = 1 << 40;

const fn args(first: u64, second: u64, third: u64, fourth: u64) -> [u64; 6] {
    [first, second, third, fourth, 0, 0]
}

#[rustfmt::skip]
const ATTEMPTS: &[Attempt] = &[
    ("session", "io_uring_setup", args(8, 0, 0, 0), Errno::ENOSYS),
    ("session", "io_uring_enter", args(0, 0, 0, 0), Errno::ENOSYS),
    ("session", "io_uring_register", args(0, 0, 0, 0), Errno::ENOSYS),
    ("session", "ptrace", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "process_vm_readv", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "process_vm_writev", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "pidfd_getfd", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "kcmp", args(1, 1, 0, 0), Errno::EPERM),
    ("session", "move_pages", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "mount", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "umount2", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "pivot_root", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "move_mount", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "open_tree", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "fsopen", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "mount_setattr", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "setns", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "open_by_handle_at", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "fanotify_init", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "bpf", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "perf_event_open", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "userfaultfd", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "keyctl", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "add_key", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "kexec_load", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "init_module", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "finit_module", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "reboot", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "sethostname", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "settimeofday", args(0, 0, 0, 0), Errno::EPERM),
    ("session", "clock_settime", args(99, 0, 0, 0), Errno::EPERM),
    ("session", "personality", args(0x0040_0000, 0, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(0, 0x5412, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(0, 0x5412 | HIGH, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(0, 0x541c, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(0, 0x5423, 0, 0), Errno::EPERM),
    // Snapshots and subvolumes, made and removed: `btrfs_ioctl_vol_args` and its second version, then those of bcachefs.
    ("session", "ioctl", args(99, 0x5000_9401, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_9417, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_9417 | HIGH, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_940e, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_9418, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_940f, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x5000_943f, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x4008_941a, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0xc0c8_9425, 0, 0), Errno::EPERM),
    ("session", "ioctl", args(99, 0x4020_bc10, 0, 0), Errno::EPERM),
    ("browser", "ioctl", args(99, 0x5000_9417, 0, 0), Errno::EPERM),
    // Leases of each kind, and signals about a directory.
    ("session", "fcntl", args(99, 1024, 1, 0), Errno::EINVAL),
    ("session", "fcntl", args(99, 1024 | HIGH, 0, 0), Errno::EINVAL),
    ("session", "fcntl", args(99, 1040, 0, 0), Errno::EINVAL),
    ("session", "fcntl", args(99, 1026, 1, 0), Errno::EINVAL),
    ("browser", "fcntl", args(99, 1024, 1, 0), Errno::EINVAL),
    ("session", "io_setup", args(1, 0, 0, 0), Errno::ENOSYS),
    ("session", "socket", args(libc::AF_PACKET as u64, 3, 0, 0), Errno::EAFNOSUPPORT),
    ("session", "socket", args(libc::AF_VSOCK as u64, 1, 0, 0), Errno::EAFNOSUPPORT),
    ("session", "socket", args(libc::AF_ALG as u64, 5, 0, 0), Errno::EAFNOSUPPORT),
    ("session", "socket", args(libc::AF_NETLINK as u64, 3, 9, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_NETLINK as u64, 3, 4 | HIGH, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET as u64, 1, 262, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET6 as u64 | HIGH, 1, 262 | HIGH, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET as u64, 1, 132, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET as u64, 5, 0, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET as u64, 3, 1, 0), Errno::EPROTONOSUPPORT),
    ("session", "socket", args(libc::AF_INET as u64, 3 | 0o2_000_000, 1, 0), Errno::EPROTONOSUPPORT),
    ("session", "sendto", args(0, 0, 0, FAST_OPEN), Errno::EOPNOTSUPP),
    ("session", "sendto", args(0, 0, 0, FAST_OPEN | 0x4000), Errno::EOPNOTSUPP),
    ("session", "sendmsg", args(0, 0, FAST_OPEN, 0), Errno::EOPNOTSUPP),
    ("session", "sendmmsg", args(0, 0, 0, FAST_OPEN), Errno::EOPNOTSUPP),
    ("session", "fchmod", args(99, SET_USER, 0, 0), Errno::EPERM),
    ("session", "fchmodat", args(99, 0, SET_USER, 0), Errno::EPERM),
    ("session", "fchmodat2", args(99, 0, SET_USER, 0), Errno::EPERM),
    ("session", "chmod", args(0, SET_USER, 0, 0), Errno::EPERM),
    ("session", "chmod", args(0, SET_GROUP | HIGH, 0, 0), Errno::EPERM),
    ("session", "fchmod", args(99, SET_GROUP, 0, 0), Errno::EPERM),
    ("session", "fchmodat", args(99, 0, SET_GROUP, 0), Errno::EPERM),
    ("session", "fchmodat2", args(99, 0, SET_GROUP, 0), Errno::EPERM),
    ("session", "creat", args(0, SET_USER, 0, 0), Errno::EPERM),
    ("session", "mknod", args(0, SET_USER, 0, 0), Errno::EPERM),
    ("session", "mknodat", args(99, 0, SET_GROUP, 0), Errno::EPERM),
    ("session", "mkdir", args(0, SET_GROUP, 0, 0), Errno::EPERM),
    ("session", "mkdirat", args(99, 0, SET_GROUP, 0), Errno::EPERM),
    ("session", "open", args(0, CREATE, SET_USER, 0), Errno::EPERM),
    ("session", "open", args(0, TEMPORARY, SET_GROUP, 0), Errno::EPERM),
    ("session", "openat", args(99, 0, CREATE | 1, SET_USER), Errno::EPERM),
    ("session", "openat", args(99, 0, TEMPORARY | HIGH, SET_USER | HIGH), Errno::EPERM),
    ("session", "openat2", args(99, 0, 0, 0), Errno::ENOSYS),
    ("browser", "openat", args(99, 0, CREATE, SET_USER), Errno::EPERM),
    // Number 1 is there and nobody's of these; -1 is a number, too.
    ("session", "prlimit64", args(1, 7, 0, 0), Errno::EPERM),
    ("session", "prlimit64", args(u64::MAX, 7, 0, 0), Errno::EPERM),
    ("session", "setpriority", args(0, 1, 0, 0), Errno::EPERM),
    ("session", "setpriority", args(1, 1, 0, 0), Errno::EPERM),
    ("session", "setpriority", args(2, 0, 0, 0), Errno::EPERM),
    ("session", "ioprio_set", args(1, 1, 0, 0), Errno::EPERM),
    ("session", "ioprio_set", args(2, 1, 0, 0), Errno::EPERM),
    ("session", "ioprio_set", args(3, 0, 0, 0), Errno::EPERM),
    ("session", "sched_setscheduler", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "sched_setparam", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "sched_setattr", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "get_robust_list", args(1, 0, 0, 0), Errno::EPERM),
    ("session", "prctl", args(62, 2, 1, 0), Errno::EPERM),
    ("browser", "prlimit64", args(1, 7, 0, 0), Errno::EPERM),
    ("session", "clone3", args(0, 0, 0, 0), Errno::ENOSYS),
    ("session", "clone", args(NEW_USER | CHILD, 0, 0, 0), Errno::EPERM),
    ("session", "clone", args(NEW_NET | CHILD, 0, 0, 0), Errno::EPERM),
    ("session", "unshare", args(NEW_USER, 0, 0, 0), Errno::EPERM),
    ("session", "unshare", args(NEW_USER | NEW_NET, 0, 0, 0), Errno::EPERM),
    ("session", "unshare", args(0x80, 0, 0, 0), Errno::EPERM),
    ("session", "chroot", args(0, 0, 0, 0), Errno::EPERM),
    ("browser", "ptrace", args(0, 0, 0, 0), Errno::EPERM),
    ("browser", "mount", args(0, 0, 0, 0), Errno::EPERM),
    ("browser", "io_uring_setup", args(8, 0, 0, 0), Errno::ENOSYS),
    ("browser", "socket", args(libc::AF_INET as u64, 1, 262, 0), Errno::EPROTONOSUPPORT),
    ("offline", "socket", args(libc::AF_INET as u64, 1, 0, 0), Errno::EACCES),
    ("offline", "socket", args(libc::AF_INET6 as u64, 2, 0, 0), Errno::EACCES),
    ("offline", "socket", args(libc::AF_PACKET as u64, 3, 0, 0), Errno::EACCES),
    ("readonly", "fchmod", args(99, 0o600, 0, 0), Errno::EPERM),
    ("readonly", "fchmodat", args(99, 0, 0o600, 0), Errno::EPERM),
    ("readonly", "fchown", args(99, 0, 0, 0), Errno::EPERM),
    ("readonly", "fsetxattr", args(99, 0, 0, 0), Errno::EPERM),
    ("readonly", "utimensat", args(99, 0, 0, 0), Errno::EPERM),
];

/// What must go on: the call reaches the kernel, whose own answer to these arguments is known.
#[rustfmt::skip]
const HARMLESS: &[Attempt] = &[
    ("session", "socket", args(libc::AF_UNIX as u64, 1, 0, 0), Errno::UnknownErrno),
    ("session", "socket", args(libc::AF_INET as u64, 1, 6, 0), Errno::UnknownErrno),
    ("session", "socket", args(libc::AF_INET6 as u64, 2, 17, 0), Errno::UnknownErrno),
    ("session", "socket", args(libc::AF_NETLINK as u64, 3, 0, 0), Errno::UnknownErrno),
    ("session", "personality", args(0xffff_ffff, 0, 0, 0), Errno::UnknownErrno),
    ("session", "unshare", args(libc::CLONE_FILES as u64, 0, 0, 0), Errno::UnknownErrno),
    ("session", "inotify_init1", args(0, 0, 0, 0), Errno::UnknownErrno),
    // `cp --reflink`, and who looks for the same bytes twice.
    ("session", "ioctl", args(99, 0x4004_9409, 0, 0), Errno::EBADF),
    ("session", "ioctl", args(99, 0x4020_940d, 0, 0), Errno::EBADF),
    ("session", "ioctl", args(99, 0xc018_9436, 0, 0), Errno::EBADF),
    ("session", "ioctl", args(99, 0x5401, 0, 0), Errno::EBADF),
    // Flags, locks, what a pipe holds.
    ("session", "fcntl", args(99, 3, 0, 0), Errno::EBADF),
    ("session", "fcntl", args(99, 6, 0, 0), Errno::EBADF),
    ("session", "fcntl", args(99, 1031, 4096, 0), Errno::EBADF),
    ("session", "memfd_create", args(0, 0, 0, 0), Errno::EFAULT),
    ("session", "fchmod", args(99, 0o755, 0, 0), Errno::EBADF),
    ("session", "fchmod", args(99, 0o1777, 0, 0), Errno::EBADF),
    ("session", "openat", args(99, 0, CREATE, 0o644), Errno::EFAULT),
    ("session", "openat", args(99, 0, 0, SET_USER), Errno::EFAULT),
    ("session", "mkdirat", args(99, 0, 0o1777, 0), Errno::EFAULT),
    ("session", "prlimit64", args(0, 7, 0, 0), Errno::UnknownErrno),
    // The kernel looks at the lower half alone.
    ("session", "prlimit64", args(HIGH, 7, 0, 0), Errno::UnknownErrno),
    ("session", "setpriority", args(0, 0, 19, 0), Errno::UnknownErrno),
    ("session", "ioprio_set", args(1, 0, 0, 0), Errno::UnknownErrno),
    ("session", "sched_setscheduler", args(0, 0, 0, 0), Errno::EINVAL),
    ("session", "sched_setparam", args(0, 0, 0, 0), Errno::EINVAL),
    ("session", "sched_setaffinity", args(0x7fff_fff0, 0, 0, 0), Errno::ESRCH),
    ("session", "prctl", args(15, 0, 1, 0), Errno::EFAULT),
    ("session", "sendto", args(99, 0, 0, 0x4000), Errno::EBADF),
    ("session", "landlock_create_ruleset", args(0, 0, 1, 0), Errno::UnknownErrno),
    ("offline", "socket", args(libc::AF_UNIX as u64, 1, 0, 0), Errno::UnknownErrno),
    ("browser", "unshare", args(NEW_USER, 0, 0, 0), Errno::UnknownErrno),
    ("readonly", "openat", args(99, 0, 0, 0), Errno::EFAULT),
];

fn filter(name: &str) -> &'static Filter {
    [&seccomp::SESSION, &seccomp::BROWSER, &seccomp::OFFLINE, &seccomp::READONLY]
        .into_iter()
        .find(|filter| filter.name() == name)
        .unwrap()
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["attempt", name, number] => attempt(filter(name), number.parse().unwrap()),
        ["run", name, program, rest @ ..] => {
            confine(filter(name));
            let failed = Command::new(program).args(rest).exec();
            panic!("{program}: {failed}");
        }
        _ => {
            let Some(wanted) = asked::wanted(&given) else { return };
            let tests: [(&str, fn()); 5] = [
                ("what is denied fails with the answer of its rule", denied),
                ("what is not denied reaches the kernel", harmless),
                ("the other names of a call are denied as well", other_names),
                ("programs work under the session's filter", programs),
                ("a filter without privileges given up is refused", needs_no_new_privileges),
            ];
            for (name, test) in tests.iter().filter(|(name, _)| name.contains(&wanted)) {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

fn confine(filter: &Filter) {
    set_no_new_privs().unwrap();
    filter.install().unwrap();
}

/// Makes the attempt of this number and writes the kernel's answer. Numbers from 10 000 on are of [`HARMLESS`].
fn attempt(filter: &Filter, number: usize) {
    let (_, call, arguments, _) = if number < 10_000 { &ATTEMPTS[number] } else { &HARMLESS[number - 10_000] };
    let call = i64::from(seccomp::call_number(call).unwrap());
    let extra: i64 = std::env::var("EXTRA_BITS").map_or(0, |bits| bits.parse().unwrap());
    confine(filter);
    let [a, b, c, d, e, f] = *arguments;
    // SAFETY: every pointer among the arguments is null, so the kernel refuses it, if the filter has not before.
    let result = unsafe { libc::syscall(call | extra, a, b, c, d, e, f) };
    println!("{}", if result == -1 { Errno::last_raw() } else { 0 });
}

fn again(words: &[&str], extra_bits: i64) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(words)
        .env("EXTRA_BITS", extra_bits.to_string())
        .output()
        .unwrap()
}

fn answer(name: &str, number: usize, extra_bits: i64) -> Errno {
    let output = again(&["attempt", name, &number.to_string()], extra_bits);
    let text = String::from_utf8(output.stdout).unwrap();
    Errno::from_raw(text.trim().parse().unwrap_or_else(|_| panic!("{name} {number}: {text} {:?}", output.status)))
}

fn denied() {
    for (number, (name, call, arguments, expected)) in ATTEMPTS.iter().enumerate() {
        // Not every architecture has the old names.
        if seccomp::call_number(call).is_none() {
            continue;
        }
        assert_eq!(answer(name, number, 0), *expected, "{name}: {call} {arguments:x?}");
    }
}

fn harmless() {
    for (number, (name, call, arguments, expected)) in HARMLESS.iter().enumerate() {
        assert_eq!(answer(name, 10_000 + number, 0), *expected, "{name}: {call} {arguments:x?}");
    }
}

/// On x86-64 each call can be made a second way, with a bit set in its number: where the kernel has that, it answers as
/// the rule does, and where it has not, there is no such call.
fn other_names() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    for (number, (name, call, _, expected)) in ATTEMPTS.iter().enumerate() {
        // Under the bit, calls with a number of their own are another call.
        if matches!(
            *call,
            "ioctl"
                | "io_setup"
                | "move_pages"
                | "ptrace"
                | "process_vm_readv"
                | "process_vm_writev"
                | "kexec_load"
                | "sendmsg"
                | "sendmmsg"
                | "get_robust_list"
        ) {
            continue;
        }
        assert_eq!(answer(name, number, 0x4000_0000), *expected, "{name}: {call}");
    }
}

/// What a developer starts first. A program that is not installed is not tried.
fn programs() {
    let scratch = std::env::temp_dir().join(format!("baton-filters-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let directory = scratch.display();
    let scripts = [
        ("sh", "echo $(echo a | cat) > /dev/null; (sleep 0.01 &); wait".to_owned()),
        ("bash", "cat <(echo process substitution) >/dev/null; coproc cat; kill $!".to_owned()),
        (
            "git",
            format!(
                "cd {directory} && git init -q r && cd r && echo a > a && git add a && git -c user.name=n -c user.email=e@x \
                 commit -qm a && git gc -q && git worktree add -q ../w && git diff --stat"
            ),
        ),
        (
            "python3",
            "python3 -c 'import subprocess, threading, multiprocessing as m, socket, pty, tempfile
t = threading.Thread(target=print); t.start(); t.join()
assert subprocess.run([\"true\"]).returncode == 0
p = m.Process(target=print); p.start(); p.join(); assert p.exitcode == 0
s = socket.create_server((\"127.0.0.1\", 0)); socket.create_connection(s.getsockname())'"
                .to_owned(),
        ),
        ("node", "node -e 'require(\"fs\").promises.readFile(\"/etc/hostname\").then(() => require(\"child_process\").execSync(\"true\"))'".to_owned()),
        ("npm", format!("cd {directory} && HOME={directory} npm --offline --version")),
        ("vim", format!("cd {directory} && vim -es -u NONE -c 'normal ihello' -c 'wq! v.txt' </dev/null; grep -q hello v.txt")),
        ("tmux", format!("tmux -f /dev/null -S {directory}/s new-session -d 'echo in tmux > {directory}/t; sleep 9'; while ! grep -q tmux {directory}/t; do sleep 0.02; done; tmux -S {directory}/s kill-server")),
        ("cargo", "cargo --version && rustc --version".to_owned()),
        ("make", "make --version".to_owned()),
        ("ps", "ps -e".to_owned()),
    ];
    for (program, script) in scripts {
        let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        if !there.status.success() {
            println!("{program} is not installed: not tried");
            continue;
        }
        let shell = if program == "bash" { "bash" } else { "sh" };
        let output = again(&["run", "session", shell, "-ec", &script], 0);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}

fn needs_no_new_privileges() {
    // Root may install a filter anyway.
    if nix::unistd::geteuid().is_root() {
        return;
    }
    assert_eq!(seccomp::OFFLINE.install(), Err(Errno::EACCES));
}
