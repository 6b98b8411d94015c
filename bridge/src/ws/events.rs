//! `WS /v1/events`: everything the principal may see, as it happens.
//!
//! Each message is an `Event`. A client that comes back with a cursor gets what happened since; when some of that is no
//! longer kept, an event of type `gap` with `{"lost": n}` comes first. With `output=1` the client is told of output as
//! events of type `stdout` that name the cursor; the bytes themselves are read from the session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use baton_proto::ErrorCode;
use baton_proto::api::{Event, PrincipalRole, Scope};
use baton_proto::ids::SessionId;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::{close_message, refuse, upgraded};
use crate::access::{Principal, Right};
use crate::app::App;
use crate::clock;
use crate::extract::Filter;
use crate::gate::Caller;
use crate::problem::{Failure, Outcome};
use crate::serve::{Place, stopped};

/// Events read from the database at once.
const PAGE: u32 = 500;
/// How often output is looked for, for `output=1`.
const OUTPUT_INTERVAL: Duration = Duration::from_millis(250);

/// The query of `/v1/events`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Go on after this `seq`; none = from now on.
    cursor: Option<u64>,
    /// 1: be told of output too.
    output: Option<u8>,
}

/// What happens, to all sessions the principal may see (WebSocket). Each message is an `Event`.
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
    upgraded(upgrade, &headers, move |socket, _| async move {
        let _place = place;
        let principal = match allowed(principal) {
            Ok(principal) => principal,
            Err(failure) => return refuse(socket, failure).await,
        };
        Feed { app, principal, socket, seen: 0, output: (query.output == Some(1)).then(HashMap::new) }
            .run(query.cursor)
            .await;
    })
}

fn allowed(principal: Option<Principal>) -> Outcome<Principal> {
    let principal = principal
        .ok_or_else(|| Failure::new(ErrorCode::Unauthenticated, "no token, or not one of ours: sign in first"))?;
    principal.need(Right::Observe)?;
    Ok(principal)
}

struct Feed {
    app: Arc<App>,
    principal: Principal,
    socket: WebSocket,
    seen: u64,
    output: Option<HashMap<SessionId, u64>>,
}

impl Feed {
    async fn run(mut self, cursor: Option<u64>) {
        let mut changed = self.app.events.subscribe();
        let mut stopping = self.app.stopping.clone();
        let (app, principal) = (Arc::clone(&self.app), self.principal.clone());
        let revoked = app.until_revoked(&principal);
        tokio::pin!(revoked);
        let newest = self.app.events.newest();
        self.seen = cursor.unwrap_or(newest).min(newest).max(self.principal.events_floor());
        let mut tick = tokio::time::interval(OUTPUT_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let closing = loop {
            if self.catch_up().await.is_err() {
                return;
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                message = self.socket.recv() => match message {
                    // There is nothing to say here; pings are answered by the library.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                _ = tick.tick(), if self.output.is_some() => if self.tell_output().await.is_err() { return },
                () = stopped(&mut stopping) => break close_message(1001, "the bridge stops"),
                () = &mut revoked => break close_message(4001, "the token was removed"),
            }
        };
        drop(tokio::time::timeout(super::CLOSE_TIMEOUT, self.socket.send(closing)).await);
    }

    async fn catch_up(&mut self) -> Result<(), axum::Error> {
        loop {
            if let Some(events) = self.app.events.recent_after(self.seen) {
                if events.is_empty() {
                    return Ok(());
                }
                for event in events {
                    self.seen = event.seq;
                    self.tell(&event).await?;
                }
                continue;
            }
            // Further back than memory: the database has it, or nobody.
            let page = self.app.store.events_after(self.seen, None, None, PAGE).await.unwrap_or_default();
            let next = page.first().map_or_else(|| self.app.events.newest() + 1, |event| event.seq);
            let lost = next.saturating_sub(self.seen + 1);
            if lost > 0 {
                self.seen = next - 1;
                let gap = Event {
                    seq: self.seen,
                    scope: Scope::System,
                    scope_id: "baton".to_owned(),
                    kind: "gap".to_owned(),
                    at: clock::rfc3339(clock::now_us()),
                    data: json!({ "lost": lost }),
                };
                self.send(&gap).await?;
            }
            for event in page {
                self.seen = event.seq;
                self.tell(&event).await?;
            }
        }
    }

    /// Sends an event if the principal may see what it is about.
    async fn tell(&mut self, event: &Event) -> Result<(), axum::Error> {
        let visible = match event.scope {
            Scope::System => self.principal.share.is_none(),
            Scope::Approval => self.hears_of_approval(event),
            Scope::Session => event.scope_id.parse().ok().is_some_and(|id: SessionId| match self.app.catalog.get(id) {
                Some(session) => self.principal.sees(&session, self.app.catalog.row(id).as_ref()),
                // Of a session that is gone only those hear who would see any.
                None => self.principal.has(Right::Admin),
            }),
        };
        if visible { self.send(event).await } else { Ok(()) }
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
        let mut grown = Vec::new();
        if let Some(heads) = self.output.as_mut() {
            for session in self.app.catalog.all() {
                let head = session.live().head;
                let before = heads.insert(session.id, head);
                if before.is_some_and(|before| before < head)
                    && self.principal.sees(&session, self.app.catalog.row(session.id).as_ref())
                {
                    grown.push((session.id, session.cursor(head)));
                }
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
            self.send(&event).await?;
        }
        Ok(())
    }

    async fn send(&mut self, event: &Event) -> Result<(), axum::Error> {
        let text = serde_json::to_string(event).unwrap_or_else(|_| unreachable!("events have string keys only"));
        self.socket.send(Message::Text(text.into())).await
    }
}
