//! A screen as a piece of HTML: one `pre` and the style sheet it needs, nothing else to load.
//!
//! Everything that came from a program is escaped, and its colours are written by us from numbers. Links lead only where a
//! person would expect a link to lead ([`SCHEMES`]); others are shown as the text they are.

use std::fmt::Write as _;

use super::{BLANK, reorders, seen_columns, shown};
use crate::view::{Cell, Colour, Line, Screenful, Shape, Style, Underline};

/// Where links may lead. Above all not `javascript:`, which would run in the page this is put into.
pub const SCHEMES: [&str; 4] = ["http", "https", "mailto", "file"];

/// Longest link that is one; what is longer is no place a person is sent to.
const URI_BYTES_MAX: usize = 4096;

/// The colours are variables, so that a page can bring its own. Dark unless the reader's system is light.
const STYLE_SHEET: &str = "<style>\
.baton-screen{\
--fg:#dfe4ea;--bg:#0d1014;--cursor:#f2b866;\
--c0:#2a313a;--c1:#f0857f;--c2:#7cc98f;--c3:#e2bd72;--c4:#77aef5;--c5:#c99bea;--c6:#6fc7cf;--c7:#cfd6de;\
--c8:#7d8894;--c9:#ff9f99;--c10:#9be0ab;--c11:#f3d391;--c12:#9cc6ff;--c13:#dcb9f5;--c14:#95dde3;--c15:#f6f8fa;\
color:var(--fg);background:var(--bg);margin:0;padding:1ch;overflow:auto;\
font:14px/1.25 ui-monospace,monospace;font-variant-ligatures:none;white-space:pre;direction:ltr;unicode-bidi:bidi-override}\
@media(prefers-color-scheme:light){.baton-screen{\
--fg:#1c2229;--bg:#fff;--cursor:#8a5200;\
--c0:#1c2229;--c1:#b3261e;--c2:#1b6e3c;--c3:#7a5200;--c4:#1a56b4;--c5:#7a36a8;--c6:#0d6570;--c7:#59636e;\
--c8:#5b6570;--c9:#c93a31;--c10:#237f48;--c11:#8a5f00;--c12:#2766c8;--c13:#8c49b9;--c14:#177481;--c15:#3a434c}}\
.baton-screen.reverse{color:var(--bg);background:var(--fg)}\
.baton-screen a{color:inherit}\
.baton-screen .w{display:inline-block;width:2ch}\
.baton-screen .block{color:var(--bg)!important;background:var(--cursor)!important}\
.baton-screen .bar{box-shadow:inset 2px 0 var(--cursor)}\
.baton-screen .under{box-shadow:inset 0 -2px var(--cursor)}\
@media(prefers-reduced-motion:no-preference){.baton-screen .blink{animation:baton-blink 1s step-end infinite}}\
@keyframes baton-blink{50%{opacity:0}}\
</style>";

/// The lines above the screen and then the screen's, as one `pre` behind its style sheet.
///
/// Where the same character stands is a matter of columns, so wide characters are given the width of two and nothing is
/// reordered. The label says what it is to those who do not see it.
#[must_use]
pub fn html(screen: &Screenful) -> String {
    let mut out = String::from(STYLE_SHEET);
    let reverse = screen.modes.reverse_video;
    out.push_str(if reverse { "<pre class=\"baton-screen reverse\"" } else { "<pre class=\"baton-screen\"" });
    out.push_str(" role=\"region\" tabindex=\"0\" aria-label=\"Terminal");
    let _ = write!(out, ", {} columns, {} rows", screen.cols, screen.rows);
    if let Some(title) = screen.title.as_deref().filter(|title| !title.trim().is_empty()) {
        out.push_str(": ");
        escape(&mut out, title);
    }
    // HTML drops a line feed that stands first in a `pre`; the screen's first line may be empty.
    out.push_str("\">\n");
    for line in &screen.history {
        write_line(&mut out, line, screen, None);
    }
    let cursor = screen.cursor;
    for (row, line) in screen.lines.iter().enumerate() {
        let here = cursor.visible && row == usize::from(cursor.row);
        write_line(&mut out, line, screen, here.then_some(usize::from(cursor.col)));
    }
    out.push_str("</pre>\n");
    out
}

/// What neighbours must have in common to be written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look<'a> {
    style: Style,
    uri: Option<&'a str>,
    cursor: bool,
}

impl Look<'_> {
    fn has_span(&self) -> bool {
        self.cursor || self.style != Style::default()
    }
}

fn write_line(out: &mut String, line: &Line, screen: &Screenful, cursor: Option<usize>) {
    let cells = &line.cells;
    // The second half of a wide character has no place of its own: the cursor on it is shown on the first.
    let on_half = |at: usize| if cells[at].width == 0 { at.saturating_sub(1) } else { at };
    let cursor = cursor.filter(|&at| at < cells.len()).map(on_half);
    let end = seen_columns(cells).max(cursor.map_or(0, |at| at + 1));
    let mut open: Option<Look<'_>> = None;
    for (at, cell) in cells[..end].iter().enumerate().filter(|(_, cell)| cell.width > 0) {
        let link = cell.link.and_then(|link| screen.links.get(link)).map(|link| link.uri.as_str());
        let uri = link.filter(|uri| leads_somewhere(uri));
        let wanted = Look { style: cell.style, uri, cursor: cursor == Some(at) };
        if open != Some(wanted) {
            if let Some(open) = open {
                end_run(out, open);
            }
            begin_run(out, wanted, screen);
            open = Some(wanted);
        }
        write_cell(out, cell);
    }
    if let Some(open) = open {
        end_run(out, open);
    }
    out.push('\n');
}

fn write_cell(out: &mut String, cell: &Cell) {
    match shown(cell) {
        BLANK => out.extend(std::iter::repeat_n(BLANK, usize::from(cell.width))),
        text if cell.width == 2 => {
            out.push_str("<span class=\"w\">");
            escape(out, text);
            out.push_str("</span>");
        }
        text => escape(out, text),
    }
}

fn begin_run(out: &mut String, look: Look<'_>, screen: &Screenful) {
    if let Some(uri) = look.uri {
        out.push_str("<a href=\"");
        escape(out, uri);
        out.push_str("\" rel=\"noopener noreferrer\" target=\"_blank\">");
    }
    if !look.has_span() {
        return;
    }
    let mut classes = Vec::new();
    if look.cursor {
        classes.push(match screen.cursor.shape {
            Shape::Default | Shape::Block => "block",
            Shape::Underline => "under",
            Shape::Bar => "bar",
        });
    }
    if look.style.blink {
        classes.push("blink");
    }
    out.push_str("<span");
    if !classes.is_empty() {
        let _ = write!(out, " class=\"{}\"", classes.join(" "));
    }
    let css = css(look.style, screen.modes.reverse_video);
    if !css.is_empty() {
        let _ = write!(out, " style=\"{css}\"");
    }
    out.push('>');
}

fn end_run(out: &mut String, look: Look<'_>) {
    if look.has_span() {
        out.push_str("</span>");
    }
    if look.uri.is_some() {
        out.push_str("</a>");
    }
}

/// A style's declarations. Made of numbers and words of ours only, so there is nothing in it to escape.
fn css(style: Style, reverse: bool) -> String {
    let (mut fg, mut bg) = (colour(style.fg, "var(--fg)"), colour(style.bg, "var(--bg)"));
    if reverse {
        fg = colour(style.fg, "var(--bg)");
        bg = colour(style.bg, "var(--fg)");
    }
    if style.inverse {
        std::mem::swap(&mut fg, &mut bg);
    }
    let mut css = String::new();
    let fg_set = style.inverse || style.fg != Colour::Default;
    if style.dim {
        let _ = write!(css, "color:color-mix(in srgb,{fg} 60%,{bg});");
    } else if fg_set {
        let _ = write!(css, "color:{fg};");
    }
    if style.inverse || style.bg != Colour::Default {
        let _ = write!(css, "background:{bg};");
    }
    if style.bold {
        css.push_str("font-weight:bold;");
    }
    if style.italic {
        css.push_str("font-style:italic;");
    }
    let wave = match style.underline {
        Underline::None => None,
        Underline::Single => Some(""),
        Underline::Double => Some(" double"),
        Underline::Curly => Some(" wavy"),
        Underline::Dotted => Some(" dotted"),
        Underline::Dashed => Some(" dashed"),
    };
    let lines = [(wave.is_some(), "underline"), (style.overline, "overline"), (style.strikethrough, "line-through")];
    let lines: Vec<&str> = lines.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    if !lines.is_empty() {
        let _ = write!(css, "text-decoration:{}{}", lines.join(" "), wave.unwrap_or_default());
        if wave.is_some() && style.underline_colour != Colour::Default {
            let _ = write!(css, " {}", colour(style.underline_colour, ""));
        }
        css.push(';');
    }
    css.pop();
    css
}

/// A colour's value. The first sixteen are the page's; the others are the same everywhere.
fn colour(colour: Colour, default: &str) -> String {
    match colour {
        Colour::Default => default.to_owned(),
        Colour::Indexed(index @ 0..16) => format!("var(--c{index})"),
        Colour::Indexed(index) => {
            let (red, green, blue) = crate::queries::colours::fixed(index);
            format!("#{red:02x}{green:02x}{blue:02x}")
        }
        Colour::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// Whether a link may be followed: its scheme is one of [`SCHEMES`], and it is what it looks like.
fn leads_somewhere(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let known = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    known
        && !rest.is_empty()
        && uri.len() <= URI_BYTES_MAX
        && !uri.contains(|it: char| it.is_control() || reorders(it) || it.is_whitespace())
}

/// Appends text as text, for element content and quoted attributes alike.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            it if it.is_control() || reorders(it) => {}
            it => out.push(it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{paint, screen, screens};
    use super::*;
    use crate::view::Link;
    use proptest::prelude::*;

    /// What follows the style sheet.
    fn body(screen: &Screenful) -> String {
        html(screen).strip_prefix(STYLE_SHEET).unwrap().to_owned()
    }

    /// The lines, without the element around them.
    fn lines(screen: &Screenful) -> String {
        let body = body(screen);
        let start = body.find(">\n").unwrap() + 2;
        body[start..].strip_suffix("</pre>\n").unwrap().to_owned()
    }

    fn uncursored(cols: u16, text: &[&str]) -> Screenful {
        let mut sample = screen(cols, text);
        sample.cursor.visible = false;
        sample
    }

    #[test]
    fn a_screen_reads_like_this() {
        let mut sample = uncursored(12, &["", "a<b> & 日本"]);
        sample.title = Some("\"quoted\" <title>".to_owned());
        assert_eq!(
            body(&sample),
            "<pre class=\"baton-screen\" role=\"region\" tabindex=\"0\" \
             aria-label=\"Terminal, 12 columns, 2 rows: &quot;quoted&quot; &lt;title&gt;\">\n\
             \n\
             a&lt;b&gt; &amp; <span class=\"w\">日</span><span class=\"w\">本</span>\n\
             </pre>\n"
        );
    }

    #[test]
    fn neighbours_that_look_the_same_are_one_run() {
        let mut sample = uncursored(20, &["plain loud reverse x"]);
        let loud = Style { fg: Colour::Indexed(1), bold: true, ..Style::default() };
        paint(&mut sample, 0, 6, 10, loud, None);
        let inverse = Style { inverse: true, bg: Colour::Rgb(0, 255, 16), ..Style::default() };
        paint(&mut sample, 0, 11, 18, inverse, None);
        assert_eq!(
            lines(&sample),
            "plain <span style=\"color:var(--c1);font-weight:bold\">loud</span> \
             <span style=\"color:#00ff10;background:var(--fg)\">reverse</span> x\n"
        );
    }

    #[test]
    fn every_attribute_is_written() {
        let cases = [
            (Style { dim: true, ..Style::default() }, "color:color-mix(in srgb,var(--fg) 60%,var(--bg))"),
            (Style { italic: true, ..Style::default() }, "font-style:italic"),
            (Style { underline: Underline::Single, ..Style::default() }, "text-decoration:underline"),
            (Style { strikethrough: true, ..Style::default() }, "text-decoration:line-through"),
            (Style { overline: true, ..Style::default() }, "text-decoration:overline"),
            (
                Style {
                    underline: Underline::Curly,
                    underline_colour: Colour::Indexed(196),
                    strikethrough: true,
                    ..Style::default()
                },
                "text-decoration:underline line-through wavy #ff0000",
            ),
            (
                Style { fg: Colour::Indexed(232), bg: Colour::Indexed(15), ..Style::default() },
                "color:#080808;background:var(--c15)",
            ),
        ];
        for (style, expected) in cases {
            let mut sample = uncursored(3, &["x"]);
            paint(&mut sample, 0, 0, 1, style, None);
            assert_eq!(lines(&sample), format!("<span style=\"{expected}\">x</span>\n"));
        }
        let mut sample = uncursored(3, &["x"]);
        paint(&mut sample, 0, 0, 1, Style { blink: true, ..Style::default() }, None);
        assert_eq!(lines(&sample), "<span class=\"blink\">x</span>\n");
    }

    #[test]
    fn what_is_coloured_shows_without_a_character_and_what_is_hidden_is_not_there() {
        let mut sample = uncursored(8, &["abc", "secret"]);
        paint(&mut sample, 0, 4, 6, Style { bg: Colour::Indexed(4), ..Style::default() }, None);
        paint(&mut sample, 0, 6, 8, Style { bold: true, ..Style::default() }, None);
        paint(&mut sample, 1, 0, 6, Style { hidden: true, ..Style::default() }, None);
        assert_eq!(lines(&sample), "abc <span style=\"background:var(--c4)\">  </span>\n\n");
    }

    #[test]
    fn the_cursor_is_where_it_is() {
        let mut sample = screen(8, &["ab日"]);
        let at = |sample: &mut Screenful, col: u16, shape: Shape| {
            (sample.cursor.col, sample.cursor.shape) = (col, shape);
            lines(sample)
        };
        let wide = "<span class=\"w\">日</span>";
        assert_eq!(at(&mut sample, 0, Shape::Default), format!("<span class=\"block\">a</span>b{wide}\n"));
        assert_eq!(at(&mut sample, 3, Shape::Bar), format!("ab<span class=\"bar\">{wide}</span>\n"));
        assert_eq!(at(&mut sample, 5, Shape::Underline), format!("ab{wide} <span class=\"under\"> </span>\n"));
        assert_eq!(at(&mut sample, 80, Shape::Block), format!("ab{wide}\n"));
    }

    #[test]
    fn a_reversed_screen_swaps_its_own_colours() {
        let mut sample = uncursored(3, &["ab"]);
        sample.modes.reverse_video = true;
        paint(&mut sample, 0, 0, 1, Style { inverse: true, ..Style::default() }, None);
        assert!(body(&sample).starts_with("<pre class=\"baton-screen reverse\""));
        assert_eq!(lines(&sample), "<span style=\"color:var(--fg);background:var(--bg)\">a</span>b\n");
    }

    #[test]
    fn links_lead_only_where_links_lead() {
        let linked = |uri: &str| {
            let mut sample = uncursored(3, &["x"]);
            sample.links.push(Link { id: None, uri: uri.to_owned() });
            paint(&mut sample, 0, 0, 1, Style::default(), Some(0));
            lines(&sample)
        };
        for uri in ["https://example.org/?a=1", "HTTP://x", "mailto:a@example.org", "file:///etc/hosts"] {
            assert_eq!(linked(uri), format!("<a href=\"{uri}\" rel=\"noopener noreferrer\" target=\"_blank\">x</a>\n"));
        }
        assert!(linked("https://x/\"><script>").contains("href=\"https://x/&quot;&gt;&lt;script&gt;\""));
        let long = format!("https://x/{}", "a".repeat(URI_BYTES_MAX));
        for uri in [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\nscript:x",
            " https://x",
            "https:",
            "x",
            "",
            "data:text/html,x",
            "https://a\u{202e}b",
            "https://a b",
            &long,
        ] {
            assert_eq!(linked(uri), "x\n", "{uri:?}");
        }
    }

    /// Reads what we write and nothing more: every tag must be one of ours, every attribute quoted, every tag closed.
    /// Returns the text.
    fn parse(html: &str) -> String {
        let mut text = String::new();
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            text.push_str(&rest[..at]);
            let end = rest[at..].find('>').expect("a tag ends") + at;
            let tag = &rest[at + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closed in order");
                continue;
            }
            let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            assert!(["pre", "span", "a"].contains(&name), "<{tag}>");
            while !attributes.is_empty() {
                let (key, value) = attributes.split_once("=\"").expect("name and quoted value");
                assert!(
                    ["class", "style", "href", "rel", "target", "role", "tabindex", "aria-label"].contains(&key),
                    "{tag}"
                );
                let (value, more) = value.split_once('"').expect("a closing quote");
                assert!(!value.contains(|it: char| it.is_control() || "<>'".contains(it)), "{tag}");
                if key == "href" {
                    let scheme = value.split(':').next().unwrap().to_ascii_lowercase();
                    assert!(SCHEMES.contains(&scheme.as_str()), "{tag}");
                }
                attributes = more.strip_prefix(' ').unwrap_or(more);
            }
            open.push(name);
        }
        assert!(open.is_empty(), "{open:?} left open");
        text.push_str(rest);
        assert!(!text.contains(['>', '"', '\'']), "{text}");
        for entity in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known)), "{text}");
        }
        text
    }

    proptest! {
        #[test]
        fn nothing_a_program_wrote_is_markup(sample in screens()) {
            let text = parse(&body(&sample));
            let rows = sample.history.len() + sample.lines.len();
            prop_assert_eq!(text.matches('\n').count(), rows + 2);
        }
    }
}
