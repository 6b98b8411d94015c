//! `POST /v1/terminal/sessions`: create, or resume by `terminal_id`.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{AwaitingApproval, CreateTerminal, Created, Problem};
use baton_proto::hidden::is_hidden;
use baton_proto::ids::{InstanceId, SessionId};
use baton_proto::spec::{Profile, SessionKind, SessionSpec};
use baton_proto::v1::{Class, Dimensions, SizePolicy};
use http::StatusCode;
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::approvals::{WaitQuery, awaiting};
use super::confine::{self, Confinement};
use super::sessions::{check_labels, policy};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::approval::context::wants_more;
use crate::approval::gate::{Gate, Permit, gate};
use crate::approval::gated::{Gated, is_unconfined};
use crate::audit::{Action, Details, Entry};
use crate::clock;
use crate::extract::{Body, Filter, IdempotencyKey};
use crate::gate::Known;
use crate::hub::session::Session;
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::store::sessions::{SessionRow, Surroundings};

/// Characters of a title.
const TITLE_CHARS_MAX: usize = 120;
/// Bytes of a `terminal_id`.
const TERMINAL_ID_BYTES_MAX: usize = 256;
/// Size of a terminal nobody looks at yet.
const SIZE_DEFAULT: Dimensions = Dimensions { cols: 80, rows: 24 };
/// Seconds without output, input and client until an agent's terminal closes.
const AGENT_IDLE_TIMEOUT_S: u64 = 86_400;

/// Checks a title as people give it.
pub(super) fn check_title(title: &str) -> Outcome<String> {
    let title = title.trim();
    if title.is_empty() || title.chars().count() > TITLE_CHARS_MAX || title.chars().any(is_hidden) {
        return Err(Failure::invalid(
            "a title has 1 to 120 characters, and none that can't be seen (controls, formats)",
        ));
    }
    // `baton attach NAME` takes ids and names: a name that looks like an id could hide a session.
    if title.parse::<SessionId>().is_ok() {
        return Err(Failure::invalid("a title must not look like a session id"));
    }
    Ok(title.to_owned())
}

/// Starts a terminal session, or returns the living one with this `(workspace_id, terminal_id)`. Persons share their keys, and an agent's
/// are its own: a person's request never resumes what an agent made, nor an agent's what it neither made nor was given.
#[utoipa::path(
    post, path = "/v1/terminal/sessions", tag = "terminal", params(WaitQuery), request_body = CreateTerminal,
    responses(
        (status = 201, body = Created, description = "started"),
        (status = 200, body = Created, description = "it was there already"),
        (status = 202, body = AwaitingApproval, description = "a person is asked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "the disk is full"),
    ),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Filter(query): Filter<WaitQuery>,
    key: IdempotencyKey,
    Body(request): Body<CreateTerminal>,
) -> Outcome<Response> {
    if let Err(failure) = principal.need(Right::Control) {
        app.audit.refused(Entry::new(&principal, Action::SessionCreate), failure.code).await;
        return Err(failure);
    }
    if request.record_input == Some(true) {
        principal.need_record_input()?;
    }
    app.sessiond.listed().await?;
    let one_at_a_time = one_at_a_time(&app, &request).await?;
    if let Some(session) = resumed(&app, &principal, &request)? {
        return Ok(Json(created(&session, false)).into_response());
    }
    let permit = match judged(&app, &principal, &request)? {
        Some(gated) => match gate(&app, &principal, gated, key.0).await? {
            Gate::Go(permit) => Some(permit),
            Gate::Asked(row) => {
                // Whoever waits for a person keeps nobody else waiting.
                drop(one_at_a_time);
                return awaiting(&app, &principal, &row, &query).await;
            }
        },
        None => None,
    };
    let session = start_recorded(&app, &principal, request, permit.as_ref(), app.environment.variables()).await?;
    Ok((StatusCode::CREATED, Json(created(&session, true))).into_response())
}

/// What of a new session the policy judges: that an agent's is not confined, what it is granted that the agent does not have, and the
/// program that it begins with. A login shell does what is typed into it, which is asked about by itself.
fn judged(app: &App, principal: &Principal, request: &CreateTerminal) -> Outcome<Option<Gated>> {
    if principal.class() == Class::Agent && is_unconfined(request) {
        // What would be refused anyway is asked of nobody.
        confine::may_be_unconfined(request, &app.options.config.sandbox)?;
        return Ok(Some(Gated::Unsandboxed(Box::new(request.clone()))));
    }
    if let Some(command) = &request.command {
        check_command(command)?;
    } else if principal.class() != Class::Agent {
        return Ok(None);
    }
    confine::confinement(request, principal, &app.options.config.sandbox, &app.environment.variables(), None)?;
    let judged = request.command.is_some() || wants_more(app, principal, request);
    Ok(judged.then(|| Gated::Spawn(Box::new(request.clone()))))
}

/// Checks a request as it would be checked when it is carried out, as far as that can be said before: what a person edited is to be
/// refused to that person.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(app: &App, principal: &Principal, request: &CreateTerminal) -> Outcome<()> {
    judged(app, principal, request)?;
    check_labels(&request.labels)?;
    initial_size(request)?;
    if let Some(command) = &request.command {
        check_command(command)?;
    }
    if let Some(cwd) = &request.cwd {
        checked_directory(cwd.clone())?;
    }
    if let Some(title) = &request.title {
        check_title(title)?;
    }
    check_terminal_id(request.terminal_id.as_deref())?;
    confine::check_limits(request, confine::profile(request, principal))?;
    request.env.iter().try_for_each(|(name, value)| check_variable(name, value))
}

fn check_terminal_id(terminal_id: Option<&str>) -> Outcome<()> {
    if terminal_id.is_some_and(|id| id.is_empty() || id.len() > TERMINAL_ID_BYTES_MAX) {
        return Err(Failure::invalid("`terminal_id` has 1 to 256 bytes"));
    }
    Ok(())
}

fn check_variable(name: &str, value: &str) -> Outcome<()> {
    if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
        return Err(Failure::invalid(format!("`{}` is no environment variable", name.escape_debug())));
    }
    Ok(())
}

/// Two of one `terminal_id` are one session: who creates by it holds this until it is there.
async fn one_at_a_time<'a>(app: &'a App, request: &CreateTerminal) -> Outcome<Option<MutexGuard<'a, ()>>> {
    check_terminal_id(request.terminal_id.as_deref())?;
    if request.terminal_id.is_none() {
        return Ok(None);
    }
    Ok(Some(app.creating.lock().await))
}

/// The living session with the request's `(workspace_id, terminal_id)`: for a person among what persons made, for an agent among
/// what it made or was given. A key is guessed easily: who takes it first must not be who the next one types to.
fn resumed(app: &App, principal: &Principal, request: &CreateTerminal) -> Outcome<Option<Arc<Session>>> {
    let fits = |session: &Session, row: &SessionRow| match principal.class() {
        Class::Person => session.entry().spec.class == Class::Person,
        Class::Agent => principal.sees(session, Some(row)),
    };
    let found = request.terminal_id.as_ref().and_then(|id| app.catalog.by_terminal_id(request.workspace_id, id, fits));
    let Some(session) = found else { return Ok(None) };
    if !principal.sees(&session, app.catalog.row(session.id).as_ref()) {
        let detail = "this `terminal_id` belongs to a session you may not see; choose another";
        return Err(Failure::new(ErrorCode::Forbidden, detail));
    }
    Ok(Some(session))
}

/// Whether a session was started with what this request asks for.
fn is_started_as(spec: &SessionSpec, request: &CreateTerminal, profile: Profile) -> bool {
    let command = request.command.as_ref().map_or(spec.login, |command| *command == spec.command);
    let cwd = request.cwd.as_ref().is_none_or(|cwd| *cwd == spec.cwd);
    let env = request.env.iter().all(|(name, value)| spec.env.iter().any(|(key, kept)| key == name && kept == value));
    command && cwd && env && profile == spec.profile
}

/// Starts a session as a person approved it. One with its `terminal_id` that is there meanwhile is that session if it was started
/// with the same; else it runs what nobody approved here.
pub(crate) async fn start_approved(
    app: &Arc<App>,
    principal: &Principal,
    request: CreateTerminal,
    permit: Permit,
) -> Outcome<Arc<Session>> {
    app.sessiond.listed().await?;
    let _one_at_a_time = one_at_a_time(app, &request).await?;
    if let Some(session) = resumed(app, principal, &request)? {
        if is_started_as(&session.entry().spec, &request, confine::profile(&request, principal)) {
            return Ok(session);
        }
        let detail = format!("nothing was run: {} has this `terminal_id` meanwhile; choose another", session.id);
        return Err(Failure::new(ErrorCode::SessionRunning, detail));
    }
    start_recorded(app, principal, request, Some(&permit), app.environment.variables()).await
}

/// Starts a session from the environment `inherited`, and records it.
///
/// # Errors
/// What is wrong with the request; what sessiond refused; `sessiond_down`.
pub(crate) async fn start_recorded(
    app: &Arc<App>,
    principal: &Principal,
    request: CreateTerminal,
    permit: Option<&Permit>,
    inherited: Vec<(String, String)>,
) -> Outcome<Arc<Session>> {
    let profile = serde_json::to_value(request.sandbox).unwrap_or_default();
    let started = start(app, principal, request, permit, inherited).await;
    let mut entry = Entry::new(principal, Action::SessionCreate).details(match &started {
        // Arguments may be secret.
        Ok(session) => {
            let spec = &session.entry().spec;
            let profile = serde_json::to_value(spec.profile).unwrap_or_default();
            Details::none()
                .text("title", &spec.title)
                .text("program", default_title(&spec.command[0]))
                .maybe("sandbox", profile.as_str())
        }
        Err(_) => Details::none().maybe("sandbox", profile.as_str()),
    });
    entry.subject = started.as_ref().ok().map(|session| session.id.to_string());
    app.audit.outcome(entry, &started).await;
    started
}

fn created(session: &Session, created: bool) -> Created {
    Created {
        session_id: session.id,
        stream_url: format!("/v1/terminal/streams/{}", session.id),
        replay_cursor: session.cursor(session.live().oldest),
        created,
        status: show::status_now(&session.entry(), session.live().exit.as_ref()),
    }
}

async fn start(
    app: &Arc<App>,
    principal: &Principal,
    request: CreateTerminal,
    permit: Option<&Permit>,
    inherited: Vec<(String, String)>,
) -> Outcome<Arc<Session>> {
    if request.workspace_id.is_some() {
        return Err(Failure::new(
            ErrorCode::NotFound,
            "there is no such workspace: this version of Baton has none yet",
        ));
    }
    check_labels(&request.labels)?;
    let (policy, size) = initial_size(&request)?;
    let Confinement { profile, grants, allow_hosts, ssh_agent } =
        confine::confinement(&request, principal, &app.options.config.sandbox, &inherited, permit)?;
    confine::check_limits(&request, profile)?;
    let inherited = confine::inherited(profile, inherited);
    let var = |name: &str| inherited.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let user = crate::person::user();
    let (command, login) = match request.command {
        Some(command) => {
            check_command(&command)?;
            (command, false)
        }
        None => (vec![login_shell(&inherited)], true),
    };
    let cwd = match request.cwd {
        Some(cwd) => checked_directory(cwd)?,
        None if !grants.is_empty() => grants[0].root.clone(),
        None => var("HOME")
            .or_else(|| Some(user.as_ref()?.dir.to_str()?.to_owned()))
            .filter(|home| Path::new(home).is_dir())
            .unwrap_or_else(|| "/".to_owned()),
    };
    let id = SessionId::from_uuid(Uuid::now_v7());
    let mut env = inherited.clone();
    let fixed = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("PWD", cwd.as_str())];
    for (name, value) in fixed {
        set(&mut env, name, value);
    }
    set(&mut env, "BATON_SESSION_ID", &id.to_string());
    for (name, value) in &request.env {
        check_variable(name, value)?;
        set(&mut env, name, value);
    }
    let title = match &request.title {
        Some(title) => app.catalog.reserve_title(request.workspace_id, &check_title(title)?, None)?,
        None => app.catalog.reserve_default_title(request.workspace_id, &default_title(&command[0]))?,
    };
    let class = principal.class();
    let idle_timeout_s = request.idle_timeout_s.unwrap_or(match class {
        Class::Agent => AGENT_IDLE_TIMEOUT_S,
        Class::Person => app.settings.defaults().terminal_idle_timeout,
    });
    let config = &app.options.config.session;
    let row = SessionRow {
        id,
        title: title.title().to_owned(),
        labels: request.labels,
        terminal_id: request.terminal_id,
        workspace_id: request.workspace_id,
        creator: principal.id.clone(),
        owner_agent_id: principal.agent_id.clone(),
        resume_cmd: request.resume_cmd,
        agent_input: request.agent_input.unwrap_or_default(),
        record: request.record.unwrap_or_default(),
        idle_timeout_s: Some(idle_timeout_s),
        record_input: request.record_input.unwrap_or(false),
        created_us: clock::now_us(),
        head: 0,
        oldest: 0,
        last_activity_us: 0,
        surroundings: Some(Surroundings::of(&env)),
    };
    let spec = SessionSpec {
        session: id,
        // sessiond mints the life of the program.
        instance: InstanceId::from_uuid(Uuid::nil()),
        kind: SessionKind::Terminal,
        command,
        login,
        cwd,
        env,
        size,
        policy,
        profile,
        title: row.title.clone(),
        creator: principal.agent_id.as_ref().and_then(|agent| format!("agent:{agent}").parse().ok()),
        class,
        idle_timeout_s,
        lease_ttl_ms: config.lease_ttl_s.saturating_mul(1000),
        close_grace_ms: u32::try_from(config.close_grace_s.saturating_mul(1000)).unwrap_or(u32::MAX),
        journal_bytes: config.journal_bytes,
        record_input: row.record_input,
        created_us: row.created_us,
        boot_id: String::new(),
        parked_ttl_s: config.parked_ttl_s,
        grants,
        // sessiond says so.
        sandbox_required: false,
        limits: request.limits,
        allow_hosts,
        ssh_agent,
    };
    // Before the session is there, so that whoever hears of it first finds its name.
    app.catalog.set_row(row.clone());
    if let Err(failure) = app.sessiond.spawn(&spec).await {
        // It may have been started all the same when only the answer was lost: then the row is of use.
        if failure.code != ErrorCode::SessiondDown {
            app.catalog.remove(id);
        } else {
            drop(app.store.save_session(row).await);
        }
        return Err(failure);
    }
    drop(app.store.save_session(row).await);
    // The catalog has it from the connection to sessiond, in the order in which sessiond spoke. Put there again from here, a session
    // that has ended meanwhile would run for ever.
    app.catalog.get(id).ok_or_else(Failure::no_session)
}

/// The shell of whoever this Baton is of.
pub(crate) fn login_shell(variables: &[(String, String)]) -> String {
    let shell = variables.iter().find(|(name, _)| name == "SHELL").map(|(_, value)| value.clone());
    let shell = shell.filter(|shell| shell.starts_with('/'));
    let shell = shell.or_else(|| Some(crate::person::user()?.shell.to_str()?.to_owned()));
    shell.filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".to_owned())
}

pub(super) fn initial_size(request: &CreateTerminal) -> Outcome<(SizePolicy, Dimensions)> {
    let policy = request.size.as_ref().map_or(Ok(SizePolicy::Holder), policy)?;
    let size = Dimensions {
        cols: request.cols.or(request.size.map(|size| size.cols)).unwrap_or(SIZE_DEFAULT.cols),
        rows: request.rows.or(request.size.map(|size| size.rows)).unwrap_or(SIZE_DEFAULT.rows),
    };
    if size.is_valid() { Ok((policy, size)) } else { Err(Failure::invalid("`cols` and `rows` are from 1 to 2000")) }
}

fn check_command(command: &[String]) -> Outcome<()> {
    if command.first().is_none_or(String::is_empty) {
        return Err(Failure::invalid("`command` names a program: `[\"sh\", \"-c\", \"…\"]`"));
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        return Err(Failure::invalid("an argument can't have a NUL in it"));
    }
    Ok(())
}

fn checked_directory(cwd: String) -> Outcome<String> {
    if !cwd.starts_with('/') || cwd.contains('\0') {
        return Err(Failure::invalid("`cwd` is an absolute path"));
    }
    if !Path::new(&cwd).is_dir() {
        return Err(Failure::invalid(format!("`cwd`: there is no directory `{cwd}`")));
    }
    Ok(cwd)
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    match env.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => value.clone_into(old),
        None => env.push((name.to_owned(), value.to_owned())),
    }
}

/// The program's name without its directory.
pub(super) fn default_title(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let name: String = name.chars().filter(|char| !is_hidden(*char)).take(TITLE_CHARS_MAX - 8).collect();
    if name.trim().is_empty() { "terminal".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_readable_and_no_ids() {
        assert_eq!(check_title(" build ").unwrap(), "build");
        for bad in [
            "",
            "  ",
            "a\nb",
            "\u{1b}[31m",
            &"x".repeat(121),
            "ses_00000000000000000000000000000007",
            "a\u{202e}b",
            "a\u{200b}",
        ] {
            assert!(check_title(bad).is_err(), "{bad:?}");
        }
        assert_eq!(default_title("/usr/bin/bash"), "bash");
        assert_eq!(default_title("/"), "terminal");
    }
}
