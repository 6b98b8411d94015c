//! What happened in a run: every fault with its time, what was counted, and every rule that was broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Violations told in full; the rest are counted.
const SHOWN_MAX: usize = 100;

#[derive(Debug, Default)]
struct Book {
    faults: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
    most: BTreeMap<&'static str, Duration>,
    violations: Vec<String>,
    told: BTreeSet<String>,
    log: Option<File>,
}

/// The run's book. Everybody writes into it.
#[derive(Debug)]
pub struct Ledger {
    begun: Instant,
    book: Mutex<Book>,
}

/// What a run ended with.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Everything that was counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// The longest times.
    pub most: BTreeMap<&'static str, Duration>,
    /// Which rules were broken, each with its time.
    pub violations: Vec<String>,
    /// How long it was.
    pub span: Duration,
}

impl Totals {
    /// A count; nothing counted is zero.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

impl Ledger {
    /// A book whose every line goes to this file as well.
    ///
    /// # Panics
    /// When the file cannot be made.
    #[must_use]
    pub fn new(log: &Path) -> Self {
        let log = File::create(log).expect("the log of the run");
        Self { begun: Instant::now(), book: Mutex::new(Book { log: Some(log), ..Book::default() }) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Somebody's panic is a violation like others, and no reason to write no more.
        self.book.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Seconds since the beginning.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn line(&self, book: &mut Book, what: &str, text: &str) {
        if let Some(log) = book.log.as_mut() {
            // A disk without room for the log is not what is tested.
            let _ = writeln!(log, "{:9.3} {what} {text}", self.now());
        }
    }

    /// A fault was done.
    pub fn fault(&self, kind: &'static str, detail: &str) {
        let mut book = self.book();
        *book.faults.entry(kind).or_default() += 1;
        self.line(&mut book, "fault", &format!("{kind}: {detail}"));
    }

    /// Something that explains what follows.
    pub fn note(&self, text: &str) {
        let mut book = self.book();
        self.line(&mut book, "note ", text);
    }

    /// More of something.
    pub fn count(&self, name: &'static str, more: u64) {
        *self.book().counts.entry(name).or_default() += more;
    }

    /// How long something took; the longest is kept.
    pub fn took(&self, name: &'static str, span: Duration) {
        let mut book = self.book();
        let most = book.most.entry(name).or_default();
        *most = span.max(*most);
    }

    /// A rule was broken. The same text twice is one violation.
    pub fn violation(&self, whose: &str, text: &str) {
        let mut book = self.book();
        let text = format!("{whose}: {text}");
        if !book.told.insert(text.clone()) {
            return;
        }
        self.line(&mut book, "WRONG", &text);
        let line = format!("{:.3} s: {text}", self.now());
        if book.violations.len() < SHOWN_MAX {
            eprintln!("VIOLATION at {line}");
        }
        book.violations.push(line);
    }

    /// How many rules were broken so far.
    #[must_use]
    pub fn violations(&self) -> usize {
        self.book().violations.len()
    }

    /// Everything so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let book = self.book();
        Totals {
            faults: book.faults.clone(),
            counts: book.counts.clone(),
            most: book.most.clone(),
            violations: book.violations.clone(),
            span: self.begun.elapsed(),
        }
    }
}
