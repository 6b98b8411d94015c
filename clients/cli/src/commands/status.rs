//! `baton status`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use baton_proto::api::{
    LauncherStatus, LayerStatus, ProcessConfinement, ProcessStatus, ServerStatus, SessionCounts, Survey,
};
use baton_proto::home::{Home, runtime};
use serde::Serialize;
use tokio::time::timeout;

use crate::api::Api;
use crate::context::Context;
use crate::launcher::{is_running, launcher_file, reach};
use crate::report::{Exit, Report};
use crate::{out, parked, time};

/// How long the bridge may take to answer before it counts as absent.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// `baton status --json`: what does not run is null. While Baton is stopped, `sessions` is what was found without it.
#[derive(Debug, Serialize)]
struct Status {
    url: Option<String>,
    socket: String,
    token_file: String,
    home: String,
    versions: BTreeMap<String, String>,
    bridge: Option<ProcessStatus>,
    sessiond: Option<ProcessStatus>,
    launcher: Option<LauncherStatus>,
    sessions: Option<SessionCounts>,
    /// What does not work although Baton runs: `sessiond`, `database`.
    failing: Vec<String>,
    /// What Baton's own processes can't do any more.
    confinement: Vec<ProcessConfinement>,
}

/// Shows Baton's processes; starts nothing.
pub async fn run(context: &Context, json: bool) -> Result<u8, Report> {
    let running = is_running(&context.home)?;
    let (server, trouble) = if running { ask(context).await } else { (None, None) };
    let mut status = assemble(&context.home, running, server);
    // To be told what runs on is worth a look at the disk; not to be told is no reason to say nothing.
    let survey = if running { None } else { parked::survey().ok() };
    status.sessions = survey.as_ref().map(parked_counts).or(status.sessions);
    if json {
        out::json(&status)?;
        return trouble.map_or(Ok(0), Err);
    }
    if !running {
        out::line("Baton is not running.")?;
        out::line(&format!("  home      {}", status.home))?;
        if let Some(survey) = survey.filter(|survey| !survey.parked.is_empty()) {
            out::line(&format!("  sessions  {}", running_on(survey.parked.len())))?;
        }
        out::line("  start it with `baton up`")?;
        return Ok(0);
    }
    out::line(&describe(&status))?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    Ok(0)
}

fn parked_counts(survey: &Survey) -> SessionCounts {
    let parked = u32::try_from(survey.parked.len()).unwrap_or(u32::MAX);
    SessionCounts { running: 0, parked, lost: survey.lost }
}

fn running_on(sessions: usize) -> String {
    let (what, they) = if sessions == 1 { ("1 runs on", "it") } else { ("run on", "them") };
    let what = if sessions == 1 { what.to_owned() } else { format!("{sessions} {what}") };
    format!("{what}: `baton ls --parked` shows {they}, `baton down --sessions` ends {they}")
}

async fn ask(context: &Context) -> (Option<ServerStatus>, Option<Report>) {
    if let Err(report) = reach(&context.home).await {
        return (None, Some(report));
    }
    let asked = async { Api::of_running(context)?.status().await };
    match timeout(ANSWER_TIME, asked).await {
        Ok(Ok(status)) => (Some(status), None),
        Ok(Err(report)) => (None, Some(report)),
        Err(_) => (
            None,
            Some(Report::new(Exit::Unreachable, "the bridge does not answer").hint(format!(
                "its log is `{}`; `baton down` and `baton up` restart everything but the shells",
                context.home.logs_dir().join("bridge.log").display()
            ))),
        ),
    }
}

fn assemble(home: &Home, running: bool, server: Option<ServerStatus>) -> Status {
    let path = |path: &Path| path.display().to_string();
    let launcher = if running { launcher_file(home) } else { None };
    let mut status = Status {
        url: launcher.as_ref().map(|launcher| format!("http://{}", launcher.listen)),
        socket: path(&home.runtime.join(runtime::BRIDGE_SOCKET)),
        token_file: path(&home.token_file()),
        home: std::env::var("BATON_HOME")
            .ok()
            .filter(|home| Path::new(home).is_absolute())
            .unwrap_or_else(|| path(&home.state)),
        versions: BTreeMap::new(),
        bridge: None,
        sessiond: None,
        launcher: launcher.and_then(|launcher| u32::try_from(launcher.pid).ok()).map(|pid| LauncherStatus { pid }),
        sessions: None,
        failing: Vec::new(),
        confinement: Vec::new(),
    };
    if let Some(server) = server {
        status.url = Some(server.url);
        status.versions = server.versions;
        status.bridge = Some(server.bridge);
        status.sessiond = server.sessiond;
        status.launcher = server.launcher.or(status.launcher);
        status.sessions = Some(server.sessions);
        status.failing = server.failing;
        status.confinement = server.confinement;
    }
    status.versions.insert("cli".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    status
}

/// A line a process, and one more for what is missing where it could be there.
fn confined(confinement: &[ProcessConfinement]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in confinement {
        let label = if lines.is_empty() { "confined" } else { "" };
        let launcher = one.process == "launcher";
        // It can't be: what it starts inherits it.
        let layers = match super::doctor::layers(&one.layers) {
            _ if launcher && one.layers.iter().all(|layer| layer.status == LayerStatus::Absent) => {
                "not: what it starts may become root, by `sudo` for instance".to_owned()
            }
            layers => layers,
        };
        lines.push(format!("  {label:<8}  {:<9} {layers}", one.process));
        for layer in one.missing().filter(|_| !launcher) {
            lines.push(format!("  {:20} {}: {}", "", layer.name, layer.detail.as_deref().unwrap_or("not enforced")));
        }
    }
    lines
}

fn describe(status: &Status) -> String {
    let now = time::now();
    let process = |process: &Option<ProcessStatus>| match process {
        Some(process) => format!("pid {}, up {}", process.pid, time::age(&process.started_at, now)),
        None => "does not answer".to_owned(),
    };
    let mut lines = vec![
        format!("Baton runs at {}", status.url.as_deref().unwrap_or("?")),
        format!("  bridge    {}", process(&status.bridge)),
        format!("  sessiond  {}", process(&status.sessiond)),
        format!(
            "  launcher  {}",
            status.launcher.as_ref().map_or_else(|| "?".to_owned(), |launcher| format!("pid {}", launcher.pid))
        ),
    ];
    if let Some(sessions) = &status.sessions {
        lines.push(format!(
            "  sessions  {} running, {} parked, {} lost",
            sessions.running, sessions.parked, sessions.lost
        ));
    }
    if status.failing.iter().any(|what| what == "database") {
        lines.push("  database  fails: history is kept in memory only; `logs/bridge.log` says why".to_owned());
    }
    lines.extend(confined(&status.confinement));
    lines.push(format!("  socket    {}", status.socket));
    lines.push(format!("  token     {}", status.token_file));
    lines.push(format!("  home      {}", status.home));
    let versions: Vec<String> = status.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    lines.push(format!("  versions  {}", versions.join(", ")));
    lines.join("\n")
}
