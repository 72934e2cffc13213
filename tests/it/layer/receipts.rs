//! Receipts of invalidations, and requests whose responses are computed now: nothing older, on any node.

use http::{Request, Response};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Freshness, Refresh};
use tower_memolock::{MemoLockLayer, MemoryStore, Receipt, Store};

use super::fixture::{Answer, Gate, Inner, Node, TestBody, answer, get, get_with, send, text, with};
use crate::support::{RedisServer, eventually, within};

const FIELD: &str = "memolock-receipt";

struct Pair {
    layers: [MemoLockLayer; 2],
    nodes: [Node; 2],
    inner: Inner,
    gate: Gate,
}

fn reply(call: usize) -> Response<TestBody> {
    with(
        text(call.to_string()),
        "cache-control",
        "max-age=60, stale-while-revalidate=60, stale-if-error=60",
    )
}

impl Pair {
    /// Calls are answered at once as long as the gate is open.
    fn over(stores: [impl Store; 2]) -> Self {
        let gate = Gate::new();
        gate.open();
        let inner = Inner::gated(&gate, move |_, call| Ok(reply(call)));
        let layers = stores.map(|store| {
            let layer = MemoLockLayer::new(store, "layer").freshness(Freshness::new().ttl_jitter(0.0).receipts(true));
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

    async fn redis(server: &RedisServer) -> Self {
        Self::over(server.two_stores().await)
    }

    async fn ask(&self, node: usize, request: Request<Full<bytes::Bytes>>) -> Answer {
        answer(send(&self.nodes[node], request)).await
    }

    /// Asks until there is a hit.
    async fn fill(&self, path: &str) -> String {
        let hit = async {
            loop {
                let found = self.ask(1, get(path)).await;
                if said(&found).contains("; hit") {
                    return String::from_utf8(found.body.to_vec()).expect("text");
                }
            }
        };
        within("a hit", hit).await
    }

    async fn post(&self, node: usize, path: &str) -> Answer {
        self.ask(node, Request::post(path).body(Full::default()).expect("a request"))
            .await
    }
}

fn said(answer: &Answer) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

async fn who_has_written_gets_nothing_older(pair: &Pair) {
    let old = pair.fill("/list").await;
    let first = pair.post(0, "/item").await.header(FIELD).expect("a receipt").to_owned();
    let receipt = pair.post(0, "/item").await.header(FIELD).expect("a receipt").to_owned();
    assert!(receipt.len() <= 16 && receipt.is_ascii());
    assert!(receipt.parse::<Receipt>().expect("a receipt") > first.parse().expect("a receipt"));
    // All others go on with what there is.
    assert_eq!(pair.ask(1, get("/list")).await.body, old);
    let calls = pair.inner.calls();
    let both = format!("{receipt}, {first}");
    for node in [1, 0, 1] {
        let new = pair.ask(node, get_with("/list", FIELD, &both)).await;
        assert_ne!(new.body, old, "{}", said(&new));
    }
    let new = pair.fill("/list").await;
    assert_ne!(new, old);
    for node in [0, 1] {
        let hit = pair.ask(node, get_with("/list", FIELD, &receipt)).await;
        assert!(hit.body == new && said(&hit).contains("; hit"), "{}", said(&hit));
    }
    // As many as there were before the first was stored: they come one after the other.
    assert!(pair.inner.calls() <= calls + 2, "{} calls", pair.inner.calls() - calls);
}

#[tokio::test]
async fn who_has_written_gets_nothing_older_from_any_node() {
    let server = RedisServer::start();
    who_has_written_gets_nothing_older(&Pair::redis(&server).await).await;
}

#[tokio::test]
async fn who_has_written_gets_nothing_older_in_memory() {
    let store = MemoryStore::new();
    who_has_written_gets_nothing_older(&Pair::over([store.clone(), store])).await;
}

#[tokio::test]
async fn a_made_up_receipt_costs_at_most_one_call_for_each_change() {
    let server = RedisServer::start();
    let pair = Pair::redis(&server).await;
    let old = pair.fill("/").await;
    let calls = pair.inner.calls();
    for text in [
        "ffffffffffffffff",
        "1",
        "0",
        "",
        "x",
        ",,,",
        "-5",
        "ffffffffffffffffffff",
        "1 2",
        "\u{fffd}",
    ] {
        let bytes = http::HeaderValue::from_bytes(text.as_bytes()).expect("a field");
        let mut request = get("/");
        request.headers_mut().insert(FIELD, bytes);
        assert_eq!(pair.ask(0, request).await.body, old, "{text:?}");
    }
    assert_eq!(pair.inner.calls(), calls);
    let receipt = pair.layers[0]
        .handle()
        .invalidate_tags(["another"])
        .await
        .expect("a receipt");
    let number = u64::from_str_radix(&receipt.to_string(), 16).expect("a number");
    for below in 0..20 {
        let text = format!("{:x}", number - below);
        pair.ask(0, get_with("/", FIELD, &text)).await;
        pair.fill("/").await;
    }
    assert_eq!(pair.inner.calls(), calls + 1);
}

#[tokio::test]
async fn what_is_stale_to_all_is_no_answer_to_who_has_the_receipt() {
    let server = RedisServer::start();
    let pair = Pair::redis(&server).await;
    let old = pair.fill("/").await;
    pair.gate.take_back();
    let receipt = pair.layers[0]
        .handle()
        .invalidate_request(&get("/"))
        .soft()
        .await
        .expect("a receipt");
    let reached = pair.gate.reached();
    let mut request = get("/");
    request.extensions_mut().insert(receipt);
    let writer = send(&pair.nodes[1], request);
    pair.gate.reached_by(reached + 1).await;
    for node in [0, 1, 0] {
        let stale = pair.ask(node, get("/")).await;
        assert!(stale.body == old && said(&stale).contains("stale"), "{}", said(&stale));
    }
    // One in the cluster computes.
    assert_eq!(pair.gate.reached(), reached + 1);
    pair.gate.open();
    assert_ne!(answer(writer).await.body, old);
}

#[tokio::test]
async fn a_response_is_computed_now_by_one_in_the_cluster_while_all_others_go_on() {
    let server = RedisServer::start();
    let pair = Pair::redis(&server).await;
    let old = pair.fill("/").await;
    pair.gate.take_back();
    let reached = pair.gate.reached();
    let refresh = |node: usize| {
        let mut request = get("/");
        request.extensions_mut().insert(Refresh);
        send(&pair.nodes[node], request)
    };
    let first = refresh(0);
    pair.gate.reached_by(reached + 1).await;
    let others = [refresh(0), refresh(1), refresh(1)];
    eventually("a subscriber", || {
        !server.cli(&["PUBSUB", "CHANNELS", "layer/*"]).is_empty()
    })
    .await;
    for node in [0, 1] {
        let hit = pair.ask(node, get("/")).await;
        assert!(hit.body == old && said(&hit).contains("; hit"), "{}", said(&hit));
    }
    pair.gate.let_go(1);
    let new = answer(first).await.body;
    assert_ne!(new, old);
    for other in others {
        assert_eq!(answer(other).await.body, new);
    }
    assert_eq!(pair.gate.reached(), reached + 1);
    assert_eq!(pair.fill("/").await, new);
    // Whatever is stored by then.
    let again = refresh(1);
    pair.gate.reached_by(reached + 2).await;
    pair.gate.open();
    assert_ne!(answer(again).await.body, new);
}
