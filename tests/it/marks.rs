//! What a program tells beside its output: modes, marks of a shell with integration, bells and titles.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_proto::api::{
    ClientFrame, CreateTerminal, Event, ExecAnswer, Mark, Page, ServerFrame, SessionDetail, TermFacts, WaitAnswer,
};
use baton_proto::ids::SessionId;
use baton_tests::{Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use serde_json::json;

/// A bash that marks its prompts and commands.
async fn marking_shell(baton: &Baton) -> SessionId {
    let mut request = session::bash();
    let env = [
        ("PS1", "\\[\\e]133;A\\e\\\\\\]$ \\[\\e]133;B\\e\\\\\\]"),
        ("PS0", "\\e]133;C\\e\\\\"),
        ("PROMPT_COMMAND", "printf '\\033]133;D;%s\\033\\\\' \"$?\""),
    ];
    request.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    baton.create(&request).await
}

async fn owner(baton: &Baton, session: SessionId) -> StreamClient {
    let mut owner = baton.attach(session, Attach::named("owner")).await;
    owner.claim(false).await.unwrap();
    owner
}

async fn marks(baton: &Baton, session: SessionId) -> Vec<Mark> {
    let page: Page<Event> = baton.api().get(&format!("/v1/sessions/{session}/events?type=mark&limit=1000")).await;
    page.items.into_iter().map(|event| serde_json::from_value(event.data).expect("a mark")).collect()
}

async fn wait(baton: &Baton, session: SessionId, until: serde_json::Value) -> WaitAnswer {
    let body = json!({"until": until, "timeout_s": 20});
    baton.api().post(&format!("/v1/terminal/sessions/{session}/wait"), &body).await
}

async fn exec(baton: &Baton, session: SessionId, client: &StreamClient, command: &str) -> ExecAnswer {
    let body = json!({"client_id": client.id, "command": command, "timeout_s": 20});
    baton.api().post(&format!("/v1/terminal/sessions/{session}/exec"), &body).await
}

#[test]
fn modes_are_told_as_they_change_and_keys_follow_them() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let on = "\\033[?1049h\\033[?1h\\033[?2004h\\033[?1002h\\033]0;my title\\007\\033]7;file:///tmp\\007";
        let script = format!(
            "stty raw -echo; printf 'ready'; head -c 1 >/dev/null; printf '{on}on'; head -c 3 | od -An -c; sleep 1000"
        );
        let session = baton.script(&script).await;
        let mut owner = owner(baton, session).await;
        owner.until_output("ready").await;
        owner.type_text("x").await;
        let mode = |incoming: &Incoming| match incoming {
            Incoming::Frame(ServerFrame::Mode {
                alt_screen: true,
                mouse_mode,
                bracketed_paste,
                title: Some(title),
            }) => Some((mouse_mode.clone(), *bracketed_paste, title.clone())),
            _ => None,
        };
        let told = owner.until("the modes", mode).await;
        assert_eq!(told, (Some("drags".to_owned()), true, "my title".to_owned()));
        let detail = baton.session(session).await;
        assert!(detail.modes.alt_screen && detail.modes.application_cursor && detail.modes.bracketed_paste);
        assert_eq!(detail.session.terminal_title.as_deref(), Some("my title"));
        assert_eq!(detail.session.oldest_screen_cursor, detail.session.oldest_cursor);
        // Whoever attaches is told at once.
        let text = serde_json::to_value(&detail.modes).unwrap();
        assert_eq!(text["mouse_mode"], "drags");
        let keys = json!({"client_id": owner.id, "keys": ["ArrowUp"]});
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/input"), &keys).await;
        owner.until_output("033   O   A").await;
    });
}

#[test]
fn marks_are_events_and_can_be_waited_for() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = marking_shell(baton).await;
        let mut owner = owner(baton, session).await;
        assert_eq!(wait(baton, session, json!({"mark": "prompt"})).await.matched, "mark");
        let ended = async { wait(baton, session, json!({"mark": "command_end"})).await };
        let typed = async {
            // Only marks made from now on count, and the wait has begun before this is typed or has seen it all.
            tokio::time::sleep(Duration::from_millis(300)).await;
            owner.type_text("printf 'a\\aB\\033]9;look\\033\\\\'; sleep 0.3; (exit 3)\r").await;
        };
        let (ended, ()) = tokio::join!(ended, typed);
        assert_eq!((ended.matched.as_str(), ended.text.as_deref()), ("mark", Some("3")));
        let made = loop {
            let made = marks(baton, session).await;
            if made.last().is_some_and(|mark| mark.kind == "prompt") && made.iter().any(|mark| mark.kind == "command") {
                break made;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let of = |kind: &str| made.iter().filter(|mark| mark.kind == kind).collect::<Vec<_>>();
        let (end, command) = (of("command_end"), of("command"));
        let end = end.iter().find(|mark| mark.exit_code == Some(3)).expect("the command's end");
        assert!((250..5000).contains(&end.duration_ms.expect("its beginning is known")), "{end:?}");
        assert_eq!((of("bell").len(), of("notification").len()), (1, 1), "{made:?}");
        assert_eq!(of("notification")[0].text.as_deref(), Some("look"));
        assert!(
            command[0].cursor.offset < of("bell")[0].cursor.offset && of("bell")[0].cursor.offset < end.cursor.offset
        );
        // The bell's place is right behind it.
        let output = baton.output(session).await;
        let bell = usize::try_from(of("bell")[0].cursor.offset).unwrap();
        assert_eq!(output[bell - 1], 7);
        baton
            .api()
            .refused(
                http::Method::POST,
                &format!("/v1/terminal/sessions/{session}/wait"),
                &json!({"until": {"mark": "lunch"}}),
                baton_proto::ErrorCode::Invalid,
            )
            .await;
    });
}

#[test]
fn exec_uses_the_marks_of_a_shell_that_makes_them() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let session = marking_shell(baton).await;
        let mut owner = owner(baton, session).await;
        let prompted = |detail: &SessionDetail| detail.modes.at_prompt;
        let _: SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), prompted).await;
        // The first prompt may be there before the bridge has heard of the session.
        owner.type_text("\r").await;
        while !marks(baton, session).await.iter().any(|mark| mark.kind == "prompt") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let said = exec(baton, session, &owner, "echo one; echo two; (exit 5)").await;
        assert_eq!((said.exit_code, said.output.as_str(), said.truncated), (Some(5), "one\r\ntwo\r\n", false));
        // The line that was typed is the line that was asked for.
        let output = String::from_utf8_lossy(&baton.output(session).await).into_owned();
        assert!(output.contains("echo one; echo two") && !output.contains("7717"), "{output:?}");
        let bytes = &output.as_bytes()[usize::try_from(said.cursor_start.offset).unwrap()..];
        assert!(bytes.starts_with(b"one\r\n"));
        assert_eq!(said.cursor_end.offset - said.cursor_start.offset, said.output.len() as u64);
        // Much output: the newest of it.
        let much = exec(baton, session, &owner, "seq 1 300000").await;
        assert!(
            much.truncated && much.output.len() <= 1 << 20 && much.output.ends_with("\r\n300000\r\n"),
            "{:?}",
            much.exit_code
        );
        assert_eq!(much.exit_code, Some(0));
        // A line that is no whole command is given up, and the prompt is back.
        let path = format!("/v1/terminal/sessions/{session}/exec");
        let body = json!({"client_id": owner.id, "command": "echo 'open", "timeout_s": 20});
        baton.api().refused(http::Method::POST, &path, &body, baton_proto::ErrorCode::Invalid).await;
        let said = exec(baton, session, &owner, "echo )").await;
        assert!(said.output.contains("syntax error") && said.exit_code == Some(2), "{said:?}");
        // Within a shell that makes none the line marks itself.
        let from = baton.session(session).await.session.cursor;
        let body = json!({"client_id": owner.id, "text": "exec env -i PS1='% ' /bin/bash --norc --noprofile -i\r"});
        baton.api().post_done(&format!("/v1/terminal/sessions/{session}/input"), &body).await;
        assert_eq!(wait(baton, session, json!({"pattern": "^% $", "cursor": from})).await.matched, "pattern");
        let said = exec(baton, session, &owner, "echo three; false").await;
        assert_eq!((said.exit_code, said.output.as_str()), (Some(1), "three\r\n"));
    });
}

#[test]
fn a_pattern_is_looked_for_in_what_is_shown() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script = "printf 'tests: \\033[1;32mpas'; sleep 0.2; printf 'sed\\033[0m in 3 s\\r\\n'; sleep 1000";
        let request = CreateTerminal { ..session::shell_script(script) };
        let session = baton.create(&request).await;
        let instance = baton.session(session).await.session.instance;
        let from = format!("{instance}:0");
        let said = wait(baton, session, json!({"pattern": "^tests: passed in \\d s$", "cursor": from})).await;
        assert_eq!((said.matched.as_str(), said.text.as_deref()), ("pattern", Some("tests: passed in 3 s")));
    });
}

/// Each mark that was told, and how often.
fn counted(marks: &[Mark]) -> BTreeMap<(u64, String, Option<String>), usize> {
    let mut counted = BTreeMap::new();
    for mark in marks {
        *counted.entry((mark.cursor.offset, mark.kind.clone(), mark.text.clone())).or_default() += 1;
    }
    counted
}

#[test]
fn marks_that_nobody_heard_are_told_later_and_each_once() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let gate = baton.scratch().join("gate");
        let round = |word: &str| {
            format!(
                "printf '\\033]133;A\\033\\\\$ \\033]133;C;cmdline_url={word}%%20line\\033\\\\out\\r\\n\\033]133;D;3\\033\\\\'"
            )
        };
        let script = format!(
            "{}; until [ -e {} ]; do sleep 0.02; done; {}; printf '\\033]133;A\\033\\\\$ '; exec sleep 1000",
            round("heard"),
            gate.display(),
            round("missed")
        );
        let session = baton.script(&script).await;
        let told = async |wanted: usize| loop {
            let told = marks(baton, session).await;
            if told.len() >= wanted {
                break told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // Some of these were made before the bridge had a connection.
        let before = told(3).await;
        assert_eq!(
            before.iter().map(|mark| mark.kind.as_str()).collect::<Vec<_>>(),
            ["prompt", "command", "command_end"]
        );
        // While there is no bridge, more are made.
        let (launcher, bridge) = (baton.launcher().await, baton.bridge().await);
        let directory = baton.home.state.join("sessions").join(session.to_string());
        let journalled = |word: &[u8]| {
            let instances = std::fs::read_dir(&directory)
                .unwrap()
                .filter_map(|entry| std::fs::read_dir(entry.unwrap().path()).ok());
            let mut files = instances.flatten().filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
            files.any(|bytes| bytes.windows(word.len()).any(|window| window == word))
        };
        // What was told is in the database before the bridge dies.
        assert_eq!(counted(&marks(baton, session).await).len(), 3);
        launcher.signal(nix::sys::signal::Signal::SIGSTOP);
        bridge.kill().await;
        std::fs::write(&gate, "").unwrap();
        while !journalled(b"missed line") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        launcher.signal(nix::sys::signal::Signal::SIGCONT);
        let after = told(7).await;
        let kinds: Vec<_> = after.iter().map(|mark| mark.kind.as_str()).collect();
        let round = ["prompt", "command", "command_end"];
        assert_eq!(kinds, [&round[..], &round[..], &["prompt"]].concat());
        assert_eq!(after[4].text.as_deref(), Some("missed line"));
        assert_eq!(after[5].exit_code, Some(3));
        assert!(after[5].duration_ms.is_some(), "its beginning is known");
        // Another bridge tells none of them again, nor does one that gets another connection.
        baton.kill_bridge().await;
        baton.session(session).await;
        let again = marks(baton, session).await;
        assert_eq!(counted(&again), counted(&after));
        assert!(counted(&again).values().all(|times| *times == 1));
    });
}

#[test]
fn a_new_bridge_knows_where_the_shell_is() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let session = marking_shell(baton).await;
        let client = owner(baton, session).await;
        assert_eq!(exec(baton, session, &client, "echo one").await.output, "one\r\n");
        baton.kill_bridge().await;
        // The lease is the worker's, and is still this client's.
        assert_eq!(exec(baton, session, &client, "echo two").await.output, "two\r\n");
        // No line was ever wrapped: the first prompt was heard, and that before the kill.
        let output = String::from_utf8_lossy(&baton.output(session).await).into_owned();
        assert!(output.contains("echo two") && !output.contains("7717"), "{output:?}");
    });
}

#[test]
fn a_terminal_that_changes_is_told_of_and_answered_for() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        // 25 bytes: `OSC 11 ; rgb:1111/2222/3333 ST`.
        let ask = "head -c 1 >/dev/null; printf '\\033]11;?\\033\\\\'; head -c 25 | tr -d '\\033'; printf '<end>'";
        let session = baton.script(&format!("stty raw -echo; printf ready; {ask}; {ask}; sleep 1000")).await;
        let mut owner = owner(baton, session).await;
        let mut observer = baton.attach(session, Attach::named("observer")).await;
        owner.until_output("ready").await;
        let facts =
            |bg: &str| ClientFrame::Facts { term: TermFacts { bg: Some(bg.to_owned()), ..TermFacts::default() } };
        owner.send(facts("#102030")).await;
        owner.type_text("1").await;
        owner.until_output("]11;rgb:1010/2020/3030\\<end>").await;
        // Another colour scheme; what somebody has who only watches does not matter.
        owner.send(facts("#fefefe")).await;
        observer.send(facts("#000000")).await;
        owner.type_text("2").await;
        owner.until_output("]11;rgb:fefe/fefe/fefe\\<end>").await;
    });
}
