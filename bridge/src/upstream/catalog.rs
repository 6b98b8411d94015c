//! Which sessions there are: what sessiond says, beside what people said about them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use baton_proto::ErrorCode;
use baton_proto::ids::{SessionId, WorkspaceId};
use baton_proto::v1::SessionEntry;
use serde_json::json;

use crate::access::whose::Whose;
use crate::hub::session::{HubContext, Session};
use crate::problem::{Failure, Outcome};
use crate::show;
use crate::store::sessions::SessionRow;

/// All sessions.
#[derive(Debug)]
pub struct Catalog {
    context: Arc<HubContext>,
    sessions: RwLock<HashMap<SessionId, Arc<Session>>>,
    rows: RwLock<HashMap<SessionId, SessionRow>>,
    reserved: Mutex<HashSet<(Option<WorkspaceId>, String)>>,
}

/// A title nobody else can take while this lives.
#[derive(Debug)]
pub struct ReservedTitle {
    catalog: Arc<Catalog>,
    key: (Option<WorkspaceId>, String),
}

impl ReservedTitle {
    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.key.1
    }
}

impl Drop for ReservedTitle {
    fn drop(&mut self) {
        self.catalog.reserved().remove(&self.key);
    }
}

impl Catalog {
    /// A catalog with what the database remembers of sessions; which of them still are is for sessiond to say.
    #[must_use]
    pub fn new(context: Arc<HubContext>, rows: Vec<SessionRow>) -> Arc<Self> {
        let rows = rows.into_iter().map(|row| (row.id, row)).collect();
        Arc::new(Self { context, sessions: RwLock::default(), rows: RwLock::new(rows), reserved: Mutex::default() })
    }

    fn sessions_mut(&self) -> RwLockWriteGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> RwLockReadGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows_mut(&self) -> RwLockWriteGuard<'_, HashMap<SessionId, SessionRow>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserved(&self) -> MutexGuard<'_, HashSet<(Option<WorkspaceId>, String)>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// sessiond's whole list.
    pub fn replace(&self, entries: Vec<SessionEntry>) {
        let known: HashSet<SessionId> = entries.iter().map(|entry| entry.spec.session).collect();
        for entry in entries {
            self.note(entry, false);
        }
        let gone: Vec<_> = self.sessions().keys().filter(|id| !known.contains(*id)).copied().collect();
        // Their rows stay: what people said of a session is forgotten when they say so.
        for id in gone {
            self.forget(id);
        }
        // And what was logged of those that were forgotten while nobody listened.
        self.context.protocol_log.keep(known);
    }

    /// sessiond said something about one session.
    pub fn update(&self, entry: SessionEntry) {
        self.note(entry, true);
    }

    /// What is `news` happened just now: a session that is over already when it is first heard of has ended meanwhile.
    fn note(&self, entry: SessionEntry, news: bool) {
        let (id, status) = (entry.spec.session, show::status(&entry.status));
        let (instance, mut begun) = (entry.spec.instance, false);
        self.context.audit.session(&entry);
        let mut sessions = self.sessions_mut();
        let before = match sessions.get(&id) {
            Some(session) if session.instance() == entry.spec.instance => {
                let before = show::status(&session.entry().status);
                session.set_entry(entry);
                Some(before)
            }
            // A new life of the program: nothing that is known of the last one is true of it.
            other => {
                let before = other.map(|last| {
                    last.supersede();
                    show::status(&last.entry().status)
                });
                let session = Session::start(entry, news, &self.context);
                // What is noted is noted of an end.
                if let Some(row) = self.row(id).filter(|_| !status.is_living()) {
                    session.remember(row.head, row.oldest, row.last_activity_us);
                }
                sessions.insert(id, session);
                begun = before.is_some();
                before
            }
        };
        drop(sessions);
        if begun {
            self.context.events.session(id, "status", json!({ "status": status, "instance": instance }));
        } else if before != Some(status) && (before.is_some() || status.is_living()) {
            self.context.events.session(id, "status", json!({ "status": status }));
        }
    }

    /// A session was forgotten.
    pub fn remove(&self, id: SessionId) {
        let row = self.row(id);
        let removed = self.sessions_mut().remove(&id);
        self.rows_mut().remove(&id);
        self.gone(removed, row.as_ref());
    }

    /// sessiond does not know it any more.
    fn forget(&self, id: SessionId) {
        let removed = self.sessions_mut().remove(&id);
        self.gone(removed, self.row(id).as_ref());
    }

    fn gone(&self, removed: Option<Arc<Session>>, row: Option<&SessionRow>) {
        if let Some(session) = removed {
            session.forget();
            self.context.protocol_log.forget(session.id);
            let entry = session.entry();
            self.context.events.forgotten(session.id, &Whose::new(entry.spec.creator.as_ref(), row));
        }
    }

    /// A session.
    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions().get(&id).cloned()
    }

    /// Every session, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.sessions().values().cloned().collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// What people said about a session.
    #[must_use]
    pub fn row(&self, id: SessionId) -> Option<SessionRow> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// People said something about a session. The caller writes it to the database.
    pub fn set_row(&self, row: SessionRow) {
        self.rows_mut().insert(row.id, row);
    }

    /// A session's title.
    #[must_use]
    pub fn title(&self, session: &Session) -> String {
        self.row(session.id).map_or_else(|| session.entry().spec.title.clone(), |row| row.title)
    }

    /// Reserves a title among the living sessions of a workspace, but for `except`.
    ///
    /// # Errors
    /// `name_taken`.
    pub fn reserve_title(
        self: &Arc<Self>,
        workspace: Option<WorkspaceId>,
        title: &str,
        except: Option<SessionId>,
    ) -> Outcome<ReservedTitle> {
        let mut reserved = self.reserved();
        let key = (workspace, title.to_owned());
        let taken = reserved.contains(&key)
            || self.all().iter().any(|session| {
                let row = self.row(session.id);
                Some(session.id) != except
                    && !session.has_ended()
                    && row.as_ref().and_then(|row| row.workspace_id) == workspace
                    && row.map_or_else(|| session.entry().spec.title.clone(), |row| row.title) == title
            });
        if taken {
            let detail = format!("a living session is named `{title}` already; choose another name");
            return Err(Failure::new(ErrorCode::NameTaken, detail));
        }
        reserved.insert(key.clone());
        Ok(ReservedTitle { catalog: Arc::clone(self), key })
    }

    /// Reserves `base`, or `base-2`, `base-3` …, whatever is free.
    ///
    /// # Errors
    /// `name_taken` when nothing within reason is.
    pub fn reserve_default_title(
        self: &Arc<Self>,
        workspace: Option<WorkspaceId>,
        base: &str,
    ) -> Outcome<ReservedTitle> {
        const TRIES: usize = 10_000;
        let mut number = 1;
        loop {
            let title = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
            match self.reserve_title(workspace, &title, None) {
                Err(_) if number < TRIES => number += 1,
                outcome => return outcome,
            }
        }
    }

    /// The newest session with this `(workspace, terminal_id)` that create-or-resume returns, among those that `fits` says yes to.
    #[must_use]
    pub fn by_terminal_id(
        &self,
        workspace: Option<WorkspaceId>,
        terminal_id: &str,
        fits: impl Fn(&Session, &SessionRow) -> bool,
    ) -> Option<Arc<Session>> {
        use baton_proto::api::SessionStatus::{Lost, Running, Starting};
        let matching = |session: &Arc<Session>| {
            let row = self.row(session.id)?;
            let ours = row.workspace_id == workspace && row.terminal_id.as_deref() == Some(terminal_id);
            let status = show::status_now(&session.entry(), session.live().exit.as_ref());
            (ours && matches!(status, Starting | Running | Lost) && fits(session, &row)).then(|| Arc::clone(session))
        };
        self.all().iter().rev().find_map(matching)
    }
}
