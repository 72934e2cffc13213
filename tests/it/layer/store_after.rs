//! Responses that are stored only once their keys were asked for often enough.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Freshness};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Gate, Inner, Node, answer, bodies, fresh, get, get_with, pair, send, settle, text, with};

fn layer(requests: u32) -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().store_after(requests))
}

fn numbered() -> Inner {
    Inner::replying(|call| fresh(call.to_string()))
}

async fn ask(node: &Node, path: &str) -> String {
    let body = bodies([send(node, get(path))]).await.remove(0);
    settle().await;
    body
}

#[tokio::test(start_paused = true)]
async fn a_response_is_stored_on_the_second_request() {
    let layer = layer(2);
    let node = layer.layer(numbered());
    let asked = [
        ask(&node, "/a").await,
        ask(&node, "/b").await,
        ask(&node, "/a").await,
        ask(&node, "/a").await,
        ask(&node, "/b").await,
        ask(&node, "/b").await,
    ];
    assert_eq!(asked, ["1", "2", "3", "3", "4", "4"]);
}

#[tokio::test(start_paused = true)]
async fn it_takes_as_many_requests_as_it_says() {
    for (requests, calls) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let inner = numbered();
        let node = layer(requests).layer(inner.clone());
        for _ in 0..20 {
            ask(&node, "/").await;
        }
        assert_eq!(inner.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_first_are_answered_by_it() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| Ok(fresh(call.to_string())));
    let nodes = pair(&inner, |layer| layer.freshness(Freshness::new().store_after(100)));
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let waiting: Vec<_> = (0..10).map(|at| send(&nodes[at % 2], get("/"))).collect();
    settle().await;
    gate.open();
    assert_eq!(answer(leader).await.body, "1");
    assert_eq!(bodies(waiting).await, ["1"; 10]);
    // Nothing of it is stored.
    assert_eq!(ask(&nodes[0], "/").await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_often_enough_at_once() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| Ok(fresh(call.to_string())));
    let node = layer(2).layer(inner.clone());
    let asked: Vec<_> = (0..10).map(|_| send(&node, get("/"))).collect();
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    bodies(asked).await;
    settle().await;
    assert_eq!((ask(&node, "/").await.as_str(), inner.calls()), ("1", 1));
}

#[tokio::test(start_paused = true)]
async fn cache_status_says_what_is_stored() {
    let node = layer(2).cache_status(CacheStatus::Outcome).layer(numbered());
    for expected in [
        "memolock; fwd=uri-miss; detail=store-after",
        "memolock; fwd=uri-miss; stored; detail=absent",
    ] {
        let answer = answer(send(&node, get("/"))).await;
        settle().await;
        assert_eq!(answer.header("cache-status"), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_and_stale_is_stored_anew() {
    let inner = Inner::replying(|call| {
        let reply = with(text(call.to_string()), "cache-control", "max-age=3600");
        with(reply, "etag", "\"a\"")
    });
    let node = layer(2)
        .freshness(
            Freshness::new()
                .ttl_jitter(0.0)
                .revalidate_for(Duration::from_secs(3600)),
        )
        .layer(inner);
    assert_eq!(
        [ask(&node, "/").await, ask(&node, "/").await, ask(&node, "/").await],
        ["1", "2", "2"]
    );
    // Longer than anything is counted.
    tokio::time::advance(Duration::from_secs(3700)).await;
    assert_eq!([ask(&node, "/").await, ask(&node, "/").await], ["3", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_long_ago_does_not_count() {
    let node = layer(2).layer(numbered());
    assert_eq!(ask(&node, "/").await, "1");
    tokio::time::advance(Duration::from_secs(1200)).await;
    assert_eq!(ask(&node, "/").await, "2");
    assert_eq!([ask(&node, "/").await, ask(&node, "/").await], ["3", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_asked_for_once_leaves_no_marker_either() {
    let private = Inner::replying(|call| with(text(call.to_string()), "cache-control", "private"));
    let layer = layer(2);
    let node = layer.layer(private);
    for marked in [0, 0, 1] {
        ask(&node, "/").await;
        assert_eq!(layer.handle().stats().marked, marked);
    }
}

#[tokio::test(start_paused = true)]
async fn variants_count_for_their_key() {
    let inner = Inner::replying(|call| with(fresh(call.to_string()), "vary", "accept-language"));
    let node = layer(2).layer(inner);
    let in_language = |language: &str| -> Request<Full<_>> { get_with("/", "accept-language", language) };
    let mut bodies_seen = Vec::new();
    for language in ["en", "de", "de", "en", "en"] {
        bodies_seen.extend(bodies([send(&node, in_language(language))]).await);
        settle().await;
    }
    assert_eq!(bodies_seen, ["1", "2", "2", "3", "3"]);
}
