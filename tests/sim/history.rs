//! [`History`]: what the checks have to know of what happened.

use std::collections::BTreeMap;

use crate::plan::{End, Subject, Via};
use crate::server::Sender;

#[derive(Default)]
pub(crate) struct History {
    pub(crate) computations: Vec<Computation>,
    invalidations: Vec<Invalidation>,
    /// Invalidations that the store carried out.
    carried_out: Vec<CarriedOut>,
    /// Those that ended in an error.
    not_carried_out: Vec<(u64, usize)>,
    /// When something went wrong, in milliseconds.
    troubles: Vec<u64>,
    /// When the store lost all it had, in milliseconds.
    pub(crate) losses: Vec<u64>,
    /// What nodes invalidated, whether the store has heard of it or not, and when each call began.
    own: Vec<(Gone, usize, u64, u64)>,
    pub(crate) answers: BTreeMap<&'static str, u64>,
    /// Notices that were sent to nodes.
    pub(crate) messages: u64,
}

/// One call of what is memoized.
#[derive(Debug, Clone)]
pub(crate) struct Computation {
    pub(crate) subject: Subject,
    /// Which life of which node.
    pub(crate) node: usize,
    pub(crate) life: u64,
    /// Its place in the order of moments.
    pub(crate) begun: u64,
    pub(crate) begun_at: u64,
    pub(crate) ended_at: Option<u64>,
    pub(crate) end: End,
    /// Whether it was to be, whatever is stored.
    pub(crate) anew: bool,
    /// Whether the store had granted the lock, as far as the node knew.
    pub(crate) leased: bool,
}

/// What is to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    One(Subject),
    Tagged,
    All(Via),
}

struct CarriedOut {
    moment: u64,
    at: u64,
    node: usize,
    database: usize,
    address: String,
}

struct Invalidation {
    gone: Gone,
    /// What is from before it may still answer.
    soft: bool,
    node: usize,
    life: u64,
    /// When the store carried it out, or before that.
    carried_out: u64,
}

/// The earliest computations that a request may be answered with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Floor {
    pub(crate) anywhere: u64,
    /// By its own node.
    pub(crate) here: u64,
}

impl Gone {
    fn is(self, subject: Subject) -> bool {
        match self {
            Self::One(one) => one == subject,
            Self::Tagged => subject.via == Via::Tagged,
            Self::All(via) => subject.via == via,
        }
    }
}

impl History {
    pub(crate) fn trouble(&mut self, now: u64) {
        self.troubles.push(now);
    }

    /// How often something went wrong in that time.
    pub(crate) fn troubles(&self, from: u64, to: u64) -> u64 {
        self.troubles.iter().filter(|at| (from..=to).contains(at)).count() as u64
    }

    pub(crate) fn begin(&mut self, computation: Computation) -> usize {
        self.computations.push(computation);
        self.computations.len() - 1
    }

    pub(crate) fn invalidated(&mut self, from: &Sender) {
        self.carried_out.push(CarriedOut {
            moment: from.sim.moment(),
            at: from.sim.now(),
            node: from.node,
            database: from.database,
            address: from.address.clone(),
        });
    }

    pub(crate) fn not_invalidated(&mut self, moment: u64, node: usize) {
        self.not_carried_out.push((moment, node));
    }

    /// An invalidation that began at that moment has returned, and says that it is done. Returns when the store carried it out,
    /// or a moment before that.
    pub(crate) fn acknowledged(
        &mut self,
        (gone, soft): (Gone, bool),
        (node, life): (usize, u64),
        begun: u64,
    ) -> Option<u64> {
        let failed = self.not_carried_out.iter();
        if failed.clone().any(|(at, whose)| *at >= begun && *whose == node) {
            return None;
        }
        let (database, name) = match gone {
            Gone::Tagged => (0, "item".to_owned()),
            Gone::One(subject) => (database(subject.via), address_of(subject)),
            Gone::All(via) => (database(via), tag(via).to_owned()),
        };
        let carried_out = self.carried_out.iter();
        let is_named = |address: &str| match gone {
            Gone::One(_) => address.starts_with(&name),
            Gone::Tagged | Gone::All(_) => address == name,
        };
        let of_it = |one: &&CarriedOut| {
            one.moment >= begun && one.node == node && one.database == database && is_named(&one.address)
        };
        let carried_out = carried_out.filter(of_it).map(|one| one.moment).min()?;
        self.invalidations.push(Invalidation {
            gone,
            soft,
            node,
            life,
            carried_out,
        });
        Some(carried_out)
    }

    pub(crate) fn floor(&self, subject: Subject, node: usize, life: u64) -> Floor {
        let hard = || self.invalidations.iter().filter(|one| !one.soft);
        let of_it = || hard().filter(|one| one.gone.is(subject));
        let latest = |those: &mut dyn Iterator<Item = &Invalidation>| those.map(|one| one.carried_out).max();
        let mut here = of_it().filter(|one| one.node == node && one.life == life && matches!(one.gone, Gone::One(_)));
        Floor {
            anywhere: latest(&mut of_it()).unwrap_or(0),
            here: latest(&mut here).unwrap_or(0),
        }
    }

    /// A call that began at that moment has returned, and its node serves nothing from before it.
    pub(crate) fn returned(&mut self, gone: Gone, (node, life): (usize, u64), begun: u64) {
        self.own.push((gone, node, life, begun));
    }

    /// The earliest computations of which a node may have a near copy: at all, by what it has invalidated itself, and such as
    /// is not stale.
    pub(crate) fn near_floor(&self, subject: Subject, node: usize, life: u64) -> [u64; 3] {
        let own = self
            .own
            .iter()
            .filter(|own| own.0.is(subject) && own.1 == node && own.2 == life);
        let soft = self.invalidations.iter().filter(|one| one.soft && one.gone.is(subject));
        [
            self.floor(subject, node, life).anywhere,
            own.map(|own| own.3).max().unwrap_or(0),
            soft.map(|one| one.carried_out).max().unwrap_or(0),
        ]
    }

    /// When the store has carried out invalidations of that subject since then, acknowledged or not, as moments.
    pub(crate) fn carried_out_since(&self, subject: Subject, then: u64) -> impl Iterator<Item = u64> {
        let (database, name, tag) = (database(subject.via), address_of(subject), tag(subject.via));
        let of_it = move |one: &&CarriedOut| {
            one.at >= then && one.database == database && (one.address.starts_with(&name) || one.address == tag)
        };
        self.carried_out.iter().filter(of_it).map(|one| one.moment)
    }
}

pub(crate) fn database(via: Via) -> usize {
    usize::from(via == Via::Elsewhere)
}

pub(crate) fn tag(via: Via) -> &'static str {
    match via {
        Via::Core | Via::Elsewhere => "like",
        Via::Tagged => "item",
        Via::Made => "made",
        Via::Layer => "page",
    }
}

/// How the address begins under which a subject is stored.
pub(crate) fn address_of(subject: Subject) -> String {
    let tag = tag(subject.via);
    match subject.via {
        Via::Layer => format!("{tag}:{{GET //host/k{}", subject.key),
        Via::Core | Via::Elsewhere | Via::Tagged | Via::Made => format!("{tag}:k{}", subject.key),
    }
}
