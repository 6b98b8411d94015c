//! `baton down`: an orderly stop of Baton's processes. Shells live on unless `--sessions` closes them first.

use std::fs;
use std::time::Duration;

use baton_proto::api::CloseRequest;
use baton_proto::home::{Home, runtime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Api, terminal};
use crate::args::DownArgs;
use crate::context::Context;
use crate::out;
use crate::report::{Exit, Report};
use crate::start::{is_running, launcher_file};

/// The launcher gives its children 5 s before it kills them; this is that and some more.
const STOP_TIME: Duration = Duration::from_secs(15);

/// What sessions get beyond their own grace time.
const CLOSE_TIME: Duration = Duration::from_secs(15);

/// How long the bridge may take to say how many sessions there are.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Stops Baton.
pub async fn run(context: &Context, args: &DownArgs) -> Result<u8, Report> {
    let home = &context.home;
    if !running(home)? {
        if args.sessions && count_workers(home) > 0 {
            // Somebody has to ask the workers to close.
            Api::open(context).await?;
        } else {
            out::line(&format!("Baton is not running.{}", live_on(count_workers(home))))?;
            return Ok(0);
        }
    }
    let closed = if args.sessions { close_sessions(&Api::open(context).await?).await? } else { 0 };
    let left = count_living(context).await;
    let pid = launcher(home).await?;
    kill(pid, Signal::SIGTERM)
        .map_err(|errno| Report::failed(format!("the launcher (pid {pid}) cannot be stopped")).why(errno))?;
    let deadline = Instant::now() + STOP_TIME;
    while running(home)? {
        if Instant::now() > deadline {
            return Err(Report::failed(format!("the launcher (pid {pid}) does not end"))
                .hint(format!("its log is `{}`", home.logs_dir().join("launcher.log").display())));
        }
        sleep(Duration::from_millis(10)).await;
    }
    let sessions = if closed > 0 { format!(" {closed} {} closed.", plural(closed)) } else { String::new() };
    out::line(&format!("Baton is stopped: bridge, sessiond and launcher.{sessions}{}", live_on(left)))?;
    Ok(0)
}

fn running(home: &Home) -> Result<bool, Report> {
    is_running(home).map_err(|err| Report::failed("whether Baton runs cannot be found out").why(err))
}

fn live_on(sessions: usize) -> String {
    match sessions {
        0 => String::new(),
        1 => " 1 session lives on; `baton up` finds it again.".to_owned(),
        many => format!(" {many} sessions live on; `baton up` finds them again."),
    }
}

const fn plural(sessions: usize) -> &'static str {
    if sessions == 1 { "session" } else { "sessions" }
}

/// How many sessions go on. The bridge knows; if it does not answer, their sockets tell.
async fn count_living(context: &Context) -> usize {
    let asked = async { Api::of_running(context)?.sessions().await };
    match timeout(ANSWER_TIME, asked).await {
        Ok(Ok(sessions)) => sessions.iter().filter(|one| one.status.is_living()).count(),
        _ => count_workers(&context.home),
    }
}

/// Workers whose socket answers. One of an ended session answers for some seconds more.
fn count_workers(home: &Home) -> usize {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    let directory = home.runtime.join(runtime::WORKERS_DIR);
    let Ok(handle) = fs::File::open(&directory) else { return 0 };
    let Ok(entries) = fs::read_dir(&directory) else { return 0 };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| UnixStream::connect(baton_proto::home::through(handle.as_raw_fd(), name)).is_ok())
        .count()
}

async fn close_sessions(api: &Api) -> Result<usize, Report> {
    let living = |sessions: Vec<baton_proto::api::Session>| {
        sessions.into_iter().filter(|one| one.status.is_living()).collect::<Vec<_>>()
    };
    let sessions = living(api.sessions().await?);
    let body = CloseRequest { reason: Some("baton down".to_owned()) };
    for session in &sessions {
        match api.post_unit("a session cannot be closed", &terminal(session.id, "close"), &body).await {
            Err(report)
                if report.code() == Some(baton_proto::ErrorCode::SessionEnded)
                    || report.exit_code() == Exit::NotFound as u8 => {}
            result => result?,
        }
    }
    let ended = async {
        while !living(api.sessions().await?).is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    timeout(CLOSE_TIME, ended).await.unwrap_or_else(|_| {
        Err(Report::failed("some sessions do not end").hint("`baton ls` shows them; Baton is left running"))
    })?;
    Ok(sessions.len())
}

/// The launcher's pid, once it is certain that this is our launcher: the lock is held and the process runs our program.
async fn launcher(home: &Home) -> Result<Pid, Report> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(file) = launcher_file(home) {
            let program = fs::read_link(format!("/proc/{}/exe", file.pid)).unwrap_or_default();
            let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // The kernel adds " (deleted)" to a program that an upgrade replaced.
            if name.split(' ').next() == Some("baton-sessiond") && running(home)? {
                return Ok(Pid::from_raw(file.pid));
            }
        }
        // It locks before it writes its file.
        if Instant::now() > deadline {
            return Err(Report::failed("the launcher cannot be found, though its lock is held")
                .why(format!("`{}` names no running launcher", home.runtime.join(runtime::LAUNCHER_FILE).display()))
                .hint("find it with `pgrep -f 'baton-sessiond launcher'`"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
