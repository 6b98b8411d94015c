//! The table of a run, for a terminal and for docs/RELIABILITY.md.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::ledger::Totals;

/// Counts in the order in which they are told.
const COUNTS: [&str; 16] = [
    "sessions",
    "sessions confined",
    "sessions closed by request",
    "bytes checked",
    "reconnects",
    "attaches refused for now",
    "inputs sent",
    "inputs read by the program",
    "inputs acknowledged",
    "inputs refused and told",
    "inputs told uncertain",
    "epochs",
    "exit codes true",
    "exit codes honestly unknown",
    "gaps told",
    "bytes told lost",
];

/// What a run ended with.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Sessions that lived from beginning to end.
    pub sessions: u64,
    /// What was counted.
    pub totals: Totals,
    /// Where its logs are.
    pub artifacts: PathBuf,
}

impl Report {
    fn rows(&self) -> Vec<(String, String)> {
        let totals = &self.totals;
        let mut rows: Vec<(String, String)> =
            totals.faults.iter().map(|(kind, count)| (format!("fault: {kind}"), grouped(*count))).collect();
        rows.push(("faults in all".to_owned(), grouped(totals.faults.values().sum())));
        rows.extend(COUNTS.iter().map(|name| ((*name).to_owned(), grouped(totals.count(name)))));
        let others = totals.counts.iter().filter(|(name, _)| !COUNTS.contains(name));
        rows.extend(others.map(|(name, count)| ((*name).to_owned(), grouped(*count))));
        rows.extend(
            totals.most.iter().map(|(name, span)| (format!("longest: {name}"), format!("{:.1} s", span.as_secs_f64()))),
        );
        rows.push(("**violations**".to_owned(), format!("**{}**", totals.violations.len())));
        rows
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("seed {}, {:.0} s\n", self.seed, self.totals.span.as_secs_f64());
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:width$}  {:>15}", name.replace('*', ""), value.replace('*', ""));
        }
        for violation in &self.totals.violations {
            let _ = writeln!(text, "VIOLATION {violation}");
        }
        if !self.totals.violations.is_empty() {
            let _ = writeln!(text, "the run's log and Baton's own are in {}", self.artifacts.display());
        }
        text
    }

    /// For a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "| what | how many |\n| --- | ---: |\n".to_owned();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text
    }
}

/// `1234567` as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let mut groups: Vec<&str> = if head > 0 { vec![&digits[..head]] } else { Vec::new() };
    groups.extend((head..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_readable() {
        assert_eq!(
            [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped),
            ["0", "12", "123", "1 234", "123 456", "1 234 567"]
        );
    }
}
