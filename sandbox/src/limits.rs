//! A session's limits as the kernel has them: set between fork and exec, and read back from the program that runs.
//!
//! What holds is what `/proc` says of the program afterwards, not what was meant: a host may allow less, and root is held
//! to less.

use std::fs;

use baton_proto::limits::{Limits, Resource};
use baton_proto::spec::{Layer, LayerStatus};
use nix::errno::Errno;
use nix::libc;

use crate::error::Step;
use crate::sys;

/// The weight that everybody has.
const WEIGHT_USUAL: u64 = 100;

/// What a step of nice changes a share by (sched(7)).
const STEP: f64 = 1.25;

/// Limits on their way into a child.
#[derive(Debug, Default)]
pub struct Bounds {
    /// Bytes.
    data: Option<u64>,
    files: Option<u64>,
    /// Only where the kernel counts those of the session alone.
    processes: Option<u64>,
    /// 1 to 19, and the same as text.
    nice: Option<(libc::c_int, String)>,
}

impl Bounds {
    /// Of what was asked for.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            data: limits.memory_bytes,
            files: limits.open_files,
            processes: limits.processes,
            nice: limits.cpu_weight.map(nice).filter(|nice| *nice > 0).map(|nice| (nice, nice.to_string())),
        }
    }

    /// Sets them for the calling process, which is the child between fork and exec and is confined already. Allocates
    /// nothing. `own_users`: it has a user namespace of its own, in which its processes are counted apart.
    pub(crate) fn enter(&self, own_users: bool) -> Result<(), (Step, Errno)> {
        let failed = |errno| (Step::Limits, errno);
        if let Some(bytes) = self.data {
            lower(libc::RLIMIT_DATA, bytes).map_err(failed)?;
        }
        if let Some(count) = self.processes.filter(|_| own_users) {
            lower(libc::RLIMIT_NPROC, count).map_err(failed)?;
        }
        if let Some((nice, _)) = self.nice {
            // SAFETY: numbers only.
            if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } == -1 {
                return Err(failed(Errno::last()));
            }
            // What is given up is not taken back by the same way.
            lower(libc::RLIMIT_NICE, 0).map_err(failed)?;
        }
        // Last: the steps before may need descriptors.
        self.files.map_or(Ok(()), |count| lower(libc::RLIMIT_NOFILE, count).map_err(failed))
    }

    /// Lowers the share of the whole session, where the scheduler has a group for each (sched(7), autogroup): without
    /// that a program's nice only counts within its own session. Before the program has a view of its own, in which this
    /// is read-only. What fails is seen afterwards.
    pub(crate) fn lower_group(&self) {
        /// The kernel takes one change in a tenth of a second from all of the host.
        const TRIES: usize = 20;
        let Some((_, text)) = &self.nice else { return };
        for _ in 0..TRIES {
            if sys::write_file(c"/proc/self/autogroup", text.as_bytes()) != Err(Errno::EAGAIN) {
                return;
            }
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            // SAFETY: reads one structure of this frame; nothing is written.
            unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        }
    }
}

/// The nice of a share: each step takes a fifth.
fn nice(weight: u64) -> libc::c_int {
    #[expect(clippy::cast_precision_loss, reason = "from 1 to 100")]
    let steps = (WEIGHT_USUAL as f64 / weight.clamp(1, WEIGHT_USUAL) as f64).ln() / STEP.ln();
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 19")]
    {
        steps.round().clamp(0.0, 19.0) as libc::c_int
    }
}

/// Sets both halves of a limit, or what the host allows, if that is less.
fn lower(resource: libc::__rlimit_resource_t, value: u64) -> Result<(), Errno> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one structure of this frame.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } == -1 {
        return Err(Errno::last());
    }
    let value = value.min(limit.rlim_max);
    limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the kernel reads one structure of this frame.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// How far each limit that was asked for holds for a program that was just started. `own_view`: it has HOME and temporary
/// files of its own.
#[must_use]
pub fn layers(limits: &Limits, program: u32, own_view: bool) -> Vec<Layer> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{program}/{name}")).unwrap_or_default();
    let (held, group, stat) = (read("limits"), read("autogroup"), read("stat"));
    let root = nix::unistd::geteuid().is_root();
    let layer = |resource: Resource, status, detail: String| Layer {
        name: resource.name().to_owned(),
        status,
        abi: None,
        detail: Some(detail),
    };
    let mut layers = Vec::new();
    for resource in Resource::ALL {
        let Some(limit) = limits.of(resource) else { continue };
        layers.push(match resource {
            Resource::MemoryBytes => match hard(&held, "Max data size").filter(|held| *held <= limit) {
                Some(_) => layer(
                    resource,
                    LayerStatus::Partial,
                    "each process for itself, and only what it does not share: several together may have more".to_owned(),
                ),
                None => layer(resource, LayerStatus::Absent, NOT_HELD.to_owned()),
            },
            Resource::OpenFiles => match hard(&held, "Max open files") {
                Some(held) if held < limit => {
                    layer(resource, LayerStatus::Enforced, format!("each process for itself; this host allows {held}"))
                }
                Some(held) if held == limit => {
                    layer(resource, LayerStatus::Enforced, "each process for itself".to_owned())
                }
                _ => layer(resource, LayerStatus::Absent, NOT_HELD.to_owned()),
            },
            Resource::Processes => match hard(&held, "Max processes") {
                _ if root => {
                    layer(resource, LayerStatus::Absent, "the kernel counts no processes of root's".to_owned())
                }
                Some(held) if held <= limit => {
                    layer(resource, LayerStatus::Enforced, "threads count as processes".to_owned())
                }
                _ => layer(
                    resource,
                    LayerStatus::Absent,
                    "the kernel counts all processes of the user together where a session has no user namespace of its own"
                        .to_owned(),
                ),
            },
            Resource::CpuWeight => weight(limit, &stat, &group, &layer),
            Resource::WallS => {
                layer(resource, LayerStatus::Enforced, "by the worker; time that the host sleeps counts".to_owned())
            }
            Resource::DiskBytes if own_view => layer(
                resource,
                LayerStatus::Enforced,
                "HOME and temporary files together; they are in memory, or in swap".to_owned(),
            ),
            Resource::DiskBytes => layer(
                resource,
                LayerStatus::Absent,
                "without a view of its own the session has no directories that could be bounded".to_owned(),
            ),
        });
    }
    layers
}

const NOT_HELD: &str = "the kernel does not hold the program to it";

fn weight(weight: u64, stat: &str, group: &str, layer: &impl Fn(Resource, LayerStatus, String) -> Layer) -> Layer {
    let wanted = nice(weight);
    // Behind the name: state, then the 16 fields to nice (proc_pid_stat(5)).
    let own: Option<libc::c_int> =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(16)?.parse().ok());
    let groups = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").is_ok_and(|text| text.trim() == "1");
    let grouped: Option<libc::c_int> = group.trim().rsplit_once("nice ").and_then(|(_, nice)| nice.parse().ok());
    if wanted == 0 {
        return layer(Resource::CpuWeight, LayerStatus::Enforced, "the usual share".to_owned());
    }
    if own != Some(wanted) || (groups && grouped != Some(wanted)) {
        return layer(Resource::CpuWeight, LayerStatus::Absent, format!("nice {wanted} could not be set"));
    }
    let detail = format!(
        "as nice {wanted}: less when processors are short, and nothing else; a program can leave it by a session of its own"
    );
    layer(Resource::CpuWeight, LayerStatus::Partial, detail)
}

/// The hard half of a limit, of `/proc/<pid>/limits` (proc_pid_limits(5)); `None` for one that is not there or unlimited.
fn hard(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_steps_of_nice() {
        for (weight, expected) in [(100, 0), (80, 1), (50, 3), (25, 6), (10, 10), (2, 18), (1, 19)] {
            assert_eq!(nice(weight), expected, "{weight}");
        }
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             unlimited            unlimited            bytes     \n\
                    Max processes             100                  200                  processes \n";
        assert_eq!((hard(text, "Max data size"), hard(text, "Max processes")), (None, Some(200)));
        assert_eq!(hard("", "Max processes"), None);
    }

    #[test]
    fn what_was_not_asked_for_is_no_layer_and_what_does_not_hold_is_absent() {
        assert!(layers(&Limits::default(), std::process::id(), false).is_empty());
        let limits =
            Limits { memory_bytes: Some(1 << 40), disk_bytes: Some(1 << 20), wall_s: Some(1), ..Limits::default() };
        let said: Vec<_> =
            layers(&limits, std::process::id(), false).into_iter().map(|layer| (layer.name, layer.status)).collect();
        // Nobody limits this process.
        let expected = [
            ("memory_bytes".to_owned(), LayerStatus::Absent),
            ("wall_s".to_owned(), LayerStatus::Enforced),
            ("disk_bytes".to_owned(), LayerStatus::Absent),
        ];
        assert_eq!(said, expected);
    }
}
