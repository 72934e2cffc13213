//! `stored` in `Cache-Status` (RFC 9211, 2.5) is not said of what is not stored: over a real Redis that is killed, frozen
//! or full.

use std::time::Duration;

use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Handle};
use tower_memolock::{MemoLockLayer, RedisStore};

use super::failures::key;
use super::fixture::{Gate, Inner, Node, answer, fresh, get, send};
use crate::support::{RedisServer, eventually};

const DOWN: &str = "memolock; fwd=uri-miss; detail=store-down";
const STORED: &str = "memolock; fwd=uri-miss; stored; detail=absent";

async fn node(server: &RedisServer, inner: Inner) -> (Node, Handle, RedisStore) {
    let store = server.store().await;
    let layer = MemoLockLayer::new(store.clone(), "layer").cache_status(CacheStatus::Outcome);
    let layer = layer.lease(Duration::from_secs(2));
    (layer.layer(inner), layer.handle(), store)
}

async fn told(node: &Node, path: &str) -> String {
    let answer = answer(send(node, get(path))).await;
    answer.header("cache-status").expect("a status").to_owned()
}

async fn is_stored(server: &RedisServer, path: &str) {
    eventually("a stored response", || {
        server.keys().contains(&format!("layer:{}", key(path).as_str()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_killed_or_frozen_no_response_says_that_it_is_stored() {
    for freezes in [false, true] {
        let mut server = RedisServer::start();
        let (node, handle, store) = node(&server, Inner::replying(|_| fresh("x"))).await;
        assert_eq!(told(&node, "/first").await, STORED);
        is_stored(&server, "/first").await;
        match freezes {
            true => server.stop(),
            false => server.kill(),
        }
        for path in ["/second", "/third", "/second"] {
            assert_eq!(told(&node, path).await, DOWN, "frozen: {freezes}");
            // A request that comes before the flight is over counts among the followers.
            handle.drained().await;
        }
        match freezes {
            true => server.cont(),
            false => server.restart_empty(),
        }
        eventually("a connection", || store.stats().commands.connected).await;
        assert_eq!(told(&node, "/fourth").await, STORED, "frozen: {freezes}");
        is_stored(&server, "/fourth").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_knows_that_redis_is_gone_does_not_say_that_it_has_stored() {
    for freezes in [false, true] {
        let mut server = RedisServer::start();
        let gate = Gate::new();
        let inner = Inner::gated(&gate, move |_, _| Ok(fresh("x")));
        let (node, _, store) = node(&server, inner).await;
        let leader = send(&node, get("/"));
        gate.reached_by(1).await;
        match freezes {
            true => server.stop(),
            false => server.kill(),
        }
        eventually("an outage", || !store.stats().commands.connected).await;
        gate.open();
        let answer = answer(leader).await;
        assert_eq!(answer.header("cache-status"), Some(DOWN), "frozen: {freezes}");
        if freezes {
            server.cont();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_stores_nothing_and_a_lock_without_an_end_is_outwaited() {
    let server = RedisServer::start();
    let (node, ..) = node(&server, Inner::replying(|_| fresh("x"))).await;
    let lock = format!("layer/lock:{}", key("/locked").as_str());
    server.cli(&["SET", &lock, "another program's"]);
    assert_eq!(told(&node, "/locked").await, STORED);
    is_stored(&server, "/locked").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(told(&node, "/full").await, DOWN);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    // Not the same: its flight may not be over yet.
    assert_eq!(told(&node, "/room").await, STORED);
}
