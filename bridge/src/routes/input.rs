//! Typing by REST: input, size, signals, and a whole command at a prompt. All need the lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use baton_proto::ErrorCode;
use baton_proto::api::{AwaitingApproval, ExecAnswer, ExecRequest, InputRequest, Problem, ResizeBody, SignalBody};
use baton_proto::frame::{DATA_BYTES_MAX, Kind};
use baton_proto::ids::{ClientId, Epoch, SessionId};
use baton_proto::v1::{Class, Dimensions, InputHeader, InputRefused, ResizeRequest, SignalRequest};
use http::{HeaderValue, StatusCode, header};
use nix::sys::signal::Signal;
use serde::Serialize;
use utoipa::ToSchema;

use super::approvals::{WaitQuery, awaiting};
use super::control::acting;
use crate::access::Principal;
use crate::app::App;
use crate::approval;
use crate::approval::gate::{Gate, Permit, gate, is_held, types_freely};
use crate::approval::gated::Gated;
use crate::audit::{Action, Details, Entry};
use crate::exec;
use crate::extract::{Body, Filter, Id, IdempotencyKey};
use crate::gate::Known;
use crate::hub::session::{RestAttachment, Session};
use crate::keys;
use crate::problem::{Failure, Outcome};
use crate::upstream::conn::NotSent;
use crate::ws::input_frame;

/// How long input may wait for a program that does not read; it stays queued after that.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys of one request.
const KEYS_MAX: usize = 1024;

/// The input is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputAnswer {
    /// Bytes.
    pub accepted: usize,
}

/// The caller's attachment, which must carry the lease.
pub(crate) async fn owning(
    app: &App,
    principal: &Principal,
    id: &str,
    client: &ClientId,
) -> Outcome<(Arc<Session>, RestAttachment)> {
    match acting(app, principal, id, client, false).await {
        // Who is not attached and does not hold the lease lacks the lease, above all.
        Err(failure) if failure.code == ErrorCode::ClientNotAttached => Err(not_owner()),
        outcome => outcome,
    }
}

/// Fails because the client does not have the lease.
pub(crate) fn not_owner() -> Failure {
    Failure::new(ErrorCode::NotOwner, "this client does not have control: `claim` it first")
}

/// The epoch to type under: the one given, or the current one if the client owns it.
pub(crate) fn epoch(session: &Session, client: &ClientId, given: Option<Epoch>) -> Outcome<Epoch> {
    match (given, session.live().lease) {
        (Some(epoch), _) => Ok(epoch),
        (None, Some(lease)) if lease.owner.as_ref().is_some_and(|owner| owner.client == *client) => Ok(lease.epoch),
        // The worker says whether it was lost or never had.
        (None, Some(lease)) => Ok(lease.epoch),
        (None, None) => Err(not_owner()),
    }
}

pub(super) fn bytes_of(request: &InputRequest, application_cursor: bool) -> Outcome<Vec<u8>> {
    let bytes = match (&request.data_b64, &request.text, &request.keys) {
        (Some(data), None, None) => {
            BASE64.decode(data).map_err(|err| Failure::invalid(format!("`data_b64` is not base64: {err}")))?
        }
        (None, Some(text), None) => text.clone().into_bytes(),
        (None, None, Some(names)) => {
            if names.len() > KEYS_MAX {
                return Err(Failure::invalid("at most 1024 keys at once"));
            }
            let mut bytes = Vec::new();
            for name in names {
                keys::encode(name, application_cursor, &mut bytes).map_err(|err| Failure::invalid(err.to_string()))?;
            }
            bytes
        }
        _ => return Err(Failure::invalid("send exactly one of `data_b64`, `text` and `keys`")),
    };
    check_bytes(&bytes)?;
    Ok(bytes)
}

/// Refuses more than is typed at once.
pub(crate) fn check_bytes(bytes: &[u8]) -> Outcome<()> {
    if bytes.len() > DATA_BYTES_MAX as usize {
        return Err(Failure::new(ErrorCode::TooLarge, "at most 64 KiB at once: send it in parts"));
    }
    Ok(())
}

fn refusal(refused: &InputRefused) -> Failure {
    let detail = match (refused.code, &refused.by) {
        (ErrorCode::LeaseLost, Some(by)) => format!("control has moved to `{by}`: `claim` to ask for it back"),
        (ErrorCode::LeaseLost, None) => "control has moved on: `claim` it again".to_owned(),
        (ErrorCode::NotOwner, _) => "this client does not have control: `claim` it first".to_owned(),
        (ErrorCode::InputFull, _) => "the program does not read its input; try again later".to_owned(),
        (ErrorCode::SessionEnded, _) => "the session has ended".to_owned(),
        (code, _) => format!("the input was refused: {code}"),
    };
    let retry_after_s = (refused.code == ErrorCode::InputFull).then_some(1);
    Failure { retry_after_s, ..Failure::new(refused.code, detail) }
}

/// Types what was judged, and waits until the worker has judged it and the kernel has taken it.
///
/// # Errors
/// `not_owner`, `lease_lost`, `input_full`, `session_ended`.
pub(crate) async fn type_bytes(
    session: &Session,
    attached: &RestAttachment,
    epoch: Epoch,
    bytes: &[u8],
    _permit: &Permit,
) -> Outcome<()> {
    let before = attached.presence.refusals();
    let frame = input_frame(InputHeader { attachment: attached.attachment, epoch, seq: 0 }, bytes);
    attached.writer.send(frame).map_err(|not_sent| match not_sent {
        NotSent::Full => Failure::new(ErrorCode::InputFull, "the session's worker does not read; try again later"),
        NotSent::Gone => Failure::down("the session's worker is being replaced; look before you type it again"),
    })?;
    let deadline = Instant::now() + TAKEN_TIMEOUT;
    let mut pause = Duration::from_millis(2);
    loop {
        // Answers come in the order of what was asked: a refusal is here before this one is.
        let inspection = session.inspect().await?;
        if let Some(refused) = attached.presence.refusal_after(before) {
            return Err(refusal(&refused));
        }
        if inspection.input_queued == 0 || Instant::now() >= deadline {
            return Ok(());
        }
        // Only while the program does not read what was typed. The worker tells of input that the kernel took by its number in
        // the client's input stream; this has none, because the attachment may be that of the client's own socket, which
        // counts for itself.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Types bytes, text or keys.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/input", tag = "terminal", params(("session_id" = SessionId, Path), WaitQuery),
    request_body = InputRequest,
    responses(
        (status = 200, body = InputAnswer),
        (status = 202, body = AwaitingApproval, description = "a person is asked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn input(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<WaitQuery>,
    key: IdempotencyKey,
    Body(request): Body<InputRequest>,
) -> Outcome<Response> {
    // What can't be typed is refused before anybody is asked.
    bytes_of(&request, false)?;
    let (session, attached) = owning(&app, &principal, &id, &request.client_id).await?;
    let bytes = bytes_of(&request, session.live().screen.application_cursor)?;
    let epoch = epoch(&session, &request.client_id, request.epoch)?;
    let judged = match types_freely(&app, &principal, &session) {
        Some(permit) => Gate::Go(permit),
        None => {
            let gated = approval::gated::Input::new(session.id, request.client_id, &bytes);
            gate(&app, &principal, Gated::Input(gated), key.0).await?
        }
    };
    let permit = match judged {
        Gate::Go(permit) => permit,
        Gate::Asked(row) => return awaiting(&app, &principal, &row, &query).await,
    };
    type_bytes(&session, &attached, epoch, &bytes, &permit).await?;
    Ok(Json(InputAnswer { accepted: bytes.len() }).into_response())
}

/// Sets the terminal's size.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/resize", tag = "terminal", params(("session_id" = SessionId, Path)),
    request_body = ResizeBody,
    responses((status = 204, description = "done"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn resize(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<ResizeBody>,
) -> Outcome<StatusCode> {
    let size = Dimensions { cols: request.cols, rows: request.rows };
    if !size.is_valid() {
        return Err(Failure::invalid("`cols` and `rows` are from 1 to 2000"));
    }
    let (session, attached) = owning(&app, &principal, &id, &request.client_id).await?;
    let resize = ResizeRequest { attachment: attached.attachment, size };
    session.call(Kind::ResizeRequest, &resize, Kind::Done).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signals the foreground process group.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/signal", tag = "terminal", params(("session_id" = SessionId, Path)),
    request_body = SignalBody,
    responses((status = 204, description = "sent"), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub async fn signal(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Body(request): Body<SignalBody>,
) -> Outcome<StatusCode> {
    let signal = match request.signal.strip_prefix("SIG").unwrap_or(&request.signal) {
        "INT" => Signal::SIGINT,
        "TERM" => Signal::SIGTERM,
        "HUP" => Signal::SIGHUP,
        "QUIT" => Signal::SIGQUIT,
        "KILL" => Signal::SIGKILL,
        "TSTP" => Signal::SIGTSTP,
        "CONT" => Signal::SIGCONT,
        "USR1" => Signal::SIGUSR1,
        "USR2" => Signal::SIGUSR2,
        "WINCH" => Signal::SIGWINCH,
        _ => {
            return Err(Failure::invalid(
                "`signal` is one of INT, TERM, HUP, QUIT, KILL, TSTP, CONT, USR1, USR2, WINCH",
            ));
        }
    };
    let sent = async {
        let (session, attached) = owning(&app, &principal, &id, &request.client_id).await?;
        if principal.class() == Class::Agent && is_held(&app, session.id) {
            let detail =
                "what an agent types here waits for a person, and a signal can't: type Ctrl-C, or let a person signal";
            return Err(Failure::new(ErrorCode::Denied, detail));
        }
        let request = SignalRequest { attachment: attached.attachment, epoch: request.epoch, signal: signal as i32 };
        session.call(Kind::Signal, &request, Kind::Done).await
    };
    let sent = sent.await;
    let details = Details::none().text("signal", signal.as_str());
    app.audit.outcome(Entry::new(&principal, Action::Signal).subject(&id).details(details), &sent).await;
    sent.map(|_| StatusCode::NO_CONTENT)
}

/// An answer with what a terminal showed: nobody keeps it on the way, and the database not at all.
pub(super) fn unkept(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Types a command at the shell's prompt, waits for its end, answers its exit code and output.
#[utoipa::path(
    post, path = "/v1/terminal/sessions/{session_id}/exec", tag = "terminal", params(("session_id" = SessionId, Path), WaitQuery),
    request_body = ExecRequest,
    responses(
        (status = 200, body = ExecAnswer),
        (status = 202, body = AwaitingApproval, description = "a person is asked"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn exec(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Id(id): Id<String>,
    Filter(query): Filter<WaitQuery>,
    key: IdempotencyKey,
    Body(request): Body<ExecRequest>,
) -> Outcome<Response> {
    let owned = owning(&app, &principal, &id, &request.client_id).await;
    if let Err(failure) = &owned {
        app.audit.outcome(Entry::new(&principal, Action::Exec).subject(&id), &owned).await;
        return Err(failure.clone());
    }
    let (session, attached) = owned?;
    let epoch = epoch(&session, &request.client_id, request.epoch)?;
    exec::check(&request)?;
    let gated = Gated::Exec(approval::gated::Exec {
        session_id: session.id,
        client_id: request.client_id.clone(),
        command: request.command.clone(),
        timeout_s: request.timeout_s,
    });
    let permit = match gate(&app, &principal, gated, key.0).await? {
        Gate::Go(permit) => permit,
        Gate::Asked(row) => return awaiting(&app, &principal, &row, &query).await,
    };
    // Before it is typed: nothing runs of which there is no row, unless the disk is full.
    app.audit.exec(&principal, session.id, &request.command).await;
    exec::run(&app, &session, &attached, epoch, &request, permit).await.map(|answer| unkept(Json(answer)))
}
