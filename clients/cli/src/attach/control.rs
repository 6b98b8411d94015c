//! Who has control, as this client sees it. The worker decides; this only remembers what it said.

use baton_proto::v1::ClientKind;
use baton_proto::{ClientId, Epoch};

use crate::report::clean_line;
use crate::table::shorten;
use crate::time;

/// Most characters of a name in a remark: the rest of it has to fit on the line.
const NAME_CHARS: usize = 24;

/// Who may type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Nothing was heard yet.
    Unknown,
    /// This client.
    Ours(Epoch),
    /// Nobody, or somebody whose lease has run out.
    Free,
    /// Another client.
    Theirs {
        /// What to call it.
        name: String,
        /// The epoch it has.
        epoch: Epoch,
    },
}

impl Control {
    /// From what a frame says.
    pub fn new(
        us: &ClientId,
        owner: Option<ClientId>,
        name: Option<&str>,
        kind: Option<ClientKind>,
        epoch: Epoch,
        expired: bool,
    ) -> Self {
        match owner {
            Some(owner) if owner == *us => Self::Ours(epoch),
            None => Self::Free,
            Some(_) if expired => Self::Free,
            Some(owner) => Self::Theirs { name: called(name, kind, &owner), epoch },
        }
    }

    /// Whether this client may type.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// Whether a lease that ends at `expires_at` has ended.
pub fn is_past(expires_at: Option<&str>) -> bool {
    expires_at.and_then(time::parse).is_some_and(|at| at <= time::now())
}

fn called(name: Option<&str>, kind: Option<ClientKind>, id: &ClientId) -> String {
    match (name.filter(|name| !name.is_empty()), kind) {
        (Some(name), _) => shorten(&clean_line(name), NAME_CHARS),
        (None, Some(ClientKind::Web)) => "a browser tab".to_owned(),
        (None, Some(ClientKind::Desktop)) => "the desktop window".to_owned(),
        (None, Some(ClientKind::Cli)) => "another terminal".to_owned(),
        (None, Some(ClientKind::Agent | ClientKind::Mcp)) => "an agent".to_owned(),
        (None, None) => id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_expired_lease_is_as_good_as_none() {
        let us: ClientId = "0192f00d-0000-7000-8000-000000000001".parse().unwrap();
        let other: ClientId = "0192f00d-0000-7000-8000-000000000002".parse().unwrap();
        let see = |owner: Option<&ClientId>, expired| {
            Control::new(&us, owner.cloned(), Some(""), Some(ClientKind::Web), Epoch(3), expired)
        };
        assert_eq!(see(Some(&us), false), Control::Ours(Epoch(3)));
        assert_eq!(see(Some(&us), true), Control::Ours(Epoch(3)), "ours until somebody claims");
        assert_eq!(see(None, false), Control::Free);
        assert_eq!(see(Some(&other), true), Control::Free);
        assert_eq!(see(Some(&other), false), Control::Theirs { name: "a browser tab".to_owned(), epoch: Epoch(3) });
        assert!(
            is_past(Some("2020-01-01T00:00:00.000Z")) && !is_past(Some("2999-01-01T00:00:00.000Z")) && !is_past(None)
        );
    }
}
