//! The same over HTTP/1 and HTTP/2 connections, and over a real Redis.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tower::{Layer, service_fn};
use tower_memolock::MemoLockLayer;

use super::fixture::{cluster, fails, give, growing, layer, next, open, plain, trailers, whole};
use crate::layer::failures::key;
use crate::layer::fixture::{Broken, Inner, Node, answer, get, send, settle, with};
use crate::support::{RedisServer, within};

/// Asks `node` on a connection of its own.
async fn asked(node: &Node, http2: bool) -> Response<Incoming> {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let node = node.clone();
    let service = TowerToHyperService::new(service_fn(move |_: Request<Incoming>| {
        let mut node = node.clone();
        async move { tower::Service::call(&mut node, get("/")).await }
    }));
    let request = Request::get("http://example.com/")
        .header("te", "trailers")
        .body(Full::<Bytes>::default())
        .expect("a request");
    let (client, server) = (TokioIo::new(client), TokioIo::new(server));
    let response = if http2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(server, service));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), client).await;
        let (mut sender, connection) = handshake.expect("a connection");
        tokio::spawn(connection);
        within("a head", sender.send_request(request)).await
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        tokio::spawn(builder.serve_connection(server, service));
        let handshake = hyper::client::conn::http1::handshake(client).await;
        let (mut sender, connection) = handshake.expect("a connection");
        tokio::spawn(connection);
        within("a head", sender.send_request(request)).await
    };
    response.expect("a response")
}

async fn part(response: &mut Response<Incoming>) -> Result<Frame<Bytes>, hyper::Error> {
    within("a part", response.body_mut().frame()).await.expect("no end")
}

#[tokio::test(start_paused = true)]
async fn bytes_and_trailers_reach_followers_on_connections() {
    for http2 in [false, true] {
        let (sender, inner) = growing(|reply, _| with(reply, "trailer", "x-cost"));
        let (_, nodes) = cluster(&inner);
        let _leader = open(&nodes[0], get("/")).await;
        let mut follower = asked(&nodes[0], http2).await;
        assert_eq!(follower.headers().get("content-length"), None);
        for text in ["one", "two"] {
            give(&sender, text);
            let frame = part(&mut follower).await.expect("no error");
            assert_eq!(frame.into_data().expect("data"), text);
        }
        sender.send(trailers("x-cost", "7")).expect("a reader");
        drop(sender);
        let frame = part(&mut follower).await.expect("no error");
        assert_eq!(frame.into_trailers().expect("trailers")["x-cost"], "7");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_seen_to_break_off_on_connections() {
    for http2 in [false, true] {
        let (sender, inner) = growing(plain);
        let (_, nodes) = cluster(&inner);
        let _leader = open(&nodes[0], get("/")).await;
        let mut follower = asked(&nodes[0], http2).await;
        give(&sender, "one");
        let frame = part(&mut follower).await.expect("no error");
        assert_eq!(frame.into_data().expect("data"), "one");
        sender.send(Err(Broken("on purpose"))).expect("a reader");
        assert!(part(&mut follower).await.is_err(), "HTTP/2: {http2}");
    }
}

async fn nodes(server: &RedisServer, inner: &Inner) -> ([MemoLockLayer; 2], [Node; 2]) {
    let layers = server.two_stores().await.map(layer);
    let nodes = layers.each_ref().map(|layer| layer.layer(inner.clone()));
    (layers, nodes)
}

#[tokio::test]
async fn over_redis_followers_read_along_and_an_invalidation_elsewhere_ends_it_for_those_who_come_later() {
    let server = RedisServer::start();
    let (sender, inner) = growing(plain);
    let (layers, nodes) = nodes(&server, &inner).await;
    drop(open(&nodes[0], get("/")).await);
    let mut early = open(&nodes[0], get("/")).await;
    give(&sender, "one");
    assert_eq!(next(&mut early).await, "one");
    layers[1].handle().invalidate(&key("/")).await.expect("invalidated");
    let late: Vec<_> = (0..10).map(|_| send(&nodes[0], get("/"))).collect();
    for late in late {
        assert_eq!(answer(late).await.body, "2");
    }
    give(&sender, "two");
    drop(sender);
    assert_eq!(whole(early).await.body, "two");
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "2");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn over_redis_a_lease_that_is_renewed_lets_many_read_along_for_long() {
    let server = RedisServer::start();
    let (sender, inner) = growing(plain);
    let (layers, nodes) = nodes(&server, &inner).await;
    drop(open(&nodes[0], get("/")).await);
    let elsewhere = send(&nodes[1], get("/"));
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(open(&nodes[0], get("/")).await);
        give(&sender, "part");
    }
    drop(sender);
    for reader in readers {
        assert_eq!(whole(reader).await.body, "part".repeat(20));
    }
    assert_eq!(answer(elsewhere).await.body, "part".repeat(20));
    settle().await;
    assert_eq!((inner.calls(), layers[0].handle().stats().recorded_bytes), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis_followers_read_along_while_it_is_gone() {
    let mut server = RedisServer::start();
    let (sender, inner) = growing(plain);
    let (layers, nodes) = nodes(&server, &inner).await;
    drop(open(&nodes[0], get("/")).await);
    let mut reader = open(&nodes[0], get("/")).await;
    server.kill();
    give(&sender, "one");
    assert_eq!(next(&mut reader).await, "one");
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    fails(reader).await;
    assert_eq!((inner.calls(), layers[0].handle().stats().led), (1, 1));
}

/// Whether anything was invalidated before they came cannot be known any more.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_when_redis_is_gone_start_anew_at_once() {
    let mut server = RedisServer::start();
    let (_sender, inner) = growing(plain);
    let (layers, nodes) = nodes(&server, &inner).await;
    drop(open(&nodes[0], get("/")).await);
    server.kill();
    let _late = open(&nodes[0], get("/")).await;
    assert_eq!((inner.calls(), layers[0].handle().stats().led), (2, 2));
}
