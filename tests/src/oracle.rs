//! A foreign terminal that is asked what a screen should be: `@xterm/headless` in a Node process (`tests/oracle/`).

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A terminal that joins a stream by a snapshot.
#[derive(Debug, Clone)]
pub struct Join {
    /// The place in the stream that the snapshot stands for; what follows is read as it is.
    pub at: usize,
    /// What the terminal was fed before: a state that the snapshot has to get rid of.
    pub before: Vec<u8>,
    /// The snapshot.
    pub snapshot: Vec<u8>,
}

/// How terminals are compared.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// Lines the terminals keep above their screens.
    pub scrollback: usize,
    /// Lines above the screens that are compared.
    pub history: usize,
    /// Places in the stream at which every terminal that has joined before is compared, beside the place where it joins.
    pub checkpoints: Vec<usize>,
}

/// What came out.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Terminals that joined.
    pub joins: usize,
    /// Comparisons of two whole terminals.
    pub comparisons: usize,
    /// How often each known difference was seen.
    pub known: BTreeMap<String, usize>,
    /// Joins with at least one difference that is not known.
    pub joins_that_differ: usize,
    /// Differences that are not known.
    pub unexplained: usize,
    /// The first of them.
    pub told: Vec<Difference>,
}

impl Compared {
    /// Adds what another comparison found.
    pub fn add(&mut self, other: Self) {
        self.joins += other.joins;
        self.comparisons += other.comparisons;
        for (name, count) in other.known {
            *self.known.entry(name).or_default() += count;
        }
        self.joins_that_differ += other.joins_that_differ;
        self.unexplained += other.unexplained;
        self.told.extend(other.told);
    }
}

/// One difference of a terminal that joined from one that read everything.
#[derive(Debug, Deserialize)]
pub struct Difference {
    /// Where it joined.
    pub cut: usize,
    /// Where they were compared.
    pub seen: usize,
    /// The cell, or the group of modes.
    pub r#where: String,
    /// What of it.
    pub what: String,
    /// In the terminal that read everything.
    pub whole: Option<Value>,
    /// In the one that joined.
    pub joined: Option<Value>,
}

/// What a terminal shows.
#[derive(Debug, Deserialize)]
pub struct Shown {
    /// The rows, without the blanks at their ends.
    pub rows: Vec<String>,
    /// Row and column; the column behind the last when the next character wraps.
    pub cursor: (usize, usize),
    /// Modes by name.
    pub modes: BTreeMap<String, Value>,
}

/// A difference that is understood and stays.
#[derive(Debug, Deserialize)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The reason.
    pub why: String,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Question<'a> {
    Joins {
        #[serde(flatten)]
        comparison: &'a Comparison,
        stream: usize,
        joins: Vec<Lengths>,
    },
    Text {
        cols: u16,
        rows: u16,
    },
    Known,
}

#[derive(Serialize)]
struct Lengths {
    at: usize,
    before: usize,
    snapshot: usize,
}

/// The Node process.
pub struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: ChildStdout,
}

impl Oracle {
    /// Starts one.
    ///
    /// # Panics
    /// When its npm packages are not installed, or there is no Node.
    #[must_use]
    pub fn start() -> Self {
        let directory = directory();
        assert!(
            directory.join("node_modules/@xterm/headless").is_dir(),
            "the oracle's packages are missing: run `npm ci` in `tests/oracle` (`cargo xtask test` does)"
        );
        let mut child = Command::new("node")
            .arg(directory.join("oracle.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle needs `node`, version 20.19 or newer");
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("the oracle has pipes");
        };
        Self { child, questions, answers }
    }

    /// Compares terminals that join `stream` with one that reads all of it. `joins` are sorted by place.
    ///
    /// # Panics
    /// When the oracle fails; it says why on stderr.
    pub fn joins(&mut self, comparison: &Comparison, stream: &[u8], joins: &[Join]) -> Compared {
        assert!(joins.is_sorted_by_key(|join| join.at), "joins are asked for in order");
        let lengths = joins
            .iter()
            .map(|Join { at, before, snapshot }| Lengths { at: *at, before: before.len(), snapshot: snapshot.len() })
            .collect();
        let mut body = stream.to_vec();
        for join in joins {
            body.extend_from_slice(&join.before);
            body.extend_from_slice(&join.snapshot);
        }
        self.ask(&Question::Joins { comparison, stream: stream.len(), joins: lengths }, &body)
    }

    /// What a terminal shows that was fed this.
    pub fn text(&mut self, cols: u16, rows: u16, stream: &[u8]) -> Shown {
        self.ask(&Question::Text { cols, rows }, stream)
    }

    /// The differences that are known.
    pub fn known(&mut self) -> Vec<Known> {
        self.ask(&Question::Known, &[])
    }

    fn ask<A: for<'a> Deserialize<'a>>(&mut self, question: &Question<'_>, body: &[u8]) -> A {
        let question = serde_json::to_vec(question).expect("a question is JSON");
        let mut frame = Vec::with_capacity(8 + question.len() + body.len());
        for length in [question.len(), body.len()] {
            frame.extend_from_slice(&u32::try_from(length).expect("less than 4 GiB").to_le_bytes());
        }
        frame.extend_from_slice(&question);
        frame.extend_from_slice(body);
        self.questions.write_all(&frame).expect("the oracle listens");
        let mut length = [0; 4];
        self.answers.read_exact(&mut length).expect("the oracle answers; what it says on stderr is why it does not");
        let mut answer = vec![0; usize::try_from(u32::from_le_bytes(length)).expect("it fits into memory")];
        self.answers.read_exact(&mut answer).expect("a whole answer");
        serde_json::from_slice(&answer).expect("an answer is JSON")
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Nothing to lose; its stdin would end it too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle")
}
