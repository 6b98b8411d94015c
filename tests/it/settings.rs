//! The settings: changed by whoever may, seen by everybody, in a file that stays its person's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{AgentProgram, AgentProgramStatus, CreateTerminal, Event, Page, Problem, Settings};
use baton_tests::attach::Attach;
use baton_tests::baton::{Baton, Setup};
use baton_tests::browser::Page as Browser;
use baton_tests::scenario::scenario;
use baton_tests::session;
use baton_tests::websocket::{RawStream, open_raw};
use futures_util::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const LIMIT: Duration = Duration::from_secs(20);

async fn settings(baton: &Baton) -> Settings {
    baton.api().get("/v1/settings").await
}

/// The file as a person writes it.
fn write(baton: &Baton, text: &str) {
    fs::create_dir_all(&baton.home.config).unwrap();
    fs::write(baton.home.config_file(), text).unwrap();
}

fn file(baton: &Baton) -> String {
    fs::read_to_string(baton.home.config_file()).unwrap()
}

/// The next event of this type.
async fn next(feed: &mut RawStream, kind: &str) -> Event {
    let wanted = async {
        loop {
            let Some(Ok(Message::Text(text))) = feed.next().await else { continue };
            let event: Event = serde_json::from_str(&text).unwrap();
            if event.kind == kind {
                return event;
            }
        }
    };
    tokio::time::timeout(LIMIT, wanted).await.unwrap_or_else(|_| panic!("no `{kind}` came"))
}

/// An executable script.
fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_change_by_anyone_is_seen_by_the_others_and_comments_stay() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut feed = open_raw(&baton.api(), "/v1/events", &[]).await.unwrap();
        // By an editor.
        let text = "# mine\n[defaults]\n# an hour\nterminal_idle_timeout = 3600 # s\n\n[cli] # keys\n";
        write(baton, text);
        let event = next(&mut feed, "settings.changed").await;
        let now = settings(baton).await;
        assert_eq!(now.defaults.terminal_idle_timeout, 3600);
        assert_eq!(event.data["revision"], json!(now.revision));
        assert_eq!(event.data["changed"], json!(["defaults.terminal_idle_timeout"]));

        // Over HTTP.
        let body = json!({"expected_revision": now.revision, "terminal_idle_timeout": 7200, "agent": "claude"});
        let after: Settings = baton.api().patch("/v1/settings/defaults", &body).await;
        assert_eq!((after.defaults.terminal_idle_timeout, after.defaults.agent.as_deref()), (7200, Some("claude")));
        assert_eq!(next(&mut feed, "settings.changed").await.data["revision"], json!(after.revision));
        let changed = file(baton);
        let expected = text.replace("3600 # s", "7200 # s").replace("\n\n[cli]", "\nagent = \"claude\"\n\n[cli]");
        assert_eq!(changed, expected, "comments and order are kept");

        // By the command line.
        let _ = baton.cli(["settings", "set", "agent", "codex"]).await.ok();
        let event = next(&mut feed, "settings.changed").await;
        assert_eq!(event.data["changed"], json!(["defaults.agent"]));
        let _ = baton.cli(["settings", "unset", "agent"]).await.ok();
        next(&mut feed, "settings.changed").await;
        let now = settings(baton).await;
        assert!(now.defaults.agent.is_none());
        let shown = baton.cli(["settings"]).await.ok();
        assert!(shown.contains("7200 s"), "{shown}");
        let whole: Settings = baton.cli(["settings", "--json"]).await.json();
        assert_eq!(whole.revision, now.revision);

        // What is in force is what the next session gets.
        let session = baton.shell().await;
        assert_eq!(baton.session(session).await.session.idle_timeout_s, Some(7200));

        // Who did it is in the audit log; an editor is nobody in particular.
        let rows: Page<Value> = baton.api().get("/v1/audit?action=settings.change").await;
        let by = |row: &Value| row["actor"]["kind"].as_str().unwrap().to_owned();
        let who: Vec<String> = rows.items.iter().map(by).collect();
        assert_eq!(who, ["baton", "owner", "owner", "owner"], "{:?}", rows.items);
        assert_eq!(rows.items[1]["details"]["changed"], json!(["defaults.terminal_idle_timeout", "defaults.agent"]));
    });
}

#[test]
fn of_fifty_changes_of_one_revision_one_wins() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        write(baton, "# shared\n");
        let api = baton.api();
        let revision = baton_proto::config::revision("# shared\n");
        let _: Settings = api.get_until("/v1/settings", |now: &Settings| now.revision == revision).await;
        let change = |seconds: u64| {
            let (api, revision) = (api.clone(), revision.clone());
            async move {
                let body = json!({"expected_revision": revision, "terminal_idle_timeout": seconds});
                (seconds, api.call(Method::PATCH, "/v1/settings/defaults", Some(&body)).await)
            }
        };
        let answers = futures_util::future::join_all((1..=50).map(change)).await;
        let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "one change of a revision");
        let (seconds, first) = won[0];
        let now: Settings = first.json();
        assert_eq!(now.defaults.terminal_idle_timeout, *seconds);
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
            let problem: Problem = answer.problem();
            assert_eq!((answer.status, problem.code), (409, ErrorCode::RevisionConflict), "{answer}");
            let current = problem.current.expect("the settings as they are");
            assert_eq!((&current.revision, current.defaults.terminal_idle_timeout), (&now.revision, *seconds));
        }
        assert_eq!(file(baton), format!("# shared\n\n[defaults]\nterminal_idle_timeout = {seconds}\n"));
    });
}

#[test]
fn what_is_not_valid_changes_nothing_and_is_told() {
    let setup = Setup::plain().env("BATON_AGENTS__FIXED__PATH", "/usr/bin/true");
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        let mut feed = open_raw(&baton.api(), "/v1/events", &[]).await.unwrap();
        write(baton, "[defaults]\nterminal_idle_timeout = 60\n");
        next(&mut feed, "settings.changed").await;
        write(baton, "[defaults]\nterminal_idle_timeout = \"soon\"\n");
        let event = next(&mut feed, "settings.changed").await;
        assert!(event.data["refused"].as_str().unwrap().contains("terminal_idle_timeout"), "{event:?}");
        let now = settings(baton).await;
        assert_eq!(now.defaults.terminal_idle_timeout, 60, "what was in force holds");
        assert!(now.refused.is_some());
        let shown = baton.cli(["settings"]).await.ok();
        assert!(shown.contains("not valid") && shown.contains("soon"), "{shown}");
        write(baton, "[defaults]\nterminal_debug_overlay = true\nagent_model = \"large\"\n");
        let event = next(&mut feed, "settings.changed").await;
        assert!(event.data["refused"].as_str().unwrap().contains("agent_model"), "{event:?}");
        let now = settings(baton).await;
        assert!(!now.defaults.terminal_debug_overlay, "all of a file or nothing");
        let api = baton.api();
        let (defaults, path) = ("/v1/settings/defaults", "/v1/settings/agents/claude/cli-path");
        // Such a file is its person's to mend.
        let body = json!({"expected_revision": now.revision, "agent": "claude"});
        api.refused(Method::PATCH, defaults, &body, ErrorCode::Invalid).await;
        write(baton, "");
        let revision = api.get_until("/v1/settings", |now: &Settings| now.refused.is_none()).await.revision;
        for body in [
            json!({"terminal_idle_timeout": 5}),
            json!({"expected_revision": revision}),
            json!({"expected_revision": revision, "terminal_idle_timeout": -1}),
            json!({"expected_revision": revision, "terminal_idle_timeout": u64::MAX}),
            json!({"expected_revision": revision, "agent": "No Name"}),
            json!({"expected_revision": revision, "terminal_protocol_log": "on"}),
            json!({"expected_revision": revision, "terminal_debug_overlay": 1}),
            // What nothing obeys yet is not taken for obeyed.
            json!({"expected_revision": revision, "agent_model": "large"}),
            json!({"expected_revision": revision, "agent": "a\u{1b}[2Jb"}),
            json!({"expected_revision": revision, "sandbox": {"allow_host": true}}),
            json!({"expected_revision": revision, "allow_host": true}),
        ] {
            api.refused(Method::PATCH, defaults, &body, ErrorCode::Invalid).await;
        }
        for bad in
            [json!("claude"), json!("/a/../b"), json!("/a\nb"), json!(5), json!("/x\"\n[sandbox]\nallow_host = true")]
        {
            let body = json!({"expected_revision": revision, "path": bad});
            api.refused(Method::PATCH, path, &body, ErrorCode::Invalid).await;
        }
        api.refused(Method::PATCH, path, &json!({"expected_revision": revision}), ErrorCode::Invalid).await;
        // The environment says it.
        let body = json!({"expected_revision": revision, "path": "/usr/bin/false"});
        let fixed = "/v1/settings/agents/fixed/cli-path";
        let problem = api.refused(Method::PATCH, fixed, &body, ErrorCode::Invalid).await;
        assert!(problem.detail.contains("BATON_AGENTS__FIXED__PATH"), "{}", problem.detail);
        assert_eq!(file(baton), "", "nothing was written");
        // A link leads where Baton does not write.
        let elsewhere = baton.scratch().join("elsewhere.toml");
        fs::write(&elsewhere, "").unwrap();
        fs::remove_file(baton.home.config_file()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, baton.home.config_file()).unwrap();
        let now: Settings = api.get_until("/v1/settings", |now: &Settings| now.refused.is_some()).await;
        assert!(now.refused.unwrap().contains("link"));
        for (revision, code) in [(revision, ErrorCode::RevisionConflict), (now.revision, ErrorCode::PathRefused)] {
            let body = json!({"expected_revision": revision, "terminal_idle_timeout": 5});
            api.refused(Method::PATCH, defaults, &body, code).await;
        }
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    });
}

#[test]
fn an_agents_program_is_found_tried_and_told() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let places = baton.person().join(".local/bin");
        let good = places.join("fixer");
        program(&good, "[ \"$1\" = --version ] && echo && echo 'fixer 1.2.3 (build 7)'");
        program(&places.join("broken"), "echo 'no licence' >&2; exit 3");
        fs::write(places.join("plain"), "no program").unwrap();
        let of = async |name: &str, path: &Path| {
            let revision = settings(baton).await.revision;
            let body = json!({"expected_revision": revision, "path": path});
            let _: Settings = baton.api().patch(&format!("/v1/settings/agents/{name}/cli-path"), &body).await;
            let status: AgentProgram = baton.api().get(&format!("/v1/settings/agents/{name}/status")).await;
            status
        };
        let fixer = of("fixer", &good).await;
        assert_eq!(fixer.status, AgentProgramStatus::Ready, "{fixer:?}");
        assert_eq!(fixer.version.as_deref(), Some("fixer 1.2.3 (build 7)"));
        let broken = of("broken", &places.join("broken")).await;
        assert_eq!(broken.status, AgentProgramStatus::Failed);
        let why = broken.detail.unwrap();
        assert!(why.contains('3') && why.contains("no licence"), "{why}");
        assert_eq!(of("plain", &places.join("plain")).await.status, AgentProgramStatus::NotExecutable);
        assert_eq!(of("gone", &places.join("gone")).await.status, AgentProgramStatus::NotFound);
        baton.api().refused(Method::GET, "/v1/settings/agents/nobody-s/status", &json!({}), ErrorCode::NotFound).await;

        // Nothing of the trials is left, and what was found out is known until the file changes.
        let sessions: Page<Value> = baton.api().get("/v1/sessions?limit=100").await;
        assert!(sessions.items.is_empty(), "{:?}", sessions.items);
        let all = settings(baton).await.operational.agents;
        assert_eq!(all["fixer"].version.as_deref(), Some("fixer 1.2.3 (build 7)"));
        program(&good, "echo fixer 2");
        assert_eq!(settings(baton).await.operational.agents["fixer"].status, AgentProgramStatus::Found);
        let said = baton.cli(["settings", "agent", "fixer"]).await;
        assert_eq!((said.code, said.stdout.contains("fixer 2")), (Some(0), true), "{said:?}");
        let said = baton.cli(["settings", "agent", "broken", "--json"]).await;
        assert_eq!(said.code, Some(1));
        assert_eq!(serde_json::from_str::<AgentProgram>(&said.stdout).unwrap().status, AgentProgramStatus::Failed);
        let _ = baton.cli(["settings", "set", "agent", "fixer"]).await.ok();
        assert!(baton.cli(["settings", "agent"]).await.ok().contains("fixer 2"));
        let _ = baton.cli(["settings", "agent", "gone", "--path", good.to_str().unwrap()]).await.ok();
        assert!(file(baton).contains("[agents.gone]\npath = "), "{}", file(baton));
    });
}

#[test]
fn the_environment_is_read_anew_and_kept() {
    let setup = Setup::plain().env("SHELL", "/bin/bash").env("KEPT", "from the start");
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let says = async |name: &str| {
            let script = format!("printf '<%s>' \"${name}\"");
            let session = baton.script(&script).await;
            let mut stream = baton.attach(session, Attach::named("reader")).await;
            stream.until_output(">").await;
            String::from_utf8(baton.output(session).await).unwrap()
        };
        assert_eq!(says("ADDED").await, "<>");
        let profile = baton.person().join(".bash_profile");
        let text = "echo welcome; export ADDED=$'two\\nlines=x' PATH=\"/opt/added/bin:$PATH\" BATON_X=1\n";
        fs::write(&profile, text).unwrap();
        let before = settings(baton).await.operational.env;
        assert!(before.reloaded_at.is_none() && !before.names.contains(&"ADDED".to_owned()));
        let after: Settings = baton.api().post("/v1/settings/env/reload", &json!({})).await;
        let env = after.operational.env;
        assert!(env.reloaded_at.is_some() && env.names.contains(&"ADDED".to_owned()), "{env:?}");
        assert!(!env.names.iter().any(|name| name.starts_with("BATON_") || name == "SHLVL"), "{env:?}");
        assert_eq!(says("ADDED").await, "<two\r\nlines=x>");
        assert_eq!(says("KEPT").await, "<from the start>");
        let once = says("PATH").await;
        assert!(once.starts_with("</opt/added/bin:"), "{once}");

        // The next bridge knows it, and reading it again adds nothing twice.
        baton.kill_bridge().await;
        assert_eq!(says("ADDED").await, "<two\r\nlines=x>");
        let names = baton.cli(["settings", "env", "--reload"]).await.ok();
        assert!(names.lines().any(|line| line == "ADDED") && !names.contains("two"), "{names}");
        assert_eq!(says("PATH").await, once);
        let sessions: Page<Value> = baton.api().get("/v1/sessions?limit=100").await;
        assert!(!sessions.items.iter().any(|one| one["title"] == "settings: environment"));

        // A shell that ends before it can say it: told, and all is as it was.
        fs::write(&profile, "exit 3\n").unwrap();
        let answer = baton.api().call(Method::POST, "/v1/settings/env/reload", Some(&json!({}))).await;
        assert_eq!(answer.problem().code, ErrorCode::InvalidTransition, "{answer}");
        assert_eq!(says("ADDED").await, "<two\r\nlines=x>");
    });
}

#[test]
fn a_restart_of_sessiond_under_flood_loses_no_byte() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        const LINES: u64 = 300_000;
        let script = format!("stty -opost; echo begin; read go; seq 1 {LINES}; echo end; read stay");
        let session = baton.create(&CreateTerminal { ..session::shell_script(&script) }).await;
        let mut stream = baton.attach(session, Attach::named("reader")).await;
        stream.until_output("begin\n").await;
        stream.claim(false).await.unwrap();
        let pid = baton.session(session).await.session.pid;
        stream.type_text("\r").await;
        let reading = tokio::spawn(async move {
            stream.until_output("\nend\n").await;
            stream
        });
        let mut before = baton.sessiond().await.pid;
        for turn in 0..4 {
            if turn % 2 == 0 {
                let answer: Value = baton.api().post("/v1/settings/sessiond/restart", &json!({})).await;
                assert_eq!(answer["pid"], json!(before));
            } else {
                let said = baton.cli(["settings", "sessiond", "--restart"]).await.ok();
                assert!(said.contains("runs as"), "{said}");
            }
            let other = |status: &Value| status["status"] == "up" && status["pid"] != json!(before);
            let status: Value = baton.api().get_until("/v1/settings/sessiond/status", other).await;
            before = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
        }
        let _stream = reading.await.unwrap();
        let output = String::from_utf8(baton.output(session).await).unwrap();
        let numbers = output.split_once("begin\n").unwrap().1.split_once("\nend\n").unwrap().0;
        // What was typed comes first, as the terminal echoes it.
        let numbers = numbers.trim_start_matches(['\r', '\n']);
        let expected: Vec<String> = (1..=LINES).map(|number| number.to_string()).collect();
        assert!(numbers == expected.join("\n"), "each line once, in order");
        assert_eq!(baton.session(session).await.session.pid, pid, "the same program");
    });
}

#[test]
fn a_policy_that_is_changed_by_hand_is_told_and_recorded() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let mut feed = open_raw(&baton.api(), "/v1/events", &[]).await.unwrap();
        let changes = async || -> Vec<Value> {
            let rows: Page<Value> = baton.api().get("/v1/audit?action=policy.change").await;
            rows.items
        };
        let revision = |row: &Value| row["details"]["revision"].as_str().unwrap().to_owned();
        assert_eq!(changes().await.len(), 1, "the policy that Baton was started with");
        let path = baton.home.policy_file();
        let good = "[[rule]]\nid = \"no-deletes\"\naction = [\"terminal.exec\"]\nmatch = { program = [\"rm\"] }\ndecision = \"deny\"\n\
            risk = \"high\"\ntags = [\"delete\"]\nreason = \"ask me\"\nexamples = { match = [\"rm x\"], not_match = [\"ls\"] }\n";
        fs::write(&path, good).unwrap();
        let event = next(&mut feed, "policy.changed").await;
        assert!(event.data["refused"].is_null(), "{event:?}");
        let rows = changes().await;
        assert_eq!(revision(&rows[1]), event.data["revision"].as_str().unwrap());
        fs::write(&path, "nonsense").unwrap();
        let refused = next(&mut feed, "policy.changed").await;
        assert!(refused.data["refused"].is_string());
        assert_eq!(refused.data["revision"], event.data["revision"], "the one before stays in force");
        fs::write(&path, good).unwrap();
        // What was changed while there was no bridge is recorded by the next one; what was not is not.
        baton.kill_bridge().await;
        let count = changes().await.len();
        baton.kill_bridge().await;
        assert_eq!(changes().await.len(), count);
        fs::remove_file(&path).unwrap();
        baton.kill_bridge().await;
        let rows = changes().await;
        assert_eq!(revision(rows.last().unwrap()), revision(&rows[0]), "the shipped one again");
    });
}

#[test]
fn the_page_shows_and_changes_them() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        write(baton, "# mine\n[agents.fixer]\npath = \"/usr/bin/true\"\n");
        let link: Value = baton.api().post("/v1/auth/links", &json!({"kind": "login"})).await;
        let page = Browser::open(link["url"].as_str().unwrap()).await;
        page.look(1280, 800, "dark").await;
        page.click("settings-menu").await;
        page.click("baton-settings").await;
        let idle = async || {
            // Drawn anew with each value: an element that was found may be gone.
            let value =
                page.run("return document.querySelector('[data-testid=idle-timeout]')?.value ?? ''").await.unwrap();
            value.as_str().unwrap_or_default().to_owned()
        };
        let until_idle = async |wanted: &str| {
            let limit = tokio::time::Instant::now() + LIMIT;
            while idle().await != wanted {
                assert!(tokio::time::Instant::now() < limit, "the page does not show {wanted}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until_idle("0").await;
        // What the command line changes is shown.
        let _ = baton.cli(["settings", "set", "terminal_idle_timeout", "600"]).await.ok();
        until_idle("600").await;
        // What the page changes is in the file.
        let field = page.element("idle-timeout").await;
        field.clear().await.unwrap();
        field.send_keys("900").await.unwrap();
        page.click("save-idle").await;
        let _: Settings =
            baton.api().get_until("/v1/settings", |now: &Settings| now.defaults.terminal_idle_timeout == 900).await;
        assert!(file(baton).starts_with("# mine\n") && file(baton).contains("terminal_idle_timeout = 900"));
        until_idle("900").await;
        // And what an editor changes.
        write(baton, &file(baton).replace("900", "1200"));
        until_idle("1200").await;
        page.click("try-fixer").await;
        page.until_text("agent-fixer", |text| text.starts_with("true (GNU coreutils)")).await;
        let before = page.until_text("sessiond", |text| text.contains("runs as process")).await;
        page.click("restart-sessiond").await;
        page.until_text("sessiond", |text| text.contains("runs as process") && text != before).await;
        for (width, height, name) in [(1280, 800, "settings-desktop"), (390, 844, "settings-phone")] {
            for shade in ["dark", "light"] {
                page.look(width, height, shade).await;
                page.screenshot(&format!("{name}-{shade}")).await;
            }
        }
        page.close().await;
    });
}
