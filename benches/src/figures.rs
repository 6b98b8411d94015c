//! Medians, and a table of them.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Several measurements of one thing, in one unit.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more, in milliseconds.
    pub fn time(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    /// One more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether nothing was measured.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that so many of a hundred are not above.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get(last * percent / 100).copied().unwrap_or(f64::NAN)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// One line: who, what, how much; and what the ratio is taken to.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured: rows of one group are compared.
    pub group: String,
    /// Whose figure it is.
    pub who: String,
    /// Its unit.
    pub unit: &'static str,
    /// The figures.
    pub samples: Samples,
    /// What else is to be said.
    pub note: String,
}

/// The figures of one part.
#[derive(Debug, Default)]
pub struct Table {
    /// Its name.
    pub title: String,
    /// Its lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// The ratio of a row to the first Baton row of its group.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let ours = self.rows.iter().find(|it| it.group == row.group && it.who.starts_with("baton"))?;
        Some(row.samples.median() / ours.samples.median()).filter(|ratio| ratio.is_finite())
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "group": row.group, "who": row.who, "unit": row.unit, "median": row.samples.median(),
                "min": row.samples.percentile(0), "max": row.samples.percentile(100),
                "ratio": self.ratio(row), "note": row.note,
            })
        });
        Value::Array(rows.collect())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.title)?;
        writeln!(f, "| | | median | min – max | p99 | to Baton | |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for row in &self.rows {
            if row.samples.is_empty() {
                writeln!(f, "| {} | {} | – | | | | {} |", row.group, row.who, row.note)?;
                continue;
            }
            let ratio = self.ratio(row).map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let samples = &row.samples;
            writeln!(
                f,
                "| {} | {} | {:.1} {} | {:.1} – {:.1} | {:.1} | {} | {} |",
                row.group,
                row.who,
                samples.median(),
                row.unit,
                samples.percentile(0),
                samples.percentile(100),
                samples.percentile(99),
                ratio,
                row.note
            )?;
        }
        Ok(())
    }
}
