//! What is promised of near copies: each is looked at again and again, whether a caller asks for it or not.
//!
//! A copy was in Redis no longer ago than the lag (G1). None is from before an invalidation that has returned, on whichever node
//! (G2), nor from before one that its own node has made, whatever became of that (G3).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower_memolock::simulation::{World, within};
use tower_memolock::store::{Store, Value};
use tower_memolock::{Address, Key, RedisStore, Tag};

use crate::checks::computation_in;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::plan::{NearSettings, Via};
use crate::sim::{DATABASES, Sim};

/// How often all copies are looked at, in milliseconds.
const OFTEN: u64 = 5;

/// The near copies of one node.
pub(crate) struct NearCopies {
    lag: Duration,
    stores: [RedisStore; DATABASES],
    /// How often a look has found a copy that would be served.
    seen: AtomicU64,
}

impl NearCopies {
    pub(crate) fn new(settings: NearSettings, stores: [RedisStore; DATABASES]) -> Self {
        Self {
            lag: Duration::from_millis(settings.lag),
            stores,
            seen: AtomicU64::new(0),
        }
    }

    /// Writes down what has become of them.
    pub(crate) fn tally(&self, sim: &Sim) {
        let mut hits = 0;
        for stats in self.stores.iter().map(|store| store.stats().near) {
            hits += stats.hits;
            sim.made_times("near: a copy is late", stats.late);
            sim.made_times("near: a copy or its placeholder is dropped", stats.dropped);
            sim.made_times("near: a copy leaves for others", stats.evicted);
            sim.made_times("near: all are dropped", stats.flushes);
            sim.made_times("near: an invalidation is acknowledged by all", stats.acknowledged);
            sim.made_times("near: an invalidation outwaits a lease", stats.outwaited);
        }
        sim.made_times("near: a copy answers", hits - self.seen.load(Ordering::Relaxed));
    }
}

/// Ends with this.
pub(crate) struct Watching(Option<JoinHandle<()>>);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(watching) = &self.0 {
            watching.abort();
        }
    }
}

/// Looks at all copies of all nodes, again and again.
pub(crate) fn watch(cluster: &Cluster) -> Watching {
    let cluster = cluster.clone();
    Watching(cluster.plan.settings.near.map(|_| {
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(OFTEN)).await;
                look_at_all(&cluster).await;
            }
        })
    }))
}

/// The copies of all nodes.
pub(crate) async fn look_at_all(cluster: &Cluster) {
    if cluster.plan.settings.near.is_none() {
        return;
    }
    let serving = |node: &Arc<Node>| node.near.is_some() && !node.world.stands_still();
    for node in cluster.all().filter(serving) {
        let (world, sim) = (Arc::clone(&node.world) as Arc<dyn World>, &cluster.sim);
        within(world, async { look(sim, &node) }).await;
    }
}

/// What the node of the task that runs would serve.
pub(crate) fn look(sim: &Sim, node: &Node) {
    let Some(near) = &node.near else { return };
    if node.world.has_ended() || near.stores.iter().all(|store| store.stats().near.copies == 0) {
        return;
    }
    let redis = sim.redis();
    let names: Vec<_> = redis.past.iter().flat_map(|past| past.names().cloned()).collect();
    drop(redis);
    for (database, name) in names {
        let Some(address) = address(&name) else { continue };
        if let Some(value) = near.stores[database].peek(&address, Instant::now()) {
            near.seen.fetch_add(1, Ordering::Relaxed);
            is_right(sim, node, near.lag, &(database, name), &value);
        }
    }
}

fn address(name: &str) -> Option<Address> {
    let (tag, id) = name.split_once(':')?;
    Some(Address::new(&Tag::new(tag).ok()?, &Key::new(id).ok()?))
}

fn is_right(sim: &Sim, node: &Node, lag: Duration, name: &(usize, String), value: &Value) {
    // What holds no result says where one is, or that there is none to share.
    let Some((_, number)) = value.bytes().ok().and_then(|bytes| computation_in(&bytes)) else {
        return;
    };
    let (index, is_soft) = (node.index, value.soft_since().is_some());
    let redis = sim.redis();
    let was_there = redis
        .past
        .as_ref()
        .is_some_and(|past| past.had(name, (number, is_soft), lag));
    drop(redis);
    if !was_there {
        return sim.wrong(|| {
            format!(
                "node {index} has a near copy of computation {number}, which Redis had at {} longer ago than the lag",
                name.1
            )
        });
    }
    let history = sim.history();
    let made = history.computations[number].clone();
    let [anywhere, here, fresh] = history.near_floor(made.subject, index, node.life);
    drop(history);
    // Any program that resolves a promise is believed.
    if made.subject.via == Via::Made {
        return;
    }
    let before = match made.begun {
        begun if begun < here => "from before one that it has made itself",
        begun if begun < anywhere => "from before an invalidation that had returned",
        begun if begun < fresh && !is_soft => "that does not say that it was softly invalidated",
        _ => return,
    };
    sim.wrong(|| {
        format!(
            "node {index} has a near copy of computation {number} of {:?} {before}",
            made.subject
        )
    });
}

/// Whether an invalidation that ends now need not have waited for all: by a node without copies, which may not know that there are
/// some, after Redis has lost all that it had.
pub(crate) fn is_out_of_promise(sim: &Sim, node: &Node, near: NearSettings) -> bool {
    let now = sim.now();
    let history = sim.history();
    let mut losses = history.losses.iter();
    node.near.is_none() && losses.any(|at| *at + 2 * near.lag > now)
}
