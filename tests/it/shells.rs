//! `baton shell-integration` in real shells: what they tell of prompts, commands and directories, and that they stay as they are
//! otherwise. No session is needed for that: the script looks at one variable.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use baton_proto::v1::{Dimensions, MarkKind};
use baton_screen::{Screen, What};
use baton_tests::binaries;
use baton_tests::process::LOOK_EVERY;
use baton_tests::terminal::Terminal;
use portable_pty::CommandBuilder;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const PROMPT_BEGINS: &str = "\x1b]133;A\x07";
const PROMPT_ENDS: &str = "\x1b]133;B\x07";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

use Shell::{Bash, Fish, Zsh};

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Bash => "bash",
            Zsh => "zsh",
            Fish => "fish",
        }
    }

    /// The line that a person puts into the shell's own file.
    fn install(self) -> String {
        match self {
            Fish => "baton shell-integration fish | source\n".to_owned(),
            _ => format!("eval \"$(baton shell-integration {})\"\n", self.name()),
        }
    }

    /// A plain prompt, so that it is known.
    const fn prompt(self) -> &'static str {
        match self {
            Bash => "PS1='$ '\n",
            Zsh => "PS1='$ '\n",
            Fish => "function fish_prompt; echo -n '$ '; end\nset fish_greeting\n",
        }
    }
}

/// A shell in a terminal, in a home of its own.
struct Desk {
    terminal: Terminal,
    home: TempDir,
    size: (u16, u16),
}

impl Desk {
    fn start(shell: Shell, rc: &str) -> Self {
        Self::with(shell, rc, &[("BATON_SESSION", "ses_1")], (80, 24))
    }

    fn with(shell: Shell, rc: &str, env: &[(&str, &str)], size: (u16, u16)) -> Self {
        let home = tempfile::Builder::new().prefix("bt-").tempdir().unwrap();
        let path = match shell {
            Bash => home.path().join(".bashrc"),
            Zsh => home.path().join(".zshrc"),
            Fish => home.path().join(".config/fish/config.fish"),
        };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, rc).unwrap();
        let mut command = CommandBuilder::new(shell.name());
        match shell {
            Bash => command.args(["--noprofile", "-i"]),
            Zsh => command.args(["-d", "-i"]),
            Fish => command.args(["-i"]),
        }
        command.env_clear();
        let binaries = binaries::path("baton");
        command.env("PATH", format!("{}:/usr/bin:/bin", binaries.parent().unwrap().display()));
        for (name, value) in
            [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("HISTFILE", "/dev/null")].iter().chain(env)
        {
            command.env(name, value);
        }
        command.env("HOME", home.path());
        command.cwd(home.path());
        Self { terminal: Terminal::program(command, size), home, size }
    }

    async fn prompt(&mut self) {
        self.terminal.until(PROMPT_BEGINS).await;
        self.terminal.until(PROMPT_ENDS).await;
    }

    /// Types a line and waits for the next prompt.
    async fn line(&mut self, text: &str) {
        self.terminal.type_text(&format!("{text}\r"));
        self.prompt().await;
    }

    /// Until each of the shell's threads waits for something. An interrupt that comes while an editor still draws is remembered by
    /// bash until the next key, and forgotten by fish.
    async fn waiting(&self) {
        let waits = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
        };
        let mut looks = 0;
        while looks < 10 {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.terminal.pid())).unwrap();
            looks = if threads.into_iter().all(waits) { looks + 1 } else { 0 };
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn home(&self) -> &str {
        self.home.path().to_str().unwrap()
    }

    fn screen(&self) -> (Screen, Vec<(MarkKind, String)>) {
        let mut screen = Screen::new(Dimensions { cols: self.size.0, rows: self.size.1 });
        let mut seen = Vec::new();
        screen.feed(self.terminal.text().as_bytes(), &mut seen);
        let marks = seen.into_iter().filter_map(|seen| match seen.what {
            What::Mark(kind, text) => Some((kind, text)),
            _ => None,
        });
        (screen, marks.collect())
    }

    /// Prompts, commands and their ends.
    fn marks(&self) -> Vec<(MarkKind, String)> {
        let (_, mut marks) = self.screen();
        marks.retain(|(kind, _)| matches!(kind, MarkKind::Prompt | MarkKind::Command | MarkKind::CommandEnd));
        marks
    }

    fn directories(&self) -> Vec<String> {
        let (_, marks) = self.screen();
        marks.into_iter().filter(|(kind, _)| *kind == MarkKind::Cwd).map(|(_, text)| text).collect()
    }

    /// The letters of OSC 133 in order, one for a run: shells draw their prompt as often as they like.
    fn letters(&self) -> String {
        let mut letters: Vec<char> =
            self.terminal.text().split("\x1b]133;").skip(1).filter_map(|rest| rest.chars().next()).collect();
        letters.dedup_by(|next, last| next == last && *next == 'B');
        letters.into_iter().collect()
    }

    fn rows(&self) -> Vec<String> {
        let text =
            |line: &baton_screen::view::Line| line.cells.iter().map(|cell| cell.text.as_str()).collect::<String>();
        let (screen, _) = self.screen();
        screen.view(0).lines.iter().map(|line| text(line).trim_end().to_owned()).collect()
    }
}

fn within<F: Future<Output = ()>>(body: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(async { tokio::time::timeout(LIMIT, body).await }).is_ok(), "not done after {LIMIT:?}");
}

fn installed(shell: Shell) -> String {
    format!("{}{}", shell.prompt(), shell.install())
}

/// A prompt, and then for each line its command and end and the next prompt.
fn expected(lines: &[(&str, &str)]) -> Vec<(MarkKind, String)> {
    let prompt = (MarkKind::Prompt, String::new());
    let mut marks = vec![prompt.clone()];
    for (line, code) in lines {
        marks.push((MarkKind::Command, (*line).to_owned()));
        marks.push((MarkKind::CommandEnd, (*code).to_owned()));
        marks.push(prompt.clone());
    }
    marks
}

async fn commands_are_told(shell: Shell) {
    let mut desk = Desk::start(shell, &installed(shell));
    desk.prompt().await;
    let lines = [
        ("true", "0"),
        ("false", "1"),
        ("sh -c 'exit 7'", "7"),
        ("true", "0"),
        ("no-such-command", "127"),
        ("echo 'a;b' \"%41\" \\\\ é€日 $HOME", "0"),
        ("sh -c 'kill -TERM $$'", "143"),
    ];
    for (line, _) in lines {
        desk.line(line).await;
    }
    assert_eq!(desk.marks(), expected(&lines), "{shell:?}");
    assert_eq!(desk.letters(), format!("AB{}", "CDAB".repeat(lines.len())), "{shell:?}");
}

#[test]
fn bash_tells_its_commands() {
    within(commands_are_told(Bash));
}

#[test]
fn zsh_tells_its_commands() {
    within(commands_are_told(Zsh));
}

#[test]
fn fish_tells_its_commands() {
    within(commands_are_told(Fish));
}

#[test]
fn a_line_of_nothing_or_given_up_is_no_command() {
    within(async {
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::start(shell, &installed(shell));
            desk.prompt().await;
            desk.line("").await;
            desk.terminal.type_text("given-up");
            desk.terminal.until("up").await;
            desk.waiting().await;
            desk.terminal.type_text("\x03");
            desk.prompt().await;
            desk.line("true").await;
            let prompts = vec![(MarkKind::Prompt, String::new()); 2];
            assert_eq!(desk.marks(), [prompts, expected(&[("true", "0")])].concat(), "{shell:?}");
            assert_eq!(desk.letters(), "ABABABCDAB", "{shell:?}");
        }
    });
}

#[test]
fn a_command_that_is_interrupted_or_stopped_has_ended_for_the_shell() {
    within(async {
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::start(shell, &installed(shell));
            desk.prompt().await;
            for (key, word) in [("\x03", "interrupted"), ("\x1a", "stopped")] {
                desk.terminal.type_text(&format!("sh -c 'echo up-{word}; exec sleep 1000'\r"));
                // Where it ends a line it is output.
                desk.terminal.until(&format!("up-{word}\r\n")).await;
                desk.terminal.type_text(key);
                desk.prompt().await;
            }
            let codes: Vec<String> = desk
                .marks()
                .into_iter()
                .filter(|(kind, _)| *kind == MarkKind::CommandEnd)
                .map(|(_, code)| code)
                .collect();
            // fish has no status for what it stopped: it keeps the one it had.
            assert_eq!(codes[0], "130", "{shell:?}");
            assert!(shell == Fish || codes[1] == "148" || codes[1] == "146", "{shell:?}: {codes:?}");
            assert_eq!(codes.len(), 2);
        }
    });
}

#[test]
fn a_command_of_several_lines_is_one() {
    within(async {
        for (shell, text) in [(Bash, "for i in 1 2; do echo $i; done"), (Zsh, "for i in 1 2 do echo $i done")] {
            let mut desk = Desk::start(shell, &installed(shell));
            desk.prompt().await;
            desk.line("for i in 1 2\rdo echo $i\rdone").await;
            assert_eq!(desk.marks(), expected(&[(text, "0")]), "{shell:?}");
        }
        let mut desk = Desk::start(Fish, &installed(Fish));
        desk.prompt().await;
        desk.line("for i in 1 2\recho $i\rend").await;
        let marks = desk.marks();
        assert!(marks[1].1.starts_with("for i in 1 2 ") && marks[1].1.ends_with(" end"), "{marks:?}");
    });
}

#[test]
fn a_long_line_is_told_in_part() {
    within(async {
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::with(shell, &installed(shell), &[("BATON_SESSION", "s")], (200, 60));
            desk.prompt().await;
            desk.line(&format!("true '{}'", "é;".repeat(1000))).await;
            let marks = desk.marks();
            assert!(marks[1].1.starts_with("true 'é;é;é;"), "{shell:?}: {marks:?}");
            assert_eq!(marks[2], (MarkKind::CommandEnd, "0".to_owned()), "{shell:?}");
        }
    });
}

#[test]
fn directories_are_told_whatever_they_are_called() {
    within(async {
        let odd = "a b;é%41 \u{65e5}";
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::start(shell, &installed(shell));
            desk.prompt().await;
            std::fs::create_dir(desk.home.path().join(odd)).unwrap();
            desk.line(&format!("cd '{odd}'")).await;
            let canonical = std::fs::canonicalize(desk.home()).unwrap();
            let told = desk.directories();
            assert_eq!(Path::new(told.first().unwrap()), canonical, "{shell:?}");
            assert_eq!(Path::new(told.last().unwrap()), canonical.join(odd), "{shell:?}");
        }
    });
}

#[test]
fn a_line_that_is_kept_out_of_the_history_is_not_told() {
    within(async {
        for (shell, option) in [(Bash, "HISTCONTROL=ignoreboth\n"), (Zsh, "setopt hist_ignore_space\n")] {
            let mut desk = Desk::start(shell, &format!("{option}{}", installed(shell)));
            desk.prompt().await;
            desk.line("true 1").await;
            desk.line(" true hidden").await;
            desk.line("false").await;
            assert_eq!(desk.marks(), expected(&[("true 1", "0"), ("", "0"), ("false", "1")]), "{shell:?}");
        }
    });
}

#[test]
fn bash_keeps_what_a_person_made_of_it() {
    let own = [
        "PROMPT_COMMAND='echo \"own-$?\";'\n",
        "PROMPT_COMMAND=('echo \"own-$?\"' 'echo second')\n",
        "PROMPT_COMMAND='echo \"own-$?\" # and more'\n",
        "own() { echo \"own-$?\"; PS1='set anew $ '; }; PROMPT_COMMAND=own\n",
    ];
    within(async {
        for command in own {
            let rc = format!(
                "set -u\nshopt -s nocasematch\nIFS=0123456789\nalias printf=false history=false\ntrap 'traps=$((${{traps-0}} + 1))' DEBUG\n\
                 PS0='own-ps0\\n'\nPS1='first line\\n$? > '\n{command}{install}{install}",
                install = Bash.install()
            );
            let mut desk = Desk::start(Bash, &rc);
            desk.prompt().await;
            desk.line("true").await;
            desk.line("(exit 7)").await;
            desk.line("echo \"traps-$((traps > 0))-$?\"").await;
            assert_eq!(
                desk.marks(),
                expected(&[("true", "0"), ("(exit 7)", "7"), ("echo \"traps-$((traps > 0))-$?\"", "0")]),
                "{command}"
            );
            let text = desk.terminal.text();
            assert!(text.contains("own-7"), "{command}: the status is still the command's: {text:?}");
            assert_eq!(text.matches("own-ps0").count(), 3, "{command}: {text:?}");
            assert!(text.contains("\u{7}traps-1-7\r\n"), "{command}: {text:?}");
            let rows = desk.rows().join("\n");
            assert!(rows.contains("7 > echo \"traps") || rows.contains("set anew $ echo \"traps"), "{command}: {rows}");
            assert!(!text.contains("unbound"), "{command}: {text:?}");
        }
    });
}

#[test]
fn zsh_keeps_what_a_person_made_of_it() {
    within(async {
        let rc = format!(
            "setopt no_unset ksh_arrays warn_create_global err_return prompt_subst\n\
             precmd() {{ echo own-$? }}\npreexec() {{ echo own-preexec }}\nPS1=$'first line\\n%? $ '\n{install}{install}\
             autoload -Uz add-zsh-hook\nlater() {{ echo later-$? }}\nadd-zsh-hook precmd later\n",
            install = Zsh.install()
        );
        let mut desk = Desk::start(Zsh, &rc);
        desk.prompt().await;
        desk.line("true").await;
        desk.line("(exit 7)").await;
        desk.line("echo after-$?").await;
        desk.line("REPLY=mine").await;
        desk.line("echo reply-$REPLY").await;
        let text = desk.terminal.text();
        for word in ["own-7", "later-7", "own-preexec", "reply-mine"] {
            assert!(text.contains(word), "{word}: {text:?}");
        }
        let lines =
            [("true", "0"), ("(exit 7)", "7"), ("echo after-$?", "0"), ("REPLY=mine", "0"), ("echo reply-$REPLY", "0")];
        assert_eq!(desk.marks(), expected(&lines), "{text:?}");
        assert!(desk.rows().iter().any(|row| row.starts_with("7 $ echo")), "{:?}", desk.rows());
    });
}

#[test]
fn fish_keeps_what_a_person_made_of_it() {
    within(async {
        let rc = format!(
            "set fish_greeting\nfunction fish_prompt; echo first line; echo -n $status-own'$ '; end\n{install}{install}",
            install = Fish.install()
        );
        let mut desk = Desk::start(Fish, &rc);
        desk.prompt().await;
        desk.line("true").await;
        desk.line("sh -c 'exit 7'").await;
        desk.line("echo after-$status").await;
        assert_eq!(desk.marks(), expected(&[("true", "0"), ("sh -c 'exit 7'", "7"), ("echo after-$status", "0")]));
        let rows = desk.rows();
        assert!(rows.iter().any(|row| row == "after-7"), "{rows:?}");
        assert_eq!(rows.iter().filter(|row| *row == "first line").count(), 4, "{rows:?}");
    });
}

#[test]
fn a_shell_within_the_shell_tells_for_itself() {
    within(async {
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::start(shell, &installed(shell));
            desk.prompt().await;
            desk.line(shell.name()).await;
            desk.line("false").await;
            desk.terminal.type_text("exit 3\r");
            desk.prompt().await;
            let told: Vec<(MarkKind, String)> =
                desk.marks().into_iter().filter(|(kind, _)| *kind != MarkKind::Prompt).collect();
            let (begun, ended) = (MarkKind::Command, MarkKind::CommandEnd);
            let words: Vec<(MarkKind, &str)> = told.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
            let mut wanted =
                vec![(begun, shell.name()), (begun, "false"), (ended, "1"), (begun, "exit 3"), (ended, "3")];
            if shell == Fish {
                // It says so even of the command that ends it.
                wanted.push((ended, "3"));
            }
            assert_eq!(words, wanted, "{shell:?}");
        }
    });
}

#[test]
fn an_exported_prompt_command_does_not_trouble_other_shells() {
    within(async {
        let mut desk = Desk::start(Bash, &format!("{}export PROMPT_COMMAND PS1 PS0\n", installed(Bash)));
        desk.prompt().await;
        desk.terminal.type_text("bash --norc --noprofile -i\r");
        desk.terminal.type_text("echo inner-$((20 + 3))\r");
        desk.terminal.until("inner-23").await;
        desk.terminal.type_text("exit\r");
        desk.prompt().await;
        let text = desk.terminal.text();
        assert!(!text.contains("__baton_end_command: command not found"), "{text:?}");
        assert!(!text.contains("__baton_begin_prompt: command not found"), "{text:?}");
    });
}

#[test]
fn outside_of_a_session_nothing_is_told() {
    within(async {
        let elsewhere: [&[(&str, &str)]; 2] = [&[], &[("BATON_SESSION", "ses_1"), ("TERM", "dumb")]];
        for shell in [Bash, Zsh, Fish] {
            for env in elsewhere {
                let mut desk = Desk::with(shell, &installed(shell), env, (80, 24));
                // What is waited for is the output: the line has quotes in it.
                desk.terminal.type_text("echo out-4''2\r");
                desk.terminal.until("out-42").await;
                let text = desk.terminal.text();
                assert!(!text.contains("\x1b]133;") && !text.contains("\x1b]7;"), "{shell:?} {env:?}: {text:?}");
                assert!(!text.contains("not found") && !text.contains("baton:"), "{shell:?} {env:?}: {text:?}");
            }
        }
    });
}

#[test]
fn the_line_editor_knows_how_wide_the_prompt_is() {
    within(async {
        for shell in [Bash, Zsh, Fish] {
            let mut desk = Desk::with(shell, &installed(shell), &[("BATON_SESSION", "s")], (32, 10));
            desk.prompt().await;
            // Two columns of prompt and 29 of line, so nothing wraps; an editor that counted the marks would think it did, and
            // put what is inserted in the middle somewhere else.
            desk.terminal.type_text("echo 0123456789012345678901");
            desk.terminal.until("01").await;
            desk.terminal.type_text("\x01\x05\x02\x02XY\r");
            desk.prompt().await;
            let rows = desk.rows();
            let line = "echo 01234567890123456789XY01";
            assert_eq!(rows[0], format!("$ {line}"), "{shell:?}: {rows:?}");
            assert_eq!(rows[1], line["echo ".len()..], "{shell:?}: {rows:?}");
            assert_eq!(desk.marks()[1].1, line, "{shell:?}");
        }
    });
}

#[test]
fn under_errexit_bash_lives_on() {
    within(async {
        let mut desk = Desk::start(Bash, &format!("{}set -e\n", installed(Bash)));
        desk.prompt().await;
        desk.line("! true").await;
        desk.line("echo alive").await;
        assert_eq!(desk.marks(), expected(&[("! true", "1"), ("echo alive", "0")]));
    });
}
