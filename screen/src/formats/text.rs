//! A screen as plain text.

use super::{BLANK, shown};
use crate::view::{Cell, Line, Screenful};

/// How [`text`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// A line that went on only because the margin ended it becomes one line again: what was written as a whole can be searched
    /// and copied as a whole. Else there is a line for each row.
    pub join_wrapped: bool,
}

/// The lines above the screen and then the screen's, each line ended by a line feed; blanks at the ends of lines and empty
/// lines at the end are left out. What is hidden (SGR 8) is blank here too.
#[must_use]
pub fn text(screen: &Screenful, options: TextOptions) -> String {
    let mut lines = screen.history.iter().chain(&screen.lines).peekable();
    let mut out = String::new();
    let mut start = 0;
    // Beyond it there are only empty lines.
    let mut end = 0;
    while let Some(line) = lines.next() {
        let next = lines.peek().filter(|_| options.join_wrapped && line.wrapped);
        push(&mut out, &line.cells, next.is_some_and(|next| starts_wide(next)));
        if next.is_some() {
            continue;
        }
        out.truncate(start + out[start..].trim_end_matches(BLANK).len());
        let empty = out.len() == start;
        out.push('\n');
        start = out.len();
        if !empty {
            end = start;
        }
    }
    out.truncate(end);
    out
}

/// Appends what a line shows; without the one column that stays free when a wide character does not fit any more. A blank that
/// was written just there looks the same and is lost: scripts with wide characters seldom have blanks before them.
fn push(out: &mut String, cells: &[Cell], before_wide: bool) {
    let cells = match cells.split_last() {
        Some((last, rest)) if before_wide && last.width == 1 && shown(last) == BLANK => rest,
        _ => cells,
    };
    for cell in cells.iter().filter(|cell| cell.width > 0) {
        match shown(cell) {
            BLANK => out.extend(std::iter::repeat_n(BLANK, usize::from(cell.width))),
            text => out.push_str(text),
        }
    }
}

fn starts_wide(line: &Line) -> bool {
    line.cells.first().is_some_and(|cell| cell.width == 2)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{screen, wrapped};
    use super::*;
    use crate::view::Style;

    fn rows(screen: &Screenful) -> String {
        text(screen, TextOptions::default())
    }

    fn joined(screen: &Screenful) -> String {
        text(screen, TextOptions { join_wrapped: true })
    }

    #[test]
    fn blanks_at_the_ends_are_left_out_and_others_are_not() {
        assert_eq!(rows(&screen(8, &["", "  ab  ", "", "c", "", ""])), "\n  ab\n\nc\n");
        assert_eq!(rows(&screen(8, &["", ""])), "");
        assert_eq!(rows(&screen(8, &["日本  x"])), "日本  x\n");
    }

    #[test]
    fn history_comes_first() {
        let mut sample = screen(8, &["now", ""]);
        sample.history = screen(8, &["then", ""]).lines;
        assert_eq!(rows(&sample), "then\n\nnow\n");
    }

    #[test]
    fn what_the_margin_ended_is_joined_when_asked() {
        let mut sample = screen(4, &["abcd", "ef", "g"]);
        wrapped(&mut sample, 0);
        assert_eq!(rows(&sample), "abcd\nef\ng\n");
        assert_eq!(joined(&sample), "abcdef\ng\n");
        // A blank that was written stays within, and the last line has nothing to be joined with.
        let mut sample = screen(4, &["abc ", "ef", "g"]);
        wrapped(&mut sample, 0);
        wrapped(&mut sample, 2);
        assert_eq!(joined(&sample), "abc ef\ng\n");
        // The free column before a wide character was never written.
        let mut sample = screen(4, &["abc", "日本", ""]);
        wrapped(&mut sample, 0);
        assert_eq!(joined(&sample), "abc日本\n");
    }

    #[test]
    fn what_was_written_as_one_is_had_back_as_one() {
        let written = "plain ascii, then:日本語日本語 x\u{301} e\u{301}\u{20dd} and:👩‍💻 end";
        for cols in 2..40 {
            let mut screen = crate::Screen::with_history(baton_proto::v1::Dimensions { cols, rows: 3 }, 1000);
            screen.feed(format!("first\r\n{written}\r\nlast").as_bytes(), &mut Vec::new());
            assert_eq!(joined(&screen.view(1000)), format!("first\n{written}\nlast\n"), "{cols} columns");
        }
    }

    #[test]
    fn what_is_hidden_and_what_would_act_is_blank() {
        let mut sample = screen(8, &["a日c", "x"]);
        sample.lines[0].cells[1].style = Style { hidden: true, ..Style::default() };
        sample.lines[1].cells[1].text = "\u{1b}".to_owned();
        sample.lines[1].cells[2].text = "\u{9b}".to_owned();
        sample.lines[1].cells[3].text = "y".to_owned();
        assert_eq!(rows(&sample), "a  c\nx  y\n");
    }
}
