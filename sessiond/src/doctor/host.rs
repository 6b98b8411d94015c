//! The host: its kernel, its limits, and what ends processes at logout.

use std::path::{Path, PathBuf};

use baton_proto::api::{Check, CheckStatus};
use baton_sandbox::exec::{Twin, fork_twin};
use baton_sandbox::process;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, User, access, getegid, geteuid};

/// First kernel with `close_range`, without which no program is started.
const KERNEL_LEAST: (u32, u32) = (5, 9);
/// Descriptors a session takes in the launcher.
const DESCRIPTORS_A_SESSION: u64 = 7;
/// Descriptors the launcher takes for itself.
const DESCRIPTORS_OWN: u64 = 256;
/// Sessions that a host should have room for.
const SESSIONS: u64 = 100;

fn check(name: &str, status: CheckStatus, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, found: found.into(), means: None, cure: None }
}

fn but(check: Check, means: &str, cure: &str) -> Check {
    Check { means: Some(means.to_owned()), cure: Some(cure.to_owned()), ..check }
}

pub fn kernel() -> Check {
    let release = nix::sys::utsname::uname().ok().map(|name| name.release().to_string_lossy().into_owned());
    match release.as_deref().and_then(version) {
        Some(found) if found < KERNEL_LEAST => but(
            check("kernel", CheckStatus::Missing, release.unwrap_or_default()),
            "no session starts",
            "Linux 5.9 or newer; 6.12 or newer for everything",
        ),
        _ => check("kernel", CheckStatus::Ok, release.map_or_else(|| "unknown".to_owned(), |it| format!("Linux {it}"))),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether namespaces for a session can be made: tried, as a session's start does it.
pub fn namespaces() -> Result<(), Errno> {
    match fork_twin() {
        Ok(Twin::Younger) => {
            let outcome = make_namespaces();
            std::process::exit(outcome.err().map_or(0, |err| err as i32));
        }
        Ok(Twin::Elder(child)) => {
            // It makes a few calls and ends.
            let ended = loop {
                match process::has_ended(&child.pidfd) {
                    Ok(true) => break process::try_reap(&child.pidfd).ok().flatten(),
                    Ok(false) => std::thread::sleep(std::time::Duration::from_millis(1)),
                    Err(err) => return Err(err),
                }
            };
            match ended.and_then(|status| status.code()) {
                Some(0) => Ok(()),
                Some(code) => Err(Errno::from_raw(code)),
                None => Err(Errno::ECHILD),
            }
        }
        Err(err) => Err(err.errno().unwrap_or(Errno::EAGAIN)),
    }
}

fn make_namespaces() -> Result<(), Errno> {
    let separate = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    if unshare(separate).is_ok() {
        return Ok(());
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let failed = |err: std::io::Error| err.raw_os_error().map_or(Errno::EPERM, Errno::from_raw);
    std::fs::write("/proc/self/setgroups", "deny").map_err(failed)?;
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1\n")).map_err(failed)?;
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1\n")).map_err(failed)?;
    // Some systems let everybody make one of these and nothing in it.
    unshare(separate)
}

pub fn user_namespaces(made: Result<(), Errno>) -> Check {
    let Err(err) = made else { return check("user_namespaces", CheckStatus::Ok, "can be made") };
    let is_one = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    let zero = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    let cure = if is_one("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") {
        "an AppArmor profile for baton-sessiond with `userns,`, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if zero("/proc/sys/kernel/unprivileged_userns_clone") {
        "`sysctl kernel.unprivileged_userns_clone=1`"
    } else if zero("/proc/sys/user/max_user_namespaces") {
        "`sysctl user.max_user_namespaces=10000`"
    } else {
        "in a container: allow `unshare` and user namespaces in its security profile"
    };
    let found = format!("refused: {}", err.desc());
    let means = "a confined session has no view of the file system and no network of its own; Landlock holds alone, \
                 which stops neither UDP nor sockets with a path";
    but(check("user_namespaces", CheckStatus::Lacking, found), means, cure)
}

/// For those who ask what a later version could do here: this one takes nothing from it, so nothing is lacking.
pub fn cgroups() -> Check {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let found = match path.filter(|_| unified) {
        None => "version 1 or none".to_owned(),
        Some(path) => {
            let directory = PathBuf::from("/sys/fs/cgroup").join(path);
            let mine = ["cgroup.procs", "cgroup.subtree_control"]
                .iter()
                .all(|file| access(&directory.join(file), AccessFlags::W_OK).is_ok());
            format!("version 2, {}: `/{path}`", if mine { "delegated" } else { "not delegated" })
        }
    };
    check("cgroups", CheckStatus::Ok, format!("{found}; this version uses none"))
}

pub fn linger() -> Check {
    if !Path::new("/run/systemd/system").exists() {
        return check("linger", CheckStatus::Ok, "no systemd: nothing ends processes at logout");
    }
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let Some(name) = name else {
        return check("linger", CheckStatus::Lacking, "this user has no name");
    };
    if geteuid().is_root() || Path::new("/var/lib/systemd/linger").join(&name).exists() {
        return check("linger", CheckStatus::Ok, "processes outlive a logout");
    }
    but(
        check("linger", CheckStatus::Lacking, "off"),
        "the system may end Baton and its sessions at your last logout",
        "`loginctl enable-linger`",
    )
}

pub fn open_files() -> Check {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return check("open_files", CheckStatus::Lacking, "the limit can't be read");
    };
    let sessions = hard.saturating_sub(DESCRIPTORS_OWN) / DESCRIPTORS_A_SESSION;
    let found = format!("{hard}: room for {sessions} sessions");
    if sessions >= SESSIONS {
        return check("open_files", CheckStatus::Ok, found);
    }
    but(
        check("open_files", CheckStatus::Lacking, found),
        "more sessions than that are refused",
        "raise the hard limit: `LimitNOFILE=` of the unit, `nofile` in /etc/security/limits.conf",
    )
}

pub fn terminals() -> Check {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let (Some(most), Some(used)) = (number("/proc/sys/kernel/pty/max"), number("/proc/sys/kernel/pty/nr")) else {
        return check("terminals", CheckStatus::Lacking, "the limit can't be read");
    };
    let found = format!("{used} of {most} in use");
    if most.saturating_sub(used) >= SESSIONS {
        return check("terminals", CheckStatus::Ok, found);
    }
    but(check("terminals", CheckStatus::Lacking, found), "sessions will be refused", "`sysctl kernel.pty.max=4096`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_whatever_a_distribution_adds() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.15.167.4-microsoft-standard-WSL2"), Some((5, 15)));
        assert_eq!(version("6.18"), Some((6, 18)));
        assert_eq!(version("none"), None);
        assert!(version("5.4.0").unwrap_or_default() < KERNEL_LEAST);
        assert!(version("5.10.0").unwrap_or_default() > KERNEL_LEAST);
    }

    #[test]
    fn what_is_not_used_is_not_lacking_and_has_no_cure() {
        let check = cgroups();
        assert_eq!((check.status, check.cure), (CheckStatus::Ok, None));
        assert!(check.found.contains("uses none"), "{}", check.found);
    }

    #[test]
    fn refused_namespaces_name_what_is_lost_and_a_cure() {
        let check = user_namespaces(Err(Errno::EPERM));
        assert_eq!(check.status, CheckStatus::Lacking);
        assert!(check.means.is_some() && check.cure.is_some());
    }
}
