//! The state as data.

use std::collections::HashMap;
use std::sync::Arc;

use super::row::Row;
use super::{ScreenEngine as _, Terminal};
use crate::view::{Cell, CursorView, Line, Link, Screenful};

/// All that is seen, with up to `history` lines above the screen.
pub(crate) fn of(terminal: &Terminal, history: usize) -> Screenful {
    let screen = terminal.screen();
    let first = screen.history() - history.min(screen.history());
    let mut links = Links::default();
    let mut lines: Vec<Line> = Vec::with_capacity(screen.lines.len() - first);
    for (index, row) in screen.lines.iter().enumerate().skip(first) {
        let wrapped = screen.lines.get(index + 1).is_some_and(|next| next.continues);
        lines.push(Line { cells: cells(row, &mut links), wrapped });
    }
    let on_screen = lines.split_off(screen.history() - first);
    let size = terminal.size();
    Screenful {
        cols: size.cols,
        rows: size.rows,
        history: lines,
        lines: on_screen,
        links: links.list,
        cursor: cursor(terminal),
        modes: terminal.modes(),
        title: terminal.title.clone(),
        cwd: terminal.cwd.clone(),
    }
}

/// Where the cursor is, and how it looks.
pub(crate) fn cursor(terminal: &Terminal) -> CursorView {
    let screen = terminal.screen();
    let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    CursorView {
        row: narrow(screen.y),
        col: narrow(screen.x.min(screen.columns - 1)),
        wrap_pending: screen.x >= screen.columns,
        visible: !terminal.cursor_hidden,
        shape: terminal.cursor_style.shape,
        blinking: terminal.cursor_style.blinks(),
    }
}

#[derive(Default)]
struct Links {
    list: Vec<Link>,
    known: HashMap<Link, usize>,
}

impl Links {
    fn index(&mut self, link: &Arc<Link>) -> usize {
        if let Some(&index) = self.known.get(link.as_ref()) {
            return index;
        }
        let index = self.list.len();
        self.list.push(link.as_ref().clone());
        self.known.insert(link.as_ref().clone(), index);
        index
    }
}

fn cells(row: &Row, links: &mut Links) -> Vec<Cell> {
    row.iter()
        .map(|cell| {
            let mut text = String::new();
            cell.push_text(&mut text);
            let link = cell.extra.as_ref().and_then(|extra| extra.link.as_ref()).map(|link| links.index(link));
            Cell { text, width: cell.width, style: cell.pen().style(), link }
        })
        .collect()
}
