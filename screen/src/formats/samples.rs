//! Screens for the tests of the formats.

use proptest::prelude::*;

use crate::view::{Cell, Colour, CursorView, Line, Link, Modes, Screenful, Shape, Style, Underline};

fn cell(text: &str, width: u8) -> Cell {
    Cell { text: text.to_owned(), width, style: Style::default(), link: None }
}

fn line(cols: u16, text: &str) -> Line {
    let mut cells = Vec::new();
    for character in text.chars() {
        let wide = matches!(character, '\u{2e80}'..='\u{d7ff}' | '\u{1f300}'..);
        cells.push(cell(&character.to_string(), if wide { 2 } else { 1 }));
        if wide {
            cells.push(cell("", 0));
        }
    }
    cells.resize(usize::from(cols), cell(" ", 1));
    Line { cells, wrapped: false }
}

/// A screen of these lines, the cursor at the top left.
pub(crate) fn screen(cols: u16, lines: &[&str]) -> Screenful {
    let cursor =
        CursorView { row: 0, col: 0, wrap_pending: false, visible: true, shape: Shape::Default, blinking: false };
    Screenful {
        cols,
        rows: u16::try_from(lines.len()).unwrap(),
        history: Vec::new(),
        lines: lines.iter().map(|text| line(cols, text)).collect(),
        links: Vec::new(),
        cursor,
        modes: Modes::default(),
        title: None,
        cwd: None,
    }
}

/// The margin ended this line.
pub(crate) fn wrapped(screen: &mut Screenful, line: usize) {
    screen.lines[line].wrapped = true;
}

/// Gives columns `from..to` of a line a style and a link.
pub(crate) fn paint(screen: &mut Screenful, row: usize, from: usize, to: usize, style: Style, link: Option<usize>) {
    for cell in &mut screen.lines[row].cells[from..to] {
        cell.style = style;
        cell.link = link;
    }
}

fn colours() -> impl Strategy<Value = Colour> {
    prop_oneof![
        Just(Colour::Default),
        any::<u8>().prop_map(Colour::Indexed),
        any::<(u8, u8, u8)>().prop_map(|(red, green, blue)| Colour::Rgb(red, green, blue)),
    ]
}

fn styles() -> impl Strategy<Value = Style> {
    let underlines = prop_oneof![Just(Underline::None), Just(Underline::Curly), Just(Underline::Double)];
    (colours(), colours(), colours(), underlines, any::<[bool; 8]>()).prop_map(|(fg, bg, line, underline, on)| Style {
        fg,
        bg,
        underline_colour: line,
        underline,
        bold: on[0],
        dim: on[1],
        italic: on[2],
        blink: on[3],
        inverse: on[4],
        hidden: on[5],
        strikethrough: on[6],
        overline: on[7],
    })
}

/// Text that tries to be more than text.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(" ".to_owned()),
        4 => "[a-z<>&\"']",
        1 => Just(String::new()),
        1 => Just("</pre><script>".to_owned()),
        1 => Just("e\u{301}".to_owned()),
        1 => Just("\u{202e}".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn links() -> impl Strategy<Value = Link> {
    let uris = prop_oneof![
        "(https?|mailto|file|javascript|data|vbscript|JaVaScRiPt):[a-z/<>\"'& ]{0,12}",
        "\\PC{0,20}",
        any::<String>(),
    ];
    (proptest::option::of(any::<String>()), uris).prop_map(|(id, uri)| Link { id, uri })
}

fn lines(cols: usize) -> impl Strategy<Value = Line> {
    let cells = (texts(), prop_oneof![8 => Just(1_u8), 1 => Just(2), 1 => Just(0)], styles(), any::<bool>())
        .prop_flat_map(|(text, width, style, plain)| {
            let style = if plain { Style::default() } else { style };
            proptest::option::weighted(0.2, 0..4_usize).prop_map(move |link| Cell {
                text: text.clone(),
                width,
                style,
                link,
            })
        });
    (proptest::collection::vec(cells, 0..=cols), any::<bool>()).prop_map(|(cells, wrapped)| Line { cells, wrapped })
}

/// Any screen, also such as no engine makes: short lines, links that are not there, cursors outside.
pub(crate) fn screens() -> impl Strategy<Value = Screenful> {
    let shapes = prop_oneof![Just(Shape::Default), Just(Shape::Bar), Just(Shape::Underline), Just(Shape::Block)];
    (
        proptest::collection::vec(lines(12), 0..4),
        proptest::collection::vec(lines(12), 0..6),
        proptest::collection::vec(links(), 0..4),
        (0..8_u16, 0..14_u16, any::<bool>(), shapes),
        any::<bool>(),
        proptest::option::of(any::<String>()),
    )
        .prop_map(|(history, lines, links, (row, col, visible, shape), reverse_video, title)| Screenful {
            cols: 12,
            rows: 6,
            history,
            lines,
            links,
            cursor: CursorView { row, col, wrap_pending: false, visible, shape, blinking: false },
            modes: Modes { reverse_video, ..Modes::default() },
            title: title.clone(),
            cwd: title,
        })
}
