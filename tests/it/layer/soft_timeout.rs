//! Requests that have waited for long enough get the stale response, where it may stand in, and the computation goes on.

use std::time::Duration;

use http::Request;
use tokio::time::{Instant, advance};
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Freshness, Refresh};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

use super::fixture::{Answer, Gate, Inner, Node, answer, get, send, send_many, settle, text, with};
use crate::support::{RedisServer, until};

const SOFT: Duration = Duration::from_secs(2);

/// Two nodes. The first call is answered at once, and all later calls as the gate lets them.
fn nodes<St: Store>(stores: [St; 2], directives: &'static str, gate: &Gate) -> ([Node; 2], Inner) {
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, call| {
            let gate = gate.clone();
            async move {
                if call > 1 {
                    gate.pass().await;
                }
                Ok(with(text(call.to_string()), "cache-control", directives))
            }
        })
    };
    let layer = |store| {
        let freshness = Freshness::new().ttl_jitter(0.0).soft_timeout(SOFT);
        let layer = MemoLockLayer::new(store, "layer").freshness(freshness);
        layer.cache_status(CacheStatus::Outcome).layer(inner.clone())
    };
    (stores.map(layer), inner)
}

fn is_stale(answer: &Answer) -> bool {
    answer
        .header("cache-status")
        .unwrap_or_default()
        .contains("detail=stale")
}

async fn become_stale(nodes: &[Node; 2]) {
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    settle().await;
    advance(Duration::from_secs(61)).await;
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_get_the_stale_one_and_the_computation_goes_on() {
    let (gate, store) = (Gate::new(), MemoryStore::new());
    let (nodes, inner) = nodes([store.clone(), store], "max-age=60, stale-if-error=600", &gate);
    become_stale(&nodes).await;
    let since = Instant::now();
    for asked in send_many(&nodes, 20, || get("/")) {
        let stale = answer(asked).await;
        assert!(stale.body == "1" && is_stale(&stale), "{stale:?}");
        assert_eq!(stale.header("age"), Some("63"));
    }
    assert_eq!(since.elapsed().as_secs(), SOFT.as_secs());
    assert_eq!(inner.calls(), 2);
    gate.let_go(1);
    settle().await;
    for node in &nodes {
        let new = answer(send(node, get("/"))).await;
        assert!(new.body == "2" && !is_stale(&new));
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_time_is_new() {
    let (gate, store) = (Gate::new(), MemoryStore::new());
    let (nodes, _) = nodes([store.clone(), store], "max-age=60, stale-if-error=600", &gate);
    become_stale(&nodes).await;
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    gate.open();
    for asked in asked {
        let new = answer(asked).await;
        assert!(new.body == "2" && !is_stale(&new), "{new:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_stand_in_is_waited_for() {
    for directives in [
        "max-age=60",
        "max-age=60, stale-if-error=1",
        "max-age=60, stale-if-error=600, must-revalidate",
        "s-maxage=60, stale-if-error=600",
    ] {
        let (gate, store) = (Gate::new(), MemoryStore::new());
        let (nodes, _) = nodes([store.clone(), store], directives, &gate);
        become_stale(&nodes).await;
        let asked = send(&nodes[1], get("/"));
        gate.reached_by(1).await;
        advance(SOFT * 2).await;
        settle().await;
        gate.open();
        assert_eq!(answer(asked).await.body, "2", "{directives}");
    }
    // Nor is there a stale answer for a request that wants a new one.
    let (gate, store) = (Gate::new(), MemoryStore::new());
    let (nodes, _) = nodes([store.clone(), store], "max-age=60, stale-if-error=600", &gate);
    become_stale(&nodes).await;
    let mut request: Request<_> = get("/");
    request.extensions_mut().insert(Refresh);
    let asked = send(&nodes[1], request);
    gate.reached_by(1).await;
    advance(SOFT * 2).await;
    settle().await;
    gate.open();
    assert_eq!(answer(asked).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_leaves_as_ever() {
    let (gate, store) = (Gate::new(), MemoryStore::new());
    let (nodes, inner) = nodes([store.clone(), store], "max-age=60, stale-if-error=600", &gate);
    become_stale(&nodes).await;
    let gone = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    gone.abort();
    gate.let_go(1);
    settle().await;
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "2");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn followers_on_another_node_get_the_stale_one_over_redis() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let (nodes, inner) = nodes(server.two_stores().await, "max-age=1, stale-if-error=600", &gate);
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    // Its own clock says that it is stale.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let follower = send(&nodes[1], get("/"));
    for asked in [leader, follower] {
        let stale = answer(asked).await;
        assert!(stale.body == "1" && is_stale(&stale), "{stale:?}");
    }
    assert_eq!(inner.calls(), 2);
    gate.open();
    until("a new response", async || {
        answer(send(&nodes[1], get("/"))).await.body != "1"
    })
    .await;
}
