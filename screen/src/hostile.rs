//! What holds for any bytes at all: one body for the fuzzer and for random tests.

pub mod marks;

use baton_proto::v1::Dimensions;

use crate::screen::Screen;

/// A fuzz target's name, also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target of this crate.
pub const TARGETS: [Target; 2] = [("screen", any_bytes), ("marks", marks::any_bytes)];

/// Feeds bytes to a screen in pieces, with sizes, gaps and snapshots in between, as the bytes themselves say, and checks that a
/// screen made of each snapshot shows the same and makes the same snapshot.
///
/// # Panics
/// If it does not, or if something in the crate panics: that is what it is for.
pub fn any_bytes(data: &[u8]) {
    let [cols, rows, history, stream @ ..] = data else { return };
    let side = |byte: u8| u16::from(byte % 40) + 1;
    let lines = usize::from(history % 8);
    let mut screen = Screen::with_history(Dimensions { cols: side(*cols), rows: side(*rows) }, lines);
    let mut seen = Vec::new();
    for (index, piece) in stream.chunks(usize::from(*history) + 1).enumerate() {
        screen.feed(piece, &mut seen);
        assert!(screen.boundary() <= screen.offset());
        assert!(seen.iter().all(|seen| seen.offset <= screen.offset()));
        seen.clear();
        let step = piece[0].wrapping_add(u8::try_from(index & 0xff).unwrap_or_default());
        match step % 16 {
            0 => screen.resize(Dimensions { cols: side(step / 16), rows: side(step.rotate_left(3)) }),
            1 => screen.gap(screen.offset() + u64::from(step)),
            2 => restores(&screen),
            _ => {}
        }
    }
    restores(&screen);
}

fn restores(screen: &Screen) {
    let snapshot = screen.snapshot(0);
    let restored = Screen::restore(screen.size(), 0, screen.boundary(), &snapshot);
    assert!(restored.view(0) == screen.view(0), "the snapshot shows something else");
    let again = restored.snapshot(0);
    assert!(
        again == snapshot,
        "the snapshot's snapshot is another:\n{}\n{}",
        snapshot.escape_ascii(),
        again.escape_ascii()
    );
    assert_eq!(restored.boundary(), screen.boundary());
}
