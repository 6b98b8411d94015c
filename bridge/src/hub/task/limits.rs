//! What keeps a session fails, or the session has reached a limit of its own: told to everybody attached and to the event log,
//! once, and once when it is back.

use baton_proto::api::{LimitState, ServerFrame};
use baton_proto::limits::{LimitReached, Resource};
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
        limit: None,
        message: None,
    }
}

/// A limit of the session's own is reached, or no longer.
pub(super) fn reached(told: &LimitReached) -> ServerFrame {
    ServerFrame::Limit {
        what: told.resource.name().to_owned(),
        state: if told.reached { LimitState::Reached } else { LimitState::Eased },
        error: None,
        lost: None,
        limit: Some(told.limit),
        message: told.reached.then(|| told.text.clone()),
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
            limit: None,
            message: None,
        });
    }

    /// The worker says so; what is known already is not told again.
    pub(super) fn limit_reached(&mut self, mut told: LimitReached) {
        told.text = told.text.chars().filter(|c| !c.is_control()).take(LimitReached::TEXT_CHARS_MAX).collect();
        let Some(session) = self.session.upgrade() else { return };
        {
            let mut live = session.live_mut();
            let known = live.limits_reached.iter().position(|it| it.resource == told.resource);
            match (known, told.reached) {
                (Some(at), true) => {
                    live.limits_reached[at] = told;
                    return;
                }
                (None, true) => live.limits_reached.push(told.clone()),
                (Some(at), false) => drop(live.limits_reached.remove(at)),
                (None, false) => return,
            }
        }
        self.tell_limit(&reached(&told));
    }

    /// A worker that has just been connected to said of these that they are reached: the others are not.
    pub(super) fn limits_eased_but(&mut self, reached: &[Resource]) {
        let Some(session) = self.session.upgrade() else { return };
        let gone: Vec<LimitReached> = {
            let live = session.live();
            let gone = live.limits_reached.iter().filter(|it| !reached.contains(&it.resource));
            gone.map(|it| LimitReached { reached: false, text: String::new(), ..it.clone() }).collect()
        };
        for eased in gone {
            self.limit_reached(eased);
        }
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
