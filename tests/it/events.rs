//! The event stream over the real binaries: each event once, by cursor, whoever is killed; a gap where there is one; and one
//! client that does not read costs the others nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_proto::api::{Created, Event, LeaseAnswer, Scope, SessionDetail};
use baton_proto::ids::SessionId;
use baton_tests::events::{Events, command_of};
use baton_tests::http::{Api, Place};
use baton_tests::process::Process;
use baton_tests::{Baton, Seed, Setup, scenario, session};
use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

/// A program that says, as a shell does, that it runs command after command, numbered; so many of so much text, or without end
/// ten a second.
fn commands(count: Option<u32>, text_bytes: usize) -> String {
    let more = count.map_or_else(|| "sleep 0.1".to_owned(), |count| format!("[ $i -lt {count} ]"));
    format!(
        r"text=$(head -c {text_bytes} /dev/zero | tr '\0' x); i=0
        while {more}; do i=$((i+1)); printf '\033]133;C;cmdline_url=%s %s\007' $i $text; done"
    )
}

/// The number that a command's text begins with.
fn number(event: &Event) -> Option<u64> {
    Some(command_of(event)?.split(' ').next()?.parse().expect("a number"))
}

/// Gives a session a new title, which is an event: the last one of interest.
async fn rename(api: &Api, session: SessionId, title: &str) {
    let _: SessionDetail = api.patch(&format!("/v1/sessions/{session}"), &json!({ "title": title })).await;
}

fn is_renamed(event: &Event, title: &str) -> bool {
    event.kind == "status" && event.data["title"] == title
}

fn is_gap(event: &Event) -> bool {
    event.kind == "gap"
}

/// Numbers rise: nothing twice.
fn assert_rising(events: &[Event]) {
    for pair in events.windows(2) {
        assert!(pair[0].seq < pair[1].seq, "{pair:?}");
    }
}

/// Follows the log from its beginning, comes back with the newest number it has heard each time it is cut off, and now and then
/// without being cut off. Ends with an event that has this title.
async fn follow(api: Api, mut seed: Seed, title: &'static str, heard: Arc<AtomicU64>) -> (Vec<Event>, u32) {
    let (mut all, mut connections) = (Vec::<Event>::new(), 0);
    loop {
        let cursor = all.last().map_or(0, |event| event.seq);
        let Ok(mut events) = Events::open(&api, Some(cursor)).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        connections += 1;
        let patience = seed.within(20..200);
        for _ in 0..patience {
            let Some(event) = events.next().await else { break };
            all.push(event);
            heard.fetch_add(1, Ordering::Relaxed);
            if all.last().is_some_and(|event| is_renamed(event, title)) {
                return (all, connections);
            }
        }
    }
}

#[test]
fn a_client_that_comes_back_hears_everything_once_whenever_the_bridge_is_killed() {
    scenario(Duration::from_secs(180), Setup::plain(), async |baton: &Baton| {
        let mut seed = Seed::from_env();
        let (api, last) = (baton.api(), "the last one");
        let heard = Arc::new(AtomicU64::new(0));
        let followers: Vec<_> =
            (0..2).map(|n| tokio::spawn(follow(api.clone(), seed.fork(n), last, Arc::clone(&heard)))).collect();
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(baton.script(&commands(None, 10)).await);
        }
        let shell = baton.shell().await;
        let client = session::client_id();
        for round in 0..6 {
            // Control moves, which is told too, and is under way when the bridge dies.
            for verb in ["claim", "release"] {
                let path = format!("/v1/terminal/sessions/{shell}/{verb}");
                let answer = api.call(Method::POST, &path, Some(&json!({ "client_id": client }))).await;
                assert!(answer.status < 300, "{verb}: {answer}");
            }
            let wanted = heard.load(Ordering::Relaxed) + seed.within(1..120);
            while heard.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!("kill {round} after {wanted} events");
            baton.kill_bridge().await;
        }
        for session in &sessions {
            api.post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({})).await;
        }
        rename(&api, shell, last).await;
        // Who comes only now reads the same.
        let all = Events::open(&api, Some(0)).await.unwrap().until(|event| is_renamed(event, last)).await;
        assert_rising(&all);
        assert!(!all.iter().any(is_gap), "nothing was lost, and nothing is said to be");
        for follower in followers {
            let (followed, connections) = follower.await.unwrap();
            assert!(connections > 6, "it came back");
            assert_eq!(followed.len(), all.len());
            assert!(followed == all, "it heard something else than what is kept");
        }
        // What the programs said while nobody listened is there as well, each once.
        let mut numbers = BTreeMap::<&str, Vec<u64>>::new();
        for event in &all {
            if let Some(number) = number(event) {
                numbers.entry(&event.scope_id).or_default().push(number);
            }
        }
        assert_eq!(numbers.len(), sessions.len());
        for (session, numbers) in numbers {
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "{session}");
        }
    });
}

fn is_forgotten(event: &Event, session: SessionId) -> bool {
    event.scope_id == session.to_string() && event.kind == "status" && event.data["status"] == "forgotten"
}

/// Ends a session and forgets it.
async fn forget(api: &Api, session: SessionId) {
    api.post_done(&format!("/v1/terminal/sessions/{session}/close"), &json!({})).await;
    let path = format!("/v1/sessions/{session}");
    let _: SessionDetail = api.get_until(&path, |detail: &SessionDetail| !detail.session.status.is_living()).await;
    let answer = api.call::<()>(Method::DELETE, &path, None).await;
    assert_eq!(answer.status, 204, "{answer}");
}

#[test]
fn whoever_saw_a_session_hears_that_it_is_forgotten_and_nobody_else() {
    scenario(Duration::from_secs(90), Setup::plain(), async |baton: &Baton| {
        let owner = baton.api();
        let token = async |body: Value| {
            let made: Value = owner.post("/v1/auth/tokens", &body).await;
            baton.nobody().with_token(made["token"].as_str().unwrap())
        };
        let viewer = token(json!({"name": "viewer", "role": "viewer"})).await;
        let maker = token(json!({"name": "maker", "role": "agent", "agent_id": "maker"})).await;
        let friend = token(json!({"name": "friend", "role": "agent", "agent_id": "friend"})).await;
        let stranger = token(json!({"name": "stranger", "role": "agent", "agent_id": "stranger"})).await;
        let elsewhere = json!({"name": "elsewhere", "role": "collaborator", "workspace_ids": ["wsp_00000000000000000000000000000001"]});
        let elsewhere = token(elsewhere).await;

        let made: Created = maker.post("/v1/terminal/sessions", &session::bash()).await;
        let session = made.session_id;
        let given = json!({"owner_agent_id": "friend"});
        let _: SessionDetail = owner.patch(&format!("/v1/sessions/{session}"), &given).await;
        let guest = super::share::enter(&baton.nobody(), &super::share::link(&owner, session, "here").await).await;
        let other = baton.shell().await;
        let neighbour = super::share::enter(&baton.nobody(), &super::share::link(&owner, other, "here").await).await;

        let seeing = [&owner, &viewer, &maker, &friend, &guest];
        let mut told = Vec::new();
        for who in seeing {
            told.push(Events::open(who, None).await.unwrap());
        }
        let blind = [&stranger, &elsewhere, &neighbour];
        let mut untold = Vec::new();
        for who in blind {
            untold.push(Events::open(who, None).await.unwrap());
        }
        forget(&owner, session).await;
        let mut seq = None;
        for events in &mut told {
            let heard = events.until(|event| is_forgotten(event, session)).await;
            let last = heard.last().unwrap();
            assert_eq!(last.data, json!({"status": "forgotten"}), "and not who else saw it");
            assert_eq!(*seq.get_or_insert(last.seq), last.seq, "all hear the same");
        }
        // Who never saw it hears of other things meanwhile, and of this nothing.
        let mut own = Vec::new();
        for who in [&stranger, &elsewhere] {
            let made: Created = who.post("/v1/terminal/sessions", &session::bash()).await;
            own.push(made.session_id);
        }
        own.push(other);
        rename(&owner, other, "the last one").await;
        let about = |event: &Event, session: SessionId| event.scope_id == session.to_string();
        for (events, own) in untold.iter_mut().zip(&own) {
            let heard = events.until(|event| about(event, *own)).await;
            assert!(!heard.iter().any(|event| about(event, session)), "{heard:?}");
        }

        // So it is for who comes back only after the next bridge has begun.
        baton.kill_bridge().await;
        let before = seq.unwrap() - 1;
        for who in seeing {
            let heard = Events::open(who, Some(before)).await.unwrap().next().await.unwrap();
            assert!(is_forgotten(&heard, session) && heard.data == json!({"status": "forgotten"}), "{heard:?}");
        }
        for (who, own) in blind.iter().zip(&own) {
            let mut events = Events::open(who, Some(before)).await.unwrap();
            let heard = events.until(|event| about(event, *own)).await;
            assert!(!heard.iter().any(|event| about(event, session)), "{heard:?}");
        }
    });
}

/// The API over `bridge.sock`, whose buffers are small and stay so.
fn over_unix(baton: &Baton, token: &str) -> Api {
    Api::anonymous(Place::Unix(baton.socket.clone())).with_token(token)
}

/// More text than any buffer of a socket holds, and than the log has at hand.
const FLOOD_BYTES: usize = 5 << 20;

/// Has sessions make events until these readers have heard so much of them that whoever does not read is stuck; what each heard.
async fn flood(baton: &Baton, readers: &mut [Events]) -> Vec<Vec<Event>> {
    let mut heard = vec![Vec::new(); readers.len()];
    let text = |events: &[Event]| events.iter().filter_map(command_of).map(str::len).sum::<usize>();
    while text(&heard[0]) < FLOOD_BYTES {
        // A session may make only so many events at once; each has an end, which is one too.
        let session = baton.script(&commands(Some(150), 3500)).await.to_string();
        for (reader, heard) in readers.iter_mut().zip(&mut heard) {
            heard.extend(reader.until(|event| event.scope_id == session && event.kind == "exit").await);
        }
    }
    for heard in &heard {
        assert_rising(heard);
    }
    heard
}

#[test]
fn one_that_does_not_read_costs_the_others_nothing_and_reads_on_later() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let mut stopped = Events::open(&over_unix(baton, &baton.token), Some(0)).await.unwrap();
        let mut readers = Vec::new();
        for _ in 0..2 {
            readers.push(Events::open(&baton.api(), Some(0)).await.unwrap());
        }
        let bridge = baton.bridge().await;
        let before = bridge.pss_bytes();
        let read = flood(baton, &mut readers).await;
        let grown = bridge.pss_bytes().saturating_sub(before);
        assert!(grown < 64 << 20, "the bridge grew by {grown} bytes");
        // It reads on, from where it was: more than what is at hand lies behind.
        let session = baton.shell().await;
        rename(&baton.api(), session, "afterwards").await;
        let late = stopped.until(|event| is_renamed(event, "afterwards")).await;
        assert_rising(&late);
        assert!(!late.iter().any(is_gap));
        for events in read {
            assert_eq!(late[..events.len()], events[..]);
        }
    });
}

#[test]
fn one_that_does_not_read_hears_no_more_once_its_token_is_gone() {
    scenario(Duration::from_secs(120), Setup::plain(), async |baton: &Baton| {
        let owner = baton.api();
        let token: Value = owner.post("/v1/auth/tokens", &json!({"name": "sleeper", "role": "collaborator"})).await;
        let sleeper = over_unix(baton, token["token"].as_str().unwrap());
        let mut stopped = Events::open(&sleeper, None).await.unwrap();
        let mut readers = [Events::open(&owner, None).await.unwrap()];
        flood(baton, &mut readers).await;
        let path = format!("/v1/auth/tokens/{}", token["id"].as_str().unwrap());
        assert_eq!(owner.call::<()>(Method::DELETE, &path, None).await.status, 204);
        rename(&owner, baton.shell().await, "a secret").await;
        readers[0].until(|event| is_renamed(event, "a secret")).await;
        let mut last = 0;
        while let Some(event) = stopped.next().await {
            assert!(!is_renamed(&event, "a secret"), "told after the token was removed");
            last = event.seq;
        }
        assert!(last > 0, "what was on its way came");
    });
}

#[test]
fn a_cursor_that_is_none_and_one_that_was_cut_away_are_told_so() {
    scenario(Duration::from_secs(60), Setup::plain(), async |baton: &Baton| {
        let (api, session) = (baton.api(), baton.shell().await);
        let client = session::client_id();
        let _: LeaseAnswer =
            api.post(&format!("/v1/terminal/sessions/{session}/claim"), &json!({ "client_id": client })).await;
        rename(&api, session, "middle").await;
        let all = Events::open(&api, Some(0)).await.unwrap().until(|event| is_renamed(event, "middle")).await;
        let [first, second, .., middle] = &all[..] else { panic!("{all:?}") };

        // Larger than any: of another Baton, or of this one before an older copy of its database was put in place.
        let mut foreign = Events::open(&api, Some(middle.seq + 1_000_000)).await.unwrap();
        let gap = foreign.next().await.unwrap();
        assert!(is_gap(&gap) && gap.scope == Scope::System, "{gap:?}");
        assert_eq!((gap.seq + 1, &gap.data), (first.seq, &json!({ "lost": null })));
        let rest = foreign.until(|event| is_renamed(event, "middle")).await;
        assert_eq!(rest, all, "all there is");

        // Cut away: told, then all that is left. From the bridge that gave the numbers, and from the next one.
        let database = Connection::open(baton.home.database_file()).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database.execute("DELETE FROM events WHERE seq < ?1", [i64::try_from(middle.seq).unwrap()]).unwrap();
        baton.kill_bridge().await;
        let mut late = Events::open(&api, Some(second.seq)).await.unwrap();
        let gap = late.next().await.unwrap();
        assert!(is_gap(&gap), "{gap:?}");
        assert_eq!((gap.seq + 1, &gap.data), (middle.seq, &json!({ "lost": null })));
        assert_eq!(late.next().await.as_ref(), Some(middle));
        let rest = late.until(|event| event.scope == Scope::System && event.kind == "bridge").await;
        // Who has heard the newest of before has lost nothing.
        let mut whole = Events::open(&api, Some(middle.seq)).await.unwrap();
        for event in rest {
            assert_eq!(whole.next().await, Some(event));
        }
        // A bridge's own numbers have no holes: nothing is given twice, and what is missing is counted.
        let bridge: Process = baton.bridge().await;
        rename(&api, session, "end").await;
        let end = whole.until(|event| is_renamed(event, "end")).await;
        assert_rising(&end);
        assert!(bridge.is_alive());
    });
}
