//! Slots that move, and masters that are replaced, end the copies that relied on them.

mod under_way;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::MemoLock;

use super::fixture::{BEYOND, NearNode};
use crate::support::{RedisCluster, eventually, within};

/// The name of the generations, in the slot of the tag itself.
const GENERATIONS: &str = "t/gen:{t}";

async fn nodes(cluster: &RedisCluster) -> [NearNode; 3] {
    let start = || NearNode::in_cluster(cluster);
    [start().await, start().await, start().await]
}

/// A truth that changes, and nodes that have to know it.
struct Truth {
    nodes: [NearNode; 3],
    id: String,
    now: Arc<AtomicU64>,
    /// No answer to a later question is from before this.
    floor: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Truth {
    async fn over(cluster: &RedisCluster, id: &str) -> Self {
        Self {
            nodes: nodes(cluster).await,
            id: id.to_owned(),
            now: Arc::default(),
            floor: Arc::default(),
            over: Arc::default(),
        }
    }

    fn stamped(self) -> Self {
        Self {
            nodes: self.nodes.map(NearNode::stamped),
            ..self
        }
    }

    fn near_hits(&self) -> [u64; 3] {
        self.nodes.each_ref().map(NearNode::hits)
    }

    fn read(&self, reader: usize) -> tokio::task::JoinHandle<()> {
        let (memo, id) = (self.nodes[reader % 3].memo.clone(), self.id.clone());
        let (now, floor, over) = (Arc::clone(&self.now), Arc::clone(&self.floor), Arc::clone(&self.over));
        tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let least = floor.load(Ordering::SeqCst);
                let found = ask(&memo, &id, &now).await;
                assert!(found >= least, "{found} after {least} was acknowledged");
                tokio::task::yield_now().await;
            }
        })
    }

    /// Changes it again and again, on each of the nodes, and says so by value or by tag.
    async fn change(&self, by_tag: bool) {
        for round in 0_usize.. {
            let next = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            let memo = &self.nodes[round % 3].memo;
            let done = match by_tag && round % 2 == 0 {
                true => within("an invalidation", memo.invalidate_all()).await,
                false => within("an invalidation", memo.invalidate(self.id.as_str())).await,
            };
            if done.is_ok() {
                self.floor.store(next, Ordering::SeqCst);
            }
            let over = self.over.load(Ordering::SeqCst);
            for node in &self.nodes {
                let found = ask(&node.memo, &self.id, &self.now).await;
                assert!(done.is_err() || found >= next, "{found} after {next} was acknowledged");
            }
            if over {
                return;
            }
            // Long enough for copies.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Goes through some trouble while it is read and changed.
    async fn through(&self, by_tag: bool, trouble: impl AsyncFnOnce()) {
        for node in &self.nodes {
            warm(node, &self.id, &self.now).await;
        }
        let readers: Vec<_> = (0..6).map(|reader| self.read(reader)).collect();
        let trouble = async {
            trouble().await;
            let before = self.near_hits();
            within("near hits on all nodes", async {
                while self
                    .near_hits()
                    .iter()
                    .zip(before)
                    .any(|(now, before)| *now < before + 20)
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            self.over.store(true, Ordering::SeqCst);
        };
        tokio::join!(self.change(by_tag), trouble);
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

async fn ask(memo: &MemoLock, id: &str, now: &Arc<AtomicU64>) -> u64 {
    let now = Arc::clone(now);
    let compute = || async move { Ok::<_, Infallible>(Bytes::from(now.load(Ordering::SeqCst).to_string())) };
    let value = within("a value", memo.get_or_compute(id, compute)).await.unwrap();
    std::str::from_utf8(&value).unwrap().parse().unwrap()
}

async fn warm(node: &NearNode, id: &str, now: &Arc<AtomicU64>) {
    within("a near hit", async {
        let before = node.hits();
        while node.hits() == before {
            ask(&node.memo, id, now).await;
        }
    })
    .await;
}

fn move_slot(cluster: &RedisCluster, slot: &str, from: usize, to: usize) {
    cluster.begin_migration(slot, from, to);
    cluster.move_keys(slot, from, to);
    // What was written there meanwhile.
    let left = || cluster.nodes[from].cli(&["CLUSTER", "COUNTKEYSINSLOT", slot]) != "0";
    while left() {
        cluster.move_keys(slot, from, to);
    }
    cluster.end_migration(slot, from, to);
}

/// Has a slot go around.
async fn around(cluster: &RedisCluster, slot: &str, first: usize) {
    for step in 0..6 {
        move_slot(cluster, slot, (first + step) % 3, (first + step + 1) % 3);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_older_is_served_while_the_slot_of_a_value_moves() {
    let cluster = RedisCluster::start();
    let id = cluster.id_on(0, "{x #}");
    let truth = Truth::over(&cluster, &id).await;
    let slot = cluster.slot(&id);
    truth.through(false, async || around(&cluster, &slot, 0).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_older_is_served_while_the_slot_of_a_tag_moves() {
    let cluster = RedisCluster::start();
    let home = cluster.home(GENERATIONS);
    let id = cluster.id_on((home + 1) % 3, "{x #}");
    let truth = Truth::over(&cluster, &id).await.stamped();
    let slot = cluster.slot(GENERATIONS);
    truth.through(true, async || around(&cluster, &slot, home).await).await;
}

/// Another master for what this one had.
async fn fail_over(cluster: &RedisCluster, master: usize) {
    cluster.nodes[master + 3].cli(&["CLUSTER", "FAILOVER"]);
    eventually("another master", || cluster.has_promoted(master + 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_older_is_served_while_masters_are_replaced() {
    let cluster = RedisCluster::start();
    let home = cluster.home(GENERATIONS);
    let id = cluster.id_on((home + 1) % 3, "{x #}");
    let truth = Truth::over(&cluster, &id).await.stamped();
    let trouble = async || {
        fail_over(&cluster, home).await;
        fail_over(&cluster, (home + 1) % 3).await;
    };
    truth.through(true, trouble).await;
}

/// Where the value is, Redis itself forgets what it has acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_older_is_served_while_the_home_of_a_tag_is_dead() {
    let mut cluster = RedisCluster::start();
    let home = cluster.home(GENERATIONS);
    let id = cluster.id_on((home + 1) % 3, "{x #}");
    let truth = Truth::over(&cluster, &id).await;
    let trouble = async || {
        cluster.lose(home);
        eventually("another master", || cluster.has_promoted(home + 3)).await;
    };
    truth.through(false, trouble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_takes_its_copies_along() {
    let mut cluster = RedisCluster::start();
    let [a, b, _] = nodes(&cluster).await;
    let id = cluster.id_on((cluster.home(GENERATIONS) + 1) % 3, "{x #}");
    let dead = cluster.home(&id);
    a.compute(&id, "old").await;
    for node in [&a, &b] {
        node.warm(&id).await;
    }
    cluster.lose(dead);
    eventually("another master", || cluster.has_promoted(dead + 3)).await;
    let new = &cluster.nodes[dead + 3];
    new.cli(&["SET", &format!("t:{id}"), "new"]);
    for node in [&a, &b] {
        node.until(&id, Some("new")).await;
        assert_eq!(node.warm(&id).await, "new");
    }
    new.cli(&["SET", &format!("t:{id}"), "newer"]);
    tokio::time::sleep(BEYOND).await;
    for node in [&a, &b] {
        assert_eq!(node.get(&id).await.unwrap(), "newer");
        assert_eq!(node.warm(&id).await, "newer");
    }
    b.memo.invalidate(id.as_str()).await.unwrap();
    assert_eq!((a.get(&id).await, b.get(&id).await), (None, None));
}
