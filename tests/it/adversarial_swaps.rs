//! What is shown to a person and what is there when it is done are two moments. Whatever an agent changes in between — while the
//! person thinks, or after the yes and before the line — nothing is done, and what is asked again shows what is there now.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalRequest, ApprovalStatus, AwaitingApproval, Created, LeaseAnswer};
use baton_proto::ids::SessionId;
use baton_tests::stepped::Stepped;
use baton_tests::{Api, Baton, Setup, scenario, session, witness};
use http::Method;
use serde_json::{Value, json};

use super::approvals::{CLIENT, POLICY, decide, decision, refused};

/// When the change comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// It does not: then it is done.
    Never,
    /// Before the decision.
    Thinking,
    /// After it is on disk, before it is begun.
    Decided,
}

/// How something is asked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// A line at the prompt.
    Line(&'static str),
    /// A session of this command, in this profile.
    Session(&'static str, &'static [&'static str]),
}

/// One way to show one thing and have another done.
struct Swap {
    name: &'static str,
    ask: Ask,
    /// What the agent does in between, in the folder of its session.
    change: fn(&Path),
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Puts another file in a place, in one step.
fn put(path: &Path, text: &str) {
    let aside = path.with_extension("aside");
    program(&aside, text);
    fs::rename(aside, path).unwrap();
}

/// Leads a link elsewhere, in one step.
fn lead(link: &Path, to: &str) {
    let aside = link.with_extension("aside");
    symlink(to, &aside).unwrap();
    fs::rename(aside, link).unwrap();
}

/// What is there when it is asked for. Each does `echo shown >> count` in some way; and `echo swapped >> count` is what an agent
/// would rather have done.
fn lay_out(folder: &Path) {
    for directory in ["bin", "a", "b"] {
        fs::create_dir_all(folder.join(directory)).unwrap();
    }
    let (shown, swapped) = ("echo shown >> count\n", "echo swapped >> count\n");
    fs::write(folder.join("script"), shown).unwrap();
    fs::write(folder.join("other"), swapped).unwrap();
    fs::write(folder.join("a/script"), shown).unwrap();
    fs::write(folder.join("b/script"), swapped).unwrap();
    symlink("script", folder.join("link")).unwrap();
    symlink("a", folder.join("directory")).unwrap();
    program(&folder.join("tool"), &format!("#!/bin/sh\n{shown}"));
    program(&folder.join("evil"), &format!("#!/bin/sh\n{swapped}"));
    symlink("tool", folder.join("tool-link")).unwrap();
}

const SWAPS: &[Swap] = &[
    Swap {
        name: "the script's text",
        ask: Ask::Line("sh script"),
        change: |at| fs::write(at.join("script"), "echo swapped >> count\n").unwrap(),
    },
    Swap {
        name: "the script's text, of the same length, its time set back",
        ask: Ask::Line("sh script"),
        change: |at| {
            let file = at.join("script");
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "echo other >> count\n").unwrap();
            fs::File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
        },
    },
    Swap {
        name: "another script in its place",
        ask: Ask::Line("sh script"),
        change: |at| put(&at.join("script"), "echo swapped >> count\n"),
    },
    Swap {
        name: "a link in the script's place",
        ask: Ask::Line("sh script"),
        change: |at| lead(&at.join("script"), "other"),
    },
    Swap { name: "where a link leads", ask: Ask::Line("sh link"), change: |at| lead(&at.join("link"), "other") },
    Swap {
        name: "what a link leads to",
        ask: Ask::Line("sh link"),
        change: |at| put(&at.join("script"), "echo swapped >> count\n"),
    },
    Swap {
        name: "a link above the script",
        ask: Ask::Line("sh directory/script"),
        change: |at| lead(&at.join("directory"), "b"),
    },
    Swap {
        name: "the directory above the script",
        ask: Ask::Line("sh a/script"),
        change: |at| {
            fs::rename(at.join("a"), at.join("c")).unwrap();
            fs::rename(at.join("b"), at.join("a")).unwrap();
        },
    },
    Swap {
        name: "the working directory",
        ask: Ask::Line("sh script"),
        change: |at| {
            fs::rename(at, at.with_extension("away")).unwrap();
            fs::create_dir(at).unwrap();
            fs::write(at.join("script"), "echo swapped >> count\n").unwrap();
        },
    },
    Swap {
        name: "a program of its own",
        ask: Ask::Line("./tool"),
        change: |at| put(&at.join("tool"), "#!/bin/sh\necho swapped >> count\n"),
    },
    Swap {
        name: "where a program's link leads",
        ask: Ask::Line("./tool-link"),
        change: |at| lead(&at.join("tool-link"), "evil"),
    },
    Swap {
        name: "a program before the system's in PATH",
        ask: Ask::Line("echo shown | tee -a count"),
        change: |at| program(&at.join("bin/tee"), "#!/bin/sh\necho swapped >> count\n"),
    },
    Swap {
        name: "a link before the system's program in PATH",
        ask: Ask::Line("echo shown | tee -a count"),
        change: |at| symlink("../evil", at.join("bin/tee")).unwrap(),
    },
    Swap {
        name: "whether a program may be run",
        ask: Ask::Line("./tool"),
        change: |at| fs::set_permissions(at.join("tool"), fs::Permissions::from_mode(0o644)).unwrap(),
    },
    Swap {
        name: "where a redirection leads",
        ask: Ask::Line("echo shown | tee -a count > /dev/null"),
        change: |at| symlink("../count-of-another", at.join("count")).unwrap(),
    },
    Swap {
        name: "the program of a session that is not confined",
        ask: Ask::Session("host", &["./tool"]),
        change: |at| put(&at.join("tool"), "#!/bin/sh\necho swapped >> count\n"),
    },
    Swap {
        name: "the script of a session that is not confined",
        ask: Ask::Session("host", &["sh", "script"]),
        change: |at| fs::write(at.join("script"), "echo swapped >> count\n").unwrap(),
    },
    Swap {
        name: "the working directory of a session that is not confined",
        ask: Ask::Session("host", &["sh", "script"]),
        change: |at| {
            fs::rename(at, at.with_extension("away")).unwrap();
            fs::create_dir(at).unwrap();
            fs::write(at.join("script"), "echo swapped >> count\n").unwrap();
        },
    },
    Swap {
        name: "the script of a session's program",
        ask: Ask::Session("workspace", &["sh", "link"]),
        change: |at| lead(&at.join("link"), "other"),
    },
];

/// An agent, and where it works.
struct Desk<'a> {
    baton: &'a Baton,
    steps: Stepped<'a>,
    agent: Api,
    person: Api,
}

impl<'a> Desk<'a> {
    async fn new(baton: &'a Baton) -> Self {
        let steps = Stepped::install(baton);
        let policy = format!("{POLICY}{}", session::folders_rule(baton.scratch()));
        fs::write(baton.home.policy_file(), policy).unwrap();
        // Read at the start.
        baton.kill_bridge().await;
        let token: Value =
            baton.api().post("/v1/auth/tokens", &json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let agent = baton.nobody().with_token(token["token"].as_str().unwrap());
        Self { baton, steps, agent, person: baton.api() }
    }

    /// A folder as [`lay_out`] has it, and a shell of the agent's there.
    async fn shell(&self, number: usize) -> (PathBuf, SessionId) {
        let folder = self.baton.scratch().join(format!("project/{number}"));
        fs::create_dir_all(&folder).unwrap();
        lay_out(&folder);
        let mut request = serde_json::to_value(session::bash()).unwrap();
        request["cwd"] = json!(folder);
        request["grants"] = json!([{"root_path": self.baton.scratch().join("project"),
            "allow_write": true, "allow_create": true, "allow_delete": true}]);
        request["env"]["PATH"] = json!(format!("{}:/usr/bin:/bin", folder.join("bin").display()));
        let made: Created = self.agent.post("/v1/terminal/sessions", &request).await;
        let claim = format!("/v1/terminal/sessions/{}/claim", made.session_id);
        let _: LeaseAnswer = self.agent.post(&claim, &json!({"client_id": CLIENT})).await;
        (folder, made.session_id)
    }

    async fn asks(&self, ask: Ask, folder: &Path, shell: SessionId) -> ApprovalRequest {
        let (path, body) = match ask {
            Ask::Line(line) => (
                format!("/v1/terminal/sessions/{shell}/exec"),
                json!({"client_id": CLIENT, "command": line, "timeout_s": 20}),
            ),
            Ask::Session(profile, command) => {
                ("/v1/terminal/sessions".to_owned(), json!({"sandbox": profile, "cwd": folder, "command": command}))
            }
        };
        let answer = self.agent.call(Method::POST, &path, Some(&body)).await;
        assert_eq!(answer.status, 202, "{ask:?}: {answer}");
        self.agent.get(&format!("/v1/approvals/{}", answer.json::<AwaitingApproval>().approval_id)).await
    }

    async fn end(&self, asked: &ApprovalRequest) -> ApprovalRequest {
        self.agent.get(&format!("/v1/approvals/{}?wait_s=30", asked.id)).await
    }
}

/// What has been counted in a folder, wherever that is now.
fn counted(folder: &Path) -> String {
    let places = [folder.join("count"), folder.with_extension("away").join("count")];
    places.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
}

#[test]
fn what_is_swapped_after_it_was_shown_is_not_done() {
    let setup = Setup::plain().installed().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(300), setup, async |baton: &Baton| {
        let desk = Desk::new(baton).await;
        let mut number = 0;
        for swap in SWAPS {
            for when in [When::Never, When::Thinking, When::Decided] {
                number += 1;
                let what = format!("{}, {when:?}", swap.name);
                let (folder, shell) = desk.shell(number).await;
                let asked = desk.asks(swap.ask, &folder, shell).await;
                let yes = decision("approve", &asked);
                let path = format!("/v1/approvals/{}/decision", asked.id);
                match when {
                    When::Never => decide(&desk.person, "approve", &asked).await,
                    When::Thinking => {
                        (swap.change)(&folder);
                        refused(&desk.person, "approve", &asked, ErrorCode::ContextChanged).await;
                        asked.clone()
                    }
                    When::Decided => {
                        desk.steps.stop_at("decided");
                        let changing = async {
                            desk.steps.until_stopped().await;
                            (swap.change)(&folder);
                            desk.steps.go_on();
                        };
                        let (decided, ()) = tokio::join!(desk.person.call(Method::POST, &path, Some(&yes)), changing);
                        assert_eq!(decided.status, 200, "{what}: {decided}");
                        decided.json()
                    }
                };
                let end = desk.end(&asked).await;
                if when == When::Never {
                    assert_eq!(end.status, ApprovalStatus::Executed, "{what}: {end:?}");
                    while counted(&folder) != "shown\n" {
                        assert!(!counted(&folder).contains("swapped"), "{what}");
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    continue;
                }
                assert_eq!(end.status, ApprovalStatus::Void, "{what}: {end:?}");
                // What asks in its place asks about what is there now, and the old yes is none for it.
                if let Some(next) = end.superseded_by {
                    let next: ApprovalRequest = desk.person.get(&format!("/v1/approvals/{next}")).await;
                    assert_ne!(next.context_hash, asked.context_hash, "{what}");
                    let path = format!("/v1/approvals/{}/decision", next.id);
                    let _ = desk.person.refused(Method::POST, &path, &yes, ErrorCode::ContextChanged).await;
                    decide(&desk.person, "deny", &next).await;
                }
                refused(&desk.person, "approve", &asked, ErrorCode::AlreadyDecided).await;
                // A line that nobody is asked about: whatever was typed before it has been run.
                let body = json!({"client_id": CLIENT, "command": "true", "timeout_s": 20});
                let done =
                    desk.agent.call(Method::POST, &format!("/v1/terminal/sessions/{shell}/exec"), Some(&body)).await;
                assert_eq!(done.status, 200, "{what}: {done}");
                assert_eq!(counted(&folder), "", "{what}");
            }
        }
        println!("{} swaps, each at two moments", SWAPS.len());
        let left = witness::seen(&baton.scratch().join("count-of-another"));
        assert_eq!(left, None);
    });
}

#[test]
fn what_is_asked_for_is_not_another_line_under_the_same_name() {
    let setup = Setup::plain().installed().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let desk = Desk::new(baton).await;
        let (folder, shell) = desk.shell(0).await;
        let harmless = desk.asks(Ask::Line("echo harmless | tee -a count"), &folder, shell).await;
        let harmful = desk.asks(Ask::Line("echo harmful | tee -a count"), &folder, shell).await;
        let path = |of: &ApprovalRequest| format!("/v1/approvals/{}/decision", of.id);
        // The yes to one is none to the other.
        let yes = decision("approve", &harmless);
        let _ = desk.person.refused(Method::POST, &path(&harmful), &yes, ErrorCode::ContextChanged).await;
        // Other words under the same key.
        let keyed = desk.agent.clone().with("idempotency-key", "one");
        let exec = format!("/v1/terminal/sessions/{shell}/exec");
        let line = |word: &str| json!({"client_id": CLIENT, "command": format!("echo {word} | tee -a count"), "timeout_s": 20});
        let first = keyed.call(Method::POST, &exec, Some(&line("first"))).await;
        let first: ApprovalRequest =
            desk.agent.get(&format!("/v1/approvals/{}", first.json::<AwaitingApproval>().approval_id)).await;
        let _ = keyed.refused(Method::POST, &exec, &line("second"), ErrorCode::IdempotencyMismatch).await;
        // Who may write to the database puts the one's payload under the other's id: nothing of it is believed.
        let database = rusqlite::Connection::open(baton.home.database_file()).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        let sql = "UPDATE approvals SET body = (SELECT body FROM approvals WHERE id = ?1) WHERE id = ?2";
        assert_eq!(database.execute(sql, [harmful.id.to_string(), harmless.id.to_string()]).unwrap(), 1);
        let answer = desk.person.call(Method::POST, &path(&harmless), Some(&yes)).await;
        assert_eq!(answer.problem().code, ErrorCode::Internal, "{answer}");
        // Or says that it was approved.
        let sql = "UPDATE approvals SET status = 'approved', run_hash = context_hash WHERE id = ?1";
        assert_eq!(database.execute(sql, [harmless.id.to_string()]).unwrap(), 1);
        drop(database);
        baton.kill_bridge().await;
        let body = json!({"client_id": CLIENT, "command": "true", "timeout_s": 20});
        let done = desk.agent.call(Method::POST, &exec, Some(&body)).await;
        assert_eq!(done.status, 200, "{done}");
        assert_eq!(counted(&folder), "");
        // What was left alone is what it was.
        decide(&desk.person, "approve", &first).await;
        assert_eq!(desk.end(&first).await.status, ApprovalStatus::Executed);
        assert_eq!(counted(&folder), "first\n");
    });
}
