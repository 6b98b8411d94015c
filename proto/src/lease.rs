//! The lease machine: who may type. Pure; the clock is an argument. The worker runs it; nobody else keeps an owner.
//!
//! ```text
//!            claim                       nothing heard for the lifetime
//!   free ───────────► held (carried) ──────────────────────────────► expired ── claim by anybody ──► held
//!    ▲                  │  ▲   │ connection gone: runs out at now + lifetime        │
//!    └── release, detach┘  └───┴────────────────── heard of again ─────────────────┘
//! ```
//!
//! * A change of owner (or to none) raises the epoch and is announced to all; renewal keeps it.
//! * An expired lease is claimable, not revoked: its owner goes on until somebody claims.
//! * The lifetime is counted only while the carrying connection is gone: an idle session wakes nobody.
//! * Nothing here takes a lease by itself: not attaching, not a viewport, not a byte.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::ErrorCode;
use crate::ids::{ClientId, Epoch};
use crate::v1::{Attachment, Class, ClientKind, LeaseOwner, LeaseRecord};

/// Nanoseconds of CLOCK_MONOTONIC: a sleeping laptop ends no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// So much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How much later than `earlier`; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Seconds a standing claim waits.
pub const REQUEST_TTL: Duration = Duration::from_secs(60);

/// Standing claims kept at once; one more is refused.
pub const REQUESTS_MAX: usize = 64;

/// Attached clients at once; one more is refused.
pub const CLIENTS_MAX: usize = 16 * 1024;

/// Answers to claims kept for repetition.
const ANSWERS_MAX: usize = 32;

/// What the machine wants told. In order; to be journalled and sent in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To everybody: the lease as it is now. `changed`: a new owner or none, so that what was queued under the old epoch is dropped.
    Announce {
        /// The lease.
        record: LeaseRecord,
        /// A new epoch.
        changed: bool,
    },
    /// To the owner: somebody asks for control.
    Requested {
        /// The owner.
        owner: ClientId,
        /// Who asks.
        client: ClientId,
        /// Its name.
        name: String,
    },
    /// To who asked: no (`by`), or too late (`None`).
    Denied {
        /// Who asked.
        client: ClientId,
        /// Who said no.
        by: Option<String>,
    },
    /// To the older connection of a client: a newer took its place.
    Replaced {
        /// The older.
        attachment: Attachment,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The client is not attached.
    NotAttached,
    /// Somebody holds the lease, and the rules do not let this client take it.
    Held {
        /// Who.
        owner: LeaseOwner,
        /// Whether `force` would do.
        force_helps: bool,
    },
    /// The client does not hold the lease.
    NotOwner,
    /// The client held it under this epoch and lost it.
    Lost {
        /// Who has it now.
        by: Option<LeaseOwner>,
    },
    /// The epoch is another by now (`if_epoch`).
    EpochMoved,
    /// A bound is reached.
    TooMany {
        /// The bound.
        max: usize,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotAttached => ErrorCode::ClientNotAttached,
            Self::Held { .. } | Self::EpochMoved => ErrorCode::LeaseHeld,
            Self::NotOwner => ErrorCode::NotOwner,
            Self::Lost { .. } => ErrorCode::LeaseLost,
            Self::TooMany { .. } => ErrorCode::RateLimited,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The connection that carries it lives.
    Carried,
    /// That connection is gone; the lease expires then.
    Until(Monotonic),
    /// Claimable.
    Expired,
}

#[derive(Debug, Clone)]
struct Held {
    owner: LeaseOwner,
    life: Life,
}

#[derive(Debug, Clone)]
struct Attached {
    attachment: Attachment,
    kind: ClientKind,
    class: Class,
    name: String,
}

#[derive(Debug, Clone)]
struct Request {
    client: ClientId,
    until: Monotonic,
}

/// The lease of one session, and who is attached to it.
#[derive(Debug, Clone)]
pub struct LeaseMachine {
    ttl: Duration,
    epoch: Epoch,
    held: Option<Held>,
    /// Owner of the epoch before the current one, to tell `lease_lost` from `not_owner`.
    previous: Option<(ClientId, Epoch)>,
    attached: BTreeMap<ClientId, Attached>,
    requests: VecDeque<Request>,
    answers: VecDeque<(ClientId, u64, Result<LeaseRecord, Refusal>)>,
}

impl LeaseMachine {
    /// A free lease.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            epoch: Epoch(0),
            held: None,
            previous: None,
            attached: BTreeMap::new(),
            requests: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// The machine as the journal's last lease record left it: a successor's start. Nobody is attached yet, so an owner's
    /// lease runs out unless it comes back.
    #[must_use]
    pub fn recovered(ttl: Duration, last: &LeaseRecord, now: Monotonic) -> Self {
        let life = if last.expired { Life::Expired } else { Life::Until(now.after(ttl)) };
        Self { epoch: last.epoch, held: last.owner.clone().map(|owner| Held { owner, life }), ..Self::new(ttl) }
    }

    /// The lease as it is.
    #[must_use]
    pub fn record(&self, now: Monotonic) -> LeaseRecord {
        let expires_in_ms = match self.held.as_ref().map(|held| held.life) {
            Some(Life::Until(at)) => Some(u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX)),
            Some(Life::Expired) => Some(0),
            Some(Life::Carried) | None => None,
        };
        LeaseRecord {
            epoch: self.epoch,
            owner: self.held.as_ref().map(|held| held.owner.clone()),
            expired: self.held.as_ref().is_some_and(|held| held.life == Life::Expired),
            expires_in_ms,
        }
    }

    /// The current epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The owner, if any (expired or not).
    #[must_use]
    pub fn owner(&self) -> Option<&LeaseOwner> {
        self.held.as_ref().map(|held| &held.owner)
    }

    /// Whether this client is attached, and under which number.
    #[must_use]
    pub fn attachment(&self, client: &ClientId) -> Option<Attachment> {
        self.attached.get(client).map(|attached| attached.attachment)
    }

    /// When [`Self::tick`] has something to do, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        let lease = match self.held.as_ref().map(|held| held.life) {
            Some(Life::Until(at)) => Some(at),
            _ => None,
        };
        lease.into_iter().chain(self.requests.iter().map(|request| request.until)).min()
    }

    /// A client attaches. A newer connection replaces an older and keeps the lease.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] at [`CLIENTS_MAX`].
    pub fn attach(
        &mut self,
        client: &ClientId,
        attachment: Attachment,
        kind: ClientKind,
        class: Class,
        name: &str,
        now: Monotonic,
    ) -> Result<Vec<Effect>, Refusal> {
        if self.attached.len() >= CLIENTS_MAX && !self.attached.contains_key(client) {
            return Err(Refusal::TooMany { max: CLIENTS_MAX });
        }
        let mut effects = Vec::new();
        let attached = Attached { attachment, kind, class, name: name.to_owned() };
        if let Some(older) = self.attached.insert(client.clone(), attached) {
            effects.push(Effect::Replaced { attachment: older.attachment });
        }
        effects.extend(self.revive(client, now));
        Ok(effects)
    }

    /// A client leaves: its lease is released, its standing claim dropped.
    pub fn detach(&mut self, client: &ClientId, now: Monotonic) -> Vec<Effect> {
        if self.attached.remove(client).is_none() {
            return Vec::new();
        }
        self.requests.retain(|request| request.client != *client);
        if self.is_owner(client) { self.change(None, now) } else { Vec::new() }
    }

    /// A client's connection is gone: presence ends now, its lease runs out.
    pub fn gone(&mut self, client: &ClientId, now: Monotonic) -> Vec<Effect> {
        if self.attached.remove(client).is_none() {
            return Vec::new();
        }
        self.requests.retain(|request| request.client != *client);
        if let Some(held) = self.held.as_mut().filter(|held| held.owner.client == *client)
            && held.life == Life::Carried
        {
            held.life = Life::Until(now.after(self.ttl));
        }
        Vec::new()
    }

    /// Nothing was heard of an attached client for the lifetime.
    pub fn silent(&mut self, client: &ClientId, now: Monotonic) -> Vec<Effect> {
        match self.held.as_mut() {
            Some(held) if held.owner.client == *client && held.life != Life::Expired => {
                held.life = Life::Expired;
                self.announce_expiry(now)
            }
            _ => Vec::new(),
        }
    }

    /// An attached client is heard of: its lease is renewed. An expired one that nobody claimed is valid again, which is
    /// told to all, because all were told that it had expired.
    pub fn revive(&mut self, client: &ClientId, now: Monotonic) -> Vec<Effect> {
        // Without a connection to carry it the lease would never run out again.
        if !self.attached.contains_key(client) {
            return Vec::new();
        }
        match self.held.as_mut() {
            Some(held) if held.owner.client == *client && held.life != Life::Carried => {
                let expired = held.life == Life::Expired;
                held.life = Life::Carried;
                if expired { vec![Effect::Announce { record: self.record(now), changed: false }] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// Take the lease. A repeated `request` (not 0) of the same client repeats its answer and changes nothing.
    /// A refusal may come with effects too: time may have run out for others.
    ///
    /// # Errors
    /// [`Refusal::NotAttached`], [`Refusal::Held`], [`Refusal::EpochMoved`].
    pub fn claim(
        &mut self,
        client: &ClientId,
        force: bool,
        if_epoch: Option<Epoch>,
        request: u64,
        now: Monotonic,
    ) -> (Result<LeaseRecord, Refusal>, Vec<Effect>) {
        if request != 0
            && let Some((_, _, answer)) =
                self.answers.iter().find(|(who, number, _)| who == client && *number == request)
        {
            return (answer.clone(), Vec::new());
        }
        let mut effects = Vec::new();
        let answer = self.try_claim(client, force, if_epoch, now, &mut effects).map(|()| self.record(now));
        if request != 0 {
            if self.answers.len() == ANSWERS_MAX {
                self.answers.pop_front();
            }
            self.answers.push_back((client.clone(), request, answer.clone()));
        }
        (answer, effects)
    }

    fn try_claim(
        &mut self,
        client: &ClientId,
        force: bool,
        if_epoch: Option<Epoch>,
        now: Monotonic,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let class = self.attached.get(client).ok_or(Refusal::NotAttached)?.class;
        if !self.is_owner(client) {
            // A timer may be late: what has run out by now goes by the rules before anybody new is served.
            effects.extend(self.tick(now));
        }
        if if_epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Refusal::EpochMoved);
        }
        if self.is_owner(client) {
            effects.extend(self.revive(client, now));
            return Ok(());
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.life != Life::Expired) {
            // A person takes from an agent as of right; an agent never forces a person.
            let (allowed, force_helps) = match (class, held.owner.class) {
                (Class::Person, Class::Agent) => (true, true),
                (Class::Agent, Class::Person) => (false, false),
                _ => (force, true),
            };
            if !allowed {
                return Err(Refusal::Held { owner: held.owner.clone(), force_helps });
            }
        }
        effects.extend(self.change(Some(client.clone()), now));
        Ok(())
    }

    /// The owner gives the lease up.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`].
    pub fn release(&mut self, client: &ClientId, now: Monotonic) -> Result<Vec<Effect>, Refusal> {
        if !self.is_owner(client) {
            return Err(Refusal::NotOwner);
        }
        Ok(self.change(None, now))
    }

    /// The owner gives the lease to somebody attached.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`], [`Refusal::NotAttached`] (of `to`).
    pub fn transfer(&mut self, client: &ClientId, to: &ClientId, now: Monotonic) -> Result<Vec<Effect>, Refusal> {
        if !self.is_owner(client) {
            return Err(Refusal::NotOwner);
        }
        if !self.attached.contains_key(to) {
            return Err(Refusal::NotAttached);
        }
        if client == to {
            return Ok(self.revive(client, now));
        }
        Ok(self.change(Some(to.clone()), now))
    }

    /// A standing claim: carried out now if the lease is free or expired, else when it becomes so, oldest first.
    ///
    /// # Errors
    /// [`Refusal::NotAttached`], [`Refusal::TooMany`].
    pub fn request(&mut self, client: &ClientId, now: Monotonic) -> Result<Vec<Effect>, Refusal> {
        let name = self.attached.get(client).ok_or(Refusal::NotAttached)?.name.clone();
        if self.is_owner(client) {
            return Ok(self.revive(client, now));
        }
        let mut effects = self.tick(now);
        if self.is_owner(client) {
            return Ok(effects);
        }
        let Some(held) = self.held.as_ref().filter(|held| held.life != Life::Expired) else {
            effects.extend(self.change(Some(client.clone()), now));
            return Ok(effects);
        };
        let owner = held.owner.client.clone();
        let until = now.after(REQUEST_TTL);
        // Asking again keeps the place in the queue and starts the minute anew.
        if let Some(request) = self.requests.iter_mut().find(|request| request.client == *client) {
            request.until = until;
        } else if self.requests.len() >= REQUESTS_MAX {
            // No effect of the tick is lost here: one that has any leaves room.
            return Err(Refusal::TooMany { max: REQUESTS_MAX });
        } else {
            self.requests.push_back(Request { client: client.clone(), until });
        }
        effects.push(Effect::Requested { owner, client: client.clone(), name });
        Ok(effects)
    }

    /// The owner says no to a standing claim.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`], [`Refusal::NotAttached`] when `asker` has no standing claim.
    pub fn deny(&mut self, client: &ClientId, asker: &ClientId) -> Result<Vec<Effect>, Refusal> {
        let by = match self.held.as_ref() {
            Some(held) if held.owner.client == *client => held.owner.name.clone(),
            _ => return Err(Refusal::NotOwner),
        };
        let before = self.requests.len();
        self.requests.retain(|request| request.client != *asker);
        if self.requests.len() == before {
            return Err(Refusal::NotAttached);
        }
        Ok(vec![Effect::Denied { client: asker.clone(), by: Some(by) }])
    }

    /// Whether this client may type or resize under this epoch. Accepted input is a sign of life.
    ///
    /// # Errors
    /// [`Refusal::NotOwner`], [`Refusal::Lost`].
    pub fn admit(&mut self, client: &ClientId, epoch: Option<Epoch>, now: Monotonic) -> Result<Vec<Effect>, Refusal> {
        let current = epoch.is_none_or(|epoch| epoch == self.epoch);
        if self.is_owner(client) && current && self.attached.contains_key(client) {
            return Ok(self.revive(client, now));
        }
        let lost = self
            .previous
            .as_ref()
            .is_some_and(|(who, theirs)| who == client && epoch.is_none_or(|epoch| epoch == *theirs));
        if lost && !self.is_owner(client) {
            return Err(Refusal::Lost { by: self.owner().cloned() });
        }
        Err(Refusal::NotOwner)
    }

    /// Time has passed: leases and standing claims run out.
    pub fn tick(&mut self, now: Monotonic) -> Vec<Effect> {
        let mut effects = Vec::new();
        while self.requests.iter().any(|request| request.until <= now) {
            let Some(at) = self.requests.iter().position(|request| request.until <= now) else { break };
            if let Some(request) = self.requests.remove(at) {
                effects.push(Effect::Denied { client: request.client, by: None });
            }
        }
        if let Some(held) = self.held.as_mut()
            && matches!(held.life, Life::Until(at) if at <= now)
        {
            held.life = Life::Expired;
            effects.extend(self.announce_expiry(now));
        }
        effects
    }

    fn announce_expiry(&mut self, now: Monotonic) -> Vec<Effect> {
        let mut effects = vec![Effect::Announce { record: self.record(now), changed: false }];
        if let Some(next) = self.next_request(now) {
            effects.extend(self.change(Some(next), now));
        }
        effects
    }

    fn is_owner(&self, client: &ClientId) -> bool {
        self.held.as_ref().is_some_and(|held| held.owner.client == *client)
    }

    /// The oldest standing claim that still stands; it stays until its client has the lease.
    fn next_request(&self, now: Monotonic) -> Option<ClientId> {
        let stands = |request: &&Request| request.until > now && self.attached.contains_key(&request.client);
        self.requests.iter().find(stands).map(|request| request.client.clone())
    }

    /// Gives the lease to `to` (attached), or to the oldest standing claim if `to` is none and there is one.
    fn change(&mut self, to: Option<ClientId>, now: Monotonic) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.set_owner(to.clone(), now, &mut effects);
        if to.is_none()
            && let Some(next) = self.next_request(now)
        {
            self.set_owner(Some(next), now, &mut effects);
        }
        effects
    }

    fn set_owner(&mut self, to: Option<ClientId>, now: Monotonic, effects: &mut Vec<Effect>) {
        if let Some(held) = self.held.take() {
            self.previous = Some((held.owner.client, self.epoch));
        }
        self.epoch = self.epoch.next();
        self.held = to.and_then(|client| {
            self.requests.retain(|request| request.client != client);
            let attached = self.attached.get(&client)?;
            let owner = LeaseOwner { client, name: attached.name.clone(), kind: attached.kind, class: attached.class };
            Some(Held { owner, life: Life::Carried })
        });
        effects.push(Effect::Announce { record: self.record(now), changed: true });
    }
}
