//! Whatever changes a key ends its copies, and a hit on a copy costs Redis nothing.

use std::time::Duration;

use super::fixture::{BEYOND, NearNode};
use tower_memolock::MemoLock;

use crate::support::{Cut, Fault, FaultProxy, Plane, RedisServer, Target, eventually, within};

#[tokio::test]
async fn a_near_hit_costs_redis_nothing() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    assert_eq!(node.compute("a", "one").await, "one");
    assert_eq!(node.warm("a").await, "one");
    redis.reset_commandstats();
    let before = node.hits();
    for _ in 0..1000 {
        assert_eq!(node.get("a").await.unwrap(), "one");
    }
    let stats = redis.commandstats();
    let asked = node.hits() - before;
    // Where this process did not run for as long as the lag, a request goes to Redis.
    let gets = stats.get("get").copied().unwrap_or(0);
    assert!(asked >= 900 && gets == 1000 - asked, "{asked} {stats:?}");
    let stats = node.store.stats().near;
    assert!(stats.copies == 1 && stats.bytes > 0, "{stats:?}");
}

#[tokio::test]
async fn what_is_asked_for_once_is_not_kept() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    node.compute("warm", "x").await;
    node.warm("warm").await;
    for id in 0..50 {
        redis.cli(&["SET", &format!("t:{id}"), "value"]);
        assert_eq!(node.get(&id.to_string()).await.unwrap(), "value");
    }
    assert_eq!(node.store.stats().near.copies, 1);
}

#[tokio::test]
async fn every_way_to_change_a_key_ends_its_copy() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    let ways: &[(&[&str], Option<&str>)] = &[
        (&["SET", "t:a", "two"], Some("two")),
        (&["SET", "t:a", "two", "PX", "100000"], Some("two")),
        (&["APPEND", "t:a", "+"], Some("one+")),
        (&["SETRANGE", "t:a", "0", "T"], Some("Tne")),
        (&["GETSET", "t:a", "three"], Some("three")),
        (&["DEL", "t:a"], None),
        (&["UNLINK", "t:a"], None),
        (&["RENAME", "t:a", "elsewhere"], None),
        (&["RENAME", "other", "t:a"], Some("other")),
        (&["COPY", "other", "t:a", "REPLACE"], Some("other")),
        (&["PEXPIRE", "t:a", "1"], None),
        (
            &["EVAL", "return redis.call('SET', 't:a', 'script')", "0"],
            Some("script"),
        ),
        (&["MOVE", "t:a", "3"], None),
        (&["FLUSHDB"], None),
        (&["FLUSHALL", "ASYNC"], None),
    ];
    for (way, then) in ways {
        redis.cli(&["FLUSHALL"]);
        redis.cli(&["SET", "other", "other"]);
        redis.cli(&["SET", "t:a", "one"]);
        node.until("a", Some("one")).await;
        assert_eq!(node.warm("a").await, "one", "{way:?}");
        redis.cli(way);
        tokio::time::sleep(BEYOND).await;
        let found = node.get("a").await;
        assert_eq!(found.as_deref(), then.map(str::as_bytes), "{way:?}");
    }
    assert!(node.store.stats().near.dropped > 0);
}

#[tokio::test]
async fn a_copy_ends_with_its_key() {
    let redis = RedisServer::start_with(&["--enable-debug-command", "yes"]);
    let node = NearNode::start(&redis.url()).await;
    // Not even Redis itself looks.
    redis.cli(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    redis.cli(&["SET", "t:a", "one", "PX", "3000"]);
    assert_eq!(node.warm("a").await, "one");
    tokio::time::sleep(Duration::from_millis(3000)).await;
    assert_eq!(node.get("a").await, None);
}

#[tokio::test]
async fn eviction_ends_copies() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    eventually("an empty server", || redis.keys().is_empty()).await;
    tokio::time::sleep(BEYOND).await;
    assert_eq!(node.get("a").await, None);
    // With room again it goes on: the set of processes was lost as well.
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.cli(&["SET", "t:a", "two"]);
    assert_eq!(node.warm("a").await, "two");
    eventually("the process among the members", || {
        redis.cli(&["ZCARD", "t/gen:{t}/near"]) == "1"
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_when_the_key_changed_is_not_kept() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let node = NearNode::start(&proxy.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    redis.cli(&["SET", "t:a", "two"]);
    node.until("a", Some("two")).await;
    redis.cli(&["DEL", "t:a"]);
    node.until("a", None).await;
    redis.cli(&["SET", "t:a", "old"]);
    tokio::time::sleep(BEYOND).await;
    let late = proxy.inject(
        Target::replies(&["GET"]).naming("t:a").times(1),
        Fault::Delay(Duration::from_millis(400)),
    );
    let asked = async { node.get("a").await };
    let changed = async {
        late.happened(1).await;
        redis.cli(&["SET", "t:a", "new"]);
    };
    let (answer, ()) = tokio::join!(asked, changed);
    assert_eq!(answer.unwrap(), "old");
    proxy.heal();
    tokio::time::sleep(BEYOND).await;
    for _ in 0..50 {
        assert_eq!(node.get("a").await.unwrap(), "new");
    }
    assert_eq!(node.warm("a").await, "new");
    proxy.cut(Plane::Commands, Cut::Fin);
}

#[tokio::test]
async fn tags_and_databases_have_copies_of_their_own() {
    let redis = RedisServer::start();
    let url = format!("{}/2", redis.url());
    let (node, other) = (NearNode::start(&redis.url()).await, NearNode::start(&url).await);
    let tags = ["t", "t2", "t/x", "u", "tt"];
    let memos = tags.map(|tag| MemoLock::new(node.store.clone(), tag).ttl(BEYOND * 100));
    for (memo, tag) in memos.iter().zip(tags) {
        redis.cli(&["SET", &format!("{tag}:a"), tag]);
        within("a near hit", async {
            loop {
                let before = node.hits();
                assert_eq!(memo.get("a").await.unwrap().unwrap(), tag);
                if node.hits() > before {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    assert_eq!(node.store.stats().near.copies, 5);
    other.compute("a", "two").await;
    assert_eq!(other.warm("a").await, "two");
    redis.cli(&["SET", "t/x:a", "new"]);
    tokio::time::sleep(BEYOND).await;
    assert_eq!(memos[2].get("a").await.unwrap().unwrap(), "new");
    memos[3].invalidate("a").await.unwrap();
    assert_eq!(memos[3].get("a").await.unwrap(), None);
    // What another database calls the same is told apart when it is removed.
    other.memo.invalidate("a").await.unwrap();
    assert_eq!(other.get("a").await, None);
    assert_eq!(memos[0].get("a").await.unwrap().unwrap(), "t");
}
