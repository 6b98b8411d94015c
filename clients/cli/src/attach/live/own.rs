//! Control, what is typed, and the size: this side of the connection.

use baton_proto::Cursor;
use baton_proto::ErrorCode;
use baton_proto::api::{ClientFrame, Viewport};
use tokio::time::Instant;

use super::super::control::Control;
use super::super::keys::Segment;
use super::super::raw_mode::RawMode;
use super::super::terminal::size;
use super::super::{Left, Mode};
use super::link::Link;
use super::{ACK_BYTES, FULL_PAUSE, IDLE, KEY_PAUSE, Live, REDRAW_PAUSE, REMARK_PAUSE};
use crate::names::short;
use crate::report::clean_line;

impl Live {
    pub(super) fn claim(&mut self, force: bool) {
        self.claiming = true;
        self.send(&ClientFrame::Claim { force });
    }

    pub(super) fn on_control(&mut self, control: Control) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.control, control);
        if before == self.control {
            return;
        }
        match (&before, &self.control) {
            (_, Control::Ours(_)) => {
                let asked = std::mem::take(&mut self.claiming);
                self.tell_size();
                if asked {
                    self.notice.dismiss(now);
                } else if !before.is_ours() {
                    self.notice.say("[you have control]", now);
                }
                self.begin_redraw(now);
            }
            (Control::Ours(_), Control::Theirs { name, .. }) => {
                self.window.drop_waiting();
                let detach = self.keys.detach_key().name();
                let text = format!(
                    "[{name} has control now; take it back: {detach}, baton attach --take {}]",
                    self.shell_name()
                );
                self.notice.say(&text, now);
            }
            (Control::Ours(_), Control::Free) => {
                self.window.drop_waiting();
                self.notice.say("[you gave control up; type to take it again]", now);
            }
            (Control::Theirs { .. }, Control::Free) if self.mode != Mode::ReadOnly => {
                self.notice.say("[control is free; type to take it]", now);
            }
            _ => {}
        }
    }

    pub(super) fn on_error(
        &mut self,
        code: ErrorCode,
        message: &str,
        seq: Option<u64>,
        accepted: Option<u64>,
        by: Option<String>,
    ) {
        let now = Instant::now();
        match (code, seq) {
            (ErrorCode::InputFull, Some(seq)) => {
                self.window.refused_full(seq, accepted.unwrap_or(seq.saturating_sub(1)));
                self.full_until = Some(now + FULL_PAUSE);
            }
            (ErrorCode::NotOwner | ErrorCode::LeaseLost, Some(seq)) => {
                let dropped = self.window.refused_owner(seq, accepted.unwrap_or(seq.saturating_sub(1)));
                if dropped > 0 {
                    let who = by.map_or_else(|| "somebody else".to_owned(), |by| clean_line(&by));
                    self.notice.say(&format!("[{who} has control; what you typed was not sent]"), now);
                }
            }
            (ErrorCode::SessionEnded, Some(seq)) => {
                self.window.refused_owner(seq, accepted.unwrap_or(seq.saturating_sub(1)));
            }
            (ErrorCode::InputUncertain, Some(seq)) => {
                if self.window.uncertain(seq) {
                    self.notice.say("[whether the last keys arrived is not known]", now);
                }
            }
            (ErrorCode::LeaseHeld, _) => {
                self.claiming = false;
                if self.window.drop_waiting() > 0 || self.mode == Mode::Take {
                    self.refuse_keys();
                }
            }
            // A session of fixed size shows as it is; a resize that came too late is nobody's loss.
            (ErrorCode::SizeFixed | ErrorCode::NotOwner | ErrorCode::LeaseLost, None) => {}
            _ => self.notice.say(&format!("[{}: {}]", code, clean_line(message)), now),
        }
    }

    pub(super) fn on_segments(&mut self, segments: Vec<Segment>) -> Option<Left> {
        for segment in segments {
            match segment {
                Segment::Detach => return Some(Left::Detached),
                Segment::Keys(bytes) => self.on_keys(&bytes),
                // Reports are for the program while this client has control, and never a reason to take it.
                Segment::Report(bytes) => {
                    if self.control.is_ours()
                        && self.replay_until.is_none()
                        && let Some(bytes) = self.report(bytes)
                    {
                        self.window.push(&bytes);
                    }
                }
                // A program's query is kept from this terminal: what it answers, Baton asked, or somebody else before.
                Segment::Answer(answer) => {
                    if let Some(term) = self.asking.as_mut().and_then(|asking| asking.hear(&answer)) {
                        self.asking = None;
                        (self.term, self.term_told) = (term, false);
                        self.tell_facts();
                    }
                }
            }
        }
        None
    }

    /// Says what this terminal is like, if that became known after `hello`.
    pub(super) fn tell_facts(&mut self) {
        if !self.term_told && matches!(self.link, Link::Up(_)) {
            self.term_told = true;
            self.send(&ClientFrame::Facts { term: self.term.clone() });
        }
    }

    /// What looks like the beginning of a sequence waits a moment for the rest, unless it would go on unchanged anyway.
    pub(super) fn hold_keys(&mut self) -> Option<Left> {
        let at_once = self.control.is_ours() && self.replay_until.is_none() && !self.screen.modes().extended_keys();
        let left = if self.keys.is_holding() && at_once {
            let segments = self.keys.pass_on();
            self.on_segments(segments)
        } else {
            None
        };
        self.key_due = self.keys.is_within_sequence().then(|| Instant::now() + KEY_PAUSE);
        left
    }

    fn on_keys(&mut self, bytes: &[u8]) {
        match &self.control {
            // Given to a watcher, control is there to be used.
            Control::Ours(_) => self.window.push(bytes),
            _ if self.mode == Mode::ReadOnly => self.refuse_keys(),
            Control::Unknown => self.window.push(bytes),
            _ if self.claiming => self.window.push(bytes),
            Control::Free if !matches!(self.link, Link::Up(_)) => self.refuse_keys(),
            Control::Free => {
                self.window.push(bytes);
                self.claim(false);
            }
            Control::Theirs { .. } => self.refuse_keys(),
        }
    }

    /// Says why keys go nowhere, and what to do.
    pub(super) fn refuse_keys(&mut self) {
        let now = Instant::now();
        if self.remarked.is_some_and(|at| now - at < REMARK_PAUSE) {
            return;
        }
        self.remarked = Some(now);
        let detach = self.keys.detach_key().name();
        let name = self.shell_name();
        let text = match (&self.control, self.mode) {
            (_, Mode::ReadOnly) => format!("[read-only; to type: {detach}, baton attach {name}]"),
            (Control::Theirs { name: owner, .. }, _) => {
                format!("[{owner} has control; take it: {detach}, baton attach --take {name}]")
            }
            _ => "[not connected; what you type is not sent]".to_owned(),
        };
        self.notice.say(&text, now);
    }

    /// What to type for this session on a command line.
    pub(super) fn shell_name(&self) -> String {
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        if !self.session.title.is_empty() && self.session.title.chars().all(plain) {
            self.session.title.clone()
        } else {
            short(&self.session.id.to_string()).to_owned()
        }
    }

    /// Sends what may be sent.
    pub(super) fn pump(&mut self) {
        let (Link::Up(stream), Control::Ours(epoch)) = (&self.link, &self.control) else { return };
        if self.instance.is_none() {
            return;
        }
        let mut sent = false;
        while let Some((seq, bytes)) = self.window.next() {
            stream.send_input(seq, *epoch, bytes);
            sent = true;
        }
        // Whoever types is told soon if nobody listens.
        let now = Instant::now();
        if sent && self.asked.is_none() && now - self.heard > IDLE {
            self.ask(now);
        }
    }

    pub(super) fn on_resized(&mut self) {
        let Some(now) = size() else { return };
        if now != self.size {
            self.on_own_size(now);
            self.redraw = None;
            self.tell_size();
        }
    }

    pub(super) fn tell_size(&self) {
        let Viewport { cols, rows } = self.size;
        self.send(&ClientFrame::Viewport { cols, rows });
        if self.control.is_ours() {
            self.send(&ClientFrame::Resize { cols, rows });
        }
    }

    pub(super) fn on_continued(&mut self, raw: &RawMode) {
        // A terminal that cannot be set is gone, which its next read tells.
        let _ = raw.reenter();
        self.on_resized();
        self.forget_face();
    }

    /// A full-screen program whose screen is not whole draws it anew when the size changes, and back.
    fn begin_redraw(&mut self, now: Instant) {
        let Viewport { cols, rows } = self.size;
        if std::mem::take(&mut self.partial) && self.control.is_ours() && rows > 2 {
            self.send(&ClientFrame::Resize { cols, rows: rows - 1 });
            self.redraw = Some(now + REDRAW_PAUSE);
        }
    }

    pub(super) fn on_written(&mut self, written: u64) {
        let mut reached = None;
        while let Some(&(queued, offset)) = self.unacknowledged.front() {
            if queued > written {
                break;
            }
            reached = Some(offset);
            self.unacknowledged.pop_front();
        }
        let Some(offset) = reached else { return };
        // Small steps only when nothing else is under way: an acknowledgement a keystroke would be a waste.
        if offset >= self.acknowledged + ACK_BYTES {
            self.acknowledge(offset);
        } else if self.unacknowledged.is_empty() {
            self.unacknowledged.push_back((written, offset));
        }
    }

    fn acknowledge(&mut self, offset: u64) {
        if let Some(instance) = self.instance {
            self.acknowledged = offset;
            self.send(&ClientFrame::Ack { cursor: Cursor { instance, offset } });
        }
    }
}
