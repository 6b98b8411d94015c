//! OSC: titles, links, colours, the working directory.

use std::collections::HashMap;
use std::sync::Arc;

use super::Terminal;
use crate::facts::Rgb;
use crate::sequence::Sequence;
use crate::view::Link;

/// Bytes of links one terminal holds; a screenful of different links is far below. Beyond it characters have no link.
const LINKS_BYTES_MAX: usize = 1024 * 1024;

/// Links in use, each held once.
#[derive(Debug, Default)]
pub(crate) struct Links {
    shared: HashMap<Link, Arc<Link>>,
    bytes: usize,
}

impl Links {
    pub(crate) fn share(&mut self, link: Link) -> Option<Arc<Link>> {
        if let Some(shared) = self.shared.get(&link) {
            return Some(Arc::clone(shared));
        }
        let size = size_of_link(&link);
        if self.bytes + size > LINKS_BYTES_MAX {
            self.shared.retain(|_, link| Arc::strong_count(link) > 1);
            self.bytes = self.shared.keys().map(size_of_link).sum();
            // Half free, or looking for what is unused would be all that is done.
            if self.bytes + size > LINKS_BYTES_MAX / 2 {
                return None;
            }
        }
        self.bytes += size;
        let shared = Arc::new(link.clone());
        self.shared.insert(link, Arc::clone(&shared));
        Some(shared)
    }
}

/// Both copies of the texts, and what holds them.
fn size_of_link(link: &Link) -> usize {
    2 * (link.uri.len() + link.id.as_ref().map_or(0, String::len)) + 256
}

impl Terminal {
    /// One OSC string. Those longer than what is kept are not acted upon.
    pub(crate) fn osc(&mut self, sequence: &Sequence) {
        if sequence.truncated {
            return;
        }
        let Some((command, rest)) = sequence.command() else { return };
        match command {
            // An empty title is none: that is how one is taken back.
            0 | 2 => self.title = said(rest),
            4 => self.set_palette(rest),
            7 => self.cwd = said(rest),
            8 => self.set_link(rest),
            10..=12 => {
                for (slot, colour) in (usize::from(command - 10)..3).zip(rest.split(|&byte| byte == b';')) {
                    if let Some(colour) = parse_colour(colour) {
                        self.colours.special[slot] = Some(colour);
                    }
                }
            }
            104 if rest.is_empty() => self.colours.palette.clear(),
            104 => {
                for index in rest.split(|&byte| byte == b';').filter_map(palette_index) {
                    self.colours.palette.remove(&index);
                }
            }
            110..=112 => self.colours.special[usize::from(command - 110)] = None,
            _ => {}
        }
    }

    fn set_palette(&mut self, rest: &[u8]) {
        let mut fields = rest.split(|&byte| byte == b';');
        while let (Some(index), Some(colour)) = (fields.next(), fields.next()) {
            if let (Some(index), Some(colour)) = (palette_index(index), parse_colour(colour)) {
                self.colours.palette.insert(index, colour);
            }
        }
    }

    /// `params ; URI`; an empty URI ends the link.
    fn set_link(&mut self, rest: &[u8]) {
        let Some(at) = memchr::memchr(b';', rest) else { return };
        let (params, uri) = (text(&rest[..at]), text(&rest[at + 1..]));
        let colour = self.pen.underline_colour();
        if uri.is_empty() {
            if params.trim().is_empty() {
                self.pen.set_extra(colour, None);
            }
            return;
        }
        let id = params
            .trim()
            .split(':')
            .find_map(|param| param.strip_prefix("id="))
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        let link = self.link(Link { id, uri });
        self.pen.set_extra(colour, link);
    }
}

/// What a string says, as text. It has no controls (the parser drops them), but may be cut in a character.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(bytes: &[u8]) -> Option<String> {
    Some(text(bytes)).filter(|text| !text.is_empty())
}

fn palette_index(digits: &[u8]) -> Option<u8> {
    u8::try_from(crate::sequence::number(digits)?).ok()
}

/// `#rgb` to `#rrrrggggbbbb`, and `rgb:r/g/b` with one to four digits each. Queries (`?`) and names are no colour.
fn parse_colour(text: &[u8]) -> Option<Rgb> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    if let Some(parts) = text.strip_prefix("rgb:") {
        let parts: Vec<&str> = parts.split('/').collect();
        let [red, green, blue] = parts.as_slice() else { return None };
        if red.len() != green.len() || red.len() != blue.len() {
            return None;
        }
        return Some((scaled(red)?, scaled(green)?, scaled(blue)?));
    }
    let digits = text.strip_prefix('#')?;
    if !digits.is_ascii() || !matches!(digits.len(), 3 | 6 | 9 | 12) {
        return None;
    }
    let width = digits.len() / 3;
    // Without `rgb:` the digits are the highest ones: `#f00` is `#f0…`.
    let component = |index: usize| {
        let digits = digits.get(index * width..(index + 1) * width)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        u8::try_from(if width == 1 { value << 4 } else { value >> (4 * (width - 2)) }).ok()
    };
    Some((component(0)?, component(1)?, component(2)?))
}

/// One to four hexadecimal digits as a part of 255.
fn scaled(digits: &str) -> Option<u8> {
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let most = (1u32 << (4 * digits.len())) - 1;
    let value = u32::from_str_radix(digits, 16).ok()?;
    u8::try_from((value * 255 + most / 2) / most).ok()
}
