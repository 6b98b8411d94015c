use super::state::{Given, State};
use super::*;

use std::collections::HashSet;

use uuid::Uuid;

fn fresh(text: &str) -> Fresh {
    let (scope, scope_id) = (Scope::Session, "ses_x".to_owned());
    Fresh { scope, scope_id, kind: "mark".to_owned(), data: json!({ "text": text }), at_us: 7 }
}

fn seqs(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.event.seq).collect()
}

#[test]
fn nothing_is_told_before_it_is_kept() {
    let mut state = State::new(100);
    assert_eq!((state.newest(), state.told()), (99, 99));
    for _ in 0..3 {
        assert_eq!(state.give(fresh("a")), Given::Waits);
    }
    assert!(state.begin_writing() && !state.begin_writing(), "one writes at a time");
    let batch = state.batch(2, 0);
    assert_eq!(seqs(&batch), [100, 101]);
    assert_eq!((state.newest(), state.told()), (102, 99));
    assert_eq!(seqs(&state.after(99, 10).unwrap()), [0; 0]);
    state.kept(101);
    assert_eq!(seqs(&state.after(99, 10).unwrap()), [100, 101]);
    assert_eq!(seqs(&state.after(100, 10).unwrap()), [101]);
    assert_eq!(seqs(&state.after(99, 1).unwrap()), [100]);
    assert!(state.begin_writing(), "the third waits");
    assert_eq!(seqs(&state.batch(2, 0)), [102]);
    assert!(state.after(98, 1).is_none(), "of an earlier life, which only the database knows");
}

#[test]
fn a_database_that_fails_keeps_nobody_from_hearing_and_gets_it_later() {
    let mut state = State::new(1);
    assert_eq!(state.give(fresh("a")), Given::Waits);
    assert!(state.begin_writing());
    let _ = state.batch(10, 0);
    assert_eq!(state.give(fresh("b")), Given::Waits);
    state.failed();
    assert_eq!(seqs(&state.after(0, 10).unwrap()), [1, 2], "in their order, also what came meanwhile");
    assert_eq!(state.give(fresh("c")), Given::Told);
    assert!(state.try_again(1, 0) && !state.begin_writing(), "by the clock, not at each event");
    assert_eq!(seqs(&state.batch(10, 0)), [1, 2, 3]);
    state.kept(3);
    assert_eq!(seqs(&state.after(0, 10).unwrap()), [1, 2, 3], "told once");
    assert!(!state.try_again(2, 0) && !state.begin_writing());
    assert_eq!(state.give(fresh("d")), Given::Waits);
}

#[test]
fn memory_is_bounded_and_what_is_lost_is_told() {
    let mut state = State::new(1);
    // A stalled disk: the queue fills by count.
    let given = (0..20_000).filter(|_| state.give(fresh("x")) == Given::Waits).count();
    assert_eq!(given, 8192);
    assert!(state.begin_writing());
    // Where the next one would be stands how many there would have been.
    let batch = state.batch(usize::MAX, 5);
    let gap = &batch.last().unwrap().event;
    assert_eq!((batch.len(), gap.kind.as_str(), &gap.data), (8193, GAP, &json!({ "lost": 20_000 - 8192 })));
    assert_eq!(gap.seq, 8193);
    state.kept(8193);
    // What is at hand is bounded too; whoever is further behind is told to look elsewhere.
    assert!(state.after(8193 - 4097, 1).is_none());
    assert_eq!(state.after(8193 - 4096, usize::MAX).unwrap().len(), 4096);

    // By size: few large ones fill both as well.
    let large = "y".repeat(1 << 20);
    let given = (0..20).filter(|_| state.give(fresh(&large)) == Given::Waits).count();
    assert_eq!(given, 8);
    assert!(state.begin_writing());
    let upto = state.batch(usize::MAX, 5).last().unwrap().event.seq;
    state.kept(upto);
    assert!(state.after(upto - 5, 10).is_none());
    assert!(state.after(upto - 1, 10).is_some());

    // A database that fails while the queue is full: all is told, and what has no place is counted.
    let mut state = State::new(1);
    for _ in 0..8192 {
        state.give(fresh("x"));
    }
    assert!(state.begin_writing());
    let _ = state.batch(10, 0);
    state.failed();
    assert_eq!(state.give(fresh("z")), Given::Told);
    assert_eq!(state.told(), 8193);
    let batch = state.batch(usize::MAX, 0);
    assert_eq!((batch.len(), batch.last().unwrap().event.seq), (8192, 8192), "no gap as long as it can't be kept");
    state.kept(8192);
    assert!(state.begin_writing());
    let gap = state.batch(10, 0);
    assert_eq!((seqs(&gap), &gap[0].event.data), (vec![8194], &json!({ "lost": 1 })));
}

/// A log in a file, and a session.
async fn log(path: &std::path::Path) -> EventLog {
    EventLog::open(Store::open(path)).await
}

async fn write(log: &EventLog, count: usize) -> Vec<u64> {
    let id = SessionId::from_uuid(Uuid::nil());
    let seqs = (0..count)
        .map(|n| {
            log.session(id, "mark", json!({ "n": n }));
            log.newest()
        })
        .collect();
    log.flush().await;
    seqs
}

/// All that comes after a cursor, and what the gaps on the way say.
async fn all_after(log: &EventLog, mut cursor: u64) -> (Vec<u64>, Vec<Value>) {
    let (mut seqs, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match log.after(cursor, 100).await {
            After::AtHand(entries) if entries.is_empty() => return (seqs, gaps),
            After::AtHand(entries) => seqs.extend(entries.iter().map(|entry| entry.event.seq)),
            After::Older { gap, events, cursor: next } => {
                gaps.extend(gap.map(|gap| gap.event.data["lost"].clone()));
                seqs.extend(events.iter().map(|event| event.seq));
                cursor = next;
                continue;
            }
        }
        cursor = *seqs.last().unwrap();
    }
}

#[tokio::test]
async fn a_cursor_goes_on_in_the_next_life_and_no_number_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let mut all = Vec::new();
    for life in 0..4 {
        let log = log(&path).await;
        all.extend(write(&log, 300).await);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "life {life}");
        assert!(all.is_sorted());
        for at in [0, 1, 299, 300, all.len() - 2, all.len() - 1] {
            let at = at.min(all.len() - 1);
            assert_eq!(all_after(&log, all[at]).await, (all[at + 1..].to_vec(), vec![]), "life {life}, from {at}");
        }
        assert_eq!(all_after(&log, 0).await, (all.clone(), vec![]), "from the beginning on");
    }
}

#[tokio::test]
async fn a_cursor_that_the_log_does_not_know_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("db"), directory.path().join("copy"));
    let old = log(&path).await;
    let before = write(&old, 5).await;
    old.store.flush().await;
    // An older copy is put in place of the database, as a restore does, or a machine that stopped hard.
    drop(old);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    drop(connection);
    let log = self::log(&path).await;
    let lost = write(&log, 5).await;
    drop(log);
    let log = self::log(&copy).await;
    let now = write(&log, 5).await;
    assert!(now[0] > lost[4], "numbers of events that the log has lost come again");
    // Who was told of what is lost is told that there was something; who was not has missed nothing of this log.
    assert_eq!(all_after(&log, lost[2]).await, (now.clone(), vec![Value::Null]));
    assert_eq!(all_after(&log, before[4]).await, (now.clone(), vec![]));
    // A cursor that is larger than all there are: everything that is kept, after a gap.
    let After::Older { gap, events, cursor } = log.anew(0, 100).await else { panic!("at hand") };
    let gap = gap.unwrap();
    assert_eq!((gap.event.kind.as_str(), &gap.event.data["lost"]), (GAP, &Value::Null));
    assert_eq!((gap.event.seq + 1, events[0].seq), (before[0], before[0]));
    assert_eq!(cursor, events.last().unwrap().seq);
}

#[tokio::test]
async fn who_sleeps_while_the_log_is_cut_back_is_told_of_the_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let first_life = write(&log(&path).await, 10).await;
    let log = log(&path).await;
    let mut all = write(&log, 1).await;
    while all.len() < 9000 {
        all.extend(write(&log, 3000).await);
    }
    let cut = first_life.len() as u64 + 4000;
    log.store.call(move |connection| crate::store::events::cut(connection, cut)).await.unwrap();
    // Of this life it is known how many: those before the first that is left.
    let (seqs, gaps) = all_after(&log, all[1000]).await;
    assert_eq!((seqs.first(), seqs.len(), gaps), (Some(&all[4000]), all.len() - 4000, vec![json!(2999)]));
    assert_eq!(all_after(&log, all[3999]).await, (all[4000..].to_vec(), vec![]), "nothing after it was cut away");
    let (seqs, gaps) = all_after(&log, first_life[3]).await;
    assert_eq!((seqs.first(), gaps), (Some(&all[4000]), vec![Value::Null]));
}

#[tokio::test]
async fn the_log_is_cut_back_to_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let log = log(&directory.path().join("db")).await;
    let mut all = Vec::new();
    while (all.len() as u64) < EVENTS_MAX + 3 * PRUNE_EVERY {
        all.extend(write(&log, 4000).await);
    }
    let (newest, rows) = log.store.newest_event().await.unwrap();
    assert_eq!(newest, *all.last().unwrap());
    assert!((EVENTS_MAX..EVENTS_MAX + PRUNE_EVERY).contains(&rows), "{rows}");
    assert_eq!(rows, log.rows.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_database_that_takes_no_events_for_a_while_has_them_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let log = log(&directory.path().join("db")).await;
    let mut all = write(&log, 3).await;
    let refuse = "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'full'); END";
    log.store.call(move |connection| connection.execute_batch(refuse)).await.unwrap();
    all.extend(write(&log, 500).await);
    assert!(log.is_failing());
    let last = *all.last().unwrap();
    let mut changed = log.subscribe();
    changed.wait_for(|told| *told >= last).await.unwrap();
    assert_eq!(all_after(&log, all[0]).await, (all[1..].to_vec(), vec![]), "told all the same");
    assert_eq!(log.store.newest_event().await.unwrap().0, all[2]);
    log.store.call(|connection| connection.execute_batch("DROP TRIGGER full")).await.unwrap();
    // By itself, without another event.
    while log.store.newest_event().await.unwrap().0 != last {
        changed.changed().await.unwrap();
    }
    assert_eq!(log.store.newest_event().await.unwrap(), (last, all.len() as u64));
    assert!(!log.is_failing());
}
