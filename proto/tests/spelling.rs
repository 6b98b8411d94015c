//! The public API is spelled as its contract spells it: names, words and shapes of WebSocket frames and of what HTTP answers.
//! Clients in other languages are written against these spellings.

#![allow(clippy::unwrap_used, reason = "test code")]

use baton_proto::ErrorCode;
use baton_proto::api::*;
use baton_proto::ids::{ClientId, Cursor, Epoch, InstanceId, SessionId};
use baton_proto::spec::{Profile, SessionKind};
use baton_proto::v1::ClientKind;
use serde_json::{Value, from_value, json, to_value};
use uuid::Uuid;

const CLIENT: &str = "0192f00d-0000-7000-8000-000000000001";
const CURSOR: &str = "ins_0192f00e000070009000012345678900:77";
const AT: &str = "2026-01-02T03:04:05.678Z";

fn client() -> ClientId {
    CLIENT.parse().unwrap()
}

fn cursor() -> Cursor {
    CURSOR.parse().unwrap()
}

fn instance() -> InstanceId {
    cursor().instance
}

fn session() -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(7))
}

fn spelled(frame: &ServerFrame, expected: Value) {
    assert_eq!(to_value(frame).unwrap(), expected);
    from_value::<ServerFrame>(expected).unwrap();
}

#[test]
fn what_clients_send() {
    let frames = [
        json!({"type": "hello", "client_id": CLIENT, "resume_cursor": CURSOR, "client_kind": "web", "name": "tab",
            "cols": 80, "rows": 24, "input_stream": 7, "snapshot": "never",
            "term": {"fg": "#fff", "bg": "#000", "kitty": 1, "da1": "?62c", "cell_px": [8, 16]}}),
        json!({"type": "input", "data_b64": "bHMK", "epoch": 3, "seq": 1}),
        json!({"type": "input", "data_b64": "bHMK", "epoch": 3}),
        json!({"type": "resize", "cols": 80, "rows": 24}),
        json!({"type": "viewport", "cols": 80, "rows": 24}),
        json!({"type": "facts", "term": {"fg": "#fff", "bg": "#000", "kitty": 1, "da1": "?62c", "cell_px": [8, 16]}}),
        json!({"type": "ack", "cursor": CURSOR}),
        json!({"type": "claim", "force": true}),
        json!({"type": "release"}),
        json!({"type": "transfer", "to_client_id": "agent:fixer-2"}),
        json!({"type": "request_control"}),
        json!({"type": "deny_control", "client_id": CLIENT}),
        json!({"type": "heartbeat"}),
        json!({"type": "detach"}),
    ];
    for frame in frames {
        let read: ClientFrame = from_value(frame.clone()).unwrap_or_else(|err| panic!("{frame}: {err}"));
        assert_eq!(to_value(&read).unwrap(), frame);
    }
}

#[test]
fn what_a_client_may_leave_out() {
    let hello: ClientFrame = from_value(json!({"type": "hello", "client_id": CLIENT})).unwrap();
    let ClientFrame::Hello { snapshot, resume_cursor, client_kind, cols, .. } = hello else { panic!("{hello:?}") };
    assert_eq!((snapshot, resume_cursor, client_kind, cols), (SnapshotChoice::Auto, None, None, None));
    let claim: ClientFrame = from_value(json!({"type": "claim"})).unwrap();
    assert!(matches!(claim, ClientFrame::Claim { force: false }));
    for bad in [
        json!({"type": "hello"}),
        json!({"type": "sing"}),
        json!({}),
        json!([]),
        json!({"type": "ack", "cursor": "77"}),
    ] {
        assert!(from_value::<ClientFrame>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_the_bridge_sends() {
    let size = Size { policy: SizeMode::Holder, cols: 80, rows: 24, max_cols: None, max_rows: None };
    let ready = ServerFrame::Ready {
        session_id: session(),
        instance: instance(),
        lease_owner: Some(client()),
        owner_name: Some("desk".to_owned()),
        owner_kind: Some(ClientKind::Cli),
        epoch: Epoch(3),
        lease_expires_at: Some(AT.to_owned()),
        cursor: cursor(),
        cols: 80,
        rows: 24,
        size,
        modes: Modes::default(),
        status: SessionStatus::Running,
        input_seq: 5,
        mode: ResumeMode::Gap,
        lost: Some(12),
        restarted: None,
    };
    let expected = json!({"type": "ready", "session_id": session(), "instance": instance(), "lease_owner": CLIENT,
        "owner_name": "desk", "owner_kind": "cli", "epoch": 3, "lease_expires_at": AT, "cursor": CURSOR, "cols": 80,
        "rows": 24, "size": {"policy": "holder", "cols": 80, "rows": 24},
        "modes": {"echo": false, "canonical": false, "at_prompt": false, "alt_screen": false, "mouse_mode": null,
            "bracketed_paste": false, "focus_reports": false, "application_cursor": false, "kitty_keyboard": 0}, "status": "running", "input_seq": 5,
        "mode": "gap", "lost": 12});
    spelled(&ready, expected);
    let bytes = || "aGk=".to_owned();
    spelled(
        &ServerFrame::Snapshot { data_b64: bytes(), cursor: cursor(), cols: 80, rows: 24 },
        json!({"type": "snapshot", "data_b64": "aGk=", "cursor": CURSOR, "cols": 80, "rows": 24}),
    );
    spelled(
        &ServerFrame::Data { data_b64: bytes(), cursor: cursor() },
        json!({"type": "data", "data_b64": "aGk=", "cursor": CURSOR}),
    );
    spelled(&ServerFrame::InputAck { seq: 4 }, json!({"type": "input_ack", "seq": 4}));
    let lease = |expired| ServerFrame::Lease {
        owner: Some(client()),
        epoch: Epoch(3),
        expires_at: Some(AT.to_owned()),
        owner_name: Some("desk".to_owned()),
        owner_kind: Some(ClientKind::Desktop),
        expired,
    };
    let held = json!({"type": "lease", "owner": CLIENT, "epoch": 3, "expires_at": AT, "owner_name": "desk", "owner_kind": "desktop"});
    spelled(&lease(None), held.clone());
    let mut expired = held;
    expired["expired"] = json!(true);
    spelled(&lease(Some(true)), expired);
    let entry = Client {
        client_id: client(),
        client_kind: ClientKind::Mcp,
        name: "m".to_owned(),
        viewport: Some(Viewport { cols: 80, rows: 24 }),
        attached_at: AT.to_owned(),
    };
    spelled(
        &ServerFrame::Clients { clients: vec![entry] },
        json!({"type": "clients", "clients": [{"client_id": CLIENT, "client_kind": "mcp", "name": "m",
            "viewport": {"cols": 80, "rows": 24}, "attached_at": AT}]}),
    );
    spelled(
        &ServerFrame::ControlRequested { client_id: client(), name: "tab".to_owned() },
        json!({"type": "control_requested", "client_id": CLIENT, "name": "tab"}),
    );
    spelled(&ServerFrame::ControlDenied { by: None }, json!({"type": "control_denied", "by": null}));
    spelled(
        &ServerFrame::Mode { alt_screen: true, mouse_mode: None, bracketed_paste: true, title: None },
        json!({"type": "mode", "alt_screen": true, "mouse_mode": null, "bracketed_paste": true, "title": null}),
    );
    spelled(
        &ServerFrame::Resize { cols: 80, rows: 24, cursor: cursor() },
        json!({"type": "resize", "cols": 80, "rows": 24, "cursor": CURSOR}),
    );
    spelled(
        &ServerFrame::Exit { code: None, signal: None, reason: "status_unknown".to_owned() },
        json!({"type": "exit", "code": null, "signal": null, "reason": "status_unknown"}),
    );
    spelled(
        &ServerFrame::Error {
            code: ErrorCode::LeaseLost,
            message: "`tab` has control".to_owned(),
            seq: Some(9),
            accepted: Some(8),
            by: Some("tab".to_owned()),
            since: Some(AT.to_owned()),
            owner_name: None,
            owner_kind: None,
            approval_id: None,
        },
        json!({"type": "error", "code": "lease_lost", "message": "`tab` has control", "seq": 9, "accepted": 8,
            "by": "tab", "since": AT}),
    );
    spelled(&ServerFrame::Pong { expires_at: None }, json!({"type": "pong"}));
}

#[test]
fn words() {
    fn word<T: serde::Serialize>(value: T) -> String {
        to_value(value).unwrap().as_str().unwrap().to_owned()
    }
    use SessionStatus::*;
    assert_eq!(
        [Starting, Running, Exited, Closed, Lost, Failed].map(word),
        ["starting", "running", "exited", "closed", "lost", "failed"]
    );
    let kinds = [SessionKind::Terminal, SessionKind::Browser, SessionKind::File, SessionKind::Process];
    assert_eq!(kinds.map(word), ["terminal", "browser", "file", "process"]);
    assert_eq!([Profile::Host, Profile::Workspace, Profile::Locked].map(word), ["host", "workspace", "locked"]);
    assert_eq!([SizeMode::Holder, SizeMode::Fixed, SizeMode::Cap].map(word), ["holder", "fixed", "cap"]);
    assert_eq!([ResumeMode::Exact, ResumeMode::Snapshot, ResumeMode::Gap].map(word), ["exact", "snapshot", "gap"]);
    assert_eq!(
        [SnapshotChoice::Auto, SnapshotChoice::Always, SnapshotChoice::Never].map(word),
        ["auto", "always", "never"]
    );
    let roles = [PrincipalRole::Owner, PrincipalRole::Collaborator, PrincipalRole::Agent, PrincipalRole::Viewer];
    assert_eq!(roles.map(word), ["owner", "collaborator", "agent", "viewer"]);
    assert_eq!([AgentInput::Direct, AgentInput::Held].map(word), ["direct", "held"]);
    assert_eq!([Record::Bounded, Record::Full, Record::Off].map(word), ["bounded", "full", "off"]);
    assert_eq!(
        [LayerStatus::Enforced, LayerStatus::Partial, LayerStatus::Absent].map(word),
        ["enforced", "partial", "absent"]
    );
}

#[test]
fn a_problem_is_one_of_rfc_9457() {
    let problem = Problem {
        kind: "urn:baton:problem:lease_held".to_owned(),
        title: ErrorCode::LeaseHeld.title().to_owned(),
        status: 409,
        code: ErrorCode::LeaseHeld,
        detail: "`desk` has control".to_owned(),
        request_id: "r1".to_owned(),
        owner_name: Some("desk".to_owned()),
        owner_kind: Some(ClientKind::Cli),
        oldest_cursor: None,
        retry_after_s: None,
        current: None,
    };
    let expected = json!({"type": "urn:baton:problem:lease_held", "title": "Somebody else has control", "status": 409,
        "code": "lease_held", "detail": "`desk` has control", "request_id": "r1", "owner_name": "desk", "owner_kind": "cli"});
    assert_eq!(to_value(&problem).unwrap(), expected);
    assert_eq!(from_value::<Problem>(expected).unwrap(), problem);
}

#[test]
fn every_code_of_the_contract_has_its_status() {
    let contract: [(u16, &[&str]); 12] = [
        (400, &["invalid"]),
        (401, &["unauthenticated"]),
        (403, &["forbidden", "denied", "client_id_taken"]),
        (404, &["not_found", "client_not_attached"]),
        (
            409,
            &[
                "lease_held",
                "not_owner",
                "lease_lost",
                "name_taken",
                "revision_conflict",
                "context_changed",
                "already_decided",
                "session_running",
                "session_ended",
                "busy",
                "turn_in_progress",
                "size_fixed",
                "invalid_transition",
            ],
        ),
        (410, &["cursor_trimmed"]),
        (412, &["etag_mismatch"]),
        (413, &["too_large"]),
        (422, &["path_refused", "idempotency_mismatch"]),
        (429, &["rate_limited", "input_full"]),
        (503, &["sessiond_down"]),
        (507, &["disk_full"]),
    ];
    for (status, codes) in contract {
        for text in codes {
            let code =
                ErrorCode::ALL.iter().find(|code| code.as_str() == *text).unwrap_or_else(|| panic!("no `{text}`"));
            assert_eq!(code.status(), status, "{text}");
        }
    }
}

#[test]
fn a_request_with_an_unknown_field_is_refused() {
    assert!(from_value::<ClaimRequest>(json!({"client_id": CLIENT, "bogus": true})).is_err());
    assert!(from_value::<CreateTerminal>(json!({"bogus": ["ls"]})).is_err());
    assert!(from_value::<SessionPatch>(json!({"bogus": "x"})).is_err());
    assert!(from_value::<WaitRequest>(json!({"until": {"bogus": "x"}})).is_err());
}
