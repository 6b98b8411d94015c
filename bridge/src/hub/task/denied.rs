//! The sandbox refused the session's program something: told to everybody attached and to the event log. The worker bounds how
//! often.

use baton_proto::api::ServerFrame;
use baton_proto::denied::Denied;

use super::super::feed::Subject;
use super::Hub;
use crate::show;

impl Hub {
    pub(super) fn denied(&mut self, denied: Denied) {
        let denied = denied.clean();
        let id = self.entry.borrow().spec.session;
        let message = denied.text();
        let data = serde_json::json!({ "act": denied.act, "path": denied.path, "message": message });
        if let Some(link) = self.link.as_mut() {
            let frame = ServerFrame::Denied { act: denied.act, path: denied.path, message };
            link.feed.control(show::text(&frame), Subject::Other);
        }
        self.context.events.session(id, "denied", data);
    }
}
