//! What two screens have not in common, in few words.

use baton_screen::view::Screenful;

/// Bytes as people read them.
pub fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).escape_debug().to_string();
    // What every snapshot begins with says nothing.
    match text.split_once("\\u{1b}]112\\u{1b}\\\\") {
        Some((_, rest)) if text.starts_with("\\u{18}") => format!("snapshot {rest}"),
        _ => text,
    }
}

/// Where two views differ, in few words.
pub fn difference(left: &Screenful, right: &Screenful) -> Option<String> {
    let rows = left.history.iter().chain(&left.lines).zip(right.history.iter().chain(&right.lines));
    for (row, (left, right)) in rows.enumerate() {
        if left.wrapped != right.wrapped {
            return Some(format!("row {row}: wrapped {} and {}", left.wrapped, right.wrapped));
        }
        if let Some(column) = (0..left.cells.len()).find(|&column| left.cells[column] != right.cells[column]) {
            return Some(format!("row {row} column {column}:\n{:?}\n{:?}", left.cells[column], right.cells[column]));
        }
    }
    let rest = |screen: &Screenful| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {} {}",
            screen.cursor,
            screen.modes,
            screen.title,
            screen.cwd,
            screen.links,
            screen.history.len(),
            screen.lines.len()
        )
    };
    (left != right).then(|| format!("{}\n{}", rest(left), rest(right)))
}
