//! The asciicast format, versions 2 and 3: events in, lines of JSON out. No I/O.
//!
//! Both begin with a line of facts, and then have a line for each event, `[time, code, data]`: in version 3 the time is
//! that since the event before, in version 2 that since the beginning. Codes: `o` output, `i` input, `r` resize,
//! `m` marker, and in version 3 `x`, the exit status.

use std::fmt::Write as _;
use std::time::Duration;

use baton_proto::v1::Dimensions;
use serde_json::json;

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Absolute times; read by every player.
    V2,
    /// Relative times, and the exit status.
    V3,
}

/// What a recording says of itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Size at the beginning.
    pub size: Dimensions,
    /// When it begins, microseconds since 1970.
    pub begin_us: u64,
    /// The session's name, if it has one.
    pub title: String,
    /// The command line.
    pub command: String,
    /// The value of `TERM`.
    pub term: &'static str,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Cast {
    version: Version,
    idle_max: Option<Duration>,
    /// Wall time of the newest event, microseconds since 1970.
    wall_us: u64,
    /// Recorded time since the beginning, in microseconds: with pauses shortened.
    elapsed_us: u64,
    /// Recorded time of the last line.
    written_us: u64,
    /// The beginning of a character whose rest is yet to come.
    carry: Vec<u8>,
    out: String,
}

impl Cast {
    /// Begins with the line of facts. Pauses longer than `idle_max` are shortened to it.
    #[must_use]
    pub fn new(version: Version, idle_max: Option<Duration>, facts: &Facts) -> Self {
        let seconds = facts.begin_us / 1_000_000;
        let Dimensions { cols, rows } = facts.size;
        let mut head = match version {
            Version::V2 => json!({
                "version": 2, "width": cols, "height": rows, "timestamp": seconds, "env": { "TERM": facts.term },
            }),
            Version::V3 => json!({
                "version": 3, "term": { "cols": cols, "rows": rows, "type": facts.term }, "timestamp": seconds,
            }),
        };
        for (name, text) in [("title", &facts.title), ("command", &facts.command)] {
            if !text.is_empty() {
                head[name] = json!(text);
            }
        }
        if let Some(idle_max) = idle_max {
            head["idle_time_limit"] = json!(idle_max.as_secs_f64());
        }
        let out = format!("{head}\n");
        Self { version, idle_max, wall_us: facts.begin_us, elapsed_us: 0, written_us: 0, carry: Vec::new(), out }
    }

    /// The lines written since this was last called.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// Bytes of the lines not yet taken.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// The program wrote.
    pub fn output(&mut self, wall_us: u64, bytes: &[u8]) {
        let held = std::mem::take(&mut self.carry);
        let joined;
        let bytes = if held.is_empty() {
            bytes
        } else {
            joined = [held.as_slice(), bytes].concat();
            &joined
        };
        let whole = bytes.len() - unfinished(bytes);
        self.carry.extend_from_slice(&bytes[whole..]);
        if whole > 0 {
            self.event(wall_us, 'o', &String::from_utf8_lossy(&bytes[..whole]));
        }
    }

    /// Somebody typed.
    pub fn input(&mut self, wall_us: u64, bytes: &[u8]) {
        self.event(wall_us, 'i', &String::from_utf8_lossy(bytes));
    }

    /// The terminal has another size.
    pub fn resize(&mut self, wall_us: u64, size: Dimensions) {
        self.event(wall_us, 'r', &format!("{}x{}", size.cols, size.rows));
    }

    /// Something worth finding again.
    pub fn marker(&mut self, wall_us: u64, label: &str) {
        self.event(wall_us, 'm', label);
    }

    /// Output is missing from here on: what was half written stays so.
    pub fn gap(&mut self, wall_us: u64, lost: u64) {
        self.finish_output(wall_us);
        self.marker(wall_us, &format!("{lost} bytes of output were not kept"));
    }

    /// The program ended.
    pub fn exit(&mut self, wall_us: u64, status: i32) {
        self.finish_output(wall_us);
        if self.version == Version::V3 {
            self.event(wall_us, 'x', &status.to_string());
        }
    }

    /// No output follows: a character that was begun never ends.
    pub fn finish_output(&mut self, wall_us: u64) {
        if !std::mem::take(&mut self.carry).is_empty() {
            self.event(wall_us.max(self.wall_us), 'o', "\u{fffd}");
        }
    }

    fn event(&mut self, wall_us: u64, code: char, data: &str) {
        let passed = Duration::from_micros(wall_us.saturating_sub(self.wall_us));
        let passed = self.idle_max.map_or(passed, |idle_max| passed.min(idle_max));
        self.wall_us = self.wall_us.max(wall_us);
        self.elapsed_us += u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let time_us = match self.version {
            Version::V2 => self.elapsed_us,
            Version::V3 => self.elapsed_us - self.written_us,
        };
        self.written_us = self.elapsed_us;
        let (seconds, micros) = (time_us / 1_000_000, time_us % 1_000_000);
        // Writing to a string does not fail, and a text is always JSON.
        let _ = write!(self.out, "[{seconds}.{micros:06}, \"{code}\", ");
        self.out.push_str(&serde_json::to_string(data).unwrap_or_else(|_| "\"\"".to_owned()));
        self.out.push_str("]\n");
    }
}

/// Bytes at the end that are the beginning of a character and nothing else.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let Some(lead) = tail.iter().rposition(|byte| *byte >= 0xc0) else { return 0 };
    let begun = &tail[lead..];
    match std::str::from_utf8(begun) {
        Err(err) if err.valid_up_to() == 0 && err.error_len().is_none() => begun.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn cast(version: Version, idle_max: Option<Duration>) -> Cast {
        let size = Dimensions { cols: 80, rows: 24 };
        let facts =
            Facts { size, begin_us: 1_000_500_000, title: "w".to_owned(), command: String::new(), term: "xterm" };
        Cast::new(version, idle_max, &facts)
    }

    fn lines(text: &str) -> Vec<Value> {
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn play(cast: &mut Cast) -> Vec<Value> {
        cast.output(1_000_500_000, b"a\x1b[1m");
        cast.resize(1_001_000_000, Dimensions { cols: 100, rows: 30 });
        cast.input(1_001_250_001, b"ls\r");
        cast.marker(1_061_250_001, "make");
        cast.gap(1_061_250_001, 7);
        cast.exit(1_062_000_000, 3);
        lines(&cast.take())
    }

    #[test]
    fn version_3_counts_from_event_to_event() {
        let lines = play(&mut cast(Version::V3, None));
        let head = json!({ "version": 3, "term": { "cols": 80, "rows": 24, "type": "xterm" }, "timestamp": 1000, "title": "w" });
        assert_eq!(lines[0], head);
        let events = [
            json!([0.0, "o", "a\u{1b}[1m"]),
            json!([0.5, "r", "100x30"]),
            json!([0.250_001, "i", "ls\r"]),
            json!([60.0, "m", "make"]),
            json!([0.0, "m", "7 bytes of output were not kept"]),
            json!([0.749_999, "x", "3"]),
        ];
        assert_eq!(lines[1..], events);
    }

    #[test]
    fn version_2_counts_from_the_beginning_and_knows_no_exit() {
        let lines = play(&mut cast(Version::V2, None));
        let head = json!({ "version": 2, "width": 80, "height": 24, "timestamp": 1000, "env": { "TERM": "xterm" }, "title": "w" });
        assert_eq!(lines[0], head);
        let times: Vec<f64> = lines[1..].iter().map(|line| line[0].as_f64().unwrap()).collect();
        assert_eq!(times, [0.0, 0.5, 0.750_001, 60.750_001, 60.750_001]);
        assert_eq!(lines.last().unwrap()[1], "m");
    }

    #[test]
    fn long_pauses_are_shortened() {
        let lines = play(&mut cast(Version::V3, Some(Duration::from_secs(2))));
        assert_eq!((&lines[0]["idle_time_limit"], &lines[4][0]), (&json!(2.0), &json!(2.0)));
    }

    proptest! {
        // However the output is cut into records, what is played is what was written, made valid.
        #[test]
        fn output_is_the_bytes_as_text(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "[a-zäß日🦀\u{1b}]{0,20}".prop_map(String::into_bytes),
                prop::collection::vec(prop::sample::select(vec![0xe2u8, 0x82, 0xac, 0xf0, 0x9f, 0xa6, 0x80, b'a', 0xc3]), 0..20),
            ],
            cuts in prop::collection::vec(0usize..40, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut cast = cast(Version::V3, None);
            for pair in cuts.windows(2) {
                cast.output(2_000_000_000, &bytes[pair[0]..pair[1]]);
                cast.resize(2_000_000_000, Dimensions { cols: 1, rows: 1 });
            }
            cast.finish_output(2_000_000_000);
            let text = cast.take();
            let played: String = lines(&text)[1..].iter()
                .filter(|line| line[1] == "o").map(|line| line[2].as_str().unwrap().to_owned()).collect();
            prop_assert_eq!(played, String::from_utf8_lossy(&bytes));
        }
    }
}
