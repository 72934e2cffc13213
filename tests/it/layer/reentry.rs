//! What asks for its own result does not wait for it. Time is paused.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get as route;
use bytes::Bytes;
use http::Extensions;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_memolock::{Error, ErrorKind, MemoLock, MemoLockLayer, MemoryStore};

use super::fixture::{Inner, Node, answer, fresh, get, send, settle};
use crate::support::Log;

const SOON: Duration = Duration::from_secs(1);

fn layer(store: &MemoryStore, tag: &str) -> MemoLockLayer {
    MemoLockLayer::new(store.clone(), tag.to_owned())
}

async fn fetch(app: Router, path: &str) -> Bytes {
    let request = Request::get(path).body(axum::body::Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("a response");
    response.into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test(start_paused = true)]
async fn a_layer_applied_twice_is_one() {
    let store = MemoryStore::new();
    let page = || async { ([("cache-control", "max-age=60")], "page") };
    // The same layer, and another one over the same store and tag.
    let same = layer(&store, "same");
    let pairs = [(same.clone(), same), (layer(&store, "other"), layer(&store, "other"))];
    for (outer, inner) in pairs {
        let app = Router::new()
            .route("/", route(page))
            .route_layer(inner.clone())
            .layer(outer.clone());
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(fetch(app.clone(), "/").await, "page");
            settle().await;
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(
            outer.handle().stats().wait_timeouts + inner.handle().stats().wait_timeouts,
            0
        );
        assert!(outer.handle().stats().hits >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_only_the_outer_layer_may_judge_reaches_it_as_it_is() {
    use tower_memolock::middleware::MemoControl;
    let store = MemoryStore::new();
    let inner = Inner::new(|_, call| async move {
        let mut response = super::fixture::text(call.to_string());
        response
            .extensions_mut()
            .insert(MemoControl::new().ttl(Duration::from_secs(60)));
        Ok(response)
    });
    let beneath = layer(&store, "t").layer(inner.clone());
    let node = layer(&store, "t").layer(tower::util::MapResponse::new(beneath, |response: http::Response<_>| {
        response.map(|body: tower_memolock::middleware::MemoBody<_>| body.boxed_unsync())
    }));
    for _ in 0..3 {
        assert_eq!(answer(send(&node, get("/"))).await.body, "1");
        settle().await;
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn layers_with_different_tags_both_collapse() {
    let store = MemoryStore::new();
    let (outer, inner) = (layer(&store, "outer"), layer(&store, "inner"));
    let page = || async { ([("cache-control", "max-age=60")], "page") };
    let app = Router::new()
        .route("/", route(page))
        .layer(inner.clone())
        .layer(outer.clone());
    assert_eq!(fetch(app, "/").await, "page");
    assert_eq!((outer.handle().stats().led, inner.handle().stats().led), (1, 1));
}

/// Asks for `path` from within `shared`, where `inner` answers; with the marks of the request that it belongs to, or without.
async fn ask_within(shared: &MemoLockLayer, inner: Inner, path: &str, marks: Option<Extensions>) -> Bytes {
    let node: Node = shared.clone().layer(inner);
    let mut request = get(path);
    request.extensions_mut().extend(marks.unwrap_or_default());
    let response = node.oneshot(request).await.expect("a response");
    response.into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_for_its_own_page_on_the_way_does_not_wait_for_itself() {
    // In a task of its own, as behind a buffer, it is known by its marks.
    for spawned in [false, true] {
        let shared = layer(&MemoryStore::new(), "t");
        let marks = move |request: &http::Request<_>| spawned.then(|| request.extensions().clone());
        let (of_a, of_b) = (shared.clone(), shared.clone());
        let b = move |request: http::Request<_>, _| {
            let (shared, marks) = (of_b.clone(), marks(&request));
            async move {
                let a = Inner::replying(|_| fresh("the end"));
                Ok(fresh(ask_within(&shared, a, "/a", marks).await))
            }
        };
        let a = move |request: http::Request<_>, _| {
            let (shared, marks, b) = (of_a.clone(), marks(&request), Inner::new(b.clone()));
            async move {
                let asked = async move { ask_within(&shared, b, "/b", marks).await };
                Ok(fresh(match spawned {
                    true => tokio::spawn(asked).await.expect("no panic"),
                    false => asked.await,
                }))
            }
        };
        let begun = Instant::now();
        assert_eq!(
            answer(send(&shared.layer(Inner::new(a)), get("/a"))).await.body,
            "the end"
        );
        assert!(begun.elapsed() < SOON, "{spawned}: {:?}", begun.elapsed());
        assert_eq!(shared.handle().stats().wait_timeouts, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_asks_for_its_own_id_computes_that_for_itself() {
    let memo = MemoLock::new(MemoryStore::new(), "t");
    let begun = Instant::now();
    let (within, deeper) = (memo.clone(), memo.clone());
    let value = memo.get_or_compute("a", move || async move {
        // Through another one.
        within
            .get_or_compute("b", move || async move {
                deeper
                    .get_or_compute("a", || async { Ok::<Bytes, Infallible>("inner".into()) })
                    .await
            })
            .await
    });
    assert_eq!(value.await.unwrap(), "inner");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(memo.get("a").await.unwrap().unwrap(), "inner");
    assert_eq!(memo.stats().wait_timeouts, 0);

    let within = memo.clone();
    let asks = move || {
        let within = within.clone();
        async move {
            within
                .get_or_request("c", || async { Ok::<_, Infallible>(()) })
                .await
                .map(drop)
        }
    };
    let asked: Result<Bytes, Error> = memo.get_or_request("c", asks).await;
    assert!(
        matches!(&asked, Err(error) if error.kind() == ErrorKind::Computation),
        "{asked:?}"
    );
    assert!(begun.elapsed() < SOON);
}

#[tokio::test(start_paused = true)]
async fn what_a_spawned_task_asks_for_is_bounded_by_the_wait_timeout() {
    let memo = MemoLock::new(MemoryStore::new(), "t").wait_timeout(Duration::from_secs(2));
    let within = memo.clone();
    let begun = Instant::now();
    let value = memo.get_or_compute("a", move || async move {
        let asked = tokio::spawn(async move {
            within
                .get_or_compute("a", || async { Ok::<Bytes, Infallible>("no".into()) })
                .await
        });
        let itself = asked.await.expect("no panic");
        assert!(matches!(itself, Err(error) if error.kind() == ErrorKind::WaitTimeout));
        Ok::<Bytes, Infallible>("after all".into())
    });
    assert_eq!(value.await.unwrap(), "after all");
    assert!(begun.elapsed() < Duration::from_secs(3));
    sleep(SOON).await;
}

#[tokio::test(start_paused = true)]
async fn what_two_nodes_ask_of_each_other_is_bounded_and_says_why() {
    let log = Log::start();
    // Node 2, whose page asks node 1, as over the network: nothing comes with the request.
    let timeout = Duration::from_secs(2);
    let layers = ["t", "t"].map(|tag| layer(&MemoryStore::new(), tag).wait_timeout(timeout));
    let [first, second] = layers.clone();
    let over = |shared: &MemoLockLayer, inner: Inner, path: &'static str| {
        let shared = shared.clone();
        tokio::spawn(async move { ask_within(&shared, inner, path, None).await })
    };
    let one = first.clone();
    let a = move |_, _| {
        let (one, two) = (one.clone(), second.clone());
        let b = move |_, _| {
            let again = over(&one, Inner::replying(|_| fresh("the end")), "/a");
            async move { Ok(fresh(again.await.expect("no panic"))) }
        };
        let asked = over(&two, Inner::new(b), "/b");
        async move { Ok(fresh(asked.await.expect("no panic"))) }
    };
    let begun = Instant::now();
    let node: Node = first.layer(Inner::new(a));
    assert_eq!(answer(send(&node, get("/a"))).await.body, "the end");
    assert!(
        begun.elapsed() >= timeout && begun.elapsed() < timeout + SOON,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(log.lines_with("waits for itself").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_layer_applied_twice_is_warned_of_once() {
    let log = Log::start();
    let shared = layer(&MemoryStore::new(), "t");
    let page = || async { "page" };
    let app = Router::new()
        .route("/{n}", route(page))
        .route_layer(shared.clone())
        .layer(shared);
    for path in ["/1", "/2", "/3"] {
        assert_eq!(fetch(app.clone(), path).await, "page");
    }
    let warned = log.lines_with("apply a layer once on the way of a request");
    assert_eq!(warned.len(), 1, "{warned:?}");
}
