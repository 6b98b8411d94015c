//! What Baton remembers is the same after `kill -9` of the bridge, and after the end of everything as a reboot is one: events,
//! approvals with their decisions, audit, lease history, tokens. It is in the state directory and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use baton_proto::api::{
    ApprovalRequest, ApprovalStatus, AuditRow, AwaitingApproval, Created, Event, LeaseAnswer, Page, SessionDetail,
    SessionStatus,
};
use baton_proto::ids::{ClientId, SessionId};
use baton_tests::events::Events;
use baton_tests::process::{LOOK_EVERY, Process, with_environment};
use baton_tests::{Api, Attach, Baton, Setup, scenario, session};
use http::Method;
use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::{Value, json};

/// A row of the table of leases, as text.
type Lease = (i64, String);

/// Everything that Baton remembers, in its order.
#[derive(Debug, PartialEq)]
struct History {
    events: Vec<Event>,
    of_sessions: BTreeMap<SessionId, Vec<Event>>,
    approvals: Vec<ApprovalRequest>,
    audit: Vec<AuditRow>,
    leases: Vec<Lease>,
    tokens: Value,
}

/// All pages of a list.
async fn pages<T: serde::de::DeserializeOwned>(api: &Api, path: &str) -> Vec<T> {
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let at = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page: Page<T> = api.get(&format!("{path}?limit=3{at}")).await;
        items.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return items;
        }
    }
}

impl History {
    /// Reads all of it, up to an event of this title, which is made for that.
    async fn read(baton: &Baton, api: &Api, sessions: &[SessionId], title: &str) -> Self {
        let path = format!("/v1/sessions/{}", sessions[0]);
        let _: SessionDetail = api.patch(&path, &json!({ "title": title })).await;
        let mut stream = Events::open(api, Some(0)).await.unwrap();
        let events = stream.until(|event| event.kind == "status" && event.data["title"] == title).await;
        let mut of_sessions = BTreeMap::new();
        for session in sessions {
            of_sessions.insert(*session, pages(api, &format!("/v1/sessions/{session}/events")).await);
        }
        let verified: Value = api.get("/v1/audit/verify").await;
        assert_eq!(verified["ok"], true, "{verified}");
        // Nobody but the bridge writes there.
        let database = Connection::open(baton.home.database_file()).unwrap();
        let mut rows = database
            .prepare("SELECT id, concat_ws('|', session_id, epoch, owner, owner_name, expired, at_us) FROM leases ORDER BY id")
            .unwrap();
        let leases = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        Self {
            events,
            of_sessions,
            approvals: pages(api, "/v1/approvals").await,
            audit: pages(api, "/v1/audit").await,
            leases: leases.collect::<Result<_, _>>().unwrap(),
            tokens: api.get("/v1/auth/tokens").await,
        }
    }

    /// All of this is there later, as it was and in its order; what is new comes after it.
    fn assert_begins(&self, later: &Self) {
        fn begins<T: PartialEq + std::fmt::Debug>(what: &str, before: &[T], after: &[T]) {
            assert!(!before.is_empty(), "there are {what}");
            assert!(after.len() >= before.len(), "{what} are missing: {} of {}", after.len(), before.len());
            for (before, after) in before.iter().zip(after) {
                assert_eq!(before, after, "of the {what}");
            }
        }
        begins("events", &self.events, &later.events);
        for (session, events) in &self.of_sessions {
            begins("events of a session", events, &later.of_sessions[session]);
        }
        begins("audit rows", &self.audit, &later.audit);
        begins("leases", &self.leases, &later.leases);
        assert_eq!(self.approvals, later.approvals);
        assert_eq!(self.tokens, later.tokens);
        let seqs: Vec<u64> = later.events.iter().map(|event| event.seq).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
        assert!(!later.events.iter().any(|event| event.kind == "gap"), "nothing was lost");
    }
}

/// Every file and directory below one, but not these; of files size and time of change.
fn listing(below: &Path, but: &[&Path]) -> BTreeMap<PathBuf, Option<(u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    let mut left = vec![below.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if but.iter().any(|but| entry.path() == **but) {
                continue;
            }
            if meta.is_dir() {
                left.push(entry.path());
            }
            // A directory changes when one that is left out here is made anew in it.
            let file = !meta.is_dir();
            found.insert(entry.path(), file.then(|| (meta.len(), meta.modified().unwrap())));
        }
    }
    found
}

/// Makes things happen: leases move, an agent asks and is answered, tokens come and go, requests are refused.
async fn live(baton: &Baton, api: &Api, folder: &Path) -> Vec<SessionId> {
    let made: Value =
        api.post("/v1/auth/tokens", &json!({"name": "fixer", "role": "agent", "agent_id": "fixer"})).await;
    let fixer = baton.nobody().with_token(made["token"].as_str().unwrap());
    let gone: Value = api.post("/v1/auth/tokens", &json!({"name": "gone", "role": "viewer"})).await;
    let path = format!("/v1/auth/tokens/{}", gone["id"].as_str().unwrap());
    assert_eq!(api.call::<()>(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(baton.nobody().call::<()>(Method::GET, "/v1/sessions", None).await.status, 401);

    let shell = baton.shell().await;
    let (mut ada, mut bob) =
        (baton.attach(shell, Attach::named("Ada")).await, baton.attach(shell, Attach::named("Bob")).await);
    for _ in 0..3 {
        ada.claim(true).await.unwrap();
        bob.claim(true).await.unwrap();
    }
    let mut request = session::bash();
    request.cwd = Some(folder.to_str().unwrap().to_owned());
    let agents: Created = fixer.post("/v1/terminal/sessions", &request).await;
    let client: ClientId = "agent:fixer".parse().unwrap();
    let at = |verb: &str| format!("/v1/terminal/sessions/{}/{verb}", agents.session_id);
    let _: LeaseAnswer = fixer.post(&at("claim"), &json!({ "client_id": client })).await;
    for (word, expected) in [("approve", ApprovalStatus::Executed), ("deny", ApprovalStatus::Denied)] {
        let body = json!({"client_id": client, "command": "echo x | tee /dev/null", "timeout_s": 20});
        let waits: AwaitingApproval = fixer.post(&at("exec"), &body).await;
        let path = format!("/v1/approvals/{}", waits.approval_id);
        let asked: ApprovalRequest = api.get(&path).await;
        let said = json!({"decision": word, "context_hash": asked.context_hash, "notes": format!("{word}, says Ada")});
        let _: ApprovalRequest = api.post(&format!("{path}/decision"), &said).await;
        let end: ApprovalRequest = fixer.get(&format!("{path}?wait_s=30")).await;
        assert_eq!((end.status, end.notes.is_some()), (expected, true), "{end:?}");
    }
    vec![shell, agents.session_id]
}

/// `kill -9` of everything that this Baton has started, programs too, as when a machine stops.
async fn end_everything(baton: &Baton) {
    loop {
        let left = with_environment(&baton.mark());
        if left.is_empty() {
            return;
        }
        // Stopped first, so that nobody makes another in place of one that is gone.
        left.iter().for_each(|process| process.signal(Signal::SIGSTOP));
        left.iter().for_each(|process| process.signal(Signal::SIGKILL));
        while left.iter().any(Process::is_alive) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// `baton up` as after a reboot: with an empty runtime directory, and sessions that nobody runs any more.
async fn up_again(baton: &Baton, sessions: &[SessionId]) -> Api {
    let _ = fs::remove_dir_all(&baton.home.runtime);
    let _ = baton.cli(["up"]).await.ok();
    let status: Value = baton.cli(["status", "--json"]).await.json();
    let api = baton.api_at(status["url"].as_str().unwrap());
    let known = |detail: &SessionDetail| detail.session.status != SessionStatus::Running;
    for session in sessions {
        let _: SessionDetail = api.get_until(&format!("/v1/sessions/{session}"), known).await;
    }
    api
}

#[test]
fn what_was_is_the_same_after_a_kill_and_after_a_reboot_and_in_the_state_directory_only() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        fs::create_dir_all(&baton.home.config).unwrap();
        let policy = format!("{}{}", super::approvals::POLICY, session::folders_rule(baton.scratch()));
        fs::write(baton.home.policy_file(), policy).unwrap();
        // Read at the start.
        baton.kill_bridge().await;
        let folder = baton.scratch().join("project");
        fs::create_dir(&folder).unwrap();
        let elsewhere = || listing(baton.scratch(), &[&baton.home.state, &baton.home.runtime]);
        let before = elsewhere();
        let api = baton.api();
        let sessions = live(baton, &api, &folder).await;
        let first = History::read(baton, &api, &sessions, "first").await;
        let decisions: Vec<_> = first.approvals.iter().map(|approval| approval.decision).collect();
        assert!(decisions.len() == 2 && decisions.iter().all(Option::is_some), "{:?}", first.approvals);
        for kind in ["lease", "approval.requested", "approval.resolved", "approval.executed", "clients", "status"] {
            assert!(first.events.iter().any(|event| event.kind == kind), "an event `{kind}`");
        }

        // In the moment in which the newest was told.
        baton.kill_bridge().await;
        let second = History::read(baton, &api, &sessions, "second").await;
        first.assert_begins(&second);

        end_everything(baton).await;
        let api = up_again(baton, &sessions).await;
        let third = History::read(baton, &api, &sessions, "third").await;
        second.assert_begins(&third);
        assert_eq!(elsewhere(), before, "something was written outside the state directory");

        // And once more in order, as a machine that is shut down.
        assert_eq!(baton.cli(["down", "--sessions"]).await.code, Some(0));
        let api = up_again(baton, &sessions).await;
        third.assert_begins(&History::read(baton, &api, &sessions, "fourth").await);
        assert_eq!(elsewhere(), before, "something was written outside the state directory");
    });
}
