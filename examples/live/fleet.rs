//! The three nodes: started, killed, and started again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::JoinSet;
use tower_memolock::MemoryStore;

use super::board::Board;
use super::{process, thread};

/// How many nodes there are.
pub(crate) const NODES: usize = 3;

/// How long a node is gone.
const AWAY: Duration = Duration::from_secs(2);

/// What the nodes are, and what they share.
#[derive(Clone)]
pub(crate) enum Kind {
    /// Threads, and a store in this process.
    Threads(MemoryStore),
    /// Processes, and the Redis with this URL.
    Processes(String),
}

/// Resolves when the node is to be killed.
#[derive(Clone, Default)]
pub(crate) struct Killed(Arc<Notify>);

impl Killed {
    /// From the call on, not from the first poll.
    pub(crate) fn wait(&self) -> Notified<'_> {
        self.0.notified()
    }
}

/// All nodes; dropping them ends them.
pub(crate) struct Fleet {
    kill: [Killed; NODES],
    _nodes: JoinSet<()>,
}

impl Fleet {
    pub(crate) fn start(kind: &Kind, board: &Arc<Board>) -> Self {
        let kill: [Killed; NODES] = Default::default();
        let mut nodes = JoinSet::new();
        for (number, killed) in (1..).zip(kill.clone()) {
            nodes.spawn(keep_up(number, kind.clone(), Arc::clone(board), killed));
        }
        Self { kill, _nodes: nodes }
    }

    /// Kills a node that is up.
    pub(crate) fn kill(&self, number: usize) {
        self.kill[number - 1].0.notify_waiters();
    }
}

async fn keep_up(number: usize, kind: Kind, board: Arc<Board>, killed: Killed) {
    loop {
        let result = match &kind {
            Kind::Threads(store) => thread::run(number, store.clone(), &board, &killed).await,
            Kind::Processes(redis) => process::run(number, redis, &board, &killed).await,
        };
        if let Err(error) = &result {
            support::eprintln!("node {number}: {}", support::causes(&**error));
        }
        board.is_down(number);
        tokio::time::sleep(AWAY).await;
    }
}
