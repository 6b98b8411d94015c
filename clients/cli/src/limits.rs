//! `--limit NAME=VALUE` of `baton new`, and how its times are written elsewhere.

use baton_proto::limits::{Limits, Resource, bytes};

use crate::report::Report;

/// How each is called here.
const NAMES: [(&str, Resource); 6] = [
    ("memory", Resource::MemoryBytes),
    ("processes", Resource::Processes),
    ("cpu-weight", Resource::CpuWeight),
    ("open-files", Resource::OpenFiles),
    ("time", Resource::WallS),
    ("disk", Resource::DiskBytes),
];

/// What was asked for, all together; the last of a name counts.
pub fn parse(texts: &[String]) -> Result<Limits, Report> {
    let mut limits = Limits::default();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Report::usage(format!("`{text}` is no limit")).hint("as in `--limit memory=2GiB`"))?;
        // As the API spells it is as good.
        let found = NAMES.into_iter().find(|(known, resource)| *known == name || resource.name() == name);
        let Some((_, resource)) = found else {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            return Err(
                Report::usage(format!("there is no limit `{name}`")).hint(format!("there are {}", names.join(", ")))
            );
        };
        let number = number(resource, value).ok_or_else(|| {
            Report::usage(format!("`{value}` is no value for `{name}`")).hint(match resource {
                Resource::MemoryBytes | Resource::DiskBytes => "a number of bytes, or as in 512MiB, 1.5GiB",
                Resource::WallS => "a number of seconds, or as in 90s, 30m, 1h30m",
                _ => "a number",
            })
        })?;
        let (least, most) = resource.bounds();
        if !(least..=most).contains(&number) {
            let (least, most) = (written(resource, least), written(resource, most));
            return Err(Report::usage(format!("`{name}` is from {least} to {most}; {value} is not")));
        }
        limits.set(resource, number);
    }
    Ok(limits)
}

/// Seconds, as a limit of time is written.
pub fn seconds(text: &str) -> Option<u64> {
    number(Resource::WallS, text)
}

/// A number as it may be given here.
fn written(resource: Resource, number: u64) -> String {
    match resource {
        Resource::MemoryBytes | Resource::DiskBytes => bytes(number).replace(' ', ""),
        Resource::WallS if number.is_multiple_of(86_400) => format!("{}d", number / 86_400),
        Resource::WallS => format!("{number}s"),
        _ => number.to_string(),
    }
}

/// A number with a unit; of time, several that get smaller: `1h30m`.
fn number(resource: Resource, text: &str) -> Option<u64> {
    let (mut rest, mut sum, mut before) = (text.trim(), 0_u64, u64::MAX);
    loop {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let next = behind.find(|char: char| char.is_ascii_digit()).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(next);
        let unit = unit(resource, name.trim_end())?;
        let several = before != u64::MAX || !behind.is_empty();
        if several && (!matches!(resource, Resource::WallS) || name.is_empty() || unit >= before) {
            return None;
        }
        sum = sum.checked_add(decimal(digits, unit)?)?;
        if behind.is_empty() {
            return Some(sum);
        }
        (rest, before) = (behind, unit);
    }
}

/// So many of a unit. What can't be divided has no fraction.
fn decimal(digits: &str, unit: u64) -> Option<u64> {
    const FRACTION_DIGITS_MAX: usize = 9;
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let Some(fraction) = fraction else { return Some(whole) };
    if unit == 1 || fraction.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / scale;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// How many bytes or seconds it has.
fn unit(resource: Resource, name: &str) -> Option<u64> {
    Some(match (resource, name.to_ascii_lowercase().as_str()) {
        (_, "") => 1,
        (Resource::WallS, "s") => 1,
        (Resource::WallS, "m" | "min") => 60,
        (Resource::WallS, "h") => 3600,
        (Resource::WallS, "d") => 86_400,
        (Resource::MemoryBytes | Resource::DiskBytes, name) => match name {
            "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Result<Limits, Report> {
        parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn limits_are_numbers_with_units() {
        let limits =
            parsed(&["memory=2GiB", "processes=100", "time=2h", "disk=512m", "open_files=64", "cpu-weight=50"]);
        let expected = Limits {
            memory_bytes: Some(2 << 30),
            processes: Some(100),
            cpu_weight: Some(50),
            open_files: Some(64),
            wall_s: Some(7200),
            disk_bytes: Some(512 << 20),
        };
        assert_eq!(limits.unwrap(), expected);
        assert_eq!(parsed(&["time=5", "time=90s"]).unwrap().wall_s, Some(90));
        assert_eq!(parsed(&["memory=1GB"]).unwrap().memory_bytes, Some(1_000_000_000));
        assert_eq!(parsed(&["memory=1.5GiB"]).unwrap().memory_bytes, Some(3 << 29));
        assert_eq!(parsed(&["time=1h30m"]).unwrap().wall_s, Some(5400));
        assert_eq!(parsed(&["time=1d 2h 3min 4s"]).unwrap().wall_s, Some(86_400 + 7200 + 180 + 4));
        assert_eq!(parsed(&["time=0.5h"]).unwrap().wall_s, Some(1800));
        assert!(parsed(&[]).unwrap().is_none());
    }

    #[test]
    fn what_is_out_of_bounds_is_told_as_it_is_written() {
        let told = |text: &str| format!("{:?}", parsed(&[text]).unwrap_err());
        let memory = told("memory=1MiB");
        assert!(memory.contains("`memory` is from 16MiB to 1024TiB; 1MiB is not"), "{memory}");
        assert!(told("memory_bytes=1").contains("`memory_bytes` is from 16MiB"));
        assert!(told("time=0").contains("`time` is from 1s to 3660d; 0 is not"));
        assert!(told("cpu-weight=101").contains("`cpu-weight` is from 1 to 100; 101 is not"));
        // The ends themselves may be given.
        assert!(parsed(&["memory=16MiB", "disk=1024TiB", "time=3660d"]).is_ok());
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for bad in [
            "memory",
            "memory=",
            "memory=2XB",
            "memory=-1",
            "time=1GiB",
            "processes=3k",
            "fun=1",
            "memory=99999999999TiB",
            "memory=1GiB512MiB",
            "memory=1.5",
            "memory=.GiB",
            "memory=1.2.3GiB",
            "memory=1.0000000001GiB",
            "processes=1.5",
            "time=1.5s",
            "time=30m1h",
            "time=1h30",
            "time=1h1h",
            "time=h",
            // Out of bounds.
            "memory=1",
            "processes=1",
            "cpu-weight=101",
        ] {
            assert!(parsed(&[bad]).is_err(), "{bad}");
        }
    }
}
