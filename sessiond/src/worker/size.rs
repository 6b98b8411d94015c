//! The terminal's size: a policy of the session, never a side effect of watching.

use baton_proto::frame::Kind;
use baton_proto::lease::{Monotonic, Refusal};
use baton_proto::v1::{Dimensions, ResizeRecord, ResizeRequest, SizePolicy, Viewport};
use baton_proto::{ClientId, ErrorCode};

use super::Worker;
use super::pty::Terminal as _;
use super::serve::{Answer, No};

/// Clients whose last viewport is remembered, so that getting the lease back brings it back.
const VIEWPORTS_MAX: usize = 256;
impl Worker {
    pub(super) fn remember_viewport(&mut self, client: &ClientId, size: Dimensions) {
        self.viewports.retain(|(known, _)| known != client);
        if self.viewports.len() >= VIEWPORTS_MAX {
            self.viewports.pop_front();
        }
        self.viewports.push_back((client.clone(), size));
    }

    /// The size follows the owner's viewport, where the policy says so.
    pub(super) fn follow_owner(&mut self, now: Monotonic) {
        let Some(owner) = self.lease.owner() else { return };
        let Some((_, size)) = self.viewports.iter().find(|(client, _)| *client == owner.client) else { return };
        let size = match self.policy {
            SizePolicy::Holder => *size,
            SizePolicy::Fixed => return,
            SizePolicy::Cap { max_cols, max_rows } => {
                Dimensions { cols: size.cols.min(max_cols), rows: size.rows.min(max_rows) }
            }
        };
        self.set_size(size, now);
    }

    pub(super) fn set_size(&mut self, size: Dimensions, now: Monotonic) {
        if !size.is_valid() || size == self.journal.state().size {
            return;
        }
        // What the program wrote for the old size stands before the mark of the new one.
        self.read_terminal(now);
        let Some(terminal) = self.terminal.as_ref() else { return };
        if let Err(err) = terminal.resize(size) {
            tracing::warn!(error = %err, "the terminal keeps its size");
            return;
        }
        self.last_activity = now;
        self.screens.stir();
        let appended = self.journal.append_resize(ResizeRecord { cols: size.cols, rows: size.rows });
        self.deliver_last(Kind::Resize, appended);
    }

    pub(super) fn viewport(&mut self, conn: u64, viewport: &Viewport, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, viewport.attachment)?;
        check_size(viewport.size)?;
        if let Some(attached) = self.attached.get_mut(&viewport.attachment) {
            attached.entry.viewport = Some(viewport.size);
            self.presence_changed = true;
        }
        self.remember_viewport(&client, viewport.size);
        if self.lease.owner().is_some_and(|owner| owner.client == client) {
            self.follow_owner(now);
        }
        Ok(Answer::Done)
    }

    pub(super) fn resize_request(&mut self, conn: u64, request: &ResizeRequest, now: Monotonic) -> Result<Answer, No> {
        let client = self.client_of(conn, request.attachment)?;
        check_size(request.size)?;
        // To others, whether they ever held the lease or not, it is simply not theirs (spec: `not_owner`).
        let effects = self.lease.admit(&client, None, now).map_err(|_| Refusal::NotOwner)?;
        self.apply(effects, now);
        if self.policy == SizePolicy::Fixed {
            return Err(No::new(ErrorCode::SizeFixed, "the session's size is fixed: change its size policy first"));
        }
        if let Some(attached) = self.attached.get_mut(&request.attachment) {
            attached.entry.viewport = Some(request.size);
            self.presence_changed = true;
        }
        self.remember_viewport(&client, request.size);
        self.follow_owner(now);
        Ok(Answer::Done)
    }
}

pub(super) fn check_size(size: Dimensions) -> Result<(), No> {
    if size.is_valid() {
        return Ok(());
    }
    Err(No::new(
        ErrorCode::Invalid,
        format!("{} columns and {} rows: both must be from 1 to {}", size.cols, size.rows, Viewport::SIDE_MAX),
    ))
}
