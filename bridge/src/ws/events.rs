//! `WS /v1/events`: everything the principal may see, as it happens.
//!
//! Each message is an `Event`. A client that comes back with a cursor gets what happened since, each event once; when some of
//! that is no longer kept, or the cursor is none of this log's, an event of type `gap` with `{"lost": n}` comes first (`null` =
//! nobody knows how many). With `output=1` the client is told of output as events of type `stdout` that name the cursor; the
//! bytes themselves are read from the session.
//!
//! Nothing is queued for a client: it is a number, up to which it was told. One that does not read costs its socket's buffers,
//! and goes on from the database when it reads again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use baton_proto::ErrorCode;
use baton_proto::api::{Event, PrincipalRole, Scope};
use baton_proto::ids::SessionId;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{close_message, refuse, upgraded};
use crate::access::whose::Whose;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::clock;
use crate::events::{After, GAP, text};
use crate::extract::Filter;
use crate::gate::Caller;
use crate::hub::presence::End;
use crate::problem::{Failure, Outcome};
use crate::serve::{Place, stopped};

/// Events sent, or read from the database, at once.
const PAGE: usize = 256;
/// How often output is looked for, for `output=1`.
const OUTPUT_INTERVAL: Duration = Duration::from_millis(250);

/// The query of `/v1/events`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Go on after this `seq`, 0 = with the oldest that is kept; none = from now on.
    cursor: Option<u64>,
    /// 1: be told of output too.
    output: Option<u8>,
}

/// What happens, to all sessions the principal may see (WebSocket). Each message is an `Event`.
///
/// A number is given once, ever, and what is told is kept: who comes back with the newest `seq` it has heard gets everything after
/// it, each event once, also after the bridge was killed. Numbers rise; there are holes between them where a bridge started and
/// where an event is not the principal's to see. An event of type `gap` with `{"lost": n}` stands for events that can't be told any
/// more: at most `n`, or `null` where nobody knows how many. It comes first when the cursor is no longer kept or is none of this
/// log's; its `seq` may be smaller than the cursor then, and what follows goes on from there. Read anew what you keep, and go on.
#[utoipa::path(
    get, path = "/v1/events", tag = "sessions", params(EventsQuery),
    responses((status = 101, description = "each message is an `Event`", body = Event)),
)]
pub async fn event_stream(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Filter(query): Filter<EventsQuery>,
    headers: HeaderMap,
    place: Option<Extension<Place>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    // What happens while the socket is opened is told already.
    let told = app.events.told();
    upgraded(upgrade, &headers, move |socket, _| async move {
        let _place = place;
        let principal = match allowed(principal) {
            Ok(principal) => principal,
            Err(failure) => return refuse(socket, failure).await,
        };
        serve(app, principal, socket, query, told).await;
    })
}

/// Tells events until somebody ends it. What the client says, and that it may hear no more, is heard while it does not read.
async fn serve(app: Arc<App>, principal: Principal, socket: WebSocket, query: EventsQuery, told: u64) {
    let (mut sink, mut stream) = socket.split();
    let mut stopping = app.stopping.clone();
    let (revoking, known) = (Arc::clone(&app), principal.clone());
    let closing = {
        let revoked = revoking.until_revoked(&known);
        let output = (query.output == Some(1)).then(|| Output { told: HashMap::new(), due: Instant::now() });
        let mut feed = Feed { app, principal, sink: &mut sink, seen: query.cursor.unwrap_or(told), output };
        let forwarding = feed.run();
        tokio::pin!(revoked, forwarding);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => break close_message(1001, "the bridge stops"),
                () = &mut revoked => break close_message(4001, End::signed_out().reason),
                message = stream.next() => match message {
                    // There is nothing to say here; pings are answered by the library.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                broken = &mut forwarding => {
                    let Err(err) = broken;
                    return tracing::debug!("event stream: {err}");
                }
            }
        }
    };
    drop(tokio::time::timeout(super::CLOSE_TIMEOUT, sink.send(closing)).await);
}

fn allowed(principal: Option<Principal>) -> Outcome<Principal> {
    let principal = principal
        .ok_or_else(|| Failure::new(ErrorCode::Unauthenticated, "no token, or not one of ours: sign in first"))?;
    principal.need(Right::Observe)?;
    Ok(principal)
}

/// Which output was told of, and when it is looked for again.
struct Output {
    told: HashMap<SessionId, u64>,
    due: Instant,
}

struct Feed<'a> {
    app: Arc<App>,
    principal: Principal,
    sink: &'a mut SplitSink<WebSocket, Message>,
    /// The event up to which all were told.
    seen: u64,
    output: Option<Output>,
}

impl Feed<'_> {
    async fn run(&mut self) -> Result<Infallible, axum::Error> {
        let mut changed = self.app.events.subscribe();
        let floor = self.principal.events_floor();
        if self.seen > self.app.events.told() {
            // Of another log, or of a later state of this one: what of this one it has heard is anybody's guess.
            let anew = self.app.events.anew(floor, PAGE).await;
            self.tell(anew).await?;
        }
        self.seen = self.seen.max(floor);
        loop {
            changed.mark_unchanged();
            while self.catch_up().await? {
                self.tell_output().await?;
            }
            let due = self.output.as_ref().map(|output| output.due);
            tokio::select! {
                // The log outlives whoever listens to it.
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.tell_output().await?;
        }
    }

    /// Tells what comes next; whether there was something.
    async fn catch_up(&mut self) -> Result<bool, axum::Error> {
        let after = self.app.events.after(self.seen, PAGE).await;
        self.tell(after).await
    }

    async fn tell(&mut self, after: After) -> Result<bool, axum::Error> {
        match after {
            After::AtHand(entries) => {
                for entry in &entries {
                    self.seen = entry.event.seq;
                    if self.hears_of(&entry.event) {
                        self.feed(entry.text.clone()).await?;
                    }
                }
                self.sink.flush().await?;
                Ok(!entries.is_empty())
            }
            After::Older { gap, events, cursor } => {
                if let Some(gap) = gap {
                    self.feed(gap.text.clone()).await?;
                }
                for event in events {
                    if self.hears_of(&event) {
                        self.feed(text(&event)).await?;
                    }
                }
                self.seen = cursor;
                self.sink.flush().await?;
                Ok(true)
            }
        }
    }

    /// Whether the principal may see what an event is about.
    fn hears_of(&self, event: &Event) -> bool {
        match event.scope {
            // That there was more is for everybody to know.
            Scope::System => self.principal.share.is_none() || event.kind == GAP,
            Scope::Approval => self.hears_of_approval(event),
            Scope::Session => event.scope_id.parse().ok().is_some_and(|id: SessionId| match self.app.catalog.get(id) {
                Some(session) => self.principal.sees(&session, self.app.catalog.row(id).as_ref()),
                // That it is gone hear those who saw it; what was before, only those who would see any.
                None => Whose::of(event)
                    .map_or_else(|| self.principal.has(Right::Admin), |whose| self.principal.sees_one_of(id, &whose)),
            }),
        }
    }

    /// Who asked hears of it, and who sees the session that it is about.
    fn hears_of_approval(&self, event: &Event) -> bool {
        if self.principal.share.is_some() {
            return false;
        }
        let of = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
        if of("requested_by") == Some(self.principal.id.as_str()) {
            return true;
        }
        if self.principal.role == PrincipalRole::Agent {
            return false;
        }
        match of("session_id").and_then(|id| id.parse::<SessionId>().ok()) {
            Some(id) => match self.app.catalog.get(id) {
                Some(session) => self.principal.sees(&session, self.app.catalog.row(id).as_ref()),
                None => self.principal.workspace_ids.is_none(),
            },
            None => self.principal.workspace_ids.is_none(),
        }
    }

    async fn tell_output(&mut self) -> Result<(), axum::Error> {
        let Some(output) = self.output.as_mut().filter(|output| output.due <= Instant::now()) else { return Ok(()) };
        output.due = Instant::now() + OUTPUT_INTERVAL;
        let mut grown = Vec::new();
        for session in self.app.catalog.all() {
            let head = session.live().head;
            let before = output.told.insert(session.id, head);
            if before.is_some_and(|before| before < head)
                && self.principal.sees(&session, self.app.catalog.row(session.id).as_ref())
            {
                grown.push((session.id, session.cursor(head)));
            }
        }
        for (id, cursor) in grown {
            let event = Event {
                seq: self.seen,
                scope: Scope::Session,
                scope_id: id.to_string(),
                kind: "stdout".to_owned(),
                at: clock::rfc3339(clock::now_us()),
                data: json!({ "cursor": cursor }),
            };
            self.feed(text(&event)).await?;
        }
        self.sink.flush().await
    }

    async fn feed(&mut self, text: Utf8Bytes) -> Result<(), axum::Error> {
        self.sink.feed(Message::Text(text)).await
    }
}
