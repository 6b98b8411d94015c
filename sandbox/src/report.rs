//! What was achieved, as the process itself told it on its way to the program: never what was meant to be.

use baton_proto::spec::{Layer, LayerStatus};
use nix::errno::Errno;

/// The layers, in the order in which they are put on. Numbers are those of the child's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A view of the file system of its own.
    Mounts = 1,
    /// A network of its own.
    Network = 2,
    /// No new privileges, no capabilities but over its own files, no core dumps.
    Privileges = 3,
    /// Landlock.
    Landlock = 4,
    /// System calls.
    Seccomp = 5,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mounts, Self::Network, Self::Privileges, Self::Landlock, Self::Seccomp];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Network => "network",
            Self::Privileges => "privileges",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One line of the child's report: a layer's state, the error that kept it from more, and at which step of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Which layer.
    pub kind: Kind,
    /// How far it is enforced.
    pub status: LayerStatus,
    /// What the kernel said, 0 = nothing.
    pub errno: u16,
    /// Which step of its list that was about; [`Fact::NOWHERE`] = none.
    pub at: u16,
}

impl Fact {
    /// Bytes of a fact.
    pub const BYTES: usize = 8;
    /// No step of a list.
    pub const NOWHERE: u16 = u16::MAX;
    /// What a fact begins with; a failed step begins with its number, far below.
    const MARK: u8 = 0xFA;

    /// As bytes; allocates nothing.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let status = match self.status {
            LayerStatus::Enforced => 0,
            LayerStatus::Partial => 1,
            LayerStatus::Absent => 2,
        };
        let [e0, e1] = self.errno.to_le_bytes();
        let [a0, a1] = self.at.to_le_bytes();
        [self.kind as u8, status, 0, Self::MARK, e0, e1, a0, a1]
    }

    /// Reads one; `None` when the bytes are something else.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [kind, status, 0, Self::MARK, e0, e1, a0, a1] = bytes else { return None };
        let status = match status {
            0 => LayerStatus::Enforced,
            1 => LayerStatus::Partial,
            2 => LayerStatus::Absent,
            _ => return None,
        };
        let (errno, at) = (u16::from_le_bytes([e0, e1]), u16::from_le_bytes([a0, a1]));
        Some(Self { kind: Kind::from_number(kind)?, status, errno, at })
    }
}

/// What the parent knows beside the facts.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Version of the Landlock interface.
    pub landlock: u32,
    /// What each step of the list of mounts is about.
    pub places: Vec<String>,
    /// What the other layers leave open, for a person.
    pub unguarded: Option<String>,
    /// Which grants are elsewhere than they were named, and what is not shown, for a person: nothing is open for that.
    pub remarks: Option<String>,
}

/// Proof that a program was confined when it was started, and how far. Only a start that got as far as the program
/// makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confined {
    layers: Vec<Layer>,
}

impl Confined {
    /// What was achieved, a layer each.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.layers.iter().all(|layer| layer.status == LayerStatus::Enforced)
    }

    /// From what the child said before its report ended in exec. A layer it said nothing of is not there.
    pub(crate) fn from_facts(facts: &[Fact], context: &Context) -> Self {
        let layers = Kind::ALL.into_iter().map(|kind| {
            // The last word counts: a layer that was in place and then lacked something says so later.
            let worst = facts.iter().filter(|fact| fact.kind == kind).max_by_key(|fact| rank(fact.status));
            layer(kind, worst, context)
        });
        Self { layers: layers.collect() }
    }
}

const fn rank(status: LayerStatus) -> u8 {
    match status {
        LayerStatus::Enforced => 0,
        LayerStatus::Partial => 1,
        LayerStatus::Absent => 2,
    }
}

fn layer(kind: Kind, fact: Option<&Fact>, context: &Context) -> Layer {
    let mut status = fact.map_or(LayerStatus::Absent, |fact| fact.status);
    let why = fact.and_then(|fact| reason(fact, context));
    let detail = match (kind, status) {
        (Kind::Seccomp, LayerStatus::Absent) => {
            Some(why.unwrap_or_else(|| "dangerous system calls are stopped by the other layers only".to_owned()))
        }
        (Kind::Mounts, LayerStatus::Absent) => Some(format!(
            "no view of its own (a user namespace is refused{}): sockets of other programs can be reached, and files \
             outside of grants be chmodded",
            why.map(|why| format!(": {why}")).unwrap_or_default()
        )),
        (Kind::Network, LayerStatus::Absent | LayerStatus::Partial) => Some(
            if status == LayerStatus::Partial {
                "no network of its own: TCP is stopped by Landlock, UDP and other protocols are not"
            } else {
                "no network of its own: it reaches what you reach"
            }
            .to_owned(),
        ),
        (Kind::Landlock, _) => crate::landlock::missing(context.landlock).map(str::to_owned).or(why),
        _ => why,
    };
    let mut detail = detail;
    if kind == Kind::Mounts
        && status == LayerStatus::Enforced
        && let Some(unguarded) = &context.unguarded
    {
        status = LayerStatus::Partial;
        detail = Some(unguarded.clone());
    }
    if kind == Kind::Mounts
        && let Some(remarks) = &context.remarks
    {
        detail = Some(detail.map_or_else(|| remarks.clone(), |detail| format!("{detail}; {remarks}")));
    }
    if kind == Kind::Landlock && status == LayerStatus::Enforced && detail.is_some() {
        status = LayerStatus::Partial;
    }
    let abi = (kind == Kind::Landlock && context.landlock > 0).then_some(context.landlock);
    Layer { name: kind.name().to_owned(), status, abi, detail }
}

fn reason(fact: &Fact, context: &Context) -> Option<String> {
    let errno = (fact.errno != 0).then(|| Errno::from_raw(i32::from(fact.errno)).desc());
    let place = context.places.get(usize::from(fact.at));
    match (place, errno) {
        (Some(place), Some(errno)) => Some(format!("`{place}`: {errno}")),
        (None, Some(errno)) => Some(errno.to_owned()),
        (Some(place), None) => Some(format!("`{place}`")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(kind: Kind, status: LayerStatus, errno: u16, at: u16) -> Fact {
        Fact { kind, status, errno, at }
    }

    #[test]
    fn facts_survive_and_anything_else_is_none() {
        for kind in Kind::ALL {
            for status in [LayerStatus::Enforced, LayerStatus::Partial, LayerStatus::Absent] {
                let fact = fact(kind, status, 13, 7);
                assert_eq!(Fact::from_bytes(fact.to_bytes()), Some(fact));
            }
        }
        // A failed step, as the child reports it, is no fact.
        assert_eq!(Fact::from_bytes([10, 0, 0, 0, 13, 0, 0, 0]), None);
        assert_eq!(Fact::from_bytes([9, 0, 0, Fact::MARK, 0, 0, 0, 0]), None);
    }

    #[test]
    fn what_was_not_said_is_absent_and_the_worst_word_counts() {
        let context = Context { landlock: 7, places: vec!["/dev/pts".to_owned()], unguarded: None, remarks: None };
        let facts = [
            fact(Kind::Mounts, LayerStatus::Enforced, 0, Fact::NOWHERE),
            fact(Kind::Mounts, LayerStatus::Partial, 1, 0),
            fact(Kind::Landlock, LayerStatus::Enforced, 0, Fact::NOWHERE),
        ];
        let confined = Confined::from_facts(&facts, &context);
        let of = |kind: Kind| confined.layers().iter().find(|layer| layer.name == kind.name()).unwrap();
        assert_eq!(of(Kind::Mounts).status, LayerStatus::Partial);
        assert!(of(Kind::Mounts).detail.as_ref().unwrap().contains("/dev/pts"));
        assert_eq!((of(Kind::Landlock).status, of(Kind::Landlock).abi), (LayerStatus::Enforced, Some(7)));
        assert_eq!(of(Kind::Network).status, LayerStatus::Absent);
        assert!(!confined.is_whole());
    }

    #[test]
    fn an_old_interface_is_never_the_whole_of_it() {
        let facts = [fact(Kind::Landlock, LayerStatus::Enforced, 0, Fact::NOWHERE)];
        let layers = Confined::from_facts(&facts, &Context { landlock: 3, ..Context::default() }).layers;
        let landlock = layers.iter().find(|layer| layer.name == "landlock").unwrap();
        assert_eq!((landlock.status, landlock.abi), (LayerStatus::Partial, Some(3)));
    }
}
