//! Wherever somebody joins, they end up with the screen of those who were there from the beginning.

use baton_proto::v1::Dimensions;
use baton_screen::Screen;
use proptest::prelude::*;

use crate::compare::{difference, readable};
use crate::streams;

/// Random runs of each property; `PROPTEST_CASES` overrides it.
const CASES: u32 = 512;

fn fed(bytes: &[u8], size: Dimensions) -> Screen {
    let mut screen = Screen::new(size);
    screen.feed(bytes, &mut Vec::new());
    screen
}

fn assert_same(left: &Screen, right: &Screen, context: &dyn Fn() -> String) -> Result<(), TestCaseError> {
    if let Some(difference) = difference(&left.view(0), &right.view(0)) {
        return Err(TestCaseError::fail(format!("{difference}\n{}", context())));
    }
    let (left, right) = (readable(&left.snapshot(0)), readable(&right.snapshot(0)));
    if left != right {
        return Err(TestCaseError::fail(format!("snapshots\n{left}\n{right}\n{}", context())));
    }
    Ok(())
}

/// Joins at every byte.
fn check(stream: &[u8], size: Dimensions) -> Result<(), TestCaseError> {
    let whole = fed(stream, size);
    for cut in 0..=stream.len() {
        let before = fed(&stream[..cut], size);
        let boundary = usize::try_from(before.boundary()).unwrap();
        let snapshot = before.snapshot(0);
        let mut joined = Screen::restore(size, 0, before.boundary(), &snapshot);
        let context = || {
            format!(
                "{size:?}, joined at {cut}, boundary {boundary}, in {}\nby {}",
                readable(stream),
                readable(&snapshot)
            )
        };
        assert_same(&before, &joined, &context)?;
        joined.feed(&stream[boundary..], &mut Vec::new());
        assert_same(&whole, &joined, &context)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joined_at_any_byte(stream in streams::stream(24), size in streams::size()) {
        check(&stream, size)?;
    }

    #[test]
    fn split_anywhere(stream in streams::stream(40), size in streams::size(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        let mut seen = Vec::new();
        let mut whole = Screen::new(size);
        whole.feed(&stream, &mut seen);
        let mut seen_in_parts = Vec::new();
        let mut in_parts = Screen::new(size);
        let mut at = 0;
        for end in ends {
            in_parts.feed(&stream[at..end], &mut seen_in_parts);
            at = end;
        }
        assert_same(&whole, &in_parts, &|| readable(&stream))?;
        prop_assert_eq!(seen, seen_in_parts);
        prop_assert_eq!(whole.boundary(), in_parts.boundary());
    }
}
