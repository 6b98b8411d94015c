//! `baton-bridge`: started by the launcher with its listeners as descriptors 3 and 4, and a channel to it as 5.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use baton_bridge::Bridge;
use baton_bridge::config::Options;
use baton_proto::home::Home;
use baton_proto::ids::SessionId;
use baton_proto::launch::{LAUNCH_BYTES, LaunchMessage, Op};
use baton_sandbox::fds::inherited;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const TCP_FD: i32 = 3;
const UNIX_FD: i32 = 4;
const LIFE_FD: i32 = 5;
/// Descriptors wanted at most: all connections, all workers, the database, and room.
const DESCRIPTORS_MAX: u64 = 65_536;
/// What the parser of command lines calls itself in the log, where it repeats what it parses: that may hold secrets.
const TELLS_LINES: [&str; 4] = ["arithmetic", "expansion", "parse", "tokenize"];
/// Workers of the runtime: one client's flood must not delay another's keystroke, and a core each is enough.
const THREADS: usize = 2;

/// Runs the bridge.
pub fn main() -> ExitCode {
    let level = level(std::env::var("BATON_LOG").ok().as_deref());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(level)
        // A line that a full disk does not take would be complained of on the same stderr, which panics: the task that
        // wrote it, a session's hub perhaps, would be gone.
        .log_internal_errors(false)
        .finish()
        .with(filter_fn(|what| !TELLS_LINES.contains(&what.target())).with_max_level_hint(level))
        .init();
    match run() {
        Ok(code) => code,
        Err(err) => {
            tracing::error!("{err:#}");
            ExitCode::FAILURE
        }
    }
}

fn level(text: Option<&str>) -> tracing::Level {
    text.and_then(|text| text.parse().ok()).unwrap_or(tracing::Level::INFO)
}

fn run() -> anyhow::Result<ExitCode> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("policy", rest)) = all.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let home = Home::from_env(|name| std::env::var(name).ok())?;
        let in_force = home.config.join(baton_bridge::policy::file::NAME);
        return Ok(baton_bridge::policy::program::run(rest, &in_force).into());
    }
    let mut arguments = all.into_iter();
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => {}
        (Some("openapi"), None) => {
            let document = baton_bridge::routes::openapi()?;
            writeln!(io::stdout(), "{document}").context("writing the document")?;
            return Ok(ExitCode::SUCCESS);
        }
        (Some("--version"), None) => {
            writeln!(io::stdout(), "baton-bridge {}", env!("CARGO_PKG_VERSION")).context("writing the version")?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => bail!("usage: baton-bridge [openapi | policy | --version]; it is started by `baton up`"),
    }
    // Whatever this process makes is its user's alone: SQLite would make its files readable to all.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    raise_descriptor_limit();
    let options = Options::from_env()?;
    let tcp = inherited(TCP_FD).context("descriptor 3 must be a TCP listener: start the bridge by `baton up`")?;
    let unix = inherited(UNIX_FD).ok();
    let life = inherited(LIFE_FD).ok();
    // Before there is a second thread, which would keep what this one gives up.
    baton_bridge::confine::confine(&options)?;
    #[cfg(feature = "taken-over")]
    baton_bridge::taken_over::obey(&options.home);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(serve(options, tcp, unix, life))?;
    // Whatever still blocks in a thread must not keep the process.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Each connection is a descriptor, and the usual soft limit is 1024; the hard one is meant to be taken.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS_MAX).max(soft), hard));
    if let Err(err) = raised {
        tracing::warn!("the descriptor limit stays as it is: {err}");
    }
}

async fn serve(options: Options, tcp: OwnedFd, unix: Option<OwnedFd>, life: Option<OwnedFd>) -> anyhow::Result<()> {
    let tcp = std::net::TcpListener::from(tcp);
    tcp.set_nonblocking(true).context("descriptor 3")?;
    let tcp = TcpListener::from_std(tcp).context("descriptor 3 must be a TCP listener")?;
    let unix = match unix {
        Some(unix) => {
            let unix = std::os::unix::net::UnixListener::from(unix);
            unix.set_nonblocking(true).context("descriptor 4")?;
            Some(UnixListener::from_std(unix).context("descriptor 4 must be a Unix listener")?)
        }
        None => None,
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let life = life.and_then(|life| {
        let stream = std::os::unix::net::UnixStream::from(life);
        stream.set_nonblocking(true).ok()?;
        UnixStream::from_std(stream).ok()
    });
    let bridge = Bridge::new(options, tcp, unix).await?;
    let whole = bridge.whole();
    bridge
        .serve(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = launcher_gone(life, whole) => {}
            }
        })
        .await;
    Ok(())
}

/// Tells the launcher once that this version serves. Resolves when launcher and spare have both closed their end; never
/// without a launcher.
async fn launcher_gone(life: Option<UnixStream>, whole: impl Future<Output = ()>) {
    let Some(stream) = life else { return std::future::pending().await };
    let (mut reader, mut writer) = stream.into_split();
    let end = async {
        let mut buffer = [0; LAUNCH_BYTES];
        while !matches!(reader.read(&mut buffer).await, Ok(0) | Err(_)) {}
    };
    let say = async {
        whole.await;
        let ready = LaunchMessage::new(Op::Ready, SessionId::from_uuid(uuid::Uuid::nil())).to_bytes();
        // One that is gone is noticed by reading.
        let _ = writer.write_all(&ready).await;
        std::future::pending().await
    };
    tokio::select! {
        () = end => {}
        () = say => {}
    }
}
