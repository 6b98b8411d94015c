//! A session's screen on a terminal of another size: what fits of it, in the upper left corner, painted cell by cell.
//!
//! A larger terminal gets lines at the session's edges. A smaller one is a window on the screen that goes where the cursor goes. Only
//! what changed since the last painting is written.

use std::io::Write as _;

use baton_proto::api::Viewport;
use baton_screen::view::{Line, Link, Modes, Mouse, MouseEncoding, Screenful, Shape, Style};

use crate::report::clean_line;

/// What is painted of Baton's own.
const DIM: Style = Style {
    dim: true,
    fg: baton_screen::view::Colour::Default,
    bg: baton_screen::view::Colour::Default,
    underline_colour: baton_screen::view::Colour::Default,
    underline: baton_screen::view::Underline::None,
    bold: false,
    italic: false,
    blink: false,
    inverse: false,
    hidden: false,
    strikethrough: false,
    overline: false,
};

/// Rows a remark takes at most.
const REMARK_ROWS_MAX: usize = 3;

/// One place of the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spot {
    /// Empty in the second half of a wide character.
    text: String,
    style: Style,
    link: Option<Link>,
}

impl Spot {
    fn own(text: &str) -> Self {
        Self { text: text.to_owned(), style: DIM, link: None }
    }

    fn blank() -> Self {
        Self { text: " ".to_owned(), style: Style::default(), link: None }
    }

    fn is_second_half(&self) -> bool {
        self.text.is_empty()
    }
}

/// How the terminal takes what a person does, as far as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Told {
    modes: Modes,
    title: Option<String>,
    /// Its DECSCUSR number.
    cursor_shape: u8,
}

/// What is painted, and what was.
#[derive(Debug)]
pub struct Painter {
    size: Viewport,
    /// The first column and row of the session that are shown.
    origin: (usize, usize),
    session: Viewport,
    shown: Vec<Vec<Spot>>,
    told: Told,
}

impl Painter {
    /// Begins on a terminal of this size, whose modes are its own; the bytes that make room.
    pub fn begin(size: Viewport, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(b"\x1b[?1049h\x1b[r\x1b[?6l\x1b[?7h\x1b[4l\x1b[0m");
        Self { size, origin: (0, 0), session: size, shown: Vec::new(), told: Told::default() }
    }

    /// The terminal has another size, or somebody else wrote to it.
    pub fn resized(&mut self, size: Viewport) {
        self.size = size;
        self.shown.clear();
    }

    /// Whether there is a row that the session does not need.
    pub const fn has_free_row(&self, session: Viewport) -> bool {
        self.size.rows > session.rows
    }

    /// Paints what changed. `active`: what is typed and clicked goes to the program, so it decides how.
    pub fn paint(&mut self, screen: &Screenful, remark: Option<&str>, active: bool, out: &mut Vec<u8>) {
        self.session = Viewport { cols: screen.cols, rows: screen.rows };
        self.follow(screen);
        let mut rows = self.compose(screen);
        self.put_remark(remark, screen, &mut rows);
        // Harmless where it is not known; where it is, nobody sees half a screen.
        out.extend_from_slice(b"\x1b[?2026h");
        self.tell(screen, active, out);
        if self.shown.len() == rows.len() {
            out.extend_from_slice(b"\x1b[?25l");
            for (y, (new, old)) in rows.iter().zip(&self.shown).enumerate() {
                if new != old {
                    paint_changes(y, new, old, out);
                }
            }
        } else {
            out.extend_from_slice(b"\x1b[?25l\x1b[0m\x1b[2J");
            for (y, row) in rows.iter().enumerate() {
                let end = row.iter().rposition(|spot| *spot != Spot::blank()).map_or(0, |last| last + 1);
                paint_spots(y, 0, &row[..end], out);
            }
        }
        self.shown = rows;
        self.put_cursor(screen, out);
        out.extend_from_slice(b"\x1b[?2026l");
    }

    /// What the terminal reports, as the program has to be told; `None` where it is not the session that was clicked.
    pub fn report(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (left, top) = self.origin;
        if let Some(body) = bytes.strip_prefix(b"\x1b[<") {
            if self.told.modes.mouse_encoding == MouseEncoding::SgrPixels {
                return (self.origin == (0, 0)).then(|| bytes.to_vec());
            }
            let (&last, body) = body.split_last()?;
            let text = std::str::from_utf8(body).ok()?;
            let mut numbers = text.split(';').map(|number| number.parse::<usize>().ok());
            let (button, x, y) = (numbers.next()??, numbers.next()??, numbers.next()??);
            let (x, y) = (x.checked_add(left)?, y.checked_add(top)?);
            let inside = x <= usize::from(self.session.cols) && y <= usize::from(self.session.rows);
            return inside.then(|| format!("\x1b[<{button};{x};{y}{}", char::from(last)).into_bytes());
        }
        if let Some([button, x, y]) = bytes.strip_prefix(b"\x1b[M") {
            let place = |at: u8, shift: usize, side: u16| {
                let at = usize::from(at.checked_sub(32)?).checked_add(shift)?;
                u8::try_from(at + 32).ok().filter(|_| at <= usize::from(side))
            };
            let (x, y) = (place(*x, left, self.session.cols)?, place(*y, top, self.session.rows)?);
            return Some([b"\x1b[M", &[*button, x, y][..]].concat());
        }
        Some(bytes.to_vec())
    }

    /// Moves the window so that the cursor is in it.
    fn follow(&mut self, screen: &Screenful) {
        let moved = |from: usize, whole: u16, part: u16, cursor: u16| {
            let (whole, part, cursor) = (usize::from(whole), usize::from(part), usize::from(cursor));
            let from = from.min(whole.saturating_sub(part));
            if cursor < part {
                0
            } else if (from..from + part).contains(&cursor) {
                from
            } else {
                cursor.saturating_sub(part / 2).min(whole.saturating_sub(part))
            }
        };
        let cursor = screen.cursor;
        self.origin.0 = moved(self.origin.0, screen.cols, self.size.cols, cursor.col);
        // Lines are read from the top, and new ones come at the bottom.
        let rows = usize::from(self.size.rows);
        let row = usize::from(cursor.row);
        let top = self.origin.1.min(usize::from(screen.rows).saturating_sub(rows));
        self.origin.1 = if row < top { row } else { top.max((row + 1).saturating_sub(rows)) };
    }

    fn compose(&self, screen: &Screenful) -> Vec<Vec<Spot>> {
        let (cols, rows) = (usize::from(self.size.cols), usize::from(self.size.rows));
        let (left, top) = self.origin;
        let edge = (usize::from(screen.cols), usize::from(screen.rows));
        (0..rows)
            .map(|y| match screen.lines.get(top + y) {
                Some(line) => {
                    let mut row = spots(line, left, cols, &screen.links);
                    if row.len() < cols && left + row.len() == edge.0 {
                        row.push(Spot::own("│"));
                    }
                    row.resize_with(cols, Spot::blank);
                    row
                }
                None if top + y == edge.1 => {
                    let mut row: Vec<Spot> = vec![Spot::own("─"); edge.0.min(cols)];
                    if edge.0 < cols {
                        row.push(Spot::own("┘"));
                    }
                    row.resize_with(cols, Spot::blank);
                    row
                }
                None => vec![Spot::blank(); cols],
            })
            .collect()
    }

    /// On the last rows, or on the first if the cursor is there.
    fn put_remark(&self, remark: Option<&str>, screen: &Screenful, rows: &mut [Vec<Spot>]) {
        let Some(remark) = remark else { return };
        let cols = usize::from(self.size.cols);
        let chars: Vec<char> = remark.chars().collect();
        // The last column stays free: some terminals would wrap.
        let parts: Vec<&[char]> =
            chars.chunks(cols.saturating_sub(1).max(1)).take(REMARK_ROWS_MAX.min(rows.len())).collect();
        let cursor = usize::from(screen.cursor.row).saturating_sub(self.origin.1);
        let below = rows.len() - parts.len();
        let first = if cursor < below || self.has_free_rows(parts.len()) { below } else { 0 };
        for (row, part) in rows[first..].iter_mut().zip(parts) {
            *row = part.iter().map(|character| Spot::own(character.encode_utf8(&mut [0; 4]))).collect();
            row.resize_with(cols, Spot::blank);
        }
    }

    fn has_free_rows(&self, count: usize) -> bool {
        usize::from(self.size.rows) >= usize::from(self.session.rows) + count
    }

    /// Modes, title and the cursor's look, where they are other than the terminal was told.
    fn tell(&mut self, screen: &Screenful, active: bool, out: &mut Vec<u8>) {
        let modes = if active {
            screen.modes.clone()
        } else {
            Modes { reverse_video: screen.modes.reverse_video, ..Modes::default() }
        };
        let old = &self.told.modes;
        let mut private = |number: &str, was: bool, is: bool| {
            if was != is {
                let _ = write!(out, "\x1b[?{number}{}", if is { 'h' } else { 'l' });
            }
        };
        private("1", old.application_cursor, modes.application_cursor);
        private("5", old.reverse_video, modes.reverse_video);
        private("1004", old.focus_reports, modes.focus_reports);
        private("1007", old.alternate_scroll, modes.alternate_scroll);
        private("2004", old.bracketed_paste, modes.bracketed_paste);
        if old.application_keypad != modes.application_keypad {
            out.extend_from_slice(if modes.application_keypad { b"\x1b=" } else { b"\x1b>" });
        }
        if (old.mouse, old.mouse_encoding) != (modes.mouse, modes.mouse_encoding) {
            out.extend_from_slice(b"\x1b[?9;1000;1002;1003;1005;1006;1016l");
            let encoding = match modes.mouse_encoding {
                MouseEncoding::Default => "",
                MouseEncoding::Utf8 => "\x1b[?1005h",
                MouseEncoding::Sgr => "\x1b[?1006h",
                MouseEncoding::SgrPixels => "\x1b[?1016h",
            };
            let mouse = match modes.mouse {
                Mouse::None => "",
                Mouse::X10 => "\x1b[?9h",
                Mouse::Clicks => "\x1b[?1000h",
                Mouse::Drags => "\x1b[?1002h",
                Mouse::All => "\x1b[?1003h",
            };
            let _ = write!(out, "{encoding}{mouse}");
        }
        match (old.kitty_keyboard, modes.kitty_keyboard) {
            (old, new) if old == new => {}
            (_, 0) => out.extend_from_slice(b"\x1b[<1u"),
            (0, flags) => _ = write!(out, "\x1b[>{flags}u"),
            (_, flags) => _ = write!(out, "\x1b[={flags}u"),
        }
        self.told.modes = modes;
        let title = screen.title.as_deref().map(clean_line);
        if title.is_some() && title != self.told.title {
            let _ = write!(out, "\x1b]2;{}\x1b\\", title.as_deref().unwrap_or_default());
            self.told.title = title;
        }
        let steady = match screen.cursor.shape {
            Shape::Default => 0,
            Shape::Block => 2,
            Shape::Underline => 4,
            Shape::Bar => 6,
        };
        let shape = if steady > 0 { steady - u8::from(screen.cursor.blinking) } else { 0 };
        if shape != self.told.cursor_shape {
            let _ = write!(out, "\x1b[{shape} q");
            self.told.cursor_shape = shape;
        }
    }

    fn put_cursor(&self, screen: &Screenful, out: &mut Vec<u8>) {
        let (x, y) = (usize::from(screen.cursor.col), usize::from(screen.cursor.row));
        let (left, top) = self.origin;
        if let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top))
            && x < usize::from(self.size.cols)
            && y < usize::from(self.size.rows)
        {
            let _ = write!(out, "\x1b[{};{}H", y + 1, x + 1);
            if screen.cursor.visible {
                out.extend_from_slice(b"\x1b[?25h");
            }
        }
    }
}

/// What the last screen leaves to read, as lines; nothing of a program that had the screen for itself.
pub fn last_lines(screen: &Screenful, cols: u16) -> Vec<u8> {
    let mut out = Vec::new();
    if screen.modes.alt_screen {
        return out;
    }
    let rows: Vec<Vec<Spot>> =
        screen.lines.iter().map(|line| spots(line, 0, usize::from(cols), &screen.links)).collect();
    let written = |row: &Vec<Spot>| row.iter().rposition(|spot| *spot != Spot::blank()).map_or(0, |last| last + 1);
    let end = rows.iter().rposition(|row| written(row) > 0).map_or(0, |last| last + 1);
    for row in &rows[..end] {
        put_spots(&row[..written(row)], None, &mut out);
        out.extend_from_slice(b"\x1b[0m\r\n");
    }
    out
}

/// One whole line of a terminal as wide as the session, from its first column on.
pub fn whole_line(screen: &Screenful, row: u16, out: &mut Vec<u8>) {
    if let Some(line) = screen.lines.get(usize::from(row)) {
        put_spots(&spots(line, 0, line.cells.len(), &screen.links), None, out);
        out.extend_from_slice(b"\x1b[0m");
    }
}

/// So many columns of a line; halves of wide characters at the edges are blank.
fn spots(line: &Line, left: usize, cols: usize, links: &[Link]) -> Vec<Spot> {
    let end = (left + cols).min(line.cells.len());
    let mut row: Vec<Spot> = line
        .cells
        .get(left..end)
        .unwrap_or_default()
        .iter()
        .map(|cell| Spot {
            text: if cell.text.is_empty() && cell.width > 0 { " ".to_owned() } else { cell.text.clone() },
            style: cell.style,
            link: cell.link.and_then(|index| links.get(index)).cloned(),
        })
        .collect();
    if let Some(first) = row.first_mut().filter(|spot| spot.is_second_half()) {
        first.text = " ".to_owned();
    }
    if line.cells.get(end).is_some_and(|next| next.width == 0)
        && let Some(last) = row.last_mut()
    {
        last.text = " ".to_owned();
    }
    row
}

/// From the first place that changed to the last.
fn paint_changes(y: usize, new: &[Spot], old: &[Spot], out: &mut Vec<u8>) {
    let differs = |x: &usize| old.get(*x) != new.get(*x);
    let (Some(mut first), Some(last)) = ((0..new.len()).find(differs), (0..new.len()).rfind(differs)) else { return };
    while first > 0 && new[first].is_second_half() {
        first -= 1;
    }
    let mut end = last + 1;
    while new.get(end).is_some_and(Spot::is_second_half) {
        end += 1;
    }
    paint_spots(y, first, &new[first..end], out);
}

fn paint_spots(y: usize, x: usize, spots: &[Spot], out: &mut Vec<u8>) {
    let _ = write!(out, "\x1b[{};{}H\x1b[0m", y + 1, x + 1);
    put_spots(spots, Some(x), out);
    out.extend_from_slice(b"\x1b[0m");
}

/// With the column of the first one, each is put where it belongs, whatever width the terminal gave the one before it.
fn put_spots(spots: &[Spot], first: Option<usize>, out: &mut Vec<u8>) {
    let mut style = Style::default();
    let mut link: Option<&Link> = None;
    let mut unsure = false;
    for (index, spot) in spots.iter().enumerate() {
        if spot.is_second_half() {
            continue;
        }
        if let Some(first) = first.filter(|_| unsure) {
            let _ = write!(out, "\x1b[{}G", first + index + 1);
        }
        unsure = spot.text.len() > 1 && (spot.text.chars().count() > 1 || is_wide(spots, index));
        if spot.style != style {
            style = spot.style;
            let _ = write!(out, "\x1b[{}m", style.sgr());
        }
        if spot.link.as_ref() != link {
            link = spot.link.as_ref();
            put_link(link, out);
        }
        out.extend_from_slice(spot.text.as_bytes());
    }
    if link.is_some() {
        put_link(None, out);
    }
}

fn is_wide(spots: &[Spot], index: usize) -> bool {
    spots.get(index + 1).is_some_and(Spot::is_second_half)
}

fn put_link(link: Option<&Link>, out: &mut Vec<u8>) {
    let (id, uri) = link.map_or((None, ""), |link| (link.id.as_deref(), link.uri.as_str()));
    let id = id.map(|id| format!("id={id}")).unwrap_or_default();
    let _ = write!(out, "\x1b]8;{id};{uri}\x1b\\");
}

#[cfg(test)]
mod tests {
    use baton_proto::v1::Dimensions;
    use baton_screen::Screen;

    use super::*;

    fn screen(cols: u16, rows: u16, output: &str) -> Screen {
        let mut screen = Screen::new(Dimensions { cols, rows });
        screen.feed(output.as_bytes(), &mut Vec::new());
        screen
    }

    fn rows(screen: &Screen) -> Vec<String> {
        let text = |line: &Line| {
            line.cells
                .iter()
                .map(|cell| if cell.width > 0 && cell.text.is_empty() { " " } else { &cell.text })
                .collect::<String>()
        };
        screen.view(0).lines.iter().map(|line| text(line).trim_end().to_owned()).collect()
    }

    /// A terminal of this size that was painted on each time something was written.
    fn painted(size: (u16, u16), session: (u16, u16), outputs: &[&str], remark: Option<&str>) -> (Screen, Painter) {
        let size = Viewport { cols: size.0, rows: size.1 };
        let mut terminal = screen(size.cols, size.rows, "what was there\r\n");
        let mut out = Vec::new();
        let mut painter = Painter::begin(size, &mut out);
        let mut program = screen(session.0, session.1, "");
        for output in outputs {
            program.feed(output.as_bytes(), &mut Vec::new());
            painter.paint(&program.view(0), remark, true, &mut out);
            terminal.feed(&out, &mut Vec::new());
            out.clear();
        }
        (terminal, painter)
    }

    #[test]
    fn a_larger_terminal_shows_all_of_it_with_its_edges() {
        let (terminal, _) = painted((12, 6), (8, 3), &["one\r\ntwo", "\r\n\x1b[1mbold wide line", "\x1b[1;1HO"], None);
        assert_eq!(rows(&terminal), ["Owo     │", "bold wid│", "e line  │", "────────┘", "", ""]);
        let view = terminal.view(0);
        assert!(view.lines[1].cells[0].style.bold && !view.lines[1].cells[8].style.bold);
        assert_eq!((view.cursor.row, view.cursor.col), (0, 1));
    }

    #[test]
    fn a_smaller_terminal_follows_the_cursor() {
        let (terminal, _) = painted((6, 2), (20, 4), &["\x1b[4;1Hbottom, right"], None);
        assert_eq!(rows(&terminal), ["", "ght"]);
        let (terminal, _) = painted((6, 2), (20, 4), &["\x1b[4;1Hbottom", "\x1b[1;1Htop"], None);
        assert_eq!(rows(&terminal), ["top", ""]);
    }

    #[test]
    fn halves_of_wide_characters_are_blank() {
        let (terminal, _) = painted((5, 2), (8, 2), &["ab日日日\x1b[1;1H"], None);
        assert_eq!(rows(&terminal), ["ab日", ""]);
        let (terminal, _) = painted((12, 2), (8, 2), &["日本語", "\x1b[1;2Hx", "\x1b[2;1H日\x1b[1;5H日"], None);
        assert_eq!(rows(&terminal), [" x本日  │", "日      │"]);
    }

    #[test]
    fn every_painting_equals_painting_anew() {
        let outputs = [
            "\x1b[31mred\x1b[44m\x1b[K\r\n",
            "日本語\r\x1b[2Cx",
            "\x1b[3;1H\x1b[7m\x1b]8;;http://x/\x07link\x1b]8;;\x07",
            "\x1b[2J\x1b[0m",
            "\x1b[10;20Hend\x1b[?25l",
            "\x1b[5S\x1b[H\x1b[L",
        ];
        for size in [(30, 12), (20, 10), (7, 4), (40, 5), (5, 20)] {
            for upto in 1..=outputs.len() {
                let (step_by_step, painter) = painted(size, (20, 10), &outputs[..upto], None);
                let mut out = Vec::new();
                let mut fresh = Painter::begin(painter.size, &mut out);
                fresh.origin = painter.origin;
                let mut program = screen(20, 10, "");
                program.feed(outputs[..upto].concat().as_bytes(), &mut Vec::new());
                fresh.paint(&program.view(0), None, true, &mut out);
                let mut anew = screen(size.0, size.1, "");
                anew.feed(&out, &mut Vec::new());
                let (ours, theirs) = (step_by_step.view(0), anew.view(0));
                let cells = |view: &Screenful| {
                    view.lines
                        .iter()
                        .flat_map(|line| line.cells.clone())
                        .map(|cell| (cell.text.replace(' ', ""), cell.style, cell.link.is_some()))
                        .collect::<Vec<_>>()
                };
                assert_eq!(cells(&ours), cells(&theirs), "{size:?} after {upto}");
                assert_eq!(ours.cursor.visible, theirs.cursor.visible);
            }
        }
    }

    #[test]
    fn a_remark_takes_rows_the_cursor_is_not_in() {
        let (terminal, _) = painted((10, 4), (10, 4), &["\x1b[4;1H$ "], Some("[a long remark]"));
        assert_eq!(rows(&terminal), ["[a long r", "emark]", "", "$"]);
        let (terminal, _) = painted((10, 4), (10, 4), &["$ "], Some("[short]"));
        assert_eq!(rows(&terminal), ["$", "", "", "[short]"]);
    }

    #[test]
    fn the_terminal_is_told_what_the_program_wants_to_hear() {
        let (terminal, painter) = painted(
            (10, 4),
            (20, 4),
            &["\x1b[?1h\x1b[?1002;1006h\x1b[?2004h\x1b[>5u\x1b]0;t\x1bx\x07", "\x1b[1;15H"],
            None,
        );
        let modes = terminal.modes();
        assert!(modes.application_cursor && modes.bracketed_paste && modes.mouse == Mouse::Drags);
        assert_eq!((modes.mouse_encoding, modes.kitty_keyboard), (MouseEncoding::Sgr, 5));
        // The window has moved to the cursor.
        assert_eq!(painter.origin, (9, 0));
        assert_eq!(painter.report(b"\x1b[<0;3;2M").as_deref(), Some(&b"\x1b[<0;12;2M"[..]));
        assert_eq!(painter.report(b"\x1b[M\x20\x22\x22").as_deref(), Some(&b"\x1b[M\x20\x2b\x22"[..]));
        assert_eq!(painter.report(b"\x1b[I").as_deref(), Some(&b"\x1b[I"[..]));
        let (_, larger) = painted((30, 10), (20, 4), &["\x1b[?1000;1006h"], None);
        assert_eq!(larger.report(b"\x1b[<0;21;2M"), None);
        assert_eq!(larger.report(b"\x1b[<0;20;5m"), None);
        assert_eq!(larger.report(b"\x1b[<0;20;4m").as_deref(), Some(&b"\x1b[<0;20;4m"[..]));
    }

    #[test]
    fn the_end_is_left_to_read() {
        let program = screen(20, 5, "one\r\n\x1b[31mtwo and more\r\n\r\nthree\r\n");
        assert_eq!(
            String::from_utf8(last_lines(&program.view(0), 7)).unwrap_or_default(),
            "one\x1b[0m\r\n\x1b[0;31mtwo and\x1b[0m\r\n\x1b[0m\r\n\x1b[0;31mthree\x1b[0m\r\n"
        );
        assert!(last_lines(&screen(20, 5, "\x1b[?1049hvim").view(0), 80).is_empty());
    }
}
