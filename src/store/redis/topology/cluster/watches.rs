//! [`Watches`]: all watches, and on which node each is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::node::Node;
use super::topology::Topology;
use crate::key::Address;
use crate::store::notice::Notice;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::pubsub::mailbox::Mailbox;
use crate::store::redis::pubsub::registry::WatcherId;

/// All watches, each on the master of its slot.
#[derive(Default)]
pub(crate) struct Watches {
    state: Mutex<WatchState>,
}

#[derive(Default)]
struct WatchState {
    topology: Arc<Topology>,
    watching: Slab<Watching>,
}

struct Watching {
    address: Address,
    slot: u16,
    mailbox: Arc<Mailbox>,
    at: Option<(Arc<Node>, WatcherId)>,
}

impl Watching {
    /// Goes to where the slot is now.
    fn settle(&mut self, topology: &Topology) {
        let home = topology.home(self.slot);
        if let (Some((node, _)), Some(home)) = (&self.at, home)
            && Arc::ptr_eq(node, home)
        {
            return;
        }
        if self.leave() {
            // Notices that were published meanwhile are lost, and more will be if there is no new home.
            self.mailbox.push(Notice::Reread);
        }
        self.at = home.map(|home| {
            let keys = Keyspace::new(&self.address, 0);
            let id = home.subscriber.attach(keys, Arc::clone(&self.mailbox));
            (Arc::clone(home), id)
        });
    }

    fn leave(&mut self) -> bool {
        let left = self.at.take();
        if let Some((node, id)) = &left {
            node.subscriber.detach(*id);
        }
        left.is_some()
    }
}

impl Watches {
    /// Starts to watch.
    pub(crate) fn add(self: &Arc<Self>, address: &Address, slot: u16, mailbox: &Arc<Mailbox>) -> ClusterSeat {
        let mut state = self.state();
        let mut watching = Watching {
            address: address.clone(),
            slot,
            mailbox: Arc::clone(mailbox),
            at: None,
        };
        watching.settle(&state.topology);
        ClusterSeat {
            watches: Arc::clone(self),
            id: state.watching.insert(watching),
        }
    }

    /// Moves all watchers to where their slots are in `topology`.
    pub(crate) fn settle(&self, topology: &Arc<Topology>) {
        let mut state = self.state();
        state.topology = Arc::clone(topology);
        for (_, watching) in &mut state.watching {
            watching.settle(topology);
        }
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watch. Dropping it ends the watch.
pub(crate) struct ClusterSeat {
    watches: Arc<Watches>,
    id: usize,
}

impl Drop for ClusterSeat {
    fn drop(&mut self) {
        let left = self.watches.state().watching.try_remove(self.id);
        if let Some(mut watching) = left {
            watching.leave();
        }
    }
}
