//! A session that has ended by itself, or with its host, begins again when somebody asks: the same id, name and directory, a new
//! instance; never by itself.

use std::path::Path;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{CreateTerminal, Event, Page, ServerStatus, SessionDetail, SessionStatus};
use baton_proto::ids::SessionId;
use baton_tests::http::{Api, Place};
use baton_tests::process::{self, Process};
use baton_tests::terminal::Terminal;
use baton_tests::{Attach, Baton, Seed, Setup, StreamClient, scenario, session};
use http::Method;
use nix::sys::signal::Signal;
use serde_json::json;

/// The API through `bridge.sock`: the port is another one after each start.
fn api(baton: &Baton) -> Api {
    Api::anonymous(Place::Unix(baton.socket.clone())).with_token(&baton.token)
}

async fn until(baton: &Baton, session: SessionId, status: SessionStatus) -> SessionDetail {
    let wanted = |detail: &SessionDetail| detail.session.status == status;
    api(baton).get_until(&format!("/v1/sessions/{session}"), wanted).await
}

fn respawn_path(session: SessionId) -> String {
    format!("/v1/sessions/{session}/respawn")
}

/// What a power cut leaves: the disk. Everything that this Baton started is killed before any of it can do anything about it.
fn cut_power(baton: &Baton) {
    // Stopped first, so that nobody notices anybody's end.
    let mut killed = process::with_environment(&baton.mark());
    killed.iter().for_each(|process| process.signal(Signal::SIGSTOP));
    killed.extend(process::with_environment(&baton.mark()));
    killed.iter().for_each(|process| process.signal(Signal::SIGKILL));
    // Dead, and not only without an environment: its locks are free then.
    while killed.iter().any(Process::is_alive) {
        std::thread::sleep(process::LOOK_EVERY);
    }
    assert!(process::with_environment(&baton.mark()).is_empty(), "somebody was started meanwhile");
}

/// Processes of this session whose command line begins so.
fn programs(session: SessionId, name: &str) -> Vec<Process> {
    let marked = process::with_environment(&format!("BATON_SESSION={session}"));
    marked.into_iter().filter(|process| process.command_line().starts_with(name)).collect()
}

/// Waits until exactly one process of this session's is this program, which a shell becomes.
async fn until_one(session: SessionId, name: &str) {
    while programs(session, name).len() != 1 {
        tokio::time::sleep(process::LOOK_EVERY).await;
    }
}

fn instances(baton: &Baton, session: SessionId) -> usize {
    let names = std::fs::read_dir(baton.home.sessions_dir().join(session.to_string())).unwrap();
    names.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
}

#[test]
fn an_exited_session_begins_again_under_its_id_and_name_in_its_directory() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let dir = baton.scratch().join("project");
        std::fs::create_dir(&dir).unwrap();
        let mut request = session::bash();
        request.env.insert("KEPT".to_owned(), "as-at-creation".to_owned());
        let request =
            CreateTerminal { title: Some("work".to_owned()), cwd: Some(dir.display().to_string()), ..request };
        let id = baton.create(&request).await;
        let api = baton.api();
        api.refused(Method::POST, &respawn_path(id), &(), ErrorCode::SessionRunning).await;
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(false).await.unwrap();
        client.type_text("echo first-$((1+1)); exit 3\r").await;
        assert_eq!(client.until_exit().await.code, Some(3));
        let first = until(baton, id, SessionStatus::Exited).await.session;
        assert_eq!(baton.output(id).await, client.output);

        let again: SessionDetail = api.post(&respawn_path(id), &()).await;
        let again = again.session;
        assert_eq!((again.id, again.title.as_str(), again.created_at), (id, "work", first.created_at));
        assert!(again.status.is_living() && again.exit.is_none(), "{:?}", again.status);
        assert_ne!(again.instance, first.instance);
        // Who was there is told to come again, and told that this is another life.
        assert_eq!(client.until_closed().await.0, Some(1012));
        let mut client = baton.attach(id, Attach::named("A").resume(client.cursor())).await;
        assert_eq!((client.ready.cursor.instance, client.ready.restarted), (again.instance, true));
        client.claim(false).await.unwrap();
        client.type_text("echo \"in $PWD, $KEPT, $BATON_SESSION\"; pwd -P\r").await;
        client.until_output(&format!("in {}, as-at-creation, {id}\r\n{}\r\n", dir.display(), dir.display())).await;
        assert!(
            !String::from_utf8_lossy(&client.output).contains("first-2"),
            "the output of the new life begins with it"
        );
        let running = until(baton, id, SessionStatus::Running).await.session;
        assert_eq!(running.pid.map(Process::of).map(|process| process.is_alive()), Some(true));
        // Places of the life before are gone, and this is said; its journal is still on disk.
        let old = format!("/v1/terminal/sessions/{id}/output?cursor={}:0", first.instance);
        let problem = api.refused(Method::GET, &old, &(), ErrorCode::CursorTrimmed).await;
        assert!(problem.oldest_cursor.is_some_and(|oldest| oldest.starts_with(&again.instance.to_string())));
        assert_eq!(instances(baton, id), 2);

        // Both who know of it may die: it is the new one.
        baton.kill_sessiond().await;
        baton.kill_bridge().await;
        let after = until(baton, id, SessionStatus::Running).await.session;
        assert_eq!((after.instance, after.pid), (again.instance, running.pid));
        assert!(after.cursor.offset > 0 && after.cursor.offset < 10_000, "{}", after.cursor);

        // One life before the last is kept, no more.
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.claim(true).await.unwrap();
        client.type_text("exit 4\r").await;
        assert_eq!(client.until_exit().await.code, Some(4));
        until(baton, id, SessionStatus::Exited).await;
        let _: SessionDetail = api.post(&respawn_path(id), &()).await;
        assert_eq!(instances(baton, id), 2);
        let directory = baton.home.sessions_dir().join(id.to_string());
        assert!(!directory.join(first.instance.to_string()).exists());

        // What somebody closed stays closed, and is forgotten whole.
        api.post_done(&format!("/v1/terminal/sessions/{id}/close"), &json!({})).await;
        until(baton, id, SessionStatus::Closed).await;
        api.refused(Method::POST, &respawn_path(id), &(), ErrorCode::InvalidTransition).await;
        assert!(api.call::<()>(Method::DELETE, &format!("/v1/sessions/{id}"), None).await.status < 300);
        assert!(!directory.exists());
        api.refused(Method::POST, &respawn_path(id), &(), ErrorCode::NotFound).await;
    });
}

/// Types the line that the program waits for, once it has told its directory; done when sessiond knows of its end.
async fn end_it(baton: &Baton, session: SessionId) {
    let told = |events: &Page<Event>| events.items.iter().any(|event| event.data["kind"] == "cwd");
    let _: Page<Event> = baton.api().get_until(&format!("/v1/sessions/{session}/events?type=mark"), told).await;
    let mut client = baton.attach(session, Attach::named("owner")).await;
    client.claim(true).await.unwrap();
    client.type_text("go\r").await;
    client.until_exit().await;
    until(baton, session, SessionStatus::Exited).await;
}

#[test]
fn what_a_respawn_runs_and_where() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let [made, went] = ["made", "went"].map(|name| {
            let dir = baton.scratch().join(name);
            std::fs::create_dir(&dir).unwrap();
            dir
        });
        let at = |dir: &Path| Some(dir.display().to_string());
        let api = baton.api();
        // The directory its shell told last, and the command it resumes with.
        let tell = format!("printf '\\033]7;file://%s{}\\a' \"$(hostname)\"; read line; exit 0", went.display());
        let resume = ["/bin/sh", "-c", "echo \"resumed in $(pwd -P)\"; exec sleep 1000"].map(str::to_owned).to_vec();
        let request =
            CreateTerminal { cwd: at(&made), resume_cmd: Some(resume.clone()), ..session::shell_script(&tell) };
        let id = baton.create(&request).await;
        end_it(baton, id).await;
        // A bridge that was not there reads it from the journal.
        baton.kill_bridge().await;
        let again: SessionDetail = api.post(&respawn_path(id), &()).await;
        assert_eq!(again.session.command, resume);
        let mut client = baton.attach(id, Attach::named("A")).await;
        client.until_output(&format!("resumed in {}\r\n", went.display())).await;

        // That directory is gone: the one it was made in. If that is gone too, this is said and nothing is started.
        let id = baton.create(&CreateTerminal { resume_cmd: None, ..request.clone() }).await;
        end_it(baton, id).await;
        std::fs::remove_dir(&went).unwrap();
        let again: SessionDetail = api.post(&respawn_path(id), &()).await;
        let spec = |id: SessionId| programs(id, "").len();
        assert_eq!(again.session.id, id);
        let cwd = |detail: &SessionDetail| detail.cwd.as_deref() == made.to_str();
        let _: SessionDetail = api.get_until(&format!("/v1/sessions/{id}"), cwd).await;
        end_it(baton, id).await;
        std::fs::remove_dir(&made).unwrap();
        let problem = api.refused(Method::POST, &respawn_path(id), &(), ErrorCode::Invalid).await;
        assert!(problem.detail.contains(&made.display().to_string()), "{}", problem.detail);
        assert_eq!((spec(id), baton.session(id).await.session.status), (0, SessionStatus::Exited));

        // Its name has gone to somebody else meanwhile.
        let named = |title: &str, script: &str| CreateTerminal {
            title: Some(title.to_owned()),
            ..session::shell_script(script)
        };
        let first = baton.create(&named("one", "exit 0")).await;
        until(baton, first, SessionStatus::Exited).await;
        baton.create(&named("one", "exec sleep 1000")).await;
        api.refused(Method::POST, &respawn_path(first), &(), ErrorCode::NameTaken).await;
        let _: SessionDetail = api.patch(&format!("/v1/sessions/{first}"), &json!({"title": "two"})).await;
        let again: SessionDetail = api.post(&respawn_path(first), &()).await;
        assert_eq!(again.session.title, "two");
    });
}

#[test]
fn after_a_reboot_sessions_are_lost_readable_and_begin_again_only_when_asked() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let dir = baton.scratch().join("project");
        std::fs::create_dir(&dir).unwrap();
        let script = "echo \"words in $(pwd -P)\"; exec sleep 1000";
        let request = |title: &str| CreateTerminal {
            title: Some(title.to_owned()),
            cwd: Some(dir.display().to_string()),
            ..session::shell_script(script)
        };
        let id = baton.create(&request("work")).await;
        let other = baton.create(&request("other")).await;
        for id in [id, other] {
            baton.attach(id, Attach::named("A")).await.until_output("words in").await;
        }
        cut_power(baton);
        let _ = baton.cli(["up"]).await.ok();
        let lost = until(baton, id, SessionStatus::Lost).await.session;
        until(baton, other, SessionStatus::Lost).await;
        assert_eq!((lost.title.as_str(), lost.pid), ("work", None));
        assert_eq!(baton.cli(["status", "--json"]).await.json::<serde_json::Value>()["sessions"]["lost"], 2);
        // Its journal is there for everybody who reads.
        let words = format!("words in {}", dir.display());
        for args in [vec!["log", "work"], vec!["snapshot", "work"], vec!["search", "work", "words"]] {
            let said = baton.cli(args.clone()).await.ok();
            assert!(said.contains(&words), "{args:?}: {said}");
        }
        let listed = baton.cli(["ls", "--all"]).await.ok();
        assert!(listed.lines().filter(|line| line.contains("lost")).count() == 2, "{listed}");
        assert!(programs(id, "sleep").is_empty() && programs(other, "sleep").is_empty(), "nothing starts by itself");

        // A script has to say that it means it; a person is asked.
        let asked = baton.cli(["respawn", "work"]).await;
        assert!(asked.code == Some(2) && asked.stderr.contains("--yes"), "{asked:?}");
        let mut desk = Terminal::baton(baton, &["respawn", "work"], (100, 24));
        desk.until("[y/N]").await;
        desk.type_text("n\r");
        desk.until("Nothing was started").await;
        assert_eq!(desk.exit_code().await, 1);
        assert!(programs(id, "sleep").is_empty());
        let mut desk = Terminal::baton(baton, &["respawn", "work"], (100, 24));
        desk.until("was lost with its host").await;
        desk.until("[y/N]").await;
        desk.type_text("y\r");
        desk.until("runs again").await;
        assert_eq!(desk.exit_code().await, 0);
        let again = until(baton, id, SessionStatus::Running).await.session;
        assert_eq!((again.id, again.title.as_str()), (id, "work"));
        assert_ne!(again.instance, lost.instance);
        let api = api(baton);
        let mut client = StreamClient::open(&api, id, Attach::named("A")).await.unwrap();
        client.until_output(&format!("{words}\r\n")).await;

        let shown: SessionDetail = baton.cli(["respawn", "--yes", "--json", "other"]).await.json();
        assert_eq!((shown.session.id, shown.session.title.as_str()), (other, "other"));
        assert_eq!(baton.cli(["respawn", "--yes", "other"]).await.code, Some(1));
        assert_eq!(baton.cli(["respawn", "--yes", "nobody"]).await.code, Some(3));
        for id in [id, other] {
            until_one(id, "sleep").await;
        }
    });
}

/// Wherever sessiond, bridge or launcher die while a session begins again, there is the session that ended or the new one, and
/// never two programs.
#[test]
fn a_respawn_that_is_killed_leaves_the_old_session_or_the_new_one() {
    scenario(Duration::from_secs(300), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let api = api(baton);
        let id = baton.script("echo alive; read line; exit 5").await;
        let (mut begun, mut not_begun) = (0, 0);
        for round in 0..20 {
            let mut client = loop {
                // Whoever was killed may be on the way back.
                match StreamClient::open(&api, id, Attach::named("A")).await {
                    Ok(client) => break client,
                    Err(_) => tokio::time::sleep(process::LOOK_EVERY).await,
                }
            };
            client.until_output("alive").await;
            client.claim(true).await.unwrap();
            client.type_text("go\r").await;
            assert_eq!(client.until_exit().await.code, Some(5), "round {round}");
            drop(client);
            let ended = until(baton, id, SessionStatus::Exited).await.session;
            let which = seed.within(0..3);
            let victim = loop {
                // The one of before may still be told of for a moment.
                let status: ServerStatus = api.get_until("/v1/status", |_| true).await;
                let pid = match which {
                    0 => status.sessiond.map(|sessiond| sessiond.pid),
                    1 => status.launcher.map(|launcher| launcher.pid),
                    _ => Some(status.bridge.pid),
                };
                if let Some(victim) = pid.and_then(Process::find) {
                    break victim;
                }
                tokio::time::sleep(process::LOOK_EVERY).await;
            };
            let (pause, path) = (seed.millis(0..60), respawn_path(id));
            let asking = api.send(Method::POST, &path, None);
            let killing = async {
                tokio::time::sleep(pause).await;
                victim.kill().await;
            };
            let (answer, ()) = tokio::join!(asking, killing);
            // Until everybody is back and agrees.
            let back = |detail: &SessionDetail| match detail.session.status {
                SessionStatus::Running | SessionStatus::Lost => true,
                SessionStatus::Exited => detail.session.instance == ended.instance,
                _ => false,
            };
            let mut now: SessionDetail = api.get_until(&format!("/v1/sessions/{id}"), back).await;
            if now.session.status == SessionStatus::Running {
                begun += 1;
            } else {
                not_begun += 1;
                let refused = answer.as_ref().map_or(true, |answer| answer.status >= 300);
                assert!(refused, "round {round}: begun, it was said, and it is {:?}", now.session.status);
                // Asked again it begins; that of before may be under way.
                while now.session.status != SessionStatus::Running {
                    let _ = api.send(Method::POST, &path, None).await;
                    now = api.get(&format!("/v1/sessions/{id}")).await;
                }
            }
            assert_ne!(now.session.instance, ended.instance, "round {round}");
            assert_eq!(programs(id, "/bin/sh -c echo alive").len(), 1, "round {round}");
        }
        println!("{begun} begun in spite of the kill, {not_begun} asked again");
    });
}
