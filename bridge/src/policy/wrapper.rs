//! Programs that run what they are given: known ones are opened, and what has no simple grammar is not understood.

use super::shell::{Arg, Line, Simple, is_harmless, is_number, read};

/// Programs that run what their arguments, their input or a file says, in ways that are not followed here.
const OPAQUE: &[&str] = &[
    "sudo",
    "doas",
    "su",
    "pkexec",
    "runuser",
    "parallel",
    "watch",
    "entr",
    "script",
    "expect",
    "unbuffer",
    "screen",
    "tmux",
    "zellij",
    "at",
    "batch",
    "crontab",
    "chroot",
    "unshare",
    "nsenter",
    "setpriv",
    "capsh",
    "bwrap",
    "firejail",
    "strace",
    "ltrace",
    "gdb",
    "lldb",
    "perf",
    "busybox",
    "toybox",
    "flock",
    "rlwrap",
    "fakeroot",
    "proot",
    "run-parts",
    "start-stop-daemon",
    "systemd-run",
    "systemctl",
    "dbus-send",
    "dbus-run-session",
    "gdbus",
    "busctl",
    "xdg-open",
    "open",
    "gio",
    "ssh",
    "autossh",
    "mosh",
    "sshpass",
    "docker",
    "podman",
    "kubectl",
    "nerdctl",
    "lxc",
    "vi",
    "vim",
    "vim.basic",
    "vim.tiny",
    "nvim",
    "view",
    "emacs",
    "ed",
    "ex",
    "nano",
    "less",
    "more",
    "most",
    "man",
    "chrt",
    "taskset",
    "setarch",
    "linux32",
    "linux64",
    "numactl",
    "prlimit",
    "cpulimit",
    "daemonize",
    "daemon",
    "socat",
    "nc",
    "ncat",
    "netcat",
    "telnet",
    "ftp",
    "lftp",
    "sftp",
    "tclsh",
    "wish",
    "osascript",
    "pwsh",
    "fish",
    "csh",
    "tcsh",
    "zsh",
    "rbash",
    "m4",
    "gawk-csv",
    "ld.so",
    "ld-linux-x86-64.so.2",
    "sqlite3",
    "dc",
    "gnuplot",
    "octave",
    "ghci",
    "erl",
    "iex",
    "jshell",
    "guile",
    "sbcl",
    "irb",
    "pry",
    "ipython",
    "ipython3",
    "Xvfb",
    "xvfb-run",
    "proxychains",
    "proxychains4",
    "torsocks",
    "dotenv",
    "direnv",
    "mise",
    "asdf",
    "nix",
    "nix-shell",
    "guix",
    "hyperfine",
    "valgrind",
    "rr",
    "chronic",
    "ifne",
    "vipe",
    "sponge",
    "systemd-inhibit",
    "dbus-launch",
    "newuidmap",
    "runcon",
    "setfattr",
    "setcap",
    "noglob",
    "nocorrect",
    "repeat",
    "zmodload",
    "autoload",
    "setopt",
    "unsetopt",
    "functions",
    "begin",
    "and",
    "or",
    "not",
    "zparseopts",
    "integer",
    "float",
    "emulate",
    "zle",
    "sched",
    "bindkey",
    "psql",
    "mysql",
    "gpg",
    "openssl",
    "eval",
    "source",
    ".",
    "exec",
    "alias",
    "unalias",
    "trap",
    "enable",
    "hash",
    "bind",
    "complete",
    "compgen",
    "compopt",
    "let",
    "read",
    "mapfile",
    "readarray",
    "getopts",
    "fc",
    "history",
    "coproc",
    "shopt",
    "disown",
    "bg",
    "fg",
    "kill",
    "pkill",
    "killall",
    "ulimit",
    "umask",
    "logout",
    "caller",
    "dirs",
    "pushd",
    "popd",
    "suspend",
    "times",
    "local",
    "declare",
    "typeset",
    "readonly",
    "unset",
    "select",
    "function",
];

/// Shells whose `-c` is read as a line of its own.
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh"];

/// Interpreters, and the options of theirs that are followed by no program text: a script in a file is judged as what it
/// is, a file of the session's.
const INTERPRETERS: &[(&str, &[&str])] = &[
    ("python", &["-V", "--version", "-m"]),
    ("perl", &["-v", "--version"]),
    ("ruby", &["-v", "--version"]),
    ("node", &["-v", "--version", "--test"]),
    ("nodejs", &["-v", "--version"]),
    ("bun", &["--version", "test"]),
    ("php", &["-v", "--version"]),
    ("lua", &["-v"]),
    ("luajit", &["-v"]),
    ("pypy", &["-V", "--version", "-m"]),
    ("julia", &["--version"]),
    ("Rscript", &["--version"]),
    ("R", &["--version"]),
    ("elixir", &["--version"]),
    ("groovy", &["--version"]),
    ("scala", &["--version"]),
    ("racket", &["--version"]),
    ("tsx", &["--version"]),
    ("ts-node", &["--version"]),
];

/// Programs that start none of their arguments. Of any other that nothing is known of, one that is given the name of
/// something that is opened here, or of what no agent becomes, may well start it.
const PLAIN: &[&str] = &[
    "echo",
    "printf",
    "ls",
    "cat",
    "head",
    "tail",
    "wc",
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "ag",
    "ack",
    "git",
    "cargo",
    "rustc",
    "go",
    "npm",
    "pnpm",
    "yarn",
    "which",
    "type",
    "whereis",
    "file",
    "stat",
    "du",
    "df",
    "tree",
    "sort",
    "uniq",
    "cut",
    "tr",
    "diff",
    "cmp",
    "comm",
    "touch",
    "mkdir",
    "cp",
    "mv",
    "rm",
    "ln",
    "test",
    "[",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "pgrep",
    "ps",
    "apropos",
    "whatis",
    "dpkg",
    "apt",
    "apt-get",
    "apt-cache",
    "pip",
    "pip3",
    "make",
    "gmake",
    "sed",
    "awk",
    "cd",
    "chmod",
    "chown",
    "date",
    "jq",
    "tee",
    "export",
    "tar",
    "zip",
    "unzip",
];

/// Programs in front of another: options that take a value, options that do not, words before the program.
const PREFIXES: &[(&str, &[&str], &[&str], usize)] = &[
    ("nice", &["-n"], &[], 0),
    ("nohup", &[], &[], 0),
    ("setsid", &[], &["-f", "-w", "-c"], 0),
    ("timeout", &["-s", "-k"], &["--foreground", "--preserve-status", "-v"], 1),
    ("time", &[], &["-p", "-v"], 0),
    ("stdbuf", &["-i", "-o", "-e"], &["-oL", "-eL", "-o0", "-e0", "-i0"], 0),
    ("ionice", &["-c", "-n"], &["-t"], 0),
    ("command", &[], &["-p"], 0),
    ("builtin", &[], &[], 0),
    ("env", &["-u"], &["-i", "-0", "-"], 0),
    ("xargs", &["-n", "-P", "-L", "-d", "-s", "-E"], &["-0", "-r", "-t", "-x", "-0r", "-r0"], 0),
];

/// Whether a program that is started like this does what its terminal says, and nothing else: a shell without a line or a file, an
/// interpreter without a script. What is typed there is asked about by itself.
pub fn reads_terminal(names: &[String], args: &[Arg]) -> bool {
    const OPTIONS: [&str; 9] = ["-i", "-l", "-il", "-li", "--login", "--norc", "--noprofile", "-f", "--no-rcs"];
    let shell = |name: &str| SHELLS.contains(&name) || ["zsh", "fish", "csh", "tcsh"].contains(&name);
    let plain = |arg: &Arg| arg.text().is_some_and(|it| OPTIONS.contains(&it.as_str()));
    if names.iter().any(|it| shell(it)) {
        return args.iter().all(plain);
    }
    args.is_empty() && names.iter().any(|name| INTERPRETERS.iter().any(|it| is_version_of(name, it.0)))
}

/// Opens `simple`, whose program goes by `names`. Doubts go to `out`.
pub fn unwrap(names: &[String], simple: &Simple, home: &str, depth: usize, out: &mut Line) -> Vec<Simple> {
    let args = simple.words.get(1..).unwrap_or(&[]);
    let mut inner = Vec::new();
    for name in names {
        let name = name.as_str();
        if OPAQUE.contains(&name) || name.starts_with("qemu-") || name.starts_with("ld-linux") {
            out.doubt("wrapper", format!("`{name}` runs, or changes, what can't be seen from here"));
        } else if SHELLS.contains(&name) {
            shell(name, args, home, depth, out);
        } else if let Some((_, valued, flags, skipped)) = PREFIXES.iter().find(|it| it.0 == name) {
            prefixed(name, simple, (valued, flags, *skipped), &mut inner, out);
        } else if name == "find" {
            find(simple, &mut inner, out);
        } else if matches!(name, "awk" | "gawk" | "mawk" | "nawk" | "original-awk") {
            awk(args, out);
        } else if name == "sed" {
            sed(args, out);
        } else if matches!(name, "export" | "set") {
            assigning(name, args, out);
        } else if name == "printf" && args.first().is_some_and(|it| it.text().is_none_or(|it| it.starts_with("-v"))) {
            out.doubt("assignment", "`printf -v` sets a variable");
        } else if matches!(name, "test" | "[") {
            tested(args, out);
        } else if let Some((known, harmless)) = INTERPRETERS.iter().find(|it| is_version_of(name, it.0)) {
            interpreter(known, args, harmless, out);
        } else if !names.iter().any(|it| PLAIN.contains(&it.as_str()))
            && let Some(it) = args.iter().filter_map(Arg::text).find(|it| starts_something(it))
        {
            out.doubt("wrapper", format!("`{name}` may start `{it}`"));
        }
    }
    inner
}

/// Whether an argument is the name of something that runs other things; `ByName` or not, a path's last name counts.
fn starts_something(text: &str) -> bool {
    // Words that programs have for other things too are names only with a path.
    const COMMON: [&str; 26] = [
        "read",
        "open",
        "select",
        "history",
        "local",
        "daemon",
        "screen",
        "script",
        "watch",
        "at",
        "view",
        "time",
        "find",
        "batch",
        "more",
        "function",
        "not",
        "or",
        "and",
        "begin",
        "R",
        "repeat",
        "functions",
        "float",
        "integer",
        "command",
    ];
    let name = text.rsplit('/').next().unwrap_or_default();
    if COMMON.contains(&text) || name == "." {
        return false;
    }
    OPAQUE.contains(&name)
        || SHELLS.contains(&name)
        || PREFIXES.iter().any(|it| it.0 == name)
        || INTERPRETERS.iter().any(|it| is_version_of(name, it.0))
        || ["rm", "curl", "wget", "mkfs", "dd", "find", "awk"].contains(&name)
}

/// In zsh and ksh a comparison calculates, and a subscript in what is calculated runs commands; `-v` looks a subscript up.
fn tested(args: &[Arg], out: &mut Line) {
    const CALCULATING: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];
    let is = |arg: Option<&Arg>, all: &[&str]| arg.and_then(Arg::text).is_some_and(|it| all.contains(&it.as_str()));
    for (at, arg) in args.iter().enumerate() {
        let beside = [at.checked_sub(1), Some(at + 1)].map(|it| it.and_then(|it| args.get(it)));
        let calculated = is(Some(arg), &CALCULATING) && !beside.iter().flatten().all(|it| is_number(it));
        // Two words that nobody knows may be `-v` and a subscript, and so may one that becomes two.
        let unknown = |it: Option<&Arg>| it.is_some_and(|it| it.text().is_none());
        let open = unknown(Some(arg)) && (arg.many || unknown(args.get(at + 1)));
        if open || calculated || is(Some(arg), &["-v", "-R"]) || arg.glob.positions(&['[']).next().is_some() {
            return out.doubt("arithmetic", "a test that calculates may run a command");
        }
    }
}

/// `python3.12` is `python`.
fn is_version_of(name: &str, known: &str) -> bool {
    name.strip_prefix(known).is_some_and(|rest| rest.bytes().all(|it| it.is_ascii_digit() || it == b'.'))
}

fn shell(name: &str, args: &[Arg], home: &str, depth: usize, out: &mut Line) {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(text) = arg.text() else { break };
        match text.as_str() {
            "-e" | "-u" | "-x" | "-eu" | "-ex" | "-eux" | "--norc" | "--noprofile" => {}
            "-o" if rest.next().and_then(Arg::text).as_deref() == Some("pipefail") => {}
            "-c" | "-ec" | "-euc" | "-exc" | "-xc" => match rest.next().and_then(Arg::text) {
                // More options may come before it: `-c -x '…'`.
                Some(line) if !line.starts_with(['-', '+']) => return read(&line, home, depth + 1, out),
                _ => break,
            },
            "--version" => return,
            // Only looks whether it can be read; the file is none of ours to judge.
            "-n" if rest.len() == 1 => return,
            _ => break,
        }
    }
    out.doubt("script", format!("what `{name}` is to run can't be seen from here"));
}

fn interpreter(name: &str, args: &[Arg], harmless: &[&str], out: &mut Line) {
    let first = args.first().and_then(Arg::text);
    if let Some(first) = &first
        && (harmless.contains(&first.as_str())
            || (!first.starts_with('-') && !first.starts_with("/dev/") && !first.starts_with("/proc/")))
    {
        return;
    }
    out.doubt("interpreter", format!("a program for `{name}` that is not in a file"));
}

type Grammar<'a> = (&'a [&'a str], &'a [&'a str], usize);

fn prefixed(
    name: &str,
    simple: &Simple,
    (valued, flags, mut skipped): Grammar<'_>,
    inner: &mut Vec<Simple>,
    out: &mut Line,
) {
    let args = simple.words.get(1..).unwrap_or(&[]);
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let Some(text) = arg.text() else {
            return out.doubt("wrapper", format!("which program `{name}` starts"));
        };
        if name == "command" && matches!(text.as_str(), "-v" | "-V") {
            return;
        }
        if text == "--" {
            at += 1;
            break;
        }
        if valued.contains(&text.as_str()) {
            at += 2;
        } else if flags.contains(&text.as_str()) || has_value(&text, valued) {
            at += 1;
        } else if name == "env" && text.contains('=') && !text.starts_with('-') {
            let variable = text.split('=').next().unwrap_or_default();
            if !is_harmless(variable) {
                out.doubt("assignment", format!("`{variable}` may change which program runs, or what it does"));
            }
            at += 1;
        } else if text.starts_with('-') {
            return out.doubt("wrapper", format!("`{name} {text}`"));
        } else if skipped > 0 {
            skipped -= 1;
            at += 1;
        } else {
            break;
        }
    }
    // Bounded again: `timeout` may have stood before its words.
    let mut words: Vec<Arg> = args.get(at..).unwrap_or(&[]).to_vec();
    if words.is_empty() {
        if name == "env" && args.is_empty() {
            return;
        }
        if name != "xargs" {
            return out.doubt("wrapper", format!("`{name}` without a program"));
        }
        words.push(Arg::literal("echo"));
    }
    if name == "xargs" {
        words.push(Arg::unknown());
    }
    inner.push(Simple { words, fed: simple.fed, ..Simple::default() });
}

/// Whether it is one of these options with its value behind it: `-n5`.
fn has_value(text: &str, valued: &[&str]) -> bool {
    !text.starts_with("--") && valued.iter().any(|it| it.len() == 2 && text.starts_with(it))
}

fn find(simple: &Simple, inner: &mut Vec<Simple>, out: &mut Line) {
    let args = simple.words.get(1..).unwrap_or(&[]);
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        let Some(text) = arg.text() else {
            if arg.many && arg.glob.split().0.is_empty() {
                out.doubt("wrapper", "an argument of `find` that may be `-exec`");
            }
            continue;
        };
        match text.as_str() {
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let rest = args.get(at..).unwrap_or(&[]);
                let end = rest.iter().position(|it| matches!(it.text().as_deref(), Some(";" | "+")));
                let Some(end) = end else { return out.doubt("wrapper", "`find -exec` without its end") };
                let mut words = rest.get(..end).unwrap_or(&[]).to_vec();
                if words.first().and_then(Arg::text).is_none_or(|it| it.contains("{}")) {
                    return out.doubt("wrapper", "which program `find` starts");
                }
                for word in &mut words {
                    if word.text().is_none_or(|it| it.contains("{}")) {
                        *word = Arg::unknown();
                    }
                }
                inner.push(Simple { words, ..Simple::default() });
                at += end + 1;
            }
            "-fprint" | "-fprint0" | "-fprintf" | "-fls" | "-files0-from" => {
                out.doubt("wrapper", format!("`find {text}`"))
            }
            _ => {}
        }
    }
}

/// A program of awk's is data as long as it starts nothing and writes nowhere.
fn awk(args: &[Arg], out: &mut Line) {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(text) = arg.text() else { break };
        if text == "-F" || text == "-v" {
            rest.next();
        } else if text.starts_with("-F") {
        } else if text.starts_with('-') {
            break;
        } else if text.contains("system") || text.contains("getline") || text.contains(['|', '>', '@', '"', '\\']) {
            return out.doubt("interpreter", "an awk program that may run another, or write");
        } else {
            return;
        }
    }
    out.doubt("interpreter", "an awk program that can't be seen");
}

/// Scripts of sed's may run programs (`e`) and write files (`w`); those that only print and replace are known.
fn sed(args: &[Arg], out: &mut Line) {
    let mut scripts = 0;
    let mut expect = false;
    for arg in args {
        let text = arg.text();
        let is_script = expect || (scripts == 0 && text.as_deref().is_some_and(|it| !it.starts_with('-')));
        expect = false;
        match text.as_deref() {
            Some(script) if is_script => {
                scripts += 1;
                if !is_plain_sed(script) {
                    return out.doubt("interpreter", "a sed script that is more than printing or replacing");
                }
            }
            Some("-n" | "-E" | "-r" | "-z" | "-i" | "-s" | "--quiet" | "--in-place" | "--regexp-extended" | "-ne")
                if scripts == 0 =>
            {
                expect = text.as_deref() == Some("-ne");
            }
            Some("-e") => expect = true,
            Some(option) if option.starts_with('-') => return out.doubt("interpreter", format!("`sed {option}`")),
            Some(_) => {}
            None if scripts == 0 => return out.doubt("interpreter", "a sed script that can't be seen"),
            None if arg.glob.split().0.is_empty() && arg.glob == Arg::unknown().glob => {
                return out.doubt("interpreter", "an argument of sed's that may be a script");
            }
            None => {}
        }
    }
}

fn is_plain_sed(script: &str) -> bool {
    let address: &[char] = &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ',', '$'];
    let command = script.trim_start_matches(address);
    if matches!(command, "p" | "d" | "q" | "=") {
        return true;
    }
    let mut rest = command.chars();
    if rest.next() != Some('s') {
        return false;
    }
    let Some(delimiter) = rest.next().filter(|it| it.is_ascii_punctuation() && *it != '\\') else { return false };
    let body = rest.as_str();
    if body.contains(['\\', '\n', ';', '[']) && body.contains(['\n', ';', '[']) {
        return false;
    }
    let mut escaped = false;
    let mut parts = 0;
    for (at, it) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if it == '\\' {
            escaped = true;
        } else if it == delimiter {
            parts += 1;
            if parts == 2 {
                let flags = body.get(at + it.len_utf8()..).unwrap_or("e");
                return flags.chars().all(|it| matches!(it, 'g' | 'i' | 'I' | 'p' | '0'..='9'));
            }
        }
    }
    false
}

fn assigning(name: &str, args: &[Arg], out: &mut Line) {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (head, _) = arg.glob.split();
        let variable = head.split('=').next().unwrap_or_default();
        if name == "set" {
            let harmless = matches!(head.as_str(), "-e" | "-u" | "-x" | "-eu" | "-ex" | "-eux" | "+e" | "+x");
            let option = matches!(head.as_str(), "-o" | "-euo" | "-eo" | "-uo" | "-exo" | "-euxo");
            if (option && args.next().and_then(Arg::text).as_deref() == Some("pipefail"))
                || (harmless && arg.text().is_some())
            {
                continue;
            }
            out.doubt("builtin", "`set` changes how the shell reads what follows");
        } else if !is_harmless(variable) || !head.contains('=') {
            out.doubt("assignment", format!("`export {head}` may change which program runs, or what it does"));
        }
    }
}
