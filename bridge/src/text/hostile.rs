//! What holds for any bytes at all: one body for the fuzzer and for random tests.

use super::{LINE_BYTES_MAX, Line, Stripper};

/// A line that outlives its output: text, end, next.
pub type Owned = (String, u64, u64);

/// More makes no other case, and each line is made as often as there are lines before it.
const BYTES_MAX: usize = 2 << 10;

/// Checks the lines of these bytes, cut where the first of them say, with a hole somewhere.
///
/// # Panics
/// If a promise of this module does not hold: that is what it is for.
pub fn any_bytes(data: &[u8]) {
    let Some((cuts, bytes)) = data.split_at_checked(4) else { return };
    let bytes = &bytes[..bytes.len().min(BYTES_MAX)];
    let cuts: Vec<usize> =
        cuts.iter().scan(0, |at, step| Some(*at + usize::from(*step)).inspect(|cut| *at = *cut)).collect();
    hold(bytes, &cuts);
    let hole = cuts[0].min(bytes.len());
    let mut stripper = Stripper::new(0);
    let (mut behind, mut last) = (Vec::new(), 0);
    stripper.feed(&bytes[..hole], &mut |line| last = line.next);
    stripper.skip_to(hole as u64 + 1000, &mut |line| last = line.next);
    assert!(last <= hole as u64 + 1000);
    assert_eq!(stripper.at(), hole as u64 + 1000);
    stripper.feed(&bytes[hole..], &mut |line| behind.push(line.text.to_owned()));
    stripper.finish(&mut |line| behind.push(line.text.to_owned()));
    let fresh: Vec<String> = lines_cut(&bytes[hole..], 0, &[]).into_iter().map(|(text, ..)| text).collect();
    assert_eq!(behind, fresh, "what is behind a hole does not depend on what was before");
}

/// However output is cut, and wherever reading begins anew behind a line, the lines are the same; none is too long; their
/// places rise and lie within the output.
///
/// # Panics
/// If not.
pub fn hold(bytes: &[u8], cuts: &[usize]) {
    let whole = lines_cut(bytes, 0, &[]);
    assert_eq!(lines_cut(bytes, 0, cuts), whole, "{} cut at {cuts:?}", bytes.escape_ascii());
    let single: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(lines_cut(bytes, 0, &single), whole, "{} byte by byte", bytes.escape_ascii());
    let mut before = (0, 0);
    for (at, (text, end, next)) in whole.iter().enumerate() {
        assert!(text.len() <= 4 * LINE_BYTES_MAX && !text.contains(|char: char| char.is_control()), "{text:?}");
        assert!(*end >= before.0 && *next >= before.1 && *end <= bytes.len() as u64, "{}", bytes.escape_ascii());
        assert!(*next <= bytes.len() as u64);
        before = (*end, *next);
        let resumed = lines_cut(bytes, usize::try_from(*next).unwrap_or(usize::MAX), &[]);
        assert_eq!(resumed, whole[at + 1..], "{} from {next}, behind {text:?}", bytes.escape_ascii());
    }
}

/// The lines of these bytes, fed in pieces that end at `cuts`.
///
/// # Panics
/// If the stripper loses count.
pub fn lines_cut(bytes: &[u8], from: usize, cuts: &[usize]) -> Vec<Owned> {
    let mut stripper = Stripper::new(from as u64);
    let mut lines = Vec::new();
    let mut sink = |line: Line<'_>| lines.push((line.text.to_owned(), line.end, line.next));
    let mut at = from;
    for cut in cuts.iter().map(|cut| cut % (bytes.len() + 1)).filter(|cut| *cut > from).chain([bytes.len()]) {
        if cut > at {
            stripper.feed(&bytes[at..cut], &mut sink);
            at = cut;
        }
    }
    assert_eq!(stripper.at(), bytes.len() as u64);
    stripper.finish(&mut sink);
    lines
}
