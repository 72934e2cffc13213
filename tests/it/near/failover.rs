//! Copies follow the master that Sentinel names.

use tower_memolock::RedisStore;

use super::fixture::{BEYOND, LAG, NearNode};
use crate::support::{MASTER, RedisServer, Sentinels, eventually, within};

async fn node(all: &Sentinels) -> NearNode {
    let builder = RedisStore::sentinel(all.urls(), MASTER).timeout(LAG / 2);
    NearNode::of(builder.near(1 << 20).near_lag(LAG).connect().await.unwrap())
}

/// Has the second server become the master, and sees that neither node serves what it had of the first.
async fn follow(trouble: impl FnOnce(&mut Sentinels)) {
    let mut all = Sentinels::start();
    let (a, b) = (node(&all).await, node(&all).await);
    a.compute("x", "old").await;
    for node in [&a, &b] {
        assert_eq!(node.warm("x").await, "old");
    }
    trouble(&mut all);
    eventually("another master", || all.has_failed_over()).await;
    let new: &RedisServer = &all.servers[1];
    new.cli(&["SET", "t:x", "new"]);
    for node in [&a, &b] {
        node.until("x", Some("new")).await;
        assert_eq!(node.warm("x").await, "new");
    }
    for _ in 0..10 {
        a.warm("x").await;
        within("an invalidation", b.memo.invalidate("x")).await.unwrap();
        assert_eq!((a.get("x").await, b.get("x").await), (None, None));
        new.cli(&["SET", "t:x", "new"]);
    }
    new.cli(&["SET", "t:x", "newer"]);
    tokio::time::sleep(BEYOND).await;
    for node in [&a, &b] {
        assert_eq!(node.get("x").await.unwrap(), "newer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_takes_its_copies_along() {
    follow(|all| all.servers[0].kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_replaced_while_it_lives_takes_its_copies_along() {
    follow(|all| all.fail_over()).await;
}

/// A replica hears of changes when it can, and says what it is.
#[tokio::test]
async fn a_server_that_has_become_a_replica_gives_no_lease() {
    let (redis, other) = (RedisServer::start(), RedisServer::start());
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:x", "old"]);
    assert_eq!(node.warm("x").await, "old");
    redis.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    redis.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    tokio::time::sleep(BEYOND).await;
    let before = node.hits();
    for _ in 0..20 {
        node.get("x").await;
    }
    assert_eq!(node.hits(), before);
}
