//! A file system of a test's own: a small tmpfs, in a mount namespace that is gone with the test.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "BATON_TEST_IN_NAMESPACE";
const FILL: &str = "filled-by-a-test";

/// A mounted tmpfs. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one of so many bytes at `at`, which is made.
    ///
    /// # Panics
    /// When it may not: see [`privately`].
    #[must_use]
    pub fn mount(at: &Path, bytes: u64) -> Self {
        fs::create_dir_all(at).expect("a directory to mount on");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "baton-test", text(at)]);
        Self { at: at.to_owned() }
    }

    /// Fills it to the last block.
    ///
    /// # Panics
    /// When something else than a full disk is in the way.
    pub fn fill(&self) {
        let options = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(self.at.join(FILL));
        let mut file = options.expect("a file to fill the disk with");
        for step in [1 << 20, 64 << 10, 4 << 10] {
            let block = vec![0x55; step];
            loop {
                match file.write(&block) {
                    Ok(n) if n > 0 => {}
                    Err(err) if err.raw_os_error() != Some(nix::libc::ENOSPC) => panic!("filling the disk: {err}"),
                    _ => break,
                }
            }
        }
    }

    /// Fills it but for so many bytes.
    ///
    /// # Panics
    /// As [`Self::fill`].
    pub fn fill_but(&self, bytes: u64) {
        self.fill();
        let path = self.at.join(FILL);
        let len = fs::metadata(&path).expect("what fills the disk").len();
        let file = fs::OpenOptions::new().write(true).open(path).expect("what fills the disk");
        file.set_len(len.saturating_sub(bytes)).expect("to cut it off");
    }

    /// Gives back what [`Self::fill`] took.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn free(&self) {
        fs::remove_file(self.at.join(FILL)).expect("what fills the disk");
    }

    /// From now on nothing can be opened to be written below it. What is open already stays so: the kernel makes no file system
    /// read-only under a writer; so this is done where nobody comes by, and moved to its place then.
    ///
    /// # Panics
    /// When it may not.
    pub fn read_only(&self) {
        let aside = self.at.with_extension("read-only");
        fs::create_dir_all(&aside).expect("a directory to mount on");
        run("mount", &["--bind", text(&self.at), text(&aside)]);
        run("mount", &["-o", "remount,bind,ro", text(&aside)]);
        run("mount", &["--move", text(&aside), text(&self.at)]);
        fs::remove_dir(&aside).expect("it is empty again");
    }

    /// Undoes [`Self::read_only`].
    pub fn writable(&self) {
        run("umount", &["-l", text(&self.at)]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(&self.at)]).status();
    }
}

/// Where this process is.
#[derive(Debug)]
pub enum Private {
    /// In a namespace of its own: it may mount.
    Here,
    /// It called itself again in one, which ended so.
    Was(std::process::ExitStatus),
    /// None can be had here, and why.
    Impossible(String),
}

/// Calls itself again, with these arguments, in a mount namespace, and in a user namespace too if it is not root; unless it is
/// there already.
///
/// # Panics
/// When `unshare` worked just now and does not any more.
#[must_use]
pub fn again_privately(args: &[String]) -> Private {
    if std::env::var_os(INSIDE).is_some() {
        return Private::Here;
    }
    let user: &[&str] = if nix::unistd::getuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let probe = ["--mount", "sh", "-c", "mount -t tmpfs -o size=1m baton-test /mnt"];
    match Command::new("unshare").args(user).args(probe).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Private::Impossible(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(err) => return Private::Impossible(format!("`unshare`: {err}")),
    }
    let own = std::env::current_exe().expect("the running binary");
    let status = Command::new("unshare")
        .args(user)
        .args(["--mount", "--fork", "--kill-child"])
        .arg(own)
        .args(args)
        .env(INSIDE, "1")
        .status()
        .expect("unshare starts");
    Private::Was(status)
}

/// Runs a test where it may mount: it calls itself again in a mount namespace. Where that is not allowed, it says so and is skipped:
/// there is no other full disk to be had.
///
/// # Panics
/// When the test fails.
pub fn privately(test: &str, body: impl FnOnce()) {
    let args = ["--exact", test, "--nocapture"].map(str::to_owned);
    match again_privately(&args) {
        Private::Here => body(),
        Private::Was(status) => assert!(status.success(), "`{test}` in its namespace: {status}"),
        Private::Impossible(why) => println!("SKIPPED `{test}`: no tmpfs can be mounted here: {why}"),
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|err| panic!("`{program}`: {err}"));
    assert!(output.status.success(), "`{program}` {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}
