//! Requests whose body is part of the key: a search by POST on axum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use futures_util::stream;
use http::{Method, Request};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_memolock::middleware::BodyKey;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::settle;
use crate::support::within;

const LIMIT: u64 = 16;

/// Two nodes that answer with the number of the call and the body they got.
fn nodes() -> ([Router; 2], Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let search = move |body: Bytes| async move {
        let call = counter.fetch_add(1, Ordering::SeqCst) + 1;
        settle().await;
        [format!("{call} ").as_bytes(), &body].concat()
    };
    let store = MemoryStore::new();
    let nodes = [store.clone(), store].map(|store| {
        let layer = MemoLockLayer::new(store, "search")
            .methods([Method::POST])
            .key(BodyKey::new().limit(LIMIT))
            .ttl(Duration::from_secs(60));
        Router::new().route("/search", post(search.clone())).layer(layer)
    });
    (nodes, calls)
}

fn ask(node: &Router, body: impl Into<Body>) -> JoinHandle<String> {
    ask_with(node, "text/plain", body)
}

fn ask_with(node: &Router, content_type: &str, body: impl Into<Body>) -> JoinHandle<String> {
    let request = Request::post("/search").header("content-type", content_type);
    let request = request.body(body.into()).expect("a request");
    let response = node.clone().oneshot(request);
    tokio::spawn(async move {
        let response = response.await.expect("a response");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        String::from_utf8(body.expect("a body").into()).expect("UTF-8")
    })
}

/// A body in pieces, of undeclared length.
fn pieces(body: &'static str) -> Body {
    let pieces = body
        .as_bytes()
        .chunks(3)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece)));
    Body::from_stream(stream::iter(pieces))
}

async fn got(asked: JoinHandle<String>) -> String {
    within("an answer", asked).await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn the_same_body_shares_and_another_does_not() {
    let (nodes, calls) = nodes();
    for _ in 0..2 {
        let mut asked = Vec::new();
        for i in 0..60 {
            let body = ["kristoff", "anna", "annA", "anna ", ""][i % 5];
            let in_pieces = i % 4 < 2;
            let sent = if in_pieces { pieces(body) } else { Body::from(body) };
            asked.push((body, ask(&nodes[i / 5 % 2], sent)));
        }
        for (body, asked) in asked {
            let got = got(asked).await;
            assert_eq!(got.split_once(' ').expect("a number").1, body);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_body_means_is_part_of_the_key() {
    let (nodes, _) = nodes();
    assert_eq!(got(ask_with(&nodes[0], "application/json", "1")).await, "1 1");
    assert_eq!(got(ask_with(&nodes[1], "text/plain", "1")).await, "2 1");
    assert_eq!(got(ask_with(&nodes[1], "application/json", "1")).await, "1 1");
}

#[tokio::test(start_paused = true)]
async fn a_body_of_exactly_the_limit_shares() {
    let (nodes, calls) = nodes();
    let body = "sixteen letters!";
    for sent in [Body::from(body), pieces(body)] {
        assert_eq!(got(ask(&nodes[0], sent)).await, format!("1 {body}"));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_longer_body_bypasses_and_is_handed_on_to_the_last_byte() {
    let (nodes, _) = nodes();
    let body = "seventeen letters";
    let asked = [Body::from(body), Body::from(body), pieces(body), pieces(body)].map(|body| ask(&nodes[0], body));
    let mut all = Vec::new();
    for asked in asked {
        all.push(got(asked).await);
    }
    all.sort();
    assert_eq!(all, [1, 2, 3, 4].map(|call| format!("{call} {body}")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_reaches_the_handler_as_a_failure() {
    let (nodes, calls) = nodes();
    let broken = [Ok(Bytes::from("kri")), Err(std::io::Error::other("gone"))];
    let refused = got(ask(&nodes[0], Body::from_stream(stream::iter(broken)))).await;
    assert!(refused.contains("gone"), "{refused}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(got(ask(&nodes[0], "kri")).await, "1 kri");
}
