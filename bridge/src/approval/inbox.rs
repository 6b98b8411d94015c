//! What approvals need besides the database: the policy in force, the seals, and what is known of each request in memory only.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalRequest, RiskLevel};
use baton_proto::ids::ApprovalId;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::gated::Gated;
use super::sealed::Seals;
use crate::clock;
use crate::policy::file::{Change as PolicyChange, LivePolicy};
use crate::policy::{Noticed, Policy, Risk};
use crate::problem::{Failure, Outcome};
use crate::store::approvals::ApprovalRow;

/// What approvals need besides the database.
#[derive(Debug)]
pub struct Inbox {
    /// None when the install key can't be read: then nothing can be asked.
    seals: Option<Seals>,
    policy: Mutex<LivePolicy>,
    /// The policy's file was refused at the start: until it is mended, all that an agent does is asked about.
    refused: Mutex<Option<String>>,
    /// Changes of the policy's file, for whoever records them. A look at the file makes one at most.
    noticed: mpsc::UnboundedSender<Noticed>,
    hears: Mutex<Option<mpsc::UnboundedReceiver<Noticed>>>,
    changed: watch::Sender<u64>,
    /// Of what waits: when silence becomes a no at the latest, by the clock that nobody sets, in microseconds since boot.
    pub(super) deadlines: Mutex<HashMap<ApprovalId, u64>>,
    /// Input for a program that reads a password: never written down.
    pub(super) secrets: Mutex<HashMap<ApprovalId, Gated>>,
    pub(super) ttl: Duration,
}

/// What is sealed of a request: what was shown, without what changes.
pub(super) type Body = ApprovalRequest;

/// What is sealed of a decision.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    pub(super) edited_payload: Option<Value>,
    #[serde(default)]
    pub(super) notes: Option<String>,
}

pub(super) const fn risk_level(risk: Risk) -> RiskLevel {
    match risk {
        Risk::Low => RiskLevel::Low,
        Risk::Medium => RiskLevel::Medium,
        Risk::High => RiskLevel::High,
        Risk::Critical => RiskLevel::Critical,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// With the policy in this file and keys of this install key.
    #[must_use]
    pub fn open(policy: &Path, install_key: Option<&[u8; 32]>, ttl: Duration) -> Self {
        let (policy, refused) = match LivePolicy::open(policy) {
            Ok(live) => (live, None),
            Err(err) => {
                tracing::error!(
                    "the policy is refused; until it is mended a person is asked about all that agents do: {err}"
                );
                #[expect(clippy::expect_used, reason = "invariant: a test parses the shipped policy")]
                let shipped = LivePolicy::shipped(policy).expect("the shipped policy");
                (shipped, Some(err.to_string()))
            }
        };
        let (noticed, hears) = mpsc::unbounded_channel();
        Self {
            noticed,
            hears: Mutex::new(Some(hears)),
            seals: install_key.map(Seals::of),
            policy: Mutex::new(policy),
            refused: Mutex::new(refused),
            changed: watch::Sender::new(0),
            deadlines: Mutex::default(),
            secrets: Mutex::default(),
            ttl,
        }
    }

    /// The policy in force, and whether everything is asked about because its file was refused at the start.
    pub fn policy(&self) -> (Arc<Policy>, bool) {
        let (policy, change) = lock(&self.policy).current(Instant::now());
        self.notice(&policy, change);
        (policy, lock(&self.refused).is_some())
    }

    /// Looks at the policy's file now. Whether it has to be looked at again, because somebody may still be writing it.
    pub fn look_at_policy(&self) -> bool {
        let (policy, change) = {
            let mut live = lock(&self.policy);
            let change = live.look(Instant::now());
            (live.in_force(), change)
        };
        let unsettled = change == PolicyChange::Unsettled;
        self.notice(&policy, change);
        unsettled
    }

    fn notice(&self, policy: &Policy, change: PolicyChange) {
        let refused = match change {
            PolicyChange::None | PolicyChange::Unsettled => return,
            PolicyChange::Reloaded => {
                *lock(&self.refused) = None;
                None
            }
            PolicyChange::Refused(err) => Some(err.to_string()),
        };
        // Nobody hears it in a bridge that stops.
        let _ = self.noticed.send(Noticed { revision: policy.revision.clone(), refused });
    }

    /// The changes of the policy from the start on; for one that records them: a second one hears nothing.
    pub fn noticed(&self) -> mpsc::UnboundedReceiver<Noticed> {
        lock(&self.hears).take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    fn seals(&self) -> Outcome<&Seals> {
        self.seals.as_ref().ok_or_else(|| {
            Failure::new(
                ErrorCode::Internal,
                "nothing can be asked, because the install key can't be read; the bridge's log says more",
            )
        })
    }

    pub(super) fn sealed(&self, id: ApprovalId, value: &impl serde::Serialize) -> Outcome<Vec<u8>> {
        let text = serde_json::to_vec(value).unwrap_or_default();
        self.seals()?
            .seal(&id.to_string(), &text)
            .map_err(|err| Failure::new(ErrorCode::Internal, format!("what is asked can't be sealed: {err}")))
    }

    /// What became of it, for the database.
    pub(super) fn sealed_result(&self, id: ApprovalId, result: &str) -> Outcome<String> {
        self.seals()?
            .seal_text(&format!("{id} result"), result)
            .map_err(|err| Failure::new(ErrorCode::Internal, format!("what became of it can't be sealed: {err}")))
    }

    /// The way back; one that a Baton of before kept is JSON.
    fn opened_result(&self, id: ApprovalId, kept: &str) -> Option<Value> {
        let opened = self.seals.as_ref().and_then(|seals| seals.open_text(&format!("{id} result"), kept));
        serde_json::from_str(opened.as_deref().unwrap_or(kept)).ok()
    }

    fn opened<T: serde::de::DeserializeOwned>(&self, id: ApprovalId, sealed: &[u8]) -> Outcome<T> {
        let text = self.seals()?.open(&id.to_string(), sealed);
        text.and_then(|text| serde_json::from_slice(&text).ok()).ok_or_else(|| {
            Failure::new(
                ErrorCode::Internal,
                "this approval was changed in the database, or sealed by another installation: deny it",
            )
        })
    }

    /// A keyed digest of what would be done, to be told from something else.
    ///
    /// # Errors
    /// `internal` without an install key.
    pub fn digest(&self, gated: &Gated, cwd: Option<&str>, state: Option<&str>) -> Outcome<String> {
        let whole = json!({ "action": gated.kind(), "payload": gated.payload(), "cwd": cwd, "state": state });
        let text = serde_json_canonicalizer::to_vec(&whole).unwrap_or_default();
        Ok(self.seals()?.digest(&text))
    }

    pub(super) fn announce(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// An approval as it is shown.
    ///
    /// # Errors
    /// `internal`.
    pub fn shown(&self, row: &ApprovalRow) -> Outcome<ApprovalRequest> {
        let body: Body = self.opened(row.id, &row.body)?;
        let said: Said = match &row.said {
            Some(sealed) => self.opened(row.id, sealed)?,
            None => Said::default(),
        };
        Ok(ApprovalRequest {
            status: row.status,
            decision: row.decision,
            edited_payload: said.edited_payload,
            notes: said.notes,
            decided_by: row.decided_by.clone(),
            decided_at: row.decided_us.map(clock::rfc3339),
            superseded_by: row.superseded_by,
            result: row.result.as_deref().and_then(|result| self.opened_result(row.id, result)),
            ..body
        })
    }

    /// What is to be run: as it was asked for, or as a person edited it. `None` when it was secret, and the bridge that knew it
    /// is gone.
    ///
    /// # Errors
    /// `internal`, `invalid`.
    pub fn gated(&self, row: &ApprovalRow) -> Outcome<Option<Gated>> {
        let shown = self.shown(row)?;
        let action = shown.action.as_deref().unwrap_or_default();
        if let Some(edited) = shown.edited_payload {
            return Gated::of(action, edited).map(Some);
        }
        if let Some(secret) = lock(&self.secrets).get(&row.id) {
            return Ok(Some(secret.clone()));
        }
        if shown.payload.get("secret").is_some() {
            return Ok(None);
        }
        Gated::of(action, shown.payload).map(Some)
    }

    /// Resolves when an approval has changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
