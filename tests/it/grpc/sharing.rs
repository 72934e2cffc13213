//! Which calls share an execution.

use std::time::Duration;

use bytes::Bytes;
use tower_memolock::MemoryStore;
use tower_memolock::middleware::GrpcMethod;

use super::fixture::{BRIEF, MAKE, Nodes, ended, gated, layer, make, memoized, one_product, order};
use super::proto::Order;
use super::raw::{frames, message, prefixed};
use crate::support::{RedisServer, within};

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_the_same_message_on_two_nodes_are_one_execution() {
    let nodes = Nodes::pair().await;
    let large = Order {
        size: 900_000,
        ..gated("large")
    };
    let calls: Vec<_> = (0..30).map(|i| make(&nodes.clients[i % 2], large.clone())).collect();
    nodes.workshop.gate.reached_by(1).await;
    nodes.waiting(29).await;
    nodes.workshop.gate.open();
    let product = one_product(calls).await;
    assert_eq!((product.execution, product.content.len()), (1, 900_000));

    nodes.settled().await;
    assert_eq!(one_product([make(&nodes.clients[1], large)]).await, product);
    assert_eq!(
        one_product([make(&nodes.clients[0], order("other"))]).await.execution,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_named_runs_for_every_call() {
    let nodes = Nodes::pair().await;
    let mut client = nodes.clients[0].clone();
    for execution in 1..=3 {
        let product = client.plain(order("plain")).await.expect("a product").into_inner();
        assert_eq!(product.execution, execution);
    }
    let stats = nodes.layers[0].handle().stats();
    assert_eq!((stats.led, stats.followed, stats.hits), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_has_a_lifetime_of_its_own() {
    let brief = |method: GrpcMethod| method.ttl(Duration::from_millis(300));
    let nodes = Nodes::start([memoized(MemoryStore::new(), brief)]).await;
    let mut client = nodes.clients[0].clone();
    let long = client.make(order("made")).await.expect("a product").into_inner();
    let first = client.brief(order("made")).await.expect("a product").into_inner();
    assert_eq!((long.execution, first.execution), (1, 2));
    let later = async {
        loop {
            let product = client.brief(order("made")).await.expect("a product").into_inner();
            if product != first {
                break product;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(within("another execution", later).await.execution, 3);
    assert_eq!(client.make(order("made")).await.expect("a product").into_inner(), long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_has_a_wait_timeout_of_its_own() {
    let brief = |method: GrpcMethod| method.wait_timeout(Duration::from_millis(200));
    let nodes = Nodes::start([memoized(MemoryStore::new(), brief)]).await;
    let waiting = [0, 1].map(|_| make(&nodes.clients[0], gated("x")));
    nodes.workshop.gate.reached_by(1).await;
    nodes.waiting(1).await;
    let brief = [0, 1].map(|_| {
        let mut client = nodes.clients[0].clone();
        tokio::spawn(async move { client.brief(gated("x")).await })
    });
    // The second call does not wait for the first any longer; the calls of the other method go on doing so.
    nodes.workshop.gate.reached_by(3).await;
    assert_eq!(
        (nodes.workshop.executions(), nodes.layers[0].handle().stats().waiting),
        (3, 1)
    );
    nodes.workshop.gate.open();
    assert_eq!(one_product(waiting).await.execution, 1);
    let mut executions: Vec<_> = ended(brief)
        .await
        .into_iter()
        .map(|made| made.expect("a product").into_inner().execution)
        .collect();
    executions.sort_unstable();
    assert_eq!(executions, [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_has_a_lease_of_its_own() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let brief = |method: GrpcMethod| method.lease(Duration::from_secs(60));
    let nodes = Nodes::start([memoized(store, brief)]).await;
    let call = make(&nodes.clients[0], gated("leased"));
    nodes.workshop.gate.reached_by(1).await;
    let mut client = nodes.clients[0].clone();
    let brief = tokio::spawn(async move { client.brief(gated("leased")).await });
    nodes.workshop.gate.reached_by(2).await;
    let lease = |method: &str| {
        let lock = redis.cli(&["KEYS", &format!("workshop/lock:*{method}*")]);
        redis.cli(&["PTTL", &lock]).parse::<i64>().expect("milliseconds")
    };
    assert!((1..=5000).contains(&lease("Make")), "{}", lease("Make"));
    assert!((30_000..=60_000).contains(&lease("Brief")), "{}", lease("Brief"));
    nodes.workshop.gate.open();
    ended([call, brief]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_pieces_is_the_same_message() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    let whole = message(&order("pieces"));
    let bytes = |range: std::ops::Range<usize>| whole.slice(range);
    let pieces = [
        vec![whole.clone()],
        vec![bytes(0..1), bytes(1..4), bytes(4..whole.len())],
        vec![bytes(0..5), bytes(5..whole.len())],
        vec![
            bytes(0..whole.len() - 1),
            Bytes::new(),
            bytes(whole.len() - 1..whole.len()),
        ],
        (0..whole.len()).map(|i| bytes(i..i + 1)).collect(),
    ];
    for pieces in pieces {
        assert_eq!(frames(raw.call(MAKE, &[], pieces)).await.product().execution, 1);
    }
    // A message of no bytes has a prefix all the same.
    for pieces in [
        vec![prefixed(0, b"")],
        vec![Bytes::from_static(b"\0\0"), Bytes::from_static(b"\0\0\0")],
    ] {
        assert_eq!(frames(raw.call(MAKE, &[], pieces)).await.product().execution, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_how_a_call_is_made_is_not_in_the_key() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    for fields in [
        &[][..],
        &[("user-agent", "grpc-go/1.80.0")],
        &[("user-agent", "grpc-c++/1.85.1"), ("grpc-timeout", "20S")],
        &[("grpc-timeout", "19999m")],
        &[
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "x=y"),
        ],
        &[("grpc-trace-bin", "AAAB"), ("grpc-tags-bin", "AAAC")],
        &[("x-request-id", "17")],
        &[("grpc-previous-rpc-attempts", "1")],
    ] {
        let product = frames(raw.order(MAKE, fields, &order("plain"))).await.product();
        assert_eq!((product.execution, product.seen.len()), (1, 0), "{fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_what_a_call_means_is_in_the_key() {
    let nodes = Nodes::start([layer(MemoryStore::new()).key_headers(["x-tenant"])]).await;
    let raw = nodes.servers[0].raw().await;
    for round in ["led", "replayed"] {
        let mut executions = Vec::new();
        for (method, fields) in [
            (MAKE, &[][..]),
            (MAKE, &[("x-tenant", "anna")]),
            (MAKE, &[("x-tenant", "elsa")]),
            (MAKE, &[("x-tenant", "anna"), ("x-tenant", "elsa")]),
            (MAKE, &[("x-tenant", "")]),
            (BRIEF, &[]),
        ] {
            let product = frames(raw.order(method, fields, &order("x"))).await.product();
            executions.push(product.execution);
        }
        assert_eq!(executions, [1, 2, 3, 4, 5, 6], "{round}");
    }
    let other = frames(raw.order(MAKE, &[], &order("y"))).await.product();
    assert_eq!(other.execution, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_gets_through_whole() {
    let order = |kib: usize| Order {
        // Nothing looks at them where nothing fails.
        details: Bytes::from(vec![7; kib * 1024]),
        ..order("long")
    };
    let store = MemoryStore::new();
    let nodes = Nodes::start([
        layer(store.clone()),
        layer(store).method(GrpcMethod::new(MAKE).max_message(200 * 1024)),
    ])
    .await;
    for (kib, executions) in [
        (63, [1, 1, 1, 1]),
        (65, [2, 3, 4, 4]),
        (199, [5, 6, 7, 7]),
        (201, [8, 9, 10, 11]),
    ] {
        let clients = [0, 0, 1, 1].map(|node| &nodes.clients[node]);
        for (client, execution) in clients.into_iter().zip(executions) {
            let product = one_product([make(client, order(kib))]).await;
            assert_eq!(
                (product.id.as_str(), product.execution),
                ("long", execution),
                "{kib} KiB"
            );
            nodes.settled().await;
        }
    }
}
