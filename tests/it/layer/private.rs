//! What is never shared: each request its own call, its own response, at its own time.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tokio::sync::Barrier;

use super::fixture::{
    Gate, Inner, answer, bodies, by_hand, data, fresh, get, get_with, pair, send, send_many, settle, streamed, text,
    with,
};

const TTL: Duration = Duration::from_secs(60);

fn sorted(mut bodies: Vec<String>) -> Vec<usize> {
    let mut numbers: Vec<_> = bodies.drain(..).map(|body| body.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(start_paused = true)]
async fn private_responses_are_each_for_one_request_and_waiters_run_in_parallel() {
    const REQUESTS: usize = 40;
    for (name, value) in [
        ("set-cookie", "id=1"),
        ("cache-control", "no-store"),
        ("cache-control", "private"),
        ("cache-control", "max-age=60, private=\"x\""),
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=\"60"),
        ("vary", "*"),
        ("vary", "accept, *"),
    ] {
        let gate = Gate::new();
        let inner = Inner::gated(&gate, move |_, call| Ok(with(text(call.to_string()), name, value)));
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        let asked = send_many(&nodes, REQUESTS, || get("/"));
        gate.reached_by(1).await;
        settle().await;
        assert_eq!(gate.reached(), 1, "{name}: {value}");

        gate.let_go(1);
        gate.reached_by(REQUESTS).await;
        gate.open();

        let expected: Vec<_> = (1..=REQUESTS).collect();
        assert_eq!(sorted(bodies(asked).await), expected, "{name}: {value}");
        assert_eq!(answer(send(&nodes[0], get("/"))).await.body, (REQUESTS + 1).to_string());
    }
}

/// Requests like this one neither share a response nor read a stored one, nor store their own.
async fn goes_its_own_way(what: &str, request: impl Fn() -> Request<Full<Bytes>>) {
    // Both are inside at the same time, or neither comes out.
    let together = std::sync::Arc::new(Barrier::new(2));
    let inner = Inner::new(move |request, call| {
        let together = std::sync::Arc::clone(&together);
        let alone = request.headers().contains_key("x-alone");
        async move {
            if !alone {
                together.wait().await;
            }
            Ok(fresh(call.to_string()))
        }
    });
    let nodes = pair(&inner, |layer| layer.ttl(TTL));
    assert_eq!(sorted(bodies(send_many(&nodes, 2, &request)).await), [1, 2], "{what}");

    let (alone, mut plain) = (get_with("/", "x-alone", "1"), request());
    plain.headers_mut().insert("x-alone", "1".parse().expect("a value"));
    assert_eq!(answer(send(&nodes[0], alone)).await.body, "3", "{what}: stored");
    assert_eq!(
        answer(send(&nodes[0], plain)).await.body,
        "4",
        "{what}: read a stored response"
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_and_preconditions_go_their_own_way() {
    for (name, value) in [
        ("authorization", "Basic eDp5"),
        ("cookie", "id=1"),
        ("x-api-key", "1"),
        ("if-match", "*"),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("x-http-method-override", "DELETE"),
        ("cache-control", "no-store"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
    ] {
        goes_its_own_way(name, || get_with("/", name, value)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_and_bodies_go_their_own_way() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = || {
            let request = Request::builder().method(&method).uri("/");
            request.body(Full::default()).expect("a request")
        };
        goes_its_own_way(method.as_str(), request).await;
    }
    goes_its_own_way("GET with a body", || {
        Request::get("/").body("a filter".into()).expect("a request")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_has_it_handed_on() {
    let inner = Inner::new(|request, _| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        Ok(text(body.expect("a body").to_bytes()))
    });
    let [node, _] = pair(&inner, |layer| layer.ttl(TTL));
    for (method, body) in [(Method::GET, "one"), (Method::GET, "two"), (Method::POST, "three")] {
        let request = Request::builder().method(method).uri("/");
        let request = request.body(body.into()).expect("a request");
        assert_eq!(answer(send(&node, request)).await.body, body);
    }
}

#[tokio::test(start_paused = true)]
async fn partial_and_unknown_statuses_pass_and_are_not_shared() {
    for status in [206, 226, 304, 600, 799, 999] {
        let inner = Inner::replying(move |call| {
            let mut reply = fresh(call.to_string());
            *reply.status_mut() = status.try_into().expect("a status");
            reply
        });
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        let mut bodies = Vec::new();
        for asked in send_many(&nodes, 4, || get("/")) {
            let answer = answer(asked).await;
            assert_eq!(answer.status.as_u16(), status);
            bodies.push(String::from_utf8(answer.body.into()).expect("UTF-8"));
        }
        assert_eq!(sorted(bodies), [1, 2, 3, 4], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_flows_to_each_client_on_its_own() {
    for content_type in [
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "multipart/x-mixed-replace; boundary=a",
    ] {
        let (senders, mut streams) = tokio::sync::mpsc::unbounded_channel();
        let inner = Inner::new(move |_, _| {
            let (sender, parts) = by_hand();
            senders.send(sender).expect("the test is there");
            async move { Ok(with(streamed(parts), "content-type", content_type)) }
        });
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        let mut clients = Vec::new();
        for node in nodes {
            let response = tower::ServiceExt::oneshot(node, get("/"));
            let response = crate::support::within("a head", response).await.expect("a response");
            clients.push((response.into_body(), streams.recv().await.expect("a call")));
        }
        for (i, (client, events)) in clients.iter_mut().enumerate() {
            for event in ["one", "two"] {
                events.send(data(format!("{event} for {i}"))).expect("a reader");
                let part = http_body_util::BodyExt::frame(client);
                let part = crate::support::within("an event", part).await.expect("a part");
                let part = part.expect("no error").into_data().expect("data");
                assert_eq!(part, format!("{event} for {i}"));
            }
        }
    }
}
