//! What is said to a user who has set the layer up so that it cannot do what was meant.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_memolock::middleware::{
    BodyKey, BufferedBody, Freshness, GrpcKey, GrpcMethod, KeyExtractor, MemoLockService,
};
use tower_memolock::{MemoLockLayer, MemoryStore};

use crate::support::{Log, within};

type Body = Full<Bytes>;

async fn call_of(layer: &MemoLockLayer<GrpcKey>, path: &str, times: usize) {
    let node = layer.layer(service_fn(async |_: Request<BufferedBody<Body>>| {
        Ok::<_, Infallible>(Response::new(Body::default()))
    }));
    for _ in 0..times {
        let request = Request::post(format!("http://reports{path}"))
            .header("content-type", "application/grpc")
            .body(Body::from(&[0u8, 0, 0, 0, 0][..]))
            .expect("a request");
        within("an answer", node.clone().oneshot(request))
            .await
            .expect("a response");
    }
}

const WORDS: &str = "no call has matched this gRPC method";

#[tokio::test]
async fn a_grpc_name_that_no_call_has_is_warned_of_once() {
    for (named, called, times) in [
        ("/demo.Reports/render", "/demo.Reports/Render", 10),
        ("/Reports/Render", "/demo.Reports/Render", 10),
        ("/demo.Reports/RenderReport", "/demo.Reports/Render", 1000),
        ("/demo.v1.Reports/Render", "/demo.v2.Reports/Render", 1000),
    ] {
        let log = Log::start();
        let layer = MemoLockLayer::grpc(MemoryStore::new(), "reports").method(GrpcMethod::new(named));
        call_of(&layer, called, times - 1).await;
        assert_eq!(log.lines_with(WORDS), [""; 0], "{named}");
        call_of(&layer, called, 1).await;
        let lines = log.lines_with(WORDS);
        assert_eq!(lines.len(), 1, "{named}");
        assert!(lines[0].contains(named) && lines[0].contains(called), "{}", lines[0]);
        call_of(&layer, called, times).await;
        assert_eq!(log.lines_with(WORDS).len(), 1, "{named}");
    }
}

#[tokio::test]
async fn a_grpc_name_that_a_call_has_had_is_never_warned_of() {
    let log = Log::start();
    let layer = MemoLockLayer::grpc(MemoryStore::new(), "reports").method(GrpcMethod::of("demo.Reports", "Render"));
    // Before the first call: other services, and a client that has it wrong.
    call_of(&layer, "/grpc.health.v1.Health/Check", 2000).await;
    call_of(&layer, "/demo.Reports/render", 5).await;
    call_of(&layer, "/demo.Reports/Render", 1).await;
    call_of(&layer, "/demo.Reports/render", 20).await;
    call_of(&layer, "/demo.Reports/List", 2000).await;
    assert_eq!(log.lines_with(WORDS), [""; 0]);
}

type Node<K> = MemoLockService<Answering, K>;

/// What the layer is around: it answers with what it was made with.
#[derive(Clone)]
struct Answering(fn() -> Response<Body>);

impl<B: Send + 'static> Service<Request<B>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok((self.0)()))
    }
}

fn plain() -> Response<Body> {
    Response::new(Body::from("made"))
}

fn layer() -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "misuse")
}

async fn ask<K: KeyExtractor<Body>>(node: &Node<K>, method: Method, path: &str, body: &'static str) -> Bytes
where
    K::Body: Send + 'static,
{
    let request = Request::builder().method(method).uri(path).body(Body::from(body));
    let answer = node.clone().oneshot(request.expect("a request"));
    let answer = within("an answer", answer).await.expect("a response");
    within("a body", answer.into_body().collect())
        .await
        .expect("a whole one")
        .to_bytes()
}

/// The one line with these words that there is after `times` times.
fn one_line(log: &Log, words: &str) -> String {
    let lines = log.lines_with(words);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.concat()
}

#[tokio::test]
async fn a_post_without_a_body_key_is_told_of_the_body_key() {
    let log = Log::start();
    let node = layer().methods([Method::GET, Method::POST]).layer(Answering(plain));
    // With no body there is nothing to cover, and a GET with one is not what was meant.
    ask(&node, Method::POST, "/", "").await;
    ask(&node, Method::GET, "/", "body").await;
    assert_eq!(log.lines_with("body"), [""; 0]);
    for _ in 0..3 {
        assert_eq!(ask(&node, Method::POST, "/", "query").await, "made");
    }
    let line = one_line(&log, "its key does not cover the body");
    assert!(line.contains("BodyKey::new()") && line.contains("POST"), "{line}");
}

#[tokio::test]
async fn a_body_key_without_a_method_is_told_of_the_methods() {
    let log = Log::start();
    let node = layer().key(BodyKey::new()).layer(Answering(plain));
    ask(&node, Method::POST, "/", "").await;
    ask(&node, Method::DELETE, "/", "body").await;
    assert_eq!(log.lines_with("collapsed"), [""; 0]);
    for _ in 0..3 {
        ask(&node, Method::POST, "/", "query").await;
    }
    let line = one_line(&log, "its method is not collapsed");
    assert!(line.contains("Method::POST"), "{line}");

    let log = Log::start();
    let node = layer()
        .methods([Method::POST])
        .key(BodyKey::new())
        .layer(Answering(plain));
    ask(&node, Method::POST, "/", "query").await;
    let node = layer().layer(Answering(plain));
    ask(&node, Method::POST, "/", "query").await;
    assert_eq!(log.lines_with("body"), [""; 0]);
}

#[tokio::test]
async fn a_hundred_responses_without_ttl_and_freshness_are_told_of_the_ttl() {
    const WORDS: &str = "no response is stored";
    let log = Log::start();
    let node = layer().layer(Answering(plain));
    for at in 1..=250 {
        assert_eq!(log.lines_with(WORDS).len(), usize::from(at > 100), "{at}");
        ask(&node, Method::GET, &format!("/{at}"), "").await;
    }
    let line = one_line(&log, WORDS);
    assert!(line.contains(".ttl(") && line.contains("max-age"), "{line}");

    let fresh = || {
        let response = Response::builder().header("cache-control", "max-age=60");
        response.body(Body::default()).expect("a response")
    };
    let none = || {
        let response = Response::builder().header("cache-control", "no-store");
        response.body(Body::default()).expect("a response")
    };
    let not_there = || {
        Response::builder()
            .status(404)
            .body(Body::default())
            .expect("a response")
    };
    let log = Log::start();
    for (layer, answer) in [
        (layer().ttl(Duration::from_secs(60)), plain as fn() -> Response<Body>),
        (layer().freshness(Freshness::new().no_store()), plain),
        (layer(), fresh),
        (layer(), none),
        (layer(), not_there),
    ] {
        let node = layer.layer(Answering(answer));
        for at in 0..150 {
            ask(&node, Method::GET, &format!("/{at}"), "").await;
        }
    }
    assert_eq!(log.lines_with("WARN"), [""; 0]);
}

async fn ask_axum(router: &axum::Router, path: &str) -> u16 {
    let request = Request::get(path).body(axum::body::Body::empty()).expect("a request");
    let answer = within("an answer", router.clone().oneshot(request)).await;
    answer.expect("a response").status().as_u16()
}

#[tokio::test]
async fn a_layer_put_before_the_routes_is_told_of_the_order() {
    use axum::routing::get;
    const WORDS: &str = "for no route";
    let log = Log::start();
    let router = axum::Router::new().layer(layer()).route("/a", get(|| async { "a" }));
    for at in 0..50 {
        assert_eq!(ask_axum(&router, "/a").await, 200);
        assert_eq!(ask_axum(&router, &format!("/wrong/{at}")).await, 404);
    }
    let line = one_line(&log, WORDS);
    assert!(line.contains(".layer(..)") && line.contains(".route(..)"), "{line}");

    let log = Log::start();
    let behind = axum::Router::new().route("/a", get(|| async { "a" })).layer(layer());
    assert_eq!(ask_axum(&behind, "/a").await, 200);
    let any = axum::Router::new().route(
        "/{id}",
        axum::routing::any(|| async { http::StatusCode::NOT_FOUND }).layer(layer()),
    );
    let fallback = axum::Router::new().fallback(|| async { "page" }).layer(layer());
    for router in [&behind, &any, &fallback] {
        for at in 0..50 {
            ask_axum(router, &format!("/{at}")).await;
        }
    }
    assert_eq!(log.lines_with(WORDS), [""; 0]);
}

#[test]
fn without_a_runtime_requests_go_their_own_way_and_the_log_says_why() {
    let log = Log::start();
    let get = layer().ttl(Duration::from_secs(60)).layer(Answering(plain));
    let post = layer()
        .methods([Method::POST])
        .key(BodyKey::new())
        .layer(Answering(plain));
    let request =
        |method: Method, body: &'static str| Request::builder().method(method).uri("/").body(Body::from(body));
    for _ in 0..3 {
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            let answer = get.clone().oneshot(request(method, "").expect("a request"));
            assert_eq!(
                futures_util::FutureExt::now_or_never(answer)
                    .expect("at once")
                    .expect("a response")
                    .status(),
                200
            );
        }
        let answer = post.clone().oneshot(request(Method::POST, "query").expect("a request"));
        assert_eq!(
            futures_util::FutureExt::now_or_never(answer)
                .expect("at once")
                .expect("a response")
                .status(),
            200
        );
    }
    let lines = log.lines_with("no tokio runtime");
    // Of two layers.
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("tokio::main"), "{lines:?}");
}
