//! What the sandbox refuses is told with what to do; what anybody would be refused is not blamed on it.
//!
//! Needs what `confined` needs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use baton_proto::api::{CreateTerminal, Event, FolderGrant, Page, ServerFrame};
use baton_proto::denied::Act;
use baton_proto::ids::SessionId;
use baton_proto::spec::Profile;
use baton_tests::websocket::Incoming;
use baton_tests::{Attach, Baton, Setup, StreamClient, ordinary, scenario, session};

/// A confined bash that marks its commands: all of `project`, and `notes` to be read.
async fn shell(baton: &Baton) -> SessionId {
    let home = baton.person();
    let (project, notes) = (home.join("project"), home.join("notes"));
    for directory in [&project, &notes, &home.join(".ssh"), &home.join("other"), &home.join("a; touch pwned")] {
        fs::create_dir_all(directory).unwrap();
    }
    for (file, mode) in [("project/plain", 0o644), ("project/closed", 0o000), (".ssh/id", 0o600), ("other/file", 0o644)]
    {
        let file = home.join(file);
        fs::write(&file, "content").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(notes.join("note"), "note").unwrap();
    fs::write(home.join("in-home"), "content").unwrap();
    fs::write(home.join("a; touch pwned/file"), "content").unwrap();
    let mut request = session::bash();
    let env = [
        ("PS1", "\\[\\e]133;A\\e\\\\\\]$ \\[\\e]133;B\\e\\\\\\]"),
        ("PS0", "\\e]133;C\\e\\\\"),
        ("PROMPT_COMMAND", "printf '\\033]133;D;%s\\033\\\\' \"$?\""),
        ("LC_ALL", "C"),
    ];
    request.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let all = FolderGrant { allow_write: true, allow_create: true, allow_delete: true, ..FolderGrant::default() };
    let grants = vec![
        FolderGrant { root_path: text(&project), ..all },
        FolderGrant { root_path: text(&notes), ..FolderGrant::default() },
    ];
    let (sandbox, cwd) = (Some(Profile::Workspace), Some(text(&project)));
    baton.create(&CreateTerminal { sandbox, cwd, grants: Some(grants), cols: Some(500), ..request }).await
}

async fn until_denied(client: &mut StreamClient) -> (Act, String, String) {
    let denied = |incoming: &Incoming| match incoming {
        Incoming::Frame(ServerFrame::Denied { act, path, message }) => Some((*act, path.clone(), message.clone())),
        _ => None,
    };
    client.until("`denied`", denied).await
}

/// The `denied` events of a session: what was tried with what.
async fn events(baton: &Baton, session: SessionId) -> Vec<(String, String)> {
    let page: Page<Event> = baton.api().get(&format!("/v1/sessions/{session}/events?type=denied")).await;
    let text = |event: &Event, field: &str| event.data[field].as_str().unwrap().to_owned();
    page.items.iter().map(|event| (text(event, "act"), text(event, "path"))).collect()
}

#[test]
fn a_refusal_of_the_sandbox_is_told_with_what_to_do_and_no_other() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let id = shell(baton).await;
        let home = baton.person();
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.until_output("$ ").await;
        let path = |name: &str| home.join(name).to_str().unwrap().to_owned();
        // Nobody executes what is no program, finds what is not there, reads what its permissions close (but root, who does).
        for ordinary in ["./plain", "cat missing", "cat closed; false", "ls /usr/missing", "echo fine"] {
            client.type_text(&format!("{ordinary}\r")).await;
        }
        // Each of these the sandbox alone refuses.
        let (other, notes) = (path("other"), path("notes"));
        let odd = path("a; touch pwned");
        let refused = [
            // The path is whoever's the output is: what is advised does nothing else where it is pasted, and never grants HOME.
            (format!("cat '{odd}/file'"), Act::Read, format!("{odd}/file"), format!("--grant '{odd}:r'`")),
            (format!("cat {}", path("in-home")), Act::Read, path("in-home"), "HOME is nothing to grant".to_owned()),
            (format!("cat {}", path(".ssh/id")), Act::Read, path(".ssh/id"), "secret".to_owned()),
            (format!("cat {}", path("other/file")), Act::Read, path("other/file"), format!("--grant {other}:r`")),
            (format!("echo x > {}", path("notes/new")), Act::Create, path("notes/new"), format!("--grant {notes}:rc`")),
            // From where the shell is now.
            ("echo x >> note".to_owned(), Act::Write, path("notes/note"), format!("--grant {notes}:rw`")),
            (format!("rm -f {}", path("notes/note")), Act::Delete, path("notes/note"), format!("--grant {notes}:rd`")),
            ("touch /usr/new".to_owned(), Act::Create, "/usr/new".to_owned(), "no grant changes those".to_owned()),
        ];
        for (line, act, path, cure) in &refused {
            if line.contains(">> note") {
                client.type_text("cd ../notes\r").await;
            }
            client.type_text(&format!("{line}\r")).await;
            let (told_act, told_path, message) = until_denied(&mut client).await;
            assert_eq!((told_act, &told_path), (*act, path), "{line}: {message}");
            let begin = format!("the sandbox refuses {} `{path}`: ", act.doing());
            assert!(message.starts_with(&begin) && message.contains(cure), "{line}: {message}");
        }
        // The same again is known; what comes after it shows that it was looked at.
        client.type_text("touch /usr/new\r").await;
        client.type_text("touch /usr/newer\r").await;
        assert_eq!(until_denied(&mut client).await.1, "/usr/newer");
        let mut expected: Vec<String> = refused.iter().map(|(_, _, path, _)| path.clone()).collect();
        expected.push("/usr/newer".to_owned());
        let events: Vec<String> = events(baton, id).await.into_iter().map(|(_, path)| path).collect();
        assert_eq!(events, expected);
    });
    ordinary::again("denied::a_refusal_of_the_sandbox_is_told_with_what_to_do_and_no_other");
}

#[test]
fn a_program_without_marks_is_listened_to_when_it_ends_and_not_too_often() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let project = baton.person().join("project");
        fs::create_dir_all(&project).unwrap();
        let cwd = project.to_str().unwrap().to_owned();
        let confined = |script: &str| CreateTerminal {
            sandbox: Some(Profile::Workspace),
            cwd: Some(cwd.clone()),
            ..session::shell_script(script)
        };
        let told = |id: SessionId| async move {
            let path = format!("/v1/sessions/{id}/events?type=denied");
            let page: Page<Event> = baton.api().get_until(&path, |page: &Page<Event>| !page.items.is_empty()).await;
            page.items
        };
        let id = baton.create(&confined("read go; touch /usr/new")).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("go\r").await;
        assert_eq!(client.until_exit().await.code, Some(1));
        let events = told(id).await;
        assert_eq!((&events[0].data["act"], &events[0].data["path"]), (&"create".into(), &"/usr/new".into()));
        // A flood of refusals is told in part.
        let script = "read go; n=0; while [ $n -lt 60 ]; do n=$((n+1)); touch /usr/new$n; done; exit 1";
        let id = baton.create(&confined(script)).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("go\r").await;
        assert_eq!(client.until_exit().await.code, Some(1));
        let events = told(id).await;
        assert!(events.len() <= 10, "{}", events.len());
        // One that is not confined is refused by nobody of ours.
        let id = baton.create(&session::shell_script("read go; cat /proc/self/root/nowhere /nowhere; exit 1")).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("go\r").await;
        client.until_exit().await;
        assert!(self::events(baton, id).await.is_empty());
    });
}

#[test]
fn exec_says_at_its_end_what_was_refused_meanwhile() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let id = shell(baton).await.to_string();
        let other = baton.person().join("other");
        let (other, file) = (other.to_str().unwrap(), other.join("file"));
        let exec = async |json: bool, line: &str| {
            let mut arguments = vec!["exec", &id, "--claim"];
            arguments.extend(json.then_some("--json"));
            arguments.extend(["--", line]);
            baton.cli(arguments).await
        };
        let fine = exec(false, "echo fine").await;
        assert_eq!((fine.code, fine.stdout.trim(), fine.stderr.as_str()), (Some(0), "fine", ""));
        let refused = exec(false, &format!("cat {}", file.display())).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = format!("baton: the sandbox refuses reading `{}`: ", file.display());
        assert!(
            refused.stderr.contains(&told) && refused.stderr.contains(&format!("--grant {other}:r`")),
            "{refused:?}"
        );
        assert!(!refused.stdout.contains("the sandbox refuses"), "{refused:?}");
        // What was refused before is not told again, nor what nobody refused.
        let missing = exec(false, "cat missing").await;
        assert_eq!((missing.code, missing.stderr.as_str()), (Some(1), ""), "{missing:?}");
        let json = exec(true, "touch /usr/exec").await;
        assert!(json.stderr.contains("the sandbox refuses making `/usr/exec`"), "{json:?}");
        let answer: baton_proto::api::ExecAnswer = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(answer.exit_code, Some(1));
    });
}
