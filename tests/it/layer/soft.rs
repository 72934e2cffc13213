//! Soft invalidation: what is out of date answers while it is computed anew, where it may be served stale.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Freshness, MemoControl};
use tower_memolock::{Invalidation, Key, MemoLockLayer, MemoryStore, RedisStore, Store};

use super::fixture::{Answer, Gate, Inner, Node, TestBody, answer, get, get_with, send, send_many, text, with};
use crate::support::{RedisServer, eventually, within};

const STALE_ALLOWED: &str = "max-age=60, stale-while-revalidate=60";

/// Two nodes of one cluster.
struct Pair {
    layers: [MemoLockLayer; 2],
    nodes: [Node; 2],
    inner: Inner,
    gate: Gate,
}

impl Pair {
    /// The first call is answered at once, and all later calls as the gate lets them.
    fn over(stores: [impl Store; 2], first: usize, reply: fn(usize) -> Response<TestBody>) -> Self {
        let gate = Gate::new();
        let inner = {
            let gate = gate.clone();
            Inner::new(move |_, call| {
                let gate = gate.clone();
                async move {
                    if call > first {
                        gate.pass().await;
                    }
                    Ok(reply(call))
                }
            })
        };
        let layers = stores.map(|store| {
            let layer = MemoLockLayer::new(store, "layer").freshness(Freshness::new().stamped(true));
            let layer = layer.freshness(Freshness::new().ttl_jitter(0.0));
            layer.cache_status(CacheStatus::Outcome)
        });
        let nodes = layers.each_ref().map(|layer| layer.layer(inner.clone()));
        Self {
            layers,
            nodes,
            inner,
            gate,
        }
    }

    async fn redis(server: &RedisServer, reply: fn(usize) -> Response<TestBody>) -> Self {
        Self::over(server.two_stores().await, 1, reply)
    }

    async fn ask(&self, node: usize) -> Answer {
        answer(send(&self.nodes[node], get("/"))).await
    }

    /// Has the first response stored, and sees the other node have it.
    async fn fill(&self) {
        assert_eq!(self.ask(0).await.body, "1");
        self.until_hit(1, "1").await;
    }

    /// Asks until there is a hit with this body.
    async fn until_hit(&self, node: usize, body: &str) {
        let hit = async {
            loop {
                let answer = self.ask(node).await;
                if answer.body == body && is_hit(&answer) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within("a hit", hit).await;
    }

    fn by(&self, way: usize, node: usize) -> Invalidation {
        let layer = &self.layers[node];
        match way {
            0 => layer.handle().invalidate_request(&get("/")),
            1 => layer.handle().invalidate_tags(["x"]),
            _ => layer.handle().invalidate_all(),
        }
    }
}

fn tagged(call: usize) -> Response<TestBody> {
    let mut response = with(text(call.to_string()), "cache-control", STALE_ALLOWED);
    response.extensions_mut().insert(MemoControl::new().tag("x"));
    response
}

fn said(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

fn is_hit(answer: &Answer) -> bool {
    said(answer).contains("; hit") && !said(answer).contains("stale")
}

fn is_stale(answer: &Answer) -> bool {
    said(answer).contains("fwd=stale") || said(answer).contains("detail=stale")
}

/// Softly, by key, by tag and all: all get the stale one, one computes, and then all get the new one.
async fn all_get_the_stale_one(pair: &Pair) {
    pair.fill().await;
    for (way, node) in [(0, 0), (1, 1), (2, 0)] {
        let (old, new) = ((way + 1).to_string(), (way + 2).to_string());
        within("an invalidation", pair.by(way, node).soft())
            .await
            .expect("an invalidation");
        for _ in 0..3 {
            for asked in send_many(&pair.nodes, 20, || get("/")) {
                let stale = answer(asked).await;
                assert_eq!(stale.body, old, "way {way}: {}", said(&stale));
                assert!(!is_hit(&stale), "way {way}: {}", said(&stale));
                assert!(stale.header("age").is_some());
            }
        }
        pair.gate.reached_by(way + 1).await;
        assert_eq!(pair.inner.calls(), way + 2, "one in the cluster");
        pair.gate.let_go(1);
        pair.until_hit(0, &new).await;
        pair.until_hit(1, &new).await;
        assert_eq!(pair.inner.calls(), way + 2);
    }
}

#[tokio::test]
async fn all_get_the_stale_one_while_one_in_the_cluster_computes() {
    let server = RedisServer::start();
    all_get_the_stale_one(&Pair::redis(&server, tagged).await).await;
}

#[tokio::test]
async fn all_get_the_stale_one_in_memory_too() {
    let store = MemoryStore::new();
    all_get_the_stale_one(&Pair::over([store.clone(), store], 1, tagged)).await;
}

#[tokio::test]
async fn near_copies_are_stale_as_well() {
    let server = RedisServer::start();
    let near = || async {
        let store = RedisStore::builder(server.url()).near(1 << 20).connect().await;
        store.expect("a store")
    };
    all_get_the_stale_one(&Pair::over([near().await, near().await], 1, tagged)).await;
}

#[tokio::test]
async fn what_may_not_be_served_stale_is_absent() {
    const FORBIDDEN: [&str; 6] = [
        "max-age=60",
        "max-age=60, stale-while-revalidate=0",
        "max-age=60, stale-while-revalidate=60, must-revalidate",
        "max-age=60, stale-while-revalidate=60, proxy-revalidate",
        "s-maxage=60, stale-while-revalidate=60",
        "no-cache, stale-while-revalidate=60",
    ];
    let server = RedisServer::start();
    let ways = [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2), (0, 1), (4, 0)];
    // One asks in each round: what it computes may be stored before another asks, and be there to be validated.
    for (at, way, asking) in ways.into_iter().flat_map(|(at, way)| [(at, way, 0), (at, way, 1)]) {
        let inner = Inner::new(move |_, call| async move {
            let mut response = with(text(call.to_string()), "cache-control", FORBIDDEN[at]);
            response.extensions_mut().insert(MemoControl::new().tag("x"));
            Ok(with(response, "etag", "\"a\""))
        });
        let layers = server
            .two_stores()
            .await
            .map(|store| MemoLockLayer::new(store, "layer").freshness(Freshness::new().stamped(true)));
        let nodes = layers
            .each_ref()
            .map(|layer| layer.clone().cache_status(CacheStatus::Outcome).layer(inner.clone()));
        layers[0].handle().invalidate_all().await.expect("an invalidation");
        answer(send(&nodes[0], get("/"))).await;
        eventually("a stored response", || {
            server.keys().iter().any(|key| key == "layer:{GET ///}")
        })
        .await;
        let invalidation = match way {
            0 => layers[0].handle().invalidate_request(&get("/")),
            1 => layers[0].handle().invalidate_tags(["x"]),
            _ => layers[0].handle().invalidate_all(),
        };
        invalidation.soft().await.expect("an invalidation");
        let next = answer(send(&nodes[asking], get("/"))).await;
        assert!(
            !is_stale(&next) && next.body == "2",
            "{}, node {asking}: {}",
            FORBIDDEN[at],
            said(&next)
        );
        layers[0].handle().invalidate_all().await.expect("an invalidation");
        server.cli(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn what_is_computed_meanwhile_counts_as_stale() {
    for way in 0..3 {
        // What the round before left running in the background holds locks.
        let server = RedisServer::start();
        let pair = Pair::over(server.two_stores().await, 0, tagged);
        let first = send(&pair.nodes[0], get("/"));
        pair.gate.reached_by(1).await;
        // From before, on the other node.
        let before = send(&pair.nodes[1], get("/"));
        eventually("a subscriber", || {
            !server.cli(&["PUBSUB", "CHANNELS", "layer/*"]).is_empty()
        })
        .await;
        within("an invalidation", pair.by(way, 1).soft())
            .await
            .expect("an invalidation");
        let after: Vec<_> = (0..2).map(|node| send(&pair.nodes[node], get("/"))).collect();
        pair.gate.let_go(1);
        assert_eq!(answer(first).await.body, "1");
        assert_eq!(answer(before).await.body, "1", "way {way}");
        for asked in after {
            let stale = answer(asked).await;
            assert_eq!(stale.body, "1", "way {way}");
            assert!(!is_hit(&stale), "way {way}: {}", said(&stale));
        }
        for node in [0, 1] {
            let stale = pair.ask(node).await;
            assert!(stale.body == "1" && !is_hit(&stale), "way {way}: {}", said(&stale));
        }
        // A node whose refresh met a lock that a follower was about to give back tries once more for a later request.
        let again = async {
            while pair.inner.calls() < 2 {
                pair.ask(0).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("a refresh", again).await;
        pair.gate.reached_by(2).await;
        assert_eq!(pair.inner.calls(), 2, "way {way}");
        pair.gate.let_go(1);
        pair.until_hit(0, "2").await;
        pair.until_hit(1, "2").await;
    }
}

#[tokio::test]
async fn what_is_invalidated_both_ways_is_absent() {
    for way in 0..3 {
        for soft_first in [true, false] {
            // What the round before left running in the background holds locks.
            let server = RedisServer::start();
            let pair = Pair::redis(&server, tagged).await;
            pair.fill().await;
            for soft in [soft_first, !soft_first] {
                let invalidation = pair.by(way, 0);
                let invalidation = if soft { invalidation.soft() } else { invalidation };
                within("an invalidation", invalidation).await.expect("an invalidation");
            }
            pair.gate.let_go(1);
            assert_eq!(pair.ask(1).await.body, "2", "way {way}, soft first: {soft_first}");
        }
    }
}

#[tokio::test]
async fn all_variants_of_a_key_are_stale() {
    fn varying(call: usize) -> Response<TestBody> {
        with(tagged(call), "vary", "accept-language")
    }
    let server = RedisServer::start();
    let pair = Pair::over(server.two_stores().await, 2, varying);
    let variant = |language: &'static str| -> Request<Full<_>> { get_with("/", "accept-language", language) };
    for (language, body) in [("de", "1"), ("en", "2")] {
        assert_eq!(answer(send(&pair.nodes[0], variant(language))).await.body, body);
    }
    eventually("both variants", || {
        server.keys().iter().filter(|key| key.contains("GET")).count() == 2
    })
    .await;
    let key = Key::builder().part("GET").part("///").build();
    pair.layers[1]
        .handle()
        .invalidate(&key)
        .soft()
        .await
        .expect("an invalidation");
    for (language, body) in [("en", "2"), ("de", "1"), ("en", "2")] {
        for node in &pair.nodes {
            let stale = answer(send(node, variant(language))).await;
            assert!(stale.body == body && !is_hit(&stale), "{language}: {}", said(&stale));
        }
    }
    pair.gate.reached_by(1).await;
    assert_eq!(pair.inner.calls(), 3);
    pair.gate.open();
    let renewed = async {
        loop {
            let answer = answer(send(&pair.nodes[1], variant("en"))).await;
            if answer.body != "2" {
                return is_hit(&answer);
            }
        }
    };
    assert!(within("another response", renewed).await);
}
