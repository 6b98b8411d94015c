//! `baton upgrade`: every process of Baton's is replaced by one of the installed version, while shells run.
//!
//! What is installed lies beside the launcher's program. A process is of that version when it runs that very file: a
//! package manager puts a new file in its place, and whoever runs keeps the old one. One at a time is replaced, the
//! launcher last, because it falls back to its own version when a new one does not serve.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::api::{ServerStatus, Session, UpgradePart, UpgradeRequest, Upgrading};
use baton_proto::ids::SessionId;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::args::UpgradeArgs;
use crate::context::Context;
use crate::launcher::{is_running, reach};
use crate::report::{Exit, Report};
use crate::table::{layout, shorten};
use crate::{launcher, out};

/// How long a program may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(10);
/// What of its answer is read.
const VERSION_BYTES_MAX: u64 = 256;
/// How long until somebody serves again: the new version has 5 s, then the old one starts.
const SERVE_TIME: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// As [`SERVE_TIME`], for a worker: the next one has 5 s to get ready, the one before to come to an end, the next to serve.
const WORKER_TIME: Duration = Duration::from_secs(25);

const SESSIOND: &str = "baton-sessiond";
const BRIDGE: &str = "baton-bridge";

/// Which file a process runs, or a name means: device and inode.
type FileId = (u64, u64);

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It runs what is installed.
    Current,
    /// It is to be replaced.
    Outdated,
    /// It was replaced by the installed version.
    Replaced,
    /// The version before goes on.
    Kept,
    /// The session ended meanwhile, and its worker with it.
    Ended,
}

/// One process.
#[derive(Debug, Serialize)]
struct Part {
    part: UpgradePart,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    pid: u32,
    version: Option<String>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `baton upgrade --json`
#[derive(Debug, Serialize)]
struct Plan {
    directory: PathBuf,
    version: String,
    parts: Vec<Part>,
}

/// Replaces what is not of the installed version.
pub async fn run(context: &Context, args: &UpgradeArgs) -> Result<u8, Report> {
    if !is_running(&context.home)? {
        return Err(Report::new(Exit::Unreachable, "Baton is not running, so there is nothing to replace")
            .hint("`baton up` starts the installed version, and sessions that live on are found by it"));
    }
    reach(&context.home).await?;
    let api = Api::of_running(context)?;
    let installed = Installed::find(context).await?;
    let mut plan = plan(&api, installed, args.force).await?;
    if args.dry_run {
        show(&plan, args.json)?;
        return Ok(0);
    }
    let outdated = plan.parts.iter().filter(|part| part.state == State::Outdated).count();
    for (at, part) in plan.parts.iter_mut().filter(|part| part.state == State::Outdated).enumerate() {
        if !args.json {
            out::remark(&format!("{}/{outdated} {}", at + 1, name(part)));
        }
        replace(&api, part, &plan.directory).await;
    }
    show(&plan, args.json)?;
    Ok(u8::from(plan.parts.iter().any(|part| part.state == State::Kept)))
}

/// What lies beside the launcher's program.
struct Installed {
    directory: PathBuf,
    version: String,
}

impl Installed {
    /// Looks, and has both programs say their version: one that can't even do that is not tried on anybody.
    async fn find(context: &Context) -> Result<Self, Report> {
        let unknown = || Report::failed("where Baton is installed cannot be found out");
        let Some(pid) = launcher::pid(&context.home).await? else {
            return Err(unknown().why("the launcher has just ended"));
        };
        let program = fs::read_link(format!("/proc/{pid}/exe")).map_err(|err| unknown().why(err))?;
        let directory = program.parent().map(Path::to_owned).ok_or_else(unknown)?;
        let version = says_version(&directory.join(SESSIOND)).await?;
        says_version(&directory.join(BRIDGE)).await?;
        Ok(Self { directory, version })
    }
}

async fn says_version(program: &Path) -> Result<String, Report> {
    let bad = || {
        Report::failed(format!("the installed `{}` does not work; nothing was changed", program.display()))
            .hint("install Baton again, then `baton upgrade`")
    };
    version_of(program).await.map_err(|why| bad().why(why))
}

async fn version_of(program: &Path) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|err| err.to_string())?;
    let deadline = Instant::now() + VERSION_TIME;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
            outcome => {
                // Whatever it is, it is not left running; one that is gone already needs no signal.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(err) => err.to_string(),
                    Ok(_) => format!("`--version` was not answered in {} s", VERSION_TIME.as_secs()),
                });
            }
        }
    };
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(VERSION_BYTES_MAX).read_to_end(&mut text).map_err(|err| err.to_string())?;
    }
    match String::from_utf8_lossy(&text).split_ascii_whitespace().nth(1) {
        Some(version) if status.success() => Ok(version.to_owned()),
        _ => Err(format!("`--version` ended with {status}")),
    }
}

fn file_id(path: impl AsRef<Path>) -> Option<FileId> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn runs(pid: u32) -> Option<FileId> {
    file_id(format!("/proc/{pid}/exe"))
}

const fn program_of(part: UpgradePart) -> &'static str {
    match part {
        UpgradePart::Bridge => BRIDGE,
        UpgradePart::Launcher | UpgradePart::Sessiond | UpgradePart::Worker => SESSIOND,
    }
}

async fn plan(api: &Api, installed: Installed, force: bool) -> Result<Plan, Report> {
    let status = api.status().await?;
    let sessions = api.sessions().await?;
    let (Some(sessiond), Some(launcher)) = (&status.sessiond, &status.launcher) else {
        return Err(Report::new(Exit::Unreachable, "sessiond does not answer, and it has to have the others replaced")
            .hint("`baton status`; its log is `logs/sessiond.log`"));
    };
    let mut found = vec![(UpgradePart::Bridge, None, status.bridge.pid), (UpgradePart::Sessiond, None, sessiond.pid)];
    let living = sessions.iter().filter(|session| session.status.is_living());
    found.extend(living.filter_map(|session| Some((UpgradePart::Worker, Some(session), session.worker_pid?))));
    found.push((UpgradePart::Launcher, None, launcher.pid));
    let mut versions: Vec<(FileId, Option<String>)> = Vec::new();
    let mut parts = Vec::new();
    for (part, session, pid) in found {
        let running = runs(pid);
        let version = match running {
            Some(id) => match versions.iter().find(|(known, _)| *known == id) {
                Some((_, version)) => version.clone(),
                None => {
                    // The file may be gone; the process still has it.
                    let version = version_of(Path::new(&format!("/proc/{pid}/exe"))).await.ok();
                    versions.push((id, version.clone()));
                    version
                }
            },
            None => None,
        };
        let current = running.is_some() && running == file_id(installed.directory.join(program_of(part)));
        parts.push(Part {
            part,
            session_id: session.map(|session: &Session| session.id),
            title: session.map(|session| session.title.clone()),
            pid,
            version,
            state: if current && !force { State::Current } else { State::Outdated },
            detail: None,
        });
    }
    Ok(Plan { directory: installed.directory, version: installed.version, parts })
}

fn name(part: &Part) -> String {
    let what = match part.part {
        UpgradePart::Launcher => "launcher",
        UpgradePart::Sessiond => "sessiond",
        UpgradePart::Bridge => "bridge",
        UpgradePart::Worker => "worker",
    };
    part.title.as_ref().map_or_else(|| what.to_owned(), |title| format!("{what} of {}", shorten(title, 30)))
}

/// Replaces one, and notes what became of it.
async fn replace(api: &Api, part: &mut Part, directory: &Path) {
    let request = UpgradeRequest { part: part.part, session_id: part.session_id };
    let outcome = match part.part {
        UpgradePart::Worker => {
            let what = "the worker was not replaced";
            let answer: Result<Upgrading, Report> = api.post_within(what, "/v1/upgrade", &request, WORKER_TIME).await;
            if let Err(report) = &answer
                && matches!(report.code(), Some(ErrorCode::SessionEnded | ErrorCode::NotFound))
            {
                part.state = State::Ended;
                return;
            }
            answer.map(|answer| answer.worker_pid.unwrap_or(part.pid)).map_err(|report| report.reason().to_owned())
        }
        _ => match api.post_unit("it was not replaced", "/v1/upgrade", &request).await {
            Ok(()) => next_pid(api, part).await,
            Err(report) => Err(report.reason().to_owned()),
        },
    };
    match outcome {
        Ok(pid)
            if pid != part.pid
                && runs(pid).is_some_and(|id| Some(id) == file_id(directory.join(program_of(part.part)))) =>
        {
            (part.state, part.pid) = (State::Replaced, pid);
        }
        Ok(pid) => {
            part.state = State::Kept;
            part.pid = pid;
            part.detail = Some(format!(
                "the installed version did not serve, the one before does; `logs/{}.log` says why",
                match part.part {
                    UpgradePart::Worker => "workers",
                    UpgradePart::Launcher => "launcher",
                    UpgradePart::Sessiond => "sessiond",
                    UpgradePart::Bridge => "bridge",
                }
            ));
        }
        Err(why) => (part.state, part.detail) = (State::Kept, Some(why)),
    }
}

/// Who serves in the place of a service. Of a launcher that stays, nothing is heard.
async fn next_pid(api: &Api, part: &Part) -> Result<u32, String> {
    let deadline = Instant::now() + SERVE_TIME;
    let serves = |status: &ServerStatus| match part.part {
        UpgradePart::Bridge => Some(status.bridge.pid),
        UpgradePart::Sessiond => status.sessiond.as_ref().map(|process| process.pid),
        UpgradePart::Launcher | UpgradePart::Worker => status.launcher.as_ref().map(|process| process.pid),
    };
    let mut last = Some(part.pid);
    // A launcher that has not gone within the time the next one has stays.
    let patience = Instant::now() + Duration::from_secs(7);
    while Instant::now() < deadline {
        if let Ok(status) = api.status().await {
            last = serves(&status);
            if last.is_some_and(|pid| pid != part.pid) {
                break;
            }
        }
        if part.part == UpgradePart::Launcher && Instant::now() > patience {
            break;
        }
        sleep(LOOK_AGAIN).await;
    }
    last.ok_or_else(|| "nobody serves in its place; `baton status` shows what runs".to_owned())
}

fn show(plan: &Plan, json: bool) -> Result<(), Report> {
    if json {
        return out::json(plan);
    }
    out::line(&format!("Installed: {} in {}", plan.version, plan.directory.display()))?;
    let rows: Vec<Vec<String>> = plan
        .parts
        .iter()
        .map(|part| {
            let state = match part.state {
                State::Current => "is of this version",
                State::Outdated => "would be replaced",
                State::Replaced => "replaced",
                State::Kept => "kept",
                State::Ended => "ended meanwhile",
            };
            let version = part.version.clone().unwrap_or_else(|| "?".to_owned());
            let state = part.detail.as_ref().map_or_else(|| state.to_owned(), |detail| format!("{state}: {detail}"));
            vec![name(part), part.pid.to_string(), version, state]
        })
        .collect();
    out::bytes(layout(&["PROCESS", "PID", "WAS", "STATE"], &rows).as_bytes())?;
    if plan.parts.iter().any(|part| part.state == State::Kept) {
        out::line("What was kept speaks with what is new; no session was touched. `baton upgrade` tries again.")?;
    }
    Ok(())
}
