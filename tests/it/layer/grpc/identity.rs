//! Which calls share a reply: what their metadata and their authority have to do with it.

use std::time::Duration;

use super::fixture::{METHOD, Server, call, contents, ok, request};
use crate::layer::fixture::send;

const TTL: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn calls_with_credentials_share_nothing_and_what_is_public_neither() {
    let server = Server::open(|call| {
        let reply = ok(&call.to_string());
        crate::layer::fixture::with(reply, "cache-control", "public, max-age=60")
    });
    let [node, _] = server.nodes(|layer| layer);
    assert_eq!(contents([call(&node, &[])]).await, ["1"]);
    for (calls, name) in (2..).zip([
        "authorization",
        "cookie",
        "x-api-key",
        "authorization-bin",
        "x-user-bin",
    ]) {
        assert_eq!(
            contents([call(&node, &[(name, "x")])]).await,
            [calls.to_string()],
            "{name}"
        );
    }
    assert_eq!(contents([call(&node, &[])]).await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn calls_share_with_those_of_the_same_identity_only() {
    let server = Server::open(|call| ok(&call.to_string()));
    let nodes = server.nodes(|layer| layer.ttl(TTL).key_headers(["authorization", "x-api-key"]));
    for _ in ["led", "stored"] {
        for (expected, lines) in [
            ("1", &[("authorization", "anna")][..]),
            ("2", &[("authorization", "elsa")]),
            ("3", &[("authorization", "anna"), ("x-api-key", "k")]),
            ("4", &[("x-api-key", "k")]),
            ("5", &[]),
        ] {
            for node in &nodes {
                assert_eq!(contents([call(node, lines)]).await, [expected], "{lines:?}");
            }
        }
    }
    // What else is there to tell one from the other is not part of the key.
    assert_eq!(
        contents([call(&nodes[0], &[("authorization", "anna"), ("cookie", "c")])]).await,
        ["6"]
    );
    assert_eq!(
        contents([call(&nodes[0], &[("authorization", "anna"), ("cookie", "c")])]).await,
        ["7"]
    );
}

#[tokio::test(start_paused = true)]
async fn named_metadata_and_the_authority_tell_calls_apart_and_others_do_not() {
    let server = Server::open(|call| ok(&call.to_string()));
    let [node, _] = server.nodes(|layer| layer.ttl(TTL).key_headers(["x-tenant", "x-data-bin"]));
    for (expected, lines) in [
        ("1", &[("x-tenant", "a")][..]),
        ("2", &[("x-tenant", "b")]),
        ("3", &[("x-data-bin", "AAA")]),
        ("4", &[]),
        ("1", &[("x-tenant", "a"), ("x-other", "o"), ("traceparent", "00-1")]),
    ] {
        assert_eq!(contents([call(&node, lines)]).await, [expected], "{lines:?}");
    }
    let at = |authority: &str| request(&format!("http://{authority}{METHOD}"), "m", &[]);
    assert_eq!(contents([send(&node, at("a"))]).await, ["5"]);
    assert_eq!(contents([send(&node, at("b"))]).await, ["6"]);
    let [node, _] = server.nodes(|layer| layer.ttl(TTL).without_authority());
    assert_eq!(contents([send(&node, at("a"))]).await, ["7"]);
    assert_eq!(contents([send(&node, at("b"))]).await, ["7"]);
}
