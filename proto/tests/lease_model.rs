//! Random histories of one lease, replayed on the machine and on an oracle that keeps the rules in their plainest form.
//! `BATON_SEED=<number>` repeats a run.

#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../../fuzz/src/lease_ops/mod.rs"]
#[allow(dead_code, reason = "the fuzz target's half is not used here")]
mod lease_ops;
mod seeded;

use lease_ops::{CLIENTS, Step, replay};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    // Times that meet a lease's 15 s and a standing claim's 60 s, just before, at and after.
    let pass = prop_oneof![3 => 0u64..4000, 2 => 14_000u64..16_001, 1 => 59_000u64..61_001, 1 => Just(15_000u64), 1 => Just(60_000u64)];
    prop_oneof![
        6 => client().prop_map(Step::Attach),
        2 => client().prop_map(Step::Detach),
        2 => client().prop_map(Step::Gone),
        1 => client().prop_map(Step::Silent),
        1 => client().prop_map(Step::Revive),
        8 => (client(), any::<bool>(), option::weighted(0.2, 0u64..3), 0u64..4).prop_map(
            |(client, force, if_epoch_back, request)| Step::Claim { client, force, if_epoch_back, request }
        ),
        2 => client().prop_map(Step::Release),
        3 => (client(), client()).prop_map(|(from, to)| Step::Transfer(from, to)),
        6 => client().prop_map(Step::Request),
        2 => (client(), client()).prop_map(|(owner, asker)| Step::Deny(owner, asker)),
        6 => (client(), option::of(0u64..3)).prop_map(|(client, back)| Step::Admit(client, back)),
        5 => pass.prop_map(Step::Pass),
        5 => Just(Step::Tick),
        1 => Just(Step::Restart),
    ]
}

#[test]
fn random_histories_go_by_the_rules() {
    seeded::check(2000, &vec(step(), 1..160), |steps| replay(&steps));
}

// The rules that people rely on, each as the shortest history that shows it: the oracle itself is checked by these.
mod by_hand {
    use std::time::Duration;

    use baton_proto::ErrorCode;
    use baton_proto::ids::{ClientId, Epoch};
    use baton_proto::lease::{CLIENTS_MAX, Effect, LeaseMachine, Monotonic, REQUEST_TTL, REQUESTS_MAX, Refusal};
    use baton_proto::v1::{Attachment, Class, ClientKind};

    use super::lease_ops::{TTL, client, is_agent};

    const T: Monotonic = Monotonic(5_000_000_000);
    const ADA: usize = 0;
    const BOB: usize = 1;
    const EVE: usize = 2;
    const BOT: usize = 3;
    const BOT2: usize = 4;

    fn with_everybody() -> LeaseMachine {
        let mut machine = LeaseMachine::new(TTL);
        for who in 0..super::CLIENTS {
            attach(&mut machine, who, T);
        }
        machine
    }

    fn attach(machine: &mut LeaseMachine, who: usize, now: Monotonic) -> Vec<Effect> {
        let class = if is_agent(who) { Class::Agent } else { Class::Person };
        machine.attach(&client(who), Attachment(who as u64), ClientKind::Web, class, "somebody", now).unwrap()
    }

    fn claim(machine: &mut LeaseMachine, who: usize, force: bool, now: Monotonic) -> Result<Epoch, ErrorCode> {
        machine.claim(&client(who), force, None, 0, now).0.map(|record| record.epoch).map_err(|err| err.code())
    }

    fn owner(machine: &LeaseMachine) -> Option<ClientId> {
        machine.owner().map(|owner| owner.client.clone())
    }

    #[test]
    fn a_person_takes_from_an_agent_and_an_agent_never_from_a_person() {
        let mut machine = with_everybody();
        assert_eq!(claim(&mut machine, BOT, false, T), Ok(Epoch(1)));
        assert_eq!(claim(&mut machine, BOT2, false, T), Err(ErrorCode::LeaseHeld));
        assert_eq!(claim(&mut machine, BOT2, true, T), Ok(Epoch(2)), "agents among themselves are as persons");
        assert_eq!(claim(&mut machine, ADA, false, T), Ok(Epoch(3)), "no force needed");
        assert_eq!(claim(&mut machine, BOT, true, T), Err(ErrorCode::LeaseHeld));
        assert_eq!(claim(&mut machine, BOB, false, T), Err(ErrorCode::LeaseHeld));
        assert_eq!(claim(&mut machine, BOB, true, T), Ok(Epoch(4)));
        assert_eq!(claim(&mut machine, BOB, false, T), Ok(Epoch(4)), "renewal keeps the epoch");
    }

    #[test]
    fn an_expired_lease_stays_with_its_owner_until_somebody_claims() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        machine.gone(&client(ADA), T);
        let at = machine.deadline().unwrap();
        assert_eq!(at, T.after(TTL));
        assert!(machine.tick(Monotonic(at.0 - 1)).is_empty());
        assert_eq!(claim(&mut machine, BOB, false, Monotonic(at.0 - 1)), Err(ErrorCode::LeaseHeld));
        let told = machine.tick(at);
        let [Effect::Announce { record, changed: false }] = &told[..] else { panic!("{told:?}") };
        assert!(record.expired && record.epoch == Epoch(1) && record.owner.is_some());
        assert!(machine.tick(at.after(TTL)).is_empty(), "told once");
        // The owner comes back and goes on; all are told, because all were told of the expiry.
        let told = attach(&mut machine, ADA, at);
        assert!(matches!(&told[..], [Effect::Announce { record, changed: false }] if !record.expired));
        assert!(machine.admit(&client(ADA), Some(Epoch(1)), at).is_ok());
        machine.silent(&client(ADA), at);
        assert_eq!(claim(&mut machine, BOT, false, at), Ok(Epoch(2)), "even an agent gets an expired lease");
        let lost = machine.admit(&client(ADA), Some(Epoch(1)), at).unwrap_err();
        assert_eq!(lost.code(), ErrorCode::LeaseLost);
    }

    #[test]
    fn a_late_timer_changes_nothing() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        machine.request(&client(EVE), T.after(TTL)).unwrap();
        machine.gone(&client(ADA), T.after(TTL));
        // Nobody looked at the clock when the lease ran out; the older standing claim still comes first.
        let late = T.after(TTL * 3);
        let (answer, told) = machine.claim(&client(BOB), false, None, 0, late);
        assert!(matches!(answer, Err(Refusal::Held { .. })));
        assert_eq!(told.len(), 2, "the expiry and the new owner: {told:?}");
        assert_eq!(owner(&machine), Some(client(EVE)));
    }

    #[test]
    fn standing_claims_are_carried_out_oldest_first_and_end_after_a_minute() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        for who in [BOT, EVE, BOB] {
            assert!(matches!(&machine.request(&client(who), T).unwrap()[..], [Effect::Requested { .. }]));
        }
        machine.request(&client(BOT), T.after(Duration::from_secs(1))).unwrap();
        assert!(machine.deny(&client(BOB), &client(EVE)).is_err());
        machine.deny(&client(ADA), &client(EVE)).unwrap();
        machine.release(&client(ADA), T).unwrap();
        assert_eq!(owner(&machine), Some(client(BOT)), "asking again keeps the place");
        let end = T.after(REQUEST_TTL);
        assert_eq!(machine.deadline(), Some(end));
        assert_eq!(machine.tick(end), vec![Effect::Denied { client: client(BOB), by: None }]);
        machine.release(&client(BOT), end).unwrap();
        assert_eq!(owner(&machine), None);
    }

    #[test]
    fn detach_releases_and_a_dropped_socket_does_not() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        let told = machine.detach(&client(ADA), T);
        assert!(matches!(&told[..], [Effect::Announce { record, changed: true }] if record.owner.is_none()));
        claim(&mut machine, BOB, false, T).unwrap();
        assert!(machine.gone(&client(BOB), T).is_empty());
        assert_eq!(owner(&machine), Some(client(BOB)));
        assert!(machine.revive(&client(BOB), T).is_empty());
        assert!(machine.deadline().is_some(), "a lease that no connection carries runs out");
    }

    #[test]
    fn a_newer_connection_replaces_the_older_and_keeps_the_lease() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        let told = machine.attach(&client(ADA), Attachment(77), ClientKind::Web, Class::Person, "new", T).unwrap();
        assert_eq!(told, vec![Effect::Replaced { attachment: Attachment(ADA as u64) }]);
        assert_eq!((machine.epoch(), owner(&machine)), (Epoch(1), Some(client(ADA))));
    }

    #[test]
    fn a_repeated_request_repeats_its_answer() {
        let mut machine = with_everybody();
        let first = machine.claim(&client(ADA), false, Some(Epoch(0)), 9, T);
        claim(&mut machine, BOB, true, T).unwrap();
        let again = machine.claim(&client(ADA), false, Some(Epoch(0)), 9, T);
        assert_eq!(again, (first.0, Vec::new()));
        assert_eq!(owner(&machine), Some(client(BOB)));
        let moved = machine.claim(&client(ADA), true, Some(Epoch(0)), 10, T).0;
        assert_eq!(moved, Err(Refusal::EpochMoved));
    }

    #[test]
    fn who_never_had_it_is_no_owner_and_who_had_it_lost_it() {
        let mut machine = with_everybody();
        claim(&mut machine, ADA, false, T).unwrap();
        claim(&mut machine, BOB, true, T).unwrap();
        let code = |machine: &mut LeaseMachine, who, epoch: Option<u64>| {
            machine.admit(&client(who), epoch.map(Epoch), T).map(|_| ()).map_err(|err| err.code())
        };
        assert_eq!(code(&mut machine, ADA, Some(1)), Err(ErrorCode::LeaseLost));
        assert_eq!(code(&mut machine, ADA, None), Err(ErrorCode::LeaseLost));
        assert_eq!(code(&mut machine, ADA, Some(2)), Err(ErrorCode::NotOwner), "it never had that epoch");
        assert_eq!(code(&mut machine, EVE, Some(2)), Err(ErrorCode::NotOwner));
        assert_eq!(
            code(&mut machine, BOB, Some(1)),
            Err(ErrorCode::NotOwner),
            "a stale epoch is stale for its owner too"
        );
        assert_eq!(code(&mut machine, BOB, Some(2)), Ok(()));
    }

    fn numbered(who: u128) -> ClientId {
        ClientId::from(uuid::Uuid::from_u128(who))
    }

    fn crowd(size: usize) -> LeaseMachine {
        let mut machine = LeaseMachine::new(TTL);
        for who in 0..size {
            let number = Attachment(who as u64);
            machine.attach(&numbered(who as u128), number, ClientKind::Web, Class::Person, "one of many", T).unwrap();
        }
        machine
    }

    #[test]
    fn standing_claims_are_bounded_and_those_that_are_over_make_room() {
        let mut machine = crowd(REQUESTS_MAX + 2);
        machine.claim(&numbered(0), false, None, 0, T).0.unwrap();
        for who in 1..=REQUESTS_MAX as u128 {
            machine.request(&numbered(who), T).unwrap();
        }
        let last = numbered(REQUESTS_MAX as u128 + 1);
        assert_eq!(machine.request(&last, T), Err(Refusal::TooMany { max: REQUESTS_MAX }));
        assert_eq!(machine.request(&numbered(5), T).unwrap().len(), 1, "who stands already may ask again");
        // Nobody looked at the clock for a minute: the request itself finds that the others are over.
        let told = machine.request(&last, T.after(REQUEST_TTL)).unwrap();
        assert_eq!(told.len(), REQUESTS_MAX + 1);
        assert!(matches!(told.last(), Some(Effect::Requested { client, .. }) if *client == last));
    }

    #[test]
    fn attached_clients_are_bounded_and_a_newer_connection_of_one_still_replaces_it() {
        let mut machine = crowd(CLIENTS_MAX);
        let mut attach =
            |who| machine.attach(&numbered(who), Attachment(1 << 40), ClientKind::Web, Class::Person, "", T);
        assert_eq!(attach(CLIENTS_MAX as u128), Err(Refusal::TooMany { max: CLIENTS_MAX }));
        assert_eq!(attach(3).unwrap(), vec![Effect::Replaced { attachment: Attachment(3) }]);
    }
}
