//! Marks, queries and controls of any stream of terminal bytes.

use crate::Facts;
use crate::ground::{Event, Ground};
use crate::marks::{Mark, Marks, TEXT_BYTES_MAX, clean, directory};
use crate::queries::is_query;
use crate::screen::{Screen, What};
use baton_proto::v1::Dimensions;

/// Longest answer to a query: a few numbers, or a colour.
const ANSWER_BYTES_MAX: usize = 1024;

/// Reads bytes as a terminal's output, in pieces, with a host name and facts that come from them too.
///
/// # Panics
/// If a promise of `marks`, `queries` or `ground` does not hold: that is what it is for.
pub fn any_bytes(data: &[u8]) {
    let Some(([cut, host], stream)) = data.split_first_chunk::<2>() else { return };
    let host = ["", "desk", "desk.example", "localhost"][usize::from(host % 4)];
    let (whole, _) = marks_of(stream, stream.len().max(1), host);
    let (cut, queries) = marks_of(stream, usize::from(*cut).max(1), host);
    assert_eq!(whole, cut, "marks depend on how output was cut");
    for mark in &whole {
        is_label(&mark.text);
    }
    is_label(&clean(stream));
    if let Some(path) = directory(stream, host) {
        assert!(path.starts_with('/'), "{path:?} is no directory");
        is_label(&path);
    }
    // A screen answers what is a query and nothing else.
    let mut screen = Screen::new(Dimensions { cols: 80, rows: 24 });
    screen.set_host(host);
    screen.set_facts(Facts::default());
    let mut seen = Vec::new();
    screen.feed(stream, &mut seen);
    let answers: Vec<&[u8]> = seen
        .iter()
        .filter_map(|seen| match &seen.what {
            What::Reply(bytes) => Some(&bytes[..]),
            _ => None,
        })
        .collect();
    assert!(answers.len() <= queries, "{} answers to {queries} queries", answers.len());
    for answer in answers {
        assert!(!answer.is_empty() && answer.len() <= ANSWER_BYTES_MAX, "an answer of {} bytes", answer.len());
        assert!(
            !answer.contains(&b'\r') && !answer.contains(&b'\n'),
            "an answer types Enter: {}",
            answer.escape_ascii()
        );
    }
}

fn marks_of(stream: &[u8], piece: usize, host: &str) -> (Vec<Mark>, usize) {
    let (mut ground, mut marks) = (Ground::default(), Marks::new(host));
    let (mut found, mut queries) = (Vec::new(), 0);
    for piece in stream.chunks(piece) {
        ground.feed(piece, &mut |event, _| match event {
            Event::Text(_) => {}
            Event::Control(control) => found.extend(Mark::of_control(control)),
            Event::Sequence(sequence) => {
                found.extend(marks.take(sequence));
                queries += usize::from(is_query(sequence));
            }
        });
    }
    (found, queries)
}

/// One line, bounded, with nothing in it that acts on a terminal.
fn is_label(text: &str) {
    assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
