//! [`Fleet`]: several nodes in the test's process, each with connections of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tower_memolock::{MemoLock, RedisStore};

use super::{eventually, within};

/// How long a computation takes.
const WORK: Duration = Duration::from_millis(50);

/// Nodes that compute the same things, and how often they did.
#[derive(Clone)]
pub(crate) struct Fleet {
    nodes: Vec<MemoLock>,
    computed: Arc<Mutex<HashMap<String, usize>>>,
    stopped: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
}

impl Fleet {
    pub(crate) fn new(stores: impl IntoIterator<Item = RedisStore>) -> Self {
        let node = |store| MemoLock::new(store, "fleet").lease(Duration::from_secs(2));
        Self {
            nodes: stores.into_iter().map(node).collect(),
            computed: Arc::default(),
            stopped: Arc::default(),
            rounds: Arc::default(),
        }
    }

    /// How often `id` was computed.
    pub(crate) fn computed(&self, id: &str) -> usize {
        let computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
        computed.get(id).copied().unwrap_or_default()
    }

    /// Asks all nodes for `id` at the same time, each several times, and checks that all answer.
    pub(crate) async fn ask(&self, id: &str) {
        let asked = self.nodes.iter().cycle().take(self.nodes.len() * 3);
        let asked = asked.map(|node| {
            let (fleet, id) = (self.clone(), id.to_owned());
            node.get_or_compute(id.clone(), move || fleet.compute(id))
        });
        for answer in within("an answer from each node", join_all(asked)).await {
            assert_eq!(answer.expect("an answer"), id);
        }
    }

    async fn compute(self, id: String) -> Result<Bytes, Infallible> {
        {
            let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
            *computed.entry(id.clone()).or_default() += 1;
        }
        tokio::time::sleep(WORK).await;
        Ok(id.into())
    }

    /// Asks for one thing after the other, until it is stopped. Ends with the number of things. With a blank in their name,
    /// the ids are like those that the middleware derives.
    fn load(&self, name: &'static str) -> JoinHandle<usize> {
        let fleet = self.clone();
        tokio::spawn(async move {
            for n in 0.. {
                if fleet.stopped.load(Ordering::Relaxed) {
                    return n;
                }
                fleet.ask(&format!("{{{name}{n}}}")).await;
            }
            0
        })
    }

    /// Has trouble come over the servers under load, waits until it is over for them, and checks that the nodes then share.
    pub(crate) async fn under_load<T>(
        self,
        servers: &mut T,
        trouble: impl FnOnce(&mut T),
        is_over: impl Fn(&T) -> bool,
    ) {
        self.share_again().await;
        let load = ["one ", "two-", "three "].map(|name| self.load(name));
        trouble(servers);
        eventually("another master", || is_over(servers)).await;
        self.share_again().await;
        self.stopped.store(true, Ordering::Relaxed);
        for load in load {
            within("the end of the load", load).await.expect("all answered");
        }
    }

    /// Waits until the nodes share again: a whole series of computations, on whichever shards.
    pub(crate) async fn share_again(&self) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            // What was asked for before is stored by now, perhaps.
            let round = self.rounds.fetch_add(1, Ordering::Relaxed);
            let ids: Vec<_> = (0..24).map(|n| format!("{{again {round} {n}}}")).collect();
            for ids in ids.chunks(6) {
                join_all(ids.iter().map(|id| self.ask(id))).await;
            }
            if ids.iter().all(|id| self.computed(id) == 1) {
                return;
            }
            assert!(Instant::now() < deadline, "the nodes do not share again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
