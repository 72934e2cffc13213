//! Early refresh over many expiries: chance from a seed, time paused.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, advance, sleep};
use tower::Layer;
use tower_service::Service;

use crate::middleware::Freshness;
use crate::middleware::key_extractor::UriKey;
use crate::middleware::layer::MemoLockLayer;
use crate::middleware::service::MemoLockService;
use crate::random::Random;
use crate::store::MemoryStore;

const COST: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Counts {
    /// Calls of the inner service.
    started: AtomicUsize,
    /// Calls that came to their end. The number of the last one is the stored body.
    ended: AtomicUsize,
    /// Calls that began although another one had begun since the last one came to its end.
    surplus: AtomicUsize,
    seen: AtomicUsize,
}

/// An inner service that takes [`COST`], and whose responses are fresh for two seconds.
#[derive(Clone, Default)]
struct Slow(Arc<Counts>);

impl Service<Request<Empty<Bytes>>> for Slow {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let counts = Arc::clone(&self.0);
        let ended = counts.ended.load(Ordering::SeqCst);
        let number = counts.started.fetch_add(1, Ordering::SeqCst) + 1;
        if counts.seen.swap(ended, Ordering::SeqCst) == ended && number > 1 {
            counts.surplus.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(async move {
            sleep(COST).await;
            counts.ended.fetch_add(1, Ordering::SeqCst);
            let mut response = Response::new(Full::from(number.to_string()));
            let fresh = http::HeaderValue::from_static("max-age=2");
            response.headers_mut().insert(CACHE_CONTROL, fresh);
            Ok(response)
        })
    }
}

type Node = MemoLockService<Slow, UriKey>;

fn nodes(inner: &Slow, beta: f64) -> Vec<Node> {
    let store = MemoryStore::new();
    let layer = |seed| {
        MemoLockLayer::new(store.clone(), "early")
            .freshness(Freshness::new().ttl_jitter(0.0).early_refresh(beta))
            .random(Random::seeded(seed))
            .layer(inner.clone())
    };
    (1..=4).map(layer).collect()
}

async fn ask(node: &Node) {
    let mut node = node.clone();
    poll_fn(|cx| node.poll_ready(cx)).await.unwrap();
    let response = node.call(Request::get("/").body(Empty::new()).unwrap()).await.unwrap();
    response.into_body().collect().await.unwrap();
}

/// Asks one node after the other, every five milliseconds, until so many responses have been computed. Returns how many
/// requests had to wait.
async fn run(nodes: &[Node], inner: &Slow, expiries: usize) -> usize {
    let mut waited = 0;
    for at in 0.. {
        let before = Instant::now();
        ask(&nodes[at % nodes.len()]).await;
        waited += usize::from(before != Instant::now());
        if inner.0.ended.load(Ordering::SeqCst) > expiries {
            break;
        }
        advance(Duration::from_millis(5)).await;
    }
    waited
}

#[tokio::test(start_paused = true)]
async fn popular_response_is_computed_once_an_expiry_and_no_request_waits() {
    const EXPIRIES: usize = 400;
    let inner = Slow::default();
    let nodes = nodes(&inner, 1.0);
    // Only the first request found nothing at all, and waited.
    assert_eq!(run(&nodes, &inner, EXPIRIES).await, 1);
    let surplus = inner.0.surplus.load(Ordering::SeqCst);
    let mean = 1.0 + surplus as f64 / EXPIRIES as f64;
    assert!(mean <= 1.05, "{mean}");
}

#[tokio::test(start_paused = true)]
async fn without_it_a_request_waits_at_every_expiry() {
    let inner = Slow::default();
    let nodes = nodes(&inner, 0.0);
    assert!(run(&nodes, &inner, 20).await >= 20);
}

#[tokio::test(start_paused = true)]
async fn larger_beta_is_earlier() {
    let mut lifetimes = Vec::new();
    for beta in [0.5, 1.0, 2.0] {
        let inner = Slow::default();
        let nodes = nodes(&inner, beta);
        let begun = Instant::now();
        run(&nodes, &inner, 50).await;
        lifetimes.push(begun.elapsed());
    }
    assert!(lifetimes.is_sorted_by(|one, other| one > other), "{lifetimes:?}");
}
