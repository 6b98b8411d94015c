//! Confined programs on the running kernel: what they find, what they can't do, and what is said of it. One thread, one
//! test after the other: forking is refused anywhere else.
//!
//! Run as root, every test runs again as an ordinary user. Needs a kernel with Landlock and user namespaces (6.12) for
//! what is asserted of them; where there are none, the report says so, and that is asserted instead.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod asked;

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use baton_proto::spec::{Grant, Layer, LayerStatus, Profile};
use baton_sandbox::{ExecError, Jail, Launch, Refusal, Request, Step, process};
use nix::fcntl::OFlag;

/// A test and its name.
type Test = (&'static str, fn(&Host));

const TESTS: &[Test] = &[
    ("every layer is enforced and said", every_layer),
    ("the project is written, and nothing else", only_the_project),
    ("secrets are hidden below a granted home", secrets_below_a_granted_home),
    ("what tools log in with and what was typed is hidden below a granted home", hidden_by_name),
    ("a read-only grant does not change in any way", read_only_grant),
    ("each right of a grant is that right", partial_grants),
    ("locked reads no tools", locked_reads_less),
    ("temporary files and home are its own", private_places),
    ("a session has so many terminals and no more", bounded_terminals),
    ("descriptors, privileges and limits", descriptors_and_privileges),
    ("what may not be granted is refused", refused_grants),
    ("other names of secrets are no way to them", other_names),
    ("a secret that is replaced or made later is not among the tools", replaced_secrets),
    ("a tool that became a link to something else is not shown to later sessions", swapped_tools),
    ("no directory above a secret is renamed", no_renames_above_secrets),
    ("what a link among secrets leads to is a secret", linked_secrets),
    ("many files among secrets hide no other name of one", many_secrets),
    ("a link in a secret's place takes nothing from a session", links_to_what_is_needed),
    ("where a link to nothing leads is told", links_to_nothing),
    ("a home that is granted has its secrets hidden, whose it may be", homes_of_others),
    ("sockets anywhere are not there", sockets_anywhere),
    ("a grant that is swapped after it was looked at is refused", swapped_grants),
    ("a grant that is swapped all the time never shows a secret", grants_swapped_all_the_time),
    ("a program that can't be found is said as ever", missing_program),
];

/// A user's home, a project, and a directory of a session's own.
struct Host {
    root: PathBuf,
}

impl Host {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("baton-jailed-{}", std::process::id()));
        let host = Self { root };
        for directory in [
            "home/.ssh",
            "home/.cargo/bin",
            "home/project/sub",
            "home/read",
            "home/part",
            "home/part/out",
            "own",
            "state",
            "outside",
        ] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        for (file, text) in [
            ("home/.ssh/id_test", "private key"),
            ("home/.cargo/credentials.toml", "registry token"),
            ("home/.cargo/bin/tool", "#!/bin/sh\necho tool runs\n"),
            ("home/.gitconfig", "[user]\n"),
            ("home/read/file", "read me"),
            ("home/part/file", "part"),
            ("home/project/file", "mine"),
            ("outside/file", "outside"),
            ("state/install.key", "install key"),
        ] {
            fs::write(host.path(file), text).unwrap();
        }
        fs::set_permissions(host.path("home/.cargo/bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(host.path("home/.ssh/id_test"), host.path("home/project/link")).unwrap();
        host
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn text(&self, below: &str) -> String {
        self.path(below).to_str().unwrap().to_owned()
    }

    fn request(&self, profile: Profile, grants: Vec<Grant>) -> Request {
        Request {
            profile,
            cwd: grants.first().map_or_else(|| self.path("home"), |grant| PathBuf::from(&grant.root)),
            grants,
            home: Some(self.path("home")),
            private: self.path("own"),
            hidden: vec![self.path("state")],
            probe: self.path("state/install.key"),
            terminal: None,
            required: false,
            private_bytes: None,
            start_files: Vec::new(),
            ssh_agent: None,
        }
    }

    fn project(&self) -> Vec<Grant> {
        vec![Grant::whole(self.text("home/project"))]
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

struct Ran {
    output: String,
    code: Option<i32>,
    layers: Vec<Layer>,
}

fn start(request: &Request, script: &str) -> Result<Ran, ExecError> {
    start_after(request, script, || {})
}

/// Does something else when the program's view is made, and before the program runs.
fn start_after(request: &Request, script: &str, meanwhile: impl FnOnce()) -> Result<Ran, ExecError> {
    let mut launch = Launch::new("/bin/sh");
    launch.args = vec!["-c".into(), script.into()];
    launch.env = vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), request.home.clone().unwrap().into())];
    launch.cwd = Some(request.cwd.clone());
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    launch.fds.push((write.try_clone().unwrap(), 2));
    launch.fds.push((write, 1));
    launch.jail = Some(Box::new(Jail::prepare(request).unwrap()));
    let (child, mut gate) = launch.spawn_gated()?;
    gate.has_own_network();
    meanwhile();
    let layers = match gate.release() {
        Ok(confined) => confined.unwrap().layers().to_vec(),
        Err(err) => {
            process::reap(&child.pidfd);
            return Err(err);
        }
    };
    let mut output = String::new();
    fs::File::from(read).read_to_string(&mut output).unwrap();
    Ok(Ran { output, code: wait(&child.pidfd).code(), layers })
}

fn run(request: &Request, script: &str) -> Ran {
    start(request, script).unwrap_or_else(|err| panic!("{err}: {:?} ({:?})", err.errno(), err.hint()))
}

fn wait(pidfd: &OwnedFd) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !process::has_ended(pidfd).unwrap() {
        assert!(Instant::now() < deadline, "the child does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    process::try_reap(pidfd).unwrap().unwrap()
}

/// A script that prints `yes` when a command works.
fn works(request: &Request, command: &str) -> bool {
    let ran = run(request, &format!("( {command} ) >/dev/null 2>&1 && echo yes || echo no"));
    match ran.output.trim() {
        "yes" => true,
        "no" => false,
        other => panic!("`{command}`: {other} ({:?})", ran.code),
    }
}

fn status(layers: &[Layer], name: &str) -> LayerStatus {
    layers.iter().find(|layer| layer.name == name).unwrap().status
}

fn every_layer(host: &Host) {
    for profile in [Profile::Workspace, Profile::Locked] {
        let request = Request { required: true, ..host.request(profile, host.project()) };
        let ran = run(&request, "echo here");
        assert_eq!((ran.output.as_str(), ran.code), ("here\n", Some(0)));
        for layer in &ran.layers {
            assert_eq!(layer.status, LayerStatus::Enforced, "{layer:?}");
        }
        assert_eq!(ran.layers.len(), 5);
        assert!(ran.layers.iter().any(|layer| layer.name == "landlock" && layer.abi.is_some_and(|abi| abi >= 6)));
    }
}

fn only_the_project(host: &Host) {
    let request = host.request(Profile::Workspace, host.project());
    let (root, home) = (host.root.display(), host.text("home"));
    for command in [
        "echo new > file2 && mv file2 sub/file2 && rm sub/file2",
        "mkdir -p a/b && rmdir a/b a",
        "chmod 600 file",
        "ln file hard && rm hard",
        "cat /etc/passwd",
        &format!("{home}/.cargo/bin/tool"),
        &format!("cat {home}/.gitconfig"),
        "echo x > /tmp/t && cat /tmp/t",
        "test -e /proc/self/status",
        "(exec 3</dev/null) && echo > /dev/null",
    ] {
        assert!(works(&request, command), "`{command}` is refused: {:?}", run(&request, command).output);
    }
    for command in [
        "cat link",
        &format!("cat {home}/.ssh/id_test"),
        &format!("ls {home}/.ssh"),
        &format!("cat {home}/.cargo/credentials.toml | grep token"),
        &format!("cat {root}/outside/file"),
        &format!("ls {root}/outside"),
        &format!("echo x > {root}/outside/new"),
        &format!("cat {root}/state/install.key"),
        "cat ../../outside/file",
        &format!("cat /proc/self/root/{root}/outside/file"),
        &format!("ln {home}/.cargo/bin/tool stolen"),
        &format!("mv {home}/.gitconfig here"),
        &format!("echo x >> {home}/.gitconfig"),
        &format!("chmod 777 {home}/.gitconfig"),
        "echo x > /etc/x",
        "touch /usr/x",
        "chmod 777 /etc/passwd",
        "cat /etc/shadow | grep :",
        "mount -t tmpfs none /mnt",
        "unshare -Ur true",
        "unshare -n true",
        "ls /run | grep .",
    ] {
        assert!(!works(&request, command), "`{command}` is not refused");
    }
    assert_eq!(fs::read_to_string(host.path("outside/file")).unwrap(), "outside");
    assert!(!host.path("outside/new").exists() && host.path("home/.gitconfig").exists());
}

fn secrets_below_a_granted_home(host: &Host) {
    let request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home"))]);
    let ran =
        run(&request, "cat .ssh/id_test; cat .cargo/credentials.toml; ls -A .ssh; cat project/link; cat read/file");
    assert!(!ran.output.contains("private key") && !ran.output.contains("token"), "{}", ran.output);
    assert!(ran.output.contains("read me"), "{}", ran.output);
    for command in ["echo x > .ssh/new", "rmdir .ssh", "mv .ssh away", "rm -rf .ssh", "mv .cargo/credentials.toml x"] {
        assert!(!works(&request, command), "`{command}` is not refused");
    }
    // What is not there yet could not be hidden: that is said, and is not "enforced".
    let mounts = ran.layers.iter().find(|layer| layer.name == "mounts").unwrap();
    assert_eq!(mounts.status, LayerStatus::Partial);
    assert!(mounts.detail.as_ref().unwrap().contains(".aws"), "{mounts:?}");
    assert!(host.path("home/.ssh/id_test").exists());
    let required = start(&Request { required: true, ..request }, "echo never");
    let Err(ExecError::Confinement { step: Step::Required, missing, .. }) = required else { panic!("started") };
    assert_eq!(missing, ["mounts"]);
}

fn hidden_by_name(host: &Host) {
    let (hidden, shown) = (
        [
            ".claude/.credentials.json",
            ".codex/auth.json",
            ".config/sops/age/keys.txt",
            ".gem/credentials",
            ".local/share/gem/credentials",
            ".m2/settings.xml",
            ".composer/auth.json",
            ".config/composer/auth.json",
            ".config/github-copilot/hosts.json",
            ".config/Signal/config.json",
            ".config/Slack/Cookies",
            ".config/discord/Cookies",
            ".config/Bitwarden/data.json",
            ".librewolf/x/logins.json",
            ".config/google-chrome-beta/Default/Cookies",
            ".config/google-chrome-unstable/Default/Cookies",
            ".bash_history",
            ".zsh_history",
            ".local/share/fish/fish_history",
            ".python_history",
            ".psql_history",
            ".mysql_history",
            ".node_repl_history",
        ],
        [".claude/settings.json", ".codex/config.toml", ".m2/toolchains.xml", ".config/composer/config.json"],
    );
    for (names, text) in [(&hidden[..], "a secret"), (&shown[..], "no secret")] {
        for name in names {
            let path = host.path("home").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    let request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home"))]);
    for name in hidden {
        let ran = run(&request, &format!("cat {name}"));
        assert!(!ran.output.contains("a secret"), "{name}: {}", ran.output);
    }
    for name in shown {
        assert_eq!(run(&request, &format!("cat {name}")).output, "no secret", "{name}");
    }
}

fn read_only_grant(host: &Host) {
    let grant = Grant { root: host.text("home/read"), ..Grant::default() };
    let request = host.request(Profile::Workspace, vec![grant]);
    assert!(works(&request, "cat file && ls"));
    for command in [
        "echo x > file",
        "echo x >> file",
        ": > file",
        "rm file",
        "mv file x",
        "touch new",
        "mkdir new",
        "ln file new",
        "ln -s file new",
        "chmod 777 file",
        "chmod 777 .",
        "touch -d 2001-01-01 file",
        "mkfifo new",
    ] {
        assert!(!works(&request, command), "`{command}` is not refused");
    }
    assert_eq!(fs::read_to_string(host.path("home/read/file")).unwrap(), "read me");
}

fn partial_grants(host: &Host) {
    let grant = |write, create, delete| Grant {
        root: host.text("home/part"),
        write,
        create,
        delete,
        output_roots: vec![host.text("home/part/out")],
    };
    let table = [
        ("echo part > file", grant(true, false, false), grant(false, true, true)),
        ("ln -s x new", grant(false, true, true), grant(true, false, true)),
        ("mkdir new", grant(false, true, false), grant(true, false, true)),
        (
            "cp file out/x && rm out/x",
            grant(false, false, false),
            Grant { output_roots: Vec::new(), ..grant(true, false, false) },
        ),
    ];
    for (command, allowed, denied) in table {
        let _ = (fs::remove_dir(host.path("home/part/new")), fs::remove_file(host.path("home/part/new")));
        assert!(!works(&host.request(Profile::Workspace, vec![denied.clone()]), command), "`{command}` by {denied:?}");
        assert!(works(&host.request(Profile::Workspace, vec![allowed.clone()]), command), "`{command}` by {allowed:?}");
    }
    fs::write(host.path("home/part/gone"), "").unwrap();
    assert!(!works(&host.request(Profile::Workspace, vec![grant(true, true, false)]), "rm gone"));
    assert!(works(&host.request(Profile::Workspace, vec![grant(false, false, true)]), "rm gone"));
}

fn locked_reads_less(host: &Host) {
    let request = host.request(Profile::Locked, host.project());
    assert!(works(&request, "cat file && echo x > y && rm y && cat /etc/passwd"));
    assert!(!works(&request, &format!("{}/.cargo/bin/tool", host.text("home"))));
    assert!(!works(&request, &format!("cat {}/.gitconfig", host.text("home"))));
}

fn private_places(host: &Host) {
    let request = host.request(Profile::Workspace, host.project());
    let token = format!("{}", std::process::id());
    fs::write(std::env::temp_dir().join(format!("baton-jailed-seen-{token}")), "host").unwrap();
    let ran = run(
        &request,
        "ls -A /tmp /var/tmp /dev/shm; echo kept > ~/note; echo x > /tmp/t; echo x > /dev/shm/s; ls /dev/pts",
    );
    assert!(!ran.output.contains("seen"), "{}", ran.output);
    fs::remove_file(std::env::temp_dir().join(format!("baton-jailed-seen-{token}"))).unwrap();
    assert_eq!(fs::read_to_string(host.path("own/home/note")).unwrap(), "kept\n");
    assert!(host.path("own/tmp/t").exists() && host.path("own/shm/s").exists() && !host.path("home/note").exists());
    assert!(ran.output.contains("ptmx"), "terminals of its own: {}", ran.output);
}

/// All of the host has one number of them.
fn bounded_terminals(host: &Host) {
    fs::copy(std::env::current_exe().unwrap(), host.path("home/project/terminals")).unwrap();
    for profile in [Profile::Workspace, Profile::Locked] {
        let ran = run(&host.request(profile, host.project()), "ulimit -n 512; ./terminals --terminals");
        assert_eq!(ran.output, "256: No space left on device (os error 28)\n");
    }
}

/// Takes terminals until there is none, and says how many there were.
fn take_terminals() {
    let mut taken = Vec::new();
    let refused = loop {
        match fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx") {
            Ok(terminal) => taken.push(terminal),
            Err(refused) => break refused,
        }
    };
    println!("{}: {refused}", taken.len());
}

fn descriptors_and_privileges(host: &Host) {
    let request = host.request(Profile::Workspace, host.project());
    // `ls` itself has the directory open as a fourth.
    let fds = run(&request, "exec ls /proc/self/fd");
    assert_eq!(fds.output, "0\n1\n2\n3\n");
    let ran = run(
        &request,
        "ulimit -c; grep -E '^(NoNewPrivs|CapEff|CapInh|CapAmb|Seccomp):' /proc/self/status; ls /sys/class/net /proc/net/dev; cat /proc/net/dev",
    );
    assert!(ran.output.starts_with("0\n"), "{}", ran.output);
    assert!(ran.output.contains("NoNewPrivs:\t1") && ran.output.contains("Seccomp:\t2"), "{}", ran.output);
    let effective = ran.output.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let effective = u64::from_str_radix(effective, 16).unwrap();
    let kept = if nix::unistd::geteuid().is_root() { 0x4eb } else { 0 };
    assert_eq!(effective, kept, "{effective:x}");
    let interfaces: Vec<&str> =
        ran.output.lines().filter_map(|line| line.trim().split_once(':')).map(|(name, _)| name).collect();
    assert!(interfaces.contains(&"lo") && !interfaces.iter().any(|name| name.starts_with("eth")), "{interfaces:?}");
    assert_eq!(status(&ran.layers, "seccomp"), LayerStatus::Enforced);
}

fn refused_grants(host: &Host) {
    let refused = |grant: Grant| Jail::prepare(&host.request(Profile::Workspace, vec![grant])).map(drop);
    for never in ["/", "/usr", "/etc", "/proc", "/dev", "/run", "/tmp", "/var", "/var/tmp"] {
        let err = refused(Grant::whole(never.to_owned())).unwrap_err();
        assert!(matches!(err, Refusal::Never { .. }) && err.hint().is_some(), "{never}: {err}");
    }
    for secret in ["home/.ssh", "state"] {
        let read = Grant { root: host.text(secret), ..Grant::default() };
        assert!(matches!(refused(read), Err(Refusal::Never { .. })), "{secret}");
    }
    // A link to one is the one.
    std::os::unix::fs::symlink(host.path("home/.ssh"), host.path("home/project/keys")).unwrap();
    assert!(matches!(refused(Grant::whole(host.text("home/project/keys"))), Err(Refusal::Never { .. })));
    assert!(matches!(refused(Grant::whole(host.text("nowhere"))), Err(Refusal::NoDirectory { .. })));
    assert!(matches!(refused(Grant::whole("relative".to_owned())), Err(Refusal::NoDirectory { .. })));
    let elsewhere = Grant { output_roots: vec![host.text("outside")], ..Grant::whole(host.text("home/project")) };
    assert!(matches!(refused(elsewhere), Err(Refusal::OutputElsewhere { .. })));
    let outside = Request { cwd: host.path("outside"), ..host.request(Profile::Workspace, host.project()) };
    assert!(matches!(Jail::prepare(&outside), Err(Refusal::Directory { .. })));
}

fn missing_program(host: &Host) {
    let mut launch = Launch::new("/nowhere/at/all");
    launch.jail = Some(Box::new(Jail::prepare(&host.request(Profile::Workspace, host.project())).unwrap()));
    let err = launch.spawn().unwrap_err();
    assert!(matches!(err, ExecError::Child { step: Step::Exec, .. }), "{err}");
    assert_eq!(err.shell_code(), 127);
}

/// Another name of a secret is a way to it; one of any other file is the grant's own.
fn other_names(host: &Host) {
    fs::hard_link(host.path("home/.ssh/id_test"), host.path("home/project/sub/other")).unwrap();
    fs::hard_link(host.path("outside/file"), host.path("home/project/plain")).unwrap();
    let ran = run(&host.request(Profile::Workspace, host.project()), "cat sub/other; cat plain; rm -f sub/other");
    assert!(!ran.output.contains("private key") && ran.output.contains("outside"), "{}", ran.output);
    assert!(host.path("home/project/sub/other").exists());
}

/// Tools keep their secrets beside what a program needs of them, and write them anew by renaming.
fn replaced_secrets(host: &Host) {
    fs::create_dir_all(host.path("home/.config/git")).unwrap();
    fs::write(host.path("home/.config/git/config"), "[user]\n").unwrap();
    let request = Request { required: true, ..host.request(Profile::Workspace, host.project()) };
    let script = "cd ~; cat .cargo/credentials.toml .config/git/credentials; cat .config/git/config; .cargo/bin/tool; ls -A .cargo";
    let meanwhile = || {
        fs::write(host.path("home/.cargo/new"), "registry token").unwrap();
        fs::rename(host.path("home/.cargo/new"), host.path("home/.cargo/credentials.toml")).unwrap();
        fs::write(host.path("home/.config/git/credentials"), "git token").unwrap();
    };
    let ran = start_after(&request, script, meanwhile).unwrap();
    assert!(!ran.output.contains("token"), "{}", ran.output);
    assert!(ran.output.ends_with("[user]\ntool runs\nbin\n"), "{}", ran.output);
    // In a grant it can't be helped, so it is said.
    let home = host.request(Profile::Workspace, vec![Grant::whole(host.text("home"))]);
    let mounts = run(&home, "true").layers.into_iter().find(|layer| layer.name == "mounts").unwrap();
    let detail = mounts.detail.unwrap();
    assert_eq!(mounts.status, LayerStatus::Partial);
    for place in ["home/.cargo/credentials.toml", "home/.ssh", "home/.netrc"] {
        assert!(detail.contains(&host.text(place)), "{detail}");
    }
}

/// Who was granted a directory above a tool's chooses what is by its name.
fn swapped_tools(host: &Host) {
    for directory in ["home/go/bin", "home/.deno/bin", "home/Documents"] {
        fs::create_dir_all(host.path(directory)).unwrap();
    }
    for file in ["home/Documents/letter", "home/diary"] {
        fs::write(host.path(file), "a letter").unwrap();
    }
    std::os::unix::fs::symlink(".cargo/bin", host.path("home/bin")).unwrap();
    for (grant, script, name) in [
        ("home/go", "rmdir bin && ln -s ../Documents bin", "home/go/bin"),
        ("home/.deno", "rmdir bin && ln -s ../diary bin", "home/.deno/bin"),
    ] {
        let request = host.request(Profile::Workspace, vec![Grant::whole(host.text(grant))]);
        assert!(works(&request, script), "{}", run(&request, script).output);
        // The same one, started again, and another.
        for request in [request, host.request(Profile::Workspace, host.project())] {
            let script = "cd ~; cat go/bin/* .deno/bin Documents/* diary; .cargo/bin/tool";
            let ran = run(&Request { required: true, ..request }, script);
            assert!(!ran.output.contains("a letter") && ran.output.ends_with("tool runs\n"), "{}", ran.output);
            let (status, detail) = mounts_detail(&ran);
            assert!(status == LayerStatus::Enforced && detail.contains(&host.text(name)), "{status:?}: {detail}");
            assert!(!detail.contains(&host.text("home/bin")), "{detail}");
        }
    }
}

/// The next session would look for the secret where it was.
fn no_renames_above_secrets(host: &Host) {
    for directory in ["home/.config/gh", "home/.local/state/baton", "home/.config/other"] {
        fs::create_dir_all(host.path(directory)).unwrap();
    }
    fs::write(host.path("home/.config/gh/hosts.yml"), "oauth token").unwrap();
    fs::write(host.path("home/.local/state/baton/install.key"), "install key").unwrap();
    let mut request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home"))]);
    request.hidden = vec![host.path("home/.local/state/baton")];
    for command in [
        "mv .config cfg",
        "mv .cargo c",
        "mv .local l",
        "mv .local/state s",
        "mv .local/state/baton b",
        "mv .config/gh gh",
        "mv .config/gh/hosts.yml h",
    ] {
        assert!(!works(&request, command), "`{command}` is not refused");
    }
    let allowed = "echo x > .config/other/new && mv .config/other .config/away && rm -r .config/away && mv project p && mv p project";
    assert!(works(&request, allowed), "{}", run(&request, allowed).output);
    let next = run(&request, "cat .config/gh/* cfg/gh/* .local/state/baton/* l/state/baton/* 2>/dev/null");
    assert_eq!(next.output, "");
    assert!(host.path("home/.config/gh/hosts.yml").exists() && host.path("home/.local/state/baton").exists());
}

/// As those have them who keep their configuration in a repository.
fn linked_secrets(host: &Host) {
    for directory in ["home/dotfiles/aws", "home/dotfiles/keys/more", "home/.aws"] {
        fs::create_dir_all(host.path(directory)).unwrap();
    }
    for (file, text) in [
        ("home/dotfiles/aws/credentials", "access token"),
        ("home/dotfiles/keys/one", "access token"),
        ("home/dotfiles/vimrc", "set nocompatible"),
        ("home/dotfiles/far", "access token"),
    ] {
        fs::write(host.path(file), text).unwrap();
    }
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(host.path(target), host.path(name)).unwrap();
    link("home/dotfiles/aws/credentials", "home/.aws/credentials");
    link("home/dotfiles/keys", "home/.ssh/keys");
    link("home/dotfiles/far", "home/dotfiles/keys/more/far");
    // To everything, and in circles: hides nothing, and ends.
    link("home", "home/.ssh/home");
    link("home/.aws/circle", "home/.aws/circle");
    let request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home/dotfiles"))]);
    let ran = run(&request, "cat vimrc; cat aws/credentials keys/one far; mv aws a; ls -A keys");
    assert!(!ran.output.contains("token") && ran.output.contains("nocompatible"), "{}", ran.output);
    assert!(!ran.output.contains("more") && host.path("home/dotfiles/aws").exists(), "{}", ran.output);
}

fn mounts_detail(ran: &Ran) -> (LayerStatus, String) {
    let layer = ran.layers.iter().find(|layer| layer.name == "mounts").unwrap();
    (layer.status, layer.detail.clone().unwrap_or_default())
}

/// A browser's thousands of files come after the keys.
fn many_secrets(host: &Host) {
    fs::create_dir_all(host.path("home/.mozilla/ff")).unwrap();
    let fill = |directory: &str| {
        (0..4200).for_each(|n| drop(fs::File::create(host.path(directory).join(n.to_string())).unwrap()));
    };
    fill("home/.mozilla/ff");
    fs::hard_link(host.path("home/.ssh/id_test"), host.path("home/project/other")).unwrap();
    let ran = run(&host.request(Profile::Workspace, host.project()), "cat other");
    assert!(!ran.output.contains("private key"), "{}", ran.output);
    assert!(!mounts_detail(&ran).1.contains(".mozilla"));
    // What can't be searched to its end is told.
    fs::create_dir_all(host.path("home/.gnupg")).unwrap();
    fill("home/.gnupg");
    let ran = run(&host.request(Profile::Workspace, host.project()), "cat other");
    let (status, detail) = mounts_detail(&ran);
    assert!(!ran.output.contains("private key") && status == LayerStatus::Partial, "{detail}");
    assert!(detail.contains(&host.text("home/.gnupg")), "{detail}");
}

/// Who may write to HOME once would otherwise keep every later session from starting, and nobody would find out why.
fn links_to_what_is_needed(host: &Host) {
    for (link, target) in [
        (".docker", PathBuf::from("/usr")),
        (".kube", host.path("home/project")),
        (".azure", host.path("home")),
        (".npmrc", PathBuf::from("/etc/passwd")),
        (".aws", host.path("home/project/sub")),
        (".netrc", PathBuf::from("/dev/null")),
    ] {
        std::os::unix::fs::symlink(&target, host.path("home").join(link)).unwrap();
        let request =
            Request { cwd: host.path("home/project/sub"), ..host.request(Profile::Workspace, host.project()) };
        let ran = run(&request, "cat ../file /etc/passwd");
        assert!(ran.output.contains("mine") && ran.output.contains("root:"), "{link}: {}", ran.output);
        let (status, detail) = mounts_detail(&ran);
        if link == ".netrc" {
            assert_eq!(status, LayerStatus::Enforced, "{detail}");
        } else {
            assert!(status == LayerStatus::Partial && detail.contains(link), "{link}: {detail}");
        }
        fs::remove_file(host.path("home").join(link)).unwrap();
    }
    assert!(!works(&host.request(Profile::Workspace, host.project()), "cat link"));
}

/// The host writes through it, and the session reads what was written.
fn links_to_nothing(host: &Host) {
    std::os::unix::fs::symlink("project/sub/../leak", host.path("home/.netrc")).unwrap();
    std::os::unix::fs::symlink(host.path("home/project/key"), host.path("home/.ssh/later")).unwrap();
    let ran = run(&host.request(Profile::Workspace, host.project()), "true");
    let (status, detail) = mounts_detail(&ran);
    assert_eq!(status, LayerStatus::Partial);
    for leak in ["home/project/leak", "home/project/key"] {
        assert!(detail.contains(&format!("`{}`", host.text(leak))), "{detail}");
    }
    fs::write(host.path("home/.netrc"), "token").unwrap();
    let ran = run(&host.request(Profile::Workspace, host.project()), "cat leak");
    assert_eq!(ran.output, "");
}

fn homes_of_others(host: &Host) {
    fs::create_dir_all(host.path("outside/.ssh")).unwrap();
    fs::write(host.path("outside/.ssh/id"), "private key").unwrap();
    fs::write(host.path("outside/.netrc"), "private key").unwrap();
    let request = host.request(Profile::Workspace, vec![Grant::whole(host.text("outside"))]);
    let ran = run(&request, "cat file .ssh/id .netrc");
    assert_eq!(ran.output.matches("outside").count(), 1, "{}", ran.output);
    assert!(!ran.output.contains("private key"), "{}", ran.output);
    let (status, detail) = mounts_detail(&ran);
    assert!(status == LayerStatus::Partial && detail.contains(&host.text("outside/.aws")), "{detail}");
}

/// In a mount namespace of this process's own.
const MOUNTED: &[Test] = &[
    ("what is mounted elsewhere is as secret there", mounted_elsewhere),
    ("what only root reads of the system stays so", only_for_root),
];

/// What is renamed over a file takes what hid that with it; and others keep keys where no list names them.
fn only_for_root(host: &Host) {
    if !nix::unistd::geteuid().is_root() {
        return println!("not tried: what only root reads");
    }
    // A system of its own: the tests change it.
    let etc = host.path("etc");
    for directory in ["etc/letsencrypt/archive/x", "etc/ssh", "etc/plain", "etc/mine"] {
        fs::create_dir_all(host.path(directory)).unwrap();
    }
    let write = |path: &Path, mode, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (file, mode, text) in [
        ("passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
        ("ssh/ssh_config", 0o644, "public"),
        ("plain/file", 0o644, "public"),
        ("shadow", 0o640, "SECRET"),
        ("ssh/ssh_host_dsa_key", 0o600, "SECRET"),
        ("letsencrypt/archive/x/privkey.pem", 0o600, "SECRET"),
        ("mine/config", 0o600, "granted"),
    ] {
        write(&etc.join(file), mode, text);
    }
    let _bound = bind(&etc, Path::new("/etc"));
    let request = Request { required: true, ..host.request(Profile::Workspace, host.project()) };
    let script = "cd /etc; cat passwd ssh/ssh_config plain/file; ls; \
        cat shadow ssh/* letsencrypt/archive/x/* letsencrypt/archive/x2/* wireguard/* new; find . -type f | xargs cat";
    let meanwhile = || {
        write(&etc.join("shadow.new"), 0o640, "SECRET");
        fs::rename(etc.join("shadow.new"), etc.join("shadow")).unwrap();
        write(&etc.join("ssh/key.new"), 0o600, "SECRET");
        fs::rename(etc.join("ssh/key.new"), etc.join("ssh/ssh_host_dsa_key")).unwrap();
        write(&etc.join("letsencrypt/archive/x/privkey2.pem"), 0o600, "SECRET");
        fs::create_dir_all(etc.join("wireguard")).unwrap();
        write(&etc.join("wireguard/wg0.conf"), 0o600, "SECRET");
        write(&etc.join("new"), 0o600, "SECRET");
    };
    let ran = start_after(&request, script, meanwhile).unwrap();
    assert!(!ran.output.contains("SECRET"), "{}", ran.output);
    assert!(ran.output.starts_with("root:x:0:0") && ran.output.matches("public").count() >= 2, "{}", ran.output);
    // What is granted for itself is meant; the same secret by another path is none the less one.
    let read = Grant { root: "/etc/mine".to_owned(), ..Grant::default() };
    let ran = run(&host.request(Profile::Workspace, vec![host.project().remove(0), read]), "cat /etc/mine/config");
    assert_eq!(ran.output, "granted");
    let etc = Grant { root: "/etc".to_owned(), ..Grant::default() };
    let ran =
        run(&host.request(Profile::Workspace, vec![host.project().remove(0), etc]), "cd /etc; cat shadow ssh/* new");
    assert!(!ran.output.contains("SECRET") && mounts_detail(&ran).0 == LayerStatus::Partial, "{}", ran.output);
    let read = Grant { root: host.text("etc"), ..Grant::default() };
    let ran = run(
        &host.request(Profile::Workspace, vec![host.project().remove(0), read]),
        &format!("cd {}; cat shadow ssh/* new", host.text("etc")),
    );
    assert!(!ran.output.contains("SECRET"), "{}", ran.output);
}

/// What is mounted, for as long as this lives.
struct Bound(std::ffi::CString);

impl Drop for Bound {
    fn drop(&mut self) {
        // SAFETY: a NUL-terminated string.
        unsafe { nix::libc::umount2(self.0.as_ptr(), nix::libc::MNT_DETACH) };
    }
}

fn bind(from: &Path, at: &Path) -> Bound {
    let text = |path: &Path| std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    fs::create_dir_all(at).unwrap();
    let (from, at) = (text(from), text(at));
    let flags = nix::libc::MS_BIND;
    // SAFETY: NUL-terminated strings; type and data are not looked at.
    let bound = unsafe { nix::libc::mount(from.as_ptr(), at.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
    Bound(at)
}

fn mounted_elsewhere(host: &Host) {
    fs::write(host.path("state/token"), "install token").unwrap();
    let whole = |path: &str| host.request(Profile::Workspace, vec![Grant::whole(host.text(path))]);
    let _bound = [
        bind(&host.path("home"), &host.path("home/project/chroot")),
        bind(&host.path("home/.ssh"), &host.path("home/project/keys")),
        bind(&host.root, &host.path("outside/alias")),
    ];
    let ran = run(
        &whole("home/project"),
        "cat file chroot/read/file chroot/.ssh/id_test chroot/.cargo/credentials.toml keys/id_test; ls -A chroot/.ssh keys; echo x >keys/new",
    );
    assert!(ran.output.contains("mine") && ran.output.contains("read me"), "{}", ran.output);
    assert!(!ran.output.contains("id_test\n") && !host.path("home/.ssh/new").exists(), "{}", ran.output);
    assert!(!ran.output.contains("private key") && !ran.output.contains("token"), "{}", ran.output);
    let (status, detail) = mounts_detail(&ran);
    assert!(status == LayerStatus::Partial && detail.contains(&host.text("home/project/chroot/.netrc")), "{detail}");
    for grant in ["outside/alias", "outside"] {
        let script = "cd \"$0\"; cat outside/file state/* home/.ssh/* home/.cargo/credentials.toml; mv state s; echo x >state/x; mv home/.ssh s";
        let script = script.replace("\"$0\"", &host.text("outside/alias"));
        let ran = run(&whole(grant), &script);
        assert!(ran.output.contains("outside"), "{}", ran.output);
        for secret in ["install key", "install token", "private key", "registry token"] {
            assert!(!ran.output.contains(secret), "{grant}: {}", ran.output);
        }
        assert!(!host.path("state/x").exists() && host.path("state").exists() && host.path("home/.ssh").exists());
    }
    for secret in ["outside/alias/state", "home/project/keys", "home/project/chroot/.ssh"] {
        let read = Grant { root: host.text(secret), ..Grant::default() };
        let refused = Jail::prepare(&host.request(Profile::Workspace, vec![read])).map(drop);
        assert!(matches!(refused, Err(Refusal::Never { .. })), "{secret}: {refused:?}");
    }
}

/// Where sockets are that root made for everybody, one in each directory; passed on to the same test as an ordinary user.
const SOCKETS: &str = "BATON_JAILED_SOCKETS";

fn sockets_anywhere(host: &Host) {
    let Ok(directories) = std::env::var(SOCKETS) else { return println!("not tried: sockets that only root can make") };
    fs::copy(std::env::current_exe().unwrap(), host.path("home/project/connect")).unwrap();
    for directory in directories.split(':') {
        let socket = format!("{directory}/socket");
        let connect = format!("./connect --connect {socket}");
        std::os::unix::net::UnixStream::connect(&socket).unwrap();
        for profile in [Profile::Workspace, Profile::Locked] {
            let request = host.request(profile, host.project());
            assert!(!works(&request, &connect) && !works(&request, &format!("test -e {directory}")), "{socket}");
            // What nobody may write to stays so, where something is put back in it, too.
            let beside = Path::new(directory).with_file_name("new");
            assert!(!works(&request, &format!("mkdir {}", beside.display())));
        }
        // A granted directory is put back, and its sockets with it: that is told in the documentation.
        let read = Grant { root: directory.to_owned(), ..Grant::default() };
        let request = host.request(Profile::Workspace, vec![host.project().remove(0), read]);
        assert!(works(&request, &format!("test -e {socket} && cat {directory}/file")));
        let beside = Path::new(directory).with_file_name("new");
        assert!(!works(&request, &format!("mkdir {}", beside.display())));
    }
}

/// Sockets outside of every place that is covered for another reason, for as long as this lives.
struct Sockets(Vec<(PathBuf, std::os::unix::net::UnixListener)>);

impl Sockets {
    fn new() -> Self {
        let make = |above: &str| {
            let directory = PathBuf::from(format!("{above}/baton-jailed-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("file"), "granted").unwrap();
            let listener = std::os::unix::net::UnixListener::bind(directory.join("socket")).unwrap();
            fs::set_permissions(directory.join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
            (directory, listener)
        };
        Self(["/srv", "/var/lib", "/var/cache", "/home"].map(make).into())
    }

    fn directories(&self) -> String {
        self.0.iter().map(|(path, _)| path.to_str().unwrap()).collect::<Vec<_>>().join(":")
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for (directory, _) in &self.0 {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// What is judged is what is mounted and allowed: not what is at its path later.
fn swapped_grants(host: &Host) {
    let sub = host.path("home/project/sub");
    for link in [true, false] {
        let request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home/project/sub"))]);
        let jail = Jail::prepare(&request).unwrap();
        fs::rename(&sub, host.path("home/project/away")).unwrap();
        if link {
            std::os::unix::fs::symlink(host.path("home/.ssh"), &sub).unwrap();
        } else {
            fs::rename(host.path("home/.ssh"), &sub).unwrap();
        }
        let mut launch = Launch::new("/bin/cat");
        launch.args = vec![sub.join("id_test").into()];
        launch.cwd = Some(sub.clone());
        launch.jail = Some(Box::new(jail));
        let err = launch.spawn().map(drop).unwrap_err();
        assert!(matches!(err, ExecError::Confinement { step: Step::Moved, .. }) && err.hint().is_some(), "{err:?}");
        if link {
            fs::remove_file(&sub).unwrap();
        } else {
            fs::rename(&sub, host.path("home/.ssh")).unwrap();
        }
        fs::rename(host.path("home/project/away"), &sub).unwrap();
    }
}

/// How often a session is started while what it was granted is swapped for a link and back.
const SWAPPED_STARTS: usize = 120;

fn grants_swapped_all_the_time(host: &Host) {
    let (sub, link) = (host.path("home/project/sub"), host.path("home/project/other"));
    fs::write(sub.join("file"), "granted").unwrap();
    std::os::unix::fs::symlink(host.path("home/.ssh"), &link).unwrap();
    let own = std::env::current_exe().unwrap();
    let mut swapper = std::process::Command::new(own).arg("--swap").args([&sub, &link]).spawn().unwrap();
    let (mut started, mut refused) = (0, 0);
    for _ in 0..SWAPPED_STARTS {
        let mut request = host.request(Profile::Workspace, vec![Grant::whole(host.text("home/project/sub"))]);
        request.cwd = "/usr".into();
        let Ok(jail) = Jail::prepare(&request) else {
            refused += 1;
            continue;
        };
        let mut launch = Launch::new("/bin/cat");
        launch.args = ["id_test", "file"].map(|name| sub.join(name).into()).to_vec();
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        launch.fds.push((write, 1));
        launch.jail = Some(Box::new(jail));
        let child = match launch.spawn() {
            Ok(child) => child,
            Err(ExecError::Confinement { step: Step::Moved, .. }) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        let mut output = String::new();
        fs::File::from(read).read_to_string(&mut output).unwrap();
        wait(&child.pidfd);
        started += 1;
        if output.contains("private key") {
            let _ = (swapper.kill(), swapper.wait());
            panic!("a session that was granted `sub` reads the key, after {started} starts");
        }
    }
    swapper.kill().unwrap();
    swapper.wait().unwrap();
    println!("{started} started, {refused} refused");
    assert_eq!(started + refused, SWAPPED_STARTS);
}

/// Swaps two names until it is ended.
fn swap(one: &str, other: &str) -> ! {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    loop {
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
    }
}

/// Where no namespaces can be had: narrower rules, said as they are; and no secret is shown.
const WITHOUT_NAMESPACES: &[Test] = &[("without namespaces", without_namespaces)];

fn without_namespaces(host: &Host) {
    // Its tools hold a secret that could not be hidden; they are not shown, and not counted as shown.
    fs::remove_file(host.path("home/.cargo/credentials.toml")).unwrap();
    let request = host.request(Profile::Workspace, host.project());
    let ran = run(&request, "echo here");
    for (layer, expected) in [
        ("mounts", LayerStatus::Absent),
        ("network", LayerStatus::Partial),
        ("privileges", LayerStatus::Enforced),
        ("landlock", LayerStatus::Enforced),
        ("seccomp", LayerStatus::Enforced),
    ] {
        assert_eq!(status(&ran.layers, layer), expected, "{:?}", ran.layers);
    }
    assert!(
        ran.layers.iter().filter(|layer| layer.status != LayerStatus::Enforced).all(|layer| layer.detail.is_some())
    );
    let root = host.root.display();
    assert!(works(&request, "cat file && echo x > new && rm new && cat /etc/passwd"));
    for command in [
        "cat link".to_owned(),
        format!("cat {root}/outside/file"),
        format!("echo x > {root}/outside/file"),
        format!("cat {root}/state/install.key"),
        format!("ls {root}/home"),
        "echo x > /tmp/of-everybody".to_owned(),
        "exec 3<>/dev/pts/0".to_owned(),
        "unshare -Ur true".to_owned(),
    ] {
        assert!(!works(&request, &command), "`{command}` is not refused");
    }
    let required = Request { required: true, ..request };
    let Err(err @ ExecError::Confinement { step: Step::Required, .. }) = start(&required, "echo never") else {
        panic!("started although a layer is missing")
    };
    assert!(err.hint().is_some());
    let home = host.request(Profile::Workspace, vec![Grant::whole(host.text("home"))]);
    let Err(err @ ExecError::Confinement { step: Step::Hiding, .. }) = start(&home, "cat .ssh/id_test") else {
        panic!("a secret is shown")
    };
    assert!(err.to_string().contains("secrets") && err.hint().unwrap().contains("user namespaces"), "{err}");
    // Nothing that is granted may change: then neither may its mode.
    let read = host.request(Profile::Workspace, vec![Grant { root: host.text("home/read"), ..Grant::default() }]);
    assert!(works(&read, "cat file") && !works(&read, "chmod 777 file") && !works(&read, "echo x >> file"));
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, one, other] = args.as_slice()
        && first == "--swap"
    {
        swap(one, other);
    }
    if let [first, socket] = args.as_slice()
        && first == "--connect"
    {
        std::process::exit(i32::from(std::os::unix::net::UnixStream::connect(socket).is_err()));
    }
    if args.iter().any(|arg| arg == "--terminals") {
        return take_terminals();
    }
    let again = args.iter().any(|arg| arg == "--as-ordinary-user");
    let Some(filter) = asked::wanted(&args) else { return };
    let without = args.iter().any(|arg| arg == "--without-namespaces");
    let first = !again && !without && !args.iter().any(|arg| arg == "--mounted");
    let sockets = (nix::unistd::geteuid().is_root() && first).then(Sockets::new);
    if let Some(sockets) = &sockets {
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var(SOCKETS, sockets.directories()) };
    }
    let mounted = args.iter().any(|arg| arg == "--mounted");
    let tests = match (without, mounted) {
        (true, _) => WITHOUT_NAMESPACES,
        (_, true) => MOUNTED,
        _ => TESTS,
    };
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&filter)) {
        let host = Host::new();
        test(&host);
        drop(host);
        println!("test {name}{} ... ok", if again { " (as an ordinary user)" } else { "" });
    }
    if !without && !mounted && MOUNTED.iter().any(|(name, _)| name.contains(&filter)) {
        let own = std::env::current_exe().unwrap();
        // An ordinary user mounts in a user namespace, as the same user.
        let user: &[&str] =
            if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-current-user", "--keep-caps"] };
        let again = again.then_some("--as-ordinary-user");
        let status = std::process::Command::new("unshare")
            .arg("--mount")
            .args(user)
            .arg(own)
            .arg("--mounted")
            .args(again)
            .arg(&filter)
            .status();
        assert!(status.unwrap().success(), "with mounts");
    }
    if nix::unistd::geteuid().is_root() && first {
        as_ordinary_user(&filter);
    }
    if first && filter.is_empty() {
        // In a user namespace that allows no further ones of what is needed.
        let script = "echo 0 > /proc/sys/user/max_mnt_namespaces && exec \"$0\" --without-namespaces";
        let own = std::env::current_exe().unwrap();
        let status = std::process::Command::new("unshare").args(["-Urm", "sh", "-c", script]).arg(own).status();
        assert!(status.unwrap().success(), "without namespaces");
    }
}

/// The same once more without any privilege, from a copy that such a user can read.
fn as_ordinary_user(filter: &str) {
    let copy = std::env::temp_dir().join(format!("baton-jailed-test-{}", std::process::id()));
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(Path::new(&copy))
        .args(["--as-ordinary-user", filter])
        .current_dir("/")
        .status();
    fs::remove_file(&copy).unwrap();
    assert!(status.unwrap().success(), "as an ordinary user");
}
