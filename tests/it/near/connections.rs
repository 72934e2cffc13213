//! Copies end with what is heard of changes, within the lag.

use std::time::Duration;

use super::fixture::{BEYOND, NearNode};
use crate::support::{Cut, FaultProxy, Link, Plane, RedisServer, eventually};

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
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(node.warm("a").await, "one");
}

#[tokio::test]
async fn a_server_that_starts_again_empty_ends_copies() {
    let mut redis = RedisServer::start();
    let node = NearNode::start(&redis.url()).await;
    redis.cli(&["SET", "t:a", "one"]);
    assert_eq!(node.warm("a").await, "one");
    redis.restart_empty();
    tokio::time::sleep(BEYOND).await;
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
