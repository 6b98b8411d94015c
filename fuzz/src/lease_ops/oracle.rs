//! The rules of the lease, as plainly as they can be written down.
//!
//! * At most one owner. A change is a new owner or none; it raises the epoch by one and is told to all.
//! * Renewal keeps the epoch. It is told to all only after an expiry was.
//! * Free and expired leases go to whoever claims. A held one: a person takes from an agent; an agent never from a person;
//!   between equals `force` decides.
//! * The lease of a client whose connection is gone expires a lifetime later; that of one fallen silent at once. An
//!   expired lease keeps owner and epoch until somebody claims.
//! * Standing claims are carried out oldest first when the lease becomes free or expires; they end with presence
//!   or after a minute. Asking again keeps the place.
//! * Only the owner, attached, under the current epoch, may type. Who held the epoch before lost it; others never had it.
//! * A repeated request id repeats its answer and does nothing.

use std::time::Duration;

use baton_proto::ErrorCode;
use baton_proto::ids::{ClientId, Epoch};
use baton_proto::lease::Monotonic;
use baton_proto::v1::{Attachment, Class, ClientKind, LeaseOwner, LeaseRecord};

/// How many clients there are.
pub const CLIENTS: usize = 5;
/// The lifetime of a lease.
pub const TTL: Duration = Duration::from_secs(15);
/// How long a standing claim stands.
const MINUTE: Duration = Duration::from_secs(60);

/// Whether this client is an agent.
#[must_use]
pub const fn is_agent(who: usize) -> bool {
    who >= 3
}

/// What an operation answers: for a claim the lease as it is then, for others nobody and 0; or a refusal.
pub type Answer = Result<(Option<usize>, Epoch), ErrorCode>;

/// What somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To all.
    Lease {
        /// Whose it is.
        owner: Option<usize>,
        /// Under which epoch.
        epoch: Epoch,
        /// Claimable by all.
        expired: bool,
        /// A new owner or none.
        changed: bool,
    },
    /// To the owner.
    Requested {
        /// Who owns it.
        owner: usize,
        /// Who asks.
        client: usize,
    },
    /// To who asked.
    Denied {
        /// Who asked.
        client: usize,
        /// Who said no; nobody when the minute is over.
        by: Option<usize>,
    },
    /// To an older connection.
    Replaced(Attachment),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    OverItsConnection,
    LastAt(Monotonic),
    NotForALifetime,
}

/// What is so, by the rules.
#[derive(Debug, Default)]
pub struct Oracle {
    epoch: Epoch,
    owner: Option<(usize, Heard)>,
    /// Who owned it last before now, and under which epoch.
    before: Option<(usize, Epoch)>,
    here: [Option<Attachment>; CLIENTS],
    /// Who asked for control, in order, and when it last did.
    standing: Vec<(usize, Monotonic)>,
    answered: Vec<(usize, u64, Answer)>,
    told: Vec<Told>,
    answer: Option<Answer>,
}

impl Oracle {
    /// What the last operation answered and whom it told what.
    pub fn taken(&mut self) -> (Option<Answer>, Vec<Told>) {
        (self.answer.take(), std::mem::take(&mut self.told))
    }

    /// A client attaches.
    pub fn attach(&mut self, who: usize, number: Attachment) {
        if let Some(older) = self.here[who].replace(number) {
            self.told.push(Told::Replaced(older));
        }
        self.renew(who);
        self.done();
    }

    /// A client leaves.
    pub fn detach(&mut self, who: usize, now: Monotonic) {
        if self.here[who].take().is_some() {
            self.standing.retain(|(asker, _)| *asker != who);
            if self.owns(who) {
                self.becomes_free(now);
            }
        }
    }

    /// A client's connection is gone.
    pub fn gone(&mut self, who: usize, now: Monotonic) {
        if self.here[who].take().is_some() {
            self.standing.retain(|(asker, _)| *asker != who);
            if self.owner == Some((who, Heard::OverItsConnection)) {
                self.owner = Some((who, Heard::LastAt(now)));
            }
        }
    }

    /// Nothing was heard of a client for the lifetime.
    pub fn silent(&mut self, who: usize, now: Monotonic) {
        if self.owns(who) && !self.has_expired() {
            self.expires(now);
        }
    }

    /// A client is heard of.
    pub fn renew(&mut self, who: usize) {
        if self.owns(who) && self.here[who].is_some() {
            let expired = self.has_expired();
            self.owner = Some((who, Heard::OverItsConnection));
            if expired {
                self.tell_lease(false);
            }
        }
    }

    /// A client claims.
    pub fn claim(&mut self, who: usize, force: bool, if_epoch: Option<Epoch>, request: u64, now: Monotonic) {
        let repeated =
            self.answered.iter().find(|(client, number, _)| request != 0 && (*client, *number) == (who, request));
        if let Some((_, _, answer)) = repeated {
            self.answer = Some(*answer);
            return;
        }
        let answer = self.claim_anew(who, force, if_epoch, now);
        let answer = answer.map(|()| (self.owner.map(|(owner, _)| owner), self.epoch));
        if request != 0 {
            self.answered.push((who, request, answer));
        }
        self.answer = Some(answer);
    }

    fn claim_anew(
        &mut self,
        who: usize,
        force: bool,
        if_epoch: Option<Epoch>,
        now: Monotonic,
    ) -> Result<(), ErrorCode> {
        if self.here[who].is_none() {
            return Err(ErrorCode::ClientNotAttached);
        }
        if !self.owns(who) {
            self.due(now);
        }
        if if_epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(ErrorCode::LeaseHeld);
        }
        match self.owner {
            Some((owner, _)) if owner == who => self.renew(who),
            Some((owner, _)) if !self.has_expired() && !may_take(who, owner, force) => {
                return Err(ErrorCode::LeaseHeld);
            }
            _ => self.goes_to(Some(who)),
        }
        Ok(())
    }

    /// A client gives the lease up.
    pub fn release(&mut self, who: usize, now: Monotonic) {
        if self.owns(who) {
            self.becomes_free(now);
            self.done();
        } else {
            self.refused(ErrorCode::NotOwner);
        }
    }

    /// A client gives it to another.
    pub fn transfer(&mut self, who: usize, to: usize) {
        if !self.owns(who) {
            self.refused(ErrorCode::NotOwner);
        } else if self.here[to].is_none() {
            self.refused(ErrorCode::ClientNotAttached);
        } else {
            if who == to {
                self.renew(who)
            } else {
                self.goes_to(Some(to))
            }
            self.done();
        }
    }

    /// A client asks for control.
    pub fn request(&mut self, who: usize, now: Monotonic) {
        if self.here[who].is_none() {
            return self.refused(ErrorCode::ClientNotAttached);
        }
        if !self.owns(who) {
            self.due(now);
        }
        match self.owner {
            Some((owner, _)) if owner == who => self.renew(who),
            Some((owner, _)) if !self.has_expired() => {
                match self.standing.iter_mut().find(|(asker, _)| *asker == who) {
                    Some((_, asked)) => *asked = now,
                    None => self.standing.push((who, now)),
                }
                self.told.push(Told::Requested { owner, client: who });
            }
            _ => self.goes_to(Some(who)),
        }
        self.done();
    }

    /// The owner says no.
    pub fn deny(&mut self, who: usize, asker: usize) {
        if !self.owns(who) {
            self.refused(ErrorCode::NotOwner);
        } else if !self.standing.iter().any(|(client, _)| *client == asker) {
            self.refused(ErrorCode::ClientNotAttached);
        } else {
            self.standing.retain(|(client, _)| *client != asker);
            self.told.push(Told::Denied { client: asker, by: Some(who) });
            self.done();
        }
    }

    /// A client types.
    pub fn admit(&mut self, who: usize, epoch: Option<Epoch>) {
        let under = epoch.unwrap_or(self.epoch);
        if self.owns(who) && self.here[who].is_some() && under == self.epoch {
            self.renew(who);
            self.done();
        } else if !self.owns(who)
            && self.before.is_some_and(|(last, theirs)| last == who && epoch.unwrap_or(theirs) == theirs)
        {
            self.refused(ErrorCode::LeaseLost);
        } else {
            self.refused(ErrorCode::NotOwner);
        }
    }

    /// What has become due by now happens.
    pub fn due(&mut self, now: Monotonic) {
        for (client, asked) in std::mem::take(&mut self.standing) {
            if asked.after(MINUTE) <= now {
                self.told.push(Told::Denied { client, by: None });
            } else {
                self.standing.push((client, asked));
            }
        }
        if let Some((_, Heard::LastAt(last))) = self.owner
            && last.after(TTL) <= now
        {
            self.expires(now);
        }
    }

    /// A successor knows the lease and nobody.
    pub fn restart(&mut self, now: Monotonic) {
        let owner = self.owner.map(|(owner, heard)| match heard {
            Heard::NotForALifetime => (owner, heard),
            Heard::OverItsConnection | Heard::LastAt(_) => (owner, Heard::LastAt(now)),
        });
        *self = Self { epoch: self.epoch, owner, ..Self::default() };
    }

    /// The lease as it is shown.
    pub fn record(
        &self,
        now: Monotonic,
        id: &dyn Fn(usize) -> ClientId,
        name: &dyn Fn(usize) -> String,
    ) -> LeaseRecord {
        let class = |who| if is_agent(who) { Class::Agent } else { Class::Person };
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        LeaseRecord {
            epoch: self.epoch,
            owner: self.owner.map(|(who, _)| LeaseOwner {
                client: id(who),
                name: name(who),
                kind: ClientKind::Cli,
                class: class(who),
            }),
            expired: self.has_expired(),
            expires_in_ms: self.owner.and_then(|(_, heard)| match heard {
                Heard::OverItsConnection => None,
                Heard::LastAt(last) => Some(millis(last.after(TTL).since(now))),
                Heard::NotForALifetime => Some(0),
            }),
        }
    }

    /// When something becomes due.
    #[must_use]
    pub fn deadline(&self) -> Option<Monotonic> {
        let lease = match self.owner {
            Some((_, Heard::LastAt(last))) => Some(last.after(TTL)),
            _ => None,
        };
        self.standing.iter().map(|(_, asked)| asked.after(MINUTE)).chain(lease).min()
    }

    /// Under which number a client is attached.
    #[must_use]
    pub fn attachment(&self, who: usize) -> Option<Attachment> {
        self.here[who]
    }

    fn owns(&self, who: usize) -> bool {
        self.owner.is_some_and(|(owner, _)| owner == who)
    }

    fn has_expired(&self) -> bool {
        matches!(self.owner, Some((_, Heard::NotForALifetime)))
    }

    fn expires(&mut self, now: Monotonic) {
        self.owner = self.owner.map(|(owner, _)| (owner, Heard::NotForALifetime));
        self.tell_lease(false);
        if let Some(next) = self.oldest_standing(now) {
            self.goes_to(Some(next));
        }
    }

    fn becomes_free(&mut self, now: Monotonic) {
        self.goes_to(None);
        if let Some(next) = self.oldest_standing(now) {
            self.goes_to(Some(next));
        }
    }

    fn oldest_standing(&self, now: Monotonic) -> Option<usize> {
        self.standing.iter().find(|(_, asked)| asked.after(MINUTE) > now).map(|(client, _)| *client)
    }

    fn goes_to(&mut self, to: Option<usize>) {
        if let Some((owner, _)) = self.owner {
            self.before = Some((owner, self.epoch));
        }
        self.epoch = self.epoch.next();
        self.owner = to.map(|to| (to, Heard::OverItsConnection));
        self.standing.retain(|(client, _)| Some(*client) != to);
        self.tell_lease(true);
    }

    fn tell_lease(&mut self, changed: bool) {
        let owner = self.owner.map(|(owner, _)| owner);
        self.told.push(Told::Lease { owner, epoch: self.epoch, expired: self.has_expired(), changed });
    }

    fn done(&mut self) {
        self.answer = Some(Ok((None, Epoch(0))));
    }

    fn refused(&mut self, code: ErrorCode) {
        self.answer = Some(Err(code));
    }
}

/// Whether a client may take a held lease from its owner.
const fn may_take(who: usize, owner: usize, force: bool) -> bool {
    match (is_agent(who), is_agent(owner)) {
        (false, true) => true,
        (true, false) => false,
        _ => force,
    }
}
