//! `--limit NAME=VALUE` of `baton new`.

use baton_proto::limits::{Limits, Resource};

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
                Resource::MemoryBytes | Resource::DiskBytes => "a number of bytes, or as in 512MiB, 2GiB",
                Resource::WallS => "a number of seconds, or as in 90s, 30m, 2h",
                _ => "a number",
            })
        })?;
        limits.set(resource, number);
    }
    limits.check().map_err(Report::usage)?;
    Ok(limits)
}

fn number(resource: Resource, text: &str) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text[..digits].parse::<u64>().ok()?, text[digits..].trim_start());
    let unit = match (resource, unit.to_ascii_lowercase().as_str()) {
        (_, "") => 1,
        (Resource::WallS, "s") => 1,
        (Resource::WallS, "m" | "min") => 60,
        (Resource::WallS, "h") => 3600,
        (Resource::WallS, "d") => 86_400,
        (Resource::MemoryBytes | Resource::DiskBytes, unit) => match unit {
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
    };
    number.checked_mul(unit)
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
        assert!(parsed(&[]).unwrap().is_none());
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
            // Out of bounds.
            "memory=1",
            "processes=1",
            "cpu-weight=101",
        ] {
            assert!(parsed(&[bad]).is_err(), "{bad}");
        }
    }
}
