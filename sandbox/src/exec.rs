//! Fork and exec in one step.
//!
//! Everything that allocates, looks up or may fail politely happens before the fork; between fork and exec the child
//! makes only async-signal-safe calls on memory that was prepared for it. What fails there is reported through a
//! close-on-exec pipe as (step, errno): the pipe closing without a word means that the program runs.
//!
//! ```text
//! parent                         child
//!   prepare strings, lookup
//!   block signals, fork ───────► defaults for signals, session, descriptors, terminal,
//!   pidfd_open                   limits, working directory, close the rest
//!                                confine (`jail`), telling layer by layer; lower limits
//!   (gate) write one byte ─────► read one byte          nothing to read: _exit(127)
//!   read report ◄─────────────── exec, or report and _exit
//! ```
//!
//! What is *not* inherited: the environment, any descriptor that was not named (0, 1 and 2 are `/dev/null` unless
//! named), signal dispositions and the signal mask.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::unistd::Pid;

use baton_proto::spec::LayerStatus;

use crate::error::{ExecError, Step};
use crate::jail::Jail;
use crate::limits::Bounds;
use crate::process;
use crate::report::{Confined, Context, Fact, Kind};
use crate::sweeper::{self, Sweeper};

/// What to start and how. Everything not named here is not inherited.
#[derive(Debug)]
pub struct Launch {
    /// The program: a path, or a name to look up in `PATH` of `env`.
    pub program: PathBuf,
    /// Arguments behind `argv[0]`.
    pub args: Vec<OsString>,
    /// `argv[0]`, when it is not to be `program`.
    pub arg0: Option<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory; `None` = the parent's.
    pub cwd: Option<PathBuf>,
    /// Descriptors and the numbers the program finds them under.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// The slave of a PTY: becomes 0, 1 and 2 and the controlling terminal of a new session.
    pub controlling_tty: Option<OwnedFd>,
    /// Lead a new session (a controlling terminal implies it).
    pub new_session: bool,
    /// Set `no_new_privs`.
    pub no_new_privs: bool,
    /// Signal to get when the parent dies.
    pub parent_death_signal: Option<Signal>,
    /// Soft limit of open files, for a parent that raised its own.
    pub rlimit_nofile: Option<u64>,
    /// What it may use at most.
    pub limits: Bounds,
    /// How it is confined; `None` = not at all.
    pub jail: Option<Box<Jail>>,
    /// Who stays behind to end what it starts.
    pub sweeper: Option<sweeper::Plan>,
}

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: Pid,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// Holds a child just before exec. Dropped, it makes the child exit with 127 and the program never runs.
#[derive(Debug)]
pub struct Gate {
    go: OwnedFd,
    report: Report,
}

/// Where the child reports, and what its report is read with.
#[derive(Debug)]
struct Report {
    pipe: OwnedFd,
    program: PathBuf,
    /// The child is to be confined.
    context: Option<Context>,
    /// What it has said so far.
    facts: Vec<Fact>,
    /// It is to leave a sweeper behind, and says so before anything else.
    leaves_sweeper: bool,
    /// The sweeper's number.
    sweeper: Option<u32>,
    /// What it said that is no fact, or nothing at its end; read before it was asked for.
    last: Option<Option<[u8; REPORT_BYTES]>>,
}

impl Gate {
    /// Waits until the child has said whether it has a network of its own, which it does before it waits here; `None` = it
    /// failed before that, and [`Gate::release`] says why.
    pub fn has_own_network(&mut self) -> Option<bool> {
        self.report.until(Kind::Network).map(|fact| fact.status == LayerStatus::Enforced)
    }

    /// Who stays behind to end what the program starts, if somebody does.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweeper(&mut self) -> nix::Result<Option<Sweeper>> {
        self.report.hear_sweeper();
        self.report.sweeper.map(Sweeper::of_child).transpose()
    }

    /// Lets the child go on to exec, and waits for the result: the proof of its confinement, for one that was to be
    /// confined.
    ///
    /// # Errors
    /// [`ExecError::Child`] and [`ExecError::Confinement`] when the child could not become the program,
    /// [`ExecError::Died`] when it was killed.
    pub fn release(mut self) -> Result<Option<Confined>, ExecError> {
        let released = loop {
            match nix::unistd::write(&self.go, &[1]) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        // A child that is gone already may have left a report that says more than EPIPE.
        let result = self.report.read();
        match (result, released) {
            (Ok(_), Err(_)) => Err(ExecError::Died { program: self.report.program }),
            (result, _) => result,
        }
    }
}

impl Launch {
    /// A program with nothing else: no arguments, an empty environment, the parent's directory.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            arg0: None,
            env: Vec::new(),
            cwd: None,
            fds: Vec::new(),
            controlling_tty: None,
            new_session: false,
            no_new_privs: false,
            parent_death_signal: None,
            rlimit_nofile: None,
            limits: Bounds::default(),
            jail: None,
            sweeper: None,
        }
    }

    /// Starts the program and waits until it runs.
    ///
    /// # Errors
    /// [`ExecError`]; the child, if there was one, is reaped.
    pub fn spawn(self) -> Result<Child, ExecError> {
        let (child, mut report) = self.fork(None)?;
        match report.read() {
            Ok(_) => Ok(child),
            Err(err) => {
                process::reap(&child.pidfd);
                Err(err)
            }
        }
    }

    /// Starts the process and holds it just before exec, so that the caller can tell others of it first.
    ///
    /// After a failed [`Gate::release`] the child is a zombie until the caller reaps it by its pidfd.
    ///
    /// # Errors
    /// [`ExecError`] when there is no child.
    pub fn spawn_gated(self) -> Result<(Child, Gate), ExecError> {
        let (wait, go) = pipe("the gate")?;
        let (child, report) = self.fork(Some((wait, go.as_raw_fd())))?;
        Ok((child, Gate { go, report }))
    }

    fn fork(mut self, gate: Option<(OwnedFd, RawFd)>) -> Result<(Child, Report), ExecError> {
        let threads =
            process::thread_count().map_err(|source| ExecError::Prepare { what: "counting threads", source })?;
        if threads != 1 {
            return Err(ExecError::Threads { threads });
        }
        let (report, report_end) = pipe("the report pipe")?;
        let (jail, limits) = (self.jail.take(), std::mem::take(&mut self.limits));
        let sweeper = self.sweeper.take();
        let leaves_sweeper = sweeper.is_some();
        let context = jail.as_ref().map(|jail| jail.context());
        let report = Report {
            pipe: report,
            program: self.program.clone(),
            context,
            facts: Vec::new(),
            leaves_sweeper,
            sweeper: None,
            last: None,
        };
        let gate_end = gate.as_ref().map(|(wait, _)| wait.as_raw_fd());
        let mut plan = Plan::new(&self, jail, limits, report_end.as_raw_fd(), gate_end)?;
        plan.domain = sweeper.as_ref().map(sweeper::Plan::descriptor);
        plan.sweeper = sweeper;

        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))
            .map_err(|source| ExecError::Prepare { what: "blocking signals", source })?;
        // SAFETY: this process has one thread (checked above, and only this thread could add one), so the child's
        // memory is consistent; `Plan::run` makes only async-signal-safe calls and never returns.
        let forked = Errno::result(unsafe { libc::fork() });
        if forked == Ok(0) {
            plan.run()
        }
        // The mask came from the kernel a moment ago; putting it back can't fail.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        let pid = Pid::from_raw(forked.map_err(|source| ExecError::Prepare { what: "fork", source })?);
        drop(report_end);
        drop(gate);
        // The child can't be recycled before this process reaps it: the number is still its own.
        match process::pidfd_open(pid) {
            Ok(pidfd) => Ok((Child { pid, pidfd }, report)),
            Err(source) => {
                // A child that nobody could watch or signal safely must not run.
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                let _ = nix::sys::wait::waitpid(pid, None);
                Err(ExecError::Prepare { what: "pidfd_open", source })
            }
        }
    }
}

fn pipe(what: &'static str) -> Result<(OwnedFd, OwnedFd), ExecError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|source| ExecError::Prepare { what, source })
}

impl Report {
    /// Waits for the child's report, whose end means that exec closed the pipe: what was achieved, then nothing, or where it
    /// failed.
    fn read(&mut self) -> Result<Option<Confined>, ExecError> {
        loop {
            let Some(bytes) = (match self.last.take() {
                Some(last) => last,
                None => self.next()?,
            }) else {
                return Ok(self.context.as_ref().map(|context| Confined::from_facts(&self.facts, context)));
            };
            match Fact::from_bytes(bytes) {
                Some(fact) => self.facts.push(fact),
                None => return Err(self.failed(bytes, &self.facts)),
            }
        }
    }

    /// Reads the first line if that is still to come.
    fn hear_sweeper(&mut self) {
        if !self.leaves_sweeper || self.sweeper.is_some() || self.last.is_some() || !self.facts.is_empty() {
            return;
        }
        match self.line() {
            Ok(Some([b'S', b'w', 0, SWEEPER_MARK, pid @ ..])) => self.sweeper = Some(u32::from_le_bytes(pid)),
            // It failed before that.
            Ok(other) => self.last = Some(other),
            // What can't be read now can't be read later either.
            Err(_) => {}
        }
    }

    /// Reads up to the first word on a layer; `None` when the report ends before that, as [`Report::read`] says later.
    fn until(&mut self, kind: Kind) -> Option<Fact> {
        // It says so once, however often it is asked.
        if let Some(said) = self.facts.iter().find(|fact| fact.kind == kind) {
            return Some(*said);
        }
        while self.last.is_none() {
            // What can't be read now can't be read later either.
            let bytes = self.next().ok()?;
            match bytes.and_then(Fact::from_bytes) {
                Some(fact) => {
                    self.facts.push(fact);
                    if fact.kind == kind {
                        return Some(fact);
                    }
                }
                None => self.last = Some(bytes),
            }
        }
        None
    }

    /// The next line of it; `None` at its end.
    fn next(&mut self) -> Result<Option<[u8; REPORT_BYTES]>, ExecError> {
        loop {
            let line = self.line()?;
            match line {
                Some([b'S', b'w', 0, SWEEPER_MARK, pid @ ..]) => self.sweeper = Some(u32::from_le_bytes(pid)),
                _ => return Ok(line),
            }
        }
    }

    fn line(&self) -> Result<Option<[u8; REPORT_BYTES]>, ExecError> {
        let mut bytes = [0u8; REPORT_BYTES];
        let mut have = 0;
        while have < REPORT_BYTES {
            match nix::unistd::read(&self.pipe, &mut bytes[have..]) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(Errno::EINTR) => {}
                Err(source) => return Err(ExecError::Prepare { what: "reading the child's report", source }),
            }
        }
        match have {
            0 => Ok(None),
            REPORT_BYTES if self.facts.len() <= FACTS_MAX => Ok(Some(bytes)),
            _ => Err(ExecError::Died { program: self.program.clone() }),
        }
    }

    fn failed(&self, bytes: [u8; REPORT_BYTES], facts: &[Fact]) -> ExecError {
        let [s0, s1, a0, a1, errno @ ..] = bytes;
        let program = self.program.clone();
        let Some(step) = Step::from_number(u16::from_le_bytes([s0, s1]).into()) else {
            return ExecError::Died { program };
        };
        let source = Errno::from_raw(i32::from_le_bytes(errno));
        match &self.context {
            Some(context) if step.confines() => {
                let place = context.places.get(usize::from(u16::from_le_bytes([a0, a1]))).cloned();
                let layers = Confined::from_facts(facts, context);
                let missing = layers.layers().iter().filter(|layer| layer.status != LayerStatus::Enforced);
                let missing = missing.map(|layer| layer.name.clone()).collect();
                ExecError::Confinement { program, step, place, missing, source }
            }
            _ => ExecError::Child { program, step, source },
        }
    }
}

/// How many files a process of a confined program may have open, where Baton's own may have so many. The kernel counts what all
/// of a user's processes have sent to each other and not received, and holds each sender to its own limit ([`crate::fds::may_pass`]): whoever
/// fills that count comes to its end with half of what Baton needs to come to its own.
const fn confined_files(hard: u64) -> u64 {
    hard / 2
}

const REPORT_BYTES: usize = Fact::BYTES;

/// What the line with the sweeper's number has where a fact has its mark.
const SWEEPER_MARK: u8 = 0xFB;

/// More than a child has to say.
const FACTS_MAX: usize = 64;

/// Everything the child needs, as the kernel takes it. The pointer arrays point into the strings beside them.
struct Plan {
    program: CString,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    cwd: Option<CString>,
    /// (source, target) pairs; the child replaces the sources by copies above every target.
    fds: Vec<(RawFd, RawFd)>,
    tty: Option<RawFd>,
    report: RawFd,
    gate: Option<RawFd>,
    /// First number above every target.
    above: RawFd,
    /// Numbers that stay open; capacity for all of them, so that the child never allocates.
    keep: Vec<RawFd>,
    new_session: bool,
    no_new_privs: bool,
    parent_death_signal: Option<Signal>,
    parent: libc::pid_t,
    nofile: libc::rlimit,
    limits: Bounds,
    jail: Option<Box<Jail>>,
    sweeper: Option<sweeper::Plan>,
    /// The number of its domain.
    domain: Option<RawFd>,
    _strings: Vec<CString>,
    _null: OwnedFd,
}

impl Plan {
    fn new(
        launch: &Launch,
        jail: Option<Box<Jail>>,
        limits: Bounds,
        report: RawFd,
        gate: Option<RawFd>,
    ) -> Result<Self, ExecError> {
        let program = cstring("the program's path", find(launch)?.as_os_str())?;
        let mut strings = Vec::with_capacity(launch.args.len() + launch.env.len() + 1);
        let mut push = |what, text: &OsStr| -> Result<*const libc::c_char, ExecError> {
            let text = cstring(what, text)?;
            // The heap bytes of a CString stay where they are when the CString moves.
            let pointer = text.as_ptr();
            strings.push(text);
            Ok(pointer)
        };
        let mut argv = vec![push("the program's name", launch.arg0.as_deref().unwrap_or(launch.program.as_os_str()))?];
        for arg in &launch.args {
            argv.push(push("an argument", arg)?);
        }
        argv.push(std::ptr::null());
        let mut envp = Vec::with_capacity(launch.env.len() + 1);
        for (name, value) in &launch.env {
            let mut pair = name.clone();
            pair.push("=");
            pair.push(value);
            envp.push(push("an environment variable", &pair)?);
        }
        envp.push(std::ptr::null());

        let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())
            .map_err(|source| ExecError::Prepare { what: "opening `/dev/null`", source })?;
        let mut fds: Vec<(RawFd, RawFd)> = launch.fds.iter().map(|(fd, target)| (fd.as_raw_fd(), *target)).collect();
        let tty = launch.controlling_tty.as_ref().map(AsRawFd::as_raw_fd);
        for (at, (_, target)) in fds.iter().enumerate() {
            let taken = fds[..at].iter().any(|(_, other)| other == target) || (tty.is_some() && *target <= 2);
            if *target < 0 || taken {
                return Err(ExecError::Number { number: *target });
            }
        }
        for stdio in 0..=2 {
            if !fds.iter().any(|(_, target)| *target == stdio) {
                fds.push((tty.unwrap_or(null.as_raw_fd()), stdio));
            }
        }
        let above = fds.iter().map(|(_, target)| target + 1).max().unwrap_or(3).max(10);
        let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_err(|source| ExecError::Prepare { what: "reading the descriptor limit", source })?;
        let hard = if jail.is_some() { confined_files(hard) } else { hard };
        let nofile = libc::rlimit { rlim_cur: launch.rlimit_nofile.unwrap_or(soft).min(hard), rlim_max: hard };
        Ok(Self {
            program,
            argv,
            envp,
            cwd: match &launch.cwd {
                Some(cwd) => Some(cstring("the working directory", cwd.as_os_str())?),
                None => None,
            },
            keep: Vec::with_capacity(fds.len() + 5),
            fds,
            tty,
            report,
            gate,
            above,
            new_session: launch.new_session || launch.controlling_tty.is_some(),
            no_new_privs: launch.no_new_privs,
            parent_death_signal: launch.parent_death_signal,
            parent: nix::unistd::getpid().as_raw(),
            nofile,
            limits,
            jail,
            sweeper: None,
            domain: None,
            _strings: strings,
            _null: null,
        })
    }

    /// The child's life until exec. Allocates nothing, takes no lock, never returns.
    fn run(&mut self) -> ! {
        let (step, errno) = match self.become_program() {
            Ok(never) => match never {},
            Err(failed) => failed,
        };
        let mut report = [0u8; REPORT_BYTES];
        let at = self.jail.as_ref().map_or(Fact::NOWHERE, |jail| jail.failed_at());
        report[..2].copy_from_slice(&(step as u16).to_le_bytes());
        report[2..4].copy_from_slice(&at.to_le_bytes());
        report[4..].copy_from_slice(&(errno as i32).to_le_bytes());
        // SAFETY: writes from a live buffer to a number this process owns, then ends it without running any handler
        // or destructor of the parent's. A failed write means that nobody listens.
        unsafe {
            libc::write(self.report, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }

    fn become_program(&mut self) -> Result<std::convert::Infallible, (Step, Errno)> {
        reset_dispositions();
        if self.new_session {
            // SAFETY: no memory is involved.
            check(Step::NewSession, unsafe { libc::setsid() })?;
        }
        self.place_descriptors()?;
        self.leave_sweeper()?;
        if self.tty.is_some() {
            // SAFETY: no memory is involved; 0 is the terminal since `place_descriptors`.
            check(Step::ControllingTerminal, unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })?;
        }
        if let Some(signal) = self.parent_death_signal {
            // SAFETY: PR_SET_PDEATHSIG takes a number.
            check(Step::ParentDeathSignal, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) })?;
            // A parent that died before the line above sends nothing any more.
            // SAFETY: no memory is involved.
            if unsafe { libc::getppid() } != self.parent {
                return Err((Step::ParentDeathSignal, Errno::ESRCH));
            }
        }
        if self.no_new_privs {
            // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers.
            let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) };
            check(Step::NoNewPrivileges, done)?;
        }
        // SAFETY: the structure lives in `self`.
        check(Step::DescriptorLimit, unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const self.nofile) })?;
        self.limits.lower_group();
        if let Some(jail) = &mut self.jail {
            jail.enter(self.report)?;
        }
        // Behind the namespaces: in its own, a session's processes are counted apart.
        self.limits.enter(self.jail.as_ref().is_some_and(|jail| jail.own_users()))?;
        // Only now: a confined program starts where its own view has this directory.
        if let Some(cwd) = &self.cwd {
            // SAFETY: a NUL-terminated string that lives in `self`.
            check(Step::WorkingDirectory, unsafe { libc::chdir(cwd.as_ptr()) })?;
            if !self.jail.as_ref().is_none_or(|jail| jail.has_started_in()) {
                return Err((Step::Moved, Errno::ESTALE));
            }
        }
        unblock_signals()?;
        self.wait_at_gate();
        // SAFETY: both arrays end with a null pointer and point into strings that live in `self`.
        unsafe { libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        Err((Step::Exec, Errno::last()))
    }

    /// Before anything else that lasts: the sweeper has nothing of it.
    fn leave_sweeper(&self) -> Result<(), (Step, Errno)> {
        let (Some(plan), Some(domain)) = (&self.sweeper, self.domain) else { return Ok(()) };
        let [p0, p1, p2, p3] = plan.enter(domain)?.to_le_bytes();
        let line = [b'S', b'w', 0, SWEEPER_MARK, p0, p1, p2, p3];
        // SAFETY: writes a live buffer to a number this process owns. A parent that is gone reads nothing.
        unsafe { libc::write(self.report, line.as_ptr().cast(), line.len()) };
        Ok(())
    }

    /// Moves every source above every target, so that no `dup2` overwrites one that is still needed; then closes
    /// everything that is not kept: the gate's own write end above all, without which its closing would go unseen.
    fn place_descriptors(&mut self) -> Result<(), (Step, Errno)> {
        let above = self.above;
        self.report = lift(self.report, above)?;
        if let Some(gate) = self.gate {
            self.gate = Some(lift(gate, above)?);
        }
        for (source, _) in &mut self.fds {
            *source = lift(*source, above)?;
        }
        if let Some(jail) = &mut self.jail {
            for ruleset in jail.descriptors().into_iter().flatten() {
                *ruleset = lift(*ruleset, above)?;
                self.keep.push(*ruleset);
            }
        }
        if let Some(domain) = self.domain {
            let domain = lift(domain, above)?;
            self.domain = Some(domain);
            self.keep.push(domain);
        }
        for (source, target) in &self.fds {
            // SAFETY: numbers only; the target is either free or about to be closed anyway.
            check(Step::Descriptors, unsafe { libc::dup2(*source, *target) })?;
            self.keep.push(*target);
        }
        self.keep.push(self.report);
        if let Some(gate) = self.gate {
            self.keep.push(gate);
        }
        self.keep.sort_unstable();
        let mut first = 0;
        for kept in &self.keep {
            if *kept > first {
                close_range(first, *kept - 1)?;
            }
            first = *kept + 1;
        }
        close_range(first, RawFd::MAX)
    }

    fn wait_at_gate(&self) {
        let Some(gate) = self.gate else { return };
        let mut byte = 0u8;
        loop {
            // SAFETY: reads at most one byte into a live one.
            match unsafe { libc::read(gate, (&raw mut byte).cast(), 1) } {
                1 => return,
                -1 if Errno::last() == Errno::EINTR => {}
                // The parent is gone or changed its mind: there is nobody to report to.
                // SAFETY: ends this process without running anything of the parent's.
                _ => unsafe { libc::_exit(127) },
            }
        }
    }
}

fn check(step: Step, result: libc::c_int) -> Result<libc::c_int, (Step, Errno)> {
    if result == -1 { Err((step, Errno::last())) } else { Ok(result) }
}

fn lift(fd: RawFd, above: RawFd) -> Result<RawFd, (Step, Errno)> {
    // SAFETY: numbers only.
    check(Step::Descriptors, unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) })
}

pub(crate) fn close_range(first: RawFd, last: RawFd) -> Result<(), (Step, Errno)> {
    // The system call and not the library's function, which is younger than the kernel's.
    // SAFETY: numbers only. The structures that own these descriptors are never dropped in the child.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first.cast_unsigned(), last.cast_unsigned(), 0) };
    if closed == -1 { Err((Step::Close, Errno::last())) } else { Ok(()) }
}

/// The system call and not the library's function, which refuses the two signals it keeps to itself: a program that
/// was started with those ignored would pass that on to everything below it.
fn reset_dispositions() {
    /// `struct sigaction` of the kernel, at most: handler, flags, restorer, mask. All zero means the default.
    const DEFAULT: [usize; 4] = [0; 4];
    const MASK_BYTES: usize = 8;
    for signal in 1..=64 {
        // SAFETY: the kernel reads one structure of at most this size. SIG_DFL runs no code of ours. SIGKILL and
        // SIGSTOP refuse, as they may.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), std::ptr::null_mut::<usize>(), MASK_BYTES)
        };
    }
}

fn unblock_signals() -> Result<(), (Step, Errno)> {
    // SAFETY: `sigemptyset` initialises the set before it is read.
    let failed = unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err((Step::Signals, Errno::from_raw(failed))) }
}

fn cstring(what: &'static str, text: &OsStr) -> Result<CString, ExecError> {
    CString::new(text.as_bytes()).map_err(|_| ExecError::Nul { what })
}

/// Where the program is, as `execvp` would find it, but by the `PATH` of the program's own environment.
fn find(launch: &Launch) -> Result<PathBuf, ExecError> {
    let program = &launch.program;
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(program.clone());
    }
    let path =
        launch.env.iter().find(|(name, _)| name == "PATH").map_or(OsStr::new("/usr/bin:/bin"), |(_, value)| value);
    let mut refused = None;
    for entry in std::env::split_paths(path) {
        // A relative entry means the directory the program starts in.
        let candidate = entry.join(program);
        let seen_from_here = launch.cwd.as_ref().map_or_else(|| candidate.clone(), |cwd| cwd.join(&candidate));
        let Ok(file) = std::fs::metadata(&seen_from_here) else { continue };
        if !file.is_file() {
            continue;
        }
        let found = if entry.as_os_str().is_empty() { Path::new(".").join(program) } else { candidate };
        if file.permissions().mode() & 0o111 != 0 {
            return Ok(found);
        }
        refused.get_or_insert(found);
    }
    match refused {
        Some(program) => Err(ExecError::Child { program, step: Step::Exec, source: Errno::EACCES }),
        None => Err(ExecError::NotFound { program: program.clone() }),
    }
}

/// Which of two equal processes this is after [`fork_twin`].
#[derive(Debug)]
pub enum Twin {
    /// The one that called; the other is its child.
    Elder(Child),
    /// The new one, with copies of everything.
    Younger,
}

/// Forks without exec: the child goes on from here with a copy of everything, descriptors included.
///
/// # Errors
/// [`ExecError::Threads`] in a process with more than one thread, else what the kernel said.
pub fn fork_twin() -> Result<Twin, ExecError> {
    let threads = process::thread_count().map_err(|source| ExecError::Prepare { what: "counting threads", source })?;
    if threads != 1 {
        return Err(ExecError::Threads { threads });
    }
    // SAFETY: this process has one thread, so the copy is as consistent as the original and may go on like it.
    let pid = Errno::result(unsafe { libc::fork() }).map_err(|source| ExecError::Prepare { what: "fork", source })?;
    if pid == 0 {
        return Ok(Twin::Younger);
    }
    let pid = Pid::from_raw(pid);
    let pidfd = process::pidfd_open(pid).map_err(|source| ExecError::Prepare { what: "pidfd_open", source })?;
    Ok(Twin::Elder(Child { pid, pidfd }))
}

/// Copies a descriptor for a child to own; the original stays with the caller.
///
/// # Errors
/// What the kernel said.
pub fn duplicate(fd: impl AsFd) -> std::io::Result<OwnedFd> {
    let fd: BorrowedFd<'_> = fd.as_fd();
    fd.try_clone_to_owned()
}
