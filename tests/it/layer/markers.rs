//! What is known not to be shared: no request looks it up, waits for it or leads it, until it can be shared after all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::advance;
use tower::Layer;
use tower_memolock::middleware::{Freshness, Privacy, ResponseLimits};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Gate, Inner, Node, TestBody, answer, bodies, data, fresh, get, get_with, pair, parts, send, send_many, settle,
    text, with,
};

const WAVE: usize = 20;

/// Longer than a marker stands by default.
const MARKED: Duration = Duration::from_secs(121);

type Make = fn(usize) -> Response<TestBody>;

fn with_cookie(call: usize) -> Response<TestBody> {
    with(fresh(call.to_string()), "set-cookie", "id=1")
}

/// An inner service behind a gate, whose responses can be shared from the moment that `shareable` says so.
fn changing(gate: &Gate, shareable: &Arc<AtomicBool>, private: Make) -> Inner {
    let (gate, shareable) = (gate.clone(), Arc::clone(shareable));
    Inner::new(move |_, call| {
        let (gate, shareable) = (gate.clone(), Arc::clone(&shareable));
        async move {
            gate.pass().await;
            Ok(match shareable.load(Ordering::SeqCst) {
                true => fresh(call.to_string()),
                false => private(call),
            })
        }
    })
}

/// How many of the next wave call the inner service before any of them has an answer.
async fn at_once(nodes: &[Node; 2], gate: &Gate, request: impl Fn() -> Request<Full<bytes::Bytes>>) -> usize {
    let before = gate.reached();
    let asked = send_many(nodes, WAVE, request);
    gate.reached_by(before + 1).await;
    settle().await;
    let reached = gate.reached() - before;
    gate.let_go(WAVE);
    bodies(asked).await;
    settle().await;
    gate.take_back();
    reached
}

/// One wave by which both nodes learn that a response is private.
async fn learn(nodes: &[Node; 2], gate: &Gate) {
    assert_eq!(at_once(nodes, gate, || get("/")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn the_second_wave_runs_in_parallel_and_the_first_shareable_response_ends_that() {
    let (gate, shareable) = (Gate::new(), Arc::default());
    let inner = changing(&gate, &shareable, with_cookie);
    let nodes = pair(&inner, |layer| layer);
    learn(&nodes, &gate).await;
    for _ in 0..2 {
        assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
    }
    assert_eq!(inner.calls(), 3 * WAVE);

    shareable.store(true, Ordering::SeqCst);
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, 1);
    assert_eq!(inner.calls(), 4 * WAVE + 1);
    assert_eq!(
        bodies(send_many(&nodes, WAVE, || get("/"))).await,
        vec![(4 * WAVE + 1).to_string(); WAVE]
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_not_there_learns_from_the_store() {
    let (gate, shareable) = (Gate::new(), Arc::default());
    let inner = changing(&gate, &shareable, with_cookie);
    let store = MemoryStore::new();
    let node = || MemoLockLayer::new(store.clone(), "layer").layer(inner.clone());
    learn(&[node(), node()], &gate).await;
    assert_eq!(at_once(&[node(), node()], &gate, || get("/")).await, WAVE);
}

#[tokio::test(start_paused = true)]
async fn where_everything_is_stamped_markers_are_too() {
    let (gate, shareable) = (Gate::new(), Arc::default());
    let inner = changing(&gate, &shareable, with_cookie);
    let store = MemoryStore::new();
    let layer = || MemoLockLayer::new(store.clone(), "layer").freshness(Freshness::new().stamped(true));
    let nodes = || [layer().layer(inner.clone()), layer().layer(inner.clone())];
    let known = nodes();
    learn(&known, &gate).await;
    assert_eq!(at_once(&nodes(), &gate, || get("/")).await, WAVE);

    layer().handle().invalidate_all().await.expect("an invalidation");
    assert_eq!(
        at_once(&nodes(), &gate, || get("/")).await,
        1,
        "they are gone with the rest"
    );
    assert_eq!(at_once(&nodes(), &gate, || get("/")).await, WAVE);

    shareable.store(true, Ordering::SeqCst);
    assert_eq!(at_once(&known, &gate, || get("/")).await, WAVE);
    assert_eq!(at_once(&nodes(), &gate, || get("/")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_marker_stands_for_its_time_and_no_longer() {
    let (gate, shareable) = (Gate::new(), Arc::default());
    let inner = changing(&gate, &shareable, with_cookie);
    let nodes = pair(&inner, |layer| layer);
    learn(&nodes, &gate).await;
    advance(MARKED * 8 / 10).await;
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
    advance(MARKED).await;
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn without_markers_every_wave_waits_for_its_first() {
    let (gate, shareable) = (Gate::new(), Arc::default());
    let inner = changing(&gate, &shareable, with_cookie);
    let nodes = pair(&inner, |layer| {
        layer.privacy(Privacy::new().pass_marker(Duration::ZERO))
    });
    for _ in 0..3 {
        learn(&nodes, &gate).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_stays_marked_whatever_its_head_says() {
    let (gate, shareable) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let large: Make = |_| with(parts([data("too "), data("long")]), "cache-control", "max-age=60");
    let inner = changing(&gate, &shareable, large);
    let nodes = pair(&inner, |layer| layer.response_limits(ResponseLimits::new().max_body(7)));
    learn(&nodes, &gate).await;
    for _ in 0..3 {
        assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
    }
    shareable.store(true, Ordering::SeqCst);
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn errors_leave_no_marker_and_server_errors_remove_none() {
    let errors: [Make; 3] = [
        |_| status(500, with(text("x"), "cache-control", "no-store")),
        |_| status(404, with(text("x"), "set-cookie", "id=1")),
        |_| status(206, with(text("x"), "content-range", "bytes 0-0/1")),
    ];
    for error in errors {
        let (gate, shareable) = (Gate::new(), Arc::default());
        let nodes = pair(&changing(&gate, &shareable, error), |layer| layer);
        for _ in 0..2 {
            learn(&nodes, &gate).await;
        }
    }
    let broken = Arc::new(AtomicBool::new(false));
    let inner = {
        let broken = Arc::clone(&broken);
        Inner::replying(move |call| match broken.load(Ordering::SeqCst) {
            true => status(503, text("x")),
            false => with_cookie(call),
        })
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner);
    for (is_broken, marked) in [(false, 0), (false, 1), (true, 2), (false, 3)] {
        broken.store(is_broken, Ordering::SeqCst);
        answer(send(&node, get("/"))).await;
        settle().await;
        assert_eq!(layer.handle().stats().marked, marked);
    }
}

fn status(status: u16, mut response: Response<TestBody>) -> Response<TestBody> {
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_not_collapsed_neither_leave_a_marker_nor_remove_one() {
    let (gate, shareable) = (Gate::new(), Arc::new(AtomicBool::new(false)));
    let inner = changing(&gate, &shareable, with_cookie);
    let nodes = pair(&inner, |layer| layer);
    let others: [fn() -> Request<Full<bytes::Bytes>>; 4] = [
        || get_with("/", "cookie", "id=1"),
        || get_with("/", "authorization", "Basic eDp5"),
        || get_with("/", "range", "bytes=0-0"),
        || Request::head("/").body(Full::default()).expect("a request"),
    ];
    for other in others {
        assert_eq!(at_once(&nodes, &gate, other).await, WAVE);
    }
    learn(&nodes, &gate).await;
    shareable.store(true, Ordering::SeqCst);
    for other in others {
        assert_eq!(at_once(&nodes, &gate, other).await, WAVE);
    }
    shareable.store(false, Ordering::SeqCst);
    assert_eq!(at_once(&nodes, &gate, || get("/")).await, WAVE);
}

#[tokio::test(start_paused = true)]
async fn invalidating_removes_the_marker() {
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        Inner::replying(move |call| {
            calls.fetch_add(1, Ordering::SeqCst);
            with_cookie(call)
        })
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner);
    for marked in [0, 1] {
        answer(send(&node, get("/"))).await;
        settle().await;
        assert_eq!(layer.handle().stats().marked, marked);
    }
    layer
        .handle()
        .invalidate(&super::failures::key("/"))
        .await
        .expect("invalidated");
    answer(send(&node, get("/"))).await;
    assert_eq!((layer.handle().stats().marked, calls.load(Ordering::SeqCst)), (1, 3));
}
