//! The audit log: read, exported, checked.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use baton_proto::ErrorCode;
use baton_proto::api::{AuditActor, AuditBroken, AuditRow, AuditVerification, Page, PrincipalRole, Problem};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::sessions::page_limit;
use super::time;
use crate::access::{Principal, Right};
use crate::app::App;
use crate::audit::chain::{Broken, Hash, Row, Why, hex};
use crate::audit::{Action, Audit, Details, Entry};
use crate::clock;
use crate::extract::Filter;
use crate::gate::Known;
use crate::problem::{Failure, Outcome};
use crate::store::audit::{PAGE_ROWS, Which};

/// What JSON lines are called.
const NDJSON: &str = "application/x-ndjson";

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditOrder {
    /// From the first row on.
    Oldest,
    /// From the last row on.
    Newest,
}

/// As what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditFormat {
    /// A page.
    Json,
    /// Every row there is, one a line. `limit` is not for this.
    Jsonl,
}

/// The query of `GET /v1/audit`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Rows behind this one.
    cursor: Option<u64>,
    /// How many, from 1 to 1000; 100 if nothing is said.
    limit: Option<usize>,
    /// Only of this session.
    session_id: Option<String>,
    /// Only of this principal, by its id.
    actor: Option<String>,
    /// Only of this action, such as `login`.
    action: Option<String>,
    /// Not before this, RFC 3339.
    since: Option<String>,
    /// Not after this, RFC 3339.
    until: Option<String>,
    /// Which come first; the oldest if nothing is said.
    #[param(inline)]
    order: Option<AuditOrder>,
    /// A page, or JSON lines (as with `Accept: application/x-ndjson`).
    #[param(inline)]
    format: Option<AuditFormat>,
}

/// The query of `GET /v1/audit/verify`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// A `head` of before, `SEQ:HASH`: that row must still be there as it was.
    expect: Option<String>,
}

/// The log tells of everybody: it is for the owner, and only if that is limited to no workspace.
fn may_read(principal: &Principal) -> Outcome<()> {
    principal.need(Right::Admin)?;
    if principal.role == PrincipalRole::Owner && principal.workspace_ids.is_none() {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::Forbidden, "the audit log is for an owner whose token is limited to no workspace"))
}

/// The same; who may not is recorded.
async fn let_read(app: &App, principal: &Principal, how: &'static str) -> Outcome<()> {
    let allowed = may_read(principal);
    if let Err(failure) = &allowed {
        let entry = Entry::new(principal, Action::AuditRead).details(Details::none().text("as", how));
        app.audit.refused(entry, failure.code).await;
    }
    allowed
}

/// Whoever reads the log is in it: behind what was read, so that reading it through comes to an end.
fn was_read(app: &App, principal: &Principal, how: &'static str) {
    app.audit.seldom(&format!("audit.read {how} {}", principal.id), |_| {
        Entry::new(principal, Action::AuditRead).details(Details::none().text("as", how))
    });
}

fn shown(row: Row) -> AuditRow {
    AuditRow {
        seq: row.seq,
        at: clock::rfc3339(row.at_us),
        at_us: row.at_us,
        actor: AuditActor { id: row.actor_id, name: row.actor_name, kind: row.actor_kind },
        action: row.action,
        subject: row.subject,
        outcome: row.outcome,
        code: row.code,
        // What somebody made no JSON of is shown as it is.
        details: serde_json::from_str(&row.details).unwrap_or_else(|_| row.details.into()),
        prev_hash: hex(&row.prev_hash),
        hash: hex(&row.hash),
    }
}

impl AuditQuery {
    fn which(self) -> Outcome<Which> {
        if let Some(action) = &self.action
            && !Action::ALL.iter().any(|known| known.as_str() == action)
        {
            let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
            return Err(Failure::invalid(format!("`action` is one of {}", known.join(", "))));
        }
        Ok(Which {
            newest: self.order == Some(AuditOrder::Newest),
            after: self.cursor,
            subject: self.session_id,
            actor: self.actor,
            action: self.action,
            since_us: self.since.map(|text| time::parse(&text, "since")).transpose()?,
            until_us: self.until.map(|text| time::parse_whole(&text, "until")).transpose()?,
        })
    }
}

/// The audit log: who did what, when, and whether it was allowed. With `format=jsonl` the whole of it, as JSON lines.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, content(
            (Page<AuditRow> = "application/json"), (String = "application/x-ndjson"),
        ), description = "a page, or an `AuditRow` a line"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    headers: HeaderMap,
    Filter(query): Filter<AuditQuery>,
) -> Outcome<Response> {
    let accepted =
        || headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value == NDJSON);
    let lines = query.format.map_or_else(accepted, |format| format == AuditFormat::Jsonl);
    let how = if lines { "jsonl" } else { "page" };
    let_read(&app, &principal, how).await?;
    if lines && query.limit.is_some() {
        return Err(Failure::invalid("`limit` is for pages: JSON lines are all rows there are"));
    }
    let limit = page_limit(query.limit)?;
    let which = query.which()?;
    if lines {
        was_read(&app, &principal, how);
        let mut response = Body::from_stream(lines_of(app.audit.clone(), which)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(response);
    }
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut items: Vec<AuditRow> = app.audit.rows(which, asked).await?.into_iter().map(shown).collect();
    was_read(&app, &principal, how);
    let next_cursor = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|row| row.seq.to_string())
    });
    Ok(Json(Page { items, next_cursor: next_cursor.flatten() }).into_response())
}

/// A page of rows at a time: however long the log is, no more than that of it is in memory.
fn lines_of(audit: Audit, which: Which) -> impl Stream<Item = Outcome<Bytes>> + Send + 'static {
    try_unfold(Some((audit, which)), |state| async move {
        let Some((audit, mut which)) = state else { return Ok(None) };
        let rows = audit.rows(which.clone(), PAGE_ROWS).await.inspect_err(|failure| {
            // The client only sees that the body breaks off.
            tracing::warn!("an export of the audit log broke off: {failure}");
        })?;
        let more = rows.len() == PAGE_ROWS as usize;
        which.after = rows.last().map(|row| row.seq);
        let mut text = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut text, &shown(row))
                .map_err(|err| Failure::new(ErrorCode::Internal, err.to_string()))?;
            text.push(b'\n');
        }
        Ok((!text.is_empty()).then(|| (Bytes::from(text), more.then_some((audit, which)))))
    })
}

fn explained(broken: Broken, missing: Option<(u64, Option<u64>)>) -> AuditBroken {
    let seq = broken.seq;
    let detail = match broken.why {
        Why::HashMismatch => format!("row {seq} was changed: its fields are not those its hash was made of"),
        Why::MissingSeq => {
            let (upto, at_us) = missing.unwrap_or((seq, None));
            let which =
                if upto > seq { format!("rows {seq} to {upto} are missing") } else { format!("row {seq} is missing") };
            let since = at_us.map(|at_us| format!(": the newest of them known was there at {}", clock::rfc3339(at_us)));
            format!("{which}{}", since.unwrap_or_default())
        }
        Why::PrevMismatch => format!("row {seq} does not follow from the row before: either was exchanged"),
        Why::HeadMismatch => {
            format!("row {seq} is the last there is, and not the one that was signed as the last")
        }
        Why::SealMismatch => {
            format!("the seal from row {seq} on is not signed, or does not follow from the one before")
        }
        Why::Unreadable => format!("row {seq} can't be read"),
        Why::HeadFileMismatch => {
            format!(
                "row {seq} is not the one that is known from beside the database, or `audit.head` there was changed"
            )
        }
        Why::HeadFileMissing => {
            format!(
                "row {seq} is the last there is, and whether it was is not known: `audit.head` beside the database is missing"
            )
        }
        Why::NotAsExpected => format!("row {seq} is not the one that was expected: the log was exchanged, or put back"),
    };
    AuditBroken { seq, why: broken.why.as_str().to_owned(), detail }
}

fn expected(text: &str) -> Outcome<(u64, Hash)> {
    let bad = || Failure::invalid("`expect` is a `head` of before: a number, `:`, and 64 hexadecimal digits");
    let (seq, hash) = text.split_once(':').ok_or_else(bad)?;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).map_err(|_| bad())?;
    }
    Ok((seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(bad)?, bytes))
}

/// Checks the whole chain and names the first row with which something is wrong.
#[utoipa::path(
    get, path = "/v1/audit/verify", tag = "audit", params(VerifyQuery),
    responses(
        (status = 200, body = AuditVerification, description = "whether it holds"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    Known(principal): Known,
    Filter(query): Filter<VerifyQuery>,
) -> Outcome<Json<AuditVerification>> {
    let_read(&app, &principal, "verify").await?;
    let expected = query.expect.as_deref().map(expected).transpose()?;
    let checked = app.audit.verify(expected).await?;
    was_read(&app, &principal, "verify");
    let (head, broken) = match checked.outcome {
        Ok((0, _)) => (None, None),
        Ok((seq, hash)) => (Some(format!("{seq}:{}", hex(&hash))), None),
        Err(broken) => (None, Some(explained(broken, checked.missing))),
    };
    Ok(Json(AuditVerification {
        ok: broken.is_none(),
        rows: checked.rows,
        sealed: checked.sealed,
        lost: app.audit.lost(),
        head,
        compared: expected.map(|_| checked.compared),
        broken,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_a_head() {
        let hash = "0a".repeat(32);
        assert_eq!(expected(&format!("7:{hash}")).unwrap(), (7, [10; 32]));
        for bad in ["", "7", ":", &format!("0:{hash}"), &format!("-1:{hash}"), "7:zz", &format!("7:{}", "é".repeat(32))]
        {
            assert!(expected(bad).is_err(), "{bad}");
        }
        assert!(expected(&format!("7:{}", "+1".repeat(32))).is_err(), "a sign is no digit");
    }
}
