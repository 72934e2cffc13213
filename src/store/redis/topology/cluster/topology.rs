//! [`Topology`]: which of the nodes has which slot.

use std::sync::Arc;
use std::time::Duration;

use super::node::Node;
use super::view::View;
use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::protocol::slot::SLOTS;

/// The index of no node.
const NO_NODE: u16 = u16::MAX;

/// How long a node without slots is kept: the target of a migration has none until the first has moved.
const PATIENCE: Duration = Duration::from_secs(60);

/// A map of all slots.
#[derive(Clone)]
pub(crate) struct Topology {
    nodes: Vec<Arc<Node>>,
    /// Indexes of nodes.
    slots: Box<[u16]>,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            slots: vec![NO_NODE; usize::from(SLOTS)].into(),
        }
    }
}

impl Topology {
    /// The master of a slot.
    pub(crate) fn home(&self, slot: u16) -> Option<&Arc<Node>> {
        self.nodes.get(usize::from(*self.slots.get(usize::from(slot))?))
    }

    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub(crate) fn node(&self, endpoint: &Endpoint) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.endpoint == *endpoint)
    }

    /// Adds a node that has no slot yet.
    pub(crate) fn add(&mut self, node: Arc<Node>) {
        self.nodes.push(node);
    }

    /// Gives a slot to a node of this topology.
    pub(crate) fn give(&mut self, slot: u16, endpoint: &Endpoint) {
        let at = self.nodes.iter().position(|node| node.endpoint == *endpoint);
        let at = at.and_then(|at| u16::try_from(at).ok());
        if let (Some(at), Some(slot)) = (at, self.slots.get_mut(usize::from(slot))) {
            *slot = at;
        }
    }

    /// The next topology, according to a view. Nodes that stay keep their connections; `start` starts the others.
    pub(crate) fn next(&self, view: &View, start: impl Fn(&Endpoint) -> Arc<Node>) -> Self {
        let mut next = Self::default();
        for (first, last, master) in &view.ranges {
            if next.node(master).is_none() {
                next.add(self.node(master).map_or_else(|| start(master), Arc::clone));
            }
            for slot in *first..=*last {
                next.give(slot, master);
            }
        }
        for node in &self.nodes {
            let known = next.node(&node.endpoint).is_some() || view.replicas.contains(&node.endpoint);
            if !known && node.since.elapsed() < PATIENCE {
                next.add(Arc::clone(node));
            }
        }
        next
    }

    /// The nodes of which a slot has another master in `next`, or none.
    pub(crate) fn losers(&self, next: &Self) -> Vec<&Arc<Node>> {
        let has = |slot, node| next.home(slot).is_some_and(|there| Arc::ptr_eq(node, there));
        let mut losers: Vec<&Arc<Node>> = Vec::new();
        for slot in 0..SLOTS {
            if let Some(here) = self.home(slot)
                && !has(slot, here)
                && !losers.iter().any(|known| Arc::ptr_eq(known, here))
            {
                losers.push(here);
            }
        }
        losers
    }

    /// Whether every slot has a master that is connected to, and that lets us subscribe.
    pub(crate) fn is_sound(&self) -> bool {
        if self.slots.contains(&NO_NODE) {
            return false;
        }
        let mut owners = vec![false; self.nodes.len()];
        for at in &self.slots {
            if let Some(is_owner) = owners.get_mut(usize::from(*at)) {
                *is_owner = true;
            }
        }
        let mut nodes = self.nodes.iter().zip(owners);
        nodes.all(|(node, is_owner)| !is_owner || node.commands.is_connected() && !node.subscriber.is_refused())
    }
}
