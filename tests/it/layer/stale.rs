//! Stale answers: while a new response is computed, and where that fails (RFC 5861).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use tokio::time::advance;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{
    BodyKey, CacheStatus, Failures, Freshness, HeadKey, KeyExtractor, Privacy, Unconfirmed,
};
use tower_memolock::store::{Lock, Store, Token};
use tower_memolock::{Address, MemoLockLayer, MemoryStore, Tag};

use super::fixture::{
    Answer, Broken, Failure, Gate, Inner, Node, TestBody, answer, bodies, data, fresh, get, get_with, pair, pair_over,
    parts, send, send_many, settle, streamed, text, with,
};
use crate::support::within;

/// Past the freshness of what [`fresh`] makes, by five seconds.
const STALE: Duration = Duration::from_secs(65);

fn cached(directives: &'static str) -> impl Fn(usize) -> Response<TestBody> + Clone + Send + Sync + 'static {
    move |call| with(text(call.to_string()), "cache-control", directives)
}

/// Answers the first call at once, and all later ones as the gate lets them, with what `reply` makes of them.
fn gated<F>(gate: &Gate, reply: F) -> Inner
where
    F: Fn(usize) -> Result<Response<TestBody>, Broken> + Clone + Send + Sync + 'static,
{
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply.clone());
        async move {
            if call > 1 {
                gate.pass().await;
            }
            reply(call)
        }
    })
}

/// Has the first response stored, and lets it become stale.
async fn become_stale(nodes: &[Node; 2]) {
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    settle().await;
    advance(STALE).await;
}

async fn ask(node: &Node) -> Answer {
    answer(send(node, get("/"))).await
}

#[tokio::test(start_paused = true)]
async fn while_it_is_computed_anew_no_request_waits_and_one_in_the_cluster_computes() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=10");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    become_stale(&nodes).await;
    for _ in 0..2 {
        for asked in send_many(&nodes, 20, || get("/")) {
            let stale = answer(asked).await;
            assert_eq!((stale.body.as_ref(), stale.header("age")), (&b"1"[..], Some("65")));
            assert_eq!(
                stale.header("cache-status"),
                Some("memolock; hit; ttl=-5; detail=stale-while-revalidate")
            );
        }
        settle().await;
        assert_eq!(gate.reached(), 1);
    }
    gate.open();
    settle().await;
    for node in &nodes {
        let new = ask(node).await;
        assert_eq!((new.body.as_ref(), new.header("age")), (&b"2"[..], Some("0")));
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_layer_says_for_those_that_do_not() {
    let ten = Duration::from_secs(10);
    for (said, stale) in [
        ("max-age=60", true),
        ("max-age=60, stale-while-revalidate=0", false),
        ("max-age=60, stale-while-revalidate=4", false),
        ("max-age=60, stale-while-revalidate=6", true),
        ("max-age=60, must-revalidate, stale-while-revalidate=10", false),
        ("max-age=60, proxy-revalidate", false),
        ("s-maxage=60, stale-while-revalidate=10", false),
        ("max-age=60, no-cache, stale-while-revalidate=10", false),
    ] {
        let inner = Inner::replying(cached(said));
        let nodes = pair(&inner, |layer| {
            layer
                .freshness(Freshness::new().stale_while_revalidate(ten))
                .privacy(Privacy::new().pass_marker(Duration::ZERO))
        });
        become_stale(&nodes).await;
        let expected = if stale { "1" } else { "2" };
        assert_eq!(ask(&nodes[1]).await.body, expected, "{said}");
        settle().await;
        assert_eq!(inner.calls(), 2, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_window_all_requests_wait_again() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=3");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    assert_eq!(gate.reached(), 1);
    gate.open();
    assert_eq!(bodies(asked).await, ["2"; 20]);
}

#[tokio::test(start_paused = true)]
async fn who_reads_only_gets_the_stale_one_too_and_computes_nothing() {
    let inner = Inner::replying(|call| {
        let reply = cached("max-age=60, public, stale-while-revalidate=10")(call);
        with(reply, "etag", "\"a\"")
    });
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    become_stale(&nodes).await;
    let partial = answer(send(&nodes[1], get_with("/", "range", "bytes=0-0"))).await;
    assert_eq!(
        (partial.status, partial.header("age")),
        (StatusCode::PARTIAL_CONTENT, Some("65"))
    );
    assert_eq!(
        partial.header("cache-status"),
        Some("memolock; hit; ttl=-5; detail=stale-while-revalidate")
    );
    let unmodified = answer(send(&nodes[1], get_with("/", "if-none-match", "\"a\""))).await;
    assert_eq!(unmodified.status, StatusCode::NOT_MODIFIED);
    settle().await;
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_not_tried_again_at_once() {
    let inner = Inner::new(|_, call| async move {
        match call {
            1 => Ok(cached("max-age=60, stale-while-revalidate=60")(call)),
            _ => Err(Broken("on purpose")),
        }
    });
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    for calls in [2, 3] {
        for _ in 0..10 {
            assert_eq!(ask(&nodes[0]).await.body, "1");
            settle().await;
        }
        assert_eq!(inner.calls(), calls);
        advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_undoes_a_refresh_under_way() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=60");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().ttl_jitter(0.0));
    let nodes = [layer.layer(inner.clone()), layer.layer(inner.clone())];
    become_stale(&nodes).await;
    assert_eq!(ask(&nodes[0]).await.body, "1");
    gate.reached_by(1).await;
    layer
        .handle()
        .invalidate(&super::failures::key("/"))
        .await
        .expect("invalidated");
    gate.open();
    within("the end of the refresh", layer.handle().drained()).await;
    assert_eq!(bodies(send_many(&nodes, 2, || get("/"))).await, ["3"; 2]);
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_a_refresh() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=60");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().ttl_jitter(0.0));
    let nodes = [layer.layer(inner.clone()), layer.layer(inner)];
    become_stale(&nodes).await;
    ask(&nodes[0]).await;
    gate.reached_by(1).await;
    let drained = {
        let layer = layer.clone();
        tokio::spawn(async move { layer.handle().drained().await })
    };
    settle().await;
    assert!(!drained.is_finished());
    gate.open();
    within("the end of the refresh", drained).await.expect("drained");
    assert_eq!(ask(&nodes[1]).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_takes_the_body_along_where_the_key_has_read_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let search = move |body: Bytes| async move {
        let call = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10")];
        (fields, format!("{call} {}", String::from_utf8_lossy(&body)))
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "search")
        .methods([Method::POST])
        .key(BodyKey::new())
        .freshness(Freshness::new().ttl_jitter(0.0));
    let app = Router::new().route("/", post(search)).layer(layer);
    let ask = || async {
        let request = Request::post("/").body(Body::from("cheese")).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        axum::body::to_bytes(response.into_body(), 99).await.expect("a body")
    };
    assert_eq!(ask().await, "1 cheese");
    settle().await;
    advance(STALE).await;
    assert_eq!(ask().await, "1 cheese");
    settle().await;
    assert_eq!(ask().await, "2 cheese");
}

/// Covers the body by a digest that its sender declares, and leaves the body itself alone.
#[derive(Clone)]
struct Declared;

impl KeyExtractor<Body> for Declared {
    type Body = Body;

    fn covers_body(&self) -> bool {
        true
    }

    fn head_key(&self, request: &Request<Body>) -> HeadKey {
        let digest = request.headers().get("x-digest");
        digest
            .map(|digest| tower_memolock::Key::builder().part(digest).build())
            .into()
    }

    fn pass(&self, request: Request<Body>) -> Request<Body> {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_is_still_to_come_leads_as_usual() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let search = move |body: Bytes| async move {
        let call = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10")];
        (fields, format!("{call} {}", body.len()))
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "search")
        .methods([Method::POST])
        .key(Declared)
        .freshness(Freshness::new().ttl_jitter(0.0));
    let app = Router::new().route("/", post(search)).layer(layer);
    let ask = || async {
        let pieces = futures_util::stream::iter(["che", "ese"]).map(Ok::<_, Broken>);
        let request = Request::post("/").header("x-digest", "1");
        let request = request.body(Body::from_stream(pieces)).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        axum::body::to_bytes(response.into_body(), 99).await.expect("a body")
    };
    assert_eq!(ask().await, "1 6");
    settle().await;
    advance(STALE).await;
    assert_eq!(ask().await, "2 6");
}

/// What fails in these tests: the second call.
type Fault = fn() -> Result<Response<TestBody>, Broken>;

fn broken(status: u16) -> Result<Response<TestBody>, Broken> {
    let mut reply = text("broken");
    *reply.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(reply)
}

const FAULTS: [Fault; 6] = [
    || broken(500),
    || broken(502),
    || broken(503),
    || broken(504),
    || Err(Broken("on purpose")),
    || panic!("on purpose"),
];

#[tokio::test(start_paused = true)]
async fn a_failure_gives_all_clients_the_stale_one() {
    for (at, fault) in FAULTS.into_iter().enumerate() {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| match call {
            1 => Ok(cached("max-age=60, stale-if-error=10")(call)),
            _ => fault(),
        });
        let nodes = pair(&inner, |layer| layer);
        become_stale(&nodes).await;
        let asked = send_many(&nodes, 20, || get("/"));
        gate.reached_by(1).await;
        settle().await;
        gate.open();
        for asked in asked {
            let stale = answer(asked).await;
            assert_eq!(
                (stale.body.as_ref(), stale.header("age")),
                (&b"1"[..], Some("65")),
                "{at}"
            );
        }
        assert_eq!(inner.calls(), 2, "{at}");
    }
}

/// Has a leader's body end in an error, behind the gate: its own client gets that, and its followers the stale response.
async fn the_stale_one_stands_in(inner: &Inner, gate: &Gate) {
    let nodes = pair(inner, |layer| layer);
    become_stale(&nodes).await;
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let others = send_many(&nodes, 19, || get("/"));
    settle().await;
    gate.open();
    let led = within("an answer", leader).await.expect("no panic of the client's");
    assert!(matches!(led, Err(Failure::Body(_))), "{led:?}");
    assert_eq!(bodies(others).await, ["1"; 19]);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_leader_leaves_the_stale_one_to_those_who_wait() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| {
        let cached = cached("max-age=60, stale-if-error=10")(call);
        Ok(match call {
            1 => cached,
            _ => with(
                parts([data("2"), Err(Broken("on purpose"))]),
                "cache-control",
                "max-age=60",
            ),
        })
    });
    the_stale_one_stands_in(&inner, &gate).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_leaves_the_stale_one_to_those_who_wait() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| {
        let cached = cached("max-age=60, stale-if-error=10")(call);
        let parts = futures_util::stream::once(async { data("2") });
        let panics = futures_util::stream::once(async { panic!("on purpose") });
        Ok(match call {
            1 => cached,
            _ => with(streamed(parts.chain(panics)), "cache-control", "max-age=60"),
        })
    });
    the_stale_one_stands_in(&inner, &gate).await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_stand_in_does_not() {
    for said in [
        "max-age=60",
        "max-age=60, stale-if-error=4",
        "max-age=60, stale-if-error=10, must-revalidate",
        "max-age=60, stale-if-error=10, proxy-revalidate",
        "s-maxage=60, stale-if-error=10",
    ] {
        let inner = Inner::new(move |_, call| async move {
            match call {
                1 => Ok(cached(said)(call)),
                _ => broken(503),
            }
        });
        let nodes = pair(&inner, |layer| layer);
        become_stale(&nodes).await;
        assert_eq!(ask(&nodes[1]).await.status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    }
    let inner = Inner::new(|_, call| async move {
        match call {
            1 => Ok(cached("max-age=60, stale-if-error=10")(call)),
            _ => broken(501),
        }
    });
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    assert_eq!(ask(&nodes[1]).await.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_died_costs_its_lease_and_then_every_caller_gets_the_stale_one() {
    const LEASE: Duration = Duration::from_secs(5);
    let inner = Inner::replying(cached("max-age=60, stale-if-error=60"));
    let store = MemoryStore::new();
    let nodes = pair_over([store.clone(), store.clone()], &inner, |layer| layer.lease(LEASE));
    become_stale(&nodes).await;
    let address = Address::new(&Tag::new("layer").expect("a tag"), &super::failures::key("/"));
    let dead = store
        .acquire(&address, Token::random(), LEASE)
        .await
        .expect("an answer");
    assert_eq!(dead.lock, Lock::Granted);
    assert_eq!(bodies(send_many(&nodes, 20, || get("/"))).await, ["1"; 20]);
    assert_eq!(inner.calls(), 1);
    // The next request tries again.
    assert_eq!(bodies(send_many(&nodes, 20, || get("/"))).await, ["2"; 20]);
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_handed_over_where_that_is_wanted() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, call| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                match call {
                    1 => broken(503),
                    _ => Ok(fresh(call.to_string())),
                }
            }
        })
    };
    let nodes = pair(&inner, |layer| {
        layer.failures(Failures::new().on_unconfirmed(Unconfirmed::HandOver))
    });
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    let mut bodies = bodies(asked).await;
    bodies.sort();
    assert_eq!(bodies[..19], ["2"; 19]);
    assert_eq!(bodies[19], "broken");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn leaders_of_the_whole_cluster_are_succeeded_once_and_then_all_requests_ask() {
    const REQUESTS: usize = 20;
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, _| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Err(Broken("on purpose"))
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    for leader in 1..=2 {
        gate.reached_by(leader).await;
        settle().await;
        assert_eq!(gate.reached(), leader);
        gate.let_go(1);
    }
    gate.reached_by(REQUESTS).await;
    gate.open();
    for asked in asked {
        assert!(within("an answer", asked).await.expect("no panic").is_err());
    }
    assert_eq!(inner.calls(), REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_together_does_not_end_together() {
    const COUNT: usize = 200;
    let inner = Inner::replying(|call| with(text(call.to_string()), "cache-control", "max-age=1000"));
    let node = MemoLockLayer::new(MemoryStore::new(), "layer").layer(inner.clone());
    let paths: Vec<_> = (0..COUNT).map(|at| format!("/{at}")).collect();
    for path in &paths {
        answer(send(&node, get(path))).await;
    }
    let calls_after = |seconds| {
        let (node, inner, paths) = (&node, &inner, &paths);
        async move {
            settle().await;
            let before = inner.calls();
            advance(Duration::from_secs(seconds)).await;
            for path in paths {
                answer(send(node, get(path))).await;
            }
            inner.calls() - before
        }
    };
    assert_eq!(calls_after(949).await, 0);
    let early = calls_after(25).await;
    assert!((60..140).contains(&early), "{early}");
    assert_eq!(calls_after(26).await, COUNT - early);
}
