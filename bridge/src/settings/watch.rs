//! Seeing what is changed by hand: the configuration file and the policy, which lie in one directory.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Look;
use crate::app::App;
use crate::audit::{Action, Actor, Details, Entry, Verdict};
use crate::policy::Noticed;
use crate::store::audit::Which;

/// How often the directory is looked at where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The policy's file has to have been left alone for a moment; see [`crate::policy::file`].
const SETTLES_IN: Duration = Duration::from_millis(350);

/// Whether files of a directory may have changed.
struct Notice(Option<mpsc::Receiver<()>>);

impl Notice {
    /// Asks the kernel; where it has no watch left, time has to do.
    fn of(directory: &Path) -> Self {
        match listen(directory) {
            Ok(told) => Self(Some(told)),
            Err(err) => {
                tracing::warn!(
                    "`{}` is looked at every {LOOK_EVERY:?}, because the kernel does not tell of changes: {err}",
                    directory.display()
                );
                Self(None)
            }
        }
    }

    /// Resolves when something may have changed.
    async fn changed(&mut self) {
        match &mut self.0 {
            Some(told) => {
                if told.recv().await.is_none() {
                    self.0 = None;
                }
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// A thread that waits for the kernel: tokio waits for sockets and pipes only, without `unsafe`.
fn listen(directory: &Path) -> io::Result<mpsc::Receiver<()>> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let flags = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(directory, flags)?;
    let (tell, told) = mpsc::channel(1);
    let directory = directory.to_owned();
    let wait = move || {
        loop {
            // Which file it was is not asked: a look at both costs little, and a queue that overflowed names none.
            match inotify.read_events() {
                Ok(events) if events.iter().all(|event| is_begun(&directory, event)) => continue,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(err) => {
                    tracing::warn!(
                        "changes of the configuration are looked for every {LOOK_EVERY:?} from now on: {err}"
                    );
                    return;
                }
            }
            // One that is not taken yet is as good as two.
            if let Err(mpsc::error::TrySendError::Closed(())) = tell.try_send(()) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("settings".to_owned()).spawn(wait)?;
    Ok(told)
}

/// Whether a file was only made, and is yet to be written: a link is whole from the beginning.
fn is_begun(directory: &Path, event: &InotifyEvent) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let meta = || std::fs::symlink_metadata(directory.join(event.name.as_ref()?)).ok();
    event.mask.contains(AddWatchFlags::IN_CREATE) && meta().is_some_and(|meta| meta.is_file() && meta.nlink() == 1)
}

/// Looks at both files whenever one may have changed, until the bridge stops.
pub async fn tend(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    let mut notice = Notice::of(&app.options.home.config);
    let mut noticed = app.inbox.noticed();
    begin(&app).await;
    // What was changed since the files were read and before they were watched.
    look(&app).await;
    let mut settled_at = Some(Instant::now());
    loop {
        let settled = async {
            match settled_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = notice.changed() => {
                look(&app).await;
                settled_at = Some(Instant::now() + SETTLES_IN);
            }
            () = settled => {
                // One that is still written to is looked at again.
                settled_at = app.inbox.look_at_policy().then(|| Instant::now() + SETTLES_IN);
            }
            Some(what) = noticed.recv() => policy_changed(&app, what).await,
            () = crate::serve::stopped(&mut stopping) => return,
        }
    }
}

async fn look(app: &App) {
    let found = {
        let _turn = app.settings.turn.lock().await;
        app.settings.look_and_tell(&app.events)
    };
    if let Look::Changed { keys, refused } = found {
        let details = Details::none().text("revision", &app.settings.now().revision).list("changed", &keys);
        let verdict =
            if refused.is_some() { Verdict::Failed(baton_proto::ErrorCode::Invalid) } else { Verdict::Allowed };
        let details = details.text("by", "file").maybe("refused", refused);
        app.audit.note(Entry::new(Actor::baton(), Action::SettingsChange).verdict(verdict).details(details)).await;
    }
}

/// Records the policy in force if it is not the one that was recorded last: it may have been changed while there was no bridge.
async fn begin(app: &App) {
    let revision = app.inbox.policy().0.revision.clone();
    // A database that fails has been complained about.
    let which = Which { newest: true, action: Some(Action::PolicyChange.as_str().to_owned()), ..Which::default() };
    let rows = app.audit.rows(which, 1).await.unwrap_or_default();
    let details = rows.first().and_then(|row| serde_json::from_str::<serde_json::Value>(&row.details).ok());
    if details.is_none_or(|details| details["revision"] != *revision) {
        policy_changed(app, Noticed { revision, refused: None }).await;
    }
}

async fn policy_changed(app: &App, Noticed { revision, refused }: Noticed) {
    let data = serde_json::json!({ "revision": revision, "refused": refused });
    let verdict = if refused.is_some() { Verdict::Failed(baton_proto::ErrorCode::Invalid) } else { Verdict::Allowed };
    let details = Details::none().text("revision", revision).text("by", "file").maybe("refused", refused);
    app.audit.note(Entry::new(Actor::baton(), Action::PolicyChange).verdict(verdict).details(details)).await;
    // Who hears of it finds it in the log.
    app.events.system("policy.changed", data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_and_time_does_where_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut notice = Notice::of(dir.path());
        assert!(notice.0.is_some());
        let aside = dir.path().join("aside");
        for step in 0..4 {
            match step {
                0 => std::fs::write(&aside, "x").unwrap(),
                1 => std::os::unix::fs::symlink("aside", dir.path().join("link")).unwrap(),
                2 => std::fs::rename(&aside, dir.path().join("config.toml")).unwrap(),
                _ => std::fs::remove_file(dir.path().join("config.toml")).unwrap(),
            }
            notice.changed().await;
        }
        let mut without = Notice::of(&dir.path().join("not there"));
        assert!(without.0.is_none());
        without.changed().await;
    }
}
