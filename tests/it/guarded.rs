//! What touches who may do what leaves a row in the audit log, refused or not; what nobody asks for any more waits for nobody; what a link
//! shows has nothing of before it; and a key for create-or-resume leads nobody into an agent's session.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{
    ApprovalRequest, ApprovalStatus, AuditRow, AwaitingApproval, CreateTerminal, Created, Page, ServerFrame, Session,
    SessionDetail, SnapshotChoice,
};
use baton_tests::{Api, Attach, Baton, Setup, StreamClient, scenario, session};
use http::Method;
use serde_json::{Value, json};

async fn token(baton: &Baton, request: Value) -> (String, Api) {
    let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
    (made["id"].as_str().unwrap().to_owned(), baton.nobody().with_token(made["token"].as_str().unwrap()))
}

async fn agent(baton: &Baton, id: &str) -> (String, Api) {
    token(baton, json!({"name": id, "role": "agent", "agent_id": id})).await
}

/// The rows of an action, once there is one that is wanted.
async fn rows(baton: &Baton, action: &str, wanted: impl Fn(&AuditRow) -> bool) -> Vec<AuditRow> {
    let path = format!("/v1/audit?limit=1000&action={action}");
    let page: Page<AuditRow> =
        baton.api().get_until(&path, |page: &Page<AuditRow>| page.items.iter().any(&wanted)).await;
    page.items
}

/// Asks for a session that is not confined, which a person is asked about.
async fn asks(agent: &Api, program: &str) -> ApprovalRequest {
    let body = json!({"sandbox": "host", "command": [program]});
    let waits: AwaitingApproval = agent.post("/v1/terminal/sessions", &body).await;
    agent.get(&format!("/v1/approvals/{}", waits.approval_id)).await
}

#[test]
fn what_touches_who_may_do_what_is_in_the_audit_log() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (agents_id, agent) = agent(baton, "m").await;
        let session = baton.shell().await;
        let path = format!("/v1/sessions/{session}");
        let body = json!({"owner_agent_id": "m", "agent_input": "held", "record_input": true, "idle_timeout_s": 600});
        let _: SessionDetail = baton.api().patch(&path, &body).await;
        let _: SessionDetail = baton.api().patch(&path, &json!({"title": "only-a-name"})).await;
        for body in [json!({"record_input": false}), json!({"owner_agent_id": "m"}), json!({"title": "mine"})] {
            agent.refused(Method::PATCH, &path, &body, ErrorCode::Forbidden).await;
        }
        let changes = rows(baton, "session.change", |row| row.outcome == "denied").await;
        assert!(changes.iter().all(|row| row.subject == Some(session.to_string())), "{changes:#?}");
        let of = |actor: &str| -> Vec<_> {
            let of = changes.iter().filter(|row| row.actor.id == actor);
            of.map(|row| (row.outcome.as_str(), row.code.as_deref(), row.details.clone())).collect()
        };
        assert_eq!(of("owner"), [("allowed", None, body)], "{changes:#?}");
        let denied = |details| ("denied", Some("forbidden"), details);
        let expected = [json!({"record_input": false}), json!({"owner_agent_id": "m"}), json!({})].map(denied);
        assert_eq!(of(&agents_id), expected, "{changes:#?}");

        // What an agent tries that is a person's.
        let asked = asks(&agent, "true").await;
        let decision = json!({"decision": "approve", "context_hash": asked.context_hash});
        let decide = format!("/v1/approvals/{}/decision", asked.id);
        agent.refused(Method::POST, &decide, &decision, ErrorCode::Forbidden).await;
        for path in ["/v1/audit", "/v1/audit?format=jsonl", "/v1/audit/verify", "/v1/auth/tokens"] {
            agent.refused(Method::GET, path, &(), ErrorCode::Forbidden).await;
        }
        let refused = |row: &AuditRow| row.actor.id == agents_id && row.code.as_deref() == Some("forbidden");
        let decisions = rows(baton, "decision", refused).await;
        let tried = decisions.iter().find(|row| refused(row)).unwrap();
        assert_eq!((tried.subject.clone(), &tried.details["status"]), (Some(asked.id.to_string()), &json!("refused")));
        let _ = rows(baton, "token.list", refused).await;
        let tried =
            rows(baton, "audit.read", refused).await.into_iter().filter(refused).map(|row| row.details["as"].clone());
        assert_eq!(tried.collect::<Vec<_>>(), ["page", "jsonl", "verify"]);
    });
}

#[test]
fn readers_of_the_audit_log_and_bad_tokens_are_in_it_and_no_flood_of_them() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        for number in 0..20 {
            let answer = baton
                .nobody()
                .with_token(&format!("guess-{number}"))
                .call::<()>(Method::GET, "/v1/sessions", None)
                .await;
            assert!(matches!(answer.problem().code, ErrorCode::Unauthenticated | ErrorCode::RateLimited), "{answer}");
        }
        let bad = rows(baton, "token.use", |_| true).await;
        assert_eq!(bad.len(), 1, "{bad:#?}");
        assert_eq!((bad[0].outcome.as_str(), bad[0].actor.id.as_str()), ("denied", "nobody"));
        assert_eq!(bad[0].details, json!({"from": "127.0.0.1"}));
        let exported = baton.cli(["audit", "export"]).await.ok();
        assert!(!exported.contains("guess-"), "{exported}");
        let _: Value = baton.api().get("/v1/audit/verify").await;
        for how in ["page", "jsonl", "verify"] {
            let read = rows(baton, "audit.read", |row| row.details["as"] == how).await;
            assert_eq!(read.iter().filter(|row| row.details["as"] == how).count(), 1, "{read:#?}");
        }
    });
}

#[test]
fn what_an_agent_asked_for_goes_with_its_token() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (id, first) = agent(baton, "m").await;
        let (_, second) = agent(baton, "m").await;
        let until = std::time::SystemTime::now() + Duration::from_secs(4);
        let until = rfc3339(until);
        let (_, late) =
            token(baton, json!({"name": "late", "role": "agent", "agent_id": "late", "expires_at": until})).await;
        let (gone, stays, late) = (asks(&first, "true").await, asks(&second, "true").await, asks(&late, "true").await);
        let answer = baton.api().call::<()>(Method::DELETE, &format!("/v1/auth/tokens/{id}"), None).await;
        assert_eq!(answer.status, 204, "{answer}");
        let shown: ApprovalRequest = baton.api().get(&format!("/v1/approvals/{}", gone.id)).await;
        assert_eq!(shown.status, ApprovalStatus::Cancelled);
        // One whose time is up, likewise.
        let path = format!("/v1/approvals/{}", late.id);
        let cancelled = |shown: &ApprovalRequest| shown.status == ApprovalStatus::Cancelled;
        let _: ApprovalRequest = baton.api().get_until(&path, cancelled).await;
        let inbox: Page<ApprovalRequest> = baton.api().get("/v1/approvals?status=pending").await;
        assert_eq!(inbox.items.iter().map(|waits| waits.id).collect::<Vec<_>>(), [stays.id]);
        let decision = json!({"decision": "approve", "context_hash": gone.context_hash});
        let decide = format!("/v1/approvals/{}/decision", gone.id);
        baton.api().refused(Method::POST, &decide, &decision, ErrorCode::AlreadyDecided).await;
    });
}

/// RFC 3339, as the API takes it.
fn rfc3339(at: std::time::SystemTime) -> String {
    let seconds = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let out = std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"]).output();
    String::from_utf8(out.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_guest_is_shown_no_title_of_before_nor_what_people_noted() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let script = "printf '\\033]2;title-of-before\\007'; echo ready; read -r go; printf '\\033[?1049h'; echo gone; exec sleep 600";
        let mut request = session::shell_script(script);
        request.labels = [("customer".to_owned(), "secret-name".to_owned())].into();
        request.resume_cmd = Some(vec!["resume-the-secret".to_owned()]);
        let session = baton.create(&request).await;
        let path = format!("/v1/sessions/{session}");
        let titled = |detail: &SessionDetail| detail.session.terminal_title.is_some();
        let _: SessionDetail = baton.api().get_until(&path, titled).await;
        let here = super::share::enter(&baton.nobody(), &super::share::link(&baton.api(), session, "here").await).await;
        let whole =
            super::share::enter(&baton.nobody(), &super::share::link(&baton.api(), session, "start").await).await;
        let listed = async |api: &Api| -> Vec<Session> {
            let list: Page<Session> = api.get("/v1/sessions").await;
            let detail: SessionDetail = api.get(&path).await;
            let terminal: SessionDetail = api.get(&format!("/v1/terminal/sessions/{session}")).await;
            list.items.into_iter().chain([detail.session, terminal.session]).collect()
        };
        for (api, title) in [(&here, None), (&whole, Some("title-of-before"))] {
            for shown in listed(api).await {
                assert_eq!(shown.terminal_title.as_deref(), title);
                assert!(shown.labels.is_empty() && shown.resume_cmd.is_none(), "{shown:?}");
            }
        }
        for shown in listed(&baton.api()).await {
            assert_eq!(shown.terminal_title.as_deref(), Some("title-of-before"));
            assert!(!shown.labels.is_empty() && shown.resume_cmd.is_some(), "{shown:?}");
        }
        // Nor does the stream tell it, when something else of the terminal changes.
        let attach = |name: &str| Attach::named(name).shown(SnapshotChoice::Never);
        let mut guest = StreamClient::open(&here, session, attach("guest")).await.unwrap();
        let mut other = StreamClient::open(&whole, session, attach("other")).await.unwrap();
        let mut typist = baton.attach(session, Attach::named("typist")).await;
        typist.claim(false).await.unwrap();
        typist.type_text("go\r").await;
        for (client, expected) in [(&mut guest, None), (&mut other, Some("title-of-before"))] {
            let title = client
                .until("another screen", |incoming| match incoming {
                    baton_tests::Incoming::Frame(ServerFrame::Mode { alt_screen: true, title, .. }) => {
                        Some(title.clone())
                    }
                    _ => None,
                })
                .await;
            assert_eq!(title.as_deref(), expected);
        }
    });
}

#[test]
fn a_key_for_resuming_leads_no_person_into_an_agents_session() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (_, agent_m) = agent(baton, "m").await;
        let (_, other) = agent(baton, "other").await;
        let main = CreateTerminal { terminal_id: Some("main".to_owned()), ..session::bash() };
        let create = async |api: &Api| -> Created { api.post("/v1/terminal/sessions", &main).await };
        let agents = create(&agent_m).await;
        let persons = create(&baton.api()).await;
        assert!(persons.created && persons.session_id != agents.session_id, "{persons:?}");
        let others = create(&other).await;
        assert!(others.created, "one agent's is not another's");
        // Each has its own again; and an agent, what it was given.
        for (api, id) in
            [(&agent_m, agents.session_id), (&baton.api(), persons.session_id), (&other, others.session_id)]
        {
            let again = create(api).await;
            assert!(!again.created && again.session_id == id, "{again:?}");
        }
        let (_, friend) = token(baton, json!({"name": "friend", "role": "collaborator"})).await;
        assert_eq!(create(&friend).await.session_id, persons.session_id, "persons share them");
        let (_, third) = agent(baton, "third").await;
        let path = format!("/v1/sessions/{}", persons.session_id);
        let _: SessionDetail = baton.api().patch(&path, &json!({"owner_agent_id": "third"})).await;
        assert_eq!(create(&third).await.session_id, persons.session_id);
    });
}
