//! The command line as it is typed, and as it looks when it is attached.

use std::time::Duration;

use baton_proto::api::{ClientFrame, ExecAnswer, Link, Session, SessionDetail, SessionStatus, WaitAnswer};
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Setup, scenario, session};
use nix::sys::signal::Signal;
use serde_json::Value;

/// What a session of the command line starts with: a bash that reads no files.
const BASH: [&str; 4] = ["/bin/bash", "--norc", "--noprofile", "-i"];

fn plain() -> Setup {
    Setup::plain().env("PS1", "$ ").env("HISTFILE", "/dev/null")
}

/// `baton new -d` of a bash with this name; its id.
async fn new_detached(baton: &Baton, name: &str) -> String {
    let said = baton.cli(["new", "-d", "--name", name, "--"].into_iter().chain(BASH)).await.ok();
    let id = said.trim().to_owned();
    assert!(id.starts_with("ses_") && id.lines().count() == 1, "`new -d` prints the id and nothing else: {said:?}");
    id
}

/// `baton new` of a bash in a terminal, at its first prompt.
async fn new_attached(baton: &Baton, name: &str) -> Terminal {
    let args: Vec<&str> = ["new", "--name", name, "--"].into_iter().chain(BASH).collect();
    let mut desk = Terminal::baton(baton, &args, (80, 24));
    desk.until("$ ").await;
    desk
}

async fn session_named(baton: &Baton, name: &str) -> Session {
    let sessions: Vec<Session> = baton.cli(["ls", "--json", "--all"]).await.json();
    sessions.into_iter().find(|session| session.title == name).unwrap_or_else(|| panic!("no session `{name}`"))
}

#[test]
fn each_command_does_what_it_says() {
    scenario(Duration::from_secs(90), plain(), async |baton: &Baton| {
        let said = baton.cli(["up"]).await.ok();
        assert!(said.contains(&baton.url), "`up` prints the address: {said}");
        let status: Value = baton.cli(["status", "--json"]).await.json();
        for field in ["url", "socket", "token_file", "home", "versions", "bridge", "sessiond", "launcher", "sessions"] {
            assert!(!status[field].is_null(), "`{field}` in {status}");
        }
        assert!(status["bridge"]["pid"].is_u64() && status["bridge"]["started_at"].is_string(), "{status}");
        assert!(baton.cli(["status"]).await.ok().contains(&baton.url));

        let id = new_detached(baton, "work").await;
        let listed = session_named(baton, "work").await;
        assert_eq!((listed.id.to_string(), listed.status), (id.clone(), SessionStatus::Running));
        assert!(baton.cli(["ls"]).await.ok().contains("work"));
        let _ = baton.cli(["wait", "work", "--prompt", "--timeout", "20"]).await.ok();

        // Typing, waiting, running a line, reading.
        let _ = baton.cli(["send", "work", "--text", "echo sent-$((1+1))", "--enter"]).await.ok();
        let waited: WaitAnswer = baton
            .cli([
                "wait",
                "work",
                "--pattern",
                "sent-2",
                "--since",
                &format!("{}:0", listed.instance),
                "--timeout",
                "20",
                "--json",
            ])
            .await
            .json();
        assert_eq!(waited.matched, "pattern");
        let _ = baton.cli(["wait", "work", "--prompt", "--timeout", "20"]).await.ok();
        let _ = baton
            .cli(["send", "work", "--keys", "e", "c", "h", "o", "Space", "k", "e", "y", "s", "-", "7", "Enter"])
            .await
            .ok();
        let _ = baton.cli_with_input(["send", "work"], "echo piped-$((2+2))\r").await.ok();
        let _ = baton
            .cli([
                "wait",
                "work",
                "--pattern",
                "piped-4",
                "--since",
                &format!("{}:0", listed.instance),
                "--timeout",
                "20",
            ])
            .await
            .ok();
        let _ = baton.cli(["wait", "work", "--prompt", "--timeout", "20"]).await.ok();
        let ran = baton.cli(["exec", "work", "--", "echo", "from", "exec;", "(exit", "3)"]).await;
        assert_eq!((ran.code, ran.stdout.replace("\r\n", "\n").trim_end()), (Some(3), "from exec"), "{ran:?}");
        let ran: ExecAnswer = baton.cli(["exec", "work", "--json", "--", "true"]).await.json();
        assert_eq!(ran.exit_code, Some(0));
        let log = baton.cli(["log", "work"]).await.ok();
        for text in ["sent-2", "keys-7", "piped-4", "from exec"] {
            assert!(log.contains(text), "`{text}` in the log: {log}");
        }
        let whole = baton.output(listed.id).await;
        // The shell may still be writing its prompt: each look has what the one before it had.
        let log = baton.cli(["log", "work"]).await.ok();
        assert!(
            log.as_bytes().starts_with(&whole),
            "{log:?} begins otherwise than {:?}",
            String::from_utf8_lossy(&whole)
        );
        assert!(baton.output(listed.id).await.starts_with(log.as_bytes()));

        // Names, links, the end.
        let _ = baton.cli(["rename", "work", "play"]).await.ok();
        assert_eq!(session_named(baton, "play").await.id, listed.id);
        let link: Link = baton.cli(["open", "play", "--json"]).await.json();
        assert!(link.url.contains("#") && link.url.contains("code="), "{}", link.url);
        assert!(baton.cli(["open", "--print"]).await.ok().starts_with(&baton.url));
        let short = &id[id.len() - 8..];
        assert_eq!(baton.cli(["log", short]).await.code, Some(0), "an id may be shortened");
        let _ = baton.cli(["close", "play", "--reason", "enough"]).await.ok();
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{id}"), ended).await;
        assert_eq!(detail.session.exit.unwrap().reason, "enough");
        let living: Vec<Session> = baton.cli(["ls", "--json"]).await.json();
        assert!(living.is_empty());

        for shell in ["bash", "zsh", "fish"] {
            let script = baton.cli(["completions", shell]).await.ok();
            assert!(script.contains("attach") && script.contains("transfer") && script.contains("revoke"), "{shell}");
        }
    });
}

#[test]
fn exit_codes_say_what_went_wrong() {
    scenario(Duration::from_secs(90), plain(), async |baton: &Baton| {
        let id = new_detached(baton, "held").await;
        let session = id.parse().unwrap();
        let mut holder = baton.attach(session, Attach::named("Holly")).await;
        holder.claim(true).await.unwrap();
        let cases: [(&[&str], i32, &str); 11] = [
            (&["attach"], 2, "terminal"),
            (&["wait", "held"], 2, ""),
            (&["exec", "held"], 2, ""),
            (&["no-such-command"], 2, ""),
            (&["close", "nobody"], 3, "nobody"),
            (&["log", "nobody"], 3, "nobody"),
            (&["claim", "held"], 4, "Holly"),
            (&["send", "held", "--text", "x"], 4, "claim"),
            (&["exec", "held", "--", "true"], 4, "claim"),
            (&["release", "held"], 3, "claim"),
            (&["wait", "held", "--pattern", "never-ever", "--timeout", "0.3"], 124, ""),
        ];
        for (args, code, word) in cases {
            let output = baton.cli(args).await;
            assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
            assert!(output.stdout.is_empty(), "what went wrong is not output: {output:?}");
            assert!(output.stderr.contains(word), "`{word}` in {output:?}");
        }
        // Control comes and goes on the command line too.
        let _ = baton.cli(["claim", "held", "--force"]).await.ok();
        holder.until_lease().await;
        let _ = baton.cli(["transfer", "held", "Holly"]).await.ok();
        let back = holder.until_lease().await;
        assert_eq!(back.owner.as_ref(), Some(&holder.id));
        holder.send(baton_proto::api::ClientFrame::Release).await;
        holder.until_epoch(back.epoch.next()).await;
        let _ = baton.cli(["wait", "held", "--prompt", "--timeout", "20"]).await.ok();
        let ran = baton.cli(["exec", "held", "--claim", "--", "exit 5"]).await;
        assert_ne!(ran.code, Some(0), "the shell ended: {ran:?}");
        // A token that is not ours, a bridge that does not answer.
        let token = std::fs::read(baton.home.token_file()).unwrap();
        std::fs::write(baton.home.token_file(), "wrong").unwrap();
        assert_eq!(baton.cli(["ls"]).await.code, Some(5));
        std::fs::write(baton.home.token_file(), token).unwrap();
        let bridge = baton.bridge().await;
        bridge.signal(Signal::SIGSTOP);
        let output = baton.cli(["status"]).await;
        bridge.signal(Signal::SIGCONT);
        assert_eq!(output.code, Some(6), "{output:?}");
    });
}

#[test]
fn attached_it_passes_keys_and_size_and_leaves_the_terminal_as_it_was() {
    scenario(Duration::from_secs(60), plain(), async |baton: &Baton| {
        let mut desk = new_attached(baton, "desk").await;
        assert_ne!(desk.settings(), desk.initial, "keys go through as they are");
        desk.type_text("stty size\r");
        desk.until("24 80").await;
        desk.resize(101, 33);
        let path = format!("/v1/sessions/{}", session_named(baton, "desk").await.id);
        let resized = |detail: &SessionDetail| (detail.session.size.cols, detail.session.size.rows) == (101, 33);
        let _: SessionDetail = baton.api().get_until(&path, resized).await;
        desk.type_text("stty size\r");
        desk.until("33 101").await;
        // Ctrl-C reaches the program and ends neither shell nor attachment.
        desk.type_text("sleep 1000\r");
        let sleeping =
            |detail: &SessionDetail| detail.foreground.as_ref().is_some_and(|what| what.command.contains("sleep"));
        let _: SessionDetail = baton.api().get_until(&path, sleeping).await;
        desk.type_text("\u{3}");
        desk.until("^C").await;
        desk.type_text("echo on-$((1+1))\r");
        desk.until("on-2").await;
        // The detach key: the shell stays, the terminal is as it was.
        desk.type_text("\u{1c}");
        assert_eq!(desk.exit_code().await, 0);
        assert_eq!(desk.settings(), desk.initial);
        let detail: SessionDetail =
            baton.api().get_until(&path, |detail: &SessionDetail| detail.clients.is_empty()).await;
        assert_eq!(detail.session.status, SessionStatus::Running);
        assert_eq!(detail.session.lease, None, "detaching releases");
        // Back again, what was on the screen is there; the program's exit code is passed on.
        let mut desk = Terminal::baton(baton, &["attach", "desk"], (90, 30));
        desk.until("on-2").await;
        let _: SessionDetail =
            baton.api().get_until(&path, |detail: &SessionDetail| detail.session.lease.is_some()).await;
        desk.type_text("exit 42\r");
        assert_eq!(desk.exit_code().await, 42);
        assert_eq!(desk.settings(), desk.initial);
        // A program that is killed while the terminal is raw and on the alternate screen.
        let mut desk = new_attached(baton, "less").await;
        desk.type_text("printf '\\033[?1049h\\033[?25l\\033[?2004h\\033[?1000h'; echo hidden-$((3+3)); kill -9 $$\r");
        desk.until("hidden-6").await;
        assert_eq!(desk.exit_code().await, 137);
        assert_eq!(desk.settings(), desk.initial);
        let text = desk.text();
        let after = &text[text.rfind("hidden-6").unwrap()..];
        for reset in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l", "1000;"] {
            assert!(after.contains(reset), "{reset:?} in {after:?}");
        }
    });
}

#[test]
fn a_killed_command_line_leaves_the_session_and_a_second_attach_works() {
    scenario(Duration::from_secs(40), plain(), async |baton: &Baton| {
        let desk = new_attached(baton, "desk").await;
        let before = session_named(baton, "desk").await;
        baton_tests::process::Process::of(desk.pid()).kill().await;
        drop(desk);
        let path = format!("/v1/sessions/{}", before.id);
        let _: SessionDetail = baton.api().get_until(&path, |detail: &SessionDetail| detail.clients.is_empty()).await;
        let mut desk = Terminal::baton(baton, &["attach", "--take", "desk"], (80, 24));
        desk.until("$ ").await;
        let mine = |detail: &SessionDetail| {
            detail
                .session
                .lease
                .as_ref()
                .is_some_and(|lease| before.lease.as_ref().is_none_or(|old| old.owner != lease.owner))
        };
        let detail: SessionDetail = baton.api().get_until(&path, mine).await;
        assert_eq!(detail.session.pid, before.pid);
        // A SIGTERM: it goes, and puts the terminal back.
        baton_tests::process::Process::of(desk.pid()).signal(Signal::SIGTERM);
        let limit = tokio::time::Instant::now() + Duration::from_secs(10);
        while desk.settings() != desk.initial {
            assert!(tokio::time::Instant::now() < limit, "the terminal is not put back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(baton.session(before.id).await.session.status, SessionStatus::Running);
    });
}

#[test]
fn an_observer_who_types_is_told_how_to_take_control() {
    scenario(Duration::from_secs(60), plain(), async |baton: &Baton| {
        let mut owner = new_attached(baton, "desk").await;
        let mut watcher = Terminal::baton(baton, &["attach", "desk"], (80, 24));
        watcher.until("$ ").await;
        owner.type_text("echo seen-$((1+1))\r");
        watcher.until("seen-2").await;
        watcher.type_text("x");
        let said = watcher.until("control").await;
        println!("told: {said:?}");
        owner.type_text("echo mine-$((2+2))\r");
        owner.until("mine-4").await;
        watcher.until("mine-4").await;
        let session = session_named(baton, "desk").await;
        let output = String::from_utf8(baton.output(session.id).await).unwrap();
        assert!(!output.contains('x'), "the observer's key was not typed: {output:?}");
        // Read-only stays so, even when nobody has control.
        let mut reader = Terminal::baton(baton, &["attach", "-r", "desk"], (80, 24));
        reader.until("mine-4").await;
        owner.type_text("\u{1c}");
        owner.exit_code().await;
        let path = format!("/v1/sessions/{}", session.id);
        let free = |detail: &SessionDetail| detail.session.lease.is_none();
        let _: SessionDetail = baton.api().get_until(&path, free).await;
        reader.type_text("y");
        reader.until("read-only").await;
        assert!(baton.session(session.id).await.session.lease.is_none(), "`-r` claims nothing");
        // The other one may: the lease is free, and the key that claims it is typed.
        watcher.type_text("echo taken-$((3+3))\r");
        watcher.until("taken-6").await;
        reader.until("taken-6").await;
        for desk in [&mut watcher, &mut reader] {
            desk.type_text("\u{1c}");
            assert_eq!(desk.exit_code().await, 0);
            assert_eq!(desk.settings(), desk.initial);
        }
    });
}

#[test]
fn a_killed_bridge_is_not_seen_on_the_screen() {
    scenario(Duration::from_secs(90), plain(), async |baton: &Baton| {
        let mut desk = new_attached(baton, "desk").await;
        let session = session_named(baton, "desk").await;
        desk.type_text("stty -echo; PS1=; echo begin-$((1+1))\r");
        desk.until("begin-2").await;
        for round in 0..4 {
            desk.type_text(&format!(
                "for i in $(seq 1 300); do echo r{round}-$i; sleep 0.002; done; echo done-{round}-$((5+5))\r"
            ));
            desk.until(&format!("r{round}-20\r")).await;
            if round % 2 == 0 {
                baton.kill_bridge().await;
            } else {
                baton.kill_sessiond().await;
            }
            // What is typed while it comes back is not lost either.
            let between = desk.until(&format!("done-{round}-10")).await;
            let numbers: Vec<u32> = between
                .lines()
                .filter_map(|line| line.trim_end().strip_prefix(&format!("r{round}-"))?.parse().ok())
                .collect();
            assert_eq!(numbers, (21..=300).collect::<Vec<_>>(), "each line once, in order: {between:?}");
        }
        desk.type_text("exit 3\r");
        assert_eq!(desk.exit_code().await, 3);
        assert_eq!(desk.settings(), desk.initial);
        let ended = |detail: &SessionDetail| !detail.session.status.is_living();
        let detail: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{}", session.id), ended).await;
        assert_eq!(detail.session.pid.or(session.pid), session.pid);
    });
}

#[test]
fn keys_typed_while_the_bridge_is_away_are_typed_once() {
    scenario(Duration::from_secs(60), plain(), async |baton: &Baton| {
        let mut desk = new_attached(baton, "desk").await;
        let session = session_named(baton, "desk").await;
        let bridge = baton.bridge().await;
        bridge.signal(Signal::SIGSTOP);
        desk.type_text("echo once-$((20+2))\r");
        bridge.kill().await;
        desk.until("once-22").await;
        desk.type_text("echo twice-$((30+3))\r");
        desk.until("twice-33").await;
        let output = String::from_utf8(baton.output(session.id).await).unwrap();
        assert_eq!(output.matches("once-22").count(), 1, "{output:?}");
        desk.type_text("\u{1c}");
        assert_eq!(desk.exit_code().await, 0);
    });
}

#[test]
fn a_line_that_another_owner_cut_off_costs_no_later_line() {
    scenario(Duration::from_secs(60), plain(), async |baton: &Baton| {
        let gate = baton.scratch().join("gate");
        let script =
            format!("stty raw -echo; echo ready; until [ -e {} ]; do sleep 0.02; done; exec cat", gate.display());
        let session = baton.script(&script).await;
        let mut desk = Terminal::baton(baton, &["attach", &session.to_string()], (80, 24));
        desk.until("ready").await;
        // Nobody reads it: the terminal takes the beginning, in the middle of a frame.
        desk.type_text(&"x".repeat(777));
        let path = format!("/v1/sessions/{session}");
        let owned = |detail: &SessionDetail| detail.session.lease.is_some();
        let _: SessionDetail = baton.api().get_until(&path, owned).await;
        desk.type_text(&"x".repeat(64 * 1024));
        // The journal notes each frame that is typed. Should it be looked at too early, the test shows less.
        let journal = baton.home.state.join("sessions").join(session.to_string());
        let noted = || {
            let instances = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
            let files = instances.filter_map(|instance| std::fs::read(instance.join("00000001.seg")).ok());
            files.map(|bytes| bytes.iter().rposition(|byte| *byte != 0)).collect::<Vec<_>>()
        };
        let mut before = Vec::new();
        while before.len() < 4 || before[before.len() - 4..].iter().any(|it| *it != noted()) {
            before.push(noted());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut taker = baton.attach(session, Attach::named("taker")).await;
        taker.claim(true).await.unwrap();
        desk.until("has control").await;
        taker.send(ClientFrame::Release).await;
        desk.until("control is free").await;
        desk.type_text("later");
        std::fs::write(&gate, "").unwrap();
        desk.until("later").await;
    });
}

#[test]
fn it_starts_what_is_not_running() {
    scenario(Duration::from_secs(60), plain(), async |baton: &Baton| {
        let _ = baton.cli(["down"]).await.ok();
        let said = baton.cli(["status"]).await;
        assert_eq!(said.code, Some(0), "asking starts nothing: {said:?}");
        assert!(said.stdout.contains("not running"));
        let sessions: Vec<Session> = baton.cli(["ls", "--json"]).await.json();
        assert!(sessions.is_empty());
        let status: Value = baton.cli(["status", "--json"]).await.json();
        assert!(status["bridge"]["pid"].is_u64(), "{status}");
        let _ = session::client_id();
    });
}
