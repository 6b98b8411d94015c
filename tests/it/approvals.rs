//! Approvals over the real binaries: nothing is done that nobody approved, nothing twice, nothing else than what was shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{
    ApprovalRequest, ApprovalStatus, AwaitingApproval, ClientFrame, Created, LeaseAnswer, Page, SessionDetail,
};
use baton_proto::ids::{ApprovalId, SessionId};
use baton_tests::websocket::find;
use baton_tests::witness::read_below;
use baton_tests::{Api, Attach, Baton, Seed, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::{Value, json};

/// What a person is asked about here, beside what the shipped policy asks about.
pub(super) const POLICY: &str = include_str!("../policies/agent.toml");

pub(super) const CLIENT: &str = "agent:fixer";

/// An agent with a confined session of its own, in a folder of its own.
pub(super) struct Agent {
    pub(super) api: Api,
    pub(super) session: SessionId,
    pub(super) folder: PathBuf,
}

impl Agent {
    pub(super) async fn with(baton: &Baton, policy: &str) -> Self {
        let policy = format!("{policy}{}", session::folders_rule(baton.scratch()));
        std::fs::write(baton.home.policy_file(), policy).unwrap();
        // Read at the start.
        baton.kill_bridge().await;
        let token: Value =
            baton.api().post("/v1/auth/tokens", &json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let api = baton.nobody().with_token(token["token"].as_str().unwrap());
        let folder = baton.scratch().join("project");
        std::fs::create_dir_all(&folder).unwrap();
        let mut request = session::bash();
        request.cwd = Some(folder.to_str().unwrap().to_owned());
        let made: Created = api.post("/v1/terminal/sessions", &request).await;
        let agent = Self { api, session: made.session_id, folder };
        agent.claim().await;
        agent
    }

    pub(super) async fn start(baton: &Baton) -> Self {
        Self::with(baton, POLICY).await
    }

    pub(super) async fn claim(&self) -> LeaseAnswer {
        self.api.post(&self.at("claim"), &json!({"client_id": CLIENT})).await
    }

    pub(super) fn at(&self, verb: &str) -> String {
        format!("/v1/terminal/sessions/{}/{verb}", self.session)
    }

    /// Asks for a line; which approval asks.
    pub(super) async fn asks(&self, line: &str) -> ApprovalRequest {
        let body = json!({"client_id": CLIENT, "command": line, "timeout_s": 20});
        let answer = self.api.call(Method::POST, &self.at("exec"), Some(&body)).await;
        assert_eq!(answer.status, 202, "{answer}");
        let waits: AwaitingApproval = answer.json();
        self.seen(waits.approval_id).await
    }

    pub(super) async fn seen(&self, id: ApprovalId) -> ApprovalRequest {
        self.api.get(&format!("/v1/approvals/{id}")).await
    }

    /// What became of it.
    pub(super) async fn end(&self, id: ApprovalId) -> ApprovalRequest {
        self.api.get(&format!("/v1/approvals/{id}?wait_s=30")).await
    }

    /// Appends a line to `count`, when it is done.
    pub(super) fn counts(&self, word: &str) -> String {
        format!("echo {word} | tee -a count")
    }

    pub(super) fn counted(&self, word: &str) -> usize {
        let text = std::fs::read_to_string(self.folder.join("count")).unwrap_or_default();
        text.lines().filter(|line| *line == word).count()
    }
}

pub(super) fn decision(word: &str, of: &ApprovalRequest) -> Value {
    json!({"decision": word, "context_hash": of.context_hash})
}

pub(super) async fn decide(api: &Api, word: &str, of: &ApprovalRequest) -> ApprovalRequest {
    api.post(&format!("/v1/approvals/{}/decision", of.id), &decision(word, of)).await
}

pub(super) async fn refused(api: &Api, word: &str, of: &ApprovalRequest, code: ErrorCode) {
    let path = format!("/v1/approvals/{}/decision", of.id);
    let _ = api.refused(Method::POST, &path, &decision(word, of), code).await;
}

#[test]
fn what_is_approved_is_done_once_and_what_is_denied_never() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        // What nobody has to be asked about is done at once.
        let body = json!({"client_id": CLIENT, "command": "echo free > free; cat free", "timeout_s": 20});
        let done = agent.api.call(Method::POST, &agent.at("exec"), Some(&body)).await;
        if done.status == 202 {
            let waits: AwaitingApproval = done.json();
            panic!("it was asked about: {:#?}", agent.seen(waits.approval_id).await);
        }
        assert_eq!(done.json::<Value>()["exit_code"], 0, "{done}");
        let asked = agent.asks(&agent.counts("yes")).await;
        assert_eq!(asked.status, ApprovalStatus::Pending);
        assert_eq!(asked.payload["command"], agent.counts("yes"));
        assert!(asked.rule_ids.contains(&"ask-tee".to_owned()), "{asked:?}");
        // An agent decides nothing, and nobody decides about what was not shown.
        refused(&agent.api, "approve", &asked, ErrorCode::Forbidden).await;
        let other = ApprovalRequest { context_hash: "00".repeat(32), ..asked.clone() };
        refused(&person, "approve", &other, ErrorCode::ContextChanged).await;
        assert_eq!(agent.counted("yes"), 0);
        decide(&person, "approve", &asked).await;
        let end = agent.end(asked.id).await;
        assert_eq!(end.status, ApprovalStatus::Executed, "{end:?}");
        assert_eq!(end.result.as_ref().unwrap()["exit_code"], 0);
        refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
        refused(&person, "deny", &asked, ErrorCode::AlreadyDecided).await;
        assert_eq!(agent.counted("yes"), 1);
        // A no, with words for who asked.
        let asked = agent.asks(&agent.counts("no")).await;
        let body = json!({"decision": "deny", "context_hash": asked.context_hash, "notes": "not today"});
        let denied: ApprovalRequest = person.post(&format!("/v1/approvals/{}/decision", asked.id), &body).await;
        assert_eq!(denied.status, ApprovalStatus::Denied);
        refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
        assert_eq!(agent.end(asked.id).await.notes.as_deref(), Some("not today"));
        // What the policy forbids is asked of nobody.
        let body = json!({"client_id": CLIENT, "command": "shred count", "timeout_s": 20});
        let problem = agent.api.refused(Method::POST, &agent.at("exec"), &body, ErrorCode::Denied).await;
        assert!(problem.detail.contains("never-shred"), "{problem:?}");
        let pending: Page<ApprovalRequest> = person.get("/v1/approvals?status=pending").await;
        assert!(pending.items.is_empty(), "{pending:?}");
        assert_eq!((agent.counted("yes"), agent.counted("no")), (1, 0));
        // The same after a restart like a crash.
        let before: Page<ApprovalRequest> = person.get("/v1/approvals").await;
        baton.kill_bridge().await;
        let after: Page<ApprovalRequest> = person.get("/v1/approvals").await;
        assert_eq!(before.items, after.items);
        assert_eq!((agent.counted("yes"), agent.counted("no")), (1, 0));
    });
}

#[test]
fn of_fifty_decisions_one_counts_and_the_others_learn_whose() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        for round in 0..4 {
            let word = format!("w{round}");
            let asked = agent.asks(&agent.counts(&word)).await;
            let path = format!("/v1/approvals/{}/decision", asked.id);
            let deciding = (0..50).map(|number| {
                let body = decision(if number % 2 == 0 { "approve" } else { "deny" }, &asked);
                let (person, path) = (person.clone(), path.clone());
                async move { person.call(Method::POST, &path, Some(&body)).await }
            });
            let answers = futures_util::future::join_all(deciding).await;
            let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
            assert_eq!(won.len(), 1, "one wins");
            for lost in answers.iter().filter(|answer| answer.status != 200) {
                let problem = lost.problem();
                assert_eq!(problem.code, ErrorCode::AlreadyDecided, "{lost}");
                assert!(problem.detail.contains(" by "), "who was faster is told: {}", problem.detail);
            }
            let won: ApprovalRequest = won[0].json();
            let end = agent.end(asked.id).await;
            let times = usize::from(won.decision == Some(baton_proto::api::Decision::Approve));
            assert_eq!(agent.counted(&word), times, "{end:?}");
        }
    });
}

#[test]
fn what_changed_since_it_was_shown_is_not_done_and_is_asked_again() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let script = agent.folder.join("deploy.sh");
        std::fs::write(&script, "echo harmless\n").unwrap();
        let line = "sh deploy.sh | tee -a count".to_owned();
        let next = async |asked: &ApprovalRequest| {
            refused(&person, "approve", asked, ErrorCode::ContextChanged).await;
            let void = agent.seen(asked.id).await;
            assert_eq!(void.status, ApprovalStatus::Void, "{void:?}");
            let next = agent.seen(void.superseded_by.expect("asked again")).await;
            assert_eq!((next.status, next.supersedes), (ApprovalStatus::Pending, Some(asked.id)));
            next
        };
        // The file was edited.
        let asked = agent.asks(&line).await;
        std::fs::write(&script, "echo harmful\n").unwrap();
        let asked = next(&asked).await;
        // Another file stands in its place.
        let other = agent.folder.join("other.sh");
        std::fs::write(&other, "echo harmful\n").unwrap();
        std::fs::rename(&other, &script).unwrap();
        let asked = next(&asked).await;
        // A link leads elsewhere.
        std::fs::remove_file(&script).unwrap();
        std::fs::write(agent.folder.join("a"), "echo a\n").unwrap();
        std::os::unix::fs::symlink("a", &script).unwrap();
        let asked = next(&asked).await;
        // The policy is another one.
        std::fs::write(baton.home.policy_file(), format!("# mended\n{POLICY}")).unwrap();
        baton.kill_bridge().await;
        let asked = next(&asked).await;
        // A person took control: the agent, which lost it, is not asked for again.
        let mut pia = baton.attach(agent.session, Attach::named("Pia")).await;
        pia.claim(false).await.unwrap();
        refused(&person, "approve", &asked, ErrorCode::ContextChanged).await;
        let void = agent.seen(asked.id).await;
        assert_eq!((void.status, void.superseded_by), (ApprovalStatus::Void, None));
        assert!(!agent.folder.join("count").exists(), "nothing of it was done");
        // Given back, it asks anew, and is done.
        pia.send(ClientFrame::Release).await;
        agent.claim_until_held().await;
        let asked = agent.asks(&line).await;
        decide(&person, "approve", &asked).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        assert_eq!(agent.counted("a"), 1);
    });
}

impl Agent {
    /// Claims once the person's release has been carried out.
    pub(super) async fn claim_until_held(&self) {
        let free = |detail: &SessionDetail| detail.session.lease.is_none();
        let _: SessionDetail = self.api.get_until(&format!("/v1/sessions/{}", self.session), free).await;
        self.claim().await;
    }
}

#[test]
fn an_edit_is_judged_anew() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let edit = |of: &ApprovalRequest, line: &str| {
            let mut payload = of.payload.clone();
            payload["command"] = line.into();
            json!({"decision": "edit", "context_hash": of.context_hash, "edited_payload": payload})
        };
        let path = |of: &ApprovalRequest| format!("/v1/approvals/{}/decision", of.id);
        let asked = agent.asks(&agent.counts("asked")).await;
        // What is forbidden stays so; what is another session's is no edit.
        let _ = person.refused(Method::POST, &path(&asked), &edit(&asked, "shred x"), ErrorCode::Denied).await;
        let mut elsewhere = edit(&asked, "true");
        elsewhere["edited_payload"]["client_id"] = "agent:other".into();
        let _ = person.refused(Method::POST, &path(&asked), &elsewhere, ErrorCode::Invalid).await;
        let edited: ApprovalRequest = person.post(&path(&asked), &edit(&asked, &agent.counts("edited"))).await;
        assert_eq!(edited.status, ApprovalStatus::Edited, "{edited:?}");
        let end = agent.end(asked.id).await;
        assert_eq!(end.status, ApprovalStatus::Executed, "{end:?}");
        assert_eq!((agent.counted("asked"), agent.counted("edited")), (0, 1));
        // An edit that is riskier than what was asked for asks for itself.
        std::fs::create_dir(agent.folder.join("tree")).unwrap();
        let asked = agent.asks(&agent.counts("asked")).await;
        let superseded: ApprovalRequest = person.post(&path(&asked), &edit(&asked, "rm -rf tree")).await;
        assert_eq!(superseded.status, ApprovalStatus::Superseded, "{superseded:?}");
        let next = agent.seen(superseded.superseded_by.unwrap()).await;
        assert!(next.risk_level > asked.risk_level && next.status == ApprovalStatus::Pending, "{next:?}");
        assert!(agent.folder.join("tree").exists() && agent.counted("asked") == 0);
        decide(&person, "approve", &next).await;
        assert_eq!(agent.end(next.id).await.status, ApprovalStatus::Executed);
        assert!(!agent.folder.join("tree").exists());
    });
}

#[test]
fn silence_is_a_no_and_who_asked_may_take_it_back() {
    let setup = Setup::plain().env("BATON_APPROVAL__TTL_S", "2");
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let asked = agent.asks(&agent.counts("late")).await;
        let end = agent.end(asked.id).await;
        assert_eq!(end.status, ApprovalStatus::Expired, "{end:?}");
        refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
        let asked = agent.asks(&agent.counts("back")).await;
        let _ = person
            .refused(Method::POST, &format!("/v1/approvals/{}/cancel", asked.id), &json!({}), ErrorCode::Forbidden)
            .await;
        let back: ApprovalRequest = agent.api.post(&format!("/v1/approvals/{}/cancel", asked.id), &json!({})).await;
        assert_eq!(back.status, ApprovalStatus::Cancelled);
        refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
        assert_eq!((agent.counted("late"), agent.counted("back")), (0, 0));
    });
}

#[test]
fn the_same_key_finds_the_same_approval() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let keyed = agent.api.clone().with("idempotency-key", "one");
        let body = json!({"client_id": CLIENT, "command": agent.counts("keyed"), "timeout_s": 20});
        let first: AwaitingApproval = keyed.call(Method::POST, &agent.at("exec"), Some(&body)).await.json();
        baton.kill_bridge().await;
        let again: AwaitingApproval = keyed.call(Method::POST, &agent.at("exec"), Some(&body)).await.json();
        assert_eq!(first, again);
        let asked = agent.seen(first.approval_id).await;
        decide(&person, "approve", &asked).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        let done: AwaitingApproval = keyed.call(Method::POST, &agent.at("exec"), Some(&body)).await.json();
        assert_eq!((done.approval_id, done.status), (asked.id, ApprovalStatus::Executed));
        assert_eq!(agent.counted("keyed"), 1);
        let other = json!({"client_id": CLIENT, "command": agent.counts("other"), "timeout_s": 20});
        let _ = keyed.refused(Method::POST, &agent.at("exec"), &other, ErrorCode::IdempotencyMismatch).await;
    });
}

#[test]
fn held_input_is_typed_once_a_person_releases_it() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let patch = json!({"agent_input": "held"});
        let path = format!("/v1/sessions/{}", agent.session);
        let _ = agent.api.refused(Method::PATCH, &path, &patch, ErrorCode::Forbidden).await;
        let _: SessionDetail = person.patch(&path, &patch).await;
        let text = json!({"client_id": CLIENT, "text": "echo held >> held\r"});
        let waits: AwaitingApproval = agent.api.call(Method::POST, &agent.at("input"), Some(&text)).await.json();
        let asked = agent.seen(waits.approval_id).await;
        assert_eq!(asked.payload["shown"], "echo held >> held\\r", "{asked:?}");
        // By its socket too.
        let mut stream =
            StreamClient::open(&agent.api, agent.session, Attach::named("fixer").client(&CLIENT.parse().unwrap()))
                .await
                .unwrap();
        stream.input(b"echo typed >> typed\r", stream.ready.epoch, 1).await;
        let told = stream.until_error().await;
        assert_eq!(told.code, ErrorCode::ApprovalRequired, "{told:?}");
        // A person's is typed as ever.
        assert!(!agent.folder.join("held").exists());
        decide(&person, "approve", &asked).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        stream.until_output("held >> held").await;
        let direct: SessionDetail = person.patch(&path, &json!({"agent_input": "direct"})).await;
        assert_eq!(direct.session.agent_input, baton_proto::api::AgentInput::Direct);
        stream.input(b"echo free-$((20+3))\r", stream.epoch, 2).await;
        stream.until_output("free-23").await;
        assert!(!agent.folder.join("typed").exists(), "nobody released it");
    });
}

#[test]
fn a_session_that_is_not_confined_and_control_of_another_are_asked_for() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let mut request = session::bash();
        request.sandbox = Some(baton_proto::spec::Profile::Host);
        let answer = agent.api.call(Method::POST, "/v1/terminal/sessions", Some(&request)).await;
        assert_eq!(answer.status, 202, "{answer}");
        let waits: AwaitingApproval = answer.json();
        let asked = agent.seen(waits.approval_id).await;
        assert_eq!(asked.action.as_deref(), Some("session.unsandboxed"));
        let all: Page<baton_proto::api::Session> = person.get("/v1/sessions").await;
        assert_eq!(all.items.len(), 1, "it is not there yet");
        decide(&person, "approve", &asked).await;
        let end = agent.end(asked.id).await;
        let made: SessionId = end.result.unwrap()["session_id"].as_str().unwrap().parse().unwrap();
        let detail: SessionDetail = agent.api.get(&format!("/v1/sessions/{made}")).await;
        assert_eq!(detail.session.sandbox.profile, baton_proto::spec::Profile::Host);
        // What it does there is asked about, line by line.
        let at = |verb: &str| format!("/v1/terminal/sessions/{made}/{verb}");
        let _: LeaseAnswer = agent.api.post(&at("claim"), &json!({"client_id": CLIENT})).await;
        let body = json!({"client_id": CLIENT, "command": "id", "timeout_s": 20});
        let answer = agent.api.call(Method::POST, &at("exec"), Some(&body)).await;
        assert_eq!(answer.status, 202, "{answer}");
        // Somebody else's session, shown to it: control is asked for.
        let folder = baton.scratch().join("persons");
        std::fs::create_dir_all(&folder).unwrap();
        let mut request = session::bash();
        request.sandbox = Some(baton_proto::spec::Profile::Workspace);
        request.cwd = Some(folder.to_str().unwrap().to_owned());
        let persons = baton.create(&request).await;
        let path = format!("/v1/sessions/{persons}");
        let _ = agent.api.refused(Method::GET, &path, &(), ErrorCode::NotFound).await;
        let _: SessionDetail = person.patch(&path, &json!({"owner_agent_id": "fixer"})).await;
        let claim = format!("/v1/terminal/sessions/{persons}/claim");
        let answer = agent.api.call(Method::POST, &claim, Some(&json!({"client_id": CLIENT}))).await;
        assert_eq!(answer.status, 202, "{answer}");
        let waits: AwaitingApproval = answer.json();
        let asked = agent.seen(waits.approval_id).await;
        decide(&person, "approve", &asked).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        let detail: SessionDetail = person.get(&path).await;
        assert_eq!(detail.session.lease.unwrap().owner.to_string(), CLIENT);
    });
}

#[test]
fn a_bridge_killed_at_any_step_does_nothing_twice_and_nothing_unapproved() {
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(240), setup, async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let mut seed = Seed::from_env();
        let mut unknown = 0;
        for round in 0..16 {
            let word = format!("r{round}");
            let approve = round % 4 != 3;
            let before = seed.millis(0..40);
            let asked = agent.asks(&agent.counts(&word)).await;
            let deciding = async {
                let body = decision(if approve { "approve" } else { "deny" }, &asked);
                let body = serde_json::to_vec(&body).unwrap();
                // Its answer may be lost with the bridge.
                drop(person.send(Method::POST, &format!("/v1/approvals/{}/decision", asked.id), Some(body)).await);
            };
            let killing = async {
                tokio::time::sleep(before).await;
                baton.kill_bridge().await;
            };
            tokio::join!(deciding, killing);
            let mut end = agent.seen(asked.id).await;
            if end.status == ApprovalStatus::Pending {
                // The kill came before the decision: it is the person's to make again.
                let path = format!("/v1/approvals/{}/decision", asked.id);
                let body = decision(if approve { "approve" } else { "deny" }, &asked);
                let answer = person.call(Method::POST, &path, Some(&body)).await;
                assert!(answer.status == 200 || answer.problem().code == ErrorCode::ContextChanged, "{answer}");
            }
            if !end.status.is_final() {
                end = agent.end(asked.id).await;
            }
            let times = agent.counted(&word);
            match end.status {
                ApprovalStatus::Executed => assert_eq!(times, 1, "{end:?}"),
                ApprovalStatus::OutcomeUnknown => {
                    assert!(times <= 1, "{end:?}");
                    unknown += 1;
                }
                ApprovalStatus::Denied | ApprovalStatus::Void | ApprovalStatus::Failed => {
                    assert_eq!(times, 0, "{end:?}")
                }
                other => panic!("{other:?}: {end:?}"),
            }
            assert!(approve || end.status == ApprovalStatus::Denied, "{end:?}");
            // What was decided stays so, and a replay of the old decision does nothing.
            baton.kill_bridge().await;
            let path = format!("/v1/approvals/{}/decision", asked.id);
            let again = person.call(Method::POST, &path, Some(&decision("approve", &asked))).await;
            assert_eq!(again.problem().code, ErrorCode::AlreadyDecided, "{again}");
            assert_eq!(agent.counted(&word), times);
        }
        eprintln!("outcome unknown in {unknown} of 16");
    });
}

/// The files below a directory that hold a text.
fn holds(directory: &Path, text: &str) -> Vec<PathBuf> {
    let files = read_below(directory).into_iter();
    files.filter(|(_, bytes)| find(bytes, text.as_bytes()).is_some()).map(|(file, _)| file).collect()
}

/// The columns of the database that hold a text, of every table.
fn columns_with(database: &Path, text: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(database).unwrap();
    let mut tables = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() >= 10, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = rows.column_names().map(str::to_owned).collect();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (at, name) in names.iter().enumerate() {
                let bytes = match row.get_ref(at).unwrap() {
                    rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => bytes,
                    _ => continue,
                };
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(format!("{table}.{name}: {}", String::from_utf8_lossy(bytes)));
                }
            }
        }
    }
    found
}

#[test]
fn what_is_asked_for_stands_nowhere_in_clear() {
    const CANARY: &str = "canary-9d2f7b61";
    let setup = Setup::plain().env("BATON_LOG", "debug");
    scenario(Duration::from_secs(120), setup, async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let decide_as = |key: &str| person.with("idempotency-key", key);
        let asked = agent.asks(&format!("echo {CANARY} | tee -a count")).await;
        let body = json!({"decision": "deny", "context_hash": asked.context_hash, "notes": format!("no {CANARY}")});
        let path = format!("/v1/approvals/{}/decision", asked.id);
        let denied: Value = decide_as("deny").post(&path, &body).await;
        let replayed = decide_as("deny").call(Method::POST, &path, Some(&body)).await;
        assert_eq!(replayed.header("idempotent-replayed"), Some("true"), "{replayed}");
        assert_eq!(replayed.json::<Value>(), denied);
        let other = json!({"decision": "approve", "context_hash": asked.context_hash});
        let _ = decide_as("deny").refused(Method::POST, &path, &other, ErrorCode::IdempotencyMismatch).await;
        let asked = agent.asks(&format!("echo {CANARY} | tee -a count")).await;
        assert!(asked.payload.to_string().contains(CANARY), "the person sees it");
        // Sessions have arguments, and what they are started with again.
        let mut request = session::bash();
        request.resume_cmd = Some(vec!["echo".to_owned(), CANARY.to_owned()]);
        let made: Created = decide_as("create").post("/v1/terminal/sessions", &request).await;
        let detail: Value =
            decide_as("patch").patch(&format!("/v1/sessions/{}", made.session_id), &json!({"title": "mine"})).await;
        assert!(detail.to_string().contains(CANARY), "{detail}");
        baton.kill_bridge().await;
        assert!(agent.seen(asked.id).await.payload.to_string().contains(CANARY), "the next bridge knows it");
        let replayed = decide_as("deny").call(Method::POST, &path, Some(&body)).await;
        assert_eq!(replayed.json::<Value>(), denied, "and what was answered");
        let detail: SessionDetail = person.get(&format!("/v1/sessions/{}", made.session_id)).await;
        assert_eq!(detail.session.resume_cmd.unwrap(), ["echo", CANARY]);
        for directory in [&baton.home.config, &baton.home.state, &baton.home.runtime] {
            let found = holds(directory, CANARY);
            assert!(found.is_empty(), "{found:?}");
        }

        // A line that runs, in a shell that tells which; in its journal it stands from here on.
        let marks = baton.cli(["shell-integration", "bash"]).await.ok();
        std::fs::write(agent.folder.join("marks.bash"), marks).unwrap();
        let body = json!({"client_id": CLIENT, "command": ". ./marks.bash", "timeout_s": 20});
        let answer = agent.api.call(Method::POST, &agent.at("exec"), Some(&body)).await;
        if answer.status == 202 {
            let waits: AwaitingApproval = answer.json();
            decide(&person, "approve", &agent.seen(waits.approval_id).await).await;
            assert_eq!(agent.end(waits.approval_id).await.status, ApprovalStatus::Executed);
        }
        let asked = agent.asks(&format!("echo {CANARY} | tee -a count")).await;
        let path = format!("/v1/approvals/{}/decision", asked.id);
        let _: ApprovalRequest = decide_as("approve").post(&path, &decision("approve", &asked)).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        let events = format!("/v1/sessions/{}/events?type=mark&limit=1000", agent.session);
        let told = |page: &Value| page.to_string().contains(CANARY);
        let _: Value = person.get_until(&events, told).await;
        baton.kill_bridge().await;
        let _: Value = person.get_until(&events, told).await;
        let (journals, others): (Vec<_>, Vec<_>) =
            holds(&baton.home.state, CANARY).into_iter().partition(|file| file.starts_with(baton.home.sessions_dir()));
        assert!(others.is_empty() && !journals.is_empty(), "{others:?}");
        let columns = columns_with(&baton.home.database_file(), CANARY);
        assert!(columns.is_empty(), "{columns:?}");
        assert!(!columns_with(&baton.home.database_file(), "agent:fixer").is_empty(), "it finds what is there");
    });
}

#[test]
fn what_was_not_run_is_not_said_to_be() {
    let policy = format!(
        "{POLICY}\n[[rule]]\nid = \"spawn-tee\"\naction = \"process.spawn\"\nmatch = {{ program = \"tee\" }}\n\
         decision = \"ask\"\nrisk = \"low\"\nreason = \"writes\"\nexamples = {{ match = [\"tee x\"] }}\n"
    );
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::with(baton, &policy).await, baton.api());
        let create = |words: &[&str]| json!({"terminal_id": "t", "command": words, "cwd": agent.folder});
        let answer = agent.api.call(Method::POST, "/v1/terminal/sessions", Some(&create(&["tee", "made"]))).await;
        assert_eq!(answer.status, 202, "{answer}");
        let waits: AwaitingApproval = answer.json();
        let other: Created = agent.api.post("/v1/terminal/sessions", &create(&["sleep", "100"])).await;
        decide(&person, "approve", &agent.seen(waits.approval_id).await).await;
        let end = agent.end(waits.approval_id).await;
        assert_eq!(end.status, ApprovalStatus::Failed, "{end:?}");
        let result = end.result.unwrap();
        assert_eq!(result["code"], "session_running", "{result}");
        assert!(result["detail"].as_str().unwrap().contains(&other.session_id.to_string()), "{result}");
        assert!(!agent.folder.join("made").exists());
    });
}

#[test]
fn what_a_person_who_came_by_tailscale_asks_for_can_be_approved() {
    let policy = POLICY.replace(
        "action = \"terminal.exec\"\nmatch = { program = \"tee\" }",
        "action = \"terminal.exec\"\nmatch = { program = \"tee\" }\nprincipal = { kind = \"person\" }",
    );
    let setup = Setup::plain().env("BATON_SERVER__TAILSCALE", "{\"ada@example.com\" = \"owner\"}");
    scenario(Duration::from_secs(90), setup, async |baton: &Baton| {
        std::fs::write(baton.home.policy_file(), &policy).unwrap();
        baton.kill_bridge().await;
        let door = baton
            .nobody()
            .with("tailscale-user-login", "ada@example.com")
            .with("x-forwarded-for", "100.101.102.103")
            .with("x-forwarded-proto", "https");
        let answer = door.call(Method::POST, "/v1/auth/login", Some(&json!({}))).await;
        assert_eq!(answer.status, 200, "{answer}");
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let login: baton_proto::api::LoginAnswer = answer.json();
        let ada = door.with("cookie", &cookie).with("x-baton-key", &login.key);
        let session = baton.create(&session::bash()).await;
        let client = session::client_id();
        let at = |verb: &str| format!("/v1/terminal/sessions/{session}/{verb}");
        let _: LeaseAnswer = ada.post(&at("claim"), &json!({"client_id": client})).await;
        for (word, status) in [("approve", ApprovalStatus::Executed), ("deny", ApprovalStatus::Denied)] {
            let body = json!({"client_id": client, "command": "echo x | tee /dev/null", "timeout_s": 20});
            let answer = ada.call(Method::POST, &at("exec"), Some(&body)).await;
            assert_eq!(answer.status, 202, "{answer}");
            let waits: AwaitingApproval = answer.json();
            let path = format!("/v1/approvals/{}", waits.approval_id);
            let asked: ApprovalRequest = baton.api().get(&path).await;
            assert_eq!(asked.requested_by_name, "ada@example.com");
            decide(&baton.api(), word, &asked).await;
            let end: ApprovalRequest = baton.api().get(&format!("{path}?wait_s=30")).await;
            assert_eq!(end.status, status, "{end:?}");
        }
    });
}

#[test]
fn an_edit_that_cannot_be_done_is_refused_to_who_made_it() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let asked = agent.asks(&agent.counts("asked")).await;
        let path = format!("/v1/approvals/{}/decision", asked.id);
        let edit = |field: &str, value: Value| {
            let mut payload = asked.payload.clone();
            payload[field] = value;
            json!({"decision": "edit", "context_hash": asked.context_hash, "edited_payload": payload})
        };
        for (field, value, code) in [
            ("command", json!("echo \u{1b}[2J"), ErrorCode::Invalid),
            ("command", json!("x".repeat(4000)), ErrorCode::Invalid),
            ("command", json!("x".repeat(200 << 10)), ErrorCode::TooLarge),
            ("command", json!(""), ErrorCode::Invalid),
            ("command", json!(" \n"), ErrorCode::Invalid),
            ("timeout_s", json!(-1), ErrorCode::Invalid),
        ] {
            let _ = person.refused(Method::POST, &path, &edit(field, value), code).await;
        }
        assert_eq!(agent.seen(asked.id).await.status, ApprovalStatus::Pending, "it goes on waiting");
        let body = edit("command", json!(agent.counts("edited")));
        let _: ApprovalRequest = person.post(&path, &body).await;
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Executed);
        assert_eq!(agent.counted("edited"), 1);

        // The program of a session.
        let mut request = session::bash();
        request.sandbox = Some(baton_proto::spec::Profile::Host);
        let waits: AwaitingApproval =
            agent.api.call(Method::POST, "/v1/terminal/sessions", Some(&request)).await.json();
        let asked = agent.seen(waits.approval_id).await;
        let path = format!("/v1/approvals/{}/decision", asked.id);
        for (field, value) in [
            ("command", json!([])),
            ("command", json!(["a\0b"])),
            ("cwd", json!("not/absolute")),
            ("title", json!("a\u{202e}b")),
            ("cols", json!(0)),
            ("terminal_id", json!("")),
            ("env", json!({"A=B": "x"})),
        ] {
            let mut payload = asked.payload.clone();
            payload[field] = value;
            let body = json!({"decision": "edit", "context_hash": asked.context_hash, "edited_payload": payload});
            let _ = person.refused(Method::POST, &path, &body, ErrorCode::Invalid).await;
        }
        assert_eq!(agent.seen(asked.id).await.status, ApprovalStatus::Pending);
    });
}

#[test]
fn what_a_person_is_shown_is_all_there_is() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        let hidden = ["\u{202e}", "\u{200b}", "\u{2028}", "\t"];
        let line = format!("echo '{}' | tee -a count{}; echo second", hidden.concat(), " ".repeat(400));
        let asked = agent.asks(&line).await;
        let id = asked.id.to_string();
        let list = baton.cli(["approvals", "list"]).await.ok();
        let show = baton.cli(["approvals", "show", &id]).await.ok();
        for text in [&list, &show] {
            assert!(hidden.iter().all(|char| !text.contains(char)), "{text:?}");
            for name in [r"\u{202e}", r"\u{200b}", r"\u{2028}", r"\t"] {
                assert!(text.contains(name), "{name}: {text}");
            }
        }
        assert!(list.contains("… (+") && list.contains(" characters)"), "{list}");
        assert!(!list.contains("second") && show.contains("; echo second"), "{list} {show}");

        // Names that look like others.
        for name in ["a\u{202e}b", "own\u{200b}er", "a\u{2028}b"] {
            let body = json!({"name": name, "role": "viewer"});
            let _ = baton.api().refused(Method::POST, "/v1/auth/tokens", &body, ErrorCode::Invalid).await;
            let path = format!("/v1/sessions/{}", agent.session);
            let _ = baton.api().refused(Method::PATCH, &path, &json!({"title": name}), ErrorCode::Invalid).await;
        }
    });
}
