//! What is sent to the terminal when a session leaves it, so that the user's own shell finds it as it was.

use super::screen::Modes;

/// Undoes what programs may have left on. Nothing on the user's screen is cleared, and what could move the cursor is
/// sent only when it is needed.
pub fn bytes(modes: Modes) -> Vec<u8> {
    let mut out = Vec::new();
    let mut alternate = modes.alternate;
    if modes.region {
        // Both move the cursor home, so it is kept over them.
        out.extend_from_slice(b"\x1b7\x1b[r\x1b[?6l\x1b8");
    }
    // Each screen has a stack of keyboard levels of its own.
    if alternate {
        pop_keyboard(&mut out, modes.keyboard[1]);
        out.extend_from_slice(b"\x1b[?1049l");
        alternate = false;
    }
    pop_keyboard(&mut out, modes.keyboard[usize::from(alternate)]);
    if modes.other_keys {
        out.extend_from_slice(b"\x1b[=0u\x1b[>4m");
    }
    if modes.cursor_shape {
        out.extend_from_slice(b"\x1b[0 q");
    }
    out.extend_from_slice(ALWAYS);
    out
}

/// Harmless where it is not needed: mouse, focus and paste reports off, synchronized output off, cursor keys and keypad
/// plain, insert mode off, wrapping on, cursor shown, ASCII, no attributes, no open hyperlink.
const ALWAYS: &[u8] =
    b"\x1b[?9;1000;1002;1003;1005;1006;1015;1016l\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[?2048l\
\x1b[?1l\x1b>\x1b[4l\x1b[?7h\x1b[?25h\x0f\x1b(B\x1b[0m\x1b]8;;\x1b\\";

fn pop_keyboard(out: &mut Vec<u8>, levels: u16) {
    if levels > 0 {
        out.extend_from_slice(format!("\x1b[<{levels}u").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(haystack: &[u8], needle: &[u8]) -> bool {
        haystack.windows(needle.len()).any(|part| part == needle)
    }

    #[test]
    fn a_quiet_terminal_is_not_disturbed() {
        let quiet = bytes(Modes::default());
        for moving in [&b"\x1b[?1049l"[..], b"\x1b[r", b"\x1b7", b"\x1b[<", b"\x1bc", b"\x1b[2J", b"\x1b[H"] {
            assert!(!contains(&quiet, moving), "{moving:?}");
        }
    }

    #[test]
    fn everything_turned_on_is_turned_off() {
        let modes = Modes { alternate: true, region: true, keyboard: [1, 2], other_keys: true, cursor_shape: true };
        let out = bytes(modes);
        for undo in [&b"\x1b[<2u\x1b[?1049l\x1b[<1u"[..], b"\x1b[r", b"\x1b[>4m", b"\x1b[0 q", b"\x1b[?25h"] {
            assert!(contains(&out, undo), "{undo:?}");
        }
    }
}
