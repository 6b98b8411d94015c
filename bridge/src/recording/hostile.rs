//! Journal records of anybody's making, written as an asciicast.

use std::time::Duration;

use baton_proto::v1::Dimensions;

use super::cast::{Cast, Facts, Version};
use super::{Scribe, TERM, first_wall_us};
use crate::hostile::records;

/// Records the records that these bytes make, from and up to places that they say.
///
/// # Panics
/// If what comes out is no asciicast, or has more output than there was.
pub fn any_bytes(data: &[u8]) {
    let Some(([how, begin, until], rest)) = data.split_first_chunk::<3>() else { return };
    let version = if how & 1 == 0 { Version::V3 } else { Version::V2 };
    let idle_max = (how & 2 != 0).then(|| Duration::from_millis(u64::from(*begin) + 1));
    let size = Dimensions { cols: 80, rows: 24 };
    let records = records(rest);
    let begin = u64::from(*begin % 8);
    let until = if how & 4 == 0 { u64::MAX } else { u64::from(*until) };
    let begin_us = first_wall_us(&records, begin).unwrap_or(0);
    let facts = Facts { size, begin_us, title: "a \"b\"\n".to_owned(), command: "sh".to_owned(), term: TERM };
    let cast = Cast::new(version, idle_max, &facts);
    let mut scribe = Scribe { cast, at: begin, until, size, wall_us: begin_us, typed: true, over: false };
    scribe.records(&records);
    scribe.finish();
    is_cast(&scribe.cast.take(), version);
}

fn is_cast(text: &str, version: Version) {
    let mut lines = text.lines();
    let head: serde_json::Value = parsed(lines.next().unwrap_or_default());
    assert_eq!(head["version"], if version == Version::V3 { 3 } else { 2 });
    let mut before = 0.0;
    for line in lines {
        let (time, code, data): (f64, String, String) = parsed(line);
        assert!(time >= 0.0 && time.is_finite(), "{line}");
        assert!(version == Version::V3 || time >= before, "time goes back: {line}");
        before = time;
        assert!(matches!(code.as_str(), "o" | "i" | "r" | "m" | "x"), "{line}");
        assert!(code != "x" || (version == Version::V3 && data.parse::<i32>().is_ok()), "{line}");
    }
}

fn parsed<T: serde::de::DeserializeOwned>(line: &str) -> T {
    serde_json::from_str(line).unwrap_or_else(|err| panic!("`{line}` is no line of an asciicast: {err}"))
}
