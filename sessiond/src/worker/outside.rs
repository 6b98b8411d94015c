//! The ways out of a session that may reach some hosts, or the person's ssh agent: the worker starts who serves them, and tells
//! the program where they are.
//!
//! They live beside the worker and not below its wings: what they need they are given once, and they outlive whoever gave it
//! (`egress`, `agent`). Each worker starts one of each, since none can any more once it has confined itself; where there are enough, the new one
//! ends at once.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use baton_proto::egress::{AllowHosts, PROXY_PORT};
use baton_sandbox::exec::{Gate, Launch, duplicate};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::confine::NotStarted;
use super::{Program, Worker};
use crate::tended::{FD_PROGRAM, FD_READY, FD_SPEC};
use crate::{agent, egress};

/// How long it may take until it listens: two forks and a socket, on a host that is busy.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Programs look for their proxy in these, in either case.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// What a session calls the loopback interface.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the program needs to know of it, in place of whatever the person's own proxy is.
pub(super) fn environment(env: &mut Vec<(OsString, OsString)>, allowed: &AllowHosts) {
    let direct = ["NO_PROXY", "no_proxy"];
    env.retain(|(name, _)| !PROXY_VARIABLES.iter().chain(&direct).any(|own| name == own));
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    env.extend(PROXY_VARIABLES.map(|name| (name.into(), proxy.clone().into())));
    // The loopback interface is the session's own, and needs no proxy, unless the host's is meant.
    let own: Vec<&str> = LOOPBACK.into_iter().filter(|name| !allowed.means(name)).collect();
    env.extend(direct.map(|name| (name.into(), own.join(",").into())));
}

impl Worker {
    /// Opens the ways before the program runs, so that it finds them there.
    pub(super) fn open_way_out(&mut self, program: &Program, gate: &mut Gate) -> Result<(), NotStarted> {
        let ways = self.ways();
        if ways.is_empty() {
            return Ok(());
        }
        match gate.has_own_network() {
            // It could not be confined at all; why is what the gate says next.
            None => return Ok(()),
            Some(true) => {}
            // Its view and its network are left together, or neither is.
            Some(false) if self.spec.allow_hosts.is_empty() => return Err(NotStarted::NoViewOfItsOwn),
            Some(false) => return Err(NotStarted::NoNetworkOfItsOwn),
        }
        if !self.spec.allow_hosts.is_empty() {
            self.listen_for_refused_hosts();
        }
        for role in ways {
            let failed = |err| if role == agent::ROLE { NotStarted::Agent(err) } else { NotStarted::WayOut(err) };
            self.start_beside(program, role).and_then(|ready| until_ready(&ready)).map_err(failed)?;
        }
        Ok(())
    }

    /// Sees to it that there is one behind each that serves, after a worker or one of them has died.
    pub(super) fn mend_way_out(&mut self) {
        if !self.spec.allow_hosts.is_empty() {
            self.listen_for_refused_hosts();
        }
        let Some(program) = &self.program else { return };
        for role in self.ways() {
            if let Err(err) = self.start_beside(program, role) {
                tracing::error!(session = %self.spec.session, role, "a way out of the session could not be seen to: {err}");
            }
        }
    }

    /// What this session is to have.
    fn ways(&self) -> Vec<&'static str> {
        let hosts = (!self.spec.allow_hosts.is_empty()).then_some(egress::ROLE);
        hosts.into_iter().chain(self.spec.ssh_agent.as_ref().map(|_| agent::ROLE)).collect()
    }

    /// Starts one; the answer is the end of a pipe on which it says that there is one that serves.
    fn start_beside(&self, program: &Program, role: &str) -> io::Result<OwnedFd> {
        let (ready, said) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let directory = self.directory.join(self.spec.instance.to_string());
        // The version that runs here, whatever is installed by now.
        let mut launch = Launch::new(Path::new("/proc/self/exe"));
        launch.arg0 = Some("baton-sessiond".into());
        launch.args = vec![role.into(), directory.into()];
        launch.env = std::env::vars_os().collect();
        launch.fds = vec![
            (said, FD_READY),
            (duplicate(&self.spec_fd)?, FD_SPEC),
            (duplicate(&program.pidfd)?, FD_PROGRAM),
            (duplicate(io::stderr())?, 2),
        ];
        launch.new_session = true;
        launch.no_new_privs = true;
        launch.spawn().map_err(io::Error::other)?;
        Ok(ready)
    }
}

/// Waits for the word that there is one that serves.
fn until_ready(ready: &OwnedFd) -> io::Result<()> {
    let mut waiting = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(READY_TIMEOUT).unwrap_or(PollTimeout::MAX);
    if poll(&mut waiting, timeout)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match nix::unistd::read(ready, &mut [0]) {
        Ok(1) => Ok(()),
        _ => Err(io::Error::other("it ended; the log of the workers says why")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_proxy_takes_the_place_of_the_persons() {
        let mut env: Vec<(OsString, OsString)> =
            vec![("https_proxy".into(), "http://corp.test:8080".into()), ("PATH".into(), "/bin".into())];
        environment(&mut env, &AllowHosts::default());
        let of =
            |name: &str| env.iter().filter(|(it, _)| it == name).map(|(_, value)| value.clone()).collect::<Vec<_>>();
        for name in PROXY_VARIABLES {
            assert_eq!(of(name), [OsString::from("http://127.0.0.1:3128")], "{name}");
        }
        assert_eq!(of("no_proxy"), of("NO_PROXY"));
        assert_eq!(of("no_proxy"), [OsString::from("localhost,127.0.0.1,::1")]);
        assert_eq!(of("PATH"), [OsString::from("/bin")]);
    }

    #[test]
    fn what_is_listed_goes_by_the_proxy() {
        for (listed, direct) in [
            (vec!["127.0.0.1:8099"], "localhost,::1"),
            (vec!["localhost", "[::1]:80"], "127.0.0.1"),
            (vec!["localhost", "127.0.0.1", "::1"], ""),
            (vec!["127.0.0.2", "*.localhost", "example.org"], "localhost,127.0.0.1,::1"),
        ] {
            let mut env = Vec::new();
            environment(&mut env, &AllowHosts::parse(&listed).unwrap());
            for name in ["NO_PROXY", "no_proxy"] {
                let value = env.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
                assert_eq!(value, Some(direct.into()), "{listed:?}");
            }
        }
    }
}
