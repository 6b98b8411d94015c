//! What the bridge says, and what becomes of it on the screen.

use baton_proto::api::{Exit as ProgramExit, LimitState, Modes, ResumeMode, ServerFrame, Viewport};
use bytes::Bytes;
use tokio::time::Instant;

use super::super::control::{Control, is_past};
use super::super::mirror::Mirror;
use super::super::stream::{Broken, Incoming};
use super::super::terminal::Output;
use super::super::{Left, Mode};
use super::link::{Link, LinkEvent};
use super::{ANSWER, BACKOFF, HEARTBEAT, Live};
use crate::report::{Report, clean_line};

impl Live {
    pub(super) async fn on_link(&mut self, event: LinkEvent, output: &mut Output) -> Option<Left> {
        let now = Instant::now();
        match event {
            LinkEvent::TryAgain => {
                self.open();
                None
            }
            LinkEvent::Opened(Ok(stream)) => {
                self.link = Link::Up(Box::new(stream));
                self.heard = now;
                self.heartbeat = now + HEARTBEAT;
                None
            }
            LinkEvent::Said(Ok(incoming)) => {
                self.heard = now;
                if self.asked.take().is_some_and(|since| now - since >= ANSWER) {
                    self.notice.withdraw(now);
                }
                match incoming {
                    Incoming::Data(bytes, after) => self.on_data(&bytes, after, output),
                    Incoming::Snapshot(bytes, at) => self.on_snapshot(&bytes, at, output),
                    Incoming::Frame(frame) => return self.on_frame(*frame, output).await,
                }
                self.after_output().await
            }
            LinkEvent::Opened(Err(broken)) | LinkEvent::Said(Err(broken)) => self.on_broken(broken, now),
        }
    }

    pub(super) fn on_broken(&mut self, broken: Broken, now: Instant) -> Option<Left> {
        match broken {
            Broken::Replaced => Some(Left::Replaced),
            Broken::SentAway => Some(Left::SentAway),
            Broken::Refused(report) => Some(Left::Failed(report)),
            Broken::Lost { not_running } => {
                self.down_since.get_or_insert(now);
                self.claiming = false;
                self.asked = None;
                self.link = Link::Waiting(now + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF.1);
                self.not_running = not_running;
                None
            }
        }
    }

    async fn on_frame(&mut self, frame: ServerFrame, output: &mut Output) -> Option<Left> {
        let now = Instant::now();
        match frame {
            ServerFrame::Ready { .. } => {
                self.on_ready(frame);
                self.tell_facts();
                return self.after_output().await;
            }
            ServerFrame::InputAck { seq } => {
                self.window.acknowledge(seq);
                self.full_until = None;
            }
            ServerFrame::Lease { owner, epoch, owner_name, owner_kind, expired, expires_at: _ } => {
                let control = Control::new(
                    &self.client,
                    owner,
                    owner_name.as_deref(),
                    owner_kind,
                    epoch,
                    expired.unwrap_or(false),
                );
                self.on_control(control);
            }
            ServerFrame::Exit { code, signal, reason } => {
                return Some(Left::Ended(ProgramExit { code, signal, reason }));
            }
            ServerFrame::Error { code, message, seq, accepted, by, owner_name, .. } => {
                self.on_error(code, &message, seq, accepted, by.or(owner_name));
            }
            ServerFrame::ControlRequested { client_id, name } => {
                let who = if name.is_empty() { client_id.to_string() } else { clean_line(&name) };
                let to = &client_id.as_str()[..client_id.as_str().len().min(8)];
                self.notice.say(
                    &format!("[{who} asks for control; give it with: baton transfer {} {to}]", self.shell_name()),
                    now,
                );
            }
            ServerFrame::ControlDenied { by } => {
                let text = by.map_or_else(
                    || "[nobody answered the request for control]".to_owned(),
                    |by| format!("[{} keeps control]", clean_line(&by)),
                );
                self.notice.say(&text, now);
            }
            ServerFrame::Mode { alt_screen, .. } => {
                // What turned it on is no longer kept.
                if alt_screen && self.partial && !self.screen.modes().alternate && self.screen.is_ground() {
                    self.absorb(b"\x1b[?1049h", output);
                }
            }
            ServerFrame::Clients { clients } => {
                let listed = clients.iter().any(|client| client.client_id == self.client);
                // The first lists after `ready` may be older than this attachment.
                if !listed && self.listed {
                    return Some(Left::SentAway);
                }
                self.listed |= listed;
            }
            ServerFrame::Limit { what, state, error, lost, message, .. } => {
                self.on_limit(&what, state, error.or(message).as_deref(), lost, now);
            }
            ServerFrame::Denied { message, .. } => self.notice.say(&format!("[{}]", clean_line(&message)), now),
            ServerFrame::Resize { cols, rows, .. } => self.on_session_size(Viewport { cols, rows }),
            ServerFrame::Handback(_)
            | ServerFrame::Pong { .. }
            | ServerFrame::Snapshot { .. }
            | ServerFrame::Data { .. } => {}
        }
        None
    }

    fn on_limit(&mut self, what: &str, state: LimitState, error: Option<&str>, lost: Option<u64>, now: Instant) {
        let what = clean_line(what);
        let text = match state {
            LimitState::Failing => {
                let why = error.map(|error| format!(": {}", clean_line(error))).unwrap_or_default();
                format!("[the {what} cannot be written{why}; the session goes on, its output is not kept]")
            }
            LimitState::Recovered => {
                let lost = lost.filter(|lost| *lost > 0);
                let lost = lost.map(|lost| format!("; {lost} bytes of output are missing in it")).unwrap_or_default();
                format!("[the {what} can be written again{lost}]")
            }
            LimitState::Reached => format!("[limit: {}]", error.map_or(what, clean_line)),
            LimitState::Eased => format!("[limit: there is room again ({what})]"),
        };
        self.notice.say(&text, now);
    }

    fn on_ready(&mut self, frame: ServerFrame) {
        let ServerFrame::Ready {
            instance,
            lease_owner,
            owner_name,
            owner_kind,
            epoch,
            lease_expires_at,
            cursor,
            cols,
            rows,
            modes,
            status,
            input_seq,
            mode,
            lost,
            ..
        } = frame
        else {
            return;
        };
        let now = Instant::now();
        self.down_since = None;
        self.listed = false;
        self.backoff = BACKOFF.0;
        self.notice.withdraw(now);
        let first = self.instance.is_none();
        let expired = is_past(lease_expires_at.as_deref());
        let control = Control::new(&self.client, lease_owner, owner_name.as_deref(), owner_kind, epoch, expired);
        let restarted = self.instance.is_some_and(|before| before != instance);
        let dropped = if restarted { self.window.restarted() } else { 0 };
        // Typed under an epoch, it counts under this epoch only. What waits was typed under none.
        let still_ours = control.is_ours() && (self.control == control || self.control == Control::Unknown);
        let dropped = if first { 0 } else { dropped + self.window.reconnected(input_seq, still_ours) };
        if restarted || first {
            self.instance = Some(instance);
            self.offset = 0;
            self.unacknowledged.clear();
            self.acknowledged = 0;
        }
        let size = Viewport { cols, rows };
        // What the life before left on the screen goes up into the terminal's history.
        self.unshown |= restarted;
        match (&mut self.mirror, mode) {
            // A screen follows.
            (_, ResumeMode::Snapshot) => self.session_size = size,
            (Some(mirror), ResumeMode::Gap) if !restarted => {
                mirror.gap();
                self.look_away();
                self.on_session_size(size);
            }
            (Some(_), ResumeMode::Exact) if !restarted => self.on_session_size(size),
            _ => {
                self.session_size = size;
                self.mirror = Some(Mirror::new(size));
                self.look_away();
            }
        }
        self.replay_until = Some(cursor.offset);
        self.ended = !status.is_living();
        if first {
            self.control = control.clone();
            self.greet(mode, modes);
            let claim = match self.mode {
                Mode::Control => control == Control::Free && !self.ended,
                Mode::Take => !control.is_ours() && !self.ended,
                Mode::ReadOnly => false,
            };
            if claim {
                self.claim(self.mode == Mode::Take);
            } else if !control.is_ours() && self.window.drop_waiting() > 0 {
                self.refuse_keys();
            }
        } else {
            self.on_control(control);
            if restarted {
                self.notice.say(&format!("[{} was started anew]", self.name), now);
            } else if let Some(lost) = lost.filter(|_| mode == ResumeMode::Gap) {
                self.notice.say(&format!("[{lost} bytes of output are no longer kept]"), now);
            } else if dropped > 0 {
                self.notice.say("[what you typed meanwhile was not sent]", now);
            }
            // The terminal may have another size by now.
            self.tell_size();
        }
    }

    /// A remark on the session's screen.
    fn greet(&mut self, mode: ResumeMode, modes: Modes) {
        if !self.on_terminal {
            return;
        }
        let watching = if self.mode == Mode::ReadOnly { " · watching" } else { "" };
        let mut lines =
            vec![format!("[attached to {}{watching} · {} detaches]", self.name, self.keys.detach_key().name())];
        if let (Control::Theirs { name, .. }, Mode::Control) = (&self.control, self.mode) {
            lines.push(format!("[{name} has control; `baton attach --take {}` takes it]", self.shell_name()));
        }
        self.notice.say(&lines.join(" "), Instant::now());
        // What drew the screen is no longer kept.
        let full_screen = !modes.canonical && !modes.at_prompt;
        self.partial = full_screen && mode == ResumeMode::Gap && self.replay_until > Some(0);
        self.begins_within = mode == ResumeMode::Gap;
    }

    fn on_data(&mut self, bytes: &Bytes, after: u64, output: &mut Output) {
        let begin = after.saturating_sub(bytes.len() as u64);
        // A byte that is here already is not shown twice.
        let mut known = usize::try_from(self.offset.saturating_sub(begin)).unwrap_or(usize::MAX).min(bytes.len());
        if std::mem::take(&mut self.begins_within) {
            known = known.max(first_line(bytes));
        }
        let begun = self.offset;
        self.offset = self.offset.max(after);
        self.absorb(&bytes[known..], output);
        if self.offset > begun {
            self.taken(output);
        }
    }

    /// A screen takes the place of whatever is shown.
    fn on_snapshot(&mut self, bytes: &Bytes, at: u64, output: &Output) {
        self.mirror = Some(Mirror::restore(self.session_size, bytes));
        self.look_away();
        self.offset = at;
        self.partial = false;
        self.begins_within = false;
        self.taken(output);
    }

    /// Output was taken up to here; it is acknowledged when the terminal has all that was queued until now.
    fn taken(&mut self, output: &Output) {
        self.unacknowledged.push_back((output.queued(), self.offset));
        // What is only painted later may leave nothing queued, and nothing to wait for.
        if output.backlog() == 0
            && let Ok(written) = output.written()
        {
            self.on_written(written);
        }
    }

    /// What becomes due once the replay is over.
    async fn after_output(&mut self) -> Option<Left> {
        if self.replay_until.is_none_or(|until| self.offset < until) {
            return None;
        }
        self.replay_until = None;
        if self.ended {
            // Nobody tells of an end that was told before.
            let exit = self.api.session(self.session.id).await.map(|detail| detail.session.exit);
            return Some(match exit {
                Ok(Some(exit)) => Left::Ended(exit),
                Ok(None) => Left::Failed(
                    Report::failed(format!("`{}` does not run any more", self.name)).why("how it ended is not known"),
                ),
                Err(report) => Left::Failed(report),
            });
        }
        None
    }
}

/// Where the first whole line begins, if that is near: what is before it may be half a sequence.
fn first_line(bytes: &[u8]) -> usize {
    const NEAR_BYTES: usize = 4096;
    bytes.iter().take(NEAR_BYTES).position(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}
