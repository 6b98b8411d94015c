//! The settings: looking at them, changing them, and what is done with the parts they are about. An owner's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use baton_proto::ErrorCode;
use baton_proto::api::{
    AgentProgram, CliPathPatch, DefaultsPatch, Operational, Problem, Restarting, SessiondState, SessiondStatus,
    Settings, SettingsDefaults,
};
use baton_proto::config::{AgentName, ProgramPath};
use baton_proto::v1::{SettingChange, SettingValue, SettingsSection, Upgradable};
use http::StatusCode;

use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::{Action, Details, Entry};
use crate::clock::rfc3339;
use crate::extract::{Body, Id};
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::settings::{agents, change, environment};
use crate::upstream::sessiond::Link;

/// Longest idle time-out: ten years. More is a mistake.
const IDLE_MAX_S: u64 = 10 * 365 * 86_400;

/// The settings, and how the parts are that they are about.
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings",
    responses((status = 200, body = Settings), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn settings(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Json<Settings>> {
    principal.need(Right::Admin)?;
    Ok(Json(whole(&app).await))
}

/// Changes what is named; `null` takes it out of the file. Comments in the file stay.
#[utoipa::path(
    patch, path = "/v1/settings/defaults", tag = "settings", request_body = DefaultsPatch,
    responses((status = 200, body = Settings), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn patch_defaults(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Body(patch): Body<DefaultsPatch>,
) -> Outcome<Json<Settings>> {
    let revision = patch.expected_revision.clone();
    let changes = of_defaults(patch);
    changed(&app, &principal, revision, changes).await
}

/// Says where an agent's program is; `null` = what its name means in `PATH`.
#[utoipa::path(
    patch, path = "/v1/settings/agents/{agent}/cli-path", tag = "settings",
    params(("agent" = String, Path, description = "its name: a-z, 0-9, `-`, `_`")), request_body = CliPathPatch,
    responses((status = 200, body = Settings), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn patch_cli_path(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(agent): Id<String>,
    Body(patch): Body<CliPathPatch>,
) -> Outcome<Json<Settings>> {
    let changes = agent_name(agent, ErrorCode::Invalid).and_then(|agent| {
        let path = patch.path.map(ProgramPath::try_from).transpose().map_err(Failure::invalid)?;
        let section = SettingsSection::Agent(agent.into());
        let value = path.map(|path| SettingValue::Text(path.into()));
        Ok(vec![SettingChange { section, key: "path".to_owned(), value }])
    });
    changed(&app, &principal, patch.expected_revision, changes).await
}

/// How an agent's program is. It is asked for its version in a confined session, once for each state of its file.
#[utoipa::path(
    get, path = "/v1/settings/agents/{agent}/status", tag = "settings",
    params(("agent" = String, Path, description = "its name")),
    responses(
        (status = 200, body = AgentProgram), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "no session can be started"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "the disk is full"),
    ),
)]
pub async fn agent_status(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(agent): Id<String>,
) -> Outcome<Json<AgentProgram>> {
    principal.need(Right::Admin)?;
    let agent = agent_name(agent, ErrorCode::NotFound)?;
    Ok(Json(agents::status(&app, &principal, &agent).await?))
}

/// Reads the environment of the login shell anew: sessions made from now on start from it.
#[utoipa::path(
    post, path = "/v1/settings/env/reload", tag = "settings",
    responses((status = 200, body = Settings), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn reload_environment(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Json<Settings>> {
    principal.need(Right::Admin)?;
    let reloaded = environment::reload(&app, &principal).await;
    let details = Details::none().list("changed", &["env".to_owned()]);
    app.audit.outcome(Entry::new(&principal, Action::SettingsChange).details(details), &reloaded).await;
    reloaded?;
    Ok(Json(whole(&app).await))
}

/// Whether sessiond answers, and which process it is.
#[utoipa::path(
    get, path = "/v1/settings/sessiond/status", tag = "settings",
    responses((status = 200, body = SessiondStatus), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn sessiond_status(State(app): State<Arc<App>>, Known(principal): Known) -> Outcome<Json<SessiondStatus>> {
    principal.need(Right::Admin)?;
    Ok(Json(of_sessiond(&app).await))
}

/// Ends sessiond and starts the installed version of it. No session notices.
#[utoipa::path(
    post, path = "/v1/settings/sessiond/restart", tag = "settings",
    responses(
        (status = 202, body = Restarting, description = "on its way"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn restart_sessiond(
    State(app): State<Arc<App>>,
    Known(principal): Known,
) -> Outcome<(StatusCode, Json<Restarting>)> {
    let restarted = restart(&app, &principal).await;
    let details = Details::none().text("part", "sessiond");
    app.audit.outcome(Entry::new(&principal, Action::Upgrade).details(details), &restarted).await;
    restarted
}

/// How long a sessiond that is being started may take to be there.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

async fn restart(app: &App, principal: &Principal) -> Outcome<(StatusCode, Json<Restarting>)> {
    principal.need(Right::Admin)?;
    let deadline = Instant::now() + BACK_WITHIN;
    // One that is away is being started: who asks again meanwhile restarts that one.
    let pid = loop {
        match app.sessiond.status().await {
            Err(failure) if failure.code == ErrorCode::SessiondDown && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            status => break status?.pid,
        }
    };
    match app.sessiond.upgrade(Upgradable::Supervisor).await {
        // It went before it could say so.
        Err(failure) if failure.code == ErrorCode::SessiondDown => {}
        asked => drop(asked?),
    }
    Ok((StatusCode::ACCEPTED, Json(Restarting { pid: Some(pid) })))
}

async fn changed(
    app: &App,
    principal: &Principal,
    expected_revision: String,
    changes: Outcome<Vec<SettingChange>>,
) -> Outcome<Json<Settings>> {
    // What it became is no secret, and no business of the log's: it is in the file.
    let named = changes.as_deref().unwrap_or_default();
    let keys: Vec<String> = named.iter().map(|change| format!("{}.{}", section(change), change.key)).collect();
    let done = apply(app, principal, expected_revision, changes).await;
    let details = Details::none().list("changed", &keys).text("revision", &app.settings.now().revision);
    app.audit.outcome(Entry::new(principal, Action::SettingsChange).details(details), &done).await;
    match done {
        Ok(()) => Ok(Json(whole(app).await)),
        Err(failure) if failure.code == ErrorCode::RevisionConflict => {
            Err(Failure { current: Some(Box::new(whole(app).await)), ..failure })
        }
        Err(failure) => Err(failure),
    }
}

async fn apply(
    app: &App,
    principal: &Principal,
    expected_revision: String,
    changes: Outcome<Vec<SettingChange>>,
) -> Outcome<()> {
    principal.need(Right::Admin)?;
    let changes = changes?;
    for one in &changes {
        if let Some(name) = app.settings.is_from_environment(&section(one), &one.key) {
            return Err(Failure::invalid(format!(
                "`{}.{}` is said by `{name}` in the environment that Baton was started with, which the file does not change",
                section(one),
                one.key
            )));
        }
    }
    change(app, expected_revision, changes).await
}

fn section(change: &SettingChange) -> String {
    match &change.section {
        SettingsSection::Defaults => "defaults".to_owned(),
        SettingsSection::Agent(name) => format!("agents.{name}"),
    }
}

fn agent_name(name: String, code: ErrorCode) -> Outcome<AgentName> {
    AgentName::try_from(name).map_err(|why| Failure::new(code, why))
}

fn of_defaults(patch: DefaultsPatch) -> Outcome<Vec<SettingChange>> {
    let DefaultsPatch {
        expected_revision: _,
        terminal_idle_timeout,
        agent,
        terminal_protocol_log,
        terminal_debug_overlay,
    } = patch;
    if terminal_idle_timeout.flatten().is_some_and(|seconds| seconds > IDLE_MAX_S) {
        return Err(Failure::invalid(format!("`terminal_idle_timeout` is from 0 (never) to {IDLE_MAX_S} seconds")));
    }
    if let Some(Some(name)) = &agent {
        agent_name(name.clone(), ErrorCode::Invalid)?;
    }
    let named = [
        ("terminal_idle_timeout", terminal_idle_timeout.map(|value| value.map(SettingValue::Number))),
        ("agent", agent.map(|value| value.map(SettingValue::Text))),
        ("terminal_protocol_log", terminal_protocol_log.map(|value| value.map(SettingValue::Flag))),
        ("terminal_debug_overlay", terminal_debug_overlay.map(|value| value.map(SettingValue::Flag))),
    ];
    let changes: Vec<_> = named
        .into_iter()
        .filter_map(|(key, value)| {
            Some(SettingChange { section: SettingsSection::Defaults, key: key.to_owned(), value: value? })
        })
        .collect();
    if changes.is_empty() {
        return Err(Failure::invalid("nothing is named that is to change"));
    }
    Ok(changes)
}

async fn whole(app: &App) -> Settings {
    let now = app.settings.now();
    let defaults = &now.config.defaults;
    Settings {
        defaults: SettingsDefaults {
            terminal_idle_timeout: defaults.terminal_idle_timeout,
            agent: defaults.agent.as_ref().map(ToString::to_string),
            terminal_protocol_log: defaults.terminal_protocol_log,
            terminal_debug_overlay: defaults.terminal_debug_overlay,
        },
        operational: Operational {
            agents: app.agents.all(&now.config, &app.environment.variables()),
            env: app.environment.status(),
            sessiond: of_sessiond(app).await,
        },
        revision: now.revision.clone(),
        refused: now.refused.clone(),
    }
}

async fn of_sessiond(app: &App) -> SessiondStatus {
    let status = if app.sessiond.link() == Link::Up { app.sessiond.status().await.ok() } else { None };
    match status {
        Some(status) => SessiondStatus {
            status: SessiondState::Up,
            pid: Some(status.pid),
            version: Some(status.version),
            started_at: Some(rfc3339(status.started_us)),
        },
        None => SessiondStatus { status: SessiondState::Down, pid: None, version: None, started_at: None },
    }
}
