//! The kept corpus of every fuzz target of this crate.

#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn every_target_has_a_corpus_that_passes() {
    replay::replay(&baton_sessiond::hostile::TARGETS);
}
