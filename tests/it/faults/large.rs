//! Results that are too large to publish, and those that Redis does not take.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower_memolock::{Key, MemoLock, RedisStore};

use crate::support::{RedisServer, eventually, within};

/// So long that nothing is answered in time that waits for its end.
const LEASE: Duration = Duration::from_secs(600);

const NODES: usize = 8;

/// More than what is published.
const LARGE: usize = 3 << 19;

struct World {
    redis: RedisServer,
    stores: Vec<RedisStore>,
    nodes: Vec<MemoLock>,
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl World {
    async fn with(options: &[&str]) -> Self {
        let redis = RedisServer::start_with(options);
        let (mut stores, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..NODES {
            let store = redis.store().await;
            stores.push(store.clone());
            nodes.push(MemoLock::new(store, "t").lease(LEASE).wait_timeout(LEASE));
        }
        Self {
            redis,
            stores,
            nodes,
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Three callers on this node, for a value that says which call made it. They come in one task, and so before their
    /// node listens: a result that is not stored is for those callers only that came before that.
    fn ask(&self, node: usize, bytes: usize, ttl: Duration) -> JoinHandle<Vec<Bytes>> {
        let key = Key::builder().part("GET").part("/large").build();
        let one = || {
            let (memo, key) = (self.nodes[node].clone().ttl(ttl), key.clone());
            let (calls, gate) = (Arc::clone(&self.calls), Arc::clone(&self.gate));
            async move {
                let compute = move || async move {
                    let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                    let _permit = gate.acquire().await;
                    Ok::<_, Infallible>(Bytes::from(format!(
                        "{call}{}",
                        " ".repeat(bytes - call.to_string().len())
                    )))
                };
                memo.get_or_compute(key, compute).await.expect("a value")
            }
        };
        tokio::spawn(join_all((0..3).map(|_| one())))
    }

    /// All nodes wait for the first, which then ends.
    async fn stampede(&self, bytes: usize, ttl: Duration) -> Vec<Bytes> {
        let before = self.calls();
        let mut asked = vec![self.ask(0, bytes, ttl)];
        eventually("a call", || self.calls() == before + 1).await;
        for node in 1..NODES {
            asked.push(self.ask(node, bytes, ttl));
        }
        let channel = "t/ctl:{GET /large}";
        eventually("nodes that listen", || {
            let listening = self.redis.cli(&["PUBSUB", "NUMSUB", channel]);
            listening.ends_with(&format!("\n{}", NODES - 1))
        })
        .await;
        self.gate.add_permits(Semaphore::MAX_PERMITS / 4);
        let mut answers = Vec::new();
        for asked in asked {
            answers.extend(within("answers", asked).await.expect("no panic"));
        }
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
        answers
    }
}

#[tokio::test]
async fn a_large_result_for_followers_is_computed_once_and_is_of_no_later_request() {
    let world = World::with(&[]).await;
    for bytes in [LARGE, 8 << 20] {
        let before = world.calls();
        let answers = world.stampede(bytes, Duration::ZERO).await;
        assert!(
            answers
                .iter()
                .all(|answer| *answer == answers[0] && answer.len() == bytes)
        );
        assert_eq!(world.calls(), before + 1);
        let kept: Vec<_> = world
            .redis
            .keys()
            .into_iter()
            .filter(|key| !key.contains('~'))
            .collect();
        assert!(kept.is_empty(), "{kept:?}");
        for key in world.redis.keys() {
            let left: i64 = world.redis.cli(&["PTTL", &key]).parse().expect("a number");
            assert!((1..=10_000).contains(&left), "{key}: {left}");
        }
    }
    world.gate.add_permits(1);
    let later = world.ask(1, LARGE, Duration::ZERO);
    for later in within("answers", later).await.expect("no panic") {
        let call: usize = String::from_utf8_lossy(&later).trim().parse().expect("a number");
        assert!(call > 2, "the result of call {call}");
    }
}

#[tokio::test]
async fn without_those_who_wait_elsewhere_nothing_large_is_sent() {
    let world = World::with(&[]).await;
    world.gate.add_permits(1);
    let asked = world.ask(0, LARGE, Duration::ZERO);
    within("answers", asked).await.expect("no panic");
    eventually("the lock is given back", || world.redis.keys().is_empty()).await;
    let received = world.redis.cli(&["INFO", "stats"]);
    let received = received
        .lines()
        .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    let received: usize = received.expect("a figure").trim().parse().expect("a number");
    assert!(received < LARGE / 2, "{received} bytes");
}

#[tokio::test]
async fn a_server_that_is_full_costs_a_call_a_process() {
    let world = World::with(&["--maxmemory", "3mb"]).await;
    let answers = world.stampede(8 << 20, Duration::ZERO).await;
    assert!(answers.iter().all(|answer| answer.len() == 8 << 20));
    assert!(world.calls() <= NODES, "{} calls", world.calls());
}

/// It closes the connection for large values, which is no other caller's.
#[tokio::test]
async fn a_value_that_closes_the_connection_costs_no_lease_and_is_not_tried_again() {
    for ttl in [Duration::from_secs(60), Duration::ZERO] {
        let world = World::with(&["--proto-max-bulk-len", "1mb"]).await;
        let answers = world.stampede(LARGE, ttl).await;
        assert!(answers.iter().all(|answer| answer.len() == LARGE));
        // Each process finds it out for itself.
        assert!(world.calls() <= 2 * NODES, "{} calls", world.calls());
        eventually("a lock that is given back", || world.redis.keys().is_empty()).await;
        // The next time, the leader knows.
        let connection = world.stores[0].stats().commands;
        assert_eq!((connection.outages, connection.reconnects), (0, 0));
        let answers = world.stampede(LARGE, ttl).await;
        assert!(answers.iter().all(|answer| answer.len() == LARGE));
        assert_eq!(world.stores[0].stats().commands.reconnects, 0);
    }
}
