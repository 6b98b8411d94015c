//! `exec` in real shells, with and without integration: lines that run nothing, that end the shell, that are several lines; and
//! what is seen of a line that marks itself.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, ExecAnswer, LeaseAnswer, Problem, SessionDetail, SessionStatus};
use baton_proto::ids::{ClientId, SessionId};
use baton_tests::{Baton, Setup, binaries, scenario, session};
use http::Method;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Dash,
}

use Shell::{Bash, Dash, Fish, Zsh};

impl Shell {
    const fn command(self) -> &'static [&'static str] {
        match self {
            Bash => &["bash", "--noprofile", "-i"],
            Zsh => &["zsh", "-d", "-i"],
            Fish => &["fish", "-i"],
            Dash => &["dash", "-i"],
        }
    }

    const fn rc(self) -> (&'static str, &'static str) {
        match self {
            Bash => (".bashrc", "PS1='$ '\n"),
            Zsh => (".zshrc", "PS1='$ '\nsetopt interactive_comments\n"),
            Fish => (".config/fish/config.fish", "function fish_prompt; echo -n '$ '; end\nset fish_greeting\n"),
            Dash => (".dashrc", "PS1='$ '\n"),
        }
    }

    const fn install(self) -> &'static str {
        match self {
            Bash => "eval \"$(baton shell-integration bash)\"\n",
            Zsh => "eval \"$(baton shell-integration zsh)\"\n",
            Fish => "baton shell-integration fish | source\n",
            Dash => "",
        }
    }
}

/// A shell that a client controls.
struct Desk<'a> {
    baton: &'a Baton,
    session: SessionId,
    client: ClientId,
    what: String,
}

impl<'a> Desk<'a> {
    async fn start(baton: &'a Baton, shell: Shell, integrated: bool, extra: &str) -> Self {
        let home = baton.scratch().join(format!("{shell:?}-{}", uuid::Uuid::new_v4().simple()));
        let (file, rc) = shell.rc();
        let file = home.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Else fish gathers completions from all manual pages in the background.
        std::fs::create_dir_all(home.join(".local/fish/generated_completions")).unwrap();
        let install = if integrated { shell.install() } else { "" };
        std::fs::write(&file, format!("{rc}{extra}{install}")).unwrap();
        let binaries = binaries::path("baton");
        let home = home.to_str().unwrap().to_owned();
        let env = [
            ("HOME", home.clone()),
            ("XDG_CONFIG_HOME", format!("{home}/.config")),
            ("XDG_DATA_HOME", format!("{home}/.local")),
            ("ENV", file.to_str().unwrap().to_owned()),
            ("HISTFILE", "/dev/null".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PATH", format!("{}:/usr/bin:/bin", binaries.parent().unwrap().display())),
        ];
        let request = CreateTerminal {
            command: Some(shell.command().iter().map(|word| (*word).to_owned()).collect()),
            cwd: Some(home),
            env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..CreateTerminal::default()
        };
        let session = baton.create(&request).await;
        let client = session::client_id();
        let claim = json!({"client_id": client});
        let _: LeaseAnswer = baton.api().post(&format!("/v1/terminal/sessions/{session}/claim"), &claim).await;
        let desk = Self { baton, session, client, what: format!("{shell:?}, integrated: {integrated}") };
        desk.prompt().await;
        desk
    }

    async fn prompt(&self) {
        let path = format!("/v1/sessions/{}", self.session);
        let _: SessionDetail = self.baton.api().get_until(&path, |detail: &SessionDetail| detail.modes.at_prompt).await;
    }

    fn path(&self, verb: &str) -> String {
        format!("/v1/terminal/sessions/{}/{verb}", self.session)
    }

    fn body(&self, command: &str) -> serde_json::Value {
        json!({"client_id": self.client, "command": command, "timeout_s": 30})
    }

    async fn exec(&self, command: &str) -> ExecAnswer {
        self.baton.api().post(&self.path("exec"), &self.body(command)).await
    }

    async fn refused(&self, command: &str) -> Problem {
        self.baton.api().refused(Method::POST, &self.path("exec"), &self.body(command), ErrorCode::Invalid).await
    }

    /// Runs a command; its exit code and output, without the carriage returns of a terminal.
    async fn run(&self, command: &str) -> (Option<i32>, String) {
        let answer = self.exec(command).await;
        assert!(!answer.timed_out && !answer.truncated, "{}: {command}: {answer:?}", self.what);
        // The output is what lies between the cursors.
        let from = answer.cursor_start.offset;
        let mut bytes = self.baton.output_from(self.session, from).await;
        bytes.truncate(usize::try_from(answer.cursor_end.offset - from).unwrap());
        assert_eq!(String::from_utf8_lossy(&bytes), answer.output, "{}: {command}", self.what);
        (answer.exit_code, answer.output.replace("\r\n", "\n"))
    }

    async fn expect(&self, command: &str, code: i32, output: &str) {
        let begun = Instant::now();
        let said = self.run(command).await;
        assert_eq!(said, (Some(code), output.to_owned()), "{}: {command}", self.what);
        println!("{}: {command:?}: {} ms", self.what, begun.elapsed().as_millis());
    }

    /// The screen, once the shell has drawn its prompt.
    async fn screen(&self) -> String {
        self.prompt().await;
        let path = self.path("snapshot?format=text");
        let answer = self.baton.api().call::<()>(Method::GET, &path, None).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>().trim_end().to_owned()
    }
}

/// What each shell makes of lines that run nothing, or not what it looks like.
async fn odd_lines(baton: &Baton, shell: Shell, integrated: bool) {
    let desk = Desk::start(baton, shell, integrated, "").await;
    desk.expect("echo one; echo two", 0, "one\ntwo\n").await;
    desk.expect("false", 1, "").await;
    // Not the status of what was there before.
    desk.expect("# comment", 0, "").await;
    desk.expect("", 0, "").await;
    desk.expect("  ", 0, "").await;
    desk.expect("printf 'no end'", 0, "no end").await;
    desk.expect("printf '\\033[31mred'", 0, "\u{1b}[31mred").await;
    let variable = if shell == Fish { "set x 1" } else { "x=1" };
    desk.expect(variable, 0, "").await;
    desk.expect("echo \"x$x\"", 0, "x1\n").await;
    desk.expect("sh -c 'exit 7'", 7, "").await;
    let error = desk.run("echo )").await;
    let (code, words) = match shell {
        Bash => (2, "bash: syntax error near unexpected token `)'\n"),
        Zsh => (1, "zsh: parse error near `)'\n"),
        Fish => (123, "fish: Unexpected ')' for unopened parenthesis\n"),
        Dash => (2, "dash: 1: eval: Syntax error: \")\" unexpected\n"),
    };
    assert!(error.0 == Some(code) && error.1.starts_with(words), "{}: {error:?}", desk.what);
    assert!(!error.1.contains('\u{1b}'), "{}: {error:?}", desk.what);
    let (code, output) = desk.run("sleep 300 &").await;
    assert!(code == Some(0) && output.len() < 20, "{}: {output:?}", desk.what);
    // It is the same shell still, and at its prompt.
    desk.expect("echo again", 0, "again\n").await;
    if shell != Dash {
        desk.expect("echo 'a\nb'\techo \\\n'c'", 0, "a\nb echo c\n").await;
    }
    if matches!(shell, Bash | Zsh) {
        desk.expect("cat <<E\nit's a\there-document\nE", 0, "it's a\there-document\n").await;
    }
    // What is not whole is refused, or the shell says so.
    if integrated {
        for open in ["echo 'a", "echo \"a", "if true"] {
            let detail = desk.refused(open).await.detail;
            assert!(detail.contains("not whole"), "{}: {open}: {detail}", desk.what);
        }
    } else {
        let (code, output) = desk.run("echo 'a").await;
        assert!(code.is_some_and(|code| code > 0) && output.contains("ash: ") | output.contains("sh: "), "{output}");
    }
    desk.expect("echo last", 0, "last\n").await;
}

async fn ends(baton: &Baton, shell: Shell, integrated: bool) {
    let desk = Desk::start(baton, shell, integrated, "").await;
    desk.expect("echo one", 0, "one\n").await;
    let answer = desk.exec("exit 3").await;
    assert_eq!((answer.exit_code, answer.timed_out), (Some(3), false), "{}: {answer:?}", desk.what);
    let exit = answer.exit.expect("how the session ended");
    assert_eq!((exit.code, exit.signal), (Some(3), None), "{}", desk.what);
    assert!(!answer.output.contains('\u{1b}'), "{}: {:?}", desk.what, answer.output);
    let path = format!("/v1/sessions/{}", desk.session);
    let ended = |detail: &SessionDetail| detail.session.status == SessionStatus::Exited;
    let _: SessionDetail = baton.api().get_until(&path, ended).await;
    baton.api().refused(Method::POST, &desk.path("exec"), &desk.body("true"), ErrorCode::SessionEnded).await;

    let desk = Desk::start(baton, shell, integrated, "").await;
    let answer = desk.exec(if shell == Fish { "/bin/kill -KILL $fish_pid" } else { "kill -KILL $$" }).await;
    assert_eq!(answer.exit_code, Some(137), "{}: {answer:?}", desk.what);
    assert_eq!(answer.exit.and_then(|exit| exit.signal), Some(9), "{}", desk.what);

    let desk = Desk::start(baton, shell, integrated, "").await;
    // The prompt of the new shell is no output.
    desk.expect("exec env PS1='new ' bash --norc --noprofile -i", 0, "").await;
    desk.expect("echo \"$BASH_VERSION\" | wc -l", 0, "1\n").await;
    desk.expect("(exit 4)", 4, "").await;
}

macro_rules! in_shells {
    ($($name:ident, $ends:ident: $shell:ident, $integrated:literal;)*) => {
        $(
            #[test]
            fn $name() {
                scenario(LIMIT, Setup::plain(), async |baton: &Baton| odd_lines(baton, $shell, $integrated).await);
            }

            #[test]
            fn $ends() {
                scenario(LIMIT, Setup::plain(), async |baton: &Baton| ends(baton, $shell, $integrated).await);
            }
        )*
    };
}

in_shells! {
    bash_with_integration_runs_odd_lines, bash_with_integration_ends: Bash, true;
    bash_runs_odd_lines, bash_ends: Bash, false;
    zsh_with_integration_runs_odd_lines, zsh_with_integration_ends: Zsh, true;
    zsh_runs_odd_lines, zsh_ends: Zsh, false;
    fish_with_integration_runs_odd_lines, fish_with_integration_ends: Fish, true;
    fish_runs_odd_lines, fish_ends: Fish, false;
    dash_runs_odd_lines, dash_ends: Dash, false;
}

#[test]
fn what_a_person_writes_before_each_prompt_is_not_taken_for_an_error() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        let desk = Desk::start(baton, Bash, true, "PROMPT_COMMAND='echo own-$?'\n").await;
        desk.expect("true", 0, "").await;
        desk.expect("# comment", 0, "").await;
        let (code, output) = desk.run("echo )").await;
        assert!(code == Some(2) && output.starts_with("bash: syntax error"), "{output:?}");
        // A mark of zsh's own for lines without an end.
        let desk = Desk::start(baton, Zsh, true, "PROMPT_EOL_MARK='%F{red}<no end>%f'\n").await;
        desk.expect("echo a", 0, "a\n").await;
        desk.expect("printf a", 0, "a").await;
        let desk = Desk::start(baton, Zsh, true, "PROMPT_EOL_MARK=\n").await;
        desk.expect("printf a", 0, "a").await;
    });
}

#[test]
fn the_screen_shows_the_command_and_not_how_it_was_run() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        for shell in [Bash, Zsh, Fish, Dash] {
            let desk = Desk::start(baton, shell, false, "").await;
            desk.expect("echo one", 0, "one\n").await;
            // Of any length: one that takes many rows, and each length around a full row.
            let long = format!("echo {}", "x".repeat(200));
            desk.expect(&long, 0, &format!("{}\n", "x".repeat(200))).await;
            let mut rows = vec!["$ echo one".to_owned(), "one".to_owned()];
            let wrapped = |text: &str| {
                let cells: Vec<char> = text.chars().collect();
                cells.chunks(80).map(|row| row.iter().collect::<String>()).collect::<Vec<_>>()
            };
            rows.extend(wrapped(&format!("$ {long}")));
            rows.extend(wrapped(&"x".repeat(200)));
            desk.expect("echo 'é日'", 0, "é日\n").await;
            if shell == Dash {
                // Cells of what it can't spell in ASCII are not counted on.
                assert!(desk.screen().await.contains("7717"));
                continue;
            }
            rows.extend(["$ echo 'é日'".to_owned(), "é日".to_owned(), "$".to_owned()]);
            // The answer does not wait for the prompt.
            let screen = loop {
                let screen = desk.screen().await;
                if screen.ends_with("\n$") {
                    break screen;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            assert_eq!(screen, rows.join("\n"), "{}", desk.what);
            // The journal is as it was written.
            let bytes = baton.output(desk.session).await;
            assert!(String::from_utf8_lossy(&bytes).contains("7717"), "{}", desk.what);
        }
    });
}

#[test]
fn a_line_of_any_length_leaves_what_was_above_it() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        let desk = Desk::start(baton, Bash, false, "").await;
        for length in 1..=90 {
            desk.expect(&format!("clear; : {}", "x".repeat(length)), 0, "\u{1b}[H\u{1b}[2J\u{1b}[3J").await;
            desk.expect("echo above", 0, "above\n").await;
            desk.expect(&format!(": {}", "y".repeat(length)), 0, "").await;
            let screen = desk.screen().await.replace('\n', "");
            assert_eq!(screen, format!("$ echo aboveabove$ : {}$", "y".repeat(length)));
        }
    });
}

#[test]
fn the_command_line_says_how_a_line_ended() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        let desk = Desk::start(baton, Bash, true, "").await;
        let release = json!({"client_id": desk.client});
        let _: LeaseAnswer = baton.api().post(&desk.path("release"), &release).await;
        let id = desk.session.to_string();
        let said = baton.cli(["exec", "--claim", &id, "--", "# comment"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said:?}");
        let said = baton.cli(["exec", "--claim", &id, "--", "echo )"]).await;
        assert!(said.code == Some(2) && said.stdout.starts_with("bash: syntax error"), "{said:?}");
        let said = baton.cli(["exec", "--claim", &id, "--", "exit 3"]).await;
        assert!(said.code == Some(3) && said.stderr.contains("the session ended"), "{said:?}");
    });
}

#[test]
fn lines_that_come_at_once_get_their_own_output_each() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        for (shell, integrated) in [(Bash, true), (Zsh, true), (Fish, true), (Bash, false)] {
            let desk = Desk::start(baton, shell, integrated, "").await;
            let line = |number: i32| format!("sh -c 'echo line-{number}; exit {number}'");
            let lines: Vec<String> = (1..=5).map(line).collect();
            let answers = futures_util::future::join_all(lines.iter().map(|line| desk.exec(line))).await;
            for (number, answer) in (1..).zip(answers) {
                let said = (answer.exit_code, answer.output.trim_end().to_owned());
                assert_eq!(said, (Some(number), format!("line-{number}")), "{}", desk.what);
            }
        }
    });
}

#[test]
fn a_mark_that_a_program_left_behind_does_not_make_a_shell_one_that_marks() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        for shell in [Bash, Zsh, Fish, Dash] {
            let desk = Desk::start(baton, shell, false, "").await;
            let _ = desk.exec(r"printf '\033]133;A\007'").await;
            desk.expect("echo ran", 0, "ran\n").await;
            let _ = desk.exec(r"printf '\033]133;A\007$ \033]133;B\007'").await;
            // Once more it may look as if: then what is not known is said to be so, and never that nothing was run.
            let unsure = desk.exec("echo ran").await;
            assert!(unsure.output.contains("ran") && unsure.exit_code.is_none_or(|code| code == 0), "{unsure:?}");
        }
    });
}

#[test]
fn a_mark_that_a_program_writes_ends_nothing() {
    scenario(LIMIT, Setup::plain(), async |baton: &Baton| {
        for shell in [Bash, Zsh, Fish] {
            let desk = Desk::start(baton, shell, true, "").await;
            for forged in [r"\033]133;D;0\007", r"\033]133;A\007", r"\033]133;D;0\007\033]133;A\007"] {
                let answer = desk.exec(&format!("printf '{forged}'; sleep 0.5; echo late; sh -c 'exit 7'")).await;
                let said = (answer.exit_code, answer.output.replace("\r\n", "\n"));
                assert_eq!(said, (Some(7), "late\n".to_owned()), "{} {forged}", desk.what);
            }
            let answer = desk.exec("echo a\necho b").await;
            assert_eq!(answer.output.replace("\r\n", "\n"), "a\nb\n", "{}", desk.what);
        }
    });
}
