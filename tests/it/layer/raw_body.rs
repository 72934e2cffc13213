//! A layer that stores bodies alone.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{Freshness, MemoLockService};
use tower_memolock::{Key, MemoLock, MemoLockLayer, MemoryStore, RedisStore, Store};

use super::fixture::{Gate, Inner, TestBody, answer, fresh, get, send, text, with};
use crate::support::{RedisServer, eventually, within};

const MINUTE: Duration = Duration::from_secs(60);

/// The path to the letter.
fn path(request: &Request<Full<Bytes>>) -> Option<Key> {
    Key::new(request.uri().path().trim_start_matches('/')).ok()
}

type PathKey = fn(&Request<Full<Bytes>>) -> Option<Key>;

fn layer<St: Store>(store: St) -> MemoLockLayer<PathKey> {
    let layer = MemoLockLayer::new(store, "body")
        .raw_body("application/pdf")
        .ttl(MINUTE);
    layer.key(path as PathKey)
}

fn node<St: Store>(store: St, inner: &Inner) -> MemoLockService<Inner, PathKey> {
    layer(store).layer(inner.clone())
}

fn pdf(body: impl Into<Bytes>) -> http::Response<TestBody> {
    with(text(body), "content-type", "application/pdf")
}

async fn connect(redis: &RedisServer) -> RedisStore {
    let url = redis.url();
    within("a connection", RedisStore::connect(&url))
        .await
        .expect("a store")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_family_finds_the_body_to_the_letter_and_its_bodies_are_found() {
    let redis = RedisServer::start();
    let store = connect(&redis).await;
    let inner = Inner::replying(|call| with(pdf(format!("%PDF {call}")), "etag", "\"1\""));
    let node = node(store.clone(), &inner);
    assert_eq!(answer(send(&node, get("/1"))).await.body, "%PDF 1");
    eventually("a body in Redis", || redis.cli(&["EXISTS", "body:1"]) == "1").await;
    assert_eq!(redis.cli(&["GET", "body:1"]), "%PDF 1");
    let ttl: u64 = redis.cli(&["PTTL", "body:1"]).parse().expect("a time");
    assert!(
        (50_000..=60_000).contains(&ttl),
        "fresh, and not a moment longer: {ttl}"
    );
    let family = MemoLock::new(store, "body");
    assert_eq!(family.get("1").await.expect("a key").expect("a body"), "%PDF 1");

    // One without an expiry as well.
    redis.cli(&["SET", "body:2", "%PDF theirs"]);
    let hit = answer(send(&node, get("/2"))).await;
    assert_eq!((hit.status, &hit.body[..]), (StatusCode::OK, &b"%PDF theirs"[..]));
    assert_eq!(hit.header("content-type"), Some("application/pdf"));
    assert_eq!(hit.header("etag"), None);
    assert_eq!(hit.header("age"), Some("0"));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_body_cannot_stand_for_stays_in_the_process() {
    let redis = RedisServer::start();
    let store = connect(&redis).await;
    let gate = Gate::new();
    let replies: [fn() -> http::Response<TestBody>; 4] = [
        || with(text("html"), "content-type", "text/html"),
        || {
            let mut created = fresh("created");
            *created.status_mut() = StatusCode::NON_AUTHORITATIVE_INFORMATION;
            created
        },
        || with(pdf("gzip"), "content-encoding", "gzip"),
        || with(pdf("group"), "cache-groups", "\"g\""),
    ];
    let inner = Inner::new({
        let gate = gate.clone();
        move |_, call| {
            let (gate, reply) = (gate.clone(), replies[(call - 1) % 4]);
            async move {
                gate.pass().await;
                Ok(reply())
            }
        }
    });
    let layer = layer(store);
    let node = layer.layer(inner.clone());
    for (n, body) in ["html", "created", "gzip", "group"].into_iter().enumerate() {
        let asked: Vec<_> = (0..5).map(|_| send(&node, get("/1"))).collect();
        gate.reached_by(n + 1).await;
        eventually("four that wait", || layer.handle().stats().waiting == 4).await;
        gate.let_go(1);
        for asked in asked {
            assert_eq!(answer(asked).await.body, body);
        }
        eventually("an end of the lock", || redis.keys().is_empty()).await;
    }
    assert_eq!(inner.calls(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_store_responses_whole_and_bodies_alone_do_not_take_one_for_the_other() {
    let redis = RedisServer::start();
    let inner = Inner::replying(|call| pdf(format!("%PDF {call}")));
    let raw = node(connect(&redis).await, &inner);
    let whole = MemoLockLayer::new(connect(&redis).await, "body").ttl(MINUTE);
    let whole = whole.key(path as PathKey).layer(inner.clone());
    assert_eq!(answer(send(&raw, get("/1"))).await.body, "%PDF 1");
    eventually("a body in Redis", || redis.cli(&["EXISTS", "body:1"]) == "1").await;
    assert_eq!(answer(send(&whole, get("/1"))).await.body, "%PDF 2");
    eventually("an entry in Redis", || {
        redis.cli(&["GETRANGE", "body:1", "0", "2"]) == "MLK"
    })
    .await;
    assert_eq!(answer(send(&raw, get("/1"))).await.body, "%PDF 3");
    eventually("a body in Redis", || redis.cli(&["GET", "body:1"]) == "%PDF 3").await;
}

#[test]
fn a_content_type_is_a_media_type() {
    let layer = || MemoLockLayer::new(MemoryStore::new(), "body");
    for content_type in ["application/pdf", "text/plain; charset=utf-8", "image/svg+xml"] {
        drop(layer().raw_body(content_type));
        drop(layer().raw_body(HeaderValue::from_static(content_type)));
    }
    for content_type in ["", "pdf", "application/", "/pdf", "a b/c", "a/b/c", "a/b\n"] {
        let refused = std::panic::catch_unwind(|| drop(layer().raw_body(content_type)));
        assert!(refused.is_err(), "{content_type:?}");
    }
}

#[tokio::test]
async fn a_layer_that_stamps_what_it_stores_goes_on_to() {
    let inner = Inner::replying(|call| pdf(format!("%PDF {call}")));
    let layer = MemoLockLayer::new(MemoryStore::new(), "body")
        .ttl(MINUTE)
        .freshness(Freshness::new().stamped(true))
        .raw_body("application/pdf");
    let node = layer.layer(inner);
    assert_eq!(answer(send(&node, get("/1"))).await.body, "%PDF 1");
    layer
        .handle()
        .invalidate_all()
        .await
        .expect("a layer that can be asked for it");
    assert_eq!(answer(send(&node, get("/1"))).await.body, "%PDF 2");
}
