//! Clients that do not wait: deadlines and cancellations.

use std::time::Duration;

use tonic::Code;
use tower_memolock::MemoryStore;

use super::fixture::{
    MAKE, Memoized, Nodes, PLAIN, Server, due, ended, gated, layer, make, one_product, order, routes,
};
use super::raw::{Raw, frames};

/// Two nodes served by tonic, and a third by axum, which knows nothing of deadlines.
async fn three() -> (Nodes, Server) {
    let store = MemoryStore::new();
    let layers: [Memoized; 3] = std::array::from_fn(|_| layer(store.clone()));
    let plain = layers[2].clone();
    let mut nodes = Nodes::start(layers).await;
    let router = routes(&nodes.workshop).into_axum_router().layer(plain);
    let axum = Server::axum(router).await;
    nodes.clients[2] = axum.client().await;
    (nodes, axum)
}

/// Makes sure that the server has got all that was sent before on this connection, a cancellation for instance.
async fn heard(raw: &Raw) {
    frames(raw.order(PLAIN, &[], &order("heard"))).await.product();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_past_its_deadline_leaves_alone() {
    let (nodes, axum) = three().await;
    let leader = make(&nodes.clients[0], gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let mut patient: Vec<_> = nodes.clients.iter().map(|client| make(client, gated("slow"))).collect();
    patient.push(make(&nodes.clients[0], due(gated("slow"), Duration::from_secs(60))));
    nodes.waiting(4).await;

    let raw = [
        nodes.servers[0].raw().await,
        nodes.servers[1].raw().await,
        axum.raw().await,
    ];
    let impatient = raw
        .each_ref()
        .map(|raw| raw.order(MAKE, &[("grpc-timeout", "200m")], &gated("slow")));
    for call in impatient {
        let answer = frames(call).await;
        assert_eq!((answer.status, answer.grpc_status()), (200, "4"), "{answer:?}");
        assert!(answer.trailers_only, "{answer:?}");
        assert_eq!(answer.head["content-type"], "application/grpc");
    }
    nodes.waiting(4).await;
    assert_eq!(nodes.workshop.executions(), 1);

    nodes.workshop.gate.open();
    patient.push(leader);
    assert_eq!(one_product(patient).await.execution, 1);
    assert_eq!(nodes.workshop.executions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_time_is_up_already_is_told_so() {
    let (nodes, axum) = three().await;
    let leader = make(&nodes.clients[0], gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let raw = axum.raw().await;
    for timeout in ["0S", "0n", "1n", "1u"] {
        let answer = frames(raw.order(MAKE, &[("grpc-timeout", timeout)], &gated("slow"))).await;
        assert_eq!(answer.grpc_status(), "4", "{timeout}");
    }
    nodes.workshop.gate.open();
    assert_eq!(one_product([leader]).await.execution, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_past_its_deadline_still_serves_the_others() {
    let (nodes, _axum) = three().await;
    let raw = nodes.servers[0].raw().await;
    let leader = raw.order(MAKE, &[("grpc-timeout", "300m")], &gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let patient: Vec<_> = nodes.clients.iter().map(|client| make(client, gated("slow"))).collect();
    // tonic's server ends the call with CANCELLED if it comes first.
    let left = frames(leader).await;
    assert!(["1", "4"].contains(&left.grpc_status()), "{left:?}");
    nodes.waiting(3).await;
    nodes.workshop.gate.open();
    let product = one_product(patient).await;
    assert_eq!((product.execution, nodes.workshop.executions()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_computes_does_not_know_its_deadline() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    let timeout = [("grpc-timeout", "50S")];
    let led = frames(raw.order(MAKE, &timeout, &order("led"))).await.product();
    assert_eq!(led.seen, [""; 0]);
    let plain = frames(raw.order(PLAIN, &timeout, &order("plain"))).await.product();
    assert_eq!(plain.seen, ["grpc-timeout: 50S"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_leader_takes_no_other_with_it() {
    let (nodes, _axum) = three().await;
    let raw = nodes.servers[0].raw().await;
    let leader = raw.order(MAKE, &[], &gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let staying: Vec<_> = nodes.clients.iter().map(|client| make(client, gated("slow"))).collect();
    nodes.waiting(3).await;
    leader.abort();
    heard(&raw).await;
    assert_eq!(nodes.workshop.executions(), 2);
    nodes.workshop.gate.open();
    assert_eq!(one_product(staying).await.execution, 1);
    assert_eq!(nodes.workshop.executions(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_no_call_waits_for_leaves_its_product_to_those_who_come() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    let leader = raw.order(MAKE, &[], &gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    leader.abort();
    heard(&raw).await;
    nodes.workshop.gate.open();
    nodes.settled().await;
    assert_eq!(one_product([make(&nodes.clients[1], gated("slow"))]).await.execution, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_follower_leaves_alone() {
    let nodes = Nodes::pair().await;
    let leader = make(&nodes.clients[0], gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let following: Vec<_> = (0..6).map(|i| make(&nodes.clients[i % 2], gated("slow"))).collect();
    nodes.waiting(6).await;
    following[0].abort();
    following[1].abort();
    nodes.waiting(4).await;
    nodes.workshop.gate.open();
    let staying = following.into_iter().skip(2).chain([leader]);
    assert_eq!(one_product(staying).await.execution, 1);
    assert_eq!(nodes.workshop.executions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_that_is_none_is_none() {
    let (nodes, axum) = three().await;
    let timeouts = [
        "99999999999H",
        "99999999H",
        "18446744073709551616S",
        "100000000n",
        "abc",
        "",
        "1",
        "S",
        "-1S",
        "+1S",
        "1s",
        "1 S",
        "1.5S",
        "0x1S",
        "１S",
    ];
    let raw = [nodes.servers[0].raw().await, axum.raw().await];
    let leader = make(&nodes.clients[0], gated("hostile"));
    nodes.workshop.gate.reached_by(1).await;
    let mut calls = Vec::new();
    for raw in &raw {
        for timeout in timeouts {
            calls.push((
                timeout,
                raw.order(MAKE, &[("grpc-timeout", timeout)], &gated("hostile")),
            ));
        }
    }
    nodes.waiting(calls.len() as u64).await;
    nodes.workshop.gate.open();
    for (timeout, call) in calls {
        assert_eq!(frames(call).await.product().execution, 1, "follows with {timeout}");
    }
    ended([leader]).await;
    for timeout in timeouts {
        let led = frames(raw[1].order(MAKE, &[("grpc-timeout", timeout)], &order(timeout))).await;
        assert_eq!(led.product().id, timeout, "leads with {timeout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_tonic_keeps_its_own_deadline() {
    let nodes = Nodes::pair().await;
    let leader = make(&nodes.clients[0], gated("slow"));
    nodes.workshop.gate.reached_by(1).await;
    let impatient = make(&nodes.clients[1], due(gated("slow"), Duration::from_millis(200)));
    let status = ended([impatient]).await.remove(0).expect_err("no product");
    // tonic's client calls it CANCELLED if it is the first to notice.
    assert!(
        [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()),
        "{status:?}"
    );
    nodes.workshop.gate.open();
    assert_eq!(one_product([leader]).await.execution, 1);
}
