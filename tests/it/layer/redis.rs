//! The layer over a real Redis: what one node stores is read by another.

use std::collections::BTreeMap;

use tower::Layer;
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::Freshness;

use super::fixture::{
    Broken, Gate, Inner, Node, answer, bodies, fresh, get, get_with, pair_over, send, send_many, text, with,
};
use super::replay::{everything_is_replayed, rich};
use crate::support::{RedisServer, eventually, within};

pub(super) async fn nodes(server: &RedisServer, inner: &Inner) -> [Node; 2] {
    pair_over(server.two_stores().await, inner, |layer| layer)
}

/// Waits until this many responses are stored: a leader's client has its own before that.
pub(super) async fn stored(server: &RedisServer, count: usize) {
    eventually("stored responses", || {
        server.cli(&["KEYS", "layer:*"]).lines().count() == count
    })
    .await;
}

/// Waits until both nodes listen for what becomes of a promise: a node that leads does not.
pub(super) async fn other_node_listens(server: &RedisServer) {
    eventually("a subscriber", || {
        !server.cli(&["PUBSUB", "CHANNELS", "layer/*"]).is_empty()
    })
    .await;
}

#[tokio::test]
async fn two_hundred_requests_on_two_nodes_cost_one_call() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| Ok(text(call.to_string())));
    let nodes = nodes(&server, &inner).await;
    let asked = send_many(&nodes, 200, || get("/"));
    gate.reached_by(1).await;
    other_node_listens(&server).await;
    gate.open();
    assert_eq!(bodies(asked).await, ["1"; 200]);
}

#[tokio::test]
async fn status_fields_body_and_trailers_are_replayed_by_another_node() {
    let server = RedisServer::start();
    let inner = Inner::replying(|_| rich());
    everything_is_replayed(&inner, &nodes(&server, &inner).await).await;
}

#[tokio::test]
async fn private_responses_set_the_other_nodes_waiters_free_at_once() {
    const REQUESTS: usize = 20;
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| {
        Ok(with(text(call.to_string()), "set-cookie", "id=1"))
    });
    let nodes = nodes(&server, &inner).await;
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    gate.reached_by(1).await;
    other_node_listens(&server).await;
    gate.let_go(1);
    gate.reached_by(REQUESTS).await;
    gate.open();
    let mut bodies = bodies(asked).await;
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), REQUESTS);
    // Nothing but the marker, which says nothing about the responses.
    assert_eq!(server.keys(), ["layer:{GET ///}"]);
    let length: usize = server.cli(&["STRLEN", "layer:{GET ///}"]).parse().expect("a length");
    assert!(length < 120, "{length} bytes");
}

#[tokio::test]
async fn credentials_are_shared_through_the_store_by_permission_and_never_kept() {
    let server = RedisServer::start();
    let inner = Inner::new(|_, call| async move {
        let directives = if call == 1 { "public, no-cache" } else { "private" };
        let reply = with(text(call.to_string()), "cache-control", directives);
        Ok(with(reply, "etag", "\"a\""))
    });
    let nodes = nodes(&server, &inner).await;
    assert_eq!(
        answer(send(&nodes[0], get_with("/", "cookie", "id=secret"))).await.body,
        "1"
    );
    stored(&server, 1).await;
    let value = server.cli(&["GET", "layer:{GET ///}"]);
    assert!(value.contains("no-cache") && !value.contains("secret"), "{value}");

    // The record is stale from the beginning: this one leads by it, and ends it.
    assert_eq!(answer(send(&nodes[1], get_with("/", "cookie", "id=2"))).await.body, "2");
    eventually("nothing, neither a record nor a marker", || server.keys().is_empty()).await;
}

#[tokio::test]
async fn a_stamped_marker_is_found_and_removed_by_another_node() {
    let server = RedisServer::start();
    let inner = Inner::replying(|call| match call {
        1..=2 => with(fresh(call.to_string()), "set-cookie", "id=1"),
        _ => fresh(call.to_string()),
    });
    let [one, two] = server
        .two_stores()
        .await
        .map(|store| MemoLockLayer::new(store, "layer").freshness(Freshness::new().stamped(true)));
    let nodes = [one.layer(inner.clone()), two.layer(inner.clone())];
    answer(send(&nodes[0], get("/"))).await;
    let value = "layer:{GET ///}";
    eventually("a marker", || server.keys().contains(&value.to_owned())).await;

    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "2");
    assert_eq!(two.handle().stats().marked, 1);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "3");
    eventually("no marker", || !server.keys().contains(&value.to_owned())).await;
}

#[tokio::test]
async fn a_failed_leader_is_succeeded_on_the_other_node() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| {
        if call == 1 {
            Err(Broken("on purpose"))
        } else {
            Ok(fresh(call.to_string()))
        }
    });
    let nodes = nodes(&server, &inner).await;
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let others: Vec<_> = (0..10).map(|_| send(&nodes[1], get("/"))).collect();
    other_node_listens(&server).await;
    gate.open();
    assert!(within("an answer", leader).await.expect("no panic").is_err());
    assert_eq!(bodies(others).await, ["2"; 10]);
}

fn only(name: &str, calls: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(name.to_owned(), calls)])
}

/// The commands that the nodes gave since the last reset.
pub(super) fn commands(server: &RedisServer) -> BTreeMap<String, u64> {
    let mut stats = server.commandstats();
    // The subscriber's heartbeat, and the fixture itself.
    stats.retain(|name, _| !matches!(name.as_str(), "ping" | "info" | "config" | "config|resetstat"));
    stats
}

#[tokio::test]
async fn a_hit_is_one_lookup_and_that_of_a_known_variant_two_at_once() {
    let server = RedisServer::start();
    let inner = Inner::new(|request, _| async move {
        let language = request.headers().get("accept-language");
        let language = language.map_or("none", |value| value.to_str().expect("ASCII"));
        let reply = fresh(language.to_owned());
        Ok(if request.uri().path() == "/vary" {
            with(reply, "vary", "accept-language")
        } else {
            reply
        })
    });
    let nodes = nodes(&server, &inner).await;
    let variant = |language| get_with("/vary", "accept-language", language);
    answer(send(&nodes[0], get("/plain"))).await;
    for node in &nodes {
        for language in ["en", "de"] {
            answer(send(node, variant(language))).await;
        }
    }
    assert_eq!(inner.calls(), 3);
    stored(&server, 3).await;
    for node in &nodes {
        server.reset_commandstats();
        assert_eq!(answer(send(node, get("/plain"))).await.body, "none");
        assert_eq!(commands(&server), only("get", 1));
        // The first variant tells whether the others are still of any use.
        for (language, lookups) in [("en", 1), ("de", 2)] {
            server.reset_commandstats();
            assert_eq!(answer(send(node, variant(language))).await.body, language);
            assert_eq!(commands(&server), only("get", lookups), "{language}");
        }
    }
    assert_eq!(inner.calls(), 3);
}

#[tokio::test]
async fn what_is_stored_under_another_key_is_not_an_answer() {
    let server = RedisServer::start();
    let inner = Inner::new(|request, _| async move { Ok(fresh(request.uri().path().to_owned())) });
    let nodes = nodes(&server, &inner).await;
    answer(send(&nodes[0], get("/a"))).await;
    stored(&server, 1).await;
    let stored = server.cli(&["KEYS", "layer:*"]);
    assert!(stored.contains("/a"), "{stored}");
    let renamed = stored.replace("/a", "/b");
    assert_eq!(server.cli(&["COPY", &stored, &renamed]), "1");
    assert_eq!(answer(send(&nodes[1], get("/b"))).await.body, "/b");

    server.cli(&["SET", &stored, "not a response"]);
    assert_eq!(answer(send(&nodes[1], get("/a"))).await.body, "/a");
    server.cli(&["DEL", &stored]);
    server.cli(&["LPUSH", &stored, "not even a string"]);
    assert_eq!(answer(send(&nodes[1], get("/a"))).await.body, "/a");
}

#[tokio::test]
async fn invalidating_on_one_node_reaches_the_other() {
    let server = RedisServer::start();
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let layers = server
        .two_stores()
        .await
        .map(|store| MemoLockLayer::new(store, "layer"));
    let nodes = [&layers[0], &layers[1]].map(|layer| layer.layer(inner.clone()));
    assert_eq!(bodies(send_many(&nodes, 4, || get("/"))).await, ["1"; 4]);
    layers[1]
        .handle()
        .invalidate(&super::failures::key("/"))
        .await
        .expect("invalidated");
    assert_eq!(bodies(send_many(&nodes, 4, || get("/"))).await, ["2"; 4]);
}

#[tokio::test]
async fn a_change_on_one_node_reaches_every_variant_on_the_other() {
    let server = RedisServer::start();
    let inner = Inner::new(|request, call| async move {
        if *request.method() == http::Method::GET {
            return Ok(with(fresh(call.to_string()), "vary", "accept-language"));
        }
        Ok(text("changed"))
    });
    let nodes = nodes(&server, &inner).await;
    let in_language = |node: usize, language| send(&nodes[node], get_with("/", "accept-language", language));
    for (i, language) in ["en", "de"].iter().enumerate() {
        assert_eq!(answer(in_language(0, language)).await.body, (i + 1).to_string());
        stored(&server, i + 1).await;
        assert_eq!(answer(in_language(1, language)).await.body, (i + 1).to_string());
    }
    let change = http::Request::post("/").body("change".into()).expect("a request");
    answer(send(&nodes[0], change)).await;
    for (language, expected) in [("de", "4"), ("en", "5")] {
        assert_eq!(answer(in_language(1, language)).await.body, expected);
        assert_eq!(answer(in_language(0, language)).await.body, expected);
    }
}

#[tokio::test]
async fn what_one_node_stored_the_other_narrows_and_validates() {
    let server = RedisServer::start();
    let inner = Inner::new(|request, call| async move {
        let validated = request.headers().get("if-none-match").is_some_and(|tag| tag == "\"a\"");
        let mut reply = with(text(call.to_string()), "cache-control", "max-age=1");
        if validated {
            reply = with(text(""), "cache-control", "max-age=60");
            *reply.status_mut() = http::StatusCode::NOT_MODIFIED;
        }
        Ok(with(reply, "etag", "\"a\""))
    });
    let nodes = nodes(&server, &inner).await;
    answer(send(&nodes[0], get("/"))).await;
    stored(&server, 1).await;
    // It is kept after it has become stale, and asked for with its validator.
    eventually("a stale response", || {
        server
            .cli(&["PTTL", &server.cli(&["KEYS", "layer:*"])])
            .parse::<u64>()
            .is_ok_and(|left| left < 60_000)
    })
    .await;
    let validated = answer(send(&nodes[1], get("/"))).await;
    assert_eq!((validated.status.as_u16(), &validated.body[..]), (200, &b"1"[..]));
    assert_eq!(inner.calls(), 2);
    eventually("a fresh response", || {
        server
            .cli(&["PTTL", &server.cli(&["KEYS", "layer:*"])])
            .parse::<u64>()
            .is_ok_and(|left| left > 100_000)
    })
    .await;
    let unmodified = answer(send(&nodes[0], get_with("/", "if-none-match", "\"a\""))).await;
    assert_eq!(unmodified.status, 304);
    let part = answer(send(&nodes[0], get_with("/", "range", "bytes=0-0"))).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"1"[..]));
    assert_eq!(inner.calls(), 2);
}
