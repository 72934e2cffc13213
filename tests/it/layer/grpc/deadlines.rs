//! `grpc-timeout`: which caller waits how long, and for which calls it counts.

use std::time::Duration;

use tokio::time::{Instant, advance};
use tower_memolock::middleware::GrpcMethod;

use super::fixture::{METHOD, OTHER, Server, call, contents, ok, request, status};
use crate::layer::fixture::{Answer, answer, send, settle};

const TTL: Duration = Duration::from_secs(60);

fn assert_exceeded(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), status(answer)), (200, "4"));
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert!(answer.headers.contains_key("grpc-message"));
    assert!(answer.body.is_empty() && answer.trailers.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_of_one_follower_alone() {
    let server = Server::counting();
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    let leading = call(&nodes[0], &[]);
    server.gate.reached_by(1).await;
    let begun = Instant::now();
    let impatient = nodes.each_ref().map(|node| call(node, &[("grpc-timeout", "2S")]));
    let patient = nodes.each_ref().map(|node| call(node, &[("grpc-timeout", "20S")]));
    for asked in impatient {
        assert_exceeded(&answer(asked).await);
    }
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(2) && waited < Duration::from_secs(3),
        "{waited:?}"
    );
    server.gate.open();
    assert_eq!(contents(patient).await, ["1"; 2]);
    assert_eq!(contents([leading]).await, ["1"]);
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_who_leads_is_not_that_of_the_computation() {
    let server = Server::counting();
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    let leading = call(&nodes[0], &[("grpc-timeout", "2S"), ("x-other", "o")]);
    server.gate.reached_by(1).await;
    let following = call(&nodes[1], &[]);
    assert_exceeded(&answer(leading).await);

    let seen = server.seen().remove(0);
    assert_eq!(seen.headers.get("grpc-timeout"), None);
    assert_eq!(seen.headers["x-other"], "o");
    server.gate.open();
    assert_eq!(contents([following]).await, ["1"]);
    assert_eq!(contents([call(&nodes[0], &[])]).await, ["1"]);
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_an_answer_whatever_the_deadline() {
    let server = Server::open(|call| ok(&call.to_string()));
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    assert_eq!(contents([call(&nodes[0], &[])]).await, ["1"]);
    for timeout in ["0n", "1n", "00000000S", "1u"] {
        for node in &nodes {
            assert_eq!(contents([call(node, &[("grpc-timeout", timeout)])]).await, ["1"]);
        }
    }
    let late = answer(send(&nodes[0], request(METHOD, "unknown", &[("grpc-timeout", "0n")]))).await;
    assert_exceeded(&late);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_cannot_be_understood_counts_as_none() {
    let server = Server::counting();
    let [node, _] = server.nodes(|layer| layer.ttl(TTL));
    let timeouts = [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "123456789n",
        "99999999999999999999H",
        "99999999H",
        "1.5S",
    ];
    let asked: Vec<_> = timeouts.map(|timeout| call(&node, &[("grpc-timeout", timeout)])).into();
    server.gate.reached_by(1).await;
    settle().await;
    // Less than a lease, which would not be renewed meanwhile.
    advance(Duration::from_secs(4)).await;
    server.gate.open();
    assert_eq!(contents(asked).await, ["1"; 9]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_timeout_that_is_sooner_sends_the_call_to_the_method() {
    let server = Server::counting();
    let timeout = Duration::from_secs(3);
    let [node, _] = server.nodes(|layer| {
        let layer = layer.wait_timeout(Duration::from_secs(1));
        layer.method(GrpcMethod::new(OTHER).wait_timeout(timeout))
    });
    for (before, path, timeout) in [(0, METHOD, Duration::from_secs(1)), (2, OTHER, timeout)] {
        let ask = || send(&node, request(path, "m", &[("grpc-timeout", "20S")]));
        let leading = ask();
        server.gate.reached_by(before + 1).await;
        let begun = Instant::now();
        let following = ask();
        server.gate.reached_by(before + 2).await;
        let waited = begun.elapsed();
        assert!(waited >= timeout && waited < timeout * 2, "{waited:?}");
        // By itself, so the deadline is its own.
        assert_eq!(server.seen()[before + 1].headers["grpc-timeout"], "20S");
        server.gate.let_go(2);
        let replies = contents([leading, following]).await;
        assert_eq!(replies, [(before + 1).to_string(), (before + 2).to_string()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_up_takes_no_other_with_it() {
    let server = Server::counting();
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    let leading = call(&nodes[0], &[]);
    server.gate.reached_by(1).await;
    let following = nodes.each_ref().map(|node| call(node, &[]));
    settle().await;
    leading.abort();
    settle().await;
    server.gate.open();
    assert_eq!(contents(following).await, ["1"; 2]);
    assert_eq!(server.calls(), 1);
}
