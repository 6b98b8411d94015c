//! An agent makes a session: what the session is granted beyond what the agent has, a person is asked about.

use std::path::Path;
use std::time::Duration;

use baton_proto::api::{ApprovalRequest, ApprovalStatus, AwaitingApproval, Created, Page, Session};
use baton_proto::ids::SessionId;
use baton_proto::{ErrorCode, api};
use baton_tests::{Api, Baton, Setup, scenario};
use http::Method;
use serde_json::{Value, json};

use super::approvals::decide;

const POLICY: &str = r#"
[[rule]]
id = "sources"
action = "agent.permission"
match = { name = ["folder.change", "folder.read"], path = ["~/src/**"] }
decision = "allow"
risk = "low"
reason = "its work"
examples = { match = ["folder.change ~/src/app"], not_match = ["folder.change ~/other", "network src"] }

[[rule]]
id = "registry"
action = "agent.permission"
match = { name = ["network"], host = ["*.example"] }
decision = "allow"
risk = "low"
reason = "packages"
examples = { match = ["network a.example"], not_match = ["network example.org", "folder.read ~/a.example"] }
"#;

const CREATE: &str = "/v1/terminal/sessions";

async fn agent(baton: &Baton, name: &str) -> Api {
    let request = json!({"name": name, "role": "agent", "agent_id": name});
    let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
    baton.nobody().with_token(made["token"].as_str().expect("the secret, this once"))
}

fn folder(baton: &Baton, name: &str) -> String {
    let path = baton.scratch().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path.display().to_string()
}

/// The approval that it waits for.
async fn asked(baton: &Baton, agent: &Api, request: &Value) -> ApprovalRequest {
    let answer = agent.call(Method::POST, CREATE, Some(request)).await;
    assert_eq!(answer.status, 202, "{request}: {}", String::from_utf8_lossy(&answer.body));
    let waiting: AwaitingApproval = serde_json::from_slice(&answer.body).unwrap();
    baton.api().get(&format!("/v1/approvals/{}", waiting.approval_id)).await
}

async fn made(agent: &Api, request: &Value) -> SessionId {
    let answer = agent.call(Method::POST, CREATE, Some(request)).await;
    assert_eq!(answer.status, 201, "{request}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice::<Created>(&answer.body).unwrap().session_id
}

fn grant(path: &str, write: bool) -> Value {
    json!([{"root_path": path, "allow_write": write, "allow_create": write, "allow_delete": write}])
}

async fn executed(baton: &Baton, approval: &ApprovalRequest) -> SessionId {
    decide(&baton.api(), "approve", approval).await;
    let done = |it: &ApprovalRequest| it.status == ApprovalStatus::Executed;
    let done: ApprovalRequest = baton.api().get_until(&format!("/v1/approvals/{}", approval.id), done).await;
    done.result.unwrap()["session_id"].as_str().unwrap().parse().unwrap()
}

async fn close(baton: &Baton, session: SessionId) {
    baton.api().post_done(&format!("{CREATE}/{session}/close"), &json!({})).await;
    let ended = |detail: &api::SessionDetail| !detail.session.status.is_living();
    let _: api::SessionDetail = baton.api().get_until(&format!("/v1/sessions/{session}"), ended).await;
}

#[test]
fn an_agent_grants_itself_nothing() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let fixer = agent(baton, "fixer").await;
        let (project, other) = (folder(baton, "project"), folder(baton, "other"));
        let whole = json!({"grants": grant(&project, true)});
        // A place of its own is nobody's business.
        made(&fixer, &json!({})).await;
        // A folder, a directory to begin in, something to read, a host: each is asked about, and shown.
        for (request, says) in [
            (whole.clone(), "folder.change"),
            (json!({"cwd": project}), "folder.change"),
            (json!({"grants": grant(&other, false)}), "folder.read"),
            (json!({"command": ["/bin/true"], "grants": grant(&project, true)}), "folder.change"),
            (json!({"allow_hosts": ["api.example"]}), "network"),
            (json!({"sandbox": "locked", "cwd": other}), "folder.change"),
        ] {
            let approval = asked(baton, &fixer, &request).await;
            assert_eq!(approval.action.as_deref(), Some("process.spawn"));
            assert!(approval.reason.contains(says), "{request}: {}", approval.reason);
            assert_eq!(serde_json::to_value(approval.risk_level).unwrap(), "high", "{request}");
            for (key, value) in request.as_object().unwrap() {
                assert_eq!(&approval.payload[key], value, "what is asked for is shown");
            }
            decide(&baton.api(), "deny", &approval).await;
        }
        let list: Page<Session> = fixer.get("/v1/sessions").await;
        assert_eq!(list.items.len(), 1, "what was denied was not made");

        // What a person let it have it has while that session lives, no more than that, and nobody else has it.
        let first = executed(baton, &asked(baton, &fixer, &whole).await).await;
        let second = made(&fixer, &json!({"command": ["/bin/sleep", "1000"], "cwd": project})).await;
        made(&fixer, &json!({"grants": grant(&project, false)})).await;
        let below = Path::new(&project).join("below");
        std::os::unix::fs::symlink("/etc", &below).unwrap();
        asked(baton, &fixer, &json!({"cwd": below})).await;
        asked(baton, &fixer, &json!({"grants": grant(&other, false)})).await;
        asked(baton, &agent(baton, "other").await, &whole).await;
        baton.kill_bridge().await;
        made(&fixer, &json!({"cwd": project})).await;
        let list: Page<Session> = fixer.get("/v1/sessions?limit=100").await;
        for session in list.items.iter().filter(|it| it.status.is_living()) {
            close(baton, session.id).await;
        }
        assert!(list.items.iter().any(|it| it.id == first) && list.items.iter().any(|it| it.id == second));
        asked(baton, &fixer, &whole).await;

        // What a person makes for it, it has as well.
        let given = made(&baton.api(), &json!({"sandbox": "workspace", "cwd": other})).await;
        asked(baton, &fixer, &json!({"cwd": other})).await;
        let path = format!("/v1/sessions/{given}");
        let _: api::SessionDetail = baton.api().patch(&path, &json!({"owner_agent_id": "fixer"})).await;
        made(&fixer, &json!({"cwd": other})).await;
        // A person is not asked.
        made(&baton.api(), &json!({"sandbox": "workspace", "grants": grant("/usr", true)})).await;
    });
}

#[test]
fn a_rule_may_allow_folders_and_hosts() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let src = baton.person().join("src");
        for name in ["src/app", "elsewhere"] {
            std::fs::create_dir_all(baton.person().join(name)).unwrap();
        }
        std::os::unix::fs::symlink(baton.person().join("elsewhere"), src.join("link")).unwrap();
        std::fs::write(baton.home.policy_file(), POLICY).unwrap();
        let _ = baton.cli(["policy", "test"]).await.ok();
        let fixer = agent(baton, "fixer").await;
        let app = src.join("app");
        let request = json!({"cwd": app, "allow_hosts": ["packages.example"]});
        // A bridge that starts has the policy that there is.
        baton.kill_bridge().await;
        let session = made(&fixer, &request).await;
        close(baton, session).await;
        // Where a link leads, what `~` is to be in the session, and the way back up make no difference.
        let home = baton.person().join("elsewhere").display().to_string();
        for request in [
            json!({"cwd": src.join("link")}),
            json!({"cwd": src.join("app/../../elsewhere")}),
            json!({"cwd": home, "env": {"HOME": "/"}}),
            json!({"cwd": app, "allow_hosts": ["packages.example.org"]}),
        ] {
            asked(baton, &fixer, &request).await;
        }
        fixer.refused(Method::POST, CREATE, &json!({"allow_hosts": [""]}), ErrorCode::Invalid).await;
    });
}
