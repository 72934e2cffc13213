//! What the operator is told of a Redis that does not bound its memory.

use tower_memolock::{MemoLock, RedisStore};

use crate::support::{Log, RedisCluster, RedisServer, eventually};

const UNLIMITED: &str = "Redis has no memory limit";
const REFUSES: &str = "Redis refuses to store anything once it is full";

async fn warnings(redis: &RedisServer) -> [usize; 2] {
    let log = Log::start();
    let store = redis.store().await;
    assert!(store.stats().commands.connected);
    [UNLIMITED, REFUSES].map(|text| log.lines_with(text).len())
}

#[tokio::test]
async fn a_redis_without_a_limit_or_eviction_is_warned_of_once() {
    for (options, expected) in [
        (&[] as &[&str], [1, 0]),
        (&["--maxmemory-policy", "allkeys-lru"], [1, 0]),
        (&["--maxmemory", "100mb"], [0, 1]),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"], [0, 0]),
        (&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"], [0, 0]),
    ] {
        let redis = RedisServer::start_with(options);
        assert_eq!(warnings(&redis).await, expected, "{options:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_and_made_again_warns_of_nothing() {
    let redis = RedisServer::start();
    let log = Log::start();
    let store = redis.store().await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let memo = MemoLock::new(store.clone(), "t");
    let _ = memo.get("a").await;
    eventually("another connection", || store.stats().commands.reconnects > 0).await;
    assert_eq!(log.lines_with(UNLIMITED).len(), 1);
}

#[tokio::test]
async fn a_user_who_may_not_ask_is_told_nothing() {
    let redis = RedisServer::start();
    redis.cli(&["ACL", "SETUSER", "default", "-info"]);
    assert_eq!(warnings(&redis).await, [0, 0]);
}

#[tokio::test]
async fn a_cluster_is_asked_at_one_node() {
    let cluster = RedisCluster::start();
    let log = Log::start();
    let store = RedisStore::cluster(cluster.urls()).connect().await;
    let _store = store.expect("a store");
    assert_eq!(log.lines_with(UNLIMITED).len(), 1);
}
