//! Baton's bridge: people, clients and agents on one side, session workers on the other.
//!
//! ```text
//!   HTTP, WebSocket ─► serve ─► problem ─► gate ─► routes ─┬─► hub ─► worker     (one task per session)
//!                                                  ws ─────┤
//!                                                          ├─► sessiond          (one control connection)
//!                                                          └─► store             (one thread, SQLite)
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`access`], [`gate`], [`idempotency`] | who may; the way into every request |
//! | [`routes`], [`ws`] | HTTP by resource; streams |
//! | [`hub`] | one task per session: worker connection, attachments, the feed that all its subscribers share |
//! | [`upstream`] | dialling with mutual proof; sessiond; which sessions there are |
//! | [`store`], [`events`] | SQLite: intents and history, never the truth about a session |
//! | [`policy`], [`approval`] | whether an action may happen; what waits for a person, and how it is done once |
//! | [`audit`] | who did what: a chain of hashes that nobody changes unseen |
//! | [`exec`], [`wait`], [`tail`], [`keys`] | a command at a prompt; waiting for output; key names |
//! | [`confine`], [`person`] | what the bridge gives up at its start; what it has to know before |
//! | [`policy`] | whether something may happen: rules, command lines as what they run |
//! | [`settings`], [`probe`] | what may change while it runs: defaults, agents, environment; asking a program something |
//! | [`protocol_log`] | the heads of streams' frames in a file a session, if somebody wants that |
//! | [`text`], [`search`], [`recording`] | output as lines of text; looking for something in them; asciicasts |
//!
//! The bridge owns no PTY and no child. `kill -9` loses nothing: it reads SQLite, asks the workers, and goes on.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail"))]

pub mod access;
pub mod app;
pub mod approval;
pub mod assets;
pub mod audit;
pub mod clock;
pub mod config;
pub mod confine;
pub mod events;
pub mod exec;
pub mod extract;
pub mod gate;
pub mod handback;
pub mod hostile;
pub mod hub;
pub mod idempotency;
pub mod keys;
pub mod person;
pub mod policy;
pub mod probe;
pub mod problem;
pub mod protocol_log;
pub mod recording;
pub mod routes;
pub mod search;
pub mod serve;
pub mod settings;
pub mod show;
pub mod store;
pub mod tail;
#[cfg(feature = "taken-over")]
pub mod taken_over;
pub mod text;
pub mod upstream;
pub mod wait;
pub mod ws;

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use access::logins::Logins;
use access::origin::Names;
use access::proxies::Proxies;
use access::rate::Limiter;
use access::shares::Shares;
use access::tokens::{Tokens, owner_token};
use app::{App, Counters};
use approval::inbox::Inbox;
use approval::sealed::Seals;
use approval::waiting;
use audit::Audit;
use baton_proto::home::runtime;
use config::{Options, StartError};
use events::EventLog;
use hub::session::HubContext;
use protocol_log::ProtocolLog;
use serve::{Acceptor, CONNECTIONS_MAX};
use store::Store;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Mutex, Semaphore, watch};
use upstream::catalog::Catalog;
use upstream::sessiond::Sessiond;

/// A runtime file that could not be written is tried again after it.
const TELL_AGAIN: Duration = Duration::from_secs(2);

/// How long clients may take to hear that the bridge stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(2500);
/// How long the database may take then.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(400);
/// Failed attempts to sign in from one address: a second, and at once.
const FAILURES_PER_SECOND: f64 = 20.0;
const FAILURES_BURST: f64 = 100.0;

/// The bridge, ready to serve.
#[derive(Debug)]
pub struct Bridge {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tcp: TcpListener,
    unix: Option<UnixListener>,
}

impl Bridge {
    /// Opens what it keeps and starts talking to sessiond.
    ///
    /// # Errors
    /// [`StartError`] that says what to correct.
    pub async fn new(options: Options, tcp: TcpListener, unix: Option<UnixListener>) -> Result<Self, StartError> {
        let listen = tcp.local_addr().map_err(StartError::io("asking the listener for its address"))?;
        options.check_listen(listen)?;
        let proxies = Proxies::new(&options.config.server, listen).map_err(StartError::Refused)?;
        let home = Arc::new(options.home.clone());
        let token_file = home.token_file();
        let token = owner_token(&token_file)
            .map_err(StartError::io(format!("the owner's token `{}`", token_file.display())))?;
        let key = std::fs::read(home.key_file()).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
        let store = Store::open(&home.database_file()).sealing(key.as_ref().map(Seals::of));
        store.prune_clients();
        store.prune_answers();
        let events = EventLog::open(store.clone()).await;
        let audit = Audit::open(store.clone(), &home.key_file(), home.audit_head_file());
        let settings = settings::Settings::open(&options.home, &options.config, &options.env);
        let protocol_log = ProtocolLog::open(home.protocol_logs_dir(), settings.protocol_log());
        let context = Arc::new(HubContext {
            home: Arc::clone(&home),
            sessiond: OnceLock::new(),
            events: events.clone(),
            audit: audit.clone(),
            protocol_log,
            lease_ttl: Duration::from_secs(options.config.session.lease_ttl_s),
            chunk_bytes: Arc::new(AtomicUsize::new(0)),
            output_bytes: std::sync::atomic::AtomicU64::new(0),
        });
        // A database that fails has been complained about; the bridge goes on without its memory.
        let catalog = Catalog::new(Arc::clone(&context), store.sessions().await.unwrap_or_default());
        let sessiond = Sessiond::start(home, Arc::clone(&catalog));
        context.sessiond.get_or_init(|| sessiond.clone());
        let owner_name = person::user().map_or_else(|| "owner".to_owned(), |user| user.name.clone());
        let (stop, stopping) = watch::channel(false);
        let rate = f64::from(options.config.server.rate_limit);
        let ttl = Duration::from_secs(options.config.approval.ttl_s);
        let inbox = Inbox::open(&options.home.policy_file(), key.as_ref(), ttl);
        let app = Arc::new(App {
            inbox,
            settings,
            environment: settings::environment::Environment::open(&options.home.state, options.session_env()),
            agents: settings::agents::Agents::default(),
            names: Names { port: listen.port(), allowed: options.config.server.allowed_hosts.clone() },
            url: format!("http://{listen}"),
            tokens: Tokens::new(&token, owner_name, store.tokens().await.unwrap_or_default()),
            logins: Logins::new(store.logins().await.unwrap_or_default()),
            shares: Shares::new(store.shares().await.unwrap_or_default()),
            proxies,
            by_principal: Limiter::new(rate, 2.0 * rate),
            by_address: Limiter::new(4.0 * rate, 8.0 * rate),
            failures: Limiter::new(FAILURES_PER_SECOND, FAILURES_BURST),
            creating: Mutex::new(()),
            in_progress: idempotency::InProgress::default(),
            started_us: clock::now_us(),
            counters: Counters::default(),
            revoked: watch::Sender::new(()),
            bindings: RwLock::new(HashMap::new()),
            options,
            store,
            events,
            audit,
            catalog,
            sessiond,
            context,
            stopping,
        });
        tokio::spawn(app.audit.clone().tend(app.options.config.logs.clone(), app.stopping.clone()));
        tokio::spawn(app.audit.clone().follow(app.stopping.clone()));
        waiting::settle(&app).await;
        tokio::spawn(waiting::tend(Arc::clone(&app)));
        tokio::spawn(settings::watch::tend(Arc::clone(&app)));
        app.events.system("bridge", serde_json::json!({ "started": true, "pid": std::process::id() }));
        Ok(Self { app, stop, tcp, unix })
    }

    /// Where the page is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// Resolves once this bridge has found sessiond and knows its sessions: it can do what it is for.
    pub fn whole(&self) -> impl Future<Output = ()> + use<> {
        let app = Arc::clone(&self.app);
        async move { while app.sessiond.listed().await.is_err() {} }
    }

    /// Serves until `shutdown` resolves; then tells every client, flushes, and leaves the sessions alone.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { app, stop, tcp, unix } = self;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let acceptor = Acceptor {
            app: Arc::clone(&app),
            router: routes::router(&app),
            places: Arc::clone(&places),
            stopping: app.stopping.clone(),
        };
        if let Some(unix) = unix {
            tokio::spawn(acceptor.clone().unix(unix));
        }
        tokio::spawn(acceptor.tcp(tcp));
        tokio::spawn(tell_who_serves(Arc::clone(&app)));
        tracing::info!(url = app.url, "serving");
        shutdown.await;
        tracing::info!("stopping; sessions go on");
        stop.send_replace(true);
        let everybody = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // A client that does not take its close is left behind.
        drop(tokio::time::timeout(STOP_TIMEOUT, places.acquire_many(everybody)).await);
        let flush = async {
            app.events.flush().await;
            app.store.flush().await;
            app.context.protocol_log.flush().await;
            app.audit.keep_head().await;
        };
        drop(tokio::time::timeout(FLUSH_TIMEOUT, flush).await);
    }
}

/// Writes the runtime file, which nothing of Baton's needs, as soon as it can be: a full disk is no reason not to serve.
async fn tell_who_serves(app: Arc<App>) {
    let file = app.options.home.runtime.join(runtime::BRIDGE_FILE);
    let mut told = false;
    while let Err(err) = write_runtime_file(&file, &app) {
        if !std::mem::replace(&mut told, true) {
            tracing::error!("`{}` could not be written, and is tried again: {err}", file.display());
        }
        tokio::time::sleep(TELL_AGAIN).await;
    }
}

/// Says who serves where, for other programs: written whole, then renamed.
fn write_runtime_file(path: &Path, app: &App) -> std::io::Result<()> {
    let text = serde_json::json!({
        "pid": std::process::id(),
        "url": app.url,
        "started_at": clock::rfc3339(app.started_us),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.to_string().as_bytes()).and_then(|()| std::fs::rename(&temporary, path));
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}
