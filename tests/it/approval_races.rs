//! Approvals when much happens at once, or in the wrong order: decided by fifty, delivered twice, the bridge killed at each step,
//! clocks set. Never done twice, never done unapproved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalRequest, ApprovalStatus, AwaitingApproval, ClientFrame, Decision, Page, SessionDetail};
use baton_proto::ids::ApprovalId;
use baton_tests::stepped::{STEPS, Stepped};
use baton_tests::{Answer, Api, Attach, Baton, Seed, Setup, scenario};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::approvals::{Agent, CLIENT, POLICY, decide, decision, refused};

fn setup() -> Setup {
    Setup::plain().installed().env("BATON_SERVER__RATE_LIMIT", "100000")
}

/// Processors that have something else to do, until it is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn loops(count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..count {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Something that can be asked for, which adds a word to `count` when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A line at the prompt.
    Exec,
    /// Input, in a session where it is held.
    Input,
    /// A session that is not confined.
    Session,
}

impl Kind {
    /// The request.
    fn request(self, agent: &Agent, word: &str) -> (String, Value) {
        match self {
            Self::Exec => {
                let body = json!({"client_id": CLIENT, "command": agent.counts(word), "timeout_s": 30});
                (agent.at("exec"), body)
            }
            Self::Input => (agent.at("input"), json!({"client_id": CLIENT, "text": format!("echo {word} >> count\r")})),
            Self::Session => {
                let command = ["sh", "-c", &format!("echo {word} >> count")];
                let body = json!({"sandbox": "host", "cwd": agent.folder, "command": command});
                ("/v1/terminal/sessions".to_owned(), body)
            }
        }
    }
}

fn path(id: ApprovalId) -> String {
    format!("/v1/approvals/{id}/decision")
}

/// A request whose answer may be lost with the bridge.
async fn may_be_lost(api: &Api, method: Method, path: &str, body: &Value) -> Option<Answer> {
    api.send(method, path, Some(serde_json::to_vec(body).unwrap())).await.ok()
}

/// What becomes of a request when the bridge is killed at a step on its way, if a person decides as told.
struct Fate {
    status: ApprovalStatus,
    times: usize,
}

fn fate(step: &str, approve: bool) -> Fate {
    let (status, times) = match (step, approve) {
        (_, false) => (ApprovalStatus::Denied, 0),
        // Nobody knows, and this one has done nothing yet.
        ("executing", true) => (ApprovalStatus::OutcomeUnknown, 0),
        // Nobody knows, and it has been done.
        ("performed", true) => (ApprovalStatus::OutcomeUnknown, 1),
        _ => (ApprovalStatus::Executed, 1),
    };
    Fate { status, times }
}

/// Waits until a word has been counted so often: what types or starts is done before the program has acted on it.
async fn until_counted(agent: &Agent, word: &str, times: usize) {
    while agent.counted(word) < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A line of the agent's that nobody is asked about, because for its time nothing is held. What was typed before it has been run when
/// it is done.
async fn barrier(agent: &Agent, person: &Api) {
    let hold = async |how: &str| {
        let path = format!("/v1/sessions/{}", agent.session);
        let _: SessionDetail = person.patch(&path, &json!({"agent_input": how})).await;
    };
    hold("direct").await;
    let body = json!({"client_id": CLIENT, "command": "true", "timeout_s": 30});
    let done = agent.api.call(Method::POST, &agent.at("exec"), Some(&body)).await;
    assert_eq!(done.status, 200, "{done}");
    hold("held").await;
}

#[test]
fn a_bridge_killed_at_each_step_goes_on_from_what_is_on_disk() {
    scenario(Duration::from_secs(400), setup(), async |baton: &Baton| {
        let steps = Stepped::install(baton);
        let agent = Agent::with(baton, POLICY).await;
        let person = baton.api();
        let _: SessionDetail =
            person.patch(&format!("/v1/sessions/{}", agent.session), &json!({"agent_input": "held"})).await;
        let mut rounds: Vec<(Kind, &str, bool)> = Vec::new();
        for kind in [Kind::Exec, Kind::Input] {
            rounds.extend(STEPS.iter().map(|step| (kind, *step, true)));
            rounds.extend(["deciding", "decided"].map(|step| (kind, step, false)));
        }
        rounds.extend(["asked", "decided", "executing", "performed"].map(|step| (Kind::Session, step, true)));
        // In any order: what one leaves behind is found by the next.
        let mut seed = Seed::from_env();
        for at in (1..rounds.len()).rev() {
            rounds.swap(at, usize::try_from(seed.within(0..at as u64 + 1)).unwrap());
        }
        for (round, (kind, step, approve)) in rounds.iter().enumerate() {
            let what = format!("{kind:?}, killed when `{step}`, approve: {approve}");
            let word = format!("w{round}");
            let (at, body) = kind.request(&agent, &word);
            let keyed = agent.api.clone().with("idempotency-key", &word);
            let is_early = matches!(*step, "asking" | "asked");
            if is_early {
                steps.stop_at(step);
                let asking = may_be_lost(&keyed, Method::POST, &at, &body);
                let killing = async {
                    steps.until_stopped().await;
                    steps.kill().await;
                };
                let (answer, ()) = tokio::join!(asking, killing);
                assert!(answer.is_none(), "{what}: {answer:?}");
                let kept: Page<ApprovalRequest> = person.get("/v1/approvals?status=pending").await;
                assert_eq!(kept.items.len(), usize::from(*step == "asked"), "{what}");
            }
            // Asked again under its key it is the same one, or the first.
            let answer = keyed.call(Method::POST, &at, Some(&body)).await;
            assert_eq!(answer.status, 202, "{what}: {answer}");
            let asked = agent.seen(answer.json::<AwaitingApproval>().approval_id).await;
            let yes = decision(if *approve { "approve" } else { "deny" }, &asked);
            if !is_early {
                steps.stop_at(step);
                let path = path(asked.id);
                let deciding = may_be_lost(&person, Method::POST, &path, &yes);
                let killing = async {
                    steps.until_stopped().await;
                    if matches!(*step, "performed" | "written") {
                        until_counted(&agent, &word, 1).await;
                    }
                    steps.kill().await;
                };
                tokio::join!(deciding, killing);
            }
            let now = agent.seen(asked.id).await;
            if is_early || *step == "deciding" {
                assert_eq!((now.status, agent.counted(&word)), (ApprovalStatus::Pending, 0), "{what}: {now:?}");
                let decided = person.call(Method::POST, &path(asked.id), Some(&yes)).await;
                assert_eq!(decided.status, 200, "{what}: {decided}");
            }
            let (end, fate) = (agent.end(asked.id).await, fate(step, *approve));
            assert_eq!(end.status, fate.status, "{what}: {end:?}");
            until_counted(&agent, &word, fate.times).await;
            barrier(&agent, &person).await;
            assert_eq!(agent.counted(&word), fate.times, "{what}: {end:?}");
            // The old decision, and the old request, once more, to this bridge or the next.
            if round % 3 == 0 {
                baton.kill_bridge().await;
            }
            refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
            let again = keyed.call(Method::POST, &at, Some(&body)).await;
            match fate.status {
                ApprovalStatus::Denied => assert_eq!(again.problem().code, ErrorCode::Denied, "{what}: {again}"),
                _ => assert_eq!(again.json::<AwaitingApproval>().approval_id, asked.id, "{what}"),
            }
            barrier(&agent, &person).await;
            assert_eq!(agent.counted(&word), fate.times, "{what}: delivered again");
        }
        // Nothing came late.
        for (round, (_, step, approve)) in rounds.iter().enumerate() {
            assert_eq!(agent.counted(&format!("w{round}")), fate(step, *approve).times, "{:?}", rounds[round]);
        }
    });
}

#[test]
fn fifty_people_decide_at_once_on_a_busy_machine() {
    scenario(Duration::from_secs(240), setup(), async |baton: &Baton| {
        let agent = Agent::start(baton).await;
        let mut people = Vec::new();
        for number in 0..50 {
            let name = format!("person-{number:02}");
            let token: Value = baton.api().post("/v1/auth/tokens", &json!({"name": name, "role": "owner"})).await;
            people.push((name, baton.nobody().with_token(token["token"].as_str().unwrap())));
        }
        let mut seed = Seed::from_env();
        let busy = Busy::loops(4);
        for round in 0..8 {
            let (word, other) = (format!("w{round}"), format!("o{round}"));
            let asked = agent.asks(&agent.counts(&word)).await;
            let path = path(asked.id);
            let deciding: Vec<_> = people
                .iter()
                .map(|(name, api)| {
                    let verb = *seed.one_of(&["approve", "deny", "edit"]);
                    let mut body = decision(verb, &asked);
                    if verb == "edit" {
                        body["edited_payload"] = asked.payload.clone();
                        body["edited_payload"]["command"] = agent.counts(&other).into();
                    }
                    let path = &path;
                    async move { (name, verb, api.call(Method::POST, path, Some(&body)).await) }
                })
                .collect();
            // And who asked takes it back at the same moment.
            let cancel = format!("/v1/approvals/{}/cancel", asked.id);
            let cancelling = async {
                if round % 2 == 1 { Some(agent.api.call(Method::POST, &cancel, Some(&json!({}))).await) } else { None }
            };
            let (answers, cancelled) = tokio::join!(join_all(deciding), cancelling);
            let cancelled = cancelled.is_some_and(|answer| answer.status == 200);
            let won: Vec<_> = answers.iter().filter(|(_, _, answer)| answer.status == 200).collect();
            assert_eq!(won.len() + usize::from(cancelled), 1, "one wins");
            let end = agent.end(asked.id).await;
            let winner = won.first().map(|(name, _, _)| (*name).clone());
            assert_eq!(end.decided_by, winner, "{end:?}");
            for (name, _, lost) in answers.iter().filter(|(_, _, answer)| answer.status != 200) {
                let problem = lost.problem();
                assert_eq!(problem.code, ErrorCode::AlreadyDecided, "{name}: {lost}");
                if let Some(winner) = &winner {
                    assert!(
                        problem.detail.contains(&format!(" by {winner} ")),
                        "{name} learns who: {}",
                        problem.detail
                    );
                }
            }
            let (status, counts) = match won.first().map(|(_, verb, _)| *verb) {
                Some("approve") => (ApprovalStatus::Executed, (1, 0)),
                Some("edit") => (ApprovalStatus::Executed, (0, 1)),
                Some(_) => (ApprovalStatus::Denied, (0, 0)),
                None => (ApprovalStatus::Cancelled, (0, 0)),
            };
            assert_eq!(end.status, status, "{end:?}");
            assert_eq!((agent.counted(&word), agent.counted(&other)), counts, "{end:?}");
        }
        drop(busy);
    });
}

#[test]
fn what_is_delivered_many_times_is_one_request_one_decision_and_done_once() {
    scenario(Duration::from_secs(180), setup(), async |baton: &Baton| {
        let (agent, person) = (Agent::start(baton).await, baton.api());
        let busy = Busy::loops(4);
        for kind in [Kind::Exec, Kind::Session] {
            let word = format!("{kind:?}");
            let (at, body) = kind.request(&agent, &word);
            let keyed = agent.api.clone().with("idempotency-key", &word);
            let deliver = async || {
                let answers = join_all((0..30).map(|_| keyed.call(Method::POST, &at, Some(&body)))).await;
                let mut ids = Vec::new();
                for answer in answers {
                    match answer.status {
                        202 => ids.push(answer.json::<AwaitingApproval>().approval_id),
                        // The first is under way: it is asked again later.
                        _ => assert_eq!(answer.problem().code, ErrorCode::Busy, "{answer}"),
                    }
                }
                ids.dedup();
                assert_eq!(ids.len(), 1, "one request");
                ids[0]
            };
            let id = deliver().await;
            let pending: Page<ApprovalRequest> = person.get("/v1/approvals?status=pending").await;
            assert_eq!(pending.items.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
            baton.kill_bridge().await;
            assert_eq!(deliver().await, id, "also by the next bridge");
            let asked = agent.seen(id).await;
            let yes = decision("approve", &asked);
            let path = path(id);
            let decided = join_all((0..30).map(|_| person.call(Method::POST, &path, Some(&yes)))).await;
            let won = decided.iter().filter(|answer| answer.status == 200).count();
            assert_eq!(won, 1, "one decision");
            let end = agent.end(id).await;
            assert_eq!(end.status, ApprovalStatus::Executed, "{end:?}");
            assert_eq!(deliver().await, id, "after it was done");
            until_counted(&agent, &word, 1).await;
            barrier(&agent, &person).await;
            assert_eq!(agent.counted(&word), 1, "{end:?}");
        }
        drop(busy);
        let sessions: Page<baton_proto::api::Session> = person.get("/v1/sessions").await;
        assert_eq!(sessions.items.len(), 2, "the agent's, and the one that was approved: {:?}", sessions.items.len());
    });
}

/// Control that went to somebody and came back between the last look and the line is another: what was approved is not typed.
#[test]
fn control_that_moves_after_the_last_look_stops_it() {
    scenario(Duration::from_secs(120), setup(), async |baton: &Baton| {
        let steps = Stepped::install(baton);
        let (agent, person) = (Agent::with(baton, POLICY).await, baton.api());
        for step in ["decided", "judged", "executing"] {
            for back in [false, true] {
                let word = format!("{step}-{back}");
                let asked = agent.asks(&agent.counts(&word)).await;
                steps.stop_at(step);
                let yes = decision("approve", &asked);
                let moving = async {
                    steps.until_stopped().await;
                    let mut pia = baton.attach(agent.session, Attach::named("Pia")).await;
                    pia.claim(false).await.unwrap();
                    if back {
                        pia.send(ClientFrame::Release).await;
                        agent.claim_until_held().await;
                    }
                    steps.go_on();
                    pia
                };
                let path = path(asked.id);
                let (decided, mut pia) = tokio::join!(person.call(Method::POST, &path, Some(&yes)), moving);
                assert_eq!(decided.status, 200, "{decided}");
                let end = agent.end(asked.id).await;
                let expected = if step == "decided" { ApprovalStatus::Void } else { ApprovalStatus::Failed };
                assert_eq!(end.status, expected, "{step}, back: {back}: {end:?}");
                if !back {
                    pia.send(ClientFrame::Release).await;
                    agent.claim_until_held().await;
                }
                barrier(&agent, &person).await;
                assert_eq!(agent.counted(&word), 0, "{end:?}");
                // What asks anew in its place is denied.
                if let Some(next) = end.superseded_by {
                    decide(&person, "deny", &agent.seen(next).await).await;
                }
            }
        }
    });
}

#[test]
fn a_clock_that_is_set_revives_nothing_and_keeps_nothing_alive() {
    const TTL_S: i64 = 600;
    let setup = setup().env("BATON_APPROVAL__TTL_S", &TTL_S.to_string());
    scenario(Duration::from_secs(180), setup, async |baton: &Baton| {
        let steps = Stepped::install(baton);
        let (agent, person) = (Agent::with(baton, POLICY).await, baton.api());
        let is = async |asked: &ApprovalRequest, status: ApprovalStatus| {
            let now = agent.seen(asked.id).await;
            assert_eq!(now.status, status, "{now:?}");
        };
        let expires = async |asked: &ApprovalRequest| {
            refused(&person, "approve", asked, ErrorCode::AlreadyDecided).await;
            is(asked, ApprovalStatus::Expired).await;
        };
        // Set forward beyond its time it is over, and stays so when the clock is set back.
        let asked = agent.asks(&agent.counts("forward")).await;
        steps.set_clocks(TTL_S + 60, 0);
        expires(&asked).await;
        steps.set_clocks(0, 0);
        expires(&asked).await;
        baton.kill_bridge().await;
        expires(&asked).await;
        // Set back it has the time that it had, by the clock that nobody sets.
        let asked = agent.asks(&agent.counts("back")).await;
        steps.set_clocks(-86_400, TTL_S - 60);
        is(&asked, ApprovalStatus::Pending).await;
        steps.set_clocks(-86_400, TTL_S + 60);
        expires(&asked).await;
        steps.set_clocks(0, 0);
        expires(&asked).await;
        // Also for a bridge that was not there when it was asked, and for the one after it.
        let asked = agent.asks(&agent.counts("again")).await;
        for seconds in [0, TTL_S / 2, TTL_S - 60] {
            steps.set_clocks(-86_400, seconds);
            baton.kill_bridge().await;
            is(&asked, ApprovalStatus::Pending).await;
        }
        steps.set_clocks(-86_400, TTL_S + 60);
        baton.kill_bridge().await;
        expires(&asked).await;
        steps.set_clocks(0, 0);
        // What nobody looks at is over by itself, too.
        let asked = agent.asks(&agent.counts("unseen")).await;
        steps.set_clocks(-86_400, TTL_S + 60);
        assert_eq!(agent.end(asked.id).await.status, ApprovalStatus::Expired);
        steps.set_clocks(0, 0);
        // The machine was started anew since: by a wall clock that says it was not asked yet, nothing is known.
        for (wall, status) in [(60, ApprovalStatus::Pending), (-3600, ApprovalStatus::Expired)] {
            let asked = agent.asks(&agent.counts("rebooted")).await;
            let database = rusqlite::Connection::open(baton.home.database_file()).unwrap();
            database.busy_timeout(Duration::from_secs(10)).unwrap();
            let sql = "UPDATE approvals SET boot_id = 'another', expires_boot_us = 1 WHERE id = ?1";
            assert_eq!(database.execute(sql, [asked.id.to_string()]).unwrap(), 1);
            drop(database);
            steps.set_clocks(wall, 0);
            baton.kill_bridge().await;
            if status == ApprovalStatus::Expired {
                expires(&asked).await;
            } else {
                is(&asked, status).await;
                decide(&person, "deny", &asked).await;
            }
            steps.set_clocks(0, 0);
        }
        // A yes is a yes whatever the clock says while it is carried out, and is done once.
        for (wall, boot) in [(86_400, 0), (-86_400, 0), (86_400, 86_400)] {
            let word = format!("yes{wall}-{boot}");
            let asked = agent.asks(&agent.counts(&word)).await;
            steps.stop_at("judged");
            let yes = decision("approve", &asked);
            let jumping = async {
                steps.until_stopped().await;
                steps.set_clocks(wall, boot);
                steps.kill().await;
            };
            let path = path(asked.id);
            tokio::join!(may_be_lost(&person, Method::POST, &path, &yes), jumping);
            let end = agent.end(asked.id).await;
            assert_eq!((end.status, end.decision), (ApprovalStatus::Executed, Some(Decision::Approve)), "{end:?}");
            steps.set_clocks(0, 0);
            baton.kill_bridge().await;
            refused(&person, "approve", &asked, ErrorCode::AlreadyDecided).await;
            barrier(&agent, &person).await;
            assert_eq!(agent.counted(&word), 1, "{end:?}");
        }
        for word in ["forward", "back", "again", "unseen", "rebooted"] {
            assert_eq!(agent.counted(word), 0, "{word}");
        }
    });
}
