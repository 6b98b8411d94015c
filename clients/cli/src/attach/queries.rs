//! Which escape sequences ask the terminal for an answer. The worker answers programs, always and alone, so this terminal
//! must see none of them; also not those that stay without an answer there. The list is the worker's.

/// Whether a `CSI` sequence asks: its private marker (0 for none), first number, intermediate bytes and final byte.
pub fn is_control_query(marker: u8, first: u16, intermediate: &[u8], last: u8) -> bool {
    match (marker, intermediate, last) {
        // Device attributes of three kinds, status and cursor reports, name and version, keyboard flags, parameters.
        (0 | b'>' | b'=', b"", b'c')
        | (0 | b'?', b"", b'n')
        | (b'>', b"", b'q')
        | (b'?', b"", b'u')
        | (0, b"", b'x') => true,
        // Modes, key formats, graphics limits, the displayed extent, the pen.
        (0 | b'?', b"$", b'p') | (b'?', b"", b'm' | b'g' | b'S') | (0, b"\"", b'v') | (0, b"#", b'|') => true,
        // Window reports, but not title stack or resizing.
        (0, b"", b't') => matches!(first, 11 | 13 | 14 | 15 | 16 | 18 | 19 | 20 | 21),
        // A checksum, presentation and terminal state, the preferred set, the locator, the title's position.
        (0, b"*", b'y') | (0, b"$", b'w' | b'u') | (0, b"&", b'u') | (0, b"'", b'|') | (0, b"#", b'S') => true,
        // Several cursors.
        (b'>', b" ", b'q') => matches!(first, 0 | 100 | 101),
        _ => false,
    }
}

/// Whether a whole text sequence (OSC, DCS, APC) asks.
pub fn is_text_query(sequence: &[u8]) -> bool {
    let Some((&introducer, body)) = sequence.get(1..).and_then(<[u8]>::split_first) else { return false };
    let body = body.strip_suffix(b"\x1b\\").or_else(|| body.strip_suffix(b"\x07")).unwrap_or(body);
    match introducer {
        b']' => is_command_query(body),
        b'P' => {
            let params = body.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
            [&b"$q"[..], b"+q", b"+Q"].iter().any(|word| body[params..].starts_with(word))
        }
        // A picture that only asks whether it could be shown.
        b'_' => body
            .strip_prefix(b"G")
            .and_then(|rest| rest.split(|byte| *byte == b';').next())
            .is_some_and(|keys| keys.split(|byte| *byte == b',').any(|key| key == b"a=q")),
        _ => false,
    }
}

fn is_command_query(body: &[u8]) -> bool {
    let (number, rest) = match body.iter().position(|byte| *byte == b';') {
        Some(at) => (&body[..at], &body[at + 1..]),
        None => (body, &[][..]),
    };
    let Some(number) = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u16>().ok()) else { return false };
    let mut fields = rest.split(|byte| *byte == b';');
    match number {
        // Pairs of a number and a colour.
        4 | 5 => fields.skip(1).step_by(2).any(|field| field == b"?"),
        10..=19 => fields.any(|field| field == b"?"),
        3 | 22 | 50 | 701 | 702 => rest.starts_with(b"?"),
        21 => fields.any(|field| field.ends_with(b"=?")),
        // The clipboard.
        52 => fields.nth(1) == Some(b"?"),
        60 | 61 => true,
        99 => has_key(fields.next(), &[b"p=?", b"p=alive"]),
        1337 => [&b"Report"[..], b"RequestUpload", b"Capabilities"].iter().any(|word| rest.starts_with(word)),
        5522 => has_key(fields.next(), &[b"type=read"]),
        _ => false,
    }
}

fn has_key(field: Option<&[u8]>, keys: &[&[u8]]) -> bool {
    field.unwrap_or_default().split(|byte| *byte == b':').any(|key| keys.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_orders() {
        for query in [
            &b"\x1b]4;1;?\x07"[..],
            b"\x1b]4;1;#fff;2;?\x07",
            b"\x1b]10;?\x1b\\",
            b"\x1b]11;?;?\x07",
            b"\x1b]52;c;?\x07",
            b"\x1b]50;?\x07",
            b"\x1b]21;foreground=?\x07",
            b"\x1b]1337;ReportCellSize\x07",
            b"\x1b]99;i=1:p=?;\x1b\\",
            b"\x1bP$qm\x1b\\",
            b"\x1bP+q544e;436f\x1b\\",
            b"\x1b_Gi=31,s=1,a=q,t=d;AAAA\x1b\\",
        ] {
            assert!(is_text_query(query), "{}", query.escape_ascii());
        }
        for order in [
            &b"\x1b]0;what?\x07"[..],
            b"\x1b]4;1;#ffffff\x07",
            b"\x1b]8;;http://x/?\x1b\\",
            b"\x1b]52;c;aGk=\x07",
            b"\x1b]133;A\x07",
            b"\x1b]x;?\x07",
            b"\x1bP1;2|17/ab\x1b\\",
            b"\x1bPq#0~\x1b\\",
            b"\x1b_Ga=T,f=100;AAAA\x1b\\",
            b"\x1b^a=q\x1b\\",
            b"\x1b",
        ] {
            assert!(!is_text_query(order), "{}", order.escape_ascii());
        }
    }
}
