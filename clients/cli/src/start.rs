//! Starting Baton: the launcher as a session of its own, waited for until the bridge answers.
//!
//! `setsid` must happen in the child. Without a line of unsafe code that takes one step more: this program starts
//! itself as `baton __launch`, which calls `setsid` and then becomes the launcher.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::net::ToSocketAddrs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use baton_proto::home::{Home, state};
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, timeout};

use crate::api::health;
use crate::args::LaunchArgs;
use crate::context::Context;
use crate::host;
use crate::launcher::{self, is_running, reach};
use crate::out;
use crate::report::{Exit, Report};

/// The launcher's exit code when another one runs.
const ALREADY_RUNNING: i32 = 75;

/// How long everything together may take.
const START_TIME: Duration = Duration::from_secs(30);

/// How long sessiond may take to answer once the bridge does.
const SESSIOND_TIME: Duration = Duration::from_secs(10);

/// When a person wants to be told that it takes a while.
const PATIENCE: Duration = Duration::from_secs(1);

/// What [`start`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It ran already.
    Already,
    /// It runs now.
    Now,
}

/// Where the logs ended before the start: what is behind that is of this start.
#[derive(Debug)]
struct Logs<'a> {
    home: &'a Home,
    launcher: u64,
    sessiond: u64,
    bridge: u64,
}

impl<'a> Logs<'a> {
    fn now(home: &'a Home) -> Self {
        let len = |name: &str| fs::metadata(home.logs_dir().join(name)).map_or(0, |found| found.len());
        Self { home, launcher: len("launcher.log"), sessiond: len("sessiond.log"), bridge: len("bridge.log") }
    }

    fn launcher(&self) -> String {
        tail(&self.home.logs_dir().join("launcher.log"), self.launcher)
    }

    fn sessiond(&self) -> String {
        tail(&self.home.logs_dir().join("sessiond.log"), self.sessiond)
    }

    fn bridge(&self) -> String {
        tail(&self.home.logs_dir().join("bridge.log"), self.bridge)
    }
}

/// Starts what isn't running and waits until it answers. `listen` overrides the configuration.
pub async fn start(context: &Context, listen: Option<&str>) -> Result<Started, Report> {
    let home = &context.home;
    if !reach(home).await? {
        host::allows(&context.config()?)?;
        context.make_directories()?;
    }
    let logs = Logs::now(home);
    let progress = tokio::spawn(async {
        sleep(PATIENCE).await;
        if io::stderr().is_terminal() {
            out::remark("Baton is starting …");
        }
    });
    let result = timeout(START_TIME, start_and_wait(context, &logs, listen)).await.unwrap_or_else(|_| {
        Err(Report::new(Exit::Unreachable, format!("Baton did not start within {} s", START_TIME.as_secs()))
            .why(logs.bridge())
            .hint(format!("its logs are in `{}`", home.logs_dir().display())))
    });
    progress.abort();
    result
}

async fn start_and_wait(context: &Context, logs: &Logs<'_>, listen: Option<&str>) -> Result<Started, Report> {
    let home = &context.home;
    // Two `baton up` at once: the second waits here and then finds it running.
    let turn = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(home.state.join(state::UP_LOCK))
        .map_err(|err| Report::failed("`up.lock` cannot be opened").why(err))?;
    let _turn = take_turn(turn).await?;
    loop {
        let started = start_once(context, logs, listen).await?;
        match wait_for_health(logs).await {
            // The one that was found running was about to end: killed, its files are closed one after the other.
            Err(_) if started == Started::Already && !is_running(home)? => {}
            // Its bridge answers until it notices that the launcher is gone, spare and all.
            Ok(()) if started == Started::Already && launcher::pid(home).await?.is_none() => {}
            result => return result.map(|()| started),
        }
    }
}

async fn start_once(context: &Context, logs: &Logs<'_>, listen: Option<&str>) -> Result<Started, Report> {
    let home = &context.home;
    while !reach(home).await? {
        let listen = match listen {
            Some(listen) => listen.to_owned(),
            None => context.config()?.server.listen,
        };
        let server = context.config()?.server;
        check_address(&listen, server.allow_remote && !server.trusted_proxies.is_empty())?;
        if launch(logs, &listen).await? {
            return Ok(Started::Now);
        }
        // Another launcher was quicker and may be gone again: look anew.
        sleep(Duration::from_millis(50)).await;
    }
    Ok(Started::Already)
}

async fn take_turn(mut file: File) -> Result<Flock<File>, Report> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(turn) => return Ok(turn),
            Err((back, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(Report::failed("`up.lock` cannot be locked").why(errno)),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Starts the launcher; false: it found another one running.
async fn launch(logs: &Logs<'_>, listen: &str) -> Result<bool, Report> {
    let cannot = |err: io::Error| Report::failed("the launcher cannot be started").why(err);
    sibling("baton-sessiond")?;
    let log_path = logs.home.logs_dir().join("launcher.log");
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&log_path).map_err(cannot)?;
    let (ready, child) = {
        let (reader, writer) = io::pipe().map_err(cannot)?;
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| cannot(errno.into()))?;
        let child = Command::new("/proc/self/exe")
            .arg0("baton")
            .args(["__launch", "--listen", listen, "--ready-fd", &writer.as_raw_fd().to_string()])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(cannot)?;
        (reader, child)
    };
    let mut ready = pipe::Receiver::from_owned_fd(ready.into()).map_err(cannot)?;
    let mut byte = [0];
    match ready.read(&mut byte).await {
        Ok(1) => Ok(true),
        _ => failed_launch(child, logs).await,
    }
}

async fn failed_launch(mut child: Child, logs: &Logs<'_>) -> Result<bool, Report> {
    // The pipe is closed, so the process is about to be gone, unless it never was ours to wait for.
    let deadline = Instant::now() + Duration::from_secs(2);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(10)).await,
            _ => break None,
        }
    };
    if status.and_then(|status| status.code()) == Some(ALREADY_RUNNING) {
        return Ok(false);
    }
    let ended = status.map_or_else(|| "it said nothing".to_owned(), |status| status.to_string());
    Err(Report::failed(format!("the launcher failed ({ended})"))
        .why(logs.launcher())
        .hint(format!("its log is `{}`", logs.home.logs_dir().join("launcher.log").display())))
}

async fn wait_for_health(logs: &Logs<'_>) -> Result<(), Report> {
    let home = logs.home;
    let mut patient_until = None;
    loop {
        match health(home, Duration::from_secs(5)).await {
            // A database that fails costs history, not sessions; `up` and `status` tell of it.
            Some(health) if health.status == "ok" || health.failing == ["database"] => return Ok(()),
            Some(_) => {
                // The bridge is there; sessiond may need a moment longer.
                if Instant::now() > *patient_until.get_or_insert_with(|| Instant::now() + SESSIOND_TIME) {
                    return Err(Report::new(Exit::Unreachable, "sessiond does not answer")
                        .why(logs.sessiond())
                        .hint(format!("its log is `{}`", home.logs_dir().join("sessiond.log").display())));
                }
                sleep(Duration::from_millis(20)).await;
            }
            None if is_running(home)? => sleep(Duration::from_millis(50)).await,
            None => {
                return Err(
                    Report::new(Exit::Unreachable, "the launcher ended while Baton was starting").why(logs.launcher())
                );
            }
        }
    }
}

/// A shell for everybody on the network is never an accident.
fn check_address(listen: &str, allowed: bool) -> Result<(), Report> {
    let addresses = listen.to_socket_addrs().map_err(|err| {
        Report::usage(format!("`{listen}` is not an address to listen on"))
            .why(err)
            .hint("give HOST:PORT, such as 127.0.0.1:7420; port 0 takes any")
    })?;
    if !allowed && addresses.into_iter().any(|address| !address.ip().is_loopback()) {
        return Err(Report::new(Exit::Denied, format!("`{listen}` can be reached from other machines"))
            .why("whoever reaches Baton and has its token has your shells")
            .hint(
                "listen on 127.0.0.1, or set `server.allow_remote = true` and name the reverse proxy that stands in front in \
                 `server.trusted_proxies`",
            ));
    }
    Ok(())
}

/// A program that is installed beside this one.
pub fn sibling(name: &str) -> Result<PathBuf, Report> {
    let me =
        std::env::current_exe().map_err(|err| Report::failed("where this program is cannot be found out").why(err))?;
    let path = me.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Report::failed(format!("`{name}` is missing"))
        .why(format!("it belongs beside `{}`", me.display()))
        .hint("build or install all of Baton's programs together"))
}

/// Becomes the launcher, in a session of its own. Returns only to say why it could not.
pub fn become_launcher(args: &LaunchArgs) -> Result<u8, Report> {
    let program = sibling("baton-sessiond")?;
    nix::unistd::setsid().map_err(|errno| Report::failed("no session of its own for the launcher").why(errno))?;
    let mut command = Command::new(&program);
    command.args(["launcher", "--listen", &args.listen, "--ready-fd", &args.ready_fd.to_string()]);
    Err(Report::failed(format!("`{}` cannot be run", program.display())).why(command.exec()))
}

/// The last lines of a log, of those behind `from`.
fn tail(path: &Path, from: u64) -> String {
    const BYTES: u64 = 2048;
    const LINES: usize = 8;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        // Somebody emptied it meanwhile: everything is new.
        let from = if from <= len { from } else { 0 };
        file.seek(SeekFrom::Start(from.max(len.saturating_sub(BYTES))))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    if last.trim().is_empty() { "it wrote nothing to its log".to_owned() } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_address_needs_a_word() {
        assert!(check_address("127.0.0.1:0", false).is_ok());
        assert!(check_address("[::1]:7420", false).is_ok());
        assert_eq!(check_address("0.0.0.0:7420", false).map_err(|report| report.exit_code()), Err(5));
        assert!(check_address("0.0.0.0:7420", true).is_ok());
        assert_eq!(check_address("nowhere", false).map_err(|report| report.exit_code()), Err(2));
    }

    #[test]
    fn of_a_log_only_what_is_new_is_shown() {
        let path = std::env::temp_dir().join(format!("baton-tail-{}", std::process::id()));
        std::fs::write(&path, "old\nnew\n").ok();
        assert_eq!(tail(&path, 4), "new");
        assert_eq!(tail(&path, 8), "it wrote nothing to its log");
        assert_eq!(tail(&path, 100), "old\nnew");
        std::fs::remove_file(path).ok();
    }
}
