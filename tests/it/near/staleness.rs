//! What is early or stale goes on behind near copies.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::{CacheStatus, Freshness};
use tower_memolock::{MemoLockLayer, RedisStore};

use super::fixture::LAG;
use crate::support::{RedisServer, within};

/// One second, as long as what is stored here is fresh.
const FRESH: Duration = Duration::from_millis(1050);

struct Front {
    service: BoxCloneService<Request<Full<Bytes>>, Response<Bytes>, Infallible>,
    calls: Arc<AtomicUsize>,
}

impl Front {
    /// Responses are the number of the call, and failures from the second on if so said.
    async fn start(redis: &RedisServer, directives: &'static str, fails: bool, freshness: Freshness) -> Self {
        let store = RedisStore::builder(redis.url())
            .near(1 << 20)
            .near_lag(LAG)
            .connect()
            .await
            .unwrap();
        let layer = MemoLockLayer::new(store, "t")
            .cache_status(CacheStatus::Outcome)
            .freshness(freshness);
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let handler = service_fn(move |_: Request<Full<Bytes>>| {
            let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let status = if fails && call > 1 { 503 } else { 200 };
                let response = Response::builder().status(status).header("cache-control", directives);
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(call.to_string()))).unwrap())
            }
        });
        let service = layer
            .layer(handler)
            .then(|answer: Result<Response<_>, Infallible>| async {
                let (head, body) = answer?.into_parts();
                Ok(Response::from_parts(head, body.collect().await.unwrap().to_bytes()))
            });
        Self {
            service: BoxCloneService::new(service),
            calls,
        }
    }

    /// The body and `Cache-Status`.
    async fn get(&self) -> (String, String) {
        let request = Request::get("/x").body(Full::default()).unwrap();
        let answer = within("an answer", self.service.clone().oneshot(request))
            .await
            .unwrap();
        let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        (String::from_utf8(answer.body().to_vec()).unwrap(), status)
    }

    async fn near(&self) -> String {
        within("a near hit", async {
            loop {
                let (body, status) = self.get().await;
                if status.ends_with("; detail=near") {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_stale_copy_is_served_only_as_stale_and_the_next_is_new() {
    let redis = RedisServer::start();
    let front = Front::start(&redis, "max-age=1, stale-while-revalidate=60", false, Freshness::new()).await;
    for round in 1..4_usize {
        assert_eq!(front.near().await, round.to_string());
        tokio::time::sleep(FRESH).await;
        let (body, status) = front.get().await;
        assert_eq!(body, round.to_string());
        assert!(
            status.starts_with("memolock; hit; ttl=0") || status.contains("ttl=-"),
            "{status}"
        );
        assert!(!status.contains("near"), "{status}");
        within("another response", async {
            while front.get().await.0 == round.to_string() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    assert_eq!(front.calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_stale_value_stands_in_for_an_error() {
    let redis = RedisServer::start();
    let front = Front::start(&redis, "max-age=1, stale-if-error=60", true, Freshness::new()).await;
    assert_eq!(front.near().await, "1");
    tokio::time::sleep(FRESH).await;
    for _ in 0..5 {
        let (body, status) = front.get().await;
        assert_eq!(body, "1", "{status}");
        assert!(!status.contains("near"), "{status}");
    }
    assert!(front.calls.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn hits_on_copies_have_the_value_computed_early() {
    let redis = RedisServer::start();
    let early = Freshness::new().early_refresh(1e9);
    let front = Front::start(&redis, "max-age=300", false, early).await;
    let mut last = 0;
    within("values that are computed early", async {
        while last < 5 {
            let (body, status) = front.get().await;
            let number: usize = body.parse().unwrap();
            assert!(status.contains("memolock; hit") || number == 1, "{status}");
            assert!(number >= last, "{number} after {last}");
            last = number;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
