//! Limits on how much goes on at once, and on what one message may be.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body::Frame;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tower::{Layer, service_fn};
use tower_memolock::middleware::{BodyKey, Privacy, ResponseLimits};
use tower_memolock::{AtLimit, ErrorKind, Limit, Limits, MemoLock, MemoLockLayer, MemoryStore};

use super::fixture::{
    Gate, Inner, answer, bodies, by_hand, data, fresh, get, parts, send, settle, streamed, text, with,
};
use crate::support::within;

const REFUSE: AtLimit = AtLimit::Refuse {
    retry_after: Duration::from_secs(7),
};

fn layer() -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "layer")
}

/// An inner service that waits at a gate and answers with the number of the call.
fn gated() -> (Gate, Inner) {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| Ok(fresh(format!("call {call}"))));
    (gate, inner)
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_limit_of_waiters_go_to_the_inner_service() {
    let layer = layer().limits(Limits::new().max_waiters(2));
    let (gate, inner) = gated();
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    gate.reached_by(1).await;
    let waiting: Vec<_> = (0..2).map(|_| send(&node, get("/"))).collect();
    settle().await;
    let more: Vec<_> = (0..3).map(|_| send(&node, get("/"))).collect();
    gate.reached_by(4).await;
    let stats = layer.handle().stats();
    assert_eq!((stats.waiting, stats.in_flight, stats.limited_waiters), (2, 1, 3));

    gate.open();
    assert_eq!(answer(leader).await.body, "call 1");
    assert_eq!(bodies(waiting).await, ["call 1", "call 1"]);
    let mut own = bodies(more).await;
    own.sort();
    assert_eq!(own, ["call 2", "call 3", "call 4"]);
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.waiting, stats.in_flight, stats.recorded_bytes), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_limit_of_waiters_are_refused_where_it_says_so() {
    let layer = layer().limits(Limits::new().max_waiters(1).at_limit(REFUSE));
    let (gate, inner) = gated();
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    gate.reached_by(1).await;
    let waiting = send(&node, get("/"));
    settle().await;
    for _ in 0..3 {
        let refused = answer(send(&node, get("/"))).await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("retry-after")),
            (503, Some("7"))
        );
        assert!(refused.body.is_empty());
    }
    gate.open();
    assert_eq!(bodies([leader, waiting]).await, ["call 1", "call 1"]);
    assert_eq!(inner.calls(), 1);
    assert_eq!(layer.handle().stats().limited_waiters, 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_over_the_limit_of_keys_in_flight_is_not_collapsed() {
    let layer = layer().limits(Limits::new().max_in_flight(1));
    let (gate, inner) = gated();
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    gate.reached_by(1).await;
    let others: Vec<_> = (0..2).map(|_| send(&node, get("/b"))).collect();
    gate.reached_by(3).await;
    // One more for the key that is in flight is none too many.
    let joined = send(&node, get("/a"));
    settle().await;
    assert_eq!(
        (layer.handle().stats().limited_in_flight, layer.handle().stats().waiting),
        (2, 1)
    );

    gate.open();
    assert_eq!(bodies([first, joined]).await, ["call 1", "call 1"]);
    bodies(others).await;
    // There is room again.
    answer(send(&node, get("/b"))).await;
    answer(send(&node, get("/b"))).await;
    assert_eq!(inner.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_key_over_the_limit_of_keys_in_flight_is_refused_where_it_says_so() {
    let layer = layer().limits(Limits::new().max_in_flight(1).at_limit(REFUSE));
    let (gate, inner) = gated();
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    gate.reached_by(1).await;
    assert_eq!(answer(send(&node, get("/b"))).await.status, 503);
    gate.open();
    assert_eq!(answer(first).await.body, "call 1");
    // What is stored is found, whatever goes on.
    assert_eq!(answer(send(&node, get("/a"))).await.body, "call 1");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn recordings_together_hold_no_more_than_they_may() {
    let layer = layer().response_limits(ResponseLimits::new().max_recording(30));
    let (one, stream) = by_hand();
    let stream = std::sync::Mutex::new(Some(stream));
    let inner = Inner::replying(move |call| {
        if let Some(stream) = stream.lock().unwrap().take() {
            return with(streamed(stream), "cache-control", "max-age=60");
        }
        let body = format!("call {call} with some bytes");
        with(parts([data(body)]), "cache-control", "max-age=60")
    });
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    settle().await;
    one.send(data("twenty bytes of body")).expect("a reader");
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 20);

    // Twenty-two more do not fit: their client gets them, and no other caller does.
    for call in 2..4 {
        let body = answer(send(&node, get("/b"))).await.body;
        assert_eq!(body, format!("call {call} with some bytes"));
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.limited_recording, stats.recorded_bytes), (2, 20));

    drop(one);
    assert_eq!(answer(first).await.body, "twenty bytes of body");
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
    for _ in 0..2 {
        assert_eq!(answer(send(&node, get("/b"))).await.body, "call 4 with some bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_would_lead_without_room_to_record_is_refused_where_it_says_so() {
    let layer = layer()
        .response_limits(ResponseLimits::new().max_recording(20))
        .limits(Limits::new().at_limit(REFUSE));
    let (one, stream) = by_hand();
    let stream = std::sync::Mutex::new(Some(stream));
    let inner = Inner::replying(move |_| match stream.lock().unwrap().take() {
        Some(stream) => with(streamed(stream), "cache-control", "max-age=60"),
        None => fresh("later"),
    });
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    settle().await;
    one.send(data("twenty bytes of body")).expect("a reader");
    settle().await;
    assert_eq!(answer(send(&node, get("/b"))).await.status, 503);
    assert_eq!(inner.calls(), 1);
    drop(one);
    assert_eq!(answer(first).await.body, "twenty bytes of body");
    settle().await;
    assert_eq!(answer(send(&node, get("/b"))).await.body, "later");
}

#[tokio::test(start_paused = true)]
async fn an_unread_recording_counts_until_its_client_leaves() {
    let layer = layer();
    let node = layer.layer(Inner::replying(|_| fresh("ten bytes.")));
    let response = within("a head", tower::ServiceExt::oneshot(node.clone(), get("/"))).await;
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 10);
    drop(response);
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
    assert_eq!(answer(send(&node, get("/"))).await.body, "ten bytes.");
    assert_eq!(layer.handle().stats().hits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_with_too_many_fields_is_neither_stored_nor_shared() {
    const LONG: &str = "a value that is much longer than a value has to be, and then a little longer than that";
    let layer = layer()
        .response_limits(ResponseLimits::new().max_headers(100))
        .privacy(Privacy::new().pass_marker(Duration::ZERO));
    let trailers = || {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static(LONG))]);
        parts([data("x"), Ok(Frame::trailers(trailers))])
    };
    let inner = Inner::replying(move |call| {
        let reply = match call {
            1 | 2 => with(text("x"), "x-long", LONG),
            3 | 4 => trailers(),
            _ => text("x"),
        };
        with(reply, "cache-control", "max-age=60")
    });
    let node = layer.layer(inner.clone());
    for call in 1..=4 {
        answer(send(&node, get("/"))).await;
        settle().await;
        assert_eq!(
            (inner.calls(), layer.handle().stats().limited_headers),
            (call, call as u64)
        );
    }
    for _ in 0..3 {
        answer(send(&node, get("/"))).await;
    }
    assert_eq!((inner.calls(), layer.handle().stats().limited_headers), (5, 4));
}

#[tokio::test(start_paused = true)]
async fn a_target_of_any_length_is_stored_and_its_key_stays_short() {
    let layer = layer().key_headers(["x-tenant"]);
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let node = layer.layer(inner.clone());
    let long = format!("/{}", "a".repeat(60_000));
    for (expected, target) in [("1", &long), ("1", &long), ("2", &format!("{long}b")), ("1", &long)] {
        assert_eq!(answer(send(&node, get(target))).await.body, expected);
        settle().await;
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn bodies_over_their_limit_are_counted() {
    let layer = layer()
        .response_limits(ResponseLimits::new().max_body(3))
        .privacy(Privacy::new().pass_marker(Duration::ZERO));
    let inner = Inner::replying(|call| match call {
        1 => fresh("long"),
        _ => with(parts([data("lo"), data("ng")]), "cache-control", "max-age=60"),
    });
    let node = layer.layer(inner);
    for calls in 1..3 {
        assert_eq!(answer(send(&node, get("/"))).await.body, "long");
        assert_eq!(layer.handle().stats().limited_body, calls);
    }
}

#[test]
fn the_limits_are_these_unless_set() {
    assert_eq!(ResponseLimits::DEFAULT_MAX_HEADERS, 64 << 10);
    assert_eq!(ResponseLimits::DEFAULT_MAX_RECORDING, 256 << 20);
}

#[tokio::test]
async fn a_grpc_call_at_a_limit_is_told_unavailable() {
    let layer = layer()
        .methods([Method::POST])
        .key(BodyKey::new())
        .limits(Limits::new().max_in_flight(0).at_limit(REFUSE));
    let inner = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("never")))) });
    let service = layer.layer(inner);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its number"));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .await;
    });
    let endpoint = tonic::transport::Endpoint::from_shared(url).expect("a URL");
    let channel = within("a connection", endpoint.connect()).await;
    let mut client = tonic::client::Grpc::new(channel.expect("a connection"));
    client.ready().await.expect("a ready client");
    let path = PathAndQuery::from_static("/demo.Reports/Render");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let call = client.unary(tonic::Request::new(()), path, codec);
    let status = within("an answer", call).await.expect_err("refused");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "too many requests are waiting")
    );
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").expect("a hint"), "7000");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn callers_of_the_core_at_a_limit_compute_for_themselves_or_are_told() {
    let memo = MemoLock::new(MemoryStore::new(), "core").limits(Limits::new().max_in_flight(0));
    let compute = |value: &'static str| move || async move { Ok::<_, Infallible>(Bytes::from(value)) };
    for value in ["one", "two"] {
        assert_eq!(memo.get_or_compute("a", compute(value)).await.expect("a value"), value);
    }
    assert_eq!(memo.get("a").await.expect("a key"), None);
    let strict = memo.clone().limits(Limits::new().at_limit(REFUSE));
    let refused = strict.get_or_compute("a", compute("three")).await;
    assert!(
        matches!(&refused, Err(error) if error.kind() == ErrorKind::AtLimit(Limit::InFlight)),
        "{refused:?}"
    );

    let stats = strict.stats();
    assert_eq!((stats.limited_in_flight, stats.led), (3, 0));
}
