//! What an agent's new session is granted, and what of it the agent does not have yet.
//!
//! An agent has what its living sessions have: each of them a person made for it, or approved, or it has no more than those before
//! it. What goes beyond that is `agent.permission`, and a person is asked unless a rule allows it. A folder below one that it
//! has is another one: it may have become a link meanwhile.

use std::collections::BTreeSet;
use std::path::Path;

use baton_proto::api::CreateTerminal;
use baton_proto::ids::ClientId;
use baton_proto::spec::Grant;
use baton_proto::v1::Class;

use crate::access::Principal;
use crate::app::App;
use crate::policy::Action;
use crate::routes::confine;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Folder { path: String, write: bool, create: bool, delete: bool },
    Network(String),
}

impl Right {
    /// Whether somebody who has `self` has `other`.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Folder { path, write, create, delete },
                Self::Folder { path: wanted, write: writes, create: creates, delete: deletes },
            ) => path == wanted && write >= writes && create >= creates && delete >= deletes,
            _ => self == other,
        }
    }

    fn action(&self) -> Action {
        match self {
            Self::Folder { path, write, create, delete } => {
                let tool = if *write || *create || *delete { "folder.change" } else { "folder.read" };
                Action::AgentPermission { tool: tool.to_owned(), path: Some(path.clone()), host: None }
            }
            Self::Network(host) => {
                Action::AgentPermission { tool: "network".to_owned(), path: None, host: Some(host.clone()) }
            }
        }
    }
}

fn of_grants<'a>(grants: &'a [Grant], hosts: &'a [String]) -> impl Iterator<Item = Right> + 'a {
    let folders = grants.iter().flat_map(|grant| {
        let Grant { root, write, create, delete, output_roots } = grant;
        let root = Right::Folder { path: root.clone(), write: *write, create: *create, delete: *delete };
        let whole = |path: &String| Right::Folder { path: path.clone(), write: true, create: true, delete: true };
        std::iter::once(root).chain(output_roots.iter().map(whole))
    });
    folders.chain(hosts.iter().map(|host| Right::Network(host.to_ascii_lowercase())))
}

fn held(app: &App, principal: &Principal) -> BTreeSet<Right> {
    let Some(agent) = principal.agent_id.as_deref() else { return BTreeSet::new() };
    let its_own = app.catalog.all().into_iter().filter(|session| {
        let made_by = session.entry().spec.creator.clone();
        let made = made_by.as_ref().and_then(ClientId::agent_id) == Some(agent);
        let given = app.catalog.row(session.id).is_some_and(|row| row.owner_agent_id.as_deref() == Some(agent));
        !session.has_ended() && (made || given)
    });
    its_own
        .flat_map(|session| {
            of_grants(&session.entry().spec.grants, &session.entry().spec.allow_hosts).collect::<Vec<_>>()
        })
        .collect()
}

/// What a request asks for.
#[derive(Debug, Default)]
pub struct Rights {
    /// All of it.
    pub asked: Vec<Action>,
    /// What the agent does not have.
    pub lacking: Vec<Action>,
}

/// What `request` asks for beyond a place of its own. Of a person nothing is looked at, and of a session that is not confined neither: that is
/// judged as a whole.
#[must_use]
pub fn of(app: &App, principal: &Principal, request: &CreateTerminal, home: &Path) -> Rights {
    let profile = confine::profile(request, principal);
    if principal.class() != Class::Agent || !baton_sandbox::profile::is_confined(profile) {
        return Rights::default();
    }
    let grants = confine::grants(request, Some(home));
    let asked: BTreeSet<Right> = of_grants(&grants, &request.allow_hosts).collect();
    if asked.is_empty() {
        return Rights::default();
    }
    let held = held(app, principal);
    let lacking = asked.iter().filter(|right| !held.iter().any(|has| has.covers(right))).map(Right::action);
    Rights { lacking: lacking.collect(), asked: asked.iter().map(Right::action).collect() }
}

/// A folder by the path that it really has: a rule that allows what is below another must not be led out of there by a link. Looks
/// at the disk.
#[must_use]
pub fn where_it_leads(right: Action) -> Action {
    match right {
        Action::AgentPermission { tool, path: Some(path), host } => {
            let real = std::fs::canonicalize(&path).ok().and_then(|real| real.into_os_string().into_string().ok());
            Action::AgentPermission { tool, path: Some(real.unwrap_or(path)), host }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_covered_by_the_same_folder_with_no_less() {
        let folder = |path: &str, write: bool, delete: bool| Right::Folder {
            path: path.to_owned(),
            write,
            create: write,
            delete,
        };
        let host = |name: &str| Right::Network(name.to_owned());
        let table = [
            (folder("/p", true, true), folder("/p", true, false), true),
            (folder("/p", true, true), folder("/p", false, false), true),
            (folder("/p", true, false), folder("/p", true, true), false),
            (folder("/p", false, false), folder("/p", true, false), false),
            (folder("/p", true, true), folder("/p/below", false, false), false),
            (folder("/p/below", true, true), folder("/p", false, false), false),
            (host("a.example"), host("a.example"), true),
            (host("*.example"), host("a.example"), false),
            (folder("/p", true, true), host("/p"), false),
        ];
        for (has, wants, covered) in table {
            assert_eq!(has.covers(&wants), covered, "{has:?} {wants:?}");
        }
    }

    #[test]
    fn every_root_and_every_host_is_a_right() {
        let grant = Grant {
            write: false,
            create: false,
            delete: false,
            output_roots: vec!["/p/out".to_owned()],
            ..Grant::whole("/p".to_owned())
        };
        let rights: Vec<_> = of_grants(&[grant], &["API.example".to_owned()]).map(|right| right.action()).collect();
        let of = |tool: &str, path: Option<&str>, host: Option<&str>| Action::AgentPermission {
            tool: tool.to_owned(),
            path: path.map(str::to_owned),
            host: host.map(str::to_owned),
        };
        let expected = [
            of("folder.read", Some("/p"), None),
            of("folder.change", Some("/p/out"), None),
            of("network", None, Some("api.example")),
        ];
        assert_eq!(rights, expected);
    }
}
