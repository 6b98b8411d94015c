//! Asking a program something: it runs in a session of its own, which is gone afterwards. The bridge itself starts nothing.

use std::sync::Arc;
use std::time::Duration;

use baton_proto::api::{CreateTerminal, WaitRequest, WaitUntil};
use baton_proto::frame::Kind;
use baton_proto::v1::{Close, ExitRecord};

use crate::access::Principal;
use crate::app::App;
use crate::hub::session::Session;
use crate::problem::Outcome;
use crate::routes::create::start_recorded;
use crate::{tail, wait};

/// Most bytes of an answer.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// How long what is asked to end may take.
const GRACE: Duration = Duration::from_millis(200);
/// How long its end may take then.
const END: Duration = Duration::from_secs(5);

/// What a program said.
#[derive(Debug)]
pub struct Answer {
    /// How it ended; none = it did not, and was ended.
    pub exit: Option<ExitRecord>,
    /// What it wrote on its terminal, from the beginning, at most [`ANSWER_BYTES_MAX`].
    pub output: Vec<u8>,
}

/// Runs `request` as `principal` in the environment `inherited`, waits for its end for so long at most, and removes the session.
///
/// # Errors
/// What keeps the session from being started; `sessiond_down`.
pub async fn ask(
    app: &Arc<App>,
    principal: &Principal,
    request: CreateTerminal,
    inherited: Vec<(String, String)>,
    limit: Duration,
) -> Outcome<Answer> {
    app.sessiond.listed().await?;
    let session = start_recorded(app, principal, request, None, inherited).await?;
    let answer = answer(&session, limit).await;
    remove(app, &session).await;
    answer
}

async fn answer(session: &Session, limit: Duration) -> Outcome<Answer> {
    let mut exit = exit(session, limit).await?;
    if exit.is_none() {
        let grace_ms = u32::try_from(GRACE.as_millis()).unwrap_or(u32::MAX);
        let reason = "it did not answer in time".to_owned();
        session.call(Kind::Close, &Close { reason, grace_ms }, Kind::Done).await?;
        self::exit(session, END).await?;
    } else if let Some(ended) = &session.live().exit {
        exit = Some(ended.clone());
    }
    let head = session.inspect().await?.head.min(ANSWER_BYTES_MAX);
    let (_, output) = tail::read_output(session, 0, head).await?;
    Ok(Answer { exit, output })
}

async fn exit(session: &Session, limit: Duration) -> Outcome<Option<ExitRecord>> {
    let until = WaitUntil { exit: Some(true), ..WaitUntil::default() };
    wait::run(session, &WaitRequest { until, timeout_s: Some(limit.as_secs_f64()) }).await?;
    Ok(session.live().exit)
}

/// What is left of it is of no use to anybody; that it was there is in the audit log.
async fn remove(app: &App, session: &Session) {
    session.ended_for_sessiond().await;
    match app.sessiond.forget(session.id).await {
        Ok(()) => {
            app.catalog.remove(session.id);
            app.store.forget_session(session.id);
        }
        Err(failure) => tracing::warn!(session = %session.id, "a session that is done stays: {failure}"),
    }
}
