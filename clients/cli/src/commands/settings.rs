//! `baton settings`: what may change while Baton runs.

use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{
    AgentProgram, AgentProgramStatus, CliPathPatch, DefaultsPatch, Restarting, SessiondState, SessiondStatus, Settings,
};

use crate::api::Api;
use crate::args::{JsonArgs, SettingKey, SettingsCommand};
use crate::context::Context;
use crate::report::{Report, clean, clean_line};
use crate::{moment, out, table, time};

/// A change of one setting is meant whatever else changes meanwhile: so often it is tried again.
const TRIES: usize = 10;
/// A program that is asked for its version, or a login shell, may take its time.
const SLOW: Duration = Duration::from_secs(45);
/// How long the next sessiond may take.
const RESTART: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Shows or changes them.
pub async fn run(context: &Context, command: Option<SettingsCommand>, show: JsonArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    match command.unwrap_or(SettingsCommand::Show(show)) {
        SettingsCommand::Show(JsonArgs { json }) => {
            let settings = all(&api).await?;
            if json { out::json(&settings)? } else { tell(context, &settings)? }
        }
        SettingsCommand::Set { key, value } => set(&api, key, Some(value)).await?,
        SettingsCommand::Unset { key } => set(&api, key, None).await?,
        SettingsCommand::Agent { name, path, no_path, json } => {
            let name = match name {
                Some(name) => name,
                None => all(&api).await?.defaults.agent.ok_or_else(|| {
                    Report::usage(
                        "which agent? `baton settings set agent NAME` says which is meant where none is named",
                    )
                })?,
            };
            let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !known {
                return Err(Report::usage("an agent's name has a-z, 0-9, `-` and `_`"));
            }
            if path.is_some() || no_path {
                let place = format!("/v1/settings/agents/{name}/cli-path");
                let body = |expected_revision| CliPathPatch { expected_revision, path: path.clone() };
                change(&api, &place, body).await?;
            }
            let path = format!("/v1/settings/agents/{name}/status");
            let program: AgentProgram = api.get_within("the agent's program cannot be tried", &path, SLOW).await?;
            let ready = program.status == AgentProgramStatus::Ready;
            if json {
                out::json(&program)?
            } else {
                out::line(&in_a_line(&program))?
            }
            return Ok(u8::from(!ready));
        }
        SettingsCommand::Env { reload, json } => env(&api, reload, json).await?,
        SettingsCommand::Sessiond { restart, json } => sessiond(&api, restart, json).await?,
    }
    Ok(0)
}

async fn all(api: &Api) -> Result<Settings, Report> {
    api.get("the settings cannot be read", "/v1/settings").await
}

/// Changes what is named, of the state that there is now.
async fn change<T: serde::Serialize>(api: &Api, path: &str, body: impl Fn(String) -> T) -> Result<Settings, Report> {
    let what = "the setting was not changed";
    let mut tries = 0;
    loop {
        let revision = all(api).await?.revision;
        tries += 1;
        match api.patch_for(what, path, &body(revision)).await {
            Err(report) if report.code() == Some(ErrorCode::RevisionConflict) && tries < TRIES => {}
            answer => return answer,
        }
    }
}

async fn set(api: &Api, key: SettingKey, value: Option<String>) -> Result<(), Report> {
    let patch = patch(key, value)?;
    change(api, "/v1/settings/defaults", |expected_revision| DefaultsPatch { expected_revision, ..patch.clone() })
        .await
        .map(drop)
}

fn patch(key: SettingKey, value: Option<String>) -> Result<DefaultsPatch, Report> {
    let mut patch = DefaultsPatch::default();
    match key {
        SettingKey::TerminalIdleTimeout => {
            let seconds = value.map(|text| {
                text.parse::<u64>()
                    .map_err(|_| Report::usage(format!("`{}` is no number of seconds; 0 is never", clean_line(&text))))
            });
            patch.terminal_idle_timeout = Some(seconds.transpose()?);
        }
        SettingKey::Agent => patch.agent = Some(value),
        SettingKey::TerminalProtocolLog => patch.terminal_protocol_log = Some(value.map(switch).transpose()?),
        SettingKey::TerminalDebugOverlay => patch.terminal_debug_overlay = Some(value.map(switch).transpose()?),
    }
    Ok(patch)
}

/// As people say it, and as the file does.
fn switch(text: String) -> Result<bool, Report> {
    match text.as_str() {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(Report::usage(format!("`{}` is neither `on` nor `off`", clean_line(&text)))),
    }
}

fn tell(context: &Context, settings: &Settings) -> Result<(), Report> {
    let defaults = &settings.defaults;
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "\u{2013}".to_owned(), clean_line);
    let idle = match defaults.terminal_idle_timeout {
        0 => "never".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let log = match defaults.terminal_protocol_log {
        true => format!("on, in {}", context.home.protocol_logs_dir().display()),
        false => on(false),
    };
    let rows = [
        ("terminal_idle_timeout", idle),
        ("agent", text(&defaults.agent)),
        ("terminal_protocol_log", log),
        ("terminal_debug_overlay", on(defaults.terminal_debug_overlay)),
    ];
    out::line(&format!("defaults, of {}", context.home.config_file().display()))?;
    for (name, value) in rows {
        out::line(&format!("  {name:<24} {value}"))?;
    }
    if let Some(why) = &settings.refused {
        out::line("  The file as it is now is not valid; what was in force before holds:")?;
        out::line(&format!("  {}", clean(why).trim_end().replace('\n', "\n  ")))?;
    }
    let operational = &settings.operational;
    out::line("\nagents")?;
    if operational.agents.is_empty() {
        out::line("  none found; `baton settings agent NAME --path PATH` says where one is")?;
    }
    let rows: Vec<Vec<String>> =
        operational.agents.iter().map(|(name, program)| vec![clean_line(name), in_a_line(program)]).collect();
    for line in table::layout(&["", ""], &rows).lines().skip(1) {
        out::line(&format!("  {}", line.trim_end()))?;
    }
    let env = &operational.env;
    let since = env.reloaded_at.as_deref().map_or_else(
        || "as Baton was started".to_owned(),
        |at| format!("read from the login shell {}", moment::local(at)),
    );
    out::line(&format!("\nenvironment\n  {} variables, {since}", env.names.len()))?;
    out::line(&format!("\nsessiond\n  {}", of_sessiond(&operational.sessiond)))
}

fn in_a_line(program: &AgentProgram) -> String {
    let path = program.path.as_deref().map(clean_line).unwrap_or_default();
    let detail = program.detail.as_deref().map(clean_line).unwrap_or_default();
    match program.status {
        AgentProgramStatus::Ready => {
            format!("{path}: {}", program.version.as_deref().map(clean_line).unwrap_or_default())
        }
        AgentProgramStatus::Found => format!("{path} (not tried yet)"),
        AgentProgramStatus::NotFound if path.is_empty() => "not found in PATH".to_owned(),
        AgentProgramStatus::NotFound => format!("{path}: not there"),
        AgentProgramStatus::NotExecutable => format!("{path}: no program (not executable)"),
        AgentProgramStatus::Failed => format!("{path}: does not run: {detail}"),
    }
}

fn of_sessiond(status: &SessiondStatus) -> String {
    let (SessiondState::Up, Some(pid)) = (status.status, status.pid) else {
        return "does not answer; its launcher starts it again".to_owned();
    };
    let version = status.version.as_deref().map(clean_line).unwrap_or_default();
    let age = status.started_at.as_deref().map(|at| time::age(at, time::now()));
    format!("{version} runs as {pid}{}", age.map_or_else(String::new, |age| format!(", for {age}")))
}

async fn env(api: &Api, reload: bool, json: bool) -> Result<(), Report> {
    let settings: Settings = if reload {
        let what = "the environment was not read";
        api.post_within(what, "/v1/settings/env/reload", &serde_json::json!({}), SLOW).await?
    } else {
        all(api).await?
    };
    let env = &settings.operational.env;
    if json {
        return out::json(env);
    }
    for name in &env.names {
        out::line(&clean_line(name))?;
    }
    Ok(())
}

async fn sessiond(api: &Api, restart: bool, json: bool) -> Result<(), Report> {
    let path = "/v1/settings/sessiond/status";
    let what = "sessiond's state cannot be read";
    let mut status: SessiondStatus = api.get(what, path).await?;
    if restart {
        let what = "sessiond was not restarted";
        let before: Restarting = api.post(what, "/v1/settings/sessiond/restart", &serde_json::json!({})).await?;
        let patience = Instant::now() + RESTART;
        loop {
            status = api.get(what, path).await?;
            if status.status == SessiondState::Up && status.pid != before.pid {
                break;
            }
            if Instant::now() > patience {
                return Err(Report::failed(what)
                    .why(format!("no other one serves after {} s", RESTART.as_secs()))
                    .hint("`baton status` and the launcher's log say more"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    if json { out::json(&status) } else { out::line(&of_sessiond(&status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_setting_takes() {
        let idle = patch(SettingKey::TerminalIdleTimeout, Some("60".to_owned())).unwrap();
        assert_eq!(idle.terminal_idle_timeout, Some(Some(60)));
        assert_eq!(patch(SettingKey::Agent, None).unwrap().agent, Some(None));
        assert!(patch(SettingKey::TerminalIdleTimeout, Some("soon".to_owned())).is_err());
        let on = patch(SettingKey::TerminalProtocolLog, Some("on".to_owned())).unwrap();
        assert_eq!((on.terminal_protocol_log, on.terminal_debug_overlay), (Some(Some(true)), None));
        let off = patch(SettingKey::TerminalDebugOverlay, Some("false".to_owned())).unwrap();
        assert_eq!((off.terminal_protocol_log, off.terminal_debug_overlay), (None, Some(Some(false))));
        assert_eq!(patch(SettingKey::TerminalDebugOverlay, None).unwrap().terminal_debug_overlay, Some(None));
        assert!(patch(SettingKey::TerminalProtocolLog, Some("yes please".to_owned())).is_err());
    }
}
