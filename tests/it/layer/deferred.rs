//! Handlers that leave the response to another program.

mod late;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::stored_response::{BinaryHttp, Meta, StoredResponse};
use tower_memolock::middleware::{CacheStatus, MemoControl, Promise};
use tower_memolock::{MemoLock, MemoLockLayer, MemoryStore, StoreErrorKind};

use super::fixture::{
    Broken, Failure, Gate, Inner, Node, TestBody, answer, bodies, fresh, get, pair, pair_over, send, send_many, settle,
    text, with,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// 202 with the marker.
fn deferred(call: usize) -> Response<TestBody> {
    let mut reply = with(text(format!("call {call}")), "retry-after", "5");
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply.extensions_mut().insert(MemoControl::new().deferred());
    reply
}

fn deferring() -> Inner {
    Inner::replying(deferred)
}

fn may_defer(layer: MemoLockLayer) -> MemoLockLayer {
    layer.may_defer().lease(5 * SECOND).wait_timeout(25 * SECOND)
}

/// A layer that shares with the nodes, as a worker has it.
fn nodes_and_worker(inner: &Inner, set: impl Fn(MemoLockLayer) -> MemoLockLayer) -> ([Node; 2], MemoLockLayer) {
    let store = MemoryStore::new();
    let nodes = pair_over([store.clone(), store.clone()], inner, &set);
    (nodes, set(MemoLockLayer::new(store, "layer")))
}

fn pdf() -> StoredResponse {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/pdf".parse().expect("a value"))]);
    StoredResponse::new(
        StatusCode::OK,
        headers,
        Bytes::from_static(b"%PDF"),
        None,
        Meta::default(),
    )
}

fn with_field(name: &'static str, value: &str) -> StoredResponse {
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().expect("a value"))]);
    StoredResponse::new(StatusCode::OK, headers, Bytes::new(), None, Meta::default())
}

/// The id of the promise for `get("/")`.
async fn id() -> String {
    let inner = Inner::new(|request: Request<Full<Bytes>>, _| async move {
        let promise = request.extensions().get::<Promise>().expect("a promise");
        assert_eq!(promise.key(), format!("layer:{}", promise.id()));
        assert_eq!(promise.channel(), format!("layer/notif:{}", promise.id()));
        assert_eq!((promise.tag(), promise.lease()), ("layer", 5 * SECOND));
        Ok(text(promise.id().to_owned()))
    });
    let nodes = pair(&inner, may_defer);
    let body = answer(send(&nodes[0], get("/"))).await.body;
    String::from_utf8(body.into()).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn all_followers_get_what_a_worker_gives() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let asked = send_many(&nodes, 10, || get("/"));
    settle().await;
    advance(3 * SECOND).await;
    worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
    assert_eq!(bodies(asked).await, vec!["%PDF"; 10]);
    let hit = answer(send(&nodes[1], get("/"))).await;
    assert_eq!(
        (hit.status, hit.header("content-type")),
        (StatusCode::OK, Some("application/pdf"))
    );
    assert_eq!(inner.calls(), 1);
    let stats = worker.handle().stats();
    assert_eq!(stats.rejected, 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_the_layer_gives_it_as_well() {
    let inner = deferring();
    let store = MemoryStore::new();
    let nodes = pair_over([store.clone(), store.clone()], &inner, may_defer);
    let asked = send_many(&nodes, 4, || get("/"));
    settle().await;
    let worker = MemoLock::with_codec(store, "layer", BinaryHttp);
    worker.resolve(id().await, Arc::new(pdf()), HOUR).await.expect("given");
    assert_eq!(bodies(asked).await, vec!["%PDF"; 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_is_for_those_who_wait() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let asked = send_many(&nodes, 10, || get("/"));
    settle().await;
    let id = id().await;
    worker
        .handle()
        .resolve(&id, pdf(), Duration::ZERO)
        .await
        .expect("given");
    assert_eq!(bodies(asked).await, vec!["%PDF"; 10]);
    let later = send(&nodes[0], get("/"));
    settle().await;
    assert_eq!(inner.calls(), 2);
    worker
        .handle()
        .resolve(&id, pdf(), Duration::ZERO)
        .await
        .expect("given");
    assert_eq!(answer(later).await.body, "%PDF");
}

#[tokio::test(start_paused = true)]
async fn the_response_may_be_there_before_the_handler_is_done() {
    let gate = Gate::new();
    let inner = Inner::new({
        let gate = gate.clone();
        move |_, call| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(deferred(call))
            }
        }
    });
    for ttl in [HOUR, Duration::ZERO] {
        let (nodes, worker) = nodes_and_worker(&inner, may_defer);
        let before = gate.reached();
        let asked = send_many(&nodes, 10, || get("/"));
        gate.reached_by(before + 1).await;
        settle().await;
        worker.handle().resolve(id().await, pdf(), ttl).await.expect("given");
        assert_eq!(bodies(asked).await, vec!["%PDF"; 10]);
        gate.let_go(1);
        settle().await;
        assert_eq!(gate.reached(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_take_nothing_with_them() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let first = send(&nodes[0], get("/"));
    settle().await;
    let others = send_many(&nodes, 4, || get("/"));
    settle().await;
    first.abort();
    settle().await;
    assert_eq!(inner.calls(), 1);
    let id = id().await;
    worker.handle().resolve(&id, pdf(), HOUR).await.expect("given");
    assert_eq!(bodies(others).await, vec!["%PDF"; 4]);

    // All of them leave: what is given then is for callers that come.
    worker
        .handle()
        .invalidate(&id.as_str().try_into().expect("a key"))
        .await
        .expect("gone");
    let left = send(&nodes[0], get("/"));
    settle().await;
    left.abort();
    settle().await;
    worker.handle().resolve(&id, pdf(), HOUR).await.expect("given");
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "%PDF");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_shared_cannot_be_given() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let asked = send(&nodes[0], get("/"));
    settle().await;
    let id = id().await;
    for response in [
        with_field("set-cookie", "a=b"),
        with_field("cache-control", "private"),
        with_field("vary", "accept"),
        with_field("content-length", "1"),
        with_field("content-type", "application/grpc"),
    ] {
        let error = worker.handle().resolve(&id, response, HOUR).await.expect_err("refused");
        let cause = std::error::Error::source(&error).expect("a cause");
        let cause: &tower_memolock::StoreError = cause.downcast_ref().expect("of the store");
        assert_eq!(cause.kind(), StoreErrorKind::Encode);
    }
    settle().await;
    assert!(!asked.is_finished());
    assert!(worker.handle().resolve("", pdf(), HOUR).await.is_err());
    worker.handle().resolve(&id, pdf(), HOUR).await.expect("given");
    assert_eq!(answer(asked).await.body, "%PDF");
}

#[tokio::test(start_paused = true)]
async fn under_another_layer_the_marker_changes_little() {
    let promises = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&promises);
    let inner = Inner::new(move |request: Request<Full<Bytes>>, call| {
        *seen.lock().expect("no panic") += usize::from(request.extensions().get::<Promise>().is_some());
        async move {
            tokio::time::sleep(SECOND).await;
            let mut reply = with(deferred(call), "cache-control", "max-age=60");
            reply.extensions_mut().insert(MemoControl::new().ttl(HOUR).deferred());
            Ok(reply)
        }
    });
    let nodes = pair(&inner, |layer| layer);
    for call in ["call 1", "call 2"] {
        for asked in send_many(&nodes, 4, || get("/")) {
            let answer = answer(asked).await;
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (StatusCode::ACCEPTED, Some("5"))
            );
            assert_eq!(answer.body, call, "shared, and not stored");
        }
    }
    assert_eq!(*promises.lock().expect("no panic"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_no_follower_waits_for_comes_without_a_promise() {
    let inner = Inner::new(|request: Request<Full<Bytes>>, call| async move {
        assert!(request.extensions().get::<Promise>().is_none());
        Ok(deferred(call))
    });
    let (nodes, _worker) = nodes_and_worker(&inner, may_defer);
    for request in [
        Request::post("/").body(Full::default()),
        Request::head("/").body(Full::default()),
        Request::get("/").header("cookie", "a=b").body(Full::default()),
    ] {
        let response = nodes[0]
            .clone()
            .oneshot(request.expect("a request"))
            .await
            .expect("a response");
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert!(response.extensions().get::<MemoControl>().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_answers_itself_does_so_however_long_it_takes() {
    let inner = Inner::new(|_, call| async move {
        tokio::time::sleep(28 * SECOND).await;
        Ok(fresh(call.to_string()))
    });
    let (nodes, _worker) = nodes_and_worker(&inner, may_defer);
    let first = send(&nodes[0], get("/"));
    settle().await;
    let other = send(&nodes[0], get("/"));
    assert_eq!(answer(other).await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer(first).await.body, "1");
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_is_succeeded_as_ever() {
    for panics in [false, true] {
        let inner = Inner::new(move |_, call| async move {
            tokio::time::sleep(SECOND).await;
            match call {
                1 if panics => panic!("neither"),
                1 => Err(Broken("no")),
                call => Ok(deferred(call)),
            }
        });
        let (nodes, worker) = nodes_and_worker(&inner, may_defer);
        let asked = send_many(&nodes, 6, || get("/"));
        for _ in 0..5 {
            advance(SECOND).await;
            settle().await;
        }
        assert_eq!(inner.calls(), 2);
        worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
        let mut given = 0;
        for asked in asked {
            match asked.await {
                Ok(Ok(answer)) => given += usize::from(answer.body == "%PDF"),
                Ok(Err(Failure::Call(error))) => assert_eq!(error, Broken("no")),
                Ok(Err(error)) => panic!("{error:?}"),
                Err(error) => assert!(error.is_panic()),
            }
        }
        assert_eq!(given, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_goes_on_answering_until_another_is_given() {
    let inner = Inner::replying(|call| match call {
        1 => with(text("old"), "cache-control", "max-age=60, stale-while-revalidate=600"),
        call => deferred(call),
    });
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "old");
    settle().await;
    advance(70 * SECOND).await;
    for node in &nodes {
        assert_eq!(answer(send(node, get("/"))).await.body, "old");
        settle().await;
    }
    assert_eq!(inner.calls(), 2);
    worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
    settle().await;
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "%PDF");
    assert_eq!(inner.calls(), 2);
}
