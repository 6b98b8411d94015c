//! Requests for approval: asked, decided by one person, expired, taken back; and who waits for what becomes of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use baton_proto::ErrorCode;
use baton_proto::api::{ApprovalKind, ApprovalRequest, ApprovalStatus, Decision, DecisionRequest, Remember, RiskLevel};
use baton_proto::ids::ApprovalId;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::context::{self, Judgement};
use super::gated::Gated;
use super::run;
use super::sealed::Seals;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::{Action, Actor, Details, Entry, Verdict};
use crate::clock;
use crate::policy::file::{Change as PolicyChange, LivePolicy};
use crate::policy::{self, Policy, Risk};
use crate::problem::{Failure, Outcome};
use crate::store::approvals::{self, ApprovalRow, Change};
use baton_proto::v1::Class;

/// How many requests of one principal wait at once.
pub const PENDING_MAX: u32 = 64;
/// Characters of a note.
const NOTES_CHARS_MAX: usize = 1000;
/// Bytes of a payload.
const PAYLOAD_BYTES_MAX: usize = 128 << 10;
/// Between two looks at what has expired.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Approvals that a look considers.
const LOOK_MAX: u32 = 1000;

/// What approvals need besides the database.
#[derive(Debug)]
pub struct Inbox {
    /// None when the install key can't be read: then nothing can be asked.
    seals: Option<Seals>,
    policy: Mutex<LivePolicy>,
    /// The policy's file was refused at the start: until it is mended, all that an agent does is asked about.
    refused: Mutex<Option<String>>,
    changed: watch::Sender<u64>,
    /// When silence becomes a no on the clock that nobody sets, which counts suspended time too; microseconds since boot.
    deadlines: Mutex<HashMap<ApprovalId, u64>>,
    /// Input for a program that reads a password: never written down.
    secrets: Mutex<HashMap<ApprovalId, Gated>>,
    ttl: Duration,
}

/// What is sealed of a request: what was shown, without what changes.
type Body = ApprovalRequest;

/// What is sealed of a decision.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Said {
    #[serde(default)]
    edited_payload: Option<Value>,
    #[serde(default)]
    notes: Option<String>,
}

/// Microseconds since the machine started, sleep included.
fn boot_us() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

const fn risk_level(risk: Risk) -> RiskLevel {
    match risk {
        Risk::Low => RiskLevel::Low,
        Risk::Medium => RiskLevel::Medium,
        Risk::High => RiskLevel::High,
        Risk::Critical => RiskLevel::Critical,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
        Self {
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
        if let PolicyChange::Reloaded = change {
            *lock(&self.refused) = None;
        }
        (policy, lock(&self.refused).is_some())
    }

    fn seals(&self) -> Outcome<&Seals> {
        self.seals.as_ref().ok_or_else(|| {
            Failure::new(
                ErrorCode::Internal,
                "nothing can be asked, because the install key can't be read; the bridge's log says more",
            )
        })
    }

    fn sealed(&self, id: ApprovalId, value: &impl serde::Serialize) -> Outcome<Vec<u8>> {
        let text = serde_json::to_vec(value).unwrap_or_default();
        self.seals()?
            .seal(&id.to_string(), &text)
            .map_err(|err| Failure::new(ErrorCode::Internal, format!("what is asked can't be sealed: {err}")))
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
    pub fn digest(&self, gated: &Gated, cwd: Option<&str>) -> Outcome<String> {
        let whole = json!({ "action": gated.kind(), "payload": gated.payload(), "cwd": cwd });
        let text = serde_json_canonicalizer::to_vec(&whole).unwrap_or_default();
        Ok(self.seals()?.digest(&text))
    }

    fn announce(&self) {
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
            result: row.result.as_deref().and_then(|result| serde_json::from_str(result).ok()),
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

/// What a new request is made of.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Principal,
    pub(super) gated: &'a Gated,
    pub(super) judgement: &'a Judgement,
    pub(super) key: Option<String>,
    pub(super) supersedes: Option<ApprovalId>,
    /// It is not to be written down.
    pub(super) secret: bool,
    /// Why a person is asked, beside the policy.
    pub(super) held: bool,
}

/// A new request, not yet kept.
pub(super) fn request(inbox: &Inbox, asked: &Asked<'_>) -> Outcome<ApprovalRow> {
    let Asked { principal, gated, judgement, .. } = asked;
    let id = ApprovalId::from_uuid(Uuid::now_v7());
    let created_us = clock::now_us();
    let expires_us = created_us.saturating_add(u64::try_from(inbox.ttl.as_micros()).unwrap_or(u64::MAX));
    let payload = gated.payload();
    if payload.to_string().len() > PAYLOAD_BYTES_MAX {
        return Err(Failure::new(ErrorCode::TooLarge, "a person can't read more than 128 KiB: ask for it in parts"));
    }
    let payload = if asked.secret {
        json!({ "secret": true, "digest": inbox.digest(gated, None)?, "bytes": payload.to_string().len() })
    } else {
        payload
    };
    let decision = &judgement.decision;
    let mut proposed: Vec<String> = decision.reasons.iter().map(|reason| reason.why.clone()).collect();
    let reason = if asked.held {
        "this session's input by agents is held until a person releases it".to_owned()
    } else {
        proposed.first().cloned().unwrap_or_else(|| "the policy asks".to_owned())
    };
    if asked.secret {
        proposed.clear();
    }
    let body = ApprovalRequest {
        id,
        kind: ApprovalKind::Action,
        title: gated.title().to_owned(),
        session_id: gated.session(),
        task_id: None,
        step_id: None,
        draft_id: None,
        workspace_id: None,
        action: serde_json::to_value(gated.kind()).ok().and_then(|kind| kind.as_str().map(str::to_owned)),
        payload,
        reason,
        proposed_actions: proposed,
        risk_level: risk_level(decision.risk_level),
        risk_tags: decision.risk_tags.iter().map(|tag| tag.name().to_owned()).collect(),
        rule_ids: decision.rule_ids.clone(),
        context_hash: judgement.hash.clone(),
        cwd: judgement.cwd.clone(),
        lease_epoch: judgement.epoch,
        supersedes: asked.supersedes,
        superseded_by: None,
        requested_by: principal.id.clone(),
        requested_by_name: principal.name.clone(),
        created_at: clock::rfc3339(created_us),
        expires_at: clock::rfc3339(expires_us),
        status: ApprovalStatus::Pending,
        decision: None,
        edited_payload: None,
        notes: None,
        decided_by: None,
        decided_at: None,
        remember_rule: gated.session().map(|session| {
            format!(
                "allow exactly this, from this directory, by `{}` in session {session} for as long as it lives",
                principal.name
            )
        }),
        result: None,
    };
    let row = ApprovalRow {
        id,
        session: gated.session(),
        requested_by: principal.id.clone(),
        key: asked.key.clone(),
        status: ApprovalStatus::Pending,
        context_hash: judgement.hash.clone(),
        run_hash: None,
        created_us,
        expires_us,
        body: inbox.sealed(id, &body)?,
        decision: None,
        said: None,
        decided_by: None,
        decided_us: None,
        superseded_by: None,
        result: None,
    };
    if asked.secret {
        lock(&inbox.secrets).insert(id, (*gated).clone());
    }
    Ok(row)
}

fn entry(actor: impl Into<Actor>, row: &ApprovalRow, status: ApprovalStatus, action: &str) -> Entry {
    let details = Details::none()
        .text("status", status.as_str())
        .text("action", action)
        .text("context_hash", &row.context_hash)
        .text("requested_by", &row.requested_by)
        .maybe("session", row.session.map(|id| id.to_string()));
    let verdict = match status {
        ApprovalStatus::Denied | ApprovalStatus::Expired | ApprovalStatus::Void => Verdict::Denied(ErrorCode::Denied),
        _ => Verdict::Allowed,
    };
    Entry::new(actor, Action::Decision).subject(row.id.to_string()).verdict(verdict).details(details)
}

/// What `entry` calls the action of a row that can't be opened.
fn action_of(app: &App, row: &ApprovalRow) -> String {
    app.inbox.shown(row).ok().and_then(|shown| shown.action).unwrap_or_default()
}

fn tell(app: &App, row: &ApprovalRow, status: ApprovalStatus, by: Option<&str>) {
    let kind = match status {
        ApprovalStatus::Pending => "approval.requested",
        ApprovalStatus::Executing
        | ApprovalStatus::Executed
        | ApprovalStatus::Failed
        | ApprovalStatus::OutcomeUnknown => "approval.executed",
        _ => "approval.resolved",
    };
    let shown = app.inbox.shown(row).ok();
    // Never the payload: events are kept in clear.
    let data = json!({
        "approval_id": row.id, "status": status, "session_id": row.session, "requested_by": row.requested_by,
        "action": shown.as_ref().and_then(|shown| shown.action.clone()),
        "risk_level": shown.as_ref().map(|shown| shown.risk_level), "decided_by": by,
    });
    app.events.approval(row.id, kind, data);
    app.inbox.announce();
}

/// Keeps a request and tells of it.
///
/// # Errors
/// `rate_limited` when too many wait; `disk_full`, `internal`.
pub(super) async fn ask(app: &App, asked: &Asked<'_>) -> Outcome<ApprovalRow> {
    if app.store.pending_approvals(asked.principal.id.clone()).await? >= PENDING_MAX {
        let detail =
            format!("{PENDING_MAX} requests of yours wait for a person already: wait for them, or take some back");
        return Err(Failure { retry_after_s: Some(5), ..Failure::new(ErrorCode::RateLimited, detail) });
    }
    let row = request(&app.inbox, asked)?;
    let kept = row.clone();
    let entry = entry(asked.principal, &row, ApprovalStatus::Pending, &action_of(app, &row));
    app.audit.with(entry, move |connection| approvals::add(connection, &kept)).await?;
    lock(&app.inbox.deadlines).insert(row.id, boot_us().saturating_add(row.expires_us - row.created_us));
    tell(app, &row, ApprovalStatus::Pending, None);
    Ok(row)
}

/// Changes a state by compare-and-set; the new row, or `None` when it was another state already. With `successor`, that request
/// is kept in the same transaction.
pub(super) async fn become_(
    app: &App,
    actor: impl Into<Actor>,
    row: &ApprovalRow,
    to: ApprovalStatus,
    change: Change,
    successor: Option<ApprovalRow>,
) -> Outcome<Option<ApprovalRow>> {
    let actor = actor.into();
    let by = actor.name.clone();
    let entry = entry(actor, row, to, &action_of(app, row));
    let (id, from, next) = (row.id, row.status, successor.clone());
    let changed = app
        .audit
        .with_if(entry, move |connection| {
            let changed = approvals::change(connection, id, from, to, &change)?;
            if let (true, Some(next)) = (changed, &next) {
                approvals::add(connection, next)?;
            }
            Ok(changed)
        })
        .await?;
    if !changed {
        return Ok(None);
    }
    if to != ApprovalStatus::Executing {
        lock(&app.inbox.deadlines).remove(&id);
    }
    if to.is_final() {
        lock(&app.inbox.secrets).remove(&id);
    }
    let row = app.store.approval(id).await?.ok_or_else(no_approval)?;
    tell(app, &row, to, Some(&by));
    if let Some(next) = successor {
        lock(&app.inbox.deadlines).insert(next.id, boot_us().saturating_add(next.expires_us - next.created_us));
        tell(app, &next, ApprovalStatus::Pending, None);
    }
    Ok(Some(row))
}

pub(super) fn no_approval() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such approval; `GET /v1/approvals` lists those there are")
}

/// Whether a principal may see an approval: who asked for it, and who sees the session that it is about.
#[must_use]
pub fn sees(app: &App, principal: &Principal, row: &ApprovalRow) -> bool {
    if principal.share.is_some() {
        return false;
    }
    if principal.id == row.requested_by {
        return true;
    }
    if principal.class() == Class::Agent {
        return false;
    }
    match row.session {
        Some(id) => match app.catalog.get(id) {
            Some(session) => principal.sees(&session, app.catalog.row(id).as_ref()),
            None => principal.workspace_ids.is_none(),
        },
        None => principal.workspace_ids.is_none(),
    }
}

/// An approval that a principal may see.
///
/// # Errors
/// `not_found`.
pub async fn find(app: &App, principal: &Principal, id: ApprovalId) -> Outcome<ApprovalRow> {
    let row = app.store.approval(id).await?.ok_or_else(no_approval)?;
    if sees(app, principal, &row) { Ok(row) } else { Err(no_approval()) }
}

/// An approval once nothing more becomes of it, or as it is when the time is up.
///
/// # Errors
/// `not_found`.
pub async fn wait(app: &App, principal: &Principal, id: ApprovalId, timeout: Duration) -> Outcome<ApprovalRow> {
    let deadline = tokio::time::Instant::now() + timeout;
    let mut changed = app.inbox.subscribe();
    let mut stopping = app.stopping.clone();
    loop {
        changed.mark_unchanged();
        let row = find(app, principal, id).await?;
        if row.status.is_final() || timeout.is_zero() {
            return Ok(row);
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(deadline) => return find(app, principal, id).await,
            () = crate::serve::stopped(&mut stopping) => return Ok(row),
        }
    }
}

/// Why a request that is no longer pending can't be decided.
fn decided(row: &ApprovalRow) -> Failure {
    let by = row.decided_by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    let at = row.decided_us.map_or_else(String::new, |at| format!(" at {}", clock::rfc3339(at)));
    Failure::new(ErrorCode::AlreadyDecided, format!("this approval is `{}`{by}{at}", row.status.as_str()))
}

fn is_overdue(app: &App, row: &ApprovalRow) -> bool {
    clock::now_us() >= row.expires_us
        || lock(&app.inbox.deadlines).get(&row.id).is_some_and(|deadline| boot_us() >= *deadline)
}

async fn expire(app: &App, row: &ApprovalRow) -> Outcome<()> {
    become_(app, Actor::baton(), row, ApprovalStatus::Expired, Change::default(), None).await.map(drop)
}

/// A person's decision.
///
/// # Errors
/// `forbidden` for who may not decide; `already_decided`; `context_changed`: then the approval is void, and another may ask in its
/// place; `denied` for an edit that the policy forbids; `disk_full`, `internal`: then it was not decided.
pub async fn decide(
    app: &Arc<App>,
    principal: &Principal,
    id: ApprovalId,
    request: DecisionRequest,
) -> Outcome<ApprovalRow> {
    principal.need(Right::Approve)?;
    if principal.class() == Class::Agent {
        return Err(Failure::new(ErrorCode::Forbidden, "an agent never decides: a person does"));
    }
    let row = find(app, principal, id).await?;
    if row.status != ApprovalStatus::Pending {
        return Err(decided(&row));
    }
    if is_overdue(app, &row) {
        expire(app, &row).await?;
        return Err(decided(&app.store.approval(id).await?.ok_or_else(no_approval)?));
    }
    if request.context_hash != row.context_hash {
        return Err(Failure::new(
            ErrorCode::ContextChanged,
            "`context_hash` is not that of this approval: look at it again and decide about what it shows",
        ));
    }
    let notes = request.notes.filter(|notes| !notes.trim().is_empty());
    if notes.as_ref().is_some_and(|notes| notes.chars().count() > NOTES_CHARS_MAX) {
        return Err(Failure::invalid("`notes` have at most 1000 characters"));
    }
    if request.decision != Decision::Edit && request.edited_payload.is_some() {
        return Err(Failure::invalid("`edited_payload` goes with `edit`"));
    }
    if request.remember == Remember::Task {
        return Err(Failure::invalid("this approval belongs to no task: `remember` is `once` or `session`"));
    }
    let said = Said { edited_payload: None, notes };
    let mut change = Change {
        decision: Some(request.decision),
        decided_by: Some(principal.name.clone()),
        decided_us: Some(clock::now_us()),
        ..Change::default()
    };
    if request.decision == Decision::Deny {
        change.said = Some(app.inbox.sealed(id, &said)?);
        let denied = become_(app, principal, &row, ApprovalStatus::Denied, change, None).await?;
        return lost_or(app, id, denied).await;
    }
    if app.store.is_memory_only() {
        let detail =
            "a yes has to be on disk before anything is done, and the database can't be used: `baton doctor` says why";
        return Err(Failure::new(ErrorCode::Internal, detail));
    }
    let Some(gated) = app.inbox.gated(&row)? else {
        become_(app, Actor::baton(), &row, ApprovalStatus::Void, Change::default(), None).await?;
        let detail =
            "it was input for a password prompt, which is never written down, and the bridge that knew it is gone";
        return Err(Failure::new(ErrorCode::ContextChanged, detail));
    };
    let Some(asker) = app.tokens.by_id(&row.requested_by) else {
        become_(app, Actor::baton(), &row, ApprovalStatus::Cancelled, Change::default(), None).await?;
        return Err(Failure::new(ErrorCode::ContextChanged, "whoever asked has no token any more"));
    };
    let (policy, _) = app.inbox.policy();
    let judgement = match context::judge(app, &policy, &asker, &gated).await {
        Ok(judgement) if judgement.hash == row.context_hash => judgement,
        Ok(judgement) => return Err(void(app, &row, &asker, &gated, Some(&judgement)).await?),
        Err(failure) if matches!(failure.code, ErrorCode::NotFound | ErrorCode::SessionEnded) => {
            return Err(void(app, &row, &asker, &gated, None).await?);
        }
        Err(failure) => return Err(failure),
    };
    let (status, hash) = if request.decision == Decision::Edit {
        let payload = request.edited_payload.ok_or_else(|| Failure::invalid("`edit` needs `edited_payload`"))?;
        let shown = app.inbox.shown(&row)?;
        let edited = gated.edited(shown.action.as_deref().unwrap_or_default(), payload)?;
        let judged = context::judge(app, &policy, &asker, &edited).await?;
        if judged.decision.outcome == policy::Outcome::Deny {
            return Err(denied_by(&judged.decision));
        }
        if risk_level(judged.decision.risk_level) > shown.risk_level {
            let asked = Asked {
                principal: &asker,
                gated: &edited,
                judgement: &judged,
                key: None,
                supersedes: Some(id),
                secret: false,
                held: false,
            };
            let successor = self::request(&app.inbox, &asked)?;
            change.superseded_by = Some(successor.id);
            change.said =
                Some(app.inbox.sealed(id, &Said { edited_payload: Some(edited.payload()), notes: said.notes })?);
            let superseded = become_(app, principal, &row, ApprovalStatus::Superseded, change, Some(successor)).await?;
            return lost_or(app, id, superseded).await;
        }
        change.said = Some(app.inbox.sealed(id, &Said { edited_payload: Some(edited.payload()), notes: said.notes })?);
        (ApprovalStatus::Edited, judged.hash)
    } else {
        change.said = Some(app.inbox.sealed(id, &said)?);
        if let (Remember::Session, Some(session)) = (request.remember, row.session) {
            let what = app.inbox.digest(&gated, judgement.cwd.as_deref())?;
            change.remember = Some((session, row.requested_by.clone(), what));
        }
        (ApprovalStatus::Approved, judgement.hash)
    };
    change.run_hash = Some(hash);
    let decided = become_(app, principal, &row, status, change, None).await?;
    let decided = lost_or(app, id, decided).await?;
    tokio::spawn(run::carry_out(Arc::clone(app), id));
    Ok(decided)
}

/// What the policy forbids, and by which rule.
pub(super) fn denied_by(decision: &policy::Judgement) -> Failure {
    let why = decision.reasons.first().map_or("the policy", |reason| reason.why.as_str());
    let rules = decision.rule_ids.join("`, `");
    Failure::new(ErrorCode::Denied, format!("{why} (rule `{rules}`; `baton policy explain` says more)"))
}

/// The decided row, or who was faster.
async fn lost_or(app: &App, id: ApprovalId, decided_row: Option<ApprovalRow>) -> Outcome<ApprovalRow> {
    match decided_row {
        Some(row) => Ok(row),
        None => Err(decided(&app.store.approval(id).await?.ok_or_else(no_approval)?)),
    }
}

/// Voids an approval because what it shows is no longer so, and asks again if it still can be asked for.
pub(super) async fn void(
    app: &App,
    row: &ApprovalRow,
    asker: &Principal,
    gated: &Gated,
    now: Option<&Judgement>,
) -> Outcome<Failure> {
    let held = app.inbox.shown(row).is_ok_and(|shown| shown.reason.starts_with("this session's input"));
    let needs_lease = matches!(gated, Gated::Exec(_) | Gated::Input(_));
    let again = now.filter(|now| {
        let asks = held || now.decision.outcome == policy::Outcome::Ask;
        asks && (!needs_lease || now.epoch.is_some())
    });
    let secret = lock(&app.inbox.secrets).contains_key(&row.id);
    let successor = match again {
        Some(judgement) => {
            let asked = Asked { principal: asker, gated, judgement, key: None, supersedes: Some(row.id), secret, held };
            Some(request(&app.inbox, &asked)?)
        }
        None => None,
    };
    let change = Change { superseded_by: successor.as_ref().map(|next| next.id), ..Change::default() };
    let next = successor.as_ref().map(|next| next.id);
    become_(app, Actor::baton(), row, ApprovalStatus::Void, change, successor).await?;
    let again = next.map_or_else(
        || "it can't be asked again as things are".to_owned(),
        |next| format!("{next} asks again, as things are now"),
    );
    Ok(Failure::new(
        ErrorCode::ContextChanged,
        format!("what was shown is no longer so: nothing was done, and {again}"),
    ))
}

/// Takes back what the caller asked for.
///
/// # Errors
/// `forbidden`, `already_decided`.
pub async fn cancel(app: &App, principal: &Principal, id: ApprovalId) -> Outcome<ApprovalRow> {
    let row = find(app, principal, id).await?;
    if row.requested_by != principal.id {
        return Err(Failure::new(ErrorCode::Forbidden, "who asked may take it back; a person denies it"));
    }
    if row.status != ApprovalStatus::Pending {
        return Err(decided(&row));
    }
    let cancelled = become_(app, principal, &row, ApprovalStatus::Cancelled, Change::default(), None).await?;
    lost_or(app, id, cancelled).await
}

/// Goes on with what an earlier bridge left, and lets requests expire, until the bridge stops.
pub async fn tend(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    // What was being done when a bridge died may have been done: nobody knows.
    for row in app.store.approvals(Some(ApprovalStatus::Executing), None, LOOK_MAX).await.unwrap_or_default() {
        let result = json!({ "code": "outcome_unknown", "detail": "the bridge ended while it was being done; look before you ask again" });
        let change = Change { result: Some(result.to_string()), ..Change::default() };
        if let Err(failure) = become_(&app, Actor::baton(), &row, ApprovalStatus::OutcomeUnknown, change, None).await {
            tracing::warn!(approval = %row.id, "its unknown outcome could not be written down: {failure}");
        }
    }
    for status in [ApprovalStatus::Approved, ApprovalStatus::Edited] {
        for row in app.store.approvals(Some(status), None, LOOK_MAX).await.unwrap_or_default() {
            tokio::spawn(run::carry_out(Arc::clone(&app), row.id));
        }
    }
    let now = clock::now_us();
    for row in app.store.approvals(Some(ApprovalStatus::Pending), None, LOOK_MAX).await.unwrap_or_default() {
        // A clock that was set back gives nobody more time than there was.
        let left = row.expires_us.saturating_sub(now).min(row.expires_us.saturating_sub(row.created_us));
        lock(&app.inbox.deadlines).insert(row.id, boot_us().saturating_add(left));
    }
    app.store.prune_approvals(now);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = crate::serve::stopped(&mut stopping) => return,
        }
        if lock(&app.inbox.deadlines).is_empty() {
            continue;
        }
        for row in app.store.approvals(Some(ApprovalStatus::Pending), None, LOOK_MAX).await.unwrap_or_default() {
            if is_overdue(&app, &row)
                && let Err(failure) = expire(&app, &row).await
            {
                tracing::warn!(approval = %row.id, "it could not be let expire: {failure}");
            }
        }
    }
}
