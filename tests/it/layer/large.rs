//! Large responses in a real Redis: what those who read one at a time hold.

use http_body_util::BodyExt;
use tower::ServiceExt;

use super::fixture::{Inner, Node, answer, fresh, get, send};
use super::redis::{nodes, stored};
use crate::support::RedisServer;

/// A response of some megabytes that is stored.
async fn large(server: &RedisServer) -> (Inner, [Node; 2]) {
    let inner = Inner::replying(|call| fresh(vec![call as u8; 4 << 20]));
    let nodes = nodes(server, &inner).await;
    answer(send(&nodes[0], get("/"))).await;
    stored(server, 1).await;
    (inner, nodes)
}

#[tokio::test]
async fn clients_that_do_not_read_a_large_response_hold_one_copy_of_it() {
    let server = RedisServer::start();
    let (inner, nodes) = large(&server).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut response = nodes[1].clone().oneshot(get("/")).await.expect("a response");
        let frame = response.body_mut().frame().await.expect("a frame").expect("content");
        held.push(frame.into_data().expect("data"));
    }
    assert!(held.iter().all(|body| body.len() == 4 << 20));
    held.dedup_by_key(|body| body.as_ptr());
    assert_eq!(held.len(), 1);
    // What is stored in its place is another response, of which nothing is lost.
    server.cli(&["FLUSHALL"]);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body[..3], [2; 3]);
    assert_eq!(held[0][..3], [1; 3]);
    assert_eq!(inner.calls(), 2);
}
