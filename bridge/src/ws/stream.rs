//! `WS /v1/terminal/streams/{session_id}`: from the upgrade to `ready`, then both loops until the socket ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, ServerFrame, SnapshotChoice, TermFacts};
use baton_proto::frame::Kind;
use baton_proto::ids::{ClientId, Cursor, SessionId};
use baton_proto::v1::{Attached, Attachment, ClientKind, Dimensions};
use futures_util::StreamExt as _;
use http::HeaderMap;
use serde::Deserialize;

use super::credit::{Account, Credit};
use super::reader::{Left, Reader};
use super::screen::Beginning;
use super::start::Start;
use super::writer::{Outgoing, Writer};
use super::{SOCKETS_MAX, drain, facts, refuse, upgraded};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::extract::{Filter, Id};
use crate::gate::Caller;
use crate::hub::presence::{End, Presence};
use crate::hub::session::{Attaching, Session};
use crate::problem::{Failure, Outcome};
use crate::serve::{Place, stopped};
use crate::show;
use crate::upstream::conn;

/// `hello` must come within this.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest `hello`.
const HELLO_BYTES_MAX: usize = 16 << 10;
/// How long a socket that is to end may go on writing.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The stream's query.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// Who attaches; `hello` must say the same.
    client_id: Option<String>,
    /// Go on from here; `hello.resume_cursor` beats it.
    cursor: Option<String>,
}

/// A terminal's stream (WebSocket). JSON text frames `ClientFrame` and `ServerFrame`; `hello` comes first. With the
/// subprotocol `baton.v1.binary` output and input are binary messages.
#[utoipa::path(
    get, path = "/v1/terminal/streams/{session_id}", tag = "terminal",
    params(("session_id" = SessionId, Path), StreamQuery),
    responses((status = 101, description = "the frames are `ClientFrame` and `ServerFrame`", body = ServerFrame)),
)]
pub async fn terminal_stream(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Id(session_id): Id<String>,
    Filter(query): Filter<StreamQuery>,
    headers: HeaderMap,
    place: Option<Extension<Place>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgraded(upgrade, &headers, move |socket, binary| async move {
        let _place = place;
        app.counters.sockets.fetch_add(1, Ordering::Relaxed);
        converse(&app, principal, &session_id, query, socket, binary).await;
        app.counters.sockets.fetch_sub(1, Ordering::Relaxed);
    })
}

/// What a client said in `hello`.
struct Greeting {
    client: ClientId,
    cursor: Option<Cursor>,
    kind: Option<ClientKind>,
    name: Option<String>,
    viewport: Option<Dimensions>,
    input_stream: u64,
    term: Option<TermFacts>,
    snapshot: SnapshotChoice,
    /// Bytes of the message that said it.
    message_bytes: usize,
}

async fn converse(
    app: &Arc<App>,
    principal: Option<Principal>,
    session_id: &str,
    query: StreamQuery,
    mut socket: WebSocket,
    binary: bool,
) {
    let entered = enter(app, principal, session_id, &query, &mut socket).await;
    let (principal, session, greeting) = match entered {
        Ok(Some(entered)) => entered,
        Ok(None) => return,
        Err(failure) => return refuse(socket, failure).await,
    };
    let Some(_count) = session.count_socket(SOCKETS_MAX) else {
        let failure = Failure::new(ErrorCode::RateLimited, format!("{SOCKETS_MAX} clients watch this session already"));
        return refuse(socket, failure).await;
    };
    let identity = principal.identity(greeting.client.clone(), greeting.kind, greeting.name.as_deref());
    let presence = Arc::new(Presence::new(identity, greeting.input_stream, false));
    let attaching = match session.attach(Arc::clone(&presence), greeting.viewport).await {
        Ok(attaching) => attaching,
        Err(failure) => return refuse(socket, failure).await,
    };
    let attachment = attaching.attached.attachment;
    let left = run(app, &principal, &session, &greeting, Arc::clone(&presence), attaching, socket, binary).await;
    if left != Left::Detached {
        session.detach(attachment, presence.ended().is_some_and(|end| end.bars())).await;
    }
}

/// Everything before the client is attached. `None`: it went away by itself.
async fn enter(
    app: &Arc<App>,
    principal: Option<Principal>,
    session_id: &str,
    query: &StreamQuery,
    socket: &mut WebSocket,
) -> Outcome<Option<(Principal, Arc<Session>, Greeting)>> {
    let detail = "no token, or not one of ours: send `Authorization: Bearer`, or sign in and offer the subprotocol \
                  `baton.key.<key>` beside the cookie";
    let principal = principal.ok_or_else(|| Failure::new(ErrorCode::Unauthenticated, detail))?;
    principal.need(Right::Observe)?;
    let id: SessionId = session_id.parse().map_err(|_| Failure::no_session())?;
    let session = app.session(&principal, id).await?;
    let Some(greeting) = greet(query, socket).await? else { return Ok(None) };
    app.bind(&principal, &greeting.client).await?;
    Ok(Some((principal, session, greeting)))
}

async fn greet(query: &StreamQuery, socket: &mut WebSocket) -> Outcome<Option<Greeting>> {
    let required =
        || Failure::new(ErrorCode::HelloRequired, "send `{\"type\":\"hello\",\"client_id\":…}` first, within 5 s");
    let first = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(required()),
                Some(Err(err)) => return Err(Failure::invalid(format!("the message can't be read: {err}"))),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
            }
        }
    };
    let text = tokio::time::timeout(HELLO_TIMEOUT, first).await.map_err(|_| required())??;
    let Some(text) = text else { return Ok(None) };
    if text.len() > HELLO_BYTES_MAX {
        return Err(Failure::invalid("a `hello` has at most 16 KiB"));
    }
    let frame: ClientFrame =
        serde_json::from_str(&text).map_err(|err| Failure::invalid(format!("the frame does not fit: {err}")))?;
    let ClientFrame::Hello { client_id, resume_cursor, client_kind, name, cols, rows, input_stream, term, snapshot } =
        frame
    else {
        return Err(required());
    };
    let named = query.client_id.as_deref().map(str::parse::<ClientId>);
    match named {
        Some(Ok(named)) if named == client_id => {}
        Some(_) => return Err(Failure::invalid("`client_id` in the URL and in `hello` must be the same")),
        None => return Err(Failure::invalid("the URL needs `?client_id=…`, the same as in `hello`")),
    }
    let cursor = match (resume_cursor, query.cursor.as_deref().filter(|cursor| !cursor.is_empty())) {
        (Some(cursor), _) => Some(cursor),
        (None, Some(text)) => Some(text.parse().map_err(|err| Failure::invalid(format!("`cursor`: {err}")))?),
        (None, None) => None,
    };
    let viewport = match (cols, rows) {
        (Some(cols), Some(rows)) => {
            let size = Dimensions { cols, rows };
            Some(size).filter(|size| size.is_valid()).ok_or_else(bad_size)?.into()
        }
        _ => None,
    };
    Ok(Some(Greeting {
        client: client_id,
        cursor,
        kind: client_kind,
        name,
        viewport,
        input_stream: input_stream.unwrap_or(0),
        term,
        snapshot,
        message_bytes: text.len(),
    }))
}

/// A size no terminal can have.
pub(super) fn bad_size() -> Failure {
    Failure::invalid("`cols` and `rows` are from 1 to 2000")
}

#[expect(clippy::too_many_arguments, reason = "everything a socket needs is known only here")]
async fn run(
    app: &Arc<App>,
    principal: &Principal,
    session: &Arc<Session>,
    greeting: &Greeting,
    presence: Arc<Presence>,
    attaching: Attaching,
    socket: WebSocket,
    binary: bool,
) -> Left {
    let Attaching { mut attached, subscription, writer: to_worker } = attaching;
    let mut snapshot = greeting.snapshot;
    if let Some(floor) = principal.floor(session) {
        // What is before that is as if it were no longer kept, and screens, which would show it, are not drawn.
        snapshot = SnapshotChoice::Never;
        attached.oldest = attached.oldest.max(floor);
    }
    let attachment = attached.attachment;
    let instance = attached.instance;
    if let Some(term) = greeting.term.as_ref().filter(|_| principal.has(Right::Control)) {
        let message = conn::message(Kind::Facts, 0, &facts::checked(attachment, term));
        // Nobody waits for the answer; a connection that takes nothing ends by itself.
        if message.is_ok_and(|message| to_worker.send(message).is_err()) {
            tracing::debug!(session = %session.id, "the worker did not take what the client's terminal is like");
        }
    }
    let credit = Arc::new(Credit::new(instance));
    let tape = session.tape(&app.context.protocol_log, greeting.client.clone(), instance);
    tape.hello(greeting.message_bytes, greeting.cursor);
    let (sink, mut stream) = socket.split();
    let mut stopping = app.stopping.clone();
    let mut writer = Writer {
        app,
        session,
        presence: &presence,
        subscription,
        sink: Outgoing::new(sink, &tape),
        binary,
        instance,
        history_end: attached.head,
        size: attached.size,
        resized_at: attached.resized_at,
        replayed_size: None,
        told_size: attached.size,
        exit: attached.exit.clone(),
        takes_screens: snapshot != SnapshotChoice::Never,
        screen_at: None,
        credit: Arc::clone(&credit),
        account: Account::new(),
        epoch: attached.lease.epoch,
        renewed: None,
        hides_title: principal.floor(session).is_some(),
        sent: attached.head,
        begun: false,
        fed: false,
    };
    let beginning = Beginning { choice: snapshot, cursor: greeting.cursor, attached };
    let left = {
        let held_back = std::sync::Mutex::default();
        let reader = Reader {
            app,
            principal,
            session,
            presence: &presence,
            attachment,
            to_worker,
            credit: &credit,
            tape: &tape,
            held_back,
        };
        let reading = reader.run(&mut stream);
        let writing = writer.run(beginning);
        tokio::pin!(reading, writing);
        let watching = async {
            tokio::select! {
                () = presence.ending() => {}
                () = stopped(&mut stopping) => presence.end(end(1001, "the bridge stops")),
                () = app.until_revoked(principal) => presence.end(End::signed_out()),
                () = app.until_unseen(principal, session) => presence.end(End::out_of_sight()),
            }
            if presence.ended().is_some_and(|end| end.bars()) {
                // Whoever is next has not to wait for a socket that takes nothing.
                session.detach(attachment, true).await;
            }
            // The writer says so and ends, unless its peer takes nothing.
            tokio::time::sleep(END_TIMEOUT).await;
        };
        tokio::select! {
            left = &mut reading => match left {
                // What is still to be said is said; the client has gone otherwise.
                Left::Ending | Left::Detached => {
                    drop(tokio::time::timeout(END_TIMEOUT, &mut writing).await);
                    left
                }
                Left::Gone => left,
            },
            () = &mut writing => Left::Ending,
            () = watching => Left::Gone,
        }
    };
    if left != Left::Gone {
        drain(&mut stream).await;
    }
    left
}

const fn end(code: u16, reason: &'static str) -> End {
    End { frame: None, code, reason }
}

/// The first frame. `size` is that of what follows it; where it has changed since, a `resize` says so.
pub(super) fn ready(session: &Session, attached: &Attached, start: &Start, size: Dimensions) -> ServerFrame {
    let live = session.live();
    let owner = attached.lease.owner.as_ref();
    ServerFrame::Ready {
        session_id: session.id,
        instance: attached.instance,
        lease_owner: owner.map(|owner| owner.client.clone()),
        owner_name: owner.map(|owner| owner.name.clone()),
        owner_kind: owner.map(|owner| owner.kind),
        epoch: attached.lease.epoch,
        lease_expires_at: owner.map(|_| crate::clock::rfc3339(session.lease_until_us())),
        cursor: Cursor { instance: attached.instance, offset: attached.head },
        cols: size.cols,
        rows: size.rows,
        size: show::size(attached.size, attached.policy),
        modes: show::modes(&live),
        status: show::status_now(&session.entry(), attached.exit.as_ref()),
        input_seq: attached.input_seq,
        mode: start.mode,
        lost: start.lost,
        restarted: start.restarted.then_some(true),
    }
}

/// A client's number, for the reader.
pub(super) type Number = Attachment;
