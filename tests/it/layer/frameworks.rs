//! The layer where frameworks take layers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{Path, Query};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_memolock::middleware::BodyKey;
use tower_memolock::{MemoLockLayer, MemoryStore};

use crate::support::within;

const TTL: Duration = Duration::from_secs(60);

/// Counts the calls of a handler.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn text(app: &Router, method: Method, uri: &str) -> String {
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(axum::body::Body::empty()).expect("a request");
    let response = within("a response", app.clone().oneshot(request))
        .await
        .expect("infallible");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    String::from_utf8(body.expect("a body").into()).expect("UTF-8")
}

async fn got(app: &Router, uri: &str) -> String {
    text(app, Method::GET, uri).await
}

/// A handler that answers with the number of its call.
fn numbered(calls: &Calls) -> impl Fn() -> std::future::Ready<String> + Clone + Send + Sync + 'static {
    let calls = calls.clone();
    move || std::future::ready(calls.next().to_string())
}

#[tokio::test(start_paused = true)]
async fn on_a_router_it_covers_all_routes_and_hands_on_parameters_and_extensions() {
    #[derive(Clone)]
    struct State(&'static str);

    let calls = Calls::default();
    let counter = calls.clone();
    let handler = move |Path(id): Path<String>,
                        Query(query): Query<Vec<(String, String)>>,
                        Extension(State(state)): Extension<State>| async move {
        format!("{} {id} {query:?} {state}", counter.next())
    };
    let app = Router::new()
        .route("/report/{id}", get(handler))
        .layer(MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL))
        .layer(Extension(State("extended")));
    for _ in 0..2 {
        assert_eq!(got(&app, "/report/42?x=1").await, r#"1 42 [("x", "1")] extended"#);
    }
    assert_eq!(got(&app, "/report/43?x=1").await, r#"2 43 [("x", "1")] extended"#);
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn on_a_router_with_route_layer_it_leaves_unknown_paths_alone() {
    let calls = Calls::default();
    let layer = MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL);
    let app = Router::new()
        .route("/known", get(numbered(&calls)))
        .route_layer(layer.clone());
    for _ in 0..2 {
        assert_eq!(got(&app, "/known").await, "1");
        got(&app, "/unknown").await;
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.led, stats.hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn on_one_method_of_a_route_it_leaves_the_others_alone() {
    let (memoized, plain) = (Calls::default(), Calls::default());
    let layer = MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL);
    let app = Router::new()
        .route("/", get(numbered(&memoized)).layer(layer).post(numbered(&plain)))
        .route("/plain", get(numbered(&plain)));
    for round in 0..2 {
        assert_eq!(got(&app, "/").await, "1");
        assert_eq!(text(&app, Method::POST, "/").await, (2 * round + 1).to_string());
        assert_eq!(got(&app, "/plain").await, (2 * round + 2).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_service_builder_it_works_above_and_beneath_other_layers() {
    let calls = Calls::default();
    let app = Router::new().route("/", get(numbered(&calls))).layer(
        ServiceBuilder::new()
            .map_request(|request: Request<axum::body::Body>| request)
            .layer(MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL))
            .concurrency_limit(1)
            .map_response(|response: Response<axum::body::Body>| response),
    );
    for _ in 0..2 {
        assert_eq!(got(&app, "/").await, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn routers_with_layers_of_their_own_share_a_store_and_have_ttls_of_their_own() {
    let (short, long) = (Calls::default(), Calls::default());
    let store = MemoryStore::new();
    let layer = |tag: &'static str, seconds| MemoLockLayer::new(store.clone(), tag).ttl(Duration::from_secs(seconds));
    let app = Router::new()
        .nest(
            "/short",
            Router::new()
                .route("/x", get(numbered(&short)))
                .layer(layer("short", 10)),
        )
        .nest(
            "/long",
            Router::new()
                .route("/x", get(numbered(&long)))
                .layer(layer("long", 100)),
        );
    let mut second = 0;
    for (then, calls) in [(0, ["1", "1"]), (9, ["1", "1"]), (11, ["2", "1"]), (101, ["3", "2"])] {
        tokio::time::advance(Duration::from_secs(then - second)).await;
        second = then;
        assert_eq!(
            [got(&app, "/short/x").await, got(&app, "/long/x").await],
            calls,
            "second {second}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn around_nested_routers_it_sees_the_whole_path() {
    let calls = Calls::default();
    let nested = || Router::new().route("/x", get(numbered(&calls)));
    let app = Router::new()
        .nest("/{tenant}", nested())
        .layer(MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL));
    for _ in 0..2 {
        assert_eq!(got(&app, "/anna/x").await, "1");
        assert_eq!(got(&app, "/elsa/x").await, "2");
    }
}

/// axum cuts the prefix off before a layer of the nested router sees the request.
#[tokio::test(start_paused = true)]
async fn inside_a_nested_router_prefixes_stay_apart() {
    let calls = Calls::default();
    let layer = MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL);
    let nested = Router::new().route("/x", get(numbered(&calls))).layer(layer);
    let app = Router::new().nest("/deep", Router::new().nest("/{tenant}", nested));
    for _ in 0..2 {
        assert_eq!(got(&app, "/deep/anna/x").await, "1");
        assert_eq!(got(&app, "/deep/elsa/x").await, "2");
    }
}

#[tokio::test(start_paused = true)]
async fn axums_head_by_get_keeps_its_length_and_stays_apart_from_get() {
    let calls = Calls::default();
    let app = Router::new()
        .route("/", get(numbered(&calls)))
        .layer(MemoLockLayer::new(MemoryStore::new(), "axum").ttl(TTL));
    for _ in 0..2 {
        let request = Request::head("/").body(axum::body::Body::empty()).expect("a request");
        let response = within("a response", app.clone().oneshot(request))
            .await
            .expect("infallible");
        assert_eq!(response.headers().get("content-length").expect("a length"), "1");
        assert_eq!(got(&app, "/").await, "2");
    }
    assert_eq!(calls.get(), 2);
}

/// A client of a server over HTTP/1.1, in this process.
async fn http1(stream: DuplexStream) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (sender, connection) = within("a handshake", handshake).await.expect("a connection");
    tokio::spawn(connection);
    sender
}

#[tokio::test(start_paused = true)]
async fn on_a_bare_hyper_server_it_takes_incoming_bodies() {
    let calls = Calls::default();
    let counter = calls.clone();
    let inner = service_fn(move |request: Request<Incoming>| {
        let call = counter.next();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let body = [format!("{call} ").as_bytes(), &body].concat();
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(body))))
        }
    });
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "hyper").ttl(TTL))
        .service(inner);
    let (client, server) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(service));
    tokio::spawn(server);
    let mut client = http1(client).await;
    for (method, body, expected) in [
        (Method::GET, "", "1 "),
        (Method::GET, "", "1 "),
        (Method::GET, "filter", "2 filter"),
        (Method::GET, "", "1 "),
        (Method::POST, "post", "3 post"),
        (Method::GET, "", "4 "),
    ] {
        let request = Request::builder().method(method).uri("/").header("host", "hyper");
        let request = request.body(Full::from(body)).expect("a request");
        let response = within("a response", client.send_request(request))
            .await
            .expect("a response");
        let length = response.headers().get("content-length").cloned().expect("a length");
        let body = within("a body", response.into_body().collect())
            .await
            .expect("a body")
            .to_bytes();
        assert_eq!(body, expected);
        assert_eq!(length, body.len().to_string());
    }
}

/// A gRPC method that answers with the number of its call as the message, and with a trailer.
#[derive(Clone)]
struct Counting(Calls);

impl tonic::server::NamedService for Counting {
    const NAME: &'static str = "demo.Counting";
}

impl Service<Request<tonic::body::Body>> for Counting {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let call = self.0.next();
        Box::pin(async move {
            let message = request.into_body().collect().await.expect("a message").to_bytes();
            let reply = [&message[..], &[u8::try_from(call).expect("few calls")]].concat();
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let frames = [Frame::data(Bytes::from(reply)), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut response = Response::new(tonic::body::Body::new(body));
            let grpc = http::HeaderValue::from_static("application/grpc");
            response.headers_mut().insert("content-type", grpc);
            Ok(response)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_tonic_server_unary_calls_are_memoized_by_their_message() {
    let calls = Calls::default();
    let layer = MemoLockLayer::new(MemoryStore::new(), "tonic")
        .methods([Method::POST])
        .key(BodyKey::new())
        .ttl(TTL);
    let (client, server) = tokio::io::duplex(64 * 1024);
    let server = tonic::transport::Server::builder()
        .layer(layer)
        .add_service(Counting(calls.clone()))
        .serve_with_incoming(futures_util::stream::iter([Ok::<_, std::io::Error>(server)]));
    tokio::spawn(server);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let (mut client, connection) = within("a handshake", handshake).await.expect("a connection");
    tokio::spawn(connection);
    for (message, call) in [(1, 1), (2, 2), (1, 1), (2, 2)] {
        let request = Request::post("http://demo/demo.Counting/Count").header("content-type", "application/grpc");
        let message = Bytes::from(vec![0, 0, 0, 0, 1, message]);
        let request = request.body(Full::new(message.clone())).expect("a request");
        let response = within("a response", client.send_request(request))
            .await
            .expect("a response");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let body = within("a body", response.into_body().collect()).await.expect("a body");
        assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
        assert_eq!(body.to_bytes(), [&message[..], &[call]].concat());
    }
    assert_eq!(calls.get(), 2);
}
