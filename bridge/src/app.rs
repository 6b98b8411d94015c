//! What every route can reach.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::ids::{ClientId, SessionId};
use baton_proto::v1::{Class, ClientKind};
use tokio::sync::{Mutex, watch};

use crate::access::logins::Logins;
use crate::access::origin::Names;
use crate::access::proxies::Proxies;
use crate::access::rate::Limiter;
use crate::access::shares::Shares;
use crate::access::tokens::Tokens;
use crate::access::{Principal, Right, reach};
use crate::approval::inbox::Inbox;
use crate::audit::Audit;
use crate::clock;
use crate::config::Options;
use crate::events::EventLog;
use crate::hub::presence::{End, Identity};
use crate::hub::session::{HubContext, Session};
use crate::idempotency::InProgress;
use crate::problem::{Failure, Outcome};
use crate::settings::Settings;
use crate::settings::agents::Agents;
use crate::settings::environment::Environment;
use crate::store::Store;
use crate::upstream::catalog::Catalog;
use crate::upstream::sessiond::Sessiond;

/// How often it is looked whether a token's time is up, at least.
const EXPIRY_LOOK: Duration = Duration::from_secs(30);
/// Client ids whose principal is remembered without asking the database.
const BINDINGS_MAX: usize = 50_000;

/// Numbers for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Connections open.
    pub connections: AtomicUsize,
    /// Connections refused because there were too many.
    pub connections_refused: AtomicU64,
    /// WebSockets open.
    pub sockets: AtomicUsize,
    /// Bytes sent to WebSockets.
    pub sent_bytes: AtomicU64,
    /// Journal ranges read for those who lag.
    pub ranges: AtomicU64,
    /// Screens sent to WebSockets.
    pub screens: AtomicU64,
}

/// The bridge's state.
#[derive(Debug)]
pub struct App {
    /// What it was started with.
    pub options: Options,
    /// The settings that change while it runs.
    pub settings: Settings,
    /// The environment that sessions start from.
    pub environment: Environment,
    /// What is known of agents' programs.
    pub agents: Agents,
    /// The database.
    pub store: Store,
    /// The event log.
    pub events: EventLog,
    /// The audit log.
    pub audit: Audit,
    /// What waits for a person.
    pub inbox: Inbox,
    /// All sessions.
    pub catalog: Arc<Catalog>,
    /// The control connection.
    pub sessiond: Sessiond,
    /// What all hubs share.
    pub context: Arc<HubContext>,
    /// Access tokens.
    pub tokens: Tokens,
    /// Logins of browsers.
    pub logins: Logins,
    /// Share links.
    pub shares: Shares,
    /// What stands in front of us.
    pub proxies: Proxies,
    /// What requests may call us.
    pub names: Names,
    /// Where the page is.
    pub url: String,
    /// Requests of a principal.
    pub by_principal: Limiter<String>,
    /// Requests of an address by nobody we know.
    pub by_address: Limiter<IpAddr>,
    /// Failed attempts to sign in from an address.
    pub failures: Limiter<Option<IpAddr>>,
    /// Creations by `terminal_id` come one after the other: two of one id are one session.
    pub creating: Mutex<()>,
    /// Mutations under an `Idempotency-Key` that are being carried out.
    pub in_progress: InProgress,
    /// When it started, microseconds since 1970.
    pub started_us: u64,
    /// Numbers.
    pub counters: Counters,
    /// True once the bridge stops.
    pub stopping: watch::Receiver<bool>,
    /// Changes whenever somebody may do less than before: a token or a share link is removed, a login ends, a session is taken back.
    pub revoked: watch::Sender<()>,
    pub(crate) bindings: RwLock<HashMap<ClientId, String>>,
}

impl App {
    /// Who is behind the id of a token, of a share link, or of a name that a proxy said; while it is good.
    #[must_use]
    pub fn principal(&self, id: &str) -> Option<Principal> {
        if let Some((principal, maker)) = self.shares.principal(id) {
            let maker = self.tokens.by_id(&maker).or_else(|| self.proxies.principal(&maker));
            return maker.map(|_| principal);
        }
        self.tokens.by_id(id).or_else(|| self.proxies.principal(id))
    }

    /// Resolves when a principal is no longer good: removed, signed out, or its time is up.
    pub async fn until_revoked(&self, principal: &Principal) {
        let mut revoked = self.revoked.subscribe();
        while let Some(good) = self.principal(&principal.id) {
            let mut expires_us = good.expires_us;
            if let Some(login) = principal.login {
                let Some(until_us) = self.logins.good_until(login) else { return };
                expires_us = Some(expires_us.map_or(until_us, |expires_us| expires_us.min(until_us)));
            }
            let left = expires_us.map(|at| Duration::from_micros(at.saturating_sub(clock::now_us())));
            // The clock may be set meanwhile.
            let look = left.map_or(EXPIRY_LOOK, |left| left.min(EXPIRY_LOOK));
            tokio::select! {
                changed = revoked.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(look), if left.is_some() => {}
            }
        }
    }

    /// Resolves when a principal may no longer see a session.
    pub async fn until_unseen(&self, principal: &Principal, session: &Session) {
        let mut revoked = self.revoked.subscribe();
        while principal.sees(session, self.catalog.row(session.id).as_ref()) {
            if revoked.changed().await.is_err() {
                return;
            }
        }
    }

    /// Cuts an agent off that a session was taken back from: its streams end by themselves, its lease here, however it came by it.
    pub async fn take_back(&self, session: &Session, agent: &str) {
        self.revoked.send_replace(());
        let Ok(client) = format!("agent:{agent}").parse::<ClientId>() else { return };
        let identity = Identity { name: client.to_string(), client, kind: ClientKind::Agent, class: Class::Agent };
        // One that is not there has nothing to give up.
        if let Ok(attached) = session.rest(identity, false).await {
            attached.presence.end(End::out_of_sight());
            session.detach(attached.attachment, true).await;
        }
    }

    /// A session that this principal may see.
    ///
    /// # Errors
    /// `not_found`; `sessiond_down` while it is not known which sessions there are.
    pub async fn session(&self, principal: &Principal, id: SessionId) -> Outcome<Arc<Session>> {
        let session = match self.catalog.get(id) {
            Some(session) => session,
            None => {
                self.sessiond.listed().await?;
                self.catalog.get(id).ok_or_else(Failure::no_session)?
            }
        };
        if principal.sees(&session, self.catalog.row(id).as_ref()) { Ok(session) } else { Err(Failure::no_session()) }
    }

    /// Refuses to give control to a client whose principal may only watch, here or anywhere.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_be_given_control(&self, session: &Session, client: &ClientId) -> Outcome<()> {
        // Who is attached was bound here; who is not is refused by the worker.
        let bound = self.bindings.read().unwrap_or_else(PoisonError::into_inner).get(client).cloned();
        let principal = bound.and_then(|id| self.principal(&id));
        if principal.as_ref().is_some_and(|principal| !principal.has(Right::Control)) {
            return Err(Failure::new(ErrorCode::Forbidden, "that client may only watch: control can't be given to it"));
        }
        let class = if client.agent_id().is_some() { Class::Agent } else { Class::Person };
        let class = principal.map_or(class, |principal| principal.class());
        let entry = session.entry();
        let its_own = client.agent_id().is_some() && entry.spec.creator.as_ref() == Some(client);
        if !its_own && !reach::reaches(class, entry.spec.profile) {
            let detail = "that client is an agent, and this session is not confined: it may only watch";
            return Err(Failure::new(ErrorCode::Forbidden, detail));
        }
        Ok(())
    }

    /// Binds a client id to its principal at first use.
    ///
    /// # Errors
    /// `client_id_taken`.
    pub async fn bind(&self, principal: &Principal, client: &ClientId) -> Outcome<()> {
        principal.may_be(client)?;
        let known = self.bindings.read().unwrap_or_else(PoisonError::into_inner).get(client).cloned();
        let bound = match known {
            Some(bound) => bound,
            None => {
                // A database that fails takes no client's session away: the binding then lasts as long as the bridge.
                let bound = self.store.bind_client(client.clone(), principal.id.clone()).await;
                let bound = bound.unwrap_or_else(|_| principal.id.clone());
                let mut bindings = self.bindings.write().unwrap_or_else(PoisonError::into_inner);
                if bindings.len() >= BINDINGS_MAX {
                    bindings.clear();
                }
                bindings.entry(client.clone()).or_insert(bound).clone()
            }
        };
        // An agent's id is its own whichever token it has.
        if bound == principal.id || client.agent_id().is_some() {
            return Ok(());
        }
        let detail = "another principal used this client id first; choose a new random UUID";
        Err(Failure::new(ErrorCode::ClientIdTaken, detail))
    }
}
