//! What unsafe requests make out of date while Redis does not take it.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use super::fixture::{Inner, Node, answer, fresh, get, pair_over, send, text, with};
use crate::support::{RedisServer, eventually, within};

/// Answers reads with the number of the call, and changes with what makes more out of date.
fn changing() -> Inner {
    Inner::new(move |request, call| async move {
        if *request.method() == Method::GET {
            let reply = with(fresh(call.to_string()), "cache-groups", "\"shop\"");
            return Ok(match request.uri().path() {
                "/varies" => with(reply, "vary", "x-color"),
                _ => reply,
            });
        }
        let reply = with(text("changed"), "location", "/located");
        let reply = with(reply, "content-location", "/content");
        Ok(match request.uri().path() {
            "/group" => with(reply, "cache-group-invalidation", "\"shop\""),
            _ => reply,
        })
    })
}

async fn nodes(redis: &RedisServer, inner: &Inner) -> [Node; 2] {
    pair_over(redis.two_stores().await, inner, |layer| layer)
}

async fn ask(node: &Node, path: &str) -> String {
    let asked = within("an answer", answer(send(node, get(path)))).await;
    String::from_utf8(asked.body.into()).expect("UTF-8")
}

fn post(path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(path);
    request.body("change".into()).expect("a request")
}

/// Asks for all of them, and waits until they are stored.
async fn stored(redis: &RedisServer, node: &Node, paths: &[&str]) {
    for (n, path) in paths.iter().enumerate() {
        ask(node, path).await;
        eventually("a stored response", || {
            redis
                .cli(&["KEYS", "layer:*"])
                .lines()
                .filter(|key| !key.is_empty())
                .count()
                > n
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_on_a_connection_that_was_cut_is_seen_on_every_node() {
    let redis = RedisServer::start();
    let inner = changing();
    let nodes = nodes(&redis, &inner).await;
    stored(&redis, &nodes[0], &["/a", "/located", "/content", "/other"]).await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    answer(send(&nodes[0], post("/a"))).await;
    assert_eq!(redis.cli(&["KEYS", "layer:*"]).lines().count(), 1);
    eventually("a connection", || {
        redis.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() >= 5
    })
    .await;
    for (path, seen) in [("/a", "6"), ("/located", "7"), ("/content", "8"), ("/other", "4")] {
        assert_eq!(ask(&nodes[1], path).await, seen, "{path}");
    }
}

#[tokio::test]
async fn a_change_while_redis_takes_no_writes_is_seen_here_at_once_and_elsewhere_later() {
    let redis = RedisServer::start();
    let inner = changing();
    let stores = redis.two_stores().await;
    let here = stores[0].clone();
    let nodes = pair_over(stores, &inner, |layer| layer);
    let paths = ["/a", "/located", "/content", "/varies"];
    stored(&redis, &nodes[0], &paths).await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let changed = within("an answer", answer(send(&nodes[0], post("/a")))).await;
    assert_eq!(changed.body, "changed");
    answer(send(&nodes[0], post("/varies"))).await;
    for path in paths {
        assert!(
            ask(&nodes[0], path).await.parse::<usize>().expect("a number") > 4,
            "{path}"
        );
    }
    assert_eq!(here.stats().pending_invalidations, 4);
    redis.cli(&["CLIENT", "UNPAUSE"]);
    for path in paths {
        assert!(
            ask(&nodes[0], path).await.parse::<usize>().expect("a number") > 4,
            "{path}"
        );
    }
    eventually("nothing pending", || here.stats().pending_invalidations == 0).await;
    for path in paths {
        assert!(
            ask(&nodes[1], path).await.parse::<usize>().expect("a number") > 4,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_group_is_out_of_date_on_every_node_although_redis_is_full() {
    let redis = RedisServer::start();
    let inner = changing();
    let nodes = nodes(&redis, &inner).await;
    stored(&redis, &nodes[0], &["/a", "/b"]).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    answer(send(&nodes[0], post("/group"))).await;
    for node in &nodes {
        for path in ["/a", "/b"] {
            assert!(ask(node, path).await.parse::<usize>().expect("a number") > 3, "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_while_redis_is_slow_takes_no_invalidation_along() {
    let redis = RedisServer::start();
    let inner = changing();
    let nodes = nodes(&redis, &inner).await;
    stored(&redis, &nodes[0], &["/a", "/located", "/content"]).await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let asked = send(&nodes[0], post("/a"));
    eventually("a command that waits", || {
        redis.cli(&["INFO", "clients"]).contains("blocked_clients:1")
    })
    .await;
    asked.abort();
    redis.cli(&["CLIENT", "UNPAUSE"]);
    eventually("nothing stored", || redis.cli(&["KEYS", "layer:*"]).is_empty()).await;
}
