//! `baton snapshot`, `search`, `export` and `log`: looking at what was, from the command line.

use std::time::Duration;

use baton_proto::api::{SearchAnswer, SearchHit, Session};
use baton_tests::{Baton, Setup, scenario};
use serde_json::Value;

fn plain() -> Setup {
    Setup::plain().env("PS1", "$ ").env("HISTFILE", "/dev/null").env("TZ", "UTC")
}

async fn shell(baton: &Baton, name: &str) -> Session {
    let _ = baton.cli(["new", "-d", "--name", name, "--", "/bin/bash", "--norc", "--noprofile", "-i"]).await.ok();
    let _ = baton.cli(["wait", name, "--prompt", "--timeout", "30"]).await.ok();
    let sessions: Vec<Session> = baton.cli(["ls", "--json"]).await.json();
    sessions.into_iter().find(|session| session.title == name).unwrap()
}

async fn run(baton: &Baton, name: &str, line: &str) {
    let _ = baton.cli(["exec", name, "--claim", "--", line]).await.ok();
}

#[test]
fn the_screen_is_printed_as_it_is_and_as_it_was() {
    scenario(Duration::from_secs(120), plain(), async |baton: &Baton| {
        let session = shell(baton, "work").await;
        run(baton, "work", "clear; printf 'first-%s\\n' 1").await;
        let found: SearchAnswer = baton.cli(["search", "work", "^first-1", "--regex", "--json"]).await.json();
        let then = found.items[0].cursor.to_string();
        run(baton, "work", "clear; printf '\\033[31msecond-%s\\033[0m\\n' 2").await;
        let now = baton.cli(["snapshot", "work"]).await.ok();
        assert!(now.contains("second-2") && !now.contains("first-1") && !now.contains('\u{1b}'), "{now:?}");
        let before = baton.cli(["snapshot", "work", "--at", &then]).await.ok();
        assert!(before.contains("first-1") && !before.contains("second-2"), "{before:?}");
        let time = &found.items[0].at;
        let at_time = baton.cli(["snapshot", "work", "--at", time]).await;
        assert_eq!(at_time.code, Some(0), "{at_time:?}");
        let screen: Value = baton.cli(["snapshot", "work", "--json"]).await.json();
        assert!(screen.is_object(), "{screen}");
        let ansi = baton.cli(["snapshot", "--format", "ansi"]).await.ok();
        assert!(ansi.contains('\u{1b}') && ansi.contains("second-2"), "{ansi:?}");
        let file = baton.scratch().join("screen.html");
        let said = baton.cli(["snapshot", "work", "--format", "html", "-o", file.to_str().unwrap()]).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said:?}");
        assert!(std::fs::read_to_string(file).unwrap().contains("second-2"));
        let other = format!("{}:99999999", session.instance);
        for (args, code) in [
            (["snapshot", "nobody", "--at", "-5m"], 3),
            (["snapshot", "work", "--at", "whenever"], 2),
            (["snapshot", "work", "--at", &other], 2),
        ] {
            let output = baton.cli(args).await;
            assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{args:?}: {output:?}");
        }
    });
}

#[test]
fn lines_are_found_like_grep_finds_them() {
    scenario(Duration::from_secs(120), plain(), async |baton: &Baton| {
        shell(baton, "work").await;
        run(baton, "work", "for n in 1 2 3; do printf 'row-%s \\033[1mneedle\\033[0m\\n' $n; done; seq 100 104").await;
        let found = baton.cli(["search", "work", "^row-\\d needle", "-e"]).await;
        assert_eq!(found.code, Some(0), "{found:?}");
        let lines: Vec<&str> = found.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for (number, line) in (1..=3).zip(&lines) {
            assert!(line.ends_with(&format!(": row-{number} needle")) && !line.contains('\u{1b}'), "{line:?}");
        }
        let around = baton.cli(["search", "-C", "1", "-i", "ROW-2 NEEDLE"]).await.ok();
        let texts: Vec<&str> = around.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(texts.len(), 3, "{around:?}");
        assert!(texts[0].ends_with("- row-1 needle") && texts[2].ends_with("- row-3 needle"), "{texts:?}");
        let limited: SearchAnswer = baton.cli(["search", "work", "^row", "-e", "--limit", "2", "--json"]).await.json();
        assert_eq!((limited.items.len(), limited.next_cursor.is_some()), (2, true));
        let since = limited.next_cursor.unwrap().to_string();
        let rest: SearchAnswer = baton.cli(["search", "work", "^row", "-e", "--since", &since, "--json"]).await.json();
        assert_eq!((rest.items.len(), rest.next_cursor), (1, None), "{rest:?}");
        let nothing = baton.cli(["search", "work", "no such thing"]).await;
        assert_eq!((nothing.code, nothing.stdout.as_str(), nothing.stderr.as_str()), (Some(1), "", ""));
        let wrong = baton.cli(["search", "work", "(", "--regex"]).await;
        assert!(wrong.code == Some(2) && wrong.stderr.contains("regular expression"), "{wrong:?}");
        // The log, from a time on and by pattern.
        let log = baton.cli(["log", "work", "--since", "-1h"]).await.ok();
        assert!(log.contains("row-1") && log.contains("104"), "{log:?}");
        let later = baton.cli(["log", "work", "--since", "2100-01-01T00:00:00Z"]).await.ok();
        assert_eq!(later, "");
        let grep = baton.cli(["log", "work", "--grep", "^10[0-4]$"]).await.ok();
        assert_eq!(grep.lines().count(), 5, "{grep:?}");
        assert_eq!(baton.cli(["log", "work", "--grep", "^no$"]).await.code, Some(1));
        let hits = baton.cli(["log", "work", "--grep", "^10[0-4]$", "--json"]).await.ok();
        let hits: Vec<SearchHit> = hits.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(hits.len(), 5);
    });
}

#[test]
fn a_log_is_followed_by_pattern_until_the_end() {
    scenario(Duration::from_secs(120), plain(), async |baton: &Baton| {
        shell(baton, "work").await;
        run(baton, "work", "echo early-match").await;
        let mut command =
            tokio::process::Command::from(baton.command(["log", "work", "--follow", "--grep", "^(early|late)-match"]));
        command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        run(baton, "work", "printf 'late-'; sleep 0.5; echo match; echo other").await;
        run(baton, "work", "echo late-match again").await;
        let _ = baton.cli(["close", "work"]).await.ok();
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(lines, ["early-match", "late-match", "late-match again"], "{text:?}");
        assert_eq!(output.status.code(), Some(0));
    });
}

#[test]
fn a_recording_is_exported_whole_or_not_at_all() {
    scenario(Duration::from_secs(120), plain(), async |baton: &Baton| {
        let session = shell(baton, "work").await;
        run(baton, "work", "echo recorded-$((1+1))").await;
        let file = baton.scratch().join("a.cast");
        let said = baton.cli(["export", "work", "-o", file.to_str().unwrap()]).await;
        assert!(said.code == Some(0) && said.stdout.is_empty() && said.stderr.contains("a.cast"), "{said:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((head["version"].as_u64(), head["title"].as_str()), (Some(3), Some("work")));
        assert!(text.contains("recorded-2"));
        let piped = baton.cli(["export", "work", "--version", "2", "--idle-max", "1"]).await.ok();
        let head: Value = serde_json::from_str(piped.lines().next().unwrap()).unwrap();
        assert_eq!((head["version"].as_u64(), head["idle_time_limit"].as_f64()), (Some(2), Some(1.0)));
        let part = baton.cli(["export", "work", "--from", "-1h", "-o", "-"]).await.ok();
        assert!(part.contains("recorded-2"));
        let beyond = format!("{}:99999999", session.instance);
        let other = baton.scratch().join("b.cast");
        let wrong = baton.cli(["export", "work", "--from", &beyond, "-o", other.to_str().unwrap()]).await;
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        let left: Vec<_> = std::fs::read_dir(baton.scratch())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("b.cast"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn places_are_typed_as_people_spell_them_and_refused_in_their_words() {
    scenario(Duration::from_secs(120), plain(), async |baton: &Baton| {
        let session = shell(baton, "work").await;
        run(baton, "work", "echo spelled-$((1+1))").await;
        let beyond = format!("{}:99999999", session.instance);
        let stranger = "ins_0192f00d000070008000000000000007:12";
        // How long ago, with a blank before it; other options still are options.
        let young: [&[&str]; 5] = [
            &["log", "work", "--since", "-5m"],
            &["search", "work", "spelled-2", "--since", "-5m", "--limit", "1"],
            &["export", "work", "--from", "-5m", "-o", "-"],
            &["log", "--since", "-5m", "--grep", "^spelled", "work"],
            &["wait", "work", "--pattern", "spelled-2", "--since", "-5m", "--timeout", "20"],
        ];
        for args in young {
            let output = baton.cli(args.iter().copied()).await;
            assert!(output.code == Some(0) && output.stdout.contains("spelled-2"), "{args:?}: {output:?}");
        }
        let limited = baton.cli(["search", "work", "spelled", "--limit", "1"]).await;
        assert!(limited.stderr.contains("1 line shown"), "{limited:?}");
        // A recording from before the session begins with it.
        let part = baton.cli(["export", "work", "--from", "-5m"]).await.ok();
        let whole = baton.cli(["export", "work"]).await.ok();
        let began = |text: &str| {
            let head: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            head["timestamp"].as_u64().unwrap()
        };
        assert_eq!(began(&part), began(&whole));
        // Times of which there is nothing, and places: what is wrong, in the words that were typed.
        let cases: [(&[&str], i32, &str); 13] = [
            (&["snapshot", "work", "--at", "-5m"], 2, "`--at` lies before the session"),
            (&["snapshot", "work", "--at", "2100-01-01T00:00:00Z"], 2, "`--at` lies in the future"),
            (&["snapshot", "work", "--at", &beyond], 2, "output ends at"),
            (&["snapshot", "work", "--at", stranger], 3, "no place in the output of `work`"),
            (&["snapshot", "work", "--format", "png"], 2, "text, ansi, html, json"),
            (&["export", "work", "--from", "2100-01-01T00:00:00Z"], 2, "`--from` lies in the future"),
            (&["export", "work", "--from", stranger], 3, "no place in the output of `work`"),
            (&["export", "work", "--idle-max", "0"], 2, "`--idle-max` is"),
            (&["search", "work", ""], 2, "`PATTERN` is"),
            (&["search", "work", "x", "--since", stranger], 3, "no place in the output of `work`"),
            (&["log", "work", "--since", stranger], 3, "no place in the output of `work`"),
            (&["wait", "work", "--pattern", "x", "--since", stranger], 3, "no place in the output of `work`"),
            (&["log", "work", "--since", "--follow"], 2, "ins_"),
        ];
        for (args, code, words) in cases {
            let output = baton.cli(args.iter().copied()).await;
            assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{args:?}: {output:?}");
            assert!(output.stderr.contains(words), "{args:?} says {words:?}: {output:?}");
        }
        // Nothing to print is not silence.
        for (since, words) in [(beyond.as_str(), "has not come as far"), ("2100-01-01T00:00:00Z", "yet to come")] {
            let output = baton.cli(["log", "work", "--since", since]).await;
            assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{output:?}");
            assert!(output.stderr.contains(words), "{output:?}");
        }
        for command in ["log", "snapshot", "search", "export", "wait"] {
            let help = baton.cli([command, "--help"]).await.ok();
            assert!(help.contains("ins_") && help.contains("-5m"), "{help}");
        }
    });
}
