//! The launcher that runs, if one does: seen by its locks, found by what it wrote down, woken when its sockets are gone.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use baton_proto::home::{Home, runtime, state};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::api::health;
use crate::connect::connect;
use crate::out;
use crate::report::{Exit, Report};

/// How long a launcher may take to bind its sockets again, and its bridge to be replaced.
const MEND_TIME: Duration = Duration::from_secs(5);

/// How often it is reminded.
const REMIND_EVERY: Duration = Duration::from_secs(1);

/// Between taking its lock and writing its file a launcher has little to do.
const FILE_TIME: Duration = Duration::from_secs(5);

/// The launcher's name among processes; its spare and its keeper have others.
const COMM: &str = "baton-launcher";

/// What the launcher wrote once it listened.
#[derive(Debug, serde::Deserialize)]
pub struct LauncherFile {
    /// Its process.
    pub pid: i32,
    /// Where it listens.
    pub listen: String,
    /// Where its sockets are.
    pub runtime: Option<PathBuf>,
}

/// Reads what the launcher wrote, if it has.
pub fn launcher_file(home: &Home) -> Option<LauncherFile> {
    [home.state.join(state::LAUNCHER_FILE), home.runtime.join(runtime::LAUNCHER_FILE)]
        .iter()
        .find_map(|path| serde_json::from_str(&fs::read_to_string(path).ok()?).ok())
}

/// Whether a launcher of this home runs: it holds its locks for as long as it lives. One is enough: either directory
/// may have been deleted under it.
pub fn is_running(home: &Home) -> Result<bool, Report> {
    let locks = [home.state.join(state::LOCK), home.runtime.join(runtime::LAUNCHER_LOCK)];
    let mut failed = None;
    for lock in locks {
        match is_locked(&lock) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(err) => failed = Some((lock, err)),
        }
    }
    match failed {
        None => Ok(false),
        Some((lock, err)) => Err(Report::new(Exit::Denied, "whether Baton runs cannot be found out")
            .why(format!("`{}`: {err}", lock.display()))),
    }
}

fn is_locked(path: &std::path::Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    // A shared lock: two who ask at once do not take each other for a launcher.
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// The running launcher's process, once it is certain that this is it; `None` when none runs any more.
pub async fn pid(home: &Home) -> Result<Option<Pid>, Report> {
    let deadline = Instant::now() + FILE_TIME;
    while is_running(home)? {
        if let Some(file) = launcher_file(home)
            && fs::read_to_string(format!("/proc/{}/comm", file.pid)).is_ok_and(|comm| comm.trim_end() == COMM)
            && !is_dying(file.pid)
        {
            return Ok(Some(Pid::from_raw(file.pid)));
        }
        // It locks before it writes its file, and a spare that takes over writes it anew.
        if Instant::now() > deadline {
            return Err(Report::new(Exit::Unreachable, "the launcher cannot be found, though its lock is held")
                .why(format!("`{}` names no running launcher", home.state.join(state::LAUNCHER_FILE).display()))
                .hint("find it with `pgrep -f 'baton-sessiond launcher'`"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

/// Whether the process has ended or is about to: killed, and the kernel still closes what it had open, its locks last; or
/// it has not even had its turn on a busy machine to notice.
fn is_dying(pid: i32) -> bool {
    /// `PF_EXITING` of Linux's `include/linux/sched.h`.
    const EXITING: u32 = 0x4;
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // Behind the name, which may hold anything, stand state, four ids, the foreground group and the flags (proc(5)).
    let Some((_, rest)) = stat.rsplit_once(')') else { return true };
    let exits = rest.split_ascii_whitespace().nth(6).and_then(|flags| flags.parse::<u32>().ok());
    exits.is_none_or(|it| it & EXITING != 0)
        || fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| is_killed(&status))
}

/// Whether a process's status (proc(5)) names SIGKILL among the signals that it has yet to notice.
fn is_killed(status: &str) -> bool {
    const KILL: u64 = 1 << (Signal::SIGKILL as i32 - 1);
    let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
    pending.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & KILL != 0)
}

/// Whether a running launcher's state directory was deleted under it: it makes its key before anything else.
fn has_lost_state(home: &Home) -> bool {
    !home.key_file().exists()
}

/// Makes sure that a running Baton can be reached: false when none runs. A launcher whose sockets are gone (the runtime
/// directory was deleted, as logind does at logout) or whose key is gone (the state directory was) makes them again.
pub async fn reach(home: &Home) -> Result<bool, Report> {
    let deadline = Instant::now() + MEND_TIME;
    let mut remind_at = Instant::now();
    let (mut woken, mut lost_state) = (false, false);
    while is_running(home)? {
        lost_state |= has_lost_state(home);
        let trouble = match connect(home).await {
            Err(err) => Some(err.to_string()),
            Ok(_) if has_lost_state(home) => Some("the install key is gone".to_owned()),
            Ok(_) => None,
        };
        let late = Instant::now() > deadline;
        match trouble {
            Some(trouble) if late => return Err(unreachable(home, &trouble).await),
            Some(_) if Instant::now() >= remind_at => {
                wake(home).await?;
                (woken, remind_at) = (true, Instant::now() + REMIND_EVERY);
            }
            // Bridge and sessiond are replaced just now. If they do not find each other, whoever asks is told.
            None if !woken || late || is_whole(home).await => {
                if lost_state {
                    tell_of_lost_state(home);
                }
                return Ok(true);
            }
            _ => {}
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(false)
}

/// Whether the bridge answers and finds sessiond, and its token is written.
async fn is_whole(home: &Home) -> bool {
    let health = health(home, REMIND_EVERY).await;
    home.token_file().exists() && health.is_some_and(|health| !health.failing.iter().any(|what| what == "sessiond"))
}

fn tell_of_lost_state(home: &Home) {
    out::remark(&format!(
        "baton: the state directory `{}` was deleted while Baton ran, and is made anew. Sessions go on; their earlier \
         output, history and every token are lost. `baton open` signs the page in again.",
        home.state.display()
    ));
}

/// Has the launcher look after its sockets.
async fn wake(home: &Home) -> Result<(), Report> {
    let Some(pid) = pid(home).await? else { return Ok(()) };
    match kill(pid, Signal::SIGHUP) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Report::new(
            Exit::Unreachable,
            format!("the launcher (pid {pid}) cannot be told that its sockets are gone"),
        )
        .why(errno)),
    }
}

async fn unreachable(home: &Home, trouble: &str) -> Report {
    let who = match pid(home).await {
        Ok(Some(pid)) => format!("the launcher (pid {pid})"),
        _ => "the launcher".to_owned(),
    };
    Report::new(Exit::Unreachable, "Baton runs, but what leads to it was deleted")
        .why(format!("{who} has not made it again in `{}` ({trouble})", home.runtime.display()))
        .hint(format!(
            "its log `{}` says why; the sessions go on meanwhile",
            home.logs_dir().join("launcher.log").display()
        ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    #[test]
    fn who_was_killed_is_as_good_as_dead() {
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert!(own.contains("SigPnd:") && own.contains("ShdPnd:"));
        assert!(!is_killed(&own) && !is_dying(i32::try_from(std::process::id()).unwrap()));
        assert!(is_killed("Name:\tx\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        assert!(is_killed("SigPnd:\t0000000000000000\nShdPnd:\t0000000000004100\n"));
        assert!(!is_killed("SigPnd:\t0000000000004000\nShdPnd:\t0000000000000200\nSigBlk:\t0000000000000100\n"));
    }

    #[test]
    fn without_a_lock_nothing_runs() {
        assert!(!is_running(&Home::below(Path::new("/nonexistent"))).unwrap());
    }

    #[test]
    fn either_lock_tells_of_a_launcher() {
        let directory = std::env::temp_dir().join(format!("baton-launcher-{}", std::process::id()));
        let home = Home::below(&directory);
        fs::create_dir_all(&home.state).unwrap();
        fs::create_dir_all(&home.runtime).unwrap();
        for lock in [home.state.join(state::LOCK), home.runtime.join(runtime::LAUNCHER_LOCK)] {
            let held = Flock::lock(File::create(&lock).unwrap(), FlockArg::LockExclusive).unwrap();
            assert!(is_running(&home).unwrap(), "{}", lock.display());
            drop(held);
            assert!(!is_running(&home).unwrap());
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
