//! Answers that the layer and `reverse_proxy` give by themselves, as each kind of client sees them on its connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::{Layer, service_fn};
use tower_memolock::middleware::Freshness;
use tower_memolock::{AtLimit, Limits, MemoLockLayer, MemoryStore};

use crate::support::{HttpClient, Node, Origin, RawOrigin, Reply, raw_exchange};

fn empty(method: &str, url: &str) -> Request<Empty<Bytes>> {
    let method: Method = method.parse().expect("a method");
    let request = Request::builder().method(method).uri(url);
    request.body(Empty::new()).expect("a request")
}

/// An upstream that is not there.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("its number"))
}

/// What clients of every kind see of an answer that no upstream has given.
async fn own_answers(authority: &str, path: &str, status: u16, fields: &str) {
    let line = |version: &str, method: &str| {
        format!("{method} {path} {version}\r\nHost: x\r\nConnection: close\r\n{fields}\r\n")
    };
    let fields: Vec<_> = fields.lines().filter_map(|line| line.split_once(": ")).collect();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut lengths = Vec::new();
        for method in ["GET", "HEAD"] {
            let (head, body) = raw_exchange(authority, &line(version, method)).await;
            let start = format!("{} {status} ", version.to_ascii_lowercase());
            assert!(head.starts_with(&start), "{method}: {head}");
            assert!(!head.contains("\r\ntransfer-encoding"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map(|length| length.parse::<usize>().expect("a number"));
            if method == "HEAD" {
                assert!(body.is_empty(), "a HEAD with {:?}", body.escape_ascii().to_string());
            } else if status != 304 {
                assert_eq!(length, Some(body.len()), "{head}");
            }
            lengths.push(length);
        }
        assert!(lengths[1].is_none() || lengths[1] == lengths[0], "{lengths:?}");
    }
    let client = HttpClient::http2();
    for method in ["GET", "HEAD", "GET", "HEAD"] {
        let mut request = empty(method, &format!("http://{authority}{path}"));
        for (name, value) in &fields {
            let (name, value) = (*name, *value);
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        // DATA in answer to a HEAD would be an error of the whole connection.
        let answer = client.send(request).await.expect("an answer");
        assert_eq!(answer.status, status, "{method}");
        assert!(method == "GET" || answer.body.is_empty(), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn what_the_proxy_says_itself_is_understood_by_every_client() {
    let node = Node::reverse_proxy(&nowhere(), &[]).await;
    own_answers(node.authority(), "/", 502, "").await;
    let upstream =
        RawOrigin::start("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    let node = Node::reverse_proxy(&upstream.url(), &[]).await;
    own_answers(node.authority(), "/", 502, "").await;
    let upstream = RawOrigin::start("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n").await;
    let node = Node::reverse_proxy(&upstream.url(), &[]).await;
    let (head, _) = raw_exchange(
        node.authority(),
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
}

#[tokio::test]
async fn what_is_made_of_a_stored_response_is_understood_by_every_client() {
    let origin = Origin::start(|_| async { Reply::fresh("hello").header("etag", "\"1\"") }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    HttpClient::http1().get(&node.url("/")).await.expect("an answer");
    own_answers(node.authority(), "/", 200, "").await;
    own_answers(node.authority(), "/", 304, "If-None-Match: \"1\"\r\n").await;
    for (range, status, expected) in [("1-2", 206, "el"), ("7-9", 416, "")] {
        for client in [HttpClient::http1(), HttpClient::http2()] {
            let request = Request::get(node.url("/")).header("range", format!("bytes={range}"));
            let answer = client.send(request.body(Empty::new()).expect("a request")).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.text()), (status, expected));
            // A HEAD has no ranges (RFC 9110, 14.2).
            let request = Request::head(node.url("/")).header("range", format!("bytes={range}"));
            let answer = client.send(request.body(Empty::new()).expect("a request")).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.header("content-length")), (200, vec!["5"]));
        }
        let request = format!("GET / HTTP/1.0\r\nHost: x\r\nRange: bytes={range}\r\n\r\n");
        let (head, body) = raw_exchange(node.authority(), &request).await;
        assert!(head.starts_with(&format!("http/1.0 {status} ")), "{head}");
        assert_eq!(body, expected.as_bytes());
    }
    assert_eq!(origin.calls("/"), 1);
}

#[tokio::test]
async fn a_call_of_grpc_without_an_upstream_ends_with_its_head() {
    let node = Node::reverse_proxy(&nowhere(), &[]).await;
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web+proto",
    ] {
        let message = Full::from(Bytes::from_static(b"\0\0\0\0\0"));
        let request = Request::post(node.url("/a.B/C"))
            .header("te", "trailers")
            .header("content-type", content_type);
        let answer = HttpClient::http2()
            .send(request.body(message).expect("a request"))
            .await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(answer.header("content-type"), [content_type]);
        assert_eq!(answer.header("grpc-status"), ["14"]);
        assert_eq!(answer.header("grpc-message"), ["no answer from the upstream"]);
    }
}

/// A server of HTTP/1 and HTTP/2 whose service is `layer` around a service that never answers.
async fn serve(layer: MemoLockLayer) -> (String, Arc<Semaphore>, JoinSet<()>) {
    let called = Arc::new(Semaphore::new(0));
    let calls = Arc::clone(&called);
    let inner = service_fn(move |_: Request<Incoming>| {
        calls.add_permits(1);
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let service = TowerToHyperService::new(layer.layer(inner));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("its number").to_string();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (authority, called, server)
}

#[tokio::test]
async fn what_is_not_stored_is_a_504_that_every_client_understands() {
    let layer = MemoLockLayer::new(MemoryStore::new(), "own").freshness(Freshness::new().only_if_cached(true));
    let (authority, _, _server) = serve(layer).await;
    own_answers(&authority, "/", 504, "Cache-Control: only-if-cached\r\n").await;
}

#[tokio::test]
async fn a_refusal_at_a_limit_is_understood_by_every_client() {
    let at_limit = AtLimit::Refuse {
        retry_after: Duration::from_secs(1),
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "own").limits(Limits::new().max_in_flight(1).at_limit(at_limit));
    let (authority, called, _server) = serve(layer).await;
    let busy = format!("http://{authority}/busy");
    let busy = tokio::spawn(async move { HttpClient::http1().get(&busy).await });
    called.acquire().await.expect("a call").forget();
    for (version, method) in [("1.0", "GET"), ("1.1", "GET")] {
        let request = format!("{method} / HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (head, body) = raw_exchange(&authority, &request).await;
        assert!(head.starts_with(&format!("http/{version} 503 ")), "{head}");
        assert!(body.is_empty() && head.contains("retry-after: 1"), "{head}");
    }
    let client = HttpClient::http2();
    for _ in 0..2 {
        let answer = client.get(&format!("http://{authority}/")).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (503, ""));
    }
    busy.abort();
}
