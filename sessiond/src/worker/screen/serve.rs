//! The loop's part: who asks for a screen, and what the threads tell.

use baton_proto::ErrorCode;
use baton_proto::frame::Kind;
use baton_proto::lease::Monotonic;
use baton_proto::v1::{Locate, Located, MarkKind, MarkRecord, ScreenAt, ScreenState, SnapshotRequest, TerminalFacts};

use super::draw::clipped;
use super::facts_of;
use super::playback::Limit;
use super::shared::{Drawing, Order, Report, Ticket, Undrawn};
use crate::worker::Worker;
use crate::worker::serve::{Answer, No};

/// Bytes of screens that wait for connections that do not read them; while there are more, no new one is begun.
const WAITING_BYTES_MAX: usize = 64 << 20;

impl From<Undrawn> for No {
    fn from(undrawn: Undrawn) -> Self {
        Self::with_oldest(undrawn.code, undrawn.message, undrawn.oldest)
    }
}

impl Worker {
    pub(in crate::worker) fn snapshot(&mut self, conn: u64, id: u64, request: &SnapshotRequest) -> Result<Answer, No> {
        let SnapshotRequest { at, format, history } = *request;
        if history > SnapshotRequest::HISTORY_MAX {
            let most = SnapshotRequest::HISTORY_MAX;
            return Err(No::new(ErrorCode::Invalid, format!("{history} lines above the screen: at most {most}")));
        }
        let (oldest, head) = (self.journal.oldest(), self.journal.head());
        let limit = match at {
            ScreenAt::Head => Limit::NONE,
            ScreenAt::Offset(offset) if offset > head => {
                return Err(No::new(ErrorCode::Invalid, format!("offset {offset}: output ends at {head} so far")));
            }
            ScreenAt::Offset(offset) => Limit { offset, ..Limit::NONE },
            ScreenAt::Time(wall_us) => {
                let (offset, _) = self.journal.locate(wall_us)?;
                Limit { offset, wall_us }
            }
        };
        if limit.offset < oldest {
            let oldest = self.screens.oldest(&self.journal);
            return Err(Undrawn::trimmed(oldest).into());
        }
        if self.conns.values().map(super::super::Conn::screen_bytes).sum::<usize>() > WAITING_BYTES_MAX {
            return Err(No::new(ErrorCode::Busy, "screens drawn before are still to be read: read them first"));
        }
        // Whatever is written by now is in it.
        self.screens.publish(&self.journal);
        let ticket = Ticket { conn, id };
        self.screens.order(Order { ticket, format, history, limit, end: self.journal.end(), head })?;
        Ok(Answer::Given)
    }

    pub(in crate::worker) fn locate(&mut self, conn: u64, id: u64, locate: Locate) -> Result<Answer, No> {
        let (offset, wall_us) = self.journal.locate(locate.wall_us)?;
        let end = self.journal.end();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send_fenced(end, Kind::Located, id, &Located { offset, wall_us });
        }
        Ok(Answer::Given)
    }

    pub(in crate::worker) fn facts(&mut self, conn: u64, told: &TerminalFacts) -> Result<Answer, No> {
        let client = self.client_of(conn, told.attachment)?;
        let facts = facts_of(told)
            .ok_or_else(|| No::new(ErrorCode::Invalid, "`da1` has digits and semicolons only, at most 64 of them"))?;
        if let Some(attached) = self.attached.get_mut(&told.attachment) {
            attached.facts = Some(facts);
        }
        if self.lease.owner().is_some_and(|owner| owner.client == client) {
            self.use_owners_facts();
        }
        Ok(Answer::Done)
    }

    /// Queries are answered for the owner's terminal; without an owner, or with one that told nothing, for the last one's.
    pub(in crate::worker) fn use_owners_facts(&mut self) {
        let facts = self
            .lease
            .owner()
            .and_then(|owner| self.lease.attachment(&owner.client))
            .and_then(|attachment| self.attached.get(&attachment))
            .and_then(|attached| attached.facts.clone());
        if let Some(facts) = facts {
            self.screens.set_facts(facts);
        }
    }

    /// What the threads have told.
    pub(in crate::worker) fn screen_reports(&mut self, now: Monotonic) {
        for report in self.screens.reports() {
            match report {
                Report::Reply(offset, bytes) => self.reply(offset, bytes),
                Report::Mark(offset, kind, text) => self.mark(offset, kind, &text),
                Report::State(state) => self.screen_state(*state),
                Report::Drawn(tickets, drawn) => self.drawn(&tickets, drawn),
                Report::Denied(denied) => self.denied(denied, now),
            }
        }
        self.type_queued(now);
    }

    fn mark(&mut self, offset: u64, kind: MarkKind, text: &str) {
        // Nothing follows the end.
        if self.exit.is_some() {
            return;
        }
        // Whoever waits for the command's end finds what it was refused told.
        self.hear_refused(crate::worker::monotonic());
        let appended = self.journal.append(Kind::Mark, &MarkRecord { offset, kind, text: clipped(text) });
        self.window.marked(offset);
        self.deliver_last(Kind::Mark, appended);
        self.command_marked(offset, kind, text);
    }

    fn screen_state(&mut self, state: ScreenState) {
        let known = self.screens.state();
        if *known == (ScreenState { offset: known.offset, ..state.clone() }) {
            self.screens.state.offset = state.offset;
            return;
        }
        self.screens.state = state;
        let end = self.journal.end();
        for conn in self.conns.values_mut().filter(|conn| conn.wants_output()) {
            conn.send_fenced(end, Kind::ScreenState, 0, &self.screens.state);
        }
    }

    fn drawn(&mut self, tickets: &[Ticket], drawn: Result<Drawing, Undrawn>) {
        match drawn {
            Ok(drawing) => {
                for ticket in tickets {
                    if let Some(conn) = self.conns.get_mut(&ticket.conn) {
                        conn.answer_screen(ticket.id, drawing.clone());
                    }
                }
            }
            Err(undrawn) => {
                for ticket in tickets {
                    self.fail(ticket.conn, ticket.id, undrawn.clone().into());
                }
            }
        }
    }
}
