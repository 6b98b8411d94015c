//! A terminal and a session of different sizes: whatever the terminal makes of a change of size, it shows what the session shows;
//! and who does not decide the size sees the session as it is, as much of it as there is room for.
//!
//! What is shown is asked of foreign terminals: `@xterm/headless`, and a real tmux, which the command line runs in.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use baton_proto::api::{ClientFrame, CreateTerminal, SessionDetail, Size, SizeMode};
use baton_proto::ids::SessionId;
use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use baton_screen::view::Screenful;
use baton_tests::oracle::{Oracle, Shown};
use baton_tests::stream::MESSAGE_LIMIT;
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Setup, binaries, scenario, session};

/// What full-screen programs do: margins that leave a status line of a screen of 24 rows.
const MARGINS: &str = "printf '\\033[1;23r'; i=1; while [ $i -le 23 ]; do printf 'line %d\\r\\n' $i; i=$((i+1)); done";

/// Scrolls by more than a margin that was left would let it, writes at the edges, and sets margins of its own.
const SCROLLS: &str = "i=1; while [ $i -le 40 ]; do printf 'more %d\\r\\n' $i; i=$((i+1)); done; \
     printf '\\033[2;1Htop \\033[99;1H\\033[1;35mbottom \\033[99;99Hx\\033[3;15r\\033[5;7Hhere'";

/// Does what it is told by lines; says nothing at its end.
async fn told(baton: &Baton, name: &str, script: &str) -> SessionId {
    let script = format!("stty -echo; {script}; read end");
    baton.create(&CreateTerminal { title: Some(name.to_owned()), ..session::shell_script(&script) }).await
}

/// What the session shows, by its worker.
async fn shows(baton: &Baton, session: SessionId) -> Screenful {
    let path = format!("/v1/terminal/sessions/{session}/snapshot?format=ansi");
    let answer = baton.api().call::<()>(http::Method::GET, &path, None).await;
    assert_eq!(answer.status, 200, "{answer}");
    let side = |name: &str| answer.header(name).unwrap().parse().unwrap();
    let size = Dimensions { cols: side("baton-cols"), rows: side("baton-rows") };
    Screen::restore(size, 0, 0, &answer.body).view(0)
}

fn rows(screen: &Screenful) -> Vec<String> {
    let text = |line: &baton_screen::view::Line| {
        let cell = |cell: &baton_screen::view::Cell| {
            if cell.width > 0 && cell.text.is_empty() { " ".to_owned() } else { cell.text.clone() }
        };
        line.cells.iter().map(cell).collect::<String>().trim_end().to_owned()
    };
    screen.lines.iter().map(text).collect()
}

async fn sized(baton: &Baton, session: SessionId, size: (u16, u16)) {
    let is = |detail: &SessionDetail| (detail.session.size.cols, detail.session.size.rows) == size;
    let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), is).await;
}

/// Waits until a terminal of this size that shows what was written shows what `expected` says.
async fn until_shown(
    oracle: &mut Oracle,
    desk: &Terminal,
    size: (u16, u16),
    what: &str,
    expected: impl Fn(&Shown) -> bool,
) -> Shown {
    let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
    loop {
        let mut shown = oracle.text(size.0, size.1, desk.text().as_bytes());
        // A blank that was written looks like one that was not.
        shown.rows.iter_mut().for_each(|row| row.truncate(row.trim_end().len()));
        if expected(&shown) {
            return shown;
        }
        assert!(tokio::time::Instant::now() < limit, "waited for {what}, and it shows {:#?}", shown.rows);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The terminal shows exactly what the session does, remarks aside, which are gone after a while.
async fn until_the_same(oracle: &mut Oracle, baton: &Baton, session: SessionId, desk: &Terminal, size: (u16, u16)) {
    let screen = shows(baton, session).await;
    assert_eq!((screen.cols, screen.rows), size);
    let expected = rows(&screen);
    let cursor = (usize::from(screen.cursor.row), usize::from(screen.cursor.col));
    until_shown(oracle, desk, size, &format!("{expected:#?} with the cursor at {cursor:?}"), |shown| {
        shown.rows == expected && shown.cursor == cursor
    })
    .await;
}

/// A tmux of its own, with a pane of this size that runs something.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn start(baton: &Baton, size: (u16, u16), args: &[&str]) -> Self {
        let tmux = Self { socket: baton.scratch().join("tmux.sock") };
        let config = baton.scratch().join("tmux.conf");
        std::fs::write(&config, "set -g status off\nset -g remain-on-exit on\nset -g default-shell /bin/sh\n").unwrap();
        let line = std::iter::once(binaries::path("baton").to_str().unwrap())
            .chain(args.iter().copied())
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" ");
        let (cols, rows) = (size.0.to_string(), size.1.to_string());
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&tmux.socket).arg("-f").arg(&config);
        command.args(["new-session", "-d", "-x", &cols, "-y", &rows, &line]);
        command.env_clear().envs(baton.env()).env("LC_ALL", "C.UTF-8").current_dir(baton.scratch());
        let output = command.output().expect("these tests need `tmux`");
        assert!(output.status.success(), "{output:?}");
        tmux
    }

    fn say(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(&self.socket).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Rows, and where the cursor is.
    fn shows(&self) -> (Vec<String>, (usize, usize)) {
        let text = self.say(&["capture-pane", "-p"]);
        let at = self.say(&["display-message", "-p", "#{cursor_y} #{cursor_x}"]);
        let (y, x) = at.trim().split_once(' ').unwrap();
        (text.lines().map(|line| line.trim_end().to_owned()).collect(), (y.parse().unwrap(), x.parse().unwrap()))
    }

    async fn until_the_same(&self, baton: &Baton, session: SessionId) {
        let screen = shows(baton, session).await;
        let (expected, cursor) = (rows(&screen), (usize::from(screen.cursor.row), usize::from(screen.cursor.col)));
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            let shown = self.shows();
            if shown == (expected.clone(), cursor) {
                return;
            }
            assert!(tokio::time::Instant::now() < limit, "tmux shows {shown:#?} instead of {expected:#?} {cursor:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // A server that is gone needs no end.
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

#[test]
fn after_attaching_from_a_larger_terminal_no_old_margin_is_left() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut oracle = Oracle::start();
        let session = told(baton, "edit", &format!("{MARGINS}; read x; {SCROLLS}; read x; {SCROLLS}; read x")).await;
        let mut desk = Terminal::baton(baton, &["attach", "edit"], (100, 30));
        sized(baton, session, (100, 30)).await;
        until_shown(&mut oracle, &desk, (100, 30), "the screen", |shown| shown.rows[21] == "line 23").await;
        desk.type_text("\r");
        desk.until("here").await;
        until_the_same(&mut oracle, baton, session, &desk, (100, 30)).await;
        // And when the window changes under it.
        desk.resize(71, 19);
        sized(baton, session, (71, 19)).await;
        desk.type_text("\r");
        desk.until("here").await;
        until_the_same(&mut oracle, baton, session, &desk, (71, 19)).await;
        desk.type_text("\u{1c}");
        assert_eq!(desk.exit_code().await, 0);
        assert_eq!(desk.settings(), desk.initial);
    });
}

#[test]
fn in_a_tmux_pane_it_shows_what_the_session_shows() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let phases = [
            SCROLLS.to_owned(),
            format!("printf '%0150d\\r\\n' 7; {SCROLLS}"),
            "printf '\\033[?1049h\\033[2;10r\\033[10;1Hin\\n\\n'".to_owned(),
            SCROLLS.to_owned(),
            format!("printf '\\033[?1049l'; {SCROLLS}"),
        ];
        let script: String =
            phases.iter().enumerate().map(|(at, phase)| format!("; read x; {phase}; printf 'end%d' {at}")).collect();
        let session = told(baton, "edit", &format!("{MARGINS}{script}")).await;
        let tmux = Tmux::start(baton, (100, 30), &["attach", "edit"]);
        sized(baton, session, (100, 30)).await;
        tmux.until_the_same(baton, session).await;
        let mut client = baton.attach(session, Attach::named("Wanda")).await;
        for (at, size) in [(100, 30), (90, 20), (90, 20), (110, 35), (60, 24)].into_iter().enumerate() {
            tmux.say(&["resize-window", "-x", &size.0.to_string(), "-y", &size.1.to_string()]);
            sized(baton, session, size).await;
            tmux.say(&["send-keys", "Enter"]);
            client.until_output(&format!("end{at}")).await;
            tmux.until_the_same(baton, session).await;
        }
    });
}

#[test]
fn who_watches_from_another_size_sees_the_session_as_it_is() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let mut oracle = Oracle::start();
        let draw = "printf '\\033[2J\\033[H%0100d\\r\\n\\033[24;1Hlast row\\033[24;80HZ\\033[10;3Hdrawn %s' 7 $x";
        let session = told(baton, "work", &format!("x=0; {draw}; while read x; do {draw}; done")).await;
        let mut owner = baton.attach(session, Attach::named("Olga").viewport(80, 24)).await;
        owner.claim(false).await.unwrap();
        owner.until_output("drawn 0").await;

        // Room for more: in the corner, with its edges, and a line that says so.
        let large = Terminal::baton(baton, &["attach", "-r", "work"], (100, 30));
        let edges = |screen: &Screenful, shown: &Shown| {
            rows(screen).iter().zip(&shown.rows).all(|(ours, theirs)| {
                theirs.strip_suffix('│').is_some_and(|inside| inside.chars().count() == 80 && inside.trim_end() == ours)
            }) && shown.rows[24] == format!("{}┘", "─".repeat(80))
        };
        for round in 0..3 {
            let screen = shows(baton, session).await;
            let shown =
                until_shown(&mut oracle, &large, (100, 30), "the screen in its edges", |shown| edges(&screen, shown))
                    .await;
            assert_eq!(shown.cursor, (9, 9));
            if round < 2 {
                owner.type_text(&format!("{}\r", round + 1)).await;
                owner.until_output(&format!("drawn {}", round + 1)).await;
            }
        }
        until_shown(&mut oracle, &large, (100, 30), "what the sizes are", |shown| {
            shown.rows[29].contains("80×24, smaller than this terminal")
        })
        .await;

        // Less room: the part the cursor is in, and what to do.
        let mut small = Terminal::baton(baton, &["attach", "-r", "work"], (40, 10));
        small.until("larger than this terminal").await;
        let corner = |screen: &Screenful, top: usize| -> Vec<String> {
            let cut = |row: &String| row.chars().take(40).collect::<String>().trim_end().to_owned();
            rows(screen)[top..top + 10].iter().map(cut).collect()
        };
        let screen = shows(baton, session).await;
        // The remark goes after a while.
        until_shown(&mut oracle, &small, (40, 10), "the first rows", |shown| shown.rows == corner(&screen, 0)).await;

        // The owner's size becomes the small one: now it is the terminal.
        owner.send(ClientFrame::Resize { cols: 40, rows: 10 }).await;
        sized(baton, session, (40, 10)).await;
        owner.type_text("3\r").await;
        owner.until_output("drawn 3").await;
        until_the_same(&mut oracle, baton, session, &small, (40, 10)).await;
        // And other than it again.
        owner.send(ClientFrame::Resize { cols: 80, rows: 24 }).await;
        owner.type_text("4\r").await;
        owner.until_output("drawn 4").await;
        let screen = shows(baton, session).await;
        until_shown(&mut oracle, &large, (100, 30), "the old size again", |shown| edges(&screen, shown)).await;
        until_shown(&mut oracle, &small, (40, 10), "the first rows again", |shown| shown.rows == corner(&screen, 0))
            .await;
        for mut desk in [large, small] {
            desk.type_text("\u{1c}");
            assert_eq!(desk.exit_code().await, 0);
            assert_eq!(desk.settings(), desk.initial);
            until_shown(&mut oracle, &desk, (100, 30), "the terminal's own screen", |shown| {
                shown.modes["screen"] == "primary"
            })
            .await;
        }
    });
}

#[test]
fn a_session_of_fixed_size_is_used_from_any_terminal() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut oracle = Oracle::start();
        let fixed = Size { policy: SizeMode::Fixed, cols: 60, rows: 20, max_cols: None, max_rows: None };
        let request = CreateTerminal {
            title: Some("fixed".to_owned()),
            cols: Some(60),
            rows: Some(20),
            size: Some(fixed),
            ..session::bash()
        };
        let session = baton.create(&request).await;
        for size in [(100, 30), (30, 8)] {
            let mut desk = Terminal::baton(baton, &["attach", "fixed"], size);
            until_shown(&mut oracle, &desk, size, "the prompt", |shown| {
                shown.rows.iter().any(|row| row.starts_with('$'))
            })
            .await;
            let owned = |detail: &SessionDetail| detail.session.lease.is_some();
            let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), owned).await;
            desk.type_text("clear; stty size; printf '%070d\\n' 5; echo typed-$((1+1))\r");
            // The session's lines are cut at its margin, not at this terminal's.
            let edge = if size.0 > 60 { "│" } else { "" };
            let width = usize::from(size.0.min(60));
            until_shown(&mut oracle, &desk, size, "what was typed", |shown| {
                let inside = |row: usize| shown.rows[row].strip_suffix(edge).unwrap_or_default().trim_end();
                inside(0) == "20 60"
                    && inside(1) == "0".repeat(width)
                    && inside(2) == "0000000005"
                    && inside(3) == "typed-2"
                    && inside(4) == "$"
            })
            .await;
            desk.type_text("\u{1c}");
            assert_eq!(desk.exit_code().await, 0);
            assert_eq!(desk.settings(), desk.initial);
        }
        // The end of it leaves its last lines, and its exit code.
        let mut desk = Terminal::baton(baton, &["attach", "fixed"], (100, 30));
        until_shown(&mut oracle, &desk, (100, 30), "the prompt", |shown| shown.rows[4].starts_with('$')).await;
        desk.type_text("echo bye-$((3+3)); exit 7\r");
        assert_eq!(desk.exit_code().await, 7);
        // Read by a thread of its own, the last of it may come after the exit code.
        until_shown(&mut oracle, &desk, (100, 30), "the last lines", |shown| {
            shown.rows.iter().any(|row| row == "bye-6") && shown.modes["screen"] == "primary"
        })
        .await;
    });
}
