//! The names that conditions in the filter files use, where the kernel takes numbers.

use nix::libc;

/// The number behind a name; the same on each architecture that there are filters for.
pub fn number(name: &str) -> Option<u32> {
    Some(match name {
        "AF_UNIX" => libc::AF_UNIX.cast_unsigned(),
        "AF_INET" => libc::AF_INET.cast_unsigned(),
        "AF_INET6" => libc::AF_INET6.cast_unsigned(),
        "AF_NETLINK" => libc::AF_NETLINK.cast_unsigned(),
        "NETLINK_ROUTE" => 0,
        "IPPROTO_ICMP" => libc::IPPROTO_ICMP.cast_unsigned(),
        "IPPROTO_ICMPV6" => libc::IPPROTO_ICMPV6.cast_unsigned(),
        "IPPROTO_TCP" => libc::IPPROTO_TCP.cast_unsigned(),
        "IPPROTO_UDP" => libc::IPPROTO_UDP.cast_unsigned(),
        "SOCK_RAW" => libc::SOCK_RAW.cast_unsigned(),
        "SOCK_RDM" => libc::SOCK_RDM.cast_unsigned(),
        "SOCK_SEQPACKET" => libc::SOCK_SEQPACKET.cast_unsigned(),
        "SOCK_DCCP" => 6,
        "SOCK_PACKET" => 10,
        "MSG_FASTOPEN" => 0x2000_0000,
        "S_ISUID" => 0o4000,
        "S_ISGID" => 0o2000,
        "O_CREAT" => libc::O_CREAT.cast_unsigned(),
        // The bit that `O_TMPFILE` has beside `O_DIRECTORY`.
        "O_TMPFILE_ALONE" => 0o20_000_000,
        "PRIO_PROCESS" => 0,
        "PRIO_PGRP" => 1,
        "IOPRIO_WHO_PROCESS" => 1,
        "IOPRIO_WHO_PGRP" => 2,
        "PR_SCHED_CORE" => 62,
        "CLONE_NEWCGROUP" => libc::CLONE_NEWCGROUP.cast_unsigned(),
        "CLONE_NEWIPC" => libc::CLONE_NEWIPC.cast_unsigned(),
        "CLONE_NEWNET" => libc::CLONE_NEWNET.cast_unsigned(),
        "CLONE_NEWNS" => libc::CLONE_NEWNS.cast_unsigned(),
        "CLONE_NEWPID" => libc::CLONE_NEWPID.cast_unsigned(),
        "CLONE_NEWTIME" => 0x80,
        "CLONE_NEWUSER" => libc::CLONE_NEWUSER.cast_unsigned(),
        "CLONE_NEWUTS" => libc::CLONE_NEWUTS.cast_unsigned(),
        "CLONE_THREAD" => libc::CLONE_THREAD.cast_unsigned(),
        "TIOCSTI" => 0x5412,
        "TIOCLINUX" => 0x541c,
        "TIOCCONS" => 0x541d,
        "TIOCSETD" => 0x5423,
        "FICLONE" => 0x4004_9409,
        "FICLONERANGE" => 0x4020_940d,
        "F_SETLEASE" => 1024,
        "F_NOTIFY" => 1026,
        // A lease on a directory, too (Linux 6.19).
        "F_SETDELEG" => 1040,
        "FIDEDUPERANGE" => 0xc018_9436,
        "SIGSYS" => libc::SIGSYS.cast_unsigned(),
        "SIGKILL" => libc::SIGKILL.cast_unsigned(),
        "PR_SET_NAME" => libc::PR_SET_NAME.cast_unsigned(),
        "PR_SET_VMA" => 0x5356_4d41,
        "FIONBIO" => 0x5421,
        "FIOCLEX" => 0x5451,
        "FIONREAD" => 0x541b,
        "TCGETS" => 0x5401,
        "TCGETS2" => 0x802c_542a,
        "TCSETS" => 0x5402,
        "TIOCGPGRP" => 0x540f,
        "TIOCSPGRP" => 0x5410,
        "TIOCGWINSZ" => 0x5413,
        "TIOCSWINSZ" => 0x5414,
        "PIDFD_GET_INFO" => 0xc040_ff0b,
        "PROT_EXEC" => libc::PROT_EXEC.cast_unsigned(),
        "PER_LINUX" => 0,
        "PER_QUERY" => u32::MAX,
        "UNAME26" => 0x0002_0000,
        _ => return None,
    })
}

/// The error behind a name.
pub fn errno(name: &str) -> Option<u32> {
    let number = match name {
        "EACCES" => libc::EACCES,
        "EAFNOSUPPORT" => libc::EAFNOSUPPORT,
        "EINVAL" => libc::EINVAL,
        "ENOSYS" => libc::ENOSYS,
        "EOPNOTSUPP" => libc::EOPNOTSUPP,
        "EPERM" => libc::EPERM,
        "EPROTONOSUPPORT" => libc::EPROTONOSUPPORT,
        _ => return None,
    };
    Some(number.cast_unsigned())
}
