//! Stale answers: while a new response is computed, and where that fails (RFC 5861).

mod failing;
mod refreshing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use tokio::time::advance;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{
    BodyKey, CacheStatus, Failures, Freshness, HeadKey, KeyExtractor, Privacy, Unconfirmed,
};
use tower_memolock::store::{Lock, Store, Token};
use tower_memolock::{Address, MemoLockLayer, MemoryStore, Tag};

use super::fixture::{
    Answer, Broken, Failure, Gate, Inner, Node, TestBody, answer, bodies, data, fresh, get, get_with, pair, pair_over,
    parts, send, send_many, settle, streamed, text, with,
};
use crate::support::within;

/// Past the freshness of what [`fresh`] makes, by five seconds.
const STALE: Duration = Duration::from_secs(65);

fn cached(directives: &'static str) -> impl Fn(usize) -> Response<TestBody> + Clone + Send + Sync + 'static {
    move |call| with(text(call.to_string()), "cache-control", directives)
}

/// Answers the first call at once, and all later ones as the gate lets them, with what `reply` makes of them.
fn gated<F>(gate: &Gate, reply: F) -> Inner
where
    F: Fn(usize) -> Result<Response<TestBody>, Broken> + Clone + Send + Sync + 'static,
{
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply.clone());
        async move {
            if call > 1 {
                gate.pass().await;
            }
            reply(call)
        }
    })
}

/// Has the first response stored, and lets it become stale.
async fn become_stale(nodes: &[Node; 2]) {
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    settle().await;
    advance(STALE).await;
}

async fn ask(node: &Node) -> Answer {
    answer(send(node, get("/"))).await
}

#[tokio::test(start_paused = true)]
async fn while_it_is_computed_anew_no_request_waits_and_one_in_the_cluster_computes() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=10");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    become_stale(&nodes).await;
    for _ in 0..2 {
        for asked in send_many(&nodes, 20, || get("/")) {
            let stale = answer(asked).await;
            assert_eq!((stale.body.as_ref(), stale.header("age")), (&b"1"[..], Some("65")));
            assert_eq!(
                stale.header("cache-status"),
                Some("memolock; hit; ttl=-5; detail=stale-while-revalidate")
            );
        }
        settle().await;
        assert_eq!(gate.reached(), 1);
    }
    gate.open();
    settle().await;
    for node in &nodes {
        let new = ask(node).await;
        assert_eq!((new.body.as_ref(), new.header("age")), (&b"2"[..], Some("0")));
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_layer_says_for_those_that_do_not() {
    let ten = Duration::from_secs(10);
    for (said, stale) in [
        ("max-age=60", true),
        ("max-age=60, stale-while-revalidate=0", false),
        ("max-age=60, stale-while-revalidate=4", false),
        ("max-age=60, stale-while-revalidate=6", true),
        ("max-age=60, must-revalidate, stale-while-revalidate=10", false),
        ("max-age=60, proxy-revalidate", false),
        ("s-maxage=60, stale-while-revalidate=10", false),
        ("max-age=60, no-cache, stale-while-revalidate=10", false),
    ] {
        let inner = Inner::replying(cached(said));
        let nodes = pair(&inner, |layer| {
            layer
                .freshness(Freshness::new().stale_while_revalidate(ten))
                .privacy(Privacy::new().pass_marker(Duration::ZERO))
        });
        become_stale(&nodes).await;
        let expected = if stale { "1" } else { "2" };
        assert_eq!(ask(&nodes[1]).await.body, expected, "{said}");
        settle().await;
        assert_eq!(inner.calls(), 2, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_window_all_requests_wait_again() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=3");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    assert_eq!(gate.reached(), 1);
    gate.open();
    assert_eq!(bodies(asked).await, ["2"; 20]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_only_gets_the_stale_one_too_and_computes_nothing() {
    let inner = Inner::replying(|call| {
        let reply = cached("max-age=60, public, stale-while-revalidate=10")(call);
        with(reply, "etag", "\"a\"")
    });
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    become_stale(&nodes).await;
    let partial = answer(send(&nodes[1], get_with("/", "range", "bytes=0-0"))).await;
    assert_eq!(
        (partial.status, partial.header("age")),
        (StatusCode::PARTIAL_CONTENT, Some("65"))
    );
    assert_eq!(
        partial.header("cache-status"),
        Some("memolock; hit; ttl=-5; detail=stale-while-revalidate")
    );
    let unmodified = answer(send(&nodes[1], get_with("/", "if-none-match", "\"a\""))).await;
    assert_eq!(unmodified.status, StatusCode::NOT_MODIFIED);
    settle().await;
    assert_eq!(inner.calls(), 1);
}
