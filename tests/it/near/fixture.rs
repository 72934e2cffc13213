//! Nodes with near copies.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::{MemoLock, RedisStore};

use crate::support::{RedisCluster, within};

/// Longer than what a busy machine takes for a `PING`, and short enough to wait for.
pub(super) const LAG: Duration = Duration::from_millis(1000);

/// Longer than the lag, by any clock.
pub(super) const BEYOND: Duration = Duration::from_millis(1200);

/// A process of its own, as far as Redis can tell.
pub(super) struct NearNode {
    pub(super) store: RedisStore,
    pub(super) memo: MemoLock,
}

impl NearNode {
    pub(super) async fn start(url: &str) -> Self {
        Self::of(
            RedisStore::builder(url)
                .near(1 << 20)
                .near_lag(LAG)
                .connect()
                .await
                .unwrap(),
        )
    }

    pub(super) fn of(store: RedisStore) -> Self {
        let memo = MemoLock::new(store.clone(), "t").ttl(Duration::from_secs(300));
        Self { store, memo }
    }

    /// One with values that can be called in by tag.
    pub(super) fn stamped(self) -> Self {
        Self {
            memo: self.memo.stamped(true),
            ..self
        }
    }

    pub(super) fn hits(&self) -> u64 {
        self.store.stats().near.hits
    }

    /// What is stored, if anything.
    pub(super) async fn get(&self, id: &str) -> Option<Bytes> {
        within("an answer", self.memo.get(id)).await.unwrap()
    }

    /// The value, computed if it is not there.
    pub(super) async fn compute(&self, id: &str, value: &'static str) -> Bytes {
        let compute = move || async move { Ok::<_, Infallible>(Bytes::from(value)) };
        within("a value", self.memo.get_or_compute(id, compute)).await.unwrap()
    }

    /// Asks until a near copy answers.
    pub(super) async fn warm(&self, id: &str) -> Bytes {
        within("a near hit", async {
            loop {
                let before = self.hits();
                let got = self.get(id).await;
                if let Some(got) = got.filter(|_| self.hits() > before) {
                    return got;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    /// Waits until it answers something else.
    pub(super) async fn until(&self, id: &str, value: Option<&str>) {
        within("another answer", async {
            while self.get(id).await.as_deref() != value.map(str::as_bytes) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// Nodes with near copies over a Redis Cluster.
impl NearNode {
    pub(super) async fn in_cluster(cluster: &RedisCluster) -> Self {
        Self::at_nodes(&cluster.nodes[5].url()).await
    }

    /// The same, with the URL of any of the nodes.
    pub(super) async fn at_nodes(url: &str) -> Self {
        let builder = RedisStore::cluster([url]);
        Self::of(builder.near(1 << 20).near_lag(LAG).connect().await.unwrap())
    }

    /// Asks for something else until a near copy answers, one from each of the masters.
    pub(super) async fn settled(&self, cluster: &RedisCluster) {
        for master in 0..3 {
            let id = cluster.id_on(master, "{settled #}");
            self.compute(&id, "there").await;
            self.warm(&id).await;
        }
    }
}
