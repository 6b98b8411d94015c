//! Which processes a session has: read from `/proc`, never guessed from names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The variable every program of a session has in its environment.
pub const SESSION_VARIABLE: &str = "BATON_SESSION";

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The program's short name.
    pub name: String,
    /// `R`, `S`, `T`, `Z` …
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// How many threads it has.
    pub threads: u32,
    /// When it started, in clock ticks since boot: with the pid, an identity.
    pub started: u64,
}

impl Stat {
    /// Whether it still does anything. One whose first thread has ended is shown as dead while the others run.
    #[must_use]
    pub const fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

/// Parses a line of `/proc/<pid>/stat`. The name may hold anything, brackets and spaces included.
#[must_use]
pub fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = (text.find('(')?, text.rfind(')')?);
    let fields: Vec<&str> = text.get(after + 1..)?.split_ascii_whitespace().collect();
    Some(Stat {
        name: text.get(before + 1..after)?.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Reads a process's line.
#[must_use]
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Command line of a process, its arguments joined by spaces; at most 1 KiB.
#[must_use]
pub fn command_line(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text: String = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).replace('\0', " ");
    let text = text.trim_end().to_owned();
    if text.is_empty() { stat(pid).map(|stat| stat.name) } else { Some(text) }
}

/// Working directory of a process.
#[must_use]
pub fn cwd(pid: u32) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok().map(|path| path.to_string_lossy().into_owned())
}

/// Everything a session started that still lives, pid and start time: descendants of the program and of its worker (a subreaper, so that a
/// daemon's double fork leads to it), members of the program's session, and whoever carries the session's mark in its
/// environment, which also finds what was orphaned while a dead worker had no successor yet.
#[must_use]
pub fn of_session(program: Option<u32>, worker: u32, mark: &str) -> BTreeMap<u32, u64> {
    // 0 is no process: it stands for one that is not known any more. As a session it is the kernel's, and in a container often that of
    // the first process as well, whose children are all there are.
    let program = program.filter(|program| *program > 1);
    let mut stats = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid).filter(Stat::lives) {
            stats.insert(pid, stat);
        }
    }
    let wanted = format!("{SESSION_VARIABLE}={mark}").into_bytes();
    let marked = |pid: u32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|variable| variable == wanted))
    };
    let mut found: BTreeSet<u32> = stats
        .iter()
        .filter(|(pid, stat)| {
            program.is_some_and(|program| **pid == program || stat.session == program) || marked(**pid)
        })
        .map(|(pid, _)| *pid)
        .collect();
    // Children of what was found, until nothing is added.
    loop {
        let added: Vec<u32> = stats
            .iter()
            .filter(|(pid, stat)| !found.contains(pid) && (found.contains(&stat.parent) || stat.parent == worker))
            .map(|(pid, _)| *pid)
            .collect();
        if added.is_empty() {
            break;
        }
        found.extend(added);
    }
    // Whatever else went wrong: who started Baton is not of the session.
    let mut above = Some(worker);
    while let Some(pid) = above.filter(|pid| *pid != 0) {
        found.remove(&pid);
        above = stats.get(&pid).map(|stat| stat.parent).filter(|parent| *parent != pid);
    }
    found.into_iter().filter_map(|pid| Some((pid, stats.get(&pid)?.started))).collect()
}

/// A view of the file system that a program has of its own, as the kernel names it (namespaces(7)).
#[derive(Debug)]
pub struct View {
    name: PathBuf,
    /// While it is open the view lives, and its name is given to no other. Without it, what was listed to be ended would be
    /// another session's as soon as this one's last process is gone.
    _held: fs::File,
}

/// The view of a program; `None` for one that has this process's, or that of the first.
#[must_use]
pub fn own_view(pid: u32) -> Option<View> {
    let held = fs::File::open(format!("/proc/{pid}/ns/mnt")).ok()?;
    let name = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()?;
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    // A view taken for a session's is a list of what to end.
    let is_anothers = ["self", "1"].into_iter().any(|pid| of(pid).as_ref() == Some(&name));
    (!is_anothers).then_some(View { name, _held: held })
}

/// Everything that lives in a view, pid and start time. A confined program can't leave the one it was put into, nor can anything
/// that it starts, whoever its parent is and whatever it does to its environment.
#[must_use]
pub fn of_view(view: &View) -> BTreeMap<u32, u64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter_map(|pid| {
        let its = fs::read_link(format!("/proc/{pid}/ns/mnt"));
        if its.as_ref().is_ok_and(|its| *its != view.name) {
            return None;
        }
        let stat = stat(pid).filter(Stat::lives)?;
        // The first thread is asked for the process, and once it has ended is in no view.
        let inside = its.is_ok() || (stat.state == 'Z' && views_of_threads(pid).any(|its| its == view.name));
        inside.then_some((pid, stat.started))
    });
    found.collect()
}

/// The views of a process's threads.
fn views_of_threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_link(thread.path().join("ns/mnt")).ok())
}

/// Whether a process runs this very program, as Baton's own beside a session do.
#[must_use]
pub fn is_ours(pid: u32) -> bool {
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    program(&pid.to_string()).is_some_and(|its| Some(its) == program("self"))
}

/// Whether the process that was seen with this start time is still there.
#[must_use]
pub fn lives(pid: u32, started: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.started == started && stat.lives())
}

/// The process a pidfd stands for; `None` once it is reaped (proc_pid_fdinfo(5)).
#[must_use]
pub fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

/// Signals a process that was seen with this start time; a pid that was given to another since is left alone.
pub fn signal(pid: u32, started: u64, signal: Signal) {
    let Ok(raw) = i32::try_from(pid) else { return };
    // The descriptor first, then the look: it stays with the process it was opened for.
    let Ok(pidfd) = baton_sandbox::process::pidfd_open(Pid::from_raw(raw)) else { return };
    if stat(pid).is_none_or(|stat| stat.started != started) {
        return;
    }
    if let Err(err) = baton_sandbox::process::pidfd_send_signal(&pidfd, signal) {
        tracing::debug!(error = %err, pid, ?signal, "a process could not be signalled");
    }
}

/// Signals all of these: pid and start time.
pub fn signal_all(processes: &BTreeMap<u32, u64>, which: Signal) {
    for (pid, started) in processes {
        signal(*pid, *started, which);
    }
}

/// Whether a shell that leads the foreground waits for a line: it sleeps, and either it edits lines itself (readline, zle,
/// fish: ICANON off) or it is one of the plain shells that let the kernel do it.
#[must_use]
pub fn waits_for_line(program: u32, foreground: Option<u32>, canonical: bool) -> bool {
    const PLAIN: [&str; 6] = ["sh", "dash", "ash", "ksh", "mksh", "busybox"];
    const EDITING: [&str; 10] = ["bash", "zsh", "fish", "ksh", "mksh", "tcsh", "csh", "nu", "xonsh", "elvish"];
    let Some(stat) = stat(program) else { return false };
    let name = stat.name.trim_start_matches('-');
    foreground == Some(program)
        && stat.state == 'S'
        && if canonical { PLAIN.contains(&name) } else { EDITING.contains(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_hostile_name_is_read() {
        let line = "42 (a) b (c)) S 7 42 40 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.state, stat.parent, stat.session, stat.threads, stat.started),
            ("a) b (c)", 'S', 7, 40, 1, 98765)
        );
        assert!(stat.lives());
        let dead = parse_stat(&line.replace(" S ", " Z ")).unwrap();
        assert!(!dead.lives() && Stat { threads: 2, ..dead }.lives(), "its first thread is dead, another is not");
        assert_eq!(parse_stat("42 (x"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_program_that_is_not_known_has_no_processes_and_nobody_above_is_of_a_session() {
        let me = std::process::id();
        assert!(of_session(Some(0), me, "ses_of_nobody").is_empty(), "the system's own processes");
        assert!(of_session(Some(1), me, "ses_of_nobody").is_empty());
        assert!(of_session(None, me, "ses_of_nobody").is_empty());
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let found = of_session(Some(child.id()), me, "ses_of_nobody");
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_name_of_a_view_is_given_to_no_other_while_it_is_held() {
        let unshared = |program: &[&str]| {
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount"]).args(program);
            command
        };
        let mut child = unshared(&["sleep", "100"]).spawn().unwrap();
        let view = loop {
            match own_view(child.id()) {
                Some(view) => break view,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(of_view(&view).keys().copied().collect::<Vec<_>>(), [child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        // The kernel gives the lowest number that is free.
        for _ in 0..20 {
            let told = unshared(&["readlink", "/proc/self/ns/mnt"]).output().unwrap().stdout;
            let told = String::from_utf8(told).unwrap();
            assert_ne!(Some(told.trim()), view.name.to_str(), "another's processes would be ended");
        }
        assert!(of_view(&view).is_empty());
        assert!(own_view(std::process::id()).is_none(), "its own is nobody's to end");
    }

    #[test]
    fn this_process_has_a_line_and_a_directory() {
        let me = std::process::id();
        assert!(stat(me).unwrap().started > 0);
        assert_eq!(cwd(me).unwrap(), std::env::current_dir().unwrap().to_string_lossy());
        assert!(command_line(me).is_some());
    }
}
