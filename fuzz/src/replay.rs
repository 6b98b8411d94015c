//! The kept corpus of a crate's fuzz targets, run as a test: what was found once is found again without a fuzzer.
//!
//! A module of each crate's `tests/corpus.rs`. Each input is tried as it is, cut short, and with a byte changed here and
//! there; which ones is the same each time.

use std::fs;
use std::path::Path;

/// Changed copies of each input.
const COPIES: usize = 24;

/// A target's name and what it does with bytes.
pub type Target<'a> = (&'a str, fn(&[u8]));

/// Runs each target, by its name, over its corpus in the repository's `fuzz/corpus`.
///
/// # Panics
/// When a target does, or has no corpus.
pub fn replay(targets: &[Target<'_>]) {
    for (target, body) in targets {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut inputs = 0;
        for file in fs::read_dir(&corpus).unwrap_or_else(|err| panic!("no corpus at `{}`: {err}", corpus.display())) {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            inputs += 1;
            body(&bytes);
            let mut number = 0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64;
            for _ in 0..COPIES {
                let mut copy = bytes.clone();
                let mut any = |below: usize| {
                    // Knuth's multiplier; the high bits are the good ones.
                    number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    usize::try_from(number >> 33).unwrap() % below.max(1)
                };
                if any(2) == 0 {
                    copy.truncate(any(bytes.len() + 1));
                }
                for _ in 0..any(4) {
                    let (at, to) = (any(copy.len()), any(256));
                    if let Some(byte) = copy.get_mut(at) {
                        *byte = u8::try_from(to).unwrap();
                    }
                }
                body(&copy);
            }
        }
        assert!(inputs > 0, "the corpus of `{target}` is empty");
    }
}
