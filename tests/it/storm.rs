//! Two hundred clients who all want control.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, ServerFrame};
use baton_proto::ids::{ClientId, Epoch, SessionId};
use baton_tests::{Api, Attach, Baton, Incoming, Protocol, Seed, Setup, StreamClient, scenario, session};
use tokio::time::Instant;

const CLIENTS: usize = 200;
const SPAN: Duration = Duration::from_secs(60);

/// Who owned each epoch, as the first who was told of it was told. Everybody else must be told the same.
type Owners = Arc<Mutex<BTreeMap<Epoch, Option<ClientId>>>>;

struct Actor {
    api: Api,
    session: SessionId,
    everybody: Arc<Vec<ClientId>>,
    me: usize,
    seed: Seed,
    owners: Owners,
    protocol: Protocol,
    counts: BTreeMap<&'static str, u32>,
}

impl Actor {
    fn id(&self) -> ClientId {
        self.everybody[self.me].clone()
    }

    fn told(&self, epoch: Epoch, owner: Option<ClientId>) {
        let mut owners = self.owners.lock().unwrap();
        let known = owners.entry(epoch).or_insert_with(|| owner.clone());
        assert_eq!(*known, owner, "two owners of epoch {epoch}");
    }

    async fn open(&self, after: Option<&StreamClient>) -> StreamClient {
        let mut attach = Attach::named(&format!("client {}", self.me)).client(&self.id());
        attach.resume = after.map(StreamClient::cursor);
        self.knock(attach).await
    }

    /// Opens a stream. Two hundred who share a busy processor with the bridge may say their hello too late to be let in, as
    /// everybody's page may; they knock again, as the page does.
    async fn knock(&self, attach: Attach) -> StreamClient {
        let attach = Attach { protocol: self.protocol, ..attach };
        let client = loop {
            match StreamClient::open(&self.api, self.session, attach.clone()).await {
                Ok(client) => break client,
                Err(err) if err.to_string().contains(ErrorCode::HelloRequired.as_str()) => {}
                Err(err) => panic!("no stream: {err:#}"),
            }
        };
        self.told(client.ready.epoch, client.ready.owner.clone());
        client
    }

    /// Reads one message; `false` when the connection is over. `last` is the epoch that this connection heard of last.
    async fn hear(&self, client: &mut StreamClient, last: &mut Epoch) -> bool {
        match client.next().await {
            Incoming::Frame(ServerFrame::Lease { owner, epoch, .. }) => {
                assert!(
                    epoch == *last || epoch == last.next(),
                    "a connection is told of every epoch: {epoch} after {last}"
                );
                *last = epoch;
                self.told(epoch, owner);
                true
            }
            Incoming::Frame(ServerFrame::Error { code, message, .. }) => {
                let expected = [
                    ErrorCode::LeaseHeld,
                    ErrorCode::NotOwner,
                    ErrorCode::LeaseLost,
                    ErrorCode::ClientNotAttached,
                    ErrorCode::Replaced,
                    // A bound on standing claims.
                    ErrorCode::RateLimited,
                ];
                assert!(expected.contains(&code), "`{code}`: {message}");
                true
            }
            Incoming::Closed { code, reason } => {
                assert_eq!(code, Some(4009), "closed for no reason of ours: {reason}");
                false
            }
            _ => true,
        }
    }

    async fn run(mut self, until: Instant) -> BTreeMap<&'static str, u32> {
        let mut client = self.open(None).await;
        let mut last = client.epoch;
        let (mut typed, mut typed_under) = (0, Epoch(0));
        while Instant::now() < until {
            let due = Instant::now() + self.seed.millis(200..1200);
            while let Ok(open) = tokio::time::timeout_at(due, self.hear(&mut client, &mut last)).await {
                assert!(open, "only this task replaces its own connections");
                // Who hears that it is the owner types at once: what is typed says who and when.
                if client.owner.as_ref() == Some(&client.id) && client.epoch > typed_under {
                    typed_under = client.epoch;
                    typed += 1;
                    client.input(format!("{} {}\n", client.epoch, self.me).as_bytes(), client.epoch, 0).await;
                }
            }
            let act = self.seed.within(0..100);
            let word = match act {
                0..25 => {
                    client.send(ClientFrame::Claim { force: false }).await;
                    "claim"
                }
                25..40 => {
                    client.send(ClientFrame::Claim { force: true }).await;
                    "force"
                }
                40..50 => {
                    client.send(ClientFrame::Release).await;
                    "release"
                }
                50..65 => {
                    let to_client_id = self.seed.one_of(&self.everybody).clone();
                    client.send(ClientFrame::Transfer { to_client_id }).await;
                    "transfer"
                }
                65..70 => {
                    client.send(ClientFrame::RequestControl).await;
                    "request"
                }
                70..75 => {
                    client.send(ClientFrame::Heartbeat).await;
                    "heartbeat"
                }
                75..85 => {
                    // Types under whatever it believes.
                    typed += 1;
                    let line = format!("{} {}\n", client.epoch, self.me);
                    client.input(line.as_bytes(), client.epoch, 0).await;
                    "type"
                }
                85..93 => {
                    let again = self.open(Some(&client)).await;
                    // The older is told why it ends.
                    while self.hear(&mut client, &mut last).await {}
                    let told = client
                        .frames
                        .iter()
                        .any(|frame| matches!(frame, ServerFrame::Error { code: ErrorCode::Replaced, .. }));
                    assert!(told, "the older connection is told `replaced`: {}", client.story());
                    client = again;
                    last = client.epoch;
                    "attach twice"
                }
                _ => {
                    // Without a word, as a laptop that is closed.
                    let resume = Attach { resume: Some(client.cursor()), ..Attach::named("back") };
                    client.drop_socket();
                    client = self.knock(resume.client(&self.id())).await;
                    last = client.epoch;
                    "reconnect"
                }
            };
            *self.counts.entry(word).or_default() += 1;
        }
        self.counts.insert("typed", typed);
        self.counts
    }
}

#[test]
fn two_hundred_clients_for_a_minute_never_make_two_owners() {
    // The bound on requests is not what is tested here.
    let setup = Setup::plain().env("BATON_SERVER__RATE_LIMIT", "1000000");
    scenario(Duration::from_secs(150), setup, async |baton: &Baton| {
        let seed = Seed::from_env();
        let session = baton.script("stty -echo; echo ready; exec cat").await;
        let everybody: Arc<Vec<ClientId>> = Arc::new((0..CLIENTS).map(|_| session::client_id()).collect());
        let owners = Owners::default();
        // One who watches it all from beginning to end.
        let mut witness = baton.attach(session, Attach::named("witness").binary()).await;
        witness.until_output("ready\r\n").await;
        let until = Instant::now() + SPAN;
        let actors: Vec<_> = (0..CLIENTS)
            .map(|me| {
                let actor = Actor {
                    api: baton.api(),
                    session,
                    everybody: Arc::clone(&everybody),
                    me,
                    seed: seed.fork(me as u64 + 1),
                    owners: Arc::clone(&owners),
                    protocol: if me % 2 == 0 { Protocol::Json } else { Protocol::Binary },
                    counts: BTreeMap::new(),
                };
                tokio::spawn(actor.run(until))
            })
            .collect();
        let mut beat = tokio::time::interval(Duration::from_secs(4));
        while Instant::now() < until {
            tokio::select! {
                _ = witness.next() => {}
                _ = beat.tick() => witness.send(ClientFrame::Heartbeat).await,
                () = tokio::time::sleep_until(until) => {}
            }
        }
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for actor in actors {
            for (word, count) in actor.await.expect("no actor saw a rule broken") {
                *counts.entry(word).or_default() += count;
            }
        }
        // The witness was told of every epoch, and of each what everybody else was told.
        let detail = baton.session(session).await.session;
        let newest = detail.lease.as_ref().map(|lease| lease.epoch);
        if let Some(newest) = newest {
            witness.until_epoch(newest).await;
        }
        let mut seen: HashMap<Epoch, Option<ClientId>> = HashMap::new();
        for lease in witness.leases() {
            if let Some(owner) = seen.insert(lease.epoch, lease.owner.clone()) {
                assert_eq!(owner, lease.owner, "two owners of epoch {}", lease.epoch);
            }
        }
        let owners = owners.lock().unwrap().clone();
        for (epoch, owner) in &owners {
            assert_eq!(seen.get(epoch).unwrap_or(owner), owner, "the witness was told something else of epoch {epoch}");
        }
        let epochs: Vec<u64> = {
            let mut epochs: Vec<u64> = seen.keys().map(|epoch| epoch.0).collect();
            epochs.sort_unstable();
            epochs
        };
        assert!(epochs.windows(2).all(|pair| pair[1] == pair[0] + 1), "no epoch was left out");
        // What was typed was typed by the owner of its epoch, and epochs never fall in what the program read.
        let output = baton.output(session).await;
        let text = String::from_utf8(output).expect("plain text");
        let mut before = Epoch(0);
        let mut typed = 0;
        for line in text.lines().skip(1) {
            let (epoch, who) = line.split_once(' ').unwrap_or_else(|| panic!("a torn line `{line}`"));
            let epoch = Epoch(epoch.parse().unwrap());
            let who = &everybody[who.parse::<usize>().unwrap()];
            assert!(epoch >= before, "typed under {epoch} after {before}");
            assert_eq!(owners.get(&epoch), Some(&Some(who.clone())), "typed under epoch {epoch} by who did not own it");
            before = epoch;
            typed += 1;
        }
        println!("{} epochs, {typed} lines typed, {counts:?}", epochs.len());
        assert!(epochs.len() > 100 && typed > 0, "the storm was a calm");
    });
}
