//! The processes of one Baton, by what they are.

use baton_proto::ids::SessionId;

use crate::process::{self, Process};

/// Who is there right now.
#[derive(Debug, Clone, Default)]
pub struct Family {
    /// The launcher, and the keeper after `baton down`.
    pub launcher: Option<Process>,
    /// Its spare.
    pub spare: Option<Process>,
    /// sessiond.
    pub sessiond: Option<Process>,
    /// The bridge.
    pub bridge: Option<Process>,
    /// Workers.
    pub workers: Vec<Process>,
    /// The ways out of sessions: server, tender and spare, with the directory of their instance.
    pub egress: Vec<(String, Process)>,
}

impl Family {
    /// Looks for them: whatever has this text in its environment.
    #[must_use]
    pub fn find(mark: &str) -> Self {
        let mut family = Self::default();
        let mut launchers = Vec::new();
        for process in process::with_environment(mark) {
            let line = process.command_line();
            let mut words = line.split(' ');
            let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
            match (program.as_str(), words.next()) {
                ("baton-bridge", _) => family.bridge = Some(process),
                ("baton-sessiond", Some("supervisor")) => family.sessiond = Some(process),
                ("baton-sessiond", Some("worker")) => family.workers.push(process),
                ("baton-sessiond", Some("launcher")) => launchers.push(process),
                ("baton-sessiond", Some("egress")) => {
                    family.egress.push((words.next().unwrap_or_default().to_owned(), process));
                }
                _ => {}
            }
        }
        // A spare is the child of the launcher it waits for.
        let (spares, heads): (Vec<Process>, Vec<Process>) = launchers
            .iter()
            .partition(|one| one.parent().is_some_and(|parent| launchers.iter().any(|other| other.pid == parent)));
        family.launcher = heads.first().copied();
        family.spare = spares.first().copied();
        family
    }

    /// The processes that are the way out of a session.
    pub fn ways_out(&self, session: SessionId) -> impl Iterator<Item = Process> {
        let session = session.to_string();
        self.egress.iter().filter(move |(directory, _)| directory.contains(&session)).map(|(_, process)| *process)
    }
}

/// Zombies whose parent is one of these, with their parent.
#[must_use]
pub fn zombies(parents: &[Process]) -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut fields = text.rsplit_once(") ")?.1.split(' ');
            let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
            (state == "Z" && parents.iter().any(|one| one.pid == parent)).then_some((pid, parent))
        })
        .collect()
}
