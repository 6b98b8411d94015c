//! `baton down`: an orderly stop of Baton's processes. Shells live on unless `--sessions` closes them first.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use baton_proto::api::CloseRequest;
use baton_proto::home::{Home, runtime, state, through};
use nix::sys::signal::{Signal, kill};
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Api, terminal};
use crate::args::DownArgs;
use crate::context::Context;
use crate::launcher::{self, is_running, reach};
use crate::out;
use crate::report::{Exit, Report};

/// The launcher gives its children 5 s before it kills them; this is that and some more.
const STOP_TIME: Duration = Duration::from_secs(15);

/// How long none of the sessions that were asked to may end.
const CLOSE_TIME: Duration = Duration::from_secs(15);

/// How long the last workers may take to leave.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// How long the bridge may take to say how many sessions there are.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Stops Baton.
pub async fn run(context: &Context, args: &DownArgs) -> Result<u8, Report> {
    let home = &context.home;
    if !is_running(home)? {
        let living = count_workers(home);
        if args.sessions && living != Living::None {
            // Somebody has to ask the workers to close.
            Api::open(context).await?;
        } else {
            out::line(&format!("Baton is not running.{}", live_on(living)))?;
            return Ok(0);
        }
    }
    let closed = if args.sessions { close_sessions(&Api::open(context).await?).await? } else { 0 };
    // So that whoever lives on can be counted, and found by the next `up`. It stops without that too.
    let _ = reach(home).await;
    let left = count_living(context).await;
    let Some(pid) = launcher::pid(home).await? else {
        out::line(&format!("Baton is stopped.{}", live_on(left)))?;
        return Ok(0);
    };
    kill(pid, Signal::SIGTERM)
        .map_err(|errno| Report::failed(format!("the launcher (pid {pid}) cannot be stopped")).why(errno))?;
    let deadline = Instant::now() + STOP_TIME;
    while is_running(home)? {
        if Instant::now() > deadline {
            return Err(Report::failed(format!("the launcher (pid {pid}) does not end"))
                .hint(format!("its log is `{}`", home.logs_dir().join("launcher.log").display())));
        }
        sleep(Duration::from_millis(10)).await;
    }
    if args.sessions && left == Living::Sessions(0) {
        sweep(home).await;
    }
    let sessions = if closed > 0 { format!(" {closed} {} closed.", plural(closed)) } else { String::new() };
    out::line(&format!("Baton is stopped: bridge, sessiond and launcher.{sessions}{}", live_on(left)))?;
    Ok(0)
}

/// What goes on without Baton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Living {
    /// Nothing.
    None,
    /// So many sessions.
    Sessions(usize),
    /// Sessions that only their keeper knows.
    Some,
}

fn live_on(living: Living) -> String {
    match living {
        Living::None | Living::Sessions(0) => String::new(),
        Living::Sessions(1) => {
            " 1 session lives on; `baton up` finds it again, `baton ls --parked` shows it.".to_owned()
        }
        Living::Sessions(many) => {
            format!(" {many} sessions live on; `baton up` finds them again, `baton ls --parked` shows them.")
        }
        Living::Some => " Sessions live on; `baton up` finds them again.".to_owned(),
    }
}

const fn plural(sessions: usize) -> &'static str {
    if sessions == 1 { "session" } else { "sessions" }
}

/// How many sessions go on. The bridge knows; if it does not answer, their sockets tell.
async fn count_living(context: &Context) -> Living {
    let asked = async { Api::of_running(context)?.sessions().await };
    match timeout(ANSWER_TIME, asked).await {
        Ok(Ok(sessions)) => Living::Sessions(sessions.iter().filter(|one| one.status.is_living()).count()),
        _ => count_workers(&context.home),
    }
}

/// Workers whose socket answers. One of an ended session answers for some seconds more.
fn count_workers(home: &Home) -> Living {
    let directory = home.runtime.join(runtime::WORKERS_DIR);
    let names = fs::read_dir(&directory).into_iter().flatten();
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    match names.filter(|name| dial(&directory, name).is_ok()).count() {
        0 if has_keeper(home) => Living::Some,
        0 => Living::None,
        many => Living::Sessions(many),
    }
}

/// Whether a stopped launcher left a keeper. It keeps message boundaries: a stream is refused by the kernel for its type,
/// which tells that somebody listens and does not disturb him.
fn has_keeper(home: &Home) -> bool {
    [&home.state, &home.runtime].into_iter().any(|directory| {
        dial(directory, state::KEEPER_SOCKET)
            .is_err_and(|err| err.raw_os_error() == Some(nix::errno::Errno::EPROTOTYPE as i32))
    })
}

/// Removes the sockets that were left, of ended workers and of Baton's own. One that somebody listens on is somebody's.
async fn sweep(home: &Home) {
    let deadline = Instant::now() + LEAVE_TIME;
    // The workers of what has just ended leave when they notice that the launcher has.
    while !swept(home) && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether nobody listens any more.
fn swept(home: &Home) -> bool {
    let mut all = true;
    let workers = home.runtime.join(runtime::WORKERS_DIR);
    let names = fs::read_dir(&workers).into_iter().flatten();
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let own = [runtime::BRIDGE_SOCKET, runtime::SESSIOND_SOCKET].map(|name| (home.runtime.as_path(), name.to_owned()));
    for (directory, name) in names.map(|name| (workers.as_path(), name)).chain(own) {
        match dial(directory, &name) {
            Ok(_) => all = false,
            // Whoever starts next would do it.
            Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => drop(fs::remove_file(directory.join(&name))),
            Err(_) => {}
        }
    }
    all
}

fn dial(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let directory = fs::File::open(directory)?;
    UnixStream::connect(through(directory.as_raw_fd(), name))
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
    // A thousand take their time; that one after the other ends shows that they do.
    let (mut left, mut ended_at) = (sessions.len(), Instant::now());
    loop {
        let now = living(api.sessions().await?).len();
        if now == 0 {
            break;
        }
        if now < left {
            (left, ended_at) = (now, Instant::now());
        } else if ended_at.elapsed() > CLOSE_TIME {
            return Err(Report::failed(format!(
                "{left} {} not end",
                if left == 1 { "session does" } else { "sessions do" }
            ))
            .hint("`baton ls` shows them; Baton is left running"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(sessions.len())
}
