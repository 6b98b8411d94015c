//! Every route and every frame, for everybody who may come: allowed or refused as the tables say. A route that the served
//! document has and no table here, or a frame, fails the test.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Created, Page, ServerFrame, Session, SessionDetail, SessionStatus, TermFacts};
use baton_proto::ids::{ClientId, Cursor, InstanceId, SessionId};
use baton_tests::websocket::{next_of, open_raw, stream_path, turned_away};
use baton_tests::{Answer, Api, Attach, Baton, Incoming, Setup, StreamClient, scenario, session};
use futures_util::SinkExt as _;
use http::Method;
use serde_json::{Value, json};

/// A workspace that sessions of the tests are in. There is no route that makes one yet: the row says so.
const WORKSPACE: &str = "wsp_00000000000000000000000000000001";

/// Who comes: the columns of the tables, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    WrongToken,
    Viewer,
    Collaborator,
    Owner,
    /// An owner's token with `scopes: ["observe"]`.
    Observer,
    /// An agent, in a session it made, and in a person's.
    AgentOwn,
    AgentForeign,
    /// A collaborator of one workspace, there and elsewhere.
    LimitedOwn,
    LimitedForeign,
    /// An owner of one workspace, there and elsewhere.
    LimitedOwnerOwn,
    LimitedOwnerForeign,
    /// Who has a share link, in the session that is shared, and in another.
    ShareOwn,
    ShareForeign,
}

const EVERYBODY: [Who; 14] = [
    Who::Nobody,
    Who::WrongToken,
    Who::Viewer,
    Who::Collaborator,
    Who::Owner,
    Who::Observer,
    Who::AgentOwn,
    Who::AgentForeign,
    Who::LimitedOwn,
    Who::LimitedForeign,
    Who::LimitedOwnerOwn,
    Who::LimitedOwnerForeign,
    Who::ShareOwn,
    Who::ShareForeign,
];

/// What a route needs. A letter for each of [`EVERYBODY`]: `y` allowed, `u` unauthenticated, `f` forbidden, `n` not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need(&'static str);

//                                   nobody, wrong token
//                                   │   viewer, collaborator, owner, observer
//                                   │   │       agent: own, foreign
//                                   │   │       │   limited collaborator, limited owner: own, foreign
//                                   │   │       │   │       share: own, foreign
const PUBLIC: Need = Need("yy yyyy yy yy yy yy");
/// A header that proves nothing is refused, where no header is not needed.
const OPEN: Need = Need("yy yyyy yy yy yy yy");
const KNOWN: Need = Need("uu yyyy yy yy yy yy");
const OBSERVE: Need = Need("uu yyyy yn yn yn yn");
const CONTROL: Need = Need("uu fyyf yn yn yn ff");
/// Making a session, or a link that signs in.
const MAKE: Need = Need("uu fyyf yy yy yy ff");
const LINK: Need = Need("uu yyyy yy yy yy ff");
/// Somebody else's link.
const UNLINK: Need = Need("uu nnyn nn nn nn ff");
/// All of Baton, looked at.
const WHOLE: Need = Need("uu yyyy yy yy yy ff");
/// What the agent asked for, of no session: looked at, decided, taken back.
const APPROVAL: Need = Need("uu yyyy yy nn nn ff");
const DECIDE: Need = Need("uu fyyf ff nn nn ff");
const TAKE_BACK: Need = Need("uu ffff yy nn nn ff");
const ADMIN: Need = Need("uu ffyf ff ff ff ff");

impl Need {
    fn of(self, who: Who) -> Option<ErrorCode> {
        let column = EVERYBODY.iter().position(|one| *one == who).unwrap();
        let letters: Vec<char> = self.0.chars().filter(|letter| !letter.is_whitespace()).collect();
        assert_eq!(letters.len(), EVERYBODY.len(), "{self:?}");
        match letters[column] {
            'y' => None,
            'u' => Some(ErrorCode::Unauthenticated),
            'f' => Some(ErrorCode::Forbidden),
            'n' => Some(ErrorCode::NotFound),
            other => panic!("`{other}` in {self:?}"),
        }
    }
}

/// What a route is asked.
enum Ask {
    /// This body, or none.
    Body(Option<Value>),
    /// It is a WebSocket.
    Socket,
}

/// A row: the route as the document names it, what it needs, and which refusals come only after the caller was let in.
struct Row {
    method: &'static str,
    path: &'static str,
    need: Need,
    after: &'static [ErrorCode],
}

const fn row(method: &'static str, path: &'static str, need: Need, after: &'static [ErrorCode]) -> Row {
    Row { method, path, need, after }
}

const NOT_ATTACHED: &[ErrorCode] = &[ErrorCode::ClientNotAttached, ErrorCode::NotOwner];
const RUNS: &[ErrorCode] = &[ErrorCode::SessionRunning];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("get", "/v1/health", OPEN, &[]),
    row("post", "/v1/auth/login", PUBLIC, &[]),
    row("post", "/v1/auth/logout", KNOWN, &[]),
    row("get", "/v1/auth/me", KNOWN, &[]),
    row("post", "/v1/auth/links", LINK, &[]),
    row("delete", "/v1/auth/links/{id}", UNLINK, &[]),
    row("post", "/v1/auth/tokens", ADMIN, &[]),
    row("get", "/v1/auth/tokens", ADMIN, &[]),
    row("delete", "/v1/auth/tokens/{id}", ADMIN, &[]),
    row("get", "/v1/approvals", WHOLE, &[]),
    row("get", "/v1/approvals/{id}", APPROVAL, &[]),
    row("post", "/v1/approvals/{id}/decision", DECIDE, &[]),
    row("post", "/v1/approvals/{id}/cancel", TAKE_BACK, &[]),
    row("get", "/v1/audit", ADMIN, &[]),
    row("get", "/v1/audit/verify", ADMIN, &[]),
    row("get", "/v1/sessions", KNOWN, &[]),
    row("get", "/v1/sessions/{session_id}", OBSERVE, &[]),
    row("patch", "/v1/sessions/{session_id}", CONTROL, &[]),
    row("delete", "/v1/sessions/{session_id}", CONTROL, RUNS),
    row("get", "/v1/sessions/{session_id}/events", OBSERVE, &[]),
    row("post", "/v1/sessions/{session_id}/respawn", CONTROL, RUNS),
    row("get", "/v1/events", KNOWN, &[]),
    row("post", "/v1/terminal/sessions", MAKE, &[]),
    row("get", "/v1/terminal/sessions/{session_id}", OBSERVE, &[]),
    row("post", "/v1/terminal/sessions/{session_id}/claim", CONTROL, &[ErrorCode::LeaseHeld]),
    row("post", "/v1/terminal/sessions/{session_id}/release", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/transfer", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/request-control", CONTROL, &[]),
    row("post", "/v1/terminal/sessions/{session_id}/deny-control", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/detach", OBSERVE, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/close", CONTROL, &[]),
    row("post", "/v1/terminal/sessions/{session_id}/input", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/resize", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/signal", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/exec", CONTROL, NOT_ATTACHED),
    row("post", "/v1/terminal/sessions/{session_id}/wait", OBSERVE, &[]),
    row("get", "/v1/terminal/sessions/{session_id}/output", OBSERVE, &[]),
    row("get", "/v1/terminal/sessions/{session_id}/search", OBSERVE, &[]),
    row("get", "/v1/terminal/sessions/{session_id}/recording.cast", OBSERVE, &[]),
    row("get", "/v1/terminal/sessions/{session_id}/snapshot", OBSERVE, &[]),
    row("get", "/v1/terminal/streams/{session_id}", OBSERVE, &[]),
    row("post", "/v1/upgrade", ADMIN, &[ErrorCode::Invalid]),
    row("get", "/v1/settings", ADMIN, &[]),
    row("patch", "/v1/settings/defaults", ADMIN, &[ErrorCode::RevisionConflict]),
    row("post", "/v1/settings/env/reload", ADMIN, &[]),
    row("get", "/v1/settings/agents/{agent}/status", ADMIN, &[]),
    row("patch", "/v1/settings/agents/{agent}/cli-path", ADMIN, &[ErrorCode::RevisionConflict]),
    row("get", "/v1/settings/sessiond/status", ADMIN, &[]),
    row("post", "/v1/settings/sessiond/restart", ADMIN, &[]),
    row("get", "/v1/status", WHOLE, &[]),
    row("get", "/metrics", WHOLE, &[]),
    row("get", "/v1/openapi.json", KNOWN, &[]),
];

/// What a frame needs of who may see the session: `y` or `f` for viewer, collaborator, owner, observer, agent, limited
/// collaborator, share.
const FRAMES: &[(&str, &str)] = &[
    ("hello", "yyyyyyy"),
    ("input", "fyyfyyf"),
    ("resize", "fyyfyyf"),
    ("viewport", "yyyyyyy"),
    ("facts", "yyyyyyy"),
    ("ack", "yyyyyyy"),
    ("claim", "fyyfyyf"),
    ("release", "fyyfyyf"),
    ("transfer", "fyyfyyf"),
    ("request_control", "fyyfyyf"),
    ("deny_control", "fyyfyyf"),
    ("heartbeat", "yyyyyyy"),
    ("detach", "yyyyyyy"),
];

const ATTACHED: [Who; 7] =
    [Who::Viewer, Who::Collaborator, Who::Owner, Who::Observer, Who::AgentOwn, Who::LimitedOwn, Who::ShareOwn];

/// A Baton with somebody of each kind, and a session of each kind.
struct Town<'a> {
    baton: &'a Baton,
    callers: Vec<(Who, Api)>,
    /// In the workspace, made by the owner; shared.
    workspaces: SessionId,
    /// In no workspace, made by the owner.
    elsewhere: SessionId,
    /// Made by the agent.
    agents: SessionId,
}

/// Marks a session as one of the workspace, as the route that makes workspaces will.
async fn into_workspace(baton: &Baton, session: SessionId) {
    let database = rusqlite::Connection::open(baton.home.database_file()).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    // The row is written behind the answer.
    while database
        .execute("UPDATE sessions SET workspace_id = ?1 WHERE id = ?2", (WORKSPACE, session.to_string()))
        .unwrap()
        == 0
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(database);
    baton.kill_bridge().await;
}

impl<'a> Town<'a> {
    async fn found(baton: &'a Baton) -> Self {
        let (workspaces, elsewhere) = (baton.shell().await, baton.shell().await);
        into_workspace(baton, workspaces).await;
        let token = async |request: Value| {
            let made: Value = baton.api().post("/v1/auth/tokens", &request).await;
            baton.nobody().with_token(made["token"].as_str().unwrap())
        };
        let limited = |role: &str| json!({"name": "limited", "role": role, "workspace_ids": [WORKSPACE]});
        let agent = token(json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
        let share =
            super::share::enter(&baton.nobody(), &super::share::link(&baton.api(), workspaces, "start").await).await;
        let (collaborator, owner) = (token(limited("collaborator")).await, token(limited("owner")).await);
        let made: Created = agent.post("/v1/terminal/sessions", &session::bash()).await;
        let callers = vec![
            (Who::Nobody, baton.nobody()),
            (Who::WrongToken, baton.nobody().with_token("wrong")),
            (Who::Viewer, token(json!({"name": "viewer", "role": "viewer"})).await),
            (Who::Collaborator, token(json!({"name": "friend", "role": "collaborator"})).await),
            (Who::Owner, baton.api()),
            (Who::Observer, token(json!({"name": "observer", "role": "owner", "scopes": ["observe"]})).await),
            (Who::AgentOwn, agent.clone()),
            (Who::AgentForeign, agent),
            (Who::LimitedOwn, collaborator.clone()),
            (Who::LimitedForeign, collaborator),
            (Who::LimitedOwnerOwn, owner.clone()),
            (Who::LimitedOwnerForeign, owner),
            (Who::ShareOwn, share.clone()),
            (Who::ShareForeign, share),
        ];
        Self { baton, callers, workspaces, elsewhere, agents: made.session_id }
    }

    fn caller(&self, who: Who) -> &Api {
        &self.callers.iter().find(|(one, _)| *one == who).unwrap().1
    }

    /// One more who came by a share link.
    async fn another_guest(&self) -> Api {
        let code = super::share::link(&self.baton.api(), self.workspaces, "start").await;
        super::share::enter(&self.baton.nobody(), &code).await
    }

    /// The session that this column is about.
    fn session(&self, who: Who) -> SessionId {
        match who {
            Who::AgentOwn => self.agents,
            Who::AgentForeign | Who::LimitedForeign | Who::LimitedOwnerForeign | Who::ShareForeign => self.elsewhere,
            _ => self.workspaces,
        }
    }

    /// The same, for a request that ends the session: one of its own that may go.
    async fn expendable(&self, who: Who) -> SessionId {
        let made: Created = self.caller(who).post("/v1/terminal/sessions", &session::bash()).await;
        made.session_id
    }

    /// The path and the body of a row for a column.
    async fn ask(&self, row: &Row, who: Who, client: &ClientId) -> (String, Ask) {
        let allowed = row.need.of(who).is_none();
        let verb = row.path.rsplit('/').next().unwrap();
        let session = if verb == "close" && allowed { self.expendable(who).await } else { self.session(who) };
        let mut path = row.path.replace("{session_id}", &session.to_string()).replace("{agent}", "true");
        if row.path == "/v1/auth/links/{id}" {
            let link: Value = self.baton.api().post("/v1/auth/links", &json!({"kind": "login"})).await;
            path = path.replace("{id}", link["id"].as_str().unwrap());
        } else if row.path == "/v1/auth/tokens/{id}" {
            let body = json!({"name": "short-lived", "role": "viewer"});
            let token: Value = self.baton.api().post("/v1/auth/tokens", &body).await;
            path = path.replace("{id}", token["id"].as_str().unwrap());
        }
        if row.path.starts_with("/v1/approvals/{id}") {
            let asked = json!({"sandbox": "host", "command": ["sleep", "1000"]});
            let asked: Value = self.caller(Who::AgentOwn).post("/v1/terminal/sessions", &asked).await;
            let id = asked["approval_id"].as_str().unwrap();
            let shown: Value = self.baton.api().get(&format!("/v1/approvals/{id}")).await;
            let decision = json!({"decision": "deny", "context_hash": shown["context_hash"]});
            let body = (row.method == "post").then(|| if verb == "cancel" { json!({}) } else { decision });
            return (path.replace("{id}", id), Ask::Body(body));
        }
        if row.path == "/v1/events" || row.path.starts_with("/v1/terminal/streams/") {
            return (path, Ask::Socket);
        }
        let body = match (row.method, row.path, verb) {
            (_, "/v1/auth/login", _) => json!({"token": self.baton.token}),
            ("post", "/v1/auth/links", _) => json!({"kind": "login"}),
            ("post", "/v1/auth/tokens", _) => json!({"name": "another", "role": "viewer"}),
            ("post", "/v1/terminal/sessions", _) => json!({"command": ["sleep", "1000"], "cwd": "/usr"}),
            ("patch", "/v1/settings/defaults", _) => json!({"expected_revision": "0", "agent": "true"}),
            ("patch", _, "cli-path") => json!({"expected_revision": "0", "path": null}),
            ("patch", ..) => json!({"labels": {"by": "the table"}}),
            (_, "/v1/upgrade", _) => json!({"part": "worker"}),
            (_, _, "transfer" | "deny-control") => json!({"client_id": client, "to_client_id": session::client_id()}),
            (_, _, "claim" | "release" | "request-control" | "detach") => json!({"client_id": client}),
            (_, _, "close") => json!({}),
            (_, _, "input") => json!({"client_id": client, "text": "x"}),
            (_, _, "resize") => json!({"client_id": client, "cols": 90, "rows": 20}),
            (_, _, "signal") => json!({"client_id": client, "signal": "WINCH"}),
            (_, _, "exec") => json!({"client_id": client, "command": "true"}),
            (_, _, "wait") => json!({"until": {"idle_ms": 1}, "timeout_s": 5}),
            (_, _, "search") => return (format!("{path}?q=x"), Ask::Body(None)),
            _ => return (path, Ask::Body(None)),
        };
        (path, Ask::Body(Some(body)))
    }
}

fn client_of(who: Who) -> ClientId {
    match who {
        Who::AgentOwn | Who::AgentForeign => "agent:fixer".parse().unwrap(),
        _ => session::client_id(),
    }
}

/// What is wrong with an answer, if something is.
fn judge(row: &Row, who: Who, answer: &Answer) -> Option<String> {
    let at = || format!("{} {} for {who:?}: {answer}", row.method, row.path);
    let code = (answer.status >= 400).then(|| answer.problem().code);
    match (row.need.of(who), code) {
        (None, None) => None,
        (None, Some(code)) => (!row.after.contains(&code)).then(|| format!("should be allowed: {}", at())),
        (Some(expected), Some(code)) => (code != expected).then(|| format!("should be `{expected}`: {}", at())),
        (Some(expected), None) => Some(format!("should be `{expected}` and was done: {}", at())),
    }
}

#[test]
fn every_route_is_for_whom_the_table_says() {
    scenario(Duration::from_secs(150), Setup::plain(), async |baton: &Baton| {
        let served: Value = baton.api().get("/v1/openapi.json").await;
        let mut routes = BTreeSet::new();
        for (path, item) in served["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| item[*key].is_object()) {
                routes.insert((method.clone(), path.clone()));
            }
        }
        let rows: BTreeSet<_> = ROWS.iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
        assert_eq!(routes, rows, "a route needs a row here that says for whom it is");

        let town = Town::found(baton).await;
        let (mut wrong, mut asked) = (Vec::new(), 0);
        for row in ROWS {
            for who in EVERYBODY {
                let client = client_of(who);
                let (path, ask) = town.ask(row, who, &client).await;
                asked += 1;
                match ask {
                    Ask::Body(body) => {
                        let method = Method::from_bytes(row.method.to_uppercase().as_bytes()).unwrap();
                        // Who signs out is out.
                        let leaves = path == "/v1/auth/logout" && town.caller(who).headers.contains_key("cookie");
                        let caller = if leaves { town.another_guest().await } else { town.caller(who).clone() };
                        let answer = caller.call(method, &path, body.as_ref()).await;
                        wrong.extend(judge(row, who, &answer));
                    }
                    Ask::Socket => wrong.extend(socket(&town, row, who, &path, &client).await),
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
        println!("{asked} cases, {} routes, {} callers", ROWS.len(), EVERYBODY.len());
        // Whoever was refused has changed nothing.
        for session in [town.workspaces, town.elsewhere, town.agents] {
            assert_eq!(baton.session(session).await.session.status, SessionStatus::Running);
        }
        let foreign: SessionDetail = baton.session(town.elsewhere).await;
        assert!(foreign.session.labels.is_empty() && foreign.clients.is_empty() && foreign.session.lease.is_none());
        // Lists have what each may see and no more.
        for (who, sees) in [
            (Who::AgentOwn, (false, false, true)),
            (Who::LimitedOwn, (true, false, false)),
            (Who::LimitedOwnerOwn, (true, false, false)),
            (Who::ShareOwn, (true, false, false)),
            (Who::Viewer, (true, true, true)),
        ] {
            let list: Page<Session> = town.caller(who).get("/v1/sessions?limit=1000").await;
            let has = |id| list.items.iter().any(|session| session.id == id);
            assert_eq!((has(town.workspaces), has(town.elsewhere), has(town.agents)), sees, "{who:?}");
        }
    });
}

/// As [`judge`], of a WebSocket.
async fn socket(town: &Town<'_>, row: &Row, who: Who, path: &str, client: &ClientId) -> Option<String> {
    let stream = row.path.starts_with("/v1/terminal/streams/");
    let path = if stream { stream_path(town.session(who), client) } else { path.to_owned() };
    let close = match row.need.of(who) {
        None => {
            let mut socket = match open_raw(town.caller(who), &path, &[]).await {
                Ok(socket) => socket,
                Err(err) => return Some(format!("should be opened: {path} for {who:?}: {err:#}")),
            };
            if stream {
                let hello = Attach::named("somebody").client(client).hello();
                socket.send(baton_tests::websocket::text(&hello)).await.unwrap();
                let first = next_of(&mut socket).await;
                let ready = matches!(first, Incoming::Frame(ServerFrame::Ready { .. }));
                return (!ready).then(|| format!("should be let in: {path} for {who:?}: {first:?}"));
            }
            return None;
        }
        Some(ErrorCode::Unauthenticated) => 4001,
        Some(ErrorCode::NotFound) => 4004,
        Some(_) => 4003,
    };
    let told = turned_away(town.caller(who), &path, &[]).await;
    (told != close).then(|| format!("should be closed with {close}, not {told}: {path} for {who:?}"))
}

/// A frame of this kind that makes sense. Without a wildcard: a new frame does not compile before it has a row.
fn frame(kind: &str) -> ClientFrame {
    let other = session::client_id();
    let nowhere = Cursor { instance: InstanceId::from_uuid(uuid::Uuid::nil()), offset: 0 };
    let all = [
        Attach::default().hello(),
        ClientFrame::Input { data_b64: String::new(), epoch: baton_proto::ids::Epoch(0), seq: Some(1) },
        ClientFrame::Resize { cols: 80, rows: 24 },
        ClientFrame::Viewport { cols: 80, rows: 24 },
        ClientFrame::Facts { term: TermFacts::default() },
        ClientFrame::Ack { cursor: nowhere },
        ClientFrame::Claim { force: false },
        ClientFrame::Release,
        ClientFrame::Transfer { to_client_id: other.clone() },
        ClientFrame::RequestControl,
        ClientFrame::DenyControl { client_id: other },
        ClientFrame::Heartbeat,
        ClientFrame::Detach,
    ];
    all.into_iter().find(|frame| name_of(frame) == kind).unwrap_or_else(|| panic!("no frame `{kind}`"))
}

fn name_of(frame: &ClientFrame) -> &'static str {
    match frame {
        ClientFrame::Hello { .. } => "hello",
        ClientFrame::Input { .. } => "input",
        ClientFrame::Resize { .. } => "resize",
        ClientFrame::Viewport { .. } => "viewport",
        ClientFrame::Facts { .. } => "facts",
        ClientFrame::Ack { .. } => "ack",
        ClientFrame::Claim { .. } => "claim",
        ClientFrame::Release => "release",
        ClientFrame::Transfer { .. } => "transfer",
        ClientFrame::RequestControl => "request_control",
        ClientFrame::DenyControl { .. } => "deny_control",
        ClientFrame::Heartbeat => "heartbeat",
        ClientFrame::Detach => "detach",
    }
}

#[test]
fn every_frame_is_for_whom_the_table_says() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let served: Value = baton.api().get("/v1/openapi.json").await;
        let variants = served["components"]["schemas"]["ClientFrame"]["oneOf"].as_array().unwrap();
        let told: BTreeSet<&str> =
            variants.iter().map(|variant| variant["properties"]["type"]["enum"][0].as_str().unwrap()).collect();
        assert_eq!(told, FRAMES.iter().map(|(kind, _)| *kind).collect(), "a frame needs a row here");

        let town = Town::found(baton).await;
        for (kind, letters) in FRAMES {
            assert_eq!(letters.len(), ATTACHED.len());
            for (who, letter) in ATTACHED.into_iter().zip(letters.chars()) {
                let attach = Attach::named("somebody").client(&client_of(who));
                let mut client = StreamClient::open(town.caller(who), town.session(who), attach).await.unwrap();
                client.send(frame(kind)).await;
                // What a frame is answered comes before the answer to the next; `hello` and `detach` end the connection.
                let _ = client.try_send(ClientFrame::Heartbeat).await;
                let mut forbidden = false;
                loop {
                    match client.next().await {
                        Incoming::Frame(ServerFrame::Error { code, .. }) => forbidden |= code == ErrorCode::Forbidden,
                        Incoming::Frame(ServerFrame::Pong { .. }) | Incoming::Closed { .. } => break,
                        _ => {}
                    }
                }
                assert_eq!(forbidden, letter == 'f', "`{kind}` of {who:?}");
            }
        }
        let detail = baton.session(town.workspaces).await;
        assert_eq!(detail.session.status, SessionStatus::Running);
    });
}

#[test]
fn a_token_makes_none_that_is_worth_more() {
    scenario(Duration::from_secs(30), Setup::plain(), async |baton: &Baton| {
        let make = async |api: &Api, body: Value| api.call(Method::POST, "/v1/auth/tokens", Some(&body)).await;
        let narrow =
            json!({"name": "clerk", "role": "owner", "scopes": ["admin"], "expires_at": "2999-01-01T00:00:00Z"});
        let made: Value = make(&baton.api(), narrow).await.json();
        let clerk = baton.nobody().with_token(made["token"].as_str().unwrap());
        for more in [
            json!({"name": "all", "role": "owner"}),
            json!({"name": "more", "role": "owner", "scopes": ["admin", "control"], "expires_at": "2990-01-01T00:00:00Z"}),
            json!({"name": "longer", "role": "owner", "scopes": ["admin"]}),
            json!({"name": "longer", "role": "owner", "scopes": ["admin"], "expires_at": "2999-01-01T00:00:01Z"}),
        ] {
            let refused = make(&clerk, more.clone()).await;
            assert_eq!(refused.problem().code, ErrorCode::Forbidden, "{more}");
        }
        let less = json!({"name": "less", "role": "viewer", "scopes": [], "expires_at": "2998-01-01T00:00:00Z"});
        assert_eq!(make(&clerk, less).await.status, 201);
        // One of some workspaces makes none at all: it could be one of all.
        let limited = json!({"name": "limited", "role": "owner", "workspace_ids": [WORKSPACE]});
        let made: Value = make(&baton.api(), limited.clone()).await.json();
        let limited_owner = baton.nobody().with_token(made["token"].as_str().unwrap());
        assert_eq!(make(&limited_owner, limited).await.problem().code, ErrorCode::Forbidden);
    });
}
