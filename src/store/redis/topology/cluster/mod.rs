//! A Redis Cluster: which node has what, and the way there.
//!
//! Every master has both planes, the same as a single server: a connection for commands that is its own circuit
//! breaker, and one for subscriptions. So a master that is down is out of use for the keys it has, at once, and no
//! other key notices. A task of its own keeps the map of the slots, and moves the watchers of a key along with it.
//!
//! Why not redis-rs' own `ClusterConnection` (read at 1.8.1): while it refreshes its map, no command goes to any node,
//! and one node that does not answer holds the refresh up; where the owner of a slot is not connected it asks a node at
//! random; after an `ASK` it puts one `ASKING` in front of a pipeline, which holds for the first command only; and it
//! takes an unsolicited `sunsubscribe` for the answer to a command.

mod node;
mod redirect;
mod refresh;
mod router;
mod topology;
mod view;
mod watches;

pub(crate) use self::router::Cluster;
pub(crate) use self::watches::ClusterSeat;
