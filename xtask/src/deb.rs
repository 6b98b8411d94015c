//! The Debian package: `cargo xtask deb` builds it, looks into it, unpacks it somewhere and runs what it has.
//!
//! `cargo-deb` writes the archive, after what `clients/cli/Cargo.toml` says. Nothing is installed on this machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::binaries::{self, Profile};
use crate::project::Project;
use crate::steps::{self, cargo, command, is_there, output, run as run_command};

/// What a package has to have, wherever `cargo-deb` puts it.
const WANTED: [&str; 16] = [
    "./usr/bin/baton",
    "./usr/bin/baton-bridge",
    "./usr/bin/baton-sessiond",
    "./usr/lib/systemd/user/baton.service",
    "./usr/lib/systemd/user/baton.socket",
    "./usr/share/bash-completion/completions/baton",
    "./usr/share/zsh/vendor-completions/_baton",
    "./usr/share/fish/vendor_completions.d/baton.fish",
    "./usr/share/man/man1/baton.1.gz",
    "./usr/share/man/man1/baton-bridge.1.gz",
    "./usr/share/man/man1/baton-sessiond.1.gz",
    "./usr/share/doc/baton/copyright",
    "./usr/share/doc/baton/operations.md",
    "./usr/share/doc/baton/changelog.gz",
    "./usr/share/doc/baton/changelog.Debian.gz",
    "./usr/share/lintian/overrides/baton",
];

/// Builds the package and tries it. `--debug` takes the binaries of development: faster, larger, and not for anybody else.
///
/// # Errors
/// What cannot be built, is missing in the package, or does not run from it.
pub fn run(project: &Project, words: &[&str]) -> Result<()> {
    let (profile, name, directory) = match words {
        [] => (Profile::Release, "release", "release"),
        ["--debug"] => (Profile::Dev, "dev", "debug"),
        other => bail!("`{}` is no option of `deb`", other.join(" ")),
    };
    let cargo_deb = || cargo(&["deb", "--version"], project.root());
    ensure!(is_there(cargo_deb()), "cargo-deb is missing: `cargo install --locked cargo-deb`");
    binaries::build(project, profile)?;
    let built = project.target().join(directory);
    completions(&built)?;
    let packages = project.target().join("debian");
    // One is looked for below.
    let _ = fs::remove_dir_all(&packages);
    fs::create_dir_all(&packages)?;
    let out = packages.to_str().context("the target directory's path is not text")?;
    // Stripped by the profile, if at all.
    let words = ["deb", "--locked", "--no-build", "--no-strip", "-p", "baton-cli", "--profile", name, "--output", out];
    let mut pack = cargo(&words, project.root());
    if matches!(profile, Profile::Dev) {
        // Large, and for a look only: not worth the minutes of the best compression.
        pack.arg("--fast");
    }
    run_command(pack)?;
    let package = only_file(&packages)?;
    look(&package, profile, project.root())?;
    try_out(&package, project)?;
    eprintln!("   {}", package.display());
    Ok(())
}

/// What the shells are told of the command line, by the command line itself.
fn completions(built: &Path) -> Result<()> {
    let directory = built.join("baton-package");
    fs::create_dir_all(&directory)?;
    for shell in ["bash", "zsh", "fish"] {
        let script = output(command(built.join("baton"), &["completions", shell], built))?;
        fs::write(directory.join(format!("baton.{shell}")), script)?;
    }
    Ok(())
}

fn only_file(directory: &Path) -> Result<PathBuf> {
    let found = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    match found.as_slice() {
        [package] => Ok(package.clone()),
        other => bail!("one package was to be made, and there are {other:?}"),
    }
}

/// What is in it, and what Debian's own checks say where they are installed.
fn look(package: &Path, profile: Profile, root: &Path) -> Result<()> {
    let path = package.to_str().context("the package's path is not text")?;
    let list = String::from_utf8(output(command("dpkg-deb", &["--contents", path], root))?)?;
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_ascii_whitespace().nth(5)).collect();
    for wanted in WANTED {
        // Documents of some size are compressed.
        let there = names.iter().any(|name| *name == wanted || name.strip_suffix(".gz") == Some(wanted));
        ensure!(there, "the package lacks `{wanted}`; it has\n{list}");
    }
    ensure!(list.lines().all(|line| line.contains(" root/root ") || line.contains(" 0/0 ")), "not root's:\n{list}");
    let facts = String::from_utf8(output(command("dpkg-deb", &["--info", path], root))?)?;
    for line in facts.lines() {
        eprintln!("   {line}");
    }
    if is_there(command("lintian", &["--version"], root)) {
        let mut words = vec!["--fail-on", "error,warning"];
        if matches!(profile, Profile::Dev) {
            // Binaries of development are not stripped.
            words.extend(["--suppress-tags", "unstripped-binary-or-object"]);
        }
        words.push(path);
        run_command(command("lintian", &words, root))?;
    } else {
        eprintln!("   lintian is not installed: not asked");
    }
    Ok(())
}

/// Unpacks it and runs a session from there.
fn try_out(package: &Path, project: &Project) -> Result<()> {
    let root = project.target().join("debian-root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is not text");
    run_command(command("dpkg-deb", &["--extract", &text(package)?, &text(&root)?], project.root()))?;
    // A socket's address is short, and the target directory's path may be long.
    let home = std::env::temp_dir().join(format!("baton-deb-{}", std::process::id()));
    let baton = |arguments: &[&str]| {
        let mut command = steps::command(root.join("usr/bin/baton"), arguments, project.root());
        command.env("BATON_HOME", &home).env("BATON_LISTEN", "127.0.0.1:0");
        command
    };
    let tried = (|| {
        let version = output(baton(&["--version"]))?;
        ensure!(version.starts_with(b"baton "), "`baton --version` says {}", version.escape_ascii());
        run_command(baton(&["up"]))?;
        run_command(baton(&["new", "-d", "--", "sleep", "1000"]))?;
        let list = String::from_utf8(output(baton(&["ls"]))?)?;
        ensure!(list.contains("sleep"), "the session is not in the list:\n{list}");
        installed_over(&root, &baton)
    })();
    let down = run_command(baton(&["down", "--sessions"]));
    let _ = fs::remove_dir_all(&home);
    tried.and(down)
}

/// The next version is unpacked over this one, by renaming as dpkg does: what runs goes on.
fn installed_over(root: &Path, baton: &dyn Fn(&[&str]) -> Command) -> Result<()> {
    for name in ["baton", "baton-bridge", "baton-sessiond"] {
        let (path, next) = (root.join("usr/bin").join(name), root.join("usr/bin").join(format!("{name}.dpkg-new")));
        fs::copy(&path, &next)?;
        File::open(&next)?.sync_all()?;
        fs::rename(&next, &path)?;
    }
    let script = root.join("postinst");
    let text = include_str!("../../dist/debian/postinst");
    fs::write(&script, text)?;
    let mut configure = Command::new("sh");
    configure.arg(&script).args(["configure", "0.0.9"]).stdin(Stdio::null());
    let said = String::from_utf8(output(configure)?)?;
    ensure!(said.lines().count() == 1 && said.contains("baton upgrade"), "the package says `{said}`");
    let list = String::from_utf8(output(baton(&["ls"]))?)?;
    ensure!(list.contains("running"), "an upgrade of the package ended the session:\n{list}");
    Ok(())
}
