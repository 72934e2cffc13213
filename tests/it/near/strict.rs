//! Once an invalidation has returned, no node serves a copy from before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tower_memolock::MemoLock;

use super::fixture::{BEYOND, LAG, NearNode};
use crate::support::{FaultProxy, Link, Plane, RedisServer, eventually, within};

async fn timed<T>(invalidation: impl Future<Output = T>) -> Duration {
    let since = Instant::now();
    within("an invalidation", invalidation).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_node_serves_a_copy_from_before_an_invalidation_that_has_returned() {
    let redis = RedisServer::start();
    let nodes = [
        NearNode::start(&redis.url()).await,
        NearNode::start(&redis.url()).await,
        NearNode::start(&redis.url()).await,
    ];
    let nodes = Arc::new(nodes);
    let (floor, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = tokio::task::JoinSet::new();
    for at in 0..6 {
        let (nodes, floor, over) = (Arc::clone(&nodes), Arc::clone(&floor), Arc::clone(&over));
        readers.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let least = floor.load(Ordering::SeqCst);
                if let Some(value) = nodes[at % 3].get("a").await {
                    let value: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
                    assert!(value >= least, "{value} after {least} was acknowledged");
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 1..300_u64 {
        redis.cli(&["SET", "t:a", &round.to_string()]);
        if round % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Whatever is read after this was computed after what is in Redis now.
        let next = round + 1;
        redis.cli(&["SET", "t:a", &next.to_string()]);
        nodes[round as usize % 3].memo.invalidate("a").await.unwrap();
        floor.store(next, Ordering::SeqCst);
        for node in nodes.iter() {
            if let Some(value) = node.get("a").await {
                panic!("{value:?} is back");
            }
        }
    }
    over.store(true, Ordering::SeqCst);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

#[tokio::test]
async fn an_invalidation_by_any_node_holds_on_all_when_it_returns() {
    let redis = RedisServer::start();
    let (a, b) = (NearNode::start(&redis.url()).await, NearNode::start(&redis.url()).await);
    let plain = NearNode::of(redis.store().await);
    for round in 0..60 {
        for node in [&a, &b, &plain] {
            a.compute("x", "value").await;
            a.warm("x").await;
            b.warm("x").await;
            node.memo.invalidate("x").await.unwrap();
            assert_eq!((a.get("x").await, b.get("x").await), (None, None), "{round}");
        }
    }
    // All of them answer: the call does not wait for the lag.
    for node in [&a, &b, &plain] {
        assert_eq!(node.store.stats().near.outwaited, 0);
        assert!(node.store.stats().near.acknowledged >= 60);
    }
}

#[tokio::test]
async fn an_invalidation_by_tag_or_of_all_holds_on_all_nodes_when_it_returns() {
    let redis = RedisServer::start();
    let (a, b) = (NearNode::start(&redis.url()).await, NearNode::start(&redis.url()).await);
    let (a, b) = (a.stamped(), b.stamped());
    for round in 0..40 {
        a.compute("x", "value").await;
        a.warm("x").await;
        b.warm("x").await;
        match round % 3 {
            1 => {
                redis.cli(&["DEL", "t/gen:{t}"]);
                b.memo.invalidate_tags(["whatever"])
            }
            _ => b.memo.invalidate_all(),
        }
        .await
        .unwrap();
        assert_eq!((a.get("x").await, b.get("x").await), (None, None), "{round}");
    }
}

#[tokio::test]
async fn copies_of_other_tags_come_back_after_an_invalidation_by_tag() {
    let redis = RedisServer::start();
    let (a, b) = (NearNode::start(&redis.url()).await, NearNode::start(&redis.url()).await);
    let (a, b) = (a.stamped(), b.stamped());
    a.compute("x", "value").await;
    assert_eq!(b.warm("x").await, "value");
    a.memo.invalidate_tags(["another"]).await.unwrap();
    assert_eq!(b.get("x").await.unwrap(), "value");
    assert_eq!(b.warm("x").await, "value");
}

#[tokio::test]
async fn one_that_cannot_hear_is_waited_for_as_long_as_it_may_serve_copies() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let frozen = NearNode::start(&proxy.url()).await;
    let node = NearNode::start(&redis.url()).await;
    node.compute("x", "value").await;
    frozen.warm("x").await;
    node.warm("x").await;
    proxy.link(Plane::Notifications, Link::Silent);
    let took = timed(async { node.memo.invalidate("x").await.unwrap() }).await;
    assert_eq!((frozen.get("x").await, node.get("x").await), (None, None));
    assert!(took >= LAG && took < LAG * 3, "{took:?}");
    assert_eq!(node.store.stats().near.outwaited, 1);
}

/// The set of all processes that have copies is lost with everything else, and the connection is not.
#[tokio::test]
async fn one_that_is_forgotten_is_waited_for_as_well() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let frozen = NearNode::start(&proxy.url()).await;
    let node = NearNode::start(&redis.url()).await;
    for loss in [&["FLUSHALL"][..], &["DEL", "t/gen:{t}/near"]] {
        node.compute("x", "value").await;
        frozen.warm("x").await;
        node.warm("x").await;
        proxy.link(Plane::Notifications, Link::Silent);
        redis.cli(loss);
        let took = timed(async { node.memo.invalidate("x").await.unwrap() }).await;
        assert_eq!((frozen.get("x").await, node.get("x").await), (None, None));
        assert!(took >= LAG && took < LAG * 3, "{loss:?} {took:?}");
        proxy.link(Plane::Notifications, Link::Open);
    }
}

/// The connection is lost, and the set is not.
#[tokio::test]
async fn one_whose_connection_redis_has_closed_is_waited_for_as_well() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let frozen = NearNode::start(&proxy.url()).await;
    let plain = NearNode::of(redis.store().await);
    frozen.compute("x", "value").await;
    frozen.warm("x").await;
    proxy.link(Plane::Notifications, Link::Silent);
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    eventually("no listener", || {
        redis.cli(&["PUBSUB", "NUMSUB", "t/ctl:{t}/near"]).ends_with("\n0")
    })
    .await;
    let took = timed(async { plain.memo.invalidate("x").await.unwrap() }).await;
    assert_eq!(frozen.get("x").await, None);
    assert!(took >= LAG && took < LAG * 3, "{took:?}");
}

#[tokio::test]
async fn one_that_is_gone_is_waited_for_once() {
    let redis = RedisServer::start();
    let (gone, node) = (NearNode::start(&redis.url()).await, NearNode::start(&redis.url()).await);
    for node in [&gone, &node] {
        node.compute("x", "value").await;
        node.warm("x").await;
    }
    drop(gone);
    eventually("one listener", || {
        redis.cli(&["PUBSUB", "NUMSUB", "t/ctl:{t}/near"]).ends_with("\n1")
    })
    .await;
    let first = timed(async { node.memo.invalidate("x").await.unwrap() }).await;
    assert!(first >= LAG, "{first:?}");
    eventually("one member", || redis.cli(&["ZCARD", "t/gen:{t}/near"]) == "1").await;
    let second = timed(async { node.memo.invalidate("x").await.unwrap() }).await;
    assert!(second < LAG / 2, "{second:?}");
}

#[tokio::test]
async fn without_near_copies_an_invalidation_is_what_it_was() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let memo = MemoLock::new(store.clone(), "t");
    // A client that looks on is no reason to wait.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut looker = client.get_async_pubsub().await.unwrap();
    looker.psubscribe("*").await.unwrap();
    memo.invalidate("x").await.unwrap();
    redis.reset_commandstats();
    let took = timed(async { memo.invalidate("x").await.unwrap() }).await;
    assert!(took < BEYOND / 2, "{took:?}");
    let stats = redis.commandstats();
    // The other script begins a generation, for the receipt.
    assert_eq!((stats["evalsha"], stats["del"]), (2, 1), "{stats:?}");
    assert_eq!(store.stats().near, Default::default());
}
