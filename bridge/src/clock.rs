//! Wall time as microseconds since 1970, and as the RFC 3339 text that the API speaks; and the clock that nobody sets.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

pub use baton_proto::time::rfc3339;

#[cfg(feature = "taken-over")]
use crate::taken_over::moved;

/// Which of the two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Wall,
    Boot,
}

/// Only a test moves a clock.
#[cfg(not(feature = "taken-over"))]
const fn moved(us: u64, _: Clock) -> u64 {
    us
}

fn micros(since: Duration) -> u64 {
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970, now.
#[must_use]
pub fn now_us() -> u64 {
    moved(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)), Clock::Wall)
}

/// Microseconds since the machine started, sleep included. Nobody can set it; it begins anew with each start of the machine,
/// which [`boot_id`] names.
#[must_use]
pub fn boot_us() -> u64 {
    moved(micros(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)), Clock::Boot)
}

/// Which start of the machine this is; empty where the kernel does not say. Looked up once, while it can be read: the bridge
/// confines itself afterwards.
#[must_use]
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        id.map(|id| id.trim().to_owned()).unwrap_or_default()
    })
}

/// Reads RFC 3339 (any offset) back; `None` when the text is something else or before 1970.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if !text.is_ascii()
        || bytes.len() < 20
        || bytes[4] != b'-'
        || bytes[7] != b'-'
        || bytes[13] != b':'
        || bytes[16] != b':'
    {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok().filter(|number| *number >= 0);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let plausible = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !plausible {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if bytes[at] == b'.' {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let used = &text[at + 1..at + 1 + digits.min(6)];
        micros = format!("{used:0<6}").parse::<i64>().ok()?;
        at += 1 + digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let minutes = number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let from_march = (month + 9) % 12;
    let march_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (march_year / 400, march_year % 400);
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    u64::try_from(seconds * 1_000_000 + micros).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_their_text() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123_000, "2000-02-29T00:00:00.123Z"),
            (1_704_067_199_999_000, "2023-12-31T23:59:59.999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(us), text);
            assert_eq!(parse_rfc3339(text), Some(us));
        }
        assert_eq!(parse_rfc3339("2000-02-29T01:00:00+01:00"), Some(951_782_400_000_000));
        for bad in [
            "",
            "soon",
            "2000-02-29",
            "2000-13-01T00:00:00Z",
            "1969-01-01T00:00:00Z",
            "2000-02-29T00:00:00",
            "2000-02-29T00:00:00.1",
        ] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_of_two_centuries_survives() {
        for day in 0..73_000 {
            let us = day * 86_400_000_000;
            assert_eq!(parse_rfc3339(&rfc3339(us)), Some(us));
        }
    }
}
