//! What workers and sessiond say, as the API shows it.

use axum::extract::ws::Utf8Bytes;
use baton_proto::ErrorCode;
use baton_proto::api::{
    Client, Exit, FolderGrant, Foreground, Layer, Lease, LeaseAnswer, LimitsReport, Modes, SandboxReport, ServerFrame,
    Session as ApiSession, SessionDetail, SessionStatus, Size, SizeMode, Viewport,
};
use baton_proto::limits::Resource;
use baton_proto::v1::{
    ClientEntry, Dimensions, ExitRecord, InputRefused, Inspection, LeaseRecord, MouseMode, ScreenState, SessionEntry,
    SizePolicy, Status,
};

use crate::clock::rfc3339;
use crate::hub::session::{Live, Session};
use crate::store::sessions::SessionRow;

/// A frame as text.
#[must_use]
pub fn text(frame: &ServerFrame) -> Utf8Bytes {
    serde_json::to_string(frame).unwrap_or_else(|_| unreachable!("frames have string keys only")).into()
}

/// Where a session is in its life.
#[must_use]
pub const fn status(status: &Status) -> SessionStatus {
    match status {
        Status::Starting => SessionStatus::Starting,
        Status::Running => SessionStatus::Running,
        Status::Exited(_) => SessionStatus::Exited,
        Status::Closed(_) => SessionStatus::Closed,
        Status::Lost => SessionStatus::Lost,
        Status::Failed { .. } => SessionStatus::Failed,
    }
}

/// The status, when the worker may have told of the end before sessiond did.
#[must_use]
pub fn status_now(entry: &SessionEntry, ended: Option<&ExitRecord>) -> SessionStatus {
    match (status(&entry.status), ended) {
        (SessionStatus::Starting | SessionStatus::Running, Some(exit)) if exit.closed => SessionStatus::Closed,
        (SessionStatus::Starting | SessionStatus::Running, Some(_)) => SessionStatus::Exited,
        (status, _) => status,
    }
}

/// A lease as the API shows it; `None` when nobody has it.
#[must_use]
pub fn lease(record: &LeaseRecord, until_us: u64) -> Option<Lease> {
    record.owner.as_ref().map(|owner| Lease {
        owner: owner.client.clone(),
        owner_name: owner.name.clone(),
        owner_kind: owner.kind,
        epoch: record.epoch,
        expires_at: rfc3339(until_us),
        expired: record.expired,
    })
}

/// A lease as a frame.
#[must_use]
pub fn lease_frame(record: &LeaseRecord, until_us: u64) -> ServerFrame {
    let owner = record.owner.as_ref();
    ServerFrame::Lease {
        owner: owner.map(|owner| owner.client.clone()),
        epoch: record.epoch,
        expires_at: owner.map(|_| rfc3339(until_us)),
        owner_name: owner.map(|owner| owner.name.clone()),
        owner_kind: owner.map(|owner| owner.kind),
        expired: record.expired.then_some(true),
    }
}

/// A lease as the answer to a claim, release or transfer.
#[must_use]
pub fn lease_answer(record: &LeaseRecord, until_us: u64) -> LeaseAnswer {
    LeaseAnswer {
        lease_owner: record.owner.as_ref().map(|owner| owner.client.clone()),
        lease_expires_at: record.owner.as_ref().map(|_| rfc3339(until_us)),
        epoch: record.epoch,
        handback: None,
    }
}

/// An attached client.
#[must_use]
pub fn client(entry: &ClientEntry) -> Client {
    Client {
        client_id: entry.client.clone(),
        client_kind: entry.kind,
        name: entry.name.clone(),
        viewport: entry.viewport.map(|size| Viewport { cols: size.cols, rows: size.rows }),
        attached_at: rfc3339(entry.attached_us),
    }
}

/// Presence as a frame.
#[must_use]
pub fn clients_frame(clients: &[ClientEntry]) -> Utf8Bytes {
    text(&ServerFrame::Clients { clients: clients.iter().map(client).collect() })
}

/// Refused input as a frame.
#[must_use]
pub fn input_refused(refused: &InputRefused) -> ServerFrame {
    let message = match refused.code {
        ErrorCode::NotOwner => "you do not have control: send `claim` first",
        ErrorCode::LeaseLost => "control has moved on: send `claim` to ask for it back",
        ErrorCode::InputFull => "the program does not read its input: wait for acknowledgements, then send it again",
        ErrorCode::SessionEnded => "the session has ended",
        _ => "the input was refused",
    };
    ServerFrame::Error {
        code: refused.code,
        message: message.to_owned(),
        seq: Some(refused.seq),
        accepted: Some(refused.accepted),
        by: refused.by.clone(),
        since: refused.since_us.map(rfc3339),
        owner_name: None,
        owner_kind: None,
        approval_id: None,
    }
}

/// Input of which nobody knows whether it was typed, as a frame.
#[must_use]
pub fn input_uncertain(seq: u64) -> ServerFrame {
    ServerFrame::Error {
        code: ErrorCode::InputUncertain,
        message: "the worker was killed during this write; look at the screen before you type it again".to_owned(),
        seq: Some(seq),
        accepted: None,
        by: None,
        since: None,
        owner_name: None,
        owner_kind: None,
        approval_id: None,
    }
}

/// How a program ended.
#[must_use]
pub fn exit(record: &ExitRecord) -> Exit {
    Exit { code: record.code, signal: record.signal, reason: record.reason.clone() }
}

/// A size and its policy.
#[must_use]
pub const fn size(size: Dimensions, policy: SizePolicy) -> Size {
    let (mode, max_cols, max_rows) = match policy {
        SizePolicy::Holder => (SizeMode::Holder, None, None),
        SizePolicy::Fixed => (SizeMode::Fixed, None, None),
        SizePolicy::Cap { max_cols, max_rows } => (SizeMode::Cap, Some(max_cols), Some(max_rows)),
    };
    Size { policy: mode, cols: size.cols, rows: size.rows, max_cols, max_rows }
}

/// A session, from what sessiond, its worker and people said.
#[must_use]
pub fn session(session: &Session, row: Option<&SessionRow>, sessiond_up: bool) -> ApiSession {
    let (entry, live) = (session.entry(), session.live());
    let spec = &entry.spec;
    let ended = match &entry.status {
        Status::Exited(exit) | Status::Closed(exit) => Some(exit),
        _ => live.exit.as_ref(),
    };
    let failure = match &entry.status {
        Status::Failed { reason } => Some(reason.clone()),
        _ => None,
    };
    let status = status_now(&entry, live.exit.as_ref());
    let is_limit = |layer: &Layer| Resource::ALL.iter().any(|resource| resource.name() == layer.name);
    let (limits, sandbox): (Vec<_>, Vec<_>) = entry.layers.iter().cloned().partition(is_limit);
    let idle_timeout_s = row.and_then(|row| row.idle_timeout_s).unwrap_or(spec.idle_timeout_s);
    ApiSession {
        id: session.id,
        kind: spec.kind,
        status,
        title: row.map_or_else(|| spec.title.clone(), |row| row.title.clone()),
        terminal_title: live.screen.title.clone(),
        workspace_id: row.and_then(|row| row.workspace_id),
        terminal_id: row.and_then(|row| row.terminal_id.clone()),
        owner_agent_id: row
            .and_then(|row| row.owner_agent_id.clone())
            .or_else(|| spec.creator.as_ref().and_then(|creator| creator.agent_id().map(str::to_owned))),
        command: spec.command.clone(),
        sandbox: SandboxReport { profile: spec.profile, layers: sandbox },
        grants: spec.grants.iter().map(FolderGrant::from).collect(),
        limits: LimitsReport::new(&spec.limits, limits),
        size: size(live.size.unwrap_or(spec.size), live.policy.unwrap_or(spec.policy)),
        labels: row.map(|row| row.labels.clone()).unwrap_or_default(),
        resume_cmd: row.and_then(|row| row.resume_cmd.clone()),
        agent_input: row.map(|row| row.agent_input).unwrap_or_default(),
        record: row.map(|row| row.record).unwrap_or_default(),
        record_input: row.map_or(spec.record_input, |row| row.record_input),
        parked: status.is_living() && !sessiond_up && live.clients.is_empty(),
        instance: spec.instance,
        cursor: session.cursor(live.head),
        oldest_cursor: session.cursor(live.oldest),
        oldest_screen_cursor: session.cursor(live.oldest_screen),
        pid: entry.program_pid.filter(|_| status.is_living()),
        worker_pid: entry.worker_pid,
        created_at: rfc3339(spec.created_us),
        last_activity_at: rfc3339(live.last_activity_us.max(spec.created_us)),
        idle_timeout_s: (idle_timeout_s > 0).then_some(idle_timeout_s),
        exit: ended.map(exit),
        failure,
        lease: live.lease.as_ref().and_then(|record| lease(record, session.lease_until_us())),
        client_count: u32::try_from(live.clients.len()).unwrap_or(u32::MAX),
    }
}

/// A session and what is going on in it.
#[must_use]
pub fn detail(shown: ApiSession, live: &Live, inspection: Option<&Inspection>) -> SessionDetail {
    SessionDetail {
        session: shown,
        clients: live.clients.iter().map(client).collect(),
        modes: modes(live),
        foreground: inspection
            .and_then(|inspection| inspection.foreground.clone())
            .map(|(pid, command)| Foreground { pid, command }),
        cwd: inspection.and_then(|inspection| inspection.cwd.clone()).or_else(|| live.screen.cwd.clone()),
    }
}

/// The terminal's modes, as last heard.
#[must_use]
pub fn modes(live: &Live) -> Modes {
    let (echo, canonical, at_prompt) = live.modes;
    let screen = &live.screen;
    Modes {
        echo,
        canonical,
        at_prompt,
        alt_screen: screen.alt_screen,
        mouse_mode: mouse_mode(screen.mouse).map(str::to_owned),
        bracketed_paste: screen.bracketed_paste,
        focus_reports: screen.focus_reports,
        application_cursor: screen.application_cursor,
        kitty_keyboard: screen.kitty_keyboard,
    }
}

/// What the program has switched on, as a frame.
#[must_use]
pub fn mode_frame(screen: &ScreenState) -> ServerFrame {
    ServerFrame::Mode {
        alt_screen: screen.alt_screen,
        mouse_mode: mouse_mode(screen.mouse).map(str::to_owned),
        bracketed_paste: screen.bracketed_paste,
        title: screen.title.clone(),
    }
}

/// What mouse movements the program is told, as the API spells it.
#[must_use]
pub const fn mouse_mode(mode: MouseMode) -> Option<&'static str> {
    match mode {
        MouseMode::None => None,
        MouseMode::X10 => Some("x10"),
        MouseMode::Clicks => Some("clicks"),
        MouseMode::Drags => Some("drags"),
        MouseMode::All => Some("all"),
    }
}
