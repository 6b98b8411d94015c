//! A session's limits in its worker: the end of its time, and what the kernel refuses told in words.
//!
//! ```text
//!   time       a timer that begins with the program, whoever the worker is ──► the session is closed, with a reason
//!   the rest   the kernel refuses; the program alone hears of it ──► its processes are looked at after they said
//!              something, and what is all used up is told
//! ```
//!
//! A look costs a read of `/proc` for each process of the session. So it follows output and input, and then comes ever
//! less often until it comes no more: an idle session wakes nobody. What happens and passes between two looks is not told.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use baton_proto::frame::Kind;
use baton_proto::lease::Monotonic;
use baton_proto::limits::{LimitReached, Limits, Resource, bytes};
use baton_proto::spec::SessionSpec;
use nix::sys::statvfs::statvfs;
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId as Clock, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::ending::Life;
use super::{Worker, processes};

/// Between two looks while the session says something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After the longest pause between two looks at a silent session, there is none.
const LOOK_LAST: Duration = Duration::from_secs(64);
/// The same limit is told of at most so often.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Processes that are looked at; more are not counted.
const PROCESSES_MAX: usize = 4096;

/// What a worker knows of its session's limits.
#[derive(Debug, Default)]
pub(super) struct Watch {
    timer: Option<TimerFd>,
    look_at: Option<Monotonic>,
    looked: Option<Monotonic>,
    /// Before the next look, if nothing is said until then.
    pause: Duration,
    told: BTreeMap<Resource, Told>,
}

/// What was told of a limit.
#[derive(Debug)]
struct Told {
    reached: LimitReached,
    at: Monotonic,
}

impl Watch {
    /// What `poll` waits for.
    pub(super) fn timer(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(|timer| timer.as_fd())
    }

    /// When the session is looked at next.
    pub(super) const fn deadline(&self) -> Option<Monotonic> {
        self.look_at
    }

    /// The program was started at this time since the host was: the timer is set to the end of its time.
    fn time(&mut self, wall_s: u64, started: Duration) -> nix::Result<()> {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let end = started.saturating_add(Duration::from_secs(wall_s));
        // Never zero, which would switch it off; what has passed is due at once.
        let end = TimeSpec::nanoseconds(i64::try_from(end.as_nanos()).unwrap_or(i64::MAX).max(1));
        timer.set(Expiration::OneShot(end), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// The session said something, or was told something.
    pub(super) fn stir(&mut self, spec: &SessionSpec, now: Monotonic) {
        if !is_looked_at(&spec.limits) {
            return;
        }
        self.pause = LOOK_EVERY;
        let next = self.looked.map_or(now, |looked| looked.after(LOOK_EVERY)).max(now);
        self.look_at = Some(self.look_at.map_or(next, |at| at.min(next)));
    }
}

/// Whether anything is limited that only a look can tell.
fn is_looked_at(limits: &Limits) -> bool {
    [Resource::MemoryBytes, Resource::Processes, Resource::OpenFiles, Resource::DiskBytes]
        .into_iter()
        .any(|resource| limits.of(resource).is_some())
}

/// One process, as far as limits are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    pid: u32,
    name: String,
    data_bytes: u64,
    threads: u64,
    files: u64,
}

impl Worker {
    /// The program runs, or was found running: its time has begun with it.
    pub(super) fn begin_limits(&mut self) {
        let Some(wall_s) = self.spec.limits.wall_s else { return };
        let pid = self.program.as_ref().map_or(0, |program| program.pid);
        // A program that is gone already needs no timer; its end is being told.
        let Some(started) = started(pid) else { return };
        if let Err(err) = self.limits.time(wall_s, started) {
            tracing::error!(session = %self.spec.session, "the session's time can't be limited: {err}");
        }
    }

    /// Its time is over.
    pub(super) fn time_is_over(&mut self, now: Monotonic) {
        self.limits.timer = None;
        let Some(limit) = self.spec.limits.wall_s else { return };
        if !matches!(self.life, Life::Running) {
            return;
        }
        let what = Resource::WallS.text(limit);
        self.tell_limit(Resource::WallS, limit, format!("the session's {what} is over: it is being ended"), now);
        let grace = Duration::from_millis(u64::from(self.spec.close_grace_ms));
        self.close(&format!("killed: {what}"), grace, now);
    }

    /// What is due by now.
    pub(super) fn look_at_limits(&mut self, now: Monotonic) {
        if self.limits.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.limits.looked = Some(now);
        self.limits.look_at = (self.limits.pause <= LOOK_LAST).then(|| now.after(self.limits.pause));
        self.limits.pause *= 2;
        let Some(program) = self.program.as_ref().filter(|program| !program.ended).map(|program| program.pid) else {
            self.limits.look_at = None;
            return;
        };
        let limits = self.spec.limits.clone();
        // What the program left behind belongs to the worker, a subreaper.
        let mut processes = below(std::process::id(), limits.open_files.is_some());
        // Itself, and who holds the session's way out, are Baton's.
        let own = fs::read_link("/proc/self/exe").ok();
        processes.retain(|seen| own.is_none() || fs::read_link(format!("/proc/{}/exe", seen.pid)).ok() != own);
        if !processes.iter().any(|seen| seen.pid == program) {
            // Not the child of this worker but of one before.
            processes.extend(below(program, limits.open_files.is_some()));
        }
        let largest = |of: fn(&Seen) -> u64| processes.iter().max_by_key(|seen| of(seen));
        if let (Some(limit), Some(seen)) = (limits.memory_bytes, largest(|seen| seen.data_bytes)) {
            let (name, pid, has) = (&seen.name, seen.pid, bytes(seen.data_bytes));
            // The kernel refuses what would exceed it: who asks for much at once is refused far below.
            let near = share(seen.data_bytes, limit);
            let text =
                format!("`{name}` ({pid}) has {has} of the {} a process may have: more is refused", bytes(limit));
            self.judge(Resource::MemoryBytes, limit, near, text, now);
        }
        if let Some(limit) = limits.processes.filter(|_| self.holds(Resource::Processes)) {
            let count = processes.iter().map(|seen| seen.threads).sum();
            let text = format!("the session has {count} of its {limit} processes and threads: no more can be started");
            self.judge(Resource::Processes, limit, full(count, limit), text, now);
        }
        if let (Some(limit), Some(seen)) = (limits.open_files, largest(|seen| seen.files)) {
            let (name, pid, has) = (&seen.name, seen.pid, seen.files);
            let text = format!("`{name}` ({pid}) has {has} of the {limit} files open that a process may have");
            self.judge(Resource::OpenFiles, limit, full(has, limit), text, now);
        }
        if let Some(limit) = limits.disk_bytes.filter(|_| self.holds(Resource::DiskBytes)) {
            // Through the program: its view is not this process's.
            if let Ok(found) = statvfs(format!("/proc/{program}/root/tmp").as_str()) {
                let used = (found.blocks().saturating_sub(found.blocks_available())) * found.fragment_size();
                let text = format!(
                    "HOME and temporary files of the session take {} of their {}: writing to them fails",
                    bytes(used),
                    bytes(limit)
                );
                self.judge(Resource::DiskBytes, limit, share(used, limit), text, now);
            }
        }
    }

    /// Whether the kernel holds the session to a limit.
    fn holds(&self, resource: Resource) -> bool {
        use baton_proto::spec::LayerStatus::Absent;
        self.layers.iter().any(|layer| layer.name == resource.name() && layer.status != Absent)
    }

    fn judge(&mut self, resource: Resource, limit: u64, level: Level, text: String, now: Monotonic) {
        let reached = self.limits.told.get(&resource).is_some_and(|told| told.reached.reached);
        match (reached, level) {
            (false, Level::Reached) => self.tell_limit(resource, limit, text, now),
            (true, Level::Clear) => {
                let Some(told) = self.limits.told.get_mut(&resource) else { return };
                told.reached.reached = false;
                told.reached.text.clear();
                let eased = told.reached.clone();
                self.send_limit(&eased);
            }
            _ => {}
        }
    }

    fn tell_limit(&mut self, resource: Resource, limit: u64, text: String, now: Monotonic) {
        if self.limits.told.get(&resource).is_some_and(|told| told.at.after(TELL_EVERY) > now) {
            return;
        }
        tracing::info!(session = %self.spec.session, limit = resource.name(), "{text}");
        let text = text.chars().filter(|char| !char.is_control()).take(LimitReached::TEXT_CHARS_MAX).collect();
        let reached = LimitReached { resource, limit, reached: true, text };
        self.send_limit(&reached);
        self.limits.told.insert(resource, Told { reached, at: now });
    }

    fn send_limit(&mut self, limit: &LimitReached) {
        let end = self.journal.end();
        for conn in self.conns.values_mut().filter(|conn| conn.is_subscribed()) {
            conn.send_fenced(end, Kind::LimitReached, 0, limit);
        }
    }

    /// The limits that are reached now, for who listens from now on.
    pub(super) fn limits_reached(&self) -> Vec<LimitReached> {
        let reached = self.limits.told.values().filter(|told| told.reached.reached);
        reached.map(|told| told.reached.clone()).collect()
    }
}

/// How close to its limit something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// There is room.
    Clear,
    /// Neither.
    Between,
    /// All is used, or so nearly that the next step will fail.
    Reached,
}

/// Of bytes, of which much is asked for at once.
const fn share(used: u64, limit: u64) -> Level {
    if used >= limit - limit / 10 {
        Level::Reached
    } else if used < limit - limit / 4 {
        Level::Clear
    } else {
        Level::Between
    }
}

/// Of things, of which one is asked for.
const fn full(used: u64, limit: u64) -> Level {
    if used >= limit {
        Level::Reached
    } else if used < limit - limit / 10 {
        Level::Clear
    } else {
        Level::Between
    }
}

/// When a process started, since the host did; sleep included.
fn started(pid: u32) -> Option<Duration> {
    let ticks = processes::stat(pid)?.started;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok())?;
    let now = Duration::from(clock_gettime(Clock::CLOCK_BOOTTIME).ok()?);
    let started = Duration::from_nanos(ticks.checked_mul(1_000_000_000)? / per_second.max(1));
    // A time in the future would be one of another clock.
    Some(started.min(now))
}

/// A program and everything below it, parents first.
fn below(program: u32, with_files: bool) -> Vec<Seen> {
    let (mut found, mut next) = (Vec::new(), vec![program]);
    while let Some(pid) = next.pop() {
        if found.len() >= PROCESSES_MAX {
            break;
        }
        let Some(seen) = seen(pid, with_files) else { continue };
        found.push(seen);
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks.take(PROCESSES_MAX) {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let room = PROCESSES_MAX.saturating_sub(found.len() + next.len());
            next.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()).take(room));
        }
    }
    found
}

fn seen(pid: u32, with_files: bool) -> Option<Seen> {
    let mut seen = parse_status(pid, &fs::read_to_string(format!("/proc/{pid}/status")).ok()?);
    if with_files {
        let open = format!("/proc/{pid}/fd");
        // Its size is their number since Linux 6.2 (proc_pid_fd(5)).
        let size = fs::metadata(&open).map_or(0, |directory| directory.len());
        seen.files = if size > 0 { size } else { fs::read_dir(&open).map_or(0, |entries| entries.count() as u64) };
    }
    Some(seen)
}

fn parse_status(pid: u32, text: &str) -> Seen {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let number = |text: Option<&str>| text.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    Seen {
        pid,
        name: field("Name:").unwrap_or_default().to_owned(),
        // What RLIMIT_DATA is compared with.
        data_bytes: number(field("VmData:")).saturating_mul(1024),
        threads: number(field("Threads:")),
        files: 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_status_is_read_as_the_kernel_writes_it() {
        let text = "Name:\tmake -j\nUmask:\t0022\nVmData:\t    2048 kB\nThreads:\t3\n";
        let seen = parse_status(7, text);
        assert_eq!((seen.name.as_str(), seen.data_bytes, seen.threads), ("make -j", 2 << 20, 3));
        // One of the kernel's own has no memory.
        assert_eq!(parse_status(7, "Name:\tkworker\n").data_bytes, 0);
    }

    #[test]
    fn what_is_below_a_process_is_found_with_what_it_has_open() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let found = below(std::process::id(), true);
        let names: Vec<_> = found.iter().map(|seen| (seen.pid, seen.name.as_str())).collect();
        assert!(names.contains(&(child.id(), "sleep")) || names.iter().any(|(pid, _)| *pid == child.id()), "{names:?}");
        let own = found.iter().find(|seen| seen.pid == std::process::id()).unwrap();
        assert!(own.files >= 3 && own.data_bytes > 0 && own.threads > 0, "{own:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_started_a_moment_ago() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let began = started(child.id()).unwrap();
        let now = Duration::from(clock_gettime(Clock::CLOCK_BOOTTIME).unwrap());
        assert!(now - began < Duration::from_secs(10), "{began:?} {now:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(started(child.id()), None);
    }

    #[test]
    fn a_timer_whose_time_has_passed_is_due_at_once() {
        let mut watch = Watch::default();
        watch.time(1, Duration::ZERO).unwrap();
        let mut fds = [nix::poll::PollFd::new(watch.timer().unwrap(), nix::poll::PollFlags::POLLIN)];
        assert_eq!(nix::poll::poll(&mut fds, 1000u16), Ok(1));
    }

    #[test]
    fn between_full_and_room_nothing_is_said() {
        assert_eq!([share(100, 100), share(80, 100), share(74, 100)], [Level::Reached, Level::Between, Level::Clear]);
        assert_eq!([full(100, 100), full(99, 100), full(10, 100)], [Level::Reached, Level::Between, Level::Clear]);
        // The smallest limits that may be asked for.
        assert_eq!([full(2, 2), full(1, 2)], [Level::Reached, Level::Clear]);
    }
}
