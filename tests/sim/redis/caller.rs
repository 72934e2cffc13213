//! [`Caller`]: the sender of a command.

use std::sync::Arc;

use crate::server::Sender;
use crate::sim::Sim;

pub(crate) struct Caller {
    pub(crate) sim: Arc<Sim>,
    pub(crate) node: usize,
    pub(super) wire: u64,
    pub(super) database: usize,
}

impl Caller {
    /// The server carries out an invalidation of what is under this key.
    pub(super) fn invalidated(&self, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        let address = match key.split_once("/gen:") {
            Some((tag, _)) => tag.to_owned(),
            None => key.into_owned(),
        };
        self.sim.history().invalidated(&Sender {
            sim: Arc::clone(&self.sim),
            database: self.database,
            node: self.node,
            address,
        });
    }
}
