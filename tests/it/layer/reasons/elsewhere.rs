//! Calls of gRPC, near copies, workers, and callers without a runtime.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::time::advance;
use tower::{Layer, Service};
use tower_memolock::middleware::{Audit, BodyKey, CacheStatus, GrpcMethod, MemoControl};
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore};

use super::watch::{Watch, Watched};
use crate::layer::fixture::{Inner, answer, fresh, get, get_with, send, settle, text, with};
use crate::layer::grpc::fixture::{METHOD, OTHER, Server, ok, request, status};
use crate::support::{RedisServer, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn calls_of_grpc_count_whether_or_not_they_say_so() {
    for told in [CacheStatus::Silent, CacheStatus::Outcome] {
        let server = Server::new(|call| ok(&call.to_string()));
        let (watch, layer) = Watch::over(|| {
            let layer = MemoLockLayer::grpc(MemoryStore::new(), "grpc").cache_status(told);
            layer.method(GrpcMethod::new(METHOD)).ttl(60 * SECOND)
        });
        let node = layer.layer(server.service());
        let leader = send(&node, request(METHOD, "m", &[]));
        server.gate.reached_by(1).await;
        let follower = send(&node, request(METHOD, "m", &[]));
        let hurried = answer(send(&node, request(METHOD, "m", &[("grpc-timeout", "1S")]))).await;
        assert_eq!(status(&hurried), "4");
        server.gate.open();
        let led = answer(leader).await;
        answer(follower).await;
        settle().await;
        answer(send(&node, request(METHOD, "m", &[]))).await;
        answer(send(&node, request(OTHER, "m", &[]))).await;
        answer(send(&node, request(METHOD, "m", &[("authorization", "x")]))).await;
        watch.has_seen(&[
            ("led/absent", 1),
            ("followed/absent", 1),
            ("refused/deadline", 1),
            ("hit/fresh", 1),
            ("bypassed/unnamed", 1),
            ("bypassed/credentials", 1),
        ]);
        let expected = (told == CacheStatus::Outcome).then_some("memolock; fwd=uri-miss; detail=absent");
        assert_eq!(led.header("cache-status"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_the_key_does_not_cover_name_themselves() {
    let (watch, layer) = Watch::over(|| {
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer").methods([http::Method::POST]);
        layer.key(BodyKey::new().limit(4)).cache_status(CacheStatus::Outcome)
    });
    let node = layer.layer(tower::service_fn(|_| async {
        Ok::<_, crate::layer::fixture::Broken>(fresh("x"))
    }));
    let post = |body: &'static str| Request::post("/").body(Full::from(body)).expect("a request");
    answer(send(&node, post("1234"))).await;
    settle().await;
    answer(send(&node, post("1234"))).await;
    let long = answer(send(&node, post("12345"))).await;
    let expected = "memolock; fwd=bypass; detail=body-not-in-key";
    assert_eq!(long.header("cache-status"), Some(expected));
    watch.has_seen(&[("led/absent", 1), ("hit/fresh", 1), ("bypassed/body-not-in-key", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_gives_no_response_is_a_timeout() {
    let deferring = Inner::replying(|_| {
        let mut reply = text("later");
        *reply.status_mut() = StatusCode::ACCEPTED;
        reply.extensions_mut().insert(MemoControl::new().deferred());
        reply
    });
    let watched = Watched::new(deferring, |layer| {
        layer.may_defer().lease(60 * SECOND).wait_timeout(10 * SECOND)
    });
    let asked: Vec<_> = (0..3).map(|_| send(&watched.node, get("/"))).collect();
    for asked in asked {
        answer(asked).await;
    }
    watched.has_seen(&[("passed/timeout", 1), ("refused/timeout", 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_in_a_pause_says_so() {
    let inner = Inner::replying(|call| match call {
        1 => with(text("x"), "cache-control", "max-age=10, stale-if-error=60"),
        _ => {
            let mut failed = text("y");
            *failed.status_mut() = StatusCode::BAD_GATEWAY;
            failed
        }
    });
    let failures = tower_memolock::middleware::Failures::new().pause(30 * SECOND);
    let watched = Watched::new(inner, |layer| layer.failures(failures));
    watched.expect(get("/"), "led/absent").await;
    advance(15 * SECOND).await;
    watched.expect(get("/"), "stale/stale-if-error").await;
    let told = watched.expect(get("/"), "stale/pause").await;
    assert_eq!(told, "memolock; hit; ttl=-5; detail=pause");
    watched
        .expect(get_with("/", "if-none-match", "\"a\""), "stale/pause")
        .await;
}

#[test]
fn without_a_runtime_the_request_says_so() {
    let watched = Watched::new(Inner::replying(|_| fresh("x")).always_ready(), |layer| layer);
    let mut node = watched.node.clone();
    let mut cx = Context::from_waker(Waker::noop());
    let mut ask = |request: Request<Full<Bytes>>| match pin!(node.call(request)).poll(&mut cx) {
        Poll::Ready(response) => response.expect("a response").headers()["cache-status"].clone(),
        Poll::Pending => panic!("it waits"),
    };
    assert_eq!(ask(get("/")), "memolock; fwd=bypass; detail=no-runtime");
    let post = Request::post("/").body(Full::default()).expect("a request");
    assert_eq!(ask(post), "memolock; fwd=method; detail=no-runtime");
    watched.has_seen(&[("bypassed/no-runtime", 2)]);
}

#[tokio::test]
async fn a_near_copy_is_a_hit_of_its_own_kind() {
    let redis = RedisServer::start();
    let store = RedisStore::builder(redis.url())
        .near(1 << 20)
        .connect()
        .await
        .expect("a store");
    let watched = Watched::over(store, Inner::replying(|_| fresh("x")), |layer| layer);
    answer(send(&watched.node, get("/"))).await;
    within("a near hit", async {
        while !watched.counted().contains_key("hit/near") {
            answer(send(&watched.node, get("/"))).await;
        }
    })
    .await;
    let told = answer(send(&watched.node, get("/"))).await;
    let told = told.header("cache-status").expect("a status");
    assert!(
        told.ends_with("; detail=near") && told.starts_with("memolock; hit; ttl="),
        "{told}"
    );
    assert_eq!(watched.logged(), watched.counted());
}

#[cfg(feature = "admin")]
#[tokio::test(start_paused = true)]
async fn a_layer_that_only_watches_says_so_of_each_request() {
    let watched = Watched::new(Inner::replying(|_| fresh("x")), |layer| layer.audit(Audit::Shadow));
    let post = Request::post("/").body(Full::default()).expect("a request");
    for request in [get("/"), get("/"), post] {
        assert_eq!(answer(send(&watched.node, request)).await.header("cache-status"), None);
    }
    watched.has_seen(&[("bypassed/shadow", 3)]);
}
