//! The log over a real database file: written, tampered with, sealed.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::chain::{Broken, Hash, Why, hex};
use super::*;
use crate::store::Store;

/// A reproducible sequence of numbers; its seed is printed when a test fails.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("BATON_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| crate::clock::now_us() | 1);
        eprintln!("seed: BATON_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

fn home() -> PathBuf {
    let directory = tempfile::tempdir().unwrap().keep();
    std::fs::write(directory.join("key"), [7; 32]).unwrap();
    directory
}

fn open(home: &Path) -> Audit {
    Audit::open(Store::open(&home.join("db")), &home.join("key"), home.join("audit.head"))
}

fn entry(number: usize) -> Entry {
    let action = Action::ALL[number % Action::ALL.len()];
    let actor = Actor { id: format!("tok_{number}"), name: "Ada".to_owned(), kind: "collaborator".to_owned() };
    let details = Details::none().text("name", "x".repeat(number % 40)).number("n", number as u64);
    let entry = Entry::new(actor, action).details(details).verdict(match number % 3 {
        0 => Verdict::Allowed,
        1 => Verdict::Denied(baton_proto::ErrorCode::Forbidden),
        _ => Verdict::Failed(baton_proto::ErrorCode::DiskFull),
    });
    if number.is_multiple_of(2) { entry.subject(format!("ses_{number}")) } else { entry }
}

async fn filled(home: &Path, rows: usize) -> Audit {
    let audit = open(home);
    for number in 0..rows {
        audit.note(entry(number)).await;
    }
    audit
}

fn unlocked(home: &Path) -> Connection {
    let connection = Connection::open(home.join("db")).unwrap();
    connection.execute_batch("DROP TRIGGER IF EXISTS audit_is_append_only").unwrap();
    connection
}

async fn outcome(audit: &Audit) -> Result<(u64, Hash), Broken> {
    audit.verify(None).await.unwrap().outcome
}

const COLUMNS: [&str; 12] = [
    "seq",
    "at_us",
    "actor_id",
    "actor_name",
    "actor_kind",
    "action",
    "subject",
    "outcome",
    "code",
    "details",
    "prev_hash",
    "hash",
];

/// Changes one byte of one field; the SQL can't be told from somebody with an editor for databases.
fn tampered(random: &mut Random, old: &Value) -> Value {
    let mut flip = |bytes: &mut Vec<u8>| {
        if bytes.is_empty() {
            bytes.push(b'x');
        } else {
            let at = random.below(bytes.len());
            // Stays ASCII, so that it stays text.
            bytes[at] ^= 1 << random.below(7);
        }
    };
    match old {
        Value::Null => Value::Text("x".to_owned()),
        Value::Integer(number) => Value::Integer(number ^ (1 << random.below(62))),
        Value::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            flip(&mut bytes);
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        Value::Blob(bytes) => {
            let mut bytes = bytes.clone();
            flip(&mut bytes);
            Value::Blob(bytes)
        }
        Value::Real(_) => panic!("no column is one"),
    }
}

#[tokio::test]
async fn a_change_of_any_byte_of_any_column_of_any_row_is_found_and_named() {
    const ROWS: usize = 40;
    let mut random = Random::seeded();
    let home = home();
    let audit = filled(&home, ROWS).await;
    assert!(matches!(outcome(&audit).await, Ok((40, _))), "{:?}", outcome(&audit).await);
    let connection = unlocked(&home);
    // Each column at least some times, whatever the seed.
    for round in 0..600 {
        let column = COLUMNS[round % COLUMNS.len()];
        let seq = i64::try_from(1 + random.below(ROWS)).unwrap();
        let old: Value = connection
            .query_row(&format!("SELECT {column} FROM audit WHERE seq = ?1"), [seq], |row| row.get(0))
            .unwrap();
        let new = tampered(&mut random, &old);
        let set = format!("UPDATE OR FAIL audit SET {column} = ?2 WHERE seq = ?1");
        if connection.execute(&set, params![seq, new]).is_err() {
            // A number that another row has.
            assert_eq!(column, "seq");
            continue;
        }
        let broken = outcome(&audit).await.expect_err(&format!("{column} of {seq}: {old:?} to {new:?}"));
        let named = if column == "seq" {
            // The first row that is missing is the changed one, unless the number became one before it.
            broken.why == Why::MissingSeq && broken.seq <= seq.unsigned_abs()
        } else {
            broken.seq == seq.unsigned_abs() && matches!(broken.why, Why::HashMismatch | Why::Unreadable)
        };
        assert!(named, "{column} of {seq}: {old:?} to {new:?}: {broken:?}");
        let back = format!("UPDATE audit SET {column} = ?2 WHERE seq = ?1");
        let now = if column == "seq" { new } else { Value::Integer(seq) };
        assert_eq!(connection.execute(&back, params![now, old]).unwrap(), 1);
    }
    assert!(outcome(&audit).await.is_ok());
}

#[tokio::test]
async fn a_row_whose_hash_was_made_to_fit_does_not_fit_the_next() {
    let home = home();
    let audit = filled(&home, 10).await;
    let connection = unlocked(&home);
    let mut row = audit.rows(crate::store::audit::Which::default(), 10).await.unwrap().remove(4);
    row.actor_name = "Eve".to_owned();
    let set = "UPDATE audit SET actor_name = 'Eve', hash = ?1 WHERE seq = 5";
    connection.execute(set, [row.computed()]).unwrap();
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 6, why: Why::PrevMismatch }));
    // The last has no next; it has the head.
    let home = self::home();
    let audit = filled(&home, 10).await;
    let mut row = audit.rows(crate::store::audit::Which::default(), 10).await.unwrap().remove(9);
    row.actor_name = "Eve".to_owned();
    unlocked(&home).execute(&set.replace("= 5", "= 10"), [row.computed()]).unwrap();
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 10, why: Why::HeadFileMismatch }));
    assert_eq!(outcome(&open(&home)).await, Err(Broken { seq: 10, why: Why::HeadMismatch }), "the file was behind");
}

#[tokio::test]
async fn rows_that_were_cut_off_stay_missing_whatever_is_written_after_them() {
    let home = home();
    let audit = filled(&home, 10).await;
    let connection = unlocked(&home);
    connection.execute("DELETE FROM audit WHERE seq > 7", []).unwrap();
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 8, why: Why::MissingSeq }));
    audit.note(entry(1)).await;
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 8, why: Why::MissingSeq }));
    // A head that was made to fit is not signed, and is not signed by the next row either.
    let home = self::home();
    let audit = filled(&home, 10).await;
    let connection = unlocked(&home);
    connection.execute("DELETE FROM audit WHERE seq > 7", []).unwrap();
    connection.execute("UPDATE audit_head SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7)", []).unwrap();
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 8, why: Why::MissingSeq }));
    assert_eq!(outcome(&open(&home)).await, Err(Broken { seq: 7, why: Why::HeadMismatch }));
    audit.note(entry(1)).await;
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 8, why: Why::MissingSeq }));
    // Nor is a head that is gone made anew.
    connection.execute("DELETE FROM audit_head", []).unwrap();
    audit.note(entry(1)).await;
    assert!(outcome(&audit).await.is_err());
}

#[tokio::test]
async fn a_database_that_was_put_back_is_found_by_who_kept_a_head() {
    let home = home();
    let audit = filled(&home, 5).await;
    let connection = unlocked(&home);
    connection.execute_batch("CREATE TABLE old AS SELECT * FROM audit_head").unwrap();
    for number in 5..9 {
        audit.note(entry(number)).await;
    }
    let known = outcome(&audit).await.unwrap();
    connection
        .execute_batch(
            "DELETE FROM audit WHERE seq > 5; DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM old",
        )
        .unwrap();
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 6, why: Why::MissingSeq }), "the running bridge knows");
    // By itself it can't be told, with the file of then: this is how it was.
    let audit = open(&home);
    assert!(outcome(&audit).await.is_ok());
    let compared = audit.verify(Some(known)).await.unwrap();
    assert_eq!(compared.outcome, Err(Broken { seq: 9, why: Why::NotAsExpected }), "{}", hex(&known.1));
}

#[tokio::test]
async fn a_random_byte_of_the_file_changes_no_row_unseen_and_breaks_nothing_but_itself() {
    let mut random = Random::seeded();
    let home = home();
    let audit = filled(&home, 60).await;
    let which = crate::store::audit::Which::default();
    let rows = audit.rows(which.clone(), 100).await.unwrap();
    drop(audit);
    let connection = Connection::open(home.join("db")).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).unwrap();
    drop(connection);
    let good = std::fs::read(home.join("db")).unwrap();
    let mut found = 0;
    for _ in 0..200 {
        let copy = self::home();
        let mut bytes = good.clone();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(copy.join("db"), bytes).unwrap();
        let audit = open(&copy);
        match audit.verify(None).await.map(|checked| checked.outcome) {
            Ok(Ok((0, _))) => {
                // It is no database any more, or one of another schema: Baton goes on in memory, and says so.
            }
            Ok(Ok(_)) => assert_eq!(audit.rows(which.clone(), 100).await.unwrap(), rows, "byte {at}"),
            Ok(Err(_)) | Err(_) => found += 1,
        }
        std::fs::remove_dir_all(copy).unwrap();
    }
    assert!(found > 10, "only {found}");
}

#[tokio::test]
async fn sealed_rows_leave_a_chain_that_holds_and_what_is_broken_is_not_sealed() {
    let home = home();
    let audit = filled(&home, 30).await;
    let logs = baton_proto::config::Logs { retention_days: 1, max_bytes: u64::MAX };
    let now = crate::clock::now_us();
    assert_eq!(audit.seal(&logs, now).await.unwrap(), 0);
    // By bytes: about half of them.
    let bytes: i64 = unlocked(&home).query_row("SELECT bytes FROM audit_head", [], |row| row.get(0)).unwrap();
    let half = baton_proto::config::Logs { retention_days: 1, max_bytes: bytes.unsigned_abs() / 2 };
    let sealed = audit.seal(&half, now).await.unwrap();
    assert!((10..=20).contains(&sealed), "{sealed}");
    let checked = audit.verify(None).await.unwrap();
    assert!(checked.outcome.is_ok(), "{checked:?}");
    assert_eq!((checked.sealed, checked.rows), (sealed, 30 - sealed));
    audit.note(entry(1)).await;
    // By age: all but the newest.
    let sealed = sealed + audit.seal(&logs, now + 2 * 86_400_000_000).await.unwrap();
    assert_eq!(sealed, 30);
    let checked = audit.verify(None).await.unwrap();
    assert_eq!((checked.sealed, checked.rows, checked.outcome.unwrap().0), (30, 1, 31));
    // A seal that was changed, and one that is gone.
    let connection = unlocked(&home);
    connection.execute("UPDATE audit_seals SET at_us = at_us + 1 WHERE from_seq > 1", []).unwrap();
    let why = outcome(&audit).await.unwrap_err().why;
    assert_eq!(why, Why::SealMismatch);
    connection.execute("DELETE FROM audit_seals WHERE from_seq > 1", []).unwrap();
    assert_eq!(outcome(&audit).await.unwrap_err().why, Why::MissingSeq);
    // What was changed is not hidden under a seal.
    let home = self::home();
    let audit = filled(&home, 30).await;
    unlocked(&home).execute("UPDATE audit SET actor_name = 'Eve' WHERE seq = 4", []).unwrap();
    let broken = Err(Broken { seq: 4, why: Why::HashMismatch });
    assert_eq!(outcome(&audit).await, broken);
    assert_eq!(audit.seal(&logs, now + 2 * 86_400_000_000).await.unwrap(), 3);
    assert_eq!(outcome(&audit).await, broken);
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_done_or_is_counted_and_told_later() {
    let home = home();
    let audit = filled(&home, 3).await;
    let connection = unlocked(&home);
    connection.execute_batch("ALTER TABLE audit RENAME TO away").unwrap();
    let write = |connection: &Connection| connection.execute("INSERT INTO clients VALUES ('c', 'p', 1, 1)", []);
    assert!(audit.with(entry(1), write).await.is_err());
    let clients: i64 = connection.query_row("SELECT count(*) FROM clients", [], |row| row.get(0)).unwrap();
    assert_eq!(clients, 0, "done although it could not be recorded");
    for number in 0..4 {
        audit.note(entry(number)).await;
    }
    assert_eq!(audit.lost(), 4);
    connection.execute_batch("ALTER TABLE away RENAME TO audit").unwrap();
    audit.with(entry(5), write).await.unwrap();
    audit.note(entry(6)).await;
    assert_eq!(audit.lost(), 0);
    let rows = audit.rows(crate::store::audit::Which::default(), 100).await.unwrap();
    let told: Vec<_> = rows.iter().filter(|row| row.action == "gap").map(|row| row.details.as_str()).collect();
    assert_eq!(told, ["{\"lost\":4}"]);
    assert!(outcome(&audit).await.is_ok());
}

#[tokio::test]
async fn who_only_asks_drives_nothing_out() {
    let home = home();
    let audit = filled(&home, 1).await;
    for _ in 0..500 {
        audit.refused(Entry::new(Actor::nobody(), Action::Login), baton_proto::ErrorCode::Unauthenticated).await;
    }
    let rows = audit.rows(crate::store::audit::Which::default(), 1000).await.unwrap().len();
    assert!((51..80).contains(&rows), "{rows}");
}

#[tokio::test]
async fn without_the_key_nothing_is_recorded_and_nobody_signs_in() {
    let home = home();
    std::fs::remove_file(home.join("key")).unwrap();
    let audit = open(&home);
    assert!(audit.with(entry(1), |_| Ok(())).await.is_err());
    audit.note(entry(1)).await;
    assert!(audit.verify(None).await.is_err());
}

/// What verifying says after `change` was made to the file of a log of twelve rows whose head was kept: while the bridge goes on, after
/// it went on and wrote another row, and after a restart.
async fn after(change: impl Fn(&Path)) -> [(u64, &'static str, Option<u64>); 3] {
    let home = home();
    let audit = filled(&home, 6).await;
    audit.keep_head().await;
    drop(audit);
    let audit = filled(&home, 6).await;
    audit.keep_head().await;
    assert!(outcome(&audit).await.is_ok());
    change(&home);
    let said = async |audit: &Audit| {
        let checked = audit.verify(None).await.unwrap();
        let broken = checked.outcome.expect_err("it is noticed");
        (broken.seq, broken.why.as_str(), checked.missing.map(|(upto, _)| upto))
    };
    let first = said(&audit).await;
    audit.note(entry(1)).await;
    audit.keep_head().await;
    let then = said(&audit).await;
    drop(audit);
    let again = open(&home);
    again.note(entry(1)).await;
    again.keep_head().await;
    [first, then, said(&again).await]
}

fn sql(statements: &'static str) -> impl Fn(&Path) {
    move |home| unlocked(home).execute_batch(statements).unwrap()
}

#[tokio::test]
async fn a_log_that_was_wiped_is_noticed() {
    let all = (1, "missing_seq", Some(12));
    assert_eq!(after(sql("DELETE FROM audit; DELETE FROM audit_head")).await, [all; 3]);
    assert_eq!(after(sql("DROP TABLE audit; DELETE FROM audit_head")).await, [all; 3]);
    let newest = after(sql("DELETE FROM audit WHERE seq > 9")).await;
    assert_eq!(newest, [(10, "missing_seq", Some(12)); 3]);
}

#[tokio::test]
async fn a_copy_of_before_put_back_is_noticed() {
    let home = home();
    let audit = filled(&home, 4).await;
    audit.keep_head().await;
    let copy = home.join("copy");
    unlocked(&home).execute("VACUUM INTO ?1", [copy.to_str()]).unwrap();
    let audit_head = std::fs::read(home.join("audit.head")).unwrap();
    for number in 0..3 {
        audit.note(entry(number)).await;
    }
    audit.keep_head().await;
    drop(audit);
    // The store's thread ends with its last handle: the copy goes to a place of its own.
    let other = self::home();
    std::fs::copy(&copy, other.join("db")).unwrap();
    std::fs::copy(home.join("audit.head"), other.join("audit.head")).unwrap();
    let audit = open(&other);
    assert_eq!(outcome(&audit).await, Err(Broken { seq: 5, why: Why::MissingSeq }));
    for number in 0..9 {
        audit.note(entry(number)).await;
    }
    audit.keep_head().await;
    assert_eq!(
        outcome(&open(&other)).await,
        Err(Broken { seq: 5, why: Why::MissingSeq }),
        "whatever is written behind it"
    );
    // With the file of then it is what it was.
    let then = self::home();
    std::fs::copy(&copy, then.join("db")).unwrap();
    std::fs::write(then.join("audit.head"), audit_head).unwrap();
    assert!(outcome(&open(&then)).await.is_ok());
}

#[tokio::test]
async fn a_head_file_that_is_missing_or_changed_is_told_and_a_log_without_one_gets_one() {
    let file = |home: &Path| home.join("audit.head");
    let home = home();
    assert!(outcome(&open(&home)).await.is_ok(), "neither rows nor a file");
    let audit = filled(&home, 3).await;
    assert!(outcome(&open(&home)).await.is_ok(), "a file that is behind, as a killed bridge leaves it");
    audit.keep_head().await;
    let kept = std::fs::read_to_string(file(&home)).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file(&home)).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    drop(audit);
    for changed in [kept.replacen(" 3 ", " 2 ", 1), kept.to_uppercase(), String::new(), format!("{kept} ")] {
        std::fs::write(file(&home), changed).unwrap();
        assert_eq!(outcome(&open(&home)).await, Err(Broken { seq: 3, why: Why::HeadFileMismatch }));
    }
    std::fs::remove_file(file(&home)).unwrap();
    let missing = Err(Broken { seq: 3, why: Why::HeadFileMissing });
    assert_eq!(outcome(&open(&home)).await, missing);
    let audit = open(&home);
    audit.note(entry(1)).await;
    audit.keep_head().await;
    assert!(!file(&home).exists(), "none is made up");
    assert!(outcome(&audit).await.is_err());

    // One of a Baton of before, whose head was signed alone.
    let before = self::home();
    let audit = Audit::with_anchor(Store::open(&before.join("db")), Some(super::chain::Keys::of(&[7; 32])), |_, _| {
        super::anchor::Anchor::in_memory()
    });
    audit.note(entry(1)).await;
    drop(audit);
    let audit = open(&before);
    assert!(outcome(&audit).await.is_ok());
    audit.note(entry(2)).await;
    audit.keep_head().await;
    assert!(file(&before).exists());
    assert!(outcome(&open(&before)).await.is_ok());
    std::fs::remove_file(file(&before)).unwrap();
    assert_eq!(outcome(&open(&before)).await, Err(Broken { seq: 2, why: Why::HeadFileMissing }));
}
