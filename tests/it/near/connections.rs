//! Copies end with what is heard of changes, within the lag.

use std::time::Duration;

use super::fixture::{BEYOND, LAG, NearNode};
use crate::support::{Authority, Cut, FaultProxy, Link, Plane, RedisServer, TlsServer, eventually};
use tower_memolock::RedisStore;

#[tokio::test]
async fn a_killed_connection_for_notifications_ends_copies_and_they_come_back() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:a", "0"]);
    for round in 1..5 {
        node.warm("a").await;
        redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let value = round.to_string();
        redis.cli(&["SET", "t:a", &value]);
        tokio::time::sleep(BEYOND).await;
        assert_eq!(node.get("a").await.unwrap(), value);
    }
    assert_eq!(node.warm("a").await, "4");
}

#[tokio::test]
async fn a_frozen_connection_for_notifications_ends_copies_within_the_lag() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let node = NearNode::start(&proxy.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    proxy.link(Plane::Notifications, Link::Silent);
    redis.cli(&["SET", "t:a", "two"]);
    tokio::time::sleep(BEYOND).await;
    for _ in 0..20 {
        assert_eq!(node.get("a").await.unwrap(), "two");
    }
    proxy.link(Plane::Notifications, Link::Open);
    assert_eq!(node.warm("a").await, "two");
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_copies_within_the_lag() {
    let redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    redis.cli(&["CLIENT", "PAUSE", "2500", "ALL"]);
    tokio::time::sleep(BEYOND).await;
    let before = node.hits();
    let asked = tokio::time::timeout(Duration::from_millis(1), node.memo.get("a")).await;
    assert!(asked.is_err() || node.hits() == before);
    assert_eq!(node.hits(), before);
    assert_eq!(node.warm("a").await, "one");
}

#[tokio::test]
async fn a_server_that_starts_again_empty_ends_copies() {
    let mut redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    redis.restart_empty();
    node.until("a", None).await;
    redis.cli(&["SET", "t:a", "two"]);
    assert_eq!(node.warm("a").await, "two");
}

#[tokio::test]
async fn copies_do_not_outlive_the_connection_that_they_came_by() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let node = NearNode::start(&proxy.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    let before = proxy.opened(Plane::Commands);
    proxy.cut(Plane::Commands, Cut::Reset);
    eventually("another connection", || proxy.opened(Plane::Commands) > before).await;
    assert_eq!(node.warm("a").await, "one");
    redis.cli(&["SET", "t:a", "two"]);
    tokio::time::sleep(BEYOND).await;
    assert_eq!(node.get("a").await.unwrap(), "two");
}

#[tokio::test]
async fn what_is_told_over_tls_is_heard() {
    let authority = Authority::new();
    let redis = TlsServer::start(&authority, &authority.issue("127.0.0.1"));
    let connect = async || {
        let builder = RedisStore::builder(redis.url()).root_certificates(authority.pem());
        NearNode::of(builder.near(1 << 20).near_lag(LAG).connect().await.unwrap())
    };
    let (a, b) = (connect().await, connect().await);
    for round in 0..3 {
        a.compute("x", "one").await;
        for node in [&a, &b] {
            assert_eq!(node.warm("x").await, "one");
        }
        b.memo.invalidate("x").await.unwrap();
        assert_eq!((a.get("x").await, b.get("x").await), (None, None), "{round}");
    }
    a.compute("x", "one").await;
    a.warm("x").await;
    redis.plain.cli(&["SET", "t:x", "two"]);
    tokio::time::sleep(BEYOND).await;
    assert_eq!(a.get("x").await.unwrap(), "two");
    assert_eq!(a.store.stats().near.outwaited, 0);
}
