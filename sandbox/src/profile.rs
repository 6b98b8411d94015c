//! What each profile lets a program touch: plain data, one place.
//!
//! | | `host` | `workspace` | `locked` |
//! | --- | --- | --- | --- |
//! | the system ([`SYSTEM`]) | all | read | read |
//! | below HOME | all | read: [`HOME_TOOLS`] | nothing |
//! | the rest of HOME, `/tmp`, `/var/tmp`, `/dev/shm` | all | private, gone with the session | private, gone with the session |
//! | grants | – | as granted | as granted |
//! | secrets ([`HOME_SECRETS`], [`SYSTEM_SECRETS`], Baton's own) | all | hidden, below a grant too | hidden, below a grant too |
//! | network | all | its own loopback, and hosts that are allowed when it is made, through a proxy | its own loopback |
//! | the person's ssh agent | as it is | lists and signs through a relay, when that is asked for | none |
//! | `sudo`, other privileges | as the user | none | none |

use baton_proto::spec::Profile;

/// Directories of the system that confined programs read and execute. What is not there is left out.
pub const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix/store",
    // `ps`, process substitution, and nearly every language's runtime. Other processes' memory, environment and
    // descriptors stay closed there: Landlock refuses what ptrace would be needed for.
    "/proc",
    // How many processors there are, and which limits a cgroup has.
    "/sys/devices/system",
    "/sys/fs/cgroup",
];

/// Devices that confined programs use: all of them harmless, and without them hardly a script runs.
pub const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];

/// Where names may be looked through and nothing more: what finds its own terminal's name does so here.
pub const LISTED: &[&str] = &["/dev"];

/// What `workspace` reads below HOME: tools that are installed there, and git's configuration. No shell's start files:
/// what people export there are often tokens. No directory that may hold a secret, either: what is needed of it is named, so
/// that a secret which is put there while a session runs is not shown.
pub const HOME_TOOLS: &[&str] = &[
    ".local/bin",
    ".local/lib",
    ".local/share/mise",
    ".cargo/bin",
    ".cargo/config.toml",
    ".cargo/config",
    ".cargo/env",
    ".cargo/registry",
    ".cargo/git",
    ".cargo/advisory-db",
    ".rustup",
    ".pyenv",
    ".rbenv",
    ".nvm",
    ".volta",
    ".asdf",
    ".sdkman",
    ".deno/bin",
    ".bun/bin",
    "go/bin",
    "bin",
    ".gitconfig",
    ".config/git/config",
    ".config/git/ignore",
    ".config/git/attributes",
    ".config/git/hooks",
    ".config/git/template",
];

/// Files and directories below HOME that no confined program sees, whatever is granted.
pub const HOME_SECRETS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gh",
    ".config/hub",
    ".config/glab-cli",
    ".config/gcloud",
    ".config/git/credentials",
    ".config/op",
    ".config/rclone",
    ".config/containers",
    ".git-credentials",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".password-store",
    ".1password",
    ".local/share/keyrings",
    ".local/share/kwalletd",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".terraform.d/credentials.tfrc.json",
    ".config/sops",
    ".config/github-copilot",
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".gem/credentials",
    ".local/share/gem/credentials",
    ".m2/settings.xml",
    ".composer/auth.json",
    ".config/composer/auth.json",
    // What was typed: passwords on command lines, tokens in statements.
    ".bash_history",
    ".zsh_history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".psql_history",
    ".mysql_history",
    ".node_repl_history",
    // Profiles of browsers, and of what is made of one: cookies, passwords, messages.
    ".mozilla",
    ".librewolf",
    ".config/google-chrome",
    ".config/google-chrome-beta",
    ".config/google-chrome-unstable",
    ".config/chromium",
    ".config/BraveSoftware",
    ".config/microsoft-edge",
    ".config/vivaldi",
    ".config/opera",
    ".config/Bitwarden",
    ".config/Signal",
    ".config/Slack",
    ".config/discord",
    ".thunderbird",
    "snap/firefox",
    "snap/chromium",
    ".var/app",
];

/// Whether a secret of [`HOME_SECRETS`] usually holds more files than are worth a search for other names of each.
#[must_use]
pub fn is_large(secret: &str) -> bool {
    HOME_SECRETS.iter().skip_while(|it| **it != FIRST_BROWSER).any(|it| *it == secret)
}

/// Where the browsers begin in [`HOME_SECRETS`].
const FIRST_BROWSER: &str = ".mozilla";

/// Names of which a directory that holds one is somebody's home.
pub const SIGNS_OF_HOME: &[&str] =
    &[".ssh", ".gnupg", ".aws", ".profile", ".bash_profile", ".bashrc", ".bash_history", ".zshrc", ".zsh_history"];

/// Files of the system that root could read, and no confined program does.
pub const SYSTEM_SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssl/private",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/NetworkManager/system-connections",
    "/etc/wireguard",
    "/etc/krb5.keytab",
];

/// Where a confined program of root's reads what everybody may, and nothing else: there others keep what only they and root
/// should read.
pub const CLOSED_IN: &str = "/etc";

/// Directories full of other programs' sockets, of which some start whatever they are asked to: the buses, service
/// managers, container engines. Confined programs find them empty.
pub const SOCKETS: &[&str] = &["/run", "/var/run"];

/// Where every directory in which a confined program reads nothing is covered by an empty one: there may be sockets in it,
/// which programs anywhere on a system make at paths of their own, and to connect to one took no right before Landlock 9.
pub const COVERED_IN: &[&str] = &["/", "/var"];

/// Among those, what stays: the kernel's own. Sockets are made in `/dev/shm`, which is covered ([`TEMPORARY`]), and by loggers of hosts
/// without systemd as `/dev/log`, which is not: its permissions decide.
pub const OF_THE_KERNEL: &[&str] = &["/proc", "/sys", "/dev"];

/// Directories of temporary files, shared by all of the host; a confined program has its own.
pub const TEMPORARY: &[(&str, &str)] = &[("/tmp", "tmp"), ("/var/tmp", "var-tmp"), ("/dev/shm", "shm")];

/// Below the session's private directory: what is shown as HOME.
pub const PRIVATE_HOME: &str = "home";

/// Where a program that may use the person's ssh agent finds the directory of the socket that leads there.
pub const SSH_AGENT: &str = "/tmp/baton-ssh-agent";

/// The socket's name in it.
pub const SSH_AGENT_SOCKET: &str = "socket";

/// Where nothing is granted: other programs' processes, devices and sockets.
pub const NEVER_GRANTED: &[&str] = &["/proc", "/sys", "/dev", "/run", "/var/run", "/boot"];

/// Variables that a confined program gets from the environment Baton was started with. All others are left out: a token
/// in one of them would be read by whatever runs there.
pub const VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "COLORTERM",
    "PWD",
    "EDITOR",
    "VISUAL",
    "PAGER",
];

/// Whether a variable goes to a confined program.
#[must_use]
pub fn passes(variable: &str) -> bool {
    VARIABLES.contains(&variable) || variable.starts_with("LC_")
}

/// Whether a program of this profile is confined at all.
#[must_use]
pub const fn is_confined(profile: Profile) -> bool {
    !matches!(profile, Profile::Host)
}

/// What a program of this profile reads below HOME.
#[must_use]
pub const fn home_tools(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Workspace => HOME_TOOLS,
        Profile::Host | Profile::Locked => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn paths_are_of_the_right_kind() {
        for path in SYSTEM.iter().chain(DEVICES).chain(SYSTEM_SECRETS).chain(SOCKETS).chain(NEVER_GRANTED) {
            assert!(Path::new(path).is_absolute(), "{path}");
        }
        for path in HOME_TOOLS.iter().chain(HOME_SECRETS) {
            assert!(Path::new(path).is_relative(), "{path}");
        }
    }

    #[test]
    fn no_tool_is_within_a_secret_and_no_token_passes() {
        for tool in HOME_TOOLS {
            assert!(!HOME_SECRETS.iter().any(|secret| Path::new(tool).starts_with(secret)), "{tool}");
            assert!(!HOME_SECRETS.iter().any(|secret| Path::new(secret).starts_with(tool)), "a secret lies in {tool}");
        }
        for variable in
            ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "BATON_TOKEN", "DBUS_SESSION_BUS_ADDRESS"]
        {
            assert!(!passes(variable), "{variable}");
        }
        assert!(passes("LC_ALL") && passes("PATH"));
    }
}
