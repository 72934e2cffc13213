//! What is said to a user who has set the layer up so that it cannot do what was meant.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::{BufferedBody, GrpcKey, GrpcMethod};
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
