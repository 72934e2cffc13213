//! The span of a request closes with its response, whatever goes on behind it. Time is paused.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{Audit, Freshness};
use tower_memolock::{MemoLock, MemoLockLayer, MemoryStore};
use tracing::span::{Attributes, Id};
use tracing::{Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer as Listener, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::fixture::{Inner, Node, answer, by_hand, data, get, send, settle, streamed, text, with};
use super::slow::Slow;
use crate::support::listen_with;

const LONG: Duration = Duration::from_secs(2);

/// What happened to spans, in order.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl Spans {
    fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|happened| happened == what)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Listener<S> for Spans {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let name = cx.span(id).expect("a span").name();
        self.0.lock().unwrap().push(format!("open {name}"));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, cx: Context<'_, S>) {
        let (name, first) = (
            cx.span(id).expect("a span").name(),
            cx.span(follows).expect("a span").name(),
        );
        self.0.lock().unwrap().push(format!("{name} follows {first}"));
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let name = cx.span(&id).expect("a span").name();
        self.0.lock().unwrap().push(format!("close {name}"));
    }

    fn on_event(&self, event: &tracing::Event<'_>, cx: Context<'_, S>) {
        if event.metadata().name().contains("spans.rs") {
            let around = cx.event_scope(event).into_iter().flatten();
            let mut happened = self.0.lock().unwrap();
            happened.extend(around.map(|span| format!("event in {}", span.name())));
        }
    }
}

fn listen() -> (Spans, tracing::subscriber::DefaultGuard) {
    let spans = Spans::default();
    let guard = listen_with(tracing_subscriber::registry().with(spans.clone()));
    (spans, guard)
}

/// Answers at once the first time, and then after a long while.
fn inner() -> Inner {
    Inner::new(|_, call| async move {
        if call > 1 {
            sleep(LONG).await;
            tracing::info!("computed");
        }
        Ok(with(text("x"), "cache-control", "max-age=1, stale-while-revalidate=60"))
    })
}

async fn within_a_span(node: &Node) {
    let request = node.clone().oneshot(get("/"));
    let read = async {
        request
            .await
            .expect("a response")
            .into_body()
            .collect()
            .await
            .expect("a body")
    };
    read.instrument(info_span!("request")).await;
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_stale_hit_does_not_wait_for_its_refresh() {
    let (spans, _guard) = listen();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t")
        .freshness(Freshness::new().ttl_jitter(0.0))
        .layer(inner());
    answer(send(&node, get("/"))).await;
    settle().await;
    sleep(Duration::from_secs(5)).await;
    within_a_span(&node).await;
    settle().await;
    assert!(spans.has("close request"), "{:?}", spans.0);
    assert!(spans.has("memolock_refresh follows memolock_lookup"), "{:?}", spans.0);
    assert!(!spans.has("event in request"));
    sleep(LONG * 2).await;
    assert!(spans.has("event in memolock_refresh") && spans.has("close memolock_refresh"));
}

#[tokio::test(start_paused = true)]
async fn what_is_compared_with_a_hit_has_a_span_of_its_own() {
    let (spans, _guard) = listen();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t")
        .audit(Audit::Verify(1.0))
        .layer(inner());
    answer(send(&node, get("/"))).await;
    settle().await;
    assert!(!spans.has("open memolock_verify"));
    within_a_span(&node).await;
    settle().await;
    assert!(spans.has("close request"), "{:?}", spans.0);
    assert!(spans.has("memolock_verify follows request"), "{:?}", spans.0);
    assert!(!spans.has("event in request") && !spans.has("close memolock_verify"));
    sleep(LONG * 2).await;
    assert!(
        spans.has("event in memolock_verify") && spans.has("close memolock_verify"),
        "{:?}",
        spans.0
    );
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_leader_has_what_the_handler_says_and_does_not_wait_for_the_store() {
    let (spans, _guard) = listen();
    let inner = Inner::new(|_, _| async {
        tracing::info!("computed");
        Ok(with(text("x"), "cache-control", "max-age=60"))
    });
    let mut store = Slow::new(Duration::ZERO);
    store.commits = LONG;
    let node = MemoLockLayer::new(store, "t").layer(inner);
    let request = node.oneshot(get("/"));
    let read = async {
        request
            .await
            .expect("a response")
            .into_body()
            .collect()
            .await
            .expect("a body")
    };
    read.instrument(info_span!("request")).await;
    settle().await;
    assert!(
        spans.has("event in request") && spans.has("close request"),
        "{:?}",
        spans.0
    );
    assert!(spans.has("event in memolock_lookup") && spans.has("close memolock_lookup"));
    sleep(LONG * 2).await;
    assert!(!spans.has("open memolock_detached"), "waiting for the store is no work");
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_client_that_leaves_closes_while_its_computation_goes_on() {
    let (spans, _guard) = listen();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::new(|_, _| async {
        sleep(LONG).await;
        tracing::info!("computed");
        Ok(streamed(futures_util::stream::iter([data("x")])))
    }));
    let gone = tokio::time::timeout(LONG / 4, within_a_span(&node)).await;
    assert!(gone.is_err());
    settle().await;
    assert!(
        spans.has("close request") && spans.has("close memolock_lookup"),
        "{:?}",
        spans.0
    );
    goes_on_in_a_span_of_its_own(&spans).await;

    let (spans, _guard) = listen();
    let memo = MemoLock::new(MemoryStore::new(), "t");
    let compute = memo.get_or_compute("a", || async {
        sleep(LONG).await;
        tracing::info!("computed");
        Ok::<Bytes, Infallible>("x".into())
    });
    let gone = tokio::time::timeout(LONG / 4, compute.instrument(info_span!("caller"))).await;
    assert!(gone.is_err());
    settle().await;
    assert!(spans.has("close caller"), "{:?}", spans.0);
    goes_on_in_a_span_of_its_own(&spans).await;
}

async fn goes_on_in_a_span_of_its_own(spans: &Spans) {
    assert!(spans.has("memolock_detached follows memolock_lookup"), "{:?}", spans.0);
    assert!(!spans.has("close memolock_detached"));
    sleep(LONG * 2).await;
    assert!(spans.has("event in memolock_detached"), "{:?}", spans.0);
    assert!(!spans.has("event in memolock_lookup"));
    assert!(spans.has("close memolock_detached"), "{:?}", spans.0);
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_client_that_leaves_amid_the_body_closes_as_well() {
    let (spans, _guard) = listen();
    let (parts, body) = by_hand();
    let body = Mutex::new(Some(body));
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::new(move |_, _| {
        let body = body.lock().unwrap().take().expect("one call");
        async { Ok(with(streamed(body), "cache-control", "max-age=60")) }
    }));
    parts.send(data("x")).expect("a reader");
    let response = node.clone().oneshot(get("/")).instrument(info_span!("request")).await;
    drop(response.expect("a response"));
    settle().await;
    assert!(
        spans.has("close request") && spans.has("open memolock_detached"),
        "{:?}",
        spans.0
    );
    assert!(!spans.has("close memolock_detached"));
    drop(parts);
    settle().await;
    assert!(spans.has("close memolock_detached"), "{:?}", spans.0);
    assert_eq!(answer(send(&node, get("/"))).await.body, "x", "it was stored");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_refreshed_by_a_process_that_is_about_to_stop() {
    let (spans, _guard) = listen();
    let layer = MemoLockLayer::new(MemoryStore::new(), "t").freshness(Freshness::new().ttl_jitter(0.0));
    let node: Node = layer.layer(inner());
    answer(send(&node, get("/"))).await;
    settle().await;
    sleep(Duration::from_secs(5)).await;
    layer.handle().shutdown(LONG).await;
    assert_eq!(answer(send(&node, get("/"))).await.body, "x");
    settle().await;
    assert!(!spans.has("open memolock_refresh"));
    assert_eq!(layer.handle().stats().refreshed, 0);
}
