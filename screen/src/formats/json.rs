//! A screen as JSON: every cell with its attributes, in as few words as that takes.
//!
//! ```text
//! { "cols", "rows", "title", "cwd",
//!   "cursor": { "row", "col", "wrap_pending", "visible", "shape", "blinking" },
//!   "modes": { … }, "links": [ { "id", "uri" } ],
//!   "history": [ line ], "lines": [ line ] }
//! line = { "wrapped"?, "runs": [ run ] }
//! run  = { "text", "width"?, "cluster"?, "link"?, "fg"?, "bg"?, "underline_colour"?, "underline"?, "bold"?, … }
//! ```
//!
//! Runs follow one another from the first column. Each character of `text` is a cell of `width` columns (1 if not said); with
//! `cluster` the whole text is one cell: a character and those that combine with it. Cells behind the last run are blank. A
//! colour is a number of the palette or `"#rrggbb"`; what is not said is off, or the terminal's own. Rows and columns count from 0.
//! Lines of `history` are above the screen, the oldest first; `link` counts in `links`.

use serde::{Serialize, Serializer};

use super::BLANK;
use crate::view::{Cell, Colour, CursorView, Line, Link, Modes, Screenful, Style, Underline};

/// The screen as one line of JSON.
///
/// # Errors
/// None that a screen can cause: there is no key that is not text, and no number that JSON has not.
pub fn json(screen: &Screenful) -> serde_json::Result<Vec<u8>> {
    let whole = Whole {
        cols: screen.cols,
        rows: screen.rows,
        title: screen.title.as_deref(),
        cwd: screen.cwd.as_deref(),
        cursor: screen.cursor,
        modes: &screen.modes,
        links: &screen.links,
        history: Lines(&screen.history),
        lines: Lines(&screen.lines),
    };
    serde_json::to_vec(&whole)
}

#[derive(Serialize)]
struct Whole<'a> {
    cols: u16,
    rows: u16,
    title: Option<&'a str>,
    cwd: Option<&'a str>,
    cursor: CursorView,
    modes: &'a Modes,
    links: &'a [Link],
    history: Lines<'a>,
    lines: Lines<'a>,
}

/// Written line by line: a long history is never there a second time.
struct Lines<'a>(&'a [Line]);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|line| LineOut { wrapped: line.wrapped, runs: runs(&line.cells) }))
    }
}

#[derive(Serialize)]
struct LineOut {
    #[serde(skip_serializing_if = "is_false")]
    wrapped: bool,
    runs: Vec<Run>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent attributes of a cell, as they are written")]
struct Run {
    text: String,
    #[serde(skip_serializing_if = "is_one")]
    width: u8,
    #[serde(skip_serializing_if = "is_false")]
    cluster: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fg: Option<ColourOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bg: Option<ColourOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    underline_colour: Option<ColourOut>,
    #[serde(skip_serializing_if = "is_not_underlined")]
    underline: Underline,
    #[serde(skip_serializing_if = "is_false")]
    bold: bool,
    #[serde(skip_serializing_if = "is_false")]
    dim: bool,
    #[serde(skip_serializing_if = "is_false")]
    italic: bool,
    #[serde(skip_serializing_if = "is_false")]
    blink: bool,
    #[serde(skip_serializing_if = "is_false")]
    inverse: bool,
    #[serde(skip_serializing_if = "is_false")]
    hidden: bool,
    #[serde(skip_serializing_if = "is_false")]
    strikethrough: bool,
    #[serde(skip_serializing_if = "is_false")]
    overline: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ColourOut {
    Index(u8),
    Rgb(String),
}

fn colour(colour: Colour) -> Option<ColourOut> {
    match colour {
        Colour::Default => None,
        Colour::Indexed(index) => Some(ColourOut::Index(index)),
        Colour::Rgb(red, green, blue) => Some(ColourOut::Rgb(format!("#{red:02x}{green:02x}{blue:02x}"))),
    }
}

// serde hands over a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
const fn is_one(width: &u8) -> bool {
    *width == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_not_underlined(underline: &Underline) -> bool {
    *underline == Underline::None
}

/// The text that stands for a cell: an empty cell is a blank.
fn text_of(cell: &Cell) -> &str {
    if cell.text.is_empty() { BLANK } else { &cell.text }
}

fn runs(cells: &[Cell]) -> Vec<Run> {
    let written =
        |cell: &Cell| text_of(cell) != BLANK || cell.style != Style::default() || cell.link.is_some() || cell.width > 1;
    let end = cells.iter().rposition(|cell| cell.width > 0 && written(cell)).map_or(0, |last| last + 1);
    let mut runs: Vec<Run> = Vec::new();
    // What the run that is being written has in common; none for a cluster, which stays alone.
    let mut common: Option<(u8, Style, Option<usize>)> = None;
    for cell in cells[..end].iter().filter(|cell| cell.width > 0) {
        let text = text_of(cell);
        let this = (text.chars().nth(1).is_none()).then_some((cell.width, cell.style, cell.link));
        match runs.last_mut() {
            Some(run) if this.is_some() && this == common => run.text.push_str(text),
            _ => runs.push(run(cell, text, this.is_none())),
        }
        common = this;
    }
    runs
}

fn run(cell: &Cell, text: &str, cluster: bool) -> Run {
    let style = cell.style;
    Run {
        text: text.to_owned(),
        width: cell.width,
        cluster,
        link: cell.link,
        fg: colour(style.fg),
        bg: colour(style.bg),
        underline_colour: colour(style.underline_colour),
        underline: style.underline,
        bold: style.bold,
        dim: style.dim,
        italic: style.italic,
        blink: style.blink,
        inverse: style.inverse,
        hidden: style.hidden,
        strikethrough: style.strikethrough,
        overline: style.overline,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{paint, screen, screens, wrapped};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json as value};

    fn parsed(screen: &Screenful) -> Value {
        serde_json::from_slice(&json(screen).unwrap()).unwrap()
    }

    #[test]
    fn a_screen_reads_like_this() {
        let mut sample = screen(10, &["ab 日本e", "", "x"]);
        sample.lines[0].cells[7].text = "e\u{301}".to_owned();
        let loud = Style { fg: Colour::Indexed(1), bg: Colour::Rgb(1, 2, 255), bold: true, ..Style::default() };
        paint(&mut sample, 0, 0, 2, loud, Some(0));
        let wavy = Style { underline: Underline::Curly, underline_colour: Colour::Indexed(9), ..Style::default() };
        paint(&mut sample, 2, 3, 4, wavy, None);
        wrapped(&mut sample, 0);
        sample.links.push(Link { id: None, uri: "https://example.org/".to_owned() });
        sample.title = Some("top".to_owned());
        sample.history = screen(10, &["old"]).lines;
        assert_eq!(
            parsed(&sample),
            value!({
                "cols": 10, "rows": 3, "title": "top", "cwd": null,
                "cursor": {"row": 0, "col": 0, "wrap_pending": false, "visible": true, "shape": "default", "blinking": false},
                "modes": {
                    "alt_screen": false, "mouse": "none", "mouse_encoding": "default", "focus_reports": false,
                    "bracketed_paste": false, "application_cursor": false, "application_keypad": false, "origin": false,
                    "autowrap": true, "insert": false, "newline": false, "reverse_video": false, "alternate_scroll": false,
                    "kitty_keyboard": 0
                },
                "links": [{"id": null, "uri": "https://example.org/"}],
                "history": [{"runs": [{"text": "old"}]}],
                "lines": [
                    {"wrapped": true, "runs": [
                        {"text": "ab", "link": 0, "fg": 1, "bg": "#0102ff", "bold": true},
                        {"text": " "},
                        {"text": "日本", "width": 2},
                        {"text": "e\u{301}", "cluster": true},
                    ]},
                    {"runs": []},
                    {"runs": [{"text": "x  "}, {"text": " ", "underline": "curly", "underline_colour": 9}]},
                ],
            })
        );
    }

    /// The cells a reader of the JSON makes of a line, as the module's words tell.
    fn cells_of(line: &Value) -> Vec<(String, u64, Value)> {
        let mut cells = Vec::new();
        for run in line["runs"].as_array().unwrap() {
            let mut style = run.clone();
            let members = style.as_object_mut().unwrap();
            let text = members.remove("text").unwrap().as_str().unwrap().to_owned();
            let width = members.remove("width").map_or(1, |width| width.as_u64().unwrap());
            if members.remove("cluster").is_some() {
                cells.push((text, width, style));
            } else {
                cells.extend(text.chars().map(|character| (character.to_string(), width, style.clone())));
            }
        }
        cells
    }

    proptest! {
        #[test]
        fn every_cell_can_be_had_back(sample in screens()) {
            let whole = parsed(&sample);
            for (name, lines) in [("history", &sample.history), ("lines", &sample.lines)] {
                for (line, written) in lines.iter().zip(whole[name].as_array().unwrap()) {
                    let cells = cells_of(written);
                    let firsts = line.cells.iter().filter(|cell| cell.width > 0);
                    for (at, cell) in firsts.enumerate() {
                        let alone = runs(std::slice::from_ref(cell));
                        let alone = cells_of(&serde_json::to_value(LineOut { wrapped: false, runs: alone }).unwrap());
                        match (alone.first(), cells.get(at)) {
                            (None, Some((text, width, style))) => {
                                prop_assert_eq!((text.as_str(), *width, style), (" ", 1, &value!({})));
                            }
                            (alone, found) => prop_assert_eq!(alone, found),
                        }
                    }
                }
            }
        }
    }
}
