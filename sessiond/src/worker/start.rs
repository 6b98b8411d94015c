//! How a worker comes to be: with a new terminal and program, or with a predecessor's, or with only a journal.
//!
//! The order of a fresh start leaves no moment at which a kill loses the shell: the launcher holds terminal, window and listener
//! before the program exists, and its pidfd before the program's first instruction (the gate).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use baton_proto::Epoch;
use baton_proto::codec::{self, SPEC_BYTES_MAX};
use baton_proto::egress::AllowHosts;
use baton_proto::frame::{HEADER_BYTES, Kind};
use baton_proto::hello::{InstallKey, Who};
use baton_proto::home::{self, Home};
use baton_proto::launch::Op;
use baton_proto::lease::LeaseMachine;
use baton_proto::spec::{Profile, SessionSpec};
use baton_proto::v1::{CarriedState, ExitRecord, LeaseRecord};
use baton_sandbox::exec::{Child, Gate, Launch};
use baton_sandbox::limits::Bounds;
use baton_sandbox::sweeper::{self, Sweeper};
use baton_sandbox::{fds, profile};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::clock::{self, wall_us};
use super::confine::{self, NotStarted};
use super::conn::Identity;
use super::ending::{self, Life};
use super::journal::{Journal, Predecessor};
use super::outside;
use super::park::{self, Parking};
use super::processes::SESSION_VARIABLE;
use super::pty::{Pty, Terminal as _};
use super::screen::Screens;
use super::trouble::Watch;
use super::typing::Typing;
use super::window::{InFlight, WINDOW_BYTES, Window};
use super::{Mode, Program, Worker};
use crate::supervisor::registry;

const FD_KEEPER: i32 = 3;
const FD_SPEC: i32 = 4;
const FD_LISTENER: i32 = 5;
const FD_WINDOW: i32 = 6;
const FD_MASTER: i32 = 7;
const FD_PROGRAM: i32 = 8;

/// In an instance's directory: locked by its worker for as long as that lives.
pub(super) const LOCK: &str = "lock";

/// How long the launcher is tried to be given what it is to keep, twice in a start: less than anybody waits for a session.
const HAND_WITHIN: Duration = Duration::from_secs(4);

/// How long after the program's end, and the grace for what it leaves, that is ended without a word: the worker that would
/// have given it is not there, nor is another by then.
const SWEPT_AFTER: Duration = Duration::from_secs(15);

/// What every worker has, however it begins.
struct Parts {
    spec: SessionSpec,
    spec_fd: OwnedFd,
    identity: Identity,
    keeper: OwnedFd,
    children: SignalFd,
    lock: Flock<fs::File>,
    journal: Journal,
    dir: PathBuf,
    /// The session has ended: nothing of what was kept is changed.
    read_only: bool,
}

/// A predecessor's read window, and what was in it.
struct Found {
    window: Window,
    /// Output up to here was appended to the journal, or lost.
    base: u64,
    /// What it had read from there on.
    bytes: Vec<u8>,
    in_flight: InFlight,
}

fn read_window(memory: &OwnedFd) -> anyhow::Result<Found> {
    fds::check_shared_memfd(memory, WINDOW_BYTES).context("the read window")?;
    let (window, base, bytes, in_flight) = Window::recover(memory.as_fd()).context("the read window")?;
    Ok(Found { window, base, bytes, in_flight })
}

/// Makes a worker.
///
/// # Errors
/// What kept it from starting. A program that cannot be started is not among them: that session has ended, and says why.
pub(super) fn start(mode: Mode) -> anyhow::Result<Worker> {
    let keeper = fds::inherited(FD_KEEPER).context("no launcher's channel at descriptor 3")?;
    let spec_fd = fds::inherited(FD_SPEC).context("no session spec at descriptor 4")?;
    let bytes = fds::read_sealed(&spec_fd, SPEC_BYTES_MAX)?;
    let spec: SessionSpec = codec::decode_large(Kind::Spawn, &bytes).context("the session spec")?;
    // What a worker does of its own must be reachable when everything else of Baton's is gone.
    baton_sandbox::process::set_child_subreaper().context("becoming a subreaper")?;
    let children = children()?;
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let dir = home.sessions_dir().join(spec.session.to_string()).join(spec.instance.to_string());
    // Also that of a session whose journals were given up: the lock is there.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("making {}", dir.display()))?;
    let key: [u8; InstallKey::BYTES] = fs::read(home.key_file())
        .context("reading the install key")?
        .try_into()
        .map_err(|_| anyhow::anyhow!("the install key is not {} bytes", InstallKey::BYTES))?;
    let who = Who::Worker { session: spec.session, instance: spec.instance };
    let identity = Identity { key: InstallKey::new(key), who };
    let state = CarriedState {
        lease: LeaseRecord { epoch: Epoch(0), owner: None, expired: false, expires_in_ms: None },
        size: spec.size,
        resized_at: 0,
        streams: Vec::new(),
    };
    let memory = match mode {
        Mode::TakeOver | Mode::Succeed => Some(fds::inherited(FD_WINDOW).context("no read window at descriptor 6")?),
        Mode::Fresh(_) | Mode::Replay => None,
    };
    let rebound = match &memory {
        Some(memory) if mode == Mode::Succeed => park::stand_by(&keeper, &spec, &dir, memory, state.clone())?,
        _ => None,
    };
    let lock = lock(&dir)?;
    // Only now nobody else writes to it.
    let found = memory.as_ref().map(read_window).transpose()?;
    let journal = match (mode, &found) {
        (Mode::Fresh(_), _) => Journal::create(&dir, spec.instance, spec.journal_bytes, state),
        (_, Some(found)) => {
            let before =
                Predecessor { appended: found.base, read: found.bytes.len() as u64, epoch: found.window.epoch() };
            Journal::recover(&dir, spec.instance, spec.journal_bytes, state, before)
        }
        (_, None) => Journal::open(&dir, spec.instance, spec.journal_bytes, state),
    };
    let journal = journal.context("opening the journal")?;
    let read_only = mode == Mode::Replay;
    let parts = Parts { spec, spec_fd, identity, keeper, children, lock, journal, dir, read_only };
    let worker = match (mode, found) {
        (Mode::Fresh(profile), _) => fresh(parts, &home, profile),
        (_, Some(found)) => take_over(parts, &home, found, rebound),
        (_, None) => replay(parts, &home),
    }?;
    let mut worker = worker;
    worker.memory = worker.memory.or(memory);
    if matches!(mode, Mode::TakeOver | Mode::Succeed) {
        worker.tell_launcher(Op::Taken, 0);
    }
    // Only now: what the launcher must have before the program runs was sent for certain.
    if let Some(keeper) = &worker.keeper {
        fds::set_nonblocking(keeper)?;
    }
    Ok(worker)
}

/// One reader of a terminal, one writer of a journal. A predecessor that was killed lets go of its lock by dying.
fn lock(dir: &std::path::Path) -> anyhow::Result<Flock<fs::File>> {
    let path = dir.join(LOCK);
    let file = match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path) {
        // On a disk that takes no writes, the file that is there is as good.
        Err(err) => fs::File::open(&path).map_err(|_| err)?,
        Ok(file) => file,
    };
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, err)| anyhow::anyhow!("another worker of this instance lives (`{}`: {err})", path.display()))
}

fn children() -> anyhow::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().context("blocking SIGCHLD")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).context("waiting for children")
}

fn bind(spec: &SessionSpec, home: &Home) -> anyhow::Result<UnixListener> {
    let workers = home.runtime.join(home::runtime::WORKERS_DIR);
    let dir = fds::open_dir(&workers).with_context(|| format!("opening {}", workers.display()))?;
    let path = home::through(dir.as_raw_fd(), &spec.session.socket_name());
    // The instance's lock is held: a socket of this name belongs to a worker that is dead.
    match fs::remove_file(&path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            return Err(err).context("removing a dead worker's socket");
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).context("binding the worker's socket")?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn new_window() -> anyhow::Result<(Window, OwnedFd)> {
    let memory = fds::shared_memfd(c"baton-window", WINDOW_BYTES).context("making the read window")?;
    Ok((Window::create(memory.as_fd())?, memory))
}

fn worker(parts: Parts, listener: UnixListener, mut window: Window) -> anyhow::Result<Worker> {
    let Parts { spec, spec_fd, identity, keeper, children, lock, journal, dir, read_only } = parts;
    let now = clock::now();
    let directory = dir.parent().map_or_else(|| dir.clone(), Path::to_owned);
    let instance = spec.instance;
    let marked = window.marked_until().max(journal.marked());
    let mut screens = Screens::new(&dir, spec.instance, window.answered_until(), marked, read_only)?;
    if journal.head() > 0 {
        // What the program has switched on is to be known before it says more.
        screens.stir();
    }
    let ttl = Duration::from_millis(spec.lease_ttl_ms);
    let lease = LeaseMachine::recovered(ttl, &journal.state().lease, now);
    window.set_epoch(journal.state().lease.epoch);
    Ok(Worker {
        policy: spec.policy,
        idle_timeout: (spec.idle_timeout_s > 0).then(|| Duration::from_secs(spec.idle_timeout_s)),
        record_input: spec.record_input,
        spec,
        spec_fd,
        memory: None,
        layers: registry::read_layers(&directory, instance),
        limits: super::limits::Watch::default(),
        denials: super::denials::Watch::new(journal.head()),
        cleaner: None,
        directory,
        identity,
        keeper: Some(keeper),
        offer: None,
        listener,
        window,
        exit: journal.exit().cloned(),
        journal,
        screens,
        accept_again: None,
        terminal: None,
        hung_up_until: None,
        journal_watch: Watch::new(read_only, now),
        program: None,
        sweeper: None,
        view: None,
        children,
        life: Life::Ended,
        lease,
        lease_since_us: wall_us(),
        typing: Typing::default(),
        parking: Parking::No,
        conns: BTreeMap::new(),
        next_conn: 0,
        attached: HashMap::new(),
        // A predecessor's numbers are not given again: who still holds one, such as a socket that ends late, would speak for
        // another client. It lived longer than it has nanoseconds for numbers.
        next_attachment: now.0,
        presence_changed: false,
        viewports: VecDeque::new(),
        generation_seen: 0,
        last_activity: now,
        last_client: now,
        last_supervisor: now,
        alone_since: now,
        scratch: Vec::new(),
        _lock: lock,
    })
}

fn fresh(parts: Parts, home: &Home, profile: Profile) -> anyhow::Result<Worker> {
    let (pty, slave) = Pty::open(parts.spec.size).context("opening a terminal (is `kernel.pty.max` reached?)")?;
    let (window, memory) = new_window()?;
    let listener = bind(&parts.spec, home)?;
    let mut worker = worker(parts, listener, window)?;
    let listener = worker.listener.try_clone()?;
    let kept = worker.hand_launcher(Op::Keep, 0, &[listener.as_fd(), memory.as_fd(), pty.as_fd()], HAND_WITHIN);
    drop(listener);
    worker.memory = Some(memory);
    let launched = kept.map_err(NotStarted::Kept).and_then(|()| launch(&worker, home, profile, slave));
    match launched {
        Ok((child, mut gate)) => {
            let pid = u32::try_from(child.pid.as_raw()).unwrap_or(0);
            match gate.sweeper() {
                Ok(sweeper) => worker.sweeper = sweeper,
                Err(err) => tracing::error!(error = %err, "who is to end what the program starts is gone"),
            }
            let kept = worker.hand_launcher(Op::Program, pid, &[child.pidfd.as_fd()], HAND_WITHIN);
            worker.terminal = Some(pty);
            let program = Program { pid, pidfd: child.pidfd, status: None, status_due: None, ended: false };
            if profile::is_confined(profile) && gate.has_own_network() == Some(true) {
                // Its view and its network are left together. Once it runs, it may be gone before anybody looks.
                worker.view = super::processes::own_view(pid);
            }
            // Before it is known to the launcher it does not run: nobody else could tell of it.
            let open = kept.map_err(NotStarted::Kept).and_then(|()| worker.open_way_out(&program, &mut gate));
            worker.program = Some(program);
            worker.life = Life::Running;
            match open.and_then(|()| gate.release().map_err(NotStarted::from)) {
                Ok(confined) => {
                    worker.is_confined(confined.as_ref());
                    worker.begin_limits();
                    tracing::info!(session = %worker.spec.session, pid, ?profile, "the program runs");
                }
                Err(err) => worker.never_started(&err),
            }
        }
        Err(err) => worker.never_started(&err),
    }
    Ok(worker)
}

fn launch(worker: &Worker, home: &Home, profile: Profile, slave: OwnedFd) -> Result<(Child, Gate), NotStarted> {
    let spec = &worker.spec;
    let jail = confine::jail(spec, home, &worker.directory, profile, &slave)?;
    let mut words = spec.command.iter();
    let program = words.next().map_or_else(PathBuf::new, PathBuf::from);
    let mut launch = Launch::new(program.clone());
    launch.args = words.map(Into::into).collect();
    if spec.login {
        // A login shell knows itself by the dash (login(1)).
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        launch.arg0 = Some(format!("-{name}").into());
    }
    launch.env = spec.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
    if !spec.env.iter().any(|(name, _)| name == SESSION_VARIABLE) {
        launch.env.push((SESSION_VARIABLE.into(), spec.session.to_string().into()));
    }
    launch.cwd = Some(PathBuf::from(&spec.cwd));
    if jail.is_some() {
        confine::own_environment(&mut launch.env, spec);
        if !spec.allow_hosts.is_empty() {
            // One that can't be read opens no way out, and that is told there.
            outside::environment(&mut launch.env, &AllowHosts::parse(&spec.allow_hosts).unwrap_or_default());
        }
    }
    launch.jail = jail.map(Box::new);
    if launch.jail.is_some() {
        let after = Duration::from_millis(u64::from(spec.close_grace_ms)) + SWEPT_AFTER;
        launch.sweeper =
            sweeper::Plan::prepare(&ending::sweeper_name(spec.session), after).map_err(NotStarted::Sweeper)?;
    }
    launch.limits = Bounds::new(&spec.limits);
    launch.controlling_tty = Some(slave);
    launch.new_session = true;
    launch.rlimit_nofile = std::env::var("BATON_NOFILE_SOFT").ok().and_then(|limit| limit.parse().ok());
    Ok(launch.spawn_gated()?)
}

fn take_over(mut parts: Parts, home: &Home, found: Found, rebound: Option<OwnedFd>) -> anyhow::Result<Worker> {
    let Found { mut window, base, bytes, in_flight } = found;
    let passed = fds::inherited(FD_LISTENER).ok();
    let listener = match rebound.or(passed) {
        Some(fd) => UnixListener::from(fd),
        None => bind(&parts.spec, home)?,
    };
    listener.set_nonblocking(true)?;
    let master = fds::inherited(FD_MASTER).context("no terminal at descriptor 7")?;
    let rescued = rescue(&mut parts.journal, base, &bytes);
    window.flushed(parts.journal.head());
    let mut worker = worker(parts, listener, window)?;
    worker.settle_in_flight(in_flight);
    tracing::warn!(session = %worker.spec.session, rescued, "took over from the worker before");
    if worker.exit.is_some() {
        // It died between writing the end down and saying so.
        worker.tell_launcher(Op::Done, 0);
        return Ok(worker);
    }
    worker.terminal = Some(Pty::from_master(master)?);
    worker.life = Life::Running;
    if let Ok(pidfd) = fds::inherited(FD_PROGRAM) {
        let pid = super::processes::pid_of(&pidfd).unwrap_or(0);
        if profile::is_confined(worker.spec.profile) {
            // Looked at between two looks at the descriptor: not another process that has been given the number since.
            let view = super::processes::own_view(pid);
            worker.view = view.filter(|_| super::processes::pid_of(&pidfd) == Some(pid));
            worker.sweeper = Sweeper::find(&ending::sweeper_name(worker.spec.session));
        }
        worker.program = Some(Program { pid, pidfd, status: None, status_due: None, ended: false });
        worker.begin_limits();
        worker.mend_way_out();
    } else {
        // Killed before the gate opened: the program never was.
        let reason = "failed: the worker died while it started the program".to_owned();
        worker.finish(&ExitRecord { code: None, signal: None, reason, closed: false });
    }
    Ok(worker)
}

/// Appends what the predecessor had read and not written. Returns how many bytes that were.
fn rescue(journal: &mut Journal, base: u64, bytes: &[u8]) -> usize {
    let have = usize::try_from(journal.head().saturating_sub(base)).unwrap_or(usize::MAX);
    let Some(missing) = bytes.get(have..).filter(|missing| !missing.is_empty()) else { return 0 };
    let mut record = vec![0; HEADER_BYTES];
    record.extend_from_slice(missing);
    if let Err(err) = journal.append_record(Kind::Output, &mut record) {
        tracing::error!(error = %err, "what the dead worker had read cannot be written");
    }
    missing.len()
}

fn replay(parts: Parts, home: &Home) -> anyhow::Result<Worker> {
    let (mut window, _) = new_window()?;
    window.input_settled();
    let listener = bind(&parts.spec, home)?;
    let mut worker = worker(parts, listener, window)?;
    worker.settle_in_flight(InFlight::Nothing);
    worker.tell_launcher(Op::Done, 0);
    Ok(worker)
}

impl Worker {
    /// The program could not be started: the session has ended, with the shell's own codes for it.
    fn never_started(&mut self, err: &NotStarted) {
        let reason = err.reason();
        tracing::warn!(session = %self.spec.session, "the program cannot be started: {reason}");
        let reason = format!("failed: {reason}");
        self.finish(&ExitRecord { code: Some(err.shell_code()), signal: None, reason, closed: false });
    }
}
