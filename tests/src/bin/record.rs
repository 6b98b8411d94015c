//! Records what programs write to their terminals: `cargo run -p baton-tests --bin baton-record [-- NAME…]`, as root.
//!
//! Each session is a file `tests/corpus/sessions/NAME.session`, a step a line; what came out becomes `tests/corpus/NAME.rec`.
//!
//! | step | what it does |
//! | --- | --- |
//! | `size COLSxROWS` | the terminal's size; it stays |
//! | `env NAME=VALUE` | one more variable |
//! | `setup COMMAND` | run by a shell before, without the terminal |
//! | `run COMMAND` | starts the program, by a shell that it replaces |
//! | `keys TEXT` | types it, and waits until nothing has come for a moment; `\e \r \t \n \xHH \\` as usual |
//! | `wait MILLISECONDS` | lets it write for so long |
//!
//! Programs run in namespaces of their own: host name `demo`, no other processes, an empty home that is gone afterwards.
//! So nothing of the machine is in a recording but the kernel's version and the number of its processors.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool for developers says what is wrong by panicking")]
#![allow(clippy::print_stdout, reason = "it says what it recorded")]

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use baton_tests::recording::{self, Header};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// A recording is part of the tree.
const BYTES_MAX: usize = 150 * 1024;
/// A program that wrote nothing for so long waits for keys.
const QUIET: Duration = Duration::from_millis(120);
/// A program that never stops writing is typed at all the same.
const PATIENCE: Duration = Duration::from_millis(1500);
/// From SIGHUP, by which a session that did not end itself is ended.
const ENDING: Duration = Duration::from_secs(2);

/// What terminals are asked, and what this one says; without an answer some programs wait.
const ANSWERS: [(&[u8], &[u8]); 5] = [
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[>c", b"\x1b[>1;10;0c"),
    (b"\x1b[5n", b"\x1b[0n"),
    (b"\x1b[?u", b"\x1b[?0u"),
    (b"\x1b]11;?", b"\x1b]11;rgb:1010/1010/1818\x1b\\"),
];

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let sessions = recording::directory().join("sessions");
    if names.is_empty() {
        names = std::fs::read_dir(&sessions)
            .expect("sessions")
            .map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
    }
    for name in names {
        let path = sessions.join(&name).with_extension("session");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("`{}`: {err}", path.display()));
        let bytes = record(&Session::read(&text), &recording::directory().join(&name).with_extension("rec"));
        println!("{name}: {bytes} bytes");
    }
}

enum Step {
    Keys(Vec<u8>),
    Wait(Duration),
}

struct Session {
    cols: u16,
    rows: u16,
    environment: Vec<(String, String)>,
    setup: Vec<String>,
    run: String,
    steps: Vec<Step>,
}

impl Session {
    fn read(text: &str) -> Self {
        let mut session = Self {
            cols: 80,
            rows: 24,
            environment: Vec::new(),
            setup: Vec::new(),
            run: String::new(),
            steps: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').expect("a word and the rest");
            match word {
                "size" => {
                    let (cols, rows) = rest.split_once('x').expect("COLSxROWS");
                    (session.cols, session.rows) = (cols.parse().expect("columns"), rows.parse().expect("rows"));
                }
                "env" => {
                    let (name, value) = rest.split_once('=').expect("NAME=VALUE");
                    session.environment.push((name.to_owned(), value.to_owned()));
                }
                "setup" => session.setup.push(rest.to_owned()),
                "run" => rest.clone_into(&mut session.run),
                "keys" => session.steps.push(Step::Keys(unescaped(rest))),
                "wait" => session.steps.push(Step::Wait(Duration::from_millis(rest.parse().expect("milliseconds")))),
                _ => panic!("no such step: {line}"),
            }
        }
        session
    }

    /// The program in a world of its own.
    fn command(&self) -> CommandBuilder {
        let mut script = String::from(
            "hostname demo && mount -t tmpfs tmpfs /tmp && mkdir -p /tmp/demo /tmp/empty && cd /tmp/demo && {\n",
        );
        for line in &self.setup {
            script.push_str(line);
            script.push('\n');
        }
        script.push_str(":\n} </dev/null >/dev/null 2>&1 && exec ");
        script.push_str(&self.run);
        let mut command = CommandBuilder::new("unshare");
        command.args(["--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &script]);
        command.env_clear();
        let fixed = [
            ("HOME", "/tmp/demo"),
            ("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin:/usr/games"),
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("USER", "demo"),
            ("LOGNAME", "demo"),
            ("PS1", "$ "),
        ];
        for (name, value) in fixed {
            command.env(name, value);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command.cwd("/");
        command
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('e') => 0x1b,
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
            }
            other => panic!("no such escape: {other:?}"),
        });
    }
    bytes
}

/// Plays a session; how many bytes it gave.
fn record(session: &Session, to: &Path) -> usize {
    let size = PtySize { rows: session.rows, cols: session.cols, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a PTY");
    let mut child = pair.slave.spawn_command(session.command()).expect("the session starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("a reader");
    let (send, output) = channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut chunk) {
            if send.send(chunk[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut screen =
        Output { writer: pair.master.take_writer().expect("a writer"), output, bytes: Vec::new(), answered: 0 };
    screen.until_quiet(QUIET * 3);
    for step in &session.steps {
        match step {
            Step::Keys(keys) => {
                // The program may have ended by itself.
                let _ = screen.writer.write_all(keys);
                screen.until_quiet(QUIET);
            }
            Step::Wait(span) => screen.take_for(*span),
        }
    }
    screen.take_for(QUIET);
    // Ends what still runs, and with it the namespace; what it writes then belongs to the recording too.
    if child.try_wait().expect("a status").is_none() {
        child.kill().expect("it ends");
    }
    screen.take_for(ENDING);
    child.wait().expect("it has ended");
    assert!(
        screen.bytes.len() <= BYTES_MAX,
        "{} bytes are more than {BYTES_MAX}: shorten the session",
        screen.bytes.len()
    );
    let header = Header { cols: session.cols, rows: session.rows, program: session.run.clone() };
    std::fs::write(to, recording::file(&header, &screen.bytes)).expect("a writable corpus");
    screen.bytes.len()
}

/// What has come so far.
struct Output {
    writer: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    answered: usize,
}

impl Output {
    fn until_quiet(&mut self, quiet: Duration) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.take(quiet).is_ok() {}
    }

    fn take_for(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.take(left) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    fn take(&mut self, limit: Duration) -> Result<(), RecvTimeoutError> {
        let bytes = self.output.recv_timeout(limit)?;
        self.bytes.extend_from_slice(&bytes);
        self.answer();
        Ok(())
    }

    /// Answers what has been asked since the last time.
    fn answer(&mut self) {
        while self.answered < self.bytes.len() {
            let rest = &self.bytes[self.answered..];
            if let Some((question, answer)) = ANSWERS.iter().find(|(question, _)| rest.starts_with(question)) {
                let _ = self.writer.write_all(answer);
                self.answered += question.len();
            } else if ANSWERS.iter().any(|(question, _)| rest.len() < question.len() && question.starts_with(rest)) {
                // The rest of a question may still come.
                return;
            } else {
                self.answered += 1;
            }
        }
    }
}
