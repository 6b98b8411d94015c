//! RFC 3339 as Baton writes it (UTC, milliseconds), and how long ago that was.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 of `2026-01-31T12:34:56.789Z`; `None` for any other spelling.
pub fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sane = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return None;
    }
    let millis: i64 = format!("{:0<3.3}", fraction).parse().ok()?;
    // Days since 1970 of a Gregorian date, with the year counted from March so that a leap day comes last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = 365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 + day_of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Now, in milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// How long ago `text` was, in few characters: `45s`, `5m`, `2h`, `3d`.
pub fn age(text: &str, now: i64) -> String {
    parse(text).map_or_else(|| "?".to_owned(), |at| span(now - at))
}

/// How long from now `text` is, likewise.
pub fn until(text: &str, now: i64) -> String {
    parse(text).map_or_else(|| "?".to_owned(), |at| span(at - now))
}

fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(parse("2000-02-29T12:00:00Z"), Some(951_825_600_000));
        assert_eq!(parse("2026-11-21T03:06:08.250Z"), Some(1_795_230_368_250));
        for bad in ["", "Z", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21T03:06:08+01:00", "x-y-zT1:2:3Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages_are_short() {
        let now = 1_000_000_000;
        let ago = |seconds: i64| {
            let at = now - seconds * 1000;
            // 1970-01-12 is far enough from any edge for this test.
            let second = at / 1000;
            age(
                &format!(
                    "1970-01-{:02}T{:02}:{:02}:{:02}.000Z",
                    second / 86_400 + 1,
                    second / 3600 % 24,
                    second / 60 % 60,
                    second % 60
                ),
                now,
            )
        };
        assert_eq!(ago(45), "45s");
        assert_eq!(ago(300), "5m");
        assert_eq!(ago(7300), "2h");
        assert_eq!(ago(3 * 86_400 + 5), "3d");
        assert_eq!(age("soon", now), "?");
    }
}
