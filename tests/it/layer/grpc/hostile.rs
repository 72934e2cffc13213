//! Calls that are no unary calls, whatever they say.

use std::time::Duration;

use super::fixture::{METHOD, Server, message, ok, raw_request, request};
use crate::layer::fixture::{answer, send};

const TTL: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_is_not_one_message_reaches_the_method_as_it_came_and_shares_nothing() {
    let server = Server::open(|call| ok(&call.to_string()));
    let [node, _] = server.nodes(|layer| layer.ttl(TTL));
    let one = message("m");
    let compressed = [&[1][..], &one[1..]].concat();
    for body in [
        vec![],
        vec![0; 3],
        vec![0, 0xff, 0xff, 0xff, 0xff],
        [one.clone(), one.clone()].concat(),
        one[..5].to_vec(),
        compressed,
        message(&"a".repeat(64 * 1024 + 1)),
    ] {
        for _ in 0..2 {
            let before = server.calls();
            let reply = answer(send(&node, raw_request(METHOD, body.clone(), &[]))).await;
            assert_eq!(reply.body, message(&(before + 1).to_string()));
            let seen = server.seen();
            assert_eq!(seen.len(), before + 1);
            assert!(seen[before].body == body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_message_is_a_message_and_one_at_the_limit_too() {
    let server = Server::open(|call| ok(&call.to_string()));
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    for (call, content) in [(1, String::new()), (2, "a".repeat(64 * 1024))] {
        for node in &nodes {
            let reply = answer(send(node, request(METHOD, &content, &[]))).await;
            assert_eq!(reply.body, message(&call.to_string()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn absurd_metadata_is_passed_on() {
    let server = Server::open(|call| ok(&call.to_string()));
    let [node, _] = server.nodes(|layer| layer.ttl(TTL).key_headers(["x-long"]));
    let long: &'static str = "a,".repeat(30_000).leak();
    for lines in [
        &[("grpc-accept-encoding", long)][..],
        &[("x-long", long)],
        &[("grpc-encoding", long)],
        &[("grpc-timeout", long)],
    ] {
        let reply = answer(send(&node, request(METHOD, "m", lines))).await;
        assert_eq!(reply.trailers.expect("trailers")["grpc-status"], "0");
    }
}
