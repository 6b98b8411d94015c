//! Patterns and records of anybody's making.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use baton_proto::ids::InstanceId;
use uuid::Uuid;

use super::pattern;
use super::searcher::{LINE_BYTES_MAX, Searcher, Wanted};
use crate::hostile::records;

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 24;

/// Looks for a pattern, which the bytes begin with, in the records that the rest of them make.
///
/// # Panics
/// If a promise of the search does not hold.
pub fn any_bytes(data: &[u8]) {
    let Some(([how, len, from, limit], rest)) = data.split_first_chunk::<4>() else { return };
    let (text, rest) = rest.split_at(rest.len().min(usize::from(*len) % PATTERN_BYTES_MAX));
    let Ok(pattern) = pattern(&String::from_utf8_lossy(text), how & 1 != 0, how & 2 != 0) else { return };
    let (context, limit) = (usize::from(how >> 4), usize::from(limit % 8) + 1);
    let wanted = Wanted { pattern, context, limit, from: u64::from(*from) };
    let instance = InstanceId::from_uuid(Uuid::nil());
    let mut searcher = Searcher::new(0, wanted, instance, Arc::new(AtomicBool::new(false)));
    searcher.feed(&records(rest), Duration::from_secs(5));
    let resume = searcher.resume();
    assert_eq!(resume.instance, instance);
    let (hits, next) = if how & 4 == 0 { searcher.finish() } else { searcher.stop() };
    assert!(hits.len() <= limit, "{} hits, at most {limit} were wanted", hits.len());
    let mut before = u64::from(*from);
    for hit in &hits {
        assert!(hit.cursor.offset >= before, "hits go back");
        before = hit.cursor.offset;
        assert!(hit.line.len() <= LINE_BYTES_MAX && hit.before.len() <= context && hit.after.len() <= context);
        for [begin, end] in &hit.matches {
            let found = hit.line.get(*begin as usize..*end as usize);
            assert!(found.is_some(), "{begin}..{end} is no part of {:?}", hit.line);
        }
    }
    assert!(next.is_none_or(|next| next.offset >= u64::from(*from)));
}
