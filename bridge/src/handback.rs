//! The report that an agent gets when it has control again: what happened while somebody else had it.
//!
//! Made of what is kept anyway, the history of leases and the events of the session, so that it is the same after the bridge was
//! killed, and for an agent that asks later. Marks are told a moment after the output that made them: a screen drawn at the
//! place where control came back is behind all of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use baton_proto::api::{CommandRun, Handback, Holder, Mark, ServerFrame, SizeChange, TextChange, Viewport};
use baton_proto::ids::{ClientId, Cursor, Epoch};
use baton_proto::v1::{Class, LeaseRecord, ScreenAt, ScreenFormat, SnapshotRequest};

use crate::clock::rfc3339;
use crate::events::EventLog;
use crate::hub::marks::Round;
use crate::hub::presence::Presence;
use crate::hub::session::Session;
use crate::problem::Outcome;
use crate::store::events::Happening;
use crate::store::leases::LeaseRow;

/// Commands told at most, the newest.
const COMMANDS_MAX: usize = 50;
/// Owners told at most, the newest.
const HOLDERS_MAX: usize = 16;
/// Characters of a text told at most.
const TEXT_CHARS_MAX: usize = 1024;
/// How long the screen at the end may take. Without it the report is made of what is known.
const SCREEN_WITHIN: Duration = Duration::from_secs(1);

/// An absence: what the agent had, how it lost it, who had it, how it came back.
#[derive(Debug, PartialEq, Eq)]
struct Absence<'a> {
    lost: &'a LeaseRow,
    held: Vec<&'a LeaseRow>,
    back: &'a LeaseRow,
}

/// Finds the absence that ended with `epoch` in a history, oldest first.
fn absence<'a>(rows: &'a [LeaseRow], client: &ClientId, epoch: Epoch) -> Option<Absence<'a>> {
    // Expiry and its end are told under the epoch that they belong to.
    let mut changes: Vec<&LeaseRow> = Vec::new();
    for row in rows {
        if changes.last().is_none_or(|last| (last.instance, last.epoch) != (row.instance, row.epoch)) {
            changes.push(row);
        }
    }
    let its_own = |row: &LeaseRow| row.owner.as_ref() == Some(client);
    let back = changes.iter().rposition(|row| row.epoch == epoch && its_own(row))?;
    let own = changes[..back].iter().rposition(|row| its_own(row))?;
    let between = &changes[own + 1..back];
    let held: Vec<&LeaseRow> = between.iter().copied().filter(|row| row.owner.is_some()).collect();
    // Given up and taken again, with nobody in between.
    (!held.is_empty()).then_some(Absence { lost: between.first()?, held, back: changes[back] })
}

/// What the session told, sorted by when it was.
#[derive(Debug, Default)]
struct Seen {
    cwd: (Option<String>, Option<String>),
    title: (Option<String>, Option<String>),
    size: (Option<Viewport>, Option<Viewport>),
    commands: VecDeque<CommandRun>,
    left_out: u32,
    marks_left_out: u64,
}

impl Seen {
    fn mark(&mut self, mark: Mark, absence: &Absence<'_>, at_us: u64) {
        let (lost, back) = (absence.lost, absence.back);
        let is_of = |row: &LeaseRow| row.instance == Some(mark.cursor.instance) && row.head.is_some();
        let upto = |row: &LeaseRow| row.head.is_some_and(|head| mark.cursor.offset <= head);
        let before = if is_of(lost) { upto(lost) } else { at_us <= lost.at_us && lost.instance != back.instance };
        if !before && is_of(back) && !upto(back) {
            return;
        }
        if !before {
            self.marks_left_out += mark.left_out.unwrap_or(0);
        }
        if self.commands.back().is_some_and(|last| last.cursor.instance != mark.cursor.instance) {
            self.all_ended();
        }
        let text = mark.text.map(|text| clipped(&text));
        let slot = match mark.kind.as_str() {
            "command" => {
                let run = CommandRun {
                    command: text,
                    cursor: mark.cursor,
                    began_before: before,
                    running: true,
                    exit_code: None,
                    duration_ms: None,
                };
                return self.push(run);
            }
            "command_end" => return self.ended(mark.cursor, before, mark.exit_code, mark.duration_ms),
            // Of a command whose end was not told.
            "prompt" if self.commands.back().is_some_and(|last| last.running) => {
                return self.ended(mark.cursor, before, None, None);
            }
            "cwd" => &mut self.cwd,
            "title" => &mut self.title,
            _ => return,
        };
        *if before { &mut slot.0 } else { &mut slot.1 } = text;
    }

    /// No command runs: the program of that life is gone, or the shell shows its prompt.
    fn all_ended(&mut self) {
        if let Some(last) = self.commands.back_mut() {
            last.running = false;
        }
    }

    fn push(&mut self, run: CommandRun) {
        // A shell that tells of the next has ended the one before it, whether it said so or not.
        if run.began_before {
            self.commands.clear();
        } else if let Some(last) = self.commands.back_mut() {
            last.running = false;
        }
        self.commands.push_back(run);
        if self.commands.len() > COMMANDS_MAX {
            self.commands.pop_front();
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn ended(&mut self, cursor: Cursor, before: bool, exit_code: Option<i32>, duration_ms: Option<u64>) {
        match self.commands.back_mut().filter(|last| last.running) {
            // It had ended before control was lost.
            Some(_) if before => self.commands.clear(),
            Some(last) => {
                (last.running, last.exit_code, last.duration_ms) = (false, exit_code, duration_ms);
            }
            None if before => {}
            None => {
                let command = None;
                self.push(CommandRun { command, cursor, began_before: false, running: false, exit_code, duration_ms });
            }
        }
    }

    fn take(&mut self, happening: Happening, absence: &Absence<'_>) {
        match happening {
            Happening::Mark { mark, at_us } => self.mark(mark, absence, at_us),
            Happening::Resize { size, at_us } if at_us <= absence.lost.at_us => self.size.0 = Some(size),
            Happening::Resize { size, .. } => self.size.1 = Some(size),
        }
    }
}

fn clipped(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect()
}

fn text_change((before, after): (Option<String>, Option<String>)) -> Option<TextChange> {
    let after = after.filter(|after| before.as_ref() != Some(after))?;
    Some(TextChange { before, after })
}

fn holder(row: &LeaseRow) -> Option<Holder> {
    let client_id = row.owner.clone()?;
    let name = row.owner_name.as_deref().map(clipped).unwrap_or_default();
    Some(Holder { client_id, name, kind: row.owner_kind, since: rfc3339(row.at_us) })
}

const fn cursor(row: &LeaseRow) -> Option<Cursor> {
    match (row.instance, row.head) {
        (Some(instance), Some(offset)) => Some(Cursor { instance, offset }),
        _ => None,
    }
}

/// The report to `client`, which has control under `epoch`; `None` if it did not lose it to anybody before.
///
/// # Errors
/// `internal` when the database fails.
pub async fn report(
    events: &EventLog,
    session: &Session,
    client: &ClientId,
    epoch: Epoch,
) -> Outcome<Option<Handback>> {
    // The history's rows are written before the events that come with them.
    events.flush().await;
    let rows = events.store().leases(session.id).await?;
    let Some(absence) = absence(&rows, client, epoch) else { return Ok(None) };
    if let Some(at) = cursor(absence.back).filter(|at| at.instance == session.instance()) {
        let request = SnapshotRequest { at: ScreenAt::Offset(at.offset), format: ScreenFormat::Text, history: 0 };
        // Whatever becomes of it, the report is made.
        let _ = tokio::time::timeout(SCREEN_WITHIN, session.snapshot(request)).await;
        events.flush().await;
    }
    let entry = session.entry();
    let made = (entry.spec.instance, entry.spec.cwd.clone(), entry.spec.size);
    let mut seen = Seen {
        cwd: (Some(made.1).filter(|_| Some(made.0) == absence.lost.instance), None),
        size: (Some(Viewport { cols: made.2.cols, rows: made.2.rows }), None),
        ..Seen::default()
    };
    for happening in events.store().happenings(session.id, absence.lost.at_us).await? {
        seen.take(happening, &absence);
    }
    let live = session.live();
    seen.marks_left_out += live.marks_left_out;
    // Its end may be among what was too much for the log.
    if live.round == Round::Prompt && seen.marks_left_out > 0 {
        seen.all_ended();
    }
    Ok(Some(told(&absence, seen)))
}

fn told(absence: &Absence<'_>, mut seen: Seen) -> Handback {
    let Absence { lost, held, back } = absence;
    let size = match seen.size {
        (Some(before), Some(after)) if before != after => Some(SizeChange { before, after }),
        _ => None,
    };
    let restarted = lost.instance.is_some() && back.instance.is_some() && lost.instance != back.instance;
    if seen.commands.back().is_some_and(|last| Some(last.cursor.instance) != back.instance) {
        seen.all_ended();
    }
    let skipped = held.len().saturating_sub(HOLDERS_MAX);
    Handback {
        epoch: back.epoch,
        lost_at: rfc3339(lost.at_us),
        back_at: rfc3339(back.at_us),
        from: cursor(lost),
        to: cursor(back),
        restarted,
        held_by: held[skipped..].iter().filter_map(|row| holder(row)).collect(),
        commands: seen.commands.into(),
        commands_left_out: seen.left_out,
        marks_left_out: seen.marks_left_out,
        cwd: text_change(seen.cwd),
        title: text_change(seen.title),
        size,
    }
}

/// Tells an agent's socket what happened, if anything did.
pub async fn tell(events: EventLog, session: Arc<Session>, presence: Arc<Presence>, epoch: Epoch) {
    match report(&events, &session, &presence.identity.client, epoch).await {
        Ok(Some(handback)) => presence.tell(ServerFrame::Handback(Box::new(handback))),
        Ok(None) => {}
        Err(failure) => tracing::warn!(session = %session.id, "an agent is not told what happened: {failure}"),
    }
}

/// Whether the owner of this lease is this client, and an agent with a socket.
#[must_use]
pub fn concerns(record: &LeaseRecord, presence: &Presence) -> bool {
    let owner = record.owner.as_ref().is_some_and(|owner| owner.client == presence.identity.client);
    owner && presence.identity.class == Class::Agent && !presence.rest
}

#[cfg(test)]
#[path = "handback_tests.rs"]
mod tests;
