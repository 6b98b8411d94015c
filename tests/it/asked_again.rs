//! What was allowed once is asked about again when it is something else by then, and has no other way in.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{AwaitingApproval, Created, SessionDetail};
use baton_tests::{Answer, Baton, Setup, scenario};
use http::Method;
use serde_json::{Value, json};

use super::approvals::{Agent, CLIENT};

const CREATE: &str = "/v1/terminal/sessions";

async fn exec(agent: &Agent, line: &str) -> Answer {
    let body = json!({"client_id": CLIENT, "command": line, "timeout_s": 20});
    agent.api.call(Method::POST, &agent.at("exec"), Some(&body)).await
}

#[test]
fn a_script_that_was_changed_is_not_the_one_that_is_remembered() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        let script = agent.folder.join("deploy.sh");
        std::fs::write(&script, "echo harmless >> said\n").unwrap();
        let asked = agent.asks("bash ./deploy.sh").await;
        let path = format!("/v1/approvals/{}/decision", asked.id);
        let body = json!({"decision": "approve", "context_hash": asked.context_hash, "remember": "session"});
        let _: Value = baton.api().post(&path, &body).await;
        agent.end(asked.id).await;
        // The same as it was shown: nobody is asked twice.
        assert_eq!(exec(&agent, "bash ./deploy.sh").await.status, 200);
        let log = baton.cli(["audit", "--action", "decision", "--json"]).await.ok();
        assert!(log.contains("\"remember\":\"session\"") || log.contains("\"remember\": \"session\""), "{log}");
        assert!(log.contains("remembered"), "{log}");
        std::fs::write(&script, "echo harmful >> said\n").unwrap();
        assert_eq!(exec(&agent, "bash ./deploy.sh").await.status, 202);
        assert_eq!(std::fs::read_to_string(agent.folder.join("said")).unwrap(), "harmless\nharmless\n");
    });
}

#[test]
fn what_a_session_resumes_with_is_judged_when_it_does() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        std::fs::create_dir(agent.folder.join("tree")).unwrap();
        let remove = json!(["rm", "-rf", "tree"]);
        let asked = agent.api.call(Method::POST, CREATE, Some(&json!({"cwd": agent.folder, "command": remove}))).await;
        assert_eq!(asked.status, 202, "{asked}");
        let made = async |request: Value| {
            let made: Created = agent.api.post(CREATE, &request).await;
            let path = format!("/v1/sessions/{}", made.session_id);
            let ended = |detail: &SessionDetail| !detail.session.status.is_living();
            let _: SessionDetail = baton.api().get_until(&path, ended).await;
            format!("{path}/respawn")
        };
        let resume = |command: Value| json!({"cwd": agent.folder, "command": ["true"], "resume_cmd": command});
        for command in [remove, json!(["sudo", "id"])] {
            let again = made(resume(command)).await;
            let problem = agent.api.refused(Method::POST, &again, &(), ErrorCode::Denied).await;
            assert!(problem.detail.contains("create a new one"), "{}", problem.detail);
            assert!(agent.folder.join("tree").exists());
        }
        // What it may start it may start again; a person may all of it.
        let again = made(resume(json!(["touch", "begun"]))).await;
        let _: SessionDetail = agent.api.post(&again, &()).await;
        while !agent.folder.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn held_is_whatever_an_agent_types() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        let path = format!("/v1/sessions/{}", agent.session);
        let _: SessionDetail = baton.api().patch(&path, &json!({"agent_input": "held"})).await;
        let typed = json!({"client_id": CLIENT, "text": "touch by-input\r"});
        assert_eq!(agent.api.call(Method::POST, &agent.at("input"), Some(&typed)).await.status, 202);
        let held = exec(&agent, "touch by-exec").await;
        assert_eq!(held.status, 202, "{held}");
        let signal = json!({"client_id": CLIENT, "signal": "INT"});
        agent.api.refused(Method::POST, &agent.at("signal"), &signal, ErrorCode::Denied).await;
        assert!(!agent.folder.join("by-input").exists() && !agent.folder.join("by-exec").exists());
        // A person releases it.
        let waits: AwaitingApproval = held.json();
        let asked = agent.seen(waits.approval_id).await;
        super::approvals::decide(&baton.api(), "approve", &asked).await;
        agent.end(asked.id).await;
        assert!(agent.folder.join("by-exec").exists() && !agent.folder.join("by-input").exists());
    });
}

#[test]
fn what_is_forbidden_at_home_is_so_whatever_the_session_calls_home() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        let rule = format!(
            "{}[[rule]]\nid = \"home\"\naction = \"agent.permission\"\nmatch = {{ path = [\"~\"] }}\ndecision = \"allow\"\n\
             risk = \"low\"\nreason = \"home\"\nexamples = {{ match = [\"folder.change ~\"], not_match = [\"network x\"] }}\n",
            super::approvals::POLICY
        );
        let line = format!("echo spoofed >> {}", baton.person().join(".bashrc").display());
        for env in [json!({}), json!({"HOME": "/tmp"}), json!({"HOME": agent.folder})] {
            std::fs::write(baton.home.policy_file(), &rule).unwrap();
            baton.kill_bridge().await;
            let request = json!({"grants": [{"root_path": baton.person(), "allow_write": true, "allow_create": true,
                "allow_delete": true}], "cwd": baton.person(), "env": env});
            let made: Created = agent.api.post(CREATE, &request).await;
            let at = |verb: &str| format!("{CREATE}/{}/{verb}", made.session_id);
            let _: Value = agent.api.post(&at("claim"), &json!({"client_id": CLIENT})).await;
            let body = json!({"client_id": CLIENT, "command": line, "timeout_s": 20});
            let answer = agent.api.call(Method::POST, &at("exec"), Some(&body)).await;
            assert_eq!(answer.status, 202, "{env}: {answer}");
        }
    });
}
