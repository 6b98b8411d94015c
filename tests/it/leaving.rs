//! Commands that are stopped or ended by a signal: the terminal is as they found it, and files are whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::api::CreateTerminal;
use baton_tests::process::{LOOK_EVERY, Process};
use baton_tests::stream::MESSAGE_LIMIT;
use baton_tests::terminal::Terminal;
use baton_tests::{Baton, Setup, scenario, session};
use nix::sys::signal::Signal;
use serde_json::Value;

/// What a full-screen program turns on: the other screen, the mouse, no cursor.
const FULL_SCREEN: &str = "stty -echo; printf '\\033[?1049h\\033[?1000h\\033[?25l\\033[2;3Hdra'; printf 'wn'; read end";

async fn told(baton: &Baton, script: &str) {
    baton.create(&CreateTerminal { title: Some("work".to_owned()), ..session::shell_script(script) }).await;
}

/// Waits until something is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
    while !so() {
        assert!(tokio::time::Instant::now() < limit, "waited in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The other screen is left, and afterwards mouse and cursor are as they were.
async fn until_restored(desk: &mut Terminal) {
    desk.until("\u{1b}[?1049l").await;
    desk.until("1000;").await;
    desk.until("\u{1b}[?25h").await;
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
}

#[test]
fn a_stopped_attach_gives_the_terminal_back_until_it_goes_on() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        told(baton, FULL_SCREEN).await;
        let mut desk = Terminal::baton(baton, &["attach", "work"], (80, 24));
        let process = Process::of(desk.pid());
        for _ in 0..2 {
            desk.until("\u{1b}[?1049h").await;
            desk.until("drawn").await;
            assert_ne!(desk.settings(), desk.initial);
            process.signal(Signal::SIGTSTP);
            until_restored(&mut desk).await;
            until("it is stopped", || is_stopped(desk.pid())).await;
            assert_eq!(desk.settings(), desk.initial);
            process.signal(Signal::SIGCONT);
        }
        desk.until("drawn").await;
        assert_ne!(desk.settings(), desk.initial);
        desk.type_text("\u{1c}");
        until_restored(&mut desk).await;
        assert_eq!(desk.exit_code().await, 0);
        assert_eq!(desk.settings(), desk.initial);
    });
}

#[test]
fn a_followed_log_leaves_the_terminal_as_it_was_however_it_is_ended() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        told(baton, FULL_SCREEN).await;
        for (signal, code) in [(None, 130), (Some(Signal::SIGINT), 130), (Some(Signal::SIGTERM), 143)] {
            let mut desk = Terminal::baton(baton, &["log", "-f", "work"], (80, 24));
            desk.until("\u{1b}[?1049h").await;
            desk.until("drawn").await;
            match signal {
                Some(signal) => Process::of(desk.pid()).signal(signal),
                None => desk.type_text("\u{3}"),
            }
            until_restored(&mut desk).await;
            assert_eq!(desk.exit_code().await, code, "{signal:?}");
        }
    });
}

/// What is written of a recording that has not ended yet.
fn begun(directory: &Path) -> String {
    let is_part = |path: &PathBuf| path.extension().is_some_and(|end| end == "part");
    let part = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find(is_part);
    part.and_then(|part| std::fs::read_to_string(part).ok()).unwrap_or_default()
}

#[test]
fn a_followed_recording_that_breaks_off_is_kept_up_to_there() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        told(baton, "stty -echo; printf 'recorded-%s\\n' $((1+1)); read end").await;
        for (breaks, code) in [(true, 6), (false, 0)] {
            let directory = baton.scratch().join(format!("cast-{code}"));
            std::fs::create_dir(&directory).unwrap();
            let file = directory.join("a.cast");
            let mut command = tokio::process::Command::from(baton.command(["export", "-f", "work", "-o"]));
            command.arg(&file).stderr(std::process::Stdio::piped()).kill_on_drop(true);
            let child = command.spawn().unwrap();
            until("it is recorded", || begun(&directory).contains("recorded-2")).await;
            if breaks {
                baton.kill_bridge().await;
            } else {
                Process::of(child.id().unwrap()).signal(Signal::SIGINT);
            }
            let output = tokio::time::timeout(MESSAGE_LIMIT, child.wait_with_output()).await.unwrap().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains("a.cast` up to "), "{said}");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("recorded-2") && text.ends_with('\n'), "{text:?}");
            assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text:?}");
            assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        }
    });
}
