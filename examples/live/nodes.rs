//! [`Nodes`]: which nodes are up, and where.

use std::net::SocketAddr;

use super::fleet::NODES;

/// A node.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Where it listens, while it is up.
    pub(crate) address: Option<SocketAddr>,
    /// Its process, or that of the last one, if it is one.
    pub(crate) pid: Option<u32>,
    was_up: bool,
}

/// All nodes, which have the numbers from 1 on.
#[derive(Debug, Default)]
pub(crate) struct Nodes([Node; NODES]);

impl Nodes {
    /// With their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Node)> {
        (1..).zip(&self.0)
    }

    pub(crate) fn get(&self, number: usize) -> &Node {
        &self.0[number - 1]
    }

    /// One is up. Says whether it was before.
    pub(crate) fn up(&mut self, number: usize, address: SocketAddr, pid: Option<u32>) -> bool {
        let node = Node {
            address: Some(address),
            pid,
            was_up: true,
        };
        std::mem::replace(&mut self.0[number - 1], node).was_up
    }

    pub(crate) fn down(&mut self, number: usize) {
        self.0[number - 1].address = None;
    }

    /// One of those that are up, other than that one: each in its turn.
    pub(crate) fn turn(&self, turn: usize, other_than: Option<usize>) -> Option<(usize, SocketAddr)> {
        let others = self.iter().filter(|(number, _)| Some(*number) != other_than);
        let up: Vec<_> = others
            .filter_map(|(number, node)| Some((number, node.address?)))
            .collect();
        up.get(turn % up.len().max(1)).copied()
    }
}
