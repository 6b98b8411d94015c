//! Rows of text in aligned columns.

/// A header and its rows; the last column is not padded, so that a long one costs nothing.
pub fn layout(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([header[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let head: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// At most `max` characters; what is cut shows.
pub fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// The first `max` characters, and how many more there are: nobody decides by what seems to be all.
pub fn cut(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let first: String = text.chars().take(max).collect();
    format!("{first}… (+{} characters)", count - max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_clean() {
        let rows = vec![
            vec!["wörk".to_owned(), "a".to_owned(), String::new()],
            vec!["x".to_owned(), "longer".to_owned(), "z".to_owned()],
        ];
        assert_eq!(layout(&["NAME", "ID", "C"], &rows), "NAME  ID      C\nwörk  a\nx     longer  z\n");
    }

    #[test]
    fn what_is_cut_shows() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("abcd", 4), "abcd");
        assert_eq!(cut("abcdef", 4), "abcd… (+2 characters)");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
