//! `baton-sessiond sessions`: which sessions run while nobody supervises them. Reads the disk as sessiond does at its start, asks the
//! workers how they are, prints JSON, changes nothing.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use baton_proto::api::{ParkedSession, Survey};
use baton_proto::codec::Encode;
use baton_proto::frame::{Frame, Header, Kind, read_body, write_message};
use baton_proto::hello::{Hello, InstallKey, Proof, Role, VERSION_MAX, VERSION_MIN, Welcome, Who};
use baton_proto::home::{Home, runtime, through};
use baton_proto::spec::SessionSpec;
use baton_proto::time::rfc3339;
use baton_proto::v1::{Class, Inspect, Inspection};
use baton_sandbox::fds;

use crate::supervisor::registry::Registry;

/// How long one worker may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// How long all of them may; the rest are listed without an answer.
const ALL_TIME: Duration = Duration::from_secs(10);

/// Prints what runs.
///
/// # Errors
/// When the directories can't be read.
pub fn run() -> anyhow::Result<()> {
    let home = Home::from_env(|name| std::env::var(name).ok())?;
    let survey = survey(&home)?;
    let mut out = serde_json::to_vec(&survey)?;
    out.push(b'\n');
    io::stdout().write_all(&out).context("nobody reads the answer")
}

/// What runs, and how many sessions are lost.
///
/// # Errors
/// When the directories can't be read.
pub fn survey(home: &Home) -> anyhow::Result<Survey> {
    let registry = Registry::new(home.sessions_dir());
    let found = match registry.scan() {
        Ok(found) => found,
        // Baton was never here.
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Survey::default()),
        Err(err) => return Err(err).context("the sessions on disk can't be read"),
    };
    let key = std::fs::read(home.key_file()).ok().and_then(|key| key.try_into().ok()).map(InstallKey::new);
    let workers = fds::open_dir(&home.runtime.join(runtime::WORKERS_DIR)).ok();
    let until = Instant::now() + ALL_TIME;
    let mut survey = Survey::default();
    for spec in found.into_iter().filter(|one| one.end.is_none()).map(|one| one.spec) {
        let stream = workers
            .as_ref()
            .and_then(|workers| UnixStream::connect(through(workers.as_raw_fd(), &spec.session.socket_name())).ok());
        let Some(stream) = stream else {
            if registry.has_worker(spec.session) {
                // Its socket was deleted, as logind does at logout: the next launcher binds it anew.
                survey.parked.push(shown(spec, None));
            } else {
                survey.lost += u32::from(registry.journal_end(spec.session, spec.instance).is_none());
            }
            continue;
        };
        let inspection = key.as_ref().filter(|_| Instant::now() < until).map(|key| inspect(&stream, &spec, key));
        match inspection {
            Some(Ok(inspection)) if inspection.exit.is_some() => {}
            Some(Ok(inspection)) => survey.parked.push(shown(spec, Some(&inspection))),
            Some(Err(err)) => {
                tracing::warn!(session = %spec.session, "its worker does not say how it is: {err:#}");
                survey.parked.push(shown(spec, None));
            }
            None => survey.parked.push(shown(spec, None)),
        }
    }
    survey.parked.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    Ok(survey)
}

fn shown(spec: SessionSpec, inspection: Option<&Inspection>) -> ParkedSession {
    let since_us = inspection.and_then(|inspection| inspection.parked_since_us);
    let ends = spec.class == Class::Agent && spec.parked_ttl_s > 0;
    let closes_us =
        since_us.filter(|_| ends).map(|since| since.saturating_add(spec.parked_ttl_s.saturating_mul(1_000_000)));
    ParkedSession {
        id: spec.session,
        title: spec.title,
        class: spec.class,
        command: spec.command,
        cwd: inspection.and_then(|inspection| inspection.cwd.clone()),
        pid: inspection.map(|inspection| inspection.program_pid).filter(|pid| *pid != 0),
        worker_pid: inspection.map(|inspection| inspection.worker_pid),
        created_at: rfc3339(spec.created_us),
        parked_since: since_us.map(rfc3339),
        closes_at: closes_us.map(rfc3339),
    }
}

/// Asks a worker how it is.
fn inspect(mut stream: &UnixStream, spec: &SessionSpec, key: &InstallKey) -> anyhow::Result<Inspection> {
    let until = Instant::now() + ANSWER_TIME;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|err| anyhow::anyhow!("the kernel gave no random bytes: {err}"))?;
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        role: Role::Cli,
        nonce,
        capabilities: Vec::new(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut incoming = Vec::new();
    send(stream, Kind::Hello, 0, &hello)?;
    let welcome: Welcome = read_body(Kind::Welcome, &next(stream, &mut incoming, Kind::Welcome, until)?)?;
    ensure!((VERSION_MIN..=VERSION_MAX).contains(&welcome.version), "it speaks a version that was not offered");
    ensure!(key.believes_listener(&hello, &welcome), "its proof of the install key is wrong");
    let who = Who::Worker { session: spec.session, instance: spec.instance };
    ensure!(welcome.who == who, "it is another session's");
    let proof = Proof { proof: key.dialler_proof(&hello, welcome.version, &welcome.nonce) };
    send(stream, Kind::Proof, 0, &proof)?;
    next(stream, &mut incoming, Kind::Accepted, until)?;
    send(stream, Kind::Inspect, 1, &Inspect {})?;
    let inspection = read_body(Kind::Inspection, &next(stream, &mut incoming, Kind::Inspection, until)?)?;
    // It need not wait for this end to be noticed.
    let _ = stream.flush().and_then(|()| stream.shutdown(Shutdown::Both));
    Ok(inspection)
}

fn send<T: Encode>(mut stream: &UnixStream, kind: Kind, id: u64, body: &T) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    write_message(kind, id, body, &mut bytes)?;
    Ok(stream.write_all(&bytes)?)
}

/// The payload of the next frame of this kind; others but a refusal are passed over.
fn next(mut stream: &UnixStream, incoming: &mut Vec<u8>, wanted: Kind, until: Instant) -> anyhow::Result<Vec<u8>> {
    loop {
        // A frame that claims to be larger than its kind may be is refused by its header.
        if let Some(frame) = Frame::parse(incoming)? {
            let (kind, payload, used) = (frame.header.known_kind(), frame.payload.to_vec(), frame.total_bytes());
            incoming.drain(..used);
            match kind {
                Some(kind) if kind == wanted => return Ok(payload),
                Some(Kind::Refused | Kind::Failed) => bail!("it refused"),
                _ => continue,
            }
        }
        Header::parse(incoming)?;
        let left = until.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "it does not answer");
        stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 << 10];
        match stream.read(&mut chunk)? {
            0 => bail!("it closed the connection"),
            read => incoming.extend_from_slice(&chunk[..read]),
        }
    }
}
