//! What keeps a session has reached its limit: told to everybody attached and to the event log, once, and once when it is back.

use baton_proto::api::{LimitState, ServerFrame};
use baton_proto::v1::JournalState;

use super::super::feed::Subject;
use super::Hub;
use crate::show;

const JOURNAL: &str = "journal";

/// The journal takes no records.
pub(super) fn failing(error: &str) -> ServerFrame {
    ServerFrame::Limit {
        what: JOURNAL.to_owned(),
        state: LimitState::Failing,
        error: Some(error.to_owned()),
        lost: None,
    }
}

impl Hub {
    pub(super) fn journal_changed(&mut self, state: JournalState) {
        match state.error {
            Some(error) => self.journal_fails(error),
            None => self.journal_recovered(Some(state.lost)),
        }
    }

    fn journal_fails(&mut self, error: String) {
        let error: String = error.chars().filter(|c| !c.is_control()).take(JournalState::ERROR_CHARS_MAX).collect();
        let Some(session) = self.session.upgrade() else { return };
        if session.live_mut().journal_error.replace(error.clone()).is_some() {
            // By another worker, or over another connection: it is known.
            return;
        }
        self.tell_limit(&failing(&error));
    }

    /// Says so if it was said to fail.
    pub(super) fn journal_recovered(&mut self, lost: Option<u64>) {
        let Some(session) = self.session.upgrade() else { return };
        if session.live_mut().journal_error.take().is_none() {
            return;
        }
        self.tell_limit(&ServerFrame::Limit {
            what: JOURNAL.to_owned(),
            state: LimitState::Recovered,
            error: None,
            lost,
        });
    }

    fn tell_limit(&mut self, frame: &ServerFrame) {
        let id = self.entry.borrow().spec.session;
        if let Some(link) = self.link.as_mut() {
            link.feed.control(show::text(frame), Subject::Other);
        }
        let mut data = serde_json::to_value(frame).unwrap_or_default();
        if let Some(fields) = data.as_object_mut() {
            fields.remove("type");
        }
        self.context.events.session(id, "limit", data);
    }
}
