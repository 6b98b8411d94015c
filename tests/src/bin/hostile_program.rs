//! A program that tries to get out of its session: every way that this file knows, each in a process of its own.
//!
//! `baton-hostile-program NAME=VALUE…` prints a line for each attempt, `<name> in` when it worked and `<name> out <why>` when
//! it did not, then `done`. It works on what the values name and breaks nothing: what it may open it does not change.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "its output is what the test reads")]
#![allow(clippy::unit_arg, clippy::drop_non_drop, reason = "a table of attempts: each says only whether it worked")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn};
use nix::unistd::Pid;

type Values = BTreeMap<String, String>;
type Outcome = Result<(), Box<dyn std::error::Error>>;
type Attempt = (&'static str, fn(&Values) -> Outcome);

const ATTEMPTS: &[Attempt] = &[
    ("read_key", |v| secret(&v["key"])),
    ("read_key_by_link", |v| secret(&format!("{}/link", v["project"]))),
    ("read_key_by_hard_link", |v| secret(&format!("{}/hard", v["project"]))),
    ("read_key_by_dots", |v| secret(&format!("{}/../.ssh/id", v["project"]))),
    ("read_key_by_proc_root", |v| secret(&format!("/proc/self/root{}", v["key"]))),
    ("read_key_by_other_root", |v| secret(&format!("/proc/{}/root{}", v["victim"], v["key"]))),
    ("list_keys", |v| {
        Ok(drop(fs::read_dir(Path::new(&v["key"]).parent().ok_or("no parent")?)?.next().ok_or("empty")??))
    }),
    ("read_baton_token", |v| nonempty(&v["token"])),
    ("read_baton_key", |v| nonempty(&v["install_key"])),
    ("see_key", |v| Ok(drop(fs::metadata(&v["key"])?))),
    ("read_outside", |v| nonempty(&v["outside_file"])),
    ("write_outside", |v| Ok(drop(OpenOptions::new().append(true).open(&v["outside_file"])?))),
    ("write_outside_by_link", |v| Ok(drop(OpenOptions::new().append(true).open(format!("{}/out", v["project"]))?))),
    ("make_outside", |v| made(&format!("{}/new", v["outside"]))),
    ("make_in_home", |v| seen_outside(v, "made_in_home")),
    ("rename_outside_in", |v| {
        let (from, to) = (format!("{}/moved", v["outside"]), format!("{}/moved", v["project"]));
        fs::rename(&from, &to)?;
        Ok(fs::rename(to, from)?)
    }),
    ("rename_inside_out", |v| {
        let (from, to) = (format!("{}/mine", v["project"]), format!("{}/mine", v["outside"]));
        fs::rename(&from, &to)?;
        Ok(fs::rename(to, from)?)
    }),
    ("link_outside_in", |v| {
        let to = format!("{}/stolen", v["project"]);
        fs::hard_link(&v["outside_file"], &to)?;
        Ok(fs::remove_file(to)?)
    }),
    ("chmod_outside", |v| chmod(&v["outside_file"])),
    ("chmod_read_only", |v| chmod(&v["read_only_file"])),
    ("write_read_only", |v| Ok(drop(OpenOptions::new().append(true).open(&v["read_only_file"])?))),
    ("touch_read_only", |v| {
        let file = File::open(&v["read_only_file"])?;
        Ok(file.set_modified(file.metadata()?.modified()?)?)
    }),
    // `F_SETLEASE` for writing: whoever opens the file waits until it is given back, or for 45 s.
    ("lease_read_only", |v| {
        let of = &v["read_only_file"];
        perl(&format!("open(my $f, '<', '{of}'); fcntl($f, 1024, 1) or (print STDERR $!) && exit 1"))
    }),
    ("namespace_of_users", |_| Ok(unshare(CloneFlags::CLONE_NEWUSER)?)),
    ("mount", |v| {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        Ok(mount(Some("none"), v["project"].as_str(), Some("tmpfs"), MsFlags::empty(), none)?)
    }),
    ("join_namespace", |v| {
        let other = File::open(format!("/proc/{}/ns/net", v["victim"]))?;
        // An ordinary user may not even where it is not confined: to have it open is enough.
        Ok(setns(other, CloneFlags::CLONE_NEWNET).or_else(|err| if v["root"] == "no" { Ok(()) } else { Err(err) })?)
    }),
    ("memory_of_another", |v| Ok(drop(File::open(format!("/proc/{}/mem", v["victim"]))?))),
    ("environment_of_another", |v| nonempty(&format!("/proc/{}/environ", v["victim"]))),
    // That there is one is no secret; what it leads to is.
    ("descriptors_of_another", |v| Ok(drop(fs::read_link(format!("/proc/{}/fd/0", v["victim"]))?))),
    ("trace_another", |v| {
        let pid = pid(&v["victim"])?;
        nix::sys::ptrace::attach(pid)?;
        nix::sys::wait::waitpid(pid, None)?;
        Ok(nix::sys::ptrace::detach(pid, None)?)
    }),
    ("signal_another", |v| Ok(kill(pid(&v["victim"])?, Signal::SIGCONT)?)),
    // A limit that is too small ends whatever it is set for; this one changes nothing for who sleeps.
    ("limit_another", |v| {
        let pid = rustix::process::Pid::from_raw(v["victim"].parse()?);
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::prlimit(pid, rustix::process::Resource::Core, none)?;
        Ok(())
    }),
    ("slow_another", |v| {
        Ok(rustix::process::setpriority_process(rustix::process::Pid::from_raw(v["victim"].parse()?), 19)?)
    }),
    ("offer_another_to_be_killed", |v| {
        Ok(drop(OpenOptions::new().write(true).open(format!("/proc/{}/oom_score_adj", v["victim"]))?))
    }),
    // Left in the grant, they would be the user's, or root's, for everybody who finds them.
    ("set_user_by_open", |v| {
        let path = format!("{}/set-user", v["project"]);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o4700).open(&path)?;
        set(0o4000, &file.metadata()?, &path)
    }),
    ("set_group_by_open", |v| {
        let path = format!("{}/set-group", v["project"]);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o2710).open(&path)?;
        set(0o2000, &file.metadata()?, &path)
    }),
    ("set_user_by_mknod", |v| {
        let path = format!("{}/set-user-made", v["project"]);
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o4700);
        nix::sys::stat::mknod(path.as_str(), nix::sys::stat::SFlag::S_IFREG, mode, 0)?;
        set(0o4000, &fs::metadata(&path)?, &path)
    }),
    ("set_user_by_openat2", |v| {
        let path = format!("{}/set-user-newer", v["project"]);
        // `openat2` has this number everywhere; flags, mode and nothing to resolve.
        perl(&format!(
            "my ($p, $h) = ('{path}', pack('Q3', 0101, 04700, 0)); exit(syscall(437, -100, $p, $h, 24) < 0 ? (print STDERR $!) : 0)"
        ))?;
        set(0o4000, &fs::metadata(&path)?, &path)
    }),
    ("set_user_by_chmod", |v| {
        let path = format!("{}/mine", v["project"]);
        fs::set_permissions(&path, Permissions::from_mode(0o4700))?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(0o600))?)
    }),
    ("set_group_by_chmod", |v| {
        let path = format!("{}/mine", v["project"]);
        fs::set_permissions(&path, Permissions::from_mode(0o2710))?;
        let set = fs::metadata(&path)?.mode() & 0o2000 != 0;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        if set { Ok(()) } else { Err("not kept".into()) }
    }),
    ("abstract_socket", |v| Ok(drop(UnixStream::connect_addr(&SocketAddr::from_abstract_name(&v["abstract"])?)?))),
    ("path_socket", |v| Ok(drop(UnixStream::connect(&v["path_socket"])?))),
    ("bridge_socket", |v| Ok(drop(UnixStream::connect(&v["bridge_socket"])?))),
    ("tcp", |v| Ok(drop(TcpStream::connect(&v["tcp"])?))),
    ("udp", |v| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send_to(b"echo", &v["udp"])?;
        Ok(socket.recv(&mut [0; 8]).map(|_| ())?)
    }),
    ("mptcp", |v| {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            std::num::NonZeroU32::new(262).map(rustix::net::Protocol::from_raw),
        )?;
        let address: std::net::SocketAddr = v["tcp"].parse()?;
        Ok(rustix::net::connect(&socket, &address)?)
    }),
    // Where nobody asked for a port the kernel gives one; the test tries to reach it.
    ("listen_unbound", |_| {
        let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), SockProtocol::Tcp)?;
        socket::listen(&socket, socket::Backlog::new(1)?)?;
        let port = socket::getsockname::<SockaddrIn>(std::os::fd::AsRawFd::as_raw_fd(&socket))?.port();
        println!("port {port}");
        std::io::stdout().flush()?;
        std::thread::sleep(Duration::from_millis(800));
        socket::setsockopt(&socket, socket::sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(0, 1000))?;
        Ok(socket::accept(std::os::fd::AsRawFd::as_raw_fd(&socket)).map(drop)?)
    }),
    ("terminal_of_another", |v| {
        Ok(drop(OpenOptions::new().write(true).custom_flags(nix::libc::O_NOCTTY).open(&v["terminal"])?))
    }),
    ("shared_memory_of_another", |v| nonempty(&v["shared_memory"])),
    ("temporary_file_of_another", |v| nonempty(&v["temporary_file"])),
    // On every architecture this call has this number; the ioctls are x86's and ARM's.
    ("io_uring", |_| perl("my $p = \"\\0\" x 120; exit(syscall(425, 1, $p) < 0 ? (print STDERR $!) : 0)")),
    ("type_into_terminal", |_| perl("my $c = \"\\n\"; ioctl(STDIN, 0x5412, $c) or (print STDERR $!) && exit 1")),
    ("paste_into_console", |_| perl("my $c = \"\\3\"; ioctl(STDIN, 0x541C, $c) or (print STDERR $!) && exit 1")),
    // `BTRFS_IOC_SNAP_CREATE_V2`, of nothing. A file system that is none has another answer than a filter.
    ("snapshot_of_grant", |v| {
        let of = &v["project"];
        perl(&format!(
            "open(my $d, '<', '{of}'); my $a = \"\\0\" x 4096; ioctl($d, 0x50009417, $a) or (print STDERR $!) && exit 1"
        ))
    }),
    ("more_descriptors", |_| {
        let open = fs::read_dir("/proc/self/fd")?.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        // What this look itself has open is a directory.
        let inherited = open.filter(|link| !link.starts_with("/proc") && !link.starts_with("/dev")).count();
        if inherited > 0 { Ok(()) } else { Err("none".into()) }
    }),
    ("token_in_environment", |_| std::env::var("PLANTED_TOKEN").map(drop).map_err(Into::into)),
    ("core_dumps", |_| {
        let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE)?;
        if hard > 1 { Ok(()) } else { Err("limited".into()) }
    }),
    ("new_privileges", |_| if nix::sys::prctl::get_no_new_privs()? { Err("given up".into()) } else { Ok(()) }),
    // From here on only root could at all.
    ("root_keeps_set_user_while_it_writes", |v| {
        let path = format!("{}/set-user-before", v["project"]);
        OpenOptions::new().append(true).open(&path)?.write_all(b"x")?;
        if fs::metadata(&path)?.mode() & 0o4000 != 0 { Ok(()) } else { Err("not kept".into()) }
    }),
    ("root_reads_shadow", |_| nonempty("/etc/shadow")),
    ("root_makes_device", |v| {
        let path = format!("{}/device", v["project"]);
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        let mode = nix::sys::stat::Mode::S_IRUSR;
        nix::sys::stat::mknod(path.as_str(), kind, mode, nix::sys::stat::makedev(1, 3))?;
        Ok(fs::remove_file(path)?)
    }),
    ("root_sets_core_pattern", |_| Ok(drop(OpenOptions::new().write(true).open("/proc/sys/kernel/core_pattern")?))),
    ("root_changes_system", |_| chmod("/etc/passwd")),
    ("root_writes_system", |_| Ok(drop(OpenOptions::new().append(true).open("/etc/passwd")?))),
    ("root_reads_kernel_log", |_| Ok(drop(File::open("/dev/kmsg")?))),
];

fn secret(path: &str) -> Outcome {
    if fs::read_to_string(path)?.contains("PRIVATE") { Ok(()) } else { Err("something else is there".into()) }
}

fn nonempty(path: &str) -> Outcome {
    let read = File::open(path)?.read(&mut [0; 16])?;
    if read > 0 { Ok(()) } else { Err("empty".into()) }
}

/// For calls that no safe library makes. What it says on its standard error is why it failed.
fn perl(script: &str) -> Outcome {
    let mut perl = std::process::Command::new("perl");
    let output = perl.env("LC_ALL", "C").args(["-e", script]).stdin(std::process::Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
    if output.status.success() { Ok(()) } else { Err(said.into()) }
}

fn made(path: &str) -> Outcome {
    drop(OpenOptions::new().write(true).create_new(true).open(path)?);
    Ok(fs::remove_file(path)?)
}

/// A file in HOME is no harm where that is the session's own: whether it is, is for the test to see.
fn seen_outside(values: &Values, name: &str) -> Outcome {
    fs::write(Path::new(&values["home"]).join(name), "made")?;
    Err("for the test to see".into())
}

/// Whether what was just made has this bit.
fn set(bit: u32, made: &fs::Metadata, path: &str) -> Outcome {
    fs::remove_file(path)?;
    if made.mode() & bit != 0 { Ok(()) } else { Err("not kept".into()) }
}

/// Sets the mode that it has.
fn chmod(path: &str) -> Outcome {
    let mode = fs::metadata(path)?.mode();
    Ok(fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?)
}

fn pid(text: &str) -> Result<Pid, std::num::ParseIntError> {
    text.parse().map(Pid::from_raw)
}

/// Sends descriptors to itself and takes none until the kernel refuses more, with as many files open as it may have. Those in
/// flight are counted for the user, whoever sent them.
fn fill_what_is_in_flight() -> Result<usize, Box<dyn std::error::Error>> {
    use std::os::fd::AsRawFd as _;
    /// As many as one message takes (`SCM_MAX_FD`).
    const A_MESSAGE: usize = 253;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let null = File::open("/dev/null")?;
    let many = [null.as_raw_fd(); A_MESSAGE];
    let (mut pairs, mut sent) = (Vec::new(), 0);
    loop {
        let pair = UnixStream::pair()?;
        pair.0.set_nonblocking(true)?;
        loop {
            let (bytes, rights) = ([std::io::IoSlice::new(b"x")], [socket::ControlMessage::ScmRights(&many)]);
            let flags = socket::MsgFlags::empty();
            match socket::sendmsg::<()>(pair.0.as_raw_fd(), &bytes, &rights, flags, None) {
                Ok(_) => sent += A_MESSAGE,
                Err(nix::errno::Errno::EAGAIN) => break,
                Err(nix::errno::Errno::ETOOMANYREFS) => {
                    println!("in flight: {sent}");
                    std::io::stdout().flush()?;
                    // Until it is killed.
                    std::thread::sleep(Duration::from_secs(1000));
                    return Ok(pairs.len());
                }
                Err(err) => return Err(err.into()),
            }
        }
        pairs.push(pair);
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("fill-what-is-in-flight") {
        if let Err(err) = fill_what_is_in_flight() {
            println!("failed: {err}");
        }
        return;
    }
    let values: Values = std::env::args()
        .filter_map(|arg| arg.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    if let Some(name) = values.get("only") {
        let outcome = ATTEMPTS.iter().find(|(known, _)| known == name).map(|(_, attempt)| attempt(&values));
        match outcome {
            Some(Ok(())) => println!("{name} in"),
            Some(Err(err)) => println!("{name} out {err}"),
            None => println!("{name} unknown"),
        }
        return;
    }
    for (name, _) in ATTEMPTS {
        let arguments = std::env::args().skip(1).chain([format!("only={name}")]);
        let started = std::env::current_exe().and_then(|own| std::process::Command::new(own).args(arguments).status());
        if let Err(err) = started {
            println!("{name} not-tried {err}");
        }
    }
    println!("done");
}
