//! What a session may use at most: asked for when it is made, kept in its spec, told when it is reached.
//!
//! | | enforced by | counts |
//! | --- | --- | --- |
//! | `memory_bytes` | RLIMIT_DATA | private memory, each process for itself |
//! | `processes` | RLIMIT_NPROC | processes and threads of a confined session |
//! | `cpu_weight` | nice, and that of the scheduler's group | the share when processors are short |
//! | `open_files` | RLIMIT_NOFILE | descriptors, each process for itself |
//! | `wall_s` | the worker | seconds since the program was started |
//! | `disk_bytes` | a tmpfs of this size | HOME and temporary files of a confined session's own |

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Something that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Bytes of memory.
    MemoryBytes,
    /// Processes and threads.
    Processes,
    /// A share of the processors.
    CpuWeight,
    /// Open files.
    OpenFiles,
    /// Seconds.
    WallS,
    /// Bytes of its own files.
    DiskBytes,
}

impl Resource {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::MemoryBytes, Self::Processes, Self::CpuWeight, Self::OpenFiles, Self::WallS, Self::DiskBytes];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemoryBytes => "memory_bytes",
            Self::Processes => "processes",
            Self::CpuWeight => "cpu_weight",
            Self::OpenFiles => "open_files",
            Self::WallS => "wall_s",
            Self::DiskBytes => "disk_bytes",
        }
    }

    /// What may be asked for: least and most.
    ///
    /// Less memory than 16 MiB starts no shell with a history, fewer than 8 files no program with a library or two, and
    /// a shell that may have one process runs no command. A share above the usual 100 would take from others what needs
    /// privileges to take.
    #[must_use]
    pub const fn bounds(self) -> (u64, u64) {
        match self {
            Self::MemoryBytes => (16 << 20, 1 << 50),
            Self::Processes => (2, 1 << 22),
            Self::CpuWeight => (1, 100),
            Self::OpenFiles => (8, 1 << 20),
            // Ten years.
            Self::WallS => (1, 10 * 366 * 86_400),
            Self::DiskBytes => (1 << 20, 1 << 50),
        }
    }

    /// A limit of it, for people: "memory limit 2 GiB".
    #[must_use]
    pub fn text(self, limit: u64) -> String {
        match self {
            Self::MemoryBytes => format!("memory limit {}", bytes(limit)),
            Self::Processes => format!("limit of {limit} processes"),
            Self::CpuWeight => format!("processor weight {limit}"),
            Self::OpenFiles => format!("limit of {limit} open files"),
            Self::WallS => format!("wall time limit {limit} s"),
            Self::DiskBytes => format!("limit of {} of its own files", bytes(limit)),
        }
    }
}

/// A number of bytes in the largest unit that shows it whole.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| count >= *size) {
        None => format!("{count} B"),
        Some((unit, size)) if count.is_multiple_of(size) => format!("{} {unit}", count / size),
        Some((unit, size)) => {
            let tenths = u128::from(count) * 10 / u128::from(size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// What a session may use at most; none = no limit of Baton's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of private memory that each process may have; 16 MiB to 1 PiB. What several share is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads in all, 2 to 4194304. Holds for a confined session of an ordinary user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Its share of the processors when they are short, 1 to 100; 100 = as everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<u64>,
    /// Open files that each process may have, 8 to 1048576.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Seconds after the start of its program when it is ended; also those that the host slept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<u64>,
    /// Bytes of HOME and temporary files together, for a confined session, 1 MiB to 1 PiB. They are in memory then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

impl Limits {
    /// The limit of a resource.
    #[must_use]
    pub const fn of(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::MemoryBytes => self.memory_bytes,
            Resource::Processes => self.processes,
            Resource::CpuWeight => self.cpu_weight,
            Resource::OpenFiles => self.open_files,
            Resource::WallS => self.wall_s,
            Resource::DiskBytes => self.disk_bytes,
        }
    }

    /// Sets the limit of a resource.
    pub const fn set(&mut self, resource: Resource, limit: u64) {
        *(match resource {
            Resource::MemoryBytes => &mut self.memory_bytes,
            Resource::Processes => &mut self.processes,
            Resource::CpuWeight => &mut self.cpu_weight,
            Resource::OpenFiles => &mut self.open_files,
            Resource::WallS => &mut self.wall_s,
            Resource::DiskBytes => &mut self.disk_bytes,
        }) = Some(limit);
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        Resource::ALL.into_iter().all(|resource| self.of(resource).is_none())
    }

    /// The first that is out of its bounds, with what there is.
    ///
    /// # Errors
    /// What to ask for instead.
    pub fn check(&self) -> Result<(), String> {
        for resource in Resource::ALL {
            let (least, most) = resource.bounds();
            if let Some(limit) = self.of(resource).filter(|limit| !(least..=most).contains(limit)) {
                let name = resource.name();
                return Err(format!("`limits.{name}` is from {least} to {most}; {limit} is not"));
            }
        }
        Ok(())
    }
}

/// From a worker: a limit was reached, or is not any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LimitReached {
    /// Which.
    pub resource: Resource,
    /// What it is.
    pub limit: u64,
    /// Reached; false: no longer.
    pub reached: bool,
    /// What was seen and what follows, for a person; at most [`LimitReached::TEXT_CHARS_MAX`] characters.
    pub text: String,
}

impl LimitReached {
    /// Most characters of a text.
    pub const TEXT_CHARS_MAX: usize = 300;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_limit_out_of_its_bounds_is_named_with_what_there_is() {
        assert!(Limits::default().check().is_ok() && Limits::default().is_none());
        for resource in Resource::ALL {
            let (least, most) = resource.bounds();
            let of = |limit| {
                let mut limits = Limits::default();
                limits.set(resource, limit);
                assert_eq!(limits.of(resource), Some(limit));
                assert!(!limits.is_none());
                limits.check()
            };
            assert!(of(least).is_ok() && of(most).is_ok());
            for bad in [least - 1, most + 1] {
                let why = of(bad).unwrap_err();
                assert!(why.contains(resource.name()) && why.contains(&least.to_string()), "{why}");
            }
        }
    }

    #[test]
    fn names_are_those_of_the_api() {
        for resource in Resource::ALL {
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.name());
            let mut limits = Limits::default();
            limits.set(resource, 77);
            assert_eq!(serde_json::to_value(&limits).unwrap(), serde_json::json!({ resource.name(): 77 }));
        }
        assert!(serde_json::from_str::<Limits>(r#"{"bogus": 1}"#).is_err());
    }

    #[test]
    fn sizes_are_written_as_people_do() {
        for (count, text) in [
            (17, "17 B"),
            (2 << 30, "2 GiB"),
            (1536 << 20, "1.5 GiB"),
            (100 << 20, "100 MiB"),
            ((1 << 20) + 1, "1.0 MiB"),
            (1 << 50, "1024 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(Resource::MemoryBytes.text(2 << 30), "memory limit 2 GiB");
        assert_eq!(Resource::WallS.text(60), "wall time limit 60 s");
    }
}
