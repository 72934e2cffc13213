//! [`Signals`]: what the connections to a server tell each other.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Notify;

/// What the planes tell each other, and the task that looks after several of them.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    /// The connection for commands is in doubt.
    pub(crate) check: Arc<Notify>,
    /// There is trouble that a look at the cluster may explain.
    pub(crate) trouble: Arc<Notify>,
    /// Counts the times that locks may have been forgotten.
    pub(crate) epoch: Arc<AtomicU64>,
    pub(super) cluster: bool,
}

impl Signals {
    /// Those of all nodes of a cluster.
    pub(crate) fn of_cluster() -> Self {
        Self {
            cluster: true,
            ..Self::default()
        }
    }

    /// Those of one node among them: doubt about one is not doubt about all.
    pub(crate) fn of_node(&self) -> Self {
        Self {
            check: Arc::default(),
            ..self.clone()
        }
    }
}
