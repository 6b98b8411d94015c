//! The audit log over the real binaries: what leaves a row, what is in none, and that nobody changes one unseen.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{AuditRow, AuditVerification, ExecAnswer, LeaseAnswer, Link, LoginAnswer, Page};
use baton_proto::ids::{ClientId, SessionId};
use baton_tests::disk::privately;
use baton_tests::witness::read_below;
use baton_tests::{Api, Attach, Baton, Seed, Setup, scenario, session};
use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

/// What is typed and must be nowhere but in the journal.
const PASSWORD: &str = "canary-pw-4f1d9a7c";

async fn rows(api: &Api, asked: &str) -> Vec<AuditRow> {
    let page: Page<AuditRow> = api.get(&format!("/v1/audit?limit=1000{asked}")).await;
    page.items
}

async fn verified(api: &Api) -> AuditVerification {
    api.get("/v1/audit/verify").await
}

async fn claimed(api: &Api, session: SessionId) -> ClientId {
    let client = session::client_id();
    let claim = json!({"client_id": client});
    let _: LeaseAnswer = api.post(&format!("/v1/terminal/sessions/{session}/claim"), &claim).await;
    client
}

async fn exec(api: &Api, session: SessionId, client: &ClientId, line: &str) -> ExecAnswer {
    let body = json!({"client_id": client, "command": line, "timeout_s": 20});
    api.post(&format!("/v1/terminal/sessions/{session}/exec"), &body).await
}

/// Signs in with a login link, as `baton open` has it; the cookie, the key and the code.
async fn sign_in(baton: &Baton) -> (String, String, String) {
    let link: Link = baton.api().post("/v1/auth/links", &json!({"kind": "login"})).await;
    let code = link.url.split("#code=").nth(1).unwrap().to_owned();
    let answer = baton.nobody().call(Method::POST, "/v1/auth/login", Some(&json!({"code": code}))).await;
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let login: LoginAnswer = answer.json();
    (cookie, login.key, code)
}

/// A row that is written when it is heard of, not before an answer.
async fn until_row(api: &Api, asked: &str, wanted: impl Fn(&AuditRow) -> bool) -> AuditRow {
    let path = format!("/v1/audit?limit=1000{asked}");
    let page: Page<AuditRow> = api.get_until(&path, |page: &Page<AuditRow>| page.items.iter().any(&wanted)).await;
    page.items.into_iter().find(|row| wanted(row)).unwrap()
}

#[test]
fn each_deed_leaves_a_row_and_the_chain_holds() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let api = baton.api();
        let (cookie, key, _) = sign_in(baton).await;
        let page = baton.nobody().with("cookie", &cookie).with("x-baton-key", &key);
        page.post_done("/v1/auth/logout", &json!({})).await;
        baton
            .nobody()
            .refused(Method::POST, "/v1/auth/login", &json!({"code": "no"}), ErrorCode::Unauthenticated)
            .await;
        let token: Value = api.post("/v1/auth/tokens", &json!({"name": "Ada", "role": "collaborator"})).await;
        let id = token["id"].as_str().unwrap();
        let ada = baton.nobody().with_token(token["token"].as_str().unwrap());
        ada.refused(Method::POST, "/v1/auth/tokens", &json!({"name": "x", "role": "owner"}), ErrorCode::Forbidden)
            .await;
        ada.refused(Method::GET, "/v1/audit", &(), ErrorCode::Forbidden).await;
        ada.refused(Method::GET, "/v1/audit/verify", &(), ErrorCode::Forbidden).await;
        let session = baton.shell().await;
        let client = claimed(&ada, session).await;
        let _ = exec(&ada, session, &client, "true").await;
        let signal = json!({"client_id": client, "signal": "WINCH"});
        ada.post_done(&format!("/v1/terminal/sessions/{session}/signal"), &signal).await;
        let mut other = baton.attach(session, Attach::named("other")).await;
        other.claim(true).await.unwrap();
        api.post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({})).await;
        other.until_exit().await;
        let of_session = format!("&session_id={session}");
        let ended = until_row(&api, &of_session, |row| row.action == "session.end").await;
        assert_eq!(ended.details["status"], "closed");
        let answer = api.call::<()>(Method::DELETE, &format!("/v1/auth/tokens/{id}"), None).await;
        assert_eq!(answer.status, 204, "{answer}");
        let all = rows(&api, "").await;
        let one = |action: &str, actor: &str, outcome: &str| {
            let found = all.iter().find(|row| row.action == action && row.actor.id == actor && row.outcome == outcome);
            found.unwrap_or_else(|| panic!("no {action} of {actor}, {outcome}: {all:#?}")).clone()
        };
        assert_eq!(one("login", "owner", "allowed").details["by"], "code");
        assert_eq!(one("login", "nobody", "denied").code.as_deref(), Some("unauthenticated"));
        let _ = one("logout", "owner", "allowed");
        let _ = one("link.create", "owner", "allowed");
        assert_eq!(one("token.create", "owner", "allowed").subject.as_deref(), Some(id));
        assert_eq!(one("token.create", id, "denied").code.as_deref(), Some("forbidden"));
        assert_eq!(one("token.delete", "owner", "allowed").subject.as_deref(), Some(id));
        assert_eq!(one("session.create", "owner", "allowed").subject, Some(session.to_string()));
        let _ = one("session.start", "baton", "allowed");
        let _ = one("session.close", "owner", "allowed");
        assert_eq!(one("exec", id, "allowed").details["bytes"], 4);
        assert_eq!(one("signal", id, "allowed").details["signal"], "SIGWINCH");
        // By principal, since its client is bound to it.
        assert_eq!(one("lease.change", id, "allowed").details["client_id"], client.to_string());
        let _ = one("lease.change", "owner", "allowed");
        let found = verified(&api).await;
        assert!(found.ok && found.lost == 0 && found.rows >= all.len() as u64, "{found:?}");
        // Filters and pages.
        assert!(rows(&api, "&action=exec").await.iter().all(|row| row.action == "exec"));
        assert!(rows(&api, &of_session).await.iter().all(|row| row.subject == Some(session.to_string())));
        assert!(rows(&api, "&since=2100-01-01T00:00:00Z").await.is_empty());
        let newest = rows(&api, "&order=newest").await;
        assert!(newest.first().unwrap().seq > newest.last().unwrap().seq);
        let page: Page<AuditRow> = api.get("/v1/audit?limit=2").await;
        assert_eq!((page.items.len(), page.next_cursor.as_deref()), (2, Some("2")));
        api.refused(Method::GET, "/v1/audit?action=dance", &(), ErrorCode::Invalid).await;
        // The command line.
        let exported = baton.cli(["audit", "export"]).await.ok();
        let exported: Vec<AuditRow> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(exported[..all.len()], all[..]);
        let listed: Vec<AuditRow> = baton.cli(["audit", "--json", "--action", "exec"]).await.json();
        assert_eq!(listed.len(), 1);
        let shown = baton.cli(["audit", "ls", "--since", "-1h"]).await.ok();
        assert!(shown.contains("token.create") && shown.contains("denied forbidden"), "{shown}");
        let said = baton.cli(["audit", "verify"]).await.ok();
        let head = said.lines().find_map(|line| line.strip_prefix("head ")).unwrap().to_owned();
        assert!(said.starts_with("ok: "), "{said}");
        // Sessions that are there are not new to the next bridge; and what was the head is still there.
        baton.kill_bridge().await;
        let again = rows(&api, "").await;
        assert_eq!(again[..all.len()], all[..]);
        let starts = again.iter().filter(|row| row.action == "session.start").count();
        assert_eq!(starts, 1, "{again:#?}");
        let _ = baton.cli(["audit", "verify", "--expect", &head]).await.ok();
        let wrong = format!("{}:{}", head.split(':').next().unwrap(), "00".repeat(32));
        let refused = baton.cli(["audit", "verify", "--expect", &wrong]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
    });
}

#[test]
fn a_row_changed_in_the_file_of_a_stopped_baton_is_named() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        for name in ["one", "two", "three", "four", "five"] {
            let _: Value = baton.api().post("/v1/auth/tokens", &json!({"name": name, "role": "viewer"})).await;
        }
        let three = rows(&baton.api(), "").await.into_iter().find(|row| row.details["name"] == "three").unwrap().seq;
        let three_in_sql = i64::try_from(three).unwrap();
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        let change = |sql: &str| {
            let connection = Connection::open(baton.home.database_file()).unwrap();
            assert!(connection.execute(sql, [three_in_sql]).is_err() || sql.starts_with("DELETE"), "it is append-only");
            connection.execute_batch("DROP TRIGGER IF EXISTS audit_is_append_only").unwrap();
            connection.execute(sql, [three_in_sql]).unwrap();
        };
        change("UPDATE audit SET details = replace(details, 'viewer', 'owner') WHERE seq = ?1");
        let _ = baton.cli(["up"]).await.ok();
        let named = baton.cli(["audit", "verify"]).await;
        assert_eq!(named.code, Some(1), "{named:?}");
        assert!(named.stderr.contains(&format!("row {three}")) && named.stderr.contains("hash_mismatch"), "{named:?}");
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        change("DELETE FROM audit WHERE seq >= ?1");
        let _ = baton.cli(["up"]).await.ok();
        let cut = baton.cli(["audit", "verify"]).await;
        assert_eq!(cut.code, Some(1), "{cut:?}");
        assert!(cut.stderr.contains(&format!("row {three}")) && cut.stderr.contains("missing_seq"), "{cut:?}");
    });
}

#[test]
fn a_log_that_was_wiped_is_named_by_the_running_bridge_and_by_the_next() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        for name in ["one", "two", "three"] {
            let _: Value = baton.api().post("/v1/auth/tokens", &json!({"name": name, "role": "viewer"})).await;
        }
        let last = verified(&baton.api()).await.rows;
        assert!(last >= 3, "{last}");
        let head = baton.home.audit_head_file();
        // To verify is to read the log, which is a row of its own and may come before or behind.
        let behind = || {
            let text = std::fs::read_to_string(&head).unwrap_or_default();
            !(last..last + 10).any(|row| text.contains(&format!("-1 {row} ")))
        };
        while behind() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let connection = Connection::open(baton.home.database_file()).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        let wipe = "DROP TRIGGER audit_is_append_only; DELETE FROM audit; DELETE FROM audit_head";
        connection.execute_batch(wipe).unwrap();
        drop(connection);
        let names_them = async |when: &str| {
            let named = baton.cli(["audit", "verify"]).await;
            assert_eq!(named.code, Some(1), "{when}: {named:?}");
            assert!(named.stderr.contains("at row 1") && named.stderr.contains("missing_seq"), "{when}: {named:?}");
            assert!(
                named.stderr.contains("rows 1 to ") && named.stderr.contains(" was there at 20"),
                "{when}: {named:?}"
            );
        };
        names_them("at once").await;
        let _: Value = baton.api().post("/v1/auth/tokens", &json!({"name": "four", "role": "viewer"})).await;
        names_them("after another row").await;
        baton.kill_bridge().await;
        names_them("by the next bridge").await;
        let four = rows(&baton.api(), "").await.into_iter().find(|row| row.details["name"] == "four").unwrap().seq;
        assert!(four > last, "what is missing keeps its numbers: {four}");
    });
}

#[test]
fn secrets_are_in_no_file_but_their_own() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let api = baton.api();
        let (cookie, key, code) = sign_in(baton).await;
        let cookie = cookie.split('=').nth(1).unwrap().to_owned();
        // The command line's requests carry an idempotency key, under which answers are kept.
        let token: Value = baton.cli(["token", "create", "Ada", "--json"]).await.json();
        let token = token["token"].as_str().unwrap().to_owned();
        let wrong = json!({"token": format!("{PASSWORD}-token")});
        baton.nobody().refused(Method::POST, "/v1/auth/login", &wrong, ErrorCode::Unauthenticated).await;
        let session = baton.shell().await;
        let client = claimed(&api, session).await;
        let answer = exec(&api, session, &client, &format!("PASS={PASSWORD} true")).await;
        assert_eq!(answer.exit_code, Some(0));
        let _: Value = api
            .post(
                &format!("/v1/terminal/sessions/{session}/input"),
                &json!({"client_id": client, "text": format!("# {PASSWORD}\r")}),
            )
            .await;
        assert!(verified(&api).await.ok);
        let rows = baton.cli(["audit", "export"]).await.ok();
        assert!(rows.contains("\"exec\""), "{rows}");
        let _ = baton.cli(["down", "--sessions"]).await.ok();
        let secrets = [
            ("the owner's token", baton.token.as_str()),
            ("a token", &token),
            ("a code", &code),
            ("a cookie", &cookie),
            ("a key", &key),
            ("a password", PASSWORD),
        ];
        let mut looked_at = 0;
        for directory in [&baton.home.config, &baton.home.state, &baton.home.runtime] {
            for (file, bytes) in read_below(directory) {
                looked_at += 1;
                for (what, secret) in secrets {
                    let is_there = memmem(&bytes, secret.as_bytes());
                    // What a terminal shows is what its journal is for.
                    let own = file.starts_with(baton.home.sessions_dir()) && what == "a password"
                        || file == baton.home.token_file() && what == "the owner's token";
                    assert!(!is_there || own, "{what} is in `{}`", file.display());
                }
            }
        }
        assert!(looked_at > 5, "{looked_at}");
        assert!(secrets.iter().all(|(what, secret)| !rows.contains(secret) || panic!("{what} is in a row")));
    });
}

fn memmem(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn a_bridge_killed_at_any_moment_leaves_a_chain_that_holds() {
    // What is made in a burst is not to be refused as too much.
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "100000");
    scenario(Duration::from_secs(180), setup, async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let mut made = Vec::new();
        for _ in 0..8 {
            let api = baton.api();
            let wait = seed.millis(0..60);
            // The socket outlives the bridge: who only waits for an error may go on for ever.
            let killed = std::cell::Cell::new(false);
            let making = async {
                let mut made = Vec::new();
                while !killed.get() {
                    let body = serde_json::to_vec(&json!({"name": "x", "role": "viewer"})).unwrap();
                    // The bridge goes away under it.
                    match api.send(Method::POST, "/v1/auth/tokens", Some(body)).await {
                        Ok(answer) if answer.status == 201 => {
                            made.push(answer.json::<Value>()["id"].as_str().unwrap().to_owned());
                        }
                        Ok(_) | Err(_) => break,
                    }
                }
                made
            };
            let killing = async {
                tokio::time::sleep(wait).await;
                baton.kill_bridge().await;
                killed.set(true);
            };
            // Under load, one after the other.
            let (more, ()) = tokio::join!(making, killing);
            made.extend(more);
            let found = verified(&baton.api()).await;
            assert!(found.ok, "{found:?}");
        }
        // What was answered is recorded.
        let exported = baton.cli(["audit", "export", "--action", "token.create"]).await.ok();
        let missing: Vec<_> = made.iter().filter(|id| !exported.contains(id.as_str())).collect();
        assert!(missing.is_empty(), "{} of {} are missing", missing.len(), made.len());
    });
}

#[test]
fn a_full_disk_stops_logins_and_no_session_and_leaves_a_gap() {
    privately("audit::a_full_disk_stops_logins_and_no_session_and_leaves_a_gap", || {
        scenario(Duration::from_secs(120), Setup::plain().state_bytes(24 << 20), async |baton: &Baton| {
            let session = baton.shell().await;
            let api = baton.api();
            let client = claimed(&api, session).await;
            baton.disk().fill();
            let refused = loop {
                let body = json!({"token": baton.token});
                let answer = baton.nobody().call(Method::POST, "/v1/auth/login", Some(&body)).await;
                if answer.status != 200 {
                    break answer;
                }
            };
            assert_eq!(refused.problem().code, ErrorCode::DiskFull, "{refused}");
            // Control moves, and a program is signalled, all the same.
            for _ in 0..20 {
                let mut other = baton.attach(session, Attach::named("other")).await;
                other.claim(true).await.unwrap();
                other.send(baton_proto::api::ClientFrame::Detach).await;
            }
            let _: LeaseAnswer = api
                .post(&format!("/v1/terminal/sessions/{session}/claim"), &json!({"client_id": client, "force": true}))
                .await;
            let found: AuditVerification =
                api.get_until("/v1/audit/verify", |found: &AuditVerification| found.lost > 0).await;
            assert!(found.ok, "{found:?}");
            baton.disk().free();
            api.post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({})).await;
            let gap = until_row(&api, "&action=gap", |row| row.details["lost"].as_u64() > Some(0)).await;
            assert_eq!(gap.actor.id, "baton");
            assert!(verified(&api).await.ok);
        });
    });
}
