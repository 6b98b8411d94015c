//! `baton export`: a recording of a session as a file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::api::{Api, query_value, terminal};
use crate::args::ExportArgs;
use crate::context::Context;
use crate::interrupt::{self, Told};
use crate::names::{self, label, short};
use crate::out;
use crate::report::Report;

/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Writes a recording.
pub async fn run(context: &Context, args: &ExportArgs) -> Result<u8, Report> {
    let api = Api::open(context).await?;
    let session = names::session_or_latest(&api, args.name.as_deref()).await?;
    let mut path = format!("{}?version={}", terminal(session.id, "recording.cast"), args.cast_version);
    let from = args.from.map(|from| from.begins(&session)).transpose()?.flatten();
    let to = args.to.map(|to| to.known(&session)).transpose()?;
    for (name, moment) in [("from", from), ("to", to)] {
        if let Some(moment) = moment {
            path.push_str(&format!("&{name}={}", query_value(&moment.value())));
        }
    }
    if let Some(seconds) = args.idle_max {
        path.push_str(&format!("&idle_max_s={seconds}"));
    }
    if args.follow {
        path.push_str("&follow=true");
    }
    let name = label(&session);
    let what = format!("`{name}` cannot be exported");
    let mut target = match &args.output {
        Some(file) if file.as_os_str() != "-" => Target::File(Partial::create(file)?),
        // A recording on a terminal would be a page of noise.
        None if io::stdout().is_terminal() => {
            let file = PathBuf::from(format!("{}.cast", file_name(&session.title, &session.id.to_string())));
            if file.exists() {
                return Err(
                    Report::failed(format!("`{}` is there already", file.display())).hint("name a file with -o")
                );
            }
            Target::File(Partial::create(&file)?)
        }
        _ => Target::Stdout,
    };
    let mut progress = Progress::new(matches!(target, Target::File(_)) && io::stderr().is_terminal());
    let mut interrupted = None;
    let piece = |bytes: &[u8]| {
        progress.add(bytes.len());
        match &mut target {
            Target::File(partial) => partial.write(bytes),
            Target::Stdout => out::bytes(bytes),
        }
    };
    let written = tokio::select! {
        written = api.download(&what, &path, piece) => written,
        told = interrupt::told() => {
            interrupted = Some(told);
            Err(Report::failed(&what).why("it was interrupted"))
        }
    };
    progress.end();
    let written = written.map_err(|report| {
        report.in_words(&[("from", "--from"), ("to", "--to"), ("idle_max_s", "--idle-max"), ("follow", "--follow")])
    });
    match (written, target) {
        (Ok(()), Target::File(partial)) => {
            let file = partial.finish()?;
            out::remark(&format!("baton: `{name}` is in `{}`", file.display()));
            Ok(0)
        }
        (Ok(()), Target::Stdout) => Ok(0),
        // It may have been followed for days: what there is of it is a recording of its own.
        (Err(report), target) if args.follow => {
            let mut report = report;
            if let Target::File(partial) = target {
                let Some((file, until)) = partial.keep()? else { return Err(report) };
                let until = until.strftime("%F %T");
                out::remark(&format!("baton: `{name}` is in `{}` up to {until}", file.display()));
                report = report.hint("what came later is in the session: export it again into another file");
            }
            match interrupted {
                // That is how following ends.
                Some(Told::Interrupt) => Ok(0),
                Some(told) => Ok(told.exit_code()),
                None => Err(report),
            }
        }
        (Err(report), _) => Err(report),
    }
}

enum Target {
    File(Partial),
    Stdout,
}

/// A file that has its name once it is whole.
struct Partial {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    finished: bool,
    written: u64,
    /// Up to the end of its last whole line, and when that came.
    whole: Option<(u64, Zoned)>,
}

impl Partial {
    fn create(path: &Path) -> Result<Self, Report> {
        let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
        name.push(format!(".{}.part", std::process::id()));
        let partial = path.with_file_name(name);
        let file = File::options().write(true).create_new(true).open(&partial).map_err(|err| refused(path, &err))?;
        Ok(Self { file, path: path.to_owned(), partial, finished: false, written: 0, whole: None })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Report> {
        self.file.write_all(bytes).map_err(|err| refused(&self.path, &err))?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = Some((self.written + at as u64 + 1, Zoned::now()));
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives what there is of it its name, without a line that is not whole; nothing if no line is. Says when the last came.
    fn keep(mut self) -> Result<Option<(PathBuf, Zoned)>, Report> {
        let Some((length, came)) = self.whole.take() else { return Ok(None) };
        self.file.set_len(length).map_err(|err| refused(&self.path, &err))?;
        self.finish().map(|path| Some((path, came)))
    }

    fn finish(mut self) -> Result<PathBuf, Report> {
        fs::rename(&self.partial, &self.path).map_err(|err| refused(&self.path, &err))?;
        self.finished = true;
        Ok(self.path.clone())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // Half a recording is none.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Writes a file that is there whole or not at all.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Report> {
    let mut partial = Partial::create(path)?;
    partial.write(bytes)?;
    partial.finish().map(|_| ())
}

fn refused(path: &Path, err: &io::Error) -> Report {
    let report = Report::failed(format!("`{}` cannot be written", path.display())).why(err);
    if err.kind() == ErrorKind::NotFound { report.hint("its directory is not there") } else { report }
}

/// A name for a file, of what the session is called.
fn file_name(title: &str, id: &str) -> String {
    let plain = |char: char| if char.is_alphanumeric() || matches!(char, '-' | '_' | '.') { char } else { '-' };
    let name: String = title.chars().map(plain).take(64).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { short(id).to_owned() } else { name.to_owned() }
}

/// Tells a person how much there is.
struct Progress {
    shown: bool,
    bytes: usize,
    told: Option<Instant>,
    begun: Instant,
}

impl Progress {
    fn new(shown: bool) -> Self {
        Self { shown, bytes: 0, told: None, begun: Instant::now() }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        let due = self.told.unwrap_or(self.begun).elapsed() >= TELL_EVERY;
        if self.shown && due {
            self.told = Some(Instant::now());
            // Nobody is left to be told when stderr is gone.
            let _ = write!(io::stderr().lock(), "\r{:.1} MiB", self.bytes as f64 / f64::from(1 << 20));
        }
    }

    fn end(&self) {
        if self.told.is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let directory = std::env::temp_dir().join(format!("baton-export-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.cast");
        let mut half = Partial::create(&path).unwrap();
        half.write(b"half").unwrap();
        drop(half);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        write_file(&path, b"whole").unwrap();
        write_file(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(write_file(&directory.join("no/such"), b"").is_err());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn names_of_files_have_nothing_that_means_something() {
        assert_eq!(file_name("work", "ses_x"), "work");
        assert_eq!(file_name("../a b", "ses_x"), "a-b");
        assert_eq!(file_name("", "ses_0192aaaa00007000800000000000abcd"), "0000abcd");
    }
}
