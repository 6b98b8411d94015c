//! The lease machine against an oracle, one history at a time.
//!
//! A history is a list of [`Step`]s over five clients: three persons and two agents. Each step is done by the machine and
//! by the [`Oracle`], which keeps the rules of the lease in the plainest form; answers, announcements in their order,
//! the record and the deadline must be the same after each.

mod oracle;

use std::time::Duration;

use baton_proto::ids::{ClientId, Epoch};
use baton_proto::lease::{Effect, LeaseMachine, Monotonic, Refusal};
use baton_proto::v1::{Attachment, Class, ClientKind, LeaseRecord};

pub use oracle::{Answer, CLIENTS, Oracle, TTL, Told, is_agent};

/// One thing that happens. Clients are numbered; 3 and 4 are agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client attaches, perhaps anew.
    Attach(usize),
    /// A client leaves.
    Detach(usize),
    /// A client's connection is gone.
    Gone(usize),
    /// Nothing was heard of a client for the lifetime.
    Silent(usize),
    /// A client is heard of.
    Revive(usize),
    /// A client claims.
    Claim {
        /// Who.
        client: usize,
        /// Even if somebody holds it.
        force: bool,
        /// Only under the epoch that many before the current one.
        if_epoch_back: Option<u64>,
        /// Request id; 0 = none.
        request: u64,
    },
    /// A client gives the lease up.
    Release(usize),
    /// A client gives it to another.
    Transfer(usize, usize),
    /// A client asks for control.
    Request(usize),
    /// The first client denies it to the second.
    Deny(usize, usize),
    /// A client types under the epoch that many before the current one; `None` = whatever is current.
    Admit(usize, Option<u64>),
    /// Milliseconds pass, and nobody looks.
    Pass(u64),
    /// Somebody looks at the clock.
    Tick,
    /// The worker dies and a successor reads the last lease record.
    Restart,
}

/// Makes a history of the bytes and replays it.
pub fn run(bytes: &[u8]) {
    replay(&decode(bytes));
}

/// Any bytes are a history: three bytes a step.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<Step> {
    bytes.chunks_exact(3).take(512).map(|three| step(three[0], three[1], three[2])).collect()
}

fn step(what: u8, who: u8, how: u8) -> Step {
    let client = usize::from(who) % CLIENTS;
    let other = usize::from(how) % CLIENTS;
    let back = (how & 4 != 0).then_some(u64::from(how & 3));
    match what % 14 {
        0 => Step::Attach(client),
        1 => Step::Detach(client),
        2 => Step::Gone(client),
        3 => Step::Silent(client),
        4 => Step::Revive(client),
        5 | 6 => Step::Claim {
            client,
            force: how & 1 != 0,
            if_epoch_back: (how & 0x18 == 0x18).then_some(u64::from(how >> 5 & 1)),
            request: u64::from(how >> 1 & 3),
        },
        7 => Step::Release(client),
        8 => Step::Transfer(client, other),
        9 => Step::Request(client),
        10 => Step::Deny(client, other),
        11 => Step::Admit(client, back),
        12 if who & 1 == 0 => Step::Tick,
        12 => Step::Restart,
        _ => Step::Pass(u64::from(who) * 256 + u64::from(how)),
    }
}

/// Replays a history on machine and oracle.
///
/// # Panics
/// When they differ; the message says at which step.
pub fn replay(steps: &[Step]) {
    let mut world = World::new();
    for (at, step) in steps.iter().enumerate() {
        world.step(*step, &|| format!("step {at} ({step:?}) of {steps:?}"));
    }
}

struct World {
    machine: LeaseMachine,
    oracle: Oracle,
    now: Monotonic,
    next_attachment: u64,
    /// The last record announced, as a journal would keep it.
    journalled: Option<LeaseRecord>,
}

impl World {
    fn new() -> Self {
        Self {
            machine: LeaseMachine::new(TTL),
            oracle: Oracle::default(),
            // Not zero: a history may begin long after the host did.
            now: Monotonic(1_000_000_000),
            next_attachment: 1,
            journalled: None,
        }
    }

    fn step(&mut self, step: Step, place: &dyn Fn() -> String) {
        let now = self.now;
        let epoch_before = self.machine.epoch();
        let (machine, oracle) = (&mut self.machine, &mut self.oracle);
        let (answer, effects) = match step {
            Step::Attach(who) => {
                let number = Attachment(self.next_attachment);
                self.next_attachment += 1;
                oracle.attach(who, number);
                let class = if is_agent(who) { Class::Agent } else { Class::Person };
                flat(machine.attach(&client(who), number, ClientKind::Cli, class, &name(who), now))
            }
            Step::Detach(who) => {
                oracle.detach(who, now);
                (None, machine.detach(&client(who), now))
            }
            Step::Gone(who) => {
                oracle.gone(who, now);
                (None, machine.gone(&client(who), now))
            }
            Step::Silent(who) => {
                oracle.silent(who, now);
                (None, machine.silent(&client(who), now))
            }
            Step::Revive(who) => {
                oracle.renew(who);
                (None, machine.revive(&client(who), now))
            }
            Step::Claim { client: who, force, if_epoch_back, request } => {
                let if_epoch = if_epoch_back.map(|back| Epoch(epoch_before.0.saturating_sub(back)));
                oracle.claim(who, force, if_epoch, request, now);
                let (answer, effects) = machine.claim(&client(who), force, if_epoch, request, now);
                (Some(answer.map(|record| held(&record)).map_err(|refusal| refusal.code())), effects)
            }
            Step::Release(who) => {
                oracle.release(who, now);
                flat(machine.release(&client(who), now))
            }
            Step::Transfer(who, to) => {
                oracle.transfer(who, to);
                flat(machine.transfer(&client(who), &client(to), now))
            }
            Step::Request(who) => {
                oracle.request(who, now);
                flat(machine.request(&client(who), now))
            }
            Step::Deny(who, asker) => {
                oracle.deny(who, asker);
                flat(machine.deny(&client(who), &client(asker)))
            }
            Step::Admit(who, back) => {
                let epoch = back.map(|back| Epoch(epoch_before.0.saturating_sub(back)));
                oracle.admit(who, epoch);
                let admitted = machine.admit(&client(who), epoch, now);
                let stale = epoch.is_some_and(|epoch| epoch != epoch_before);
                assert!(!(stale && admitted.is_ok()), "a stale epoch was admitted, {}", place());
                flat(admitted)
            }
            Step::Pass(ms) => {
                self.now = now.after(Duration::from_millis(ms));
                (None, Vec::new())
            }
            Step::Tick => {
                oracle.due(now);
                (None, machine.tick(now))
            }
            Step::Restart => {
                let record = self.journalled.clone();
                *machine =
                    record.map_or_else(|| LeaseMachine::new(TTL), |record| LeaseMachine::recovered(TTL, &record, now));
                oracle.restart(now);
                (None, Vec::new())
            }
        };
        self.check(answer, &effects, epoch_before, place);
    }

    fn check(&mut self, answer: Option<Answer>, effects: &[Effect], before: Epoch, place: &dyn Fn() -> String) {
        let (expected_answer, expected) = self.oracle.taken();
        let seen: Vec<Told> = effects.iter().map(told).collect();
        assert_eq!(seen, expected, "the machine (left) tells others than the rules, {}", place());
        assert_eq!(answer, expected_answer, "the machine (left) answers not by the rules, {}", place());

        let mut epoch = before;
        for effect in effects {
            if let Effect::Announce { record, changed } = effect {
                let due = if *changed { epoch.next() } else { epoch };
                assert_eq!(record.epoch, due, "an epoch rises by one with each change and only then, {}", place());
                epoch = record.epoch;
                self.journalled = Some(record.clone());
            }
        }
        assert_eq!(self.machine.epoch(), epoch, "the epoch moved in silence, {}", place());
        assert_eq!(
            self.machine.record(self.now),
            self.oracle.record(self.now, &client, &name),
            "the machine's record (left) is not what the rules say, {}",
            place()
        );
        assert_eq!(self.machine.deadline(), self.oracle.deadline(), "deadline, {}", place());
        for who in 0..CLIENTS {
            assert_eq!(self.machine.attachment(&client(who)), self.oracle.attachment(who), "presence, {}", place());
        }
    }
}

/// An operation without an answer of its own answers "done".
fn flat(done: Result<Vec<Effect>, Refusal>) -> (Option<Answer>, Vec<Effect>) {
    match done {
        Ok(effects) => (Some(Ok((None, Epoch(0)))), effects),
        Err(refusal) => (Some(Err(refusal.code())), Vec::new()),
    }
}

fn held(record: &LeaseRecord) -> (Option<usize>, Epoch) {
    (record.owner.as_ref().map(|owner| number(&owner.client)), record.epoch)
}

fn told(effect: &Effect) -> Told {
    match effect {
        Effect::Announce { record, changed } => {
            let (owner, epoch) = held(record);
            Told::Lease { owner, epoch, expired: record.expired, changed: *changed }
        }
        Effect::Requested { owner, client, name: text } => {
            assert_eq!(*text, name(number(client)));
            Told::Requested { owner: number(owner), client: number(client) }
        }
        Effect::Denied { client, by } => Told::Denied {
            client: number(client),
            by: by.as_ref().and_then(|by| (0..CLIENTS).find(|who| name(*who) == *by)),
        },
        Effect::Replaced { attachment } => Told::Replaced(*attachment),
    }
}

/// The id of a client by its number.
#[must_use]
pub fn client(who: usize) -> ClientId {
    let text =
        if is_agent(who) { format!("agent:a{who}") } else { format!("00000000-0000-4000-8000-00000000000{who}") };
    text.parse().unwrap_or_else(|err| unreachable!("{err}"))
}

fn number(client_id: &ClientId) -> usize {
    (0..CLIENTS).find(|who| client(*who) == *client_id).unwrap_or_else(|| unreachable!("nobody is {client_id}"))
}

fn name(who: usize) -> String {
    format!("client {who}")
}
