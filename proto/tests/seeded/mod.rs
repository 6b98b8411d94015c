//! Runs a property from a seed that is printed when it fails and can be given again as `BATON_SEED`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "test code; the seed is what stdout is for here")]

use std::hash::{BuildHasher as _, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Tries `property` on `cases` values (`PROPTEST_CASES` beats that); it fails by panicking.
///
/// # Panics
/// With the seed and the smallest value that fails.
pub fn check<S: Strategy>(cases: u32, values: &S, property: impl Fn(S::Value)) {
    let given = std::env::var("BATON_SEED").ok().map(|text| text.parse().expect("BATON_SEED is a number"));
    // The standard library's hasher keys are the one source of randomness that needs no dependency.
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());

    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    println!("seed {seed}");
    let ran = runner.run(values, |value| {
        property(value);
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = ran {
        panic!("BATON_SEED={seed} repeats this failure: {failure}");
    }
}
