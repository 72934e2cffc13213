//! Which client gets which response, and for how long.

use std::time::Duration;

use tokio::time::advance;
use tower_memolock::middleware::{Failures, Unconfirmed};

use super::fixture::{
    Gate, Inner, Node, TestBody, answer, bodies, fresh, get, pair, send, send_many, settle, text, with,
};

/// An inner service that answers with `reply` once the gate lets it.
fn gated(gate: &Gate, reply: impl Fn(usize) -> http::Response<TestBody> + Send + Sync + 'static) -> Inner {
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply(call));
        async move {
            gate.pass().await;
            Ok(reply)
        }
    })
}

/// Sends 100 requests, lets the first call go once all of them are there, and returns what they got.
async fn stampede(nodes: &[Node; 2], gate: &Gate) -> Vec<String> {
    let before = gate.reached();
    let asked = send_many(nodes, 100, || get("/"));
    gate.reached_by(before + 1).await;
    settle().await;
    assert_eq!(gate.reached(), before + 1);
    gate.let_go(1);
    bodies(asked).await
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_on_two_nodes_cost_one_call_and_later_ones_none() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| fresh(call.to_string()));
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(stampede(&nodes, &gate).await, ["1"; 100]);
    assert_eq!(bodies(send_many(&nodes, 10, || get("/"))).await, ["1"; 10]);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_freshness_and_ttl_those_who_wait_share_and_nothing_is_stored() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| text(call.to_string()));
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(stampede(&nodes, &gate).await, ["1"; 100]);
    assert_eq!(stampede(&nodes, &gate).await, ["2"; 100]);
}

#[tokio::test(start_paused = true)]
async fn an_immediately_stale_response_is_shared_and_not_stored() {
    for stale in ["max-age=0", "s-maxage=0, max-age=60", "public, max-age=soon"] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| with(text(call.to_string()), "cache-control", stale));
        let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(60)));
        assert_eq!(stampede(&nodes, &gate).await, ["1"; 100], "{stale}");
        assert_eq!(stampede(&nodes, &gate).await, ["2"; 100], "{stale}");
    }
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_shared_and_not_stored_where_that_is_wanted() {
    for status in [500, 503, 599] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| {
            let mut reply = text(call.to_string());
            *reply.status_mut() = status.try_into().expect("a status");
            reply
        });
        let set = |layer: tower_memolock::MemoLockLayer<_>| {
            layer.failures(Failures::new().on_unconfirmed(Unconfirmed::Share))
        };
        let nodes = pair(&inner, |layer| set(layer).ttl(Duration::from_secs(60)));
        assert_eq!(stampede(&nodes, &gate).await, ["1"; 100], "{status}");
        assert_eq!(stampede(&nodes, &gate).await, ["2"; 100], "{status}");
    }
}

/// How many calls a request a second makes within `seconds`.
async fn calls_within(nodes: &[Node; 2], inner: &Inner, seconds: usize) -> usize {
    for second in 0..seconds {
        answer(send(&nodes[second % 2], get("/"))).await;
        advance(Duration::from_secs(1)).await;
    }
    inner.calls()
}

#[tokio::test(start_paused = true)]
async fn a_response_that_says_nothing_is_kept_for_the_ttl() {
    let inner = Inner::replying(|call| text(call.to_string()));
    let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(10)));
    assert_eq!(calls_within(&nodes, &inner, 10).await, 1);
    assert_eq!(calls_within(&nodes, &inner, 1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_response_says_goes_before_the_ttl() {
    for (said, kept) in [("max-age=5", 5), ("max-age=20", 20), ("max-age=3, s-maxage=7", 7)] {
        let inner = Inner::replying(move |call| with(text(call.to_string()), "cache-control", said));
        let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(10)));
        assert_eq!(calls_within(&nodes, &inner, kept).await, 1, "{said}");
        assert_eq!(calls_within(&nodes, &inner, 1).await, 2, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_kept_for_what_its_age_leaves_of_its_freshness() {
    let inner = Inner::replying(|call| with(fresh(call.to_string()), "age", "50"));
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(calls_within(&nodes, &inner, 10).await, 1);
    assert_eq!(calls_within(&nodes, &inner, 1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_client_get_no_ttl() {
    let inner = Inner::replying(|call| {
        let mut reply = text(call.to_string());
        *reply.status_mut() = http::StatusCode::NOT_FOUND;
        reply
    });
    let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(10)));
    assert_eq!(bodies([send(&nodes[0], get("/"))]).await, ["1"]);
    assert_eq!(bodies([send(&nodes[1], get("/"))]).await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn layers_with_different_tags_share_a_store_and_no_response() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let store = tower_memolock::MemoryStore::new();
    let [one, two] = ["one", "two"].map(|tag| {
        let layer = tower_memolock::MemoLockLayer::new(store.clone(), tag);
        tower::Layer::layer(&layer, inner.clone())
    });
    for _ in 0..2 {
        assert_eq!(answer(send(&one, get("/"))).await.body, "1");
        assert_eq!(answer(send(&two, get("/"))).await.body, "2");
    }
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_one_computation() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| text(call.to_string()));
    let layer = tower_memolock::MemoLockLayer::new(tower_memolock::MemoryStore::new(), "layer");
    let services = [&layer, &layer.clone()].map(|layer| tower::Layer::layer(layer, inner.clone()));
    assert_eq!(stampede(&services, &gate).await, ["1"; 100]);
    let stats = layer.handle().stats();
    assert_eq!((stats.led, stats.followed), (1, 99));
}
