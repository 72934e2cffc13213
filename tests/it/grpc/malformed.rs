//! Requests that are no unary calls, by mistake or on purpose.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::layer::util::Identity;

use super::fixture::{MAKE, Nodes, Server, gated, make, one_product, order, routes};
use super::raw::{frames, message, prefixed};
use crate::support::eventually;

type Fields = &'static [(&'static str, &'static str)];

/// Bodies that are not one message, with the fields they come with.
fn bodies() -> Vec<(&'static str, Fields, Vec<Bytes>)> {
    let one = message(&order("one"));
    let with = |tail: &'static [u8]| vec![one.clone(), Bytes::from_static(tail)];
    vec![
        ("two messages", &[], vec![one.clone(), one.clone()]),
        (
            "two messages in one frame",
            &[],
            vec![[&one[..], &one[..]].concat().into()],
        ),
        ("a byte behind it", &[], with(b"\0")),
        ("garbage behind it", &[], with(b"\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("an empty message behind it", &[], with(b"\0\0\0\0\0")),
        ("nothing", &[], vec![]),
        ("an empty frame", &[], vec![Bytes::new()]),
        ("half a prefix", &[], vec![Bytes::from_static(b"\0\0\0")]),
        ("a message cut short", &[], vec![one.slice(..one.len() - 1)]),
        (
            "4 GiB announced",
            &[],
            vec![Bytes::from_static(b"\0\xff\xff\xff\xff"), Bytes::from_static(b"begun")],
        ),
        (
            "4 GiB announced, compressed",
            &[("grpc-encoding", "gzip")],
            vec![Bytes::from_static(b"\x01\xff\xff\xff\xff")],
        ),
        ("compressed without an encoding", &[], vec![prefixed(1, b"\x1f\x8b")]),
        (
            "compressed with identity",
            &[("grpc-encoding", "identity")],
            vec![prefixed(1, b"xyz")],
        ),
        (
            "compressed by nothing known",
            &[("grpc-encoding", "nonsense")],
            vec![prefixed(1, b"xyz")],
        ),
        ("no gzip", &[("grpc-encoding", "gzip")], vec![prefixed(1, b"xyz")]),
        ("a flag that is none", &[], vec![prefixed(2, b"xyz")]),
        ("every flag", &[], vec![prefixed(0xff, b"xyz")]),
        ("no protobuf", &[], vec![prefixed(0, b"\xff\xff\xff\xff")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_message_is_answered_as_without_the_layer() {
    let nodes = Nodes::pair().await;
    let bare = Server::tonic(Identity::new(), routes(&nodes.workshop)).await;
    let (bare, layered) = (bare.raw().await, nodes.servers[0].raw().await);
    for (what, fields, body) in bodies() {
        let expected = frames(bare.call(MAKE, fields, body.clone())).await;
        let executions = nodes.workshop.executions();
        for _ in 0..2 {
            let got = frames(layered.call(MAKE, fields, body.clone())).await;
            assert_eq!(
                (got.status, &got.head.get("content-type")),
                (expected.status, &expected.head.get("content-type")),
                "{what}"
            );
            assert_eq!(
                got.grpc_status(),
                expected.grpc_status(),
                "{what}: {got:?}, not {expected:?}"
            );
            nodes.settled().await;
        }
        // tonic takes the first of several messages; none of these calls is answered by another.
        let executed = nodes.workshop.executions() - executions;
        assert_eq!(executed, if expected.grpc_status() == "0" { 2 } else { 0 }, "{what}");
    }
    // And no other call is the worse for it.
    assert_eq!(one_product([make(&nodes.clients[0], order("one"))]).await.id, "one");
    let stats = || nodes.layers[0].handle().stats();
    let at_rest = || (stats().waiting, stats().in_flight, stats().recorded_bytes) == (0, 0, 0);
    eventually("a layer at rest", at_rest).await;
}

/// They would be a call that is under way already, if it were for their beginning.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_message_does_not_wait() {
    let nodes = Nodes::pair().await;
    let leader = make(&nodes.clients[0], gated("led"));
    nodes.workshop.gate.reached_by(1).await;
    let raw = nodes.servers[0].raw().await;
    let one = message(&gated("led"));
    let two = raw.call(MAKE, &[], [one.clone(), one.clone()]);
    nodes.workshop.gate.reached_by(2).await;
    let garbage = frames(raw.call(MAKE, &[], [one, Bytes::from_static(b"\0")])).await;
    assert_eq!(garbage.grpc_status(), "13", "{garbage:?}");
    nodes.workshop.gate.open();
    assert_eq!(one_product([leader]).await.execution, 1);
    assert_eq!(frames(two).await.product().execution, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_announces_too_much_is_not_waited_for() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    let begun = Frame::data(Bytes::from_static(b"\0\xff\xff\xff\xffbegun"));
    // The client has not said its last word when it has its answer.
    let endless = stream::iter([Ok(begun)]).chain(stream::pending());
    let response = raw.start(MAKE, &[], StreamBody::new(endless)).await;
    let response = response.expect("no panic").expect("a response");
    assert_eq!(response.headers()["grpc-status"], "11");
    assert_eq!(nodes.layers[0].handle().stats().led, 0);
}
