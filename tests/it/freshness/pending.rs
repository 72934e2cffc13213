//! An invalidation that Redis does not take at that moment is kept, and made good as soon as it can be.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::{InvalidateError, MemoLock, RedisStore};

use crate::support::{RedisCluster, RedisServer, eventually, within};

type Node = MemoLock;

async fn node(redis: &RedisServer) -> Node {
    MemoLock::new(redis.store().await, "t").stamped(true)
}

/// One without stamps, so that nothing is out of date but what was invalidated by its key.
async fn plain(redis: &RedisServer) -> Node {
    node(redis).await.stamped(false)
}

fn tagged(node: &Node) -> Node {
    node.clone().tags_of(|_, _| ["tag"])
}

/// What is stored under this id; `new` where nothing is.
async fn read(node: &Node, id: &'static str) -> Bytes {
    read_plain(&tagged(node), id).await
}

async fn store(node: &Node, id: &'static str) {
    store_plain(&tagged(node), id).await;
}

async fn store_plain(node: &Node, id: &'static str) {
    let compute = || async { Ok::<_, Infallible>("old".into()) };
    node.get_or_compute(id, compute).await.unwrap();
}

/// What is stored under this id, and computed without tags where nothing is.
async fn read_plain(node: &Node, id: &'static str) -> Bytes {
    let compute = || async { Ok::<_, Infallible>("new".into()) };
    within("an answer", node.get_or_compute(id, compute)).await.unwrap()
}

fn is_pending<T>(result: &Result<T, InvalidateError>) -> bool {
    matches!(result, Err(InvalidateError::Pending { .. }))
}

/// What is invalidated in trouble is out of date on that node at once, and for all once the trouble is over.
async fn is_kept<F: Future<Output = ()>>(
    redis: &mut RedisServer,
    trouble: impl FnOnce(&mut RedisServer),
    end: impl FnOnce(&mut RedisServer) -> F,
) {
    let (here, there) = (plain(redis).await, plain(redis).await);
    store_plain(&here, "a").await;
    store_plain(&here, "other").await;
    assert_eq!(read_plain(&there, "a").await, "old");
    trouble(redis);
    let result = within("an answer", here.invalidate("a")).await;
    assert!(is_pending(&result), "{result:?}");
    assert_eq!(read_plain(&here, "a").await, "new", "while Redis is in trouble");
    end(redis).await;
    assert_eq!(read_plain(&here, "a").await, "new", "when the trouble is over");
    eventually("an invalidation that is made good", || {
        redis.try_cli(&["GET", "t:a"]).is_ok_and(|value| !value.contains("old"))
    })
    .await;
    // The other node, too, has to be connected again.
    eventually("connections", || {
        redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() >= 5
    })
    .await;
    assert_eq!(read_plain(&there, "a").await, "new");
    assert_eq!(read_plain(&there, "other").await, "old");
}

#[tokio::test]
async fn a_connection_that_was_cut_delays_an_invalidation_and_no_more() {
    let redis = RedisServer::start();
    let (here, there) = (plain(&redis).await, plain(&redis).await);
    for _ in 0..5 {
        store_plain(&here, "a").await;
        redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        here.invalidate("a").await.unwrap();
        eventually("a connection", || {
            redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() >= 5
        })
        .await;
        assert_eq!(redis.cli(&["EXISTS", "t:a"]), "0");
        assert_eq!(read_plain(&there, "b").await, "new");
    }
}

#[tokio::test]
async fn a_connection_that_was_cut_loses_no_invalidation_by_tag() {
    let redis = RedisServer::start();
    let (here, there) = (node(&redis).await, node(&redis).await);
    store(&here, "a").await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    here.invalidate_tags(["tag"]).await.unwrap();
    eventually("a connection", || {
        redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() >= 5
    })
    .await;
    assert_eq!(read(&there, "a").await, "new");
}

#[tokio::test]
async fn an_invalidation_is_kept_while_redis_stands_still() {
    let mut redis = RedisServer::start();
    is_kept(
        &mut redis,
        |redis| redis.stop(),
        |redis| {
            redis.cont();
            async {}
        },
    )
    .await;
}

#[tokio::test]
async fn an_invalidation_is_kept_while_writes_are_paused() {
    let mut redis = RedisServer::start();
    let pause = |redis: &mut RedisServer| drop(redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]));
    is_kept(&mut redis, pause, |redis| {
        redis.cli(&["CLIENT", "UNPAUSE"]);
        async {}
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_is_kept_while_redis_is_read_only() {
    let mut redis = RedisServer::start();
    let demote = |redis: &mut RedisServer| drop(redis.cli(&["REPLICAOF", "127.0.0.1", "1"]));
    is_kept(&mut redis, demote, |redis| {
        redis.cli(&["REPLICAOF", "NO", "ONE"]);
        async {}
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_is_kept_while_redis_starts_again_from_its_log() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    is_kept(&mut redis, RedisServer::kill, |redis| {
        redis.restart();
        async {}
    })
    .await;
}

#[tokio::test]
async fn an_invalidation_by_tag_is_kept_and_refuses_hits_at_once() {
    let redis = RedisServer::start();
    let (here, there) = (node(&redis).await, node(&redis).await);
    store(&here, "a").await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert!(is_pending(&here.invalidate_tags(["tag"]).await));
    assert_eq!(read(&here, "a").await, "new");
    redis.cli(&["CLIENT", "UNPAUSE"]);
    assert_eq!(read(&here, "a").await, "new");
    eventually("an invalidation that is made good", || {
        redis.cli(&["ZCARD", "t/gen:{t}"]) == "3"
    })
    .await;
    assert_eq!(read(&there, "a").await, "new");
}

#[tokio::test]
async fn an_invalidation_of_all_is_kept_and_refuses_hits_at_once() {
    let redis = RedisServer::start();
    let (here, there) = (node(&redis).await, node(&redis).await);
    store(&here, "a").await;
    let before = redis.cli(&["ZREVRANGE", "t/gen:{t}", "0", "0"]);
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert!(is_pending(&here.invalidate_all().await));
    assert_eq!(read(&here, "a").await, "new");
    redis.cli(&["CLIENT", "UNPAUSE"]);
    assert_eq!(read(&here, "a").await, "new");
    eventually("an invalidation that is made good", || {
        redis.cli(&["ZREVRANGE", "t/gen:{t}", "0", "0"]) != before
    })
    .await;
    assert_eq!(read(&there, "a").await, "new");
}

#[tokio::test]
async fn a_tag_is_invalidated_although_redis_is_full() {
    let redis = RedisServer::start();
    let (here, there) = (node(&redis).await, node(&redis).await);
    store(&here, "a").await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    here.invalidate_tags(["tag"]).await.unwrap();
    assert_eq!(read(&here, "a").await, "new");
    assert_eq!(read(&there, "a").await, "new");
}

#[tokio::test]
async fn another_handle_of_the_process_refuses_what_is_pending_as_well() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let (one, two) = (MemoLock::new(store.clone(), "t"), MemoLock::new(store.clone(), "t"));
    store_plain(&one, "a").await;
    assert_eq!(read_plain(&two, "a").await, "old");
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert!(is_pending(&one.invalidate("a").await));
    assert_eq!(read_plain(&two, "a").await, "new");
    assert_eq!(store.stats().pending_invalidations, 1);
    redis.cli(&["CLIENT", "UNPAUSE"]);
    eventually("nothing pending", || store.stats().pending_invalidations == 0).await;
    assert_eq!(store.stats().deferred_invalidations, 1);
    assert_eq!(redis.cli(&["EXISTS", "t:a"]), "0");
}

#[tokio::test]
async fn an_older_computation_does_not_commit_while_its_invalidation_is_pending() {
    let redis = RedisServer::start();
    let (here, there) = (plain(&redis).await, plain(&redis).await);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let leading = here.clone();
    let leader = tokio::spawn(async move {
        let compute = || async {
            started.send(()).unwrap();
            let _ = ended.await;
            Ok::<_, Infallible>("old".into())
        };
        leading.get_or_compute("a", compute).await.unwrap()
    });
    has_started.await.unwrap();
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert!(is_pending(&here.invalidate("a").await));
    end.send(()).unwrap();
    leader.await.unwrap();
    redis.cli(&["CLIENT", "UNPAUSE"]);
    assert_eq!(read_plain(&here, "a").await, "new");
    assert_eq!(read_plain(&there, "a").await, "new");
}

#[tokio::test]
async fn shutdown_waits_until_what_is_pending_is_made_good() {
    let redis = RedisServer::start();
    let here = plain(&redis).await;
    store_plain(&here, "a").await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    assert!(is_pending(&here.invalidate("a").await));
    redis.cli(&["CLIENT", "UNPAUSE"]);
    within("an answer", here.shutdown(Duration::ZERO)).await;
    assert_eq!(redis.cli(&["EXISTS", "t:a"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_is_kept_in_a_cluster_and_other_keys_are_as_ever() {
    const IDS: [&str; 4] = ["{a}", "{b}", "{c}", "{d}"];
    let cluster = RedisCluster::start();
    let node = async || {
        let store = RedisStore::cluster([cluster.nodes[0].url()]).connect().await.unwrap();
        MemoLock::new(store, "t")
    };
    let (here, there) = (node().await, node().await);
    for id in IDS {
        store_plain(&here, id).await;
        assert_eq!(read_plain(&there, id).await, "old");
    }
    let all = |command: &[&str]| {
        for master in &cluster.nodes[..3] {
            master.cli(command);
        }
    };
    all(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    for id in &IDS[..3] {
        let result = within("an answer", here.invalidate(*id)).await;
        assert!(is_pending(&result), "{result:?}");
        assert_eq!(read_plain(&here, id).await, "new");
    }
    all(&["CLIENT", "UNPAUSE"]);
    eventually("invalidations that are made good", || {
        let keys = cluster.nodes[..3].iter().map(|master| master.cli(&["KEYS", "t:*"]));
        keys.map(|keys| keys.lines().filter(|key| !key.is_empty()).count())
            .sum::<usize>()
            == 1
    })
    .await;
    for id in &IDS[..3] {
        assert_eq!(read_plain(&there, id).await, "new");
    }
    assert_eq!(read_plain(&there, IDS[3]).await, "old");
}
