//! Which calls are collapsed, and with which settings.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tokio::time::advance;
use tower::ServiceExt;
use tower_memolock::middleware::{CacheStatus, GrpcMethod, MemoControl, ResponseLimits};
use tower_memolock::{AtLimit, Limits};

use super::fixture::{METHOD, OTHER, Server, call, contents, message, ok, raw_request, reply, request, status};
use crate::layer::fixture::{answer, read, send, settle};

const TTL: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn calls_of_a_method_on_two_nodes_cost_one_and_later_ones_none() {
    let server = Server::counting();
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    let asked: Vec<_> = (0..100).map(|i| call(&nodes[i % 2], &[])).collect();
    server.gate.reached_by(1).await;
    settle().await;
    server.gate.open();
    assert_eq!(contents(asked).await, ["1"; 100]);
    assert_eq!(contents([call(&nodes[0], &[]), call(&nodes[1], &[])]).await, ["1"; 2]);
    advance(TTL).await;
    assert_eq!(contents([call(&nodes[0], &[])]).await, ["2"]);

    let seen = &server.seen()[0];
    assert_eq!(
        (seen.path.as_str(), &seen.body[..]),
        (METHOD, b"\0\0\0\0\x01m".as_slice())
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_ttl_those_who_wait_share_and_nothing_is_stored() {
    let server = Server::counting();
    let nodes = server.nodes(|layer| layer);
    for round in ["1", "2"] {
        let asked: Vec<_> = (0..20).map(|i| call(&nodes[i % 2], &[])).collect();
        server.gate.reached_by(round.parse().expect("a number")).await;
        settle().await;
        server.gate.let_go(1);
        assert_eq!(contents(asked).await, [round; 20]);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_not_named_passes_untouched() {
    let server = Server::open(|call| {
        let mut response = reply(&[&call.to_string(), "more"], "0");
        response.extensions_mut().insert(MemoControl::new().ttl(TTL));
        response
    });
    let nodes = server.nodes(|layer| layer.ttl(TTL).cache_status(CacheStatus::Outcome));
    let json = [("content-type", "application/json")];
    let two = [message("a"), message("b")].concat();
    let get = Request::get(METHOD).body(Full::default()).expect("a request");
    let mut put = request(METHOD, "m", &[]);
    *put.method_mut() = Method::PUT;
    let mut web = request(METHOD, "m", &[]);
    web.headers_mut()
        .insert("content-type", "application/grpc-web+proto".parse().expect("a value"));
    let passing = [
        request(OTHER, "m", &[]),
        request(OTHER, "m", &[("grpc-timeout", "1S"), ("authorization", "x")]),
        raw_request(OTHER, two, &[]),
        request("/p.Service/Method/", "m", &[]),
        raw_request("/", "text", &json),
        get,
        put,
        web,
    ];
    for (call, passing) in (1..).zip(passing) {
        let sent = (passing.headers().clone(), passing.body().clone());
        let response = nodes[0].clone().oneshot(passing).await.expect("a response");
        assert_eq!(response.extensions().get(), Some(&MemoControl::new().ttl(TTL)));
        let answer = read(response).await.expect("a body");
        assert_eq!(answer.header("cache-status"), None);
        assert_eq!(answer.headers["x-initial"], "i");
        assert_eq!(answer.trailers.expect("trailers")["x-trailing"], "t");

        assert_eq!(server.calls(), call);
        let seen = server.seen().remove(call - 1);
        let body = sent.1.collect().await.expect("a body").to_bytes();
        assert_eq!((seen.headers, seen.body), (sent.0, body));
    }
}

#[tokio::test(start_paused = true)]
async fn methods_have_their_own_ttl_and_that_of_the_layer_whenever_it_is_set() {
    let server = Server::open(|call| ok(&call.to_string()));
    let short = Duration::from_secs(1);
    let [node, _] = server.nodes(|layer| layer.method(GrpcMethod::of("p.Service", "Other").ttl(short)).ttl(TTL));
    let ask = async |path| contents([send(&node, request(path, "m", &[]))]).await.remove(0);
    assert_eq!(ask(METHOD).await, "1");
    assert_eq!(ask(OTHER).await, "2");
    advance(short).await;
    assert_eq!(ask(METHOD).await, "1");
    assert_eq!(ask(OTHER).await, "3");
    advance(TTL).await;
    assert_eq!(ask(METHOD).await, "4");
}

#[tokio::test(start_paused = true)]
async fn the_last_of_two_methods_with_one_path_counts_and_zero_keeps_nothing() {
    let server = Server::open(|call| ok(&call.to_string()));
    let none = GrpcMethod::new(METHOD).ttl(Duration::ZERO);
    let [node, _] = server.nodes(|layer| layer.ttl(TTL).method(none.clone()));
    assert_eq!(contents([call(&node, &[])]).await, ["1"]);
    assert_eq!(contents([call(&node, &[])]).await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn methods_have_limits_of_their_own() {
    let server = Server::open(|call| ok(&call.to_string()));
    let small = GrpcMethod::new(OTHER)
        .max_message(3)
        .response_limits(ResponseLimits::new().max_body(5));
    let [node, _] = server.nodes(|layer| {
        layer
            .ttl(TTL)
            .method(GrpcMethod::new(METHOD).max_message(10))
            .method(small.clone())
    });
    let ask = async |path, content| contents([send(&node, request(path, content, &[]))]).await.remove(0);
    for (path, content, is_shared) in [
        (METHOD, "ten chars!", true),
        (METHOD, "eleven char", false),
        // Its replies are six bytes long.
        (OTHER, "abc", false),
    ] {
        let first = ask(path, content).await;
        assert_eq!(ask(path, content).await == first, is_shared, "{path} {content}");
    }
}

#[tokio::test(start_paused = true)]
async fn methods_share_one_table_of_what_is_under_way() {
    let server = Server::counting();
    let retry_after = Duration::from_millis(1500);
    let [node, _] = server.nodes(|layer| {
        let layer = layer
            .method(GrpcMethod::new(OTHER))
            .limits(Limits::new().max_in_flight(1));
        layer.limits(Limits::new().at_limit(AtLimit::Refuse { retry_after }))
    });
    let first = send(&node, request(METHOD, "m", &[]));
    server.gate.reached_by(1).await;
    let refused = answer(send(&node, request(OTHER, "m", &[]))).await;
    assert_eq!((refused.status.as_u16(), status(&refused)), (200, "14"));
    assert_eq!(refused.headers["grpc-retry-pushback-ms"], "1500");
    assert_eq!(refused.headers["grpc-message"], "too many requests are waiting");
    assert!(refused.body.is_empty() && refused.trailers.is_none());
    server.gate.open();
    assert_eq!(contents([first]).await, ["1"]);
}
