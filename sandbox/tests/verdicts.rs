//! What is answered about a path is what the kernel does: each path of a table is tried in a process that is confined for
//! real, and the outcome compared with the answer.
//!
//! One thread, as forking is refused anywhere else. Run as root, it runs again as an ordinary user. Needs a kernel with
//! Landlock and user namespaces (6.12).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod asked;

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use baton_proto::api::{Decides, Explained};
use baton_proto::spec::{Grant, Profile};
use baton_sandbox::landlock::Beside;
use baton_sandbox::verdict::Evaluator;
use baton_sandbox::{Jail, Launch, Request, process};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;

/// A user's home, a project, what else there is, and a directory of a session's own. Made anew for each path: it is
/// removed where that is possible.
struct World {
    root: PathBuf,
}

impl World {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("baton-verdicts-{}", std::process::id()));
        let world = Self { root };
        for directory in [
            "home/.ssh",
            "home/.cargo/bin",
            "home/project/sub",
            "home/project/empty",
            "home/read",
            "home/part/out",
            "home/other",
            "own/home",
            "own/tmp",
            "own/var-tmp",
            "own/shm",
            "state",
            "outside",
        ] {
            fs::create_dir_all(world.path(directory)).unwrap();
        }
        for file in [
            "home/.ssh/file",
            "home/.cargo/credentials.toml",
            "home/.cargo/bin/file",
            "home/.gitconfig",
            "home/project/file",
            "home/project/closed",
            "home/project/sub/file",
            "home/read/file",
            "home/part/file",
            "home/part/out/file",
            "home/other/file",
            "own/file",
            "own/home/file",
            "own/tmp/file",
            "own/var-tmp/file",
            "own/shm/file",
            "state/file",
            "outside/file",
        ] {
            fs::write(world.path(file), "content").unwrap();
        }
        fs::set_permissions(world.path("home/project/closed"), fs::Permissions::from_mode(0o000)).unwrap();
        for (target, name) in [
            (world.path("home/.ssh/file"), "to_secret"),
            (world.path("outside/file"), "out"),
            ("../../outside/file".into(), "out_by_dots"),
            ("sub/file".into(), "within"),
            ("loop".into(), "loop"),
            ("/etc/passwd".into(), "to_system"),
            ("nowhere".into(), "dangling"),
        ] {
            symlink(target, world.path("home/project").join(name)).unwrap();
        }
        nix::unistd::mkfifo(&world.path("home/read/fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        fs::hard_link(program(), world.path("home/project/probe")).unwrap();
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn request(&self, profile: Profile, grants: Vec<Grant>) -> Request {
        Request {
            profile,
            cwd: self.path("home/project"),
            grants,
            home: Some(self.path("home")),
            private: self.path("own"),
            hidden: vec![self.path("state")],
            probe: self.path("state/file"),
            terminal: None,
            required: false,
            private_bytes: None,
            start_files: Vec::new(),
            ssh_agent: None,
        }
    }

    fn grant(&self, below: &str, rights: &str) -> Grant {
        Grant {
            root: self.path(below).to_str().unwrap().to_owned(),
            write: rights.contains('w'),
            create: rights.contains('c'),
            delete: rights.contains('d'),
            output_roots: Vec::new(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// This program once more, on the same file system as the worlds: each has a link to it.
fn program() -> PathBuf {
    std::env::temp_dir().join(format!("baton-verdicts-probe-{}", std::process::id()))
}

/// Paths of the world.
const OWN: &[&str] = &[
    "home/project",
    "home/project/file",
    "home/project/closed",
    "home/project/new",
    "home/project/sub",
    "home/project/empty",
    "home/project/sub/../file",
    // Names of 255 bytes, and of one more.
    concat!(
        "home/project/",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
    concat!(
        "home/project/",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
    "home/project/missing/new",
    "home/project/file/below",
    "home/project/to_secret",
    "home/project/out",
    "home/project/out_by_dots",
    "home/project/within",
    "home/project/loop",
    "home/project/to_system",
    "home/project/dangling",
    "home/read",
    "home/read/file",
    "home/read/new",
    "home/read/fifo",
    "home/part",
    "home/part/file",
    "home/part/new",
    "home/part/out",
    "home/part/out/file",
    "home/part/out/new",
    "home",
    "home/new",
    "home/other",
    "home/other/file",
    "home/.ssh",
    "home/.ssh/file",
    "home/.ssh/new",
    "home/.cargo",
    "home/.cargo/bin/file",
    "home/.cargo/credentials.toml",
    "home/.gitconfig",
    "outside",
    "outside/file",
    "outside/new",
    "state",
    "state/file",
    "state/new",
    "own",
    "own/home",
];

/// Paths of the host.
const HOST: &[&str] = &[
    "/",
    "/usr",
    "/usr/bin/env",
    "/usr/new",
    "/bin/sh",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/new",
    "/root",
    "/home",
    "/srv",
    "/var/log",
    "/run",
    "/run/new",
    "/var/run",
    "/tmp",
    "/tmp/new",
    "/var/tmp/new",
    "/dev",
    "/dev/new",
    "/dev/null",
    "/dev/urandom",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/shm",
    "/dev/shm/new",
    "/dev/pts",
    "/dev/pts/new",
    "/dev/ptmx",
    "/proc/version",
    "/proc/self/status",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd/file",
    "/proc/thread-self/comm",
    "/proc/1/status",
    "/proc/1/environ",
    "/proc/1/maps",
    "/proc/1/mem",
    "/proc/1/fd",
    "/proc/1/cwd",
    "/proc/1/task/1/environ",
    "/proc/1/cmdline",
    "/proc/1/mounts",
    "/proc/1/ns",
    "/proc/1/fdinfo",
    "/proc/1/io",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/sys/kernel/hostname",
    "/proc/new",
    "/sys/kernel",
    "/sys/devices/system/cpu",
    "/sys/devices/system/cpu/online",
];

// ------------------------------------------------------------------------------------------------ the confined side

/// What worked: `r`, `w`, `c`, `d`, or `-` for each.
fn probe(path: &Path, own: bool) -> String {
    let found = fs::metadata(path);
    // What hides a file is `/dev/null`, which opens, and shows nothing.
    let null = found.as_ref().is_ok_and(|it| it.file_type().is_char_device()) && !path.starts_with("/dev");
    let is_dir = found.as_ref().is_ok_and(fs::Metadata::is_dir);
    let is_device = found.as_ref().is_ok_and(|it| it.file_type().is_char_device());
    let read = if is_dir {
        fs::read_dir(path).is_ok_and(|mut names| matches!(names.next(), Some(Ok(_))) || path.ends_with("empty"))
    } else {
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        !null && opened.is_ok_and(|mut file| is_device || file.read(&mut [0; 8]).is_ok())
    };
    let change = if is_dir { path.join("file") } else { path.to_owned() };
    let opened = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(&change);
    // A FIFO that nobody reads from says so only to who may write to it.
    let opened = opened.is_ok() || opened.is_err_and(|err| err.raw_os_error() == Some(libc::ENXIO));
    let write = if is_dir && !change.exists() { None } else { Some(!null && opened) };
    let was_there = fs::symlink_metadata(path).is_ok();
    let new = match &found {
        Ok(_) if is_dir => path.join("made"),
        // The name is taken; one beside it is as good, where a link leads.
        Ok(_) => path.canonicalize().unwrap_or_else(|_| path.to_owned()).with_extension("made"),
        Err(_) => path.to_owned(),
    };
    // To make a file is not to write to it. Through a link it is made where that leads.
    let create = OpenOptions::new().read(true).custom_flags(libc::O_CREAT).open(&new).is_ok();
    let delete = match (was_there, own) {
        (false, _) => Some(false),
        (true, true) => delete(path),
        (true, false) => harmlessly(path),
    };
    let sign = |works: Option<bool>, letter| match works {
        Some(true) => letter,
        Some(false) => '-',
        None => '?',
    };
    [sign(Some(read), 'r'), sign(write, 'w'), sign(Some(create), 'c'), sign(delete, 'd')].into_iter().collect()
}

fn delete(path: &Path) -> Option<bool> {
    let Ok(found) = fs::symlink_metadata(path) else { return Some(false) };
    let removed = if found.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
    let code = removed.as_ref().err().and_then(std::io::Error::raw_os_error).map(Errno::from_raw);
    Some(removed.is_ok() || code == Some(Errno::ENOTEMPTY))
}

/// Asks for what can't be, the wrong way for its kind: who has the right to is told so, and nothing is lost.
fn harmlessly(path: &Path) -> Option<bool> {
    // There is nothing that the whole file system could be removed from.
    path.parent()?;
    let Ok(found) = fs::symlink_metadata(path) else { return Some(false) };
    let (removed, otherwise) =
        if found.is_dir() { (fs::remove_file(path), Errno::EISDIR) } else { (fs::remove_dir(path), Errno::ENOTDIR) };
    Some(removed.is_err_and(|err| err.raw_os_error() == Some(otherwise as i32)))
}

// ---------------------------------------------------------------------------------------------------- the other side

fn tried(request: &Request, path: &Path, own: bool) -> String {
    let mut launch = Launch::new(request.cwd.join("probe"));
    launch.args = vec!["--probe".into(), path.into(), if own { "own" } else { "host" }.into()];
    launch.cwd = Some(request.cwd.clone());
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    launch.fds.push((write, 1));
    if request.profile != Profile::Host {
        launch.jail = Some(Box::new(Jail::prepare(request).unwrap()));
    }
    let child = launch.spawn().unwrap_or_else(|err| panic!("{err}: {:?}", err.hint()));
    let mut output = String::new();
    fs::File::from(read).read_to_string(&mut output).unwrap();
    process::reap(&child.pidfd);
    output
}

fn answered(explained: &Explained) -> String {
    let verdicts =
        [(&explained.read, 'r'), (&explained.write, 'w'), (&explained.create, 'c'), (&explained.delete, 'd')];
    verdicts.into_iter().map(|(verdict, letter)| if verdict.allowed { letter } else { '-' }).collect()
}

/// Compares, for one path, with a world of its own; what is wrong.
fn compare(profile: Profile, grants: &dyn Fn(&World) -> Vec<Grant>, below: &str, own: bool) -> Option<String> {
    let world = World::new();
    let request = world.request(profile, grants(&world));
    let path = if own { world.path(below) } else { PathBuf::from(below) };
    let explained = Evaluator::new(&request, Beside::Namespaces).unwrap().explain(&path);
    let answered = answered(&explained);
    let tried = tried(&request, &path, own);
    let alike = answered.len() == tried.len()
        && answered.chars().zip(tried.chars()).all(|(answer, trial)| trial == '?' || answer == trial);
    (!alike).then(|| format!("{profile:?} {below}: answered {answered}, found {tried}: {explained:#?}"))
}

fn agree() {
    type Grants = (&'static str, fn(&World) -> Vec<Grant>);
    let sets: [Grants; 5] = [
        ("project", |world| vec![world.grant("home/project", "wcd")]),
        ("read", |world| vec![world.grant("home/project", "wcd"), world.grant("home/read", "")]),
        ("several", |world| {
            let outputs = vec![world.path("home/part/out").to_str().unwrap().to_owned()];
            vec![
                world.grant("home/project", "wcd"),
                world.grant("home/read", ""),
                Grant { output_roots: outputs, ..world.grant("home/part", "w") },
            ]
        }),
        ("home", |world| vec![world.grant("home", "wcd")]),
        ("half", |world| vec![world.grant("home/project", "c"), world.grant("outside", "d"), world.grant("home", "")]),
    ];
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (name, grants) in &sets {
        for profile in [Profile::Workspace, Profile::Locked] {
            for (paths, own) in [(OWN, true), (HOST, false)] {
                compared += paths.len();
                let found = paths.iter().filter_map(|path| compare(profile, grants, path, own));
                wrong.extend(found.map(|found| format!("{name}: {found}")));
            }
        }
    }
    // Without confinement only what may be lost.
    let may_be_lost = OWN.iter().filter(|path| !path.ends_with("to_system"));
    let found = may_be_lost.filter_map(|path| compare(Profile::Host, &|_| Vec::new(), path, true));
    wrong.extend(found);
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("test {compared} answers are what the kernel does ... ok");
}

/// The reason is the one that counts, and says what to do.
fn reasons() {
    let world = World::new();
    let request =
        world.request(Profile::Workspace, vec![world.grant("home/project", "wc"), world.grant("home/read", "")]);
    let evaluator = Evaluator::new(&request, Beside::Namespaces).unwrap();
    let of = |below: &str| evaluator.explain(&world.path(below));
    let table = [
        (of("home/project/file").write, true, Decides::Grant, "is granted"),
        (of("home/project/file").delete, false, Decides::Grant, ":rd"),
        (of("home/project/to_secret").read, false, Decides::Absent, "does not find"),
        (of("home/.ssh/file").read, false, Decides::Secret, "secret"),
        (of("state/file").read, false, Decides::Secret, "secret"),
        (of("home/other/file").read, false, Decides::Covered, "home/other:r"),
        (of("home/read/file").write, false, Decides::Grant, "home/read:rw"),
        (evaluator.explain(Path::new("/etc/passwd")).read, true, Decides::Profile, "`/etc"),
        (evaluator.explain(Path::new("/etc/passwd")).write, false, Decides::Grant, "no grant changes those"),
        (evaluator.explain(Path::new("/run/x")).read, false, Decides::Covered, "sockets"),
        (evaluator.explain(Path::new("/dev/shm/x")).create, true, Decides::Own, "gone with it"),
        (evaluator.explain(Path::new("/proc/1/environ")).read, false, Decides::Kernel, "another process"),
        (evaluator.explain(Path::new("/dev/stdin")).read, true, Decides::Profile, "`/dev/tty"),
        (evaluator.explain(Path::new("/proc/self/fd/1")).write, true, Decides::Profile, "`/dev/tty"),
        (of(&"x".repeat(256)).create, false, Decides::Kernel, "255 bytes"),
        (evaluator.explain(Path::new("file")).read, true, Decides::Grant, "home/project"),
    ];
    for (verdict, allowed, by, words) in table {
        assert_eq!((verdict.allowed, verdict.by), (allowed, by), "{verdict:?}");
        assert!(verdict.why.contains(words), "`{words}`: {verdict:?}");
    }
    // A session that would not be started has no answers, but a reason.
    let keys = world.request(Profile::Workspace, vec![world.grant("home/.ssh", "")]);
    assert!(Evaluator::new(&keys, Beside::Namespaces).is_err());
    replaced(&world);
    println!("test reasons ... ok");
}

/// What a session that runs is granted, and then a tool writes a secret in it anew.
fn replaced(world: &World) {
    let request = world.request(Profile::Workspace, vec![world.grant("home", "wcd")]);
    // Times of files are the kernel's ticks: the next one, so that nothing of the world is of this one.
    let of = |name: &str| fs::metadata(world.path(name)).unwrap().created().unwrap();
    let made = of("outside/file");
    let begun = loop {
        fs::write(world.path("tick"), "").unwrap();
        let tick = of("tick");
        fs::remove_file(world.path("tick")).unwrap();
        if tick > made {
            break tick;
        }
    };
    let secret = world.path("home/.cargo/credentials.toml");
    let told = |begun| Evaluator::since(&request, Beside::Namespaces, begun).unwrap().explain(&secret);
    let before = told(Some(begun));
    assert_eq!((before.read.allowed, before.read.by), (false, Decides::Secret), "{before:?}");
    assert!(before.read.why.contains("as it is when a session begins"), "{before:?}");
    fs::write(world.path("home/.cargo/new"), "anew").unwrap();
    fs::rename(world.path("home/.cargo/new"), &secret).unwrap();
    let after = told(Some(begun));
    assert!(after.read.allowed && after.remarks.iter().any(|it| it.contains("since the session began")), "{after:?}");
    assert!(!told(None).read.allowed, "one that would begin now hides it");
    let keys =
        Evaluator::since(&request, Beside::Namespaces, Some(begun)).unwrap().explain(&world.path("home/.ssh/file"));
    assert!(!keys.read.allowed, "{keys:?}");
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, path, kind] = args.as_slice()
        && first == "--probe"
    {
        print!("{}", probe(Path::new(path), kind == "own"));
        return;
    }
    if asked::wanted(&args).is_none() {
        return;
    }
    fs::copy(std::env::current_exe().unwrap(), program()).unwrap();
    fs::set_permissions(program(), fs::Permissions::from_mode(0o755)).unwrap();
    reasons();
    agree();
    fs::remove_file(program()).unwrap();
    if nix::unistd::geteuid().is_root() {
        let copy = std::env::temp_dir().join(format!("baton-verdicts-test-{}", std::process::id()));
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        let status = std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&copy)
            .current_dir("/")
            .status();
        fs::remove_file(&copy).unwrap();
        assert!(status.unwrap().success(), "as an ordinary user");
    }
}
