//! What a sandbox refused a program: told by a worker, shown to people.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Reading it.
    Read,
    /// Changing what is in it.
    Write,
    /// Making it.
    Create,
    /// Removing it.
    Delete,
    /// Connecting to it: a host and a port.
    Reach,
}

impl Act {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Create, Self::Delete, Self::Reach];

    /// As in "refused writing".
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Create => "making",
            Self::Delete => "removing",
            Self::Reach => "reaching",
        }
    }
}

/// What programs say that were refused something, in lower case: strerror(3), and the numbers' names, which are all that some say.
const SAID: [&str; 6] =
    ["permission denied", "eacces", "read-only file system", "erofs", "no such file or directory", "enoent"];

/// Whether a program's output speaks of something that a sandbox may have refused.
#[must_use]
pub fn complains(output: &str) -> bool {
    let lower = output.to_lowercase();
    SAID.iter().any(|said| lower.contains(said))
}

/// From a worker: the sandbox refused the session's program something.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Denied {
    /// What was tried.
    pub act: Act,
    /// With what, a path or `HOST:PORT`; at most [`Denied::PATH_CHARS_MAX`] characters.
    pub path: String,
    /// Why it is refused and what to do; at most [`Denied::WHY_CHARS_MAX`] characters.
    pub why: String,
}

impl Denied {
    /// Most characters of a path.
    pub const PATH_CHARS_MAX: usize = 1024;
    /// Most characters of a reason.
    pub const WHY_CHARS_MAX: usize = 1536;

    /// The same with nothing in it that a terminal would take for more than text, and within its bounds.
    #[must_use]
    pub fn clean(self) -> Self {
        let clean = |text: String, max| text.chars().filter(|char| !char.is_control()).take(max).collect();
        Self { act: self.act, path: clean(self.path, Self::PATH_CHARS_MAX), why: clean(self.why, Self::WHY_CHARS_MAX) }
    }

    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        // A host the proxy refused; of a path it is known from the program's own words that it was tried.
        let refused = if self.act == Act::Reach { "refused" } else { "refuses" };
        format!("the sandbox {refused} {} `{}`: {}", self.act.doing(), self.path, self.why)
    }
}
