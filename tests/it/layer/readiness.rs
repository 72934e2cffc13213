//! When the inner service is asked to be ready, and by which request. Every call on an instance that was not ready panics, in
//! all the tests of the layer.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Layer, Service, ServiceBuilder};
use tower_memolock::middleware::MemoLockService;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Answer, Broken, Failure, Gate, Inner, Reply, TestBody, answer, bodies, fresh, get, pair, send, settle, text,
};
use crate::support::within;

/// An inner service that answers paths under `/slow` once the gate lets it, with a response to store.
fn gated(gate: &Gate) -> Inner {
    let gate = gate.clone();
    Inner::new(move |request, call| {
        let gate = gate.clone();
        async move {
            if request.uri().path().starts_with("/slow") {
                gate.pass().await;
            }
            Ok(fresh(call.to_string()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_hit_does_not_wait_for_a_busy_inner_service() {
    let gate = Gate::new();
    let inner = gated(&gate);
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .concurrency_limit(1)
        .service(inner.clone());
    answer(send(&service, get("/stored"))).await;
    let slow = send(&service, get("/slow"));
    gate.reached_by(1).await;

    assert_eq!(answer(send(&service, get("/stored"))).await.body, "1");

    assert!(!slow.is_finished());
    gate.open();
    assert_eq!(answer(slow).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_leader_waits_for_the_permit() {
    let gate = Gate::new();
    let inner = gated(&gate);
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .concurrency_limit(1)
        .service(inner.clone());
    let slow = send(&service, get("/slow"));
    gate.reached_by(1).await;
    let waiting = send(&service, get("/quick"));
    settle().await;
    assert_eq!((inner.calls(), waiting.is_finished()), (1, false));

    gate.open();
    assert_eq!(bodies([slow, waiting]).await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn followers_hold_no_permit() {
    let gate = Gate::new();
    let inner = gated(&gate);
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .concurrency_limit(2)
        .service(inner.clone());
    let slow: Vec<_> = (0..10).map(|_| send(&service, get("/slow"))).collect();
    gate.reached_by(1).await;
    settle().await;

    assert_eq!(answer(send(&service, get("/quick"))).await.body, "2");

    gate.open();
    assert_eq!(bodies(slow).await, ["1"; 10]);
}

#[tokio::test(start_paused = true)]
async fn many_cold_keys_over_one_permit_are_all_answered_with_one_call_each() {
    let inner = Inner::new(|request, _| async move {
        tokio::task::yield_now().await;
        Ok(fresh(request.uri().path().to_owned()))
    });
    let one_at_a_time = ConcurrencyLimitLayer::new(1).layer(inner.clone());
    let store = MemoryStore::new();
    let nodes = [store.clone(), store].map(|store| MemoLockLayer::new(store, "ready").layer(one_at_a_time.clone()));
    let mut asked = Vec::new();
    for i in 0..300 {
        let path = format!("/{}", i % 50);
        asked.push((path.clone(), send(&nodes[i % 2], get(&path))));
    }
    for (path, asked) in asked {
        assert_eq!(answer(asked).await.body, path);
    }
    assert_eq!(inner.calls(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_leader_fails_alone_and_a_waiter_takes_over() {
    let inner = Inner::replying(|call| fresh(call.to_string())).always_ready();
    let busy = BusyOnce::over(inner.clone());
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .load_shed()
        .service(busy);
    let asked: Vec<_> = (0..5).map(|_| send(&service, get("/"))).collect();

    let mut failures = Vec::new();
    for asked in asked {
        match within("an answer", asked).await.expect("no panic") {
            Ok(Answer { body, .. }) => assert_eq!(body, "1"),
            Err(Failure::Call(error)) => failures.push(error),
            Err(Failure::Body(error)) => panic!("{error}"),
        }
    }
    assert_eq!((failures.len(), inner.calls()), (1, 1));
    assert!(failures[0].is::<Overloaded>(), "{:?}", failures[0]);
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_a_limit_sheds_cold_keys_and_no_hits() {
    let gate = Gate::new();
    let inner = gated(&gate).always_ready();
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .layer(LoadShedLayer::new())
        .concurrency_limit(1)
        .service(inner.clone());
    answer(send(&service, get("/stored"))).await;
    let slow = send(&service, get("/slow"));
    gate.reached_by(1).await;

    let shed = within("an answer", send(&service, get("/cold")))
        .await
        .expect("no panic");
    assert!(matches!(shed, Err(Failure::Call(error)) if error.is::<Overloaded>()));
    assert_eq!(answer(send(&service, get("/stored"))).await.body, "1");

    gate.open();
    answer(slow).await;
    assert_eq!(answer(send(&service, get("/cold"))).await.body, "3");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_become_ready_fails_its_caller_only() {
    let service = MemoLockLayer::new(MemoryStore::new(), "ready").layer(NeverReady);
    for request in [get("/"), super::fixture::get_with("/", "authorization", "x")] {
        let failed = within("an answer", send(&service, request)).await.expect("no panic");
        assert!(matches!(failed, Err(Failure::Call(Broken("not today")))));
    }
}

#[tokio::test(start_paused = true)]
async fn bypasses_and_requests_that_waited_too_long_wait_for_readiness_too() {
    let gate = Gate::new();
    let inner = gated(&gate);
    let nodes = pair(&inner, |layer| layer.wait_timeout(Duration::from_secs(1)));
    let slow = send(&nodes[0], get("/slow"));
    gate.reached_by(1).await;

    let post = Request::post("/quick").body(Full::default()).expect("a request");
    assert_eq!(answer(send(&nodes[0], post)).await.body, "2");

    let waiting = [send(&nodes[0], get("/slow")), send(&nodes[1], get("/slow"))];
    gate.reached_by(3).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    gate.open();
    bodies(waiting).await;
    answer(slow).await;
    assert_eq!(inner.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_service_polled_ready_and_never_called_blocks_no_call() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "ready"))
        .concurrency_limit(1)
        .service(inner);
    let mut idle = service.clone();
    poll_fn(|cx| idle.poll_ready(cx)).await.expect("ready");

    assert_eq!(answer(send(&service, get("/a"))).await.body, "1");
    assert_eq!(answer(send(&service, get("/b"))).await.body, "2");
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_it_is_polled_costs_nothing_and_blocks_no_call() {
    let inner = Inner::replying(|_| text("never stored"));
    let [mut node, other] = pair(&inner, |layer| layer);
    poll_fn(|cx| node.poll_ready(cx)).await.expect("ready");
    drop(node.call(get("/")));
    settle().await;
    assert_eq!(inner.calls(), 0);
    answer(send(&other, get("/"))).await;
    assert_eq!(inner.calls(), 1);
}

#[test]
fn the_layer_adds_no_error_of_its_own() {
    fn same_error<S>(_: &S)
    where
        S: Service<Request<Full<Bytes>>, Error = Broken>,
    {
    }
    let inner = Inner::replying(|_| text(""));
    let service: MemoLockService<_, _> = MemoLockLayer::new(MemoryStore::new(), "ready").layer(inner);
    same_error(&service);
}

/// Not ready the first time that it is asked.
#[derive(Clone)]
struct BusyOnce {
    inner: Inner,
    asked: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl BusyOnce {
    fn over(inner: Inner) -> Self {
        Self {
            inner,
            asked: std::sync::Arc::default(),
        }
    }
}

impl Service<Request<Full<Bytes>>> for BusyOnce {
    type Response = http::Response<TestBody>;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !self.asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let reply = self.inner.call(request);
        Box::pin(async { reply.await.map_err(Into::into) })
    }
}

#[derive(Clone)]
struct NeverReady;

impl Service<Request<Full<Bytes>>> for NeverReady {
    type Response = http::Response<TestBody>;
    type Error = Broken;
    type Future = std::future::Ready<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Err(Broken("not today")))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        panic!("called before it was ready")
    }
}
