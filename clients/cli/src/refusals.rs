//! What the sandbox refused a session's program while a line ran in it: told at the line's end, on standard error.

use std::time::Duration;

use baton_proto::api::{Event, ExecAnswer, Page, Session};
use baton_proto::denied;
use baton_proto::spec::Profile;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::out;
use crate::report::clean_line;

/// Events asked for at once: as many as the API gives.
const PAGE: usize = 1000;
/// How long a line that complains is looked at by the session's worker, at most: a thread that asks the rules takes milliseconds.
const LOOKED_AT: Duration = Duration::from_millis(500);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The refusals of one session from some moment on.
#[derive(Debug)]
pub struct Refusals<'a> {
    api: &'a Api,
    session: &'a Session,
    /// The last event before that moment; `None` = nothing is told.
    known: Option<u64>,
}

impl<'a> Refusals<'a> {
    /// From now on. Of a session that is not confined there are none.
    pub async fn from_now(api: &'a Api, session: &'a Session) -> Self {
        let mut refusals = Self { api, session, known: None };
        if session.sandbox.profile != Profile::Host {
            // A line is run whether it can be told or not.
            refusals.known = refusals.after(0).await.map(|events| events.last().map_or(0, |event| event.seq));
        }
        refusals
    }

    /// Tells them, once the line has ended.
    pub async fn tell(&self, answer: &ExecAnswer) {
        let Some(known) = self.known else { return };
        let failed = answer.exit_code.is_some_and(|code| code != 0);
        let patience = if failed && denied::complains(&answer.output) { LOOKED_AT } else { Duration::ZERO };
        let until = Instant::now() + patience;
        loop {
            let events = self.after(known).await.unwrap_or_default();
            if events.is_empty() && Instant::now() < until {
                sleep(ASK_EVERY).await;
                continue;
            }
            for message in events.iter().filter_map(|event| event.data.get("message")?.as_str()) {
                out::remark(&format!("baton: {}", clean_line(message)));
            }
            return;
        }
    }

    async fn after(&self, mut seq: u64) -> Option<Vec<Event>> {
        loop {
            let path = format!("/v1/sessions/{}/events?type=denied&limit={PAGE}&cursor={seq}", self.session.id);
            let page: Page<Event> = self.api.get("what was refused cannot be asked for", &path).await.ok()?;
            seq = page.items.last().map_or(seq, |event| event.seq);
            // Of those before the last page only the place counts.
            if page.next_cursor.is_none() {
                return Some(page.items);
            }
        }
    }
}
