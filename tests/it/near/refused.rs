//! Where Redis does not tell of changes there are no copies, and everything else goes on.

use super::fixture::{LAG, NearNode};
use crate::support::{Fault, FaultProxy, RedisCluster, RedisServer, Target, within};
use tower_memolock::Tag;

async fn goes_on_without_copies(node: &NearNode) {
    for id in ["{a}", "{b}"] {
        node.compute(id, "one").await;
        for _ in 0..50 {
            assert_eq!(node.get(id).await.unwrap(), "one");
            tokio::time::sleep(LAG / 50).await;
        }
        within("an invalidation", node.memo.invalidate(id)).await.unwrap();
        assert_eq!(node.get(id).await, None);
    }
    assert_eq!((node.hits(), node.store.stats().near.copies), (0, 0));
}

#[tokio::test]
async fn a_user_who_may_not_track_has_no_copies() {
    let redis = RedisServer::start();
    set_user(&redis, "on >secret ~* &* +@all -client");
    goes_on_without_copies(&NearNode::start(&as_user(&redis)).await).await;
}

#[tokio::test]
async fn a_user_who_may_not_track_has_no_copies_in_a_cluster() {
    let cluster = RedisCluster::start();
    for node in &cluster.nodes {
        set_user(node, "on >secret ~* &* +@all -client");
    }
    goes_on_without_copies(&NearNode::at_nodes(&as_user(&cluster.nodes[5])).await).await;
}

/// What the docs name.
const RULES: &str = "on >secret resetchannels ~t:* ~t/lock:* ~t/gen:* &t/notif:* &t/ctl:* +get +set +pttl +pexpire +del \
                     +zscore +zrevrange +zadd +zcard +zremrangebyrank +time +eval +evalsha +publish +subscribe +unsubscribe \
                     +ping +client|tracking";

/// What they name besides, for a Redis Cluster.
const MORE_RULES: &str = "+spublish +ssubscribe +sunsubscribe +asking +cluster|info +cluster|slots";

fn set_user(redis: &RedisServer, rules: &str) {
    let words = ["ACL", "SETUSER", "memo"].into_iter().chain(rules.split_whitespace());
    redis.cli(&words.collect::<Vec<_>>());
}

fn as_user(redis: &RedisServer) -> String {
    redis.url().replace("redis://", "redis://memo:secret@")
}

#[tokio::test]
async fn a_user_with_the_permissions_that_the_docs_name_has_copies_in_a_cluster() {
    let cluster = RedisCluster::start();
    for node in &cluster.nodes {
        set_user(node, &format!("{RULES} {MORE_RULES}"));
    }
    let url = as_user(&cluster.nodes[5]);
    let (a, b) = (NearNode::at_nodes(&url).await, NearNode::at_nodes(&url).await);
    a.store.check(&Tag::new("t").unwrap()).await.unwrap();
    for node in [&a, &b] {
        node.settled(&cluster).await;
    }
    for master in 0..3 {
        let id = cluster.id_on(master, "{x #}");
        a.compute(&id, "one").await;
        assert_eq!((a.warm(&id).await, b.warm(&id).await), ("one".into(), "one".into()));
        a.memo.invalidate(id.as_str()).await.unwrap();
        assert_eq!((a.get(&id).await, b.get(&id).await), (None, None));
    }
    assert_eq!(a.store.stats().near.outwaited, 0);
}

#[tokio::test]
async fn a_user_with_the_permissions_that_the_docs_name_has_copies() {
    let redis = RedisServer::start();
    set_user(&redis, RULES);
    let url = as_user(&redis);
    let (a, b) = (NearNode::start(&url).await, NearNode::start(&url).await);
    a.store.check(&Tag::new("t").unwrap()).await.unwrap();
    a.compute("x", "one").await;
    assert_eq!((a.warm("x").await, b.warm("x").await), ("one".into(), "one".into()));
    a.memo.invalidate("x").await.unwrap();
    assert_eq!((a.get("x").await, b.get("x").await), (None, None));
    assert_eq!(a.store.stats().near.outwaited, 0);
    let denied = redis.cli(&["ACL", "LOG"]);
    let is_ours = |line: &&str| line.contains("/near") || *line == "client" || line.starts_with("client|");
    let denied: Vec<_> = denied.lines().filter(is_ours).collect();
    assert!(denied.is_empty(), "{denied:?}");
}

#[tokio::test]
async fn a_server_that_only_pretends_to_tell_is_found_out() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    proxy.inject(Target::replies(&["CLIENT"]), Fault::Answer("+OK\r\n".into()));
    goes_on_without_copies(&NearNode::start(&proxy.url()).await).await;
}
